//! A key in the parts a page keeps it in: the page's prefix, the head, the rest.

use crate::format::order::{HEAD, KeyOrder, head_of};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A key: `prefix`, then as much of the head as the suffix is long, then `rest`.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    prefix: &'a [u8],
    head: [u8; HEAD],
    suffix_len: usize,
    rest: &'a [u8],
}

#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
impl<'a> KeyParts<'a> {
    /// From what a page holds. `rest` has the length that belongs to `suffix_len`.
    #[inline]
    pub fn new(prefix: &'a [u8], head: u32, suffix_len: usize, rest: &'a [u8]) -> KeyParts<'a> {
        debug_assert_eq!(rest.len(), suffix_len.saturating_sub(HEAD));
        KeyParts { prefix, head: head.to_be_bytes(), suffix_len, rest }
    }

    /// Of a whole key, cut behind `prefix_len` (at most its length).
    #[inline]
    pub fn of(key: &'a [u8], prefix_len: usize) -> KeyParts<'a> {
        let (prefix, suffix) = key.split_at(prefix_len);
        let rest = suffix.get(HEAD..).unwrap_or(&[]);
        KeyParts::new(prefix, head_of(suffix), suffix.len(), rest)
    }

    /// Of a key that a page has in one piece.
    #[inline]
    pub fn whole(key: &'a [u8]) -> KeyParts<'a> {
        KeyParts { prefix: key, head: [0; HEAD], suffix_len: 0, rest: &[] }
    }

    /// Length of the key.
    #[inline]
    pub fn len(&self) -> usize {
        self.prefix.len() + self.suffix_len
    }

    /// The key's bytes inside the page, if they stand there in one piece: when it is just the
    /// prefix, or in the plain layout.
    pub fn borrowed(&self) -> Option<&'a [u8]> {
        (self.suffix_len == 0).then_some(self.prefix)
    }

    /// The key's bytes, put together if they do not stand there.
    pub fn in_one_piece(&self) -> Cow<'a, [u8]> {
        self.borrowed().map_or_else(|| Cow::Owned(self.to_vec()), Cow::Borrowed)
    }

    /// The bytes of the suffix that stand in the head.
    #[inline]
    fn head_part(&self) -> &[u8] {
        &self.head[..self.suffix_len.min(HEAD)]
    }

    /// Copies as many bytes as `out` takes, from offset `from` of the key on; both lie inside the
    /// key.
    pub fn copy_to(&self, mut from: usize, mut out: &mut [u8]) {
        for part in [self.prefix, self.head_part(), self.rest] {
            let Some(part) = part.get(from..) else {
                from -= part.len();
                continue;
            };
            let n = part.len().min(out.len());
            out[..n].copy_from_slice(&part[..n]);
            out = &mut out[n..];
            from = 0;
        }
    }

    /// Copies what a cell holds of the key in a page with a prefix of `prefix_len` bytes, which is
    /// as long as `out`: what is behind the prefix, without the `beside` bytes of the head.
    #[inline]
    pub fn copy_rest(&self, prefix_len: usize, beside: usize, out: &mut [u8]) {
        if prefix_len == self.prefix.len() && beside == HEAD {
            return out.copy_from_slice(self.rest);
        }
        self.copy_to(prefix_len + beside, out);
    }

    /// Makes `out` this key.
    #[inline]
    pub fn replace_in(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.prefix);
        out.extend_from_slice(self.head_part());
        out.extend_from_slice(self.rest);
    }

    /// The key in one piece.
    pub fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.replace_in(&mut out);
        out
    }

    /// The bytes of the key, one by one.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        let head = self.head.into_iter().take(self.suffix_len);
        self.prefix.iter().copied().chain(head).chain(self.rest.iter().copied())
    }

    /// How the key compares with one in a single piece.
    pub fn compare(&self, key: &[u8]) -> Ordering {
        let (front, suffix) = key.split_at(self.prefix.len().min(key.len()));
        let (head, rest) = suffix.split_at(suffix.len().min(HEAD));
        self.prefix
            .cmp(front)
            .then_with(|| self.head_part().cmp(head))
            .then_with(|| self.rest.cmp(rest))
    }

    /// How the key compares with another that is in parts.
    pub fn compare_parts(&self, other: &KeyParts<'_>) -> Ordering {
        if self.prefix != other.prefix {
            return self.bytes().cmp(other.bytes());
        }
        self.head_part().cmp(other.head_part()).then_with(|| self.rest.cmp(other.rest))
    }

    /// Length of the longest common prefix of two keys.
    pub fn common_prefix(&self, other: &KeyParts<'_>) -> usize {
        // Keys of one page share its prefix, mostly the same bytes in memory.
        let shared = if std::ptr::eq(self.prefix, other.prefix) { self.prefix.len() } else { 0 };
        let (a, b) = (self.bytes().skip(shared), other.bytes().skip(shared));
        shared + a.zip(b).take_while(|(x, y)| x == y).count()
    }

    /// Whether the key begins with these bytes.
    pub fn starts_with(&self, front: &[u8]) -> bool {
        if front.len() <= self.prefix.len() {
            return self.prefix.starts_with(front);
        }
        self.len() >= front.len() && self.bytes().zip(front).all(|(x, y)| x == *y)
    }

    /// The key cut anew, behind `prefix_len` bytes (at most its length): head, and length of its
    /// suffix.
    #[inline]
    pub fn recut(&self, prefix_len: usize) -> (u32, usize) {
        if prefix_len == self.prefix.len() {
            return (u32::from_be_bytes(self.head), self.suffix_len);
        }
        let suffix_len = self.len() - prefix_len;
        let mut head = [0; HEAD];
        self.copy_to(prefix_len, &mut head[..suffix_len.min(HEAD)]);
        (u32::from_be_bytes(head), suffix_len)
    }
}

