//! Several tables of one write transaction at once, cursors that stay where they are while it
//! changes, and what changes a table in one call.

mod common;

use common::assert_clean;
use fastrand::Rng;
use recto::{Cursor, Database, Entry, Error, TableDef, TableId, WriteTxn};
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn all(txn: &WriteTxn, table: TableId) -> Pairs {
    let pairs = txn.view(table).unwrap().iter().unwrap();
    pairs.map(|pair| pair.map(|(key, value)| (key.into_vec(), value.to_vec())).unwrap()).collect()
}

fn number(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

#[test]
fn tables_are_read_and_written_side_by_side() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let (users, by_mail) = (txn.open("users").unwrap(), txn.open("by_mail").unwrap());
    assert_ne!(users, by_mail);
    assert_eq!(txn.open("users").unwrap(), users, "the same table has the same id");
    assert_eq!(txn.open_table("users").unwrap().id(), users);
    // Also where another one has gone that was opened before it.
    txn.drop_table("users").unwrap();
    assert_eq!(txn.open("by_mail").unwrap(), by_mail);
    assert_eq!(HashSet::from([by_mail, txn.open("by_mail").unwrap()]).len(), 1);
    let users = txn.open("users").unwrap();
    for n in 0..500 {
        let mail = format!("{}@example.org", n % 400);
        // Two with the same address: the later one gets it.
        if let Some(other) = txn.get(by_mail, mail.as_bytes()).unwrap().map(<[u8]>::to_vec) {
            txn.delete(users, &other).unwrap();
        }
        txn.put(users, &number(n), mail.as_bytes()).unwrap();
        txn.put(by_mail, mail.as_bytes(), &number(n)).unwrap();
    }
    let (a, b) = (txn.view(users).unwrap(), txn.view(by_mail).unwrap());
    assert_eq!((a.len(), b.len()), (400, 400));
    for pair in a.iter().unwrap() {
        let (user, mail) = pair.unwrap();
        assert_eq!(b.get(mail).unwrap(), Some(&user[..]));
    }
    txn.edit(by_mail).unwrap().clear().unwrap();
    assert!(txn.view(by_mail).unwrap().is_empty());
    txn.commit().unwrap();
    assert_eq!(db.read().unwrap().table("users").unwrap().len(), 400);
    assert_eq!(db.read().unwrap().table("by_mail").unwrap().len(), 0);
    assert_clean(&db);
}

#[test]
fn threads_read_what_is_not_committed() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let ids: Vec<TableId> = ["a", "b"].iter().map(|name| txn.open(name).unwrap()).collect();
    for n in 0..2_000 {
        txn.put(ids[0], &number(n), &number(n)).unwrap();
        txn.put(ids[1], &number(n), &number(!n)).unwrap();
    }
    let txn = &txn;
    std::thread::scope(|s| {
        for &id in &ids {
            s.spawn(move || {
                for n in 0..2_000 {
                    assert!(txn.get(id, &number(n)).unwrap().is_some());
                }
                assert_eq!(all(txn, id).len(), 2_000);
            });
        }
    });
    assert_clean(&db);
}

#[test]
fn ids_end_with_their_table_and_their_transaction() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let ids = ["a", "b", "c"].map(|name| txn.open(name).unwrap());
    for id in ids {
        txn.put(id, b"key", b"value").unwrap();
    }
    let gone = |result: Result<_, Error>| matches!(result, Err(Error::NoSuchTableId));
    assert!(txn.drop_table("a").unwrap());
    assert!(gone(txn.put(ids[0], b"key", b"other")));
    assert!(gone(txn.get(ids[0], b"key").map(|_| false)));
    assert!(gone(txn.edit(ids[0]).map(|_| false)) && gone(txn.view(ids[0]).map(|_| false)));
    assert!(gone(txn.cursor(ids[0]).next(&txn).map(|_| false)));
    // The others are what they were, also under another name; a table of the old name is new.
    txn.rename_table("c", "d").unwrap();
    let again = txn.open("a").unwrap();
    assert!(!ids.contains(&again) && txn.view(again).unwrap().is_empty());
    txn.put(ids[2], b"key", b"renamed").unwrap();
    assert_eq!(txn.table("d").unwrap().get(b"key").unwrap(), Some(&b"renamed"[..]));
    assert_eq!(txn.get(ids[1], b"key").unwrap(), Some(&b"value"[..]));
    // Such an error breaks nothing.
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    for _ in 0..4 {
        txn.open("b").unwrap();
    }
    assert!(gone(txn.put(ids[1], b"key", b"of another transaction")));
    let other = Database::in_memory().unwrap();
    let mut elsewhere = other.write().unwrap();
    let mine = txn.open("b").unwrap();
    elsewhere.open("x").unwrap();
    assert!(gone(elsewhere.put(mine, b"key", b"of another database")));
    drop((txn, elsewhere));
    assert_clean(&db);
}

