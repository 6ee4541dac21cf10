//! How costs grow with the database: each engine loads keys in order, and at some sizes point
//! reads, durable commits and openings are timed. One engine after the other, so that only one file
//! asks for memory.

use crate::engine::{Engine, Mode, Reader};
use crate::for_each_engine;
use crate::keys::{Keys, Shape, Values, head, spread};
use crate::outcome::{Failure, Guard, Outcome, disk_used, expect_eq};
use crate::report::median;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of a value.
const VALUE: usize = 100;
/// Keys loaded by one transaction.
const BATCH: u64 = 1_000_000;
/// Timed at each size.
const GETS: u64 = 300_000;
const COMMITS: usize = 300;
const OPENINGS: u64 = 20;
/// How often gets are timed; of commits and openings each one is.
const ROUNDS: u64 = 5;
/// Where a device is slow, commits end after this time.
const BUDGET: Duration = Duration::from_secs(5);

/// What one engine took at one size.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Point {
    pub engine: String,
    pub keys: u64,
    /// Levels of its tree, where it tells.
    pub depth: Option<u32>,
    pub file_mib: f64,
    pub get_ns: f64,
    pub commit_ns: f64,
    pub open_ns: f64,
}

/// What is measured at each size: its name, and how to find it.
pub type Cost = (&'static str, fn(&Point) -> f64);
pub const COSTS: [Cost; 3] = [
    ("random get", |p| p.get_ns),
    ("durable commit of one key", |p| p.commit_ns),
    ("open, get one key", |p| p.open_ns),
];

/// The sizes on the way to the largest: 1, 3, 10, ... million.
fn sizes(most: u64) -> Vec<u64> {
    let steps = (0..).map(|n| BATCH * 10u64.pow(n / 2) * if n % 2 == 0 { 1 } else { 3 });
    steps.take_while(|size| *size < most).chain([most]).collect()
}

/// Measures these engines (all without a list) in `dir`. A wrong answer ends everything, an error
/// of an engine only its part; what these were comes with the points.
pub fn run(
    dir: &Path,
    wanted: Option<&[String]>,
    most: u64,
    max_disk: u64,
) -> Outcome<(Vec<Point>, Vec<String>)> {
    let mut guard = Guard::new(dir, max_disk);
    let (mut points, mut failures) = (vec![], vec![]);
    macro_rules! add {
        ($engine:ty) => {
            if wanted.is_none_or(|names| names.iter().any(|n| n == <$engine>::NAME)) {
                let dir = dir.join(<$engine>::NAME);
                std::fs::create_dir_all(&dir)?;
                let outcome = of::<$engine>(&dir, most, &mut guard, &mut points);
                std::fs::remove_dir_all(&dir)?;
                match outcome {
                    Err(failure @ (Failure::Disk(_) | Failure::Error(_))) => {
                        failures.push(format!("{}: {failure}", <$engine>::NAME));
                    }
                    other => other?,
                }
            }
        };
    }
    for_each_engine!(add);
    Ok((points, failures))
}

/// A database of keys 0, 2, 4, ... as big-endian numbers, and which values they must have.
struct Grown<'d, E> {
    engine: E,
    dir: &'d Path,
    keys: u64,
    values: Values,
    /// Versions of the keys that were replaced; all others have version 0.
    replaced: HashMap<u64, u32>,
    rng: fastrand::Rng,
}

fn of<E: Engine>(dir: &Path, most: u64, guard: &mut Guard, points: &mut Vec<Point>) -> Outcome<()> {
    let mut grown = Grown {
        engine: E::open(dir, Mode::Durable)?,
        dir,
        keys: 0,
        values: Values::new(VALUE),
        replaced: HashMap::new(),
        rng: fastrand::Rng::with_seed(5),
    };
    for size in sizes(most) {
        eprintln!("{}: {size} keys", E::NAME);
        grown.load(size, guard)?;
        guard.check_now()?;
        let get_ns = grown.gets(guard)?;
        let commit_ns = grown.commits(guard)?;
        let open_ns;
        (grown, open_ns) = grown.openings(guard)?;
        let file_mib = disk_used(dir) as f64 / f64::from(1 << 20);
        let (engine, depth) = (E::NAME.into(), grown.engine.depth()?);
        points.push(Point { engine, keys: size, depth, file_mib, get_ns, commit_ns, open_ns });
    }
    grown.engine.close()
}

/// The keys with these indexes.
fn keys(indexes: impl Iterator<Item = u64>) -> Keys {
    Keys::of(Shape::Sequential, indexes.map(|i| 2 * i))
}

