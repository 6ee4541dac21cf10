//! What write-back may leave of a lock file, which nobody ever syncs: each of its pages as it was
//! at any moment since the file was made, whatever the others are like.
//!
//! Thread rules: plain data.

use super::cache::Region;
use super::medium::{Block, PAGE, Page, SECTOR, zero_page};
use super::rng::Rng;
use std::sync::Arc;

/// Contents that are kept of each page; the oldest go.
const KEPT: usize = 96;
/// Of these: those that [`LockFile::after_remount`] knows.
const RECENT: usize = 24;
/// Events after which pages are looked at that have not changed before.
const LOOK: u64 = 32;
/// Moments that are kept; the oldest go.
const MOMENTS: usize = 256;

/// What the pages of a lock file have held: event and content, oldest first.
#[derive(Clone, Default)]
struct Versions(Vec<(u64, Page)>);

/// An event, and the version of the medium then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    event: u64,
    pub(super) medium: u64,
}

/// See the head of the file.
#[derive(Clone)]
pub(super) struct History {
    every: u64,
    pages: Vec<Versions>,
    moments: Vec<Moment>,
}

/// A lock file at one moment, with what its pages may be on the medium.
pub(super) struct LockFile {
    newest: Vec<Page>,
    pages: Vec<Versions>,
    moments: Vec<Moment>,
}

impl Versions {
    /// The content at an event; zeros before the first.
    fn at(&self, event: u64) -> Page {
        let known = self.0.iter().rev().find(|(at, _)| *at <= event);
        known.map_or_else(zero_page, |(_, page)| page.clone())
    }

    fn recent(&self) -> &[(u64, Page)] {
        &self.0[self.0.len().saturating_sub(RECENT)..]
    }
}

impl History {
    pub(super) fn new(every: u64) -> History {
        History { every, pages: Vec::new(), moments: Vec::new() }
    }

    /// The file is another one from now on.
    pub(super) fn forget(&mut self) {
        self.pages.clear();
        self.moments.clear();
    }

    /// Keeps what has changed since, at every so-manieth event.
    pub(super) fn note(&mut self, event: u64, medium: u64, file: &Region) {
        if !event.is_multiple_of(self.every) {
            return;
        }
        self.pages.resize_with(file.pages(), Versions::default);
        // What is written changes by and by, from its beginning: most pages never change, nor does
        // what is behind them.
        let mut last_changed = true;
        for (number, versions) in self.pages.iter_mut().enumerate() {
            if last_changed || !versions.0.is_empty() || event.is_multiple_of(LOOK) {
                let last = versions.0.last().map(|(_, page)| &**page);
                if file.differs(number, last) {
                    versions.0.push((event, page_of(file, number)));
                    if versions.0.len() > KEPT {
                        versions.0.remove(0);
                    }
                }
            }
            last_changed = !versions.0.is_empty();
        }
        self.moments.push(Moment { event, medium });
        if self.moments.len() > MOMENTS {
            self.moments.remove(0);
        }
    }
}

fn page_of(file: &Region, number: usize) -> Page {
    let mut block = Block([0; PAGE]);
    file.copy_page(number, &mut block.0);
    Arc::new(block)
}

impl LockFile {
    pub(super) fn new(file: &Region, history: Option<&History>) -> LockFile {
        let pages = history.map_or_else(Vec::new, |history| history.pages.clone());
        let moments = history.map_or_else(Vec::new, |history| history.moments.clone());
        let newest = (0..file.pages()).map(|number| match file.differs(number, None) {
            true => page_of(file, number),
            false => zero_page(),
        });
        LockFile { newest: newest.collect(), pages, moments }
    }

    /// As it was.
    pub(super) fn newest(&self) -> Vec<Page> {
        self.newest.clone()
    }

