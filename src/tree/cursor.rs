//! A place in the tree that moves to its neighbours without a descent from the root.
//!
//! A cursor keeps the branches it came through and a view of its leaf. It stands on an entry, or in
//! front of the first one (as a new cursor does), or behind the last. An error puts it behind the
//! last. It borrows the source, so nothing can change under it.

use super::key::{Key, KeyBuffer};
use super::read_ahead::ReadAhead;
use super::search::{NODE_FRONT, Step, front_of, node_at, root_level, value_bytes};
use super::set::Set;
use super::{PageSource, TableDescriptor};
use crate::error::Result;
use crate::format::node::key::KeyParts;
use crate::format::node::{Node, Place, Value};
use crate::format::order::KeyOrder;
use crate::storage::{LINE, prefetch};
use crate::types::PageId;
use std::ops::Bound;

/// Lines that a processor can be asked for at once.
const LINES: usize = 16;

/// Where a cursor is that stands on no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outside {
    BeforeFirst,
    AfterLast,
}

/// The two ways down a branch that need no key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Last,
}

/// The way to an entry.
pub(super) struct CursorPlace<'c> {
    /// The branches from the root down.
    pub steps: &'c [Step],
    pub leaf: PageId,
    pub index: usize,
}

/// A cursor without its source: what it needs to go on where it was.
pub(super) struct PausedCursor {
    root: PageId,
    root_level: Option<u8>,
    order: KeyOrder,
    steps: Vec<Step>,
    leaf: Option<PageId>,
    index: usize,
    outside: Outside,
    leaves: u64,
    read_ahead: ReadAhead,
    prefetched: PageId,
    pub front: KeyBuffer,
}

impl PausedCursor {
    /// The leaf on which it stands, as it is now (T6); None if it stands on none.
    #[inline(always)]
    pub fn leaf<'a, S: PageSource>(&self, src: &'a S) -> Result<Option<Node<'a>>> {
        self.leaf.map(|id| node_at(src, id, 0, self.order)).transpose()
    }

    /// Where a step in this leaf leads that was counted before.
    #[inline(always)]
    pub fn beside(&self, forward: bool) -> usize {
        if forward { self.index + 1 } else { self.index.wrapping_sub(1) }
    }

    /// Takes that step.
    #[inline(always)]
    pub fn step(&mut self, forward: bool) {
        self.index = self.beside(forward);
    }
}

/// A place in a tree.
pub struct Cursor<'a, S> {
    src: &'a S,
    root: PageId,
    /// Level of the root; None for an empty tree.
    root_level: Option<u8>,
    order: KeyOrder,
    /// `steps[k]` has level `root_level - k`.
    steps: Vec<Step>,
    leaf: Option<Node<'a>>,
    index: usize,
    outside: Outside,
    /// Leaves entered so far.
    leaves: u64,
    read_ahead: ReadAhead,
    /// The leaf whose front was asked for last.
    prefetched: PageId,
    /// The leaf whose cells are being asked for, two lines with each entry of this one, and those
    /// that are left.
    coming: PageId,
    cells: &'a [u8],
    /// What the keys of the current leaf begin with, and the one that was put together last.
    pub(super) front: KeyBuffer,
}

