//! The end of a handle.

use super::deadline::close_by;
use super::engine::Engine;
use super::image::check_known;
use super::locks::{FlushLock, WriterLock};
use crate::error::Result;
use crate::format::meta::{Meta, Phase};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Engine {
    /// Makes what this handle has built durable, as far as that can be had without waiting for a
    /// write transaction, and for others' flushes no longer than [`close_by`] says.
    fn flush_at_close(&self) -> Result<()> {
        if self.own_is_settled() {
            return Ok(());
        }
        let end = Some(close_by());
        let flush = FlushLock::take(self, end)?;
        if self.own_is_settled() {
            return Ok(());
        }
        if !self.is_marked(&flush) {
            return self.lead_flush(&flush);
        }
        // The order of the locks is writer, then flush.
        drop(flush);
        let writer = WriterLock::try_take(self)?;
        let flush = FlushLock::take(self, end)?;
        if self.own_is_settled() { Ok(()) } else { self.repair_or_lead(&writer, &flush) }
    }

    /// Rule 26, at the end of the last handle: D's content goes into the other slot, in two
    /// phases. It is the newer meta then, and has no manifest to be doubted. Who opens the
    /// file next may not find what says what the slots were synced with (another lock file,
    /// none, or one of its own alone), and would take a page or a meta that has rotted for
    /// one of a commit that was cut off, and the commit before it for the last. One sync, and
    /// none where nothing has come since. A failure takes nothing back: D stays where it is.
    fn settle_at_close(&self) -> Result<()> {
        if self.check_writable().is_err() || self.is_in_both_slots()? {
            return Ok(());
        }
        match self.platform.exclusive() {
            true => self.settle(),
            // Beside others it waits for the last of them; where two go at once, neither may be.
            false => self.shared.if_alone(|| self.settle()),
        }
    }

    /// Whether D is in both slots, and has no manifest in its own.
    fn is_in_both_slots(&self) -> Result<bool> {
        let durable = self.durable();
        let (meta, phase) = self.decode_slot(&self.slot_bytes(durable.slot)?, durable)?;
        let other = Meta::decode(&self.slot_bytes(durable.slot ^ 1)?);
        Ok(phase == Phase::TwoPhase && other.is_ok_and(|(other, _)| other.same_snapshot(&meta)))
    }

    fn settle(&self) -> Result<()> {
        let flush = FlushLock::take(self, Some(close_by()))?;
        let durable = self.durable();
        let is_at_rest = durable.txn == self.built() && !self.is_marked(&flush);
        if !is_at_rest || self.opening_is_pending() || self.is_in_both_slots()? {
            return Ok(());
        }
        let (meta, _) = self.decode_slot(&self.slot_bytes(durable.slot)?, durable)?;
        check_known(&meta)?;
        // An id that nobody uses: it only makes this the newer one.
        let newer = meta.renewed(self.session, self.words().last_id(), 1);
        self.store_in_other_slot(&flush, &newer)
    }

    fn close(&self) -> Result<()> {
        self.flush_at_close()?;
        self.settle_at_close()
    }
}

impl Drop for Engine {
    /// Nobody can be told of an error here; `flush` before closing is the way to know. What is not
    /// durable afterwards stays visible, and the next flush, of whoever has the database open or
    /// opens it next, takes it along.
    fn drop(&mut self) {
        if self.shared.check_alive().is_err() {
            return;
        }
        if std::thread::panicking() {
            // From a panic of the program: a second one would end the process.
            let close = AssertUnwindSafe(|| self.close());
            let _ = catch_unwind(close);
        } else {
            let _ = self.close();
        }
        self.observer.closed();
    }
}
