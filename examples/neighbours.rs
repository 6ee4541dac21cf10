//! Embeddings: vectors of floats, read in place as `&[f32]`, and the ones nearest to a given one.
//!
//!     cargo run --release --example neighbours -- vectors.recto

use recto::typed::PodSlice;
use recto::{Database, Result, TableDef};

const DIMENSIONS: usize = 64;

/// Vectors by number, and texts that they stand for.
const VECTORS: TableDef<u32, PodSlice<f32>> = TableDef::new("vectors");
const TEXTS: TableDef<u32, &str> = TableDef::new("texts");

/// Something that looks like an embedding: around one of ten centres.
fn vector(number: u32) -> Vec<f32> {
    let component = |n: u32| {
        let centre = (number % 10 * 31 + n).wrapping_mul(2_654_435_761) >> 16;
        let noise = (number * 64 + n).wrapping_mul(2_246_822_519) >> 16;
        (centre as f32 + noise as f32 / 8.0) / 65_536.0 - 0.5
    };
    (0..DIMENSIONS as u32).map(component).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The `count` nearest ones: numbers and squares of distances.
fn nearest(txn: &recto::ReadTxn, to: &[f32], count: usize) -> Result<Vec<(u32, f32)>> {
    let mut found = Vec::new();
    let mut vectors = txn.typed(&VECTORS)?.iter()?;
    while let Some((number, vector)) = vectors.next_ref()? {
        found.push((number, distance(vector, to))); // floats of the file itself, not a copy
    }
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    found.truncate(count);
    Ok(found)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "vectors.recto".into());
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(&path)? };

    let mut txn = db.write()?;
    let (vectors, texts) = (txn.open_typed(&VECTORS)?, txn.open_typed(&TEXTS)?);
    for number in 0..1_000 {
        vectors.put(&mut txn, number, &vector(number))?;
        texts.put(&mut txn, number, &format!("text {number} of group {}", number % 10))?;
    }
    txn.commit()?;

    let txn = db.read()?;
    let texts = txn.typed(&TEXTS)?;
    for (number, distance) in nearest(&txn, &vector(77), 5)? {
        println!("{:.3} {}", distance.sqrt(), texts.get(number)?.unwrap_or_default());
    }
    Ok(())
}
