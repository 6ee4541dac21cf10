//! Tables of sets in a write transaction.

use super::key_range::KeyRange;
use super::set::{Pairs, SetRange, SetTable, Values};
use super::table::{Source, after_prefix};
use crate::error::{Error, Result};
use crate::tree::Key;
use crate::txn::write::{TableId, Writer};
use std::fmt;
use std::ops::Bound;

/// A table whose keys have sets of values, to read and to change.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut by_city = txn.open_set("by_city")?;
/// assert!(by_city.insert(b"Oslo", b"ada")?);
/// assert!(by_city.insert(b"Oslo", b"bob")?);
/// assert!(!by_city.insert(b"Oslo", b"ada")?, "it is there");
/// assert!(by_city.remove(b"Oslo", b"bob")?);
/// assert_eq!(by_city.remove_all(b"Oslo")?, 1);
/// assert!(by_city.is_empty());
/// # Ok(()) }
/// ```
///
/// Used by one thread at a time. Errors of every change as in [`TableMut`](crate::TableMut).
///
/// What [`SetTable`] has it has too, as the table stands now; and calls that change a whole range:
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// let mut by_city = txn.open_set("by_city")?;
/// for (city, name) in [("Bergen", "cyd"), ("Oslo", "ada"), ("Oslo", "bob"), ("Turku", "dan")] {
///     by_city.insert(city.as_bytes(), name.as_bytes())?;
/// }
/// assert_eq!((by_city.len(), by_city.key_count(), by_city.count(b"Oslo")?), (4, 3, 2));
/// assert!(by_city.contains(b"Oslo", b"ada")? && by_city.contains_key(b"Turku")?);
/// assert_eq!(by_city.get(b"Oslo")?.count() + by_city.values(b"Oslo", "b"..)?.count(), 3);
/// assert_eq!((by_city.iter()?.count(), by_city.range("O"..)?.count()), (3, 2));
/// assert_eq!((by_city.pairs("O"..)?.count(), by_city.prefix(b"B")?.count()), (3, 1));
/// assert_eq!(by_city.first()?.unwrap().1, &b"cyd"[..]);
/// assert_eq!(by_city.last()?, by_city.as_set().last()?);
/// assert_eq!(by_city.pop_last()?, Some((b"Turku".to_vec(), b"dan".to_vec())));
/// assert_eq!((by_city.delete_prefix(b"B")?, by_city.delete_range("P"..)?), (1, 0));
/// assert_eq!(by_city.clear()?, 2);
/// by_city.set_sequence(6)?;
/// assert_eq!((by_city.take_sequence(3)?, by_city.sequence()), (7..10, 9));
/// let by_city = by_city.id(); // to be used beside other tables
/// assert!(txn.view_set(by_city)?.is_empty());
/// # Ok(()) }
/// ```
pub struct SetTableMut<'t> {
    writer: &'t mut Writer,
    index: usize,
}

