//! What transactions promise to their users: snapshots, isolation, ownership, errors instead of
//! hangs.

mod common;

use common::{assert_clean, disk_dir, memory_dir, open_at, pairs, spread, write};
use recto::harness::sim::{Faults, ProcessOptions, SimDisk, SimOptions};
use recto::harness::{SHARED_LEN, new_file, open};
use recto::{Builder, Database, Durability, Error, ReadTxn, WriteTxn};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

fn put(db: &Database, key: &[u8], value: &[u8]) {
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(key, value).unwrap();
    txn.commit().unwrap();
}

#[test]
fn transactions_are_send_and_readers_sync() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<ReadTxn>();
    sync::<ReadTxn>();
    send::<WriteTxn>();
    sync::<WriteTxn>();
    send::<Database>();
    sync::<Database>();
}

#[test]
fn a_snapshot_stays_what_it_was() {
    let db = Database::in_memory().unwrap();
    put(&db, b"a", b"1");
    let old = db.read().unwrap();
    put(&db, b"a", b"2");
    put(&db, b"b", b"3");
    let table = old.table("main").unwrap();
    assert_eq!(table.get(b"a").unwrap(), Some(&b"1"[..]));
    assert_eq!(table.get(b"b").unwrap(), None);
    assert_eq!(db.read().unwrap().table("main").unwrap().get(b"a").unwrap(), Some(&b"2"[..]));
    drop(old);
    assert_clean(&db);
}

/// Pages of a running transaction that were spilled, whose write-back failed, and that left the
/// page cache come back as they were before. Sealed anew by the same transaction they passed for
/// good ones: the next repair made a broken tree durable.
#[test]
fn a_spilled_page_that_was_lost_is_not_sealed_anew() {
    let mut told = 0;
    for seed in 0..20 {
        let disk = SimDisk::from_image(&new_file(4096), SimOptions::new(seed, SHARED_LEN)).unwrap();
        let mut builder = Builder::default();
        builder.stage_bytes(8 * 4096);
        let db = open(disk.process(ProcessOptions::default()), &builder).unwrap();
        let fill = |value: u8, lost: u32| -> recto::Result<()> {
            let mut txn = db.write()?;
            let mut table = txn.open_table("main")?;
            for n in 0..3 * 1009 {
                let failing = if n / 8 == lost { 1 << 16 } else { 0 };
                disk.set_faults(Faults {
                    write_back: failing,
                    write_back_fails: failing,
                    ..Faults::default()
                });
                disk.evict();
                if n % 64 == 0 {
                    // What comes back may be an earlier state of this transaction itself.
                    disk.foreign_sync();
                }
                // Back and forth, so that pages are spilled and read again.
                let key = (n * 7919 % 1009, n / 1009);
                table.put(&[key.0.to_be_bytes(), key.1.to_be_bytes()].concat(), &[value; 60])?;
            }
            txn.commit()
        };
        fill(1, u32::MAX).unwrap();
        let lost = fill(2, 20 + seed as u32);
        disk.set_faults(Faults::default());
        assert!(lost.is_err(), "write-backs failed");
        told += u64::from(matches!(lost, Err(Error::Corrupt { .. })));
        // One more commit may be told of what failed; then the database is repaired.
        let after = || -> recto::Result<()> {
            let mut txn = db.write()?;
            txn.open_table("main")?.put(b"", b"after")?;
            txn.commit()
        };
        after().or_else(|_| after()).unwrap();
        let all = pairs(&db, "main");
        let value = &all[1].1;
        assert!(all.len() == 3028 && all[1..].iter().all(|(_, v)| v == value), "seed {seed}");
        assert_clean(&db);
    }
    assert!(told > 0);
}

#[test]
fn a_transaction_outlives_the_handle_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    put(&db, b"a", b"1");
    let txn = db.read().unwrap();
    let mut writer = db.write().unwrap();
    drop(db);
    assert_eq!(txn.table("main").unwrap().get(b"a").unwrap(), Some(&b"1"[..]));
    writer.open_table("main").unwrap().put(b"b", b"2").unwrap();
    writer.commit().unwrap();
    drop(txn);
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    assert_eq!(pairs(&db, "main").len(), 2);
    assert_clean(&db);
}

