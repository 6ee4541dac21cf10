//! Tables, ranges and cursors without a lifetime.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::typed::{OwnedTypedCursor, OwnedTypedRange, OwnedTypedTable, TableDef};
use recto::{
    Builder, Database, Durability, Error, OwnedCursor, OwnedRange, OwnedTable, TableOptions,
};
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::Arc;

fn number(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// A table of `count` keys with this value each, in one transaction.
fn fill(db: &Database, count: u32, value: &[u8]) {
    let mut txn = db.write().unwrap();
    txn.set_durability(Durability::Deferred);
    let mut table = txn.open_table("main").unwrap();
    for n in 0..count {
        table.put(&number(n), value).unwrap();
    }
    txn.commit().unwrap();
}

fn owned(db: &Database) -> OwnedTable {
    Arc::new(db.read().unwrap()).owned_table("main").unwrap()
}

#[test]
fn they_go_into_structs_and_to_other_threads() {
    fn goes_anywhere<T: Send + Sync + 'static>() {}
    goes_anywhere::<OwnedTable>();
    goes_anywhere::<OwnedRange>();
    goes_anywhere::<OwnedCursor>();
    goes_anywhere::<OwnedTypedTable<&str, u64>>();
    goes_anywhere::<OwnedTypedRange<&str, &[u8]>>();
    goes_anywhere::<OwnedTypedCursor<&str, u64>>();

    let db = Database::in_memory().unwrap();
    fill(&db, 1_000, b"value");
    type Pair = recto::Result<(Vec<u8>, Vec<u8>)>;
    let source: Box<dyn Iterator<Item = Pair> + Send> = Box::new(owned(&db).iter().unwrap());
    drop(db);
    let (send, receive) = std::sync::mpsc::sync_channel(4);
    let thread = std::thread::spawn(move || source.for_each(|pair| send.send(pair).unwrap()));
    for (n, pair) in receive.iter().enumerate() {
        assert_eq!(pair.unwrap(), (number(n as u32).to_vec(), b"value".to_vec()));
    }
    thread.join().unwrap();
}

/// From both ends, in every kind of table, beside the range that borrows, while the database goes
/// on under them.
#[test]
fn owned_ranges_give_what_ranges_give() {
    let mut rng = Rng::with_seed(41);
    for align in [1, 16, 512] {
        let db = Database::in_memory().unwrap();
        let mut txn = db.write().unwrap();
        let mut table = txn.open_table_with("main", &TableOptions::aligned(align)).unwrap();
        for _ in 0..1_500 {
            let (keys, values) = ([12, 60, 700][rng.usize(..3)], [3, 200, 9_000][rng.usize(..3)]);
            let len = rng.usize(1..keys);
            let key: Vec<u8> = (0..len).map(|_| rng.u8(b'a'..b'd')).collect();
            let value = vec![rng.u8(..); rng.usize(..values)];
            table.put(&key, &value).unwrap();
        }
        txn.commit().unwrap();
        let owned = owned(&db);
        let table = owned.as_table();
        assert_eq!((owned.len(), owned.is_empty()), (table.len(), false));
        fill(&db, 500, b"later");
        let bound = |rng: &mut Rng| -> Bound<Vec<u8>> {
            let key = (0..rng.usize(..4)).map(|_| rng.u8(b'a'..b'd')).collect();
            [Unbounded, Included(key)][rng.usize(..2)].clone()
        };
        for _ in 0..200 {
            let keys = (
                bound(&mut rng),
                match bound(&mut rng) {
                    Included(key) if rng.bool() => Excluded(key),
                    other => other,
                },
            );
            let mut wanted = table.range(keys.clone()).unwrap();
            let mut range = owned.range(keys).unwrap();
            let ends = rng.u8(..4);
            loop {
                let forward = rng.u8(..4) >= ends;
                let want = if forward { wanted.next() } else { wanted.next_back() };
                let want = want.transpose().unwrap();
                let end = want.is_none();
                let want = want.map(|(key, value)| (key.into_vec(), value.to_vec()));
                if rng.bool() {
                    let got = if forward { range.next() } else { range.next_back() };
                    assert_eq!(got.transpose().unwrap(), want);
                } else {
                    let got = if forward { range.next_ref() } else { range.next_back_ref() };
                    let want = want.as_ref().map(|(key, value)| (&key[..], &value[..]));
                    assert_eq!(got.unwrap(), want);
                }
                if end {
                    break;
                }
            }
            assert!(range.next().is_none() && range.next_back().is_none());
        }
        // Prefixes, and a cursor beside the one that borrows.
        let count = |prefix: &[u8]| table.prefix(prefix).unwrap().count();
        assert_eq!(owned.prefix(b"ab").unwrap().count(), count(b"ab"));
        let (mut cursor, mut wanted) = (owned.cursor(), table.cursor());
        for _ in 0..2_000 {
            let key: Vec<u8> = (0..rng.usize(..4)).map(|_| rng.u8(b'a'..b'd')).collect();
            let (got, want) = match rng.u8(..16) {
                0 => (cursor.first(), wanted.first()),
                1 => (cursor.last(), wanted.last()),
                2 => (cursor.seek(&key), wanted.seek(&key)),
                3 => (cursor.seek_back(&key), wanted.seek_back(&key)),
                4 => (cursor.current(), wanted.current()),
                5..10 => (cursor.prev(), wanted.prev()),
                _ => (cursor.next(), wanted.next()),
            };
            assert_eq!(got.unwrap(), want.unwrap());
        }
        assert_clean(&db);
    }
}

#[test]
fn tables_that_are_not_there() {
    let db = Database::in_memory().unwrap();
    let txn = Arc::new(db.read().unwrap());
    assert!(matches!(txn.owned_table("x"), Err(Error::NoSuchTable(name)) if name == "x"));
    assert!(txn.owned_table_opt("x").unwrap().is_none());
    const AGES: TableDef<&str, u8> = TableDef::new("ages");
    assert!(matches!(txn.owned_typed(&AGES), Err(Error::NoSuchTable(_))));
    assert!(txn.owned_typed_opt(&AGES).unwrap().is_none());
    let mut txn = db.write().unwrap();
    txn.open_table("empty").unwrap();
    txn.open_typed(&TableDef::<u64, u8>::new("ages")).unwrap();
    txn.commit().unwrap();
    let txn = Arc::new(db.read().unwrap());
    let empty = txn.owned_table("empty").unwrap();
    assert!(empty.is_empty() && empty.iter().unwrap().next().is_none());
    assert_eq!(empty.iter().unwrap().next_back_ref().unwrap(), None);
    assert_eq!(empty.cursor().next().unwrap(), None);
    assert!(matches!(txn.owned_typed(&AGES), Err(Error::TableOptions { .. })));
}

/// A range keeps the database open, its pages as they were, and its place among the readers, until
/// it is dropped and no longer.
#[test]
fn a_range_outlives_the_handle_that_it_came_from() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    fill(&db, 20_000, b"before");
    let mut range = owned(&db).iter().unwrap();
    assert_eq!(range.next().unwrap().unwrap().0, number(0));
    let id = range.txn().id();
    db.close().unwrap();
    let other = open_at(&path, &Builder::default());
    for round in 0..30u8 {
        fill(&other, 20_000, &[round; 40]);
    }
    assert!(other.info().unwrap().readers.iter().any(|r| r.txn.0 == id && r.alive));
    let second = range.txn().clone().owned_table("main").unwrap();
    let mut n = 0;
    while let Some((key, value)) = range.next_ref().unwrap() {
        n += 1;
        assert_eq!((key, value), (&number(n)[..], &b"before"[..]));
    }
    assert_eq!(n, 19_999);
    drop(range);
    assert_eq!(second.get(&number(7)).unwrap(), Some(&b"before"[..]));
    drop(second);
    assert!(other.info().unwrap().readers.iter().all(|r| r.txn.0 != id));
    assert_clean(&other);
}

