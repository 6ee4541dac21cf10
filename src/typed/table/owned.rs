//! Typed tables, ranges and cursors that keep their snapshot.

use super::cursor::pair;
use super::definition::TableDef;
use super::encoded::{bounds, with_key, with_prefix};
use super::range::Pair;
use super::read::TypedTable;
use crate::api::owned::{OwnedCursor, OwnedRange, OwnedTable};
use crate::api::transaction::ReadTxn;
use crate::error::{Error, Result};
use crate::typed::key::Key;
use crate::typed::key::prefix::KeyPrefix;
use crate::typed::value::Value;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::Arc;

/// A typed table of a snapshot, which it keeps: an [`OwnedTable`] with types.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{OwnedTypedRange, TableDef};
/// use std::sync::Arc;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_mut(&AGES)?.put("Ada", 36)?;
/// # txn.commit()?;
/// let ages = Arc::new(db.read()?).owned_typed(&AGES)?;
/// assert_eq!(ages.get("Ada")?, ages.as_table().get("Ada")?);
/// let pairs: OwnedTypedRange<&str, u8> = ages.range("A"..)?;
/// let thread = std::thread::spawn(move || pairs.collect::<recto::Result<Vec<_>>>());
/// assert_eq!(thread.join().unwrap()?, [("Ada".to_owned(), 36)]);
/// # let ages = Arc::new(db.read()?).owned_typed(&AGES)?;
/// assert_eq!((ages.iter()?.count(), ages.prefix("B")?.count()), (1, 0));
/// assert_eq!(ages.cursor().first()?, Some(("Ada", 36)));
/// assert_eq!((ages.len(), ages.is_empty(), ages.contains_key("Ada")?), (1, false, true));
/// assert_eq!(ages.as_bytes().len(), ages.txn().typed(&AGES)?.len());
/// # Ok(()) }
/// ```
///
/// Errors as in [`TypedTable`], and costs as in [`OwnedTable`]. Any number of threads may use it.
pub struct OwnedTypedTable<K, V> {
    table: OwnedTable,
    types: PhantomData<fn() -> (K, V)>,
}

impl ReadTxn {
    /// A typed table that keeps this snapshot. [`Error::NoSuchTable`] if there is none of this
    /// name, [`Error::TableOptions`] if it has other types. Three descents of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    ///
    /// txn.typed_mut(&AGES)?.put("Ada", 36)?;
    /// txn.commit()?;
    /// let ages = std::sync::Arc::new(db.read()?).owned_typed(&AGES)?; // keeps the snapshot
    /// assert_eq!(ages.as_table().get("Ada")?, Some(36));
    /// # Ok(()) }
    /// ```
    pub fn owned_typed<K: Key, V: Value>(
        self: &Arc<ReadTxn>,
        def: &TableDef<'_, K, V>,
    ) -> Result<OwnedTypedTable<K, V>> {
        self.owned_typed_opt(def)?.ok_or_else(|| Error::NoSuchTable(def.name().into()))
    }

    /// The same; None if there is no table of this name, as before anybody has written to it.
    ///
    /// Errors: [`Error::TableOptions`] if it has other types.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    ///
    /// assert!(std::sync::Arc::new(db.read()?).owned_typed_opt(&AGES)?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn owned_typed_opt<K: Key, V: Value>(
        self: &Arc<ReadTxn>,
        def: &TableDef<'_, K, V>,
    ) -> Result<Option<OwnedTypedTable<K, V>>> {
        if self.typed_opt(def)?.is_none() {
            return Ok(None);
        }
        let table = self.owned_table_opt(def.name())?;
        Ok(table.map(|table| OwnedTypedTable { table, types: PhantomData }))
    }
}

