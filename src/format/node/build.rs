//! Writing a whole page anew from its logical entries, and choosing its prefix.
//!
//! The prefix is the one that makes the page smallest: the longest common prefix of all keys, or a
//! multiple of 4 below it where the padding or keys that end inside their heads would cost more
//! than it saves. So any subset of the entries of a page fits a page too, which is what splits rely
//! on.

use super::key::KeyParts;
use super::{
    ENTRY, HEAD, MAX_INLINE_SHIFT, TAG_ALIGNED, TAG_OVERFLOW, TAG_TABLE, cell_of, is_inline,
    padded, start_of,
};
use crate::format::bytes::{put_u16, put_u32};
use crate::format::fields::{aligned, branch_cell, leaf_cell, page as parts};
use crate::format::overflow;
use crate::format::page::{KIND_BRANCH, KIND_LEAF, PageHeader};
use crate::types::{PageId, TxnId};

/// What a cell holds beside its key, as it is encoded: one of these that the functions make. (As an
/// enum it cost 8 % of writing a page.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Body<'a> {
    /// The number in the head of the cell: child page or value tag. Above its 48 bits the bytes
    /// that the cell takes beside `bytes`.
    tag: u64,
    /// What stands behind the key; of a value at an aligned place the value alone.
    bytes: &'a [u8],
}

/// Where the bytes beside `bytes` are counted.
const BESIDE: u32 = 48;

