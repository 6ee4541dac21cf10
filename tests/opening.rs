//! What a database is opened with: checksums of what is read, a handle that is alone, hints to the
//! kernel; and errors, which name the file.

mod common;

use common::{
    Process, assert_clean, assert_sample, disk_dir, existing, hear, lock_of, memory_dir, open_at,
    pairs, put, refused, role, sample, say, spread, write,
};
use fastrand::Rng;
use recto::harness::{LOCK_FILE_PARTS, on_step};
use recto::{Access, Builder, Database, Durability, Error, ErrorKind, HugePages, ReadChecksums};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const KEYS: u64 = 3_000;

/// The child side of every test here.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let path = Path::new(&role[1]);
    match role[0].as_str() {
        "change" => change_many(path),
        "open" => say(&format!("{:?}", refused(path, &existing()).kind())),
        "alone" => write_alone(path, &role[2]),
        "full" => meet_a_limit(path),
        "in doubt" => commit_in_doubt(path, &role[2]),
        other => panic!("no role {other}"),
    }
}

fn checking(when: ReadChecksums) -> Builder {
    let mut builder = existing();
    builder.read_checksums(when);
    builder
}

fn alone() -> Builder {
    let mut builder = existing();
    builder.exclusive(true);
    builder
}

// ---- Checksums of what is read ----

/// The sample and a value on pages of its own; then commits elsewhere, so that no opening looks at
/// these pages.
fn sample_and_more(path: &Path) {
    sample(path, KEYS);
    let db = open_at(path, &existing());
    write(&db, Durability::Durable, |txn| {
        txn.open_table("large").unwrap().put(b"large", &large()).unwrap();
    });
    for n in 0..3u8 {
        write(&db, Durability::Durable, |txn| {
            txn.open_table("other").unwrap().put(&[n], b"other").unwrap();
        });
    }
    assert_clean(&db);
}

fn large() -> Vec<u8> {
    (0..100_000u32).flat_map(|n| n.to_le_bytes()).collect()
}

fn value_of(i: u64) -> Vec<u8> {
    i.to_le_bytes().repeat(20)
}

/// Where the file has these bytes.
fn place_of(path: &Path, bytes: &[u8]) -> usize {
    let file = fs::read(path).unwrap();
    let places: Vec<_> = file
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, w)| *w == bytes)
        .map(|(at, _)| at)
        .collect();
    // Pages that are free may have it too: the newest one counts, and has the greatest birth.
    let birth = |at: &usize| {
        let page = at / 4096 * 4096;
        u64::from_le_bytes(file[page + 8..page + 16].try_into().unwrap())
    };
    places.into_iter().max_by_key(birth).expect("the file has it")
}

fn flip(path: &Path, at: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
}

/// It is this page of this file that is damaged.
fn assert_names(error: &Error, path: &Path, page: usize) {
    match error {
        Error::Corrupt { page: found, .. } => assert_eq!(found.0, page as u64, "{error}"),
        other => panic!("{other}"),
    }
    assert_eq!(error.path(), Some(path));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_flipped_bit_is_found_when_the_page_is_read() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto").canonicalize_parent();
    sample_and_more(&path);
    let bad = 1_234;
    let at = place_of(&path, &value_of(bad)) + 5;
    flip(&path, at);
    let page = at / 4096;
    // Without a look the value is another one.
    let db = open_at(&path, &existing());
    let txn = db.read().unwrap();
    let found = txn.table("main").unwrap().get(&spread(bad)).unwrap().unwrap();
    assert_ne!(found, value_of(bad));
    drop(txn);
    let report = db.check(None).unwrap();
    assert_eq!(report.fault_count, 1, "{:?}", report.faults);
    drop(db);
    for when in [ReadChecksums::FirstTouch, ReadChecksums::Always] {
        let db = open_at(&path, &checking(when));
        let txn = Arc::new(db.read().unwrap());
        let table = txn.table("main").unwrap();
        for _ in 0..2 {
            assert_names(&table.get(&spread(bad)).unwrap_err(), &path, page);
            let keys: Vec<_> = (0..KEYS).map(spread).collect();
            assert_names(&table.get_many(&keys).unwrap_err(), &path, page);
            assert_names(&table.cursor().seek(&spread(bad)).unwrap_err(), &path, page);
            assert_names(&table.count_range(&spread(bad)[..]..).unwrap_err(), &path, page);
            for error in [
                table.iter().unwrap().find_map(Result::err),
                table.iter().unwrap().rev().find_map(Result::err),
                txn.owned_table("main").unwrap().iter().unwrap().find_map(Result::err),
            ] {
                assert_names(&error.unwrap(), &path, page);
            }
        }
        // What does not stand there can be read.
        let good = (0..KEYS).filter(|&i| table.get(&spread(i)).is_ok());
        let good: Vec<u64> = good.collect();
        assert!(good.len() > 2_900 && good.len() < KEYS as usize, "{}", good.len());
        good.iter()
            .for_each(|&i| assert_eq!(table.get(&spread(i)).unwrap(), Some(&value_of(i)[..])));
        drop(txn);
        // Nobody gives it a checksum that is right.
        let mut txn = db.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        assert_names(&table.get(&spread(bad)).unwrap_err(), &path, page);
        assert_names(&table.put(&spread(bad), b"new").unwrap_err(), &path, page);
        assert_eq!(txn.commit().unwrap_err().kind(), ErrorKind::TransactionBroken);
        put(&db, &spread(good[0]), &value_of(good[0]));
        assert_eq!(db.check(None).unwrap().fault_count, 1);
        drop(db);
    }
    flip(&path, at);
    let db = open_at(&path, &checking(ReadChecksums::Always));
    assert_sample(&db, KEYS);
    assert_clean(&db);
}

