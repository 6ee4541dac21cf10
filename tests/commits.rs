//! What a commit says of itself, commits that are awaited by tasks, and commits that tasks wait
//! for.

mod common;

use common::sim::{LARGE, PAGE, fail_syncs, lose_since};
use common::{assert_clean, disk_dir, memory_dir, open_at, pairs, put, spread, write};
use recto::harness::sim::{
    Action, Deadlock, Ending, EventKind, ProcessOptions, SimDisk, SimOptions, run,
};
use recto::harness::{SHARED_LEN, new_file, sync_count};
use recto::{Builder, CommitReport, Database, Durability, Error, FlushKind, WriteTxn};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Fails if a test does not come to its end: threads that wait for each other.
fn within(seconds: u64, test: impl FnOnce() + Send + 'static) {
    let (end, ended) = channel::<()>();
    let thread = std::thread::spawn(move || {
        test();
        drop(end);
    });
    let late = ended.recv_timeout(Duration::from_secs(seconds));
    assert_ne!(late, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "threads wait for ever");
    thread.join().unwrap();
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// All that a runtime has to do.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// One poll by a task that nobody wakes.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A transaction with one large value.
fn begin(db: &Database, durability: Durability, key: u32) -> WriteTxn {
    let mut txn = db.write().unwrap();
    txn.set_durability(durability);
    txn.open_table("main").unwrap().put(&key.to_be_bytes(), &LARGE).unwrap();
    txn
}

fn keys(db: &Database) -> usize {
    pairs(db, "main").len()
}

/// A simulated machine whose processes may have threads.
fn machine(seed: u64) -> SimDisk {
    let mut options = SimOptions::new(seed, SHARED_LEN);
    options.on_deadlock = Deadlock::Threads;
    SimDisk::from_image(&new_file(PAGE), options).unwrap()
}

fn enter(disk: &SimDisk) -> Database {
    recto::harness::open(disk.process(ProcessOptions::default()), &Database::builder()).unwrap()
}

/// Stops the first sync from now on until it is let go. Says that it is there.
struct Gate {
    reached: Receiver<()>,
    go: Sender<()>,
}

impl Gate {
    fn at_the_next_sync(disk: &SimDisk) -> Gate {
        let (reach, reached) = channel();
        let (go, gone) = channel();
        let first = Mutex::new(Some((reach, gone)));
        disk.set_hook(move |_, event| {
            if matches!(event.kind, EventKind::SyncBegin { .. }) {
                let first = first.lock().unwrap().take();
                if let Some((reach, gone)) = first {
                    let _ = reach.send(());
                    let _ = gone.recv();
                }
            }
            Action::Continue
        });
        Gate { reached, go }
    }

    fn wait(&self) {
        self.reached.recv_timeout(Duration::from_secs(120)).expect("nobody syncs");
    }

    fn open(self) {
        self.go.send(()).unwrap();
    }
}

/// However the power fails now, there are so many keys.
fn assert_durable(disk: &SimDisk, count: usize) {
    let cut = disk.cut_point();
    for seed in 0..8 {
        let db = enter(&cut.boot(seed).unwrap());
        assert_eq!(keys(&db), count, "cut {seed}");
        assert_clean(&db);
    }
}

// ---- reports ----

/// What the report says of the pages and of the length is what has become of the file.
#[test]
fn a_commit_says_what_it_has_written() {
    let dir = disk_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    let mut rng = fastrand::Rng::with_seed(1);
    put(&db, b"first", b"");
    for round in 0..60u64 {
        let before = std::fs::read(&path).unwrap();
        let mut txn = db.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        // Each once: a large value that is given up again in its transaction is in the file.
        let first = rng.u64(..300);
        for key in first..first + rng.u64(1..40) {
            let value: Vec<u8> = (0..rng.usize(..9_000)).map(|_| rng.u8(1..)).collect();
            table.put(&spread(key % 300), &value).unwrap();
        }
        let begun = Instant::now();
        let id = txn.id();
        let report = txn.commit_with_report().unwrap();
        let elapsed = begun.elapsed();
        let after = std::fs::read(&path).unwrap();
        let differs = |n: &usize| {
            let page = n * PAGE..(n + 1) * PAGE;
            before.get(page.clone()) != Some(&after[page])
        };
        // What the file has become longer by and nobody has written to is zero.
        let is_written = |n: &usize| after[n * PAGE..(n + 1) * PAGE].iter().any(|byte| *byte != 0);
        let written = (2..after.len() / PAGE).filter(differs).filter(is_written).count() as u64;
        assert_eq!(report.pages_written, written, "round {round}: {report:?}");
        assert_eq!(report.bytes_written, written * PAGE as u64);
        assert_eq!(report.file_growth, (after.len() - before.len()) as u64, "{report:?}");
        assert_eq!((report.id, report.flush), (Some(id), FlushKind::Own));
        assert_eq!(report.pages_spilled, 0);
        assert!(report.build_time + report.wait_time + report.flush_time <= elapsed);
    }
    assert_clean(&db);
}

/// A change of one key copies the way to it, and gives up what it has copied.
#[test]
fn a_commit_says_what_it_has_given_up() {
    let db = Database::in_memory().unwrap();
    write(&db, Durability::Durable, |txn| {
        let mut table = txn.open_table("main").unwrap();
        (0..20_000).for_each(|n| assert!(!table.put(&spread(n), &[1; 20]).unwrap()));
    });
    let depth = u64::from(db.read().unwrap().table("main").unwrap().stats().depth);
    assert!(depth >= 2);
    for n in 0..20 {
        let mut txn = db.write().unwrap();
        txn.open_table("main").unwrap().put(&spread(n), &[2; 20]).unwrap();
        let report = txn.commit_with_report().unwrap();
        // And the list of tables, which is one leaf.
        assert_eq!((report.pages_written, report.pages_freed), (depth + 1, depth + 1));
    }
    let mut txn = db.write().unwrap();
    let pages = txn.table("main").unwrap().stats();
    let pages = pages.leaf_pages + pages.branch_pages;
    assert!(txn.drop_table("main").unwrap());
    assert_eq!(txn.commit_with_report().unwrap().pages_freed, pages + 1);
    assert_clean(&db);
}

#[test]
fn a_commit_says_what_was_spilled() {
    let mut builder = Builder::default();
    builder.stage_bytes(16 * PAGE);
    let db = builder.in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    (0..20_000).for_each(|n| assert!(!table.put(&spread(n), &[1; 100]).unwrap()));
    let report = txn.commit_with_report().unwrap();
    assert!(report.pages_spilled >= report.pages_written / 2, "{report:?}");
    assert!(report.file_growth >= report.bytes_written / 2, "{report:?}");
    assert_clean(&db);
}

/// Who has led the flush, and who was in it.
#[test]
fn a_commit_says_how_it_has_become_durable() {
    within(300, || {
        let disk = machine(1);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let report = |durability, key| begin(&db, durability, key).commit_with_report().unwrap();
        let own = report(Durability::Durable, 1);
        assert_eq!(own.flush, FlushKind::Own);
        let deferred = report(Durability::Deferred, 2);
        assert!(deferred.pages_written > 0);
        assert_eq!((deferred.flush, deferred.flush_time), (FlushKind::None, Duration::ZERO));
        assert_eq!(report(Durability::Durable, 3).flush, FlushKind::Led);

        // Nothing to write; and nothing to write on something that is deferred.
        let nothing = db.write().unwrap().commit_with_report().unwrap();
        assert_eq!((nothing.id, nothing.flush, nothing.pages_written), (None, FlushKind::None, 0));
        report(Durability::Deferred, 4);
        let nothing = db.write().unwrap().commit_with_report().unwrap();
        assert_eq!((nothing.id, nothing.flush), (None, FlushKind::Led));

        // What is too large for the list of pages is flushed before the next can begin.
        let mut builder = Builder::default();
        builder.list_limit(8);
        let small = recto::harness::open(disk.process(ProcessOptions::default()), &builder);
        let small = small.unwrap();
        let mut txn = small.write().unwrap();
        txn.set_durability(Durability::Deferred);
        let mut table = txn.open_table("main").unwrap();
        (10..30u32).for_each(|n| assert!(!table.put(&n.to_be_bytes(), &LARGE).unwrap()));
        assert_eq!(txn.commit_with_report().unwrap().flush, FlushKind::Own);
        assert_clean(&db);
    });
}

/// Each phase is where its time goes.
#[test]
fn a_commit_says_where_its_time_goes() {
    within(300, || {
        const LONG: Duration = Duration::from_millis(30);
        let disk = machine(2);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let slow_at = |slow: fn(&EventKind) -> bool| {
            disk.set_hook(move |_, event| {
                if slow(&event.kind) {
                    std::thread::sleep(LONG);
                }
                Action::Continue
            });
        };
        slow_at(|kind| *kind == EventKind::Step("build: pages in place"));
        let report = begin(&db, Durability::Durable, 1).commit_with_report().unwrap();
        assert!(report.build_time >= LONG, "{report:?}");
        slow_at(|kind| *kind == EventKind::Step("flush: meta stored"));
        let report = begin(&db, Durability::Durable, 2).commit_with_report().unwrap();
        assert!(report.flush_time >= LONG, "{report:?}");

        // One that waits for the flush of another.
        let gate = Gate::at_the_next_sync(&disk);
        let first = begin(&db, Durability::Durable, 3).commit_async();
        gate.wait();
        let second = begin(&db, Durability::Durable, 4).commit_async();
        std::thread::sleep(LONG);
        gate.open();
        assert!(first.wait().unwrap().flush_time >= LONG);
        let second = second.wait().unwrap();
        assert!(second.wait_time >= LONG, "{second:?}");
        assert_eq!(second.flush, FlushKind::Own, "the flush before it had begun");
        disk.clear_hook();
        assert_clean(&db);
    });
}

// ---- commits that are awaited ----

/// Not seen before it is durable, and stood on by who comes next; or seen at once.
#[test]
fn a_commit_is_awaited_and_the_next_one_begins() {
    within(300, || {
        let disk = machine(3);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let gate = Gate::at_the_next_sync(&disk);
        let mut first = begin(&db, Durability::Durable, 1).commit_async();
        gate.wait();
        assert!(!first.is_ready() && poll_once(&mut first).is_pending());
        assert_eq!(keys(&db), 1);
        // It is what the next transaction finds.
        let txn = begin(&db, Durability::Deferred, 2);
        assert_eq!(txn.table("main").unwrap().len(), 3);
        let mut second = txn.commit_async();
        assert_eq!(keys(&db), 3, "deferred, and so it is visible at once");
        assert!(!first.is_ready() && poll_once(&mut second).is_pending());
        // A cut now may find the first, whose flush is under way; nothing else.
        let cut = disk.cut_point();
        (0..8).for_each(|seed| assert!(keys(&enter(&cut.boot(seed).unwrap())) <= 2));
        gate.open();
        let report = block_on(first).unwrap();
        assert_eq!(report.flush, FlushKind::Own);
        assert!(block_on(&mut second).unwrap().id > report.id);
        assert_durable(&disk, 3);
        assert!(second.is_ready());
        assert!(matches!(block_on(second), Err(Error::InvalidArgument(_))), "taken");

        // Whatever is not waited for is visible with the flush, and durable.
        let third = begin(&db, Durability::Durable, 3).commit_async();
        third.wait().unwrap();
        assert_eq!(keys(&db), 4);
        assert_durable(&disk, 4);
        disk.clear_hook();
        assert_clean(&db);
    });
}

/// Also where it has to be flushed before it is shown: its id is not reserved, or more would have
/// to be proved than an opening reads.
#[test]
fn a_deferred_commit_is_visible_when_it_returns() {
    within(300, || {
        for (seed, unproved_limit) in [(11, u64::MAX), (12, 6 * PAGE as u64)] {
            let disk = machine(seed);
            let mut builder = Database::builder();
            builder.ids_ahead(2).unproved_limit(unproved_limit);
            let process = disk.process(ProcessOptions::default());
            let db = recto::harness::open(process, &builder).unwrap();
            put(&db, b"first", b"");
            // A thread that would be waited for is late.
            let here = std::thread::current().id();
            disk.set_hook(move |_, event| {
                let is_sync = matches!(event.kind, EventKind::SyncBegin { .. });
                if is_sync && std::thread::current().id() != here {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Action::Continue
            });
            let syncs = disk.counters().syncs;
            let commits: Vec<_> = (0..40)
                .map(|key| {
                    let txn = begin(&db, Durability::Deferred, key);
                    let id = txn.id();
                    let commit = txn.commit_async();
                    assert!(db.read().unwrap().id() >= id, "transaction {id}");
                    assert_eq!(keys(&db), key as usize + 2);
                    (id, commit)
                })
                .collect();
            assert!(disk.counters().syncs > syncs + 5, "some were flushed first");
            for (id, commit) in commits {
                assert_eq!(commit.wait().unwrap().id, Some(id));
            }
            disk.clear_hook();
            assert_durable(&disk, 41);
            assert_clean(&db);
        }
    });
}

/// While a flush takes long no more is built than what one has to flush or prove at a time: who
/// goes on beyond that waits, with its transaction built.
#[test]
fn commits_that_are_not_waited_for_wait_for_a_long_flush() {
    const MIB: usize = 1 << 20;
    // Bytes of a value, and how much may be built beside what is being flushed.
    let rows = [(3_000, 40 * PAGE as u64, 40 * PAGE), (MIB, u64::MAX, 16 * MIB)];
    within(500, move || {
        for (row, durability) in (0..4).map(|n| (n / 2, n % 2)) {
            let (len, unproved_limit, most) = rows[row];
            let durability = [Durability::Durable, Durability::Deferred][durability];
            let disk = machine(13);
            let mut builder = Database::builder();
            builder.unproved_limit(unproved_limit);
            let process = disk.process(ProcessOptions::default());
            let db = recto::harness::open(process, &builder).unwrap();
            // More than 16 MiB are free: so it is due for the space, too.
            write(&db, Durability::Durable, |txn| {
                txn.open_table("main").unwrap().put(b"space", &vec![1; 18 * MIB]).unwrap();
            });
            write(&db, Durability::Durable, |txn| {
                assert!(txn.open_table("main").unwrap().delete(b"space").unwrap());
            });
            put(&db, b"first", b"");
            let gate = Gate::at_the_next_sync(&disk);
            let first = begin(&db, Durability::Durable, 0).commit_async();
            gate.wait();
            let built = Arc::new(AtomicU32::new(0));
            let thread = std::thread::spawn({
                let (db, built) = (db.clone(), Arc::clone(&built));
                move || {
                    let commits = (0..100u32).map(|n| {
                        let mut txn = db.write().unwrap();
                        txn.set_durability(durability);
                        let mut table = txn.open_table("main").unwrap();
                        table.put(b"key", &vec![n as u8; len]).unwrap();
                        built.fetch_add(1, Ordering::SeqCst);
                        txn.commit_async()
                    });
                    commits.collect::<Vec<_>>()
                }
            });
            // Half of it at least is built without a flush: each takes pages beside the value.
            let each = len + 4 * PAGE;
            while (built.load(Ordering::SeqCst) as usize) < most / 2 / each {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(200));
            let count = built.load(Ordering::SeqCst) as usize;
            assert!(count <= most / len + 2, "{durability:?}: {count} of {len} bytes");
            gate.open();
            first.wait().unwrap();
            for commit in thread.join().unwrap() {
                commit.wait().unwrap();
            }
            disk.clear_hook();
            assert_durable(&disk, 3);
            assert_clean(&db);
        }
    });
}

/// It may have changed nothing because of what it has found: that is durable when it is ready.
#[test]
fn a_commit_that_changed_nothing_awaits_what_it_has_found() {
    within(300, || {
        for durability in [Durability::Durable, Durability::Deferred] {
            let disk = machine(14);
            let db = enter(&disk);
            put(&db, b"first", b"");
            begin(&db, Durability::Deferred, 1).commit().unwrap();
            let info = db.info().unwrap();
            assert!(info.durable < info.visible, "{info:?}");
            let mut txn = db.write().unwrap();
            txn.set_durability(durability);
            let mut table = txn.open_table("main").unwrap();
            assert!(!table.put_if_absent(&1u32.to_be_bytes(), b"").unwrap());
            let report = txn.commit_async().wait().unwrap();
            assert_eq!((report.id, report.flush), (None, FlushKind::Led));
            assert_eq!(db.info().unwrap().durable, info.visible);
            assert_durable(&disk, 2);
            // A deferred one that nobody awaits flushes nothing.
            begin(&db, Durability::Deferred, 2).commit().unwrap();
            let mut txn = db.write().unwrap();
            txn.set_durability(Durability::Deferred);
            assert_eq!(txn.commit_with_report().unwrap().flush, FlushKind::None);
            let info = db.info().unwrap();
            assert!(info.durable < info.visible, "{info:?}");
            assert_clean(&db);
        }
    });
}

/// All that is built while a flush is under way is in the next.
#[test]
fn a_thousand_awaited_commits_share_a_flush() {
    within(300, || {
        let disk = machine(4);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let gate = Gate::at_the_next_sync(&disk);
        let first = begin(&db, Durability::Durable, 0).commit_async();
        gate.wait();
        let flushes = disk.counters().syncs;
        let commits: Vec<_> = (0..1_000u64)
            .map(|n| {
                let mut txn = db.write().unwrap();
                txn.open_table("main").unwrap().put(&spread(n), b"value").unwrap();
                txn.commit_async()
            })
            .collect();
        // Tasks of many threads, in any order.
        gate.open();
        first.wait().unwrap();
        let mut chunks: Vec<Vec<_>> = (0..4).map(|_| Vec::new()).collect();
        commits.into_iter().enumerate().for_each(|(n, commit)| chunks[n % 4].push(commit));
        let threads = chunks.into_iter().map(|chunk| {
            std::thread::spawn(move || {
                let kind = |commit: recto::CommitFuture| block_on(commit).unwrap().flush;
                chunk.into_iter().rev().map(kind).collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        let kinds: Vec<FlushKind> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        // Two where they are too many for a manifest.
        assert!(disk.counters().syncs - flushes <= 3, "{:?}", disk.counters());
        assert_eq!(kinds.iter().filter(|kind| **kind == FlushKind::Led).count(), 1);
        assert_eq!(kinds.iter().filter(|kind| **kind == FlushKind::Carried).count(), 999);
        assert_eq!(keys(&db), 1_002);
        disk.clear_hook();
        assert_durable(&disk, 1_002);
        assert_clean(&db);
    });
}

/// A flush that somebody else leads, here another process, serves as well.
#[test]
fn the_flush_of_another_process_carries_an_awaited_commit() {
    within(300, || {
        let disk = machine(5);
        let [db, other] = [(); 2].map(|()| enter(&disk));
        put(&db, b"first", b"");
        put(&other, b"second", b"");
        let gate = Gate::at_the_next_sync(&disk);
        let thread = std::thread::spawn({
            let other = other.clone();
            move || begin(&other, Durability::Durable, 1).commit_with_report().unwrap().flush
        });
        gate.wait();
        let commits = [2, 3].map(|key| begin(&db, Durability::Durable, key).commit_async());
        // Both wait for the flush lock: whoever has it takes all along.
        let later = std::thread::spawn(move || other.flush());
        gate.open();
        assert_eq!(thread.join().unwrap(), FlushKind::Own);
        let kinds = commits.map(|commit| commit.wait().unwrap().flush);
        later.join().unwrap().unwrap();
        assert_eq!(kinds[1], FlushKind::Carried, "{kinds:?}");
        assert_eq!(keys(&db), 5);
        disk.clear_hook();
        assert_durable(&disk, 5);
        assert_clean(&db);
    });
}

/// The device fails: all that was in the flush hears so, and what comes next goes on behind a
/// repair.
#[test]
fn an_awaited_commit_says_that_its_flush_has_failed() {
    within(300, || {
        let disk = machine(6);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let before = disk.bytes();
        fail_syncs(&disk);
        for durability in [Durability::Durable, Durability::Deferred] {
            let outcome = begin(&db, durability, 1).commit_async().wait();
            assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })), "{outcome:?}");
            disk.clear_hook();
            lose_since(&disk, &before);
            // The repair takes it back.
            drop(db.write().unwrap());
            assert_eq!(keys(&db), 1);
            fail_syncs(&disk);
        }
        disk.clear_hook();
        begin(&db, Durability::Durable, 2).commit_async().wait().unwrap();
        assert_durable(&disk, 2);
        assert_clean(&db);
    });
}

/// It dies in the flush: nobody is told that it is durable, and whoever comes finds all or nothing.
#[test]
fn a_process_that_dies_in_the_flush_has_promised_nothing() {
    within(300, || {
        let steps =
            ["flush: target marked", "flush: meta stored", "flush: synced", "flush: durable moved"];
        for step in steps {
            let disk = machine(7);
            let db = enter(&disk);
            put(&db, b"first", b"");
            disk.set_hook(move |_, event| {
                if event.kind == EventKind::Step(step) { Action::Kill } else { Action::Continue }
            });
            let outcome = begin(&db, Durability::Durable, 1).commit_async().wait();
            assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })), "{step}: {outcome:?}");
            disk.clear_hook();
            drop(db);
            let other = enter(&disk);
            begin(&other, Durability::Durable, 2).commit().unwrap();
            assert!(matches!(keys(&other), 2 | 3), "{step}");
            assert_durable(&disk, keys(&other));
            assert_clean(&other);
        }
    });
}

