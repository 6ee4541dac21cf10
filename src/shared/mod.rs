//! What processes share: the visible snapshot, the reader table, locks and liveness.
//!
//! A lock file beside the database is mapped by everybody who has the database open (`layout`: what
//! stands where). It matters only while somebody has: the first opener of a session decides what it
//! is worth (`attach`).
//!
//! A reader registers the snapshot it reads in a slot of the table, without a lock and without a
//! system call (`core`: the protocol and its invariants R1-R5; `leases`: how threads share the
//! slots of their handle). A writer scans the table before it stores to pages that something may
//! still see (`readers`). Snapshots become visible by compare-and-swap on one word (`publish`).
//! That a process lives is proved by a lock on a byte that the kernel drops when it dies (`attach`,
//! `readers`).
//!
//! Nothing here interprets a descriptor beyond its first word, the transaction id; the words of the
//! commit protocol belong to `txn`.
//!
//! Thread rules: [`Shared`] may be used from any thread. After `fork`, the child gets
//! [`Error::Forked`](crate::Error::Forked) from everything, and its drops touch nothing: slots and
//! locks are the parent's.
mod attach;
mod core;
pub mod layout;
mod leases;
mod locks;
mod publish;
mod readers;
mod region;
pub(crate) mod sync;
mod times;
pub mod words;

#[cfg(all(loom, test))]
mod loom;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::error::{Error, Result};
use crate::storage::{LockMode, PlatformRef};
use crate::types::TxnId;
use layout::{CommitWords, Descriptor, Identity, Image, KEPT, Layout, Line, RECORDS, Record, byte};
use leases::Leases;
use locks::LockGuard;
use region::Region;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use sync::Mutex;
use words::Content;

/// The shared memory of one open database, seen from one handle.
pub struct Shared {
    /// Handle index; none for an observer, which cannot store to the memory.
    index: Option<u32>,
    /// This process, for people.
    pid: u32,
    leases: Leases,
    /// One thread at a time clears the dead.
    clearing: Mutex<()>,
    /// Snapshots that an observer has locked, and by how many reads.
    observed: Mutex<BTreeMap<u64, u32>>,
    /// What a first opener found to be known of the slots.
    known_slots: [Option<Content>; 2],
    /// The memory has blocks of its own: storing there meets no full disk.
    settled: bool,
    // Dropped in this order, after the slots were given back.
    _life: Option<LockGuard>,
    gates: [LockGuard; 2],
    region: Region,
}

/// How a handle came to the shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// Others have the database open.
    Joined,
    /// Nobody else had; `init` has run.
    First(FirstState),
}

/// What the first opener of a session found in the lock file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirstState {
    /// The words of the last session, complete and of this boot: all its handles were closed or
    /// died.
    Survives,
    /// The lock file of this database from an earlier boot.
    OtherBoot {
        /// An opening had not ended: a recovery may have left the metas half-written.
        opening: bool,
    },
    /// A new file, garbage, that of another database, or one whose initialisation was not finished
    /// in this boot.
    Unknown,
}

/// A registered reader.
#[derive(Debug)]
#[must_use = "the snapshot stays pinned until `end_read`"]
pub struct Reading {
    /// To be given to [`Shared::end_read`].
    pub lease: Lease,
    /// The snapshot.
    pub descriptor: Descriptor,
}

/// The registration of a reader. Never copied: a snapshot that is read by several is ended by the
/// last.
#[derive(Debug)]
#[must_use = "the snapshot stays pinned until `end_read`"]
pub struct Lease {
    index: u32,
    txn: u64,
}

impl Lease {
    const ENDED: u32 = u32::MAX;
    const OBSERVED: u32 = u32::MAX - 1;

    /// The lease of a slot that was claimed for one read: numbers above those of the leases that
    /// are kept.
    const fn once(slot: u32) -> u32 {
        KEPT + slot
    }

    /// The snapshot that is pinned.
    #[cfg(all(test, not(loom)))]
    pub fn txn(&self) -> TxnId {
        TxnId(self.txn)
    }
}

/// Who reads what, and up to which death id that may be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// The visible snapshot before the slots were looked at.
    pub visible: TxnId,
    /// Snapshots with readers, ascending, each once.
    pub readers: Vec<TxnId>,
    /// A reader has not settled yet, or there are more than can be named: nothing may be reused.
    pub pending: bool,
}

impl Scan {
    /// Whether a page that the snapshots from `birth` up to, but not including, `death` can see is
    /// free of readers. The other pins (metas, the snapshot being flushed) are the caller's to
    /// know.
    #[cfg(test)]
    pub fn allows(&self, birth: TxnId, death: TxnId) -> bool {
        !self.pending
            && death <= self.visible
            && self
                .readers
                .get(self.readers.partition_point(|&s| s < birth))
                .is_none_or(|&s| s >= death)
    }
}

