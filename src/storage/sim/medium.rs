//! What may stand on the medium of a simulated disk: the durable pages, and everything written
//! since that a power cut may keep or lose.
//!
//! Invariants
//! - `durable` is what the medium holds for certain; `unsynced` lists, for each page written since
//!   its last successful sync, every content it had in between, oldest first. Write-back may have
//!   happened at any time, so after a cut each 512-byte sector of the page holds the durable
//!   content or any of the listed ones, independently of its neighbours.
//! - `lengths[0]` is the durable length of the file, the others the lengths it was given since, in
//!   order. The file system keeps its own order: after a cut the file has one of these lengths and
//!   everything that came before it. What a cut-off page held never comes back behind the cut.
//! - Sectors of a page that was never written are zero.
//!
//! Thread rules: plain data.

use super::rng::Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The page of the page cache, whatever the page size of the database.
pub const PAGE: usize = 4096;
/// What the device writes whole or not at all.
pub const SECTOR: usize = 512;
/// Sectors in a page.
pub const SECTORS: usize = PAGE / SECTOR;

/// Bytes of one page.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Block(pub(super) [u8; PAGE]);

/// A content of a page. Never changed once shared.
pub(super) type Page = Arc<Block>;

/// The page that nobody wrote.
pub(super) fn zero_page() -> Page {
    static ZERO: OnceLock<Page> = OnceLock::new();
    ZERO.get_or_init(|| Arc::new(Block([0; PAGE]))).clone()
}

/// One content that a page had.
#[derive(Clone)]
pub(super) struct Version {
    /// Index of the length that the file had then.
    epoch: usize,
    /// Of the medium, when the page was given this content.
    version: u64,
    pub(super) page: Page,
}

/// See the head of the file.
#[derive(Clone)]
pub(super) struct Medium {
    durable: Arc<Vec<Page>>,
    unsynced: BTreeMap<u64, Vec<Version>>,
    lengths: Vec<u64>,
    /// Pages of the latest write: first, and one past the last.
    pub(super) last_write: (u64, u64),
    /// Rises with every change.
    pub(super) version: u64,
}

/// Pages that a file of `len` bytes has.
pub(super) fn pages_in(len: u64) -> u64 {
    len.div_ceil(PAGE as u64)
}

impl Medium {
    /// A medium that holds `image` and nothing unsynced.
    pub(super) fn from_pages(pages: Vec<Page>, len: u64) -> Medium {
        Medium {
            durable: Arc::new(pages),
            unsynced: BTreeMap::new(),
            lengths: vec![len],
            last_write: (0, 0),
            version: 0,
        }
    }

    /// Length of the file as processes see it.
    pub(super) fn len(&self) -> u64 {
        self.lengths[self.lengths.len() - 1]
    }

    /// Lengths that a cut may leave, the durable one first.
    pub(super) fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    /// What the medium holds for certain.
    pub(super) fn durable(&self, page: u64) -> Page {
        self.durable.get(page as usize).cloned().unwrap_or_else(zero_page)
    }

    /// Whether a sync would write the page.
    pub(super) fn is_dirty(&self, page: u64) -> bool {
        self.unsynced.contains_key(&page)
    }

    /// Pages from `first` up to `last` that a sync would write.
    pub(super) fn dirty_in(&self, first: u64, last: u64) -> Vec<u64> {
        if first >= last {
            return Vec::new();
        }
        self.unsynced.range(first..last).map(|(&page, _)| page).collect()
    }

    /// Number of pages that a sync of everything would write.
    pub(super) fn dirty_count(&self) -> usize {
        self.unsynced.len()
    }

    /// The page has been given this content. Writing the bytes it shows already makes it dirty too.
    pub(super) fn put(&mut self, number: u64, page: Page) {
        let epoch = self.lengths.len() - 1;
        let versions = self.unsynced.entry(number).or_default();
        match versions.last() {
            Some(last) if last.epoch == epoch && last.page == page => {}
            _ => {
                self.version += 1;
                versions.push(Version { epoch, version: self.version, page });
            }
        }
    }

    /// The file has been given this length.
    pub(super) fn resize(&mut self, len: u64) {
        if len == self.len() {
            return;
        }
        self.lengths.push(len);
        self.version += 1;
    }

