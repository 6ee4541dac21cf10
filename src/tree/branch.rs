//! From a changed leaf back up to the root: each level hands the one above the children that take
//! the place of old ones. Pages split on the way when they are too full, are joined with a
//! neighbour when they are too empty, and the root grows and collapses here.

use super::PageSink;
use super::pages::{Child, OldPage, PageCopy, Touched, drop_page, items_of, touch, write_parts};
use super::search::{Step, node_at};
use super::split::{Cut, divide, is_underfull};
use crate::error::{Error, Result};
use crate::format::descriptor::{MAX_DEPTH, TableDescriptor};
use crate::format::node::build::{Body, Item, Plan};
use crate::format::node::edit::NodeMut;
use crate::format::node::key::KeyParts;
use crate::format::node::{ENTRY, Node};
use crate::format::order::KeyOrder;
use crate::format::page::birth;
use crate::types::PageId;

/// What a change of one level means for the branch above it.
#[derive(Debug)]
pub(super) enum Edit {
    /// Nothing.
    Done,
    /// The child has another page now, or is younger than it was.
    Moved(PageId),
    /// Children `first ..= last` are replaced by these (perhaps none).
    Children { first: usize, last: usize, children: Vec<Child> },
}

impl Edit {
    /// A page is changed in place.
    pub fn of(touched: Touched) -> Edit {
        if touched.moved { Edit::Moved(touched.page) } else { Edit::Done }
    }
}

/// A page whose entries are being rewritten.
pub(super) struct Rewrite<'a> {
    pub level: u8,
    pub old: OldPage,
    /// Child in front of the first entry, in a branch.
    pub leftmost: PageId,
    pub items: Vec<Item<'a>>,
    /// The branch above, if this is not the root.
    pub parent: Option<Step>,
}

impl Rewrite<'_> {
    /// Writes the entries to as many pages as they need.
    pub fn write<S: PageSink>(
        self,
        sink: &mut S,
        desc: &mut TableDescriptor,
        cut: Cut,
    ) -> Result<Edit> {
        let page_size = sink.page_size();
        let parts = divide(self.level, page_size, desc.order, &self.items, cut, page_size);
        let old = [self.old];
        let children =
            write_parts(sink, desc, self.level, self.leftmost, &self.items, &parts, &old)?;
        if let [only] = &children[..] {
            let same = only.page == self.old.id && self.old.birth == sink.txn();
            return Ok(if same { Edit::Done } else { Edit::Moved(only.page) });
        }
        let at = self.parent.map_or(0, |step| step.child);
        Ok(Edit::Children { first: at, last: at, children })
    }

    /// Writes the entries; a page that would be too empty is joined with a neighbour, a root branch
    /// without keys gives way to its child.
    pub fn write_or_join<S: PageSink>(
        self,
        sink: &mut S,
        desc: &mut TableDescriptor,
    ) -> Result<Edit> {
        let used = Plan::of(self.level, &self.items, desc.order).used;
        match self.parent {
            Some(step) if is_underfull(self.level, sink.page_size(), used) => {
                self.join(sink, desc, step)
            }
            None if self.items.is_empty() => {
                drop_page(sink, desc, self.level, self.old)?;
                desc.root = self.leftmost;
                desc.depth = u16::from(self.level);
                Ok(Edit::Done)
            }
            _ => self.write(sink, desc, Cut::Middle),
        }
    }

    /// Joins the page with the emptier of its neighbours, in one page if that leaves some room,
    /// else shared out evenly.
    fn join<S: PageSink>(
        self,
        sink: &mut S,
        desc: &mut TableDescriptor,
        step: Step,
    ) -> Result<Edit> {
        let level = self.level;
        let page_size = sink.page_size();
        let parent = node_at(sink, step.page, level + 1, desc.order)?;
        let first = join_from(sink, &parent, step.child, level)?;
        let is_left = first == step.child;
        let neighbour = parent.child(if is_left { first + 1 } else { first })?;
        if neighbour == self.old.id {
            return Err(parent.corrupt("two entries point at one child"));
        }
        let separator = parent.item(first)?.key.to_vec();
        let copy = PageCopy::of(sink.page(neighbour)?);
        let node = copy.node(neighbour, level, desc.order)?;
        let other = items_of(&node, self.items.len() + 1)?;
        let mut leftmost = PageId::NONE;
        if level > 0 {
            leftmost = node.child(0)?;
        }
        let (left_child, right_child) =
            if is_left { (self.leftmost, leftmost) } else { (leftmost, self.leftmost) };
        let (mut items, mut right) =
            if is_left { (self.items, other) } else { (other, self.items) };
        if level > 0 {
            items.push(Item::branch(KeyParts::of(&separator, 0), right_child));
        }
        items.append(&mut right);
        let limit = page_size - page_size / 10;
        let parts = divide(level, page_size, desc.order, &items, Cut::Middle, limit);
        let old = [self.old, OldPage { id: neighbour, birth: node.birth() }];
        let children = write_parts(sink, desc, level, left_child, &items, &parts, &old)?;
        Ok(Edit::Children { first, last: first + 1, children })
    }
}

