//! How cursors of a write transaction move in it, and change it.

use super::cursor::Cursor;
use super::transaction::WriteTxn;
use crate::error::Result;

/// Moves over the tree as it is now.
macro_rules! go {
    ($cursor:ident, $txn:ident, $how:ident $(, $key:ident)?) => {{
        let writer = $txn.writer();
        let tree = writer.versioned(writer.index_of($cursor.table)?)?;
        let value = $cursor.position.$how(&tree $(, $key)?);
        let value = value.map_err(|e| writer.engine().named(e))?;
        Ok($cursor.position.key().zip(value))
    }};
}

impl Cursor {
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
