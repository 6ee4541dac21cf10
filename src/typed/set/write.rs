//! Typed tables of sets of a write transaction.

use super::id::TypedSetId;
use super::range::TypedValues;
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
/// assert_eq!(tags.as_set().pairs(..)?.count(), 4);
/// assert_eq!((tags.delete_prefix("f")?, tags.delete_range("a".."m")?), (1, 1));
/// assert_eq!(tags.clear()?, 2);
/// tags.set_sequence(6)?;
/// assert_eq!((tags.take_sequence(3)?, tags.sequence()), (7..10, 9));
/// let id = tags.id(); // to be used beside other tables
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

    /// The table as it stands now, for reading: with all that [`TypedSet`] has.
    pub fn as_set(&self) -> TypedSet<'_, K, V> {
        TypedSet::new(self.table.as_set())
    }

    /// As [`TypedSet::get`].
    pub fn get(&self, key: K::Arg<'_>) -> Result<TypedValues<'_, V>> {
        self.as_set().get(key)
    }

    /// As [`TypedSet::contains`].
    pub fn contains(&self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        self.as_set().contains(key, value)
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
