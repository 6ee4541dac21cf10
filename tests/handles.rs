//! Several handles on one file in one process, threads that pass a transaction on, and every order
//! of closing: whoever waits for itself is told so, and nobody hangs. Each test has a watchdog.

mod common;

use common::{Process, assert_clean, hear, memory_dir, open_at, pairs, role, say, write};
use recto::{Builder, Database, Durability, Error, ReadTxn, WriteTxn};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Runs the body in a thread of its own; a body that hangs fails.
fn watched(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let thread = std::thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    // Generous: a busy machine is no hang.
    if ended.recv_timeout(Duration::from_secs(90))
        == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
    {
        panic!("it hangs");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn open(path: &Path) -> Database {
    open_at(path, &Builder::default())
}

fn deferred(db: &Database, key: &[u8]) {
    write(db, Durability::Deferred, |txn| {
        txn.open_table("main").unwrap().put(key, b"").unwrap();
    });
}

fn keys(db: &Database) -> Vec<Vec<u8>> {
    pairs(db, "main").into_iter().map(|(key, _)| key).collect()
}

/// Something that a test ends when its turn has come.
enum Thing {
    Handle(Database),
    Reader(ReadTxn),
    Writer(Box<WriteTxn>),
}

/// All orders of the numbers below `n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = orders(n - 1);
    shorter
        .iter()
        .flat_map(|order| {
            (0..n).map(move |at| {
                let mut order = order.clone();
                order.insert(at, n - 1);
                order
            })
        })
        .collect()
}

/// Both handles have deferred commits that are not flushed, and the second was opened after the
/// first had made one: to flush, it has to repair, for which it needs the writer lock. `of` says to
/// which handle the transactions belong.
fn things(path: &Path, writer_of: usize, reader_of: usize) -> Vec<Thing> {
    let first = open(path);
    deferred(&first, b"first");
    let second = open(path);
    deferred(&second, b"second");
    let handles = [first, second];
    let reader = handles[reader_of].read().unwrap();
    let mut writer = handles[writer_of].write().unwrap();
    writer.open_table("main").unwrap().put(b"third", b"").unwrap();
    let handles = handles.into_iter().map(Thing::Handle);
    handles.chain([Thing::Reader(reader), Thing::Writer(Box::new(writer))]).collect()
}

#[test]
fn handles_and_transactions_end_in_any_order() {
    watched(|| {
        let dir = memory_dir();
        for (case, order) in orders(4).iter().enumerate() {
            for of in 0..8 {
                let (writer_of, reader_of, commits) = (of & 1, of >> 1 & 1, of >> 2 == 1);
                let path = dir.path().join(format!("{case}-{of}.recto"));
                let mut things: Vec<_> =
                    things(&path, writer_of, reader_of).into_iter().map(Some).collect();
                for &i in order {
                    match things[i].take().unwrap() {
                        Thing::Handle(db) => drop(db),
                        Thing::Reader(txn) => {
                            assert_eq!(txn.table("main").unwrap().len(), 2);
                        }
                        Thing::Writer(txn) if commits => txn.commit().unwrap(),
                        Thing::Writer(txn) => drop(txn),
                    }
                }
                let db = open(&path);
                let third = commits.then_some(&b"third"[..]);
                let expected: Vec<_> =
                    [&b"first"[..], b"second"].into_iter().chain(third).collect();
                assert_eq!(keys(&db), expected, "{order:?} {of}");
                assert_clean(&db);
                drop(db);
                std::fs::remove_file(&path).unwrap();
            }
        }
    });
}

#[test]
fn closing_does_not_wait_for_a_transaction_of_another_thread() {
    watched(|| {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let first = open(&path);
        deferred(&first, b"first");
        let second = open(&path);
        deferred(&second, b"second");
        let (began, begun) = channel();
        let (end, ends) = channel::<()>();
        let other = first.clone();
        let writer = std::thread::spawn(move || {
            let txn = other.write().unwrap();
            began.send(()).unwrap();
            ends.recv().unwrap();
            txn.commit().unwrap();
        });
        begun.recv().unwrap();
        drop(second);
        let info = first.info().unwrap();
        // It has repaired when it began to write: what it leaves needs the flush lock alone.
        assert_eq!(info.durable, info.visible);
        end.send(()).unwrap();
        writer.join().unwrap();
        drop(first);
        let db = open(&path);
        assert_eq!(keys(&db), [&b"first"[..], b"second"]);
        assert_clean(&db);
    });
}

/// The same for a process that will never end it; its flush lock is free, so who was there in time
/// can flush.
#[test]
fn closing_does_not_wait_for_a_stopped_process() {
    if let Some(words) = role() {
        let db = open(Path::new(&words[0]));
        let txn = db.write().unwrap();
        say("writing");
        hear();
        drop(txn);
        return;
    }
    watched(|| {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let first = open(&path);
        deferred(&first, b"first");
        let second = open(&path);
        deferred(&second, b"second");
        let mut writer = Process::start(
            "closing_does_not_wait_for_a_stopped_process",
            &[path.to_str().unwrap()],
        );
        writer.expect("writing");
        writer.stop();
        drop(second);
        let info = first.info().unwrap();
        assert_eq!(info.durable, info.visible);
        assert!(first.try_write().unwrap().is_none());
        first.flush().unwrap();
        writer.kill();
        deferred(&first, b"third");
        assert_eq!(keys(&first), [&b"first"[..], b"second", b"third"]);
        assert_clean(&first);
    });
}

/// The last handle has to repair before it can flush, and nobody is in its way.
#[test]
fn the_last_handle_that_closes_leaves_nothing_deferred() {
    watched(|| {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let first = open(&path);
        deferred(&first, b"first");
        let second = open(&path);
        deferred(&second, b"second");
        let reader = open(&path);
        drop(second);
        let info = reader.info().unwrap();
        assert_eq!(info.durable, info.built);
        drop(first);
        assert_eq!(keys(&reader), [&b"first"[..], b"second"]);
        assert_clean(&reader);
    });
}

/// Who has committed nothing has nothing to say, and waits for nobody.
/// Handles that open, commit, read and close at once: the last of them puts the commit into both
/// slots while others come in, and each finds what it has left.
#[test]
fn handles_come_and_go_beside_each_other() {
    watched(|| {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        drop(open(&path));
        const ROUNDS: u32 = 150;
        std::thread::scope(|scope| {
            for writer in 0..3u8 {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let db = open(path);
                        if round > 0 {
                            let txn = db.read().unwrap();
                            let last = txn.table("main").unwrap().get(&[writer]).unwrap();
                            assert_eq!(last, Some(&(round - 1).to_le_bytes()[..]));
                        }
                        let durability = [Durability::Durable, Durability::Deferred];
                        write(&db, durability[round as usize % 2], |txn| {
                            let mut table = txn.open_table("main").unwrap();
                            table.put(&[writer], &round.to_le_bytes()).unwrap();
                        });
                        db.close().unwrap();
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let db = open_at(&path, Builder::default().read_only(true));
                        drop(db.read().unwrap().tables().unwrap());
                    }
                });
            }
        });
        let db = open(&path);
        let last = (ROUNDS - 1).to_le_bytes().to_vec();
        let expected: Vec<_> = (0..3u8).map(|writer| (vec![writer], last.clone())).collect();
        assert_eq!(pairs(&db, "main"), expected);
        assert_clean(&db);
    });
}

