//! The order in which free pages are used again.
//!
//! What a transaction frees lies all over the file, and pages that are written in pieces cost the
//! device one write each. So the pool holds free pages as maps of 64 pages, long runs first: those
//! are used now, and the small fragments have time to grow together with what is freed around them.
//! Log-structured file systems choose the segment to clean by the same reasoning (Rosenblum and
//! Ousterhout, "The Design and Implementation of a Log-Structured File System", 1991); here nothing
//! has to be moved for it. Where much is free beside long runs, which large values need, single
//! pages take the small fragments, and the pool is in the order of the file.

use crate::error::{Error, Result};
use crate::format::freelog::{FreeEntry, FreeMap, GROUP, MAX_RUN};
use crate::types::PageId;
use std::ops::Range;

/// A run of so many pages takes a small commit: a tree path, the page of the catalog, a log page.
pub const LONG: u64 = 8;
/// The pool begins with the runs of so many pages and more.
const CLASSES: [u64; 4] = [LONG, 4, 2, 1];

/// How free pages are sorted.
pub struct Order {
    /// The file ends here.
    pub page_count: u64,
    /// By their place alone, however long the runs are: small fragments are to be used up.
    pub by_place: bool,
    /// Some runs of at least so many pages are wanted at once.
    pub wanted: u64,
}

impl Order {
    /// For pages of which none is at the end of the file, and none is wanted at once.
    pub const ENDLESS: Order = Order { page_count: u64::MAX, by_place: false, wanted: u64::MAX };
}

/// Free pages in the order in which they should be used.
pub struct Sorted {
    /// Entries for the pool.
    pub entries: Vec<FreeEntry>,
    /// The first few runs that are long enough, which are not among the entries.
    pub runs: Vec<Range<u64>>,
    /// Where free pages at the end of the file begin, which are left out too; the end if there are
    /// none.
    pub end: u64,
}

/// Runs that are handed out at once.
const WANTED_MOST: usize = 64;

/// Sorts all pages of `entries`. Pages free twice are damage.
///
/// Cost: time n log n and memory for n entries.
pub fn sorted(entries: &[FreeEntry], order: &Order) -> Result<Sorted> {
    let mut parts = Vec::with_capacity(entries.len());
    for entry in entries {
        match *entry {
            FreeEntry::Map(map) => parts.push(map),
            FreeEntry::Extent(e) => split(e.start.0, e.start.0 + e.len, |map| parts.push(map)),
        }
    }
    let mut classes = [const { Vec::new() }; CLASSES.len()];
    let mut runs = Vec::new();
    let mut put = |run: Range<u64>| {
        if run.end - run.start >= order.wanted && runs.len() < WANTED_MOST {
            runs.push(run);
        } else {
            sort_in(run, order.by_place, &mut classes);
        }
    };
    let mut run = 0..0;
    for part in joined(parts)? {
        for (start, len) in part.extents() {
            if start.0 != run.end {
                put(std::mem::replace(&mut run, start.0..start.0));
            }
            run.end = start.0 + len;
        }
    }
    let end = if run.end == order.page_count { run.start } else { order.page_count };
    run.end = run.end.min(end);
    put(run);
    Ok(Sorted { entries: classes.concat(), runs, end })
}

/// Cuts pages `from..to` where groups begin.
fn split(mut from: u64, to: u64, mut part: impl FnMut(FreeMap)) {
    while from < to {
        let (first, at) = (from / GROUP, from % GROUP);
        let groups = if at == 0 { ((to - from) / GROUP).min(MAX_RUN) } else { 0 };
        let len = if groups > 0 { groups * GROUP } else { (GROUP - at).min(to - from) };
        let bits = u64::MAX >> GROUP.saturating_sub(len) << at;
        part(FreeMap { first, groups: groups.max(1), bits });
        from += len;
    }
}

/// One part for each group, in the order of their place.
fn joined(mut parts: Vec<FreeMap>) -> Result<Vec<FreeMap>> {
    parts.sort_unstable_by_key(|part| part.first);
    let mut joined: Vec<FreeMap> = Vec::with_capacity(parts.len());
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.first < last.first + last.groups => {
                if last.bits & part.bits != 0 {
                    return Err(Error::corrupt(
                        PageId(part.first * GROUP),
                        "free twice, here or near",
                    ));
                }
                last.bits |= part.bits;
            }
            _ => joined.push(part),
        }
    }
    Ok(joined)
}

