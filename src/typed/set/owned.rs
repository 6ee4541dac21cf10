//! Typed tables of sets, their pairs, values and cursors, that keep their snapshot.

use super::cursor::{Scratch, SetPair, cursors, typed_set_moves};
use super::definition::SetDef;
use super::range::decoding;
use super::read::TypedSet;
use crate::api::owned_set::{OwnedPairs, OwnedSet, OwnedSetCursor, OwnedValues};
use crate::api::transaction::ReadTxn;
use crate::error::{Error, Result};
use crate::typed::key::Key;
use crate::typed::key::prefix::KeyPrefix;
use crate::typed::table::encoded::{bounds, with_key, with_prefix, with_set_value};
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::Arc;

/// A typed table of sets of a snapshot, which it keeps: an [`OwnedSet`] with types. Cheap to clone.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// use std::sync::Arc;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags"); // the articles of a tag
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_set_mut(&TAGS)?.load([("files", 7), ("rust", 3), ("rust", 7)])?;
/// # txn.commit()?;
/// let tags = Arc::new(db.read()?).owned_typed_set(&TAGS)?;
/// assert_eq!((tags.len(), tags.key_count(), tags.count("rust")?), (3, 2, 2));
/// assert!(tags.contains("rust", 3)? && tags.contains_key("files")? && !tags.is_empty());
/// assert_eq!(tags.values("rust", 4..)?.next().transpose()?, Some(7));
/// assert_eq!((tags.iter()?.count(), tags.pairs("g"..)?.count()), (3, 2));
/// assert_eq!(tags.prefix("f")?.count(), 1);
/// assert_eq!(tags.cursor().first()?, Some(("files", 7)));
/// assert_eq!(tags.as_set().stats().pairs, tags.txn().typed_set(&TAGS)?.len());
/// assert_eq!(tags.as_bytes().len(), 3);
/// let articles = tags.get("rust")?; // keeps the snapshot, too
/// drop((tags, db));
/// let thread = std::thread::spawn(move || articles.collect::<recto::Result<Vec<_>>>());
/// assert_eq!(thread.join().unwrap()?, [3, 7]);
/// # Ok(()) }
/// ```
///
/// Errors as in [`TypedSet`], and costs as in [`OwnedSet`]. Any number of threads may use it.
pub struct OwnedTypedSet<K, V> {
    table: OwnedSet,
    types: PhantomData<fn() -> (K, V)>,
}

impl ReadTxn {
    /// A typed table of sets that keeps this snapshot. [`Error::NoSuchTable`] if there is none of
    /// this name, [`Error::TableOptions`] if it has other types, or one value for each key. Three
    /// descents of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    ///
    /// txn.typed_set_mut(&TAGS)?.insert("rust", 7)?;
    /// txn.commit()?;
    /// let tags = std::sync::Arc::new(db.read()?).owned_typed_set(&TAGS)?; // keeps the snapshot
    /// assert!(tags.contains("rust", 7)?);
    /// # Ok(()) }
    /// ```
    pub fn owned_typed_set<K: Key, V: Key>(
        self: &Arc<ReadTxn>,
        def: &SetDef<'_, K, V>,
    ) -> Result<OwnedTypedSet<K, V>> {
        self.owned_typed_set_opt(def)?.ok_or_else(|| Error::NoSuchTable(def.name().into()))
    }

    /// The same; None if there is no table of this name, as before anybody has written to it.
    ///
    /// Errors as of [`ReadTxn::owned_typed_set`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use recto::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    ///
    /// assert!(std::sync::Arc::new(db.read()?).owned_typed_set_opt(&TAGS)?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn owned_typed_set_opt<K: Key, V: Key>(
        self: &Arc<ReadTxn>,
        def: &SetDef<'_, K, V>,
    ) -> Result<Option<OwnedTypedSet<K, V>>> {
        if self.typed_set_opt(def)?.is_none() {
            return Ok(None);
        }
        Ok(self.owned_set_opt(def.name())?.map(OwnedTypedSet::new))
    }
}

impl<K: Key, V: Key> OwnedTypedSet<K, V> {
    fn new(table: OwnedSet) -> OwnedTypedSet<K, V> {
        OwnedTypedSet { table, types: PhantomData }
    }