/// The power fails at any event of a row of commits, of which some are awaited while others are
/// built: what was promised is there, and nothing half-done ever is.
#[test]
fn what_a_future_has_promised_survives_a_cut_at_any_event() {
    const KEYS: u32 = 6;
    within(600, || {
        let mut done = false;
        let (mut cut_at, mut promised_in_all) = (0, 0);
        while !done {
            let disk = machine(100 + u64::from(cut_at));
            let db = enter(&disk);
            put(&db, b"first", b"");
            let events = AtomicU32::new(0);
            disk.set_hook(move |_, _| {
                let now = events.fetch_add(1, Ordering::SeqCst);
                if now == cut_at { Action::PowerCut } else { Action::Continue }
            });
            let [on_the_way, promised] = [(); 2].map(|()| Arc::new(Mutex::new(Vec::new())));
            let kept = (Arc::clone(&on_the_way), Arc::clone(&promised));
            // The cut unwinds this thread, or that of the handle.
            let ending = run(move || {
                for key in 0..KEYS {
                    let mut txn = db.write()?;
                    let deferred = key % 3 == 1;
                    let durability = [Durability::Durable, Durability::Deferred];
                    txn.set_durability(durability[usize::from(deferred)]);
                    txn.open_table("main")?.put(&key.to_be_bytes(), &LARGE)?;
                    let commit = txn.commit_async();
                    if key % 2 == 1 {
                        // Some are waited for before the next begins.
                        commit.wait()?;
                        kept.1.lock().unwrap().push((key, None));
                    } else {
                        kept.0.lock().unwrap().push((key, Some(commit)));
                    }
                }
                Ok::<_, Error>(())
            });
            done = matches!(ending, Ending::Done(Ok(())));
            let mut promised = std::mem::take(&mut *promised.lock().unwrap());
            let waiting = std::mem::take(&mut *on_the_way.lock().unwrap());
            for (key, commit) in waiting {
                match commit.map(recto::CommitFuture::wait).transpose() {
                    Ok(_) => promised.push((key, None)),
                    Err(_) => done = false,
                }
            }
            let cut = disk.power_cut().unwrap_or_else(|| disk.cut_point());
            disk.clear_hook();
            for seed in 0..3 {
                let db = enter(&cut.boot(seed).unwrap());
                let found = pairs(&db, "main");
                let there = |key: &u32| found.iter().any(|(k, _)| *k == key.to_be_bytes());
                assert!(promised.iter().all(|(key, _)| there(key)), "event {cut_at}");
                // In their order, and each as a whole.
                assert!((0..found.len() as u32 - 1).all(|key| there(&key)), "event {cut_at}");
                assert!(found.iter().all(|(_, value)| value.is_empty() || value[..] == LARGE));
                assert_clean(&db);
            }
            promised_in_all += promised.len();
            cut_at += 1;
        }
        assert!(cut_at > 50 && promised_in_all > 50, "{cut_at} events, {promised_in_all}");
    });
}

