//! The allocator of one write transaction.
//!
//! Free pages stand in four places: `ready` (reusable, proved so once and for ever), the pool
//! (proved like them, and sorted: see [`super::pool`]), the main queue (in the order of their
//! death) and three side queues for entries that an old reader pins: such an entry is moved to a
//! side queue under *one* reader that pins it and looked at again when that reader is gone (B10),
//! so that nothing rescans them. Queues, the pool too, are FIFO lists of log pages, each written
//! once, with their youngest entries inline in the meta page. A small commit therefore writes no
//! page for its free space, however much of it there is.
//!
//! Invariants: (A1) every page below `page_count` that the snapshot does not use is in exactly one
//! of these places, or reserved as the tail of a queue, or it is a log page; (A2) nothing enters
//! `ready` but by a `Reusable` verdict or because it was born in this very transaction, and nothing
//! the pool but from there or by such a verdict; (A3) the number of extents and inline entries in a
//! finished state has the bounds of the meta page; (A4) the file grows for a run while more than a
//! quarter of it is free only if all that can be used again has been joined, or is still to be paid
//! for; (A5) single pages do not cut up long runs while more than a sixth of the file is free, and
//! there are others; (A6) deferred commits, of which older snapshots keep what they replace, are
//! flushed before that is long ([`is_flush_due`](super::is_flush_due): kept by the commit).