#[test]
fn dropping_aborts() {
    let db = Database::in_memory().unwrap();
    put(&db, b"a", b"1");
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(b"a", b"2").unwrap();
    txn.create_table("other").unwrap().put(b"x", &[7; 100_000]).unwrap();
    assert_eq!(txn.tables().unwrap().len(), 2);
    drop(txn);
    assert_eq!(pairs(&db, "main"), [(b"a".to_vec(), b"1".to_vec())]);
    assert!(matches!(db.read().unwrap().table("other"), Err(Error::NoSuchTable(_))));
    assert_clean(&db);
}

#[test]
fn a_second_writer_on_the_thread_is_an_error() {
    let db = Database::in_memory().unwrap();
    let txn = db.write().unwrap();
    assert!(matches!(db.write(), Err(Error::WriterOnThisThread { .. })));
    assert!(db.try_write().unwrap().is_none());
    drop(txn);
    drop(db.write().unwrap());
    assert_clean(&db);
}

#[test]
fn other_threads_wait_or_time_out() {
    let db = Database::in_memory().unwrap();
    let txn = db.write().unwrap();
    let other = db.clone();
    std::thread::spawn(move || {
        assert!(other.try_write().unwrap().is_none());
        let started = Instant::now();
        assert!(matches!(other.write_timeout(Duration::from_millis(30)), Err(Error::Busy { .. })));
        assert!(started.elapsed() >= Duration::from_millis(30));
    })
    .join()
    .unwrap();
    let other = db.clone();
    let waiter = std::thread::spawn(move || put(&other, b"k", b"v"));
    txn.commit().unwrap();
    waiter.join().unwrap();
    assert_eq!(pairs(&db, "main").len(), 1);
    assert_clean(&db);
}

#[test]
fn a_write_transaction_may_move_to_another_thread() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(b"a", b"1").unwrap();
    std::thread::spawn(move || {
        txn.open_table("main").unwrap().put(b"b", b"2").unwrap();
        txn.commit().unwrap();
    })
    .join()
    .unwrap();
    // This thread no longer counts as the writer.
    drop(db.write().unwrap());
    assert_eq!(pairs(&db, "main").len(), 2);
    assert_clean(&db);
}

#[test]
fn several_threads_read_one_uncommitted_transaction() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for i in 0..5_000u32 {
        table.put(&i.to_be_bytes(), &i.to_le_bytes()).unwrap();
    }
    let txn = &txn;
    std::thread::scope(|s| {
        for t in 0..4 {
            s.spawn(move || {
                let table = txn.table("main").unwrap();
                for i in (t..5_000u32).step_by(4) {
                    let value = table.get(&i.to_be_bytes()).unwrap().unwrap();
                    assert_eq!(value, i.to_le_bytes());
                }
            });
        }
    });
    assert_clean(&db);
}

#[test]
fn concurrent_durable_commits_share_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    put(&db, b"first", b"");
    let before = recto::harness::sync_count(&db);
    let (threads, each) = (16, 50);
    let barrier = Arc::new(Barrier::new(threads));
    std::thread::scope(|s| {
        for t in 0..threads {
            let (db, barrier) = (db.clone(), barrier.clone());
            s.spawn(move || {
                barrier.wait();
                for i in 0..each {
                    put(&db, format!("{t}/{i}").as_bytes(), b"v");
                }
            });
        }
    });
    let flushes = recto::harness::sync_count(&db) - before;
    assert_eq!(pairs(&db, "main").len(), threads * each + 1);
    // Each commit was built while an earlier flush ran, or led one itself; never more than one
    // each.
    assert!(flushes <= (threads * each) as u64, "{flushes} flushes");
    assert_clean(&db);
}

