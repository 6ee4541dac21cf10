//! The configurations that were gone through, and the broken rules that must be found.

/// A row: its name, whether it is small enough for every change, and its words.
pub struct Row {
    pub name: &'static str,
    pub quick: bool,
    pub words: &'static str,
}

const fn quick(name: &'static str, words: &'static str) -> Row {
    Row { name, quick: true, words }
}

const fn row(name: &'static str, words: &'static str) -> Row {
    Row { name, quick: false, words }
}

/// Nothing may be found in these.
pub const MATRIX: &[Row] = &[
    quick("A7", "most=7 cuts=2"),
    quick("A7s", "most=7 cuts=3 direct=0 rewrites=1"),
    quick("B7", "most=6 cuts=2 manifest=1"),
    row("C6", "deferred=1 most=6 cuts=2 manifest=1"),
    row("C6r", "deferred=1 most=6 cuts=1 reader=1"),
    row("D6", "group=1 most=6 cuts=1 manifest=1"),
    row("D5", "group=1 deferred=1 most=5 cuts=2"),
    row("D5m", "group=1 deferred=1 most=5 cuts=2 manifest=1 reader=1"),
    row("D5n", "group=1 deferred=1 most=5 cuts=2 manifest=1 no-birth=1 direct=0"),
    row("E5", "group=1 deferred=1 most=5 cuts=1 kills=2 manifest=1 all-die=1"),
    row("E5p", "group=1 deferred=1 most=5 cuts=2 kills=1 manifest=1"),
    row("E6p", "group=1 most=6 cuts=1 kills=1 manifest=1 protect-slots=0"),
    row(
        "X7",
        "group=1 deferred=1 most=4 cuts=2 kills=2 fails=1 write-backs=1 all-die=1 evicts=1 lock-losses=1 open=5 manifest=1",
    ),
    row(
        "X4",
        "remount=1 group=1 deferred=1 most=4 cuts=2 kills=1 fails=1 write-backs=1 manifest=1",
    ),
    row(
        "S4",
        "split=1 group=1 deferred=1 reader=1 most=4 cuts=1 kills=1 manifest=1 protect-slots=0",
    ),
    quick(
        "W",
        "foreign=1 fresh=1 group=1 deferred=1 fails=1 write-backs=1 manifest=1 kills=1 most=4",
    ),
    row(
        "X5",
        "group=1 deferred=1 most=4 cuts=1 kills=2 fails=2 manifest=1 write-backs=1 all-die=1 evicts=1",
    ),
    row(
        "F5",
        "group=1 deferred=1 most=4 cuts=2 kills=1 fails=1 manifest=1 write-backs=1 all-die=1 evicts=1",
    ),
    row(
        "F5s",
        "deferred=1 most=5 cuts=1 kills=1 fails=1 write-backs=1 all-die=1 evicts=1 restore=1 reader=1",
    ),
    row(
        "F5t",
        "deferred=1 most=5 cuts=1 kills=1 fails=1 write-backs=1 all-die=1 evicts=1 manifest=1 no-birth=1 protect-slots=0",
    ),
    row("F5g", "group=1 most=5 cuts=1 kills=1 fails=1 write-backs=1 all-die=1 evicts=1 manifest=1"),
    row("F2", "group=1 deferred=1 most=4 cuts=2 kills=1 fails=2 evicts=1"),
    row(
        "G5",
        "deferred=1 most=4 cuts=3 kills=1 fails=1 lock-losses=1 write-backs=1 evicts=1 open=5 no-birth=1 manifest=1",
    ),
    row(
        "G5r",
        "group=1 deferred=1 most=4 cuts=2 kills=1 fails=1 lock-losses=1 open=5 manifest=1 reader=1 restore=1",
    ),
    row("H6", "size=2 group=1 deferred=1 most=5 cuts=2 kills=1 shrink=1"),
    row("H6f", "size=2 deferred=1 most=5 cuts=1 kills=1 fails=1 shrink=1 reader=1 manifest=1"),
    row("Fdef", "definite=1 restore=1 fails=2 kills=1 most=5 deferred=1 manifest=1 cuts=2"),
    row(
        "X6s",
        "roll-back=1 group=1 deferred=1 most=4 cuts=2 kills=1 fails=1 manifest=1 reader=1 all-die=1",
    ),
    // What the first matrix left out.
    quick(
        "spill",
        "spill=1 foreign=1 write-backs=1 group=1 deferred=1 most=3 fails=1 kills=1 cuts=1 manifest=1",
    ),
    row(
        "spill4",
        "spill=1 foreign=1 write-backs=1 group=1 deferred=1 most=4 fails=1 kills=1 cuts=1 evicts=1 manifest=1",
    ),
    row("older", "saves=1 remount=1 group=1 deferred=1 most=4 cuts=2 manifest=1"),
    quick("older3", "saves=1 remount=1 group=1 deferred=1 most=3 cuts=2"),
    row(
        "older-f",
        "saves=1 remount=1 all-die=1 deferred=1 group=1 most=3 cuts=3 kills=1 fails=1 write-backs=1",
    ),
    quick("torn3", "saves=1 torn-list=1 remount=1 group=1 deferred=1 most=3 cuts=2"),
    row(
        "older-k",
        "sessions=1 saves=1 remount=1 all-die=1 group=1 deferred=1 most=5 cuts=2 kills=1 lock-losses=1 rewrites=1",
    ),
    row("torn", "saves=1 torn-list=1 remount=1 group=1 deferred=1 most=4 cuts=2"),
    row(
        "twice",
        "sessions=1 saves=1 all-die=1 lock-losses=1 kills=2 deferred=1 most=5 cuts=1 rewrites=1",
    ),
    quick(
        "twice3",
        "sessions=1 saves=1 all-die=1 lock-losses=1 kills=1 deferred=1 most=3 cuts=1 rewrites=1",
    ),
    row(
        "unlisted",
        "unlisted=1 group=1 deferred=1 most=4 cuts=1 kills=1 fails=1 all-die=1 manifest=1",
    ),
    quick("unlisted3", "unlisted=1 group=1 deferred=1 most=3 kills=1 fails=1 all-die=1"),
    quick("unlisted-n", "unlisted=1 foreign=1 group=1 deferred=1 most=4 kills=1"),
    row(
        "unlisted-f",
        "unlisted=1 foreign=1 write-backs=1 group=1 deferred=1 most=4 cuts=1 kills=1 fails=2 manifest=1",
    ),
    quick("log", "log=1 deferred=1 most=5 cuts=1 rewrites=1 orders=1"),
    row(
        "log-r",
        "log=1 deferred=1 most=6 cuts=1 fails=1 write-backs=1 evicts=1 all-die=1 kills=1 reader=1 rewrites=1 orders=1 durable=0",
    ),
    quick(
        "high",
        "forget-high=1 deferred=1 most=4 fails=1 write-backs=1 evicts=1 all-die=1 kills=1 reader=1 rewrites=1 durable=0",
    ),
    quick(
        "opening",
        "lock-losses=1 fails=1 write-backs=1 evicts=1 open=3 manifest=1 most=4 deferred=1 cuts=1 kills=1 all-die=1",
    ),
    quick(
        "copies",
        "copies=1 group=1 deferred=1 most=4 fails=1 write-backs=1 evicts=1 manifest=1 rewrites=1",
    ),
    quick(
        "copies-log",
        "copies=1 log=1 group=1 deferred=1 most=5 fails=1 write-backs=1 evicts=1 rewrites=1 orders=1 durable=0",
    ),
    row(
        "copies-k",
        "copies=1 group=1 deferred=1 most=4 fails=1 write-backs=1 evicts=1 kills=1 all-die=1 cuts=1",
    ),
    row("ids", "id-limit=2 lock-losses=2 deferred=1 most=5 cuts=2 remount=1 saves=1 rewrites=1"),
    quick("ids4", "id-limit=2 lock-losses=2 deferred=1 most=4 rewrites=1"),
    quick("named", "named=1 deferred=1 most=5 rewrites=1 cuts=1"),
    row("named-g", "named=1 group=1 deferred=1 most=5 rewrites=1 cuts=1 kills=1 manifest=1"),
    row("named-2", "named=1 deferred=1 most=5 cuts=2 rewrites=1"),
    row(
        "named-f",
        "named=1 deferred=1 most=5 rewrites=1 fails=1 write-backs=1 all-die=1 kills=1 evicts=1",
    ),
    quick(
        "closes",
        "closes=2 deferred=1 most=3 cuts=2 kills=1 fails=1 write-backs=1 evicts=1 lock-losses=1 manifest=1",
    ),
    row(
        "closes-s",
        "closes=1 sessions=1 saves=1 remount=1 all-die=1 deferred=1 most=4 cuts=2 kills=1 fails=1 manifest=1 rewrites=1",
    ),
    row("named-s", "named=1 size=2 deferred=1 most=5 rewrites=1 shrink=1 kills=1"),
];

