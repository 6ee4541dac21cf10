//! Sets of values of recto beside LMDB's (`MDB_DUPSORT`, and `MDB_DUPFIXED` for values of one size)
//! and redb's multimap tables: pairs put in random order, read again, and the room that they take.
//!
//!     cargo run --release --no-default-features --features lmdb,redb --example sets
//!
//! One transaction puts all pairs, and is committed without waiting for the device as far as an
//! engine can do that. Each answer is held against the count and the sum of what was put. Engines
//! take turns, three rounds; the medians are printed, and ratios to recto's (above 1: recto is
//! faster, or takes less room).

use heed::types::Bytes;
use heed::{CommitOrAbort, DatabaseFlags, EnvFlags, EnvOpenOptions};
use recto::{Durability, TableOptions};
use redb::{MultimapTableDefinition, ReadableDatabase, ReadableMultimapTable};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Pairs in all.
const PAIRS: u64 = 1_000_000;
/// Keys that are asked for one by one.
const GETS: u64 = 200_000;

/// How pairs are spread: keys, and bytes of each value.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    keys: u64,
    value: usize,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "one value of 8 bytes a key", keys: PAIRS, value: 8 },
    Shape { name: "10 values of 8 bytes a key", keys: PAIRS / 10, value: 8 },
    Shape { name: "10,000 values of 8 bytes a key", keys: PAIRS / 10_000, value: 8 },
    Shape { name: "10 values of 40 bytes a key", keys: PAIRS / 10, value: 40 },
];

impl Shape {
    fn pair(self, n: u64) -> ([u8; 8], Vec<u8>) {
        // Each number once, in an order that looks random.
        let n = n * 48_271 % PAIRS;
        let mut value = vec![b'v'; self.value];
        value[..8].copy_from_slice(&(n / self.keys * 7_919).to_be_bytes());
        ((n % self.keys).to_be_bytes(), value)
    }
}

/// What an engine took: seconds to put, to read all, to read keys one by one; bytes of its file.
#[derive(Clone, Copy, Default)]
struct Took([f64; 4]);

const COLUMNS: [&str; 4] = ["put", "read all", "read keys", "bytes"];

/// Reads are checked: pairs, and a sum of their values.
#[derive(PartialEq, Debug, Default, Clone, Copy)]
struct Sum(u64, u64);

impl Sum {
    fn add(&mut self, value: &[u8]) {
        self.0 += 1;
        self.1 = self.1.wrapping_add(u64::from(value[7]) + u64::from(value[6]) * 256);
    }
}

fn recto(dir: &Path, shape: Shape) -> Outcome<(Took, [Sum; 2])> {
    let path = dir.join("recto");
    // SAFETY: the directory belongs to this run.
    let db = unsafe { recto::Database::open(&path)? };
    let begun = Instant::now();
    let mut txn = db.write()?;
    txn.set_durability(Durability::Deferred);
    let options = TableOptions::set_of(shape.value as u16);
    let mut table = txn.open_set_with("sets", &options)?;
    for n in 0..PAIRS {
        let (key, value) = shape.pair(n);
        table.insert(&key, &value)?;
    }
    txn.commit()?;
    let put = begun.elapsed().as_secs_f64();
    let txn = db.read()?;
    let table = txn.set("sets")?;
    let begun = Instant::now();
    let mut all = Sum::default();
    for entry in table.iter()? {
        for value in entry?.1 {
            all.add(&value?);
        }
    }
    let read = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let mut some = Sum::default();
    for n in 0..GETS.min(shape.keys * 10) {
        for value in table.get(&(n * 7 % shape.keys).to_be_bytes())?.take(10) {
            some.add(&value?);
        }
    }
    let keys = begun.elapsed().as_secs_f64();
    db.flush()?;
    let stats = table.stats();
    let pages = stats.branch_pages + stats.leaf_pages + stats.overflow_pages;
    Ok((Took([put, read, keys, pages as f64 * 4096.0]), [all, some]))
}

