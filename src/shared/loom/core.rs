//! Begin, publish and scan (`../core.rs`) among all orders in which threads and memory can act.
//!
//! The world is a ring, one or two slots and a few pages. Transaction t puts its id into a page and
//! shows that page. A builder chooses the page by a scan, the lowest that is free and as soon as it
//! is; a flusher makes transactions visible that were built before; readers begin, look at the page
//! twice, and end. Found out are: descriptors whose words do not belong together, ids that go back,
//! and each store to a page that a reader may look at, as a race (the pages are plain cells).
//!
//! The negative variants leave out what `core` calls necessary. They must be found: a model that
//! cannot see a missing fence proves nothing by its silence.

use super::explore;
use crate::shared::core::{
    Begun, Fence, PENDING, Published, Publisher, Ring, begin, begin_pinning_all, id_of,
    look_pinned, pin_all, publish, scan,
};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const PAGES: u64 = 5;
/// No model publishes more often, and each failed try needs a publication.
const TRIES: u32 = 5;

/// What a variant does otherwise than `core` asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Variant {
    Right,
    Without(&'static [Fence]),
    VisibleReadLast,
    CheckBeforeCopy,
    SharedEntries,
    RelaxedEnd,
    LeftBeforeRenewal,
}

/// Descriptors are an id and a page.
type Descriptor = [u64; 2];

struct World {
    variant: Variant,
    visible: AtomicU64,
    ring: [[AtomicU64; 2]; 4],
    slots: [AtomicU64; 2],
    pages: [UnsafeCell<u64>; PAGES as usize],
}

impl Ring<2> for World {
    type Word = AtomicU64;
    fn visible(&self) -> &AtomicU64 {
        &self.visible
    }
    fn entry(&self, index: usize) -> &[AtomicU64; 2] {
        &self.ring[index]
    }
    fn fence(&self, at: Fence) {
        match self.variant {
            Variant::Without(left_out) if left_out.contains(&at) => {}
            _ => fence(at.order()),
        }
    }
}

impl World {
    /// Snapshot 1 on page 0 is visible; transactions 2 and 3 stand on the pages 1 and 2, if the
    /// model has them built.
    fn new(variant: Variant) -> World {
        let word = |w: u64| AtomicU64::new(w);
        let entry = |id, page| [word(id), word(page)];
        World {
            variant,
            visible: word(1 << 2),
            ring: [entry(1, 0), entry(0, 0), entry(0, 0), entry(0, 0)],
            slots: [word(0), word(0)],
            pages: [1, 2, 3, 0, 0].map(UnsafeCell::new),
        }
    }

    fn read(&self, slot: usize, model: Model) {
        let Model { begins, pinning, renews, .. } = model;
        let slot = &self.slots[slot];
        let mut last = 0;
        for _ in 0..begins {
            let begun = match self.variant {
                Variant::CheckBeforeCopy => self.begin_checking_first(slot),
                _ if renews && last > 0 => self.renew(slot),
                _ if pinning => begin_pinning_all(self, slot, TRIES),
                _ => begin(self, slot, TRIES),
            };
            let Begun::At([id, page]) = begun else { panic!("begin: {begun:?}") };
            assert!(id >= last, "snapshot {id} after {last}");
            last = id;
            for _ in 0..2 {
                self.look(page, id);
            }
            let order = if self.variant == Variant::RelaxedEnd { Relaxed } else { Release };
            if !renews {
                slot.store(0, order);
            } else if self.variant == Variant::LeftBeforeRenewal {
                // Another snapshot is registered than the one that it stands on.
                slot.store(id + 1, order);
                self.look(page, id);
            }
        }
        slot.store(0, Release);
    }

    /// From one snapshot to the next in the same slot, as `Shared::renew`.
    fn renew(&self, slot: &AtomicU64) -> Begun<2> {
        pin_all(self, slot);
        let begun = look_pinned(self, TRIES);
        if let Begun::At([id, _]) = begun {
            slot.store(id, Release);
        }
        begun
    }

