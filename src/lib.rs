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
//! [`TableMut::entry`]. Sets of values: [`SetTable`]. Large loads in no order: [`Loader`]. To undo
//! a part of a transaction: [`WriteTxn::nested`]. Without a lifetime: [`OwnedTable`].
//! `docs/design.md` in the repository says how it works and why, `docs/format.md` describes every
//! byte of the file.
//!
//! `docs/guide.md` goes from the first steps to many processes, `docs/ports.md` has programs of
//! other stores beside what they become here, `docs/coming-from.md` has their calls.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what it adds | what it depends on |
//! | --- | --- | --- |
//! | `derive` | `#[derive(Key)]` and `#[derive(Value)]` ([`typed`]) | recto-derive (syn) |
//! | `postcard` | `Postcard<T>`: values of every type that serde knows, in few bytes | postcard, serde |
//! | `json` | `Json<T>`: the same as JSON | serde_json, serde |
//! | `uuid` | `Uuid` as keys and values | uuid |
//! | `jiff` | `Timestamp`, `Date`, `Time`, `DateTime` as keys and values | jiff |
//! | `tracing` | spans and events of the target `recto`; `docs/observing.md` has their names | tracing |
//! | `metrics` | counters, gauges and durations; their names too | metrics |
//! | `inspect` | checks, walks and salvage of files that are not open ([`inspect`]) | nothing |
//!
//! `internals` and `harness` are for recto's own benches and tests, and no part of the API.
//!
//! # Systems
//!
//! Linux, 64 bits, little-endian. Anything else does not compile, and says why.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "recto runs on 64-bit systems only: the whole file is mapped, room for its growth is reserved \
     in the address space, and processes share words of 64 bits"
);
#[cfg(target_endian = "big")]
compile_error!(
    "recto runs on little-endian systems only: plain old data is read where it lies in the file, \
     whose numbers are little-endian"
);

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
#[cfg_attr(not(feature = "inspect"), allow(dead_code, unused_imports))] // a part is for tools
pub mod inspect;
mod observe;
mod os;
mod pager;
mod shared;
mod sort;
mod space;
mod storage;
mod tree;
mod txn;
pub mod typed;

pub use api::builder::Builder;
pub use api::changes::{Changes, NewCommits, NextCommits};
pub use api::checking::check_file;
pub use api::commit_future::CommitFuture;
pub use api::cursor::Cursor;
pub use api::db::Database;
pub use api::diff::{Diff, TableChange};
pub use api::entry::{Entry, OccupiedEntry, VacantEntry};
pub use api::extract::ExtractIf;
pub use api::info::{Info, ObservedSnapshot, ReaderInfo, RefusedMeta};
pub use api::key_range::KeyRange;
pub use api::load::{LoadOptions, LoadProgress, Loaded, Loader};
pub use api::named::SnapshotInfo;
pub use api::owned::{OwnedCursor, OwnedRange, OwnedTable};
pub use api::owned_set::{OwnedPairs, OwnedSet, OwnedSetCursor, OwnedValues};
pub use api::savepoint::{Nested, Savepoint};
pub use api::set::{Pairs, SetRange, SetTable, Values};
pub use api::set_cursor::{SetCursor, SetTableCursor};
pub use api::set_diff::SetDiff;
pub use api::set_mut::SetTableMut;
pub use api::table::{Range, Table, TableCursor, TableIter, TableStats};
pub use api::table_mut::TableMut;
pub use api::transaction::{ReadTxn, TableInfo, WriteTxn};
pub use commit::durability::Durability;
pub use commit::report::{CommitReport, FlushKind};
pub use error::{Error, ErrorKind, Result};
pub use inspect::{Fault, Report};
pub use observe::{Counters, Reader, ReaderLimit};
pub use pager::Sink;
pub use pager::read_checks::ReadChecksums;
pub use storage::mmap::{Access, HugePages};
pub use tree::{Change, ChangedPair, Key, PairChange};
pub use txn::write::TableId;
pub use typed::{
    OwnedTypedCursor, OwnedTypedRange, OwnedTypedTable, SetDef, TableDef, TypedCursor, TypedId,
    TypedRange, TypedTable, TypedTableCursor, TypedTableMut,
};
pub use types::{Order, PageId, TableKind, TableOptions, TxnId};

/// The examples of README.md run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

/// Those of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct GuideExamples;

/// The programs of docs/ports.md, each in its form for recto.
#[cfg(doctest)]
#[doc = include_str!("../docs/ports.md")]
struct PortsExamples;
