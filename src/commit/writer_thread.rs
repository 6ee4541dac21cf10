//! Which thread of this process has the write transaction of a data file.
//!
//! Whoever has it and asks for it again, through whatever handle, would wait for itself for ever;
//! so the thread that has it is known to all handles that the process has on the file.
//!
//! Invariants
//! - The name of a thread is stored and cleared by the holder of the byte lock only, so it is never
//!   about anybody else.
//! - A transaction may be sent to another thread: whoever changes something in it is named. Only
//!   one that was sent away and not used since goes by its old name; therefore a thread that finds
//!   its own name waits for a moment.
//! - Who only reads in it may have been sent it, or may have borrowed it for a while: such threads
//!   are named beside the one that has changed it last, until somebody changes it. A thread is told
//!   that it has the transaction where it has not, rather than waiting for itself. (Where more than
//!   [`READERS`] have read, one of the others is forgotten.)

use super::deadline::end_of;
use crate::error::{Error, Result};
use crate::storage::Platform;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a thread that seems to have the write transaction waits for a sign that it has been
/// sent to another one.
const GRACE: Duration = Duration::from_secs(1);
/// The simulation has no other thread, and waits for none.
#[cfg(feature = "harness")]
static NO_GRACE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long an opening waits for the table of names: for ever only in a forked child, if another
/// thread of its parent had it.
const TABLE_WAIT: Duration = Duration::from_millis(100);

/// The threads of this process that may have the write transaction of one data file, 0 none.
#[derive(Default)]
pub(crate) struct WriterThread {
    /// That began it, or has changed something in it since.
    changes: AtomicU64,
    /// Others that have read in it since. The first one is taken first.
    reads: [AtomicU64; READERS],
}

/// Threads that are known to have read in a transaction that another one has changed last.
const READERS: usize = 7;

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
        let token = this_thread();
        self.changes.load(Relaxed) == token || self.has_read(token)
    }

    fn has_read(&self, token: u64) -> bool {
        self.reads.iter().any(|read| read.load(Relaxed) == token)
    }

    /// It is the calling thread from now on, and no other: it has the transaction to itself.
    #[inline]
    pub fn changes_here(&self) {
        let token = this_thread();
        if self.changes.load(Relaxed) != token {
            self.changes.store(token, Relaxed);
        }
        if self.reads[0].load(Relaxed) != 0 {
            self.forget_readers();
        }
    }

    #[cold]
    fn forget_readers(&self) {
        // The first one last: who sees it free sees all of them free.
        self.reads.iter().rev().for_each(|read| read.store(0, Relaxed));
    }

    /// The calling thread reads in the transaction, perhaps beside others: so it looks first, as
    /// the line is shared.
    #[inline]
    pub fn reads_here(&self) {
        let token = this_thread();
        if self.changes.load(Relaxed) != token && !self.has_read(token) {
            self.note_reader(token);
        }
    }

    #[cold]
    fn note_reader(&self, token: u64) {
        let free = |read: &&AtomicU64| read.compare_exchange(0, token, Relaxed, Relaxed).is_ok();
        if self.reads.iter().find(free).is_none() {
            self.reads[token as usize % READERS].store(token, Relaxed);
        }
    }

    /// No thread has it any more.
    pub fn clear(&self) {
        self.changes.store(0, Relaxed);
        self.forget_readers();
    }

    /// Returns when this thread does not have the write transaction. It may have been sent to
    /// another thread that has not touched it yet.
    pub fn wait_for_own(&self, end: Option<Instant>) -> Result<()> {
        let grace_ends = end_of(Some(grace()));
        let over = |end: Option<Instant>| end.is_some_and(|end| Instant::now() >= end);
        while self.is_this() {
            if over(end) {
                return Err(Error::Busy { path: None });
            }
            if over(grace_ends) {
                return Err(Error::WriterOnThisThread { path: None });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
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
