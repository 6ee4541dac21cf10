//! The data file: one description, and maps of it that reach far beyond its end.
//!
//! Invariants
//! - A map, once made, stays until the storage is dropped: pointers into it remain good. The list
//!   of maps only grows, each map is longer than the one before, and `current` is the last.
//! - `known` is a length that the file has had since the last `truncate` by anybody; a view never
//!   ends behind it. It moves under `resizing` only.
//! - Readers use a read-only map: a stray store faults. With `direct` every map has a writable
//!   twin of the same length.
//! - Every map is advised MADV_RANDOM unless the options want something else: read-ahead makes
//!   large folios, and a store dirties a whole one.
//!
//! Thread rules: any thread; `view` takes no lock.

use super::{Access, HugePages, MapOptions};
use crate::error::{Error, Result};
use crate::os::{self, Advice, Fallocate};
use crate::storage::{MapView, Storage};
use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Maps there can be: each reserves twice as much as the one before where it can.
const MAPS: usize = 64;
/// Addresses reserved at least, where the caller does not say.
const DEFAULT_RESERVE: u64 = 1 << 30;
/// Growth steps up to this are filled with zeros if that is asked for.
const ZERO_FILL: u64 = 1 << 20;
/// Zeros are written a page at a time: larger writes make large folios.
const ZEROS: [u8; 4096] = [0; 4096];

/// One map of the file, and its writable twin.
struct Map {
    read: MmapRaw,
    write: Option<MmapRaw>,
}

/// The data file, mapped.
pub struct MmapStorage {
    file: File,
    read_only: bool,
    direct: bool,
    zero_fill_growth: bool,
    access: Access,
    huge: AtomicBool,
    maps: [OnceLock<Map>; MAPS],
    current: AtomicUsize,
    known: AtomicU64,
    resizing: Mutex<()>,
    syncs: AtomicU64,
}

impl MmapStorage {
    /// Maps the file. It must be open for writing unless the options say `read_only`.
    pub fn new(file: File, options: &MapOptions) -> Result<MmapStorage> {
        let direct = options.direct && !options.read_only && can_be_stored_to(&file);
        let huge = options.huge_pages == HugePages::Always;
        let storage = MmapStorage {
            file,
            read_only: options.read_only,
            direct,
            zero_fill_growth: options.zero_fill_growth,
            access: options.access,
            huge: AtomicBool::new(huge),
            maps: [const { OnceLock::new() }; MAPS],
            current: AtomicUsize::new(0),
            known: AtomicU64::new(0),
            resizing: Mutex::new(()),
            syncs: AtomicU64::new(0),
        };
        let len = storage.file_len()?;
        storage.fill_holes(len)?;
        let wish = match options.reserve {
            0 => DEFAULT_RESERVE.max(len.saturating_mul(4)),
            some => some,
        };
        storage.add_map(0, wish, len)?;
        storage.known.store(len, Ordering::Release);
        Ok(storage)
    }

