//! What a simulated process does with byte locks: takes them, waits for them, gives them back.
//!
//! Without real threads a lock that another process holds can never come free while one waits: a
//! wait with a timeout ends at once, a wait without one is a deadlock of the protocol or of the
//! test, and [`super::SimOptions::on_deadlock`] says what becomes of it.
//!
//! Thread rules: everything happens under the lock of the machine; with real threads waiters sleep
//! on its condition variable, woken at every release.

use super::event::{self, EventKind};
use super::locks::FileId;
use super::machine::{Machine, Verdict};
use super::{Deadlock, fault};
use crate::error::Result;
use crate::storage::{LockByte, LockMode, Locks};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The locks of one process on one file.
pub(super) struct SimLocks {
    pub(super) machine: Arc<Machine>,
    pub(super) file: FileId,
    pub(super) process: u32,
    pub(super) observer: bool,
    /// Every lock keeps everybody else away.
    pub(super) alone: bool,
}

impl SimLocks {
    fn refuse(&self, mode: LockMode) -> Result<()> {
        self.machine.check_alive(self.process)?;
        if self.observer && mode == LockMode::Exclusive {
            return Err(fault("locking through a read-only description", libc::EBADF));
        }
        Ok(())
    }

    fn mode(&self, asked: LockMode) -> LockMode {
        if self.alone { LockMode::Exclusive } else { asked }
    }

    /// Announces that a lock will be taken, where that is an event.
    fn event(&self, byte: LockByte) -> Result<()> {
        if !self.machine.options.lock_events {
            return Ok(());
        }
        match self.machine.event(self.process, EventKind::Lock { byte })? {
            Verdict::Go => Ok(()),
            Verdict::Fail(errno) => Err(fault("locking", errno)),
            Verdict::Die => self.machine.unwind(self.process),
        }
    }
}

impl Locks for SimLocks {
    fn try_lock(&self, byte: LockByte, mode: LockMode) -> Result<bool> {
        self.refuse(mode)?;
        self.event(byte)?;
        let mode = self.mode(mode);
        let mut state = self.machine.state.lock();
        Ok(state.locks.try_lock(self.file, byte, self.process, mode))
    }

    fn lock(&self, byte: LockByte, mode: LockMode, timeout: Option<Duration>) -> Result<bool> {
        self.refuse(mode)?;
        self.event(byte)?;
        let mode = self.mode(mode);
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.machine.state.lock();
        loop {
            if state.locks.try_lock(self.file, byte, self.process, mode) {
                return Ok(true);
            }
            match (self.machine.options.on_deadlock, until) {
                (Deadlock::Threads, Some(until)) => {
                    if self.machine.released.wait_until(&mut state, until).timed_out() {
                        return Ok(state.locks.try_lock(self.file, byte, self.process, mode));
                    }
                }
                (Deadlock::Threads, None) => self.machine.released.wait(&mut state),
                _ if timeout.is_some() => return Ok(false),
                (Deadlock::GiveUp, _) => {
                    state.counters.hangs += u64::from(event::depth(self.machine.number) == 0);
                    return Ok(false);
                }
                (Deadlock::Panic, _) => {
                    let held = state.locks.list(self.file);
                    drop(state);
                    panic!(
                        "deadlock in simulation: process {} waits for {byte:?} ({mode:?}); \
                         held: {held:?}",
                        self.process
                    );
                }
            }
            if !state.is_alive(self.process) {
                drop(state);
                return Err(self.machine.after_death());
            }
        }
    }

    fn unlock(&self, byte: LockByte) {
        let mut state = self.machine.state.lock();
        // A dead process holds nothing; its successor in the same place may.
        if state.is_alive(self.process) {
            state.locks.unlock(self.file, byte, self.process);
        }
        drop(state);
        self.machine.released.notify_all();
    }

    fn held_elsewhere(&self, first: LockByte, last: LockByte) -> Result<Option<LockByte>> {
        self.machine.check_alive(self.process)?;
        let state = self.machine.state.lock();
        Ok(state.locks.elsewhere(self.file, first.0, last.0, self.process))
    }
}
