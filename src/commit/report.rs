//! What a commit has done, and how long its parts took.
//!
//! What a transaction has written is counted for each commit; the clock is read only where somebody
//! asks for a report.

use crate::types::TxnId;
use std::time::{Duration, Instant};

/// What a commit has written, and where its time went: what
/// [`WriteTxn::commit_with_report`](crate::WriteTxn::commit_with_report) and
/// [`WriteTxn::commit_async`](crate::WriteTxn::commit_async) give.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CommitReport {
    /// Id of the transaction; None if it has changed nothing: then there is none of this id.
    pub id: Option<u64>,
    /// Pages that it has written, those of large values and of the list of free pages included, and
    /// those it has given up again before its end not. The meta page of the flush is not among
    /// them: all that the flush makes durable share it.
    pub pages_written: u64,
    /// The same in bytes.
    pub bytes_written: u64,
    /// Pages that went to the page cache before the commit, because the transaction had outgrown
    /// [`Builder::stage_bytes`](crate::Builder::stage_bytes). One that was changed again afterwards
    /// counts again. Large values, and the direct sink, write at once and count nothing here.
    pub pages_spilled: u64,
    /// Pages of older transactions that this one has no use for any more. They are used again when
    /// nobody sees them. Each page that is changed counts: it was copied.
    pub pages_freed: u64,
    /// Bytes by which the file has become longer for it: rounded up, so that most transactions find
    /// the room made.
    pub file_growth: u64,
    /// How it has become durable.
    pub flush: FlushKind,
    /// From the call until the transaction was built and the writer lock given back: dirty pages
    /// into the page cache, and what has to be durable before, where there is such.
    pub build_time: Duration,
    /// Waiting for its turn: for the flush of others, which may have carried it, or for a repair.
    pub wait_time: Duration,
    /// The flush that it has led: zero if it led none.
    pub flush_time: Duration,
}

/// How a commit has become durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum FlushKind {
    /// There was nothing to wait for: it is deferred, or it changed nothing and stands on nothing
    /// that was deferred.
    #[default]
    None,
    /// By a flush of its own, which carried no other transaction.
    Own,
    /// By a flush that it led, and that carried others: older ones that were not durable, or newer
    /// ones that were built until the flush began.
    Led,
    /// By a flush that another one led, of any process, or by a repair.
    Carried,
}

/// What a transaction has written by the time it is built.
#[derive(Clone, Copy, Default, Debug)]
pub struct Wrote {
    /// Pages.
    pub pages: u64,
    /// Pages that were spilled.
    pub spilled: u64,
    /// Pages of older transactions that were given up.
    pub freed: u64,
    /// Bytes by which the file has grown.
    pub growth: u64,
    /// The flush, where one had to come before the writer lock was given back.
    pub flush: Option<Flushed>,
}

/// A flush, as one of the transactions that it has carried sees it.
#[derive(Clone, Copy, Debug)]
pub struct Flushed {
    /// Who led it.
    pub kind: FlushKind,
    /// How long that took.
    pub time: Duration,
}

/// Watches how a transaction becomes durable.
pub struct FlushWatch {
    /// What it stands on.
    base: TxnId,
    led: Option<Flushed>,
}

impl FlushWatch {
    /// Of a transaction on this base.
    pub fn new(base: TxnId) -> FlushWatch {
        FlushWatch { base, led: None }
    }

    /// The transaction `txn` has led a flush since `begun`, which has moved D from here to there.
    pub fn led(&mut self, txn: TxnId, [before, after]: [TxnId; 2], begun: Instant) {
        let alone = before == self.base && after == txn;
        let kind = if alone { FlushKind::Own } else { FlushKind::Led };
        self.led = Some(Flushed { kind, time: begun.elapsed() });
    }

    /// What it has seen, now that the transaction is durable.
    pub fn end(self) -> Flushed {
        self.led.unwrap_or(Flushed { kind: FlushKind::Carried, time: Duration::ZERO })
    }
}