#[test]
fn closing_says_whether_all_is_durable() {
    watched(|| {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let (db, idle) = (open(&path), open(&path));
        deferred(&db, b"first");
        let txn = idle.write().unwrap();
        // SAFETY: the directory belongs to the test.
        let reader = unsafe { Builder::default().read_only(true).open(&path) }.unwrap();
        assert_eq!(keys(&reader), [b"first"]);
        reader.close().unwrap();
        idle.clone().close().unwrap();
        assert!(idle.info().unwrap().durable < idle.info().unwrap().built);
        drop(txn);
        db.close().unwrap();
        let info = idle.info().unwrap();
        assert_eq!(info.durable, info.built);
        assert_clean(&idle);
    });
}

#[test]
fn a_flush_that_needs_this_threads_own_writer_lock_says_so() {
    watched(|| {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let first = open(&path);
        deferred(&first, b"first");
        let second = open(&path);
        let txn = first.write().unwrap();
        assert!(matches!(second.flush(), Err(Error::WriterOnThisThread { .. })));
        assert!(matches!(second.write(), Err(Error::WriterOnThisThread { .. })));
        assert!(second.try_write().unwrap().is_none());
        // The first handle was there when the pages were written.
        first.flush().unwrap();
        second.flush().unwrap();
        drop(txn);
        drop(second.write().unwrap());
        assert_clean(&second);
    });
}

#[test]
fn two_handles_on_one_file_know_each_others_writer() {
    watched(|| {
        let dir = memory_dir();
        let (path, other) = (dir.path().join("x.recto"), dir.path().join("y.recto"));
        let first = open(&path);
        let second = open(&path);
        let unrelated = open(&other);
        let txn = second.write().unwrap();
        assert!(matches!(first.write(), Err(Error::WriterOnThisThread { .. })));
        assert!(matches!(first.write_timeout(Duration::ZERO), Err(Error::Busy { .. })));
        assert!(first.try_write().unwrap().is_none());
        drop(unrelated.write().unwrap());
        drop(txn);
        drop(first.write().unwrap());
        assert_clean(&first);
    });
}

