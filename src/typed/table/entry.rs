//! A key of a typed table of a write transaction, looked at and changed in one go.

use super::encoded::with_value;
use super::write::TypedTableMut;
use crate::api::entry::{Entry, OccupiedEntry, VacantEntry};
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::value::Value;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

impl<K: Key, V: Value> TypedTableMut<'_, K, V> {
    /// The place of a key, to see what stands there and change it: as
    /// [`TableMut::entry`](crate::TableMut::entry). What reads the value gives
    /// [`Error::Decode`](crate::Error::Decode) where its bytes are none of the type.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const HITS: TableDef<&str, u64> = TableDef::new("hits");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut hits = txn.typed_mut(&HITS)?;
    /// for page in ["/a", "/b", "/a"] {
    ///     hits.entry(page)?.and_modify(|n| *n += 1)?.or_insert(1)?;
    /// }
    /// assert_eq!(hits.get("/a")?, Some(2));
    /// # Ok(()) }
    /// ```
    pub fn entry<'a>(&'a mut self, key: K::Arg<'_>) -> Result<TypedEntry<'a, K, V>> {
        Ok(match self.bytes_mut().entry_of(Cow::Owned(K::to_bytes(key)))? {
            Entry::Occupied(there) => TypedEntry::Occupied(TypedOccupiedEntry::new(there)),
            Entry::Vacant(free) => {
                TypedEntry::Vacant(TypedVacantEntry { free, types: PhantomData })
            }
        })
    }
}

/// What stands at a key of a typed table: [`TypedTableMut::entry`]. It costs what
/// [`Entry`](crate::Entry) costs, and is used by one thread at a time.
///
/// Errors of its methods as in [`TypedTableMut`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{TableDef, TypedEntry};
/// const SEATS: TableDef<(u8, char), &str> = TableDef::new("seats");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut seats = txn.typed_mut(&SEATS)?;
/// match seats.entry((7, 'A'))? {
///     TypedEntry::Vacant(free) => drop(free.insert("Ada")?),
///     TypedEntry::Occupied(there) => println!("taken by {}", there.get()?),
/// }
/// let taken = seats.entry((7, 'A'))?.or_insert_with(|| "Kurt".into())?;
/// assert_eq!(taken.get()?, "Ada");
/// assert_eq!(seats.entry((7, 'B'))?.key()?, (7, 'B'));
/// let grace = seats.entry((7, 'B'))?.or_insert("Grace")?;
/// grace.delete()?;
/// seats.entry((7, 'A'))?.and_modify(|name| name.push('!'))?;
/// assert_eq!(seats.get((7, 'A'))?, Some("Ada!"));
/// # Ok(()) }
/// ```
pub enum TypedEntry<'a, K, V> {
    /// The key is there.
    Occupied(TypedOccupiedEntry<'a, K, V>),
    /// It is not.
    Vacant(TypedVacantEntry<'a, K, V>),
}

impl<'a, K: Key, V: Value> TypedEntry<'a, K, V> {
    /// Its key, a copy.
    pub fn key(&self) -> Result<K::Owned> {
        match self {
            TypedEntry::Occupied(there) => there.key(),
            TypedEntry::Vacant(free) => free.key(),
        }
    }

    /// Puts the key with this value, if it is not there.
    pub fn or_insert(self, value: V::Arg<'_>) -> Result<TypedOccupiedEntry<'a, K, V>> {
        match self {
            TypedEntry::Occupied(there) => Ok(there),
            TypedEntry::Vacant(free) => free.insert(value),
        }
    }

    /// Puts the key with the value that `value` makes, if it is not there; it is not asked else.
    pub fn or_insert_with(
        self,
        value: impl FnOnce() -> V::Owned,
    ) -> Result<TypedOccupiedEntry<'a, K, V>> {
        match self {
            TypedEntry::Occupied(there) => Ok(there),
            TypedEntry::Vacant(free) => free.insert(V::arg(&value())),
        }
    }

    /// Puts the value back that `change` has made of a copy of the one that is there, if one is.
    pub fn and_modify(self, change: impl FnOnce(&mut V::Owned)) -> Result<Self> {
        match self {
            TypedEntry::Occupied(mut there) => {
                let mut value = V::decode_owned(there.there.get()?)?;
                change(&mut value);
                there.insert(V::arg(&value))?;
                Ok(TypedEntry::Occupied(there))
            }
            vacant => Ok(vacant),
        }
    }
}

/// A key that is there. A look, and each change behind the first, is one descent of the tree.
///
/// Errors of its methods as in [`TypedTableMut`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const SEATS: TableDef<(u8, char), &str> = TableDef::new("seats");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut seats = txn.typed_mut(&SEATS)?;
/// let mut there = seats.entry((7, 'A'))?.or_insert("Ada")?;
/// there.insert("Kurt")?;
/// assert_eq!(there.key()?, (7, 'A'));
/// assert_eq!(there.remove()?, "Kurt");
/// assert!(seats.is_empty());
/// let there = seats.entry((7, 'A'))?.or_insert("Ada")?;
/// assert_eq!(there.get()?, "Ada");
/// there.delete()?; // whatever its value is
/// # Ok(()) }
/// ```
pub struct TypedOccupiedEntry<'a, K, V> {
    there: OccupiedEntry<'a>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'a, K: Key, V: Value> TypedOccupiedEntry<'a, K, V> {
    fn new(there: OccupiedEntry<'a>) -> Self {
        TypedOccupiedEntry { there, types: PhantomData }
    }

    /// Its key, a copy.
    pub fn key(&self) -> Result<K::Owned> {
        K::from_bytes(self.there.key())
    }

    /// Its value.
    pub fn get(&self) -> Result<V::Ref<'_>> {
        V::decode(self.there.get()?)
    }

    /// Gives it another value.
    pub fn insert(&mut self, value: V::Arg<'_>) -> Result<()> {
        with_value::<V, _>(value, |value| self.there.insert(value))
    }

    /// Takes the pair out; its value. One that cannot be decoded stays.
    pub fn remove(self) -> Result<V::Owned> {
        let value = V::decode_owned(self.there.get()?)?;
        self.there.delete()?;
        Ok(value)
    }

    /// Takes the pair out, without a look at its value.
    pub fn delete(self) -> Result<()> {
        self.there.delete()
    }
}

