//! Places where keys and values are encoded, which are used again.

use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::key::prefix::KeyPrefix;
use crate::typed::value::Value;
use std::cell::Cell;
use std::ops::{Bound, RangeBounds};

/// Larger places are given back, so that one large value does not stay for ever.
const KEPT_BYTES: usize = 64 << 10;

thread_local! {
    static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static VALUE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs with an empty place. One inside another has a place of its own, as has a thread that ends.
#[inline]
fn with<R>(
    place: &'static std::thread::LocalKey<Cell<Vec<u8>>>,
    f: impl FnOnce(&mut Vec<u8>) -> R,
) -> R {
    let mut buffer = place.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    let result = f(&mut buffer);
    if buffer.capacity() <= KEPT_BYTES {
        let _ = place.try_with(|place| place.set(buffer));
    }
    result
}

/// Runs with an encoded key.
#[inline]
pub fn with_key<K: Key, R>(key: K::Arg<'_>, f: impl FnOnce(&[u8]) -> R) -> R {
    with(&KEY, |buffer| {
        K::encode(key, buffer);
        f(buffer)
    })
}

/// The same with a value of a set, which is encoded as a key.
pub fn with_set_value<V: Key, R>(value: V::Arg<'_>, f: impl FnOnce(&[u8]) -> R) -> R {
    with(&VALUE, |buffer| {
        V::encode(value, buffer);
        f(buffer)
    })
}

/// Runs with an encoded value.
#[inline]
pub fn with_value<V: Value, R>(value: V::Arg<'_>, f: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
    with(&VALUE, |buffer| V::with_bytes(value, buffer, f))
}

/// Runs with the beginning of keys.
pub fn with_prefix<K: Key, R>(prefix: impl KeyPrefix<K>, f: impl FnOnce(&[u8]) -> R) -> R {
    with(&KEY, |buffer| {
        prefix.encode_prefix(buffer);
        f(buffer)
    })
}

/// Bounds of a range, as byte tables take them.
pub fn bounds<'k, K: Key>(keys: &impl RangeBounds<K::Arg<'k>>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (keys.start_bound().map(|key| K::to_bytes(*key)), keys.end_bound().map(|key| K::to_bytes(*key)))
}
