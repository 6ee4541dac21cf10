//! Who may do what: users who may only read, directories that cannot be read, file systems whose
//! files are two.

mod common;

use common::{
    Process, assert_clean, assert_sample, existing, hear, lock_of, memory_dir, mount_privately,
    open_at, pairs, put, refused, role, sample, say, spread, write,
};
use recto::{Builder, Durability, Error};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The child side.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let path = Path::new(&role[1]);
    match role[0].as_str() {
        "observe" => observe(path),
        "open_as" => open_as(path, role[2].parse().unwrap(), &role[3]),
        "nameless" => nameless(path),
        "overlay_reader" => overlay_reader(path),
        "overlay_stranger" => overlay_stranger(path),
        other => panic!("no role {other}"),
    }
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
    // Through a link in a directory that can be synced, too.
    let links = owner.join("links");
    look(0o777).unwrap();
    fs::create_dir(&links).unwrap();
    let link = links.join("y.recto");
    std::os::unix::fs::symlink(path, &link).unwrap();
    look(0o333).unwrap();
    let error = refused(&link, &existing());
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
