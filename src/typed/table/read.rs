//! Typed tables for reading.

use super::cursor::TypedTableCursor;
use super::encoded::{bounds, with_key, with_prefix};
use super::range::{TypedRange, TypedTableIter};
use crate::api::table::{Table, TableStats};
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::key::prefix::KeyPrefix;
use crate::typed::value::Value;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// A typed table as one transaction sees it, for reading. Cheap to copy; may be used by several
/// threads. Values are borrowed from the transaction and cannot outlive it.
///
/// Whatever reads a key or a value gives [`Error::Decode`](crate::Error::Decode) where bytes are
/// none of its type, as after somebody has put them as bytes. Other errors, and what a call costs,
/// as in [`Table`]: one descent of the tree, O(log *n*), where it is not said otherwise, and the
/// encoding of the key.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const SAMPLES: TableDef<(u32, i64), f64> = TableDef::new("samples"); // sensor and second
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut samples = txn.typed_mut(&SAMPLES)?;
/// for second in -2..=2 {
///     samples.put((7, second), second as f64 / 2.0)?;
///     samples.put((8, second), 0.0)?;
/// }
/// # txn.commit()?;
/// let txn = db.read()?;
/// let samples = txn.typed(&SAMPLES)?;
/// assert_eq!(samples.len(), 10);
/// assert_eq!(samples.get((7, -1))?, Some(-0.5));
/// assert_eq!(samples.prefix((7,))?.count(), 5);
/// assert_eq!(samples.range((7, -1)..(7, 2))?.count(), 3);
/// // The newest one of a sensor.
/// assert_eq!(samples.prefix((7,))?.next_back().transpose()?, Some(((7, 2), 1.0)));
/// assert!(samples.contains_key((8, 0))? && !samples.is_empty());
/// assert_eq!(samples.first()?, samples.iter()?.next().transpose()?);
/// assert_eq!(samples.last()?, samples.cursor().last()?);
/// assert_eq!(samples.keys()?.next().transpose()?, Some((7, -2)));
/// assert_eq!(samples.values()?.next().transpose()?, Some(-1.0));
/// assert_eq!(samples.at_or_before((7, 9))?.map(|(key, _)| key), Some((7, 2)));
/// assert_eq!(samples.before((7, -2))?, None);
/// assert_eq!(samples.after((7, 2))?.map(|(key, _)| key), Some((8, -2)));
/// assert_eq!(samples.as_bytes().len(), samples.stats().entries);
/// assert_eq!((samples.estimate_range(..)?, samples.sample(3, 1)?.len()), (10, 3));
/// assert_eq!(samples.split_range(.., 2)?.len(), 1); // a key that cuts it into two
/// assert_eq!(samples.sequence(), 0); // it has given out no number
/// # Ok(()) }
/// ```
pub struct TypedTable<'t, K, V> {
    table: Table<'t>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Value> TypedTable<'t, K, V> {
    #[inline]
    pub(super) fn new(table: Table<'t>) -> TypedTable<'t, K, V> {
        TypedTable { table, types: PhantomData }
    }

    /// The same table as bytes.
    pub fn as_bytes(&self) -> Table<'t> {
        self.table
    }

    /// The value of a key. One descent of the tree.
    #[inline]
    pub fn get(&self, key: K::Arg<'_>) -> Result<Option<V::Ref<'t>>> {
        with_key::<K, _>(key, |key| self.table.get(key))?.map(V::decode).transpose()
    }

    /// The values of many keys, in the order of the keys, which are looked up side by side: as
    /// [`Table::get_many`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut ages = txn.typed_mut(&AGES)?;
    /// ages.put("Ada", 36)?;
    /// assert_eq!(ages.as_table().get_many(["Ada", "Bob"])?, [Some(36), None]);
    /// # Ok(()) }
    /// ```
    pub fn get_many<'k>(
        &self,
        keys: impl IntoIterator<Item = K::Arg<'k>>,
    ) -> Result<Vec<Option<V::Ref<'t>>>> {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for key in keys {
            K::encode(key, &mut bytes);
            ends.push(bytes.len());
        }
        let keys: Vec<&[u8]> = ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let values = self.table.get_many(&keys)?;
        values.into_iter().map(|value| value.map(V::decode).transpose()).collect()
    }

    /// Whether the table has a key.
    pub fn contains_key(&self, key: K::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| self.table.contains_key(key))
    }

    /// Number of keys. O(1).
    pub fn len(&self) -> u64 {
        self.table.len()
    }

    /// Whether the table has no key.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Shape and size of the table. O(1).
    pub fn stats(&self) -> TableStats {
        self.table.stats()
    }

    /// All pairs of a range in the order of the keys; walk it from either end. Bounds the wrong way
    /// round hold no key.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// use std::ops::Bound::*;
    /// const SQUARES: TableDef<i32, u32> = TableDef::new("squares");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut squares = txn.typed_mut(&SQUARES)?;
    /// for n in -5..5i32 {
    ///     squares.put(n, n.unsigned_abs().pow(2))?;
    /// }
    /// assert_eq!(squares.range(-1..=2)?.count(), 4);
    /// assert_eq!(squares.range(..0)?.rev().next().transpose()?, Some((-1, 1)));
    /// assert_eq!(squares.range((Excluded(3), Unbounded))?.values().next().transpose()?, Some(16));
    /// # Ok(()) }
    /// ```
    pub fn range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<TypedRange<'t, K, V>> {
        let (start, end) = bounds::<K>(&keys);
        self.table.range((start, end)).map(TypedRange::new)
    }

    /// All pairs whose key begins with these parts, or with this text: [`KeyPrefix`].
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<TypedRange<'t, K, V>> {
        with_prefix(prefix, |prefix| self.table.prefix(prefix)).map(TypedRange::new)
    }

    /// All pairs.
    pub fn iter(&self) -> Result<TypedRange<'t, K, V>> {
        self.table.iter().map(TypedRange::new)
    }

    /// All keys.
    pub fn keys(&self) -> Result<super::range::Keys<'t, K, V>> {
        self.iter().map(TypedRange::keys)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> Result<super::range::Values<'t, K, V>> {
        self.iter().map(TypedRange::values)
    }

    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> TypedTableCursor<'t, K, V> {
        TypedTableCursor::new(self.table.cursor())
    }

    /// The pair with the smallest key.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Ref<'t>)>> {
        self.iter()?.next().transpose()
    }

    /// The pair with the greatest key.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Ref<'t>)>> {
        self.iter()?.next_back().transpose()
    }
}

/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.typed_mut(&AGES)?.put("Ada", 36)?;
/// # txn.commit()?;
/// # let txn = db.read()?;
/// for pair in &txn.typed(&AGES)? {
///     let (name, age) = pair?;
///     println!("{name} is {age}");
/// }
/// # Ok(()) }
/// ```
impl<'t, K: Key, V: Value> IntoIterator for &TypedTable<'t, K, V> {
    type Item = Result<(K::Owned, V::Ref<'t>)>;
    type IntoIter = TypedTableIter<'t, K, V>;

    /// As [`TypedTable::iter`]; what that says comes as the first item.
    fn into_iter(self) -> TypedTableIter<'t, K, V> {
        TypedTableIter::new(self.iter())
    }
}

impl<K, V> Clone for TypedTable<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TypedTable<'_, K, V> {}

impl<K: Key, V: Value> fmt::Debug for TypedTable<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedTable")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .field("len", &self.len())
            .finish()
    }
}
