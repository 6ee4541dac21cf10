//! How large the file gets: one-key commits, readers that stay, large values, dropped tables, full
//! disks.
//!
//! `RECTO_FULL=1` makes the long forms: a million keys, on disk.

mod common;

use common::{
    Process, assert_clean, disk_dir, full, memory_dir, mount_privately, open_at, put, role, say,
    spread, write,
};
use fastrand::Rng;
use recto::harness::sync_count;
use recto::{Builder, Database, Durability, Error, ReadTxn, Sink};
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;

const SINKS: [Sink; 2] = [Sink::Staged, Sink::Direct];

/// On disk in the long form, in memory otherwise.
fn dir() -> TempDir {
    if full() { disk_dir() } else { memory_dir() }
}

fn pick<T>(short: T, long: T) -> T {
    if full() { long } else { short }
}

fn value(i: u64, round: u64) -> [u8; 100] {
    let mut v = [round as u8; 100];
    v[..8].copy_from_slice(&i.to_le_bytes());
    v[8..16].copy_from_slice(&round.to_le_bytes());
    v
}

/// `n` keys with values of 100 bytes in one durable transaction, in the order of the keys: no page
/// is free after it.
fn load(db: &Database, n: u64) {
    let mut numbers: Vec<u64> = (0..n).collect();
    numbers.sort_unstable_by_key(|&i| spread(i));
    write(db, Durability::Durable, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for i in numbers {
            table.put(&spread(i), &value(i, 0)).unwrap();
        }
    });
}

/// Overwrites `batch` random keys of `n` in one transaction.
fn overwrite(db: &Database, rng: &mut Rng, n: u64, batch: u64, round: u64, durability: Durability) {
    write(db, durability, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for _ in 0..batch {
            let i = rng.u64(..n);
            table.put(&spread(i), &value(i, round)).unwrap();
        }
    });
}

fn file_bytes(db: &Database) -> u64 {
    db.info().unwrap().file_bytes
}

/// Bytes of the pages that the newest snapshot sees, free ones not counted.
fn live_bytes(db: &Database) -> u64 {
    let info = db.info().unwrap();
    (info.page_count - info.free_pages) * u64::from(info.page_size)
}

#[test]
fn one_key_commits_leave_the_file_as_it_is() {
    let (n, commits) = pick((20_000, 2_000), (1_000_000, 100_000));
    for sink in SINKS {
        let dir = dir();
        let db = open_at(&dir.path().join("x.recto"), Builder::default().sink(sink));
        load(&db, n);
        let (start, syncs) = (file_bytes(&db), sync_count(&db));
        let mut rng = Rng::with_seed(1);
        let begin = std::time::Instant::now();
        let mut settled = start;
        for round in 0..commits {
            if round == commits / 10 {
                settled = file_bytes(&db);
            }
            overwrite(&db, &mut rng, n, 1, round + 1, Durability::Durable);
            assert_eq!(sync_count(&db) - syncs, round + 1, "one msync for a commit");
        }
        let end = file_bytes(&db);
        println!(
            "{sink:?}: {commits} commits, file {start} -> {end} bytes ({:.4}), {:.1} us each",
            end as f64 / start as f64,
            begin.elapsed().as_micros() as f64 / commits as f64
        );
        // A freshly loaded file may have to grow once, by the smallest step, for the pages that
        // commits turn over.
        assert!(settled <= start + start / 20 + (256 << 10), "from {start} to {settled} bytes");
        assert!(end * 100 <= settled * 101, "then to {end} bytes");
        assert_clean(&db);
    }
}

/// Samples of a table, to be found again in a snapshot.
fn sample(txn: &ReadTxn, n: u64) -> Vec<Vec<u8>> {
    let table = txn.table("main").unwrap();
    assert_eq!(table.len(), n);
    let step = (n / 1_000).max(1) as usize;
    (0..n).step_by(step).map(|i| table.get(&spread(i)).unwrap().unwrap().to_vec()).collect()
}

/// Somebody for whom the state of now is kept: who reads it, or a name.
enum Keeper {
    Reader(ReadTxn),
    Name(String),
}

