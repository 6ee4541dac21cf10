//! Write transactions of one thread, each timed.

use crate::contest::{Context, Sample};
use crate::database::Db;
use crate::device::{cat, forget};
use crate::engine::{Engine, Mode};
use crate::outcome::Outcome;
use std::time::{Duration, Instant};

/// Where a device is slow, a round ends after this time.
const BUDGET: Duration = Duration::from_secs(2);

/// `count` commits of `per` random keys, which are there and get new values.
fn commits<E: Engine>(
    db: &mut Db<E>,
    cx: &mut Context,
    per: usize,
    count: usize,
) -> Outcome<Sample> {
    let per = per.min(cx.sizes().keys);
    let picks = cx.picks(per * count);
    let mut latencies = Vec::with_capacity(count);
    let meter = cx.start();
    let begin = Instant::now();
    for batch in picks.chunks(per) {
        let start = Instant::now();
        db.put(cx.data, batch)?;
        latencies.push(start.elapsed().as_nanos() as u64);
        cx.guard.check()?;
        if begin.elapsed() > BUDGET {
            break;
        }
    }
    let mut sample = meter.stop(latencies.len() as u64);
    db.verify_some(cx.data, &picks[..latencies.len() * per])?;
    sample.latencies_ns = latencies;
    Ok(sample)
}

pub fn durable<E: Engine>(
    db: &mut Db<E>,
    cx: &mut Context,
    per: usize,
    count: usize,
) -> Outcome<Sample> {
    commits(db, cx, per, count)
}

/// After something else has read the files in large pieces.
pub fn after_cat<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    db.close()?;
    forget(&db.dir)?;
    cat(&db.dir)?;
    db.open(Mode::Durable)?;
    commits(db, cx, 1, 300)
}

/// Commits that wait for no device, where the engine survives a power cut all the same. What is
/// still to be written when the last one returns is not timed.
pub fn deferred<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    db.open(Mode::Deferred)?;
    let sample = commits(db, cx, 1, 5_000.min(cx.sizes().keys));
    db.open(Mode::Durable)?;
    sample
}

/// One large value a commit; every key once.
pub fn large<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let mut picks: Vec<u32> = (0..db.versions.len() as u32).collect();
    cx.rng().shuffle(&mut picks);
    let mut latencies = vec![];
    let meter = cx.start();
    for pick in &picks {
        let start = Instant::now();
        db.put(cx.data, &[*pick])?;
        latencies.push(start.elapsed().as_nanos() as u64);
        cx.guard.check()?;
    }
    let mut sample = meter.stop(picks.len() as u64);
    db.verify(cx.data)?;
    sample.latencies_ns = latencies;
    Ok(sample)
}
