//! Named snapshots: against models, over restarts, roll-backs, savepoints and power cuts; and what
//! they pin.

mod common;

use common::{assert_clean, disk_dir, memory_dir, open_at};
use fastrand::Rng;
use recto::inspect::{CheckOptions, Pages, Report, check};
use recto::{Builder, Database, Durability, Error, ReadTxn, Sink, TableOptions, WriteTxn};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = BTreeMap<String, Pairs>;

fn read(txn: &ReadTxn) -> Model {
    let tables = txn.tables().unwrap().into_iter().map(|info| {
        let pairs = txn.table(&info.name).unwrap().iter().unwrap().map(|pair| pair.unwrap());
        let pairs = pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        (info.name, pairs)
    });
    tables.collect()
}

fn names(db: &Database) -> Vec<String> {
    db.snapshots().unwrap().into_iter().map(|info| info.name).collect()
}

/// All snapshots are what they were.
fn assert_snapshots(db: &Database, named: &BTreeMap<String, Model>) {
    assert!(names(db).iter().eq(named.keys()));
    for (name, model) in named {
        let txn = db.read_snapshot(name).unwrap();
        assert_eq!(read(&txn), *model, "snapshot {name:?}");
    }
}

struct Run {
    rng: Rng,
    model: Model,
    named: BTreeMap<String, Model>,
}

impl Run {
    fn change(&mut self, txn: &mut WriteTxn) {
        let name = format!("table{}", self.rng.u8(..3));
        if self.rng.u16(..600) == 0 {
            assert_eq!(txn.drop_table(&name).unwrap(), self.model.remove(&name).is_some());
            return;
        }
        let mut table = txn.open_table(&name).unwrap();
        let pairs = self.model.entry(name).or_default();
        let key = self.rng.u16(..1500).to_be_bytes().to_vec();
        if self.rng.u8(..3) == 0 {
            assert_eq!(table.delete(&key).unwrap(), pairs.remove(&key).is_some());
            return;
        }
        let len = match self.rng.u8(..30) {
            0 => self.rng.usize(..20_000),
            1..=3 => self.rng.usize(1000..4000),
            _ => self.rng.usize(..60),
        };
        let value = vec![self.rng.u8(..); len];
        table.put(&key, &value).unwrap();
        pairs.insert(key, value);
    }

    /// Names the state that the transaction stands on, or drops one.
    fn name(&mut self, txn: &mut WriteTxn, base: &Model) {
        let name = format!("snapshot {}", self.rng.u8(..12));
        match txn.create_snapshot(&name) {
            Ok(()) => assert!(self.named.insert(name, base.clone()).is_none()),
            Err(Error::SnapshotExists(_)) => {
                assert!(self.named.contains_key(&name));
                if self.rng.bool() {
                    assert!(txn.drop_snapshot(&name).unwrap());
                    self.named.remove(&name);
                    assert!(!txn.drop_snapshot(&name).unwrap());
                }
            }
            Err(e) => panic!("{e}"),
        }
        let listed = txn.snapshots().unwrap();
        assert!(listed.iter().map(|info| &info.name).eq(self.named.keys()));
    }

    fn transaction(&mut self, db: &Database) {
        let (before, named) = (self.model.clone(), self.named.clone());
        let mut txn = db.write().unwrap();
        if self.rng.u8(..4) > 0 {
            txn.set_durability(Durability::Deferred);
        }
        let many = [2, 20, 300][self.rng.usize(..3)];
        for _ in 0..self.rng.u64(..many) {
            self.change(&mut txn);
        }
        if self.rng.u8(..3) == 0 {
            self.name(&mut txn, &before);
        }
        if self.rng.u8(..3) == 0 {
            let (model, saved) = (self.model.clone(), self.named.clone());
            let point = txn.savepoint().unwrap();
            (0..20).for_each(|_| self.change(&mut txn));
            self.name(&mut txn, &before);
            if self.rng.bool() {
                txn.rollback_to(&point).unwrap();
                (self.model, self.named) = (model, saved);
            }
        }
        if self.rng.u8(..6) == 0 {
            (self.model, self.named) = (before, named);
            return;
        }
        txn.commit().unwrap();
    }
}

