//! Tables of a write transaction: what is read and changed in place.

use super::cursor::Cursor;
use super::key_range::KeyRange;
use super::table::{Range, Source, Table, after_prefix};
use super::walk::Walk;
use crate::error::{Error, Result};
use crate::tree::Key;
use crate::txn::write::{TableId, Writer};
use std::fmt;

/// A table of a write transaction, to read and to change.
///
/// Changes copy the pages on the way to the root the first time the transaction touches them: O(log
/// *n*). Used by one thread at a time.
///
/// Errors of every change: [`Error::KeyTooLong`](crate::Error::KeyTooLong);
/// [`Error::DiskFull`](crate::Error::DiskFull) and
/// [`Error::DatabaseFull`](crate::Error::DatabaseFull), after which the transaction can only be
/// dropped, or rolled back to a savepoint;
/// [`Error::TransactionBroken`](crate::Error::TransactionBroken) from then on; and
/// [`Error::Corrupt`](crate::Error::Corrupt).
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut stock = txn.open_table("stock")?;
/// assert!(!stock.put(b"pear", b"3")?); // it was not there
/// assert_eq!(stock.replace(b"pear", b"4")?, Some(b"3".to_vec()));
/// assert!(!stock.put_if_absent(b"pear", b"5")?);
/// assert!(stock.compare_and_swap(b"pear", Some(b"4"), Some(b"6"))?);
/// stock.append(b"plum", b"1")?; // behind all others
/// assert_eq!(stock.get(b"pear")?, Some(&b"6"[..]));
/// assert_eq!(stock.pop_last()?, Some((b"plum".to_vec(), b"1".to_vec())));
/// assert!(stock.delete(b"pear")? && stock.is_empty());
/// txn.commit()?;
/// # Ok(()) }
/// ```
///
/// What was read from it is borrowed, and cannot be held over a change:
///
/// ```compile_fail,E0502
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut table = txn.open_table("main")?;
/// let value = table.get(b"key")?;
/// table.put(b"key", b"other")?;
/// println!("{value:?}");
/// # Ok(()) }
/// ```
///
/// What [`Table`] has it has too, as the table stands now; and calls that change a whole range:
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// let mut ages = txn.open_table("ages")?;
/// for (name, age) in [("ada", 36u8), ("bob", 7), ("cyd", 71), ("dan", 71)] {
///     ages.put(name.as_bytes(), &[age])?;
/// }
/// assert_eq!((ages.len(), ages.count_range("b"..)?, ages.estimate_range("b"..)?), (4, 3, 3));
/// assert!(ages.contains_key(b"bob")? && ages.range("c"..)?.count() == 2);
/// assert_eq!(ages.iter()?.count(), ages.prefix(b"")?.count());
/// assert_eq!(ages.first()?.map(|(name, _)| name.to_string()), Some("ada".into()));
/// assert_eq!(ages.last()?.map(|(_, age)| age[0]), Some(71));
/// assert_eq!(ages.at_or_after(b"c")?, ages.after(b"bob")?);
/// assert_eq!(ages.at_or_before(b"c")?, ages.before(b"cyd")?);
/// assert_eq!((ages.split_range(.., 2)?.len(), ages.sample(3, 1)?.len()), (1, 3));
/// assert_eq!(ages.as_table().stats().entries, 4);
/// assert_eq!(ages.pop_first()?, Some((b"ada".to_vec(), vec![36])));
/// assert_eq!((ages.delete_prefix(b"b")?, ages.clear()?), (1, 2));
/// let ages = ages.id(); // to be used beside other tables
/// assert_eq!(txn.edit(ages)?.cursor().table(), ages);
/// # Ok(()) }
/// ```
pub struct TableMut<'t> {
    writer: &'t mut Writer,
    index: usize,
}

