//! Everybody is gone, within one boot, and somebody comes: the lock file is found with the file.
//! Either the processes alone have died; or the device was gone for a moment, and has of both what
//! write-back has left. Whoever comes reads, writes, and repairs.
//!
//! What was acknowledged is there, and what was visible if only processes have died; a snapshot
//! does not change while others write; no id shows a second content; nothing fails.

use super::calls::{commit, flush, read};
use super::content::print_of;
use super::edit::Edit;
use super::judge::{Judge, LATER, assert_clean, enter, find};
use super::oracle::{Allowed, Oracle, SharedOracle};
use parking_lot::Mutex;
use recto::harness::sim::{CutPoint, PARTS, Rng, SimDisk};
use recto::{Database, Durability};
use std::sync::Arc;

/// One event in so many is a cut point, where a return is cut.
const CUT_ONE_IN: u64 = 3;

/// What may be found at one moment.
pub struct Expected {
    /// After a power loss.
    pub allowed: Allowed,
    /// How many of these are too old where the system lives; none if the device has refused
    /// something.
    pub alive: Option<usize>,
    /// The device was gone before: what was built and not visible may have been lost then, and
    /// nobody knows yet.
    pub gone: bool,
}

impl Judge {
    /// As many returns from one moment as the setup asks for.
    pub fn returns(self: &Arc<Judge>, cut: &CutPoint, expected: &Expected, what: &str) {
        let mut rng = Rng::new(self.setup.machine ^ cut.event.wrapping_mul(64));
        let gone = Expected { allowed: expected.allowed.clone(), alive: None, gone: true };
        for _ in 0..self.setup.remounts {
            let seed = PARTS | rng.next_u64() >> 8;
            let disk = cut.remount(seed).unwrap_or_else(|e| panic!("{what}: remount: {e}"));
            self.came_back(&disk, seed, &gone, &format!("{what}, remount {seed}"));
        }
        if expected.alive.is_some() {
            let disk = cut.all_dead().unwrap_or_else(|e| panic!("{what}: all dead: {e}"));
            self.came_back(&disk, rng.next_u64(), expected, &format!("{what}, all dead"));
        }
    }

    fn came_back(self: &Arc<Judge>, disk: &SimDisk, seed: u64, expected: &Expected, what: &str) {
        let again = self.again(1);
        {
            let mut tally = self.tally.lock();
            tally.cuts += 1;
            tally.count("remounts", u64::from(expected.alive.is_none()));
        }
        crate::hang::beat();
        let db = enter(disk, &self.setup, (seed % 3) as u8)
            .unwrap_or_else(|e| panic!("{what}: open: {e}"));
        // The same content may stand there twice.
        let from = expected.alive.unwrap_or(0);
        let found = from + find(&db, &expected.allowed[from..], &|| what.to_string());
        assert_clean(&db, what);
        let oracle = Arc::new(Mutex::new(Oracle::after(&expected.allowed, found, LATER)));
        oracle.lock().causes.device_was_gone = expected.gone;
        if again {
            self.cut_everywhere(disk, &oracle, 1, CUT_ONE_IN, what);
        }
        self.use_it(&db, &oracle, &mut Rng::new(seed), what);
        disk.clear_hook();
        assert_clean(&db, &format!("{what}, later"));
    }

    /// Reads, and writes some commits under that.
    fn use_it(&self, db: &Database, oracle: &SharedOracle, rng: &mut Rng, what: &str) {
        if rng.chance(1, 4) {
            let gone = oracle.lock().causes.device_was_gone;
            assert!(flush(oracle, db) || gone, "{what}: nothing fails, but a flush");
        }
        let held = read(oracle, &self.setup, 0, db);
        for _ in 0..3 {
            let durability = match rng.below(3) {
                0 => Durability::Durable,
                _ => Durability::Deferred,
            };
            let len = 4 + rng.below(900) as u32;
            let edits = [Edit::Put { table: 0, key: rng.below(12) as u16, len }];
            let done = commit(oracle, 0, db, durability, &edits);
            assert!(done, "{what}: nothing fails, but a commit");
        }
        if let Some((txn, print, _)) = held {
            let now = print_of(&txn).map(|(print, _)| print);
            assert!(
                now == Ok(print),
                "{what}: a snapshot changed from {print:016x} to {now:016x?}"
            );
        }
        read(oracle, &self.setup, 0, db);
    }
}
