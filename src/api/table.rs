//! Tables: what a transaction reads and changes.

use super::key_range::KeyRange;
use crate::commit::engine::Engine;
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::order::KeyOrder;
use crate::pager::workspace::Workspace;
use crate::tree::{self, Key, PageSource, Position, Version, Versioned};
use crate::txn::read::Snapshot;
use crate::txn::write::Writer;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

/// The pages a table is read from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'t> {
    Snapshot(&'t Snapshot),
    Writer(&'t Writer),
}

impl Source<'_> {
    pub(super) fn engine(&self) -> &Arc<Engine> {
        match self {
            Source::Snapshot(pages) => pages.engine(),
            Source::Writer(writer) => writer.engine(),
        }
    }
}

/// Runs the same expression over either source. Whoever reads a write transaction has it.
macro_rules! over {
    ($source:expr, $pages:ident => $what:expr) => {
        match $source {
            Source::Snapshot($pages) => {
                $what.map_err(|e| $crate::tree::PageSource::named($pages, e))
            }
            Source::Writer(writer) => {
                let $pages = writer.pages()?;
                $what.map_err(|e| $crate::tree::PageSource::named($pages, e))
            }
        }
    };
}
pub(super) use over;

/// The tree of a cursor's table, over either source. Nothing changes while it is borrowed.
macro_rules! moved {
    ($cursor:ident, $tree:ident => $what:expr) => {
        over!($cursor.table.source, src => {
            let $tree = Versioned { src, desc: $cursor.table.descriptor, version: 0 };
            $what
        })?
    };
}

/// A table as one transaction sees it, for reading. Cheap to copy. What it hands out borrows from
/// the transaction and cannot outlive it:
///
/// ```compile_fail
/// # fn main() -> recto::Result<()> {
/// let db = recto::Database::in_memory()?;
/// let txn = db.read()?;
/// let value = txn.table("main")?.get(b"key")?;
/// drop(txn);
/// println!("{value:?}");
/// # Ok(()) }
/// ```
///
/// Any number of threads may read it. Each method takes one descent of the tree, O(log *n*), where
/// it does not say otherwise. Errors: [`Error::Corrupt`] for a page that is not what it should be;
/// [`Error::TransactionBroken`] in a write transaction that is; [`Error::Forked`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut fruit = txn.open_table("fruit")?;
/// # for (name, colour) in [("apple", "red"), ("banana", "yellow"), ("blackberry", "black")] {
/// #     fruit.put(name.as_bytes(), colour.as_bytes())?;
/// # }
/// # txn.commit()?;
/// let txn = db.read()?;
/// let fruit = txn.table("fruit")?;
/// assert_eq!(fruit.get(b"apple")?, Some(&b"red"[..]));
/// assert_eq!(fruit.prefix(b"b")?.count(), 2);
/// let (last, colour) = fruit.last()?.unwrap();
/// assert_eq!((&*last, colour), (&b"blackberry"[..], &b"black"[..]));
/// assert_eq!(fruit.len(), 3);
/// assert!(fruit.contains_key(b"banana")? && !fruit.is_empty());
/// assert_eq!(fruit.iter()?.next().transpose()?, fruit.first()?);
/// assert_eq!(fruit.cursor().last()?, Some((&b"blackberry"[..], &b"black"[..])));
/// assert_eq!(fruit.stats().entries, fruit.len());
/// assert_eq!(fruit.get_many(&["apple", "pear"])?, [Some(&b"red"[..]), None]);
/// assert_eq!(fruit.range("b".."bl")?.count(), 1);
/// let name = |pair: Option<(recto::Key, &[u8])>| pair.map(|(name, _)| name.to_string());
/// assert_eq!(name(fruit.at_or_before(b"b")?).as_deref(), Some("apple"));
/// assert_eq!(name(fruit.before(b"apple")?), None);
/// assert_eq!(name(fruit.after(b"apple")?).as_deref(), Some("banana"));
/// assert_eq!(fruit.sequence(), 0); // it has given out no number
/// # Ok(()) }
/// ```
///
/// A key is tied to the transaction as its value is, and so is the table itself, which ends where
/// the transaction does:
///
/// ```compile_fail,E0505
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let txn = db.read()?;
/// let first = txn.table("main")?.first()?;
/// drop(txn);
/// println!("{:?}", first.map(|(key, _)| key));
/// # Ok(()) }
/// ```
///
/// ```compile_fail,E0505
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let txn = db.write()?;
/// let table = txn.table("main")?;
/// txn.commit()?;
/// table.get(b"key")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct Table<'t> {
    source: Source<'t>,
    descriptor: TableDescriptor,
}

