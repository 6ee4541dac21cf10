//! A snapshot that is pinned as long as it lives: begin, end, and the pages it reads.

use super::Engine;
use super::state::undescribe;
use crate::error::{Error, Result};
use crate::format::bytes::get_u64;
use crate::format::descriptor::TableDescriptor;
use crate::shared::{Lease, Reading};
use crate::storage::MapView;
use crate::tree::PageSource;
use crate::types::{PageId, TxnId};
use std::sync::Arc;

/// A pinned snapshot.
pub struct Snapshot {
    engine: Arc<Engine>,
    lease: Lease,
    view: MapView,
    pub(crate) txn: TxnId,
    page_count: u64,
    pub(crate) catalog: TableDescriptor,
}

impl Engine {
    /// Begins to read the visible snapshot: no system call, unless the file has outgrown this handle's map.
    #[inline]
    pub fn begin_read(self: &Arc<Engine>) -> Result<Snapshot> {
        let mut reading = self.shared.begin_read()?;
        let view = self.platform.storage().view();
        match undescribe(&self.shared, &reading.descriptor) {
            Ok((txn, page_count, catalog)) if self.covers(view, page_count) => {
                let engine = Arc::clone(self);
                Ok(Snapshot { engine, lease: reading.lease, view, txn, page_count, catalog })
            }
            Ok(_) => self.begin_on_grown(reading),
            Err(e) => {
                self.shared.end_read(&mut reading.lease);
                Err(e)
            }
        }
    }

    /// Id and page count of the visible snapshot, without a reader: nothing protects its pages.
    pub(crate) fn look(&self) -> Result<(TxnId, u64)> {
        let (txn, page_count, _) = undescribe(&self.shared, &self.shared.look()?)?;
        Ok((txn, page_count))
    }

    #[inline]
    fn covers(&self, view: MapView, page_count: u64) -> bool {
        page_count.saturating_mul(self.page_size as u64) <= view.len as u64
    }

    /// The file has outgrown this handle's view of it.
    #[cold]
    fn begin_on_grown(self: &Arc<Engine>, reading: Reading) -> Result<Snapshot> {
        let (txn, page_count, catalog) = undescribe(&self.shared, &reading.descriptor)?;
        let view = self.platform.storage().view();
        let (engine, lease) = (Arc::clone(self), reading.lease);
        // From here on an error ends the registration through Drop.
        let mut snapshot = Snapshot { engine, lease, view, txn, page_count, catalog };
        snapshot.view = self.platform.storage().refresh()?;
        if self.covers(snapshot.view, page_count) {
            return Ok(snapshot);
        }
        let first_missing = PageId(snapshot.view.len as u64 / self.page_size as u64);
        let detail = format!("the file ends before it, and counts {page_count} pages");
        Err(Error::corrupt(first_missing, detail))
    }
}

impl Snapshot {
    /// The handle it was begun on.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Pages below this one belong to the snapshot or are free.
    pub(crate) fn page_count(&self) -> u64 {
        self.page_count
    }
}

impl Drop for Snapshot {
    #[inline]
    fn drop(&mut self) {
        self.engine.shared.end_read(&mut self.lease);
    }
}

/// `pages` pages from `first`, if they are pages of a snapshot with `page_count` pages.
#[inline(always)]
pub(super) fn pages_of(
    engine: &Engine,
    view: MapView,
    page_count: u64,
    first: PageId,
    pages: u64,
) -> Result<&[u8]> {
    // In a forked child nothing pins the snapshot: its pages may change under it.
    engine.shared.check_alive()?;
    let size = engine.page_size as u64;
    let inside = first.0 >= 2 && first.0.checked_add(pages).is_some_and(|end| end <= page_count);
    inside
        .then(|| view.slice(&*engine.platform, first.0 * size, pages * size))
        .flatten()
        .ok_or_else(|| astray(first, "pointed at, but outside the file"))
}

#[cold]
fn astray(id: PageId, why: &str) -> Error {
    Error::corrupt(id, why)
}

/// A page cannot be younger than the snapshot that reaches it.
#[inline(always)]
pub(super) fn check_birth(id: PageId, page: &[u8], txn: TxnId) -> Result<&[u8]> {
    match get_u64(page, 8) {
        Some(birth) if birth <= txn.0 => Ok(page),
        _ => Err(astray(id, "younger than the snapshot that reaches it")),
    }
}

impl PageSource for Snapshot {
    #[inline]
    fn page_size(&self) -> usize {
        self.engine.page_size
    }

    #[inline(always)]
    fn page(&self, id: PageId) -> Result<&[u8]> {
        let page = pages_of(&self.engine, self.view, self.page_count, id, 1)?;
        check_birth(id, page, self.txn)
    }

    #[inline]
    fn run(&self, first: PageId, pages: u64) -> Result<&[u8]> {
        pages_of(&self.engine, self.view, self.page_count, first, pages)
    }

    fn will_need(&self, first: PageId, pages: u64) {
        let size = self.engine.page_size as u64;
        let end = first.0.saturating_add(pages).min(self.page_count);
        let len = end.saturating_sub(first.0).saturating_mul(size);
        self.engine.platform.storage().will_need(first.0.saturating_mul(size), len);
    }

    fn is_resident(&self, id: PageId) -> bool {
        let offset = id.0.saturating_mul(self.engine.page_size as u64);
        self.engine.platform.storage().is_resident(offset)
    }

    #[inline(always)]
    fn prefetch_at(&self, id: PageId, from: usize, bytes: usize) {
        let page = id.0.wrapping_mul(self.engine.page_size as u64);
        self.view.prefetch(page.wrapping_add(from as u64), bytes);
    }
}
