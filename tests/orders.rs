//! Tables with whole keys, in every order, against a map that is sorted by the same function: all
//! page sizes, files and memory, savepoints, snapshots, diff, ranges from both ends, cursors, bulk
//! loads, sets. Every run ends with the full check.

mod common;

use common::{assert_clean, disk_dir, full, open_at};
use fastrand::Rng;
use recto::typed::TableDef;
use recto::{
    Builder, Change, Cursor, Database, Durability, Error, LoadOptions, Order, Table, TableKind,
    TableMut, TableOptions,
};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

type Compare = fn(&[u8], &[u8]) -> Ordering;

/// A key that is ordered by a function.
#[derive(Clone)]
struct Sorted(Vec<u8>, Compare);

impl PartialEq for Sorted {
    fn eq(&self, other: &Sorted) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Sorted {}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Sorted) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sorted {
    fn cmp(&self, other: &Sorted) -> Ordering {
        (self.1)(&self.0, &other.0)
    }
}

type Model = BTreeMap<Sorted, Vec<u8>>;

fn by_bytes(a: &[u8], b: &[u8]) -> Ordering {
    a.cmp(b)
}

fn reversed(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// Of numbers of 4 and 8 bytes.
fn integers(a: &[u8], b: &[u8]) -> Ordering {
    let number = |key: &[u8]| key.iter().rev().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    number(a).cmp(&number(b)).then(a.len().cmp(&b.len()))
}

fn by_length(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| b.cmp(a))
}

/// Different keys may be the same one.
fn without_case(a: &[u8], b: &[u8]) -> Ordering {
    let lower = |key: &[u8]| key.to_ascii_lowercase();
    lower(a).cmp(&lower(b))
}

/// Keys of different lengths may be the same one.
fn trimmed(a: &[u8], b: &[u8]) -> Ordering {
    a.trim_ascii_end().cmp(b.trim_ascii_end())
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.order("by length", by_length).order("without case", without_case);
    builder.order("trimmed", trimmed);
    builder
}

fn orders() -> [(Order, Compare); 6] {
    [
        (Order::Plain, by_bytes),
        (Order::Reversed, reversed),
        (Order::Integers, integers),
        (Order::Custom("by length".into()), by_length),
        (Order::Custom("without case".into()), without_case),
        (Order::Custom("trimmed".into()), trimmed),
    ]
}

fn key(rng: &mut Rng, order: &Order, max: usize) -> Vec<u8> {
    if *order == Order::Integers {
        return match rng.u8(..6) {
            0 => rng.u32(..2_000).to_le_bytes().to_vec(),
            1 => (1u64 << rng.u8(..64) | rng.u64(..4)).to_le_bytes().to_vec(),
            2 => rng.u32(..).to_le_bytes().to_vec(),
            _ => rng.u64(..6_000).to_le_bytes().to_vec(),
        };
    }
    match rng.u8(..12) {
        0..=3 => rng.u64(..8_000).to_be_bytes().to_vec(),
        4..=6 => format!("/{}/item/{:03}/Name", rng.u16(..900), rng.u8(..)).into(),
        7 => (0..rng.usize(..4)).map(|_| rng.u8(..3)).collect(),
        8 => vec![rng.u8(..4); rng.usize(..40)],
        9 => [vec![b'a' + 32 * rng.u8(..2); rng.usize(..8)], b"Z".to_vec()].concat(),
        10 if rng.bool() => {
            let blanks = [0, 1, 40, max / 2, max - 10][rng.usize(..5)];
            [format!("key {:03}", rng.u8(..)).into_bytes(), vec![b' '; blanks]].concat()
        }
        10 => {
            let mut key = vec![b'p'; rng.usize(..=max - 2)];
            key.push(rng.u8(..));
            key
        }
        _ => rng.u16(..3000).to_le_bytes().to_vec(),
    }
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u8(..60) {
        0 => rng.usize(..20_000),
        1..=2 => rng.usize(..3_000),
        3..=9 => rng.usize(..400),
        _ => rng.usize(..40),
    };
    vec![rng.u8(..); len]
}

fn bound(rng: &mut Rng, key: Vec<u8>) -> Bound<Vec<u8>> {
    match rng.u8(..3) {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    }
}