/// What is used again depends on it: a write transaction proves it, whatever the handle asks for.
#[test]
fn a_flipped_bit_in_the_list_of_named_snapshots_is_found() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto").canonicalize_parent();
    sample(&path, KEYS);
    let db = open_at(&path, &existing());
    let name = "a name as long as it takes to stand in one piece";
    write(&db, Durability::Durable, |txn| txn.create_snapshot(name).unwrap());
    put(&db, b"later", b"");
    put(&db, b"and later", b"");
    drop(db);
    // Another name is as good a name.
    let at = place_of(&path, &name.as_bytes()[20..]);
    flip(&path, at);
    let db = open_at(&path, &existing());
    assert_names(&db.write().unwrap_err(), &path, at / 4096);
    assert_eq!(db.snapshots().unwrap().len(), 1);
    assert_eq!(db.check(None).unwrap().fault_count, 1);
    drop(db);
    for when in [ReadChecksums::FirstTouch, ReadChecksums::Always] {
        let db = open_at(&path, &checking(when));
        assert_names(&db.write().unwrap_err(), &path, at / 4096);
        assert_names(&db.snapshots().unwrap_err(), &path, at / 4096);
    }
    flip(&path, at);
    let db = open_at(&path, &checking(ReadChecksums::Always));
    put(&db, b"mended", b"");
    assert_clean(&db);
}

#[test]
fn a_flipped_bit_of_a_large_value_is_found() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto").canonicalize_parent();
    sample_and_more(&path);
    let large = large();
    let start = place_of(&path, &large[..64]);
    flip(&path, start + 300_000);
    let db = open_at(&path, &existing());
    assert_ne!(db.read().unwrap().table("large").unwrap().get(b"large").unwrap(), Some(&large[..]));
    drop(db);
    for when in [ReadChecksums::FirstTouch, ReadChecksums::Always] {
        let db = open_at(&path, &checking(when));
        let txn = db.read().unwrap();
        let error = txn.table("large").unwrap().get(b"large").unwrap_err();
        assert_names(&error, &path, start / 4096);
        drop(txn);
        let mut txn = db.write().unwrap();
        let error = txn.open_table("large").unwrap().get(b"large").unwrap_err();
        assert_names(&error, &path, start / 4096);
    }
    flip(&path, start + 300_000);
    assert_clean(&open_at(&path, &existing()));
}

/// A page that was proved, and is used again by another handle, is proved anew.
#[test]
fn pages_that_are_used_again_are_proved_again() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto").canonicalize_parent();
    sample(&path, KEYS);
    let reader = open_at(&path, &checking(ReadChecksums::FirstTouch));
    assert_sample(&reader, KEYS);
    let writer = open_at(&path, &existing());
    // The pages of the sample become those of other leaves, several times.
    for round in 0..6u64 {
        write(&writer, Durability::Durable, |txn| {
            let mut table = txn.open_table("main").unwrap();
            for i in 0..KEYS {
                table.put(&spread(i), &value_of(i + 1_000_000 * (round + 1))).unwrap();
            }
        });
        let txn = reader.read().unwrap();
        let table = txn.table("main").unwrap();
        // Half of them: the other half is met for the first time later.
        for i in (0..KEYS).filter(|i| (i + round).is_multiple_of(2)) {
            let wanted = value_of(i + 1_000_000 * (round + 1));
            assert_eq!(table.get(&spread(i)).unwrap(), Some(&wanted[..]));
        }
    }
    write(&writer, Durability::Durable, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for i in 0..KEYS {
            assert!(table.put(&spread(i), &value_of(i + 77_000_000)).unwrap());
        }
    });
    let at = place_of(&path, &value_of(77_000_500)) + 3;
    flip(&path, at);
    let txn = reader.read().unwrap();
    let error = txn.table("main").unwrap().get(&spread(500)).unwrap_err();
    assert_names(&error, &path, at / 4096);
    drop(txn);
    flip(&path, at);
    assert_eq!(
        reader.read().unwrap().table("main").unwrap().get(&spread(500)).unwrap(),
        Some(&value_of(77_000_500)[..])
    );
    assert_clean(&reader);
}