    /// After a power cut: nothing, all of it, some sectors, or pages of several ages.
    pub(super) fn after_cut(&self, rng: &mut Rng) -> Option<Vec<Page>> {
        match rng.below(4) {
            0 => None,
            1 => Some(self.newest()),
            2 => Some(self.after_remount(rng)),
            _ => {
                let mut left = self.newest();
                for page in &mut left {
                    for at in (0..PAGE).step_by(SECTOR) {
                        if rng.chance(1, 2) && **page != *zero_page() {
                            Arc::make_mut(page).0[at..at + SECTOR].fill(0);
                        }
                    }
                }
                Some(left)
            }
        }
    }

    /// After the device has gone away and come back: as it was; as it was earlier; or some pages as
    /// they were and some as they were earlier.
    pub(super) fn after_remount(&self, rng: &mut Rng) -> Vec<Page> {
        let changed: Vec<usize> =
            (0..self.pages.len()).filter(|&n| self.pages[n].recent().len() > 1).collect();
        let recent = changed.iter().flat_map(|&n| self.pages[n].recent());
        let events: Vec<u64> = recent.map(|(at, _)| *at).collect();
        let mut left = self.newest();
        let kind = rng.below(6);
        if changed.is_empty() || kind < 2 {
            return left;
        }
        let then = events[rng.index(events.len())];
        let one = changed[rng.index(changed.len())];
        for &number in &changed {
            let all = self.pages[number].recent();
            let earlier = all.iter().rev().find(|(at, _)| *at <= then).unwrap_or(&all[0]);
            let page = match kind {
                2 => Some(earlier),
                3 => Some(&all[rng.index(all.len())]),
                4 => (number == one).then_some(&all[rng.index(all.len() - 1)]),
                _ => (number != one).then_some(earlier),
            };
            if let Some((_, page)) = page {
                left[number] = page.clone();
            }
        }
        left
    }

    /// A moment that was noted, the latest ones most of all; none if nothing was.
    pub(super) fn moment(&self, rng: &mut Rng) -> Option<Moment> {
        let count = self.moments.len() as u64;
        let back = match rng.below(3) {
            _ if count == 0 => return None,
            0 => rng.below(count.min(12)),
            1 => rng.below(count.min(60)),
            _ => rng.below(count),
        };
        Some(self.moments[(count - 1 - back) as usize])
    }

    /// The file of now, or all of it as it was then, or one sector or page of it as it was then, or
    /// all but one.
    pub(super) fn of_two_ages(&self, then: Moment, rng: &mut Rng) -> Vec<Page> {
        let mut left = self.newest();
        let older: Vec<(usize, Page)> = (0..self.pages.len())
            .filter(|number| !self.pages[*number].0.is_empty())
            .map(|number| (number, self.pages[number].at(then.event)))
            .filter(|(number, page)| **page != *self.newest[*number])
            .collect();
        // A sector is what the device writes whole, a page what the system does.
        let piece = if rng.chance(1, 2) { SECTOR } else { PAGE };
        let differs = |page: &Page, number: usize, at: usize| {
            page.0[at..at + piece] != self.newest[number].0[at..at + piece]
        };
        let pieces: Vec<(usize, usize)> = older
            .iter()
            .flat_map(|(number, page)| {
                let all = (0..PAGE).step_by(piece);
                all.filter(|&at| differs(page, *number, at)).map(|at| (*number, at))
            })
            .collect();
        let kind = rng.below(8);
        if pieces.is_empty() || kind == 0 {
            return left;
        }
        // Any page, and then a piece of it.
        let page = pieces[rng.index(pieces.len())].0;
        let page = if rng.chance(1, 2) { older[rng.index(older.len())].0 } else { page };
        let of_page: Vec<_> =
            pieces.iter().copied().filter(|(number, _)| *number == page).collect();
        let one = of_page[rng.index(of_page.len())];
        for (number, page) in &older {
            for at in (0..PAGE).step_by(piece) {
                let take = match kind {
                    1 | 2 => true,
                    3 => (*number, at) != one,
                    4 => rng.chance(1, 2),
                    _ => (*number, at) == one,
                };
                if take {
                    Arc::make_mut(&mut left[*number]).0[at..at + piece]
                        .copy_from_slice(&page.0[at..at + piece]);
                }
            }
        }
        left
    }
}
