//! Free entries, free-log pages and the queues that hold them (docs/format.md).
//!
//! A free-log page is written once, by the transaction that reserves its successor, and never changed.

use super::bytes::*;
use super::page::KIND_FREE_LOG;
use crate::error::{Error, Result};
use crate::types::{PageId, TxnId};

/// Bytes of a free entry.
pub const ENTRY_SIZE: usize = 24;
/// First byte of the entries in a log page.
const ENTRIES: usize = 32;
/// Most pages one entry or ready extent can hold.
pub const MAX_RUN: u64 = u16::MAX as u64;

/// Pages side by side that no longer belong to the newest snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreeEntry {
    /// First page.
    pub start: PageId,
    /// Pages, 1 ..= [`MAX_RUN`].
    pub len: u64,
    /// Oldest snapshot that may see them.
    pub birth: TxnId,
    /// First snapshot that does not see them any more.
    pub death: TxnId,
}

impl FreeEntry {
    /// Encodes into the first [`ENTRY_SIZE`] bytes of `out`.
    pub fn encode(&self, out: &mut [u8]) {
        debug_assert!(self.len >= 1 && self.len <= MAX_RUN);
        put_u48(out, 0, self.start.0);
        put_u16(out, 6, self.len as u16);
        put_u64(out, 8, self.birth.0);
        put_u64(out, 16, self.death.0);
    }

    /// Decodes; None if it is not an entry of a file with `page_count` pages.
    pub fn decode(b: &[u8], page_count: u64) -> Option<FreeEntry> {
        let e = FreeEntry {
            start: PageId(get_u48(b, 0)?),
            len: u64::from(get_u16(b, 6)?),
            birth: TxnId(get_u64(b, 8)?),
            death: TxnId(get_u64(b, 16)?),
        };
        let lives = e.birth < e.death || e.death.is_never();
        (extent_fits(e.start, e.len, page_count) && lives).then_some(e)
    }
}

impl TxnId {
    /// Marks an entry whose pages no snapshot sees at all.
    fn is_never(self) -> bool {
        self == TxnId::NONE
    }
}

/// Whether `len` pages from `start` are pages of a file with `page_count` pages, metas excluded.
pub fn extent_fits(start: PageId, len: u64, page_count: u64) -> bool {
    let end = start.0.checked_add(len);
    start.0 >= 2 && (1..=MAX_RUN).contains(&len) && end.is_some_and(|end| end <= page_count)
}

/// One queue of free entries as the meta page holds it: log pages first, then the inline entries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Queue {
    /// Snapshot that pins the entries of a side queue; none in the main queue and in an unused one.
    pub pin: TxnId,
    /// First log page; equal to `tail` when none is written.
    pub head: PageId,
    /// Page reserved for the next log page, or none.
    pub tail: PageId,
    /// Entries of the head page that have been taken.
    pub head_used: u16,
    /// Log pages written.
    pub pages: u32,
    /// Entries younger than those in the log pages.
    pub inline: Vec<FreeEntry>,
}

/// How many entries fit a log page.
pub fn capacity(page_size: usize) -> usize {
    (page_size - ENTRIES) / ENTRY_SIZE
}

/// Writes a log page (without checksum).
pub fn write_page(page: &mut [u8], birth: TxnId, next: PageId, entries: &[FreeEntry]) {
    assert!(entries.len() <= capacity(page.len()));
    page.fill(0);
    page[4] = KIND_FREE_LOG;
    put_u16(page, 6, entries.len() as u16);
    put_u64(page, 8, birth.0);
    put_u64(page, 24, next.0);
    for (entry, at) in entries.iter().zip((ENTRIES..).step_by(ENTRY_SIZE)) {
        entry.encode(&mut page[at..at + ENTRY_SIZE]);
    }
}

/// A log page, read and verified as a whole: a bad free list is how a good tree gets overwritten.
pub struct LogPage {
    /// Transaction that wrote it.
    pub birth: TxnId,
    /// Page reserved for its successor when it was written.
    pub next: PageId,
    /// Its entries that have not been taken yet.
    pub entries: Vec<FreeEntry>,
}

impl LogPage {
    /// Reads page `id`, checksum included. The first `taken` entries are history: they may name pages that
    /// the file has lost since.
    pub fn read(id: PageId, page: &[u8], page_count: u64, taken: usize) -> Result<LogPage> {
        let bad = |what: &str| Error::corrupt(id, format!("free-log page: {what}"));
        super::page::verify(id, page)?;
        let count = usize::from(get_u16(page, 6).unwrap_or(0));
        if page[4] != KIND_FREE_LOG || count > capacity(page.len()) || taken > count {
            return Err(bad("wrong kind or number of entries"));
        }
        let next = PageId(get_u64(page, 24).unwrap_or(0));
        if !extent_fits(next, 1, page_count) {
            return Err(bad("successor outside the file"));
        }
        let entries = (taken..count)
            .map(|i| FreeEntry::decode(&page[ENTRIES + i * ENTRY_SIZE..], page_count))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| bad("entry outside the file"))?;
        Ok(LogPage { birth: TxnId(get_u64(page, 8).unwrap_or(0)), next, entries })
    }
}
