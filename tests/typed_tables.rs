//! Typed tables against plain collections: everything that is done with them, by typed ids, cursors
//! and prefixes, and what foreign bytes in them give.

mod common;
mod typed_samples;

use common::assert_clean;
use fastrand::Rng;
use recto::typed::{Beginning, Key, KeyPrefix, Pod, PodSlice, SetDef, TableDef, TypedEntry};
use recto::{Database, Error, Order, TableOptions};
use std::collections::BTreeMap;
use std::ops::Bound::*;
use typed_samples::*;

const WORDS: TableDef<(&str, i32), &str> = TableDef::new("words");

/// Everything that a typed table does, against a map.
#[test]
fn tables_do_what_maps_do() {
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(10);
    let mut model: BTreeMap<(String, i32), String> = BTreeMap::new();
    let key = |rng: &mut Rng| (text(rng), rng.i32(-3..4));
    for _ in 0..60 {
        let mut txn = db.write().unwrap();
        let mut words = txn.typed_mut(&WORDS).unwrap();
        for _ in 0..150 {
            let (k, value) = (key(rng), text(rng));
            let arg = (&k.0[..], k.1);
            match rng.u8(..16) {
                0 => {
                    let absent = !model.contains_key(&k);
                    assert_eq!(words.put_if_absent(arg, &value).unwrap(), absent);
                    model.entry(k).or_insert(value);
                }
                1 => {
                    let old = words.replace(arg, &value).unwrap();
                    assert_eq!(old, model.insert(k, value));
                }
                2 => assert_eq!(words.delete(arg).unwrap(), model.remove(&k).is_some()),
                3 => assert_eq!(words.take(arg).unwrap(), model.remove(&k)),
                4 => {
                    let new = |old: Option<&str>| match old {
                        Some(old) if old.len() % 2 == 1 => None,
                        Some(old) => Some(format!("{old}+")),
                        None => Some(value.clone()),
                    };
                    let wanted = new(model.get(&k).map(|v| &v[..]));
                    assert_eq!(words.update(arg, new).unwrap(), wanted);
                    match wanted {
                        Some(value) => drop(model.insert(k, value)),
                        None => drop(model.remove(&k)),
                    }
                }
                5 => {
                    let now = model.get(&k).cloned();
                    let expected = if rng.bool() { now.clone() } else { Some("no".to_string()) };
                    let new = rng.bool().then_some(value);
                    let swapped =
                        words.compare_and_swap(arg, expected.as_deref(), new.as_deref()).unwrap();
                    assert_eq!(swapped, expected == now);
                    match new {
                        _ if !swapped => {}
                        Some(value) => drop(model.insert(k, value)),
                        None => drop(model.remove(&k)),
                    }
                }
                6 => assert_eq!(words.pop_first().unwrap(), model.pop_first()),
                7 => assert_eq!(words.pop_last().unwrap(), model.pop_last()),
                8 => {
                    let above = model.last_key_value().is_none_or(|(last, _)| k > *last);
                    match words.append(arg, &value) {
                        Ok(()) => {
                            assert!(above);
                            model.insert(k, value);
                        }
                        Err(Error::OutOfOrder) => assert!(!above),
                        Err(e) => panic!("{e}"),
                    }
                }
                9 if rng.u8(..8) == 0 => {
                    let to = key(rng);
                    let range = (Excluded(arg), Included((&to.0[..], to.1)));
                    let gone = words.delete_range(range).unwrap();
                    let len = model.len();
                    model.retain(|key, _| !(k < *key && *key <= to));
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                10 if rng.u8(..4) == 0 => {
                    let gone = words.delete_prefix((&k.0[..],)).unwrap();
                    let len = model.len();
                    model.retain(|key, _| key.0 != k.0);
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                11 if rng.u8(..8) == 0 => {
                    let gone = words.retain(arg.., |(_, n), v| n >= 0 || v.len() > 1).unwrap();
                    let len = model.len();
                    model.retain(|key, v| *key < k || key.1 >= 0 || v.len() > 1);
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                12 if rng.u8(..100) == 0 => {
                    assert_eq!(words.clear().unwrap(), model.len() as u64);
                    model.clear();
                }
                _ => {
                    assert_eq!(words.put(arg, &value).unwrap(), model.contains_key(&k));
                    model.insert(k, value);
                }
            }
        }
        txn.commit().unwrap();
        let txn = db.read().unwrap();
        let words = txn.typed(&WORDS).unwrap();
        assert_eq!(words.len(), model.len() as u64);
        compare(&words, &model, rng, key);
    }
    assert_clean(&db);
}

type Words<'t> = recto::TypedTable<'t, (&'static str, i32), &'static str>;

/// Every way to read.
fn compare(
    words: &Words<'_>,
    model: &BTreeMap<(String, i32), String>,
    rng: &mut Rng,
    key: impl Fn(&mut Rng) -> (String, i32),
) {
    let owned = |pair: Option<((String, i32), &str)>| pair.map(|(k, v)| (k, v.to_string()));
    let cloned =
        |pair: Option<(&(String, i32), &String)>| pair.map(|(k, v)| (k.clone(), v.clone()));
    let all: Vec<_> = words.iter().unwrap().map(|p| owned(p.ok()).unwrap()).collect();
    assert!(all.iter().cloned().eq(model.clone()));
    assert!(words.keys().unwrap().map(Result::unwrap).eq(model.keys().cloned()));
    assert!(words.values().unwrap().map(Result::unwrap).eq(model.values().map(|v| &v[..])));
    assert!(words.keys().unwrap().rev().map(Result::unwrap).eq(model.keys().rev().cloned()));
    assert!(
        words.values().unwrap().rev().map(|v| v.unwrap()).eq(model.values().rev().map(|v| &v[..]))
    );
    assert_eq!(owned(words.first().unwrap()), cloned(model.first_key_value()));
    assert_eq!(owned(words.last().unwrap()), cloned(model.last_key_value()));
    let mut cursor = words.cursor();
    for _ in 0..30 {
        let (a, b) = (key(rng), key(rng));
        let (from, to) = ((&a.0[..], a.1), (&b.0[..], b.1));
        assert_eq!(words.get(from).unwrap(), model.get(&a).map(|v| &v[..]));
        assert_eq!(words.contains_key(from).unwrap(), model.contains_key(&a));
        let many = words.get_many([from, to]).unwrap();
        assert_eq!(many, [&a, &b].map(|k| model.get(k).map(|v| &v[..])));
        let after = cloned(model.range(&a..).next());
        let before = cloned(model.range(..=&a).next_back());
        assert_eq!(owned(words.at_or_after(from).unwrap()), after);
        assert_eq!(owned(words.at_or_before(from).unwrap()), before);
        let lent = |pair: Option<((&str, i32), &str)>| {
            pair.map(|((a, b), v)| ((a.to_string(), b), v.to_string()))
        };
        assert_eq!(lent(cursor.seek(from).unwrap()), after);
        assert_eq!(lent(cursor.current().unwrap()), after);
        assert_eq!(lent(cursor.seek_back(from).unwrap()), before);
        // Both ends in turns, the keys lent.
        let mut range = words.range(from..to).unwrap();
        let mut wanted = model.iter().filter(|(k, _)| **k >= a && **k < b);
        loop {
            let ahead = rng.bool();
            let pair = if ahead { range.next_ref() } else { range.next_back_ref() };
            let want = if ahead { wanted.next() } else { wanted.next_back() };
            assert_eq!(lent(pair.unwrap()), cloned(want));
            if want.is_none() {
                break;
            }
        }
        assert_eq!(words.range(..to).unwrap().count(), model.range(..&b).count());
        assert_eq!(words.range(..=to).unwrap().count(), model.range(..=&b).count());
        assert_eq!(words.range(from..).unwrap().count(), model.range(&a..).count());
        let of = words.prefix((&a.0[..],)).unwrap().map(|p| p.unwrap().0);
        assert!(of.eq(model.keys().filter(|k| k.0 == a.0).cloned()));
    }
}

#[test]
fn prefixes_hold_what_begins_with_them() {
    const TABLE: TableDef<(&[u8], &str, u16), ()> = TableDef::new("table");
    const TEXT: TableDef<&str, ()> = TableDef::new("text");
    fn bytes_of<K: Key>(prefix: impl KeyPrefix<K>) -> Vec<u8> {
        let mut out = Vec::new();
        prefix.encode_prefix(&mut out);
        out
    }
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(11);
    let mut txn = db.write().unwrap();
    let (table, words) = (txn.open_typed(&TABLE).unwrap(), txn.open_typed(&TEXT).unwrap());
    let mut model = BTreeMap::new();
    for _ in 0..3_000 {
        let (a, b, c) = (bytes(rng), text(rng), rng.u16(..3));
        table.put(&mut txn, (&a, &b, c), ()).unwrap();
        words.put(&mut txn, &b, ()).unwrap();
        model.insert((a, b, c), ());
    }
    for _ in 0..300 {
        let (a, b) = (bytes(rng), text(rng));
        let view = table.view(&txn).unwrap();
        let one = view.prefix((&a[..],)).unwrap().keys().map(Result::unwrap);
        assert!(one.eq(model.keys().filter(|k| k.0 == a).cloned()));
        let two = view.prefix((&a[..], &b[..])).unwrap().keys().map(Result::unwrap);
        assert!(two.eq(model.keys().filter(|k| k.0 == a && k.1 == b).cloned()));
        // The last but one is escaped, the last one not.
        let begins = view.prefix(Beginning((&a[..],), &b[..])).unwrap().keys().map(Result::unwrap);
        assert!(begins.eq(model.keys().filter(|k| k.0 == a && k.1.starts_with(&b)).cloned()));
        let begins = view.prefix(Beginning((), &a[..])).unwrap().keys().map(Result::unwrap);
        assert!(begins.eq(model.keys().filter(|k| k.0.starts_with(&a)).cloned()));
        let last = bytes_of::<(u8, &[u8])>(Beginning((7,), &a[..]));
        assert_eq!(last, [&[7], &a[..]].concat());
        let found = words.view(&txn).unwrap().prefix(&b[..]).unwrap().count();
        let all = words.view(&txn).unwrap().keys().unwrap();
        assert_eq!(found, all.filter(|k| k.as_ref().unwrap().starts_with(&b)).count());
    }
    // A number needs no type, and a struct in front none of its fields.
    assert_eq!(bytes_of::<(u16, u8)>((258,)), [1, 2]);
    assert_eq!(bytes_of::<(u16, u8, u8)>((258, 3)), [1, 2, 3]);
    txn.commit().unwrap();
    assert_clean(&db);
}

/// A walk that deletes and puts, and others that stand by.
#[test]
fn cursors_have_types() {
    const QUEUE: TableDef<(u8, &str), u32> = TableDef::new("queue");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let queue = txn.open_typed(&QUEUE).unwrap();
    for n in 0..100u32 {
        queue.put(&mut txn, ((n % 3) as u8, &format!("job\0{n:03}")), n).unwrap();
    }
    let mut cursor = queue.cursor(&txn);
    let mut met = Vec::new();
    let mut next = cursor.seek(&txn, (1, "")).unwrap();
    while let Some(((kind, name), n)) = next {
        if kind != 1 {
            break;
        }
        assert_eq!(name, format!("job\0{n:03}"));
        met.push(n);
        assert!(cursor.delete(&mut txn).unwrap());
        assert_eq!(cursor.current(&txn).unwrap(), None);
        next = cursor.next(&txn).unwrap();
    }
    assert_eq!(met, (0..100).filter(|n| n % 3 == 1).collect::<Vec<_>>());
    assert_eq!(cursor.current(&txn).unwrap(), Some(((2, "job\x00002"), 2)));
    assert!(cursor.put(&mut txn, 7).unwrap());
    assert_eq!(queue.get(&txn, (2, "job\x00002")).unwrap(), Some(7));
    assert!(!cursor.insert(&mut txn, (1, "new"), 8).unwrap());
    assert_eq!(cursor.prev(&txn).unwrap().map(|(key, _)| key), Some((0, "job\x00099")));
    assert_eq!(cursor.first(&txn).unwrap().map(|(key, _)| key), Some((0, "job\x00000")));
    assert_eq!(cursor.last(&txn).unwrap().map(|(key, _)| key), Some((2, "job\x00098")));
    assert_eq!(cursor.seek_back(&txn, (2, "")).unwrap(), Some(((1, "new"), 8)));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Bytes that somebody else has put are errors where they are read, and nothing more.
#[test]
fn foreign_bytes_in_a_table_are_errors() {
    const NUMBERS: TableDef<u32, u64> = TableDef::new("numbers");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let numbers = txn.open_typed(&NUMBERS).unwrap();
    for n in 0..10 {
        numbers.put(&mut txn, n, n.into()).unwrap();
    }
    txn.put(numbers.id(), &u32::to_bytes(5), b"five").unwrap();
    txn.put(numbers.id(), b"key", &7u64.to_le_bytes()).unwrap();
    let decode = |e: &Error| matches!(e, Error::Decode { .. });
    let view = numbers.view(&txn).unwrap();
    assert!(view.get(5).is_err_and(|e| decode(&e)) && view.last().is_err_and(|e| decode(&e)));
    assert!(view.get_many([1, 5]).is_err_and(|e| decode(&e)));
    // A range ends with its first error.
    let mut range = view.iter().unwrap();
    assert_eq!(range.by_ref().take_while(Result::is_ok).count(), 5);
    assert!(range.next().is_none() && range.next_back().is_none());
    let mut range = view.iter().unwrap();
    assert!(range.next_back_ref().is_err() && range.next_ref().unwrap().is_none());
    // Values alone look at no key, keys alone at no value.
    assert_eq!(view.values().unwrap().filter(Result::is_ok).count(), 5);
    assert_eq!(view.keys().unwrap().filter(Result::is_ok).count(), 10);
    assert_eq!(view.as_bytes().iter().unwrap().count(), 11);
    let mut edit = numbers.edit(&mut txn).unwrap();
    assert!(edit.pop_last().is_err_and(|e| decode(&e)));
    assert!(edit.take(5).is_err() && edit.replace(5, 1).is_err() && edit.update(5, |n| n).is_err());
    assert_eq!(edit.len(), 11);
    // What went before the error is gone, the rest is there.
    assert!(edit.retain(.., |n, _| n > 1).is_err_and(|e| decode(&e)));
    assert_eq!((edit.len(), edit.first().unwrap()), (9, Some((2, 2))));
    assert!(!edit.contains_key(0).unwrap() && edit.contains_key(9).unwrap());
    let mut cursor = numbers.cursor(&txn);
    assert!(cursor.last(&txn).is_err_and(|e| decode(&e)));
    assert_eq!(cursor.prev(&txn).unwrap(), Some((9, 9)));
    assert!(numbers.put(&mut txn, 5, 5).unwrap());
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn a_key_that_is_too_long_breaks_nothing() {
    const LONG: TableDef<(&str, u8), ()> = TableDef::new("long");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let long = txn.open_typed(&LONG).unwrap();
    let max = db.max_key_len() - 2; // an end, and a byte behind it
    assert!(!long.put(&mut txn, (&"x".repeat(max), 1), ()).unwrap());
    let error = long.put(&mut txn, (&"x".repeat(max + 1), 1), ()).unwrap_err();
    assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
    assert_eq!(long.view(&txn).unwrap().len(), 1);
    txn.commit().unwrap();
    assert_clean(&db);
}

/// What encodes inside of what encodes has a buffer of its own.
#[test]
fn tables_are_used_inside_of_each_other() {
    const INNER: TableDef<&str, &str> = TableDef::new("inner");
    const OUTER: TableDef<&str, (&str, u8)> = TableDef::new("outer");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&INNER).unwrap().put("key", "inside").unwrap();
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let inner = txn.typed(&INNER).unwrap();
    let mut write = db.write().unwrap();
    let mut outer = write.typed_mut(&OUTER).unwrap();
    outer.update("a longer key", |_| Some((inner.get("key").unwrap()?.into(), 1))).unwrap();
    assert_eq!(outer.get("a longer key").unwrap(), Some(("inside", 1)));
    assert_eq!(outer.len(), 1);
    write.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn ids_end_with_their_transaction() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let words = txn.open_typed(&WORDS).unwrap();
    assert_eq!(words, txn.open_typed(&WORDS).unwrap());
    assert_eq!(words, txn.typed_mut(&WORDS).unwrap().id());
    words.put(&mut txn, ("a", 1), "b").unwrap();
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    let gone = |e: &Error| matches!(e, Error::NoSuchTableId);
    assert!(words.put(&mut txn, ("a", 1), "c").is_err_and(|e| gone(&e)));
    assert!(words.get(&txn, ("a", 1)).is_err_and(|e| gone(&e)));
    let words = txn.open_typed(&WORDS).unwrap();
    assert!(txn.drop_table(WORDS.name()).unwrap());
    assert!(words.get(&txn, ("a", 1)).is_err_and(|e| gone(&e)));
    assert!(matches!(txn.typed(&WORDS).map(|_| ()), Err(Error::NoSuchTable(_))));
    assert!(txn.typed_opt(&WORDS).unwrap().is_none());
    drop(txn);
    assert!(db.read().unwrap().typed_opt(&WORDS).unwrap().is_some());
    assert_clean(&db);
}

/// Snapshots are shared between threads, and so are their tables, whatever the types.
#[test]
fn tables_are_shared_between_threads() {
    fn both<T: Send + Sync>() {}
    both::<TableDef<'_, &str, Pod<Place>>>();
    both::<recto::TypedTable<'_, &str, Pod<Place>>>();
    both::<recto::TypedId<String, PodSlice<f32>>>();
    both::<recto::TypedCursor<(u8, String), Level>>();
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let words = txn.open_typed(&WORDS).unwrap();
    for n in 0..2_000 {
        words.put(&mut txn, ("word", n), "value").unwrap();
    }
    let view = words.view(&txn).unwrap();
    assert_eq!(
        format!("{view:?}"),
        r#"TypedTable { keys: "(str,i32)", values: "str", len: 2000 }"#
    );
    std::thread::scope(|s| {
        for from in 0..2 {
            s.spawn(move || {
                for n in (from..2_000).step_by(2) {
                    assert_eq!(view.get(("word", n)).unwrap(), Some("value"));
                }
                assert_eq!(view.range(("word", 1_000)..).unwrap().count(), 1_000);
            });
        }
    });
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn a_new_table_is_made_once() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    const AGES: TableDef<&str, Pod<u64>> = TableDef::new("ages").align(64);
    txn.create_typed(&AGES).unwrap().put("Ada", &36).unwrap();
    let options = txn.table_options("ages").unwrap().unwrap();
    assert_eq!((options.align, &*options.key_type), (64, "str"));
    let there = |e: Error| matches!(e, Error::TableExists(name) if name == "ages");
    assert!(txn.create_typed(&AGES).is_err_and(there));
    assert!(txn.create_typed(&TableDef::<u8, u8>::new("ages")).is_err_and(there));
    assert_eq!(txn.typed(&AGES).unwrap().len(), 1);
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Tables whose keys stand whole have the order of their types; what was made otherwise, or has
/// another order, is told.
#[test]
fn whole_keys_are_asked_for_by_the_definition() {
    const PLAIN: TableDef<(&str, i32), &str> = WORDS.plain();
    const TAGS: SetDef<&str, u16> = SetDef::new("tags");
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(12);
    let mut model: BTreeMap<(String, i32), String> = BTreeMap::new();
    let mut txn = db.write().unwrap();
    let (words, tags) =
        (txn.open_typed(&PLAIN).unwrap(), txn.open_typed_set(&TAGS.plain()).unwrap());
    for _ in 0..3_000 {
        let (key, value) = ((text(rng), rng.i32(-3..4)), text(rng));
        if rng.u8(..4) > 0 {
            words.put(&mut txn, (&key.0, key.1), &value).unwrap();
            tags.insert(&mut txn, &value, rng.u16(..9)).unwrap();
            model.insert(key, value);
        } else {
            let there = words.delete(&mut txn, (&key.0, key.1)).unwrap();
            assert_eq!(there, model.remove(&key).is_some());
        }
    }
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    for name in ["words", "tags"] {
        assert_eq!(txn.table_options(name).unwrap().unwrap().order, Order::Plain);
    }
    // As in other tables of this order made as bytes, the definition need not say it.
    for def in [WORDS, PLAIN] {
        let table = txn.typed(&def).unwrap();
        let found = table.iter().unwrap().map(Result::unwrap).map(|(k, v)| (k, v.to_owned()));
        assert!(found.eq(model.iter().map(|(k, v)| (k.clone(), v.clone()))));
        let found = (&table).into_iter().rev().map(|pair| pair.unwrap().0);
        assert!(found.eq(model.keys().rev().cloned()));
        let (from, to) = (("a", 0), ("n", 0));
        let among = |(text, n): &(String, i32)| (&**text, *n) >= from && (&**text, *n) < to;
        let found = table.range(from..to).unwrap().keys().map(Result::unwrap);
        assert!(found.eq(model.keys().filter(|key| among(key)).cloned()));
        assert!(txn.open_typed(&def).is_ok());
    }
    for def in [TAGS, TAGS.plain()] {
        assert_eq!(txn.typed_set(&def).unwrap().iter().unwrap().count() as u64, {
            txn.open_typed_set(&def).unwrap().view(&txn).unwrap().key_count()
        });
    }
    let refused = |e: Error| matches!(e, Error::TableOptions { .. });
    const PACKED: TableDef<u8, u8> = TableDef::new("packed");
    const PACKED_SETS: SetDef<u8, u8> = SetDef::new("packed sets");
    txn.open_typed(&PACKED).unwrap();
    txn.open_typed_set(&PACKED_SETS).unwrap();
    assert!(txn.open_typed(&PACKED.plain()).is_err_and(refused));
    assert!(txn.typed(&PACKED.plain()).is_err_and(refused));
    assert!(txn.open_typed_set(&PACKED_SETS.plain()).is_err_and(refused));
    assert!(txn.typed_set(&PACKED_SETS.plain()).is_err_and(refused));
    let reversed = TableOptions::set().ordered(Order::Reversed);
    txn.open_set_with("reversed", &reversed).unwrap();
    const REVERSED: SetDef<u8, u8> = SetDef::new("reversed").unnamed();
    assert!(txn.open_typed_set(&REVERSED).is_err_and(refused));
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn entries_and_cursors_know_their_keys() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let words = txn.open_typed(&WORDS).unwrap();
    let mut table = words.edit(&mut txn).unwrap();
    for (key, is_there) in [(("a\0b", -1), false), (("a\0b", -1), true), (("", 7), false)] {
        let entry = table.entry(key).unwrap();
        assert_eq!(entry.key().unwrap(), (key.0.to_owned(), key.1));
        match entry {
            TypedEntry::Vacant(free) => {
                assert!(!is_there);
                assert_eq!(free.key().unwrap(), (key.0.to_owned(), key.1));
                free.insert("value").unwrap();
            }
            TypedEntry::Occupied(there) => {
                assert!(is_there);
                assert_eq!(there.key().unwrap(), (key.0.to_owned(), key.1));
            }
        }
    }
    let mut cursor = table.cursor();
    assert_eq!((cursor.table(), cursor.key().unwrap()), (words, None));
    assert_eq!(cursor.last(&txn).unwrap(), Some((("a\0b", -1), "value")));
    let mut other = cursor.clone();
    assert!(cursor.delete(&mut txn).unwrap());
    assert_eq!(cursor.key().unwrap(), Some(("a\0b", -1)), "where it was");
    assert_eq!(other.current(&txn).unwrap(), None);
    assert_eq!(other.prev(&txn).unwrap(), Some((("", 7), "value")));
    let table = txn.typed(&WORDS).unwrap();
    let mut cursor = table.cursor();
    cursor.first().unwrap();
    assert_eq!(cursor.clone().current().unwrap(), Some((("", 7), "value")));
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn a_slice_that_could_not_be_filled_is_not_put() {
    const NUMBERS: TableDef<u8, PodSlice<u32>> = TableDef::new("numbers");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut numbers = txn.typed_mut(&NUMBERS).unwrap();
    numbers.put(1, &[1, 2]).unwrap();
    let failed = numbers.try_put_with(1, 3, |slice| {
        slice[0] = 7;
        Err(Error::Decode { type_name: "mine".into(), detail: "no more".into() })
    });
    assert!(matches!(failed, Err(Error::Decode { type_name, .. }) if type_name == "mine"));
    assert_eq!(numbers.get(1).unwrap(), Some(&[1, 2][..]));
    let replaced = numbers.try_put_with(1, 3, |slice| {
        slice.fill(9);
        Ok::<_, Error>(())
    });
    assert!(replaced.unwrap());
    assert_eq!(numbers.get(1).unwrap(), Some(&[9, 9, 9][..]));
    txn.commit().unwrap();
    assert_clean(&db);
}
