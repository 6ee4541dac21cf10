//! Ranges.

use crate::contest::{Context, Sample};
use crate::database::{ABSENT, Db};
use crate::engine::{Engine, Reader};
use crate::keys::pair_head;
use crate::outcome::{Outcome, expect_eq};

/// Pairs of a round, at least, by scanning as often as it takes.
const PAIRS: usize = 200_000;
/// Seeks of a round, and pairs behind each.
const SEEKS: usize = 5_000;
const BEHIND: usize = 100;

/// Number of pairs and the sum over them, as the model has it.
fn all<E>(db: &Db<E>, cx: &Context) -> (u64, u64)
where
    E: Engine,
{
    let (mut count, mut sum) = (0, 0u64);
    for (i, version) in db.versions.iter().enumerate() {
        if *version != ABSENT {
            let value = db.value(cx.data, i as u32);
            sum = sum.wrapping_add(pair_head(cx.data.keys.get(i), value));
            count += 1;
        }
    }
    (count, sum)
}

fn whole<E: Engine>(db: &Db<E>, cx: &Context, back: bool) -> Outcome<Sample> {
    let times = (PAIRS / cx.sizes().keys).max(1) as u64;
    let (pairs, want) = all(db, cx);
    let engine = db.engine()?;
    let (mut count, mut sum) = (0, 0u64);
    let meter = cx.start();
    for _ in 0..times {
        count += engine.read(|reader| {
            let seen = |key: &[u8], value: &[u8]| sum = sum.wrapping_add(pair_head(key, value));
            if back { reader.scan_back(seen) } else { reader.scan(None, u64::MAX, seen) }
        })?;
    }
    let sample = meter.stop(count);
    let want = (pairs * times, want.wrapping_mul(times));
    expect_eq("pairs scanned and sum over them", (count, sum), want)?;
    Ok(sample)
}

pub fn forward<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    whole(db, cx, false)
}

pub fn back<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    whole(db, cx, true)
}

pub fn cold<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let (pairs, want) = all(db, cx);
    db.chill()?;
    let engine = db.engine()?;
    let mut sum = 0u64;
    let meter = cx.start();
    let count = engine.read(|reader| {
        reader.scan(None, u64::MAX, |key, value| sum = sum.wrapping_add(pair_head(key, value)))
    })?;
    let sample = meter.stop(count);
    expect_eq("pairs scanned cold and sum over them", (count, sum), (pairs, want))?;
    Ok(sample)
}

/// Seeks to keys that are there.
pub fn seek<E: Engine>(db: &Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let data = cx.data;
    let count = SEEKS.min(cx.sizes().keys);
    let mut rng = cx.rng();
    let places: Vec<usize> = (0..count).map(|_| rng.usize(..data.sorted.len())).collect();
    let picks: Vec<u32> = places.iter().map(|at| data.sorted[*at]).collect();
    let keys = data.gather(&picks);
    let mut want = (0, 0u64);
    for at in &places {
        for i in data.sorted.iter().skip(*at).take(BEHIND) {
            let head = pair_head(data.keys.get(*i as usize), db.value(data, *i));
            want = (want.0 + 1, want.1.wrapping_add(head));
        }
    }
    let engine = db.engine()?;
    let meter = cx.start();
    let got = engine.read(|reader| {
        let (mut pairs, mut sum) = (0, 0u64);
        for key in keys.iter() {
            pairs += reader.scan(Some(key), BEHIND as u64, |key, value| {
                sum = sum.wrapping_add(pair_head(key, value));
            })?;
        }
        Ok((pairs, sum))
    })?;
    let sample = meter.stop(count as u64);
    expect_eq("pairs behind seeks and sum over them", got, want)?;
    Ok(sample)
}
