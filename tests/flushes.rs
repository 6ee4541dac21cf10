//! What `flush` and `close` answer: what was rolled back is told, once, and nothing else is.

mod common;

use common::sim::{
    LARGE, assert_durable, enter, fail_syncs, lose_since, machine, put, refused, rolled_back,
};
use common::{assert_clean, pairs};
use recto::harness::sim::{Action, Ending, EventKind, ProcessOptions, run};
use recto::harness::{build, make_durable};
use recto::{Database, Durability, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A deferred commit that a repair has taken back is not one that was flushed, whoever has
/// repaired.
#[test]
fn a_flush_says_that_deferred_commits_were_rolled_back() {
    for other_repairs in [false, true] {
        let disk = machine(8);
        let (db, other) = (enter(&disk, &Database::builder()), enter(&disk, &Database::builder()));
        put(&db, Durability::Durable, 0..1);
        let before = disk.bytes();
        put(&db, Durability::Deferred, 1..2);
        refused(&disk, &db, &before);
        if other_repairs {
            // The first sync of this process is told of what was refused.
            assert!(matches!(other.write(), Err(Error::Io { .. })));
            drop(other.write().unwrap());
        }
        assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })), "{other_repairs}");
        assert_eq!(pairs(&db, "main").len(), 1);
        put(&db, Durability::Deferred, 1..3);
        db.flush().unwrap();
        assert_durable(&disk, 0..3);
        assert_clean(&db);
    }
}

/// A handle that is closed says what a flush would say.
#[test]
fn closing_says_that_deferred_commits_were_rolled_back() {
    let disk = machine(8);
    let [db, other] = [(); 2].map(|()| enter(&disk, &Database::builder()));
    put(&db, Durability::Durable, 0..1);
    let before = disk.bytes();
    put(&db, Durability::Deferred, 1..2);
    refused(&disk, &db, &before);
    assert!(matches!(other.write(), Err(Error::Io { .. })));
    drop(other.write().unwrap());
    assert!(matches!(db.close(), Err(Error::OutcomeUnknown { .. })));
    put(&other, Durability::Deferred, 1..3);
    other.close().unwrap();
    assert_durable(&disk, 0..3);
    assert_clean(&enter(&disk, &Database::builder()));
}

/// A third handle flushes, and repairs: a transaction that nobody has seen is rolled back together
/// with one that was shown.
#[test]
fn a_flush_says_that_what_others_had_shown_was_rolled_back() {
    let disk = machine(9);
    let [owner, builder, third] = [(); 3].map(|()| enter(&disk, &Database::builder()));
    put(&owner, Durability::Durable, 0..1);
    let before = disk.bytes();
    put(&owner, Durability::Deferred, 1..2);
    let mut txn = builder.write().unwrap();
    txn.open_table("main").unwrap().put(&2u32.to_be_bytes(), &LARGE).unwrap();
    build(txn, Durability::Durable).unwrap().unwrap();
    refused(&disk, &builder, &before);
    // The first sync of this process is told of what was refused.
    assert!(matches!(third.write(), Err(Error::Io { .. })));
    assert!(matches!(third.flush(), Err(Error::OutcomeUnknown { .. })));
    assert_eq!(pairs(&third, "main").len(), 1);
    third.flush().unwrap();
    assert_durable(&disk, 0..1);
    assert_clean(&third);
}

/// Whoever waits for a transaction between two that were rolled back is told that it is durable.
#[test]
fn what_lies_between_two_roll_backs_lives() {
    let disk = machine(6);
    let db = enter(&disk, &Database::builder());
    put(&db, Durability::Durable, 0..1);
    let (mut dead, mut living) = (vec![], vec![]);
    for round in 1..14u32 {
        dead.push(rolled_back(&disk, &db));
        if round % 3 == 0 {
            // Twice in a row, with nothing durable in between.
            dead.push(rolled_back(&disk, &db));
        }
        let mut txn = db.write().unwrap();
        txn.open_table("main").unwrap().put(&round.to_be_bytes(), &LARGE).unwrap();
        living.push(build(txn, Durability::Durable).unwrap().unwrap().0);
        db.flush().unwrap();
        for &id in &dead {
            let outcome = make_durable(&db, id);
            assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })), "{id}: {outcome:?}");
        }
        // A bounded number is told apart.
        for &id in living.iter().rev().take(5) {
            make_durable(&db, id).unwrap();
        }
    }
    assert_durable(&disk, 0..14);
    assert_clean(&db);
}