impl<'a> Body<'a> {
    /// In a branch: the child with the keys from this separator on.
    #[inline(always)]
    pub fn child(child: PageId) -> Body<'a> {
        Body { tag: child.0, bytes: &[] }
    }

    /// A value, whole, shorter than half a page.
    #[inline(always)]
    pub fn inline(value: &'a [u8]) -> Body<'a> {
        Body { tag: value.len() as u64, bytes: value }
    }

    /// A value, whole, at a multiple of 2^`shift` bytes from the start of the page; `shift` is at
    /// most [`MAX_INLINE_SHIFT`]. The cell has room for the value wherever it begins, so that its
    /// length does not depend on its place.
    pub fn aligned(value: &'a [u8], shift: u8) -> Body<'a> {
        let room = if value.is_empty() { 0 } else { 1 << shift };
        let beside = aligned::SHIFT.at as u64 + room;
        Body { tag: u64::from(TAG_ALIGNED) | beside << BESIDE, bytes: value }
    }

    /// The value of a key in a table whose values are aligned to 2^`shift` bytes; None if it has to
    /// stand in a run, which begins with a page.
    #[inline(always)]
    pub fn value(page_size: usize, key_len: usize, value: &'a [u8], shift: u8) -> Option<Body<'a>> {
        let body = match shift {
            0 => Body::inline(value),
            _ if shift <= MAX_INLINE_SHIFT || value.is_empty() => Body::aligned(value, shift),
            _ => return None,
        };
        is_inline(page_size, key_len, body.len()).then_some(body)
    }

    /// A reference to an overflow run.
    #[inline(always)]
    pub fn overflow(reference: &'a [u8; overflow::SIZE]) -> Body<'a> {
        Body { tag: TAG_OVERFLOW.into(), bytes: reference }
    }

    /// A table descriptor.
    #[inline(always)]
    pub fn table(descriptor: &'a [u8]) -> Body<'a> {
        Body { tag: u64::from(TAG_TABLE) + descriptor.len() as u64, bytes: descriptor }
    }

    /// The number in the head of the cell.
    #[inline(always)]
    pub fn tag(&self) -> u64 {
        self.tag & ((1 << BESIDE) - 1)
    }

    /// The value, or what else stands behind the key.
    #[inline(always)]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes that the cell takes behind the key.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.beside()
    }

    #[inline(always)]
    fn beside(&self) -> usize {
        (self.tag >> BESIDE) as usize
    }

    /// Writes what stands behind the key into exactly its bytes, which begin at offset `at` of the
    /// page.
    #[inline(always)]
    pub(super) fn put(&self, tail: &mut [u8], at: usize) {
        match self.beside() {
            0 => tail.copy_from_slice(self.bytes),
            _ => self.put_aligned(tail, at),
        }
    }

    #[inline(never)]
    fn put_aligned(&self, tail: &mut [u8], at: usize) {
        tail.fill(0);
        aligned::LEN.put(tail, 0, (tail.len() - aligned::SHIFT.at) as u64);
        if self.bytes.is_empty() {
            return;
        }
        let align = self.beside() - aligned::SHIFT.at;
        aligned::SHIFT.put(tail, 0, align.trailing_zeros().into());
        let from = (at + aligned::BYTES.at).next_multiple_of(align) - at;
        tail[from..][..self.bytes.len()].copy_from_slice(self.bytes);
    }
}

/// One entry of a page that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The key.
    pub key: KeyParts<'a>,
    /// What stands beside it.
    pub body: Body<'a>,
}

impl<'a> Item<'a> {
    /// A separator and the child behind it.
    pub fn branch(key: KeyParts<'a>, child: PageId) -> Item<'a> {
        Item { key, body: Body::child(child) }
    }

    /// The child of an entry of a branch.
    pub fn child(&self) -> PageId {
        PageId(self.body.tag())
    }

    /// Bytes the entry takes in a page with a prefix of this length, not above the key's.
    pub fn size(&self, level: u8, prefix_len: usize) -> usize {
        let rest = self.key.len().saturating_sub(prefix_len + HEAD);
        ENTRY + cell_of(level) + rest + self.body.len()
    }
}

/// Prefix and size of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Bytes of the prefix.
    pub prefix_len: usize,
    /// Bytes in use, header included.
    pub used: usize,
}

impl Plan {
    /// The smallest page for these entries.
    pub fn of(level: u8, items: &[Item<'_>]) -> Plan {
        let common = match items {
            [first, .., last] => first.key.common_prefix(&last.key),
            _ => 0,
        };
        // All keys have `common` bytes, so 4 more bytes of prefix always pay up to 8 bytes below
        // it.
        let whole = common & !3;
        let lengths = [0, whole.saturating_sub(4), whole, common];
        let mut rests = [0; 4];
        let mut fixed = 0;
        for item in items {
            fixed += ENTRY + cell_of(level) + item.body.len();
            let len = item.key.len();
            for (rest, prefix_len) in rests.iter_mut().zip(lengths) {
                *rest += len.saturating_sub(prefix_len + HEAD);
            }
        }
        let plans = lengths.iter().zip(rests).map(|(&prefix_len, rest)| {
            let used = start_of(level) + padded(prefix_len) + fixed + rest;
            Plan { prefix_len, used }
        });
        // The first of the smallest.
        plans.min_by_key(|plan| plan.used).unwrap_or(Plan { prefix_len: 0, used: usize::MAX })
    }
}

/// What the header of a new page says besides its counts.
#[derive(Clone, Copy, Debug)]
pub struct NodeHeader {
    /// 0 for a leaf.
    pub level: u8,
    /// The transaction that writes.
    pub birth: TxnId,
    /// Leftmost child of a branch.
    pub leftmost: PageId,
}

/// Writes a page. The first entry lies lowest in the heap, so that scans go forward in memory.
/// Fails on entries that do not fit or do not begin with one prefix, which only a damaged page
/// brings about.
pub fn write_node(
    page: &mut [u8],
    node_header: NodeHeader,
    items: &[Item<'_>],
    prefix_len: usize,
) -> Result<(), &'static str> {
    let Some(first) = items.first() else { return Err("page without keys") };
    let level = node_header.level;
    let start = start_of(level);
    let heads_at = start + padded(prefix_len);
    let slots_at = heads_at + HEAD * items.len();
    let mut at = page.len();
    if slots_at + 2 * items.len() > at || first.key.len() < prefix_len {
        return Err("keys do not fit their page");
    }
    first.key.copy_to(0, &mut page[start..start + prefix_len]);
    page[start + prefix_len..heads_at].fill(0);
    let (front, body) = page.split_at_mut(slots_at + 2 * items.len());
    let floor = front.len();
    for (index, item) in items.iter().enumerate().rev() {
        if !item.key.starts_with(&front[start..start + prefix_len]) {
            return Err("keys out of order");
        }
        let (head, suffix_len) = item.key.recut(prefix_len);
        let len = cell_of(level) + suffix_len.saturating_sub(HEAD) + item.body.len();
        at = at.checked_sub(len).filter(|&at| at >= floor).ok_or("keys do not fit their page")?;
        put_cell(&mut body[at - floor..][..len], at, level, item, suffix_len, prefix_len);
        put_u32(front, heads_at + HEAD * index, head);
        put_u16(front, slots_at + 2 * index, at as u16);
    }
    let header = PageHeader {
        crc: 0,
        kind: if level == 0 { KIND_LEAF } else { KIND_BRANCH },
        level,
        count: items.len() as u16,
        birth: node_header.birth,
        heap_len: (page.len() - at) as u16,
        heap_dead: 0,
        prefix_len: prefix_len as u16,
    };
    header.write(page);
    if level > 0 {
        parts::LEFTMOST.put(page, 0, node_header.leftmost.0);
    }
    Ok(())
}

/// Writes one cell, for a page with this prefix, into exactly its bytes, which begin at offset `at`
/// of the page.
pub(super) fn put_cell(
    cell: &mut [u8],
    at: usize,
    level: u8,
    item: &Item<'_>,
    suffix_len: usize,
    prefix_len: usize,
) {
    if level == 0 {
        leaf_cell::KEY_LEN.put(cell, 0, suffix_len as u64);
        leaf_cell::VALUE_TAG.put(cell, 0, item.body.tag());
    } else {
        branch_cell::CHILD.put(cell, 0, item.body.tag());
        branch_cell::KEY_LEN.put(cell, 0, suffix_len as u64);
    }
    let front = cell_of(level) + suffix_len.saturating_sub(HEAD);
    let (cell, tail) = cell.split_at_mut(front);
    let rest = &mut cell[cell_of(level)..];
    if !rest.is_empty() {
        item.key.copy_to(prefix_len + HEAD, rest);
    }
    item.body.put(tail, at + front);
}
