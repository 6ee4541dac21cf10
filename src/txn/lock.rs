//! The writer lock, and which thread of this process has it.
//!
//! It is two locks, taken one after the other: a mutex of the handle (fair in the long run), then a byte lock among the handles of all
//! processes. Whoever has the write transaction of a file and asks for it again, through whatever handle, would wait for itself for
//! ever; so the thread that has it is known to all handles that the process has on the file.
//!
//! Invariants
//! - The name of a thread is stored and cleared by the holder of the byte lock only, so it is never about anybody else.
//! - A transaction may be sent to another thread: whatever is done with it names the thread that does it. Only one that was sent away and
//!   not touched since goes by its old name; therefore a thread that finds its own name waits for a moment.
//! - The engine outlives its locks: whoever drops the last reference to it holds neither of them any more ([`WriterLock`]'s drop).
//!
//! Thread rules: a lock may be given back on any thread.

use super::{Engine, store::WriterCache};
use crate::error::{Error, Result};
use crate::shared::words::WriterHeld;
use crate::storage::Platform;
use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a thread that seems to have the write transaction waits for a sign that it has been sent to another one.
const GRACE: Duration = Duration::from_secs(1);
/// The simulation has no other thread, and waits for none.
#[cfg(feature = "harness")]
static NO_GRACE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long an opening waits for the table of names: for ever only in a forked child, if another thread of its parent had it.
const TABLE_WAIT: Duration = Duration::from_millis(100);

/// The moment at which a timeout is over; None for one that has no end, or none that a clock can tell.
pub(crate) fn end_of(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// What is left until then.
pub(super) fn left_until(end: Option<Instant>) -> Option<Duration> {
    end.map(|end| end.saturating_duration_since(Instant::now()))
}

/// The thread of this process that has the write transaction of one data file, 0 none.
#[derive(Default)]
pub(crate) struct WriterThread(AtomicU64);

/// A process (a forked child has another mark), device and inode.
type FileKey = (usize, (u64, u64));

impl WriterThread {
    /// The one that all handles of this process on this file have.
    pub fn of(platform: &dyn Platform) -> Arc<WriterThread> {
        static TABLE: Mutex<BTreeMap<FileKey, Weak<WriterThread>>> = Mutex::new(BTreeMap::new());
        let key = (std::ptr::from_ref(platform.alive()).addr(), platform.data_file_id());
        let Some(mut table) = TABLE.try_lock_for(TABLE_WAIT) else { return Arc::default() };
        if let Some(known) = table.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        table.retain(|_, one| one.strong_count() > 0);
        let new = Arc::default();
        table.insert(key, Arc::downgrade(&new));
        new
    }

    /// Whether it is the calling thread.
    pub fn is_this(&self) -> bool {
        self.0.load(Relaxed) == this_thread()
    }

    /// It is the calling thread from now on: whoever calls has the transaction in its hands.
    #[inline]
    pub fn set_this(&self) {
        let token = this_thread();
        // A look first: a transaction may be read by several threads, and the line be shared.
        if self.0.load(Relaxed) != token {
            self.0.store(token, Relaxed);
        }
    }
}

/// No thread of this process is ever sent the transaction of another.
#[cfg(feature = "harness")]
pub(crate) fn no_grace() {
    NO_GRACE.store(true, Relaxed);
}

#[cfg(feature = "harness")]
fn grace() -> Duration {
    if NO_GRACE.load(Relaxed) { Duration::ZERO } else { GRACE }
}

#[cfg(not(feature = "harness"))]
const fn grace() -> Duration {
    GRACE
}

/// A number of the calling thread, never 0, never used again by another thread.
#[inline]
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static TOKEN: Cell<u64> = const { Cell::new(0) });
    TOKEN.with(|token| {
        if token.get() == 0 {
            token.set(NEXT.fetch_add(1, Relaxed));
        }
        token.get()
    })
}

/// The writer lock, for as long as the value lives: a transaction owns its engine, a piece of work borrows it.
pub(super) struct WriterLock<E: Deref<Target = Engine>> {
    /// Not handed over when it is given back: whoever waits would have to be woken before the next transaction can begin.
    local: Option<ArcMutexGuard<RawMutex, WriterCache>>,
    shared: bool,
    engine: E,
}

impl<E: Deref<Target = Engine>> WriterLock<E> {
    /// Waits for it, without an end for ever. [`Error::Busy`] when the time is over, [`Error::WriterOnThisThread`] if that would never end.
    pub fn take(engine: E, end: Option<Instant>) -> Result<WriterLock<E>> {
        engine.shared.check_alive()?;
        engine.wait_for_own_transaction(end)?;
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
            Some(end) => engine.writer.try_lock_arc_until(end).ok_or(Error::Busy)?,
        };
        let mut lock = WriterLock { local: Some(local), shared: false, engine };
        lock.shared = lock.engine.shared.lock_writer(left_until(end))?;
        if !lock.shared {
            return Err(Error::Busy);
        }
        lock.engine.writer_thread.set_this();
        Ok(lock)
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
            self.engine.writer_thread.0.store(0, Relaxed);
            self.engine.shared.unlock_writer();
        }
        // Here and not with the fields: the engine may end with this value, and takes its locks when it ends.
        self.local = None;
    }
}

impl Engine {
    /// Returns when this thread does not have the write transaction. It may have been sent to another thread that has not touched it yet.
    fn wait_for_own_transaction(&self, end: Option<Instant>) -> Result<()> {
        let grace_ends = end_of(Some(grace()));
        let over = |end: Option<Instant>| end.is_some_and(|end| Instant::now() >= end);
        while self.writer_thread.is_this() {
            if over(end) {
                return Err(Error::Busy);
            }
            if over(grace_ends) {
                return Err(Error::WriterOnThisThread);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

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
    use super::super::flush::FlushLock;
    use super::super::open::initial_file;
    use super::super::{EngineOptions, durability::Durability};
    use super::*;
    use crate::storage::sim::{ProcessOptions, SimDisk, SimOptions};

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
                assert!(matches!(begun, Err(Error::Busy)));
            }
        }
        drop(flush);
        drop(other.begin_write(Some(Duration::ZERO), Durability::Durable).unwrap());
        assert!(!one.words().repair_mark().is_set());
    }
}
