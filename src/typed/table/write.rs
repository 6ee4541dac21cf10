//! Typed tables of a write transaction: what is read and changed in place.

use super::cursor::TypedCursor;
use super::encoded::{bounds, with_key, with_prefix, with_value};
use super::id::TypedId;
use super::range::TypedRange;
use super::read::TypedTable;
use crate::api::table_mut::TableMut;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::key::prefix::KeyPrefix;
use crate::typed::value::Value;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// A typed table of a write transaction, to read and to change.
///
/// Keys are limited to [`Database::max_key_len`](crate::Database::max_key_len) bytes when they are
/// encoded; a longer one is [`Error::KeyTooLong`](crate::Error::KeyTooLong). Codecs may refuse a
/// value with [`Error::Encode`](crate::Error::Encode). What reads gives
/// [`Error::Decode`](crate::Error::Decode) where bytes are none of its type.
///
/// Other errors of changes as in [`TableMut`]. Used by one thread at a time.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const STOCK: TableDef<(&str, u8), u64> = TableDef::new("stock"); // article and size
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut stock = txn.typed_mut(&STOCK)?;
/// stock.put(("pear", 3), 10)?;
/// assert_eq!(stock.replace(("pear", 3), 12)?, Some(10));
/// stock.update(("pear", 4), |pieces| Some(pieces.unwrap_or(0) + 1))?;
/// assert_eq!(stock.range(("pear", 0)..=("pear", 3))?.count(), 1);
/// assert_eq!(stock.take(("pear", 4))?, Some(1));
/// assert_eq!(stock.pop_first()?, Some((("pear".into(), 3), 12)));
/// txn.commit()?;
/// # Ok(()) }
/// ```
///
/// What reads from it is borrowed, and cannot be held over a change:
///
/// ```compile_fail,E0502
/// # fn main() -> recto::Result<()> {
/// # use recto::typed::TableDef;
/// # let db = recto::Database::in_memory()?;
/// const NAMES: TableDef<u32, &str> = TableDef::new("names");
/// let mut txn = db.write()?;
/// let mut names = txn.typed_mut(&NAMES)?;
/// let first = names.get(1)?;
/// names.put(2, "Kurt")?;
/// println!("{first:?}");
/// # Ok(()) }
/// ```
///
/// What [`TypedTable`] has it has too, as the table stands now. What a call costs is said in
/// [`TableMut`]; each encodes its key, in a buffer that is used again.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// use recto::typed::TableDef;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
///
/// let mut ages = txn.typed_mut(&AGES)?;
/// assert!(ages.put_if_absent("Ada", 35)? && !ages.put_if_absent("Ada", 7)?);
/// assert!(ages.compare_and_swap("Ada", Some(35), Some(36))?);
/// ages.append("Bob", 7)?; // behind all others
/// ages.append("Kurt", 71)?;
/// assert!(ages.contains_key("Ada")? && !ages.is_empty() && ages.len() == 3);
/// assert_eq!(ages.get("Ada")?, ages.as_table().get("Ada")?);
/// assert_eq!(ages.first()?, Some(("Ada".into(), 36)));
/// assert_eq!(ages.last()?, Some(("Kurt".into(), 71)));
/// assert_eq!(ages.at_or_after("B")?, ages.after("Ada")?);
/// assert_eq!(ages.at_or_before("B")?, ages.before("Bob")?);
/// assert_eq!((ages.iter()?.count(), ages.prefix("K")?.count()), (3, 1));
/// assert_eq!((ages.count_range("B"..)?, ages.estimate_range(..)?), (2, 3));
/// assert_eq!((ages.split_range(.., 1)?.len(), ages.sample(5, 1)?.len()), (0, 5));
/// assert!(ages.delete("Ada")?);
/// assert_eq!(ages.pop_last()?, Some(("Kurt".into(), 71)));
/// assert_eq!((ages.delete_prefix("X")?, ages.delete_range("A".."B")?, ages.clear()?), (0, 0, 1));
/// ages.set_sequence(6)?;
/// assert_eq!((ages.take_sequence(3)?, ages.sequence()), (7..10, 9));
/// let (id, mut cursor) = (ages.id(), ages.cursor()); // to be used beside other tables
/// assert_eq!(cursor.first(&txn)?, None);
/// assert!(id.edit(&mut txn)?.into_bytes().is_empty());
/// # Ok(()) }
/// ```
pub struct TypedTableMut<'t, K, V> {
    table: TableMut<'t>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Value> TypedTableMut<'t, K, V> {
    pub(super) fn new(table: TableMut<'t>) -> TypedTableMut<'t, K, V> {
        TypedTableMut { table, types: PhantomData }
    }

    /// The same table as bytes.
    pub fn into_bytes(self) -> TableMut<'t> {
        self.table
    }

    pub(super) fn bytes_mut(&mut self) -> &mut TableMut<'t> {
        &mut self.table
    }

    /// Its id in this transaction, by which it is used beside other tables.
    pub fn id(&self) -> TypedId<K, V> {
        TypedId::new(self.table.id())
    }

    /// Inserts the pair, or replaces the value; true if the key was there.
    #[inline]
    pub fn put(&mut self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| with_value::<V, _>(value, |value| self.table.put(key, value)))
    }

    /// As [`TypedTableMut::put`], but gives the value that was replaced. Two descents.
    pub fn replace(&mut self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<Option<V::Owned>> {
        let before = self.owned(key)?;
        self.put(key, value)?;
        Ok(before)
    }

    /// Puts a pair whose key is not there; false, and nothing changed, if it is.
    pub fn put_if_absent(&mut self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            with_value::<V, _>(value, |value| self.table.put_if_absent(key, value))
        })
    }

    /// Puts a pair behind all others; [`Error::OutOfOrder`](crate::Error::OutOfOrder), and nothing
    /// changed, if its key is not above the last one.
    pub fn append(&mut self, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<()> {
        with_key::<K, _>(key, |key| {
            with_value::<V, _>(value, |value| self.table.append(key, value))
        })
    }

    /// Removes the pair; true if the key was there.
    #[inline]
    pub fn delete(&mut self, key: K::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| self.table.delete(key))
    }

    /// Takes the pair out, and gives its value. Two descents.
    pub fn take(&mut self, key: K::Arg<'_>) -> Result<Option<V::Owned>> {
        let before = self.owned(key)?;
        if before.is_some() {
            self.delete(key)?;
        }
        Ok(before)
    }

    fn owned(&self, key: K::Arg<'_>) -> Result<Option<V::Owned>> {
        with_key::<K, _>(key, |key| self.table.get(key)?.map(V::decode_owned).transpose())
    }

    /// Gives a key the value that `new` makes of the one it has, if any: None takes it out. The
    /// value that it has now. Two descents.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const NOTES: TableDef<u32, &str> = TableDef::new("notes");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut notes = txn.typed_mut(&NOTES)?;
    /// notes.put(1, "begin")?;
    /// notes.update(1, |old| old.map(|text| format!("{text}, go on")))?;
    /// assert_eq!(notes.get(1)?, Some("begin, go on"));
    /// notes.update(1, |_| None)?;
    /// assert!(notes.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn update(
        &mut self,
        key: K::Arg<'_>,
        new: impl FnOnce(Option<V::Ref<'_>>) -> Option<V::Owned>,
    ) -> Result<Option<V::Owned>> {
        with_key::<K, _>(key, |key| {
            let before = self.table.get(key)?;
            let was_there = before.is_some();
            let value = new(before.map(V::decode).transpose()?);
            match &value {
                Some(value) => {
                    with_value::<V, _>(V::arg(value), |value| self.table.put(key, value))?;
                }
                None if was_there => drop(self.table.delete(key)?),
                None => {}
            }
            Ok(value)
        })
    }

    /// Gives a key another value, or takes it out (None), if it has this one now (None: it is not
    /// there); false, and nothing changed, if it has another. Values are compared as they are
    /// encoded.
    ///
    /// Two descents.
    pub fn compare_and_swap(
        &mut self,
        key: K::Arg<'_>,
        expected: Option<V::Arg<'_>>,
        new: Option<V::Arg<'_>>,
    ) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            let there = self.table.get(key)?;
            let as_expected = match expected {
                Some(value) => with_value::<V, _>(value, |value| Ok(there == Some(value)))?,
                None => there.is_none(),
            };
            match new {
                _ if !as_expected => {}
                Some(value) => {
                    with_value::<V, _>(value, |value| self.table.put(key, value))?;
                }
                None if expected.is_some() => drop(self.table.delete(key)?),
                None => {}
            }
            Ok(as_expected)
        })
    }

    /// Takes the pair with the smallest key out. A pair that cannot be decoded stays.
    ///
    /// Two descents.
    pub fn pop_first(&mut self) -> Result<Option<(K::Owned, V::Owned)>> {
        let pair = self.table.first()?.map(|(key, value)| (key.into_vec(), value.to_vec()));
        self.take_out(pair)
    }

    /// Takes the pair with the greatest key out. A pair that cannot be decoded stays.
    ///
    /// Two descents.
    pub fn pop_last(&mut self) -> Result<Option<(K::Owned, V::Owned)>> {
        let pair = self.table.last()?.map(|(key, value)| (key.into_vec(), value.to_vec()));
        self.take_out(pair)
    }

    fn take_out(
        &mut self,
        pair: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Option<(K::Owned, V::Owned)>> {
        let Some((key, value)) = pair else { return Ok(None) };
        let pair = (K::from_bytes(&key)?, V::decode_owned(&value)?);
        self.table.delete(&key)?;
        Ok(Some(pair))
    }

    /// Removes all pairs of a range; how many there were. Whole subtrees go at once: as
    /// [`TableMut::delete_range`].
    pub fn delete_range<'k>(&mut self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<u64> {
        let (start, end) = bounds::<K>(&keys);
        self.table.delete_range((start, end))
    }

    /// Removes all pairs whose key begins with these parts, or with this text; how many there were.
    ///
    /// As [`TypedTableMut::delete_range`].
    pub fn delete_prefix(&mut self, prefix: impl KeyPrefix<K>) -> Result<u64> {
        with_prefix(prefix, |prefix| self.table.delete_prefix(prefix))
    }

    /// Removes all pairs; how many there were. The table stays.
    ///
    /// As [`TableMut::clear`].
    pub fn clear(&mut self) -> Result<u64> {
        self.table.clear()
    }

    /// Keeps of the pairs of a range those for which `keep` is true; how many went. One that cannot
    /// be decoded ends it with an error: it stays, as does all behind it, and what went before it
    /// is gone.
    ///
    /// Each pair is decoded; a pair that goes costs a deletion more.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const SESSIONS: TableDef<&str, u64> = TableDef::new("sessions"); // until when
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut sessions = txn.typed_mut(&SESSIONS)?;
    /// sessions.put("a", 100)?;
    /// sessions.put("b", 200)?;
    /// assert_eq!(sessions.retain(.., |_, until| until > 150)?, 1);
    /// assert_eq!(sessions.first()?, Some(("b".into(), 200)));
    /// # Ok(()) }
    /// ```
    pub fn retain<'k>(
        &mut self,
        keys: impl RangeBounds<K::Arg<'k>>,
        mut keep: impl FnMut(K::Ref<'_>, V::Ref<'_>) -> bool,
    ) -> Result<u64> {
        let (start, end) = bounds::<K>(&keys);
        let (mut scratch, mut error) = (Vec::new(), None);
        let gone = self.table.retain((start, end), |key, value| {
            if error.is_some() {
                return true;
            }
            let pair = K::read(key, &mut scratch).and_then(|key| Ok((key, V::decode(value)?)));
            match pair {
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
    pub fn cursor(&self) -> TypedCursor<K, V> {
        TypedCursor::new(self.table.cursor())
    }

    /// The table as it stands now, for reading: with all that [`TypedTable`] has.
    #[inline]
    pub fn as_table(&self) -> TypedTable<'_, K, V> {
        TypedTable::new(self.table.as_table())
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

    /// As [`TypedTable::range`].
    pub fn range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<TypedRange<'_, K, V>> {
        self.as_table().range(keys)
    }

    /// As [`TypedTable::prefix`].
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<TypedRange<'_, K, V>> {
        self.as_table().prefix(prefix)
    }

    /// As [`TypedTable::iter`].
    pub fn iter(&self) -> Result<TypedRange<'_, K, V>> {
        self.as_table().iter()
    }

    /// As [`TypedTable::first`].
    pub fn first(&self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.as_table().first()
    }

    /// As [`TypedTable::last`].
    pub fn last(&self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.as_table().last()
    }
}

impl<K: Key, V: Value> fmt::Debug for TypedTableMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedTableMut")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .field("len", &self.len())
            .finish()
    }
}
