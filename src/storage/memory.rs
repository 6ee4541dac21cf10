//! A database in anonymous memory: same engine, no file, no other process.
//!
//! Invariants
//! - I1: a map stays until the platform is dropped. Growth beyond the last one adds another of the
//!   same pages, twice as long; the list of maps only grows, and `current` is the last.
//! - Bytes behind the length are zero (fresh pages; `truncate` gives pages back to the system,
//!   which hands them out again as zeros).
//!
//! Thread rules: as in the seam; `view` takes no lock. There is exactly one handle, so locks never
//! conflict here; threads of the handle are kept apart by the layers above, as they are on a file.
//!
//! A forked child sees the same pages, as it does those of a file, and the fork mark refuses it
//! every use of the handle.

use super::{LockByte, LockMode, Locks, MapView, Platform, Storage, words};
use crate::error::{Error, Result};
use crate::os::{self, AnonMap};
use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Addresses reserved when the caller names no number: so few that a process can have thousands of
/// databases in memory.
pub const DEFAULT_RESERVE: usize = 64 << 20;

/// Smallest reservation worth having.
const SMALLEST_RESERVE: usize = 1 << 20;

/// Maps there can be: each is at least twice as long as the one before.
const MAPS: usize = 48;

/// Length of the pages of the system; a length that is cut is cut to one of these at least.
const SYSTEM_PAGE: usize = 4096;

/// The platform of a database in memory.
pub struct MemoryPlatform {
    maps: [OnceLock<AnonMap>; MAPS],
    current: AtomicUsize,
    /// Bytes that there can be in all maps, more than a process has addresses for unless its files
    /// are limited.
    most: u64,
    len: AtomicU64,
    resizing: Mutex<()>,
    shared: MmapRaw,
    locks: FreeLocks,
    alive: &'static AtomicU64,
    id: u64,
}

impl MemoryPlatform {
    /// A new, empty database place with addresses for `reserve` bytes at first (0 stands for
    /// [`DEFAULT_RESERVE`]) and `shared_len` bytes of zeroed shared memory beside it. Costs address
    /// space only, and no descriptor.
    pub fn new(reserve: usize, shared_len: usize) -> Result<MemoryPlatform> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let reserve = if reserve == 0 { DEFAULT_RESERVE } else { reserve.max(SMALLEST_RESERVE) };
        let (first, most) = by_halves(reserve, SMALLEST_RESERVE, AnonMap::extensible)
            .map_err(|e| Error::io("reserving memory", e))?;
        let mut maps = [const { OnceLock::new() }; MAPS];
        maps[0] = OnceLock::from(first);
        Ok(MemoryPlatform {
            maps,
            current: AtomicUsize::new(0),
            most,
            len: AtomicU64::new(0),
            resizing: Mutex::new(()),
            shared: MmapRaw::from(anonymous(shared_len.max(1))?),
            locks: FreeLocks,
            alive: os::ForkMark::get().map_err(|e| Error::io("marking the process", e))?,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        })
    }

    fn map(&self) -> &AnonMap {
        let current = self.current.load(Ordering::Acquire);
        // Filled before `current` ever named it.
        self.maps[current].get().expect("the current map exists")
    }

    /// Maps at least `need` bytes, and twice as many as now where there are addresses for it. Under
    /// `resizing`.
    fn add_map(&self, need: usize) -> Result<()> {
        let no_room = || Error::io("growing the database", io::ErrorKind::StorageFull.into());
        let (old, index) = (self.map(), self.current.load(Ordering::Relaxed) + 1);
        let slot = self.maps.get(index).ok_or_else(no_room)?;
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let wish = old.len().saturating_mul(2).max(need.saturating_mul(2)).min(most);
        let map = by_halves(wish, need, |len| old.again(len)).map_err(|_| no_room())?;
        // Alone under `resizing`: the slot is empty.
        slot.set(map).map_err(|_| no_room())?;
        self.current.store(index, Ordering::Release);
        Ok(())
    }

    /// Checks that `offset .. offset + len` lies inside the file and gives it as addresses.
    fn range(&self, what: &'static str, offset: u64, len: usize) -> Result<*mut u8> {
        let end = offset.checked_add(len as u64);
        // The length first: a map that is newer than it is never too short.
        if end.is_none_or(|end| end > self.len.load(Ordering::Acquire)) {
            return Err(Error::io(what, io::ErrorKind::InvalidInput.into()));
        }
        // SAFETY: the whole range was found to lie inside the length, which never exceeds the map.
        Ok(unsafe { self.map().base().add(offset as usize) })
    }
}

/// Zeroed private memory of which only touched pages cost anything.
fn anonymous(len: usize) -> Result<memmap2::MmapMut> {
    MmapOptions::new()
        .len(len)
        .no_reserve_swap()
        .map_anon()
        .map_err(|e| Error::io("reserving memory", e))
}

/// As much of `wish` as the system gives, by halves, and at least `need`.
fn by_halves<T>(wish: usize, need: usize, make: impl Fn(usize) -> io::Result<T>) -> io::Result<T> {
    let mut len = wish.max(need).min(isize::MAX as usize / 2).next_multiple_of(SYSTEM_PAGE);
    loop {
        match make(len) {
            Err(_) if len > need.next_multiple_of(SYSTEM_PAGE) => {
                len = (len / 2).max(need).next_multiple_of(SYSTEM_PAGE);
            }
            other => return other,
        }
    }
}

impl Storage for MemoryPlatform {
    fn view(&self) -> MapView {
        // The length first: a map that is newer than it is never too short.
        let len = self.len.load(Ordering::Acquire) as usize;
        MapView { base: self.map().base(), len }
    }

