//! A simulated machine with processes on it, which runs a script.
//!
//! At each event of the machine its hook looks whether the script has an accident there, takes a cut point where the setup asks for
//! one, and has every outcome of it judged. When the power really fails, another machine boots and the script goes on there.

mod leftovers;

use super::content::{Content, Shown, print_of};
use super::coverage::{Column, Row, Tally};
use super::edit::Edit;
use super::judge::{Judge, assert_clean, enter, find};
use super::op::{Accident, Deed, Op, What};
use super::oracle::{Allowed, Built, Oracle, Pending, SharedOracle, build, commit, finish, flush};
use super::script::{PROCESSES, Script, Setup};
use parking_lot::Mutex;
use recto::harness::sim::{
    Action, CutPoint, Ending, Event, EventKind, ProcessOptions, SimDisk, run,
};
use recto::harness::{is_log_page, machine, new_file, open};
use recto::{Database, Durability, Info, ReadTxn};
use std::collections::VecDeque;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The process that has its turns inside events.
const GUEST: u8 = PROCESSES - 1;

/// Whether every event is printed.
pub static TRACE: AtomicBool = AtomicBool::new(false);

/// What the hook knows about the deed that is being done.
#[derive(Default)]
struct Now {
    line: String,
    /// Events before it.
    start: u64,
    accidents: Vec<Accident>,
    rows: Vec<Row>,
    /// Calls of this kind fail: all if the kind is not yet known.
    failing: Option<(Option<Discriminant<EventKind>>, i32, u32)>,
    cut_seed: u64,
    guest: Option<Database>,
    /// Accidents since everything was last well.
    troubles: u32,
    /// Who began to read inside an event.
    visitors: Vec<Held>,
    /// No cut points for a while.
    quiet: bool,
    /// Number of the deed.
    number: usize,
}

struct Held {
    process: u8,
    txn: ReadTxn,
    print: u64,
    durable: bool,
    /// An observer's own handle.
    _observer: Option<Database>,
    /// What it shows, and how many pages had left the cache then: only that may change what was never durable.
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
    readers: VecDeque<Held>,
    /// Something deferred waits for a flush.
    deferred: bool,
    /// Boots since the last acknowledged commit.
    recovering: u32,
}

/// Runs a script to its end. Panics where the database does not hold what it promises.
pub fn run_script(script: &Script) -> Tally {
    let mut world = World::new(&script.setup);
    world.tally.lock().runs = 1;
    for (number, op) in script.ops.iter().enumerate() {
        world.line(number, op);
    }
    world.finish();
    let mut tally = world.tally.lock().clone();
    let oracle = world.oracle.lock();
    (tally.edits, tally.found_full) = (oracle.edits, oracle.found_full);
    drop(oracle);
    tally
}

/// Events of each operation of a script without accidents.
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
    crate::quiet::caught(|| run_script(script))
}

impl World {
    fn new(setup: &Setup) -> World {
        let disk = machine(&new_file(setup.page_size), setup.page_size, setup.machine)
            .unwrap_or_else(|e| panic!("no machine: {e}"));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut oracle = Oracle::new();
        oracle.disk_may_be_full = setup.disk > 0;
        oracle.device_fails = setup.write_back_fails > 0;
        let mut world = World {
            disk,
            setup: setup.clone(),
            oracle: Arc::new(Mutex::new(oracle)),
            judge: Judge::new(setup.clone(), tally.clone()),
            tally,
            now: Arc::default(),
            processes: Default::default(),
            pending: Default::default(),
            readers: VecDeque::new(),
            deferred: false,
            recovering: 0,
        };
        world.switch_on();
        world
    }