impl<'t> TableMut<'t> {
    pub(crate) fn new(writer: &'t mut Writer, index: usize) -> TableMut<'t> {
        TableMut { writer, index }
    }

    /// Inserts the pair, or replaces the value; true if the key was there. Keys are limited
    /// ([`crate::Database::max_key_len`]); values only by the room on the disk, which is taken
    /// here, so that a full disk is an error of this call or of the commit.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.writer.put(self.index, key, value)
    }

    /// Removes the pair; true if the key was there.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool> {
        self.writer.delete(self.index, key)
    }

    /// Its id in this transaction, by which it is used beside other tables
    /// ([`WriteTxn::view`](crate::WriteTxn::view)).
    pub fn id(&self) -> TableId {
        self.writer.id_of(self.index)
    }

    /// As [`TableMut::put`], but gives the value that was replaced. Two descents.
    pub fn replace(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        let before = self.get(key)?.map(<[u8]>::to_vec);
        self.put(key, value)?;
        Ok(before)
    }

    /// Puts a pair whose key is not there; false, and nothing changed, if it is.
    pub fn put_if_absent(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        if self.contains_key(key)? {
            return Ok(false);
        }
        self.put(key, value).map(|_| true)
    }

    /// Puts a pair behind all others; [`Error::OutOfOrder`](crate::Error::OutOfOrder), and nothing
    /// changed, if its key is not above the last one. As fast as `put` of ascending keys, which
    /// fills the pages in the same way: it is for those who want to be told.
    pub fn append(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.writer.append(self.index, key, value)
    }

    /// Gives a key the value that `new` makes of the one it has, if any: None takes it out. The
    /// value that it has now.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut hits = txn.open_table("hits")?;
    /// for page in [b"/a", b"/b", b"/a"] {
    ///     hits.update(page, |n| {
    ///         let n = n.and_then(|n| n.try_into().ok()).map_or(0, u64::from_le_bytes);
    ///         Some((n + 1).to_le_bytes())
    ///     })?;
    /// }
    /// assert_eq!(hits.get(b"/a")?, Some(&2u64.to_le_bytes()[..]));
    /// # Ok(()) }
    /// ```
    pub fn update<V: AsRef<[u8]>>(
        &mut self,
        key: &[u8],
        new: impl FnOnce(Option<&[u8]>) -> Option<V>,
    ) -> Result<Option<V>> {
        let before = self.get(key)?;
        let was_there = before.is_some();
        let value = new(before);
        match &value {
            Some(value) => drop(self.put(key, value.as_ref())?),
            None if was_there => drop(self.delete(key)?),
            None => {}
        }
        Ok(value)
    }

    /// Gives a key another value, or takes it out (None), if it has this one now (None: it is not
    /// there); false, and nothing changed, if it has another.
    pub fn compare_and_swap(
        &mut self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        if self.get(key)? != expected {
            return Ok(false);
        }
        match new {
            Some(value) => drop(self.put(key, value)?),
            None if expected.is_some() => drop(self.delete(key)?),
            None => {}
        }
        Ok(true)
    }

    /// Takes the pair with the smallest key out.
    ///
    /// Two descents.
    pub fn pop_first(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let pair = self.first()?.map(|(key, value)| (key.into_vec(), value.to_vec()));
        self.take_out(pair)
    }

    /// Takes the pair with the greatest key out.
    ///
    /// Two descents.
    pub fn pop_last(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let pair = self.last()?.map(|(key, value)| (key.into_vec(), value.to_vec()));
        self.take_out(pair)
    }

    fn take_out(&mut self, pair: Option<(Vec<u8>, Vec<u8>)>) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        match &pair {
            Some((key, _)) if !self.delete(key)? => {
                let root = self.writer.table(self.index).root;
                let e = Error::corrupt(root, "root of a table whose keys are out of order");
                Err(self.writer.engine().named(e))
            }
            _ => Ok(pair),
        }
    }

    /// Removes all pairs of a range; how many there were. Whole subtrees go at once: of the
    /// leaves that go only the front is read (and where the table has values on pages of their own,
    /// which of these they name), and only the pages at both ends are written.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut table = txn.open_table("main")?;
    /// for n in 0..100u8 {
    ///     table.put(&[n], b"")?;
    /// }
    /// assert_eq!(table.delete_range([10]..[30])?, 20);
    /// assert_eq!(table.len(), 80);
    /// # Ok(()) }
    /// ```
    pub fn delete_range(&mut self, keys: impl KeyRange) -> Result<u64> {
        let (start, end) = keys.bounds();
        self.writer.delete_range(self.index, start, end)
    }

    /// Removes all pairs whose key begins with `prefix`; how many there were.
    ///
    /// As [`TableMut::delete_range`].
    pub fn delete_prefix(&mut self, prefix: &[u8]) -> Result<u64> {
        match after_prefix(self.writer.table(self.index).order, prefix)? {
            Some(end) => self.delete_range(prefix..&end),
            None => self.delete_range(prefix..),
        }
    }

    /// Removes all pairs; how many there were. The table stays.
    ///
    /// As [`TableMut::delete_range`].
    pub fn clear(&mut self) -> Result<u64> {
        self.delete_range(..)
    }

    /// Keeps of the pairs of a range those for which `keep` is true; how many went. To have what
    /// goes: [`TableMut::extract_if`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut table = txn.open_table("main")?;
    /// for n in 0..100u8 {
    ///     table.put(&[n], &[n % 3])?;
    /// }
    /// assert_eq!(table.retain(.., |_, value| value != [0])?, 34);
    /// assert_eq!(table.len(), 66);
    /// # Ok(()) }
    /// ```
    pub fn retain(
        &mut self,
        keys: impl KeyRange,
        mut keep: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        let (before, mut walk) = (self.len(), Walk::new(&keys, self.len()));
        while let Some((key, value)) = walk.next(&self.writer.versioned(self.index)?)? {
            if !keep(key, value) {
                self.writer.delete(self.index, key)?;
            }
        }
        Ok(before - self.len())
    }

    /// The transaction, and where this table stands among its open ones.
    pub(super) fn parts(&mut self) -> (&mut Writer, usize) {
        (self.writer, self.index)
    }

    /// A cursor that changes what it stands on; it borrows nothing.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.id())
    }

    /// The table as it stands now, for reading.
    pub fn as_table(&self) -> Table<'_> {
        Table::new(Source::Writer(self.writer), *self.writer.table(self.index))
    }

    /// As [`Table::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        self.as_table().get(key)
    }

    /// As [`Table::contains_key`].
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        self.as_table().contains_key(key)
    }

    /// As [`Table::len`]. After an operation that failed half-way, when all that can fail gives
    /// [`Error::TransactionBroken`](crate::Error::TransactionBroken), it means nothing, and neither
    /// do `is_empty` and [`Table::stats`].
    pub fn len(&self) -> u64 {
        self.as_table().len()
    }

    /// Whether the table has no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Table::range`].
    pub fn range(&self, keys: impl KeyRange) -> Result<Range<'_>> {
        self.as_table().range(keys)
    }

    /// As [`Table::prefix`].
    pub fn prefix(&self, prefix: &[u8]) -> Result<Range<'_>> {
        self.as_table().prefix(prefix)
    }

    /// As [`Table::iter`].
    pub fn iter(&self) -> Result<Range<'_>> {
        self.as_table().iter()
    }

    /// As [`Table::first`].
    pub fn first(&self) -> Result<Option<(Key<'_>, &[u8])>> {
        self.as_table().first()
    }

    /// As [`Table::last`].
    pub fn last(&self) -> Result<Option<(Key<'_>, &[u8])>> {
        self.as_table().last()
    }
}

impl fmt::Debug for TableMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableMut").field("id", &self.id()).field("len", &self.len()).finish()
    }
}