fn is_within(compare: Compare, key: &[u8], range: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    let begins = match &range.0 {
        Bound::Included(from) => compare(key, from).is_ge(),
        Bound::Excluded(from) => compare(key, from).is_gt(),
        Bound::Unbounded => true,
    };
    let ends = match &range.1 {
        Bound::Included(to) => compare(key, to).is_le(),
        Bound::Excluded(to) => compare(key, to).is_lt(),
        Bound::Unbounded => true,
    };
    begins && ends
}

/// Names the first difference: lists are long.
#[track_caller]
fn assert_same(found: &[(Vec<u8>, Vec<u8>)], expected: &[(Vec<u8>, Vec<u8>)]) {
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    if let Some(at) = differs {
        panic!("entry {at}: {:?}, expected {:?}", found[at], expected[at]);
    }
    assert_eq!(found.len(), expected.len());
}

fn owned(pairs: recto::Range<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.map(|pair| pair.unwrap()).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

fn listed<'m>(pairs: impl Iterator<Item = (&'m Sorted, &'m Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.map(|(k, v)| (k.0.clone(), v.clone())).collect()
}

struct Run {
    order: Order,
    compare: Compare,
    rng: Rng,
    max: usize,
    model: Model,
}

impl Run {
    fn key(&mut self) -> Vec<u8> {
        key(&mut self.rng, &self.order, self.max)
    }

    /// One of the keys that are there, now and then; else any.
    fn known_key(&mut self) -> Vec<u8> {
        let key = self.key();
        match self.model.range(Sorted(key.clone(), self.compare)..).next() {
            Some((there, _)) if self.rng.bool() => there.0.clone(),
            _ => key,
        }
    }

    fn sorted(&self, key: &[u8]) -> Sorted {
        Sorted(key.to_vec(), self.compare)
    }

    /// The first key that was put stays, with the value of the last.
    fn put_in_model(&mut self, key: &[u8], value: &[u8]) -> bool {
        let sorted = self.sorted(key);
        self.model.insert(sorted, value.to_vec()).is_some()
    }

    fn range(&mut self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let (a, b) = (self.key(), self.key());
        let (a, b) =
            if (self.compare)(&a, &b).is_le() || self.rng.u8(..8) == 0 { (a, b) } else { (b, a) };
        (bound(&mut self.rng, a), bound(&mut self.rng, b))
    }

    fn change(&mut self, table: &mut TableMut<'_>) {
        match self.rng.u8(..40) {
            0..=24 => {
                let (key, value) = (self.known_key(), value(&mut self.rng));
                let was = table.put(&key, &value).unwrap();
                assert_eq!(was, self.put_in_model(&key, &value));
            }
            25..=33 => {
                let key = self.known_key();
                let sorted = self.sorted(&key);
                assert_eq!(table.delete(&key).unwrap(), self.model.remove(&sorted).is_some());
            }
            34 if self.rng.u8(..20) == 0 => {
                let range = self.range();
                let before = self.model.len();
                self.model.retain(|key, _| !is_within(self.compare, &key.0, &range));
                let gone = table.delete_range(range).unwrap();
                assert_eq!(gone as usize, before - self.model.len());
            }
            35 => {
                let (key, value) = (self.key(), value(&mut self.rng));
                let sorted = self.sorted(&key);
                let is_last = self.model.last_key_value().is_none_or(|(last, _)| *last < sorted);
                match table.append(&key, &value) {
                    Ok(()) => assert!(is_last),
                    Err(Error::OutOfOrder) => assert!(!is_last),
                    Err(e) => panic!("{e}"),
                }
                if is_last {
                    self.put_in_model(&key, &value);
                }
            }
            36 => {
                let first = table.pop_first().unwrap();
                let expected = self.model.pop_first().map(|(key, value)| (key.0, value));
                assert_eq!(first, expected);
            }
            37 => {
                let key = self.known_key();
                let sorted = self.sorted(&key);
                let value =
                    table.entry(&key).unwrap().or_insert(b"entry").unwrap().get().unwrap().to_vec();
                assert_eq!(value, *self.model.entry(sorted).or_insert(b"entry".to_vec()));
            }
            34 if self.rng.u8(..5) == 0 => self.take_out(table),
            38 if self.rng.u8(..10) == 0 => {
                let pairs: Vec<_> = (0..60).map(|_| (self.key(), value(&mut self.rng))).collect();
                let loaded = table.load(pairs.iter().map(|(k, v)| (k, v))).unwrap();
                let before = self.model.len();
                // Of keys that are the same the one that comes last in the load is put.
                let mut model = Model::new();
                for (key, value) in &pairs {
                    model.remove(&self.sorted(key));
                    model.insert(self.sorted(key), value.clone());
                }
                for (key, value) in model {
                    self.put_in_model(&key.0, &value);
                }
                assert_eq!(loaded.new as usize, self.model.len() - before);
            }
            _ => {
                let key = self.known_key();
                let sorted = self.sorted(&key);
                let updated =
                    |old: Option<&[u8]>| Some(vec![7; old.map_or(1, |old| old.len() % 50)]);
                table.update(&key, updated).unwrap();
                let new = updated(self.model.get(&sorted).map(|v| &v[..])).unwrap();
                self.put_in_model(&key, &new);
            }
        }
    }

