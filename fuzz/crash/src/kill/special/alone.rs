//! One who has the database to itself, between others who share it: never both, whoever dies.

use crate::kill::child::Child;
use crate::kill::harm::check_closed;
use crate::kill::life::Life;
use crate::kill::point::{Fate, Order, POINTS, Setting};
use crate::kill::process::{Done, Process, Trouble};
use std::time::Duration;

/// Changes from one kind to the other.
const ROUNDS: u32 = 5;
/// How long somebody is given to come to where it waits. Where it takes longer, it waits for less.
const ON_THE_WAY: Duration = Duration::from_millis(150);
/// Longer than anybody has it open here, in milliseconds.
const PATIENT: u64 = 30_000;
/// How long a process gets to come to its point.
const TO_A_POINT: Duration = Duration::from_millis(400);

/// Starts somebody who wants to open it, to itself or not.
fn start(life: &mut Life<'_>, alone: bool, patience: u64) -> Done<Process> {
    let own = vec![life.agents_lane()];
    let child = Child { own, alone, patience, ..life.common.clone() };
    life.start(&child)
}

fn opened(process: &mut Process) -> Done<()> {
    process.expect_line("open")
}

/// Whoever comes now is refused at once, and told why.
fn refused(life: &mut Life<'_>, alone: bool, read_only: bool, why: &str) -> Done<()> {
    let child = Child { alone, read_only, patience: 0, ..life.common.clone() };
    let answer = life.start(&child)?.answer()?;
    match answer.starts_with("refused") && answer.contains(why) {
        true => Ok(()),
        false => Err(Trouble::Lost(format!("alone {alone}, while it is in use: {answer}"))),
    }
}

/// It goes, in one way or another. Whether all that was acknowledged must be there.
fn goes(life: &mut Life<'_>, mut process: Process) -> Done<bool> {
    match life.rng.u8(..4) {
        0 => process.finish().map(|()| true),
        1 => {
            process.expect("inside", "ok")?;
            process.kill()?;
            life.counts.kills += 1;
            Ok(false)
        }
        2 => {
            process.kill()?;
            life.counts.kills += 1;
            Ok(false)
        }
        _ => {
            process.tell("write 9")?;
            if !process.dies(TO_A_POINT)? {
                process.kill()?;
            }
            life.counts.kills += 1;
            Ok(false)
        }
    }
}

/// Everything is there, or what was durable; it goes on.
fn looks(process: &mut Process, everything: bool) -> Done<()> {
    match everything {
        true => process.expect("look", "ok")?,
        false => process.expect("found", "ok")?,
    };
    process.expect("write 6", "ok")?;
    process.expect("settle", "ok")?;
    process.expect("check", "ok").map(drop)
}

/// Plays with the two kinds in turns.
pub fn in_turns(life: &mut Life<'_>) -> Done<()> {
    let mut one = start(life, true, PATIENT)?;
    opened(&mut one)?;
    looks(&mut one, true)?;
    if life.lock_path().exists() {
        return Err(Trouble::Lost("who has it alone has made a lock file".into()));
    }
    for round in 0..ROUNDS {
        let alone = round % 2 == 0;
        let why =
            if alone { "open in exclusive mode, here" } else { "cannot be opened in exclusive" };
        refused(life, true, false, why)?;
        if alone {
            refused(life, false, false, why)?;
            refused(life, false, true, why)?;
        }
        // The next one waits for it.
        let mut next = start(life, !alone, PATIENT)?;
        std::thread::sleep(ON_THE_WAY);
        one.expect("look", "ok")?;
        let working: Vec<_> = POINTS.iter().filter(|(_, s)| *s == Setting::Working).collect();
        let everything = goes(life, one)?;
        opened(&mut next)?;
        // What only the memory of who has died knew may be gone.
        looks(&mut next, everything)?;
        one = next;
        if life.rng.bool() {
            // One more of the same kind, which is to die at a point.
            let everything = goes(life, one)?;
            let (point, _) = working[life.rng.usize(..working.len())];
            let left = life.rng.u32(1..6);
            let order = Some(Order { point: (*point).into(), left, fate: Fate::Killed });
            let own = vec![life.agents_lane()];
            let child = Child { own, alone: !alone, order, ..life.common.clone() };
            let mut dying = life.start(&child)?;
            dying.tell(if everything { "look" } else { "found" })?;
            dying.tell("write 9")?;
            if !dying.dies(TO_A_POINT)? {
                dying.kill()?;
            }
            life.counts.kills += 1;
            one = start(life, !alone, PATIENT)?;
            opened(&mut one)?;
            looks(&mut one, false)?;
        }
    }
    one.finish()?;
    check_closed(&life.path())
}