/// Commits of all kinds, until the parent says so.
fn change_many(path: &Path) {
    let db = open_at(path, &checking(ReadChecksums::Always));
    say("begins");
    let mut rng = Rng::with_seed(7);
    for round in 0..300u32 {
        let durability = if round % 7 == 0 { Durability::Durable } else { Durability::Deferred };
        let mut txn = db.write().unwrap();
        txn.set_durability(durability);
        let mut table = txn.open_table("main").unwrap();
        for _ in 0..40 {
            let key = spread(rng.u64(..KEYS));
            match rng.u8(..10) {
                0 => table.delete(&key).unwrap(),
                1 => table.put(&key, &vec![round as u8; rng.usize(5_000..40_000)]).unwrap(),
                _ => table.put(&key, &vec![round as u8; rng.usize(..300)]).unwrap(),
            };
        }
        if round % 11 != 0 {
            txn.commit().unwrap();
        }
    }
    assert_clean(&db);
    say("done");
    hear();
}

/// A value is of one round: all its bytes are the same.
#[test]
fn checksums_raise_no_false_alarm_beside_writers() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    write(&db, Durability::Durable, |txn| {
        let mut table = txn.open_table("main").unwrap();
        (0..KEYS).for_each(|i| assert!(!table.put(&spread(i), &[1; 100]).unwrap()));
    });
    drop(db);
    let child = Process::start("child", &["change", path.to_str().unwrap()]);
    child.expect("begins");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for when in [ReadChecksums::Always, ReadChecksums::FirstTouch] {
            let (path, done) = (&path, &done);
            scope.spawn(move || {
                let db = open_at(path, &checking(when));
                let mut rng = Rng::with_seed(3);
                let mut rounds = 0;
                // At least some of it, also where the child was faster.
                while rounds < 20 || !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let txn = db.read().unwrap();
                    let table = txn.table("main").unwrap();
                    for _ in 0..200 {
                        let value =
                            table.get(&spread(rng.u64(..KEYS))).unwrap().unwrap_or_default();
                        assert!(value.iter().all(|&b| b == value[0]));
                    }
                    assert_eq!(
                        table.iter().unwrap().filter(Result::is_ok).count() as u64,
                        table.len()
                    );
                    rounds += 1;
                }
                assert_clean(&db);
            });
        }
        child.expect("done");
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    child.finish();
    assert_clean(&open_at(&path, &existing()));
}

/// In memory, in the direct sink, with pages that are spilled.
#[test]
fn checksums_in_every_sink() {
    let dir = memory_dir();
    for (n, when) in [ReadChecksums::Always, ReadChecksums::FirstTouch].into_iter().enumerate() {
        for sink in [recto::Sink::Staged, recto::Sink::Direct] {
            let mut builder = Builder::default();
            builder.read_checksums(when).sink(sink).stage_bytes(32 << 10);
            let path = dir.path().join(format!("{n}-{sink:?}"));
            for db in [open_at(&path, &builder), builder.in_memory().unwrap()] {
                let mut model = BTreeMap::new();
                let mut rng = Rng::with_seed(n as u64);
                for _ in 0..10 {
                    let mut txn = db.write().unwrap();
                    txn.set_durability(Durability::Deferred);
                    let mut table = txn.open_table("main").unwrap();
                    for _ in 0..200 {
                        let (key, len) = (spread(rng.u64(..500)), rng.usize(..2_000));
                        let value =
                            vec![rng.u8(..); if rng.u8(..20) == 0 { 10 * len } else { len }];
                        table.put(&key, &value).unwrap();
                        assert_eq!(table.get(&key).unwrap(), Some(&value[..]));
                        model.insert(key.to_vec(), value);
                    }
                    txn.commit().unwrap();
                    let all: BTreeMap<_, _> = pairs(&db, "main").into_iter().collect();
                    assert!(all == model);
                }
                assert_clean(&db);
            }
        }
    }
}

// ---- One handle alone ----

