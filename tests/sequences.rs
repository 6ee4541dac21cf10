//! Numbers that tables give out: `NextSequence`, `Sequence` and `SetSequence` of bbolt.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::typed::{SetDef, TableDef};
use recto::{Builder, Database, Durability, Error, TableOptions, WriteTxn};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Where a meta page says which features must be known to read, and the bit of sequences.
const READ_FEATURES: usize = 304;
const SEQUENCES: u32 = 16;

/// Of each table: whether it is one of sets, its last number, and how many pairs it has.
type Model = BTreeMap<String, (bool, u64, u64)>;

fn sequence(txn: &WriteTxn, name: &str, is_set: bool) -> (u64, u64) {
    match is_set {
        true => txn.set(name).map(|t| (t.sequence(), t.len())).unwrap(),
        false => txn.table(name).map(|t| (t.sequence(), t.len())).unwrap(),
    }
}

/// The tables of a transaction are the model's.
fn compare(txn: &WriteTxn, model: &Model) {
    let names: Vec<_> = txn.tables().unwrap().into_iter().map(|table| table.name).collect();
    assert!(names.iter().eq(model.keys()));
    for (name, &(is_set, last, pairs)) in model {
        assert_eq!(sequence(txn, name, is_set), (last, pairs), "{name}");
    }
}

/// One step: numbers, pairs, or what becomes of a table.
fn step(txn: &mut WriteTxn, model: &mut Model, rng: &mut Rng) {
    let name = format!("t{}", rng.u8(..6));
    let other = format!("t{}", rng.u8(..6));
    let is_set = model.get(&name).map_or_else(|| rng.bool(), |table| table.0);
    macro_rules! with {
        ($table:ident => $what:expr) => {
            match is_set {
                true => {
                    let mut $table = txn.open_set(&name).unwrap();
                    $what
                }
                false => {
                    let mut $table = txn.open_table(&name).unwrap();
                    $what
                }
            }
        };
    }
    // It is there from now on.
    with!(table => assert!(table.set_sequence(table.sequence()).is_ok()));
    let table = model.entry(name.clone()).or_insert((is_set, 0, 0));
    match rng.u8(..16) {
        0..4 => {
            table.1 += 1;
            assert_eq!(with!(t => t.next_sequence()).unwrap(), table.1);
        }
        4..7 => {
            let n = rng.u64(..100);
            assert_eq!(with!(t => t.take_sequence(n)).unwrap(), table.1 + 1..table.1 + 1 + n);
            table.1 += n;
        }
        7 => {
            table.1 = rng.u64(..1 << 40);
            with!(t => t.set_sequence(table.1)).unwrap();
        }
        8..11 => {
            // Pairs beside the numbers, with a number as key or value.
            for _ in 0..rng.u64(..40) {
                table.1 += 1;
                let new = match is_set {
                    true => {
                        let mut t = txn.open_set(&name).unwrap();
                        let number = t.next_sequence().unwrap().to_be_bytes();
                        t.insert(b"key", &number).unwrap()
                    }
                    false => {
                        let mut t = txn.open_table(&name).unwrap();
                        let number = t.next_sequence().unwrap().to_be_bytes();
                        !t.put(&number, b"value").unwrap()
                    }
                };
                table.2 += u64::from(new);
            }
        }
        11 => {
            assert_eq!(with!(t => t.clear()).unwrap(), table.2);
            table.2 = 0;
        }
        12 => {
            assert!(txn.drop_table(&name).unwrap());
            model.remove(&name);
        }
        13 if !model.contains_key(&other) => {
            txn.rename_table(&name, &other).unwrap();
            let table = model.remove(&name).unwrap();
            model.insert(other, table);
        }
        14 if !model.contains_key(&other) => {
            txn.copy_table(&name, &other).unwrap();
            model.insert(other, model[&name]);
        }
        _ => {}
    }
}

/// Steps on several levels of savepoints, some of which are undone.
fn nest(txn: &mut WriteTxn, model: &mut Model, rng: &mut Rng, depth: u8) {
    for _ in 0..rng.u8(1..12) {
        if depth < 6 && rng.u8(..4) == 0 {
            let (before, undo) = (model.clone(), rng.bool());
            let mut child = txn.nested().unwrap();
            nest(&mut child, model, rng, depth + 1);
            if undo {
                drop(child);
                *model = before;
            } else {
                child.commit().unwrap();
            }
            compare(txn, model);
        } else {
            step(txn, model, rng);
        }
    }
}

