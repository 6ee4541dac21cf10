//! Real file systems that share blocks between files, or write elsewhere, and have no room left: a
//! store through a map that needs a new block is a signal there, and no error. The lock file must
//! have blocks of its own by then, whatever it was copied from.
//!
//! Each round is a process of its own, which the signal may end, with a small file system in memory
//! that nobody else sees and that goes away with it.

use crate::block::FileSystem;
use fastrand::Rng;
use recto::{Builder, Database, Durability, Error, Sink};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Those that share blocks.
pub const SYSTEMS: [FileSystem; 2] = [FileSystem::Btrfs, FileSystem::Xfs];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// One round in a process of its own: what was wrong, if anything.
pub fn round(program: &Path, system: FileSystem, seed: u64) -> Result<Option<String>> {
    let dir = tempfile::Builder::new().prefix("recto-full-").tempdir_in("/dev/shm")?;
    let mut child = Command::new(program);
    child.args(["full", "--child"]).arg(dir.path());
    child.args(["--fs", system.name(), "--seed", &seed.to_string()]);
    let done = child.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    Ok(match (done.status.signal(), done.status.code()) {
        (Some(signal), _) => Some(format!("a process was ended by signal {signal}")),
        (None, Some(0)) => None,
        _ => Some(said.into_owned()),
    })
}

/// The child side of a round: a database, perhaps a copy of it, and work on a full disk.
pub fn child(dir: &Path, system: FileSystem, seed: u64) -> Result<()> {
    let there = mounted(dir, system)?;
    let mut rng = Rng::with_seed(seed);
    let mut builder = Builder::default();
    builder.sink(if rng.bool() { Sink::Direct } else { Sink::Staged });
    let mut path = there.join("x.recto");
    let mut holds = vec![Pairs::new()];
    let first = open(&builder, &path)?;
    for _ in 0..rng.u32(1..6) {
        commit(&first, &mut holds, &mut rng, Durability::Durable)?;
    }
    drop(first);
    if rng.u8(0..3) > 0 {
        let copy = there.join("copy.recto");
        let shares = rng.bool();
        let how = if shares { "--reflink=always" } else { "--reflink=never" };
        sync(&there)?;
        for (from, to) in [(&path, &copy), (&lock_of(&path), &lock_of(&copy))] {
            if shares && system == FileSystem::Btrfs {
                // Blocks are shared only between files that are both written in place.
                File::create(to)?;
                ran(Command::new("chattr").arg("+C").arg(to))?;
            }
            ran(Command::new("cp").arg(how).args([from, to]))?;
        }
        // The original shares as much as the copy.
        path = if rng.bool() { copy } else { path };
    }
    let db = open(&builder, &path)?;
    fill(&there)?;
    for _ in 0..12 {
        let durability = if rng.bool() { Durability::Durable } else { Durability::Deferred };
        // Whatever fails does so with an error.
        let done = commit(&db, &mut holds, &mut rng, durability);
        let now = pairs(&db)?;
        if !holds.contains(&now) {
            return Err(format!("{done:?}: {} pairs", now.len()).into());
        }
        if done.is_ok() {
            // Whatever was not known is by then.
            holds = vec![now];
        }
        // Each page of the lock file is clean again.
        sync(&there)?;
    }
    make_room(&there)?;
    commit(&db, &mut holds, &mut rng, Durability::Durable)?;
    let report = db.check(None)?;
    if report.fault_count > 0 {
        return Err(format!("in the end: {:?}", report.faults.first()).into());
    }
    if !holds.contains(&pairs(&db)?) {
        return Err("in the end it holds what it may not".into());
    }
    Ok(())
}

fn open(builder: &Builder, path: &Path) -> Result<Database> {
    // SAFETY: nobody else sees the file system, and nothing in this process changes the file but
    // the database.
    Ok(unsafe { builder.open(path) }?)
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("recto-lock")
}

/// Puts some pairs. `holds`: what the database may hold; a commit with an unknown outcome may be
/// there now, or come later.
fn commit(
    db: &Database,
    holds: &mut Vec<Pairs>,
    rng: &mut Rng,
    durability: Durability,
) -> std::result::Result<(), Error> {
    let mut txn = db.write()?;
    let mut put = Pairs::new();
    let mut table = txn.open_table("main")?;
    for _ in 0..rng.u32(1..20) {
        let (key, value) =
            (rng.u16(..400).to_be_bytes().to_vec(), vec![rng.u8(..); rng.usize(..300)]);
        table.put(&key, &value)?;
        put.insert(key, value);
    }
    txn.set_durability(durability);
    let done = txn.commit();
    let with = |pairs: &Pairs| pairs.clone().into_iter().chain(put.clone()).collect();
    let after: Vec<Pairs> = holds.iter().map(with).collect();
    match done {
        Ok(()) => *holds = after,
        Err(Error::OutcomeUnknown { .. }) => holds.extend(after),
        Err(_) => {}
    }
    done
}

fn pairs(db: &Database) -> Result<Pairs> {
    let txn = db.read()?;
    let table = txn.table("main")?;
    let all = table.iter()?.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
    Ok(all.collect::<recto::Result<Pairs>>()?)
}

fn ran(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// A small, empty file system that only this process sees.
fn mounted(dir: &Path, system: FileSystem) -> Result<PathBuf> {
    let (image, there) = (dir.join("image"), dir.join("mounted"));
    fs::create_dir(&there)?;
    File::create(&image)?.set_len(if system == FileSystem::Xfs { 320 << 20 } else { 160 << 20 })?;
    let mut make = Command::new(system.make_tool());
    ran(make.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("-q").arg(&image))?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    ran(Command::new("mount").args(["-o", "loop"]).args([&image, &there]))?;
    Ok(there)
}

fn sync(there: &Path) -> Result<()> {
    let dir = File::open(there)?;
    // SAFETY: an open descriptor. What a full disk has refused is told to whoever has written it.
    unsafe { libc::syncfs(dir.as_raw_fd()) };
    Ok(())
}

/// Takes all room there is.
fn fill(there: &Path) -> Result<()> {
    let mut bytes = vec![0; 1 << 20];
    Rng::with_seed(1).fill(&mut bytes);
    let mut one = File::create(there.join("full"))?;
    for piece in [1 << 20, 4096] {
        while one.write_all(&bytes[..piece]).is_ok() {}
    }
    let _ = one.sync_all();
    let small = |n: u32| -> std::io::Result<()> {
        let mut file = File::create(there.join(format!("full-{n}")))?;
        file.write_all(&bytes[..4096])?;
        file.sync_all()
    };
    let _ = (0..5_000).find(|&n| small(n).is_err());
    sync(there)
}

fn make_room(there: &Path) -> Result<()> {
    for entry in fs::read_dir(there)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("full")) {
            fs::remove_file(path)?;
        }
    }
    sync(there)
}
