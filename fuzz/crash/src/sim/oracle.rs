//! Which contents the database may hold now.
//!
//! Each transaction that starts to be built adds a content. An acknowledgement rules out those before it: for a
//! power cut, if it was durable; for everything else, as soon as it was visible.

use super::content::{Content, Snapshot, print_of};
use super::edit::{Edit, Editing};
use super::script::PROCESSES;
use parking_lot::Mutex;
use recto::{Database, Durability, Error};
use std::sync::Arc;

/// See the head of the file.
pub struct Oracle {
    contents: Vec<Arc<Content>>,
    durable: usize,
    visible: usize,
    /// Newest content of a deferred commit: up to it, what is shown need not be durable.
    deferred: usize,
    /// What each process has seen: it never sees anything older again.
    seen: [usize; PROCESSES as usize],
    /// Writes or syncs have failed: outcomes may be unknown, what was visible may be rolled back.
    pub syncs_may_fail: bool,
    /// The device refuses pages now and then, from the first to the last.
    pub device_fails: bool,
    /// Calls have failed: whatever is attempted may say so.
    pub calls_may_fail: bool,
    /// The disk may be full.
    pub disk_may_be_full: bool,
    /// Of the next write.
    pub stamp: u32,
    /// Transactions that found the disk full.
    pub found_full: u64,
    /// Single keys put or deleted.
    pub edits: u64,
}

/// The oldest content that may be seen: if what was visible may be rolled back, and if not.
#[derive(Clone, Copy)]
pub struct Horizon {
    durable: usize,
    visible: usize,
}

/// Contents that may be found.
pub type Allowed = Vec<Arc<Content>>;

/// Shared with the hook of a machine. Never locked while the engine runs.
pub type SharedOracle = Arc<Mutex<Oracle>>;

impl Oracle {
    /// A database that is new.
    pub fn new() -> Oracle {
        Oracle::holding(Arc::default(), 0)
    }

    /// A database that holds this.
    pub fn holding(content: Arc<Content>, stamp: u32) -> Oracle {
        Oracle {
            contents: vec![content],
            durable: 0,
            visible: 0,
            deferred: 0,
            seen: [0; PROCESSES as usize],
            syncs_may_fail: false,
            device_fails: false,
            calls_may_fail: false,
            disk_may_be_full: false,
            stamp,
            found_full: 0,
            edits: 0,
        }
    }

    /// What may be found after a power cut now.
    pub fn after_power_loss(&self) -> Allowed {
        self.contents[self.durable..].to_vec()
    }

    /// What may be found while the system lives.
    pub fn while_alive(&self) -> Allowed {
        self.contents[self.oldest_alive()..].to_vec()
    }

    /// What was visible may be rolled back.
    pub fn unreliable(&self) -> bool {
        self.syncs_may_fail || self.device_fails
    }

    fn oldest_alive(&self) -> usize {
        if self.unreliable() { self.durable } else { self.visible }
    }

    /// The system has lost everything but this.
    pub fn restart_from(&mut self, content: Arc<Content>) {
        let calm = Oracle::holding(content, self.stamp);
        let (disk_may_be_full, device_fails) = (self.disk_may_be_full, self.device_fails);
        let (found_full, edits) = (self.found_full, self.edits);
        *self = Oracle { disk_may_be_full, device_fails, found_full, edits, ..calm };
    }

    /// All processes are gone, and this is what the next one sees: what was not durable before is not durable now. What was
    /// built and not yet visible may follow, if the shared memory survives too.
    pub fn survived_by(&mut self, content: &Content, shared_memory_too: bool) {
        let found = self.contents[self.durable..].iter().position(|c| c.print() == content.print());
        let found = self.durable + found.unwrap_or(0);
        if !shared_memory_too {
            self.contents.truncate(found + 1);
        }
        self.visible = found;
        self.seen = [0; PROCESSES as usize];
    }

