//! `crash sim`: random scripts, each from a seed.

use super::Detail;
use crate::Outcome;
use recto_crash::driver::{self, Limits, cores};
use recto_crash::sim::generate::generate;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Sim {
    /// First seed; script N of the run has this seed plus N
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Scripts to run
    #[arg(long)]
    scripts: Option<u64>,
    /// Seconds to run; one minute if neither this nor a number of scripts is given
    #[arg(long)]
    seconds: Option<u64>,
    /// Threads; as many as there are cores if not given
    #[arg(long)]
    threads: Option<usize>,
    /// Print what was reached at each kind of event too
    #[arg(long)]
    steps: bool,
    /// Go on after this many failures
    #[arg(long, default_value_t = 1)]
    failures: usize,
}

impl Sim {
    pub fn run(self) -> Outcome {
        let time = match (self.seconds, self.scripts) {
            (Some(seconds), _) => Some(seconds),
            (None, None) => Some(60),
            (None, Some(_)) => None,
        };
        let limits = Limits {
            scripts: self.scripts.unwrap_or(u64::MAX),
            time: time.map(Duration::from_secs),
            failures: self.failures,
            threads: self.threads.unwrap_or_else(cores),
        };
        let long = match (time, self.scripts) {
            (Some(seconds), _) => format!("{seconds} seconds"),
            (None, Some(scripts)) => format!("{scripts} scripts"),
            (None, None) => "no end".into(),
        };
        let (seed, threads) = (self.seed, limits.threads);
        eprintln!(
            "random scripts from seed {seed} on, {long}, threads: {threads}; Ctrl-C ends and reports"
        );
        let outcome = driver::run(limits, &*super::stop_on_signals()?, |n| {
            Some(generate(self.seed.wrapping_add(n)))
        });
        let detail = if self.steps { Detail::Steps } else { Detail::Cells };
        super::report(&outcome, detail, |failure| {
            super::again(&format!("replay --seed {}", self.seed.wrapping_add(failure.number)))
        });
        Ok(outcome.failures.is_empty())
    }
}
