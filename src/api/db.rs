//! The database handle and how it is opened.

use super::batch::{Batches, Begin};
use super::checking::{TRIES_WITHOUT_LOCK, pages_held_live};
use super::readers::lines_at_work;
use super::transaction::{ReadTxn, WriteTxn};
use super::watch::Watch;
use crate::commit::durability::Durability;
use crate::commit::engine::{Engine, EngineOptions};
use crate::commit::open::initial_file;
use crate::error::{Error, Result};
use crate::format::{meta, node};
use crate::inspect;
use crate::observe::slow_readers::SlowReaders;
use crate::observe::{Counters, Reader, ReaderLimit};
use crate::pager::Sink;
use crate::pager::read_checks::ReadChecksums;
use crate::shared::layout;
use crate::storage::mmap::{self, Access, HugePages};
use crate::storage::{PlatformRef, memory::MemoryPlatform, named};
use crate::txn::write::Writer;
use crate::types::TxnId;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// An open database. Cheap to clone; every clone is the same handle. Share it between threads, or
/// open it again: also several times in one process, and in any number of processes.
///
/// The handle closes with its last clone and the last transaction that was begun on it. If it has
/// made deferred commits that are not durable yet, closing flushes them; but it waits for no write
/// transaction, and no longer than a second for a flush that somebody else leads. What it cannot
/// flush stays visible, and the next flush takes it along; [`Database::flush`] before closing is
/// the way to know. Commits that are on their way ([`WriteTxn::commit_async`]) are waited for in
/// the same way with the last clone; what is not durable by then its thread goes on with.
///
/// After `fork` the child must not use it (every call says [`Error::Forked`]); it opens its own.
#[derive(Clone)]
pub struct Database {
    /// Dropped first: the last clone waits for what it has left to its threads, and closes then.
    pub(super) watch: Arc<Watch>,
    pub(super) engine: Arc<Engine>,
    path: Option<PathBuf>,
    durability: Durability,
    batches: Arc<Batches>,
}

/// How to open a database.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// let dir = tempfile::tempdir().unwrap();
/// // SAFETY: nothing but recto changes the file while it is open.
/// let db = unsafe {
///     recto::Database::builder().page_size(16384).open(dir.path().join("my.recto"))?
/// };
/// # drop(db); Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    engine: EngineOptions,
    platform: mmap::MapOptions,
    create: bool,
    page_size: usize,
    durability: Durability,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            engine: EngineOptions::default(),
            platform: mmap::MapOptions::new(layout::SIZE),
            create: true,
            page_size: 4096,
            durability: Durability::Durable,
        }
    }
}

impl Builder {
    /// No write transactions; the data file is opened for reading only. The lock file is written if
    /// permissions allow, so that a reader is seen; otherwise snapshots are pinned by byte locks,
    /// at the cost of two system calls a transaction. Default: false.
    pub fn read_only(&mut self, yes: bool) -> &mut Self {
        self.engine.read_only = yes;
        self.platform.read_only = yes;
        self
    }

    /// For a read-only database where nobody writes at all (a read-only file system, an image of a
    /// container): no lock file is used, and any file system will do. Beside a writer, recto itself
    /// too, reading is undefined behaviour or raises SIGBUS: pages that such a reader sees are used
    /// again, and cut off. That nobody writes is part of what the caller of [`Builder::open`]
    /// promises. Default: false.
    pub fn no_lock(&mut self, yes: bool) -> &mut Self {
        self.platform.no_lock = yes;
        self
    }

    /// This handle alone: nobody else may open the database while it is open, in this process or
    /// another. There is no lock file, and what processes share is in memory of this one: for a
    /// directory in which no second file may stand, and for programs that want to be sure that they
    /// are alone. It is not faster. Threads share the handle as usual.
    ///
    /// `open` gives [`Error::InUse`] where somebody has the database open, and everybody else gets
    /// it meanwhile; each after it has waited for [`Builder::open_timeout`]. But not who opens it
    /// without a lock ([`Builder::no_lock`]): that must not be.
    ///
    /// When the process is killed its lock goes with it, and the next opening finds what is
    /// durable, as after a loss of power. Deferred commits that nobody has flushed are gone then,
    /// where a lock file would have kept them; and so are those that only the lock file of an
    /// earlier session knows, if all who had it open were killed before they could flush. So open
    /// it once without this, and close it, before the first time. [`Error::InvalidArgument`]
    /// together with `no_lock`. Default: false.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// let mut builder = recto::Database::builder();
    /// builder.exclusive(true).open_timeout(std::time::Duration::ZERO);
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { builder.open(&path)? };
    /// // SAFETY: as above.
    /// let other = unsafe { builder.open(&path) };
    /// assert_eq!(other.unwrap_err().kind(), recto::ErrorKind::InUse);
    /// # drop(db); Ok(()) }
    /// ```
    pub fn exclusive(&mut self, yes: bool) -> &mut Self {
        self.platform.exclusive = yes;
        self
    }

