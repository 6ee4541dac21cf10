//! recto beside its peers, on one machine in one run.
//!
//! `engine.rs` says what an engine must do, `engines/` has one file for each; `workload.rs` lists
//! the workloads, `workloads/` has the code; `database.rs` keeps the model that answers are held
//! against; `run.rs` lets the engines take turns; `limits.rs` measures the machine itself;
//! `report.rs` and `chart.rs` show what came out.

mod chart;
mod child;
mod contest;
mod database;
mod device;
mod engine;
mod engines;
mod growth;
mod keys;
mod limits;
mod outcome;
mod report;
mod run;
mod settings;
mod workload;
mod workloads;

use clap::{Args, Parser, Subcommand};
use database::Sizes;
use keys::Shape;
use outcome::{Failure, Outcome};
use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures recto beside LMDB, libmdbx, redb, sanakirja, fjall, RocksDB and SQLite.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run workloads on all engines in turns.
    Run(Box<RunArgs>),
    /// Say how each engine is set.
    Settings,
    /// List the workloads and engines.
    List,
    /// Load more and more keys in order into one engine after the other, and time reads, commits
    /// and openings on the way.
    Growth(GrowthArgs),
    /// Draw the charts of a run that wrote JSON.
    Plot {
        /// What `run --json` or `growth --json` has written.
        file: PathBuf,
        /// Directory for the charts.
        #[arg(long, value_name = "DIR")]
        svg: PathBuf,
    },
    #[command(name = child::VERB, hide = true)]
    Child { spec: String },
}

#[derive(Args)]
struct RunArgs {
    /// Number of keys.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..500_000_000))]
    keys: u32,
    /// What keys look like.
    #[arg(long, value_enum, default_value = "u64")]
    shape: Shape,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(8..=1 << 20))]
    value: u32,
    /// Only these engines.
    #[arg(long, value_delimiter = ',')]
    engines: Option<Vec<String>>,
    /// Only these workloads.
    #[arg(long, value_delimiter = ',')]
    workloads: Option<Vec<String>>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where the databases are made: on the disk to be measured. A directory of the run's own is
    /// made in it.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Also write the results here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw charts into this directory.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Most that all databases together may take on the disk.
    #[arg(long, default_value = "20GiB", value_parser = bytes)]
    max_disk: u64,
    /// Leave out the limits of the machine.
    #[arg(long)]
    no_limits: bool,
}

#[derive(Args)]
struct GrowthArgs {
    /// Number of keys in the end; each takes about 120 bytes in a B+tree.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..1_000_000_000))]
    keys: u64,
    /// Only these engines.
    #[arg(long, value_delimiter = ',')]
    engines: Option<Vec<String>>,
    /// Where the databases are made: on the disk to be measured. A directory of the run's own is
    /// made in it.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Also write the results here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw them into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Most that a database may take on the disk.
    #[arg(long, default_value = "40GiB", value_parser = bytes)]
    max_disk: u64,
}

/// A number of bytes, with or without a unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        other => return Err(format!("no unit {other}; B, KiB, MiB or GiB")),
    };
    digits.parse::<u64>().map(|n| n * unit).map_err(|e| e.to_string())
}

/// Every name must be one of the known ones.
fn check_names(what: &str, names: Option<&[String]>, known: &[&str]) -> Outcome<()> {
    for name in names.unwrap_or_default() {
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            return Err(Failure::Error(format!("no {what} {name}; there are {known}")));
        }
    }
    Ok(())
}

fn run_verb(args: &RunArgs) -> Outcome<ExitCode> {
    let all = workload::all();
    let names: Vec<&str> = all.iter().map(|w| w.name.as_str()).collect();
    check_names("workload", args.workloads.as_deref(), &names)?;
    check_names("engine", args.engines.as_deref(), &run::engine_names())?;
    let wanted = |name: &String| args.workloads.as_ref().is_none_or(|names| names.contains(name));
    let options = run::Options {
        sizes: Sizes {
            keys: args.keys as usize,
            shape: args.shape,
            value_len: args.value as usize,
        },
        rounds: args.rounds as usize,
        engines: args.engines.as_deref(),
        workloads: all.iter().filter(|w| wanted(&w.name)).cloned().collect(),
        limits: !args.no_limits,
        max_disk: args.max_disk,
    };
    let dir = own_dir(&args.dir)?;
    let report = run::run(&options, dir.path())?;
    dir.close()?;
    report.print();
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(svg) = &args.svg {
        chart::write(&report, svg)?;
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn growth_verb(args: &GrowthArgs) -> Outcome<ExitCode> {
    check_names("engine", args.engines.as_deref(), &run::engine_names())?;
    let dir = own_dir(&args.dir)?;
    let (points, failures) =
        growth::run(dir.path(), args.engines.as_deref(), args.keys, args.max_disk)?;
    dir.close()?;
    growth::print(&points);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&points)?)?;
    }
    if let Some(file) = &args.svg {
        chart::growth(&points, file)?;
    }
    for failure in &failures {
        eprintln!("{failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A directory of the run's own.
fn own_dir(parent: &Path) -> Outcome<tempfile::TempDir> {
    std::fs::create_dir_all(parent)?;
    let dir = tempfile::Builder::new().prefix("compare-").tempdir_in(parent)?;
    delete_when_interrupted(dir.path())?;
    Ok(dir)
}

/// On Ctrl-C the loops end and the files go with the directory. Where a call takes too long they
/// are deleted under it.
fn delete_when_interrupted(dir: &Path) -> Outcome<()> {
    let dir = dir.to_path_buf();
    Ok(ctrlc::set_handler(move || {
        outcome::stop();
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(100));
            if !dir.exists() {
                return;
            }
        }
        let _ = std::fs::remove_dir_all(&dir);
        std::process::exit(130);
    })?)
}

fn list() {
    println!("engines: {}\n", run::engine_names().join(", "));
    for workload in workload::all() {
        println!("{:<20}{}", workload.name, workload.about);
    }
}

fn main() -> ExitCode {
    let outcome = match &Cli::parse().verb {
        Verb::Run(args) => run_verb(args),
        Verb::Settings => {
            settings::print();
            Ok(ExitCode::SUCCESS)
        }
        Verb::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Growth(args) => growth_verb(args),
        Verb::Plot { file, svg } => plot(file, svg),
        Verb::Child { spec } => child::main(spec).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("\ncompare: {failure}");
        match failure {
            Failure::Stopped => ExitCode::from(130),
            Failure::Wrong(_) => ExitCode::FAILURE,
            _ => ExitCode::from(2),
        }
    })
}

fn plot(file: &Path, svg: &Path) -> Outcome<ExitCode> {
    let text = std::fs::read(file)?;
    if let Ok(points) = serde_json::from_slice::<Vec<growth::Point>>(&text) {
        std::fs::create_dir_all(svg)?;
        let file = svg.join("growth.svg");
        chart::growth(&points, &file)?;
        println!("{}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let report: Report = serde_json::from_slice(&text)?;
    for name in chart::write(&report, svg)? {
        println!("{}", svg.join(name).display());
    }
    Ok(ExitCode::SUCCESS)
}
