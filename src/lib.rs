//! recto: an embedded, ordered, persistent key-value store in one memory-mapped file.
//!
//! A copy-on-write B+tree in a file that is mapped into memory, committed with one `msync` and a
//! double-buffered meta page. Readers take no lock and no copy; any number of threads and processes
//! read while one writes.
//!
//! ```
//! # fn main() -> recto::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("fruit.recto");
//! // SAFETY: nothing but recto changes the file while it is open.
//! let db = unsafe { recto::Database::open(&path)? };
//!
//! let mut txn = db.write()?;
//! let mut fruit = txn.open_table("fruit")?;
//! fruit.put(b"apple", b"red")?;
//! fruit.put(b"banana", b"yellow")?;
//! txn.commit()?; // on the device when this returns
//!
//! let txn = db.read()?;
//! let fruit = txn.table("fruit")?;
//! assert_eq!(fruit.get(b"apple")?, Some(&b"red"[..]));
//! for pair in fruit.prefix(b"b")? {
//!     let (key, value) = pair?;
//!     println!("{:?} {:?}", &*key, value);
//! }
//! # Ok(()) }
//! ```
//!
//! The same with types, in their order; [`typed`] has more:
//!
//! ```
//! # fn main() -> recto::Result<()> {
//! use recto::TableDef;
//! const SAMPLES: TableDef<(&str, i64), f32> = TableDef::new("samples"); // sensor and second
//! # let db = recto::Database::in_memory()?;
//! let mut txn = db.write()?;
//! let samples = txn.open_typed(&SAMPLES)?;
//! samples.put(&mut txn, ("roof", -10), 2.5)?;
//! samples.put(&mut txn, ("roof", 10), 3.5)?;
//! txn.commit()?;
//!
//! let txn = db.read()?;
//! let samples = txn.typed(&SAMPLES)?;
//! assert_eq!(samples.range(("roof", 0)..)?.values().next().transpose()?, Some(3.5));
//! assert_eq!(samples.prefix(("roof",))?.count(), 2);
//! # Ok(()) }
//! ```
//!
//! Start with [`Database`]; [`ReadTxn`] and [`WriteTxn`] give [`Table`]s. Several tables at once:
//! [`WriteTxn::open`]. Changes while walking: [`Cursor`], [`TableMut::extract_if`]; of one key:
//! [`TableMut::entry`]. Sets of values: [`SetTable`]. To undo a part of a transaction:
//! [`WriteTxn::nested`]. Without a lifetime: [`OwnedTable`]. `docs/design.md` in the repository
//! says how it works and why, `docs/format.md` describes every byte of the file.
//!
//! # Features
//!
//! None is on by default, and each adds types for typed tables: `derive` (`#[derive(Key)]` and
//! `#[derive(Value)]`), `postcard` and `json` (values of every type that serde knows), `uuid`,
//! `jiff`.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod api;
mod error;
#[cfg(feature = "harness")]
#[doc(hidden)]
pub mod harness;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod types;

mod commit;
mod format;
pub mod inspect;
mod os;
mod pager;
mod shared;
mod space;
mod storage;
mod tree;
mod txn;
pub mod typed;

pub use api::checking::check_file;
pub use api::cursor::Cursor;
pub use api::db::{Builder, Database, Info, ObservedSnapshot, ReaderInfo, RefusedMeta};
pub use api::diff::{Diff, TableChange};
pub use api::entry::{Entry, OccupiedEntry, VacantEntry};
pub use api::extract::ExtractIf;
pub use api::key_range::KeyRange;
pub use api::named::SnapshotInfo;
pub use api::owned::{OwnedCursor, OwnedRange, OwnedTable};
pub use api::savepoint::{Nested, Savepoint};
pub use api::set::{Pairs, SetRange, SetTable, Values};
pub use api::set_mut::SetTableMut;
pub use api::table::{Range, Table, TableCursor, TableIter, TableStats};
pub use api::table_mut::TableMut;
pub use api::transaction::{ReadTxn, TableInfo, WriteTxn};
pub use commit::durability::Durability;
pub use error::{Error, ErrorKind, Result};
pub use inspect::{Fault, Report};
pub use pager::Sink;
pub use tree::{Change, Key};
pub use txn::write::TableId;
pub use typed::{
    OwnedTypedCursor, OwnedTypedRange, OwnedTypedTable, SetDef, TableDef, TypedCursor, TypedId,
    TypedRange, TypedTable, TypedTableCursor, TypedTableMut,
};
pub use types::{PageId, TableKind, TableOptions, TxnId};

/// The examples of README.md run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
