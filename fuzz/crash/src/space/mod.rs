//! The space of a database over very many commits: how long the file gets for what it holds, and
//! what a commit does for that.
//!
//! No bytes are written: the real allocator is asked for pages and told which are free, and its log
//! pages are in memory. So a million commits take minutes. Held to: the file has less than twice
//! the pages that are in use at one time at most (A4, A5). In use is what the newest snapshot,
//! readers and named snapshots see, and with deferred commits what the durable snapshots see too,
//! which A6 bounds. Before the file grows for single pages a transaction gets the free pages that
//! nobody sees, but for as many as a quarter of those that somebody does (A7). No side queue waits
//! for a snapshot that nobody protects any more (B10). And no commit reads and writes more log
//! pages than a fixed number, and two for each page that it takes or frees.

pub mod mixes;
pub mod world;

use mixes::Mix;
use std::sync::atomic::{AtomicBool, Ordering};
use world::Figures;

/// Log pages that any commit may read and write, however few pages it takes.
pub const WORK_MOST: u64 = 2_304;

/// Pages that are always granted: tables of a few pages are no measure.
const FEW: u64 = 256;
/// What deferred commits may write before they are flushed, however small the database is, twice:
/// two durable snapshots keep what they replace.
const UNFLUSHED: u64 = 2 * 4_096;

/// The part of what is in use that may be missed beside that: pages of the free log, which older
/// commits keep and nobody counts.
const LOGS_PART: u64 = 32;
/// Commits that may pass before something is taken out of a side queue whose snapshot is gone:
/// nothing is looked for while there is enough at hand.
const WAITED: u64 = 1_000;
/// Steps from one look at what a transaction would find to the next.
const PROBED_EACH: u64 = 499;

/// Makes `commits` commits of a mix, and answers what came of it, or what was wrong in the end.
pub fn run(mix: &Mix, seed: u64, commits: u64, stop: &AtomicBool) -> Result<Figures, String> {
    let mut world = mix.world(seed);
    for n in 0..commits {
        mix.step(&mut world, n);
        if n % PROBED_EACH == PROBED_EACH - 1 {
            world.probe();
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    judge(&world.figures)?;
    Ok(world.figures)
}

fn judge(f: &Figures) -> Result<(), String> {
    let Figures {
        commits,
        most_file,
        most_read,
        most_held,
        most_work,
        most_missed,
        most_waited,
        ..
    } = *f;
    let in_use = f.in_use();
    if most_file > 2 * in_use + FEW {
        return Err(format!(
            "{most_file} pages for the {in_use} that were in use, after {commits} commits"
        ));
    }
    if most_missed > FEW.max(in_use / LOGS_PART) {
        return Err(format!("{most_missed} free pages that nobody sees would not have been found"));
    }
    if most_waited > WAITED {
        return Err(format!(
            "a side queue has waited for a snapshot that nobody protects, for {most_waited} commits"
        ));
    }
    if most_held > most_read + (UNFLUSHED + FEW).max(most_read) {
        return Err(format!(
            "durable snapshots keep {most_held} pages beside the {most_read} that others see"
        ));
    }
    if f.unproved > 0 {
        return Err(format!("{} pages were given out by log pages that nobody proved", f.unproved));
    }
    if most_work > WORK_MOST {
        return Err(format!("a commit read and wrote {most_work} log pages beyond its share"));
    }
    Ok(())
}
