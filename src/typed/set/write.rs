//! Typed tables of sets of a write transaction.

use super::cursor::{Scratch, TypedSetCursor};
use super::id::TypedSetId;
use super::range::{TypedPairs, TypedSetRange, TypedValues};
use super::read::TypedSet;
use crate::api::set_mut::SetTableMut;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::key::prefix::KeyPrefix;
use crate::typed::table::encoded::{bounds, with_key, with_prefix, with_set_value};
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// A typed table whose keys have sets of values, to read and to change. Keys and values are limited
/// to [`Database::max_key_len`](crate::Database::max_key_len) bytes when they are encoded.
///
/// Errors of changes as in [`TableMut`](crate::TableMut).
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags"); // the articles of a tag
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut tags = txn.typed_set_mut(&TAGS)?;
/// assert!(tags.insert("rust", 7)? && tags.insert("rust", 3)?);
/// assert!(!tags.insert("rust", 3)?, "it is there");
/// assert!(tags.remove("rust", 7)?);
/// assert_eq!((tags.count("rust")?, tags.remove_all("rust")?), (1, 1));
/// txn.commit()?;
/// # Ok(()) }
/// ```
///
/// Used by one thread at a time. What a call costs is said in [`SetTableMut`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// use recto::typed::SetDef;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
/// let mut tags = txn.typed_set_mut(&TAGS)?;
/// assert_eq!(tags.load([("rust", 7), ("files", 7), ("rust", 3), ("logs", 1)])?.new, 4);
/// assert_eq!((tags.len(), tags.key_count(), tags.is_empty()), (4, 3, false));
/// assert!(tags.contains("rust", 3)? && tags.get("rust")?.count() == 2);
/// assert_eq!((tags.iter()?.count(), tags.range("l"..)?.count()), (3, 2));
/// assert_eq!((tags.pairs("l"..)?.count(), tags.prefix("f")?.count()), (3, 1));
/// assert_eq!((tags.values("rust", 4..)?.count(), tags.contains_key("files")?), (1, true));
/// assert_eq!(tags.first()?, tags.as_set().first()?);
/// assert_eq!(tags.last()?, Some(("rust".into(), 7)));
/// assert_eq!(tags.pop_last()?, Some(("rust".into(), 7)));
/// assert!(tags.insert("rust", 7)?);
/// assert_eq!((tags.delete_prefix("f")?, tags.delete_range("a".."m")?), (1, 1));
/// assert_eq!(tags.clear()?, 2);
/// tags.set_sequence(6)?;
/// assert_eq!((tags.take_sequence(3)?, tags.sequence()), (7..10, 9));
/// let (id, mut cursor) = (tags.id(), tags.cursor()); // to be used beside other tables
/// assert_eq!(cursor.first(&txn)?, None);
/// assert!(id.edit(&mut txn)?.into_bytes().is_empty());
/// # Ok(()) }
/// ```
pub struct TypedSetMut<'t, K, V> {
    table: SetTableMut<'t>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Key> TypedSetMut<'t, K, V> {
    pub(super) fn new(table: SetTableMut<'t>) -> TypedSetMut<'t, K, V> {
        TypedSetMut { table, types: PhantomData }
    }

    /// The same table as bytes.
    pub fn into_bytes(self) -> SetTableMut<'t> {
        self.table
    }

    pub(super) fn bytes_mut(&mut self) -> &mut SetTableMut<'t> {
        &mut self.table
    }

    /// Its id in this transaction, by which it is used beside other tables.
    pub fn id(&self) -> TypedSetId<K, V> {
        TypedSetId::new(self.table.id())
    }

    /// Inserts a value of a key; false, and nothing changed, if the key has it.
    pub fn insert(&mut self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            with_set_value::<V, _>(value, |value| self.table.insert(key, value))
        })
    }

    /// Removes a value of a key; false, and nothing changed, if the key does not have it.
    pub fn remove(&mut self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            with_set_value::<V, _>(value, |value| self.table.remove(key, value))
        })
    }

    /// Removes a key with all its values; how many there were.
    pub fn remove_all(&mut self, key: K::Arg<'_>) -> Result<u64> {
        with_key::<K, _>(key, |key| self.table.remove_all(key))
    }

    /// Removes all keys of a range with their values; how many pairs there were.
    pub fn delete_range<'k>(&mut self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<u64> {
        let (start, end) = bounds::<K>(&keys);
        self.table.delete_range((start, end))
    }

    /// Removes all keys that begin with these parts, or with this text, with their values; how many
    /// pairs there were.
    pub fn delete_prefix(&mut self, prefix: impl KeyPrefix<K>) -> Result<u64> {
        with_prefix(prefix, |prefix| self.table.delete_prefix(prefix))
    }

    /// Removes all pairs; how many there were. The table stays.
    pub fn clear(&mut self) -> Result<u64> {
        self.table.clear()
    }

    /// Takes the first pair out. A pair that cannot be decoded stays.
    ///
    /// Three descents.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::SetDef;
    /// const JOBS: SetDef<u8, &str> = SetDef::new("jobs"); // by priority
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut jobs = txn.typed_set_mut(&JOBS)?;
    /// jobs.insert(2, "sweep")?;
    /// jobs.insert(1, "repair")?;
    /// assert_eq!(jobs.pop_first()?, Some((1, "repair".into())));
    /// # Ok(()) }
    /// ```
    pub fn pop_first(&mut self) -> Result<Option<(K::Owned, V::Owned)>> {
        let pair = self.first()?;
        self.table.pop_first().map(|_| pair)
    }

    /// Takes the last pair out. A pair that cannot be decoded stays.
    ///
    /// Three descents.
    pub fn pop_last(&mut self) -> Result<Option<(K::Owned, V::Owned)>> {
        let pair = self.last()?;
        self.table.pop_last().map(|_| pair)
    }

    /// Keeps of the pairs of the keys of a range those for which `keep` is true; how many went. One
    /// that cannot be decoded ends it with an error: it stays, as does all behind it, and what went
    /// before it is gone.
    ///
    /// Two descents for each pair, which is decoded.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::SetDef;
    /// const SEEN: SetDef<&str, u64> = SetDef::new("seen"); // by whom, when
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut seen = txn.typed_set_mut(&SEEN)?;
    /// seen.load([("ada", 1), ("ada", 200), ("bob", 3)])?;
    /// assert_eq!(seen.retain(.., |_, second| second > 100)?, 2);
    /// assert_eq!(seen.first()?, Some(("ada".into(), 200)));
    /// # Ok(()) }
    /// ```
    pub fn retain<'k>(
        &mut self,
        keys: impl RangeBounds<K::Arg<'k>>,
        mut keep: impl FnMut(K::Ref<'_>, V::Ref<'_>) -> bool,
    ) -> Result<u64> {
        let (mut scratch, mut error) = (Scratch::default(), None);
        let gone = self.table.retain(bounds::<K>(&keys), |key, value| {
            if error.is_some() {
                return true;
            }
            match scratch.read::<K, V>(key, value) {
                Ok((key, value)) => keep(key, value),
                Err(e) => {
                    error = Some(e);
                    true
                }
            }
        })?;
        error.map_or(Ok(gone), Err)
    }

    /// A cursor that changes what it stands on; it borrows nothing.
    pub fn cursor(&self) -> TypedSetCursor<K, V> {
        TypedSetCursor::new(self.table.cursor())
    }

    /// The table as it stands now, for reading: with all that [`TypedSet`] has.
    pub fn as_set(&self) -> TypedSet<'_, K, V> {
        TypedSet::new(self.table.as_set())
    }

    /// As [`TypedSet::get`].
    pub fn get(&self, key: K::Arg<'_>) -> Result<TypedValues<'_, V>> {
        self.as_set().get(key)
    }

    /// As [`TypedSet::values`].
    pub fn values<'v>(
        &self,
        key: K::Arg<'_>,
        values: impl RangeBounds<V::Arg<'v>>,
    ) -> Result<TypedValues<'_, V>> {
        self.as_set().values(key, values)
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

    /// As [`TypedSet::range`].
    pub fn range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<TypedSetRange<'_, K, V>> {
        self.as_set().range(keys)
    }

    /// As [`TypedSet::prefix`].
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<TypedSetRange<'_, K, V>> {
        self.as_set().prefix(prefix)
    }

    /// As [`TypedSet::iter`].
    pub fn iter(&self) -> Result<TypedSetRange<'_, K, V>> {
        self.as_set().iter()
    }

    /// As [`TypedSet::pairs`].
    pub fn pairs<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<TypedPairs<'_, K, V>> {
        self.as_set().pairs(keys)
    }

    /// As [`TypedSet::first`].
    pub fn first(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.as_set().first()
    }

    /// As [`TypedSet::last`].
    pub fn last(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.as_set().last()
    }
}

impl<K: Key, V: Key> fmt::Debug for TypedSetMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedSetMut")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .field("len", &self.len())
            .finish()
    }
}
