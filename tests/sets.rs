//! Tables of sets, by their public interface: LMDB's `MDB_DUPSORT` and `MDB_DUPFIXED`, redb's
//! multimaps.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::{Database, Durability, Error, SetTable, Sink, TableKind, TableOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Bound;

type Model = BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>;

fn key(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => vec![rng.u8(..2)],
        _ => format!("key/{}", rng.u8(..60)).into_bytes(),
    }
}

fn value(rng: &mut Rng, value_size: u16) -> Vec<u8> {
    let n = rng.u32(..6_000).to_be_bytes();
    match value_size {
        0 if rng.u8(..50) == 0 => vec![rng.u8(..); rng.usize(..1_500)],
        0 => format!("value {}", u32::from_be_bytes(n)).into_bytes(),
        size => {
            let mut value = vec![7; size.into()];
            value[..4].copy_from_slice(&n);
            value
        }
    }
}

fn list(values: recto::Values<'_>) -> Vec<Vec<u8>> {
    values.map(|value| value.unwrap().into_vec()).collect()
}

/// The table is the model: by key, by range, by pair, from both ends.
fn compare(table: &SetTable<'_>, model: &Model, rng: &mut Rng) {
    let pairs = model.values().map(|set| set.len() as u64).sum::<u64>();
    assert_eq!((table.len(), table.key_count()), (pairs, model.len() as u64));
    assert_eq!(table.is_empty(), model.is_empty());
    let mut found = Model::new();
    for entry in table.iter().unwrap() {
        let (key, values) = entry.unwrap();
        assert_eq!(values.set_len(), model[&*key].len() as u64);
        found.insert(key.into_vec(), list(values).into_iter().collect());
    }
    assert_eq!(found, *model);
    let all: Vec<_> =
        model.iter().flat_map(|(k, set)| set.iter().map(move |v| (&k[..], &v[..]))).collect();
    // Both ends at once.
    let (mut front, mut back) = (Vec::new(), Vec::new());
    let mut walk = table.pairs(..).unwrap();
    loop {
        let forward = rng.bool();
        let Some(pair) = (if forward { walk.next() } else { walk.next_back() }) else { break };
        if forward { front.push(pair.unwrap()) } else { back.push(pair.unwrap()) }
    }
    back.reverse();
    front.extend(back);
    assert!(front.iter().map(|(k, v)| (&**k, &**v)).eq(all.iter().copied()));
    let ends = [table.first().unwrap(), table.last().unwrap()];
    let ends = ends.each_ref().map(|end| end.as_ref().map(|(k, v)| (&**k, &**v)));
    assert_eq!(ends, [all.first().copied(), all.last().copied()]);
    for _ in 0..30 {
        let (key, from) = (key(rng), value(rng, table.value_size().unwrap_or(0) as u16));
        let empty = BTreeSet::new();
        let set = model.get(&key).unwrap_or(&empty);
        assert_eq!(table.count(&key).unwrap(), set.len() as u64);
        assert_eq!(table.contains_key(&key).unwrap(), !set.is_empty());
        assert_eq!(table.contains(&key, &from).unwrap(), set.contains(&from));
        let bounds = (Bound::Excluded(&from[..]), Bound::Unbounded);
        let above: Vec<_> = set.range::<[u8], _>(bounds).cloned().collect();
        assert_eq!(list(table.values(&key, bounds).unwrap()), above);
        let below: Vec<_> = set.range(..=from.clone()).rev().cloned().collect();
        let found = table.values(&key, ..=&from[..]).unwrap().rev();
        assert_eq!(found.map(|v| v.unwrap().into_vec()).collect::<Vec<_>>(), below);
        // Some one by one from both ends, and what is left in slices; none where there are none.
        let (mut values, mut left) = (table.get(&key).unwrap(), set.iter());
        for _ in 0..rng.usize(..4) {
            let forward = rng.bool();
            let found = if forward { values.next() } else { values.next_back() };
            let expected = if forward { left.next() } else { left.next_back() };
            assert_eq!(found.map(|value| value.unwrap().into_vec()).as_ref(), expected);
        }
        let mut bytes = Vec::new();
        while let Some(slice) = values.next_slice().unwrap() {
            assert!(table.value_size().is_some_and(|size| slice.len().is_multiple_of(size)));
            bytes.extend_from_slice(slice);
        }
        for value in values {
            assert!(table.value_size().is_none());
            bytes.extend_from_slice(&value.unwrap());
        }
        assert_eq!(bytes, left.flatten().copied().collect::<Vec<_>>());
    }
    let (a, b) = (key(rng), key(rng));
    let (a, b) = (a.clone().min(b.clone()), a.max(b));
    let keys = table.range(&a[..]..&b[..]).unwrap().map(|entry| entry.unwrap().0.into_vec());
    assert!(keys.eq(model.range(a..b).map(|(k, _)| k.clone())));
}

