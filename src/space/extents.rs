//! A set of free pages as extents, neighbours joined, searchable by place and by length.

use crate::types::PageId;
use std::collections::{BTreeMap, BTreeSet};

/// Free extents. Adding pages that are in already is refused: a page freed twice is damage.
#[derive(Clone, Debug, Default)]
pub struct Extents {
    by_start: BTreeMap<u64, u64>,
    by_len: BTreeSet<(u64, u64)>,
    pages: u64,
}

impl Extents {
    /// Number of extents.
    pub fn count(&self) -> usize {
        self.by_start.len()
    }

    /// Number of pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Adds pages; false, and nothing changed, if one of them is in already.
    #[must_use]
    pub fn add(&mut self, start: PageId, len: u64) -> bool {
        let (mut from, mut to) = (start.0, start.0 + len);
        let before = self.by_start.range(..=from).next_back().map(|(&s, &l)| (s, l));
        let after = self.by_start.range(from..).next().map(|(&s, &l)| (s, l));
        if before.is_some_and(|(s, l)| s + l > from) || after.is_some_and(|(s, _)| s < to) {
            return false;
        }
        if let Some((s, l)) = before.filter(|&(s, l)| s + l == from) {
            self.remove(s, l);
            from = s;
        }
        if let Some((s, l)) = after.filter(|&(s, _)| s == to) {
            self.remove(s, l);
            to = s + l;
        }
        self.insert(from, to - from);
        true
    }

    /// Takes the first `len` pages of the smallest extent that has that many, the first such in the
    /// file.
    pub fn take_best(&mut self, len: u64) -> Option<PageId> {
        let &(l, s) = self.by_len.range((len, 0)..).next()?;
        self.remove(s, l);
        if l > len {
            self.insert(s + len, l - len);
        }
        Some(PageId(s))
    }

    /// Pages of the longest extent.
    pub fn longest(&self) -> u64 {
        self.by_len.last().map_or(0, |&(l, _)| l)
    }

    /// Pages of the shortest extent.
    pub fn shortest(&self) -> u64 {
        self.by_len.first().map_or(0, |&(l, _)| l)
    }

    /// Takes up to `n` extents from the end of the file, but none of the `longest` longest.
    pub fn take_last_but(&mut self, longest: usize, n: usize) -> Vec<(PageId, u64)> {
        let Some(&(bound, _)) = self.by_len.iter().rev().nth(longest) else { return Vec::new() };
        let last = self.by_start.iter().rev().filter(|&(_, &l)| l <= bound).take(n);
        let last: Vec<_> = last.map(|(&s, &l)| (PageId(s), l)).collect();
        for &(s, l) in &last {
            self.remove(s.0, l);
        }
        last
    }

    /// Takes the first extent in the file that has at least `of` pages, if it is one of the first
    /// few; else the longest.
    pub fn take_low(&mut self, of: u64) -> Option<(PageId, u64)> {
        const LOOKED_AT: usize = 64;
        let &(longest, at) = self.by_len.last()?;
        // Where none is so long, as among what small commits have freed, nothing is looked at.
        let mut first_few = self.by_start.iter().take(if longest < of { 0 } else { LOOKED_AT });
        let long = first_few.find(|(_, l)| **l >= of);
        let (s, l) = long.map_or((at, longest), |(&s, &l)| (s, l));
        self.remove(s, l);
        Some((PageId(s), l))
    }

    /// The extent that ends where the file's pages end, taken.
    pub fn take_ending_at(&mut self, end: u64) -> Option<(PageId, u64)> {
        let (&s, &l) = self.by_start.last_key_value().filter(|&(&s, &l)| s + l == end)?;
        self.remove(s, l);
        Some((PageId(s), l))
    }

    /// The shortest extent, taken.
    pub fn take_shortest(&mut self) -> Option<(PageId, u64)> {
        let &(l, s) = self.by_len.first()?;
        self.remove(s, l);
        Some((PageId(s), l))
    }

    /// All extents in the order of their place.
    pub fn iter(&self) -> impl Iterator<Item = (PageId, u64)> + '_ {
        self.by_start.iter().map(|(&s, &l)| (PageId(s), l))
    }

    fn insert(&mut self, start: u64, len: u64) {
        self.by_start.insert(start, len);
        self.by_len.insert((len, start));
        self.pages += len;
    }

    fn remove(&mut self, start: u64, len: u64) {
        self.by_start.remove(&start);
        self.by_len.remove(&(len, start));
        self.pages -= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_set_of_pages() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut real = Extents::default();
        let mut model = BTreeSet::new();
        for _ in 0..20_000 {
            match rng.u8(..7) {
                0..=2 => {
                    let (s, l) = (rng.u64(2..400), rng.u64(1..6));
                    let free = (s..s + l).all(|p| !model.contains(&p));
                    assert_eq!(real.add(PageId(s), l), free);
                    if free {
                        model.extend(s..s + l);
                    }
                }
                3 => {
                    let len = rng.u64(1..5);
                    if let Some(PageId(s)) = real.take_best(len) {
                        assert!((s..s + len).all(|p| model.remove(&p)));
                    }
                }
                4 => {
                    let of = rng.u64(1..9);
                    let first = real.iter().take(64).find(|&(_, l)| l >= of);
                    let longest = real.iter().map(|(_, l)| l).max();
                    if let Some((PageId(s), l)) = real.take_low(of) {
                        assert!((s..s + l).all(|p| model.remove(&p)));
                        assert!(!model.contains(&(s - 1)) && !model.contains(&(s + l)));
                        assert!(first.map_or(Some(l) == longest, |f| f == (PageId(s), l)));
                    }
                }
                5 => {
                    let (longest, n) = (rng.usize(..20), rng.usize(..8));
                    let mut lens: Vec<u64> = real.iter().map(|(_, l)| l).collect();
                    lens.sort_unstable_by_key(|&l| std::cmp::Reverse(l));
                    let taken = real.take_last_but(longest, n);
                    assert_eq!(
                        taken.len(),
                        n.min(lens.len().saturating_sub(longest)).max(taken.len())
                    );
                    assert!(taken.len() <= n && taken.iter().all(|&(_, l)| l <= lens[longest]));
                    for (PageId(s), l) in taken {
                        assert!((s..s + l).all(|p| model.remove(&p)));
                    }
                }
                _ => {
                    let end = model.last().map_or(0, |p| p + 1);
                    let (PageId(s), l) = match real.take_ending_at(end) {
                        Some(x) => x,
                        None => continue,
                    };
                    assert!((s..s + l).all(|p| model.remove(&p)));
                    assert!(!model.contains(&(s.wrapping_sub(1))));
                }
            }
            assert_eq!(real.pages(), model.len() as u64);
            let flat: Vec<u64> = real.iter().flat_map(|(s, l)| s.0..s.0 + l).collect();
            assert!(flat.iter().eq(model.iter()));
            let mut last_end = 0;
            for (s, l) in real.iter() {
                assert!(s.0 > last_end, "neighbours are joined");
                last_end = s.0 + l;
            }
        }
    }
}
