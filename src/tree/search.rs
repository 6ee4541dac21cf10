//! From the root to a leaf: `get`, and the path that writers keep.

use super::PageSource;
use crate::error::{Error, Result};
use crate::format::descriptor::{MAX_DEPTH, TableDescriptor};
use crate::format::node::{Node, Place, Value, counted_len};
use crate::format::order::KeyOrder;
use crate::format::overflow::OverflowRef;
use crate::types::PageId;

/// Bytes at the front of a node that a search reads: header, prefix, heads and slots of an ordinary
/// leaf. Asked for at once, they come side by side and not one after the other.
pub(super) const NODE_FRONT: usize = 256;

/// The same of a branch of short keys, which has more of them. Asked for at once, since a search
/// waits for one after the other.
const BRANCH_FRONT: usize = 1280;

/// What a descent asks for of a page of this level.
#[inline(always)]
pub(super) fn front_of(level: u8) -> usize {
    if level > 0 { BRANCH_FRONT } else { NODE_FRONT }
}

/// Bytes at the front of a leaf that a writer reads, since it copies the leaf; of larger pages the
/// processor sees itself what comes next.
const LEAF_COPY: usize = 4096;

/// The level of the root; None for an empty tree.
#[inline]
pub(super) fn root_level(desc: &TableDescriptor) -> Result<Option<u8>> {
    match desc.depth {
        0 if desc.root.is_none() => Ok(None),
        1..=MAX_DEPTH if !desc.root.is_none() => Ok(Some(desc.depth as u8 - 1)),
        _ => Err(Error::corrupt(desc.root, "root of a tree with an impossible depth")),
    }
}

/// A page as a node of this level, in a tree of this order.
#[inline(always)]
pub(super) fn node_at<S: PageSource + ?Sized>(
    src: &S,
    id: PageId,
    level: u8,
    order: KeyOrder,
) -> Result<Node<'_>> {
    Node::open(id, src.page(id)?, level, order)
}

/// The bytes of a value, wherever they are. `leaf` is the page to blame.
#[inline(always)]
pub(super) fn value_bytes<'a, S: PageSource + ?Sized>(
    src: &'a S,
    leaf: &Node<'a>,
    value: Value<'a>,
) -> Result<&'a [u8]> {
    match value {
        Value::Inline(bytes) => Ok(bytes),
        Value::Overflow(reference) => run_bytes(src, leaf, reference),
        Value::Set(_) | Value::Tree(_) => Err(no_set(leaf)),
        Value::Table(_) => Err(leaf.corrupt("a table descriptor where a value must be")),
    }
}

#[inline(never)]
fn run_bytes<'a, S: PageSource + ?Sized>(
    src: &'a S,
    leaf: &Node<'a>,
    reference: OverflowRef,
) -> Result<&'a [u8]> {
    let run = src.run(&reference)?;
    let len = usize::try_from(reference.len).ok();
    len.and_then(|len| run.get(..len))
        .ok_or_else(|| leaf.corrupt("overflow value longer than its run"))
}

/// A set of values where one value must be.
#[cold]
pub(super) fn no_set(leaf: &Node<'_>) -> Error {
    leaf.corrupt("a set of values in a table that has one value for each key")
}

/// The leaf in which a key stands, and what stands there. The order of the tree is given beside it,
/// so that a caller may say what is known when it is compiled: then no page is asked for it.
#[inline(always)]
pub(super) fn find<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    order: KeyOrder,
    key: &[u8],
) -> Result<Option<(Node<'a>, Value<'a>)>> {
    let Some(mut level) = root_level(desc)? else { return src.check().map(|()| None) };
    let mut id = desc.root;
    while level > 0 {
        let node = node_at(src, id, level, order)?;
        id = node.child(node.child_index(key)?)?;
        level -= 1;
        src.prefetch(id, front_of(level));
    }
    let leaf = node_at(src, id, 0, order)?;
    match leaf.find(key)? {
        (_, Some(cell)) => Ok(Some((leaf, leaf.value_of(&cell)?))),
        _ => Ok(None),
    }
}

/// The value of a key, in place.
pub fn get<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    key: &[u8],
) -> Result<Option<&'a [u8]>> {
    match desc.order.is_packed() {
        true => get_in(src, desc, KeyOrder::PACKED, key),
        false => get_whole(src, desc, key),
    }
}

#[inline(never)]
fn get_whole<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    key: &[u8],
) -> Result<Option<&'a [u8]>> {
    get_in(src, desc, desc.order, key)
}

#[inline(always)]
fn get_in<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    order: KeyOrder,
    key: &[u8],
) -> Result<Option<&'a [u8]>> {
    match find(src, desc, order, key)? {
        Some((leaf, value)) => value_bytes(src, &leaf, value).map(Some),
        None => Ok(None),
    }
}

/// Keys that are looked up side by side: about as many lines as a core fetches at a time, and
/// enough for a device's queue.
const GROUP: usize = 32;
/// Bytes of a cell that are asked for at once: its key and the start of its value.
const CELL_FRONT: usize = 128;

