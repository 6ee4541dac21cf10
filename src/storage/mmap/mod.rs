//! The real thing: a mapped data file, and beside it a mapped lock file that processes share.
//!
//! Invariants
//! - The data file has one file description for map, growth, writes and sync, so that an I/O error,
//!   which the system tells each description once, is told to the one that asks.
//! - Lock bytes go through descriptions of their own that are never mapped: a forked child keeps
//!   what is mapped alive, and must not keep locks alive.
//! - The lock file is as long as its map and has blocks that are its own and are written in place,
//!   so that no store into it meets the end of the file or a full disk. A snapshot of the file
//!   system that is taken later (btrfs) ends that.
//!
//! Thread rules: any thread.
//!
//! `file` holds the data file, `open` what is refused, `lock_file` how the lock file is found and
//! made.

mod create;
mod file;
#[cfg(feature = "harness")]
pub mod hook;
mod lock_file;
mod open;
mod place;
#[cfg(test)]
mod tests;

pub use file::MmapStorage;

use super::memory::FreeLocks;
use super::{LockByte, LockMode, Locks, Platform, Storage};
use crate::error::{Error, Result};
use crate::os;
pub use create::{create_file, replace_empty_file, sync_name};
pub use lock_file::check_is_database;
use memmap2::MmapRaw;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// In which order the pages of a database are read, as far as is known beforehand: what the kernel
/// is told of the map ([`crate::Builder::access`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Access {
    /// Here and there: a page that is missing is read alone. Scans ask for what comes next
    /// themselves.
    #[default]
    Random,
    /// Whatever the kernel makes of it: it reads some 128 KiB around a page that is missing. That
    /// leaves large folios in the page cache of every process, and on ext4 they make small commits
    /// slow.
    Normal,
    /// From the front to the back, once: the kernel reads far ahead, and gives up first what was
    /// passed.
    Sequential,
}

/// Whether the map asks for pages of 2 MiB ([`crate::Builder::huge_pages`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum HugePages {
    /// Where they pay by default, which is nowhere today: reading gets up to a third faster, but
    /// only what came into the page cache in pieces of 2 MiB, and that takes a program that starts
    /// on a cold file many times as long (docs/performance.md).
    #[default]
    Auto,
    /// Yes: for a large file that stays in memory and is read for hours, best opened with an empty
    /// page cache and [`crate::Database::warm_up`].
    Always,
    /// No.
    Never,
}

/// How a database file is opened.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// Nothing is written to the data file.
    pub read_only: bool,
    /// With `read_only`: no lock file, the caller promises that nobody writes meanwhile. Then any
    /// file system will do.
    pub no_lock: bool,
    /// Nobody else may open it, and there is no lock file.
    pub exclusive: bool,
    /// In which order it is read.
    pub access: Access,
    /// Whether its map asks for huge pages.
    pub huge_pages: HugePages,
    /// Opens files on file systems that are refused otherwise.
    pub allow_network: bool,
    /// Also maps the file for writing, for the direct page sink.
    pub direct: bool,
    /// Growth by up to 1 MiB writes zeros, so that its blocks are written before they are used.
    pub zero_fill_growth: bool,
    /// Addresses to reserve, in bytes; 0: 1 GiB or four times the file, whichever is more.
    pub reserve: u64,
    /// Permission bits of a new data file, from which the umask takes some off; those of its owner
    /// are added.
    pub mode: u32,
    /// Length of the lock file: `shared::layout::SIZE`.
    pub shared_len: usize,
    /// The lock file, where it is not to stand beside the data file (on tmpfs, for instance). All
    /// processes must agree.
    pub lock_file: Option<PathBuf>,
}

impl MapOptions {
    /// For reading and writing, staged, with a lock file of `shared_len` bytes beside the data.
    pub fn new(shared_len: usize) -> MapOptions {
        MapOptions {
            read_only: false,
            no_lock: false,
            exclusive: false,
            access: Access::Random,
            huge_pages: HugePages::Auto,
            allow_network: false,
            direct: false,
            zero_fill_growth: false,
            reserve: 0,
            mode: os::PRIVATE,
            shared_len,
            lock_file: None,
        }
    }