/// Whatever says that it does not happen is there at once.
#[test]
fn a_commit_that_does_not_happen_is_ready_at_once() {
    let db = Database::builder().max_bytes(1 << 20).in_memory().unwrap();
    put(&db, b"first", b"");
    let mut txn = db.write().unwrap();
    assert!(txn.open_table("main").unwrap().put(b"large", &vec![0; 2 << 20]).is_err());
    let mut commit = txn.commit_async();
    assert!(commit.is_ready());
    let outcome = poll_once(&mut commit);
    assert!(matches!(outcome, Poll::Ready(Err(Error::TransactionBroken { .. }))), "{outcome:?}");
    // And one that has nothing to do.
    let commit = db.write().unwrap().commit_async();
    assert!(commit.is_ready());
    assert_eq!(commit.wait().unwrap().id, None);
    assert_eq!(keys(&db), 1);
    assert_clean(&db);
}

/// Nobody waits, and the handle is closed at once: the commit has been made all the same, and the
/// handle is closed.
#[test]
fn the_last_clone_waits_for_commits_that_nobody_awaits() {
    within(300, || {
        let dir = disk_dir();
        let path = dir.path().join("x.recto");
        for round in 0..20u32 {
            let db = open_at(&path, &Builder::default());
            let clone = db.clone();
            let txn = begin(&db, Durability::Durable, round);
            if round % 2 == 0 {
                drop(db);
                drop(txn.commit_async());
            } else {
                drop(txn.commit_async());
                drop(db);
            }
            match round % 3 {
                0 => drop(clone),
                1 => clone.close().unwrap(),
                _ => drop(clone.clone()),
            }
            // Another lock file is refused while anybody has it open.
            let mut builder = Builder::default();
            builder.lock_file(dir.path().join(format!("lock {round}")));
            if round % 3 < 2 {
                let db = open_at(&path, &builder);
                assert_eq!(keys(&db), round as usize + 1);
                assert_clean(&db);
            }
        }
    });
}

