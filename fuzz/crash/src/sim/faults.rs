//! Every fault at every event of a scenario: one script for each.

use super::op::{Fault, What};
use super::script::Script;
use super::world::events_of;
use recto::harness::sim::Rng;

/// For ever.
const EVER: u32 = u32::MAX;

/// What can be injected.
pub const KINDS: [What; 10] = [
    What::Kill,
    What::Fail { errno: libc::EIO, times: 1 },
    What::Fail { errno: libc::EIO, times: 3 },
    What::Fail { errno: libc::EIO, times: EVER },
    What::Fail { errno: libc::ENOSPC, times: 1 },
    What::Fail { errno: libc::ENOSPC, times: EVER },
    What::Turn { deferred: false },
    What::Turn { deferred: true },
    What::Visit,
    What::Cut(5),
];

/// The scenario with each of these faults at each of its events. After a fault every event
/// is a cut point now and then.
pub fn everywhere(scenario: &Script, kinds: &[What]) -> Vec<Script> {
    let mut all = Vec::new();
    for (number, events) in events_of(scenario).into_iter().enumerate() {
        for at in 0..events as u32 {
            for &what in kinds {
                let mut script = scenario.clone();
                script.setup.from = number;
                script.setup.probe = 11;
                script.setup.outcomes = 2;
                script.setup.second = 0;
                script.ops[number].faults.push(Fault { at, what });
                if matches!(what, What::Fail { .. }) && script.setup.write_back_fails == 0 {
                    // Lost pages leave the cache at once or later.
                    script.setup.evict = if at % 2 == 0 { 8_000 } else { 0 };
                }
                all.push(script);
            }
        }
    }
    all
}

/// The same scripts in an order in which the first few are of every kind.
pub fn shuffled(mut scripts: Vec<Script>) -> Vec<Script> {
    let mut rng = Rng::new(scripts.len() as u64);
    for i in (1..scripts.len()).rev() {
        scripts.swap(i, rng.index(i + 1));
    }
    scripts
}
