//! Functions of orders that are none, that panic, or that are others than the table was made with:
//! every call ends, with an error at most, and the pages stay sound.

mod common;

use common::{assert_clean, disk_dir, open_at};
use fastrand::Rng;
use recto::{Database, Error, LoadOptions, Order, TableKind, TableOptions};
use std::cell::Cell;
use std::cmp::Ordering;

type Compare = fn(&[u8], &[u8]) -> Ordering;

/// The order of the bytes, but that it says of one in so many that they are equal, and of two the
/// contrary.
fn at_random<const OF: u64>(a: &[u8], b: &[u8]) -> Ordering {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(1) });
    let state = STATE.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    STATE.set(state);
    match (state >> 33) % OF {
        0 => Ordering::Equal,
        1 | 2 => b.cmp(a),
        _ => a.cmp(b),
    }
}

#[test]
fn a_panic_in_an_order_breaks_the_transaction_alone() {
    fn panics(a: &[u8], b: &[u8]) -> Ordering {
        assert!(!a.starts_with(b"bad") && !b.starts_with(b"bad"), "a bad key");
        a.cmp(b)
    }
    let db = Database::builder().order("panics", panics).in_memory().unwrap();
    let options = TableOptions::default().ordered(Order::Custom("panics".into()));
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table_with("t", &options).unwrap();
    table.put(b"good", b"1").unwrap();
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    let id = txn.open("t").unwrap();
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| txn.put(id, b"bad", b"")));
    assert!(panicked.is_err());
    assert!(matches!(txn.put(id, b"fine", b""), Err(Error::TransactionBroken { .. })));
    drop(txn);
    let mut txn = db.write().unwrap();
    txn.open_table("t").unwrap().put(b"fine", b"2").unwrap();
    txn.commit().unwrap();
    assert_eq!(db.read().unwrap().table("t").unwrap().len(), 2);
    assert_clean(&db);
}

/// A panic while a loader sorts has lost the pairs of a run: whoever catches it and goes on is
/// told.
#[test]
fn a_panic_in_an_order_loses_no_pairs_in_silence() {
    fn panics(a: &[u8], b: &[u8]) -> Ordering {
        assert!(a != b"bad" && b != b"bad", "a bad key");
        a.cmp(b)
    }
    let db = Database::builder().order("panics", panics).in_memory().unwrap();
    let order = Order::Custom("panics".into());
    let options = LoadOptions::default().memory(0).order(order.clone());
    let mut loader = db.loader(TableKind::Map, &options);
    let (mut panicked, mut told) = (0, 0);
    for n in 0..20_000u32 {
        let key = if n == 100 { b"bad".to_vec() } else { n.to_be_bytes().to_vec() };
        let push = std::panic::AssertUnwindSafe(|| loader.push(&key, b"value"));
        match std::panic::catch_unwind(push) {
            Ok(Ok(())) => assert_eq!(panicked, 0),
            Ok(Err(e)) => {
                assert!(e.to_string().contains("a panic has lost pairs"), "{e}");
                told += 1;
            }
            Err(_) => panicked += 1,
        }
    }
    assert!(panicked == 1 && told > 0);
    let mut txn = db.write().unwrap();
    let table = txn.open_with("t", &TableOptions::default().ordered(order)).unwrap();
    assert!(loader.finish(&mut txn, table).is_err());
    drop(txn);
    assert_clean(&db);
}

