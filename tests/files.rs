//! Files that are not what they should be: other files, truncated ones, copies, links, limits.
//! Whatever is found, opening gives the right data or an error that says why.

mod common;

use common::{
    Process, assert_clean, assert_sample, existing, hear, lock_of, memory_dir, open_at, pairs, put,
    refused, role, sample, say, write,
};
use recto::{Builder, Database, Durability, Error};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The child side.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let path = Path::new(&role[1]);
    match role[0].as_str() {
        "create" => {
            say("ready");
            hear();
            let db = open_at(path, &Builder::default());
            put(&db, role[2].as_bytes(), b"was here");
            let uuid = db.info().unwrap().uuid;
            say(&format!("{uuid:x?}"));
            hear();
        }
        "file_limit" => file_limit(path),
        other => panic!("no role {other}"),
    }
}

#[test]
fn created_by_many_at_once_it_is_one_database() {
    for round in 0..5 {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let processes = if round == 0 { 4 } else { 0 };
        let mut children: Vec<Process> = (0..processes)
            .map(|i| {
                let name = format!("process {i}");
                Process::start("child", &["create", path.to_str().unwrap(), &name])
            })
            .collect();
        children.iter().for_each(|c| c.expect("ready"));
        children.iter_mut().for_each(|c| c.tell("go"));
        let barrier = std::sync::Barrier::new(8);
        let handles: Vec<Database> = std::thread::scope(|s| {
            let open = |i: u32| {
                let (barrier, path) = (&barrier, &path);
                move || {
                    barrier.wait();
                    let db = open_at(path, &Builder::default());
                    put(&db, format!("thread {i}").as_bytes(), b"was here");
                    db
                }
            };
            let threads: Vec<_> = (0..8).map(|i| s.spawn(open(i))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let uuid = handles[0].info().unwrap().uuid;
        assert!(handles.iter().all(|h| h.info().unwrap().uuid == uuid));
        for c in &mut children {
            assert_eq!(c.line(), format!("{uuid:x?}"));
        }
        assert_eq!(pairs(&handles[0], "main").len(), 8 + processes);
        assert_clean(&handles[0]);
        children.into_iter().for_each(Process::finish);
        // Nothing is left of those who came second.
        drop(handles);
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["x.recto", "x.recto-lock"]);
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let dir = memory_dir();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    let fifo = std::ffi::CString::new(at("fifo").to_str().unwrap()).unwrap();
    // SAFETY: a string that lives through the call.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("short"), b"recto").unwrap();
    fs::write(at("zeros"), vec![0; 100_000]).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    fs::write(at("random"), (0..100_000).map(|_| rng.u8(..)).collect::<Vec<_>>()).unwrap();
    let names = ["directory", "fifo", "short", "zeros", "random"];
    let e = refused(&at("empty"), &existing());
    assert!(e.to_string().contains("it is empty"), "{e}");
    let e = refused(&at("empty"), Builder::default().read_only(true));
    assert!(matches!(e, Error::NotADatabase { .. }), "{e}");
    for name in names {
        for builder in [Builder::default(), existing()] {
            let e = refused(&at(name), &builder);
            assert!(matches!(e, Error::NotADatabase { .. }), "{name}: {e}");
            let e = refused(&at(name), builder.clone().read_only(true));
            assert!(matches!(e, Error::NotADatabase { .. }), "{name}, to read: {e}");
        }
    }
    let e = refused(&at("missing"), &existing());
    assert!(matches!(&e, Error::Io { .. }), "{e}");
    assert!(e.to_string().contains("missing"), "{e}");
    let e = refused(&at("no such directory").join("x"), &Builder::default());
    assert!(e.to_string().contains("no such directory"), "{e}");
    // People give one store the file of another, or the file beside theirs.
    drop(open_at(&at("real"), &Builder::default()));
    let lmdb =
        |header: usize| [&vec![0; header][..], &0xbeef_c0de_u32.to_le_bytes(), &[1; 40]].concat();
    for (name, content, said) in [
        ("sqlite", b"SQLite format 3\0\x10\0".to_vec(), "an SQLite database"),
        ("lmdb", lmdb(16), "an LMDB database; `mdb_dump`"),
        ("lmdb 1", lmdb(24), "an LMDB database; `mdb_dump`"),
        ("redb", b"redb\x1a\x0a\xa9\x0d\x0a more".to_vec(), "a redb database"),
        ("a lock", fs::read(at("real-lock")).unwrap(), "the lock file of a recto database"),
    ] {
        fs::write(at(name), &content).unwrap();
        let e = refused(&at(name), &Builder::default());
        assert!(e.to_string().contains(said), "{name}: {e}");
        assert_eq!(fs::read(at(name)).unwrap(), content);
        assert!(!at(&format!("{name}-lock")).exists());
    }
    // The file that was there is still what it was.
    assert_eq!(fs::read(at("short")).unwrap(), b"recto");
    assert_eq!(fs::read(at("empty")).unwrap(), b"");
}

/// As programs have one that let `tempfile` choose the name.
#[test]
fn an_empty_file_becomes_a_database() {
    let dir = memory_dir();
    for round in 0..40 {
        let path = dir.path().join(format!("{round}"));
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join(format!("link-{round}"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        // Many at once find it empty, and it is one database.
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = |n: u64| {
                open_at(if n.is_multiple_of(2) { &path } else { &link }, &Builder::default())
            };
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || open(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (n, db) in opened.iter().enumerate() {
            let mut txn = db.write().unwrap();
            txn.set_durability(Durability::Deferred);
            txn.open_table("main").unwrap().put(&[n as u8], b"").unwrap();
            txn.commit().unwrap();
        }
        for db in &opened {
            assert_eq!(db.read().unwrap().table("main").unwrap().len(), 4);
        }
        assert_clean(&opened[0]);
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        drop(opened);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("-new-")), "{names:?}");
    }
}

/// Whoever may read an empty file can lock it, and may be gone for ever.
#[test]
fn an_empty_file_that_is_locked_is_not_waited_for_without_end() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    fs::write(&path, b"").unwrap();
    let locked = fs::File::open(&path).unwrap();
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_RDLCK as libc::c_short;
    // SAFETY: an open descriptor, and a struct that lives across the call.
    let done = unsafe { libc::fcntl(locked.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
    assert_eq!(done, 0);
    let mut builder = Builder::default();
    builder.open_timeout(Duration::from_millis(50));
    // SAFETY: the directory belongs to the test.
    let refused = unsafe { builder.open(&path) };
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), b"");
    drop(locked);
    assert_clean(&open_at(&path, &builder));
}

#[test]
fn new_files_have_the_mode_that_is_asked_for() {
    let dir = memory_dir();
    // SAFETY: no other test of this file looks at the umask; it is put back.
    let before = unsafe { libc::umask(0o007) };
    for (n, (mode, has)) in
        [(0o600, 0o600), (0o644, 0o640), (0o666, 0o660), (0, 0o600), (0o777, 0o660)]
            .into_iter()
            .enumerate()
    {
        let path = dir.path().join(format!("{n}"));
        let db = open_at(&path, Builder::default().mode(mode));
        for path in [path.clone(), dir.path().join(format!("{n}-lock"))] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, has, "{path:?}");
        }
        assert_clean(&db);
    }
    // SAFETY: as above.
    unsafe { libc::umask(before) };
}

#[test]
fn a_truncated_database_is_refused_or_older() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 2_000);
    let whole = fs::read(&path).unwrap();
    for len in [1, 4095, 4096, 8191, 8192, 12_000, 100_000, whole.len() / 2] {
        for keep_lock in [true, false] {
            let path = dir.path().join(format!("{len}-{keep_lock}.recto"));
            fs::write(&path, &whole[..len]).unwrap();
            if keep_lock {
                fs::copy(dir.path().join("x.recto-lock"), lock_of(&path)).unwrap();
            }
            let e = refused(&path, &Builder::default());
            assert!(matches!(e, Error::NotADatabase { .. } | Error::Corrupt { .. }), "{len}: {e}");
        }
    }
}

