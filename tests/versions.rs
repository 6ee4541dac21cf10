//! Files of versions to come: what a writer of format version 3 may have left, made by hand by the
//! rules of docs/format.md. What may not be read is refused and left as it is, byte for byte.

mod common;

use common::{assert_clean, memory_dir, open_at, pairs, put, write};
use recto::harness::{LOCK_FILE_PARTS, LOCK_FILE_SESSION, mend_image};
use recto::{Builder, Database, Durability, Error};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

const VERSION: usize = 8;
const FEATURES: usize = 296;
const WRITE_FEATURES: usize = 300;
const READ_FEATURES: usize = 304;

/// Slot of the newest meta of a file.
fn newest(file: &[u8]) -> usize {
    let txn = |slot: usize| u64::from_le_bytes(file[slot * 4096 + 32..][..8].try_into().unwrap());
    usize::from(txn(1) > txn(0))
}

/// Changes a field of a slot; with `sealed` the crc is made good again.
fn patch(file: &mut [u8], slot: usize, field: usize, value: u32, sealed: bool) {
    let meta = &mut file[slot * 4096..][..4096];
    meta[field..field + 4].copy_from_slice(&value.to_le_bytes());
    if sealed {
        meta[508..512].fill(0);
        let crc = crc32fast::hash(meta);
        meta[508..512].copy_from_slice(&crc.to_le_bytes());
    }
}

/// A database of two commits without its lock file, as a death leaves it: a close would put the
/// newer one into both slots.
fn two_commits(path: &Path) -> Vec<u8> {
    let db = open_at(path, &Builder::default());
    put(&db, b"a", b"1");
    put(&db, b"b", b"2");
    let file = fs::read(path).unwrap();
    drop(db);
    forget_session(path);
    fs::write(path, &file).unwrap();
    file
}

fn forget_session(path: &Path) {
    fs::remove_file(path.with_extension("recto-lock")).unwrap();
}

fn open(path: &Path) -> recto::Result<Database> {
    // SAFETY: the directory belongs to the test.
    unsafe { Database::open(path) }
}

/// As a newer build leaves the image of its commit in the lock file: with a feature, in this field,
/// that this build does not know.
fn newer_image(path: &Path, field: usize) {
    let lock = File::options().read(true).write(true).open(common::lock_of(path)).unwrap();
    let &(_, at, len) = LOCK_FILE_PARTS.iter().find(|(name, ..)| *name == "images").unwrap();
    let mut session = [0; 8];
    lock.read_exact_at(&mut session, LOCK_FILE_SESSION as u64).unwrap();
    for side in 0..2 {
        let at = (at + side * len / 2) as u64;
        let mut bytes = vec![0; len / 2];
        lock.read_exact_at(&mut bytes, at).unwrap();
        bytes[field + 3] ^= 0x80;
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut words: Vec<u64> = words.collect();
        mend_image(&mut words, u64::from_le_bytes(session));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        lock.write_all_at(&bytes, at).unwrap();
    }
}

/// It came after the handle was opened, and has made a commit that is not durable yet.
#[test]
fn a_newer_build_beside_an_open_handle_is_not_written_over() {
    let dir = memory_dir();
    for (field, to_write) in [(WRITE_FEATURES, true), (READ_FEATURES, false)] {
        let path = dir.path().join(format!("{field}.recto"));
        let db = open_at(&path, &Builder::default());
        put(&db, b"a", b"1");
        write(&db, Durability::Deferred, |txn| {
            txn.open_table("main").unwrap().put(b"b", b"2").unwrap();
        });
        newer_image(&path, field);
        let before = fs::read(&path).unwrap();
        let told = |e: Error| matches!(e, Error::Features { to_write: w, .. } if w == to_write);
        assert!(db.write().is_err_and(told));
        assert!(db.flush().is_err_and(told));
        let late = open_at(&path, &Builder::default());
        assert!(late.write().is_err_and(told));
        assert!(late.flush().is_ok() || late.flush().is_err_and(told));
        drop(late);
        assert!(db.close().is_err_and(told));
        assert_eq!(fs::read(&path).unwrap(), before, "{field}");
        // Alone with what it left, which is more than the slots have.
        match open(&path) {
            Ok(db) => assert!(to_write && db.write().is_err_and(told)),
            Err(e) => assert!(!to_write && told(e)),
        }
        assert_eq!(fs::read(&path).unwrap(), before, "{field}");
        // The newer build goes on.
        newer_image(&path, field);
        let db = open_at(&path, &Builder::default());
        assert_eq!(pairs(&db, "main").len(), 2);
        assert_clean(&db);
    }
}

