//! Commits that a thread of the handle makes durable: a future is ready when its transaction is on
//! the device, and not before; one whose flush was refused does not say that all is well; one that
//! nobody awaits is made durable all the same, before its handle is closed.

use super::{Tally, Told, bytes_of};
use fastrand::Rng;
use parking_lot::{Condvar, Mutex};
use recto::harness::sim::{Action, EventKind, ProcessOptions, SimDisk};
use recto::harness::{machine, new_file, open};
use recto::{CommitFuture, CommitReport, Database, Durability, Error, FlushKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
/// Longer than a commit takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

type Pairs = BTreeMap<u32, Vec<u8>>;

/// What the hook, on the thread that flushes, and who commits tell each other.
#[derive(Default)]
struct Meeting {
    future: Mutex<Option<CommitFuture>>,
    there: Condvar,
    /// The device was asked to write while it was ready already.
    early: Mutex<bool>,
}

struct Story<'a> {
    rng: &'a mut Rng,
    tally: &'a mut Tally,
    disk: SimDisk,
    pairs: Pairs,
    commits: u64,
}

pub(super) fn live(rng: &mut Rng, tally: &mut Tally) -> Told {
    let disk = machine(&new_file(PAGE), PAGE, rng.u64(..)).map_err(failed)?;
    let mut story = Story { rng, tally, disk, pairs: Pairs::new(), commits: 0 };
    for _ in 0..story.rng.u32(1..4) {
        story.session()?;
    }
    Ok(())
}

fn failed(e: Error) -> String {
    e.to_string()
}