/// A line of the reader table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReaderInfo {
    /// Number of the slot.
    pub slot: u32,
    /// Index of the handle that owns it.
    pub handle: u32,
    /// Snapshot being read; none while the slot is idle.
    pub txn: TxnId,
    /// The reader has not settled on a snapshot and pins everything.
    pub pending: bool,
    /// Whether the handle is alive.
    pub alive: bool,
    /// The process, as it knows itself: in another container it has another number here. For
    /// people; `alive` does not depend on it.
    pub pid: u32,
    /// For how long there has been a newer snapshot than the one that is read, at least; none while
    /// it is the newest. To the second, and to about an eighth of the time.
    pub outdated: Option<Duration>,
}

/// A snapshot that is read by processes which may not write to the lock file. They pin it by locks,
/// which do not tell whose they are, nor how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ObservedSnapshot {
    /// The snapshot.
    pub txn: TxnId,
    /// As [`ReaderInfo::outdated`].
    pub outdated: Option<Duration>,
}

impl Shared {
    /// [`Error::Forked`](crate::Error::Forked) in a forked child.
    #[inline(always)]
    pub fn check_alive(&self) -> Result<()> {
        self.region.check_alive()
    }

    /// The error for memory that cannot be what it says.
    #[cold]
    pub fn damaged(&self, detail: &str) -> Error {
        let path = self.platform().lock_path().map(Path::to_owned).unwrap_or_default();
        Error::LockFile { path, detail: detail.into() }
    }

    /// The words of the commit protocol.
    pub fn words(&self) -> &CommitWords {
        &self.layout().commit
    }

    /// The images of built transactions.
    pub fn images(&self) -> &[Line<Image>; 2] {
        &self.layout().images
    }

    /// The list of pages written since the last durable commit.
    pub fn records(&self) -> &[Record; RECORDS] {
        &self.layout().list
    }

    /// What a first opener found in the lock file of this database, of whatever boot: what each
    /// slot was synced with. That was true when it was recorded, and stays true. None in a new lock
    /// file or that of another database, and for all others.
    pub fn known_slots(&self) -> [Option<Content>; 2] {
        self.known_slots
    }

    /// Who the memory belongs to.
    pub fn identity(&self) -> &Identity {
        &self.layout().identity.0
    }

    /// Index of this handle; none for an observer.
    #[cfg(all(test, not(loom)))]
    pub fn handle_index(&self) -> Option<u32> {
        self.index
    }

    /// The platform below.
    pub fn platform(&self) -> &PlatformRef {
        self.region.platform()
    }

    /// Takes the writer lock if no other handle holds it. Threads of one handle do not exclude each
    /// other.
    #[cfg(all(test, not(loom)))]
    pub fn try_lock_writer(&self) -> Result<bool> {
        self.region.check_alive()?;
        self.platform().locks().try_lock(byte::WRITER, LockMode::Exclusive)
    }

    /// Waits for the writer lock; false when the time is over.
    pub fn lock_writer(&self, timeout: Option<Duration>) -> Result<bool> {
        self.region.check_alive()?;
        self.platform().locks().lock(byte::WRITER, LockMode::Exclusive, timeout)
    }

    /// Gives the writer lock back; not in a forked child, where it is the parent's.
    pub fn unlock_writer(&self) {
        if self.region.is_alive() {
            self.platform().locks().unlock(byte::WRITER);
        }
    }

    /// Takes the flush lock if no other handle holds it.
    pub fn try_lock_flush(&self) -> Result<bool> {
        self.region.check_alive()?;
        self.platform().locks().try_lock(byte::FLUSH, LockMode::Exclusive)
    }

    /// Waits for the flush lock; false when the time is over.
    pub fn lock_flush(&self, timeout: Option<Duration>) -> Result<bool> {
        self.region.check_alive()?;
        self.platform().locks().lock(byte::FLUSH, LockMode::Exclusive, timeout)
    }

    /// Gives the flush lock back.
    pub fn unlock_flush(&self) {
        if self.region.is_alive() {
            self.platform().locks().unlock(byte::FLUSH);
        }
    }

    /// Whether another handle holds the flush lock: a flush that is marked while nobody does was
    /// left by the dead.
    #[cfg(all(test, not(loom)))]
    pub fn flush_held_elsewhere(&self) -> Result<bool> {
        self.region.check_alive()?;
        Ok(self.platform().locks().held_elsewhere(byte::FLUSH, byte::FLUSH)?.is_some())
    }

    fn layout(&self) -> &Layout {
        self.region.layout()
    }

    fn step(&self, step: crate::storage::Step) {
        self.platform().step(step);
    }
}
