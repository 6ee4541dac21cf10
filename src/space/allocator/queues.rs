//! What waits in the queues: taken out when it can be used again, sorted into the pool, moved to
//! the side queue of the reader that it waits for.

use super::levels::Born;
use super::{Allocator, LogPages, inline_pages};
use crate::error::{Error, Result};
use crate::format::freelog::{FreeEntry, FreeExtent, LogPage, MAX_RUN, Queue};
use crate::format::meta::{MAIN, POOL, SIDES};
use crate::space::pins::Verdict;
use crate::space::pool;
use crate::types::{PageId, TxnId};

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
/// The side queue that becomes the mixed one when there is no other place: it has what waits for
/// whoever then, and the other two what one id pins each.
const MIXED: usize = SIDES[2];
/// The pin of the mixed queue: the empty database, of which nobody sees a page. In another side
/// queue it is a pin like any other: a page of the free log that is given back counts as seen by
/// the durable snapshot, which may be that one.
const WHOEVER: TxnId = TxnId(1);
/// Entries of it that are judged again for each page that a transaction takes (A7).
const LOOKED_EACH: usize = 4;
/// At least so many at once before the end of the transaction: a log page is read for them.
const LOOKED_LEAST: usize = 64;

impl Allocator {
    /// Whether everything is to be joined before the file grows by `len` pages (A4).
    ///
    /// Each of these pages pays for sorting a few entries. Most often that is not enough for all of
    /// them, and no snapshot has a place for what has been paid before: so it is drawn. On the
    /// average the price is what was paid, for any history of the database.
    pub(super) fn joining_is_paid(&self, len: u64) -> bool {
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
    pub(super) fn join_all(&mut self, len: u64, log: &impl LogPages) -> Result<()> {
        self.joined = true;
        self.looking(|a| a.join_everything(len, log))
    }

    /// Looks for free pages. Whoever fails half-way, or panics, cannot go on: a rollback undoes
    /// nothing of this.
    fn looking(&mut self, look: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.is_torn = true;
        look(self)?;
        self.is_torn = false;
        Ok(())
    }

    fn join_everything(&mut self, len: u64, log: &impl LogPages) -> Result<()> {
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
        if self.is_mixed() {
            self.drain(MIXED, log, &mut left)?;
        }
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

    /// Moves about `want` extents to `ready`, from where the best are.
    pub(super) fn refill(&mut self, log: &impl LogPages, want: usize) -> Result<()> {
        if self.pins.no_reuse() {
            return Ok(());
        }
        self.looking(|a| {
            a.sort_pool(log)?;
            let mut left = want;
            a.drain_released(log, &mut left)?;
            if a.found.is_empty() {
                // What waits for somebody else now was no help.
                left = want;
            }
            a.drain(POOL, log, &mut left)?;
            if a.is_empty(POOL) {
                a.drain(MAIN, log, &mut left)?;
            }
            a.look_through(log, LOOKED_LEAST)?;
            a.found_is_ready()
        })
    }

    /// Moves about `want` extents from each queue to `ready`: a long run may wait in any of them.
    pub(super) fn refill_for_run(&mut self, log: &impl LogPages, want: usize) -> Result<()> {
        if self.pins.no_reuse() {
            return Ok(());
        }
        self.looking(|a| {
            a.sort_pool(log)?;
            a.drain_released(log, &mut { want })?;
            for queue in [POOL, MAIN] {
                a.drain(queue, log, &mut { want })?;
            }
            a.look_through(log, LOOKED_LEAST)?;
            a.found_is_ready()
        })
    }

    /// Looks through the mixed queue as far as this transaction has paid for it (A7).
    pub(super) fn look_again(&mut self, log: &impl LogPages) -> Result<()> {
        if !self.is_mixed() || self.pins.no_reuse() {
            return Ok(());
        }
        self.looking(|a| {
            a.look_through(log, 1)?;
            a.found_is_ready()
        })
    }

    /// With more snapshots of different ages than side queues, one queue has what several of them
    /// see, and one that stays would keep what ever more that come and go have seen. So each page
    /// that is taken pays for a few of its entries to be judged again: before the file grows for a
    /// page there is another one, while nobody sees a quarter of them (A7). At least `least` at
    /// once, and each once in a transaction: no verdict changes.
    fn look_through(&mut self, log: &impl LogPages, least: usize) -> Result<()> {
        if !self.is_mixed() {
            return Ok(());
        }
        let left = (self.taken as usize).saturating_mul(LOOKED_EACH).saturating_sub(self.looked);
        if left < least {
            return Ok(());
        }
        // Behind its log pages stand a few entries, and what has been judged.
        let is_round = self.queues[MIXED].pages == 0;
        self.looked = if is_round { usize::MAX } else { self.looked + left };
        self.drain(MIXED, log, &mut { left })?;
        if self.is_empty(MIXED) {
            self.close_side(MIXED)?;
        }
        Ok(())
    }

    fn is_mixed(&self) -> bool {
        self.queues[MIXED].pin == WHOEVER
    }

    /// Whether a queue is the mixed one.
    fn goes_round(&self, queue: usize) -> bool {
        queue == MIXED && self.is_mixed()
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

    pub(super) fn found_extent(&mut self, start: PageId, len: u64) {
        for at in (0..len).step_by(MAX_RUN as usize) {
            let (start, len) = (PageId(start.0 + at), (len - at).min(MAX_RUN));
            let extent = FreeExtent { start, len, birth: TxnId::NONE, death: self.txn };
            self.found.push(FreeEntry::Extent(extent));
        }
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
        pin != TxnId::NONE && !self.goes_round(side) && !self.pins.holds(pin)
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
        self.free_log(q.tail, self.durable)
    }

    /// Gives a page of the free log back. No reader sees it. But the place was reserved before it
    /// was written: after a roll-back the durable snapshot may write its log there again, even
    /// while somebody reads what was rolled back (rule 5). So it is not used for anything else
    /// before the snapshots that have it reserved are out of reach, as if the durable one saw it.
    fn free_log_page(&mut self, id: PageId, birth: TxnId) -> Result<()> {
        if birth > self.durable {
            self.freed_undurable.push((id, birth));
        }
        self.free_log(id, birth.min(self.durable))
    }

    /// What the queues have given back no rollback takes: what stood in it is in other places.
    fn free_log(&mut self, start: PageId, birth: TxnId) -> Result<()> {
        self.check_inside(start, 1)?;
        self.free_older(Born { start, len: 1, birth });
        Ok(())
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
            Verdict::NotYet if self.long_backlog || self.goes_round(from) => {
                let pin = self.pins.oldest_commit_in(e.birth, e.death);
                return pin.is_some_and(|pin| self.park(e, pin, from));
            }
            Verdict::NotYet => return false,
        }
        true
    }

    /// Moves an entry to a side queue that waits for a snapshot which pins the entry, or starts
    /// one. When all are taken, to the mixed one, which waits for nobody and is gone round
    /// ([`Allocator::look_through`]).
    fn park(&mut self, e: FreeExtent, pin: TxnId, from: usize) -> bool {
        let sees = |q: &Queue| e.birth <= q.pin && q.pin < e.death;
        let waits = |i: usize| !self.goes_round(i) && sees(&self.queues[i]);
        let side = SIDES
            .into_iter()
            .find(|&i| i != from && waits(i))
            .or_else(|| SIDES.into_iter().find(|&i| self.queues[i].pin == TxnId::NONE));
        if side.is_none() && self.sorting && !self.goes_round(from) {
            return false;
        }
        let q = &mut self.queues[side.unwrap_or(MIXED)];
        if side.is_none() {
            q.pin = WHOEVER;
        } else if q.pin == TxnId::NONE {
            q.pin = pin;
        }
        q.inline.push(FreeEntry::Extent(e));
        true
    }
}