    /// Whether pages are compared with their checksums (crc32) when they are read: in read and
    /// write transactions, values on pages of their own as a whole. A page that does not fit is
    /// [`Error::Corrupt`] with its number, where [`ReadChecksums::Off`] finds damage only if the
    /// structure of the page shows it, or with [`Database::check`]; and a write transaction copies
    /// it with a checksum that is right again. Default: off, at no cost.
    ///
    /// [`ReadChecksums::Always`] costs 0.1 us for each page of 4 KiB on the way where it is in the
    /// page cache, so a `get` takes 1.8 times as long (docs/performance.md). A range compares a
    /// leaf when it comes to it, an [`OwnedRange`](crate::OwnedRange) and a cursor at each step.
    /// [`ReadChecksums::FirstTouch`] costs that once for each page, then some nanoseconds, and up
    /// to four bytes of memory for each page of the file.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::ReadChecksums;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let mut builder = recto::Database::builder();
    /// builder.read_checksums(ReadChecksums::FirstTouch);
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { builder.open(dir.path().join("my.recto"))? };
    /// # db.read()?.tables()?; Ok(()) }
    /// ```
    pub fn read_checksums(&mut self, when: ReadChecksums) -> &mut Self {
        self.engine.read_checksums = when;
        self
    }

    /// What the kernel is told of the order in which pages will be read. It matters where they have
    /// to come from the device, and for how the page cache of all processes looks afterwards.
    /// Default: [`Access::Random`], with which scans and `get_many` ask themselves for what comes
    /// next; docs/performance.md has figures.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// # // SAFETY: nothing but recto changes the file while it is open.
    /// # unsafe { recto::Database::open(&path)? };
    /// // A program that reads everything once, and writes nothing.
    /// let mut builder = recto::Database::builder();
    /// builder.read_only(true).access(recto::Access::Sequential);
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { builder.open(&path)? };
    /// # db.read()?.tables()?; Ok(()) }
    /// ```
    pub fn access(&mut self, access: Access) -> &mut Self {
        self.platform.access = access;
        self
    }

    /// Whether the map asks for pages of 2 MiB (`MADV_HUGEPAGE`): fewer misses in the tables of the
    /// processor. What is missing in the page cache is then read with 2 MiB around it, and stays
    /// there as one piece for all processes: on ext4 small commits take four times the processor's
    /// time then, on XFS they do not. What is in the page cache already stays as it is. It takes a
    /// kernel with large folios on the file system in question (Linux 6.16 for ext4; XFS has had
    /// them for longer). Default: [`HugePages::Auto`], which does not ask; docs/performance.md has
    /// the measurements behind that.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let mut builder = recto::Database::builder();
    /// builder.huge_pages(recto::HugePages::Always);
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { builder.open(dir.path().join("my.recto"))? };
    /// # db.read()?.tables()?; Ok(()) }
    /// ```
    pub fn huge_pages(&mut self, huge_pages: HugePages) -> &mut Self {
        self.platform.huge_pages = huge_pages;
        self
    }

    /// Whether a missing file is made. A file without a byte counts as missing: a new one takes its
    /// place, as a whole, with its users and permissions. Default: true, but never for a read-only
    /// database.
    pub fn create(&mut self, yes: bool) -> &mut Self {
        self.create = yes;
        self
    }

    /// Permission bits of a new data file, for reading and writing, as `open` takes them: the umask
    /// takes some off. The owner may read and write it in any case. The lock file gets those of the
    /// data file. Default: 0o600.
    ///
    /// ```
    /// # use std::os::unix::fs::PermissionsExt;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("shared.recto");
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { recto::Database::builder().mode(0o640).open(&path)? };
    /// # let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
    /// # assert!(mode == 0o640 || mode == 0o600, "{mode:o}");
    /// # Ok(()) }
    /// ```
    pub fn mode(&mut self, bits: u32) -> &mut Self {
        self.platform.mode = bits;
        self
    }

    /// Bytes of a page, for a new database: a power of two from 4,096 to 65,536. Default: 4,096.
    /// An existing database has the one it was made with.
    pub fn page_size(&mut self, bytes: usize) -> &mut Self {
        self.page_size = bytes;
        self
    }

