//! A place among the pairs of a table of sets that outlives changes of it.
//!
//! As a [`Position`](super::Position) it is a value: the pair that it stands on, or beside. Each
//! move looks for the pair anew, one descent of the tree of keys and one of the tree of values
//! where there is one, so that no change can make it wrong.

use super::PageSource;
use super::key::Key;
use super::position::Side;
use super::range::Range;
use super::set::bad;
use super::set_values::{SetValues, get_set, set_contains};
use crate::error::Result;
use crate::format::descriptor::TableDescriptor;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

/// How a position moves.
#[derive(Clone, Copy, Debug)]
pub enum SetMove<'k> {
    /// To the first pair, and to the last.
    First,
    Last,
    /// To the pair behind, and to the one in front; where there is none, to that side of all.
    Next,
    Prev,
    /// The same among the values of its key. It stays where there is none.
    NextValue,
    PrevValue,
    /// To the first value of its key, and to the last. It stays where there is none.
    FirstValue,
    LastValue,
    /// To the first value of the first key of which all values are behind it, and to the last value
    /// of the last key of which all are in front. It stays where there is none.
    NextKey,
    PrevKey,
    /// To the first value of the first key that is not below this one, and to the last value of
    /// the last key that is not above it; where there is none, to where it would stand.
    Seek(&'k [u8]),
    SeekBack(&'k [u8]),
    /// To the first value of this key that is not below this value; where there is none, to where
    /// it would stand.
    SeekValue(&'k [u8], &'k [u8]),
    /// To this pair; where it is not there, to where it would stand.
    Find(&'k [u8], &'k [u8]),
    /// To where it is, if its pair is there.
    Current,
}

/// A place among the pairs of a table of sets.
#[derive(Clone)]
pub struct SetPosition {
    side: Side,
    key: Vec<u8>,
    value: Vec<u8>,
}

type Pair<'a> = (Key<'a>, Key<'a>);

impl SetPosition {
    /// In front of the first pair, and behind the last.
    pub fn new() -> SetPosition {
        SetPosition { side: Side::Nowhere, key: Vec::new(), value: Vec::new() }
    }

    /// The pair that it stands on, or stood on when that was there.
    pub fn pair(&self) -> Option<(&[u8], &[u8])> {
        (self.side == Side::At).then_some((&*self.key, &*self.value))
    }

    /// Stands on a pair from now on, whether it is there or not.
    pub fn set(&mut self, key: &[u8], value: &[u8]) {
        self.hold(Side::At, key, value);
    }

    fn hold(&mut self, side: Side, key: &[u8], value: &[u8]) {
        self.side = side;
        self.key.clear();
        self.key.extend_from_slice(key);
        self.value.clear();
        self.value.extend_from_slice(value);
    }

    /// Moves; whether it stands on a pair that is there then, as it was asked to.
    pub fn go<S: PageSource>(
        &mut self,
        src: &S,
        desc: &TableDescriptor,
        to: SetMove<'_>,
    ) -> Result<bool> {
        src.check()?;
        let tree = &Tree { src, desc };
        match to {
            SetMove::First => {
                *self = SetPosition::new();
                let found = tree.beside((Unbounded, Unbounded), true)?;
                self.land(tree, found, Ordering::Greater)
            }
            SetMove::Last => {
                *self = SetPosition::new();
                let found = tree.beside((Unbounded, Unbounded), false)?;
                self.land(tree, found, Ordering::Less)
            }
            SetMove::Next => self.step(tree, true),
            SetMove::Prev => self.step(tree, false),
            SetMove::NextValue => {
                let found = tree.of_key(self, self.behind(), true)?;
                self.land(tree, found, Ordering::Greater)
            }
            SetMove::PrevValue => {
                let found = tree.of_key(self, self.in_front(), false)?;
                self.land(tree, found, Ordering::Less)
            }
            SetMove::FirstValue | SetMove::LastValue => {
                let forward = matches!(to, SetMove::FirstValue);
                match tree.of_key(self, (Unbounded, Unbounded), forward)? {
                    Some((key, value)) => {
                        self.set(&key, &value);
                        Ok(true)
                    }
                    None => Ok(false),
                }
            }
            SetMove::NextKey => self.step_key(tree, true),
            SetMove::PrevKey => self.step_key(tree, false),
            SetMove::Seek(key) => {
                self.hold(Side::Before, key, &[]);
                let found = tree.beside((Included(key), Unbounded), true)?;
                self.land(tree, found, Ordering::Greater)
            }
            SetMove::SeekBack(key) => {
                match tree.beside((Unbounded, Included(key)), false)? {
                    // Whatever values it has.
                    Some((there, value)) if desc.order.compare(&there, key).is_eq() => {
                        self.set(&there, &value);
                        Ok(true)
                    }
                    found => {
                        self.hold(Side::Before, key, &[]);
                        self.land(tree, found, Ordering::Less)
                    }
                }
            }
            SetMove::SeekValue(key, value) => {
                self.hold(Side::Before, key, value);
                let found = tree.of_key(self, (Included(value), Unbounded), true)?;
                self.land(tree, found, Ordering::Greater)
            }
            SetMove::Find(key, value) => {
                self.hold(Side::Before, key, value);
                let is_there = tree.contains(key, value)?;
                self.side = if is_there { Side::At } else { Side::Before };
                Ok(is_there)
            }
            SetMove::Current => match self.pair() {
                Some((key, value)) => tree.contains(key, value),
                None => Ok(false),
            },
        }
    }

    /// The values of its key that are behind it.
    fn behind(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match self.side {
            Side::Before => (Included(&self.value), Unbounded),
            _ => (Excluded(&self.value), Unbounded),
        }
    }

    /// The values of its key that are in front of it.
    fn in_front(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match self.side {
            Side::After => (Unbounded, Included(&self.value)),
            _ => (Unbounded, Excluded(&self.value)),
        }
    }

    fn step<S: PageSource>(&mut self, tree: &Tree<'_, S>, forward: bool) -> Result<bool> {
        let (way, end) = match forward {
            true => (Ordering::Greater, Side::After),
            false => (Ordering::Less, Side::Before),
        };
        let values = if forward { self.behind() } else { self.in_front() };
        let found = match tree.of_key(self, values, forward)? {
            Some(pair) => Some(pair),
            None => tree.beside(self.keys(forward, false), forward)?,
        };
        let is_there = self.land(tree, found, way)?;
        if !is_there && self.side == Side::At {
            self.side = end;
        }
        Ok(is_there)
    }

    fn step_key<S: PageSource>(&mut self, tree: &Tree<'_, S>, forward: bool) -> Result<bool> {
        // Where it stands beside its pair, its key may be the one that is asked for.
        let (values, way) = match forward {
            true => (self.in_front(), Ordering::Greater),
            false => (self.behind(), Ordering::Less),
        };
        let is_beside = matches!(self.side, Side::Before | Side::After);
        let with_own = is_beside && tree.of_key(self, values, forward)?.is_none();
        let found = tree.beside(self.keys(forward, with_own), forward)?;
        self.land(tree, found, way)
    }

    /// The keys on one side of its own, or from that on.
    fn keys(&self, forward: bool, with_own: bool) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let own = match self.side {
            Side::Nowhere => Unbounded,
            _ if with_own => Included(&self.key[..]),
            _ => Excluded(&self.key[..]),
        };
        if forward { (own, Unbounded) } else { (Unbounded, own) }
    }

    /// Stands on a pair that was found, which lies this way: so a walk ends also where damage has
    /// put keys or values out of order. Stays where there is none.
    fn land<S>(
        &mut self,
        tree: &Tree<'_, S>,
        found: Option<Pair<'_>>,
        way: Ordering,
    ) -> Result<bool> {
        let Some((key, value)) = found else { return Ok(false) };
        if self.side != Side::Nowhere {
            let order = tree.desc.order.compare(&key, &self.key);
            let order = order.then_with(|| (*value).cmp(&self.value[..]));
            let stays = order == Ordering::Equal && self.side != Side::At;
            if order != way && !stays {
                return Err(bad(tree.desc, "set of values, or keys, out of order"));
            }
        }
        self.set(&key, &value);
        Ok(true)
    }
}

