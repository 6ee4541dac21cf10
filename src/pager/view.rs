//! Pages of one snapshot, read straight from the map.

use crate::error::{Error, Result};
use crate::format::fields::header;
use crate::storage::{MapView, Platform};
use crate::types::{PageId, TxnId};

/// The pages below a page count, as far as a map of the file has them.
#[derive(Clone, Copy)]
pub struct PageView {
    map: MapView,
    page_size: usize,
    page_count: u64,
}

impl PageView {
    #[inline]
    pub fn new(map: MapView, page_size: usize, page_count: u64) -> PageView {
        PageView { map, page_size, page_count }
    }

    /// Bytes of a page.
    #[inline]
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// Pages below this one belong to the snapshot or are free.
    #[inline]
    pub fn page_count(&self) -> u64 {
        self.page_count
    }

    /// The same pages, and more or fewer of them.
    pub fn set_page_count(&mut self, page_count: u64) {
        self.page_count = page_count;
    }

    /// The same pages through a map of the file as it is now.
    pub fn set_map(&mut self, map: MapView) {
        self.map = map;
    }

    /// Whether the map reaches as far as the page count.
    #[inline]
    pub fn is_covered(&self) -> bool {
        let bytes = self.page_count.checked_mul(self.page_size as u64);
        bytes.is_some_and(|bytes| bytes <= self.map.len as u64)
    }

    /// The error for a file that ends before its page count.
    #[cold]
    pub fn too_short(&self) -> Error {
        let first_missing = PageId(self.map.len as u64 / self.page_size as u64);
        let detail = format!("the file ends before it, and counts {} pages", self.page_count);
        Error::corrupt(first_missing, detail)
    }

    /// From now on no page is found, until the view gets a map again: for a reader that has more to
    /// do with a page than to read it. It looks there first all the same, as one that has not.
    pub fn shut(&mut self) {
        self.map.len = 0;
    }

    /// `pages` pages from `first`, if they are below the page count. `owner` keeps the map; the
    /// caller has seen that its process is alive: in a forked child nothing pins a snapshot, and
    /// its pages may change under whoever reads them.
    #[inline]
    pub fn pages<'a>(
        &self,
        owner: &'a dyn Platform,
        first: PageId,
        pages: u64,
    ) -> Result<&'a [u8]> {
        let found = self.find(owner, first, pages);
        found.ok_or_else(|| astray(first, "pointed at, but outside the file"))
    }

    /// One page, if it is there.
    #[inline(always)]
    pub fn find_page<'a>(&self, owner: &'a dyn Platform, id: PageId) -> Option<&'a [u8]> {
        let (inside, size) = (id.0 >= 2 && id.0 < self.page_count, self.page_size as u64);
        inside.then(|| self.map.slice(owner, id.0 * size, size)).flatten()
    }

    /// Pages side by side, if they are there.
    #[inline]
    pub fn find<'a>(&self, owner: &'a dyn Platform, first: PageId, pages: u64) -> Option<&'a [u8]> {
        let size = self.page_size as u64;
        let inside =
            first.0 >= 2 && first.0.checked_add(pages).is_some_and(|end| end <= self.page_count);
        inside.then(|| self.map.slice(owner, first.0 * size, pages * size)).flatten()
    }

    /// Hint: these bytes of a page will be read at once.
    #[inline(always)]
    pub fn prefetch_at(&self, id: PageId, from: usize, bytes: usize) {
        let page = id.0.wrapping_mul(self.page_size as u64);
        self.map.prefetch(page.wrapping_add(from as u64), bytes);
    }
}

#[cold]
fn astray(id: PageId, why: &str) -> Error {
    Error::corrupt(id, why)
}

/// A page cannot be younger than the snapshot that reaches it.
#[inline(always)]
pub fn check_birth(id: PageId, page: &[u8], txn: TxnId) -> Result<&[u8]> {
    match header::BIRTH.get(page, 0) {
        Some(birth) if birth <= txn.0 => Ok(page),
        _ => Err(astray(id, "younger than the snapshot that reaches it")),
    }
}