fn run(builder: &Builder, transactions: u64, seed: u64) {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut run = Run { rng: Rng::with_seed(seed), model: Model::new(), named: BTreeMap::new() };
    let mut db = open_at(&path, builder);
    // Readers of named snapshots, which may be dropped meanwhile.
    let mut readers: Vec<(ReadTxn, Model)> = Vec::new();
    for n in 0..transactions {
        run.transaction(&db);
        if run.rng.u8(..8) == 0 {
            let Some((name, model)) = run.rng.choice(&run.named) else { continue };
            readers.push((db.read_snapshot(name).unwrap(), model.clone()));
        }
        if n % 16 == 0 {
            assert_snapshots(&db, &run.named);
            assert_clean(&db);
        }
        if readers.len() > 4 {
            for (reader, model) in readers.drain(..) {
                assert_eq!(read(&reader), model);
            }
        }
        if run.rng.u8(..24) == 0 {
            readers.clear();
            drop(db);
            if run.rng.bool() {
                // Nothing is known but the file.
                std::fs::remove_file(common::lock_of(&path)).unwrap();
            }
            db = open_at(&path, builder);
            assert_eq!(read(&db.read().unwrap()), run.model);
            assert_snapshots(&db, &run.named);
        }
    }
    readers.clear();
    assert_snapshots(&db, &run.named);
    // Without snapshots there is nothing left of them.
    for name in names(&db) {
        let mut txn = db.write().unwrap();
        assert!(txn.drop_snapshot(&name).unwrap());
        txn.commit().unwrap();
    }
    for n in 0..4u8 {
        let mut txn = db.write().unwrap();
        txn.open_table("last").unwrap().put(b"key", &[n]).unwrap();
        txn.commit().unwrap();
    }
    assert_clean(&db);
    drop(db);
    let file = std::fs::read(&path).unwrap();
    for slot in 0..2 {
        let at = slot * builder_page_size(&file) + 300;
        assert_eq!(file[at..at + 4], [0; 4], "a file without snapshots needs no feature");
    }
}

fn builder_page_size(file: &[u8]) -> usize {
    u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize
}

#[test]
fn snapshots_stay_what_they_were() {
    let transactions = if common::full() { 20_000 } else { 500 };
    for (page_size, sink, seed) in
        [(4096, Sink::Staged, 1), (4096, Sink::Direct, 2), (16_384, Sink::Staged, 3)]
    {
        run(Builder::default().page_size(page_size).sink(sink), transactions, seed);
    }
}

#[test]
fn names_are_checked() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    for name in ["", &"x".repeat(256)] {
        assert!(matches!(txn.create_snapshot(name), Err(Error::InvalidArgument(_))));
    }
    txn.create_snapshot(&"x".repeat(255)).unwrap();
    txn.create_snapshot("é").unwrap();
    assert!(matches!(txn.create_snapshot("é"), Err(Error::SnapshotExists(_))));
    assert!(matches!(db.read_snapshot("é"), Err(Error::NoSuchSnapshot(_))));
    assert_eq!(names(&db).len(), 0);
    txn.commit().unwrap();
    assert_eq!(names(&db), ["x".repeat(255), "é".into()]);
    assert!(read(&db.read_snapshot("é").unwrap()).is_empty());
    let mut txn = db.write().unwrap();
    txn.create_snapshot("undone").unwrap();
    drop(txn);
    assert_eq!(names(&db).len(), 2);
    assert_clean(&db);
}

fn fill(db: &Database, value: u8, durability: Durability) {
    let mut txn = db.write().unwrap();
    txn.set_durability(durability);
    let mut table = txn.open_table("main").unwrap();
    for n in 0..2000u32 {
        table.put(&n.to_be_bytes(), &[value; 100]).unwrap();
    }
    txn.commit().unwrap();
}

fn create(db: &Database, name: &str, durability: Durability) {
    let mut txn = db.write().unwrap();
    txn.set_durability(durability);
    txn.create_snapshot(name).unwrap();
    txn.commit().unwrap();
}

