//! Pairs that are looked at and changed in one go: entries of a key, walks that take out, and
//! values that are filled in.

mod common;

use common::assert_clean;
use fastrand::Rng;
use recto::typed::{PodSlice, TypedEntry};
use recto::{Builder, Database, Entry, Error, TableDef, TableMut, TableOptions};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn number(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn all(table: &TableMut<'_>) -> Pairs {
    let pairs = table.iter().unwrap();
    pairs.map(|pair| pair.map(|(key, value)| (key.into_vec(), value.to_vec())).unwrap()).collect()
}

/// Values of all sizes: none, in the leaf, on pages of their own.
fn value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u8(..30) {
        0 => rng.usize(..20_000),
        1..=4 => rng.usize(..2_500),
        _ => rng.usize(..60),
    };
    vec![rng.u8(..); len]
}

fn bound(rng: &mut Rng, key: Vec<u8>) -> Bound<Vec<u8>> {
    match rng.u8(..3) {
        0 => Included(key),
        1 => Excluded(key),
        _ => Unbounded,
    }
}

/// Entries of random keys, also in a table of aligned values, with savepoints that are rolled back
/// to: pages then have several births in one transaction.
#[test]
fn entries_do_what_those_of_a_map_do() {
    for (seed, align, page_size) in [(1, 1, 4096), (2, 64, 4096), (3, 4096, 4096), (4, 8, 65536)] {
        let db = Builder::default().page_size(page_size).in_memory().unwrap();
        let rng = &mut Rng::with_seed(seed);
        let mut model = Pairs::new();
        for _ in 0..12 {
            let mut txn = db.write().unwrap();
            let before = model.clone();
            let options = TableOptions::aligned(align);
            let id = txn.open_with("main", &options).unwrap();
            let savepoint = txn.savepoint().unwrap();
            for step in 0..800 {
                let (key, value) = (number(rng.u32(..1_500)), value(rng));
                let mut table = txn.edit(id).unwrap();
                let was = model.get(&key[..]).cloned();
                let entry = table.entry(&key).unwrap();
                assert_eq!(entry.key(), key);
                match (entry, was) {
                    (Entry::Vacant(free), None) => match rng.u8(..6) {
                        0 => {}
                        1 => {
                            let mut there = free.insert(&value).unwrap();
                            assert_eq!(there.get().unwrap(), value);
                            there.insert(b"second").unwrap();
                            assert_eq!(there.get().unwrap(), b"second");
                            model.insert(key.to_vec(), b"second".to_vec());
                        }
                        2 => free.insert(&value).unwrap().delete().unwrap(),
                        _ => {
                            free.insert(&value).unwrap();
                            model.insert(key.to_vec(), value);
                        }
                    },
                    (Entry::Occupied(mut there), Some(was)) => match rng.u8(..6) {
                        0 => assert_eq!(there.get().unwrap(), was),
                        1 => {
                            assert_eq!(there.remove().unwrap(), was);
                            model.remove(&key[..]);
                        }
                        2 => {
                            there.delete().unwrap();
                            model.remove(&key[..]);
                        }
                        3 => {
                            there.insert(&value).unwrap();
                            assert_eq!(there.remove().unwrap(), value);
                            model.remove(&key[..]);
                        }
                        _ => {
                            there.insert(&value).unwrap();
                            assert_eq!(there.get().unwrap(), value);
                            model.insert(key.to_vec(), value);
                        }
                    },
                    (entry, was) => panic!("{entry:?}, but {was:?}"),
                }
                let table = txn.view(id).unwrap();
                assert_eq!(table.len(), model.len() as u64);
                if step == 500 && rng.bool() {
                    txn.rollback_to(&savepoint).unwrap();
                    model = before.clone();
                }
            }
            assert!(all(&txn.edit(id).unwrap()) == model);
            if rng.u8(..3) == 0 {
                model = before;
            } else {
                txn.commit().unwrap();
            }
        }
        assert_clean(&db);
    }
}

