//! After a cut: machines boot, the database opens in a content that is allowed, checks clean, and
//! goes on; also when the power fails again on the way, and again.

use super::calls::{assert_named, commit, read};
use super::content::{Content, any_of, print_of};
use super::coverage::{Column, Row, Tally};
use super::edit::Edit;
use super::oracle::{Allowed, Oracle, SharedOracle};
use super::script::Setup;
use parking_lot::Mutex;
use recto::harness::open;
use recto::harness::sim::{
    Action, CutPoint, EventKind, ProcessOptions, SPECIAL_SEEDS, Sector, SimDisk,
};
use recto::{Database, Durability, Sink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Stamps of what is written after a cut, far from those of any script.
pub const LATER: u32 = 1 << 30;
/// Pages that an opening may read beside those of two manifests.
const OPENING_PAGES: u64 = 10;
/// One recovery in so many is asked which ids it gives, where they are few.
const IDS_EVERY: u64 = 4;
/// How often a power cut may follow on a power cut.
const DEPTH: u32 = 3;

/// Opens the database in a process of its own.
pub fn enter(disk: &SimDisk, setup: &Setup, process: u8) -> recto::Result<Database> {
    let direct = setup.sink == Sink::Direct;
    let options = ProcessOptions { direct, ..ProcessOptions::default() };
    open(disk.process(options), &setup.builder(process))
}

/// Opens the database in a process of its own that has it to itself, or is refused at once.
pub fn enter_alone(disk: &SimDisk, setup: &Setup, process: u8) -> recto::Result<Database> {
    let direct = setup.sink == Sink::Direct;
    let options = ProcessOptions { direct, ..ProcessOptions::default() };
    let mut builder = setup.builder(process);
    builder.open_timeout(Duration::ZERO);
    open(disk.process_alone(options)?, &builder)
}

/// The full check finds nothing.
pub fn assert_clean(db: &Database, what: &str) {
    let report = db.check(None).unwrap_or_else(|e| panic!("{what}: check: {e}"));
    let faults = &report.faults[..report.faults.len().min(5)];
    assert!(report.fault_count == 0, "{what}: {faults:#?}");
}

/// Judges recoveries.
pub struct Judge {
    pub setup: Setup,
    pub tally: Arc<Mutex<Tally>>,
    /// Recoveries so far; every `setup.second`-th is cut again.
    count: AtomicU64,
    /// The moment that was judged last: version of the disk, and what was allowed.
    last: Mutex<Option<(u64, usize, u64)>>,
}

impl Judge {
    /// One that adds to `tally`.
    pub fn new(setup: Setup, tally: Arc<Mutex<Tally>>) -> Arc<Judge> {
        Arc::new(Judge { setup, tally, count: AtomicU64::new(0), last: Mutex::default() })
    }

    /// Every recovery that the setup asks for, from one moment.
    pub fn all_outcomes(self: &Arc<Judge>, cut: &CutPoint, allowed: &Allowed, what: &str) {
        self.tally.lock().cut_points += 1;
        // Most steps of a protocol change nothing on the disk.
        let moment = (cut.version(), allowed.len(), allowed.last().map_or(0, |c| c.print()));
        if self.last.lock().replace(moment) == Some(moment) {
            return;
        }
        if cut.is_settled() {
            self.outcome(cut, 0, allowed, 1, what);
            return;
        }
        if self.setup.subsets > 0 && self.subsets(cut, allowed, what) {
            return;
        }
        let outcomes = self.setup.outcomes;
        // Chosen mixtures by turns, so that in the long run each event sees each of them.
        for n in 0..outcomes.min(SPECIAL_SEEDS) {
            self.outcome(cut, (cut.event + n) % SPECIAL_SEEDS, allowed, 1, what);
        }
        for n in 0..outcomes {
            self.outcome(cut, SPECIAL_SEEDS + cut.event * 64 + n, allowed, 1, what);
        }
    }

    /// Every subset of what was not synced: of its sectors, or if these are too many, of its pages;
    /// false if these are too many as well.
    fn subsets(self: &Arc<Judge>, cut: &CutPoint, allowed: &Allowed, what: &str) -> bool {
        let sectors = cut.unsynced_sectors();
        let mut pages: Vec<u64> = sectors.iter().map(|s| s.page).collect();
        pages.dedup();
        let few = |n: usize| n < 63 && 1u64 << n <= self.setup.subsets;
        let by_sector = few(sectors.len());
        if !by_sector && !few(pages.len()) {
            return false;
        }
        let n = if by_sector { sectors.len() } else { pages.len() };
        let lengths: &[bool] = if cut.length_is_unsynced() { &[false, true] } else { &[true] };
        for mask in 0..1u64 << n {
            let kept = |s: Sector| {
                let place = match by_sector {
                    true => sectors.binary_search(&s).ok(),
                    false => pages.binary_search(&s.page).ok(),
                };
                place.is_some_and(|place| mask >> place & 1 == 1)
            };
            for &newest in lengths {
                let disk =
                    cut.boot_keeping(newest, kept).unwrap_or_else(|e| panic!("{what}: boot: {e}"));
                let again = self.again(1);
                let what = || format!("{what}, subset {mask:b} of {n}, newest length: {newest}");
                self.recovered(&disk, mask, allowed, 1, again, &what);
            }
        }
        true
    }

    /// Whether the recovery that follows now is to be cut again.
    pub fn again(&self, depth: u32) -> bool {
        let n = self.count.fetch_add(1, Relaxed);
        // Each recovery that is cut again costs some two hundred more.
        let every = self.setup.second * if depth > 1 { 40 } else { 1 };
        depth < DEPTH && every != 0 && n % every == every - 1
    }

    /// One recovery.
    pub fn outcome(
        self: &Arc<Judge>,
        cut: &CutPoint,
        seed: u64,
        allowed: &Allowed,
        depth: u32,
        what: &str,
    ) {
        let again = self.again(depth);
        let disk = cut.boot(seed).unwrap_or_else(|e| panic!("{what}: boot: {e}"));
        self.recovered(&disk, seed, allowed, depth, again, &|| format!("{what}, cut {seed}"));
    }

    /// A machine has booted.
    pub fn recovered(
        self: &Arc<Judge>,
        disk: &SimDisk,
        seed: u64,
        allowed: &Allowed,
        depth: u32,
        again: bool,
        what: &dyn Fn() -> String,
    ) {
        {
            let mut tally = self.tally.lock();
            tally.cuts += 1;
            tally.second_cuts += u64::from(depth == 2);
            tally.third_cuts += u64::from(depth == 3);
            tally.double_faults += u64::from(depth > 1);
        }
        crate::hang::beat();
        let db = enter(disk, &self.setup, (seed % 3) as u8)
            .unwrap_or_else(|e| panic!("{}: open: {e}", what()));
        let found = find(&db, allowed, what);
        assert_named(&db, &allowed[found], what);
        assert_clean(&db, &what());
        self.assert_bounded(&db, what);
        if again {
            let oracle = Arc::new(Mutex::new(Oracle::holding(allowed[found].clone(), LATER)));
            self.cut_everywhere(disk, &oracle, depth, 1, &what());
            self.go_on(disk, &db, &oracle, what());
        } else if self.setup.ids_ahead > 0 && self.count.load(Relaxed).is_multiple_of(IDS_EVERY) {
            let oracle = Arc::new(Mutex::new(Oracle::after(allowed, found, LATER)));
            let edits = [Edit::Put { table: 3, key: 5, len: 30 }];
            commit(&oracle, 0, &db, Durability::Deferred, &edits);
            read(&oracle, &self.setup, 0, &db);
        }
    }

    /// An opening without a lock file reads a bounded number of pages, whatever was committed.
    fn assert_bounded(&self, db: &Database, what: &dyn Fn() -> String) {
        if self.setup.manifest_pages == 0 {
            return;
        }
        let read = db.info().map_or(0, |info| info.opening_pages_read);
        let most = OPENING_PAGES + 2 * self.setup.manifest_pages;
        assert!(read <= most, "{}: an opening reads {read} pages, of {most}", what());
    }

    /// Whatever was found must be found again, or what is built on it: the power fails at every
    /// event from now on, or at one in so many.
    pub fn cut_everywhere(
        self: &Arc<Judge>,
        disk: &SimDisk,
        oracle: &SharedOracle,
        depth: u32,
        one_in: u64,
        what: &str,
    ) {
        let (in_hook, judge, outer) = (oracle.clone(), self.clone(), what.to_string());
        disk.set_hook(move |disk, event| {
            if event.depth > 0
                || !event.index.is_multiple_of(one_in)
                || matches!(event.kind, EventKind::Lock { .. } | EventKind::Map { .. })
            {
                return Action::Continue;
            }
            let row = if depth > 1 { Row::SecondRecovery } else { Row::Recovery };
            judge.tally.lock().happened(Column::PowerCut, &[row], &event.kind);
            let cut = disk.cut_point();
            let allowed = in_hook.lock().after_power_loss();
            let what = format!("{outer}; then at {} {:?}", event.index, event.kind);
            let random = SPECIAL_SEEDS + event.index;
            let seeds = match one_in {
                _ if cut.is_settled() => vec![0],
                1 => vec![event.index % SPECIAL_SEEDS, 1, random],
                _ if event.index.is_multiple_of(2) => vec![event.index / 2 % SPECIAL_SEEDS],
                _ => vec![random],
            };
            for seed in seeds {
                judge.outcome(&cut, seed, &allowed, depth + 1, &what);
            }
            Action::Continue
        });
    }

    fn go_on(&self, disk: &SimDisk, db: &Database, oracle: &SharedOracle, what: String) {
        let first = [Edit::Put { table: 3, key: 5, len: 300 }];
        commit(oracle, 0, db, Durability::Durable, &first);
        let large = self.setup.page_size as u32 * 2;
        let second = [Edit::Put { table: 3, key: 6, len: large }, Edit::Del { table: 3, key: 5 }];
        commit(oracle, 0, db, Durability::Durable, &second);
        disk.clear_hook();
        assert_clean(db, &what);
    }
}

/// Which of the allowed contents the database shows: its number.
pub fn find(db: &Database, allowed: &[Arc<Content>], what: &dyn Fn() -> String) -> usize {
    let txn = db.read().unwrap_or_else(|e| panic!("{}: read: {e}", what()));
    let (print, summary) = print_of(&txn).unwrap_or_else(|e| panic!("{}: {e}", what()));
    let found = allowed.iter().position(|c| c.print() == print);
    found.unwrap_or_else(|| panic!("{}: found {summary}; allowed: {}", what(), any_of(allowed)))
}
