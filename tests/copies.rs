//! Copies of tables.

mod common;

use common::{assert_clean, disk_dir, open_at, put};
use fastrand::Rng;
use recto::{Builder, Database, Error, Sink, TableDef, TableId, TableOptions, WriteTxn};
use std::collections::{BTreeMap, BTreeSet};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn all(txn: &WriteTxn, name: &str) -> Pairs {
    let pairs = txn.table(name).unwrap().iter().unwrap();
    pairs.map(|pair| pair.map(|(key, value)| (key.into_vec(), value.to_vec())).unwrap()).collect()
}

/// Puts and deletes at random, with values of all sizes.
fn change(txn: &mut WriteTxn, table: TableId, model: &mut Pairs, rng: &mut Rng, times: usize) {
    for _ in 0..times {
        let key = rng.u32(..4_000).to_be_bytes();
        let len = if rng.u8(..20) == 0 { rng.usize(..20_000) } else { rng.usize(..100) };
        let value = vec![rng.u8(..); len];
        if rng.u8(..4) == 0 {
            let there = model.remove(&key[..]).is_some();
            assert_eq!(txn.delete(table, &key).unwrap(), there);
        } else {
            txn.put(table, &key, &value).unwrap();
            model.insert(key.to_vec(), value);
        }
    }
}

/// In both sinks and with pages that are written before the commit; of a table of earlier
/// transactions and of one that has changed in this one; what becomes of the one leaves the other.
#[test]
fn copies_hold_the_same_and_go_their_own_way() {
    for (seed, sink, page_size, align) in [
        (1, Sink::Staged, 4096, 1),
        (2, Sink::Direct, 4096, 8),
        (3, Sink::Staged, 16384, 4096),
        (4, Sink::Direct, 65536, 1),
    ] {
        let dir = disk_dir();
        let mut builder = Builder::default();
        builder.page_size(page_size).sink(sink).stage_bytes(20 * page_size);
        let db = open_at(&dir.path().join("copies.recto"), &builder);
        let rng = &mut Rng::with_seed(seed);
        let options = TableOptions::aligned(align).types("number", "bytes");
        let mut model = Pairs::new();
        let mut copies = BTreeMap::<String, Pairs>::new();
        for round in 0..6 {
            let mut txn = db.write().unwrap();
            let main = txn.open_with("main", &options).unwrap();
            if round % 2 == 0 {
                change(&mut txn, main, &mut model, rng, 800);
            }
            let name = format!("copy {round}");
            txn.copy_table("main", &name).unwrap();
            assert_eq!(txn.table_options(&name).unwrap(), Some(options.clone()));
            let shape = |txn: &WriteTxn, name: &str| txn.table(name).unwrap().stats();
            assert_eq!(shape(&txn, "main"), shape(&txn, &name));
            copies.insert(name.clone(), model.clone());
            let copy = txn.open(&name).unwrap();
            change(&mut txn, main, &mut model, rng, 100);
            change(&mut txn, copy, copies.get_mut(&name).unwrap(), rng, 100);
            assert!(all(&txn, "main") == model);
            copies.iter().for_each(|(name, pairs)| assert!(all(&txn, name) == *pairs, "{name}"));
            if round == 3 {
                assert!(txn.drop_table("copy 0").unwrap());
                copies.remove("copy 0");
            }
            txn.commit().unwrap();
            assert_clean(&db);
        }
        let mut txn = db.write().unwrap();
        txn.drop_table("main").unwrap();
        copies.iter().for_each(|(name, pairs)| assert!(all(&txn, name) == *pairs, "{name}"));
        txn.commit().unwrap();
        assert_clean(&db);
    }
}