/// A function that orders nothing: every call ends, with an error at most, and the pages stay
/// sound.
#[test]
fn a_function_that_is_no_order_damages_no_page() {
    let dir = disk_dir();
    let path = dir.path().join("any.recto");
    let db = open_at(&path, Database::builder().order("any", at_random::<8>));
    let options = TableOptions::default().ordered(Order::Custom("any".into()));
    let mut rng = Rng::with_seed(3);
    let (mut errors, mut refused) = (0, 0);
    for _ in 0..300 {
        let mut txn = db.write().unwrap();
        let table = txn.open_with("t", &options).unwrap();
        let mut cursor = txn.cursor(table);
        for _ in 0..60 {
            let (key, other) = (rng.u32(..3_000).to_be_bytes(), rng.u32(..3_000).to_be_bytes());
            let value = vec![1; rng.usize(..200)];
            let mut edit = txn.edit(table).unwrap();
            let done = match rng.u8(..12) {
                0 => edit.delete_range(&key[..]..&other[..]).map(drop),
                1 => edit
                    .range(&key[..]..&other[..])
                    .and_then(|range| range.rev().take(9_000).try_for_each(|pair| pair.map(drop))),
                2 => edit.iter().and_then(|mut range| range.try_for_each(|pair| pair.map(drop))),
                3 => edit.retain(&key[..].., |_, value| value.len() % 5 > 0).map(drop),
                4 => edit.count_range(&key[..]..&other[..]).map(drop),
                5 => edit.load([(&key, &value), (&other, &value)]).map(drop),
                // So many that the sort sees what the function is.
                11 if rng.u8(..4) == 0 => {
                    let keys = (0..100u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes());
                    match edit.load(keys.map(|key| (key, b""))) {
                        Err(Error::InvalidArgument(why)) if why.contains("no total order") => {
                            refused += 1;
                            Ok(())
                        }
                        done => done.map(drop),
                    }
                }
                6 => edit.split_range(.., 5).map(drop),
                7 | 8 => edit.delete(&key).map(drop),
                9 => cursor.seek(&txn, &key).map(drop),
                10 => (0..50).try_for_each(|_| cursor.next(&txn).map(drop)),
                _ => edit.put(&key, &value).map(drop),
            };
            match done {
                Ok(()) => {}
                Err(Error::Corrupt { .. } | Error::TransactionBroken { .. }) => errors += 1,
                Err(e) => panic!("{e}"),
            }
        }
        match txn.commit() {
            Ok(()) | Err(Error::TransactionBroken { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }
    assert!(errors > 0 && refused > 0 && !db.read().unwrap().table("t").unwrap().is_empty());
    // By the function nothing is in order.
    assert!(db.check(None).unwrap().fault_count > 0);
    db.close().unwrap();
    assert!(recto::check_file(&path, None).unwrap().is_clean());
}

/// Tables of sets look for a key again when its tree of values has changed. They must not take
/// another one for it: pages would belong to nobody, or twice.
#[test]
fn a_function_that_is_no_order_damages_no_page_of_sets() {
    let dir = disk_dir();
    let mut errors = 0;
    for seed in 0..12 {
        let size = if seed % 2 == 0 { TableOptions::set_of(8) } else { TableOptions::set() };
        let options = size.ordered(Order::Custom("any".into()));
        let path = dir.path().join(format!("{seed}.recto"));
        let db = open_at(&path, Database::builder().order("any", at_random::<200>));
        let mut rng = Rng::with_seed(seed);
        for _ in 0..60 {
            let mut txn = db.write().unwrap();
            let table = txn.open_set_with("t", &options).unwrap().id();
            for _ in 0..200 {
                let (key, value) = (rng.u32(..5).to_be_bytes(), rng.u64(..2_000).to_be_bytes());
                let Ok(mut table) = txn.edit_set(table) else { break };
                let done = match rng.u8(..60) {
                    0 => table.remove_all(&key).map(drop),
                    1 => table.load((0..40u64).map(|n| (key, n.to_be_bytes()))).map(drop),
                    2..=10 => table.remove(&key, &value).map(drop),
                    _ => table.insert(&key, &value).map(drop),
                };
                match done {
                    Ok(()) => {}
                    Err(Error::Corrupt { .. } | Error::TransactionBroken { .. }) => {
                        errors += 1;
                        break;
                    }
                    Err(e) => panic!("{e}"),
                }
            }
            match txn.commit() {
                Ok(()) | Err(Error::TransactionBroken { .. }) => {}
                Err(e) => panic!("{e}"),
            }
        }
        // By the function nothing is in order; the pages are sound.
        db.close().unwrap();
        let report = recto::check_file(&path, None).unwrap();
        assert!(report.is_clean(), "seed {seed}: {:?}", report.faults);
    }
    assert!(errors > 0);
}

/// Made by one function, changed by another of the same name.
#[test]
fn another_order_of_the_same_name_damages_no_page() {
    let dir = disk_dir();
    let path = dir.path().join("two-orders.recto");
    let options = TableOptions::set().ordered(Order::Custom("mine".into()));
    let open = |compare: Compare| open_at(&path, Database::builder().order("mine", compare));
    let db = open(<[u8]>::cmp);
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set_with("t", &options).unwrap();
    // Keys with a tree of values each, all in one leaf.
    let values = || (0..300u16).map(|n| n.to_be_bytes().repeat(20));
    let pairs = (b'a'..=b'i').flat_map(|key| values().map(move |value| ([key; 100], value)));
    table.load(pairs).unwrap();
    txn.commit().unwrap();
    assert_clean(&db);
    db.close().unwrap();

    let db = open(|a, b| b.cmp(a));
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set_with("t", &options).unwrap();
    for value in [b"1", b"2", b"3"] {
        table.insert(b"x", value).unwrap();
    }
    // By this function e belongs behind i, which is the last; it stands in the middle.
    let error = table.insert(&[b'e'; 100], &[9; 2000]).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. })));
    db.close().unwrap();
    assert_clean(&open(<[u8]>::cmp));
}

