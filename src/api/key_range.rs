//! Ranges of keys, as the methods of tables take them.

use std::ops::{
    Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive,
};

/// A range of keys: any of Rust's ranges over what has bytes, or a pair of bounds.
///
/// `..` is everything, `"a".."c"` the keys from `a` to below `c`, `&key[..]..` those from a key on.
/// Both ends have one type: slices fit keys of any length. Where the first one is to be left out:
/// `(Bound::Excluded(key), Bound::Unbounded)`. Bounds the wrong way round hold no key.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use std::ops::Bound::*;
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut table = txn.open_table("main")?;
/// for key in ["a", "b", "bee", "c"] {
///     table.put(key.as_bytes(), b"")?;
/// }
/// assert_eq!(table.range(..)?.count(), 4);
/// assert_eq!(table.range("b".."c")?.count(), 2);
/// assert_eq!(table.range("b"..="c")?.count(), 3);
/// assert_eq!(table.range(b"bee".as_slice()..)?.count(), 2);
/// assert_eq!(table.range((Excluded("b"), Unbounded))?.count(), 2);
/// # Ok(()) }
/// ```
pub trait KeyRange: sealed::Bounds {}

impl<R: sealed::Bounds> KeyRange for R {}

mod sealed {
    use super::*;

    pub trait Bounds {
        /// The lower and the upper bound.
        fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>);
    }

    fn bytes<K: AsRef<[u8]>>(bound: Bound<&K>) -> Bound<&[u8]> {
        bound.map(AsRef::as_ref)
    }

    macro_rules! ranges {
        ($($range:ty),*) => {$(
            impl<K: AsRef<[u8]>> Bounds for $range {
                fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
                    (bytes(self.start_bound()), bytes(self.end_bound()))
                }
            }
        )*};
    }

    ranges!(
        Range<K>,
        RangeFrom<K>,
        RangeInclusive<K>,
        RangeTo<K>,
        RangeToInclusive<K>,
        (Bound<K>, Bound<K>)
    );

    impl Bounds for RangeFull {
        fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
            (Bound::Unbounded, Bound::Unbounded)
        }
    }
}
