//! The seam between the engine and the place where pages live.
//!
//! Three implementations stand behind the same engine: [`mmap`] (a mapped file and its lock file),
//! [`memory`] (anonymous memory, one process) and [`sim`] (a page cache that can lose power, and
//! processes that can die). Page access itself is a plain pointer, never a virtual call: the traits
//! here are only met at growth, at write and at sync.
//!
//! Thread rules: everything here may be called from any thread. `write`, `stored` and `grow` are
//! called by the holder of the writer lock (`write` of a meta page by the holder of the flush
//! lock).

pub mod memory;
pub mod mmap;
#[cfg(any(test, feature = "harness"))]
pub mod sim;

use crate::error::{Error, Result};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the bytes of the data file can be read: valid until the [`Storage`] is dropped, also after
/// later growth has made another, larger map (old maps are kept).
#[derive(Clone, Copy, Debug)]
pub struct MapView {
    /// First byte of page 0.
    pub base: *const u8,
    /// Bytes that may be touched: the smaller of what is mapped and what the file holds.
    pub len: usize,
}

// SAFETY: a view is an address and a length; what may be read through it, and when, is decided by
// the snapshot protocol, not by the thread that holds the view.
unsafe impl Send for MapView {}
// SAFETY: as above.
unsafe impl Sync for MapView {}

impl MapView {
    /// `len` bytes from `offset`, or None if they do not lie inside the view.
    ///
    /// The view must be one of `owner`'s. That the bytes do not change while the slice lives is the
    /// snapshot protocol's promise (I2: a page that a protected snapshot sees is never stored to),
    /// which `Database::open` makes part of its contract.
    pub(crate) fn slice<'a>(
        &self,
        _owner: &'a dyn Platform,
        offset: u64,
        len: u64,
    ) -> Option<&'a [u8]> {
        let end = offset.checked_add(len)?;
        if end > self.len as u64 {
            return None;
        }
        // SAFETY: inside the view, which stays mapped as long as `owner` lives (I1: maps are kept
        // until the storage is dropped); for the stability of the bytes see above.
        Some(unsafe { std::slice::from_raw_parts(self.base.add(offset as usize), len as usize) })
    }

    /// A copy of `len` bytes from `offset`, or None if they do not lie inside the view. For what no
    /// snapshot protects: a meta page, which a flush may store meanwhile. The copy may be of
    /// halves, and is defined for all that: it is made of atomic words, and so is what is stored
    /// there ([`Storage::write`]).
    pub(crate) fn copy(&self, _owner: &dyn Platform, offset: u64, len: u64) -> Option<Vec<u8>> {
        let end = offset.checked_add(len)?;
        if end > self.len as u64 {
            return None;
        }
        let mut bytes = vec![0; len as usize];
        // SAFETY: inside the view, which stays mapped as long as `_owner` lives (I1: maps are kept
        // until the storage is dropped).
        unsafe { words::load(self.base.add(offset as usize), &mut bytes) };
        Some(bytes)
    }

    /// Loads a byte, whatever it is, so that its page is in the page tables.
    pub(crate) fn touch(&self, _owner: &dyn Storage, offset: u64) {
        if offset < self.len as u64 {
            // SAFETY: inside the view, which stays mapped as long as `_owner` lives (I1); somebody
            // may store there meanwhile, so the load is an atomic one.
            std::hint::black_box(unsafe { words::load_byte(self.base.add(offset as usize)) });
        }
    }

    /// Asks the processor to bring `len` bytes from `offset` into its cache. A hint: nothing is
    /// read, no fault is taken.
    #[inline(always)]
    pub(crate) fn prefetch(&self, offset: u64, len: usize) {
        for line in (0..len).step_by(LINE) {
            prefetch_line(self.base.wrapping_add(offset as usize).wrapping_add(line));
        }
    }
}

/// Bytes that two threads may load and store at the same time.
mod words {
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

    const WORD: usize = size_of::<u64>();

    /// Bytes in front of the first whole word, bytes in whole words.
    fn parts(at: *const u8, len: usize) -> (usize, usize) {
        let head = at.align_offset(WORD).min(len);
        (head, (len - head) / WORD * WORD)
    }