#[test]
fn an_exclusive_handle_is_alone() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto").canonicalize_parent();
    let mut make = Builder::default();
    let db = open_at(&path, make.exclusive(true));
    put(&db, b"key", b"value");
    assert!(!lock_of(&path).exists());
    let in_use = |builder: &Builder, exclusively: bool| {
        let error = refused(&path, builder);
        assert!(
            matches!(&error, Error::InUse { exclusively: said, .. } if *said == exclusively),
            "{error}"
        );
        assert_eq!(error.path(), Some(&*path));
        assert!(error.to_string().contains(path.to_str().unwrap()));
        assert!(error.to_string().contains("exclusive"), "{error}");
    };
    in_use(&alone(), true);
    in_use(&existing(), true);
    in_use(existing().read_only(true), true);
    let child = Process::start("child", &["open", path.to_str().unwrap()]);
    child.expect("InUse");
    child.finish();
    // Threads share it, as any other handle.
    let before = db.read().unwrap().id();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| db.wait_for_commit(before, None).unwrap());
        for thread in 0..4u8 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..50u8 {
                    put(db, &[thread, n], b"value");
                    assert!(
                        db.read()
                            .unwrap()
                            .table("main")
                            .unwrap()
                            .get(&[thread, n])
                            .unwrap()
                            .is_some()
                    );
                }
            });
        }
        assert!(waits.join().unwrap() > before);
    });
    assert_eq!(pairs(&db, "main").len(), 201);
    assert_clean(&db);
    db.close().unwrap();
    // The other way round.
    let db = open_at(&path, &existing());
    in_use(&alone(), false);
    let second = open_at(&path, &existing());
    drop(db);
    in_use(&alone(), false);
    drop(second);
    let db = open_at(&path, &alone());
    assert_eq!(pairs(&db, "main").len(), 201);
    assert_clean(&db);
    drop(db);
    assert!(matches!(
        refused(&path, alone().read_only(true).no_lock(true)),
        Error::InvalidArgument(_)
    ));
    // To read only.
    let db = open_at(&path, alone().read_only(true));
    in_use(&existing(), true);
    assert_clean(&db);
}

/// A lock file of sessions before and between is no danger, however old it is.
#[test]
fn exclusive_and_shared_handles_take_turns() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut model = BTreeMap::new();
    let mut rng = Rng::with_seed(5);
    let mut old_lock = None;
    for round in 0..40u32 {
        let mut builder = Builder::default();
        builder.exclusive(round % 3 == 1 || rng.u8(..3) == 0);
        if round == 20 {
            fs::write(lock_of(&path), old_lock.take().unwrap()).unwrap();
        }
        let db = open_at(&path, &builder);
        let found: BTreeMap<_, _> = pairs(&db, "main").into_iter().collect();
        assert!(found == model, "round {round}");
        for _ in 0..rng.u8(1..5) {
            let durability = if rng.bool() { Durability::Durable } else { Durability::Deferred };
            write(&db, durability, |txn| {
                let mut table = txn.open_table("main").unwrap();
                for _ in 0..30 {
                    let (key, value) = (spread(rng.u64(..300)).to_vec(), vec![rng.u8(..); 100]);
                    table.put(&key, &value).unwrap();
                    model.insert(key, value);
                }
            });
        }
        assert_clean(&db);
        // Makes all of it durable.
        db.close().unwrap();
        if round == 10 {
            old_lock = fs::read(lock_of(&path)).ok();
        }
    }
}

/// An opening that does not know what was synced takes a page of the last commit that has rotted
/// for one of a commit that was cut off. After a handle that was closed, alone or not, it does not,
/// whoever opens it next and whatever lock file is there: nothing that was acknowledged is taken
/// back without an error.
#[test]
fn a_page_that_rots_after_a_close_is_an_error_and_takes_nothing_back() {
    let dir = memory_dir();
    let ways = [(true, true), (false, true), (true, true), (false, false), (false, true)];
    for (n, (exclusive, keeps_lock)) in ways.into_iter().enumerate() {
        let path = dir.path().join(format!("{n}.recto"));
        let mut builder = checking(ReadChecksums::Always);
        builder.exclusive(exclusive).create(true);
        let db = open_at(&path, &builder);
        for round in 0..5u8 {
            put(&db, b"balance", &[round; 20]);
        }
        // What is not flushed yet is flushed by the close, and the same holds for it.
        if n == 2 {
            write(&db, Durability::Deferred, |txn| {
                txn.open_table("main").unwrap().put(b"balance", &[4; 21]).unwrap();
            });
        }
        let mut last = db.read().unwrap().id();
        // Who closes beside others leaves it to the last of them.
        let other = (!exclusive).then(|| open_at(&path, &checking(ReadChecksums::Off)));
        db.close().unwrap();
        drop(other);
        let at = place_of(&path, &[4; 20]);
        flip(&path, at);
        if !keeps_lock {
            fs::remove_file(lock_of(&path)).unwrap();
        }
        if n > 3 {
            let unlocked =
                open_at(&path, checking(ReadChecksums::Always).read_only(true).no_lock(true));
            assert_eq!(unlocked.read().unwrap().id(), last);
        }
        builder.exclusive(exclusive || n > 3);
        for opened in [&builder, &checking(ReadChecksums::Always)] {
            let db = open_at(&path, opened);
            assert_eq!(db.info().unwrap().refused, None, "exclusive {exclusive}");
            let txn = db.read().unwrap();
            assert_eq!(txn.id(), last, "exclusive {exclusive}");
            let read = txn.table("main").and_then(|table| table.get(b"balance").map(|_| ()));
            assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
            // Nor does a write take it back.
            write(&db, Durability::Durable, |txn| {
                txn.open_table("other").unwrap().put(&[n as u8], b"").unwrap();
            });
            last = db.read().unwrap().id();
        }
        flip(&path, at);
        let db = open_at(&path, &checking(ReadChecksums::Always));
        assert_eq!(pairs(&db, "main")[0].1[..20], [4; 20]);
        assert!(last < 10_000, "{last}: a close uses up few ids");
        assert_clean(&db);
    }
}