/// Random changes in nested transactions, some of which are undone.
fn change(
    txn: &mut recto::WriteTxn,
    model: &mut Model,
    rng: &mut Rng,
    options: &TableOptions,
    depth: u8,
) {
    let TableKind::Set { value_size } = options.kind else { unreachable!() };
    for _ in 0..rng.usize(1..150) {
        let (key, value) = (key(rng), value(rng, value_size));
        let mut table = txn.open_set_with("sets", options).unwrap();
        match rng.u8(..40) {
            0..24 => {
                let new = model.entry(key.clone()).or_default().insert(value.clone());
                assert_eq!(table.insert(&key, &value).unwrap(), new);
            }
            24..36 => {
                let set = model.get_mut(&key);
                let there = set.is_some_and(|set| set.remove(&value));
                model.retain(|_, set| !set.is_empty());
                assert_eq!(table.remove(&key, &value).unwrap(), there);
            }
            36 => {
                let set = model.remove(&key).unwrap_or_default();
                assert_eq!(table.remove_all(&key).unwrap(), set.len() as u64);
            }
            37 if rng.bool() => {
                let low = rng.u8(..120);
                let gone = table.retain(&key[..].., |_, v| *v.last().unwrap_or(&0) >= low).unwrap();
                let before = model.values().map(BTreeSet::len).sum::<usize>();
                for (_, set) in model.range_mut(key..) {
                    set.retain(|v| *v.last().unwrap_or(&0) >= low);
                }
                model.retain(|_, set| !set.is_empty());
                let after = model.values().map(BTreeSet::len).sum::<usize>();
                assert_eq!(gone, (before - after) as u64);
                let first = model.first_key_value().map(|(k, v)| (k.clone(), v.first().cloned()));
                let last = model.last_key_value().map(|(k, v)| (k.clone(), v.last().cloned()));
                if model.len() > 1 {
                    let popped = table.pop_first().unwrap().map(|(k, v)| (k, Some(v)));
                    assert_eq!(popped, first);
                    let popped = table.pop_last().unwrap().map(|(k, v)| (k, Some(v)));
                    assert_eq!(popped, last);
                    for (key, value) in [first.unwrap(), last.unwrap()] {
                        model.get_mut(&key).unwrap().remove(&value.unwrap());
                    }
                    model.retain(|_, set| !set.is_empty());
                }
            }
            37 => {
                let n = list(table.get(&key).unwrap()).len();
                for value in list(table.get(&key).unwrap()).into_iter().take(n / 2) {
                    assert!(table.remove(&key, &value).unwrap());
                    model.get_mut(&key).unwrap().remove(&value);
                }
                model.retain(|_, set| !set.is_empty());
            }
            38 if depth > 0 => {
                let before = model.clone();
                let savepoint = txn.savepoint().unwrap();
                change(txn, model, rng, options, depth - 1);
                if rng.bool() {
                    txn.rollback_to(&savepoint).unwrap();
                    *model = before;
                } else {
                    txn.release(savepoint).unwrap();
                }
            }
            39 if rng.u8(..8) == 0 => {
                let end = [&key[..], &[0]].concat();
                let gone = table.delete_range(&key[..]..&end[..]).unwrap();
                let set = model.remove(&key).unwrap_or_default();
                assert_eq!(gone, set.len() as u64);
            }
            _ => {}
        }
    }
}

fn run(db: &Database, options: &TableOptions, rounds: usize, seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    let mut model = Model::new();
    let mut held = Vec::new();
    for _ in 0..rounds {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        let before = model.clone();
        change(&mut txn, &mut model, rng, options, 3);
        if let Some(table) = txn.set_opt("sets").unwrap() {
            compare(&table, &model, rng);
        }
        if rng.u8(..4) > 0 {
            txn.commit().unwrap();
        } else {
            model = before;
        }
        let txn = db.read().unwrap();
        if let Some(table) = txn.set_opt("sets").unwrap() {
            compare(&table, &model, rng);
            if rng.u8(..4) == 0 {
                held.push((txn, model.clone()));
            }
        }
        if held.len() > 3 {
            let (txn, model) = held.remove(0);
            compare(&txn.set("sets").unwrap(), &model, rng);
        }
        if rng.u8(..10) == 0 {
            assert_clean(db);
        }
    }
    assert_clean(db);
    for (txn, model) in held {
        compare(&txn.set("sets").unwrap(), &model, rng);
    }
    let mut txn = db.write().unwrap();
    assert!(txn.drop_table("sets").unwrap());
    txn.commit().unwrap();
    assert_clean(db);
}

