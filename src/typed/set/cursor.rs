//! Cursors of typed tables of sets.

use super::id::TypedSetId;
use super::read::TypedSet;
use crate::api::set_cursor::{SetCursor, SetTableCursor};
use crate::api::transaction::WriteTxn;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::table::encoded::{with_key, with_set_value};
use std::fmt;
use std::marker::PhantomData;

/// A key and a value of it, borrowed until the next call.
pub type SetPair<'a, K, V> = (<K as Key>::Ref<'a>, <V as Key>::Ref<'a>);

/// Where a key and a value are put together that were read.
#[derive(Default)]
pub(super) struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Scratch {
    pub(super) fn read<K: Key, V: Key>(
        &mut self,
        key: &[u8],
        value: &[u8],
    ) -> Result<SetPair<'_, K, V>> {
        Ok((K::read(key, &mut self.key)?, V::read(value, &mut self.value)?))
    }

    pub(super) fn pair<K: Key, V: Key>(
        &mut self,
        bytes: Option<(&[u8], &[u8])>,
    ) -> Result<Option<SetPair<'_, K, V>>> {
        bytes.map(|(key, value)| self.read::<K, V>(key, value)).transpose()
    }
}

/// The moves that all typed cursors of sets have, each by that of the cursor of bytes; those of a
/// write transaction take that as well.
macro_rules! typed_set_moves {
    ($($txn:ident: $of:ty)?) => {
        typed_set_moves! { @each [$($txn: $of)?]
            /// The first pair.
            first();
            /// The last pair.
            last();
            /// The next pair, of this key or the next. At the end it stays behind the last one.
            next();
            /// The pair before. At the start it stays in front of the first one.
            prev();
            /// The next value of the same key. Where there is none it does not move.
            next_value();
            /// The value before of the same key. Where there is none it does not move.
            prev_value();
            /// The first value of the key on which it stands.
            first_value();
            /// The last value of the key on which it stands.
            last_value();
            /// The first value of the next key. Where there is none it does not move.
            next_key();
            /// The last value of the key before. Where there is none it does not move.
            prev_key();
            /// The first value of this key, or of the first key behind it.
            seek(key: K);
            /// The last value of this key, or of the last key before it.
            seek_back(key: K);
            /// The first value of this key that is not below this value. Where there is none it
            /// stands where that would, beside its neighbours.
            seek_value(key: K, value: V);
            /// This pair, if it is there. Where it is not it stands where it would, beside its
            /// neighbours.
            find(key: K, value: V);
            /// The pair that it stands on; None if it stands on none, or that was removed.
            current();
        }
    };
    (@each $head:tt $($(#[$doc:meta])* $name:ident $arguments:tt;)*) => {
        $(typed_set_moves! { @one $head $arguments $(#[$doc])* $name })*
    };
    (@one [$($txn:ident: $of:ty)?] ($($argument:ident: $type:ident),*)
        $(#[$doc:meta])* $name:ident) =>
    {
        $(#[$doc])*
        #[allow(clippy::should_implement_trait)] // pairs are borrowed until the next call
        pub fn $name(
            &mut self
            $(, $txn: $of)?
            $(, $argument: $type::Arg<'_>)*
        ) -> Result<Option<SetPair<'_, K, V>>> {
            let cursor = &mut self.cursor;
            let bytes = typed_set_moves!(@go cursor $name [$($txn)?] $($argument)*)?;
            self.scratch.pair::<K, V>(bytes)
        }
    };
    (@go $cursor:ident $name:ident [$($txn:ident)?]) => { $cursor.$name($($txn)?) };
    (@go $cursor:ident $name:ident [$($txn:ident)?] $key:ident) => {
        with_key::<K, _>($key, |key| $cursor.$name($($txn,)? key))
    };
    (@go $cursor:ident $name:ident [$($txn:ident)?] $key:ident $value:ident) => {
        with_key::<K, _>($key, |key| {
            with_set_value::<V, _>($value, |value| $cursor.$name($($txn,)? key, value))
        })
    };
}

pub(super) use typed_set_moves;

/// A place among the pairs of a typed table of sets of a write transaction: a [`SetCursor`] with
/// types, which says where it stands after each move and what that costs. It borrows nothing, and
/// stays where it is whatever happens to the table.
///
/// Each method that moves gives the pair on which it stands then, or None. Both are borrowed from
/// the cursor until the next move. [`Error::Decode`](crate::Error::Decode), with the cursor on that
/// pair, if its bytes are none of its types; other errors as of [`SetCursor`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut tags = txn.typed_set_mut(&TAGS)?;
/// tags.load([("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)])?;
/// let mut cursor = tags.cursor();
/// // Of each key all values go but the first one.
/// let mut more = cursor.first(&txn)?.is_some();
/// while more {
///     while cursor.next_value(&txn)?.is_some() {
///         cursor.delete(&mut txn)?;
///     }
///     more = cursor.next_key(&txn)?.is_some();
/// }
/// let tags = txn.typed_set(&TAGS)?;
/// assert_eq!((tags.len(), tags.count("a")?, tags.count("b")?), (2, 1, 1));
/// # Ok(()) }
/// ```
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # use recto::typed::SetDef;
/// # const TAGS: SetDef<&str, u64> = SetDef::new("tags");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// let tags = txn.open_typed_set(&TAGS)?;
/// let mut cursor = tags.cursor(&txn);
/// for (tag, page) in [("a", 1), ("a", 2), ("b", 1), ("b", 2)] {
///     cursor.insert(&mut txn, tag, page)?; // and stands on it
/// }
/// assert_eq!((cursor.table(), cursor.pair()?), (tags, Some(("b", 2))));
/// assert_eq!(cursor.prev_value(&txn)?, Some(("b", 1)));
/// assert_eq!(cursor.prev(&txn)?, Some(("a", 2)));
/// assert_eq!(cursor.next(&txn)?, Some(("b", 1)));
/// assert_eq!(cursor.last_value(&txn)?, Some(("b", 2)));
/// assert_eq!(cursor.first_value(&txn)?, Some(("b", 1)));
/// assert_eq!(cursor.prev_key(&txn)?, Some(("a", 2)));
/// assert_eq!(cursor.last(&txn)?, Some(("b", 2)));
/// assert_eq!(cursor.seek(&txn, "az")?, Some(("b", 1)));
/// assert_eq!(cursor.seek_back(&txn, "az")?, Some(("a", 2)));
/// assert_eq!(cursor.seek_value(&txn, "b", 2)?, Some(("b", 2)));
/// assert_eq!(cursor.find(&txn, "a", 1)?, Some(("a", 1)));
/// assert_eq!((cursor.count(&txn)?, cursor.delete_key(&mut txn)?), (2, 2));
/// assert_eq!(cursor.current(&txn)?, None);
/// assert_eq!(cursor.pair()?, Some(("a", 1))); // where it was
/// # Ok(()) }
/// ```
///
/// It may be sent to another thread, with its transaction or without it.
pub struct TypedSetCursor<K, V> {
    cursor: SetCursor,
    scratch: Scratch,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Key> TypedSetCursor<K, V> {
    pub(super) fn new(cursor: SetCursor) -> TypedSetCursor<K, V> {
        TypedSetCursor { cursor, scratch: Scratch::default(), types: PhantomData }
    }

    /// Its table.
    pub fn table(&self) -> TypedSetId<K, V> {
        TypedSetId::new(self.cursor.table())
    }

    /// The key and the value that it stands on, whether the pair is still there or not.
    pub fn pair(&mut self) -> Result<Option<SetPair<'_, K, V>>> {
        self.scratch.pair::<K, V>(self.cursor.pair())
    }

    typed_set_moves! { txn: &WriteTxn }

    /// Number of values of the key that it stands on; 0 if it stands on none, or that is gone.
    pub fn count(&self, txn: &WriteTxn) -> Result<u64> {
        self.cursor.count(txn)
    }

    /// Removes the pair that it stands on, and stays where that was; false if there is none.
    pub fn delete(&mut self, txn: &mut WriteTxn) -> Result<bool> {
        self.cursor.delete(txn)
    }

    /// Removes the key that it stands on with all its values, and stays where the pair was; how
    /// many there were.
    pub fn delete_key(&mut self, txn: &mut WriteTxn) -> Result<u64> {
        self.cursor.delete_key(txn)
    }

    /// Inserts a pair, wherever it belongs, and stands on it; true if it is new.
    pub fn insert(
        &mut self,
        txn: &mut WriteTxn,
        key: K::Arg<'_>,
        value: V::Arg<'_>,
    ) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            with_set_value::<V, _>(value, |value| self.cursor.insert(txn, key, value))
        })
    }
}

/// A place among the pairs of a typed table of sets, which moves to either side, among the values
/// of one key or from key to key, and to any pair: a [`SetTableCursor`] with types. Both are
/// borrowed from the cursor until the next move.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// const VISITS: SetDef<&str, (u8, u8)> = SetDef::new("visits"); // month and day
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut visits = txn.typed_set_mut(&VISITS)?;
/// visits.load([("ada", (1, 31)), ("ada", (2, 3)), ("bob", (2, 1)), ("eve", (1, 2))])?;
/// # txn.commit()?;
/// let txn = db.read()?;
/// let mut cursor = txn.typed_set(&VISITS)?.cursor();
/// assert_eq!(cursor.seek_value("ada", (2, 0))?, Some(("ada", (2, 3))));
/// assert_eq!(cursor.next_value()?, None);
/// assert_eq!(cursor.next_key()?, Some(("bob", (2, 1))));
/// assert_eq!(cursor.prev_key()?, Some(("ada", (2, 3))));
/// assert_eq!(cursor.first_value()?, Some(("ada", (1, 31))));
/// assert_eq!(cursor.last_value()?, Some(("ada", (2, 3))));
/// assert_eq!(cursor.prev_value()?, Some(("ada", (1, 31))));
/// assert_eq!(cursor.last()?, Some(("eve", (1, 2))));
/// assert_eq!(cursor.prev()?, Some(("bob", (2, 1))));
/// assert_eq!(cursor.first()?, Some(("ada", (1, 31))));
/// assert_eq!(cursor.next()?, Some(("ada", (2, 3))));
/// assert_eq!((cursor.count()?, cursor.table().len()), (2, 4));
/// assert_eq!(cursor.seek("b")?, Some(("bob", (2, 1))));
/// assert_eq!(cursor.seek_back("b")?, Some(("ada", (2, 3))));
/// assert_eq!(cursor.find("bob", (2, 2))?, None); // it stands where that would
/// assert_eq!(cursor.current()?, None);
/// # Ok(()) }
/// ```
///
/// A move costs what that of a [`SetCursor`] costs, and the decoding. Errors as in [`TypedSet`]:
/// after [`Error::Decode`](crate::Error::Decode) it stands on the pair that cannot be read.
pub struct TypedSetTableCursor<'t, K, V> {
    cursor: SetTableCursor<'t>,
    scratch: Scratch,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Key> TypedSetTableCursor<'t, K, V> {
    /// Its table.
    pub fn table(&self) -> TypedSet<'t, K, V> {
        TypedSet::new(self.cursor.table())
    }

    typed_set_moves! {}

    /// Number of values of the key that it stands on; 0 if it stands on none.
    pub fn count(&self) -> Result<u64> {
        self.cursor.count()
    }
}

impl<'t, K: Key, V: Key> TypedSet<'t, K, V> {
    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> TypedSetTableCursor<'t, K, V> {
        let (cursor, scratch) = (self.as_bytes().cursor(), Scratch::default());
        TypedSetTableCursor { cursor, scratch, types: PhantomData }
    }
}

/// What typed cursors of sets are besides, whatever their types.
macro_rules! cursors {
    ($($what:ident<$($life:lifetime)?>;)*) => {$(
        impl<$($life,)? K, V> Clone for $what<$($life,)? K, V> {
            fn clone(&self) -> Self {
                let (cursor, scratch) = (self.cursor.clone(), Scratch::default());
                $what { cursor, scratch, types: PhantomData }
            }
        }

        impl<$($life,)? K: Key, V: Key> fmt::Debug for $what<$($life,)? K, V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($what))
                    .field("keys", &K::type_name())
                    .field("values", &V::type_name())
                    .field("cursor", &self.cursor)
                    .finish()
            }
        }
    )*};
}

pub(super) use cursors;

cursors! {
    TypedSetCursor<>;
    TypedSetTableCursor<'t>;
}
