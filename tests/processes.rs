//! Real processes: stopped, forked, killed in the middle of a load. A snapshot stays what it is,
//! readers wait for nobody, and nothing of the dead stays behind. The campaign that kills writers
//! and readers is `crash kill` (fuzz/crash).
//!
//! `RECTO_FULL=1` makes the killed load a gigabyte.

mod common;

use common::{Process, assert_clean, disk_dir, full, hear, memory_dir, open_at, put, role, say};
use common::{spread, write};
use fastrand::Rng;
use recto::{Builder, Database, Durability, Error, ReadTxn};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The child side of every test here.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let words: Vec<&str> = role.iter().map(String::as_str).collect();
    let path = Path::new(words[1]);
    match words[0] {
        "hold_writer" => hold_writer(path),
        "hold_reader" => hold_reader(path),
        "load" => load(path, words[2]),
        "fork" => fork_tests(path),
        "quiet" => quiet(path),
        "many_in_memory" => many_in_memory(),
        other => panic!("no role {other}"),
    }
}

fn start(role: &str, path: &Path, more: &[&str]) -> Process {
    let mut words = vec![role, path.to_str().unwrap()];
    words.extend(more);
    Process::start("child", &words)
}

/// As many commits as it may take until a writer looks for dead readers: once in 32.
fn settle(db: &Database) {
    for i in 0..40u64 {
        put(db, b"settle", &i.to_le_bytes());
    }
}

/// Nobody reads, and nothing is left of those who did.
fn assert_no_reader(db: &Database) {
    let readers = db.info().unwrap().readers;
    assert!(readers.is_empty(), "{readers:?}");
}

// ---- Stopped processes ----

fn fill(db: &Database, round: u64) {
    write(db, Durability::Deferred, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for i in 0..2_000u64 {
            table.put(&spread(i), &round.to_le_bytes().repeat(12)).unwrap();
        }
    });
}

fn assert_filled(txn: &ReadTxn, round: u64) {
    let table = txn.table("main").unwrap();
    for i in 0..2_000u64 {
        assert_eq!(table.get(&spread(i)).unwrap().unwrap(), round.to_le_bytes().repeat(12));
    }
}

fn hold_writer(path: &Path) {
    let db = open_at(path, &Builder::default());
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("main").unwrap();
    for i in 0..2_000u64 {
        table.put(&spread(i), b"never committed").unwrap();
    }
    say("inside");
    hear();
    drop(txn);
}

#[test]
fn a_stopped_writer_delays_writers_only() {
    let dir = disk_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    fill(&db, 7);
    for stopped_inside in [true, false] {
        let mut child = start("hold_writer", &path, &[]);
        child.expect("inside");
        if stopped_inside {
            child.stop();
        }
        // None of this returns if a reader waits for the writer.
        for _ in 0..1_000 {
            assert_filled(&db.read().unwrap(), 7);
        }
        // Somebody who opens the database now reads and is refused like everybody else.
        let other = open_at(&path, &Builder::default());
        assert_filled(&other.read().unwrap(), 7);
        assert!(matches!(db.write_timeout(Duration::from_millis(50)), Err(Error::Busy { .. })));
        assert!(matches!(other.write_timeout(Duration::from_millis(50)), Err(Error::Busy { .. })));
        assert!(other.try_write().unwrap().is_none());
        db.flush().unwrap();
        let waiter = std::thread::spawn(move || put(&other, b"from the", b"one who waited"));
        std::thread::sleep(Duration::from_millis(30));
        assert!(!waiter.is_finished());
        child.kill();
        waiter.join().unwrap();
        settle(&db);
        assert_filled(&db.read().unwrap(), 7);
        assert_no_reader(&db);
        assert_clean(&db);
    }
}

fn hold_reader(path: &Path) {
    let db = open_at(path, &Builder::default());
    let txn = db.read().unwrap();
    assert_filled(&txn, 1);
    say(&txn.id().to_string());
    loop {
        hear();
        assert_filled(&txn, 1);
        say("the same");
    }
}

