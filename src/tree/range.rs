//! Entries between two bounds, from both ends.
//!
//! An end with a bound is looked up when the range is made, an end without one when it is first
//! asked for. Each end's cursor stands on the entry it gave out last, so no leaf is read before it
//! is needed. After an error, and after the end, a range yields None for ever.

use super::cursor::Cursor;
use super::key::Key;
use super::set::Set;
use super::{PageSource, TableDescriptor};
use crate::error::{Error, Result};
use crate::format::order::KeyOrder;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

/// One end of a range.
pub(super) struct End<'a, S> {
    pub cursor: Cursor<'a, S>,
    /// The entry the cursor stands on has been given out from this end.
    pub given: bool,
    /// More than one entry has been asked for.
    pub scanning: bool,
    /// Entries of the same leaf that come next and lie in front of where the other end stands.
    pub left: usize,
}

impl<'a, S> End<'a, S> {
    fn new(cursor: Cursor<'a, S>) -> Self {
        End { cursor, given: false, scanning: false, left: 0 }
    }
}

/// A double-ended iterator over entries.
pub struct Range<'a, S> {
    pub(super) src: &'a S,
    /// That of the source: a step inside of a leaf asks nothing else of it.
    pub(super) alive: &'a AtomicU64,
    pub(super) desc: TableDescriptor,
    pub(super) front: Option<End<'a, S>>,
    pub(super) back: Option<End<'a, S>>,
    /// The key that was borrowed last, if it did not come the short way.
    pub(super) borrowed: Option<Key<'a>>,
    pub(super) done: bool,
}

/// What a range yields.
type Entry<'a> = (Key<'a>, &'a [u8]);

impl<'a, S: PageSource> Range<'a, S> {
    /// The entries that both bounds admit; none if the bounds are the wrong way round.
    pub fn new(
        src: &'a S,
        desc: &TableDescriptor,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<Range<'a, S>> {
        let mut range = Range {
            src,
            alive: src.alive(),
            desc: *desc,
            front: None,
            back: None,
            borrowed: None,
            done: false,
        };
        src.check()?;
        if is_empty(desc.order, from, to) || desc.root.is_none() {
            range.done = true;
            return Ok(range);
        }
        if from != Bound::Unbounded {
            let mut cursor = Cursor::new(src, desc)?;
            range.done |= !cursor.seek(from)?;
            range.front = Some(End::new(cursor));
        }
        if to != Bound::Unbounded && !range.done {
            let mut cursor = Cursor::new(src, desc)?;
            range.done |= !cursor.seek_back(to)?;
            range.back = Some(End::new(cursor));
        }
        if let (false, Some(front), Some(back)) = (range.done, &mut range.front, &mut range.back) {
            range.done = front.cursor.is_above(&back.cursor)?;
        }
        Ok(range)
    }