impl<'t> Table<'t> {
    pub(crate) fn new(source: Source<'t>, descriptor: TableDescriptor) -> Table<'t> {
        Table { source, descriptor }
    }

    /// Whether keys stand in the order of their bytes.
    pub(crate) fn is_by_bytes(&self) -> bool {
        self.descriptor.order.is_by_bytes()
    }

    pub(super) fn source(&self) -> Source<'t> {
        self.source
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
    pub(super) fn is_beside(&self, other: &Table<'_>) -> bool {
        Arc::ptr_eq(self.source.engine(), other.source.engine())
    }

    pub(super) fn descriptor(&self) -> TableDescriptor {
        self.descriptor
    }

    /// The value of `key`, straight from the map: no copy, whatever its size. One descent of the
    /// tree. In a write transaction a large value that it has put itself is compared with its
    /// checksum first.
    pub fn get(&self, key: &[u8]) -> Result<Option<&'t [u8]>> {
        over!(self.source, pages => tree::get(pages, &self.descriptor, key))
    }

    /// The values of many keys, in the order of the keys. The descents go down the tree side by
    /// side, so that cache misses, and reads from the device where pages are not in memory,
    /// overlap: several times as fast as `get` in a loop on a large table. An error of one lookup
    /// is the error of the call.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut table = txn.open_table("main")?;
    /// table.put(b"a", b"1")?;
    /// table.put(b"c", b"3")?;
    /// txn.commit()?;
    /// let txn = db.read()?;
    /// let values = txn.table("main")?.get_many(&[b"c", b"b", b"a"])?;
    /// assert_eq!(values, [Some(&b"3"[..]), None, Some(b"1")]);
    /// # Ok(()) }
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<&'t [u8]>>> {
        over!(self.source, pages => tree::get_many(pages, &self.descriptor, keys))
    }

    /// Whether the table has `key`.
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// Number of keys. O(1).
    pub fn len(&self) -> u64 {
        self.descriptor.entries
    }

    /// Whether the table has no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape and size of the table. O(1).
    pub fn stats(&self) -> TableStats {
        TableStats::of(&self.descriptor)
    }

    /// All pairs of a [`KeyRange`] in the order of the keys (bytes compared as unsigned numbers);
    /// walk it from either end.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use std::ops::Bound::*;
    /// let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut table = txn.open_table("main")?;
    /// for key in [b"a", b"b", b"c"] {
    ///     table.put(key, b"")?;
    /// }
    /// let mut range = table.range((Excluded(b"a"), Unbounded))?;
    /// assert_eq!(&*range.next_back().unwrap()?.0, b"c");
    /// assert_eq!(&*range.next().unwrap()?.0, b"b");
    /// assert!(range.next().is_none());
    /// # Ok(()) }
    /// ```
    pub fn range(&self, keys: impl KeyRange) -> Result<Range<'t>> {
        let (start, end) = keys.bounds();
        let d = &self.descriptor;
        let inner = match self.source {
            Source::Snapshot(pages) => tree::Range::new(pages, d, start, end).map(Inner::Snapshot),
            Source::Writer(writer) => {
                tree::Range::new(writer.pages()?, d, start, end).map(Inner::Writer)
            }
        };
        inner.map(|inner| Range { inner }).map_err(|e| self.source.engine().named(e))
    }

    /// All pairs whose key begins with `prefix`; also right when the prefix ends in 0xff bytes.
    ///
    /// One descent, and then the leaves of the range.
    pub fn prefix(&self, prefix: &[u8]) -> Result<Range<'t>> {
        match after_prefix(self.descriptor.order, prefix)? {
            Some(end) => self.range(prefix..&end),
            None => self.range(prefix..),
        }
    }

    /// All pairs.
    pub fn iter(&self) -> Result<Range<'t>> {
        self.range(..)
    }

    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> TableCursor<'t> {
        TableCursor::new(*self)
    }

    /// The pair with the smallest key.
    pub fn first(&self) -> Result<Option<(Key<'t>, &'t [u8])>> {
        self.iter()?.next().transpose()
    }

    /// The pair with the greatest key.
    pub fn last(&self) -> Result<Option<(Key<'t>, &'t [u8])>> {
        self.iter()?.next_back().transpose()
    }
}

