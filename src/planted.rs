//! Deliberate breakages, to prove that the crash tests can find one.
//!
//! Each [`Bug`] takes away one rule of docs/design.md (the number in front of its sentence), by a small mistake that somebody could make.
//! The engine asks [`planted`] where the rule is kept. Without the feature `harness` that is a constant `false`, and nothing of this
//! remains in the product; with it, at most one bug at a time is planted in a process. `crash planted` plants each in turn.
//!
//! Thread rules: one word for the whole process, read without order: plant before the engine runs, not while it does.

#[cfg(feature = "harness")]
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $bug:ident,)+) => {
        /// A way to break the engine. The sentence of each begins with the rule that it takes away.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            $($(#[doc = $what])+ $bug,)+
        }

        #[cfg(feature = "harness")]
        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$bug,)+];

            /// Its name in the source.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$bug => stringify!($bug),)+ }
            }

            fn sentence(self) -> &'static str {
                match self { $(Bug::$bug => concat!($($what),+).trim(),)+ }
            }
        }
    };
}

bugs! {
    // Making durable.

    /// 11, 12: a flush stores its meta and acknowledges without a sync.
    AcknowledgedWithoutSync,
    /// 13: a flush makes its transaction visible before the sync.
    PublishedBeforeSync,
    /// 13: a flush moves D before the sync.
    DurableMovedBeforeSync,
    /// 13: a commit is acknowledged when it is visible, durable or not.
    AcknowledgedWhenVisible,
    /// 13: a leader says what the slot holds when it has shown it, not before.
    SyncedNotSaid,
    /// 13: the mark F is taken down before D has moved.
    FlushMarkClearedEarly,
    /// 11: a commit too large for a manifest is flushed with one sync.
    TwoPhaseInOneSync,
    /// 11: a commit too large for a manifest stores its meta before the sync of its pages.
    TwoPhaseMetaFirst,
    /// 12: the sync covers the metas only.
    SyncOfMetasOnly,
    /// 12: the sync ends where the durable snapshot ended.
    SyncEndsAtOldEnd,
    /// 12: the slot is chosen by the parity of the id.
    SlotByParity,
    /// 12: the meta goes into the slot that holds D.
    SlotOfDurable,
    /// 10: the manifest lists what the last commit wrote, not all since D.
    ManifestOfLastCommit,
    /// 10: the manifest lists pages that have died since.
    DeadPagesInManifest,
    /// 10: the manifest lists a page that its own transaction gave up again.
    GivenUpPageInManifest,
    /// 10: a manifest that does not fit is cut short.
    ManifestCutShort,
    /// 10: the manifest leaves overflow runs out.
    ManifestWithoutRuns,
    /// 9: F is marked when the meta is stored, after the sync of the pages.
    FlushMarkLate,
    /// 9: F is marked without a second look at W.
    FlushMarkNotLookedAtAgain,
    /// 9: two processes lead a flush at the same time.
    FlushLockNotTaken,
    /// 14: a deferred commit stores its meta into a slot, unsynced.
    DeferredStoresMeta,
    /// 15: a failed sync is asked for again.
    FailedSyncRetried,
    /// 15: a failed sync leaves no mark.
    FailedSyncForgotten,

    // Building.

    /// 1: two write transactions run at the same time.
    WriterLockNotTaken,
    /// 2: readers are not protected.
    ReadersNotProtected,
    /// 2: nothing is protected but the newest transaction.
    OnlyNewestProtected,
    /// 2: neither the durable transaction nor the slots are protected.
    DurableNotProtected,
    /// 2: the flush target is not protected.
    FlushTargetNotProtected,
    /// 4: what died after the visible snapshot is judged by the others.
    VisibleNotProtected,
    /// 4: the snapshot in which a page was born does not count as one that sees it.
    BirthNotCounted,
    /// 4: pages freed together share an entry with the birth of one of them.
    UnlikeBirthsJoined,
    /// 4: a page that dies in a transaction is used again in it.
    OwnFreesReused,
    /// 5: a reader on a transaction that was rolled back stops nobody from reusing pages.
    DeadSnapshotNotProtected,
    /// 5: while such a reader stands, pages above the page count are taken, used by the dead or not.
    PageHighIgnored,
    /// 5: the highest page count is forgotten while such a reader stands.
    PageHighForgotten,
    /// 5: a page of the free log is used again while the durable snapshot still has its place reserved.
    ReservedTailReused,
    /// 7: the file is cut before the lower mark is durable in both slots.
    CutBeforeDurable,
    /// 8: W moves before the pages are in place.
    BuiltBeforePages,
    /// 8: the image of a transaction does not count its own pages in the list.
    OwnPagesNotListed,
    /// 8: an error behind the building of a transaction is passed on as one that says it did not happen.
    BuiltErrorPassedOn,
    /// 8: a transaction that the list does not name is shown before it is durable.
    UnlistedShown,
    /// 8: the writer lock is given back while a transaction that the list does not name is not durable, and others build on it.
    UnlistedNotAwaited,
    /// 23: a transaction is built although a sync has failed since it began, and nobody has looked what became of its base.
    BaseNotProvedAgain,
    /// 23: a deferred commit is shown although a sync has failed and no repair has proved its pages.
    DoubtedShown,
    /// 23: a transaction that has led a repair forgets that the failed sync took its own pages along.
    OwnPagesForgotten,
    /// 8: a transaction in which an operation failed half-way can be committed.
    BrokenTransactionCommits,

    // Free space.

    /// 4: a page of the free log is used again while the base still needs it.
    LogPageReusedAtOnce,
    /// B10: an entry that waited for a reader is free when that one is gone, whoever else sees it.
    ParkedNotJudgedAgain,
    /// A1: the free log forgets how much of its first page was taken.
    LogEntriesTakenTwice,
    /// A1: the last entry of a page of the free log is lost.
    LogEntryLost,
    /// A2: what is sorted into the pool is not judged.
    SortedUnjudged,
    /// A1: a map of the pool loses a page.
    MapOnePageShort,
    /// A1: a run at the end of the file raises the page count by one page.
    CountRaisedByOne,
    /// A4: the file grows for a run, whatever lies about in pieces.
    PiecesNotJoined,
    /// A5: single pages are taken from long runs, however much is free.
    LongRunsCutUp,
    /// A6: deferred commits are not flushed, however much of the file older commits keep.
    HeldPagesKept,
    /// B10: what a short reader has seen waits for one that stays, where all side queues are taken.
    ShortReadersOutlived,
    /// A1: a page that was copied is not given back.
    OldPageNotFreed,

    // Repair and opening.

    /// 18: a flush whose leader died is no mark.
    DeadLeaderIgnored,
    /// 18: a flush whose leader died is no mark if something newer is visible.
    DeadLeaderJudgedByVisible,
    /// 19: the mark goes down when a repair begins.
    RepairMarkClearedEarly,
    /// 16: a repair leaves the meta of an unfinished flush in its slot when it begins another.
    MetaNotPutBack,
    /// 19: a repair does not exclude writers.
    RepairWithoutWriterLock,
    /// 20: repair syncs again and rewrites nothing.
    RepairWithoutRewriting,
    /// 20: repair writes back what it has not verified.
    RepairUnverified,
    /// 20: repair verifies a page in the map and copies it then.
    RepairVerifiesTheMap,
    /// 22: a roll-back leaves the newer meta in its slot.
    RollBackWithoutErasing,
    /// 22: a roll-back makes D the newest transaction under its old id.
    RollBackUnderOldId,
    /// 21: what the list does not name is rolled back when a leader has died, as if a sync had failed.
    DeathTakenForFailure,
    /// 22: ids between two roll-backs are taken for dead.
    DeadIdsJoined,
    /// 18: a handle flushes pages that were written before it was opened.
    OpenedTooLateToKnow,
    /// 18: the same for what a transaction has written that is not built when the handle is opened.
    OpenedBesideWriter,
    /// 24: the newest meta is trusted without a look at its manifest.
    ManifestNotChecked,
    /// 24: a page of the manifest passes if its own checksum is good.
    ManifestChecksPageAlone,
    /// 24: the older of two good metas is taken.
    OlderMetaTaken,
    /// 24: the lock file is believed after a reboot.
    BootIdIgnored,
    /// 28: the first opener believes that what was visible is still in the page cache.
    VisibleNotProved,
    /// 31: a slot of a newer version is taken for a damaged one.
    NewerSlotIgnored,
    /// 31: a file with features that are not known is written to.
    UnknownFeatureWritten,
    /// 10: a manifest may name pages of any number of bytes.
    ManifestUnbounded,
    /// 29: deferred commits are shown however many bytes of theirs are not durable.
    UnprovedUnbounded,
    /// 29: a deferred commit is shown under an id that no durable meta reserves.
    IdLimitIgnored,
    /// 28: the lock file is believed if it knows the newest id, whoever wrote that, and what.
    IdsAloneCompared,
    /// 28: a session that starts from the disk goes on under the name of the last one.
    SessionNotRenewed,
    /// 30: the target of a flush that may have ended is flushed over.
    TargetNotAdopted,
    /// 32: records of the list are believed without their check.
    RecordNotChecked,
    /// 32: the check of a record is over its place in the list, not over the record before it.
    RecordsByPlaceAlone,
    /// 32: the image of a transaction is believed without its check.
    ImageNotChecked,
    /// 32: what a lock file calls visible is believed, however old it is.
    VisibleOfAnyAge,
    /// B1: a lock file with pages that its list does not name is believed.
    UnlistedKept,
    /// 26: an opening without the lock file takes the page cache for the disk.
    OpeningTrustsCache,
    /// 26: both slots are written in one sync.
    BothSlotsInOneSync,
    /// 26: a refused newer meta is not erased.
    RefusedMetaKept,
    /// 27: the mark of an opening goes down before its last sync.
    OpeningMarkClearedEarly,
    /// 26: what was chosen on opening and has left the page cache since is not chosen again.
    ChosenOnce,

    // Readers and processes.

    /// B1: the gate on the data file is not asked.
    DataGateIgnored,
    /// B1: the lock file belongs to whoever comes first.
    LockFileOfWhoComes,
    /// B1: an opener does not sweep what its predecessor left.
    SlotsNotSwept,
    /// B1: the lock file of a copy, or of a database with a snapshot, keeps the blocks that it shares.
    LockFileNotSettled,
    /// B2: the slots of a handle beyond those that it keeps are not given back.
    SlotsNotGivenBack,
    /// B3: a reader copies the snapshot, registers, and does not look again.
    RegisteredAfterReading,
    /// B4: the end of a read leaves the slot as it is.
    SlotNotCleared,
    /// B5: the visible ring entry is overwritten.
    VisibleEntryOverwritten,
    /// B5: a snapshot becomes visible before its ring entry is written.
    PublishedBeforeEntry,
    /// R3: the end of a flush takes back a newer visible snapshot.
    VisibleGoesBack,
    /// B6: V is read after the slots.
    VisibleReadAfterSlots,
    /// B9: the slots of the dead are never cleared.
    DeadReadersStay,
    /// B9: the slots of a handle are cleared without a look at its lock.
    LivingReadersCleared,
    /// B9: a handle takes itself for dead, because its own lock is free to it.
    OwnReadersCleared,
    /// B11: a reader does not look whether the file has grown.
    ReaderKeepsOldMap,
    /// B16: a scan does not look for observers.
    ObserversIgnored,
    /// B16: an observer does not look again.
    ObserverNotLookedAtAgain,

    // Tree and pages.

    /// T4: a page is changed where it stands.
    ChangedInPlace,
    /// T4: a page that was spilled from the stage is changed without being read again.
    SpilledPageNotRead,
    /// T4: a page that was spilled from the stage is taken for what was spilled.
    SpilledPageNotVerified,
    /// T6: what a path or a free list says of a page is believed a second time without a look.
    PathNotCheckedAgain,
    /// Tree: the separator of a split is the last key of the left page.
    SeparatorTooLow,
    /// Tree: the right half of a split branch keeps the leftmost child of the left.
    SplitKeepsLeftmost,
    /// Tree: pages are joined without the first entry of the right one.
    JoinLosesKey,
    /// Tree: branches are joined without the child between them.
    JoinLosesChild,
    /// Tree: a branch whose first child vanished still leads to it.
    FirstChildKept,
    /// Tree: a key that is given another value counts as a new one.
    ReplacedKeyCounted,
    /// Tree: the run of a value that is replaced is not given back.
    ReplacedRunKept,
    /// Format: a key is put into a page whose prefix it does not have.
    PrefixNotCompared,
    /// Format: the last page of an overflow run is not allocated.
    RunOnePageShort,
}

#[cfg(feature = "harness")]
impl Bug {
    /// The rule it takes away.
    pub fn rule(self) -> &'static str {
        self.sentence().split_once(": ").map_or("", |(rule, _)| rule)
    }

    /// What is wrong then.
    pub fn description(self) -> &'static str {
        self.sentence().split_once(": ").map_or("", |(_, what)| what)
    }
}

/// 0, or one more than the index of the bug that is planted.
#[cfg(feature = "harness")]
static PLANTED: AtomicUsize = AtomicUsize::new(0);

/// Plants a bug in this process, in the place of the one before; None: the engine is as it should be.
#[cfg(feature = "harness")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as usize + 1), Relaxed);
}

/// Whether the engine is to make this mistake.
#[cfg(feature = "harness")]
#[inline(always)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.load(Relaxed) == bug as usize + 1
}

/// Whether the engine is to make this mistake: never.
#[cfg(not(feature = "harness"))]
#[inline(always)]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}