    /// The entry that this end gives out next, wherever it is.
    fn step(&mut self, forward: bool) -> Result<Option<Entry<'a>>> {
        match self.step_to(forward)? {
            Some(near) => near.cursor.entry(),
            None => Ok(None),
        }
    }

    /// Moves this end to the entry that it gives out next.
    fn step_to(&mut self, forward: bool) -> Result<Option<&mut End<'a, S>>> {
        let (near, far) = if forward {
            (&mut self.front, &mut self.back)
        } else {
            (&mut self.back, &mut self.front)
        };
        let moved = match near {
            Some(end) if !end.given => true,
            Some(end) if forward => end.cursor.next()?,
            Some(end) => end.cursor.prev()?,
            None => {
                let mut cursor = Cursor::new(self.src, &self.desc)?;
                let moved = if forward { cursor.first()? } else { cursor.last()? };
                *near = Some(End::new(cursor));
                moved
            }
        };
        let Some(near) = near.as_mut().filter(|_| moved) else {
            self.done = true;
            return Ok(None);
        };
        let first = !std::mem::replace(&mut near.given, true);
        if !first && !std::mem::replace(&mut near.scanning, true) {
            near.cursor.begin_scan(forward)?;
        }
        let mut leaves = near.cursor.leaves();
        if let Some(far) = far {
            // This end may have come nearer than the other one has counted.
            far.left = 0;
            leaves = leaves.saturating_add(far.cursor.leaves());
            if near.cursor.is_at(&far.cursor) {
                self.done = true;
                if far.given {
                    return Ok(None);
                }
            }
        }
        // Each end may look at one leaf outside the range; more than all of them is a cycle of
        // damaged pages.
        if leaves > self.desc.leaf_pages.saturating_add(2) {
            return Err(Error::corrupt(
                self.desc.root,
                "root of a tree with more leaves than it counts",
            ));
        }
        // The second entry comes this way too: whoever asks for that one will ask for more.
        if !self.done && !first {
            let far = far.as_ref().map(|far| &far.cursor);
            near.left = match forward {
                true => near.cursor.entries_behind(far),
                false => near.cursor.entries_before(far),
            };
        }
        Ok(Some(near))
    }

    /// The way of almost all: moves this end to the next entry of the same leaf, if the other end
    /// has not reached that.
    #[inline(always)]
    fn step_inside(&mut self, forward: bool) -> Option<&mut End<'a, S>> {
        let (near, far) = if forward {
            (&mut self.front, &mut self.back)
        } else {
            (&mut self.back, &mut self.front)
        };
        let near = near.as_mut().filter(|near| near.left > 0)?;
        if self.alive.load(Ordering::Relaxed) == 0 {
            // Said by the slow way.
            return None;
        }
        near.left -= 1;
        near.cursor.step(forward);
        if let Some(far) = far {
            far.left = 0;
        }
        Some(near)
    }

    #[inline(always)]
    fn advance(&mut self, forward: bool) -> Option<Result<Entry<'a>>> {
        match self.step_inside(forward).map(|near| near.cursor.short_entry()) {
            Some(Some(entry)) => Some(Ok(entry)),
            Some(None) => self.odd_entry(forward),
            None => self.advance_slowly(forward),
        }
    }

    /// The same as a step of the iterator, with the key in the range: it is put together in one
    /// place, again and again.
    #[inline(always)]
    pub fn advance_ref(&mut self, forward: bool) -> Result<Option<(&[u8], &'a [u8])>> {
        let entry = match self.step_inside(forward).map(|near| near.cursor.assemble()) {
            Some(Some((len, value))) => return Ok(Some((self.assembled(forward, len), value))),
            Some(None) => match self.assemble_long(forward) {
                Some((len, value)) => return Ok(Some((self.assembled(forward, len), value))),
                None => self.odd_entry(forward),
            },
            None => self.advance_slowly(forward),
        };
        let Some((key, value)) = entry.transpose()? else { return Ok(None) };
        Ok(Some((self.borrowed.insert(key), value)))
    }

    /// The key that this end has put together last.
    #[inline(always)]
    fn assembled(&self, forward: bool, len: usize) -> &[u8] {
        let near = if forward { &self.front } else { &self.back };
        near.as_ref().map(|near| near.cursor.front.assembled(len)).unwrap_or_default()
    }

    /// The entry on which this end stands already, with a key that is not one of the short ones.
    #[inline(never)]
    fn assemble_long(&mut self, forward: bool) -> Option<(usize, &'a [u8])> {
        let near = if forward { &mut self.front } else { &mut self.back };
        near.as_mut()?.cursor.assemble_long()
    }

    /// The entry on which this end stands already, by the general way.
    #[cold]
    fn odd_entry(&mut self, forward: bool) -> Option<Result<Entry<'a>>> {
        let near = if forward { &mut self.front } else { &mut self.back };
        let entry = near.as_mut()?.cursor.entry();
        self.settle(entry)
    }

    #[cold]
    fn advance_slowly(&mut self, forward: bool) -> Option<Result<Entry<'a>>> {
        if self.done {
            return None;
        }
        let entry = self.src.check().and_then(|()| self.step(forward));
        self.settle(entry)
    }

    /// The next key from one end, with its values: in a table of sets.
    pub fn advance_set(&mut self, forward: bool) -> Option<Result<(Key<'a>, Set<'a>)>> {
        let entry = match self.step_inside(forward).map(|near| near.cursor.set_entry()) {
            Some(entry) => entry,
            None if self.done => return None,
            None => match self.src.check().and_then(|()| self.step_to(forward)) {
                Ok(Some(near)) => near.cursor.set_entry(),
                Ok(None) => Ok(None),
                Err(e) => Err(e),
            },
        };
        let checked = entry.and_then(|entry| {
            entry.map(|(key, set)| Ok((key, set.checked(&self.desc)?))).transpose()
        });
        self.settle(checked)
    }

    /// After an error nothing more comes from either end.
    fn settle<T>(&mut self, entry: Result<Option<T>>) -> Option<Result<T>> {
        match entry {
            Ok(entry) => entry.map(Ok),
            Err(e) => {
                self.done = true;
                for end in [&mut self.front, &mut self.back].into_iter().flatten() {
                    end.left = 0;
                }
                Some(Err(self.src.named(e)))
            }
        }
    }
}

/// Whether no key at all lies between two bounds.
pub(super) fn is_empty(order: KeyOrder, from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (from, to) {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(a), Included(b)) => order.compare(a, b).is_gt(),
        (Included(a) | Excluded(a), Included(b) | Excluded(b)) => order.compare(a, b).is_ge(),
    }
}

impl<'a, S: PageSource> Iterator for Range<'a, S> {
    type Item = Result<Entry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

impl<S: PageSource> DoubleEndedIterator for Range<'_, S> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl<S: PageSource> std::iter::FusedIterator for Range<'_, S> {}
