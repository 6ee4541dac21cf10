//! What is asked at each event of the machine: whether a cut point is due, and whether the script
//! has a fault there.

use super::alone::{Alone, enter_at_once, refused_beside};
use super::device::{beyond_budget, foreign_sync_fails};
use super::{GUEST, Held, Now, TRACE};
use crate::sim::calls::{commit, flush, read};
use crate::sim::causes::During;
use crate::sim::coverage::{Column, Row, Tally};
use crate::sim::edit::Edit;
use crate::sim::judge::{Judge, enter};
use crate::sim::op::What;
use crate::sim::oracle::SharedOracle;
use crate::sim::returns::Expected;
use crate::sim::script::Setup;
use parking_lot::Mutex;
use recto::harness::sim::{Action, CutPoint, Event, EventKind, SimDisk};
use recto::harness::{is_log_page, is_pool_page};
use recto::{Database, Durability, Error};
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// See the head of the file.
pub(super) struct Hook {
    pub setup: Setup,
    pub oracle: SharedOracle,
    pub tally: Arc<Mutex<Tally>>,
    pub judge: Arc<Judge>,
    pub now: Arc<Mutex<Now>>,
}

impl Hook {
    pub fn at(&self, disk: &SimDisk, event: &Event) -> Action {
        crate::hang::beat();
        if event.depth > 0 {
            return Action::Continue;
        }
        if TRACE.load(Relaxed) {
            let now = self.now.lock();
            let at = event.index.saturating_sub(now.start);
            if at == 0 {
                println!("{}", now.line);
            }
            println!("    event {at:>3} process {} {:?}", event.process, event.kind);
        }
        let rows = self.rows(event);
        let nothing_new = matches!(event.kind, EventKind::Lock { .. } | EventKind::Map { .. })
            || self.now.lock().number < self.setup.from
            || self.now.lock().quiet;
        let due = self.setup.probe != 0 && event.index.is_multiple_of(self.setup.probe);
        if due && !nothing_new {
            self.probe(disk, event, &rows);
        }
        let faults: Vec<What> = {
            let now = self.now.lock();
            let at = event.index.saturating_sub(now.start);
            now.faults.iter().filter(|a| u64::from(a.at) == at).map(|a| a.what).collect()
        };
        for what in faults {
            if let Some(action) = self.fault(disk, event, &rows, what) {
                return action;
            }
        }
        self.failure(disk, event, &rows)
    }

    /// What is going on: what the operation is, and what its events have shown so far.
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

    fn happened(&self, column: Column, rows: &[Row], event: &Event, cut: &CutPoint) {
        let mut rows = rows.to_vec();
        if cut.unsynced().any(|(_, page)| is_log_page(page)) {
            rows.push(Row::FreeLogSpill);
        }
        if cut.unsynced().any(|(_, page)| is_pool_page(page)) {
            rows.push(Row::PoolSpill);
        }
        self.tally.lock().happened(column, &rows, &event.kind);
    }

    fn probe(&self, disk: &SimDisk, event: &Event, rows: &[Row]) {
        let cut = disk.cut_point();
        self.happened(Column::PowerCut, rows, event, &cut);
        let allowed = self.oracle.lock().after_power_loss();
        let what = format!("{}, event {} {:?}", self.now.lock().line, event.index, event.kind);
        self.judge.all_outcomes(&cut, &allowed, &what);
        if self.setup.remounts > 0 {
            let cut = disk.cut_point_with_lock_file();
            let oracle = self.oracle.lock();
            let calm = !oracle.unreliable() && disk.lost_pages().is_empty();
            // What only the memory of one process knows goes with it.
            let goes = self.now.lock().alone != Alone::No;
            let alive = calm.then(|| if goes { 0 } else { oracle.older_than_alive() });
            let gone = oracle.causes.device_was_gone;
            drop(oracle);
            self.judge.returns(&cut, &Expected { allowed, alive, gone }, &what);
        }
    }

