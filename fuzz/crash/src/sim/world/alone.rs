//! Somebody has the database to itself, without the lock file, between those who share it: never
//! both. What only one of the two memories knew goes with it, and does not come back over what the
//! other has made durable.

use super::World;
use crate::sim::calls::{commit, read};
use crate::sim::edit::Edit;
use crate::sim::judge::{assert_clean, enter_alone};
use crate::sim::script::Setup;
use recto::harness::open;
use recto::harness::sim::{ProcessOptions, SimDisk};
use recto::{Database, Durability, Error, Sink};
use std::time::Duration;

/// Whether somebody has the database to itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Alone {
    #[default]
    No,
    /// It comes, or goes.
    Changing,
    Yes,
}

/// Opens the database beside others, or is refused at once.
pub(super) fn enter_at_once(disk: &SimDisk, setup: &Setup, process: u8) -> recto::Result<Database> {
    let direct = setup.sink == Sink::Direct;
    let options = ProcessOptions { direct, ..ProcessOptions::default() };
    let mut builder = setup.builder(process);
    builder.open_timeout(Duration::ZERO);
    open(disk.process(options), &builder)
}

/// Whoever comes while one has it alone is refused, and told why.
pub(super) fn refused_beside(disk: &SimDisk, setup: &Setup) {
    let observer = || {
        let options =
            ProcessOptions { read_only: true, observer: true, ..ProcessOptions::default() };
        let mut builder = setup.builder(0);
        builder.read_only(true).open_timeout(Duration::ZERO);
        open(disk.process(options), &builder)
    };
    let tries = [enter_at_once(disk, setup, 0), enter_alone(disk, setup, 1), observer()];
    for (who, opened) in ["another", "another alone", "an observer"].into_iter().zip(tries) {
        let right = matches!(opened, Err(Error::InUse { exclusively: true, .. }));
        assert!(right, "{who} comes beside one who is alone: {opened:?}");
    }
}

impl World {
    pub(super) fn is_alone(&self) -> bool {
        self.now.lock().alone != Alone::No
    }

    /// Nobody has it any more; the disk says what is there, as its page cache shows it.
    fn go_on_from_disk(&mut self, alone: Alone) {
        self.everybody_is_dead();
        self.now.lock().alone = alone;
        self.two_lock_files = true;
        self.forget_refused();
        self.copy = None;
        let allowed = self.oracle.lock().after_power_loss();
        self.disk.clear_hook();
        let found = self.start_from_disk(&allowed);
        self.oracle.lock().survived_by(&found, true);
        self.switch_on();
    }

    pub(super) fn alone(&mut self, p: u8, edits: &[Edit]) {
        self.disk.clear_hook();
        let there = self.processes.iter().any(Option::is_some)
            || self.writing.iter().any(Option::is_some)
            || self.now.lock().guest.is_some();
        if there {
            let opened = enter_alone(&self.disk, &self.setup, p);
            let right = matches!(opened, Err(Error::InUse { exclusively: false, .. }));
            assert!(right, "it comes alone beside others: {opened:?}");
        }
        self.recovering += 1;
        self.go_on_from_disk(Alone::Changing);
        self.tally.lock().count("handles alone", 1);
        let (oracle, setup) = (self.oracle.clone(), self.setup.clone());
        let (boot, now) = (self.disk.boot(), self.now.clone());
        self.in_process(p, |db| {
            now.lock().alone = Alone::Yes;
            for durability in [Durability::Deferred, Durability::Durable, Durability::Deferred] {
                read(&oracle, &setup, p, db);
                commit(&oracle, p, db, durability, edits);
            }
            read(&oracle, &setup, p, db);
        });
        if let Some(db) = &self.processes[usize::from(p)] {
            self.disk.clear_hook();
            refused_beside(&self.disk, &self.setup);
            if !self.oracle.lock().unreliable() {
                assert_clean(db, "alone");
            }
            self.switch_on();
        }
        if self.disk.boot() == boot {
            self.now.lock().alone = Alone::Changing;
            self.leave(p);
        }
        if self.disk.boot() == boot {
            self.go_on_from_disk(Alone::No);
        }
        self.now.lock().alone = Alone::No;
    }
}