    /// Durability of commits that do not say. Default: [`Durability::Durable`].
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.durability = durability;
        self
    }

    /// How dirty pages get into the file. Default: [`Sink::Staged`]; docs/performance.md has the
    /// measurements behind it. A file on btrfs that is not written in place (a copy of one made by
    /// recto) is written by the staged sink, whatever is asked for.
    pub fn sink(&mut self, sink: Sink) -> &mut Self {
        self.engine.pages.sink = sink;
        self.platform.direct = sink == Sink::Direct;
        self
    }

    /// Bytes of dirty pages that a staged write transaction keeps in memory before it writes some
    /// of them to the file. Default: 64 MiB.
    pub fn stage_bytes(&mut self, bytes: usize) -> &mut Self {
        self.engine.pages.stage_bytes = bytes;
        self
    }

    /// Address space reserved for the file to grow into. When it is outgrown another, larger map is
    /// made and open transactions keep the old one; so this is never a limit. Default: 1 GiB or
    /// four times the file, whichever is more; 64 MiB in memory.
    pub fn reserve(&mut self, bytes: usize) -> &mut Self {
        self.platform.reserve = bytes as u64;
        self
    }

    /// Where the lock file stands, if not beside the data file: on tmpfs it takes no page fault
    /// after its write-back and does not block while the data's file system is frozen. All
    /// processes must agree; one that does not is refused while the others have the database open.
    /// If they take turns, each starts from what is durable: it never takes back what the other has
    /// made durable, but deferred commits that only the other lock file knows are lost. It also
    /// keeps a snapshot of the file system (btrfs) from turning a full disk into SIGBUS
    /// (docs/design.md, "Full disks").
    pub fn lock_file(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.platform.lock_file = Some(path.into());
        self
    }

    /// Opens databases on network file systems too. Their maps are not coherent between hosts and
    /// their locks may not hold: only for one host at a time. Default: false.
    pub fn allow_network(&mut self, yes: bool) -> &mut Self {
        self.platform.allow_network = yes;
        self
    }

    /// How long `open` waits for another process that is just opening, has locked the empty file
    /// that is to become a database, or has the database for itself ([`Builder::exclusive`]).
    /// Default: ten seconds.
    pub fn open_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.engine.open_timeout = timeout;
        self
    }

    /// Calls `callback` for each reader of the file, of any process, that is above `limit`: one
    /// that makes the file grow, since it can see pages that could be used again.
    ///
    /// It is called at the end of a commit of this handle, on the thread that commits, when the
    /// commit has succeeded and all locks are given back; for each reader once, until it reads
    /// another snapshot. A handle looks at its first commit, and then once a second at most, so
    /// where nobody commits nobody is told. A look costs a few system calls; with a limit of pages,
    /// or when there is somebody to tell of, it also reads the list of free pages.
    ///
    /// The callback delays its commit, and who shares it ([`Database::batch`]); other threads
    /// commit meanwhile, and do not look. It may use the database, and end the process that
    /// [`Reader::slot`] names, which has that number here if it is in the same container. A panic
    /// in it ends there, and the commit does not know of it.
    ///
    /// ```
    /// use recto::{Database, ReaderLimit};
    /// use std::time::Duration;
    /// # fn main() -> recto::Result<()> {
    /// let limit = ReaderLimit::new().pages(10_000).outdated(Duration::from_secs(600));
    /// let db = Database::builder()
    ///     .on_slow_reader(limit, |reader| eprintln!("the file grows: {reader}"))
    ///     .in_memory()?;
    /// # drop(db); Ok(()) }
    /// ```
    pub fn on_slow_reader(
        &mut self,
        limit: ReaderLimit,
        callback: impl Fn(&Reader) + Send + Sync + 'static,
    ) -> &mut Self {
        self.engine.slow_readers = Some(SlowReaders::new(limit, callback));
        self
    }

    #[cfg(feature = "harness")]
    #[doc(hidden)]
    pub fn manifest_limit(&mut self, entries: usize) -> &mut Self {
        self.engine.manifest_limit = entries;
        self
    }

    #[cfg(feature = "harness")]
    #[doc(hidden)]
    pub fn manifest_bytes(&mut self, bytes: u64) -> &mut Self {
        self.engine.manifest_bytes = bytes.min(meta::MANIFEST_BYTES);
        self
    }

    #[cfg(feature = "harness")]
    #[doc(hidden)]
    pub fn free_limit(&mut self, entries: usize) -> &mut Self {
        self.engine.free_limit = entries.max(2);
        self
    }

    #[cfg(feature = "harness")]
    #[doc(hidden)]
    pub fn list_limit(&mut self, records: usize) -> &mut Self {
        self.engine.list_limit = records.clamp(1, layout::RECORDS);
        self
    }

    #[cfg(feature = "harness")]
    #[doc(hidden)]
    pub fn unproved_limit(&mut self, bytes: u64) -> &mut Self {
        self.engine.unproved_limit = bytes;
        self
    }

    #[cfg(feature = "harness")]
    #[doc(hidden)]
    pub fn ids_ahead(&mut self, ids: u64) -> &mut Self {
        self.engine.ids_ahead = ids;
        self
    }

    /// Most bytes that this handle lets the file grow to: an operation that needs more gives
    /// [`Error::DatabaseFull`](crate::Error::DatabaseFull), and its transaction can only be
    /// dropped, or rolled back to a savepoint. Deleting takes pages too, as each change does,
    /// before it gives some back: leave room, or open with more. A file that is longer already
    /// stays so. Not stored; other handles may have another limit. Default: none.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::builder().max_bytes(1 << 20).in_memory()?;
    /// let mut txn = db.write()?;
    /// let error = txn.open_table("main")?.put(b"large", &vec![0; 2 << 20]).unwrap_err();
    /// assert_eq!(error.kind(), recto::ErrorKind::DatabaseFull);
    /// # Ok(()) }
    /// ```
    pub fn max_bytes(&mut self, bytes: u64) -> &mut Self {
        self.engine.pages.max_bytes = bytes;
        self
    }

    #[cfg(feature = "harness")]
    #[doc(hidden)]
    pub fn growth_step(&mut self, bytes: u64) -> &mut Self {
        self.engine.pages.growth_step = bytes;
        self
    }

    /// Opens the database at `path`; its lock file is `path` with `-lock` appended. Reads two meta
    /// pages and the pages that the newest one lists (at most about 180 entries and 4 MiB, and as
    /// much of the other one where a page of it is damaged), however large the file is and whatever
    /// happened to it before; also those of deferred commits that no process is left to vouch for,
    /// at most 32,768 and 256 MiB.
    ///
    /// Errors: [`Error::NotADatabase`], [`Error::Version`], [`Error::Corrupt`] about the file;
    /// [`Error::LockFile`], [`Error::FileSystem`] about where it lies; [`Error::InUse`] where
    /// somebody has it alone ([`Builder::exclusive`]); [`Error::Io`].
    ///
    /// # Safety
    /// The file is mapped into memory and values are handed out as slices of the map. Nothing but
    /// recto may change or truncate the data file or the lock file while it is open, in this or any
    /// other process; otherwise the slices change under their readers, which is undefined
    /// behaviour, or reading them raises SIGBUS. With [`Builder::no_lock`] recto must not either.
    pub unsafe fn open(&self, path: impl AsRef<Path>) -> Result<Database> {
        let path = path.as_ref();
        self.open_file(path).map_err(|e| e.at(path))
    }

    fn open_file(&self, path: &Path) -> Result<Database> {
        self.platform.check()?;
        if self.create && !self.engine.read_only {
            self.create_file(path)?;
        }
        mmap::check_is_database(path)?;
        let platform = mmap::MmapPlatform::open(path, &self.platform)?;
        // Through a symbolic link it has another name, in another directory.
        let data_file = platform.path().to_owned();
        let platform: PlatformRef = Arc::new(platform);
        let engine = Engine::open(Arc::clone(&platform), self.engine.clone())
            .map_err(|e| named(&*platform, e))?;
        if engine.is_new() && !self.engine.read_only {
            mmap::sync_name(&data_file)?;
        }
        Ok(self.handle(engine, Some(path.to_owned())))
    }

    /// Makes the file under a temporary name and links it into place when it is complete and
    /// durable, without replacing one that somebody else made meanwhile, or one that has content.
    fn create_file(&self, path: &Path) -> Result<()> {
        let is_there = match path.metadata() {
            Ok(meta) if meta.is_file() && meta.len() == 0 => true,
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
            Err(e) => return Err(Error::io("look for", e).at(path)),
        };
        self.check_page_size()?;
        let content = initial_file(self.page_size, new_uuid()?);
        let timeout = self.engine.open_timeout;
        match is_there {
            true => mmap::replace_empty_file(path, &content, &self.platform, timeout),
            false => mmap::create_file(path, &content, &self.platform),
        }
    }

    fn check_page_size(&self) -> Result<()> {
        if meta::valid_page_size(self.page_size) {
            return Ok(());
        }
        let detail = format!("page size {} is no power of two from 4096 to 65536", self.page_size);
        Err(Error::InvalidArgument(detail))
    }

    /// A database in memory, gone when its last handle and transaction are.
    ///
    /// Errors: [`Error::InvalidArgument`] for a size of pages that cannot be; [`Error::Io`] where
    /// there is no memory.
    pub fn in_memory(&self) -> Result<Database> {
        self.check_page_size()?;
        let platform: PlatformRef =
            Arc::new(MemoryPlatform::new(self.platform.reserve as usize, layout::SIZE)?);
        let content = initial_file(self.page_size, new_uuid()?);
        platform.storage().grow(content.len() as u64)?;
        platform.storage().write(0, &content)?;
        self.on_platform(platform)
    }

    /// On a platform that holds a database already.
    pub(crate) fn on_platform(&self, platform: PlatformRef) -> Result<Database> {
        let engine = Engine::open(platform, self.engine.clone())?;
        Ok(self.handle(engine, None))
    }

    fn handle(&self, engine: Arc<Engine>, path: Option<PathBuf>) -> Database {
        let watch = Arc::new(Watch::new(Arc::clone(&engine)));
        let durability = self.durability;
        Database { watch, engine, path, durability, batches: Arc::default() }
    }
}

