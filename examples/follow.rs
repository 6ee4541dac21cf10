//! One process writes, others follow: each prints what it sees as soon as it is committed.
//!
//!     cargo run --example follow -- ticks.recto            (as often as you like, in several terminals)
//!     cargo run --example follow -- ticks.recto write 10   (in another one)

use recto::{Database, Durability};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = args.first().map_or("ticks.recto", String::as_str);
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(path)? };
    match args.get(1).map(String::as_str) {
        Some("write") => write(&db, args.get(2).map_or(Ok(10), |n| n.parse())?)?,
        _ => follow(&db)?,
    }
    Ok(())
}

/// Deferred commits: visible at once, in all processes; durable with the flush at the end.
fn write(db: &Database, ticks: u64) -> recto::Result<()> {
    for tick in 0..ticks {
        let mut txn = db.write()?;
        txn.set_durability(Durability::Deferred);
        txn.open_table("ticks")?.put(b"last", &tick.to_be_bytes())?;
        txn.commit()?;
        std::thread::sleep(Duration::from_millis(200));
    }
    db.flush()
}

/// Until nothing has come for five seconds.
fn follow(db: &Database) -> recto::Result<()> {
    let mut changes = db.changes()?;
    while let Some(commits) = changes.wait(Some(Duration::from_secs(5)))? {
        if let Some(table) = db.read()?.table_opt("ticks")?
            && let Some(tick) = table.get(b"last")?
        {
            println!("transaction {}: {}", commits.to(), tick.escape_ascii());
        }
    }
    println!("nothing more");
    Ok(())
}