/// The same for each of the two meta pages, also behind a commit that no manifest has room for.
#[test]
fn a_meta_page_that_rots_after_a_close_takes_nothing_back() {
    let dir = memory_dir();
    for n in 0..16usize {
        let (keys, slot) = ([1u64, 400][n & 1], n >> 1 & 1);
        let (exclusive, then_alone) = (n & 4 > 0, n & 8 > 0);
        let path = dir.path().join(format!("{n}.recto"));
        let mut builder = Builder::default();
        builder.exclusive(exclusive);
        for round in [&b"old"[..], b"new"] {
            let db = open_at(&path, &builder);
            put(&db, b"third", b"");
            write(&db, Durability::Durable, |txn| {
                let mut table = txn.open_table("main").unwrap();
                for key in 0..keys {
                    table.put(&spread(key), &[7; 3_000]).unwrap();
                }
                table.put(b"balance", round).unwrap();
            });
            db.close().unwrap();
            // Closed once more it stays as it is.
            let file = fs::read(&path).unwrap();
            drop(open_at(&path, &builder));
            assert!(fs::read(&path).unwrap() == file);
        }
        flip(&path, slot * 4096 + 100);
        if n % 3 == 0 && !exclusive {
            fs::remove_file(lock_of(&path)).unwrap();
        }
        let mut builder = Builder::default();
        builder.exclusive(then_alone);
        let db = open_at(&path, &builder);
        let balance = |db: &Database| {
            let txn = db.read().unwrap();
            let table = txn.table("main").unwrap();
            table.get(b"balance").unwrap().map(<[u8]>::to_vec)
        };
        assert_eq!(balance(&db).as_deref(), Some(&b"new"[..]), "{keys} keys, slot {slot}");
        put(&db, b"more", b"");
        assert_eq!(balance(&db).as_deref(), Some(&b"new"[..]));
        assert_clean(&db);
    }
}

/// A close without anything to save writes nothing.
#[test]
fn who_is_alone_and_has_written_nothing_leaves_the_file_as_it_was() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, alone().create(true));
    put(&db, b"key", b"value");
    drop(db);
    let before = fs::read(&path).unwrap();
    for read_only in [false, true] {
        let db = open_at(&path, alone().read_only(read_only));
        assert_eq!(pairs(&db, "main").len(), 1);
        assert_clean(&db);
        drop(db);
        assert!(fs::read(&path).unwrap() == before);
    }
}

/// Durable commits, each told when it is, with deferred ones between them.
fn write_alone(path: &Path, from: &str) {
    let db = open_at(path, &alone());
    let from: u64 = from.parse().unwrap();
    say("begins");
    for n in from..from + 100_000 {
        write(&db, Durability::Deferred, |txn| {
            txn.open_table("deferred").unwrap().put(&spread(n), &[3; 700]).unwrap();
        });
        put(&db, &spread(n), &n.to_le_bytes());
        say(&n.to_string());
    }
}

#[test]
fn a_process_killed_in_exclusive_mode_leaves_what_is_durable() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    drop(open_at(&path, &Builder::default()));
    let mut rng = Rng::with_seed(11);
    let mut next = 0u64;
    for round in 0..12 {
        let mut child =
            Process::start("child", &["alone", path.to_str().unwrap(), &next.to_string()]);
        child.expect("begins");
        let commits = rng.u64(..30);
        let mut told = next;
        for _ in 0..commits {
            told = child.line().parse::<u64>().unwrap() + 1;
        }
        child.kill();
        // What it has said last may not have been heard yet.
        told = child.said().last().map_or(told, |n| n.parse::<u64>().unwrap() + 1);
        // Nobody waits for the dead.
        let builder = if round % 2 == 0 { existing() } else { alone() };
        let db = open_at(&path, &builder);
        let txn = db.read().unwrap();
        let keys = match txn.table_opt("main").unwrap() {
            Some(table) => {
                for n in 0..told {
                    assert!(table.contains_key(&spread(n)).unwrap(), "{n} of {told}");
                }
                table.len()
            }
            None => 0,
        };
        // One may have become durable and not been told.
        assert!((told..=told + 1).contains(&keys), "{keys} of {told}");
        drop(txn);
        assert_clean(&db);
        put(&db, &spread(keys), b"");
        next = keys + 1;
    }
}

// ---- Hints to the kernel ----

/// Pages of the file that are in the page cache, and pages in all.
fn resident(path: &Path) -> (usize, usize) {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    let mut states = vec![0u8; len.div_ceil(4096)];
    // SAFETY: a map of its own, which is not read; a byte of answer for each page.
    unsafe {
        let map = libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(map, libc::MAP_FAILED);
        assert_eq!(libc::mincore(map, len, states.as_mut_ptr()), 0);
        libc::munmap(map, len);
    }
    (states.iter().filter(|&&state| state & 1 == 1).count(), states.len())
}

