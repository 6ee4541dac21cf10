//! kvtool: inspect, load, dump and check recto databases.
//!
//! Each verb is a file in `command/`. Exit codes: 0 fine; 1 the answer is no (key absent, faults found,
//! contents differ); 2 it could not be done, with one line on standard error that says what to do. A reader that
//! closes our standard output early ends the command with 0.
//!
//! Verbs that only read never make a file. Any of them may run beside processes that use the database.
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

mod command;
mod database;
mod failure;
mod input;
mod output;
mod progress;

use clap::{Parser, Subcommand};
use command::Status;
use failure::Outcome;
use kvtool::{dump, text};
use std::io::Write;
use std::process::ExitCode;

/// Inspect, load, dump and check recto databases.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100, after_help = NOTES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const NOTES: &str = "\
Keys and values are text: printable ASCII as it is, a backslash as \\\\, any byte as
\\xNN. With --hex they are hexadecimal digits. With --json each line printed is one
JSON value; keys and values are strings when they are UTF-8, else {\"hex\":\"...\"}.

Works beside processes that use the database. Nothing but recto may change the
file meanwhile.

Exit status: 0 fine; 1 key absent, faults found or contents differ; 2 could not be
done, and standard error says why.";

#[derive(Subcommand, Debug)]
enum Verb {
    /// Say what the file is, how large, and who reads it
    Info(command::info::Info),
    /// List the tables
    Tables(command::tables::Tables),
    /// Print the value of a key
    Get(command::get::Get),
    /// Put a pair; makes the file and the table if there is none
    Put(command::put::Put),
    /// Delete a key
    Del(command::del::Del),
    /// Print pairs in the order of their keys: key, tab, value
    Scan(command::scan::Scan),
    /// Put everything that INPUT holds; makes the file and the tables if there are none
    Load(command::load::Load),
    /// Read INPUT again and compare every pair with the database
    Compare(command::compare::Compare),
    /// Print a table, or all, in the text format of LMDB's mdb_dump
    Dump(command::dump::Dump),
    /// Check every page of the file
    Check(command::check::Check),
    /// Get out of a damaged file what can be proved, into a new one
    Salvage(command::salvage::Salvage),
}

impl Verb {
    fn run(self) -> Outcome<Status> {
        match self {
            Verb::Info(command) => command.run(),
            Verb::Tables(command) => command.run(),
            Verb::Get(command) => command.run(),
            Verb::Put(command) => command.run(),
            Verb::Del(command) => command.run(),
            Verb::Scan(command) => command.run(),
            Verb::Load(command) => command.run(),
            Verb::Compare(command) => command.run(),
            Verb::Dump(command) => command.run(),
            Verb::Check(command) => command.run(),
            Verb::Salvage(command) => command.run(),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().verb.run() {
        Ok(Status::Fine) => ExitCode::SUCCESS,
        Ok(Status::No) => ExitCode::from(1),
        Err(failure) => match failure.message() {
            None => ExitCode::SUCCESS,
            Some(message) => {
                say(&message);
                ExitCode::from(2)
            }
        },
    }
}

/// A line on standard error; if even that is closed, nobody wants to know.
pub(crate) fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "kvtool: {message}");
}
