//! Files that are not what they should be: other files, lock files of others, modes, copies, links.
//! Whatever is found, opening gives the right data or an error that says why.

mod common;

use common::{
    Process, assert_clean, hear, memory_dir, mount_privately, open_at, pairs, put, role, say,
    spread, write,
};
use recto::{Builder, Database, Durability, Error};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

/// Opens with short patience, and expects to be refused.
fn refused(path: &Path, builder: &Builder) -> Error {
    let mut builder = builder.clone();
    builder.open_timeout(Duration::from_millis(50));
    // SAFETY: the directory belongs to the test.
    match unsafe { builder.open(path) } {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(e) => {
            assert!(!e.to_string().is_empty());
            e
        }
    }
}

fn existing() -> Builder {
    let mut builder = Builder::default();
    builder.create(false);
    builder
}

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
        "observe" => observe(path),
        "no_room" => no_room(path),
        "file_limit" => file_limit(path),
        "open_as" => open_as(path, role[2].parse().unwrap(), &role[3]),
        "nameless" => nameless(path),
        "overlay_reader" => overlay_reader(path),
        "overlay_stranger" => overlay_stranger(path),
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
    let names = ["directory", "fifo", "empty", "short", "zeros", "random"];
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
    // The file that was there is still what it was.
    assert_eq!(fs::read(at("short")).unwrap(), b"recto");
    assert_eq!(fs::read(at("empty")).unwrap(), b"");
}

/// A database of some pages, closed.
fn sample(path: &Path, keys: u64) {
    let db = open_at(path, &Builder::default());
    for first in (0..keys).step_by(100) {
        write(&db, Durability::Durable, |txn| {
            let mut table = txn.open_table("main").unwrap();
            for i in first..first + 100 {
                table.put(&spread(i), &i.to_le_bytes().repeat(20)).unwrap();
            }
        });
    }
    assert_clean(&db);
}

fn assert_sample(db: &Database, keys: u64) {
    let txn = db.read().unwrap();
    let table = txn.table("main").unwrap();
    assert_eq!(table.len(), keys);
    for i in 0..keys {
        assert_eq!(table.get(&spread(i)).unwrap().unwrap(), i.to_le_bytes().repeat(20));
    }
}

/// A store into a hole of the lock file meets a full disk as a signal.
#[test]
fn a_lock_file_with_holes_is_filled() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 100);
    let lock = fs::OpenOptions::new().write(true).open(lock_of(&path)).unwrap();
    let len = lock.metadata().unwrap().len();
    for keep in [0, len / 2] {
        lock.set_len(keep).unwrap();
        lock.set_len(len).unwrap();
        assert!(lock.metadata().unwrap().blocks() * 512 < len);
        let db = open_at(&path, &existing());
        assert!(lock.metadata().unwrap().blocks() * 512 >= len, "with {keep} bytes");
        assert_clean(&db);
    }
    // Blocks that it has elsewhere fill no hole.
    lock.set_len(0).unwrap();
    lock.set_len(len).unwrap();
    let (fd, len) = (std::os::fd::AsRawFd::as_raw_fd(&lock), len as libc::off_t);
    // SAFETY: an open descriptor and integers.
    assert_eq!(unsafe { libc::fallocate(fd, libc::FALLOC_FL_KEEP_SIZE, len, len) }, 0);
    let db = open_at(&path, &existing());
    assert!(lock.metadata().unwrap().blocks() * 512 >= 2 * len as u64);
    assert_clean(&db);
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
        Error::Version { found: 3, supported: 2 } => {}
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

