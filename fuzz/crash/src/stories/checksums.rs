//! Handles that prove what they read, beside others that do not, while commits use pages again and
//! some pages rot. Damage is told where something has rotted, and nowhere else; who proves each
//! page at each descent never shows anything but what was committed, and who proves it at the
//! first touch shows something else only of pages that he has proved before they rotted.

use super::{Tally, Told, bytes_of};
use fastrand::Rng;
use recto::harness::sim::{ProcessOptions, SimDisk};
use recto::harness::{machine, new_file, open};
use recto::inspect::{MetaChoice, Tree, walk};
use recto::{Database, Durability, Error, ReadChecksums, ReadTxn, Sink, TableOptions};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const PAGE: usize = 4096;
const MAIN: &str = "main";
/// A named snapshot.
const KEPT: &str = "kept";
/// A table of sets that stays as it is: keys, and values of each, which are in trees.
const SETS: &str = "sets";
const KEYS: u32 = 3;
const VALUES: u64 = 1_200;

type Pairs = BTreeMap<u32, Vec<u8>>;

struct Story<'a> {
    rng: &'a mut Rng,
    tally: &'a mut Tally,
    disk: SimDisk,
    sink: Sink,
    pairs: Pairs,
    writes: u64,
    /// What the named snapshot shows.
    named: Option<Pairs>,
}

pub(super) fn live(rng: &mut Rng, tally: &mut Tally) -> Told {
    let disk = machine(&new_file(PAGE), PAGE, rng.u64(..)).map_err(failed)?;
    let sink = if rng.u32(..4) == 0 { Sink::Direct } else { Sink::Staged };
    let pairs = Pairs::new();
    let mut story = Story { rng, tally, disk, sink, pairs, writes: 0, named: None };
    story.live()
}

fn failed(e: Error) -> String {
    e.to_string()
}

/// What a snapshot shows, or that it is damaged.
fn shown(txn: &ReadTxn) -> Result<Pairs, Error> {
    let Some(table) = txn.table_opt(MAIN)? else { return Ok(Pairs::new()) };
    let mut pairs = Pairs::new();
    for pair in table.iter()? {
        let (key, value) = pair?;
        let key = key.first_chunk().copied().unwrap_or([0xff; 4]);
        pairs.insert(u32::from_be_bytes(key), value.to_vec());
    }
    let mut keys = txn.set(SETS)?.iter()?;
    let (mut count, mut values) = (0, 0);
    while let Some(next) = keys.next() {
        let Ok((_, mut set)) = next else {
            assert!(keys.next().is_none(), "keys of sets go on behind an error");
            return next.map(|_| pairs);
        };
        count += 1;
        set.try_for_each(|value| value.map(|_| values += 1))?;
    }
    assert_eq!((count, values), (KEYS, u64::from(KEYS) * VALUES), "keys and values of sets");
    Ok(pairs)
}

