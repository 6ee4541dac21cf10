//! Stories of what the scripts of the simulation do not do: pairs in temporary files that somebody
//! damages, handles that prove what they read while pages rot, commits that another thread makes
//! durable. Each life is one story, decided by its seed, with a model beside it.

mod background;
mod checksums;
mod loader;

use crate::alive::Alive;
use fastrand::Rng;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a story finds wrong.
type Told = Result<(), String>;

/// A kind of story.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    live: fn(&mut Rng, &mut Tally) -> Told,
}

/// All of them.
pub const KINDS: [Kind; 3] = [
    Kind { name: "loader", live: loader::live },
    Kind { name: "checksums", live: checksums::live },
    Kind { name: "background", live: background::live },
];

/// What has been done.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub lives: u64,
    /// Loads into which something was put wrongly, or that were ended, and that said so.
    pub refused_loads: u64,
    pub whole_loads: u64,
    /// Reads that met damage and said so.
    pub damage_told: u64,
    /// Reads of damaged files that did not come to it.
    pub damage_missed: u64,
    /// Commits by another thread, and those of them whose flush was refused.
    pub background: u64,
    pub refused_flushes: u64,
}

/// Lives from this seed on, of every kind or of one; the first that goes wrong ends it.
pub fn campaign(
    seed: u64,
    lives: u64,
    only: Option<&str>,
    stop: &AtomicBool,
) -> Result<Tally, String> {
    let alive = Alive::new();
    recto::harness::no_grace();
    let mut tally = Tally::default();
    for seed in (seed..).take(lives as usize) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for kind in KINDS.iter().filter(|kind| only.is_none_or(|only| only == kind.name)) {
            let life = || (kind.live)(&mut Rng::with_seed(seed), &mut tally);
            let told = crate::quiet::caught(std::panic::AssertUnwindSafe(life));
            let told = told.and_then(|told| told);
            told.map_err(|what| format!("seed {seed}: {}: {what}", kind.name))?;
        }
        tally.lives += 1;
        alive.tell(|| format!("{} lives", tally.lives));
    }
    Ok(tally)
}

/// Bytes that `n` decides.
fn bytes_of(n: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::with_seed(n);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}
