//! A commit that is awaited: by a task of any runtime, by a thread, or by nobody.

use crate::commit::promise::Promise;
use crate::commit::report::CommitReport;
use crate::error::Result;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A commit that becomes durable while its thread goes on:
/// [`WriteTxn::commit_async`](crate::WriteTxn::commit_async) gives it. It is ready when the
/// transaction is durable, or when it is known that nobody can promise that; it gives what
/// [`WriteTxn::commit_with_report`](crate::WriteTxn::commit_with_report) gives.
///
/// A future that needs no runtime: whoever polls it is woken by the thread of the handle that
/// flushes. It never blocks, may be polled on any thread, and is of no use when it has been ready:
/// it gives [`Error::InvalidArgument`](crate::Error::InvalidArgument) then. A thread can wait for
/// it with [`CommitFuture::wait`]. To drop it is to have no interest in the outcome: the commit
/// goes on.
#[must_use = "nothing else says whether the transaction is durable, or was made at all"]
pub struct CommitFuture {
    promise: Promise,
}

impl CommitFuture {
    pub(super) fn new(promise: Promise) -> CommitFuture {
        CommitFuture { promise }
    }

    /// Whether it is ready: polling gives the outcome, and waiting does not wait.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// let commit = txn.commit_async();
    /// while !commit.is_ready() {
    ///     std::thread::yield_now(); // something else
    /// }
    /// assert!(commit.wait()?.id.is_some()); // does not wait
    /// # Ok(()) }
    /// ```
    pub fn is_ready(&self) -> bool {
        self.promise.is_kept()
    }

    /// Waits for it, on a thread that may block: for programs without futures that have something
    /// else to do while the device works.
    ///
    /// Not in a waker: that runs on the thread which is to make commits durable. Where this one is
    /// not ready there, [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) says so at once,
    /// and the commit goes on.
    ///
    /// Errors: those of [`WriteTxn::commit_async`](crate::WriteTxn::commit_async).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut on_the_way = Vec::new();
    /// for n in 0..10u8 {
    ///     let mut txn = db.write()?;
    ///     txn.open_table("main")?.put(&[n], b"value")?;
    ///     on_the_way.push(txn.commit_async()); // the next begins while the device works
    /// }
    /// for commit in on_the_way {
    ///     commit.wait()?;
    /// }
    /// assert_eq!(db.read()?.table("main")?.len(), 10);
    /// # Ok(()) }
    /// ```
    pub fn wait(self) -> Result<CommitReport> {
        self.promise.wait()
    }
}

impl Future for CommitFuture {
    type Output = Result<CommitReport>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<CommitReport>> {
        self.promise.poll(context)
    }
}

impl fmt::Debug for CommitFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitFuture").field("is_ready", &self.is_ready()).finish()
    }
}
