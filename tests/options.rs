//! What tables are made with: aligned values, names of types.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::{Database, Durability, Error, Sink, Table, TableOptions};
use std::collections::BTreeMap;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

const PAGE_SIZES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];

fn value(rng: &mut Rng, page_size: usize) -> Vec<u8> {
    let len = match rng.u8(..12) {
        0 => 0,
        1 => rng.usize(..3 * page_size),
        2 => page_size,
        3 => page_size / 2,
        _ => rng.usize(1..300),
    };
    let fill = rng.u8(..);
    (0..len).map(|i| fill.wrapping_add(i as u8)).collect()
}

fn key(rng: &mut Rng) -> Vec<u8> {
    let n = rng.u16(..2_000);
    [&n.to_be_bytes()[..], &vec![b'k'; usize::from(n) % 40]].concat()
}

/// Each value is that of the model, and begins at a multiple of `align` bytes; so are those that a
/// range hands out, forwards and backwards, and those of many keys at once.
fn is_aligned(table: &Table<'_>, model: &Pairs, align: usize) {
    let right = |value: &[u8], wanted: &[u8]| {
        assert_eq!(value, wanted);
        assert!(value.as_ptr().addr().is_multiple_of(align), "{:p} of {}", value, value.len());
    };
    assert_eq!(table.len(), model.len() as u64);
    for (key, wanted) in model {
        right(table.get(key).unwrap().unwrap(), wanted);
    }
    let pairs = table.iter().unwrap().map(|pair| pair.unwrap().1);
    pairs.zip(model.values()).for_each(|(value, wanted)| right(value, wanted));
    let pairs = table.iter().unwrap().rev().map(|pair| pair.unwrap().1);
    pairs.zip(model.values().rev()).for_each(|(value, wanted)| right(value, wanted));
    let keys: Vec<_> = model.keys().collect();
    let many = table.get_many(&keys).unwrap();
    many.into_iter().zip(model.values()).for_each(|(value, wanted)| right(value.unwrap(), wanted));
}

/// A thousand random sizes and more, in trees of this page size, aligned to `align` bytes: in the
/// transaction, in the map, after more transactions, beside a table that is not aligned.
fn run(db: &Database, page_size: usize, align: usize, seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    let options = TableOptions::aligned(align);
    let mut model = Pairs::new();
    for round in 0..4 {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        let (table, plain) =
            (txn.open_with("aligned", &options).unwrap(), txn.open("plain").unwrap());
        for _ in 0..400 {
            let key = key(rng);
            if rng.u8(..10) < 2 {
                assert_eq!(txn.delete(table, &key).unwrap(), model.remove(&key).is_some());
                txn.delete(plain, &key).unwrap();
            } else {
                let value = value(rng, page_size);
                txn.put(plain, &key, &value).unwrap();
                txn.put(table, &key, &value).unwrap();
                model.insert(key, value);
            }
        }
        if round == 2 {
            let (from, to) = (key(rng), key(rng));
            let (from, to) = (from.clone().min(to.clone()), from.max(to));
            let removed = txn.edit(table).unwrap().delete_range(&from[..]..&to[..]).unwrap();
            let before = model.len();
            model.retain(|key, _| !(from <= *key && *key < to));
            assert_eq!(removed as usize, before - model.len());
            txn.edit(plain).unwrap().delete_range(&from[..]..&to[..]).unwrap();
        }
        is_aligned(&txn.view(table).unwrap(), &model, align);
        is_aligned(&txn.view(plain).unwrap(), &model, 1);
        txn.commit().unwrap();
        let txn = db.read().unwrap();
        is_aligned(&txn.table("aligned").unwrap(), &model, align);
        is_aligned(&txn.table("plain").unwrap(), &model, 1);
    }
    assert_clean(db);
}

#[test]
fn values_are_aligned_in_every_page_size_and_for_every_alignment() {
    let dir = memory_dir();
    for (i, page_size) in PAGE_SIZES.into_iter().enumerate() {
        for shift in 0..=12 {
            let align = 1 << shift;
            let mut builder = Database::builder();
            builder.page_size(page_size);
            // Pages of the transaction are in buffers, in the page cache, in the map.
            match (i + shift) % 4 {
                0 => {
                    builder.sink(Sink::Direct);
                }
                1 => {
                    builder.stage_bytes(4 * page_size);
                }
                _ => {}
            }
            let path = dir.path().join("db");
            let db = match (i + shift) % 4 {
                2 => builder.in_memory().unwrap(),
                _ => open_at(&path, &builder),
            };
            run(&db, page_size, align, (100 * i + shift) as u64);
            drop(db);
            if path.exists() {
                // Another life, another map.
                let db = open_at(&path, &builder);
                let txn = db.read().unwrap();
                assert_eq!(txn.table_options("aligned").unwrap().unwrap().align, align);
                for pair in txn.table("aligned").unwrap().iter().unwrap() {
                    assert!(pair.unwrap().1.as_ptr().addr().is_multiple_of(align));
                }
                assert_clean(&db);
                drop(txn);
                drop(db);
                std::fs::remove_file(&path).unwrap();
                std::fs::remove_file(dir.path().join("db-lock")).unwrap();
            }
        }
    }
}

