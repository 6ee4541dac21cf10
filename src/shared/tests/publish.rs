//! Making snapshots visible, and waiting for them.

use super::*;
use crate::os::futex;
use crate::storage::sim::{Rng, run};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

fn visible_entry(shared: &Shared) -> u64 {
    shared.layout().visible.0.load(SeqCst) & 3
}

fn entries(shared: &Shared) -> [Descriptor; 4] {
    std::array::from_fn(|i| shared.layout().ring[i].0.each_ref().map(|word| word.load(SeqCst)))
}

#[test]
fn each_publisher_turns_between_entries_of_its_own_and_none_goes_back() {
    let disk = machine();
    let one = open(&disk);
    let mut rng = Rng::new(3);
    let mut newest = 1;
    for _ in 0..2_000 {
        let id = (newest + rng.below(4)).saturating_sub(1).max(1);
        let (before, ring) = (visible_entry(&one), entries(&one));
        let built = rng.chance(1, 2);
        let moved = if built {
            one.publish_built(&descriptor(id))
        } else {
            one.publish_flushed(&descriptor(id))
        };
        assert_eq!(moved.unwrap(), id > newest);
        if id > newest {
            newest = id;
            let entry = visible_entry(&one);
            assert_ne!(entry, before);
            assert_eq!(entry / 2, u64::from(!built));
            let mut expected = ring;
            expected[entry as usize] = descriptor(id);
            assert_eq!(entries(&one), expected, "no other entry is touched");
        } else {
            assert_eq!((visible_entry(&one), entries(&one)), (before, ring));
        }
        let mut reading = one.begin_read().unwrap();
        assert_eq!(reading.descriptor, descriptor(newest));
        one.end_read(&mut reading.lease);
    }
}

#[test]
fn ids_that_cannot_be_shifted_are_refused() {
    let disk = machine();
    let one = open(&disk);
    for id in [0, 1 << 61, u64::MAX] {
        let refused = |r: Result<bool>| matches!(r, Err(Error::InvalidArgument(_)));
        assert!(refused(one.publish_built(&descriptor(id))));
        assert!(refused(one.reset_visible(&descriptor(id)).map(|()| true)));
    }
    assert!(one.publish_built(&descriptor((1 << 61) - 1)).unwrap());
    assert_eq!(one.begin_read().unwrap().lease.txn(), TxnId((1 << 61) - 1));
}

#[test]
fn a_death_before_the_move_has_done_nothing() {
    for (step, after) in [("publish: entry written", 1), ("publish: visible moved", 2)] {
        let disk = machine();
        let (one, victim) = (open(&disk), open(&disk));
        kill_at(&disk, victim.process.id(), step);
        assert!(run(|| victim.publish_built(&descriptor(2))).done().is_none());
        disk.clear_hook();
        assert_eq!(one.begin_read().unwrap().descriptor, descriptor(after));
        assert!(one.publish_built(&descriptor(3)).unwrap());
        assert_eq!(one.begin_read().unwrap().descriptor, descriptor(3));
    }
}

#[test]
fn a_publisher_that_is_overtaken_keeps_the_order() {
    // While 5 is being built visible, a flush makes another visible.
    for (flushed, at_last) in [(3, 5), (7, 7)] {
        let disk = machine();
        let (builder, flusher) = (open(&disk), open(&disk));
        let reader = open(&disk);
        let builder_id = builder.process.id();
        disk.set_hook(move |_, event| {
            if event.kind == EventKind::Step("publish: entry written")
                && event.process == builder_id
            {
                assert_eq!(reader.begin_read().unwrap().descriptor, descriptor(1));
                assert!(flusher.publish_flushed(&descriptor(flushed)).unwrap());
                assert_eq!(reader.begin_read().unwrap().descriptor, descriptor(flushed));
            }
            Action::Continue
        });
        assert_eq!(builder.publish_built(&descriptor(5)).unwrap(), at_last == 5);
        disk.clear_hook();
        assert_eq!(builder.begin_read().unwrap().descriptor, descriptor(at_last));
    }
}

#[test]
fn a_reset_may_go_back() {
    let disk = machine();
    let one = open(&disk);
    one.publish_flushed(&descriptor(9)).unwrap();
    let before = visible_entry(&one);
    one.reset_visible(&descriptor(4)).unwrap();
    assert_ne!(visible_entry(&one), before);
    assert_eq!(one.begin_read().unwrap().descriptor, descriptor(4));
    assert!(one.publish_flushed(&descriptor(10)).unwrap());
}

#[test]
fn waiting_ends_with_a_newer_snapshot_or_the_time() {
    let disk = machine();
    let (one, two) = (open(&disk), open(&disk));
    let moment = Some(Duration::from_millis(3));
    assert_eq!(two.wait_visible(TxnId(0), None).unwrap(), TxnId(1));
    assert_eq!(two.wait_visible(TxnId(1), moment).unwrap(), TxnId(1));
    std::thread::scope(|s| {
        let waiter =
            s.spawn(|| (1..50).all(|id| two.wait_visible(TxnId(id), None).unwrap() > TxnId(id)));
        for id in 2..=50 {
            one.publish_built(&descriptor(id)).unwrap();
        }
        assert!(waiter.join().unwrap());
    });
    assert_eq!(one.layout().waiters.0.load(SeqCst), 0);
}

#[test]
fn each_kind_of_publication_wakes_sleepers() {
    // Longer than any machine stands still: who is not woken is found out.
    const LONG: Duration = Duration::from_secs(60);
    let disk = machine();
    let one = open(&disk);
    let publish: [fn(&Shared, u64); 3] = [
        |shared, id| assert!(shared.publish_built(&descriptor(id)).unwrap()),
        |shared, id| assert!(shared.publish_flushed(&descriptor(id)).unwrap()),
        |shared, id| shared.reset_visible(&descriptor(id)).unwrap(),
    ];
    for id in 2..32 {
        let layout = one.layout();
        let seen = layout.visible.0.load(SeqCst);
        std::thread::scope(|s| {
            let sleeper = s.spawn(|| {
                layout.waiters.0.fetch_add(1, SeqCst);
                let start = Instant::now();
                while layout.visible.0.load(SeqCst) == seen {
                    futex::wait(&layout.visible.0, seen, LONG);
                }
                layout.waiters.0.fetch_sub(1, SeqCst);
                start.elapsed()
            });
            while layout.waiters.0.load(SeqCst) == 0 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(1)); // most are asleep by now
            publish[id as usize % 3](&one, id);
            assert!(sleeper.join().unwrap() < LONG);
        });
    }
}
