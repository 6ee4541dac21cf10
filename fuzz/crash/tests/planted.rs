//! Breakages of every room that the harness must find within a bounded number of cuts. `crash planted` has all of them.

use std::path::Path;
use std::process::{Command, Stdio};

/// Found by the first scripts of the first hunters: one for each way in which a commit, a recovery or a reader can be broken.
const BUGS: [&str; 14] = [
    "AcknowledgedWithoutSync",
    "AcknowledgedWhenVisible",
    "TwoPhaseInOneSync",
    "TwoPhaseMetaFirst",
    "SyncOfMetasOnly",
    "SyncEndsAtOldEnd",
    "SlotByParity",
    "SlotOfDurable",
    "ManifestOfLastCommit",
    "ManifestNotChecked",
    "ManifestCutShort",
    "RunOnePageShort",
    "OpenedBesideWriter",
    "NewerSlotIgnored",
];

/// Whether the hunt for a bug, or for what is wrong without one, finds nothing. A bug may end it by a signal.
fn finds_nothing(bug: &str, cuts: u64) -> bool {
    let mut hunt = Command::new(Path::new(env!("CARGO_BIN_EXE_crash")));
    hunt.args(["planted", "--here", bug, "--cuts", &cuts.to_string()]);
    hunt.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn planted_bugs_are_found_and_nothing_is_found_without_one() {
    let missed: Vec<_> = BUGS.iter().filter(|bug| finds_nothing(bug, 20_000)).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(finds_nothing("none", 500), "something is wrong where nothing was planted");
}