/// Every way to change a table in one call, against a BTreeMap.
#[test]
fn changes_in_one_call_do_what_a_map_does() {
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(7);
    let mut model = Pairs::new();
    for round in 0..40 {
        let mut txn = db.write().unwrap();
        let before = model.clone();
        for _ in 0..500 {
            let (key, value) = (number(rng.u32(..3_000)), vec![rng.u8(..); rng.usize(..90)]);
            let mut t = txn.open_table("main").unwrap();
            match rng.u8(..20) {
                0 => {
                    let put = t.put_if_absent(&key, &value).unwrap();
                    assert_eq!(put, !model.contains_key(&key[..]));
                    model.entry(key.to_vec()).or_insert(value);
                }
                1 => {
                    let old = t.replace(&key, &value).unwrap();
                    assert_eq!(old, model.insert(key.to_vec(), value));
                }
                2 => {
                    let new = |old: Option<&[u8]>| match old {
                        Some(old) if old.len() % 2 == 0 => None,
                        Some(old) => Some([old, b"+"].concat()),
                        None => Some(value.clone()),
                    };
                    let wanted = new(model.get(&key[..]).map(|v| &v[..]));
                    assert_eq!(t.update(&key, new).unwrap(), wanted);
                    match wanted {
                        Some(value) => drop(model.insert(key.to_vec(), value)),
                        None => drop(model.remove(&key[..])),
                    }
                }
                3 => {
                    let now = model.get(&key[..]).cloned();
                    let right = rng.bool();
                    let expected = if right { now.clone() } else { Some(b"no".to_vec()) };
                    let new = rng.bool().then_some(value);
                    let swapped =
                        t.compare_and_swap(&key, expected.as_deref(), new.as_deref()).unwrap();
                    assert_eq!(swapped, expected == now);
                    match new {
                        _ if !swapped => {}
                        Some(value) => drop(model.insert(key.to_vec(), value)),
                        None => drop(model.remove(&key[..])),
                    }
                }
                4 => assert_eq!(t.pop_first().unwrap(), model.pop_first()),
                5 => assert_eq!(t.pop_last().unwrap(), model.pop_last()),
                6 => {
                    let above = model.last_key_value().is_none_or(|(last, _)| key[..] > last[..]);
                    match t.append(&key, &value) {
                        Ok(()) => {
                            assert!(above);
                            model.insert(key.to_vec(), value);
                        }
                        Err(Error::OutOfOrder) => assert!(!above),
                        Err(e) => panic!("{e}"),
                    }
                }
                7 if rng.u8(..20) == 0 => {
                    let to = number(rng.u32(..3_000));
                    let gone = t.delete_range((Excluded(&key), Included(&to))).unwrap();
                    let len = model.len();
                    model.retain(|k, _| !(key[..] < k[..] && k[..] <= to[..]));
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                8 if rng.u8(..20) == 0 => {
                    let prefix = &key[..3];
                    let gone = t.delete_prefix(prefix).unwrap();
                    let len = model.len();
                    model.retain(|k, _| !k.starts_with(prefix));
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                9 if rng.u8(..20) == 0 => {
                    let odd = |v: &[u8]| v.len() % 2 == 1;
                    let gone = t.retain(key.., |_, v| odd(v)).unwrap();
                    let len = model.len();
                    model.retain(|k, v| k[..] < key[..] || odd(v));
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                10 if rng.u8(..200) == 0 => {
                    assert_eq!(t.clear().unwrap(), model.len() as u64);
                    model.clear();
                }
                11 if rng.u8(..20) == 0 => {
                    let odd = |v: &[u8]| v.len() % 2 == 1;
                    let most = rng.usize(..60);
                    let gone: Vec<_> = (t.extract_if(key.., |_, v| odd(v)).take(most))
                        .map(|pair| pair.unwrap())
                        .collect();
                    let wanted = model.range(key.to_vec()..).filter(|(_, v)| odd(v)).take(most);
                    let wanted: Vec<_> = wanted.map(|(k, v)| (k.clone(), v.clone())).collect();
                    assert_eq!(gone, wanted);
                    wanted.iter().for_each(|(key, _)| drop(model.remove(key)));
                }
                12 => {
                    t.entry(&key).unwrap().or_insert(&value).unwrap();
                    model.entry(key.to_vec()).or_insert(value);
                }
                13 => {
                    let entry = t.entry(&key).unwrap().and_modify(|v| v.extend(&value)).unwrap();
                    entry.or_insert_with(|| &value).unwrap();
                    model.entry(key.to_vec()).and_modify(|v| v.extend(&value)).or_insert(value);
                }
                14 => match (t.entry(&key).unwrap(), model.remove(&key[..])) {
                    (Entry::Occupied(there), Some(was)) => {
                        assert_eq!(there.get().unwrap(), was);
                        assert_eq!(there.remove().unwrap(), was);
                    }
                    (Entry::Vacant(_), None) => {}
                    (entry, was) => panic!("{entry:?} {was:?}"),
                },
                16 => {
                    let filled =
                        t.put_with(&key, value.len(), |bytes| bytes.copy_from_slice(&value));
                    assert_eq!(filled.unwrap(), model.insert(key.to_vec(), value).is_some());
                }
                15 => {
                    let owned = |pair: Option<(recto::Key<'_>, &[u8])>| {
                        pair.map(|(k, v)| (k.into_vec(), v.to_vec()))
                    };
                    let first = |from| model.range((from, Unbounded)).next();
                    let last = |to| model.range((Unbounded, to)).next_back();
                    let key = key.to_vec();
                    for (found, wanted) in [
                        (t.at_or_after(&key), first(Included(key.clone()))),
                        (t.after(&key), first(Excluded(key.clone()))),
                        (t.at_or_before(&key), last(Included(key.clone()))),
                        (t.before(&key), last(Excluded(key.clone()))),
                    ] {
                        let wanted = wanted.map(|(k, v)| (k.clone(), v.clone()));
                        assert_eq!(owned(found.unwrap()), wanted);
                    }
                }
                _ => {
                    t.put(&key, &value).unwrap();
                    model.insert(key.to_vec(), value);
                }
            }
        }
        let main = txn.open("main").unwrap();
        assert!(all(&txn, main) == model, "round {round}");
        if rng.u8(..4) == 0 {
            model = before;
        } else {
            txn.commit().unwrap();
        }
    }
    assert_clean(&db);
}

/// Several cursors in two tables while everything changes, against positions in a BTreeMap.
#[test]
fn cursors_stay_where_they_are() {
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(11);
    let mut txn = db.write().unwrap();
    let ids = [txn.open("a").unwrap(), txn.open("b").unwrap()];
    let mut models = [Pairs::new(), Pairs::new()];
    // The key that each stands on.
    let mut cursors: Vec<(usize, Cursor, Option<Vec<u8>>)> =
        (0..6).map(|i| (i % 2, txn.cursor(ids[i % 2]), None)).collect();
    for step in 0..60_000u32 {
        let which = rng.usize(..6);
        let (table, cursor, at) = &mut cursors[which];
        let (id, model) = (ids[*table], &mut models[*table]);
        let key = number(rng.u32(..4_000)).to_vec();
        let value = step.to_le_bytes().repeat(rng.usize(..20));
        let pair = |key: Option<Vec<u8>>| key.map(|key| (key.clone(), model[&key].clone()));
        let owned = |pair: Option<(&[u8], &[u8])>| pair.map(|(k, v)| (k.to_vec(), v.to_vec()));
        match rng.u8(..12) {
            0 => {
                txn.put(id, &key, &value).unwrap();
                model.insert(key, value);
            }
            1 => {
                txn.delete(id, &key).unwrap();
                model.remove(&key);
            }
            2 => {
                assert_eq!(cursor.put(&mut txn, &value).unwrap(), at.is_some());
                if let Some(at) = at {
                    model.insert(at.clone(), value);
                }
            }
            3 => {
                let there = at.as_ref().is_some_and(|at| model.remove(at).is_some());
                assert_eq!(cursor.delete(&mut txn).unwrap(), there);
            }
            4 => {
                let there = model.insert(key.clone(), value.clone()).is_some();
                assert_eq!(cursor.insert(&mut txn, &key, &value).unwrap(), there);
                *at = Some(key);
            }
            5 => {
                let wanted = model.range(key.clone()..).next().map(|(k, _)| k.clone());
                assert_eq!(owned(cursor.seek(&txn, &key).unwrap()), pair(wanted.clone()));
                *at = wanted;
            }
            6 => {
                let wanted = model.range(..=key.clone()).next_back().map(|(k, _)| k.clone());
                assert_eq!(owned(cursor.seek_back(&txn, &key).unwrap()), pair(wanted.clone()));
                *at = wanted;
            }
            7 => {
                let wanted = at.clone().filter(|at| model.contains_key(at));
                assert_eq!(owned(cursor.current(&txn).unwrap()), pair(wanted));
            }
            8 | 9 if at.is_some() => {
                let from = Excluded(at.clone().unwrap());
                let wanted = model.range((from, Unbounded)).next().map(|(k, _)| k.clone());
                assert_eq!(owned(cursor.next(&txn).unwrap()), pair(wanted.clone()));
                *at = wanted;
            }
            10 | 11 if at.is_some() => {
                let to = Excluded(at.clone().unwrap());
                let wanted = model.range((Unbounded, to)).next_back().map(|(k, _)| k.clone());
                assert_eq!(owned(cursor.prev(&txn).unwrap()), pair(wanted.clone()));
                *at = wanted;
            }
            _ => {
                let wanted = model.keys().next().cloned();
                assert_eq!(owned(cursor.first(&txn).unwrap()), pair(wanted.clone()));
                *at = wanted;
            }
        }
        assert_eq!(cursors[which].1.key(), cursors[which].2.as_deref());
    }
    for (id, model) in ids.iter().zip(&models) {
        assert!(all(&txn, *id) == *model);
    }
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Half of the queue is worked off and put into another table, which is done by one walk.
#[test]
fn a_walk_deletes_what_it_stands_on_and_meets_what_is_put_ahead() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let (queue, done) = (txn.open("queue").unwrap(), txn.open("done").unwrap());
    for n in 0..5_000 {
        txn.put(queue, &number(n), b"job").unwrap();
    }
    let mut cursor = txn.cursor(queue);
    let mut met = Vec::new();
    while let Some((key, _)) = cursor.next(&txn).unwrap() {
        let n = u32::from_be_bytes(key.try_into().unwrap());
        met.push(n);
        match n {
            0..5_000 if n % 2 == 0 => {
                assert!(
                    cursor.delete(&mut txn).unwrap() && cursor.current(&txn).unwrap().is_none()
                );
                txn.put(done, &number(n), b"").unwrap();
                // Behind the end, to be met by this walk; and in front, not to be met.
                txn.put(queue, &number(100_000 + n), b"").unwrap();
                txn.put(queue, &number(n.saturating_sub(7)), b"").unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(met.len(), 5_000 + 2_500);
    assert!(met.is_sorted());
    assert_eq!(txn.view(done).unwrap().len(), 2_500);
    // At the end it waits for what comes.
    assert!(cursor.next(&txn).unwrap().is_none());
    txn.put(queue, &number(900_000), b"late").unwrap();
    assert_eq!(cursor.next(&txn).unwrap(), Some((&number(900_000)[..], &b"late"[..])));
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn cursors_of_snapshots_go_both_ways() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for n in 0..3_000 {
        table.put(&number(n * 2), &number(n)).unwrap();
    }
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let table = txn.table("main").unwrap();
    let mut cursor = table.cursor();
    assert_eq!(cursor.current().unwrap(), None);
    let mut keys = 0;
    while let Some((key, value)) = cursor.next().unwrap() {
        assert_eq!((key, value), (&number(keys * 2)[..], &number(keys)[..]));
        keys += 1;
    }
    assert_eq!(keys, 3_000);
    assert_eq!(cursor.prev().unwrap().map(|(key, _)| key.to_vec()), Some(number(5_998).to_vec()));
    let mut other = cursor.clone();
    assert_eq!(cursor.seek(&number(101)).unwrap().unwrap().0, number(102));
    assert_eq!(cursor.seek_back(&number(101)).unwrap().unwrap().0, number(100));
    assert_eq!(cursor.seek_back(&number(102)).unwrap().unwrap().0, number(102));
    assert_eq!(other.current().unwrap().unwrap().0, number(5_998), "a cursor of its own");
    assert_eq!(cursor.first().unwrap().unwrap().0, number(0));
    assert_eq!(cursor.prev().unwrap(), None);
    assert_eq!(cursor.last().unwrap().unwrap().0, number(5_998));
    assert_eq!(cursor.seek(&number(9_999)).unwrap(), None);
    assert_eq!(cursor.prev().unwrap().unwrap().0, number(5_998));
    assert_clean(&db);
}

#[test]
fn what_is_printed() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for key in [&b"text"[..], "größe".as_bytes(), b"\xff\x00\n"] {
        table.put(key, b"value").unwrap();
    }
    let printed = format!("{table:?}");
    assert!(printed.starts_with("TableMut") && printed.contains("len: 3"), "{printed}");
    let keys: Vec<_> = table.iter().unwrap().map(|pair| pair.unwrap().0).collect();
    let shown: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
    assert_eq!(shown, ["größe", "text", r"\xff\x00\n"]);
    assert_eq!(format!("{:>6}|{:6}|{:?}", keys[1], keys[1], keys[1]), r#"  text|text  |"text""#);
    let mut cursor = table.as_table().cursor();
    assert!(format!("{cursor:?}").contains("nowhere"));
    cursor.first().unwrap();
    let printed = format!("{cursor:?} {:?} {:?}", table.iter().unwrap(), &table.as_table());
    assert!(
        printed.contains(r#"At "gr\xc3\xb6"#) && printed.contains("Table { len: 3 }"),
        "{printed}"
    );
    assert!(printed.contains("Range { .. }"), "{printed}");
    const AGES: TableDef<&str, u64> = TableDef::new("ages");
    let ages = txn.open_typed(&AGES).unwrap();
    let view = ages.view(&txn).unwrap();
    for printed in [
        format!("{:?}", view.cursor()),
        format!("{:?}", ages.cursor(&txn)),
        format!("{:?}", view.iter().unwrap()),
        format!("{:?}", view.keys().unwrap()),
        format!("{:?}", view.values().unwrap()),
    ] {
        assert!(printed.contains("u64") && printed.contains("keys"), "{printed}");
    }
    txn.commit().unwrap();
    let owned = Arc::new(db.read().unwrap()).owned_table("main").unwrap();
    let printed = format!("{owned:?} {:?} {:?}", owned.iter().unwrap(), owned.cursor());
    assert!(printed.contains("OwnedTable { txn: ") && printed.contains("OwnedRange"), "{printed}");
    assert!(printed.contains("position: nowhere"), "{printed}");
}

#[test]
fn tables_go_into_a_for() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for n in 0..300 {
        table.put(&number(n), b"value").unwrap();
    }
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let table = txn.table("main").unwrap();
    let mut count = 0;
    for pair in &table {
        let (key, value) = pair.unwrap();
        assert_eq!((&key[..], value), (&number(count)[..], &b"value"[..]));
        count += 1;
    }
    assert_eq!(count, 300);
    let mut backwards = (&table).into_iter().rev();
    assert_eq!(*backwards.next().unwrap().unwrap().0, number(299));
}

/// Names are looked up, whatever was dropped, renamed and undone before; few tables and many.
#[test]
fn open_tables_are_found_by_their_names() {
    for names in [4, 40] {
        let mut rng = fastrand::Rng::with_seed(names);
        let db = Database::in_memory().unwrap();
        let mut kept: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..30 {
            let mut txn = db.write().unwrap();
            let (mut model, mut ids) = (kept.clone(), BTreeMap::new());
            let mut points = Vec::new();
            for n in 0..200u64 {
                let [a, b] = [0; 2].map(|_| format!("table {}", rng.u64(..names)));
                match rng.u8(..12) {
                    0 => points.push((txn.savepoint().unwrap(), model.clone())),
                    1 if !points.is_empty() => {
                        let (point, then) = &points[rng.usize(..points.len())];
                        // One that was made behind another that was rolled back to is gone.
                        if txn.rollback_to(point).is_ok() {
                            model.clone_from(then);
                            ids.clear();
                        }
                    }
                    2 | 3 => {
                        assert_eq!(txn.drop_table(&a).unwrap(), model.remove(&a).is_some());
                        if let Some(id) = ids.remove(&a) {
                            assert!(matches!(txn.view(id), Err(Error::NoSuchTableId)));
                        }
                    }
                    4 | 5 => match txn.rename_table(&a, &b) {
                        Ok(()) => {
                            let value = model.remove(&a).unwrap();
                            assert_eq!(model.insert(b.clone(), value), None);
                            ids.remove(&a).map(|id| ids.insert(b, id));
                        }
                        Err(Error::NoSuchTable(_)) => assert!(!model.contains_key(&a)),
                        Err(Error::TableExists(_)) => assert!(model.contains_key(&b)),
                        Err(e) => panic!("{e}"),
                    },
                    _ => {
                        let id = txn.open(&a).unwrap();
                        assert!(ids.insert(a.clone(), id).is_none_or(|before| before == id));
                        txn.put(id, b"key", &n.to_be_bytes()).unwrap();
                        model.insert(a, n);
                    }
                }
                let (name, value) = match model.iter().nth(rng.usize(..=model.len())) {
                    Some((name, value)) => (name.as_str(), Some(value.to_be_bytes())),
                    None => ("none", None),
                };
                let table = txn.table_opt(name).unwrap();
                let found = table.map(|table| table.get(b"key").unwrap().unwrap().to_vec());
                assert_eq!(found.as_deref(), value.as_ref().map(|value| &value[..]));
                if let Some(&id) = ids.get(name) {
                    assert_eq!(txn.get(id, b"key").unwrap(), value.as_ref().map(|v| &v[..]));
                }
            }
            let listed = txn.tables().unwrap();
            assert!(listed.iter().map(|table| &table.name).eq(model.keys()));
            assert!(listed.iter().all(|table| table.stats.entries == 1));
            if rng.bool() {
                txn.commit().unwrap();
                kept = model;
            }
        }
        for (name, value) in &kept {
            let txn = db.read().unwrap();
            let table = txn.table(name).unwrap();
            assert_eq!(table.get(b"key").unwrap(), Some(&value.to_be_bytes()[..]));
        }
        assert_clean(&db);
    }
}

/// To open a table costs the same, however many are open already.
#[test]
fn a_transaction_opens_thousands_of_tables() {
    const TABLES: u32 = 20_000;
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    for n in 0..TABLES {
        txn.open_table(&format!("table {n}")).unwrap().put(b"key", &number(n)).unwrap();
    }
    for n in 0..TABLES {
        let table = txn.table(&format!("table {n}")).unwrap();
        assert_eq!(table.get(b"key").unwrap(), Some(&number(n)[..]));
    }
    assert_eq!(txn.tables().unwrap().len(), TABLES as usize);
    for n in 0..TABLES / 2 {
        assert!(txn.drop_table(&format!("table {n}")).unwrap());
    }
    txn.commit().unwrap();
    assert_eq!(db.read().unwrap().tables().unwrap().len(), TABLES as usize / 2);
    assert_clean(&db);
}
