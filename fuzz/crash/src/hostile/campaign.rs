//! Very many cases, in child processes: a signal, a loop without end or memory without bound ends a
//! child and not the campaign, and the case it was at is known.
//!
//! A child takes a row of cases, writes the number of each to its standard output before it begins
//! it, findings as they come, and what it has seen at the end. The parent starts another child
//! behind the case at which one died.
//!
//! Thread rules: the parent has a thread for each child; they share the queue, the tally and
//! nothing else.

use super::exercise::Seen;
use super::mutate::KINDS;
use super::origins::{self, Origin};
use super::{Case, Descent};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// Cases that one child runs.
const ROW: u64 = 4_000;
/// A child that says nothing for so long is in a loop.
const SILENCE: Duration = Duration::from_secs(30);
/// Processor time that a case may take.
const CASE_TIME: Duration = Duration::from_secs(4);
/// Memory that a child may ask for, in bytes: more than sixteen times what any case needs.
const CHILD_MEMORY: u64 = 1 << 30;
/// Addresses that it may map: files are as long as they say, and mostly holes.
const CHILD_ADDRESSES: u64 = 1 << 45;
/// After so many findings a campaign has said enough.
const MOST_FINDINGS: usize = 20;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides all cases.
    pub seed: u64,
    /// The first case.
    pub first: u64,
    /// Cases; the campaign ends earlier when the time is over.
    pub files: u64,
    /// Time there is.
    pub time: Option<Duration>,
    /// Children at a time.
    pub jobs: usize,
    /// Name of the bug that each child plants in itself.
    pub plant: Option<String>,
    /// The only kind of mutation, if one is named.
    pub kind: Option<String>,
    /// The program that runs a child when it is given `hostile --child`.
    pub program: PathBuf,
}

/// Something that may not happen.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The case.
    pub index: u64,
    /// What happened.
    pub what: String,
}

/// What was seen, by origin or by kind of mutation.
#[derive(Clone, Copy, Default, Debug)]
pub struct Row {
    /// Cases.
    pub files: u64,
    /// Of those, so many opened.
    pub opened: u64,
    /// So many passed the check.
    pub clean: u64,
    /// All tables of so many could be read.
    pub read: u64,
    /// So many took a commit.
    pub written: u64,
}

impl Row {
    fn add(&mut self, other: &Row) {
        self.files += other.files;
        self.opened += other.opened;
        self.clean += other.clean;
        self.read += other.read;
        self.written += other.written;
    }
}

impl From<Seen> for Row {
    fn from(seen: Seen) -> Row {
        Row {
            files: 1,
            opened: seen.opened.into(),
            clean: seen.clean.into(),
            read: seen.read.into(),
            written: (seen.commits > 0).into(),
        }
    }
}

/// What a campaign, or a child, has seen.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// By name of the origin, and by kind of the first mutation.
    pub rows: BTreeMap<String, Row>,
    /// Cases that ended.
    pub files: u64,
    /// Longest processor time of a case, in microseconds.
    pub slowest_us: u64,
    /// Most memory of a child, in KiB.
    pub most_kib: u64,
}

impl Tally {
    fn note(&mut self, origin: &Origin, descent: &Descent, seen: Row, time: Duration) {
        self.files += 1;
        self.slowest_us = self.slowest_us.max(time.as_micros() as u64);
        let mut add = |name: String| self.rows.entry(name).or_default().add(&seen);
        add(format!("from {}", origin.name));
        if let Some(kind) = descent.kinds.first() {
            add(kind.name.into());
        }
    }

    /// As lines that [`Tally::line`] takes.
    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        for (name, r) in &self.rows {
            let counts = [r.files, r.opened, r.clean, r.read, r.written];
            let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            writeln!(out, "row {} {name}", counts.join(" "))?;
        }
        writeln!(out, "end {} {} {}", self.files, self.slowest_us, self.most_kib)
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let kind = words.next();
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        if kind == Some("row") {
            let [files, opened, clean, read, written] = std::array::from_fn(|_| number());
            let name: Vec<&str> = words.collect();
            let row = Row { files, opened, clean, read, written };
            self.rows.entry(name.join(" ")).or_default().add(&row);
        } else if kind == Some("end") {
            self.files += number();
            self.slowest_us = self.slowest_us.max(number());
            self.most_kib = self.most_kib.max(number());
        }
    }
}