/// An older build that took the older slot would write over the newer one.
#[test]
fn a_newer_version_in_either_slot_refuses_the_file() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let good = two_commits(&path);
    let newest = newest(&good);
    for slot in [newest, 1 - newest] {
        for (field, value) in [(VERSION, 3), (VERSION, 0), (READ_FEATURES, 1 << 31)] {
            let mut file = good.clone();
            patch(&mut file, slot, field, value, true);
            fs::write(&path, &file).unwrap();
            match open(&path) {
                Err(Error::Version { found, supported: 2, .. }) => assert_eq!(found, value),
                Err(Error::Features { unknown, to_write: false, .. }) => assert_eq!(unknown, value),
                other => panic!("slot {slot}, byte {field}: {other:?}"),
            }
            assert!(recto::check_file(&path, None).is_err());
            assert_eq!(fs::read(&path).unwrap(), file, "nothing is written");
        }
    }
}

/// `check` and `open` agree: a bit that rots in these fields is damage, and the other slot is
/// taken.
#[test]
fn a_flipped_bit_is_no_newer_version() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let good = two_commits(&path);
    let newest = newest(&good);
    for slot in [newest, 1 - newest] {
        for field in [VERSION, FEATURES, WRITE_FEATURES, READ_FEATURES] {
            let mut file = good.clone();
            patch(&mut file, slot, field, 0x102, false);
            fs::write(&path, &file).unwrap();
            let report = recto::check_file(&path, None).unwrap();
            let db = open(&path).unwrap();
            assert_eq!(db.info().unwrap().visible, report.meta.txn.0);
            put(&db, b"c", b"3");
            assert_eq!(pairs(&db, "main").len(), if slot == newest { 2 } else { 3 });
            assert_clean(&db);
            drop(db);
            forget_session(&path);
        }
    }
}

#[test]
fn what_must_be_known_to_write_is_only_read() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let good = two_commits(&path);
    for slot in [0, 1] {
        let mut file = good.clone();
        patch(&mut file, slot, WRITE_FEATURES, 4, true);
        fs::write(&path, &file).unwrap();
        let db = open(&path).unwrap();
        assert_eq!(pairs(&db, "main").len(), 2);
        for refused in [db.write().err(), db.flush().err()] {
            assert!(matches!(refused, Some(Error::Features { unknown: 4, to_write: true, .. })));
        }
        assert_clean(&db);
        drop(db);
        // Again with what this session left in the lock file.
        assert!(open(&path).unwrap().write().is_err());
        assert_eq!(fs::read(&path).unwrap(), file, "nothing is written");
        forget_session(&path);
    }
}

/// Whoever knows the feature sees by its bit that somebody who does not has written.
#[test]
fn what_may_be_ignored_is_forgotten_by_a_write() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut file = two_commits(&path);
    let slot = newest(&file);
    patch(&mut file, slot, 460, 77, true);
    patch(&mut file, slot, FEATURES, 1, true);
    fs::write(&path, &file).unwrap();
    let db = open(&path).unwrap();
    assert_clean(&db);
    put(&db, b"c", b"3");
    put(&db, b"d", b"4");
    assert_eq!(pairs(&db, "main").len(), 4);
    assert_clean(&db);
    drop(db);
    let file = fs::read(&path).unwrap();
    for meta in [0, 4096] {
        assert!(file[meta + FEATURES..][..16].iter().all(|&b| b == 0));
        assert!(file[meta + 456..][..52].iter().all(|&b| b == 0));
    }
}
