//! Differences between snapshots against those between models: tables dropped and made again,
//! aligned, with large values, open transactions with savepoints, readers of every age.

mod common;

use common::{assert_clean, disk_dir, memory_dir, open_at};
use fastrand::Rng;
use recto::{
    Builder, Change, Database, Diff, Durability, Error, ReadTxn, Result, Sink, TableOptions,
};
use std::collections::BTreeMap;
use std::ops::Bound;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = BTreeMap<String, Pairs>;
type Item = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

fn unlike(old: &Pairs, new: &Pairs) -> Vec<Item> {
    let all: BTreeMap<_, _> = old.iter().chain(new).collect();
    let unlike = all.into_keys().filter(|&key| old.get(key) != new.get(key));
    unlike.map(|key| (key.clone(), old.get(key).cloned(), new.get(key).cloned())).collect()
}

fn items<'t>(diff: impl Iterator<Item = Result<(recto::Key<'t>, Change<'t>)>>) -> Vec<Item> {
    let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
    let item = |(key, change): (recto::Key<'_>, Change<'_>)| {
        (key.to_vec(), owned(change.old()), owned(change.new()))
    };
    diff.map(|change| item(change.unwrap())).collect()
}

/// A snapshot and what it holds.
type Kept = (ReadTxn, Model);

/// All tables of two snapshots, both ways and from both ends, and begun again in the middle.
fn compare(old: &Kept, new: &Kept, rng: &mut Rng) -> usize {
    let nothing = Pairs::new();
    let mut found = 0;
    let mut names: Vec<_> = old.1.keys().chain(new.1.keys()).collect();
    names.sort();
    names.dedup();
    let changed = new.0.diff_tables(&old.0).unwrap();
    let named =
        |name: &str| changed.iter().find(|c| c.new.iter().chain(&c.old).any(|t| t.name == name));
    for name in names {
        let pairs = |kept: &Kept| kept.1.get(name).cloned();
        let (before, after) = (pairs(old), pairs(new));
        let expected =
            unlike(before.as_ref().unwrap_or(&nothing), after.as_ref().unwrap_or(&nothing));
        let diff = || new.0.diff(&old.0, name, ..).unwrap();
        assert_eq!(items(diff()), expected);
        let mut back = items(diff().rev());
        back.reverse();
        assert_eq!(back, expected);
        let table = named(name);
        assert!(table.is_some() || (before == after && expected.is_empty()));
        if let Some(table) = table {
            assert_eq!(table.old.as_ref().map(|t| t.stats.entries), before.map(|p| p.len() as u64));
            assert_eq!(table.new.as_ref().map(|t| t.stats.entries), after.map(|p| p.len() as u64));
        }
        if let Some((key, ..)) = rng.choice(&expected) {
            let (mut first, second): (Vec<_>, Vec<_>) =
                expected.iter().cloned().partition(|(k, ..)| k <= key);
            let behind = (Bound::Excluded(&key[..]), Bound::Unbounded);
            assert_eq!(items(new.0.diff(&old.0, name, behind).unwrap()), second);
            let back = items(new.0.diff(&old.0, name, ..=&key[..]).unwrap().rev());
            first.reverse();
            assert_eq!(back, first);
        }
        found += expected.len();
    }
    found
}

struct Run {
    rng: Rng,
    model: Model,
    steps: u64,
}

