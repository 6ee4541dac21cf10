//! What an error of a commit means, and what becomes of transactions when a device refuses writes
//! or a process dies at a bad moment. On simulated machines.

mod common;

use common::sim::{LARGE, PAGE, assert_durable, enter, machine, put, refuse};
use common::{assert_clean, pairs, write};
use parking_lot::Mutex;
use recto::harness::sim::{Action, Ending, EventKind, Faults, ProcessOptions, SimDisk, run};
use recto::harness::{build, make_durable};
use recto::{Database, Durability, Error, WriteTxn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One call fails, in every place of a commit that has to repair before it can flush: before the
/// transaction is built any error but `OutcomeUnknown`, and then it never happens; from there on no
/// other.
#[test]
fn every_error_of_a_commit_says_whether_it_may_have_happened() {
    for (errno, times) in [(libc::EIO, 1), (libc::ENOSPC, 1), (libc::ENOSPC, u64::MAX)] {
        let mut kinds = [0; 3];
        for place in 0.. {
            let disk = machine(place);
            let first = enter(&disk, &Database::builder());
            put(&first, Durability::Durable, 0..1);
            put(&first, Durability::Deferred, 1..2);
            let second = enter(&disk, &Database::builder());
            let mut txn = second.write().unwrap();
            txn.open_table("main").unwrap().put(&2u32.to_be_bytes(), &LARGE).unwrap();

            let (built, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let (moved, counted) = (built.clone(), calls.clone());
            disk.set_hook(move |_, event| {
                match event.kind {
                    EventKind::Step("build: built moved") => moved.store(true, Ordering::Relaxed),
                    EventKind::Step(_) | EventKind::Stored { .. } => {}
                    _ => {
                        let n = counted.fetch_add(1, Ordering::Relaxed);
                        if n >= place && n - place < times {
                            return Action::Fail(errno);
                        }
                    }
                }
                Action::Continue
            });
            let result = txn.commit();
            disk.clear_hook();
            let built = built.load(Ordering::Relaxed);
            let reached = calls.load(Ordering::Relaxed) > place;
            match &result {
                Ok(()) => assert!(!reached || times == 1),
                Err(Error::OutcomeUnknown { .. }) => assert!(built, "{place}: {result:?}"),
                Err(_) => assert!(!built, "{place}: {result:?}"),
            }
            let it_never_is =
                matches!(&result, Err(e) if !matches!(e, Error::OutcomeUnknown { .. }));
            kinds[if result.is_ok() { 0 } else { 1 + usize::from(it_never_is) }] += 1;
            // What failed is told to whoever comes next, and then all is well.
            let third = [1, 2, 3].into_iter().find_map(|_| {
                let third = enter(&disk, &Database::builder());
                let mut txn = third.write().ok()?;
                txn.open_table("main").unwrap().put(b"z", b"").unwrap();
                txn.commit().ok().map(|()| third)
            });
            let third = third.expect("all is well");
            let there = pairs(&third, "main").iter().any(|(key, _)| **key == 2u32.to_be_bytes());
            assert!(!there || !it_never_is, "{place}: {result:?}, and it happened");
            assert!(there || result.is_err());
            assert_clean(&third);
            if !reached {
                break;
            }
        }
        assert!(kinds.iter().all(|&n| n > 0), "{kinds:?}");
    }
}

/// Pages that a transaction has spilled before another process opened the database, whose
/// write-back failed, and somebody else was told.
#[test]
fn who_opens_beside_a_write_transaction_does_not_believe_what_was_spilled() {
    for seed in 0..8 {
        let disk = machine(seed);
        let mut builder = Database::builder();
        builder.stage_bytes(4 * PAGE);
        let first = enter(&disk, &builder);
        put(&first, Durability::Durable, 0..4);
        let mut txn = first.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        refuse(&disk, true);
        for key in 4..40u32 {
            table.put(&key.to_be_bytes(), &LARGE).unwrap();
        }
        refuse(&disk, false);
        assert!(!disk.lost_pages().is_empty());
        disk.foreign_sync();
        let second = enter(&disk, &builder);
        let mut table = txn.open_table("main").unwrap();
        table.put(&40u32.to_be_bytes(), &LARGE).unwrap();
        let (built, _) = build(txn, Durability::Durable).unwrap().unwrap();
        make_durable(&second, built).unwrap();
        assert_durable(&disk, 0..41);
        assert_clean(&second);
    }
}

/// A transaction on deferred commits, of which the device has refused the pages that it has written
/// so far; and this process was told so.
fn begin_beside_a_failed_flush(disk: &SimDisk, db: &Database) -> WriteTxn {
    put(db, Durability::Durable, 0..1);
    put(db, Durability::Deferred, 1..40);
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    refuse(disk, true);
    for key in 40..60u32 {
        table.put(&key.to_be_bytes(), &LARGE).unwrap();
    }
    refuse(disk, false);
    assert!(!disk.lost_pages().is_empty());
    assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })));
    txn
}

