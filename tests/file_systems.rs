//! What file systems do: some share blocks between files, and have no room left: a store through a
//! map would need a new block, and meet the full disk as a signal. And whom they tell of a
//! write-back that has failed. Each case has a mount of its own (root, loop devices, mkfs), and is
//! left out aloud where that cannot be.

mod common;

use common::{
    Process, assert_clean, disk_dir, open_at, pairs, private_mounts, put, role, say, write,
};
use recto::{Builder, Database, Durability, Error, Sink};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The child side.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let place = Path::new(&role[1]);
    if let Some(kind) = role[0].strip_prefix("told-") {
        match refusing(place, kind) {
            Ok(there) => {
                told(place, &there);
                say("done");
            }
            Err(why) => say(&format!("skipped: {why}")),
        }
        return;
    }
    let case = match role[0].as_str() {
        "in_place" => in_place,
        "snapshot" => snapshot,
        "plain_copy" => plain_copy,
        "reflink" => reflink,
        "dead_readers" => dead_readers,
        "direct_snapshot" => direct_snapshot,
        "limited" => limited,
        "overlay" => overlay,
        "holes" => holes,
        other => panic!("no role {other}"),
    };
    let kind = match role[0].as_str() {
        "reflink" => "xfs",
        "holes" => "ext4",
        _ => "btrfs",
    };
    match mounted(place, kind) {
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
    private_mounts().map_err(|e| format!("a mount namespace: {e}"))?;
    mounted_on(place, kind)
}

/// The same on a device that can be made to refuse what is written to it: a file on a small tmpfs,
/// which is filled then.
fn refusing(place: &Path, kind: &str) -> Result<PathBuf, String> {
    private_mounts().map_err(|e| format!("a mount namespace: {e}"))?;
    ran(Command::new("mount").args(["-t", "tmpfs", "-o", "size=192m", "tmpfs"]).arg(place))?;
    mounted_on(place, kind)
}

fn mounted_on(place: &Path, kind: &str) -> Result<PathBuf, String> {
    let (image, there) = (place.join("image"), place.join("mounted"));
    fs::create_dir(&there).unwrap();
    let bytes = if kind == "xfs" { 320 << 20 } else { 160 << 20 };
    File::create(&image).unwrap().set_len(bytes).unwrap();
    let mut make = Command::new(format!("mkfs.{kind}"));
    make.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("-q").arg(&image);
    ran(&mut make)?;
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

/// Reads and tries to write, while each page of the lock file is clean again and again. What was
/// committed is there.
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

/// A place for a database in a subvolume, and what takes a snapshot of that.
fn in_subvolume(there: &Path) -> Option<(PathBuf, impl Fn())> {
    let tool = |args: [&str; 2], paths: &[&Path]| ran(Command::new("btrfs").args(args).args(paths));
    let (inside, taken) = (there.join("inside"), there.join("taken"));
    if let Err(why) = tool(["subvolume", "create"], &[&inside]) {
        say(&format!("skipped: {why}"));
        return None;
    }
    let path = inside.join("x.recto");
    Some((path, move || tool(["subvolume", "snapshot"], &[&inside, &taken]).unwrap()))
}

/// A snapshot of the subvolume, taken while the database is closed.
fn snapshot(there: &Path) {
    let Some((path, take)) = in_subvolume(there) else { return };
    some(&open_at(&path, &Builder::default()));
    take();
    is_refused_on_a_full_disk(there, &path);
    let db = open_at(&path, &Builder::default());
    work_on_a_full_disk(&db, there);
}

/// The lock file has no blocks of its own, and there is no room for them.
fn is_refused_on_a_full_disk(there: &Path, path: &Path) {
    // No room for blocks of its own: an error that names the lock file.
    fill(there);
    // SAFETY: the directory belongs to the test.
    match unsafe { Builder::default().open(path) } {
        Err(Error::LockFile { path, detail }) => {
            assert!(path.ends_with("x.recto-lock") && detail.contains("room"), "{detail}");
        }
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("opened"),
    }
    make_room(there);
}

#[test]
fn a_lock_file_that_a_snapshot_shares_gets_blocks_of_its_own() {
    play("snapshot");
}

/// A copy has not got the flag of its original: the lock file is made anew, and the direct sink is
/// not used.
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

/// Runs in a process that ends without a word.
fn in_a_process_that_dies(work: impl FnOnce()) {
    // SAFETY: the child runs Rust code beside no other thread that it needs, and ends without
    // unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child: {status:#x}");
}

/// The same as `snapshot`, with the reader slots of a process that has died in the lock file:
/// whoever cannot open it stores nothing there.
fn dead_readers(there: &Path) {
    let Some((path, take)) = in_subvolume(there) else { return };
    some(&open_at(&path, &Builder::default()));
    in_a_process_that_dies(|| {
        let db = open_at(&path, &Builder::default());
        let reads: Vec<_> = (0..20).map(|_| db.read().unwrap()).collect();
        std::mem::forget((reads, db));
    });
    sync(there);
    take();
    is_refused_on_a_full_disk(there, &path);
    assert_clean(&open_at(&path, &Builder::default()));
}

#[test]
fn slots_of_the_dead_in_a_lock_file_that_is_shared_are_no_signal() {
    play("dead_readers");
}

/// A data file that a snapshot shares is not stored to.
fn direct_snapshot(there: &Path) {
    let Some((path, take)) = in_subvolume(there) else { return };
    let mut direct = Builder::default();
    direct.sink(Sink::Direct);
    some(&open_at(&path, &direct));
    take();
    let db = open_at(&path, &direct);
    work_on_a_full_disk(&db, there);
}

#[test]
fn a_data_file_that_a_snapshot_shares_is_not_stored_to() {
    play("direct_snapshot");
}

/// A copied lock file is made anew; a limit below its length is an error, and leaves it as it is.
fn limited(there: &Path) {
    let (path, copy) = (there.join("x.recto"), there.join("copy.recto"));
    some(&open_at(&path, &Builder::default()));
    for (from, to) in [("x.recto", "copy.recto"), ("x.recto-lock", "copy.recto-lock")] {
        fs::write(there.join(to), fs::read(there.join(from)).unwrap()).unwrap();
    }
    let lock = there.join("copy.recto-lock");
    let before = fs::metadata(&lock).unwrap().len();
    in_a_process_that_dies(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        // SAFETY: a plain call on this process; the signal has its default action, which ends it.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        }
        // SAFETY: the directory belongs to the test.
        assert!(unsafe { Builder::default().open(&copy) }.is_err());
    });
    assert_eq!(fs::metadata(&lock).unwrap().len(), before);
    assert_clean(&open_at(&copy, &Builder::default()));
}