impl Story<'_> {
    fn enter(&self, checks: ReadChecksums) -> Result<Database, String> {
        let mut builder = Database::builder();
        builder.sink(self.sink).read_checksums(checks);
        let direct = self.sink == Sink::Direct;
        let process = self.disk.process(ProcessOptions { direct, ..Default::default() });
        open(process, &builder).map_err(|e| format!("opening: {e}"))
    }

    /// A commit without trouble.
    fn commit(&mut self, db: &Database) -> Told {
        let durability = [Durability::Durable, Durability::Deferred][self.rng.usize(..2)];
        let mut work = || {
            let mut txn = db.write()?;
            txn.set_durability(durability);
            if self.rng.u32(..12) == 0 {
                txn.drop_snapshot(KEPT)?;
                txn.create_snapshot(KEPT)?;
                self.named = Some(self.pairs.clone());
            }
            let mut table = txn.open_table(MAIN)?;
            for _ in 0..self.rng.u32(1..40) {
                let key = self.rng.u32(..600);
                self.writes += 1;
                if self.rng.u32(..5) == 0 {
                    table.delete(&key.to_be_bytes())?;
                    self.pairs.remove(&key);
                } else {
                    let len = [30, 90, 400, 3_000, 9_000][self.rng.usize(..5)];
                    let value = bytes_of(self.writes, len);
                    table.put(&key.to_be_bytes(), &value)?;
                    self.pairs.insert(key, value);
                }
            }
            txn.commit()
        };
        work().map_err(|e| format!("a commit where nothing has rotted: {e}"))
    }

    fn live(&mut self) -> Told {
        let all = [ReadChecksums::Off, ReadChecksums::FirstTouch, ReadChecksums::Always];
        let first = all[self.rng.usize(..3)];
        let writer = self.enter(first)?;
        let off = self.enter(ReadChecksums::Off)?;
        let once = self.enter(ReadChecksums::FirstTouch)?;
        let always = self.enter(ReadChecksums::Always)?;
        let sets = writer.write().and_then(|mut txn| {
            let mut table = txn.open_set_with(SETS, &TableOptions::set_of(8))?;
            for key in 0..KEYS {
                let pairs = (0..VALUES).map(|n| (key.to_be_bytes(), n.to_be_bytes()));
                table.load(pairs)?;
            }
            txn.commit()
        });
        sets.map_err(failed)?;
        for _ in 0..self.rng.u32(1..6) {
            self.commit(&writer)?;
        }
        // One that moves on from snapshot to snapshot.
        let mut moving = always.read().map_err(failed)?;
        for _ in 0..self.rng.u32(0..25) {
            let by = [&writer, &once, &always][self.rng.usize(..3)];
            self.commit(by)?;
            for db in [&off, &once, &always] {
                if self.rng.u32(..3) == 0 {
                    self.is_right(db)?;
                }
            }
            if self.rng.u32(..3) == 0 {
                moving.refresh().map_err(failed)?;
                self.same(shown(&moving), "a reader that moves on")?;
            }
        }
        drop(off);
        match self.rng.u32(..6) {
            5 => {
                drop(moving);
                drop((once, always, writer));
                self.rots_behind_a_close()?;
            }
            4 => self.list_rots(&writer)?,
            0 => self.sees_in_time(&once, &always, moving)?,
            1 => self.reused(&writer, &once)?,
            2 => self.writes_on_it(&writer)?,
            _ => self.any_page(&once, &always)?,
        }
        Ok(())
    }

    fn same(&self, found: Result<Pairs, Error>, who: &str) -> Told {
        match found {
            Ok(pairs) if pairs == self.pairs => Ok(()),
            Ok(_) => Err(format!("{who} shows what was not committed")),
            Err(e) => Err(format!("{who}: {e}")),
        }
    }

    /// Where nothing has rotted.
    fn is_right(&self, db: &Database) -> Told {
        let txn = db.read().map_err(failed)?;
        self.same(shown(&txn), "a reader")?;
        if let Some(named) = &self.named {
            let txn = db.read_snapshot(KEPT).map_err(failed)?;
            match shown(&txn) {
                Ok(pairs) if pairs == *named => {}
                other => return Err(format!("a named snapshot: {:?}", other.map(|p| p.len()))),
            }
        }
        Ok(())
    }

    /// One bit of a page becomes another. What stood there is given back.
    fn rot(&mut self, page: usize) -> Result<(u64, u8), String> {
        let at = page * PAGE + self.rng.usize(..PAGE);
        let bytes = self.disk.bytes();
        let byte = bytes.get(at).copied().ok_or("no such page")?;
        let bad = byte ^ 1 << self.rng.u32(..8);
        self.disk.damage(at as u64, &[bad]).map_err(failed)?;
        Ok((at as u64, byte))
    }

    fn pages(&self) -> usize {
        self.disk.bytes().len() / PAGE
    }

    /// What a handle that proves each page shows while one has rotted. Whether it was told.
    fn told(&mut self, found: Result<Pairs, Error>, who: &str) -> Result<bool, String> {
        match found {
            Err(Error::Corrupt { .. }) => {
                self.tally.damage_told += 1;
                Ok(true)
            }
            other => {
                self.tally.damage_missed += 1;
                self.same(other, who).map(|()| false)
            }
        }
    }

    /// Any page rots; everybody comes to it, or does not. Then it is what it was.
    fn any_page(&mut self, once: &Database, always: &Database) -> Told {
        for _ in 0..6 {
            let page = self.rng.usize(2..self.pages());
            // Who has never read anything, who has read some, who proves each time.
            let new = self.enter(ReadChecksums::FirstTouch)?;
            let (at, byte) = self.rot(page)?;
            let mut tells = Vec::new();
            for (db, who) in [(&new, "one who comes"), (always, "one who always proves")] {
                let found = db.read().and_then(|txn| shown(&txn));
                tells.push(self.told(found, who)?);
                // What is not proved is not remembered.
                let found = db.read().and_then(|txn| shown(&txn));
                tells.push(self.told(found, who)?);
            }
            if tells.iter().any(|told| *told != tells[0]) {
                return Err(format!("of the same damage {tells:?} are told"));
            }
            self.disk.damage(at, &[byte]).map_err(failed)?;
            for db in [once, always, &new] {
                self.is_right(db)?;
            }
        }
        Ok(())
    }

    /// Readers of a snapshot, one that has moved there, one of a map that was too short.
    fn sees_in_time(&mut self, once: &Database, always: &Database, mut moving: ReadTxn) -> Told {
        let before = self.pages();
        while self.pages() == before {
            self.commit(once)?;
        }
        let page = self.rng.usize(2..self.pages());
        let (at, byte) = self.rot(page)?;
        // It has outgrown the map of the one who always proves.
        let late = always.read().and_then(|txn| shown(&txn));
        let late = self.told(late, "one whose map was too short")?;
        moving.refresh().map_err(failed)?;
        let moved = self.told(shown(&moving), "one that has moved on")?;
        if late != moved {
            return Err(format!("one with a new map is told: {late}, one that moved: {moved}"));
        }
        self.disk.damage(at, &[byte]).map_err(failed)?;
        self.is_right(always)
    }

    /// Pages that one has proved are used again, by others, and rot before he reads them anew.
    fn reused(&mut self, writer: &Database, once: &Database) -> Told {
        let page = |bytes: &[u8], n: usize| bytes.get(n * PAGE..(n + 1) * PAGE).map(<[u8]>::to_vec);
        for _ in 0..4 {
            self.is_right(once)?;
            let before = self.disk.bytes();
            for _ in 0..self.rng.u32(1..6) {
                self.commit(writer)?;
            }
            let after = self.disk.bytes();
            let changed: Vec<usize> =
                (2..after.len() / PAGE).filter(|&n| page(&before, n) != page(&after, n)).collect();
            // Deletes of what is not there change nothing.
            let Some(&number) = self.rng.choice(&changed) else { continue };
            let (at, byte) = self.rot(number)?;
            let found = once.read().and_then(|txn| shown(&txn));
            self.told(found, "one who had proved what stood there before")?;
            self.disk.damage(at, &[byte]).map_err(failed)?;
        }
        self.is_right(once)
    }

    /// The list of named snapshots rots, which says what a write transaction must leave alone: who
    /// proves what he reads does not begin one then.
    fn list_rots(&mut self, writer: &Database) -> Told {
        let name = |txn: &mut recto::WriteTxn| {
            txn.drop_snapshot(KEPT)?;
            txn.create_snapshot(KEPT)
        };
        let named = writer.write().and_then(|mut txn| {
            name(&mut txn)?;
            txn.commit()
        });
        named.and_then(|()| writer.flush()).map_err(failed)?;
        let mut lists = Vec::new();
        walk(&self.disk.bytes(), &MetaChoice::Newest, &mut |page| {
            if page.tree == Tree::System {
                lists.push(page.id.0 as usize);
            }
            ControlFlow::Continue(())
        })
        .map_err(failed)?;
        for page in lists {
            let (at, byte) = self.rot(page)?;
            let (one, other) =
                (self.enter(ReadChecksums::Always)?, self.enter(ReadChecksums::FirstTouch)?);
            let is_told = |done: Result<(), Error>| match done {
                Ok(()) => Ok(false),
                Err(Error::Corrupt { .. }) => Ok(true),
                Err(e) => Err(failed(e)),
            };
            let read = is_told(one.snapshots().map(drop))?;
            let write = is_told(other.write().map(drop))?;
            if !read || !write {
                return Err(format!("a damaged list: a reader is told: {read}, a writer: {write}"));
            }
            self.tally.damage_told += 1;
            self.disk.damage(at, &[byte]).map_err(failed)?;
        }
        Ok(())
    }

    /// All have closed, and one page rots, of the tree or a meta. Whoever opens the file next, and
    /// whatever lock file is there, sees the last commit or is told.
    fn rots_behind_a_close(&mut self) -> Told {
        let pages = if self.rng.bool() { 2 } else { self.pages() };
        let page = self.rng.usize(..pages);
        self.rot(page)?;
        let alone = self.rng.u32(..3) == 0;
        if self.rng.bool() {
            self.disk.delete_lock_file().map_err(failed)?;
        }
        let mut builder = Database::builder();
        builder.read_checksums(ReadChecksums::Always).exclusive(alone);
        let options = ProcessOptions::default();
        let process = match alone {
            true => self.disk.process_alone(options).map_err(failed)?,
            false => self.disk.process(options),
        };
        let found = open(process, &builder).and_then(|db| db.read().and_then(|txn| shown(&txn)));
        self.told(found, "one who opens it behind a close").map(drop)
    }

    /// A transaction of one who proves what he reads comes to a page that has rotted: it is told,
    /// and does not copy it with a checksum that is right.
    fn writes_on_it(&mut self, writer: &Database) -> Told {
        writer.flush().map_err(failed)?;
        let checks = [ReadChecksums::FirstTouch, ReadChecksums::Always][self.rng.usize(..2)];
        let db = self.enter(checks)?;
        let page = self.rng.usize(2..self.pages());
        self.rot(page)?;
        let intact = self.pairs.clone();
        let work = || {
            let mut txn = db.write()?;
            let mut table = txn.open_table(MAIN)?;
            for key in 0..600u32 {
                // Beside what is there, so that each leaf is copied and no value replaced.
                let mut beside = key.to_be_bytes().to_vec();
                beside.push(0);
                table.put(&beside, b"new")?;
            }
            txn.commit()
        };
        match work() {
            Ok(()) => {
                let anybody = self.enter(ReadChecksums::Off)?;
                let txn = anybody.read().map_err(failed)?;
                let mut left = BTreeMap::new();
                let table = txn.table(MAIN).map_err(failed)?;
                for pair in table.iter().map_err(failed)? {
                    let (key, value) = pair.map_err(failed)?;
                    if let Ok(key) = <[u8; 4]>::try_from(&key[..]) {
                        left.insert(u32::from_be_bytes(key), value.to_vec());
                    }
                }
                // A value on pages of its own is not copied: there the damage stays, and is told.
                let wrong = left.iter().filter(|(key, value)| {
                    value.len() < PAGE / 2 && intact.get(key) != Some(value)
                });
                match (wrong.count(), left.len() == intact.len()) {
                    (0, true) => Ok(()),
                    (n, _) => Err(format!("{n} damaged values were copied of {}", intact.len())),
                }
            }
            Err(Error::Corrupt { .. } | Error::TransactionBroken { .. }) => {
                self.tally.damage_told += 1;
                Ok(())
            }
            Err(e) => Err(format!("a write on what has rotted: {e}")),
        }
    }
}