    /// Some of the pairs of a range, in both ways.
    fn take_out(&mut self, table: &mut TableMut<'_>) {
        let range = self.range();
        let of = self.rng.usize(1..4);
        let goes = |key: &[u8], value: &[u8]| (key.len() + value.len()).is_multiple_of(of);
        let gone = self
            .model
            .iter()
            .filter(|(key, value)| is_within(self.compare, &key.0, &range) && goes(&key.0, value));
        let gone = listed(gone);
        self.model
            .retain(|key, value| !(is_within(self.compare, &key.0, &range) && goes(&key.0, value)));
        if self.rng.bool() {
            let count = table.retain(range, |key, value| !goes(key, value)).unwrap();
            assert_eq!(count as usize, gone.len());
        } else {
            let taken = table.extract_if(range, goes).map(|pair| pair.unwrap());
            assert_same(&taken.collect::<Vec<_>>(), &gone);
        }
    }

    fn look(&mut self, table: &Table<'_>) {
        assert_eq!(table.len() as usize, self.model.len());
        let key = self.known_key();
        let sorted = self.sorted(&key);
        assert_eq!(table.get(&key).unwrap(), self.model.get(&sorted).map(|v| &v[..]));
        let many = [self.known_key(), self.key(), key.clone()];
        let values: Vec<_> =
            many.iter().map(|k| self.model.get(&self.sorted(k)).map(|v| &v[..])).collect();
        assert_eq!(table.get_many(&many).unwrap(), values);
        let below = self.model.range(..&sorted).next_back().map(|(k, _)| k.0.clone());
        let found = table.before(&key).unwrap().map(|(k, _)| k.to_vec());
        assert_eq!(found, below);
        let from = self.model.range(&sorted..).next().map(|(k, _)| k.0.clone());
        let found = table.at_or_after(&key).unwrap();
        if let Some((key, _)) = &found {
            // Whole keys are borrowed from their pages.
            assert!(key.borrowed().is_some());
        }
        assert_eq!(found.map(|(k, _)| k.to_vec()), from);
    }

    fn look_at_range(&mut self, table: &Table<'_>) {
        let range = self.range();
        let within = |key: &&Sorted| is_within(self.compare, &key.0, &range);
        let expected = listed(self.model.iter().filter(|(key, _)| within(key)));
        assert_same(&owned(table.range(range.clone()).unwrap()), &expected);
        let back: Vec<_> =
            table.range(range.clone()).unwrap().rev().map(|p| p.unwrap().0.to_vec()).collect();
        assert!(back.iter().rev().eq(expected.iter().map(|(key, _)| key)));
        assert_eq!(table.count_range(range.clone()).unwrap() as usize, expected.len());
        let mut ends = table.range(range.clone()).unwrap();
        let (mut front, mut behind) = (Vec::new(), Vec::new());
        loop {
            let forward = self.rng.bool();
            let next = if forward { ends.next() } else { ends.next_back() };
            let Some(pair) = next else { break };
            if forward { &mut front } else { &mut behind }.push(pair.unwrap().0.to_vec());
        }
        front.extend(behind.into_iter().rev());
        assert!(front.iter().eq(expected.iter().map(|(key, _)| key)));
        let cuts = table.split_range(range, 4).unwrap();
        assert!(cuts.windows(2).all(|two| (self.compare)(&two[0], &two[1]).is_lt()));
        assert!(cuts.iter().all(|cut| expected.iter().any(|(key, _)| key == cut)));
    }