impl<E: Engine> Grown<'_, E> {
    fn value(&self, index: u64) -> &[u8] {
        let version = self.replaced.get(&index).copied().unwrap_or(0);
        self.values.get(index as usize, version, VALUE)
    }

    fn load(&mut self, size: u64, guard: &mut Guard) -> Outcome<()> {
        while self.keys < size {
            guard.check()?;
            let end = size.min(self.keys + BATCH);
            let keys = keys(self.keys..end);
            let pairs = keys.iter().zip(self.keys..end).map(|(key, i)| (key, self.value(i)));
            self.engine.append_all(pairs)?;
            self.keys = end;
        }
        Ok(())
    }

    /// Nanoseconds of a random get, everything having been read once.
    fn gets(&mut self, guard: &mut Guard) -> Outcome<f64> {
        let count = self.engine.read(|reader| reader.scan(None, u64::MAX, |_, _| ()))?;
        expect_eq("number of pairs", count, self.keys)?;
        let mut rounds = vec![];
        for round in 0..ROUNDS {
            guard.check()?;
            let picks: Vec<u64> = (0..GETS).map(|i| spread(round << 32 ^ i) % self.keys).collect();
            let keys = keys(picks.iter().copied());
            let want = picks.iter().fold(0u64, |sum, i| sum.wrapping_add(head(self.value(*i))));
            let start = Instant::now();
            let got = self.engine.read(|reader| {
                let mut sum = 0u64;
                for key in keys.iter() {
                    sum = sum.wrapping_add(reader.get(key, head)?.unwrap_or(0));
                }
                Ok(sum)
            })?;
            rounds.push(start.elapsed().as_nanos() as f64 / GETS as f64);
            expect_eq("sum of the values", got, want)?;
        }
        Ok(median(&rounds).unwrap_or(0.0))
    }

    /// Nanoseconds of a durable commit that replaces one random value.
    fn commits(&mut self, guard: &mut Guard) -> Outcome<f64> {
        let mut times = vec![];
        let begin = Instant::now();
        while times.len() < COMMITS && begin.elapsed() < BUDGET {
            guard.check()?;
            let index = self.rng.u64(..self.keys);
            *self.replaced.entry(index).or_default() += 1;
            let (key, value) = (keys([index].into_iter()), self.value(index));
            let start = Instant::now();
            self.engine.put_all(key.iter().map(|key| (key, value)))?;
            times.push(start.elapsed().as_nanos() as f64);
        }
        for index in self.replaced.keys() {
            let want = self.value(*index);
            let key = keys([*index].into_iter());
            let same = self.engine.read(|reader| reader.get(key.get(0), |got| got == want))?;
            expect_eq("value of a key that was replaced", same, Some(true))?;
        }
        Ok(median(&times).unwrap_or(0.0))
    }

    /// Nanoseconds of opening the database, which was closed, and getting one key.
    fn openings(mut self, guard: &mut Guard) -> Outcome<(Self, f64)> {
        let mut times = vec![];
        for _ in 0..OPENINGS {
            guard.check()?;
            self.engine.close()?;
            let index = self.rng.u64(..self.keys);
            let key = keys([index].into_iter());
            let start = Instant::now();
            let engine = E::open(self.dir, Mode::Durable)?;
            let first = engine.read(|reader| reader.get(key.get(0), head))?;
            times.push(start.elapsed().as_nanos() as f64);
            self.engine = engine;
            expect_eq("value after opening", first, Some(head(self.value(index))))?;
        }
        Ok((self, median(&times).unwrap_or(0.0)))
    }
}

/// A line for each engine and size; in brackets the cost as a multiple of that of the smallest
/// size.
pub fn print(points: &[Point]) {
    println!(
        "{:<14}{:>12}{:>7}{:>10}{:>20}{:>28}{:>20}",
        "engine", "keys", "depth", "MiB", COSTS[0].0, COSTS[1].0, COSTS[2].0
    );
    for p in points {
        let depth = p.depth.map_or("-".into(), |depth| depth.to_string());
        print!("{:<14}{:>12}{depth:>7}{:>10.0}", p.engine, p.keys, p.file_mib);
        for ((_, cost), width) in COSTS.iter().zip([20, 28, 20]) {
            let (ns, factor) = (cost(p), growth(points, p, *cost));
            let text = match ns {
                ..1e3 => format!("{ns:.0} ns"),
                ..1e6 => format!("{:.1} us", ns / 1e3),
                _ => format!("{:.2} ms", ns / 1e6),
            };
            print!("{:>width$}", format!("{text} ({factor:.2})"));
        }
        println!();
    }
}

/// A cost as a multiple of what it was at the engine's smallest size.
pub fn growth(points: &[Point], point: &Point, cost: fn(&Point) -> f64) -> f64 {
    let first = points.iter().find(|p| p.engine == point.engine).unwrap_or(point);
    cost(point) / cost(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_lead_to_the_largest() {
        assert_eq!(sizes(20_000), [20_000]);
        assert_eq!(sizes(10_000_000), [1_000_000, 3_000_000, 10_000_000]);
        assert_eq!(sizes(4_000_000), [1_000_000, 3_000_000, 4_000_000]);
    }

    #[test]
    fn every_engine_grows() {
        let dir = tempfile::tempdir().expect("a directory");
        let (points, failures) = run(dir.path(), None, 3_000, u64::MAX).expect("right answers");
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(points.len(), crate::run::engine_names().len());
        for p in &points {
            assert!(p.get_ns > 0.0 && p.commit_ns > 0.0 && p.open_ns > 0.0, "{p:?}");
            assert!(COSTS.iter().all(|(_, cost)| growth(&points, p, *cost) == 1.0), "{p:?}");
        }
        let told: Vec<_> = points.iter().filter(|p| p.depth.is_some()).collect();
        assert!(told.iter().all(|p| p.depth == Some(2)), "{told:?}");
        assert!(told.iter().any(|p| p.engine == "recto"));
    }

    #[test]
    fn an_engine_that_takes_too_much_room_leaves_it_to_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let (points, failures) = run(dir.path(), None, 3_000, 1).expect("no wrong answer");
        assert!(points.is_empty());
        assert_eq!(failures.len(), crate::run::engine_names().len(), "{failures:?}");
    }
}
