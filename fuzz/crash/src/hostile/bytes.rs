//! Integers in a hostile image, by the offsets of docs/format.md. What lies outside is zero to read
//! and nobody's to write: a mutation may have taken away what the next one looks for.

/// Bytes of the meta proper.
pub const META: usize = 4096;
/// Kinds of pages with a header.
pub const BRANCH: u8 = 1;
/// A leaf.
pub const LEAF: u8 = 2;
/// A free-log page.
pub const LOG: u8 = 3;
/// A leaf of values that have one size.
pub const PACKED: u8 = 4;
/// A branch whose keys stand whole.
pub const PLAIN_BRANCH: u8 = 5;
/// A leaf whose keys stand whole.
pub const PLAIN_LEAF: u8 = 6;
/// All branches.
pub const BRANCHES: [u8; 2] = [BRANCH, PLAIN_BRANCH];
/// All leaves of keys.
pub const LEAVES: [u8; 2] = [LEAF, PLAIN_LEAF];
/// All of both.
pub const NODES: [u8; 4] = [BRANCH, LEAF, PLAIN_BRANCH, PLAIN_LEAF];
/// Value tag of an overflow reference.
pub const TAG_OVERFLOW: u64 = 0x8000;
/// Value tag of several values of a key.
pub const TAG_SET: u64 = 0x8001;
/// Value tag of a reference to the tree of the values of a key.
pub const TAG_SET_TREE: u64 = 0x8002;
/// Value tag of a value at an aligned place.
pub const TAG_ALIGNED: u64 = 0x8004;
/// Bytes of an overflow reference.
pub const OVERFLOW_REF: usize = 32;

/// The little-endian integer of `len` bytes at `at`.
pub fn get(b: &[u8], at: usize, len: usize) -> u64 {
    let bytes = at.checked_add(len).and_then(|end| b.get(at..end)).unwrap_or(&[]);
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Stores the lowest `len` bytes of a number at `at`.
pub fn put(b: &mut [u8], at: usize, len: usize, value: u64) {
    if let Some(place) = at.checked_add(len).and_then(|end| b.get_mut(at..end)) {
        place.copy_from_slice(&value.to_le_bytes()[..len]);
    }
}

/// Where the arrays of a branch or leaf page stand.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// It is a branch.
    pub branch: bool,
    /// Its keys stand whole.
    pub plain: bool,
    /// Keys, as far as they fit the page.
    pub count: usize,
    /// Where the heads start.
    pub heads: usize,
    /// Where the slots start.
    pub slots: usize,
}

impl Node {
    /// Of a page that says it is a branch or a leaf.
    pub fn of(page: &[u8]) -> Option<Node> {
        let kind = page.get(4)?;
        if !NODES.contains(kind) {
            return None;
        }
        let (branch, plain) = (BRANCHES.contains(kind), *kind >= PLAIN_BRANCH);
        let start = if branch { 32 } else { 24 };
        let heads = (start + get(page, 20, 2) as usize).next_multiple_of(4);
        let most = page.len().saturating_sub(heads) / 6;
        let count = (get(page, 6, 2) as usize).min(most);
        (count > 0).then_some(Node { branch, plain, count, heads, slots: heads + 4 * count })
    }

    /// Where cell `index` stands in the page.
    pub fn cell(&self, page: &[u8], index: usize) -> usize {
        get(page, self.slots + 2 * index, 2) as usize
    }

    /// Where in cell `index` the length of its key stands, and where what the cell has of the key.
    pub fn key_fields(&self, page: &[u8], index: usize) -> (usize, std::ops::Range<usize>) {
        let at = self.cell(page, index);
        let (len_at, from) = if self.branch { (at + 6, at + 8) } else { (at, at + 4) };
        let beside = if self.plain { 0 } else { 4 };
        (len_at, from..from + (get(page, len_at, 2) as usize).saturating_sub(beside))
    }

    /// Key `index`, as far as the page has it.
    pub fn key(&self, page: &[u8], index: usize) -> Vec<u8> {
        let (len_at, rest) = self.key_fields(page, index);
        let rest = page.get(rest).unwrap_or(&[]);
        if self.plain {
            return rest.to_vec();
        }
        let start = if self.branch { 32 } else { 24 };
        let prefix = page.get(start..start + get(page, 20, 2) as usize).unwrap_or(&[]);
        let head = (get(page, self.heads + 4 * index, 4) as u32).to_be_bytes();
        [prefix, &head[..(get(page, len_at, 2) as usize).min(4)], rest].concat()
    }

    /// Child `index` of a branch.
    pub fn child(&self, page: &[u8], index: usize) -> u64 {
        match index.checked_sub(1) {
            None => get(page, 24, 8),
            Some(index) => get(page, self.cell(page, index), 6),
        }
    }

    /// Where the overflow reference of a leaf's cell stands, if it has one.
    pub fn overflow(&self, page: &[u8], index: usize) -> Option<usize> {
        let reference = self.tagged(page, index, TAG_OVERFLOW)?;
        (reference + OVERFLOW_REF <= page.len()).then_some(reference)
    }

    /// Where the length of an aligned value of a leaf's cell stands, if it has one.
    pub fn aligned(&self, page: &[u8], index: usize) -> Option<usize> {
        self.tagged(page, index, TAG_ALIGNED)
    }

    /// Where what stands behind the key begins, if it has this tag.
    pub fn tagged(&self, page: &[u8], index: usize, tag: u64) -> Option<usize> {
        let at = self.cell(page, index);
        if self.branch || get(page, at + 2, 2) != tag {
            return None;
        }
        Some(self.key_fields(page, index).1.end)
    }
}
