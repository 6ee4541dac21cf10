//! Which of its reader slots a handle has in use, in memory of the process.
//!
//! A slot of the shared table belongs to a handle from the claim to the close. In between the handle's threads take
//! turns with it: a *lease* is a slot with a flag `busy`. To begin is to find a lease that is not busy and to set its flag
//! with a compare-and-swap; to end is to store "idle" into the slot and then to clear the flag. Each thread remembers the lease it had last,
//! so threads that read at the same time settle on different ones, and nobody waits.
//!
//! Why this keeps rule B4, which demands that a slot be used again only after its idle store was seen with Acquire: the
//! clearing of `busy` is Release and comes after the idle store; the compare-and-swap is Acquire. So the next
//! registration is ordered after the end of the last one, whichever threads they run on. A transaction may therefore be
//! moved to another thread and end there. No hook at thread exit is needed: a lease belongs to no
//! thread, and one whose transaction was leaked stays busy, as it must.
//!
//! Thread rules: everything from any thread. A lease taken is freed once, by whoever ends the transaction.

use super::layout::SLOTS;
use super::sync::{AtomicBool, AtomicU32, Mutex};
use crate::error::Result;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

const CHUNK: usize = if SLOTS < 32 { SLOTS } else { 32 };

/// A slot of this handle, on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Lease {
    busy: AtomicBool,
    slot: AtomicU32,
}

type Chunk = Box<[Lease; CHUNK]>;

/// The leases of a handle. They only become more.
pub struct Leases {
    /// Leases below this exist.
    count: AtomicU32,
    /// Made when first needed, so that a handle with few readers stays small.
    chunks: [OnceLock<Chunk>; SLOTS / CHUNK],
    grow: Mutex<()>,
}

/// A lease that was taken, and the slot it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    pub lease: u32,
    pub slot: u32,
}

/// Where a thread begins to look.
#[cfg(not(loom))]
mod hint {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    thread_local! {
        /// The lease this thread had last, of any handle; a new thread starts elsewhere than its sisters.
        static LAST: Cell<u32> = const { Cell::new(u32::MAX) };
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
}

impl Leases {
    pub fn new() -> Leases {
        Leases {
            count: AtomicU32::new(0),
            chunks: [const { OnceLock::new() }; SLOTS / CHUNK],
            grow: Mutex::new(()),
        }
    }

    /// Takes a lease that is not busy.
    #[inline]
    pub fn take(&self) -> Option<Taken> {
        let count = self.count.load(Ordering::Acquire);
        let last = hint::last();
        if last < count
            && let Some(taken) = self.try_take(last)
        {
            return Some(taken);
        }
        self.search(last, count)
    }

    /// Looks through all of them, from the thread's last one on.
    #[cold]
    fn search(&self, last: u32, count: u32) -> Option<Taken> {
        let start = if last == u32::MAX { hint::spread() } else { last };
        let start = if count == 0 { 0 } else { start % count };
        let taken = (start..count).chain(0..start).find_map(|i| self.try_take(i));
        hint::remember(taken.map_or(start, |t| t.lease));
        taken
    }

    #[inline(always)]
    fn try_take(&self, index: u32) -> Option<Taken> {
        let lease = self.get(index)?;
        // A look first: a busy lease need not be fetched for writing.
        if lease.busy.load(Ordering::Relaxed)
            || lease
                .busy
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return None;
        }
        Some(Taken { lease: index, slot: lease.slot.load(Ordering::Relaxed) })
    }

    /// Adds a lease on the slot that `claim` gets, and takes it.
    #[cold]
    pub fn add(&self, claim: impl FnOnce() -> Result<u32>) -> Result<Taken> {
        let _alone = self.grow.lock();
        let count = self.count.load(Ordering::Relaxed);
        let Some(cell) = self.chunks.get(count as usize / CHUNK) else {
            return Err(crate::error::Error::ReadersFull);
        };
        let slot = claim()?;
        let chunk = cell.get_or_init(|| Box::new(std::array::from_fn(|_| Lease::default())));
        let lease = &chunk[count as usize % CHUNK];
        lease.slot.store(slot, Ordering::Relaxed);
        lease.busy.store(true, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
        hint::remember(count);
        Ok(Taken { lease: count, slot })
    }

    /// The slot of a lease.
    #[inline(always)]
    pub fn slot(&self, lease: u32) -> Option<u32> {
        Some(self.get(lease)?.slot.load(Ordering::Relaxed))
    }

    /// Gives a lease back whose slot is idle.
    #[inline(always)]
    pub fn free(&self, lease: u32) {
        if let Some(l) = self.get(lease) {
            debug_assert!(l.busy.load(Ordering::Relaxed), "lease freed twice");
            l.busy.store(false, Ordering::Release);
            hint::remember(lease);
        }
    }

    /// Whether a lease is taken, for a model that clears the flag as it must not be cleared.
    #[cfg(all(test, loom))]
    pub fn busy(&self, lease: u32) -> &AtomicBool {
        &self.get(lease).expect("a lease that was taken").busy
    }

    /// All slots of the handle.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        let count = self.count.load(Ordering::Acquire);
        (0..count).filter_map(|i| self.slot(i))
    }

    #[inline(always)]
    fn get(&self, index: u32) -> Option<&Lease> {
        let chunk = self.chunks.get(index as usize / CHUNK)?.get()?;
        Some(&chunk[index as usize % CHUNK])
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn grown(n: u32) -> Leases {
        let leases = Leases::new();
        for i in 0..n {
            assert_eq!(leases.add(|| Ok(i * 3)).unwrap(), Taken { lease: i, slot: i * 3 });
        }
        leases
    }

    #[test]
    fn taken_once_and_again_after_it_is_free() {
        let leases = grown(70);
        assert_eq!(leases.take(), None);
        leases.free(40);
        assert_eq!(leases.take(), Some(Taken { lease: 40, slot: 120 }));
        assert_eq!(leases.take(), None);
        leases.free(3);
        leases.free(69);
        let (a, b) = (leases.take().unwrap(), leases.take().unwrap());
        assert_ne!(a.lease, b.lease);
        assert_eq!(leases.take(), None);
        assert_eq!(leases.slots().collect::<Vec<_>>(), (0..70).map(|i| i * 3).collect::<Vec<_>>());
    }

    #[test]
    fn a_failed_claim_adds_nothing() {
        let leases = grown(1);
        assert!(leases.add(|| Err(crate::error::Error::ReadersFull)).is_err());
        assert_eq!(leases.slots().count(), 1);
        leases.free(99_999);
    }

    #[test]
    fn there_are_no_more_leases_than_slots() {
        let leases = grown(SLOTS as u32);
        assert!(leases.add(|| Ok(0)).is_err());
    }

    #[test]
    fn no_two_threads_hold_one_lease() {
        let leases = grown(3);
        let inside = [const { AtomicU32::new(0) }; 3];
        (0..3).for_each(|i| leases.free(i));
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(t) = leases.take() {
                            let cell = &inside[t.lease as usize];
                            assert_eq!(cell.fetch_add(1, Ordering::Relaxed), 0);
                            cell.fetch_sub(1, Ordering::Relaxed);
                            leases.free(t.lease);
                        }
                    }
                });
            }
        });
    }
}