/// The shortest key that is above `left` and not above `right`: the start of `right` up to the
/// first byte where it differs. None if `left` is not below `right`.
pub fn separator(left: &KeyParts<'_>, right: &KeyParts<'_>) -> Option<Vec<u8>> {
    let common = left.common_prefix(right);
    let next = right.bytes().nth(common)?;
    if left.bytes().nth(common).is_some_and(|byte| byte >= next) {
        return None;
    }
    let mut out = vec![0; common + 1];
    right.copy_to(0, &mut out);
    Some(out)
}

/// Keys as pages have them, in an order.
impl KeyOrder {
    /// The same of a key as a page has it.
    #[inline]
    pub fn compare_to(self, a: &KeyParts<'_>, b: &[u8]) -> Ordering {
        match self.whole() {
            None => a.compare(b),
            Some(order) => order.compare(&a.in_one_piece(), b),
        }
    }

    /// The same of two keys as pages have them.
    #[inline]
    pub fn compare_parts(self, a: &KeyParts<'_>, b: &KeyParts<'_>) -> Ordering {
        match self.whole() {
            None => a.compare_parts(b),
            Some(order) => order.compare(&a.in_one_piece(), &b.in_one_piece()),
        }
    }

    /// The head of a key and the length of its suffix, behind `prefix_len` bytes of it.
    #[inline(always)]
    pub(super) fn cut(self, key: &KeyParts<'_>, prefix_len: usize) -> (u32, usize) {
        match self.whole() {
            None => key.recut(prefix_len),
            Some(order) => (order.head(&key.in_one_piece()), key.len()),
        }
    }

    /// A short key that is above `left` and not above `right`. None if `left` is not below
    /// `right`.
    pub fn separator(self, left: &KeyParts<'_>, right: &KeyParts<'_>) -> Option<Vec<u8>> {
        match self.whole() {
            None => separator(left, right),
            Some(_) => self.compare_parts(left, right).is_lt().then(|| right.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_key_is_the_same_key() {
        let key = b"abcdefghij";
        let others =
            [&b""[..], b"a", b"abcc", b"abcde", b"abcdefghij", b"abcdefghijk", b"abce", b"b"];
        for len in 0..=key.len() {
            let key = &key[..len];
            let cut = |of: &[u8], n: usize| n.min(of.len());
            for (n, other) in others.iter().enumerate() {
                let theirs = KeyParts::of(other, cut(other, n % 4));
                let same =
                    |n| KeyParts::of(key, cut(key, n)).compare_parts(&theirs) == key.cmp(other);
                assert!((0..4).all(same));
            }
            for cut in 0..=len {
                let parts = KeyParts::of(key, cut);
                assert!(others.iter().all(|other| parts.compare(other) == key.cmp(other)));
                assert_eq!((parts.len(), parts.to_vec()), (len, key.to_vec()));
                assert!(parts.bytes().eq(key.iter().copied()));
                let mut whole = vec![0; len];
                parts.copy_to(0, &mut whole);
                assert_eq!(whole, key);
                for from in 0..=len {
                    let mut tail = vec![0; len - from];
                    parts.copy_to(from, &mut tail);
                    assert_eq!(tail, key[from..]);
                    assert_eq!(parts.recut(from), (head_of(&key[from..]), len - from));
                    assert!(parts.starts_with(&key[..from]));
                }
                assert!(!parts.starts_with(b"b") && !parts.starts_with(b"abcdefghijk"));
            }
        }
    }

    #[test]
    fn separators_are_the_shortest() {
        let sep = |a: &str, b: &str| {
            separator(&KeyParts::of(a.as_bytes(), a.len() / 2), &KeyParts::of(b.as_bytes(), 0))
        };
        assert_eq!(sep("apple", "apricot").as_deref(), Some(&b"apr"[..]));
        assert_eq!(sep("", "a").as_deref(), Some(&b"a"[..]));
        assert_eq!(sep("ab", "abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(sep("a\0", "b").as_deref(), Some(&b"b"[..]));
        assert_eq!(sep("b", "a"), None);
        assert_eq!(sep("same", "same"), None);
        assert_eq!(sep("longer", "long"), None);
    }
}