#[test]
fn only_a_large_commit_that_waits_asks_the_device_to_begin() {
    let disk = recto::harness::machine(&recto::harness::new_file(4096), 4096, 1).unwrap();
    let db = recto::harness::open(disk.process(Default::default()), &Builder::default()).unwrap();
    let asked = |keys: std::ops::Range<u64>, len: usize, durability: Durability| {
        let before = disk.counters().asked_write_backs;
        let mut txn = db.write().unwrap();
        txn.set_durability(durability);
        let mut table = txn.open_table("main").unwrap();
        for key in keys {
            table.put(&spread(key), &vec![key as u8; len]).unwrap();
        }
        txn.commit().unwrap();
        disk.counters().asked_write_backs - before
    };
    assert_eq!(asked(0..20_000, 100, Durability::Deferred), 0, "nobody waits");
    db.flush().unwrap();
    assert_eq!(asked(0..1, 100, Durability::Durable), 0, "a tree path");
    let asked_for = asked(20_000..40_000, 100, Durability::Durable);
    assert!(asked_for >= 10, "more than 5 MB, at least every 256 KiB or 16 pieces: {asked_for}");
    // A value in pieces.
    assert_eq!(asked(7..8, 1_000_001, Durability::Durable), 3);
    assert_eq!(asked(8..9, 1_000_001, Durability::Deferred), 0);
    assert_eq!(
        db.read().unwrap().table("main").unwrap().get(&spread(7)).unwrap(),
        Some(&[7; 1_000_001][..])
    );
    assert_clean(&db);
}

#[test]
fn deferred_commits_are_visible_and_flushed_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    put(&db, b"first", b"");
    let before = recto::harness::sync_count(&db);
    for i in 0..500u32 {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        txn.open_table("main").unwrap().put(&i.to_be_bytes(), b"v").unwrap();
        txn.commit().unwrap();
        let info = db.info().unwrap();
        assert!(info.durable < info.visible && info.visible == info.built);
    }
    assert_eq!(recto::harness::sync_count(&db), before, "deferred commits do not flush");
    db.flush().unwrap();
    let after = recto::harness::sync_count(&db) - before;
    assert!((1..=2).contains(&after), "{after}");
    let info = db.info().unwrap();
    assert_eq!(info.durable, info.built);
    db.flush().unwrap();
    assert_eq!(recto::harness::sync_count(&db) - before, after, "nothing to flush, no flush");
    assert_clean(&db);
}

/// The list of pages written since the last flush, without which a fault would leave them
/// unproved, holds 32,768.
#[test]
fn what_the_list_of_pages_cannot_hold_is_flushed_before_it_is_shown() {
    let dir = memory_dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    // Each value takes a page of its own.
    let load = |first: u32, count: u32| {
        write(&db, Durability::Deferred, |txn| {
            let mut table = txn.open_table("main").unwrap();
            for i in first..first + count {
                table.put(&i.to_be_bytes(), &[1; 3000]).unwrap();
            }
        });
        let info = db.info().unwrap();
        assert_eq!(info.visible, info.built);
        (info.durable, info.built)
    };
    let (durable, first) = load(0, 20_000);
    assert!(durable < first, "there is room");
    let (durable, second) = load(20_000, 20_000);
    assert_eq!(durable, first, "the one before was flushed to make room");
    assert!(second > first);
    let (durable, third) = load(40_000, 35_000);
    assert_eq!(durable, third, "it does not fit at all");
    let (durable, fourth) = load(0, 10);
    assert!(durable == third && third < fourth, "there is room again");
    assert_clean(&db);
}

#[test]
fn one_flush_for_a_commit_and_none_for_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    put(&db, b"a", b"0");
    for i in 0..200u32 {
        let before = recto::harness::sync_count(&db);
        put(&db, b"a", &i.to_be_bytes());
        assert_eq!(recto::harness::sync_count(&db) - before, 1);
        db.write().unwrap().commit().unwrap();
        assert_eq!(recto::harness::sync_count(&db) - before, 1);
    }
    // Too large for a manifest: two.
    let before = recto::harness::sync_count(&db);
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for i in 0..50_000u32 {
        table.put(&i.to_be_bytes(), &[1; 50]).unwrap();
    }
    txn.commit().unwrap();
    assert_eq!(recto::harness::sync_count(&db) - before, 2);
    assert_clean(&db);
}