    /// Whether they go together.
    pub fn check(&self) -> Result<()> {
        if self.no_lock && !self.read_only {
            let detail = "only a database opened for reading can do without its lock file";
            return Err(Error::InvalidArgument(detail.into()));
        }
        if self.no_lock && self.exclusive {
            let detail =
                "a database without any lock (no_lock) cannot be kept from others (exclusive)";
            return Err(Error::InvalidArgument(detail.into()));
        }
        Ok(())
    }
}

/// The platform of one handle on a database file.
pub struct MmapPlatform {
    storage: MmapStorage,
    path: PathBuf,
    /// The mapped description of the lock file; none with `no_lock` and `exclusive`.
    lock_file: Option<(File, PathBuf)>,
    shared: MmapRaw,
    locks: HandleLocks,
    data_locks: HandleLocks,
    observer: bool,
    alive: &'static AtomicU64,
    boot: [u8; 16],
    id: (u64, u64),
    /// A file there has its pages, and the errors of their write-back, below: it tells of none.
    on_overlay: bool,
}

impl MmapPlatform {
    /// Where the file is, with no symbolic link on the way.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the database file at `path`, which exists. Its content is not looked at.
    pub fn open(path: &Path, options: &MapOptions) -> Result<MmapPlatform> {
        let path = std::fs::canonicalize(path)
            .map_err(|e| Error::io("finding the database file", e).at(path))?;
        let file = open::data_file(&path, options)?;
        MmapPlatform::from_file(file, &path, options)
    }

    /// The same for a file that is open already (for reading, and for writing unless `read_only`),
    /// such as one just created. `path` says where it is; the file becomes the one description that
    /// everything goes through.
    pub fn from_file(file: File, path: &Path, options: &MapOptions) -> Result<MmapPlatform> {
        options.check()?;
        place::check_data(&file, path, options)?;
        let on_overlay = place::kind(&file, path)? == os::FsKind::Overlay;
        let id = place::identity(&file).map_err(|e| e.at(path))?;
        let beside = open::beside(&file, path, options)?;
        let alive = os::ForkMark::get().map_err(|e| Error::io("marking the process", e))?;
        let boot = os::boot_id().map_err(|e| Error::io("reading the boot id", e))?;
        let storage = MmapStorage::new(file, options).map_err(|e| e.at(path))?;
        Ok(MmapPlatform {
            storage,
            path: path.to_owned(),
            lock_file: beside.file,
            shared: beside.map,
            locks: beside.locks,
            data_locks: beside.data_locks,
            observer: beside.observer,
            alive,
            boot,
            id,
            on_overlay,
        })
    }

    /// Whether the shared memory can only be read: the lock file belongs to somebody else. Whoever
    /// stores there faults.
    #[cfg(test)]
    pub fn is_observer(&self) -> bool {
        self.observer
    }
}

impl Platform for MmapPlatform {
    fn storage(&self) -> &dyn Storage {
        &self.storage
    }
    fn shared_base(&self) -> *mut u8 {
        self.shared.as_mut_ptr()
    }
    fn observer(&self) -> bool {
        self.observer
    }
    fn locks(&self) -> &dyn Locks {
        &self.locks
    }
    fn data_locks(&self) -> &dyn Locks {
        &self.data_locks
    }
    fn alive(&self) -> &AtomicU64 {
        self.alive
    }
    fn boot_id(&self) -> [u8; 16] {
        self.boot
    }
    fn exclusive(&self) -> bool {
        matches!(self.data_locks, HandleLocks::Exclusive(_))
    }
    fn data_path(&self) -> Option<&Path> {
        Some(&self.path)
    }
    fn lock_path(&self) -> Option<&Path> {
        self.lock_file.as_ref().map(|(_, path)| path.as_path())
    }
    fn data_file_id(&self) -> (u64, u64) {
        self.id
    }
    fn settle_shared(&self, keep: bool) -> Result<()> {
        match &self.lock_file {
            Some((file, path)) => lock_file::settle(file, path, self.shared.len() as u64, keep),
            None => Ok(()),
        }
    }
    fn write_back_failed(&self) -> bool {
        match &self.data_locks {
            // A description of its own: what the sync of the mapped one is told it is told too.
            HandleLocks::File(locks) | HandleLocks::Exclusive(locks) => {
                self.on_overlay || os::write_back_failed(locks.locks.file())
            }
            HandleLocks::Free(_) => false,
        }
    }
    fn keep_beside(&self, parts: &[(u64, Vec<u8>)]) {
        // Nothing depends on it.
        let _ = create::keep_beside(self.storage.file(), &self.path, parts);
    }
    fn sync_count(&self) -> u64 {
        self.storage.sync_count()
    }
    #[cfg(feature = "harness")]
    fn step(&self, step: super::Step) {
        hook::reached(step);
    }
    fn check_in_place(&self) -> Result<()> {
        let failed = |e| Error::io("looking for the file again", e);
        if !os::is_same_file(self.storage.file(), &self.path).map_err(failed)? {
            let gone = std::io::Error::other("the file was replaced while it was opened");
            return Err(Error::io("opening the database file", gone).at(&self.path));
        }
        if let Some((file, path)) = &self.lock_file
            && !os::is_same_file(file, path).map_err(failed)?
        {
            let detail = "was replaced while it was opened; open again".into();
            return Err(Error::LockFile { path: path.clone(), detail });
        }
        Ok(())
    }
}