#[test]
fn a_second_lock_file_is_refused_while_the_first_is_used() {
    let dir = memory_dir();
    let (path, link) = (dir.path().join("x.recto"), dir.path().join("link.recto"));
    sample(&path, 500);
    fs::hard_link(&path, &link).unwrap();
    let db = open_at(&path, &existing());
    let explained = |e: Error| match &e {
        Error::LockFile { detail, .. } => assert!(detail.contains("another lock file"), "{e}"),
        e => panic!("{e}"),
    };
    explained(refused(&link, &existing()));
    explained(refused(&link, existing().read_only(true)));
    explained(refused(&path, existing().lock_file(dir.path().join("elsewhere"))));
    // A symbolic link to the data leads to the same lock file, or is refused.
    let soft = dir.path().join("soft.recto");
    std::os::unix::fs::symlink(&path, &soft).unwrap();
    let mut builder = existing();
    builder.open_timeout(Duration::from_millis(50));
    // SAFETY: the directory belongs to the test.
    match unsafe { builder.open(&soft) } {
        Ok(other) => {
            put(&other, b"soft", b"link");
            assert_eq!(pairs(&db, "main").len(), 501);
        }
        Err(e) => explained(e),
    }
    // Its lock file is deleted while it is open: who comes now would see other readers and writers.
    fs::remove_file(lock_of(&path)).unwrap();
    explained(refused(&path, &existing()));
    put(&db, b"still", b"works");
    drop(db);
    let db = open_at(&link, &existing());
    assert!(pairs(&db, "main").len() >= 501);
    assert_clean(&db);
}

#[test]
fn a_lock_file_that_is_something_else_is_refused() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 500);
    let lock = lock_of(&path);
    fs::remove_file(&lock).unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, b"somebody's").unwrap();
    std::os::unix::fs::symlink(&victim, &lock).unwrap();
    for builder in [existing(), existing().read_only(true).clone()] {
        let e = refused(&path, &builder);
        assert!(matches!(&e, Error::LockFile { detail, .. } if detail.contains("link")), "{e}");
    }
    assert_eq!(fs::read(&victim).unwrap(), b"somebody's");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    assert!(matches!(refused(&path, &existing()), Error::LockFile { .. }));
    fs::remove_dir(&lock).unwrap();
    let db = open_at(&path, &existing());
    assert_sample(&db, 500);
    assert_clean(&db);
}

#[test]
fn garbage_in_the_lock_file_does_no_harm() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 1_000);
    let lock = lock_of(&path);
    let good = fs::read(&lock).unwrap();
    let mut rng = fastrand::Rng::with_seed(5);
    let mut random = |len: usize| (0..len).map(|_| rng.u8(..)).collect::<Vec<u8>>();
    let mut cases = vec![
        Vec::new(),
        b"x".to_vec(),
        vec![0; good.len()],
        vec![0xff; good.len()],
        random(5_000),
        random(good.len()),
        random(good.len() + 100_000),
        good[..1_000].to_vec(),
        good[..good.len() / 2].to_vec(),
        [&good[..], &random(50_000)].concat(),
    ];
    // The identity is whole, what stands behind it is not: without the right words nothing is
    // believed.
    let words = 1 << 10;
    cases.push([&good[..words], &random(good.len() - words)].concat());
    cases.push([&good[..words], &vec![0xff; good.len() - words]].concat());
    for (i, case) in cases.iter().enumerate() {
        fs::write(&lock, case).unwrap();
        for round in 0..2u8 {
            // SAFETY: the directory belongs to the test.
            let db = match unsafe { existing().open(&path) } {
                Ok(db) => db,
                Err(e) => panic!("case {i}: {e}"),
            };
            assert_sample(&db, 1_000);
            put(&db, b"k", &[round]);
            write(&db, Durability::Durable, |t| drop(t.open_table("main").unwrap().delete(b"k")));
            assert_clean(&db);
        }
    }
}

#[test]
fn the_lock_file_of_an_older_boot_is_not_believed() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 1_000);
    for round in 0..3u8 {
        let lock = fs::File::options().read(true).write(true).open(lock_of(&path)).unwrap();
        let mut boot = [0; 16];
        lock.read_exact_at(&mut boot, 24).unwrap();
        boot.iter_mut().for_each(|b| *b = !*b);
        lock.write_all_at(&boot, 24).unwrap();
        let db = open_at(&path, &existing());
        let info = db.info().unwrap();
        assert!(info.opening_pages_read < 1_000 && info.durable == info.visible);
        assert_sample(&db, 1_000);
        // The writer has to make sure of what was found first.
        put(&db, b"k", &[round]);
        assert!(!db.info().unwrap().repair_pending);
        write(&db, Durability::Durable, |t| drop(t.open_table("main").unwrap().delete(b"k")));
        assert_clean(&db);
    }
}

