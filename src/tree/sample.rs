//! Entries drawn at random, each as likely as any other.
//!
//! A random child of each branch, and a random entry of the leaf, would draw entries of small pages
//! more often than others. So the child is drawn from as many as a page can have at most: one that
//! is not there ends the draw, and another begins at the top. Each entry comes with the same
//! probability then, however full its page and those above it are. Where pages hold so few of what
//! they could that this takes longer than a walk over all leaves, the numbers of the entries are
//! drawn instead, and a walk finds them.

use super::estimate::Top;
use super::key::Key;
use super::leaves::Leaves;
use super::search::{node_at, root_level, value_bytes};
use super::{PageSource, TableDescriptor};
use crate::error::{Error, Result};
use crate::format::node::{Node, most_entries};

/// A page that is drawn takes so many times as long as the front of one in a walk over leaves.
const DEARER: u64 = 32;

/// So many entries, each drawn from all, so that one may come twice; in the order in which they
/// were drawn. None in an empty tree.
pub fn sample<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    number: usize,
    seed: u64,
) -> Result<Vec<(Key<'a>, &'a [u8])>> {
    src.check()?;
    let Some(top) = Top::of(src, desc)? else { return Ok(Vec::new()) };
    let mut draws = Draws { state: seed };
    let mut drawn = Vec::new();
    if drawn.try_reserve_exact(number).is_err() {
        return Err(Error::InvalidArgument(format!("no memory for a sample of {number} pairs")));
    }
    let mut pages = 0;
    while drawn.len() < number && pages <= desc.leaf_pages / DEARER {
        if let Some((leaf, index)) = draw(src, &top, &mut draws, &mut pages)? {
            drawn.push(entry(src, &leaf, index)?);
        }
    }
    let numbers = (drawn.len()..number).map(|_| draws.below(desc.entries)).collect();
    walk(src, desc, numbers, &mut drawn)?;
    Ok(drawn)
}

/// One draw, which may find nothing.
fn draw<'a, S: PageSource>(
    src: &'a S,
    top: &Top,
    draws: &mut Draws,
    pages: &mut u64,
) -> Result<Option<(Node<'a>, usize)>> {
    let (mut id, mut level) = top.child(src, draws.below(top.children()))?;
    loop {
        let node = node_at(src, id, level, top.order())?;
        *pages += 1;
        let there = node.count() + usize::from(level > 0);
        let most = most_entries(src.page_size(), level) + usize::from(level > 0);
        let one = draws.below(most.max(there) as u64) as usize;
        if one >= there {
            return Ok(None);
        }
        if level == 0 {
            return Ok(Some((node, one)));
        }
        id = node.child(one)?;
        level -= 1;
    }
}

/// The entries with these numbers, counted from the first of the tree. Reads the front of every
/// leaf up to the last of them.
fn walk<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    numbers: Vec<u64>,
    drawn: &mut Vec<(Key<'a>, &'a [u8])>,
) -> Result<()> {
    let Some(level) = root_level(desc)?.filter(|_| !numbers.is_empty()) else { return Ok(()) };
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_unstable_by_key(|&at| numbers[at]);
    let mut order = order.into_iter().peekable();
    let mut found: Vec<Option<(Node<'a>, usize)>> = vec![None; numbers.len()];
    let mut before = 0;
    let to_the_end = Leaves::new(src, desc).visit((desc.root, level), None, None, &mut |leaf| {
        let behind = before + leaf.count() as u64;
        while let Some(next) = order.next_if(|&next| numbers[next] < behind) {
            found[next] = Some((leaf, (numbers[next] - before) as usize));
        }
        before = behind;
        Ok(order.peek().is_some())
    })?;
    if to_the_end {
        return Err(Error::corrupt(desc.root, "root of a tree with fewer keys than it counts"));
    }
    for (leaf, index) in found.into_iter().flatten() {
        drawn.push(entry(src, &leaf, index)?);
    }
    Ok(())
}

fn entry<'a, S: PageSource>(
    src: &'a S,
    leaf: &Node<'a>,
    index: usize,
) -> Result<(Key<'a>, &'a [u8])> {
    let (key, value) = leaf.entry(index)?;
    Ok((Key::assemble(&key), value_bytes(src, leaf, value)?))
}

/// Numbers that look random: SplitMix64.
struct Draws {
    state: u64,
}

impl Draws {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of the numbers below `end`, which is not 0; more likely than another by less than one in
    /// 2^64 / `end`.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}