/// Something must be found in each of these.
pub const PLANTED: &[Row] = &[
    quick("A", "bug=ManifestNotChecked"),
    quick("A", "bug=AcknowledgedWhenBuilt"),
    quick("B", "manifest=1 bug=TwoPhaseWithoutDataSync"),
    quick("B", "manifest=1 bug=TwoPhaseInOneSync"),
    quick("C", "deferred=1 bug=ManifestOfLastCommit"),
    quick("C", "deferred=1 bug=SyncOfLastCommit"),
    quick("C", "deferred=1 bug=DeadPagesInManifest manifest=4"),
    row("C", "deferred=1 bug=SlotByParity"),
    quick("C", "deferred=1 bug=ReadersNotProtected reader=1"),
    quick("C", "deferred=1 manifest=1 bug=DeferredStoresMeta"),
    quick("D", "group=1 deferred=1 bug=OnlyNewestSlotProtected"),
    quick("D", "group=1 deferred=1 bug=OnlySlotsProtected"),
    quick("D", "group=1 deferred=1 bug=VisibleNotProtected"),
    quick("D", "group=1 bug=FlushTargetNotProtected protect-slots=0"),
    quick("D", "group=1 manifest=1 bug=FlushTargetNotProtected"),
    row("D", "group=1 split=1 bug=TargetMarkedLate"),
    row("D", "group=1 split=1 bug=FlushTargetReadLast protect-slots=0"),
    row("D", "group=1 deferred=1 split=1 reader=1 bug=ReadersBeforeVisible"),
    quick("E", "group=1 kills=1 bug=RepairWithoutSync"),
    row("E", "group=1 kills=1 manifest=1 bug=DeadLeaderIgnored"),
    quick("E", "group=1 kills=1 fails=1 bug=DeadLeaderIgnored most=4"),
    row("E", "group=1 kills=1 deferred=1 manifest=1 bug=DeadLeaderJudgedByVisible"),
    quick("E", "kills=1 fails=1 bug=DeadLeaderNotRewritten"),
    row("E", "group=1 kills=1 manifest=1 bug=RepairWithoutWriterLock"),
    quick("F", "fails=1 bug=FailedSyncForgotten"),
    quick("F", "fails=1 bug=RepairWithoutRewriting"),
    row("F", "deferred=1 fails=1 restore=1 definite=1 bug=MarkClearedByRestore"),
    quick("F", "roll-back=1 fails=1 bug=RollBackWithoutErasing"),
    row("F", "kills=1 fails=1 all-die=1 write-backs=1 bug=FirstOpenerDoesNotRepair most=4"),
    row("F", "kills=1 fails=1 all-die=1 write-backs=1 evicts=1 bug=RepairUnverified most=4"),
    row(
        "F",
        "deferred=1 kills=1 fails=1 all-die=1 write-backs=1 evicts=2 reader=1 bug=DeadSnapshotNotProtected most=4",
    ),
    row("F", "deferred=1 fails=1 write-backs=1 foreign=1"),
    quick("G", "cuts=2 open=0 no-birth=1 most=4"),
    quick("G", "cuts=2 open=0 bug=IdsUsedTwice most=4"),
    quick("G", "cuts=2 deferred=1 bug=WordsBelievedAfterBoot"),
    quick("G", "cuts=2 deferred=1 remount=1 bug=FirstOpenerDoesNotRepair most=4"),
    quick("G", "lock-losses=1 open=1"),
    quick("G", "lock-losses=1 open=3 bug=BothSlotsInOneSync"),
    row("G", "lock-losses=1 fails=2 restore=1 open=2 no-birth=1"),
    row("G", "lock-losses=1 fails=1 write-backs=1 evicts=1 open=3 bug=RewritesTheCache"),
    row("G", "cuts=2 fails=1 open=5 no-birth=1 bug=FailedEraseForgotten"),
    quick("H", "size=2 sync-size=0"),
    quick("H", "size=2 sync-size=0 manifest=1"),
    row("H", "size=2 cuts=2 most=6 shrink=1 bug=CutBeforeDurable"),
    quick("spill", "spill=1 foreign=1 write-backs=1 group=1 most=3 fails=1 bug=OpenedBesideWriter"),
    quick("spill", "spill=1 group=1 most=4 fails=1 cuts=1 bug=BuilderTakesMarkDown"),
    quick("spill", "spill=1 write-backs=1 evicts=1 fails=1 bug=SpilledPageNotVerified"),
    quick("older", "saves=1 remount=1 group=1 deferred=1 most=4 cuts=2 bug=FlushTargetNotAdopted"),
    row(
        "older-f",
        "saves=1 remount=1 all-die=1 deferred=1 group=1 most=3 cuts=3 kills=1 bug=RollBackNotStamped",
    ),
    quick(
        "torn",
        "saves=1 torn-list=1 remount=1 group=1 deferred=1 most=4 cuts=2 bug=MissingRecordsSkipped",
    ),
    quick(
        "twice",
        "sessions=1 saves=1 all-die=1 lock-losses=1 kills=2 deferred=1 most=5 rewrites=1 bug=NumbersCompared",
    ),
    quick(
        "twice",
        "sessions=1 saves=1 all-die=1 lock-losses=1 kills=2 deferred=1 most=5 rewrites=1 bug=SessionNotStamped",
    ),
    quick("unlisted", "unlisted=1 group=1 deferred=1 kills=1 most=4 bug=UnlistedRolledBack"),
    quick("unlisted", "unlisted=1 all-die=1 kills=1 most=4 bug=SyncedNotSaid"),
    quick(
        "unlisted",
        "unlisted=1 group=1 deferred=1 all-die=1 kills=1 most=4 bug=UnlistedOnUnflushed",
    ),
    quick("unlisted", "unlisted=1 group=1 deferred=1 fails=1 most=4 bug=DeferredOnUnlisted"),
    quick("unlisted", "unlisted=1 fails=1 most=4 bug=UnlistedFlushedAfterFailure"),
    quick("unlisted-n", "unlisted=1 foreign=1 group=1 most=4 bug=UnlistedNotAwaited"),
    row(
        "log",
        "log=1 deferred=1 most=6 cuts=1 fails=1 write-backs=1 evicts=1 all-die=1 kills=1 reader=1 rewrites=1 orders=1 durable=0 bug=LogPageFreeTooEarly",
    ),
    quick(
        "high",
        "forget-high=1 deferred=1 most=4 fails=1 write-backs=1 evicts=1 all-die=1 kills=1 reader=1 rewrites=1 durable=0 bug=HighForgotten",
    ),
    quick(
        "copies",
        "copies=1 group=1 deferred=1 most=4 fails=1 write-backs=1 evicts=1 bug=WriteBackNotAskedFor",
    ),
    quick("copies", "copies=1 group=1 deferred=1 most=4 fails=1 evicts=1 bug=SyncAskedOnly"),
    quick(
        "copies-log",
        "copies=1 log=1 group=1 deferred=1 most=5 fails=1 write-backs=1 evicts=1 rewrites=1 orders=1 durable=0 bug=LogNotProved",
    ),
    quick("ids", "id-limit=2 lock-losses=1 deferred=1 most=4 rewrites=1 bug=IdLimitIgnored"),
    quick("ids", "id-limit=2 lock-losses=1 deferred=1 most=6 rewrites=1 bug=ShownAboveIdLimit"),
    quick("named", "named=1 deferred=1 most=6 rewrites=1 bug=NamedNotProtected"),
    quick("named", "named=1 deferred=1 most=6 rewrites=1 bug=DroppedNotAwaited"),
    quick("named", "named=1 deferred=1 most=6 rewrites=1 manifest=4 bug=NamedPagesTold"),
    quick("named", "named=1 deferred=1 most=6 rewrites=1 manifest=4 bug=DroppedUndurable"),
    quick("closes", "closes=1 most=3 bug=CloseLeavesManifest"),
    quick("closes", "closes=1 most=3 manifest=1 bug=CloseLeavesOneSlot"),
];
