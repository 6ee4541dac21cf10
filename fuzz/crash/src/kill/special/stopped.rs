//! Somebody stands stopped for as long as nobody knows: readers, writers, openers.

use crate::kill::child::{Child, Role};
use crate::kill::harm::check_closed;
use crate::kill::life::Life;
use crate::kill::point::{Fate, Order};
use crate::kill::process::{Done, PATIENCE, Process, Trouble};
use std::fs;

/// Rounds of the writer while somebody stands still.
const ROUNDS: u32 = 12;

/// Length of the file after `ROUNDS` times `write`, and that it is a whole database.
pub fn work(life: &mut Life<'_>, writer: &mut Process) -> Done<u64> {
    for _ in 0..ROUNDS {
        writer.expect("write 20", "ok")?;
    }
    let answer = writer.expect("check", "ok")?;
    life.note_size(&answer)?;
    Ok(fs::metadata(life.path())?.len())
}

/// What a reader that stands still for ever may cost beside what the writer takes without one: the
/// pages of its one snapshot, and a step of growth.
pub const PINNED: u64 = 8 << 20;

fn reader_held(life: &mut Life<'_>) -> Done<(Process, Process)> {
    let mut writer = life.start_agent(true)?;
    // What the file takes without a reader.
    let before = work(life, &mut writer)?;
    let mut reader = life.start_agent(false)?;
    reader.expect("hold", "ok")?;
    reader.stop()?;
    for _ in 0..3 {
        let with_reader = work(life, &mut writer)?;
        if with_reader > before + PINNED {
            let why = format!("a stopped reader: {before} bytes before, {with_reader} with it");
            return Err(Trouble::Lost(why));
        }
    }
    Ok((writer, reader))
}

/// It keeps its snapshot, the file does not grow without bound, and it goes on.
pub fn reader_goes_on(life: &mut Life<'_>) -> Done<()> {
    let (mut writer, mut reader) = reader_held(life)?;
    reader.go_on();
    reader.expect("same", "ok")?;
    reader.expect("look", "ok")?;
    reader.expect("release", "ok")?;
    work(life, &mut writer)?;
    reader.finish()?;
    writer.finish()?;
    check_closed(&life.path())
}

/// What it held is given back.
pub fn reader_is_killed(life: &mut Life<'_>) -> Done<()> {
    let (mut writer, mut reader) = reader_held(life)?;
    reader.kill()?;
    writer.expect("settle", "ok 1")?;
    work(life, &mut writer)?;
    writer.finish()?;
    check_closed(&life.path())
}

/// The file is cut when its end is free, but not under somebody who still reads what stood there.
pub fn file_is_cut(life: &mut Life<'_>) -> Done<()> {
    let own = vec![life.agents_lane()];
    life.common.growth = (64 << 10).max(2 * life.common.page_size as u64);
    let bulky = Child { own, bulky: true, ..life.common.clone() };
    let mut writer = life.start(&bulky)?;
    writer.expect_line("open")?;
    let mut reader = life.start_agent(false)?;
    let length = |life: &Life<'_>| fs::metadata(life.path()).map(|m| m.len());
    let mut cut = 0;
    for _ in 0..200 {
        reader.expect("hold", "ok")?;
        let held_at = length(life)?;
        for _ in 0..6 {
            writer.expect("write 1", "ok")?;
        }
        if life.rng.bool() {
            reader.stop()?;
            reader.go_on();
        }
        reader.expect("same", "ok")?;
        reader.expect("release", "ok")?;
        for _ in 0..3 {
            writer.expect("write 1", "ok")?;
        }
        cut += u32::from(length(life)? < held_at);
        if cut >= 3 {
            writer.expect("check", "ok")?;
            reader.finish()?;
            writer.finish()?;
            return check_closed(&life.path());
        }
    }
    Err(Trouble::Lost(format!("the file was cut {cut} times in 1,800 transactions")))
}

fn writer_held(life: &mut Life<'_>) -> Done<(Process, Process)> {
    let mut writer = life.start_agent(true)?;
    writer.expect("write 5", "ok")?;
    writer.expect("inside", "ok")?;
    writer.stop()?;
    let mut other = life.start_agent(false)?;
    for _ in 0..5 {
        other.expect("look", "ok")?;
        other.expect("try", "busy")?;
    }
    Ok((writer, other))
}

/// Others read and are refused in their time; then everybody goes on.
pub fn writer_goes_on(life: &mut Life<'_>) -> Done<()> {
    let (mut writer, mut other) = writer_held(life)?;
    writer.go_on();
    writer.expect("outside", "ok")?;
    other.expect("try", "free")?;
    writer.expect("write 5", "ok")?;
    other.expect("check", "ok")?;
    writer.finish()?;
    other.finish()?;
    check_closed(&life.path())
}

/// The next one writes as if it had never been there.
pub fn writer_is_killed(life: &mut Life<'_>) -> Done<()> {
    let (mut writer, mut other) = writer_held(life)?;
    writer.kill()?;
    other.expect("try", "free")?;
    other.expect("settle", "ok")?;
    other.expect("look", "ok")?;
    other.expect("check", "ok")?;
    other.finish()?;
    check_closed(&life.path())
}

/// Points at which somebody who comes first holds up all who come after him.
const ON_THE_WAY: [&str; 5] = [
    "attach: alone",
    "attach: identity written",
    "attach: initialised",
    "attach: ready",
    "attach: gate shared",
];

/// Plays with an opener that stands stopped in the middle of its opening, at each point.
fn opener_held(life: &mut Life<'_>, then: fn(&mut Process) -> Done<()>) -> Done<()> {
    let mut agent = life.start_agent(true)?;
    agent.expect("write 5", "ok")?;
    agent.finish()?;
    for point in ON_THE_WAY {
        let order = Some(Order { point: point.into(), left: 1, fate: Fate::Stopped });
        let opener = Child { role: Role::Opener, order, ..life.common.clone() };
        let mut opener = life.start(&opener)?;
        if !opener.stops(PATIENCE)? {
            return Err(Trouble::Lost(format!("an opener does not come to {point:?}")));
        }
        life.counts.stops += 1;
        // Who has little patience is told, in his time.
        let mut hasty = life.start(&Child { patience: 20, ..life.common.clone() })?;
        let answer = hasty.answer()?;
        if !answer.starts_with("refused ") || answer.len() < 20 {
            return Err(Trouble::Lost(format!("at {point:?}: {answer}")));
        }
        // Who has much comes in when the way is free.
        let mut patient = life.start(&life.common.clone())?;
        then(&mut opener)?;
        patient.expect_line("open")?;
        patient.expect("look", "ok")?;
        patient.expect("try", "free")?;
        patient.expect("check", "ok")?;
        patient.finish()?;
    }
    check_closed(&life.path())
}

/// It goes on and ends well, and so do those who waited.
pub fn opener_goes_on(life: &mut Life<'_>) -> Done<()> {
    opener_held(life, |opener| {
        opener.go_on();
        match opener.ends()? {
            false => Ok(()),
            true => Err(Trouble::Lost("an opener was killed, and nobody did it".into())),
        }
    })
}

/// Those who waited open as if it had never come.
pub fn opener_is_killed(life: &mut Life<'_>) -> Done<()> {
    opener_held(life, Process::kill)
}