/// Every value of the copy is aligned as those of the table are.
#[test]
fn copies_of_aligned_values_are_aligned() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    for align in [2, 64, 4096] {
        let options = TableOptions::aligned(align);
        let name = align.to_string();
        let mut table = txn.open_table_with(&name, &options).unwrap();
        for n in 0..400usize {
            table.put(&n.to_be_bytes(), &vec![n as u8; n * n % 5_000]).unwrap();
        }
        txn.copy_table(&name, "copy").unwrap();
        for pair in txn.table("copy").unwrap().iter().unwrap() {
            assert!(pair.unwrap().1.as_ptr().addr().is_multiple_of(align));
        }
        txn.drop_table("copy").unwrap();
    }
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn what_cannot_be_copied_changes_nothing() {
    const AGES: TableDef<&str, u8> = TableDef::new("ages");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&AGES).unwrap().put("Ada", 36).unwrap();
    let other = txn.open("other").unwrap();
    txn.put(other, b"key", b"value").unwrap();
    assert!(matches!(txn.copy_table("none", "new"), Err(Error::NoSuchTable(_))));
    assert!(matches!(txn.copy_table("ages", "other"), Err(Error::TableExists(_))));
    assert!(matches!(txn.copy_table("ages", "ages"), Err(Error::TableExists(_))));
    assert!(matches!(txn.copy_table("ages", ""), Err(Error::InvalidArgument(_))));
    let long = "n".repeat(1_025);
    assert!(matches!(txn.copy_table("ages", &long), Err(Error::InvalidArgument(_))));
    assert_eq!(txn.get(other, b"key").unwrap(), Some(&b"value"[..]));
    // A dropped table leaves its name, but not its id.
    txn.drop_table("other").unwrap();
    txn.copy_table("ages", "other").unwrap();
    assert!(matches!(txn.get(other, b"key"), Err(Error::NoSuchTableId)));
    assert_eq!(
        txn.typed(&TableDef::<&str, u8>::new("other")).unwrap().get("Ada").unwrap(),
        Some(36)
    );
    // An empty one.
    txn.create_table("empty").unwrap();
    txn.copy_table("empty", "empty too").unwrap();
    assert!(txn.table("empty too").unwrap().is_empty());
    txn.commit().unwrap();
    assert_clean(&db);
}

/// The disk is full in the middle of a copy: where there is a savepoint the transaction goes on,
/// as if nothing had been copied.
#[test]
fn a_copy_that_fails_half_way_is_undone() {
    let mut builder = Builder::default();
    builder.page_size(4096).max_bytes(3 << 20);
    let db = builder.in_memory().unwrap();
    let rng = &mut Rng::with_seed(8);
    let mut model = Pairs::new();
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    change(&mut txn, main, &mut model, rng, 900);
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    let savepoint = txn.savepoint().unwrap();
    let mut copies = 0;
    let error = loop {
        match txn.copy_table("main", &format!("copy {copies}")) {
            Ok(()) => copies += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, Error::DatabaseFull { .. }), "{error}");
    assert!(matches!(txn.copy_table("main", "other"), Err(Error::TransactionBroken { .. })));
    txn.rollback_to(&savepoint).unwrap();
    assert_eq!(txn.tables().unwrap().len(), 1);
    assert!(all(&txn, "main") == model);
    txn.commit().unwrap();
    assert_clean(&db);
}

/// A copy would make a good checksum for it.
#[test]
fn a_damaged_value_is_not_copied() {
    let dir = disk_dir();
    let path = dir.path().join("damaged.recto");
    let db = open_at(&path, &Builder::default());
    let value: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
    put(&db, b"key", &value);
    // No meta page has it in its manifest then.
    for n in 0..2 {
        put(&db, b"other", &[n]);
    }
    drop(db);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(100).position(|w| w == &value[5_000..5_100]).expect("it is there");
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let db = open_at(&path, &Builder::default());
    let mut txn = db.write().unwrap();
    assert!(matches!(txn.copy_table("main", "copy"), Err(Error::Corrupt { .. })));
    assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. })));
    assert_eq!(db.check(None).unwrap().fault_count, 1);
    assert_eq!(db.read().unwrap().tables().unwrap().len(), 1);
}

/// Sets in leaves, in trees and in packed leaves.
#[test]
fn copies_of_sets_go_their_own_way() {
    for (seed, options) in [(9, TableOptions::set()), (10, TableOptions::set_of(4))] {
        let db = Database::in_memory().unwrap();
        let rng = &mut Rng::with_seed(seed);
        let mut model = BTreeSet::new();
        let mut copies = Vec::new();
        for round in 0..6 {
            let mut txn = db.write().unwrap();
            let mut main = txn.open_set_with("main", &options).unwrap();
            for _ in 0..3_000 {
                let pair = (rng.u8(..) / 50 * rng.u8(..4), rng.u32(..3_000));
                let (key, value) = ([pair.0], pair.1.to_be_bytes());
                if rng.u8(..4) == 0 {
                    assert_eq!(main.remove(&key, &value).unwrap(), model.remove(&pair));
                } else {
                    assert_eq!(main.insert(&key, &value).unwrap(), model.insert(pair));
                }
            }
            txn.copy_table("main", &format!("copy {round}")).unwrap();
            copies.push(model.clone());
            for (round, pairs) in copies.iter().enumerate() {
                let copy = txn.set(&format!("copy {round}")).unwrap();
                assert_eq!(copy.stats().pairs, pairs.len() as u64);
                for pair in pairs {
                    assert!(copy.contains(&[pair.0], &pair.1.to_be_bytes()).unwrap());
                }
            }
            txn.commit().unwrap();
            assert_clean(&db);
        }
    }
}
