//! Calls of tables beside the loops that they stand for: 1,000,000 keys of 8 bytes, spread over
//! the whole tree, with values of 100, in memory; values of three sizes that are made, in a file of
//! each sink. Medians of five, in turns, without flushes.
//!
//!     cargo bench -p recto-benches --bench calls

use recto::{Builder, Database, Entry, Result, Sink, TableMut};
use std::hint::black_box;
use std::time::{Duration, Instant};

const KEYS: u64 = 1_000_000;

fn key(n: u64) -> [u8; 8] {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn filled() -> Result<Database> {
    let db = Database::in_memory()?;
    let mut txn = db.write()?;
    let mut table = txn.open_table("main")?;
    for n in 0..KEYS {
        table.put(&key(n), &[7; 100])?;
    }
    txn.commit()?;
    Ok(db)
}

fn time(what: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    what()?;
    Ok(begun.elapsed())
}

/// Medians of ways that take turns, each for `times` things; the last one is what the others are
/// compared with.
fn compare(
    title: &str,
    times: u64,
    names: &[&str],
    mut ways: impl FnMut(usize) -> Result<Duration>,
) -> Result<()> {
    let mut taken = vec![Vec::new(); names.len()];
    for _ in 0..5 {
        for (way, taken) in taken.iter_mut().enumerate() {
            taken.push(ways(way)?);
        }
    }
    let medians: Vec<f64> = (taken.iter_mut())
        .map(|taken| {
            taken.sort_unstable();
            taken[taken.len() / 2].as_nanos() as f64 / times as f64
        })
        .collect();
    println!("{title}");
    for (name, median) in names.iter().zip(&medians) {
        println!("  {name:<36} {median:>12.0} ns {:>7.2}", median / medians[medians.len() - 1]);
    }
    Ok(())
}

fn ranges(db: &Database) -> Result<()> {
    let txn = db.read()?;
    let table = txn.table("main")?;
    let (from, to) = ([0x40; 8], [0xa0; 8]);
    let names =
        ["count_range", "estimate_range", "split_range, 8 parts", "sample of 1,000", "walk"];
    let mut found = [0; 2];
    compare("3/8 of 1,000,000 pairs", 1, &names, |way| {
        time(|| {
            match way {
                0 => found[0] = table.count_range(from..to)?,
                1 => found[1] = table.estimate_range(from..to)?,
                2 => drop(black_box(table.split_range(from..to, 8)?)),
                3 => drop(black_box(table.sample(1_000, 7)?)),
                _ => {
                    let (mut range, mut count) = (table.range(from..to)?, 0);
                    while range.next_ref()?.is_some() {
                        count += 1;
                    }
                    assert_eq!(black_box(count), found[0]);
                }
            }
            Ok(())
        })
    })?;
    println!("  the estimate is {} for {}", found[1], found[0]);
    Ok(())
}

/// 100,000 keys of which every other is there: a number is counted up, or begun.
fn entries(db: &Database) -> Result<()> {
    const CHANGES: u64 = 100_000;
    let count = |old: Option<&[u8]>| [old.map_or(0, |old| old[0].wrapping_add(1)); 100];
    compare("look and change, a pair", CHANGES, &["entry", "get, then put"], |way| {
        let mut txn = db.write()?;
        let mut table = txn.open_table("main")?;
        let taken = time(|| {
            for n in (KEYS - CHANGES / 2)..(KEYS + CHANGES / 2) {
                let key = key(n);
                if way == 1 {
                    let new = count(table.get(&key)?);
                    table.put(&key, &new)?;
                    continue;
                }
                match table.entry(&key)? {
                    Entry::Occupied(mut there) => {
                        let new = count(Some(there.get()?));
                        there.insert(&new)?;
                    }
                    Entry::Vacant(free) => drop(free.insert(&count(None))?),
                }
            }
            Ok(())
        });
        txn.abort();
        taken
    })
}

fn walks(db: &Database) -> Result<()> {
    compare("every tenth pair goes, a pair", KEYS / 10, &["extract_if", "retain"], |way| {
        let mut txn = db.write()?;
        let mut table = txn.open_table("main")?;
        let mut number = 0u64;
        let mut tenth = || {
            number += 1;
            number.is_multiple_of(10)
        };
        let taken = time(|| match way {
            0 => table.extract_if(.., |_, _| tenth()).try_for_each(|pair| pair.map(drop)),
            _ => table.retain(.., |_, _| !tenth()).map(drop),
        });
        assert_eq!(table.len(), KEYS - KEYS / 10);
        txn.abort();
        taken
    })
}

fn copies(db: &Database) -> Result<()> {
    compare("a copy of the table", 1, &["copy_table", "append in order", "put in order"], |way| {
        let mut txn = db.write()?;
        let taken = time(|| {
            if way == 0 {
                return txn.copy_table("main", "copy");
            }
            let (main, copy) = (txn.open("main")?, txn.open("copy")?);
            let mut cursor = txn.cursor(main);
            while let Some((key, value)) = cursor.next(&txn)? {
                let (key, value) = (key.to_vec(), value.to_vec());
                match way {
                    1 => txn.edit(copy)?.append(&key, &value)?,
                    _ => drop(txn.put(copy, &key, &value)?),
                }
            }
            Ok(())
        });
        assert_eq!(txn.table("copy")?.len(), KEYS);
        txn.abort();
        taken
    })
}

/// Values that are made: in the slice that the table gives, in a buffer for each, and in one that
/// is used again. Ascending keys, so that the tree has little to do.
fn made(sink: Sink, len: usize) -> Result<()> {
    let dir = tempfile::tempdir().expect("a directory can be made");
    // SAFETY: nobody else has the directory.
    let db = unsafe { Builder::default().sink(sink).open(dir.path().join("made.recto"))? };
    let values = (64 << 20) / (len as u64).max(2_000);
    let make = |bytes: &mut [u8], n: u64| bytes.fill(n as u8);
    let names = ["put_with", "put, a buffer for each", "put, the same buffer"];
    compare(&format!("{sink:?}, values of {len} bytes, each"), values, &names, |way| {
        let mut txn = db.write()?;
        let mut table: TableMut<'_> = txn.open_table("main")?;
        let mut buffer = vec![0; len];
        let taken = time(|| {
            for n in 0..values {
                let key = n.to_be_bytes();
                match way {
                    0 => table.put_with(&key, len, |bytes| make(bytes, n))?,
                    1 => {
                        let mut buffer = vec![0; len];
                        make(&mut buffer, n);
                        table.put(&key, &buffer)?
                    }
                    _ => {
                        make(&mut buffer, n);
                        table.put(&key, &buffer)?
                    }
                };
            }
            Ok(())
        });
        txn.abort();
        taken
    })
}

fn main() -> Result<()> {
    let db = filled()?;
    ranges(&db)?;
    entries(&db)?;
    walks(&db)?;
    copies(&db)?;
    drop(db);
    for sink in [Sink::Staged, Sink::Direct] {
        for len in [100, 4 << 10, 1 << 20] {
            made(sink, len)?;
        }
    }
    Ok(())
}