/// Whoever flushes a handle is told once that deferred commits of it were rolled back, whatever it
/// has committed since, and whoever has repaired.
#[test]
fn a_flush_tells_of_a_roll_back_behind_later_commits() {
    for later in [Durability::Deferred, Durability::Durable] {
        for other_repairs in [false, true] {
            let disk = machine(1);
            let db = enter(&disk, &Database::builder());
            put(&db, Durability::Durable, 0..1);
            put(&db, Durability::Deferred, 1..2);
            disk.write_back_all(true);
            disk.evict();
            let repairs = if other_repairs {
                disk.foreign_sync();
                enter(&disk, &Database::builder())
            } else {
                db.clone()
            };
            // The first to begin is told that the repair failed, and nothing is decided yet.
            assert!((0..3).any(|_| repairs.write().is_ok()));
            assert!((0..3).any(|_| db.write().is_ok()));
            put(&db, later, 2..3);
            let told = db.flush();
            assert!(matches!(told, Err(Error::OutcomeUnknown { .. })), "{later:?}: {told:?}");
            db.flush().unwrap();
            assert_eq!(pairs(&db, "main").len(), 2, "{later:?}");
            put(&db, Durability::Deferred, 3..4);
            db.flush().unwrap();
            assert_clean(&db);
            let cut = enter(&disk.cut_point().boot(1).unwrap(), &Database::builder());
            assert_eq!(pairs(&cut, "main").len(), 3, "{later:?}");
        }
    }
}

/// Whichever handle repairs, one flush says so, and not the next.
#[test]
fn one_flush_says_that_deferred_commits_were_rolled_back() {
    let disk = machine(8);
    let db = enter(&disk, &Database::builder());
    put(&db, Durability::Durable, 0..1);
    let before = disk.bytes();
    put(&db, Durability::Deferred, 1..2);
    refused(&disk, &db, &before);
    drop(db.write().unwrap());
    let told = [(); 6].map(|()| db.flush().is_err());
    assert_eq!(told, [true, false, false, false, false, false]);
    assert_durable(&disk, 0..1);
    assert_clean(&db);
}

/// Its commit has said so already.
#[test]
fn a_flush_says_nothing_of_a_durable_commit_that_was_rolled_back() {
    let disk = machine(8);
    let db = enter(&disk, &Database::builder());
    put(&db, Durability::Durable, 0..1);
    let before = disk.bytes();
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(&1u32.to_be_bytes(), &LARGE).unwrap();
    fail_syncs(&disk);
    assert!(matches!(txn.commit(), Err(Error::OutcomeUnknown { .. })));
    disk.clear_hook();
    lose_since(&disk, &before);
    put(&enter(&disk, &Database::builder()), Durability::Durable, 1..3);
    for _ in 0..3 {
        db.flush().unwrap();
    }
    assert_durable(&disk, 0..3);
    assert_clean(&db);
}

/// Durable by another handle's commit, and behind nine roll-backs: so many are not told apart, and
/// the flush that says so is one.
#[test]
fn what_was_durable_before_many_roll_backs_is_doubted_once() {
    let disk = machine(6);
    let [db, other] = [(); 2].map(|()| enter(&disk, &Database::builder()));
    put(&db, Durability::Durable, 0..1);
    rolled_back(&disk, &other);
    assert!(db.write().is_err(), "the first sync of this process is told of what was refused");
    put(&db, Durability::Deferred, 1..2);
    put(&other, Durability::Durable, 2..3);
    for _ in 0..9 {
        rolled_back(&disk, &other);
    }
    // The first sync of this process is told of what was refused, again.
    let told = [(); 5].map(|()| db.flush().is_err_and(|e| e.to_string().contains("rolled back")));
    assert!(told.iter().filter(|&&told| told).count() <= 1, "{told:?}");
    db.flush().unwrap();
    assert_durable(&disk, 0..3);
    assert_clean(&db);
}

