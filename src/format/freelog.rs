//! Free entries, free-log pages and the queues that hold them (docs/format.md).
//!
//! A free-log page is written once, by the transaction that reserves its successor, and never
//! changed.

use super::fields::{self, free as f, header, log};
use super::page::KIND_FREE_LOG;
use crate::error::{Error, Result};
use crate::types::{PageId, TxnId};

/// Bytes of a free entry.
pub const ENTRY_SIZE: usize = fields::FREE_SIZE;
/// First byte of the entries in a log page.
pub const ENTRIES: usize = log::ENTRIES.at;
/// Most pages one entry or ready extent can hold.
pub const MAX_RUN: u64 = u16::MAX as u64;
/// Pages that a map has a bit for.
pub const GROUP: u64 = u64::BITS as u64;

/// Free pages that no ready extent holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FreeEntry {
    /// Pages side by side that wait until nobody sees them.
    Extent(FreeExtent),
    /// Scattered pages that nobody sees any more.
    Map(FreeMap),
}

/// Pages side by side that were freed together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreeExtent {
    /// First page.
    pub start: PageId,
    /// Pages, 1 ..= [`MAX_RUN`].
    pub len: u64,
    /// Oldest snapshot that may see them.
    pub birth: TxnId,
    /// First snapshot that does not see them any more.
    pub death: TxnId,
}

/// A bit for each of the [`GROUP`] pages of a group; or groups side by side of which all pages are
/// free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreeMap {
    /// Number of the group, or of the first one.
    pub first: u64,
    /// Groups, 1 ..= [`MAX_RUN`]; several only if all bits are set.
    pub groups: u64,
    /// Bit i: page i of the group is free.
    pub bits: u64,
}

impl FreeMap {
    /// First page that it has a bit for.
    fn start(&self) -> u64 {
        self.first * GROUP
    }

    /// Number of free pages.
    fn pages(&self) -> u64 {
        self.groups * u64::from(self.bits.count_ones())
    }

    /// Its pages as extents: first page and length.
    pub fn extents(&self) -> impl Iterator<Item = (PageId, u64)> + use<> {
        let whole = self.bits == u64::MAX;
        let (start, pages) = (self.start(), self.pages());
        let scattered = runs(if whole { 0 } else { self.bits });
        let scattered = scattered.map(move |(at, len)| (PageId(start + u64::from(at)), len.into()));
        whole.then_some((PageId(start), pages)).into_iter().chain(scattered)
    }

    fn fits(&self, page_count: u64) -> bool {
        let whole = self.groups == 1 || self.groups > 1 && self.bits == u64::MAX;
        if self.bits == 0 || !whole {
            return false;
        }
        let end = self.start() + self.groups * GROUP - u64::from(self.bits.leading_zeros());
        self.start() + u64::from(self.bits.trailing_zeros()) >= 2 && end <= page_count
    }
}

impl FreeEntry {
    /// Number of pages.
    pub fn pages(&self) -> u64 {
        match self {
            FreeEntry::Extent(extent) => extent.len,
            FreeEntry::Map(map) => map.pages(),
        }
    }

    /// Its pages as extents: first page and length.
    pub fn extents(&self) -> impl Iterator<Item = (PageId, u64)> + use<> {
        let (extent, map) = match self {
            FreeEntry::Extent(extent) => (Some((extent.start, extent.len)), None),
            FreeEntry::Map(map) => (None, Some(map.extents())),
        };
        extent.into_iter().chain(map.into_iter().flatten())
    }

    /// How many extents it has.
    pub fn extent_count(&self) -> usize {
        match self {
            FreeEntry::Extent(_) => 1,
            FreeEntry::Map(map) => (map.bits & !(map.bits << 1)).count_ones() as usize,
        }
    }

    /// Encodes into the first [`ENTRY_SIZE`] bytes of `out`.
    pub fn encode(&self, out: &mut [u8]) {
        let (start, len, birth, death) = match *self {
            FreeEntry::Extent(e) => (e.start.0, e.len, e.birth.0, e.death.0),
            FreeEntry::Map(m) => (m.start(), m.groups, m.bits, 0),
        };
        debug_assert!((1..=MAX_RUN).contains(&len));
        f::START.put(out, 0, start);
        f::LENGTH.put(out, 0, len);
        f::BIRTH.put(out, 0, birth);
        f::DEATH.put(out, 0, death);
    }

    /// Decodes; None if it is not an entry of a file with `page_count` pages, a map in the pool and
    /// none elsewhere.
    pub fn decode(b: &[u8], page_count: u64, pool: bool) -> Option<FreeEntry> {
        let (start, len) = (f::START.get(b, 0)?, f::LENGTH.get(b, 0)?);
        let (birth, death) = (f::BIRTH.get(b, 0)?, f::DEATH.get(b, 0)?);
        if pool {
            let map = FreeMap { first: start / GROUP, groups: len, bits: birth };
            let good = start.is_multiple_of(GROUP) && death == 0 && map.fits(page_count);
            return good.then_some(FreeEntry::Map(map));
        }
        let (birth, death) = (TxnId(birth), TxnId(death));
        let extent = FreeExtent { start: PageId(start), len, birth, death };
        let good = extent_fits(extent.start, len, page_count) && birth < death;
        good.then_some(FreeEntry::Extent(extent))
    }
}

/// The runs of ones in a word, the lowest first: place and length.
fn runs(mut bits: u64) -> impl Iterator<Item = (u32, u32)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let gap = bits.trailing_zeros();
        let len = (bits >> gap).trailing_ones();
        let run = (at + gap, len);
        at += gap + len;
        bits = bits.checked_shr(gap + len).unwrap_or(0);
        Some(run)
    })
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
    header::KIND.put(page, 0, KIND_FREE_LOG.into());
    header::COUNT.put(page, 0, entries.len() as u64);
    header::BIRTH.put(page, 0, birth.0);
    log::NEXT.put(page, 0, next.0);
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
    /// Reads page `id` of a queue, which may be the pool, checksum included. The first `taken`
    /// entries are history: they may name pages that the file has lost since.
    pub fn read(
        id: PageId,
        page: &[u8],
        page_count: u64,
        taken: usize,
        pool: bool,
    ) -> Result<LogPage> {
        let bad = |what: &str| Error::corrupt(id, format!("free-log page: {what}"));
        super::page::verify(id, page)?;
        let count = header::COUNT.of(page) as usize;
        let counts = 1..=capacity(page.len());
        if header::KIND.of(page) != u64::from(KIND_FREE_LOG)
            || !counts.contains(&count)
            || taken > count
        {
            return Err(bad("wrong kind or number of entries"));
        }
        let next = PageId(log::NEXT.of(page));
        if !extent_fits(next, 1, page_count) {
            return Err(bad("successor outside the file"));
        }
        let entries = (taken..count)
            .map(|i| FreeEntry::decode(&page[ENTRIES + i * ENTRY_SIZE..], page_count, pool))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| bad("entry outside the file"))?;
        Ok(LogPage { birth: super::page::birth(page), next, entries })
    }
}
