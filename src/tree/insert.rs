//! Putting a key and its value into the tree.

use super::PageSink;
use super::branch::{Edit, Rewrite, climb, old_page};
use super::pages::{drop_run, items_of, touch, write_parts};
use super::search::{Path, node_at};
use super::split::{Cut, Part};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::build::Item;
use crate::format::node::edit::NodeMut;
use crate::format::node::key::KeyParts;
use crate::format::node::{TAG_OVERFLOW, Value, is_inline, max_key_len};
use crate::format::overflow::{OverflowRef, VALUE_LIMIT};
use crate::planted::{Bug, planted};
use crate::types::PageId;

/// Inserts a key, or gives it another value; true if it was there before. One page of each level is
/// written, more when pages split.
pub fn insert<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    key: &[u8],
    value: &[u8],
) -> Result<bool> {
    let page_size = sink.page_size();
    let max = max_key_len(page_size);
    if key.len() > max {
        return Err(Error::KeyTooLong { len: key.len(), max });
    }
    if value.len() as u64 >= VALUE_LIMIT {
        return Err(Error::ValueTooLong { len: value.len() as u64 });
    }
    let path = Path::find(sink, desc, key)?;
    if is_inline(page_size, key.len(), value.len()) {
        return put(sink, desc, path, key, value.len() as u64, value);
    }
    let (first, crc) = sink.allocate_run(value)?;
    let run = OverflowRef { first, len: value.len() as u64, birth: sink.txn(), crc };
    desc.overflow_pages = desc.overflow_pages.saturating_add(run.pages(page_size));
    put(sink, desc, path, key, u64::from(TAG_OVERFLOW), &run.encode())
}

/// Puts an entry, as its cell will hold it, at the end of a path.
fn put<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    path: Option<Path>,
    key: &[u8],
    tag: u64,
    tail: &[u8],
) -> Result<bool> {
    let Some(path) = path else {
        let items = [Item { key: KeyParts::of(key, 0), tag, tail }];
        let whole = [Part { start: 0, end: 1, prefix_len: 0 }];
        let pages = write_parts(sink, desc, 0, PageId::NONE, &items, &whole, &[])?;
        desc.root = pages[0].page;
        desc.depth = 1;
        desc.entries = desc.entries.saturating_add(1);
        return Ok(false);
    };
    let index = path.place.index;
    if path.place.found
        && !planted(Bug::ReplacedRunKept)
        && let Value::Overflow(run) = node_at(sink, path.leaf, 0)?.value(index)?
    {
        drop_run(sink, desc, run)?;
    }
    let leaf = touch(sink, path.leaf)?;
    let mut node = NodeMut::open(leaf, sink.page_mut(leaf)?, 0)?;
    let fitted = if path.place.found {
        node.replace(index, tag, tail)?
    } else {
        node.insert(index, key, tag, tail)?
    };
    let mut edge = Cut::Middle;
    let mut edit = Edit::settled(path.leaf, leaf);
    if !fitted {
        let cuts = cuts(&path, node.node()?.count(), key.starts_with(node.node()?.prefix()));
        edge = cuts.edge;
        let parts = rewrite_leaf(
            sink,
            desc,
            &path,
            leaf,
            Item { key: KeyParts::of(key, 0), tag, tail },
            cuts.leaf,
        )?;
        if !matches!(parts, Edit::Done) {
            edit = parts;
        }
    }
    climb(sink, desc, &path.steps, edit, edge)?;
    if !path.place.found || planted(Bug::ReplacedKeyCounted) {
        desc.entries = desc.entries.saturating_add(1);
    }
    Ok(path.place.found)
}

/// Where pages are cut that an insertion makes too full.
struct Cuts {
    leaf: Cut,
    /// In the branches above.
    edge: Cut,
}

fn cuts(path: &Path, count: usize, has_prefix: bool) -> Cuts {
    let (first, last) = (path.place.index == 0, path.place.index == count);
    if path.place.found {
        return Cuts { leaf: Cut::Middle, edge: Cut::Middle };
    }
    if last && path.rightmost {
        return Cuts { leaf: Cut::Right, edge: Cut::Right };
    }
    if first && path.leftmost {
        return Cuts { leaf: Cut::Left, edge: Cut::Left };
    }
    // A key without the page's prefix would spoil it for half of the others; alone it spoils nothing.
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
    let mut items = items_of(&copy.node(leaf, 0)?, 1)?;
    if path.place.found {
        items[path.place.index] = item;
    } else {
        items.insert(path.place.index, item);
    }
    let parent = path.steps.last().copied();
    Rewrite { level: 0, old, leftmost: PageId::NONE, items, parent }.write(sink, desc, cut)
}