#[test]
fn a_stopped_reader_keeps_its_snapshot_until_it_is_killed() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    fill(&db, 1);
    db.flush().unwrap();
    let mut child = start("hold_reader", &path, &[]);
    let id: u64 = child.line().parse().unwrap();
    child.stop();
    for round in 0..60 {
        fill(&db, 100 + round);
        db.flush().unwrap();
    }
    let held = db.info().unwrap();
    assert!(held.readers.iter().any(|r| r.txn.0 == id && r.alive));
    child.signal(libc::SIGCONT);
    child.tell("look");
    child.expect("the same");
    child.stop();
    fill(&db, 200);
    child.kill();
    // The dead hold nothing: the next writers clear the slot and use the pages.
    for round in 0..60 {
        fill(&db, 300 + round);
        db.flush().unwrap();
    }
    let after = db.info().unwrap();
    // One step of growth: a round more than before was written while the reader was there.
    let (before, after_bytes) = (held.file_bytes, after.file_bytes);
    assert!(after_bytes <= before + (512 << 10), "{before} bytes, then {after_bytes}");
    assert!(after.readers.iter().all(|r| r.txn.0 != id && r.alive), "{:?}", after.readers);
    assert_no_reader(&db);
    assert_clean(&db);
}

// ---- fork ----

#[test]
fn a_forked_child_is_refused_and_leaves_its_parent_alone() {
    let dir = disk_dir();
    // In a process of its own, where no other test runs threads.
    let child = start("fork", &dir.path().join("x.recto"), &[]);
    child.expect("done");
    child.finish();
}

/// Runs `body` in a forked child, and fails if it does not return 0.
fn in_fork(body: impl FnOnce() -> i32) {
    // SAFETY: no thread of this process has a lock that the child needs; the child leaves without
    // destructors.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            libc::_exit(end.unwrap_or(99));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:x}");
    }
}

fn forked<T>(result: recto::Result<T>, code: i32) -> std::result::Result<(), i32> {
    match result {
        Err(Error::Forked { path: Some(_) }) => Ok(()), // which of them it was
        _ => Err(code),
    }
}

