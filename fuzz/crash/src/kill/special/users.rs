//! Other users, with less permission.

use super::stopped::{PINNED, work};
use crate::kill::child::{Child, Role};
use crate::kill::harm::check_closed;
use crate::kill::life::{Life, NOBODY};
use crate::kill::process::{Done, Process, Trouble};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// Neither root nor the one who may not write.
const OWNER: u32 = NOBODY - 1;

/// Reads without being able to write anything; pins what it reads, and is missed when it dies.
pub fn may_only_read(life: &mut Life<'_>) -> Done<()> {
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
pub fn may_do_nothing(life: &mut Life<'_>) -> Done<()> {
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

/// Others come before the owner of the database, in a directory where everybody may make files, and
/// do not lock it out.
pub fn others_come_first(life: &mut Life<'_>) -> Done<()> {
    life.start_agent(true)?.finish()?;
    fs::set_permissions(life.dir(), Permissions::from_mode(0o777))?;
    fs::set_permissions(life.path(), Permissions::from_mode(0o644))?;
    std::os::unix::fs::chown(life.path(), Some(OWNER), Some(OWNER))?;
    for (first, read_only) in [(Some(NOBODY), true), (None, true), (None, false)] {
        fs::remove_file(life.lock_path())?;
        let comes = Child { user: first, read_only, ..life.common.clone() };
        match first {
            Some(_) => drop(start_as(life, &comes, "refused")?.ends()?),
            None => start_as(life, &comes, "open")?.finish()?,
        }
        let owner = Child { user: Some(OWNER), ..life.common.clone() };
        let mut owner = start_as(life, &owner, "open")?;
        owner.expect("try", "free")?;
        owner.finish()?;
    }
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
