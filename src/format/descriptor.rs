//! The descriptor of a tree: where its root is, and counts, so that `len()` is O(1).

use super::fields::{self, Field, table as t};
use crate::types::PageId;

/// Bytes of an encoded descriptor.
pub const SIZE: usize = fields::DESCRIPTOR_SIZE;
/// Longest name of a table, in bytes: its descriptor always finds room beside it in the leaf, and
/// may grow.
pub const MAX_NAME_LEN: usize = 1024;
/// Levels a tree can have at most; more is damage.
pub const MAX_DEPTH: u16 = 48;

/// A tree: the catalog or a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableDescriptor {
    /// Root page, or none for an empty tree.
    pub root: PageId,
    /// Number of keys.
    pub entries: u64,
    /// Branch pages.
    pub branch_pages: u64,
    /// Leaf pages.
    pub leaf_pages: u64,
    /// Pages in overflow runs.
    pub overflow_pages: u64,
    /// Levels: 0 empty, 1 the root is a leaf.
    pub depth: u16,
}

impl TableDescriptor {
    /// Encodes into the first [`SIZE`] bytes of `out`.
    pub fn encode(&self, out: &mut [u8]) {
        out[..SIZE].fill(0);
        t::ROOT.put(out, 0, self.root.0);
        t::ENTRIES.put(out, 0, self.entries);
        t::BRANCH_PAGES.put(out, 0, self.branch_pages);
        t::LEAF_PAGES.put(out, 0, self.leaf_pages);
        t::OVERFLOW_PAGES.put(out, 0, self.overflow_pages);
        t::DEPTH.put(out, 0, self.depth.into());
    }

    /// Decodes, and says what is wrong with a descriptor that cannot be.
    pub fn decode(b: &[u8], page_count: u64) -> Result<TableDescriptor, &'static str> {
        if b.len() != SIZE {
            return Err("table descriptor has a wrong length");
        }
        let word = |field: Field| field.of(b);
        let d = TableDescriptor {
            root: PageId(word(t::ROOT)),
            entries: word(t::ENTRIES),
            branch_pages: word(t::BRANCH_PAGES),
            leaf_pages: word(t::LEAF_PAGES),
            overflow_pages: word(t::OVERFLOW_PAGES),
            depth: word(t::DEPTH) as u16,
        };
        if b[t::DEPTH.end()..].iter().any(|&x| x != 0) {
            return Err("table of a kind this version does not know");
        }
        d.checked(page_count)
    }

    /// The descriptor, or what is wrong with it in a file of so many pages.
    #[inline]
    pub fn checked(self, page_count: u64) -> Result<TableDescriptor, &'static str> {
        if self.depth > MAX_DEPTH || self.root.is_none() != (self.depth == 0) {
            return Err("table descriptor with an impossible depth");
        }
        if !self.root.is_none() && (self.root.0 < 2 || self.root.0 >= page_count) {
            return Err("root page outside the file");
        }
        // The counts bound every walk over the tree, so they have to be bounded themselves.
        let pages = self.branch_pages.checked_add(self.leaf_pages);
        if pages.and_then(|p| p.checked_add(self.overflow_pages)).is_none_or(|p| p > page_count) {
            return Err("table descriptor that counts more pages than the file has");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_the_file_are_refused() {
        let d = TableDescriptor {
            root: PageId(5),
            entries: 9,
            branch_pages: 1,
            leaf_pages: 2,
            overflow_pages: 7,
            depth: 2,
        };
        let decode = |d: &TableDescriptor, page_count| {
            let mut b = [0; SIZE];
            d.encode(&mut b);
            TableDescriptor::decode(&b, page_count)
        };
        assert_eq!(decode(&d, 10), Ok(d));
        assert!(decode(&d, 9).is_err());
        assert!(decode(&TableDescriptor { leaf_pages: u64::MAX, ..d }, 1 << 40).is_err());
        assert!(decode(&TableDescriptor { overflow_pages: u64::MAX - 3, ..d }, 1 << 40).is_err());
    }
}
