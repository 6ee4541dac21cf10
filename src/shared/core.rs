//! The heart of the reader protocol: begin, publish, scan. Nothing but loads, stores and fences.
//!
//! Written over [`Ring`], so that the same lines run on the shared memory and, under `--cfg loom`,
//! in a model checker that tries the orders in which threads and memory can act
//! (`shared/loom/core.rs`).
//!
//! What has to hold:
//! - R1. A reader that has begun at snapshot s is seen by every scan whose V (the `visible` it read
//!   first) is above s, or it began after that scan and then at V or above. So a page of which the
//!   scan knows no reader, and which no snapshot from V on sees, can be stored to. Kept by the pair
//!   of SeqCst fences, one in [`begin`] and one in [`scan`]: of two such fences one comes first, so
//!   either the scan sees the slot or the reader sees the newer `visible`.
//! - R2. A descriptor is copied whole. A slot protects pages, not the ring entry; so the copy comes
//!   *before* the check that `visible` has not moved, and whoever overwrites an entry has first
//!   seen `visible` lead elsewhere. The release fence of [`publish`] and the fence of [`begin`]
//!   carry that to the reader which copies any word of the new text.
//! - R3. `visible` only rises, whoever publishes: it moves by compare-and-swap from a value with a
//!   lower id. As ids are never used twice, equal values of `visible` are the same publication.
//! - R4. Two may publish at a time, a builder (under the writer lock) and a flusher (under the
//!   flush lock). Each owns two of the four entries and writes the one that is not visible. Nobody
//!   else can make that one visible, so it stays so until the owner's own compare-and-swap, however
//!   often `visible` moves in between.
//! - R5. Every store to a slot is Release and the scan loads Acquire: the scan that sees a later
//!   value has everything behind it that the earlier reader read.

use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};

/// An atomic integer of 64 bits.
pub trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64>;
}

impl Word for super::sync::AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    #[inline(always)]
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.compare_exchange(old, new, AcqRel, Acquire)
    }
}

/// Where a fence stands; a model can leave one out to see that it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fence {
    /// SeqCst: between the compare-and-swap of the slot and the check. Where that instruction is a
    /// full barrier, nothing more.
    Registered,
    /// SeqCst: between a store to the slot and the check.
    Begin,
    /// Acquire: between the copy and the check of a reader whose slot pins everything.
    Copied,
    /// SeqCst: between the load of `visible` and those of the slots.
    Scan,
    /// Release: before the words of an entry.
    Entry,
    /// SeqCst: between the move of `visible` and the look at the waiters.
    Published,
}

impl Fence {
    /// The order this fence needs.
    #[inline(always)]
    pub fn order(self) -> Ordering {
        match self {
            Fence::Registered | Fence::Begin | Fence::Scan | Fence::Published => Ordering::SeqCst,
            Fence::Copied => Acquire,
            Fence::Entry => Release,
        }
    }
}

/// `visible` and the four entries it leads to; `N` words each, the first of them the transaction
/// id.
pub trait Ring<const N: usize> {
    type Word: Word;
    fn visible(&self) -> &Self::Word;
    fn entry(&self, index: usize) -> &[Self::Word; N];
    fn fence(&self, at: Fence);
}

/// The transaction id in a value of `visible`.
#[inline(always)]
pub fn id_of(visible: u64) -> u64 {
    visible >> 2
}

/// Reader slot that pins every page that anything sees.
pub const PENDING: u64 = u64::MAX;

/// How an attempt to begin ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun<const N: usize> {
    /// Registered at this snapshot.
    At([u64; N]),
    /// Another thread of the handle has the slot. Nothing was done.
    Taken,
    /// `visible` moved at each try; the slot still holds a registration.
    Moved,
    /// No snapshot has been published, or the entry is not the one of the visible snapshot: the
    /// memory is damaged.
    Damaged,
}

/// Takes `slot`, one of the handle's, if it is idle, registers a reader there, and copies the
/// snapshot (B3). The compare-and-swap keeps two threads out of one slot, and orders this read
/// behind the last one that used it (B4).
#[inline(always)]
pub fn begin<const N: usize, R: Ring<N>>(ring: &R, slot: &R::Word, tries: u32) -> Begun<N> {
    match begin_once(ring, slot) {
        Begun::Moved => begin_anew(ring, slot, tries),
        begun => begun,
    }
}

/// The first of these tries.
#[inline(always)]
pub fn begin_once<const N: usize, R: Ring<N>>(ring: &R, slot: &R::Word) -> Begun<N> {
    // A look first: the line of a slot that is taken need not be fetched for writing.
    if slot.load(Relaxed) != 0 {
        return Begun::Taken;
    }
    let seen = ring.visible().load(Acquire);
    if id_of(seen) == 0 {
        return Begun::Damaged;
    }
    let copied = copy(ring, seen);
    if slot.compare_exchange(0, id_of(seen)).is_err() {
        return Begun::Taken; // R5
    }
    ring.fence(Fence::Registered); // R1, R2
    if ring.visible().load(Relaxed) == seen {
        return if copied[0] == id_of(seen) { Begun::At(copied) } else { Begun::Damaged };
    }
    // A commit became visible in these few nanoseconds. To keep the older snapshot would be wrong:
    // what died with it may be in use again by a scan that has not seen this slot.
    Begun::Moved
}