#[test]
fn a_newer_format_and_bad_page_sizes_are_refused() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    for size in [0, 1, 512, 2048, 4097, 12_288, 131_072, usize::MAX] {
        let e = refused(&path, Builder::default().page_size(size));
        assert!(matches!(e, Error::InvalidArgument(_)), "{size}: {e}");
        assert!(!path.exists());
    }
    open_at(&path, Builder::default().page_size(16_384));
    // The size it was made with counts, not the one that is asked for.
    let db = open_at(&path, Builder::default().page_size(4096));
    assert_eq!(db.info().unwrap().page_size, 16_384);
    put(&db, b"k", b"v");
    assert_clean(&db);
    drop(db);

    let good = fs::read(&path).unwrap();
    let patch = |field: usize, value: u32| {
        let mut bytes = good.clone();
        for meta in [0, 16_384] {
            let page = &mut bytes[meta..meta + 4096];
            page[field..field + 4].copy_from_slice(&value.to_le_bytes());
            page[508..512].fill(0);
            let crc = crc32fast::hash(page);
            page[508..512].copy_from_slice(&crc.to_le_bytes());
        }
        fs::write(&path, bytes).unwrap();
    };
    patch(8, 3);
    match refused(&path, &Builder::default()) {
        Error::Version { found: 3, supported: 2, .. } => {}
        e => panic!("{e}"),
    }
    for size in [0, 12_288, 1 << 31] {
        patch(12, size);
        let e = refused(&path, &Builder::default());
        assert!(matches!(e, Error::Corrupt { .. } | Error::NotADatabase { .. }), "{size}: {e}");
    }
    fs::write(&path, good).unwrap();
    assert_clean(&open_at(&path, &existing()));
}

