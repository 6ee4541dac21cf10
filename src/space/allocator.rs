//! The allocator of one write transaction.
//!
//! Free pages stand in three places: `ready` (reusable, proved so once and for ever), the main queue
//! (in the order of their death) and three side queues for entries that an old reader pins: such an entry is moved to a side
//! queue under *one* reader that pins it and looked at again when that reader is gone (B10), so that nothing rescans them.
//! Queues are FIFO lists of log pages, each written once, with their youngest entries inline in the meta page.
//! A small commit therefore writes no page for its free space, however much of it there is.
//!
//! Invariants: (A1) every page below `page_count` that the snapshot does not use is in exactly one of these places, or reserved as the
//! tail of a queue, or it is a log page; (A2) nothing enters `ready` but by a `Reusable` verdict or because it was born in this very
//! transaction; (A3) the number of extents and inline entries in a finished state has the bounds of the meta page.

use super::extents::Extents;
use super::pins::{Pins, Verdict};
use crate::error::{Error, Result};
use crate::format::freelog::{self, FreeEntry, LogPage, MAX_RUN, Queue};
use crate::format::meta::{INLINE_MAX, Meta, QUEUES, READY_MAX, SpaceState};
use crate::types::{PageId, TxnId};

/// Reads pages of the base snapshot and takes the log pages of the new one.
pub trait LogPages {
    /// Page `id` of the base snapshot.
    fn log_page(&self, id: PageId) -> Result<&[u8]>;
    /// A page of the new snapshot, to be filled.
    fn new_log_page(&mut self, id: PageId) -> Result<&mut [u8]>;
}

/// Entries looked at when `ready` is empty or short.
const REFILL: usize = 64;
/// Commits that may be waiting for a flush before entries pinned by the durable snapshot are moved aside.
const BACKLOG: u64 = 64;
/// The same for fewer, if more than this part of the file is free and waits: without it, large deferred commits would
/// find nothing to use again until the list of pages is full, about 100 MB.
const BACKLOG_PART: u64 = 16;
/// So few commits never count: a flush comes soon. And with several readers the side queues are theirs.
const BACKLOG_FEW: u64 = 4;

/// The allocator of one write transaction.
pub struct Allocator {
    txn: TxnId,
    page_size: usize,
    page_count: u64,
    pins: Pins,
    /// Entries that wait for a flush stand in the way of too many that do not.
    long_backlog: bool,
    ready: Extents,
    queues: [Queue; QUEUES],
    /// Freed in this transaction, born before it.
    freed: Vec<FreeEntry>,
    durable: TxnId,
    /// First pages of what was freed here and born after `durable`.
    freed_undurable: Vec<PageId>,
    /// Pages in free-log entries of the base that have not been taken.
    logged_pages: u64,
    /// Continue here, so that the pages of a commit lie side by side.
    cursor: PageId,
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
    /// Highest page count ever built; matters only while nothing may be reused (rule 5).
    pub page_high: u64,
    /// Lowest id that was rolled back; matters as `page_high` does.
    pub dead_from: TxnId,
}

impl Allocator {
    /// Starts from the state of the base snapshot.
    pub fn new(start: Start<'_>) -> Result<Allocator> {
        let Start { base, txn, pins, durable, page_high, dead_from } = start;
        let (base_pages, page_size, base) = (base.page_count, base.page_size, &base.space);
        let mut ready = Extents::default();
        for &(start, len) in &base.ready {
            if !ready.add(start, len) {
                return Err(Error::corrupt(start, "free twice in the meta page"));
            }
        }
        let inline: u64 = base.queues.iter().flat_map(|q| &q.inline).map(|e| e.len).sum();
        if base.free_pages > base_pages {
            return Err(Error::corrupt(PageId::NONE, "more free pages than the file has"));
        }
        let logged_pages = base
            .free_pages
            .checked_sub(ready.pages() + inline)
            .ok_or_else(|| Error::corrupt(PageId::NONE, "free page count is too small"))?;
        let backlog = txn.0.saturating_sub(durable.0);
        let much = logged_pages + inline > base_pages / BACKLOG_PART;
        let mut a = Allocator {
            txn,
            page_size,
            page_count: base_pages,
            long_backlog: backlog > BACKLOG
                || (backlog > BACKLOG_FEW && much && pins.readers() <= 1),
            ready,
            queues: base.queues.clone(),
            freed: Vec::new(),
            durable,
            freed_undurable: Vec::new(),
            logged_pages,
            cursor: PageId::NONE,
            pins,
        };
        if a.pins.no_reuse() && page_high > a.page_count {
            // Pages that only rolled-back snapshots used: a reader may stand on one of those.
            a.free_range(PageId(a.page_count), page_high - a.page_count, dead_from);
            a.page_count = page_high;
        }
        Ok(a)
    }

    /// High-water mark of the new snapshot so far.
    pub fn page_count(&self) -> u64 {
        self.page_count
    }

    /// First pages of everything freed in this transaction that was born after the durable snapshot.
    pub fn freed_undurable(&self) -> &[PageId] {
        &self.freed_undurable
    }

