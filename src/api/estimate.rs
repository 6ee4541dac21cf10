//! How many pairs a range has, where it is to be cut, and pairs drawn at random.

use super::key_range::KeyRange;
use super::table::{Source, Table, over};
use super::table_mut::TableMut;
use crate::error::Result;
use crate::tree::{self, Key};

impl<'t> Table<'t> {
    /// How many pairs a range has. Exact; the whole table is O(1). Reads the front of each leaf
    /// between the ends, or of each beside them if those are fewer, and no key but at the ends: for
    /// pairs of 100 bytes a twentieth of the time of a walk (docs/performance.md, *Calls of
    /// tables*). [`Table::estimate_range`] reads next to nothing.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut table = txn.open_table("main")?;
    /// for n in 0..10_000u32 {
    ///     table.put(&n.to_be_bytes(), b"")?;
    /// }
    /// let (from, to) = (2_500u32.to_be_bytes(), 7_500u32.to_be_bytes());
    /// assert_eq!(table.count_range(from..to)?, 5_000);
    /// let about = table.estimate_range(from..to)?;
    /// assert!((4_000..6_000).contains(&about));
    /// # Ok(()) }
    /// ```
    ///
    /// Errors as in [`Table`].
    pub fn count_range(&self, keys: impl KeyRange) -> Result<u64> {
        let (from, to) = keys.bounds();
        over!(self.source(), pages => tree::count_range(pages, &self.descriptor(), from, to))
    }

    /// About how many pairs a range has: for the choice of what to walk first, or of a buffer's
    /// size. 34 descents of the tree, and fewer than 32 pages of each level near the root.
    ///
    /// Exact for the whole table, and for a range inside of a leaf or two that stand side by side.
    /// Else the branches say which part of the tree it is, and 32 leaves of it how full that is:
    /// some percent off where pages are about as full as their neighbours, more where they differ
    /// much, as after many deletions or where long values stand beside short ones. Nothing bounds
    /// the error, but the whole table.
    ///
    /// Errors as in [`Table`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut table = txn.open_table("main")?;
    /// for n in 0..10_000u32 {
    ///     table.put(&n.to_be_bytes(), b"")?;
    /// }
    /// let about = table.as_table().estimate_range(2_500u32.to_be_bytes()..)?;
    /// assert!((6_000..9_000).contains(&about));
    /// assert_eq!(table.as_table().estimate_range(..)?, 10_000);
    /// # Ok(()) }
    /// ```
    pub fn estimate_range(&self, keys: impl KeyRange) -> Result<u64> {
        let (from, to) = keys.bounds();
        over!(self.source(), pages => tree::estimate_range(pages, &self.descriptor(), from, to))
    }

    /// Keys that cut a range into `parts` parts of about as many pages, for threads that share a
    /// walk: each is the first of its part, but for the first part, which begins where the range
    /// does. They are keys of the table, in their order, and no part is empty, so there are fewer
    /// of them where the range has few pairs; none for one part or an empty range.
    ///
    /// A descent of the tree for each, two for the ends, and fewer than 32 pages of each level near
    /// the root. Parts have as many pairs where pages are equally full, and more of them where
    /// values are short; pages of long values do not count.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use std::ops::Bound::*;
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut table = txn.open_table("main")?;
    /// # for n in 0..10_000u32 {
    /// #     table.put(&n.to_be_bytes(), b"")?;
    /// # }
    /// # txn.commit()?;
    /// let txn = db.read()?;
    /// let table = txn.table("main")?;
    /// let cuts = table.split_range(.., 4)?;
    /// let starts = std::iter::once(Unbounded).chain(cuts.iter().map(Included));
    /// let ends = cuts.iter().map(Excluded).chain(std::iter::once(Unbounded));
    /// let found = std::thread::scope(|scope| {
    ///     let parts: Vec<_> = (starts.zip(ends))
    ///         .map(|(start, end)| scope.spawn(move || table.range((start, end)).unwrap().count()))
    ///         .collect();
    ///     parts.into_iter().map(|part| part.join().unwrap()).sum::<usize>()
    /// });
    /// assert_eq!(found, 10_000);
    /// # Ok(()) }
    /// ```
    ///
    /// Errors as in [`Table`].
    pub fn split_range(&self, keys: impl KeyRange, parts: usize) -> Result<Vec<Vec<u8>>> {
        let (from, to) = keys.bounds();
        over!(self.source(), pages => tree::split_range(pages, &self.descriptor(), from, to, parts))
    }

    /// Pairs drawn at random, each with the same probability from all there are, so that one may
    /// come twice; in the order in which they were drawn. None in an empty table, else `number`.
    /// The same table and seed give the same pairs.
    ///
    /// Some tens of pages are read for each (a draw that would favour pairs on emptier pages is
    /// thrown away), but of a table with few leaves for that the front of each, once.
    ///
    /// Errors: [`Error::InvalidArgument`](crate::Error::InvalidArgument) if there is no memory for
    /// so many.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut table = txn.open_table("main")?;
    /// for n in 0..1_000u32 {
    ///     table.put(&n.to_be_bytes(), &[b'.'; 50])?;
    /// }
    /// let drawn = table.sample(20, 7)?;
    /// let bytes: usize = drawn.iter().map(|(key, value)| key.len() + value.len()).sum();
    /// assert_eq!(bytes / drawn.len(), 54);
    /// # Ok(()) }
    /// ```
    pub fn sample(&self, number: usize, seed: u64) -> Result<Vec<(Key<'t>, &'t [u8])>> {
        over!(self.source(), pages => tree::sample(pages, &self.descriptor(), number, seed))
    }
}

impl TableMut<'_> {
    /// As [`Table::count_range`].
    pub fn count_range(&self, keys: impl KeyRange) -> Result<u64> {
        self.as_table().count_range(keys)
    }

    /// As [`Table::estimate_range`].
    pub fn estimate_range(&self, keys: impl KeyRange) -> Result<u64> {
        self.as_table().estimate_range(keys)
    }

    /// As [`Table::split_range`].
    pub fn split_range(&self, keys: impl KeyRange, parts: usize) -> Result<Vec<Vec<u8>>> {
        self.as_table().split_range(keys, parts)
    }

    /// As [`Table::sample`].
    pub fn sample(&self, number: usize, seed: u64) -> Result<Vec<(Key<'_>, &[u8])>> {
        self.as_table().sample(number, seed)
    }
}
