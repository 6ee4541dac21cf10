//! Sets of values: what a key has in a table of sets.
//!
//! - S1: one value stands in the leaf as in any table; several stand there side by side while the
//!   entry takes no more than half a leaf; more are the keys of a tree of their own, or stand in its
//!   packed leaves where they have one size. The cell of the key leads to that tree.
//! - S2: a tree becomes a list again when that takes no more than half of what one may take, so
//!   that a value which comes and goes does not move the others each time.
//! - S3: the pages of these trees count as overflow pages of the table, and `pairs` counts the
//!   values of all keys.
//!
//! The tree of a key knows nothing of the one that leads to it. Whenever it changes, the cell of the
//! key is written anew: so no page of it is younger than what leads to it (T4).

use super::insert::{RightmostPath, append, check_key, insert, put};
use super::key::Key;
use super::packed::{self, PackedRange};
use super::pages::lower;
use super::range::Range;
use super::remove::{drop_tree, remove};
use super::search::{Path, find, node_at};
use super::{PageSink, PageSource};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::build::Body;
use crate::format::node::set::{BAD_ENDS, InlineSet, encode_set, encode_tree};
use crate::format::node::{ENTRY, LEAF_CELL, Node, Value, is_inline, max_key_len};
use std::ops::Bound;

/// The values of one key.
#[derive(Clone, Copy, Debug)]
pub enum Set<'a> {
    /// One.
    One(&'a [u8]),
    /// Several, in the leaf.
    Inline(InlineSet<'a>),
    /// A tree of them.
    Tree(TableDescriptor),
}

impl<'a> Set<'a> {
    /// What a leaf of a table of sets holds beside a key.
    pub(super) fn of(leaf: &Node<'a>, value: Value<'a>) -> Result<Set<'a>> {
        match value {
            Value::Inline(value) => Ok(Set::One(value)),
            Value::Set(set) => Ok(Set::Inline(set)),
            Value::Tree(tree) => Ok(Set::Tree(tree)),
            Value::Overflow(_) | Value::Table(_) => Err(leaf.corrupt("no set of values")),
        }
    }

    /// Number of values. O(1).
    pub fn count(&self) -> u64 {
        match self {
            Set::One(_) => 1,
            Set::Inline(set) => set.count() as u64,
            Set::Tree(tree) => tree.entries,
        }
    }
}

/// The values of a key; None if it has none.
pub fn get_set<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    key: &[u8],
) -> Result<Option<Set<'a>>> {
    match find(src, desc, key)? {
        Some((leaf, value)) => Set::of(&leaf, value).map(Some),
        None => Ok(None),
    }
}

/// Whether a set has a value. `desc` is that of the table.
pub fn set_contains<S: PageSource>(
    src: &S,
    desc: &TableDescriptor,
    set: &Set<'_>,
    value: &[u8],
) -> Result<bool> {
    match set {
        Set::One(only) => Ok(*only == value),
        Set::Inline(set) => {
            set.search(value).map(|found| found.is_ok()).map_err(|why| bad(desc, why))
        }
        Set::Tree(tree) if tree.value_size > 0 => packed::contains(src, tree, value),
        Set::Tree(tree) => Ok(find(src, tree, value)?.is_some()),
    }
}

fn bad(desc: &TableDescriptor, why: &str) -> Error {
    Error::corrupt(desc.root, format!("root of a tree with a {why}"))
}

