//! A simulated machine with processes on it, and what it must be like after an accident.

use crate::oracle::{Oracle, Pending, SharedOracle, State, Txn, dump};
use recto::harness::sim::{CutPoint, Ending, ProcessOptions, SimDisk, run};
use recto::harness::{machine, new_file, open};
use recto::{Builder, Database, Durability, ReadTxn, Sink};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

/// What varies between runs.
#[derive(Clone, Copy)]
pub struct Setup {
    pub page_size: usize,
    pub sink: Sink,
}

/// A simulated machine.
pub struct World {
    pub disk: SimDisk,
    pub oracle: SharedOracle,
    pub setup: Setup,
    /// Said when something is wrong.
    pub context: String,
    /// How often what a test wanted has happened.
    pub hits: Arc<AtomicU64>,
    /// After the first death nobody does anything.
    pub stop_after_death: bool,
    dead: bool,
    processes: [Option<Database>; 3],
    /// Snapshot, what it showed, and whether it was durable.
    readers: Vec<(ReadTxn, State, bool)>,
}

/// Process 0 seals most of its commits, the others make most of theirs in two phases.
fn enter(disk: &SimDisk, setup: Setup, process: usize) -> recto::Result<Database> {
    let mut builder = Builder::default();
    builder.sink(setup.sink).stage_bytes(24 * setup.page_size);
    builder.manifest_limit([40, 4, 1][process]).growth_step(2 * setup.page_size as u64);
    let direct = setup.sink == Sink::Direct;
    open(disk.process(ProcessOptions { direct, ..ProcessOptions::default() }), &builder)
}

impl World {
    pub fn new(setup: Setup) -> World {
        let mut disk = machine(&new_file(setup.page_size), setup.page_size, 11).unwrap();
        let _ = &mut disk;
        World {
            disk,
            oracle: Arc::new(Mutex::new(Oracle::new())),
            setup,
            context: String::new(),
            hits: Arc::default(),
            stop_after_death: false,
            dead: false,
            processes: [None, None, None],
            readers: Vec::new(),
        }
    }

    /// A process of its own for a hook, with a machine that gives up where it would wait for ever.
    pub fn guest(&self) -> Database {
        enter(&self.disk, self.setup, 2).unwrap()
    }

    /// Runs work in process `p`, which is started if it does not live; None if it died.
    fn in_process<R>(&mut self, p: usize, work: impl FnOnce(&Database) -> R) -> Option<R> {
        if self.dead && self.stop_after_death {
            return None;
        }
        let ending = run(|| {
            if self.processes[p].is_none() {
                match enter(&self.disk, self.setup, p) {
                    Ok(db) => self.processes[p] = Some(db),
                    Err(e) => panic!("{}: open: {e}", self.context),
                }
            }
            work(self.processes[p].as_ref().unwrap())
        });
        match ending {
            Ending::Done(r) => Some(r),
            Ending::Killed(_) => {
                self.processes[p] = None;
                self.dead = true;
                None
            }
            Ending::PowerLost => panic!("no power cut was asked for"),
        }
    }

    pub fn commit(&mut self, p: usize, durability: Durability, work: impl FnOnce(&mut Txn)) {
        let oracle = self.oracle.clone();
        self.in_process(p, |db| Oracle::commit(&oracle, db, durability, work));
    }

    pub fn durable(&mut self, p: usize, work: impl FnOnce(&mut Txn)) {
        self.commit(p, Durability::Durable, work);
    }

    pub fn deferred(&mut self, p: usize, work: impl FnOnce(&mut Txn)) {
        self.commit(p, Durability::Deferred, work);
    }

    pub fn build(&mut self, p: usize, work: impl FnOnce(&mut Txn)) -> Option<Pending> {
        let oracle = self.oracle.clone();
        self.in_process(p, |db| Oracle::build(&oracle, db, Durability::Durable, work)).flatten()
    }

    pub fn finish_commit(&mut self, p: usize, pending: Option<Pending>) {
        let oracle = self.oracle.clone();
        if let Some(pending) = pending {
            self.in_process(p, |db| pending.finish(&oracle, db));
        }
    }

    /// Begins to read and keeps the snapshot.
    pub fn hold_reader(&mut self, p: usize) {
        let oracle = self.oracle.clone();
        let reader = self.in_process(p, |db| {
            let txn = db.read().expect("read");
            let state = dump(&txn);
            let allowed = oracle.lock().unwrap().while_alive();
            // Older than the newest is possible only while a durable commit is not yet acknowledged.
            assert!(allowed.iter().any(|s| **s == state), "a reader sees a state nobody made");
            let durable = db.info().expect("info").durable >= txn.id();
            (txn, state, durable)
        });
        self.readers.extend(reader);
    }

