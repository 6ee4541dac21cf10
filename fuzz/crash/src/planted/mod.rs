//! Hunts for bugs that were planted in the engine: proof that what looks for real ones can find some.
//!
//! A hunt runs the scripts of one hunter after the other until one fails, or until the budget is used up. It counts power cuts and not
//! seconds, so that it comes to the same end on any machine.
//!
//! Thread rules: a bug is planted in a whole process. One hunt at a time; `crash planted` has a process for each.

pub mod hunters;
pub mod pitfalls;

use crate::sim::script::Script;
use crate::sim::shrink::shrink;
use crate::sim::world::try_script;
use hunters::Hunter;
use recto::harness::{Bug, plant};
use std::time::{Duration, Instant};

/// How long to look for one bug.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Power cuts, scripts that make none counting as one, for each hunter.
    pub cuts: u64,
    /// For all hunters.
    pub time: Option<Duration>,
}

/// How a bug was found.
#[derive(Clone, Debug)]
pub struct Catch {
    /// Whose script failed.
    pub hunter: &'static str,
    /// Scripts before it.
    pub scripts: u64,
    /// Power cuts before it.
    pub cuts: u64,
    /// Number of the script among the hunter's.
    pub number: u64,
    pub script: Script,
    /// What was wrong.
    pub what: String,
}

/// What has been done in a hunt.
#[derive(Clone, Copy, Default, Debug)]
pub struct Effort {
    pub scripts: u64,
    pub cuts: u64,
}

/// Plants the bug, if any, and looks for something wrong. The engine is as it should be again afterwards.
pub fn hunt(bug: Option<Bug>, hunters: &[Hunter], budget: Budget) -> (Effort, Option<Catch>) {
    let end = budget.time.map(|time| Instant::now() + time);
    let mut effort = Effort::default();
    let catch = hunters.iter().find_map(|hunter| {
        let _ = hunter.script(0);
        plant(bug);
        let catch = chase(hunter, budget.cuts, end, &mut effort);
        plant(None);
        catch
    });
    (effort, catch)
}

/// One hunter's part of a hunt.
fn chase(hunter: &Hunter, cuts: u64, end: Option<Instant>, effort: &mut Effort) -> Option<Catch> {
    let until = effort.cuts.saturating_add(cuts);
    for number in 0.. {
        let over = effort.cuts >= until || end.is_some_and(|end| Instant::now() >= end);
        let Some(script) = hunter.script(number).filter(|_| !over) else { break };
        match try_script(&script) {
            Ok(tally) => {
                effort.scripts += 1;
                effort.cuts += tally.cuts.max(1);
            }
            Err(what) => {
                let Effort { scripts, cuts } = *effort;
                let hunter = hunter.name;
                return Some(Catch { hunter, scripts, cuts, number, script, what });
            }
        }
    }
    None
}

/// A smaller script that shows the bug, and that the healthy engine stands; the same one if there is none.
pub fn smaller(bug: Bug, script: &Script, tries: u64) -> Script {
    let shows = |script: &Script| shows(bug, script).is_some() && try_script(script).is_ok();
    if shows(script) { shrink(script, tries, shows) } else { script.clone() }
}

/// What the script finds wrong while the bug is planted.
pub fn shows(bug: Bug, script: &Script) -> Option<String> {
    plant(Some(bug));
    let result = try_script(script);
    plant(None);
    result.err()
}
