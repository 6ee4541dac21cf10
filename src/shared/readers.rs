//! Begin and end of a read, the claiming of slots, and what a writer wants to know about readers
//! (B2-B4, B6, B9, B16).
//!
//! Begin and end take no lock and make no system call, but for the first read of a thread that
//! finds no lease free, and for observers. (A store into a lock file whose page has just been
//! written back takes a page fault, and waits while the file system is frozen; a lock file on tmpfs
//! does not.)

use super::core::{self, Begun, id_of};
use super::layout::{DESCRIPTOR_WORDS, Descriptor, HANDLES, KEPT, PENDING, SLOTS, Slot, byte};
use super::leases;
use super::locks::LockGuard;
use super::sync::fence;
use super::{Lease, ObservedSnapshot, ReaderInfo, Reading, Scan, Shared};
use crate::error::{Error, Result};
use crate::storage::{LockByte, LockMode};
use crate::types::TxnId;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

/// Tries before a reader pins everything: far more than commits can become visible in so little
/// time.
const TRIES: u32 = 1_000;
/// Tries after that. Each failure is a whole commit; so many in a row are not commits.
const PINNED_TRIES: u32 = 1_000_000;
/// Snapshots of observers that a scan looks up one by one; more pin everything.
const OBSERVED: usize = 256;

impl Shared {
    /// Begins to read the visible snapshot: no page that it can see is stored to until
    /// [`Shared::end_read`].
    ///
    /// Errors: [`Error::Forked`]; [`Error::ReadersFull`]; [`Error::LockFile`] if the memory is
    /// damaged.
    pub fn begin_read(&self) -> Result<Reading> {
        match self.begin_at_once()? {
            Some(reading) => Ok(reading),
            None => self.begin_elsewhere(),
        }
    }

    /// The common case of it: the slot that the thread had last is idle, and no commit becomes
    /// visible meanwhile. None, and nothing is registered, if it is not so:
    /// [`Shared::begin_elsewhere`] goes on. Two calls, so that what is copied stays in registers.
    #[inline(always)]
    pub fn begin_at_once(&self) -> Result<Option<Reading>> {
        self.region.check_alive()?;
        // An observer has no leases.
        let Some((lease, slot)) = self.leases.last() else { return Ok(None) };
        let word = &self.slot(slot).txn;
        match core::begin_once(self.layout(), word) {
            Begun::At(descriptor) => Ok(Some(reading(lease, descriptor))),
            Begun::Taken => Ok(None),
            Begun::Moved => {
                word.store(0, Release);
                Ok(None)
            }
            Begun::Damaged => Err(self.not_begun(lease, slot, Begun::Damaged)),
        }
    }

    /// Begins where [`Shared::begin_at_once`] did not: in the thread's last slot all the same, in
    /// another one of the handle, or in a new one.
    #[cold]
    pub fn begin_elsewhere(&self) -> Result<Reading> {
        let Some(index) = self.index else { return self.begin_observed() };
        let begin = |slot: u32| match self.begin_in(slot) {
            Begun::Taken => None,
            begun => Some((slot, begun)),
        };
        let found = match self.leases.search(begin) {
            None => {
                let begin = |slot| (slot, self.begin_in(slot));
                self.leases.add(|| self.claim(index, 0), begin)?
            }
            found => found,
        };
        let (lease, (slot, begun)) = match found {
            Some(found) => found,
            // Beyond those that are kept: for one read.
            None => {
                let slot = self.claim(index, leases::claimed())?;
                leases::remember_claimed(slot);
                (Lease::once(slot), (slot, self.begin_in(slot)))
            }
        };
        match begun {
            Begun::At(descriptor) => Ok(reading(lease, descriptor)),
            other => self.begin_again(lease, slot, other),
        }
    }

    /// Begins in a slot of this handle, if nobody else is there.
    #[inline(always)]
    fn begin_in(&self, slot: u32) -> Begun<DESCRIPTOR_WORDS> {
        core::begin(self.layout(), &self.slot(slot).txn, TRIES)
    }

    /// The rare ends of a begin.
    #[cold]
    fn begin_again(
        &self,
        lease: u32,
        slot: u32,
        begun: Begun<DESCRIPTOR_WORDS>,
    ) -> Result<Reading> {
        let word = &self.slot(slot).txn;
        let begun = match begun {
            Begun::Moved => core::begin_pinning_all(self.layout(), word, PINNED_TRIES),
            other => other,
        };
        match begun {
            Begun::At(descriptor) => Ok(reading(lease, descriptor)),
            other => Err(self.not_begun(lease, slot, other)),
        }
    }

