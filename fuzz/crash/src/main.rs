//! crash: looks for a way to make recto lose data.
//!
//! Each verb is a file in `command/`. Exit codes: 0 nothing was lost; 1 something was, and how to
//! see it again was printed; 2 it could not be done, and standard error says why.
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

mod command;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Whether nothing was lost, or why it could not be found out.
type Outcome = Result<bool, Box<dyn std::error::Error>>;

/// Looks for a way to make recto lose data.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Random scripts on a simulated machine, with power cuts, deaths and failing calls
    Sim(command::sim::Sim),
    /// Every script of up to three operations, with a cut at every point
    Exhaust(command::exhaust::Exhaust),
    /// Every call of every scenario fails, once and for ever
    Faults(command::faults::Faults),
    /// Run a seed or a saved script again, or make it smaller
    Replay(command::replay::Replay),
    /// Break the engine on purpose, one rule at a time: each breakage must be found
    Planted(command::planted::Planted),
    /// Kill real processes on a real file
    Kill(command::kill::Kill),
    /// Lose pages that the device has refused, before or after anybody is told
    Lost(command::lost::Lost),
    /// Cut the power below a real file system
    Block(command::block::Block),
    /// Work on full disks that share blocks
    Full(command::full::Full),
    /// Fail every system call on a real file
    Syscalls(command::syscalls::Syscalls),
    /// Change valid databases and use the result
    Hostile(command::hostile::Hostile),
    /// Count pages over very many commits: how long the file gets for what it holds
    Space(command::space::Space),
    /// Damage the files of loaders, rot pages that are read, commit in another thread
    Stories(command::stories::Stories),
}

/// A reader of standard output that has seen enough ends the process without a word.
fn end_with_reader() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout: Broken pipe") {
            std::process::exit(0);
        }
        before(info);
    }));
}

fn main() -> ExitCode {
    end_with_reader();
    recto_crash::planted::campaigns::plant_as_told();
    let outcome = match Cli::parse().verb {
        Verb::Sim(command) => command.run(),
        Verb::Exhaust(command) => command.run(),
        Verb::Faults(command) => command.run(),
        Verb::Replay(command) => command.run(),
        Verb::Planted(command) => command.run(),
        Verb::Kill(command) => command.run(),
        Verb::Lost(command) => command.run(),
        Verb::Block(command) => command.run(),
        Verb::Full(command) => command.run(),
        Verb::Syscalls(command) => command.run(),
        Verb::Hostile(command) => command.run(),
        Verb::Space(command) => command.run(),
        Verb::Stories(command) => command.run(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("crash: {e}");
            ExitCode::from(2)
        }
    }
}