#[test]
fn a_limit_below_the_length_of_a_copied_lock_file_is_no_signal() {
    play("limited");
}

/// What lies below an overlay may be btrfs.
fn overlay(there: &Path) {
    for name in ["up", "work", "low", "merged"] {
        fs::create_dir(there.join(name)).unwrap();
    }
    let at = |name: &str| there.join(name).display().to_string();
    let places = format!("lowerdir={},upperdir={},workdir={}", at("low"), at("up"), at("work"));
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "overlay", "-o", &places, &at("merged")]);
    if let Err(why) = ran(&mut mount) {
        return say(&format!("skipped: {why}"));
    }
    for (name, sink) in [("staged", Sink::Staged), ("direct", Sink::Direct)] {
        let path = there.join("merged").join(name);
        let db = open_at(&path, Builder::default().sink(sink));
        some(&db);
        work_on_a_full_disk(&db, there);
    }
}

#[test]
fn a_full_disk_below_an_overlay_is_no_signal() {
    play("overlay");
}

/// Files with holes on ext4, whose count of blocks has others than those of the data.
fn holes(there: &Path) {
    let path = there.join("x.recto");
    some(&open_at(&path, &Builder::default()));
    // A hole that is larger than what is left of the disk: not filled, and none of it.
    let before = room(there);
    let large = there.join("large.recto");
    fs::copy(&path, &large).unwrap();
    File::options().write(true).open(&large).unwrap().set_len(1 << 30).unwrap();
    drop(open_at(&large, &Builder::default()));
    assert!(room(there) > before / 2, "{} of {before} bytes are left", room(there));
    fs::remove_file(&large).unwrap();
    // In pieces that lie apart, with one page of zeros left out.
    let copy = there.join("copy.recto");
    let bytes = fs::read(&path).unwrap();
    let (to, between) =
        (File::create(&copy).unwrap(), File::create(there.join("between")).unwrap());
    let mut left_out = false;
    for (n, page) in bytes.chunks(4096).enumerate() {
        if !left_out && page.iter().all(|&byte| byte == 0) {
            left_out = true;
            continue;
        }
        to.write_all_at(page, n as u64 * 4096).unwrap();
        if n % 16 == 15 {
            to.sync_all().unwrap();
            between.write_all_at(&[1; 4096], n as u64 * 4096).unwrap();
            between.sync_all().unwrap();
        }
    }
    assert!(left_out);
    to.set_len(bytes.len() as u64).unwrap();
    to.sync_all().unwrap();
    let db = open_at(&copy, Builder::default().sink(Sink::Direct));
    work_on_a_full_disk(&db, there);
}

fn room(there: &Path) -> u64 {
    let dir = File::open(there).unwrap();
    // SAFETY: a plain C struct of integers, an open descriptor.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        assert_eq!(libc::fstatfs(dir.as_raw_fd(), &mut stat), 0);
        stat.f_bavail * stat.f_bsize as u64
    }
}

#[test]
fn holes_are_filled_where_they_are_stored_to_and_never_with_the_last_blocks() {
    play("holes");
}

/// What rule 23 of docs/design.md builds on: a write-back that has failed is told to each
/// description that was open, once, also where nobody has synced, and after another one was told.
fn told(device: &Path, there: &Path) {
    use recto::harness::write_back_failed;
    let path = there.join("file");
    let one = File::create(&path).unwrap();
    let open = || File::open(&path).unwrap();
    let (two, three) = (open(), open());
    one.write_all_at(&[1; 4096], 0).unwrap();
    sync(there);
    assert!(!write_back_failed(&two));
    // No block of the device can be written for the first time any more.
    let mut ballast = File::create(device.join("ballast")).unwrap();
    for piece in [1 << 20, 4096] {
        while ballast.write_all(&vec![7; piece]).is_ok() {}
    }
    one.write_all_at(&vec![2; 4 << 20], 4096).unwrap();
    assert!(one.sync_data().is_err(), "the device takes everything");
    assert!(write_back_failed(&two), "told although another one was");
    assert!(!write_back_failed(&two), "told again");
    let late = open();
    assert!(!write_back_failed(&late), "opened when somebody had been told");
    // The same news for a description that is synced, whoever has asked.
    assert!(three.sync_data().is_err(), "the news went to whoever asked first");
}

#[test]
fn every_description_is_told_of_a_failed_write_back() {
    for kind in ["ext4", "xfs", "btrfs"] {
        play(&format!("told-{kind}"));
    }
}
