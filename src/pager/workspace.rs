//! What the trees of a write transaction are changed in: its dirty pages and the allocator, under
//! the traits of the tree.

use super::store::{PageStore, in_use};
use super::view::check_birth;
use crate::error::{Error, Result};
use crate::format::overflow::OverflowRef;
use crate::observe::PageFigures;
use crate::space::allocator::Allocator;
use crate::tree::{PageCopy, PageSink, PageSource};
use crate::types::{PageId, TxnId};
use std::sync::atomic::AtomicU64;

/// Dirty pages and the allocator that gives their numbers.
pub struct Workspace {
    pub(crate) store: PageStore,
    pub(crate) alloc: Allocator,
    /// Pages and runs taken and given back.
    turnover: u64,
    /// Pages copied.
    copied: u64,
}

impl Workspace {
    pub fn new(store: PageStore, alloc: Allocator) -> Workspace {
        Workspace { store, alloc, turnover: 0, copied: 0 }
    }

    /// Pages from here on belong to nothing.
    pub fn page_count(&self) -> u64 {
        self.alloc.page_count()
    }

    /// What the transaction has done to pages so far.
    pub fn figures(&self) -> PageFigures {
        PageFigures {
            page_count: self.alloc.page_count(),
            copied: self.copied,
            reused: self.alloc.reused(),
            added: self.alloc.added(),
            snapshots_read: self.alloc.snapshots_read(),
            ..self.store.figures()
        }
    }

    /// A savepoint: what is changed from now on can be undone. O(1).
    pub fn savepoint(&mut self) -> Result<()> {
        self.alloc.savepoint()?;
        self.store.set_txn(self.alloc.txn());
        Ok(())
    }

    /// All but the `levels` oldest savepoints are given up.
    pub fn release_to(&mut self, levels: usize) -> Result<()> {
        self.turnover += 1;
        let Workspace { store, alloc, .. } = self;
        alloc.release_to(levels, |id| store.forget(id))
    }

    /// What has been changed since the newest savepoint is undone. No page is read or written.
    pub fn roll_back(&mut self) -> Result<()> {
        self.turnover += 1;
        let Workspace { store, alloc, .. } = self;
        alloc.roll_back(|id| store.forget(id))?;
        store.lower_page_count(alloc.page_count());
        Ok(())
    }
}

impl PageSource for Workspace {
    #[inline]
    fn page_size(&self) -> usize {
        self.store.page_size()
    }

    fn page(&self, id: PageId) -> Result<&[u8]> {
        check_birth(id, self.store.page(id)?, self.store.txn())
    }

    fn run(&self, run: &OverflowRef) -> Result<&[u8]> {
        self.store.run(run)
    }

    fn named(&self, e: Error) -> Error {
        self.store.named(e)
    }

    fn alive(&self) -> &AtomicU64 {
        self.store.alive()
    }

    fn prefetch_at(&self, id: PageId, from: usize, bytes: usize) {
        self.store.prefetch_at(id, from, bytes);
    }
}

impl PageSink for Workspace {
    #[inline]
    fn txn(&self) -> TxnId {
        self.store.txn()
    }

    #[inline]
    fn floor(&self) -> TxnId {
        self.alloc.floor()
    }

    fn turnover(&self) -> u64 {
        self.turnover
    }

    fn allocate(&mut self) -> Result<PageId> {
        self.turnover += 1;
        let id = self.alloc.allocate(&self.store)?;
        if self.store.is_own(id) {
            return Err(in_use(id));
        }
        self.store.make_room(self.alloc.page_count())?;
        Ok(id)
    }

    fn allocate_copy(&mut self, from: PageId) -> Result<PageId> {
        let id = self.allocate()?;
        if id == from {
            return Err(in_use(id));
        }
        self.copied += 1;
        if !self.store.copy_staged(from, id)? {
            let copy = PageCopy::of(self.page(from)?);
            self.page_mut(id)?.copy_from_slice(copy.bytes());
        }
        Ok(id)
    }

    fn page_mut(&mut self, id: PageId) -> Result<&mut [u8]> {
        self.alloc.note_birth();
        self.store.page_mut(id)
    }

    fn free(&mut self, id: PageId, birth: TxnId) -> Result<()> {
        self.give_up(id, 1, birth)
    }

    fn allocate_run(&mut self, value: &[u8]) -> Result<(PageId, u32)> {
        self.turnover += 1;
        let pages = (value.len() as u64).div_ceil(self.store.page_size() as u64);
        if pages > u64::from(u32::MAX) {
            return Err(Error::ValueTooLong { len: value.len() as u64 });
        }
        let first = self.alloc.allocate_run(pages, &self.store)?;
        self.store.make_room(self.alloc.page_count())?;
        let crc = self.store.write_run(first, value)?;
        Ok((first, crc))
    }

    fn free_run(&mut self, first: PageId, pages: u64, birth: TxnId) -> Result<()> {
        self.give_up(first, pages, birth)
    }
}

impl Workspace {
    fn give_up(&mut self, first: PageId, pages: u64, birth: TxnId) -> Result<()> {
        self.turnover += 1;
        // A rollback needs what stands there.
        if !self.alloc.is_held(birth) {
            self.store.forget(first);
        }
        self.alloc.free(first, pages, birth)
    }
}