/// The fast way of ascending keys is not taken with a path that an entry has made old.
#[test]
fn entries_and_ascending_keys_in_turns() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    let mut model = Pairs::new();
    for n in 0..5_000 {
        let value = vec![n as u8; n as usize % 90];
        table.put(&number(2 * n), &value).unwrap();
        model.insert(number(2 * n).to_vec(), value.clone());
        if n % 3 == 0 {
            table.entry(&number(2 * n + 1)).unwrap().or_insert(&value).unwrap();
            model.insert(number(2 * n + 1).to_vec(), value);
        }
        if n % 7 == 0
            && let Entry::Occupied(there) = table.entry(&number(n)).unwrap()
        {
            assert_eq!(Some(there.remove().unwrap()), model.remove(&number(n)[..]));
        }
    }
    assert!(all(&table) == model);
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn an_entry_that_cannot_be_put_changes_nothing() {
    let db = Database::in_memory().unwrap();
    let long = vec![b'k'; db.max_key_len() + 1];
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    let Entry::Vacant(free) = table.entry(&long).unwrap() else { panic!("it is not there") };
    assert!(matches!(free.insert(b""), Err(Error::KeyTooLong { .. })));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let entry = table.entry(b"key").unwrap();
        entry.or_insert_with(|| -> &[u8] { panic!("by the caller") }).map(drop)
    }));
    assert!(panicked.is_err());
    table.put(b"other", b"").unwrap();
    assert_eq!(table.len(), 1);
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn typed_entries() {
    const WORDS: TableDef<(u8, &str), u64> = TableDef::new("words");
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(5);
    let mut txn = db.write().unwrap();
    let mut words = txn.typed_mut(&WORDS).unwrap();
    let mut model = BTreeMap::<(u8, String), u64>::new();
    for _ in 0..5_000 {
        let (n, word) = (rng.u8(..4), format!("word {}", rng.u16(..300)));
        let key = (n, &word[..]);
        match rng.u8(..5) {
            0 => match words.entry(key).unwrap() {
                TypedEntry::Occupied(there) => {
                    let was = model.remove(&(n, word.clone())).unwrap();
                    assert_eq!(there.get().unwrap(), was);
                    assert_eq!(there.remove().unwrap(), was);
                }
                TypedEntry::Vacant(_) => assert!(!model.contains_key(&(n, word))),
            },
            1 => {
                words.entry(key).unwrap().or_insert_with(|| 7).unwrap();
                model.entry((n, word)).or_insert(7);
            }
            _ => {
                words.entry(key).unwrap().and_modify(|n| *n += 1).unwrap().or_insert(1).unwrap();
                model.entry((n, word)).and_modify(|n| *n += 1).or_insert(1);
            }
        }
    }
    let found: BTreeMap<_, _> = words.iter().unwrap().map(Result::unwrap).collect();
    assert_eq!(found, model);
    for _ in 0..1_000 {
        let (n, word) = (rng.u8(..4), format!("word {}", rng.u16(..300)));
        let at = (n, word.clone());
        let key = (n, &word[..]);
        let pair = |(key, value): (&(u8, String), &u64)| (key.clone(), *value);
        let first = |from| model.range((from, Unbounded)).next().map(pair);
        let last = |to| model.range((Unbounded, to)).next_back().map(pair);
        assert_eq!(words.at_or_after(key).unwrap(), first(Included(&at)));
        assert_eq!(words.after(key).unwrap(), first(Excluded(&at)));
        assert_eq!(words.as_table().at_or_before(key).unwrap(), last(Included(&at)));
        assert_eq!(words.as_table().before(key).unwrap(), last(Excluded(&at)));
    }
    // A walk that takes out what is even, up to the first that is large.
    let (mut gone, mut wanted) = (Vec::new(), Vec::new());
    for pair in words.extract_if((1, "")..(3, ""), |_, n| n % 2 == 0) {
        let pair = pair.unwrap();
        gone.push(pair.clone());
        if pair.1 > 20 {
            break;
        }
    }
    for (key, n) in model.range((1, String::new())..(3, String::new())) {
        if n % 2 == 0 {
            wanted.push((key.clone(), *n));
            if *n > 20 {
                break;
            }
        }
    }
    assert!(!gone.is_empty());
    assert_eq!(gone, wanted);
    assert_eq!(words.len(), (model.len() - gone.len()) as u64);
    txn.commit().unwrap();
    assert_clean(&db);
}