impl<'a, S: PageSource> Cursor<'a, S> {
    /// A cursor in front of the first entry. Reads nothing yet.
    pub fn new(src: &'a S, desc: &TableDescriptor) -> Result<Cursor<'a, S>> {
        let root_level = root_level(desc)?;
        Ok(Cursor {
            src,
            root: desc.root,
            root_level,
            order: desc.order,
            steps: Vec::with_capacity(usize::from(desc.depth)),
            leaf: None,
            index: 0,
            outside: Outside::BeforeFirst,
            leaves: 0,
            read_ahead: ReadAhead::new(),
            prefetched: PageId::NONE,
            coming: PageId::NONE,
            cells: &[],
            front: KeyBuffer::new(),
        })
    }

    /// Leaves the source, to go on later where it is.
    pub(super) fn pause(self) -> PausedCursor {
        PausedCursor {
            root: self.root,
            root_level: self.root_level,
            order: self.order,
            steps: self.steps,
            leaf: self.leaf.map(|leaf| leaf.id()),
            index: self.index,
            outside: self.outside,
            leaves: self.leaves,
            read_ahead: self.read_ahead,
            prefetched: self.prefetched,
            front: self.front,
        }
    }

    /// Goes on, in the tree of the same version.
    pub(super) fn resume(src: &'a S, paused: PausedCursor) -> Result<Cursor<'a, S>> {
        Ok(Cursor {
            src,
            leaf: paused.leaf(src)?,
            root: paused.root,
            root_level: paused.root_level,
            order: paused.order,
            steps: paused.steps,
            index: paused.index,
            outside: paused.outside,
            leaves: paused.leaves,
            read_ahead: paused.read_ahead,
            prefetched: paused.prefetched,
            coming: PageId::NONE,
            cells: &[],
            front: paused.front,
        })
    }

    /// Moves to the first entry; false in an empty tree.
    pub fn first(&mut self) -> Result<bool> {
        self.seek(Bound::Unbounded)
    }

    /// Moves to the last entry; false in an empty tree.
    pub fn last(&mut self) -> Result<bool> {
        self.seek_back(Bound::Unbounded)
    }

    /// Moves to the first entry that this lower bound admits; false, and behind the last, if there
    /// is none.
    pub fn seek(&mut self, from: Bound<&[u8]>) -> Result<bool> {
        self.guard(|c| {
            c.leave(Outside::AfterLast);
            let Some(level) = c.root_level else { return Ok(false) };
            let (key, past) = match from {
                Bound::Unbounded => return c.descend(c.root, level, Side::First),
                Bound::Included(key) => (key, false),
                Bound::Excluded(key) => (key, true),
            };
            let (leaf, place) = c.descend_to(level, key)?;
            let index = place.index + usize::from(place.found && past);
            if index < leaf.count() {
                c.stand(leaf, index);
                return Ok(true);
            }
            c.enter_next_leaf()
        })
    }

    /// Moves to the last entry that this upper bound admits; false, and in front of the first, if
    /// there is none.
    pub fn seek_back(&mut self, to: Bound<&[u8]>) -> Result<bool> {
        self.guard(|c| {
            c.leave(Outside::BeforeFirst);
            let Some(level) = c.root_level else { return Ok(false) };
            let (key, with) = match to {
                Bound::Unbounded => return c.descend(c.root, level, Side::Last),
                Bound::Included(key) => (key, true),
                Bound::Excluded(key) => (key, false),
            };
            let (leaf, place) = c.descend_to(level, key)?;
            let end = place.index + usize::from(place.found && with);
            if end > 0 {
                c.stand(leaf, end - 1);
                return Ok(true);
            }
            c.prev_leaf()
        })
    }

    /// Moves to the next entry; false if there is none.
    #[inline]
    pub fn next(&mut self) -> Result<bool> {
        match &self.leaf {
            Some(leaf) if self.index + 1 < leaf.count() => {
                self.index += 1;
                Ok(true)
            }
            Some(_) => self.next_leaf(),
            None if self.outside == Outside::BeforeFirst => self.first(),
            None => Ok(false),
        }
    }

    /// Moves to the entry before; false if there is none.
    #[inline]
    pub fn prev(&mut self) -> Result<bool> {
        match &self.leaf {
            Some(_) if self.index > 0 => {
                self.index -= 1;
                Ok(true)
            }
            Some(_) => self.guard(Self::prev_leaf),
            None if self.outside == Outside::AfterLast => self.last(),
            None => Ok(false),
        }
    }

    /// The key of the current entry; None if the cursor stands on no entry.
    pub fn key(&self) -> Result<Option<Key<'a>>> {
        Ok(self.raw_entry()?.map(|(key, _)| Key::assemble(&key)))
    }

    /// The value of the current entry, in place.
    #[cfg(test)]
    pub fn value(&self) -> Result<Option<&'a [u8]>> {
        let Some(leaf) = &self.leaf else { return Ok(None) };
        value_bytes(self.src, leaf, leaf.value(self.index)?).map(Some)
    }

    /// Key and value of the current entry, the value not looked for.
    pub fn raw_entry(&self) -> Result<Option<(KeyParts<'a>, Value<'a>)>> {
        let Some(leaf) = &self.leaf else { return Ok(None) };
        leaf.entry(self.index).map(Some)
    }

    /// Key and value of the current entry; the key as one that outlives the cursor's next move.
    #[inline(always)]
    pub fn entry(&mut self) -> Result<Option<(Key<'a>, &'a [u8])>> {
        if let Some((len, value)) = self.assemble_long() {
            return Ok(Some((self.front.key(len), value)));
        }
        let Some(leaf) = &self.leaf else { return Ok(None) };
        let (key, value) = leaf.entry(self.index)?;
        Ok(Some((Key::assemble(&key), value_bytes(self.src, leaf, value)?)))
    }

    /// Key and values of the current entry of a table of sets.
    pub(super) fn set_entry(&self) -> Result<Option<(Key<'a>, Set<'a>)>> {
        let Some(leaf) = &self.leaf else { return Ok(None) };
        let (key, value) = leaf.entry(self.index)?;
        Ok(Some((Key::assemble(&key), Set::of(leaf, value)?)))
    }

