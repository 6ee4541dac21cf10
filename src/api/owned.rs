//! Tables, ranges and cursors that keep their snapshot: they have no lifetime.

use super::key_range::KeyRange;
use super::table::{Source, Table, after_prefix};
use super::transaction::ReadTxn;
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::tree::{PageSource, PausedRange, Position, Versioned};
use crate::txn::read::Snapshot;
use std::fmt;
use std::sync::Arc;

/// A table of a snapshot, which it keeps: it has no lifetime, and may be put into a struct, sent to
/// another thread, used by several. Cheap to clone: a reference is counted, and 120 bytes are
/// copied.
///
/// The snapshot ends with the last [`OwnedTable`], [`OwnedRange`], [`OwnedCursor`] and
/// [`Arc<ReadTxn>`](ReadTxn) that keeps it, and until then none of its pages is used again: what is
/// forgotten in a queue makes the file grow. The database stays open as long, whatever becomes of
/// its handles.
///
/// ```
/// use recto::{OwnedRange, ReadTxn};
/// use std::sync::Arc;
///
/// /// Sends a table in pieces of some size.
/// struct Download {
///     pairs: OwnedRange,
///     size: usize,
/// }
///
/// impl Download {
///     fn piece(&mut self) -> recto::Result<Vec<u8>> {
///         let mut piece = Vec::new();
///         while piece.len() < self.size {
///             let Some((key, value)) = self.pairs.next_ref()? else { break };
///             piece.extend_from_slice(key);
///             piece.extend_from_slice(value);
///         }
///         Ok(piece)
///     }
/// }
///
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.open_table("main")?.put(b"key", b"value")?;
/// # txn.commit()?;
/// # let other = db.clone();
/// let txn = Arc::new(db.read()?);
/// let mut download = Download { pairs: txn.owned_table("main")?.iter()?, size: 65_536 };
/// drop((txn, db));
/// let thread = std::thread::spawn(move || download.piece());
/// assert_eq!(thread.join().unwrap()?, b"keyvalue");
/// let table = std::sync::Arc::new(other.read()?).owned_table("main")?;
/// assert_eq!(table.get(b"key")?, Some(&b"value"[..]));
/// assert!(table.contains_key(b"key")? && !table.is_empty() && table.len() == 1);
/// assert_eq!(table.range("a".."l")?.count() + table.prefix(b"l")?.count(), 1);
/// assert_eq!(table.cursor().first()?, Some((&b"key"[..], &b"value"[..])));
/// assert_eq!(table.as_table().stats().entries, table.txn().table("main")?.len());
/// # Ok(()) }
/// ```
///
/// Errors as in [`Table`](crate::Table).
#[derive(Clone)]
pub struct OwnedTable {
    txn: Arc<ReadTxn>,
    descriptor: TableDescriptor,
}

impl ReadTxn {
    /// A table that keeps this snapshot. [`Error::NoSuchTable`] if there is none of this name. One
    /// descent of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.open_table("main")?.put(b"key", b"value")?;
    /// # txn.commit()?;
    /// let table = std::sync::Arc::new(db.read()?).owned_table("main")?;
    /// assert_eq!(table.get(b"key")?, Some(&b"value"[..]));
    /// # Ok(()) }
    /// ```
    pub fn owned_table(self: &Arc<ReadTxn>, name: &str) -> Result<OwnedTable> {
        self.owned_table_opt(name)?.ok_or_else(|| Error::NoSuchTable(name.into()))
    }

    /// The same; None if there is none of this name, as before anybody has written to it.
    ///
    /// Errors: [`Error::TableOptions`] for a table of sets.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use std::sync::Arc;
    /// assert!(Arc::new(db.read()?).owned_table_opt("main")?.is_none());
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?;
    /// assert_eq!(Arc::new(db.read()?).owned_table_opt("main")?.unwrap().len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn owned_table_opt(self: &Arc<ReadTxn>, name: &str) -> Result<Option<OwnedTable>> {
        let table = self.table_opt(name)?;
        let owned =
            |table: Table<'_>| OwnedTable { txn: self.clone(), descriptor: table.descriptor() };
        Ok(table.map(owned))
    }
}

