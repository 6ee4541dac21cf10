//! Bytes of a key, from which its parts are taken one by one.
//!
//! They are a copy that may be changed: text with escaped bytes in it is put together in place, so
//! that it can be borrowed without an allocation.

use crate::error::{Error, Result};
use std::mem;

/// What ends text and bytes that something follows.
const END: u8 = 0;
/// What stands in front of an escaped byte; the byte itself plus one follows.
const ESCAPE: u8 = 1;

/// The bytes of a key, as [`Key::decode_part`](crate::typed::Key::decode_part) takes its parts from
/// them. What is handed out borrows from the place that the bytes stand in.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{Key, KeyReader};
/// let mut bytes = <(&str, u16)>::to_bytes(("a\0b", 7));
/// let mut reader = KeyReader::new(&mut bytes);
/// assert_eq!(<&str>::decode_part(&mut reader)?, "a\0b");
/// assert_eq!(u16::decode_part(&mut reader)?, 7);
/// reader.finish("example")?;
/// # Ok(()) }
/// ```
///
/// Types that are written by hand take their parts from it in other ways too:
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{KeyReader, write_terminated};
/// let mut key = vec![1, 2, 3, 4];
/// write_terminated(b"any length", &mut key);
/// key.extend(b"rest");
/// let mut reader = KeyReader::new(&mut key);
/// assert_eq!(reader.bytes(2, "example")?, [1, 2]);
/// assert_eq!(reader.array::<2>("example")?, [3, 4]);
/// assert_eq!(reader.terminated("example")?, b"any length");
/// assert_eq!(reader.rest(), b"rest");
/// reader.finish("example")?;
/// # Ok(()) }
/// ```
pub struct KeyReader<'a> {
    rest: &'a mut [u8],
}

impl<'a> KeyReader<'a> {
    /// From the first byte of a key. The bytes may be changed on the way.
    pub fn new(bytes: &'a mut [u8]) -> KeyReader<'a> {
        KeyReader { rest: bytes }
    }

    /// The next `len` bytes. [`Error::Decode`], which names the type, if there are fewer.
    pub fn bytes(&mut self, len: usize, type_name: &str) -> Result<&'a [u8]> {
        if self.rest.len() < len {
            return Err(too_short(type_name, self.rest.len(), len));
        }
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut(len);
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes. [`Error::Decode`], which names the type, if there are fewer.
    pub fn array<const N: usize>(&mut self, type_name: &str) -> Result<[u8; N]> {
        match self.rest.first_chunk::<N>().copied() {
            Some(array) => {
                self.rest = &mut mem::take(&mut self.rest)[N..];
                Ok(array)
            }
            None => Err(too_short(type_name, self.rest.len(), N)),
        }
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest: &'a mut [u8] = mem::take(&mut self.rest);
        rest
    }

    /// Bytes that were written by [`write_terminated`], as they were. [`Error::Decode`], which
    /// names the type, if their end is missing or a byte is escaped that need not be.
    pub fn terminated(&mut self, type_name: &str) -> Result<&'a [u8]> {
        // How many bytes were read, and how many they are without escapes: the same for most text.
        let mut read = self.rest.iter().position(|&byte| byte <= ESCAPE).unwrap_or(self.rest.len());
        let mut len = read;
        loop {
            let byte = match self.rest.get(read..) {
                Some([END, ..]) => break,
                Some([ESCAPE, escaped @ (1 | 2), ..]) => {
                    read += 1;
                    escaped - 1
                }
                Some([ESCAPE, ..]) => return Err(wrong(type_name, "a wrong escape")),
                Some([byte, ..]) => *byte,
                _ => return Err(wrong(type_name, "the end of a text is missing")),
            };
            if read != len {
                self.rest[len] = byte;
            }
            read += 1;
            len += 1;
        }
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut(read + 1);
        self.rest = rest;
        Ok(&taken[..len])
    }

    /// Changes every bit of what is left.
    pub(super) fn invert(&mut self) {
        self.rest.iter_mut().for_each(|byte| *byte = !*byte);
    }

    /// The key must end here. [`Error::Decode`], which names the type, if bytes are left.
    pub fn finish(self, type_name: &str) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(wrong(type_name, format!("{left} bytes are left over"))),
        }
    }
}

/// Writes bytes of any length in such a way that they end by themselves, and that their order is
/// kept whatever follows: for types that have text inside.
///
/// O(bytes); a byte more for each zero in them, and for their end.
///
/// ```
/// use recto::typed::write_terminated;
/// let mut keys = ["ab", "a", "a\0"].map(|word| {
///     let mut key = Vec::new();
///     write_terminated(word.as_bytes(), &mut key);
///     key.push(7); // whatever follows
///     key
/// });
/// keys.sort();
/// assert_eq!(keys[0], b"a\0\x07"); // "a" is before "a\0" and "ab"
/// ```
pub fn write_terminated(bytes: &[u8], out: &mut Vec<u8>) {
    write_escaped(bytes, out);
    out.push(END);
}

/// The same without the end: what all begin with that begin with these bytes.
pub(super) fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte <= ESCAPE) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[ESCAPE, rest[at] + 1]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Bytes that are no key or value of a type.
pub(in crate::typed) fn wrong(type_name: &str, detail: impl Into<String>) -> Error {
    Error::Decode { type_name: type_name.into(), detail: detail.into() }
}

/// The bytes as an array; an error that names the type if they are more or fewer.
#[inline]
pub(in crate::typed) fn exactly<const N: usize>(bytes: &[u8], type_name: &str) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| wrong(type_name, format!("{} bytes where {N} belong", bytes.len())))
}

fn too_short(type_name: &str, there: usize, wanted: usize) -> Error {
    wrong(type_name, format!("{there} bytes where {wanted} belong"))
}
