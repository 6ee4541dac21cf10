//! Cursors of typed tables.

use super::encoded::{with_key, with_value};
use super::id::TypedId;
use super::range::Pair;
use crate::api::cursor::Cursor;
use crate::api::table::TableCursor;
use crate::api::transaction::WriteTxn;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::value::Value;
use std::fmt;
use std::marker::PhantomData;

/// A place in a typed table of a write transaction: a [`Cursor`] with types. It borrows nothing,
/// and stays where it is whatever happens to the table. Each method that moves gives the pair on
/// which it stands then, borrowed from cursor and transaction; None if there is none.
/// [`Error::Decode`](crate::Error::Decode), with the cursor on that pair, if its bytes are none of
/// its types.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const QUEUE: TableDef<u64, &str> = TableDef::new("queue");
/// const DONE: TableDef<(&str, u64), ()> = TableDef::new("done");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let (queue, done) = (txn.open_typed(&QUEUE)?, txn.open_typed(&DONE)?);
/// queue.put(&mut txn, 1, "print")?;
/// queue.put(&mut txn, 2, "post")?;
/// let mut cursor = queue.cursor(&txn);
/// while let Some((number, job)) = cursor.next(&txn)? {
///     let job = job.to_owned();
///     done.put(&mut txn, (&job, number), ())?; // another table, in the middle of the walk
///     cursor.delete(&mut txn)?;
/// }
/// assert!(queue.view(&txn)?.is_empty());
/// # Ok(()) }
/// ```
///
/// Its moves cost what those of [`Cursor`] do, and errors are those of that.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// use recto::typed::TableDef;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
///
/// let ages = txn.open_typed(&AGES)?;
/// let mut cursor = ages.cursor(&txn);
/// cursor.insert(&mut txn, "Kurt", 71)?;
/// cursor.insert(&mut txn, "Ada", 35)?; // and stands on it
/// assert!(cursor.put(&mut txn, 36)?);
/// assert_eq!(cursor.current(&txn)?, Some(("Ada", 36)));
/// assert_eq!(cursor.prev(&txn)?, None); // in front of all
/// assert_eq!(cursor.first(&txn)?, Some(("Ada", 36)));
/// assert_eq!(cursor.last(&txn)?, Some(("Kurt", 71)));
/// assert_eq!(cursor.seek(&txn, "B")?, Some(("Kurt", 71)));
/// assert_eq!(cursor.seek_back(&txn, "B")?, Some(("Ada", 36)));
/// assert!(cursor.table().delete(&mut txn, "Ada")?);
/// assert_eq!(cursor.key()?, Some("Ada")); // where it was
/// # Ok(()) }
/// ```
///
/// It may be sent to another thread, with its transaction or without it.
pub struct TypedCursor<K, V> {
    cursor: Cursor,
    key: Vec<u8>,
    types: PhantomData<fn() -> (K, V)>,
}

/// A place in a typed table, to be moved by hand: a [`TableCursor`] with types. Each method but
/// `current` moves and gives the pair that it stands on then; None if there is none. The key is
/// borrowed until the next move, the value as long as the transaction.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut ages = txn.typed_mut(&AGES)?;
/// ages.put("Ada", 36)?;
/// ages.put("Kurt", 71)?;
/// let mut cursor = ages.as_table().cursor();
/// assert_eq!(cursor.seek("B")?, Some(("Kurt", 71)));
/// assert_eq!(cursor.prev()?, Some(("Ada", 36)));
/// assert_eq!(cursor.prev()?, None);
/// assert_eq!(cursor.next()?, Some(("Ada", 36)));
/// assert_eq!(cursor.last()?, Some(("Kurt", 71)));
/// assert_eq!(cursor.current()?, Some(("Kurt", 71))); // has not moved
/// assert_eq!(cursor.seek_back("B")?, Some(("Ada", 36)));
/// assert_eq!(cursor.first()?, Some(("Ada", 36)));
/// # Ok(()) }
/// ```
///
/// One descent of the tree for each move, inside of a leaf less. Errors as in
/// [`Table`](crate::Table), and [`Error::Decode`](crate::Error::Decode).
///
/// Used by one thread at a time; it may be sent to another one.
pub struct TypedTableCursor<'t, K, V> {
    cursor: TableCursor<'t>,
    key: Vec<u8>,
    types: PhantomData<fn() -> (K, V)>,
}

/// The pair of some bytes.
#[inline]
pub(super) fn pair<'a, 't, K: Key, V: Value>(
    bytes: Option<(&[u8], &'t [u8])>,
    scratch: &'a mut Vec<u8>,
) -> Result<Option<Pair<'a, 't, K, V>>> {
    match bytes {
        Some((key, value)) => Ok(Some((K::read(key, scratch)?, V::decode(value)?))),
        None => Ok(None),
    }
}

macro_rules! moves {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name<'a>(&'a mut self, txn: &'a WriteTxn) -> Result<Option<Pair<'a, 'a, K, V>>> {
            pair::<K, V>(self.cursor.$name(txn)?, &mut self.key)
        }
    )*};
}

