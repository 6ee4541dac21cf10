//! A key of a table of a write transaction, looked at and changed in one go.

use super::table_mut::TableMut;
use crate::error::{Error, Result};
use crate::tree::Located;
use crate::txn::write::Writer;
use std::borrow::Cow;
use std::fmt;

impl TableMut<'_> {
    /// The place of a key, to see what stands there and change it. One descent of the tree, also
    /// with the first change, which goes on from where the key was found; each look and each change
    /// behind that is a descent more. What follows each other in ascending keys is put faster by
    /// [`TableMut::put`], which needs no descent at all.
    ///
    /// Errors: of `entry` those of a look-up, of what changes those of [`TableMut::put`] and
    /// [`TableMut::delete`]; nothing is changed by an entry that is dropped. A key that is too long
    /// is vacant, and [`Error::KeyTooLong`](crate::Error::KeyTooLong) when it is put.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::Entry;
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut words = txn.open_table("words")?;
    /// for word in ["to", "be", "or", "not", "to", "be"] {
    ///     words.entry(word.as_bytes())?.and_modify(|n| n[0] += 1)?.or_insert(&[1])?;
    /// }
    /// assert_eq!(words.get(b"to")?, Some(&[2][..]));
    /// match words.entry(b"not")? {
    ///     Entry::Occupied(there) => assert_eq!(there.remove()?, [1]),
    ///     Entry::Vacant(free) => drop(free.insert(&[0])?),
    /// }
    /// assert_eq!(words.len(), 3);
    /// # Ok(()) }
    /// ```
    pub fn entry<'a>(&'a mut self, key: &'a [u8]) -> Result<Entry<'a>> {
        self.entry_of(Cow::Borrowed(key))
    }

    /// The same with a key that it may own.
    pub(crate) fn entry_of<'a>(&'a mut self, key: Cow<'a, [u8]>) -> Result<Entry<'a>> {
        let (writer, index) = self.parts();
        let at = writer.locate(index, &key)?;
        let is_there = at.is_there();
        let spot = Spot { writer, index, key, at: Some(at) };
        Ok(match is_there {
            true => Entry::Occupied(OccupiedEntry { spot }),
            false => Entry::Vacant(VacantEntry { spot }),
        })
    }
}

/// A key and where it stands, which nobody else can change.
struct Spot<'a> {
    writer: &'a mut Writer,
    index: usize,
    key: Cow<'a, [u8]>,
    /// None: it has been changed since.
    at: Option<Located>,
}

impl<'a> Spot<'a> {
    fn located(&mut self) -> Result<Located> {
        match self.at.take() {
            Some(at) => Ok(at),
            None => self.writer.locate(self.index, &self.key),
        }
    }

    fn put(&mut self, value: &[u8]) -> Result<()> {
        let at = self.located()?;
        self.writer.put_at(self.index, at, &self.key, value)
    }

    fn delete(mut self) -> Result<()> {
        let at = self.located()?;
        self.writer.delete_at(self.index, at)
    }

    /// The value of a key that is there.
    fn value(&self) -> Result<&[u8]> {
        let value = match &self.at {
            Some(at) => self.writer.value_at(at)?,
            None => self.writer.value_at(&self.writer.locate(self.index, &self.key)?)?,
        };
        let root = self.writer.table(self.index).root;
        value.ok_or_else(|| {
            let e = Error::corrupt(root, "root of a tree without a key that it had");
            self.writer.engine().named(e)
        })
    }
}