#[test]
fn the_lock_file_may_lie_elsewhere() {
    let (dir, elsewhere) = (memory_dir(), memory_dir());
    let path = dir.path().join("x.recto");
    let mut builder = Builder::default();
    builder.lock_file(elsewhere.path().join("lock"));
    let a = open_at(&path, &builder);
    let b = open_at(&path, &builder);
    put(&a, b"k", b"v");
    let held = b.read().unwrap();
    assert!(a.info().unwrap().readers.iter().any(|r| r.txn.0 == held.id()));
    assert!(elsewhere.path().join("lock").exists() && !lock_of(&path).exists());
    // Who does not agree is refused.
    assert!(matches!(refused(&path, &existing()), Error::LockFile { .. }));
    drop(held);
    assert_clean(&a);
    drop((a, b));
    // Afterwards any place will do.
    assert_clean(&open_at(&path, &existing()));
}

/// Nothing is made, grown or waited for.
#[test]
fn a_database_is_no_lock_file() {
    let dir = memory_dir();
    let (path, other) = (dir.path().join("x.recto"), dir.path().join("other.recto"));
    sample(&path, 500);
    sample(&other, 500);
    let (link, hard) = (dir.path().join("link"), dir.path().join("hard.recto"));
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    fs::hard_link(&path, &hard).unwrap();
    // One meta page is enough to be a database.
    let half = fs::File::options().write(true).open(&other).unwrap();
    half.write_all_at(&[0; 512], 0).unwrap();
    let before = (fs::read(&path).unwrap(), fs::read(&other).unwrap());
    let refused = |path: &Path, lock: &Path| {
        let mut builder = Builder::default();
        // SAFETY: the directory belongs to the test.
        let opened = unsafe { builder.lock_file(lock).open(path) };
        match opened {
            Err(Error::LockFile { path, detail }) => {
                assert!(path == lock && detail.contains("database itself"), "{detail}");
            }
            Err(e) => panic!("{}: {e}", lock.display()),
            Ok(_) => panic!("{} was opened", lock.display()),
        }
    };
    for lock in [&path, &link.join("x.recto"), &hard, &other] {
        refused(&path, lock);
    }
    let new = dir.path().join("new.recto");
    refused(&new, &new);
    refused(&new, &link.join("new.recto"));
    assert!(!new.exists());
    // Nor is what only might have been one.
    let garbage = dir.path().join("garbage");
    fs::write(&garbage, b"nothing").unwrap();
    refused(&garbage, &garbage);
    assert_eq!(fs::read(&garbage).unwrap(), b"nothing");
    assert!(before == (fs::read(&path).unwrap(), fs::read(&other).unwrap()));
    for path in [&path, &other] {
        assert_clean(&open_at(path, &existing()));
    }
}

/// The disk of the lock file is full, and not that of the data.
fn no_room(place: &Path) {
    let (path, small) = (place.join("x.recto"), place.join("small"));
    sample(&path, 500);
    fs::create_dir(&small).unwrap();
    if let Err(e) = mount_privately("tmpfs", &small, "size=256k") {
        return say(&format!("skipped, cannot mount: {e}"));
    }
    let lock = small.join("lock");
    match refused(&path, existing().lock_file(&lock)) {
        Error::LockFile { path, detail } => {
            assert!(path == lock && detail.contains("no room"), "{detail}");
        }
        e => panic!("{e}"),
    }
    assert!(!lock.exists());
    assert_clean(&open_at(&path, &existing()));
    say("done");
}

#[test]
fn no_room_for_the_lock_file_is_not_the_databases_fault() {
    let dir = memory_dir();
    let child = Process::start("child", &["no_room", dir.path().to_str().unwrap()]);
    let said = child.line();
    assert!(said == "done" || said.starts_with("skipped"), "{said}");
    child.finish();
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

#[test]
fn without_a_lock_file_only_reading_is_possible() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 500);
    fs::remove_file(lock_of(&path)).unwrap();
    assert!(matches!(refused(&path, existing().no_lock(true)), Error::InvalidArgument(_)));
    let db = open_at(&path, existing().no_lock(true).read_only(true));
    assert_sample(&db, 500);
    assert!(matches!(db.write(), Err(Error::ReadOnly)));
    assert!(matches!(db.flush(), Err(Error::ReadOnly)));
    assert_clean(&db);
    assert!(!lock_of(&path).exists());
}

