//! The writer's hand-over and group commit (rules 2, 8 to 13): builders in two processes, who make
//! durable what they built, each for itself and with it whatever the other has built; a reader that
//! sees what is durable.
//!
//! Locks, scan, publication and the words with their steps (`words`) are those of this room, so
//! each step is what users run. In which order they are taken is told again here, as `txn/write.rs`
//! (`collect_pins`) and `txn/flush.rs` (`flush_image`) have it, over an image of two words: an
//! engine with its pages and checksums is too much for the checker. A variant that is wrong inside
//! a step has the step written out.

use super::explore;
use super::machine::{Machine, PAGES, Process, Writer, read, snapshot};
use crate::shared::Shared;
use crate::shared::sync::fence;
use crate::shared::words::{Alone, Durable, Outcome};
use crate::types::TxnId;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Right,
    /// Rule 8 reversed: W leads to an image that is not whole.
    BuiltBeforeImage,
    /// Both builders write the image that W leads to.
    OneImage,
    /// The image is copied without a second look at W.
    ImageOnce,
    /// Rule 2: the snapshot that is being flushed is no pin.
    TargetNotMarked,
    /// Rule 9 without the second look.
    MarkedOnce,
    /// Rule 2 reversed: D is read before F.
    DurableBeforeTarget,
    /// Rule 13 reversed: F is taken down before D has moved.
    MarkDownFirst,
    /// The flush lock is not taken.
    NoLeader,
}
use Variant::*;

/// Whoever says so has taken it, or is wrong on purpose.
const LOCKED: Alone = Alone(());

struct Group {
    variant: Variant,
    machine: Arc<Machine>,
}

impl Group {
    fn load_image(&self, shared: &Shared) -> (u64, u64) {
        let copy = |side: usize| {
            let [id, page] = &shared.images()[side].0.meta;
            (id.load(Relaxed), page.load(Relaxed))
        };
        let words = shared.words();
        let (built, image) = match self.variant {
            ImageOnce => {
                let built = words.built.0.load(SeqCst);
                let image = copy((built & 1) as usize);
                fence(SeqCst);
                (TxnId(built >> 1), image)
            }
            _ => words.copy_built(copy).expect("W stands still in the end"),
        };
        assert_eq!(image.0, built.0, "an image that is not W's");
        image
    }

    fn store_image(&self, shared: &Shared, (id, page): (u64, u64)) {
        let words = shared.words();
        let store = |side: usize| {
            let image = &shared.images()[side].0.meta;
            image[0].store(id, Relaxed);
            image[1].store(page, Relaxed);
        };
        let side = words.built.0.load(SeqCst) & 1;
        match self.variant {
            BuiltBeforeImage => {
                words.built.0.store(id << 1 | (side ^ 1), SeqCst);
                store((side ^ 1) as usize);
                fence(SeqCst);
            }
            OneImage => {
                store(side as usize);
                fence(SeqCst);
                words.built.0.store(id << 1 | side, SeqCst);
            }
            _ => words.build(&LOCKED, TxnId(id), store),
        }
    }

    /// Rule 2.
    fn pins(&self, shared: &Shared) -> (crate::shared::Scan, [u64; 4]) {
        let scan = shared.scan().unwrap();
        let words = shared.words();
        let early = words.durable().txn;
        let [target, durable, ..] = words.protected(|| ());
        let durable = if self.variant == DurableBeforeTarget { early } else { durable };
        (scan, [target.0, durable.0, 0, self.load_image(shared).0])
    }

    /// Builds one transaction on what W says, shows it if it is deferred, and says its id. Dying
    /// pages are known to all.
    fn build(&self, shared: &Shared, known: &loom::sync::Mutex<Writer>, deferred: bool) -> u64 {
        assert!(shared.lock_writer(None).unwrap());
        let base = self.load_image(shared);
        let (scan, pinned) = self.pins(shared);
        let mut writer = known.lock().unwrap();
        assert_eq!(base, writer.newest, "the writer before has built something else");
        let words = writer.build(&self.machine, &scan, &pinned);
        drop(writer);
        self.store_image(shared, (words[0], words[1]));
        if deferred {
            shared.publish_built(&words).unwrap();
        }
        shared.unlock_writer();
        words[0]
    }

