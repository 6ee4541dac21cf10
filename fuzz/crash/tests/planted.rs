//! Breakages of every room that the harness must find within a bounded number of cuts. `crash
//! planted` has all of them.

use recto_crash::alive::Alive;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Found by the first scripts of the first hunters: one for each way in which a commit, a recovery
/// or a reader can be broken.
const BUGS: [&str; 13] = [
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
    "NewerSlotIgnored",
];

/// Found by the first scripts of a world of random ones.
const IN_WORLDS: [(&str, &str); 7] = [
    ("lock files", "IdsAloneCompared"),
    ("lock files", "SessionNotRenewed"),
    ("lock files", "RecordNotChecked"),
    ("lock files", "ImageNotChecked"),
    ("bad device", "RollBackUnderOldId"),
    ("bounds", "UnprovedUnbounded"),
    ("bounds", "ManifestUnbounded"),
];

/// Whether the hunt for a bug, or for what is wrong without one, finds nothing. A bug may end it by
/// a signal.
fn finds_nothing(bug: &str, cuts: u64, more: &[&str]) -> bool {
    static ALIVE: LazyLock<Alive> = LazyLock::new(Alive::new);
    ALIVE.tell(|| format!("planted: {bug}"));
    let mut hunt = Command::new(Path::new(env!("CARGO_BIN_EXE_crash")));
    hunt.args(["planted", "--here", bug, "--cuts", &cuts.to_string()]).args(more);
    hunt.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn planted_bugs_are_found_and_nothing_is_found_without_one() {
    let missed: Vec<_> = BUGS.iter().filter(|bug| finds_nothing(bug, 20_000, &[])).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(finds_nothing("none", 500, &[]), "something is wrong where nothing was planted");
}

#[test]
fn planted_bugs_are_found_by_random_scripts_of_one_world() {
    let finds_nothing =
        |(world, bug): &&(&str, &str)| finds_nothing(bug, 40_000, &["--hunter", world]);
    let missed: Vec<_> = IN_WORLDS.iter().filter(finds_nothing).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
