//! Branch and leaf pages: decoding, and everything that can be proved about one page alone.
//!
//! Invariant: a [`Node`] exists only if header, prefix, heads and slots lie inside the page in
//! front of the heap. Each cell is checked when it is decoded.

use super::layout::{self, aligned, branch_cell, header, leaf_cell, overflow, page, set, set_tree};
use super::order::Keys;
use std::ops::Range;

/// A decoded page.
pub(super) struct Node<'a> {
    b: &'a [u8],
    pub branch: bool,
    /// Bytes of each value of a packed leaf; 0 in another page.
    pub packed: usize,
    /// Keys stand whole in their cells.
    pub plain: bool,
    pub level: u64,
    pub count: usize,
    pub birth: u64,
    /// The prefix of all keys.
    pub prefix: &'a [u8],
    prefix_end: usize,
    heads: usize,
    slots: usize,
    heap: usize,
    heap_dead: usize,
}

/// What stands behind a key.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// The child that holds the keys from this separator on.
    Child(u64),
    /// A value in the leaf.
    Value(&'a [u8]),
    /// The same at a multiple of 2^this bytes; an empty one has no place.
    Aligned(&'a [u8], u64),
    /// A value in pages of its own.
    Overflow(Run),
    /// Several values of the key.
    Set(Set<'a>),
    /// The tree of the values of the key.
    SetTree(SetTree),
    /// No value, but a table descriptor.
    Table(&'a [u8]),
}

impl<'a> Body<'a> {
    /// The table descriptor that this is in a catalog of this format version; None if it is none.
    pub fn descriptor(&self, version: u64) -> Option<&'a [u8]> {
        match *self {
            Body::Table(bytes) if version != layout::VERSION_1 => Some(bytes),
            Body::Value(bytes) if version == layout::VERSION_1 => Some(bytes),
            _ => None,
        }
    }
}

/// A reference to an overflow run.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub first: u64,
    pub len: u64,
    pub birth: u64,
    pub crc: u64,
}

/// Several values of a key, which stand side by side.
#[derive(Clone, Copy)]
pub(super) struct Set<'a> {
    /// Bytes of each; 0 where they may have any length.
    pub value_size: usize,
    pub count: usize,
    /// Where each ends, if they may have any length.
    ends: &'a [u8],
    values: &'a [u8],
    /// Bytes behind the key.
    pub len: usize,
}

impl<'a> Set<'a> {
    /// All of them; the text says what cannot be.
    pub fn list(&self) -> Result<Vec<&'a [u8]>, String> {
        if self.value_size > 0 {
            return Ok(self.values.chunks_exact(self.value_size).collect());
        }
        let mut list = Vec::with_capacity(self.count);
        let mut from = 0;
        for end in self.ends.chunks_exact(2) {
            let end = usize::from(u16::from_le_bytes([end[0], end[1]]));
            let value = self.values.get(from..end);
            list.push(value.ok_or("the ends of the values of a set do not ascend")?);
            from = end;
        }
        Ok(list)
    }
}

/// A reference to the tree of the values of a key.
#[derive(Clone, Copy)]
pub(super) struct SetTree {
    pub value_size: u64,
    pub depth: u64,
    pub root: u64,
    /// Entries, branch and leaf pages.
    pub counts: [u64; 3],
}

/// One key of a page with what belongs to it.
pub(super) struct Cell<'a> {
    pub index: usize,
    /// Where the cell lies in the page.
    pub span: Range<usize>,
    head: u32,
    /// Length of the key without the page's prefix.
    suffix_len: usize,
    rest: &'a [u8],
    pub body: Body<'a>,
}

