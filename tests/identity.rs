//! Which file a lock file belongs to, and how much of it is believed: lock files of another life of
//! the file, at two paths, older than they should be, or written back in part. A file is put back
//! as it was by writing into it, within one boot, as a device does that has been gone for a moment.

mod common;

use common::{assert_clean, memory_dir, open_at, pairs, put, write};
use recto::harness::{LOCK_FILE_PARTS, build, on_step};
use recto::inspect::SlotState;
use recto::inspect::salvage::{SalvageOptions, salvage};
use recto::{Builder, Database, Durability};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

/// At this step of this thread.
type AtStep = (&'static str, Box<dyn FnOnce()>);

thread_local!(static WATCHED: RefCell<Option<AtStep>> = const { RefCell::new(None) });

fn reached(step: &'static str) {
    let due = WATCHED.with(|watched| {
        let mut watched = watched.borrow_mut();
        if watched.as_ref().is_some_and(|(at, _)| *at == step) { watched.take() } else { None }
    });
    if let Some((_, act)) = due {
        act();
    }
}

/// Does something when this thread reaches a step of the protocol for the first time.
fn when(step: &'static str, act: impl FnOnce() + 'static) {
    on_step(reached);
    WATCHED.with(|watched| *watched.borrow_mut() = Some((step, Box::new(act))));
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("recto-lock")
}

/// Puts content into a file that keeps its inode; it becomes no shorter.
fn put_back(path: &Path, content: &[u8]) {
    let file = fs::File::options().write(true).open(path).unwrap();
    if file.metadata().unwrap().len() < content.len() as u64 {
        file.set_len(content.len() as u64).unwrap();
    }
    file.write_all_at(content, 0).unwrap();
}

fn with_lock(lock: &Path) -> Builder {
    let mut builder = Builder::default();
    builder.lock_file(lock);
    builder
}

fn has(db: &Database, key: &str) -> bool {
    pairs(db, "main").iter().any(|(k, _)| k == key.as_bytes())
}

fn defer(db: &Database, key: &str) -> u64 {
    write(db, Durability::Deferred, |txn| {
        txn.open_table("main").unwrap().put(key.as_bytes(), &[7; 900]).unwrap();
    });
    db.read().unwrap().id()
}

/// Finding 2 (a): a service is killed in a flush; somebody else opens the database with another
/// lock file and commits; the service comes back.
#[test]
fn what_another_lock_file_has_seen_is_not_rolled_back() {
    let dir = memory_dir();
    let (path, service) = (dir.path().join("x.recto"), dir.path().join("service-lock"));
    let db = open_at(&path, &with_lock(&service));
    put(&db, b"a", b"1");
    put(&db, b"b", b"2");
    let (data, lock) = (path.clone(), service.clone());
    let killed = dir.path().join("killed");
    let killed_lock = dir.path().join("killed-lock");
    let (to, to_lock) = (killed.clone(), killed_lock.clone());
    when("flush: target marked", move || {
        fs::copy(&data, to).unwrap();
        fs::copy(&lock, to_lock).unwrap();
    });
    put(&db, b"c", b"3");
    drop(db);
    put_back(&path, &fs::read(&killed).unwrap());
    put_back(&service, &fs::read(&killed_lock).unwrap());

    let other = open_at(&path, &Builder::default());
    put(&other, b"x", b"acknowledged");
    drop(other);
    for _ in 0..2 {
        let db = open_at(&path, &with_lock(&service));
        assert!(has(&db, "x"), "acknowledged, and erased");
        put(&db, b"d", b"4");
        assert!(has(&db, "x") && has(&db, "b"));
        assert_clean(&db);
    }
}

/// Finding 2 (b): the numbers are the same, the content is not.
#[test]
fn a_copy_that_went_another_way_is_not_taken_for_the_file_it_replaces() {
    let dir = memory_dir();
    let (path, copy) = (dir.path().join("x.recto"), dir.path().join("copy.recto"));
    let db = open_at(&path, &Builder::default());
    put(&db, b"base", b"");
    drop(db);
    fs::copy(&path, &copy).unwrap();
    for (at, name) in [(&path, "mine"), (&copy, "theirs")] {
        let db = open_at(at, &Builder::default());
        for n in 0..40 {
            put(
                &db,
                format!("{name} {n}").as_bytes(),
                &vec![1; n * if at == &path { 90 } else { 7 }],
            );
        }
    }
    let replaced = fs::read(&copy).unwrap();
    fs::write(&path, &replaced).unwrap();
    for n in 0..3 {
        let db = open_at(&path, &Builder::default());
        assert!(has(&db, "theirs 39") && !has(&db, "mine 39"));
        put(&db, format!("later {n}").as_bytes(), &[3; 500]);
        assert_clean(&db);
    }
}

/// Finding 8: the words and images are new, one page of the list is not. Nothing in it is no proof
/// that nothing was written.
#[test]
fn a_list_of_which_a_page_is_old_proves_nothing() {
    let list = LOCK_FILE_PARTS.iter().find(|(name, ..)| *name == "list of pages").unwrap().1;
    let page = list / 4096 * 4096;
    for laps in [0, 1] {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let db = open_at(&path, &Builder::default());
        put(&db, b"base", b"durable");
        if laps == 1 {
            // So that records of an earlier flush stand where new ones are to come.
            (0..20).for_each(|n| _ = defer(&db, &format!("before {n}")));
            db.flush().unwrap();
        }
        let (data, old_lock) = (fs::read(&path).unwrap(), fs::read(lock_of(&path)).unwrap());
        (0..10).for_each(|n| _ = defer(&db, &format!("deferred {n}")));
        let mut lock = fs::read(lock_of(&path)).unwrap();
        lock[page..page + 4096].copy_from_slice(&old_lock[page..page + 4096]);
        drop(db);
        put_back(&path, &data);
        put_back(&lock_of(&path), &lock);

        let db = open_at(&path, &Builder::default());
        assert!(has(&db, "base") && !has(&db, "deferred 9"));
        assert_clean(&db);
        put(&db, b"more", b"");
        assert!(has(&db, "base") && has(&db, "more"));
        assert_clean(&db);
    }
}

/// The image of the newest transaction is old although its word is new: it is not taken for it.
#[test]
fn an_image_of_which_a_part_is_old_is_not_believed() {
    let images = LOCK_FILE_PARTS.iter().find(|(name, ..)| *name == "images").unwrap();
    let (from, len) = (images.1, images.2);
    for piece in (from / 512 * 512..from + len).step_by(512) {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let db = open_at(&path, &Builder::default());
        put(&db, b"base", b"durable");
        (0..3).for_each(|n| _ = defer(&db, &format!("one {n}")));
        let old_lock = fs::read(lock_of(&path)).unwrap();
        (0..2).for_each(|n| _ = defer(&db, &format!("two {n}")));
        let data = fs::read(&path).unwrap();
        let mut lock = fs::read(lock_of(&path)).unwrap();
        lock[piece..piece + 512].copy_from_slice(&old_lock[piece..piece + 512]);
        drop(db);
        put_back(&path, &data);
        put_back(&lock_of(&path), &lock);
        let db = open_at(&path, &Builder::default());
        assert!(has(&db, "base"));
        put(&db, b"more", b"");
        assert!(has(&db, "base") && has(&db, "more"));
        assert_clean(&db);
    }
}

/// A lock file that is older than the flush of `second`: for it that is the target, and what was
/// built on top, of which nothing is left. Gives the files' content.
fn acknowledged_since(path: &Path, on_top: Durability) -> (Vec<u8>, Vec<u8>) {
    let db = open_at(path, &Builder::default());
    put(&db, b"first", b"1");
    let (other, at) = (db.clone(), path.to_owned());
    let before = path.with_extension("before");
    let lock = path.with_extension("lock");
    let (to, to_lock) = (before.clone(), lock.clone());
    when("flush: meta stored", move || {
        let second = fs::read(&at).unwrap();
        let mut txn = other.write().unwrap();
        txn.open_table("main").unwrap().put(b"third", &[3; 900]).unwrap();
        build(txn, on_top).unwrap();
        fs::copy(lock_of(&at), to_lock).unwrap();
        let content = if on_top == Durability::Deferred { fs::read(&at).unwrap() } else { second };
        fs::write(to, content).unwrap();
    });
    put(&db, b"second", b"2");
    drop(db);
    (fs::read(before).unwrap(), fs::read(lock).unwrap())
}

/// Finding 18: roll-back put the meta of `first` into both slots.
#[test]
fn what_was_flushed_since_an_older_lock_file_is_not_rolled_back() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let (data, lock) = acknowledged_since(&path, Durability::Durable);
    put_back(&path, &data);
    put_back(&lock_of(&path), &lock);
    for key in ["more", "and more"] {
        let db = open_at(&path, &Builder::default());
        assert!(has(&db, "second"), "acknowledged, and not shown");
        put(&db, key.as_bytes(), b"");
        assert!(has(&db, "first") && has(&db, "second") && has(&db, key));
        assert_clean(&db);
    }
}

