//! Taking a key out of the tree, and taking the whole tree down.

use super::PageSink;
use super::branch::{Edit, Rewrite, climb, old_page};
use super::packed;
use super::pages::{OldPage, drop_page, drop_run, items_of, lower, touch};
use super::search::{Path, Step, no_set, node_at, root_level};
use super::set::{Set, pages_of};
use super::split::{Cut, is_underfull};
use crate::error::Result;
use crate::format::descriptor::TableDescriptor;
use crate::format::node::edit::NodeMut;
use crate::format::node::{ENTRY, Node, Value};
use crate::format::overflow::OverflowRef;
use crate::types::PageId;

/// Removes a key; false, and nothing changed, if it is not there.
pub fn remove<S: PageSink>(sink: &mut S, desc: &mut TableDescriptor, key: &[u8]) -> Result<bool> {
    let Some(path) = Path::find(sink, desc, key)? else { return Ok(false) };
    if !path.place.found {
        return Ok(false);
    }
    remove_at(sink, desc, &path)?;
    Ok(true)
}

/// Removes the key that stands at the end of a path.
pub(super) fn remove_at<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    path: &Path,
) -> Result<()> {
    let index = path.place.index;
    let leaf = node_at(sink, path.leaf, 0, desc.order)?;
    let cell = leaf.cell(index)?;
    let value = leaf.value_of(&cell)?;
    let used = leaf.used().saturating_sub(ENTRY + leaf.cell_len(&cell)?);
    let (count, birth) = (leaf.count(), leaf.birth());
    let parent = path.steps.last().copied();
    let root = desc.root;
    lower(&mut desc.entries, 1, root)?;
    let apart = apart(desc, &leaf, value)?;
    drop_apart(sink, desc, apart)?;
    let edit = if count == 1 {
        drop_page(sink, desc, 0, OldPage { id: path.leaf, birth })?;
        let at = parent.map_or(0, |step| step.child);
        Edit::Children { first: at, last: at, children: Vec::new() }
    } else if parent.is_some() && is_underfull(0, sink.page_size(), used) {
        rewrite_without(sink, desc, path, parent)?
    } else {
        let touched = touch(sink, path.leaf)?;
        let page = touched.page;
        NodeMut::open(page, sink.page_mut(page)?, 0, desc.order)?.remove(index)?;
        Edit::of(touched)
    };
    climb(sink, desc, &path.steps, 0, edit, Cut::Middle)
}

/// Writes a leaf anew without the entry, joined with a neighbour.
fn rewrite_without<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    path: &Path,
    parent: Option<Step>,
) -> Result<Edit> {
    let (copy, old) = old_page(sink, path.leaf)?;
    let node = copy.node(path.leaf, 0, desc.order)?;
    let mut items = items_of(&node, 0)?;
    if path.place.index >= items.len() {
        return Err(node.corrupt("fewer keys than a moment ago"));
    }
    items.remove(path.place.index);
    let rewrite = Rewrite { level: 0, old, leftmost: PageId::NONE, items, parent };
    rewrite.write_or_join(sink, desc)
}

/// What a value has outside its leaf.
enum Apart {
    Nothing,
    Run(OverflowRef),
    Tree(TableDescriptor),
}

/// What a value that goes has outside its leaf; its set is counted out of the descriptor.
fn apart(desc: &mut TableDescriptor, leaf: &Node<'_>, value: Value<'_>) -> Result<Apart> {
    if desc.is_set {
        let set = Set::of(leaf, value)?.checked(desc)?;
        let root = desc.root;
        lower(&mut desc.pairs, set.count(), root)?;
    }
    match value {
        Value::Overflow(run) => Ok(Apart::Run(run)),
        Value::Tree(tree) if desc.is_set => Ok(Apart::Tree(tree)),
        Value::Set(_) | Value::Tree(_) if !desc.is_set => Err(no_set(leaf)),
        _ => Ok(Apart::Nothing),
    }
}

/// Gives back what a value had outside its leaf.
fn drop_apart<S: PageSink>(sink: &mut S, desc: &mut TableDescriptor, apart: Apart) -> Result<()> {
    match apart {
        Apart::Nothing => Ok(()),
        Apart::Run(run) => drop_run(sink, desc, run),
        Apart::Tree(tree) => {
            let root = desc.root;
            lower(&mut desc.overflow_pages, pages_of(&tree), root)?;
            drop_tree(sink, &tree)
        }
    }
}

/// Gives back every page and every overflow run of a tree. The descriptor is worth nothing
/// afterwards.
pub fn drop_tree<S: PageSink>(sink: &mut S, desc: &TableDescriptor) -> Result<()> {
    let Some(level) = root_level(desc)? else { return Ok(()) };
    drop_subtree(sink, &mut { *desc }, desc.root, level)
}

/// Gives back every page and every overflow run below a page, and that page.
pub(super) fn drop_subtree<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    page: PageId,
    level: u8,
) -> Result<()> {
    let root = desc.root;
    // The counts bound the walk: pages that damage has tied into a cycle run out of them.
    let mut todo = vec![(page, level)];
    while let Some((id, level)) = todo.pop() {
        if level == 0 && !desc.is_set && desc.value_size > 0 {
            let leaf = packed::leaf_at(sink, desc, id)?;
            let (birth, count) = (leaf.birth(), leaf.count());
            lower(&mut desc.entries, count as u64, root)?;
            drop_page(sink, desc, level, OldPage { id, birth })?;
            continue;
        }
        let node = node_at(sink, id, level, desc.order)?;
        let (birth, count) = (node.birth(), node.count());
        let mut values = Vec::new();
        if level > 0 {
            for index in (0..=count).rev() {
                todo.push((node.child(index)?, level - 1));
            }
        } else {
            if desc.overflow_pages > 0 || desc.is_set {
                for index in 0..count {
                    match apart(desc, &node, node.value(index)?)? {
                        Apart::Nothing => {}
                        value => values.push(value),
                    }
                }
            }
            lower(&mut desc.entries, count as u64, root)?;
        }
        for value in values {
            drop_apart(sink, desc, value)?;
        }
        drop_page(sink, desc, level, OldPage { id, birth })?;
    }
    Ok(())
}
