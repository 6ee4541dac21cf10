//! Breakages of every room that the harness must find within a bounded number of cuts. `crash
//! planted` has all of them.

use recto_crash::alive::Alive;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Found by the first scripts of the first hunters: one for each way in which a commit, a recovery
/// or a reader can be broken.
const BUGS: [&str; 12] = [
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
];

/// Found by the first scripts of one hunter, most of them a world of random ones.
const BY_ONE: [(&str, &str); 15] = [
    ("pitfalls", "NewerSlotIgnored"),
    ("lock files", "IdsAloneCompared"),
    ("lock files", "SessionNotRenewed"),
    ("lock files", "RecordNotChecked"),
    ("lock files", "ImageNotChecked"),
    ("bad device", "RollBackUnderOldId"),
    ("bounds", "UnprovedUnbounded"),
    ("bounds", "ManifestUnbounded"),
    ("meanwhile", "FlushMarkNotLookedAtAgain"),
    ("meanwhile", "RegisteredAfterReading"),
    ("meanwhile", "ObserverNotLookedAtAgain"),
    ("meanwhile", "DeadLeaderIgnored"),
    ("meanwhile", "DeadLeaderJudgedByVisible"),
    ("meanwhile", "RepairMarkClearedEarly"),
    ("meanwhile", "OpenedTooLateToKnow"),
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
fn planted_bugs_are_found_by_one_hunter() {
    let finds_nothing =
        |(hunter, bug): &&(&str, &str)| finds_nothing(bug, 40_000, &["--hunter", hunter]);
    let missed: Vec<_> = BY_ONE.iter().filter(finds_nothing).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
