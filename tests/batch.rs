//! Closures of several threads in one commit.

mod common;

use common::{assert_clean, memory_dir, open_at, pairs};
use recto::{Builder, Database, Error};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

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

/// Waits until this many threads are inside of a `batch` that somebody else leads: they can do
/// nothing then but wait, and there is nothing to see of it.
fn settle() {
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn what_waits_shares_a_commit() {
    within(120, || {
        let db = Database::in_memory().unwrap();
        let before = db.info().unwrap().visible;
        // Somebody else has the write transaction while all of them come.
        let writer = db.write().unwrap();
        let threads: Vec<_> = (0..20u8)
            .map(|n| {
                let db = db.clone();
                std::thread::spawn(move || {
                    db.batch(move |txn| {
                        txn.open_table("main")?.put(&[n], b"value")?;
                        Ok((n, txn.id()))
                    })
                })
            })
            .collect();
        settle();
        drop(writer);
        let results: Vec<(u8, u64)> =
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
        let ids: BTreeSet<u64> = results.iter().map(|(_, id)| *id).collect();
        // More than one only where a thread came that late.
        assert!(ids.len() < 10, "{ids:?}");
        assert_eq!(
            results.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
            (0..20).collect::<Vec<_>>()
        );
        assert!(db.info().unwrap().visible > before);
        assert_eq!(pairs(&db, "main").len(), 20);
        assert_clean(&db);
    });
}

/// Closures that fail and that panic, among others that count: each of these has its effect exactly
/// once, and each of those its own error, and none.
#[test]
fn who_fails_hurts_nobody_else() {
    within(300, || {
        let dir = memory_dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        const THREADS: u32 = 8;
        const EACH: u32 = 60;
        let runs = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (db, runs) = (db.clone(), runs.clone());
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        let runs = runs.clone();
                        let kind = (thread + n) % 5;
                        let closure = move |txn: &mut recto::WriteTxn| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            let mut table = txn.open_table("main")?;
                            let add = |n: Option<&[u8]>| {
                                let n = n.and_then(|n| n.try_into().ok());
                                Some((n.map_or(0, u32::from_le_bytes) + 1).to_le_bytes())
                            };
                            let sum = table.update(b"sum", add)?.map_or(0, u32::from_le_bytes);
                            table.put(
                                &[&thread.to_be_bytes()[..], &n.to_be_bytes()].concat(),
                                b"",
                            )?;
                            match kind {
                                0 => Err(Error::InvalidArgument(format!("{thread} {n}"))),
                                1 => panic!("thread {thread}, {n}"),
                                _ => Ok(sum),
                            }
                        };
                        let result = catch_unwind(AssertUnwindSafe(|| db.batch(closure)));
                        match (kind, result) {
                            (0, Ok(Err(Error::InvalidArgument(detail)))) => {
                                assert_eq!(detail, format!("{thread} {n}"));
                            }
                            (1, Err(panic)) => {
                                let text = panic.downcast_ref::<String>().unwrap();
                                assert_eq!(*text, format!("thread {thread}, {n}"));
                            }
                            (2.., Ok(Ok(sum))) => assert!(sum > 0),
                            (kind, result) => panic!("{kind}: {:?}", result.is_ok()),
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let good = (0..THREADS)
            .flat_map(|t| (0..EACH).map(move |n| (t, n)))
            .filter(|(t, n)| (t + n) % 5 > 1);
        let mut wanted: Vec<Vec<u8>> =
            good.map(|(t, n)| [t.to_be_bytes(), n.to_be_bytes()].concat()).collect();
        wanted.push(b"sum".to_vec());
        let (keys, values): (Vec<_>, Vec<_>) = pairs(&db, "main").into_iter().unzip();
        assert_eq!(keys, wanted);
        let sum = u32::from_le_bytes(values[values.len() - 1][..].try_into().unwrap());
        assert_eq!(sum as usize, wanted.len() - 1, "each has counted once");
        assert!(runs.load(Ordering::Relaxed) >= THREADS * EACH);
        assert_clean(&db);
    });
}

/// The results are those of the runs that were committed, and ascend with them.
#[test]
fn results_are_those_of_the_commit() {
    within(120, || {
        let db = Database::in_memory().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let db = db.clone();
                std::thread::spawn(move || {
                    let count = |txn: &mut recto::WriteTxn| {
                        let mut table = txn.open_table("main")?;
                        let n = table.len();
                        table.put(&n.to_be_bytes(), b"")?;
                        Ok(n)
                    };
                    (0..200).map(|_| db.batch(count).unwrap()).collect::<Vec<u64>>()
                })
            })
            .collect();
        let mut numbers = Vec::new();
        for thread in threads {
            let own = thread.join().unwrap();
            assert!(own.is_sorted());
            numbers.extend(own);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..800).collect::<Vec<_>>(), "no number twice");
        assert_clean(&db);
    });
}