thread_local! {
    /// Where the last panic of this thread was, and what it said.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs one case; a panic is a finding like any other.
fn run_one(origins: &[Origin], seed: u64, index: u64, place: &Path) -> (Descent, Outcome) {
    let (case, descent) = Case::made(origins, seed, index);
    let run = std::panic::AssertUnwindSafe(|| case.run(Some(place)));
    let outcome =
        std::panic::catch_unwind(run).unwrap_or_else(|_| Err(format!("panic: {}", PANIC.take())));
    (descent, outcome)
}

type Outcome = Result<Seen, String>;

/// The work of a child: cases `first .. first + files`, told on standard output.
pub fn child(seed: u64, first: u64, files: u64, place: &Path) -> std::io::Result<()> {
    limit(libc::RLIMIT_DATA, CHILD_MEMORY)?;
    limit(libc::RLIMIT_AS, CHILD_ADDRESSES)?;
    limit(libc::RLIMIT_CORE, 0)?;
    std::panic::set_hook(Box::new(|info| PANIC.set(info.to_string())));
    let origins = origins::all().map_err(std::io::Error::other)?;
    let mut out = std::io::stdout();
    let mut tally = Tally::default();
    for index in first..first + files {
        // In one piece, so that the parent knows it before the case begins.
        out.write_all(format!("at {index}\n").as_bytes())?;
        let before = thread_time();
        let (descent, outcome) = run_one(&origins, seed, index, place);
        let time = thread_time().saturating_sub(before);
        let outcome = match outcome {
            Ok(_) if time > CASE_TIME => Err(format!("took {} ms", time.as_millis())),
            other => other,
        };
        if let Err(what) = &outcome {
            let what: String = what.chars().take(2000).collect();
            out.write_all(format!("found {index} {}\n", what.replace('\n', " ")).as_bytes())?;
        }
        let seen = outcome.map(Row::from).unwrap_or(Row { files: 1, ..Row::default() });
        tally.note(&origins[descent.origin], &descent, seen, time);
    }
    tally.most_kib = most_kib();
    tally.print(&mut out)
}

fn limit(what: libc::__rlimit_resource_t, most: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a live structure is read.
    match unsafe { libc::setrlimit(what, &limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is live and written to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Most memory this process has had.
fn most_kib() -> u64 {
    // SAFETY: all zeros is a value of this structure of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is live and written to.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    usage.ru_maxrss as u64
}

/// What the parent's threads share.
struct Shared<'a> {
    plan: &'a Plan,
    stop: &'a AtomicBool,
    next: AtomicU64,
    begun: Instant,
    place: PathBuf,
    tally: Mutex<Tally>,
    findings: Mutex<Vec<Finding>>,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// Runs a campaign until it is over or `stop` is set. `progress` is told of each case begun.
pub fn run(
    plan: &Plan,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> std::io::Result<(Tally, Vec<Finding>)> {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm)? } else { tempfile::tempdir()? };
    let shared = Shared {
        plan,
        stop,
        next: AtomicU64::new(plan.first),
        begun: Instant::now(),
        place: dir.path().to_owned(),
        tally: Mutex::default(),
        findings: Mutex::default(),
        progress,
    };
    let results: Vec<std::io::Result<()>> = std::thread::scope(|scope| {
        let shared = &shared;
        let job = |number| scope.spawn(move || shared.job(number));
        let jobs: Vec<_> = (0..plan.jobs.max(1)).map(job).collect();
        let joined = |job: std::thread::ScopedJoinHandle<'_, _>| {
            job.join().unwrap_or_else(|_| Err(std::io::Error::other("a thread panicked")))
        };
        jobs.into_iter().map(joined).collect()
    });
    results.into_iter().collect::<std::io::Result<()>>()?;
    let Shared { tally, findings, .. } = shared;
    let mut findings = findings.into_inner().unwrap_or_default();
    findings.sort_by_key(|f| f.index);
    Ok((tally.into_inner().unwrap_or_default(), findings))
}

impl Shared<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
            || self.plan.time.is_some_and(|time| self.begun.elapsed() >= time)
            || self.findings.lock().is_ok_and(|found| found.len() >= MOST_FINDINGS)
    }

    fn job(&self, number: usize) -> std::io::Result<()> {
        let place = self.place.join(number.to_string());
        std::fs::create_dir(&place)?;
        let end = self.plan.first.saturating_add(self.plan.files);
        while !self.is_over() {
            let mut at = self.next.fetch_add(ROW, Ordering::Relaxed);
            let row_end = at.saturating_add(ROW).min(end);
            if at >= end {
                break;
            }
            while at < row_end && !self.is_over() {
                at = self.child(at, row_end, &place)?;
            }
        }
        Ok(())
    }

    /// One child from case `at` on; returns where to go on.
    fn child(&self, at: u64, end: u64, place: &Path) -> std::io::Result<u64> {
        let mut child = Command::new(&self.plan.program)
            .args(["hostile", "--child", "--seed", &self.plan.seed.to_string()])
            .args(["--first", &at.to_string(), "--files", &(end - at).to_string()])
            .arg("--place")
            .arg(place)
            .args(self.plan.plant.iter().flat_map(|bug| ["--plant", bug]))
            .args(self.plan.kind.iter().flat_map(|kind| ["--kind", kind]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (lines, told) = mpsc::channel();
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout?).lines() {
                lines.send(line.ok()?).ok()?;
            }
            Some(())
        });
        let followed = self.follow(&mut child, &told, at);
        // A child that has closed its output has ended; any other is ended here.
        let _ = child.kill();
        let status = child.wait()?;
        let _ = reader.join();
        let (last, finished, why) = followed;
        if finished && status.success() {
            return Ok(end);
        }
        if self.stop.load(Ordering::Relaxed) || status.signal() == Some(libc::SIGINT) {
            self.stop.store(true, Ordering::Relaxed);
            return Ok(end);
        }
        if self.is_over() && why.is_none() {
            return Ok(end);
        }
        let what = why.unwrap_or_else(|| format!("the process ended: {status}"));
        self.found(Finding { index: last, what });
        Ok(last + 1)
    }

    /// Follows what a child tells: the case it was at last, whether it came to its end, and what
    /// was wrong with it if it was silent.
    fn follow(
        &self,
        child: &mut Child,
        told: &mpsc::Receiver<String>,
        first: u64,
    ) -> (u64, bool, Option<String>) {
        let (mut last, mut finished) = (first, false);
        let mut heard = Instant::now();
        loop {
            match told.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => {
                    heard = Instant::now();
                    if let Some(index) = line.strip_prefix("at ") {
                        last = index.parse().unwrap_or(last);
                        (self.progress)(1);
                    } else if let Some(found) = line.strip_prefix("found ") {
                        let (index, what) = found.split_once(' ').unwrap_or((found, ""));
                        let index = index.parse().unwrap_or(last);
                        self.found(Finding { index, what: what.into() });
                    } else {
                        finished |= line.starts_with("end ");
                        if let Ok(mut tally) = self.tally.lock() {
                            tally.line(&line);
                        }
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return (last, finished, None),
                Err(mpsc::RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE => {
                    let _ = child.kill();
                    let what = format!("no end in {} s", SILENCE.as_secs());
                    return (last, false, Some(what));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if self.is_over() {
                let _ = child.kill();
                return (last, finished, None);
            }
        }
    }

    fn found(&self, finding: Finding) {
        if let Ok(mut findings) = self.findings.lock() {
            findings.push(finding);
        }
    }
}

/// Names of the rows in the order in which they are shown: origins, then kinds.
pub fn row_names(origins: &[Origin]) -> Vec<String> {
    let from = origins.iter().map(|o| format!("from {}", o.name));
    from.chain(KINDS.iter().map(|kind| kind.name.to_owned())).collect()
}
