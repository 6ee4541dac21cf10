//! How many entries lie between two bounds, counted or estimated, and where a range is to be cut.
//!
//! Nothing in a branch says how many entries are below it, but it says how many children it has: a
//! child's share of the tree is taken for the part that it is of its branch. Near the root that
//! would be far off: an edge of the tree that has just grown may be one of two children of the root
//! and hold next to nothing. So the levels at the top are looked at as a whole, down to the first
//! that has [`WIDE`] children or more. How many entries a share has is seen on the way to some of
//! its leaves: were all branches as wide as those, and all leaves as full, the tree would have as
//! many entries as the product says.

use super::cursor::Cursor;
use super::leaves::Leaves;
use super::range::is_empty;
use super::search::{node_at, root_level};
use super::{PageSource, TableDescriptor};
use crate::error::{Error, Result};
use crate::format::node::Node;
use crate::format::order::KeyOrder;
use crate::types::PageId;
use std::ops::Bound;

/// Children of a level from which on each counts as much as the others.
const WIDE: u64 = 32;
/// Leaves that are looked at to see how full they are, and the branches above them.
const PROBES: u32 = 32;
/// Less than a leaf is of any tree, and more than sums of shares are off.
const EPSILON: f64 = 1e-12;

/// Entries between two bounds. Reads the front of each leaf between them, or, if that is less, of
/// each leaf beside them.
pub fn count_range<S: PageSource>(
    src: &S,
    desc: &TableDescriptor,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Result<u64> {
    src.check()?;
    if is_empty(desc.order, from, to) {
        return Ok(0);
    }
    if estimate_range(src, desc, from, to)? <= desc.entries / 2 {
        return count_between(src, desc, from, to);
    }
    let in_front = match from {
        Bound::Unbounded => 0,
        Bound::Included(key) => count_between(src, desc, Bound::Unbounded, Bound::Excluded(key))?,
        Bound::Excluded(key) => count_between(src, desc, Bound::Unbounded, Bound::Included(key))?,
    };
    let behind = match to {
        Bound::Unbounded => 0,
        Bound::Included(key) => count_between(src, desc, Bound::Excluded(key), Bound::Unbounded)?,
        Bound::Excluded(key) => count_between(src, desc, Bound::Included(key), Bound::Unbounded)?,
    };
    let beside = in_front.saturating_add(behind);
    desc.entries.checked_sub(beside).ok_or_else(|| corrupt(desc, "more keys than it counts"))
}

fn count_between<S: PageSource>(
    src: &S,
    desc: &TableDescriptor,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Result<u64> {
    let (mut first, mut last) = (Cursor::new(src, desc)?, Cursor::new(src, desc)?);
    if !first.seek(from)? || !last.seek_back(to)? || first.is_above(&last)? {
        return Ok(0);
    }
    let (Some(first), Some(last)) = (first.place(), last.place()) else { return Ok(0) };
    let Some(level) = root_level(desc)? else { return Ok(0) };
    let (mut count, mut end) = (0u64, 0);
    let (from, to) = (Some(first.steps), Some(last.steps));
    Leaves::new(src, desc).visit((desc.root, level), from, to, &mut |leaf| {
        (count, end) = (count + leaf.count() as u64, leaf.count());
        Ok(true)
    })?;
    // Those in front of the first one, and those behind the last.
    let beside = first.index + end.saturating_sub(last.index + 1);
    count.checked_sub(beside as u64).ok_or_else(|| corrupt(desc, "keys out of order"))
}

/// About how many entries lie between two bounds. Exact where they lie in one leaf, or in two side
/// by side.
pub fn estimate_range<S: PageSource>(
    src: &S,
    desc: &TableDescriptor,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Result<u64> {
    src.check()?;
    let is_empty = is_empty(desc.order, from, to);
    let Some(top) = Top::of(src, desc)?.filter(|_| !is_empty) else { return Ok(0) };
    if (from, to) == (Bound::Unbounded, Bound::Unbounded) {
        return Ok(desc.entries);
    }
    let (a, b) = (top.mark(src, Cut::start(from))?, top.mark(src, Cut::end(to))?);
    if a.leaf == b.leaf {
        return Ok(b.index.saturating_sub(a.index) as u64);
    }
    let ends = a.count.saturating_sub(a.index) + b.index;
    // Of the leaves between the two: their share of the tree, and how many entries such a share has
    // where it is looked at.
    let (begin, share) = (a.leaf_at(1.0), b.leaf_at(0.0) - a.leaf_at(1.0));
    let mut between = 0.0;
    if share > EPSILON {
        for probe in 0..PROBES {
            let at = begin + share * ((f64::from(probe) + 0.5) / f64::from(PROBES));
            between += share * top.find(src, at)?.density / f64::from(PROBES);
        }
    }
    // A float becomes the nearest integer that there is: in a damaged tree it may be any.
    let estimate = (between.round() as u64).saturating_add(ends as u64);
    Ok(estimate.min(desc.entries))
}

/// Keys that cut what lies between two bounds into so many parts, or fewer, of about the same size,
/// none of them empty: each is the first of its part, but for the first part. In their order.
pub fn split_range<S: PageSource>(
    src: &S,
    desc: &TableDescriptor,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
    parts: usize,
) -> Result<Vec<Vec<u8>>> {
    src.check()?;
    let is_empty = is_empty(desc.order, from, to);
    let Some(top) = Top::of(src, desc)?.filter(|_| !is_empty) else {
        return Ok(Vec::new());
    };
    let (mut first, mut last) = (Cursor::new(src, desc)?, Cursor::new(src, desc)?);
    if !first.seek(from)? || !last.seek_back(to)? {
        return Ok(Vec::new());
    }
    let (Some(first), Some(last)) = (first.key()?, last.key()?) else { return Ok(Vec::new()) };
    let begin = top.mark(src, Cut::start(from))?.rank();
    let end = top.mark(src, Cut::end(to))?.rank();
    // There are no more cuts than keys.
    let parts = parts.min(usize::try_from(desc.entries).unwrap_or(usize::MAX));
    let mut cuts: Vec<Vec<u8>> = Vec::new();
    for part in 1..parts {
        let found = top.find(src, begin + (end - begin) * (part as f64 / parts as f64))?;
        let key = found.leaf.key(found.index)?.to_vec();
        let before = cuts.last().map_or(&first[..], |cut| cut);
        let order = desc.order;
        if order.compare(&key, before).is_gt() && order.compare(&key, &last).is_le() {
            cuts.push(key);
        }
    }
    Ok(cuts)
}

/// A place between two entries.
#[derive(Clone, Copy)]
enum Cut<'k> {
    First,
    InFrontOf(&'k [u8]),
    Behind(&'k [u8]),
    Last,
}

impl<'k> Cut<'k> {
    fn start(bound: Bound<&'k [u8]>) -> Cut<'k> {
        match bound {
            Bound::Unbounded => Cut::First,
            Bound::Included(key) => Cut::InFrontOf(key),
            Bound::Excluded(key) => Cut::Behind(key),
        }
    }

    fn end(bound: Bound<&'k [u8]>) -> Cut<'k> {
        match bound {
            Bound::Unbounded => Cut::Last,
            Bound::Included(key) => Cut::Behind(key),
            Bound::Excluded(key) => Cut::InFrontOf(key),
        }
    }

    /// The child of a branch in which it lies.
    fn child(self, node: &Node<'_>) -> Result<usize> {
        match self {
            Cut::First => Ok(0),
            Cut::InFrontOf(key) | Cut::Behind(key) => node.child_index(key),
            Cut::Last => Ok(node.count()),
        }
    }

    /// Entries of a leaf that lie in front of it.
    fn index(self, leaf: &Node<'_>) -> Result<usize> {
        let (key, past) = match self {
            Cut::First => return Ok(0),
            Cut::Last => return Ok(leaf.count()),
            Cut::InFrontOf(key) => (key, false),
            Cut::Behind(key) => (key, true),
        };
        let place = leaf.search(key)?;
        Ok(place.index + usize::from(place.found && past))
    }
}

/// Where a cut lies, as far as branches tell.
struct Mark {
    /// Share of the tree that lies in front of the branch above the leaf.
    before: f64,
    /// Share of that branch.
    share: f64,
    /// Which of its children is the leaf, and how many there are.
    child: usize,
    children: usize,
    leaf: PageId,
    /// Entries of the leaf in front of the cut, and all.
    index: usize,
    count: usize,
}

impl Mark {
    /// Share of the tree in front of the cut.
    fn rank(&self) -> f64 {
        self.leaf_at(self.index as f64 / self.count as f64)
    }

    /// Share of the tree in front of this part of the leaf.
    fn leaf_at(&self, part: f64) -> f64 {
        self.before + self.share * ((self.child as f64 + part) / self.children as f64)
    }
}

/// One level of branches at the top of a tree.
struct Level {
    pages: Vec<PageId>,
    /// Children in front of those of each page, and all.
    firsts: Vec<u64>,
}

impl Level {
    fn children(&self) -> u64 {
        self.firsts.last().copied().unwrap_or(0)
    }
}

/// The levels at the top of a tree that are known as a whole.
pub(super) struct Top {
    root: PageId,
    root_level: u8,
    order: KeyOrder,
    levels: Vec<Level>,
}

impl Top {
    /// None in an empty tree. Reads fewer than [`WIDE`] pages of each level.
    pub fn of<S: PageSource>(src: &S, desc: &TableDescriptor) -> Result<Option<Top>> {
        let Some(root_level) = root_level(desc)? else { return Ok(None) };
        let mut top = Top { root: desc.root, root_level, order: desc.order, levels: Vec::new() };
        let mut pages = vec![desc.root];
        for level in (1..=root_level).rev() {
            let (mut firsts, mut all, mut below) = (vec![0], 0, Vec::new());
            for id in &pages {
                let node = node_at(src, *id, level, desc.order)?;
                all += node.count() as u64 + 1;
                firsts.push(all);
                if all < WIDE {
                    for child in 0..=node.count() {
                        below.push(node.child(child)?);
                    }
                }
            }
            top.levels.push(Level { pages, firsts });
            if all >= WIDE {
                break;
            }
            pages = below;
        }
        Ok(Some(top))
    }

    /// How the keys of the tree are ordered.
    pub fn order(&self) -> KeyOrder {
        self.order
    }

    /// Children of the lowest of these levels; 1 where the root is a leaf.
    pub fn children(&self) -> u64 {
        self.levels.last().map_or(1, Level::children)
    }

    /// One of these: the page, and its level.
    pub fn child<S: PageSource>(&self, src: &S, child: u64) -> Result<(PageId, u8)> {
        let Some(last) = self.levels.last() else { return Ok((self.root, self.root_level)) };
        let page = last.firsts.partition_point(|&first| first <= child).saturating_sub(1);
        let level = self.root_level + 1 - self.levels.len() as u8;
        let Some(&id) = last.pages.get(page) else {
            return Err(Error::corrupt(self.root, "root of a tree that has changed"));
        };
        let node = node_at(src, id, level, self.order)?;
        Ok((node.child((child - last.firsts[page]) as usize)?, level - 1))
    }

    fn mark<S: PageSource>(&self, src: &S, cut: Cut<'_>) -> Result<Mark> {
        let (mut before, mut share) = (0.0, 1.0);
        let (mut child, mut children) = (0, 1);
        let (mut id, mut level, mut at) = (self.root, self.root_level, 0);
        while level > 0 {
            let node = node_at(src, id, level, self.order)?;
            (child, children) = (cut.child(&node)?, node.count() + 1);
            let known = self.levels.get(usize::from(self.root_level - level));
            if let Some(known) = known {
                let first = known.firsts.get(at).copied().unwrap_or(0);
                let all = known.children() as f64;
                (before, share) = (first as f64 / all, children as f64 / all);
                at = first as usize + child;
            }
            if level > 1 {
                before += share * (child as f64 / children as f64);
                share /= children as f64;
            }
            id = node.child(child)?;
            level -= 1;
        }
        let leaf = node_at(src, id, 0, self.order)?;
        let (index, count) = (cut.index(&leaf)?, leaf.count());
        Ok(Mark { before, share, child, children, leaf: id, index, count })
    }

    /// The entry that has this share of the tree in front of it.
    fn find<'a, S: PageSource>(&self, src: &'a S, rank: f64) -> Result<Found<'a>> {
        let (child, mut rest) = part_of(rank, self.children());
        let (mut id, mut level) = self.child(src, child)?;
        let mut density = self.children() as f64;
        while level > 0 {
            let node = node_at(src, id, level, self.order)?;
            let children = node.count() as u64 + 1;
            density *= children as f64;
            let child;
            (child, rest) = part_of(rest, children);
            id = node.child(child as usize)?;
            level -= 1;
        }
        let leaf = node_at(src, id, 0, self.order)?;
        let (index, _) = part_of(rest, leaf.count() as u64);
        density *= leaf.count() as f64;
        Ok(Found { leaf, index: index as usize, density })
    }
}

/// An entry that was found by a share.
struct Found<'a> {
    leaf: Node<'a>,
    index: usize,
    /// Entries that the tree would have, were it everywhere as it is on the way to this one.
    density: f64,
}

/// In which of so many parts of the same size a share lies, and its share of that.
fn part_of(share: f64, parts: u64) -> (u64, f64) {
    let at = share.clamp(0.0, 1.0) * parts as f64;
    let part = (at as u64).min(parts - 1);
    (part, at - part as f64)
}

fn corrupt(desc: &TableDescriptor, what: &str) -> Error {
    Error::corrupt(desc.root, format!("root of a tree with {what}"))
}
