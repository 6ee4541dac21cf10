//! Changing a page where it stands: one entry in, out, or with another value.
//!
//! Each operation says whether it fitted; what does not fit is left as it was, and the caller
//! builds the page anew. Only on pages of the caller's own transaction, so one thread has the page
//! to itself.

use super::build::{Body, Cut, Item, put_cell};
use super::key::KeyParts;
use super::{ENTRY, HEAD, Layout, Node, cell_of, start_of};
use crate::error::{Error, Result};
use crate::format::bytes::{put_u16, put_u32};
use crate::format::fields::{branch_cell, header, leaf_cell, page as parts};
use crate::format::order::KeyOrder;
use crate::types::PageId;

/// A page that may be changed.
pub struct NodeMut<'a> {
    id: PageId,
    page: &'a mut [u8],
    layout: Layout,
    order: KeyOrder,
}

impl<'a> NodeMut<'a> {
    /// Opens a page that must be a branch or leaf of this level, with keys of this order.
    #[inline(always)]
    pub fn open(id: PageId, page: &'a mut [u8], level: u8, order: KeyOrder) -> Result<NodeMut<'a>> {
        let layout = Layout::of(page, level, order).map_err(|why| Error::corrupt(id, why))?;
        Ok(NodeMut { id, page, layout, order })
    }

    /// The page as a reader sees it.
    #[inline(always)]
    pub fn node(&self) -> Result<Node<'_>> {
        Node::new(self.id, self.page, self.layout, self.order)
            .map_err(|why| Error::corrupt(self.id, why))
    }

    /// Puts an entry in front of entry `index`. False if the page has no room in one piece, or the
    /// key does not begin with its prefix.
    pub fn insert(&mut self, index: usize, key: &[u8], body: Body<'_>) -> Result<bool> {
        match self.order.is_packed() {
            true => self.insert_in(KeyOrder::PACKED, index, key, body),
            false => self.insert_whole(index, key, body),
        }
    }

    #[inline(never)]
    fn insert_whole(&mut self, index: usize, key: &[u8], body: Body<'_>) -> Result<bool> {
        self.insert_in(self.order, index, key, body)
    }

    /// The order is given so that it may be known when this is compiled.
    #[inline(always)]
    fn insert_in(
        &mut self,
        order: KeyOrder,
        index: usize,
        key: &[u8],
        body: Body<'_>,
    ) -> Result<bool> {
        let Layout { level, count, prefix_len, heads_at, slots_at, .. } = self.layout;
        let start = start_of(level);
        if index > count || !key.starts_with(&self.page[start..start + prefix_len]) {
            return Ok(false);
        }
        let beside = order.beside();
        let key = match order.is_packed() {
            true => KeyParts::of(key, prefix_len),
            false => KeyParts::whole(key),
        };
        let (head, suffix_len) = order.cut(&key, prefix_len);
        let len = cell_of(level) + suffix_len.saturating_sub(beside) + body.bytes().len();
        if self.layout.gap() < len + ENTRY {
            return Ok(false);
        }
        let cell_at = self.layout.heap_at - len;
        let item = Item { key, body };
        let cell = &mut self.page[cell_at..cell_at + len];
        put_cell(cell, cell_at, level, &item, Cut { suffix_len, prefix_len, beside });
        // Slots behind the new one move by a head and a slot, those in front by a head.
        let (slot, end) = (slots_at + 2 * index, slots_at + 2 * count);
        self.page.copy_within(slot..end, slot + HEAD + 2);
        self.page.copy_within(slots_at..slot, slots_at + HEAD);
        let head_at = heads_at + HEAD * index;
        self.page.copy_within(head_at..slots_at, head_at + HEAD);
        put_u32(self.page, head_at, head);
        put_u16(self.page, slot + HEAD, cell_at as u16);
        self.layout.slots_at += HEAD;
        self.layout.count += 1;
        self.layout.heap_at = cell_at;
        self.put_layout();
        Ok(true)
    }