impl Keeper {
    fn new(db: &Database, name: Option<&str>, durability: Durability) -> Keeper {
        let Some(name) = name else { return Keeper::Reader(db.read().unwrap()) };
        let mut txn = db.write().unwrap();
        txn.set_durability(durability);
        txn.create_snapshot(name).unwrap();
        txn.commit().unwrap();
        Keeper::Name(name.into())
    }

    fn sample(&self, db: &Database, n: u64) -> Vec<Vec<u8>> {
        match self {
            Keeper::Reader(txn) => sample(txn, n),
            Keeper::Name(name) => sample(&db.read_snapshot(name).unwrap(), n),
        }
    }

    fn end(self, db: &Database, durability: Durability) {
        let Keeper::Name(name) = self else { return };
        let mut txn = db.write().unwrap();
        txn.set_durability(durability);
        assert!(txn.drop_snapshot(&name).unwrap());
        txn.commit().unwrap();
    }
}

#[test]
fn a_reader_that_stays_costs_no_more_than_what_it_sees() {
    one_that_stays(None);
}

#[test]
fn a_named_snapshot_costs_no_more_than_what_it_sees() {
    one_that_stays(Some("kept"));
}

fn one_that_stays(name: Option<&str>) {
    let (n, batches, batch) = pick((20_000, 600, 100), (1_000_000, 1_000, 1_000));
    for durability in [Durability::Durable, Durability::Deferred] {
        let dir = dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        load(&db, n);
        let loaded = file_bytes(&db);
        let mut rng = Rng::with_seed(2);
        // What the commits themselves need is there before the reader comes.
        for round in 0..batches / 2 {
            overwrite(&db, &mut rng, n, batch, round, durability);
        }
        let (start, seen) = (file_bytes(&db), live_bytes(&db));
        let keeper = Keeper::new(&db, name, durability);
        let old = keeper.sample(&db, n);
        let mut at_two_thirds = 0;
        for round in 0..batches {
            if round == batches * 2 / 3 {
                at_two_thirds = file_bytes(&db);
            }
            overwrite(&db, &mut rng, n, batch, 1_000 + round, durability);
        }
        let end = file_bytes(&db);
        println!(
            "{durability:?}: {loaded} bytes loaded, {start} in use, {seen} seen by the reader; {at_two_thirds} after two \
             thirds, {end} in the end: {:.3} times what was loaded",
            end as f64 / loaded as f64
        );
        assert!(keeper.sample(&db, n) == old, "the snapshot has changed");
        // The file grows in steps of a 32nd, or a quarter of a megabyte.
        assert!(
            end <= (start + seen) * 33 / 32 + (512 << 10),
            "{start} + {seen} bytes have become {end}"
        );
        assert!(end * 100 <= at_two_thirds * 105, "still growing: {at_two_thirds}, {end}");
        keeper.end(&db, durability);
        for round in 0..batches / 3 {
            overwrite(&db, &mut rng, n, batch, 9_000 + round, durability);
        }
        let after = file_bytes(&db);
        assert!(after <= end, "without the reader {end} bytes are not enough: {after}");
        assert_clean(&db);
    }
}

#[test]
fn readers_that_come_and_go_keep_the_file_bounded() {
    many_that_come_and_go(false);
}

#[test]
fn named_snapshots_that_come_and_go_keep_the_file_bounded() {
    many_that_come_and_go(true);
}