/// The left one of the two children to join: `child` and the emptier of its neighbours.
fn join_from<S: PageSink>(sink: &S, parent: &Node<'_>, child: usize, level: u8) -> Result<usize> {
    let used = |index: usize| -> Result<usize> {
        Ok(node_at(sink, parent.child(index)?, level, parent.order())?.used())
    };
    if child == 0 {
        return Ok(0);
    }
    if child >= parent.count() || used(child - 1)? <= used(child + 1)? {
        return Ok(child - 1);
    }
    Ok(child)
}

/// Carries an edit from a page of this level (0 a leaf) up through the branches of the path to it.
/// `cut` says where pages at the edge of the tree are split.
pub(super) fn climb<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    mut steps: &[Step],
    mut level: u8,
    mut edit: Edit,
    cut: Cut,
) -> Result<()> {
    while let Some((step, above)) = steps.split_last() {
        level += 1;
        edit = match edit {
            Edit::Done => return Ok(()),
            Edit::Moved(child) => {
                let touched = touch(sink, step.page)?;
                let page = touched.page;
                let mut node = NodeMut::open(page, sink.page_mut(page)?, level, desc.order)?;
                node.set_child(step.child, child)?;
                Edit::of(touched)
            }
            Edit::Children { first, last, children } => {
                let target = Target { step: *step, parent: above.last().copied(), level, cut };
                target.replace(sink, desc, first, last, &children)?
            }
        };
        steps = above;
    }
    set_root(sink, desc, edit, cut)
}

/// A branch whose children change.
struct Target {
    step: Step,
    parent: Option<Step>,
    level: u8,
    cut: Cut,
}

impl Target {
    /// Children `first ..= last` are replaced.
    fn replace<S: PageSink>(
        &self,
        sink: &mut S,
        desc: &mut TableDescriptor,
        first: usize,
        last: usize,
        children: &[Child],
    ) -> Result<Edit> {
        let (page, touched) = match children {
            [left, right] if first == last => {
                let touched = touch(sink, self.step.page)?;
                let page = touched.page;
                let mut node = NodeMut::open(page, sink.page_mut(page)?, self.level, desc.order)?;
                node.set_child(first, left.page)?;
                if node.insert(first, &right.separator, Body::child(right.page))? {
                    return Ok(Edit::of(touched));
                }
                (page, Edit::of(touched))
            }
            [] | [_] if children.len() == last - first => {
                if let Some(touched) = self.take_out(sink, desc.order, first, children)? {
                    return Ok(Edit::of(touched));
                }
                (self.step.page, Edit::Done)
            }
            _ => (self.step.page, Edit::Done),
        };
        let grows = children.len() > last - first + 1;
        let copy = PageCopy::of(sink.page(page)?);
        let node = copy.node(page, self.level, desc.order)?;
        let mut rewrite = Rewrite {
            level: self.level,
            old: OldPage { id: page, birth: node.birth() },
            leftmost: node.child(0)?,
            items: items_of(&node, children.len())?,
            parent: self.parent,
        };
        splice(&node, &mut rewrite, first, last, children)?;
        let edit = if grows {
            rewrite.write(sink, desc, self.cut)?
        } else {
            rewrite.write_or_join(sink, desc)?
        };
        match edit {
            // The parent knows the page as it was before it was touched.
            Edit::Done => Ok(touched),
            edit => Ok(edit),
        }
    }