/// The smallest key that is greater than every key with this prefix; None if there is no such key.
/// An error in orders in which keys with one prefix do not stand side by side.
pub(super) fn after_prefix(order: KeyOrder, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    if !order.is_by_bytes() {
        let what = "keys with one prefix, in a table that is not in the order of the bytes";
        return Err(Error::InvalidArgument(what.into()));
    }
    let Some(last) = prefix.iter().rposition(|&b| b != 0xff) else { return Ok(None) };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Ok(Some(end))
}

/// Shape and size of a table, as its descriptor has it: O(1). How full its pages are, and how long
/// its keys and values, [`Database::check`](crate::Database::check) finds out, which reads all of
/// them.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.open_table("main")?.put(b"key", b"value")?;
/// # txn.commit()?;
/// let stats = db.read()?.table("main")?.stats();
/// assert_eq!((stats.entries, stats.depth, stats.pages()), (1, 1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TableStats {
    /// Number of keys.
    pub entries: u64,
    /// Levels of the tree: 0 empty, 1 a single leaf.
    pub depth: u16,
    /// Branch pages.
    pub branch_pages: u64,
    /// Leaf pages.
    pub leaf_pages: u64,
    /// Pages of values too large for a leaf, and of the trees of values in a table of sets.
    pub overflow_pages: u64,
    /// Number of pairs: in a table of sets, of values of all keys; else that of keys.
    pub pairs: u64,
}

impl TableStats {
    /// Pages of all kinds.
    pub fn pages(&self) -> u64 {
        self.branch_pages + self.leaf_pages + self.overflow_pages
    }

    pub(crate) fn of(d: &TableDescriptor) -> TableStats {
        TableStats {
            entries: d.entries,
            depth: d.depth,
            branch_pages: d.branch_pages,
            leaf_pages: d.leaf_pages,
            overflow_pages: d.overflow_pages,
            pairs: if d.is_set { d.pairs } else { d.entries },
        }
    }
}

