//! Since when a snapshot is not the newest any more, for people who look for an old reader.
//!
//! Whoever makes a snapshot visible notes its id and the second, once a second at most; beginning a
//! read pays nothing for it. So that few places reach back for years, the older a note is the fewer
//! there are of its age: note n stands in the level that says how often 2 divides n, and each level
//! keeps its last few. A snapshot of age t is dated to about an eighth of t.
//!
//! Nothing is decided by it. The words may be damaged, and two who note in one second overtake each
//! other: an answer may be wrong then, and is never more than the time since boot.
//!
//! Thread rules: everything from any thread.

use super::layout::{TIME_LEVELS, TIMES_EACH, Times};
use std::sync::atomic::Ordering::Relaxed;

impl Times {
    /// Snapshot `id` is visible at `now`, in seconds since boot.
    pub fn note(&self, id: u64, now: u32) {
        let clock = self.clock.load(Relaxed);
        if (clock as u32).wrapping_sub(now) <= 1 {
            return; // noted, or by somebody who read the clock a moment later
        }
        let n = ((clock >> 32) + 1) & u64::from(u32::MAX);
        // Who loses has been overtaken by somebody with a note as good.
        if self.clock.compare_exchange(clock, n << 32 | u64::from(now), Relaxed, Relaxed).is_ok() {
            let level = (n.trailing_zeros() as usize).min(TIME_LEVELS - 1);
            let place = &self.notes[level][(n >> (level + 1)) as usize % TIMES_EACH];
            place[0].store(id, Relaxed);
            place[1].store(now.into(), Relaxed);
        }
    }

    /// For how many seconds a newer snapshot than `id` has been visible at `now`, at least.
    /// `visible` is, and is newer.
    pub fn outdated(&self, id: u64, visible: u64, now: u32) -> u32 {
        let notes = self.notes.iter().flatten().map(|n| (n[0].load(Relaxed), n[1].load(Relaxed)));
        let newer = notes.filter(|&(noted, at)| {
            noted > id && noted <= visible && at <= now.into() // others are damaged
        });
        // Without a note the next one came in the second of the last note: later ones would have
        // been noted.
        let last = self.clock.load(Relaxed) as u32;
        let since = newer.map(|(_, at)| at as u32).min().unwrap_or(last);
        now.saturating_sub(since)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn times() -> Times {
        let word = || AtomicU64::new(0);
        let note = |_| [word(), word()];
        Times { clock: word(), notes: std::array::from_fn(|_| std::array::from_fn(note)) }
    }

    /// Ten snapshots a second for eleven days.
    #[test]
    fn old_snapshots_are_dated_to_an_eighth() {
        let times = times();
        let now = 1_000_000;
        (1..=now).for_each(|second| times.note(u64::from(second) * 10, second));
        for age in [1, 2, 9, 60, 3_600, 86_400, 500_000, 900_000] {
            let superseded = now - age;
            let id = u64::from(superseded) * 10 - 1;
            let said = times.outdated(id, u64::from(now) * 10, now);
            assert!(said <= age && said >= age - age.div_ceil(8), "{age} s old, said {said}");
        }
    }

    #[test]
    fn what_came_within_one_second_is_dated_to_it() {
        let times = times();
        times.note(7, 100);
        times.note(8, 100);
        times.note(9, 99);
        assert_eq!(times.outdated(8, 9, 160), 60);
        assert_eq!(times.outdated(6, 9, 160), 60);
        assert_eq!(times.outdated(6, 9, 100), 0);
    }

    #[test]
    fn damage_gives_an_answer_below_the_time_since_boot() {
        let times = times();
        times.clock.store(u64::MAX, Relaxed);
        times.notes.iter().flatten().for_each(|n| {
            n[0].store(50, Relaxed);
            n[1].store(u64::MAX, Relaxed);
        });
        assert_eq!(times.outdated(1, 60, 1_000), 0);
        times.note(60, 2_000);
        assert_eq!(times.outdated(1, 60, 2_100), 100);
    }
}