    /// The error for a begin that cannot go on; what it has registered is taken back.
    #[cold]
    fn not_begun(&self, lease: u32, slot: u32, begun: Begun<DESCRIPTOR_WORDS>) -> Error {
        let why = match begun {
            Begun::Taken => return self.damaged("a slot that nobody had is taken"),
            Begun::Moved => "the visible snapshot never stands still",
            _ => "the visible snapshot has no descriptor",
        };
        let word = &self.slot(slot).txn;
        if lease >= KEPT {
            self.give_back(slot)
        } else {
            word.store(0, Release)
        }
        self.damaged(why)
    }

    /// Moves a reader to the visible snapshot, if `take` can use that; with an error it stays where
    /// it was. Its slot pins everything meanwhile, so that no page of either snapshot is stored to
    /// (B3, R1).
    #[inline]
    pub fn renew(
        &self,
        lease: &mut Lease,
        at: TxnId,
        take: impl FnOnce(&Descriptor) -> Result<()>,
    ) -> Result<()> {
        self.region.check_alive()?;
        if [Lease::OBSERVED, Lease::ENDED].contains(&lease.index) {
            return self.renew_elsewhere(lease, take);
        }
        let slot = self.leases.slot(lease.index).unwrap_or(lease.index.wrapping_sub(KEPT));
        let word = &self.slot(slot).txn;
        core::pin_all(self.layout(), word);
        self.step("read: slot pins all");
        let (stands, taken) = match core::look_pinned(self.layout(), PINNED_TRIES) {
            Begun::At(descriptor) => match take(&descriptor) {
                Ok(()) => (descriptor[0], Ok(())),
                Err(e) => (at.0, Err(e)),
            },
            _ => (at.0, Err(self.damaged("the visible snapshot has no descriptor, or moves on"))),
        };
        // R5. What it leaves was pinned until here, what it goes to is.
        word.store(stands, Release);
        taken
    }

    /// Moves a reader to an older snapshot, which is protected as long as the one where it stands
    /// is registered. In its slot: no look at it finds neither. An observer stays registered where
    /// it stands, which protects both.
    pub fn move_to(&self, lease: &Lease, txn: TxnId) {
        if [Lease::OBSERVED, Lease::ENDED].contains(&lease.index) || !self.region.is_alive() {
            return;
        }
        let slot = self.leases.slot(lease.index).unwrap_or(lease.index.wrapping_sub(KEPT));
        self.step("read: before the move to a named snapshot");
        self.slot(slot).txn.store(txn.0, Release);
        self.step("read: moved to a named snapshot");
    }

    /// The same for an observer, which has no slot: begins there, then ends here.
    #[cold]
    fn renew_elsewhere(
        &self,
        lease: &mut Lease,
        take: impl FnOnce(&Descriptor) -> Result<()>,
    ) -> Result<()> {
        let mut next = self.begin_read()?;
        let taken = take(&next.descriptor);
        if taken.is_ok() {
            std::mem::swap(lease, &mut next.lease);
        }
        self.end_read(&mut next.lease);
        taken
    }

    /// Ends a read; from any thread, and a second time without effect. In a forked child nothing
    /// happens: the slot is the parent's.
    #[inline]
    pub fn end_read(&self, lease: &mut Lease) {
        let index = std::mem::replace(&mut lease.index, Lease::ENDED);
        if index == Lease::ENDED || !self.region.is_alive() {
            return;
        }
        if index == Lease::OBSERVED {
            return self.end_observed(lease.txn);
        }
        if let Some(slot) = self.leases.slot(index) {
            // Release: a writer that sees the slot idle, or its next use, has all reads behind it.
            self.slot(slot).txn.store(0, Release);
            self.leases.ended(index);
        } else {
            self.give_back(index - KEPT);
        }
    }

    /// Gives a slot of this handle to whoever claims it next (B2). Idle first: when it is nobody's,
    /// a store to it would end the read of another. Release: as for the end of a read.
    #[cold]
    fn give_back(&self, slot: u32) {
        let slot = self.slot(slot);
        slot.txn.store(0, Release);
        slot.owner.store(0, Release);
    }

    /// A slot by a number of our own making.
    #[inline(always)]
    pub(super) fn slot(&self, index: u32) -> &Slot {
        const { assert!(SLOTS.is_power_of_two()) };
        &self.layout().slots[index as usize % SLOTS]
    }

    /// Makes a free slot of the table this handle's (B2); `wish` if it is free.
    fn claim(&self, index: u32, wish: u32) -> Result<u32> {
        if let Some(slot) = self.try_claim(index, wish) {
            return Ok(slot);
        }
        self.clear_dead()?;
        self.try_claim(index, wish).ok_or(Error::ReadersFull { path: None })
    }

