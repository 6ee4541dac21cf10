//! Differences between typed tables, of both kinds, against those between maps and between sets.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::typed::{SetDef, TableDef, TypedChange, TypedDiff, TypedSetDiff};
use recto::{Builder, Database, Durability, Error, PairChange, ReadTxn, WriteTxn};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

type Map = BTreeMap<(String, i16), String>;
type Set = BTreeSet<(String, Value)>;
type Value = (i16, Reverse<u8>);
type MapDef<'n> = TableDef<'n, (&'static str, i16), &'static str>;
type SetOf<'n> = SetDef<'n, &'static str, Value>;

const MAP: MapDef<'_> = TableDef::new("map");
const SET: SetOf<'_> = SetDef::new("set");

type MapItem = ((String, i16), TypedChange<String>);
type SetItem = (String, Value, PairChange);

fn unlike_maps(old: &Map, new: &Map) -> Vec<MapItem> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let change = |key: (String, i16)| {
        let change = match (old.get(&key).cloned(), new.get(&key).cloned()) {
            (Some(old), Some(new)) if old != new => TypedChange::Changed { old, new },
            (Some(old), None) => TypedChange::Removed(old),
            (None, Some(new)) => TypedChange::Added(new),
            _ => return None,
        };
        Some((key, change))
    };
    keys.into_iter().filter_map(change).collect()
}

fn unlike_sets(old: &Set, new: &Set) -> Vec<SetItem> {
    let change = |pair: &(String, Value)| {
        let change = if new.contains(pair) { PairChange::Added } else { PairChange::Removed };
        (pair.0.clone(), pair.1, change)
    };
    old.symmetric_difference(new).map(change).collect()
}

fn map_items(
    changes: TypedDiff<'_, (&'static str, i16), &'static str>,
) -> impl DoubleEndedIterator<Item = MapItem> {
    let owned = |change: TypedChange<&str>| match change {
        TypedChange::Added(new) => TypedChange::Added(new.to_owned()),
        TypedChange::Removed(old) => TypedChange::Removed(old.to_owned()),
        TypedChange::Changed { old, new } => {
            TypedChange::Changed { old: old.to_owned(), new: new.to_owned() }
        }
    };
    changes.map(move |change| {
        let (key, change) = change.unwrap();
        assert_eq!(change.old().is_some(), !matches!(change, TypedChange::Added(_)));
        assert_eq!(change.new().is_some(), !matches!(change, TypedChange::Removed(_)));
        (key, owned(change))
    })
}

fn set_items(
    changes: TypedSetDiff<'_, &'static str, Value>,
) -> impl DoubleEndedIterator<Item = SetItem> {
    changes.map(Result::unwrap)
}

/// A walk gives this, from whichever end.
fn gives<T: PartialEq + std::fmt::Debug>(
    mut walk: impl DoubleEndedIterator<Item = T>,
    expected: &[T],
    rng: &mut Rng,
) {
    let (mut left, share) = (expected, rng.u8(..=10));
    while let [first, .., last] | [first @ last] = left {
        if rng.u8(..10) < share {
            assert_eq!(walk.next().as_ref(), Some(first));
            left = &left[1..];
        } else {
            assert_eq!(walk.next_back().as_ref(), Some(last));
            left = &left[..left.len() - 1];
        }
    }
    assert!(walk.next().is_none() && walk.next_back().is_none());
}

fn change(txn: &mut WriteTxn, (map, set): &mut (Map, Set), rng: &mut Rng, defs: &Defs) {
    let (maps, sets) = (txn.open_typed(&defs.0).unwrap(), txn.open_typed_set(&defs.1).unwrap());
    for _ in 0..rng.u8(1..60) {
        let name = ["", "ada", "ada\0", "bob"][rng.usize(..4)];
        let (n, text) = (rng.i16(-200..200), format!("text {}", rng.u8(..3)));
        if rng.u8(..3) > 0 {
            maps.put(txn, (name, n), &text).unwrap();
            map.insert((name.into(), n), text);
        } else {
            let there = maps.delete(txn, (name, n)).unwrap();
            assert_eq!(there, map.remove(&(name.to_owned(), n)).is_some());
        }
        let value = (rng.i16(-300..300), Reverse(rng.u8(..3)));
        if rng.u8(..3) > 0 {
            let new = sets.insert(txn, name, value).unwrap();
            assert_eq!(new, set.insert((name.into(), value)));
        } else {
            let there = sets.remove(txn, name, value).unwrap();
            assert_eq!(there, set.remove(&(name.into(), value)));
        }
    }
}

