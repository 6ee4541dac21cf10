//! Tables of sets and walks through them that keep their snapshot: they have no lifetime.

use super::key_range::KeyRange;
use super::set::{SetTable, Values};
use super::set_cursor::set_moves;
use super::table::{Source, after_prefix};
use super::transaction::ReadTxn;
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::tree::{Key, PageSource, SetMove, SetPosition, out_of_order};
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Bound::{self, Excluded, Unbounded};
use std::sync::Arc;

/// A table of sets of a snapshot, which it keeps: [`SetTable`] without a lifetime, as
/// [`OwnedTable`](crate::OwnedTable) is [`Table`](crate::Table) without one. It may be put into a
/// struct, sent to another thread, used by several. Cheap to clone.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut tags = txn.open_set("tags")?;
/// for page in ["/a", "/b", "/c"] {
///     tags.insert(b"rust", page.as_bytes())?;
/// }
/// # txn.commit()?;
/// let tags = std::sync::Arc::new(db.read()?).owned_set("tags")?;
/// let pages = tags.get(b"rust")?; // keeps the snapshot, too
/// drop((tags, db));
/// let thread = std::thread::spawn(move || pages.collect::<recto::Result<Vec<_>>>());
/// assert_eq!(thread.join().unwrap()?, ["/a", "/b", "/c"].map(|page| page.as_bytes().to_vec()));
/// # Ok(()) }
/// ```
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut tags = txn.open_set("tags")?;
/// for (tag, page) in [("files", "/a"), ("rust", "/a"), ("rust", "/b")] {
///     tags.insert(tag.as_bytes(), page.as_bytes())?;
/// }
/// # txn.commit()?;
/// let tags = std::sync::Arc::new(db.read()?).owned_set("tags")?;
/// assert_eq!((tags.len(), tags.key_count(), tags.count(b"rust")?), (3, 2, 2));
/// assert!(tags.contains(b"rust", b"/a")? && tags.contains_key(b"files")? && !tags.is_empty());
/// assert_eq!(tags.values(b"rust", "/b"..)?.next().transpose()?, Some(b"/b".to_vec()));
/// assert_eq!((tags.iter()?.count(), tags.pairs("g"..)?.count()), (3, 2));
/// assert_eq!(tags.prefix(b"f")?.count(), 1);
/// assert_eq!(tags.cursor().first()?, Some((&b"files"[..], &b"/a"[..])));
/// assert_eq!(tags.as_set().stats().pairs, tags.txn().set("tags")?.len());
/// # Ok(()) }
/// ```
///
/// Errors as in [`SetTable`].
#[derive(Clone)]
pub struct OwnedSet {
    txn: Arc<ReadTxn>,
    descriptor: TableDescriptor,
}

impl ReadTxn {
    /// A table of sets that keeps this snapshot. [`Error::NoSuchTable`] if there is none of this
    /// name. One descent of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.open_set("tags")?.insert(b"rust", b"/a")?;
    /// # txn.commit()?;
    /// let tags = std::sync::Arc::new(db.read()?).owned_set("tags")?;
    /// assert!(tags.contains(b"rust", b"/a")?);
    /// # Ok(()) }
    /// ```
    pub fn owned_set(self: &Arc<ReadTxn>, name: &str) -> Result<OwnedSet> {
        self.owned_set_opt(name)?.ok_or_else(|| Error::NoSuchTable(name.into()))
    }

    /// The same; None if there is none of this name, as before anybody has written to it.
    ///
    /// Errors: [`Error::TableOptions`] for a table whose keys have one value each.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use std::sync::Arc;
    /// assert!(Arc::new(db.read()?).owned_set_opt("tags")?.is_none());
    /// let mut txn = db.write()?;
    /// txn.open_set("tags")?.insert(b"rust", b"/a")?;
    /// txn.commit()?;
    /// assert_eq!(Arc::new(db.read()?).owned_set_opt("tags")?.unwrap().len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn owned_set_opt(self: &Arc<ReadTxn>, name: &str) -> Result<Option<OwnedSet>> {
        let table = self.set_opt(name)?;
        let owned =
            |table: SetTable<'_>| OwnedSet { txn: self.clone(), descriptor: *table.descriptor() };
        Ok(table.map(owned))
    }
}