fn drop_named(db: &Database, name: &str, durability: Durability) {
    let mut txn = db.write().unwrap();
    txn.set_durability(durability);
    assert!(txn.drop_snapshot(name).unwrap());
    txn.commit().unwrap();
}

/// A snapshot pins what it sees and nothing else, and gives it back when it is dropped.
#[test]
fn a_snapshot_pins_what_it_sees_and_no_more() {
    for durability in [Durability::Durable, Durability::Deferred] {
        let dir = memory_dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        fill(&db, 1, durability);
        for value in 0..6 {
            fill(&db, value, durability);
        }
        db.flush().unwrap();
        fill(&db, 7, durability);
        let before = db.info().unwrap().page_count;
        create(&db, "one", durability);
        for value in 0..40 {
            fill(&db, value, durability);
        }
        let with = db.info().unwrap().page_count;
        let tree = 2000 * 130 / 4096;
        assert!(with < before + 4 * tree, "{before} pages, {with} beside a snapshot");
        let seen = db.read_snapshot("one").unwrap();
        assert!(seen.table("main").unwrap().iter().unwrap().all(|p| p.unwrap().1 == [7; 100]));
        drop(seen);
        drop_named(&db, "one", durability);
        // Ever new snapshots, and all dropped again.
        for value in 0..40 {
            create(&db, "next", durability);
            fill(&db, value, durability);
            drop_named(&db, "next", durability);
        }
        let after = db.info().unwrap().page_count;
        assert!(after < with + 3 * tree, "{with} pages, {after} after 40 snapshots");
        assert_clean(&db);
    }
}

/// A bit of the list rots, so that it names another state: what the snapshot sees is written over
/// by nobody, and is there when the bit is right again.
#[test]
fn a_list_that_has_rotted_lets_nobody_write_over_a_snapshot() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    for value in 1..=4 {
        fill(&db, value, Durability::Durable);
    }
    create(&db, "keep", Durability::Durable);
    // So that no manifest has the page: an opening would see it there.
    for key in 0..3u32 {
        let mut txn = db.write().unwrap();
        txn.open_table("other").unwrap().put(&key.to_be_bytes(), b"").unwrap();
        txn.commit().unwrap();
    }
    let id = db.snapshots().unwrap()[0].id;
    drop(db);
    let bytes = std::fs::read(&path).unwrap();
    // What a leaf has of it: the id, and that of the next transaction.
    let ids = [id.to_le_bytes(), (id + 1).to_le_bytes()].concat();
    let leaves = (2 * 4096..bytes.len()).step_by(4096).filter(|page| bytes[page + 4] == 2);
    let places = |page: usize| {
        let parts = bytes[page..page + 4096].windows(ids.len()).enumerate();
        parts.filter(|(_, part)| **part == ids[..]).map(move |(at, _)| page + at)
    };
    let at: Vec<usize> = leaves.flat_map(places).collect();
    assert!(!at.is_empty());
    let flip = |bit: u8| {
        let mut now = std::fs::read(&path).unwrap();
        at.iter().for_each(|&at| now[at] ^= 1 << bit);
        std::fs::write(&path, now).unwrap();
    };
    for bit in 0..3 {
        flip(bit);
        let db = open_at(&path, &Builder::default());
        for _ in 0..3 {
            let refused = db.write().map(drop).unwrap_err();
            assert!(matches!(refused, Error::Corrupt { .. }), "bit {bit}: {refused}");
        }
        drop(db);
        flip(bit);
    }
    let db = open_at(&path, &Builder::default());
    for value in 10..30 {
        fill(&db, value, Durability::Durable);
    }
    let seen = db.read_snapshot("keep").unwrap();
    assert!(seen.table("main").unwrap().iter().unwrap().all(|p| p.unwrap().1 == [4; 100]));
    assert_clean(&db);
}