#[test]
fn nobody_waits_for_himself() {
    within(60, || {
        let db = Database::in_memory().unwrap();
        // Inside of a closure, on the thread that runs it.
        let inner = db.clone();
        let nested = db.batch(move |_| inner.batch(|_| Ok(())));
        assert!(matches!(nested, Err(Error::WriterOnThisThread { .. })), "{nested:?}");
        // Beside a transaction of the thread, also while somebody leads who waits for that.
        let txn = db.write().unwrap();
        let other = db.clone();
        let waiting = std::thread::spawn(move || {
            other.batch(|txn| txn.open_table("main")?.put(b"key", b"value"))
        });
        settle();
        let own = db.batch(|_| Ok(()));
        assert!(matches!(own, Err(Error::WriterOnThisThread { .. })), "{own:?}");
        drop(txn);
        assert!(!waiting.join().unwrap().unwrap());
        // And it goes on as ever.
        assert!(db.batch(|txn| txn.open_table("main")?.put(b"key", b"other")).unwrap());
    });
}

#[test]
fn one_closure_does_not_say_how_durable_others_are() {
    let dir = memory_dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    db.batch(|txn| {
        txn.set_durability(recto::Durability::Deferred);
        txn.open_table("main")?.put(b"key", b"value")
    })
    .unwrap();
    let info = db.info().unwrap();
    assert_eq!(info.durable, info.visible);
}

#[test]
fn a_database_that_is_only_read() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    drop(open_at(&path, &Builder::default()));
    let db = open_at(&path, Builder::default().read_only(true));
    for _ in 0..3 {
        assert!(matches!(db.batch(|_| Ok(())), Err(Error::ReadOnly { .. })));
    }
}