impl<'t> SetTableMut<'t> {
    pub(super) fn new(writer: &'t mut Writer, index: usize) -> SetTableMut<'t> {
        SetTableMut { writer, index }
    }

    /// Inserts a value of a key; false, and nothing changed, if the key has it. The value is as
    /// long as a key at most ([`Database::max_key_len`](crate::Database::max_key_len)), and exactly
    /// as long as the table says where it says so: else
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument).
    ///
    /// One descent of the tree, and one of the tree of the values where they are many.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.writer.insert_pair(self.index, key, value)
    }

    /// Removes a value of a key; false, and nothing changed, if the key does not have it. A key is
    /// there as long as it has values.
    ///
    /// As much as [`SetTableMut::insert`].
    pub fn remove(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.writer.remove_pair(self.index, key, value)
    }

    /// Removes a key with all its values; how many there were. Reads the whole tree of them, where
    /// they are many.
    pub fn remove_all(&mut self, key: &[u8]) -> Result<u64> {
        let before = self.len();
        self.writer.delete(self.index, key)?;
        Ok(before - self.len())
    }

    /// Removes all keys of a range with their values; how many pairs there were.
    ///
    /// Whole subtrees go at once, as in [`TableMut::delete_range`](crate::TableMut::delete_range);
    /// but the trees of values are read.
    pub fn delete_range(&mut self, keys: impl KeyRange) -> Result<u64> {
        let (start, end) = keys.bounds();
        let before = self.len();
        self.writer.delete_range(self.index, start, end)?;
        Ok(before - self.len())
    }

    /// Removes all keys that begin with `prefix`, with their values; how many pairs there were.
    ///
    /// As [`SetTableMut::delete_range`].
    pub fn delete_prefix(&mut self, prefix: &[u8]) -> Result<u64> {
        match after_prefix(self.writer.table(self.index).order, prefix)? {
            Some(end) => self.delete_range(prefix..&end),
            None => self.delete_range(prefix..),
        }
    }

    /// Removes all pairs; how many there were. The table stays.
    ///
    /// It costs what [`SetTableMut::delete_range`] does.
    pub fn clear(&mut self) -> Result<u64> {
        self.delete_range(..)
    }

    /// Takes the first pair out.
    ///
    /// Two descents.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut jobs = txn.open_set("jobs")?; // by priority
    /// jobs.insert(b"2", b"sweep")?;
    /// jobs.insert(b"1", b"repair")?;
    /// assert_eq!(jobs.pop_first()?, Some((b"1".to_vec(), b"repair".to_vec())));
    /// # Ok(()) }
    /// ```
    pub fn pop_first(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let pair = self.first()?.map(|(key, value)| (key.into_vec(), value.into_vec()));
        self.take_out(pair)
    }

    /// Takes the last pair out.
    ///
    /// Two descents.
    pub fn pop_last(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let pair = self.last()?.map(|(key, value)| (key.into_vec(), value.into_vec()));
        self.take_out(pair)
    }

    fn take_out(&mut self, pair: Option<(Vec<u8>, Vec<u8>)>) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        match &pair {
            Some((key, value)) if !self.remove(key, value)? => Err(self.out_of_order()),
            _ => Ok(pair),
        }
    }

    /// Keeps of the pairs of the keys of a range those for which `keep` is true; how many went.
    /// Two descents for each pair.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut seen = txn.open_set("seen")?;
    /// for n in 0..100u8 {
    ///     seen.insert(&[n % 5], &[n])?;
    /// }
    /// assert_eq!(seen.retain([1]..[3], |_, value| value[0] < 50)?, 20);
    /// assert_eq!((seen.len(), seen.key_count()), (80, 5));
    /// # Ok(()) }
    /// ```
    pub fn retain(
        &mut self,
        keys: impl KeyRange,
        mut keep: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        let (start, end) = keys.bounds();
        let before = self.len();
        let order = self.writer.table(self.index).order;
        let mut left = before;
        // In a damaged table what stands behind may be what was there before, for ever.
        let mut last_key: Option<Vec<u8>> = None;
        while let Some(key) =
            self.first_key((last_key.as_deref().map_or(start, Bound::Excluded), end))?
        {
            if last_key.is_some_and(|last| order.compare(&last, &key).is_ge()) {
                return Err(self.out_of_order());
            }
            let mut last: Option<Vec<u8>> = None;
            while let Some(value) = self.first_value(&key, last.as_deref())? {
                if last.is_some_and(|last| last >= value) {
                    return Err(self.out_of_order());
                }
                // A function that is no order may lead round and round.
                left = left.checked_sub(1).ok_or_else(|| self.out_of_order())?;
                if !keep(&key, &value) {
                    self.remove(&key, &value)?;
                }
                last = Some(value);
            }
            last_key = Some(key);
        }
        Ok(before - self.len())
    }

    /// The transaction, and where this table stands among its open ones.
    pub(super) fn parts(&mut self) -> (&mut Writer, usize) {
        (self.writer, self.index)
    }

    fn first_key(&self, keys: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Option<Vec<u8>>> {
        let next = self.range(keys)?.next().transpose()?;
        Ok(next.map(|(key, _)| key.into_vec()))
    }

    fn out_of_order(&self) -> Error {
        self.writer.out_of_order(self.index)
    }

    fn first_value(&self, key: &[u8], behind: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.values(key, (from, Bound::Unbounded))?.next().transpose()?;
        Ok(next.map(Key::into_vec))
    }

    /// Its id in this transaction, by which it is used beside other tables
    /// ([`WriteTxn::view_set`](crate::WriteTxn::view_set)).
    pub fn id(&self) -> TableId {
        self.writer.id_of(self.index)
    }

    /// The table as it stands now, for reading.
    pub fn as_set(&self) -> SetTable<'_> {
        SetTable::new(Source::Writer(self.writer), *self.writer.table(self.index))
    }

    /// As [`SetTable::get`].
    pub fn get(&self, key: &[u8]) -> Result<Values<'_>> {
        self.as_set().get(key)
    }

    /// As [`SetTable::values`].
    pub fn values(&self, key: &[u8], values: impl KeyRange) -> Result<Values<'_>> {
        self.as_set().values(key, values)
    }

    /// As [`SetTable::contains`].
    pub fn contains(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.as_set().contains(key, value)
    }

    /// As [`SetTable::contains_key`].
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        self.as_set().contains_key(key)
    }

    /// As [`SetTable::count`].
    pub fn count(&self, key: &[u8]) -> Result<u64> {
        self.as_set().count(key)
    }

    /// As [`SetTable::len`]. After an operation that failed half-way it means nothing, as
    /// [`TableMut::len`](crate::TableMut::len).
    pub fn len(&self) -> u64 {
        self.as_set().len()
    }

    /// As [`SetTable::key_count`].
    pub fn key_count(&self) -> u64 {
        self.as_set().key_count()
    }

    /// Whether the table has nothing.
    pub fn is_empty(&self) -> bool {
        self.as_set().is_empty()
    }

    /// As [`SetTable::range`].
    pub fn range(&self, keys: impl KeyRange) -> Result<SetRange<'_>> {
        self.as_set().range(keys)
    }

    /// As [`SetTable::prefix`].
    pub fn prefix(&self, prefix: &[u8]) -> Result<SetRange<'_>> {
        self.as_set().prefix(prefix)
    }

    /// As [`SetTable::iter`].
    pub fn iter(&self) -> Result<SetRange<'_>> {
        self.as_set().iter()
    }

    /// As [`SetTable::pairs`].
    pub fn pairs(&self, keys: impl KeyRange) -> Result<Pairs<'_>> {
        self.as_set().pairs(keys)
    }

    /// As [`SetTable::first`].
    pub fn first(&self) -> Result<Option<(Key<'_>, Key<'_>)>> {
        self.as_set().first()
    }

    /// As [`SetTable::last`].
    pub fn last(&self) -> Result<Option<(Key<'_>, Key<'_>)>> {
        self.as_set().last()
    }
}

impl fmt::Debug for SetTableMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetTableMut").field("id", &self.id()).field("len", &self.len()).finish()
    }
}
