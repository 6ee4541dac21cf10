//! What a process is: a forked child is not its parent, and numbers of processes mean nothing.

use crate::kill::child::Child;
use crate::kill::harm::check_closed;
use crate::kill::life::Life;
use crate::kill::process::{Done, Process, Trouble};
use std::time::Instant;

/// The child of a fork is refused, leaves its parent alone, and does not keep it alive: its locks
/// and its reader are gone with it, though the child lives.
pub fn forked(life: &mut Life<'_>) -> Done<()> {
    let mut other = life.start_agent(false)?;
    for inside in [false, true] {
        let mut parent = life.start_agent(true)?;
        parent.expect("write 3", "ok")?;
        parent.expect("hold", "ok")?;
        if inside {
            parent.expect("inside", "ok")?;
        }
        let child = fork_of(&mut parent)?;
        // The parent has all that it had.
        parent.expect("same", "ok")?;
        other.expect("try", if inside { "busy" } else { "free" })?;
        if !inside {
            parent.expect("write 1", "ok")?;
        }
        parent.kill()?;
        let start = Instant::now();
        other.expect("try", "free")?;
        other.expect("settle", "ok 1")?;
        other.expect("look", "ok")?;
        other.expect("check", "ok")?;
        if !child.lives() {
            return Err(Trouble::Lost(format!("the child is gone after {:?}", start.elapsed())));
        }
    }
    other.finish()?;
    check_closed(&life.path())
}

/// A process that was forked by a process of the campaign. Killed when it is dropped.
struct Forked(i32);

impl Forked {
    fn lives(&self) -> bool {
        // SAFETY: signal 0 only asks.
        unsafe { libc::kill(self.0, 0) == 0 }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        // SAFETY: it sleeps for a minute, so its number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}

/// Has an agent fork, and waits for both halves to answer, in whichever order.
fn fork_of(parent: &mut Process) -> Done<Forked> {
    parent.tell("fork")?;
    let answers = [parent.answer()?, parent.answer()?];
    let pid = answers.iter().find_map(|a| a.strip_prefix("forked ")?.parse().ok());
    let Some(pid) = pid else { return Err(Trouble::Lost(format!("fork: {answers:?}"))) };
    let child = Forked(pid);
    if !answers.iter().any(|a| a == "child refused") {
        return Err(Trouble::Lost(format!("fork: {answers:?}")));
    }
    Ok(child)
}

/// Processes that all have the same number, each in its own namespace, share a database and see
/// each other die.
pub fn namespaces(life: &mut Life<'_>) -> Done<()> {
    let nested = Child { nested: true, ..life.common.clone() };
    let start = |life: &mut Life<'_>, writes: bool| -> Done<Process> {
        let own = if writes { vec![life.agents_lane()] } else { Vec::new() };
        let mut agent = life.start(&Child { own, ..nested.clone() })?;
        match agent.answer()?.as_str() {
            "open" => Ok(agent),
            line => Err(Trouble::Lost(format!("in a namespace: {line}"))),
        }
    };
    let mut outside = life.start_agent(false)?;
    let mut inner = start(life, true)?;
    let mut other = start(life, false)?;
    for round in 0..3 {
        inner.expect("write 3", "ok")?;
        inner.expect("hold", "ok")?;
        inner.expect("inside", "ok")?;
        other.expect("look", "ok")?;
        for agent in [&mut other, &mut outside] {
            agent.expect("try", "busy")?;
        }
        inner.kill()?;
        let heir = if round % 2 == 0 { &mut outside } else { &mut other };
        heir.expect("try", "free")?;
        heir.expect("settle", "ok 1")?;
        heir.expect("check", "ok")?;
        other.expect("look", "ok")?;
        inner = start(life, true)?;
    }
    inner.finish()?;
    other.finish()?;
    outside.finish()?;
    check_closed(&life.path())
}
