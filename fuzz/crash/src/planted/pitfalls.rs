//! Short scripts for what is rare: each leads to a place where one rule alone keeps the database whole, and says which accidents
//! show it there.

use crate::sim::accidents::everywhere;
use crate::sim::op::{Accident, What};
use crate::sim::script::Script;
use crate::sim::world::events_of;

/// A place to fall into.
struct Pitfall {
    text: &'static str,
    /// Each befalls at each event.
    accidents: &'static [What],
    /// Each pair befalls in each line, the second at an event behind the first.
    pairs: &'static [(What, What)],
    /// Machines that decide differently what nobody else decides.
    machines: u64,
    /// One event in so many behind the accident is a cut point.
    probe: u64,
}

const REFUSE: What = What::Fail { errno: libc::EIO, times: 1 };
const TURN: What = What::Turn { deferred: false };
const TURN_DEFERRED: What = What::Turn { deferred: true };

const PITFALLS: [Pitfall; 12] = [
    Pitfall {
        text: include_str!("scripts/small-again.txt"),
        accidents: &[],
        pairs: &[],
        machines: 1,
        probe: 1,
    },
    Pitfall {
        text: include_str!("scripts/deep.txt"),
        accidents: &[],
        pairs: &[],
        machines: 1,
        probe: 11,
    },
    Pitfall {
        text: include_str!("scripts/gone-readers.txt"),
        accidents: &[],
        pairs: &[],
        machines: 1,
        probe: 0,
    },
    Pitfall {
        text: include_str!("scripts/lost-lock-file.txt"),
        accidents: &[],
        pairs: &[],
        machines: 1,
        probe: 0,
    },
    Pitfall {
        text: include_str!("scripts/free-log.txt"),
        accidents: &[],
        pairs: &[],
        machines: 1,
        probe: 7,
    },
    Pitfall {
        text: include_str!("scripts/overtaken.txt"),
        accidents: &[TURN_DEFERRED, TURN, What::Visit, What::Kill],
        pairs: &[],
        machines: 1,
        probe: 2,
    },
    Pitfall {
        text: include_str!("scripts/late-reader.txt"),
        accidents: &[TURN_DEFERRED, TURN, What::Visit],
        pairs: &[],
        machines: 1,
        probe: 0,
    },
    Pitfall {
        text: include_str!("scripts/foreign.txt"),
        accidents: &[],
        pairs: &[],
        machines: 60,
        probe: 3,
    },
    Pitfall {
        text: include_str!("scripts/dead-leader.txt"),
        accidents: &[What::Kill],
        pairs: &[],
        machines: 1,
        probe: 2,
    },
    Pitfall {
        text: include_str!("scripts/lock-file.txt"),
        accidents: &[What::Kill],
        pairs: &[],
        machines: 1,
        probe: 1,
    },
    Pitfall {
        text: include_str!("scripts/refused-reader.txt"),
        accidents: &[REFUSE],
        pairs: &[],
        machines: 4,
        probe: 7,
    },
    Pitfall {
        text: include_str!("scripts/again.txt"),
        accidents: &[What::Cut(1_003), What::Cut(1_004), What::Cut(1_005), What::Cut(1_006)],
        pairs: &[],
        machines: 1,
        probe: 1,
    },
];

/// The ones that need two accidents: many more.
const DEEPER: [Pitfall; 2] = [
    Pitfall {
        text: include_str!("scripts/refused.txt"),
        accidents: &[REFUSE],
        pairs: &[(TURN_DEFERRED, REFUSE), (REFUSE, What::Kill)],
        machines: 3,
        probe: 5,
    },
    Pitfall {
        text: include_str!("scripts/again.txt"),
        accidents: &[],
        pairs: &[(What::Cut(1_003), REFUSE), (What::Cut(1_004), REFUSE)],
        machines: 1,
        probe: 1,
    },
];

/// Every script of every pitfall, the plain ones first.
pub fn scripts() -> Vec<Script> {
    PITFALLS
        .iter()
        .map(Pitfall::plain)
        .chain(PITFALLS.iter().flat_map(Pitfall::with_accidents))
        .collect()
}

/// The same of those that need two accidents.
pub fn deeper() -> Vec<Script> {
    DEEPER.iter().flat_map(Pitfall::with_accidents).collect()
}

impl Pitfall {
    fn plain(&self) -> Script {
        let mut script = Script::parse(self.text).unwrap_or_else(|e| panic!("a pitfall: {e}"));
        script.setup.probe = self.probe;
        script
    }

    fn with_accidents(&self) -> Vec<Script> {
        let plain = self.plain();
        let mut all = everywhere(&plain, self.accidents);
        all.extend(self.pairs.iter().flat_map(|pair| pairs(&plain, *pair)));
        if all.is_empty() && self.machines > 1 {
            all.push(plain);
        }
        let machines = (0..self.machines).flat_map(|machine| {
            all.iter().cloned().map(move |mut script| {
                script.setup.machine = script.setup.machine.wrapping_add(machine);
                script
            })
        });
        let with_setup = machines.map(|mut script| {
            (script.setup.probe, script.setup.outcomes) = (self.probe, 3);
            script
        });
        with_setup.collect()
    }
}

/// The first at every event, the second at every event of the same line behind it, or of the next.
fn pairs(plain: &Script, (first, second): (What, What)) -> Vec<Script> {
    let events = events_of(plain);
    let mut all = Vec::new();
    for (number, &count) in events.iter().enumerate() {
        let next = events.get(number + 1).map_or(0, |n| *n as u32);
        for at in 0..count as u32 {
            let behind = (at + 1..count as u32 + 12).map(|at| (number, at));
            for (line, later) in behind.chain((0..next).map(|at| (number + 1, at))) {
                let mut script = plain.clone();
                (script.setup.from, script.setup.second) = (number, 0);
                script.setup.evict = 8_000;
                script.ops[number].accidents.push(Accident { at, what: first });
                script.ops[line].accidents.push(Accident { at: later, what: second });
                all.push(script);
            }
        }
    }
    all
}