/// A device that takes its time: the handle is dropped, the future is not.
#[test]
fn a_future_outlives_its_handle() {
    within(300, || {
        let disk = machine(8);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let gate = Gate::at_the_next_sync(&disk);
        let txn = begin(&db, Durability::Durable, 1);
        let mut commit = txn.commit_async();
        gate.wait();
        // Gives up after a second.
        drop(db);
        assert!(poll_once(&mut commit).is_pending());
        gate.open();
        let waker = std::thread::spawn(move || block_on(commit));
        waker.join().unwrap().unwrap();
        disk.clear_hook();
        // And a transaction that outlives it.
        let db = enter(&disk);
        let txn = begin(&db, Durability::Durable, 2);
        drop(db);
        let commit = txn.commit_async();
        block_on(commit).unwrap();
        assert_durable(&disk, 3);
        assert_clean(&enter(&disk));
    });
}

/// Executors that do what they want where they are woken.
#[test]
fn wakers_panic_and_drop_handles_and_nothing_stops() {
    struct Panics(AtomicU32);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("an executor");
        }
    }
    /// Has the last clone of a handle.
    struct Drops(Mutex<Option<Database>>, Sender<()>);
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            self.1.send(()).unwrap();
        }
    }
    fn poll_by<F: Future + Unpin>(future: &mut F, waker: Arc<impl Wake + Send + Sync + 'static>) {
        let waker = Waker::from(waker);
        let poll = std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
    }
    within(300, || {
        let disk = machine(9);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let gate = Gate::at_the_next_sync(&disk);
        let panics = Arc::new(Panics(AtomicU32::new(0)));
        let mut commit = begin(&db, Durability::Durable, 1).commit_async();
        poll_by(&mut commit, panics.clone());
        let mut changes = db.changes().unwrap();
        let mut next = changes.next_async();
        poll_by(&mut next, panics.clone());
        gate.wait();
        gate.open();
        // Both threads live on.
        begin(&db, Durability::Durable, 2).commit_async().wait().unwrap();
        block_on(next).unwrap();
        block_on(commit).unwrap();
        let mut changes = db.changes_since(db.read().unwrap().id());
        begin(&db, Durability::Durable, 3).commit_async().wait().unwrap();
        block_on(changes.next_async()).unwrap();
        drop(changes);
        while panics.0.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }

        let (tell, told) = channel();
        let gate = Gate::at_the_next_sync(&disk);
        let mut commit = begin(&db, Durability::Durable, 4).commit_async();
        gate.wait();
        let drops = Arc::new(Drops(Mutex::new(None), tell));
        poll_by(&mut commit, drops.clone());
        *drops.0.lock().unwrap() = Some(db);
        gate.open();
        told.recv().unwrap();
        block_on(commit).unwrap();
        disk.clear_hook();
        assert_durable(&disk, 5);

        // The same for the thread that wakes those who wait for commits.
        let (tell, told) = channel();
        let [db, writer] = [(); 2].map(|()| enter(&disk));
        let mut changes = db.changes().unwrap();
        let drops = Arc::new(Drops(Mutex::new(Some(db)), tell));
        let waker = Waker::from(drops);
        assert!(changes.poll_next(&mut Context::from_waker(&waker)).is_pending());
        put(&writer, b"news", b"");
        told.recv().unwrap();
        assert!(changes.wait(None).unwrap().is_some());
        drop(changes);
        assert_clean(&writer);
    });
}