/// The same with a deferred commit on top that is there and was shown: it stays, and a power cut in
/// the flush that saves it does not take what it stands on.
#[test]
fn the_target_of_a_flush_is_made_durable_before_anything_newer() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let (data, lock) = acknowledged_since(&path, Durability::Deferred);
    put_back(&path, &data);
    put_back(&lock_of(&path), &lock);
    let db = open_at(&path, &Builder::default());
    assert!(has(&db, "second") && has(&db, "third"));
    let (at, cut) = (path.clone(), dir.path().join("cut.recto"));
    let to = cut.clone();
    when("flush: meta stored", move || _ = fs::copy(at, to).unwrap());
    put(&db, b"fourth", b"4");
    assert_clean(&db);
    // The meta of that flush is torn.
    let mut torn = fs::read(&cut).unwrap();
    let txn = |slot: usize| u64::from_le_bytes(torn[slot * 4096 + 32..][..8].try_into().unwrap());
    let newest = usize::from(txn(1) > txn(0));
    torn[newest * 4096 + 100] ^= 1;
    fs::write(&cut, &torn).unwrap();
    let db = open_at(&cut, &Builder::default());
    assert!(has(&db, "second"), "acknowledged, and torn with what was written over it");
    put(&db, b"more", b"");
    assert_clean(&db);
}

