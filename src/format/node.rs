//! Branch and leaf pages: the read view and the search.
//!
//! [`Node::open`] checks in constant time that the arrays and the heap lie inside the page; each
//! access to a slot or a cell checks the rest. So a page with any bytes at all gives an answer or
//! an error, never a panic. What is *not* checked here is order: keys that do not ascend give wrong
//! answers, and `inspect` finds them.
//!
//! N1: a node has at least one key. N2: all keys of a node begin with its prefix. N3: the leftmost
//! child of a branch has no key. Views borrow the page and may be used from any thread.

pub mod build;
pub mod edit;
pub mod key;
pub mod set;

use super::bytes::get_u64;
use super::descriptor::TableDescriptor;
use super::fields::{aligned, branch_cell, leaf_cell, page as parts, set as fields_of_set};
pub use super::order::HEAD;
use super::order::{KeyOrder, head_of};
use super::overflow::OverflowRef;
use super::page::{
    HEADER, KIND_BRANCH, KIND_LEAF, KIND_PLAIN_BRANCH, KIND_PLAIN_LEAF, PageHeader, birth,
};
use crate::error::{Error, Result};
use crate::types::{PageId, TxnId};
use build::{Body, Item, place_of_aligned};
use key::KeyParts;
use set::InlineSet;
use std::cmp::Ordering;

/// Where a branch keeps its leftmost child.
pub const LEFTMOST: usize = parts::LEFTMOST.at;
/// Where the prefix of a branch starts.
pub const BRANCH_START: usize = parts::BRANCH_PREFIX.at;
/// Where the prefix of a leaf starts.
pub const LEAF_START: usize = parts::LEAF_PREFIX.at;
/// Bytes of a leaf cell in front of the rest of its key.
pub const LEAF_CELL: usize = leaf_cell::REST.at;
/// Bytes of a branch cell in front of the rest of its key.
pub const BRANCH_CELL: usize = branch_cell::REST.at;
/// Bytes an entry takes in the arrays: head and slot.
pub const ENTRY: usize = 6;
/// Value tag of an overflow reference; smaller ones are the length of a value.
pub const TAG_OVERFLOW: u16 = 0x8000;
/// Value tag of several values of one key, side by side.
pub const TAG_SET: u16 = 0x8001;
/// Value tag of a reference to a tree of values.
pub const TAG_SET_TREE: u16 = 0x8002;
/// Value tag of a value at an aligned place.
pub const TAG_ALIGNED: u16 = 0x8004;
/// Value tag of a table descriptor, plus its length. What else lies between the two is reserved.
pub const TAG_TABLE: u16 = 0xc000;
/// Values that are aligned to more than 2^this bytes stand in runs.
pub const MAX_INLINE_SHIFT: u8 = 6;

/// Longest key for a page size: two separators of this length fit a branch.
pub const fn max_key_len(page_size: usize) -> usize {
    (page_size - 32) / 2 - 10
}

/// The same in a tree of this order.
pub fn max_key_len_of(page_size: usize, order: KeyOrder) -> usize {
    max_key_len(page_size) - (HEAD - order.beside())
}

/// The length that a key has where lengths of entries are counted, of which the first four bytes
/// stand in the head.
#[inline(always)]
pub fn counted_len(key_len: usize, order: KeyOrder) -> usize {
    key_len + (HEAD - order.beside())
}

/// Whether a value that takes so many bytes of a cell stands in the leaf, beside its key.
pub const fn is_inline(page_size: usize, key_len: usize, value_len: usize) -> bool {
    let limit = (page_size - HEADER) / 2;
    value_len <= limit && ENTRY + LEAF_CELL + key_len.saturating_sub(HEAD) + value_len <= limit
}

/// Keys that a sound page of this level has at most: those of empty rests and values.
pub const fn most_entries(page_size: usize, level: u8) -> usize {
    (page_size - start_of(level)) / (ENTRY + cell_of(level))
}

/// Where the prefix of a page of this level starts.
pub const fn start_of(level: u8) -> usize {
    if level == 0 { LEAF_START } else { BRANCH_START }
}

