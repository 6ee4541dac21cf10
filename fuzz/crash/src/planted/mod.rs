//! Hunts for bugs that were planted in the engine: proof that what looks for real ones can find
//! some.
//!
//! In a hunt each hunter has a short turn, so that the last one comes soon; then a longer one, in
//! which most bugs are found; and then ones that are twice as long each, to the end of its budget.
//! Turns are counted in power cuts and not in seconds, so that a hunt comes to the same end on any
//! machine.
//!
//! Thread rules: a bug is planted in a whole process. One hunt at a time; `crash planted` has a
//! process for each.

pub mod campaigns;
pub mod hunters;
pub mod pitfalls;

use crate::sim::script::Script;
use crate::sim::shrink::shrink;
use crate::sim::world::try_script;
use hunters::Hunter;
use recto::bugs::{Bug, plant};
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

/// Cuts in a hunter's first turn.
const FIRST_TURN: u64 = 2_000;
/// Cuts to the end of its second.
const SECOND_TURN: u64 = 20_000;

/// Where a hunter has come to.
struct Track<'a> {
    hunter: &'a Hunter,
    next: u64,
    cuts: u64,
}

/// Plants the bug, if any, and looks for something wrong. The engine is as it should be again
/// afterwards.
pub fn hunt(bug: Option<Bug>, hunters: &[Hunter], budget: Budget) -> (Effort, Option<Catch>) {
    let end = budget.time.map(|time| Instant::now() + time);
    let mut effort = Effort::default();
    let mut tracks: Vec<Track> =
        hunters.iter().map(|hunter| Track { hunter, next: 0, cuts: 0 }).collect();
    let mut until = 0;
    while until < budget.cuts {
        until = match until {
            0 => FIRST_TURN,
            FIRST_TURN => SECOND_TURN,
            _ => 2 * until,
        };
        until = until.min(budget.cuts);
        for track in &mut tracks {
            if until < track.hunter.least && until < budget.cuts {
                continue;
            }
            let _ = track.hunter.script(0);
            plant(bug);
            let until = (until * track.hunter.share).min(budget.cuts);
            let catch = chase(track, until, end, &mut effort);
            plant(None);
            if catch.is_some() {
                return (effort, catch);
            }
        }
    }
    (effort, None)
}

/// One hunter's turn, until it has made so many cuts in all.
fn chase(
    track: &mut Track,
    until: u64,
    end: Option<Instant>,
    effort: &mut Effort,
) -> Option<Catch> {
    while track.cuts < until {
        let late = end.is_some_and(|end| Instant::now() >= end);
        let Some(script) = track.hunter.script(track.next).filter(|_| !late) else {
            break;
        };
        match try_script(&script) {
            Ok(tally) => {
                let cuts = tally.cuts.max(1);
                track.next += 1;
                track.cuts += cuts;
                effort.scripts += 1;
                effort.cuts += cuts;
            }
            Err(what) => {
                let Effort { scripts, cuts } = *effort;
                let Track { hunter: Hunter { name: hunter, .. }, next: number, .. } = *track;
                return Some(Catch { hunter, scripts, cuts, number, script, what });
            }
        }
    }
    None
}

/// A smaller script that shows the bug, and that the healthy engine stands; the same one if there
/// is none.
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
