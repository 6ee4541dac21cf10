//! Reads until it is killed: every snapshot is whole, has what was acknowledged before it began,
//! and stays as it is.

use super::{Child, Seen, beat, listen, look, say, told};
use crate::kill::content;
use fastrand::Rng;
use recto::{Database, Error};
use std::time::Duration;

pub fn run(child: &Child) -> Result<(), String> {
    listen();
    let db = open(child)?;
    say("open");
    let mut rng = Rng::with_seed(child.seed);
    let mut seen = Seen::default();
    let mut beats = 0;
    loop {
        beat(&mut beats);
        let (txn, rows) = look(child, &db)?;
        seen.check(&txn, &rows)?;
        if rng.u8(..4) == 0 {
            let second = rng.bool().then(|| db.read()).transpose();
            let second = told(second, "a second read")?;
            std::thread::sleep(Duration::from_micros(rng.u64(..15_000)));
            if content::verify(&txn, child.lanes)? != rows {
                return Err(format!("snapshot {} has changed", txn.id()));
            }
            if second.is_some_and(|s| s.id() < txn.id()) {
                return Err(format!("a second read is older than {}", txn.id()));
            }
        }
        let id = txn.id();
        drop(txn);
        let pause = Duration::from_micros(rng.u64(500..4_000));
        if rng.u8(..4) == 0 {
            let now = told(db.wait_for_commit(id, Some(pause)), "wait for a commit")?;
            if now < id {
                return Err(format!("{now} is visible, after {id} was"));
            }
        } else {
            std::thread::sleep(pause);
        }
    }
}

/// A user who may only read needs somebody who may write to have the database open.
fn open(child: &Child) -> Result<Database, String> {
    loop {
        match child.open() {
            Err(Error::LockFile { .. }) if child.user.is_some() => {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return told(other, "open"),
        }
    }
}
