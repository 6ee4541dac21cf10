//! `crash exhaust`: all short scripts, every cut, every subset.

use super::Detail;
use crate::Outcome;
use recto::Sink;
use recto_crash::driver::{self, Limits, cores};
use recto_crash::sim::exhaust::{count, script};
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Exhaust {
    /// Operations in the longest scripts
    #[arg(long, default_value_t = 3)]
    operations: u32,
    /// Outcomes of a cut up to which all are tried; beyond it chosen and random ones
    #[arg(long, default_value_t = 64)]
    subsets: u64,
    /// Stop after so many seconds, however far it has come
    #[arg(long)]
    seconds: Option<u64>,
    /// Threads; as many as there are cores if not given
    #[arg(long)]
    threads: Option<usize>,
    /// Use the direct page sink
    #[arg(long)]
    direct: bool,
    /// Begin with this script
    #[arg(long, default_value_t = 0)]
    first: u64,
}

impl Exhaust {
    pub fn run(self) -> Outcome {
        let sink = if self.direct { Sink::Direct } else { Sink::Staged };
        let scripts = count(self.operations).saturating_sub(self.first);
        let limits = Limits {
            scripts,
            time: self.seconds.map(Duration::from_secs),
            failures: 1,
            threads: self.threads.unwrap_or_else(cores),
        };
        let one = |n: u64| script(self.first + n, sink, self.subsets);
        let outcome = driver::run(limits, &*super::stop_on_signals()?, |n| Some(one(n)));
        super::report(&outcome, Detail::CutsOnly, |failure| {
            let direct = if self.direct { " --direct" } else { "" };
            let (first, subsets) = (self.first + failure.number, self.subsets);
            super::again(&format!("exhaust --first {first} --subsets {subsets}{direct}"))
        });
        Ok(outcome.failures.is_empty())
    }
}
