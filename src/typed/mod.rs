//! Tables whose keys and values have types.
//!
//! A [`TableDef`] is a constant: a name, a type of keys, a type of values. Transactions open it,
//! and give tables that take and give these types; nobody encodes a key by hand. The order of the
//! keys is that of their type. The names of the types are stored with the table and compared when
//! it is opened. Byte tables stand beside them in the same database, and a typed table can be read
//! as bytes at any time.
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
//! | have several values for a key | [`SetDef`], [`ReadTxn::typed_set`](crate::ReadTxn::typed_set), [`WriteTxn::typed_set_mut`](crate::WriteTxn::typed_set_mut) |
//! | change while walking | [`TypedId::cursor`]: a [`TypedCursor`]; of sets [`TypedSetId::cursor`]: a [`TypedSetCursor`] |
//! | have no lifetime | [`ReadTxn::owned_typed`](crate::ReadTxn::owned_typed), [`ReadTxn::owned_typed_set`](crate::ReadTxn::owned_typed_set) |
//! | know what has changed | [`TypedTable::diff`], [`TypedSet::diff`]; of two snapshots [`ReadTxn::diff_typed`](crate::ReadTxn::diff_typed), [`ReadTxn::diff_typed_set`](crate::ReadTxn::diff_typed_set) |
//! | know which types there are | [`trait@Key`], [`trait@Value`] |
//!
//! Keys and values are passed as they are: numbers, `&str`, tuples of these. A `&String` serves for
//! `&str` also inside of a tuple, but not in a range: `name.as_str()..`.
//!
//! Encoding takes a buffer of the thread that is used again, and so no allocation. Values that
//! stand in memory as in the table (`&str`, `&[u8]`, [`Pod`], [`PodSlice`]) are not copied on the
//! way in or out.
#![forbid(unsafe_code)]

mod key;
mod set;
mod table;
mod value;

#[cfg(any(feature = "uuid", feature = "jiff"))]
mod foreign;

pub use key::Key;
pub use key::prefix::{Beginning, KeyPrefix, TextKey};
pub use key::reader::{KeyReader, write_terminated};
/// Makes a struct or an enum a type of keys; [`trait@Key`] is the trait.
///
/// ```
/// use recto::typed::{Key, TableDef};
///
/// #[derive(Key, PartialEq, Debug)]
/// enum Country {
///     Norway = 47,
///     Poland = 48,
/// }
///
/// #[derive(Key, PartialEq, Debug)]
/// struct Street {
///     country: Country,
///     town: String,
///     name: String,
/// }
///
/// const VISITS: TableDef<Street, u32> = TableDef::new("visits");
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut visits = txn.typed_mut(&VISITS)?;
/// let street = |town: &str, name: &str| Street {
///     country: Country::Norway,
///     town: town.into(),
///     name: name.into(),
/// };
/// visits.put(&street("Oslo", "Torggata"), 3)?;
/// visits.put(&street("Bergen", "Marken"), 1)?;
/// // The first fields are a prefix.
/// assert_eq!(visits.prefix((&Country::Norway,))?.count(), 2);
/// assert_eq!(visits.prefix((&Country::Norway, "Oslo"))?.values().next().transpose()?, Some(3));
/// assert_eq!(visits.first()?, Some((street("Bergen", "Marken"), 1)));
/// # Ok(()) }
/// ```
///
/// Fields own what they hold:
///
/// ```compile_fail
/// #[derive(recto::typed::Key)]
/// struct Word<'a>(&'a str); // "what is read owns what it holds: `String` or `Vec<u8>` ..."
/// ```
///
/// They are keys themselves:
///
/// ```compile_fail
/// #[derive(recto::typed::Key)]
/// struct Words(Vec<String>); // "`Vec<String>` is no type of keys"
/// ```
///
/// Numbers of variants fit a byte:
///
/// ```compile_fail
/// #[derive(recto::typed::Key)]
/// enum Code {
///     NotFound = 404, // "variants are stored as numbers from 0 to 255"
/// }
/// ```
///
/// Unions are neither:
///
/// ```compile_fail
/// #[derive(recto::typed::Key)]
/// union Bits {
///     float: f32,
///     bits: u32,
/// }
/// ```
#[cfg(feature = "derive")]
pub use recto_derive::Key;
/// Makes a struct or an enum a type of values; [`trait@Value`] is the trait.
///
/// ```
/// use recto::typed::{TableDef, Value};
///
/// #[derive(Value, PartialEq, Debug)]
/// struct User {
///     name: String,
///     born: Option<u16>,
///     access: Access,
/// }
///
/// #[derive(Value, PartialEq, Debug)]
/// enum Access {
///     None,
///     Until(u64),
/// }
///
/// const USERS: TableDef<u32, User> = TableDef::new("users");
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut users = txn.typed_mut(&USERS)?;
/// let ada = User { name: "Ada".into(), born: Some(1815), access: Access::Until(1852) };
/// users.put(7, &ada)?;
/// assert_eq!(users.get(7)?, Some(ada));
/// # Ok(()) }
/// ```
///
/// Plain old data is read in place, and so cannot be a field:
///
/// ```compile_fail
/// #[derive(recto::typed::Value)]
/// struct Vector {
///     name: String,
///     components: recto::typed::PodSlice<f32>,
/// }
/// ```
#[cfg(feature = "derive")]
pub use recto_derive::Value;
pub use set::cursor::{TypedSetCursor, TypedSetTableCursor};
pub use set::definition::SetDef;
pub use set::diff::TypedSetDiff;
pub use set::id::TypedSetId;
pub use set::owned::{OwnedTypedPairs, OwnedTypedSet, OwnedTypedSetCursor, OwnedTypedValues};
pub use set::range::{TypedPairs, TypedSetRange, TypedValues};
pub use set::read::TypedSet;
pub use set::write::TypedSetMut;
pub use table::cursor::{TypedCursor, TypedTableCursor};
pub use table::definition::TableDef;
pub use table::diff::{TypedChange, TypedDiff};
pub use table::entry::{TypedEntry, TypedOccupiedEntry, TypedVacantEntry};
pub use table::extract::TypedExtractIf;
pub use table::id::TypedId;
pub use table::owned::{OwnedTypedCursor, OwnedTypedRange, OwnedTypedTable};
pub use table::range::{Keys, TypedRange, TypedTableIter, Values};
pub use table::read::TypedTable;
pub use table::write::TypedTableMut;
pub use value::Value;
#[cfg(feature = "json")]
pub use value::codec::Json;
#[cfg(feature = "postcard")]
pub use value::codec::Postcard;
pub use value::pod::{Pod, PodSlice};
