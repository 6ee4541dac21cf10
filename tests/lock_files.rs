//! Lock files that are missing, damaged, elsewhere, of another database or of an older boot.

mod common;

use common::{
    Process, assert_clean, assert_sample, existing, lock_of, memory_dir, mount_privately, open_at,
    pairs, put, refused, role, sample, say, write,
};
use recto::{Builder, Durability, Error};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// The child side.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let path = Path::new(&role[1]);
    match role[0].as_str() {
        "no_room" => no_room(path),
        other => panic!("no role {other}"),
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
        vec![0; 900],
        vec![0; good.len()],
        vec![0xff; good.len()],
        random(good.len()),
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

/// A file of this name that is not recto's stays what it is; and what is no database gets no lock
/// file.
#[test]
fn a_file_of_somebody_else_is_no_lock_file() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 100);
    let lock = lock_of(&path);
    // Some begin with zeros, as images of disks do.
    let image = [&[0; 32 << 10][..], b"\x01CD001", &[9; 300_000]].concat();
    let zeros = vec![0; 20 << 20];
    for notes in [&b"my notes"[..], b"x", &[7; 9_000], &[1; 3 << 20], &image, &zeros] {
        fs::write(&lock, notes).unwrap();
        for read_only in [false, true] {
            match refused(&path, existing().read_only(read_only)) {
                Error::LockFile { path, detail } => {
                    assert!(path == lock && detail.contains("no lock file of recto"), "{detail}");
                }
                e => panic!("{e}"),
            }
        }
        assert_eq!(fs::read(&lock).unwrap(), notes);
    }
    // One whose making was cut short has nothing but zeros.
    for cut_short in [&[][..], &[0], &[0; 20_000]] {
        fs::write(&lock, cut_short).unwrap();
        assert_clean(&open_at(&path, &existing()));
    }

    let notes = dir.path().join("notes");
    for text in [&b""[..], b"some text", &[9; 70_000]] {
        fs::write(&notes, text).unwrap();
        assert!(matches!(refused(&notes, &existing()), Error::NotADatabase { .. }));
        assert!(!lock_of(&notes).exists());
    }
    // Nor does an opening that is refused for its options make anything.
    let new = dir.path().join("new.recto");
    assert!(matches!(refused(&new, Builder::default().no_lock(true)), Error::InvalidArgument(_)));
    assert!(!new.exists());
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

#[test]
fn without_a_lock_file_only_reading_is_possible() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 500);
    fs::remove_file(lock_of(&path)).unwrap();
    assert!(matches!(refused(&path, existing().no_lock(true)), Error::InvalidArgument(_)));
    let db = open_at(&path, existing().no_lock(true).read_only(true));
    assert_sample(&db, 500);
    assert!(matches!(db.write(), Err(Error::ReadOnly { .. })));
    assert!(matches!(db.flush(), Err(Error::ReadOnly { .. })));
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

/// Somebody has the database alone, and whoever wants to share it is refused: the lock file that it
/// has made says nothing, and is that of the next.
#[test]
fn a_refused_opener_leaves_a_lock_file_that_the_next_one_uses() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut alone = Builder::default();
    alone.exclusive(true);
    let mut shared = existing();
    shared.open_timeout(Duration::ZERO);
    for round in 0..3u8 {
        let db = open_at(&path, &alone);
        put(&db, &[round], b"alone");
        let error = refused(&path, &shared);
        assert!(matches!(error, Error::InUse { exclusively: true, .. }), "{error}");
        assert!(lock_of(&path).exists());
        put(&db, &[round, 1], b"and on");
        assert_clean(&db);
        drop(db);
        let [db, other] = [(); 2].map(|()| open_at(&path, &shared));
        put(&db, &[round, 2], b"shared");
        assert_eq!(pairs(&other, "main").len(), 3 * (usize::from(round) + 1));
        assert_clean(&other);
    }
}
