//! Point reads. Keys lie side by side in the order in which they are asked for, so that fetching
//! them costs little.

use crate::contest::{Context, Sample};
use crate::database::Db;
use crate::engine::{Engine, Reader};
use crate::keys::{Keys, head, whole};
use crate::outcome::{Outcome, expect_eq};

/// Reads of a round, at most one for each key.
pub const READS: usize = 300_000;
/// Keys of one `get_many`.
const CALL: usize = 1_000;
/// Reads of a round that begins cold.
const COLD_READS: usize = 2_000;

/// Gets all of these keys; the number found, and the sum over their values.
#[inline(always)]
pub fn get_all<R: Reader>(reader: &mut R, keys: &Keys) -> Outcome<(u64, u64)> {
    let (mut found, mut sum) = (0, 0u64);
    for key in keys.iter() {
        if let Some(head) = reader.get(key, head)? {
            sum = sum.wrapping_add(head);
            found += 1;
        }
    }
    Ok((found, sum))
}

fn measure<E: Engine>(db: &Db<E>, cx: &Context, keys: &Keys, want: (u64, u64)) -> Outcome<Sample> {
    let engine = db.engine()?;
    let meter = cx.start();
    let got = engine.read(|reader| get_all(reader, keys))?;
    let sample = meter.stop(keys.len() as u64);
    expect_eq("keys found and sum of their values", got, want)?;
    Ok(sample)
}

fn of_picks<E: Engine>(db: &Db<E>, cx: &Context, picks: &[u32]) -> Outcome<Sample> {
    let want = (picks.len() as u64, db.heads(cx.data, picks));
    measure(db, cx, &cx.data.gather(picks), want)
}

fn reads(cx: &Context) -> usize {
    READS.min(cx.sizes().keys)
}

pub fn hit<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    of_picks(db, cx, &cx.picks(reads(cx)))
}

pub fn miss<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let picks = cx.picks(reads(cx));
    let odd = picks.iter().map(|i| 2 * u64::from(*i) + 1);
    measure(db, cx, &Keys::of(cx.sizes().shape, odd), (0, 0))
}

pub fn zipf<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let mut rng = cx.rng();
    let zipf = cx.data.zipf();
    let picks: Vec<u32> = (0..reads(cx)).map(|_| zipf.draw(&mut rng) as u32).collect();
    of_picks(db, cx, &picks)
}

pub fn cold<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let picks = cx.picks(COLD_READS.min(cx.sizes().keys));
    db.chill()?;
    of_picks(db, cx, &picks)
}

pub fn many<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    many_of(db, cx, &cx.picks(reads(cx)))
}

pub fn many_cold<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let picks = cx.picks(COLD_READS.min(cx.sizes().keys));
    db.chill()?;
    many_of(db, cx, &picks)
}

fn many_of<E: Engine>(db: &Db<E>, cx: &Context, picks: &[u32]) -> Outcome<Sample> {
    let keys = cx.data.gather(picks);
    let calls: Vec<&[u8]> = keys.iter().collect();
    let engine = db.engine()?;
    let (mut found, mut sum) = (0, 0u64);
    let meter = cx.start();
    engine.read(|reader| {
        for call in calls.chunks(CALL) {
            reader.get_many(call, |value| {
                found += 1;
                sum = sum.wrapping_add(head(value));
            })?;
        }
        Ok(())
    })?;
    let sample = meter.stop(keys.len() as u64);
    let want = (picks.len() as u64, db.heads(cx.data, picks));
    expect_eq("keys found by get_many and sum of their values", (found, sum), want)?;
    Ok(sample)
}

/// Every byte of large values, each value several times.
pub fn large<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let mut picks: Vec<u32> = (0..db.versions.len() as u32).collect::<Vec<_>>().repeat(4);
    cx.rng().shuffle(&mut picks);
    let keys = cx.data.gather(&picks);
    let sums = picks.iter().map(|i| whole(db.value(cx.data, *i)));
    let want = sums.fold(0, u64::wrapping_add);
    let engine = db.engine()?;
    let meter = cx.start();
    let sum = engine.read(|reader| {
        let mut sum = 0u64;
        for key in keys.iter() {
            sum = sum.wrapping_add(reader.get(key, whole)?.unwrap_or(0));
        }
        Ok(sum)
    })?;
    let sample = meter.stop(picks.len() as u64);
    expect_eq("sum over large values", sum, want)?;
    Ok(sample)
}