/// Locks of one handle on one file.
enum HandleLocks {
    /// Of the system.
    File(FileLocks),
    /// The same, but every lock keeps everybody else away.
    Exclusive(FileLocks),
    /// Where nobody else is (`no_lock`, `exclusive`).
    Free(FreeLocks),
}

/// Locks of the system, and the file they are on.
struct FileLocks {
    locks: os::OfdLocks,
    path: PathBuf,
}

impl FileLocks {
    fn done<T>(&self, done: std::io::Result<T>) -> Result<T> {
        done.map_err(|e| failed(e).at(&self.path))
    }

    fn try_lock(&self, byte: LockByte, exclusive: bool) -> Result<bool> {
        self.done(self.locks.try_lock(byte.0, exclusive))
    }

    fn lock(&self, byte: LockByte, exclusive: bool, timeout: Option<Duration>) -> Result<bool> {
        self.done(self.locks.lock(byte.0, exclusive, timeout))
    }
}

fn failed(source: std::io::Error) -> Error {
    // An exclusive lock through a description that was opened for reading: the gate of the data
    // file, which whoever comes first takes.
    if source.raw_os_error() == Some(libc::EBADF) {
        let detail = "nobody has the database open, and this user may only read it; let a process that may \
             write open it first, or, if nobody writes, open it without a lock file (no_lock)";
        return Error::LockFile { path: PathBuf::new(), detail: detail.into() };
    }
    Error::io("locking", source)
}

impl Locks for HandleLocks {
    fn try_lock(&self, byte: LockByte, mode: LockMode) -> Result<bool> {
        match self {
            HandleLocks::File(locks) => locks.try_lock(byte, mode == LockMode::Exclusive),
            HandleLocks::Exclusive(locks) => locks.try_lock(byte, true),
            HandleLocks::Free(locks) => locks.try_lock(byte, mode),
        }
    }

    fn lock(&self, byte: LockByte, mode: LockMode, timeout: Option<Duration>) -> Result<bool> {
        match self {
            HandleLocks::File(locks) => locks.lock(byte, mode == LockMode::Exclusive, timeout),
            HandleLocks::Exclusive(locks) => locks.lock(byte, true, timeout),
            HandleLocks::Free(locks) => locks.lock(byte, mode, timeout),
        }
    }

    fn unlock(&self, byte: LockByte) {
        if let HandleLocks::File(locks) | HandleLocks::Exclusive(locks) = self {
            // It fails only for a descriptor that is not open, and then there is no lock either.
            let _ = locks.locks.unlock(byte.0);
        }
    }

    fn held_elsewhere(&self, first: LockByte, last: LockByte) -> Result<Option<LockByte>> {
        match self {
            HandleLocks::File(locks) | HandleLocks::Exclusive(locks) => {
                let held = locks.locks.held_elsewhere(first.0, last.0);
                Ok(locks.done(held)?.map(LockByte))
            }
            HandleLocks::Free(_) => Ok(None),
        }
    }
}
