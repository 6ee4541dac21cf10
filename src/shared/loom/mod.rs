//! The shared memory in a model checker that tries the orders in which threads and memory can act:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --lib --release --target-dir target/loom shared::loom
//! ```
//!
//! It is the code of this room that runs, over atomics, a mutex and a futex of the checker
//! (`../sync.rs`), and over byte locks made of these (`machine`). `core`: begin, publish, scan.
//! `table`: leases, claims, deaths, openings. `waking`: waiting for a snapshot. `commit`: hand-over
//! from writer to writer and group commit.
//!
//! Each model has variants that do something in the wrong order, or leave something out. They must
//! be found: a model that cannot see a missing fence proves nothing by its silence. A variant ends
//! in a panic: of an assertion, of the checker about a page that is stored to while somebody looks
//! ("Causality violation"), or about threads that wait for ever ("deadlock").
//!
//! What the checker does not do: it takes loads and stores that ask for SeqCst as Acquire and
//! Release (fences it takes as they are), so what passes here does not lean on them; and it stops
//! at a bound of preemptions.

mod commit;
mod core;
mod machine;
mod table;
mod waking;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Runs `model` in every order, with at most so many preemptions in one execution.
fn explore(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    machine::no_drops_after_a_panic();
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = Some(preemptions);
    checker.max_branches = 50_000;
    let executions = Arc::new(AtomicU64::new(0));
    let counter = executions.clone();
    let start = Instant::now();
    checker.check(move || {
        counter.fetch_add(1, Relaxed);
        model();
    });
    let (count, time) = (executions.load(Relaxed), start.elapsed());
    println!("{name}: {count} executions, {:.1} s", time.as_secs_f64());
}
