//! A range of keys that goes at once, beside the loop that takes out key by key: 900,000 of
//! 1,000,000 keys of 8 bytes with values of 100, in memory, without the flush.
//!
//!     cargo bench -p recto-benches --bench ranges

use recto::{Database, Result, TableMut};
use std::time::{Duration, Instant};

const KEYS: u64 = 1_000_000;
const FROM: u64 = 50_000;
const TO: u64 = 950_000;

fn filled() -> Result<Database> {
    let db = Database::in_memory()?;
    let mut txn = db.write()?;
    let mut table = txn.open_table("main")?;
    for key in 0..KEYS {
        table.put(&key.to_be_bytes(), &[7; 100])?;
    }
    txn.commit()?;
    Ok(db)
}

fn timed(delete: impl FnOnce(&mut TableMut<'_>) -> Result<()>) -> Result<Duration> {
    let db = filled()?;
    let mut txn = db.write()?;
    let begun = Instant::now();
    let mut table = txn.open_table("main")?;
    delete(&mut table)?;
    assert_eq!(table.len(), KEYS - (TO - FROM));
    txn.commit()?;
    Ok(begun.elapsed())
}

fn main() -> Result<()> {
    for _ in 0..5 {
        let range =
            timed(|table| table.delete_range(FROM.to_be_bytes()..TO.to_be_bytes()).map(|_| ()))?;
        let one_by_one = timed(|table| {
            (FROM..TO).try_for_each(|key| table.delete(&key.to_be_bytes()).map(|_| ()))
        })?;
        let times = one_by_one.as_secs_f64() / range.as_secs_f64();
        println!("delete_range {range:>9.2?}   one by one {one_by_one:>9.2?}   {times:>5.0} times");
    }
    Ok(())
}
