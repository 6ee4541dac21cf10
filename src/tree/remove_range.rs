//! Taking all keys between two bounds out of the tree.
//!
//! Subtrees that lie between the bounds as a whole go as a whole: each is one child less of its
//! branch. They go first: a leaf at an end that becomes too empty is joined with its neighbour,
//! which must not be one that goes. Only the leaves at both ends are changed key by key. All leaves
//! that go are looked at, since the descriptor counts keys and a free page has a birth; what stands
//! in them is read only where values may lie on pages of their own.

use super::PageSink;
use super::branch::{Edit, climb};
use super::cursor::Cursor;
use super::key::Key;
use super::remove::{drop_subtree, remove};
use super::search::{Step, node_at, root_level};
use super::split::Cut;
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::order::KeyOrder;
use crate::types::PageId;
use std::ops::Bound;

/// Removes all keys between two bounds; how many there were.
pub fn remove_range<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Result<u64> {
    let before = desc.entries;
    let to = if last_is_within(sink, desc, to)? { Bound::Unbounded } else { to };
    loop {
        match first_piece(sink, desc, from, to)? {
            None => return Ok(before.saturating_sub(desc.entries)),
            Some(Piece::Key(key)) => {
                if !remove(sink, desc, &key)? {
                    return Err(Error::corrupt(desc.root, "root of a tree with keys out of order"));
                }
            }
            Some(Piece::Tree) => {
                drop_subtree(sink, desc, desc.root, root_level(desc)?.unwrap_or(0))?;
                (desc.root, desc.depth) = (PageId::NONE, 0);
            }
            Some(Piece::Subtree { page, level, steps }) => {
                drop_subtree(sink, desc, page, level)?;
                let at = steps.last().map_or(0, |step| step.child);
                let edit = Edit::Children { first: at, last: at, children: Vec::new() };
                climb(sink, desc, &steps, level, edit, Cut::Middle)?;
            }
        }
    }
}

/// Whether the greatest key of the tree is one that the upper bound admits; false if there is none.
fn last_is_within<S: PageSink>(sink: &S, desc: &TableDescriptor, to: Bound<&[u8]>) -> Result<bool> {
    let mut cursor = Cursor::new(sink, desc)?;
    Ok(cursor.last()? && cursor.key()?.is_some_and(|last| admits(desc.order, to, &last)))
}

fn admits(order: KeyOrder, to: Bound<&[u8]>, key: &[u8]) -> bool {
    match to {
        Bound::Unbounded => true,
        Bound::Included(to) => order.compare(key, to).is_le(),
        Bound::Excluded(to) => order.compare(key, to).is_lt(),
    }
}

/// What goes next.
enum Piece {
    /// A key of a leaf that stays.
    Key(Vec<u8>),
    /// All that is below a page, and the branches above it.
    Subtree { page: PageId, level: u8, steps: Vec<Step> },
    /// All there is.
    Tree,
}

/// What goes next between the bounds: a subtree while there is one, else the first key; None if
/// there is no key.
fn first_piece<S: PageSink>(
    sink: &S,
    desc: &TableDescriptor,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Result<Option<Piece>> {
    let mut cursor = Cursor::new(sink, desc)?;
    if !cursor.seek(from)? {
        return Ok(None);
    }
    let key = cursor.key()?.filter(|key| admits(desc.order, to, key)).map(Key::into_vec);
    let Some(key) = key else { return Ok(None) };
    let in_midst = cursor.place().is_some_and(|place| place.index > 0);
    // The leaf stays, with what stands in front of the bound.
    if in_midst
        && !(cursor.next_leaf()? && cursor.key()?.is_some_and(|key| admits(desc.order, to, &key)))
    {
        return Ok(Some(Piece::Key(key)));
    }
    let Some(place) = cursor.place() else { return Ok(None) };
    // The largest subtree that begins with this leaf and ends before the bound.
    let mut whole = None;
    let (mut page, mut level) = (place.leaf, 0);
    let mut begins = true;
    for (n, step) in place.steps.iter().enumerate().rev() {
        if !begins || !ends_within(sink, desc.order, place.steps, n, to)? {
            break;
        }
        whole = Some((page, level, n + 1));
        begins = step.child == 0;
        (page, level) = (step.page, level + 1);
    }
    if begins && !in_midst && to == Bound::Unbounded && level == root_level(desc)?.unwrap_or(0) {
        return Ok(Some(Piece::Tree));
    }
    Ok(Some(match whole {
        Some((page, level, steps)) => {
            Piece::Subtree { page, level, steps: place.steps[..steps].to_vec() }
        }
        None => Piece::Key(key),
    }))
}

/// Whether the bound admits all keys below the child that step `n` takes.
fn ends_within<S: PageSink>(
    sink: &S,
    order: KeyOrder,
    steps: &[Step],
    n: usize,
    to: Bound<&[u8]>,
) -> Result<bool> {
    let (Bound::Included(to) | Bound::Excluded(to)) = to else { return Ok(true) };
    // What stands behind it, in this branch or in one above, is above all of its keys (T3).
    for (above, step) in steps[..=n].iter().enumerate().rev() {
        let node = node_at(sink, step.page, (steps.len() - above) as u8, order)?;
        if step.child < node.count() {
            return Ok(order.compare_to(&node.key(step.child)?, to).is_le());
        }
    }
    // At the right edge of the tree, which has a key above the bound.
    Ok(false)
}