/// Puts a run of pages into its class, whatever groups it lies in. Runs come in the order of their
/// place.
fn sort_in(run: Range<u64>, by_place: bool, classes: &mut [Vec<FreeEntry>; CLASSES.len()]) {
    let len = run.end - run.start;
    if len == 0 {
        return;
    }
    let class = CLASSES.iter().position(|&least| len >= least || by_place).unwrap_or(0);
    let class = &mut classes[class];
    split(run.start, run.end, |map| match class.last_mut() {
        Some(FreeEntry::Map(last)) if last.groups == 1 && last.first == map.first => {
            last.bits |= map.bits;
        }
        _ => class.push(FreeEntry::Map(map)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::freelog::FreeExtent;
    use crate::types::TxnId;
    use std::collections::BTreeSet;

    fn waits(start: u64, len: u64) -> FreeEntry {
        let start = PageId(start);
        FreeEntry::Extent(FreeExtent { start, len, birth: TxnId(1), death: TxnId(2) })
    }

    fn pages(entries: &[FreeEntry]) -> impl Iterator<Item = u64> {
        entries.iter().flat_map(FreeEntry::extents).flat_map(|(s, l)| s.0..s.0 + l)
    }

    #[test]
    fn keeps_every_page_once_the_long_runs_first() {
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..300 {
            let mut at = 2;
            let mut entries = Vec::new();
            for _ in 0..rng.usize(..60) {
                let (gap, longest) = (1 << rng.u32(..8), 1 << rng.u32(1..10));
                at += rng.u64(..gap);
                let len = rng.u64(1..longest);
                entries.push(waits(at, len));
                at += len;
            }
            let count = at + rng.u64(..2);
            rng.shuffle(&mut entries);
            let all: BTreeSet<u64> = pages(&entries).collect();
            // As it comes back from the file, some of it, with what was freed since.
            for maps in [false, true] {
                if maps {
                    let some = rng.usize(..=entries.len());
                    let pool = sorted(&entries[..some], &Order::ENDLESS).unwrap();
                    assert_eq!((pool.end, pool.runs.len()), (u64::MAX, 0));
                    entries.splice(..some, pool.entries);
                }
                let by_place = rng.bool();
                let wanted = if rng.bool() { u64::MAX } else { rng.u64(1..100) };
                let order = Order { page_count: count, by_place, wanted };
                let Sorted { entries: pool, runs, end } = sorted(&entries, &order).unwrap();
                assert!(runs.len() <= WANTED_MOST);
                assert!(runs.iter().all(|run| run.end - run.start >= wanted));
                let mut left: BTreeSet<u64> = pages(&pool).collect();
                assert_eq!(left.len(), pages(&pool).count(), "round {round}");
                assert_eq!(left.len() as u64, pool.iter().map(FreeEntry::pages).sum::<u64>());
                assert!(!left.contains(&(end - 1)) || end == 0);
                let before = left.len() as u64 + count - end;
                left.extend(end..count);
                left.extend(runs.iter().cloned().flatten());
                let handed_out: u64 = runs.iter().map(|run| run.end - run.start).sum();
                assert_eq!(left.len() as u64, before + handed_out);
                assert_eq!(left, all, "round {round}");
                let run_of = |e: &FreeEntry| {
                    let any = e.extents().next().map_or(0, |(s, _)| s.0);
                    let back = (0..=any).rev().take_while(|p| all.contains(p)).count();
                    back as u64 + (any + 1..end).take_while(|p| all.contains(p)).count() as u64
                };
                let group = |e: &FreeEntry| e.extents().next().map_or(0, |(s, _)| s.0 / GROUP);
                let class = |e| CLASSES.iter().position(|&least| run_of(e) >= least);
                assert!(
                    pool.is_sorted_by_key(|e| (if by_place { None } else { class(e) }, group(e)))
                );
                for e in &pool {
                    let mut bytes = [0; 24];
                    e.encode(&mut bytes);
                    assert_eq!(FreeEntry::decode(&bytes, count, true), Some(*e));
                    assert_eq!(FreeEntry::decode(&bytes, count, false), None);
                    assert_eq!(e.extents().count(), e.extent_count());
                }
            }
        }
    }

    #[test]
    fn pages_free_twice_are_damage() {
        for (a, b) in
            [((5, 3), (7, 1)), ((64, 200), (130, 1)), ((2, 70), (2, 1)), ((64, 128), (128, 64))]
        {
            assert!(
                sorted(&[waits(a.0, a.1), waits(b.0, b.1)], &Order::ENDLESS).is_err(),
                "{a:?} {b:?}"
            );
        }
        assert!(sorted(&[waits(5, 3), waits(8, 1)], &Order::ENDLESS).is_ok());
    }
}
