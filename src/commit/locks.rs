//! The writer lock and the flush lock, held as long as a value lives.
//!
//! Each is two locks, taken one after the other: one among the threads of the handle, then a byte
//! lock among the handles of all processes. The order is writer, then flush: nobody who holds the
//! flush lock waits for the writer lock.
//!
//! Invariant: the engine outlives its locks. Whoever drops the last reference to it holds neither
//! of them any more ([`WriterLock`]'s drop).
//!
//! Thread rules: a lock may be given back on any thread.

use super::deadline::left_until;
use super::engine::{Engine, WriterCache};
use super::leadership::Leader;
use crate::error::{Error, Result};
use crate::shared::words::{FlushHeld, WriterHeld};
use parking_lot::{ArcMutexGuard, RawMutex};
use std::ops::Deref;
use std::time::Instant;

/// The writer lock, for as long as the value lives: a transaction owns its engine, a piece of work
/// borrows it.
pub struct WriterLock<E: Deref<Target = Engine>> {
    /// Not handed over when it is given back: whoever waits would have to be woken before the next
    /// transaction can begin.
    local: Option<ArcMutexGuard<RawMutex, WriterCache>>,
    shared: bool,
    engine: E,
}

impl<E: Deref<Target = Engine>> WriterLock<E> {
    /// Waits for it, without an end for ever. [`Error::Busy`] when the time is over,
    /// [`Error::WriterOnThisThread`] if that would never end.
    pub fn take(engine: E, end: Option<Instant>) -> Result<WriterLock<E>> {
        engine.shared.check_alive()?;
        engine.writer_thread.wait_for_own(end)?;
        WriterLock::wait(engine, end)
    }

    /// Takes it if nobody has it, on this thread or another.
    pub fn try_take(engine: E) -> Result<WriterLock<E>> {
        engine.shared.check_alive()?;
        WriterLock::wait(engine, Some(Instant::now()))
    }

    fn wait(engine: E, end: Option<Instant>) -> Result<WriterLock<E>> {
        let local = match end {
            None => engine.writer.lock_arc(),
            Some(end) => engine.writer.try_lock_arc_until(end).ok_or(Error::Busy { path: None })?,
        };
        let mut lock = WriterLock { local: Some(local), shared: false, engine };
        lock.shared = lock.engine.shared.lock_writer(left_until(end))?;
        if !lock.shared {
            return Err(Error::Busy { path: None });
        }
        lock.engine.writer_thread.changes_here();
        Ok(lock)
    }

    /// The handle that has it.
    #[inline]
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// What the writer of the handle keeps.
    pub fn cache(&mut self) -> Option<&mut WriterCache> {
        self.local.as_deref_mut()
    }
}

impl<E: Deref<Target = Engine>> WriterHeld for WriterLock<E> {}

impl<E: Deref<Target = Engine>> Drop for WriterLock<E> {
    fn drop(&mut self) {
        if self.engine.shared.check_alive().is_err() {
            // A forked child, or a process that is dead in the simulation: nothing here is ours.
            std::mem::forget(self.local.take());
            return;
        }
        if self.shared {
            self.engine.writer_thread.clear();
            self.engine.shared.unlock_writer();
        }
        // Here and not with the fields: the engine may end with this value, and takes its locks
        // when it ends.
        self.local = None;
    }
}

/// The leadership in this handle and the flush lock of all processes.
pub struct FlushLock<'a> {
    engine: &'a Engine,
    /// Dropped after the flush lock is given back.
    _leader: Leader<'a>,
}

impl<'a> FlushLock<'a> {
    /// Waits for it, without an end for ever; [`Error::Busy`] when the time is over.
    pub fn take(engine: &'a Engine, end: Option<Instant>) -> Result<FlushLock<'a>> {
        FlushLock::of(engine, engine.leadership.wait(end).ok_or(Error::Busy { path: None })?, end)
    }

    /// The same, or None after another thread of this handle has led a flush.
    pub fn take_or_wait(engine: &'a Engine) -> Result<Option<FlushLock<'a>>> {
        engine
            .leadership
            .lead_or_wait()
            .map(|leader| FlushLock::of(engine, leader, None))
            .transpose()
    }

    fn of(engine: &'a Engine, leader: Leader<'a>, end: Option<Instant>) -> Result<FlushLock<'a>> {
        if !engine.shared.lock_flush(left_until(end))? {
            return Err(Error::Busy { path: None });
        }
        Ok(FlushLock { engine, _leader: leader })
    }

    /// Takes it if nobody leads a flush.
    pub fn try_take(engine: &'a Engine) -> Result<Option<FlushLock<'a>>> {
        let Some(leader) = engine.leadership.try_lead() else { return Ok(None) };
        let got = engine.shared.try_lock_flush()?;
        Ok(got.then(|| FlushLock { engine, _leader: leader }))
    }
}

impl FlushHeld for FlushLock<'_> {}

impl Drop for FlushLock<'_> {
    fn drop(&mut self) {
        if self.engine.shared.check_alive().is_ok() {
            self.engine.shared.unlock_flush();
        }
    }
}

impl Engine {
    /// Runs work that needs the writer lock but is no transaction.
    pub(super) fn with_writer_lock<T>(
        &self,
        work: impl FnOnce(&WriterLock<&Engine>) -> Result<T>,
    ) -> Result<T> {
        work(&WriterLock::take(self, None)?)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::commit::durability::Durability;
    use crate::commit::engine::EngineOptions;
    use crate::commit::open::initial_file;
    use crate::storage::sim::{ProcessOptions, SimDisk, SimOptions};
    use std::time::Duration;

    /// On this machine a wait without an end is a panic.
    #[test]
    fn a_repair_waits_for_a_flush_no_longer_than_the_writer_may() {
        let file = initial_file(4096, [1; 16]);
        let disk = SimDisk::from_image(&file, SimOptions::new(1, crate::shared::layout::SIZE));
        let disk = disk.unwrap();
        let open = || {
            let process = disk.process(ProcessOptions::default());
            Engine::open(process, EngineOptions::default()).unwrap()
        };
        let (one, other) = (open(), open());
        let flush = FlushLock::take(&one, None).unwrap();
        one.words().request_repair();
        for timeout in [Duration::ZERO, Duration::from_millis(20)] {
            for engine in [&one, &other] {
                let begun = engine.begin_write(Some(timeout), Durability::Durable);
                assert!(matches!(begun, Err(Error::Busy { .. })));
            }
        }
        drop(flush);
        drop(other.begin_write(Some(Duration::ZERO), Durability::Durable).unwrap());
        assert!(!one.words().repair_mark().is_set());
    }
}
