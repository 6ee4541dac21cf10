//! What differs between two tables of sets.

use super::diff::{comparable, one_handle};
use super::key_range::KeyRange;
use super::set::SetTable;
use super::transaction::ReadTxn;
use crate::error::{Error, Result};
use crate::tree::{self, ChangedPair};
use std::fmt;
use std::iter::FusedIterator;

impl<'t> SetTable<'t> {
    /// The pairs that only one of `older` and this table has, for the keys of a [`KeyRange`], by
    /// key and then by value; walk it from either end.
    ///
    /// As [`Table::diff`](crate::Table::diff): meant for one table in two snapshots, or in a
    /// snapshot and a write transaction, in time of what was changed between the two. That is so
    /// also where a key has very many values: of the tree in which they stand only what was
    /// written anew is read. What was written anew and is the same is no difference, nor is it
    /// whether values stand in the leaf of their key or in a tree. The other way round additions
    /// are removals.
    ///
    /// To go on later behind the last pair: first with what is left of its key,
    /// [`SetTable::diff_values`] from `(Bound::Excluded(value), Bound::Unbounded)`, then with the
    /// keys behind it, `(Bound::Excluded(key), Bound::Unbounded)`.
    ///
    /// Errors: [`Error::InvalidArgument`] if the tables are not read through one handle; those of
    /// reading come as items, and then nothing more.
    ///
    /// ```
    /// use recto::PairChange::{Added, Removed};
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut tags = txn.open_set("tags")?;
    /// tags.insert(b"files", b"/a")?;
    /// tags.insert(b"rust", b"/a")?;
    /// txn.commit()?;
    /// let older = db.read()?;
    ///
    /// let mut txn = db.write()?;
    /// let mut tags = txn.open_set("tags")?;
    /// tags.insert(b"rust", b"/b")?;
    /// tags.remove(b"files", b"/a")?;
    /// txn.commit()?;
    /// let newer = db.read()?;
    ///
    /// let changes = newer.set("tags")?.diff(&older.set("tags")?, ..)?;
    /// let changes: Vec<_> = changes.collect::<recto::Result<_>>()?;
    /// let pairs = changes.iter().map(|(key, value, change)| (&**key, &**value, *change));
    /// assert!(pairs.eq([
    ///     (&b"files"[..], &b"/a"[..], Removed),
    ///     (&b"rust"[..], &b"/b"[..], Added),
    /// ]));
    /// # Ok(()) }
    /// ```
    pub fn diff(&self, older: &SetTable<'t>, keys: impl KeyRange) -> Result<SetDiff<'t>> {
        if !older.is_beside(self) {
            return Err(one_handle());
        }
        SetDiff::between(Some(older), Some(self), keys)
    }

    /// The same for the values of one key that lie in a range.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.open_set("visits")?.insert(b"ada", b"2026-01-31")?;
    /// # txn.commit()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// let mut visits = txn.open_set("visits")?;
    /// for day in ["2026-01-30", "2026-02-01", "2026-02-03"] {
    ///     visits.insert(b"ada", day.as_bytes())?;
    /// }
    /// let (now, before) = (visits.as_set(), older.set("visits")?);
    /// assert_eq!(now.diff_values(&before, b"ada", "2026-02"..)?.count(), 2);
    /// # Ok(()) }
    /// ```
    pub fn diff_values(
        &self,
        older: &SetTable<'t>,
        key: &[u8],
        values: impl KeyRange,
    ) -> Result<SetDiff<'t>> {
        if !older.is_beside(self) {
            return Err(one_handle());
        }
        let old = (older.version()?, older.values_of(key)?);
        let new = (self.version()?, self.values_of(key)?);
        let (from, to) = values.bounds();
        Ok(SetDiff { inner: tree::SetDiff::of_key(old, new, key, from, to)? })
    }
}

impl ReadTxn {
    /// As [`SetTable::diff`], by the name of the table. A table that only one of the snapshots has
    /// is compared with an empty one.
    ///
    /// Errors: [`Error::NoSuchTable`] if neither has it, [`Error::InvalidArgument`] if they are of
    /// two handles, [`Error::TableOptions`] where it has one value for each key, which
    /// [`ReadTxn::diff`] compares.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// txn.open_set("tags")?.insert(b"rust", b"/a")?;
    /// txn.commit()?;
    /// assert_eq!(db.read()?.diff_set(&older, "tags", "r"..)?.count(), 1);
    /// # Ok(()) }
    /// ```
    pub fn diff_set<'t>(
        &'t self,
        older: &'t ReadTxn,
        table: &str,
        keys: impl KeyRange,
    ) -> Result<SetDiff<'t>> {
        if !self.is_beside(older) {
            return Err(one_handle());
        }
        match (older.set_opt(table)?, self.set_opt(table)?) {
            (None, None) => Err(Error::NoSuchTable(table.into())),
            (old, new) => SetDiff::between(old.as_ref(), new.as_ref(), keys),
        }
    }
}

/// Pairs that only one of two tables of sets has, by key and then by value, with which it is, from
/// both ends. After an error it yields nothing more.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::PairChange;
/// # let db = recto::Database::in_memory()?;
/// let older = db.read()?;
/// # let mut txn = db.write()?;
/// txn.open_set("tags")?.insert(b"rust", b"/a")?;
/// txn.open_set("tags")?.insert(b"rust", b"/b")?;
/// txn.commit()?;
/// let newer = db.read()?;
/// let mut changes = newer.diff_set(&older, "tags", ..)?;
/// let (_, value, change) = changes.next_back().unwrap()?;
/// assert_eq!((&*value, change), (&b"/b"[..], PairChange::Added));
/// assert_eq!(changes.count(), 1);
/// # Ok(()) }
/// ```
pub struct SetDiff<'t> {
    inner: tree::SetDiff<'t>,
}

impl<'t> SetDiff<'t> {
    fn between(
        old: Option<&SetTable<'t>>,
        new: Option<&SetTable<'t>>,
        keys: impl KeyRange,
    ) -> Result<SetDiff<'t>> {
        let version = |table: Option<&SetTable<'t>>| table.map(SetTable::version).transpose();
        let (older, newer) = comparable(version(old)?, version(new)?)?;
        let (from, to) = keys.bounds();
        Ok(SetDiff { inner: tree::SetDiff::new(older, newer, from, to)? })
    }
}

impl<'t> Iterator for SetDiff<'t> {
    type Item = Result<ChangedPair<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next()
    }
}

impl DoubleEndedIterator for SetDiff<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.inner.next_back()
    }
}

impl FusedIterator for SetDiff<'_> {}

impl fmt::Debug for SetDiff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetDiff").finish_non_exhaustive()
    }
}
