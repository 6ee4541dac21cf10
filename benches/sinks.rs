//! Direct against staged: how dirty pages get into the file, measured on the real disk.
//!
//! Both sinks work side by side, in turns, on databases of their own with the same keys; a figure is the median over
//! all commits, or over rounds where one commit is too short to be timed alone. Run it with
//!
//!     cargo bench -p recto-benches --bench sinks -- [--dir DIR] [--keys N] [--commits N] [--rounds N]
//!
//! DIR must lie on a disk: tmpfs syncs nothing. What the device wrote is taken from its counters, which count everybody:
//! the machine should be idle otherwise. Without `--bench` (`cargo test --benches`) it runs once on a few keys, as a test.

use recto::{Builder, Database, Durability, Sink};
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

const SINKS: [Sink; 2] = [Sink::Direct, Sink::Staged];
const VALUE_LEN: usize = 100;

/// How much of everything.
struct Sizes {
    dir: PathBuf,
    keys: u64,
    commits: u64,
    rounds: u64,
}

impl Sizes {
    fn from_args() -> Outcome<Sizes> {
        let mut args: Vec<String> = std::env::args().skip(1).collect();
        let full = args.iter().any(|a| a == "--bench");
        args.retain(|a| a != "--bench");
        let dir = std::env::current_dir()?.join("target");
        let mut sizes = if full {
            Sizes { dir, keys: 1_000_000, commits: 100, rounds: 7 }
        } else {
            return Ok(Sizes { dir: std::env::temp_dir(), keys: 2_000, commits: 3, rounds: 1 });
        };
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--dir" => sizes.dir = value.into(),
                "--keys" => sizes.keys = value.parse()?,
                "--commits" => sizes.commits = value.parse()?,
                "--rounds" => sizes.rounds = value.parse()?,
                _ => return Err(format!("no option {name}").into()),
            }
        }
        if sizes.keys == 0 || sizes.commits == 0 || sizes.rounds == 0 {
            return Err("all numbers must be above 0".into());
        }
        Ok(sizes)
    }
}

