//! A large load that can be interrupted: batches of deferred commits, and a flush now and then. Run again, it goes on where it stopped. For
//! keys in order, as here; where they come in none, `Database::loader` sorts them first, and loads all or nothing.
//!
//!     cargo run --release --example load -- numbers.recto 1000000

use recto::{Database, Durability};

/// Keys of one transaction, and transactions between two flushes.
const BATCH: u64 = 10_000;
const FLUSH: u64 = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "numbers.recto".into());
    let keys: u64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(&path)? };
    // Keys in ascending order fill their pages, and say how far an earlier run came.
    let mut next = match db.read()?.table("numbers") {
        Ok(table) => table.last()?.map_or(0, |(key, _)| number(&key) + 1),
        Err(recto::Error::NoSuchTable(_)) => 0,
        Err(e) => return Err(e.into()),
    };
    println!("{next} keys are there");
    while next < keys {
        let end = (next + BATCH).min(keys);
        let mut txn = db.write()?;
        txn.set_durability(Durability::Deferred);
        let mut table = txn.open_table("numbers")?;
        for key in next..end {
            table.put(&key.to_be_bytes(), &(key * key).to_le_bytes())?;
        }
        txn.commit()?;
        next = end;
        if (next / BATCH).is_multiple_of(FLUSH) {
            db.flush()?;
        }
    }
    db.flush()?;
    println!("{} keys, {} bytes", db.read()?.table("numbers")?.len(), db.info()?.file_bytes);
    Ok(())
}

fn number(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.first_chunk().copied().unwrap_or_default())
}
