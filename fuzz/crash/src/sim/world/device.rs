//! A bad device: pages that it refuses, who is told of that, and when they leave the cache.

use super::{Now, World};
use crate::sim::oracle::SharedOracle;
use crate::sim::script::Setup;
use parking_lot::Mutex;
use recto::Sink;
use recto::harness::sim::{Faults, SimDisk};

impl World {
    /// A program that is not recto makes the file durable. If the device has refused something
    /// before, nobody else is told of it who opens the file from now on.
    pub(super) fn foreign_sync(&mut self) {
        let mut now = self.now.lock();
        now.unnoticed |= now.refused && !self.disk.error_is_told();
        drop(now);
        self.disk.foreign_sync();
    }

    /// The device refuses what it is to write. Nothing of it leaves the cache by itself from now
    /// on.
    pub(super) fn device_refuses(&mut self) {
        {
            let mut oracle = self.oracle.lock();
            oracle.causes.syncs_may_fail = true;
            oracle.faults += 1;
        }
        self.now.lock().refused = true;
        self.disk.set_faults(Faults { evict: 0, ..self.setup.faults() });
        self.disk.write_back_all(true);
        self.tally.lock().count("devices that refuse", 1);
    }

    /// What was refused leaves the cache. Before recto is told that is beyond the fault budget,
    /// unless an open transaction alone has written it: nobody has been promised anything of that.
    pub(super) fn evict(&mut self) {
        let infos = self.processes.iter().flatten().map(recto::Database::info);
        let all_durable = infos.flatten().next().is_some_and(|info| info.durable == info.built);
        let beyond = beyond_budget(&self.disk, &self.now);
        let open = self.writing.iter().any(Option::is_some);
        // The direct sink cannot tell that what an open transaction has stored is there no more.
        let untold = open && self.setup.sink == Sink::Direct;
        if self.disk.lost_pages().is_empty() || (beyond && !all_durable) || untold {
            return;
        }
        if open {
            self.oracle.lock().causes.pages_lost = true;
        }
        self.disk.evict();
    }

    /// What is in the page cache and not on the device decides nothing where the disk is to decide.
    pub(super) fn forget_refused(&mut self) {
        if self.now.lock().refused && !beyond_budget(&self.disk, &self.now) {
            self.disk.evict();
        }
    }
}

/// Whether pages that leave the cache now are lost before recto is told of it.
pub(super) fn beyond_budget(disk: &SimDisk, now: &Mutex<Now>) -> bool {
    let now = now.lock();
    now.unnoticed || (now.refused && !disk.error_is_told())
}

/// A program that is not recto cannot make the file durable. From now on no page leaves the cache:
/// one that was refused, unnoticed by whoever wrote it, and is lost before the next sync can tell,
/// is beyond the fault budget.
pub(super) fn foreign_sync_fails(
    disk: &SimDisk,
    setup: &Setup,
    oracle: &SharedOracle,
    now: &Mutex<Now>,
) {
    {
        let mut oracle = oracle.lock();
        oracle.causes.syncs_may_fail = true;
        oracle.faults += 1;
    }
    now.lock().unnoticed = true;
    disk.set_faults(Faults { evict: 0, ..setup.faults() });
    disk.foreign_sync_fails();
}
