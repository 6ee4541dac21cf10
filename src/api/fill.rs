//! Values that are made where they are put from.

use super::table_mut::TableMut;
use crate::error::{Error, Result};

impl TableMut<'_> {
    /// As [`TableMut::put`], with a value of `len` bytes that `fill` writes into a slice: all zero,
    /// and at an address that is a multiple of what the table's values are aligned to. For values
    /// that are made, not found: no buffer of one's own is needed. It is as fast as `put` with a
    /// buffer that is used again (docs/performance.md, *Calls of tables*): the slice is not the
    /// place in the page. What LMDB has as `MDB_RESERVE`, without a slice that may be forgotten.
    ///
    /// `fill` runs before anything changes: if it panics, the transaction can go on as if it had
    /// not been called. Errors: those of `put`, also after `fill` has run, and
    /// [`Error::ValueTooLong`](crate::Error::ValueTooLong) if there is no memory for the slice.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut lines = txn.open_table("lines")?;
    /// lines.put_with(b"k", 12, |bytes| {
    ///     bytes[..4].copy_from_slice(&7u32.to_le_bytes());
    ///     bytes[4..7].copy_from_slice(b"abc");
    /// })?;
    /// assert_eq!(lines.get(b"k")?, Some(&b"\x07\0\0\0abc\0\0\0\0\0"[..]));
    /// # Ok(()) }
    /// ```
    pub fn put_with(
        &mut self,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<bool> {
        self.try_put_with(key, len, |value| {
            fill(value);
            Ok(())
        })
    }

    /// The same with a `fill` that may fail: nothing has changed then, and its error is that of the
    /// call. Those of the transaction become errors of its type.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::Read;
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut pieces = txn.open_table("pieces")?;
    /// let mut input = &b"eight by"[..]; // a file
    /// pieces.try_put_with(b"1", 8, |piece| input.read_exact(piece))?;
    /// assert!(pieces.try_put_with(b"2", 8, |piece| input.read_exact(piece)).is_err());
    /// assert_eq!(pieces.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn try_put_with<E: From<Error>>(
        &mut self,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        let (writer, index) = self.parts();
        writer.put_filled(index, key, len, fill)
    }
}