/// Ids that a reader has seen are not used again, although nothing else is left of them.
#[test]
fn an_id_that_was_shown_is_not_used_again() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    put(&db, b"base", b"");
    let lock = fs::read(lock_of(&path)).unwrap();
    defer(&db, "reserves");
    let data = fs::read(&path).unwrap();
    let shown = (0..5).map(|n| defer(&db, &format!("deferred {n}"))).max().unwrap();
    assert!(db.info().unwrap().durable < shown, "shown before it is durable");
    drop(db);
    for keep in [false, true] {
        put_back(&path, &data);
        match keep {
            true => put_back(&lock_of(&path), &lock),
            false => fs::remove_file(lock_of(&path)).unwrap(),
        }
        let db = open_at(&path, &Builder::default());
        assert!(has(&db, "base") && !has(&db, "deferred 4"));
        assert!(defer(&db, "again") > shown, "lock file {keep}");
        assert_clean(&db);
    }
}

/// A deferred commit is not shown under an id that no durable meta reserves; durable ones reserve
/// none.
#[test]
fn ids_are_reserved_when_they_are_needed() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut builder = Builder::default();
    builder.ids_ahead(3);
    let db = open_at(&path, &builder);
    put(&db, b"base", b"");
    let mut flushes = Vec::new();
    for n in 0..12 {
        let before = db.info().unwrap().flushes;
        defer(&db, &format!("{n}"));
        flushes.push(db.info().unwrap().flushes - before);
    }
    // The first session began with three in reserve, one was taken by the durable commit.
    assert_eq!(flushes, [0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]);
    assert_clean(&db);
}

