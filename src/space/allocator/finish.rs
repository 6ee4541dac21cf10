//! The end of a transaction: what the meta page has room for, and log pages for the rest.

use super::{Allocator, LogPages, REFILL, inline_pages};
use crate::error::{Error, Result};
use crate::format::freelog::{self, FreeEntry, FreeExtent, MAX_RUN};
use crate::format::meta::{MAIN, POOL, QUEUES, SpaceState};
use crate::space::pool;
use crate::types::PageId;

impl Allocator {
    /// Ends the transaction: what was freed joins the main queue, free pages at the end of the file
    /// are given back, and everything that does not fit the meta page is written to log pages.
    pub fn finish(&mut self, log: &mut impl LogPages) -> Result<SpaceState> {
        debug_assert!(self.levels.is_empty(), "a savepoint that was not released");
        self.end_run()?;
        self.look_again(log)?;
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
        Ok(SpaceState { ready, queues: std::mem::take(&mut self.queues), free_pages })
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
            // A savepoint may have been made since.
            e.death = self.txn;
            self.freed_pages += e.len;
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