fn run(page_size: usize, seed: u64, transactions: usize) {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut builder = Builder::default();
    builder.page_size(page_size);
    let mut db = Some(open_at(&path, &builder));
    let (mut model, mut rng) = (Model::new(), Rng::with_seed(seed));
    let mut snapshots: Vec<(String, Model)> = Vec::new();
    for n in 0..transactions {
        let handle = db.as_ref().unwrap();
        let older = handle.read().unwrap();
        let (before, mut txn) = (model.clone(), handle.write().unwrap());
        if rng.bool() {
            txn.set_durability(Durability::Deferred);
        }
        nest(&mut txn, &mut model, &mut rng, 0);
        compare(&txn, &model);
        if rng.u8(..40) == 0 {
            // Named now, it is the state before the transaction.
            txn.create_snapshot(&format!("s{n}")).unwrap();
            snapshots.push((format!("s{n}"), before.clone()));
        }
        if rng.u8(..4) > 0 {
            txn.commit().unwrap();
        } else {
            txn.abort();
            model = before.clone();
            snapshots.retain(|(name, _)| *name != format!("s{n}"));
        }
        for (name, &(is_set, last, _)) in &before {
            let seen = match is_set {
                true => older.set(name).unwrap().sequence(),
                false => older.table(name).unwrap().sequence(),
            };
            assert_eq!(seen, last, "an older snapshot keeps its number");
        }
        drop(older);
        if rng.u8(..20) == 0 {
            db.take().unwrap().close().unwrap();
            db = Some(open_at(&path, &builder));
        }
    }
    let db = db.unwrap();
    compare(&db.write().unwrap(), &model);
    for (name, model) in &snapshots {
        let txn = db.read_snapshot(name).unwrap();
        for (table, &(is_set, last, _)) in model {
            let seen = match is_set {
                true => txn.set(table).unwrap().sequence(),
                false => txn.table(table).unwrap().sequence(),
            };
            assert_eq!(seen, last, "{table} in {name}");
        }
    }
    assert!(!snapshots.is_empty());
    assert_clean(&db);
}

#[test]
fn a_sequence_is_what_a_counter_is() {
    run(4096, 1, 600);
    run(65_536, 2, 300);
}

fn features(path: &std::path::Path) -> [u32; 2] {
    let file = fs::read(path).unwrap();
    let word = |at: usize| u32::from_le_bytes(file[at..][..4].try_into().unwrap());
    [word(READ_FEATURES), word(4096 + READ_FEATURES)]
}

fn commit(db: &Database, change: impl FnOnce(&mut WriteTxn)) {
    let mut txn = db.write().unwrap();
    change(&mut txn);
    txn.commit().unwrap();
}

/// An older build takes such a descriptor for damage, so it is told by the meta page first.
#[test]
fn the_file_says_that_numbers_were_given_out() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    commit(&db, |txn| {
        let mut table = txn.open_table("main").unwrap();
        table.put(b"key", b"value").unwrap();
        assert_eq!(table.take_sequence(0).unwrap(), 1..1);
        table.set_sequence(0).unwrap();
    });
    assert_eq!(features(&path).map(|word| word & SEQUENCES), [0, 0], "none was");
    commit(&db, |txn| assert_eq!(txn.open_table("main").unwrap().next_sequence().unwrap(), 1));
    assert!(features(&path).iter().any(|word| word & SEQUENCES > 0));
    // It stays, as there may be snapshots that need it.
    commit(&db, |txn| assert!(txn.drop_table("main").unwrap()));
    for value in [b"b", b"c"] {
        commit(&db, |txn| drop(txn.open_table("other").unwrap().replace(b"a", value).unwrap()));
    }
    assert!(features(&path).iter().all(|word| word & SEQUENCES > 0));
    assert_clean(&db);
}

#[test]
fn a_transaction_of_numbers_alone_is_a_commit() {
    let db = Database::in_memory().unwrap();
    commit(&db, |txn| assert!(txn.open_table("main").unwrap().is_empty()));
    let before = db.read().unwrap();
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().next_sequence().unwrap();
    assert!(txn.commit_with_report().unwrap().id.is_some());
    let after = db.read().unwrap();
    let changes = after.diff_tables(&before).unwrap();
    assert_eq!(changes.len(), 1, "the table has changed");
    assert!(after.diff(&before, "main", ..).unwrap().next().is_none(), "its pairs have not");
    assert_eq!(before.table("main").unwrap().sequence(), 0);
    assert_eq!(after.table("main").unwrap().sequence(), 1);
    // One that changes nothing is none.
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().set_sequence(1).unwrap();
    assert_eq!(txn.commit_with_report().unwrap().id, None);
    assert_clean(&db);
}

