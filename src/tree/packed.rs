//! Trees of values that have one size: branches as in every tree, leaves that are packed
//! ([`crate::format::packed`]). The tree of the values of one key, where the table says their size.

use super::branch::{Edit, climb};
use super::pages::{Child, OldPage, drop_page, lower, touch};
use super::search::{Step, front_of, node_at, root_level};
use super::split::Cut;
use super::{PageSink, PageSource};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::key::{KeyParts, separator};
use crate::format::order::KeyOrder;
use crate::format::packed::{self, Packed, capacity};
use crate::types::PageId;
use std::ops::Bound;

pub(super) fn leaf_at<'a, S: PageSource>(
    src: &'a S,
    tree: &TableDescriptor,
    id: PageId,
) -> Result<Packed<'a>> {
    Packed::open(id, src.page(id)?, tree.value_size)
}

/// Where a value is or would be.
struct Place {
    steps: Vec<Step>,
    leaf: PageId,
    index: usize,
    found: bool,
    /// No leaf stands behind this one.
    rightmost: bool,
}

/// Descends to a value; None in an empty tree.
fn find<S: PageSource>(src: &S, tree: &TableDescriptor, value: &[u8]) -> Result<Option<Place>> {
    let Some(mut level) = root_level(tree)? else { return Ok(None) };
    let mut steps = Vec::with_capacity(usize::from(level));
    let (mut leaf, mut rightmost) = (tree.root, true);
    while level > 0 {
        let node = node_at(src, leaf, level, KeyOrder::PACKED)?;
        let child = node.child_index(value)?;
        rightmost &= child == node.count();
        steps.push(Step { page: leaf, child });
        leaf = node.child(child)?;
        level -= 1;
        src.prefetch(leaf, front_of(level));
    }
    let found = leaf_at(src, tree, leaf)?.search(value);
    let index = found.unwrap_or_else(|index| index);
    Ok(Some(Place { steps, leaf, index, found: found.is_ok(), rightmost }))
}

/// Whether a value is there.
pub(super) fn contains<S: PageSource>(
    src: &S,
    tree: &TableDescriptor,
    value: &[u8],
) -> Result<bool> {
    Ok(find(src, tree, value)?.is_some_and(|place| place.found))
}

/// Inserts a value of the tree's size; false, and nothing changed, if it is there.
pub(super) fn insert<S: PageSink>(
    sink: &mut S,
    tree: &mut TableDescriptor,
    value: &[u8],
) -> Result<bool> {
    let size = usize::from(tree.value_size);
    let Some(place) = find(sink, tree, value)? else {
        tree.root = new_leaf(sink, tree, value)?;
        (tree.depth, tree.entries) = (1, 1);
        return Ok(true);
    };
    if place.found {
        return Ok(false);
    }
    let page_size = sink.page_size();
    let before = leaf_at(sink, tree, place.leaf)?;
    let count = before.count();
    let edit = if count < capacity(page_size, size) {
        let mut values = before.values().to_vec();
        let touched = touch(sink, place.leaf)?;
        values.splice(size * place.index..size * place.index, value.iter().copied());
        put_leaf(sink, tree, touched.page, &values)?;
        Edit::of(touched)
    } else {
        let mut left = before.values().to_vec();
        left.splice(size * place.index..size * place.index, value.iter().copied());
        // Ascending values fill their leaves.
        let ascending = place.rightmost && place.index == count;
        let kept = if ascending { count } else { count.div_ceil(2) };
        let right = left.split_off(size * kept);
        let separator = separator_between(&left, &right, size, place.leaf)?;
        let touched = touch(sink, place.leaf)?;
        put_leaf(sink, tree, touched.page, &left)?;
        let page = new_leaf(sink, tree, &right)?;
        let at = place.steps.last().map_or(0, |step| step.child);
        let children =
            vec![Child { page: touched.page, separator: Vec::new() }, Child { page, separator }];
        Edit::Children { first: at, last: at, children }
    };
    let cut = if place.rightmost && place.index == count { Cut::Right } else { Cut::Middle };
    climb(sink, tree, &place.steps, 0, edit, cut)?;
    tree.entries = tree.entries.saturating_add(1);
    Ok(true)
}

/// Removes a value; false, and nothing changed, if it is not there.
pub(super) fn remove<S: PageSink>(
    sink: &mut S,
    tree: &mut TableDescriptor,
    value: &[u8],
) -> Result<bool> {
    let size = usize::from(tree.value_size);
    let Some(place) = find(sink, tree, value)?.filter(|place| place.found) else {
        return Ok(false);
    };
    let root = tree.root;
    lower(&mut tree.entries, 1, root)?;
    let leaf = leaf_at(sink, tree, place.leaf)?;
    let old = OldPage { id: place.leaf, birth: leaf.birth() };
    let mut values = leaf.values().to_vec();
    values.drain(size * place.index..size * (place.index + 1));
    let parent = place.steps.last().copied();
    let few = values.len() < size * capacity(sink.page_size(), size) / 4;
    let edit = match parent {
        _ if values.is_empty() => {
            drop_page(sink, tree, 0, old)?;
            let at = parent.map_or(0, |step| step.child);
            Edit::Children { first: at, last: at, children: Vec::new() }
        }
        Some(step) if few => join(sink, tree, step, old, values)?,
        _ => {
            let touched = touch(sink, place.leaf)?;
            put_leaf(sink, tree, touched.page, &values)?;
            Edit::of(touched)
        }
    };
    climb(sink, tree, &place.steps, 0, edit, Cut::Middle)?;
    Ok(true)
}