    /// The same by the short way, for almost all entries. None: ask [`Cursor::entry`].
    #[inline(always)]
    pub fn short_entry(&self) -> Option<(Key<'a>, &'a [u8])> {
        let entry = self.leaf.as_ref()?.inline_entry(self.index)?;
        Some((self.front.short_key(&entry)?, entry.value))
    }

    /// The same with the key in `front`: its length. None: ask [`Cursor::assemble_long`].
    #[inline(always)]
    pub fn assemble(&mut self) -> Option<(usize, &'a [u8])> {
        let entry = self.leaf.as_ref()?.inline_entry(self.index)?;
        Some((self.front.assemble(&entry)?, entry.value))
    }

    /// The same for keys that are not short too. None: ask [`Cursor::entry`].
    pub fn assemble_long(&mut self) -> Option<(usize, &'a [u8])> {
        let entry = self.leaf.as_ref()?.inline_entry(self.index)?;
        Some((self.front.assemble_long(&entry)?, entry.value))
    }

    /// Entries of the current leaf behind the current one, up to the one where `other` stands.
    pub fn entries_behind(&self, other: Option<&Self>) -> usize {
        let Some(leaf) = &self.leaf else { return 0 };
        let end = match other {
            Some(other) if other.leaf.is_some_and(|theirs| theirs.id() == leaf.id()) => other.index,
            _ => leaf.count(),
        };
        end.saturating_sub(self.index + 1)
    }

    /// Entries of the current leaf in front of the current one, down to the one where `other`
    /// stands.
    pub fn entries_before(&self, other: Option<&Self>) -> usize {
        let Some(leaf) = &self.leaf else { return 0 };
        match other {
            Some(other) if other.leaf.is_some_and(|theirs| theirs.id() == leaf.id()) => {
                self.index.saturating_sub(other.index + 1)
            }
            _ => self.index,
        }
    }

    /// Moves inside the leaf, by a step that [`Cursor::entries_behind`] or
    /// [`Cursor::entries_before`] has counted.
    #[inline(always)]
    pub fn step(&mut self, forward: bool) {
        self.index = if forward { self.index + 1 } else { self.index.wrapping_sub(1) };
        if let Some((rest, lines)) = self.cells.split_last_chunk() {
            self.cells = rest;
            prefetch(lines);
        }
    }

    /// Whether both cursors stand on the same entry of the same tree.
    #[inline]
    pub fn is_at(&self, other: &Cursor<'_, S>) -> bool {
        match (&self.leaf, &other.leaf) {
            (Some(a), Some(b)) => self.index == other.index && a.id() == b.id(),
            _ => false,
        }
    }

    /// Whether it stands on a greater key than another of the same tree.
    pub(super) fn is_above(&self, other: &Cursor<'_, S>) -> Result<bool> {
        let (Some((key, _)), Some((other, _))) = (self.raw_entry()?, other.raw_entry()?) else {
            return Ok(false);
        };
        Ok(self.order.compare_parts(&key, &other).is_gt())
    }