#[test]
fn a_sequence_ends_and_nothing_is_broken() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    table.set_sequence(u64::MAX - 3).unwrap();
    assert_eq!(table.next_sequence().unwrap(), u64::MAX - 2);
    let refused = |table: &mut recto::TableMut<'_>, n| {
        let last = table.sequence();
        assert!(matches!(table.take_sequence(n), Err(Error::InvalidArgument(_))));
        assert_eq!(table.sequence(), last);
    };
    refused(&mut table, 2);
    refused(&mut table, u64::MAX);
    assert_eq!(table.take_sequence(1).unwrap(), u64::MAX - 1..u64::MAX);
    refused(&mut table, 1);
    table.set_sequence(u64::MAX).unwrap();
    refused(&mut table, 0);
    refused(&mut table, 1);
    table.put(b"key", b"value").unwrap();
    txn.commit().unwrap();
    assert_eq!(db.read().unwrap().table("main").unwrap().sequence(), u64::MAX);
    assert_clean(&db);
}

#[test]
fn typed_tables_give_out_numbers() {
    const USERS: TableDef<u64, &str> = TableDef::new("users");
    const LOG: SetDef<&str, u64> = SetDef::new("log");
    let db = Database::in_memory().unwrap();
    commit(&db, |txn| {
        let mut users = txn.typed_mut(&USERS).unwrap();
        for name in ["ada", "bob"] {
            let id = users.next_sequence().unwrap();
            users.put(id, name).unwrap();
        }
        assert_eq!((users.take_sequence(5).unwrap(), users.sequence()), (3..8, 7));
        let mut log = txn.typed_set_mut(&LOG).unwrap();
        log.set_sequence(99).unwrap();
        let number = log.next_sequence().unwrap();
        log.insert("mon", number).unwrap();
        assert_eq!((log.take_sequence(2).unwrap(), log.sequence()), (101..103, 102));
        txn.typed_mut(&USERS).unwrap().set_sequence(10).unwrap();
    });
    let txn = db.read().unwrap();
    let users = txn.typed(&USERS).unwrap();
    assert_eq!((users.get(2).unwrap(), users.sequence()), (Some("bob"), 10));
    let log = txn.typed_set(&LOG).unwrap();
    assert!(log.contains("mon", 100).unwrap() && log.sequence() == 102);
    drop(txn);
    assert_clean(&db);
}

/// Several handles on one file and threads beside each other: each number once, none left out.
#[test]
fn writers_beside_each_other_get_different_numbers() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let handles = [(); 3].map(|()| open_at(&path, &Builder::default()));
    let taken: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = handles
            .iter()
            .enumerate()
            .map(|(i, db)| {
                scope.spawn(move || {
                    let mut taken = Vec::new();
                    for n in 0..60 {
                        let mut txn = db.write().unwrap();
                        txn.set_durability(Durability::Deferred);
                        let mut table = txn.open_table("main").unwrap();
                        let numbers: Vec<u64> = table.take_sequence(n % 5).unwrap().collect();
                        if !(n + i as u64).is_multiple_of(3) {
                            txn.commit().unwrap();
                            taken.extend(numbers);
                        }
                    }
                    taken
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let all: BTreeSet<u64> = taken.iter().copied().collect();
    assert_eq!(all.len(), taken.len(), "each once");
    assert!(all.into_iter().eq(1..=taken.len() as u64), "none left out");
    assert_clean(&handles[0]);
}

/// A copy goes on where the other one stands, so that numbers in its keys do not come again; what
/// is dropped and made again begins anew.
#[test]
fn numbers_follow_their_table() {
    let db = Database::in_memory().unwrap();
    commit(&db, |txn| {
        txn.create_table_with("a", &TableOptions::default().types("u64", "str")).unwrap();
        txn.open_table("a").unwrap().set_sequence(7).unwrap();
        txn.copy_table("a", "b").unwrap();
        assert_eq!(txn.open_table("b").unwrap().next_sequence().unwrap(), 8);
        txn.rename_table("a", "c").unwrap();
        assert_eq!(txn.open_table("c").unwrap().sequence(), 7);
        assert!(txn.drop_table("c").unwrap());
        assert_eq!(txn.open_table("c").unwrap().next_sequence().unwrap(), 1);
        let mut b = txn.open_table("b").unwrap();
        b.put(b"x", b"y").unwrap();
        assert_eq!((b.clear().unwrap(), b.sequence()), (1, 8), "what was given out stays so");
    });
    let txn = db.read().unwrap();
    assert_eq!(txn.table("b").unwrap().sequence(), 8);
    assert_eq!(txn.table("c").unwrap().sequence(), 1);
    drop(txn);
    assert_clean(&db);
}
