//! Short scripts for what is rare: each leads to a place where one rule alone keeps the database
//! whole, and says which faults show it there.

use crate::sim::faults::{everywhere, shuffled};
use crate::sim::op::{Fault, What};
use crate::sim::script::Script;
use crate::sim::world::events_of;
use recto::harness::sim::Rng;

/// A place to fall into.
struct Pitfall {
    text: &'static str,
    /// Each is injected at each event.
    faults: &'static [What],
    /// Pairs of faults, the second soon after the first.
    pairs: &'static [(What, What)],
    /// Machines that decide differently what nobody else decides.
    machines: u64,
    /// One event in so many behind the fault is a cut point.
    probe: u64,
}

/// What is not said otherwise: no fault, every event a cut point.
const PLAIN: Pitfall = Pitfall { text: "", faults: &[], pairs: &[], machines: 1, probe: 1 };

const REFUSE: What = What::Fail { errno: libc::EIO, times: 1 };
const FULL: What = What::Fail { errno: libc::ENOSPC, times: 1 };
/// Cuts with outcomes of their own.
const CUTS: [What; 64] = {
    let mut cuts = [What::Cut(1_000); 64];
    let mut i = 0;
    while i < cuts.len() {
        cuts[i] = What::Cut(1_000 + i as u64);
        i += 1;
    }
    cuts
};
/// One that loses a run of pages, and nothing else, at the right moment.
const CUT: What = What::Cut(1_021);
const TURN: What = What::Turn { deferred: false };
const TURN_DEFERRED: What = What::Turn { deferred: true };

const PITFALLS: [Pitfall; 29] = [
    Pitfall { text: include_str!("scripts/small-again.txt"), probe: 3, ..PLAIN },
    Pitfall { text: include_str!("scripts/deep.txt"), probe: 60, ..PLAIN },
    Pitfall { text: include_str!("scripts/renewed.txt"), probe: 0, ..PLAIN },
    Pitfall { text: include_str!("scripts/shared-out.txt"), probe: 0, ..PLAIN },
    Pitfall { text: include_str!("scripts/undone-frees.txt"), ..PLAIN },
    Pitfall {
        text: include_str!("scripts/failed-child.txt"),
        faults: &[FULL],
        machines: 12,
        probe: 0,
        ..PLAIN
    },
    Pitfall { text: include_str!("scripts/gone-readers.txt"), probe: 0, ..PLAIN },
    Pitfall { text: include_str!("scripts/lost-lock-file.txt"), probe: 0, ..PLAIN },
    Pitfall {
        text: include_str!("scripts/opening.txt"),
        faults: &[What::Kill],
        machines: 4,
        ..PLAIN
    },
    Pitfall { text: include_str!("scripts/free-log.txt"), probe: 60, ..PLAIN },
    Pitfall {
        text: include_str!("scripts/overtaken.txt"),
        faults: &[TURN_DEFERRED, TURN, What::Visit, What::Kill],
        probe: 2,
        ..PLAIN
    },
    Pitfall {
        text: include_str!("scripts/late-reader.txt"),
        faults: &[TURN_DEFERRED, TURN, What::Visit],
        probe: 0,
        ..PLAIN
    },
    Pitfall { text: include_str!("scripts/observed.txt"), faults: &[TURN], probe: 0, ..PLAIN },
    Pitfall { text: include_str!("scripts/foreign.txt"), machines: 60, probe: 3, ..PLAIN },
    Pitfall {
        text: include_str!("scripts/refused.txt"),
        faults: &[REFUSE],
        machines: 3,
        probe: 5,
        ..PLAIN
    },
    Pitfall {
        text: include_str!("scripts/rolled-back.txt"),
        faults: &[REFUSE],
        machines: 8,
        probe: 5,
        ..PLAIN
    },
    Pitfall {
        text: include_str!("scripts/proved-again.txt"),
        faults: &[What::Evict],
        machines: 12,
        probe: 3,
        ..PLAIN
    },
    Pitfall {
        text: include_str!("../../regressions/what-was-chosen-leaves-the-cache.txt"),
        ..PLAIN
    },
    Pitfall { text: include_str!("scripts/lock-file.txt"), faults: &[What::Kill], ..PLAIN },
    Pitfall { text: include_str!("scripts/shown.txt"), faults: &[What::Kill], ..PLAIN },
    Pitfall { text: include_str!("scripts/taken-over.txt"), faults: &[What::Kill], ..PLAIN },
    Pitfall {
        text: include_str!("scripts/refused-reader.txt"),
        faults: &[REFUSE],
        machines: 4,
        probe: 7,
        ..PLAIN
    },
    Pitfall { text: include_str!("scripts/again.txt"), faults: &CUTS, ..PLAIN },
    Pitfall { text: include_str!("scripts/newer.txt"), probe: 0, ..PLAIN },
    Pitfall { text: include_str!("scripts/crowd.txt"), probe: 0, ..PLAIN },
    Pitfall { text: include_str!("scripts/closing.txt"), probe: 0, ..PLAIN },
    Pitfall { text: include_str!("scripts/spilled.txt"), machines: 8, probe: 3, ..PLAIN },
    Pitfall {
        text: include_str!("scripts/shown-unlisted.txt"),
        faults: &[What::Kill],
        probe: 0,
        ..PLAIN
    },
    Pitfall {
        text: include_str!("scripts/unlisted.txt"),
        faults: &[What::Kill, What::Turn { deferred: false }],
        probe: 3,
        ..PLAIN
    },
];