    /// Syncs so far.
    pub fn sync_count(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Bytes of addresses reserved for the current view.
    #[cfg(test)]
    pub fn reserved(&self) -> usize {
        self.map().read.len()
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn file_len(&self) -> Result<u64> {
        os::file_len(&self.file).map_err(|e| Error::io("asking for the length", e))
    }

    /// A file that was copied or restored may have holes, and a store into one meets a full disk as
    /// a signal. Writers fill them before they start. Where only `write` is used, which gives an
    /// error instead, a disk that has no room for it is no reason to refuse the file.
    fn fill_holes(&self, len: u64) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        let failed = |what| move |e| Error::io(what, e);
        if self.direct {
            // Whatever the count of its blocks says: file systems count others too. Where it is not
            // supported, nothing can be promised.
            let filled = os::fallocate(&self.file, 0, len);
            return filled.map(drop).map_err(failed("allocating the blocks of the file"));
        }
        let metadata = self.file.metadata().map_err(failed("asking about the file"))?;
        let missing = len.saturating_sub(metadata.blocks() * 512);
        // Not the last blocks of the disk for what may never be used: some file systems keep what
        // they have allocated when there is no room for the rest.
        if missing > 0 && os::room(&self.file).is_ok_and(|room| missing <= room / 2) {
            let _ = os::fallocate(&self.file, 0, len);
        }
        Ok(())
    }

    fn map(&self) -> &Map {
        let current = self.current.load(Ordering::Acquire);
        // Filled before `current` ever named it.
        self.maps[current].get().expect("the current map exists")
    }

    /// Reserves `wish` bytes, or as much as there is, but at least `need`, as map number `index`.
    fn add_map(&self, index: usize, wish: u64, need: u64) -> Result<()> {
        let page = ZEROS.len() as u64;
        let need = need.max(page);
        let mut len = wish.max(need).min(isize::MAX as u64 / 2).next_multiple_of(page);
        let slot =
            self.maps.get(index).ok_or_else(|| no_room(io::ErrorKind::OutOfMemory.into()))?;
        let map = loop {
            match self.map_bytes(len as usize) {
                Ok(map) => break map,
                Err(_) if len / 2 >= need => len = (len / 2).next_multiple_of(page),
                Err(_) if len > need.next_multiple_of(page) => len = need.next_multiple_of(page),
                Err(e) => return Err(no_room(e)),
            }
        };
        // Under `resizing`, or before anybody else knows the storage: the slot is empty.
        if slot.set(map).is_err() {
            return Err(no_room(io::ErrorKind::AlreadyExists.into()));
        }
        self.current.store(index, Ordering::Release);
        Ok(())
    }

    fn map_bytes(&self, len: usize) -> io::Result<Map> {
        let mut options = MmapOptions::new();
        options.len(len).no_reserve_swap();
        let read = options.map_raw_read_only(&self.file)?;
        self.advise(&read);
        let write = if self.direct { Some(options.map_raw(&self.file)?) } else { None };
        write.as_ref().inspect(|map| self.advise(map));
        Ok(Map { read, write })
    }

    fn is_huge(&self) -> bool {
        self.huge.load(Ordering::Relaxed)
    }

    /// Hints: a kernel without them still works.
    fn advise(&self, map: &MmapRaw) {
        let advise = |advice| os::advise(map.as_ptr(), map.len(), advice);
        let huge = self.is_huge() && advise(Advice::Huge).is_ok();
        self.huge.store(huge, Ordering::Relaxed);
        let _ = match self.access {
            // Together with the hint above the kernel would read nothing ahead.
            Access::Random if huge => Ok(()),
            Access::Random => advise(Advice::Random),
            Access::Sequential => advise(Advice::Sequential),
            Access::Normal => Ok(()),
        };
    }

    /// Makes the view end where the file ends. Under `resizing`.
    fn follow(&self) -> Result<()> {
        let len = self.file_len()?;
        if len > self.map().read.len() as u64 {
            let wish = (self.map().read.len() as u64).saturating_mul(2).max(len.saturating_mul(2));
            self.add_map(self.current.load(Ordering::Relaxed) + 1, wish, len)?;
        }
        self.known.store(len, Ordering::Release);
        Ok(())
    }

    /// Allocates the blocks from `from` to `to` and makes the file that long.
    fn extend(&self, from: u64, to: u64) -> io::Result<()> {
        let zero_fill = self.zero_fill_growth && to - from <= ZERO_FILL;
        // First as one extent, also if zeros follow.
        match os::fallocate(&self.file, from, to - from)? {
            Fallocate::Done if !zero_fill => Ok(()),
            _ => write_zeros(&self.file, from, to),
        }
    }

    fn writable(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly { path: None }) } else { Ok(()) }
    }

    /// Refuses a write that would make the file longer.
    fn check_inside(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len);
        let inside = |known: u64| end.is_some_and(|end| end <= known);
        if inside(self.known.load(Ordering::Acquire)) || inside(self.refresh()?.len as u64) {
            return Ok(());
        }
        Err(Error::io("writing behind the end of the file", io::ErrorKind::InvalidInput.into()))
    }
}

/// Whether the file has blocks of its own that are written in place. If not, a store through a map
/// needs a new block, and meets a full disk as a signal. A copy on XFS that shares its blocks gets
/// its own; on btrfs, where a snapshot shares them, nothing does.
fn can_be_stored_to(file: &File) -> bool {
    if os::may_write_elsewhere(file) {
        return os::is_nocow(file).unwrap_or(false)
            && os::shares_blocks(file).is_ok_and(|yes| !yes);
    }
    os::file_len(file).and_then(|len| os::unshare(file, 0, len)).is_ok()
}

