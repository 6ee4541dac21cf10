//! The memory behind a simulated machine: its page cache and its lock file.
//!
//! Invariants
//! - The cache of one boot never moves: views of all simulated processes point into it.
//! - Bytes from the end of the file (rounded up to 4,096) on cannot be touched: a load or store
//!   there faults, as one behind the end of a real mapped file does.
//! - Bytes of the file that nobody wrote are zero.
//!
//! Thread rules: a plain memory; whoever calls decides who may touch what. The simulation copies
//! pages that another thread may be storing to only in direct mode with real threads, where the
//! engine itself promises that a page being stored to is not being synced.

use super::medium::{Block, PAGE, Page};
use crate::error::{Error, Result};
use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The page cache of the data file.
pub(super) struct Cache {
    base: *mut u8,
    reserve: usize,
    /// Bytes that can be touched, whole pages.
    open: AtomicUsize,
}

/// Maps of machines that are gone, for the next ones: a crash test boots a machine for each image,
/// and fresh memory would cost it a page fault a page, most of the time of a small test.
static USED: Mutex<Vec<Cache>> = Mutex::new(Vec::new());
/// Maps kept there, and bytes of memory that each may hold.
const USED_MAPS: usize = 8;
const USED_BYTES: usize = 4 << 20;

// SAFETY: an address of memory that lives as long as the value; see the thread rules above.
unsafe impl Send for Cache {}
// SAFETY: as above.
unsafe impl Sync for Cache {}

impl Cache {
    /// A cache for a file of at most `reserve` bytes, which holds `pages` and is `len` bytes long.
    pub(super) fn new(reserve: usize, pages: &[Page], len: u64) -> Result<Cache> {
        let reserve = reserve.max(PAGE).next_multiple_of(PAGE);
        let used = {
            let mut all = USED.lock();
            let fits = all.iter().position(|one| one.reserve == reserve);
            fits.map(|at| all.swap_remove(at))
        };
        let cache = match used {
            Some(used) => used,
            None => Cache::reserve_addresses(reserve)?,
        };
        let before = cache.open.load(Ordering::Relaxed);
        cache.resize(before as u64, len)?;
        for (number, page) in pages.iter().enumerate() {
            let at = number * PAGE;
            // What was not open before is zero.
            if at < before || !Arc::ptr_eq(page, &super::medium::zero_page()) {
                cache.put(at as u64, &page.0);
            }
        }
        Ok(cache)
    }

    fn reserve_addresses(reserve: usize) -> Result<Cache> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new map at a place the system chooses touches nothing that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), reserve, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Error::io("reserving the simulated cache", io::Error::last_os_error()));
        }
        Ok(Cache { base: base.cast(), reserve, open: AtomicUsize::new(0) })
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.base
    }

    pub(super) fn room(&self) -> usize {
        self.reserve
    }

    /// The end of the file moves from `from` to `to`.
    pub(super) fn resize(&self, from: u64, to: u64) -> Result<()> {
        let old = (from as usize).next_multiple_of(PAGE);
        let new = (to as usize).next_multiple_of(PAGE);
        assert!(old.max(new) <= self.reserve, "file beyond the reservation");
        if to < from {
            let tail = (from as usize).min(new) - to as usize;
            // SAFETY: `to .. to + tail` lies below the old end, which is mapped for writing.
            unsafe { self.base.add(to as usize).write_bytes(0, tail) };
        }
        let (at, len, access) = match new.cmp(&old) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Greater => (old, new - old, libc::PROT_READ | libc::PROT_WRITE),
            std::cmp::Ordering::Less => (new, old - new, libc::PROT_NONE),
        };
        // SAFETY: the range lies in this value's own anonymous map. A shrinking file loses its
        // pages; the caller of `truncate` has proved that nobody looks there.
        let failed = unsafe {
            let start = self.base.add(at).cast();
            (access == libc::PROT_NONE && libc::madvise(start, len, libc::MADV_DONTNEED) != 0)
                || libc::mprotect(start, len, access) != 0
        };
        if failed {
            return Err(Error::io("moving the end of a cache", io::Error::last_os_error()));
        }
        self.open.store(new, Ordering::Relaxed);
        Ok(())
    }

    /// What page `number` shows; the page lies inside the file.
    pub(super) fn page(&self, number: u64) -> Page {
        let mut page: Arc<Block> = super::medium::zero_page();
        let block = Arc::make_mut(&mut page);
        // SAFETY: the caller keeps the page inside the file, which is mapped; thread rules above.
        unsafe { ptr::copy_nonoverlapping(self.address(number), block.0.as_mut_ptr(), PAGE) };
        page
    }

    /// Whether page `number`, inside the file, shows other bytes than `known`.
    pub(super) fn differs(&self, number: u64, known: &Block) -> bool {
        // SAFETY: as in `page`.
        let shown = unsafe { std::slice::from_raw_parts(self.address(number), PAGE) };
        shown != known.0.as_slice()
    }

    /// Puts bytes into the cache, inside the file.
    pub(super) fn put(&self, offset: u64, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() as u64 <= self.reserve as u64);
        // SAFETY: the caller keeps the range inside the file, which is mapped; thread rules above.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(offset as usize), bytes.len());
        }
    }

    /// A copy of the first `len` bytes, inside the file.
    pub(super) fn bytes(&self, len: u64) -> Vec<u8> {
        // SAFETY: as in `page`.
        unsafe { std::slice::from_raw_parts(self.base, len as usize) }.to_vec()
    }

    fn address(&self, number: u64) -> *mut u8 {
        debug_assert!((number as usize + 1) * PAGE <= self.reserve);
        // SAFETY: the page lies in the reservation.
        unsafe { self.base.add(number as usize * PAGE) }
    }
}