#[test]
fn sets_are_what_a_map_of_sets_is() {
    let dir = memory_dir();
    for (i, value_size) in [0, 4, 16, 0, 700].into_iter().enumerate() {
        for (j, sink) in [Sink::Staged, Sink::Direct].into_iter().enumerate() {
            let mut builder = Database::builder();
            builder.page_size([4096, 16_384][j]).sink(sink).stage_bytes(1 << 16);
            let db = open_at(&dir.path().join(format!("{i}-{j}")), &builder);
            run(&db, &TableOptions::set_of(value_size), 25, (i * 10 + j) as u64);
        }
    }
    let db = Database::in_memory().unwrap();
    run(&db, &TableOptions::set(), 40, 99);
}

#[test]
fn sets_come_back_and_kinds_are_not_mixed_up() {
    let dir = memory_dir();
    let path = dir.path().join("db");
    {
        let db = open_at(&path, &Database::builder());
        let mut txn = db.write().unwrap();
        let mut table = txn.open_set_with("ids", &TableOptions::set_of(8)).unwrap();
        for n in 0..3_000u64 {
            table.insert(&[(n % 3) as u8], &n.to_be_bytes()).unwrap();
        }
        txn.open_table("map").unwrap().put(b"k", b"v").unwrap();
        txn.commit().unwrap();
    }
    let db = open_at(&path, &Database::builder());
    let txn = db.read().unwrap();
    let table = txn.set("ids").unwrap();
    assert_eq!((table.len(), table.key_count(), table.value_size()), (3_000, 3, Some(8)));
    assert_eq!(table.stats().pairs, 3_000);
    assert!(matches!(txn.table("ids"), Err(Error::TableOptions { .. })));
    assert!(matches!(txn.set("map"), Err(Error::TableOptions { .. })));
    assert!(matches!(txn.set("none"), Err(Error::NoSuchTable(_))));
    assert!(txn.set_opt("none").unwrap().is_none());
    let options = txn.table_options("ids").unwrap().unwrap();
    assert_eq!(options.kind, TableKind::Set { value_size: 8 });
    let infos = txn.tables().unwrap();
    assert_eq!(infos.iter().map(|info| info.stats.pairs).collect::<Vec<_>>(), [3_000, 1]);

    let mut txn = db.write().unwrap();
    let refused = |what: Result<(), Error>| {
        assert!(matches!(what, Err(Error::TableOptions { .. } | Error::InvalidArgument(_))));
    };
    refused(txn.open_table("ids").map(drop));
    refused(txn.open_table_with("ids", &TableOptions::set()).map(drop));
    refused(txn.open("ids").map(drop));
    refused(txn.open_with("new", &TableOptions::set()).map(drop));
    refused(txn.create_table_with("new", &TableOptions::set()).map(drop));
    refused(txn.open_set("map").map(drop));
    refused(txn.open_set_with("ids", &TableOptions::set_of(4)).map(drop));
    refused(txn.open_set_with("new", &TableOptions::default()).map(drop));
    refused(txn.open_set_with("new", &TableOptions::set_of(2_023)).map(drop));
    refused(txn.table("ids").map(drop));
    refused(txn.set("map").map(drop));
    let (ids, map) = (txn.open_set("ids").unwrap().id(), txn.open("map").unwrap());
    refused(txn.get(ids, b"k").map(drop));
    refused(txn.put(ids, b"k", b"v").map(drop));
    refused(txn.delete(ids, &[0]).map(drop));
    refused(txn.view(ids).map(drop));
    refused(txn.edit(ids).map(drop));
    refused(txn.view_set(map).map(drop));
    refused(txn.edit_set(map).map(drop));
    let mut cursor = txn.cursor(ids);
    refused(cursor.first(&txn).map(drop));
    assert!(txn.table_opt("new").unwrap().is_none(), "nothing was made");
    assert_eq!(txn.edit_set(ids).unwrap().remove_all(&[1]).unwrap(), 1_000);
    txn.rename_table("ids", "numbers").unwrap();
    assert_eq!(txn.view_set(ids).unwrap().len(), 2_000);
    txn.commit().unwrap();
    assert_eq!(db.read().unwrap().set("numbers").unwrap().key_count(), 2);
    assert_clean(&db);
}