    /// One byte.
    ///
    /// # Safety
    /// It can be read, and whoever stores to it at the same time does it by [`store`].
    pub unsafe fn load_byte(from: *const u8) -> u8 {
        // SAFETY: by the contract; a relaxed load is defined on memory that can only be read.
        unsafe { AtomicU8::from_ptr(from.cast_mut()) }.load(Relaxed)
    }

    /// Fills `to` from `from`.
    ///
    /// # Safety
    /// `to.len()` bytes from `from` can be read, and whoever stores to them at the same time does
    /// it by [`store`].
    pub unsafe fn load(from: *const u8, to: &mut [u8]) {
        let (head, whole) = parts(from, to.len());
        for i in (0..head).chain(head + whole..to.len()) {
            // SAFETY: inside the range, by the contract; a relaxed load is defined on memory that
            // can only be read.
            to[i] = unsafe { AtomicU8::from_ptr(from.add(i).cast_mut()) }.load(Relaxed);
        }
        for (i, bytes) in to[head..head + whole].chunks_exact_mut(WORD).enumerate() {
            // SAFETY: as above, and aligned: `head` bytes lead to a multiple of a word.
            let word = unsafe { AtomicU64::from_ptr(from.add(head + i * WORD).cast_mut().cast()) };
            bytes.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
    }

    /// Stores `from` at `to`.
    ///
    /// # Safety
    /// `from.len()` bytes from `to` can be written, and whoever looks at them at the same time does
    /// it by [`load`].
    pub unsafe fn store(to: *mut u8, from: &[u8]) {
        let (head, whole) = parts(to, from.len());
        for i in (0..head).chain(head + whole..from.len()) {
            // SAFETY: inside the range, by the contract.
            unsafe { AtomicU8::from_ptr(to.add(i)) }.store(from[i], Relaxed);
        }
        for (i, bytes) in from[head..head + whole].chunks_exact(WORD).enumerate() {
            let mut word = [0; WORD];
            word.copy_from_slice(bytes);
            // SAFETY: as above, and aligned: `head` bytes lead to a multiple of a word.
            let at = unsafe { AtomicU64::from_ptr(to.add(head + i * WORD).cast()) };
            at.store(u64::from_ne_bytes(word), Relaxed);
        }
    }
}

/// Bytes that a processor fetches at a time.
pub(crate) const LINE: usize = 64;

/// Memory as aligned as one of these.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; LINE]);

/// The same for two lines of a page.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8; 2 * LINE]) {
    prefetch_line(&bytes[0]);
    prefetch_line(&bytes[LINE]);
}

#[inline(always)]
fn prefetch_line(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch accesses no memory in the sense of the language, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The writable map of the direct sink.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WritableView {
    base: *mut u8,
    len: usize,
}

// SAFETY: an address and a length, as `MapView`; it belongs to the one write transaction, whichever
// thread runs it.
unsafe impl Send for WritableView {}
// SAFETY: as above; nothing can be changed through a shared reference.
unsafe impl Sync for WritableView {}

impl WritableView {
    /// The writable map of a storage as it is now, if it was opened for the direct sink.
    pub(crate) fn of(storage: &dyn Storage) -> Option<WritableView> {
        let base = storage.view_mut()?;
        Some(WritableView { base, len: storage.view().len })
    }

    /// `len` bytes from `offset`, or None if they do not lie inside. Only for pages that belong to
    /// the running write transaction alone, which is borrowed as `_owner` and holds the storage.
    pub(crate) fn slice_mut<'a>(
        &self,
        _owner: &'a mut impl Sized,
        offset: u64,
        len: u64,
    ) -> Option<&'a mut [u8]> {
        let end = offset.checked_add(len)?;
        if end > self.len as u64 {
            return None;
        }
        // SAFETY: inside the map (I1); the page is owned by the one write transaction (I3: no
        // snapshot sees a page that was allocated and not yet built), which `_owner` borrows
        // exclusively.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.base.add(offset as usize), len as usize)
        })
    }
}

/// The data file.
pub trait Storage: Send + Sync {
    /// The current view. Cheap (one or two atomic loads); never shrinks except by `truncate`.
    fn view(&self) -> MapView;

    /// Looks at the file again: another process may have grown it. Maps more if needed, and returns
    /// a view of the file as it is now.
    fn refresh(&self) -> Result<MapView>;

