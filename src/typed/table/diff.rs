//! What differs between two typed tables.

use super::definition::TableDef;
use super::encoded::bounds;
use super::opening::is_there;
use super::read::TypedTable;
use crate::api::diff::Diff;
use crate::api::transaction::ReadTxn;
use crate::error::Result;
use crate::tree::{self, Change};
use crate::typed::key::Key;
use crate::typed::value::Value;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::RangeBounds;

impl<'t, K: Key, V: Value> TypedTable<'t, K, V> {
    /// What differs between `older` and this table, for the keys of a range, in their order; walk
    /// it from either end. As [`Table::diff`](crate::Table::diff), which says what it costs and how
    /// to go on later behind a key. Values are compared as they are encoded.
    ///
    /// Errors: [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the tables are not read
    /// through one handle; those of reading, and [`Error::Decode`](crate::Error::Decode), come as
    /// items, and then nothing more.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::{TableDef, TypedChange};
    /// const STOCK: TableDef<&str, u32> = TableDef::new("stock");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.typed_mut(&STOCK)?.load([("apple", 5), ("pear", 9)])?;
    /// # txn.commit()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// let mut stock = txn.typed_mut(&STOCK)?;
    /// stock.put("apple", 4)?;
    /// stock.put("plum", 7)?;
    /// stock.delete("pear")?;
    /// // In the middle of a transaction.
    /// let changes = stock.as_table().diff(&older.typed(&STOCK)?, ..)?;
    /// let changes = changes.collect::<recto::Result<Vec<_>>>()?;
    /// assert_eq!(changes[0], ("apple".into(), TypedChange::Changed { old: 5, new: 4 }));
    /// assert_eq!(changes[1], ("pear".into(), TypedChange::Removed(9)));
    /// assert_eq!(changes[2], ("plum".into(), TypedChange::Added(7)));
    /// # Ok(()) }
    /// ```
    pub fn diff<'k>(
        &self,
        older: &TypedTable<'t, K, V>,
        keys: impl RangeBounds<K::Arg<'k>>,
    ) -> Result<TypedDiff<'t, K, V>> {
        self.as_bytes().diff(&older.as_bytes(), bounds::<K>(&keys)).map(TypedDiff::new)
    }
}

impl ReadTxn {
    /// As [`TypedTable::diff`], by the definition of the table. A table that only one of the
    /// snapshots has is compared with an empty one.
    ///
    /// Four descents of the list of tables besides. Errors:
    /// [`Error::NoSuchTable`](crate::Error::NoSuchTable) if neither has it,
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if they are of two handles,
    /// [`Error::TableOptions`](crate::Error::TableOptions) where it has other types.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const STOCK: TableDef<&str, u32> = TableDef::new("stock");
    /// # let db = recto::Database::in_memory()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// txn.typed_mut(&STOCK)?.put("apple", 5)?;
    /// txn.commit()?;
    /// let newer = db.read()?;
    /// for change in newer.diff_typed(&older, &STOCK, "a"..)? {
    ///     let (fruit, change) = change?;
    ///     assert_eq!((&*fruit, change.old(), change.new()), ("apple", None, Some(&5)));
    /// }
    /// # Ok(()) }
    /// ```
    pub fn diff_typed<'t, 'k, K: Key, V: Value>(
        &'t self,
        older: &'t ReadTxn,
        def: &TableDef<'_, K, V>,
        keys: impl RangeBounds<K::Arg<'k>>,
    ) -> Result<TypedDiff<'t, K, V>> {
        for txn in [older, self] {
            is_there(txn.table_options(def.name())?, def)?;
        }
        self.diff(older, def.name(), bounds::<K>(&keys)).map(TypedDiff::new)
    }
}

/// What became of a key, and its values: a [`Change`] with a type.
///
/// ```
/// use recto::typed::TypedChange;
/// let change = TypedChange::Changed { old: 5, new: 4 };
/// assert_eq!((change.old(), change.new()), (Some(&5), Some(&4)));
/// assert_eq!(TypedChange::Added("new").old(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TypedChange<T> {
    /// Only the newer one has the key.
    Added(T),
    /// Only the older one has it.
    Removed(T),
    /// Both have it, with different values.
    Changed {
        /// The value in the older one.
        old: T,
        /// The value in the newer one.
        new: T,
    },
}

impl<T> TypedChange<T> {
    /// The value in the older one.
    pub fn old(&self) -> Option<&T> {
        match self {
            TypedChange::Added(_) => None,
            TypedChange::Removed(old) | TypedChange::Changed { old, .. } => Some(old),
        }
    }

    /// The value in the newer one.
    #[allow(clippy::new_ret_no_self)] // the other of old
    pub fn new(&self) -> Option<&T> {
        match self {
            TypedChange::Removed(_) => None,
            TypedChange::Added(new) | TypedChange::Changed { new, .. } => Some(new),
        }
    }
}

/// What differs between two typed tables: keys in their order, with what became of each, from both
/// ends: a [`Diff`] with types. After an error it yields nothing more. It stays on the thread that
/// it was made on.
pub struct TypedDiff<'t, K, V> {
    changes: Diff<'t>,
    failed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

type Changed<'t, K, V> = (<K as Key>::Owned, TypedChange<<V as Value>::Ref<'t>>);

impl<'t, K: Key, V: Value> TypedDiff<'t, K, V> {
    fn new(changes: Diff<'t>) -> TypedDiff<'t, K, V> {
        TypedDiff { changes, failed: false, types: PhantomData }
    }

    fn step(&mut self, ahead: bool) -> Option<Result<Changed<'t, K, V>>> {
        let next = match (self.failed, ahead) {
            (true, _) => return None,
            (_, true) => self.changes.next()?,
            (_, false) => self.changes.next_back()?,
        };
        let change = next.and_then(|(key, change)| decoded::<K, V>(&key, change));
        self.failed = change.is_err();
        Some(change)
    }
}

fn decoded<'t, K: Key, V: Value>(
    key: &tree::Key<'_>,
    change: Change<'t>,
) -> Result<Changed<'t, K, V>> {
    let change = match change {
        Change::Added(new) => TypedChange::Added(V::decode(new)?),
        Change::Removed(old) => TypedChange::Removed(V::decode(old)?),
        Change::Changed { old, new } => {
            TypedChange::Changed { old: V::decode(old)?, new: V::decode(new)? }
        }
    };
    Ok((K::from_bytes(key)?, change))
}

impl<'t, K: Key, V: Value> Iterator for TypedDiff<'t, K, V> {
    type Item = Result<(K::Owned, TypedChange<V::Ref<'t>>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}

impl<K: Key, V: Value> DoubleEndedIterator for TypedDiff<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl<K: Key, V: Value> FusedIterator for TypedDiff<'_, K, V> {}

impl<K: Key, V: Value> fmt::Debug for TypedDiff<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedDiff")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .finish_non_exhaustive()
    }
}
