//! A range that borrows nothing between its steps, each of which is given the source.
//!
//! Inside of a leaf a step opens the leaf again (T6) and takes the entry beside the last one. Where
//! that does not lead further, [`Range`] goes on where it was paused, and is paused again: so the
//! order of both ends, the bound on leaves and the read-ahead are those of a range.

use super::cursor::{Cursor, PausedCursor};
use super::range::{End, Range};
use super::search::value_bytes;
use super::{PageSource, TableDescriptor};
use crate::error::Result;
use std::ops::Bound;

/// One end of it.
struct PausedEnd {
    cursor: PausedCursor,
    given: bool,
    scanning: bool,
    left: usize,
}

impl PausedEnd {
    fn of<S: PageSource>(end: End<'_, S>) -> PausedEnd {
        let End { cursor, given, scanning, left } = end;
        PausedEnd { cursor: cursor.pause(), given, scanning, left }
    }

    fn resume<S: PageSource>(self, src: &S) -> Result<End<'_, S>> {
        let PausedEnd { cursor, given, scanning, left } = self;
        Ok(End { cursor: Cursor::resume(src, cursor)?, given, scanning, left })
    }
}

/// A range at rest. Whoever gives it a source gives it the one that it was made with, unchanged.
pub struct PausedRange {
    desc: TableDescriptor,
    front: Option<PausedEnd>,
    back: Option<PausedEnd>,
    /// The key that was given out last, if it did not come the short way.
    key: Vec<u8>,
    done: bool,
}

impl PausedRange {
    /// The entries that both bounds admit; none if the bounds are the wrong way round.
    pub fn new<S: PageSource>(
        src: &S,
        desc: &TableDescriptor,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<PausedRange> {
        Range::new(src, desc, from, to).map(|range| PausedRange::of(range, Vec::new()))
    }

    fn of<S: PageSource>(range: Range<'_, S>, key: Vec<u8>) -> PausedRange {
        PausedRange {
            desc: range.desc,
            front: range.front.map(PausedEnd::of),
            back: range.back.map(PausedEnd::of),
            key,
            done: range.done,
        }
    }

    /// The range, to be paused again after its next step.
    fn resume<'a, S: PageSource>(&mut self, src: &'a S) -> Result<Range<'a, S>> {
        Ok(Range {
            src,
            alive: src.alive(),
            desc: self.desc,
            front: self.front.take().map(|end| end.resume(src)).transpose()?,
            back: self.back.take().map(|end| end.resume(src)).transpose()?,
            borrowed: None,
            done: self.done,
        })
    }

    /// The next entry from this end; None at the end, and after an error. The key is borrowed until
    /// the next step.
    #[inline(always)]
    pub fn advance_ref<'a, S: PageSource>(
        &mut self,
        src: &'a S,
        forward: bool,
    ) -> Result<Option<(&[u8], &'a [u8])>> {
        if let Some((len, value)) = self.step_inside(src, forward) {
            let near = if forward { &self.front } else { &self.back };
            let key =
                near.as_ref().map(|near| near.cursor.front.assembled(len)).unwrap_or_default();
            return Ok(Some((key, value)));
        }
        let value = self.advance_oddly(src, forward)?;
        Ok(value.map(|value| (&*self.key, value)))
    }

    /// The way of almost all: to the next entry of the same leaf, if the other end has not reached
    /// that. None leaves everything to the odd way.
    #[inline(always)]
    fn step_inside<'a, S: PageSource>(
        &mut self,
        src: &'a S,
        forward: bool,
    ) -> Option<(usize, &'a [u8])> {
        let (near, far) = if forward {
            (&mut self.front, &mut self.back)
        } else {
            (&mut self.back, &mut self.front)
        };
        let near = near.as_mut().filter(|near| near.left > 0)?;
        let leaf = near.cursor.leaf(src).ok()??;
        let entry = leaf.inline_entry(near.cursor.beside(forward))?;
        let len = near.cursor.front.assemble(&entry)?;
        near.left -= 1;
        near.cursor.step(forward);
        if let Some(far) = far {
            far.left = 0;
        }
        Some((len, entry.value))
    }

    /// A long key, a value that does not stand in the leaf, something wrong, another leaf, or the
    /// end. The key is put into its place. After an error nothing more comes.
    #[inline(never)]
    fn advance_oddly<'a, S: PageSource>(
        &mut self,
        src: &'a S,
        forward: bool,
    ) -> Result<Option<&'a [u8]>> {
        self.try_oddly(src, forward).map_err(|e| {
            (self.front, self.back, self.done) = (None, None, true);
            src.named(e)
        })
    }

    #[inline(always)]
    fn try_oddly<'a, S: PageSource>(
        &mut self,
        src: &'a S,
        forward: bool,
    ) -> Result<Option<&'a [u8]>> {
        let (near, far) = if forward {
            (&mut self.front, &mut self.back)
        } else {
            (&mut self.back, &mut self.front)
        };
        if let Some(near) = near.as_mut().filter(|near| near.left > 0)
            && let Some(leaf) = near.cursor.leaf(src)?
        {
            let (key, value) = leaf.entry(near.cursor.beside(forward))?;
            key.replace_in(&mut self.key);
            near.left -= 1;
            near.cursor.step(forward);
            if let Some(far) = far {
                far.left = 0;
            }
            return value_bytes(src, &leaf, value).map(Some);
        }
        self.advance_slowly(src, forward)
    }

    /// To another leaf, or to the end.
    #[inline(never)]
    fn advance_slowly<'a, S: PageSource>(
        &mut self,
        src: &'a S,
        forward: bool,
    ) -> Result<Option<&'a [u8]>> {
        if self.done {
            return Ok(None);
        }
        let mut range = self.resume(src)?;
        let entry = if forward { range.next() } else { range.next_back() };
        *self = PausedRange::of(range, std::mem::take(&mut self.key));
        let Some((key, value)) = entry.transpose()? else { return Ok(None) };
        self.key.clear();
        self.key.extend_from_slice(&key);
        Ok(Some(value))
    }
}
