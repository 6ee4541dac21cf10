//! The protocol on real threads: a builder, a flusher and readers, on pages that are used again as soon as the scan allows.
//!
//! Transaction t writes page p(t) and shows two pages: its own and that of t - 1. So each page lives for two
//! transactions, [t, t + 2). Every third transaction is left to the flusher to make visible; for every third of these the
//! builder waits, with the others it races. The builder goes on until each reader has begun as often as it should.

use super::*;
use crate::shared::layout::DESCRIPTOR_WORDS;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};

/// Reads of each of the readers.
const READS: u64 = 400_000;
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

/// Raises the alarm when its thread panics.
struct Alarm<'a>(&'a World);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, SeqCst);
        }
    }
}

fn describe(id: u64, page: usize, previous: usize) -> Descriptor {
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
    fn build(&self, shared: &Shared) -> (u64, u64) {
        let _alarm = Alarm(self);
        let mut fresh = FIRST as usize..PAGES;
        let mut dying: VecDeque<(usize, u64)> = [(0, 1), (1, 2)].into();
        let mut reused = 0;
        let mut id = FIRST;
        while self.done.load(SeqCst) < READERS || id.is_multiple_of(3) {
            assert!(!self.broken.load(SeqCst), "another thread has failed");
            id += 1;
            let page = loop {
                let scan = shared.scan().unwrap();
                let free = dying.iter().position(|&(_, birth)| {
                    birth + 2 < id && scan.allows(TxnId(birth), TxnId(birth + 2))
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
            let words = describe(id, page, previous);
            if id.is_multiple_of(3) {
                *self.built.lock() = Some(words);
                while id.is_multiple_of(9) && shared.visible() < TxnId(id) {
                    self.pause();
                }
            } else {
                assert!(shared.publish_built(&words).unwrap(), "{id}: only older ones compete");
            }
        }
        (id, reused)
    }

    /// Gives the number of snapshots that became visible by a flush.
    fn flush(&self, shared: &Shared) -> u64 {
        let _alarm = Alarm(self);
        let mut moved = 0;
        loop {
            let ended = self.end.load(SeqCst);
            let built = self.built.lock().take();
            match built {
                Some(words) => moved += u64::from(shared.publish_flushed(&words).unwrap()),
                None if ended => return moved,
                None => self.pause(),
            }
        }
    }

    /// Gives the number of snapshots that were read.
    fn read(&self, shared: &Shared) -> u64 {
        let _alarm = Alarm(self);
        let (mut last, mut read) = (0, 0);
        for i in 0..READS {
            let mut reading = shared.begin_read().unwrap();
            let words = reading.descriptor;
            let [id, pages, ..] = words;
            assert!(id >= last, "{id} after {last}");
            read += u64::from(id > last);
            last = id;
            let (page, previous) = (pages as u32 as usize, (pages >> 32) as usize);
            assert_eq!(words, describe(id, page, previous));
            for round in 0..2 {
                self.check(page, id);
                self.check(previous, id - 1);
                if i % 64 == round {
                    std::thread::yield_now();
                }
            }
            shared.end_read(&mut reading.lease);
        }
        self.done.fetch_add(1, SeqCst);
        read
    }
}

#[test]
fn pages_and_descriptors_hold_still_for_registered_readers() {
    let disk = machine();
    let [builder, flusher, one, two] = std::array::from_fn(|_| open(&disk));
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
    assert!(builder.publish_built(&describe(FIRST, 1, 0)).unwrap());
    std::thread::scope(|s| {
        let world = &world;
        let flusher = s.spawn(|| world.flush(&flusher));
        let readers = [&one, &two, &two].map(|handle| s.spawn(|| world.read(handle)));
        let (newest, reused) = world.build(&builder);
        world.end.store(true, SeqCst);
        let flushed = flusher.join().unwrap();
        let read: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        println!("{newest} built, {reused} in used pages, {flushed} by a flush; {read} seen anew");
        assert_eq!(builder.visible(), TxnId(newest));
        assert!(newest < 9 || flushed >= newest / 9);
        assert!(reused + PAGES as u64 >= newest);
    });
    let scan = builder.scan().unwrap();
    assert_eq!((scan.pending, scan.readers), (false, vec![]));
}
