//! Who looks for planted bugs: each hunter is a list of scripts, the same at each run.

use super::pitfalls;
use crate::sim::faults::{KINDS, everywhere, shuffled};
use crate::sim::generate::{generate, nested, sets};
use crate::sim::profiles::PROFILES;
use crate::sim::scenarios;
use crate::sim::script::Script;
use std::sync::OnceLock;

/// See the head of the file.
pub struct Hunter {
    /// Its name in the table.
    pub name: &'static str,
    /// How much longer its turns are than those of others.
    pub share: u64,
    /// Turns that are shorter are no use to it, if longer ones come.
    pub least: u64,
    scripts: Box<dyn Fn(u64) -> Option<Script> + Sync>,
}

impl Hunter {
    /// Its script number `number`; none behind the last. The first call may run scripts to find out
    /// where their events are: no bug is planted then.
    pub fn script(&self, number: u64) -> Option<Script> {
        (self.scripts)(number)
    }

    fn of<T: Send + Sync + 'static>(
        name: &'static str,
        make: fn() -> T,
        get: impl Fn(&T, u64) -> Option<Script> + Sync + 'static,
    ) -> Hunter {
        let made = OnceLock::new();
        Hunter {
            name,
            share: 1,
            least: 0,
            scripts: Box::new(move |number| get(made.get_or_init(make), number)),
        }
    }

    /// With turns that are so many times as long.
    fn longer(self, share: u64) -> Hunter {
        Hunter { share, ..self }
    }

    /// With scripts that are too long for short turns.
    fn at_least(self, least: u64) -> Hunter {
        Hunter { least, ..self }
    }

    fn of_list(name: &'static str, list: fn() -> Vec<Script>) -> Hunter {
        Hunter::of(name, list, |list, number| list.get(number as usize).cloned())
    }
}

/// All of them, the quick ones first. What is random begins with this seed.
pub fn all(seed: u64) -> Vec<Hunter> {
    let deeper = move |all: &Vec<_>, n| pitfalls::two_faults(all, seed.wrapping_add(n));
    let profiles = PROFILES.map(|(name, script)| {
        let scripts = move |(): &(), n| Some(script(seed.wrapping_add(n)));
        // Few cuts of that world are made in a second.
        Hunter::of(name, || (), scripts).longer(if name == "bounds" { 1 } else { 3 })
    });
    let mut all = vec![
        Hunter::of_list("short", || both("short").map(with_cuts).collect()),
        // All of them in the first turn.
        Hunter::of_list("pitfalls", pitfalls::plain).longer(20),
        Hunter::of_list("in pitfalls", pitfalls::with_faults).longer(4),
        Hunter::of_list("faults", faults).longer(4),
        Hunter::of("two faults", pitfalls::deeper, deeper).longer(4),
    ];
    all.extend(profiles);
    all.extend([
        Hunter::of("savepoints", || (), move |(), n| Some(nested(seed.wrapping_add(n)))),
        Hunter::of("sets", || (), move |(), n| Some(sets(seed.wrapping_add(n)))),
        Hunter::of("random", || (), move |(), n| Some(generate(seed.wrapping_add(n)))),
        Hunter::of_list("long", || {
            ["long", "free-log", "pool"].into_iter().flat_map(both).collect()
        })
        .at_least(20_000),
    ]);
    all
}

/// A scenario, with both page sinks.
fn both(name: &'static str) -> impl Iterator<Item = Script> {
    let all = scenarios::all(false).into_iter().chain(scenarios::all(true));
    all.filter(move |(one, _)| *one == name).map(|(_, script)| script)
}

fn with_cuts(mut script: Script) -> Script {
    script.setup.probe = 3;
    script
}

/// Every fault at every event of the short scenario.
fn faults() -> Vec<Script> {
    shuffled(both("short").flat_map(|script| everywhere(&script, &KINDS)).collect())
}
