//! How many pairs a range has, where it is to be cut, and pairs drawn at random: in tables of all
//! shapes, against a `BTreeMap`.

mod common;

use common::{assert_clean, spread};
use fastrand::Rng;
use recto::{Builder, Database, Error, Table, TableDef};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{self, Excluded, Included, Unbounded};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
type MakeKey = fn(u64) -> Vec<u8>;
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The pairs between two bounds, which may be the wrong way round.
fn between<'m>(model: &'m Pairs, (from, to): &Bounds) -> Vec<&'m [u8]> {
    let wrong = match (from, to) {
        (Included(a), Included(b)) => a > b,
        (Included(a) | Excluded(a), Included(b) | Excluded(b)) => a >= b,
        _ => false,
    };
    match wrong {
        true => Vec::new(),
        false => model.range((from.clone(), to.clone())).map(|(key, _)| &key[..]).collect(),
    }
}

fn bounds(rng: &mut Rng, model: &Pairs, keys: &[Vec<u8>]) -> Bounds {
    let mut bound = || {
        let mut key = match keys.is_empty() {
            true => Vec::new(),
            false => keys[rng.usize(..keys.len())].clone(),
        };
        if rng.u8(..4) == 0 {
            key.push(rng.u8(..));
        }
        match rng.u8(..5) {
            0 => Unbounded,
            1 | 2 => Excluded(key),
            _ => Included(key),
        }
    };
    let (a, b) = (bound(), bound());
    // Seldom the wrong way round.
    if between(model, &(a.clone(), b.clone())).is_empty() && rng.u8(..8) > 0 {
        (b, a)
    } else {
        (a, b)
    }
}