/// A waker that commits and waits, on the thread that would have to make it durable: it is told so,
/// and the commit goes on.
#[test]
fn a_waker_does_not_wait_for_its_own_thread() {
    struct Waits(Mutex<Option<Database>>, Sender<bool>);
    impl Wake for Waits {
        fn wake(self: Arc<Self>) {
            let Some(db) = self.0.lock().unwrap().take() else { return };
            let commit = begin(&db, Durability::Durable, 2).commit_async();
            let outcome = commit.wait();
            let is_unknown = matches!(outcome, Err(Error::OutcomeUnknown { .. }));
            // A commit that waits is no such thing: this thread flushes.
            begin(&db, Durability::Durable, 3).commit().unwrap();
            self.1.send(is_unknown).unwrap();
        }
    }
    within(300, || {
        let disk = machine(16);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let (tell, told) = channel();
        let gate = Gate::at_the_next_sync(&disk);
        let mut commit = begin(&db, Durability::Durable, 1).commit_async();
        gate.wait();
        let waker = Waker::from(Arc::new(Waits(Mutex::new(Some(db.clone())), tell)));
        let poll = std::pin::Pin::new(&mut commit).poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        gate.open();
        assert!(told.recv().unwrap());
        // That thread goes on, too.
        begin(&db, Durability::Durable, 4).commit_async().wait().unwrap();
        commit.wait().unwrap();
        disk.clear_hook();
        assert_durable(&disk, 5);
        assert_clean(&db);
    });
}

