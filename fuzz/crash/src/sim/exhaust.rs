//! All short scripts (in the manner of ACE, Mohan et al. 2018): every sequence of operations from a
//! small alphabet, on a small database, with a cut at every event and every subset of what was not
//! synced.

use super::op::Op;
use super::script::{Script, Setup};
use recto::Sink;

/// What the database holds before: two processes, a table of small values, one that fills pages.
const BEFORE: [&str; 3] = [
    "durable 0: fill main 0 12 1 40; fill wide 0 30 1 700",
    "durable 1: put side 7 40; erase wide 3 9 2",
    "hold 2",
];

/// What may follow.
const ALPHABET: [&str; 18] = [
    "durable 0: put main 3 40",
    "durable 1: del main 5",
    "deferred 0: put main 4 50",
    "deferred 1: put main 3 60; put side 2 10",
    "build 0: put main 8 30",
    "build 1: del main 7",
    "finish 0",
    "finish 1",
    "durable 0: put big 1 9000",
    "deferred 1: put big 1 5000",
    "durable 0: fill tail 0 60 1 600",
    "durable 1: drop wide",
    "deferred 0: drop main",
    "hold 2",
    "release 2",
    "flush 1",
    "leave 0",
    "all-die",
];

/// Number of scripts with one to `longest` operations.
pub fn count(longest: u32) -> u64 {
    (1..=longest).map(|n| (ALPHABET.len() as u64).pow(n)).sum()
}

/// Script number `number`, shorter ones first.
pub fn script(mut number: u64, sink: Sink, subsets: u64) -> Script {
    let base = ALPHABET.len() as u64;
    let mut length = 1;
    while number >= base.pow(length) {
        number -= base.pow(length);
        length += 1;
    }
    let mut lines: Vec<&str> = BEFORE.to_vec();
    for place in (0..length).rev() {
        lines.push(ALPHABET[(number / base.pow(place) % base) as usize]);
    }
    let ops = lines.iter().filter_map(|line| Op::parse(line).ok()).collect();
    let setup = Setup { sink, subsets, from: BEFORE.len(), second: 0, ..Setup::default() };
    Script { setup, ops }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_sequence_is_there_once() {
        assert_eq!(count(3), 18 + 18 * 18 + 18 * 18 * 18);
        let all: BTreeSet<String> =
            (0..count(2)).map(|n| script(n, Sink::Staged, 1).to_string()).collect();
        assert_eq!(all.len() as u64, count(2));
        let last = script(count(3) - 1, Sink::Staged, 1);
        assert_eq!(last.ops.len(), BEFORE.len() + 3, "each line is an operation");
    }
}