/// A deferred commit was rolled back, and the next flush fails for a reason of its own, or cannot
/// begin: the one behind it still has to say so.
#[test]
fn a_flush_that_fails_takes_no_news_away() {
    for begins in [false, true] {
        let disk = machine(1);
        let [db, other] = [(); 2].map(|()| enter(&disk, &Database::builder()));
        put(&db, Durability::Durable, 0..1);
        put(&db, Durability::Deferred, 1..2);
        disk.write_back_all(true);
        disk.evict();
        assert!((0..3).any(|_| db.write().is_ok()), "rolled back");
        put(&db, Durability::Deferred, 2..3);
        let txn = (!begins).then(|| db.write().unwrap());
        fail_syncs(&disk);
        if begins {
            assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })));
        } else {
            assert!(other.flush().is_err());
        }
        disk.clear_hook();
        if let Some(txn) = txn {
            assert!(matches!(db.flush(), Err(Error::WriterOnThisThread { .. })));
            drop(txn);
        }
        let told = |e: &Error| e.to_string().contains("rolled back");
        let answers = [(); 5].map(|()| db.flush());
        let news = answers.iter().filter(|answer| answer.as_ref().is_err_and(told)).count();
        assert_eq!(news, 1, "{begins}: {answers:?}");
        assert!(answers[4].is_ok());
        assert_eq!(pairs(&db, "main").len(), 2);
        assert_clean(&db);
    }
}

#[test]
fn a_flush_in_the_thread_that_writes_says_so_behind_one_that_failed() {
    let disk = machine(1);
    let db = enter(&disk, &Database::builder());
    put(&db, Durability::Durable, 0..1);
    put(&db, Durability::Deferred, 1..2);
    let txn = db.write().unwrap();
    fail_syncs(&disk);
    assert!(matches!(db.flush(), Err(Error::OutcomeUnknown { .. })));
    disk.clear_hook();
    assert!(matches!(db.flush(), Err(Error::WriterOnThisThread { .. })));
    drop(txn);
    db.flush().unwrap();
    assert_durable(&disk, 0..2);
    assert_clean(&db);
}

/// Of a sync that has failed, and of a process that died in its flush.
#[test]
fn info_says_whether_the_next_writer_repairs() {
    for step in ["flush: target marked", "flush: meta stored", "flush: synced", "flush: done"] {
        let disk = machine(5);
        let process = disk.process(ProcessOptions::default());
        let dying = process.id();
        let first = recto::harness::open(process, &Database::builder()).unwrap();
        let witness = enter(&disk, &Database::builder());
        put(&first, Durability::Durable, 0..1);
        assert!(!witness.info().unwrap().repair_pending);
        disk.set_hook(move |_, event| match event.kind {
            EventKind::Step(now) if now == step && event.process == dying => Action::Kill,
            _ => Action::Continue,
        });
        let ending = run(|| {
            let mut txn = first.write().unwrap();
            txn.open_table("main").unwrap().put(b"x", b"").unwrap();
            txn.commit()
        });
        assert!(matches!(ending, Ending::Killed(_)));
        let repaired = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&repaired);
        disk.set_hook(move |_, event| {
            let done = event.kind == EventKind::Step("repair: done");
            seen.fetch_or(done, Ordering::Relaxed);
            Action::Continue
        });
        let pending = witness.info().unwrap().repair_pending;
        drop(witness.write().unwrap());
        assert_eq!(pending, repaired.load(Ordering::Relaxed), "{step}");
        disk.clear_hook();
        assert_clean(&witness);
    }
}

/// What a handle has committed was made durable by another one: closing it is done with, whatever
/// others have deferred, whatever the device does, and whoever writes.
#[test]
fn closing_has_nothing_to_do_where_all_is_durable() {
    let disk = machine(31);
    let [a, b] = [(); 2].map(|()| enter(&disk, &Database::builder()));
    put(&a, Durability::Deferred, 0..1);
    b.flush().unwrap();
    let own = a.info().unwrap().durable;
    put(&b, Durability::Deferred, 1..2);
    a.clone().close().unwrap();
    assert_eq!(a.info().unwrap().durable, own, "nobody has asked for the commit of the other");
    // A repair is due, and this thread has the write transaction.
    let txn = b.write().unwrap();
    fail_syncs(&disk);
    assert!(matches!(b.flush(), Err(Error::OutcomeUnknown { .. })));
    a.clone().close().unwrap();
    disk.clear_hook();
    a.clone().close().unwrap();
    drop(txn);
    // A handle that comes later has seen no error of the device.
    let c = enter(&disk, &Database::builder());
    put(&c, Durability::Deferred, 2..3);
    c.clone().close().unwrap();
    let info = c.info().unwrap();
    assert_eq!(info.durable, info.built, "what is not durable is flushed");
    assert_clean(&c);
}