/// Bytes of a cell of this level in front of the rest of its key.
pub const fn cell_of(level: u8) -> usize {
    if level == 0 { LEAF_CELL } else { BRANCH_CELL }
}

/// The kind of a page of this level.
#[inline(always)]
pub const fn kind_of(level: u8, is_packed: bool) -> u8 {
    match (level, is_packed) {
        (0, true) => KIND_LEAF,
        (0, false) => KIND_PLAIN_LEAF,
        (_, true) => KIND_BRANCH,
        (_, false) => KIND_PLAIN_BRANCH,
    }
}

/// Room a prefix takes: heads are aligned to 4 bytes.
pub const fn padded(prefix_len: usize) -> usize {
    (prefix_len + 3) & !3
}

/// Where the parts of a page are, checked against each other and the page.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Level, as the caller expected it.
    pub level: u8,
    /// Keys.
    pub count: usize,
    /// Bytes of the prefix.
    pub prefix_len: usize,
    /// Where the heads start.
    pub heads_at: usize,
    /// Where the slots start.
    pub slots_at: usize,
    /// Where the heap starts.
    pub heap_at: usize,
    /// Bytes of the heap that belong to no cell.
    pub dead: usize,
}

impl Layout {
    /// Reads and checks the layout of a page that must have this level.
    #[inline(always)]
    pub fn of(
        page: &[u8],
        level: u8,
        order: KeyOrder,
    ) -> std::result::Result<Layout, &'static str> {
        let Some(h) = PageHeader::read(page) else { return Err("shorter than a page header") };
        if h.kind != kind_of(level, order.is_packed()) {
            return Err("not of the kind expected here");
        }
        if h.level != level {
            return Err("not of the level expected here");
        }
        if h.count == 0 {
            return Err("no key");
        }
        let (count, prefix_len) = (usize::from(h.count), usize::from(h.prefix_len));
        let heads_at = start_of(level) + padded(prefix_len);
        let slots_at = heads_at + HEAD * count;
        let Some(heap_at) = page.len().checked_sub(usize::from(h.heap_len)) else {
            return Err("heap larger than the page");
        };
        if slots_at + 2 * count > heap_at {
            return Err("arrays reach into the heap");
        }
        let dead = usize::from(h.heap_dead);
        if dead > usize::from(h.heap_len) {
            return Err("more dead bytes than heap");
        }
        Ok(Layout { level, count, prefix_len, heads_at, slots_at, heap_at, dead })
    }

    /// Bytes between the arrays and the heap.
    pub fn gap(&self) -> usize {
        self.heap_at - (self.slots_at + 2 * self.count)
    }
}

/// What a search found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Index of the first key that is not below the key sought.
    pub index: usize,
    /// Whether it is that key.
    pub found: bool,
}