impl OwnedTable {
    /// The snapshot that it keeps.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        &self.txn
    }

    /// The table as one that borrows, with all that [`Table`] has. O(1).
    #[inline]
    pub fn as_table(&self) -> Table<'_> {
        Table::new(Source::Snapshot(self.snapshot()), self.descriptor)
    }

    fn snapshot(&self) -> &Snapshot {
        self.txn.snapshot()
    }

    /// As [`Table::get`]: the value is borrowed from this table.
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        self.as_table().get(key)
    }

    /// Whether the table has `key`.
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        self.as_table().contains_key(key)
    }

    /// Number of keys. O(1).
    pub fn len(&self) -> u64 {
        self.as_table().len()
    }

    /// Whether the table has no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Table::range`], with a range that keeps the snapshot.
    pub fn range(&self, keys: impl KeyRange) -> Result<OwnedRange> {
        let (start, end) = keys.bounds();
        let src = self.snapshot();
        let pairs = PausedRange::new(src, &self.descriptor, start, end);
        let pairs = pairs.map_err(|e| src.named(e))?;
        Ok(OwnedRange { txn: self.txn.clone(), pairs })
    }

    /// As [`Table::prefix`], with a range that keeps the snapshot.
    pub fn prefix(&self, prefix: &[u8]) -> Result<OwnedRange> {
        match after_prefix(self.descriptor.order, prefix)? {
            Some(end) => self.range(prefix..&end),
            None => self.range(prefix..),
        }
    }

    /// All pairs.
    pub fn iter(&self) -> Result<OwnedRange> {
        self.range(..)
    }

    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> OwnedCursor {
        OwnedCursor { table: self.clone(), position: Position::new() }
    }
}

/// Pairs in the order of their keys, from both ends, of a snapshot which it keeps: as a
/// [`Range`](crate::Range) without a lifetime. After an error it yields nothing more.
///
/// As an iterator it hands out copies of keys and values, as fits a stream or a channel.
/// [`OwnedRange::next_ref`] borrows both until the next call and copies nothing. In a scan a pair
/// (8 bytes of key, 100 of value) takes 243 instructions there, since the leaf is looked at anew
/// for each; [`Range::next_ref`](crate::Range::next_ref) takes 126, the copying iterator 689.
/// Leaves that come next are asked for in the same way.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut table = txn.open_table("main")?;
/// for key in [b"a", b"b", b"c"] {
///     table.put(key, b"value")?;
/// }
/// # txn.commit()?;
/// # let txn = std::sync::Arc::new(db.read()?);
/// let mut range = txn.owned_table("main")?.range(b"b"..)?;
/// drop(txn);
/// assert_eq!(range.next_back_ref()?, Some((&b"c"[..], &b"value"[..])));
/// assert_eq!(range.next().transpose()?, Some((b"b".to_vec(), b"value".to_vec())));
/// assert!(range.next().is_none());
/// assert!(range.next_ref()?.is_none() && range.txn().table("main")?.len() == 3);
/// # Ok(()) }
/// ```
///
/// What is borrowed ends with the next call, or with the range:
///
/// ```compile_fail,E0499
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let txn = std::sync::Arc::new(db.read()?);
/// let mut range = txn.owned_table("main")?.iter()?;
/// let first = range.next_ref()?;
/// let second = range.next_ref()?;
/// println!("{first:?} {second:?}");
/// # Ok(()) }
/// ```
///
/// Used by one thread at a time; it may be sent to another one.
pub struct OwnedRange {
    txn: Arc<ReadTxn>,
    pairs: PausedRange,
}

