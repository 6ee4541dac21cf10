//! The end of a handle.

use super::deadline::close_by;
use super::engine::Engine;
use super::locks::{FlushLock, WriterLock};
use crate::error::Result;
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
            let flush = AssertUnwindSafe(|| self.flush_at_close());
            let _ = catch_unwind(flush);
        } else {
            let _ = self.flush_at_close();
        }
        self.observer.closed();
    }
}