impl Cell<'_> {
    /// The key without the prefix, in the order that docs/format.md defines.
    fn order(&self) -> (u32, &[u8], usize) {
        (self.head, self.rest, self.suffix_len)
    }

    /// Bytes of the whole key.
    pub fn key_len(&self, node: &Node) -> usize {
        node.prefix.len() + self.suffix_len
    }

    /// The whole key.
    pub fn key(&self, node: &Node) -> Vec<u8> {
        if node.plain {
            return self.rest.to_vec();
        }
        let mut key = Vec::with_capacity(self.key_len(node));
        key.extend_from_slice(node.prefix);
        key.extend_from_slice(&self.head.to_be_bytes()[..self.suffix_len.min(4)]);
        key.extend_from_slice(self.rest);
        key
    }
}

impl<'a> Node<'a> {
    /// Decodes a page; the text says what rules it out.
    pub fn parse(b: &'a [u8]) -> Result<Node<'a>, String> {
        let word = |f: layout::Field| f.get(b, 0).unwrap_or(0);
        let (branch, plain) = match word(header::KIND) {
            layout::KIND_BRANCH => (true, false),
            layout::KIND_LEAF => (false, false),
            layout::KIND_PLAIN_BRANCH => (true, true),
            layout::KIND_PLAIN_LEAF => (false, true),
            layout::KIND_PACKED => return Node::packed(b),
            other => return Err(format!("kind {other} where a branch or leaf must be")),
        };
        let count = word(header::COUNT) as usize;
        let prefix_len = word(header::PREFIX_LEN) as usize;
        if plain && prefix_len > 0 {
            return Err(format!("whole keys, and a prefix of {prefix_len} bytes"));
        }
        let prefix_at = if branch { page::BRANCH_PREFIX.at } else { page::LEAF_PREFIX.at };
        // 16-bit numbers: nothing can overflow.
        let prefix_end = prefix_at + prefix_len;
        let heads = prefix_end.next_multiple_of(4);
        let slots = heads + 4 * count;
        let heap_len = word(header::HEAP_LEN) as usize;
        let heap = b.len().saturating_sub(heap_len);
        let prefix = match b.get(prefix_at..prefix_end) {
            Some(prefix) if slots + 2 * count <= heap => prefix,
            _ => {
                let end = slots + 2 * count;
                return Err(format!(
                    "{count} keys after a prefix of {prefix_len} bytes reach to byte {end}, the heap starts at {heap}"
                ));
            }
        };
        Ok(Node {
            b,
            branch,
            packed: 0,
            plain,
            level: word(header::LEVEL),
            count,
            birth: word(header::BIRTH),
            prefix,
            prefix_end,
            heads,
            slots,
            heap,
            heap_dead: word(header::HEAP_DEAD) as usize,
        })
    }

    /// A leaf of values of one size. They stand where others have their prefix.
    fn packed(b: &'a [u8]) -> Result<Node<'a>, String> {
        let word = |f: layout::Field| f.get(b, 0).unwrap_or(0) as usize;
        let (count, size) = (word(header::COUNT), word(header::PREFIX_LEN));
        let from = page::LEAF_PREFIX.at;
        let end = from + count * size;
        if size == 0 || end > b.len() {
            return Err(format!("{count} values of {size} bytes reach to byte {end}"));
        }
        if word(header::HEAP_LEN) != 0 || word(header::HEAP_DEAD) != 0 {
            return Err("a packed leaf with a heap".into());
        }
        Ok(Node {
            b,
            branch: false,
            packed: size,
            plain: false,
            level: word(header::LEVEL) as u64,
            count,
            birth: header::BIRTH.get(b, 0).unwrap_or(0),
            prefix: &[],
            prefix_end: from,
            heads: from,
            slots: from,
            heap: end,
            heap_dead: 0,
        })
    }

    /// Bytes of the page that are in use.
    pub fn used_bytes(&self) -> u64 {
        if self.packed > 0 {
            return self.heap as u64;
        }
        let slots_end = self.slots + 2 * self.count;
        (slots_end + (self.b.len() - self.heap)).saturating_sub(self.heap_dead) as u64
    }

    /// The child below the first separator.
    pub fn leftmost(&self) -> u64 {
        page::LEFTMOST.get(self.b, 0).unwrap_or(0)
    }

    fn cell(&self, index: usize) -> Result<Cell<'a>, String> {
        let b = self.b;
        let outside = || format!("cell {index} lies outside the heap");
        if self.packed > 0 {
            let at = self.slots + self.packed * index;
            let value = b.get(at..at + self.packed).ok_or_else(outside)?;
            let mut head = [0; 4];
            let in_head = value.len().min(4);
            head[..in_head].copy_from_slice(&value[..in_head]);
            let (span, suffix_len) = (at..at + self.packed, self.packed);
            let (head, rest) = (u32::from_be_bytes(head), &value[in_head..]);
            return Ok(Cell { index, span, head, suffix_len, rest, body: Body::Value(&[]) });
        }
        let head = b
            .get(self.heads + 4 * index..)
            .and_then(|s| s.first_chunk())
            .map(|four| u32::from_le_bytes(*four))
            .ok_or_else(outside)?;
        let at = crate::format::bytes::get_u16(b, self.slots + 2 * index).ok_or_else(outside)?;
        let at = usize::from(at);
        if at < self.heap {
            return Err(format!("cell {index} at byte {at} lies before the heap at {}", self.heap));
        }
        let (len_field, rest) = if self.branch {
            (branch_cell::KEY_LEN, branch_cell::REST)
        } else {
            (leaf_cell::KEY_LEN, leaf_cell::REST)
        };
        let suffix_len = len_field.get(b, at).ok_or_else(outside)? as usize;
        let rest_at = at + rest.at;
        let rest_end = rest_at + suffix_len.saturating_sub(self.beside());
        let rest = b.get(rest_at..rest_end).ok_or_else(outside)?;
        let (body, end) = if self.branch {
            (Body::Child(branch_cell::CHILD.get(b, at).ok_or_else(outside)?), rest_end)
        } else {
            self.value(index, at, rest_end)?
        };
        Ok(Cell { index, span: at..end, head, suffix_len, rest, body })
    }

    fn value(&self, index: usize, at: usize, from: usize) -> Result<(Body<'a>, usize), String> {
        let outside = || format!("the value of cell {index} lies outside the page");
        let tag = leaf_cell::VALUE_TAG.get(self.b, at).ok_or_else(outside)? as usize;
        if tag < layout::TAG_OVERFLOW {
            let value = self.b.get(from..from + tag).ok_or_else(outside)?;
            return Ok((Body::Value(value), from + tag));
        }
        if let Some(len) = tag.checked_sub(layout::TAG_TABLE) {
            let descriptor = self.b.get(from..from + len).ok_or_else(outside)?;
            return Ok((Body::Table(descriptor), from + len));
        }
        match tag {
            layout::TAG_ALIGNED => return self.aligned(index, from),
            layout::TAG_SET => return self.set(index, from),
            layout::TAG_SET_TREE => return self.set_tree(index, from),
            _ => {}
        }
        if tag > layout::TAG_OVERFLOW {
            return Err(format!("the value of cell {index} has the unknown tag {tag:#x}"));
        }
        let r = self.b.get(from..from + layout::OVERFLOW_SIZE).ok_or_else(outside)?;
        let word = |f: layout::Field| f.get(r, 0).unwrap_or(0);
        if word(overflow::ZERO) != 0 {
            return Err(format!("the overflow reference of cell {index} does not end in zeros"));
        }
        let run = Run {
            first: word(overflow::FIRST),
            len: word(overflow::LEN),
            birth: word(overflow::BIRTH),
            crc: word(overflow::CRC),
        };
        Ok((Body::Overflow(run), from + layout::OVERFLOW_SIZE))
    }

    /// Several values, behind their key from byte `from` on.
    fn set(&self, index: usize, from: usize) -> Result<(Body<'a>, usize), String> {
        let outside = || format!("the values of cell {index} lie outside the page");
        let word = |f: layout::Field| Some(f.get(self.b, from)? as usize);
        let len = word(set::LEN).ok_or_else(outside)?;
        let end = from + set::LEN.end() + len;
        let value_size = word(set::VALUE_SIZE).ok_or_else(outside)?;
        let count = word(set::COUNT).ok_or_else(outside)?;
        let body = self.b.get(from + set::BODY.at..end).ok_or_else(outside)?;
        let ends_len = if value_size == 0 { 2 * count } else { 0 };
        let wrong = || format!("cell {index} has {len} bytes for a set of {count} values");
        let (ends, values) = body.split_at_checked(ends_len).ok_or_else(wrong)?;
        let whole = match ends.last_chunk::<2>() {
            Some(last) => usize::from(u16::from_le_bytes(*last)),
            None => value_size * count,
        };
        if count < 2 || whole != values.len() {
            return Err(wrong());
        }
        let len = set::LEN.end() + len;
        Ok((Body::Set(Set { value_size, count, ends, values, len }), end))
    }

    /// A reference to the tree of the values of a key.
    fn set_tree(&self, index: usize, from: usize) -> Result<(Body<'a>, usize), String> {
        let end = from + layout::SET_TREE_SIZE;
        let b = self.b.get(from..end);
        let b = b.ok_or_else(|| format!("the tree of cell {index} lies outside the page"))?;
        let word = |f: layout::Field| f.get(b, 0).unwrap_or(0);
        if word(set_tree::LEN) as usize != layout::SET_TREE_SIZE - set_tree::LEN.end() {
            return Err(format!("the tree of cell {index} has a reference of a wrong length"));
        }
        let tree = SetTree {
            value_size: word(set_tree::VALUE_SIZE),
            depth: word(set_tree::DEPTH),
            root: word(set_tree::ROOT),
            counts: [set_tree::ENTRIES, set_tree::BRANCH_PAGES, set_tree::LEAF_PAGES].map(word),
        };
        if tree.depth == 0 || tree.depth > layout::MAX_DEPTH || tree.counts[0] == 0 {
            return Err(format!("the tree of cell {index} cannot be"));
        }
        Ok((Body::SetTree(tree), end))
    }

    /// A value at an aligned place, behind its key from byte `from` on.
    fn aligned(&self, index: usize, from: usize) -> Result<(Body<'a>, usize), String> {
        let outside = || format!("the value of cell {index} lies outside the page");
        let len = aligned::LEN.get(self.b, from).ok_or_else(outside)? as usize;
        let end = from + aligned::LEN.end() + len;
        let cell = self.b.get(..end).ok_or_else(outside)?;
        if len == 0 {
            return Ok((Body::Aligned(&[], 0), end));
        }
        let word = |f: layout::Field| f.get(cell, from).unwrap_or(0);
        let shift = word(aligned::SHIFT);
        let value_len = match shift {
            0..=layout::MAX_INLINE_SHIFT => len.checked_sub((1 << shift) + 1),
            _ => None,
        };
        let Some(value_len) = value_len.filter(|&len| len > 0) else {
            return Err(format!("cell {index} has {len} bytes for a value aligned to 2^{shift}"));
        };
        let room = from + aligned::BYTES.at;
        let at = room.next_multiple_of(1 << shift);
        if word(aligned::PAD) != (at - room) as u64 {
            return Err(format!("the value of cell {index} is not where it is aligned"));
        }
        let (before, rest) = cell[room..].split_at(at - room);
        let (value, behind) = rest.split_at(value_len);
        if before.iter().chain(behind).any(|&x| x != 0) {
            return Err(format!("the value of cell {index} does not stand between zeros"));
        }
        Ok((Body::Aligned(value, shift), end))
    }

    /// Decodes all cells and proves what this page alone can prove: zeros where zeros must be,
    /// cells inside the heap and apart from each other, its length exact, keys of legal length,
    /// heads that agree, strict order. Cells that cannot be decoded are missing in the answer.
    pub fn cells(&self, keys: Keys, fault: &mut dyn FnMut(String)) -> Vec<Cell<'a>> {
        if !keys.fits(self.plain) {
            fault("keys that are not stored as the table says".into());
            return Vec::new();
        }
        if !header::ZERO.is_zero(self.b, 0) {
            fault("the last bytes of the header are not zero".into());
        }
        if self.b[self.prefix_end..self.heads].iter().any(|&x| x != 0) {
            fault("the bytes between prefix and heads are not zero".into());
        }
        let mut cells = Vec::with_capacity(self.count);
        for i in 0..self.count {
            match self.cell(i) {
                Ok(cell) => cells.push(cell),
                Err(what) => fault(what),
            }
        }
        if self.packed > 0 || self.check_heap(&cells, fault) {
            match self.plain {
                true => self.check_whole_keys(keys, &cells, fault),
                false => self.check_keys(&cells, fault),
            }
        }
        cells
    }

