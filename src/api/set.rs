//! Tables of sets: a key has several values, in their order.

use super::key_range::KeyRange;
use super::table::{Source, TableStats, after_prefix, over};
use crate::error::Result;
use crate::format::descriptor::TableDescriptor;
use crate::pager::workspace::Workspace;
use crate::tree::{self, Key, PageSource, Set, SetMove, SetPosition, Version};
use crate::txn::read::Snapshot;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Bound;
use std::sync::Arc;

/// A table whose keys have sets of values, as one transaction sees it, for reading: what LMDB calls
/// `MDB_DUPSORT`, and others a multimap. Cheap to copy. Keys and values are bytes, compared as
/// unsigned numbers; a pair of both is there once at most.
///
/// A single value takes the room that it takes in any table, a few stand side by side in the leaf
/// of their key, and many in a tree of their own, so that a key may have any number of them: all
/// that is done with one of *m* values of one of *n* keys takes O(log *n* + log *m*).
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut tags = txn.open_set("tags")?;
/// for (tag, page) in [("rust", "/b"), ("rust", "/a"), ("files", "/a")] {
///     tags.insert(tag.as_bytes(), page.as_bytes())?;
/// }
/// txn.commit()?;
///
/// let txn = db.read()?;
/// let tags = txn.set("tags")?;
/// let pages = tags.get(b"rust")?.collect::<recto::Result<Vec<_>>>()?;
/// assert_eq!(pages, ["/a", "/b"].map(str::as_bytes));
/// assert!(tags.contains(b"files", b"/a")?);
/// assert_eq!((tags.len(), tags.key_count(), tags.count(b"rust")?), (3, 2, 2));
/// assert!(tags.contains_key(b"rust")? && !tags.is_empty());
/// assert_eq!((tags.value_size(), tags.stats().pairs), (None, 3)); // values of any length
/// assert_eq!((tags.iter()?.count(), tags.prefix(b"r")?.count()), (2, 1));
/// let (tag, page) = tags.first()?.unwrap();
/// assert_eq!((&*tag, &*page), (&b"files"[..], &b"/a"[..]));
/// assert_eq!(tags.last()?.unwrap().1, &b"/b"[..]);
/// assert_eq!(tags.get(b"rust")?.set_len(), 2);
/// assert_eq!(tags.cursor().next_key()?, Some((&b"files"[..], &b"/a"[..])));
/// assert_eq!(tags.sequence(), 0); // it has given out no number
/// # Ok(()) }
/// ```
///
/// Any number of threads may read it. Errors as in [`Table`](crate::Table).
#[derive(Clone, Copy)]
pub struct SetTable<'t> {
    source: Source<'t>,
    descriptor: TableDescriptor,
}

