//! Commits that a thread of the handle makes durable: a future is ready when its transaction is on
//! the device, and not before; one whose flush was refused does not say that all is well; one that
//! nobody awaits is made durable all the same, before its handle is closed. A deferred one is
//! visible when the call returns, one that changed nothing awaits what it has found, and while a
//! flush takes long no more is built than is said. Who follows commits hears what a cut has taken.

use super::{Tally, Told, bytes_of};
use fastrand::Rng;
use parking_lot::{Condvar, Mutex};
use recto::harness::sim::{Action, Deadlock, EventKind, ProcessOptions, SimDisk, SimOptions};
use recto::harness::{SHARED_LEN, machine, new_file, open};
use recto::{CommitFuture, CommitReport, Database, Durability, Error, FlushKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
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
    match story.rng.u32(..4) {
        0 => crowd(story.rng),
        _ => Ok(()),
    }
}

/// A flush takes long, and a thread commits on and on without waiting: it waits all the same before
/// more is built than an opening proves.
fn crowd(rng: &mut Rng) -> Told {
    let mut options = SimOptions::new(rng.u64(..), SHARED_LEN);
    options.on_deadlock = Deadlock::Threads;
    let disk = SimDisk::from_image(&new_file(PAGE), options).map_err(failed)?;
    let mut builder = Database::builder();
    let limit = rng.u64(8..40);
    builder.unproved_limit(limit * PAGE as u64);
    let db = open(disk.process(ProcessOptions::default()), &builder).map_err(failed)?;
    let durability = match rng.bool() {
        true => Durability::Durable,
        false => Durability::Deferred,
    };
    // What an opening leaves to the first transaction is not what is held.
    let first = db.write().and_then(|mut txn| {
        txn.open_table("main")?;
        txn.commit()
    });
    first.map_err(failed)?;
    let (reach, reached) = channel();
    let (go, gone) = channel::<()>();
    let first = Mutex::new(Some((reach, gone)));
    disk.set_hook(move |_, event| {
        if matches!(event.kind, EventKind::SyncBegin { .. })
            && let Some((reach, gone)) = first.lock().take()
        {
            let _ = reach.send(());
            let _ = gone.recv();
        }
        Action::Continue
    });
    let change = |n: u64, durability| {
        let mut txn = db.write()?;
        txn.set_durability(durability);
        txn.open_table("main")?.put(b"key", &n.to_be_bytes())?;
        Ok::<_, Error>(txn.commit_async())
    };
    let built = AtomicU64::new(0);
    // Each takes the leaf of the table and that of the catalog.
    let most = limit / 2 + 2;
    let futures = std::thread::scope(|scope| {
        let held = change(0, Durability::Durable).map_err(failed)?;
        reached.recv_timeout(PATIENCE).map_err(|_| "nobody flushes")?;
        let thread = scope.spawn(|| {
            let commits = (1..=3 * most).map(|n| {
                let commit = change(n, durability);
                built.fetch_add(1, Ordering::SeqCst);
                commit
            });
            commits.collect::<Result<Vec<_>, Error>>()
        });
        let end = Instant::now() + Duration::from_millis(30);
        while Instant::now() < end && built.load(Ordering::SeqCst) <= most {
            std::thread::sleep(Duration::from_micros(200));
        }
        let count = built.load(Ordering::SeqCst);
        drop(go);
        let mut futures = thread.join().map_err(|_| "a thread that commits")?.map_err(failed)?;
        futures.push(held);
        match count <= most {
            true => Ok(futures),
            false => Err(format!("{count} commits while a flush takes long, and not {most}")),
        }
    })?;
    for future in futures {
        future.wait().map_err(|e| format!("where nothing fails: {e}"))?;
    }
    disk.clear_hook();
    let db = open(
        disk.cut_point().boot(0).map_err(failed)?.process(ProcessOptions::default()),
        &builder,
    );
    let txn = db.and_then(|db| db.read()).map_err(failed)?;
    let found =
        txn.table("main").and_then(|t| Ok(t.get(b"key")?.map(<[u8]>::to_vec))).map_err(failed)?;
    match found.as_deref() == Some(&(3 * most).to_be_bytes()[..]) {
        true => Ok(()),
        false => Err(format!("the last of {} commits is lost in a cut", 3 * most)),
    }
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
            match self.rng.u32(..4) {
                0 => self.unheard(&db)?,
                1 => self.unchanged(&db)?,
                _ => self.commit(&db)?,
            }
        }
        match self.rng.u32(..4) {
            0 | 1 => return self.refused(db),
            2 => return self.followed(db),
            _ => {}
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
        let visible = db.read().map_err(failed)?.id();
        let outcome = self.outcome(&meeting, future);
        let cut = self.disk.cut_point();
        self.disk.clear_hook();
        if deferred && visible < id {
            return Err(format!("{id} is deferred, and {visible} is visible when it returns"));
        }
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

    /// A transaction that finds what is not durable, and changes nothing because of that.
    fn unchanged(&mut self, db: &Database) -> Told {
        let (mut txn, after) = self.change(db)?;
        txn.set_durability(Durability::Deferred);
        txn.commit().map_err(failed)?;
        self.pairs = after;
        self.tally.background += 1;
        let mut txn = db.write().map_err(failed)?;
        txn.set_durability(match self.rng.bool() {
            true => Durability::Durable,
            false => Durability::Deferred,
        });
        let outcome = txn.commit_async().wait();
        let cut = self.disk.cut_point();
        match outcome.map_err(failed)?.id {
            None => self.holds(&cut, "what an acknowledged transaction has found"),
            Some(id) => Err(format!("{id} has changed nothing")),
        }
    }

    /// A cut takes what a follower has seen, or does not, and the follower goes on behind it.
    fn followed(&mut self, db: Database) -> Told {
        let (mut txn, after) = self.change(&db)?;
        txn.set_durability(Durability::Deferred);
        txn.commit().map_err(failed)?;
        if self.rng.bool() {
            db.flush().map_err(failed)?;
        }
        let seen = db.read().map_err(failed)?.id();
        self.disk = self.disk.cut_point().boot(self.rng.u64(..)).map_err(failed)?;
        drop(db);
        let found = self.content(&self.disk)?;
        if found != self.pairs && found != after {
            return Err("behind a cut there is neither the one nor the other".into());
        }
        self.pairs = found;
        let db = self.enter()?;
        let now = db.read().map_err(failed)?.id();
        let mut changes = db.changes_since(seen);
        for (from, to) in [(seen, now), (now, now)] {
            let told = changes.wait(Some(Duration::ZERO)).map_err(failed)?;
            let told = told.map_or((from, from), |told| (told.from(), told.to()));
            if told != (from, to) {
                return Err(format!("{now} is visible behind {from}, and {told:?} is told"));
            }
        }
        Ok(())
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
