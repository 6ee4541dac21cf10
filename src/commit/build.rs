//! Building a transaction (rules 4 to 8): from here on it exists; nothing about it is durable yet.

use super::draft::Draft;
use super::durability::Durability;
use super::engine::Engine;
use super::image::BuiltImage;
use super::list::ListRecord;
use super::locks::FlushLock;
use super::report::{FlushWatch, Flushed, Wrote};
use super::snapshot::encode_snapshot;
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::meta::Meta;
use crate::observe::End;
use crate::pager::workspace::Workspace;
use crate::space::is_flush_due;
use crate::types::TxnId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A transaction that has been built, and what is still to be done before its commit may return.
pub struct Built {
    /// Its id.
    pub txn: TxnId,
    /// It has to be durable first.
    pub flush: bool,
    /// And before its thread goes on, also where another thread flushes: it was to be visible when
    /// the commit returns and is not yet, or too much waits for a flush.
    pub due: bool,
    /// What it stands on.
    pub base: TxnId,
    /// What it has written.
    pub wrote: Wrote,
}

/// Where the trees of a transaction begin.
pub struct Roots {
    /// The tables.
    pub catalog: TableDescriptor,
    /// What is not a user's.
    pub system: TableDescriptor,
    /// The newest snapshot that has a name there; none if there is none.
    pub newest_named: TxnId,
}

impl Draft {
    /// Builds the transaction, with these trees and these features that must be known to read it
    /// beside those of its base, and gives the writer lock back. The error is
    /// [`Error::OutcomeUnknown`] if the transaction exists, and another one if it does not. One
    /// that the list does not name is durable by then.
    pub fn build(mut self, roots: Roots, read_features: u32) -> Result<Built> {
        let engine = Arc::clone(self.engine());
        let image = self.prepare(roots, read_features).map_err(did_not_happen)?;
        engine.store_image(&self.lock, &image);
        engine.newest_built.store(image.meta.txn.0, Ordering::Relaxed);
        let (deferred, space) = (self.durability() == Durability::Deferred, &image.meta.space);
        self.end = End::Built { deferred, free_pages: space.free_pages };
        let mut built = self.show(&image).map_err(may_have_happened)?;
        if image.unlisted == built.txn {
            let flushed = self.flush_unlisted(built.txn).map_err(may_have_happened)?;
            built.wrote.flush = Some(flushed);
            built.flush = false;
        }
        if !built.flush {
            engine.acknowledged.note(built.txn, engine.words());
        }
        drop(self);
        Ok(built)
    }

    /// Rule 8 up to where W moves: everything that can fail.
    fn prepare(&mut self, roots: Roots, read_features: u32) -> Result<BuiltImage> {
        let engine = Arc::clone(self.engine());
        let txn = self.txn();
        let Workspace { store, alloc, .. } = self.pages_mut();
        let space = alloc.finish(store)?;
        let page_count = alloc.page_count();
        store.make_room(page_count.max(store.page_count()))?;
        // What a named snapshot sees is not done with (rule 37).
        let Roots { catalog, system, newest_named } = roots;
        let is_done = |birth: TxnId| newest_named < birth;
        let freed = alloc.freed_undurable();
        let freed_pages = alloc.freed_pages();
        let judged_at = alloc.judged_at();
        let written = store.seal()?;
        let (spilled, growth) = (store.spilled(), store.growth());
        let mut records = Vec::with_capacity(freed.len() + written.len());
        let freed = freed.iter().filter(|&&(_, birth)| is_done(birth));
        records.extend(freed.map(|&(p, _)| ListRecord::Freed(p)));
        records.extend(written.into_iter().map(|(p, w)| ListRecord::Written(p, w)));
        engine.platform.step("build: pages in place");

        let bytes = self.bytes_of(&records);
        let pages = bytes / self.base.meta.page_size as u64;
        self.wrote = Wrote { pages, spilled, freed: freed_pages, growth, flush: None };
        let id_limit = self.id_limit();
        let listed = self.make_list_room(records.len() as u64)?;
        let base = &self.base;
        let commits = base.meta.commits.saturating_add(1);
        let session = engine.session;
        let read_features = read_features | base.meta.read_features;
        let meta = Meta {
            txn,
            page_count,
            catalog,
            system,
            space,
            commits,
            session,
            id_limit,
            read_features,
            ..base.meta
        };
        let of_base = BuiltImage { meta, judged_at, ..*base };
        if !listed {
            return Ok(BuiltImage { unlisted: txn, ..of_base });
        }
        Ok(BuiltImage {
            list_end: base.list_end + records.len() as u64,
            list_bytes: base.list_bytes + bytes,
            list_check: engine.append_records(base.list_end, base.list_check, txn, &records),
            ..of_base
        })
    }

