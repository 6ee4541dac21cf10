//! Several values of one key: side by side in the cell of the key while they are few, else in a
//! tree of their own to which the cell leads.
//!
//! A set that is decoded is plausible in itself: its parts lie inside of it. That its values ascend
//! is not checked here, and `inspect` finds it where they do not.

use crate::format::descriptor::{MAX_DEPTH, TableDescriptor};
use crate::format::fields::{self, set, set_tree};
use crate::types::PageId;
use std::cmp::Ordering;

/// Bytes of an encoded reference to a tree of values.
pub const TREE_SIZE: usize = fields::SET_TREE_SIZE;

/// The values of one key, side by side in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InlineSet<'a> {
    /// Bytes of each value; 0 where `ends` says where each ends.
    value_size: usize,
    count: usize,
    /// Ends of the values, counted from the first byte of the first one.
    ends: &'a [u8],
    values: &'a [u8],
}

impl<'a> InlineSet<'a> {
    /// Decodes a set, and says what is wrong with one that cannot be.
    pub fn decode(b: &'a [u8]) -> Result<InlineSet<'a>, &'static str> {
        let bad = "set of values that cannot be";
        let (Some(len), Some(value_size), Some(count)) =
            (set::LEN.get(b, 0), set::VALUE_SIZE.get(b, 0), set::COUNT.get(b, 0))
        else {
            return Err(bad);
        };
        let (value_size, count) = (value_size as usize, count as usize);
        let body = b.get(set::BODY.at..set::LEN.end() + len as usize).ok_or(bad)?;
        let ends_len = if value_size > 0 { 0 } else { 2 * count };
        let (ends, values) = body.split_at_checked(ends_len).ok_or(bad)?;
        let whole = match (value_size, ends.last_chunk()) {
            (0, last) => last.map(|last| usize::from(u16::from_le_bytes(*last))),
            (size, _) => Some(size * count),
        };
        if count < 2 || whole != Some(values.len()) {
            return Err(bad);
        }
        Ok(InlineSet { value_size, count, ends, values })
    }

    /// Number of values; at least 2.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of each value; 0 where they may have any length.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// One of the values; None if there are not so many, or its end is none.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        if index >= self.count {
            return None;
        }
        if self.value_size > 0 {
            return self.values.get(self.value_size * index..self.value_size * (index + 1));
        }
        let end = |index: usize| {
            let bytes = self.ends.get(2 * index..)?.first_chunk()?;
            Some(usize::from(u16::from_le_bytes(*bytes)))
        };
        let start = if index == 0 { 0 } else { end(index - 1)? };
        self.values.get(start..end(index)?)
    }

    /// All values, one behind the other, where they have one size.
    pub fn packed(&self) -> Option<&'a [u8]> {
        (self.value_size > 0).then_some(self.values)
    }

    /// Where a value stands, or where it would stand.
    pub fn search(&self, value: &[u8]) -> Result<Result<usize, usize>, &'static str> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).ok_or(BAD_ENDS)?.cmp(value) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Ok(middle)),
            }
        }
        Ok(Err(low))
    }

    /// All values.
    pub fn list(&self) -> Result<Vec<&'a [u8]>, &'static str> {
        (0..self.count).map(|index| self.get(index).ok_or(BAD_ENDS)).collect()
    }
}

/// What is wrong with a set of which a value does not lie inside it.
pub const BAD_ENDS: &str = "set of values whose ends do not ascend";

/// Encodes two or more values; None if they are more than a cell holds.
pub fn encode_set(values: &[&[u8]], value_size: u16) -> Option<Vec<u8>> {
    let bytes: usize = values.iter().map(|value| value.len()).sum();
    let ends = if value_size > 0 { 0 } else { 2 * values.len() };
    let whole = set::BODY.at + ends + bytes;
    let len = u16::try_from(whole - set::LEN.end()).ok()?;
    let mut out = vec![0; set::BODY.at];
    out.reserve_exact(ends + bytes);
    set::LEN.put(&mut out, 0, len.into());
    set::VALUE_SIZE.put(&mut out, 0, value_size.into());
    set::COUNT.put(&mut out, 0, values.len() as u64);
    if value_size == 0 {
        let mut end = 0;
        for value in values {
            end += value.len();
            out.extend_from_slice(&(end as u16).to_le_bytes());
        }
    }
    values.iter().for_each(|value| out.extend_from_slice(value));
    Some(out)
}