fn many_that_come_and_go(named: bool) {
    let (n, batches, batch) = pick((20_000, 4_000, 50), (1_000_000, 2_000, 500));
    let dir = dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    load(&db, n);
    let start = file_bytes(&db);
    let mut rng = Rng::with_seed(3);
    // Six readers overlap at any time; each sees the batches of its life.
    let mut readers: Vec<(Keeper, Vec<Vec<u8>>)> = Vec::new();
    let mut at_two_thirds = 0;
    for round in 0..batches {
        if round % 20 == 0 {
            let name = named.then(|| format!("of round {round}"));
            let keeper = Keeper::new(&db, name.as_deref(), Durability::Deferred);
            let seen = keeper.sample(&db, n);
            readers.push((keeper, seen));
            if readers.len() > 6 {
                let leaver = rng.usize(..readers.len());
                let (keeper, seen) = readers.swap_remove(leaver);
                assert!(keeper.sample(&db, n) == seen, "a snapshot has changed");
                keeper.end(&db, Durability::Deferred);
            }
        }
        let durable = if round % 10 == 0 { Durability::Durable } else { Durability::Deferred };
        overwrite(&db, &mut rng, n, batch, round, durable);
        if round == batches * 2 / 3 {
            at_two_thirds = file_bytes(&db);
        }
    }
    let end = file_bytes(&db);
    println!("{start} bytes, {at_two_thirds} after two thirds, {end} in the end");
    // A version for each of the seven and of the three that commits keep; and more, because pages
    // that only one of many readers sees may wait for another.
    assert!(end <= 16 * start, "{start} bytes have become {end}");
    assert!(end * 100 <= at_two_thirds * 115, "still growing: {at_two_thirds}, {end}");
    readers.into_iter().for_each(|(keeper, _)| keeper.end(&db, Durability::Deferred));
    for round in 0..batches / 3 {
        overwrite(&db, &mut rng, n, batch, 9_000 + round, Durability::Durable);
    }
    assert!(file_bytes(&db) <= end);
    assert_clean(&db);
}

/// Puts each of `n` keys of a table anew.
fn rewrite(db: &Database, table: &str, n: u64, round: u64) {
    write(db, Durability::Durable, |txn| {
        let mut table = txn.open_table(table).unwrap();
        for i in 0..n {
            table.put(&i.to_be_bytes(), &value(i, round)).unwrap();
        }
    });
}

/// Keys of the table that is kept, some 220 pages.
const KEPT: u64 = 8_000;

/// Six states that are kept at once and then no more, each a table apart from the next, beside so
/// many that keep their names; then the table is rewritten. Answers the page counts before and
/// after that.
fn six_gone_beside(db: &Database, stay: u64, named: bool) -> (u64, u64) {
    (0..4).for_each(|round| rewrite(db, "main", KEPT, round));
    for name in 0..stay {
        Keeper::new(db, Some(&format!("stays {name}")), Durability::Durable);
        rewrite(db, "small", 200, name);
    }
    (0..6).for_each(|round| rewrite(db, "main", KEPT, 10 + round));
    let six: Vec<Keeper> = (0..6)
        .map(|n| {
            let name = named.then(|| format!("goes {n}"));
            let keeper = Keeper::new(db, name.as_deref(), Durability::Durable);
            rewrite(db, "main", KEPT, 20 + n);
            keeper
        })
        .collect();
    six.into_iter().for_each(|keeper| keeper.end(db, Durability::Durable));
    let with = db.info().unwrap().page_count;
    (0..12).for_each(|round| rewrite(db, "main", KEPT, 30 + round));
    (with, db.info().unwrap().page_count)
}

/// What stays is as it was named.
fn assert_kept(db: &Database, stay: u64) {
    for name in 0..stay {
        let txn = db.read_snapshot(&format!("stays {name}")).unwrap();
        let table = txn.table("main").unwrap();
        assert!((0..KEPT).all(|i| table.get(&i.to_be_bytes()).unwrap() == Some(&value(i, 3)[..])));
    }
    assert_clean(db);
}

#[test]
fn names_that_are_dropped_give_space_back_beside_three_that_stay() {
    for stay in [2, 3, 5, 8] {
        let dir = dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        let (with, after) = six_gone_beside(&db, stay, true);
        println!("beside {stay}: {with} pages, {after} when the table was rewritten");
        assert!(after * 10 <= with * 6, "{with} pages, {after} behind it, beside {stay}");
        (0..50).for_each(|round| rewrite(&db, "small", 200, round));
        let end = db.info().unwrap().page_count;
        assert!(end <= after + after / 10, "then {end} pages behind {after}, beside {stay}");
        assert_kept(&db, stay);
    }
}

#[test]
fn what_dropped_names_pinned_is_used_beside_three_that_stay() {
    for stay in [2, 3, 5] {
        let dir = dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        six_gone_beside(&db, stay, true);
        rewrite(&db, "more", 4 * KEPT, 0);
        let (pages, free) = (db.info().unwrap().page_count, db.info().unwrap().free_pages);
        println!("beside {stay}: {pages} pages, {free} free");
        // What stays sees a table that is free for all others, and two commits keep theirs.
        assert!(free * 3 <= pages, "{free} of {pages} pages are free, beside {stay}");
        assert_kept(&db, stay);
    }
}