/// Joins a leaf that has become too empty with a neighbour: in one leaf if that leaves some room,
/// else shared out evenly.
fn join<S: PageSink>(
    sink: &mut S,
    tree: &mut TableDescriptor,
    step: Step,
    old: OldPage,
    values: Vec<u8>,
) -> Result<Edit> {
    let size = usize::from(tree.value_size);
    let parent = node_at(sink, step.page, 1, KeyOrder::PACKED)?;
    let first = step.child.saturating_sub(1);
    let is_left = first == step.child;
    let neighbour = leaf_at(sink, tree, parent.child(if is_left { first + 1 } else { first })?)?;
    if neighbour.id() == old.id {
        return Err(parent.corrupt("two entries point at one child"));
    }
    let other = OldPage { id: neighbour.id(), birth: neighbour.birth() };
    let beside = neighbour.values().to_vec();
    let (mut left, right) = if is_left { (values, beside) } else { (beside, values) };
    left.extend_from_slice(&right);
    let most = capacity(sink.page_size(), size);
    let count = left.len() / size;
    let children = if count <= most - most / 10 {
        drop_page(sink, tree, 0, other)?;
        let page = touch(sink, old.id)?.page;
        put_leaf(sink, tree, page, &left)?;
        vec![Child { page, separator: Vec::new() }]
    } else {
        let right = left.split_off(size * count.div_ceil(2));
        let separator = separator_between(&left, &right, size, old.id)?;
        let ids = if is_left { [old.id, other.id] } else { [other.id, old.id] };
        let (a, b) = (touch(sink, ids[0])?.page, touch(sink, ids[1])?.page);
        put_leaf(sink, tree, a, &left)?;
        put_leaf(sink, tree, b, &right)?;
        vec![Child { page: a, separator: Vec::new() }, Child { page: b, separator }]
    };
    Ok(Edit::Children { first, last: first + 1, children })
}

/// The shortest key that parts two lists of values. `leaf` is the page to blame.
fn separator_between(left: &[u8], right: &[u8], size: usize, leaf: PageId) -> Result<Vec<u8>> {
    let (last, first) = (&left[left.len() - size..], &right[..size]);
    let (last, first) = (KeyParts::of(last, 0), KeyParts::of(first, 0));
    separator(&last, &first).ok_or_else(|| Error::corrupt(leaf, "values out of order"))
}

fn new_leaf<S: PageSink>(
    sink: &mut S,
    tree: &mut TableDescriptor,
    values: &[u8],
) -> Result<PageId> {
    let page = sink.allocate()?;
    tree.leaf_pages = tree.leaf_pages.saturating_add(1);
    put_leaf(sink, tree, page, values)?;
    Ok(page)
}

fn put_leaf<S: PageSink>(
    sink: &mut S,
    tree: &TableDescriptor,
    page: PageId,
    values: &[u8],
) -> Result<()> {
    let txn = sink.txn();
    packed::write(sink.page_mut(page)?, txn, values, tree.value_size);
    Ok(())
}

/// A value of a tree, and the way to it.
struct Spot<'a> {
    steps: Vec<Step>,
    leaf: Packed<'a>,
    index: usize,
}

impl Spot<'_> {
    fn is_at(&self, other: &Spot<'_>) -> bool {
        self.index == other.index && self.leaf.id() == other.leaf.id()
    }
}

/// The values between two bounds, from both ends. After an error, and after the end, None.
pub struct PackedRange<'a, S> {
    src: &'a S,
    tree: TableDescriptor,
    /// The next value from either end; None: there is none.
    ends: Option<(Spot<'a>, Spot<'a>)>,
    leaves: u64,
}

impl<'a, S: PageSource> PackedRange<'a, S> {
    pub fn new(
        src: &'a S,
        tree: &TableDescriptor,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<PackedRange<'a, S>> {
        let mut range = PackedRange { src, tree: *tree, ends: None, leaves: 0 };
        src.check()?;
        let (front, back) = (range.seek(from)?, range.seek_back(to)?);
        if let (Some(front), Some(back)) = (front, back)
            && front.leaf.get(front.index) <= back.leaf.get(back.index)
        {
            range.ends = Some((front, back));
        }
        Ok(range)
    }