/// The ones that need two faults.
static DEEPER: [Pitfall; 3] = [
    Pitfall {
        text: include_str!("scripts/dead-leader.txt"),
        pairs: &[(What::Kill, TURN_DEFERRED)],
        probe: 2,
        ..PLAIN
    },
    Pitfall {
        text: include_str!("scripts/refused.txt"),
        pairs: &[(TURN_DEFERRED, REFUSE), (REFUSE, What::Kill)],
        machines: 3,
        probe: 5,
        ..PLAIN
    },
    Pitfall {
        text: include_str!("scripts/again.txt"),
        pairs: &[(CUT, REFUSE), (CUT, What::Kill)],
        ..PLAIN
    },
];

/// Each pitfall by itself.
pub fn plain() -> Vec<Script> {
    PITFALLS.iter().map(Pitfall::plain).collect()
}

/// Every script of every pitfall with faults, in turns.
pub fn with_faults() -> Vec<Script> {
    let with_faults = |pitfall: &Pitfall| shuffled(pitfall.with_faults()).into_iter();
    let mut lists: Vec<_> = PITFALLS.iter().map(with_faults).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(lists.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

/// A pitfall that needs two faults, with the events of its lines.
pub struct Deeper {
    plain: Script,
    events: Vec<u64>,
    pitfall: &'static Pitfall,
}

/// All of those.
pub fn deeper() -> Vec<Deeper> {
    let deeper = |pitfall: &'static Pitfall| {
        let plain = pitfall.plain();
        Deeper { events: events_of(&plain), plain, pitfall }
    };
    DEEPER.iter().map(deeper).collect()
}

/// One of their scripts: a fault somewhere, the other behind it in the same line or in the
/// next. They are too many for a list.
pub fn two_faults(all: &[Deeper], seed: u64) -> Option<Script> {
    let mut rng = Rng::new(seed);
    let Deeper { plain, events, pitfall } = all.get(rng.index(all.len()))?;
    let (first, second) = pitfall.pairs[rng.index(pitfall.pairs.len())];
    let mut script = plain.clone();
    let line = rng.index(script.ops.len() - 1);
    let at = rng.below(events[line]) as u32;
    let (then, later) = match rng.below(4) {
        // What stands close together is rarest by chance.
        0 | 1 => (line, at + 1 + rng.below(12) as u32),
        2 => (line, at + 1 + rng.below(events[line] + 12 - u64::from(at)) as u32),
        _ => (line + 1, rng.below(events[line + 1]) as u32),
    };
    script.ops[line].faults.push(Fault { at, what: first });
    script.ops[then].faults.push(Fault { at: later, what: second });
    let setup = &mut script.setup;
    (setup.from, setup.probe, setup.outcomes, setup.second) = (line, pitfall.probe, 3, 0);
    setup.machine = setup.machine.wrapping_add(rng.below(pitfall.machines));
    setup.evict = 8_000;
    Some(script)
}

impl Pitfall {
    fn plain(&self) -> Script {
        let mut script = Script::parse(self.text).unwrap_or_else(|e| panic!("a pitfall: {e}"));
        script.setup.probe = self.probe;
        script
    }

    fn with_faults(&self) -> Vec<Script> {
        let plain = self.plain();
        let none = self.faults.is_empty();
        let mut all = if none { Vec::new() } else { everywhere(&plain, self.faults) };
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