/// A place among the pairs of a table, which moves to either side and to any key. It stands on a
/// pair, or in front of or behind all; a new one does neither, and moves to the first pair or to
/// the last. The key of a pair is borrowed until the next move, its value as long as the
/// transaction.
///
/// Each method but `current` moves and gives the pair that it stands on then; None if there is
/// none. One descent of the tree, inside of a leaf less. A [`Range`] is faster for long walks;
/// [`Cursor`](crate::Cursor) is the cursor that changes what it stands on.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut table = txn.open_table("main")?;
/// for key in [b"a", b"c", b"e"] {
///     table.put(key, b"")?;
/// }
/// txn.commit()?;
/// let txn = db.read()?;
/// let mut cursor = txn.table("main")?.cursor();
/// // The keys next to one that is not there.
/// assert_eq!(cursor.seek(b"d")?.map(|(key, _)| key), Some(&b"e"[..]));
/// assert_eq!(cursor.prev()?.map(|(key, _)| key), Some(&b"c"[..]));
/// assert_eq!(cursor.seek_back(b"b")?.map(|(key, _)| key), Some(&b"a"[..]));
/// assert_eq!(cursor.prev()?, None);
/// assert_eq!(cursor.next()?.map(|(key, _)| key), Some(&b"a"[..]));
/// assert_eq!(cursor.last()?.map(|(key, _)| key), Some(&b"e"[..]));
/// assert_eq!(cursor.current()?.map(|(key, _)| key), Some(&b"e"[..])); // has not moved
/// assert_eq!(cursor.first()?.map(|(key, _)| key), Some(&b"a"[..]));
/// # Ok(()) }
/// ```
///
/// Errors as in [`Table`].
///
/// Used by one thread at a time; it may be sent to another one.
#[derive(Clone)]
pub struct TableCursor<'t> {
    table: Table<'t>,
    position: Position,
}

impl<'t> TableCursor<'t> {
    fn new(table: Table<'t>) -> TableCursor<'t> {
        TableCursor { table, position: Position::new() }
    }

    /// The first pair.
    pub fn first(&mut self) -> Result<Option<(&[u8], &'t [u8])>> {
        let value = moved!(self, tree => self.position.first(&tree));
        Ok(self.pair(value))
    }

    /// The last pair.
    pub fn last(&mut self) -> Result<Option<(&[u8], &'t [u8])>> {
        let value = moved!(self, tree => self.position.last(&tree));
        Ok(self.pair(value))
    }

    /// The next pair. At the end it stays behind the last one.
    #[allow(clippy::should_implement_trait)] // the key is borrowed until the next call
    pub fn next(&mut self) -> Result<Option<(&[u8], &'t [u8])>> {
        let value = moved!(self, tree => self.position.next(&tree));
        Ok(self.pair(value))
    }

    /// The pair before.
    pub fn prev(&mut self) -> Result<Option<(&[u8], &'t [u8])>> {
        let value = moved!(self, tree => self.position.prev(&tree));
        Ok(self.pair(value))
    }

    /// The pair with this key, or the first one behind it.
    pub fn seek(&mut self, key: &[u8]) -> Result<Option<(&[u8], &'t [u8])>> {
        let value = moved!(self, tree => self.position.seek(&tree, key));
        Ok(self.pair(value))
    }

    /// The pair with this key, or the last one before it.
    pub fn seek_back(&mut self, key: &[u8]) -> Result<Option<(&[u8], &'t [u8])>> {
        let value = moved!(self, tree => self.position.seek_back(&tree, key));
        Ok(self.pair(value))
    }

    /// The pair that it stands on.
    pub fn current(&mut self) -> Result<Option<(&[u8], &'t [u8])>> {
        let value = moved!(self, tree => self.position.current(&tree));
        Ok(self.pair(value))
    }

    fn pair(&self, value: Option<&'t [u8]>) -> Option<(&[u8], &'t [u8])> {
        Some((self.position.key()?, value?))
    }
}

enum Inner<'t> {
    Snapshot(tree::Range<'t, Snapshot>),
    Writer(tree::Range<'t, Workspace>),
}

/// Pairs in the order of their keys, from both ends. After an error it yields nothing more.
///
/// Leaves that come next are asked for before they are needed, where they are not in memory. Errors
/// as in [`Table`]. It may be sent to another thread.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut table = txn.open_table("main")?;
/// # for (key, value) in [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")] {
/// #     table.put(key, value)?;
/// # }
/// # txn.commit()?;
/// let txn = db.read()?;
/// let mut range = txn.table("main")?.range(b"a"..=b"c")?;
/// assert_eq!(range.next_ref()?, Some((&b"a"[..], &b"1"[..])));
/// assert_eq!(range.next_back_ref()?, Some((&b"c"[..], &b"3"[..])));
/// let keys: Vec<_> = range.map(|pair| Ok(pair?.0.into_vec())).collect::<recto::Result<_>>()?;
/// assert_eq!(keys, [b"b"]);
/// # Ok(()) }
/// ```
pub struct Range<'t> {
    inner: Inner<'t>,
}

impl<'t> Range<'t> {
    /// The next pair; None at the end. As the iterator, but the key is borrowed until the next call
    /// and put together in one place, which makes scans up to twice as fast. The value lives as
    /// long as the transaction in either case.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut table = txn.open_table("main")?;
    /// # table.put(b"a", b"1")?;
    /// # table.put(b"bc", b"2")?;
    /// let mut bytes = 0;
    /// let mut range = table.iter()?;
    /// while let Some((key, value)) = range.next_ref()? {
    ///     bytes += key.len() + value.len();
    /// }
    /// assert_eq!(bytes, 5);
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn next_ref(&mut self) -> Result<Option<(&[u8], &'t [u8])>> {
        match &mut self.inner {
            Inner::Snapshot(range) => range.advance_ref(true),
            Inner::Writer(range) => range.advance_ref(true),
        }
    }