impl Drop for Cache {
    /// Nobody can look any more: processes hold the machine, and with it the cache, alive for as
    /// long as they exist.
    fn drop(&mut self) {
        let open = self.open.load(Ordering::Relaxed);
        let mut all = USED.lock();
        if open <= USED_BYTES && all.len() < USED_MAPS {
            all.push(Cache {
                base: self.base,
                reserve: self.reserve,
                open: AtomicUsize::new(open),
            });
            return;
        }
        // SAFETY: the map is this value's own, and was not handed on above.
        unsafe { libc::munmap(self.base.cast(), self.reserve) };
    }
}

/// The mapped content of one lock file.
pub(super) struct Region(Option<MmapRaw>);

/// Lock files of machines that are gone, zeroed, for the same reason as [`USED`].
static USED_REGIONS: Mutex<Vec<Region>> = Mutex::new(Vec::new());

impl Region {
    /// Zeroed, as a new lock file is.
    pub(super) fn new(len: usize) -> Result<Region> {
        let used = {
            let mut all = USED_REGIONS.lock();
            let wanted = len.max(1).next_multiple_of(PAGE);
            let fits = all.iter().position(|one| one.map().len() == wanted);
            fits.map(|at| all.swap_remove(at))
        };
        if let Some(used) = used {
            return Ok(used);
        }
        let map = MmapOptions::new()
            .len(len.max(1).next_multiple_of(PAGE))
            .no_reserve_swap()
            .map_anon()
            .map_err(|e| Error::io("reserving a simulated lock file", e))?;
        Ok(Region(Some(MmapRaw::from(map))))
    }

    /// With pages that an earlier boot left.
    pub(super) fn with(pages: &[Page]) -> Result<Region> {
        let region = Region::new(pages.len() * PAGE)?;
        for (number, page) in pages.iter().enumerate() {
            if !Arc::ptr_eq(page, &super::medium::zero_page()) {
                // SAFETY: the map is new, nobody else knows it, and has as many pages at least.
                unsafe {
                    let place = region.base().add(number * PAGE);
                    ptr::copy_nonoverlapping(page.0.as_ptr(), place, PAGE);
                }
            }
        }
        Ok(region)
    }

    fn map(&self) -> &MmapRaw {
        // Taken only when the value is dropped.
        self.0.as_ref().expect("a region has its map")
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.map().as_mut_ptr()
    }

    fn zero(&mut self) {
        const NOTHING: [u8; PAGE] = [0; PAGE];
        // SAFETY: the map is this value's own, as long as this, and nobody else holds it any more.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.base(), self.map().len()) };
        for page in bytes.chunks_mut(PAGE).filter(|page| **page != NOTHING) {
            page.fill(0);
        }
    }

    /// All of it, word by word as the processes see it.
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the map is page-aligned, has this length, a multiple of 4,096, and its bytes are
        // only ever touched as atomics.
        unsafe { std::slice::from_raw_parts(self.map().as_ptr().cast(), self.map().len() / 8) }
    }

    /// Number of its pages.
    pub(super) fn pages(&self) -> usize {
        self.map().len() / PAGE
    }

    /// Whether page `number` holds other bytes than `known`, or if there is none, anything but
    /// zeros.
    pub(super) fn differs(&self, number: usize, known: Option<&Block>) -> bool {
        const NOTHING: Block = Block([0; PAGE]);
        let known = known.unwrap_or(&NOTHING).0.chunks_exact(8);
        let words = &self.words()[number * (PAGE / 8)..][..PAGE / 8];
        words.iter().zip(known).any(|(word, old)| word.load(Ordering::Relaxed).to_ne_bytes() != old)
    }

    /// A copy of page `number`.
    pub(super) fn copy_page(&self, number: usize, into: &mut [u8; PAGE]) {
        let words = &self.words()[number * (PAGE / 8)..][..PAGE / 8];
        for (word, place) in words.iter().zip(into.chunks_exact_mut(8)) {
            place.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
    }

    /// Makes a word anything.
    pub(super) fn spoil(&self, index: usize, value: u64) {
        self.words()[index].store(value, Ordering::SeqCst);
    }

    pub(super) fn word(&self, index: usize) -> u64 {
        self.words()[index].load(Ordering::SeqCst)
    }
}

impl Drop for Region {
    /// Processes hold their machine's region for as long as they exist: nobody can look any more.
    fn drop(&mut self) {
        let Some(map) = self.0.take() else { return };
        let mut used = Region(Some(map));
        if USED_REGIONS.lock().len() < USED_MAPS {
            used.zero();
            USED_REGIONS.lock().push(used);
        } else {
            drop(used.0.take());
        }
    }
}