    /// The process is new and has seen nothing.
    pub fn forget_process(&mut self, p: u8) {
        self.seen[usize::from(p)] = 0;
    }

    /// The oldest that a process may see if it begins to read now; what others commit while it reads does not count.
    pub fn horizon(&self, p: u8) -> Horizon {
        Horizon {
            durable: self.durable,
            visible: self.oldest_alive().max(self.seen[usize::from(p)]),
        }
    }

    /// A process has read; what it saw is given as a fingerprint, with the horizon from before.
    pub fn reads(&mut self, p: u8, horizon: Horizon, print: u64, what: &str) -> Arc<Content> {
        let from = if self.unreliable() { horizon.durable } else { horizon.visible };
        let seen = &mut self.seen[usize::from(p)];
        let found = self.contents[from..].iter().position(|c| c.print() == print);
        let Some(found) = found else {
            let earlier = self.contents.iter().position(|c| c.print() == print);
            let known: Vec<_> = self.contents[from..].iter().map(|c| c.summary()).collect();
            panic!(
                "{what}: process {p} sees {print:016x}, {}; allowed: {known:#?}",
                earlier.map_or("which nobody made".into(), |e| format!(
                    "number {e}, older than {from}"
                ))
            );
        };
        *seen = from + found;
        self.contents[*seen].clone()
    }

    /// A reader has begun, after [`Oracle::reads`]. A durable commit is shown when it is durable, so what it saw survives a power cut.
    pub fn was_shown(&mut self, p: u8) {
        let seen = self.seen[usize::from(p)];
        if seen > self.deferred && !self.unreliable() {
            self.durable = self.durable.max(seen);
        }
    }

    fn start(&mut self, content: Content, durability: Durability) -> usize {
        self.contents.push(Arc::new(content));
        let index = self.contents.len() - 1;
        if durability == Durability::Deferred {
            self.deferred = index;
        }
        index
    }

    /// The transaction does not exist. Nobody has built another one: it held the writer lock.
    fn withdraw(&mut self, index: usize) -> Arc<Content> {
        assert_eq!(index + 1, self.contents.len(), "two writers at once");
        self.contents.pop().unwrap_or_default()
    }

    fn built(&mut self, index: usize) {
        self.visible = self.visible.max(index);
    }

    fn acknowledged(&mut self, index: usize) {
        self.durable = self.durable.max(index);
        self.built(index);
    }

    /// Whether an error is an honest one.
    pub fn forgives(&self, e: &Error) -> bool {
        match e {
            Error::OutcomeUnknown { detail } => {
                self.unreliable() || self.calls_may_fail || *detail == Error::Busy.to_string()
            }
            Error::DiskFull { .. } => self.disk_may_be_full || self.calls_may_fail,
            Error::Io { .. } | Error::TransactionBroken => self.calls_may_fail || self.device_fails,
            // Another process holds a lock and cannot move while this one runs.
            Error::Busy => true,
            _ => false,
        }
    }
}

impl Default for Oracle {
    fn default() -> Oracle {
        Oracle::new()
    }
}

/// What has become of the first half of a commit.
pub enum Built {
    /// It changed nothing, could not begin, or has failed.
    Not,
    /// It stands, and need not be made durable before it is acknowledged.
    Done,
    /// It must be made durable.
    Pending(Pending),
}

/// A built transaction that has to be made durable.
#[derive(Clone, Copy)]
pub struct Pending {
    index: usize,
    id: u64,
}