fn fork_tests(path: &Path) {
    let db = open_at(path, &Builder::default());
    fill(&db, 1);
    write(&db, Durability::Durable, |txn| assert!(txn.open_table("empty").unwrap().is_empty()));
    db.flush().unwrap();
    let reader = db.read().unwrap();
    let mut writer = db.write().unwrap();
    writer.open_table("main").unwrap().put(b"own", b"1").unwrap();
    let slots = db.info().unwrap().readers.len();

    // The child takes its copies of everything, uses them, and drops them.
    let mut copies = Some((db.clone(), reader, writer));
    in_fork(|| {
        let (db, mut reader, mut writer) = copies.take().unwrap();
        let used = || -> std::result::Result<(), i32> {
            forked(db.read(), 1)?;
            forked(db.write(), 2)?;
            forked(db.try_write(), 3)?;
            forked(db.write_timeout(Duration::from_millis(10)), 4)?;
            forked(db.flush(), 5)?;
            forked(db.info(), 6)?;
            forked(db.check(None), 7)?;
            forked(db.batch(|_| Ok(())), 16)?;
            forked(reader.table("main").map(drop), 8)?;
            forked(reader.tables(), 9)?;
            forked(writer.table("main").map(drop), 10)?;
            forked(writer.open_table("main").map(drop), 11)?;
            forked(writer.create_table("x").map(drop), 12)?;
            forked(writer.tables(), 13)?;
            forked(writer.commit(), 14)?;
            forked(reader.refresh(), 15)
        };
        let end = used();
        drop(reader);
        drop(db);
        end.err().unwrap_or(0)
    });
    let (clone, reader, mut writer) = copies.take().unwrap();
    drop(clone);

    // Tables that were open before the fork.
    let table = reader.table("main").unwrap();
    let mut own = writer.open_table("main").unwrap();
    let key = spread(5);
    in_fork(|| {
        let used = |own: &mut recto::TableMut<'_>| -> std::result::Result<(), i32> {
            forked(table.get(&key), 1)?;
            forked(table.first(), 2)?;
            forked(table.iter().and_then(|mut i| i.next().transpose()), 3)?;
            forked(own.get(&key).map(drop), 4)?;
            forked(own.put(b"x", b"y"), 5)?;
            forked(own.delete(b"x"), 6)
        };
        used(&mut own).err().unwrap_or(0)
    });

    // Walks that were begun before it, in the middle of a leaf, and a table without a key.
    let mut own_range = own.iter().unwrap();
    own_range.next().unwrap().unwrap();
    let mut range = table.iter().unwrap();
    let mut other_range = table.iter().unwrap();
    let mut cursor = table.cursor();
    for _ in 0..3 {
        range.next().unwrap().unwrap();
        other_range.next_ref().unwrap().unwrap();
        cursor.next().unwrap().unwrap();
    }
    let owned = Arc::new(db.read().unwrap()).owned_table("main").unwrap();
    let (mut pairs, mut place) = (owned.iter().unwrap(), owned.cursor());
    for _ in 0..3 {
        pairs.next_ref().unwrap().unwrap();
        place.next().unwrap().unwrap();
    }
    let empty = reader.table("empty").unwrap();
    in_fork(|| {
        let mut used = || -> std::result::Result<(), i32> {
            forked(range.next().transpose(), 1)?;
            forked(other_range.next_ref().map(drop), 2)?;
            forked(cursor.next().map(drop), 3)?;
            forked(own_range.next().transpose(), 4)?;
            forked(empty.get(b"a"), 5)?;
            forked(empty.first(), 6)?;
            forked(empty.get_many(&[b"a"]), 7)?;
            forked(empty.cursor().next().map(drop), 8)?;
            forked(empty.iter().map(drop), 9)?;
            forked(pairs.next_ref().map(drop), 10)?;
            forked(place.next().map(drop), 11)?;
            forked(owned.iter().map(drop), 12)?;
            if pairs.next().is_some() { Err(13) } else { Ok(()) }
        };
        used().err().unwrap_or(0)
    });
    assert_eq!(range.count(), table.len() as usize - 3);
    assert_eq!(pairs.count(), table.len() as usize - 3);
    drop((owned, place));

    // The parent still has its slot, its lock and its transactions.
    let other = open_at(path, &Builder::default());
    assert!(db.info().unwrap().readers.len() >= slots);
    assert!(db.info().unwrap().readers.iter().any(|r| r.txn.0 == reader.id()));
    assert!(matches!(other.write_timeout(Duration::from_millis(20)), Err(Error::Busy { .. })));
    writer.commit().unwrap();
    for round in 2..20 {
        fill(&other, round);
    }
    assert_filled(&reader, 1);
    assert_eq!(db.read().unwrap().table("main").unwrap().get(b"own").unwrap(), Some(&b"1"[..]));

    // What threads of the parent tell: the child has none.
    let mut changes = db.changes().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(changes.poll_next(&mut context).is_pending());
    let mut txn = db.write().unwrap();
    txn.open_table("empty").unwrap().put(b"a", b"").unwrap();
    let mut commits = [Some(txn.commit_async())];
    let mut txn = Some(db.write().unwrap());
    in_fork(|| {
        let txn = txn.take().unwrap();
        let [commit] = commits.each_mut().map(|commit| commit.take().unwrap());
        let used = || -> std::result::Result<(), i32> {
            forked(txn.commit_async().wait(), 1)?;
            forked(commit.wait(), 2)?;
            match changes.poll_next(&mut context) {
                Poll::Ready(told) => forked(told, 3)?,
                Poll::Pending => return Err(4),
            }
            forked(changes.wait(None), 5)?;
            forked(db.changes(), 6)
        };
        let end = used();
        drop(changes);
        end.err().unwrap_or(0)
    });
    drop(txn);
    for commit in commits.into_iter().flatten() {
        assert!(commit.wait().unwrap().id.is_some());
    }
    assert!(db.read().unwrap().table("empty").unwrap().contains_key(b"a").unwrap());

    // A child may open the database for itself, and its end is no end for its parent's locks.
    let writer = db.write().unwrap();
    in_fork(|| {
        let db = open_at(path, &Builder::default());
        assert_filled(&db.read().unwrap(), 19);
        assert!(matches!(db.write_timeout(Duration::from_millis(20)), Err(Error::Busy { .. })));
        0
    });
    assert!(matches!(other.write_timeout(Duration::from_millis(20)), Err(Error::Busy { .. })));
    drop(writer);
    in_fork(|| {
        let db = open_at(path, &Builder::default());
        put(&db, b"child", b"was here");
        drop(db);
        0
    });
    assert_eq!(
        db.read().unwrap().table("main").unwrap().get(b"child").unwrap(),
        Some(&b"was here"[..])
    );
    drop(reader);
    drop(other);
    assert_clean(&db);
    say("done");
}

