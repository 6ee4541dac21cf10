//! `crash stories`: loaders, handles that prove what they read, and commits of another thread.

use crate::Outcome;
use recto_crash::stories::{KINDS, campaign};

#[derive(clap::Args, Debug)]
pub struct Stories {
    /// Lives of each kind to try
    #[arg(long, default_value_t = 1_000)]
    lives: u64,
    /// Seed of the first one; each has the next number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only stories of this kind: loader, checksums, or background
    #[arg(long)]
    only: Option<String>,
}

impl Stories {
    pub fn run(self) -> Outcome {
        let only = self.only.as_deref();
        if !only.is_none_or(|only| KINDS.iter().any(|kind| kind.name == only)) {
            return Err("there is no such kind of story".into());
        }
        let stop = super::stop_on_signals()?;
        match campaign(self.seed, self.lives, only, &stop) {
            Ok(tally) => {
                println!(
                    "nothing was lost: {} lives; {} loads done and {} refused; damage told {} times, \
                     not come to {}; {} commits in the background, {} refused",
                    tally.lives,
                    tally.whole_loads,
                    tally.refused_loads,
                    tally.damage_told,
                    tally.damage_missed,
                    tally.background,
                    tally.refused_flushes
                );
                Ok(true)
            }
            Err(what) => {
                println!("FAILED: {what}");
                let mut parts = what.split(": ");
                let seed = parts.next().and_then(|seed| seed.strip_prefix("seed "));
                let (seed, kind) = (seed.unwrap_or("?"), parts.next().unwrap_or("?"));
                let again = format!("stories --lives 1 --seed {seed} --only {kind}");
                println!("again: {}", super::again(&again));
                Ok(false)
            }
        }
    }
}
