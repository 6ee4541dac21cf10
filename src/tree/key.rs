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

/// A key. Derefs to its bytes, and compares and hashes as they do. Printed it is its text where it
/// is text, and otherwise its bytes, with `\x00` for those that are no printable ASCII; with `{:?}`
/// it is always the latter, between quotes.
///
/// Up to 62 bytes it needs no allocation.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut table = txn.open_table("main")?;
/// table.put(b"key", b"value")?;
/// let (key, _) = table.first()?.unwrap();
/// assert_eq!(&*key, b"key");
/// assert_eq!(key.to_string(), "key");
/// assert_eq!(key.into_vec(), b"key");
/// let (key, _) = table.first()?.unwrap();
/// let key: recto::Key<'static> = key.into_owned(); // outlives the transaction
/// assert_eq!(key, &b"key"[..]);
/// # Ok(()) }
/// ```
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
        if let Some(whole) = parts.borrowed() {
            return Key(Repr::Borrowed(whole));
        }
        let len = parts.len();
        if len > SMALL {
            return Key(Repr::Long(parts.to_vec().into_boxed_slice()));
        }
        let mut bytes = [0; SMALL];
        parts.copy_to(0, &mut bytes[..len]);
        Key(Repr::Small { len: len as u8, bytes })
    }

    /// The key's bytes inside of the page, for as long as the transaction lives: where it stands
    /// there in one piece, as in all orders but [`Order::Packed`](crate::Order::Packed).
    ///
    /// ```
    /// use recto::{Order, TableOptions};
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let options = TableOptions::default().ordered(Order::Plain);
    /// let mut table = txn.open_table_with("main", &options)?;
    /// table.put(b"key", b"value")?;
    /// let (key, _) = table.first()?.unwrap();
    /// assert_eq!(key.borrowed(), Some(&b"key"[..]));
    /// # Ok(()) }
    /// ```
    pub fn borrowed(&self) -> Option<&'a [u8]> {
        match self.0 {
            Repr::Borrowed(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The key as a vector of its own.
    ///
    /// A copy, but of a long key that was put together from parts of its page.
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

/// Bytes that copies of a fixed length take.
const CHUNK: usize = 16;
const LONG_CHUNK: usize = 32;

/// What all keys of a leaf begin with, where the rest of each is put behind it: no key needs the
/// prefix copied again, and most take few stores of fixed lengths.
pub(super) struct KeyBuffer {
    /// Bytes of the prefix; [`KeyBuffer::ROOM`] if there is no room for keys behind it, or they
    /// are not put together.
    len: usize,
    bytes: [u8; KeyBuffer::ROOM],
}

impl KeyBuffer {
    /// Longer keys are put together in the general way.
    const ROOM: usize = 512;

    /// Of no leaf yet.
    pub fn new() -> KeyBuffer {
        KeyBuffer { len: 0, bytes: [0; KeyBuffer::ROOM] }
    }

    /// Now of the leaf whose keys begin with these bytes.
    pub fn set(&mut self, prefix: &[u8]) {
        self.len = prefix.len().min(KeyBuffer::ROOM);
        if prefix.len() <= KeyBuffer::ROOM {
            self.bytes[..prefix.len()].copy_from_slice(prefix);
        }
    }

    /// Now of a leaf with whole keys, of which none is put together.
    pub fn set_whole(&mut self) {
        self.len = KeyBuffer::ROOM;
    }

    /// Puts a key of that leaf together in this place, and says how long it is; None if it is not
    /// one of the short ones.
    #[inline(always)]
    pub fn assemble(&mut self, entry: &InlineEntry<'_>) -> Option<usize> {
        put_short(&mut self.bytes, self.len, entry)
    }

    /// A key of that leaf; None if it is not one of the short ones.
    #[inline(always)]
    pub fn short_key<'a>(&self, entry: &InlineEntry<'_>) -> Option<Key<'a>> {
        let mut bytes = *self.bytes.first_chunk::<SMALL>()?;
        let len = put_short(&mut bytes, self.len, entry)?;
        Some(Key(Repr::Small { len: len as u8, bytes }))
    }

    /// The same for those that are not short too; None if it takes the general way.
    pub fn assemble_long(&mut self, entry: &InlineEntry<'_>) -> Option<usize> {
        let suffix = self.bytes.get_mut(self.len..)?;
        let (head, rest) = suffix.split_first_chunk_mut::<HEAD>()?;
        *head = entry.head;
        match (rest.first_chunk_mut::<LONG_CHUNK>(), entry.body.first_chunk::<LONG_CHUNK>()) {
            (Some(to), Some(from)) if entry.suffix_len <= HEAD + LONG_CHUNK => *to = *from,
            _ => {
                let n = entry.suffix_len.saturating_sub(HEAD);
                rest.get_mut(..n)?.copy_from_slice(entry.body.get(..n)?);
            }
        }
        Some(self.len + entry.suffix_len)
    }

    /// The first bytes of what was put together last.
    #[inline(always)]
    pub fn assembled(&self, len: usize) -> &[u8] {
        &self.bytes[..len]
    }

    /// The same as a key of its own.
    #[inline(always)]
    pub fn key<'a>(&self, len: usize) -> Key<'a> {
        match self.bytes.first_chunk::<SMALL>() {
            Some(bytes) if len <= SMALL => Key(Repr::Small { len: len as u8, bytes: *bytes }),
            _ => Key(Repr::Long(self.assembled(len).into())),
        }
    }
}

/// Puts a head and a chunk behind the first `at` bytes, if that is all there is of the key and
/// there is room for it: the key's length.
#[inline(always)]
fn put_short<const N: usize>(
    bytes: &mut [u8; N],
    at: usize,
    entry: &InlineEntry<'_>,
) -> Option<usize> {
    let chunk = entry.body.first_chunk::<CHUNK>()?;
    if at > N - HEAD - CHUNK || entry.suffix_len > HEAD + CHUNK {
        return None;
    }
    // The bytes behind the key's end are anything; nobody sees them.
    bytes[at..at + HEAD].copy_from_slice(&entry.head);
    bytes[at + HEAD..at + HEAD + CHUNK].copy_from_slice(chunk);
    Some(at + entry.suffix_len)
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

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self) {
            Ok(text) => f.pad(text),
            Err(_) => f.pad(&self.escape_ascii().to_string()),
        }
    }
}