/// The key of number `i`: spread evenly over all u64 values.
fn key(i: u64) -> [u8; 8] {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// One sink's database.
struct Side {
    sink: Sink,
    path: PathBuf,
    db: Option<Database>,
    rng: fastrand::Rng,
    keys: u64,
}

impl Side {
    fn new(sink: Sink, dir: &Path, keys: u64) -> Side {
        let path = dir.join(format!("{sink:?}.recto"));
        Side { sink, path, db: None, rng: fastrand::Rng::with_seed(7), keys }
    }

    fn open(&mut self) -> Outcome<&Database> {
        // SAFETY: the directory was made for this run, and nothing but this process touches the file while it is open.
        let db = unsafe { Builder::default().sink(self.sink).open(&self.path)? };
        Ok(self.db.insert(db))
    }

    /// Everything in one durable transaction on a new file, keys ascending.
    fn load(&mut self) -> Outcome<f64> {
        self.db = None;
        for suffix in ["", "-lock"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
        let mut keys: Vec<_> = (0..self.keys).map(key).collect();
        keys.sort_unstable();
        let db = self.open()?;
        let start = Instant::now();
        let mut txn = db.write()?;
        let mut table = txn.open_table("main")?;
        for k in &keys {
            table.put(k, &[k[0]; VALUE_LEN])?;
        }
        txn.commit()?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Replaces `count` random values in one transaction; seconds.
    fn replace(&mut self, count: u64, durability: Durability) -> Outcome<f64> {
        let db = self.db.as_ref().ok_or("not open")?;
        let start = Instant::now();
        let mut txn = db.write()?;
        txn.set_durability(durability);
        let mut table = txn.open_table("main")?;
        for _ in 0..count {
            table.put(&key(self.rng.u64(..self.keys)), &[self.rng.u8(..); VALUE_LEN])?;
        }
        txn.commit()?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Closes the file and makes the system forget its pages; `read` brings them back in large pieces, as `cat` does.
    fn reopen(&mut self, cat: bool) -> Outcome<()> {
        self.db = None;
        let mut file = File::open(&self.path)?;
        file.sync_all()?;
        // SAFETY: plain call on a descriptor that is open; changes no memory of ours.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        if cat {
            let mut piece = vec![0; 1 << 20];
            while file.read(&mut piece)? > 0 {}
        }
        let db = self.open()?;
        let mut bytes = 0;
        for pair in db.read()?.table("main")?.iter()? {
            bytes += pair?.1.len();
        }
        std::hint::black_box(bytes);
        Ok(())
    }
}

/// Counts what the device of a file has written.
struct Device {
    stat: PathBuf,
}

impl Device {
    /// None on a file system that is not one device (btrfs, tmpfs).
    fn of(path: &Path) -> Option<Device> {
        let dev = std::fs::metadata(path).ok()?.dev();
        let stat = format!("/sys/dev/block/{}:{}/stat", libc::major(dev), libc::minor(dev));
        std::fs::metadata(&stat).ok()?;
        Some(Device { stat: stat.into() })
    }

    fn written_kib(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(&self.stat).ok()?;
        Some(stat.split_whitespace().nth(6)?.parse::<f64>().ok()? / 2.0)
    }
}

/// The figures of one sink in one case: seconds a commit, and KiB written for each.
#[derive(Default)]
struct Samples {
    seconds: Vec<f64>,
    kib: Vec<f64>,
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// One line of the table.
struct Case {
    name: &'static str,
    per: &'static str,
    sides: [Samples; 2],
}

impl Case {
    /// Runs `work` in turns on both sides. It gives the seconds of each commit, or one mean for all of them, and
    /// their number.
    fn measure(
        name: &'static str,
        per: &'static str,
        sides: &mut [Side; 2],
        device: Option<&Device>,
        rounds: u64,
        mut work: impl FnMut(&mut Side) -> Outcome<(Vec<f64>, u64)>,
    ) -> Outcome<Case> {
        let mut case = Case { name, per, sides: Default::default() };
        for round in 0..rounds {
            for turn in 0..2 {
                let which = ((round + turn) % 2) as usize;
                let before = device.and_then(Device::written_kib);
                let (seconds, commits) = work(&mut sides[which])?;
                let after = device.and_then(Device::written_kib);
                let samples = &mut case.sides[which];
                samples.seconds.extend(seconds);
                if let (Some(before), Some(after)) = (before, after) {
                    samples.kib.push((after - before) / commits as f64);
                }
            }
        }
        eprintln!("done: {name}");
        Ok(case)
    }

    fn print(&mut self) {
        let [direct, staged] = &mut self.sides;
        let (d, s) = (median(&mut direct.seconds), median(&mut staged.seconds));
        let (Some(d), Some(s)) = (d, s) else { return };
        let kib = |k: Option<f64>| k.map_or("-".into(), |k| format!("{k:.0}"));
        let (dk, sk) = (kib(median(&mut direct.kib)), kib(median(&mut staged.kib)));
        println!(
            "| {:<58} | {:>9} | {:>9} | {:>13.2} | {dk:>10} | {sk:>10} |",
            format!("{}, per {}", self.name, self.per),
            time(d),
            time(s),
            d / s,
        );
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// Durable commits of one key or more, each timed.
fn durable(side: &mut Side, commits: u64, keys: u64) -> Outcome<(Vec<f64>, u64)> {
    let seconds: Outcome<Vec<f64>> =
        (0..commits).map(|_| side.replace(keys, Durability::Durable)).collect();
    Ok((seconds?, commits))
}

/// Deferred commits, timed together; the flush that follows is not.
fn deferred(side: &mut Side, commits: u64) -> Outcome<(Vec<f64>, u64)> {
    let mut seconds = 0.0;
    for _ in 0..commits {
        seconds += side.replace(1, Durability::Deferred)?;
    }
    side.db.as_ref().ok_or("not open")?.flush()?;
    Ok((vec![seconds / commits as f64], commits))
}

fn measure_all(sizes: &Sizes, dir: &Path) -> Outcome<Vec<Case>> {
    let device = Device::of(dir);
    let device = device.as_ref();
    let mut sides = SINKS.map(|sink| Side::new(sink, dir, sizes.keys));
    let (rounds, commits) = (sizes.rounds, sizes.commits);
    let load = |side: &mut Side| Ok((vec![side.load()?], 1));
    let few = rounds.min(3);
    let mut cases = vec![Case::measure(
        "bulk load, all keys ascending",
        "load",
        &mut sides,
        device,
        few,
        load,
    )?];
    let states = [
        ("one key durable, file just loaded", None),
        ("one key durable, file read through recto", Some(false)),
        ("one key durable, file read with cat", Some(true)),
    ];
    for (name, cat) in states {
        if let Some(cat) = cat {
            sides.iter_mut().try_for_each(|side| side.reopen(cat))?;
        }
        let one = |side: &mut Side| durable(side, commits, 1);
        cases.push(Case::measure(name, "commit", &mut sides, device, rounds, one)?);
    }
    sides.iter_mut().try_for_each(|side| side.reopen(false))?;
    let many = |side: &mut Side| deferred(side, commits * 20);
    cases.push(Case::measure("one key deferred", "commit", &mut sides, device, rounds, many)?);
    let some = |side: &mut Side| durable(side, commits.div_ceil(5), 100);
    cases.push(Case::measure("100 keys durable", "commit", &mut sides, device, rounds, some)?);
    let large = |side: &mut Side| durable(side, commits.div_ceil(25), 10_000.min(sizes.keys));
    cases.push(Case::measure("10,000 keys durable", "commit", &mut sides, device, rounds, large)?);
    for side in &sides {
        let report = side.db.as_ref().ok_or("not open")?.check(None)?;
        if report.fault_count > 0 {
            return Err(format!("{:?}: {:?}", side.sink, report.faults).into());
        }
    }
    Ok(cases)
}

fn main() -> Outcome<()> {
    let sizes = Sizes::from_args()?;
    let dir = tempfile::Builder::new().prefix("recto-sinks-").tempdir_in(&sizes.dir)?;
    let mut cases = measure_all(&sizes, dir.path())?;
    println!(
        "{} keys of 8 bytes, values of {VALUE_LEN} bytes, random keys replaced, medians\n",
        sizes.keys
    );
    println!(
        "| {:<58} | {:>9} | {:>9} | {:>13} | {:>10} | {:>10} |",
        "", "direct", "staged", "direct/staged", "direct KiB", "staged KiB"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    cases.iter_mut().for_each(Case::print);
    Ok(())
}