/// The tree of a table of sets.
struct Tree<'a, S> {
    src: &'a S,
    desc: &'a TableDescriptor,
}

impl<'a, S: PageSource> Tree<'a, S> {
    /// The first, or the last, of the values of a position's key that lie between two bounds.
    fn of_key(
        &self,
        position: &SetPosition,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        forward: bool,
    ) -> Result<Option<Pair<'a>>> {
        if position.side == Side::Nowhere {
            return Ok(None);
        }
        let Some(set) = get_set(self.src, self.desc, &position.key)? else { return Ok(None) };
        let mut values = SetValues::new(self.src, self.desc, &set, from, to)?;
        let value = values.advance(forward)?;
        Ok(value.map(|value| (Key::from(&position.key[..]).into_owned(), value)))
    }

    /// The first pair of the first of these keys, or the last one of the last.
    fn beside(
        &self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        forward: bool,
    ) -> Result<Option<Pair<'a>>> {
        let mut range = Range::new(self.src, self.desc, from, to)?;
        let Some((key, set)) = range.advance_set(forward).transpose()? else { return Ok(None) };
        let mut values = SetValues::new(self.src, self.desc, &set, Unbounded, Unbounded)?;
        let value = values.advance(forward)?;
        value.map(|value| Some((key, value))).ok_or_else(|| bad(self.desc, "set without a value"))
    }

    fn contains(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        match get_set(self.src, self.desc, key)? {
            Some(set) => set_contains(self.src, self.desc, &set, value),
            None => Ok(false),
        }
    }
}

impl fmt::Debug for SetPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [key, value] = [&self.key, &self.value].map(|bytes| Key::from(&**bytes));
        match self.side {
            Side::Nowhere => f.write_str("nowhere"),
            side => write!(f, "{side:?} {key:?} {value:?}"),
        }
    }
}
