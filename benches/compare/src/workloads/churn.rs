//! Replacing and removing, with an eye on the size of the files.

use super::load::BATCH;
use crate::contest::{Context, Sample};
use crate::database::{ABSENT, Db};
use crate::engine::{Engine, Reader};
use crate::outcome::{Outcome, disk_used, expect_eq};

/// Batches that a long reader sees nothing of.
const BEHIND_READER: usize = 10;

/// What the files take on the disk, compared with the state after loading.
fn note_size<E>(sample: &mut Sample, db: &Db<E>) {
    let bytes = disk_used(&db.dir) as f64;
    sample.extra.push(("MiB".into(), bytes / (1 << 20) as f64));
    sample.extra.push(("x loaded size".into(), bytes / db.loaded_bytes as f64));
}

fn tenth(cx: &Context) -> usize {
    (cx.sizes().keys / 10).max(1)
}

pub fn overwrite<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let picks = cx.picks(tenth(cx));
    let meter = cx.start();
    for batch in picks.chunks(BATCH) {
        db.put(cx.data, batch)?;
        cx.guard.check()?;
    }
    let mut sample = meter.stop(picks.len() as u64);
    note_size(&mut sample, db);
    db.verify_some(cx.data, &picks)?;
    Ok(sample)
}

/// Removes keys; puts them back untimed.
pub fn delete<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let mut picks = cx.picks(tenth(cx));
    picks.sort_unstable();
    picks.dedup();
    cx.rng().shuffle(&mut picks);
    let meter = cx.start();
    for batch in picks.chunks(BATCH) {
        db.engine()?.delete_all(batch.iter().map(|i| cx.data.keys.get(*i as usize)))?;
        cx.guard.check()?;
    }
    let mut sample = meter.stop(picks.len() as u64);
    note_size(&mut sample, db);
    db.note(&picks, ABSENT);
    db.verify(cx.data)?;
    for batch in picks.chunks(BATCH) {
        db.put(cx.data, batch)?;
    }
    Ok(sample)
}

/// Replaces values while a reader is open that sees the old ones.
pub fn long_reader<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let data = cx.data;
    let per = (cx.sizes().keys / 100).max(1);
    let picks = cx.picks(per * BEHIND_READER);
    let len = db.value_len;
    let first = db.clock;
    let engine = db.engine()?;
    let mut sample = engine.read(|reader| {
        let key = data.keys.get(picks[0] as usize);
        let before = reader.get(key, <[u8]>::to_vec)?;
        let meter = cx.start();
        for (batch, version) in picks.chunks(per).zip(first..) {
            engine.put_all(batch.iter().map(|i| {
                let i = *i as usize;
                (data.keys.get(i), data.values.get(i, version, len))
            }))?;
            cx.guard.check()?;
        }
        let sample = meter.stop(picks.len() as u64);
        expect_eq("what a long reader sees", reader.get(key, <[u8]>::to_vec)?, before)?;
        Ok(sample)
    })?;
    for (batch, version) in picks.chunks(per).zip(first..) {
        db.note(batch, version);
    }
    db.clock += BEHIND_READER as u32;
    note_size(&mut sample, db);
    db.verify_some(data, &picks)?;
    Ok(sample)
}
