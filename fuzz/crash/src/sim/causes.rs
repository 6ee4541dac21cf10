//! Which errors a call may give now, and why: every kind has its cause, or the engine has made it
//! up.

use super::script::PROCESSES;
use recto::Error;

/// What was being done when an error came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum During {
    Open,
    Read,
    /// A write transaction begins; it may have to repair.
    Begin,
    Edit,
    /// A commit as a whole: what it says of itself is taken at its word.
    Commit,
    /// The second half of a commit: the transaction is built, so only its outcome can be in doubt.
    Settle,
    Flush,
    Check,
}

/// What has happened that a caller may be told of.
#[derive(Clone, Default, Debug)]
pub struct Causes {
    /// The disk has a limit.
    pub disk_may_be_full: bool,
    /// The device refuses pages now and then, from the first to the last.
    pub device_fails: bool,
    /// Writes or syncs have failed: outcomes may be unknown, what was visible may be rolled back.
    pub syncs_may_fail: bool,
    /// Calls of this operation have failed, for want of room or for another reason.
    pub full_now: bool,
    pub failed_now: bool,
    /// Processes that have their turn while others are stopped in the middle of something.
    pub turns: u32,
    /// The device was gone for a moment, and what was not durable with it.
    pub device_was_gone: bool,
    /// Pages of an open transaction or of what it stands on have left the cache: what it reads is
    /// worth nothing, and it is never committed.
    pub pages_lost: bool,
    /// Who keeps a write transaction from one operation to the next.
    pub writers: [bool; PROCESSES as usize],
}

impl Causes {
    /// Another operation begins.
    pub fn next_kind(&mut self) {
        (self.full_now, self.failed_now) = (false, false);
    }

    /// A call fails.
    pub fn failed(&mut self, errno: i32) {
        match errno {
            libc::ENOSPC => self.full_now = true,
            _ => self.failed_now = true,
        }
    }

    /// What was visible may be rolled back.
    pub fn unreliable(&self) -> bool {
        self.syncs_may_fail || self.device_fails
    }

    /// Somebody holds a lock and does not go on before this call is over.
    pub fn stopped(&self) -> bool {
        self.turns > 0 || self.writers.contains(&true)
    }

    /// Whether an error is an honest one.
    pub fn explain(&self, e: &Error, during: During) -> bool {
        use During::*;
        let full = self.disk_may_be_full || self.full_now;
        let failed = self.failed_now || self.unreliable();
        match e {
            // Whatever keeps a built transaction from its end, nobody knows what has become of it.
            Error::OutcomeUnknown { .. } => match during {
                Commit | Settle => failed || full || self.stopped(),
                Flush => self.unreliable() || self.device_was_gone,
                Begin | Check => self.unreliable(),
                Open | Read | Edit => false,
            },
            _ if during == Settle => false,
            Error::DiskFull { .. } => full,
            Error::Io { .. } => failed,
            Error::Corrupt { .. } => matches!(during, Edit | Commit) && self.pages_lost,
            Error::TransactionBroken { .. } => {
                matches!(during, Edit | Commit) && (failed || self.full_now)
            }
            Error::Busy { .. } => during != Read && self.stopped(),
            Error::WriterOnThisThread { .. } => {
                matches!(during, Begin | Flush | Check) && self.writers.contains(&true)
            }
            _ => false,
        }
    }
}
