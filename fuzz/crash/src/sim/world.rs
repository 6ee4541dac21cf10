//! A simulated machine with processes on it, which runs a script.
//!
//! At each event of the machine its hook looks whether the script has a fault there, takes a
//! cut point where the setup asks for one, and has every outcome of it judged. When the power
//! really fails, another machine boots and the script goes on there.

mod alone;
mod device;
mod ends;
mod hook;
mod leftovers;
mod others;
mod writing;

use super::calls::{
    Built, Pending, Writing, assert_named, begin, commit, finish, flush, read, read_named,
};
use super::causes::During;
use super::content::{Content, Shown, print_of};
use super::coverage::{Row, Tally};
use super::edit::Edit;
use super::judge::{Judge, assert_clean, enter, enter_alone};
use super::op::{Fault, How, Op, OpKind, What};
use super::oracle::{Oracle, SharedOracle};
use super::script::{PROCESSES, Script, Setup};
use alone::Alone;
use hook::Hook;
use parking_lot::Mutex;
use recto::harness::sim::{Ending, EventKind, Faults, ProcessOptions, SimDisk, run};
use recto::harness::{machine, new_file, open};
use recto::{Database, Durability, Error, ReadTxn};
use std::collections::VecDeque;
use std::mem::Discriminant;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The process that has its turns inside events.
const GUEST: u8 = PROCESSES - 1;

/// Whether every event is printed.
pub static TRACE: AtomicBool = AtomicBool::new(false);

/// What the hook knows about the operation that is being done.
#[derive(Default)]
struct Now {
    line: String,
    /// Events before it.
    start: u64,
    faults: Vec<Fault>,
    rows: Vec<Row>,
    /// Calls of this kind fail: all if the kind is not yet known.
    failing: Option<(Option<Discriminant<EventKind>>, i32, u32)>,
    cut_seed: u64,
    guest: Option<Database>,
    /// Faults since everything was last well.
    troubles: u32,
    /// Who began to read inside an event.
    visitors: Vec<Held>,
    /// Pages were refused, and nobody who uses them was told.
    unnoticed: bool,
    /// The device has refused pages on this machine, by an operation.
    refused: bool,
    /// Somebody has the database to itself.
    alone: Alone,
    /// No cut points for a while.
    quiet: bool,
    /// Number of the operation.
    number: usize,
}

/// A copy of the file, and what it holds.
struct Copied {
    bytes: Vec<u8>,
    content: Arc<Content>,
}

struct Held {
    process: u8,
    txn: ReadTxn,
    print: u64,
    durable: bool,
    /// An observer's own handle.
    _observer: Option<Database>,
    /// What it shows, and how many pages had left the cache then: only that may change what was
    /// never durable.
    shown: Option<(u64, Shown)>,
}

impl Held {
    fn new(process: u8, (txn, print, durable): (ReadTxn, u64, bool)) -> Held {
        Held { process, txn, print, durable, _observer: None, shown: None }
    }
}

/// See the head of the file.
pub struct World {
    disk: SimDisk,
    setup: Setup,
    oracle: SharedOracle,
    tally: Arc<Mutex<Tally>>,
    judge: Arc<Judge>,
    now: Arc<Mutex<Now>>,
    processes: [Option<Database>; PROCESSES as usize],
    pending: [VecDeque<Pending>; PROCESSES as usize],
    /// Transactions that stay open. They may outlive their handle.
    writing: [Option<Writing>; PROCESSES as usize],
    readers: VecDeque<Held>,
    /// Something deferred waits for a flush.
    deferred: bool,
    /// Boots since the last acknowledged commit.
    recovering: u32,
    /// A lock file at another path may know what the one that is used now does not.
    two_lock_files: bool,
    copy: Option<Copied>,
    /// Waits without end that this machine has seen.
    hangs: u64,
}

/// Runs a script to its end. Panics where the database does not hold what it promises.
pub fn run_script(script: &Script) -> Tally {
    let mut world = World::new(&script.setup);
    world.tally.lock().runs = 1;
    for (number, op) in script.ops.iter().enumerate() {
        world.guest_comes_before(&script.ops[number..]);
        world.line(number, op);
    }
    world.finish();
    let mut tally = world.tally.lock().clone();
    let oracle = world.oracle.lock();
    (tally.edits, tally.found_full) = (oracle.edits, oracle.found_full);
    drop(oracle);
    tally
}

