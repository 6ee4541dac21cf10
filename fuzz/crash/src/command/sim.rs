//! `crash sim`: random scripts, each from a seed.

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
        let outcome = driver::run(limits, &*super::stop_on_signals()?, |n| {
            Some(generate(self.seed.wrapping_add(n)))
        });
        super::report(&outcome, self.steps, |number| {
            format!("crash replay --seed {}", self.seed.wrapping_add(number))
        });
        Ok(outcome.failures.is_empty())
    }
}
