//! Slots and what a writer learns from them.

use super::*;
use crate::shared::layout::{KEPT, PENDING, SLOTS};
use crate::shared::{ReaderInfo, Reading, Scan};
use crate::storage::sim::run;
use std::sync::atomic::Ordering::SeqCst;

#[test]
fn a_scan_names_each_registered_snapshot_once() {
    let disk = machine();
    let handles = [open(&disk), open(&disk), open(&disk)];
    let mut readings: Vec<(usize, Reading)> = Vec::new();
    for id in 2..40 {
        for (h, handle) in handles.iter().enumerate() {
            if !(id + h as u64).is_multiple_of(3) {
                let reading = handle.begin_read().unwrap();
                assert_eq!(reading.descriptor, descriptor(id - 1));
                assert_eq!(reading.lease.txn(), TxnId(id - 1));
                readings.push((h, reading));
            }
        }
        handles[id as usize % 3].publish_built(&descriptor(id)).unwrap();
        if id % 5 == 0 {
            let (h, mut gone) = readings.remove(id as usize % 3);
            handles[h].end_read(&mut gone.lease);
        }
        let mut expected: Vec<_> = readings.iter().map(|(_, r)| r.lease.txn()).collect();
        expected.sort();
        expected.dedup();
        let expected = Scan { visible: TxnId(id), readers: expected, pending: false };
        handles.iter().for_each(|handle| assert_eq!(handle.scan().unwrap(), expected));
    }
    for (h, mut reading) in readings {
        handles[h].end_read(&mut reading.lease);
    }
    assert_eq!(handles[0].scan().unwrap().readers, []);
}

#[test]
fn a_page_is_free_when_no_reader_stands_in_its_interval() {
    let sets: [&[u64]; 5] = [&[], &[1], &[3], &[2, 5], &[1, 2, 7]];
    for (readers, pending) in sets.iter().flat_map(|s| [(s, false), (s, true)]) {
        let scan = Scan { visible: TxnId(6), readers: txns(readers), pending };
        for (birth, death) in (0..9).flat_map(|b| (b..9).map(move |d| (b, d))) {
            let seen = readers.iter().any(|&s| birth <= s && s < death);
            let expected = !pending && death <= 6 && !seen;
            assert_eq!(scan.allows(TxnId(birth), TxnId(death)), expected, "{birth} {death}");
        }
    }
}

#[test]
fn an_ended_lease_is_taken_again_and_ends_once() {
    let disk = machine();
    let one = open(&disk);
    let mut first = one.begin_read().unwrap();
    std::thread::scope(|s| s.spawn(|| one.end_read(&mut first.lease)).join().unwrap());
    let mut second = one.begin_read().unwrap();
    assert_eq!(one.slots_claimed(), 1);
    one.end_read(&mut first.lease);
    assert_eq!(one.scan().unwrap().readers, txns(&[1]), "a second end is nobody else's end");
    one.end_read(&mut second.lease);
    assert_eq!(one.scan().unwrap().readers, []);
}

#[test]
fn only_the_dead_are_cleared() {
    let disk = machine();
    let (own, dead, live) = (open(&disk), open(&disk), open(&disk));
    let _readings = [own.begin_read().unwrap(), live.begin_read().unwrap()];
    let mut lost = [dead.begin_read().unwrap(), dead.begin_read().unwrap()];
    own.publish_built(&descriptor(2)).unwrap();
    assert_eq!(own.clear_dead().unwrap(), 0);
    dead.kill(&disk);
    let info = |slot, handle, alive| {
        let (txn, pending) = (TxnId(1), false);
        let (pid, outdated) = (std::process::id(), Some(Duration::ZERO)); // the machine's clock stands still
        ReaderInfo { slot, handle, txn, pending, alive, pid, outdated }
    };
    let table = [info(0, 0, true), info(1, 2, true), info(2, 1, false), info(3, 1, false)];
    assert_eq!(own.reader_table().unwrap(), table);
    assert_eq!(own.clear_dead().unwrap(), 2);
    assert_eq!(own.clear_dead().unwrap(), 0);
    assert_eq!(own.reader_table().unwrap(), table[..2]);
    assert!(holds(&disk, 0), "clearing must not give up the own proof of life");
    // The ends of the dead come late, and must not touch slots that are others' by now.
    let again = [own.begin_read().unwrap(), live.begin_read().unwrap()];
    lost.iter_mut().for_each(|reading| dead.end_read(&mut reading.lease));
    drop(dead);
    assert_eq!(own.scan().unwrap().readers, txns(&[1, 2]));
    assert_eq!(again.map(|reading| reading.lease.txn()), [TxnId(2); 2]);
}

