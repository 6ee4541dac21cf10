//! Deferred commits that a handle has acknowledged: a roll-back that takes one of them back is told
//! to who flushes (rule 22), whatever this handle has committed since.

use crate::shared::layout::CommitWords;
use crate::shared::words::Outcome;
use crate::types::TxnId;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a handle knows of its deferred commits.
#[derive(Default)]
pub struct Acknowledged {
    /// The newest of which it is not known what became of it, 0 none. A roll-back takes everything
    /// above D, so it is among what is taken back if any of them is.
    newest: AtomicU64,
    /// Some were rolled back, and nobody was told yet.
    lost: AtomicBool,
}

impl Acknowledged {
    /// A deferred commit is acknowledged. The writer lock is held.
    pub fn note(&self, txn: TxnId, words: &CommitWords) {
        self.judge(words);
        self.newest.store(txn.0, Ordering::Relaxed);
    }

    /// Looks what became of the newest one. Often enough that no more roll-backs come between than
    /// are told apart: at each commit and flush of the handle.
    pub fn judge(&self, words: &CommitWords) {
        let txn = self.newest.load(Ordering::Relaxed);
        if txn == TxnId::NONE.0 {
            return;
        }
        let is_lost = match words.outcome(TxnId(txn), || ()) {
            Outcome::Durable => false,
            Outcome::RolledBack => true,
            Outcome::Pending | Outcome::FlushFailed => return,
        };
        // Another thread may have judged the same one, or acknowledged the next.
        let Acknowledged { newest, lost } = self;
        let judged = newest.compare_exchange(txn, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if judged && is_lost {
            lost.store(true, Ordering::Relaxed);
        }
    }

    /// Whether some were rolled back since this was last asked.
    pub fn take_lost(&self, words: &CommitWords) -> bool {
        self.judge(words);
        self.lost.swap(false, Ordering::Relaxed)
    }
}
