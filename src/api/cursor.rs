//! Cursors of write transactions.

use super::transaction::WriteTxn;
use crate::error::Result;
use crate::tree::Position;
use crate::txn::write::TableId;

/// A place in a table of a write transaction. It borrows nothing: any number of them may be kept,
/// in any tables, while the transaction changes whatever it likes, through them or otherwise.
///
/// It stands on a key, in front of the first one or behind the last; a new one does none of these,
/// and moves to the first pair or to the last. It stays where it is whatever happens to the table:
/// if its pair is deleted, [`Cursor::current`] is None, and [`Cursor::next`] and [`Cursor::prev`]
/// give the neighbours of where it was. What is put in front of it or behind it is met. At the end
/// it stays behind the last pair, and `next` finds what has been put behind that since.
///
/// Each method that moves gives the pair on which it stands then; None if there is none. Key and
/// value are borrowed from cursor and transaction: copy what is needed before the next change. One
/// descent of the tree; less inside of a leaf while the table does not change.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let (words, lengths) = (txn.open("words")?, txn.open("lengths")?);
/// for word in ["ant", "bee", "beetle", "wasp"] {
///     txn.put(words, word.as_bytes(), b"")?;
/// }
/// // One table is read, another written, and what was read is deleted.
/// let mut cursor = txn.cursor(words);
/// while let Some((word, _)) = cursor.next(&txn)? {
///     let word = word.to_vec();
///     txn.put(lengths, &[word.len() as u8], &word)?;
///     cursor.delete(&mut txn)?;
/// }
/// assert!(txn.view(words)?.is_empty());
/// assert_eq!(txn.get(lengths, &[3])?, Some(&b"bee"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Cursor {
    table: TableId,
    position: Position,
}

/// Moves over the tree as it is now.
macro_rules! go {
    ($cursor:ident, $txn:ident, $how:ident $(, $key:ident)?) => {{
        let tree = $txn.writer().versioned($txn.writer().index_of($cursor.table)?)?;
        let value = $cursor.position.$how(&tree $(, $key)?)?;
        Ok($cursor.position.key().zip(value))
    }};
}

impl Cursor {
    pub(crate) fn new(table: TableId) -> Cursor {
        Cursor { table, position: Position::new() }
    }

    /// Its table.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// The key that it stands on, whether that is still there or not.
    pub fn key(&self) -> Option<&[u8]> {
        self.position.key()
    }

    /// The first pair.
    pub fn first<'a>(&'a mut self, txn: &'a WriteTxn) -> Result<Option<(&'a [u8], &'a [u8])>> {
        go!(self, txn, first)
    }

    /// The last pair.
    pub fn last<'a>(&'a mut self, txn: &'a WriteTxn) -> Result<Option<(&'a [u8], &'a [u8])>> {
        go!(self, txn, last)
    }

    /// The next pair.
    pub fn next<'a>(&'a mut self, txn: &'a WriteTxn) -> Result<Option<(&'a [u8], &'a [u8])>> {
        go!(self, txn, next)
    }

    /// The pair before.
    pub fn prev<'a>(&'a mut self, txn: &'a WriteTxn) -> Result<Option<(&'a [u8], &'a [u8])>> {
        go!(self, txn, prev)
    }

    /// The pair with this key, or the first one behind it.
    pub fn seek<'a>(
        &'a mut self,
        txn: &'a WriteTxn,
        key: &[u8],
    ) -> Result<Option<(&'a [u8], &'a [u8])>> {
        go!(self, txn, seek, key)
    }

    /// The pair with this key, or the last one before it.
    pub fn seek_back<'a>(
        &'a mut self,
        txn: &'a WriteTxn,
        key: &[u8],
    ) -> Result<Option<(&'a [u8], &'a [u8])>> {
        go!(self, txn, seek_back, key)
    }

    /// The pair that it stands on; None if it stands on none, or that was deleted.
    pub fn current<'a>(&'a self, txn: &'a WriteTxn) -> Result<Option<(&'a [u8], &'a [u8])>> {
        go!(self, txn, current)
    }

    /// Gives the key that it stands on this value, also if it was deleted meanwhile; false if it
    /// stands on none.
    pub fn put(&mut self, txn: &mut WriteTxn, value: &[u8]) -> Result<bool> {
        match self.position.key() {
            Some(key) => txn.put(self.table, key, value).map(|_| true),
            None => Ok(false),
        }
    }

    /// Deletes the pair that it stands on, and stays where that was; false if there is none.
    pub fn delete(&mut self, txn: &mut WriteTxn) -> Result<bool> {
        match self.position.key() {
            Some(key) => txn.delete(self.table, key),
            None => Ok(false),
        }
    }

    /// Puts a pair, wherever its key belongs, and stands on it; true if the key was there.
    pub fn insert(&mut self, txn: &mut WriteTxn, key: &[u8], value: &[u8]) -> Result<bool> {
        let was_there = txn.put(self.table, key, value)?;
        self.position.set(key);
        Ok(was_there)
    }
}