    /// Ends the oldest held reader, which must still see what it saw.
    pub fn end_reader(&mut self) {
        if !self.readers.is_empty() {
            let (txn, state, durable) = self.readers.remove(0);
            // What was never durable may leave the page cache after the device has refused it: nobody can keep
            // it for a reader.
            if !durable && self.oracle.lock().unwrap().syncs_may_fail {
                return;
            }
            run(|| {
                if txn.table("no such table").is_err_and(|e| !matches!(e, recto::Error::Forked)) {
                    assert!(dump(&txn) == state, "{}: a snapshot changed", self.context);
                }
            });
        }
    }

    /// Whether a transaction found the disk full.
    pub fn failed_for_room(&self) -> bool {
        self.oracle.lock().unwrap().found_full > 0
    }

    /// Everybody is dead, the system lives.
    pub fn restart_os_alive(&mut self, keep_lock_file: bool) {
        self.readers.clear();
        self.disk.restart_os_alive(keep_lock_file).unwrap();
        self.processes = [None, None, None];
        self.dead = false;
        self.stop_after_death = false;
        if !keep_lock_file {
            // Without the shared memory the disk decides: deferred commits that were not flushed go.
            let mut oracle = self.oracle.lock().unwrap();
            let allowed = oracle.after_power_loss();
            let db = enter(&self.disk, self.setup, 2).unwrap();
            let state = dump(&db.read().unwrap());
            let found = allowed.into_iter().find(|s| **s == state);
            let found = found.unwrap_or_else(|| panic!("{}: a state nobody made", self.context));
            oracle.restart_from(found);
        }
    }

    /// Everything works, is in a state that it may be in, and checks clean.
    pub fn finish(&mut self) {
        self.disk.set_disk_limit(None);
        while !self.readers.is_empty() {
            self.end_reader();
        }
        self.stop_after_death = false;
        self.durable(1, |t| t.put("last", "words", 100));
        let (context, oracle) = (self.context.clone(), self.oracle.clone());
        self.in_process(1, |db| {
            let state = dump(&db.read().unwrap());
            let allowed = oracle.lock().unwrap().while_alive();
            assert!(allowed.iter().any(|s| **s == state), "{context}: a state nobody made");
            assert_clean(db, &context);
        });
        assert_eq!(self.disk.counters().posthumous, 0, "{context}: the dead have spoken");
    }

    /// The power fails after all that.
    pub fn cut_at_the_end(&mut self) {
        let cut = self.disk.cut_point();
        let allowed = self.oracle.lock().unwrap().after_power_loss();
        for seed in [0, 1, 2, 3, 5, 1_000_001] {
            recover(&cut, seed, self.setup, &allowed, false, &|| self.context.clone());
        }
    }
}

fn assert_clean(db: &Database, context: &str) {
    let report = db.check(None).unwrap_or_else(|e| panic!("{context}: check: {e}"));
    let faults = &report.faults[..report.faults.len().min(5)];
    assert!(report.fault_count == 0, "{context}: {faults:#?}");
}

/// Boots with one outcome of a cut: the database opens in one of the allowed states, checks clean, and takes
/// new transactions. With `second`, the power fails again at every event of that.
pub fn recover(
    cut: &CutPoint,
    seed: u64,
    setup: Setup,
    allowed: &[Arc<State>],
    second: bool,
    what: &dyn Fn() -> String,
) {
    let disk = cut.boot(seed).unwrap();
    let db = enter(&disk, setup, (seed % 3) as usize)
        .unwrap_or_else(|e| panic!("{}: open: {e}", what()));
    let state = dump(&db.read().unwrap());
    if !allowed.iter().any(|s| **s == state) {
        let sizes = |s: &State| s.iter().map(|(n, t)| (n.clone(), t.len())).collect::<Vec<_>>();
        let allowed: Vec<_> = allowed.iter().map(|s| sizes(s)).collect();
        panic!("{}: found {:?}, allowed {allowed:?}", what(), sizes(&state));
    }
    assert_clean(&db, &what());
    if !second {
        return;
    }
    // Whatever was found must be found again, or what is built on it.
    let oracle: SharedOracle = Arc::new(Mutex::new(Oracle::new()));
    oracle.lock().unwrap().restart_from(Arc::new(state));
    let in_hook = oracle.clone();
    let outer = what();
    disk.set_hook(move |disk, event| {
        if event.depth == 0 {
            let cut = disk.cut_point();
            let allowed = in_hook.lock().unwrap().after_power_loss();
            let what = || format!("{outer}; second cut at {} {:?}", event.index, event.kind);
            for seed in [0, 1, 2, 3, 4, 5, 7, 900 + event.index] {
                recover(&cut, seed, setup, &allowed, false, &what);
            }
        }
        recto::harness::sim::Action::Continue
    });
    Oracle::commit(&oracle, &db, Durability::Durable, |t| t.put("second", "life", 300));
    Oracle::commit(&oracle, &db, Durability::Durable, |t| t.put("second", "wind", 9_000));
    disk.clear_hook();
    assert_clean(&db, &what());
}
