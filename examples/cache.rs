//! A cache with expiry, for any number of processes: runs a command, unless what it has printed is
//! not older than so many seconds.
//!
//!     cargo run --example cache -- cache.recto 60 curl -s https://example.org
//!     cargo run --example cache -- cache.recto            (what is in it)

use recto::{Database, Durability, Result, TableDef, WriteTxn};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The millisecond at which an entry ends, and what the command has printed.
const ENTRIES: TableDef<&str, (u64, &[u8])> = TableDef::new("entries");
/// The same by its end, so that nothing has to be looked for that is over.
const BY_END: TableDef<(u64, &str), ()> = TableDef::new("by_end");

/// Entries that are kept at most; those that end first make room.
const MOST: u64 = 10_000;
/// Entries that one change clears away at most, so that none takes long.
const AT_ONCE: usize = 100;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// What is there and not over. A read: no lock, and never in the way of a writer.
fn get(db: &Database, key: &str, now: u64) -> Result<Option<Vec<u8>>> {
    let txn = db.read()?;
    let Some(entries) = txn.typed_opt(&ENTRIES)? else { return Ok(None) };
    let entry = entries.get(key)?.filter(|(end, _)| *end > now);
    Ok(entry.map(|(_, output)| output.to_vec()))
}

fn put(db: &Database, key: &str, end: u64, output: &[u8], now: u64) -> Result<()> {
    let mut txn = db.write()?;
    let (entries, by_end) = (txn.open_typed(&ENTRIES)?, txn.open_typed(&BY_END)?);
    if let Some((before, _)) = entries.replace(&mut txn, key, (end, output))? {
        by_end.delete(&mut txn, (before, key))?;
    }
    by_end.put(&mut txn, (end, key), ())?;
    clear_away(&mut txn, now)?;
    txn.commit()
}

/// Takes out what is over, and what is too much. Each entry goes once, so that a change has, over
/// time, one to clear away.
fn clear_away(txn: &mut WriteTxn, now: u64) -> Result<()> {
    let (entries, by_end) = (txn.open_typed(&ENTRIES)?, txn.open_typed(&BY_END)?);
    for _ in 0..AT_ONCE {
        let too_many = entries.view(txn)?.len() > MOST;
        let Some(((end, key), ())) = by_end.view(txn)?.first()? else { break };
        if end > now && !too_many {
            break;
        }
        by_end.delete(txn, (end, &key))?;
        entries.delete(txn, &key)?;
    }
    Ok(())
}

fn list(db: &Database, now: u64) -> Result<()> {
    let txn = db.read()?;
    let (Some(entries), Some(by_end)) = (txn.typed_opt(&ENTRIES)?, txn.typed_opt(&BY_END)?) else {
        return Ok(()); // nobody has put anything yet
    };
    println!("{} entries", entries.len());
    for entry in by_end.range((now, "")..)?.keys() {
        let (end, key) = entry?;
        let bytes = entries.get(&key)?.map_or(0, |(_, output)| output.len());
        println!("for {:.1} s: {bytes} bytes of {key}", (end - now) as f64 / 1000.0);
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = args.first().ok_or("which database?")?;
    // What is lost with the power can be computed again, so no commit waits for the device; all of
    // them are seen by all processes at once. The file never breaks, whatever happens.
    let mut builder = Database::builder();
    builder.durability(Durability::Deferred);
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { builder.open(path)? };
    let [_, seconds, command @ ..] = &args[..] else { return Ok(list(&db, now())?) };
    let (key, program) = (command.join(" "), command.first().ok_or("which command?")?);
    let output = match get(&db, &key, now())? {
        Some(output) => {
            eprintln!("from the cache");
            output
        }
        None => {
            let ran = Command::new(program).args(&command[1..]).output()?;
            if !ran.status.success() {
                return Err(format!("{key}: {}", ran.status).into());
            }
            let (now, kept) = (now(), seconds.parse::<u64>()? * 1000);
            put(&db, &key, now + kept, &ran.stdout, now)?;
            ran.stdout
        }
    };
    std::io::Write::write_all(&mut std::io::stdout(), &output)?;
    Ok(())
}
