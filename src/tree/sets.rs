//! Sets of values: what a key has in a table of sets.
//!
//! - S1: one value stands in the leaf as in any table; several stand there side by side while the
//!   entry takes no more than half a leaf; more are the keys of a tree of their own, or stand in
//!   its packed leaves where they have one size. The cell of the key leads to that tree.
//! - S2: a tree becomes a list again when that takes no more than half of what one may take, so
//!   that a value which comes and goes does not move the others each time.
//! - S3: the pages of these trees count as overflow pages of the table, and `pairs` counts the
//!   values of all keys.
//!
//! The tree of a key knows nothing of the one that leads to it. Whenever it changes, the cell of
//! the key is written anew: so no page of it is younger than what leads to it (T4).

use super::PageSink;
use super::insert::{RightmostPath, append, check_key, check_set_value, insert, put};
use super::packed;
use super::pages::lower;
use super::remove::{drop_tree, remove, remove_at};
use super::search::{Path, find, node_at};
use super::set::{Set, bad, pages_of};
use super::set_values::{SetValues, set_contains};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::build::Body;
use crate::format::node::set::{encode_set, encode_tree};
use crate::format::node::{ENTRY, LEAF_CELL, is_inline};
use crate::format::order::KeyOrder;
use crate::format::page::HEADER;
use crate::types::PageId;
use std::ops::Bound;

/// Inserts a value of a key; false, and nothing changed, if the key has it.
pub fn insert_pair<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    key: &[u8],
    value: &[u8],
) -> Result<bool> {
    let page_size = sink.page_size();
    check_key(page_size, desc.order, key)?;
    check_set_value(page_size, desc, value)?;
    let path = match edge.take(sink, desc, key)? {
        Some(path) => Some(path),
        None => Path::find(sink, desc, key)?,
    };
    let before = match &path {
        Some(path) if path.place.found => {
            let leaf = node_at(sink, path.leaf, 0, desc.order)?;
            Some(Set::of(&leaf, leaf.value(path.place.index)?)?.checked(desc)?)
        }
        _ => None,
    };
    let was = before.as_ref().map(Was::of);
    let list = match before {
        None => vec![value],
        Some(Set::Tree(mut tree)) => {
            if !insert_in_tree(sink, &mut tree, &mut RightmostPath::default(), value)? {
                return Ok(false);
            }
            store_tree(sink, desc, key, &tree, was)?;
            desc.pairs = desc.pairs.saturating_add(1);
            return Ok(true);
        }
        Some(set) => match with(&set, value).map_err(|why| bad(desc, why))? {
            Some(list) => list,
            None => return Ok(false),
        },
    };
    let key_len = Path::counted_len(path.as_ref(), sink, desc, key)?;
    desc.pairs = desc.pairs.saturating_add(1);
    match encode(page_size, key_len, &list, desc.value_size, usize::MAX) {
        Some(bytes) => {
            put(sink, desc, edge, path, key, body(&bytes))?;
        }
        None => {
            let list: Vec<Vec<u8>> = list.iter().map(|value| value.to_vec()).collect();
            let tree = grow_tree(sink, desc, &list)?;
            store_tree(sink, desc, key, &tree, was)?;
        }
    }
    Ok(true)
}

/// Removes a value of a key; false, and nothing changed, if the key does not have it. A key that
/// loses its last value goes with it.
pub fn remove_pair<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    key: &[u8],
    value: &[u8],
) -> Result<bool> {
    let page_size = sink.page_size();
    let Some(path) = Path::find(sink, desc, key)?.filter(|path| path.place.found) else {
        return Ok(false);
    };
    let key_len = Path::counted_len(Some(&path), sink, desc, key)?;
    let leaf = node_at(sink, path.leaf, 0, desc.order)?;
    let set = Set::of(&leaf, leaf.value(path.place.index)?)?.checked(desc)?;
    if !set_contains(sink, desc, &set, value)? {
        return Ok(false);
    }
    if set.count() == 1 {
        return remove_at(sink, desc, &path).map(|()| true);
    }
    let (was, root) = (Was::of(&set), desc.root);
    match set {
        Set::Tree(mut tree) => {
            if !remove_from_tree(sink, &mut tree, value)? {
                return Err(bad(desc, "set whose values are out of order"));
            }
            lower(&mut desc.pairs, 1, root)?;
            match list_of_small(sink, &tree)? {
                Some(list) => {
                    let list: Vec<&[u8]> = list.iter().map(|value| &value[..]).collect();
                    let most = most_of(page_size) / 2;
                    if let Some(bytes) = encode(page_size, key_len, &list, desc.value_size, most) {
                        drop_tree(sink, &tree)?;
                        lower(&mut desc.overflow_pages, was.pages, root)?;
                        return replace(sink, desc, key, Some(was), body(&bytes)).map(|()| true);
                    }
                    store_tree(sink, desc, key, &tree, Some(was))?;
                }
                None => store_tree(sink, desc, key, &tree, Some(was))?,
            }
        }
        set => {
            let mut list = list_of(&set).map_err(|why| bad(desc, why))?;
            list.retain(|other| *other != value);
            let bytes = encode(page_size, key_len, &list, desc.value_size, usize::MAX);
            let bytes = bytes.ok_or_else(|| bad(desc, "set that is too long"))?;
            lower(&mut desc.pairs, 1, root)?;
            replace(sink, desc, key, Some(was), body(&bytes))?;
        }
    }
    Ok(true)
}

/// Bytes that an entry of a list may take.
fn most_of(page_size: usize) -> usize {
    (page_size - HEADER) / 2
}

