//! Pairs of a typed table in the order of their keys.

use crate::api::table::Range;
use crate::error::{Error, Result};
use crate::typed::key::Key;
use crate::typed::value::Value;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

/// A key, borrowed until the next call, and a value, as long as the transaction.
pub type Pair<'a, 't, K, V> = (<K as Key>::Ref<'a>, <V as Value>::Ref<'t>);

/// Pairs of a typed table in the order of their keys, from both ends. After an error it yields
/// nothing more.
///
/// As an iterator it hands out keys of their own (a `String` for `&str`) and values that live as
/// long as the transaction. Keys of [`TypedRange::next_ref`] are borrowed: text without an
/// allocation.
///
/// A step costs what that of a [`Range`](crate::Range) costs, and the decoding. It may be sent to
/// another thread.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// use recto::typed::TableDef;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
///
/// let mut ages = txn.typed_mut(&AGES)?;
/// for (name, age) in [("Ada", 36), ("Bob", 7), ("Kurt", 71)] {
///     ages.put(name, age)?;
/// }
/// let mut range = ages.iter()?;
/// assert_eq!(range.next_back_ref()?, Some(("Kurt", 71)));
/// assert_eq!(range.next().transpose()?, Some(("Ada".to_owned(), 36)));
/// assert_eq!(ages.iter()?.keys().next_back().transpose()?, Some("Kurt".to_owned()));
/// assert_eq!(ages.iter()?.values().next().transpose()?, Some(36));
/// # Ok(()) }
/// ```
pub struct TypedRange<'t, K, V> {
    pairs: Range<'t>,
    key: Vec<u8>,
    failed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Value> TypedRange<'t, K, V> {
    pub(super) fn new(pairs: Range<'t>) -> TypedRange<'t, K, V> {
        TypedRange { pairs, key: Vec::new(), failed: false, types: PhantomData }
    }

    /// The next pair; None at the end. The key is borrowed until the next call.
    /// [`Error::Decode`](crate::Error::Decode) for bytes of another type.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # let mut ages = txn.typed_mut(&AGES)?;
    /// ages.put("Ada", 36)?;
    /// ages.put("Kurt", 71)?;
    /// let mut range = ages.iter()?;
    /// while let Some((name, age)) = range.next_ref()? {
    ///     let name: &str = name;
    ///     println!("{name} {age}");
    /// }
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn next_ref(&mut self) -> Result<Option<Pair<'_, 't, K, V>>> {
        self.step(true)
    }

    /// The same from the other end.
    #[inline]
    pub fn next_back_ref(&mut self) -> Result<Option<Pair<'_, 't, K, V>>> {
        self.step(false)
    }

    /// Only the keys.
    pub fn keys(self) -> Keys<'t, K, V> {
        Keys { range: self }
    }

    /// Only the values. Keys are not decoded, nor looked at.
    pub fn values(self) -> Values<'t, K, V> {
        Values { range: self }
    }

    /// The next pair of bytes.
    #[inline]
    fn bytes(&mut self, ahead: bool) -> Result<Option<(&[u8], &'t [u8])>> {
        match (self.failed, ahead) {
            (true, _) => Ok(None),
            (_, true) => self.pairs.next_ref(),
            (_, false) => self.pairs.next_back_ref(),
        }
    }

    #[inline]
    fn step(&mut self, ahead: bool) -> Result<Option<Pair<'_, 't, K, V>>> {
        let bytes = match (self.failed, ahead) {
            (true, _) => None,
            (_, true) => self.pairs.next_ref()?,
            (_, false) => self.pairs.next_back_ref()?,
        };
        let Some((key, value)) = bytes else { return Ok(None) };
        // Until it is known that both can be read.
        self.failed = true;
        let key = K::read(key, &mut self.key)?;
        let value = V::decode(value)?;
        self.failed = false;
        Ok(Some((key, value)))
    }

    #[inline]
    fn pair(&mut self, ahead: bool) -> Option<Result<(K::Owned, V::Ref<'t>)>> {
        let owned = |(key, value): Pair<'_, 't, K, V>| (K::into_owned(key), value);
        self.step(ahead).map(|pair| pair.map(owned)).transpose()
    }

    #[inline]
    fn key(&mut self, ahead: bool) -> Option<Result<K::Owned>> {
        let key = match self.bytes(ahead) {
            Ok(pair) => pair?.0,
            Err(e) => return Some(Err(e)),
        };
        let key = K::read(key, &mut Vec::new()).map(K::into_owned);
        self.failed = key.is_err();
        Some(key)
    }

    #[inline]
    fn value(&mut self, ahead: bool) -> Option<Result<V::Ref<'t>>> {
        let value = match self.bytes(ahead) {
            Ok(pair) => V::decode(pair?.1),
            Err(e) => return Some(Err(e)),
        };
        self.failed = value.is_err();
        Some(value)
    }
}

/// The keys of a range: [`TypedRange::keys`].
pub struct Keys<'t, K, V> {
    range: TypedRange<'t, K, V>,
}

/// The values of a range: [`TypedRange::values`].
pub struct Values<'t, K, V> {
    range: TypedRange<'t, K, V>,
}

/// All pairs of a typed table, as `for` takes them: a [`TypedRange`], or the error that there is in
/// its place, which comes as the first and only item.
pub struct TypedTableIter<'t, K, V> {
    pairs: std::result::Result<TypedRange<'t, K, V>, Option<Error>>,
}

impl<'t, K: Key, V: Value> TypedTableIter<'t, K, V> {
    pub(super) fn new(pairs: Result<TypedRange<'t, K, V>>) -> TypedTableIter<'t, K, V> {
        TypedTableIter { pairs: pairs.map_err(Some) }
    }

    #[inline]
    fn pair(&mut self, ahead: bool) -> Option<Result<(K::Owned, V::Ref<'t>)>> {
        match &mut self.pairs {
            Ok(range) => range.pair(ahead),
            Err(e) => e.take().map(Err),
        }
    }
}

macro_rules! iterators {
    ($($what:ident: $item:ty, $self:ident => $range:expr, $step:ident;)*) => {$(
        impl<'t, K: Key, V: Value> Iterator for $what<'t, K, V> {
            type Item = Result<$item>;

            #[inline]
            fn next(&mut $self) -> Option<Self::Item> {
                $range.$step(true)
            }
        }

        impl<K: Key, V: Value> DoubleEndedIterator for $what<'_, K, V> {
            #[inline]
            fn next_back(&mut $self) -> Option<Self::Item> {
                $range.$step(false)
            }
        }

        impl<K: Key, V: Value> FusedIterator for $what<'_, K, V> {}
    )*};
}

iterators!(
    TypedRange: (K::Owned, V::Ref<'t>), self => self, pair;
    TypedTableIter: (K::Owned, V::Ref<'t>), self => self, pair;
    Keys: K::Owned, self => self.range, key;
    Values: V::Ref<'t>, self => self.range, value;
);

macro_rules! shown {
    ($($what:ident;)*) => {$(
        impl<K: Key, V: Value> fmt::Debug for $what<'_, K, V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($what))
                    .field("keys", &K::type_name())
                    .field("values", &V::type_name())
                    .finish_non_exhaustive()
            }
        }
    )*};
}

shown! {
    TypedRange;
    TypedTableIter;
    Keys;
    Values;
}
