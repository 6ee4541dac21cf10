//! `crash space`: what becomes of the file over very many commits.

use crate::Outcome;
use recto_crash::space::mixes::MIXES;
use recto_crash::space::run;
use std::time::Instant;

#[derive(clap::Args, Debug)]
pub struct Space {
    /// Commits of each mix
    #[arg(long, default_value_t = 100_000)]
    commits: u64,
    /// Only mixes whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Space {
    pub fn run(self) -> Outcome {
        let stop = super::stop_on_signals()?;
        println!(
            "{:<22} {:>8} {:>8} {:>9} {:>9} {:>9} {:>5}  {:>8} {:>5} {:>7} {:>8}",
            "mix",
            "commits",
            "flushes",
            "file",
            "live",
            "in use",
            "ratio",
            "log",
            "worst",
            "pieces",
            "us"
        );
        let mut sound = true;
        let wanted =
            |name: &str| self.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
        for mix in MIXES.iter().filter(|mix| wanted(mix.name)) {
            let begin = Instant::now();
            match run(mix, self.seed, self.commits, &stop) {
                Ok(f) => {
                    let each = |n: u64| n as f64 / f.commits as f64;
                    println!(
                        "{:<22} {:>8} {:>8} {:>9} {:>9} {:>9} {:>5.2}  {:>8.2} {:>5} {:>7.2} {:>8.1}",
                        mix.name,
                        f.commits,
                        f.flushes,
                        f.most_file,
                        f.most_live,
                        f.in_use(),
                        f.most_file as f64 / f.in_use() as f64,
                        each(f.reads + f.written),
                        f.most_work,
                        each(f.pieces),
                        begin.elapsed().as_micros() as f64 / f.commits as f64
                    );
                }
                Err(what) => {
                    sound = false;
                    println!("{:<22} FAILED: {what}", mix.name);
                }
            }
        }
        println!(
            "pages at most; log pages read and written for a commit, and in the worst beyond its share"
        );
        Ok(sound)
    }
}
