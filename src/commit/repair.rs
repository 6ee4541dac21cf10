//! Repair (rules 19 to 23): after a failed sync, a process that died while it led a flush, or an
//! opening that could not rely on the shared memory.
//!
//! Runs under the writer and the flush lock: no reuse and no new writer meanwhile. Readers go on.
//! Any error or death inside leaves the mark standing, and the next writer starts again.

use super::engine::Engine;
use super::image::BuiltImage;
use super::locks::{FlushLock, WriterLock};
use super::slots::fits;
use super::snapshot::encode_snapshot;
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta};
use crate::shared::words::{Content, Durable, FlushHeld, RepairMark, WriterHeld};
use crate::types::TxnId;
use std::sync::Arc;
use std::time::Instant;

impl Engine {
    /// Rule 1: repairs if the mark is set; [`Error::Busy`] if others flush until the time is over.
    pub(super) fn repair_if_marked(
        &self,
        writer: &WriterLock<Arc<Engine>>,
        end: Option<Instant>,
    ) -> Result<()> {
        let words = self.words();
        self.ask_for_failed_write_back();
        // What stands in the page cache above D may be what a device has refused, of which this
        // handle is not told: nothing is copied from it before it is proved (rules 18, 23).
        let unproved = self.durable().txn < self.opened_at();
        let needed = unproved || words.repair_mark().is_set();
        if !needed && !self.leader_died(words.flushing()) {
            return Ok(());
        }
        let lock = match needed {
            true => Some(FlushLock::take(self, end)?),
            // F alone is a mark only if nobody holds the flush lock: its leader died.
            false => FlushLock::try_take(self)?,
        };
        match lock {
            Some(lock) if self.is_marked(&lock) => self.repair(writer, &lock),
            _ => Ok(()),
        }
    }

    /// Rule 23, where something that has been built is not durable: whether a write-back has failed
    /// since, whoever was told of it. Whoever is told by a sync may not have said so yet, or be
    /// dead. Writer lock held.
    pub(super) fn ask_for_failed_write_back(&self) {
        if self.durable().txn < self.built() && self.platform.write_back_failed() {
            self.words().note_sync_failed();
        }
    }

    /// Rule 23, for a transaction whose base was not durable: an error if what it has read until
    /// now may not be what was built.
    pub(super) fn prove_base(&self) -> Result<()> {
        self.ask_for_failed_write_back();
        let failed = self.words().repair_mark().sync_failed();
        let unproved = self.durable().txn < self.built();
        if failed && unproved { Err(Error::TransactionBroken { path: None }) } else { Ok(()) }
    }

    /// Takes the locks in their order and repairs, if that is still needed.
    pub(super) fn repair_now(&self) -> Result<()> {
        self.with_writer_lock(|writer| {
            let lock = FlushLock::take(self, None)?;
            if self.is_marked(&lock) { self.repair(writer, &lock) } else { Ok(()) }
        })
    }

    /// For a builder that needs everything before it durable.
    pub(super) fn repair_or_lead(
        &self,
        writer: &impl WriterHeld,
        lock: &FlushLock<'_>,
    ) -> Result<()> {
        if self.is_marked(lock) { self.repair(writer, lock) } else { self.lead_flush(lock) }
    }

