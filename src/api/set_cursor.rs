//! Cursors over the pairs of a table of sets.

use super::set::SetTable;
use super::set_mut::SetTableMut;
use super::transaction::WriteTxn;
use crate::error::Result;
use crate::tree::{SetMove, SetPosition};
use crate::txn::write::TableId;

/// The moves that all cursors of sets have, each by a call of `go`; those of a write transaction
/// take that as well.
macro_rules! set_moves {
    ($($txn:ident: $of:ty)?) => {
        set_moves! { @each [$($txn: $of)?]
            /// The first pair (`MDB_FIRST`).
            first First();
            /// The last pair (`MDB_LAST`).
            last Last();
            /// The next pair, of this key or the next (`MDB_NEXT`). At the end it stays behind the
            /// last one.
            next Next();
            /// The pair before (`MDB_PREV`). At the start it stays in front of the first one.
            prev Prev();
            /// The next value of the same key (`MDB_NEXT_DUP`). Where there is none it does not
            /// move.
            next_value NextValue();
            /// The value before of the same key (`MDB_PREV_DUP`). Where there is none it does not
            /// move.
            prev_value PrevValue();
            /// The first value of the key on which it stands (`MDB_FIRST_DUP`).
            first_value FirstValue();
            /// The last value of the key on which it stands (`MDB_LAST_DUP`).
            last_value LastValue();
            /// The first value of the next key (`MDB_NEXT_NODUP`). Where there is none it does not
            /// move.
            next_key NextKey();
            /// The last value of the key before (`MDB_PREV_NODUP`). Where there is none it does
            /// not move.
            prev_key PrevKey();
            /// The first value of this key, or of the first key behind it (`MDB_SET_RANGE`).
            seek Seek(key);
            /// The last value of this key, or of the last key before it.
            seek_back SeekBack(key);
            /// The first value of this key that is not below this value (`MDB_GET_BOTH_RANGE`).
            /// Where there is none it stands where that would, beside its neighbours.
            seek_value SeekValue(key, value);
            /// This pair, if it is there (`MDB_GET_BOTH`). Where it is not it stands where it
            /// would, beside its neighbours.
            find Find(key, value);
            /// The pair that it stands on; None if it stands on none, or that was removed
            /// (`MDB_GET_CURRENT`).
            current Current();
        }
    };
    (@each $head:tt $($(#[$doc:meta])* $name:ident $to:ident $arguments:tt;)*) => {
        $(set_moves! { @one $head $arguments $(#[$doc])* $name $to })*
    };
    (@one [$($txn:ident: $of:ty)?] ($($argument:ident),*) $(#[$doc:meta])* $name:ident $to:ident) => {
        $(#[$doc])*
        #[allow(clippy::should_implement_trait)] // pairs are borrowed until the next call
        pub fn $name(
            &mut self
            $(, $txn: $of)?
            $(, $argument: &[u8])*
        ) -> Result<Option<(&[u8], &[u8])>> {
            self.go($($txn,)? set_moves!(@to $to $($argument)*))
        }
    };
    (@to $to:ident) => { SetMove::$to };
    (@to $to:ident $($argument:ident)+) => { SetMove::$to($($argument),+) };
}
pub(super) use set_moves;

/// A place among the pairs of a table of sets of a write transaction: a cursor of LMDB on a
/// database with `MDB_DUPSORT`. It borrows nothing: any number of them may be kept, in any tables,
/// while the transaction changes whatever it likes, through them or otherwise.
///
/// It stands on a pair, in front of the first one or behind the last; a new one does none of these,
/// and moves to the first pair or to the last. It stays where it is whatever happens to the table:
/// if its pair is removed, [`SetCursor::current`] is None, and the moves give the neighbours of
/// where it was. So it is when its key goes with all values, and comes again with others; and it is
/// nothing to it whether values stand in a leaf or in a tree.
///
/// Each method that moves gives the pair on which it stands then, or None. Both are borrowed from
/// the cursor: copy what is needed before the next move. A move takes one descent of the tree, and
/// one of the tree of values of a key that has many. [`SetTable::pairs`] is faster for long walks.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut tags = txn.open_set("tags")?;
/// for (tag, page) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("b", "2")] {
///     tags.insert(tag.as_bytes(), page.as_bytes())?;
/// }
/// let mut cursor = tags.cursor();
/// // Of each key all values go but the first one.
/// let mut more = cursor.first(&txn)?.is_some();
/// while more {
///     while cursor.next_value(&txn)?.is_some() {
///         cursor.delete(&mut txn)?;
///     }
///     more = cursor.next_key(&txn)?.is_some();
/// }
/// let tags = txn.set("tags")?;
/// assert_eq!((tags.len(), tags.count(b"a")?, tags.count(b"b")?), (2, 1, 1));
/// # Ok(()) }
/// ```
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// let tags = txn.open_set("tags")?.id();
/// let mut cursor = txn.set_cursor(tags);
/// for (tag, page) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")] {
///     cursor.insert(&mut txn, tag.as_bytes(), page.as_bytes())?; // and stands on it
/// }
/// let pair = |tag: &'static str, page: &'static str| Some((tag.as_bytes(), page.as_bytes()));
/// assert_eq!((cursor.table(), cursor.pair()), (tags, pair("b", "2")));
/// assert_eq!(cursor.prev_value(&txn)?, pair("b", "1"));
/// assert_eq!(cursor.prev(&txn)?, pair("a", "2"));
/// assert_eq!(cursor.next(&txn)?, pair("b", "1"));
/// assert_eq!(cursor.last_value(&txn)?, pair("b", "2"));
/// assert_eq!(cursor.first_value(&txn)?, pair("b", "1"));
/// assert_eq!(cursor.prev_key(&txn)?, pair("a", "2"));
/// assert_eq!(cursor.last(&txn)?, pair("b", "2"));
/// assert_eq!(cursor.seek(&txn, b"az")?, pair("b", "1"));
/// assert_eq!(cursor.seek_back(&txn, b"az")?, pair("a", "2"));
/// assert_eq!(cursor.seek_value(&txn, b"b", b"11")?, pair("b", "2"));
/// assert_eq!(cursor.find(&txn, b"a", b"1")?, pair("a", "1"));
/// assert_eq!((cursor.count(&txn)?, cursor.delete_key(&mut txn)?), (2, 2));
/// assert_eq!(cursor.current(&txn)?, None);
/// assert_eq!(cursor.pair(), pair("a", "1")); // where it was
/// # Ok(()) }
/// ```
///
/// Everything that takes a transaction gives [`Error::NoSuchTableId`](crate::Error::NoSuchTableId)
/// once the table was dropped, or for another transaction; changes give the errors of
/// [`SetTableMut`].
#[derive(Clone, Debug)]
pub struct SetCursor {
    table: TableId,
    position: SetPosition,
}

impl SetCursor {
    /// Its table.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// The key and the value that it stands on, whether the pair is still there or not.
    pub fn pair(&self) -> Option<(&[u8], &[u8])> {
        self.position.pair()
    }

    fn go(&mut self, txn: &WriteTxn, to: SetMove<'_>) -> Result<Option<(&[u8], &[u8])>> {
        let writer = txn.writer();
        let tree = writer.versioned(writer.set_index_of(self.table)?)?;
        let found = self.position.go(tree.src, &tree.desc, to);
        let found = found.map_err(|e| writer.engine().named(e))?;
        Ok(self.position.pair().filter(|_| found))
    }

    set_moves! { txn: &WriteTxn }

    /// Number of values of the key that it stands on; 0 if it stands on none, or that is gone
    /// (`mdb_cursor_count`).
    pub fn count(&self, txn: &WriteTxn) -> Result<u64> {
        let table = txn.view_set(self.table)?;
        self.pair().map_or(Ok(0), |(key, _)| table.count(key))
    }

    /// Removes the pair that it stands on, and stays where that was; false if there is none
    /// (`mdb_cursor_del`).
    pub fn delete(&mut self, txn: &mut WriteTxn) -> Result<bool> {
        match self.position.pair() {
            Some((key, value)) => txn.edit_set(self.table)?.remove(key, value),
            None => Ok(false),
        }
    }

    /// Removes the key that it stands on with all its values, and stays where the pair was; how
    /// many there were (`mdb_cursor_del` with `MDB_NODUPDATA`).
    pub fn delete_key(&mut self, txn: &mut WriteTxn) -> Result<u64> {
        match self.position.pair() {
            Some((key, _)) => txn.edit_set(self.table)?.remove_all(key),
            None => Ok(0),
        }
    }

    /// Inserts a pair, wherever it belongs, and stands on it; true if it is new (`mdb_cursor_put`).
    pub fn insert(&mut self, txn: &mut WriteTxn, key: &[u8], value: &[u8]) -> Result<bool> {
        let is_new = txn.edit_set(self.table)?.insert(key, value)?;
        self.position.set(key, value);
        Ok(is_new)
    }
}

impl WriteTxn {
    /// A cursor over the pairs of a table of sets. Whether there is one is found out when it moves.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let tags = txn.open_set("tags")?.id();
    /// let mut cursor = txn.set_cursor(tags);
    /// cursor.insert(&mut txn, b"rust", b"/a")?;
    /// assert!(cursor.delete(&mut txn)? && txn.view_set(tags)?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn set_cursor(&self, table: TableId) -> SetCursor {
        SetCursor { table, position: SetPosition::new() }
    }
}

impl SetTableMut<'_> {
    /// A cursor that changes what it stands on; it borrows nothing.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut tags = txn.open_set("tags")?;
    /// tags.insert(b"rust", b"/a")?;
    /// let mut cursor = tags.cursor();
    /// cursor.first(&txn)?;
    /// assert!(cursor.delete(&mut txn)? && txn.set("tags")?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn cursor(&self) -> SetCursor {
        SetCursor { table: self.id(), position: SetPosition::new() }
    }
}

/// A place among the pairs of a table of sets, which moves to either side, among the values of one
/// key or from key to key, and to any pair: [`SetCursor`] without changes, in any transaction.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut visits = txn.open_set("visits")?;
/// for (who, day) in [("ada", "01-31"), ("ada", "02-03"), ("bob", "02-01"), ("eve", "01-02")] {
///     visits.insert(who.as_bytes(), day.as_bytes())?;
/// }
/// # txn.commit()?;
/// let txn = db.read()?;
/// let mut cursor = txn.set("visits")?.cursor();
/// let pair = |who: &'static str, day: &'static str| Some((who.as_bytes(), day.as_bytes()));
/// assert_eq!(cursor.seek_value(b"ada", b"02")?, pair("ada", "02-03"));
/// assert_eq!(cursor.next_value()?, None);
/// assert_eq!(cursor.next_key()?, pair("bob", "02-01"));
/// assert_eq!(cursor.prev_key()?, pair("ada", "02-03"));
/// assert_eq!(cursor.first_value()?, pair("ada", "01-31"));
/// assert_eq!(cursor.last_value()?, pair("ada", "02-03"));
/// assert_eq!(cursor.prev_value()?, pair("ada", "01-31"));
/// assert_eq!(cursor.last()?, pair("eve", "01-02"));
/// assert_eq!(cursor.prev()?, pair("bob", "02-01"));
/// assert_eq!(cursor.first()?, pair("ada", "01-31"));
/// assert_eq!(cursor.next()?, pair("ada", "02-03"));
/// assert_eq!((cursor.count()?, cursor.table().len()), (2, 4));
/// assert_eq!(cursor.seek(b"b")?, pair("bob", "02-01"));
/// assert_eq!(cursor.seek_back(b"b")?, pair("ada", "02-03"));
/// assert_eq!(cursor.find(b"bob", b"02-02")?, None); // it stands where that would
/// assert_eq!(cursor.current()?, None);
/// # Ok(()) }
/// ```
///
/// Errors as in [`SetTable`].
#[derive(Clone, Debug)]
pub struct SetTableCursor<'t> {
    table: SetTable<'t>,
    position: SetPosition,
}

impl<'t> SetTableCursor<'t> {
    /// Its table.
    pub fn table(&self) -> SetTable<'t> {
        self.table
    }

    fn go(&mut self, to: SetMove<'_>) -> Result<Option<(&[u8], &[u8])>> {
        let found = self.table.go(&mut self.position, to)?;
        Ok(self.position.pair().filter(|_| found))
    }

    set_moves! {}

    /// Number of values of the key that it stands on; 0 if it stands on none.
    pub fn count(&self) -> Result<u64> {
        self.position.pair().map_or(Ok(0), |(key, _)| self.table.count(key))
    }
}

impl<'t> SetTable<'t> {
    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> SetTableCursor<'t> {
        SetTableCursor { table: *self, position: SetPosition::new() }
    }
}
