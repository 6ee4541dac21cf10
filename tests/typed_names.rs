//! What a table keeps of its types, and compares when it is opened: their names, their alignment.

mod common;
mod typed_samples;

use common::assert_clean;
use recto::typed::{Key, Pod, PodSlice, TableDef, Value};
use recto::{Database, Error};
use typed_samples::*;

fn refused<T>(result: Result<T, Error>) -> String {
    match result.map(|_| ()) {
        Err(e @ Error::TableOptions { .. }) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn types_are_compared_when_a_table_is_opened() {
    const USERS: TableDef<u64, &str> = TableDef::new("users");
    const OWNED: TableDef<u64, String> = TableDef::new("users");
    const KEYS: TableDef<&str, &str> = TableDef::new("users");
    const VALUES: TableDef<u64, &[u8]> = TableDef::new("users");
    const ALIGNED: TableDef<u64, &str> = TableDef::new("users").align(16);
    let dir = common::disk_dir();
    let path = dir.path().join("x.recto");
    {
        let db = common::open_at(&path, &Default::default());
        let mut txn = db.write().unwrap();
        txn.typed_mut(&USERS).unwrap().put(7, "Ada").unwrap();
        let error = refused(txn.open_typed(&KEYS));
        assert!(["users", "u64", "str"].iter().all(|word| error.contains(word)), "{error}");
        txn.commit().unwrap();
    }
    let db = common::open_at(&path, &Default::default());
    let mut txn = db.write().unwrap();
    let read = db.read().unwrap();
    for error in [
        refused(txn.open_typed(&KEYS)),
        refused(txn.typed_mut(&KEYS)),
        refused(txn.typed(&KEYS)),
        refused(txn.typed_opt(&KEYS)),
        refused(read.typed(&KEYS)),
        refused(read.typed_opt(&KEYS)),
    ] {
        assert!(["keys", "u64", "str"].iter().all(|word| error.contains(word)), "{error}");
    }
    for error in [refused(txn.open_typed(&VALUES)), refused(read.typed(&VALUES))] {
        assert!(["values", "str", "bytes"].iter().all(|word| error.contains(word)), "{error}");
    }
    for error in [refused(txn.open_typed(&ALIGNED)), refused(read.typed(&ALIGNED))] {
        assert!(error.contains("16"), "{error}");
    }
    // Such an error breaks nothing, and the same type under another Rust name is the same.
    assert_eq!(txn.typed(&OWNED).unwrap().get(7).unwrap(), Some("Ada"));
    assert_eq!(read.typed(&OWNED).unwrap().get(7).unwrap(), Some("Ada"));
    txn.open_typed(&USERS).unwrap().put(&mut txn, 8, "Kurt").unwrap();
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn names_of_values_tell_structs_apart() {
    const TRADES: TableDef<u64, Pod<Place>> = TableDef::new("trades").value_name("place 1");
    const CHANGED: TableDef<u64, Pod<Place>> = TableDef::new("trades").value_name("place 2");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.open_typed(&TRADES).unwrap();
    let error = refused(txn.open_typed(&CHANGED));
    assert!(error.contains("place 1") && error.contains("place 2"), "{error}");
    // A name of any length.
    type Long = ((Ticket, Ticket, Ticket), (Ticket, Ticket, Ticket), (Ticket, Ticket, Ticket));
    const LONG: TableDef<(Long, u8), ()> = TableDef::new("long");
    const OTHER: TableDef<(Long, u16), ()> = TableDef::new("long");
    txn.open_typed(&LONG).unwrap();
    txn.open_typed(&LONG).unwrap();
    refused(txn.open_typed(&OTHER));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Tables of bytes stand beside typed ones, and can be read as such where one knows what is in
/// them.
#[test]
fn tables_of_bytes_have_no_types() {
    const AGES: TableDef<&str, u32> = TableDef::new("ages");
    const BYTES: TableDef<&str, u32> = TableDef::new("ages").unnamed();
    const VECTORS: TableDef<&str, PodSlice<u32>> = TableDef::new("ages").unnamed();
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.open_table("ages").unwrap().put(b"Ada", &36u32.to_le_bytes()).unwrap();
    refused(txn.open_typed(&AGES));
    assert_eq!(txn.typed(&BYTES).unwrap().get("Ada").unwrap(), Some(36));
    txn.open_typed(&BYTES).unwrap().put(&mut txn, "Kurt", 71).unwrap();
    // What is read in place has to be aligned, with a name or without.
    let error = refused(txn.open_typed(&VECTORS));
    assert!(error.contains('4'), "{error}");
    refused(txn.typed(&VECTORS));
    assert_eq!(txn.table("ages").unwrap().get(b"Kurt").unwrap(), Some(&71u32.to_le_bytes()[..]));
    for bytes in [3, 0, 8192] {
        let def = TableDef::<u8, u8>::new("odd").align(bytes);
        let opened = txn.open_typed(&def).map(|_| bytes);
        assert!(matches!(opened, Err(Error::InvalidArgument(_))), "{opened:?}");
    }
    assert!(matches!(
        txn.open_typed(&TableDef::<u8, u8>::new("")).map(|_| ()),
        Err(Error::InvalidArgument(_))
    ));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Two types that one generic enum makes are two types.
#[test]
fn parameters_of_enums_are_parts_of_their_names() {
    #[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Either<T> {
        A(T),
        B,
    }
    let first: TableDef<Either<u32>, Either<u8>> = TableDef::new("either");
    let other: TableDef<Either<i32>, Either<u8>> = TableDef::new("either");
    let third: TableDef<Either<u32>, Either<i8>> = TableDef::new("either");
    assert_eq!(first.stored_key_type(), "Either(u32)");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&first).unwrap().put(&Either::A(7), &Either::B).unwrap();
    assert!(matches!(txn.typed_mut(&other).map(drop), Err(Error::TableOptions { .. })));
    assert!(matches!(txn.typed_mut(&third).map(drop), Err(Error::TableOptions { .. })));
    assert_eq!(txn.typed_mut(&first).unwrap().get(&Either::A(7)).unwrap(), Some(Either::B));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// An alignment that is none is refused by whoever opens the table, also to read.
#[test]
fn an_alignment_that_is_none_is_refused_by_readers_too() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&TableDef::<u32, u32>::new("t")).unwrap().put(1, 2).unwrap();
    txn.commit().unwrap();
    for align in [0, 3, 8192] {
        let def = TableDef::<u32, u32>::new("t").align(align);
        let read = db.read().unwrap();
        assert!(matches!(read.typed(&def).map(drop), Err(Error::InvalidArgument(_))), "{align}");
        let mut txn = db.write().unwrap();
        assert!(matches!(txn.typed_mut(&def).map(drop), Err(Error::InvalidArgument(_))));
    }
    assert_clean(&db);
}
