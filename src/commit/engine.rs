//! One open database: what its threads share, and the words of the commit protocol by their
//! letters.

use super::acknowledged::Acknowledged;
use super::background::{Background, Work};
use super::deadline::close_by;
use super::durability::Durability;
use super::leadership::Leadership;
use super::writer_thread::WriterThread;
use crate::error::{Error, Result};
use crate::format::meta;
use crate::format::order::{Comparator, KeyOrder};
use crate::observe::Observer;
use crate::observe::slow_readers::SlowReaders;
use crate::pager::PagerOptions;
use crate::pager::read_checks::{ReadChecks, ReadChecksums};
use crate::pager::store::Buffer;
use crate::shared::Shared;
use crate::shared::layout::{CommitWords, RECORDS};
use crate::shared::words::Durable;
use crate::storage::{PlatformRef, named};
use crate::types::{PageId, TxnId};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::Duration;

/// What an engine needs to know beside the platform.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How pages are written.
    pub pages: PagerOptions,
    /// No write transactions.
    pub read_only: bool,
    /// Whether pages are compared with their checksums when they are read.
    pub read_checksums: ReadChecksums,
    /// How long opening waits for another opener.
    pub open_timeout: Duration,
    /// Entries that a manifest may have, where the meta page has room for more: the harness makes
    /// small commits two-phase with it.
    pub manifest_limit: usize,
    /// Free extents and entries that the meta page or a log page may have, where there is room for
    /// more: so small databases have long queues.
    pub free_limit: usize,
    /// Records that the list of pages may have, where there is room for more: so small transactions
    /// overflow it.
    pub list_limit: usize,
    /// Bytes of the pages that a manifest may name, where the format allows more.
    pub manifest_bytes: u64,
    /// Bytes of pages that may stand in the list when a deferred commit is shown.
    pub unproved_limit: u64,
    /// Most ids that are reserved at a time for deferred commits.
    pub ids_ahead: u64,
    /// Orders of keys, by their names.
    pub orders: Vec<&'static Comparator>,
    /// Whom to tell of slow readers.
    pub slow_readers: Option<SlowReaders>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            pages: PagerOptions::default(),
            read_only: false,
            read_checksums: ReadChecksums::Off,
            open_timeout: Duration::from_secs(10),
            manifest_limit: usize::MAX,
            free_limit: usize::MAX,
            list_limit: RECORDS,
            manifest_bytes: meta::MANIFEST_BYTES,
            unproved_limit: meta::UNPROVED_BYTES,
            ids_ahead: meta::IDS_AHEAD,
            orders: Vec::new(),
            slow_readers: None,
        }
    }
}

/// What the writer of a handle keeps from one transaction to the next.
#[derive(Default)]
pub struct WriterCache {
    pub(super) buffers: Vec<Buffer>,
}

/// One open database.
pub struct Engine {
    pub(crate) platform: PlatformRef,
    pub(crate) shared: Shared,
    pub(crate) options: EngineOptions,
    pub(crate) uuid: [u8; 16],
    pub(crate) page_size: usize,
    pub(crate) read_checks: Arc<ReadChecks>,
    /// Features of the file that must be known to write, and are not.
    pub(super) unknown_to_write: u32,
    /// Random number of the session: every meta that is written carries it (rule 28).
    pub(super) session: u64,
    /// Pages read to open, metas included.
    pub(crate) opening_pages_read: u64,
    /// Newest transaction of which pages may have been written when this handle was opened: those
    /// that are not durable may have failed to reach the disk without this handle's description
    /// being told (rule 18). Falls to D when this handle has the writer lock and nothing is built
    /// above D: what is written from then on is written while its description is open.
    pub(super) opened_at: AtomicU64,
    /// Ids that this handle reserves next.
    pub(super) ids_ahead: AtomicU64,
    /// Held by the one writer of this handle; what it keeps from one transaction to the next.
    pub(super) writer: Arc<Mutex<WriterCache>>,
    /// The thread of this process that has the write transaction of the file.
    pub(super) writer_thread: Arc<WriterThread>,
    /// What it tells of itself.
    pub(crate) observer: Observer,
    /// One leader at a time in this handle.
    pub(super) leadership: Leadership,
    /// Newest transaction that this handle has built and does not know to be durable, 0 none: what
    /// it leaves to be flushed when it closes.
    pub(super) newest_built: AtomicU64,
    /// Deferred commits of this handle.
    pub(super) acknowledged: Acknowledged,
    /// Finishes the commits that nobody waits for.
    pub(super) background: Background,
}