    /// The snapshot that it keeps.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        self.table.txn()
    }

    /// The table as one that borrows, with all that [`TypedSet`] has. O(1).
    pub fn as_set(&self) -> TypedSet<'_, K, V> {
        TypedSet::new(self.table.as_set())
    }

    /// The same table as bytes.
    pub fn as_bytes(&self) -> &OwnedSet {
        &self.table
    }

    /// As [`TypedSet::get`], with values that keep the snapshot.
    pub fn get(&self, key: K::Arg<'_>) -> Result<OwnedTypedValues<V>> {
        with_key::<K, _>(key, |key| self.table.get(key)).map(OwnedTypedValues::new)
    }

    /// As [`TypedSet::values`], with values that keep the snapshot.
    pub fn values<'v>(
        &self,
        key: K::Arg<'_>,
        values: impl RangeBounds<V::Arg<'v>>,
    ) -> Result<OwnedTypedValues<V>> {
        let values = bounds::<V>(&values);
        with_key::<K, _>(key, |key| self.table.values(key, values)).map(OwnedTypedValues::new)
    }

    /// As [`TypedSet::contains`].
    pub fn contains(&self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        self.as_set().contains(key, value)
    }

    /// As [`TypedSet::contains_key`].
    pub fn contains_key(&self, key: K::Arg<'_>) -> Result<bool> {
        self.as_set().contains_key(key)
    }

    /// As [`TypedSet::count`].
    pub fn count(&self, key: K::Arg<'_>) -> Result<u64> {
        self.as_set().count(key)
    }

    /// As [`TypedSet::len`].
    pub fn len(&self) -> u64 {
        self.table.len()
    }

    /// As [`TypedSet::key_count`].
    pub fn key_count(&self) -> u64 {
        self.table.key_count()
    }

    /// Whether the table has nothing.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// As [`TypedSet::pairs`], with pairs that keep the snapshot.
    pub fn pairs<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<OwnedTypedPairs<K, V>> {
        self.table.pairs(bounds::<K>(&keys)).map(OwnedTypedPairs::new)
    }

    /// The pairs of all keys that begin with these parts, or with this text: [`KeyPrefix`].
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<OwnedTypedPairs<K, V>> {
        with_prefix(prefix, |prefix| self.table.prefix(prefix)).map(OwnedTypedPairs::new)
    }

    /// All pairs.
    pub fn iter(&self) -> Result<OwnedTypedPairs<K, V>> {
        self.table.iter().map(OwnedTypedPairs::new)
    }

    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> OwnedTypedSetCursor<K, V> {
        let (cursor, scratch) = (self.table.cursor(), Scratch::default());
        OwnedTypedSetCursor { cursor, scratch, types: PhantomData }
    }
}

/// Pairs of a typed table of sets by key and then by value, from both ends, of a snapshot which
/// they keep: [`OwnedPairs`] with types, which cost the decoding besides. After an error it yields
/// nothing more.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{OwnedTypedPairs, SetDef};
/// use std::sync::Arc;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_set_mut(&TAGS)?.load([("a", 1), ("a", 2), ("b", 1)])?;
/// # txn.commit()?;
/// let mut pairs: OwnedTypedPairs<&str, u64> =
///     Arc::new(db.read()?).owned_typed_set(&TAGS)?.iter()?;
/// assert_eq!(pairs.next_back().transpose()?, Some(("b".to_owned(), 1)));
/// assert_eq!(pairs.txn().typed_set(&TAGS)?.len(), 3);
/// assert_eq!(pairs.count(), 2);
/// # Ok(()) }
/// ```
pub struct OwnedTypedPairs<K, V> {
    pairs: OwnedPairs,
    failed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Key> OwnedTypedPairs<K, V> {
    fn new(pairs: OwnedPairs) -> OwnedTypedPairs<K, V> {
        OwnedTypedPairs { pairs, failed: false, types: PhantomData }
    }

    /// The snapshot that they keep.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        self.pairs.txn()
    }
}