/// A pair of another type ends a typed walk, and stays with all behind it.
#[test]
fn a_typed_walk_ends_at_what_it_cannot_read() {
    const AGES: TableDef<u32, u64> = TableDef::new("ages");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut ages = txn.typed_mut(&AGES).unwrap();
    for n in 0..10 {
        ages.put(n, 1).unwrap();
    }
    txn.open_table("ages").unwrap().put(&number(4), b"odd").unwrap();
    let mut ages = txn.typed_mut(&AGES).unwrap();
    let mut walk = ages.extract_if(.., |_, _| true);
    assert_eq!(walk.by_ref().take(4).filter(Result::is_ok).count(), 4);
    assert!(matches!(walk.next(), Some(Err(Error::Decode { .. }))));
    assert!(walk.next().is_none());
    assert_eq!(ages.len(), 6);
    assert!(matches!(ages.entry(4).unwrap().and_modify(|n| *n += 1), Err(Error::Decode { .. })));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Random ranges of a table with values of all sizes; the walk is dropped after some pairs.
#[test]
fn walks_take_out_what_they_have_handed_out() {
    for (seed, page_size) in [(6, 4096), (7, 16384)] {
        let db = Builder::default().page_size(page_size).in_memory().unwrap();
        let rng = &mut Rng::with_seed(seed);
        let mut model = Pairs::new();
        for _ in 0..60 {
            let mut txn = db.write().unwrap();
            let mut table = txn.open_table("main").unwrap();
            for _ in 0..150 {
                let (key, value) = (number(rng.u32(..3_000)), value(rng));
                table.put(&key, &value).unwrap();
                model.insert(key.to_vec(), value);
            }
            let mut ends = [number(rng.u32(..3_000)), number(rng.u32(..3_000))];
            ends.sort_unstable();
            let [from, to] = ends.map(|key| bound(rng, key.to_vec()));
            let divisor = rng.u8(1..6);
            let goes = |key: &[u8], value: &[u8]| {
                (key[3] ^ value.first().copied().unwrap_or(0)).is_multiple_of(divisor)
            };
            let most = if rng.bool() { usize::MAX } else { rng.usize(..200) };
            let empty = matches!((&from, &to), (Excluded(a) | Included(a), Excluded(b) | Included(b)) if a == b);
            let wanted: Vec<_> = match empty {
                true => Vec::new(),
                false => (model.range((from.clone(), to.clone())))
                    .filter(|(key, value)| goes(key, value))
                    .take(most)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            };
            let asked = std::cell::Cell::new(0);
            let walk = table.extract_if((from, to), |key, value| {
                asked.set(asked.get() + 1);
                goes(key, value)
            });
            assert_eq!(asked.get(), 0, "nothing happens before it is asked");
            let gone: Vec<_> = walk.take(most).map(Result::unwrap).collect();
            if !empty {
                assert!(gone == wanted);
            }
            gone.iter().for_each(|(key, _)| drop(model.remove(key)));
            assert!(all(&table) == model);
            txn.commit().unwrap();
        }
        assert_clean(&db);
    }
}

/// A closure that panics has changed nothing; the walk goes on behind the pair.
#[test]
fn a_walk_whose_closure_panics() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for n in 0..1_000 {
        table.put(&number(n), b"").unwrap();
    }
    let mut walk = table.extract_if(.., |key, _| {
        assert!(key != number(500), "by the caller");
        true
    });
    assert_eq!(walk.by_ref().take(500).count(), 500);
    assert!(catch_unwind(AssertUnwindSafe(|| walk.next())).is_err());
    assert_eq!(walk.next().unwrap().unwrap().0, number(501));
    drop(walk);
    assert_eq!(table.len(), 499);
    assert!(table.contains_key(&number(500)).unwrap());
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Values that are filled in, of all sizes, in tables of every kind of alignment: zero before, at
/// the right address, and there afterwards; where the closure fails nothing has changed.
#[test]
fn values_are_filled_in_where_they_are_put_from() {
    for (seed, align, page_size) in
        [(9, 1, 4096), (10, 16, 4096), (11, 4096, 4096), (12, 64, 65536)]
    {
        let db = Builder::default().page_size(page_size).in_memory().unwrap();
        let rng = &mut Rng::with_seed(seed);
        let mut model = Pairs::new();
        for _ in 0..6 {
            let mut txn = db.write().unwrap();
            let mut table = txn.open_table_with("main", &TableOptions::aligned(align)).unwrap();
            for _ in 0..300 {
                let (key, value) = (number(rng.u32(..500)), value(rng));
                let there = model.contains_key(&key[..]);
                let check = |bytes: &[u8]| {
                    assert!(bytes.len() == value.len() && bytes.iter().all(|byte| *byte == 0));
                    assert!(bytes.as_ptr().addr().is_multiple_of(align));
                };
                match rng.u8(..8) {
                    0 => {
                        let failed = table.try_put_with(&key, value.len(), |bytes| {
                            check(bytes);
                            bytes.fill(1);
                            Err(Error::OutOfOrder)
                        });
                        assert!(matches!(failed, Err(Error::OutOfOrder)));
                        continue;
                    }
                    1 => {
                        let panicked = catch_unwind(AssertUnwindSafe(|| {
                            table.put_with(&key, value.len(), |bytes| {
                                bytes.fill(1);
                                panic!("by the caller");
                            })
                        }));
                        assert!(panicked.is_err());
                        continue;
                    }
                    _ => {}
                }
                let put = table.put_with(&key, value.len(), |bytes| {
                    check(bytes);
                    bytes.copy_from_slice(&value);
                });
                assert_eq!(put.unwrap(), there);
                model.insert(key.to_vec(), value);
            }
            assert!(all(&table) == model);
            for pair in table.iter().unwrap() {
                assert!(pair.unwrap().1.as_ptr().addr().is_multiple_of(align));
            }
            txn.commit().unwrap();
        }
        assert_clean(&db);
    }
}

#[test]
fn what_cannot_be_filled_in_changes_nothing() {
    const VECTORS: TableDef<u32, PodSlice<u64>> = TableDef::new("vectors");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut vectors = txn.typed_mut(&VECTORS).unwrap();
    assert!(!vectors.put_with(7, 1_000, |numbers| numbers[999] = 5).unwrap());
    assert_eq!(vectors.get(7).unwrap().unwrap().iter().sum::<u64>(), 5);
    assert!(matches!(
        vectors.put_with(8, usize::MAX / 2, |_| panic!("there is no such slice")),
        Err(Error::ValueTooLong { .. })
    ));
    let mut table = txn.open_table("main").unwrap();
    let long = vec![b'k'; db.max_key_len() + 1];
    assert!(matches!(table.put_with(&long, 4, |_| {}), Err(Error::KeyTooLong { .. })));
    // Errors of the closure are of its own type.
    let mut input = &b"short"[..];
    let failed = table.try_put_with(b"key", 8, |bytes| input.read_exact(bytes)).unwrap_err();
    assert_eq!(failed.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(table.is_empty());
    txn.commit().unwrap();
    assert_clean(&db);
}
