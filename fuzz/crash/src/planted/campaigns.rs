//! Planted bugs that scripts of the simulation cannot find: other campaigns do, or nothing does.

use recto::bugs::{Bug, plant};

/// Names the bug that a process of `crash` is to run with, and all processes that it starts.
pub const ENVIRONMENT: &str = "CRASH_PLANTED";

const LOST: &[&str] = &["lost", "--lives", "20000"];
const LOADER: &[&str] = &["stories", "--only", "loader", "--lives", "2000"];
const CHECKSUMS: &[&str] = &["stories", "--only", "checksums", "--lives", "2000"];
const BACKGROUND: &[&str] = &["stories", "--only", "background", "--lives", "2000"];
const ALONE: &[&str] = &["kill", "--cycles", "1", "--special", "1", "--case", "one alone"];

/// Which campaign finds a bug: arguments of `crash`, which ends with 1 then.
pub const CAMPAIGNS: &[(Bug, &[&str])] = &[
    // Simulated files have no owner.
    (Bug::LockFileOfWhoComes, &["kill", "--cycles", "1", "--special", "1"]),
    // Simulated files share no blocks. Takes the rights of root.
    (Bug::LockFileNotSettled, &["full", "--rounds", "20"]),
    // Pages leave the cache that nobody was told of, which scripts call beyond the budget.
    (Bug::WriteBackNotAskedFor, LOST),
    (Bug::NewcomerBuildsUnproved, LOST),
    (Bug::ListStartNotAwaited, LOST),
    (Bug::DeadSnapshotSurvives, LOST),
    (Bug::DeadAskedForFirst, LOST),
    (Bug::DurableTakenForDead, LOST),
    (Bug::SyncedForgottenByNewcomers, LOST),
    (Bug::OwnRunUnverified, LOST),
    (Bug::OwnPagesUnproved, LOST),
    (Bug::UnchangedNotFlushed, LOST),
    (Bug::OpenedBesideWriter, LOST),
    (Bug::PendingCalledDurable, LOST),
    (Bug::RollBackNotTold, LOST),
    (Bug::OwnPagesForgotten, LOST),
    // Who opens beside what is not durable repairs first, so that scripts come to them too rarely.
    (Bug::RepairVerifiesTheMap, LOST),
    (Bug::RollBackWithoutErasing, LOST),
    (Bug::DeadIdsJoined, LOST),
    (Bug::ChosenOnce, LOST),
    (Bug::SpilledPageNotVerified, LOST),
    (Bug::BaseNotProvedAgain, LOST),
    // Counts the pages that were given out behind an unproved log page.
    (Bug::LogReadUnproved, &["space", "--commits", "2000", "--only", "mixed"]),
    // Takes an empty database that nothing has been flushed of for a while.
    (
        Bug::WaitsForTheEmpty,
        &["space", "--commits", "4000", "--only", "deferred, from the beginning"],
    ),
    // Take a damaged file.
    (Bug::PathNotCheckedAgain, &["hostile", "--kind", "shared", "--files", "1000", "--jobs", "1"]),
    // Simulated processes have no temporary files that anybody damages, and no directory for them
    // that is not there; nobody ends their loads, and all pages of a machine are of one size.
    (Bug::LoadRunErrorLost, LOADER),
    (Bug::LoadErrorForgotten, LOADER),
    (Bug::LoadRunUnverified, LOADER),
    (Bug::LoadErrorIsTheEnd, LOADER),
    (Bug::LoadStoppedIsDone, LOADER),
    (Bug::LoadLengthsNotAsked, LOADER),
    // Scripts read without checksums.
    (Bug::ReadCheckedByPlace, CHECKSUMS),
    (Bug::FirstTouchNotProved, CHECKSUMS),
    (Bug::DamageNotedAsProved, CHECKSUMS),
    (Bug::AlwaysIsOnce, CHECKSUMS),
    (Bug::RunReadUnproved, CHECKSUMS),
    (Bug::MovedReaderUnproved, CHECKSUMS),
    (Bug::GrownReaderUnproved, CHECKSUMS),
    (Bug::ReadThroughOldMap, CHECKSUMS),
    (Bug::WriterReadsUnproved, CHECKSUMS),
    // A script has one thread.
    (Bug::AsyncAcknowledgedEarly, BACKGROUND),
    (Bug::AsyncErrorForgotten, BACKGROUND),
    (Bug::AsyncDroppedWithFuture, BACKGROUND),
    (Bug::CloseLeavesBackground, BACKGROUND),
    (Bug::AsyncDeferredLate, BACKGROUND),
    (Bug::AsyncUnbounded, BACKGROUND),
    (Bug::AsyncFoundNotAwaited, BACKGROUND),
    (Bug::LossNotTold, BACKGROUND),
    // Takes real lock files, and waiting.
    (Bug::AloneDoesNotWait, ALONE),
    (Bug::AloneWithLockFile, ALONE),
    (Bug::AloneDataLocksShared, ALONE),
    (Bug::ListUnproved, CHECKSUMS),
    (Bug::SetRangeGoesOn, CHECKSUMS),
    (Bug::CloseLeavesManifest, CHECKSUMS),
    (Bug::OtherSizesTaken, &["hostile", "--kind", "sets", "--files", "8000", "--jobs", "2"]),
    (Bug::OrderHeadOfLongKey, &["hostile", "--kind", "orders", "--files", "2000", "--jobs", "1"]),
    (Bug::OrderHeadsUnproved, &["hostile", "--kind", "orders", "--files", "2000", "--jobs", "1"]),
];