/// Whoever leads runs the closures of others, and keeps none of them: what one has captured ends on
/// its own thread, before its `batch` returns. A panic in that is nobody else's, and those that
/// have been committed with it are told so.
#[test]
fn a_closure_ends_on_its_own_thread() {
    struct Captured(ThreadId, Arc<AtomicU32>, bool);
    impl Drop for Captured {
        fn drop(&mut self) {
            if std::thread::current().id() != self.0 {
                self.1.fetch_add(1, Ordering::Relaxed);
            }
            if self.2 {
                std::panic::resume_unwind(Box::new("at the end"));
            }
        }
    }
    within(120, || {
        let db = Database::in_memory().unwrap();
        let elsewhere = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..8u8)
            .map(|thread| {
                let (db, elsewhere) = (db.clone(), elsewhere.clone());
                std::thread::spawn(move || {
                    for n in 0..500u32 {
                        let panics = (u32::from(thread) + n).is_multiple_of(16);
                        let own = std::thread::current().id();
                        let captured = Captured(own, elsewhere.clone(), panics);
                        let alive = Arc::new(());
                        let here = alive.clone();
                        let closure = move |txn: &mut recto::WriteTxn| {
                            let _ = (&captured, &here);
                            txn.open_table("main")?
                                .put(&[&[thread], &n.to_be_bytes()[..]].concat(), b"")
                        };
                        match catch_unwind(AssertUnwindSafe(|| db.batch(closure))) {
                            Ok(result) => assert!(!result.unwrap() && !panics),
                            Err(panic) => assert!(panics && panic.is::<&str>()),
                        }
                        assert_eq!(Arc::strong_count(&alive), 1, "it has ended");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(elsewhere.load(Ordering::Relaxed), 0);
        assert_eq!(pairs(&db, "main").len(), 8 * 500);
        assert_clean(&db);
    });
}

/// What is committed is what the closures were run in: one that puts another transaction there
/// loses nothing of the others, and is told.
#[test]
fn a_closure_that_puts_another_transaction_there() {
    within(60, || {
        let (db, other) = (Database::in_memory().unwrap(), Database::in_memory().unwrap());
        let writer = db.write().unwrap();
        let threads: Vec<_> = (0..6u8)
            .map(|n| {
                let (db, other) = (db.clone(), other.clone());
                std::thread::spawn(move || {
                    db.batch(move |txn| {
                        txn.open_table("main")?.put(&[n], b"before")?;
                        if n % 3 == 1 {
                            drop(std::mem::replace(txn, other.write()?));
                            txn.open_table("main")?.put(&[n], b"elsewhere")?;
                        }
                        Ok(())
                    })
                })
            })
            .collect();
        settle();
        drop(writer);
        for (n, thread) in threads.into_iter().enumerate() {
            match thread.join().unwrap() {
                Err(Error::InvalidArgument(_)) => assert_eq!(n % 3, 1),
                result => assert!(result.is_ok() && n % 3 != 1, "{n}: {result:?}"),
            }
        }
        let keys: Vec<u8> = pairs(&db, "main").into_iter().map(|(key, _)| key[0]).collect();
        assert_eq!(keys, [0, 2, 3, 5]);
        assert!(pairs(&other, "main").is_empty());
        assert_clean(&db);
    });
}

/// A savepoint of one closure is none of another: to go back to it would undo what those between
/// them have done, who are told that they are committed.
#[test]
fn savepoints_end_with_their_closure() {
    within(60, || {
        let db = Database::in_memory().unwrap();
        let writer = db.write().unwrap();
        let point = Arc::new(Mutex::new(None));
        let threads: Vec<_> = (0..6u8)
            .map(|n| {
                let (db, point) = (db.clone(), point.clone());
                let thread = std::thread::spawn(move || {
                    db.batch(move |txn| {
                        if n == 0 {
                            *point.lock().unwrap() = Some(txn.savepoint()?);
                        }
                        txn.open_table("main")?.put(&[n], b"value")?;
                        match &*point.lock().unwrap() {
                            Some(point) if n == 4 => txn.rollback_to(point).map(|()| true),
                            _ => Ok(false),
                        }
                    })
                });
                settle(); // one after the other
                thread
            })
            .collect();
        drop(writer);
        let mut wanted = Vec::new();
        for (n, thread) in threads.into_iter().enumerate() {
            match thread.join().unwrap() {
                Err(Error::NoSuchSavepoint) => assert_eq!(n, 4),
                // The fifth too, should it have come before the first.
                Ok(false) => wanted.push(n as u8),
                result => panic!("{n}: {result:?}"),
            }
        }
        let keys: Vec<u8> = pairs(&db, "main").into_iter().map(|(key, _)| key[0]).collect();
        assert_eq!(keys, wanted);
        assert_clean(&db);
    });
}

/// A closure that passes over an error which has broken the transaction is the one that has failed,
/// and not those behind it: they share a commit all the same.
#[test]
fn who_breaks_the_transaction_is_the_one_who_fails() {
    within(60, || {
        let db = Database::builder().max_bytes(1 << 20).in_memory().unwrap();
        let writer = db.write().unwrap();
        let threads: Vec<_> = (0..10u8)
            .map(|n| {
                let db = db.clone();
                let thread = std::thread::spawn(move || {
                    db.batch(move |txn| {
                        let mut table = txn.open_table("main")?;
                        if n == 0 {
                            let full = table.put(b"large", &vec![0; 2 << 20]);
                            assert!(matches!(full, Err(Error::DatabaseFull { .. })));
                            return Ok(0);
                        }
                        table.put(&[n], b"value")?;
                        Ok(txn.id())
                    })
                });
                settle(); // one after the other
                thread
            })
            .collect();
        drop(writer);
        let mut results = threads.into_iter().map(|thread| thread.join().unwrap());
        assert!(matches!(results.next(), Some(Err(Error::TransactionBroken { .. }))));
        let ids: BTreeSet<u64> = results.map(Result::unwrap).collect();
        // More than one only where a thread came late.
        assert!(ids.len() < 5, "{ids:?}");
        assert_eq!(pairs(&db, "main").len(), 9);
        assert_clean(&db);
    });
}