impl OwnedSet {
    /// The snapshot that it keeps.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        &self.txn
    }

    /// The table as one that borrows, with all that [`SetTable`] has. O(1).
    pub fn as_set(&self) -> SetTable<'_> {
        SetTable::new(Source::Snapshot(self.txn.snapshot()), self.descriptor)
    }

    fn out_of_order(&self) -> Error {
        self.txn.snapshot().named(out_of_order(&self.descriptor))
    }

    /// As [`SetTable::get`], with values that keep the snapshot.
    pub fn get(&self, key: &[u8]) -> Result<OwnedValues> {
        self.values(key, ..)
    }

    /// As [`SetTable::values`], with values that keep the snapshot.
    pub fn values(&self, key: &[u8], values: impl KeyRange) -> Result<OwnedValues> {
        let set_len = self.count(key)?;
        let walk = Walk::new(self, Some(key), values.bounds());
        Ok(OwnedValues { walk, set_len })
    }

    /// As [`SetTable::contains`].
    pub fn contains(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.as_set().contains(key, value)
    }

    /// As [`SetTable::contains_key`].
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        self.as_set().contains_key(key)
    }

    /// As [`SetTable::count`].
    pub fn count(&self, key: &[u8]) -> Result<u64> {
        self.as_set().count(key)
    }

    /// As [`SetTable::len`].
    pub fn len(&self) -> u64 {
        self.as_set().len()
    }

    /// As [`SetTable::key_count`].
    pub fn key_count(&self) -> u64 {
        self.as_set().key_count()
    }

    /// Whether the table has nothing.
    pub fn is_empty(&self) -> bool {
        self.as_set().is_empty()
    }

    /// As [`SetTable::pairs`], with pairs that keep the snapshot.
    pub fn pairs(&self, keys: impl KeyRange) -> Result<OwnedPairs> {
        Ok(OwnedPairs { walk: Walk::new(self, None, keys.bounds()) })
    }

    /// The pairs of all keys that begin with `prefix`.
    pub fn prefix(&self, prefix: &[u8]) -> Result<OwnedPairs> {
        match after_prefix(self.descriptor.order, prefix)? {
            Some(end) => self.pairs(prefix..&end),
            None => self.pairs(prefix..),
        }
    }

    /// All pairs.
    pub fn iter(&self) -> Result<OwnedPairs> {
        self.pairs(..)
    }

    /// A place among the pairs, to be moved by hand.
    pub fn cursor(&self) -> OwnedSetCursor {
        OwnedSetCursor { table: self.clone(), position: SetPosition::new() }
    }
}

/// Pairs that are read at a time; the first time fewer, for those who want few.
const BATCH: usize = 256;
const FIRST: usize = 8;

type Pair = (Vec<u8>, Vec<u8>);

/// A walk from both ends. It reads some pairs at a time, and goes on behind the last: nothing
/// changes in a snapshot.
struct Walk {
    table: OwnedSet,
    /// The key whose values they are, in which case they come without it; None for all keys.
    of: Option<Vec<u8>>,
    /// Of the keys, or of the values of that key.
    bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    front: End,
    back: End,
    /// There is nothing left between what both ends have read.
    is_read: bool,
    /// Pairs that may still be read, of all that the table has: each batch is looked for
    /// anew, and a function that is no order may lead round and round.
    left: u64,
}

/// What an end has read and not handed out, in its order, and the last of it.
#[derive(Default)]
struct End {
    read: VecDeque<Pair>,
    last: Option<Pair>,
    batch: usize,
}

fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

impl Walk {
    fn new(table: &OwnedSet, of: Option<&[u8]>, (from, to): (Bound<&[u8]>, Bound<&[u8]>)) -> Walk {
        Walk {
            table: table.clone(),
            of: of.map(<[u8]>::to_vec),
            bounds: (from.map(<[u8]>::to_vec), to.map(<[u8]>::to_vec)),
            front: End::default(),
            back: End::default(),
            is_read: false,
            left: table.as_set().len(),
        }
    }

    fn advance(&mut self, forward: bool) -> Option<Result<Pair>> {
        let near = if forward { &self.front } else { &self.back };
        if near.read.is_empty()
            && !self.is_read
            && let Err(e) = self.read(forward)
        {
            (self.is_read, self.front, self.back) = (true, End::default(), End::default());
            return Some(Err(e));
        }
        let (near, far) = match forward {
            true => (&mut self.front, &mut self.back),
            false => (&mut self.back, &mut self.front),
        };
        // What the other end has read lies behind, its first pair last.
        near.read.pop_front().or_else(|| far.read.pop_back()).map(Ok)
    }

