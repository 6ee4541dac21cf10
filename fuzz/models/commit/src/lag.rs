//! How many generations of pages each rule of reuse costs: a chain of commits, each rewriting some
//! pages of a tree of fixed size.

use std::collections::VecDeque;

/// Pages of the tree, pages that a commit rewrites, commits.
const TREE: usize = 30;
const REWRITTEN: usize = 3;
const COMMITS: u64 = 20_000;

/// How transactions become durable.
#[derive(Clone, Copy)]
enum Mode {
    Durable,
    /// A flush spans so many commits.
    Group(u64),
    /// A flush after so many.
    Deferred(u64),
}

/// Pages beyond the tree, and the commit of the last growth.
fn run(mode: Mode, protect_slots: bool) -> (usize, u64) {
    let mut birth = vec![1; TREE];
    let mut live: Vec<usize> = (0..TREE).collect();
    let mut free: VecDeque<(usize, u64, u64)> = VecDeque::new();
    let (mut high, mut grown, mut at) = (TREE, 0, 0);
    let (mut durable, mut other_slot, mut flushing, mut done) = (1, 1, 0, 0);
    for txn in 2..COMMITS {
        let base = txn - 1;
        let mut visible = base;
        if let Mode::Group(span) = mode {
            if flushing != 0 && txn >= done {
                (other_slot, durable, flushing) = (durable, flushing, 0);
            }
            visible = durable;
            if flushing == 0 && base > durable {
                (flushing, done) = (base, txn + span);
            }
        }
        let mut protected = vec![durable, visible, base, flushing];
        if protect_slots {
            protected.push(other_slot);
        }
        for _ in 0..REWRITTEN {
            let i = at % TREE;
            at += 1;
            let is_free = |&(_, b, d): &(usize, u64, u64)| {
                protected.iter().all(|&p| p == 0 || !(b <= p && p < d))
            };
            let page = match free.iter().position(is_free).and_then(|i| free.remove(i)) {
                Some((page, ..)) => page,
                None => {
                    (high, grown) = (high + 1, txn);
                    birth.push(0);
                    high - 1
                }
            };
            free.push_back((live[i], birth[live[i]], txn));
            (live[i], birth[page]) = (page, txn);
        }
        match mode {
            Mode::Durable => (other_slot, durable) = (durable, txn),
            Mode::Deferred(every) if txn % every == 0 => (other_slot, durable) = (durable, txn),
            _ => {}
        }
    }
    (high - TREE, grown)
}

/// Prints the table.
pub fn print() {
    println!(
        "a tree of {TREE} pages, {REWRITTEN} rewritten a commit, {COMMITS} commits: pages beyond"
    );
    println!("{:30} W, V, D, F protected, both slots too (commit of the last growth)", "");
    for (name, mode) in [
        ("durable, one at a time", Mode::Durable),
        ("group, a flush spans 1 commit", Mode::Group(1)),
        ("group, 4 commits", Mode::Group(4)),
        ("group, 16 commits", Mode::Group(16)),
        ("deferred, a flush after 4", Mode::Deferred(4)),
        ("deferred, a flush after 64", Mode::Deferred(64)),
    ] {
        let ((a, at), (b, bt)) = (run(mode, false), run(mode, true));
        println!("{name:30} +{a} ({at}), +{b} ({bt})");
    }
}