/// Threads that commit by futures, and by calls, beside each other: nothing is lost, and each
/// report is of its own transaction.
#[test]
fn awaited_commits_of_many_threads_on_a_real_file() {
    within(300, || {
        let dir = memory_dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        let threads: Vec<_> = (0..8u32)
            .map(|thread| {
                let db = db.clone();
                std::thread::spawn(move || {
                    let mut ids = Vec::new();
                    for n in 0..50 {
                        let durability = match n % 3 {
                            0 => Durability::Deferred,
                            _ => Durability::Durable,
                        };
                        let txn = begin(&db, durability, thread << 16 | n);
                        let id = txn.id();
                        let report: CommitReport = match n % 2 {
                            0 => block_on(txn.commit_async()).unwrap(),
                            _ => txn.commit_with_report().unwrap(),
                        };
                        assert_eq!(report.id, Some(id));
                        let is_visible = db.read().unwrap().id() >= id;
                        assert!(is_visible);
                        if n % 2 == 0 {
                            assert!(db.info().unwrap().durable >= id);
                        }
                        ids.push(id);
                    }
                    ids
                })
            })
            .collect();
        let mut ids: Vec<u64> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), keys(&db)), (400, 400));
        assert!(sync_count(&db) > 0);
        assert_clean(&db);
    });
}