#[test]
fn keys_and_values_at_their_limits() {
    for page_size in [4096, 8192, 16384, 32768, 65536] {
        let db = Builder::default().page_size(page_size).in_memory().unwrap();
        let max = db.max_key_len();
        assert!(max >= 2022);
        let mut txn = db.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        for i in 0..40u8 {
            table.put(&vec![i; max], &vec![i; 3 * page_size]).unwrap();
            table.put(&vec![i; max - 1], &[]).unwrap();
        }
        table.put(b"", b"").unwrap();
        let e = table.put(&vec![0; max + 1], b"").unwrap_err();
        assert!(matches!(e, Error::KeyTooLong { .. }), "{e}");
        txn.commit().unwrap();
        let txn = db.read().unwrap();
        let table = txn.table("main").unwrap();
        assert_eq!(table.len(), 81);
        assert_eq!(table.get(b"").unwrap(), Some(&b""[..]));
        for i in 0..40u8 {
            assert_eq!(table.get(&vec![i; max]).unwrap().unwrap(), vec![i; 3 * page_size]);
            assert_eq!(table.get(&vec![i; max - 1]).unwrap().unwrap(), b"");
        }
        assert_eq!(table.get(&vec![0; max + 1]).unwrap(), None);
        drop(txn);
        assert_clean(&db);
    }
}

#[test]
fn tables_are_made_renamed_dropped_and_listed() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.create_table("one").unwrap().put(b"k", b"v").unwrap();
    assert!(matches!(txn.create_table("one").map(drop), Err(Error::TableExists(_))));
    assert!(matches!(txn.create_table("").map(drop), Err(Error::InvalidArgument(_))));
    txn.open_table("two").unwrap();
    txn.rename_table("one", "three").unwrap();
    assert!(matches!(txn.rename_table("one", "four"), Err(Error::NoSuchTable(_))));
    assert!(matches!(txn.rename_table("two", "three"), Err(Error::TableExists(_))));
    txn.rename_table("two", "two").unwrap();
    let names = |t: Vec<recto::TableInfo>| t.into_iter().map(|t| t.name).collect::<Vec<_>>();
    assert_eq!(names(txn.tables().unwrap()), ["three", "two"]);
    txn.commit().unwrap();
    assert_eq!(names(db.read().unwrap().tables().unwrap()), ["three", "two"]);
    let mut txn = db.write().unwrap();
    assert!(txn.drop_table("two").unwrap());
    assert!(!txn.drop_table("two").unwrap());
    assert_eq!(txn.table("three").unwrap().get(b"k").unwrap(), Some(&b"v"[..]));
    txn.commit().unwrap();
    assert_eq!(names(db.read().unwrap().tables().unwrap()), ["three"]);
    assert_clean(&db);
}

#[test]
fn opened_twice_in_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let a = open_at(&path, &Builder::default());
    let b = open_at(&path, &Builder::default());
    put(&a, b"a", b"1");
    let held = b.read().unwrap();
    put(&b, b"b", b"2");
    put(&a, b"c", b"3");
    assert_eq!(held.table("main").unwrap().len(), 1);
    assert_eq!(pairs(&a, "main"), pairs(&b, "main"));
    let txn = a.write().unwrap();
    assert!(matches!(b.write_timeout(Duration::from_millis(20)), Err(Error::Busy { .. })));
    drop(txn);
    assert!(a.info().unwrap().readers.iter().any(|r| r.txn.0 == held.id()));
    drop(held);
    assert_clean(&a);
    assert_clean(&b);
}

#[test]
fn read_only_handles_cannot_write_and_need_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let mut ro = Builder::default();
    ro.read_only(true);
    // SAFETY: there is no file.
    assert!(unsafe { ro.open(&path) }.is_err());
    assert!(!path.exists());
    put(&open_at(&path, &Builder::default()), b"a", b"1");
    let db = open_at(&path, &ro);
    assert!(matches!(db.write(), Err(Error::ReadOnly { .. })));
    assert_eq!(pairs(&db, "main").len(), 1);
    put(&open_at(&path, &Builder::default()), b"b", b"2");
    assert_eq!(pairs(&db, "main").len(), 2);
    assert_clean(&db);
}

/// Values around every size at which something changes, up to 64 MiB; with RECTO_FULL=1 up to 4 GiB
/// - 1 (9 GiB of memory).
#[test]
fn values_of_all_sizes() {
    let db = Database::in_memory().unwrap();
    let full = std::env::var_os("RECTO_FULL").is_some();
    let mut sizes: Vec<usize> = [1usize << 10, 2036, 4096, 8192, 65_535 * 4096, 1 << 20]
        .into_iter()
        .filter(|&s| full || s <= 64 << 20)
        .flat_map(|s| [s - 1, s, s + 1])
        .collect();
    sizes.push(64 << 20);
    sizes.extend(full.then_some((4 << 30) - 1));
    for &size in &sizes {
        // Zeros with marks: the memory is not touched before it is read.
        let mut value = vec![0u8; size];
        for at in (0..size).step_by(1 << 16).chain([size - 1]) {
            value[at] = (at >> 16) as u8 | 1;
        }
        let mut txn = db.write().unwrap();
        txn.open_table("main").unwrap().put(b"key", &value).unwrap();
        txn.commit().unwrap();
        let txn = db.read().unwrap();
        let table = txn.table("main").unwrap();
        assert!(table.get(b"key").unwrap() == Some(&value[..]), "{size}");
    }
    assert_clean(&db);
    let mut txn = db.write().unwrap();
    assert!(txn.open_table("main").unwrap().delete(b"key").unwrap());
    txn.commit().unwrap();
    assert_clean(&db);
}

