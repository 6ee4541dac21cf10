//! What every change of the tree does with pages: make them this transaction's own, write them
//! anew, give them back, and count them.

use super::PageSink;
use super::split::{self, Part};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::Node;
use crate::format::node::build::{Item, NodeHeader, write_node};
use crate::format::order::KeyOrder;
use crate::format::overflow::OverflowRef;
use crate::format::page::{birth, set_birth};
use crate::types::{PageId, TxnId};

/// A private copy of a page, so that entries can be read from it while pages are written.
pub struct PageCopy(Vec<u64>);

impl PageCopy {
    /// Copies a page (its size is a multiple of 8).
    pub fn of(page: &[u8]) -> PageCopy {
        let mut words = vec![0u64; page.len() / 8];
        let room: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let n = room.len();
        room.copy_from_slice(&page[..n]);
        PageCopy(words)
    }

    /// The page's bytes.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    /// The copy as a node.
    pub(super) fn node(&self, id: PageId, level: u8, order: KeyOrder) -> Result<Node<'_>> {
        Node::open(id, self.bytes(), level, order)
    }
}

/// A page that takes part in a change: its entries are rewritten, the page itself used again or
/// freed.
#[derive(Clone, Copy, Debug)]
pub(super) struct OldPage {
    pub id: PageId,
    pub birth: TxnId,
}

/// A child that a change hands to the branch above.
#[derive(Debug)]
pub(super) struct Child {
    pub page: PageId,
    /// The key in front of it; empty and without meaning for the first of a list.
    pub separator: Vec<u8>,
}

/// All entries of a node.
pub(super) fn items_of<'a>(node: &Node<'a>, room: usize) -> Result<Vec<Item<'a>>> {
    match node.order().is_packed() {
        true => items_in(&node.packed(), room),
        false => items_in(node, room),
    }
}

#[inline(always)]
fn items_in<'a>(node: &Node<'a>, room: usize) -> Result<Vec<Item<'a>>> {
    let mut items = Vec::with_capacity(node.count() + room);
    for index in 0..node.count() {
        items.push(node.item(index)?);
    }
    Ok(items)
}

/// A page that is this transaction's own, with its newest id.
#[derive(Clone, Copy)]
pub(super) struct Touched {
    /// Its number.
    pub page: PageId,
    /// It has another number than before, or another birth.
    pub moved: bool,
}

/// Makes a page this transaction's own (T4), with its newest id.
pub(super) fn touch<S: PageSink>(sink: &mut S, id: PageId) -> Result<Touched> {
    let txn = sink.txn();
    let born = birth(sink.page(id)?);
    if born == txn {
        return Ok(Touched { page: id, moved: false });
    }
    if born >= sink.floor() {
        // Of an earlier id: what leads to it may be older than what it will lead to.
        set_birth(sink.page_mut(id)?, txn);
        return Ok(Touched { page: id, moved: true });
    }
    let copy = sink.allocate_copy(id)?;
    set_birth(sink.page_mut(copy)?, txn);
    sink.free(id, born)?;
    Ok(Touched { page: copy, moved: true })
}

fn pages_mut(desc: &mut TableDescriptor, level: u8) -> &mut u64 {
    if level == 0 { &mut desc.leaf_pages } else { &mut desc.branch_pages }
}

/// Lowers a count of the descriptor, which a damaged file can hold too low.
pub(super) fn lower(count: &mut u64, by: u64, desc_root: PageId) -> Result<()> {
    *count = count.checked_sub(by).ok_or_else(|| {
        Error::corrupt(desc_root, "root of a tree with more pages or keys than it counts")
    })?;
    Ok(())
}

/// A page leaves the tree.
pub(super) fn drop_page<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    level: u8,
    page: OldPage,
) -> Result<()> {
    let root = desc.root;
    lower(pages_mut(desc, level), 1, root)?;
    sink.free(page.id, page.birth)
}

/// Gives back the run of an overflow value.
pub(super) fn drop_run<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    run: OverflowRef,
) -> Result<()> {
    let (pages, root) = (run.pages(sink.page_size()), desc.root);
    lower(&mut desc.overflow_pages, pages, root)?;
    sink.free_run(run.first, pages, run.birth)
}

/// Writes entries to as many pages as the parts say, using own pages of `old` again and freeing the
/// rest. `leftmost` is the child in front of the first entry of a branch.
pub(super) fn write_parts<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    level: u8,
    leftmost: PageId,
    items: &[Item<'_>],
    parts: &[Part],
    old: &[OldPage],
) -> Result<Vec<Child>> {
    let (txn, floor) = (sink.txn(), sink.floor());
    let mut own: Vec<PageId> = Vec::with_capacity(old.len());
    for page in old {
        if page.birth >= floor && own.len() < parts.len() {
            own.push(page.id);
        } else {
            drop_page(sink, desc, level, *page)?;
        }
    }
    let mut own = own.into_iter();
    let mut children = Vec::with_capacity(parts.len());
    for part in parts {
        let page = match own.next() {
            Some(page) => page,
            None => {
                let count = pages_mut(desc, level);
                *count = count.saturating_add(1);
                sink.allocate()?
            }
        };
        let mut node_header = NodeHeader { level, birth: txn, leftmost, order: desc.order };
        let mut separator = Vec::new();
        if part.start > 0 {
            separator = split::separator_before(level, items, part.start, desc.order)
                .ok_or_else(|| Error::corrupt(page, "keys out of order"))?;
            if level > 0 {
                node_header.leftmost = items[part.start - 1].child();
            }
        }
        write_node(
            sink.page_mut(page)?,
            node_header,
            &items[part.start..part.end],
            part.prefix_len,
        )
        .map_err(|why| Error::corrupt(page, why))?;
        children.push(Child { page, separator });
    }
    Ok(children)
}