/// The first half of a commit, or, with `abort`, a transaction that is dropped.
pub fn build(
    oracle: &SharedOracle,
    p: u8,
    db: &Database,
    durability: Durability,
    edits: &[Edit],
    abort: bool,
) -> Built {
    let horizon = oracle.lock().horizon(p);
    let mut txn = match db.write() {
        Ok(txn) => txn,
        Err(e) if oracle.lock().forgives(&e) => return Built::Not,
        Err(e) => panic!("begin to write: {e}"),
    };
    let (print, _) = read_or_die(&txn, "what a writer starts from");
    let (base, mut stamp) = {
        let mut oracle = oracle.lock();
        // A writer begins from the newest that is built, visible or not: it has not *seen* it.
        let seen = oracle.seen[usize::from(p)];
        let base = oracle.reads(p, horizon, print, "a writer's base");
        oracle.seen[usize::from(p)] = seen;
        (base, oracle.stamp)
    };
    txn.set_durability(durability);
    let mut content = Content::clone(&base);
    let mut editing = Editing { txn: &mut txn, content: &mut content, stamp: &mut stamp };
    let done = edits.iter().try_for_each(|edit| edit.apply(&mut editing));
    {
        let mut oracle = oracle.lock();
        oracle.stamp = stamp;
        oracle.edits += edits.iter().map(Edit::weight).sum::<u64>();
        if let Err(e) = done {
            assert!(oracle.forgives(&e), "an edit: {e}");
            oracle.found_full += u64::from(matches!(e, Error::DiskFull { .. }));
            drop(oracle);
            // It may have been done by half.
            let built = recto::harness::build(txn, durability);
            assert!(
                matches!(built, Err(Error::TransactionBroken)),
                "a transaction is built after {e}: {built:?}"
            );
            return Built::Not;
        }
    }
    let (print, found) = read_or_die(&txn, "a transaction's own content");
    assert_eq!(print, content.print(), "a transaction sees {found}, not {}", content.summary());
    if abort {
        return Built::Not;
    }
    let index = oracle.lock().start(content, durability);
    match recto::harness::build(txn, durability) {
        Ok(Some((id, flush))) => {
            if flush {
                return Built::Pending(Pending { index, id });
            }
            oracle.lock().built(index);
            Built::Done
        }
        Ok(None) => {
            // Nothing has changed: the content is the one before.
            let same = oracle.lock().withdraw(index);
            assert!(same.print() == base.print(), "a change was not built");
            Built::Not
        }
        Err(e) => {
            let mut oracle = oracle.lock();
            assert!(oracle.forgives(&e), "build: {e}");
            oracle.found_full += u64::from(matches!(e, Error::DiskFull { .. }));
            if !matches!(e, Error::OutcomeUnknown { .. }) {
                // It did not happen, and never will.
                oracle.withdraw(index);
            }
            Built::Not
        }
    }
}

/// The second half of a commit. Whether it was acknowledged.
pub fn finish(oracle: &SharedOracle, db: &Database, pending: Pending) -> bool {
    match recto::harness::make_durable(db, pending.id) {
        Ok(()) => {
            oracle.lock().acknowledged(pending.index);
            true
        }
        Err(e) => {
            let unknown = matches!(e, Error::OutcomeUnknown { .. });
            assert!(unknown && oracle.lock().forgives(&e), "commit: {e}");
            false
        }
    }
}

/// A whole commit. Whether it was acknowledged.
pub fn commit(
    oracle: &SharedOracle,
    p: u8,
    db: &Database,
    durability: Durability,
    edits: &[Edit],
) -> bool {
    match build(oracle, p, db, durability, edits, false) {
        Built::Not => false,
        Built::Done => true,
        Built::Pending(pending) => finish(oracle, db, pending),
    }
}

/// Makes everything durable that is visible.
pub fn flush(oracle: &SharedOracle, db: &Database) -> bool {
    let visible = oracle.lock().visible;
    match db.flush() {
        Ok(()) => {
            let mut oracle = oracle.lock();
            // What was visible may have been rolled back before: then it is not what was flushed.
            if !oracle.unreliable() {
                oracle.acknowledged(visible);
            }
            true
        }
        Err(e) => {
            assert!(oracle.lock().forgives(&e), "flush: {e}");
            false
        }
    }
}

fn read_or_die(snapshot: &impl Snapshot, what: &str) -> (u64, String) {
    print_of(snapshot).unwrap_or_else(|e| panic!("{what}: {e}"))
}