impl Run {
    fn key(&mut self) -> Vec<u8> {
        match self.rng.u8(..5) {
            0 => format!("https://example.org/{:03}", self.rng.u16(..900)).into(),
            1 => vec![self.rng.u8(..4); self.rng.usize(1..300)],
            _ => self.rng.u16(..2500).to_be_bytes().to_vec(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.rng.u8(..30) {
            0 => self.rng.usize(..20_000),
            1..=2 => self.rng.usize(1000..4000),
            _ => self.rng.usize(..60),
        };
        vec![self.rng.u8(..3); len]
    }

    fn change(&mut self, txn: &mut recto::WriteTxn) {
        self.steps += 1;
        let name = format!("table{}", self.rng.u8(..4));
        if self.rng.u16(..900) == 0 {
            assert_eq!(txn.drop_table(&name).unwrap(), self.model.remove(&name).is_some());
            return;
        }
        if !self.model.contains_key(&name) {
            let align = [0, 0, 8, 64, 4096][self.rng.usize(..5)];
            let options = match align {
                0 => TableOptions::default(),
                align => TableOptions::aligned(align),
            };
            txn.create_table_with(&name, &options).unwrap();
            self.model.insert(name.clone(), Pairs::new());
        }
        let (key, value) = (self.key(), self.value());
        let mut table = txn.open_table(&name).unwrap();
        let pairs = self.model.get_mut(&name).unwrap();
        match self.rng.u8(..40) {
            0..10 => assert_eq!(table.delete(&key).unwrap(), pairs.remove(&key).is_some()),
            10 => {
                let end = [&key[..], &[9]].concat();
                table.delete_range(&key[..]..&end[..]).unwrap();
                pairs.retain(|k, _| *k < key || *k >= end);
            }
            _ => {
                table.put(&key, &value).unwrap();
                pairs.insert(key, value);
            }
        }
    }

    /// The open transaction beside a snapshot that stands before it.
    fn compare_open(&mut self, txn: &recto::WriteTxn, old: &Kept) {
        for (name, pairs) in &self.model {
            let (Some(before), Some(older)) = (old.0.table_opt(name).unwrap(), old.1.get(name))
            else {
                continue;
            };
            let now = txn.table(name).unwrap();
            assert_eq!(items(now.diff(&before, ..).unwrap()), unlike(older, pairs));
            assert_eq!(items(before.diff(&now, ..).unwrap()), unlike(pairs, older));
        }
    }
}

fn run(builder: &Builder, steps: u64, seed: u64) -> (u64, usize) {
    let dir = memory_dir();
    let db = open_at(&dir.path().join("x.recto"), builder);
    let mut run = Run { rng: Rng::with_seed(seed), model: Model::new(), steps: 0 };
    let mut kept: Vec<Kept> = vec![(db.read().unwrap(), Model::new())];
    let mut found = 0;
    while run.steps < steps {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        let before = run.model.clone();
        let many = [3, 30, 400][run.rng.usize(..3)];
        for _ in 0..run.rng.u64(1..many) {
            run.change(&mut txn);
        }
        if run.rng.bool() {
            // What is undone leaves no trace, and pages of a released savepoint get a newer id.
            let point = txn.savepoint().unwrap();
            let saved = run.model.clone();
            for _ in 0..20 {
                run.change(&mut txn);
            }
            if run.rng.bool() {
                txn.rollback_to(&point).unwrap();
                run.model = saved;
            } else {
                txn.release(point).unwrap();
            }
        }
        let index = run.rng.usize(..kept.len());
        run.compare_open(&txn, &kept[index]);
        if run.rng.u8(..8) == 0 {
            drop(txn);
            run.model = before;
            continue;
        }
        txn.commit().unwrap();
        kept.push((db.read().unwrap(), run.model.clone()));
        let new = &kept[kept.len() - 1];
        found += compare(&kept[index], new, &mut run.rng);
        if run.rng.u8(..4) == 0 {
            found += compare(new, &kept[index], &mut run.rng);
        }
        if kept.len() > 7 {
            let gone = run.rng.usize(..kept.len());
            kept.swap_remove(gone);
        }
    }
    drop(kept);
    assert_clean(&db);
    (run.steps, found)
}

#[test]
fn differences_are_those_of_the_models() {
    let mut found = 0;
    for (page_size, sink, seed) in [
        (4096, Sink::Staged, 1),
        (4096, Sink::Direct, 2),
        (16_384, Sink::Staged, 3),
        (65_536, Sink::Staged, 4),
    ] {
        let mut builder = Builder::default();
        builder.page_size(page_size).sink(sink);
        found += run(&builder, if common::full() { 200_000 } else { 8_000 }, seed).1;
    }
    assert!(found > 50_000, "{found}");
}

fn with_one_table(db: &Database, value: &[u8]) -> ReadTxn {
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(b"key", value).unwrap();
    txn.commit().unwrap();
    db.read().unwrap()
}

#[test]
fn what_is_compared_is_read_through_one_handle() {
    let (one, other) = (Database::in_memory().unwrap(), Database::in_memory().unwrap());
    let (a, b) = (with_one_table(&one, b"1"), with_one_table(&other, b"1"));
    let refused = |result: Result<()>| assert!(matches!(result, Err(Error::InvalidArgument(_))));
    refused(a.diff(&b, "main", ..).map(drop));
    refused(a.diff_tables(&b).map(drop));
    refused(a.table("main").unwrap().diff(&b.table("main").unwrap(), ..).map(drop));
    assert!(matches!(a.diff(&a, "none", ..).map(drop), Err(Error::NoSuchTable(_))));
    assert_eq!(items(a.diff(&a, "main", ..).unwrap()), []);
    assert_eq!(a.diff_tables(&a).unwrap(), []);
    assert_clean(&one);
    assert_clean(&other);
}

#[test]
fn a_renamed_table_is_one_gone_and_one_made() {
    let db = Database::in_memory().unwrap();
    let old = with_one_table(&db, b"1");
    let mut txn = db.write().unwrap();
    txn.rename_table("main", "other").unwrap();
    txn.commit().unwrap();
    let new = db.read().unwrap();
    let changes = new.diff_tables(&old).unwrap();
    let names: Vec<_> = changes
        .iter()
        .map(|c| (c.old.as_ref().map(|t| &t.name[..]), c.new.as_ref().map(|t| &t.name[..])))
        .collect();
    assert_eq!(names, [(Some("main"), None), (None, Some("other"))]);
    // The pages are the same: two tables of one database can be compared.
    let (before, after) = (old.table("main").unwrap(), new.table("other").unwrap());
    assert_eq!(after.diff(&before, ..).unwrap().count(), 0);
    assert_eq!(new.diff(&old, "main", ..).unwrap().count(), 1);
    assert_clean(&db);
}

/// A reader of the older state is enough to go on behind the last key in a later transaction.
#[test]
fn a_walk_goes_on_behind_its_last_key() {
    let dir = disk_dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    let write = |value: u8| {
        let mut txn = db.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        for n in 0..5000u32 {
            table.put(&n.to_be_bytes(), &[value]).unwrap();
        }
        txn.commit().unwrap();
    };
    write(1);
    let old = db.read().unwrap();
    write(2);
    let (mut last, mut count) = (Bound::Unbounded, 0);
    loop {
        let new = db.read().unwrap();
        let from = last.as_ref().map(|key: &Vec<u8>| &key[..]);
        let diff: Diff<'_> = new.diff(&old, "main", (from, Bound::Unbounded)).unwrap();
        let some = items(diff.take(77));
        let Some((key, ..)) = some.last() else { break };
        count += some.len();
        last = Bound::Excluded(key.clone());
    }
    assert_eq!(count, 5000);
    drop(old);
    assert_clean(&db);
}