/// Bugs that one hunter finds within a minute, and all of them in turns hardly within five.
pub const HUNTED_BY: &[(Bug, &str)] = &[
    (Bug::IdsAloneCompared, LOCK_FILES),
    (Bug::SessionNotRenewed, LOCK_FILES),
    (Bug::TargetNotAdopted, LOCK_FILES),
    (Bug::RecordNotChecked, LOCK_FILES),
    (Bug::RecordsByPlaceAlone, LOCK_FILES),
    (Bug::ImageNotChecked, LOCK_FILES),
    (Bug::VisibleOfAnyAge, LOCK_FILES),
    (Bug::VisibleNotProved, LOCK_FILES),
    (Bug::RollBackUnderOldId, "bad device"),
    (Bug::ManifestUnbounded, BOUNDS),
    (Bug::UnprovedUnbounded, BOUNDS),
    (Bug::IdLimitIgnored, BOUNDS),
    (Bug::ReservedTailReused, "chains"),
    (Bug::UnlistedShown, "in pitfalls"),
    (Bug::FlushMarkLate, MEANWHILE),
    (Bug::FlushMarkNotLookedAtAgain, MEANWHILE),
    (Bug::FlushMarkClearedEarly, MEANWHILE),
    (Bug::RegisteredAfterReading, MEANWHILE),
    (Bug::VisibleEntryOverwritten, MEANWHILE),
    (Bug::PublishedBeforeEntry, MEANWHILE),
    (Bug::VisibleGoesBack, MEANWHILE),
    (Bug::ObserverNotLookedAtAgain, MEANWHILE),
    (Bug::DeadLeaderIgnored, MEANWHILE),
    (Bug::DeadLeaderJudgedByVisible, MEANWHILE),
    (Bug::OpenedTooLateToKnow, MEANWHILE),
    (Bug::RepairMarkClearedEarly, MEANWHILE),
    (Bug::RepairUnverified, MEANWHILE),
    (Bug::VisibleNotProtected, "faults"),
    (Bug::FailedSyncForgotten, "bad device"),
    (Bug::ParkedNotJudgedAgain, "faults"),
    (Bug::StageLostInFailure, "loads"),
    (Bug::DroppedUndurable, NAMES),
    (Bug::NamedReaderNotMoved, NAMES),
    (Bug::NamedNotProtected, NAMES),
    (Bug::SystemNotUndone, NAMES),
    (Bug::DroppedNotAwaited, NAMES),
    (Bug::DroppedForgotten, NAMES),
    (Bug::NamedPagesTold, NAMES),
    (Bug::LogPagesUndone, NAMES),
    // The first scripts with tables of sets.
    (Bug::SetTreeNotStored, SETS),
    (Bug::SetTreeNotStoredAtRemoval, SETS),
    (Bug::SetPagesNotCounted, SETS),
    (Bug::SetPairsNotCounted, SETS),
    (Bug::SetTreeLeftBehind, SETS),
    (Bug::SetTooLong, SETS),
    (Bug::SetValueInWrongPlace, SETS),
    (Bug::SetValueTwice, SETS),
    (Bug::SetTreeNotFreed, SETS),
    (Bug::SetTreesBelowNotFreed, SETS),
    (Bug::SetsNotSaid, SETS),
    (Bug::PackedChangedInPlace, SETS),
    (Bug::PackedNewInWrongPlace, SETS),
    (Bug::PackedSplitUneven, SETS),
    (Bug::PackedJoinLoses, SETS),
    (Bug::PackedNeighbourNotFreed, SETS),
    (Bug::PackedSeparatorTooLow, SETS),
    (Bug::PackedNotCounted, SETS),
    (Bug::PackedLastNotRead, SETS),
    (Bug::OrderSeparatorCut, SETS),
    (Bug::OrderHeadByBytes, SETS),
    (Bug::OrderAdmitsByBytes, SETS),
    (Bug::OrderEntryTooLong, SETS),
    (Bug::OrderNotSaid, SETS),
    (Bug::OrderOfEqualHeads, SETS),
    // No other hunter loads, or has the database alone.
    (Bug::LoadFirstStays, "loads"),
    (Bug::LoadFirstOfBufferStays, "loads"),
    (Bug::LoadHeadsDecide, "loads"),
    (Bug::LoadPairsTwice, "loads"),
    (Bug::LoadLastRunForgotten, "loads"),
    (Bug::AloneBesideOthers, "alone"),
    (Bug::LetInBesideAlone, "alone"),
    (Bug::AloneNotTold, "alone"),
    (Bug::ObserverNotTold, "alone"),
];

