//! A lock file of which one sector is older than the rest, as a device leaves it that has been gone
//! for a moment within one boot (rule 32).

mod common;

use common::{assert_clean, memory_dir, open_at, pairs, put, write};
use recto::harness::on_step;
use recto::{Builder, Durability};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The words that processes share stand in the first sectors; images and list have checks of their
/// own (`tests/identity.rs`).
const SECTORS: usize = 5;
const SECTOR: usize = 512;

thread_local! {
    /// Where to look at each step, and what was there: the data, and the lock file.
    static WATCHED: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    static MOMENTS: RefCell<Vec<(Vec<u8>, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

fn reached(step: &'static str) {
    let steps = ["build: built moved", "publish: entry written", "publish: visible moved"];
    let due = steps.contains(&step) || step == "committed";
    let path = WATCHED.with(|watched| watched.borrow().clone().filter(|_| due));
    if let Some(path) = path {
        let files = (fs::read(&path).unwrap(), fs::read(lock_of(&path)).unwrap());
        MOMENTS.with(|moments| moments.borrow_mut().push(files));
    }
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("recto-lock")
}

/// Puts content into a file that keeps its inode.
fn put_back(path: &Path, content: &[u8]) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(content, 0).unwrap();
}

/// A `visible` that is older than what the newest transaction has used again by, or leads to an
/// older descriptor, is not believed: snapshots changed under their readers, and reading gave
/// errors until the next commit.
#[test]
fn what_is_visible_is_as_old_as_the_rest() {
    on_step(reached);
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    put(&db, b"base", b"durable");
    WATCHED.with(|watched| *watched.borrow_mut() = Some(path.clone()));
    for n in 0..7 {
        write(&db, Durability::Deferred, |txn| {
            let mut table = txn.open_table("main").unwrap();
            table.put(format!("{n}").as_bytes(), &[n; 700]).unwrap();
            table.put(b"last", &[n; 900]).unwrap();
        });
        reached("committed");
    }
    WATCHED.with(|watched| watched.borrow_mut().take());
    drop(db);
    let moments = MOMENTS.with(|moments| moments.take());
    for (new, (data, lock)) in moments.iter().enumerate() {
        for (old, (_, older)) in moments[..new].iter().enumerate() {
            for sector in 0..SECTORS {
                let piece = sector * SECTOR..(sector + 1) * SECTOR;
                if lock[piece.clone()] == older[piece.clone()] {
                    continue;
                }
                let mut lock = lock.clone();
                lock[piece.clone()].copy_from_slice(&older[piece]);
                put_back(&path, data);
                put_back(&lock_of(&path), &lock);
                let db = open_at(&path, &Builder::default());
                let held = db.read().unwrap_or_else(|e| panic!("{new} {old} {sector}: {e}"));
                let seen = |txn: &recto::ReadTxn| {
                    let table = txn.table("main").unwrap();
                    let all = table.iter().unwrap().map(|pair| pair.unwrap());
                    all.map(|(key, value)| (key.to_vec(), value.to_vec())).collect::<Vec<_>>()
                };
                let first = seen(&held);
                for n in 0..3 {
                    put(&db, format!("later {n}").as_bytes(), &[9; 800]);
                    assert_eq!(seen(&held), first, "{new} {old} {sector}");
                }
                assert_clean(&db);
                let now = pairs(&db, "main");
                // What was built and not yet visible may be there now.
                let has = |key: &[u8]| now.iter().any(|(k, _)| k == key);
                assert!(first.iter().all(|(key, _)| has(key)) && has(b"later 2"));
            }
        }
    }
}