    fn refresh(&self) -> Result<MapView> {
        Ok(self.view())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.len.load(Ordering::Acquire))
    }

    fn grow(&self, len: u64) -> Result<()> {
        let _alone = self.resizing.lock();
        if len > self.map().len() as u64 {
            let need = usize::try_from(len).ok().filter(|_| len <= self.most);
            let full = || Error::io("growing the database", io::ErrorKind::StorageFull.into());
            self.add_map(need.ok_or_else(full)?)?;
        }
        self.len.fetch_max(len, Ordering::AcqRel);
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let _alone = self.resizing.lock();
        let old = self.len.load(Ordering::Acquire) as usize;
        let new = usize::try_from(len).unwrap_or(usize::MAX).min(old);
        self.len.store(new as u64, Ordering::Release);
        let whole = new.next_multiple_of(SYSTEM_PAGE).min(old);
        // SAFETY: the caller has proved that nobody looks beyond `len`; `new ..= old` is in the
        // map.
        unsafe { self.map().base().add(new).write_bytes(0, whole - new) };
        let end = old.next_multiple_of(SYSTEM_PAGE);
        if whole < old {
            self.map().zero(whole, end - whole).map_err(|e| Error::io("giving memory back", e))?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let to = self.range("writing to memory", offset, bytes.len())?;
        // SAFETY: `range` checked the place; who looks at a meta page that is stored does it by
        // `MapView::copy`, and nobody reads another page that is written (I2, I3).
        unsafe { words::store(to, bytes) };
        Ok(())
    }

    fn write_all_of(&self, offset: u64, parts: &[&[u8]]) -> Result<()> {
        let mut at = offset;
        for part in parts {
            let to = self.range("writing to memory", at, part.len())?;
            // SAFETY: `range` checked the place; nobody reads a page that is written (I2, I3), and
            // `part` is private memory of the caller.
            unsafe { to.copy_from_nonoverlapping(part.as_ptr(), part.len()) };
            at += part.len() as u64;
        }
        Ok(())
    }

    fn view_mut(&self) -> Option<*mut u8> {
        Some(self.map().base())
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
    fn grows_in_place_inside_a_reservation_and_reads_back() {
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

    /// I1.
    #[test]
    fn an_outgrown_reservation_stays_what_it_is() {
        let memory = MemoryPlatform::new(1 << 20, 4096).unwrap();
        memory.grow(1 << 20).unwrap();
        let mut views = vec![memory.view()];
        for shift in 21..26 {
            memory.write((1 << (shift - 1)) - 100, &[shift; 100]).unwrap();
            memory.grow(1 << shift).unwrap();
            let view = memory.view();
            views.push(view);
            assert_eq!(view.len, 1 << shift);
            // Who has an old view sees what is written through a newer map.
            memory.write(0, &[shift; 8]).unwrap();
            for view in &views {
                assert_eq!(&bytes(*view)[..8], &[shift; 8]);
                assert_eq!(&bytes(*view)[(1 << 20) - 100..1 << 20], &[21; 100]);
            }
        }
        assert_ne!(views[0].base, views[4].base);
        memory.truncate(4096).unwrap();
        memory.grow(1 << 21).unwrap();
        assert!(bytes(memory.view())[4096..].iter().all(|&b| b == 0));
    }

    #[test]
    fn where_there_are_no_addresses_it_is_a_full_disk() {
        let memory = MemoryPlatform::new(1 << 20, 4096).unwrap();
        assert!(matches!(memory.grow(1 << 60), Err(Error::DiskFull { .. })));
        assert!(matches!(memory.grow(u64::MAX), Err(Error::DiskFull { .. })));
        memory.grow(1 << 20).unwrap();
        assert_eq!(memory.len().unwrap(), 1 << 20);
        let memory = MemoryPlatform::new(usize::MAX, 4096).unwrap();
        memory.grow(8192).unwrap();
        memory.write(4096, &[1; 4096]).unwrap();
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

    /// For ThreadSanitizer; and no byte goes astray, wherever words begin.
    #[test]
    fn what_is_written_can_be_looked_at_meanwhile() {
        let memory = MemoryPlatform::new(1 << 20, 4096).unwrap();
        memory.grow(1 << 20).unwrap();
        std::thread::scope(|s| {
            s.spawn(|| (0..2_000).for_each(|i| memory.write(4096, &[i as u8; 4096]).unwrap()));
            s.spawn(|| {
                for _ in 0..2_000 {
                    let copy = memory.view().copy(&memory, 4096, 4096).unwrap();
                    assert!(copy.chunks_exact(8).all(|word| word == [word[0]; 8]));
                }
            });
        });
        for at in 0..20 {
            for len in 0..20 {
                let bytes: Vec<u8> = (1..=len as u8).collect();
                memory.write(8192 + at, &[0; 40]).unwrap();
                memory.write(8192 + at, &bytes).unwrap();
                assert_eq!(memory.view().copy(&memory, 8192 + at, len).unwrap(), bytes);
                assert_eq!(memory.view().copy(&memory, 8192 + at + len, 20).unwrap(), [0; 20]);
            }
        }
        assert!(memory.view().copy(&memory, (1 << 20) - 1, 2).is_none());
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
        let base = memory.shared_base();
        assert_eq!(base as usize % 4096, 0);
        // SAFETY: the platform lives, and the test alone touches its shared memory.
        let shared = unsafe { std::slice::from_raw_parts(base, 10_000) };
        assert!(shared.iter().all(|&b| b == 0));
        assert_eq!(memory.alive().load(Ordering::Relaxed), 1);
    }
}