/// Values at the limits: empty ones, the longest, the longest beside the longest key.
#[test]
fn limits_of_values() {
    let db = Database::in_memory().unwrap();
    let max = db.max_key_len();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set("sets").unwrap();
    let (long_key, long) = (vec![b'k'; max], vec![b'v'; max]);
    for key in [&b""[..], b"k", &long_key] {
        for value in [&b""[..], b"a", b"b", &long] {
            assert!(table.insert(key, value).unwrap());
            assert!(!table.insert(key, value).unwrap());
        }
        assert_eq!(list(table.get(key).unwrap()), [&b""[..], b"a", b"b", &long]);
    }
    let more = vec![b'v'; max + 1];
    assert!(matches!(table.insert(b"k", &more), Err(Error::InvalidArgument(_))));
    assert!(matches!(table.insert(&more, b"v"), Err(Error::KeyTooLong { .. })));
    assert!(!table.contains(b"k", &more).unwrap() && !table.remove(b"k", &more).unwrap());
    assert!(!table.contains(&more, b"v").unwrap() && !table.remove(&more, b"v").unwrap());
    assert_eq!((table.len(), table.key_count()), (12, 3));
    for key in [&b""[..], b"k", &long_key] {
        for value in [&long[..], b"b", b"a", b""] {
            assert!(table.remove(key, value).unwrap());
        }
    }
    assert!(table.is_empty());
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Keys in order fill their leaves, although the last set grows value by value. In any order they
/// fill three quarters, as those of all trees do.
#[test]
fn sets_that_are_loaded_in_order_fill_their_leaves() {
    let db = Database::in_memory().unwrap();
    let loaded = |keys: &[u64]| {
        let mut txn = db.write().unwrap();
        let mut table = txn.open_set_with("sets", &TableOptions::set_of(8)).unwrap();
        for key in keys {
            for value in 0..2 + key % 23 {
                assert!(table.insert(&key.to_be_bytes(), &value.to_be_bytes()).unwrap());
            }
        }
        txn.commit().unwrap();
        let leaves = db.read().unwrap().set("sets").unwrap().stats().leaf_pages;
        assert_clean(&db);
        let mut txn = db.write().unwrap();
        assert!(txn.drop_table("sets").unwrap());
        txn.commit().unwrap();
        leaves
    };
    let mut keys: Vec<u64> = (0..6_000).collect();
    let ascending = loaded(&keys);
    keys.reverse();
    let descending = loaded(&keys);
    Rng::with_seed(7).shuffle(&mut keys);
    let shuffled = loaded(&keys);
    assert!(ascending * 10 < shuffled * 9, "{ascending} leaves, and {shuffled}");
    assert!(descending * 10 < shuffled * 9, "{descending} leaves, and {shuffled}");
}

/// What one key of many values costs is what the change costs, not what it has.
#[test]
fn a_change_of_one_value_of_many_writes_few_pages() {
    let dir = memory_dir();
    let db = open_at(&dir.path().join("db"), &Database::builder());
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set_with("ids", &TableOptions::set_of(8)).unwrap();
    for n in 0..400_000u64 {
        table.insert(b"key", &(2 * n).to_be_bytes()).unwrap();
    }
    txn.commit().unwrap();
    let free = |db: &Database| db.check(None).unwrap().meta.page_count;
    let before = free(&db);
    for n in 0..50u64 {
        let mut txn = db.write().unwrap();
        let mut table = txn.open_set("ids").unwrap();
        assert!(table.insert(b"key", &(n * 7_919 * 2 + 1).to_be_bytes()).unwrap());
        assert_eq!(table.count(b"key").unwrap(), 400_001 + n);
        txn.commit().unwrap();
    }
    assert!(free(&db) - before < 200, "{} pages", free(&db) - before);
    let txn = db.read().unwrap();
    let table = txn.set("ids").unwrap();
    assert_eq!(table.stats().leaf_pages, 1);
    assert_eq!(table.get(b"key").unwrap().count(), 400_050);
    assert_clean(&db);
}

/// LMDB's `MDB_GET_MULTIPLE`: all values of one size, a leaf at a time, nothing copied.
#[test]
fn slices_come_straight_from_the_leaves() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set_with("ids", &TableOptions::set_of(4)).unwrap();
    for n in 0..10_000u32 {
        table.insert(b"many", &n.to_be_bytes()).unwrap();
    }
    for n in 0..20u32 {
        table.insert(b"few", &n.to_be_bytes()).unwrap();
    }
    table.insert(b"one", b"1234").unwrap();
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let table = txn.set("ids").unwrap();
    let slices = |key: &[u8]| {
        let mut values = table.get(key).unwrap();
        let mut lens = Vec::new();
        while let Some(slice) = values.next_slice().unwrap() {
            lens.push(slice.len());
        }
        lens
    };
    assert_eq!((slices(b"one"), slices(b"few"), slices(b"none")), (vec![4], vec![80], vec![]));
    let many = slices(b"many");
    assert_eq!(many.iter().sum::<usize>(), 40_000);
    assert!(many.iter().all(|&len| len <= 4_072) && many.len() <= 11, "{many:?}");
    // A part, and what is left when some were taken one by one.
    let mut values = table.values(b"many", 100u32.to_be_bytes()..300u32.to_be_bytes()).unwrap();
    assert_eq!(&*values.next().unwrap().unwrap(), &100u32.to_be_bytes());
    assert_eq!(&*values.next_back().unwrap().unwrap(), &299u32.to_be_bytes());
    assert_eq!(values.next_slice().unwrap().unwrap().len(), 198 * 4);
    assert_eq!((values.next_slice().unwrap(), values.next().is_none()), (None, true));
    assert_clean(&db);
}