/// A new cursor stands nowhere, and compares nothing with that.
#[test]
fn a_function_is_shown_keys_alone() {
    fn numbers(a: &[u8], b: &[u8]) -> Ordering {
        let number = |key: &[u8]| u32::from_be_bytes(key.try_into().expect("a key of four bytes"));
        number(b).cmp(&number(a))
    }
    let db = Database::builder().order("numbers", numbers).in_memory().unwrap();
    let order = Order::Custom("numbers".into());
    let mut txn = db.write().unwrap();
    let options = TableOptions::default().ordered(order.clone());
    let mut table = txn.open_table_with("t", &options).unwrap();
    for n in 0..100u32 {
        table.put(&n.to_be_bytes(), b"").unwrap();
    }
    assert_eq!(table.iter().unwrap().rev().count(), 100);
    assert_eq!(table.retain(.., |key, _| !key[3].is_multiple_of(2)).unwrap(), 50);
    let table = table.id();
    let sets = txn.open_set_with("s", &TableOptions::set().ordered(order)).unwrap().id();
    txn.edit_set(sets).unwrap().insert(&7u32.to_be_bytes(), b"").unwrap();
    assert!(txn.cursor(table).next(&txn).unwrap().is_some());
    assert!(txn.cursor(table).prev(&txn).unwrap().is_some());
    assert!(txn.set_cursor(sets).next(&txn).unwrap().is_some());
    assert!(txn.set_cursor(sets).prev(&txn).unwrap().is_some());
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Numbers that wrap round are no order of all of them: each is above the one before, round and
/// round. Whatever looks for the next pair anew ends all the same.
#[test]
fn a_function_that_goes_round_ends() {
    fn serial(a: &[u8], b: &[u8]) -> Ordering {
        let number = |key: &[u8]| key.first().copied().unwrap_or(0);
        (number(a).wrapping_sub(number(b)) as i8).cmp(&0)
    }
    let (mut errors, mut turns) = (0, 0);
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let db = Database::builder().order("serial", serial).in_memory().unwrap();
        let mut txn = db.write().unwrap();
        let options = TableOptions::set().ordered(Order::Custom("serial".into()));
        let mut table = txn.open_set_with("t", &options).unwrap();
        let mut keys: Vec<u8> = (0..=255).step_by(1 + rng.usize(..20)).collect();
        rng.shuffle(&mut keys);
        keys.iter().all(|key| table.insert(&[*key], b"v").is_ok());
        let pairs = table.len();
        let asked = Cell::new(0);
        let kept = table.retain(.., |_, _| {
            asked.set(asked.get() + 1);
            assert!(asked.get() <= pairs);
            true
        });
        errors += u32::from(kept.is_err());
        let options = TableOptions::default().ordered(Order::Custom("serial".into()));
        let mut table = txn.open_table_with("map", &options).unwrap();
        keys.iter().all(|key| table.put(&[*key], b"v").is_ok());
        let pairs_of_map = table.len();
        asked.set(0);
        let goes = |key: &[u8], _: &[u8]| {
            asked.set(asked.get() + 1);
            assert!(asked.get() <= (pairs_of_map + 1) * (pairs_of_map + 1));
            key[0].is_multiple_of(3)
        };
        let before = table.len();
        let (gone, done) = match seed % 2 {
            0 => {
                let done = table.retain(.., |key, value| !goes(key, value));
                (before - table.len(), done.map(drop))
            }
            _ => {
                let mut taken = table.extract_if(.., goes);
                let count = taken.by_ref().take_while(Result::is_ok).count() as u64;
                (count, taken.next().map_or(Ok(()), |pair| pair.map(drop)))
            }
        };
        assert_eq!(before - table.len(), gone, "{done:?}");
        if txn.commit().is_err() {
            continue;
        }
        let set = std::sync::Arc::new(db.read().unwrap()).owned_set("t").unwrap();
        for forward in [true, false] {
            let mut walk = set.iter().unwrap();
            let mut next = || if forward { walk.next() } else { walk.next_back() };
            let met = std::iter::from_fn(&mut next).take_while(|pair| pair.is_ok()).count() as u64;
            assert!(met <= pairs, "{met} of {pairs}");
            turns += 1;
        }
    }
    assert!(errors > 0 && turns > 0);
}
