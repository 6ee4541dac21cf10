//! Writes until it is killed: one thread for each lane, all through one handle, so that their
//! commits form groups.

use super::{Child, Seen, beat, listen, look, lost, say, take_over, told};
use crate::kill::acks::LaneLog;
use crate::kill::content::{self, Row};
use fastrand::Rng;
use recto::{Database, Durability, Error, WriteTxn};
use std::time::Duration;

pub fn run(child: &Child) -> Result<(), String> {
    listen();
    let db = told(child.open(), "open")?;
    say("open");
    std::thread::scope(|s| {
        for &lane in &child.own {
            let db = &db;
            s.spawn(move || {
                if let Err(why) = write_lane(child, db, lane) {
                    lost(format!("lane {lane}: {why}"));
                }
            });
        }
    });
    Ok(())
}

fn write_lane(child: &Child, db: &Database, lane: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(child.seed ^ lane << 40);
    let mut log = LaneLog::open(&child.dir, lane).map_err(|e| e.to_string())?;
    let mut row = take_over(child, db, &mut log, lane)?;
    let mut seen = Seen::default();
    let mut beats = 0;
    loop {
        beat(&mut beats);
        if rng.u8(..4) == 0 {
            std::thread::sleep(Duration::from_micros(rng.u64(..2_000)));
        }
        row = transact(child, db, lane, &mut log, row, &mut rng)?;
        match rng.u8(..24) {
            0 => {
                told(db.flush(), "flush")?;
                log.flushed().map_err(|e| e.to_string())?;
            }
            1..=2 => {
                let (txn, rows) = look(child, db)?;
                seen.check(&txn, &rows)?;
            }
            _ => {}
        }
    }
}

fn begin(db: &Database, rng: &mut Rng) -> recto::Result<Option<WriteTxn>> {
    match rng.u8(..8) {
        0 => db.try_write(),
        1 => match db.write_timeout(Duration::from_micros(rng.u64(..20_000))) {
            Err(Error::Busy { .. }) => Ok(None),
            other => other.map(Some),
        },
        _ => db.write().map(Some),
    }
}

/// One transaction from begin to acknowledgement; returns the row as it is then.
fn transact(
    child: &Child,
    db: &Database,
    lane: u64,
    log: &mut LaneLog,
    before: Row,
    rng: &mut Rng,
) -> Result<Row, String> {
    let logged = |e: std::io::Error| format!("the log: {e}");
    let seq = log.begin().map_err(logged)?;
    let Some(mut txn) = told(begin(db, rng), "begin")? else {
        log.given_up().map_err(logged)?;
        return Ok(before);
    };
    let found = content::row_in(&mut txn, lane)?;
    if found != before {
        return Err(format!("wrote {before:?}, and the next transaction found {found:?}"));
    }
    let row = told(content::change(&mut txn, lane, &before, seq, child.habit(), rng), "change")?;
    let durable = match rng.u8(..12) {
        0 => {
            drop(txn);
            log.given_up().map_err(logged)?;
            return Ok(before);
        }
        1..=6 if !child.bulky => false,
        _ => true,
    };
    txn.set_durability(if durable { Durability::Durable } else { Durability::Deferred });
    if child.early {
        log.acked(row.txn, durable).map_err(logged)?;
    }
    // One that another thread makes durable is durable, whatever was asked for.
    let awaited = rng.u8(..4) == 0;
    match rng.u8(..4) {
        _ if awaited => told(txn.commit_async().wait().map(drop), "commit in the background")?,
        0 => told(txn.commit_with_report().map(drop), "commit with a report")?,
        _ => told(txn.commit(), "commit")?,
    }
    if !child.early {
        log.acked(row.txn, durable || awaited).map_err(logged)?;
    }
    Ok(row)
}