/// Values of any length are no slices: nothing is taken of them.
#[test]
fn values_of_any_length_are_not_lost_to_slices() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set("tags").unwrap();
    let sets = [(&b"one"[..], 1u32), (b"few", 3), (b"many", 2_000)];
    for (key, count) in sets {
        (0..count).for_each(|n| assert!(table.insert(key, &n.to_be_bytes()).unwrap()));
    }
    for (key, count) in sets {
        let mut values = table.get(key).unwrap();
        for n in 0..count {
            assert_eq!(values.next_slice().unwrap(), None);
            assert_eq!(&*values.next().unwrap().unwrap(), &n.to_be_bytes());
        }
        assert!(values.next_slice().unwrap().is_none() && values.next().is_none());
    }
    txn.commit().unwrap();
    assert_clean(&db);
}

/// A value that finds no room in its list any more, where there is no room for a tree either, was
/// told as damage.
#[test]
fn a_full_database_is_full_while_a_set_becomes_a_tree() {
    for value_size in [0, 8] {
        for pages in 20..50 {
            let dir = memory_dir();
            let path = dir.path().join("x.recto");
            let db = open_at(&path, Database::builder().max_bytes(2 * 4096 * pages));
            let mut txn = db.write().unwrap();
            let options = TableOptions::set_of(value_size);
            let mut table = txn.open_set_with("sets", &options).unwrap();
            let full = (0..400u32)
                .flat_map(|key| (0..260u64).map(move |n| (key, n)))
                .find_map(|(key, n)| table.insert(&key.to_be_bytes(), &n.to_be_bytes()).err());
            assert!(matches!(full, Some(Error::DatabaseFull { .. })), "{full:?}");
            drop(txn);
            assert_clean(&db);
        }
    }
}

/// One bit, and the leaves of the set had no room for what went into them.
#[test]
fn a_table_that_lost_the_size_of_its_values_gives_errors() {
    for (count, value) in [(300u64, vec![7; 900]), (508, vec![7; 9]), (509, vec![0xff; 5])] {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let db = open_at(&path, &Database::builder());
        let mut txn = db.write().unwrap();
        let mut table = txn.open_set_with("sets", &TableOptions::set_of(8)).unwrap();
        for n in 0..count {
            table.insert(b"key", &n.to_be_bytes()).unwrap();
        }
        txn.commit().unwrap();
        drop(db);
        let mut bytes = fs::read(&path).unwrap();
        let is_it = |at: &usize| {
            let b = &bytes[*at..][..64];
            (b[8], b[42], b[46]) == (1, 1, 8) && b[56..64] == count.to_le_bytes()
        };
        let places: Vec<usize> = (0..bytes.len() - 64).filter(is_it).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at + 46] = 0);
        fs::write(&path, bytes).unwrap();
        let db = open_at(&path, &Database::builder());
        let mut txn = db.write().unwrap();
        let mut table = txn.open_set("sets").unwrap();
        let inserted = table.insert(b"key", &value);
        assert!(matches!(inserted, Err(Error::Corrupt { .. })), "{inserted:?}");
        drop(txn);
        assert!(db.check(None).unwrap().fault_count > 0);
    }
}