/// Events of each operation of a script without faults.
pub fn events_of(script: &Script) -> Vec<u64> {
    let mut setup = script.setup.clone();
    setup.probe = 0;
    let mut world = World::new(&setup);
    let mut counts = Vec::new();
    for (number, op) in script.ops.iter().enumerate() {
        let before = world.disk.counters().events;
        world.line(number, op);
        // A boot begins to count again.
        let after = world.disk.counters().events;
        counts.push(after.checked_sub(before).unwrap_or(after));
    }
    world.finish();
    counts
}

/// A run that may have failed: what it has reached, or what was wrong.
pub fn try_script(script: &Script) -> Result<Tally, String> {
    let _watched = crate::hang::watched(script.to_string());
    crate::quiet::caught(|| run_script(script))
}

impl World {
    fn new(setup: &Setup) -> World {
        recto::harness::no_grace();
        let disk = machine(&new_file(setup.page_size), setup.page_size, setup.machine)
            .unwrap_or_else(|e| panic!("no machine: {e}"));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut oracle = Oracle::new();
        oracle.causes.disk_may_be_full = setup.disk > 0;
        oracle.causes.device_fails = setup.write_back_fails > 0;
        let mut world = World {
            disk,
            setup: setup.clone(),
            oracle: Arc::new(Mutex::new(oracle)),
            judge: Judge::new(setup.clone(), tally.clone()),
            tally,
            now: Arc::default(),
            processes: Default::default(),
            pending: Default::default(),
            writing: Default::default(),
            readers: VecDeque::new(),
            deferred: false,
            recovering: 0,
            two_lock_files: false,
            copy: None,
            hangs: 0,
        };
        world.switch_on();
        world
    }

    /// The machine is new: its faults, its limit, its hook.
    fn switch_on(&mut self) {
        let (unnoticed, refused) = {
            let now = self.now.lock();
            (now.unnoticed, now.refused)
        };
        let evict = if unnoticed || refused { 0 } else { self.setup.evict };
        self.disk.set_faults(Faults { evict, ..self.setup.faults() });
        self.disk.set_disk_limit((self.setup.disk > 0).then_some(self.setup.disk * 4096));
        self.disk.remember_lock_file(self.setup.remember);
        let hook = Hook {
            setup: self.setup.clone(),
            oracle: self.oracle.clone(),
            tally: self.tally.clone(),
            judge: self.judge.clone(),
            now: self.now.clone(),
        };
        self.disk.set_hook(move |disk, event| hook.at(disk, event));
    }

    fn line(&mut self, number: usize, op: &Op) {
        {
            let mut now = self.now.lock();
            now.number = number;
            now.line = op.to_string();
            now.start = self.disk.counters().events;
            now.faults = op.faults.clone();
            now.rows = self.rows(&op.kind);
        }
        self.tally.lock().ops += 1;
        self.oracle.lock().causes.next_kind();
        let may_wait = self.may_wait(&op.kind);
        self.perform(op.process, &op.kind);
        self.nobody_hangs(may_wait);
        let visitors = {
            let mut now = self.now.lock();
            now.faults.clear();
            std::mem::take(&mut now.visitors)
        };
        self.readers.extend(visitors);
        self.look_at_readers();
    }

    /// Who commits deferred inside an event was there long before: who comes beside what is not
    /// durable would first have to repair (rule 18), which it cannot while somebody flushes, and
    /// nothing would overtake a flush.
    fn guest_comes_before(&mut self, ops: &[Op]) {
        let waits = |a: &Fault| matches!(a.what, What::Turn { deferred: true });
        let awaited = ops.iter().any(|op| op.faults.iter().any(waits));
        if !awaited || self.now.lock().guest.is_some() {
            return;
        }
        self.now.lock().quiet = true;
        let guest = enter(&self.disk, &self.setup, GUEST);
        self.oracle.lock().forget_process(GUEST);
        let mut now = self.now.lock();
        now.quiet = false;
        // Who does not get in here tries again inside the event.
        now.guest = guest.ok();
    }

    fn rows(&self, kind: &OpKind) -> Vec<Row> {
        let mut rows = Vec::new();
        let ends = matches!(
            kind,
            OpKind::Commit { durability: Durability::Durable, .. } | OpKind::Finish | OpKind::Flush
        );
        if ends || matches!(kind, OpKind::Commit { .. } | OpKind::Build { .. }) {
            rows.push(Row::Commit);
        }
        let pending: usize = self.pending.iter().map(VecDeque::len).sum();
        if ends && pending > usize::from(matches!(kind, OpKind::Finish)) {
            rows.push(Row::GroupCommit);
        }
        if ends && self.deferred {
            rows.push(Row::DeferredFlush);
        }
        if kind.edits().iter().any(|e| e.overflows(self.setup.page_size)) {
            rows.push(Row::Overflow);
        }
        if kind.edits().iter().any(|e| matches!(e, Edit::Drop { .. })) {
            rows.push(Row::TableDrop);
        }
        match self.recovering {
            0 => {}
            1 => rows.push(Row::Recovery),
            _ => rows.push(Row::SecondRecovery),
        }
        rows
    }