/// The catalog of a snapshot has to know how many leaves it has: with three or more the listing
/// called itself damaged.
#[test]
fn any_number_of_tables_is_listed() {
    let db = Database::in_memory().unwrap();
    let names: Vec<String> = (0..600).map(|i| format!("table number {i:03}")).collect();
    let mut txn = db.write().unwrap();
    for name in &names {
        txn.open_table(name).unwrap().put(b"key", name.as_bytes()).unwrap();
    }
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let listed = txn.tables().unwrap();
    assert!(listed.iter().map(|t| &t.name).eq(&names));
    assert!(listed.iter().all(|t| t.stats.entries == 1));
    assert_clean(&db);
}

#[test]
fn many_keys_at_once_and_lent_keys_are_the_same_pairs() {
    let dir = memory_dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    let long = vec![b'k'; db.max_key_len()];
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = (0..3_000u32)
        .map(|i| (i.to_be_bytes().to_vec(), vec![i as u8; i as usize % 300]))
        .collect();
    all.push((Vec::new(), b"the shortest key".to_vec()));
    all.push((long, vec![7; 1 << 20]));
    all.sort();
    let same = |table: recto::Table<'_>, all: &[(Vec<u8>, Vec<u8>)]| {
        let keys: Vec<&[u8]> = all.iter().rev().map(|(key, _)| &key[..]).collect();
        let values = all.iter().rev().map(|(_, value)| Some(&value[..]));
        assert!(table.get_many(&keys).unwrap().into_iter().eq(values));
        assert_eq!(table.get_many(&[b"nobody"]).unwrap(), [None]);
        assert!(table.get_many::<&[u8]>(&[]).unwrap().is_empty());
        let (mut there, mut back) = (table.iter().unwrap(), table.iter().unwrap());
        for (front, end) in all.iter().zip(all.iter().rev()) {
            assert_eq!(there.next_ref().unwrap(), Some((&front.0[..], &front.1[..])));
            assert_eq!(back.next_back_ref().unwrap(), Some((&end.0[..], &end.1[..])));
        }
        assert!(there.next_ref().unwrap().is_none() && back.next_back_ref().unwrap().is_none());
    };
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    let absent = table.as_table().get_many(&[b"a", b"b"]).unwrap();
    assert_eq!(absent, [None, None], "an empty table");
    assert!(table.iter().unwrap().next_ref().unwrap().is_none());
    for (key, value) in &all {
        table.put(key, value).unwrap();
    }
    same(table.as_table(), &all);
    txn.commit().unwrap();
    same(db.read().unwrap().table("main").unwrap(), &all);
    assert_clean(&db);
}

/// The page cache forgets the file, so that everything has to be fetched.
fn forget(path: &std::path::Path) {
    use std::os::fd::AsRawFd;
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: advice about an open descriptor.
    let failed = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(failed, 0);
}

