//! Tables whose keys and values have types.
//!
//! A [`TableDef`] is a constant: a name, a type of keys, a type of values. Transactions open it,
//! and give tables that take and give these types; nobody encodes a key by hand. The order of the keys
//! is that of their type. The names of the types are stored with the table and compared when it is
//! opened. Byte tables stand beside them in the same database, and a typed table can be read as
//! bytes at any time.
//!
//! ```
//! # fn main() -> recto::Result<()> {
//! use recto::typed::TableDef;
//!
//! const USERS: TableDef<u64, &str> = TableDef::new("users");
//! const BY_TOWN: TableDef<(&str, u64), ()> = TableDef::new("by_town");
//!
//! let db = recto::Database::in_memory()?;
//! let mut txn = db.write()?;
//! let (users, by_town) = (txn.open_typed(&USERS)?, txn.open_typed(&BY_TOWN)?);
//! for (number, name, town) in [(1, "Ada", "London"), (2, "Alan", "London"), (3, "Kurt", "Brno")] {
//!     users.put(&mut txn, number, name)?;
//!     by_town.put(&mut txn, (town, number), ())?;
//! }
//! txn.commit()?;
//!
//! let txn = db.read()?;
//! let users = txn.typed(&USERS)?;
//! assert_eq!(users.get(3)?, Some("Kurt"));
//! for key in txn.typed(&BY_TOWN)?.prefix(("London",))?.keys() {
//!     let (_, number): (String, u64) = key?;
//!     println!("{:?}", users.get(number)?);
//! }
//! # Ok(()) }
//! ```
//!
//! | to | take |
//! | --- | --- |
//! | read | [`ReadTxn::typed`](crate::ReadTxn::typed), [`WriteTxn::typed`](crate::WriteTxn::typed): a [`TypedTable`] |
//! | change one table | [`WriteTxn::typed_mut`](crate::WriteTxn::typed_mut): a [`TypedTableMut`] |
//! | change several at once | [`WriteTxn::open_typed`](crate::WriteTxn::open_typed): a [`TypedId`] each |
//! | change while walking | [`TypedId::cursor`]: a [`TypedCursor`] |
//! | know which types there are | [`Key`], [`Value`] |
//!
//! Keys and values are passed as they are: numbers, `&str`, tuples of these. A `&String` serves for
//! `&str` also inside of a tuple, but not in a range: `name.as_str()..`.
//!
//! Encoding takes a buffer of the thread that is used again: no allocation, a few nanoseconds.
//! Values that stand in memory as in the table (`&str`, `&[u8]`, [`Pod`], [`PodSlice`]) are not
//! copied on the way in or out.
#![forbid(unsafe_code)]

mod key;
mod table;
mod value;

#[cfg(any(feature = "uuid", feature = "jiff"))]
mod foreign;

pub use key::Key;
pub use key::prefix::KeyPrefix;
pub use key::reader::{KeyReader, write_terminated};
#[cfg(feature = "derive")]
pub use recto_derive::{Key, Value};
pub use table::cursor::{TypedCursor, TypedTableCursor};
pub use table::definition::TableDef;
pub use table::id::TypedId;
pub use table::range::{Keys, TypedRange, Values};
pub use table::read::TypedTable;
pub use table::write::TypedTableMut;
pub use value::Value;
#[cfg(feature = "json")]
pub use value::codec::Json;
#[cfg(feature = "postcard")]
pub use value::codec::Postcard;
pub use value::pod::{Pod, PodSlice};