const AGES: TableDef<&str, u64> = TableDef::new("ages");

#[test]
fn owned_things_with_types() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut ages = txn.typed_mut(&AGES).unwrap();
    for n in 0..300u64 {
        ages.put(&format!("name {n:03}"), n).unwrap();
    }
    txn.commit().unwrap();
    let ages = Arc::new(db.read().unwrap()).owned_typed(&AGES).unwrap();
    assert_eq!(ages.as_table().len(), 300);
    assert_eq!((ages.as_bytes().len(), ages.len(), ages.is_empty()), (300, 300, false));
    assert_eq!(ages.get("name 007").unwrap(), Some(7));
    assert!(ages.contains_key("name 299").unwrap() && !ages.contains_key("name 300").unwrap());
    let mut range = ages.range("name 100".."name 103").unwrap();
    assert_eq!(range.txn().id(), ages.txn().id());
    assert_eq!(range.next_ref().unwrap(), Some(("name 100", 100)));
    assert_eq!(range.next_back().unwrap().unwrap(), ("name 102".to_owned(), 102));
    assert_eq!(range.next().unwrap().unwrap(), ("name 101".to_owned(), 101));
    assert!(range.next().is_none() && range.next_back_ref().unwrap().is_none());
    assert_eq!(ages.iter().unwrap().rev().count(), 300);
    assert_eq!(ages.clone().iter().unwrap().map(|pair| pair.unwrap().1).sum::<u64>(), 44_850);
    let mut cursor = ages.cursor();
    assert_eq!(cursor.seek("name 2").unwrap(), Some(("name 200", 200)));
    assert_eq!(cursor.prev().unwrap(), Some(("name 199", 199)));
    assert_eq!(cursor.current().unwrap(), Some(("name 199", 199)));
    assert_eq!(cursor.seek_back("name 2").unwrap(), Some(("name 199", 199)));
    assert_eq!(cursor.last().unwrap(), Some(("name 299", 299)));
    assert_eq!(cursor.next().unwrap(), None);
    assert_eq!(cursor.first().unwrap(), Some(("name 000", 0)));
    assert_eq!(cursor.clone().current().unwrap(), Some(("name 000", 0)));
    assert_eq!(cursor.table().txn().id(), ages.txn().id());

    // Bytes of another type stop what reads them.
    let mut txn = db.write().unwrap();
    txn.open_table("ages").unwrap().put(b"name 100", b"bytes").unwrap();
    txn.commit().unwrap();
    let ages = Arc::new(db.read().unwrap()).owned_typed(&AGES).unwrap();
    let mut range = ages.iter().unwrap();
    assert_eq!(range.by_ref().take_while(Result::is_ok).count(), 100);
    assert!(range.next().is_none() && range.next_ref().unwrap().is_none());
    let mut range = ages.range("name 100"..).unwrap();
    assert!(matches!(range.next_ref(), Err(Error::Decode { .. })));
    assert!(range.next_ref().unwrap().is_none() && range.next_back().is_none());
}
