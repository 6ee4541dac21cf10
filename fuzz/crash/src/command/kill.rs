//! Real processes that are killed and stopped; `kill::` in the library says how.

use crate::Outcome;
use recto_crash::kill::{Campaign, child::Child, run};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Kill {
    /// Cycles to play: in each at least one process dies, or stands stopped
    #[arg(long, default_value_t = 2_000)]
    cycles: u64,
    /// Seconds to play, in place of a number of cycles
    #[arg(long)]
    seconds: Option<u64>,
    /// Seed of chance; what processes do at the same time does not come from it
    #[arg(long)]
    seed: Option<u64>,
    /// Times that each special case is played: stopped readers and writers, forks, other users, ...
    #[arg(long, default_value_t = 1)]
    special: u64,
    /// Only this special case, named as in the summary
    #[arg(long)]
    case: Option<String>,
    /// Where the databases lie, if not with the temporary files and in /dev/shm
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Has the writers acknowledge before they commit: something must be lost
    #[arg(long, hide = true)]
    early: bool,
    #[command(subcommand)]
    process: Option<Process>,
}

/// What the campaign starts.
#[derive(clap::Subcommand, Debug)]
enum Process {
    /// A process of the campaign
    #[command(hide = true)]
    Child(Box<Child>),
}

impl Kill {
    pub fn run(self) -> Outcome {
        if let Some(Process::Child(child)) = self.process {
            child.be();
        }
        let Kill { cycles, seconds, special, case, dir, early, .. } = self;
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        run(&Campaign { cycles, seconds, seed, special, case, dir, early })
    }
}