/// Tables of one leaf and of several levels; filled in order, at random and backwards; with long
/// keys, which make deep trees, with large values, and with half of their pairs deleted.
fn tables(mut each: impl FnMut(&str, &Pairs, Table<'_>, &mut Rng)) {
    let key_of: [(&str, MakeKey); 4] = [
        ("in order", |n| n.to_be_bytes().to_vec()),
        ("backwards", |n| (!n).to_be_bytes().to_vec()),
        ("at random", |n| spread(n).to_vec()),
        ("long keys", |n| {
            let mut key = vec![b'k'; 900];
            key.extend(spread(n));
            key.extend([0; 900]);
            key
        }),
    ];
    for (number, (name, key)) in key_of.into_iter().enumerate() {
        for keys in [0, 1, 30, 700, 20_000] {
            let keys = if name == "long keys" { keys / 10 } else { keys };
            let db = Builder::default().page_size(4096).in_memory().unwrap();
            let rng = &mut Rng::with_seed(number as u64);
            let mut model = Pairs::new();
            let mut txn = db.write().unwrap();
            let mut table = txn.open_table("main").unwrap();
            for n in 0..keys {
                let len = if rng.u8(..100) == 0 { rng.usize(..9_000) } else { rng.usize(..80) };
                let value = vec![rng.u8(..); len];
                table.put(&key(n), &value).unwrap();
                model.insert(key(n), value);
            }
            each(name, &model, table.as_table(), rng);
            // What is left of it is uneven.
            let from = key(keys / 3);
            let gone = table.retain(&from[..].., |_, value| value.len() % 4 != 0).unwrap();
            model.retain(|key, value| *key < from || value.len() % 4 != 0);
            assert_eq!(table.len(), model.len() as u64, "{gone} are gone");
            txn.commit().unwrap();
            let txn = db.read().unwrap();
            each(name, &model, txn.table("main").unwrap(), rng);
            drop(txn);
            assert_clean(&db);
        }
    }
}

#[test]
fn counts_are_exact() {
    tables(|name, model, table, rng| {
        assert_eq!(table.count_range(..).unwrap(), model.len() as u64);
        let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
        for _ in 0..150 {
            let bounds = bounds(rng, model, &keys);
            let wanted = between(model, &bounds).len() as u64;
            assert_eq!(table.count_range(bounds.clone()).unwrap(), wanted, "{name}: {bounds:?}");
        }
    });
}

#[test]
fn estimates_are_near() {
    tables(|name, model, table, rng| {
        assert_eq!(table.estimate_range(..).unwrap(), model.len() as u64);
        let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
        for _ in 0..150 {
            let bounds = bounds(rng, model, &keys);
            let wanted = between(model, &bounds).len() as u64;
            let about = table.estimate_range(bounds).unwrap();
            if table.stats().leaf_pages == 1 || wanted == 0 {
                assert_eq!(about, wanted, "{name}");
            }
            // Pairs of 80 bytes: some forty a leaf.
            assert!(
                about <= 2 * wanted + 60 && wanted <= 2 * about + 60,
                "{name}: {about} for {wanted} of {}",
                model.len()
            );
        }
    });
}

/// The right edge of a tree that was filled in order may be one of two children of the root and
/// hold next to nothing.
#[test]
fn an_edge_that_has_just_grown_counts_as_little_as_it_is() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    let mut n = 0u32;
    let mut depth = 0;
    while depth < 3 || n.is_multiple_of(50) {
        table.put(&n.to_be_bytes(), &[7; 100]).unwrap();
        n += 1;
        depth = table.as_table().stats().depth;
    }
    let half = (n / 2).to_be_bytes();
    let about = table.estimate_range(half..).unwrap();
    assert!(about.abs_diff(u64::from(n) / 2) < u64::from(n) / 20, "{about} of {n}");
    let cut = table.split_range(.., 2).unwrap();
    let [cut] = &cut[..] else { panic!("{cut:?}") };
    let cut = u32::from_be_bytes(cut[..].try_into().unwrap());
    assert!(cut.abs_diff(n / 2) < n / 20, "{cut} of {n}");
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn parts_are_whole_and_of_about_the_same_size() {
    tables(|name, model, table, rng| {
        let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
        for round in 0..60 {
            let bounds = match round {
                0 => (Unbounded, Unbounded),
                _ => bounds(rng, model, &keys),
            };
            let parts = [0, 1, 2, 3, 4, 7, 16, 100][rng.usize(..8)];
            let within = between(model, &bounds);
            let cuts = table.split_range(bounds, parts).unwrap();
            assert!(cuts.is_sorted() && cuts.len() < parts.max(1), "{name}");
            let (mut rest, mut largest, mut smallest) = (&within[..], 0, usize::MAX);
            for cut in &cuts {
                let at = rest.binary_search(&&cut[..]).expect("a key of the range");
                assert!(at > 0, "{name}: no part is empty");
                (largest, smallest) = (largest.max(at), smallest.min(at));
                rest = &rest[at..];
            }
            (largest, smallest) = (largest.max(rest.len()), smallest.min(rest.len()));
            let even = within.len() / parts.max(1);
            if even >= 300 {
                assert_eq!(cuts.len() + 1, parts.max(1), "{name}");
                assert!(
                    smallest >= even / 3 && largest <= 3 * even,
                    "{name}: from {smallest} to {largest} for {even}"
                );
            }
        }
    });
}

#[test]
fn what_is_drawn_is_there_and_the_same_for_a_seed() {
    tables(|name, model, table, rng| {
        for number in [0, 1, 10, 500] {
            let seed = rng.u64(..);
            let drawn = table.sample(number, seed).unwrap();
            assert_eq!(drawn.len(), if model.is_empty() { 0 } else { number }, "{name}");
            for (key, value) in &drawn {
                assert_eq!(model.get(&key[..]).map(|v| &v[..]), Some(*value), "{name}");
            }
            let again = table.sample(number, seed).unwrap();
            assert!(drawn.iter().map(|(k, _)| &k[..]).eq(again.iter().map(|(k, _)| &k[..])));
        }
    });
}

/// Half of the keys have values of 4 bytes, half of them of 400, so that a leaf of the one kind has
/// fifty times the keys of one of the other: by random children, those would be drawn much less.
/// 200,000 draws, in samples of 20, some of which are drawn, and of 20,000, which are walked to.
#[test]
fn a_sample_for_which_there_is_no_memory_is_refused() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    assert!(table.sample(usize::MAX, 1).unwrap().is_empty());
    table.put(b"key", b"value").unwrap();
    for number in [usize::MAX, usize::MAX / 64] {
        let refused = table.sample(number, 1);
        assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
    }
    assert_eq!(table.sample(3, 1).unwrap().len(), 3);
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn each_pair_is_as_likely_as_any_other() {
    const KEYS: u64 = 20_000;
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for n in 0..KEYS {
        let len = if n < KEYS / 2 { 4 } else { 400 };
        table.put(&n.to_be_bytes(), &vec![7; len]).unwrap();
    }
    for (number, rounds) in [(20, 10_000), (20_000, 10)] {
        let mut times = HashMap::<u64, u64>::new();
        for seed in 0..rounds {
            for (key, _) in table.sample(number, seed).unwrap() {
                let n = u64::from_be_bytes(key[..].try_into().unwrap());
                *times.entry(n * 20 / KEYS).or_default() += 1;
            }
        }
        // Twentieths of the keys: 10,000 expected of each, with a standard deviation of 97.
        for part in 0..20 {
            let times = times[&part];
            assert!(times.abs_diff(10_000) < 600, "{times} of part {part}, samples of {number}");
        }
    }
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn typed_tables_count_and_cut_too() {
    const SEEN: TableDef<(&str, u32), u8> = TableDef::new("seen");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut seen = txn.typed_mut(&SEEN).unwrap();
    for n in 0..5_000 {
        seen.put(("a", n), 1).unwrap();
        seen.put(("b", n), 2).unwrap();
    }
    let seen = seen.as_table();
    assert_eq!(seen.count_range(("a", 100)..("b", 100)).unwrap(), 5_000);
    let about = seen.estimate_range(("a", 100)..("b", 100)).unwrap();
    assert!((4_000..6_000).contains(&about), "{about}");
    let cuts = seen.split_range(.., 3).unwrap();
    assert!(cuts.len() == 2 && cuts.is_sorted(), "{cuts:?}");
    for ((name, _), value) in seen.sample(100, 3).unwrap() {
        assert_eq!(value, if name == "a" { 1 } else { 2 });
    }
    txn.commit().unwrap();
    assert_clean(&db);
}
