//! The protected snapshots, collected once at the begin of a write transaction (rule 2, B6). The
//! set may go stale: everything that becomes protected later is in it already, or is at least as
//! young as `visible`, and pages that died after `visible` are never judged reusable.

use crate::types::TxnId;

/// Protected snapshots.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    visible: TxnId,
    /// Flush target, durable snapshot, both metas on disk, the base of the transaction; ascending.
    commits: Vec<TxnId>,
    /// Live readers; ascending.
    readers: Vec<TxnId>,
    /// Named snapshots; ascending.
    named: Vec<TxnId>,
    /// Nothing at all may be reused: a reader is still choosing its snapshot, or one stands on a
    /// snapshot that was rolled back (rule 5).
    no_reuse: bool,
}

/// Whether a free entry can be used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nobody can see it, now or later.
    Reusable,
    /// A reader or a named snapshot sees it; nobody who comes later will, but at that snapshot.
    PinnedByReader(TxnId),
    /// The commit protocol still needs it, or it died too recently to be judged: later.
    NotYet,
}

impl Pins {
    /// Ids that are 0 stand for nobody.
    pub fn new(visible: TxnId, commits: &[TxnId], readers: &[TxnId], no_reuse: bool) -> Pins {
        let (commits, readers) = (sorted(commits), sorted(readers));
        Pins { visible, commits, readers, named: Vec::new(), no_reuse }
    }

    /// The same, and these named snapshots, which keep their pages as readers do (rule 36).
    pub fn with_named(self, named: &[TxnId]) -> Pins {
        Pins { named: sorted(named), ..self }
    }

    /// The visible snapshot, by which all is judged.
    pub fn visible(&self) -> TxnId {
        self.visible
    }

    /// No allocation may take a page that was in use before.
    pub fn no_reuse(&self) -> bool {
        self.no_reuse
    }

    /// Judges pages of the interval [birth, death).
    pub fn judge(&self, birth: TxnId, death: TxnId) -> Verdict {
        let visible = death > self.visible;
        if self.no_reuse || visible {
            return Verdict::NotYet;
        }
        if first_in(&self.commits, birth, death).is_some() {
            return Verdict::NotYet;
        }
        // What waits for a named snapshot waits longest.
        let named = first_in(&self.named, birth, death);
        match named.or_else(|| first_in(&self.readers, birth, death)) {
            Some(reader) => Verdict::PinnedByReader(reader),
            None => Verdict::Reusable,
        }
    }

    /// The oldest snapshot of the commit protocol that pins [birth, death), for an entry that is
    /// dead for everybody who comes later.
    pub fn oldest_commit_in(&self, birth: TxnId, death: TxnId) -> Option<TxnId> {
        (death <= self.visible && !self.no_reuse)
            .then(|| first_in(&self.commits, birth, death))
            .flatten()
    }

    /// Whether nobody reads another snapshot than `id`.
    pub fn only_reader_is(&self, id: TxnId) -> bool {
        !self.no_reuse && self.readers.iter().all(|&r| r == id)
    }

    /// How many snapshots are being read.
    pub fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Whether snapshot `id` is still protected by anybody.
    pub fn holds(&self, id: TxnId) -> bool {
        [&self.commits, &self.readers, &self.named].iter().any(|ids| ids.binary_search(&id).is_ok())
    }

    /// A birth that gives the same verdict as `birth` now and at any later time, the same one for
    /// as many births as possible: pages freed together can then share an entry. Between two
    /// neighbouring protected ids nobody stands, and nobody can come: who registers later is at
    /// least as young as `visible`, or reads a named snapshot.
    pub fn canonical_birth(&self, birth: TxnId) -> TxnId {
        if birth > self.visible || self.no_reuse {
            return birth;
        }
        let below = |ids: &[TxnId]| match ids.partition_point(|&t| t < birth) {
            0 => TxnId::NONE,
            n => ids[n - 1],
        };
        let nearest = [&self.commits, &self.readers, &self.named].map(|ids| below(ids));
        let nearest = nearest.into_iter().max().unwrap_or_default();
        TxnId(nearest.0 + 1)
    }
}

fn sorted(ids: &[TxnId]) -> Vec<TxnId> {
    let mut v: Vec<TxnId> = ids.iter().copied().filter(|&t| t != TxnId::NONE).collect();
    v.sort_unstable();
    v.dedup();
    v
}

fn first_in(ids: &[TxnId], birth: TxnId, death: TxnId) -> Option<TxnId> {
    let i = ids.partition_point(|&t| t < birth);
    ids.get(i).copied().filter(|&t| t < death)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(n: u64) -> TxnId {
        TxnId(n)
    }

    #[test]
    fn judges_by_interval() {
        let p = Pins::new(t(50), &[t(50), t(49), t(0)], &[t(20), t(10)], false);
        assert_eq!(p.judge(t(5), t(10)), Verdict::Reusable);
        assert_eq!(p.judge(t(5), t(11)), Verdict::PinnedByReader(t(10)));
        assert_eq!(p.judge(t(11), t(20)), Verdict::Reusable);
        assert_eq!(p.judge(t(11), t(21)), Verdict::PinnedByReader(t(20)));
        assert_eq!(p.judge(t(21), t(49)), Verdict::Reusable);
        assert_eq!(p.judge(t(21), t(50)), Verdict::NotYet);
        assert_eq!(p.judge(t(60), t(61)), Verdict::NotYet);
    }

    #[test]
    fn canonical_births_keep_every_verdict() {
        let p = Pins::new(t(50), &[t(50), t(48)], &[t(20), t(10)], false);
        for birth in 1..=50 {
            let c = p.canonical_birth(t(birth));
            assert!(c <= t(birth));
            for protected in [10, 20, 48, 50, 51, 52] {
                assert_eq!(c <= t(protected), birth <= protected, "{birth} {protected}");
            }
        }
        assert_eq!(p.canonical_birth(t(51)), t(51));
    }
}