#[test]
fn readers_that_have_ended_give_space_back_beside_three_names_that_stay() {
    for stay in [2, 3, 5] {
        let dir = dir();
        let db = open_at(&dir.path().join("x.recto"), &Builder::default());
        let (with, after) = six_gone_beside(&db, stay, false);
        println!("beside {stay}: {with} pages, {after} when the table was rewritten");
        assert!(after * 10 <= with * 6, "{with} pages, {after} behind it, beside {stay}");
        assert_kept(&db, stay);
    }
}

/// A large value: mostly its seed's numbers, so that a page in a wrong place shows.
fn large(rng: &mut Rng, key: u64) -> Vec<u8> {
    let len = if rng.bool() { rng.usize(1..=1 << 20) } else { rng.usize(1..=16 << 10) };
    let mut v = vec![key as u8; len];
    for (i, chunk) in v.chunks_mut(4096).enumerate() {
        chunk[0] = i as u8 ^ key as u8;
    }
    v
}

#[test]
fn large_values_are_overwritten_in_bounded_space() {
    let (keys, writes) = pick((200, 3_000), (200, 20_000));
    for sink in SINKS {
        let dir = dir();
        let db = open_at(&dir.path().join("x.recto"), Builder::default().sink(sink));
        let mut rng = Rng::with_seed(4);
        let mut hashes = vec![(0, 0); keys as usize];
        let (mut live, mut most_live, mut done) = (0u64, 0, 0);
        while done < writes {
            let durable = if rng.bool() { Durability::Durable } else { Durability::Deferred };
            write(&db, durable, |txn| {
                let mut table = txn.open_table("main").unwrap();
                for _ in 0..rng.u64(1..4) {
                    let key = if done < keys { done } else { rng.u64(..keys) };
                    let v = large(&mut rng, key);
                    table.put(&key.to_be_bytes(), &v).unwrap();
                    let before = hashes[key as usize].0;
                    hashes[key as usize] = (v.len() as u64, crc32fast::hash(&v));
                    live = live + v.len() as u64 - before;
                    done += 1;
                }
            });
            most_live = most_live.max(live);
        }
        let end = file_bytes(&db);
        println!(
            "{sink:?}: {most_live} bytes live at most, file {end} ({:.2})",
            end as f64 / most_live as f64
        );
        assert!(end <= 3 * most_live, "{end} bytes for {most_live}");
        let txn = db.read().unwrap();
        let table = txn.table("main").unwrap();
        for (key, &(len, hash)) in hashes.iter().enumerate() {
            let v = table.get(&(key as u64).to_be_bytes()).unwrap().unwrap();
            assert_eq!((v.len() as u64, crc32fast::hash(v)), (len, hash));
        }
        drop(txn);
        assert_clean(&db);
    }
}

/// Small values and large ones of all lengths in the same transactions: single pages must not cut
/// up what the large ones need.
#[test]
fn values_of_all_lengths_share_a_file() {
    let (n, commits) = pick((20_000, 3_000), (100_000, 100_000));
    let dir = dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    load(&db, n);
    let mut rng = Rng::with_seed(5);
    let bytes = vec![7; 400 << 10];
    for round in 0..commits {
        write(&db, Durability::Durable, |txn| {
            let mut table = txn.open_table("main").unwrap();
            for _ in 0..3 {
                let i = rng.u64(..n);
                table.put(&spread(i), &value(i, round)).unwrap();
            }
            let mut table = txn.open_table("large").unwrap();
            let (key, len) = (rng.u8(..50), rng.usize(5 << 10..=400 << 10));
            table.put(&[key], &bytes[..len]).unwrap();
        });
    }
    let (live, end) = (live_bytes(&db), file_bytes(&db));
    println!("{live} bytes in use, file {end} ({:.2})", end as f64 / live as f64);
    assert!(end <= live * 5 / 2, "{end} bytes for {live}");
    assert_clean(&db);
}

