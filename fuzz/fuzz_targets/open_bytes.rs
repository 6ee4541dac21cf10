//! Any bytes as a database file: every call gives an answer or an error, never a panic and never a loop without end.
//!
//! Input: one byte of options, then the image. Bit 0: checksums are repaired after the mutation, as otherwise few mutants get
//! beyond them. Bit 1: pages of 8 KiB instead of 4. Bit 2: direct sink.
//!
//! The image goes onto a simulated machine, so nothing of one run is left for the next.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use recto::harness::sim::ProcessOptions;
use recto::harness::{check_image, machine, open};
use recto::{Builder, Database, ReadTxn, Sink, Table};

const META: usize = 4096;
const MAX_PAGES: usize = 64;
/// Pairs looked at: a damaged tree may show the same page any number of times.
const MAX_PAIRS: usize = 1000;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((&options, image)) = data.split_first() else { return Corpus::Reject };
    let page_size = if options & 2 == 0 { 4096 } else { 8192 };
    if image.len() > MAX_PAGES * page_size {
        return Corpus::Reject;
    }
    let mut image = image.to_vec();
    if options & 1 != 0 {
        image.resize(image.len().next_multiple_of(page_size), 0);
        repair(&mut image, page_size);
    }
    let _ = check_image(&image);
    let direct = options & 4 != 0;
    let Ok(disk) = machine(&image, page_size, 1) else { return Corpus::Keep };
    let process = disk.process(ProcessOptions { direct, ..ProcessOptions::default() });
    let mut builder = Builder::default();
    builder.sink(if direct { Sink::Direct } else { Sink::Staged });
    if let Ok(db) = open(process, &builder) {
        use_database(&db);
    }
    Corpus::Keep
});

fn use_database(db: &Database) {
    if let Ok(txn) = db.read() {
        read(&txn);
    }
    let _ = db.info();
    let _ = db.check(None);
    let _ = write(db);
    if let Ok(txn) = db.read() {
        read(&txn);
    }
}

fn names(txn: &ReadTxn) -> Vec<String> {
    let mut names: Vec<String> =
        txn.tables().unwrap_or_default().into_iter().map(|t| t.name).collect();
    names.truncate(8);
    names
}

fn read(txn: &ReadTxn) {
    for name in names(txn) {
        if let Ok(table) = txn.table(&name) {
            let _ = read_table(&table);
        }
    }
}

fn read_table(table: &Table<'_>) -> recto::Result<()> {
    let _ = (table.stats(), table.first(), table.last(), table.get(b""), table.get(b"key 7"));
    let mut keys = Vec::new();
    for pair in table.iter()?.take(MAX_PAIRS) {
        let (key, value) = pair?;
        keys.push(key.to_vec());
        // Touches both ends of the value.
        std::hint::black_box((value.first(), value.last()));
    }
    for pair in table.iter()?.rev().take(MAX_PAIRS) {
        std::hint::black_box(pair?.1.len());
    }
    for key in keys.iter().take(50) {
        let _ = table.get(key)?;
        let front = &key[..key.len() / 2];
        for pair in table.prefix(front)?.take(10) {
            pair?;
        }
    }
    Ok(())
}

fn write(db: &Database) -> recto::Result<()> {
    let names = names(&db.read()?);
    for name in &names {
        let keys: Vec<_> = {
            let txn = db.read()?;
            let Ok(range) = txn.table(name).and_then(|t| t.iter()) else { continue };
            range.take(40).map_while(|p| p.ok()).map(|(key, _)| key.to_vec()).collect()
        };
        let mut txn = db.write()?;
        let mut table = txn.open_table(name)?;
        for (i, key) in keys.iter().enumerate() {
            match i % 3 {
                0 => table.delete(key)?,
                1 => table.put(key, &[9; 300])?,
                _ => table.put(key, &[9; 5000])?,
            };
        }
        for i in 0..40u32 {
            table.put(&i.to_be_bytes(), &[7; 200])?;
        }
        txn.commit()?;
    }
    let mut txn = db.write()?;
    txn.open_table("new")?.put(b"key", &[1; 20_000])?;
    txn.commit()?;
    let mut txn = db.write()?;
    if let Some(name) = names.first() {
        txn.drop_table(name)?;
    }
    txn.commit()?;
    db.flush()
}

fn word(b: &[u8], at: usize, len: usize) -> usize {
    b[at..at + len].iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
}

/// Makes every checksum of pages, manifests and metas right.
fn repair(image: &mut [u8], page_size: usize) {
    for (id, page) in image.chunks_exact_mut(page_size).enumerate().skip(2) {
        if (1..=3).contains(&page[4]) {
            let crc = numbered_crc(id, &page[4..]);
            page[..4].copy_from_slice(&crc.to_le_bytes());
        }
    }
    for slot in 0..2 {
        let start = slot * page_size;
        if image.len() >= start + META {
            let mut meta = image[start..start + META].to_vec();
            repair_manifest(&mut meta, image, page_size);
            meta[508..512].fill(0);
            let crc = crc32fast::hash(&meta);
            meta[508..512].copy_from_slice(&crc.to_le_bytes());
            image[start..start + META].copy_from_slice(&meta);
        }
    }
}

/// Puts the checksums that pages have now into the manifest, as far as it can be found.
fn repair_manifest(meta: &mut [u8], image: &[u8], page_size: usize) {
    let inline: usize = (0..4).map(|queue| word(meta, 136 + 32 * queue + 26, 2)).sum();
    let mut at = 512usize.saturating_add(word(meta, 128, 4) * 8 + inline * 24);
    for _ in 0..word(meta, 112, 4) {
        if at + 12 > META {
            return;
        }
        let (page, pages) = (word(meta, at, 6), word(meta, at + 10, 2));
        let start = page.saturating_mul(page_size);
        let end = start.saturating_add(pages.max(1) * page_size);
        if let Some(bytes) = image.get(start..end) {
            let crc = numbered_crc(page, if pages == 0 { &bytes[4..] } else { bytes });
            meta[at + 6..at + 10].copy_from_slice(&crc.to_le_bytes());
        }
        at += 12;
    }
}

fn numbered_crc(page: usize, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(page as u64).to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}
