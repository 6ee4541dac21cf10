//! Building a transaction (rules 4 to 8): from here on it exists; nothing about it is durable yet.

use super::flush::FlushLock;
use super::state::{BuiltImage, ListRecord, describe};
use super::write::Writer;
use crate::error::Result;
use crate::format::meta::{Meta, Phase};
use crate::planted::{Bug, planted};
use crate::types::TxnId;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// When a commit returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// When the transaction is on the device: it survives power loss.
    #[default]
    Durable,
    /// At once, visible to every reader. It survives the death of the process; power loss takes the database back
    /// to the last flush, to a whole transaction. It is flushed with the next durable commit, by
    /// `Database::flush`, and when the handle that made it is closed.
    Deferred,
}

/// A transaction that has been built, and what is still to be done before its commit may return.
pub struct Built {
    /// Its id.
    pub txn: TxnId,
    /// It has to be durable first.
    pub flush: bool,
}

impl Writer {
    /// Builds the transaction and gives the writer lock back. None if it changed nothing.
    pub fn build(mut self) -> Result<Option<Built>> {
        self.check_usable()?;
        if !self.store_tables()? {
            self.release();
            return Ok(None);
        }
        let engine = Arc::clone(&self.store.engine);
        let txn = self.txn();
        let space = self.alloc.finish(&mut self.store)?;
        let page_count = self.alloc.page_count();
        self.store.make_room(page_count.max(self.store.page_count))?;
        let mut records: Vec<ListRecord> =
            self.alloc.freed_undurable().iter().map(|&p| ListRecord::Freed(p)).collect();
        let commits = self.base.commits.saturating_add(1);
        let catalog = self.catalog;
        let meta = Meta { txn, page_count, catalog, space, commits, ..self.base.clone() };
        if planted(Bug::BuiltBeforePages) {
            let (list_end, unlisted) = (self.list_end, self.unlisted);
            engine.store_image(&BuiltImage { meta: meta.clone(), list_end, unlisted });
        }
        let written = self.store.seal()?;
        records.extend(written.into_iter().map(|(p, w)| ListRecord::Written(p, w)));
        engine.platform.step("build: pages in place");

        let listed = self.make_list_room(records.len() as u64)?;
        let counted = listed && !planted(Bug::OwnPagesNotListed);
        let list_end = self.list_end + if counted { records.len() as u64 } else { 0 };
        if listed {
            engine.append_records(self.list_end, txn, &records);
        }
        let snapshot = describe(&meta);
        let unlisted = if listed { self.unlisted } else { txn };
        let image = BuiltImage { meta, list_end, unlisted };
        engine.store_image(&image);
        engine.unflushed.store(true, Ordering::Relaxed);
        // What the list does not name cannot be proved after an accident: it is acknowledged and shown
        // only once it is durable.
        let deferred = self.store.durability == Durability::Deferred && listed;
        if deferred {
            engine.shared.publish_built(&snapshot)?;
            engine.platform.step("build: visible");
            if planted(Bug::DeferredStoresMeta) {
                engine.store_meta(&image, &Phase::TwoPhase, engine.durable().slot ^ 1)?;
            }
        }
        let start = engine.words().list_start.0.load(Ordering::SeqCst);
        let crowded = list_end - start.min(list_end) > engine.options.list_limit as u64 * 3 / 4;
        self.release();
        Ok(Some(Built { txn, flush: !deferred || crowded }))
    }

    /// Whether the list of pages takes `records` more; what was built before is flushed to make room.
    fn make_list_room(&mut self, records: u64) -> Result<bool> {
        let engine = Arc::clone(&self.store.engine);
        let start = engine.words().list_start.0.load(Ordering::SeqCst);
        let limit = engine.options.list_limit as u64;
        if self.list_end - start.min(self.list_end) + records <= limit {
            return Ok(true);
        }
        if engine.durable().txn < self.base.txn {
            // The order of the locks is writer, then flush: this thread holds the writer lock already.
            let flush = FlushLock::take(&engine)?;
            if engine.durable().txn < self.base.txn {
                engine.repair_or_lead(&flush)?;
                self.check_base()?;
            }
        }
        Ok(records <= limit)
    }
}