impl<K: Key, V: Value> OwnedTypedTable<K, V> {
    /// The table as one that borrows, with all that [`TypedTable`] has. O(1).
    #[inline]
    pub fn as_table(&self) -> TypedTable<'_, K, V> {
        TypedTable::new(self.table.as_table())
    }

    /// The same table as bytes.
    pub fn as_bytes(&self) -> &OwnedTable {
        &self.table
    }

    /// The snapshot that it keeps.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        self.table.txn()
    }

    /// As [`TypedTable::get`].
    #[inline]
    pub fn get(&self, key: K::Arg<'_>) -> Result<Option<V::Ref<'_>>> {
        self.as_table().get(key)
    }

    /// As [`TypedTable::contains_key`].
    pub fn contains_key(&self, key: K::Arg<'_>) -> Result<bool> {
        self.as_table().contains_key(key)
    }

    /// As [`TypedTable::len`].
    pub fn len(&self) -> u64 {
        self.table.len()
    }

    /// Whether the table has no key.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// As [`TypedTable::range`], with a range that keeps the snapshot.
    pub fn range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<OwnedTypedRange<K, V>> {
        let (start, end) = bounds::<K>(&keys);
        self.table.range((start, end)).map(OwnedTypedRange::new)
    }

    /// As [`TypedTable::prefix`], with a range that keeps the snapshot.
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<OwnedTypedRange<K, V>> {
        with_prefix(prefix, |prefix| self.table.prefix(prefix)).map(OwnedTypedRange::new)
    }

    /// All pairs.
    pub fn iter(&self) -> Result<OwnedTypedRange<K, V>> {
        self.table.iter().map(OwnedTypedRange::new)
    }

    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> OwnedTypedCursor<K, V> {
        let (cursor, key) = (self.table.cursor(), Vec::new());
        OwnedTypedCursor { cursor, key, types: PhantomData }
    }
}

/// Pairs of a typed table in the order of their keys, from both ends, of a snapshot which it keeps:
/// an [`OwnedRange`] with types. After an error it yields nothing more.
///
/// As an iterator it hands out keys and values of their own.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// use std::sync::Arc;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_mut(&AGES)?.put("Ada", 36)?;
/// # txn.typed_mut(&AGES)?.put("Kurt", 71)?;
/// # txn.commit()?;
/// let mut range = Arc::new(db.read()?).owned_typed(&AGES)?.iter()?;
/// let first: Option<(&str, u8)> = range.next_ref()?; // borrowed until the next call
/// assert_eq!(first, Some(("Ada", 36)));
/// let last: Option<(String, u8)> = range.next_back().transpose()?; // of its own
/// assert_eq!(last, Some(("Kurt".into(), 71)));
/// assert!(range.next_back_ref()?.is_none());
/// assert_eq!(range.txn().typed(&AGES)?.len(), 2);
/// # Ok(()) }
/// ```
///
/// Used by one thread at a time; it may be sent to another one.
pub struct OwnedTypedRange<K, V> {
    pairs: OwnedRange,
    key: Vec<u8>,
    failed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> OwnedTypedRange<K, V> {
    fn new(pairs: OwnedRange) -> OwnedTypedRange<K, V> {
        OwnedTypedRange { pairs, key: Vec::new(), failed: false, types: PhantomData }
    }

    /// The snapshot that it keeps.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        self.pairs.txn()
    }

    /// The next pair; None at the end. Both are borrowed until the next call.
    /// [`Error::Decode`] for bytes of another type.
    ///
    /// It costs what [`OwnedRange::next_ref`] costs, and the decoding.
    #[inline]
    pub fn next_ref(&mut self) -> Result<Option<Pair<'_, '_, K, V>>> {
        self.step(true)
    }

    /// The same from the other end.
    #[inline]
    pub fn next_back_ref(&mut self) -> Result<Option<Pair<'_, '_, K, V>>> {
        self.step(false)
    }

    fn bytes(&mut self, ahead: bool) -> Result<Option<(&[u8], &[u8])>> {
        match (self.failed, ahead) {
            (true, _) => Ok(None),
            (_, true) => self.pairs.next_ref(),
            (_, false) => self.pairs.next_back_ref(),
        }
    }

    fn step(&mut self, ahead: bool) -> Result<Option<Pair<'_, '_, K, V>>> {
        let bytes = match (self.failed, ahead) {
            (true, _) => None,
            (_, true) => self.pairs.next_ref()?,
            (_, false) => self.pairs.next_back_ref()?,
        };
        if bytes.is_none() {
            return Ok(None);
        }
        // Until it is known that both can be read.
        self.failed = true;
        let pair = pair::<K, V>(bytes, &mut self.key)?;
        self.failed = false;
        Ok(pair)
    }

    fn pair(&mut self, ahead: bool) -> Option<Result<(K::Owned, V::Owned)>> {
        let owned = |(key, value): (&[u8], &[u8])| {
            Ok((K::into_owned(K::read(key, &mut Vec::new())?), V::decode_owned(value)?))
        };
        let pair = self.bytes(ahead).transpose()?.and_then(owned);
        self.failed = pair.is_err();
        Some(pair)
    }
}

