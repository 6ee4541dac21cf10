//! Rules that can be taken away, and where that must be found: proof that the search looks where it
//! hurts.

/// A broken rule, as `bug=Name`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    ManifestNotChecked,
    AcknowledgedWhenBuilt,
    TwoPhaseWithoutDataSync,
    TwoPhaseInOneSync,
    ManifestOfLastCommit,
    SyncOfLastCommit,
    DeadPagesInManifest,
    SlotByParity,
    ReadersNotProtected,
    DeferredStoresMeta,
    OnlyNewestSlotProtected,
    OnlySlotsProtected,
    VisibleNotProtected,
    FlushTargetNotProtected,
    TargetMarkedLate,
    FlushTargetReadLast,
    ReadersBeforeVisible,
    RepairWithoutSync,
    DeadLeaderIgnored,
    DeadLeaderJudgedByVisible,
    DeadLeaderNotRewritten,
    RepairWithoutWriterLock,
    FailedSyncForgotten,
    RepairWithoutRewriting,
    MarkClearedByRestore,
    RollBackWithoutErasing,
    FirstOpenerDoesNotRepair,
    RepairUnverified,
    DeadSnapshotNotProtected,
    IdsUsedTwice,
    WordsBelievedAfterBoot,
    BothSlotsInOneSync,
    RewritesTheCache,
    FailedEraseForgotten,
    CutBeforeDurable,
    /// A handle that is opened beside a writer takes W for the newest that may have been written.
    OpenedBesideWriter,
    /// A builder that has led a repair goes on as if its own pages had been proved.
    BuilderTakesMarkDown,
    /// A page that is read again by the transaction that spilled it is sealed anew as it is.
    SpilledPageNotVerified,
    /// The first opener compares ids, not contents.
    NumbersCompared,
    /// Who opens without words leaves the meta as it is.
    SessionNotStamped,
    /// A roll-back puts D's meta into the other slot with the same bytes.
    RollBackNotStamped,
    /// F, found in its slot, stays F.
    FlushTargetNotAdopted,
    /// A record that is not in the list is nothing to prove.
    MissingRecordsSkipped,
    /// What is larger than the list is rolled back after any death, and deferred commits are shown
    /// on top of it.
    UnlistedRolledBack,
    /// It is flushed again although a sync has failed.
    UnlistedFlushedAfterFailure,
    DeferredOnUnlisted,
    /// The writer lock is given back before it is durable.
    UnlistedNotAwaited,
    /// It is built on what is not durable yet.
    UnlistedOnUnflushed,
    /// A leader shows what it has made durable before it says so.
    SyncedNotSaid,
    /// A free-log page may be used again as soon as nobody reads a snapshot that has it as one.
    LogPageFreeTooEarly,
    /// The highest page count is forgotten while a reader stands on what was rolled back.
    HighForgotten,
    /// The last id is the highest of a meta, not its limit.
    IdLimitIgnored,
    /// A deferred commit is shown above the limit.
    ShownAboveIdLimit,
    /// Nobody asks whether a write-back has failed before a transaction is built.
    WriteBackNotAskedFor,
    /// Only the sync of the handle itself is asked: a thread that is told there has not said so
    /// yet.
    SyncAskedOnly,
    /// 23: what a log page names is used before anybody asks whether it is what was built.
    LogNotProved,
    /// 36: a named snapshot is not protected.
    NamedNotProtected,
    /// 36: one that was dropped is not, although a state that lists it may come back.
    DroppedNotAwaited,
    /// 37: pages that only a named snapshot sees are told to be free.
    NamedPagesTold,
    /// 37: a snapshot is dropped before what has named it is durable.
    DroppedUndurable,
    /// 26: the last handle that closes leaves D as it is; or if it has no manifest.
    CloseLeavesManifest,
    CloseLeavesOneSlot,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 62] = [
        Bug::ManifestNotChecked,
        Bug::AcknowledgedWhenBuilt,
        Bug::TwoPhaseWithoutDataSync,
        Bug::TwoPhaseInOneSync,
        Bug::ManifestOfLastCommit,
        Bug::SyncOfLastCommit,
        Bug::DeadPagesInManifest,
        Bug::SlotByParity,
        Bug::ReadersNotProtected,
        Bug::DeferredStoresMeta,
        Bug::OnlyNewestSlotProtected,
        Bug::OnlySlotsProtected,
        Bug::VisibleNotProtected,
        Bug::FlushTargetNotProtected,
        Bug::TargetMarkedLate,
        Bug::FlushTargetReadLast,
        Bug::ReadersBeforeVisible,
        Bug::RepairWithoutSync,
        Bug::DeadLeaderIgnored,
        Bug::DeadLeaderJudgedByVisible,
        Bug::DeadLeaderNotRewritten,
        Bug::RepairWithoutWriterLock,
        Bug::FailedSyncForgotten,
        Bug::RepairWithoutRewriting,
        Bug::MarkClearedByRestore,
        Bug::RollBackWithoutErasing,
        Bug::FirstOpenerDoesNotRepair,
        Bug::RepairUnverified,
        Bug::DeadSnapshotNotProtected,
        Bug::IdsUsedTwice,
        Bug::WordsBelievedAfterBoot,
        Bug::BothSlotsInOneSync,
        Bug::RewritesTheCache,
        Bug::FailedEraseForgotten,
        Bug::CutBeforeDurable,
        Bug::OpenedBesideWriter,
        Bug::BuilderTakesMarkDown,
        Bug::SpilledPageNotVerified,
        Bug::NumbersCompared,
        Bug::SessionNotStamped,
        Bug::RollBackNotStamped,
        Bug::FlushTargetNotAdopted,
        Bug::MissingRecordsSkipped,
        Bug::UnlistedRolledBack,
        Bug::UnlistedFlushedAfterFailure,
        Bug::DeferredOnUnlisted,
        Bug::UnlistedNotAwaited,
        Bug::UnlistedOnUnflushed,
        Bug::SyncedNotSaid,
        Bug::LogPageFreeTooEarly,
        Bug::HighForgotten,
        Bug::IdLimitIgnored,
        Bug::ShownAboveIdLimit,
        Bug::WriteBackNotAskedFor,
        Bug::SyncAskedOnly,
        Bug::LogNotProved,
        Bug::NamedNotProtected,
        Bug::DroppedNotAwaited,
        Bug::NamedPagesTold,
        Bug::DroppedUndurable,
        Bug::CloseLeavesManifest,
        Bug::CloseLeavesOneSlot,
    ];

    pub fn named(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
    }
}
