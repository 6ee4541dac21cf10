//! Differences between tables of sets against those between sets of pairs: values that stand alone,
//! in lists and in trees, and come from each of these to each other; open transactions with
//! savepoints, readers of every age.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::PairChange::{Added, Removed};
use recto::{
    Builder, ChangedPair, Database, Durability, Error, PairChange, ReadTxn, Result, SetTable, Sink,
    TableOptions, WriteTxn,
};
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

type Pair = (Vec<u8>, Vec<u8>);
type Model = BTreeSet<Pair>;
type Item = (Vec<u8>, Vec<u8>, PairChange);

fn unlike(old: &Model, new: &Model) -> Vec<Item> {
    let gone = old.difference(new).map(|(key, value)| (key.clone(), value.clone(), Removed));
    let mut all: Vec<_> =
        new.difference(old).map(|(k, v)| (k.clone(), v.clone(), Added)).chain(gone).collect();
    all.sort();
    all
}

fn item(pair: Result<ChangedPair<'_>>) -> Item {
    let (key, value, change) = pair.unwrap();
    (key.into_vec(), value.into_vec(), change)
}

/// Two tables in every way; how much was different.
fn compare(
    (old, before): (&SetTable<'_>, &Model),
    (new, after): (&SetTable<'_>, &Model),
    rng: &mut Rng,
) -> usize {
    let expected = unlike(before, after);
    let diff = || new.diff(old, ..).unwrap();
    assert_eq!(diff().map(item).collect::<Vec<_>>(), expected);
    let mut back: Vec<_> = diff().rev().map(item).collect();
    back.reverse();
    assert_eq!(back, expected);
    // Both ends in turn, which most often meet inside of one key.
    let (mut ends, mut left) = (diff(), &expected[..]);
    let share = rng.u8(1..=9);
    while let [first, .., last] | [first @ last] = left {
        if rng.u8(..10) < share {
            assert_eq!(ends.next().map(item).as_ref(), Some(first));
            left = &left[1..];
        } else {
            assert_eq!(ends.next_back().map(item).as_ref(), Some(last));
            left = &left[..left.len() - 1];
        }
    }
    assert!(ends.next().is_none() && ends.next_back().is_none());
    // Begun again behind any pair: what is left of its key, then the keys behind it.
    if let Some((key, value, _)) = rng.choice(&expected) {
        let rest = new.diff_values(old, key, (Excluded(&value[..]), Unbounded)).unwrap();
        let behind = new.diff(old, (Excluded(&key[..]), Unbounded)).unwrap();
        let found: Vec<_> = rest.chain(behind).map(item).collect();
        let at = expected.partition_point(|(k, v, _)| (k, v) <= (key, value));
        assert_eq!(found, expected[at..]);
        let rest = new.diff_values(old, key, ..=&value[..]).unwrap().rev();
        let before = new.diff(old, ..&key[..]).unwrap().rev();
        let mut found: Vec<_> = rest.chain(before).map(item).collect();
        found.reverse();
        assert_eq!(found, expected[..at]);
    }
    expected.len()
}

struct Run {
    rng: Rng,
    value_size: u16,
    model: Model,
    changes: u64,
}

impl Run {
    fn value(&self, n: u32) -> Vec<u8> {
        match self.value_size {
            0 if n % 50 == 7 => [&n.to_be_bytes()[..], &vec![7; 300 + n as usize % 900]].concat(),
            0 => format!("value {n}").into_bytes(),
            size => {
                let mut value = vec![1; size.into()];
                value[..4].copy_from_slice(&n.to_be_bytes());
                value
            }
        }
    }

    /// Values of one key, or of many, one after the other, come or go.
    fn change(&mut self, txn: &mut WriteTxn) {
        let options = TableOptions::set_of(self.value_size);
        let mut table = txn.open_set_with("sets", &options).unwrap();
        let key = |rng: &mut Rng| match rng.u8(..3) {
            0 => format!("rare {:03}", rng.u16(..400)).into_bytes(),
            _ => vec![b'k', rng.u8(..5)],
        };
        let of = key(&mut self.rng);
        match self.rng.u8(..20) {
            0 => {
                let there = self.model.len();
                self.model.retain(|(key, _)| *key != of);
                assert_eq!(table.remove_all(&of).unwrap() as usize, there - self.model.len());
            }
            1 => {
                let end = [&of[..], &[0xff]].concat();
                table.delete_range(&of[..]..&end[..]).unwrap();
                self.model.retain(|(key, _)| *key < of || *key >= end);
            }
            how => {
                let many = [1, 1, 3, 30, 250][self.rng.usize(..5)];
                let from = self.rng.u32(..1_500);
                let comes = how < 12;
                for n in from..from + self.rng.u32(1..=many) {
                    let value = self.value(n);
                    let pair = (of.clone(), value.clone());
                    if comes {
                        assert_eq!(table.insert(&of, &value).unwrap(), self.model.insert(pair));
                    } else {
                        assert_eq!(table.remove(&of, &value).unwrap(), self.model.remove(&pair));
                    }
                    self.changes += 1;
                }
            }
        }
    }
}

fn run(page_size: usize, sink: Sink, value_size: u16, seed: u64) -> (u64, usize) {
    let dir = memory_dir();
    let mut builder = Builder::default();
    builder.page_size(page_size).sink(sink);
    let db = open_at(&dir.path().join("x.recto"), &builder);
    let (rng, model) = (Rng::with_seed(seed), Model::new());
    let mut run = Run { rng, value_size, model, changes: 0 };
    let mut txn = db.write().unwrap();
    txn.open_set_with("sets", &TableOptions::set_of(value_size)).unwrap();
    txn.commit().unwrap();
    let mut kept: Vec<(ReadTxn, Model)> = vec![(db.read().unwrap(), Model::new())];
    let (mut found, mut trees) = (0, 0);
    let changes = if common::full() { 200_000 } else { 15_000 };
    while run.changes < changes {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        let before = run.model.clone();
        for _ in 0..run.rng.u8(1..12) {
            run.change(&mut txn);
        }
        if run.rng.bool() {
            let (point, saved) = (txn.savepoint().unwrap(), run.model.clone());
            for _ in 0..4 {
                run.change(&mut txn);
            }
            if run.rng.bool() {
                txn.rollback_to(&point).unwrap();
                run.model = saved;
            } else {
                txn.release(point).unwrap();
            }
        }
        let old = &kept[run.rng.usize(..kept.len())];
        let older = old.0.set("sets").unwrap();
        {
            let now = txn.set("sets").unwrap();
            let rng = &mut run.rng;
            found += compare((&older, &old.1), (&now, &run.model), rng);
            found += compare((&now, &run.model), (&older, &old.1), rng);
            trees += u32::from(now.stats().overflow_pages > 0);
        }
        if run.rng.u8(..8) == 0 {
            drop(txn);
            run.model = before;
            continue;
        }
        txn.commit().unwrap();
        kept.push((db.read().unwrap(), run.model.clone()));
        let new = &kept[kept.len() - 1];
        let old = &kept[run.rng.usize(..kept.len())];
        let changed: Vec<_> = new.0.diff_set(&old.0, "sets", ..).unwrap().map(item).collect();
        assert_eq!(changed, unlike(&old.1, &new.1));
        found += changed.len();
        if kept.len() > 7 {
            let gone = run.rng.usize(..kept.len());
            kept.swap_remove(gone);
        }
    }
    assert!(trees > 0, "no value has stood in a tree");
    drop(kept);
    assert_clean(&db);
    (run.changes, found)
}

#[test]
fn differences_of_sets_are_those_of_the_models() {
    let mut found = 0;
    for (page_size, sink, value_size, seed) in [
        (4096, Sink::Staged, 0, 1),
        (4096, Sink::Direct, 8, 2),
        (4096, Sink::Staged, 300, 3),
        (16_384, Sink::Staged, 0, 4),
        (65_536, Sink::Staged, 300, 5),
    ] {
        found += run(page_size, sink, value_size, seed).1;
    }
    assert!(found > 100_000, "{found}");
}

fn commit(db: &Database, change: impl FnOnce(&mut WriteTxn)) -> ReadTxn {
    let mut txn = db.write().unwrap();
    change(&mut txn);
    txn.commit().unwrap();
    db.read().unwrap()
}

/// One value, a list and a tree, each against each, and against nothing.
#[test]
fn every_representation_against_every_other() {
    for value_size in [0, 4] {
        let db = Database::in_memory().unwrap();
        let options = TableOptions::set_of(value_size);
        let states = [0u32, 1, 20, 3_000].map(|count| {
            let txn = commit(&db, |txn| {
                txn.drop_table("sets").unwrap();
                let mut table = txn.open_set_with("sets", &options).unwrap();
                for n in 0..count {
                    table.insert(b"key", &(7 * n).to_be_bytes()).unwrap();
                }
                table.insert(b"other", &[0; 4]).unwrap();
            });
            (txn, count)
        });
        for (old, before) in &states {
            for (new, after) in &states {
                let (older, newer) = (old.set("sets").unwrap(), new.set("sets").unwrap());
                let changes: Vec<_> = newer.diff(&older, ..).unwrap().map(item).collect();
                let change = if before < after { Added } else { Removed };
                let expected = (*before.min(after)..*before.max(after))
                    .map(|n| (b"key".to_vec(), (7 * n).to_be_bytes().to_vec(), change));
                assert!(changes.iter().cloned().eq(expected), "{before} to {after}");
                let back = newer.diff(&older, ..).unwrap().rev().map(item);
                assert!(back.eq(changes.into_iter().rev()), "{before} to {after}");
            }
        }
        assert_clean(&db);
    }
}

#[test]
fn what_cannot_be_compared_is_told() {
    let (one, other) = (Database::in_memory().unwrap(), Database::in_memory().unwrap());
    let fill = |txn: &mut WriteTxn| {
        txn.open_set("sets").unwrap().insert(b"key", b"value").unwrap();
        txn.open_table("map").unwrap().put(b"key", b"value").unwrap();
    };
    let before = one.read().unwrap();
    let (a, b) = (commit(&one, fill), commit(&other, fill));
    let refused = |result: Result<()>| assert!(matches!(result, Err(Error::InvalidArgument(_))));
    refused(a.diff_set(&b, "sets", ..).map(drop));
    refused(a.set("sets").unwrap().diff(&b.set("sets").unwrap(), ..).map(drop));
    let of_key = a.set("sets").unwrap();
    refused(of_key.diff_values(&b.set("sets").unwrap(), b"key", ..).map(drop));
    assert!(matches!(a.diff_set(&a, "none", ..).map(drop), Err(Error::NoSuchTable(_))));
    let kind = |result: Result<()>| assert!(matches!(result, Err(Error::TableOptions { .. })));
    kind(a.diff_set(&before, "map", ..).map(drop));
    kind(a.diff(&before, "sets", ..).map(drop));
    // A table that is not there is empty.
    let all: Vec<_> = a.diff_set(&before, "sets", ..).unwrap().map(item).collect();
    assert_eq!(all, [(b"key".to_vec(), b"value".to_vec(), Added)]);
    let all: Vec<_> = before.diff_set(&a, "sets", ..).unwrap().map(item).collect();
    assert_eq!(all, [(b"key".to_vec(), b"value".to_vec(), Removed)]);
    assert_eq!(a.diff_set(&a, "sets", ..).unwrap().count(), 0);
    drop((a, b, before));
    assert_clean(&one);
    assert_clean(&other);
}
