//! A time series with retention: samples by sensor and second, averages by the hour that stay, and
//! samples that go when they are old.
//!
//!     cargo run --example series -- series.recto add < samples   (lines such as `roof 1766000000 21.5`)
//!     cargo run --example series -- series.recto show roof 1766000000 1766003600
//!     cargo run --example series -- series.recto hours roof
//!     cargo run --example series -- series.recto keep 86400       (seconds before the newest of a sensor)
//!     cargo run --example series -- series.recto thin 86400 60    (older ones: one in so many seconds)

use recto::{Database, Result, TableDef, WriteTxn};
use std::io::BufRead;

/// Degrees, by sensor and second. Numbers stand in their order, negative ones too, so a time is a
/// range of keys.
const SAMPLES: TableDef<(&str, i64), f32> = TableDef::new("samples");
/// Number of samples and their sum, by sensor and hour.
const HOURS: TableDef<(&str, i64), (u32, f64)> = TableDef::new("hours");

/// Samples that share a commit, and so a flush of the device.
const BATCH: usize = 10_000;

/// A sample, and the average of its hour, in one transaction: the two never disagree.
fn record(txn: &mut WriteTxn, sensor: &str, second: i64, degrees: f32) -> Result<()> {
    let (samples, hours) = (txn.open_typed(&SAMPLES)?, txn.open_typed(&HOURS)?);
    let before = samples.replace(txn, (sensor, second), degrees)?;
    hours.update(txn, (sensor, second.div_euclid(3600)), |hour| {
        let (count, sum) = hour.unwrap_or_default();
        let sum = sum + f64::from(degrees) - before.map_or(0.0, f64::from);
        Some((count + u32::from(before.is_none()), sum))
    })?;
    Ok(())
}

fn add(db: &Database) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut txn, mut count) = (db.write()?, 0);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [sensor, second, degrees] = words[..] else {
            return Err(format!("a sample is `SENSOR SECOND DEGREES`, not {line:?}").into());
        };
        record(&mut txn, sensor, second.parse()?, degrees.parse()?)?;
        count += 1;
        if count % BATCH == 0 {
            txn.commit()?;
            txn = db.write()?;
        }
    }
    txn.commit()?;
    println!("{count} samples");
    Ok(())
}

fn show(db: &Database, sensor: &str, from: i64, to: i64) -> Result<()> {
    let txn = db.read()?;
    let samples = txn.typed(&SAMPLES)?;
    // What was measured last before the time that was asked for holds at its beginning.
    if let Some(((there, second), degrees)) = samples.before((sensor, from))?
        && there == sensor
    {
        println!("before: {degrees:.2} at {second}");
    }
    for sample in samples.range((sensor, from)..(sensor, to))? {
        let ((_, second), degrees) = sample?;
        println!("{degrees:.2} at {second}");
    }
    Ok(())
}

fn hours(db: &Database, sensor: &str) -> Result<()> {
    for hour in db.read()?.typed(&HOURS)?.prefix((sensor,))? {
        let ((_, hour), (count, sum)) = hour?;
        println!("hour {hour}: {:.2} on average of {count}", sum / f64::from(count));
    }
    Ok(())
}

/// Calls `f` for each sensor, with the second from which on its samples are young. From one sensor
/// to the next it is one descent of the tree, however many samples lie between.
fn each_sensor(
    txn: &mut WriteTxn,
    age: i64,
    mut f: impl FnMut(&mut WriteTxn, &str, i64) -> Result<()>,
) -> Result<()> {
    let samples = txn.open_typed(&SAMPLES)?;
    let mut next = samples.view(txn)?.first()?;
    while let Some(((sensor, _), _)) = next {
        if let Some(((_, newest), _)) = samples.view(txn)?.at_or_before((&sensor, i64::MAX))? {
            f(txn, &sensor, newest.saturating_sub(age))?;
        }
        next = samples.view(txn)?.after((&sensor, i64::MAX))?;
    }
    Ok(())
}

/// Takes out the samples that are older. Whole subtrees go at once, so this reads the pages that go
/// and writes those at the edges; what becomes free is used for the next samples.
fn keep(db: &Database, age: i64) -> Result<()> {
    let (mut txn, mut gone) = (db.write()?, 0);
    each_sensor(&mut txn, age, |txn, sensor, young| {
        let mut samples = txn.typed_mut(&SAMPLES)?;
        gone += samples.delete_range((sensor, i64::MIN)..(sensor, young))?;
        Ok(())
    })?;
    txn.commit()?;
    println!("gone: {gone}");
    Ok(())
}

/// Keeps of the older samples those that stand at multiples of so many seconds.
fn thin(db: &Database, age: i64, step: i64) -> Result<()> {
    let (mut txn, mut gone) = (db.write()?, 0);
    each_sensor(&mut txn, age, |txn, sensor, young| {
        let mut samples = txn.typed_mut(&SAMPLES)?;
        let old = (sensor, i64::MIN)..(sensor, young);
        gone += samples.retain(old, |(_, second), _| second % step == 0)?;
        Ok(())
    })?;
    txn.commit()?;
    println!("thinned out: {gone}");
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [path, verb @ ..] = &args[..] else { return Err("which database?".into()) };
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(path)? };
    match verb {
        ["add"] => add(&db)?,
        ["show", sensor, from, to] => show(&db, sensor, from.parse()?, to.parse()?)?,
        ["hours", sensor] => hours(&db, sensor)?,
        ["keep", age] => keep(&db, age.parse()?)?,
        ["thin", age, step] => thin(&db, age.parse()?, step.parse::<i64>()?.max(1))?,
        _ => return Err("DATABASE, then `add`, `show`, `hours`, `keep` or `thin`".into()),
    }
    Ok(())
}