fn new_uuid() -> Result<[u8; 16]> {
    let mut uuid = [0; 16];
    crate::os::random_bytes(&mut uuid).map_err(|e| Error::io("get random bytes", e))?;
    Ok(uuid)
}

impl Database {
    /// Opens the database at `path`, or makes it, with the defaults of [`Builder`].
    ///
    /// # Safety
    /// As [`Builder::open`].
    pub unsafe fn open(path: impl AsRef<Path>) -> Result<Database> {
        // SAFETY: passed on to the caller.
        unsafe { Database::builder().open(path) }
    }

    /// Options, then open.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A new, empty database in memory: same engine, no file, one process.
    pub fn in_memory() -> Result<Database> {
        Database::builder().in_memory()
    }

    /// Begins to read the newest visible snapshot. No system call, no lock, never waits; but the
    /// first read after the file has become longer than this handle has mapped looks at it again,
    /// which takes a few system calls, and the lock under which this process makes it longer.
    /// [`Error::ReadersFull`] when all 8,192 slots of the lock file are taken by live readers, or
    /// kept for their next ones by open handles, up to 8 by each.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let before = db.read()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?;
    /// assert!(before.table_opt("main")?.is_none()); // what it sees stays as it was
    /// assert!(db.read()?.table("main")?.contains_key(b"key")?);
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn read(&self) -> Result<ReadTxn> {
        Ok(ReadTxn::new(self.engine.begin_read()?))
    }

