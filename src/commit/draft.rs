//! A write transaction as the commit protocol sees it, from its begin until it is built.

use super::durability::Durability;
use super::engine::Engine;
use super::image::BuiltImage;
use super::locks::{FlushLock, WriterLock};
use super::report::Wrote;
use crate::error::{Error, Result};
use crate::format::meta::Meta;
use crate::format::snapshot::NamedSnapshot;
use crate::observe::End;
use crate::pager::workspace::Workspace;
use crate::types::TxnId;
use std::sync::Arc;

/// What a write transaction stands on, what it has written, and the writer lock. Dropping it undoes
/// everything.
pub struct Draft {
    /// Large, and the transaction is moved from hand to hand.
    pages: Box<Workspace>,
    durability: Durability,
    /// How it ends, for people.
    pub(super) end: End,
    /// W as it began, and whether that was durable.
    pub(super) base: BuiltImage,
    pub(super) base_is_durable: bool,
    /// Named snapshots that were dropped, and that nothing needs any more (rule 36).
    settled: Vec<NamedSnapshot>,
    /// What it has written, once that is known.
    pub(super) wrote: Wrote,
    /// Released last: after the pages' buffers have gone back to it.
    pub(super) lock: WriterLock<Arc<Engine>>,
}

impl Draft {
    pub(super) fn new(
        lock: WriterLock<Arc<Engine>>,
        pages: Box<Workspace>,
        base: BuiltImage,
        base_is_durable: bool,
        durability: Durability,
        settled: Vec<NamedSnapshot>,
    ) -> Draft {
        let (end, wrote) = (End::default(), Wrote::default());
        Draft { pages, durability, end, base, base_is_durable, settled, wrote, lock }
    }

    /// Named snapshots that were dropped, and need not be listed any more.
    pub fn take_settled(&mut self) -> Vec<NamedSnapshot> {
        std::mem::take(&mut self.settled)
    }

    /// Seconds since 1970.
    pub fn time(&self) -> u64 {
        self.engine().platform.unix_seconds()
    }

    /// Rule 37: makes the snapshot that it stands on durable, if what happened in transaction `by`
    /// is not yet. An error leaves pages of the transaction in doubt.
    pub fn make_durable_up_to(&self, by: TxnId) -> Result<()> {
        let engine = self.engine();
        if by <= engine.durable().txn {
            return Ok(());
        }
        let flush = FlushLock::take(engine, None)?;
        if engine.words().repair_mark().sync_failed() {
            return Err(self.broken());
        }
        if by > engine.durable().txn {
            engine.repair_or_lead(&self.lock, &flush).map_err(|_| self.broken())?;
        }
        drop(flush);
        self.check_base()
    }

    /// The handle it was begun on.
    #[inline]
    pub fn engine(&self) -> &Arc<Engine> {
        self.lock.engine()
    }

    /// Id of this transaction.
    #[inline]
    pub fn txn(&self) -> TxnId {
        self.pages.store.txn()
    }

    /// The snapshot that it stands on.
    pub fn base(&self) -> &Meta {
        &self.base.meta
    }

    /// What its trees are read in.
    #[inline]
    pub fn pages(&self) -> &Workspace {
        &self.pages
    }

    /// What its trees are changed in.
    #[inline]
    pub fn pages_mut(&mut self) -> &mut Workspace {
        &mut self.pages
    }

    /// When its commit is to return.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// When its commit is to return. One that waits for the device has it begin early.
    pub fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
        self.pages.store.set_eager(durability == Durability::Durable);
    }

    /// Nobody else moves W while this transaction holds the writer lock; but a repair that it leads
    /// itself may roll its base back.
    pub fn check_base(&self) -> Result<()> {
        let stands = self.engine().built() == self.base.meta.txn;
        if stands { Ok(()) } else { Err(self.broken()) }
    }

    /// That it can only be dropped or rolled back.
    #[cold]
    #[inline(never)]
    pub fn broken(&self) -> Error {
        self.engine().named(Error::TransactionBroken { path: None })
    }

    /// The snapshot that it stands on, where that was not durable and whoever commits wants it to
    /// be, `durable` whatever its durability says: also a transaction that has changed nothing may
    /// have found something that is not.
    pub fn to_be_flushed(&self, durable: bool) -> Option<TxnId> {
        let wanted = durable || self.durability == Durability::Durable;
        (wanted && !self.base_is_durable).then_some(self.base.meta.txn)
    }

    /// Ends a transaction that has changed nothing. It may have changed nothing because of what it
    /// has read (rule 23).
    pub fn end_unchanged(mut self) -> Result<()> {
        self.end = End::Unchanged;
        if self.base_is_durable { Ok(()) } else { self.engine().prove_base() }
    }
}

impl Drop for Draft {
    /// Gives the buffers back, then the lock.
    fn drop(&mut self) {
        // In a forked child nothing is told: who listens may be locked for ever there.
        if self.engine().check_alive().is_ok() {
            self.engine().observer.ended(self.txn(), self.end, &self.pages.figures());
        }
        let buffers = self.pages.store.take_pool();
        if let Some(cache) = self.lock.cache() {
            cache.buffers = buffers;
        }
    }
}