impl Story<'_> {
    fn enter(&self) -> Result<Database, String> {
        open(self.disk.process(ProcessOptions::default()), &Database::builder())
            .map_err(|e| format!("opening: {e}"))
    }

    /// Some commits of one handle.
    fn session(&mut self) -> Told {
        let db = self.enter()?;
        for _ in 0..self.rng.u32(1..5) {
            match self.rng.u32(..3) {
                0 => self.unheard(&db)?,
                _ => self.commit(&db)?,
            }
        }
        if self.rng.bool() {
            return self.refused(db);
        }
        // Nobody awaits the last one: who closes does, or who drops the last handle, for a while.
        let (mut txn, after) = self.change(&db)?;
        txn.set_durability(Durability::Durable);
        self.disk.set_hook(|_, event| {
            if matches!(event.kind, EventKind::SyncBegin { .. }) {
                std::thread::sleep(Duration::from_millis(10));
            }
            Action::Continue
        });
        drop(txn.commit_async());
        match self.rng.bool() {
            true => db.close().map_err(|e| format!("closing: {e}"))?,
            false => drop(db),
        }
        let cut = self.disk.cut_point();
        self.disk.clear_hook();
        self.pairs = after;
        self.holds(&cut, "behind a handle that is closed")
    }

    /// A transaction that changes something, and what is there behind it.
    fn change(&mut self, db: &Database) -> Result<(recto::WriteTxn, Pairs), String> {
        let mut after = self.pairs.clone();
        let mut work = || {
            let mut txn = db.write()?;
            let mut table = txn.open_table("main")?;
            for _ in 0..self.rng.u32(1..12) {
                self.commits += 1;
                let key = self.rng.u32(..100);
                let value = bytes_of(self.commits, [20, 700, 5_000][self.rng.usize(..3)]);
                table.put(&key.to_be_bytes(), &value)?;
                after.insert(key, value);
            }
            Ok(txn)
        };
        let txn = work().map_err(|e: Error| format!("a change: {e}"))?;
        Ok((txn, after))
    }

    fn meet(&mut self, refuses: bool) -> Arc<Meeting> {
        let meeting = Arc::<Meeting>::default();
        let (met, here) = (Arc::clone(&meeting), std::thread::current().id());
        self.disk.set_hook(move |_, event| {
            if !matches!(event.kind, EventKind::SyncBegin { .. }) {
                return Action::Continue;
            }
            // Where it is too large to be flushed later there is no future yet.
            if std::thread::current().id() != here {
                let mut future = met.future.lock();
                if future.is_none() {
                    met.there.wait_for(&mut future, Duration::from_secs(60));
                }
                *met.early.lock() |= future.as_ref().is_some_and(CommitFuture::is_ready);
            }
            if refuses { Action::Fail(libc::EIO) } else { Action::Continue }
        });
        meeting
    }

    /// Gives the future to the thread that flushes, and waits for it.
    fn outcome(&self, meeting: &Meeting, future: CommitFuture) -> Result<CommitReport, Error> {
        *meeting.future.lock() = Some(future);
        meeting.there.notify_all();
        while !meeting.future.lock().as_ref().is_none_or(CommitFuture::is_ready) {
            std::thread::sleep(Duration::from_micros(100));
        }
        let future = meeting.future.lock().take();
        future.map_or(Err(Error::TransactionBroken { path: None }), CommitFuture::wait)
    }

    fn commit(&mut self, db: &Database) -> Told {
        let (mut txn, after) = self.change(db)?;
        let deferred = self.rng.bool();
        txn.set_durability(if deferred { Durability::Deferred } else { Durability::Durable });
        let id = txn.id();
        self.tally.background += 1;
        let meeting = self.meet(false);
        let future = txn.commit_async();
        let outcome = self.outcome(&meeting, future);
        let cut = self.disk.cut_point();
        self.disk.clear_hook();
        let report = outcome.map_err(|e| format!("a commit where nothing fails: {e}"))?;
        if *meeting.early.lock() {
            return Err("it is acknowledged before the device has it".into());
        }
        if report.id.is_none_or(|given| given < id) || report.flush == FlushKind::None {
            return Err(format!("transaction {id} is reported as {report:?}"));
        }
        self.pairs = after;
        self.holds(&cut, "what is acknowledged")?;
        self.shows(db, "behind it")
    }

    /// Nobody awaits it.
    fn unheard(&mut self, db: &Database) -> Told {
        let (mut txn, after) = self.change(db)?;
        txn.set_durability(Durability::Durable);
        let id = txn.id();
        self.tally.background += 1;
        drop(txn.commit_async());
        let end = Instant::now() + PATIENCE;
        while db.info().map_err(failed)?.durable < id {
            if Instant::now() >= end {
                return Err("a commit that nobody awaits does not become durable".into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        self.pairs = after;
        let cut = self.disk.cut_point();
        self.holds(&cut, "a commit that nobody awaits, and that is durable,")
    }

    /// Every flush is refused from one commit on: it does not say that all is well.
    fn refused(&mut self, db: Database) -> Told {
        let (txn, after) = self.change(&db)?;
        self.tally.refused_flushes += 1;
        let meeting = self.meet(true);
        let future = txn.commit_async();
        let outcome = self.outcome(&meeting, future);
        self.disk.clear_hook();
        if let Ok(report) = outcome {
            return Err(format!("the device has refused it, and it is told {report:?}"));
        }
        // It may be there, or not, as a whole.
        let before = self.pairs.clone();
        let _ = db.close();
        let cut = self.disk.cut_point().boot(self.rng.u64(..)).map_err(failed)?;
        let found = self.content(&cut)?;
        if found != before && found != after {
            return Err("behind a refused flush there is neither the one nor the other".into());
        }
        self.pairs = found;
        self.disk = cut;
        Ok(())
    }

    fn content(&self, disk: &SimDisk) -> Result<Pairs, String> {
        let db = open(disk.process(ProcessOptions::default()), &Database::builder())
            .map_err(|e| format!("opening: {e}"))?;
        let report = db.check(None).map_err(failed)?;
        if report.fault_count > 0 {
            return Err(format!("the check finds {:?}", report.faults.first()));
        }
        pairs_of(&db)
    }

    /// However the power fails at this moment.
    fn holds(&mut self, cut: &recto::harness::sim::CutPoint, what: &str) -> Told {
        for seed in [0, 1, self.rng.u64(13..)] {
            let disk = cut.boot(seed).map_err(failed)?;
            if self.content(&disk)? != self.pairs {
                return Err(format!("{what} is lost in a cut"));
            }
        }
        Ok(())
    }

    fn shows(&self, db: &Database, what: &str) -> Told {
        match pairs_of(db)? == self.pairs {
            true => Ok(()),
            false => Err(format!("{what} something else is shown")),
        }
    }
}

fn pairs_of(db: &Database) -> Result<Pairs, String> {
    let read = || {
        let txn = db.read()?;
        let Some(table) = txn.table_opt("main")? else { return Ok(Pairs::new()) };
        let mut pairs = Pairs::new();
        for pair in table.iter()? {
            let (key, value) = pair?;
            let key = key.first_chunk().copied().unwrap_or([0xff; 4]);
            pairs.insert(u32::from_be_bytes(key), value.to_vec());
        }
        Ok(pairs)
    };
    read().map_err(failed)
}
