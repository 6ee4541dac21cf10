//! One file for each verb.

pub mod block;
pub mod exhaust;
pub mod faults;
pub mod full;
pub mod hostile;
pub mod kill;
pub mod lost;
pub mod planted;
pub mod replay;
pub mod sim;
pub mod space;
pub mod stories;
pub mod syscalls;

use recto_crash::driver::{Failure, Outcome};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that SIGINT and SIGTERM raise, for a campaign to end in good order. The second one ends
/// the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 2, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// What a report shows beside the figures.
enum Detail {
    /// Nothing but cuts is tried: what else happened is no use to know.
    CutsOnly,
    /// What was going on when something happened, and what never did.
    Cells,
    /// And at each kind of event.
    Steps,
}

/// Prints what simulated runs have come to, with the verdict first and last, and how to see each
/// failure again.
fn report(outcome: &Outcome, detail: Detail, again: impl Fn(&Failure) -> String) {
    let seconds = outcome.elapsed.as_secs_f64();
    let verdict = verdict(outcome);
    println!("{verdict}\n");
    print!("{}", outcome.tally);
    let rate = outcome.tally.cuts as f64 / seconds / outcome.threads as f64;
    println!("time              {seconds:>12.1}   seconds on {} threads", outcome.threads);
    println!("rate              {rate:>12.0}   power cuts with recovery a second and core");
    if !matches!(detail, Detail::CutsOnly) {
        println!("\n{}", outcome.tally.table());
        let empty = outcome.tally.empty_cells();
        if !empty.is_empty() {
            println!("never reached: {}", empty.join(", "));
        }
    }
    if matches!(detail, Detail::Steps) {
        println!("\n{}", outcome.tally.steps_table());
    }
    for failure in &outcome.failures {
        println!("\nscript {}: {}\nagain: {}", failure.number, failure.what, again(failure));
    }
    println!("\n{verdict}");
}

/// What has come out, in a line.
fn verdict(outcome: &Outcome) -> String {
    let of = match outcome.left {
        0 => String::new(),
        left => {
            format!(" of {}", grouped(outcome.tally.runs + outcome.failures.len() as u64 + left))
        }
    };
    let tally = &outcome.tally;
    let scripts = grouped(tally.runs + outcome.failures.len() as u64);
    let [cuts, double] = [tally.cuts, tally.double_faults].map(grouped);
    let tried = format!("{scripts}{of} scripts, {cuts} power cuts, {double} double faults");
    match outcome.failures.len() {
        0 => format!("no data lost: {tried}"),
        n => format!("FAILED: {n} of {tried}"),
    }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// A command of this program, as it was called.
fn again(args: &str) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "crash".into());
    format!("{program} {args}")
}