use super::extents::Extents;
use super::pins::{Pins, Verdict};
use super::pool;
use crate::error::{Error, Result};
use crate::format::freelog::{self, FreeEntry, FreeExtent, LogPage, MAX_RUN, Queue};
use crate::format::meta::{INLINE_MAX, MAIN, Meta, POOL, QUEUES, READY_MAX, SIDES, SpaceState};
use crate::types::{PageId, TxnId};
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
/// The pool is sorted anew when so many log pages of other queues can be joined with it, and at
/// least as many as it has: what that writes stays in proportion to what was freed.
const SORTED_FROM: u32 = 2;
/// Log pages that a small commit may have to read and write for it. Of longer queues so much is
/// sorted by itself.
const SORTED_MOST: u32 = 1024;
/// The file does not grow for a run as long as more than this part of it is free: all of that is
/// joined first (A4).
const JOINED_PART: u64 = 4;
/// Entries of the log for whose sorting a page pays by which the file would grow. With a quarter of
/// it files with many values of a few pages still grow after a million commits.
const PAID_ENTRIES: u64 = 512;
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
    txn: TxnId,
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
    /// Pages taken.
    taken: u64,
    /// What `drain` has found to be reusable, on its way to `ready` or to the pool.
    found: Vec<FreeEntry>,
    /// Whether sorting the pool has been tried.
    sorted: bool,
    /// Whether everything has been joined for a run.
    joined: bool,
    /// Extents that wait for a snapshot which does not see them, and have not been paid for.
    parked_elsewhere: usize,
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
    /// First pages of what was freed here and born after `durable`.
    freed_undurable: Vec<PageId>,
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
            txn,
            page_count: base_pages,
            ready_max: READY_MAX.min(limit),
            inline_max: INLINE_MAX.min(limit),
            log_max: freelog::capacity(page_size).min(limit),
            long_backlog: backlog > BACKLOG
                || (backlog > BACKLOG_FEW && much && pins.readers() <= 1),
            ready,
            run: 0..0,
            taken: 0,
            found: Vec::new(),
            sorted: false,
            joined: false,
            parked_elsewhere: 0,
            fragments_first: false,
            fragments_sought: false,
            sorting: false,
            queues: base.queues.clone(),
            freed: Vec::new(),
            durable,
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

    /// First pages of everything freed in this transaction that was born after the durable
    /// snapshot.
    pub fn freed_undurable(&self) -> &[PageId] {
        &self.freed_undurable
    }

    /// One page.
    pub fn allocate(&mut self, log: &impl LogPages) -> Result<PageId> {
        if self.run.is_empty() && (self.ready.count() == 0 || self.seeks_fragments()) {
            self.refill(log, REFILL.max((self.taken / REFILL_PART) as usize))?;
        }
        self.allocate_from_ready()
    }

    /// Whether the next single page would cut up a long run although the pool may have other pages
    /// (A5). Once in a transaction: there may be none.
    fn seeks_fragments(&mut self) -> bool {
        let lacks = self.fragments_first && self.ready.shortest() >= pool::LONG;
        lacks && !std::mem::replace(&mut self.fragments_sought, true)
    }

    fn allocate_from_ready(&mut self) -> Result<PageId> {
        self.taken += 1;
        if let Some(id) = self.run.next() {
            return Ok(PageId(id));
        }
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
        if self.pins.no_reuse() {
            return self.extend(len);
        }
        self.end_run()?;
        self.taken += len;
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

    /// Whether everything is to be joined before the file grows by `len` pages (A4).
    ///
    /// Each of these pages pays for sorting a few entries. Most often that is not enough for all of
    /// them, and no snapshot has a place for what has been paid before: so it is drawn. On the
    /// average the price is what was paid, for any history of the database.
    fn joining_is_paid(&self, len: u64) -> bool {
        let free = self.logged_pages + inline_pages(&self.queues);
        if self.joined || free <= self.page_count / JOINED_PART {
            return false;
        }
        let logs: u64 = self.queues.iter().map(|q| u64::from(q.pages)).sum();
        let price = logs.min(self.sorted_most().into()) * self.log_max as u64;
        let drawn = (self.txn.0 ^ self.taken.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Less than price * drawn / 2^32, with a number of 32 bits.
        u128::from(drawn >> 32) * u128::from(price) < u128::from(len * PAID_ENTRIES) << 32
    }

    /// Joins all that can be used again, or as much as a transaction may, and makes the first runs
    /// of `len` pages ready; the rest joins the pool.
    fn join_all(&mut self, len: u64, log: &impl LogPages) -> Result<()> {
        self.joined = true;
        self.sorting = true;
        let logs: u64 = self.queues.iter().map(|q| u64::from(q.pages)).sum();
        let most = self.sorted_most();
        let mut left = match logs <= u64::from(most) {
            true => usize::MAX,
            false => most as usize * self.log_max,
        };
        self.drain_released(log, &mut left)?;
        self.drain(MAIN, log, &mut left)?;
        self.drain(POOL, log, &mut left)?;
        self.sorting = false;
        while let Some((start, len)) = self.ready.take_shortest() {
            self.found_extent(start, len);
        }
        self.found_is_pooled(len)
    }

    /// Log pages that this transaction may have to read and write to sort the pool.
    fn sorted_most(&self) -> u32 {
        SORTED_MOST.max(self.taken.try_into().unwrap_or(u32::MAX))
    }

    fn found_extent(&mut self, start: PageId, len: u64) {
        for at in (0..len).step_by(MAX_RUN as usize) {
            let (start, len) = (PageId(start.0 + at), (len - at).min(MAX_RUN));
            let extent = FreeExtent { start, len, birth: TxnId::NONE, death: self.txn };
            self.found.push(FreeEntry::Extent(extent));
        }
    }

    fn extend(&mut self, len: u64) -> Result<PageId> {
        let start = self.page_count;
        let end = start.checked_add(len).filter(|&end| end <= PageId::MAX.0);
        self.page_count = end.ok_or_else(|| {
            Error::InvalidArgument("the file would have more than 2^48 pages".into())
        })?;
        Ok(PageId(start))
    }

    /// Gives `len` pages back that were born in transaction `birth`.
    pub fn free(&mut self, start: PageId, len: u64, birth: TxnId) -> Result<()> {
        if start.0 < 2 || start.0.checked_add(len).is_none_or(|end| end > self.page_count) {
            return Err(Error::corrupt(start, "freed page outside the file"));
        }
        if birth == self.txn {
            self.add_ready(start, len)?;
        } else {
            if birth > self.durable {
                self.freed_undurable.push(start);
            }
            self.free_range(start, len, birth);
        }
        Ok(())
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

    /// Moves about `want` extents to `ready`, from where the best are.
    fn refill(&mut self, log: &impl LogPages, want: usize) -> Result<()> {
        if self.pins.no_reuse() {
            return Ok(());
        }
        self.sort_pool(log)?;
        let mut left = want;
        self.drain_released(log, &mut left)?;
        self.drain(POOL, log, &mut left)?;
        if self.is_empty(POOL) {
            self.drain(MAIN, log, &mut left)?;
        }
        self.look_through(log)?;
        self.found_is_ready()
    }

    /// Moves about `want` extents from each queue to `ready`: a long run may wait in any of them.
    fn refill_for_run(&mut self, log: &impl LogPages, want: usize) -> Result<()> {
        if self.pins.no_reuse() {
            return Ok(());
        }
        self.sort_pool(log)?;
        self.drain_released(log, &mut { want })?;
        for queue in [POOL, MAIN] {
            self.drain(queue, log, &mut { want })?;
        }
        self.look_through(log)?;
        self.found_is_ready()
    }

    /// With more readers of different ages than side queues, one queue has what several of them
    /// see, and a reader that stays would keep what ever more short ones have seen. So for each
    /// extent that joins it two are judged again: what can be used is at most half of it.
    fn look_through(&mut self, log: &impl LogPages) -> Result<()> {
        let each = 2 * std::mem::take(&mut self.parked_elsewhere);
        for side in SIDES {
            if each > 0 {
                self.drain(side, log, &mut { each })?;
            }
        }
        Ok(())
    }

    fn found_is_ready(&mut self) -> Result<()> {
        for entry in std::mem::take(&mut self.found) {
            for (start, len) in entry.extents() {
                self.add_ready(start, len)?;
            }
        }
        Ok(())
    }

    /// Joins what the other queues can give with the pool, when it is worth the work.
    fn sort_pool(&mut self, log: &impl LogPages) -> Result<()> {
        let pooled = self.queues[POOL].pages;
        let released = SIDES.into_iter().filter(|&side| self.is_released(side));
        let pages: u32 = released.chain([MAIN]).map(|i| self.queues[i].pages).sum();
        let most = self.sorted_most();
        if self.sorted || pages < pooled.clamp(SORTED_FROM, most) {
            return Ok(());
        }
        // What has to wait now will have to wait to the end of this transaction.
        self.sorted = true;
        self.sorting = true;
        let mut left = most as usize * self.log_max;
        self.drain_released(log, &mut left)?;
        self.drain(MAIN, log, &mut left)?;
        self.sorting = false;
        if self.found.len() < pooled.min(most) as usize * self.log_max / 2 {
            return self.found_is_ready();
        }
        if pages.saturating_add(pooled) <= most {
            self.drain(POOL, log, &mut { usize::MAX })?;
        }
        self.found_is_pooled(u64::MAX)
    }

    /// Sorts what was found into the pool, but for the first runs of at least `wanted` pages.
    fn found_is_pooled(&mut self, wanted: u64) -> Result<()> {
        // The end of the file is better given back than used.
        let end =
            self.ready.take_ending_at(self.page_count).map_or(self.page_count, |(at, _)| at.0);
        let order = pool::Order { page_count: end, by_place: self.fragments_first, wanted };
        let sorted = pool::sorted(&std::mem::take(&mut self.found), &order)?;
        self.queues[POOL].inline.extend(sorted.entries);
        for run in sorted.runs {
            self.add_ready(PageId(run.start), run.end - run.start)?;
        }
        self.add_ready(PageId(sorted.end), self.page_count - sorted.end)
    }

    /// Drains the side queues whose readers are gone.
    fn drain_released(&mut self, log: &impl LogPages, left: &mut usize) -> Result<()> {
        for side in SIDES {
            if self.is_released(side) {
                self.drain(side, log, left)?;
                if self.is_empty(side) {
                    self.close_side(side)?;
                }
            }
        }
        Ok(())
    }

    fn is_released(&self, side: usize) -> bool {
        let pin = self.queues[side].pin;
        pin != TxnId::NONE && !self.pins.holds(pin)
    }

    fn is_empty(&self, queue: usize) -> bool {
        self.queues[queue].pages == 0 && self.queues[queue].inline.is_empty()
    }

    /// An empty side queue gives its reserved page back and is free for another reader.
    fn close_side(&mut self, side: usize) -> Result<()> {
        let q = std::mem::take(&mut self.queues[side]);
        if q.tail.is_none() {
            return Ok(());
        }
        self.free(q.tail, 1, self.durable)
    }

    /// Gives a page of the free log back. No reader sees it. But the place was reserved before it
    /// was written: after a roll-back the durable snapshot may write its log there again, even
    /// while somebody reads what was rolled back (rule 5). So it is not used for anything else
    /// before the snapshots that have it reserved are out of reach, as if the durable one saw it.
    fn free_log_page(&mut self, id: PageId, birth: TxnId) -> Result<()> {
        if birth > self.durable {
            self.freed_undurable.push(id);
        }
        self.free(id, 1, birth.min(self.durable))
    }

    /// Takes entries from the front of queue `side` until they have `left` extents, the queue is
    /// empty, or the next entry has to wait.
    fn drain(&mut self, side: usize, log: &impl LogPages, left: &mut usize) -> Result<()> {
        while *left > 0 && self.queues[side].pages > 0 {
            let id = self.queues[side].head;
            let used = usize::from(self.queues[side].head_used);
            let page = LogPage::read(id, log.log_page(id)?, self.page_count, used, side == POOL);
            log.proved()?;
            let page = page?;
            let taken = self.place_some(&page.entries, side, left);
            let pages = page.entries[..taken].iter().map(FreeEntry::pages).sum();
            self.logged_pages = self.logged_pages.checked_sub(pages).ok_or_else(|| {
                Error::corrupt(id, "holds more free pages than the meta page counts")
            })?;
            if taken < page.entries.len() {
                self.queues[side].head_used = (used + taken) as u16;
                return Ok(());
            }
            let q = &mut self.queues[side];
            q.head = page.next;
            q.head_used = 0;
            q.pages -= 1;
            if (q.pages == 0) != (q.head == q.tail) {
                return Err(Error::corrupt(id, "free log does not end where the meta page says"));
            }
            self.free_log_page(id, page.birth)?;
        }
        if self.queues[side].pages == 0 {
            let mut inline = std::mem::take(&mut self.queues[side].inline);
            let taken = self.place_some(&inline, side, left);
            inline.drain(..taken);
            // What `place` may have parked in this very queue comes after what was there.
            inline.append(&mut self.queues[side].inline);
            self.queues[side].inline = inline;
        }
        Ok(())
    }

    /// Finds places for entries at the front of queue `from`, about `left` extents; answers how
    /// many entries.
    fn place_some(&mut self, entries: &[FreeEntry], from: usize, left: &mut usize) -> usize {
        let mut taken = 0;
        for e in entries {
            let extents = e.extent_count();
            let enough = *left == 0 || extents > *left && !self.found.is_empty();
            if enough || !self.place(*e, from) {
                break;
            }
            *left = left.saturating_sub(extents);
            taken += 1;
        }
        taken
    }

    /// Finds a place for an entry from queue `from`; false if it must stay where it is.
    fn place(&mut self, entry: FreeEntry, from: usize) -> bool {
        let FreeEntry::Extent(e) = entry else {
            self.found.push(entry);
            return true;
        };
        match self.pins.judge(e.birth, e.death) {
            Verdict::Reusable => self.found.push(entry),
            Verdict::PinnedByReader(reader) => return self.park(e, reader, from),
            Verdict::NotYet if self.long_backlog => {
                let pin = self.pins.oldest_commit_in(e.birth, e.death);
                return pin.is_some_and(|pin| self.park(e, pin, from));
            }
            Verdict::NotYet => return false,
        }
        true
    }

    /// Moves an entry to a side queue that waits for a snapshot which pins the entry, or starts
    /// one. When all are taken, to the one that waits for the youngest: that delays, and pays for a
    /// look at what stands there ([`Allocator::look_through`]).
    fn park(&mut self, e: FreeExtent, pin: TxnId, from: usize) -> bool {
        let fits = |q: &Queue| q.pin == pin || (e.birth <= q.pin && q.pin < e.death);
        let side = SIDES
            .into_iter()
            .find(|&i| i != from && fits(&self.queues[i]))
            .or_else(|| SIDES.into_iter().find(|&i| self.queues[i].pin == TxnId::NONE));
        if side.is_none() && self.sorting {
            return false;
        }
        let side = side.unwrap_or_else(|| match from {
            MAIN => SIDES.into_iter().max_by_key(|&i| self.queues[i].pin).unwrap_or(SIDES[0]),
            _ => from,
        });
        let q = &mut self.queues[side];
        if q.pin == TxnId::NONE || side == from {
            q.pin = pin;
        } else if !fits(q) {
            self.parked_elsewhere += 1;
        }
        self.queues[side].inline.push(FreeEntry::Extent(e));
        true
    }

    /// Ends the transaction: what was freed joins the main queue, free pages at the end of the file
    /// are given back, and everything that does not fit the meta page is written to log pages.
    pub fn finish(&mut self, log: &mut impl LogPages) -> Result<SpaceState> {
        self.end_run()?;
        let few = if self.fragments_first { self.ready_max * 3 / 4 } else { self.ready_max / 2 };
        if self.ready.count() < few {
            self.refill(log, self.ready_max - self.ready.count())?;
        }
        self.find_log_pages(log)?;
        let freed = self.joined_freed()?;
        self.queues[MAIN].inline.extend(freed.into_iter().map(FreeEntry::Extent));
        if !self.pins.no_reuse() {
            while let Some((start, _)) = self.ready.take_ending_at(self.page_count) {
                self.page_count = start.0;
            }
        }
        // First what takes many pages, while all that are ready are at hand; then what the meta
        // page has no room for.
        self.spill_inline(log)?;
        self.end_run()?;
        self.spill_ready()?;
        self.spill_inline(log)?;
        self.end_run()?;
        let mut ready = Vec::new();
        for (start, len) in self.ready.iter() {
            for at in (0..len).step_by(MAX_RUN as usize) {
                ready.push((PageId(start.0 + at), (len - at).min(MAX_RUN)));
            }
        }
        let free_pages = self.ready.pages() + inline_pages(&self.queues) + self.logged_pages;
        Ok(SpaceState { ready, queues: self.queues.clone(), free_pages })
    }

    /// Makes enough pages ready for the log pages that this commit will write, so that the file
    /// does not grow for them.
    fn find_log_pages(&mut self, log: &impl LogPages) -> Result<()> {
        loop {
            let inline: usize = self.queues.iter().map(|q| q.inline.len()).sum();
            let written = (inline + self.freed.len()) / self.log_max;
            let before = self.ready.pages();
            if before > (written + QUEUES) as u64 || inline + self.freed.len() <= self.inline_max {
                return Ok(());
            }
            self.refill(log, REFILL.max(written))?;
            if self.ready.pages() == before {
                return Ok(());
            }
        }
    }

    /// What this transaction freed, neighbours joined where the same snapshots see them.
    fn joined_freed(&mut self) -> Result<Vec<FreeExtent>> {
        let mut freed = std::mem::take(&mut self.freed);
        for e in &mut freed {
            e.birth = self.pins.canonical_birth(e.birth);
        }
        freed.sort_unstable_by_key(|e| e.start);
        let mut out: Vec<FreeExtent> = Vec::with_capacity(freed.len());
        for e in freed {
            match out.last_mut() {
                Some(last) if last.start.0 + last.len > e.start.0 => {
                    return Err(Error::corrupt(e.start, "freed twice"));
                }
                Some(last)
                    if last.start.0 + last.len == e.start.0
                        && last.birth == e.birth
                        && last.len + e.len <= MAX_RUN =>
                {
                    last.len += e.len;
                    last.birth = e.birth;
                }
                _ => out.push(e),
            }
        }
        Ok(out)
    }

    /// Ready extents that the meta page has no room for go to the pool, the shortest first: long
    /// runs stay at hand. Where small fragments are to be used up the first ones in the file stay,
    /// too.
    fn spill_ready(&mut self) -> Result<()> {
        let chunks = |len: u64| len.div_ceil(MAX_RUN) as usize;
        let all: usize = self.ready.iter().map(|(_, len)| chunks(len)).sum();
        let mut over = all.saturating_sub(self.ready_max);
        let mut out = match self.fragments_first {
            true => self.ready.take_last_but(self.ready_max / 2, over),
            false => Vec::new(),
        };
        over = over.saturating_sub(out.iter().map(|&(_, len)| chunks(len)).sum());
        while over > 0 {
            let Some((start, len)) = self.ready.take_shortest() else { break };
            out.push((start, len));
            over = over.saturating_sub(chunks(len));
        }
        for (start, len) in out {
            self.found_extent(start, len);
        }
        let order = pool::Order { by_place: self.fragments_first, ..pool::Order::ENDLESS };
        let sorted = pool::sorted(&std::mem::take(&mut self.found), &order)?;
        self.queues[POOL].inline.extend(sorted.entries);
        Ok(())
    }

    /// Writes log pages until the inline entries fit.
    fn spill_inline(&mut self, log: &mut impl LogPages) -> Result<()> {
        let mut written = [0; QUEUES];
        loop {
            let left = |i: usize| self.queues[i].inline.len() - written[i];
            if (0..QUEUES).map(left).sum::<usize>() <= self.inline_max {
                break;
            }
            let fullest = (0..QUEUES).max_by_key(|&i| left(i)).unwrap_or(MAIN);
            let n = left(fullest).min(self.log_max);
            let page = match self.queues[fullest].tail {
                PageId::NONE => self.allocate_from_ready()?,
                reserved => reserved,
            };
            let next = self.allocate_from_ready()?;
            let q = &mut self.queues[fullest];
            let entries = &q.inline[written[fullest]..][..n];
            written[fullest] += n;
            self.logged_pages += entries.iter().map(FreeEntry::pages).sum::<u64>();
            if q.pages == 0 {
                q.head = page;
                q.head_used = 0;
            }
            q.tail = next;
            q.pages += 1;
            freelog::write_page(log.new_log_page(page)?, self.txn, next, entries);
        }
        for (q, n) in self.queues.iter_mut().zip(written) {
            q.inline.drain(..n);
        }
        Ok(())
    }
}

/// Pages in inline entries.
fn inline_pages(queues: &[Queue; QUEUES]) -> u64 {
    queues.iter().flat_map(|q| &q.inline).map(FreeEntry::pages).sum()
}
