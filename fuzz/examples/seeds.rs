//! Makes the seed corpora again:
//!
//!     cargo run --manifest-path fuzz/Cargo.toml --example seeds
//!
//! For `open_bytes` small databases that hold every kind of page; for `ops` streams of numbers, as any bytes are operations.

use recto::harness::sim::ProcessOptions;
use recto::harness::{machine, new_file, open};
use recto::{Builder, Database, Durability};
use std::path::{Path, PathBuf};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn corpus(target: &str) -> Outcome<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// The bytes of a database after `work`, cut off behind its last page.
fn image(page_size: usize, work: impl FnOnce(&Database) -> recto::Result<()>) -> Outcome<Vec<u8>> {
    let disk = machine(&new_file(page_size), page_size, 1)?;
    let db = open(disk.process(ProcessOptions::default()), &Builder::default())?;
    work(&db)?;
    db.flush()?;
    let pages = db.info()?.page_count as usize;
    let mut bytes = disk.bytes();
    bytes.truncate(pages * page_size);
    Ok(bytes)
}

fn put(db: &Database, table: &str, keys: std::ops::Range<u32>, len: usize) -> recto::Result<()> {
    let mut txn = db.write()?;
    let mut open = txn.open_table(table)?;
    for i in keys {
        open.put(format!("key {i}").as_bytes(), &vec![i as u8; len])?;
    }
    txn.commit()
}

/// Frees with a reader on the first snapshot: entries in the main queue and in a side queue.
fn frees(db: &Database) -> recto::Result<()> {
    put(db, "t", 0..2, 10)?;
    let reader = db.read()?;
    for round in 0..80 {
        let mut txn = db.write()?;
        txn.set_durability(Durability::Deferred);
        txn.open_table("t")?.put(b"key", &[round; 50])?;
        txn.commit()?;
    }
    drop(reader);
    put(db, "t", 0..1, 20)
}

fn word(b: &[u8], at: usize, len: usize) -> usize {
    b[at..at + len].iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
}

/// Moves the oldest free entry of the main queue out of the newest meta page into a log page at the end. By hand, as a
/// database that comes to that by itself is too large for a seed. Checksums are left to the target.
fn with_log_page(mut image: Vec<u8>) -> Vec<u8> {
    const PAGE: usize = 4096;
    let meta = [0, PAGE].into_iter().max_by_key(|&at| word(&image, at + 32, 8)).unwrap_or(0);
    let log = image.len() / PAGE;
    image.resize((log + 2) * PAGE, 0);
    let entry_at = meta + 512 + 8 * word(&image, meta + 128, 4);
    let page = &mut image[log * PAGE..];
    page[4] = 3;
    page[6] = 1;
    page[24] = log as u8 + 1;
    image.copy_within(meta + 32..meta + 40, log * PAGE + 8);
    image.copy_within(entry_at..entry_at + 24, log * PAGE + 32);
    image.copy_within(entry_at + 24..meta + PAGE, entry_at);
    image[meta + PAGE - 24..meta + PAGE].fill(0);
    image[meta + 40] = log as u8 + 2;
    let queue = meta + 136;
    image[queue + 8] = log as u8;
    image[queue + 16] = log as u8 + 1;
    image[queue + 26] -= 1;
    image[queue + 28] = 1;
    image
}

fn main() -> Outcome<()> {
    let dir = corpus("open_bytes")?;
    let write = |name: &str, options: u8, image: Vec<u8>| -> Outcome<()> {
        println!("{name}: {} bytes", image.len() + 1);
        Ok(std::fs::write(dir.join(name), [&[options][..], &image].concat())?)
    };
    write("empty", 1, image(4096, |_| Ok(()))?)?;
    write("leaf", 1, image(4096, |db| put(db, "t", 0..3, 20))?)?;
    write("leaf-as-it-is", 0, image(4096, |db| put(db, "t", 0..3, 20))?)?;
    write("branch", 1, image(4096, |db| put(db, "t", 0..40, 150))?)?;
    write("overflow", 1, image(4096, |db| put(db, "t", 0..2, 3000))?)?;
    write("large-pages", 3, image(8192, |db| put(db, "t", 0..3, 20))?)?;
    write("direct", 5, image(4096, |db| put(db, "t", 0..2, 10))?)?;
    write("frees", 1, image(4096, frees)?)?;
    write("log-page", 1, with_log_page(image(4096, frees)?))?;

    let dir = corpus("ops")?;
    for (name, seed, len) in [("short", 1u64, 64), ("middle", 2, 512), ("long", 3, 2048)] {
        let mut state = seed;
        let next = || {
            // Mostly small numbers, which name operations and lengths.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let byte = (state >> 56) as u8;
            if state >> 40 & 3 == 0 { byte } else { byte % 12 }
        };
        std::fs::write(dir.join(name), std::iter::repeat_with(next).take(len).collect::<Vec<_>>())?;
    }
    Ok(())
}
