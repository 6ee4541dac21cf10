//! What options of opening give and cost: the figures of docs/performance.md, *Options of opening*.
//!
//!     cargo bench -p recto-benches --bench options -- [--dir DIR] [--keys N] [--only WHAT]
//!
//! WHAT is huge, checksums or exclusive.
//!
//! DIR must lie on a disk. Without `--bench` it runs once on a small file, as a test.

use recto::{Builder, Database, Durability, HugePages, ReadChecksums};
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let (mut dir, mut keys, mut rounds) = (std::env::temp_dir(), 10_000, 1);
    let mut only = String::new();
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--bench") {
        (dir, keys, rounds) = (std::env::current_dir()?.join("target"), 3_000_000, 3);
        args.retain(|a| a != "--bench");
        for pair in args.chunks(2) {
            match pair {
                [name, value] if name == "--dir" => dir = PathBuf::from(value),
                [name, value] if name == "--keys" => keys = value.parse()?,
                [name, value] if name == "--only" => only = value.clone(),
                other => return Err(format!("unknown arguments: {other:?}").into()),
            }
        }
    }
    std::fs::create_dir_all(&dir)?;
    let dir = tempfile::tempdir_in(dir)?;
    let path = dir.path().join("x.recto");
    load(&path, keys)?;
    println!("{keys} keys of 8 bytes, values of 100, {} MiB", path.metadata()?.len() >> 20);
    let wants = |what: &str| only.is_empty() || only == what;
    for round in 0..if wants("huge") { rounds } else { 0 } {
        for huge in [HugePages::Never, HugePages::Always] {
            println!("round {round}, {huge:?}");
            measure(&path, keys, huge)?;
        }
    }
    if wants("checksums") {
        checksums(&path, keys)?;
    }
    if wants("exclusive") {
        exclusive(&path, keys)?;
    }
    Ok(())
}

/// Everything in memory: gets of random keys, a scan, and commits of one key.
fn checksums(path: &Path, keys: u64) -> Outcome<()> {
    for when in [ReadChecksums::Off, ReadChecksums::FirstTouch, ReadChecksums::Always] {
        let mut builder = Builder::default();
        builder.read_checksums(when).huge_pages(HugePages::Never);
        // SAFETY: the directory belongs to the bench.
        let db = unsafe { builder.open(path) }?;
        db.warm_up(|_, _| ControlFlow::Continue(()))?;
        println!("read_checksums({when:?})");
        let txn = db.read()?;
        let table = txn.table("main")?;
        let mut rng = fastrand::Rng::with_seed(1);
        for round in ["first", "second", "third"] {
            let begin = processor_time();
            let pairs = table.iter()?.fold(0u64, |n, pair| n + u64::from(pair.is_ok()));
            let what = format!("a pair of a scan, {round}: processor time");
            line(&what, processor_time() - begin, pairs);
            let gets = keys.min(300_000);
            let begin = processor_time();
            for _ in 0..gets {
                black_box(table.get(&key(rng.u64(..keys)))?);
            }
            line(&format!("get, {round}: processor time"), processor_time() - begin, gets);
        }
        drop(txn);
        commits(&db, path, keys, Durability::Deferred, 1_000)?;
    }
    Ok(())
}

/// Commits without waiting for the device, whose locks weigh most.
fn exclusive(path: &Path, keys: u64) -> Outcome<()> {
    for alone in [false, true, false, true] {
        let mut builder = Builder::default();
        builder.exclusive(alone).huge_pages(HugePages::Never);
        // SAFETY: the directory belongs to the bench.
        let db = unsafe { builder.open(path) }?;
        db.warm_up(|_, _| ControlFlow::Continue(()))?;
        println!("exclusive({alone})");
        commits(&db, path, keys, Durability::Deferred, 5_000)?;
        commits(&db, path, keys, Durability::Durable, 200)?;
        db.close()?;
    }
    Ok(())
}

fn open(path: &Path, huge: HugePages) -> Outcome<Database> {
    let mut builder = Builder::default();
    builder.huge_pages(huge);
    // SAFETY: the directory belongs to the bench.
    Ok(unsafe { builder.open(path) }?)
}