#[test]
fn a_death_while_clearing_leaves_the_rest_to_others() {
    let disk = machine();
    let (own, dead, helper) = (open(&disk), open(&disk), open(&disk));
    let _lost = [dead.begin_read().unwrap(), helper.begin_read().unwrap()];
    dead.kill(&disk);
    kill_at(&disk, helper.process.id(), "clear: slots freed");
    assert!(run(|| helper.clear_dead()).done().is_none());
    disk.clear_hook();
    assert_eq!(own.clear_dead().unwrap(), 1);
    assert_eq!((slots_of(&own, 2), slots_of(&own, 3)), (vec![], vec![]));
}

#[test]
fn a_full_table_is_an_error_until_somebody_ends_dies_or_leaves() {
    let disk = machine();
    let (many, few) = (open(&disk), open(&disk));
    let mut one = few.begin_read().unwrap();
    let mut all: Vec<_> = (1..SLOTS).map(|_| many.begin_read().unwrap()).collect();
    assert_eq!(many.slots_claimed(), SLOTS);
    for shared in [&many, &few] {
        let Err(error) = shared.begin_read() else { panic!("one too many") };
        assert!(matches!(error, Error::ReadersFull { .. }) && error.to_string().contains("8,192"));
    }
    assert_eq!(SLOTS, 8_192);
    // Who looks without a slot sees what is visible.
    assert_eq!(few.look().unwrap(), descriptor(1));
    // One of the first few is kept for its handle, any other is for whoever comes first.
    many.end_read(&mut all[KEPT as usize - 1].lease);
    assert!(matches!(few.begin_read(), Err(Error::ReadersFull { .. })));
    all[KEPT as usize - 1] = many.begin_read().unwrap();
    many.end_read(&mut all[77].lease);
    let mut two = few.begin_read().unwrap();
    assert!(matches!(many.begin_read(), Err(Error::ReadersFull { .. })));
    few.end_read(&mut one.lease);
    assert!(matches!(many.begin_read(), Err(Error::ReadersFull { .. })));
    few.end_read(&mut two.lease);
    many.kill(&disk);
    let _one = [few.begin_read().unwrap(), few.begin_read().unwrap(), few.begin_read().unwrap()];
    assert_eq!(few.scan().unwrap().readers, txns(&[1]));
    assert_eq!(slots_of(&few, many.id() + 1).len(), 0);
}

/// Processes that had many readers once, and have none now, leave the table to others.
#[test]
fn idle_handles_keep_few_slots() {
    let disk = machine();
    let handles: Vec<_> = (0..40).map(|_| open(&disk)).collect();
    let begin = |handle: &Opened, n| (0..n).map(|_| handle.begin_read().unwrap()).collect();
    for handle in &handles {
        let mut readings: Vec<Reading> = begin(handle, 64);
        readings.iter_mut().for_each(|reading| handle.end_read(&mut reading.lease));
        assert_eq!(slots_of(handle, handle.id() + 1).len(), KEPT as usize);
    }
    assert_eq!(handles[0].slots_claimed(), 39 * KEPT as usize + 64);
    // At the same time, all of them.
    let all: Vec<Vec<Reading>> = handles.iter().map(|handle| begin(handle, 64)).collect();
    let mut rest: Vec<Reading> = begin(&handles[0], SLOTS - 40 * 64);
    assert!(matches!(handles[1].begin_read(), Err(Error::ReadersFull { .. })));
    rest.iter_mut().for_each(|reading| handles[0].end_read(&mut reading.lease));
    for (handle, mut readings) in handles.iter().zip(all) {
        readings.iter_mut().for_each(|reading| handle.end_read(&mut reading.lease));
    }
    assert_eq!(handles[0].scan().unwrap().readers, []);
    let used = &handles[0].layout().slots;
    let taken = used.iter().filter(|slot| slot.owner.load(SeqCst) != 0).count();
    assert_eq!(taken, 40 * KEPT as usize);
}

