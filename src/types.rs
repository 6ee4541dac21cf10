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
/// let tags = txn.open_set_with("any length", &TableOptions::set())?;
/// assert_eq!(tags.as_set().value_size(), None);
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
    /// How keys are stored and ordered.
    pub order: Order,
}

/// How a table stores its keys, and in which order they stand.
///
/// ```
/// use recto::{Order, TableOptions};
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let options = TableOptions::default().ordered(Order::Integers);
/// let mut ports = txn.open_table_with("ports", &options)?;
/// for (port, name) in [(8080u32, "proxy"), (22, "ssh"), (443, "https")] {
///     ports.put(&port.to_le_bytes(), name.as_bytes())?;
/// }
/// let names: Vec<&[u8]> = ports.iter()?.map(|pair| Ok(pair?.1)).collect::<recto::Result<_>>()?;
/// assert_eq!(names, [b"ssh".as_slice(), b"https", b"proxy"]);
/// // A whole key can be borrowed from its page.
/// assert_eq!(ports.first()?.unwrap().0.borrowed(), Some(&22u32.to_le_bytes()[..]));
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Order {
    /// By their bytes, compared as unsigned numbers. What the keys of a page have in common is
    /// stored once, and branches have only as much of a key as tells their children apart: the
    /// least room, and the fastest searches.
    #[default]
    Packed,
    /// In the same order, each key whole: 4 bytes more for each, and what it shares with others.
    /// Ranges and cursors hand keys out as slices of the page, without a copy
    /// ([`Key::borrowed`](crate::Key::borrowed)).
    Plain,
    /// By their bytes from the last one to the first; stored whole, as in all that follow. For
    /// names that are grouped by their ends (LMDB's `MDB_REVERSEKEY`).
    Reversed,
    /// Keys are integers without a sign, of 4 or 8 bytes, little-endian (LMDB's `MDB_INTEGERKEY`
    /// as the systems have it for which recto is made). Other lengths are refused. Of equal numbers
    /// the shorter key comes first.
    Integers,
    /// By a function that the program gives under this name whenever it opens the database
    /// ([`Builder::order`](crate::Builder::order)). The name has 1 to 255 bytes, and is stored with
    /// the table. Without that function the table cannot be opened
    /// ([`Error::NoSuchOrder`](crate::Error::NoSuchOrder)), but dropped, renamed and copied.
    Custom(String),
}

impl Order {
    /// Whether keys stand in the order of their bytes.
    pub(crate) fn is_by_bytes(&self) -> bool {
        matches!(self, Order::Packed | Order::Plain)
    }
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
            order: Order::Packed,
        }
    }
}

impl TableOptions {
    /// Longest name of a type or an order, in bytes.
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

    /// The same with keys in this order.
    ///
    /// ```
    /// use recto::{Order, TableOptions};
    /// let options = TableOptions::set().ordered(Order::Reversed);
    /// assert_eq!(options.order, Order::Reversed);
    /// ```
    pub fn ordered(self, order: Order) -> Self {
        TableOptions { order, ..self }
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
