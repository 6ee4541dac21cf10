//! Runs many scripts on all cores, with progress, until enough are done or one fails.

use crate::alive::Alive;
use crate::sim::coverage::Tally;
use crate::sim::script::Script;
use crate::sim::world::try_script;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A script that did not hold.
pub struct Failure {
    /// Number of the script.
    pub number: u64,
    pub script: Script,
    /// What was wrong.
    pub what: String,
}

/// What many runs have come to.
pub struct Outcome {
    pub tally: Tally,
    pub failures: Vec<Failure>,
    pub elapsed: Duration,
    pub threads: usize,
    /// Scripts that were not run, if there is an end to them.
    pub left: u64,
}

/// When to stop.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Scripts, numbered from 0.
    pub scripts: u64,
    pub time: Option<Duration>,
    /// Failures after which it is no use to go on.
    pub failures: usize,
    pub threads: usize,
}

/// Runs script number 0, 1, 2 and so on, until `stop` is raised.
pub fn run(
    limits: Limits,
    stop: &AtomicBool,
    script: impl Fn(u64) -> Option<Script> + Sync,
) -> Outcome {
    let begin = Instant::now();
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let failures = Mutex::new(Vec::new());
    let alive = Alive::new();
    let bar = ProgressBar::new(limits.scripts);
    if limits.scripts == u64::MAX {
        bar.unset_length();
    }
    bar.set_style(style(limits.scripts != u64::MAX));
    let over = || limits.time.is_some_and(|time| begin.elapsed() > time);
    let worker = || {
        while !stop.load(Relaxed) && !over() {
            let number = next.fetch_add(1, Relaxed);
            if number >= limits.scripts {
                break;
            }
            let Some(script) = script(number) else { continue };
            match try_script(&script) {
                Ok(one) => {
                    let mut all = tally.lock();
                    all.add(&one);
                    let cuts = all.cuts as f64;
                    let rate = cuts / begin.elapsed().as_secs_f64() / limits.threads as f64;
                    bar.set_message(format!("{cuts} cuts, {rate:.0} a second and core"));
                }
                Err(what) => {
                    let mut failures = failures.lock();
                    bar.println(format!("script {number}: {what}"));
                    failures.push(Failure { number, script, what });
                    stop.fetch_or(failures.len() >= limits.failures, Relaxed);
                }
            }
            bar.inc(1);
            // Where no bar is drawn, a line now and then.
            if bar.is_hidden() {
                let how_far =
                    || format!("{} scripts, {} power cuts", bar.position(), tally.lock().cuts);
                alive.tell(how_far);
            }
        }
    };
    std::thread::scope(|scope| {
        (0..limits.threads).for_each(|_| {
            scope.spawn(worker);
        });
    });
    bar.finish_and_clear();
    let (tally, mut failures) = (tally.into_inner(), failures.into_inner());
    failures.sort_by_key(|f| f.number);
    let left = match limits.scripts {
        u64::MAX => 0,
        scripts => scripts.saturating_sub(tally.runs),
    };
    Outcome { tally, failures, elapsed: begin.elapsed(), threads: limits.threads, left }
}

fn style(bounded: bool) -> ProgressStyle {
    let template = if bounded {
        "{elapsed_precise} [{wide_bar}] {pos}/{len} scripts, {msg}"
    } else {
        "{elapsed_precise} {spinner} {pos} scripts, {msg}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Threads to run by default: one a core.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
