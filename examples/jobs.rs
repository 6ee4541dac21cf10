//! A queue of jobs for any number of processes: each job is a line for the shell, is run by one
//! worker, and comes back when that worker dies.
//!
//!     cargo run --example jobs -- jobs.recto add 5 'gzip -k big.log'   (0 is the most urgent)
//!     cargo run --example jobs -- jobs.recto work                      (in as many terminals as you like)
//!     cargo run --example jobs -- jobs.recto list

use recto::{Database, Result, TableDef, WriteTxn};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Jobs that wait, by urgency and number.
const READY: TableDef<(u8, u64), &str> = TableDef::new("ready");
/// Jobs at work, by the second at which the worker counts as dead, and number: urgency and job.
const RUNNING: TableDef<(u64, u64), (u8, &str)> = TableDef::new("running");
/// Exit codes, by number; None where a signal ended it.
const DONE: TableDef<u64, (Option<i32>, &str)> = TableDef::new("done");
/// The number of the newest job.
const NUMBERS: TableDef<&str, u64> = TableDef::new("numbers");

/// Seconds for which a worker has a job to itself. A job that takes longer is run twice: make it
/// longer than any of yours, or let the worker renew it.
const LEASE: u64 = 600;

/// A job that a worker has.
struct Job {
    until: u64,
    number: u64,
    urgency: u8,
    line: String,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn add(db: &Database, urgency: u8, line: &str) -> Result<u64> {
    let mut txn = db.write()?;
    let (ready, numbers) = (txn.open_typed(&READY)?, txn.open_typed(&NUMBERS)?);
    let next = |newest: Option<u64>| Some(newest.unwrap_or(0) + 1);
    let number = numbers.update(&mut txn, "job", next)?.unwrap_or(0);
    ready.put(&mut txn, (urgency, number), line)?;
    txn.commit()?; // on the device: a job that was taken in is never lost
    Ok(number)
}

/// Jobs of dead workers wait again.
fn take_back(txn: &mut WriteTxn, now: u64) -> Result<u64> {
    let (ready, running) = (txn.open_typed(&READY)?, txn.open_typed(&RUNNING)?);
    let (mut cursor, mut count) = (running.cursor(txn), 0);
    while let Some(((until, number), (urgency, line))) = cursor.next(txn)? {
        if until > now {
            break; // they stand in the order of this time
        }
        let line = line.to_owned();
        ready.put(txn, (urgency, number), &line)?;
        cursor.delete(txn)?;
        count += 1;
    }
    Ok(count)
}

/// Takes the first job. Two workers never get the same one, as there is one write transaction at a
/// time over all processes; the lease is durable before the job begins.
fn claim(db: &Database) -> Result<Option<Job>> {
    let (mut txn, now) = (db.write()?, now());
    let (ready, running) = (txn.open_typed(&READY)?, txn.open_typed(&RUNNING)?);
    take_back(&mut txn, now)?;
    let Some(((urgency, number), line)) = ready.edit(&mut txn)?.pop_first()? else {
        return Ok(None); // dropped: nothing has changed
    };
    let job = Job { until: now + LEASE, number, urgency, line };
    running.put(&mut txn, (job.until, number), (urgency, &job.line))?;
    txn.commit()?;
    Ok(Some(job))
}

/// Notes how a job has ended; false if it was given to somebody else meanwhile.
fn finish(db: &Database, job: &Job, code: Option<i32>) -> Result<bool> {
    let mut txn = db.write()?;
    let (running, done) = (txn.open_typed(&RUNNING)?, txn.open_typed(&DONE)?);
    if !running.delete(&mut txn, (job.until, job.number))? {
        return Ok(false);
    }
    done.put(&mut txn, job.number, (code, &job.line))?;
    txn.commit()?;
    Ok(true)
}

/// Works until there is nothing to do for a second; sleeps, and does not poll, between jobs.
fn work(db: &Database) -> std::result::Result<(), Box<dyn std::error::Error>> {
    loop {
        // Looked at first, so that a job which comes in between wakes it.
        let seen = db.read()?.id();
        let Some(job) = claim(db)? else {
            match db.wait_for_commit(seen, Some(Duration::from_secs(1)))? {
                newest if newest == seen => return Ok(()),
                _ => continue,
            }
        };
        let code = Command::new("sh").arg("-c").arg(&job.line).status()?.code();
        let kept = finish(db, &job, code)?;
        let outcome = if kept { "done" } else { "done too late" };
        println!("job {} (urgency {}): {outcome}, {code:?}", job.number, job.urgency);
    }
}

fn list(db: &Database) -> Result<()> {
    let txn = db.read()?; // all three tables of one moment: no job is missing or there twice
    if let Some(ready) = txn.typed_opt(&READY)? {
        for job in ready.iter()? {
            let ((urgency, number), line) = job?;
            println!("{number} waits (urgency {urgency}): {line}");
        }
    }
    if let Some(running) = txn.typed_opt(&RUNNING)? {
        for job in running.iter()? {
            let ((until, number), (_, line)) = job?;
            println!("{number} is at work for another {} s: {line}", until.saturating_sub(now()));
        }
    }
    if let Some(done) = txn.typed_opt(&DONE)? {
        for job in done.iter()? {
            let (number, (code, line)) = job?;
            println!("{number} has ended with {code:?}: {line}");
        }
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
        ["add", urgency, line] => println!("job {}", add(&db, urgency.parse()?, line)?),
        ["work"] => work(&db)?,
        ["list"] => list(&db)?,
        _ => return Err("DATABASE, then `add URGENCY LINE`, `work` or `list`".into()),
    }
    Ok(())
}