    /// Rule 9.
    fn mark(&self, shared: &Shared) -> (u64, u64) {
        let words = shared.words();
        let newest = || self.load_image(shared);
        match self.variant {
            TargetNotMarked => newest(),
            MarkedOnce => {
                let image = newest();
                words.flushing.0.store(image.0, SeqCst);
                fence(SeqCst);
                image
            }
            _ => {
                let newest = || Ok(newest()).map(|image| (TxnId(image.0), image));
                words.mark_target(&LOCKED, newest).unwrap().expect("W stands still in the end")
            }
        }
    }

    /// Returns when the transaction is durable; whoever has the flush lock carries along what is
    /// built.
    fn make_durable(&self, shared: &Shared, txn: u64) {
        let words = shared.words();
        let durable = || words.durable().txn.0;
        if durable() >= txn {
            return;
        }
        if self.variant != NoLeader {
            assert!(shared.lock_flush(None).unwrap());
        }
        if durable() < txn {
            let before = durable();
            let (target, page) = self.mark(shared);
            assert!(target >= txn && target > before, "D goes back");
            // The sync: the device reads the page when it likes.
            self.machine.look(page, target);
            self.machine.look(page, target);
            shared.publish_flushed(&snapshot(target, page)).unwrap();
            if self.variant == MarkDownFirst {
                words.end_flush(&LOCKED);
            }
            words.set_durable(&LOCKED, Durable { txn: TxnId(target), slot: 0 });
            if self.variant != MarkDownFirst {
                words.end_flush(&LOCKED);
            }
            // What D leads to stays whole: a recovery would read it now.
            self.machine.look(page, target);
        }
        if self.variant != NoLeader {
            shared.unlock_flush();
        }
        assert!(durable() >= txn);
    }
}

/// What happens: a flusher makes durable what is there, or builds first; a builder goes on; a
/// reader may look.
#[derive(Clone, Copy)]
struct Model {
    /// Both build one transaction and make it durable; else one flushes and the other builds.
    committers: bool,
    /// Transactions of the one that only builds.
    builds: usize,
    reader: bool,
    preemptions: usize,
}

const FLUSH: Model = Model { committers: false, builds: 3, reader: false, preemptions: 3 };
const COMMITS: Model = Model { committers: true, builds: 0, reader: true, preemptions: 3 };

