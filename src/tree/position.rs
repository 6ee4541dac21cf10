//! A place in a tree that outlives changes of it.
//!
//! A cursor borrows the tree, so that nothing can change under it. A position is a value: the key
//! that it stands on, or beside. It stays where it is whatever happens to the tree, also to that
//! key; each move is one descent, but for those within a leaf of a tree that has not changed since
//! the move before.

use super::PageSource;
use super::cursor::Cursor;
use super::key::Key;
use super::search::{get, node_at, value_bytes};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::Node;
use crate::types::PageId;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;

/// Where a position stands, as its key goes, or its pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// It has none: in front of the first and behind the last.
    Nowhere,
    Before,
    At,
    After,
}

/// Where the entry of the key was when the tree had this version.
#[derive(Clone, Copy, Debug)]
struct Seen {
    leaf: PageId,
    index: usize,
    version: u64,
}

/// A place in a tree. Whoever asks says which version of the tree it is: another number when
/// anything about it has changed.
#[derive(Clone)]
pub struct Position {
    side: Side,
    key: Vec<u8>,
    seen: Option<Seen>,
}

/// The error of whoever looks for each next key anew, and is led to one that cannot be the next.
#[cold]
pub fn out_of_order(desc: &TableDescriptor) -> Error {
    Error::corrupt(desc.root, "root of a table whose keys are out of order")
}

/// A tree as of some version.
pub struct Versioned<'a, S> {
    /// Its pages.
    pub src: &'a S,
    /// The tree.
    pub desc: TableDescriptor,
    /// Another one after each change.
    pub version: u64,
}

impl Position {
    /// In front of the first entry, and behind the last.
    pub fn new() -> Position {
        Position { side: Side::Nowhere, key: Vec::new(), seen: None }
    }

    /// In front of the first entry that this lower bound admits.
    pub fn at_start(from: Bound<&[u8]>) -> Position {
        let mut position = Position::new();
        match from {
            Bound::Unbounded => {}
            Bound::Included(key) => position.hold(Side::Before, key),
            Bound::Excluded(key) => position.hold(Side::After, key),
        }
        position
    }

    /// The key of the entry that it stands on, or stood on when it was there.
    pub fn key(&self) -> Option<&[u8]> {
        (self.side == Side::At).then_some(&*self.key)
    }

    /// Stands on a key from now on, whether it is there or not.
    pub fn set(&mut self, key: &[u8]) {
        self.hold(Side::At, key);
    }

