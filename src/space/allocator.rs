//! The allocator of one write transaction.
//!
//! Free pages stand in four places: `ready` (reusable, proved so once and for ever), the pool
//! (proved like them, and sorted: see [`super::pool`]), the main queue (in the order of their
//! death) and three side queues for entries that an old reader or a named snapshot pins: such an
//! entry is moved to a side queue under *one* id that pins it and looked at again when that is gone
//! (B10), so that nothing rescans them. With more ids than queues the last one becomes the *mixed*
//! queue: it has what waits for whoever else, and is gone round in small steps (A7). Queues, the
//! pool too, are FIFO lists of log pages, each written once, with their youngest entries inline in
//! the meta page. A small commit therefore writes no page for its free space, however much of it
//! there is.
//!
//! Invariants: (A1) every page below `page_count` that the snapshot does not use is in exactly one
//! of these places, or reserved as the tail of a queue, or it is a log page; (A2) nothing enters
//! `ready` but by a `Reusable` verdict or because it was born in this very transaction, and nothing
//! the pool but from there or by such a verdict; (A3) the number of extents and inline entries in a
//! finished state has the bounds of the meta page; (A4) the file grows for a run while more than a
//! quarter of it is free only if all that can be used again has been joined, or is still to be paid
//! for; (A5) single pages do not cut up long runs while more than a sixth of the file is free, and
//! there are others; (A6) deferred commits, of which older snapshots keep what they replace, are
//! flushed before that is long ([`is_flush_due`](super::is_flush_due): kept by the commit); (A7)
//! each page that is taken pays for judging four entries of the mixed queue again, so that what
//! nobody sees is a small part of it, however long others stay.

mod finish;
mod levels;
mod queues;

use super::extents::Extents;
use super::pins::Pins;
use super::pool;
use crate::error::{Error, Result};
use crate::format::freelog::{self, FreeEntry, FreeExtent, MAX_RUN, Queue};
use crate::format::meta::{INLINE_MAX, Meta, QUEUES, READY_MAX};
use crate::types::{PageId, TxnId};
use levels::{Born, Level};
use std::ops::Range;

/// Reads pages of the base snapshot and takes the log pages of the new one.
pub trait LogPages {
    /// Page `id` of the base snapshot.
    fn log_page(&self, id: PageId) -> Result<&[u8]>;
    /// An error if a log page that has been read so far may not be what was built: nothing that it
    /// names is to be used then (rule 23).
    fn proved(&self) -> Result<()> {
        Ok(())
    }
    /// A page of the new snapshot, to be filled.
    fn new_log_page(&mut self, id: PageId) -> Result<&mut [u8]>;
}

/// Extents looked for when `ready` is empty.
const REFILL: usize = 64;
/// A transaction that has taken so many times more pages looks for more at once.
const REFILL_PART: u64 = 8;
/// Single pages go where they are in nobody's way if more than this part of the file is free and a
/// run is ready (A5).
const FRAGMENTS_PART: u64 = 6;
/// Pages of a run that is worth it: with two, the files of some mixes become shorter still, and
/// that of roll-backs longer than twice what is in use.
const RUN: u64 = 4;
/// Commits that may be waiting for a flush before entries pinned by the durable snapshot are moved
/// aside.
const BACKLOG: u64 = 64;
/// The same for fewer, if more than this part of the file is free and waits: without it, large
/// deferred commits would find nothing to use again until the list of pages is full, about 100 MB.
const BACKLOG_PART: u64 = 16;
/// So few commits never count: a flush comes soon. And with several readers the side queues are
/// theirs.
const BACKLOG_FEW: u64 = 4;

/// The allocator of one write transaction.
pub struct Allocator {
    /// Its id, without savepoints. All ids from here on are its own.
    first: TxnId,
    /// The id that pages are born with now: a savepoint raises it. In the end that of the
    /// transaction.
    txn: TxnId,
    /// Pages of the transaction born from here on may be changed in place ([`levels`]).
    floor: TxnId,
    /// Something may have been born under the id `txn`.
    has_births: bool,
    /// Savepoints.
    levels: Vec<Level>,
    /// Looking for free pages has failed half-way: what it has taken out of the queues may be
    /// nowhere, or in two places.
    is_torn: bool,
    page_count: u64,
    pins: Pins,
    /// Bounds of a finished state: ready extents, inline entries, entries in a log page.
    ready_max: usize,
    inline_max: usize,
    log_max: usize,
    /// Entries that wait for a flush stand in the way of too many that do not.
    long_backlog: bool,
    ready: Extents,
    /// Taken out of `ready` as a whole, to be used from its front: the pages of a commit lie side
    /// by side.
    run: Range<u64>,
    /// Pages taken, and those of them that lay behind the last one.
    taken: u64,
    added: u64,
    /// What `drain` has found to be reusable, on its way to `ready` or to the pool.
    found: Vec<FreeEntry>,
    /// Whether sorting the pool has been tried.
    sorted: bool,
    /// Whether everything has been joined for a run.
    joined: bool,
    /// Entries of the mixed queue that have been judged again (A7); the largest number if it has
    /// been gone round.
    looked: usize,
    /// Single pages are taken from the first free ones, however few lie side by side (A5).
    fragments_first: bool,
    /// And more of these have been looked for.
    fragments_sought: bool,
    /// It moves nothing to a side queue where it would wait for too long: what is sorted later is
    /// not lost.
    sorting: bool,
    queues: [Queue; QUEUES],
    /// Freed in this transaction, born before it.
    freed: Vec<FreeExtent>,
    durable: TxnId,
    /// Pages in what the end of the transaction has found there.
    freed_pages: u64,
    /// First pages of what was freed here and born after `durable`, with their births.
    freed_undurable: Vec<(PageId, TxnId)>,
    /// Pages in free-log entries of the base that have not been taken.
    logged_pages: u64,
}