impl Engine {
    /// The same error with the file of this database, where it is about that.
    #[cold]
    pub(crate) fn named(&self, e: Error) -> Error {
        named(&*self.platform, e)
    }

    /// The order of this name that the handle was given.
    pub(crate) fn custom_order(&self, name: &str) -> Option<KeyOrder> {
        let given = self.options.orders.iter().find(|given| given.name() == name);
        given.map(|given| KeyOrder::custom(given))
    }

    /// What a commit does, told to people, and its error with the file.
    pub(crate) fn committing<T>(
        &self,
        txn: TxnId,
        durability: Durability,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let commit = self.observer.commit(txn, durability == Durability::Deferred);
        let done = work().map_err(|e| self.named(e))?;
        commit.done();
        Ok(done)
    }

    pub(crate) fn words(&self) -> &CommitWords {
        self.shared.words()
    }

    /// W.
    pub(crate) fn built(&self) -> TxnId {
        self.words().built()
    }

    /// D and Y.
    pub(crate) fn durable(&self) -> Durable {
        self.words().durable()
    }

    /// Rule 29: how many ids to reserve now. Few at first: a process may live for one commit, and
    /// what it has not used nobody ever uses.
    pub(crate) fn ids_ahead(&self) -> u64 {
        self.ids_ahead.swap(meta::IDS_AHEAD, Ordering::Relaxed).min(self.options.ids_ahead)
    }

    /// Rule 3: an id above every one that was ever used.
    pub(crate) fn next_id(&self, newest: TxnId) -> Result<TxnId> {
        let last = self.words().last_id().max(newest);
        if last >= TxnId::MAX {
            // A meta with a greater one would be refused by the next who opens the file.
            let meta = PageId(self.durable().slot as u64);
            let detail = "no transaction id is left above those that it and the lock file name";
            return Err(Error::corrupt(meta, detail));
        }
        Ok(TxnId(last.0 + 1))
    }

    /// Whether `txn` was rolled back.
    pub(crate) fn is_dead(&self, txn: TxnId) -> bool {
        self.words().dead_ids().have(txn)
    }

    /// See the field.
    pub(super) fn opened_at(&self) -> TxnId {
        TxnId(self.opened_at.load(Ordering::SeqCst))
    }

    /// Nothing is built above `durable`, and the writer lock is held.
    pub(super) fn knows_all_above(&self, durable: TxnId) {
        self.opened_at.fetch_min(durable.0, Ordering::SeqCst);
    }

    /// The newest that this handle has built is durable: it leaves nothing to be flushed, and later
    /// roll-backs are nothing to it.
    pub(super) fn forget_built(&self, txn: TxnId) {
        self.acknowledged.judge(self.words());
        let _ = self.newest_built.compare_exchange(txn.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Starts the thread of this handle that [`Engine::in_background`] needs. Which it is.
    pub fn start_background(&self) -> Result<ThreadId> {
        self.check_alive()?;
        self.background.start()
    }

    /// Has something done by that thread.
    pub fn in_background(&self, work: Work) {
        self.background.give(work);
    }

    /// Waits for what that thread has been given, but no longer than a handle that closes does.
    pub fn wait_for_background(&self) {
        self.background.wait(close_by());
    }

    /// Error in a forked child.
    pub fn check_alive(&self) -> Result<()> {
        self.shared.check_alive()
    }

    /// What beginning a write transaction says of this handle and the calling thread, without
    /// beginning one.
    pub fn check_not_writer(&self) -> Result<()> {
        self.check_alive()?;
        self.check_writable()?;
        self.writer_thread.wait_for_own(None)
    }

    /// The calling thread changes something in the write transaction.
    #[inline]
    pub fn writer_changes_here(&self) {
        self.writer_thread.changes_here();
    }

    /// The calling thread reads in the write transaction.
    #[inline]
    pub fn writer_reads_here(&self) {
        self.writer_thread.reads_here();
    }

    /// Whether this handle may store to the file.
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(self.named(Error::ReadOnly { path: None }));
        }
        match self.unknown_to_write {
            unknown if unknown != 0 => Err(Error::Features { path: None, unknown, to_write: true }),
            _ => Ok(()),
        }
    }

    /// Whether nothing was ever made durable here.
    pub(crate) fn is_new(&self) -> bool {
        self.durable().txn == TxnId::FIRST
    }
}
