//! How a database is opened, or made.

use super::db::Database;
use crate::commit::durability::Durability;
use crate::commit::engine::{Engine, EngineOptions};
use crate::commit::open::initial_file;
use crate::error::{Error, Result};
use crate::format::meta;
use crate::format::order::Comparator;
use crate::observe::slow_readers::SlowReaders;
use crate::observe::{Reader, ReaderLimit};
use crate::pager::Sink;
use crate::pager::read_checks::ReadChecksums;
use crate::shared::layout;
use crate::storage::mmap::{self, Access, HugePages};
use crate::storage::{PlatformRef, memory::MemoryPlatform, named};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

impl Database {
    /// Opens the database at `path`, or makes it, with the defaults of [`Builder`].
    ///
    /// # Safety
    /// As [`Builder::open`].
    ///
    /// Errors, cost: those of [`Builder::open`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { recto::Database::open(&path)? };
    /// assert!(db.read()?.tables()?.is_empty());
    /// # Ok(()) }
    /// ```
    pub unsafe fn open(path: impl AsRef<Path>) -> Result<Database> {
        // SAFETY: passed on to the caller.
        unsafe { Database::builder().open(path) }
    }

    /// Options, then open.
    ///
    /// No file is touched before one is opened: O(1).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// let mut options = recto::Database::builder();
    /// options.page_size(16_384).max_bytes(1 << 30);
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { options.open(&path)? };
    /// assert_eq!(db.info()?.page_size, 16_384);
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A new, empty database in memory: same engine, no file, one process.
    ///
    /// Errors: [`Error::Io`] if the system gives no memory for what its threads share. For tests,
    /// and for what need not outlive the process; [`Builder::in_memory`] takes options.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?; // visible to all threads of this process
    /// assert_eq!(db.read()?.table("main")?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn in_memory() -> Result<Database> {
        Database::builder().in_memory()
    }
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
///
/// Options are set on it in any order and are read when a database is opened: one
/// builder may open several. It may be sent to other threads, and cloned. Those below have defaults
/// that fit most programs:
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// use recto::{Durability, Sink};
/// use std::time::Duration;
/// let mut builder = recto::Database::builder();
/// builder.page_size(16_384).durability(Durability::Deferred); // of commits that do not say
/// builder.sink(Sink::Staged).stage_bytes(256 << 20).reserve(4 << 30);
/// builder.open_timeout(Duration::from_secs(1)).allow_network(false);
/// builder.lock_file(path.with_extension("lock"));
/// // SAFETY: nothing but recto changes the file while it is open.
/// let db = unsafe { builder.open(&path)? };
/// assert_eq!(db.info()?.page_size, 16_384);
/// # Ok(()) }
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
    ///
    /// Writing gives [`Error::ReadOnly`], and so does a flush.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// # drop(unsafe { recto::Database::open(&path)? });
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let db = unsafe { recto::Database::builder().read_only(true).open(&path)? };
    /// assert_eq!(db.write().unwrap_err().kind(), recto::ErrorKind::ReadOnly);
    /// # Ok(()) }
    /// ```
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
    ///
    /// [`Error::InvalidArgument`] when it is opened for writing, or together with
    /// [`Builder::exclusive`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// # drop(unsafe { recto::Database::open(&path)? });
    /// let mut image = recto::Database::builder();
    /// image.read_only(true).no_lock(true);
    /// // SAFETY: the file lies in an image that nobody writes.
    /// let db = unsafe { image.open(&path)? };
    /// assert!(db.read()?.tables()?.is_empty());
    /// # Ok(()) }
    /// ```
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
    /// without a lock ([`Builder::no_lock`]): that must not be. Who shares databases makes a lock
    /// file before it can know that it is not let in, and leaves it there: it says nothing, and the
    /// next who shares this one uses it.
    ///
    /// When the process is killed its lock goes with it, and the next opening finds what is
    /// durable, as after a loss of power. Deferred commits that nobody has flushed are gone then,
    /// where a lock file would have kept them; and so are those that only the lock file of an
    /// earlier session knows, if all who had it open were killed before they could flush. So open
    /// it once without this, and close it, before the first time. Nor is there anything then that
    /// tells a page of the last commit which has rotted since from one of a commit that was cut
    /// off: the opening shows the commit before it ([`Info::refused`](crate::Info::refused)), where
    /// after a handle that was closed the page is an error when it is read. For that, closing costs
    /// a flush where something was written. [`Error::InvalidArgument`] together with `no_lock`.
    /// Default: false.
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
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// // SAFETY: nothing but recto changes the file while it is open.
    /// let missing = unsafe { recto::Database::builder().create(false).open(&path) };
    /// assert_eq!(missing.unwrap_err().kind(), recto::ErrorKind::Io);
    /// # Ok(()) }
    /// ```
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
    /// that is to become a database, has the database for itself ([`Builder::exclusive`]), or is
    /// the last to close it and syncs. Default: ten seconds.
    pub fn open_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.engine.open_timeout = timeout;
        self
    }

    /// Gives the function of an order of keys ([`Order::Custom`](crate::Order::Custom)) to all
    /// tables that were made with this name; a later one of the same name takes the place of an
    /// earlier one.
    ///
    /// It must be a total order of all byte strings, the same in every process, for as long as
    /// there is a table in it. With one that is not, or another one under the same name, keys are
    /// not found or come twice, and operations may fail with [`Error::Corrupt`], or a load with
    /// [`Error::InvalidArgument`]; nothing else goes wrong. Keys that it calls equal are one key:
    /// the first that was put stays, with the value of the last. A panic in it breaks the write
    /// transaction ([`Error::TransactionBroken`]), or the [`Loader`](crate::Loader) that sorts by
    /// it.
    ///
    /// Name and function are kept for the life of the process.
    ///
    /// ```
    /// use recto::{Database, Order, TableOptions};
    /// # fn main() -> recto::Result<()> {
    /// fn without_case(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    ///     let lower = |key: &[u8]| key.to_ascii_lowercase();
    ///     lower(a).cmp(&lower(b))
    /// }
    /// let db = Database::builder().order("without case", without_case).in_memory()?;
    /// let mut txn = db.write()?;
    /// let options = TableOptions::default().ordered(Order::Custom("without case".into()));
    /// let mut names = txn.open_table_with("names", &options)?;
    /// names.put(b"ada", b"1")?;
    /// names.put(b"Bob", b"2")?;
    /// names.put(b"cyd", b"3")?;
    /// assert_eq!(names.get(b"BOB")?, Some(&b"2"[..]));
    /// assert_eq!(&*names.last()?.unwrap().0, b"cyd");
    /// # Ok(()) }
    /// ```
    pub fn order(
        &mut self,
        name: &str,
        compare: fn(&[u8], &[u8]) -> std::cmp::Ordering,
    ) -> &mut Self {
        self.engine.orders.retain(|order| order.name() != name);
        self.engine.orders.push(Comparator::custom(name, compare));
        self
    }

    /// Calls `callback` for each reader of the file, of any process, that is above `limit`: one
    /// that makes the file grow, since it can see pages that could be used again. Who reads a named
    /// snapshot keeps nothing that its name does not keep, and counts from when the name is
    /// dropped.
    ///
    /// It is called at the end of a commit of this handle, on the thread that commits, when the
    /// commit has succeeded and all locks are given back; for each reader once, until it reads
    /// another snapshot. A handle looks at its first commit, and then once a second at most, so
    /// where nobody commits nobody is told. A look costs a few system calls; with a limit of pages,
    /// or when there is somebody to tell of, it also reads the list of free pages, and that of
    /// named snapshots.
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
        Ok(Database::new(engine, Some(path.to_owned()), self.durability))
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
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::builder().max_bytes(64 << 20).in_memory()?;
    /// assert_eq!(db.info()?.path, None);
    /// # Ok(()) }
    /// ```
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
        Ok(Database::new(engine, None, self.durability))
    }
}

fn new_uuid() -> Result<[u8; 16]> {
    let mut uuid = [0; 16];
    crate::os::random_bytes(&mut uuid).map_err(|e| Error::io("get random bytes", e))?;
    Ok(uuid)
}
