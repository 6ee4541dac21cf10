//! `crash full`: real file systems that share blocks, and have no room left.

use crate::Outcome;
use recto_crash::block::{FileSystem, missing};
use recto_crash::full::{SYSTEMS, child, round};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Full {
    /// Only this file system: btrfs or xfs
    #[arg(long)]
    fs: Option<String>,
    /// Rounds on each
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// First seed; round N has this seed plus N
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One round in this process, in this directory
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

impl Full {
    pub fn run(self) -> Outcome {
        let wanted =
            |system: &&FileSystem| self.fs.as_ref().is_none_or(|name| system.name() == name);
        let systems: Vec<FileSystem> = SYSTEMS.iter().filter(wanted).copied().collect();
        if let Some(dir) = &self.child {
            child(dir, *systems.first().ok_or("no such file system")?, self.seed)?;
            return Ok(true);
        }
        let mut rounds = 0;
        let stop = super::stop_on_signals()?;
        for system in systems {
            if let Some(why) = missing(&[system]) {
                println!("{} is left out: {why}", system.name());
                continue;
            }
            for seed in (self.seed..).take(self.rounds as usize) {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                if let Some(what) = round(&std::env::current_exe()?, system, seed)? {
                    let name = system.name();
                    println!(
                        "LOST: {name}: {what}\nagain: crash full --fs {name} --rounds 1 --seed {seed}"
                    );
                    return Ok(false);
                }
                rounds += 1;
            }
        }
        println!("{rounds} rounds on full disks: no signal, nothing lost");
        Ok(true)
    }
}