fn key(i: u64) -> [u8; 8] {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn load(path: &Path, keys: u64) -> Outcome<()> {
    let db = open(path, HugePages::Never)?;
    let mut all: Vec<[u8; 8]> = (0..keys).map(key).collect();
    all.sort_unstable();
    for some in all.chunks(100_000) {
        let mut txn = db.write()?;
        let mut table = txn.open_table("main")?;
        for key in some {
            table.append(key, &[7; 100])?;
        }
        txn.commit()?;
    }
    Ok(())
}

fn line(what: &str, time: Duration, times: u64) {
    println!("{:>12.2} us  {what}", time.as_nanos() as f64 / 1e3 / times as f64);
}

/// What this thread has used of a processor: others that run meanwhile count little.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a struct that lives across the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// MiB of files that this process has mapped in pages of 2 MiB.
fn huge_mapped() -> Outcome<u64> {
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    let kib = maps.lines().filter_map(|line| line.strip_prefix("FilePmdMapped:"));
    let kib = kib.filter_map(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.sum::<u64>() >> 10)
}

/// Writes of a device so far, in KiB.
fn written(path: &Path) -> Option<u64> {
    let device = path.metadata().ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(6)?.parse::<u64>().ok().map(|sectors| sectors / 2)
}

fn measure(path: &Path, keys: u64, huge: HugePages) -> Outcome<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    // SAFETY: an open descriptor and integers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let mut rng = fastrand::Rng::with_seed(1);
    let begin = Instant::now();
    let db = open(path, huge)?;
    let txn = db.read()?;
    let table = txn.table("main")?;
    black_box(table.get(&key(rng.u64(..keys)))?);
    line("open and get one key, nothing in the page cache", begin.elapsed(), 1);
    let some = 1_000.min(keys);
    let begin = Instant::now();
    for _ in 0..some {
        black_box(table.get(&key(rng.u64(..keys)))?);
    }
    line("get, of the first 1,000", begin.elapsed(), some);
    let begin = Instant::now();
    db.warm_up(|_, _| ControlFlow::Continue(()))?;
    line("warm_up, a MiB", begin.elapsed(), (path.metadata()?.len() >> 20).max(1));
    println!("{:>12} MiB of it mapped by 2 MiB", huge_mapped()?);
    let gets = keys.min(300_000);
    let mut best = Duration::MAX;
    for _ in 0..9 {
        let begin = processor_time();
        for _ in 0..gets {
            black_box(table.get(&key(rng.u64(..keys)))?);
        }
        best = best.min(processor_time() - begin);
    }
    line("get, everything in memory: processor time, best of nine", best, gets);
    let begin = Instant::now();
    let pairs = table.iter()?.fold(0u64, |n, pair| n + u64::from(pair.is_ok()));
    line("a pair of a scan", begin.elapsed(), pairs);
    drop(txn);
    commits(&db, path, keys, Durability::Deferred, 1_000)?;
    commits(&db, path, keys, Durability::Durable, 200)?;
    if db.check(None)?.fault_count > 0 {
        return Err("the database is damaged".into());
    }
    Ok(())
}

/// Commits of one key each.
fn commits(
    db: &Database,
    path: &Path,
    keys: u64,
    durability: Durability,
    times: u64,
) -> Outcome<()> {
    let mut rng = fastrand::Rng::with_seed(2);
    let before = written(path);
    let (begin, used) = (Instant::now(), processor_time());
    for _ in 0..times {
        let mut txn = db.write()?;
        txn.set_durability(durability);
        txn.open_table("main")?.put(&key(rng.u64(..keys)), &[8; 100])?;
        txn.commit()?;
    }
    line(&format!("commit of one key, {durability:?}"), begin.elapsed(), times);
    line("the same: processor time", processor_time() - used, times);
    if durability == Durability::Deferred {
        db.flush()?;
    }
    if let (Some(before), Some(after)) = (before, written(path)) {
        println!("{:>12.1} KiB written, a commit", (after - before) as f64 / times as f64);
    }
    Ok(())
}