/// A value as a leaf holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// The bytes.
    Inline(&'a [u8]),
    /// Where the bytes are.
    Overflow(OverflowRef),
    /// Several values of the key: only in a table of sets.
    Set(InlineSet<'a>),
    /// The tree of the values of the key: only in a table of sets.
    Tree(TableDescriptor),
    /// No value, but an encoded table descriptor: only in the catalog.
    Table(&'a [u8]),
}

/// One cell, its fields cut out but not yet interpreted.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// Where it stands in the page.
    pub at: usize,
    /// Length of the key's suffix.
    pub suffix_len: usize,
    /// The suffix behind its first four bytes.
    pub rest: &'a [u8],
    /// Value tag (leaf) or child page (branch).
    pub tag: u64,
    /// The page from the end of the rest on.
    after: &'a [u8],
}

/// An entry of a leaf with its value in place.
#[derive(Clone, Copy, Debug)]
pub struct InlineEntry<'a> {
    /// The first four bytes of the suffix, as far as it is that long.
    pub head: [u8; HEAD],
    /// Length of the key's suffix.
    pub suffix_len: usize,
    /// The suffix behind its first four bytes, and what stands behind it.
    pub body: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// The empty value of a table whose values are aligned, however much.
static NOTHING: Nothing = Nothing([]);

#[repr(align(4096))]
struct Nothing([u8; 0]);

impl Nothing {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// A view of a branch or leaf page.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    id: PageId,
    page: &'a [u8],
    level: u8,
    order: KeyOrder,
    heap_at: usize,
    dead: usize,
    prefix: &'a [u8],
    heads: &'a [u32],
    slots: &'a [u16],
}

impl<'a> Node<'a> {
    /// Looks at a page that must be a branch or leaf of this level, with keys of this order. O(1).
    #[inline(always)]
    pub fn open(id: PageId, page: &'a [u8], level: u8, order: KeyOrder) -> Result<Node<'a>> {
        let layout = Layout::of(page, level, order);
        match layout.and_then(|layout| Node::new(id, page, layout, order)) {
            Ok(node) => Ok(node),
            Err(why) => Err(corrupt(id, why)),
        }
    }

    #[inline(always)]
    fn new(
        id: PageId,
        page: &'a [u8],
        l: Layout,
        order: KeyOrder,
    ) -> std::result::Result<Node<'a>, &'static str> {
        let start = start_of(l.level);
        let (Some(prefix), Some(heads), Some(slots)) = (
            page.get(start..start + l.prefix_len),
            page.get(l.heads_at..l.slots_at),
            page.get(l.slots_at..l.slots_at + 2 * l.count),
        ) else {
            return Err("arrays outside the page");
        };
        let (Ok(heads), Ok(slots)) =
            (bytemuck::try_cast_slice(heads), bytemuck::try_cast_slice(slots))
        else {
            return Err("page buffer is not aligned");
        };
        Ok(Node {
            id,
            page,
            level: l.level,
            order,
            heap_at: l.heap_at,
            dead: l.dead,
            prefix,
            heads,
            slots,
        })
    }

    /// The page's number.
    pub fn id(&self) -> PageId {
        self.id
    }

    /// 0 in a leaf.
    #[cfg(test)]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Number of keys; at least 1.
    #[inline]
    pub fn count(&self) -> usize {
        self.heads.len()
    }

    /// The bytes that all keys begin with.
    #[inline]
    pub fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// How its keys are ordered.
    #[inline]
    pub fn order(&self) -> KeyOrder {
        self.order
    }

    /// The transaction that wrote the page.
    pub fn birth(&self) -> TxnId {
        birth(self.page)
    }

    /// Bytes in use, header included; what a page without dead bytes and gap would measure.
    pub fn used(&self) -> usize {
        let arrays = start_of(self.level) + padded(self.prefix.len()) + ENTRY * self.count();
        arrays + (self.page.len() - self.heap_at).saturating_sub(self.dead)
    }

    /// An error that names this page.
    #[cold]
    pub fn corrupt(&self, why: &str) -> Error {
        corrupt(self.id, why)
    }

    /// The first four bytes of a suffix. The index is below `count`.
    #[inline]
    pub fn head(&self, index: usize) -> u32 {
        u32::from_le(self.heads[index])
    }

    /// Cuts a cell out of the page; the index is below `count`.
    #[inline(always)]
    pub fn cell(&self, index: usize) -> Result<Cell<'a>> {
        let Some(slot) = self.slots.get(index) else {
            return Err(self.corrupt("no such slot"));
        };
        let at = usize::from(u16::from_le(*slot));
        match self.cell_at(at) {
            Some(cell) if at >= self.heap_at => Ok(cell),
            _ => Err(self.bad_cell(index)),
        }
    }

    #[cold]
    fn bad_cell(&self, index: usize) -> Error {
        self.corrupt(&format!("cell {index} outside the heap"))
    }

    #[inline(always)]
    fn cell_at(&self, at: usize) -> Option<Cell<'a>> {
        let cell = self.page.get(at..)?;
        let (suffix_len, tag, body) = if self.level == 0 {
            let (head, body) = cell.split_first_chunk::<LEAF_CELL>()?;
            (leaf_cell::KEY_LEN.get(head, 0)?, leaf_cell::VALUE_TAG.get(head, 0)?, body)
        } else {
            let (head, body) = cell.split_first_chunk::<BRANCH_CELL>()?;
            (branch_cell::KEY_LEN.get(head, 0)?, branch_cell::CHILD.get(head, 0)?, body)
        };
        let suffix_len = suffix_len as usize;
        let (rest, after) =
            body.split_at_checked(suffix_len.saturating_sub(self.order.beside()))?;
        Some(Cell { at, suffix_len, rest, tag, after })
    }

    /// Where the cells of some entries stand, as their slots say.
    pub fn cell_places(&self, entries: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
        let slots = self.slots.get(entries).unwrap_or_default();
        slots.iter().map(|slot| usize::from(u16::from_le(*slot)))
    }

    /// All cells, from the newest on.
    pub fn heap(&self) -> &'a [u8] {
        &self.page[self.heap_at..]
    }

    /// The key of an entry, in its parts.
    #[inline]
    pub fn key(&self, index: usize) -> Result<KeyParts<'a>> {
        let cell = self.cell(index)?;
        Ok(self.key_of(index, &cell))
    }

    #[inline]
    fn key_of(&self, index: usize, cell: &Cell<'a>) -> KeyParts<'a> {
        if !self.order.is_packed() {
            return KeyParts::whole(cell.rest);
        }
        KeyParts::new(self.prefix, self.head(index), cell.suffix_len, cell.rest)
    }

    /// Key and value of a leaf's entry.
    #[inline]
    pub fn entry(&self, index: usize) -> Result<(KeyParts<'a>, Value<'a>)> {
        let cell = self.cell(index)?;
        Ok((self.key_of(index, &cell), self.value_of(&cell)?))
    }

    /// Suffix and value of a leaf's entry, if nothing is odd about it: the short way for scans.
    /// None leaves it to [`Node::entry`], which also knows what is wrong. Of a page with whole keys
    /// the answer means nothing: nobody puts these together.
    #[inline(always)]
    pub fn inline_entry(&self, index: usize) -> Option<InlineEntry<'a>> {
        debug_assert_eq!(self.level, 0);
        let at = usize::from(u16::from_le(*self.slots.get(index)?));
        let (header, body) = self.page.get(at..)?.split_first_chunk::<LEAF_CELL>()?;
        // One load: of the bytes one by one the compiler makes three.
        let header = u32::from_le_bytes(*header);
        let (suffix_len, tag) = (usize::from(header as u16), (header >> 16) as u16);
        let after = body.get(suffix_len.saturating_sub(HEAD)..)?;
        if tag >= TAG_OVERFLOW || at < self.heap_at {
            return None;
        }
        let head = u32::from_le(*self.heads.get(index)?).to_be_bytes();
        Some(InlineEntry { head, suffix_len, body, value: after.get(..usize::from(tag))? })
    }

    /// Value of a leaf's entry.
    #[inline]
    pub fn value(&self, index: usize) -> Result<Value<'a>> {
        self.value_of(&self.cell(index)?)
    }

    /// Value of a leaf's cell.
    #[inline]
    pub fn value_of(&self, cell: &Cell<'a>) -> Result<Value<'a>> {
        debug_assert_eq!(self.level, 0);
        if cell.tag < u64::from(TAG_OVERFLOW)
            && let Some(value) = cell.after.get(..cell.tag as usize)
        {
            return Ok(Value::Inline(value));
        }
        self.tagged_value(cell)
    }

    /// The same of a cell whose tag is no length, or one that reaches out of the page.
    #[inline(never)]
    fn tagged_value(&self, cell: &Cell<'a>) -> Result<Value<'a>> {
        let bytes = self.body_of(cell)?.bytes();
        if cell.tag == u64::from(TAG_ALIGNED) {
            return self.aligned_value(cell, bytes);
        }
        let value = match cell.tag as u16 {
            TAG_OVERFLOW => OverflowRef::decode(bytes).map(Value::Overflow),
            TAG_SET => InlineSet::decode(bytes).map(Value::Set),
            TAG_SET_TREE => set::decode_tree(bytes).map(Value::Tree),
            _ => Ok(Value::Table(bytes)),
        };
        value.map_err(|why| self.corrupt(why))
    }

    /// What a cell holds beside its key, not decoded.
    #[inline(always)]
    fn body_of(&self, cell: &Cell<'a>) -> Result<Body<'a>> {
        if self.level > 0 {
            return Ok(Body::child(PageId(cell.tag)));
        }
        let body = if cell.tag < u64::from(TAG_OVERFLOW) {
            cell.after.get(..cell.tag as usize).map(Body::inline)
        } else {
            self.tagged(cell)
        };
        body.ok_or_else(|| self.corrupt("value that does not lie inside the page"))
    }

    /// The same of a cell whose tag is no length.
    fn tagged(&self, cell: &Cell<'a>) -> Option<Body<'a>> {
        if cell.tag == u64::from(TAG_OVERFLOW) {
            return cell.after.first_chunk().map(Body::overflow);
        }
        if cell.tag == u64::from(TAG_ALIGNED) {
            let len = aligned::LEN.get(cell.after, 0)? as usize;
            return cell.after.get(..aligned::SHIFT.at + len).map(Body::aligned);
        }
        if cell.tag == u64::from(TAG_SET) || cell.tag == u64::from(TAG_SET_TREE) {
            let len = fields_of_set::LEN.get(cell.after, 0)? as usize;
            let bytes = cell.after.get(..fields_of_set::LEN.end() + len)?;
            return Some(Body::set(bytes, cell.tag == u64::from(TAG_SET_TREE)));
        }
        let len = cell.tag.checked_sub(u64::from(TAG_TABLE))?;
        cell.after.get(..len as usize).map(Body::table)
    }

    /// A value at an aligned place.
    fn aligned_value(&self, cell: &Cell<'a>, tail: &'a [u8]) -> Result<Value<'a>> {
        let place = place_of_aligned(tail);
        let Some(place) = place else {
            return Err(self.corrupt("aligned value that cannot be"));
        };
        if place.is_empty() {
            return Ok(Value::Inline(NOTHING.as_slice()));
        }
        let at = cell.at + LEAF_CELL + cell.rest.len() + place.start;
        if !at.is_multiple_of(1 << aligned::SHIFT.of(tail)) {
            return Err(self.corrupt("value that is not where it should be aligned"));
        }
        Ok(Value::Inline(&tail[place]))
    }

    /// Bytes a cell takes in the heap.
    #[inline(always)]
    pub fn cell_len(&self, cell: &Cell<'a>) -> Result<usize> {
        Ok(cell_of(self.level) + cell.rest.len() + self.body_of(cell)?.bytes().len())
    }

    /// An entry as writing takes it, with its sizes held to the limits of the format.
    #[inline(always)]
    pub fn item(&self, index: usize) -> Result<Item<'a>> {
        let cell = self.cell(index)?;
        let key = self.key_of(index, &cell);
        if key.len() > max_key_len_of(self.page.len(), self.order) {
            return Err(self.corrupt(&format!("key {index} is too long")));
        }
        let body = self.body_of(&cell)?;
        let elsewhere = [TAG_OVERFLOW, TAG_SET_TREE].map(u64::from);
        let in_leaf = self.level == 0 && !elsewhere.contains(&cell.tag);
        let key_len = counted_len(key.len(), self.order);
        if in_leaf && !is_inline(self.page.len(), key_len, body.bytes().len()) {
            return Err(self.corrupt(&format!("entry {index} is too long")));
        }
        Ok(Item { key, body })
    }

    /// The same node where it is known when this is compiled that its keys are in pieces.
    #[inline(always)]
    pub fn packed(self) -> Node<'a> {
        Node { order: KeyOrder::PACKED, ..self }
    }

    /// Child of a branch, 0 ..= `count`.
    #[inline(always)]
    pub fn child(&self, index: usize) -> Result<PageId> {
        debug_assert!(self.level > 0);
        if index == 0 {
            return match get_u64(self.page, LEFTMOST) {
                Some(id) if id <= PageId::MAX.0 => Ok(PageId(id)),
                _ => Err(self.corrupt("leftmost child at an impossible page")),
            };
        }
        Ok(PageId(self.cell(index - 1)?.tag))
    }

    /// Which child of a branch holds a key.
    #[inline(always)]
    pub fn child_index(&self, key: &[u8]) -> Result<usize> {
        let place = self.search(key)?;
        Ok(place.index + usize::from(place.found))
    }

    /// Finds a key, or where it would stand.
    #[inline(always)]
    pub fn search(&self, key: &[u8]) -> Result<Place> {
        Ok(match self.find(key)? {
            (index, Some(_)) => Place { index, found: true },
            (index, None) => Place { index, found: false },
        })
    }

    /// The same; what is found with its cell.
    #[inline(always)]
    pub fn find(&self, key: &[u8]) -> Result<(usize, Option<Cell<'a>>)> {
        if !self.order.is_packed() {
            return self.find_whole(key);
        }
        let suffix = match key.split_at_checked(self.prefix.len()) {
            Some((front, suffix)) if self.prefix.is_empty() || front == self.prefix => suffix,
            // N2: a key without the prefix sorts before or after all of them.
            _ if key < self.prefix => return Ok((0, None)),
            _ => return Ok((self.count(), None)),
        };
        match self.first_with(head_of(suffix)) {
            (first, true) => self.find_tied(suffix, head_of(suffix), first),
            (first, false) => Ok((first, None)),
        }
    }

    /// The first entry whose head is not below this one, and whether it is this one.
    #[inline(always)]
    fn first_with(&self, head: u32) -> (usize, bool) {
        let first = self.heads.partition_point(|&h| u32::from_le(h) < head);
        (first, first < self.heads.len() && self.head(first) == head)
    }

    /// Where the cell stands that a leaf's search for the key looks at first; None if none can be
    /// the one.
    #[inline(always)]
    pub fn candidate(&self, key: &[u8]) -> Option<usize> {
        if !self.order.is_packed() {
            return None;
        }
        let (first, there) = self.first_with(head_of(key.get(self.prefix.len()..)?));
        let slot = self.slots.get(first).filter(|_| there)?;
        Some(usize::from(u16::from_le(*slot)))
    }

    /// Finds a key among whole ones.
    #[inline(never)]
    fn find_whole(&self, key: &[u8]) -> Result<(usize, Option<Cell<'a>>)> {
        let head = self.order.head(key);
        let (mut low, there) = self.first_with(head);
        let ties = self.heads[low..].partition_point(|&h| u32::from_le(h) == head);
        let mut high = if there { low + ties } else { low };
        while low < high {
            let middle = low + (high - low) / 2;
            let cell = self.cell(middle)?;
            match self.order.compare(cell.rest, key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok((middle, Some(cell))),
            }
        }
        Ok((low, None))
    }

    /// Among the entries from `first` on whose heads are equal: by rest, then by length.
    #[inline(always)]
    fn find_tied(
        &self,
        suffix: &[u8],
        head: u32,
        first: usize,
    ) -> Result<(usize, Option<Cell<'a>>)> {
        let rest = suffix.get(HEAD..).unwrap_or(&[]);
        let mut low = first;
        let mut high = match self.heads.get(first + 1) {
            Some(&next) if u32::from_le(next) == head => {
                first + self.heads[first..].partition_point(|&h| u32::from_le(h) == head)
            }
            _ => first + 1,
        };
        while low < high {
            let middle = low + (high - low) / 2;
            let cell = self.cell(middle)?;
            match cell.rest.cmp(rest).then(cell.suffix_len.cmp(&suffix.len())) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok((middle, Some(cell))),
            }
        }
        Ok((low, None))
    }
}

#[cold]
fn corrupt(id: PageId, why: &str) -> Error {
    Error::corrupt(id, why)
}