/// What an allocator starts from.
pub struct Start<'a> {
    /// The base snapshot.
    pub base: &'a Meta,
    /// The new transaction.
    pub txn: TxnId,
    /// The protected snapshots.
    pub pins: Pins,
    /// The durable snapshot.
    pub durable: TxnId,
    /// Pages from here on were not used by what was rolled back and is still read (rule 5); no more
    /// than the base has if there is none.
    pub page_high: u64,
    /// Lowest id that was rolled back; matters as `page_high` does.
    pub dead_from: TxnId,
    /// Most ready extents and inline entries in the meta page, and entries in a log page, where
    /// these have room for more.
    pub limit: usize,
}

impl Allocator {
    /// Starts from the state of the base snapshot.
    pub fn new(start: Start<'_>) -> Result<Allocator> {
        let Start { base, txn, pins, durable, page_high, dead_from, limit } = start;
        let (base_pages, page_size, base) = (base.page_count, base.page_size, &base.space);
        let mut ready = Extents::default();
        for &(start, len) in &base.ready {
            if !ready.add(start, len) {
                return Err(Error::corrupt(start, "free twice in the meta page"));
            }
        }
        let inline = inline_pages(&base.queues);
        if base.free_pages > base_pages {
            return Err(Error::corrupt(
                PageId::NONE,
                "the meta page counts more free pages than the file has",
            ));
        }
        let logged_pages =
            base.free_pages.checked_sub(ready.pages() + inline).ok_or_else(|| {
                Error::corrupt(PageId::NONE, "the meta page counts too few free pages")
            })?;
        let backlog = txn.0.saturating_sub(durable.0);
        let much = logged_pages + inline > base_pages / BACKLOG_PART;
        let mut a = Allocator {
            first: txn,
            txn,
            floor: txn,
            has_births: false,
            levels: Vec::new(),
            is_torn: false,
            page_count: base_pages,
            ready_max: READY_MAX.min(limit),
            inline_max: INLINE_MAX.min(limit),
            log_max: freelog::capacity(page_size).min(limit),
            long_backlog: backlog > BACKLOG
                || (backlog > BACKLOG_FEW && much && pins.readers() <= 1),
            ready,
            run: 0..0,
            taken: 0,
            added: 0,
            found: Vec::new(),
            sorted: false,
            joined: false,
            looked: 0,
            fragments_first: false,
            fragments_sought: false,
            sorting: false,
            queues: base.queues.clone(),
            freed: Vec::new(),
            durable,
            freed_pages: 0,
            freed_undurable: Vec::new(),
            logged_pages,
            pins,
        };
        let much = base.free_pages > base_pages / FRAGMENTS_PART;
        a.fragments_first = much && a.ready.longest() >= RUN;
        let high = page_high > a.page_count;
        if a.pins.no_reuse() && high {
            // Pages that only rolled-back snapshots used: a reader may stand on one of those.
            a.free_range(PageId(a.page_count), page_high - a.page_count, dead_from);
            a.page_count = page_high;
        }
        Ok(a)
    }

    /// The snapshot that was visible at the begin: readers of older ones, who have come since, are
    /// not protected.
    pub fn judged_at(&self) -> TxnId {
        self.pins.visible()
    }

    /// High-water mark of the new snapshot so far.
    pub fn page_count(&self) -> u64 {
        self.page_count
    }

    /// Pages of older transactions that were freed, once the transaction has ended.
    pub fn freed_pages(&self) -> u64 {
        self.freed_pages
    }

    /// First pages of everything freed in this transaction that was born after the durable
    /// snapshot, with its birth.
    pub fn freed_undurable(&self) -> &[(PageId, TxnId)] {
        &self.freed_undurable
    }

    /// Pages taken behind the last one.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Pages taken that were free. (One that could not be had may count as taken, and not as
    /// added: that transaction is broken.)
    pub fn reused(&self) -> u64 {
        self.taken.saturating_sub(self.added)
    }

    /// Snapshots that were being read at the begin.
    pub fn snapshots_read(&self) -> u64 {
        self.pins.readers() as u64
    }

    /// One page.
    #[inline]
    pub fn allocate(&mut self, log: &impl LogPages) -> Result<PageId> {
        let id = match self.next_of_run() {
            Some(id) => id,
            None => {
                self.fill_ready(log)?;
                self.begin_run()?
            }
        };
        self.note_born(id, 1);
        Ok(id)
    }

