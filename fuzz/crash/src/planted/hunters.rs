//! Who looks for planted bugs: each hunter is a list of scripts, the same at each run.

use super::pitfalls;
use crate::sim::accidents::{KINDS, everywhere};
use crate::sim::generate::generate;
use crate::sim::scenarios;
use crate::sim::script::Script;
use recto::harness::sim::Rng;
use std::sync::OnceLock;

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

    /// A list that is made when it is first asked for.
    fn of(name: &'static str, list: fn() -> Vec<Script>) -> Hunter {
        let scripts = OnceLock::new();
        let get = move |n| scripts.get_or_init(list).get(n as usize).cloned();
        Hunter { name, scripts: Box::new(get) }
    }
}

/// All of them, the quick ones first. Random scripts begin with this seed.
pub fn all(seed: u64) -> Vec<Hunter> {
    vec![
        Hunter::of("scenarios", || both("short").chain(both("long")).collect()),
        Hunter::of("pitfalls", pitfalls::scripts),
        Hunter::of("accidents", accidents),
        Hunter { name: "random", scripts: Box::new(move |n| Some(generate(seed.wrapping_add(n)))) },
        Hunter::of("two accidents", || shuffled(pitfalls::deeper())),
    ]
}

/// A scenario, with both page sinks.
fn both(name: &'static str) -> impl Iterator<Item = Script> {
    let all = scenarios::all(false).into_iter().chain(scenarios::all(true));
    all.filter(move |(one, _)| *one == name).map(|(_, script)| script)
}

/// Every accident at every event of the short scenario.
fn accidents() -> Vec<Script> {
    shuffled(both("short").flat_map(|script| everywhere(&script, &KINDS)).collect())
}

/// The same ones in an order in which the first few are of every kind.
fn shuffled(mut scripts: Vec<Script>) -> Vec<Script> {
    let mut rng = Rng::new(scripts.len() as u64);
    for i in (1..scripts.len()).rev() {
        scripts.swap(i, rng.index(i + 1));
    }
    scripts
}
