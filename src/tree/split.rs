//! Which entries go to which page: one page if they fit, else two, else as many as it takes.
//!
//! In a leaf every entry stays. In a branch the entry between two pages goes up: its key becomes
//! the separator, its child the leftmost child of the right page.

use crate::format::node::build::{Item, Plan};
use crate::format::node::start_of;
use crate::format::order::KeyOrder;

/// A page's share of a list of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub start: usize,
    pub end: usize,
    pub prefix_len: usize,
}

/// Where a page is cut that must be cut in two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cut {
    /// Near the middle, counted in bytes, where the separator is short.
    Middle,
    /// As much as possible stays left: ascending keys fill their pages.
    Right,
    /// As much as possible stays right: descending keys fill theirs.
    Left,
}

/// Bytes of entries that a page can hold.
pub(super) fn capacity(level: u8, page_size: usize) -> usize {
    page_size - start_of(level)
}

/// Whether a page in use to this degree should be joined with a neighbour: below a quarter.
pub(super) fn is_underfull(level: u8, page_size: usize, used: usize) -> bool {
    used.saturating_sub(start_of(level)) < capacity(level, page_size) / 4
}

/// The key that stands before entry `start` in the branch above. None if the keys are out of order.
pub(super) fn separator_before(
    level: u8,
    items: &[Item<'_>],
    start: usize,
    order: KeyOrder,
) -> Option<Vec<u8>> {
    if level > 0 {
        return Some(items[start - 1].key.to_vec());
    }
    order.separator(&items[start - 1].key, &items[start].key)
}

struct Splitter<'a> {
    level: u8,
    page_size: usize,
    order: KeyOrder,
    items: &'a [Item<'a>],
    /// Entries between two pages: 1 in a branch.
    between: usize,
}

/// Divides entries among pages. A single page is filled up to `limit` bytes if there is a choice.
/// At least one entry is given; none is larger than a page.
pub(super) fn divide(
    level: u8,
    page_size: usize,
    order: KeyOrder,
    items: &[Item<'_>],
    cut: Cut,
    limit: usize,
) -> Vec<Part> {
    let s = Splitter { level, page_size, order, items, between: usize::from(level > 0) };
    let n = items.len();
    let plan = Plan::of(level, items, order);
    let can_cut = n >= 2 + s.between;
    if plan.used <= limit || !can_cut && plan.used <= page_size {
        return vec![Part { start: 0, end: n, prefix_len: plan.prefix_len }];
    }
    if let Some(end) = s.two(cut) {
        return vec![s.part(0, end), s.part(end + s.between, n)];
    }
    s.many()
}

impl Splitter<'_> {
    fn part(&self, start: usize, end: usize) -> Part {
        let plan = Plan::of(self.level, &self.items[start..end], self.order);
        Part { start, end, prefix_len: plan.prefix_len }
    }

    fn fits(&self, start: usize, end: usize) -> bool {
        Plan::of(self.level, &self.items[start..end], self.order).used <= self.page_size
    }

    /// The largest number for which `ok` holds, from `low` (where it is taken for granted) to
    /// `high`.
    fn last_where(mut low: usize, mut high: usize, ok: impl Fn(usize) -> bool) -> usize {
        while low < high {
            let middle = high - (high - low) / 2;
            if ok(middle) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// The end of the left page, if two pages are enough. A subset of what fits fits too (see
    /// `build`), so the ends that suit the left page and those that suit the right page are
    /// intervals.
    fn two(&self, cut: Cut) -> Option<usize> {
        let n = self.items.len();
        let last = n.checked_sub(1 + self.between)?;
        if last == 0 {
            return None;
        }
        // What is nearly always right, before all that could be.
        let guess = match cut {
            Cut::Right => last,
            Cut::Left => 1,
            Cut::Middle => self.middle(1, last),
        };
        if self.fits(0, guess) && self.fits(guess + self.between, n) {
            return Some(guess);
        }
        let high = Self::last_where(1, last, |end| self.fits(0, end));
        // Counted from the right: how many entries the right page can take.
        let right = Self::last_where(1, n - 1 - self.between, |k| self.fits(n - k, n));
        let low = n - right - self.between;
        if low > high {
            return None;
        }
        match cut {
            Cut::Right => Some(high),
            Cut::Left => Some(low),
            Cut::Middle => Some(self.middle(low, high)),
        }
    }

    /// The end between `low` and `high` that divides the bytes best; near it, within a sixteenth
    /// of the bytes, the one that gives the shortest separator.
    fn middle(&self, low: usize, high: usize) -> usize {
        let n = self.items.len();
        let common = match self.order.is_packed() {
            true => self.items[0].key.common_prefix(&self.items[n - 1].key),
            false => 0,
        };
        let size = |item: &Item<'_>| item.size(self.level, common, self.order);
        let total: usize = self.items.iter().map(size).sum();
        let (mut best, mut best_len) = (None, usize::MAX);
        let (mut nearest, mut nearest_off) = (low, usize::MAX);
        let mut left = 0;
        for end in 1..=high {
            left += size(&self.items[end - 1]);
            let between = if self.between > 0 { size(&self.items[end]) } else { 0 };
            let off = (2 * left + between).abs_diff(total);
            if end < low {
                continue;
            }
            if off < nearest_off {
                (nearest, nearest_off) = (end, off);
            }
            if off <= total / 8 {
                let len = if self.level > 0 || !self.order.is_packed() {
                    self.items[end].key.len()
                } else {
                    self.items[end - 1].key.common_prefix(&self.items[end].key)
                };
                if len < best_len || len == best_len && off == nearest_off {
                    (best, best_len) = (Some(end), len);
                }
            }
        }
        best.unwrap_or(nearest)
    }

    /// As few pages as possible, filled from the left.
    fn many(&self) -> Vec<Part> {
        let n = self.items.len();
        let mut parts = Vec::new();
        let mut start = 0;
        while start < n {
            let mut end = Self::last_where(start + 1, n, |end| self.fits(start, end));
            // A branch page needs an entry of its own behind the one that goes up.
            if end < n && end + self.between >= n {
                end = n - self.between - 1;
            }
            parts.push(self.part(start, end));
            start = end + if end < n { self.between } else { 0 };
        }
        parts
    }
}
