//! A snapshot that is pinned as long as it lives: begin, end, and the pages it reads.

use crate::commit::engine::Engine;
use crate::commit::snapshot::{decode_snapshot, impossible, try_snapshot};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::overflow::OverflowRef;
use crate::pager::read_checks::ReadChecksums;
use crate::pager::view::{PageView, check_birth};
use crate::shared::layout::Descriptor;
use crate::shared::{Lease, Reading};
use crate::tree::{self, PageSource};
use crate::types::{PageId, TxnId};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A pinned snapshot.
pub struct Snapshot {
    engine: Arc<Engine>,
    lease: Lease,
    view: PageView,
    pub(crate) txn: TxnId,
    catalog: Catalog,
}

/// What the descriptor of a catalog has that is not the same in all of them: a snapshot is moved
/// about as a whole, and stays short by it.
#[derive(Clone, Copy)]
struct Catalog {
    root: PageId,
    entries: u64,
    branch_pages: u64,
    leaf_pages: u64,
    depth: u16,
}

impl Catalog {
    #[inline(always)]
    fn of(descriptor: &TableDescriptor) -> Catalog {
        let &TableDescriptor { root, entries, branch_pages, leaf_pages, depth, .. } = descriptor;
        Catalog { root, entries, branch_pages, leaf_pages, depth }
    }
}

impl Engine {
    /// Begins to read the visible snapshot: no system call, unless the file has outgrown this
    /// handle's map.
    #[inline]
    pub fn begin_read(self: &Arc<Engine>) -> Result<Snapshot> {
        match self.shared.begin_at_once().map_err(|e| self.named(e))? {
            Some(reading) => self.read_at(reading),
            None => self.begin_read_elsewhere(),
        }
    }

    #[cold]
    fn begin_read_elsewhere(self: &Arc<Engine>) -> Result<Snapshot> {
        self.read_at(self.shared.begin_elsewhere().map_err(|e| self.named(e))?)
    }

    /// The same, with all that is said of the snapshot.
    pub(super) fn begin_read_whole(self: &Arc<Engine>) -> Result<(Snapshot, Descriptor)> {
        let reading = self.shared.begin_read().map_err(|e| self.named(e))?;
        let descriptor = reading.descriptor;
        Ok((self.read_at(reading)?, descriptor))
    }

    #[inline(always)]
    fn read_at(self: &Arc<Engine>, reading: Reading) -> Result<Snapshot> {
        let map = self.platform.storage().view();
        let Some((txn, page_count, catalog)) = try_snapshot(&reading.descriptor) else {
            return Err(self.end_impossible(reading));
        };
        let mut view = PageView::new(map, self.page_size, page_count);
        if !view.is_covered() {
            return self.begin_on_grown(reading).map_err(|e| self.named(e));
        }
        if self.options.read_checksums != ReadChecksums::Off {
            view.shut();
        }
        let engine = Arc::clone(self);
        let catalog = Catalog::of(&catalog);
        Ok(Snapshot { engine, lease: reading.lease, view, txn, catalog })
    }

    /// What it was begun at is no snapshot.
    #[cold]
    fn end_impossible(&self, mut reading: Reading) -> Error {
        self.shared.end_read(&mut reading.lease);
        self.named(impossible(&self.shared))
    }

    /// Id and page count of the visible snapshot, without a reader: nothing protects its pages.
    pub(crate) fn look(&self) -> Result<(TxnId, u64)> {
        let (txn, page_count, _) = decode_snapshot(&self.shared, &self.shared.look()?)?;
        Ok((txn, page_count))
    }

