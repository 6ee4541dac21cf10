//! Pages that the device refuses and that leave the page cache, before anybody is told, while
//! somebody is, or after it; and processes that die just then. Whoever writes next must not build
//! on what came back: no content may become durable, or be shown by an opening, that no transaction
//! ever had, and no acknowledged durable commit may be missing.
//!
//! A life is a short story on a simulated machine: durable commits, deferred ones, a piece of
//! trouble, and commits of those who are left, or who come. What is read while nobody who writes
//! knows of the trouble is not judged: a reader cannot know.

use crate::alive::Alive;
use fastrand::Rng;
use recto::harness::sim::{Action, Ending, EventKind, Faults, ProcessOptions, SimDisk, run};
use recto::harness::{is_log_page, log_heads, machine, make_durable, new_file, open};
use recto::{Builder, Database, Durability, Error, Sink, WriteTxn};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PAGE: usize = 4096;

/// Keys, with the number of the commit that put each.
type Content = BTreeMap<u32, u32>;

/// What a transaction asks for: a key, and the number of the commit that puts it.
#[derive(Clone, Copy, Debug)]
enum Change {
    Put(u32, u32),
    PutIfAbsent(u32, u32),
    Delete(u32),
}

impl Change {
    fn apply(self, content: &mut Content) {
        match self {
            Change::Put(key, commit) => drop(content.insert(key, commit)),
            Change::PutIfAbsent(key, commit) => drop(content.entry(key).or_insert(commit)),
            Change::Delete(key) => drop(content.remove(&key)),
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Nobody is told before the pages are gone.
    Untold,
    /// A program that is not recto is told.
    StrangerTold,
    /// Who flushes is told, and dies before it can say so; another one had begun a transaction.
    ToldAndDies,
    /// Who flushes is told; then it dies in its repair, at some step, and nobody is left.
    DiesInRepair,
    /// Nothing fails; who flushes dies at some step; another one had begun a transaction.
    DiesInFlush,
    /// A page rots that the last commits have written, or a meta page; nobody has it open. Readers
    /// come and go before anybody writes.
    Rots,
    /// Between two looks of somebody who waits for its commit, others are told, repair and commit.
    BetweenLooks,
    /// A transaction reads a value that it has put on pages of its own, and puts what it has read;
    /// these are refused before it reads, or while it holds what it reads.
    ReadsOwn,
    /// Values that a transaction has put on pages of their own are refused before it is built, and
    /// only a stranger is told; somebody opens the database just then, and leads the flush.
    OpenedBesideWriter,
}

/// All of them.
pub const TROUBLES: [Trouble; 9] = [
    Trouble::Untold,
    Trouble::StrangerTold,
    Trouble::ToldAndDies,
    Trouble::DiesInRepair,
    Trouble::DiesInFlush,
    Trouble::Rots,
    Trouble::BetweenLooks,
    Trouble::ReadsOwn,
    Trouble::OpenedBesideWriter,
];

/// What has been done.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub lives: u64,
    /// Lives in which pages had been refused and left the cache.
    pub lost: u64,
    /// Lives in which what was not durable was taken back.
    pub taken_back: u64,
    /// Processes that died.
    pub deaths: u64,
}

/// Lives from this seed on; the first that goes wrong ends it.
pub fn campaign(seed: u64, lives: u64, stop: &AtomicBool) -> Result<Tally, String> {
    let alive = Alive::new();
    let mut tally = Tally::default();
    for seed in (seed..).take(lives as usize) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        Life::new(seed).live(&mut tally).map_err(|what| format!("seed {seed}: {what}"))?;
        tally.lives += 1;
        alive.tell(|| format!("{} lives", tally.lives));
    }
    Ok(tally)
}

