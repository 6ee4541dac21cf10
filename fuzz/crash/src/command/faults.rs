//! `crash faults`: at every event of every scenario every accident, once and for ever.

use crate::Outcome;
use recto_crash::driver::{self, Limits, cores};
use recto_crash::sim::accidents::{KINDS, everywhere};
use recto_crash::sim::scenarios;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Faults {
    /// One scenario; all if not given
    #[arg(long)]
    scenario: Option<String>,
    /// One event in so many
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// Use the direct page sink
    #[arg(long)]
    direct: bool,
    /// Stop after so many seconds, however far it has come
    #[arg(long)]
    seconds: Option<u64>,
    /// Threads; as many as there are cores if not given
    #[arg(long)]
    threads: Option<usize>,
}

impl Faults {
    pub fn run(self) -> Outcome {
        let mut scripts = Vec::new();
        for (name, scenario) in scenarios::all(self.direct) {
            if self.scenario.as_ref().is_none_or(|only| only == name) {
                let all = everywhere(&scenario, &KINDS);
                scripts.extend(all.into_iter().step_by(self.every.max(1) as usize));
            }
        }
        if scripts.is_empty() {
            let names: Vec<_> = scenarios::all(false).into_iter().map(|(name, _)| name).collect();
            return Err(format!("no such scenario; there are {}", names.join(", ")).into());
        }
        let limits = Limits {
            scripts: scripts.len() as u64,
            time: self.seconds.map(Duration::from_secs),
            failures: 1,
            threads: self.threads.unwrap_or_else(cores),
        };
        let outcome =
            driver::run(limits, &*super::stop_on_signals()?, |n| scripts.get(n as usize).cloned());
        super::report(&outcome, false, |_| "crash replay FILE, with these lines in it:".into());
        for failure in &outcome.failures {
            println!("{}", failure.script);
        }
        Ok(outcome.failures.is_empty())
    }
}
