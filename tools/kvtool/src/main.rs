//! kvtool: inspect, load, dump and check recto databases.
//!
//! Each verb is a file in `command/`. Exit codes: 0 fine; 1 the answer is no (key absent, faults
//! found, contents differ); 2 it could not be done, with one line on standard error that says what
//! to do. A reader that closes our standard output early ends the command with 0, or with 1 where
//! that is known by then.
//!
//! Verbs that only read never make a file. Any of them may run beside processes that use the
//! database.
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

mod command;
mod database;
mod failure;
mod input;
mod output;
mod pairs;
mod progress;
mod range;
mod signals;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use command::Status;
use failure::Outcome;
use kvtool::{dump, text};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

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
JSON value; keys and values are strings when they are UTF-8, else {\"hex\":\"...\"}; what
goes to standard error is {\"error\":\"...\"} or {\"note\":\"...\"}.

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
    /// Say how full the pages of each table are, and how large its keys and values
    Stat(command::stat::Stat),
    /// Count pairs, or keys
    Count(command::count::Count),
    /// Print the value of a key, or each of its values
    Get(command::get::Get),
    /// Print pairs in the order of their keys: key, tab, value
    Scan(command::scan::Scan),
    /// Print a line for each commit, of any process
    Watch(command::watch::Watch),
    /// Put a pair; makes the file and the table if there is none
    Put(command::put::Put),
    /// Delete a key, one value of a key, or a range of keys
    Del(command::del::Del),
    /// Give states of the database a name, list them, drop them
    Snapshot(command::snapshot::Snapshot),
    /// Make a database, or a table in it
    Create(command::create::Create),
    /// Give a table another name
    Rename(command::rename::Rename),
    /// Make a table with what another one holds
    CopyTable(command::copy_table::CopyTable),
    /// Delete all pairs of a table
    Clear(command::drop::Clear),
    /// Delete a table with all its pairs
    Drop(command::drop::Drop),
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
    /// Make a new database of one of an older format version
    Upgrade(command::upgrade::Upgrade),
    /// Print completions for a shell, or write manual pages
    Completions(command::completions::Completions),
}

impl Verb {
    fn run(self) -> Outcome<Status> {
        match self {
            Verb::Info(command) => command.run(),
            Verb::Tables(command) => command.run(),
            Verb::Stat(command) => command.run(),
            Verb::Count(command) => command.run(),
            Verb::Get(command) => command.run(),
            Verb::Scan(command) => command.run(),
            Verb::Watch(command) => command.run(),
            Verb::Put(command) => command.run(),
            Verb::Del(command) => command.run(),
            Verb::Snapshot(command) => command.run(),
            Verb::Create(command) => command.run(),
            Verb::Rename(command) => command.run(),
            Verb::CopyTable(command) => command.run(),
            Verb::Clear(command) => command.run(),
            Verb::Drop(command) => command.run(),
            Verb::Load(command) => command.run(),
            Verb::Compare(command) => command.run(),
            Verb::Dump(command) => command.run(),
            Verb::Check(command) => command.run(),
            Verb::Salvage(command) => command.run(),
            Verb::Upgrade(command) => command.run(),
            Verb::Completions(command) => command.run(),
        }
    }
}

fn main() -> ExitCode {
    signals::ignore_file_size_limit();
    let matches = Cli::command().try_get_matches().unwrap_or_else(|e| wrong_arguments(e));
    // Whatever the verb: its errors take the form that was asked for.
    let json = matches.subcommand().and_then(|(_, verb)| verb.try_get_one("json").ok().flatten());
    JSON.store(json.copied().unwrap_or(false), Ordering::Relaxed);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| wrong_arguments(e));
    match cli.verb.run() {
        Ok(Status::Fine) => ExitCode::SUCCESS,
        Ok(Status::No) => ExitCode::from(1),
        Err(failure) => match failure.message() {
            None => ExitCode::SUCCESS,
            Some(message) => {
                fail(&message);
                ExitCode::from(2)
            }
        },
    }
}

/// Help, or what is wrong with the arguments: in one JSON value where JSON is among them.
fn wrong_arguments(error: clap::Error) -> ! {
    let mut options = std::env::args_os().take_while(|argument| argument != "--");
    if !error.use_stderr() || !options.any(|argument| argument == "--json") {
        error.exit();
    }
    JSON.store(true, Ordering::Relaxed);
    let text = error.to_string();
    fail(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
    std::process::exit(error.exit_code());
}

/// Whether messages are JSON too.
static JSON: AtomicBool = AtomicBool::new(false);

/// A line on standard error; if even that is closed, nobody wants to know.
pub(crate) fn say(message: &str) {
    tell("note", message);
}

/// The same of what ends the command.
pub(crate) fn fail(message: &str) {
    tell("error", message);
}

fn tell(kind: &str, message: &str) {
    let _ = match JSON.load(Ordering::Relaxed) {
        true => writeln!(std::io::stderr(), "{}", serde_json::json!({ kind: message })),
        false => writeln!(std::io::stderr(), "kvtool: {message}"),
    };
}
