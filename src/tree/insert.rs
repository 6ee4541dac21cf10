//! Putting a key and its value into the tree.

use super::PageSink;
use super::branch::{Edit, Rewrite, climb, old_page};
use super::pages::{Child, drop_run, items_of, touch, write_parts};
use super::search::{Path, node_at};
use super::split::{Cut, Part};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::build::{Body, Item, NodeHeader, write_node};
use crate::format::node::edit::NodeMut;
use crate::format::node::key::KeyParts;
use crate::format::node::{HEAD, Node, Place, Value, max_key_len, max_key_len_of};
use crate::format::order::KeyOrder;
use crate::format::overflow::{OverflowRef, VALUE_LIMIT};
use crate::types::PageId;

/// Inserts a key, or gives it another value; true if it was there before. One page of each level is
/// written, more when pages split.
///
/// `edge` is where the caller keeps the right edge of the tree from one insertion to the next,
/// which spares ascending keys the descent. It is of use only while nothing else changes the tree.
pub fn insert<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    key: &[u8],
    value: &[u8],
) -> Result<bool> {
    put_pair(sink, desc, edge, key, value, false)
}

/// Inserts a key that is above all others; [`Error::OutOfOrder`], and nothing changed, if it is
/// not.
pub fn append<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    put_pair(sink, desc, edge, key, value, true).map(|_| ())
}

/// Puts a pair; where it must come `last`, only there.
fn put_pair<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    key: &[u8],
    value: &[u8],
    last: bool,
) -> Result<bool> {
    check_lengths(sink.page_size(), desc.order, key, value)?;
    let mut path = edge.take(sink, desc, key)?;
    if path.is_none() {
        path = Path::find(sink, desc, key)?;
        if last
            && let Some(path) = &path
            && !(path.rightmost && is_behind_all(&node_at(sink, path.leaf, 0, desc.order)?, key)?)
        {
            return Err(Error::OutOfOrder);
        }
    }
    put_value(sink, desc, edge, path, key, value)
}

/// Whether a pair may stand in a table with this descriptor, as far as its lengths say.
pub fn check_pair(
    page_size: usize,
    desc: &TableDescriptor,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    match desc.is_set {
        true => {
            check_key(page_size, desc.order, key)?;
            check_set_value(page_size, desc, value)
        }
        false => check_lengths(page_size, desc.order, key, value),
    }
}

pub(super) fn check_lengths(
    page_size: usize,
    order: KeyOrder,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    check_key(page_size, order, key)?;
    if value.len() as u64 >= VALUE_LIMIT {
        return Err(Error::ValueTooLong { len: value.len() as u64 });
    }
    Ok(())
}

pub(super) fn check_key(page_size: usize, order: KeyOrder, key: &[u8]) -> Result<()> {
    let max = max_key_len_of(page_size, order);
    if key.len() > max {
        return Err(Error::KeyTooLong { len: key.len(), max });
    }
    order.check(key)
}

/// Values of sets are keys of a tree, or as long as the table says.
pub(super) fn check_set_value(
    page_size: usize,
    desc: &TableDescriptor,
    value: &[u8],
) -> Result<()> {
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

/// Whether a key is above all those of a leaf.
#[inline(always)]
fn is_behind_all(leaf: &Node<'_>, key: &[u8]) -> Result<bool> {
    Ok(leaf.order().compare_to(&leaf.key(leaf.count() - 1)?, key).is_lt())
}

/// Puts a value, on pages of its own if it is large, at the end of a path.
#[inline(always)]
pub(super) fn put_value<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    path: Option<Path>,
    key: &[u8],
    value: &[u8],
) -> Result<bool> {
    let page_size = sink.page_size();
    let room = &mut Vec::new();
    let key_len = Path::counted_len(path.as_ref(), sink, desc, key)?;
    if let Some(body) = Body::value(page_size, key_len, value, desc.align_shift, room) {
        return put(sink, desc, edge, path, key, body);
    }
    let (first, crc) = sink.allocate_run(value)?;
    let run = OverflowRef { first, len: value.len() as u64, birth: sink.txn(), crc };
    desc.overflow_pages = desc.overflow_pages.saturating_add(run.pages(page_size));
    put(sink, desc, edge, path, key, Body::overflow(&run.encode()))
}

/// The last leaf of a tree and the way to it, as an insertion left them.
///
/// T6: between two insertions other trees may have changed these pages, if damage has made them
/// share some. So the way is followed again, without searching, before it is used, unless no page
/// has come to or left any tree since.
#[derive(Debug, Default)]
pub struct RightmostPath(Option<Path>, u64);

impl RightmostPath {
    /// The path of a key that belongs behind all others; None if it may not, or nothing is known.
    #[inline(always)]
    pub(super) fn take<S: PageSink>(
        &mut self,
        sink: &S,
        desc: &TableDescriptor,
        key: &[u8],
    ) -> Result<Option<Path>> {
        let Some(mut path) = self.0.take() else { return Ok(None) };
        let same = self.1 == sink.turnover();
        if !same && !path.is_last(sink, desc)? {
            return Ok(None);
        }
        let leaf = node_at(sink, path.leaf, 0, desc.order)?;
        if !is_behind_all(&leaf, key)? {
            return Ok(None);
        }
        path.place = Place { index: leaf.count(), found: false };
        Ok(Some(path))
    }
}