/// The values of many keys, in their order. The descents go down together, a level at a time, so
/// that the cache misses, or the reads from the device, of a group overlap.
pub fn get_many<'a, S: PageSource, K: AsRef<[u8]>>(
    src: &'a S,
    desc: &TableDescriptor,
    keys: &[K],
) -> Result<Vec<Option<&'a [u8]>>> {
    match desc.order.is_packed() {
        true => get_many_in(src, desc, KeyOrder::PACKED, keys),
        false => get_many_whole(src, desc, keys),
    }
}

#[inline(never)]
fn get_many_whole<'a, S: PageSource, K: AsRef<[u8]>>(
    src: &'a S,
    desc: &TableDescriptor,
    keys: &[K],
) -> Result<Vec<Option<&'a [u8]>>> {
    get_many_in(src, desc, desc.order, keys)
}

#[inline(always)]
fn get_many_in<'a, S: PageSource, K: AsRef<[u8]>>(
    src: &'a S,
    desc: &TableDescriptor,
    order: KeyOrder,
    keys: &[K],
) -> Result<Vec<Option<&'a [u8]>>> {
    let mut values = Vec::with_capacity(keys.len());
    let Some(root_level) = root_level(desc)?.filter(|_| !keys.is_empty()) else {
        values.resize(keys.len(), None);
        return src.check().map(|()| values);
    };
    // Whether the leaves of the group before had to be fetched from a device.
    let mut fetching = false;
    for group in keys.chunks(GROUP) {
        let mut ids = [desc.root; GROUP];
        let ids = &mut ids[..group.len()];
        for level in (1..=root_level).rev() {
            for (id, key) in ids.iter_mut().zip(group) {
                let node = node_at(src, *id, level, order)?;
                *id = node.child(node.child_index(key.as_ref())?)?;
                src.prefetch(*id, NODE_FRONT);
            }
            fetching &= level > 1;
            if fetching || (level == 1 && !src.is_resident(ids[ids.len() / 2])) {
                fetching = true;
                ids.iter().for_each(|id| src.will_need(*id, 1));
            }
        }
        for (id, key) in ids.iter().zip(group) {
            if let Some(at) = node_at(src, *id, 0, order)?.candidate(key.as_ref()) {
                src.prefetch_at(*id, at, CELL_FRONT);
            }
        }
        for (id, key) in ids.iter().zip(group) {
            let leaf = node_at(src, *id, 0, order)?;
            values.push(match leaf.find(key.as_ref())? {
                (_, Some(cell)) => Some(value_bytes(src, &leaf, leaf.value_of(&cell)?)?),
                _ => None,
            });
        }
    }
    Ok(values)
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
    /// Bytes that the key of an entry counts ([`counted_len`]) which is put at the end of a path:
    /// the key that is there stays, and a function may call it equal to one of another length.
    #[inline(always)]
    pub fn counted_len<S: PageSource>(
        path: Option<&Path>,
        src: &S,
        desc: &TableDescriptor,
        key: &[u8],
    ) -> Result<usize> {
        let len = match path {
            Some(path) if path.place.found && desc.order.is_custom() => {
                node_at(src, path.leaf, 0, desc.order)?.key(path.place.index)?.len()
            }
            _ => key.len(),
        };
        Ok(counted_len(len, desc.order))
    }

    /// Descends to a key; None in an empty tree.
    pub fn find<S: PageSource>(
        src: &S,
        desc: &TableDescriptor,
        key: &[u8],
    ) -> Result<Option<Path>> {
        match desc.order.is_packed() {
            true => Path::find_in(src, desc, KeyOrder::PACKED, key),
            false => Path::find_whole(src, desc, key),
        }
    }

    #[inline(never)]
    fn find_whole<S: PageSource>(
        src: &S,
        desc: &TableDescriptor,
        key: &[u8],
    ) -> Result<Option<Path>> {
        Path::find_in(src, desc, desc.order, key)
    }

    #[inline(always)]
    fn find_in<S: PageSource>(
        src: &S,
        desc: &TableDescriptor,
        order: KeyOrder,
        key: &[u8],
    ) -> Result<Option<Path>> {
        let Some(mut level) = root_level(desc)? else { return Ok(None) };
        let mut steps = Vec::with_capacity(usize::from(level));
        let (mut leftmost, mut rightmost) = (true, true);
        let mut id = desc.root;
        while level > 0 {
            let node = node_at(src, id, level, order)?;
            let child = node.child_index(key)?;
            leftmost &= child == 0;
            rightmost &= child == node.count();
            steps.push(Step { page: id, child });
            id = node.child(child)?;
            level -= 1;
            src.prefetch(id, if level > 0 { BRANCH_FRONT } else { LEAF_COPY.min(src.page_size()) });
        }
        let place = node_at(src, id, 0, order)?.search(key)?;
        Ok(Some(Path { steps, leaf: id, place, leftmost, rightmost }))
    }
    /// Whether the path still leads from the root to the last leaf of the tree, by the last child
    /// of each branch.
    pub fn is_last<S: PageSource>(&self, src: &S, desc: &TableDescriptor) -> Result<bool> {
        let Some(mut level) = root_level(desc)? else { return Ok(false) };
        let mut id = desc.root;
        if self.steps.len() != usize::from(level) {
            return Ok(false);
        }
        for step in &self.steps {
            let node = node_at(src, id, level, desc.order)?;
            if step.page != id || step.child != node.count() {
                return Ok(false);
            }
            id = node.child(step.child)?;
            level -= 1;
        }
        Ok(id == self.leaf)
    }
}
