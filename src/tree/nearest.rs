//! The entry next to a key.

use super::cursor::Cursor;
use super::key::Key;
use super::{PageSource, TableDescriptor};
use crate::error::Result;
use std::ops::Bound;

/// On which side of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beside {
    /// The last one before it.
    Before,
    /// It, or the last one before it.
    AtOrBefore,
    /// It, or the first one behind it.
    AtOrAfter,
    /// The first one behind it.
    After,
}

/// The entry next to a key, on this side. One descent, and a step to the next leaf where the key
/// belongs to the edge of one.
pub fn beside<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    key: &[u8],
    side: Beside,
) -> Result<Option<(Key<'a>, &'a [u8])>> {
    src.check()?;
    let mut cursor = Cursor::new(src, desc)?;
    match side {
        Beside::Before => cursor.seek_back(Bound::Excluded(key))?,
        Beside::AtOrBefore => cursor.seek_back(Bound::Included(key))?,
        Beside::AtOrAfter => cursor.seek(Bound::Included(key))?,
        Beside::After => cursor.seek(Bound::Excluded(key))?,
    };
    cursor.entry()
}
