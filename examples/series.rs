//! A time series: samples by sensor and second, read by range, thinned out, and made into averages
//! by the hour.
//!
//!     cargo run --example series -- series.recto

use recto::{Database, Result, TableDef};

/// Degrees, by sensor and second.
const SAMPLES: TableDef<(&str, i64), f32> = TableDef::new("samples");
/// Number of samples and their sum, by sensor and hour.
const HOURS: TableDef<(&str, i64), (u32, f64)> = TableDef::new("hours");

/// A sample, and the average of its hour, in one transaction.
fn record(db: &Database, sensor: &str, samples: impl Iterator<Item = (i64, f32)>) -> Result<()> {
    let mut txn = db.write()?;
    let (table, hours) = (txn.open_typed(&SAMPLES)?, txn.open_typed(&HOURS)?);
    for (second, degrees) in samples {
        table.put(&mut txn, (sensor, second), degrees)?;
        hours.update(&mut txn, (sensor, second.div_euclid(3600)), |hour| {
            let (count, sum) = hour.unwrap_or_default();
            Some((count + 1, sum + f64::from(degrees)))
        })?;
    }
    txn.commit()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "series.recto".into());
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(&path)? };

    // From two hours before 1970 to two hours after, every ten seconds.
    let seconds = || (-7200..7200).step_by(10);
    record(&db, "cellar", seconds().map(|second| (second, 12.0)))?;
    record(&db, "roof", seconds().map(|second| (second, second as f32 / 3600.0)))?;

    let txn = db.read()?;
    let samples = txn.typed(&SAMPLES)?;
    println!("samples: {}", samples.len());
    let around = samples.range(("roof", -30)..=("roof", 30))?;
    println!("around midnight: {}", around.count());
    if let Some(((_, second), degrees)) = samples.prefix(("roof",))?.next_back().transpose()? {
        println!("newest on the roof: {degrees:.2} at {second}");
    }
    if let Some(((sensor, second), _)) = samples.at_or_before(("roof", 1234))? {
        println!("at 1234 or before: {sensor} at {second}");
    }
    for hour in txn.typed(&HOURS)?.prefix(("roof",))? {
        let ((_, hour), (count, sum)) = hour?;
        println!("hour {hour}: {:.2} on average", sum / f64::from(count));
    }
    drop(txn);

    // What is older than an hour before midnight goes, of one sensor; of the other one every
    // second sample.
    let mut txn = db.write()?;
    let mut samples = txn.typed_mut(&SAMPLES)?;
    let gone = samples.delete_range(("cellar", i64::MIN)..("cellar", -3600))?;
    let thinned = samples
        .retain(("roof", i64::MIN)..=("roof", i64::MAX), |(_, second), _| second % 20 == 0)?;
    println!("gone: {gone}, thinned out: {thinned}");
    txn.commit()?;
    Ok(())
}