    /// Reads on from one end, up to what the other end has read.
    fn read(&mut self, forward: bool) -> Result<()> {
        let (near, far) = match forward {
            true => (&mut self.front, &self.back),
            false => (&mut self.back, &self.front),
        };
        let (count, last, far) = (near.batch.max(FIRST), near.last.take(), far.last.as_ref());
        near.batch = (2 * count).min(BATCH);
        let table = self.table.as_set();
        let mut more = true;
        let mut take = |key: Key<'_>, value: Key<'_>| {
            near.read.push_back((key.into_vec(), value.into_vec()));
            near.read.len() < count
        };
        let (from, to) = (slice(&self.bounds.0), slice(&self.bounds.1));
        if let Some(key) = &self.of {
            let behind = |last: &'_ Option<Pair>| last.as_ref().map(|last| last.1.clone());
            let (own, other) = (behind(&last), far.map(|far| far.1.clone()));
            let (first, end) = if forward { (own, other) } else { (other, own) };
            let from = first.as_ref().map_or(from, |value| Excluded(&value[..]));
            let to = end.as_ref().map_or(to, |value| Excluded(&value[..]));
            let mut values = table.values(key, (from, to))?;
            while more && let Some(value) = next(&mut values, forward).transpose()? {
                more = take(Key::from(&[][..]), value);
            }
        } else {
            let order = table.descriptor().order;
            // Whether the other end has read the pair.
            let is_far = |key: &[u8], value: &[u8]| {
                far.is_some_and(|far| {
                    let place = order.compare(key, &far.0).then_with(|| value.cmp(&far.1));
                    if forward { place.is_ge() } else { place.is_le() }
                })
            };
            let mut keys = (from, to);
            let mut reached = false;
            if let Some((key, value)) = &last {
                // What is left of its key, and then the keys behind it.
                let value = Excluded(&value[..]);
                let rest = if forward { (value, Unbounded) } else { (Unbounded, value) };
                let mut values = table.values(key, rest)?;
                while more && let Some(value) = next(&mut values, forward).transpose()? {
                    if is_far(key, &value) {
                        (more, reached) = (false, true);
                        break;
                    }
                    more = take(Key::from(&key[..]), value);
                }
                let bound = if forward { &mut keys.0 } else { &mut keys.1 };
                *bound = Excluded(&key[..]);
            }
            if more {
                let mut pairs = table.pairs(keys)?;
                while more {
                    let pair = if forward { pairs.next() } else { pairs.next_back() };
                    let Some((key, value)) = pair.transpose()? else { break };
                    if is_far(&key, &value) {
                        reached = true;
                        break;
                    }
                    more = take(key, value);
                }
            }
            more &= !reached;
            self.is_read = reached || more;
        }
        if self.of.is_some() {
            self.is_read = more;
        }
        near.last = near.read.back().cloned().or(last);
        let read = near.read.len() as u64;
        self.left = self.left.checked_sub(read).ok_or_else(|| self.table.out_of_order())?;
        Ok(())
    }
}

fn next<'t>(values: &mut Values<'t>, forward: bool) -> Option<Result<Key<'t>>> {
    if forward { values.next() } else { values.next_back() }
}

/// Copies of the pairs of a snapshot, which they keep, by key and then by value, from both ends: as
/// [`Pairs`](crate::Pairs) without a lifetime. Some are read at a time, and handed out one by one.
/// After an error it yields nothing more.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut tags = txn.open_set("tags")?;
/// for (tag, page) in [("a", "1"), ("a", "2"), ("b", "1")] {
///     tags.insert(tag.as_bytes(), page.as_bytes())?;
/// }
/// # txn.commit()?;
/// let mut pairs = std::sync::Arc::new(db.read()?).owned_set("tags")?.iter()?;
/// assert_eq!(pairs.next_back().transpose()?, Some((b"b".to_vec(), b"1".to_vec())));
/// assert_eq!(pairs.txn().set("tags")?.len(), 3);
/// assert_eq!(pairs.count(), 2);
/// # Ok(()) }
/// ```
pub struct OwnedPairs {
    walk: Walk,
}

impl OwnedPairs {
    /// The snapshot that they keep.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        &self.walk.table.txn
    }
}

impl Iterator for OwnedPairs {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.advance(true)
    }
}

impl DoubleEndedIterator for OwnedPairs {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.walk.advance(false)
    }
}

impl FusedIterator for OwnedPairs {}