impl OwnedRange {
    /// The snapshot that it keeps.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        &self.txn
    }

    /// The next pair; None at the end. Both are borrowed until the next call.
    #[inline]
    pub fn next_ref(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        self.pairs.advance_ref(self.txn.snapshot(), true)
    }

    /// The same from the other end.
    #[inline]
    pub fn next_back_ref(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        self.pairs.advance_ref(self.txn.snapshot(), false)
    }
}

/// Copies of a pair.
#[inline]
fn copied(pair: Result<Option<(&[u8], &[u8])>>) -> Option<Result<(Vec<u8>, Vec<u8>)>> {
    pair.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).transpose()
}

impl Iterator for OwnedRange {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        copied(self.next_ref())
    }
}

impl DoubleEndedIterator for OwnedRange {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        copied(self.next_back_ref())
    }
}

impl std::iter::FusedIterator for OwnedRange {}

/// A place among the pairs of a table of a snapshot, which it keeps: as a
/// [`TableCursor`](crate::TableCursor) without a lifetime. Key and value are borrowed until the
/// next move.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut table = txn.open_table("main")?;
/// for key in [b"a", b"c"] {
///     table.put(key, b"value")?;
/// }
/// # txn.commit()?;
/// let mut cursor = std::sync::Arc::new(db.read()?).owned_table("main")?.cursor();
/// assert_eq!(cursor.seek(b"b")?, Some((&b"c"[..], &b"value"[..])));
/// assert_eq!(cursor.prev()?, Some((&b"a"[..], &b"value"[..])));
/// assert_eq!(cursor.prev()?, None);
/// assert_eq!(cursor.next()?.map(|(key, _)| key), Some(&b"a"[..]));
/// assert_eq!(cursor.first()?.map(|(key, _)| key), Some(&b"a"[..]));
/// assert_eq!(cursor.last()?, Some((&b"c"[..], &b"value"[..])));
/// assert_eq!(cursor.current()?.map(|(key, _)| key), Some(&b"c"[..])); // has not moved
/// assert_eq!(cursor.seek_back(b"b")?.map(|(key, _)| key), Some(&b"a"[..]));
/// assert_eq!(cursor.table().len(), 2);
/// # Ok(()) }
/// ```
///
/// Errors as in [`Table`](crate::Table).
///
/// Used by one thread at a time; it may be sent to another one.
#[derive(Clone)]
pub struct OwnedCursor {
    table: OwnedTable,
    position: Position,
}

macro_rules! moves {
    ($($(#[$doc:meta])* $name:ident($($key:ident)?);)*) => {$(
        $(#[$doc])*
        #[allow(clippy::should_implement_trait)] // pairs are borrowed until the next call
        pub fn $name(&mut self $(, $key: &[u8])?) -> Result<Option<(&[u8], &[u8])>> {
            // Nothing changes in a snapshot.
            let (src, desc) = (self.table.snapshot(), self.table.descriptor);
            let tree = Versioned { src, desc, version: 0 };
            let value = self.position.$name(&tree $(, $key)?).map_err(|e| src.named(e))?;
            Ok(self.position.key().zip(value))
        }
    )*};
}

impl OwnedCursor {
    /// Its table.
    pub fn table(&self) -> &OwnedTable {
        &self.table
    }

    moves! {
        /// The first pair.
        first();
        /// The last pair.
        last();
        /// The next pair. At the end it stays behind the last one.
        next();
        /// The pair before.
        prev();
        /// The pair that it stands on.
        current();
        /// The pair with this key, or the first one behind it.
        seek(key);
        /// The pair with this key, or the last one before it.
        seek_back(key);
    }
}

impl fmt::Debug for OwnedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedTable").field("txn", &self.txn.id()).field("len", &self.len()).finish()
    }
}

impl fmt::Debug for OwnedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRange").field("txn", &self.txn.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedCursor")
            .field("table", &self.table)
            .field("position", &self.position)
            .finish()
    }
}
