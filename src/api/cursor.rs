//! Cursors of write transactions: what they are. How they move: [`moves`](super::moves).

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
///
/// Everything that takes a transaction gives [`Error::NoSuchTableId`](crate::Error::NoSuchTableId)
/// once the table was dropped, or for another transaction; changes give the errors of
/// [`TableMut`](crate::TableMut).
///
/// What it gave is no longer there after a change, and the compiler holds that:
///
/// ```compile_fail,E0502
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let words = txn.open("words")?;
/// let mut cursor = txn.cursor(words);
/// let pair = cursor.next(&txn)?;
/// txn.put(words, b"wasp", b"")?;
/// println!("{pair:?}");
/// # Ok(()) }
/// ```
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// let words = txn.open("words")?;
/// let mut cursor = txn.cursor(words);
/// for word in ["bee", "ant", "wasp"] {
///     cursor.insert(&mut txn, word.as_bytes(), b"1")?; // and stands on it
/// }
/// assert_eq!((cursor.table(), cursor.key()), (words, Some(&b"wasp"[..])));
/// assert!(cursor.put(&mut txn, b"2")?);
/// assert_eq!(cursor.current(&txn)?, Some((&b"wasp"[..], &b"2"[..])));
/// assert_eq!(cursor.prev(&txn)?.map(|(key, _)| key), Some(&b"bee"[..]));
/// assert_eq!(cursor.first(&txn)?.map(|(key, _)| key), Some(&b"ant"[..]));
/// assert_eq!(cursor.last(&txn)?.map(|(key, _)| key), Some(&b"wasp"[..]));
/// assert_eq!(cursor.seek(&txn, b"b")?.map(|(key, _)| key), Some(&b"bee"[..]));
/// assert_eq!(cursor.seek_back(&txn, b"b")?.map(|(key, _)| key), Some(&b"ant"[..]));
/// # Ok(()) }
/// ```
///
/// It may be sent to another thread, with its transaction or without it.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub(super) table: TableId,
    pub(super) position: Position,
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
}
