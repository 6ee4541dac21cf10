//! Opening, beginning, and what a database takes on the disk.

use crate::contest::{Context, Sample};
use crate::database::Db;
use crate::engine::{Engine, Mode, Reader};
use crate::outcome::{Outcome, expect_eq};
use std::time::Instant;

pub fn size<E: Engine>(db: &Db<E>) -> Outcome<Sample> {
    let ops = db.versions.len() as u64;
    let figure = db.loaded_bytes as f64 / ops as f64;
    let extra = vec![("MiB".into(), db.loaded_bytes as f64 / (1 << 20) as f64)];
    Ok(Sample { figure, ops, extra, ..Sample::default() })
}

/// Opens a database that was closed and gets one key. Closing is not timed.
pub fn open_get<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let picks = cx.picks(20);
    let mut latencies = vec![];
    for pick in &picks {
        db.close()?;
        cx.guard.check()?;
        let (key, want) = (cx.data.keys.get(*pick as usize), db.value(cx.data, *pick));
        let start = Instant::now();
        db.open(Mode::Durable)?;
        let same = db.engine()?.read(|reader| reader.get(key, |value| value == want))?;
        latencies.push(start.elapsed().as_nanos() as u64);
        expect_eq("value after opening", same, Some(true))?;
    }
    let figure = latencies.iter().sum::<u64>() as f64 / latencies.len() as f64;
    Ok(Sample { figure, ops: picks.len() as u64, latencies_ns: latencies, ..Sample::default() })
}

pub fn begin_end<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let count = 100_000.min(cx.sizes().keys * 10) as u64;
    let engine = db.engine()?;
    let meter = cx.start();
    for _ in 0..count {
        engine.begin_end()?;
    }
    Ok(meter.stop(count))
}
