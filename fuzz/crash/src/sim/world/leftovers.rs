//! What must not be left behind: pages that nobody can use again, readers who are gone, a second
//! lock file, a snapshot that changes after it was refused.

use super::World;
use crate::sim::calls::commit;
use crate::sim::causes::During;
use crate::sim::content::print_of;
use crate::sim::edit::Edit;
use recto::harness::open;
use recto::harness::sim::{Ending, ProcessOptions, run};
use recto::{Durability, Error};
use std::time::Duration;

/// Pages by which the file may still grow when the same few change for a while.
const SLACK: u64 = 16;
/// Commits after which the slots of the dead have been cleared.
const CLEARED_AFTER: u32 = 64;

impl World {
    /// What was never durable may leave the page cache after the device has refused it: nobody can
    /// keep it for a reader. Nothing else may change what a reader sees, not even after its
    /// snapshot was rolled back (rule 5).
    pub(super) fn look_at_readers(&mut self) {
        if !self.oracle.lock().unreliable() {
            return;
        }
        let evictions = self.disk.counters().evictions;
        for held in self.readers.iter_mut().filter(|held| !held.durable) {
            let shown = print_of(&held.txn);
            // Where pages of it are gone already, what stands there leads anywhere.
            if let Some((before, was @ Ok((print, _)))) = &held.shown
                && *before == evictions
                && *print == held.print
            {
                assert!(
                    *was == shown,
                    "a snapshot that was refused changed from {was:?} to {shown:?}"
                );
            }
            held.shown = Some((evictions, shown));
        }
    }

    /// The file stays as long as it is while the same few pages change, and the reader table
    /// forgets the dead.
    pub(super) fn churn(&mut self, p: u8, count: u16) {
        self.now.lock().quiet = true;
        let oracle = self.oracle.clone();
        let mut lengths = Vec::new();
        let mut acknowledged = 0;
        for half in 0..2 {
            for n in 0..count {
                let edits = [Edit::Put { table: 3, key: 8, len: 20 + u32::from(n) % 60 }];
                let durable = Durability::Durable;
                let done = self.in_process(p, |db| commit(&oracle, p, db, durable, &edits));
                acknowledged += u32::from(done == Some(true));
                self.acknowledged(done == Some(true), true);
            }
            let info = self.in_process(p, |db| db.info()).and_then(Result::ok);
            lengths.extend(info.as_ref().map(|info| info.page_count));
            if half == 1 && acknowledged == 2 * u32::from(count) && acknowledged > CLEARED_AFTER {
                let now = self.now.lock();
                let all = self.readers.iter().chain(&now.visitors);
                let held: Vec<u64> = all.map(|held| held.txn.id()).collect();
                let stand = info.into_iter().flat_map(|info| info.readers);
                let stale: Vec<_> = stand.filter(|r| !held.contains(&r.txn.0)).collect();
                assert!(stale.is_empty(), "readers that are gone stand in the table: {stale:?}");
            }
        }
        let calm = !self.oracle.lock().unreliable() && acknowledged == 2 * u32::from(count);
        if let ([first, second], true) = (&lengths[..], calm) {
            assert!(*second <= first + SLACK, "the file grows: {first} pages, then {second}");
        }
        self.now.lock().quiet = false;
    }

    /// Two lock files for one database: whoever has the newer one is refused while anybody has the
    /// older.
    pub(super) fn lose_lock_file(&mut self, p: u8) {
        let lives = self.processes.iter().any(Option::is_some)
            || !self.readers.is_empty()
            || self.now.lock().guest.is_some();
        let _ = self.disk.delete_lock_file();
        let mut builder = self.setup.builder(p);
        builder.open_timeout(Duration::ZERO);
        let ending = run(|| open(self.disk.process(ProcessOptions::default()), &builder).map(drop));
        match ending {
            Ending::Done(Ok(())) => assert!(!lives, "opened beside others with another lock file"),
            Ending::Done(Err(Error::LockFile { .. })) => assert!(lives, "refused by nobody"),
            Ending::Done(Err(e)) => {
                assert!(self.oracle.lock().forgives(&e, During::Open), "open: {e}")
            }
            Ending::Killed(_) => {}
            Ending::PowerLost => return self.power_lost(),
        }
        self.all_die(false);
    }
}