impl<K: Key, V: Value> TypedCursor<K, V> {
    pub(super) fn new(cursor: Cursor) -> TypedCursor<K, V> {
        TypedCursor { cursor, key: Vec::new(), types: PhantomData }
    }

    /// Its table.
    pub fn table(&self) -> TypedId<K, V> {
        TypedId::new(self.cursor.table())
    }

    /// The key that it stands on, whether that is still there or not.
    pub fn key(&mut self) -> Result<Option<K::Ref<'_>>> {
        self.cursor.key().map(|key| K::read(key, &mut self.key)).transpose()
    }

    moves! {
        /// The first pair.
        first;
        /// The last pair.
        last;
        /// The next pair.
        next;
        /// The pair before.
        prev;
        /// The pair that it stands on; None if it stands on none, or that was deleted.
        current;
    }

    /// The pair with this key, or the first one behind it.
    pub fn seek<'a>(
        &'a mut self,
        txn: &'a WriteTxn,
        key: K::Arg<'_>,
    ) -> Result<Option<Pair<'a, 'a, K, V>>> {
        let bytes = with_key::<K, _>(key, |key| self.cursor.seek(txn, key))?;
        pair::<K, V>(bytes, &mut self.key)
    }

    /// The pair with this key, or the last one before it.
    pub fn seek_back<'a>(
        &'a mut self,
        txn: &'a WriteTxn,
        key: K::Arg<'_>,
    ) -> Result<Option<Pair<'a, 'a, K, V>>> {
        let bytes = with_key::<K, _>(key, |key| self.cursor.seek_back(txn, key))?;
        pair::<K, V>(bytes, &mut self.key)
    }

    /// Gives the key that it stands on this value, also if it was deleted meanwhile; false if it
    /// stands on none.
    pub fn put(&mut self, txn: &mut WriteTxn, value: V::Arg<'_>) -> Result<bool> {
        with_value::<V, _>(value, |value| self.cursor.put(txn, value))
    }

    /// Deletes the pair that it stands on, and stays where that was; false if there is none.
    pub fn delete(&mut self, txn: &mut WriteTxn) -> Result<bool> {
        self.cursor.delete(txn)
    }

    /// Puts a pair, wherever its key belongs, and stands on it; true if the key was there.
    pub fn insert(
        &mut self,
        txn: &mut WriteTxn,
        key: K::Arg<'_>,
        value: V::Arg<'_>,
    ) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            with_value::<V, _>(value, |value| self.cursor.insert(txn, key, value))
        })
    }
}

macro_rules! table_moves {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[allow(clippy::should_implement_trait)] // the key is borrowed until the next call
        pub fn $name(&mut self) -> Result<Option<Pair<'_, 't, K, V>>> {
            pair::<K, V>(self.cursor.$name()?, &mut self.key)
        }
    )*};
}

impl<'t, K: Key, V: Value> TypedTableCursor<'t, K, V> {
    pub(super) fn new(cursor: TableCursor<'t>) -> TypedTableCursor<'t, K, V> {
        TypedTableCursor { cursor, key: Vec::new(), types: PhantomData }
    }

    table_moves! {
        /// The first pair.
        first;
        /// The last pair.
        last;
        /// The next pair. At the end it stays behind the last one.
        next;
        /// The pair before.
        prev;
        /// The pair that it stands on.
        current;
    }

    /// The pair with this key, or the first one behind it.
    pub fn seek(&mut self, key: K::Arg<'_>) -> Result<Option<Pair<'_, 't, K, V>>> {
        let bytes = with_key::<K, _>(key, |key| self.cursor.seek(key))?;
        pair::<K, V>(bytes, &mut self.key)
    }

    /// The pair with this key, or the last one before it.
    pub fn seek_back(&mut self, key: K::Arg<'_>) -> Result<Option<Pair<'_, 't, K, V>>> {
        let bytes = with_key::<K, _>(key, |key| self.cursor.seek_back(key))?;
        pair::<K, V>(bytes, &mut self.key)
    }
}

impl<K, V> Clone for TypedCursor<K, V> {
    fn clone(&self) -> Self {
        TypedCursor { cursor: self.cursor.clone(), key: Vec::new(), types: PhantomData }
    }
}

impl<K, V> Clone for TypedTableCursor<'_, K, V> {
    fn clone(&self) -> Self {
        TypedTableCursor { cursor: self.cursor.clone(), key: Vec::new(), types: PhantomData }
    }
}

impl<K: Key, V: Value> fmt::Debug for TypedCursor<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCursor")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .field("cursor", &self.cursor)
            .finish()
    }
}

impl<K: Key, V: Value> fmt::Debug for TypedTableCursor<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedTableCursor")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .field("cursor", &self.cursor)
            .finish()
    }
}
