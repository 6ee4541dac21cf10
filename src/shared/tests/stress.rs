//! The protocol on real threads, once through handles at full speed, and once through `core` over a
//! ring that gives the processor away between any two of its words: a builder, a flusher and
//! readers, on pages that are used again as soon as the scan allows.
//!
//! Transaction t writes page p(t) and shows two pages: its own and that of t - 1. So each page
//! lives for two transactions, [t, t + 2). Every third transaction is left to the flusher to make
//! visible; for every third of these the builder waits, with the others it races. The builder goes
//! on until each reader has begun as often as it should.

use super::*;
use crate::shared::core::{self, Begun, Published, Publisher, Ring, Word, id_of};
use crate::shared::layout::DESCRIPTOR_WORDS;
use crate::shared::{Lease, Scan};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const READERS: u64 = 3;
const PAGES: usize = 48;
const PAGE_WORDS: usize = 16;
/// First transaction with two pages.
const FIRST: u64 = 2;

struct World {
    pages: Vec<[AtomicU64; PAGE_WORDS]>,
    /// Newest transaction that waits for the flusher.
    built: Mutex<Option<Descriptor>>,
    /// The builder has ended.
    end: AtomicBool,
    /// Readers that have.
    done: AtomicU64,
    /// Somebody has panicked: nobody waits for him.
    broken: AtomicBool,
}

/// What the threads meet in.
trait Table: Sync {
    fn begin(&self, reader: usize) -> (Descriptor, Option<Lease>);
    fn end(&self, reader: usize, lease: Option<Lease>);
    fn scan(&self) -> Scan;
    fn publish(&self, publisher: Publisher, words: &Descriptor) -> bool;
    fn visible(&self) -> TxnId;
}

/// Handles of a builder, a flusher, and two for the readers.
impl Table for [Opened; 4] {
    fn begin(&self, reader: usize) -> (Descriptor, Option<Lease>) {
        let reading = self[2 + reader % 2].begin_read().unwrap();
        (reading.descriptor, Some(reading.lease))
    }
    fn end(&self, reader: usize, lease: Option<Lease>) {
        self[2 + reader % 2].end_read(&mut lease.unwrap());
    }
    fn scan(&self) -> Scan {
        self[0].scan().unwrap()
    }
    fn publish(&self, publisher: Publisher, words: &Descriptor) -> bool {
        match publisher {
            Publisher::Builder => self[0].publish_built(words).unwrap(),
            Publisher::Flusher => self[1].publish_flushed(words).unwrap(),
        }
    }
    fn visible(&self) -> TxnId {
        self[0].shared.visible()
    }
}

/// A word before which a thread may have to wait for long.
#[derive(Default)]
struct Shaken(AtomicU64);

fn shake() {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(1) });
    STATE.set(mix(STATE.get(), 5));
    if STATE.get() >> 60 == 0 {
        std::thread::yield_now();
    }
}

impl Word for Shaken {
    fn load(&self, order: Ordering) -> u64 {
        shake();
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        shake();
        self.0.store(value, order);
    }
    fn compare_exchange(&self, old: u64, new: u64) -> std::result::Result<u64, u64> {
        shake();
        Word::compare_exchange(&self.0, old, new)
    }
}

#[derive(Default)]
struct ShakenTable {
    visible: Shaken,
    ring: [[Shaken; DESCRIPTOR_WORDS]; 4],
    slots: [Shaken; READERS as usize],
}

impl Ring<DESCRIPTOR_WORDS> for ShakenTable {
    type Word = Shaken;
    fn visible(&self) -> &Shaken {
        &self.visible
    }
    fn entry(&self, index: usize) -> &[Shaken; DESCRIPTOR_WORDS] {
        &self.ring[index]
    }
    fn fence(&self, at: core::Fence) {
        std::sync::atomic::fence(at.order());
    }
}

impl Table for ShakenTable {
    fn begin(&self, reader: usize) -> (Descriptor, Option<Lease>) {
        // The last reader is one of those that `visible` runs away from.
        let begun = if reader as u64 == READERS - 1 {
            core::begin_pinning_all(self, &self.slots[reader], u32::MAX)
        } else {
            core::begin(self, &self.slots[reader], u32::MAX)
        };
        match begun {
            Begun::At(words) => (words, None),
            other => panic!("{other:?}"),
        }
    }
    fn end(&self, reader: usize, _: Option<Lease>) {
        self.slots[reader].store(0, Ordering::Release);
    }
    fn scan(&self) -> Scan {
        let (mut readers, mut pending) = (Vec::new(), false);
        let visible = core::scan(
            self,
            || self.slots.iter(),
            |id| match id {
                core::PENDING => pending = true,
                id => readers.push(TxnId(id)),
            },
        );
        readers.sort_unstable();
        Scan { visible: TxnId(visible), readers, pending }
    }
    fn publish(&self, publisher: Publisher, words: &Descriptor) -> bool {
        let published = core::publish(self, publisher, words, u32::MAX, || {});
        assert_ne!(published, Published::Damaged);
        published == Published::Moved
    }
    fn visible(&self) -> TxnId {
        TxnId(id_of(self.visible.load(SeqCst)))
    }
}

/// Raises the alarm when its thread panics.
struct Alarm<'a>(&'a World);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, SeqCst);
        }
    }
}

