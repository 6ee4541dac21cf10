//! Locks that are given back by themselves.

use super::layout::byte;
use crate::error::{Error, Result};
use crate::storage::{LockByte, LockMode, Locks, PlatformRef};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A lock that is given back when the value is dropped, unless by a forked child: there it is the
/// parent's.
pub struct LockGuard {
    platform: PlatformRef,
    on_data_file: bool,
    byte: LockByte,
}

impl LockGuard {
    /// Waits for a byte of the lock file; [`Error::Busy`] when the time is over.
    pub fn wait(
        platform: &PlatformRef,
        byte: LockByte,
        mode: LockMode,
        timeout: Duration,
    ) -> Result<LockGuard> {
        if platform.locks().lock(byte, mode, Some(timeout))? {
            Ok(LockGuard::new(platform, false, byte))
        } else {
            Err(Error::Busy { path: None })
        }
    }

    /// The gate of the lock file or of the data file, if it is free in this mode.
    pub fn try_gate(
        platform: &PlatformRef,
        on_data_file: bool,
        mode: LockMode,
    ) -> Result<Option<LockGuard>> {
        let locks = if on_data_file { platform.data_locks() } else { platform.locks() };
        let got = locks.try_lock(byte::GATE, mode)?;
        Ok(got.then(|| LockGuard::new(platform, on_data_file, byte::GATE)))
    }

    /// Both gates, or none.
    pub fn try_both_gates(
        platform: &PlatformRef,
        mode: LockMode,
    ) -> Result<Option<[LockGuard; 2]>> {
        let Some(lock_gate) = LockGuard::try_gate(platform, false, mode)? else { return Ok(None) };
        let data_gate = LockGuard::try_gate(platform, true, mode)?;
        Ok(data_gate.map(|d| [lock_gate, d]))
    }

    /// The proof of life of a handle, if nobody has this index.
    pub fn try_handle(platform: &PlatformRef, index: u32) -> Result<Option<LockGuard>> {
        LockGuard::try_byte(platform, byte::handle(index))
    }

    fn new(platform: &PlatformRef, on_data_file: bool, byte: LockByte) -> LockGuard {
        LockGuard { platform: platform.clone(), on_data_file, byte }
    }

    fn locks(&self) -> &dyn Locks {
        if self.on_data_file { self.platform.data_locks() } else { self.platform.locks() }
    }

    /// A byte of the lock file, if it is free.
    pub fn try_byte(platform: &PlatformRef, byte: LockByte) -> Result<Option<LockGuard>> {
        let got = platform.locks().try_lock(byte, LockMode::Exclusive)?;
        Ok(got.then(|| LockGuard::new(platform, false, byte)))
    }

    /// Keeps all others out, if nobody shares it; if not it stays shared.
    pub fn keep_alone(&self) -> Result<bool> {
        self.locks().try_lock(self.byte, LockMode::Exclusive)
    }

    /// Lets sharers in, in one step: there is no moment without the lock.
    pub fn share(&self) -> Result<bool> {
        self.locks().try_lock(self.byte, LockMode::Shared)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.platform.alive().load(Ordering::Relaxed) != 0 {
            self.locks().unlock(self.byte);
        }
    }
}
