//! A slice of `crash lost`, and what takes its rules away.

use recto::bugs::{Bug, plant};
use recto_crash::lost::campaign;
use std::sync::atomic::AtomicBool;

/// One test, because a bug is planted in the whole process.
#[test]
fn nothing_is_built_on_pages_that_were_lost() {
    let never = AtomicBool::new(false);
    let tally = campaign(1, 3_000, &never).unwrap_or_else(|what| panic!("{what}"));
    assert!(tally.lost > 1_000 && tally.taken_back > 800 && tally.deaths > 500, "{tally:?}");
    for (bug, seed) in [
        (Bug::WriteBackNotAskedFor, 1),
        (Bug::NewcomerBuildsUnproved, 1),
        // Rare, as the last one: the list has to be full just where somebody dies.
        (Bug::ListStartNotAwaited, 8_000),
        (Bug::DeadAskedForFirst, 1),
        (Bug::SyncedForgottenByNewcomers, 1),
        (Bug::OwnRunUnverified, 1),
        (Bug::OwnPagesUnproved, 1),
        (Bug::UnchangedNotFlushed, 1),
        (Bug::OpenedBesideWriter, 1),
        (Bug::RollBackNotTold, 1),
        (Bug::OwnPagesForgotten, 1),
        (Bug::PendingCalledDurable, 5_000),
    ] {
        plant(Some(bug));
        let found = campaign(seed, 3_000, &never).is_err();
        plant(None);
        assert!(found, "{} is not found", bug.name());
    }
}