    /// Begins the write transaction, after waiting for whoever holds it. Repairs first if a flush
    /// failed, or a process died in one.
    ///
    /// Errors: [`Error::WriterOnThisThread`] if the thread has the write transaction of the file
    /// already, through this handle or another, instead of waiting for ever for oneself. (A
    /// transaction that was sent to another thread counts as its sender's until something is
    /// changed in it there: so this error comes after one second. One that was received belongs to
    /// the sender too, until it is used: then this call waits for ever. A thread that has only read
    /// in the transaction of another one counts as having it until that one changes something or
    /// ends it, since it may have been sent to it.) [`Error::ReadOnly`]; [`Error::Io`] or
    /// [`Error::DiskFull`] if the repair fails; [`Error::Corrupt`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?;
    /// drop(db.write()?); // changes nothing
    /// # Ok(()) }
    /// ```
    pub fn write(&self) -> Result<WriteTxn> {
        self.begin_write(None)
    }

    /// The write transaction if nobody holds it; None, at once, if somebody does, be it this thread
    /// itself, or if a repair that is needed would have to wait for somebody else's flush. Other
    /// errors as [`Database::write`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let txn = db.write()?;
    /// let other = db.clone();
    /// let waits = std::thread::spawn(move || other.try_write().map(|txn| txn.is_none()));
    /// assert!(waits.join().unwrap()?);
    /// drop(txn);
    /// assert!(db.try_write()?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn try_write(&self) -> Result<Option<WriteTxn>> {
        match self.begin_write(Some(Duration::ZERO)) {
            Err(Error::Busy) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Begins the write transaction, or gives [`Error::Busy`] when `timeout` is over and another
    /// writer, this thread's own transaction, or a flush that a repair has to wait for, has not
    /// ended. Other errors as [`Database::write`].
    pub fn write_timeout(&self, timeout: Duration) -> Result<WriteTxn> {
        self.begin_write(Some(timeout))
    }

    fn begin_write(&self, timeout: Option<Duration>) -> Result<WriteTxn> {
        Ok(WriteTxn::new(Writer::begin(&self.engine, timeout, self.durability)?))
    }

    /// Runs a closure in a write transaction and commits that, together with the closures that
    /// other threads hand to clones of this handle meanwhile: one commit for all of them, which is
    /// less work than one for each where many threads write little. One of the threads leads and
    /// runs the closures of the others too, one after the other; what comes while it commits is run
    /// together next. Alone it costs what `write` and `commit` cost. The commit is as durable as
    /// the handle says, whatever a closure sets.
    ///
    /// Closures see what those before them have done, and may run on any of the threads, and more
    /// than once: if one of them fails or panics, the transaction is begun again without it, and it
    /// is run alone, on its own thread, for its result. So what a closure does beside the
    /// transaction it may do several times; the result is that of the run that was committed. The
    /// closure itself ends on its own thread, before this call returns; savepoints that it has made
    /// and not released end with each run.
    ///
    /// Errors: those of the closure, of [`Database::write`], and of [`WriteTxn::commit`];
    /// [`Error::OutcomeUnknown`] comes to all whose closures were in that commit. Inside of a
    /// closure, or where the thread has the write transaction already,
    /// [`Error::WriterOnThisThread`], as from `write`. [`Error::InvalidArgument`] if the closure
    /// leaves another transaction in the place of the one it was given (`std::mem::replace`).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::in_memory()?;
    /// let threads: Vec<_> = (0..8u8)
    ///     .map(|n| {
    ///         let db = db.clone();
    ///         std::thread::spawn(move || {
    ///             db.batch(move |txn| txn.open_table("main")?.put(&[n], b"value"))
    ///         })
    ///     })
    ///     .collect();
    /// for thread in threads {
    ///     assert!(!thread.join().unwrap()?); // no key was there before
    /// }
    /// assert_eq!(db.read()?.table("main")?.len(), 8);
    /// # Ok(()) }
    /// ```
    pub fn batch<T: Send + 'static>(
        &self,
        f: impl FnMut(&mut WriteTxn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // Who waited for somebody that waits for it would wait for ever.
        self.engine.check_not_writer()?;
        let begin = Begin { txn: &|| self.write(), durability: self.durability };
        self.batches.run(&begin, f)
    }

    /// Waits until a transaction newer than `after` is visible, made by any process, and returns
    /// its id; the id that is visible, not above `after`, when the time is over: that is no error.
    /// The kernel wakes the thread; it also looks by itself ten times a second, and 200 times where
    /// it may not write to the lock file.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::in_memory()?;
    /// let before = db.read()?.id();
    /// let other = db.clone();
    /// let waiter = std::thread::spawn(move || other.wait_for_commit(before, None));
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"news", b"")?;
    /// txn.commit()?;
    /// assert!(waiter.join().unwrap()? > before);
    /// # Ok(()) }
    /// ```
    pub fn wait_for_commit(&self, after: u64, timeout: Option<Duration>) -> Result<u64> {
        let seen = self.engine.shared.wait_visible(TxnId(after), timeout);
        seen.map(|txn| txn.0).map_err(|e| self.engine.named(e))
    }

