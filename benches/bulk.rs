//! Random pairs by a loader beside durable batches of 10,000: 16-byte keys, values of 100 bytes, each into a new file.
//!
//!     cargo bench -p recto-benches --bench bulk -- [--dir DIR] [--pairs N] [--memory MIB] [--rounds N] [--only load]
//!
//! DIR must lie on a disk: tmpfs syncs nothing. Bytes written are those that this process has handed to `write` calls,
//! by /proc/self/io, without those of the loader's temporary files. `--only load` leaves out the batches, which take
//! several times as long. Without `--bench` it runs once on a few pairs, as a test.

use recto::{Database, LoadOptions, TableKind};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

const BATCH: u64 = 10_000;

struct Sizes {
    dir: PathBuf,
    pairs: u64,
    memory: usize,
    rounds: u64,
    only_load: bool,
}

impl Sizes {
    fn from_args() -> Outcome<Sizes> {
        let mut args: Vec<String> = std::env::args().skip(1).collect();
        let (dir, memory) = (std::env::temp_dir(), LoadOptions::MEMORY);
        let mut sizes = Sizes { dir, pairs: 30_000, memory: 1 << 20, rounds: 1, only_load: false };
        if !args.iter().any(|a| a == "--bench") {
            return Ok(sizes);
        }
        args.retain(|a| a != "--bench");
        let dir = std::env::current_dir()?.join("target");
        sizes = Sizes { dir, pairs: 10_000_000, memory, rounds: 1, only_load: false };
        for pair in args.chunks(2) {
            match pair {
                [name, value] if name == "--dir" => sizes.dir = value.into(),
                [name, value] if name == "--pairs" => sizes.pairs = value.parse()?,
                [name, value] if name == "--memory" => sizes.memory = value.parse::<usize>()? << 20,
                [name, value] if name == "--rounds" => sizes.rounds = value.parse()?,
                [name, value] if name == "--only" && value == "load" => sizes.only_load = true,
                other => return Err(format!("unknown arguments: {other:?}").into()),
            }
        }
        Ok(sizes)
    }
}

/// The same pairs each time.
fn pairs(count: u64) -> impl Iterator<Item = ([u8; 16], [u8; 100])> {
    let mut rng = fastrand::Rng::with_seed(7);
    (0..count).map(move |n| (rng.u128(..).to_be_bytes(), [n as u8; 100]))
}

/// Bytes that this process has handed to `write` calls so far.
fn written() -> Outcome<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.ok_or("no wchar in /proc/self/io")?.trim().parse()?)
}

/// What a way of loading took.
struct Took {
    time: Duration,
    /// Bytes written into the file of the database, and the pages of its table in bytes.
    written: u64,
    table: u64,
}

fn open(dir: &Path) -> Outcome<(tempfile::TempDir, Database)> {
    let dir = tempfile::tempdir_in(dir)?;
    // SAFETY: nobody else has the directory.
    let db = unsafe { Database::open(dir.path().join("bulk.recto"))? };
    Ok((dir, db))
}

fn table_bytes(db: &Database, pairs: u64) -> Outcome<u64> {
    let txn = db.read()?;
    let stats = txn.table("main")?.stats();
    assert_eq!(stats.entries, pairs, "all pairs are there");
    let pages = stats.leaf_pages + stats.branch_pages + stats.overflow_pages;
    Ok(pages * u64::from(db.info()?.page_size))
}

fn load(sizes: &Sizes) -> Outcome<Took> {
    let (_dir, db) = open(&sizes.dir)?;
    let (begun, before) = (Instant::now(), written()?);
    let mut loader = db.loader(TableKind::Map, &LoadOptions::default().memory(sizes.memory));
    for (key, value) in pairs(sizes.pairs) {
        loader.push(&key, &value)?;
    }
    let pushed = begun.elapsed();
    let mut txn = db.write()?;
    let table = txn.open("main")?;
    let loaded = loader.finish(&mut txn, table)?;
    let merged = begun.elapsed();
    txn.commit()?;
    let (time, written) = (begun.elapsed(), written()? - before - loaded.temp_bytes);
    println!(
        "  load: {} runs, {} passes; {:.1} s to push, {:.1} s to merge and put, {:.1} s to commit",
        loaded.runs,
        loaded.passes,
        pushed.as_secs_f64(),
        (merged - pushed).as_secs_f64(),
        (time - merged).as_secs_f64()
    );
    Ok(Took { time, written, table: table_bytes(&db, sizes.pairs)? })
}

fn batches(sizes: &Sizes) -> Outcome<Took> {
    let (_dir, db) = open(&sizes.dir)?;
    let (begun, before) = (Instant::now(), written()?);
    let mut pairs = pairs(sizes.pairs).peekable();
    while pairs.peek().is_some() {
        let mut txn = db.write()?;
        let mut table = txn.open_table("main")?;
        for (key, value) in pairs.by_ref().take(BATCH as usize) {
            table.put(&key, &value)?;
        }
        txn.commit()?;
    }
    let (time, written) = (begun.elapsed(), written()? - before);
    Ok(Took { time, written, table: table_bytes(&db, sizes.pairs)? })
}

fn say(what: &str, took: &Took, pairs: u64) {
    println!(
        "{what:<24} {:>8.1} s {:>8.0} ns a pair; table of {} MiB, {:.2} times written",
        took.time.as_secs_f64(),
        took.time.as_nanos() as f64 / pairs as f64,
        took.table >> 20,
        took.written as f64 / took.table as f64
    );
}

fn main() -> Outcome<()> {
    let sizes = Sizes::from_args()?;
    std::fs::create_dir_all(&sizes.dir)?;
    println!("{} random pairs, {} MiB of memory for the loader", sizes.pairs, sizes.memory >> 20);
    for _ in 0..sizes.rounds {
        let loaded = load(&sizes)?;
        say("load", &loaded, sizes.pairs);
        if !sizes.only_load {
            let batched = batches(&sizes)?;
            say("durable batches", &batched, sizes.pairs);
            println!(
                "  {:.1} times as fast",
                batched.time.as_secs_f64() / loaded.time.as_secs_f64()
            );
        }
    }
    Ok(())
}