/// Finding 14: opening reads a bounded number of bytes, also where a commit had few but long
/// values.
#[test]
fn a_manifest_does_not_name_long_values() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    let commit = |mib: usize| {
        write(&db, Durability::Durable, |txn| {
            let mut table = txn.open_table("main").unwrap();
            for n in 0..4u8 {
                table.put(&[n], &vec![n; mib << 20]).unwrap();
            }
        });
    };
    commit(6);
    let cut = dir.path().join("cut.recto");
    fs::copy(&path, &cut).unwrap();
    let again = open_at(&cut, &Builder::default());
    let read = again.info().unwrap().opening_pages_read;
    assert!(read < 1_100, "{read} pages");
    put(&again, b"k", b"v");
    assert_clean(&again);
    drop(db);
    assert_clean(&open_at(&path, &Builder::default()));
}

/// What opening may have to read of deferred commits is bounded too: one that is too large, or one
/// too many, is durable before it is shown.
#[test]
fn deferred_commits_that_are_not_durable_are_bounded_in_bytes() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut builder = Builder::default();
    builder.unproved_limit(1 << 20);
    let db = open_at(&path, &builder);
    put(&db, b"base", b"");
    let deferred = |len: usize| {
        write(&db, Durability::Deferred, |txn| {
            txn.open_table("main").unwrap().put(b"v", &vec![1; len]).unwrap();
        });
        let info = db.info().unwrap();
        info.durable == info.visible
    };
    assert!(deferred(2 << 20), "a large one");
    let durable = (0..40).filter(|_| deferred(100 << 10)).count();
    assert!((3..=6).contains(&durable), "{durable} of many");
    assert_clean(&db);
}

fn refused_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-refused", path.display()))
}

/// The commit's pages stand in the file beside the database, in their places, the rotten one too.
/// Once that is mended all pairs come out.
fn what_was_refused_is_kept(path: &Path, before: &[u8], rotten: usize) {
    let mut kept = fs::read(refused_of(path)).unwrap();
    assert_eq!(kept.len(), before.len());
    let page = rotten * 4096..(rotten + 1) * 4096;
    assert_eq!(kept[page.clone()], before[page.clone()]);
    let value = b"a value that can be found";
    let at = kept[page.clone()].windows(25).position(|w| w[1..] == value[1..]).unwrap();
    kept[page.start + at] = value[0];
    let mut found = false;
    let options = SalvageOptions::default();
    salvage(&kept, options, &mut |pair| {
        found |= (pair.key, pair.value) == (&b"k"[..], &value[..]);
        Ok(())
    })
    .unwrap();
    assert!(found);
}

/// Finding 11: rot looks like a torn commit, unless a lock file says that the commit was whole.
#[test]
fn a_commit_that_was_synced_is_not_refused_for_a_page_that_rots() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    put(&db, b"before", b"");
    write(&db, Durability::Durable, |txn| {
        txn.open_table("rots").unwrap().put(b"k", b"a value that can be found").unwrap();
    });
    let newest = db.info().unwrap().durable;
    // As a death leaves them: a close would leave no manifest that could be doubted.
    let lock = fs::read(lock_of(&path)).unwrap();
    let mut data = fs::read(&path).unwrap();
    drop(db);
    let at = data.windows(25).position(|w| w == b"a value that can be found").unwrap();
    data[at] ^= 1;

    // This boot, another boot, no lock file, and another boot in which the first opening dies.
    for how in 0..4u8 {
        put_back(&path, &data);
        let mut lock = lock.clone();
        lock[24] ^= how % 2;
        put_back(&lock_of(&path), &lock);
        if how == 2 {
            fs::remove_file(lock_of(&path)).unwrap();
        }
        if how == 3 {
            when("attach: identity written", || panic!("dies here"));
            let open = || open_at(&path, &Builder::default());
            assert!(std::panic::catch_unwind(AssertUnwindSafe(open)).is_err());
        }
        let db = open_at(&path, &Builder::default());
        let info = db.info().unwrap();
        if how == 2 {
            assert!(info.visible < newest);
            let refused = info.refused.expect("told");
            assert_eq!((refused.txn, refused.page), (newest, Some(at as u64 / 4096)));
            assert!(!refused_of(&path).exists(), "reading keeps nothing");
            put(&db, b"after", b"");
            assert_clean(&db);
            what_was_refused_is_kept(&path, &data, at / 4096);
            continue;
        }
        assert_eq!((info.visible, info.refused), (newest, None), "{how}");
        put(&db, b"after", b"");
        put(&db, b"and again", b"");
        assert_eq!(pairs(&db, "rots").len(), 1);
        let report = db.check(None).unwrap();
        let rotten = Some(at as u64 / 4096);
        assert!(report.faults.iter().all(|f| f.page.map(|p| p.0) == rotten), "{:?}", report.faults);
        assert!(report.fault_count > 0);
    }
}