#[test]
fn the_lock_file_has_the_mode_of_the_data() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    drop(open_at(&path, &Builder::default()));
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&lock_of(&path))), (0o600, 0o600));
    fs::remove_file(lock_of(&path)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    assert_clean(&open_at(&path, &existing()));
    assert_eq!(mode(&lock_of(&path)), 0o664);
}

// ---- A lock file that is damaged while it is in use ----

/// The error is about the lock file, and no page of the database is blamed, which is sound.
#[test]
fn damage_to_the_lock_file_in_use_is_told_of_the_lock_file() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    put(&db, b"key", b"value");
    let lock = lock_of(&path);
    let before = fs::read(&lock).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&lock).unwrap();
    // The images of the newest transactions are meta pages.
    let magic = &fs::read(&path).unwrap()[..8];
    let images = (0..before.len() - 8).step_by(8).filter(|&at| &before[at..at + 8] == magic);
    for at in images.clone() {
        std::os::unix::fs::FileExt::write_all_at(&file, b"\xff", at as u64 + 32).unwrap();
    }
    assert!(images.count() > 0);
    match db.write().err() {
        Some(Error::LockFile { path, detail }) => {
            assert_eq!(path, lock);
            assert!(detail.contains("image of the newest transaction"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    drop(db);
    fs::remove_file(&lock).unwrap();
    let db = open_at(&path, &existing());
    assert_eq!(pairs(&db, "main").len(), 1);
    assert_clean(&db);
}

// ---- The name of a new file ----

/// Whoever opens a database that holds nothing yet makes its name durable first: its maker may have
/// died before that. Where the directory cannot be synced it is refused; once something is in it,
/// that has been done.
fn nameless(path: &Path) {
    // Root may read every directory, so be somebody else.
    let owner = path.parent().unwrap();
    // SAFETY: plain calls; this process stays what it is then.
    unsafe {
        if libc::geteuid() == 0 {
            std::os::unix::fs::chown(owner, Some(NOBODY), Some(NOBODY)).unwrap();
            assert_eq!((libc::setgid(NOBODY), libc::setuid(NOBODY)), (0, 0));
        }
    }
    let look = |mode| fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(mode));
    drop(open_at(path, &Builder::default()));
    look(0o333).unwrap();
    let error = refused(path, &existing());
    assert!(error.to_string().contains("sync the directory"), "{error}");
    look(0o777).unwrap();
    put(&open_at(path, &existing()), b"first", b"durable");
    look(0o333).unwrap();
    let db = open_at(path, &existing());
    assert_eq!(pairs(&db, "main").len(), 1);
    assert_clean(&db);
    look(0o777).unwrap();
    say("done");
}

#[test]
fn the_name_of_an_empty_database_is_made_durable_by_whoever_opens_it() {
    let dir = memory_dir();
    let inside = dir.path().join("inside");
    fs::create_dir(&inside).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = inside.join("x.recto");
    let child = Process::start("child", &["nameless", path.to_str().unwrap()]);
    child.expect("done");
    child.finish();
}

// ---- File systems ----

/// A copy of a database as the lower layer of an overlay, in a mount namespace of this process's
/// own; where it is seen through the overlay. None where this user cannot mount.
fn overlay(place: &Path) -> Option<PathBuf> {
    let at = |name: &str| place.join(name);
    for name in ["layers", "layers/lower", "layers/upper", "layers/work", "merged"] {
        fs::create_dir(at(name)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = at("layers/lower/x.recto");
    sample(&path, 500);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(lock_of(&path)).unwrap();
    let layer = |name: &str| format!("{}/layers/{name}", place.display());
    let (lower, upper, work) = (layer("lower"), layer("upper"), layer("work"));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    if let Err(e) = mount_privately("overlay", &at("merged"), &options) {
        say(&format!("skipped, cannot mount: {e}"));
        return None;
    }
    Some(at("merged/x.recto"))
}

/// A reader that maps the file before the first writer opens it must see what that one writes.
fn overlay_reader(place: &Path) {
    let Some(path) = overlay(place) else { return };
    let reader = open_at(&path, existing().read_only(true));
    assert_sample(&reader, 500);
    let writer = open_at(&path, &existing());
    put(&writer, b"later", b"seen");
    let txn = reader.read().unwrap();
    assert_eq!(txn.table("main").unwrap().get(b"later").unwrap(), Some(&b"seen"[..]));
    drop(txn);
    assert_clean(&reader);
    say("done");
}

/// Who may not write cannot make sure of that, and is refused, unless nobody writes at all.
fn overlay_stranger(place: &Path) {
    let Some(path) = overlay(place) else { return };
    // SAFETY: plain calls; this process is given up afterwards.
    unsafe { assert_eq!((libc::setgid(NOBODY), libc::setuid(NOBODY)), (0, 0)) };
    let error = refused(&path, existing().read_only(true));
    assert!(matches!(error, Error::FileSystem { .. }), "{error}");
    assert!(error.to_string().contains("overlayfs"), "{error}");
    let db = open_at(&path, existing().read_only(true).no_lock(true));
    assert_sample(&db, 500);
    assert_clean(&db);
    drop(db);
    assert!(!place.join("layers/upper/x.recto").exists(), "copied for nothing");
    say("done");
}

fn on_overlayfs(what: &str) {
    let dir = memory_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let child = Process::start("child", &[what, dir.path().to_str().unwrap()]);
    let said = child.line();
    assert!(said == "done" || said.starts_with("skipped"), "{said}");
    println!("{what}: {said}");
    child.finish();
}

#[test]
fn a_reader_on_overlayfs_sees_what_is_written() {
    on_overlayfs("overlay_reader");
}

#[test]
fn on_overlayfs_who_may_not_write_reads_only_what_nobody_writes() {
    on_overlayfs("overlay_stranger");
}

// ---- A user who may only read ----

const NOBODY: u32 = 65_534;

#[test]
fn a_user_who_may_only_read_pins_snapshots() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can become somebody else");
        return;
    }
    let dir = memory_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    for file in [&path, &lock_of(&path)] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let fill = |round: u64| {
        write(&db, Durability::Durable, |txn| {
            let mut table = txn.open_table("main").unwrap();
            for i in 0..1_000 {
                table.put(&spread(i), &round.to_le_bytes().repeat(10)).unwrap();
            }
        });
    };
    fill(1);
    let mut child = Process::start("child", &["observe", path.to_str().unwrap()]);
    child.expect("refused to write");
    child.expect("reading");
    for round in 2..40 {
        fill(round);
        if round % 10 == 0 {
            child.tell("old");
            child.expect("1");
            child.tell("new");
            child.expect(&round.to_string());
        }
    }
    let info = db.info().unwrap();
    let held = info.file_bytes;
    let seen = info.observed.first().copied().expect("the old one; another may just be ending");
    assert!(seen.txn.0 < info.visible && seen.outdated.is_some(), "{seen:?}");
    assert!(db.pages_held(&[seen.txn.0]).unwrap()[0] > 0);
    child.tell("end");
    child.expect("ended");
    assert_eq!(db.info().unwrap().observed, []);
    for round in 50..90 {
        fill(round);
    }
    // What it held is in use again; in steps of a quarter of a megabyte.
    assert!(db.info().unwrap().file_bytes <= held + (512 << 10));
    assert_clean(&db);
    // When all who may write are gone, it has nobody to rely on, and says so.
    drop(db);
    child.tell("again");
    child.expect("LockFile");
    child.finish();
}

/// This process is somebody else from now on.
fn become_user(user: u32) {
    // SAFETY: numbers only.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setgid(user), 0);
        assert_eq!(libc::setuid(user), 0);
    }
}

fn observe(path: &Path) {
    become_user(NOBODY);
    assert!(matches!(refused(path, &existing()), Error::Io { .. } | Error::LockFile { .. }));
    say("refused to write");
    let db = open_at(path, existing().read_only(true));
    let look = |txn: &recto::ReadTxn| -> u64 {
        let table = txn.table("main").unwrap();
        let first = table.get(&spread(0)).unwrap().unwrap().to_vec();
        for i in 0..1_000 {
            assert_eq!(table.get(&spread(i)).unwrap().unwrap(), first);
        }
        u64::from_le_bytes(first[..8].try_into().unwrap())
    };
    let old = db.read().unwrap();
    let second = db.read().unwrap();
    assert_eq!(look(&old), 1);
    drop(second);
    say("reading");
    loop {
        match hear().as_str() {
            "old" => say(&look(&old).to_string()),
            "new" => say(&look(&db.read().unwrap()).to_string()),
            _ => break,
        }
    }
    assert_clean(&db);
    drop(old);
    drop(db);
    say("ended");
    hear();
    match refused(path, existing().read_only(true)) {
        Error::LockFile { path: named, .. } if named == lock_of(path) => say("LockFile"),
        e => say(&e.to_string()),
    }
}

// ---- Whose the lock file is ----

/// Neither root nor the one who may only read.
const OWNER: u32 = 65_533;

/// Opens as this user, to read ("r") or to write ("w"), and says what came of it.
fn open_as(path: &Path, user: u32, how: &str) {
    become_user(user);
    // SAFETY: the directory belongs to the test.
    match unsafe { existing().read_only(how == "r").open(path) } {
        Err(e) => say(&format!("refused: {e}")),
        Ok(db) => {
            if how == "w" {
                put(&db, b"key", b"value");
            }
            assert_clean(&db);
            say("opened");
        }
    }
}

fn opened_as(path: &Path, user: u32, how: &str) -> String {
    let words = ["open_as", path.to_str().unwrap(), &user.to_string(), how];
    let child = Process::start("child", &words);
    let said = child.line();
    child.finish();
    said
}

/// A reader without permission to write, and root, come before the owner, in a directory where
/// everybody may make files.
#[test]
fn a_lock_file_belongs_to_the_owner_of_the_data_whoever_comes_first() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can become somebody else");
        return;
    }
    let dir = memory_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path().join("x.recto");
    drop(open_at(&path, &Builder::default()));
    std::os::unix::fs::chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let lock = lock_of(&path);
    let owned = || {
        let found = fs::metadata(&lock).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (OWNER, OWNER, 0o644));
    };

    fs::remove_file(&lock).unwrap();
    let said = opened_as(&path, NOBODY, "r");
    assert!(said.contains("x.recto-lock") && said.contains("write"), "{said}");
    assert!(!lock.exists(), "made by somebody who may only read");
    assert_eq!(opened_as(&path, OWNER, "w"), "opened");
    owned();
    for how in ["r", "w"] {
        fs::remove_file(&lock).unwrap();
        let mut builder = existing();
        assert_clean(&open_at(&path, builder.read_only(how == "r")));
        owned();
        assert_eq!(opened_as(&path, OWNER, "w"), "opened");
        // The owner reads first.
        fs::remove_file(&lock).unwrap();
        assert_eq!(opened_as(&path, OWNER, "r"), "opened");
        owned();
    }

    // One that does not belong to it: whose it is, and what to do.
    std::os::unix::fs::chown(&lock, Some(NOBODY), Some(NOBODY)).unwrap();
    let said = opened_as(&path, OWNER, "w");
    let told = ["x.recto-lock", "65534", "65533", "644", "owner"];
    assert!(told.iter().all(|word| said.contains(word)), "{said}");
    assert_eq!(opened_as(&path, 0, "w"), "opened");
    fs::remove_file(&lock).unwrap();
    assert_eq!(opened_as(&path, OWNER, "w"), "opened");

    // Nobody has it open, and this user may write the lock file but not the data.
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    let said = opened_as(&path, NOBODY, "r");
    assert!(said.contains("x.recto-lock") && said.contains("open it first"), "{said}");
    let held = open_at(&path, &existing());
    assert_eq!(opened_as(&path, NOBODY, "r"), "opened");
    assert_clean(&held);
}