    /// A cursor that walks while the table changes.
    fn walk(&mut self, txn: &mut recto::WriteTxn, table: recto::TableId) {
        let mut cursor: Cursor = txn.cursor(table);
        let start = self.known_key();
        let mut last: Option<Vec<u8>> = None;
        let mut found: Option<Vec<u8>> =
            cursor.seek(txn, &start).unwrap().map(|(key, _)| key.to_vec());
        for _ in 0..20 {
            let expected = match &last {
                None => self.model.range(self.sorted(&start)..).next(),
                Some(key) => {
                    let after = (Bound::Excluded(self.sorted(key)), Bound::Unbounded);
                    self.model.range(after).next()
                }
            };
            assert_eq!(found, expected.map(|(key, _)| key.0.clone()));
            if found.is_none() {
                return;
            }
            last = found;
            for _ in 0..3 {
                self.change(&mut txn.edit(table).unwrap());
            }
            found = cursor.next(txn).unwrap().map(|(key, _)| key.to_vec());
        }
    }
}

fn run(db: &Database, order: &Order, compare: Compare, operations: usize, seed: u64) {
    let mut run = Run {
        order: order.clone(),
        compare,
        rng: Rng::with_seed(seed),
        max: db.max_key_len() - 4,
        model: Model::new(),
    };
    let options = TableOptions::default().ordered(order.clone());
    let mut done = 0;
    while done < operations {
        let (older, before) = (db.read().unwrap(), run.model.clone());
        let mut txn = db.write().unwrap();
        let table = txn.open_with("t", &options).unwrap();
        let steps = run.rng.usize(1..400);
        for _ in 0..steps {
            run.change(&mut txn.edit(table).unwrap());
            if run.rng.u8(..4) == 0 {
                run.look(&txn.view(table).unwrap());
            }
        }
        done += steps;
        run.look_at_range(&txn.view(table).unwrap());
        run.walk(&mut txn, table);
        if run.rng.u8(..4) == 0 {
            let kept = run.model.clone();
            let savepoint = txn.savepoint().unwrap();
            for _ in 0..run.rng.usize(..60) {
                run.change(&mut txn.edit(table).unwrap());
            }
            if run.rng.bool() {
                txn.rollback_to(&savepoint).unwrap();
                run.model = kept;
            }
        }
        if run.rng.u8(..5) == 0 {
            drop(txn);
            run.model = before;
            continue;
        }
        if run.rng.u8(..10) == 0 {
            txn.drop_table("copy").unwrap();
            txn.copy_table("t", "copy").unwrap();
            let copy = txn.table("copy").unwrap();
            assert_same(&owned(copy.iter().unwrap()), &listed(run.model.iter()));
        }
        if run.rng.bool() {
            txn.set_durability(Durability::Deferred);
        }
        txn.commit().unwrap();
        let newer = db.read().unwrap();
        run.look_at_range(&newer.table("t").unwrap());
        differences(&older, &newer, &before, &run.model);
    }
    let txn = db.read().unwrap();
    assert_same(&owned(txn.table("t").unwrap().iter().unwrap()), &listed(run.model.iter()));
    assert_eq!(txn.table_options("t").unwrap(), Some(options));
    drop(txn);
    assert_clean(db);
}

