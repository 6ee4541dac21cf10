//! Which slots of the reader table a handle has claimed, in memory of the process.
//!
//! The first few slots ([`KEPT`]) that a handle claims are its own until it closes. The handle's
//! threads take turns with them: a *lease* is the handle's number for such a slot, and whoever
//! registers in the slot while it is idle has the lease until it is idle again. Each thread
//! remembers the lease it had last, so threads that read at the same time settle on different ones,
//! and nobody waits. Who finds all of them taken claims a slot for one read and gives it back at
//! the end (B2): so a handle that once had many readers leaves the table to others.
//!
//! Why this keeps rule B4, which demands that a slot be used again only after its idle store was
//! seen with Acquire: a registration is a compare-and-swap of the slot from idle (`core::begin`),
//! with Acquire, and the idle store is Release. So the next registration is ordered after the end
//! of the last one, whichever threads they run on. A transaction may therefore be moved to another
//! thread and end there. No hook at thread exit is needed: a lease belongs to no thread, and one
//! whose transaction was leaked stays taken, as it must.
//!
//! A slot that is given back is idle first and nobody's then, both by Release stores; whoever
//! claims it does so by a compare-and-swap that acquires. The other order would let the late idle
//! store end the read of the next owner (`shared/loom/table.rs`:
//! `a_slot_given_back_before_it_is_idle`).
//!
//! Thread rules: everything from any thread.

use super::layout::KEPT;
use super::sync::{AtomicU32, Mutex};
use crate::error::Result;
use std::sync::atomic::Ordering;

/// The leases of a handle. They only become more, up to [`KEPT`].
pub struct Leases {
    /// Leases below this exist.
    count: AtomicU32,
    slots: [AtomicU32; KEPT as usize],
    grow: Mutex<()>,
}

/// Where a thread begins to look.
#[cfg(not(loom))]
mod hint {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    thread_local! {
        /// The lease this thread had last, of any handle; a new thread starts elsewhere than the
        /// other threads.
        static LAST: Cell<u32> = const { Cell::new(u32::MAX) };
        /// The slot it claimed last for one read.
        static CLAIMED: Cell<u32> = const { Cell::new(0) };
    }
    static THREADS: AtomicU32 = AtomicU32::new(0);

    #[inline(always)]
    pub fn last() -> u32 {
        LAST.get()
    }
    #[inline(always)]
    pub fn remember(lease: u32) {
        LAST.set(lease);
    }
    pub fn spread() -> u32 {
        THREADS.fetch_add(1, Ordering::Relaxed)
    }
    pub fn claimed() -> u32 {
        CLAIMED.get()
    }
    pub fn remember_claimed(slot: u32) {
        CLAIMED.set(slot);
    }
}

/// The threads of a model all want the first: they meet, and each execution begins alike.
#[cfg(loom)]
mod hint {
    pub fn last() -> u32 {
        u32::MAX
    }
    pub fn remember(_lease: u32) {}
    pub fn spread() -> u32 {
        0
    }
    pub fn claimed() -> u32 {
        0
    }
    pub fn remember_claimed(_slot: u32) {}
}

pub use hint::{claimed, remember_claimed};

impl Leases {
    pub fn new() -> Leases {
        Leases {
            count: AtomicU32::new(0),
            slots: std::array::from_fn(|_| AtomicU32::new(0)),
            grow: Mutex::new(()),
        }
    }

    /// The lease this thread had last, and its slot.
    #[inline(always)]
    pub fn last(&self) -> Option<(u32, u32)> {
        let last = hint::last();
        let made = last < self.count.load(Ordering::Acquire);
        if made { Some((last, self.slot(last)?)) } else { None }
    }

    /// A lease on whose slot `begin` succeeds, from the thread's last one on, and what that gave.
    pub fn search<T>(&self, mut begin: impl FnMut(u32) -> Option<T>) -> Option<(u32, T)> {
        let (count, last) = (self.count.load(Ordering::Acquire), hint::last());
        let start = if last == u32::MAX { hint::spread() } else { last };
        let start = if count == 0 { 0 } else { start % count };
        let found = (start..count).chain(0..start).find_map(|i| Some((i, begin(self.slot(i)?)?)));
        hint::remember(found.as_ref().map_or(start, |(lease, _)| *lease));
        found
    }