#[test]
fn a_dropped_table_gives_the_end_of_the_file_back() {
    for sink in SINKS {
        let dir = dir();
        let db = open_at(&dir.path().join("x.recto"), Builder::default().sink(sink));
        put(&db, b"small", b"but there");
        write(&db, Durability::Durable, |txn| {
            let mut table = txn.create_table("big").unwrap();
            for i in 0..pick(30_000, 1_000_000) {
                table.put(&spread(i), &[3; 1_000]).unwrap();
            }
        });
        let big = file_bytes(&db);
        assert!(big > 30_000_000);
        let reader = db.read().unwrap();
        write(&db, Durability::Durable, |txn| assert!(txn.drop_table("big").unwrap()));
        for i in 0..10u8 {
            put(&db, b"while it is read", &[i]);
        }
        assert_eq!(reader.table("big").unwrap().get(&spread(77)).unwrap(), Some(&[3; 1_000][..]));
        assert!(file_bytes(&db) >= big, "the file was cut under a reader");
        drop(reader);
        let mut commits = 0;
        while file_bytes(&db) > big / 8 {
            put(&db, b"after", &[commits]);
            commits += 1;
            assert!(commits < 250, "{} bytes of {big} are still there", file_bytes(&db));
        }
        println!("{sink:?}: {big} bytes, {} after {commits} commits", file_bytes(&db));
        assert_clean(&db);
    }
}

/// A reader that is choosing its snapshot stops all reuse; pages far behind the end of a file that
/// was cut are not taken for that.
#[test]
fn a_file_that_became_shorter_stays_short() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, Builder::default().growth_step(64 << 10));
    put(&db, b"small", b"but there");
    write(&db, Durability::Durable, |txn| {
        let mut table = txn.create_table("big").unwrap();
        for i in 0..20u64 {
            table.put(&i.to_be_bytes(), &[3; 1 << 20]).unwrap();
        }
    });
    let big = file_bytes(&db);
    assert!(big > 20 << 20);
    write(&db, Durability::Durable, |txn| assert!(txn.drop_table("big").unwrap()));
    for i in 0..20u8 {
        put(&db, b"small", &[i]);
    }
    let small = file_bytes(&db);
    assert!(small < 2 << 20, "{small} of {big} bytes are still there");
    // The slot of the handle's own reader, as one leaves it that takes long to choose.
    drop(db.read().unwrap());
    let slots = recto::harness::LOCK_FILE_PARTS.iter().find(|part| part.0 == "reader slots");
    let slot = slots.expect("a part of the lock file").1 as u64;
    let lock_file = std::fs::OpenOptions::new().write(true).open(dir.path().join("x.recto-lock"));
    let lock_file = lock_file.unwrap();
    lock_file.write_all_at(&u64::MAX.to_ne_bytes(), slot).unwrap();
    for i in 0..20u8 {
        put(&db, b"small", &[i]);
    }
    let reader = &db.info().unwrap().readers[0];
    assert!(reader.pending, "nobody is choosing");
    lock_file.write_all_at(&0u64.to_ne_bytes(), slot).unwrap();
    put(&db, b"small", b"and there");
    let end = file_bytes(&db);
    assert!(end < small + (2 << 20), "{small} bytes have become {end}");
    assert_clean(&db);
}

#[test]
fn a_reservation_that_is_outgrown_keeps_old_readers() {
    for sink in SINKS {
        let dir = dir();
        let path = dir.path().join("x.recto");
        let mut builder = Builder::default();
        builder.reserve(64 << 10).sink(sink);
        let db = open_at(&path, &builder);
        // Another handle, which learns of the growth by what it reads only.
        let other = open_at(&path, &builder);
        let mut readers = Vec::new();
        for round in 0..12u64 {
            write(&db, Durability::Deferred, |txn| {
                let mut table = txn.open_table("main").unwrap();
                for i in 0..2_000 {
                    table.put(&spread(i), &value(i, round)).unwrap();
                }
                table.put(b"large", &vec![round as u8; 1 << (10 + round)]).unwrap();
            });
            for handle in [&db, &other] {
                readers.push((round, handle.read().unwrap()));
            }
        }
        for (round, txn) in &readers {
            let table = txn.table("main").unwrap();
            for i in 0..2_000 {
                assert_eq!(table.get(&spread(i)).unwrap(), Some(&value(i, *round)[..]));
            }
            let large = table.get(b"large").unwrap().unwrap();
            assert!(large.len() == 1 << (10 + round) && large.iter().all(|&b| b == *round as u8));
        }
        drop(readers);
        assert_clean(&db);
        assert_clean(&other);
    }
}

