//! A second tree with all that the first one holds, page by page: no key is looked at, and each
//! page is as full as the one that it was copied from.

use super::PageSink;
use super::pages::lower;
use super::search::{node_at, root_level, value_bytes};
use crate::error::{Error, Result};
use crate::format::checksum::run_crc;
use crate::format::descriptor::TableDescriptor;
use crate::format::node::build::Body;
use crate::format::node::edit::NodeMut;
use crate::format::node::{Node, Value};
use crate::format::overflow::OverflowRef;
use crate::format::page::set_birth;
use crate::types::PageId;

/// Copies a tree; the descriptor of the copy. Needs memory for the largest of its values that stand
/// on pages of their own.
pub fn copy_tree<S: PageSink>(sink: &mut S, desc: &TableDescriptor) -> Result<TableDescriptor> {
    let Some(level) = root_level(desc)? else { return Ok(*desc) };
    // The counts bound the walk, as that of `drop_subtree`, and have to come out even.
    let mut left = *desc;
    let root = copy_subtree(sink, &mut left, desc.root, level)?;
    let counts = [left.entries, left.branch_pages, left.leaf_pages, left.overflow_pages];
    if counts != [0; 4] {
        let what = "root of a tree with fewer pages or keys than it counts";
        return Err(Error::corrupt(desc.root, what));
    }
    Ok(TableDescriptor { root, ..*desc })
}

/// Copies what is below a page, and that page; the copy.
fn copy_subtree<S: PageSink>(
    sink: &mut S,
    left: &mut TableDescriptor,
    page: PageId,
    level: u8,
) -> Result<PageId> {
    let root = left.root;
    lower(if level == 0 { &mut left.leaf_pages } else { &mut left.branch_pages }, 1, root)?;
    let node = node_at(sink, page, level)?;
    let count = node.count();
    let (mut children, mut runs) = (Vec::new(), Vec::new());
    if level > 0 {
        for index in 0..=count {
            children.push(node.child(index)?);
        }
    } else {
        lower(&mut left.entries, count as u64, root)?;
        if left.overflow_pages > 0 {
            runs = runs_of(&node)?;
        }
    }
    for child in &mut children {
        *child = copy_subtree(sink, left, *child, level - 1)?;
    }
    for (_, run) in &mut runs {
        lower(&mut left.overflow_pages, run.pages(sink.page_size()), root)?;
        *run = copy_run(sink, page, *run)?;
    }
    let copy = sink.allocate_copy(page)?;
    let txn = sink.txn();
    set_birth(sink.page_mut(copy)?, txn);
    let mut node = NodeMut::open(copy, sink.page_mut(copy)?, level)?;
    for (index, child) in children.into_iter().enumerate() {
        node.set_child(index, child)?;
    }
    for (index, run) in runs {
        node.replace(index, Body::overflow(&run.encode()))?;
    }
    Ok(copy)
}

/// Which entries of a leaf have values on pages of their own, and where.
fn runs_of(leaf: &Node<'_>) -> Result<Vec<(usize, OverflowRef)>> {
    let mut runs = Vec::new();
    for index in 0..leaf.count() {
        if let Value::Overflow(run) = leaf.value(index)? {
            runs.push((index, run));
        }
    }
    Ok(runs)
}

/// Copies a value on pages of its own. Its checksum is made anew, so the old one has to be right.
fn copy_run<S: PageSink>(sink: &mut S, leaf: PageId, run: OverflowRef) -> Result<OverflowRef> {
    let pages = sink.run(run.first, run.pages(sink.page_size()))?;
    if run_crc(run.first, [pages]) != run.crc {
        return Err(Error::corrupt(run.first, "value on pages of its own with a wrong checksum"));
    }
    let value = value_bytes(sink, &node_at(sink, leaf, 0)?, Value::Overflow(run))?.to_vec();
    let (first, crc) = sink.allocate_run(&value)?;
    Ok(OverflowRef { first, crc, birth: sink.txn(), ..run })
}
