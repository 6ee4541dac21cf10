//! Who looks for planted bugs: each hunter is a list of scripts, the same at each run.

use crate::sim::accidents::{KINDS, everywhere};
use crate::sim::generate::generate;
use crate::sim::op::{Accident, What};
use crate::sim::scenarios;
use crate::sim::script::Script;
use crate::sim::world::events_of;
use recto::harness::sim::Rng;

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
    let short = || both("short").chain(scenarios::pitfalls());
    let pairs: Vec<(Script, Vec<u64>)> =
        short().map(|script| (script.clone(), events_of(&script))).collect();
    vec![
        Hunter::of("cuts", both("long").chain(scenarios::pitfalls().map(with_cuts)).collect()),
        Hunter::of("accidents", spread(short().flat_map(|s| everywhere(&s, &KINDS)).collect())),
        Hunter {
            name: "two accidents",
            scripts: Box::new(move |n| Some(two_accidents(&pairs, seed.wrapping_add(n)))),
        },
        Hunter {
            name: "random",
            scripts: Box::new(move |n| Some(generate(seed.wrapping_add(n)))),
        },
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

/// The same scripts in an order in which the first few are of every kind.
fn spread(scripts: Vec<Script>) -> Vec<Script> {
    const STRIDE: usize = 61;
    let mut order: Vec<usize> = (0..scripts.len()).collect();
    order.sort_by_key(|i| (i % STRIDE, *i));
    order.into_iter().map(|i| scripts[i].clone()).collect()
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