    fn try_claim(&self, index: u32, wish: u32) -> Option<u32> {
        let layout = self.layout();
        // Else the lowest: a scan looks at all below the highest that was ever claimed.
        for i in std::iter::once(wish as usize % SLOTS).chain(0..SLOTS) {
            let slot = &layout.slots[i];
            if slot.owner.load(Relaxed) != 0 {
                continue;
            }
            // Before the claim: a scan that does not see the mark raised has a V that the reader
            // will see. The mark only rises while anybody has the database open, so it need not be
            // stored again.
            if layout.slots_used.0.load(SeqCst) <= i as u64 {
                layout.slots_used.0.fetch_max(i as u64 + 1, SeqCst);
            }
            if slot.owner.compare_exchange(0, index + 1, AcqRel, Relaxed).is_ok() {
                slot.txn.store(0, Release);
                if !cfg!(loom) {
                    slot.pid.store(self.pid, Relaxed); // nothing depends on it
                }
                self.step("read: slot claimed");
                return Some(i as u32);
            }
        }
        None
    }

    /// The visible snapshot, without a reader: nothing protects its pages.
    pub fn look(&self) -> Result<Descriptor> {
        self.region.check_alive()?;
        let layout = self.layout();
        for _ in 0..PINNED_TRIES {
            let seen = layout.visible.0.load(Relaxed);
            fence(Acquire);
            let descriptor: Descriptor = core::copy(layout, seen);
            fence(Acquire); // R2
            if layout.visible.0.load(Relaxed) == seen && descriptor[0] == id_of(seen) {
                return Ok(descriptor);
            }
        }
        Err(self.damaged("the visible snapshot has no descriptor, or never stands still"))
    }

    /// Slots that any reader can ever have used.
    pub fn slots_claimed(&self) -> usize {
        (self.layout().slots_used.0.load(Acquire) as usize).min(SLOTS)
    }

    /// The snapshots that are being read. What dies with them up to [`Scan::visible`], and only
    /// that, may be judged by it, now or later: whoever registers afterwards does so at that
    /// snapshot or a newer one.
    pub fn scan(&self) -> Result<Scan> {
        self.region.check_alive()?;
        let mut readers = Vec::new();
        let mut pending = false;
        let slots = || self.layout().slots[..self.slots_claimed()].iter().map(|s| &s.txn);
        let visible = core::scan(self.layout(), slots, |id| match id {
            PENDING => pending = true,
            id => readers.push(TxnId(id)),
        });
        self.step("scan: slots seen");
        pending |= self.scan_observers(visible, &mut readers)?;
        readers.sort_unstable();
        readers.dedup();
        Ok(Scan { visible: TxnId(visible), readers, pending })
    }

    /// Adds the snapshots of observers; true if they are too many to name.
    fn scan_observers(&self, visible: u64, readers: &mut Vec<TxnId>) -> Result<bool> {
        let locks = self.platform().locks();
        let last = byte::snapshot(visible);
        let mut next = byte::snapshot(1);
        for _ in 0..OBSERVED {
            if visible == 0 || next > last {
                return Ok(false);
            }
            let Some(found) = locks.held_elsewhere(next, last)? else { return Ok(false) };
            readers.push(TxnId(found.0.clamp(next.0, last.0) - byte::snapshot(0).0));
            next = LockByte(found.0.max(next.0) + 1);
        }
        Ok(locks.held_elsewhere(next, last)?.is_some())
    }

    /// Frees the slots of handles that died (B9), and says how many. System calls, one for each
    /// foreign handle.
    pub fn clear_dead(&self) -> Result<usize> {
        self.region.check_alive()?;
        let Some(own) = self.index else {
            return Ok(0);
        };
        // The locks of a handle do not exclude its own threads: one could unlock while another
        // still clears.
        let _alone = self.clearing.lock();
        let slots = &self.layout().slots[..self.slots_claimed()];
        let mut cleared = 0;
        let mut asked = vec![false; HANDLES as usize];
        for slot in slots {
            let owner = slot.owner.load(Acquire);
            let Some(index) = owner.checked_sub(1) else { continue };
            if index == own {
                continue; // the own lock says "free" to its holder
            }
            match asked.get_mut(index as usize) {
                None => cleared += usize::from(reclaim_nonsense(slot, owner, own)),
                Some(true) => {}
                Some(asked) => {
                    *asked = true;
                    cleared += self.clear_handle(slots, index)?;
                }
            }
        }
        Ok(cleared)
    }

    /// Frees the slots of one handle if it is dead.
    fn clear_handle(&self, slots: &[Slot], index: u32) -> Result<usize> {
        // While we hold its byte, nobody can become this handle and claim slots under its index.
        let held = LockGuard::try_handle(self.platform(), index)?;
        if held.is_none() {
            return Ok(0);
        }
        let mut cleared = 0;
        for slot in slots {
            if slot.owner.load(Acquire) == index + 1 {
                slot.txn.store(0, Release);
                slot.owner.store(0, Release);
                cleared += 1;
            }
        }
        self.step("clear: slots freed");
        Ok(cleared)
    }