struct Life {
    rng: Rng,
    disk: SimDisk,
    builder: Builder,
    sink: Sink,
    /// What the database may hold now: what is durable, and what is shown.
    may_hold: BTreeSet<Content>,
    commits: u32,
    /// Bytes of a value.
    value_len: usize,
    /// Who does nothing any more, and is not gone: who goes flushes first.
    idle: Vec<Database>,
    /// The device has refused something.
    refused: bool,
    /// And it was not durable.
    lost: bool,
    deaths: u64,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut rng = Rng::with_seed(seed);
        let disk = machine(&new_file(PAGE), PAGE, seed).expect("memory suffices");
        let sink = if rng.u32(..4) == 0 { Sink::Direct } else { Sink::Staged };
        let mut builder = Database::builder();
        builder.sink(sink);
        if rng.bool() {
            builder.list_limit(rng.usize(30..200));
        }
        let value_len = [60, 700][rng.usize(..2)];
        let may_hold = BTreeSet::from([Content::new()]);
        Life {
            rng,
            disk,
            builder,
            sink,
            may_hold,
            commits: 0,
            value_len,
            idle: Vec::new(),
            refused: false,
            lost: false,
            deaths: 0,
        }
    }

    fn enter(&self) -> Result<Database, String> {
        let direct = self.sink == Sink::Direct;
        let process = self.disk.process(ProcessOptions { direct, ..Default::default() });
        open(process, &self.builder).map_err(|e| format!("opening: {e}"))
    }

    /// Changes some keys, or finds that nothing is to be changed; notes what was asked for.
    fn fill(&mut self, txn: &mut WriteTxn, keys: u32) -> Result<Vec<Change>, Error> {
        self.commits += 1;
        let mut table = txn.open_table("main")?;
        let mut value = vec![7; self.value_len];
        value[..4].copy_from_slice(&self.commits.to_le_bytes());
        let mut changes = Vec::new();
        for _ in 0..keys {
            let there: Vec<u32> = self.may_hold.iter().flat_map(|c| c.keys().copied()).collect();
            // A single one is often none: a key that is there, or should be.
            let key = match there.is_empty() || keys > 1 || self.rng.bool() {
                true => self.rng.u32(..200),
                false => there[self.rng.usize(..there.len())],
            };
            let bytes = key.to_be_bytes();
            let rare = [4, 8, 60][usize::from(keys > 1) + usize::from(keys > 10)];
            changes.push(match self.rng.u32(..rare) {
                0 | 1 => {
                    table.delete(&bytes)?;
                    Change::Delete(key)
                }
                2 => {
                    if !table.contains_key(&bytes)? {
                        table.put(&bytes, &value)?;
                    }
                    Change::PutIfAbsent(key, self.commits)
                }
                _ => {
                    table.put(&bytes, &value)?;
                    Change::Put(key, self.commits)
                }
            });
        }
        Ok(changes)
    }

    /// What the outcome of a commit says about the content.
    fn note(
        &mut self,
        changes: &[Change],
        durability: Durability,
        outcome: &Result<(), Error>,
    ) -> Result<(), String> {
        let with = |content: &Content| {
            let mut content = content.clone();
            changes.iter().for_each(|change| change.apply(&mut content));
            content
        };
        let after: BTreeSet<Content> = self.may_hold.iter().map(with).collect();
        match outcome {
            // Without a failure of the device a deferred one stays too.
            Ok(()) if durability == Durability::Durable || !self.refused => self.may_hold = after,
            Ok(()) | Err(Error::OutcomeUnknown { .. }) => self.may_hold.extend(after),
            Err(
                Error::Io { .. } | Error::Corrupt { .. } | Error::TransactionBroken | Error::Busy,
            ) => {}
            Err(e) => return Err(format!("an error that has no cause: {e}")),
        }
        Ok(())
    }

    fn commit(&mut self, db: &Database, durability: Durability) -> Result<bool, String> {
        let keys = self.rng.u32(1..6);
        let mut put = Vec::new();
        let mut work = || {
            let mut txn = db.write()?;
            txn.set_durability(durability);
            put = self.fill(&mut txn, keys)?;
            txn.commit()
        };
        let outcome = work();
        self.note(&put, durability, &outcome)?;
        Ok(outcome.is_ok())
    }

    /// Without trouble.
    fn must(&mut self, db: &Database, durability: Durability) -> Result<(), String> {
        match self.commit(db, durability)? {
            true => Ok(()),
            false => Err("a commit without trouble fails".into()),
        }
    }

    /// The device refuses what is dirty.
    fn refuse(&mut self) {
        self.disk.write_back_all(true);
        self.refused = true;
        self.lost |= !self.disk.lost_pages().is_empty();
    }

    fn live(mut self, tally: &mut Tally) -> Result<(), String> {
        let trouble = TROUBLES[self.rng.usize(..TROUBLES.len())];
        self.live_with(trouble, tally).map_err(|what| format!("{trouble:?}: {what}"))?;
        if self.rng.u32(..20) == 0 {
            self.many_roll_backs().map_err(|what| format!("many roll-backs: {what}"))?;
        }
        if self.rng.u32(..1_000) == 0 {
            self.log_refused().map_err(|what| format!("refused free log: {what}"))?;
        }
        if self.rng.u32(..10) == 0 {
            self.flush_answers().map_err(|what| format!("what a flush says: {what}"))?;
        }
        if self.rng.u32(..10) == 0 {
            self.own_refused().map_err(|what| format!("own pages refused: {what}"))?;
        }
        Ok(())
    }

    /// More roll-backs in a row than the shared memory tells apart, by flushes that are refused;
    /// then a deferred commit, and the death of all. The device takes everything by then.
    fn many_roll_backs(&mut self) -> Result<(), String> {
        self.disk = machine(&new_file(PAGE), PAGE, self.rng.u64(..)).expect("memory suffices");
        (self.refused, self.may_hold) = (false, BTreeSet::from([Content::new()]));
        let db = self.enter()?;
        for round in 0..self.rng.u32(6..14) {
            if round == 1 || self.rng.u32(..6) == 0 {
                self.must(&db, Durability::Durable)?;
            }
            // One that changes something: else nobody is told of the refusal before the end.
            let mut put = || {
                let mut txn = db.write()?;
                txn.set_durability(Durability::Deferred);
                self.put_new(&mut txn)?;
                txn.commit()
            };
            put().map_err(|e: Error| format!("a deferred commit: {e}"))?;
            self.refuse();
            let _ = db.flush();
            self.disk.evict();
            // The first may still be told; the next repairs.
            let repaired = (0..3).any(|_| db.write().is_ok());
            if !repaired {
                return Err("nobody repairs".into());
            }
            self.refused = false;
            self.may_hold = BTreeSet::from([self.content(&db)?]);
        }
        self.must(&db, Durability::Deferred)?;
        self.disk.restart_os_alive(true).map_err(|e| e.to_string())?;
        let next = self.enter()?;
        self.judge(&next, "after the death of all, no device having failed since,")?;
        next.flush().map_err(|e| format!("a flush of what is sound: {e}"))
    }

    /// Large values come and go, so that what is free stands in log pages. Then a transaction
    /// begins on deferred commits, and the device refuses one log page, in the place of which an
    /// older one was durable: that names pages which are in use. Whether the transaction ends or is
    /// dropped, nothing durable is touched.
    fn log_refused(&mut self) -> Result<(), String> {
        self.disk = machine(&new_file(PAGE), PAGE, self.rng.u64(..)).expect("memory suffices");
        (self.refused, self.may_hold) = (false, BTreeSet::from([Content::new()]));
        self.builder = Database::builder();
        self.builder.sink(self.sink);
        self.builder.free_limit(self.rng.usize(75..90));
        let db = self.enter()?;
        for _ in 0..100 {
            self.churn(&db, Durability::Durable, 40)?;
        }
        for _ in 0..60 {
            self.churn(&db, Durability::Durable, 40)?;
            db.flush().map_err(|e| format!("a flush without trouble: {e}"))?;
            let durable = self.disk.bytes();
            let mut may_hold = self.may_hold.clone();
            let is_log = |page: u64| {
                let bytes = durable.get(page as usize * PAGE..).unwrap_or_default();
                is_log_page(bytes)
            };
            let mut log = None;
            for _ in 0..self.rng.u32(1..6) {
                let puts = self.rng.u32(1..40);
                self.churn(&db, Durability::Deferred, puts)?;
                may_hold.extend(self.may_hold.iter().cloned());
                log = log_heads(&db).into_iter().rfind(|&page| is_log(page));
                if log.is_some_and(|page| self.disk.is_dirty(page)) {
                    break;
                }
            }
            let mut txn = db.write().map_err(|e| e.to_string())?;
            if !log.is_some_and(|page| self.disk.refuse_page(page)) {
                continue;
            }
            (self.refused, self.lost) = (true, true);
            // Somebody may be told, and say so, before the page leaves the cache.
            if self.rng.bool() {
                let _ = db.flush();
            }
            self.disk.write_back_all(false);
            self.disk.evict();
            self.may_hold = may_hold;
            let mut put = Vec::new();
            let puts = self.rng.u32(1..200);
            let outcome = self.put_large(&mut txn, puts).and_then(|all| {
                put = all;
                if self.rng.bool() { Err(Error::TransactionBroken) } else { txn.commit() }
            });
            self.note(&put, Durability::Durable, &outcome)?;
            if !(0..3).any(|_| db.write().is_ok()) {
                return Err("nobody repairs".into());
            }
            // What was deferred may be gone, which it says once.
            let _ = db.flush();
            self.judge(&db, "after the refusal it holds")?;
            (self.refused, self.may_hold) = (false, BTreeSet::from([self.content(&db)?]));
        }
        Ok(())
    }

    /// Two handles commit, flush, begin and repair in any order, and the device refuses pages now
    /// and then. A flush that is fine says that every deferred commit of its handle is there, and
    /// was since the last flush that said that some may not be; such a one has a reason.
    fn flush_answers(&mut self) -> Result<(), String> {
        self.disk = machine(&new_file(PAGE), PAGE, self.rng.u64(..)).expect("memory suffices");
        let dbs = [self.enter()?, self.enter()?];
        // What each handle has acknowledged last, under a key that nobody else puts.
        let (mut owed, mut refused) = ([0; 2], false);
        for n in 1..self.rng.u32(10..40) {
            let one = self.rng.usize(..2);
            let (db, key) = (&dbs[one], one as u32);
            let commit = |key: u32, durability| {
                let mut txn = db.write()?;
                txn.set_durability(durability);
                txn.open_table("main")?.put(&key.to_be_bytes(), &n.to_le_bytes())?;
                txn.commit()
            };
            match self.rng.u32(..10) {
                0..3 => {
                    if commit(key, Durability::Deferred).is_ok() {
                        owed[one] = n;
                    }
                }
                3..5 => drop(commit(100 + n % 7, Durability::Durable)),
                5 => drop(db.write()),
                6 => {
                    self.disk.write_back_all(true);
                    refused = true;
                    if self.rng.bool() {
                        self.disk.foreign_sync();
                    }
                    self.disk.evict();
                }
                _ => match db.flush() {
                    Ok(()) if self.value_of(db, key)? < owed[one] => {
                        let there = self.value_of(db, key)?;
                        let owed = owed[one];
                        return Err(format!("{owed} was acknowledged, {there} is there"));
                    }
                    Ok(()) => {}
                    Err(Error::OutcomeUnknown { .. }) if refused => owed[one] = 0,
                    Err(Error::Io { .. } | Error::Corrupt { .. }) if refused => {}
                    Err(e) => return Err(format!("an error that has no cause: {e}")),
                },
            }
        }
        // It is said once: behind a commit that is durable the second flush is fine.
        for db in &dbs {
            let mut durable = || {
                let mut txn = db.write()?;
                self.put_new(&mut txn)?;
                txn.commit()
            };
            let done = (0..8).any(|_| durable().is_ok());
            let _ = db.flush();
            if !done || db.flush().is_err() {
                return Err("there is no end of errors".into());
            }
        }
        match dbs[0].check(None).map_err(|e| e.to_string())?.fault_count {
            0 => Ok(()),
            n => Err(format!("{n} faults")),
        }
    }

    /// A transaction on deferred commits has put values on pages of their own, and not read them,
    /// when the device refuses everything and it is told, or somebody else. It repairs its base
    /// before it is built; the sync that failed took its own pages along.
    fn own_refused(&mut self) -> Result<(), String> {
        self.disk = machine(&new_file(PAGE), PAGE, self.rng.u64(..)).expect("memory suffices");
        (self.refused, self.may_hold) = (false, BTreeSet::from([Content::new()]));
        let (db, other) = (self.enter()?, self.enter()?);
        self.must(&db, Durability::Durable)?;
        let durable = self.may_hold.clone();
        for _ in 0..self.rng.u32(..4) {
            self.must(&db, Durability::Deferred)?;
        }
        self.may_hold.extend(durable);
        let durability = [Durability::Durable, Durability::Deferred][self.rng.usize(..2)];
        let mut txn = db.write().map_err(|e| e.to_string())?;
        txn.set_durability(durability);
        let mut put = Vec::new();
        let (puts, told) = (self.rng.u32(1..20), self.rng.bool());
        let outcome = self.put_large(&mut txn, puts).and_then(|all| {
            put = all;
            self.refuse();
            let _ = if told { db.flush() } else { other.flush() };
            txn.commit()
        });
        self.note(&put, durability, &outcome)?;
        self.disk.evict();
        self.go_on((Some(db), None))
    }

    /// The number under a key, 0 if there is none.
    fn value_of(&self, db: &Database, key: u32) -> Result<u32, String> {
        let read = || {
            let txn = db.read()?;
            let Ok(table) = txn.table("main") else { return Ok(0) };
            let value = table.get(&key.to_be_bytes())?.and_then(|v| v.first_chunk().copied());
            Ok(value.map_or(0, u32::from_le_bytes))
        };
        read().map_err(|e: Error| format!("reading: {e}"))
    }

    /// Puts some keys.
    fn put_new(&mut self, txn: &mut WriteTxn) -> Result<Vec<Change>, Error> {
        self.commits += 1;
        let mut table = txn.open_table("main")?;
        let value = [&self.commits.to_le_bytes()[..], &[7; 60]].concat();
        let mut put = Vec::new();
        for _ in 0..3 {
            let key = self.rng.u32(..200);
            table.put(&key.to_be_bytes(), &value)?;
            put.push(Change::Put(key, self.commits));
        }
        Ok(put)
    }

    /// A commit without trouble that puts large values and takes others away.
    fn churn(&mut self, db: &Database, durability: Durability, puts: u32) -> Result<(), String> {
        let mut work = || {
            let mut txn = db.write()?;
            txn.set_durability(durability);
            let put = self.put_large(&mut txn, puts)?;
            txn.commit().map(|()| put)
        };
        let put = work().map_err(|e: Error| format!("a commit without trouble: {e}"))?;
        self.note(&put, durability, &Ok(()))
    }

    /// Puts values, of which every other takes a page of its own.
    fn put_large(&mut self, txn: &mut WriteTxn, puts: u32) -> Result<Vec<Change>, Error> {
        self.commits += 1;
        let mut table = txn.open_table("main")?;
        let mut put = Vec::new();
        for _ in 0..puts {
            let key = self.rng.u32(..1_500);
            let mut value = vec![7; [60, 2_500][self.rng.usize(..2)]];
            value[..4].copy_from_slice(&self.commits.to_le_bytes());
            table.put(&key.to_be_bytes(), &value)?;
            put.push(Change::Put(key, self.commits));
        }
        Ok(put)
    }

    fn live_with(&mut self, trouble: Trouble, tally: &mut Tally) -> Result<(), String> {
        let (one, other) = (self.enter()?, self.enter()?);
        let mut by_id = BTreeMap::new();
        for _ in 0..self.rng.u32(1..15) {
            self.must(&one, Durability::Durable)?;
        }
        let built = |db: &Database| db.info().map(|info| info.built).map_err(|e| e.to_string());
        by_id.insert(built(&one)?, self.content(&one)?);
        let deferred = self.rng.u32(..12);
        for _ in 0..deferred {
            let db = if self.rng.bool() { &one } else { &other };
            self.must(db, Durability::Deferred)?;
            by_id.insert(built(&one)?, self.content(&one)?);
            if self.rng.u32(..3) == 0 {
                self.write_some_back()?;
            }
        }
        // Either all of it or what is durable: nothing in between is ever shown again.
        let info = other.info().map_err(|e| e.to_string())?;
        let ends = [info.durable, info.built].map(|id| by_id.get(&id).cloned());
        self.may_hold = ends.into_iter().flatten().collect();
        if info.visible != info.built || !self.may_hold.contains(&self.content(&other)?) {
            return Err("before any trouble it holds what it may not".into());
        }
        let left = self.befall(trouble, one, other)?;
        if trouble == Trouble::Rots {
            return Ok(());
        }
        self.go_on(left)?;
        tally.lost += u64::from(self.lost);
        tally.deaths += self.deaths;
        tally.taken_back += u64::from(self.lost && !self.is_newest()?);
        Ok(())
    }

    /// Whether anything of the newest deferred commits is there still. For the tally.
    fn is_newest(&self) -> Result<bool, String> {
        let content = self.content(&self.enter()?)?;
        let most = self.may_hold.iter().map(|c| c.values().sum::<u32>()).max();
        Ok(most == Some(content.values().sum()))
    }

    /// Some dirty pages reach the device.
    fn write_some_back(&mut self) -> Result<(), String> {
        self.disk.set_faults(Faults { write_back: 1 << 16, ..Faults::default() });
        drop(self.enter()?);
        self.disk.set_faults(Faults::default());
        Ok(())
    }

    /// Who is left afterwards, perhaps with a transaction that was begun before.
    fn befall(
        &mut self,
        trouble: Trouble,
        one: Database,
        other: Database,
    ) -> Result<(Option<Database>, Option<WriteTxn>), String> {
        let failed = |e: Error| e.to_string();
        match trouble {
            Trouble::Untold => {
                self.refuse();
                self.disk.evict();
                let (writes, idle) = if self.rng.bool() { (one, other) } else { (other, one) };
                self.idle.push(idle);
                Ok((Some(writes), None))
            }
            Trouble::StrangerTold => {
                self.refuse();
                self.disk.foreign_sync();
                let newcomer = self.enter()?;
                self.disk.evict();
                self.idle.push(one);
                let (writes, idle) =
                    if self.rng.bool() { (newcomer, other) } else { (other, newcomer) };
                self.idle.push(idle);
                Ok((Some(writes), None))
            }
            Trouble::ToldAndDies => {
                let begun = self.rng.bool().then(|| other.write()).transpose().map_err(failed)?;
                self.dies_at(&one, |kind| matches!(kind, EventKind::SyncBegin { .. }), true);
                self.disk.evict();
                Ok((Some(other), begun))
            }
            Trouble::DiesInFlush => {
                let step = self.rng.usize(..40);
                // Now and then nobody is left: what it has stored may be in the page cache alone.
                let left = (step < 32).then_some(other);
                let begun = left.as_ref().map(Database::write).transpose().map_err(failed)?;
                let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
                self.dies_at(
                    &one,
                    move |kind| {
                        let is_step =
                            matches!(kind, EventKind::Step(step) if step.starts_with("flush"));
                        is_step && count.fetch_add(1, Ordering::Relaxed) == step % 8
                    },
                    false,
                );
                if left.is_none() {
                    drop(one);
                }
                Ok((left, begun))
            }
            Trouble::DiesInRepair => {
                drop(other);
                self.refuse();
                let _ = one.flush();
                self.disk.evict();
                let step = self.rng.usize(..12);
                let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
                self.disk.set_hook(move |_, event| match event.kind {
                    EventKind::Step(_) if count.fetch_add(1, Ordering::Relaxed) == step => {
                        Action::Kill
                    }
                    _ => Action::Continue,
                });
                self.deaths +=
                    u64::from(matches!(run(|| one.write().map(drop).is_ok()), Ending::Killed(_)));
                self.disk.clear_hook();
                drop(one);
                Ok((None, None))
            }
            Trouble::OpenedBesideWriter => {
                one.flush().map_err(failed)?;
                self.may_hold = BTreeSet::from([self.content(&one)?]);
                let newcomer = self.opened_beside(&one)?;
                self.idle.extend([one, other]);
                Ok((Some(newcomer), None))
            }
            Trouble::ReadsOwn => {
                if self.rng.bool() {
                    one.flush().map_err(failed)?;
                    self.may_hold = BTreeSet::from([self.content(&one)?]);
                }
                self.reads_own(&one)?;
                self.idle.push(other);
                Ok((Some(one), None))
            }
            Trouble::Rots => {
                drop((one, other));
                self.rots()?;
                Ok((None, None))
            }
            Trouble::BetweenLooks => {
                self.between_looks(&one, other)?;
                Ok((Some(one), None))
            }
        }
    }

    /// A transaction that reads nothing of its own, and whoever comes beside it.
    fn opened_beside(&mut self, db: &Database) -> Result<Database, String> {
        self.commits += 1;
        let mut value = vec![9; self.rng.usize(2_500..20_000)];
        value[..4].copy_from_slice(&self.commits.to_le_bytes());
        let put = [Change::Put(1_002, self.commits)];
        let mut txn = db.write().map_err(|e| e.to_string())?;
        txn.set_durability(Durability::Deferred);
        let table = txn.open_table("main");
        table
            .and_then(|mut table| table.put(&1_002u32.to_be_bytes(), &value))
            .map_err(|e| format!("a put without trouble: {e}"))?;
        self.refuse();
        self.disk.foreign_sync();
        let newcomer = self.enter()?;
        let outcome = txn.commit();
        self.note(&put, Durability::Deferred, &outcome)?;
        if outcome.is_ok() && newcomer.flush().is_ok() {
            let has = |content: &Content| content.contains_key(&1_002);
            self.may_hold.retain(has);
        }
        self.disk.evict();
        Ok(newcomer)
    }

    /// One transaction with its trouble.
    fn reads_own(&mut self, db: &Database) -> Result<(), String> {
        let durability = [Durability::Durable, Durability::Deferred][self.rng.usize(..2)];
        let early = self.rng.bool();
        let mut value = vec![9; self.rng.usize(2_500..20_000)];
        self.commits += 1;
        value[..4].copy_from_slice(&self.commits.to_le_bytes());
        let put = [Change::Put(1_001, self.commits)];
        let mut wrong = false;
        let mut work = || {
            let mut txn = db.write()?;
            txn.set_durability(durability);
            let (from, to) = (1_000u32.to_be_bytes(), 1_001u32.to_be_bytes());
            txn.open_table("main")?.put(&from, &value)?;
            if early {
                self.refuse();
                self.disk.evict();
            }
            let read = {
                let table = txn.table("main")?;
                let read = table.get(&from)?.unwrap_or_default();
                wrong = read != value;
                if !early {
                    self.refuse();
                    self.disk.evict();
                }
                read.to_vec()
            };
            let mut table = txn.open_table("main")?;
            table.delete(&from)?;
            table.put(&to, &read)?;
            txn.commit()
        };
        let outcome = work();
        // The pages of a direct sink have no checksum before the end; whoever has read such pages
        // cannot commit.
        if wrong && (self.sink == Sink::Staged || outcome.is_ok()) {
            return Err(format!(
                "{:?}, {durability:?}, early {early}: a transaction reads what it has not put, and ends with {outcome:?}",
                self.sink
            ));
        }
        self.note(&put, durability, &outcome)
    }

    /// What the first opening shows and tells all show and tell, until somebody writes.
    fn rots(&mut self) -> Result<(), String> {
        let bytes = self.disk.bytes();
        let page = match self.rng.u32(..3) {
            0 => self.rng.usize(..2),
            _ => self.rng.usize(2..bytes.len() / PAGE),
        };
        let at = (page * PAGE + self.rng.usize(..512)) as u64;
        let byte = bytes[at as usize] ^ 1 << self.rng.u32(..8);
        self.disk.damage(at, &[byte]).map_err(|e| e.to_string())?;
        self.refused = true;
        let mut first = None;
        for _ in 0..self.rng.u32(2..5) {
            let told = self.enter().and_then(|db| {
                let info = db.info().map_err(|e| e.to_string())?;
                Ok((info.visible, info.refused))
            });
            match &first {
                None => first = Some(told),
                Some(first) if *first != told => {
                    return Err(format!("after {first:?} an opening gives {told:?}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A flush of `db`, at one event of which its process dies; its pages have been refused by
    /// then, or not.
    fn dies_at(
        &mut self,
        db: &Database,
        at: impl Fn(&EventKind) -> bool + Send + Sync + 'static,
        refused: bool,
    ) {
        self.disk.set_hook(move |disk, event| {
            if !at(&event.kind) {
                return Action::Continue;
            }
            if refused {
                disk.write_back_all(true);
            }
            Action::Kill
        });
        let ending = run(|| db.flush());
        self.disk.clear_hook();
        self.deaths += u64::from(matches!(ending, Ending::Killed(_)));
        self.refused |= refused;
        self.lost |= !self.disk.lost_pages().is_empty();
    }

    /// Somebody builds and waits; when it has looked once the pages are refused and gone, and
    /// others repair and commit.
    fn between_looks(&mut self, one: &Database, other: Database) -> Result<(), String> {
        let failed = |e: Error| e.to_string();
        let mut txn = one.write().map_err(failed)?;
        let put = self.put_new(&mut txn).map_err(failed)?;
        let built = recto::harness::build(txn, Durability::Durable).map_err(failed)?;
        let Some((id, _)) = built else { return Err("nothing was built".into()) };
        let news = self.commits + 1;
        self.commits += 1;
        let (done, result) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (to, ok) = (Arc::clone(&done), Arc::clone(&result));
        self.disk.set_hook(move |disk, event| {
            let here = matches!(event.kind, EventKind::Step("settled: durable seen"));
            if here && !to.swap(true, Ordering::Relaxed) {
                disk.write_back_all(true);
                disk.evict();
                for _ in 0..4 {
                    let work = || {
                        let mut txn = other.write()?;
                        let value = [&news.to_le_bytes()[..], &[7; 60]].concat();
                        txn.open_table("main")?.put(&500u32.to_be_bytes(), &value)?;
                        txn.commit()
                    };
                    if work().is_ok() {
                        ok.store(true, Ordering::Relaxed);
                        break;
                    }
                }
            }
            Action::Continue
        });
        let outcome = make_durable(one, id);
        self.disk.clear_hook();
        (self.refused, self.lost) = (true, true);
        let before = self.may_hold.clone();
        self.note(&put, Durability::Deferred, &Ok(()))?;
        if result.load(Ordering::Relaxed) {
            self.note(&[Change::Put(500, news)], Durability::Durable, &Ok(()))?;
        }
        if outcome.is_ok() {
            // Acknowledged: it is there, whatever else is.
            let has = |content: &Content| {
                let mut same = content.clone();
                put.iter().for_each(|change| change.apply(&mut same));
                same == *content
            };
            self.may_hold.retain(|content| has(content) && !before.contains(content));
        }
        Ok(())
    }

    /// Commits of whoever is left, or comes, until a durable one is acknowledged; then everything
    /// is looked at, and once more after a power cut.
    fn go_on(&mut self, left: (Option<Database>, Option<WriteTxn>)) -> Result<(), String> {
        let (db, begun) = left;
        let db = match db {
            Some(db) => db,
            None => {
                // Nobody has it open: an opening proves what it shows.
                let db = self.enter()?;
                self.judge(&db, "an opening shows")?;
                self.is_there_after_a_cut(&db)?;
                db
            }
        };
        if let Some(mut txn) = begun {
            let durability = [Durability::Durable, Durability::Deferred][self.rng.usize(..2)];
            let keys = [1, 3, 60, 60][self.rng.usize(..4)];
            txn.set_durability(durability);
            let mut put = Vec::new();
            let outcome = self.fill(&mut txn, keys).and_then(|filled| {
                put = filled;
                txn.commit()
            });
            if outcome.is_err() && !self.refused {
                return Err(format!("a death takes a commit back: {outcome:?}"));
            }
            self.note(&put, durability, &outcome)?;
        }
        let mut tries = 0;
        if self.rng.bool() {
            self.commit(&db, Durability::Deferred)?;
        }
        while !self.commit(&db, Durability::Durable)? {
            tries += 1;
            if tries == 6 {
                return Err("no commit succeeds any more".into());
            }
        }
        self.judge(&db, "behind a durable commit it holds")?;
        self.is_there_after_a_cut(&db)?;
        let cut = self.disk.cut_point().boot(self.rng.u64(..)).map_err(|e| e.to_string())?;
        let process = cut.process(ProcessOptions::default());
        let db = open(process, &Database::builder()).map_err(|e| format!("after a cut: {e}"))?;
        self.judge(&db, "after a power cut it holds")
    }

    /// Rule 27: what is called durable is there however the power fails.
    fn is_there_after_a_cut(&mut self, db: &Database) -> Result<(), String> {
        let told = db.info().map_err(|e| e.to_string())?.durable;
        let cut = self.disk.cut_point().boot(self.rng.u64(..)).map_err(|e| e.to_string())?;
        let left = open(cut.process(ProcessOptions::default()), &Database::builder())
            .and_then(|db| db.info())
            .map_err(|e| format!("after a cut: {e}"))?;
        match left.visible >= told {
            true => Ok(()),
            false => Err(format!("{told} is called durable; a cut leaves {}", left.visible)),
        }
    }

    fn judge(&self, db: &Database, when: &str) -> Result<(), String> {
        let content = self.content(db)?;
        if !self.may_hold.contains(&content) {
            let may: Vec<_> = self.may_hold.iter().take(3).collect();
            return Err(format!("{when} {content:?}; allowed: {may:?}"));
        }
        let report = db.check(None).map_err(|e| format!("the check: {e}"))?;
        match report.fault_count {
            0 => Ok(()),
            n => Err(format!("{when} what has {n} faults: {:?}", report.faults.first())),
        }
    }

    fn content(&self, db: &Database) -> Result<Content, String> {
        let read = || {
            let txn = db.read()?;
            let Ok(table) = txn.table("main") else { return Ok(Content::new()) };
            let mut content = Content::new();
            for pair in table.iter()? {
                let (key, value) = pair?;
                let word = |bytes: &[u8]| bytes.first_chunk().copied().unwrap_or([0xff; 4]);
                content.insert(u32::from_be_bytes(word(&key)), u32::from_le_bytes(word(value)));
            }
            Ok(content)
        };
        read().map_err(|e: Error| format!("reading: {e}"))
    }
}
