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

/// Free pages that no ready extent holds: pages side by side that wait until nobody sees them, or a
/// *map* of scattered ones that nobody sees any more.
///
/// A map has `death` 0. Its `birth` is a bit for each of the [`GROUP`] pages from `start`, a
/// multiple of as many; `len` counts groups, and is 1 unless all of their pages are free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreeEntry {
    /// First page.
    pub start: PageId,
    /// Pages or groups, 1 ..= [`MAX_RUN`].
    pub len: u64,
    /// Oldest snapshot that may see them.
    pub birth: TxnId,
    /// First snapshot that does not see them any more.
    pub death: TxnId,
}

impl FreeEntry {
    /// The map of `groups` groups from number `first`.
    pub fn map(first: u64, groups: u64, bits: u64) -> FreeEntry {
        let start = PageId(first * GROUP);
        FreeEntry { start, len: groups, birth: TxnId(bits), death: TxnId::NONE }
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> bool {
        self.death == TxnId::NONE
    }

    /// The bits of a map.
    fn bits(&self) -> u64 {
        self.birth.0
    }

    /// First group, groups and bits, of a map.
    pub fn as_map(&self) -> Option<(u64, u64, u64)> {
        self.is_map().then(|| (self.start.0 / GROUP, self.len, self.bits()))
    }

    /// Number of pages.
    pub fn pages(&self) -> u64 {
        match self.is_map() {
            true => self.len * u64::from(self.bits().count_ones()),
            false => self.len,
        }
    }

    /// Its pages as extents: first page and length.
    pub fn extents(&self) -> impl Iterator<Item = (PageId, u64)> + use<> {
        let whole = !self.is_map() || self.bits() == u64::MAX;
        let (start, pages) = (self.start, self.pages());
        let scattered = runs(if whole { 0 } else { self.bits() });
        let scattered =
            scattered.map(move |(at, len)| (PageId(start.0 + u64::from(at)), len.into()));
        whole.then_some((start, pages)).into_iter().chain(scattered)
    }

    /// How many extents it has.
    pub fn extent_count(&self) -> usize {
        if !self.is_map() {
            return 1;
        }
        (self.bits() & !(self.bits() << 1)).count_ones() as usize
    }

    /// Encodes into the first [`ENTRY_SIZE`] bytes of `out`.
    pub fn encode(&self, out: &mut [u8]) {
        debug_assert!(self.len >= 1 && self.len <= MAX_RUN);
        f::START.put(out, 0, self.start.0);
        f::LENGTH.put(out, 0, self.len);
        f::BIRTH.put(out, 0, self.birth.0);
        f::DEATH.put(out, 0, self.death.0);
    }

    /// Decodes; None if it is not an entry of a file with `page_count` pages, a map in the pool and
    /// none elsewhere.
    pub fn decode(b: &[u8], page_count: u64, pool: bool) -> Option<FreeEntry> {
        let e = FreeEntry {
            start: PageId(f::START.get(b, 0)?),
            len: f::LENGTH.get(b, 0)?,
            birth: TxnId(f::BIRTH.get(b, 0)?),
            death: TxnId(f::DEATH.get(b, 0)?),
        };
        let good = match e.is_map() {
            is_map if is_map != pool => false,
            true => e.map_fits(page_count),
            false => extent_fits(e.start, e.len, page_count) && e.birth < e.death,
        };
        good.then_some(e)
    }

    fn map_fits(&self, page_count: u64) -> bool {
        let bits = self.bits();
        let groups = self.len == 1 || self.len > 1 && bits == u64::MAX;
        if bits == 0 || !groups || !self.start.0.is_multiple_of(GROUP) {
            return false;
        }
        let end = self.start.0 + self.len * GROUP - u64::from(bits.leading_zeros());
        self.start.0 + u64::from(bits.trailing_zeros()) >= 2 && end <= page_count
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