    /// One child less, in place: two become one, or one vanishes. None if that would leave the page
    /// too empty.
    fn take_out<S: PageSink>(
        &self,
        sink: &mut S,
        order: KeyOrder,
        first: usize,
        children: &[Child],
    ) -> Result<Option<Touched>> {
        let node = node_at(sink, self.step.page, self.level, order)?;
        // The entry in front of a vanished child goes with it; the leftmost has none and
        // takes over the child behind.
        let (index, leftmost) = match (children, first) {
            ([_], _) => (first, None),
            ([], 0) => (0, Some(node.child(1)?)),
            _ => (first - 1, None),
        };
        let used = node.used().saturating_sub(ENTRY + node.cell_len(&node.cell(index)?)?);
        let underfull = is_underfull(self.level, sink.page_size(), used);
        if node.count() < 2 || underfull && self.parent.is_some() {
            return Ok(None);
        }
        let touched = touch(sink, self.step.page)?;
        let page = touched.page;
        let mut node = NodeMut::open(page, sink.page_mut(page)?, self.level, order)?;
        if let Some(child) = children.first() {
            node.set_child(first, child.page)?;
        } else if let Some(child) = leftmost {
            node.set_child(0, child)?;
        }
        node.remove(index)?;
        Ok(Some(touched))
    }
}

/// Replaces children in the list of a branch's entries.
fn splice<'a>(
    node: &Node<'_>,
    rewrite: &mut Rewrite<'a>,
    first: usize,
    last: usize,
    children: &'a [Child],
) -> Result<()> {
    let items = &mut rewrite.items;
    if last > items.len() || first > last {
        return Err(node.corrupt("fewer children than a moment ago"));
    }
    let Some((head, tail)) = children.split_first() else {
        let gone = items.remove(first.saturating_sub(1));
        if first == 0 {
            rewrite.leftmost = gone.child();
        }
        return Ok(());
    };
    match first {
        0 => rewrite.leftmost = head.page,
        _ => items[first - 1].body = Body::child(head.page),
    }
    let fresh = tail.iter().map(|c| Item::branch(KeyParts::of(&c.separator, 0), c.page));
    items.splice(first..last, fresh);
    Ok(())
}

/// What came up from the root's level becomes the tree.
fn set_root<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edit: Edit,
    cut: Cut,
) -> Result<()> {
    let mut children = match edit {
        Edit::Done => return Ok(()),
        Edit::Moved(page) => {
            desc.root = page;
            return Ok(());
        }
        Edit::Children { children, .. } => children,
    };
    if children.is_empty() {
        (desc.root, desc.depth) = (PageId::NONE, 0);
        return Ok(());
    }
    while children.len() > 1 {
        if desc.depth >= MAX_DEPTH {
            return Err(Error::corrupt(desc.root, "root of a tree that is too deep"));
        }
        let level = desc.depth as u8;
        let items: Vec<Item<'_>> = children[1..]
            .iter()
            .map(|c| Item::branch(KeyParts::of(&c.separator, 0), c.page))
            .collect();
        let page_size = sink.page_size();
        let parts = divide(level, page_size, desc.order, &items, cut, page_size);
        let above = write_parts(sink, desc, level, children[0].page, &items, &parts, &[])?;
        children = above;
        desc.depth += 1;
    }
    desc.root = children[0].page;
    Ok(())
}

/// A copy of a page and what is needed to write it anew.
pub(super) fn old_page<S: PageSink>(sink: &S, id: PageId) -> Result<(PageCopy, OldPage)> {
    let page = sink.page(id)?;
    Ok((PageCopy::of(page), OldPage { id, birth: birth(page) }))
}