fn differences(older: &recto::ReadTxn, newer: &recto::ReadTxn, old: &Model, new: &Model) {
    let mut keys: Vec<&Sorted> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let expected = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    let diff = newer.diff(older, "t", ..).unwrap().map(|change| change.unwrap());
    let mut count = 0;
    for ((key, change), expected) in diff.zip(expected.clone()) {
        assert!(Sorted(key.to_vec(), expected.1) == *expected);
        let (old, new) = (old.get(expected), new.get(expected));
        assert_eq!((change.old(), change.new()), (old.map(|v| &v[..]), new.map(|v| &v[..])));
        assert!(!matches!(change, Change::Changed { old, new } if old == new));
        count += 1;
    }
    assert_eq!(count, expected.count());
    assert_eq!(newer.diff(older, "t", ..).unwrap().rev().count(), count);
}

#[test]
fn every_order_is_that_of_its_function() {
    let operations = if full() { 1_000_000 } else { 12_000 };
    for (i, (order, compare)) in orders().into_iter().enumerate() {
        let page_size = [4096, 8192, 65536][i % 3];
        let db = builder().page_size(page_size).in_memory().unwrap();
        run(&db, &order, compare, operations, 100 + i as u64);
        let dir = disk_dir();
        let path = dir.path().join("orders.recto");
        let db = open_at(&path, builder().stage_bytes(64 << 10));
        run(&db, &order, compare, operations / 4, 200 + i as u64);
    }
}