fn no_room(source: io::Error) -> Error {
    Error::io("mapping the database file", source)
}

/// Whether a file has as many blocks as so many bytes need: then it has no holes there.
pub(super) fn has_blocks(metadata: &Metadata, len: u64) -> bool {
    metadata.blocks() * 512 >= len
}

/// Fills a range with zeros, whatever its blocks are.
pub(super) fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let room = ZEROS.len() as u64 - at % ZEROS.len() as u64;
        let some = room.min(to - at);
        os::pwrite_all(file, at, &ZEROS[..some as usize])?;
        at += some;
    }
    Ok(())
}

impl Storage for MmapStorage {
    fn view(&self) -> MapView {
        // The length first: a map that is newer than it is never too short.
        let known = self.known.load(Ordering::Acquire);
        let map = &self.map().read;
        MapView { base: map.as_ptr(), len: map.len().min(known as usize) }
    }

    fn refresh(&self) -> Result<MapView> {
        let _alone = self.resizing.lock();
        self.follow()?;
        Ok(self.view())
    }

    fn len(&self) -> Result<u64> {
        self.file_len()
    }

    fn grow(&self, len: u64) -> Result<()> {
        self.writable()?;
        let _alone = self.resizing.lock();
        let from = self.file_len()?;
        let extended = if len > from { self.extend(from, len) } else { Ok(()) };
        // Also after a failure: it may have come half the way.
        self.follow()?;
        extended.map_err(|e| Error::io("growing the database file", e))
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.writable()?;
        let _alone = self.resizing.lock();
        if len >= self.file_len()? {
            return self.follow();
        }
        // Nobody is given a view of what is about to go.
        self.known.fetch_min(len, Ordering::AcqRel);
        let cut = self.file.set_len(len);
        self.follow()?;
        cut.map_err(|e| Error::io("cutting the database file", e))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.writable()?;
        self.check_inside(offset, bytes.len() as u64)?;
        os::pwrite_all(&self.file, offset, bytes)
            .map_err(|e| Error::io("writing to the database file", e))
    }

    fn write_all_of(&self, offset: u64, parts: &[&[u8]]) -> Result<()> {
        self.writable()?;
        self.check_inside(offset, parts.iter().map(|part| part.len() as u64).sum())?;
        os::pwritev_all(&self.file, offset, parts)
            .map_err(|e| Error::io("writing to the database file", e))
    }

    fn view_mut(&self) -> Option<*mut u8> {
        self.map().write.as_ref().map(MmapRaw::as_mut_ptr)
    }

    fn sync(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        // At least a byte: a sync of nothing would not even sync the length.
        let end = offset.saturating_add(len.max(1));
        if end > self.map().read.len() as u64 {
            self.refresh()?;
        }
        let map = &self.map().read;
        let end = end.min(map.len() as u64);
        let start = offset.min(end - 1);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        // A read-only map of a file opened for writing syncs like any other: the kernel syncs the
        // range of the file.
        map.flush_range(start as usize, (end - start) as usize)
            .map_err(|e| Error::io("syncing the database file", e))
    }

    fn write_back(&self, offset: u64, len: u64) {
        // A hint: the sync that follows writes what is left, and is told of every error.
        let _ = os::write_back(&self.file, offset, len);
    }

    fn will_need(&self, offset: u64, len: u64) {
        let view = self.view();
        let end = offset.saturating_add(len).min(view.len as u64);
        // What it brings are small folios.
        if offset < end && !self.is_huge() {
            let at = view.base.wrapping_add(offset as usize);
            // A hint: nothing depends on it.
            let _ = os::advise(at, (end - offset) as usize, Advice::WillNeed);
        }
    }

    fn fetch(&self, offset: u64, len: u64) -> Result<()> {
        let view = self.view();
        let end = offset.saturating_add(len).min(view.len as u64);
        for at in (offset..end).step_by(ZEROS.len()) {
            // By a read first, which gives an error where the device does: a load raises a signal.
            // But a read brings small folios.
            if !self.is_huge() {
                let read = self.file.read_at(&mut [0], at);
                read.map_err(|e| Error::io("reading the database file", e))?;
            }
            view.touch(self, at);
        }
        Ok(())
    }

    fn is_resident(&self, offset: u64) -> bool {
        let view = self.view();
        offset >= view.len as u64 || os::is_resident(view.base.wrapping_add(offset as usize))
    }
}
