//! One file for each verb.

pub mod block;
pub mod exhaust;
pub mod faults;
pub mod full;
pub mod hostile;
pub mod kill;
pub mod planted;
pub mod replay;
pub mod sim;
pub mod space;
pub mod syscalls;

use recto_crash::driver::Outcome;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that SIGINT and SIGTERM raise, for a campaign to end in good order. The second one ends the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 2, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Prints what simulated runs have come to, and how to see each failure again.
fn report(outcome: &Outcome, steps: bool, again: impl Fn(u64) -> String) {
    let seconds = outcome.elapsed.as_secs_f64();
    print!("{}", outcome.tally);
    let rate = outcome.tally.cuts as f64 / seconds / outcome.threads as f64;
    println!("time              {seconds:>12.1}   seconds on {} threads", outcome.threads);
    println!("rate              {rate:>12.0}   power cuts with recovery a second and core\n");
    println!("{}", outcome.tally.table());
    let empty = outcome.tally.empty_cells();
    if !empty.is_empty() {
        println!("never reached: {}", empty.join(", "));
    }
    if steps {
        println!("\n{}", outcome.tally.steps_table());
    }
    if outcome.left > 0 && outcome.failures.is_empty() {
        let all = outcome.tally.runs + outcome.left;
        println!("stopped after {} of {all} scripts", outcome.tally.runs);
    }
    for failure in &outcome.failures {
        println!("\nFAILED: {}\nagain:  {}", failure.what, again(failure.number));
    }
}