    /// Adds a lease on the slot that `claim` gets, and begins there before anybody else can. None
    /// if there are as many as are kept.
    #[cold]
    pub fn add<T>(
        &self,
        claim: impl FnOnce() -> Result<u32>,
        begin: impl FnOnce(u32) -> T,
    ) -> Result<Option<(u32, T)>> {
        let _alone = self.grow.lock();
        let count = self.count.load(Ordering::Relaxed);
        let Some(place) = self.slots.get(count as usize) else { return Ok(None) };
        let slot = claim()?;
        let begun = begin(slot);
        place.store(slot, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
        hint::remember(count);
        Ok(Some((count, begun)))
    }

    /// The slot of a lease.
    #[inline(always)]
    pub fn slot(&self, lease: u32) -> Option<u32> {
        Some(self.slots.get(lease as usize)?.load(Ordering::Relaxed))
    }

    /// The slot of this lease has become idle on the calling thread, which takes it first the next
    /// time.
    #[inline(always)]
    pub fn ended(&self, lease: u32) {
        hint::remember(lease);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Lease i stands for slot 3 i. Slots that are set are taken.
    struct Table {
        leases: Leases,
        taken: Vec<AtomicBool>,
    }

    impl Table {
        fn grown(n: u32) -> Table {
            let taken = (0..3 * n).map(|_| AtomicBool::new(false)).collect();
            let table = Table { leases: Leases::new(), taken };
            for i in 0..n {
                let added = table.leases.add(|| Ok(i * 3), |slot| table.begin(slot)).unwrap();
                assert_eq!(added, Some((i, Some(i * 3))));
            }
            table
        }

        fn begin(&self, slot: u32) -> Option<u32> {
            let order = (Ordering::Acquire, Ordering::Relaxed);
            let word = &self.taken[slot as usize];
            word.compare_exchange(false, true, order.0, order.1).ok().map(|_| slot)
        }

        fn take(&self) -> Option<(u32, u32)> {
            self.leases.search(|slot| self.begin(slot))
        }

        fn free(&self, lease: u32) {
            let slot = self.leases.slot(lease).unwrap();
            self.taken[slot as usize].store(false, Ordering::Release);
            self.leases.ended(lease);
        }
    }

    #[test]
    fn taken_once_and_again_after_it_is_free() {
        let table = Table::grown(KEPT);
        assert_eq!(table.take(), None);
        table.free(4);
        assert_eq!(table.take(), Some((4, 12)));
        assert_eq!(table.take(), None);
        table.free(3);
        table.free(7);
        let (a, b) = (table.take().unwrap(), table.take().unwrap());
        assert_ne!(a.0, b.0);
        assert_eq!(table.take(), None);
    }

    #[test]
    fn a_failed_claim_adds_nothing() {
        let table = Table::grown(1);
        let full = || Err(crate::error::Error::ReadersFull { path: None });
        assert!(table.leases.add(full, |_| unreachable!("nothing was claimed")).is_err());
        assert_eq!(table.leases.count.load(Ordering::Relaxed), 1);
        assert_eq!(table.leases.slot(99_999), None);
    }

    #[test]
    fn there_are_no_more_leases_than_are_kept() {
        let table = Table::grown(KEPT);
        assert_eq!(table.leases.add(|| Ok(0), |_| ()).unwrap(), None);
    }

    #[test]
    fn no_two_threads_hold_one_lease() {
        let table = Table::grown(3);
        let inside = [const { AtomicU32::new(0) }; 3];
        (0..3).for_each(|i| table.free(i));
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some((lease, _)) = table.take() {
                            let cell = &inside[lease as usize];
                            assert_eq!(cell.fetch_add(1, Ordering::Relaxed), 0);
                            cell.fetch_sub(1, Ordering::Relaxed);
                            table.free(lease);
                        }
                    }
                });
            }
        });
    }
}