    /// Everybody who has a slot.
    pub fn reader_table(&self) -> Result<Vec<ReaderInfo>> {
        self.region.check_alive()?;
        let mut known: Vec<Option<bool>> = vec![None; HANDLES as usize];
        let mut table = Vec::new();
        let visible = self.visible();
        for (i, slot) in self.layout().slots[..self.slots_claimed()].iter().enumerate() {
            let txn = slot.txn.load(Acquire);
            let Some(handle) = slot.owner.load(Acquire).checked_sub(1) else { continue };
            let alive = match known.get_mut(handle as usize) {
                None => false,
                Some(Some(alive)) => *alive,
                Some(unknown) => {
                    let byte = byte::handle(handle);
                    let alive = self.index == Some(handle)
                        || self.platform().locks().held_elsewhere(byte, byte)?.is_some();
                    *unknown.insert(alive)
                }
            };
            let pending = txn == PENDING;
            let txn = TxnId(if pending { 0 } else { txn });
            let outdated = self.outdated(txn, visible);
            let pid = slot.pid.load(Relaxed);
            let slot = i as u32;
            table.push(ReaderInfo { slot, handle, txn, pending, alive, pid, outdated });
        }
        Ok(table)
    }

    /// What observers read, oldest first, at most [`OBSERVED`]; not what this handle does, should
    /// it be one.
    pub fn observed(&self) -> Result<Vec<ObservedSnapshot>> {
        self.region.check_alive()?;
        let visible = self.visible();
        let mut snapshots = Vec::new();
        self.scan_observers(visible.0, &mut snapshots)?;
        let seen = |txn| ObservedSnapshot { txn, outdated: self.outdated(txn, visible) };
        Ok(snapshots.into_iter().map(seen).collect())
    }

    /// For how long there has been a newer snapshot, at least; none for the newest.
    fn outdated(&self, txn: TxnId, visible: TxnId) -> Option<Duration> {
        let old = txn != TxnId::NONE && txn < visible;
        let times = &self.layout().times.0;
        let seconds = old.then(|| times.outdated(txn.0, visible.0, self.platform().seconds()))?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// B16: registers by a lock on the byte of the snapshot instead of a store.
    #[cold]
    fn begin_observed(&self) -> Result<Reading> {
        // One description for all of the handle's reads: the last one of a snapshot unlocks.
        let mut observed = self.observed.lock();
        let layout = self.layout();
        let locks = self.platform().locks();
        for _ in 0..TRIES {
            // Relaxed and a fence: the one way to load that is defined on memory which may only be
            // read.
            let seen = layout.visible.0.load(Relaxed);
            fence(Acquire);
            let id = id_of(seen);
            if id == 0 {
                break;
            }
            let entry = &layout.ring[(seen & 3) as usize].0;
            let descriptor: Descriptor = std::array::from_fn(|i| entry[i].load(Relaxed));
            self.step("observe: snapshot copied");
            let first = !observed.contains_key(&id);
            if first && !locks.try_lock(byte::snapshot(id), LockMode::Shared)? {
                return Err(self.damaged("somebody holds the byte of a snapshot exclusively"));
            }
            fence(SeqCst);
            let stands = layout.visible.0.load(Relaxed) == seen;
            if stands && descriptor[0] == id {
                *observed.entry(id).or_insert(0) += 1;
                let lease = Lease { index: Lease::OBSERVED, txn: id };
                return Ok(Reading { lease, descriptor });
            }
            if first {
                locks.unlock(byte::snapshot(id));
            }
        }
        Err(self.damaged("the visible snapshot has no descriptor, or never stands still"))
    }

    #[cold]
    fn end_observed(&self, id: u64) {
        let mut observed = self.observed.lock();
        if let Some(count) = observed.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                observed.remove(&id);
                // The reads are over before the writer can see the byte free.
                fence(SeqCst);
                self.platform().locks().unlock(byte::snapshot(id));
            }
        }
    }
}

#[inline(always)]
pub(super) fn reading(lease: u32, descriptor: Descriptor) -> Reading {
    Reading { lease: Lease { index: lease, txn: descriptor[0] }, descriptor }
}

/// Takes over a slot whose owner is no handle: only damage can have written that. Two who find it
/// do not both get it.
fn reclaim_nonsense(slot: &Slot, owner: u32, own: u32) -> bool {
    let got = slot.owner.compare_exchange(owner, own + 1, AcqRel, Relaxed).is_ok();
    if got {
        slot.txn.store(0, Release);
        slot.owner.store(0, Release);
    }
    got
}