    /// One page.
    pub fn allocate(&mut self, log: &impl LogPages) -> Result<PageId> {
        if !self.pins.no_reuse() && self.ready.count() == 0 {
            self.refill(log, REFILL)?;
        }
        self.allocate_from_ready()
    }

    fn allocate_from_ready(&mut self) -> Result<PageId> {
        let id = if self.pins.no_reuse() {
            None
        } else {
            // Side by side if possible, else where a small commit finds room, and towards the front, so that
            // the end of the file empties.
            let ready = &mut self.ready;
            ready.take_start(self.cursor).or_else(|| ready.take_low(4))
        };
        let id = match id {
            Some(id) => id,
            None => self.extend(1)?,
        };
        self.cursor = PageId(id.0 + 1);
        Ok(id)
    }

    /// `len` pages side by side.
    pub fn allocate_run(&mut self, len: u64, log: &impl LogPages) -> Result<PageId> {
        if self.pins.no_reuse() {
            return self.extend(len);
        }
        if let Some(id) = self.ready.take_best(len) {
            return Ok(id);
        }
        // Join what waits in the log before the file grows; in proportion to the run, so that the
        // work stays a small part of writing it.
        self.refill(log, (len.min(1 << 16) as usize * 8).max(REFILL))?;
        if let Some(id) = self.ready.take_best(len) {
            return Ok(id);
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
        Ok(PageId(start))
    }

    /// Gives `len` pages back that were born in transaction `birth`.
    pub fn free(&mut self, start: PageId, len: u64, birth: TxnId) -> Result<()> {
        if start.0 < 2 || start.0.checked_add(len).is_none_or(|end| end > self.page_count) {
            return Err(Error::corrupt(start, "freed page outside the file"));
        }
        if birth == self.txn {
            if !self.ready.add(start, len) {
                return Err(Error::corrupt(start, "freed twice"));
            }
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
            self.freed.push(FreeEntry { start: PageId(at), len: n, birth, death: self.txn });
            at += n;
        }
    }

    /// Moves up to `want` entries from the queues to `ready`.
    fn refill(&mut self, log: &impl LogPages, want: usize) -> Result<()> {
        if self.pins.no_reuse() {
            return Ok(());
        }
        let mut left = want;
        for side in (1..QUEUES).chain([0]) {
            let pin = self.queues[side].pin;
            if side != 0 && (pin == TxnId::NONE || self.pins.holds(pin)) {
                continue;
            }
            self.drain(side, log, &mut left)?;
            if side != 0 && self.queues[side].pages == 0 && self.queues[side].inline.is_empty() {
                self.close_side(side)?;
            }
        }
        Ok(())
    }

    /// An empty side queue gives its reserved page back and is free for another reader.
    fn close_side(&mut self, side: usize) -> Result<()> {
        let q = std::mem::take(&mut self.queues[side]);
        if q.tail.is_none() {
            return Ok(());
        }
        // No snapshot sees the page, but an older one would write its log there after a fallback: it waits
        // until every snapshot from before this transaction is out of reach.
        self.free(q.tail, 1, TxnId(1))
    }

    /// Takes entries from the front of queue `side` until `left` is used up, the queue is empty, or
    /// the next entry has to wait.
    fn drain(&mut self, side: usize, log: &impl LogPages, left: &mut usize) -> Result<()> {
        while *left > 0 && self.queues[side].pages > 0 {
            let id = self.queues[side].head;
            let used = usize::from(self.queues[side].head_used);
            let page = LogPage::read(id, log.log_page(id)?, self.page_count, used)?;
            let mut taken = 0;
            for e in page.entries.iter().take(*left) {
                if !self.place(*e, side)? {
                    break;
                }
                self.logged_pages = self.logged_pages.checked_sub(e.len).ok_or_else(|| {
                    Error::corrupt(id, "holds more free pages than the meta page counts")
                })?;
                taken += 1;
            }
            *left -= taken;
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
            self.free(id, 1, page.birth)?;
        }
        if self.queues[side].pages == 0 {
            let inline = std::mem::take(&mut self.queues[side].inline);
            let mut taken = 0;
            for e in inline.iter().take(*left) {
                if !self.place(*e, side)? {
                    break;
                }
                taken += 1;
            }
            *left -= taken;
            // What `place` may have parked in this very queue comes after what was there.
            let parked = std::mem::replace(&mut self.queues[side].inline, inline[taken..].to_vec());
            self.queues[side].inline.extend(parked);
        }
        Ok(())
    }

    /// Finds a place for an entry from queue `from`; false if it must stay where it is.
    fn place(&mut self, e: FreeEntry, from: usize) -> Result<bool> {
        let verdict = match e.death {
            TxnId::NONE => Verdict::Reusable,
            death => self.pins.judge(e.birth, death),
        };
        match verdict {
            Verdict::Reusable => {
                if !self.ready.add(e.start, e.len) {
                    return Err(Error::corrupt(e.start, "free twice"));
                }
                Ok(true)
            }
            Verdict::PinnedByReader(reader) => {
                self.park(e, reader, from);
                Ok(true)
            }
            Verdict::NotYet if self.long_backlog => {
                match self.pins.oldest_commit_in(e.birth, e.death) {
                    Some(pin) => {
                        self.park(e, pin, from);
                        Ok(true)
                    }
                    None => Ok(false),
                }
            }
            Verdict::NotYet => Ok(false),
        }
    }

    /// Moves an entry to a side queue that waits for a snapshot which pins the entry, or starts one; when all
    /// are taken, to the one that waits for the youngest: that only delays.
    fn park(&mut self, e: FreeEntry, pin: TxnId, from: usize) {
        let fits = |q: &Queue| q.pin == pin || (e.birth <= q.pin && q.pin < e.death);
        let side = (1..QUEUES)
            .find(|&i| i != from && fits(&self.queues[i]))
            .or_else(|| (1..QUEUES).find(|&i| self.queues[i].pin == TxnId::NONE));
        let side = side.unwrap_or_else(|| match from {
            0 => (1..QUEUES).max_by_key(|&i| self.queues[i].pin).unwrap_or(1),
            _ => from,
        });
        let q = &mut self.queues[side];
        if q.pin == TxnId::NONE || side == from {
            q.pin = pin;
        }
        q.inline.push(e);
    }

    /// Ends the transaction: what was freed joins the main queue, free pages at the end of the file are given
    /// back, and everything that does not fit the meta page is written to log pages.
    pub fn finish(&mut self, log: &mut impl LogPages) -> Result<SpaceState> {
        if self.ready.count() < READY_MAX / 2 {
            self.refill(log, REFILL)?;
        }
        let freed = self.joined_freed()?;
        self.queues[0].inline.extend(freed);
        if !self.pins.no_reuse() {
            while let Some((start, _)) = self.ready.take_ending_at(self.page_count) {
                self.page_count = start.0;
            }
        }
        self.spill_ready();
        self.spill_inline(log)?;
        let mut ready = Vec::new();
        for (start, len) in self.ready.iter() {
            for at in (0..len).step_by(MAX_RUN as usize) {
                ready.push((PageId(start.0 + at), (len - at).min(MAX_RUN)));
            }
        }
        let inline: u64 = self.queues.iter().flat_map(|q| &q.inline).map(|e| e.len).sum();
        let free_pages = self.ready.pages() + inline + self.logged_pages;
        Ok(SpaceState { ready, queues: self.queues.clone(), free_pages })
    }

    /// What this transaction freed, neighbours joined where the same snapshots see them.
    fn joined_freed(&mut self) -> Result<Vec<FreeEntry>> {
        let mut freed = std::mem::take(&mut self.freed);
        for e in &mut freed {
            e.birth = self.pins.canonical_birth(e.birth);
        }
        freed.sort_unstable_by_key(|e| e.start);
        let mut out: Vec<FreeEntry> = Vec::with_capacity(freed.len());
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
                }
                _ => out.push(e),
            }
        }
        Ok(out)
    }

    /// Ready extents that the meta page has no room for go back to the main queue as entries that
    /// no snapshot sees; the shortest first, long runs stay at hand.
    fn spill_ready(&mut self) {
        let chunks = |e: &Extents| -> usize {
            e.iter().map(|(_, len)| len.div_ceil(MAX_RUN) as usize).sum()
        };
        let mut over = chunks(&self.ready).saturating_sub(READY_MAX);
        while over > 0 {
            let Some((start, len)) = self.ready.take_shortest() else { break };
            let birth = TxnId::NONE;
            let mut at = 0;
            while at < len {
                let n = (len - at).min(MAX_RUN);
                let start = PageId(start.0 + at);
                self.queues[0].inline.push(FreeEntry { start, len: n, birth, death: birth });
                at += n;
                over = over.saturating_sub(1);
            }
        }
    }

    /// Writes log pages until the inline entries fit.
    fn spill_inline(&mut self, log: &mut impl LogPages) -> Result<()> {
        loop {
            let total: usize = self.queues.iter().map(|q| q.inline.len()).sum();
            if total <= INLINE_MAX {
                return Ok(());
            }
            let fullest = (0..QUEUES).max_by_key(|&i| self.queues[i].inline.len()).unwrap_or(0);
            let page = match self.queues[fullest].tail {
                PageId::NONE => self.allocate_from_ready()?,
                reserved => reserved,
            };
            let next = self.allocate_from_ready()?;
            let q = &mut self.queues[fullest];
            let n = q.inline.len().min(freelog::capacity(self.page_size));
            let entries: Vec<FreeEntry> = q.inline.drain(..n).collect();
            self.logged_pages += entries.iter().map(|e| e.len).sum::<u64>();
            if q.pages == 0 {
                q.head = page;
                q.head_used = 0;
            }
            q.tail = next;
            q.pages += 1;
            freelog::write_page(log.new_log_page(page)?, self.txn, next, &entries);
        }
    }
}