#[test]
fn three_hundred_databases_in_one_process() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes a local.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(20_000);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    let dir = memory_dir();
    let path = |i: u32| dir.path().join(format!("{i}.recto"));
    let open = |i: u32| open_at(&path(i), Builder::default().sink(SINKS[i as usize % 2]));
    let all: Vec<Database> = (0..300).map(open).collect();
    let mut readers = Vec::new();
    for (i, db) in all.iter().enumerate() {
        put(db, b"number", &i.to_le_bytes());
        readers.push(db.read().unwrap());
        put(db, b"number", b"another");
    }
    for (i, txn) in readers.iter().enumerate() {
        let table = txn.table("main").unwrap();
        assert_eq!(table.get(b"number").unwrap(), Some(&i.to_le_bytes()[..]));
    }
    drop(readers);
    all.iter().for_each(assert_clean);
}

// ---- Full disks ----

/// The child side: it limits itself, or sees a file system that nobody else sees.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let path = Path::new(&role[1]);
    let sink = if role[2] == "Direct" { Sink::Direct } else { Sink::Staged };
    match role[0].as_str() {
        "small_disk" => small_disk(path, sink),
        "file_limit" => file_limit(path, sink),
        other => panic!("no role {other}"),
    }
}

fn in_children(what: &str) {
    for sink in SINKS {
        let dir = disk_dir();
        let place = dir.path().to_str().unwrap();
        let child = Process::start("child", &[what, place, &format!("{sink:?}")]);
        let said = child.line();
        assert!(said == "done" || said.starts_with("skipped"), "{said}");
        println!("{what}, {sink:?}: {said}");
        child.finish();
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_else() {
    in_children("small_disk");
}

#[test]
fn a_file_size_limit_is_an_error_and_nothing_else() {
    in_children("file_limit");
}

/// A file system of 12 MiB in a mount namespace of this process's own.
fn small_disk(place: &Path, sink: Sink) {
    if let Err(e) = mount_privately("tmpfs", place, "size=12m") {
        return say(&format!("skipped, cannot mount: {e}"));
    }
    let ballast = place.join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    fill_up(place, sink, || std::fs::remove_file(&ballast).unwrap());
    say("done");
}

/// A limit of 6 MiB on the size of files.
fn file_limit(place: &Path, sink: Sink) {
    let set = |soft| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads and writes a local.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit), 0);
            limit.rlim_cur = limit.rlim_max.min(soft);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        }
    };
    // SAFETY: no handler, the signal is ignored.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    set(6 << 20);
    fill_up(place, sink, || set(u64::MAX));
    say("done");
}