/// A flush fails while another transaction has spilled pages; then that one has to repair, to make
/// room in the list. The repair knows nothing of its pages, which the kernel may call clean.
#[test]
fn a_transaction_that_repairs_writes_its_own_pages_again() {
    for seed in 0..8 {
        let disk = machine(seed);
        let mut builder = Database::builder();
        builder.list_limit(100);
        let db = enter(&disk, &builder);
        let mut txn = begin_beside_a_failed_flush(&disk, &db);
        let mut table = txn.open_table("main").unwrap();
        for key in 60..110u32 {
            table.put(&key.to_be_bytes(), &LARGE).unwrap();
        }
        txn.commit().unwrap();
        assert_durable(&disk, 0..110);
        assert_clean(&db);
    }
}

/// The same for a deferred commit: it is shown when the repair has proved its pages, not before.
#[test]
fn a_deferred_commit_behind_a_failed_sync_is_proved_before_it_is_shown() {
    for seed in 0..8 {
        let disk = machine(seed);
        let db = enter(&disk, &Database::builder());
        let mut txn = begin_beside_a_failed_flush(&disk, &db);
        txn.set_durability(Durability::Deferred);
        txn.commit().unwrap();
        disk.evict();
        assert_eq!(pairs(&db, "main").len(), 60, "seed {seed}");
        assert_durable(&disk, 0..60);
        assert_clean(&db);
    }
}

/// A flush fails beside a transaction, and what its base has written leaves the cache: it would
/// copy older pages, which then are the only ones that are listed and verify.
#[test]
fn a_transaction_does_not_build_on_what_a_failed_flush_left_of_its_base() {
    let small = |db: &Database, durability, key: u32| {
        write(db, durability, |txn| {
            txn.open_table("main").unwrap().put(&key.to_be_bytes(), b"").unwrap();
        });
    };
    for seed in 0..16 {
        let disk = machine(seed);
        let db = enter(&disk, &Database::builder());
        small(&db, Durability::Durable, 0);
        // Pages of deferred commits that are used again by later ones; on the device they hold the
        // older ones.
        let written = Faults { write_back: 1 << 16, ..Faults::default() };
        for key in 1..8 + seed as u32 {
            small(&db, Durability::Deferred, key);
            disk.set_faults(written);
            (0..2).for_each(|_| drop(enter(&disk, &Database::builder())));
            refuse(&disk, false);
        }
        small(&db, Durability::Deferred, 50);
        let keys = pairs(&db, "main").len();
        let mut txn = db.write().unwrap();
        refuse(&disk, true);
        // Events enough for every dirty page.
        (0..4).for_each(|_| drop(enter(&disk, &Database::builder())));
        refuse(&disk, false);
        assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })));
        disk.evict();
        // An error is as good: then it never happens.
        let put = txn.open_table("main").and_then(|mut t| t.put(&60u32.to_be_bytes(), b""));
        match put.and_then(|_| txn.commit()) {
            Ok(()) => assert_eq!(pairs(&db, "main").len(), keys + 1, "{seed}"),
            Err(e) => {
                assert!(!matches!(e, Error::OutcomeUnknown { .. }), "{seed}: {e}");
                drop(db.write().unwrap());
                assert_eq!(pairs(&db, "main").len(), 1, "{seed}");
            }
        }
        small(&db, Durability::Durable, 61);
        assert_clean(&db);
    }
}