#[test]
fn a_handle_that_closes_leaves_nothing() {
    let disk = machine();
    let (stays, goes) = (open(&disk), open(&disk));
    let lost = [goes.begin_read().unwrap(), goes.begin_read().unwrap()];
    assert_eq!(slots_of(&stays, 2), [1, 1]);
    let Opened { shared, process, .. } = goes;
    drop(shared);
    assert!(slots_of(&stays, 2).is_empty());
    assert_eq!(stays.scan().unwrap().readers, []);
    assert!(!holds(&disk, 1), "the process lives, its handle does not");
    drop((process, lost));
}

#[test]
fn a_reader_that_has_not_settled_pins_everything() {
    let disk = machine();
    let one = open(&disk);
    let _reading = one.begin_read().unwrap();
    one.publish_built(&descriptor(2)).unwrap();
    let late = one.begin_read().unwrap();
    one.layout().slots[1].txn.store(PENDING, SeqCst);
    let scan = one.scan().unwrap();
    assert_eq!((scan.pending, &scan.readers[..]), (true, &txns(&[1])[..]));
    assert!(!scan.allows(TxnId(1), TxnId(1)));
    assert!(one.reader_table().unwrap()[1].pending);
    assert_eq!(late.lease.txn(), TxnId(2));
}

/// In its slot, kept or not; where the new snapshot is of no use it stays where it was.
#[test]
fn a_reader_goes_to_the_next_snapshot_in_its_slot() {
    let disk = machine();
    let one = open(&disk);
    let mut readings: Vec<Reading> = (0..10).map(|_| one.begin_read().unwrap()).collect();
    let claimed = one.slots_claimed();
    one.publish_built(&descriptor(2)).unwrap();
    for reading in &mut readings[..9] {
        let pinned = |found: &Descriptor| {
            let scan = one.scan().unwrap();
            assert!(scan.pending && scan.readers.contains(&TxnId(1)), "both are pinned meanwhile");
            assert_eq!(*found, descriptor(2));
            Ok(())
        };
        one.renew(&mut reading.lease, TxnId(1), pinned).unwrap();
    }
    let refused = |_: &Descriptor| -> Result<()> { Err(Error::ReadOnly { path: None }) };
    let refused = one.renew(&mut readings[9].lease, TxnId(1), refused);
    assert!(matches!(refused, Err(Error::ReadOnly { .. })));
    assert_eq!(one.scan().unwrap().readers, txns(&[1, 2]));
    assert!(!one.scan().unwrap().pending);
    one.end_read(&mut readings[9].lease);
    assert_eq!(one.scan().unwrap().readers, txns(&[2]));
    readings.iter_mut().for_each(|reading| one.end_read(&mut reading.lease));
    assert_eq!((one.scan().unwrap().readers, one.slots_claimed()), (vec![], claimed));
}

#[test]
fn nothing_happens_in_a_process_that_is_not_ours() {
    let disk = machine();
    let (live, gone) = (open(&disk), open(&disk));
    let mut reading = gone.begin_read().unwrap();
    gone.kill(&disk);
    assert!(matches!(gone.check_alive(), Err(Error::Forked { .. })));
    assert!(matches!(gone.begin_read(), Err(Error::Forked { .. })));
    assert!(matches!(gone.scan(), Err(Error::Forked { .. })));
    assert!(matches!(gone.clear_dead(), Err(Error::Forked { .. })));
    assert!(matches!(gone.reader_table(), Err(Error::Forked { .. })));
    assert!(matches!(gone.publish_built(&descriptor(2)), Err(Error::Forked { .. })));
    assert!(matches!(gone.publish_flushed(&descriptor(2)), Err(Error::Forked { .. })));
    assert!(matches!(gone.reset_visible(&descriptor(2)), Err(Error::Forked { .. })));
    assert!(matches!(gone.wait_visible(TxnId(1), None), Err(Error::Forked { .. })));
    assert!(matches!(gone.try_lock_writer(), Err(Error::Forked { .. })));
    assert!(matches!(gone.lock_flush(None), Err(Error::Forked { .. })));
    assert!(matches!(gone.flush_held_elsewhere(), Err(Error::Forked { .. })));
    let renewed = gone.renew(&mut reading.lease, TxnId(1), |_| Ok(()));
    assert!(matches!(renewed, Err(Error::Forked { .. })));
    gone.unlock_writer();
    gone.unlock_flush();
    gone.end_read(&mut reading.lease);
    drop(gone);
    assert_eq!(slots_of(&live, 2), [1], "the slot is the parent's");
    assert_eq!(live.visible(), TxnId(1));
    assert_eq!(disk.counters().after_death, 0);
}
