//! Keys, and values of sets, in their order.

use crate::api::set::{Pairs, SetRange, Values};
use crate::error::Result;
use crate::typed::key::Key;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

/// Values of one key in their order, from both ends; each is one of its own (a `String` for
/// `&str`). After an error it yields nothing more.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut tags = txn.typed_set_mut(&TAGS)?;
/// for article in [7, 3, 5] {
///     tags.insert("rust", article)?;
/// }
/// let mut articles = tags.get("rust")?;
/// assert_eq!(articles.set_len(), 3);
/// assert_eq!(articles.next().transpose()?, Some(3));
/// assert_eq!(articles.next_back().transpose()?, Some(7));
/// let bytes = tags.get("rust")?.into_bytes().next().transpose()?.unwrap();
/// assert_eq!(bytes, &3u64.to_be_bytes()[..]);
/// # Ok(()) }
/// ```
pub struct TypedValues<'t, V> {
    values: Values<'t>,
    failed: bool,
    types: PhantomData<fn() -> V>,
}

impl<'t, V: Key> TypedValues<'t, V> {
    pub(super) fn new(values: Values<'t>) -> TypedValues<'t, V> {
        TypedValues { values, failed: false, types: PhantomData }
    }

    /// Number of values that the key has, of which these may be a part. O(1).
    pub fn set_len(&self) -> u64 {
        self.values.set_len()
    }

    /// The same values as bytes.
    pub fn into_bytes(self) -> Values<'t> {
        self.values
    }
}

/// Keys with their values, from both ends. After an error it yields nothing more.
pub struct TypedSetRange<'t, K, V> {
    keys: SetRange<'t>,
    failed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Key> TypedSetRange<'t, K, V> {
    pub(super) fn new(keys: SetRange<'t>) -> TypedSetRange<'t, K, V> {
        TypedSetRange { keys, failed: false, types: PhantomData }
    }
}

/// Pairs by key and then by value, from both ends. After an error it yields nothing more.
pub struct TypedPairs<'t, K, V> {
    pairs: Pairs<'t>,
    failed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Key> TypedPairs<'t, K, V> {
    pub(super) fn new(pairs: Pairs<'t>) -> TypedPairs<'t, K, V> {
        TypedPairs { pairs, failed: false, types: PhantomData }
    }
}

/// An iterator that decodes what another one hands out, until that fails.
macro_rules! decoding {
    ($type:ident<$($life:lifetime,)? $($part:ident),*>, $inner:ident, $item:ty, $decode:expr) => {
        impl<$($life,)? $($part: Key),*> $type<$($life,)? $($part),*> {
            fn decoded<T>(&mut self, next: Option<Result<T>>, decode: impl FnOnce(T) -> Result<$item>)
                -> Option<Result<$item>>
            {
                let item = next?.and_then(decode);
                self.failed = item.is_err();
                Some(item)
            }
        }

        impl<$($life,)? $($part: Key),*> Iterator for $type<$($life,)? $($part),*> {
            type Item = Result<$item>;

            fn next(&mut self) -> Option<Self::Item> {
                if self.failed {
                    return None;
                }
                let next = self.$inner.next();
                self.decoded(next, $decode)
            }
        }

        impl<$($life,)? $($part: Key),*> DoubleEndedIterator for $type<$($life,)? $($part),*> {
            fn next_back(&mut self) -> Option<Self::Item> {
                if self.failed {
                    return None;
                }
                let next = self.$inner.next_back();
                self.decoded(next, $decode)
            }
        }

        impl<$($life,)? $($part: Key),*> FusedIterator for $type<$($life,)? $($part),*> {}

        impl<$($life,)? $($part),*> fmt::Debug for $type<$($life,)? $($part),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    };
}
pub(super) use decoding;

decoding!(TypedValues<'t, V>, values, V::Owned, |value| V::from_bytes(&value));
decoding!(TypedSetRange<'t, K, V>, keys, (K::Owned, TypedValues<'t, V>), |(key, values)| {
    Ok((K::from_bytes(&key)?, TypedValues::new(values)))
});
decoding!(TypedPairs<'t, K, V>, pairs, (K::Owned, V::Owned), |(key, value)| {
    Ok((K::from_bytes(&key)?, V::from_bytes(&value)?))
});
