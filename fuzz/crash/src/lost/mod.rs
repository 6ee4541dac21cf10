//! Pages that the device refuses and that leave the page cache, before anybody is told, while
//! somebody is, or after it; and processes that die just then. Whoever writes next must not build
//! on what came back: no content may become durable, or be shown by an opening, that no transaction
//! ever had, and no acknowledged durable commit may be missing.
//!
//! A life is a short story on a simulated machine: durable commits, deferred ones, a piece of
//! trouble, and commits of those who are left, or who come. What is read while nobody who writes
//! knows of the trouble is not judged: a reader cannot know.

mod stories;
mod troubles;

use crate::alive::Alive;
use fastrand::Rng;
use recto::harness::sim::{Faults, ProcessOptions, SimDisk};
use recto::harness::{machine, new_file, open};
use recto::{Builder, Database, Durability, Error, Sink, WriteTxn};
use std::collections::{BTreeMap, BTreeSet};
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

/// One life in so many has each of these, in this order, behind its trouble. New ones come last: a
/// life of some seed stays what it was.
type Story = fn(&mut Life) -> Result<(), String>;
const STORIES: [(u32, &str, Story); 10] = [
    (20, "many roll-backs", Life::many_roll_backs),
    (1_000, "refused free log", Life::log_refused),
    (10, "what a flush says", Life::flush_answers),
    (10, "own pages refused", Life::own_refused),
    (10, "left while repaired", Life::leave_while_repaired),
    (10, "a meta to be erased", Life::erased),
    (10, "between roll-backs", Life::between_roll_backs),
    (10, "chosen and gone", Life::chosen_and_gone),
    (20, "spilled", Life::spilled),
    (4, "remounted", Life::remounted),
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

    /// On a machine of its own, with an empty database.
    fn begin_anew(&mut self) {
        self.disk = machine(&new_file(PAGE), PAGE, self.rng.u64(..)).expect("memory suffices");
        (self.refused, self.may_hold) = (false, BTreeSet::from([Content::new()]));
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
                Error::Io { .. }
                | Error::Corrupt { .. }
                | Error::TransactionBroken { .. }
                | Error::Busy { .. },
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
        for (one_in, name, story) in STORIES {
            if self.rng.u32(..one_in) == 0 {
                story(&mut self).map_err(|what| format!("{name}: {what}"))?;
            }
        }
        Ok(())
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
        let left = self.inject(trouble, one, other)?;
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