    fn perform(&mut self, p: u8, kind: &OpKind) {
        let oracle = self.oracle.clone();
        match kind {
            OpKind::Commit { durability, edits } => {
                let done = self.in_process(p, |db| commit(&oracle, p, db, *durability, edits));
                self.acknowledged(done == Some(true), *durability == Durability::Durable);
            }
            OpKind::Build { edits } => {
                let built = self.in_process(p, |db| {
                    let writing = begin(&oracle, p, db)?.edited(&oracle, edits)?;
                    Some(writing.build(&oracle, Durability::Durable))
                });
                if let Some(Some(Built::Pending(pending))) = built {
                    self.pending[usize::from(p)].push_back(pending);
                }
            }
            OpKind::Begin { edits } => self.begin(p, edits),
            OpKind::End { how } => self.end(p, *how),
            OpKind::Finish => {
                if let Some(pending) = self.pending[usize::from(p)].pop_front() {
                    let done = self.in_process(p, |db| finish(&oracle, db, pending));
                    self.acknowledged(done == Some(true), true);
                }
            }
            OpKind::Abort { edits } => {
                self.in_process(p, |db| begin(&oracle, p, db)?.edited(&oracle, edits).map(drop));
            }
            OpKind::Flush => {
                let done = self.in_process(p, |db| flush(&oracle, db));
                self.acknowledged(done == Some(true), true);
            }
            OpKind::Hold => self.hold(p),
            OpKind::Observe => self.observe(p),
            OpKind::Release => self.release(),
            OpKind::Check => {
                self.in_process(p, |db| match db.check(None) {
                    Err(e) if oracle.lock().forgives(&e, During::Check) => {}
                    _ if oracle.lock().unreliable() => {}
                    _ => assert_clean(db, "check"),
                });
            }
            OpKind::Churn { count } => self.churn(p, *count),
            OpKind::Crowd { count } => self.crowd(p, *count),
            OpKind::ForeignSync => self.foreign_sync(),
            OpKind::ForeignSyncFails => {
                device::foreign_sync_fails(&self.disk, &self.setup, &oracle, &self.now)
            }
            OpKind::DeviceWrites => self.disk.write_back_all(false),
            OpKind::DeviceRefuses => self.device_refuses(),
            OpKind::Evict => self.evict(),
            OpKind::LoseLockFile => self.lose_lock_file(p),
            OpKind::Alone { edits } => self.alone(p, edits),
            OpKind::Leave => self.leave(p),
            OpKind::Cut { seed, lock_file } => {
                let cut = match lock_file {
                    true => self.disk.cut_point_with_lock_file(),
                    false => self.disk.cut_point(),
                };
                self.reboot(&cut, *seed, false);
            }
            OpKind::Remount { seed } => {
                let cut = self.disk.cut_point_with_lock_file();
                self.reboot(&cut, *seed, true);
            }
            OpKind::AllDie { keep_lock_file } => self.all_die(*keep_lock_file),
            OpKind::OtherLockFile => self.other_lock_file(),
            OpKind::Copy => self.copy(p),
            OpKind::Restore { commits } => self.restore(*commits),
            OpKind::Newer { slot, newer } => self.newer_build(*slot, *newer),
            OpKind::NewerBeside => self.newer_beside(),
        }
    }

    fn acknowledged(&mut self, yes: bool, durable: bool) {
        if !yes {
            return;
        }
        self.tally.lock().commits += 1;
        self.deferred = !durable;
        if durable {
            self.recovering = 0;
            self.now.lock().troubles = 0;
        }
    }

    /// Runs work in process `p`, which is started if it does not live; None if it died or could not
    /// start.
    fn in_process<R>(&mut self, p: u8, work: impl FnOnce(&Database) -> R) -> Option<R> {
        let place = usize::from(p);
        let ending = run(|| {
            if self.processes[place].is_none() {
                let opened = match self.is_alone() {
                    true => enter_alone(&self.disk, &self.setup, p),
                    false => enter(&self.disk, &self.setup, p),
                };
                match opened {
                    Ok(db) => self.processes[place] = Some(db),
                    // Somebody came first.
                    Err(Error::InUse { exclusively: false, .. }) if self.is_alone() => {
                        assert!(self.now.lock().guest.is_some(), "in use by nobody");
                        return None;
                    }
                    Err(e) => {
                        assert!(self.oracle.lock().forgives(&e, During::Open), "open: {e}");
                        return None;
                    }
                }
                self.oracle.lock().forget_process(p);
            }
            self.processes[place].as_ref().map(work)
        });
        match ending {
            Ending::Done(result) => result,
            Ending::Killed(_) => {
                self.died(p);
                None
            }
            Ending::PowerLost => {
                self.power_lost();
                None
            }
        }
    }

