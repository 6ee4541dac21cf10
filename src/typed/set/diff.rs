//! What differs between two typed tables of sets.

use super::definition::SetDef;
use super::opening::is_there;
use super::range::decoding;
use super::read::TypedSet;
use crate::api::set_diff::SetDiff;
use crate::api::transaction::ReadTxn;
use crate::error::Result;
use crate::tree::PairChange;
use crate::typed::key::Key;
use crate::typed::table::encoded::{bounds, with_key};
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::RangeBounds;

impl<'t, K: Key, V: Key> TypedSet<'t, K, V> {
    /// The pairs that only one of `older` and this table has, for the keys of a range, by key and
    /// then by value; walk it from either end. As [`SetTable::diff`](crate::SetTable::diff), which
    /// says what it costs and how to go on later behind a pair.
    ///
    /// Errors: [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the tables are not read
    /// through one handle; those of reading, and [`Error::Decode`](crate::Error::Decode), come as
    /// items, and then nothing more.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::{PairChange::{Added, Removed}, typed::SetDef};
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags"); // the articles of a tag
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.typed_set_mut(&TAGS)?.load([("files", 7), ("rust", 3)])?;
    /// # txn.commit()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// let mut tags = txn.typed_set_mut(&TAGS)?;
    /// tags.insert("rust", 7)?;
    /// tags.remove("files", 7)?;
    /// // In the middle of a transaction.
    /// let changes = tags.as_set().diff(&older.typed_set(&TAGS)?, ..)?;
    /// let changes = changes.collect::<recto::Result<Vec<_>>>()?;
    /// assert_eq!(changes, [("files".into(), 7, Removed), ("rust".into(), 7, Added)]);
    /// # Ok(()) }
    /// ```
    pub fn diff<'k>(
        &self,
        older: &TypedSet<'t, K, V>,
        keys: impl RangeBounds<K::Arg<'k>>,
    ) -> Result<TypedSetDiff<'t, K, V>> {
        let keys = bounds::<K>(&keys);
        self.as_bytes().diff(&older.as_bytes(), keys).map(TypedSetDiff::new)
    }

    /// The same for the values of one key that lie in a range.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::SetDef;
    /// const VISITS: SetDef<&str, (u8, u8)> = SetDef::new("visits"); // month and day
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.typed_set_mut(&VISITS)?.insert("ada", (1, 31))?;
    /// # txn.commit()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// let mut visits = txn.typed_set_mut(&VISITS)?;
    /// for day in [(1, 30), (2, 1), (2, 3)] {
    ///     visits.insert("ada", day)?;
    /// }
    /// let (now, before) = (visits.as_set(), older.typed_set(&VISITS)?);
    /// assert_eq!(now.diff_values(&before, "ada", (2, 0)..)?.count(), 2);
    /// # Ok(()) }
    /// ```
    pub fn diff_values<'v>(
        &self,
        older: &TypedSet<'t, K, V>,
        key: K::Arg<'_>,
        values: impl RangeBounds<V::Arg<'v>>,
    ) -> Result<TypedSetDiff<'t, K, V>> {
        let (older, values) = (older.as_bytes(), bounds::<V>(&values));
        with_key::<K, _>(key, |key| self.as_bytes().diff_values(&older, key, values))
            .map(TypedSetDiff::new)
    }
}

impl ReadTxn {
    /// As [`TypedSet::diff`], by the definition of the table. A table that only one of the
    /// snapshots has is compared with an empty one.
    ///
    /// Four descents of the list of tables besides. Errors:
    /// [`Error::NoSuchTable`](crate::Error::NoSuchTable) if neither has it,
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if they are of two handles,
    /// [`Error::TableOptions`](crate::Error::TableOptions) where it has other types.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::{PairChange, typed::SetDef};
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    /// # let db = recto::Database::in_memory()?;
    /// let older = db.read()?;
    /// let mut txn = db.write()?;
    /// txn.typed_set_mut(&TAGS)?.insert("rust", 7)?;
    /// txn.commit()?;
    /// let newer = db.read()?;
    /// let mut changes = newer.diff_typed_set(&older, &TAGS, "r"..)?;
    /// assert_eq!(changes.next().transpose()?, Some(("rust".into(), 7, PairChange::Added)));
    /// # Ok(()) }
    /// ```
    pub fn diff_typed_set<'t, 'k, K: Key, V: Key>(
        &'t self,
        older: &'t ReadTxn,
        def: &SetDef<'_, K, V>,
        keys: impl RangeBounds<K::Arg<'k>>,
    ) -> Result<TypedSetDiff<'t, K, V>> {
        for txn in [older, self] {
            is_there(txn.table_options(def.name())?, def)?;
        }
        self.diff_set(older, def.name(), bounds::<K>(&keys)).map(TypedSetDiff::new)
    }
}

/// Pairs that only one of two typed tables of sets has, by key and then by value, with which it is,
/// from both ends: a [`SetDiff`] with types. After an error it yields nothing more. It stays on the
/// thread that it was made on.
pub struct TypedSetDiff<'t, K, V> {
    pairs: SetDiff<'t>,
    failed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Key> TypedSetDiff<'t, K, V> {
    fn new(pairs: SetDiff<'t>) -> TypedSetDiff<'t, K, V> {
        TypedSetDiff { pairs, failed: false, types: PhantomData }
    }
}

decoding!(TypedSetDiff<'t, K, V>, pairs, (K::Owned, V::Owned, PairChange), |(
    key,
    value,
    change,
)| Ok((
    K::from_bytes(&key)?,
    V::from_bytes(&value)?,
    change
)));