/// The same in a slot that is taken already.
#[cold]
fn begin_anew<const N: usize, R: Ring<N>>(ring: &R, slot: &R::Word, tries: u32) -> Begun<N> {
    for _ in 1..tries {
        let seen = ring.visible().load(Acquire);
        if id_of(seen) == 0 {
            return Begun::Damaged;
        }
        let copied = copy(ring, seen);
        slot.store(id_of(seen), Release); // R5
        ring.fence(Fence::Begin); // R1, R2
        if ring.visible().load(Relaxed) == seen {
            return if copied[0] == id_of(seen) { Begun::At(copied) } else { Begun::Damaged };
        }
    }
    Begun::Moved
}

/// The same for a reader that `visible` runs away from: it pins everything, so that nothing it can
/// meet is stored to while it looks for a snapshot at its leisure.
#[cold]
pub fn begin_pinning_all<const N: usize, R: Ring<N>>(
    ring: &R,
    slot: &R::Word,
    tries: u32,
) -> Begun<N> {
    pin_all(ring, slot);
    let begun = look_pinned(ring, tries);
    if let Begun::At(copied) = &begun {
        slot.store(copied[0], Release); // R5
    }
    begun
}

/// Pins everything in a slot that is taken already; also what its reader stands on, which no scan
/// finds unpinned before or behind this store.
#[inline(always)]
pub fn pin_all<const N: usize, R: Ring<N>>(ring: &R, slot: &R::Word) {
    slot.store(PENDING, Release); // R5
    ring.fence(Fence::Begin); // R1 with PENDING in the place of s
}

/// The visible snapshot, for a reader that pins everything. Nothing is registered.
#[inline(always)]
pub fn look_pinned<const N: usize, R: Ring<N>>(ring: &R, tries: u32) -> Begun<N> {
    for _ in 0..tries {
        let seen = ring.visible().load(Acquire);
        if id_of(seen) == 0 {
            return Begun::Damaged;
        }
        let copied = copy(ring, seen);
        ring.fence(Fence::Copied); // R2
        if ring.visible().load(Relaxed) == seen {
            return if copied[0] == id_of(seen) { Begun::At(copied) } else { Begun::Damaged };
        }
    }
    Begun::Moved
}

/// Words of the entry that a value of `visible` leads to.
#[inline(always)]
pub fn copy<const N: usize, R: Ring<N>>(ring: &R, visible: u64) -> [u64; N] {
    let entry = ring.entry((visible & 3) as usize);
    std::array::from_fn(|i| entry[i].load(Relaxed))
}

/// Who publishes, and so which two entries are written (R4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publisher {
    /// Holds the writer lock: entries 0 and 1.
    Builder,
    /// Holds the flush lock: entries 2 and 3.
    Flusher,
}

/// How a publication ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Published {
    /// `visible` has moved to the snapshot.
    Moved,
    /// A snapshot at least as new is visible already.
    Older,
    /// `visible` changed at each try, more often than there can be publishers: the memory is
    /// damaged.
    Damaged,
}

/// Makes the snapshot visible (B5). `written` runs between the writing of the entry and the move.
pub fn publish<const N: usize, R: Ring<N>>(
    ring: &R,
    publisher: Publisher,
    descriptor: &[u64; N],
    tries: u32,
    written: impl FnOnce(),
) -> Published {
    let id = descriptor[0];
    let mut seen = ring.visible().load(Acquire);
    let older = |now| id_of(now) >= id;
    if older(seen) {
        return Published::Older; // R3
    }
    let entry = entry_for(publisher, seen);
    ring.fence(Fence::Entry); // R2: before the first word
    for (word, &value) in ring.entry(entry).iter().zip(descriptor) {
        word.store(value, Relaxed);
    }
    written();
    for _ in 0..tries {
        match ring.visible().compare_exchange(seen, id << 2 | entry as u64) {
            Ok(_) => {
                ring.fence(Fence::Published);
                return Published::Moved;
            }
            Err(now) if older(now) => return Published::Older,
            Err(now) => seen = now,
        }
    }
    Published::Damaged
}

/// The publisher's entry that is not visible.
pub fn entry_for(publisher: Publisher, visible: u64) -> usize {
    let first = match publisher {
        Publisher::Builder => 0,
        Publisher::Flusher => 2,
    };
    let is_visible = |entry| (visible & 3) as usize == entry;
    if is_visible(first) { first + 1 } else { first }
}

/// Reads the id of the visible snapshot, then the slots, and hands each registration to `found`
/// (B6). Death ids up to the one returned, and only those, may be judged by what was found; that
/// holds for ever.
pub fn scan<'a, const N: usize, R: Ring<N>, I>(
    ring: &'a R,
    slots: impl FnOnce() -> I,
    mut found: impl FnMut(u64),
) -> u64
where
    I: Iterator<Item = &'a R::Word>,
    R::Word: 'a,
{
    let visible = id_of(ring.visible().load(Acquire));
    ring.fence(Fence::Scan); // R1
    for slot in slots() {
        let id = slot.load(Acquire); // R5
        if id != 0 {
            found(id);
        }
    }
    visible
}
