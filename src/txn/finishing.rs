//! Commits that say what they have done, and those that another thread finishes.
//!
//! - F1: what a future says is the outcome of the flush, and it is ready when that has ended.
//! - F2: a commit that nobody awaits goes on.
//! - F3: a handle that closes waits for what its thread has still to do.
//! - F4: a deferred transaction is visible when the call returns, and one that has changed nothing
//!   awaits what it has found.
//! - F5: where a flush is due, for what has to be proved or for the length of the file, the calling
//!   thread waits for it.

use super::write::Writer;
use crate::commit::background::Work;
use crate::commit::engine::Engine;
use crate::commit::promise::Promise;
use crate::commit::report::{CommitReport, FlushKind, Flushed};
use crate::error::Result;
use crate::types::TxnId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A transaction that is built, and what is known of its commit so far.
struct Unfinished {
    /// What has to be durable, and what that stands on.
    awaited: Option<[TxnId; 2]>,
    /// Before its thread goes on; see [`Built::due`](crate::commit::build::Built::due).
    due: bool,
    built: Instant,
    report: CommitReport,
}

impl Writer {
    /// As [`Writer::commit`], and what it has done.
    pub fn commit_with_report(self) -> Result<CommitReport> {
        let engine = Arc::clone(self.engine());
        engine.check_alive()?;
        engine.committing(self.txn(), self.draft.durability(), || {
            self.build_timed(false)?.finish(&engine)
        })
    }

    /// Builds the transaction, and has the thread of the handle make it durable, whatever its
    /// durability says: that says when it is visible. The calling thread does so itself where it
    /// may not go on before.
    pub fn commit_in_background(self) -> Promise {
        let engine = Arc::clone(self.engine());
        self.build_for_background().unwrap_or_else(|e| Promise::kept(Err(engine.named(e))))
    }

    fn build_for_background(self) -> Result<Promise> {
        let engine = Arc::clone(self.engine());
        // Whatever can fail comes before it is built.
        let thread = engine.start_background()?;
        let (keeper, promise) = Promise::new(thread, engine.platform.data_path())?;
        let (txn, durability) = (self.txn(), self.draft.durability());
        let unfinished = self.build_timed(true)?;
        if unfinished.awaited.is_none() {
            return Ok(Promise::kept(Ok(unfinished.report)));
        }
        if unfinished.due {
            let outcome = engine.committing(txn, durability, || unfinished.finish(&engine));
            return Ok(Promise::kept(outcome));
        }
        // The handle stays open until it is done.
        let own = Arc::clone(&engine);
        let work: Work = Box::new(move || {
            let outcome = own.committing(txn, durability, || unfinished.finish(&own));
            // Before anybody hears of it: who closes the handle then has closed it.
            drop(own);
            Box::new(move || keeper.keep(outcome))
        });
        engine.in_background(work);
        Ok(promise)
    }

    /// The first half of a commit. It is to be durable, or as its durability says.
    fn build_timed(self, durable: bool) -> Result<Unfinished> {
        let begun = Instant::now();
        let unchanged = self.draft.to_be_flushed(durable).map(|base| [base, base]);
        let page_size = self.draft.base().page_size as u64;
        let built = self.build()?;
        let end = Instant::now();
        let (id, wrote) = built.as_ref().map(|built| (built.txn.0, built.wrote)).unzip();
        let wrote = wrote.unwrap_or_default();
        let due = built.as_ref().is_some_and(|built| built.due);
        let awaited = match built {
            None => unchanged,
            Some(built) => {
                let open = built.flush || (durable && wrote.flush.is_none());
                open.then_some([built.txn, built.base])
            }
        };
        let nothing = Flushed { kind: FlushKind::None, time: Duration::ZERO };
        let flushed = wrote.flush.unwrap_or(nothing);
        let report = CommitReport {
            id,
            pages_written: wrote.pages,
            bytes_written: wrote.pages * page_size,
            pages_spilled: wrote.spilled,
            pages_freed: wrote.freed,
            file_growth: wrote.growth,
            flush: flushed.kind,
            build_time: (end - begun).saturating_sub(flushed.time),
            wait_time: Duration::ZERO,
            flush_time: flushed.time,
        };
        Ok(Unfinished { awaited, due, built: end, report })
    }
}

impl Unfinished {
    /// The second half of the commit.
    fn finish(self, engine: &Engine) -> Result<CommitReport> {
        let Some([txn, base]) = self.awaited else { return Ok(self.report) };
        let Flushed { kind, time } = engine.finish_watched(txn, base)?;
        let wait_time = self.built.elapsed().saturating_sub(time);
        Ok(CommitReport { flush: kind, wait_time, flush_time: time, ..self.report })
    }
}
