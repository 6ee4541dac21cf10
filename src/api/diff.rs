//! What differs between two snapshots, or between a snapshot and what a transaction has made of it.

use super::key_range::KeyRange;
use super::table::Table;
use super::transaction::{ReadTxn, TableInfo, info};
use crate::error::{Error, Result};
use crate::tree::{self, Change, Key, TableDescriptor, Version};
use std::fmt;
use std::iter::FusedIterator;

impl<'t> Table<'t> {
    /// What differs between `older` and this table, for the keys of a [`KeyRange`], in their order;
    /// walk it from either end.
    ///
    /// Meant for one table in two snapshots, or in a snapshot and a write transaction: pages that
    /// both share are not read, so it takes time for what was changed between the two and not for
    /// what there is. (A changed key costs the way to it in both trees. What was written anew and
    /// is the same is looked at, and is no difference; a value on pages of its own only if it was
    /// written anew.) Any two tables of one database can be compared; without shared pages both
    /// are read. It has no direction of its own: the other way round additions are removals.
    ///
    /// To go on later, in a new transaction on the same two states or in another process, begin
    /// behind the last key: `(Bound::Excluded(key), Bound::Unbounded)`.
    ///
    /// Errors: [`Error::InvalidArgument`] if the tables are not read through one handle; those of
    /// reading come as items, and then nothing more.
    ///
    /// ```
    /// use recto::Change;
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("stock")?.put(b"apple", b"5")?;
    /// txn.open_table("stock")?.put(b"pear", b"9")?;
    /// txn.commit()?;
    /// let older = db.read()?;
    ///
    /// let mut txn = db.write()?;
    /// let mut stock = txn.open_table("stock")?;
    /// stock.put(b"apple", b"4")?;
    /// stock.put(b"plum", b"7")?;
    /// stock.delete(b"pear")?;
    /// txn.commit()?;
    /// let newer = db.read()?;
    ///
    /// let changes = newer.table("stock")?.diff(&older.table("stock")?, ..)?;
    /// let changes: Vec<_> = changes.collect::<recto::Result<_>>()?;
    /// assert_eq!(&*changes[0].0, b"apple");
    /// assert_eq!(changes[0].1, Change::Changed { old: b"5", new: b"4" });
    /// assert_eq!(changes[1].1, Change::Removed(b"9"));
    /// assert_eq!(changes[2].1, Change::Added(b"7"));
    /// # Ok(()) }
    /// ```
    pub fn diff(&self, older: &Table<'t>, keys: impl KeyRange) -> Result<Diff<'t>> {
        if !older.is_beside(self) {
            return Err(one_handle());
        }
        Diff::between(Some(older), Some(self), keys)
    }
}

impl ReadTxn {
    /// As [`Table::diff`], by the name of the table. A table that only one of the snapshots has is
    /// compared with an empty one.
    ///
    /// Errors: [`Error::NoSuchTable`] if neither has it, [`Error::InvalidArgument`] if they are of
    /// two handles, [`Error::TableOptions`] for tables of sets, which [`ReadTxn::diff_set`]
    /// compares.
    pub fn diff<'t>(
        &'t self,
        older: &'t ReadTxn,
        table: &str,
        keys: impl KeyRange,
    ) -> Result<Diff<'t>> {
        if !self.is_beside(older) {
            return Err(one_handle());
        }
        match (older.table_opt(table)?, self.table_opt(table)?) {
            (None, None) => Err(Error::NoSuchTable(table.into())),
            (old, new) => Diff::between(old.as_ref(), new.as_ref(), keys),
        }
    }

    /// The tables that are not the same in this snapshot and an older one, in the order of their
    /// names: those made, dropped, and written to. One that was renamed was dropped under the one
    /// name and made under the other. One that was written to may hold the same all the same:
    /// [`ReadTxn::diff`] and [`ReadTxn::diff_set`] tell.
    ///
    /// Reads the pages of the list of tables that the snapshots do not share, and no table. Errors:
    /// [`Error::InvalidArgument`] if the snapshots are of two handles.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?;
    /// let changes = db.read()?.diff_tables(&older)?;
    /// assert!(changes[0].old.is_none());
    /// assert_eq!(changes[0].new.as_ref().unwrap().name, "main");
    /// # Ok(()) }
    /// ```
    pub fn diff_tables(&self, older: &ReadTxn) -> Result<Vec<TableChange>> {
        if !self.is_beside(older) {
            return Err(one_handle());
        }
        let (old, new) = (older.snapshot(), self.snapshot());
        old.engine().shared.check_alive()?;
        let changed = tree::changed_tables(
            (Version { src: old, desc: old.catalog() }, old.page_count()),
            (Version { src: new, desc: new.catalog() }, new.page_count()),
        );
        let changed = changed.map_err(|e| new.engine().named(e))?;
        let changes = changed.into_iter().map(|(before, after)| {
            Ok(TableChange {
                old: before.map(|listed| info(&old.catalog(), listed)).transpose()?,
                new: after.map(|listed| info(&new.catalog(), listed)).transpose()?,
            })
        });
        changes.collect()
    }

    pub(super) fn is_beside(&self, other: &ReadTxn) -> bool {
        std::sync::Arc::ptr_eq(self.snapshot().engine(), other.snapshot().engine())
    }
}

/// Two tables that can be compared; one that is not there is empty.
pub(super) fn comparable<'t>(
    old: Option<Version<'t>>,
    new: Option<Version<'t>>,
) -> Result<(Version<'t>, Version<'t>)> {
    let empty = |of: Option<Version<'t>>| {
        of.map(|of| {
            let desc = TableDescriptor { order: of.desc.order, ..TableDescriptor::default() };
            Version { desc, ..of }
        })
    };
    let (Some(older), Some(newer)) = (old.or(empty(new)), new.or(empty(old))) else {
        return Err(Error::InvalidArgument("two tables that are not there".into()));
    };
    if !older.desc.order.is_same(newer.desc.order) {
        let what = "tables in different orders of keys cannot be compared";
        return Err(Error::InvalidArgument(what.into()));
    }
    Ok((older, newer))
}

#[cold]
pub(super) fn one_handle() -> Error {
    Error::InvalidArgument("what is compared must be read through one handle".into())
}

/// A table that is not the same in two snapshots.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TableChange {
    /// As the older one has it; None if it has none of this name.
    pub old: Option<TableInfo>,
    /// As the newer one has it.
    pub new: Option<TableInfo>,
}

/// What differs between two tables: keys in their order, with what became of each, from both ends.
/// After an error it yields nothing more. It stays on the thread that it was made on.
pub struct Diff<'t> {
    inner: tree::Diff<'t>,
}

impl<'t> Diff<'t> {
    fn between(
        old: Option<&Table<'t>>,
        new: Option<&Table<'t>>,
        keys: impl KeyRange,
    ) -> Result<Diff<'t>> {
        let version = |table: Option<&Table<'t>>| table.map(Table::version).transpose();
        let (older, newer) = comparable(version(old)?, version(new)?)?;
        let (from, to) = keys.bounds();
        Ok(Diff { inner: tree::Diff::new(older, newer, from, to)? })
    }
}

impl<'t> Iterator for Diff<'t> {
    type Item = Result<(Key<'t>, Change<'t>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next()
    }
}

impl DoubleEndedIterator for Diff<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.inner.next_back()
    }
}

impl FusedIterator for Diff<'_> {}

impl fmt::Debug for Diff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diff").finish_non_exhaustive()
    }
}