fn refused<T>(what: recto::Result<T>) -> String {
    match what {
        Err(e @ Error::TableOptions { .. }) => e.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_table_keeps_what_it_was_made_with() {
    let dir = memory_dir();
    let path = dir.path().join("db");
    let db = open_at(&path, &Database::builder());
    let options = TableOptions::aligned(16).types("(u32, str)", "[f64]");
    let mut txn = db.write().unwrap();
    txn.create_table_with("a", &options).unwrap();
    txn.create_table("b").unwrap();
    assert!(matches!(txn.create_table_with("a", &options), Err(Error::TableExists(_))));
    assert_eq!(txn.table_options("a").unwrap(), Some(options.clone()));
    assert_eq!(txn.table_options("no table").unwrap(), None);
    txn.rename_table("a", "c").unwrap();
    assert_eq!(txn.table_options("c").unwrap(), Some(options.clone()));
    txn.open_table("c").unwrap().put(b"k", b"v").unwrap();
    txn.commit().unwrap();
    drop(db);

    let db = open_at(&path, &Database::builder());
    let read = db.read().unwrap();
    let tables: Vec<_> = read.tables().unwrap().into_iter().map(|t| (t.name, t.options)).collect();
    let expected = [("b".to_owned(), TableOptions::default()), ("c".to_owned(), options.clone())];
    assert_eq!(tables, expected);
    assert_eq!(read.table_options("c").unwrap(), Some(options.clone()));
    assert_eq!(read.table_options("a").unwrap(), None);

    let mut txn = db.write().unwrap();
    // Asking for less, or for nothing, is fine.
    for fine in [
        TableOptions::default(),
        TableOptions::aligned(8),
        TableOptions::default().types("(u32, str)", ""),
        TableOptions::default().types("", "[f64]"),
        options.clone(),
    ] {
        assert_eq!(txn.open_table_with("c", &fine).unwrap().len(), 1);
        txn.open_with("c", &fine).unwrap();
    }
    let mut wrong = |name: &str, options: &TableOptions| {
        let said = refused(txn.open_table_with(name, options));
        assert_eq!(refused(txn.open_with(name, options)), said);
        said
    };
    let types = |key, value| TableOptions::default().types(key, value);
    assert_eq!(
        wrong("c", &TableOptions::aligned(32)),
        "table \"c\": its values are aligned to 16 bytes, not to 32"
    );
    assert_eq!(
        wrong("c", &types("u64", "")),
        "table \"c\": its keys are of type (u32, str), not u64"
    );
    assert_eq!(
        wrong("c", &types("(u32, str)", "bytes")),
        "table \"c\": its values are of type [f64], not bytes"
    );
    assert_eq!(
        wrong("b", &types("u64", "")),
        "table \"b\": nothing is said of the type of its keys, not u64"
    );
    // What was refused has changed nothing, and the transaction goes on.
    assert_eq!(txn.table("c").unwrap().get(b"k").unwrap(), Some(&b"v"[..]));
    for bad in [TableOptions::aligned(0), TableOptions::aligned(3), TableOptions::aligned(8192)] {
        assert!(matches!(txn.open_table_with("d", &bad), Err(Error::InvalidArgument(_))));
    }
    assert!(txn.table_opt("d").unwrap().is_none());
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn names_of_types_as_long_as_can_be_beside_a_name_as_long_as_can_be() {
    let db = Database::in_memory().unwrap();
    let name = "n".repeat(1024);
    let long = "t".repeat(TableOptions::MAX_TYPE_LEN);
    let options = TableOptions::aligned(4096).types(&long, &long);
    let mut txn = db.write().unwrap();
    let mut table = txn.create_table_with(&name, &options).unwrap();
    table.put(b"k", b"v").unwrap();
    txn.commit().unwrap();
    let read = db.read().unwrap();
    assert_eq!(read.table_options(&name).unwrap(), Some(options));
    assert_eq!(read.table(&name).unwrap().get(b"k").unwrap(), Some(&b"v"[..]));
    assert_clean(&db);
}