/// A key that is not there. To put it costs what [`TypedTableMut::put`] costs, without a descent.
///
/// Errors as in [`TypedTableMut`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{TableDef, TypedEntry};
/// const SEATS: TableDef<(u8, char), &str> = TableDef::new("seats");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut seats = txn.typed_mut(&SEATS)?;
/// if let TypedEntry::Vacant(free) = seats.entry((7, 'A'))? {
///     assert_eq!(free.key()?, (7, 'A'));
///     assert_eq!(free.insert("Ada")?.get()?, "Ada");
/// }
/// # Ok(()) }
/// ```
pub struct TypedVacantEntry<'a, K, V> {
    free: VacantEntry<'a>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'a, K: Key, V: Value> TypedVacantEntry<'a, K, V> {
    /// The key, a copy.
    pub fn key(&self) -> Result<K::Owned> {
        K::from_bytes(self.free.key())
    }

    /// Puts it with this value.
    pub fn insert(self, value: V::Arg<'_>) -> Result<TypedOccupiedEntry<'a, K, V>> {
        with_value::<V, _>(value, |value| self.free.insert(value)).map(TypedOccupiedEntry::new)
    }
}

impl<K, V> fmt::Debug for TypedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypedEntry::Occupied(there) => there.fmt(f),
            TypedEntry::Vacant(free) => free.fmt(f),
        }
    }
}

impl<K, V> fmt::Debug for TypedOccupiedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedOccupiedEntry").field(&self.there).finish()
    }
}

impl<K, V> fmt::Debug for TypedVacantEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedVacantEntry").field(&self.free).finish()
    }
}
