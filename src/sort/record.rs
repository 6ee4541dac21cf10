//! A pair in memory and in a run.
//!
//! ```text
//! length of the key        varint: seven bits a byte, the lowest first
//! length of the value * 2  varint; + 1 where a reference to the value stands in its place
//! key, value
//! ```

use std::ops::Range;

/// Bytes that the two lengths take at most.
pub const MOST_LENGTHS: usize = 20;

/// A pair.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    /// The value stands beside the runs, and here what leads to it.
    pub stored: bool,
    /// All of it, as it stands.
    pub bytes: &'a [u8],
}

/// Where a pair stands.
#[derive(Clone, Default)]
pub struct Span {
    key: Range<usize>,
    begin: usize,
    /// And of the value.
    pub end: usize,
    stored: bool,
}

impl Span {
    /// That of the pair that begins here; None if none does.
    pub fn at(bytes: &[u8], begin: usize) -> Option<Span> {
        let mut at = begin;
        let key_len = usize::try_from(number(bytes, &mut at)?).ok()?;
        let value = number(bytes, &mut at)?;
        let (value_len, stored) = (usize::try_from(value >> 1).ok()?, value & 1 == 1);
        let key_end = at.checked_add(key_len)?;
        let end = key_end.checked_add(value_len)?;
        (end <= bytes.len()).then_some(Span { key: at..key_end, begin, end, stored })
    }

    /// The pair, in the bytes that it was found in.
    pub fn of<'a>(&self, bytes: &'a [u8]) -> Record<'a> {
        Record {
            key: &bytes[self.key.clone()],
            value: &bytes[self.key.end..self.end],
            stored: self.stored,
            bytes: &bytes[self.begin..self.end],
        }
    }
}

#[inline]
fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    while shift < u64::BITS {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
    None
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes that a pair takes at most.
pub fn len(key: &[u8], value: &[u8]) -> usize {
    MOST_LENGTHS + key.len() + value.len()
}

/// Appends a pair.
pub fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8], stored: bool) {
    put_number(out, key.len() as u64);
    put_number(out, (value.len() as u64) << 1 | u64::from(stored));
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_and_nothing_else_does() {
        let mut bytes = Vec::new();
        let lens = [0, 1, 127, 128, 300, 16_384, 70_000];
        for len in lens {
            put(&mut bytes, &vec![1; len / 2], &vec![2; len], len % 2 == 1);
        }
        let (mut at, mut last) = (0, 0);
        for len in lens {
            last = at;
            let span = Span::at(&bytes, at).unwrap();
            let record = span.of(&bytes);
            assert_eq!((record.key, record.value), (&vec![1; len / 2][..], &vec![2; len][..]));
            assert_eq!((record.stored, record.bytes.len()), (len % 2 == 1, span.end - at));
            assert!(super::len(record.key, record.value) >= record.bytes.len());
            at = span.end;
        }
        assert_eq!(at, bytes.len());
        for short in 1..300 {
            assert!(Span::at(&bytes[..bytes.len() - short], last).is_none());
        }
        assert!(Span::at(&[0xff; 30], 0).is_none() && Span::at(&[], 0).is_none());
    }
}
