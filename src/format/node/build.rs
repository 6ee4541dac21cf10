//! Writing a whole page anew from its logical entries, and choosing its prefix.
//!
//! The prefix is the one that makes the page smallest: the longest common prefix of all keys, or a
//! multiple of 4 below it where the padding or keys that end inside their heads would cost more
//! than it saves. So any subset of the entries of a page fits a page too, which is what splits rely
//! on.

use super::key::KeyParts;
use super::{
    ENTRY, HEAD, MAX_INLINE_SHIFT, TAG_ALIGNED, TAG_OVERFLOW, TAG_SET, TAG_SET_TREE, TAG_TABLE,
    cell_of, is_inline, kind_of, padded, start_of,
};
use crate::format::bytes::{put_u16, put_u32};
use crate::format::fields::{aligned, branch_cell, leaf_cell, page as parts};
use crate::format::order::KeyOrder;
use crate::format::overflow;
use crate::format::page::PageHeader;
use crate::types::{PageId, TxnId};
use std::ops::Range;

/// What a cell holds beside its key, as it is encoded: one of these that the functions make. (As an
/// enum it cost 8 % of writing a page.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Body<'a> {
    /// The number in the head of the cell: child page or value tag.
    tag: u64,
    /// The bytes behind the key.
    bytes: &'a [u8],
}

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

    /// A value at an aligned place, with the room beside it: as it stood in a page, or as
    /// [`encode_aligned`] makes it. It is moved to its place in the cell when that is written.
    #[inline(always)]
    pub fn aligned(encoded: &'a [u8]) -> Body<'a> {
        Body { tag: TAG_ALIGNED.into(), bytes: encoded }
    }

    /// The value of a key in a table whose values are aligned to 2^`shift` bytes, encoded in
    /// `room` if that takes some; None if it has to stand in a run, which begins with a page.
    #[inline(always)]
    pub fn value(
        page_size: usize,
        key_len: usize,
        value: &'a [u8],
        shift: u8,
        room: &'a mut Vec<u8>,
    ) -> Option<Body<'a>> {
        if shift == 0 {
            return is_inline(page_size, key_len, value.len()).then_some(Body::inline(value));
        }
        let len = aligned_len(value.len(), shift);
        let in_leaf = shift <= MAX_INLINE_SHIFT || value.is_empty();
        if !in_leaf || !is_inline(page_size, key_len, len) {
            return None;
        }
        encode_aligned(value, shift, room);
        Some(Body::aligned(room))
    }

    /// Several values of a key as [`encode_set`](super::set::encode_set) makes them, or a
    /// reference to the tree of them.
    #[inline(always)]
    pub fn set(encoded: &'a [u8], is_tree: bool) -> Body<'a> {
        Body { tag: if is_tree { TAG_SET_TREE } else { TAG_SET }.into(), bytes: encoded }
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
        self.tag
    }

    /// The bytes behind the key.
    #[inline(always)]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Writes what stands behind the key into exactly its bytes, which end at offset `end` of the
    /// page.
    #[inline(always)]
    pub(super) fn put(&self, tail: &mut [u8], end: usize) {
        tail.copy_from_slice(self.bytes);
        if self.tag == u64::from(TAG_ALIGNED) {
            align(tail, end);
        }
    }
}

/// Bytes that a value of this length takes behind its key, aligned to 2^`shift` bytes: room for it
/// wherever the cell begins, so that its length does not depend on its place.
pub fn aligned_len(value_len: usize, shift: u8) -> usize {
    match value_len {
        0 => aligned::SHIFT.at,
        _ => aligned::BYTES.at + (1 << shift) - 1 + value_len,
    }
}

/// Encodes a value that is aligned to 2^`shift` bytes; `shift` is at most [`MAX_INLINE_SHIFT`].
pub fn encode_aligned(value: &[u8], shift: u8, out: &mut Vec<u8>) {
    let len = aligned_len(value.len(), shift);
    out.clear();
    out.extend_from_slice(&((len - aligned::SHIFT.at) as u16).to_le_bytes());
    if !value.is_empty() {
        out.extend([shift, 0]);
        out.extend_from_slice(value);
        out.resize(len, 0);
    }
}

