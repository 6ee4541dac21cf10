//! Filling a new database.

use crate::contest::{Context, Sample};
use crate::database::Db;
use crate::engine::Engine;
use crate::outcome::{Outcome, disk_used};
use crate::workload::Kind;
use std::path::Path;

/// Keys of a durable batch.
pub const BATCH: usize = 10_000;

pub fn run<E: Engine>(kind: Kind, dir: &Path, cx: &mut Context) -> Outcome<Sample> {
    let outcome = load::<E>(kind, dir, cx);
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    outcome
}

fn load<E: Engine>(kind: Kind, dir: &Path, cx: &mut Context) -> Outcome<Sample> {
    let data = cx.data;
    let len = data.sizes.value_len;
    let mut db = Db::<E>::create(dir, len, data.keys.len())?;
    let pairs = data.sorted.iter().map(|i| {
        let i = *i as usize;
        (data.keys.get(i), data.values.get(i, 0, len))
    });
    let meter = cx.start();
    match kind {
        Kind::LoadRandom => {
            for batch in data.shuffled.chunks(BATCH) {
                db.put(data, batch)?;
                cx.guard.check()?;
            }
        }
        Kind::Append => db.engine()?.append_all(pairs)?,
        _ => db.engine()?.put_all(pairs)?,
    }
    let mut sample = meter.stop(data.keys.len() as u64);
    if kind != Kind::LoadRandom {
        db.note(&data.sorted, 0);
    }
    db.verify(data)?;
    db.close()?;
    sample.extra.push(("MiB".into(), disk_used(dir) as f64 / (1 << 20) as f64));
    Ok(sample)
}