impl<K: Key, V: Value> Iterator for OwnedTypedRange<K, V> {
    type Item = Result<(K::Owned, V::Owned)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pair(true)
    }
}

impl<K: Key, V: Value> DoubleEndedIterator for OwnedTypedRange<K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.pair(false)
    }
}

impl<K: Key, V: Value> FusedIterator for OwnedTypedRange<K, V> {}

/// A place in a typed table of a snapshot, which it keeps: an [`OwnedCursor`] with types. Key and
/// value are borrowed until the next move. [`Error::Decode`], with the cursor on that pair, if its
/// bytes are none of its types.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// use std::sync::Arc;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_mut(&AGES)?.put("Ada", 36)?;
/// # txn.typed_mut(&AGES)?.put("Kurt", 71)?;
/// # txn.commit()?;
/// let mut cursor = Arc::new(db.read()?).owned_typed(&AGES)?.cursor();
/// assert_eq!(cursor.seek("B")?, Some(("Kurt", 71)));
/// assert_eq!(cursor.prev()?, Some(("Ada", 36)));
/// assert_eq!(cursor.prev()?, None);
/// assert_eq!(cursor.next()?, Some(("Ada", 36)));
/// assert_eq!(cursor.last()?, Some(("Kurt", 71)));
/// assert_eq!(cursor.current()?, Some(("Kurt", 71))); // has not moved
/// assert_eq!(cursor.seek_back("B")?, Some(("Ada", 36)));
/// assert_eq!(cursor.first()?, Some(("Ada", 36)));
/// assert_eq!(cursor.table().len(), 2);
/// # Ok(()) }
/// ```
///
/// One descent of the tree for each move, inside of a leaf less.
///
/// Used by one thread at a time; it may be sent to another one.
pub struct OwnedTypedCursor<K, V> {
    cursor: OwnedCursor,
    key: Vec<u8>,
    types: PhantomData<fn() -> (K, V)>,
}

macro_rules! moves {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[allow(clippy::should_implement_trait)] // pairs are borrowed until the next call
        pub fn $name(&mut self) -> Result<Option<Pair<'_, '_, K, V>>> {
            pair::<K, V>(self.cursor.$name()?, &mut self.key)
        }
    )*};
}

impl<K: Key, V: Value> OwnedTypedCursor<K, V> {
    /// Its table, which keeps the snapshot as well. O(1).
    pub fn table(&self) -> OwnedTypedTable<K, V> {
        OwnedTypedTable { table: self.cursor.table().clone(), types: PhantomData }
    }

    moves! {
        /// The first pair.
        first;
        /// The last pair.
        last;
        /// The next pair. At the end it stays behind the last one.
        next;
        /// The pair before.
        prev;
        /// The pair that it stands on.
        current;
    }

    /// The pair with this key, or the first one behind it.
    pub fn seek(&mut self, key: K::Arg<'_>) -> Result<Option<Pair<'_, '_, K, V>>> {
        let bytes = with_key::<K, _>(key, |key| self.cursor.seek(key))?;
        pair::<K, V>(bytes, &mut self.key)
    }

    /// The pair with this key, or the last one before it.
    pub fn seek_back(&mut self, key: K::Arg<'_>) -> Result<Option<Pair<'_, '_, K, V>>> {
        let bytes = with_key::<K, _>(key, |key| self.cursor.seek_back(key))?;
        pair::<K, V>(bytes, &mut self.key)
    }
}

impl<K, V> Clone for OwnedTypedTable<K, V> {
    fn clone(&self) -> Self {
        OwnedTypedTable { table: self.table.clone(), types: PhantomData }
    }
}

impl<K, V> Clone for OwnedTypedCursor<K, V> {
    fn clone(&self) -> Self {
        OwnedTypedCursor { cursor: self.cursor.clone(), key: Vec::new(), types: PhantomData }
    }
}

/// What it holds, with the names of its types.
macro_rules! shown {
    ($($what:ident: $field:ident;)*) => {$(
        impl<K: Key, V: Value> fmt::Debug for $what<K, V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($what))
                    .field("keys", &K::type_name())
                    .field("values", &V::type_name())
                    .field(stringify!($field), &self.$field)
                    .finish()
            }
        }
    )*};
}

shown! {
    OwnedTypedTable: table;
    OwnedTypedRange: pairs;
    OwnedTypedCursor: cursor;
}