/// What stands at a key: [`TableMut::entry`], which says what it costs. Used by one thread at a
/// time.
///
/// Errors of its methods as in [`TableMut`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// use recto::Entry;
/// let mut txn = db.write()?;
/// let mut seats = txn.open_table("seats")?;
/// match seats.entry(b"7A")? {
///     Entry::Vacant(free) => drop(free.insert(b"Ada")?),
///     Entry::Occupied(there) => println!("taken by {}", there.get()?.escape_ascii()),
/// }
/// let taken = seats.entry(b"7A")?.or_insert(b"Kurt")?;
/// assert_eq!(taken.get()?, b"Ada");
/// assert_eq!(taken.key(), b"7A");
/// assert_eq!(seats.entry(b"7B")?.key(), b"7B");
/// seats.entry(b"7B")?.or_insert_with(|| "Grace")?;
/// seats.entry(b"7B")?.and_modify(|name| name.extend(b" H."))?;
/// assert_eq!(seats.get(b"7B")?, Some(&b"Grace H."[..]));
/// # Ok(()) }
/// ```
pub enum Entry<'a> {
    /// The key is there.
    Occupied(OccupiedEntry<'a>),
    /// It is not.
    Vacant(VacantEntry<'a>),
}

impl<'a> Entry<'a> {
    /// Its key.
    pub fn key(&self) -> &[u8] {
        match self {
            Entry::Occupied(there) => there.key(),
            Entry::Vacant(free) => free.key(),
        }
    }

    /// Puts the key with this value, if it is not there.
    pub fn or_insert(self, value: &[u8]) -> Result<OccupiedEntry<'a>> {
        self.or_insert_with(|| value)
    }

    /// Puts the key with the value that `value` makes, if it is not there; it is not asked else.
    pub fn or_insert_with<V: AsRef<[u8]>>(
        self,
        value: impl FnOnce() -> V,
    ) -> Result<OccupiedEntry<'a>> {
        match self {
            Entry::Occupied(there) => Ok(there),
            Entry::Vacant(free) => free.insert(value().as_ref()),
        }
    }

    /// Puts the value back that `change` has made of a copy of the one that is there, if one is.
    pub fn and_modify(self, change: impl FnOnce(&mut Vec<u8>)) -> Result<Entry<'a>> {
        match self {
            Entry::Occupied(mut there) => {
                let mut value = there.get()?.to_vec();
                change(&mut value);
                there.insert(&value)?;
                Ok(Entry::Occupied(there))
            }
            vacant => Ok(vacant),
        }
    }
}

/// A key that is there. A look, and each change behind the first, is one descent of the tree.
///
/// Errors of its methods as in [`TableMut`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// use recto::Entry;
/// let mut txn = db.write()?;
/// let mut seats = txn.open_table("seats")?;
/// seats.put(b"7A", b"Ada")?;
/// if let Entry::Occupied(mut there) = seats.entry(b"7A")? {
///     there.insert(b"Kurt")?;
///     assert_eq!(there.remove()?, b"Kurt");
/// }
/// assert!(seats.is_empty());
/// seats.put(b"7A", b"Ada")?;
/// if let Entry::Occupied(there) = seats.entry(b"7A")? {
///     assert_eq!((there.key(), there.get()?), (&b"7A"[..], &b"Ada"[..]));
///     there.delete()?; // without a copy of the value
/// }
/// # Ok(()) }
/// ```
pub struct OccupiedEntry<'a> {
    spot: Spot<'a>,
}

impl<'a> OccupiedEntry<'a> {
    /// Its key.
    pub fn key(&self) -> &[u8] {
        &self.spot.key
    }

    /// Its value, where it stands.
    pub fn get(&self) -> Result<&[u8]> {
        self.spot.value()
    }

    /// Gives it another value.
    pub fn insert(&mut self, value: &[u8]) -> Result<()> {
        self.spot.put(value)
    }

    /// Takes the pair out; its value.
    pub fn remove(self) -> Result<Vec<u8>> {
        let value = self.get()?.to_vec();
        self.delete()?;
        Ok(value)
    }

    /// Takes the pair out, without a copy of its value.
    pub fn delete(self) -> Result<()> {
        self.spot.delete()
    }
}

/// A key that is not there. To put it costs what [`TableMut::put`] costs, without a descent.
///
/// Errors as in [`TableMut`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// use recto::Entry;
/// let mut txn = db.write()?;
/// let mut seats = txn.open_table("seats")?;
/// if let Entry::Vacant(free) = seats.entry(b"7A")? {
///     assert_eq!(free.insert(b"Ada")?.get()?, b"Ada");
/// }
/// assert!(seats.contains_key(b"7A")?);
/// if let Entry::Vacant(free) = seats.entry(b"7B")? {
///     assert_eq!(free.key(), b"7B"); // and dropped: nothing is put
/// }
/// # Ok(()) }
/// ```
pub struct VacantEntry<'a> {
    spot: Spot<'a>,
}

impl<'a> VacantEntry<'a> {
    /// Its key.
    pub fn key(&self) -> &[u8] {
        &self.spot.key
    }

    /// Puts it with this value.
    pub fn insert(mut self, value: &[u8]) -> Result<OccupiedEntry<'a>> {
        self.spot.put(value)?;
        Ok(OccupiedEntry { spot: self.spot })
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Occupied(there) => there.fmt(f),
            Entry::Vacant(free) => free.fmt(f),
        }
    }
}

impl fmt::Debug for OccupiedEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OccupiedEntry").field("key", &crate::tree::Key::from(self.key())).finish()
    }
}

impl fmt::Debug for VacantEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VacantEntry").field("key", &crate::tree::Key::from(self.key())).finish()
    }
}