const LOCK_FILES: &str = "lock files";
const BOUNDS: &str = "bounds";
const MEANWHILE: &str = "meanwhile";
const NAMES: &str = "names";
const SETS: &str = "sets";

/// Bugs that are not looked for unless they are asked for by name, and why.
pub const LEFT_OUT: &[(Bug, &str)] = &[
    (
        Bug::VisibleReadAfterSlots,
        "two threads between two loads: found by the model visible_read_after_the_slots (src/shared/loom)",
    ),
    (
        Bug::RepairWithoutWriterLock,
        "takes three faults: a writer at work, a failed sync, lost pages",
    ),
    (
        Bug::UnlistedKept,
        "changes nothing: what the list does not name was never shown, and the repair rolls it back",
    ),
    (
        Bug::SyncedNotSaid,
        "changes nothing as long as rule 30 holds: a repair makes the target of the flush durable again",
    ),
    (
        Bug::DeathTakenForFailure,
        "changes nothing: what it would take back was never shown, since who builds it keeps the writer lock until it is durable",
    ),
    (
        Bug::MetaNotPutBack,
        "changes nothing as long as rule 30 holds, but behind a failed sync, where a roll-back is forgiven",
    ),
    (
        Bug::DoubtedShown,
        "what is read behind a refusal is forgiven: tests/outcomes.rs, a_deferred_commit_behind_a_failed_sync_is_proved_before_it_is_shown",
    ),
    (
        Bug::OpeningMarkClearedEarly,
        "takes a cut that loses one run, a death in the opening behind it, and another cut",
    ),
];

/// Plants the bug that the environment names, if any.
pub fn plant_as_told() {
    let name = std::env::var(ENVIRONMENT).unwrap_or_default();
    if let Some(bug) = Bug::ALL.iter().find(|bug| bug.name() == name) {
        plant(Some(*bug));
    }
}