impl<'t> SetTable<'t> {
    pub(super) fn new(source: Source<'t>, descriptor: TableDescriptor) -> SetTable<'t> {
        SetTable { source, descriptor }
    }

    pub(super) fn descriptor(&self) -> &TableDescriptor {
        &self.descriptor
    }

    /// What it is read from, to be compared.
    pub(super) fn version(&self) -> Result<Version<'t>> {
        let src: &'t dyn PageSource = match self.source {
            Source::Snapshot(pages) => pages,
            Source::Writer(writer) => writer.pages()?,
        };
        Ok(Version { src, desc: self.descriptor })
    }

    /// Whether both are read through one handle.
    pub(super) fn is_beside(&self, other: &SetTable<'_>) -> bool {
        Arc::ptr_eq(self.source.engine(), other.source.engine())
    }

    /// What a key has; None if it is not there.
    pub(super) fn values_of(&self, key: &[u8]) -> Result<Option<Set<'t>>> {
        over!(self.source, pages => tree::get_set(pages, &self.descriptor, key))
    }

    /// Moves a position in the table; whether it stands on a pair then.
    pub(super) fn go(&self, position: &mut SetPosition, to: SetMove<'_>) -> Result<bool> {
        over!(self.source, pages => position.go(pages, &self.descriptor, to))
    }

    /// The values of a key in their order, from either end; none if the key is not there. One
    /// descent of the tree, and one of the tree of the values where they are many.
    pub fn get(&self, key: &[u8]) -> Result<Values<'t>> {
        self.values(key, ..)
    }

    /// Those of the values of a key that lie in a range.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut visits = txn.open_set("visits")?;
    /// for day in ["2026-01-31", "2026-02-01", "2026-02-03"] {
    ///     visits.insert(b"ada", day.as_bytes())?;
    /// }
    /// assert_eq!(visits.values(b"ada", "2026-02"..)?.count(), 2);
    /// # Ok(()) }
    /// ```
    pub fn values(&self, key: &[u8], values: impl KeyRange) -> Result<Values<'t>> {
        match self.values_of(key)? {
            Some(set) => self.of_set(&set, values.bounds()),
            None => Ok(Values { inner: Inner::None, set_len: 0 }),
        }
    }

    fn of_set(
        &self,
        set: &Set<'t>,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Values<'t>> {
        let d = &self.descriptor;
        let inner = match self.source {
            Source::Snapshot(pages) => {
                tree::SetValues::new(pages, d, set, from, to).map(Inner::Snapshot)
            }
            Source::Writer(writer) => {
                tree::SetValues::new(writer.pages()?, d, set, from, to).map(Inner::Writer)
            }
        };
        let inner = inner.map_err(|e| self.source.engine().named(e))?;
        Ok(Values { inner, set_len: set.count() })
    }

    /// Whether a key has a value.
    pub fn contains(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        let Some(set) = self.values_of(key)? else { return Ok(false) };
        over!(self.source, pages => tree::set_contains(pages, &self.descriptor, &set, value))
    }

    /// Whether a key has any value.
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        Ok(self.values_of(key)?.is_some())
    }

    /// Number of values of a key. One descent, however many there are.
    pub fn count(&self, key: &[u8]) -> Result<u64> {
        Ok(self.values_of(key)?.map_or(0, |set| set.count()))
    }

    /// Number of pairs: of values of all keys. O(1).
    pub fn len(&self) -> u64 {
        self.descriptor.pairs
    }

    /// Number of keys. O(1).
    pub fn key_count(&self) -> u64 {
        self.descriptor.entries
    }

    /// Whether the table has nothing.
    pub fn is_empty(&self) -> bool {
        self.key_count() == 0
    }

    /// Bytes that each value has; None where they may have any length.
    pub fn value_size(&self) -> Option<usize> {
        Some(usize::from(self.descriptor.value_size)).filter(|&size| size > 0)
    }

    /// Shape and size of the table. O(1).
    pub fn stats(&self) -> TableStats {
        TableStats::of(&self.descriptor)
    }

    /// The keys of a range with their values, in their order, from either end.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut tags = txn.open_set("tags")?;
    /// tags.insert(b"a", b"1")?;
    /// tags.insert(b"a", b"2")?;
    /// tags.insert(b"b", b"1")?;
    /// for entry in tags.range(..)? {
    ///     let (key, values) = entry?;
    ///     println!("{key}: {} values", values.set_len());
    ///     for value in values {
    ///         println!("    {}", value?);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn range(&self, keys: impl KeyRange) -> Result<SetRange<'t>> {
        let (from, to) = keys.bounds();
        let d = &self.descriptor;
        let inner = match self.source {
            Source::Snapshot(pages) => tree::Range::new(pages, d, from, to).map(Keys::Snapshot),
            Source::Writer(writer) => {
                tree::Range::new(writer.pages()?, d, from, to).map(Keys::Writer)
            }
        };
        let inner = inner.map_err(|e| self.source.engine().named(e))?;
        Ok(SetRange { table: *self, inner, failed: false })
    }

    /// All keys that begin with `prefix`, with their values.
    pub fn prefix(&self, prefix: &[u8]) -> Result<SetRange<'t>> {
        match after_prefix(self.descriptor.order, prefix)? {
            Some(end) => self.range(prefix..&end),
            None => self.range(prefix..),
        }
    }

    /// All keys with their values.
    pub fn iter(&self) -> Result<SetRange<'t>> {
        self.range(..)
    }

    /// All pairs of the keys of a range, by key and then by value, from either end.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut tags = txn.open_set("tags")?;
    /// tags.insert(b"a", b"1")?;
    /// tags.insert(b"a", b"2")?;
    /// tags.insert(b"b", b"1")?;
    /// let mut pairs = tags.pairs(..)?;
    /// let (key, value) = pairs.next_back().unwrap()?;
    /// assert_eq!((&*key, &*value), (&b"b"[..], &b"1"[..]));
    /// assert_eq!(pairs.count(), 2);
    /// # Ok(()) }
    /// ```
    pub fn pairs(&self, keys: impl KeyRange) -> Result<Pairs<'t>> {
        Ok(Pairs { keys: self.range(keys)?, front: None, back: None, done: false })
    }

    /// The first pair.
    pub fn first(&self) -> Result<Option<(Key<'t>, Key<'t>)>> {
        self.pairs(..)?.next().transpose()
    }

    /// The last pair.
    pub fn last(&self) -> Result<Option<(Key<'t>, Key<'t>)>> {
        self.pairs(..)?.next_back().transpose()
    }
}

enum Inner<'t> {
    None,
    Snapshot(tree::SetValues<'t, Snapshot>),
    Writer(tree::SetValues<'t, Workspace>),
}

/// Values of one key in their order, from both ends. After an error it yields nothing more.
pub struct Values<'t> {
    inner: Inner<'t>,
    set_len: u64,
}

