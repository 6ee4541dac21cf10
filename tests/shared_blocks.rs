//! File systems that share blocks between files, and have no room left: a store through a map would need a new block, and meet the full
//! disk as a signal. Each case has a mount of its own (root, loop devices, mkfs), and is left out aloud where that cannot be.

mod common;

use common::{Process, assert_clean, disk_dir, open_at, pairs, put, role, say, write};
use recto::{Builder, Database, Durability, Error, Sink};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The child side.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let place = Path::new(&role[1]);
    let case = match role[0].as_str() {
        "in_place" => in_place,
        "snapshot" => snapshot,
        "plain_copy" => plain_copy,
        "reflink" => reflink,
        other => panic!("no role {other}"),
    };
    match mounted(place, if role[0] == "reflink" { "xfs" } else { "btrfs" }) {
        Ok(there) => {
            case(&there);
            say("done");
        }
        Err(why) => say(&format!("skipped: {why}")),
    }
}

fn play(case: &str) {
    let dir = disk_dir();
    let child = Process::start("child", &[case, dir.path().to_str().unwrap()]);
    let said = child.line();
    assert!(said == "done" || said.starts_with("skipped"), "{said}");
    println!("{case}: {said}");
    child.finish();
}

fn ran(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {told}")) }
}

/// A small, empty file system that only this process sees, and that goes away with it.
fn mounted(place: &Path, kind: &str) -> Result<PathBuf, String> {
    let (image, there) = (place.join("image"), place.join("mounted"));
    fs::create_dir(&there).unwrap();
    let bytes = if kind == "xfs" { 320 << 20 } else { 160 << 20 };
    File::create(&image).unwrap().set_len(bytes).unwrap();
    let mut make = Command::new(format!("mkfs.{kind}"));
    make.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("-q").arg(&image);
    ran(&mut make)?;
    // SAFETY: plain calls on this process.
    let alone = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
    };
    if !alone {
        return Err(format!("a mount namespace: {}", std::io::Error::last_os_error()));
    }
    ran(Command::new("mount").args(["-o", "loop"]).args([&image, &there]))?;
    Ok(there)
}

fn sync(there: &Path) {
    let dir = File::open(there).unwrap();
    // SAFETY: an open descriptor.
    unsafe { libc::syncfs(dir.as_raw_fd()) };
}

/// Takes all room there is.
fn fill(there: &Path) {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut bytes = vec![0; 1 << 20];
    rng.fill(&mut bytes);
    let mut one = File::create(there.join("full")).unwrap();
    for piece in [1 << 20, 4096] {
        while one.write_all(&bytes[..piece]).is_ok() {}
    }
    let _ = one.sync_all();
    let small = |i: u32| -> std::io::Result<()> {
        let mut file = File::create(there.join(format!("full-{i}")))?;
        file.write_all(&bytes[..4096])?;
        file.sync_all()
    };
    let _ = (0..5_000).find(|&i| small(i).is_err());
    sync(there);
}

fn make_room(there: &Path) {
    for entry in fs::read_dir(there).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("full") {
            fs::remove_file(path).unwrap();
        }
    }
    sync(there);
}

/// Reads and tries to write, while each page of the lock file is clean again and again. What was committed is there.
fn work(db: &Database, there: &Path) {
    let mut last = pairs(db, "main");
    for round in 0..20u64 {
        // Whatever fails does so with an error.
        let committed = db.write().and_then(|mut txn| {
            txn.set_durability(Durability::Deferred);
            txn.open_table("main")?.put(b"round", &round.to_le_bytes())?;
            txn.commit()
        });
        if committed.is_ok() {
            last.retain(|(key, _)| key != b"round");
            last.push((b"round".to_vec(), round.to_le_bytes().to_vec()));
            last.sort();
        }
        assert_eq!(pairs(db, "main"), last);
        sync(there);
    }
}

/// Works on a full disk, and goes on when there is room.
fn work_on_a_full_disk(db: &Database, there: &Path) {
    fill(there);
    work(db, there);
    make_room(there);
    put(db, b"there is", b"room");
    assert_clean(db);
}

fn some(db: &Database) {
    write(db, Durability::Durable, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for i in 0..500u64 {
            table.put(&i.to_be_bytes(), &[i as u8; 200]).unwrap();
        }
    });
}

/// The lock file of a new database.
fn in_place(there: &Path) {
    for (name, sink) in [("staged", Sink::Staged), ("direct", Sink::Direct)] {
        let db = open_at(&there.join(name), Builder::default().sink(sink));
        some(&db);
        work_on_a_full_disk(&db, there);
    }
}

#[test]
fn a_full_disk_that_writes_elsewhere_is_no_signal() {
    play("in_place");
}

/// A snapshot of the subvolume, taken while the database is closed.
fn snapshot(there: &Path) {
    let tool = |args: &[&str]| ran(Command::new("btrfs").args(args));
    let (inside, taken) = (there.join("inside"), there.join("taken"));
    if let Err(why) = tool(&["subvolume", "create", inside.to_str().unwrap()]) {
        return say(&format!("skipped: {why}"));
    }
    let path = inside.join("x.recto");
    some(&open_at(&path, &Builder::default()));
    let snapshot = ["subvolume", "snapshot", inside.to_str().unwrap(), taken.to_str().unwrap()];
    tool(&snapshot).unwrap();
    // No room for blocks of its own: an error that names the lock file.
    fill(there);
    // SAFETY: the directory belongs to the test.
    match unsafe { Builder::default().open(&path) } {
        Err(Error::LockFile { path, detail }) => {
            assert!(path.ends_with("x.recto-lock") && detail.contains("room"), "{detail}");
        }
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("opened"),
    }
    make_room(there);
    let db = open_at(&path, &Builder::default());
    work_on_a_full_disk(&db, there);
}

#[test]
fn a_lock_file_that_a_snapshot_shares_gets_blocks_of_its_own() {
    play("snapshot");
}

/// A copy has not got the flag of its original: the lock file is made anew, and the direct sink is not used.
fn plain_copy(there: &Path) {
    let (path, copy) = (there.join("x.recto"), there.join("copy.recto"));
    some(&open_at(&path, &Builder::default()));
    for (from, to) in [("x.recto", "copy.recto"), ("x.recto-lock", "copy.recto-lock")] {
        fs::write(there.join(to), fs::read(there.join(from)).unwrap()).unwrap();
    }
    let db = open_at(&copy, Builder::default().sink(Sink::Direct));
    work_on_a_full_disk(&db, there);
    drop(db);
    assert_clean(&open_at(&path, &Builder::default()));
}

#[test]
fn a_copied_lock_file_is_written_in_place() {
    play("plain_copy");
}

/// Copies that share their blocks with the originals; these share theirs too.
fn reflink(there: &Path) {
    let at = |name: &str| there.join(name);
    some(&open_at(&at("x.recto"), &Builder::default()));
    sync(there);
    for (from, to) in [("x.recto", "copy.recto"), ("x.recto-lock", "copy.recto-lock")] {
        ran(Command::new("cp").arg("--reflink=always").args([at(from), at(to)])).unwrap();
    }
    for (name, sink) in [("x.recto", Sink::Staged), ("copy.recto", Sink::Direct)] {
        let db = open_at(&at(name), Builder::default().sink(sink));
        work_on_a_full_disk(&db, there);
    }
}

#[test]
fn reflinked_files_get_blocks_of_their_own() {
    play("reflink");
}