/// Inserts a value of a key; false, and nothing changed, if the key has it.
pub fn insert_pair<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    key: &[u8],
    value: &[u8],
) -> Result<bool> {
    let page_size = sink.page_size();
    check_key(page_size, key)?;
    check_value(page_size, desc, value)?;
    let path = match edge.take(sink, desc, key)? {
        Some(path) => Some(path),
        None => Path::find(sink, desc, key)?,
    };
    let before = match &path {
        Some(path) if path.place.found => {
            let leaf = node_at(sink, path.leaf, 0)?;
            Some(Set::of(&leaf, leaf.value(path.place.index)?)?)
        }
        _ => None,
    };
    let list = match before {
        None => vec![value],
        Some(Set::Tree(mut tree)) => {
            let pages = pages_of(&tree);
            if !insert_in_tree(sink, &mut tree, value)? {
                return Ok(false);
            }
            store_tree(sink, desc, key, &tree, pages)?;
            desc.pairs = desc.pairs.saturating_add(1);
            return Ok(true);
        }
        Some(set) => match with(&set, value).map_err(|why| bad(desc, why))? {
            Some(list) => list,
            None => return Ok(false),
        },
    };
    desc.pairs = desc.pairs.saturating_add(1);
    match encode(page_size, key, &list, desc.value_size, usize::MAX) {
        Some(bytes) => {
            put(sink, desc, edge, path, key, body(&bytes))?;
        }
        None => {
            let list: Vec<Vec<u8>> = list.iter().map(|value| value.to_vec()).collect();
            let tree = grow_tree(sink, desc, &list)?;
            store_tree(sink, desc, key, &tree, 0)?;
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
    let Some(set) = get_set(sink, desc, key)? else { return Ok(false) };
    if !set_contains(sink, desc, &set, value)? {
        return Ok(false);
    }
    if set.count() == 1 {
        return remove(sink, desc, key);
    }
    let root = desc.root;
    match set {
        Set::Tree(mut tree) => {
            let pages = pages_of(&tree);
            if !remove_from_tree(sink, &mut tree, value)? {
                return Err(bad(desc, "set whose values are out of order"));
            }
            lower(&mut desc.pairs, 1, root)?;
            match list_of_small(sink, &tree)? {
                Some(list) => {
                    let list: Vec<&[u8]> = list.iter().map(|value| &value[..]).collect();
                    let most = most_of(page_size) / 2;
                    if let Some(bytes) = encode(page_size, key, &list, desc.value_size, most) {
                        drop_tree(sink, &tree)?;
                        lower(&mut desc.overflow_pages, pages, root)?;
                        return replace(sink, desc, key, body(&bytes)).map(|()| true);
                    }
                    store_tree(sink, desc, key, &tree, pages)?;
                }
                None => store_tree(sink, desc, key, &tree, pages)?,
            }
        }
        set => {
            let mut list = list_of(&set).map_err(|why| bad(desc, why))?;
            list.retain(|other| *other != value);
            let bytes = encode(page_size, key, &list, desc.value_size, usize::MAX);
            let bytes = bytes.ok_or_else(|| bad(desc, "set that is too long"))?;
            lower(&mut desc.pairs, 1, root)?;
            replace(sink, desc, key, body(&bytes))?;
        }
    }
    Ok(true)
}

/// Values are keys of a tree, or as long as the table says.
fn check_value(page_size: usize, desc: &TableDescriptor, value: &[u8]) -> Result<()> {
    let max = max_key_len(page_size);
    if value.len() > max {
        return Err(Error::InvalidArgument(format!(
            "value of {} bytes in a table of sets, at most {max} are allowed",
            value.len()
        )));
    }
    let size = usize::from(desc.value_size);
    if size > 0 && value.len() != size {
        let len = value.len();
        let what = format!("value of {len} bytes in a table whose values have {size}");
        return Err(Error::InvalidArgument(what));
    }
    Ok(())
}

/// Bytes that an entry of a list may take.
fn most_of(page_size: usize) -> usize {
    (page_size - crate::format::page::HEADER) / 2
}

/// What stands in the cell of a key with these values; None if its entry would be longer than
/// `most`, or than may stand in a leaf (S1).
fn encode(
    page_size: usize,
    key: &[u8],
    list: &[&[u8]],
    value_size: u16,
    most: usize,
) -> Option<Encoded> {
    let bytes = match list {
        [only] => Encoded { bytes: only.to_vec(), several: false },
        list => Encoded { bytes: encode_set(list, value_size)?, several: true },
    };
    let len = bytes.bytes.len();
    let entry = ENTRY + LEAF_CELL + key.len() + len;
    (is_inline(page_size, key.len(), len) && entry <= most).then_some(bytes)
}

struct Encoded {
    bytes: Vec<u8>,
    several: bool,
}

fn body(encoded: &Encoded) -> Body<'_> {
    match encoded.several {
        true => Body::set(&encoded.bytes, false),
        false => Body::inline(&encoded.bytes),
    }
}

/// The values of a set that is no tree.
fn list_of<'a>(set: &Set<'a>) -> std::result::Result<Vec<&'a [u8]>, &'static str> {
    match set {
        Set::One(value) => Ok(vec![value]),
        Set::Inline(set) => set.to_list(),
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

fn pages_of(tree: &TableDescriptor) -> u64 {
    tree.branch_pages.saturating_add(tree.leaf_pages)
}

fn insert_in_tree<S: PageSink>(
    sink: &mut S,
    tree: &mut TableDescriptor,
    value: &[u8],
) -> Result<bool> {
    if tree.value_size > 0 {
        return packed::insert(sink, tree, value);
    }
    if find(sink, tree, value)?.is_some() {
        return Ok(false);
    }
    insert(sink, tree, &mut RightmostPath::default(), value, b"").map(|_| true)
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
fn grow_tree<S: PageSink>(
    sink: &mut S,
    desc: &TableDescriptor,
    list: &[Vec<u8>],
) -> Result<TableDescriptor> {
    let mut tree =
        TableDescriptor { value_size: desc.value_size, ..TableDescriptor::default() };
    let mut edge = RightmostPath::default();
    for value in list {
        match tree.value_size {
            0 => append(sink, &mut tree, &mut edge, value, b"")
                .map_err(|_| bad(desc, "set whose values are out of order"))?,
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

/// Puts the reference to a tree of values beside its key; before, the tree had `pages` pages.
fn store_tree<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    key: &[u8],
    tree: &TableDescriptor,
    pages: u64,
) -> Result<()> {
    let root = desc.root;
    lower(&mut desc.overflow_pages, pages, root)?;
    desc.overflow_pages = desc.overflow_pages.saturating_add(pages_of(tree));
    replace(sink, desc, key, Body::set(&encode_tree(tree), true))
}

/// Gives a key another cell. It is looked for again: in a damaged file a change of the tree of
/// values may have changed this one (T6).
fn replace<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    key: &[u8],
    body: Body<'_>,
) -> Result<()> {
    let path = Path::find(sink, desc, key)?;
    put(sink, desc, &mut RightmostPath::default(), path, key, body).map(|_| ())
}

/// The values of one key between two bounds, from both ends. After an error, and after the end, it
/// yields None for ever.
pub struct SetValues<'a, S> {
    kind: Kind<'a, S>,
}

enum Kind<'a, S> {
    None,
    One(&'a [u8]),
    /// The values of a list from the first index up to the second.
    Inline(InlineSet<'a>, usize, usize),
    Tree(Box<Range<'a, S>>),
    Packed(Box<PackedRange<'a, S>>),
}

impl<'a, S: PageSource> SetValues<'a, S> {
    /// Of a set of a table with this descriptor.
    pub fn new(
        src: &'a S,
        desc: &TableDescriptor,
        set: &Set<'a>,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<SetValues<'a, S>> {
        let kind = match *set {
            Set::One(value) if is_within(value, from, to) => Kind::One(value),
            Set::One(_) => Kind::None,
            Set::Inline(set) => {
                let place = |value| set.search(value).map_err(|why| bad(desc, why));
                let start = match from {
                    Bound::Unbounded => 0,
                    Bound::Included(value) => place(value)?.unwrap_or_else(|at| at),
                    Bound::Excluded(value) => place(value)?.map_or_else(|at| at, |at| at + 1),
                };
                let end = match to {
                    Bound::Unbounded => set.count(),
                    Bound::Included(value) => place(value)?.map_or_else(|at| at, |at| at + 1),
                    Bound::Excluded(value) => place(value)?.unwrap_or_else(|at| at),
                };
                Kind::Inline(set, start, end)
            }
            Set::Tree(tree) => return SetValues::of_tree(src, &tree, from, to),
        };
        Ok(SetValues { kind })
    }

    fn of_tree(
        src: &'a S,
        tree: &TableDescriptor,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<SetValues<'a, S>> {
        let kind = match tree.value_size {
            0 => Kind::Tree(Box::new(Range::new(src, tree, from, to)?)),
            _ => Kind::Packed(Box::new(PackedRange::new(src, tree, from, to)?)),
        };
        Ok(SetValues { kind })
    }

    /// The next value from one end.
    pub fn advance(&mut self, forward: bool) -> Result<Option<Key<'a>>> {
        let value = match &mut self.kind {
            Kind::None => None,
            &mut Kind::One(value) => {
                self.kind = Kind::None;
                Some(value)
            }
            Kind::Inline(set, start, end) => {
                if *start >= *end {
                    return Ok(None);
                }
                let index = if forward { *start } else { *end - 1 };
                let Some(value) = set.get(index) else {
                    self.kind = Kind::None;
                    return Err(Error::corrupt(crate::types::PageId::NONE, BAD_ENDS));
                };
                *(if forward { start } else { end }) = if forward { index + 1 } else { index };
                Some(value)
            }
            Kind::Tree(range) => {
                let next = if forward { range.next() } else { range.next_back() };
                return Ok(next.transpose()?.map(|(value, _)| value));
            }
            Kind::Packed(range) => range.advance(forward)?,
        };
        Ok(value.map(Key::from))
    }

    /// The next values as one slice, where all have one size: those that stand side by side.
    pub fn next_slice(&mut self) -> Result<Option<&'a [u8]>> {
        match &mut self.kind {
            &mut Kind::One(value) => {
                self.kind = Kind::None;
                Ok(Some(value))
            }
            &mut Kind::Inline(set, start, end) => {
                self.kind = Kind::None;
                let size = set.value_size();
                Ok(set.packed().and_then(|values| values.get(size * start..size * end)))
                    .map(|slice| slice.filter(|slice| !slice.is_empty()))
            }
            Kind::Packed(range) => range.next_slice(),
            Kind::None | Kind::Tree(_) => Ok(None),
        }
    }
}

fn is_within(value: &[u8], from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    let above = match from {
        Bound::Unbounded => true,
        Bound::Included(from) => value >= from,
        Bound::Excluded(from) => value > from,
    };
    above
        && match to {
            Bound::Unbounded => true,
            Bound::Included(to) => value <= to,
            Bound::Excluded(to) => value < to,
        }
}