// ---- Without a system call ----

#[test]
fn a_read_transaction_makes_no_system_call() {
    let dir = disk_dir();
    let child = start("quiet", &dir.path().join("x.recto"), &[]);
    child.expect("done");
    child.finish();
}

fn quiet(path: &Path) {
    let db = open_at(path, &Builder::default());
    fill(&db, 1);
    let reads = |db: &Database| {
        for i in 0..2_000 {
            let txn = db.read().unwrap();
            let table = txn.table("main").unwrap();
            assert_eq!(table.get(&spread(i)).unwrap().unwrap().len(), 96);
            assert!(table.iter().unwrap().take(10).all(|pair| pair.is_ok()));
        }
    };
    in_fork(|| {
        let db = open_at(path, &Builder::default());
        // The first read leases a slot, and the allocator gets its memory.
        reads(&db);
        // SAFETY: from here on the kernel ends this process for every call but read, write and
        // exit.
        unsafe {
            if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) != 0 {
                return 1;
            }
            reads(&db);
            libc::syscall(libc::SYS_exit, 0);
        }
        2
    });
    // The trap is there: what does make a call ends in it.
    // SAFETY: a child of one thread.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT);
            libc::getppid();
            libc::syscall(libc::SYS_exit, 0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL);
    }
    assert_clean(&db);
    say("done");
}

// ---- A killed load ----

/// Loads for ever: many transactions, or a single one that never ends.
fn load(path: &Path, how: &str) {
    let db = open_at(path, &Builder::default());
    let mut rng = Rng::with_seed(1);
    let mut value = vec![0; 1000];
    let mut next = 0u64;
    loop {
        let mut txn = db.write().unwrap();
        let durable = next.is_multiple_of(8_000);
        txn.set_durability(if durable { Durability::Durable } else { Durability::Deferred });
        let mut table = txn.open_table("load").unwrap();
        let end = if how == "one" { u64::MAX } else { next + 2_000 };
        while next < end {
            rng.fill(&mut value);
            let key = if how == "one" { next.to_be_bytes() } else { spread(next) };
            value[..8].copy_from_slice(&next.to_le_bytes());
            table.put(&key, &value).unwrap();
            next += 1;
        }
        txn.commit().unwrap();
        say(&format!("{} {next}", if durable { "durable" } else { "deferred" }));
    }
}

