//! Tables of sets with types.

mod common;

use common::assert_clean;
use fastrand::Rng;
use recto::typed::{Key, SetDef, TableDef};
use recto::{Database, Error, TableKind, TableOptions};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const VISITS: SetDef<&str, (i32, Reverse<u16>)> = SetDef::new("visits");

#[test]
fn sets_of_tuples_are_those_of_the_standard_library() {
    let db = Database::in_memory().unwrap();
    let mut rng = Rng::with_seed(5);
    let mut model: BTreeMap<String, BTreeSet<(i32, Reverse<u16>)>> = BTreeMap::new();
    for _ in 0..20 {
        let mut txn = db.write().unwrap();
        let mut table = txn.typed_set_mut(&VISITS).unwrap();
        for _ in 0..500 {
            let key = ["ada", "bob", "cy", "d"][rng.usize(..4)];
            let value = (rng.i32(-300..300), Reverse(rng.u16(..3)));
            let set = model.entry(key.into()).or_default();
            if rng.u8(..3) > 0 {
                assert_eq!(table.insert(key, value).unwrap(), set.insert(value));
            } else {
                assert_eq!(table.remove(key, value).unwrap(), set.remove(&value));
            }
            model.retain(|_, set| !set.is_empty());
        }
        txn.commit().unwrap();
    }
    let txn = db.read().unwrap();
    let table = txn.typed_set(&VISITS).unwrap();
    assert_eq!(table.as_bytes().value_size(), Some(6));
    assert_eq!(table.len(), model.values().map(|set| set.len() as u64).sum::<u64>());
    let found = table.iter().unwrap().map(|entry| {
        let (key, values) = entry.unwrap();
        (key, values.map(|value| value.unwrap()).collect())
    });
    assert_eq!(found.collect::<BTreeMap<String, BTreeSet<_>>>(), model);
    let pairs: Vec<_> = table.pairs("b"..).unwrap().rev().map(|pair| pair.unwrap()).collect();
    let expected = model.range("b".to_owned()..).rev();
    let expected: Vec<_> =
        expected.flat_map(|(key, set)| set.iter().rev().map(|v| (key.clone(), *v))).collect();
    assert_eq!(pairs, expected);
    for (key, set) in &model {
        let above: Vec<_> = set.range((0, Reverse(1))..).copied().collect();
        let found = table.values(key, (0, Reverse(1))..).unwrap();
        assert_eq!(found.map(|value| value.unwrap()).collect::<Vec<_>>(), above);
        assert_eq!(table.count(key).unwrap(), set.len() as u64);
        assert_eq!(table.get(key).unwrap().set_len(), set.len() as u64);
    }
    assert_eq!(table.prefix("b").unwrap().count(), usize::from(model.contains_key("bob")));
    assert_clean(&db);
}

#[test]
fn types_of_sets_are_compared() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_set_mut(&VISITS).unwrap();
    let refused = |what: Result<(), Error>| {
        assert!(matches!(what, Err(Error::TableOptions { .. })), "{what:?}");
    };
    const OTHER: SetDef<&str, u64> = SetDef::new("visits");
    const MAP: TableDef<&str, u64> = TableDef::new("visits");
    refused(txn.typed_set_mut(&OTHER).map(drop));
    refused(txn.typed_set(&OTHER).map(drop));
    refused(txn.typed_mut(&MAP).map(drop));
    // Made as a table of bytes of any length: the size need not be said.
    txn.open_set("bytes").unwrap().insert(b"k", &7u64.to_be_bytes()).unwrap();
    const BYTES: SetDef<&[u8], u64> = SetDef::new("bytes").unnamed();
    let mut table = txn.typed_set_mut(&BYTES).unwrap();
    assert!(table.insert(b"k", 9).unwrap());
    assert_eq!(table.get(b"k").unwrap().map(|v| v.unwrap()).collect::<Vec<_>>(), [7, 9]);
    // And bytes that are none of the type.
    txn.open_set("bytes").unwrap().insert(b"k", b"nine bytes").unwrap();
    let mut values = txn.typed_set(&BYTES).unwrap().get(b"k").unwrap();
    assert!(values.by_ref().any(|value| matches!(value, Err(Error::Decode { .. }))));
    assert!(values.next().is_none());
    // Sizes are those of the type.
    txn.open_set_with("four", &TableOptions::set_of(4)).unwrap();
    const FOUR: SetDef<u8, u64> = SetDef::new("four").unnamed();
    refused(txn.typed_set_mut(&FOUR).map(drop));
    const TEXT: SetDef<u8, &str> = SetDef::new("text");
    let id = txn.open_typed_set(&TEXT).unwrap();
    assert!(id.insert(&mut txn, 1, "b").unwrap() && id.insert(&mut txn, 1, "").unwrap());
    assert!(id.contains(&txn, 1, "").unwrap() && !id.contains(&txn, 2, "").unwrap());
    assert_eq!(id.view(&txn).unwrap().len(), 2);
    assert!(id.remove(&mut txn, 1, "b").unwrap());
    assert_eq!(id.edit(&mut txn).unwrap().remove_all(1).unwrap(), 1);
    let kind = txn.table_options("text").unwrap().unwrap().kind;
    assert_eq!(kind, TableKind::Set { value_size: 0 });
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn widths_are_those_of_the_encoded_keys() {
    fn check<K: Key>(keys: &[K::Arg<'_>]) {
        for key in keys {
            let len = K::to_bytes(*key).len();
            assert_eq!(K::KEY_WIDTH, Some(len), "{}", K::type_name());
        }
    }
    check::<u8>(&[0, 255]);
    check::<i128>(&[i128::MIN, 0]);
    check::<usize>(&[0, 9]);
    check::<f32>(&[0.0, f32::NAN]);
    check::<bool>(&[true, false]);
    check::<char>(&['a', '\u{10ffff}']);
    check::<()>(&[()]);
    check::<Duration>(&[Duration::ZERO, Duration::MAX]);
    check::<std::net::Ipv4Addr>(&[std::net::Ipv4Addr::LOCALHOST]);
    check::<std::net::Ipv6Addr>(&[std::net::Ipv6Addr::LOCALHOST]);
    check::<[u16; 3]>(&[[1, 2, 3]]);
    check::<(u8, (i64, char))>(&[(1, (2, 'c'))]);
    check::<Reverse<(u8, f64)>>(&[Reverse((1, 2.0))]);
    assert_eq!(<(u8, &str)>::KEY_WIDTH, None);
    assert_eq!(<Option<u8>>::KEY_WIDTH, None);
    assert_eq!(<[String; 2]>::KEY_WIDTH, None);
    assert_eq!(<&[u8]>::KEY_WIDTH, None);
}