    /// The file has outgrown this handle's view of it.
    #[cold]
    fn begin_on_grown(self: &Arc<Engine>, reading: Reading) -> Result<Snapshot> {
        let (txn, page_count, catalog) = decode_snapshot(&self.shared, &reading.descriptor)?;
        let view = PageView::new(self.platform.storage().view(), self.page_size, page_count);
        let (engine, lease) = (Arc::clone(self), reading.lease);
        // From here on an error ends the registration through Drop.
        let catalog = Catalog::of(&catalog);
        let mut snapshot = Snapshot { engine, lease, view, txn, catalog };
        snapshot.view.set_map(self.platform.storage().refresh()?);
        if !snapshot.view.is_covered() {
            return Err(snapshot.view.too_short());
        }
        if self.read_checks.are_on() {
            snapshot.view.shut();
        }
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Moves to the visible snapshot; false if it stands there already. With an error it stays
    /// where it was.
    pub fn refresh(&mut self) -> Result<bool> {
        let engine = &self.engine;
        engine.shared.check_alive()?;
        if engine.shared.visible() == self.txn {
            return Ok(false);
        }
        let before = self.txn;
        let moved = engine.shared.renew(&mut self.lease, before, |descriptor| {
            let (txn, page_count, catalog) = decode_snapshot(&engine.shared, descriptor)?;
            let storage = engine.platform.storage();
            let mut view = PageView::new(storage.view(), engine.page_size, page_count);
            if !view.is_covered() {
                view.set_map(storage.refresh()?); // B11
                if !view.is_covered() {
                    return Err(view.too_short());
                }
            }
            if engine.read_checks.are_on() {
                view.shut();
            }
            (self.txn, self.view, self.catalog) = (txn, view, Catalog::of(&catalog));
            Ok(())
        });
        moved.map_err(|e| engine.named(e))?;
        Ok(self.txn != before)
    }

    /// Moves to a named snapshot, which the one where it stands lists (rule 38).
    pub(super) fn move_to(&mut self, txn: TxnId, catalog: TableDescriptor) {
        self.engine.shared.move_to(&self.lease, txn);
        (self.txn, self.catalog) = (txn, Catalog::of(&catalog));
    }

    /// The tree that lists the tables, which has neither runs nor options.
    #[inline]
    pub(crate) fn catalog(&self) -> TableDescriptor {
        let Catalog { root, entries, branch_pages, leaf_pages, depth } = self.catalog;
        let counts = TableDescriptor { entries, branch_pages, leaf_pages, ..Default::default() };
        TableDescriptor { root, depth, ..counts }
    }

    /// What the snapshot's list of tables has under a name.
    #[inline]
    pub(crate) fn stored_table(&self, name: &str) -> Result<Option<(TableDescriptor, &[u8])>> {
        let found = tree::stored_table(self, &self.catalog(), name, self.page_count());
        found.map_err(|e| self.named(e))
    }

    /// The view, as it is where pages are not compared with their checksums.
    fn open_view(&self) -> PageView {
        let mut view = self.view;
        view.set_map(self.engine.platform.storage().view());
        view
    }

    /// A page, once it is compared with its checksum, where this handle asks for that; else one
    /// that is not there.
    #[cold]
    fn proved_page(&self, id: PageId) -> Result<&[u8]> {
        let page = self.open_view().pages(&*self.engine.platform, id, 1)?;
        check_birth(id, page, self.txn)?;
        self.engine.read_checks.page(id, page)?;
        Ok(page)
    }

    /// The same for a value on pages of its own.
    #[cold]
    fn proved_run(&self, run: &OverflowRef, pages: u64) -> Result<&[u8]> {
        let bytes = self.open_view().pages(&*self.engine.platform, run.first, pages)?;
        self.engine.read_checks.run(run, bytes)?;
        Ok(bytes)
    }

    /// The handle it was begun on.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Pages below this one belong to the snapshot or are free.
    pub(crate) fn page_count(&self) -> u64 {
        self.view.page_count()
    }
}

impl Drop for Snapshot {
    #[inline]
    fn drop(&mut self) {
        self.engine.shared.end_read(&mut self.lease);
    }
}

impl PageSource for Snapshot {
    #[inline]
    fn page_size(&self) -> usize {
        self.view.page_size()
    }

    #[inline(always)]
    fn page(&self, id: PageId) -> Result<&[u8]> {
        self.engine.shared.check_alive()?;
        match self.view.find_page(&*self.engine.platform, id) {
            Some(page) => check_birth(id, page, self.txn),
            None => self.proved_page(id),
        }
    }

    fn run(&self, run: &OverflowRef) -> Result<&[u8]> {
        self.engine.shared.check_alive()?;
        let pages = run.pages(self.page_size());
        match self.view.find(&*self.engine.platform, run.first, pages) {
            Some(bytes) => Ok(bytes),
            None => self.proved_run(run, pages),
        }
    }

    fn named(&self, e: Error) -> Error {
        self.engine.named(e)
    }

    fn alive(&self) -> &AtomicU64 {
        self.engine.platform.alive()
    }

    fn will_need(&self, first: PageId, pages: u64) {
        let size = self.page_size() as u64;
        let end = first.0.saturating_add(pages).min(self.page_count());
        let len = end.saturating_sub(first.0).saturating_mul(size);
        self.engine.platform.storage().will_need(first.0.saturating_mul(size), len);
    }

    fn is_resident(&self, id: PageId) -> bool {
        let offset = id.0.saturating_mul(self.page_size() as u64);
        self.engine.platform.storage().is_resident(offset)
    }

    #[inline(always)]
    fn prefetch_at(&self, id: PageId, from: usize, bytes: usize) {
        self.view.prefetch_at(id, from, bytes);
    }
}