    fn fault(&self, disk: &SimDisk, event: &Event, rows: &[Row], what: What) -> Option<Action> {
        let cut = disk.cut_point();
        {
            let mut now = self.now.lock();
            now.troubles += 1;
            self.tally.lock().double_faults += u64::from(now.troubles > 1);
        }
        match what {
            // Others would stand on what is lost, before anybody is told.
            What::Turn { .. } | What::Kill if self.oracle.lock().causes.pages_lost => {}
            What::Kill => {
                self.happened(Column::Death, rows, event, &cut);
                self.tally.lock().deaths += 1;
                return Some(Action::Kill);
            }
            What::Cut(seed) => {
                self.happened(Column::PowerCut, rows, event, &cut);
                self.now.lock().cut_seed = seed;
                return Some(Action::PowerCut);
            }
            What::Fail { errno, times } => self.now.lock().failing = Some((None, errno, times)),
            What::Turn { deferred } => {
                if self.others(|| self.turn(disk, deferred)) {
                    self.happened(Column::Turn, rows, event, &cut);
                    self.tally.lock().turns += 1;
                }
            }
            What::Visit => {
                if self.others(|| self.visit(disk)) {
                    self.happened(Column::Turn, rows, event, &cut);
                    self.tally.lock().turns += 1;
                    // What the visitor saw or made durable is not lost by a cut right now.
                    self.probe(disk, event, rows);
                }
            }
            What::Stranger => {
                foreign_sync_fails(disk, &self.setup, &self.oracle, &self.now);
                if self.others(|| self.stranger(disk)) {
                    self.happened(Column::Turn, rows, event, &cut);
                    self.tally.lock().count("strangers", 1);
                }
            }
            What::Evict if self.setup.write_back_fails > 0 || beyond_budget(disk, &self.now) => {}
            // What somebody reads may change under him then.
            What::Evict if self.now.lock().refused => {}
            What::Evict => disk.evict(),
        }
        None
    }

    /// Whether this call fails.
    fn failure(&self, disk: &SimDisk, event: &Event, rows: &[Row]) -> Action {
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
        {
            let mut oracle = self.oracle.lock();
            oracle.faults += 1;
            let causes = &mut oracle.causes;
            causes.failed(errno);
            causes.syncs_may_fail |= matches!(
                event.kind,
                EventKind::Write { .. } | EventKind::SyncBegin { .. } | EventKind::SyncEnd { .. }
            );
        }
        self.happened(Column::FailingCall, rows, event, &disk.cut_point());
        self.tally.lock().failed_calls += 1;
        Action::Fail(errno)
    }

    /// Somebody else has his turn: whoever waits for the process that is stopped here need not be
    /// waited for.
    fn others(&self, work: impl FnOnce() -> bool) -> bool {
        self.oracle.lock().causes.turns += 1;
        let came = work();
        self.oracle.lock().causes.turns -= 1;
        came
    }

    /// Another process comes anew, and begins to read.
    fn stranger(&self, disk: &SimDisk) -> bool {
        let before = self.now.lock().guest.take();
        drop(before);
        let Some(guest) = self.guest(disk) else { return false };
        let seen = read(&self.oracle, &self.setup, GUEST, &guest);
        let came = seen.is_some();
        self.now.lock().visitors.extend(seen.map(|seen| Held::new(GUEST, seen)));
        came
    }

    /// Another process makes three commits, so that what the first frees could be reused by the
    /// third.
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
        let seen = read(&self.oracle, &self.setup, GUEST, &guest);
        let came = seen.is_some();
        self.now.lock().visitors.extend(seen.map(|seen| Held::new(GUEST, seen)));
        flush(&self.oracle, &guest) || came
    }

    fn guest(&self, disk: &SimDisk) -> Option<Database> {
        let guest = self.now.lock().guest.clone();
        if guest.is_some() {
            return guest;
        }
        let alone = self.now.lock().alone;
        if alone == Alone::Yes {
            refused_beside(disk, &self.setup);
            return None;
        }
        let opened = match alone {
            Alone::No => enter(disk, &self.setup, GUEST),
            // Whoever is first has it: without waiting.
            _ => enter_at_once(disk, &self.setup, GUEST),
        };
        let db = match opened {
            Ok(db) => db,
            Err(Error::InUse { exclusively: true, .. }) if alone != Alone::No => return None,
            // Whoever is stopped may be opening.
            Err(Error::Busy { .. } | Error::LockFile { .. }) => return None,
            Err(e) => {
                assert!(self.oracle.lock().forgives(&e, During::Open), "a guest opens: {e}");
                return None;
            }
        };
        self.oracle.lock().forget_process(GUEST);
        self.now.lock().guest = Some(db.clone());
        Some(db)
    }
}
