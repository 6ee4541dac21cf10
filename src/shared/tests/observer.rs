//! Reading without slots: a lock on the byte of the snapshot.

use super::*;
use std::sync::atomic::Ordering::SeqCst;

fn observe(disk: &SimDisk) -> Result<Option<Opened>> {
    let options = ProcessOptions { read_only: true, observer: true, direct: false };
    let process = disk.process(options);
    let shared = Shared::observe(process.clone(), UUID, PAGE_SIZE, Duration::ZERO)?;
    Ok(shared.map(|shared| Opened { shared, arrival: Arrival::Joined, process }))
}

/// Each snapshot that is said to be observed, and whether it is said to be out of date.
fn observed(shared: &Shared) -> Vec<(TxnId, bool)> {
    shared.observed().unwrap().iter().map(|it| (it.txn, it.outdated.is_some())).collect()
}

#[test]
fn an_observer_pins_by_the_byte_of_its_snapshot() {
    let disk = machine();
    let one = open(&disk);
    let observer = observe(&disk).unwrap().unwrap();
    assert_eq!(observer.handle_index(), None);
    let mut first = observer.begin_read().unwrap();
    let mut again = observer.begin_read().unwrap();
    assert_eq!((first.descriptor, again.descriptor), (descriptor(1), descriptor(1)));
    one.publish_built(&descriptor(2)).unwrap();
    one.publish_built(&descriptor(3)).unwrap();
    let other = observe(&disk).unwrap().unwrap();
    let mut third = other.begin_read().unwrap();
    assert_eq!(one.scan().unwrap().readers, txns(&[1, 3]));
    assert_eq!(observed(&one), [(TxnId(1), true), (TxnId(3), false)]);
    assert_eq!(observed(&other), [(TxnId(1), true)], "not what is its own");
    observer.end_read(&mut first.lease);
    observer.end_read(&mut first.lease);
    assert_eq!(one.scan().unwrap().readers, txns(&[1, 3]), "the other read goes on");
    observer.end_read(&mut again.lease);
    assert_eq!(one.scan().unwrap().readers, txns(&[3]));
    other.end_read(&mut third.lease);
    assert_eq!(one.scan().unwrap().readers, []);
    assert_eq!(observed(&one), []);
    assert_eq!((one.slots_claimed(), one.clear_dead().unwrap()), (0, 0));
    let _lost = observer.begin_read().unwrap();
    assert_eq!(one.scan().unwrap().readers, txns(&[3]));
    observer.kill(&disk);
    assert_eq!(one.scan().unwrap().readers, []);
}

#[test]
fn an_observer_goes_to_the_next_snapshot() {
    let disk = machine();
    let one = open(&disk);
    let observer = observe(&disk).unwrap().unwrap();
    let mut reading = observer.begin_read().unwrap();
    one.publish_built(&descriptor(2)).unwrap();
    let refused = |_: &Descriptor| -> Result<()> { Err(Error::ReadOnly { path: None }) };
    assert!(observer.renew(&mut reading.lease, TxnId(1), refused).is_err());
    assert_eq!(one.scan().unwrap().readers, txns(&[1]));
    let newer = |found: &Descriptor| {
        assert_eq!(*found, descriptor(2));
        Ok(())
    };
    observer.renew(&mut reading.lease, TxnId(1), newer).unwrap();
    assert_eq!(one.scan().unwrap().readers, txns(&[2]));
    observer.end_read(&mut reading.lease);
    assert_eq!(one.scan().unwrap().readers, []);
}

#[test]
fn an_observer_stores_nothing() {
    let disk = machine();
    let one = open(&disk);
    let observer = observe(&disk).unwrap().unwrap();
    let reading = observer.begin_read().unwrap();
    assert!(matches!(observer.publish_built(&descriptor(2)), Err(Error::ReadOnly { .. })));
    assert!(matches!(observer.publish_flushed(&descriptor(2)), Err(Error::ReadOnly { .. })));
    assert!(matches!(observer.reset_visible(&descriptor(2)), Err(Error::ReadOnly { .. })));
    let moment = Some(Duration::from_millis(7));
    assert_eq!(observer.wait_visible(TxnId(1), moment).unwrap(), TxnId(1));
    assert_eq!(observer.clear_dead().unwrap(), 0);
    assert_eq!(one.layout().waiters.0.load(SeqCst), 0);
    assert_eq!((one.slots_claimed(), one.visible()), (0, TxnId(1)));
    drop((observer, reading));
    assert_eq!(one.scan().unwrap().readers, []);
}

#[test]
fn an_observer_needs_a_session_and_keeps_it() {
    let disk = machine();
    assert!(observe(&disk).unwrap().is_none());
    let one = open(&disk);
    let observer = observe(&disk).unwrap().unwrap();
    drop(one);
    let two = open(&disk);
    assert_eq!(two.arrival, Arrival::Joined, "the observer may be reading");
    drop((two, observer));
    assert!(observe(&disk).unwrap().is_none());
    assert_eq!(open(&disk).arrival, Arrival::First(FirstState::Survives));
    let one = open(&disk);
    one.identity().uuid[1].store(9, SeqCst);
    assert!(is_lock_file(&observe(&disk).err().unwrap(), "another database"));
}

#[test]
fn more_snapshots_than_a_scan_looks_up_pin_everything() {
    let disk = machine();
    let one = open(&disk);
    let observer = observe(&disk).unwrap().unwrap();
    let mut readings = Vec::new();
    for id in 1..=257 {
        one.publish_built(&descriptor(id)).unwrap();
        readings.push(observer.begin_read().unwrap());
    }
    let scan = one.scan().unwrap();
    assert_eq!((scan.pending, scan.readers.len()), (true, 256));
    observer.end_read(&mut readings[100].lease);
    let scan = one.scan().unwrap();
    assert_eq!((scan.pending, scan.readers.len()), (false, 256));
    assert!(scan.allows(TxnId(101), TxnId(102)) && !scan.allows(TxnId(100), TxnId(102)));
}

#[test]
fn a_snapshot_that_moves_on_is_not_kept() {
    let disk = machine();
    let one = open(&disk);
    let observer = observe(&disk).unwrap().unwrap();
    // The entry is not that of the visible snapshot: no lock may stay behind.
    one.layout().ring[(one.layout().visible.0.load(SeqCst) & 3) as usize].0[0].store(7, SeqCst);
    assert!(is_lock_file(&observer.begin_read().unwrap_err(), "no descriptor"));
    assert_eq!(one.scan().unwrap().readers, []);
}
