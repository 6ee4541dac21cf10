//! Snapshots that move on.

mod common;

use common::{assert_clean, memory_dir, open_at};
use recto::{Builder, Database, Durability, Error, ReadTxn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

fn number(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// A table of `count` keys with this value each, in one transaction.
fn fill(db: &Database, count: u32, value: &[u8]) {
    let mut txn = db.write().unwrap();
    txn.set_durability(Durability::Deferred);
    let mut table = txn.open_table("main").unwrap();
    for n in 0..count {
        table.put(&number(n), value).unwrap();
    }
    txn.commit().unwrap();
}

#[test]
fn a_snapshot_moves_on_when_there_is_a_newer_one() {
    let db = Database::in_memory().unwrap();
    let mut reader = db.read().unwrap();
    let first = reader.id();
    assert!(!reader.refresh().unwrap());
    fill(&db, 10, b"1");
    assert!(reader.table_opt("main").unwrap().is_none(), "it stands until it is told");
    assert!(reader.refresh().unwrap());
    assert!(reader.id() > first);
    assert_eq!(reader.table("main").unwrap().len(), 10);
    assert!(!reader.refresh().unwrap());
    // Its place moves along, and is given back at the end.
    let at = |id| db.info().unwrap().readers.iter().filter(|r| r.txn.0 == id).count();
    assert_eq!((at(first), at(reader.id())), (0, 1));
    let id = reader.id();
    drop(reader);
    assert_eq!(at(id), 0);
    // Whoever has shared it keeps what he sees.
    let mut shared = Arc::new(db.read().unwrap());
    let table = shared.owned_table("main").unwrap();
    assert!(Arc::get_mut(&mut shared).is_none());
    drop(table);
    fill(&db, 20, b"2");
    assert!(Arc::get_mut(&mut shared).unwrap().refresh().unwrap());
    assert_eq!(shared.owned_table("main").unwrap().len(), 20);
    assert_clean(&db);
}

/// What a reader has left is used again: the file grows beside one that stays, and not beside one
/// that moves on.
#[test]
fn a_reader_that_moves_on_holds_nothing_back() {
    let grown = |moves: bool| {
        let dir = memory_dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        fill(&db, 5_000, &[0; 100]);
        let mut reader = db.read().unwrap();
        let mut held = Vec::new();
        let mut least = u64::MAX;
        for round in 0..20u8 {
            fill(&db, 5_000, &[round; 100]);
            if moves {
                assert!(reader.refresh().unwrap());
            } else {
                held.push(db.read().unwrap());
            }
            if round == 4 {
                least = db.info().unwrap().file_bytes;
            }
        }
        db.info().unwrap().file_bytes > least
    };
    assert!(grown(false), "snapshots that stay hold their pages");
    assert!(!grown(true));
}

/// More commits than a reader can follow: each snapshot is whole, none older than the one before.
/// Through another handle, whose map does not know how long the file has become.
#[test]
fn refreshing_under_a_thousand_commits() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    fill(&db, 50, &number(0));
    let done = AtomicBool::new(false);
    let counts = [const { AtomicU32::new(0) }; 3];
    let refreshed = |db: &Database, count: &AtomicU32| {
        let mut reader = db.read().unwrap();
        let mut last = 0;
        loop {
            let ended = done.load(Ordering::Acquire);
            let before = reader.id();
            let moved = reader.refresh().unwrap();
            assert_eq!(moved, reader.id() > before, "{before} to {}", reader.id());
            count.fetch_add(u32::from(moved), Ordering::Relaxed);
            let table = reader.table("main").unwrap();
            let first = table.get(&number(0)).unwrap().unwrap();
            let n = u32::from_be_bytes(first[..4].try_into().unwrap());
            assert!(n >= last, "{n} after {last}");
            last = n;
            for pair in &table {
                assert_eq!(pair.unwrap().1, first, "in snapshot {}", reader.id());
            }
            if ended {
                return last;
            }
        }
    };
    std::thread::scope(|s| {
        let threads = counts.each_ref().map(|count| {
            let (db, path, counts) = (db.clone(), &path, &counts);
            s.spawn(move || match std::ptr::eq(count, &counts[0]) {
                true => refreshed(&open_at(path, &Builder::default()), count),
                false => refreshed(&db, count),
            })
        });
        let mut n = 0;
        while n < 1_000 || counts.iter().any(|count| count.load(Ordering::Relaxed) < 50) {
            n += 1;
            // The values become longer, and so does the file.
            fill(&db, 50, &number(n).repeat(1 + n.min(1_000) as usize / 20));
        }
        done.store(true, Ordering::Release);
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), n));
    });
    assert_clean(&db);
}

/// Where all places of the lock file are taken, nobody else can begin; who has one can move on.
#[test]
fn a_full_table_of_readers_keeps_nobody_from_moving_on() {
    let db = Database::in_memory().unwrap();
    fill(&db, 10, b"1");
    let mut readers: Vec<ReadTxn> = Vec::new();
    let error = loop {
        match db.read() {
            Ok(reader) => readers.push(reader),
            Err(e) => break e,
        }
        assert!(readers.len() <= 8_192);
    };
    assert!(matches!(error, Error::ReadersFull { .. }), "{error}");
    fill(&db, 20, b"2");
    let last = readers.len() - 1;
    for n in [0, 7, 8, 4_000, last] {
        assert!(readers[n].refresh().unwrap());
        assert_eq!(readers[n].table("main").unwrap().len(), 20);
    }
    assert_eq!(readers[1].table("main").unwrap().len(), 10);
    assert!(matches!(db.read(), Err(Error::ReadersFull { .. })));
    // Each gives its place back.
    readers.truncate(1);
    assert_eq!(db.read().unwrap().table("main").unwrap().len(), 20);
    drop(readers);
    assert!(db.info().unwrap().readers.is_empty());
    assert_clean(&db);
}