type Defs = (MapDef<'static>, SetOf<'static>);

fn compare(old: &(ReadTxn, (Map, Set)), new: &(ReadTxn, (Map, Set)), rng: &mut Rng, defs: &Defs) {
    let (maps, sets) = (unlike_maps(&old.1.0, &new.1.0), unlike_sets(&old.1.1, &new.1.1));
    let changes = new.0.diff_typed(&old.0, &defs.0, ..).unwrap();
    gives(map_items(changes), &maps, rng);
    let changes = new.0.diff_typed_set(&old.0, &defs.1, ..).unwrap();
    gives(set_items(changes), &sets, rng);
    // Of a part, and begun again behind any key or pair.
    let at = maps.partition_point(|((name, n), _)| (&**name, *n) < ("ada", 0));
    gives(map_items(new.0.diff_typed(&old.0, &defs.0, ("ada", 0)..).unwrap()), &maps[at..], rng);
    let at = sets.partition_point(|(name, ..)| &**name < "ada\0");
    gives(set_items(new.0.diff_typed_set(&old.0, &defs.1, .."ada\0").unwrap()), &sets[..at], rng);
    let Some((name, value, _)) = rng.choice(&sets) else { return };
    let (older, newer) = (old.0.typed_set(&defs.1).unwrap(), new.0.typed_set(&defs.1).unwrap());
    let rest = newer.diff_values(&older, name, (Excluded(*value), Unbounded)).unwrap();
    let behind = newer.diff(&older, (Excluded(&**name), Unbounded)).unwrap();
    let at = sets.partition_point(|(k, v, _)| (k, v) <= (name, value));
    gives(set_items(rest).chain(set_items(behind)), &sets[at..], rng);
}

#[test]
fn typed_differences_are_those_of_the_models() {
    let dir = memory_dir();
    let mut rng = Rng::with_seed(23);
    for (at, defs) in [(MAP, SET), (MAP.plain(), SET.plain())].into_iter().enumerate() {
        let db = open_at(&dir.path().join(format!("{at}.recto")), &Builder::default());
        let mut txn = db.write().unwrap();
        txn.create_typed(&defs.0).unwrap();
        txn.open_typed_set(&defs.1).unwrap();
        txn.commit().unwrap();
        let mut model = (Map::new(), Set::new());
        let mut kept = vec![(db.read().unwrap(), model.clone())];
        for _ in 0..if common::full() { 1_000 } else { 60 } {
            let mut txn = db.write().unwrap();
            txn.set_durability(Durability::Deferred);
            change(&mut txn, &mut model, &mut rng, &defs);
            let old = &kept[rng.usize(..kept.len())];
            // What is not committed yet.
            let now = (txn.typed(&defs.0).unwrap(), txn.typed_set(&defs.1).unwrap());
            let before = (old.0.typed(&defs.0).unwrap(), old.0.typed_set(&defs.1).unwrap());
            let (maps, sets) = (unlike_maps(&old.1.0, &model.0), unlike_sets(&old.1.1, &model.1));
            gives(map_items(now.0.diff(&before.0, ..).unwrap()), &maps, &mut rng);
            gives(set_items(now.1.diff(&before.1, ..).unwrap()), &sets, &mut rng);
            txn.commit().unwrap();
            kept.push((db.read().unwrap(), model.clone()));
            let (old, new) = (&kept[rng.usize(..kept.len())], &kept[rng.usize(..kept.len())]);
            compare(old, new, &mut rng, &defs);
            compare(new, old, &mut rng, &defs);
            if kept.len() > 6 {
                kept.swap_remove(rng.usize(..kept.len()));
            }
        }
        assert!(model.0.len() > 300 && model.1.len() > 500);
        drop(kept);
        assert_clean(&db);
    }
}