#[test]
fn an_order_is_found_again_and_its_function_is_needed() {
    let dir = disk_dir();
    let path = dir.path().join("named.recto");
    let options = TableOptions::default().ordered(Order::Custom("by length".into()));
    let db = open_at(&path, &builder());
    let mut txn = db.write().unwrap();
    let mut table = txn.create_table_with("t", &options).unwrap();
    for word in ["three", "one", "two", "eleven"] {
        table.put(word.as_bytes(), b"").unwrap();
    }
    txn.commit().unwrap();
    drop(db);

    let db = open_at(&path, &Database::builder());
    let txn = db.read().unwrap();
    let missing = |result: Option<Error>| {
        let error = result.expect("no error");
        assert!(
            matches!(&error, Error::NoSuchOrder { table, order }
                if !table.is_empty() && order == "by length"),
            "{error:?}"
        );
        assert!(error.to_string().contains("Builder::order"));
    };
    missing(txn.table("t").err());
    assert_eq!(txn.table_options("t").unwrap(), Some(options.clone()));
    assert_eq!(txn.tables().unwrap()[0].stats.entries, 4);
    drop(txn);
    let mut txn = db.write().unwrap();
    missing(txn.open_table("t").err());
    missing(txn.open_table_with("t", &options).err());
    missing(txn.table("t").err());
    missing(txn.create_table_with("other", &options).err());
    // What needs no comparison goes without it.
    txn.copy_table("t", "copy").unwrap();
    txn.rename_table("copy", "second").unwrap();
    missing(txn.open_table("second").err());
    txn.commit().unwrap();
    let mut loader =
        db.loader(TableKind::Map, &LoadOptions::default().order(options.order.clone()));
    let error = loader.push(b"key", b"").unwrap_err();
    assert!(matches!(error, Error::NoSuchOrder { .. }));
    assert_clean(&db);
    drop((loader, db));

    let db = open_at(&path, &builder());
    let txn = db.read().unwrap();
    for name in ["t", "second"] {
        let keys: Vec<_> = owned(txn.table(name).unwrap().iter().unwrap());
        let keys: Vec<&[u8]> = keys.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(keys, [&b"two"[..], b"one", b"three", b"eleven"]);
    }
    drop(txn);
    let mut txn = db.write().unwrap();
    assert!(txn.drop_table("second").unwrap());
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn orders_are_not_mixed_up() {
    let db = builder().in_memory().unwrap();
    let ordered = |order: Order| TableOptions::default().ordered(order);
    let mut txn = db.write().unwrap();
    for (order, _) in orders() {
        let name = format!("{order:?}");
        txn.create_table_with(&name, &ordered(order.clone())).unwrap();
        // Who asks for none takes it as it is.
        txn.open_table(&name).unwrap();
        txn.open_table_with(&name, &TableOptions::default()).unwrap();
        let other = if order == Order::Reversed { Order::Integers } else { Order::Reversed };
        let error = txn.open_table_with(&name, &ordered(other)).unwrap_err();
        assert!(matches!(error, Error::TableOptions { .. }), "{error:?}");
        let by_bytes = order == Order::Plain;
        let table = txn.open_table(&name).unwrap();
        assert_eq!(table.prefix(b"a").is_ok(), by_bytes);
        assert_eq!(txn.open_table(&name).unwrap().delete_prefix(b"a").is_ok(), by_bytes);
        const TYPED: TableDef<u64, u64> = TableDef::new("typed").unnamed();
        txn.drop_table("typed").unwrap();
        txn.rename_table(&name, "typed").unwrap();
        assert_eq!(txn.open_typed(&TYPED).is_ok(), by_bytes);
        assert_eq!(txn.typed(&TYPED).is_ok(), by_bytes);
    }
    let refused = |result: Option<Error>| {
        let error = result.expect("no error");
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
    };
    refused(txn.create_table_with("no name", &ordered(Order::Custom(String::new()))).err());
    let long = Order::Custom("x".repeat(256));
    refused(txn.create_table_with("long name", &ordered(long)).err());
    let mut numbers = txn.create_table_with("numbers", &ordered(Order::Integers)).unwrap();
    for len in [0, 1, 3, 5, 7, 9] {
        refused(numbers.put(&vec![1; len], b"").err());
        assert_eq!(numbers.get(&vec![1; len]).unwrap(), None);
    }
    numbers.put(&[1; 4], b"").unwrap();
    let mut plain = txn.create_table_with("plain", &ordered(Order::Plain)).unwrap();
    let max = db.max_key_len() - 4;
    let error = plain.put(&vec![1; max + 1], b"").unwrap_err();
    assert!(matches!(error, Error::KeyTooLong { max: most, .. } if most == max), "{error:?}");
    for n in 0..40 {
        plain.put(&[vec![n; max - 1], vec![n]].concat(), &vec![n; 3_000]).unwrap();
    }
    let mut loader = db.loader(TableKind::Map, &LoadOptions::default());
    loader.push(&[1; 4], b"").unwrap();
    let id = txn.open("numbers").unwrap();
    refused(loader.finish(&mut txn, id).err());
    // By the same function under the same name only.
    let older = db.read().unwrap();
    txn.commit().unwrap();
    let newer = db.read().unwrap();
    newer.diff(&older, "numbers", ..).unwrap();
    let mut txn = db.write().unwrap();
    txn.drop_table("numbers").unwrap();
    txn.create_table_with("numbers", &ordered(Order::Plain)).unwrap();
    txn.commit().unwrap();
    refused(db.read().unwrap().diff(&newer, "numbers", ..).err());
    drop((older, newer));
    assert_clean(&db);
}

#[test]
fn sets_have_keys_in_orders_too() {
    for (i, (order, compare)) in orders().into_iter().enumerate() {
        let mut rng = Rng::with_seed(i as u64);
        let db = builder().in_memory().unwrap();
        let options = TableOptions::set().ordered(order.clone());
        let max = db.max_key_len() - 4;
        let mut model: BTreeMap<Sorted, std::collections::BTreeSet<Vec<u8>>> = BTreeMap::new();
        for _ in 0..30 {
            let mut txn = db.write().unwrap();
            let mut table = txn.open_set_with("s", &options).unwrap();
            for _ in 0..200 {
                let key = match rng.u8(..3) {
                    0 if order == Order::Integers => 7u32.to_le_bytes().to_vec(),
                    0 => b"Many".to_vec(),
                    1 => key(&mut rng, &order, max),
                    _ => key(&mut rng, &order, 200),
                };
                let value =
                    rng.u32(..4_000).to_be_bytes()[..rng.usize(2..4)].repeat(rng.usize(1..9));
                let set = model.entry(Sorted(key.clone(), compare)).or_default();
                match rng.u8(..5) {
                    0 => assert_eq!(table.remove(&key, &value).unwrap(), set.remove(&value)),
                    _ => assert_eq!(table.insert(&key, &value).unwrap(), set.insert(value)),
                }
                model.retain(|_, set| !set.is_empty());
            }
            let pairs: Vec<_> = (0..50).map(|n| (key(&mut rng, &order, 90), vec![n; 30])).collect();
            table.load(pairs.iter().map(|(k, v)| (k, v))).unwrap();
            for (key, value) in pairs {
                model.entry(Sorted(key, compare)).or_default().insert(value);
            }
            let (a, b) = (key(&mut rng, &order, 90), key(&mut rng, &order, 90));
            let range = (bound(&mut rng, a), bound(&mut rng, b));
            let keep = |value: &[u8]| !value.len().is_multiple_of(5);
            let mut expected = 0;
            model.retain(|key, set| {
                let before = set.len();
                set.retain(|value| !is_within(compare, &key.0, &range) || keep(value));
                expected += (before - set.len()) as u64;
                !set.is_empty()
            });
            assert_eq!(table.retain(range, |_, value| keep(value)).unwrap(), expected);
            txn.commit().unwrap();
        }
        let txn = db.read().unwrap();
        let table = txn.set("s").unwrap();
        let found: Vec<_> = table.pairs(..).unwrap().map(|pair| pair.unwrap()).collect();
        let expected =
            model.iter().flat_map(|(key, set)| set.iter().map(move |value| (key, value)));
        assert_eq!(found.len(), expected.clone().count());
        for ((key, value), (their_key, their_value)) in found.iter().zip(expected) {
            assert!(compare(key, &their_key.0).is_eq());
            assert_eq!(&value[..], &their_value[..]);
        }
        drop(txn);
        assert_clean(&db);
    }
}

/// Pairs of an order come sorted from a loader too that goes through files.
#[test]
fn more_than_memory_is_loaded_in_order() {
    for (order, compare) in orders() {
        let db = builder().in_memory().unwrap();
        let mut rng = Rng::with_seed(5);
        let options = LoadOptions::default().memory(0).order(order.clone());
        let mut loader = db.loader(TableKind::Map, &options);
        let mut model = Model::new();
        for n in 0..8_000u32 {
            let key = key(&mut rng, &order, 60);
            loader.push(&key, &n.to_le_bytes()).unwrap();
            let sorted = Sorted(key, compare);
            model.remove(&sorted);
            model.insert(sorted, n.to_le_bytes().to_vec());
        }
        let mut txn = db.write().unwrap();
        let table = txn.open_with("t", &TableOptions::default().ordered(order)).unwrap();
        let loaded = loader.finish(&mut txn, table).unwrap();
        assert!(loaded.runs > 1);
        assert_same(&owned(txn.view(table).unwrap().iter().unwrap()), &listed(model.iter()));
        txn.commit().unwrap();
        assert_clean(&db);
    }
}

/// Damage with a checksum that is right: the check knows the order of a page, and its heads.
#[test]
fn keys_out_of_order_are_told_in_plain_pages_too() {
    let dir = disk_dir();
    let path = dir.path().join("damaged.recto");
    for order in [Order::Plain, Order::Reversed, Order::Integers] {
        let _ = std::fs::remove_file(&path);
        let db = open_at(&path, &builder());
        let mut txn = db.write().unwrap();
        let options = TableOptions::default().ordered(order);
        let mut table = txn.create_table_with("t", &options).unwrap();
        for n in 0..500u32 {
            table.put(&n.wrapping_mul(2_654_435_761).to_le_bytes(), b"value").unwrap();
        }
        txn.commit().unwrap();
        // The manifests of later commits do not name its pages.
        for n in 0..3u8 {
            let mut txn = db.write().unwrap();
            txn.open_table("other").unwrap().put(&[n], b"").unwrap();
            txn.commit().unwrap();
        }
        assert_clean(&db);
        db.close().unwrap();
        let sound = std::fs::read(&path).unwrap();
        let pages = sound.chunks(4096).map(<[u8]>::to_vec).enumerate();
        let leaves: Vec<usize> = pages.filter(|(_, page)| page[4] == 6).map(|(id, _)| id).collect();
        for (with_slots, told) in [(true, "is not above key"), (false, "is not that of its key")] {
            // Some may belong to nothing any more.
            assert!(leaves.iter().any(|&id| {
                let mut bytes = sound.clone();
                let page = &mut bytes[id * 4096..][..4096];
                let count = usize::from(u16::from_le_bytes([page[6], page[7]]));
                let (heads, slots) = (24, 24 + 4 * count);
                (0..4).for_each(|i| page.swap(heads + i, heads + 4 + i));
                if with_slots {
                    (0..2).for_each(|i| page.swap(slots + i, slots + 2 + i));
                }
                let mut crc = crc32fast::Hasher::new();
                crc.update(&(id as u64).to_le_bytes());
                crc.update(&page[4..]);
                let crc = crc.finalize().to_le_bytes();
                page[..4].copy_from_slice(&crc);
                std::fs::write(&path, &bytes).unwrap();
                let report = recto::check_file(&path, None).unwrap();
                report.faults.iter().any(|fault| fault.to_string().contains(told))
            }));
        }
        std::fs::write(&path, &sound).unwrap();
    }
    assert_clean(&open_at(&path, &builder()));
}

/// A key that is put again under another spelling keeps the first one, also where its page is
/// written anew for the longer value.
#[test]
fn the_first_of_equal_keys_stays() {
    let db = builder().in_memory().unwrap();
    let options = TableOptions::default().ordered(Order::Custom("without case".into()));
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table_with("t", &options).unwrap();
    for n in 0..300 {
        table.put(format!("key {n:03}").as_bytes(), b"").unwrap();
    }
    for n in 0..300 {
        assert!(table.put(format!("KEY {n:03}").as_bytes(), &vec![1; n]).unwrap());
    }
    assert_eq!(table.len(), 300);
    for (n, pair) in table.iter().unwrap().enumerate() {
        let (key, value) = pair.unwrap();
        assert_eq!((&*key, value.len()), (format!("key {n:03}").as_bytes(), n));
    }
    txn.commit().unwrap();
    assert_clean(&db);
}

/// The check of a handle that has the function finds keys that are not in its order, in leaves and
/// in what leads to them; that of a file says that it could not look.
#[test]
fn a_check_proves_the_order_of_a_function_that_it_is_given() {
    let dir = disk_dir();
    let path = dir.path().join("orders.recto");
    let db = open_at(&path, &builder());
    let named = |name: &str| Order::Custom(name.into());
    let mut txn = db.write().unwrap();
    for (name, options) in [
        ("ours", TableOptions::default().ordered(named("by length"))),
        ("sets", TableOptions::set().ordered(named("without case"))),
        ("empty", TableOptions::default().ordered(named("by length"))),
    ] {
        let is_set = name == "sets";
        let table = match is_set {
            true => txn.open_set_with(name, &options).unwrap().id(),
            false => txn.open_with(name, &options).unwrap(),
        };
        for n in 0..if name == "empty" { 0 } else { 900u32 } {
            let key = format!("{:0width$} of them", n, width = 1 + n as usize % 60);
            match is_set {
                true => drop(txn.edit_set(table).unwrap().insert(key.as_bytes(), b"1").unwrap()),
                false => drop(txn.put(table, key.as_bytes(), b"value").unwrap()),
            }
        }
    }
    txn.commit().unwrap();
    let report = db.check(None).unwrap();
    assert!(report.is_clean() && report.unproved_orders.is_empty(), "{report:?}");
    db.close().unwrap();
    let report = recto::check_file(&path, None).unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
    assert_eq!(report.unproved_orders, ["ours", "sets"]);

    // The same names with other functions: pages are as whole as before, and in another order.
    let other: Compare = |a, b| by_length(b, a);
    let mut others = Database::builder();
    others.order("by length", other).order("without case", without_case);
    let db = open_at(&path, &others);
    let report = db.check(None).unwrap();
    assert!(report.unproved_orders.is_empty());
    let told = |text: &str| report.faults.iter().any(|fault| fault.to_string().contains(text));
    assert!(told("is not above key") && told("separator"), "{:?}", report.faults);
    assert!(report.faults.iter().all(|fault| fault.path.contains("ours")), "{:?}", report.faults);
    db.close().unwrap();

    // One of them only.
    let db = open_at(&path, Database::builder().order("without case", without_case));
    let report = db.check(None).unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
    assert_eq!(report.unproved_orders, ["ours"]);
    db.close().unwrap();
    assert_clean(&open_at(&path, &builder()));
}
