//! A slice of `crash stories`, and what takes its rules away.

use recto::bugs::{Bug, plant};
use recto_crash::stories::campaign;
use std::sync::atomic::AtomicBool;

/// One test, because a bug is planted in the whole process.
#[test]
fn loads_checksums_and_commits_in_the_background_say_what_is_so() {
    let never = AtomicBool::new(false);
    let tally = campaign(1, 120, None, &never).unwrap_or_else(|what| panic!("{what}"));
    assert!(tally.whole_loads > 10 && tally.refused_loads > 30, "{tally:?}");
    assert!(tally.damage_told > 50 && tally.damage_missed > 50, "{tally:?}");
    assert!(tally.background > 100 && tally.refused_flushes > 20, "{tally:?}");
    for (kind, bugs) in [
        ("loader", &[Bug::LoadRunUnverified, Bug::LoadErrorForgotten, Bug::LoadErrorIsTheEnd][..]),
        ("checksums", &[Bug::ReadCheckedByPlace, Bug::FirstTouchNotProved, Bug::RunReadUnproved]),
        ("background", &[Bug::AsyncAcknowledgedEarly, Bug::AsyncErrorForgotten]),
    ] {
        for bug in bugs {
            plant(Some(*bug));
            let found = campaign(1, 400, Some(kind), &never).is_err();
            plant(None);
            assert!(found, "{} is not found", bug.name());
        }
    }
}
