//! What write-back may leave of a lock file, which nobody ever syncs: each of its pages as it was at any moment since the file was
//! made, whatever the others are like.
//!
//! Thread rules: plain data.

use super::cache::Region;
use super::medium::{Block, PAGE, Page, SECTOR};
use super::rng::Rng;
use std::sync::Arc;

/// Contents that are kept of each page; the oldest go.
const KEPT: usize = 24;

/// What the pages of a lock file have held: event and content, oldest first.
#[derive(Clone, Default)]
struct Versions(Vec<(u64, Page)>);

/// See the head of the file.
#[derive(Clone)]
pub(super) struct History {
    every: u64,
    pages: Vec<Versions>,
}

/// A lock file at one moment, with what its pages may be on the medium.
pub(super) struct LockFile {
    newest: Vec<u8>,
    pages: Vec<Versions>,
}

impl History {
    pub(super) fn new(every: u64) -> History {
        History { every, pages: Vec::new() }
    }

    /// The file is another one from now on.
    pub(super) fn forget(&mut self) {
        self.pages.clear();
    }

    /// Keeps what has changed since, at every so-manieth event.
    pub(super) fn note(&mut self, event: u64, file: &Region) {
        if !event.is_multiple_of(self.every) {
            return;
        }
        self.pages.resize_with(file.pages(), Versions::default);
        for (number, versions) in self.pages.iter_mut().enumerate() {
            let last = versions.0.last().map(|(_, page)| &**page);
            if file.differs(number, last) {
                let mut block = Block([0; PAGE]);
                file.copy_page(number, &mut block.0);
                versions.0.push((event, Arc::new(block)));
                if versions.0.len() > KEPT {
                    versions.0.remove(0);
                }
            }
        }
    }
}

impl LockFile {
    pub(super) fn new(file: &Region, history: Option<&History>) -> LockFile {
        let pages = history.map_or_else(Vec::new, |history| history.pages.clone());
        LockFile { newest: file.bytes(), pages }
    }

    /// After a power cut: nothing, all of it, some sectors, or pages of several ages.
    pub(super) fn after_cut(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        match rng.below(4) {
            0 => None,
            1 => Some(self.newest.clone()),
            2 => Some(self.after_remount(rng)),
            _ => {
                let mut left = self.newest.clone();
                for sector in left.chunks_mut(SECTOR) {
                    if rng.chance(1, 2) {
                        sector.fill(0);
                    }
                }
                Some(left)
            }
        }
    }

    /// After the device has gone away and come back: as it was; as it was earlier; or some pages as they were and some as they
    /// were earlier.
    pub(super) fn after_remount(&self, rng: &mut Rng) -> Vec<u8> {
        let changed: Vec<usize> =
            (0..self.pages.len()).filter(|&n| self.pages[n].0.len() > 1).collect();
        let events: Vec<u64> =
            changed.iter().flat_map(|&n| self.pages[n].0.iter().map(|(at, _)| *at)).collect();
        let mut left = self.newest.clone();
        let kind = rng.below(6);
        if changed.is_empty() || kind < 2 {
            return left;
        }
        let then = events[rng.index(events.len())];
        let one = changed[rng.index(changed.len())];
        for &number in &changed {
            let Versions(all) = &self.pages[number];
            let earlier = all.iter().rev().find(|(at, _)| *at <= then).unwrap_or(&all[0]);
            let page = match kind {
                2 => Some(earlier),
                3 => Some(&all[rng.index(all.len())]),
                4 => (number == one).then_some(&all[rng.index(all.len() - 1)]),
                _ => (number != one).then_some(earlier),
            };
            if let Some((_, page)) = page {
                left[number * PAGE..][..PAGE].copy_from_slice(&page.0);
            }
        }
        left
    }
}