/// The same for a transaction that is larger than the list: what cannot be proved cannot be written
/// again.
#[test]
fn a_transaction_that_repairs_and_does_not_fit_the_list_fails() {
    let disk = machine(3);
    let mut builder = Database::builder();
    builder.list_limit(100);
    let db = enter(&disk, &builder);
    put(&db, Durability::Durable, 0..1);
    put(&db, Durability::Deferred, 1..40);
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for key in 40..60u32 {
        table.put(&key.to_be_bytes(), &LARGE).unwrap();
    }
    refuse(&disk, true);
    for key in 60..200u32 {
        table.put(&key.to_be_bytes(), &LARGE).unwrap();
    }
    refuse(&disk, false);
    assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. })));
    put(&db, Durability::Durable, 40..41);
    assert_durable(&disk, 0..41);
    assert_clean(&db);
}

/// Builds a transaction larger than a list of 50 records.
fn build_large(db: &Database, durability: Durability) -> recto::Result<Option<(u64, bool)>> {
    let mut txn = db.write()?;
    let mut table = txn.open_table("main")?;
    for key in 1..81u32 {
        table.put(&key.to_be_bytes(), &LARGE)?;
    }
    build(txn, durability)
}

/// A transaction larger than the list is neither shown nor acknowledged before it is durable, and
/// nobody builds on it until then: somebody who has opened the database meanwhile could not prove
/// it, and would take it back together with what stands on it.
#[test]
fn what_the_list_does_not_name_is_durable_before_others_build_on_it() {
    for durability in [Durability::Durable, Durability::Deferred] {
        let disk = machine(4);
        let mut builder = Database::builder();
        builder.list_limit(50);
        let first = enter(&disk, &builder);
        put(&first, Durability::Durable, 0..1);
        let newcomer = Arc::new(Mutex::new(None));
        let (machine, options, came) = (disk.clone(), builder.clone(), newcomer.clone());
        disk.set_hook(move |_, event| {
            if event.kind == EventKind::Step("build: built moved") && came.lock().is_none() {
                let db = enter(&machine, &options);
                assert!(db.info().unwrap().visible < db.info().unwrap().built);
                assert!(matches!(db.try_write(), Ok(None)), "the writer lock is not given back");
                *came.lock() = Some(db);
            }
            Action::Continue
        });
        build_large(&first, durability).unwrap().unwrap();
        disk.clear_hook();
        let newcomer = newcomer.lock().take().unwrap();
        let info = newcomer.info().unwrap();
        assert!(info.visible == info.built && info.durable == info.built, "{info:?}");
        put(&newcomer, durability, 81..82);
        newcomer.flush().unwrap();
        assert_durable(&disk, 0..82);
        assert_clean(&newcomer);
    }
}

/// Nothing has failed: a flush in two phases, which the dead had begun, can be done again without
/// the list, by who was there when the pages were written. Who was not takes the transaction back,
/// which nobody has seen, and is told of no error.
#[test]
fn a_death_in_the_flush_of_what_is_not_listed_is_no_error_of_others() {
    for step in [
        "build: built moved",
        "flush: target marked",
        "flush: pages synced",
        "flush: meta stored",
        "flush: synced",
    ] {
        for was_there in [true, false] {
            let disk = machine(5);
            let mut builder = Database::builder();
            builder.list_limit(50);
            let process = disk.process(ProcessOptions::default());
            let dying = process.id();
            let first = recto::harness::open(process, &builder).unwrap();
            let witness = enter(&disk, &builder);
            put(&first, Durability::Durable, 0..1);
            disk.set_hook(move |_, event| match event.kind {
                EventKind::Step(now) if now == step && event.process == dying => Action::Kill,
                _ => Action::Continue,
            });
            let ending = run(|| build_large(&first, Durability::Durable));
            assert!(matches!(ending, Ending::Killed(_)), "{step}");
            disk.clear_hook();
            let next = if was_there { witness.clone() } else { enter(&disk, &builder) };
            next.flush().unwrap();
            put(&next, Durability::Durable, 81..82);
            let kept = pairs(&next, "main").len();
            assert!(kept == 82 || (!was_there && kept == 2), "{step}: {kept} pairs");
            assert!(witness.flush().is_ok() && next.flush().is_ok());
            assert_clean(&next);
            if kept == 82 {
                assert_durable(&disk, 0..82);
            }
        }
    }
}

