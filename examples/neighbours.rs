//! Embeddings: vectors of floats, read in place as `&[f32]`, and those nearest to a given one.
//!
//!     cargo run --release --example neighbours -- vectors.recto add < vectors   (text, tab, numbers)
//!     cargo run --release --example neighbours -- vectors.recto like 'some text' 5

use recto::typed::PodSlice;
use recto::{Database, ReadTxn, Result, TableDef};
use std::io::BufRead;

/// Vectors by number, and texts that they stand for. Each vector begins at a multiple of 64 bytes:
/// a line of the processor's cache, and what its widest instructions like.
const VECTORS: TableDef<u32, PodSlice<f32>> = TableDef::new("vectors").align(64);
const TEXTS: TableDef<u32, &str> = TableDef::new("texts");
const BY_TEXT: TableDef<&str, u32> = TableDef::new("by_text");

/// One transaction: whoever searches meanwhile sees what was there before.
fn add(db: &Database) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut txn = db.write()?;
    let (vectors, texts) = (txn.open_typed(&VECTORS)?, txn.open_typed(&TEXTS)?);
    let by_text = txn.open_typed(&BY_TEXT)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (text, numbers) = line.split_once('\t').ok_or("a line is TEXT, tab, numbers")?;
        let numbers = numbers.split_whitespace().map(str::parse);
        let vector: Vec<f32> = numbers.collect::<std::result::Result<_, _>>()?;
        // A text that is there gets another vector, a new one the next number.
        let number = match by_text.get(&txn, text)? {
            Some(number) => number,
            None => texts.view(&txn)?.last()?.map_or(0, |(last, _)| last + 1),
        };
        vectors.put(&mut txn, number, &vector)?;
        texts.put(&mut txn, number, text)?;
        by_text.put(&mut txn, text, number)?;
    }
    println!("{} vectors", vectors.view(&txn)?.len());
    Ok(txn.commit()?)
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The `count` nearest ones: squares of distances, and numbers.
fn nearest(txn: &ReadTxn, to: &[f32], count: usize) -> Result<Vec<(f32, u32)>> {
    let mut found: Vec<(f32, u32)> = Vec::new();
    let mut vectors = txn.typed(&VECTORS)?.iter()?;
    while let Some((number, vector)) = vectors.next_ref()? {
        // Floats of the file itself, not a copy.
        if vector.len() != to.len() {
            continue;
        }
        let here = distance(vector, to);
        let at = found.partition_point(|(distance, _)| *distance <= here);
        if at < count {
            found.insert(at, (here, number));
            found.truncate(count);
        }
    }
    Ok(found)
}

fn like(db: &Database, text: &str, count: usize) -> Result<()> {
    let txn = db.read()?;
    let texts = txn.typed(&TEXTS)?;
    let Some(number) = txn.typed(&BY_TEXT)?.get(text)? else {
        println!("no vector of {text:?}");
        return Ok(());
    };
    let vector = txn.typed(&VECTORS)?.get(number)?.unwrap_or_default();
    for (distance, number) in nearest(&txn, vector, count)? {
        println!("{:.3} {}", distance.sqrt(), texts.get(number)?.unwrap_or_default());
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [path, verb @ ..] = &args[..] else { return Err("which database?".into()) };
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(path)? };
    match verb {
        ["add"] => add(&db)?,
        ["like", text, count] => like(&db, text, count.parse()?)?,
        _ => return Err("DATABASE, then `add` or `like TEXT COUNT`".into()),
    }
    Ok(())
}
