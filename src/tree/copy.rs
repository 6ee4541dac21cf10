//! A second tree with all that the first one holds, page by page: no key is looked at, and each
//! page is as full as the one that it was copied from.

use super::PageSink;
use super::packed;
use super::pages::lower;
use super::search::{no_set, node_at, root_level, value_bytes};
use super::set::Set;
use crate::error::{Error, Result};
use crate::format::checksum::run_crc;
use crate::format::descriptor::TableDescriptor;
use crate::format::node::build::Body;
use crate::format::node::edit::NodeMut;
use crate::format::node::set::encode_tree;
use crate::format::node::{Node, Value};
use crate::format::order::KeyOrder;
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
    let pages = [left.branch_pages, left.leaf_pages, left.overflow_pages];
    if (left.entries, left.pairs, pages) != (0, 0, [0; 3]) {
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
    if level == 0 && !left.is_set && left.value_size > 0 {
        let count = packed::leaf_at(sink, left, page)?.count();
        lower(&mut left.entries, count as u64, root)?;
        return copy_page(sink, page);
    }
    let node = node_at(sink, page, level, left.order)?;
    let count = node.count();
    let (mut children, mut values) = (Vec::new(), Vec::new());
    if level > 0 {
        for index in 0..=count {
            children.push(node.child(index)?);
        }
    } else {
        lower(&mut left.entries, count as u64, root)?;
        if left.overflow_pages > 0 || left.is_set {
            values = values_apart(left, &node)?;
        }
    }
    for child in &mut children {
        *child = copy_subtree(sink, left, *child, level - 1)?;
    }
    for (_, value) in &mut values {
        let pages = match value {
            Apart::Run(run) => run.pages(sink.page_size()),
            Apart::Tree(tree) => tree.branch_pages.saturating_add(tree.leaf_pages),
        };
        lower(&mut left.overflow_pages, pages, root)?;
        *value = match value {
            Apart::Run(run) => Apart::Run(copy_run(sink, page, left.order, *run)?),
            Apart::Tree(tree) => Apart::Tree(copy_tree(sink, tree)?),
        };
    }
    let copy = copy_page(sink, page)?;
    let mut node = NodeMut::open(copy, sink.page_mut(copy)?, level, left.order)?;
    for (index, child) in children.into_iter().enumerate() {
        node.set_child(index, child)?;
    }
    for (index, value) in values {
        match value {
            Apart::Run(run) => node.replace(index, Body::overflow(&run.encode()))?,
            Apart::Tree(tree) => node.replace(index, Body::set(&encode_tree(&tree), true))?,
        };
    }
    Ok(copy)
}

/// Copies a page, as one of this transaction.
fn copy_page<S: PageSink>(sink: &mut S, page: PageId) -> Result<PageId> {
    let copy = sink.allocate_copy(page)?;
    let txn = sink.txn();
    set_birth(sink.page_mut(copy)?, txn);
    Ok(copy)
}

/// What an entry has outside its leaf.
enum Apart {
    Run(OverflowRef),
    Tree(TableDescriptor),
}

/// Which entries of a leaf have something outside of it, and where; sets are counted off.
fn values_apart(left: &mut TableDescriptor, leaf: &Node<'_>) -> Result<Vec<(usize, Apart)>> {
    let (root, mut apart) = (left.root, Vec::new());
    for index in 0..leaf.count() {
        let value = leaf.value(index)?;
        if left.is_set {
            let set = Set::of(leaf, value)?.checked(left)?;
            lower(&mut left.pairs, set.count(), root)?;
        }
        match value {
            Value::Overflow(run) => apart.push((index, Apart::Run(run))),
            Value::Tree(tree) if left.is_set => apart.push((index, Apart::Tree(tree))),
            Value::Set(_) | Value::Tree(_) if !left.is_set => return Err(no_set(leaf)),
            _ => {}
        }
    }
    Ok(apart)
}

/// Copies a value on pages of its own. Its checksum is made anew, so the old one has to be right.
fn copy_run<S: PageSink>(
    sink: &mut S,
    leaf: PageId,
    order: KeyOrder,
    run: OverflowRef,
) -> Result<OverflowRef> {
    let pages = sink.run(&run)?;
    if run_crc(run.first, [pages]) != run.crc {
        return Err(Error::corrupt(run.first, "value on pages of its own with a wrong checksum"));
    }
    let leaf = node_at(sink, leaf, 0, order)?;
    let value = value_bytes(sink, &leaf, Value::Overflow(run))?.to_vec();
    let (first, crc) = sink.allocate_run(&value)?;
    Ok(OverflowRef { first, crc, birth: sink.txn(), ..run })
}
