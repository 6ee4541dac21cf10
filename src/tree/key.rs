//! A key as a range hands it out. Pages keep keys in parts, so a key is put together: small ones in
//! place, longer ones in a box; a key that stands in one piece in its page is borrowed.

use crate::format::node::key::KeyParts;
use crate::format::node::{HEAD, InlineEntry};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Longest key that needs no allocation.
const SMALL: usize = 62;

/// A key. Derefs to its bytes, and compares, hashes and prints as they do.
#[derive(Clone)]
pub struct Key<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    Small { len: u8, bytes: [u8; SMALL] },
    Long(Box<[u8]>),
    Borrowed(&'a [u8]),
}

impl<'a> Key<'a> {
    /// Puts a key together.
    #[inline]
    pub(crate) fn assemble(parts: &KeyParts<'a>) -> Key<'a> {
        if let Some(whole) = parts.whole() {
            return Key(Repr::Borrowed(whole));
        }
        let len = parts.len();
        if len > SMALL {
            return Key(Repr::Long(parts.to_vec().into_boxed_slice()));
        }
        let mut bytes = [0; SMALL];
        parts.write_to(&mut bytes[..len]);
        Key(Repr::Small { len: len as u8, bytes })
    }

    /// The key as a vector of its own.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Repr::Long(bytes) => bytes.into_vec(),
            _ => self.to_vec(),
        }
    }

    /// The key without a tie to the page.
    pub fn into_owned(self) -> Key<'static> {
        match self.0 {
            Repr::Small { len, bytes } => Key(Repr::Small { len, bytes }),
            Repr::Long(bytes) => Key(Repr::Long(bytes)),
            Repr::Borrowed(bytes) => Key(Repr::Long(bytes.into())),
        }
    }
}

/// Bytes that short copies of a fixed length take.
const CHUNK: usize = 16;

/// What all keys of a leaf begin with, laid out as a small key has it, so that each of them takes one copy and two stores.
#[derive(Clone, Copy, Default)]
pub(super) struct Front {
    /// Bytes of the prefix; more than [`Front::MOST`] if the keys have to be put together in the general way.
    len: usize,
    words: [[u8; 16]; 4],
}

impl Front {
    /// Longest prefix behind which a head and a chunk still fit.
    const MOST: usize = SMALL - HEAD - CHUNK;

    /// Of the leaf whose keys begin with these bytes.
    pub fn of(prefix: &[u8]) -> Front {
        let mut words = [[0; 16]; 4];
        if prefix.len() <= Front::MOST {
            words.as_flattened_mut()[..prefix.len()].copy_from_slice(prefix);
        }
        Front { len: prefix.len(), words }
    }

    /// Puts a key of that leaf together in this place, without a copy of the prefix, and says how long it is; None if that takes the
    /// general way.
    #[inline(always)]
    pub fn assemble(&mut self, entry: &InlineEntry<'_>) -> Option<usize> {
        let at = self.len;
        let chunk = entry.body.first_chunk::<CHUNK>()?;
        if at > Front::MOST || entry.suffix_len > HEAD + CHUNK {
            return None;
        }
        let bytes = self.words.as_flattened_mut();
        bytes[at..at + HEAD].copy_from_slice(&entry.head);
        bytes[at + HEAD..at + HEAD + CHUNK].copy_from_slice(chunk);
        Some(at + entry.suffix_len)
    }

    /// The first bytes of what was put together last.
    #[inline(always)]
    pub fn assembled(&self, len: usize) -> &[u8] {
        &self.words.as_flattened()[..len]
    }

    /// A key of that leaf; None if it has to be put together in the general way.
    #[inline(always)]
    pub fn key<'a>(mut self, entry: &InlineEntry<'_>) -> Option<Key<'a>> {
        let len = self.assemble(entry)?;
        // The bytes behind the key's end are anything; nobody sees them.
        let bytes = *self.words.as_flattened().first_chunk()?;
        Some(Key(Repr::Small { len: len as u8, bytes }))
    }
}

impl Deref for Key<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Small { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Long(bytes) => bytes,
            Repr::Borrowed(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Key<'a> {
    fn from(bytes: &'a [u8]) -> Key<'a> {
        Key(Repr::Borrowed(bytes))
    }
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Key<'_> {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Key<'_> {}

impl PartialEq<[u8]> for Key<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<&[u8]> for Key<'_> {
    fn eq(&self, other: &&[u8]) -> bool {
        **self == **other
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}