    /// Where it stands; None if it stands on no entry.
    pub(super) fn place(&self) -> Option<CursorPlace<'_>> {
        let leaf = self.leaf.as_ref()?.id();
        Some(CursorPlace { steps: &self.steps, leaf, index: self.index })
    }

    /// Leaves entered so far, by which a caller can bound a walk.
    pub(super) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// After an error the cursor stands nowhere in particular: let it be behind the last entry.
    fn guard(&mut self, f: impl FnOnce(&mut Self) -> Result<bool>) -> Result<bool> {
        let result = f(self);
        if result.is_err() {
            self.leave(Outside::AfterLast);
        }
        result
    }

    fn leave(&mut self, outside: Outside) {
        self.leaf = None;
        self.steps.clear();
        self.outside = outside;
    }

    fn stand(&mut self, leaf: Node<'a>, index: usize) {
        match self.order.is_packed() {
            true => self.front.set(leaf.prefix()),
            false => self.front.set_whole(),
        }
        self.leaf = Some(leaf);
        self.index = index;
        self.leaves = self.leaves.saturating_add(1);
    }

    /// Down to the leaf that holds a key or would hold it, and the place there.
    fn descend_to(&mut self, level: u8, key: &[u8]) -> Result<(Node<'a>, Place)> {
        match self.order.is_packed() {
            true => self.descend_in(KeyOrder::PACKED, level, key),
            false => self.descend_whole(level, key),
        }
    }

    #[inline(never)]
    fn descend_whole(&mut self, level: u8, key: &[u8]) -> Result<(Node<'a>, Place)> {
        self.descend_in(self.order, level, key)
    }

    #[inline(always)]
    fn descend_in(
        &mut self,
        order: KeyOrder,
        mut level: u8,
        key: &[u8],
    ) -> Result<(Node<'a>, Place)> {
        let mut id = self.root;
        while level > 0 {
            let node = node_at(self.src, id, level, order)?;
            let child = node.child_index(key)?;
            self.steps.push(Step { page: id, child });
            id = node.child(child)?;
            level -= 1;
            self.src.prefetch(id, front_of(level));
        }
        let leaf = node_at(self.src, id, 0, order)?;
        Ok((leaf, leaf.search(key)?))
    }

    /// Down to the first or last entry below a page.
    fn descend(&mut self, mut id: PageId, mut level: u8, side: Side) -> Result<bool> {
        while level > 0 {
            let node = node_at(self.src, id, level, self.order)?;
            let child = if side == Side::First { 0 } else { node.count() };
            self.steps.push(Step { page: id, child });
            id = node.child(child)?;
            level -= 1;
        }
        let leaf = node_at(self.src, id, 0, self.order)?;
        self.stand(leaf, if side == Side::First { 0 } else { leaf.count() - 1 });
        Ok(true)
    }

    /// The level of the last step's page.
    fn level(&self) -> u8 {
        self.root_level.map_or(0, |root| root + 1 - self.steps.len() as u8)
    }

    /// Moves to the first entry of the next leaf; false if there is none.
    pub(super) fn next_leaf(&mut self) -> Result<bool> {
        self.guard(Self::enter_next_leaf)
    }

    fn enter_next_leaf(&mut self) -> Result<bool> {
        while let Some(&step) = self.steps.last() {
            let level = self.level();
            let node = node_at(self.src, step.page, level, self.order)?;
            if step.child < node.count() {
                return self.enter(&node, level, step.child + 1, Side::First);
            }
            self.steps.pop();
        }
        self.leave(Outside::AfterLast);
        Ok(false)
    }

    fn prev_leaf(&mut self) -> Result<bool> {
        while let Some(&step) = self.steps.last() {
            let level = self.level();
            if let Some(child) = step.child.checked_sub(1) {
                let node = node_at(self.src, step.page, level, self.order)?;
                return self.enter(&node, level, child, Side::Last);
            }
            self.steps.pop();
        }
        self.leave(Outside::BeforeFirst);
        Ok(false)
    }

    /// Moves to another child of the branch that the last step stands for, on the way to its first
    /// or last entry.
    fn enter(&mut self, node: &Node<'a>, level: u8, child: usize, side: Side) -> Result<bool> {
        if let Some(step) = self.steps.last_mut() {
            step.child = child;
        }
        self.descend(node.child(child)?, level - 1, side)?;
        if level == 1 {
            self.look_ahead(node, child, side);
        }
        Ok(true)
    }

    /// Looks ahead from where a seek has led, once it has turned out to be the begin of a scan.
    pub fn begin_scan(&mut self, forward: bool) -> Result<()> {
        let Some(&step) = self.steps.last() else { return Ok(()) };
        let node = node_at(self.src, step.page, self.level(), self.order)?;
        self.look_ahead(&node, step.child, if forward { Side::First } else { Side::Last });
        Ok(())
    }

    /// Asks for the cells that come next in this leaf, if that has not been done from the one
    /// before.
    fn prefetch_here(&self, side: Side) {
        let Some(leaf) = self.leaf.filter(|leaf| leaf.id() != self.coming) else { return };
        let entries = match side {
            Side::First => self.index..(self.index + LINES).min(leaf.count()),
            Side::Last => self.index.saturating_sub(LINES)..self.index,
        };
        leaf.cell_places(entries).for_each(|at| self.src.prefetch_at(leaf.id(), at, LINE));
    }

    /// Plans to bring the cells of the next leaf into the processor's cache while those of this one
    /// are read: all at once would be more than a core fetches at a time. What stands at its front
    /// is there since the leaf before.
    fn prefetch_leaf(&mut self, id: PageId) {
        if id != self.prefetched {
            return self.src.prefetch(id, NODE_FRONT);
        }
        // What is wrong with it is said when it is entered.
        if let Ok(leaf) = node_at(self.src, id, 0, self.order) {
            (self.coming, self.cells) = (id, leaf.heap());
        }
    }

    /// Tells the source which leaves come next. Never an error: this leaf is good whatever the next
    /// ones are.
    fn look_ahead(&mut self, node: &Node<'a>, child: usize, side: Side) {
        let ahead = |n: usize| {
            let index = match side {
                Side::First => Some(child + n).filter(|&c| c <= node.count()),
                Side::Last => child.checked_sub(n),
            };
            node.child(index?).ok()
        };
        self.prefetch_here(side);
        (self.coming, self.cells) = (PageId::NONE, &[]);
        if let Some(next) = ahead(1) {
            self.prefetch_leaf(next);
        }
        if let Some(next) = ahead(2) {
            self.prefetched = next;
            self.src.prefetch(next, NODE_FRONT);
        }
        self.read_ahead.entered(self.src, ahead);
    }
}