/// Adds rounds of values until there is no room; `free` makes some.
fn fill_up(place: &Path, sink: Sink, free: impl FnOnce()) {
    let db = open_at(&place.join("x.recto"), Builder::default().sink(sink));
    let other = open_at(&place.join("x.recto"), Builder::default().sink(sink));
    let mut rounds = 0u64;
    let add = |db: &Database, round: u64| -> recto::Result<()> {
        let mut txn = db.write()?;
        if round.is_multiple_of(3) {
            txn.set_durability(Durability::Deferred);
        }
        let mut table = txn.open_table("main")?;
        for i in 0..100 {
            if let Err(e) = table.put(&spread(round * 100 + i), &value(i, round)) {
                // The transaction is of no use any more, and says so.
                assert!(matches!(table.put(b"x", b"y"), Err(Error::TransactionBroken { .. })));
                assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. })));
                return Err(e);
            }
        }
        if let Err(e) = table.put(&spread(u64::MAX - round), &vec![round as u8; 50_000]) {
            assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. })));
            return Err(e);
        }
        txn.commit()
    };
    add(&db, 0).unwrap();
    let first = db.read().unwrap();
    rounds += 1;
    let full = |db: &Database, rounds: &mut u64| {
        loop {
            match add(db, *rounds) {
                Ok(()) => *rounds += 1,
                Err(Error::DiskFull { .. }) => return,
                Err(e) => panic!("{e}"),
            }
            assert!(*rounds < 1_000, "the disk is never full");
        }
    };
    let verify = |db: &Database, rounds: u64| {
        let txn = db.read().unwrap();
        let table = txn.table("main").unwrap();
        assert_eq!(table.len(), rounds * 101);
        for round in 0..rounds {
            for i in 0..100 {
                let v = table.get(&spread(round * 100 + i)).unwrap();
                assert_eq!(v, Some(&value(i, round)[..]));
            }
            let v = table.get(&spread(u64::MAX - round)).unwrap().unwrap();
            assert!(v.len() == 50_000 && v.iter().all(|&b| b == round as u8));
        }
    };
    for attempt in 0..10 {
        full(if attempt % 2 == 0 { &db } else { &other }, &mut rounds);
        verify(&db, rounds);
        verify(&other, rounds);
    }
    assert_eq!(first.table("main").unwrap().len(), 101);
    assert_clean(&db);
    // What can be made durable without room is; a database that is full can be opened and read.
    db.flush().unwrap();
    drop(other);
    let again = open_at(&place.join("x.recto"), Builder::default().sink(sink));
    verify(&again, rounds);
    free();
    let before = rounds;
    for _ in 0..20 {
        add(&again, rounds).unwrap();
        rounds += 1;
    }
    assert_eq!(rounds, before + 20);
    verify(&db, rounds);
    drop(first);
    assert_clean(&db);
    assert_clean(&again);
}

/// A limit holds for the file, whatever the sink and however it grows; what was committed stays,
/// what goes makes room for more, and another handle may have another limit.
#[test]
fn a_limit_is_kept() {
    const LIMIT: u64 = 3 << 20;
    for sink in [Sink::Staged, Sink::Direct] {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let mut builder = Builder::default();
        builder.max_bytes(LIMIT + 1_000).sink(sink).durability(Durability::Deferred);
        let db = open_at(&path, &builder);
        let put = |db: &Database, key: u64, len: usize| -> recto::Result<()> {
            let mut txn = db.write()?;
            txn.open_table("main")?.put(&key.to_be_bytes(), &vec![key as u8; len])?;
            txn.commit()
        };
        let mut keys = 0;
        let full = loop {
            match put(&db, keys, 3_000 + 700 * (keys as usize % 20)) {
                Ok(()) => keys += 1,
                Err(e) => break e,
            }
            assert!(keys < LIMIT, "never full");
        };
        assert!(
            matches!(full, Error::DatabaseFull { max_bytes, .. } if max_bytes == LIMIT + 1_000)
        );
        assert!(keys > 150, "{keys}");
        assert!(matches!(put(&db, keys, LIMIT as usize), Err(Error::DatabaseFull { .. })));
        db.flush().unwrap();
        let len = || std::fs::metadata(&path).unwrap().len();
        assert!(len() <= LIMIT, "{}", len());
        assert_eq!(db.read().unwrap().table("main").unwrap().len(), keys);
        // Who may use more makes room: half of it goes.
        let more = open_at(&path, &Builder::default());
        for key in (0..keys).step_by(2) {
            let mut txn = more.write().unwrap();
            assert!(txn.open_table("main").unwrap().delete(&key.to_be_bytes()).unwrap());
            txn.commit().unwrap();
        }
        let longest = len();
        for key in (0..keys).step_by(4) {
            put(&db, key, 2_000).unwrap();
        }
        db.flush().unwrap();
        assert_clean(&db);
        assert!(len() <= longest.max(LIMIT), "{}", len());
        put(&more, keys, LIMIT as usize).unwrap();
        assert!(len() > LIMIT);
        // The file is longer than the limit now; what it has may be used, and no more.
        assert!(matches!(put(&db, keys + 1, 2 * LIMIT as usize), Err(Error::DatabaseFull { .. })));
        let mut txn = db.write().unwrap();
        assert!(txn.open_table("main").unwrap().delete(&keys.to_be_bytes()).unwrap());
        txn.commit().unwrap();
        assert_clean(&db);
    }
}