#[test]
fn opening_after_a_killed_load_reads_few_pages() {
    let dir = disk_dir();
    let bytes: u64 = if full() { 1 << 30 } else { 64 << 20 };
    for (how, lock_lost) in [("many", false), ("many", true), ("one", true)] {
        let path = dir.path().join(format!("{how}-{lock_lost}.recto"));
        put(&open_at(&path, &Builder::default()), b"before", b"it all");
        let mut child = start("load", &path, &[how]);
        // The one transaction spills its pages to the file as it goes.
        while std::fs::metadata(&path).unwrap().len() < bytes {
            std::thread::sleep(Duration::from_millis(3));
        }
        child.kill();
        // With the lock file goes what was not flushed, as after a reboot, and never less than
        // that.
        let (mut acked, mut durable) = (0, 0);
        for line in child.said() {
            let (kind, n) = line.split_once(' ').unwrap();
            acked = n.parse::<u64>().unwrap();
            durable = if kind == "durable" { acked } else { durable };
        }
        let least = if lock_lost { durable } else { acked };
        if lock_lost {
            std::fs::remove_file(path.with_extension("recto-lock")).unwrap();
        }
        let started = Instant::now();
        let db = open_at(&path, &Builder::default());
        let opened_us = started.elapsed().as_micros();
        let info = db.info().unwrap();
        println!(
            "{how}, lock file lost {lock_lost}: {} MiB, opened with {} pages in {opened_us} us, repair {}",
            info.file_bytes >> 20,
            info.opening_pages_read,
            info.repair_pending
        );
        // Deferred commits that were visible are compared with the list of pages, which ends at
        // 32,768.
        let most = if lock_lost { 1_000 } else { 1_000 + 32_768 };
        assert!(info.opening_pages_read < most, "{} pages", info.opening_pages_read);
        let txn = db.read().unwrap();
        if how == "many" {
            let table = txn.table("load").unwrap();
            assert!(durable > 0 && table.len() >= least && table.len().is_multiple_of(2_000));
            for i in 0..table.len() {
                let value = table.get(&spread(i)).unwrap().unwrap();
                assert_eq!(value[..8], i.to_le_bytes());
            }
        } else {
            assert!(matches!(txn.table("load"), Err(Error::NoSuchTable(_))));
        }
        drop(txn);
        put(&db, b"after", b"it all");
        assert_clean(&db);
        assert_eq!(db.read().unwrap().table("main").unwrap().len(), 2);
    }
}

// ---- Address space ----

#[test]
fn databases_in_memory_take_few_addresses_and_have_no_limit() {
    let child = start("many_in_memory", Path::new("none"), &[]);
    child.expect("done");
    child.finish();
}

fn many_in_memory() {
    let many = |n: usize| -> Vec<Database> {
        let one = |i: usize| {
            let db = Database::in_memory().unwrap_or_else(|e| panic!("number {i}: {e}"));
            put(&db, b"number", &i.to_le_bytes());
            db
        };
        (0..n).map(one).collect()
    };
    let thousands = many(2_000);
    std::thread::spawn(|| ()).join().unwrap();
    assert_clean(&thousands[1_999]);
    drop(thousands);

    let limit = libc::rlimit { rlim_cur: 16 << 30, rlim_max: 16 << 30 };
    // SAFETY: a struct that lives across the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let hundred = many(120);
    std::thread::spawn(|| ()).join().unwrap();
    // What is reserved is no limit, and who reads while it is outgrown goes on.
    let db = Builder::default().reserve(1 << 20).in_memory().unwrap();
    fill(&db, 1);
    let old = db.read().unwrap();
    for round in 2..12 {
        write(&db, Durability::Durable, |txn| {
            txn.open_table("large").unwrap().put(&[round], &vec![round; 4 << 20]).unwrap();
        });
        fill(&db, round.into());
        assert_filled(&old, 1);
    }
    assert!(db.info().unwrap().file_bytes > 40 << 20);
    assert_filled(&db.read().unwrap(), 11);
    drop(old);
    for db in &hundred {
        assert_clean(db);
    }
    assert_clean(&db);
    say("done");
}