    /// The machine is new: its faults, its limit, its hook.
    fn switch_on(&mut self) {
        self.disk.set_faults(self.setup.faults());
        self.disk.set_disk_limit((self.setup.disk > 0).then_some(self.setup.disk * 4096));
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
            now.accidents = op.accidents.clone();
            now.rows = self.rows(&op.deed);
        }
        self.tally.lock().ops += 1;
        self.deed(op.process, &op.deed);
        let visitors = {
            let mut now = self.now.lock();
            now.accidents.clear();
            std::mem::take(&mut now.visitors)
        };
        self.readers.extend(visitors);
        self.look_at_readers();
    }

    fn rows(&self, deed: &Deed) -> Vec<Row> {
        let mut rows = Vec::new();
        let ends = matches!(
            deed,
            Deed::Commit { durability: Durability::Durable, .. } | Deed::Finish | Deed::Flush
        );
        if ends || matches!(deed, Deed::Commit { .. } | Deed::Build { .. }) {
            rows.push(Row::Commit);
        }
        let pending: usize = self.pending.iter().map(VecDeque::len).sum();
        if ends && pending > usize::from(matches!(deed, Deed::Finish)) {
            rows.push(Row::GroupCommit);
        }
        if ends && self.deferred {
            rows.push(Row::DeferredFlush);
        }
        if deed.edits().iter().any(|e| e.overflows(self.setup.page_size)) {
            rows.push(Row::Overflow);
        }
        if deed.edits().iter().any(|e| matches!(e, Edit::Drop { .. })) {
            rows.push(Row::TableDrop);
        }
        match self.recovering {
            0 => {}
            1 => rows.push(Row::Recovery),
            _ => rows.push(Row::SecondRecovery),
        }
        rows
    }

    fn deed(&mut self, p: u8, deed: &Deed) {
        let oracle = self.oracle.clone();
        match deed {
            Deed::Commit { durability, edits } => {
                let done = self.in_process(p, |db| commit(&oracle, p, db, *durability, edits));
                self.acknowledged(done == Some(true), *durability == Durability::Durable);
            }
            Deed::Build { edits } => {
                let durable = Durability::Durable;
                let built = self.in_process(p, |db| build(&oracle, p, db, durable, edits, false));
                if let Some(Built::Pending(pending)) = built {
                    self.pending[usize::from(p)].push_back(pending);
                }
            }
            Deed::Finish => {
                if let Some(pending) = self.pending[usize::from(p)].pop_front() {
                    let done = self.in_process(p, |db| finish(&oracle, db, pending));
                    self.acknowledged(done == Some(true), true);
                }
            }
            Deed::Abort { edits } => {
                self.in_process(p, |db| build(&oracle, p, db, Durability::Durable, edits, true));
            }
            Deed::Flush => {
                let done = self.in_process(p, |db| flush(&oracle, db));
                self.acknowledged(done == Some(true), true);
            }
            Deed::Hold => self.hold(p),
            Deed::Observe => self.observe(p),
            Deed::Release => self.release(),
            Deed::Check => {
                self.in_process(p, |db| match db.check(None) {
                    Err(e) if oracle.lock().forgives(&e) => {}
                    _ if oracle.lock().unreliable() => {}
                    _ => assert_clean(db, "check"),
                });
            }
            Deed::Churn { count } => self.churn(p, *count),
            Deed::ForeignSync => self.disk.foreign_sync(),
            Deed::LoseLockFile => self.lose_lock_file(p),
            Deed::Leave => self.leave(p),
            Deed::Cut { seed, lock_file } => {
                let cut = match lock_file {
                    true => self.disk.cut_point_with_lock_file(),
                    false => self.disk.cut_point(),
                };
                self.reboot(&cut, *seed, false);
            }
            Deed::Remount { seed } => {
                let cut = self.disk.cut_point_with_lock_file();
                self.reboot(&cut, *seed, true);
            }
            Deed::AllDie { keep_lock_file } => self.all_die(*keep_lock_file),
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

    /// Runs work in process `p`, which is started if it does not live; None if it died or could not start.
    fn in_process<R>(&mut self, p: u8, work: impl FnOnce(&Database) -> R) -> Option<R> {
        let place = usize::from(p);
        let ending = run(|| {
            if self.processes[place].is_none() {
                match enter(&self.disk, &self.setup, p) {
                    Ok(db) => self.processes[place] = Some(db),
                    Err(e) => {
                        assert!(self.oracle.lock().forgives(&e), "open: {e}");
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

    fn power_lost(&mut self) {
        let cut = self.disk.power_cut().unwrap_or_else(|| panic!("no cut was taken"));
        let seed = self.now.lock().cut_seed;
        self.reboot(&cut, seed, false);
    }

    fn died(&mut self, p: u8) {
        self.processes[usize::from(p)] = None;
        self.pending[usize::from(p)].clear();
        self.readers.retain(|held| held.process != p);
    }

    fn everybody_is_dead(&mut self) {
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
    fn reboot(&mut self, cut: &CutPoint, seed: u64, remount: bool) {
        let allowed = self.oracle.lock().after_power_loss();
        self.count_machine();
        self.everybody_is_dead();
        self.disk.clear_hook();
        let booted = if remount { cut.remount(seed) } else { cut.boot(seed) };
        self.disk = booted.unwrap_or_else(|e| panic!("boot: {e}"));
        self.recovering += 1;
        {
            let mut tally = self.tally.lock();
            tally.cuts += 1;
            tally.second_cuts += u64::from(self.recovering == 2);
            tally.third_cuts += u64::from(self.recovering > 2);
        }
        let found = self.start_from_disk(&allowed);
        match remount {
            true => self.oracle.lock().survived_by(&found, true),
            false => self.oracle.lock().restart_from(found),
        }
        self.switch_on();
    }

    /// What is on the disk decides, or in its page cache.
    fn start_from_disk(&mut self, allowed: &Allowed) -> Arc<Content> {
        let db =
            enter(&self.disk, &self.setup, 0).unwrap_or_else(|e| panic!("open after a cut: {e}"));
        let found = find(&db, allowed, &|| "after a cut".into());
        assert_clean(&db, "after a cut");
        // It goes, so that whoever comes next is the first again, with an opening that is not finished.
        drop(db);
        found
    }

    fn all_die(&mut self, keep_lock_file: bool) {
        self.everybody_is_dead();
        let _ = self.disk.restart_os_alive(keep_lock_file);
        self.recovering += 1;
        if !keep_lock_file {
            if self.setup.evict > 0 {
                // Pages that the device has refused can leave the cache at any time, also behind an opening that
                // has seen them in it. That is beyond the fault budget: here they leave before.
                self.disk.evict();
            }
            // Without the shared memory the disk decides, as its page cache shows it.
            let allowed = self.oracle.lock().after_power_loss();
            self.disk.clear_hook();
            let found = self.start_from_disk(&allowed);
            self.oracle.lock().survived_by(&found, false);
            self.switch_on();
        }
    }

    fn leave(&mut self, p: u8) {
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

    fn hold(&mut self, p: u8) {
        let oracle = self.oracle.clone();
        let held = self.in_process(p, |db| read(&oracle, p, db));
        if let Some(Some(seen)) = held {
            self.readers.push_back(Held::new(p, seen));
        }
    }

    /// Somebody who may not write to the lock file reads; somebody else must have the database open.
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
                Ok(db) => read(&oracle, GUEST, &db).map(|seen| (db, seen)),
                Err(e) => {
                    assert!(oracle.lock().forgives(&e), "an observer opens: {e}");
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
        // What was never durable may leave the page cache after the device has refused it: nobody can keep
        // it for a reader.
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
        assert_eq!(counters.posthumous, 0, "the dead have spoken");
        let mut tally = self.tally.lock();
        tally.write_backs += counters.write_backs;
        tally.evictions += counters.evictions;
    }

    /// All is well again: everything works, is in a content that it may be in, checks clean, and survives a cut.
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
        self.in_process(1, |db| {
            read(&oracle, 1, db);
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

/// Begins to read: the snapshot, its fingerprint, and whether it was durable.
fn read(oracle: &SharedOracle, p: u8, db: &Database) -> Option<(ReadTxn, u64, bool)> {
    let horizon = oracle.lock().horizon(p);
    let txn = match db.read() {
        Ok(txn) => txn,
        Err(e) => {
            assert!(oracle.lock().forgives(&e), "read: {e}");
            return None;
        }
    };
    let info = db.info().ok();
    if let Some(info) = &info {
        let Info { durable, visible, built, .. } = *info;
        assert!(durable <= visible && visible <= built, "D {durable}, V {visible}, W {built}");
    }
    let durable = info.is_some_and(|info| info.durable >= txn.id());
    let seen = print_of(&txn);
    if !durable && oracle.lock().unreliable() {
        // The device may have refused its pages, and the cache may have lost them: beyond the fault budget.
        return seen.ok().map(|(print, _)| (txn, print, false));
    }
    let (print, _) = seen.unwrap_or_else(|e| panic!("a new snapshot: {e}"));
    {
        let mut oracle = oracle.lock();
        oracle.reads(p, horizon, print, "a reader");
        oracle.was_shown(p);
    }
    Some((txn, print, durable))
}

/// What is asked at each event.
struct Hook {
    setup: Setup,
    oracle: SharedOracle,
    tally: Arc<Mutex<Tally>>,
    judge: Arc<Judge>,
    now: Arc<Mutex<Now>>,
}

impl Hook {
    fn at(&self, disk: &SimDisk, event: &Event) -> Action {
        if event.depth > 0 {
            return Action::Continue;
        }
        if TRACE.load(Relaxed) {
            let now = self.now.lock();
            let at = event.index.saturating_sub(now.start);
            println!("{:<50} event {at:>3} process {} {:?}", now.line, event.process, event.kind);
        }
        let rows = self.rows(event);
        let nothing_new = matches!(event.kind, EventKind::Lock { .. } | EventKind::Map { .. })
            || self.now.lock().number < self.setup.from
            || self.now.lock().quiet;
        let due = self.setup.probe != 0 && event.index.is_multiple_of(self.setup.probe);
        if due && !nothing_new {
            self.probe(disk, event, &rows);
        }
        let accidents: Vec<What> = {
            let now = self.now.lock();
            let at = event.index.saturating_sub(now.start);
            now.accidents.iter().filter(|a| u64::from(a.at) == at).map(|a| a.what).collect()
        };
        for what in accidents {
            if let Some(action) = self.accident(disk, event, &rows, what) {
                return action;
            }
        }
        self.failure(event, &rows)
    }

    /// What is going on: what the deed is, and what its events have shown so far.
    fn rows(&self, event: &Event) -> Vec<Row> {
        let mut now = self.now.lock();
        let more = match event.kind {
            EventKind::Grow { .. } => Some(Row::Growth),
            EventKind::Truncate { .. } => Some(Row::Shrink),
            EventKind::Step(step) if step.starts_with("shrink") => Some(Row::Shrink),
            EventKind::Step(step) if step.starts_with("repair") => Some(Row::Repair),
            EventKind::Step("flush: pages synced") => Some(Row::TwoPhase),
            _ => None,
        };
        let more = more.filter(|row| !now.rows.contains(row));
        now.rows.extend(more);
        now.rows.clone()
    }

    fn befell(&self, column: Column, rows: &[Row], event: &Event, cut: &CutPoint) {
        let mut rows = rows.to_vec();
        if cut.unsynced().any(|(_, page)| is_log_page(page)) {
            rows.push(Row::FreeLogSpill);
        }
        self.tally.lock().befell(column, &rows, &event.kind);
    }

    fn probe(&self, disk: &SimDisk, event: &Event, rows: &[Row]) {
        let cut = disk.cut_point();
        self.befell(Column::PowerCut, rows, event, &cut);
        let allowed = self.oracle.lock().after_power_loss();
        let what = format!("{}, event {} {:?}", self.now.lock().line, event.index, event.kind);
        self.judge.all_outcomes(&cut, &allowed, &what);
    }

    fn accident(&self, disk: &SimDisk, event: &Event, rows: &[Row], what: What) -> Option<Action> {
        let cut = disk.cut_point();
        {
            let mut now = self.now.lock();
            now.troubles += 1;
            self.tally.lock().double_faults += u64::from(now.troubles > 1);
        }
        match what {
            What::Kill => {
                self.befell(Column::Death, rows, event, &cut);
                self.tally.lock().deaths += 1;
                return Some(Action::Kill);
            }
            What::Cut(seed) => {
                self.befell(Column::PowerCut, rows, event, &cut);
                self.now.lock().cut_seed = seed;
                return Some(Action::PowerCut);
            }
            What::Fail { errno, times } => self.now.lock().failing = Some((None, errno, times)),
            What::Turn { deferred } => {
                if self.turn(disk, deferred) {
                    self.befell(Column::Turn, rows, event, &cut);
                    self.tally.lock().turns += 1;
                }
            }
            What::Visit => {
                if self.visit(disk) {
                    self.befell(Column::Turn, rows, event, &cut);
                    self.tally.lock().turns += 1;
                    // What the visitor saw or made durable is not lost by a cut right now.
                    self.probe(disk, event, rows);
                }
            }
            What::Evict if self.setup.write_back_fails > 0 => {}
            What::Evict => disk.evict(),
        }
        None
    }

    /// Whether this call fails.
    fn failure(&self, event: &Event, rows: &[Row]) -> Action {
        let errno = {
            let mut now = self.now.lock();
            let Some((kind, errno, left)) = &mut now.failing else { return Action::Continue };
            if matches!(event.kind, EventKind::Stored { .. } | EventKind::Step(_)) {
                return Action::Continue;
            }
            if *kind.get_or_insert(discriminant(&event.kind)) != discriminant(&event.kind) {
                return Action::Continue;
            }
            let errno = *errno;
            *left -= 1;
            if *left == 0 {
                now.failing = None;
            }
            errno
        };
        let mut oracle = self.oracle.lock();
        oracle.calls_may_fail = true;
        oracle.syncs_may_fail |= matches!(
            event.kind,
            EventKind::Write { .. } | EventKind::SyncBegin { .. } | EventKind::SyncEnd { .. }
        );
        let mut tally = self.tally.lock();
        tally.failed_calls += 1;
        tally.befell(Column::FailingCall, rows, &event.kind);
        Action::Fail(errno)
    }

    /// Another process makes three commits, so that what the first frees could be reused by the third.
    fn turn(&self, disk: &SimDisk, deferred: bool) -> bool {
        let Some(guest) = self.guest(disk) else { return false };
        let durability = if deferred { Durability::Deferred } else { Durability::Durable };
        let mut some = false;
        for n in 0..3 {
            let len = 40 + 30 * n;
            let edits = [Edit::Put { table: 3, key: 7, len }, Edit::Put { table: 0, key: 3, len }];
            some |= commit(&self.oracle, GUEST, &guest, durability, &edits);
        }
        some
    }

    /// Another process begins to read, and then leads a flush.
    fn visit(&self, disk: &SimDisk) -> bool {
        let Some(guest) = self.guest(disk) else { return false };
        let seen = read(&self.oracle, GUEST, &guest);
        let came = seen.is_some();
        self.now.lock().visitors.extend(seen.map(|seen| Held::new(GUEST, seen)));
        flush(&self.oracle, &guest) || came
    }

    fn guest(&self, disk: &SimDisk) -> Option<Database> {
        let guest = self.now.lock().guest.clone();
        if guest.is_some() {
            return guest;
        }
        let db = enter(disk, &self.setup, GUEST).ok()?;
        self.oracle.lock().forget_process(GUEST);
        self.now.lock().guest = Some(db.clone());
        Some(db)
    }
}