// ---- commits that are waited for ----

#[test]
fn changes_are_told_to_threads_and_tasks() {
    within(300, || {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let [db, writer] = [(); 2].map(|()| open_at(&path, &Builder::default()));
        put(&writer, b"first", b"");
        let mut changes = db.changes().unwrap();
        let first = changes.id();
        assert!(changes.wait(Some(Duration::ZERO)).unwrap().is_none());
        assert!(changes.wait(Some(Duration::from_millis(20))).unwrap().is_none());
        assert!(poll_once(&mut changes.next_async()).is_pending());
        // Two of them, told together.
        (0..2).for_each(|key| begin(&writer, Durability::Deferred, key).commit().unwrap());
        let commits = changes.wait(None).unwrap().unwrap();
        let now = db.read().unwrap().id();
        assert_eq!((commits.from(), commits.to(), changes.id()), (first, now, now));
        assert!(commits.snapshots().is_none());
        assert!(matches!(commits.tables(), Err(Error::InvalidArgument(_))));
        // Nobody reads for it.
        assert!(db.info().unwrap().readers.is_empty());

        // A task that sleeps, woken by another handle.
        let id = std::thread::spawn(move || block_on(changes.next_async()).unwrap().to());
        while !id.is_finished() {
            begin(&writer, Durability::Durable, 3).commit().unwrap();
        }
        assert!(id.join().unwrap() > now);
        // Where somebody has left off.
        let mut changes = db.changes_since(first);
        assert_eq!(block_on(changes.next_async()).unwrap().from(), first);
        assert_clean(&db);
    });
}

/// A follower that goes on behind a power cut, with the id of what the cut has taken: it hears so
/// at once, and then what comes.
#[test]
fn a_follower_hears_that_what_it_has_seen_is_lost() {
    within(300, || {
        let disk = machine(15);
        let db = enter(&disk);
        put(&db, b"first", b"");
        let mut changes = db.changes().unwrap();
        (0..3).for_each(|key| begin(&db, Durability::Deferred, key).commit().unwrap());
        let seen = changes.wait(None).unwrap().unwrap().to();
        assert_eq!(seen, db.read().unwrap().id());
        // What is built and not visible yet is not lost.
        let gate = Gate::at_the_next_sync(&disk);
        let txn = begin(&db, Durability::Durable, 3);
        let id = txn.id();
        let commit = txn.commit_async();
        gate.wait();
        let cut = disk.cut_point();
        let mut later = db.changes_since(id);
        assert!(later.wait(Some(Duration::ZERO)).unwrap().is_none());
        assert!(poll_once(&mut later.next_async()).is_pending());
        gate.open();
        commit.wait().unwrap();
        assert!(later.wait(Some(Duration::ZERO)).unwrap().is_none());
        disk.clear_hook();
        assert_clean(&db);

        for is_task in [false, true] {
            let mut lost = 0;
            for seed in 0..8 {
                let db = enter(&cut.boot(seed).unwrap());
                let now = db.read().unwrap().id();
                let mut changes = db.changes_since(seen);
                let mut told = || match is_task {
                    false => changes.wait(Some(Duration::ZERO)).unwrap(),
                    true => match poll_once(&mut changes.next_async()) {
                        Poll::Ready(told) => Some(told.unwrap()),
                        Poll::Pending => None,
                    },
                };
                if now < seen {
                    lost += 1;
                    let commits = told().expect("it is told of the loss");
                    assert_eq!((commits.from(), commits.to()), (seen, now));
                    assert!(told().is_none());
                }
                put(&db, b"news", b"");
                let commits = told().expect("it is told of news");
                assert_eq!(commits.from(), seen.min(now));
                assert_eq!(commits.to(), db.read().unwrap().id());
                assert!(commits.to() > seen && told().is_none());
                assert_clean(&db);
            }
            assert!(lost > 0, "nothing was lost");
        }
    });
}