    /// The same from the other end.
    #[inline]
    pub fn next_back_ref(&mut self) -> Result<Option<(&[u8], &'t [u8])>> {
        match &mut self.inner {
            Inner::Snapshot(range) => range.advance_ref(false),
            Inner::Writer(range) => range.advance_ref(false),
        }
    }
}

impl<'t> Iterator for Range<'t> {
    type Item = Result<(Key<'t>, &'t [u8])>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.inner {
            Inner::Snapshot(range) => range.next(),
            Inner::Writer(range) => range.next(),
        }
    }
}

impl DoubleEndedIterator for Range<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.inner {
            Inner::Snapshot(range) => range.next_back(),
            Inner::Writer(range) => range.next_back(),
        }
    }
}

impl FusedIterator for Range<'_> {}

/// All pairs of a table, as `for` takes them: a [`Range`], or the error that there is in its place,
/// which comes as the first and only item.
pub struct TableIter<'t> {
    pairs: std::result::Result<Range<'t>, Option<Error>>,
}

impl<'t> Iterator for TableIter<'t> {
    type Item = Result<(Key<'t>, &'t [u8])>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.pairs {
            Ok(range) => range.next(),
            Err(e) => e.take().map(Err),
        }
    }
}

impl DoubleEndedIterator for TableIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.pairs {
            Ok(range) => range.next_back(),
            Err(e) => e.take().map(Err),
        }
    }
}

impl FusedIterator for TableIter<'_> {}

/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.open_table("main")?.put(b"key", b"value")?;
/// # txn.commit()?;
/// # let txn = db.read()?;
/// for pair in &txn.table("main")? {
///     let (key, value) = pair?;
///     println!("{key}: {} bytes", value.len());
/// }
/// # Ok(()) }
/// ```
impl<'t> IntoIterator for &Table<'t> {
    type Item = Result<(Key<'t>, &'t [u8])>;
    type IntoIter = TableIter<'t>;

    /// As [`Table::iter`]; what that says comes as the first item.
    fn into_iter(self) -> TableIter<'t> {
        TableIter { pairs: self.iter().map_err(Some) }
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len()).finish()
    }
}

impl fmt::Debug for TableCursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableCursor")
            .field("table", &self.table)
            .field("position", &self.position)
            .finish()
    }
}

impl fmt::Debug for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").finish_non_exhaustive()
    }
}

impl fmt::Debug for TableIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableIter").field("pairs", &self.pairs).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyOrder, after_prefix};

    #[test]
    fn end_of_a_prefix() {
        let after = |prefix| after_prefix(KeyOrder::BYTES, prefix).unwrap();
        assert_eq!(after(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after(b"\xff\xff"), None);
        assert_eq!(after(b""), None);
        assert!(after_prefix(KeyOrder::REVERSED, b"ab").is_err());
    }
}