/// A damaged word never gets into a meta: ids would be used up for ever. Found by `crash kill
/// --seed 5`.
#[test]
fn a_damaged_lock_file_uses_up_no_ids() {
    let words = LOCK_FILE_PARTS.iter().find(|(name, ..)| *name == "commit words").unwrap();
    let (from, len) = (words.1, words.2);
    for at in (from..from + len).step_by(128) {
        for also_opening in [false, true] {
            let dir = memory_dir();
            let path = dir.path().join("x.recto");
            let db = open_at(&path, &Builder::default());
            put(&db, b"base", b"");
            drop(db);
            let mut lock = fs::read(lock_of(&path)).unwrap();
            lock[at..at + 8].copy_from_slice(&0xcb6f_e5ca_df5c_deb9u64.to_le_bytes());
            // The mark `opening`: the words are dropped.
            lock[80] = also_opening.into();
            put_back(&lock_of(&path), &lock);
            for key in ["one", "two"] {
                let db = open_at(&path, &Builder::default());
                put(&db, key.as_bytes(), b"");
                assert!(has(&db, "base") && db.info().unwrap().visible < 1 << 20, "byte {at}");
                assert_clean(&db);
            }
        }
    }
}

/// A process dies when it has listed its pages and not built its transaction: the next one stands
/// in the same places of the list. If the page of the list is older than the rest, its records are
/// whole, but another's.
#[test]
fn records_of_a_transaction_that_was_never_built_prove_no_other() {
    let list = LOCK_FILE_PARTS.iter().find(|(name, ..)| *name == "list of pages").unwrap().1;
    let page = list / 4096 * 4096;
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    put(&db, b"base", b"durable");
    defer(&db, "reserves");
    db.flush().unwrap();
    let (at, data, lock) = (path.clone(), dir.path().join("data"), dir.path().join("lock"));
    let (to, to_lock) = (data.clone(), lock.clone());
    when("build: image stored", move || {
        fs::copy(&at, to).unwrap();
        fs::copy(lock_of(&at), to_lock).unwrap();
        // As good as a death: nothing behind it is done.
        std::panic::panic_any(());
    });
    std::panic::catch_unwind(AssertUnwindSafe(|| defer(&db, "never built"))).unwrap_err();
    let (dead, dead_lock) = (fs::read(data).unwrap(), fs::read(lock).unwrap());

    assert!(!has(&db, "never built"));
    defer(&db, "deferred 01");
    assert!(has(&db, "deferred 01"));
    let mut lock = fs::read(lock_of(&path)).unwrap();
    lock[page..page + 4096].copy_from_slice(&dead_lock[page..page + 4096]);
    drop(db);
    put_back(&path, &dead);
    put_back(&lock_of(&path), &lock);

    let db = open_at(&path, &Builder::default());
    assert!(has(&db, "base") && !has(&db, "never built"));
    assert_clean(&db);
    put(&db, b"more", b"");
    assert!(has(&db, "base") && has(&db, "more") && !has(&db, "never built"));
    assert_clean(&db);
}

