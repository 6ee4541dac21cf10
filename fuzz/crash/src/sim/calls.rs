//! What a process asks of the engine, side by side with the oracle.

use super::causes::During;
use super::content::{Content, Shown, Snapshot, print_of};
use super::edit::{Edit, Editing, Saved};
use super::oracle::SharedOracle;
use super::script::Setup;
use recto::{Database, Durability, Error, FlushKind, Info, ReadTxn, WriteTxn};
use std::sync::Arc;

/// A write transaction that has begun, with its model.
pub struct Writing {
    txn: WriteTxn,
    base: Arc<Content>,
    content: Content,
    saved: Saved,
}

/// What has become of the first half of a commit.
pub enum Built {
    /// It changed nothing, or has failed.
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

/// Begins to write; none if it cannot.
pub fn begin(oracle: &SharedOracle, p: u8, db: &Database) -> Option<Writing> {
    let horizon = oracle.lock().horizon(p);
    let txn = match db.write() {
        Ok(txn) => txn,
        Err(e) => {
            assert!(oracle.lock().forgives(&e, During::Begin), "begin to write: {e}");
            return None;
        }
    };
    let (print, _) = read_or_die(&txn, "what a writer starts from");
    let base = oracle.lock().begins(p, horizon, print);
    Some(Writing { txn, content: base.begin(), base, saved: Saved::default() })
}

impl Writing {
    /// Changes something; none if that failed, which ends the transaction.
    pub fn edited(mut self, oracle: &SharedOracle, edits: &[Edit]) -> Option<Writing> {
        let mut stamp = oracle.lock().stamp;
        let (txn, content, saved) = (&mut self.txn, &mut self.content, &mut self.saved);
        let doubtful = oracle.lock().causes.pages_lost;
        let was_reliable = !oracle.lock().unreliable();
        let mut editing = Editing { txn, content, saved, stamp: &mut stamp, doubtful };
        let done = edits.iter().try_for_each(|edit| edit.apply(&mut editing));
        // Of what has failed for want of room, or by a refusal, all since a savepoint is undone.
        let undone = match &done {
            Err(Error::DiskFull { .. } | Error::Io { .. }) => editing.undo(),
            _ => Ok(false),
        };
        {
            let mut oracle = oracle.lock();
            oracle.stamp = stamp;
            oracle.edits += edits.iter().map(Edit::weight).sum::<u64>();
        }
        if let Err(e) = done {
            {
                let mut oracle = oracle.lock();
                assert!(oracle.forgives(&e, During::Edit), "an edit: {e}");
                oracle.found_full += u64::from(matches!(e, Error::DiskFull { .. }));
            }
            match undone {
                Ok(true) => {
                    // A full disk loses nothing, wherever it was met.
                    let same = |seen: Result<(u64, String), String>| {
                        seen.is_ok_and(|(print, _)| print == self.content.print())
                    };
                    let full = matches!(e, Error::DiskFull { .. }) && was_reliable;
                    assert!(!full || same(print_of(&self.txn)), "what {e} is undone leaves");
                    return self.looked_at(oracle);
                }
                Ok(false) => {}
                Err(e) => {
                    assert!(oracle.lock().forgives(&e, During::Edit), "an edit is undone: {e}");
                }
            }
            if matches!(e, Error::Corrupt { .. }) {
                return None;
            }
            // It may have been done by half.
            let built = recto::harness::build(self.txn, Durability::Durable);
            assert!(
                matches!(built, Err(Error::TransactionBroken { .. })),
                "a transaction is built after {e}: {built:?}"
            );
            return None;
        }
        self.looked_at(oracle)
    }

    /// Sees its own changes. What the device has refused, and the page cache has lost, it cannot
    /// see: an error then, and none of it is ever committed.
    pub fn looked_at(self, oracle: &SharedOracle) -> Option<Writing> {
        match print_of(&self.txn) {
            Ok((print, found)) => {
                let expected = self.content.summary();
                let same = print == self.content.print();
                let right = same || oracle.lock().causes.pages_lost;
                assert!(right, "a transaction sees {found}, not {expected}");
                Some(self)
            }
            Err(_) if oracle.lock().unreliable() => None,
            Err(e) => panic!("a transaction's own content: {e}"),
        }
    }

    fn changes_nothing(&self) -> bool {
        self.content.print() == self.base.print()
    }

