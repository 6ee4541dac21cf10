//! Byte locks among simulated processes: two modes, owned by a handle, gone with its death.
//!
//! Without real threads a lock that another process holds can never come free while one waits: a
//! wait with a timeout ends at once, a wait without one is a deadlock of the protocol or of the
//! test, and [`super::SimOptions::on_deadlock`] says what becomes of it.
//!
//! Thread rules: everything happens under the lock of the machine; with real threads waiters sleep
//! on its condition variable, woken at every release.

use super::event::{self, EventKind};
use super::machine::{Machine, Verdict};
use super::{Deadlock, fault};
use crate::error::Result;
use crate::storage::{LockByte, LockMode, Locks};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file that bytes are locked on: the data file, or one lock file after another.
pub(super) type FileId = u64;
/// The data file.
pub(super) const DATA_FILE: FileId = 0;

/// Who holds what.
#[derive(Default)]
pub(super) struct Table {
    held: BTreeMap<(FileId, u64), Vec<(u32, LockMode)>>,
}

impl Table {
    /// Takes or changes a lock, if nobody else's stands against it.
    pub(super) fn try_lock(
        &mut self,
        file: FileId,
        byte: LockByte,
        process: u32,
        mode: LockMode,
    ) -> bool {
        let holders = self.held.entry((file, byte.0)).or_default();
        let against = |held: LockMode| mode == LockMode::Exclusive || held == LockMode::Exclusive;
        if holders.iter().any(|&(who, held)| who != process && against(held)) {
            return false;
        }
        holders.retain(|&(who, _)| who != process);
        holders.push((process, mode));
        true
    }

    pub(super) fn unlock(&mut self, file: FileId, byte: LockByte, process: u32) {
        if let Some(holders) = self.held.get_mut(&(file, byte.0)) {
            holders.retain(|&(who, _)| who != process);
        }
    }

    /// The process is gone, and all its locks with it.
    pub(super) fn release(&mut self, process: u32) {
        self.held.retain(|_, holders| {
            holders.retain(|&(who, _)| who != process);
            !holders.is_empty()
        });
    }

    fn elsewhere(&self, file: FileId, first: u64, last: u64, process: u32) -> Option<LockByte> {
        if first > last {
            return None;
        }
        self.held
            .range((file, first)..=(file, last))
            .find(|(_, holders)| holders.iter().any(|&(who, _)| who != process))
            .map(|(&(_, byte), _)| LockByte(byte))
    }

    /// Every lock that is held: byte, process, mode.
    pub(super) fn list(&self, file: FileId) -> Vec<(LockByte, u32, LockMode)> {
        self.held
            .range((file, 0)..=(file, u64::MAX))
            .flat_map(|(&(_, byte), all)| all.iter().map(move |&(p, m)| (LockByte(byte), p, m)))
            .collect()
    }
}

/// The locks of one process on one file.
pub(super) struct SimLocks {
    pub(super) machine: Arc<Machine>,
    pub(super) file: FileId,
    pub(super) process: u32,
    pub(super) observer: bool,
}

impl SimLocks {
    fn refuse(&self, mode: LockMode) -> Result<()> {
        self.machine.check_alive(self.process)?;
        if self.observer && mode == LockMode::Exclusive {
            return Err(fault("locking through a read-only description", libc::EBADF));
        }
        Ok(())
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
        let mut state = self.machine.state.lock();
        Ok(state.locks.try_lock(self.file, byte, self.process, mode))
    }

    fn lock(&self, byte: LockByte, mode: LockMode, timeout: Option<Duration>) -> Result<bool> {
        self.refuse(mode)?;
        self.event(byte)?;
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
                return Err(self.machine.posthumous());
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