#[test]
fn a_named_snapshot_is_compared_with_types() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&MAP).unwrap().put(("ada", 1), "one").unwrap();
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    txn.create_snapshot("before").unwrap();
    txn.typed_mut(&MAP).unwrap().put(("ada", 1), "uno").unwrap();
    txn.typed_set_mut(&SET).unwrap().insert("ada", (1, Reverse(2))).unwrap();
    txn.commit().unwrap();
    let (before, now) = (db.read_snapshot("before").unwrap(), db.read().unwrap());
    let changes: Vec<_> = map_items(now.diff_typed(&before, &MAP, ..).unwrap()).collect();
    let changed = TypedChange::Changed { old: "one".to_owned(), new: "uno".to_owned() };
    assert_eq!(changes, [(("ada".to_owned(), 1), changed)]);
    // A table that is not there is empty.
    let changes: Vec<_> = set_items(now.diff_typed_set(&before, &SET, ..).unwrap()).collect();
    assert_eq!(changes, [("ada".to_owned(), (1, Reverse(2)), PairChange::Added)]);
    let changes: Vec<_> = set_items(before.diff_typed_set(&now, &SET, ..).unwrap()).collect();
    assert_eq!(changes, [("ada".to_owned(), (1, Reverse(2)), PairChange::Removed)]);
    drop((before, now));
    assert_clean(&db);
}

#[test]
fn what_cannot_be_compared_with_types_is_told() {
    let (one, other) = (Database::in_memory().unwrap(), Database::in_memory().unwrap());
    for db in [&one, &other] {
        let mut txn = db.write().unwrap();
        txn.typed_mut(&MAP).unwrap().put(("ada", 1), "one").unwrap();
        txn.typed_set_mut(&SET).unwrap().insert("ada", (1, Reverse(2))).unwrap();
        txn.commit().unwrap();
    }
    let (a, b) = (one.read().unwrap(), other.read().unwrap());
    let refused = |e: Error| matches!(e, Error::InvalidArgument(_));
    assert!(a.diff_typed(&b, &MAP, ..).is_err_and(refused));
    assert!(a.diff_typed_set(&b, &SET, ..).is_err_and(refused));
    assert!(a.typed(&MAP).unwrap().diff(&b.typed(&MAP).unwrap(), ..).is_err_and(refused));
    let (sets, others) = (a.typed_set(&SET).unwrap(), b.typed_set(&SET).unwrap());
    assert!(sets.diff(&others, ..).is_err_and(refused));
    assert!(sets.diff_values(&others, "ada", ..).is_err_and(refused));
    let none = |e: Error| matches!(e, Error::NoSuchTable(name) if name == "none");
    assert!(a.diff_typed(&a, &MapDef::new("none"), ..).is_err_and(none));
    assert!(a.diff_typed_set(&a, &SetOf::new("none"), ..).is_err_and(none));
    let types = |e: Error| matches!(e, Error::TableOptions { .. });
    assert!(a.diff_typed(&a, &TableDef::<u8, u8>::new("map"), ..).is_err_and(types));
    assert!(a.diff_typed(&a, &MapDef::new("set"), ..).is_err_and(types));
    assert!(a.diff_typed_set(&a, &SetDef::<u8, u8>::new("set"), ..).is_err_and(types));
    assert!(a.diff_typed_set(&a, &SetOf::new("map"), ..).is_err_and(types));

    // Bytes of no type end it, from whichever end.
    let mut txn = one.write().unwrap();
    txn.typed_mut(&MAP).unwrap().put(("bob", 1), "two").unwrap();
    txn.open_table("map").unwrap().put(b"ada", b"three").unwrap();
    txn.commit().unwrap();
    let newer = one.read().unwrap();
    let mut changes = newer.diff_typed(&a, &MAP, ..).unwrap();
    let wrong = |e: Error| matches!(e, Error::Decode { .. });
    assert!(changes.next().unwrap().is_err_and(wrong));
    assert!(changes.next().is_none() && changes.next_back().is_none());
    let mut changes = newer.diff_typed(&a, &MAP, ..).unwrap();
    assert_eq!(changes.next_back().unwrap().unwrap().0, ("bob".to_owned(), 1));
    assert!(changes.next_back().unwrap().is_err_and(wrong) && changes.next().is_none());
    drop((a, b, newer));
    assert_clean(&one);
    assert_clean(&other);
}