/// A panic in the middle of a change, which the program catches, leaves nothing that could be
/// committed.
#[test]
fn a_panic_in_the_middle_of_a_change_breaks_the_transaction() {
    let disk = machine(7);
    let mut builder = Database::builder();
    builder.growth_step(PAGE as u64);
    let db = enter(&disk, &builder);
    put(&db, Durability::Durable, 0..3);
    let mut txn = db.write().unwrap();
    disk.set_hook(|_, event| match event.kind {
        EventKind::Grow { .. } => std::panic::resume_unwind(Box::new("no memory")),
        _ => Action::Continue,
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut table = txn.open_table("main").unwrap();
        for key in 3..100u32 {
            table.put(&key.to_be_bytes(), &LARGE).unwrap();
        }
    }));
    assert!(panicked.is_err());
    disk.clear_hook();
    assert!(matches!(txn.open_table("main"), Err(Error::TransactionBroken { .. })));
    assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. })));
    put(&db, Durability::Durable, 3..4);
    assert_durable(&disk, 0..4);
    assert_clean(&db);
}

/// A value on pages of its own is refused after it was put, and comes back as what stood there
/// before; or while somebody holds what he has read of it. What is wrong is not read, and not
/// committed.
#[test]
fn a_transaction_reads_of_its_own_what_it_has_put() {
    for early in [false, true] {
        for durability in [Durability::Deferred, Durability::Durable] {
            for seed in 0..6 {
                let disk = machine(seed);
                let db = enter(&disk, &Database::builder());
                put(&db, Durability::Durable, 0..1);
                let mut txn = db.write().unwrap();
                txn.set_durability(durability);
                txn.open_table("main").unwrap().put(b"first", &LARGE).unwrap();
                let table = txn.table("main").unwrap();
                let lose = || {
                    disk.write_back_all(true);
                    disk.evict();
                };
                if early {
                    lose();
                }
                let read = match table.get(b"first") {
                    Ok(read) => read.unwrap(),
                    Err(e) => {
                        assert!(early && matches!(e, Error::Corrupt { .. }), "{e}");
                        continue;
                    }
                };
                assert!(read == LARGE);
                if !early {
                    lose();
                }
                let copy = read.to_vec();
                let mut table = txn.open_table("main").unwrap();
                table.delete(b"first").unwrap();
                table.put(b"second", &copy).unwrap();
                let outcome = txn.commit();
                assert!(copy == LARGE || outcome.is_err(), "{durability:?}, seed {seed}");
                for db in [&db, &enter(&disk.cut_point().boot(seed).unwrap(), &Database::builder())]
                {
                    let wrong = |value: &Vec<u8>| *value != LARGE;
                    assert!(!pairs(db, "main").iter().any(|(_, value)| wrong(value)));
                    assert_clean(db);
                }
            }
        }
    }
}

/// Rule 27: what an opening has found may stand in the page cache alone.
#[test]
fn nothing_is_called_durable_that_an_opening_has_only_found() {
    let disk = machine(3);
    let db = enter(&disk, &Database::builder());
    put(&db, Durability::Durable, 0..1);
    let durable = db.info().unwrap().durable;
    disk.set_hook(|_, event| match event.kind {
        EventKind::Step("flush: meta stored") => Action::Kill,
        _ => Action::Continue,
    });
    let killed = run(|| {
        let mut txn = db.write().unwrap();
        txn.open_table("main").unwrap().put(b"more", b"").unwrap();
        txn.commit()
    });
    assert!(matches!(killed, Ending::Killed(_)));
    disk.clear_hook();
    drop(db);
    disk.restart_os_alive(true).unwrap();
    let db = enter(&disk, &Database::builder());
    let info = db.info().unwrap();
    assert!(info.durable <= durable, "{} was durable, and {} is called so", durable, info.durable);
    drop(db.write().unwrap());
    let info = db.info().unwrap();
    assert_eq!(info.durable, info.visible);
    assert_clean(&db);
}

