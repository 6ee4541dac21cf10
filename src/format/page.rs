//! The page header: the 24 bytes in front of every branch, leaf and free-log page.
//!
//! Reading is checked (a short slice yields None); writing is only done on page buffers of our own.
//! Plain functions over bytes, usable from any thread.

use super::bytes::{get_u16, get_u32, get_u64, put_u32};
use super::checksum::page_crc;
use super::fields::header;
use crate::error::{Error, Result};
use crate::types::{PageId, TxnId};

/// Bytes of the header.
pub const HEADER: usize = header::ZERO.end();

/// Kind of a branch page.
pub const KIND_BRANCH: u8 = 1;
/// Kind of a leaf page.
pub const KIND_LEAF: u8 = 2;
/// Kind of a free-log page.
pub const KIND_FREE_LOG: u8 = 3;
/// Kind of a leaf of values that have one size.
pub const KIND_PACKED: u8 = 4;
/// Kind of a branch page with whole keys.
pub const KIND_PLAIN_BRANCH: u8 = 5;
/// Kind of a leaf page with whole keys.
pub const KIND_PLAIN_LEAF: u8 = 6;

/// The header's fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageHeader {
    /// Checksum as stored.
    pub crc: u32,
    /// One of the `KIND_` constants.
    pub kind: u8,
    /// 0 in a leaf or free-log page.
    pub level: u8,
    /// Keys or entries.
    pub count: u16,
    /// Transaction that wrote the page.
    pub birth: TxnId,
    /// Bytes from the lowest cell to the end of the page.
    pub heap_len: u16,
    /// Bytes of the heap that belong to no cell.
    pub heap_dead: u16,
    /// Bytes that all keys begin with.
    pub prefix_len: u16,
}

impl PageHeader {
    /// Reads the header of a page; None if the slice is shorter than a header.
    #[inline]
    pub fn read(page: &[u8]) -> Option<PageHeader> {
        let h: &[u8; HEADER] = page.first_chunk()?;
        Some(PageHeader {
            crc: get_u32(h, header::CRC.at)?,
            kind: h[header::KIND.at],
            level: h[header::LEVEL.at],
            count: get_u16(h, header::COUNT.at)?,
            birth: TxnId(get_u64(h, header::BIRTH.at)?),
            heap_len: get_u16(h, header::HEAP_LEN.at)?,
            heap_dead: get_u16(h, header::HEAP_DEAD.at)?,
            prefix_len: get_u16(h, header::PREFIX_LEN.at)?,
        })
    }

    /// Writes the header to the front of a page buffer.
    pub fn write(&self, page: &mut [u8]) {
        header::CRC.put(page, 0, self.crc.into());
        header::KIND.put(page, 0, self.kind.into());
        header::LEVEL.put(page, 0, self.level.into());
        header::COUNT.put(page, 0, self.count.into());
        header::BIRTH.put(page, 0, self.birth.0);
        header::HEAP_LEN.put(page, 0, self.heap_len.into());
        header::HEAP_DEAD.put(page, 0, self.heap_dead.into());
        header::PREFIX_LEN.put(page, 0, self.prefix_len.into());
        header::ZERO.put(page, 0, 0);
    }
}

/// The transaction that wrote a page; none if the slice is too short to have a header.
#[inline]
pub fn birth(page: &[u8]) -> TxnId {
    TxnId(header::BIRTH.of(page))
}

/// Stores the transaction that wrote a page.
pub fn set_birth(page: &mut [u8], txn: TxnId) {
    header::BIRTH.put(page, 0, txn.0);
}

/// Sets the checksum of a finished page; returns it for the manifest.
pub fn seal(id: PageId, page: &mut [u8]) -> u32 {
    let crc = page_crc(id, page);
    put_u32(page, header::CRC.at, crc);
    crc
}

/// Compares a page with its stored checksum.
pub fn verify(id: PageId, page: &[u8]) -> Result<()> {
    let Some(stored) = get_u32(page, header::CRC.at).filter(|_| page.len() >= HEADER) else {
        return Err(Error::corrupt(id, "shorter than a page header"));
    };
    let computed = page_crc(id, page);
    if stored != computed {
        return Err(Error::corrupt(
            id,
            format!("checksum {stored:08x} stored, {computed:08x} computed"),
        ));
    }
    Ok(())
}

/// Whether a page has this checksum: the one it stores, and that of its bytes.
pub fn has_crc(id: PageId, page: &[u8], crc: u32) -> bool {
    get_u32(page, header::CRC.at) == Some(crc) && page_crc(id, page) == crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trip_and_offsets() {
        let h = PageHeader {
            crc: 0x0403_0201,
            kind: KIND_LEAF,
            level: 6,
            count: 0x0807,
            birth: TxnId(0x100f_0e0d_0c0b_0a09),
            heap_len: 0x1211,
            heap_dead: 0x1413,
            prefix_len: 0x1615,
        };
        let mut page = vec![0xff; 64];
        h.write(&mut page);
        assert_eq!(PageHeader::read(&page), Some(h));
        assert_eq!(page[..6], [1, 2, 3, 4, 2, 6]);
        assert!(page[6..22].iter().copied().eq(7..23));
        assert_eq!(page[22..25], [0, 0, 0xff]);
        assert_eq!(PageHeader::read(&page[..23]), None);
    }

    #[test]
    fn seal_notices_every_bit_and_the_place() {
        let mut page = vec![7u8; 4096];
        seal(PageId(9), &mut page);
        verify(PageId(9), &page).unwrap();
        let crc = PageHeader::read(&page).unwrap().crc;
        assert!(has_crc(PageId(9), &page, crc) && !has_crc(PageId(9), &page, crc ^ 1));
        assert!(verify(PageId(10), &page).is_err() && !has_crc(PageId(10), &page, crc));
        for byte in [0, 3, 4, 100, 4096 - 1] {
            page[byte] ^= 0x10;
            assert!(verify(PageId(9), &page).is_err(), "byte {byte}");
            page[byte] ^= 0x10;
        }
        assert!(verify(PageId(9), &page[..10]).is_err());
    }
}