/// Puts an entry, as its cell will hold it, at the end of a path.
pub(super) fn put<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    path: Option<Path>,
    key: &[u8],
    body: Body<'_>,
) -> Result<bool> {
    let Some(path) = path else {
        let items = [Item { key: KeyParts::of(key, 0), body }];
        let whole = [Part { start: 0, end: 1, prefix_len: 0 }];
        let pages = write_parts(sink, desc, 0, PageId::NONE, &items, &whole, &[])?;
        desc.root = pages[0].page;
        desc.depth = 1;
        desc.entries = desc.entries.saturating_add(1);
        return Ok(false);
    };
    let index = path.place.index;
    if path.place.found
        && let Value::Overflow(run) = node_at(sink, path.leaf, 0, desc.order)?.value(index)?
    {
        drop_run(sink, desc, run)?;
    }
    let touched = touch(sink, path.leaf)?;
    let leaf = touched.page;
    let mut node = NodeMut::open(leaf, sink.page_mut(leaf)?, 0, desc.order)?;
    let fitted =
        if path.place.found { node.replace(index, body)? } else { node.insert(index, key, body)? };
    let found = path.place.found;
    if !found {
        desc.entries = desc.entries.saturating_add(1);
    }
    let mut cut = Cut::Middle;
    let mut edit = Edit::of(touched);
    if !fitted {
        let node = node.node()?;
        let cuts = cuts(&path, node.count(), key.starts_with(node.prefix()));
        cut = cuts.edge;
        let item = Item { key: KeyParts::of(key, 0), body };
        let parts = match cuts.leaf {
            Cut::Right if !found && path.rightmost && is_settled(&node, key)? => {
                append_leaf(sink, desc, &path, leaf, item)?
            }
            leaf_cut => rewrite_leaf(sink, desc, &path, leaf, item, leaf_cut)?,
        };
        if !matches!(parts, Edit::Done) {
            edit = parts;
        }
    } else if path.rightmost && matches!(edit, Edit::Done) {
        // Nothing has moved: the way stays as it is.
        *edge = RightmostPath(Some(path), sink.turnover());
        return Ok(found);
    }
    climb(sink, desc, &path.steps, 0, edit, cut)?;
    Ok(found)
}

/// Whether a leaf that has become full is as it should stay, and its prefix one for the next leaf
/// too: the keys differ within their heads, and the new one begins as they do.
fn is_settled(leaf: &Node<'_>, key: &[u8]) -> Result<bool> {
    if !leaf.order().is_packed() {
        return Ok(true);
    }
    let common = leaf.key(0)?.common_prefix(&leaf.key(leaf.count() - 1)?);
    Ok(common < leaf.prefix().len() + HEAD && key.starts_with(leaf.prefix()))
}

/// Puts an entry that comes behind all others into a leaf of its own, with the prefix of the leaf
/// before it.
fn append_leaf<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    path: &Path,
    leaf: PageId,
    item: Item<'_>,
) -> Result<Edit> {
    let before = node_at(sink, leaf, 0, desc.order)?;
    let prefix_len = before.prefix().len();
    let last = before.key(before.count() - 1)?;
    let separator = desc.order.separator(&last, &item.key);
    let separator = separator.ok_or_else(|| before.corrupt("keys out of order"))?;
    let node_header =
        NodeHeader { level: 0, birth: sink.txn(), leftmost: PageId::NONE, order: desc.order };
    let page = sink.allocate()?;
    desc.leaf_pages = desc.leaf_pages.saturating_add(1);
    write_node(sink.page_mut(page)?, node_header, &[item], prefix_len)
        .map_err(|why| Error::corrupt(page, why))?;
    let at = path.steps.last().map_or(0, |step| step.child);
    let children = vec![Child { page: leaf, separator: Vec::new() }, Child { page, separator }];
    Ok(Edit::Children { first: at, last: at, children })
}

/// Where pages are cut that an insertion makes too full.
struct Cuts {
    leaf: Cut,
    /// In the branches above.
    edge: Cut,
}

fn cuts(path: &Path, count: usize, has_prefix: bool) -> Cuts {
    let Place { index, found } = path.place;
    let (first, last) = (index == 0, index + usize::from(found) == count);
    // At the edges also where an entry has grown: the sets of ascending keys do, value by value.
    if last && path.rightmost {
        return Cuts { leaf: Cut::Right, edge: Cut::Right };
    }
    if first && path.leftmost {
        return Cuts { leaf: Cut::Left, edge: Cut::Left };
    }
    if found {
        return Cuts { leaf: Cut::Middle, edge: Cut::Middle };
    }
    // A key without the page's prefix would spoil it for half of the others; alone it spoils
    // nothing.
    let leaf = match (has_prefix, last) {
        (true, _) => Cut::Middle,
        (false, true) => Cut::Right,
        (false, false) => Cut::Left,
    };
    Cuts { leaf, edge: Cut::Middle }
}

/// Writes a leaf of this transaction anew, with one entry more or changed.
fn rewrite_leaf<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    path: &Path,
    leaf: PageId,
    item: Item<'_>,
    cut: Cut,
) -> Result<Edit> {
    let (copy, old) = old_page(sink, leaf)?;
    let node = copy.node(leaf, 0, desc.order)?;
    let mut items = items_of(&node, 1)?;
    let Place { index, found } = path.place;
    if index >= items.len() + usize::from(!found) {
        return Err(node.corrupt("fewer keys than a moment ago"));
    }
    if found {
        // The key stays as it is: in an order of the user's another one may be equal to it.
        items[index].body = item.body;
    } else {
        items.insert(index, item);
    }
    let parent = path.steps.last().copied();
    Rewrite { level: 0, old, leftmost: PageId::NONE, items, parent }.write(sink, desc, cut)
}