    /// The first value that a lower bound admits.
    fn seek(&mut self, from: Bound<&[u8]>) -> Result<Option<Spot<'a>>> {
        let Some(level) = root_level(&self.tree)? else { return Ok(None) };
        let (value, past) = match from {
            Bound::Unbounded => return self.descend(Vec::new(), self.tree.root, level, true),
            Bound::Included(value) => (value, false),
            Bound::Excluded(value) => (value, true),
        };
        let Some(Place { steps, leaf, index, found, .. }) = find(self.src, &self.tree, value)?
        else {
            return Ok(None);
        };
        let leaf = leaf_at(self.src, &self.tree, leaf)?;
        let index = index + usize::from(found && past);
        match index < leaf.count() {
            true => Ok(Some(Spot { steps, leaf, index })),
            false => self.leaf_beside(steps, true),
        }
    }

    /// The last value that an upper bound admits.
    fn seek_back(&mut self, to: Bound<&[u8]>) -> Result<Option<Spot<'a>>> {
        let Some(level) = root_level(&self.tree)? else { return Ok(None) };
        let (value, with) = match to {
            Bound::Unbounded => return self.descend(Vec::new(), self.tree.root, level, false),
            Bound::Included(value) => (value, true),
            Bound::Excluded(value) => (value, false),
        };
        let Some(Place { steps, leaf, index, found, .. }) = find(self.src, &self.tree, value)?
        else {
            return Ok(None);
        };
        let leaf = leaf_at(self.src, &self.tree, leaf)?;
        match (index + usize::from(found && with)).checked_sub(1) {
            Some(index) => Ok(Some(Spot { steps, leaf, index })),
            None => self.leaf_beside(steps, false),
        }
    }

    /// The first or last value below a page.
    fn descend(
        &mut self,
        mut steps: Vec<Step>,
        mut id: PageId,
        mut level: u8,
        first: bool,
    ) -> Result<Option<Spot<'a>>> {
        while level > 0 {
            let node = node_at(self.src, id, level, KeyOrder::PACKED)?;
            let child = if first { 0 } else { node.count() };
            steps.push(Step { page: id, child });
            id = node.child(child)?;
            level -= 1;
        }
        // Each end may look at one leaf more; others are a cycle of damaged pages.
        self.leaves += 1;
        if self.leaves > self.tree.leaf_pages.saturating_add(2) {
            let why = "root of a tree of values with more leaves than it counts";
            return Err(Error::corrupt(self.tree.root, why));
        }
        let leaf = leaf_at(self.src, &self.tree, id)?;
        let index = if first { 0 } else { leaf.count() - 1 };
        Ok(Some(Spot { steps, leaf, index }))
    }

    /// The nearest value of the leaf behind the one where these steps lead, or of that before it.
    fn leaf_beside(&mut self, mut steps: Vec<Step>, forward: bool) -> Result<Option<Spot<'a>>> {
        let depth = self.tree.depth as usize;
        while let Some(step) = steps.last_mut() {
            let (page, child) = (step.page, step.child);
            let level = depth.saturating_sub(steps.len()) as u8;
            let node = node_at(self.src, page, level, KeyOrder::PACKED)?;
            let beside = match forward {
                true => Some(child + 1).filter(|&child| child <= node.count()),
                false => child.checked_sub(1),
            };
            if let Some(child) = beside {
                let last = steps.len() - 1;
                steps[last].child = child;
                return self.descend(steps, node.child(child)?, level - 1, forward);
            }
            steps.pop();
        }
        Ok(None)
    }

    /// The same error with the file that it is about.
    pub fn named(&self, e: Error) -> Error {
        self.src.named(e)
    }

    /// The next value from one end.
    pub fn advance(&mut self, forward: bool) -> Result<Option<&'a [u8]>> {
        let Some((front, back)) = self.ends.take() else { return Ok(None) };
        self.src.check()?;
        let near = if forward { &front } else { &back };
        let value = near.leaf.get(near.index).ok_or_else(|| near.leaf.corrupt("no such value"))?;
        if !front.is_at(&back) {
            self.ends = match forward {
                true => self.beside(front, true)?.map(|front| (front, back)),
                false => self.beside(back, false)?.map(|back| (front, back)),
            };
        }
        Ok(Some(value))
    }

    fn beside(&mut self, mut spot: Spot<'a>, forward: bool) -> Result<Option<Spot<'a>>> {
        let inside = match forward {
            true => Some(spot.index + 1).filter(|&index| index < spot.leaf.count()),
            false => spot.index.checked_sub(1),
        };
        match inside {
            Some(index) => {
                spot.index = index;
                Ok(Some(spot))
            }
            None => self.leaf_beside(spot.steps, forward),
        }
    }

    /// All values that are left in the leaf of the next one, as one slice.
    pub fn next_slice(&mut self) -> Result<Option<&'a [u8]>> {
        let Some((front, back)) = self.ends.take() else { return Ok(None) };
        self.src.check()?;
        let size = usize::from(self.tree.value_size);
        let values = front.leaf.values();
        let is_last = front.leaf.id() == back.leaf.id();
        let end = if is_last { size * (back.index + 1) } else { values.len() };
        let slice = values.get(size * front.index..end);
        let slice = slice.ok_or_else(|| front.leaf.corrupt("values out of order"))?;
        if !is_last {
            self.ends = self.leaf_beside(front.steps, true)?.map(|front| (front, back));
        }
        Ok(Some(slice))
    }
}