    /// Makes every commit so far durable, of all threads and processes: one device flush, none if
    /// all are. Waits for flushes that others lead. If a flush has failed, or a process died in
    /// one, or this handle was opened when commits were not durable yet, a repair comes first,
    /// which waits for the write transaction.
    ///
    /// Errors: [`Error::OutcomeUnknown`] if the device failed, in the flush or in the repair of one
    /// that had failed before: some of these commits may not be durable, and may be rolled back; or
    /// if it had failed, and deferred commits of this handle were rolled back since: one flush of
    /// the handle says so, when it has made durable what is there; [`Error::WriterOnThisThread`] if
    /// a repair is needed and the thread has the write transaction of the file;
    /// [`Error::ReadOnly`]; [`Error::Io`] and others if it could not begin: then nothing is decided
    /// yet, and the next flush or write tries again.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use recto::Durability;
    /// for n in 0..10u8 {
    ///     let mut txn = db.write()?;
    ///     txn.set_durability(Durability::Deferred);
    ///     txn.open_table("main")?.put(&[n], b"value")?;
    ///     txn.commit()?; // does not wait for the device
    /// }
    /// db.flush()?; // all of them
    /// assert_eq!(db.info()?.durable, db.info()?.visible);
    /// # Ok(()) }
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.engine.flush().map_err(|e| self.engine.named(e))
    }

    /// Closes this handle, and says whether all that it has committed is durable by then: one flush
    /// if it is not, and nothing to wait for if it is. A handle that is dropped does the same, but
    /// waits no longer than a second for others and tells nobody. Errors as [`Database::flush`]; it
    /// is closed with any of them. While clones of it or its transactions live the database stays
    /// open.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = unsafe { recto::Database::open(dir.path().join("my.recto"))? };
    /// let mut txn = db.write()?;
    /// txn.set_durability(recto::Durability::Deferred);
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?;
    /// db.close()?; // durable
    /// # Ok(()) }
    /// ```
    pub fn close(self) -> Result<()> {
        self.engine.flush_own().map_err(|e| self.engine.named(e))
    }

    /// The longest key this database takes: 2,022 bytes with pages of 4 KiB, about half a page.
    pub fn max_key_len(&self) -> usize {
        node::max_key_len(self.engine.page_size)
    }

    /// Numbers about the file and its users. A few system calls.
    ///
    /// Errors: [`Error::Io`], [`Error::Forked`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let reader = db.read()?;
    /// let info = db.info()?;
    /// assert_eq!((info.page_size, info.visible), (4096, reader.id()));
    /// assert_eq!(info.readers.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn info(&self) -> Result<Info> {
        self.ask().map_err(|e| self.engine.named(e))
    }

    fn ask(&self) -> Result<Info> {
        let engine = &self.engine;
        // It does not become a reader itself: there may be no slot left.
        let readers = lines_at_work(engine)?;
        let (visible, page_count) = engine.look()?;
        let image = engine.load_image().ok().map(|image| image.meta);
        let space = image.as_ref().map(|meta| &meta.space);
        let queues = || space.iter().flat_map(|space| &space.queues);
        Ok(Info {
            path: self.path.clone(),
            page_size: engine.page_size as u32,
            uuid: engine.uuid,
            file_bytes: engine.platform.storage().len()?,
            page_count,
            free_pages: space.map_or(0, |space| space.free_pages),
            log_pages: queues().map(|queue| u64::from(queue.pages)).sum(),
            reserved_pages: queues().filter(|queue| !queue.tail.is_none()).count() as u64,
            commits: image.as_ref().map_or(0, |meta| meta.commits),
            visible: visible.0,
            durable: engine.known_durable().0,
            built: engine.built().0,
            repair_pending: engine.repair_is_due()?,
            opening_pages_read: engine.opening_pages_read,
            refused: engine.refused_meta(),
            flushes: engine.platform.sync_count(),
            max_key_len: self.max_key_len(),
            readers,
            observed: engine.shared.observed()?,
            counters: engine.observer.counters(),
        })
    }

    /// Who reads what, with the process, its command, and the free pages that wait for it, oldest
    /// first. For people; [`Info::readers`] has less of it and costs less. It reads the list of
    /// free pages and, for each process, its descriptors in `/proc`; it disturbs nobody.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let put = |value: &[u8]| -> recto::Result<()> {
    /// #     let mut txn = db.write()?;
    /// #     txn.open_table("main")?.put(b"key", value)?;
    /// #     txn.commit()
    /// # };
    /// # put(b"old")?;
    /// let old = db.read()?;
    /// put(b"new")?;
    /// for reader in db.readers()? {
    ///     println!("{reader}"); // process 4711 (...): reads transaction 2, 1 behind, ...
    /// }
    /// # assert_eq!(db.readers()?[0].behind, 1);
    /// # drop(old); Ok(()) }
    /// ```
    pub fn readers(&self) -> Result<Vec<Reader>> {
        super::readers::readers(&self.engine)
    }

    /// How many free pages wait because a reader or a named snapshot can see them: what could be
    /// used again if there were none of these. Those that wait for a flush only do not count. Reads
    /// the list of free pages, and disturbs nobody.
    ///
    /// Errors: [`Error::Busy`] if commits leave no moment to look; [`Error::ReadersFull`].
    pub fn held_back(&self) -> Result<u64> {
        let info = self.info()?;
        let readers = info.readers.iter().map(|it| it.txn.0);
        let observed = info.observed.iter().map(|it| it.txn.0);
        // The newest is no burden, whoever reads it.
        let old = readers.chain(observed).filter(|&txn| txn < info.visible);
        let mut snapshots: Vec<u64> = old.collect();
        snapshots.extend(self.snapshots()?.iter().map(|named| named.id));
        let held = pages_held_live(&self.engine, &snapshots, TRIES_WITHOUT_LOCK);
        Ok(held.map_err(|e| self.engine.named(e))?.any)
    }

    /// For each of these snapshots, as [`Info::readers`] and [`Info::observed`] name them, how many
    /// free pages wait because it can see them: what could be used again if nobody read it, unless
    /// another snapshot sees the same pages. Reads the list of free pages, and disturbs nobody.
    ///
    /// Errors: [`Error::Busy`] if commits leave no moment to look; [`Error::ReadersFull`].
    pub fn pages_held(&self, snapshots: &[u64]) -> Result<Vec<u64>> {
        let held = pages_held_live(&self.engine, snapshots, TRIES_WITHOUT_LOCK);
        Ok(held.map_err(|e| self.engine.named(e))?.each)
    }

    /// Proves that every page of the newest visible snapshot, and of the named ones, is what it
    /// should be, and that no page is owned twice or by nobody. Reads the whole database while it
    /// is in use by others, each page once or twice, however many snapshots have a name; `progress`
    /// is told the pages done and in all. An error means that the check could not be done; faults
    /// are in the report. Under commits without a pause it waits for the write transaction:
    /// [`Error::WriterOnThisThread`] if the thread has that itself, through this handle or another,
    /// and a flush has failed or its process has died meanwhile: end the transaction first.
    /// [`Error::Busy`] if no moment was found for it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?;
    /// let report = db.check(None)?;
    /// assert!(report.is_clean(), "{:?}", report.faults);
    /// assert_eq!(report.entries(), 1);
    /// # Ok(()) }
    /// ```
    pub fn check(&self, progress: Option<&mut dyn FnMut(u64, u64)>) -> Result<inspect::Report> {
        super::checking::check_live(&self.engine, progress).map_err(|e| self.engine.named(e))
    }

    /// Hands every pair of a part of the newest visible snapshot to `take`, tables and keys in
    /// their order, each after its page, and the pages of its value, have been proved by their
    /// checksums; a page that does not verify costs what is below it and nothing else, and stands
    /// in the report. For backups: a scan does not look at checksums, and ends at the first damage
    /// that it notices. One pass over the pages of the part; values are copied if they lie on pages
    /// of their own. Others go on reading and writing meanwhile.
    ///
    /// Errors: [`Error::NoSuchTable`] if the table of `part` is not there, those of `take`, and
    /// those of [`Database::check`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::inspect::salvage::{Part, SalvageOptions};
    /// let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("fruit")?.put(b"apple", b"red")?;
    /// txn.commit()?;
    /// let part = Part { table: Some("fruit"), ..Part::default() };
    /// let report = db.salvage(part, SalvageOptions::default(), &mut |pair| {
    ///     println!("{} = {}", pair.key.escape_ascii(), pair.value.escape_ascii());
    ///     Ok(())
    /// })?;
    /// assert!(report.is_whole());
    /// # Ok(()) }
    /// ```
    pub fn salvage(
        &self,
        part: inspect::salvage::Part<'_>,
        options: inspect::salvage::SalvageOptions<'_>,
        take: inspect::salvage::Take<'_>,
    ) -> Result<inspect::salvage::SalvageReport> {
        let report = super::checking::salvage_live(&self.engine, part, options, take);
        report.map_err(|e| self.engine.named(e))
    }

    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