    /// Runs work at a moment at which the newest transaction is visible and durable, with the
    /// writer lock held. In a thread that has the write transaction itself no repair is led, which
    /// could roll that transaction's base back: then [`Error::WriterOnThisThread`]. (The
    /// transaction may have gone to another thread meanwhile: what is done here needs no writer
    /// lock.)
    pub(crate) fn with_all_durable<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.writer_thread.is_this() {
            let lock = FlushLock::take(self, None)?;
            if self.is_marked(&lock) {
                return Err(Error::WriterOnThisThread { path: None });
            }
            self.lead_flush(&lock)?;
            drop(lock);
            return work();
        }
        self.with_writer_lock(|writer| {
            let lock = FlushLock::take(self, None)?;
            if self.durable().txn < self.built() {
                self.repair_or_lead(writer, &lock)?;
            }
            drop(lock);
            work()
        })
    }

    /// The meta of a snapshot, if it is the newest built or the durable one.
    pub(crate) fn meta_of(&self, txn: TxnId) -> Result<Option<Meta>> {
        let image = self.load_image()?;
        if image.meta.txn == txn {
            return Ok(Some(image.meta));
        }
        let durable = self.durable();
        if durable.txn != txn {
            return Ok(None);
        }
        // The slot may have been written again since: then it holds another transaction, or half of
        // one.
        let meta = Meta::decode(&self.slot_bytes(durable.slot)?).ok();
        Ok(meta.map(|(meta, _)| meta).filter(|meta| meta.txn == txn))
    }

    fn repair(&self, writer: &impl WriterHeld, lock: &FlushLock<'_>) -> Result<()> {
        self.check_writable()?;
        self.load_known_image()?;
        let words = self.words();
        let before = words.request_repair();
        let opening = self.opening_is_pending();
        let repair = self.observer.repair(self.built(), self.durable().txn, opening);
        self.platform.step("repair: marked");
        if opening {
            self.finish_opening(writer, lock)?;
        }
        self.finish_flush(lock)?;
        let image = self.load_known_image()?;
        let durable = self.durable().txn;
        if image.meta.txn == durable {
            if self.shared.visible() < durable {
                self.shared.publish_flushed(&encode_snapshot(&image.meta))?;
            }
            words.start_list_at(lock, image.list_end, image.list_bytes);
        } else if !self.is_dead(image.meta.txn)
            && fits(&*self.platform, image.meta.page_count, self.page_size)?
            && (self.can_flush_again(&image, before) || self.rewrite_listed(&image)?)
        {
            // Rule 21: forward.
            self.put_back_meta(image.meta.txn)?;
            words.mark_settled_target(writer, lock, image.meta.txn);
            self.platform.step("repair: pages rewritten");
            self.flush_image(lock, &image)?;
        } else {
            self.roll_back(writer, lock, &image)?;
        }
        words.end_repair(writer, lock);
        self.platform.step("repair: done");
        repair.done();
        Ok(())
    }

    /// What stands in the slot that does not hold D may be durable, and may have been seen or
    /// acknowledged: it becomes D before anything newer is flushed over it. Rule 13, for a leader
    /// that died after its sync: then it is said to be so. Rule 30, for the target of a flush:
    /// nothing is said, but if it is whole, an older image of the lock file may not know that its
    /// flush has ended. Then its pages and its meta are made durable (again), as they stand there.
    fn finish_flush(&self, lock: &impl FlushHeld) -> Result<()> {
        let durable = self.durable();
        let slot = durable.slot ^ 1;
        let bytes = self.slot_bytes(slot)?;
        let Ok((meta, phase)) = Meta::decode(&bytes) else { return Ok(()) };
        let txn = meta.txn;
        let ours = meta.session == self.session && txn > durable.txn && txn <= self.built();
        if !ours || self.is_dead(txn) || !fits(&*self.platform, meta.page_count, self.page_size)? {
            return Ok(());
        }
        let content = Content { txn, crc: meta::crc_of(&bytes) };
        let words = self.words();
        if words.slot(slot) != Some(content) {
            let target = words.flushing() == txn;
            if !target || !self.rewrite_manifest(&phase)? {
                return Ok(());
            }
            self.write_slot(slot, &bytes)?;
            self.sync_pages(meta.page_count)?;
            self.platform.step("repair: flush target synced");
            words.record_slot(lock, slot, content);
        }
        if self.shared.visible() < txn {
            self.shared.publish_flushed(&encode_snapshot(&meta))?;
        }
        words.raise_id_limit(lock, meta.id_limit);
        words.set_durable(lock, Durable { txn, slot });
        self.platform.step("repair: flush of a dead leader finished");
        Ok(())
    }

    /// Rule 16, before F becomes `target`: a leader that died or failed may have left the meta of
    /// another transaction in the slot that does not hold D. Whoever opens the database alone
    /// believes the shared memory only if the newest meta is D or F, and visible commits that are
    /// not durable yet stand nowhere else. No sync: what the device has of that meta is as good as
    /// the copy of D.
    fn put_back_meta(&self, target: TxnId) -> Result<()> {
        let durable = self.durable();
        let other = Meta::decode(&self.slot_bytes(durable.slot ^ 1)?);
        let newer = other.is_ok_and(|(meta, _)| meta.txn > durable.txn && meta.txn != target);
        if newer {
            let bytes = self.slot_bytes(durable.slot)?;
            self.decode_slot(&bytes, durable)?;
            self.write_slot(durable.slot ^ 1, &bytes)?;
            self.platform.step("repair: older meta put back");
        }
        Ok(())
    }

    /// Rule 21: where no sync has failed, a leader has died and nothing is wrong with the pages; if
    /// the list has not all of them, a flush in two phases needs none of it. This handle's
    /// description is told if some did not reach the device, provided that it was open when they
    /// were written. `mark` is as the repair has found it.
    fn can_flush_again(&self, image: &BuiltImage, mark: RepairMark) -> bool {
        let durable = self.durable().txn;
        image.unlisted > durable && !mark.sync_failed() && self.opened_at() <= durable
    }
}
