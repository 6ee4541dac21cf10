//! Savepoints of a transaction: what each must remember so that its changes can be undone.
//!
//! Rules 33 and 34. A savepoint gives the transaction a new id, unless nothing has been born under
//! the one it has. Pages born before it are copied then and not changed (T4); so all that a level
//! has to remember is which pages were taken since, and which were given up. Queues, pool and ready
//! extents are not saved: what was found to be reusable stays so, and what is taken is in the
//! level's list. The pages of the free log that are read meanwhile are given back for good.
//!
//! Invariants: (L1) `first <= floor <= txn`; the floors of the levels ascend; (L2) a page of this
//! transaction with a birth from `floor` on was taken since the newest savepoint; (L3) each page
//! taken since a savepoint and not given back stands in `born` of exactly one level above it.

use super::Allocator;
use crate::error::{Error, Result};
use crate::format::meta::IDS_OF_ONE;
use crate::types::{PageId, TxnId};
use std::collections::BTreeMap;

/// Pages side by side, born together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Born {
    pub start: PageId,
    pub len: u64,
    pub birth: TxnId,
}

/// What has happened since a savepoint, and not since a later one.
#[derive(Default, Debug)]
pub(super) struct Level {
    /// The floor of the level below.
    below: TxnId,
    /// High-water mark at the savepoint.
    page_count: u64,
    /// Taken since, and in use: first page and length.
    born: BTreeMap<u64, u64>,
    /// Given up since, and born in this transaction before the savepoint: not to be used again, and
    /// the store keeps what stands there.
    held: Vec<Born>,
    /// Given up since, and born before the transaction.
    freed: Vec<Born>,
}

impl Allocator {
    /// How many savepoints there are.
    #[cfg(test)]
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// The id that pages are born with now.
    pub fn txn(&self) -> TxnId {
        self.txn
    }

    /// Pages of this transaction born from here on may be changed in place.
    pub fn floor(&self) -> TxnId {
        self.floor
    }

    /// Whether an id is one that the transaction has or had.
    #[inline]
    pub(super) fn is_own(&self, birth: TxnId) -> bool {
        birth >= self.first && birth <= self.txn
    }

    /// Whether a page with this birth, given up now, is one that a savepoint of this transaction
    /// still needs as it is.
    #[inline]
    pub fn is_held(&self, birth: TxnId) -> bool {
        birth >= self.first && birth < self.floor
    }

    /// Something may have been born under the newest id.
    #[inline]
    pub fn note_birth(&mut self) {
        self.has_births = true;
    }

    /// A savepoint. An error, and nothing changed, if no ids are left: a transaction has 2^32.
    pub fn savepoint(&mut self) -> Result<()> {
        if self.has_births {
            if self.txn >= TxnId::MAX || self.txn.0 - self.first.0 >= IDS_OF_ONE {
                let detail = "no transaction id is left for another savepoint";
                return Err(Error::InvalidArgument(detail.into()));
            }
            self.txn = TxnId(self.txn.0 + 1);
            self.has_births = false;
        }
        let (below, page_count) = (self.floor, self.page_count);
        self.levels.push(Level { below, page_count, ..Level::default() });
        self.floor = self.txn;
        Ok(())
    }

    /// The newest savepoint is given up, and what has changed since it stays. `forget` is called
    /// with the first pages of all that no savepoint needs any more.
    #[cfg(test)]
    pub fn release(&mut self, forget: impl FnMut(PageId)) -> Result<()> {
        self.release_to(self.levels.len().saturating_sub(1), forget)
    }

