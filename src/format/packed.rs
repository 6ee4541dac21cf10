//! Leaves of values that have one size, in the tree of the values of one key: behind the page
//! header, which says the size in the place of a prefix's length, the values side by side,
//! ascending, and nothing else. So a leaf is handed out as one slice.
//!
//! [`Packed::open`] checks that the values lie inside the page; their order is not checked.

use super::page::{HEADER, KIND_PACKED, PageHeader};
use crate::error::{Error, Result};
use crate::types::{PageId, TxnId};
use std::cmp::Ordering;

/// Values that a leaf holds.
pub const fn capacity(page_size: usize, value_size: usize) -> usize {
    (page_size - HEADER) / value_size
}

/// A leaf, for reading.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    id: PageId,
    birth: TxnId,
    /// Bytes of each value.
    size: usize,
    values: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Looks at a page that must be a leaf of values of this size, which is not 0.
    pub fn open(id: PageId, page: &'a [u8], value_size: u16) -> Result<Packed<'a>> {
        let size = usize::from(value_size);
        let corrupt = |why: &str| Error::corrupt(id, why);
        let h = PageHeader::read(page).ok_or_else(|| corrupt("shorter than a page header"))?;
        if (h.kind, h.level) != (KIND_PACKED, 0) {
            return Err(corrupt("not a leaf of values of one size, where one must be"));
        }
        if h.prefix_len != value_size {
            return Err(corrupt("values of another size than the table says"));
        }
        let len = size * usize::from(h.count);
        match page[HEADER..].get(..len) {
            Some(values) if len > 0 => Ok(Packed { id, birth: h.birth, size, values }),
            _ => Err(corrupt("a number of values that cannot be")),
        }
    }

    /// The page's number.
    pub fn id(&self) -> PageId {
        self.id
    }

    /// The transaction that wrote the page.
    pub fn birth(&self) -> TxnId {
        self.birth
    }

    /// Number of values; at least 1.
    pub fn count(&self) -> usize {
        self.values.len() / self.size
    }

    /// All values, one behind the other.
    pub fn values(&self) -> &'a [u8] {
        self.values
    }

    /// One of the values; None if there are not so many.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.values.get(self.size.checked_mul(index)?..)?.get(..self.size)
    }

    /// Where a value stands, or where it would stand.
    pub fn search(&self, value: &[u8]) -> std::result::Result<usize, usize> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.values[self.size * middle..][..self.size].cmp(value) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// An error that names this page.
    #[cold]
    pub fn corrupt(&self, why: &str) -> Error {
        Error::corrupt(self.id, why)
    }
}

/// Writes a leaf of these values, which fit it.
pub fn write(page: &mut [u8], birth: TxnId, values: &[u8], value_size: u16) {
    let count = (values.len() / usize::from(value_size)) as u16;
    let header = PageHeader {
        kind: KIND_PACKED,
        count,
        birth,
        prefix_len: value_size,
        ..PageHeader::default()
    };
    header.write(page);
    page[HEADER..HEADER + values.len()].copy_from_slice(values);
}