/// Copies of the values of a key in a snapshot, which they keep, in their order, from both ends: as
/// [`Values`] without a lifetime. After an error it yields nothing more.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut visits = txn.open_set("visits")?;
/// for day in ["01-31", "02-01", "02-03"] {
///     visits.insert(b"ada", day.as_bytes())?;
/// }
/// # txn.commit()?;
/// let visits = std::sync::Arc::new(db.read()?).owned_set("visits")?;
/// let mut days = visits.values(b"ada", "02"..)?;
/// assert_eq!(days.set_len(), 3);
/// assert_eq!(days.next().transpose()?, Some(b"02-01".to_vec()));
/// assert_eq!(days.txn().set("visits")?.count(b"ada")?, 3);
/// # Ok(()) }
/// ```
pub struct OwnedValues {
    walk: Walk,
    set_len: u64,
}

impl OwnedValues {
    /// The snapshot that they keep.
    pub fn txn(&self) -> &Arc<ReadTxn> {
        &self.walk.table.txn
    }

    /// Number of values that the key has, of which these may be a part. O(1).
    pub fn set_len(&self) -> u64 {
        self.set_len
    }
}

impl Iterator for OwnedValues {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.advance(true).map(|pair| pair.map(|(_, value)| value))
    }
}

impl DoubleEndedIterator for OwnedValues {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.walk.advance(false).map(|pair| pair.map(|(_, value)| value))
    }
}

impl FusedIterator for OwnedValues {}

/// A place among the pairs of a table of sets of a snapshot, which it keeps: as a
/// [`SetTableCursor`](crate::SetTableCursor) without a lifetime.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut tags = txn.open_set("tags")?;
/// for (tag, page) in [("a", "1"), ("a", "2"), ("b", "1")] {
///     tags.insert(tag.as_bytes(), page.as_bytes())?;
/// }
/// # txn.commit()?;
/// let mut cursor = std::sync::Arc::new(db.read()?).owned_set("tags")?.cursor();
/// let pair = |tag: &'static str, page: &'static str| Some((tag.as_bytes(), page.as_bytes()));
/// assert_eq!(cursor.seek(b"a")?, pair("a", "1"));
/// assert_eq!(cursor.next_key()?, pair("b", "1"));
/// assert_eq!(cursor.prev()?, pair("a", "2"));
/// assert_eq!(cursor.first()?, pair("a", "1"));
/// assert_eq!(cursor.next_value()?, pair("a", "2"));
/// assert_eq!(cursor.next()?, pair("b", "1"));
/// assert_eq!(cursor.prev_key()?, pair("a", "2"));
/// assert_eq!(cursor.prev_value()?, pair("a", "1"));
/// assert_eq!(cursor.last_value()?, pair("a", "2"));
/// assert_eq!(cursor.first_value()?, pair("a", "1"));
/// assert_eq!(cursor.last()?, pair("b", "1"));
/// assert_eq!(cursor.seek_back(b"az")?, pair("a", "2"));
/// assert_eq!(cursor.seek_value(b"a", b"0")?, pair("a", "1"));
/// assert_eq!((cursor.count()?, cursor.table().len()), (2, 3));
/// assert_eq!(cursor.find(b"a", b"9")?, None); // it stands where that would
/// assert_eq!(cursor.current()?, None);
/// # Ok(()) }
/// ```
///
/// Errors as in [`SetTable`].
#[derive(Clone)]
pub struct OwnedSetCursor {
    table: OwnedSet,
    position: SetPosition,
}

impl OwnedSetCursor {
    /// Its table.
    pub fn table(&self) -> &OwnedSet {
        &self.table
    }

    fn go(&mut self, to: SetMove<'_>) -> Result<Option<(&[u8], &[u8])>> {
        let found = self.table.as_set().go(&mut self.position, to)?;
        Ok(self.position.pair().filter(|_| found))
    }

    set_moves! {}

    /// Number of values of the key that it stands on; 0 if it stands on none.
    pub fn count(&self) -> Result<u64> {
        self.position.pair().map_or(Ok(0), |(key, _)| self.table.count(key))
    }
}

impl fmt::Debug for OwnedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, keys) = (self.len(), self.key_count());
        let mut out = f.debug_struct("OwnedSet");
        out.field("txn", &self.txn.id()).field("len", &len).field("key_count", &keys).finish()
    }
}

impl fmt::Debug for OwnedPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPairs").field("txn", &self.txn().id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedValues").field("txn", &self.txn().id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedSetCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedSetCursor")
            .field("table", &self.table)
            .field("position", &self.position)
            .finish()
    }
}