/// Each follower sees the last commit, whenever it has looked, and many share the thread.
#[test]
fn no_follower_sleeps_on() {
    within(300, || {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let [db, writer] = [(); 2].map(|()| open_at(&path, &Builder::default()));
        put(&writer, b"first", b"");
        let last = Arc::new((Mutex::new(None::<u64>), Condvar::new()));
        let followers: Vec<_> = (0..8)
            .map(|n| {
                let (mut changes, last) = (db.changes().unwrap(), Arc::clone(&last));
                if n % 3 == 2 {
                    changes = changes.with_snapshots().unwrap();
                }
                std::thread::spawn(move || {
                    let mut told = 0;
                    loop {
                        let commits = match n % 2 {
                            0 => block_on(changes.next_async()).unwrap(),
                            _ => changes.wait(None).unwrap().unwrap(),
                        };
                        assert!(commits.from() < commits.to());
                        if let Some([old, new]) = commits.snapshots() {
                            assert_eq!((old.id(), new.id()), (commits.from(), commits.to()));
                        }
                        told += 1;
                        if *last.0.lock().unwrap() == Some(commits.to()) {
                            return told;
                        }
                    }
                })
            })
            .collect();
        for n in 0..500u64 {
            write(&writer, Durability::Deferred, |txn| {
                txn.open_table("main").unwrap().put(&spread(n), b"").unwrap();
            });
        }
        // Nobody knows of it before it is the last.
        let mut known = last.0.lock().unwrap();
        let txn = begin(&writer, Durability::Deferred, 7);
        *known = Some(txn.id());
        txn.commit().unwrap();
        drop(known);
        for follower in followers {
            assert!(follower.join().unwrap() > 0);
        }
        assert_clean(&db);
    });
}

/// The tables, and what is held back for them: one snapshot, and only where it is asked for.
#[test]
fn changes_say_which_tables_have_changed() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let [db, writer] = [(); 2].map(|()| open_at(&path, &Builder::default()));
    write(&writer, Durability::Durable, |txn| {
        for name in ["a", "b", "c"] {
            txn.open_table(name).unwrap().put(b"key", b"old").unwrap();
        }
    });
    let mut changes = db.changes().unwrap().with_snapshots().unwrap();
    let held = db.info().unwrap().readers;
    assert!(held.len() == 1 && held[0].txn.0 == changes.id(), "{held:?}");
    write(&writer, Durability::Deferred, |txn| {
        txn.open_table("b").unwrap().put(b"key", b"new").unwrap();
    });
    write(&writer, Durability::Deferred, |txn| {
        txn.open_table("d").unwrap();
        txn.drop_table("a").unwrap();
    });
    let commits = block_on(changes.next_async()).unwrap();
    let tables = commits.tables().unwrap();
    let names = |t: &recto::TableChange| {
        let name = |info: &Option<recto::TableInfo>| info.as_ref().map(|info| info.name.clone());
        (name(&t.old), name(&t.new))
    };
    let name = |name: &str| Some(name.to_owned());
    let expected = [(name("a"), None), (name("b"), name("b")), (None, name("d"))];
    assert_eq!(tables.iter().map(names).collect::<Vec<_>>(), expected);
    let [old, new] = commits.snapshots().unwrap();
    let value =
        |txn: &recto::ReadTxn| txn.table("b").unwrap().get(b"key").unwrap().unwrap().to_vec();
    assert_eq!((value(old), value(new)), (b"old".to_vec(), b"new".to_vec()));
    // Both are held while this is kept, and one after it.
    assert_eq!(db.info().unwrap().readers.len(), 2);
    drop(commits);
    let held = db.info().unwrap().readers;
    assert!(held.len() == 1 && held[0].txn.0 == changes.id(), "{held:?}");
    assert!(changes.wait(Some(Duration::ZERO)).unwrap().is_none());
    drop(changes);
    assert!(db.info().unwrap().readers.is_empty());
    assert_clean(&db);
}

/// A task that waits and is dropped, in every order with its handle; the handle is closed then, and
/// the thread is asleep nowhere.
#[test]
fn a_handle_closes_behind_tasks_that_have_waited() {
    within(300, || {
        let dir = disk_dir();
        let path = dir.path().join("x.recto");
        put(&open_at(&path, &Builder::default()), b"first", b"");
        for round in 0..12 {
            let mut builder = Builder::default();
            builder.lock_file(dir.path().join(format!("lock {round}")));
            builder.read_only(round % 4 == 3);
            let db = open_at(&path, &builder);
            let mut changes = db.changes().unwrap();
            assert!(poll_once(&mut changes.next_async()).is_pending());
            let mut more: Vec<_> = (0..20).map(|_| db.changes().unwrap()).collect();
            for changes in &mut more {
                let poll = changes.poll_next(&mut Context::from_waker(Waker::noop()));
                assert!(poll.is_pending());
            }
            match round % 3 {
                0 => drop((db, changes, more)),
                1 => drop((changes, more, db)),
                _ => drop((more, db, changes)),
            }
        }
        let db = open_at(&path, &Builder::default());
        assert_eq!(keys(&db), 1);
        assert_clean(&db);
    });
}