/// As far as the system lets it: what is dirty, or locked, stays.
fn drop_from_cache(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: an open descriptor and integers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

#[test]
fn every_hint_reads_the_same_and_warms_up() {
    let dir = disk_dir();
    let path = dir.path().join("x.recto");
    sample(&path, KEYS);
    for access in [Access::Random, Access::Normal, Access::Sequential] {
        for huge in [HugePages::Auto, HugePages::Always, HugePages::Never] {
            for reads_only in [false, true] {
                drop_from_cache(&path);
                let mut builder = existing();
                builder.access(access).huge_pages(huge).read_only(reads_only);
                let db = open_at(&path, &builder);
                let mut told = Vec::new();
                db.warm_up(|done, all| {
                    told.push((done, all));
                    ControlFlow::Continue(())
                })
                .unwrap();
                let all = db.info().unwrap().page_count * 4096;
                assert_eq!(told.last(), Some(&(all, all)), "{told:?}");
                assert!(told.is_sorted());
                let (there, pages) = resident(&path);
                assert!(
                    there as u64 * 4096 >= all,
                    "{there} of {pages} after {access:?}, {huge:?}"
                );
                assert_sample(&db, KEYS);
                if !reads_only {
                    put(&db, &spread(7), &value_of(7));
                }
                assert_clean(&db);
            }
        }
    }
}

#[test]
fn warming_up_can_be_stopped() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    write(&db, Durability::Deferred, |txn| {
        txn.open_table("main").unwrap().put(b"large", &vec![7; 20 << 20]).unwrap();
    });
    let mut calls = 0;
    db.warm_up(|done, all| {
        calls += 1;
        assert!(done < all);
        if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(calls, 2);
    let memory = Database::in_memory().unwrap();
    memory
        .warm_up(|done, all| {
            assert_eq!(done, all);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_clean(&db);
}

// ---- Errors name the file ----

/// Something in a write transaction that finds an error.
type Change<'a> = &'a dyn Fn(&mut recto::WriteTxn) -> Option<Error>;

/// Whatever a leaf of zeros is met by.
#[test]
fn errors_of_damage_name_the_file_in_every_call() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto").canonicalize_parent();
    {
        let db = open_at(&path, &Builder::default());
        write(&db, Durability::Durable, |txn| {
            let mut table = txn.open_table("main").unwrap();
            (0..KEYS).for_each(|i| assert!(!table.put(&spread(i), &value_of(i)).unwrap()));
            let mut set = txn.open_set("set").unwrap();
            for i in 0..KEYS {
                assert!(set.insert(b"one key", &value_of(i + 500_000)).unwrap());
            }
        });
        for n in 0..3u8 {
            write(&db, Durability::Durable, |txn| {
                txn.open_table("other").unwrap().put(&[n], b"other").unwrap();
            });
        }
        assert_clean(&db);
    }
    let whole = fs::read(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    for place in [place_of(&path, &value_of(700)), place_of(&path, &value_of(500_700)[16..])] {
        file.write_all_at(&[0; 4096], (place / 4096 * 4096) as u64).unwrap();
    }
    let db = open_at(&path, &existing());
    let said = |call: &str, error: Option<Error>| {
        let error = error.unwrap_or_else(|| panic!("{call} finds nothing"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{call}: {error}");
        assert_eq!(error.path(), Some(&*path), "{call}: {error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{call}: {error}");
    };
    let bad = spread(700);
    let txn = Arc::new(db.read().unwrap());
    let table = txn.table("main").unwrap();
    said("get", table.get(&bad).err());
    said("get_many", table.get_many(&[bad]).err());
    said("range", table.range(&bad[..]..).err());
    said("iter", table.iter().unwrap().find_map(Result::err));
    said("rev", table.iter().unwrap().rev().find_map(Result::err));
    let mut lent = table.iter().unwrap();
    said("next_ref", (0..KEYS).find_map(|_| lent.next_ref().err()));
    said("cursor", table.cursor().seek(&bad).err());
    said("count_range", table.count_range(&bad[..]..).err());
    said("at_or_after", table.at_or_after(&bad).err());
    let owned = txn.owned_table("main").unwrap();
    said("owned range", owned.range(&bad[..]..).err());
    said("owned iter", owned.iter().unwrap().find_map(Result::err));
    said("owned cursor", owned.cursor().seek(&bad).err());
    let set = txn.set("set").unwrap();
    let bad_value = value_of(500_700);
    said("contains", set.contains(b"one key", &bad_value).err());
    said("values", set.values(b"one key", &bad_value[..]..).err());
    said("all values", set.get(b"one key").unwrap().find_map(Result::err));
    said("pairs", set.pairs(..).unwrap().find_map(Result::err));
    let before = db.read().unwrap();
    let mut changed = db.write().unwrap();
    changed.open_table("main").unwrap().put(&spread(1_700), b"changed").unwrap();
    drop(changed);
    drop(before);
    let changes: [(&str, Change<'_>); 11] = [
        ("get", &|txn| txn.table("main").unwrap().get(&bad).err()),
        ("put", &|txn| txn.open_table("main").unwrap().put(&bad, b"x").err()),
        ("delete", &|txn| txn.open_table("main").unwrap().delete(&bad).err()),
        ("update", &|txn| txn.open_table("main").unwrap().update(&bad, |_| None::<Vec<u8>>).err()),
        ("entry", &|txn| txn.open_table("main").unwrap().entry(&bad).err()),
        ("delete_range", &|txn| {
            txn.open_table("main").unwrap().delete_range(&bad[..]..=&bad[..]).err()
        }),
        ("retain", &|txn| txn.open_table("main").unwrap().retain(.., |_, _| true).err()),
        ("copy_table", &|txn| txn.copy_table("main", "copy").err()),
        ("drop_table", &|txn| txn.drop_table("main").err()),
        ("set insert", &|txn| txn.open_set("set").unwrap().insert(b"one key", &bad_value).err()),
        ("cursor", &|txn| {
            let table = txn.open("main").unwrap();
            txn.cursor(table).seek(txn, &bad).err()
        }),
    ];
    for (call, change) in changes {
        said(call, change(&mut db.write().unwrap()));
    }
    let faults = db.check(None).unwrap().fault_count;
    assert!(faults >= 2, "{faults}");
    drop(txn);
    drop(db);
    fs::write(&path, whole).unwrap();
    assert_clean(&open_at(&path, &existing()));
}

/// In a process of its own, whose files may not become long.
fn meet_a_limit(path: &Path) {
    let limit = libc::rlimit { rlim_cur: 4 << 20, rlim_max: 1 << 40 };
    // SAFETY: a struct that lives across the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    let db = open_at(path, &existing());
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    let full = (0..9u8).find_map(|n| table.put(&[n], &vec![n; 1 << 20]).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::DiskFull);
    drop(txn);
    assert_clean(&db);
    say(&full.to_string());
}

#[test]
fn every_error_about_the_file_names_it() {
    let dir = memory_dir();
    let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
    let path = at("x.recto");
    drop(open_at(&path, &Builder::default()));
    let names = |error: Error, kind: ErrorKind, path: &Path| {
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.path(), Some(path), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        let io = std::io::Error::from(error);
        assert!(io.to_string().contains(path.to_str().unwrap()), "{io}");
    };
    names(refused(&at("missing"), &existing()), ErrorKind::Io, &at("missing"));
    fs::write(at("notes"), "no database").unwrap();
    names(refused(&at("notes"), &existing()), ErrorKind::NotADatabase, &at("notes"));
    // Both metas of another version, then with features of a newer one, then damaged.
    let good = fs::read(&path).unwrap();
    for (field, value, kind) in [
        (8, 3u32, ErrorKind::Version),
        (304, 1 << 31, ErrorKind::Features),
        (40, 77, ErrorKind::Corrupt),
    ] {
        let mut file = good.clone();
        for meta in file.chunks_mut(4096).take(2) {
            meta[field..field + 4].copy_from_slice(&value.to_le_bytes());
            if kind != ErrorKind::Corrupt {
                meta[508..512].fill(0);
                let crc = crc32fast::hash(meta);
                meta[508..512].copy_from_slice(&crc.to_le_bytes());
            }
        }
        fs::write(at("other"), &file).unwrap();
        names(refused(&at("other"), &existing()), kind, &at("other"));
    }
    // The lock file is what it is about.
    fs::copy(&path, at("locked")).unwrap();
    fs::write(at("locked-lock"), "something else").unwrap();
    names(refused(&at("locked"), &existing()), ErrorKind::LockFile, &at("locked-lock"));
    let db = open_at(&path, &existing());
    names(refused(&path, &alone()), ErrorKind::InUse, &path);
    // While another lock file is in use.
    let mut elsewhere = existing();
    elsewhere.lock_file(at("elsewhere"));
    names(refused(&path, &elsewhere), ErrorKind::LockFile, &at("elsewhere"));
    drop(db);
    let db = open_at(&path, existing().max_bytes(100 << 10));
    let mut txn = db.write().unwrap();
    // This thread has the transaction, so that another one would wait for ever.
    names(db.write().unwrap_err(), ErrorKind::WriterOnThisThread, &path);
    names(db.batch(|_| Ok(())).unwrap_err(), ErrorKind::WriterOnThisThread, &path);
    let busy = db.write_timeout(Duration::ZERO).unwrap_err();
    names(busy, ErrorKind::Busy, &path);
    let savepoint = txn.savepoint().unwrap();
    let full = txn.open_table("main").unwrap().put(b"key", &vec![0; 1 << 20]).unwrap_err();
    names(full, ErrorKind::DatabaseFull, &path);
    let broken: [(&str, Change<'_>); 6] = [
        ("put", &|txn| txn.open_table("main").err()),
        ("table", &|txn| txn.table("main").err()),
        ("tables", &|txn| txn.tables().err()),
        ("savepoint", &|txn| txn.savepoint().err()),
        ("nested", &|txn| txn.nested().err()),
        ("create_snapshot", &|txn| txn.create_snapshot("here").err()),
    ];
    for (call, change) in broken {
        let error = change(&mut txn).unwrap_or_else(|| panic!("{call} says nothing"));
        names(error, ErrorKind::TransactionBroken, &path);
    }
    names(txn.release(savepoint).unwrap_err(), ErrorKind::TransactionBroken, &path);
    names(txn.commit().unwrap_err(), ErrorKind::TransactionBroken, &path);
    assert_clean(&db);
    drop(db);
    let db = open_at(&path, existing().read_only(true));
    names(db.write().unwrap_err(), ErrorKind::ReadOnly, &path);
    names(db.try_write().unwrap_err(), ErrorKind::ReadOnly, &path);
    names(db.flush().unwrap_err(), ErrorKind::ReadOnly, &path);
    drop(db);
    let child = Process::start("child", &["full", path.to_str().unwrap()]);
    assert!(child.line().contains(path.to_str().unwrap()));
    child.finish();
    assert_clean(&open_at(&path, &existing()));
}

/// Which of several databases it was is said there too, as far as that can be said.
#[test]
fn errors_of_databases_in_memory_say_so() {
    let db = Database::builder().max_bytes(100 << 10).in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut said = vec![db.write().unwrap_err(), db.write_timeout(Duration::ZERO).unwrap_err()];
    said.push(txn.open_table("main").unwrap().put(b"key", &vec![0; 1 << 20]).unwrap_err());
    said.push(txn.commit().unwrap_err());
    use ErrorKind as Kind;
    let kinds = [Kind::WriterOnThisThread, Kind::Busy, Kind::DatabaseFull, Kind::TransactionBroken];
    assert_eq!(said.iter().map(Error::kind).collect::<Vec<_>>(), kinds);
    for error in said {
        assert_eq!(error.path(), None);
        assert!(error.to_string().starts_with("database in memory: "), "{error}");
    }
    // What was asked for is in no database.
    let asked = db.read().unwrap().table("main").map(drop).unwrap_err();
    assert_eq!(asked.to_string(), "no table \"main\"");
    assert_clean(&db);
}

/// In a process of its own, where the image of each transaction is damaged once it is built: a
/// commit that waits for the device cannot tell what has become of it.
fn commit_in_doubt(path: &Path, how: &str) {
    static LOCK_FILE: OnceLock<PathBuf> = OnceLock::new();
    LOCK_FILE.set(lock_of(path)).unwrap();
    let db = open_at(path, &existing());
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(b"in doubt", b"").unwrap();
    on_step(|step| {
        if step == "build: built moved" {
            let lock = File::options().write(true).open(LOCK_FILE.get().unwrap()).unwrap();
            let &(_, at, len) = LOCK_FILE_PARTS.iter().find(|part| part.0 == "images").unwrap();
            lock.write_all_at(&vec![7; len], at as u64).unwrap();
        }
    });
    let error = match how {
        "commit" => txn.commit().unwrap_err(),
        "report" => txn.commit_with_report().unwrap_err(),
        _ => txn.commit_async().wait().unwrap_err(),
    };
    assert_eq!((error.kind(), error.path()), (ErrorKind::OutcomeUnknown, Some(path)), "{error}");
    say(&error.to_string());
}

#[test]
fn a_commit_in_doubt_names_the_file() {
    for how in ["commit", "report", "async"] {
        let dir = memory_dir();
        let path = dir.path().canonicalize().unwrap().join("x.recto");
        put(&open_at(&path, &Builder::default()), b"key", b"value");
        let child = Process::start("child", &["in doubt", path.to_str().unwrap(), how]);
        assert!(child.line().contains(path.to_str().unwrap()), "{how}");
        child.finish();
        let db = open_at(&path, &existing());
        assert!(pairs(&db, "main").contains(&(b"key".to_vec(), b"value".to_vec())));
        assert_clean(&db);
    }
}

#[test]
fn an_error_is_no_larger_than_it_was() {
    assert!(size_of::<Error>() <= 56, "{} bytes", size_of::<Error>());
}

/// What errors say is the path without symbolic links.
trait CanonicalParent {
    fn canonicalize_parent(&self) -> std::path::PathBuf;
}

impl CanonicalParent for Path {
    fn canonicalize_parent(&self) -> std::path::PathBuf {
        self.parent().unwrap().canonicalize().unwrap().join(self.file_name().unwrap())
    }
}