/// Another process, or another handle, sees the same.
#[test]
fn every_handle_sees_them() {
    let dir = disk_dir();
    let path = dir.path().join("x.recto");
    let one = open_at(&path, &Builder::default());
    let other = open_at(&path, &Builder::default());
    fill(&one, 1, Durability::Deferred);
    create(&one, "first", Durability::Deferred);
    fill(&other, 2, Durability::Deferred);
    let reader = other.read_snapshot("first").unwrap();
    drop_named(&one, "first", Durability::Durable);
    for value in 3..20 {
        fill(&one, value, Durability::Durable);
    }
    assert!(matches!(other.read_snapshot("first"), Err(Error::NoSuchSnapshot(_))));
    assert!(reader.table("main").unwrap().iter().unwrap().all(|p| p.unwrap().1 == [1; 100]));
    // And moves on to the newest.
    let mut reader = reader;
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.table("main").unwrap().get(&[0; 4]).unwrap(), Some(&[19; 100][..]));
    drop(reader);
    assert_clean(&one);
    assert_clean(&other);
}

/// A tree of values that a snapshot shares in part with the newest state was taken for damage: the
/// check counts what it walks, and does not walk twice what is shared.
#[test]
fn sets_of_values_stay_what_they_were() {
    let db = Database::in_memory().unwrap();
    let mut model = Vec::new();
    for round in 0..6u64 {
        let mut txn = db.write().unwrap();
        for (name, size) in [("any", 0), ("eight", 8)] {
            let mut table = txn.open_set_with(name, &TableOptions::set_of(size)).unwrap();
            for n in 0..if round == 0 { 3_000u64 } else { 20 } {
                table.insert(b"many", &(n * 7 + round).to_be_bytes()).unwrap();
                table.insert(&[n as u8], &round.to_be_bytes()).unwrap();
            }
        }
        txn.commit().unwrap();
        let txn = db.read().unwrap();
        let pairs = |name| -> Vec<_> {
            let pairs = txn.set(name).unwrap().pairs(..).unwrap().map(|pair| pair.unwrap());
            pairs.map(|(key, value)| (key.into_vec(), value.into_vec())).collect()
        };
        model.push([pairs("any"), pairs("eight")]);
        create(&db, &format!("{round}"), Durability::Durable);
        assert_clean(&db);
    }
    for (round, tables) in model.iter().enumerate() {
        let txn = db.read_snapshot(&format!("{round}")).unwrap();
        for (name, pairs) in ["any", "eight"].into_iter().zip(tables) {
            let found = txn.set(name).unwrap().pairs(..).unwrap().map(|pair| pair.unwrap());
            assert!(found.map(|(k, v)| (k.into_vec(), v.into_vec())).eq(pairs.iter().cloned()));
        }
        drop(txn);
        drop_named(&db, &format!("{round}"), Durability::Durable);
        assert_clean(&db);
    }
}

/// Those that were dropped count until nobody needs them: a transaction that only creates takes
/// them out too.
#[test]
fn after_all_were_dropped_there_is_room_for_others() {
    const MOST: u32 = 1 << 16;
    let db = Database::in_memory().unwrap();
    fill(&db, 1, Durability::Durable);
    let mut txn = db.write().unwrap();
    (0..MOST).for_each(|n| txn.create_snapshot(&n.to_string()).unwrap());
    let full = txn.create_snapshot("one more").unwrap_err();
    assert!(matches!(&full, Error::InvalidArgument(what) if what.contains("65536")), "{full}");
    txn.commit().unwrap();
    // Each under an id of its own, so that each leaves an entry.
    let mut txn = db.write().unwrap();
    for n in 0..MOST {
        let savepoint = txn.savepoint().unwrap();
        assert!(txn.drop_snapshot(&n.to_string()).unwrap());
        txn.release(savepoint).unwrap();
    }
    txn.commit().unwrap();
    // The state before it may be come back to until the next durable commit.
    fill(&db, 2, Durability::Durable);
    create(&db, "new", Durability::Durable);
    assert_eq!(names(&db), ["new"]);
    assert_clean(&db);
}

/// The bytes of a file, and how often they are read.
struct Counted(Vec<u8>, Cell<u64>);

