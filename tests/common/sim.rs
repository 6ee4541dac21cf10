//! Simulated machines, for tests in which devices fail and processes die.

use super::{assert_clean, pairs, write};
use recto::harness::sim::{Action, EventKind, Faults, ProcessOptions, SimDisk};
use recto::harness::{build, make_durable};
use recto::{Builder, Database, Durability, Error};

pub const PAGE: usize = 4096;

/// A value that takes a page of its own, and so a record in the list.
pub const LARGE: [u8; 3_000] = [7; 3_000];

pub fn machine(seed: u64) -> SimDisk {
    recto::harness::machine(&recto::harness::new_file(PAGE), PAGE, seed).unwrap()
}

pub fn enter(disk: &SimDisk, builder: &Builder) -> Database {
    recto::harness::open(disk.process(ProcessOptions::default()), builder).unwrap()
}

pub fn put(db: &Database, durability: Durability, keys: std::ops::Range<u32>) {
    write(db, durability, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for key in keys {
            table.put(&key.to_be_bytes(), &LARGE).unwrap();
        }
    });
}

/// Every dirty page is lost by a failing write-back, one at each event, and stays in the cache.
pub fn refuse(disk: &SimDisk, yes: bool) {
    let always = if yes { 1 << 16 } else { 0 };
    disk.set_faults(Faults { write_back: always, write_back_fails: always, ..Faults::default() });
}

/// However the power fails now, the table has these keys.
pub fn assert_durable(disk: &SimDisk, keys: std::ops::Range<u32>) {
    let cut = disk.cut_point();
    for seed in 0..12 {
        let after = cut.boot(seed).unwrap();
        let db = enter(&after, &Database::builder());
        let expected: Vec<_> =
            keys.clone().map(|key| (key.to_be_bytes().to_vec(), LARGE.to_vec())).collect();
        assert!(pairs(&db, "main") == expected, "cut {seed}");
        assert_clean(&db);
    }
}

/// The device refuses a flush, and what was written since `before` is not there any more.
pub fn refused(disk: &SimDisk, db: &Database, before: &[u8]) {
    fail_syncs(disk);
    assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })));
    disk.clear_hook();
    lose_since(disk, before);
}

/// Every sync fails from now on.
pub fn fail_syncs(disk: &SimDisk) {
    disk.set_hook(|_, event| match event.kind {
        EventKind::SyncBegin { .. } => Action::Fail(libc::EIO),
        _ => Action::Continue,
    });
}

/// What was written since `before` is damaged.
pub fn lose_since(disk: &SimDisk, before: &[u8]) {
    for (n, page) in disk.bytes().chunks(PAGE).enumerate().skip(2) {
        if before.get(n * PAGE..(n + 1) * PAGE) != Some(page) {
            disk.damage((n * PAGE + 100) as u64, &[9; 64]).unwrap();
        }
    }
}

/// Builds a transaction that is rolled back, because the device refuses it and its pages are not
/// there any more. Its id.
pub fn rolled_back(disk: &SimDisk, db: &Database) -> u64 {
    let before = disk.bytes();
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(&1_000u32.to_be_bytes(), &LARGE).unwrap();
    let (id, _) = build(txn, Durability::Durable).unwrap().unwrap();
    refused(disk, db, &before);
    drop(db.write().unwrap());
    assert!(matches!(make_durable(db, id), Err(Error::OutcomeUnknown { .. })));
    id
}
