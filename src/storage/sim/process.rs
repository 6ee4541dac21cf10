//! A simulated process: the platform of one handle.
//!
//! Invariants
//! - A process sees growth by others only after `refresh`, as one that maps a file does.
//! - After its death a process changes nothing: its calls give an error and are counted
//!   ([`super::Counters::after_death`]), so that a test can ask whether there were any.
//!
//! Thread rules: any thread.

use super::event::EventKind;
use super::locking::SimLocks;
use super::machine::{Machine, Verdict};
use super::{ProcessOptions, cache::Region, fault};
use crate::error::{Error, Result};
use crate::storage::{Locks, MapView, Platform, Step, Storage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the head of the file; made by [`super::SimDisk::process`].
pub struct SimProcess {
    machine: Arc<Machine>,
    id: u32,
    options: ProcessOptions,
    alive: Arc<AtomicU64>,
    known: AtomicU64,
    region: Arc<Region>,
    /// It has the data file alone, and shared memory of its own.
    alone: bool,
    lock_file: SimLocks,
    data_file: SimLocks,
}

impl SimProcess {
    /// One that uses the lock file; or, given memory for what it shares with nobody, one that has
    /// the data file alone.
    pub(super) fn new(
        machine: &Arc<Machine>,
        options: ProcessOptions,
        own: Option<Arc<Region>>,
    ) -> SimProcess {
        let mut state = machine.state.lock();
        let (id, alive) = state.add_process();
        let alone = own.is_some();
        let (lock_file, region) = match own {
            Some(region) => (state.number_of_lock_file(), region),
            None => state.lock_file.clone(),
        };
        let known = state.medium.len();
        drop(state);
        let locks = |file, alone| SimLocks {
            machine: machine.clone(),
            file,
            process: id,
            observer: options.observer,
            alone,
        };
        SimProcess {
            machine: machine.clone(),
            id,
            options,
            alive,
            known: AtomicU64::new(known),
            region,
            alone,
            lock_file: locks(lock_file, false),
            data_file: locks(super::locks::DATA_FILE, alone),
        }
    }

    /// Number of the process on its machine; never used twice there.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Announces an event. `died` is what happens of the operation if the process dies in it.
    fn event(&self, kind: EventKind, died: impl FnOnce()) -> Result<Option<i32>> {
        match self.machine.event(self.id, kind)? {
            Verdict::Go => Ok(None),
            Verdict::Fail(errno) => Ok(Some(errno)),
            Verdict::Die => {
                died();
                self.machine.unwind(self.id)
            }
        }
    }

    fn writable(&self) -> Result<()> {
        if self.options.read_only { Err(Error::ReadOnly { path: None }) } else { Ok(()) }
    }

    /// Puts the parts, or only their first `limit` bytes, into the cache.
    fn put(&self, offset: u64, parts: &[&[u8]], limit: u64) -> Result<()> {
        let mut state = self.machine.state.lock();
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if offset.checked_add(len).is_none_or(|end| end > state.medium.len()) {
            return Err(fault("writing behind the end of the file", libc::EINVAL));
        }
        let mut at = offset;
        let end = offset + len.min(limit);
        for part in parts {
            let some = (part.len() as u64).min(end - at) as usize;
            self.machine.cache.put(at, &part[..some]);
            at += some as u64;
        }
        state.note_range(&self.machine.cache, offset, end - offset);
        state.counters.writes += 1;
        state.counters.bytes_written += end - offset;
        Ok(())
    }

    /// How much of an interrupted write of `len` bytes was done: whole pages, of any number.
    fn part_of(&self, len: u64) -> u64 {
        let mut state = self.machine.state.lock();
        state.rng.below(len / 4096 + 1) * 4096
    }
}

impl Storage for SimProcess {
    fn view(&self) -> MapView {
        MapView {
            base: self.machine.cache.base(),
            len: self.known.load(Ordering::Acquire) as usize,
        }
    }

    fn refresh(&self) -> Result<MapView> {
        self.machine.check_alive(self.id)?;
        let len = self.machine.state.lock().medium.len();
        let known = self.known.load(Ordering::Acquire);
        if len > known && self.machine.options.lock_events {
            let kind = EventKind::Map { from: known, to: len };
            if let Some(errno) = self.event(kind, || {})? {
                return Err(fault("mapping the file", errno));
            }
        }
        self.known.store(len, Ordering::Release);
        Ok(self.view())
    }

    fn len(&self) -> Result<u64> {
        self.machine.check_alive(self.id)?;
        Ok(self.machine.state.lock().medium.len())
    }

    fn grow(&self, len: u64) -> Result<()> {
        self.writable()?;
        let from = Storage::len(self)?;
        if len > from {
            let failed = self.event(EventKind::Grow { from, to: len }, || {})?;
            let mut state = self.machine.state.lock();
            let from = state.medium.len();
            let full = state.disk_limit.is_some_and(|limit| len > limit)
                || len > self.machine.cache.room() as u64;
            let failed = failed.or(full.then_some(libc::ENOSPC));
            let to = match failed {
                // A failing fallocate may have lengthened the file by a part of the way.
                Some(_) if state.rng.chance(1, 2) => from,
                Some(_) => {
                    let limit = state.disk_limit.unwrap_or(u64::MAX) / 4096 * 4096;
                    let room = len.saturating_sub(from) / 4096;
                    let some = from + state.rng.below(room) * 4096;
                    some.min(limit.max(from)).min(self.machine.cache.room() as u64)
                }
                None => len.max(from),
            };
            state.resize(&self.machine.cache, to)?;
            state.counters.grows += 1;
            drop(state);
            if let Some(errno) = failed {
                return Err(fault("growing the file", errno));
            }
        }
        self.refresh().map(|_| ())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.writable()?;
        let from = Storage::len(self)?;
        if len < from {
            if let Some(errno) = self.event(EventKind::Truncate { from, to: len }, || {})? {
                return Err(fault("cutting the file", errno));
            }
            let mut state = self.machine.state.lock();
            state.resize(&self.machine.cache, len)?;
            state.counters.truncates += 1;
        }
        self.refresh().map(|_| ())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write_all_of(offset, &[bytes])
    }

    fn write_back(&self, _offset: u64, _len: u64) {
        self.machine.state.lock().counters.asked_write_backs += 1;
    }

    fn write_all_of(&self, offset: u64, parts: &[&[u8]]) -> Result<()> {
        self.writable()?;
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let part = || {
            // The death of the process cuts its write short.
            let _ = self.put(offset, parts, self.part_of(len));
        };
        let failed = self.event(EventKind::Write { offset, len }, part)?;
        match failed {
            None => self.put(offset, parts, u64::MAX),
            Some(errno) => {
                self.put(offset, parts, self.part_of(len))?;
                Err(fault("writing", errno))
            }
        }
    }

    fn view_mut(&self) -> Option<*mut u8> {
        if !self.options.direct || self.options.read_only {
            return None;
        }
        self.machine.state.lock().will_store(self.id);
        Some(self.machine.cache.base())
    }

    fn stored(&self, offset: u64, len: u64) {
        {
            let mut state = self.machine.state.lock();
            if state.is_alive(self.id) {
                state.note_range(&self.machine.cache, offset, len);
                state.counters.writes += 1;
                state.counters.bytes_written += len;
            }
        }
        // Nothing to be done about an error: the call that follows gets it again.
        let _ = self.event(EventKind::Stored { offset, len }, || {});
    }

    fn sync(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        let failed = self.event(EventKind::SyncBegin { offset, len }, || {})?;
        let told = {
            let mut state = self.machine.state.lock();
            state.observe(&self.machine.cache);
            match failed {
                Some(_) => state.fail_sync(&self.machine.cache, offset, len),
                None => state.sync(offset, len),
            }
            state.tell_error(self.id)
        };
        if let Some(errno) = failed.or(told.then_some(libc::EIO)) {
            return Err(fault("syncing", errno));
        }
        match self.event(EventKind::SyncEnd { offset, len }, || {})? {
            Some(errno) => Err(fault("syncing", errno)),
            None => Ok(()),
        }
    }
}

impl Platform for SimProcess {
    fn write_back_failed(&self) -> bool {
        let mut state = self.machine.state.lock();
        state.is_alive(self.id) && state.ask_error(self.id)
    }
    fn storage(&self) -> &dyn Storage {
        self
    }
    fn shared_base(&self) -> *mut u8 {
        self.region.base()
    }
    fn observer(&self) -> bool {
        self.options.observer
    }
    fn exclusive(&self) -> bool {
        self.alone
    }
    fn locks(&self) -> &dyn Locks {
        &self.lock_file
    }
    fn data_locks(&self) -> &dyn Locks {
        &self.data_file
    }
    fn alive(&self) -> &AtomicU64 {
        &self.alive
    }
    fn boot_id(&self) -> [u8; 16] {
        let mut id = *b"simulated boot  ";
        id[8..].copy_from_slice(&self.machine.options.boot.to_le_bytes());
        id
    }
    fn random(&self) -> crate::error::Result<u64> {
        let state = self.machine.state.lock();
        if state.drawn != 0 {
            return Ok(state.drawn);
        }
        let options = &self.machine.options;
        let drawn = [options.seed, options.boot, self.id as u64, state.counters.events];
        let mix =
            |n: u64, word: u64| (n ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        Ok(drawn.into_iter().fold(1, mix).max(1))
    }
    fn data_file_id(&self) -> (u64, u64) {
        self.machine.options.file_id
    }
    /// Time stands still, so that a script runs the same every time.
    fn seconds(&self) -> u32 {
        0
    }
    fn unix_seconds(&self) -> u64 {
        0
    }
    fn step(&self, step: Step) {
        if self.alive.load(Ordering::Acquire) == 1 {
            // As in `stored`.
            let _ = self.event(EventKind::Step(step), || {});
        }
    }
}

impl Drop for SimProcess {
    /// The descriptors close, and the locks go with them.
    fn drop(&mut self) {
        self.machine.state.lock().bury(self.id);
        self.machine.released.notify_all();
    }
}