    fn look(&self, page: u64, id: u64) {
        // SAFETY: the pointer is used inside the closure only; a store at the same time is what the
        // model looks for.
        let found = self.pages[page as usize].with(|p| unsafe { *p });
        assert_eq!(found, id, "page {page} is not snapshot {id}'s");
    }

    /// The wrong order: registers, checks, and copies afterwards.
    fn begin_checking_first(&self, slot: &AtomicU64) -> Begun<2> {
        for _ in 0..TRIES {
            let seen = self.visible.load(Acquire);
            slot.store(id_of(seen), Release);
            fence(Fence::Begin.order());
            if self.visible.load(Relaxed) == seen {
                let entry = &self.ring[(seen & 3) as usize];
                return Begun::At([entry[0].load(Relaxed), entry[1].load(Relaxed)]);
            }
        }
        Begun::Moved
    }

    fn publish(&self, publisher: Publisher, words: Descriptor) -> bool {
        let publisher = match self.variant {
            Variant::SharedEntries => Publisher::Builder,
            _ => publisher,
        };
        match publish(self, publisher, &words, TRIES, || {}) {
            Published::Moved => true,
            Published::Older => false,
            Published::Damaged => panic!("publish"),
        }
    }

    /// The first of the builder's dead pages that may be stored to.
    fn free(&self, builder: &Builder) -> Option<usize> {
        let mut readers = Vec::new();
        let mut visible = scan(self, || self.slots.iter(), |txn| readers.push(txn));
        if self.variant == Variant::VisibleReadLast {
            visible = id_of(self.visible.load(Acquire));
        }
        builder.dying.iter().position(|&(_, birth, death)| {
            let pinned = |&s: &u64| s == PENDING || (birth <= s && s < death);
            death <= visible && !readers.iter().any(pinned)
        })
    }

    /// Builds transactions up to `last` and makes them visible.
    fn build(&self, mut builder: Builder, last: u64) {
        while builder.newest[0] < last {
            let free = if builder.scans { self.free(&builder) } else { None };
            let page = match free {
                Some(i) => builder.dying.remove(i).0,
                None => builder.fresh.next().unwrap(),
            };
            let [birth, old] = builder.newest;
            let id = birth + 1;
            // SAFETY: the pointer is used inside the closure only; that nobody looks is what the
            // model proves.
            self.pages[page as usize].with_mut(|p| unsafe { *p = id });
            builder.dying.push((old, birth, id));
            builder.newest = [id, page];
            self.publish(Publisher::Builder, builder.newest);
        }
    }
}

/// What the builder knows of pages: page, birth and death of those that die.
struct Builder {
    newest: Descriptor,
    dying: Vec<(u64, u64, u64)>,
    fresh: std::ops::Range<u64>,
    scans: bool,
}

impl Builder {
    /// Transactions up to `newest` stand on the page before their id.
    fn after(model: Model) -> Builder {
        let newest = model.built;
        Builder {
            scans: model.scans,
            newest: [newest, newest - 1],
            dying: (1..newest).map(|id| (id - 1, id, id + 1)).collect(),
            fresh: newest..PAGES,
        }
    }
}

/// A model: what was built before and is for the flusher to make visible, what the builder builds,
/// and the readers.
#[derive(Clone, Copy)]
struct Model {
    built: u64,
    last: u64,
    readers: usize,
    begins: usize,
    pinning: bool,
    /// Readers go from one snapshot to the next without an end between.
    renews: bool,
    /// The builder looks for free pages; else it takes new ones.
    scans: bool,
    /// In one execution.
    preemptions: usize,
}

const PLAIN: Model = Model {
    built: 2,
    last: 4,
    readers: 1,
    begins: 2,
    pinning: false,
    renews: false,
    scans: true,
    preemptions: 3,
};