impl<'t> Values<'t> {
    fn advance(&mut self, forward: bool) -> Option<Result<Key<'t>>> {
        let next = match &mut self.inner {
            Inner::None => return None,
            Inner::Snapshot(values) => values.advance(forward),
            Inner::Writer(values) => values.advance(forward),
        };
        self.settle(next)
    }

    fn settle<T>(&mut self, next: Result<Option<T>>) -> Option<Result<T>> {
        if next.is_err() {
            self.inner = Inner::None;
        }
        next.transpose()
    }

    /// The values that come next, as many as stand side by side, as one slice: for tables whose
    /// values have one size. All of them come as one slice where the key has no more than half a
    /// leaf of them, and then as a slice for each leaf, of 4,072 bytes in a page of 4,096. None
    /// where all have been given out; and where values may have any length: nothing is taken there,
    /// and they come one by one.
    ///
    /// O(1) inside of a leaf, and without a copy. Errors as in [`Table`](crate::Table).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::TableOptions;
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut friends = txn.open_set_with("friends", &TableOptions::set_of(4))?;
    /// for friend in 0..5_000u32 {
    ///     friends.insert(b"ada", &friend.to_be_bytes())?;
    /// }
    /// let mut values = friends.get(b"ada")?;
    /// let mut sum = 0;
    /// while let Some(slice) = values.next_slice()? {
    ///     sum += slice.chunks_exact(4).map(|n| u64::from(n[3])).sum::<u64>();
    /// }
    /// assert_eq!(sum, (0..5_000).map(|n| n % 256).sum::<u64>());
    /// # Ok(()) }
    /// ```
    pub fn next_slice(&mut self) -> Result<Option<&'t [u8]>> {
        let next = match &mut self.inner {
            Inner::None => return Ok(None),
            Inner::Snapshot(values) => values.next_slice(),
            Inner::Writer(values) => values.next_slice(),
        };
        self.settle(next).transpose()
    }

    /// Number of values that the key has, of which these may be a part. O(1).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut tags = txn.open_set("tags")?;
    /// tags.insert(b"rust", b"/a")?;
    /// tags.insert(b"rust", b"/b")?;
    /// let mut some = tags.values(b"rust", "/b"..)?;
    /// assert_eq!(some.set_len(), 2); // not those of the range
    /// assert_eq!(some.by_ref().count(), 1);
    /// # Ok(()) }
    /// ```
    pub fn set_len(&self) -> u64 {
        self.set_len
    }
}

impl<'t> Iterator for Values<'t> {
    type Item = Result<Key<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

impl DoubleEndedIterator for Values<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl FusedIterator for Values<'_> {}

enum Keys<'t> {
    Snapshot(tree::Range<'t, Snapshot>),
    Writer(tree::Range<'t, Workspace>),
}

/// Keys with their values, from both ends. After an error it yields nothing more.
pub struct SetRange<'t> {
    table: SetTable<'t>,
    inner: Keys<'t>,
    /// The keys end at their own errors; this is one of the values of a key.
    failed: bool,
}

impl<'t> SetRange<'t> {
    fn advance(&mut self, forward: bool) -> Option<Result<(Key<'t>, Values<'t>)>> {
        if self.failed {
            return None;
        }
        let next = match &mut self.inner {
            Keys::Snapshot(range) => range.advance_set(forward),
            Keys::Writer(range) => range.advance_set(forward),
        };
        let all = (Bound::Unbounded, Bound::Unbounded);
        let next = next?.and_then(|(key, set)| Ok((key, self.table.of_set(&set, all)?)));
        self.failed = next.is_err();
        Some(next)
    }
}

impl<'t> Iterator for SetRange<'t> {
    type Item = Result<(Key<'t>, Values<'t>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

impl DoubleEndedIterator for SetRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl FusedIterator for SetRange<'_> {}

/// Pairs, by key and then by value, from both ends. After an error it yields nothing more.
pub struct Pairs<'t> {
    keys: SetRange<'t>,
    front: Option<(Key<'t>, Values<'t>)>,
    back: Option<(Key<'t>, Values<'t>)>,
    done: bool,
}

impl<'t> Pairs<'t> {
    fn advance(&mut self, forward: bool) -> Option<Result<(Key<'t>, Key<'t>)>> {
        if self.done {
            return None;
        }
        let next = self.step(forward);
        self.done = !matches!(next, Some(Ok(_)));
        next
    }

    fn step(&mut self, forward: bool) -> Option<Result<(Key<'t>, Key<'t>)>> {
        loop {
            let near = if forward { &mut self.front } else { &mut self.back };
            if let Some((key, values)) = near {
                if let Some(value) = values.advance(forward) {
                    return Some(value.map(|value| (key.clone(), value)));
                }
                *near = None;
            }
            match self.keys.advance(forward) {
                Some(Ok(entry)) => *near = Some(entry),
                Some(Err(e)) => return Some(Err(e)),
                // What is left of the key from which the other end takes.
                None => {
                    let far = if forward { &mut self.back } else { &mut self.front };
                    let (key, values) = far.as_mut()?;
                    let value = values.advance(forward)?;
                    return Some(value.map(|value| (key.clone(), value)));
                }
            }
        }
    }
}

impl<'t> Iterator for Pairs<'t> {
    type Item = Result<(Key<'t>, Key<'t>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl FusedIterator for Pairs<'_> {}

impl fmt::Debug for SetTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, keys) = (self.len(), self.key_count());
        f.debug_struct("SetTable").field("len", &len).field("key_count", &keys).finish()
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

impl fmt::Debug for SetRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetRange").finish_non_exhaustive()
    }
}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairs").finish_non_exhaustive()
    }
}