/// Values of one key in their order, from both ends, of a snapshot which they keep: [`OwnedValues`]
/// with a type. After an error it yields nothing more.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{OwnedTypedValues, SetDef};
/// use std::sync::Arc;
/// const VISITS: SetDef<&str, (u8, u8)> = SetDef::new("visits"); // month and day
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_set_mut(&VISITS)?.load([("ada", (1, 31)), ("ada", (2, 1)), ("ada", (2, 3))])?;
/// # txn.commit()?;
/// let visits = Arc::new(db.read()?).owned_typed_set(&VISITS)?;
/// let mut days: OwnedTypedValues<(u8, u8)> = visits.values("ada", (2, 0)..)?;
/// assert_eq!(days.set_len(), 3);
/// assert_eq!(days.next().transpose()?, Some((2, 1)));
/// assert_eq!(days.txn().typed_set(&VISITS)?.count("ada")?, 3);
/// # Ok(()) }
/// ```
pub struct OwnedTypedValues<V> {
    values: OwnedValues,
    failed: bool,
    types: PhantomData<fn() -> V>,
}

impl<V: Key> OwnedTypedValues<V> {
    fn new(values: OwnedValues) -> OwnedTypedValues<V> {
        OwnedTypedValues { values, failed: false, types: PhantomData }
    }

    /// The snapshot that they keep.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        self.values.txn()
    }

    /// Number of values that the key has, of which these may be a part. O(1).
    pub fn set_len(&self) -> u64 {
        self.values.set_len()
    }
}

/// A place among the pairs of a typed table of sets of a snapshot, which it keeps: an
/// [`OwnedSetCursor`] with types. Both are borrowed from the cursor until the next move.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// use std::sync::Arc;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_set_mut(&TAGS)?.load([("a", 1), ("a", 2), ("b", 1)])?;
/// # txn.commit()?;
/// let mut cursor = Arc::new(db.read()?).owned_typed_set(&TAGS)?.cursor();
/// assert_eq!(cursor.seek("a")?, Some(("a", 1)));
/// assert_eq!(cursor.next_key()?, Some(("b", 1)));
/// assert_eq!(cursor.prev()?, Some(("a", 2)));
/// assert_eq!(cursor.first()?, Some(("a", 1)));
/// assert_eq!(cursor.next_value()?, Some(("a", 2)));
/// assert_eq!(cursor.next()?, Some(("b", 1)));
/// assert_eq!(cursor.prev_key()?, Some(("a", 2)));
/// assert_eq!(cursor.prev_value()?, Some(("a", 1)));
/// assert_eq!(cursor.last_value()?, Some(("a", 2)));
/// assert_eq!(cursor.first_value()?, Some(("a", 1)));
/// assert_eq!(cursor.last()?, Some(("b", 1)));
/// assert_eq!(cursor.seek_back("az")?, Some(("a", 2)));
/// assert_eq!(cursor.seek_value("a", 0)?, Some(("a", 1)));
/// assert_eq!((cursor.count()?, cursor.table().len()), (2, 3));
/// assert_eq!(cursor.find("a", 9)?, None); // it stands where that would
/// assert_eq!(cursor.current()?, None);
/// # Ok(()) }
/// ```
///
/// Errors and costs as of [`TypedSetTableCursor`](crate::typed::TypedSetTableCursor). Used by one
/// thread at a time; it may be sent to another one.
pub struct OwnedTypedSetCursor<K, V> {
    cursor: OwnedSetCursor,
    scratch: Scratch,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Key> OwnedTypedSetCursor<K, V> {
    /// Its table, which keeps the snapshot as well. O(1).
    pub fn table(&self) -> OwnedTypedSet<K, V> {
        OwnedTypedSet::new(self.cursor.table().clone())
    }

    typed_set_moves! {}

    /// Number of values of the key that it stands on; 0 if it stands on none.
    pub fn count(&self) -> Result<u64> {
        self.cursor.count()
    }
}

decoding!(OwnedTypedValues<V>, values, V::Owned, |value| V::from_bytes(&value));
decoding!(OwnedTypedPairs<K, V>, pairs, (K::Owned, V::Owned), |(key, value)| {
    Ok((K::from_bytes(&key)?, V::from_bytes(&value)?))
});

cursors! {
    OwnedTypedSetCursor<>;
}

impl<K, V> Clone for OwnedTypedSet<K, V> {
    fn clone(&self) -> Self {
        OwnedTypedSet { table: self.table.clone(), types: PhantomData }
    }
}

impl<K: Key, V: Key> fmt::Debug for OwnedTypedSet<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedTypedSet")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .field("table", &self.table)
            .finish()
    }
}