fn encode_snapshot(id: u64, page: usize, previous: usize) -> Descriptor {
    let pages = page as u64 | (previous as u64) << 32;
    let mut words = descriptor(id);
    words[1] = pages;
    words[DESCRIPTOR_WORDS - 1] = mix(words[2], pages);
    words
}

impl World {
    fn pause(&self) {
        assert!(!self.broken.load(SeqCst), "another thread has failed");
        std::thread::yield_now();
    }

    fn fill(&self, page: usize, id: u64) {
        for (i, word) in self.pages[page].iter().enumerate() {
            word.store(mix(id, i as u64), Relaxed);
        }
    }

    fn check(&self, page: usize, id: u64) {
        for (i, word) in self.pages[page].iter().enumerate() {
            assert_eq!(word.load(Relaxed), mix(id, i as u64), "page {page} of {id} was stored to");
        }
    }

    /// Gives the newest transaction, and how often a page was used again.
    fn build(&self, table: &impl Table) -> (u64, u64) {
        let _alarm = Alarm(self);
        let mut fresh = FIRST as usize..PAGES;
        let mut dying: VecDeque<(usize, u64)> = [(0, 1), (1, 2)].into();
        let mut reused = 0;
        let mut id = FIRST;
        while self.done.load(SeqCst) < READERS || id.is_multiple_of(3) {
            assert!(!self.broken.load(SeqCst), "another thread has failed");
            id += 1;
            let page = loop {
                let scan = table.scan();
                let free = dying.iter().rposition(|&(_, birth)| {
                    // The youngest: the sooner a page is used again, the worse.
                    scan.allows(TxnId(birth), TxnId(birth + 2))
                });
                if let Some((page, _)) = free.and_then(|i| dying.remove(i)) {
                    reused += 1;
                    break page;
                }
                match fresh.next() {
                    Some(page) => break page,
                    None => self.pause(),
                }
            };
            let previous = dying[dying.len() - 1].0;
            self.fill(page, id);
            dying.push_back((page, id));
            let words = encode_snapshot(id, page, previous);
            if id.is_multiple_of(3) {
                *self.built.lock() = Some(words);
                while id.is_multiple_of(9) && table.visible() < TxnId(id) {
                    self.pause();
                }
            } else {
                assert!(table.publish(Publisher::Builder, &words), "{id}: only older ones compete");
            }
        }
        (id, reused)
    }

    /// Gives the number of snapshots that became visible by a flush.
    fn flush(&self, table: &impl Table) -> u64 {
        let _alarm = Alarm(self);
        let mut moved = 0;
        loop {
            let ended = self.end.load(SeqCst);
            let built = self.built.lock().take();
            match built {
                Some(words) => moved += u64::from(table.publish(Publisher::Flusher, &words)),
                None if ended => return moved,
                None => self.pause(),
            }
        }
    }

    /// Gives the number of snapshots that were read.
    fn read(&self, table: &impl Table, reader: usize, reads: u64) -> u64 {
        let _alarm = Alarm(self);
        let (mut last, mut read) = (0, 0);
        for i in 0..reads {
            let (words, lease) = table.begin(reader);
            let [id, pages, ..] = words;
            assert!(id >= last, "{id} after {last}");
            read += u64::from(id > last);
            last = id;
            let (page, previous) = (pages as u32 as usize, (pages >> 32) as usize);
            assert_eq!(words, encode_snapshot(id, page, previous));
            for round in 0..2 {
                self.check(page, id);
                self.check(previous, id - 1);
                if i % 64 == round {
                    std::thread::yield_now();
                }
            }
            table.end(reader, lease);
        }
        self.done.fetch_add(1, SeqCst);
        read
    }
}

fn run(table: &impl Table, reads: u64) {
    let zeroed = || std::array::from_fn(|_| AtomicU64::new(0));
    let world = World {
        pages: (0..PAGES).map(|_| zeroed()).collect(),
        built: Mutex::new(None),
        end: AtomicBool::new(false),
        done: AtomicU64::new(0),
        broken: AtomicBool::new(false),
    };
    world.fill(0, FIRST - 1);
    world.fill(1, FIRST);
    assert!(table.publish(Publisher::Builder, &encode_snapshot(FIRST, 1, 0)));
    std::thread::scope(|s| {
        let world = &world;
        let flusher = s.spawn(|| world.flush(table));
        let reader = |i| s.spawn(move || world.read(table, i, reads));
        let readers: Vec<_> = (0..READERS as usize).map(reader).collect();
        let (newest, reused) = world.build(table);
        world.end.store(true, SeqCst);
        let flushed = flusher.join().unwrap();
        let seen: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        println!("{newest} built, {reused} in used pages, {flushed} by a flush; {seen} seen anew");
        assert_eq!(table.visible(), TxnId(newest));
        assert!(flushed >= newest / 9 && reused + PAGES as u64 >= newest);
    });
    let scan = table.scan();
    assert_eq!((scan.pending, scan.readers), (false, vec![]));
}

#[test]
fn pages_and_descriptors_hold_still_for_registered_readers() {
    let disk = machine();
    run(&std::array::from_fn::<_, 4, _>(|_| open(&disk)), 200_000);
}

#[test]
fn they_hold_still_when_everybody_stops_anywhere() {
    run(&ShakenTable::default(), 20_000);
}
