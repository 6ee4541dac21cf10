//! Transactions: pinned snapshots to read, one writer at a time, and the commit protocol.
//!
//! Building a transaction, making it visible and making it durable are three separate steps
//! ([`write`], [`commit`], [`flush`]). Opening and recovering is [`open`], repair after a failed sync or a dead
//! process is [`repair`]. The rule numbers are those of docs/design.md.
//!
//! Thread rules: an [`Engine`] is one handle of one process and is shared by all its threads.

pub mod commit;
pub mod durability;
pub mod flush;
mod lock;
pub mod open;
pub mod page_map;
pub mod read;
pub mod repair;
pub mod slots;
pub mod state;
pub mod store;
pub mod write;

use crate::error::{Error, Result};
use crate::format::meta;
use crate::shared::Shared;
use crate::shared::layout::RECORDS;
use crate::storage::PlatformRef;
use crate::types::TxnId;
use flush::FlushLock;
use lock::WriterLock;
#[cfg(feature = "harness")]
pub(crate) use lock::no_grace;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How dirty pages get into the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sink {
    /// Built in private memory and put into the page cache by `pwrite`, in runs.
    #[default]
    Staged,
    /// Stored into a shared writable map of the file.
    Direct,
}

/// What an engine needs to know beside the platform.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How dirty pages get into the file.
    pub sink: Sink,
    /// Bytes of dirty pages the staged sink keeps before it writes some to the file.
    pub stage_bytes: usize,
    /// No write transactions.
    pub read_only: bool,
    /// How long opening waits for another opener.
    pub open_timeout: Duration,
    /// Entries that a manifest may have, where the meta page has room for more: the harness makes small
    /// commits two-phase with it.
    pub manifest_limit: usize,
    /// Free extents and entries that the meta page or a log page may have, where there is room for more: so small databases
    /// have long queues.
    pub free_limit: usize,
    /// Records that the list of pages may have, where there is room for more: so small transactions overflow it.
    pub list_limit: usize,
    /// Smallest step in which the file grows, in bytes.
    pub growth_step: u64,
    /// Bytes of the pages that a manifest may name, where the format allows more.
    pub manifest_bytes: u64,
    /// Bytes of pages that may stand in the list when a deferred commit is shown.
    pub unproved_limit: u64,
    /// Most ids that are reserved at a time for deferred commits.
    pub ids_ahead: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            sink: Sink::Staged,
            stage_bytes: 64 << 20,
            read_only: false,
            open_timeout: Duration::from_secs(10),
            manifest_limit: usize::MAX,
            free_limit: usize::MAX,
            list_limit: RECORDS,
            growth_step: 256 << 10,
            manifest_bytes: meta::MANIFEST_BYTES,
            unproved_limit: meta::UNPROVED_BYTES,
            ids_ahead: meta::IDS_AHEAD,
        }
    }
}

/// One open database.
pub struct Engine {
    pub(crate) platform: PlatformRef,
    pub(crate) shared: Shared,
    pub(crate) options: EngineOptions,
    pub(crate) uuid: [u8; 16],
    pub(crate) page_size: usize,
    /// Features of the file that must be known to write, and are not.
    unknown_to_write: u32,
    /// Random number of the session: every meta that is written carries it (rule 28).
    session: u64,
    /// Pages read to open, metas included.
    pub(crate) opening_pages_read: u64,
    /// Newest transaction of which pages may have been written when this handle was opened: those that are not durable may have failed
    /// to reach the disk without this handle's description being told (rule 18). Falls to D when this handle has the writer lock and
    /// nothing is built above D: what is written from then on is written while its description is open.
    opened_at: AtomicU64,
    /// Ids that this handle reserves next.
    ids_ahead: AtomicU64,
    /// Held by the one writer of this handle; what it keeps from one transaction to the next.
    writer: Arc<Mutex<store::WriterCache>>,
    /// The thread of this process that has the write transaction of the file.
    writer_thread: Arc<lock::WriterThread>,
    /// One leader at a time in this handle.
    leadership: flush::Leadership,
    /// Newest transaction that this handle has built and does not know to be durable, 0 none: what it leaves to be flushed when it closes.
    newest_built: AtomicU64,
}

impl Engine {
    /// Waits for everything built so far to be durable; one flush, none if there is nothing to do. An error if a repair, now or since this
    /// handle has built its last transaction, takes some of it back that somebody may have seen.
    pub fn flush(&self) -> Result<()> {
        self.shared.check_alive()?;
        self.check_writable()?;
        let own = TxnId(self.newest_built.load(Ordering::Relaxed));
        let seen = self.shared.visible();
        loop {
            let newest = self.built();
            if self.words().repair_mark().is_set() {
                self.repair_now().map_err(|e| self.told_of(newest, e))?;
            }
            let Err(e) = self.make_durable(newest) else { break };
            // Of a process that has died in its commit: nobody was ever told of it. Whoever takes it back moves W on.
            let unseen = newest > seen.max(own) && self.is_dead(newest);
            if !unseen || self.built() == newest {
                return Err(e);
            }
        }
        self.make_durable(seen)?;
        if own != TxnId::NONE {
            self.make_durable(own)?;
            self.forget_built(own);
        }
        Ok(())
    }

    /// The newest that this handle has built is durable: it leaves nothing to be flushed, and later roll-backs are nothing to it.
    fn forget_built(&self, txn: TxnId) {
        let _ = self.newest_built.compare_exchange(txn.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether this handle may store to the file.
    fn check_writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Error::ReadOnly);
        }
        match self.unknown_to_write {
            unknown if unknown != 0 => Err(Error::Features { unknown, to_write: true }),
            _ => Ok(()),
        }
    }

    /// Whether nothing was ever made durable here.
    pub(crate) fn is_new(&self) -> bool {
        self.durable().txn == TxnId::FIRST
    }
}

/// How long a handle that closes waits for a flush that somebody else leads.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

impl Engine {
    /// Makes what this handle has built durable, as far as that can be had without waiting for a write transaction, and for others'
    /// flushes no longer than [`CLOSE_WAIT`].
    fn flush_at_close(&self) -> Result<()> {
        let newest = TxnId(self.newest_built.load(Ordering::Relaxed));
        let done = || newest <= self.durable().txn || self.is_dead(newest);
        if done() {
            return Ok(());
        }
        let end = lock::end_of(Some(CLOSE_WAIT));
        let flush = FlushLock::take(self, end)?;
        if done() {
            return Ok(());
        }
        if !self.is_marked(&flush) {
            return self.lead_flush(&flush);
        }
        // The order of the locks is writer, then flush.
        drop(flush);
        let writer = WriterLock::try_take(self)?;
        let flush = FlushLock::take(self, end)?;
        if done() { Ok(()) } else { self.repair_or_lead(&writer, &flush) }
    }
}

impl Drop for Engine {
    /// Nobody can be told of an error here; `flush` before closing is the way to know. What is not durable afterwards stays visible, and
    /// the next flush, of whoever has the database open or opens it next, takes it along.
    fn drop(&mut self) {
        if self.shared.check_alive().is_ok() && !std::thread::panicking() {
            let _ = self.flush_at_close();
        }
    }
}
