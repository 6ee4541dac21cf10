//! `crash lost`: pages that are refused and leave the page cache, and whoever writes then.

use crate::Outcome;
use recto_crash::lost::campaign;

#[derive(clap::Args, Debug)]
pub struct Lost {
    /// Lives to try
    #[arg(long, default_value_t = 20_000)]
    lives: u64,
    /// Seed of the first one; each has the next number
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Lost {
    pub fn run(self) -> Outcome {
        let stop = super::stop_on_signals()?;
        match campaign(self.seed, self.lives, &stop) {
            Ok(tally) => {
                println!(
                    "nothing was lost: {} lives, pages lost in {}, taken back in {}, {} deaths",
                    tally.lives, tally.lost, tally.taken_back, tally.deaths
                );
                Ok(true)
            }
            Err(what) => {
                println!("FAILED: {what}");
                let seed = what.strip_prefix("seed ").and_then(|s| s.split(':').next());
                let again = format!("lost --lives 1 --seed {}", seed.unwrap_or("?"));
                println!("again: {}", super::again(&again));
                Ok(false)
            }
        }
    }
}