    /// All but the `levels` oldest savepoints are given up at once, in time of what has changed
    /// since, however many they are.
    pub fn release_to(&mut self, levels: usize, mut forget: impl FnMut(PageId)) -> Result<()> {
        if self.levels.len() <= levels {
            return Ok(());
        }
        let mut released = self.levels.split_off(levels).into_iter();
        let Some(mut level) = released.next() else { return Ok(()) };
        for later in released {
            join_born(&mut level.born, later.born);
            join(&mut level.held, later.held);
            join(&mut level.freed, later.freed);
        }
        self.floor = level.below;
        self.take_over(level.born);
        for page in level.held {
            if page.birth < self.floor {
                if let Some(top) = self.levels.last_mut() {
                    top.held.push(page);
                }
                continue;
            }
            forget(page.start);
            self.forget_born(page.start, page.len)?;
            self.add_ready(page.start, page.len)?;
        }
        match self.levels.last_mut() {
            Some(top) => join(&mut top.freed, level.freed),
            None => level.freed.into_iter().for_each(|page| self.free_older(page)),
        }
        Ok(())
    }

    /// What was taken since a savepoint that was released was taken since the one below.
    fn take_over(&mut self, born: BTreeMap<u64, u64>) {
        if let Some(top) = self.levels.last_mut() {
            join_born(&mut top.born, born);
        }
    }

    /// Everything since the newest savepoint is undone. The savepoint stays. `forget` is called
    /// with the first pages of all that has been taken since.
    pub fn roll_back(&mut self, mut forget: impl FnMut(PageId)) -> Result<()> {
        if self.is_torn {
            return Err(Error::TransactionBroken { path: None });
        }
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let page_count = level.page_count;
        let born = std::mem::take(&mut level.born);
        level.held.clear();
        level.freed.clear();
        // What is left of the run lies beside what it was taken from.
        self.end_run()?;
        for (start, len) in born {
            forget(PageId(start));
            self.add_ready(PageId(start), len)?;
        }
        // All that was born under the newest id was born since the savepoint.
        self.has_births = false;
        self.lower_page_count(page_count)
    }

    /// Pages above the high-water mark of the savepoint are of no use to anybody else: the file
    /// need not have them, where its growth has failed.
    fn lower_page_count(&mut self, page_count: u64) -> Result<()> {
        while self.page_count > page_count {
            let Some((start, _)) = self.ready.take_ending_at(self.page_count) else { break };
            self.page_count = start.0.max(page_count);
            self.add_ready(start, self.page_count - start.0)?;
        }
        Ok(())
    }

    /// Pages are given up where there is a savepoint.
    #[cold]
    pub(super) fn give_up(&mut self, start: PageId, len: u64, birth: TxnId) -> Result<()> {
        let page = Born { start, len, birth };
        if self.is_held(birth) {
            if let Some(top) = self.levels.last_mut() {
                top.held.push(page);
            }
        } else if self.is_own(birth) {
            self.forget_born(start, len)?;
            self.add_ready(start, len)?;
        } else if let Some(top) = self.levels.last_mut() {
            top.freed.push(page);
        }
        Ok(())
    }

    /// Pages are taken.
    #[inline]
    pub(super) fn note_born(&mut self, start: PageId, len: u64) {
        self.has_births = true;
        if !self.levels.is_empty() {
            self.note_taken(start, len);
        }
    }

    #[cold]
    fn note_taken(&mut self, start: PageId, len: u64) {
        if let Some(top) = self.levels.last_mut() {
            top.born.insert(start.0, len);
        }
    }

    /// Pages that were taken since the newest savepoint are not in use any more.
    fn forget_born(&mut self, start: PageId, len: u64) -> Result<()> {
        let Some(top) = self.levels.last_mut() else { return Ok(()) };
        match top.born.remove(&start.0) {
            Some(taken) if taken == len => Ok(()),
            // Only in a damaged file.
            _ => Err(Error::corrupt(start, "given up, but not taken by the running transaction")),
        }
    }
}

/// Joins two lists of pages that were taken, in time of the shorter one.
fn join_born(to: &mut BTreeMap<u64, u64>, mut from: BTreeMap<u64, u64>) {
    if from.len() > to.len() {
        std::mem::swap(to, &mut from);
    }
    to.extend(from);
}

/// Joins two lists, in time of the shorter one.
fn join(to: &mut Vec<Born>, mut from: Vec<Born>) {
    if from.len() > to.len() {
        std::mem::swap(to, &mut from);
    }
    to.append(&mut from);
}
