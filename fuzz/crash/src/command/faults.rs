//! `crash faults`: at every event of every scenario every fault, once and for ever.

use super::Detail;
use crate::Outcome;
use recto_crash::driver::{self, Failure, Limits, cores};
use recto_crash::sim::faults::{KINDS, everywhere};
use recto_crash::sim::scenarios;
use std::path::PathBuf;
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
        super::report(&outcome, Detail::Cells, |failure| match save(failure) {
            Ok(path) => super::again(&format!("replay {}", path.display())),
            Err(e) => format!("{e}; save this and give it to `replay`:\n{}", failure.script),
        });
        Ok(outcome.failures.is_empty())
    }
}

/// Keeps the script of a failure where it can be run again.
fn save(failure: &Failure) -> std::io::Result<PathBuf> {
    let name = format!("crash-faults-{}-{}.txt", std::process::id(), failure.number);
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, failure.script.to_string())?;
    Ok(path)
}