pub use crate::commit::slots::RefusedMeta;
/// A live reader, or what a dead one left that has not been cleared yet.
pub use crate::shared::{ObservedSnapshot, ReaderInfo};

/// Numbers about a database.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let info = db.info()?;
/// println!("{} of {} pages in use, {} free", info.used_pages(), info.page_count, info.free_pages);
/// assert_eq!((info.lag(), info.oldest_reader()), (0, None));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Where it is; None in memory.
    pub path: Option<PathBuf>,
    /// Bytes of a page.
    pub page_size: u32,
    /// Random id it was given when it was made.
    pub uuid: [u8; 16],
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Pages of the visible snapshot, metas and free pages included.
    pub page_count: u64,
    /// Pages that are free, or will be when no reader sees them any more.
    pub free_pages: u64,
    /// Pages in which the list of free pages stands, as far as the meta page has no room for it.
    pub log_pages: u64,
    /// Pages that are kept for the next ones of these.
    pub reserved_pages: u64,
    /// Write transactions that have changed something since the file was made, by all handles. Ids
    /// of transactions rise faster.
    pub commits: u64,
    /// Transaction that a reader beginning now sees.
    pub visible: u64,
    /// Newest transaction that is known to survive power loss. Less than `visible` too where nobody
    /// has written since an opening that could not rely on the lock file: the first write
    /// transaction makes durable what it has found. 0 if none is known.
    pub durable: u64,
    /// Newest transaction built.
    pub built: u64,
    /// The next write transaction has to repair first, after a failed sync or an interrupted
    /// process.
    pub repair_pending: bool,
    /// Pages read when this handle was opened.
    pub opening_pages_read: u64,
    /// A newer meta page that the opening of this session has refused, and that the first write
    /// erases. After a power cut that is the commit that was in flight; otherwise something is
    /// damaged. What the write erases it keeps, together with the pages that only that commit had
    /// (4 MiB at most), in a file of the same name with `-refused` behind it, or `-refused.2` to
    /// `-refused.4` if there is one already: [`inspect::salvage`](crate::inspect::salvage) reads
    /// it. Nothing is kept while there are four, where the disk has little room, or where no file
    /// can be made; the write goes on without it.
    pub refused: Option<RefusedMeta>,
    /// Device flushes (`msync`) that this handle has asked for.
    pub flushes: u64,
    /// Longest key in bytes.
    pub max_key_len: usize,
    /// Readers at work, and what dead ones have left.
    pub readers: Vec<ReaderInfo>,
    /// What processes read that may not write to the lock file, oldest first, 256 at most. Reads
    /// through this handle are not among them.
    pub observed: Vec<ObservedSnapshot>,
    /// What this handle has done since it was opened.
    pub counters: Counters,
}

impl Info {
    /// Pages in which tables stand, and the lists of tables and of named snapshots: all but the two
    /// meta pages, free pages, and those in which free pages are listed. What only older snapshots
    /// see counts as free.
    pub fn used_pages(&self) -> u64 {
        let other = 2 + self.free_pages + self.log_pages + self.reserved_pages;
        self.page_count.saturating_sub(other)
    }

    /// By how many ids the newest durable transaction is behind the visible one: no fewer than
    /// commits that power loss could take back, and more where transactions have savepoints.
    pub fn lag(&self) -> u64 {
        self.visible.saturating_sub(self.durable)
    }

    /// For how long there has been a newer snapshot than the oldest that is read, at least; None if
    /// nobody reads an older one.
    pub fn oldest_reader(&self) -> Option<Duration> {
        let readers = self.readers.iter().filter_map(|it| it.outdated);
        readers.chain(self.observed.iter().filter_map(|it| it.outdated)).max()
    }
}