    /// Looks for pages if there are too few for the next run.
    fn fill_ready(&mut self, log: &impl LogPages) -> Result<()> {
        if self.ready.count() == 0 || self.seeks_fragments() {
            self.refill(log, REFILL.max((self.taken / REFILL_PART) as usize))?;
        }
        Ok(())
    }

    /// Whether the next single page would cut up a long run although the pool may have other pages
    /// (A5). Once in a transaction: there may be none.
    fn seeks_fragments(&mut self) -> bool {
        let lacks = self.fragments_first && self.ready.shortest() >= pool::LONG;
        lacks && !std::mem::replace(&mut self.fragments_sought, true)
    }

    fn allocate_from_ready(&mut self) -> Result<PageId> {
        match self.next_of_run() {
            Some(id) => Ok(id),
            None => self.begin_run(),
        }
    }

    #[inline]
    fn next_of_run(&mut self) -> Option<PageId> {
        let id = self.run.next()?;
        self.taken += 1;
        Some(PageId(id))
    }

    /// The first page of the next run.
    fn begin_run(&mut self) -> Result<PageId> {
        self.taken += 1;
        // Where a small commit finds room, and towards the front, so that the end of the file
        // empties.
        let found = if self.pins.no_reuse() {
            None
        } else {
            self.ready.take_low(if self.fragments_first { 1 } else { pool::LONG })
        };
        match found {
            Some((start, len)) => {
                self.run = start.0 + 1..start.0 + len;
                Ok(start)
            }
            None => self.extend(1),
        }
    }

    /// Puts back what is left of the run.
    fn end_run(&mut self) -> Result<()> {
        let run = std::mem::replace(&mut self.run, 0..0);
        self.add_ready(PageId(run.start), run.end - run.start)
    }

    fn add_ready(&mut self, start: PageId, len: u64) -> Result<()> {
        if len > 0 && !self.ready.add(start, len) {
            return Err(Error::corrupt(start, "free twice"));
        }
        Ok(())
    }

    /// `len` pages side by side.
    pub fn allocate_run(&mut self, len: u64, log: &impl LogPages) -> Result<PageId> {
        let start = self.find_run(len, log)?;
        self.note_born(start, len);
        Ok(start)
    }

    fn find_run(&mut self, len: u64, log: &impl LogPages) -> Result<PageId> {
        self.taken += len;
        if self.pins.no_reuse() {
            return self.extend(len);
        }
        self.end_run()?;
        if let Some(id) = self.ready.take_best(len) {
            return Ok(id);
        }
        // Join what waits in the log before the file grows; in proportion to the run, so that the
        // work stays a small part of writing it.
        self.refill_for_run(log, (len.min(1 << 16) as usize * 8).max(REFILL))?;
        if let Some(id) = self.ready.take_best(len) {
            return Ok(id);
        }
        if self.joining_is_paid(len) {
            self.join_all(len, log)?;
            if let Some(id) = self.ready.take_best(len) {
                return Ok(id);
            }
        }
        match self.ready.take_ending_at(self.page_count) {
            Some((start, tail)) => {
                self.extend(len - tail)?;
                Ok(start)
            }
            None => self.extend(len),
        }
    }

    fn extend(&mut self, len: u64) -> Result<PageId> {
        let start = self.page_count;
        let end = start.checked_add(len).filter(|&end| end <= PageId::MAX.0);
        self.page_count = end.ok_or_else(|| {
            Error::InvalidArgument("the file would have more than 2^48 pages".into())
        })?;
        self.added += len;
        Ok(PageId(start))
    }

    /// Gives `len` pages back that were born in transaction `birth`.
    pub fn free(&mut self, start: PageId, len: u64, birth: TxnId) -> Result<()> {
        self.check_inside(start, len)?;
        if !self.levels.is_empty() {
            return self.give_up(start, len, birth);
        }
        if self.is_own(birth) {
            return self.add_ready(start, len);
        }
        self.free_older(Born { start, len, birth });
        Ok(())
    }

    fn check_inside(&self, start: PageId, len: u64) -> Result<()> {
        if start.0 < 2 || start.0.checked_add(len).is_none_or(|end| end > self.page_count) {
            return Err(Error::corrupt(start, "freed page outside the file"));
        }
        Ok(())
    }

    /// Pages born before this transaction are given up, and nothing can undo that.
    fn free_older(&mut self, Born { start, len, birth }: Born) {
        if birth > self.durable {
            self.freed_undurable.push((start, birth));
        }
        self.free_range(start, len, birth);
    }

    fn free_range(&mut self, start: PageId, len: u64, birth: TxnId) {
        let mut at = start.0;
        let end = start.0 + len;
        while at < end {
            let n = (end - at).min(MAX_RUN);
            self.freed.push(FreeExtent { start: PageId(at), len: n, birth, death: self.txn });
            at += n;
        }
    }
}

/// Pages in inline entries.
fn inline_pages(queues: &[Queue; QUEUES]) -> u64 {
    queues.iter().flat_map(|q| &q.inline).map(FreeEntry::pages).sum()
}