fn lmdb(dir: &Path, shape: Shape) -> Outcome<(Took, [Sum; 2])> {
    let dir = dir.join("lmdb");
    std::fs::create_dir(&dir)?;
    let mut options = EnvOpenOptions::new();
    // SAFETY: the directory belongs to this run; no lock is given up.
    let env = unsafe {
        options.map_size(1 << 34).max_dbs(1).flags(EnvFlags::NO_META_SYNC | EnvFlags::NO_SYNC).open(&dir)?
    };
    let flags = DatabaseFlags::DUP_SORT | DatabaseFlags::DUP_FIXED;
    let made = env.create_databases_and_commit(env.write_txn()?, |opener, txn| {
        let mut options = opener.database_options().types::<Bytes, Bytes>();
        options.name("sets").flags(flags);
        options.create(txn).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    let table = made.unwrap_commit();
    let mut txn = env.write_txn()?;
    let begun = Instant::now();
    for n in 0..PAIRS {
        let (key, value) = shape.pair(n);
        table.put(&mut txn, &key, &value)?;
    }
    txn.commit()?;
    let put = begun.elapsed().as_secs_f64();
    let txn = env.read_txn()?;
    let begun = Instant::now();
    let mut all = Sum::default();
    for pair in table.iter(&txn)?.move_through_duplicate_values() {
        all.add(pair?.1);
    }
    let read = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let mut some = Sum::default();
    for n in 0..GETS.min(shape.keys * 10) {
        let key = (n * 7 % shape.keys).to_be_bytes();
        if let Some(values) = table.get_duplicates(&txn, &key)? {
            for pair in values.take(10) {
                some.add(pair?.1);
            }
        }
    }
    let keys = begun.elapsed().as_secs_f64();
    // Pages of sub-databases are in no statistics: what the file has been filled to.
    let bytes = env.info().last_page_number as f64 * 4096.0;
    Ok((Took([put, read, keys, bytes]), [all, some]))
}

fn redb(dir: &Path, shape: Shape) -> Outcome<(Took, [Sum; 2])> {
    const SETS: MultimapTableDefinition<&[u8], &[u8]> = MultimapTableDefinition::new("sets");
    let db = redb::Database::create(dir.join("redb"))?;
    let begun = Instant::now();
    let mut txn = db.begin_write()?;
    txn.set_durability(redb::Durability::None)?;
    {
        let mut table = txn.open_multimap_table(SETS)?;
        for n in 0..PAIRS {
            let (key, value) = shape.pair(n);
            table.insert(&key[..], &value[..])?;
        }
    }
    txn.commit()?;
    let put = begun.elapsed().as_secs_f64();
    let txn = db.begin_read()?;
    let table = txn.open_multimap_table(SETS)?;
    let begun = Instant::now();
    let mut all = Sum::default();
    for entry in table.iter()? {
        for value in entry?.1 {
            all.add(value?.value());
        }
    }
    let read = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let mut some = Sum::default();
    for n in 0..GETS.min(shape.keys * 10) {
        for value in table.get(&(n * 7 % shape.keys).to_be_bytes()[..])?.take(10) {
            some.add(value?.value());
        }
    }
    let keys = begun.elapsed().as_secs_f64();
    drop((table, txn));
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    let bytes = stats.allocated_pages() as f64 * stats.page_size() as f64;
    Ok((Took([put, read, keys, bytes]), [all, some]))
}

fn median(rounds: &[Took]) -> [f64; 4] {
    std::array::from_fn(|column| {
        let mut values: Vec<f64> = rounds.iter().map(|took| took.0[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}

type Run = fn(&Path, Shape) -> Outcome<(Took, [Sum; 2])>;
const ENGINES: [(&str, Run); 3] = [("recto", recto), ("lmdb", lmdb), ("redb", redb)];

fn main() -> Outcome<()> {
    for shape in SHAPES {
        println!("{}", shape.name);
        let mut took = [const { Vec::new() }; 3];
        let mut sums = None;
        for _ in 0..3 {
            for (engine, took) in ENGINES.iter().zip(&mut took) {
                let dir = tempfile::tempdir_in(".")?;
                let (this, found) = engine.1(dir.path(), shape)?;
                assert_eq!(*sums.get_or_insert(found), found, "{} answers otherwise", engine.0);
                took.push(this);
            }
        }
        let ours = median(&took[0]);
        for (engine, took) in ENGINES.iter().zip(&took) {
            let theirs = median(took);
            let cells: Vec<String> = (0..4)
                .map(|i| {
                    let ratio = theirs[i] / ours[i];
                    match i {
                        3 => format!("{} {:6.1} MiB {ratio:5.2}", COLUMNS[i], theirs[i] / 1048576.0),
                        _ => format!("{} {:8.1} ms {ratio:5.2}", COLUMNS[i], theirs[i] * 1e3),
                    }
                })
                .collect();
            println!("  {:5}  {}", engine.0, cells.join("   "));
        }
    }
    Ok(())
}