    /// The first half of a commit.
    pub fn build(self, oracle: &SharedOracle, durability: Durability) -> Built {
        let same = self.changes_nothing();
        let index = oracle.lock().start(self.content, durability);
        match recto::harness::build(self.txn, durability) {
            Ok(Some((id, true))) => Built::Pending(Pending { index, id }),
            Ok(Some((_, false))) => {
                oracle.lock().built(index);
                Built::Done
            }
            Ok(None) => {
                assert!(same, "a change was not built");
                oracle.lock().nothing_built(index);
                Built::Not
            }
            Err(e) => {
                failed(oracle, index, &e, During::Commit);
                Built::Not
            }
        }
    }

    /// A whole commit. Whether it was acknowledged.
    pub fn commit(mut self, oracle: &SharedOracle, durability: Durability) -> bool {
        let same = self.changes_nothing();
        let index = oracle.lock().start(self.content, durability);
        self.txn.set_durability(durability);
        let done = match self.txn.id() % 3 {
            1 => reported(self.txn, durability, same),
            _ => self.txn.commit(),
        };
        match (&done, durability) {
            // Perhaps it was built, perhaps not: what is there is the same.
            (Ok(()), _) if same => oracle.lock().nothing_built(index),
            (Ok(()), Durability::Durable) => oracle.lock().acknowledged(index),
            (Ok(()), _) => oracle.lock().built(index),
            (Err(e), _) => failed(oracle, index, e, During::Commit),
        }
        done.is_ok() && !same
    }
}

/// A commit that says what it has done.
fn reported(txn: WriteTxn, durability: Durability, same: bool) -> recto::Result<()> {
    let id = txn.id();
    let report = txn.commit_with_report()?;
    let right = match report.id {
        None => same && report.pages_written == 0,
        Some(given) => {
            let flushed = durability == Durability::Deferred || report.flush != FlushKind::None;
            // Who drops the last table writes nothing but the meta page.
            given >= id && report.pages_written + report.pages_freed > 0 && flushed
        }
    };
    assert!(right, "transaction {id}, {durability:?}, is reported as {report:?}");
    Ok(())
}

/// A commit has failed: unless its outcome is unknown it has not happened.
fn failed(oracle: &SharedOracle, index: usize, e: &Error, during: During) {
    let mut oracle = oracle.lock();
    assert!(oracle.forgives(e, during), "commit: {e}");
    if !matches!(e, Error::OutcomeUnknown { .. }) {
        oracle.withdraw(index, e);
    }
}

/// The second half of a commit. Whether it was acknowledged.
pub fn finish(oracle: &SharedOracle, db: &Database, pending: Pending) -> bool {
    let done = recto::harness::make_durable(db, pending.id);
    match &done {
        Ok(()) => oracle.lock().acknowledged(pending.index),
        Err(e) => {
            oracle.lock().doubted(pending.index);
            failed(oracle, pending.index, e, During::Settle);
        }
    }
    done.is_ok()
}

/// A transaction from its begin to its acknowledgement. Whether it was.
pub fn commit(
    oracle: &SharedOracle,
    p: u8,
    db: &Database,
    durability: Durability,
    edits: &[Edit],
) -> bool {
    let writing = begin(oracle, p, db).and_then(|writing| writing.edited(oracle, edits));
    writing.is_some_and(|writing| writing.commit(oracle, durability))
}

/// Makes everything durable that is visible.
pub fn flush(oracle: &SharedOracle, db: &Database) -> bool {
    let visible = oracle.lock().visible();
    match db.flush() {
        Ok(()) => {
            // What was visible may have been rolled back before: then it is not what was flushed.
            let unreliable = oracle.lock().unreliable();
            match unreliable {
                true => look_at_flushed(oracle, db),
                false => oracle.lock().acknowledged(visible),
            }
            true
        }
        Err(e) => {
            assert!(oracle.lock().forgives(&e, During::Flush), "flush: {e}");
            false
        }
    }
}

/// What a flush has made durable, if that can be told: others may have their turn meanwhile.
fn look_at_flushed(oracle: &SharedOracle, db: &Database) {
    let Ok(txn) = db.read() else { return };
    let (Ok((print, _)), Ok(info)) = (print_of(&txn), db.info()) else { return };
    if info.durable == txn.id() && info.built == txn.id() && !info.repair_pending {
        oracle.lock().flushed(print);
    }
}

/// Begins to read: the snapshot, its fingerprint, and whether it was durable.
pub fn read(
    oracle: &SharedOracle,
    setup: &Setup,
    p: u8,
    db: &Database,
) -> Option<(ReadTxn, u64, bool)> {
    let horizon = oracle.lock().horizon(p);
    let txn = match db.read() {
        Ok(txn) => txn,
        Err(e) => {
            assert!(oracle.lock().forgives(&e, During::Read), "read: {e}");
            return None;
        }
    };
    let info = db.info().ok();
    if let Some(info) = &info {
        let Info { durable, visible, built, .. } = *info;
        assert!(durable <= visible && visible <= built, "D {durable}, V {visible}, W {built}");
    }
    // What an opening has found stands in the page cache; it is made durable before the first
    // write, and not for readers.
    let found = info.as_ref().is_some_and(|info| info.repair_pending);
    let durable = info.is_some_and(|info| info.durable >= txn.id());
    let seen = print_of(&txn);
    if !durable && oracle.lock().unreliable() {
        // The device may have refused its pages, and the cache may have lost them: beyond the fault
        // budget.
        return seen.ok().map(|(print, _)| (txn, print, false));
    }
    let (print, _) = seen.unwrap_or_else(|e| panic!("a new snapshot: {e}"));
    // Where parts of the lock file may be older, nobody knows exactly any more.
    if setup.unproved > 0 && setup.remember == 0 && !durable {
        let limit = setup.unproved * setup.page_size as u64;
        let unproved = recto::harness::unproved_bytes(db);
        assert!(unproved.is_none_or(|n| n <= limit), "{unproved:?} bytes to prove, of {limit}");
    }
    {
        let mut oracle = oracle.lock();
        oracle.reads(p, horizon, print, "a reader");
        oracle.shown(txn.id(), print, found);
        if !found {
            oracle.was_shown(p);
        }
    }
    Some((txn, print, durable))
}

/// Begins to read the first of the named snapshots, if there is one.
pub fn read_named(oracle: &SharedOracle, db: &Database) -> Option<(ReadTxn, u64, bool)> {
    let forgiven = |e: &Error| assert!(oracle.lock().forgives(e, During::Read), "read: {e}");
    // As what a snapshot holds, its list may be lost with pages that a device has refused.
    let lost = |e: &Error| {
        let durable = db.info().is_ok_and(|info| info.durable >= info.visible);
        matches!(e, Error::Corrupt { .. }) && !durable && oracle.lock().unreliable()
    };
    let list = match db.snapshots() {
        Err(e) if lost(&e) => return None,
        other => other.inspect_err(forgiven).ok()?,
    };
    let txn = match db.read_snapshot(&list.first()?.name) {
        // Somebody has dropped it meanwhile.
        Err(Error::NoSuchSnapshot(_)) => return None,
        Err(e) if lost(&e) => return None,
        other => other.inspect_err(forgiven).ok()?,
    };
    let durable = db.info().is_ok_and(|info| info.durable >= txn.id());
    match print_of(&txn) {
        Ok((print, _)) => Some((txn, print, durable)),
        Err(_) if !durable && oracle.lock().unreliable() => None,
        Err(e) => panic!("a named snapshot: {e}"),
    }
}

/// The database has the named snapshots of a content, and each shows what it did.
pub fn assert_named(db: &Database, content: &Content, what: &dyn Fn() -> String) {
    let list = db.snapshots().unwrap_or_else(|e| panic!("{}: snapshots: {e}", what()));
    let expected: Vec<(String, u64)> = content.named().collect();
    let names = expected.iter().map(|(name, _)| name);
    assert!(list.iter().map(|info| &info.name).eq(names), "{}: {list:?}", what());
    for (name, print) in expected {
        let shown: Shown =
            db.read_snapshot(&name).map_err(|e| e.to_string()).and_then(|txn| print_of(&txn));
        match shown {
            Ok((found, _)) if found == print => {}
            Ok((_, found)) => panic!("{}: {name} shows {found}", what()),
            Err(e) => panic!("{}: {name}: {e}", what()),
        }
    }
}

fn read_or_die(snapshot: &impl Snapshot, what: &str) -> (u64, String) {
    print_of(snapshot).unwrap_or_else(|e| panic!("{what}: {e}"))
}