fn try_all(name: &str, model: Model, variant: Variant) {
    explore(name, model.preemptions, move || {
        let machine = Machine::new();
        let group = Arc::new(Group { variant, machine: machine.clone() });
        let one = Arc::new(Process::new(&machine, 0).open());
        let two = Process::new(&machine, 1).open();
        // Snapshot 1 is built, visible and durable, and 2 is built and visible.
        one.words().set_durable(&LOCKED, Durable { txn: TxnId(1), slot: 0 });
        group.store_image(&one, (1, 0));
        let known =
            Arc::new(loom::sync::Mutex::new(Writer { fresh: 1..PAGES as u64, ..Writer::new() }));
        if !model.committers {
            group.build(&one, &known, true);
        }
        let mut threads = Vec::new();
        threads.push(thread::spawn({
            let (group, one, known) = (group.clone(), one.clone(), known.clone());
            move || {
                let txn = match model.committers {
                    true => group.build(&one, &known, false),
                    false => one.words().built().0,
                };
                group.make_durable(&one, txn);
            }
        }));
        if model.reader {
            let (machine, one) = (machine.clone(), one.clone());
            threads.push(thread::spawn(move || {
                let first = read(&machine, &one);
                assert!(read(&machine, &one) >= first, "visible goes back");
            }));
        }
        if model.committers {
            let txn = group.build(&two, &known, false);
            group.make_durable(&two, txn);
        }
        for _ in 0..model.builds {
            group.build(&two, &known, true);
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(one.words().flushing(), TxnId::NONE);
    });
}

#[test]
fn a_flush_beside_a_builder() {
    try_all("flush", FLUSH, Right);
}

#[test]
fn two_who_commit_and_a_reader() {
    try_all("commits", COMMITS, Right);
}

#[test]
#[should_panic(expected = "not W's")]
fn built_moves_before_the_image() {
    try_all("W before image", FLUSH, BuiltBeforeImage);
}

#[test]
#[should_panic(expected = "is not snapshot")]
fn images_that_do_not_alternate() {
    try_all("one image", FLUSH, OneImage);
}

#[test]
#[should_panic(expected = "not W's")]
fn an_image_copied_without_a_second_look() {
    try_all("image once", FLUSH, ImageOnce);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_flush_target_that_is_no_pin() {
    try_all("no mark", FLUSH, TargetNotMarked);
}

#[test]
#[should_panic(expected = "is not snapshot")]
fn a_target_marked_without_a_second_look() {
    try_all("marked once", FLUSH, MarkedOnce);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn durable_read_before_the_target() {
    try_all("D before F", FLUSH, DurableBeforeTarget);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_mark_taken_down_before_durable_has_moved() {
    try_all("F before D", FLUSH, MarkDownFirst);
}

#[test]
#[should_panic(expected = "durable() >= txn")]
fn two_leaders() {
    try_all("two leaders", COMMITS, NoLeader);
}

/// Roll-backs beside somebody who asks what has become of its transaction. 6 is dead from the first
/// one on. With `joined` a later one joins its range with the next.
fn outcomes(name: &str, joined: bool, ask: fn(&Shared) -> Outcome) {
    explore(name, 4, move || {
        let machine = Machine::new();
        let one = Arc::new(Process::new(&machine, 0).open());
        let bury = |shared: &Shared, durable, again| {
            shared.words().bury_ids(&LOCKED, &LOCKED, TxnId(durable), TxnId(again));
        };
        one.words().set_durable(&LOCKED, Durable { txn: TxnId(5), slot: 0 });
        if joined {
            // The next one moves the range of the first from the last place to the first.
            for (durable, again) in [(5, 8), (10, 12), (20, 22)] {
                bury(&one, durable, again);
            }
        }
        let asker = thread::spawn({
            let one = one.clone();
            move || ask(&one)
        });
        if joined {
            bury(&one, 30, 32);
        } else {
            bury(&one, 5, 8);
            one.words().set_durable(&LOCKED, Durable { txn: TxnId(9), slot: 0 });
        }
        let outcome = asker.join().unwrap();
        assert_ne!(outcome, Outcome::Durable, "acknowledged and rolled back");
        assert!(!joined || outcome == Outcome::RolledBack, "a dead id that is not seen");
        assert_eq!(ask(&one), Outcome::RolledBack);
    });
}

#[test]
fn what_is_rolled_back_is_never_acknowledged() {
    outcomes("outcome", false, |shared| shared.words().outcome(TxnId(6), || ()));
}

#[test]
fn dead_ids_whose_ranges_are_joined_stay_dead() {
    outcomes("joined", true, |shared| shared.words().outcome(TxnId(6), || ()));
}

#[test]
#[should_panic(expected = "acknowledged and rolled back")]
fn dead_ids_that_are_read_before_durable() {
    outcomes("dead before D", false, |shared| {
        let dead = shared.words().dead_ids().have(TxnId(6));
        let durable = shared.words().durable().txn >= TxnId(6);
        match (dead, durable) {
            (true, _) => Outcome::RolledBack,
            (_, true) => Outcome::Durable,
            _ => Outcome::Pending,
        }
    });
}

#[test]
#[should_panic(expected = "a dead id that is not seen")]
fn dead_ids_that_are_read_once() {
    outcomes("dead ids once", true, |shared| {
        let ranges = shared.words().dead.0.each_ref();
        let dead = ranges.into_iter().any(|[low, high]| {
            let low = low.load(SeqCst);
            low != 0 && low <= 6 && high.load(SeqCst) >= 6
        });
        if dead { Outcome::RolledBack } else { Outcome::Pending }
    });
}