/// What is kept of one refused commit does not keep the next from being kept.
#[test]
fn every_refused_commit_is_kept_up_to_four() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    drop(open_at(&path, &Builder::default()));
    let kept = |n: usize| match n {
        1 => refused_of(&path),
        n => PathBuf::from(format!("{}.{n}", refused_of(&path).display())),
    };
    for n in 1..=5 {
        let db = open_at(&path, &Builder::default());
        let value = format!("the value of round {n}").into_bytes();
        put(&db, b"before", b"");
        write(&db, Durability::Durable, |txn| {
            txn.open_table("rots").unwrap().put(b"k", &value).unwrap();
        });
        // As a death leaves it.
        let mut data = fs::read(&path).unwrap();
        drop(db);
        let at = data.windows(value.len()).position(|w| w == value).unwrap();
        data[at] ^= 1;
        put_back(&path, &data);
        fs::remove_file(lock_of(&path)).unwrap();
        let db = open_at(&path, &Builder::default());
        assert!(db.info().unwrap().refused.is_some(), "{n}");
        put(&db, b"after", b"");
        assert_clean(&db);
        if n > 4 {
            assert!(!kept(n).exists());
            continue;
        }
        let bytes = fs::read(kept(n)).unwrap();
        assert!(bytes.windows(value.len() - 1).any(|w| w == &value[1..]), "{n}");
        assert!(!kept(n + 1).exists(), "{n}");
    }
}

/// Whoever finishes an opening may die behind the erasing; the next one keeps nothing more.
#[test]
fn a_refused_commit_is_kept_once() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    put(&db, b"before", b"");
    put(&db, b"rots", b"a value that can be found");
    // As a death leaves it.
    let mut data = fs::read(&path).unwrap();
    drop(db);
    let at = data.windows(25).position(|w| w == b"a value that can be found").unwrap();
    data[at] ^= 1;
    put_back(&path, &data);
    fs::remove_file(lock_of(&path)).unwrap();
    let other = open_at(&path, &Builder::default());
    for _ in 0..3 {
        let db = open_at(&path, &Builder::default());
        when("repair: other slot synced", || panic!("dies here"));
        let put = || put(&db, b"after", b"");
        assert!(std::panic::catch_unwind(AssertUnwindSafe(put)).is_err());
        assert!(refused_of(&path).exists());
    }
    put(&other, b"after", b"");
    assert!(!Path::new(&format!("{}.2", refused_of(&path).display())).exists());
    assert_clean(&other);
}

/// A handle that lives for one deferred commit takes few ids.
#[test]
fn short_lives_reserve_few_ids() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let life = |n: u32| defer(&open_at(&path, &Builder::default()), &format!("{n}"));
    let ids: Vec<u64> = (0..6).map(life).collect();
    assert!(ids.is_sorted_by(|a, b| a < b && b - a <= 1_100), "{ids:?}");
    assert_clean(&open_at(&path, &Builder::default()));
}

/// Finding 11: until somebody writes, the full check of the open database says what was refused.
#[test]
fn a_refused_meta_is_told_by_the_check() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    put(&db, b"one", b"1");
    put(&db, b"two", b"2");
    // As a death leaves it.
    let mut file = fs::read(&path).unwrap();
    drop(db);
    fs::remove_file(lock_of(&path)).unwrap();
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let newest = usize::from(word(4096 + 32) > word(32));
    let root = word(newest * 4096 + 48) as usize;
    file[root * 4096 + 4000] ^= 1;
    fs::write(&path, &file).unwrap();
    let db = open_at(&path, &Builder::default());
    assert!(has(&db, "one") && !has(&db, "two"));
    let slots = db.check(None).unwrap().slots;
    assert!(matches!(slots[newest], SlotState::Refused(_)), "{slots:?}");
    put(&db, b"more", b"");
    assert!(!matches!(db.check(None).unwrap().slots[newest], SlotState::Refused(_)));
    assert_clean(&db);
}