#[test]
fn what_has_to_be_fetched_is_the_same() {
    let dir = disk_dir();
    let path = dir.path().join("cold.recto");
    let db = open_at(&path, &Builder::default());
    let keys: Vec<[u8; 8]> = (0..20_000).map(spread).collect();
    write(&db, Durability::Durable, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for key in &keys {
            table.put(key, &key.repeat(12)).unwrap();
        }
    });
    drop(db);
    let mut sorted = keys.clone();
    sorted.sort();
    for backward in [false, true] {
        forget(&path);
        let db = open_at(&path, Builder::default().read_only(true));
        let txn = db.read().unwrap();
        let range = txn.table("main").unwrap().iter().unwrap();
        let mut found = 0;
        let mut compare = |pair: recto::Result<(recto::Key<'_>, &[u8])>, want: &[u8; 8]| {
            let (key, value) = pair.unwrap();
            assert_eq!((&*key, value), (&want[..], &want.repeat(12)[..]));
            found += 1;
        };
        match backward {
            false => range.zip(&sorted).for_each(|(pair, want)| compare(pair, want)),
            true => range.rev().zip(sorted.iter().rev()).for_each(|(p, want)| compare(p, want)),
        }
        assert_eq!(found, keys.len());
    }
    forget(&path);
    let db = open_at(&path, &Builder::default());
    let txn = db.read().unwrap();
    let values = txn.table("main").unwrap().get_many(&keys).unwrap();
    assert!(values.iter().zip(&keys).all(|(value, key)| *value == Some(&key.repeat(12)[..])));
    drop(txn);
    assert_clean(&db);
}

#[test]
fn a_check_beside_what_is_built_and_this_threads_own_write_transaction() {
    let db = Database::in_memory().unwrap();
    let put = |key: &[u8]| {
        let mut txn = db.write().unwrap();
        txn.open_table("t").unwrap().put(key, b"").unwrap();
        txn
    };
    put(b"durable").commit().unwrap();
    let mut txn = put(b"visible");
    txn.set_durability(Durability::Deferred);
    txn.commit().unwrap();
    // Built, and as if its process had been stopped before the flush: what is visible is neither
    // the newest nor the durable.
    let built = recto::harness::build(put(b"built"), Durability::Durable).unwrap().unwrap();
    assert!(built.1);
    let writing = db.write().unwrap();
    let report = db.check(None).unwrap();
    assert_eq!(report.fault_count, 0, "{:?}", report.faults);
    drop(writing);
    assert_eq!(db.read().unwrap().table("t").unwrap().len(), 3);
    assert_eq!(db.info().unwrap().durable, built.0);
    assert_clean(&db);
}

/// Something deferred, and a commit whose flush the device refuses: its pages are not what was
/// built. A transaction on top of that has to flush it first, since together they are more than the
/// list of pages holds; that flush becomes a repair, and that rolls its base back.
#[test]
fn a_transaction_whose_base_is_rolled_back_cannot_be_committed() {
    use recto::harness::sim::{Action, EventKind, ProcessOptions};
    const LISTED: u64 = 32_768;
    let file = recto::harness::new_file(4096);
    let disk = recto::harness::machine(&file, 4096, 5).unwrap();
    let process = disk.process(ProcessOptions::default());
    let db = recto::harness::open(process, &Database::builder()).unwrap();
    let put = |key: &[u8]| {
        let mut txn = db.write().unwrap();
        txn.open_table("t").unwrap().put(key, b"").unwrap();
        txn
    };
    put(b"durable").commit().unwrap();
    let before = disk.bytes();
    let mut txn = put(b"visible");
    txn.set_durability(Durability::Deferred);
    txn.commit().unwrap();
    let built = recto::harness::build(put(b"built"), Durability::Durable).unwrap().unwrap();
    let mut writing = put(b"on top");

    disk.set_hook(|_, event| match event.kind {
        EventKind::SyncBegin { .. } => Action::Fail(5),
        _ => Action::Continue,
    });
    assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })));
    disk.clear_hook();
    // What was never on the device leaves the cache.
    let after = disk.bytes();
    for (n, page) in after.chunks(4096).enumerate().skip(2) {
        if before.get(n * 4096..(n + 1) * 4096) != Some(page) {
            disk.damage(n as u64 * 4096 + 100, &[9; 64]).unwrap();
        }
    }

    // Nobody repairs beside a transaction of the same thread.
    assert!(matches!(db.check(None), Err(Error::WriterOnThisThread { .. })));
    let mut table = writing.open_table("t").unwrap();
    for i in 0..LISTED {
        // Each a page of its own.
        table.put(&i.to_be_bytes(), &[7; 3_000]).unwrap();
    }
    assert!(matches!(writing.commit(), Err(Error::TransactionBroken { .. })));
    assert!(recto::harness::make_durable(&db, built.0).is_err());
    put(b"later").commit().unwrap();
    let keys: Vec<_> = pairs(&db, "t").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b"durable"[..], b"later"]);
    assert_clean(&db);
}
