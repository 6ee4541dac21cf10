//! The database handle and how it is opened.

use super::batch::{Batches, Begin};
use super::checking::{TRIES_WITHOUT_LOCK, pages_held_live};
use super::info::Info;
use super::readers::lines_at_work;
use super::transaction::{ReadTxn, WriteTxn};
use super::watch::Watch;
use crate::commit::durability::Durability;
use crate::commit::engine::Engine;
use crate::error::{Error, Result};
use crate::format::node;
use crate::inspect;
use crate::observe::Reader;
use crate::txn::write::Writer;
use crate::types::TxnId;
use std::path::PathBuf;
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
///
/// ```
/// # fn main() -> recto::Result<()> {
/// let db = recto::Database::in_memory()?; // in a file: `Database::open`
/// let other = db.clone(); // the same handle, for another thread
/// let writer = std::thread::spawn(move || -> recto::Result<()> {
///     let mut txn = other.write()?;
///     txn.open_table("main")?.put(b"key", b"value")?;
///     txn.commit()
/// });
/// writer.join().unwrap()?;
/// assert_eq!(db.read()?.table("main")?.get(b"key")?, Some(&b"value"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Database {
    /// Dropped first: the last clone waits for what it has left to its threads, and closes then.
    pub(super) watch: Arc<Watch>,
    pub(super) engine: Arc<Engine>,
    path: Option<PathBuf>,
    durability: Durability,
    batches: Arc<Batches>,
}

impl Database {
    pub(super) fn new(
        engine: Arc<Engine>,
        path: Option<PathBuf>,
        durability: Durability,
    ) -> Database {
        let watch = Arc::new(Watch::new(Arc::clone(&engine)));
        Database { watch, engine, path, durability, batches: Arc::default() }
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
            Err(Error::Busy { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Begins the write transaction, or gives [`Error::Busy`] when `timeout` is over and another
    /// writer, this thread's own transaction, or a flush that a repair has to wait for, has not
    /// ended. Other errors as [`Database::write`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use std::time::Duration;
    /// let txn = db.write()?;
    /// let late = db.write_timeout(Duration::from_millis(1)); // somebody has it
    /// assert_eq!(late.unwrap_err().kind(), recto::ErrorKind::Busy);
    /// drop(txn);
    /// drop(db.write_timeout(Duration::from_millis(1))?);
    /// # Ok(()) }
    /// ```
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
        let begin = Begin { txn: &|| self.write(), durability: self.durability };
        let done = self.engine.check_not_writer().and_then(|()| self.batches.run(&begin, f));
        // What another thread was told of the commit that it led is passed on without the file.
        done.map_err(|e| self.engine.named(e))
    }

    /// Waits until a transaction newer than `after` is visible, made by any process, and returns
    /// its id; the id that is visible, not above `after`, when the time is over: that is no error.
    /// The kernel wakes the thread; it also looks by itself ten times a second, and 200 times where
    /// it may not write to the lock file.
    ///
    /// `after` is the id of a transaction that is there: where it was lost, as
    /// [`Database::changes_since`] says, this waits for a greater one.
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

    /// Whether this id is above those of all transactions that are built.
    pub(super) fn is_not_built(&self, id: u64) -> Result<bool> {
        self.engine.check_alive()?;
        Ok(self.engine.built() < TxnId(id))
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
    /// if it is not. A handle that is dropped does the same, but waits no longer than a second for
    /// others and tells nobody. The last one that has the database open, in any process, writes and
    /// syncs a meta page more, if anybody has committed since the last time, so that no single page
    /// that rots takes the last commit back. Errors as [`Database::flush`]; it is closed with any
    /// of them. While clones of it or its transactions live the database stays open.
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

    /// The longest key this database takes: 2,022 bytes with pages of 4 KiB, about half a page; 4
    /// less where keys are stored whole ([`Order`](crate::Order)).
    ///
    /// O(1). Longer ones give [`Error::KeyTooLong`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// assert_eq!(db.max_key_len(), 2_022);
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(&vec![7; db.max_key_len()], b"value")?;
    /// # Ok(()) }
    /// ```
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
    /// Errors: [`Error::Io`], [`Error::LockFile`] if its memory is damaged.
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
    /// assert!(db.held_back()? > 0); // what only `old` sees
    /// drop(old);
    /// assert_eq!(db.held_back()?, 0);
    /// # Ok(()) }
    /// ```
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
    /// let (old, also_old) = (db.read()?, db.read()?);
    /// put(b"new")?;
    /// let held = db.pages_held(&[old.id(), also_old.id()])?;
    /// assert!(held[0] > 0 && held[0] == held[1]);
    /// # Ok(()) }
    /// ```
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
    /// Keys in an order by a function are proved by that, where this handle was given it
    /// ([`Builder::order`](crate::Builder::order)); the other tables in such orders are listed in
    /// [`Report::unproved_orders`](crate::Report::unproved_orders).
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