    /// Bytes in the file now (a system call on a real file).
    fn len(&self) -> Result<u64>;

    /// Makes the file at least `len` bytes long, with its blocks allocated, so that no later store
    /// or write can meet a full disk; makes the view cover it. A full disk is an error.
    fn grow(&self, len: u64) -> Result<()>;

    /// Cuts the file to `len` bytes. The caller has proved that nobody can look beyond.
    fn truncate(&self, len: u64) -> Result<()>;

    /// Puts `bytes` at `offset` into the page cache, as `pwrite` does; inside the file's length.
    /// Somebody may be looking at them by [`MapView::copy`].
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// The same bytes as `write` of all parts one after another, in one call where possible. Nobody
    /// looks at them meanwhile.
    fn write_all_of(&self, offset: u64, parts: &[&[u8]]) -> Result<()> {
        let mut at = offset;
        for part in parts {
            self.write(at, part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// A writable view at the same place as `view`, for the direct page sink; None if this storage
    /// was not opened for it.
    fn view_mut(&self) -> Option<*mut u8>;

    /// The direct sink tells that it has stored this range through `view_mut` (the simulated disk
    /// takes note; a real map needs no telling).
    fn stored(&self, _offset: u64, _len: u64) {}

    /// Makes everything written or stored in the range durable with one device flush
    /// (`msync(MS_SYNC)`), the file's length included.
    fn sync(&self, offset: u64, len: u64) -> Result<()>;

    /// Hint: this range is going to be synced, the device may begin. Makes nothing durable.
    fn write_back(&self, _offset: u64, _len: u64) {}

    /// Hint: this range will be read soon.
    fn will_need(&self, _offset: u64, _len: u64) {}

    /// Brings this range into memory, and into the page tables of this process, where that makes a
    /// difference. Waits for it.
    fn fetch(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    /// Whether the byte at `offset` can be read without waiting for a device, as far as can be
    /// told.
    fn is_resident(&self, _offset: u64) -> bool {
        true
    }
}

/// Who else may hold a lock byte at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// With other sharers.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock byte of the lock file. Numbers are offsets of the bytes that are locked; nothing is
/// stored there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct LockByte(pub u64);

/// Byte locks with proof of life: the locks of a process vanish when it dies, and not before. One
/// value of this trait belongs to one handle; two handles of one process conflict like two
/// processes.
pub trait Locks: Send + Sync {
    /// Takes the lock if it is free; false if another handle holds it against this mode. Taking a
    /// byte this handle holds already changes its mode in one step.
    fn try_lock(&self, byte: LockByte, mode: LockMode) -> Result<bool>;
    /// Waits for the lock, for ever without a timeout; false when the time is over.
    fn lock(&self, byte: LockByte, mode: LockMode, timeout: Option<Duration>) -> Result<bool>;
    /// Gives the lock back. No error is possible that the caller could act on.
    fn unlock(&self, byte: LockByte);
    /// Whether any *other* handle holds a lock on any byte of `first ..= last` that an exclusive
    /// lock would conflict with; returns the lowest such lock's first byte.
    fn held_elsewhere(&self, first: LockByte, last: LockByte) -> Result<Option<LockByte>>;
}

/// Points of the commit, flush, repair and opening protocols at which the harness may stop a
/// process or look around. Production storages do nothing there.
pub type Step = &'static str;

/// Everything one handle needs from below: the data file, the shared memory beside it, the locks,
/// and whether the process that opened it is still the one that uses it.
pub trait Platform: Send + Sync {
    /// The data file.
    fn storage(&self) -> &dyn Storage;
    /// First byte of the shared memory (`shared::layout::SIZE` bytes, 4,096-aligned, zeroed when
    /// new).
    fn shared_base(&self) -> *mut u8;
    /// Whether the shared memory can only be read: whoever stores there faults, and such a handle
    /// can take shared locks only.
    fn observer(&self) -> bool {
        false
    }
    /// Locks of this handle on the lock file.
    fn locks(&self) -> &dyn Locks;
    /// Locks of this handle on the data file (only the gate byte is used there).
    fn data_locks(&self) -> &dyn Locks;
    /// 1 while the process that opened the handle uses it; 0 in a forked child (or a simulated dead
    /// process). Every begin, end, commit and drop looks at it.
    fn alive(&self) -> &AtomicU64;
    /// Sixteen bytes that change with each boot of the machine.
    fn boot_id(&self) -> [u8; 16];
    /// A random number, not 0.
    fn random(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        crate::os::random_bytes(&mut bytes).map_err(|e| crate::Error::io("get random bytes", e))?;
        Ok(u64::from_le_bytes(bytes).max(1))
    }
    /// Seconds since boot, for people: nothing is decided by them.
    fn seconds(&self) -> u32 {
        crate::os::clock::seconds_since_boot()
    }
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |time| time.as_secs())
    }
    /// Whether a write-back of the data file has failed since this handle was opened, or since the
    /// last call that said so. Every failure counts, whoever else is told of it, also a
    /// [`Storage::sync`] of this handle; whoever is told here has to remember it. True as well
    /// where it cannot be known.
    fn write_back_failed(&self) -> bool {
        false
    }
    /// Whether nobody else may have the data file open, which the gate of its locks keeps exclusive
    /// for that.
    fn exclusive(&self) -> bool {
        false
    }
    /// Where the data file is, if there is one.
    fn data_path(&self) -> Option<&Path> {
        None
    }
    /// Where the lock file is, if there is one.
    fn lock_path(&self) -> Option<&Path> {
        None
    }
    /// Device and inode of the data file.
    fn data_file_id(&self) -> (u64, u64);
    /// Whether the files that are open are still the ones that their paths lead to: asked once the
    /// gate is held, since either may have been replaced until then.
    fn check_in_place(&self) -> Result<()> {
        Ok(())
    }
    /// Makes sure that no store into the shared memory meets a full disk, where that takes to write
    /// it again; `keep`: with the words that stand there, else they may become zeros. The caller is
    /// alone with the database, and has not stored anything yet.
    fn settle_shared(&self, _keep: bool) -> Result<()> {
        Ok(())
    }
    /// Keeps parts of the data file, each with its place, in a file beside it, if that can be done.
    /// One that is there already stays.
    fn keep_beside(&self, _parts: &[(u64, Vec<u8>)]) {}
    /// Device flushes asked for so far, where they are counted.
    fn sync_count(&self) -> u64 {
        0
    }
    /// A point of the protocol has been reached.
    fn step(&self, _step: Step) {}
}

/// The same error with the file of a platform, where it is about that and does not say so yet.
#[cold]
#[inline(never)]
pub fn named(platform: &dyn Platform, e: Error) -> Error {
    let e = match platform.data_path() {
        Some(path) => e.at(path),
        None => e,
    };
    match platform.lock_path() {
        Some(path) => e.about_lock_file(path),
        None => e,
    }
}

/// What every lock file begins with.
pub const LOCK_MAGIC: [u8; 8] = *b"rectolck";

/// A shared platform.
pub type PlatformRef = Arc<dyn Platform>;

/// A platform, and its word of life so that a look at it is one load and no virtual call.
pub struct LivePlatform {
    platform: PlatformRef,
    alive: NonNull<AtomicU64>,
}

// SAFETY: the pointer leads to an atomic that lives as long as the platform, which is Send and
// Sync.
unsafe impl Send for LivePlatform {}
// SAFETY: as above.
unsafe impl Sync for LivePlatform {}

impl LivePlatform {
    pub fn new(platform: PlatformRef) -> LivePlatform {
        let alive = NonNull::from(platform.alive());
        LivePlatform { platform, alive }
    }

    pub fn get(&self) -> &PlatformRef {
        &self.platform
    }

    /// Whether this process is still the one that made the handle.
    #[inline(always)]
    pub fn is_alive(&self) -> bool {
        // SAFETY: a word of the platform, which lives as long as this value.
        unsafe { self.alive.as_ref() }.load(Ordering::Relaxed) != 0
    }

    #[cold]
    #[inline(never)]
    fn forked(&self) -> Error {
        named(&*self.platform, Error::Forked { path: None })
    }

    /// Error in a forked child.
    #[inline(always)]
    pub fn check_alive(&self) -> Result<()> {
        if self.is_alive() { Ok(()) } else { Err(self.forked()) }
    }
}
