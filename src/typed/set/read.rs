//! Typed tables of sets for reading.

use super::range::{TypedPairs, TypedSetRange, TypedValues};
use crate::api::set::SetTable;
use crate::api::table::TableStats;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::key::prefix::KeyPrefix;
use crate::typed::table::encoded::{bounds, with_key, with_prefix, with_set_value};
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// A typed table whose keys have sets of values, as one transaction sees it, for reading. Cheap to
/// copy; may be used by several threads.
///
/// Whatever reads a key or a value gives [`Error::Decode`](crate::Error::Decode) where bytes are
/// none of its type, as after somebody has inserted them as bytes. Other errors, and what a call
/// costs, as in [`SetTable`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// const VISITS: SetDef<u32, (i64, &str)> = SetDef::new("visits"); // of a user: second and page
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut visits = txn.typed_set_mut(&VISITS)?;
/// visits.insert(7, (100, "/a"))?;
/// visits.insert(7, (200, "/b"))?;
/// visits.insert(8, (150, "/a"))?;
/// # txn.commit()?;
/// let txn = db.read()?;
/// let visits = txn.typed_set(&VISITS)?;
/// assert_eq!((visits.len(), visits.key_count(), visits.count(7)?), (3, 2, 2));
/// // The last one of a user, and those since then.
/// assert_eq!(visits.get(7)?.next_back().transpose()?, Some((200, "/b".into())));
/// assert_eq!(visits.values(7, (150, "")..)?.count(), 1);
/// assert_eq!(visits.pairs(8..)?.next().transpose()?, Some((8, (150, "/a".into()))));
/// assert!(visits.contains(8, (150, "/a"))? && visits.contains_key(8)? && !visits.is_empty());
/// for entry in visits.range(7..=7)? {
///     let (user, pages) = entry?;
///     assert_eq!((user, pages.set_len()), (7, 2));
/// }
/// assert_eq!((visits.iter()?.count(), visits.stats().pairs), (2, 3));
/// assert_eq!(visits.as_bytes().key_count(), 2);
/// assert_eq!(visits.first()?, Some((7, (100, "/a".into()))));
/// assert_eq!(visits.last()?, visits.pairs(..)?.next_back().transpose()?);
/// assert_eq!(visits.cursor().seek_back(7)?, Some((7, (200, "/b"))));
/// assert_eq!(visits.sequence(), 0); // it has given out no number
/// const BY_TAG: SetDef<(&str, u8), u32> = SetDef::new("by_tag");
/// assert!(txn.typed_set_opt(&BY_TAG)?.is_none());
/// # let mut txn = db.write()?;
/// # txn.typed_set_mut(&BY_TAG)?.insert(("rust", 2), 7)?;
/// # let by_tag = txn.typed_set(&BY_TAG)?;
/// assert_eq!(by_tag.prefix(("rust",))?.count(), 1);
/// # Ok(()) }
/// ```
pub struct TypedSet<'t, K, V> {
    table: SetTable<'t>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Key> TypedSet<'t, K, V> {
    pub(super) fn new(table: SetTable<'t>) -> TypedSet<'t, K, V> {
        TypedSet { table, types: PhantomData }
    }

    /// The same table as bytes.
    pub fn as_bytes(&self) -> SetTable<'t> {
        self.table
    }

    /// The values of a key; none if it is not there.
    pub fn get(&self, key: K::Arg<'_>) -> Result<TypedValues<'t, V>> {
        with_key::<K, _>(key, |key| self.table.get(key)).map(TypedValues::new)
    }

    /// Those of the values of a key that lie in a range.
    pub fn values<'v>(
        &self,
        key: K::Arg<'_>,
        values: impl RangeBounds<V::Arg<'v>>,
    ) -> Result<TypedValues<'t, V>> {
        let (start, end) = bounds::<V>(&values);
        with_key::<K, _>(key, |key| self.table.values(key, (start, end))).map(TypedValues::new)
    }

    /// Whether a key has a value.
    pub fn contains(&self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            with_set_value::<V, _>(value, |value| self.table.contains(key, value))
        })
    }

    /// Whether a key has any value.
    pub fn contains_key(&self, key: K::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| self.table.contains_key(key))
    }

    /// Number of values of a key. One descent, however many there are.
    pub fn count(&self, key: K::Arg<'_>) -> Result<u64> {
        with_key::<K, _>(key, |key| self.table.count(key))
    }

    /// Number of pairs: of values of all keys. O(1).
    pub fn len(&self) -> u64 {
        self.table.len()
    }

    /// Number of keys. O(1).
    pub fn key_count(&self) -> u64 {
        self.table.key_count()
    }

    /// Whether the table has nothing.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Shape and size of the table. O(1).
    pub fn stats(&self) -> TableStats {
        self.table.stats()
    }

    /// The keys of a range with their values, from either end.
    pub fn range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<TypedSetRange<'t, K, V>> {
        let (start, end) = bounds::<K>(&keys);
        self.table.range((start, end)).map(TypedSetRange::new)
    }

    /// The keys that begin with these parts, or with this text, with their values: [`KeyPrefix`].
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<TypedSetRange<'t, K, V>> {
        with_prefix(prefix, |prefix| self.table.prefix(prefix)).map(TypedSetRange::new)
    }

    /// All keys with their values.
    pub fn iter(&self) -> Result<TypedSetRange<'t, K, V>> {
        self.table.iter().map(TypedSetRange::new)
    }

    /// All pairs of the keys of a range, by key and then by value, from either end.
    pub fn pairs<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<TypedPairs<'t, K, V>> {
        let (start, end) = bounds::<K>(&keys);
        self.table.pairs((start, end)).map(TypedPairs::new)
    }

    /// The first pair.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.pairs(..)?.next().transpose()
    }

    /// The last pair.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.pairs(..)?.next_back().transpose()
    }
}

impl<K, V> Clone for TypedSet<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TypedSet<'_, K, V> {}

impl<K: Key, V: Key> fmt::Debug for TypedSet<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedSet")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .field("len", &self.len())
            .finish()
    }
}
