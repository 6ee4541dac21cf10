//! Who looks for planted bugs: each hunter is a list of scripts, the same at each run.

use crate::sim::accidents::{KINDS, everywhere};
use crate::sim::generate::generate;
use crate::sim::scenarios;
use crate::sim::script::Script;

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

/// All of them, the quick ones first. Random scripts begin with this seed.
pub fn all(seed: u64) -> Vec<Hunter> {
    let both = || scenarios::all(false).into_iter().chain(scenarios::all(true));
    let (short, _): (Vec<_>, Vec<_>) = both().partition(|(name, _)| *name == "short");
    let cuts = both().map(|(_, script)| script).collect();
    let accidents = short.iter().flat_map(|(_, script)| spread(everywhere(script, &KINDS)));
    vec![
        Hunter::of("scenarios", cuts),
        Hunter::of("accidents", accidents.collect()),
        Hunter {
            name: "random",
            scripts: Box::new(move |n| Some(generate(seed.wrapping_add(n)))),
        },
    ]
}

/// The same scripts in an order in which the first few are of every kind.
fn spread(scripts: Vec<Script>) -> Vec<Script> {
    const STRIDE: usize = 61;
    let mut order: Vec<usize> = (0..scripts.len()).collect();
    order.sort_by_key(|i| (i % STRIDE, *i));
    order.into_iter().map(|i| scripts[i].clone()).collect()
}
