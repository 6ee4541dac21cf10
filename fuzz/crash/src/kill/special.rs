//! What does not fit into a cycle: each case has a database of its own, and is played once or as often as asked.

use super::campaign::keep_if_lost;
use super::child::{Child, Role};
use super::counts::Counts;
use super::harm::{LOCK_FATES, check_closed, lose_lock};
use super::life::{Ground, Life, NOBODY};
use super::process::{Done, Process, Trouble};
use fastrand::Rng;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

type Case = fn(&mut Life<'_>) -> Done<()>;

/// Name, whether root is needed, and how it is played.
const CASES: [(&str, bool, Case); 9] = [
    ("reader stopped", false, reader_stopped),
    ("reader killed while stopped", false, reader_killed_while_stopped),
    ("writer stopped, then goes on", false, writer_stopped),
    ("writer killed while stopped", false, writer_killed_while_stopped),
    ("lock file lost in every way", false, every_lock_fate),
    ("parent of a fork is killed", false, forked),
    ("pid namespaces", true, namespaces),
    ("user who may only read", true, user_who_reads),
    ("user without permission", true, user_without_permission),
];

/// All cases, `times` each.
pub fn play_all(ground: &Ground, counts: &mut Counts, rng: &mut Rng, times: u64) -> Done<()> {
    for (name, needs_root, case) in CASES.iter().filter(|_| times > 0) {
        if *needs_root && !ground.root {
            counts.special.insert(name, None);
            counts.left_out.push(format!("{name}: needs root"));
            continue;
        }
        for _ in 0..times {
            let mut life = Life::new(ground, counts, rng.fork())?;
            // Only who is asked for.
            life.workers.clear();
            life.witness = false;
            if let Err(trouble) = case(&mut life) {
                let trouble = keep_if_lost(life, trouble);
                return Err(match trouble {
                    Trouble::Lost(why) => Trouble::Lost(format!("{name}: {why}")),
                    other => other,
                });
            }
            *counts.special.entry(name).or_default().get_or_insert(0) += 1;
        }
    }
    Ok(())
}

/// Rounds of the writer while somebody stands still.
const ROUNDS: u32 = 12;

/// Length of the file after `ROUNDS` times `write`, and that it is a whole database.
fn work(life: &mut Life<'_>, writer: &mut Process) -> Done<u64> {
    for _ in 0..ROUNDS {
        writer.expect("write 20", "ok")?;
    }
    let answer = writer.expect("check", "ok")?;
    life.note_size(&answer)?;
    Ok(fs::metadata(life.path())?.len())
}

/// What a reader that stands still for ever may cost beside what the writer takes without one: the pages
/// of its one snapshot, and a step of growth.
const PINNED: u64 = 8 << 20;

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
fn reader_stopped(life: &mut Life<'_>) -> Done<()> {
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
fn reader_killed_while_stopped(life: &mut Life<'_>) -> Done<()> {
    let (mut writer, mut reader) = reader_held(life)?;
    reader.kill()?;
    writer.expect("settle", "ok 1")?;
    work(life, &mut writer)?;
    writer.finish()?;
    check_closed(&life.path())
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
fn writer_stopped(life: &mut Life<'_>) -> Done<()> {
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
fn writer_killed_while_stopped(life: &mut Life<'_>) -> Done<()> {
    let (mut writer, mut other) = writer_held(life)?;
    writer.kill()?;
    other.expect("try", "free")?;
    other.expect("settle", "ok")?;
    other.expect("look", "ok")?;
    other.expect("check", "ok")?;
    other.finish()?;
    check_closed(&life.path())
}

/// Between lives, while nobody has the database open.
fn every_lock_fate(life: &mut Life<'_>) -> Done<()> {
    for fate in LOCK_FATES {
        for killed in [true, false] {
            let mut writer = life.start_agent(true)?;
            writer.expect("write 9", "ok")?;
            if killed {
                writer.expect("inside", "ok")?;
                writer.kill()?;
            } else {
                writer.finish()?;
            }
            lose_lock(&life.lock_path(), fate, &mut life.rng)?;
            life.counts.locks_lost += 1;
            let mut heir = life.start_agent(true)?;
            // All of it was durable.
            heir.expect("found", "ok 0")?;
            heir.expect("write 3", "ok")?;
            heir.expect("settle", "ok")?;
            heir.expect("check", "ok")?;
            heir.finish()?;
        }
    }
    check_closed(&life.path())
}

/// The child of a fork is refused, leaves its parent alone, and does not keep it alive: its locks and its reader are gone with
/// it, though the child lives.
fn forked(life: &mut Life<'_>) -> Done<()> {
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

/// Processes that all have the same number, each in its own namespace, share a database and see each other die.
fn namespaces(life: &mut Life<'_>) -> Done<()> {
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

/// Reads without being able to write anything; pins what it reads, and is missed when it dies.
fn user_who_reads(life: &mut Life<'_>) -> Done<()> {
    let mut owner = life.start_agent(true)?;
    owner.expect("write 5", "ok")?;
    for file in [life.path(), life.lock_path()] {
        fs::set_permissions(file, Permissions::from_mode(0o644))?;
    }
    let reads = Child { user: Some(NOBODY), read_only: true, ..life.common.clone() };
    let mut reader = start_as(life, &reads, "open")?;
    reader.expect("look", "ok")?;
    reader.expect("hold", "ok")?;
    let before = work(life, &mut owner)?;
    reader.expect("same", "ok")?;
    reader.stop()?;
    let after = work(life, &mut owner)?;
    if after > before + PINNED {
        return Err(Trouble::Lost(format!("a foreign reader: {before} bytes, then {after}")));
    }
    reader.go_on();
    reader.expect("same", "ok")?;
    reader.expect("release", "ok")?;
    reader.expect("look", "ok")?;
    reader.expect("hold", "ok")?;
    reader.kill()?;
    work(life, &mut owner)?;
    // It has written permission nowhere.
    let writes = Child { read_only: false, ..reads.clone() };
    start_as(life, &writes, "refused")?;
    owner.finish()?;
    // Without anybody who may write it has nobody to rely on, and says so.
    start_as(life, &reads, "refused")?;
    // Where it may write it is one of many.
    for file in [life.path(), life.lock_path()] {
        fs::set_permissions(file, Permissions::from_mode(0o666))?;
    }
    let mut owner = life.start_agent(true)?;
    let mut writer = start_as(life, &writes, "open")?;
    writer.expect("inside", "ok")?;
    owner.expect("try", "busy")?;
    writer.kill()?;
    owner.expect("write 2", "ok")?;
    owner.expect("check", "ok")?;
    owner.finish()?;
    check_closed(&life.path())
}

/// Is told why, and harms nothing.
fn user_without_permission(life: &mut Life<'_>) -> Done<()> {
    let mut owner = life.start_agent(true)?;
    owner.expect("write 5", "ok")?;
    for read_only in [false, true] {
        for (data, lock) in [(0o600, 0o600), (0o644, 0o600)] {
            fs::set_permissions(life.path(), Permissions::from_mode(data))?;
            fs::set_permissions(life.lock_path(), Permissions::from_mode(lock))?;
            let child = Child { user: Some(NOBODY), read_only, ..life.common.clone() };
            let mut stranger = start_as(life, &child, "refused")?;
            if stranger.ends()? {
                return Err(Trouble::Lost("a stranger was killed".into()));
            }
            owner.expect("write 2", "ok")?;
        }
    }
    owner.expect("check", "ok")?;
    owner.finish()?;
    check_closed(&life.path())
}

/// An agent that is expected to open the database, or to be refused with a reason.
fn start_as(life: &mut Life<'_>, child: &Child, expected: &str) -> Done<Process> {
    debug_assert_eq!(child.role, Role::Agent);
    let mut agent = life.start(child)?;
    let answer = agent.answer()?;
    let (word, why) = answer.split_once(' ').unwrap_or((&answer, ""));
    // A refusal says more than that it is one.
    if word == expected && (word == "open" || why.len() > 20) {
        return Ok(agent);
    }
    Err(Trouble::Lost(format!("user {:?} was to be {expected}: {answer}", child.user)))
}