fn try_all(name: &str, model: Model, variant: Variant) {
    explore(name, model.preemptions, move || {
        let world = Arc::new(World::new(variant));
        let mut threads = Vec::new();
        for slot in 0..model.readers {
            let world = world.clone();
            threads.push(thread::spawn(move || world.read(slot, model)));
        }
        if model.built > 1 {
            let world = world.clone();
            threads.push(thread::spawn(move || {
                for id in 2..=model.built {
                    world.publish(Publisher::Flusher, [id, id - 1]);
                }
            }));
        }
        world.build(Builder::after(model), model.last);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(id_of(world.visible.load(Acquire)), model.last);
    });
}

#[test]
fn a_builder_a_flusher_and_a_reader() {
    try_all("plain", PLAIN, Variant::Right);
}

/// Fewer reads, and threads that are stopped more often.
const DEEPER: Model = Model { begins: 1, preemptions: 4, ..PLAIN };

#[test]
fn threads_that_are_stopped_more_often() {
    try_all("deeper", DEEPER, Variant::Right);
}

#[test]
fn a_flusher_that_publishes_twice() {
    try_all("two flushes", Model { built: 3, last: 4, ..PLAIN }, Variant::Right);
}

#[test]
fn a_reader_that_pins_everything_first() {
    try_all("pinning", Model { pinning: true, ..PLAIN }, Variant::Right);
}

#[test]
fn a_reader_that_goes_to_the_next_snapshot() {
    try_all("renewal", Model { renews: true, ..PLAIN }, Variant::Right);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn no_fence_in_a_renewal() {
    let model = Model { renews: true, ..PLAIN };
    try_all("no fence in a renewal", model, Variant::Without(&[Fence::Begin, Fence::Copied]));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_snapshot_left_before_the_next_is_chosen() {
    let model = Model { renews: true, ..PLAIN };
    try_all("left before renewal", model, Variant::LeftBeforeRenewal);
}

#[test]
fn two_readers_and_a_builder() {
    try_all(
        "two readers",
        Model { built: 1, last: 3, readers: 2, begins: 1, ..PLAIN },
        Variant::Right,
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn no_fence_in_begin() {
    try_all("no fence in begin", PLAIN, Variant::Without(&[Fence::Registered]));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn no_fence_in_scan() {
    try_all("no fence in scan", PLAIN, Variant::Without(&[Fence::Scan]));
}

/// What shows the fence before an entry: a builder that makes no scan, whose fence serves as this
/// one, and that writes the entry which a flusher's move has freed. The checker never stops a
/// thread between a move and the fence behind it, which hides the missing one too; so that is left
/// out with it, and alone where nothing must be found: it is for waiters only.
const UNSCANNED: Model = Model { last: 3, begins: 1, scans: false, preemptions: 8, ..PLAIN };

#[test]
fn a_builder_that_does_not_scan() {
    try_all("no scans", UNSCANNED, Variant::Without(&[Fence::Published]));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn no_fence_before_the_entry() {
    let variant = Variant::Without(&[Fence::Entry, Fence::Published]);
    try_all("no fence before the entry", UNSCANNED, variant);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn no_fence_after_a_pinned_copy() {
    let model = Model { pinning: true, ..PLAIN };
    try_all("no fence after a pinned copy", model, Variant::Without(&[Fence::Copied]));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn visible_read_after_the_slots() {
    try_all("visible read last", DEEPER, Variant::VisibleReadLast);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_check_before_the_copy() {
    try_all("check before copy", PLAIN, Variant::CheckBeforeCopy);
}

#[test]
#[should_panic(expected = "is not snapshot")]
fn publishers_that_share_entries() {
    try_all("shared entries", PLAIN, Variant::SharedEntries);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn an_end_that_is_relaxed() {
    try_all("relaxed end", PLAIN, Variant::RelaxedEnd);
}