    /// Rule 8 behind that: shows the transaction, unless it is to be durable first.
    fn show(&self, image: &BuiltImage) -> Result<Built> {
        let engine = self.engine();
        let words = engine.words();
        // What the list does not name cannot be proved after a fault: it is acknowledged and shown
        // only once it is durable, and so is what stands on it.
        let listed = image.unlisted <= engine.durable().txn;
        // After a failed sync nobody knows what the kernel has kept: shown is what the repair has
        // proved (rule 23).
        let failed = words.repair_mark().sync_failed();
        let proved = listed && !failed;
        // A first opener may have to read all that is listed, and may not know any more which ids
        // were used (rule 29).
        let unproved = image.list_bytes.saturating_sub(words.bytes_start());
        let bounded = unproved <= engine.options.unproved_limit;
        let reserved = image.meta.txn <= words.id_limit();
        let provable = proved && bounded && reserved;
        let wanted = self.durability() == Durability::Deferred;
        let deferred = wanted && provable;
        if deferred {
            engine.shared.publish_built(&encode_snapshot(&image.meta))?;
            engine.platform.step("build: visible");
        }
        let start = words.list_start();
        let limit = engine.options.list_limit as u64;
        let crowded = image.list_end - start.min(image.list_end) > limit * 3 / 4;
        let Meta { page_size, page_count, ref space, .. } = image.meta;
        let crowded = crowded || is_flush_due(unproved, page_size, page_count, space.free_pages);
        let (base, wrote) = (self.base.meta.txn, self.wrote);
        let due = crowded || !bounded || (wanted && !deferred);
        Ok(Built { txn: image.meta.txn, flush: !deferred || crowded, due, base, wrote })
    }

    /// Rule 8: what the list does not name is made durable before the writer lock is given back.
    /// Anybody who built on it, or flushed it, and was opened after it was written could not prove
    /// it, and would have to take it back.
    fn flush_unlisted(&self, txn: TxnId) -> Result<Flushed> {
        let engine = self.engine();
        let mut watch = FlushWatch::new(self.base.meta.txn);
        let flush = FlushLock::take(engine, None)?;
        let (begun, before) = (Instant::now(), engine.durable().txn);
        if before < txn {
            engine.repair_or_lead(&self.lock, &flush)?;
            watch.led(txn, [before, engine.durable().txn], begun);
        }
        drop(flush);
        // Neither durable nor known to be lost: what the shared memory says of it is damaged.
        let unknown = || Error::unknown("its flush has ended without it");
        if engine.settled(txn)? { Ok(watch.end()) } else { Err(unknown()) }
    }

    /// Rule 29: the limit of ids that this transaction's meta says. None that is shown before it is
    /// durable goes beyond the one that is durable by then; when that is used up, as many again are
    /// reserved. Durable commits need no reserve: the meta that says the id is durable before
    /// anybody is told of it.
    fn id_limit(&self) -> TxnId {
        let engine = self.engine();
        let durable = engine.words().id_limit();
        let limit = durable.max(self.base.meta.id_limit).max(self.txn());
        let more = self.durability() == Durability::Deferred && self.txn() > durable;
        let ahead = if more { engine.ids_ahead() } else { 0 };
        TxnId(limit.0.saturating_add(ahead).min(TxnId::MAX.0))
    }

    fn bytes_of(&self, records: &[ListRecord]) -> u64 {
        let pages = |record: &ListRecord| match record {
            ListRecord::Written(_, w) => w.pages(),
            ListRecord::Freed(_) => 0,
        };
        records.iter().map(pages).sum::<u64>() * self.base.meta.page_size as u64
    }