/// Encodes a reference to a tree of values.
pub fn encode_tree(tree: &TableDescriptor) -> [u8; TREE_SIZE] {
    let mut out = [0; TREE_SIZE];
    set_tree::LEN.put(&mut out, 0, (TREE_SIZE - set_tree::LEN.end()) as u64);
    set_tree::VALUE_SIZE.put(&mut out, 0, tree.value_size.into());
    set_tree::DEPTH.put(&mut out, 0, tree.depth.into());
    set_tree::ROOT.put(&mut out, 0, tree.root.0);
    set_tree::ENTRIES.put(&mut out, 0, tree.entries);
    set_tree::BRANCH_PAGES.put(&mut out, 0, tree.branch_pages);
    set_tree::LEAF_PAGES.put(&mut out, 0, tree.leaf_pages);
    out
}

/// The descriptor of a tree of values, or what is wrong with a reference to one that cannot be.
/// Whether its pages lie inside the file is for the page source to say.
pub fn decode_tree(b: &[u8]) -> Result<TableDescriptor, &'static str> {
    let word = |field: fields::Field| field.of(b);
    let len = word(set_tree::LEN) as usize;
    if b.len() != TREE_SIZE || len != TREE_SIZE - set_tree::LEN.end() {
        return Err("tree of values with a reference of a wrong length");
    }
    let tree = TableDescriptor {
        root: PageId(word(set_tree::ROOT)),
        entries: word(set_tree::ENTRIES),
        branch_pages: word(set_tree::BRANCH_PAGES),
        leaf_pages: word(set_tree::LEAF_PAGES),
        depth: word(set_tree::DEPTH) as u16,
        value_size: word(set_tree::VALUE_SIZE) as u16,
        ..TableDescriptor::default()
    };
    if tree.root.0 < 2 || tree.depth == 0 || tree.depth > MAX_DEPTH || tree.entries == 0 {
        return Err("tree of values that cannot be");
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_and_others_are_refused() {
        let lists: [&[&[u8]]; 4] =
            [&[b"", b"a"], &[b"a", b"b", b"ccc"], &[b"\0", b"\0\0"], &[&[7; 900], &[8; 900]]];
        for list in lists {
            let bytes = encode_set(list, 0).unwrap();
            let set = InlineSet::decode(&bytes).unwrap();
            assert_eq!((set.list().unwrap(), set.packed()), (list.to_vec(), None));
            assert_eq!(set.get(list.len()), None);
            for (index, value) in list.iter().enumerate() {
                assert_eq!(set.search(value), Ok(Ok(index)));
            }
            assert_eq!(set.search(&[0xff]), Ok(Err(list.len())));
            for cut in 0..bytes.len() {
                assert!(InlineSet::decode(&bytes[..cut]).is_err(), "{list:?} {cut}");
            }
        }
        let bytes = encode_set(&[b"aa", b"bb", b"cc"], 2).unwrap();
        let set = InlineSet::decode(&bytes).unwrap();
        assert_eq!((set.packed(), set.count(), set.value_size()), (Some(&b"aabbcc"[..]), 3, 2));
        assert_eq!((set.get(1), set.search(b"bc")), (Some(&b"bb"[..]), Ok(Err(2))));
        assert!(InlineSet::decode(&encode_set(&[b"a"], 0).unwrap()).is_err(), "one is no set");
        assert_eq!(encode_set(&[&[0; 40_000], &[1; 40_000]], 0), None);
        // Ends that do not ascend are found where they are used.
        let mut bytes = encode_set(&[b"a", b"bc", b"d"], 0).unwrap();
        bytes[set::BODY.at] = 9;
        let set = InlineSet::decode(&bytes).unwrap();
        assert!(set.list().is_err() && set.get(0).is_none() && set.get(1).is_none());
    }

    #[test]
    fn trees_come_back_and_others_are_refused() {
        let tree = TableDescriptor {
            root: PageId(77),
            entries: 1 << 40,
            branch_pages: 3,
            leaf_pages: 1 << 33,
            depth: 3,
            value_size: 8,
            ..TableDescriptor::default()
        };
        let bytes = encode_tree(&tree);
        assert_eq!(decode_tree(&bytes), Ok(tree));
        assert!(decode_tree(&bytes[..TREE_SIZE - 1]).is_err());
        for bad in [
            TableDescriptor { root: PageId(1), ..tree },
            TableDescriptor { depth: 0, ..tree },
            TableDescriptor { depth: MAX_DEPTH + 1, ..tree },
            TableDescriptor { entries: 0, ..tree },
        ] {
            assert!(decode_tree(&encode_tree(&bad)).is_err(), "{bad:?}");
        }
    }
}