    fn hold(&mut self, side: Side, key: &[u8]) {
        (self.side, self.seen) = (side, None);
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    /// The value of the entry that it stands on; None if it stands on none, or that is gone.
    pub fn current<'a, S: PageSource>(&self, tree: &Versioned<'a, S>) -> Result<Option<&'a [u8]>> {
        match self.side {
            Side::At => get(tree.src, &tree.desc, &self.key),
            _ => Ok(None),
        }
    }

    /// Moves to the first entry; the value. None in an empty tree.
    pub fn first<'a, S: PageSource>(
        &mut self,
        tree: &Versioned<'a, S>,
    ) -> Result<Option<&'a [u8]>> {
        *self = Position { key: std::mem::take(&mut self.key), ..Position::new() };
        self.go(tree, Ordering::Greater, |cursor, _| cursor.first())
    }

    /// Moves to the last entry.
    pub fn last<'a, S: PageSource>(&mut self, tree: &Versioned<'a, S>) -> Result<Option<&'a [u8]>> {
        *self = Position { key: std::mem::take(&mut self.key), ..Position::new() };
        self.go(tree, Ordering::Less, |cursor, _| cursor.last())
    }

    /// Moves to the first entry whose key is not below this one; where there is none, to the place
    /// where it would stand.
    pub fn seek<'a, S: PageSource>(
        &mut self,
        tree: &Versioned<'a, S>,
        key: &[u8],
    ) -> Result<Option<&'a [u8]>> {
        self.hold(Side::Before, key);
        self.go(tree, Ordering::Greater, |cursor, key| cursor.seek(Bound::Included(key)))
    }

    /// The same from the other end: the last entry whose key is not above this one.
    pub fn seek_back<'a, S: PageSource>(
        &mut self,
        tree: &Versioned<'a, S>,
        key: &[u8],
    ) -> Result<Option<&'a [u8]>> {
        self.hold(Side::After, key);
        self.go(tree, Ordering::Less, |cursor, key| cursor.seek_back(Bound::Included(key)))
    }

    /// Moves to the next entry. None at the end, where it stays: a later call finds what has come
    /// behind it since.
    pub fn next<'a, S: PageSource>(&mut self, tree: &Versioned<'a, S>) -> Result<Option<&'a [u8]>> {
        if let Some((leaf, index)) = self.seen_in(tree)?
            && index + 1 < leaf.count()
        {
            self.is_beside(&leaf, index + 1, Ordering::Greater)?;
            return self.stand(tree, &leaf, index + 1).map(Some);
        }
        let side = self.side;
        let found = self.go(tree, Ordering::Greater, |cursor, key| match side {
            Side::Nowhere => cursor.first(),
            Side::Before => cursor.seek(Bound::Included(key)),
            Side::At | Side::After => cursor.seek(Bound::Excluded(key)),
        })?;
        if found.is_none() && side == Side::At {
            self.side = Side::After;
        }
        Ok(found)
    }

    /// Moves to the entry before.
    pub fn prev<'a, S: PageSource>(&mut self, tree: &Versioned<'a, S>) -> Result<Option<&'a [u8]>> {
        if let Some((leaf, index)) = self.seen_in(tree)?
            && let Some(index) = index.checked_sub(1)
        {
            self.is_beside(&leaf, index, Ordering::Less)?;
            return self.stand(tree, &leaf, index).map(Some);
        }
        let side = self.side;
        let found = self.go(tree, Ordering::Less, |cursor, key| match side {
            Side::Nowhere => cursor.last(),
            Side::After => cursor.seek_back(Bound::Included(key)),
            Side::At | Side::Before => cursor.seek_back(Bound::Excluded(key)),
        })?;
        if found.is_none() && side == Side::At {
            self.side = Side::Before;
        }
        Ok(found)
    }

    /// The leaf and the place of the entry, if the tree is as it was when it was found. T6: the
    /// leaf is looked at again.
    fn seen_in<'a, S: PageSource>(
        &self,
        tree: &Versioned<'a, S>,
    ) -> Result<Option<(Node<'a>, usize)>> {
        match self.seen.filter(|seen| self.side == Side::At && seen.version == tree.version) {
            Some(seen) => Ok(Some((node_at(tree.src, seen.leaf, 0, tree.desc.order)?, seen.index))),
            None => Ok(None),
        }
    }

    /// Whether an entry lies to this side of where the position stands: so a walk ends also where
    /// damage has put keys out of order.
    fn is_beside(&self, leaf: &Node<'_>, index: usize, way: Ordering) -> Result<()> {
        if self.side == Side::Nowhere {
            return Ok(());
        }
        let order = leaf.order().compare_to(&leaf.key(index)?, &self.key);
        let stays = order == Ordering::Equal && self.side != Side::At;
        match order == way || stays {
            true => Ok(()),
            false => Err(leaf.corrupt("keys out of order")),
        }
    }

    /// Moves this way to where a cursor finds something; stays where it is if it finds nothing.
    fn go<'a, S: PageSource>(
        &mut self,
        tree: &Versioned<'a, S>,
        way: Ordering,
        find: impl FnOnce(&mut Cursor<'a, S>, &[u8]) -> Result<bool>,
    ) -> Result<Option<&'a [u8]>> {
        tree.src.check()?;
        let mut cursor = Cursor::new(tree.src, &tree.desc)?;
        if !find(&mut cursor, &self.key)? {
            self.seen = None;
            return Ok(None);
        }
        let Some(place) = cursor.place() else { return Ok(None) };
        let leaf = node_at(tree.src, place.leaf, 0, tree.desc.order)?;
        self.is_beside(&leaf, place.index, way)?;
        self.stand(tree, &leaf, place.index).map(Some)
    }

    fn stand<'a, S: PageSource>(
        &mut self,
        tree: &Versioned<'a, S>,
        leaf: &Node<'a>,
        index: usize,
    ) -> Result<&'a [u8]> {
        let (key, value) = leaf.entry(index)?;
        let value = value_bytes(tree.src, leaf, value)?;
        key.replace_in(&mut self.key);
        self.side = Side::At;
        self.seen = Some(Seen { leaf: leaf.id(), index, version: tree.version });
        Ok(value)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Side::Nowhere => f.write_str("nowhere"),
            side => write!(f, "{side:?} {:?}", Key::from(&*self.key)),
        }
    }
}