    /// Whether the list of pages takes `records` more. Makes what was built before durable where
    /// there is no room; and where a write-back has failed since the transaction began, whoever was
    /// told of it: pages of its base that were not durable may have left the cache and come back as
    /// the device has them, and whatever it has read and copied since would not show that. The
    /// repair proves that they are what was built, or takes the base back (rule 23). All that the
    /// transaction reads has been read by now.
    fn make_list_room(&mut self, records: u64) -> Result<bool> {
        let engine = Arc::clone(self.engine());
        let words = engine.words();
        let limit = engine.options.list_limit as u64;
        let room = || {
            let start = words.list_start();
            self.base.list_end - start.min(self.base.list_end) + records <= limit
        };
        let failed = || words.repair_mark().sync_failed();
        if !self.base_is_durable {
            engine.ask_for_failed_write_back();
        }
        self.prove_own_pages()?;
        if room() && !failed() {
            return Ok(true);
        }
        // D may be there already, and the list begin where it did before: its leader has died in
        // between.
        let fits = records <= limit;
        let needed = || engine.durable().txn < self.base.meta.txn || (fits && !room());
        if needed() {
            // The order of the locks is writer, then flush: this thread holds the writer lock
            // already.
            let flush = FlushLock::take(&engine, None)?;
            if needed() {
                let failed = failed();
                engine.repair_or_lead(&self.lock, &flush)?;
                self.check_base()?;
                if failed {
                    self.doubt_own_pages(fits)?;
                }
            }
        }
        engine.knows_all_above(self.base.meta.txn);
        Ok(room())
    }

    /// Rule 23, for pages of the transaction that it has read again behind their way into the page
    /// cache: what it has made of them is in other pages by now, whose checksums are good. They can
    /// have come back as older ones only if their write-back has failed, of which the mark says, or
    /// the kernel, or the sync of this handle. (What the kernel says may be news of long ago.)
    fn prove_own_pages(&self) -> Result<()> {
        if !self.pages().store.has_read_own() {
            return Ok(());
        }
        let engine = self.engine();
        let told = || engine.words().repair_mark().sync_failed();
        if !told() && engine.platform.write_back_failed() {
            // Whoever flushes meanwhile must not miss what this sync is told: he is told by the
            // mark.
            let _lock = FlushLock::take(engine, None)?;
            let _ = engine.sync_pages(self.pages().page_count());
        }
        if told() { Err(Error::TransactionBroken { path: None }) } else { Ok(()) }
    }

    /// Rule 23: the sync that failed took this transaction's pages along, as far as they were in
    /// the page cache; the kernel may call them clean, and the repair has not rewritten what no
    /// list names yet. So the mark goes up again: whoever flushes this transaction repairs first,
    /// with its pages in the list. Without a place there it cannot go on.
    fn doubt_own_pages(&self, listed: bool) -> Result<()> {
        self.engine().words().note_sync_failed();
        if listed { Ok(()) } else { Err(Error::TransactionBroken { path: None }) }
    }
}

impl Engine {
    /// The second half of a commit: returns when `txn`, which has been built, is durable.
    pub fn finish_commit(&self, txn: TxnId) -> Result<()> {
        if !self.make_durable(txn).map_err(may_have_happened)? {
            self.observer.grouped();
        }
        self.forget_built(txn);
        Ok(())
    }

    /// The same for a transaction on `base`, and how it has become durable.
    pub fn finish_watched(&self, txn: TxnId, base: TxnId) -> Result<Flushed> {
        let mut watch = FlushWatch::new(base);
        if !self.make_durable_watched(txn, &mut watch).map_err(may_have_happened)? {
            self.observer.grouped();
        }
        self.forget_built(txn);
        Ok(watch.end())
    }
}

/// The contract of a commit, for everything that fails behind the move of W.
fn may_have_happened(e: Error) -> Error {
    e.outcome_unknown()
}

/// The same for everything before it: what became of older transactions is not this one's answer.
fn did_not_happen(e: Error) -> Error {
    match e {
        Error::OutcomeUnknown { .. } => Error::TransactionBroken { path: None },
        other => other,
    }
}
