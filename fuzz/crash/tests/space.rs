//! A slice of `crash space`: every mix, and what takes the bounds away.

use recto::bugs::{Bug, plant};
use recto_crash::space::mixes::MIXES;
use recto_crash::space::run;
use std::sync::atomic::AtomicBool;

/// One test, because a bug is planted in the whole process.
#[test]
fn the_file_stays_below_twice_what_is_in_use() {
    let never = AtomicBool::new(false);
    for mix in &MIXES {
        // The last one is a file of two million pages: slow to make.
        let commits = if mix.name == "a million holes" { 500 } else { 6_000 };
        if let Err(what) = run(mix, 1, commits, &never) {
            panic!("{}: {what}", mix.name);
        }
    }
    for (bug, mix, commits) in [
        (Bug::PiecesNotJoined, "growing and shrinking", 40_000),
        (Bug::LongRunsCutUp, "mixed", 6_000),
        (Bug::HeldPagesKept, "deferred", 12_000),
        (Bug::LogReadUnproved, "mixed", 2_000),
        (Bug::MixedNotLookedThrough, "three names stay, six come and go", 6_000),
        (Bug::WaitsForTheYoungest, "three names stay, six come and go", 6_000),
    ] {
        let mix = MIXES.iter().find(|one| one.name == mix).unwrap();
        plant(Some(bug));
        let found = run(mix, 1, commits, &never).is_err();
        plant(None);
        assert!(found, "{} is not found", bug.name());
    }
}
