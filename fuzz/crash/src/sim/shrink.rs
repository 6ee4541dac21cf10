//! Makes a failing script small: whatever can be left out without the failure going away is left
//! out.
//!
//! The failure of a smaller script need not be the same one: any will do, and the smallest is
//! easiest to understand. (Delta debugging, Zeller and Hildebrandt 2002, over operations first,
//! then over what they are made of.)

use super::op::Op;
use super::script::{Script, Setup};

/// A smaller script for which `fails` holds, tried at most `tries` times.
pub fn shrink(script: &Script, tries: u64, mut fails: impl FnMut(&Script) -> bool) -> Script {
    let mut best = script.clone();
    let mut left = tries;
    let mut attempt = |candidate: &Script, best: &mut Script| {
        if left == 0 || candidate == best {
            return false;
        }
        left -= 1;
        let yes = fails(candidate);
        if yes {
            *best = candidate.clone();
        }
        yes
    };
    loop {
        let before = best.clone();
        drop_ops(&mut best, &mut attempt);
        for setup in simpler(&best.setup) {
            let candidate = Script { setup, ops: best.ops.clone() };
            attempt(&candidate, &mut best);
        }
        for at in 0..best.ops.len() {
            for op in smaller(&best.ops[at]) {
                let mut candidate = best.clone();
                candidate.ops[at] = op;
                if attempt(&candidate, &mut best) {
                    break;
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

/// Leaves out runs of operations, long ones first.
fn drop_ops(best: &mut Script, attempt: &mut impl FnMut(&Script, &mut Script) -> bool) {
    let mut chunk = best.ops.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < best.ops.len() {
            let mut candidate = best.clone();
            candidate.ops.drain(at..(at + chunk).min(best.ops.len()));
            if !attempt(&candidate, best) {
                at += chunk;
            }
        }
        chunk /= 2;
    }
}

/// One operation, with less in it.
fn smaller(op: &Op) -> Vec<Op> {
    let mut all = Vec::new();
    for skip in 0..op.faults.len() {
        let mut less = op.clone();
        less.faults.remove(skip);
        all.push(less);
    }
    let edits = op.kind.edits();
    let with = |edits| Op { kind: op.kind.with_edits(edits), ..op.clone() };
    if edits.len() > 1 {
        all.push(with(edits[..edits.len() / 2].to_vec()));
        all.push(with(edits[edits.len() / 2..].to_vec()));
        for skip in 0..edits.len() {
            let mut less = edits.to_vec();
            less.remove(skip);
            all.push(with(less));
        }
    }
    for (at, edit) in edits.iter().enumerate() {
        for one in edit.smaller() {
            let mut less = edits.to_vec();
            less[at] = one;
            all.push(with(less));
        }
    }
    all
}

/// The plain machine, one setting at a time.
fn simpler(setup: &Setup) -> Vec<Setup> {
    let plain = Setup::default();
    vec![
        Setup { write_back: 0, write_back_fails: 0, folio: 0, evict: 0, ..setup.clone() },
        Setup { write_back_fails: 0, ..setup.clone() },
        Setup { evict: 0, ..setup.clone() },
        Setup { folio: 0, ..setup.clone() },
        Setup { disk: 0, ..setup.clone() },
        Setup { probe: 0, ..setup.clone() },
        Setup { second: 0, ..setup.clone() },
        Setup { sink: plain.sink, ..setup.clone() },
        Setup { page_size: plain.page_size, ..setup.clone() },
        Setup { stage: plain.stage, ..setup.clone() },
        Setup { growth: plain.growth, ..setup.clone() },
        Setup { lists: plain.lists, ..setup.clone() },
        Setup { manifest: plain.manifest, ..setup.clone() },
        Setup { outcomes: 1, ..setup.clone() },
        Setup { remounts: setup.remounts.min(1), ..setup.clone() },
        Setup { remounts: 0, ..setup.clone() },
        Setup { records: 0, ..setup.clone() },
        Setup { ids_ahead: 0, unproved: 0, manifest_pages: 0, ..setup.clone() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::edit::Edit;
    use crate::sim::generate::generate;

    /// The smallest script that still drops a table and then cuts the power.
    #[test]
    fn only_what_matters_is_left() {
        let matters = |script: &Script| {
            let drops = |op: &Op| op.kind.edits().iter().any(|e| matches!(e, Edit::Drop { .. }));
            let cuts = |op: &Op| op.to_string().starts_with("cut");
            let first = script.ops.iter().position(drops);
            first.is_some_and(|first| script.ops[first..].iter().any(cuts))
        };
        let script = (0..).map(generate).find(|s| matters(s) && s.ops.len() > 12).unwrap();
        let small = shrink(&script, 10_000, matters);
        assert_eq!(small.ops.len(), 2, "{small}");
        assert_eq!(small.ops[0].kind.edits().len(), 1, "{small}");
        assert!(small.ops.iter().all(|op| op.faults.is_empty()), "{small}");
    }
}