    fn hold(&mut self, p: u8) {
        let oracle = self.oracle.clone();
        let setup = self.setup.clone();
        let held = self.in_process(p, |db| read(&oracle, &setup, p, db));
        if let Some(Some(seen)) = held {
            self.readers.push_back(Held::new(p, seen));
        }
        if let Some(Some(seen)) = self.in_process(p, |db| read_named(&oracle, db)) {
            self.readers.push_back(Held::new(p, seen));
        }
    }

    /// Somebody who may not write to the lock file reads; somebody else must have the database
    /// open.
    fn observe(&mut self, p: u8) {
        if self.processes.iter().all(Option::is_none) {
            return;
        }
        let (oracle, setup) = (self.oracle.clone(), self.setup.clone());
        let disk = self.disk.clone();
        let ending = run(|| {
            let options =
                ProcessOptions { read_only: true, observer: true, ..ProcessOptions::default() };
            let mut builder = setup.builder(p);
            builder.read_only(true);
            match open(disk.process(options), &builder) {
                Ok(db) => read(&oracle, &setup, GUEST, &db).map(|seen| (db, seen)),
                Err(e) => {
                    assert!(oracle.lock().forgives(&e, During::Open), "an observer opens: {e}");
                    None
                }
            }
        });
        oracle.lock().forget_process(GUEST);
        match ending {
            Ending::Done(Some((db, seen))) => {
                let held = Held { _observer: Some(db), ..Held::new(GUEST, seen) };
                self.readers.push_back(held);
            }
            Ending::Done(None) | Ending::Killed(_) => {}
            Ending::PowerLost => self.power_lost(),
        }
    }

    /// Ends the oldest held snapshot, which must still show what it showed.
    fn release(&mut self) {
        let Some(held) = self.readers.pop_front() else { return };
        // What was never durable may leave the page cache after the device has refused it: nobody
        // can keep it for a reader.
        if held.durable || !self.oracle.lock().unreliable() {
            match print_of(&held.txn) {
                Ok((print, found)) => {
                    assert!(
                        print == held.print,
                        "a snapshot changed from {:016x} to {found}",
                        held.print
                    );
                }
                Err(e) => panic!("a held snapshot: {e}"),
            }
        }
        // The end of a handle is an event, and may be its process's last.
        let ending = run(|| drop(held));
        if matches!(ending, Ending::PowerLost) {
            self.power_lost();
        }
    }

    fn count_machine(&self) {
        let counters = self.disk.counters();
        assert_eq!(counters.after_death, 0, "the dead have spoken");
        let mut tally = self.tally.lock();
        tally.write_backs += counters.write_backs;
        tally.evictions += counters.evictions;
    }

    /// All is well again: everything works, is in a content that it may be in, checks clean, and
    /// survives a cut.
    fn finish(&mut self) {
        {
            let mut now = self.now.lock();
            now.line = "the end".into();
            now.failing = None;
            now.rows = Vec::new();
            now.start = self.disk.counters().events;
        }
        self.disk.set_disk_limit(None);
        self.disk.set_faults(Default::default());
        (0..PROCESSES).for_each(|p| self.end(p, How::Abort));
        while !self.readers.is_empty() {
            self.release();
        }
        let oracle = self.oracle.clone();
        let last = [Edit::Put { table: 3, key: 9, len: 100 }];
        // An error that nobody was told of yet is told to the first who syncs.
        let done = (0..3).any(|_| {
            self.in_process(1, |db| commit(&oracle, 1, db, Durability::Durable, &last))
                == Some(true)
        });
        assert!(done, "all is well, and no commit succeeds");
        let setup = self.setup.clone();
        self.in_process(1, |db| {
            read(&oracle, &setup, 1, db);
            // The hook locks it as well.
            let newest = oracle.lock().newest();
            assert_named(db, &newest, &|| "in the end".into());
            assert_clean(db, "in the end");
        });
        let cut = self.disk.cut_point();
        let allowed = oracle.lock().after_power_loss();
        self.judge.all_outcomes(&cut, &allowed, "in the end");
        self.disk.clear_hook();
        self.count_machine();
        self.everybody_is_dead();
    }
}
