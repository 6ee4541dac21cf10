//! What happens on a simulated machine, and what a test may do about it.
//!
//! Every call that a real kernel would see is an event, numbered from 0. A hook is asked before the
//! event takes effect (a `Stored` event: after the stores that it tells of; a `SyncEnd`: after
//! everything is durable, before the caller learns of it). The hook may look at the disk, take cut
//! points, and run whole operations of *other* processes: no lock is held while it runs.
//!
//! Thread rules: a hook may be called from several threads at once if the test uses several.

use crate::storage::{LockByte, Step};
use std::cell::RefCell;
use std::sync::Arc;

/// Something that a process is about to do, or a point that it has reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// `write`, or `write_all_of` as one.
    Write {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// Stores through the writable view have been made.
    Stored {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// The file gets longer.
    Grow {
        /// Length before.
        from: u64,
        /// Length after.
        to: u64,
    },
    /// The file gets shorter.
    Truncate {
        /// Length before.
        from: u64,
        /// Length after.
        to: u64,
    },
    /// A sync starts: nothing of it is durable yet.
    SyncBegin {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// A sync has succeeded, its caller does not know yet.
    SyncEnd {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// A lock is about to be taken; only with [`super::SimOptions::lock_events`].
    Lock {
        /// The byte.
        byte: LockByte,
    },
    /// The file has grown, and the process maps the rest; only with
    /// [`super::SimOptions::lock_events`].
    Map {
        /// Length that was mapped.
        from: u64,
        /// Length of the file.
        to: u64,
    },
    /// A named point of a protocol.
    Step(Step),
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Events before this one on this machine.
    pub index: u64,
    /// What it is.
    pub kind: EventKind,
    /// The process it happens in, see [`super::SimProcess::id`].
    pub process: u32,
    /// 0, or how many hooks deep it happens.
    pub depth: u32,
}

/// What is to become of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It happens.
    Continue,
    /// The call fails with this `errno`; what it had done until then is random. Without effect on
    /// `Stored` and `Step`.
    Fail(i32),
    /// The process dies here: [`Killed`] unwinds.
    Kill,
    /// The power fails here: [`PowerLost`] unwinds, and the disk keeps the cut point.
    PowerCut,
}

/// Called at every event.
pub type Hook = Arc<dyn Fn(&super::SimDisk, &Event) -> Action + Send + Sync>;

/// What unwinds out of a process that was killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Killed {
    /// The process.
    pub process: u32,
}

/// What unwinds out of every process of a machine that lost its power.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PowerLost;

/// How a piece of work that might be stopped has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending<R> {
    /// It came to its end.
    Done(R),
    /// The process it ran in was killed.
    Killed(Killed),
    /// The machine lost its power.
    PowerLost,
}

impl<R> Ending<R> {
    /// The result, if the work came to its end.
    pub fn done(self) -> Option<R> {
        match self {
            Ending::Done(result) => Some(result),
            _ => None,
        }
    }
}

/// Runs `work`, and catches the death of its process or machine; real panics go on.
pub fn run<R>(work: impl FnOnce() -> R) -> Ending<R> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => Ending::Done(result),
        Err(payload) => match payload.downcast::<Killed>() {
            Ok(killed) => Ending::Killed(*killed),
            Err(payload) if payload.is::<PowerLost>() => Ending::PowerLost,
            Err(payload) => std::panic::resume_unwind(payload),
        },
    }
}

thread_local! {
    /// Hooks that run on this thread: machine and depth.
    static DEPTHS: RefCell<Vec<(u64, u32)>> = const { RefCell::new(Vec::new()) };
}

/// How many hooks of machine `machine` this thread is inside of.
pub(super) fn depth(machine: u64) -> u32 {
    DEPTHS.with_borrow(|all| all.iter().find(|one| one.0 == machine).map_or(0, |one| one.1))
}

/// Counts one hook more for as long as it lives.
pub(super) struct InHook(u64);

impl InHook {
    pub(super) fn enter(machine: u64) -> InHook {
        DEPTHS.with_borrow_mut(|all| match all.iter_mut().find(|one| one.0 == machine) {
            Some(one) => one.1 += 1,
            None => all.push((machine, 1)),
        });
        InHook(machine)
    }
}

impl Drop for InHook {
    fn drop(&mut self) {
        DEPTHS.with_borrow_mut(|all| {
            all.iter_mut().filter(|one| one.0 == self.0).for_each(|one| one.1 -= 1);
            all.retain(|one| one.1 > 0);
        });
    }
}
