//! From the root to a leaf: `get`, and the path that writers keep.

use super::PageSource;
use crate::error::{Error, Result};
use crate::format::descriptor::{MAX_DEPTH, TableDescriptor};
use crate::format::node::{Node, Place, Value};
use crate::types::PageId;

/// The level of the root; None for an empty tree.
#[inline]
pub(super) fn root_level(desc: &TableDescriptor) -> Result<Option<u8>> {
    match desc.depth {
        0 if desc.root.is_none() => Ok(None),
        1..=MAX_DEPTH if !desc.root.is_none() => Ok(Some(desc.depth as u8 - 1)),
        _ => Err(Error::corrupt(desc.root, "root of a tree with an impossible depth")),
    }
}

/// A page as a node of this level.
#[inline]
pub(super) fn node_at<S: PageSource>(src: &S, id: PageId, level: u8) -> Result<Node<'_>> {
    Node::open(id, src.page(id)?, level)
}

/// The bytes of a value, wherever they are. `leaf` is the page to blame.
#[inline]
pub(super) fn value_bytes<'a, S: PageSource>(
    src: &'a S,
    leaf: &Node<'a>,
    value: Value<'a>,
) -> Result<&'a [u8]> {
    match value {
        Value::Inline(bytes) => Ok(bytes),
        Value::Overflow(reference) => {
            let run = src.run(reference.first, reference.pages(src.page_size()))?;
            let len = usize::try_from(reference.len).ok();
            len.and_then(|len| run.get(..len))
                .ok_or_else(|| leaf.corrupt("overflow value longer than its run"))
        }
    }
}

/// The value of a key, in place.
pub fn get<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    key: &[u8],
) -> Result<Option<&'a [u8]>> {
    let Some(mut level) = root_level(desc)? else { return Ok(None) };
    let mut id = desc.root;
    while level > 0 {
        let node = node_at(src, id, level)?;
        id = node.child(node.child_index(key)?)?;
        level -= 1;
    }
    let leaf = node_at(src, id, 0)?;
    let place = leaf.search(key)?;
    if !place.found {
        return Ok(None);
    }
    value_bytes(src, &leaf, leaf.value(place.index)?).map(Some)
}

/// A branch that was passed, and the child that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub page: PageId,
    pub child: usize,
}

/// Where a key is or would be: the branches from the root down, the leaf, the place in it.
#[derive(Debug)]
pub(super) struct Path {
    /// `steps[0]` is the root; the level of `steps[k]` is `steps.len() - k`.
    pub steps: Vec<Step>,
    pub leaf: PageId,
    pub place: Place,
    /// No leaf stands before this one.
    pub leftmost: bool,
    /// No leaf stands behind this one.
    pub rightmost: bool,
}

impl Path {
    /// Descends to a key; None in an empty tree.
    pub fn find<S: PageSource>(
        src: &S,
        desc: &TableDescriptor,
        key: &[u8],
    ) -> Result<Option<Path>> {
        let Some(mut level) = root_level(desc)? else { return Ok(None) };
        let mut steps = Vec::with_capacity(usize::from(level));
        let (mut leftmost, mut rightmost) = (true, true);
        let mut id = desc.root;
        while level > 0 {
            let node = node_at(src, id, level)?;
            let child = node.child_index(key)?;
            leftmost &= child == 0;
            rightmost &= child == node.count();
            steps.push(Step { page: id, child });
            id = node.child(child)?;
            level -= 1;
        }
        let place = node_at(src, id, 0)?.search(key)?;
        Ok(Some(Path { steps, leaf: id, place, leftmost, rightmost }))
    }
}
