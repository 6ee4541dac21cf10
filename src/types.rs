//! The two numbers everything else is counted in. Types of their own, so that they do not mix.

use std::fmt;

/// Number of a page: its offset in the file divided by the page size. Below 2^48.
///
/// ```
/// use recto::PageId;
/// assert_eq!(PageId(7).to_string(), "7");
/// assert!(PageId::NONE.is_none() && !PageId(7).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct PageId(pub u64);

/// Number of a transaction. Ids rise by one or more from commit to commit and are never used twice
/// while a trace of the earlier use can exist. 0 stands for "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct TxnId(pub u64);

/// What a table is made with, and keeps. The default is a table of bytes: values stand anywhere,
/// and nothing is said of their types.
///
/// ```
/// use recto::{TableKind, TableOptions};
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let options = TableOptions::aligned(64).types("u64", "matrix");
/// txn.create_table_with("matrices", &options)?;
/// txn.open_set_with("tags", &TableOptions::set_of(8))?;
/// assert_eq!(txn.table_options("matrices")?, Some(options));
/// let tags = txn.table_options("tags")?.unwrap();
/// assert_eq!(tags.kind, TableKind::Set { value_size: 8 });
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct TableOptions {
    /// Each value begins at an address that is a multiple of this, in the map and in a write
    /// transaction: a power of two from 1 to 4,096. Above 1 a value takes so many bytes and 3 more;
    /// above 64 it takes pages of its own, whatever its length.
    pub align: usize,
    /// Name of the type of the keys, of at most 255 bytes; empty for none. Nothing but a name: it
    /// is compared when the table is opened with a name.
    pub key_type: String,
    /// The same of the values.
    pub value_type: String,
    /// What a key has.
    pub kind: TableKind,
}

/// What a key of a table has: one value, or several.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum TableKind {
    /// One value, of any length.
    #[default]
    Map,
    /// A set of values in their order, each as long as a key at most.
    Set {
        /// Bytes that each value has, no more than a key may have; 0 where they may have any
        /// length. Values of one size take less room, and are read many at a time.
        value_size: u16,
    },
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions {
            align: 1,
            key_type: String::new(),
            value_type: String::new(),
            kind: TableKind::Map,
        }
    }
}

impl TableOptions {
    /// Longest name of a type, in bytes.
    pub const MAX_TYPE_LEN: usize = 255;
    /// Values are aligned to this at most: no page is smaller.
    pub const MAX_ALIGN: usize = 4096;

    /// Values at multiples of `align` bytes, such as the alignment of a type whose slices they are.
    pub fn aligned(align: usize) -> TableOptions {
        TableOptions { align, ..TableOptions::default() }
    }

    /// A set of values for each key ([`WriteTxn::open_set`](crate::WriteTxn::open_set)).
    pub fn set() -> TableOptions {
        TableOptions::set_of(0)
    }

    /// The same where each value has so many bytes.
    pub fn set_of(value_size: u16) -> TableOptions {
        TableOptions { kind: TableKind::Set { value_size }, ..TableOptions::default() }
    }

    /// The same with names of the types of keys and values.
    pub fn types(self, key_type: impl Into<String>, value_type: impl Into<String>) -> Self {
        TableOptions { key_type: key_type.into(), value_type: value_type.into(), ..self }
    }
}

impl PageId {
    /// No page: page 0 is a meta page and is never pointed at.
    pub const NONE: PageId = PageId(0);
    /// Page numbers are stored in 48 bits.
    pub const MAX: PageId = PageId((1 << 48) - 1);

    /// Whether this stands for "no page".
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl TxnId {
    /// No transaction.
    pub const NONE: TxnId = TxnId(0);
    /// The empty transaction that a new database holds.
    pub const FIRST: TxnId = TxnId(1);
    /// The last one there can be: at a million a second it comes after nine years, with a hundred
    /// processes a second that live for one deferred commit each after eighty.
    pub const MAX: TxnId = TxnId((1 << 48) - 1);
}

impl fmt::Debug for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