/// A transaction changes nothing because of what it finds in a deferred commit. If it is durable,
/// so is what it has found.
#[test]
fn who_changes_nothing_durably_has_found_it_durable() {
    let disk = machine(1);
    let db = enter(&disk, &Database::builder());
    put(&db, Durability::Durable, 0..3);
    let delete = |txn: &mut WriteTxn| {
        let mut table = txn.open_table("main").unwrap();
        table.delete(&0u32.to_be_bytes()).unwrap()
    };
    write(&db, Durability::Deferred, |txn| assert!(delete(txn)));
    write(&db, Durability::Durable, |txn| assert!(!delete(txn)));
    assert_durable(&disk, 1..3);
    assert_clean(&db);
}

/// The leaf of a deferred commit is refused while a transaction runs, and comes back as the older
/// one of its place, which has not got the key: there is nothing to delete. Whoever is told so, and
/// that the commit is done, may rely on it.
#[test]
fn who_changes_nothing_has_read_what_was_built() {
    let key = |key: u32| key.to_be_bytes();
    let mut stale = 0;
    for durability in [Durability::Durable, Durability::Deferred] {
        for seed in 0..16 {
            let disk = machine(seed);
            let db = enter(&disk, &Database::builder());
            let put = |durability, n: u32| {
                write(&db, durability, |txn| {
                    txn.open_table("main").unwrap().put(&key(n), b"").unwrap();
                });
            };
            put(Durability::Durable, 0);
            for n in 1..8 + seed as u32 {
                put(Durability::Deferred, n);
                disk.write_back_all(false);
            }
            put(Durability::Durable, 50);
            put(Durability::Deferred, 60);
            let mut txn = db.write().unwrap();
            txn.set_durability(durability);
            disk.write_back_all(true);
            disk.evict();
            let found = txn.open_table("main").and_then(|mut table| table.delete(&key(50)));
            let is_stale = matches!(found, Ok(false));
            stale += u32::from(is_stale);
            let done = found.and_then(|_| txn.commit()).is_ok();
            assert!(!(is_stale && done), "{durability:?}, seed {seed}");
            // The first may still be told of it.
            assert!((0..3).any(|_| db.write().is_ok()));
            assert_clean(&db);
        }
    }
    assert!(stale > 8, "only {stale} have met an older leaf");
}

/// What failed half-way is not read: a split page may be in the tree by half.
#[test]
fn a_table_is_not_read_behind_a_put_that_failed() {
    for pages in 10..60 {
        let disk = machine(1);
        let mut builder = Database::builder();
        builder.growth_step(PAGE as u64);
        let db = enter(&disk, &builder);
        let mut txn = db.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        disk.set_disk_limit(Some(pages * PAGE as u64));
        let mut rng = fastrand::Rng::with_seed(pages);
        let failed = loop {
            if let Err(e) = table.put(&rng.u32(..).to_be_bytes(), &[7; 120]) {
                break e;
            }
        };
        assert!(matches!(failed, Error::DiskFull { .. }), "{failed}");
        assert!(matches!(table.get(b"key"), Err(Error::TransactionBroken { .. })));
        assert!(matches!(table.contains_key(b"key"), Err(Error::TransactionBroken { .. })));
        assert!(matches!(table.iter().map(drop), Err(Error::TransactionBroken { .. })));
        assert!(matches!(table.first(), Err(Error::TransactionBroken { .. })));
        assert!(matches!(
            table.as_table().get_many(&[b"key"]),
            Err(Error::TransactionBroken { .. })
        ));
        drop(txn);
        disk.set_disk_limit(None);
        put(&db, Durability::Durable, 0..3);
        assert_clean(&db);
    }
}

/// A handle that closes because its program panics flushes what it has deferred, as any other.
#[test]
fn a_handle_that_a_panic_closes_flushes() {
    let disk = machine(3);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let db = enter(&disk, &Database::builder());
        put(&db, Durability::Deferred, 0..1);
        // No message: the hook is not asked.
        std::panic::resume_unwind(Box::new("of the program"));
    }));
    assert!(outcome.is_err());
    assert_durable(&disk, 0..1);
}