/// A flush may store one meta while somebody who opens looks at it, and the next flush the other.
/// Found by `crash kill`: an open was refused with "both meta pages: checksum does not match".
#[test]
fn metas_that_are_being_stored_are_looked_at_again() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 100);
    let held = open_at(&path, &existing());
    let file = fs::File::options().write(true).open(&path).unwrap();
    let good = fs::read(&path).unwrap();
    let store = |whole: bool| {
        for at in [100, 4_196] {
            let byte = if whole { good[at] } else { !good[at] };
            file.write_all_at(&[byte], at as u64).unwrap();
        }
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for whole in [false, true] {
                    store(whole);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        // SAFETY: the directory belongs to the test.
        let opened: Vec<_> = (0..30).map(|_| unsafe { existing().open(&path) }).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        opened.into_iter().for_each(|db| assert_sample(&db.unwrap(), 100));
    });
    // Where it stays like that, or where nobody is there who could be storing, it is an error.
    store(false);
    assert!(matches!(refused(&path, &existing()), Error::Corrupt { .. }));
    drop(held);
    assert!(matches!(refused(&path, &existing()), Error::Corrupt { .. }));
    store(true);
    assert_clean(&open_at(&path, &existing()));
}

#[test]
fn a_copy_is_a_database_of_its_own() {
    let dir = memory_dir();
    let (path, copy) = (dir.path().join("x.recto"), dir.path().join("copy.recto"));
    sample(&path, 500);
    fs::copy(&path, &copy).unwrap();
    // With the lock file of the original, as a backup of a directory has it; and without.
    fs::copy(lock_of(&path), lock_of(&copy)).unwrap();
    for lock_copied in [true, false] {
        let original = open_at(&path, &existing());
        let db = open_at(&copy, &existing());
        assert_sample(&db, 500);
        put(&db, b"copy", b"only");
        put(&original, b"original", b"only");
        assert!(db.read().unwrap().table("main").unwrap().get(b"original").unwrap().is_none());
        assert!(original.read().unwrap().table("main").unwrap().get(b"copy").unwrap().is_none());
        // The lock file of the one is no lock file for the other.
        let e = refused(&copy, existing().lock_file(lock_of(&path)));
        assert!(matches!(e, Error::LockFile { .. }), "{e}");
        assert_clean(&db);
        assert_clean(&original);
        write(&db, Durability::Durable, |t| drop(t.open_table("main").unwrap().delete(b"copy")));
        write(&original, Durability::Durable, |t| {
            drop(t.open_table("main").unwrap().delete(b"original"));
        });
        if lock_copied {
            drop(db);
            fs::remove_file(lock_of(&copy)).unwrap();
        }
    }
}

fn refused_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-refused", path.display()))
}

/// A file that would be longer than the process may make one is a full disk, and no signal; so is
/// one that is.
fn file_limit(path: &Path) {
    sample(path, 500);
    let limit = |bytes: u64| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: 1 << 40 };
        // SAFETY: a struct that lives across the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    };
    limit(4 << 20);
    let db = open_at(path, &existing());
    let one = |n: u8| {
        let mut txn = db.write()?;
        txn.open_table("large")?.put(&[n], &vec![n; 1 << 20])?;
        txn.commit()
    };
    let full = (0..9).map(one).find_map(Result::err);
    assert!(matches!(full, Some(Error::DiskFull { .. })), "{full:?}");
    put(&db, b"small", b"fits");
    assert_clean(&db);
    // The file is longer than it may be now: what lies behind that cannot be written either.
    limit(64 << 10);
    let mut refusals = 0;
    for n in 0..20u8 {
        match one(n) {
            Ok(()) => {}
            Err(Error::DiskFull { .. }) => refusals += 1,
            Err(e) => assert!(matches!(e, Error::OutcomeUnknown { .. }), "{e}"),
        }
    }
    assert!(refusals > 0);
    limit(1 << 30);
    put(&db, b"small", b"again");
    assert_clean(&db);
    drop(db);
    // A meta that is refused is kept in a file as long as this one: where none can be made, writing
    // goes on.
    let mut bytes = fs::read(path).unwrap();
    let newest = usize::from(bytes[4096 + 32..4096 + 40] > bytes[32..40]);
    bytes[newest * 4096 + 500] ^= 1;
    fs::write(path, &bytes).unwrap();
    fs::remove_file(lock_of(path)).unwrap();
    let file_bytes = bytes.len() as u64;
    drop(open_at(path, existing().read_only(true))); // makes the lock file
    limit(file_bytes / 2);
    let db = open_at(path, &existing());
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(b"small", b"third").unwrap();
    let _ = txn.commit(); // wherever its pages lie
    assert!(!refused_of(path).exists());
    limit(1 << 30);
    put(&db, b"small", b"fourth");
    assert_clean(&db);
    drop(db);
    fs::remove_file(lock_of(path)).unwrap();
    limit(1 << 20);
    assert!(matches!(refused(path, &existing()), Error::LockFile { .. }));
    say("done");
}

#[test]
fn a_limit_of_file_lengths_is_a_full_disk() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let child = Process::start("child", &["file_limit", path.to_str().unwrap()]);
    assert_eq!(child.line(), "done");
    child.finish();
}
