//! One file for each verb.

pub mod block;
pub mod exhaust;
pub mod faults;
pub mod hostile;
pub mod kill;
pub mod planted;
pub mod replay;
pub mod sim;
pub mod syscalls;

use recto_crash::driver::Outcome;

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
    for failure in &outcome.failures {
        println!("\nFAILED: {}\nagain:  {}", failure.what, again(failure.number));
    }
}