impl Pages for Counted {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> recto::Result<Cow<'_, [u8]>> {
        self.1.set(self.1.get() + 1);
        self.0.read(offset, len)
    }
}

/// Checks a file at rest: the reads, the report, and what progress was told.
fn counted_check(path: &Path) -> (u64, Report, Vec<u64>) {
    let pages = Counted(std::fs::read(path).unwrap(), Cell::new(0));
    let mut told = Vec::new();
    let mut progress = |done, _total| told.push(done);
    let options = CheckOptions { progress: Some(&mut progress), ..CheckOptions::default() };
    let report = check(&pages, options).unwrap();
    assert!(report.is_clean(), "{:#?}", report.faults);
    (pages.1.get(), report, told)
}

/// The reads of a check do not depend on how many names a state has.
#[test]
fn a_check_reads_no_page_for_a_name() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    (0..30).for_each(|_| fill(&db, 1, Durability::Deferred));
    let mut txn = db.write().unwrap();
    let names = 5000;
    (0..names).for_each(|n| txn.create_snapshot(&n.to_string()).unwrap());
    txn.commit().unwrap();
    fill(&db, 2, Durability::Durable);
    assert_clean(&db);
    drop(db);
    let (reads, report, _) = counted_check(&path);
    assert_eq!(report.snapshots, names);
    assert!(report.snapshot_pages > 50 && report.snapshot_pages <= report.pages.queued);
    let pages = report.meta.page_count;
    assert!(reads <= 2 * pages, "{reads} reads of {pages} pages for {names} names");
}

/// Nor on how many states there are that share nearly everything: of tables with pairs that go, so
/// that neighbours take over their keys, with values in runs and with trees of values.
#[test]
fn a_check_reads_each_page_once_for_all_snapshots() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    let mut rng = Rng::with_seed(7);
    let key = |n: u32| n.to_be_bytes();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for n in 0..20_000u32 {
        let len = if n % 50 == 0 { 20_000 } else { 60 };
        table.put(&key(n), &vec![n as u8; len]).unwrap();
    }
    let mut sets = txn.open_set("sets").unwrap();
    for n in 0..12_000u32 {
        sets.insert(&key(n % 8), &key(n)).unwrap();
    }
    txn.commit().unwrap();
    for n in 0..200u32 {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        txn.create_snapshot(&format!("{:03}", n * 7 % 200)).unwrap();
        let mut table = txn.open_table("main").unwrap();
        for _ in 0..8 {
            table.put(&key(rng.u32(..20_000)), &[1; 70]).unwrap();
        }
        let from = rng.u32(..20_000);
        table.delete_range(&key(from)[..]..&key(from + rng.u32(..400))[..]).unwrap();
        let name = if n % 20 == 8 { "sets of it" } else { "sets" };
        let mut sets = txn.open_set(name).unwrap();
        let gone = rng.u32(..12_000);
        sets.remove(&key(gone % 8), &key(gone)).unwrap();
        match n % 20 {
            3 => assert_eq!(txn.drop_table("other").unwrap(), n > 12),
            7 => txn.rename_table("sets", "sets of it").unwrap(),
            8 => txn.rename_table("sets of it", "sets").unwrap(),
            12 => txn.copy_table("main", "other").unwrap(),
            _ => {}
        }
        txn.commit().unwrap();
    }
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().clear().unwrap();
    txn.commit().unwrap();
    assert_clean(&db);
    drop(db);
    let (reads, report, told) = counted_check(&path);
    assert_eq!(report.snapshots, 200);
    let pages = report.meta.page_count;
    assert!(reads <= 2 * pages, "{reads} reads of {pages} pages for 200 snapshots");
    // Most of the file is the snapshots', and not done before they are.
    let theirs = report.snapshot_pages;
    assert!(theirs > pages / 2);
    let midway = pages - theirs / 4 * 3..pages - theirs / 4;
    assert!(told.iter().any(|done| midway.contains(done)), "{told:?} of {pages}");
    assert!(told.is_sorted() && told.last() == Some(&pages));
}
