//! How many pairs a range of a typed table has, where it is to be cut, and pairs drawn at random.

use super::encoded::bounds;
use super::read::TypedTable;
use super::write::TypedTableMut;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::value::Value;
use std::ops::RangeBounds;

impl<'t, K: Key, V: Value> TypedTable<'t, K, V> {
    /// How many pairs a range has: as [`Table::count_range`](crate::Table::count_range), which says
    /// what it costs. Nothing is decoded.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const SAMPLES: TableDef<(u32, i64), f64> = TableDef::new("samples"); // sensor and second
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut samples = txn.typed_mut(&SAMPLES)?;
    /// for second in -1_000..1_000 {
    ///     samples.put((7, second), 0.5)?;
    /// }
    /// let samples = samples.as_table();
    /// assert_eq!(samples.count_range((7, 0)..)?, 1_000);
    /// let middle = samples.split_range(.., 2)?;
    /// assert!(matches!(middle[..], [(7, -300..300)]));
    /// assert!(samples.sample(10, 1)?.iter().all(|(_, value)| *value == 0.5));
    /// assert_eq!(samples.estimate_range(..)?, 2_000);
    /// # Ok(()) }
    /// ```
    pub fn count_range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<u64> {
        self.as_bytes().count_range(bounds::<K>(&keys))
    }

    /// About how many pairs a range has:
    /// [`Table::estimate_range`](crate::Table::estimate_range) says how far it may be off.
    pub fn estimate_range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<u64> {
        self.as_bytes().estimate_range(bounds::<K>(&keys))
    }

    /// Keys that cut a range into so many parts of about as many pages: as
    /// [`Table::split_range`](crate::Table::split_range).
    pub fn split_range<'k>(
        &self,
        keys: impl RangeBounds<K::Arg<'k>>,
        parts: usize,
    ) -> Result<Vec<K::Owned>> {
        let cuts = self.as_bytes().split_range(bounds::<K>(&keys), parts)?;
        cuts.iter().map(|key| K::from_bytes(key)).collect()
    }

    /// Pairs drawn at random, each with the same probability: as
    /// [`Table::sample`](crate::Table::sample).
    pub fn sample(&self, number: usize, seed: u64) -> Result<Vec<(K::Owned, V::Ref<'t>)>> {
        let drawn = self.as_bytes().sample(number, seed)?;
        drawn
            .into_iter()
            .map(|(key, value)| Ok((K::from_bytes(&key)?, V::decode(value)?)))
            .collect()
    }
}

impl<K: Key, V: Value> TypedTableMut<'_, K, V> {
    /// As [`TypedTable::count_range`].
    pub fn count_range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<u64> {
        self.as_table().count_range(keys)
    }

    /// As [`TypedTable::estimate_range`].
    pub fn estimate_range<'k>(&self, keys: impl RangeBounds<K::Arg<'k>>) -> Result<u64> {
        self.as_table().estimate_range(keys)
    }

    /// As [`TypedTable::split_range`].
    pub fn split_range<'k>(
        &self,
        keys: impl RangeBounds<K::Arg<'k>>,
        parts: usize,
    ) -> Result<Vec<K::Owned>> {
        self.as_table().split_range(keys, parts)
    }

    /// As [`TypedTable::sample`].
    pub fn sample(&self, number: usize, seed: u64) -> Result<Vec<(K::Owned, V::Ref<'_>)>> {
        self.as_table().sample(number, seed)
    }
}
