//! A database in anonymous memory: same engine, no file, no other process.
//!
//! Invariants
//! - The map is reserved once and never moves, so every view ever given stays valid until the
//!   platform is dropped; growth only moves the length.
//! - Bytes between the length and the end of the reservation are zero (fresh anonymous pages;
//!   `truncate` gives pages back to the system, which hands them out again as zeros).
//!
//! Thread rules: as in the seam. There is exactly one handle, so locks never conflict here; threads
//! of the handle are kept apart by the layers above, as they are on a file.
//!
//! The maps are private: a forked child has a copy of its own, and the fork mark keeps it from
//! taking that copy for the database.

use super::{LockByte, LockMode, Locks, MapView, Platform, Storage};
use crate::error::{Error, Result};
use crate::os;
use memmap2::{MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Address space asked for when the caller names none: 1 TiB, halved until the system agrees.
pub const DEFAULT_RESERVE: usize = 1 << 40;

/// Smallest reservation worth having.
const SMALLEST_RESERVE: usize = 1 << 20;

/// Length of the pages of the system; a length that is cut is cut to one of these at least.
const SYSTEM_PAGE: usize = 4096;

/// The platform of a database in memory.
pub struct MemoryPlatform {
    map: MmapRaw,
    len: AtomicU64,
    shared: MmapRaw,
    locks: FreeLocks,
    alive: &'static AtomicU64,
    id: u64,
}

impl MemoryPlatform {
    /// A new, empty database place that can grow to `reserve` bytes (less if the system has no
    /// such room for addresses; 0 stands for [`DEFAULT_RESERVE`]) with `shared_len` bytes of zeroed
    /// shared memory beside it. Costs address space only.
    pub fn new(reserve: usize, shared_len: usize) -> Result<MemoryPlatform> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let reserve = if reserve == 0 { DEFAULT_RESERVE } else { reserve };
        Ok(MemoryPlatform {
            map: MmapRaw::from(reserve_map(reserve)?),
            len: AtomicU64::new(0),
            shared: MmapRaw::from(anonymous(shared_len.max(1))?),
            locks: FreeLocks,
            alive: os::ForkMark::get().map_err(|e| Error::io("marking the process", e))?,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Bytes the database can grow to.
    #[cfg(test)]
    pub fn reserve(&self) -> usize {
        self.map.len()
    }

    /// Checks that `offset .. offset + len` lies inside the file and gives it as addresses.
    fn range(&self, what: &'static str, offset: u64, len: usize) -> Result<*mut u8> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.len.load(Ordering::Acquire)) {
            return Err(Error::io(what, io::ErrorKind::InvalidInput.into()));
        }
        // SAFETY: the whole range was found to lie inside the length, which never exceeds the map.
        Ok(unsafe { self.map.as_mut_ptr().add(offset as usize) })
    }
}

/// Zeroed private memory of which only touched pages cost anything.
fn anonymous(len: usize) -> Result<MmapMut> {
    MmapOptions::new()
        .len(len)
        .no_reserve_swap()
        .map_anon()
        .map_err(|e| Error::io("reserving memory", e))
}

/// As much of `reserve` as the system gives, by halves.
fn reserve_map(reserve: usize) -> Result<MmapMut> {
    let mut len = reserve.max(SMALLEST_RESERVE).next_multiple_of(SYSTEM_PAGE);
    loop {
        match anonymous(len) {
            Err(_) if len / 2 >= SMALLEST_RESERVE => {
                len = (len / 2).next_multiple_of(SYSTEM_PAGE);
            }
            other => return other,
        }
    }
}

impl Storage for MemoryPlatform {
    fn view(&self) -> MapView {
        MapView { base: self.map.as_ptr(), len: self.len.load(Ordering::Acquire) as usize }
    }

    fn refresh(&self) -> Result<MapView> {
        Ok(self.view())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.len.load(Ordering::Acquire))
    }

    fn grow(&self, len: u64) -> Result<()> {
        if len > self.map.len() as u64 {
            return Err(Error::io("growing the database", io::ErrorKind::StorageFull.into()));
        }
        self.len.fetch_max(len, Ordering::AcqRel);
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let old = self.len.load(Ordering::Acquire) as usize;
        let new = usize::try_from(len).unwrap_or(usize::MAX).min(old);
        self.len.store(new as u64, Ordering::Release);
        let whole = new.next_multiple_of(SYSTEM_PAGE).min(old);
        // SAFETY: the caller has proved that nobody looks beyond `len`; `new ..= old` is in the map.
        unsafe { self.map.as_mut_ptr().add(new).write_bytes(0, whole - new) };
        if whole < old {
            let advice = UncheckedAdvice::DontNeed;
            // SAFETY: as above; the map is anonymous and private, so the pages come back as zeros,
            // which is what lies beyond the length by invariant.
            unsafe { self.map.unchecked_advise_range(advice, whole, old - whole) }
                .map_err(|e| Error::io("giving memory back", e))?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let to = self.range("writing to memory", offset, bytes.len())?;
        // SAFETY: `range` checked the place; by the snapshot protocol nobody reads a page that is
        // written, and `bytes` is private memory of the caller.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn view_mut(&self) -> Option<*mut u8> {
        Some(self.map.as_mut_ptr())
    }

    fn sync(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }
}

impl Platform for MemoryPlatform {
    fn storage(&self) -> &dyn Storage {
        self
    }
    fn shared_base(&self) -> *mut u8 {
        self.shared.as_mut_ptr()
    }
    fn locks(&self) -> &dyn Locks {
        &self.locks
    }
    fn data_locks(&self) -> &dyn Locks {
        &self.locks
    }
    fn alive(&self) -> &AtomicU64 {
        self.alive
    }
    fn boot_id(&self) -> [u8; 16] {
        *b"never rebooted  "
    }
    fn data_file_id(&self) -> (u64, u64) {
        (0, self.id)
    }
}

/// Locks where no other handle can be.
pub(super) struct FreeLocks;

impl Locks for FreeLocks {
    fn try_lock(&self, _byte: LockByte, _mode: LockMode) -> Result<bool> {
        Ok(true)
    }
    fn lock(&self, _byte: LockByte, _mode: LockMode, _timeout: Option<Duration>) -> Result<bool> {
        Ok(true)
    }
    fn unlock(&self, _byte: LockByte) {}
    fn held_elsewhere(&self, _first: LockByte, _last: LockByte) -> Result<Option<LockByte>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(view: MapView) -> &'static [u8] {
        // SAFETY: the tests look at a view only while its platform lives and nothing is written.
        unsafe { std::slice::from_raw_parts(view.base, view.len) }
    }

    #[test]
    fn grows_in_place_and_reads_back() {
        let memory = MemoryPlatform::new(1 << 22, 4096).unwrap();
        assert_eq!(memory.view().len, 0);
        memory.grow(8192).unwrap();
        let first = memory.view();
        assert!(bytes(first).iter().all(|&b| b == 0));
        memory.write(4000, &[7; 200]).unwrap();
        memory.grow(1 << 20).unwrap();
        assert_eq!(memory.view().base, first.base);
        assert_eq!(&bytes(first)[4000..4200], &[7; 200]);
        assert_eq!(memory.len().unwrap(), 1 << 20);
        memory.grow(4096).unwrap();
        assert_eq!(memory.len().unwrap(), 1 << 20, "growing never shrinks");
    }

    #[test]
    fn a_full_reservation_is_a_full_disk() {
        let memory = MemoryPlatform::new(1 << 20, 4096).unwrap();
        assert!(matches!(memory.grow((1 << 20) + 1), Err(Error::DiskFull { .. })));
        memory.grow(1 << 20).unwrap();
    }

    #[test]
    fn writes_outside_the_length_are_refused() {
        let memory = MemoryPlatform::new(1 << 20, 4096).unwrap();
        memory.grow(4096).unwrap();
        assert!(memory.write(4095, &[1, 2]).is_err());
        assert!(memory.write(u64::MAX, &[1]).is_err());
        memory.write_all_of(4090, &[&[1, 2, 3], &[4, 5, 6]]).unwrap();
        assert_eq!(&bytes(memory.view())[4090..], &[1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_was_cut_off_comes_back_as_zeros() {
        let memory = MemoryPlatform::new(1 << 22, 4096).unwrap();
        memory.grow(5 * 4096).unwrap();
        memory.write(0, &[9; 5 * 4096]).unwrap();
        memory.truncate(4096 + 100).unwrap();
        assert_eq!(memory.view().len, 4196);
        memory.grow(5 * 4096).unwrap();
        let all = bytes(memory.view());
        assert!(all[..4196].iter().all(|&b| b == 9));
        assert!(all[4196..].iter().all(|&b| b == 0));
    }

    #[test]
    fn shared_memory_is_aligned_and_zero() {
        let memory = MemoryPlatform::new(0, 10_000).unwrap();
        assert!(memory.reserve() >= 1 << 20);
        let base = memory.shared_base();
        assert_eq!(base as usize % 4096, 0);
        // SAFETY: the platform lives, and the test alone touches its shared memory.
        let shared = unsafe { std::slice::from_raw_parts(base, 10_000) };
        assert!(shared.iter().all(|&b| b == 0));
        assert_eq!(memory.alive().load(Ordering::Relaxed), 1);
    }
}
