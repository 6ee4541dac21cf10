//! Pairs next to a key that need not be there.

use super::table::{Source, Table, over};
use super::table_mut::TableMut;
use crate::error::Result;
use crate::tree::{Beside, Key, beside};

impl<'t> Table<'t> {
    /// The pair with this key, or the first one behind it: what `range(key..)` begins with. One
    /// descent of the tree, as for the three others.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut table = txn.open_table("main")?;
    /// for key in [b"a", b"c", b"e"] {
    ///     table.put(key, b"")?;
    /// }
    /// let key = |pair: Option<(recto::Key, &[u8])>| pair.map(|(key, _)| key.into_vec());
    /// assert_eq!(key(table.at_or_after(b"c")?), Some(b"c".to_vec()));
    /// assert_eq!(key(table.after(b"c")?), Some(b"e".to_vec()));
    /// assert_eq!(key(table.at_or_before(b"d")?), Some(b"c".to_vec()));
    /// assert_eq!(key(table.before(b"a")?), None);
    /// # Ok(()) }
    /// ```
    pub fn at_or_after(&self, key: &[u8]) -> Result<Option<(Key<'t>, &'t [u8])>> {
        self.beside(key, Beside::AtOrAfter)
    }

    /// The pair with this key, or the last one before it.
    ///
    /// One descent; errors as in [`Table`]. [`Table::at_or_after`] has an example of all four.
    pub fn at_or_before(&self, key: &[u8]) -> Result<Option<(Key<'t>, &'t [u8])>> {
        self.beside(key, Beside::AtOrBefore)
    }

    /// The first pair behind this key.
    pub fn after(&self, key: &[u8]) -> Result<Option<(Key<'t>, &'t [u8])>> {
        self.beside(key, Beside::After)
    }

    /// The last pair before this key.
    pub fn before(&self, key: &[u8]) -> Result<Option<(Key<'t>, &'t [u8])>> {
        self.beside(key, Beside::Before)
    }

    fn beside(&self, key: &[u8], side: Beside) -> Result<Option<(Key<'t>, &'t [u8])>> {
        over!(self.source(), pages => beside(pages, &self.descriptor(), key, side))
    }
}

impl TableMut<'_> {
    /// As [`Table::at_or_after`].
    pub fn at_or_after(&self, key: &[u8]) -> Result<Option<(Key<'_>, &[u8])>> {
        self.as_table().at_or_after(key)
    }

    /// As [`Table::at_or_before`].
    pub fn at_or_before(&self, key: &[u8]) -> Result<Option<(Key<'_>, &[u8])>> {
        self.as_table().at_or_before(key)
    }

    /// As [`Table::after`].
    pub fn after(&self, key: &[u8]) -> Result<Option<(Key<'_>, &[u8])>> {
        self.as_table().after(key)
    }

    /// As [`Table::before`].
    pub fn before(&self, key: &[u8]) -> Result<Option<(Key<'_>, &[u8])>> {
        self.as_table().before(key)
    }
}
