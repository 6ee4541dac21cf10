//! What a table is, as a constant.

use crate::typed::key::Key;
use crate::typed::value::Value;
use crate::types::{Order, TableOptions};
use std::fmt;
use std::marker::PhantomData;

/// A table by name, with the types of its keys and values; made once, as a constant.
///
/// Opening it ([`WriteTxn::open_typed`](crate::WriteTxn::open_typed) and others) makes the table
/// where there is none. A new table remembers the names of its types and promises the alignment of
/// its values; one that is there must have the same names and no smaller alignment, or gives
/// [`Error::TableOptions`](crate::Error::TableOptions), which says what it has and what was asked
/// for.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const EVENTS: TableDef<(u32, i64), &[u8]> = TableDef::new("events");
/// const MATRICES: TableDef<u64, &[u8]> = TableDef::new("matrices").align(64);
/// // A name that is made at run time.
/// let name = format!("events of {}", 2026);
/// let events = TableDef::<(u32, i64), &[u8]>::new(&name);
/// assert_eq!(events.name(), "events of 2026");
/// assert_eq!(events.stored_key_type(), "(u32,i64)");
/// assert_eq!(events.stored_value_type(), "bytes");
/// assert_eq!((events.alignment(), MATRICES.alignment()), (1, 64));
/// // Of a table that was made as one of bytes: nothing is compared.
/// const OLD: TableDef<u64, &str> = TableDef::new("old").unnamed();
/// # Ok(()) }
/// ```
///
/// Nothing here touches a database, or fails: what cannot be is an error when the table is opened.
pub struct TableDef<'n, K, V> {
    name: &'n str,
    value_name: &'n str,
    align: usize,
    plain: bool,
    named: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'n, K, V> TableDef<'n, K, V> {
    /// A table of this name: 1 to 1,024 bytes.
    pub const fn new(name: &'n str) -> TableDef<'n, K, V> {
        TableDef { name, value_name: "", align: 1, plain: false, named: true, types: PhantomData }
    }

    /// With values at addresses that are multiples of this power of two, up to 4,096: for what
    /// needs more than its type says, as vector instructions do. Checked when it is opened.
    pub const fn align(self, bytes: usize) -> TableDef<'n, K, V> {
        TableDef { align: bytes, ..self }
    }

    /// A table whose keys stand whole in their pages ([`Order::Plain`]): for programs that also
    /// read it as bytes, to which ranges and cursors lend keys there without a copy. With types it
    /// is read as any other, in the same order. One that is there must be so too.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages").plain();
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut ages = txn.typed_mut(&AGES)?;
    /// ages.put("Ada", 36)?;
    /// let (name, _) = ages.as_table().as_bytes().first()?.unwrap();
    /// assert_eq!(name.borrowed(), Some(&b"Ada"[..])); // a slice of the page
    /// # Ok(()) }
    /// ```
    pub const fn plain(self) -> TableDef<'n, K, V> {
        TableDef { plain: true, ..self }
    }

    /// With a name for the type of its values that is stored beside that of its encoding. For what
    /// has no name that stays: structs behind `Pod`, `Postcard` and `Json`. Changed when the
    /// struct changes, it keeps programs of both kinds apart.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::{Error, typed::TableDef};
    /// const OLD: TableDef<u64, &[u8]> = TableDef::new("users").value_name("User 1");
    /// const NEW: TableDef<u64, &[u8]> = TableDef::new("users").value_name("User 2");
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_typed(&OLD)?;
    /// assert!(matches!(txn.open_typed(&NEW), Err(Error::TableOptions { .. })));
    /// # Ok(()) }
    /// ```
    pub const fn value_name(self, name: &'n str) -> TableDef<'n, K, V> {
        TableDef { value_name: name, ..self }
    }

    /// A table whose types have no stored names: for tables that were made as byte tables. Nothing
    /// is compared when it is opened; bytes that do not fit give
    /// [`Error::Decode`](crate::Error::Decode) when they are read.
    pub const fn unnamed(self) -> TableDef<'n, K, V> {
        TableDef { named: false, ..self }
    }

    /// The table's name.
    pub const fn name(&self) -> &'n str {
        self.name
    }
}

impl<K: Key, V: Value> TableDef<'_, K, V> {
    /// The name of the type of its keys, as it is stored.
    pub fn stored_key_type(&self) -> String {
        if self.named { limited(K::type_name()) } else { String::new() }
    }

    /// The name of the type of its values, as it is stored.
    pub fn stored_value_type(&self) -> String {
        match (self.named, self.value_name) {
            (false, _) => String::new(),
            (true, "") => limited(V::type_name()),
            (true, name) => limited(format!("{} {name}", V::type_name())),
        }
    }

    pub(super) fn order(&self) -> Order {
        if self.plain { Order::Plain } else { Order::Packed }
    }

    /// What addresses of its values are to be multiples of.
    pub fn alignment(&self) -> usize {
        // What is no alignment stays, to be refused when the table is opened.
        if self.align.is_power_of_two() { self.align.max(V::ALIGN) } else { self.align }
    }
}

/// A name that is not longer than a table can keep. Two that begin alike stay different.
pub(in crate::typed) fn limited(name: String) -> String {
    if name.len() <= TableOptions::MAX_TYPE_LEN {
        return name;
    }
    let sum = format!("~{:08x}", crc32fast::hash(name.as_bytes()));
    let cut =
        (0..=TableOptions::MAX_TYPE_LEN - sum.len()).rev().find(|&at| name.is_char_boundary(at));
    name[..cut.unwrap_or(0)].to_owned() + &sum
}

impl<K, V> Clone for TableDef<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TableDef<'_, K, V> {}

impl<K: Key, V: Value> fmt::Debug for TableDef<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableDef")
            .field("name", &self.name)
            .field("keys", &self.stored_key_type())
            .field("values", &self.stored_value_type())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_different() {
        assert_eq!(limited("u64".into()), "u64");
        assert_eq!(limited("x".repeat(255)), "x".repeat(255));
        let (a, b) = (limited("é".repeat(200)), limited("é".repeat(200) + "x"));
        assert!(a.len() <= 255 && b.len() <= 255 && a != b, "{a} {b}");
        assert!(a.starts_with(&"é".repeat(120)));
    }
}