    /// Takes an entry out. The page keeps at least one.
    pub fn remove(&mut self, index: usize) -> Result<()> {
        let Layout { count, heads_at, slots_at, .. } = self.layout;
        if count < 2 {
            return Err(Error::corrupt(self.id, "no key left"));
        }
        let (cell_at, _, len) = self.measure(index)?;
        self.drop_cell(cell_at, len)?;
        let head_at = heads_at + HEAD * index;
        self.page.copy_within(head_at + HEAD..slots_at, head_at);
        let (slot, end) = (slots_at + 2 * index, slots_at + 2 * count);
        self.page.copy_within(slots_at..slot, slots_at - HEAD);
        self.page.copy_within(slot + 2..end, slot - HEAD);
        self.layout.slots_at -= HEAD;
        self.layout.count -= 1;
        self.put_layout();
        Ok(())
    }

    /// Gives a leaf's entry another value. False if the page has no room in one piece.
    pub fn replace(&mut self, index: usize, body: Body<'_>) -> Result<bool> {
        let (cell_at, front, len) = self.measure(index)?;
        let new_len = front + body.bytes().len();
        let slack = self.layout.gap();
        if new_len <= len {
            // What is left over at the cell's end belongs to nothing.
            self.add_dead(len - new_len)?;
            self.put_value(cell_at, front, body);
        } else if new_len <= slack {
            let new_at = self.layout.heap_at - new_len;
            self.page.copy_within(cell_at..cell_at + front, new_at);
            self.put_value(new_at, front, body);
            put_u16(self.page, self.layout.slots_at + 2 * index, new_at as u16);
            self.add_dead(len)?;
            self.layout.heap_at = new_at;
        } else {
            return Ok(false);
        }
        self.put_layout();
        Ok(true)
    }

    /// Where the cell of an entry stands, how many bytes are in front of its value, and how many it
    /// has.
    #[inline(always)]
    fn measure(&self, index: usize) -> Result<(usize, usize, usize)> {
        let node = self.node()?;
        let cell = node.cell(index)?;
        let front = cell_of(self.layout.level) + cell.rest.len();
        Ok((cell.at, front, node.cell_len(&cell)?))
    }

    /// Points child `index` (0 ..= count) of a branch at another page.
    pub fn set_child(&mut self, index: usize, child: PageId) -> Result<()> {
        if index == 0 {
            parts::LEFTMOST.put(self.page, 0, child.0);
        } else {
            let at = self.node()?.cell(index - 1)?.at;
            branch_cell::CHILD.put(self.page, at, child.0);
        }
        Ok(())
    }

    fn put_value(&mut self, cell_at: usize, front: usize, body: Body<'_>) {
        leaf_cell::VALUE_TAG.put(self.page, cell_at, body.tag());
        let at = cell_at + front;
        let end = at + body.bytes().len();
        body.put(&mut self.page[at..end], end);
    }

    /// A cell of this length belongs to nothing any more; the lowest one goes back to the gap.
    fn drop_cell(&mut self, cell_at: usize, len: usize) -> Result<()> {
        if cell_at != self.layout.heap_at {
            return self.add_dead(len);
        }
        if self.layout.dead + len > self.page.len() - cell_at {
            return Err(Error::corrupt(self.id, "more dead bytes than heap"));
        }
        self.layout.heap_at += len;
        Ok(())
    }

    fn add_dead(&mut self, len: usize) -> Result<()> {
        self.layout.dead += len;
        if self.layout.dead > self.page.len() - self.layout.heap_at {
            return Err(Error::corrupt(self.id, "more dead bytes than heap"));
        }
        Ok(())
    }

    fn put_layout(&mut self) {
        let heap_len = self.page.len() - self.layout.heap_at;
        header::COUNT.put(self.page, 0, self.layout.count as u64);
        header::HEAP_LEN.put(self.page, 0, heap_len as u64);
        header::HEAP_DEAD.put(self.page, 0, self.layout.dead as u64);
    }
}