    /// False if cells overlap. Comparing their keys could then take far more time than the page has
    /// bytes.
    fn check_heap(&self, cells: &[Cell<'a>], fault: &mut dyn FnMut(String)) -> bool {
        let mut spans: Vec<_> = cells.iter().map(|c| (c.span.start, c.span.end, c.index)).collect();
        spans.sort_unstable();
        let mut apart = true;
        for pair in spans.windows(2) {
            if pair[0].1 > pair[1].0 {
                apart = false;
                fault(format!("cells {} and {} overlap", pair[0].2, pair[1].2));
            }
        }
        let live: usize = spans.iter().map(|s| s.1 - s.0).sum();
        let heap_len = self.b.len() - self.heap;
        if apart && cells.len() == self.count && live + self.heap_dead != heap_len {
            fault(format!(
                "the heap has {heap_len} bytes, its cells {live} and dead bytes {}",
                self.heap_dead
            ));
        }
        apart
    }

    fn check_keys(&self, cells: &[Cell<'a>], fault: &mut dyn FnMut(String)) {
        let max = layout::max_key(self.b.len());
        for cell in cells {
            if cell.key_len(self) > max {
                let len = cell.key_len(self);
                fault(format!("key {} has {len} bytes, at most {max} are allowed", cell.index));
            }
            // A head holds at most the bytes that the suffix has.
            let missing = 4usize.saturating_sub(cell.suffix_len) as u32 * 8;
            if missing > 0 && u64::from(cell.head) & ((1u64 << missing) - 1) != 0 {
                fault(format!("head {} has bytes beyond the end of its key", cell.index));
            }
        }
        for pair in cells.windows(2) {
            if pair[0].order() >= pair[1].order() {
                fault(format!("key {} is not above key {}", pair[1].index, pair[0].index));
            }
        }
    }

    /// The same of keys that stand whole. An order that is not known here is not looked at.
    fn check_whole_keys(&self, keys: Keys, cells: &[Cell<'a>], fault: &mut dyn FnMut(String)) {
        for cell in cells {
            if let Some(what) = keys.wrong_length(cell.rest.len(), self.b.len()) {
                fault(format!("key {} {what}", cell.index));
            }
            if keys.head(cell.rest).is_some_and(|head| head != cell.head) {
                fault(format!("head {} is not that of its key", cell.index));
            }
        }
        for pair in cells.windows(2) {
            if !keys.is_below(pair[0].rest, pair[1].rest, true) {
                fault(format!("key {} is not above key {}", pair[1].index, pair[0].index));
            }
        }
    }

    /// Bytes of a key that do not stand in its cell.
    fn beside(&self) -> usize {
        if self.plain { 0 } else { layout::HEAD }
    }

    /// Bytes that an entry of a leaf takes, head, slot and whole cell, with no prefix taken off,
    /// where the value takes so many.
    pub fn entry_size(&self, cell: &Cell, in_leaf: u64) -> u64 {
        let rest = cell.key_len(self).saturating_sub(self.beside());
        ((6 + leaf_cell::REST.at + rest) as u64).saturating_add(in_leaf)
    }
}
