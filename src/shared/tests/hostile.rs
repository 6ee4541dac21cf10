//! Memory that anybody may have written anything to: errors or right answers, and always an end.

use super::*;
use crate::shared::layout::{Identity, Layout, Line, PENDING, SLOTS};
use crate::storage::sim::Rng;
use std::mem::offset_of;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// The word at this place of the memory, as `layout` has it at least in its words of 64 bits.
fn word(layout: &Layout, index: usize) -> &AtomicU64 {
    assert!(index < SIZE / 8);
    // SAFETY: inside the region, aligned, and every bit pattern is a value. Two halves that are
    // words of 32 bits to others are only spoiled while nobody else is at work.
    unsafe { &*std::ptr::from_ref(layout).cast::<AtomicU64>().add(index) }
}

/// A word that is nothing, or looks like something.
fn nonsense(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1,
        3 => rng.below(64),
        4 => 1 << rng.below(64),
        5 => u64::MAX - rng.below(1 << 33),
        6 => rng.below(1 << 12) | rng.below(1 << 12) << 32,
        _ => rng.next_u64(),
    }
}

fn spoil(layout: &Layout, rng: &mut Rng, words: std::ops::Range<usize>) {
    for index in words {
        word(layout, index).store(nonsense(rng), SeqCst);
    }
}

/// Everything a handle can be asked for. What comes back does not matter; that it does, does.
fn use_everything(shared: &Shared, rng: &mut Rng) {
    let mut reading = shared.begin_read();
    if let Ok(reading) = &reading {
        assert_eq!(reading.descriptor[0], reading.lease.txn().0);
    }
    if let Ok(scan) = shared.scan() {
        assert!(scan.readers.is_sorted() && scan.readers.len() <= SLOTS + 256);
        assert!(!scan.allows(TxnId(1), TxnId(scan.visible.0 + 1)));
    }
    let id = shared.visible().0.saturating_add(rng.below(2));
    let _ = shared.publish_built(&descriptor(id));
    let _ = shared.publish_flushed(&descriptor(rng.next_u64() >> rng.below(64)));
    let _ = shared.reader_table().map(|table| assert!(table.len() <= SLOTS));
    let _ = shared.clear_dead();
    let _ = shared.wait_visible(TxnId(rng.next_u64() >> rng.below(64)), Some(Duration::ZERO));
    if let Ok(reading) = &mut reading {
        shared.end_read(&mut reading.lease);
    }
}

#[test]
fn garbage_is_a_new_lock_file() {
    for seed in 0..12 {
        let disk = machine();
        spoil(raw(&disk).layout(), &mut Rng::new(seed), 0..SIZE / 8);
        let one = attach_as(&process(&disk), UUID, |shared, state| {
            assert_eq!(state, FirstState::Unknown);
            let layout = shared.layout();
            for index in offset_of!(Layout, visible) / 8..offset_of!(Layout, list) / 8 {
                assert_eq!(word(layout, index).load(SeqCst), 0);
            }
            assert_eq!(shared.identity().opening.load(SeqCst), 0);
            start(shared, state)
        })
        .unwrap();
        assert_eq!(one.begin_read().unwrap().descriptor, descriptor(1));
        assert_eq!(open(&disk).arrival, Arrival::Joined);
    }
}

#[test]
fn a_last_session_of_garbage_gives_errors() {
    const BEHIND: usize = size_of::<Line<Identity>>() / 8;
    for seed in 0..12 {
        let disk = machine();
        drop(open(&disk));
        let mut rng = Rng::new(seed);
        spoil(raw(&disk).layout(), &mut rng, BEHIND..SIZE / 8);
        let one = open(&disk);
        assert_eq!(one.arrival, Arrival::First(FirstState::Survives));
        assert_eq!(one.scan().unwrap().readers, [], "slots are swept");
        (0..50).for_each(|_| use_everything(&one, &mut rng));
    }
}

