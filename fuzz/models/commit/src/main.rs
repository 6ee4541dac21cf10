//! A model of commit, flush, failure, repair, opening, reuse and growth (docs/design.md, rules 1 to
//! 27), checked in all its states.
//!
//!     cargo run --release --manifest-path fuzz/models/commit/Cargo.toml -- matrix [NAME ..] [--quick]
//!     .. -- planted [BUG ..] [--quick]
//!     .. -- run NAME key=value ..
//!     .. -- lag
//!
//! `matrix` goes through the configurations of `table`, where nothing may be found; `planted` takes
//! a rule away in each, and something must be found; `run` is one configuration (keys: `config`);
//! `lag` measures how far reuse lags behind. Each ends with 1 if something is not as it should be.
//! With the feature `three` the tree has three pages.
//!
//! | file | what it is |
//! | --- | --- |
//! | `state` | what there is |
//! | `disk` | page cache, syncs, power cuts, and which meta is taken |
//! | `writer`, `flush`, `recover` | the protocol |
//! | `world` | deaths, failing devices, readers, lock files; all next states |
//! | `explore` | the search |
//! | `config`, `planted`, `table` | what is allowed, what is broken, what is run |
//!
//! Left out: more than six new transactions, three pages and eight pages of a file; weak memory
//! (`readers`); sectors that mix within a page and pass a checksum; opening and repair sync in one
//! step, since nobody else writes meanwhile. Equal hashes of 64 bits count as equal states.

mod close;
mod config;
mod disk;
mod explore;
mod flush;
mod lag;
mod planted;
mod recover;
mod state;
mod step;
mod table;
mod world;
mod writer;

use config::Config;
use explore::explore;
use std::process::ExitCode;
use table::{MATRIX, PLANTED, Row};

type Outcome = Result<bool, String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match &args[..] {
        ["matrix", rest @ ..] => matrix(rest),
        ["planted", rest @ ..] => planted(rest),
        ["run", name, words @ ..] => run(name, words),
        ["lag"] => {
            lag::print();
            Ok(true)
        }
        _ => Err("matrix, planted, run or lag: see the head of main.rs".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

/// Rows that are asked for.
fn chosen<'a>(rows: &'a [Row], args: &[&str]) -> Vec<&'a Row> {
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().partition(|a| a.starts_with("--"));
    let asked = |row: &&Row| {
        let named = names.iter().any(|name| row.name == *name || row.words.contains(name));
        (names.is_empty() || named) && (row.quick || !flags.contains(&"--quick"))
    };
    rows.iter().filter(asked).collect()
}

fn config(row: &Row) -> Result<Config, String> {
    Config::parse(row.name, &row.words.split(' ').collect::<Vec<_>>())
}

fn matrix(args: &[&str]) -> Outcome {
    let (mut sound, mut states, mut images, mut rows) = (true, 0, 0, 0);
    for row in chosen(MATRIX, args) {
        let outcome = explore(&config(row)?);
        println!("{outcome}");
        if let Some(wrong) = &outcome.wrong {
            print!("{wrong}");
        }
        sound &= outcome.wrong.is_none();
        rows += u32::from(outcome.complete);
        (states, images) = (states + outcome.states, images + outcome.images);
    }
    println!("{rows} configurations complete, {states} states, {images} crash images");
    Ok(sound)
}

fn planted(args: &[&str]) -> Outcome {
    let (mut caught, mut all) = (0, 0);
    for row in chosen(PLANTED, args) {
        let outcome = explore(&config(row)?);
        let found = outcome.wrong.as_ref();
        let what =
            found.map_or("MISSED".into(), |w| format!("{} steps: {}", w.trace.len(), w.what));
        println!("{} {}: {what} ({} states)", row.name, row.words, outcome.states);
        all += 1;
        caught += u32::from(found.is_some());
    }
    println!("{caught} of {all} caught");
    Ok(caught == all)
}

fn run(name: &str, words: &[&str]) -> Outcome {
    let outcome = explore(&Config::parse(name, words)?);
    println!("{outcome}");
    if let Some(wrong) = &outcome.wrong {
        print!("{wrong}");
    }
    Ok(outcome.wrong.is_none())
}