    /// Whether the file was made shorter since the length became durable.
    pub(super) fn was_cut(&self) -> bool {
        self.lengths.windows(2).any(|pair| pair[1] < pair[0])
    }

    /// The length becomes durable; what was cut off on the way is gone for certain.
    pub(super) fn settle_length(&mut self) {
        let last = self.lengths.len() - 1;
        if last == 0 {
            return;
        }
        self.version += 1;
        let len = self.lengths[last];
        let durable = Arc::make_mut(&mut self.durable);
        for page in 0..durable.len() as u64 {
            if cut_before(&self.lengths, page, last).is_some() {
                durable[page as usize] = zero_page();
            }
        }
        durable.truncate(pages_in(len) as usize);
        let lengths = &self.lengths;
        self.unsynced.retain(|&page, versions| {
            let since = cut_before(lengths, page, last).unwrap_or(0);
            versions.retain(|version| version.epoch >= since);
            versions.iter_mut().for_each(|version| version.epoch = 0);
            !versions.is_empty()
        });
        self.lengths = vec![len];
    }

    /// The page is clean from now on, and the medium holds `content`.
    pub(super) fn settle(&mut self, number: u64, content: Page) {
        self.version += 1;
        self.unsynced.remove(&number);
        let durable = Arc::make_mut(&mut self.durable);
        if durable.len() <= number as usize {
            durable.resize_with(number as usize + 1, zero_page);
        }
        durable[number as usize] = content;
    }

    /// The newest content of a page that is dirty.
    pub(super) fn newest(&self, number: u64) -> Option<Page> {
        self.unsynced.get(&number)?.last().map(|version| version.page.clone())
    }

    /// Every dirty page with its newest content.
    pub(super) fn newest_unsynced(&self) -> impl Iterator<Item = (u64, &Page)> {
        self.unsynced
            .iter()
            .filter_map(|(&number, versions)| Some((number, &versions.last()?.page)))
    }

    /// What a page may hold once length number `kept` is the one on the medium: the first is what
    /// it holds if nothing of it was written back, the last the newest.
    pub(super) fn choices(&self, number: u64, kept: usize) -> Vec<Page> {
        let since = cut_before(&self.lengths, number, kept);
        let until = cut_after(&self.lengths, number, kept);
        let mut all = vec![if since.is_some() { zero_page() } else { self.durable(number) }];
        if let Some(versions) = self.unsynced.get(&number) {
            all.extend(
                versions
                    .iter()
                    .filter(|v| v.epoch >= since.unwrap_or(0) && v.epoch < until)
                    .map(|v| v.page.clone()),
            );
        }
        all
    }

    /// How many of the contents that a page was given since it was durable it had already at a
    /// version of the medium, for a file that was never cut.
    pub(super) fn rank(&self, number: u64, version: u64) -> usize {
        let versions = self.unsynced.get(&number);
        versions.map_or(0, |all| all.iter().take_while(|one| one.version <= version).count())
    }

    /// Pages that may differ from the durable image after a cut.
    pub(super) fn unsynced_pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.unsynced.keys().copied()
    }
}

/// The latest of lengths 1 to `kept` that ended before the page began, if any did.
fn cut_before(lengths: &[u64], page: u64, kept: usize) -> Option<usize> {
    let start = page * PAGE as u64;
    (1..=kept).rev().find(|&at| lengths[at] <= start && lengths[at] < lengths[at - 1])
}

/// The first length after `kept` that cut the page off.
fn cut_after(lengths: &[u64], page: u64, kept: usize) -> usize {
    let start = page * PAGE as u64;
    (kept + 1..lengths.len())
        .find(|&at| lengths[at] <= start && lengths[at] < lengths[at - 1])
        .unwrap_or(usize::MAX)
}

/// A page whose every sector comes from one of `choices`.
pub(super) fn mix(choices: &[Page], rng: &mut Rng) -> Page {
    let mut page = choices[0].clone();
    let block = Arc::make_mut(&mut page);
    for sector in 0..SECTORS {
        let from = &choices[rng.index(choices.len())];
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        block.0[range.clone()].copy_from_slice(&from.0[range]);
    }
    page
}