/// Where a value at an aligned place stands in its encoded form, if that can be.
pub fn place_of_aligned(tail: &[u8]) -> Option<Range<usize>> {
    let len = aligned::LEN.get(tail, 0)? as usize;
    if len == 0 {
        return Some(0..0);
    }
    let shift = aligned::SHIFT.get(tail, 0)?;
    let pad = aligned::PAD.get(tail, 0)? as usize;
    if shift > MAX_INLINE_SHIFT.into() || pad >= 1 << shift {
        return None;
    }
    // All of it is there, and the value has at least one byte.
    tail.get(..aligned::SHIFT.at + len)?;
    let beside = aligned::BYTES.at - aligned::SHIFT.at + (1 << shift) - 1;
    let value_len = len.checked_sub(beside).filter(|&len| len > 0)?;
    let from = aligned::BYTES.at + pad;
    Some(from..from + value_len)
}

/// Moves the value to its place in a cell that ends at offset `end` of the page.
#[inline(never)]
fn align(tail: &mut [u8], end: usize) {
    let at = end - tail.len();
    let Some(place) = place_of_aligned(tail).filter(|place| !place.is_empty()) else { return };
    let first = at + aligned::BYTES.at;
    let pad = first.next_multiple_of(1 << aligned::SHIFT.of(tail)) - first;
    aligned::PAD.put(tail, 0, pad as u64);
    let (from, len) = (aligned::BYTES.at + pad, place.len());
    tail.copy_within(place, from);
    tail[aligned::BYTES.at..from].fill(0);
    tail[from + len..].fill(0);
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
        PageId(self.body.tag)
    }

    /// Bytes the entry takes in a page with a prefix of this length, not above the key's.
    pub fn size(&self, level: u8, prefix_len: usize, order: KeyOrder) -> usize {
        let rest = self.key.len().saturating_sub(prefix_len + order.beside());
        ENTRY + cell_of(level) + rest + self.body.bytes.len()
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
    pub fn of(level: u8, items: &[Item<'_>], order: KeyOrder) -> Plan {
        if !order.is_packed() {
            let sizes = items.iter().map(|item| item.size(level, 0, order));
            return Plan { prefix_len: 0, used: start_of(level) + sizes.sum::<usize>() };
        }
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
            fixed += ENTRY + cell_of(level) + item.body.bytes.len();
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
    /// How its keys are ordered.
    pub order: KeyOrder,
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
    match node_header.order.is_packed() {
        true => write_in(page, node_header, KeyOrder::PACKED, items, prefix_len),
        false => write_whole(page, node_header, items),
    }
}

#[inline(never)]
fn write_whole(
    page: &mut [u8],
    node_header: NodeHeader,
    items: &[Item<'_>],
) -> Result<(), &'static str> {
    write_in(page, node_header, node_header.order, items, 0)
}

/// The order is given so that it may be known when this is compiled.
#[inline(always)]
fn write_in(
    page: &mut [u8],
    node_header: NodeHeader,
    order: KeyOrder,
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
        let (head, suffix_len) = order.cut(&item.key, prefix_len);
        let rest_len = suffix_len.saturating_sub(order.beside());
        let len = cell_of(level) + rest_len + item.body.bytes.len();
        at = at.checked_sub(len).filter(|&at| at >= floor).ok_or("keys do not fit their page")?;
        let cut = Cut { suffix_len, prefix_len, beside: order.beside() };
        put_cell(&mut body[at - floor..][..len], at, level, item, cut);
        put_u32(front, heads_at + HEAD * index, head);
        put_u16(front, slots_at + 2 * index, at as u16);
    }
    let header = PageHeader {
        crc: 0,
        kind: kind_of(level, order.is_packed()),
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

/// Where a key is cut for a page.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// Bytes of the suffix.
    pub suffix_len: usize,
    /// Bytes of the page's prefix.
    pub prefix_len: usize,
    /// Bytes of the suffix that do not stand in the cell.
    pub beside: usize,
}

/// Writes one cell into exactly its bytes, which begin at offset `at` of the page.
#[inline(always)]
pub(super) fn put_cell(cell: &mut [u8], at: usize, level: u8, item: &Item<'_>, cut: Cut) {
    let Cut { suffix_len, prefix_len, beside } = cut;
    if level == 0 {
        leaf_cell::KEY_LEN.put(cell, 0, suffix_len as u64);
        leaf_cell::VALUE_TAG.put(cell, 0, item.body.tag);
    } else {
        branch_cell::CHILD.put(cell, 0, item.body.tag);
        branch_cell::KEY_LEN.put(cell, 0, suffix_len as u64);
    }
    let end = at + cell.len();
    let (rest, tail) = cell[cell_of(level)..].split_at_mut(suffix_len.saturating_sub(beside));
    if !rest.is_empty() {
        item.key.copy_rest(prefix_len, beside, rest);
    }
    item.body.put(tail, end);
}
