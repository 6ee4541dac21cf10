//! Who looks for planted bugs: each hunter is a list of scripts, the same at each run.

use crate::sim::accidents::{KINDS, everywhere};
use crate::sim::generate::generate;
use crate::sim::op::{Accident, What};
use crate::sim::scenarios;
use crate::sim::script::Script;
use crate::sim::world::events_of;
use recto::harness::sim::Rng;

/// Events of a line that may see an accident.
const EVENTS: u32 = 120;

/// See the head of the file.
pub struct Hunter {
    /// Its name in the table.
    pub name: &'static str,
    scripts: Box<dyn Fn(u64) -> Option<Script> + Sync>,
}

impl Hunter {
    /// Its script number `number`; none behind the last.
    pub fn script(&self, number: u64) -> Option<Script> {
        (self.scripts)(number)
    }

    fn of(name: &'static str, scripts: Vec<Script>) -> Hunter {
        Hunter { name, scripts: Box::new(move |n| scripts.get(n as usize).cloned()) }
    }
}

/// All of them, the quick ones first. What is random begins with this seed.
pub fn all(seed: u64) -> Vec<Hunter> {
    let short = || scenarios::pitfalls().chain(both("short"));
    let pairs: Vec<(Script, Vec<u64>)> =
        short().map(|script| (script.clone(), events_of(&script))).collect();
    vec![
        Hunter::of("cuts", scenarios::pitfalls().map(with_cuts).chain(both("long")).collect()),
        Hunter::of("accidents", accidents(short(), 0)),
        Hunter::of("accidents, cuts", accidents(short(), 5)),
        Hunter {
            name: "two accidents",
            scripts: Box::new(move |n| Some(two_accidents(&pairs, seed.wrapping_add(n)))),
        },
        Hunter { name: "random", scripts: Box::new(move |n| Some(generate(seed.wrapping_add(n)))) },
    ]
}

/// A scenario, with both page sinks.
fn both(name: &'static str) -> impl Iterator<Item = Script> {
    let all = scenarios::all(false).into_iter().chain(scenarios::all(true));
    all.filter(move |(one, _)| *one == name).map(|(_, script)| script)
}

fn with_cuts(mut script: Script) -> Script {
    (script.setup.probe, script.setup.second) = (1, 60);
    script
}

/// Every accident at every event of every scenario, shuffled, so that the first few are of every kind. After the accident one event
/// in `probe` is a cut point, 0: none but the end.
fn accidents(scenarios: impl Iterator<Item = Script>, probe: u64) -> Vec<Script> {
    let mut all: Vec<Script> = scenarios.flat_map(|script| everywhere(&script, &KINDS)).collect();
    // What comes later is the same again: a line that makes many commits.
    all.retain(|script| script.ops.iter().flat_map(|op| &op.accidents).all(|a| a.at < EVENTS));
    let mut rng = Rng::new(all.len() as u64);
    for i in (1..all.len()).rev() {
        all.swap(i, rng.index(i + 1));
    }
    all.iter_mut().for_each(|script| script.setup.probe = probe);
    all
}

/// One accident somewhere, and another one soon after.
fn two_accidents(scenarios: &[(Script, Vec<u64>)], seed: u64) -> Script {
    let mut rng = Rng::new(seed);
    let (script, events) = &scenarios[rng.index(scenarios.len())];
    let mut script = script.clone();
    let mut number = rng.index(script.ops.len());
    script.setup.from = number;
    (script.setup.probe, script.setup.outcomes) = ([0, 3, 11][rng.index(3)], 3);
    script.setup.second = 0;
    if script.setup.write_back == 0 {
        script.setup.evict = [0, 8_000, 40_000][rng.index(3)];
    }
    for _ in 0..2 {
        let at = rng.below(events[number] + 4) as u32;
        let what = match rng.below(8) {
            0 => What::Cut(rng.below(1 << 20)),
            1 | 2 => What::Fail { errno: libc::EIO, times: 1 },
            _ => KINDS[rng.index(KINDS.len())],
        };
        script.ops[number].accidents.push(Accident { at, what });
        number = (number + rng.index(3)).min(script.ops.len() - 1);
    }
    script
}
