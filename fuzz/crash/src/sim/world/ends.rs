//! How processes and machines end: deaths, power cuts, remounts, lost lock files, and what comes
//! after.

use super::World;
use super::alone::Alone;
use crate::sim::content::Content;
use crate::sim::judge::{assert_clean, enter, enter_alone, find};
use crate::sim::oracle::Allowed;
use crate::sim::script::PROCESSES;
use recto::harness::sim::{CutPoint, Ending, run};
use std::sync::Arc;

impl World {
    pub(super) fn power_lost(&mut self) {
        let cut = self.disk.power_cut().unwrap_or_else(|| panic!("no cut was taken"));
        let seed = self.now.lock().cut_seed;
        self.reboot(&cut, seed, false);
    }

    pub(super) fn died(&mut self, p: u8) {
        self.processes[usize::from(p)] = None;
        self.pending[usize::from(p)].clear();
        self.readers.retain(|held| held.process != p);
        self.forget_writing(p);
    }

    pub(super) fn everybody_is_dead(&mut self) {
        let _ = self.disk.restart_os_alive(true);
        self.readers.clear();
        (0..PROCESSES).for_each(|p| self.died(p));
        let (guest, visitors) = {
            let mut now = self.now.lock();
            now.failing = None;
            (now.guest.take(), std::mem::take(&mut now.visitors))
        };
        drop((visitors, guest));
    }

    /// The power has failed, or the device was gone for a moment: another machine boots.
    pub(super) fn reboot(&mut self, cut: &CutPoint, seed: u64, remount: bool) {
        let allowed = self.oracle.lock().after_power_loss();
        self.count_machine();
        self.everybody_is_dead();
        self.now.lock().alone = Alone::No;
        self.disk.clear_hook();
        let booted = if remount { cut.remount(seed) } else { cut.boot(seed) };
        self.disk = booted.unwrap_or_else(|e| panic!("boot: {e}"));
        self.recovering += 1;
        self.hangs = 0;
        {
            let mut now = self.now.lock();
            (now.unnoticed, now.refused) = (false, false);
        }
        self.copy = None;
        {
            let mut tally = self.tally.lock();
            tally.count("remounts", u64::from(remount));
            tally.cuts += 1;
            tally.second_cuts += u64::from(self.recovering == 2);
            tally.third_cuts += u64::from(self.recovering > 2);
        }
        let found = self.start_from_disk(&allowed);
        match remount {
            true => {
                let mut oracle = self.oracle.lock();
                oracle.survived_by(&found, true);
                oracle.causes.device_was_gone = true;
            }
            false => self.oracle.lock().restart_from(found),
        }
        self.switch_on();
    }

    /// What is on the disk decides, or in its page cache.
    pub(super) fn start_from_disk(&mut self, allowed: &Allowed) -> Arc<Content> {
        let opened = match self.is_alone() {
            true => enter_alone(&self.disk, &self.setup, 0),
            false => enter(&self.disk, &self.setup, 0),
        };
        let db = opened.unwrap_or_else(|e| panic!("open after a cut: {e}"));
        let found = allowed[find(&db, allowed, &|| "after a cut".into())].clone();
        assert_clean(&db, "after a cut");
        // It goes, so that whoever comes next is the first again, with an opening that is not
        // finished.
        drop(db);
        found
    }

    pub(super) fn all_die(&mut self, keep_lock_file: bool) {
        self.everybody_is_dead();
        let _ = self.disk.restart_os_alive(keep_lock_file);
        self.recovering += 1;
        if !keep_lock_file {
            if self.setup.evict > 0 && !self.now.lock().unnoticed {
                // Pages that the device has refused can leave the cache at any time, also behind an
                // opening that has seen them in it. That is beyond the fault budget: here they
                // leave before.
                self.disk.evict();
            }
            self.forget_refused();
            // Without the shared memory the disk decides, as its page cache shows it.
            let allowed = self.oracle.lock().after_power_loss();
            self.disk.clear_hook();
            let found = self.start_from_disk(&allowed);
            self.oracle.lock().survived_by(&found, self.two_lock_files);
            self.switch_on();
        }
    }

    pub(super) fn leave(&mut self, p: u8) {
        self.readers.retain(|held| held.process != p);
        self.pending[usize::from(p)].clear();
        if self.processes[usize::from(p)].is_some() {
            let db = self.processes[usize::from(p)].take();
            match run(|| drop(db)) {
                Ending::Done(()) | Ending::Killed(_) => {}
                Ending::PowerLost => self.power_lost(),
            }
        }
    }
}