/// What stands in the cell of a key with these values; None if its entry would be longer than
/// `most`, or than may stand in a leaf (S1). The key's length as [`Path::counted_len`] gives it.
pub(super) fn encode(
    page_size: usize,
    key_len: usize,
    list: &[&[u8]],
    value_size: u16,
    most: usize,
) -> Option<Encoded> {
    let bytes = match list {
        [only] => Encoded { bytes: only.to_vec(), several: false },
        list => Encoded { bytes: encode_set(list, value_size)?, several: true },
    };
    let len = bytes.bytes.len();
    let entry = ENTRY + LEAF_CELL + key_len + len;
    (is_inline(page_size, key_len, len) && entry <= most).then_some(bytes)
}

pub(super) struct Encoded {
    bytes: Vec<u8>,
    several: bool,
}

pub(super) fn body(encoded: &Encoded) -> Body<'_> {
    match encoded.several {
        true => Body::set(&encoded.bytes, false),
        false => Body::inline(&encoded.bytes),
    }
}

/// The values of a set that is no tree.
fn list_of<'a>(set: &Set<'a>) -> std::result::Result<Vec<&'a [u8]>, &'static str> {
    match set {
        Set::One(value) => Ok(vec![value]),
        Set::Inline(set) => set.list(),
        Set::Tree(_) => Err("tree where a list must be"),
    }
}

/// The same with one value more; None if it is there.
fn with<'a>(
    set: &Set<'a>,
    value: &'a [u8],
) -> std::result::Result<Option<Vec<&'a [u8]>>, &'static str> {
    let mut list = list_of(set)?;
    match list.binary_search(&value) {
        Ok(_) => Ok(None),
        Err(index) => {
            list.insert(index, value);
            Ok(Some(list))
        }
    }
}

/// `edge` is that of the tree of values.
pub(super) fn insert_in_tree<S: PageSink>(
    sink: &mut S,
    tree: &mut TableDescriptor,
    edge: &mut RightmostPath,
    value: &[u8],
) -> Result<bool> {
    if tree.value_size > 0 {
        return packed::insert(sink, tree, value);
    }
    if find(sink, tree, KeyOrder::PACKED, value)?.is_some() {
        return Ok(false);
    }
    insert(sink, tree, edge, value, b"").map(|_| true)
}

fn remove_from_tree<S: PageSink>(
    sink: &mut S,
    tree: &mut TableDescriptor,
    value: &[u8],
) -> Result<bool> {
    match tree.value_size {
        0 => remove(sink, tree, value),
        _ => packed::remove(sink, tree, value),
    }
}

/// A new tree of these values, which ascend.
pub(super) fn grow_tree<S: PageSink>(
    sink: &mut S,
    desc: &TableDescriptor,
    list: &[impl AsRef<[u8]>],
) -> Result<TableDescriptor> {
    let mut tree = TableDescriptor { value_size: desc.value_size, ..TableDescriptor::default() };
    let mut edge = RightmostPath::default();
    for value in list.iter().map(AsRef::as_ref) {
        match tree.value_size {
            0 => append(sink, &mut tree, &mut edge, value, b"").map_err(|e| match e {
                // Not of this insertion: nobody may go on.
                Error::OutOfOrder | Error::KeyTooLong { .. } => {
                    bad(desc, "set whose values cannot be")
                }
                other => other,
            })?,
            _ => drop(packed::insert(sink, &mut tree, value)?),
        }
    }
    Ok(tree)
}

/// The values of a tree that may be a list again; None if it is too large for that.
fn list_of_small<S: PageSink>(sink: &S, tree: &TableDescriptor) -> Result<Option<Vec<Vec<u8>>>> {
    let most = most_of(sink.page_size()) / 2;
    if tree.depth > 1 || tree.entries > most as u64 {
        return Ok(None);
    }
    let mut values = SetValues::of_tree(sink, tree, Bound::Unbounded, Bound::Unbounded)?;
    let (mut list, mut bytes) = (Vec::new(), 0);
    while let Some(value) = values.advance(true)? {
        bytes += value.len();
        if bytes > most {
            return Ok(None);
        }
        list.push(value.into_vec());
    }
    Ok(Some(list))
}

/// What a key had when its values began to change, by which its cell is known again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Was {
    count: u64,
    /// Of its tree, if it had one, and the pages of that.
    root: PageId,
    pages: u64,
}

impl Was {
    pub fn of(set: &Set<'_>) -> Was {
        match set {
            Set::Tree(tree) => Was { count: tree.entries, root: tree.root, pages: pages_of(tree) },
            list => Was { count: list.count(), root: PageId::NONE, pages: 0 },
        }
    }
}

/// Puts the reference to a tree of values beside its key, which had none before, or this.
pub(super) fn store_tree<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    key: &[u8],
    tree: &TableDescriptor,
    was: Option<Was>,
) -> Result<()> {
    let root = desc.root;
    lower(&mut desc.overflow_pages, was.map_or(0, |was| was.pages), root)?;
    desc.overflow_pages = desc.overflow_pages.saturating_add(pages_of(tree));
    replace(sink, desc, key, was, Body::set(&encode_tree(tree), true))
}

/// Gives a key another cell. It is looked for again, and must be as it was: in a damaged file a
/// change of the tree of values may have changed this one (T6), and a function that is no order may
/// lead to another key, whose pages would belong to nobody, or twice.
fn replace<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    key: &[u8],
    was: Option<Was>,
    body: Body<'_>,
) -> Result<()> {
    let path = Path::find(sink, desc, key)?;
    let is = match &path {
        Some(path) if path.place.found => {
            let leaf = node_at(sink, path.leaf, 0, desc.order)?;
            Some(Was::of(&Set::of(&leaf, leaf.value(path.place.index)?)?))
        }
        _ => None,
    };
    if is != was {
        return Err(bad(desc, "key that is not where it was"));
    }
    put(sink, desc, &mut RightmostPath::default(), path, key, body).map(|_| ())
}