#[test]
fn words_that_change_under_everybody_give_errors() {
    const SMALL: [usize; 4] = [
        offset_of!(Layout, visible) / 8,
        offset_of!(Layout, waiters) / 8,
        offset_of!(Layout, ring) / 8,
        offset_of!(Layout, slots_used) / 8,
    ];
    for seed in 0..40 {
        let disk = machine();
        let mut rng = Rng::new(seed);
        let handles = [open(&disk), open(&disk), open(&disk)];
        handles[2].kill(&disk);
        for _ in 0..100 {
            let layout = handles[0].layout();
            let index = match rng.below(3) {
                0 => SMALL[rng.index(4)] + rng.index(8),
                1 => offset_of!(Layout, slots) / 8 + rng.index(64 * 16),
                _ => offset_of!(Layout, visible) / 8 + rng.index(SIZE / 8 - 64),
            };
            if index < SIZE / 8 {
                word(layout, index).store(nonsense(&mut rng), SeqCst);
            }
            use_everything(&handles[rng.index(2)], &mut rng);
        }
        drop(handles);
        let one = attach_as(&process(&disk), UUID, |shared, _| {
            shared.forget();
            start(shared, FirstState::Unknown)
        });
        assert_eq!(one.unwrap().begin_read().unwrap().descriptor, descriptor(1));
    }
}

#[test]
fn a_visible_word_that_leads_nowhere_is_an_error_and_leaks_no_slot() {
    let disk = machine();
    let one = open(&disk);
    let visible = &one.layout().visible.0;
    let good = visible.load(SeqCst);
    for bad in [0, 3, good ^ 1, good ^ 2, good + 4, good | 1 << 63, u64::MAX] {
        visible.store(bad, SeqCst);
        for _ in 0..3 {
            let error = one.begin_read().unwrap_err();
            assert!(is_lock_file(&error, "no descriptor"), "{bad:x}: {error}");
        }
        assert_eq!((one.slots_claimed(), slots_of(&one, 1)), (1, vec![0]), "{bad:x}");
    }
    visible.store(good, SeqCst);
    assert_eq!(one.begin_read().unwrap().descriptor, descriptor(1));
}

#[test]
fn slots_that_lie_pin_but_do_not_free() {
    let disk = machine();
    let (one, two) = (open(&disk), open(&disk));
    let _readings = [one.begin_read().unwrap(), two.begin_read().unwrap()];
    one.publish_built(&descriptor(2)).unwrap();
    let slots = &one.layout().slots;
    one.layout().slots_used.0.store(u64::MAX, SeqCst);
    assert_eq!(one.slots_claimed(), SLOTS);
    // Owners that no handle can be: reported as dead, cleared.
    for (i, owner) in [(5, 1025), (6, u32::MAX), (7, 1 << 31)] {
        slots[i].owner.store(owner, SeqCst);
        slots[i].txn.store(1, SeqCst);
    }
    // Handles that do not exist, a snapshot of the future, one that nobody owns.
    slots[8].owner.store(1024, SeqCst);
    slots[9].owner.store(two.id() + 1, SeqCst);
    slots[9].txn.store(1 << 50, SeqCst);
    slots[10].txn.store(PENDING, SeqCst);
    assert_eq!(one.reader_table().unwrap().iter().filter(|info| !info.alive).count(), 4);
    assert_eq!(one.clear_dead().unwrap(), 4);
    let scan = one.scan().unwrap();
    assert_eq!(scan.readers, txns(&[1, 1 << 50]));
    assert!(scan.pending && !scan.allows(TxnId(1), TxnId(2)));
    // The mark set too low is raised again by the next claim.
    one.layout().slots_used.0.store(0, SeqCst);
    let _third = one.begin_read().unwrap();
    assert_eq!(one.scan().unwrap().readers, txns(&[1, 2]));
}

#[test]
fn a_visible_word_that_runs_in_circles_ends_in_a_snapshot_or_an_error() {
    let disk = machine();
    let one = open(&disk);
    one.publish_built(&descriptor(2)).unwrap();
    let visible = &one.layout().visible.0;
    let end = AtomicBool::new(false);
    let words = [visible.load(SeqCst), (1 << 2) | 1, 3 << 2, 2 << 2 | 1];
    std::thread::scope(|s| {
        s.spawn(|| {
            for i in (0..words.len()).cycle().take_while(|_| !end.load(SeqCst)) {
                visible.store(words[i], SeqCst);
            }
        });
        let mut begun = 0;
        for _ in 0..3_000 {
            if let Ok(mut reading) = one.begin_read() {
                assert_eq!(reading.descriptor, descriptor(reading.lease.txn().0));
                one.end_read(&mut reading.lease);
                begun += 1;
            }
        }
        end.store(true, SeqCst);
        assert!(begun <= 3_000);
    });
    assert_eq!((one.slots_claimed(), slots_of(&one, 1)), (1, vec![0]));
}