/// Until the other thread has done something with the transaction, nobody knows that it has it.
#[test]
fn a_transaction_that_was_sent_away_and_not_touched_is_waited_for() {
    watched(|| {
        let db = Database::in_memory().unwrap();
        let mut txn = db.write().unwrap();
        txn.open_table("main").unwrap().put(b"a", b"1").unwrap();
        let (started, starts) = channel();
        let other = std::thread::spawn(move || {
            started.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            txn.commit().unwrap();
        });
        starts.recv().unwrap();
        let mut txn = db.write().expect("waits for the other thread");
        txn.open_table("main").unwrap().put(b"b", b"2").unwrap();
        txn.commit().unwrap();
        other.join().unwrap();
        assert_eq!(keys(&db), [b"a", b"b"]);
        assert_clean(&db);
    });
}

/// A thread that reads in a transaction may have been sent it; one that changes it has it.
#[test]
fn a_transaction_belongs_to_the_thread_that_reads_or_changes_it() {
    watched(|| {
        let db = Database::in_memory().unwrap();
        write(&db, Durability::Durable, |txn| {
            txn.open_table("main").unwrap().put(b"a", b"1").unwrap();
        });
        let mut txn = db.write().unwrap();
        let (changed, changes) = channel();
        let (waits, waiting) = channel();
        let other = db.clone();
        let reader = std::thread::spawn(move || {
            assert_eq!(txn.table("main").unwrap().get(b"a").unwrap(), Some(&b"1"[..]));
            // It would wait for itself.
            assert!(matches!(other.write(), Err(Error::WriterOnThisThread { .. })));
            assert!(other.try_write().unwrap().is_none());
            txn.open("main").unwrap();
            changed.send(()).unwrap();
            waiting.recv().unwrap();
            drop(txn);
        });
        changes.recv().unwrap();
        waits.send(()).unwrap();
        // This one waits for the other thread.
        drop(db.write().unwrap());
        reader.join().unwrap();
        assert_clean(&db);
    });
}

/// Also where others have read in it before, and are gone.
#[test]
fn a_transaction_that_is_sent_on_is_known_where_it_is_read() {
    watched(|| {
        let db = Database::in_memory().unwrap();
        write(&db, Durability::Durable, |txn| {
            txn.open_table("main").unwrap().put(b"a", b"1").unwrap();
        });
        let txn = db.write().unwrap();
        let read =
            |txn: &WriteTxn| assert!(txn.table("main").unwrap().get(b"a").unwrap().is_some());
        for _ in 0..3 {
            std::thread::scope(|threads| {
                threads.spawn(|| read(&txn));
            });
        }
        let other = db.clone();
        let last = std::thread::spawn(move || {
            read(&txn);
            assert!(matches!(other.write(), Err(Error::WriterOnThisThread { .. })));
            drop(txn);
        });
        last.join().unwrap();
        drop(db.write().unwrap());
        assert_clean(&db);
    });
}

/// The thread that has the transaction is told so, and does not wait for itself, whoever else has
/// read in it.
#[test]
fn a_transaction_stays_with_its_thread_while_others_read_in_it() {
    watched(|| {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let first = open(&path);
        deferred(&first, b"first");
        let second = open(&path);
        let mut txn = first.write().unwrap();
        let main = txn.open("main").unwrap();
        for _ in 0..2 {
            std::thread::scope(|threads| {
                for _ in 0..3 {
                    threads.spawn(|| assert!(txn.get(main, b"first").unwrap().is_some()));
                }
            });
            // Of the second handle, which would have to repair first.
            assert!(matches!(second.flush(), Err(Error::WriterOnThisThread { .. })));
            assert!(matches!(first.write(), Err(Error::WriterOnThisThread { .. })));
            assert!(matches!(second.write(), Err(Error::WriterOnThisThread { .. })));
            txn.put(main, b"second", b"").unwrap();
        }
        drop(txn);
        drop(second.write().unwrap());
        assert_clean(&first);
    });
}

/// A repair is waited for by a bounded wait like the lock itself; no timeout is too long for the
/// clock.
#[test]
fn the_longest_timeout_is_no_timeout() {
    watched(|| {
        let db = Database::in_memory().unwrap();
        let txn = db.write_timeout(Duration::MAX).unwrap();
        let other = db.clone();
        let (waits, waiting) = channel();
        let waiter = std::thread::spawn(move || {
            waits.send(()).unwrap();
            let mut txn = other.write_timeout(Duration::MAX).unwrap();
            txn.open_table("main").unwrap().put(b"a", b"").unwrap();
            txn.commit().unwrap();
        });
        waiting.recv().unwrap();
        drop(txn);
        waiter.join().unwrap();
        let seen = db.read().unwrap().id();
        assert_eq!(db.wait_for_commit(seen - 1, Some(Duration::MAX)).unwrap(), seen);
        let builder = Database::builder().open_timeout(Duration::MAX).clone();
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let (first, second) = (open_at(&path, &builder), open_at(&path, &builder));
        drop(first.write_timeout(Duration::MAX).unwrap());
        drop(second.write_timeout(Duration::MAX).unwrap());
        assert_clean(&db);
        assert_clean(&first);
    });
}
