//! Files that are not yet, or not any more, what they should be when somebody comes.

use crate::kill::harm::{LOCK_FATES, check_closed, lose_lock};
use crate::kill::life::Life;
use crate::kill::process::{Done, Trouble, kill_all};
use std::time::Duration;

/// Several make the same database and die over it; what is there afterwards is a database or
/// nothing.
pub fn killed_while_creating(life: &mut Life<'_>) -> Done<()> {
    for _ in 0..12 {
        let common = life.common.clone();
        let mut creators = (0..3).map(|_| life.start(&common)).collect::<Done<Vec<_>>>()?;
        std::thread::sleep(Duration::from_micros(life.rng.u64(..6_000)));
        kill_all(creators.iter_mut())?;
        life.counts.kills += 3;
        if life.path().exists() {
            check_closed(&life.path())?;
        }
        let mut heir = life.start_agent(true)?;
        heir.expect("look", "ok")?;
        heir.expect("write 2", "ok")?;
        heir.expect("check", "ok")?;
        heir.finish()?;
        no_stray_files(life)?;
        for file in std::fs::read_dir(life.dir())? {
            let file = file?;
            if file.file_name() != "errors" {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

fn no_stray_files(life: &Life<'_>) -> Done<()> {
    let expected = [life.path(), life.lock_path(), life.dir().join("errors")];
    for file in std::fs::read_dir(life.dir())? {
        let path = file?.path();
        let log = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"acks"));
        if !log && !expected.contains(&path) {
            return Err(Trouble::Lost(format!("{} was left behind", path.display())));
        }
    }
    Ok(())
}

/// Between lives, while nobody has the database open.
pub fn every_lock_fate(life: &mut Life<'_>) -> Done<()> {
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
