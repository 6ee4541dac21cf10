//! Pairs in any order that are sorted, in memory and in temporary files, and loaded.

mod common;

use common::{
    Process, assert_clean, existing, hear, memory_dir, open_at, pairs, role, sample, say,
};
use fastrand::Rng;
use recto::typed::SetDef;
use recto::{
    Builder, Database, Error, LoadOptions, Loaded, TableDef, TableKind, TableOptions, WriteTxn,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

const SETS: TableKind = TableKind::Set { value_size: 0 };

/// Runs after few pairs, and few of them side by side.
fn tiny(directory: &Path) -> LoadOptions {
    LoadOptions::default().memory(LoadOptions::LEAST_MEMORY).temp_dir(directory)
}

/// Keys with and without a common prefix, also empty ones and those that begin like others.
fn key(rng: &mut Rng, shape: u8, most: usize) -> Vec<u8> {
    match shape {
        0 => rng.u32(..40_000).to_be_bytes().to_vec(),
        1 => format!("every key begins like this {}", rng.u32(..40_000)).into_bytes(),
        2 => vec![rng.u8(..3); rng.usize(..12)],
        _ => {
            let len = if rng.u8(..50) == 0 { rng.usize(..=most) } else { rng.usize(..40) };
            (0..len).map(|_| rng.u8(..4)).collect()
        }
    }
}

/// Values of all sizes: none, in the leaf, on pages of their own, longer than the loader's memory.
fn value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u16(..2_000) {
        0 => rng.usize(..200_000),
        1..=40 => rng.usize(..5_000),
        _ => rng.usize(..120),
    };
    vec![rng.u8(..); len]
}

fn load(
    txn: &mut WriteTxn,
    db: &Database,
    table: &str,
    options: &LoadOptions,
    pairs: &[(Vec<u8>, Vec<u8>)],
) -> Loaded {
    let mut loader = db.loader(TableKind::Map, options);
    for (key, value) in pairs {
        loader.push(key, value).unwrap();
    }
    assert_eq!(loader.pushed(), pairs.len() as u64);
    let table = txn.open(table).unwrap();
    loader.finish(txn, table).unwrap()
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn random_pairs_in_tiny_memory_are_those_of_a_map() {
    let temp = memory_dir();
    let (mut most_runs, mut most_passes) = (0, 0);
    for (shape, page_size) in [(0, 4096), (1, 4096), (2, 4096), (3, 4096), (3, 65536), (1, 16384)] {
        let rng = &mut Rng::with_seed(u64::from(shape) + page_size as u64);
        let db = Builder::default().page_size(page_size).in_memory().unwrap();
        let mut model = BTreeMap::new();
        // The first one into an empty table, the others among what is there.
        for round in 0..4 {
            let count = [40_000, 0, 300, 20_000][round];
            let input: Vec<_> =
                (0..count).map(|_| (key(rng, shape, db.max_key_len()), value(rng))).collect();
            let mut txn = db.write().unwrap();
            let loaded = load(&mut txn, &db, "main", &tiny(temp.path()), &input);
            let before = model.len();
            model.extend(input);
            let new = (model.len() - before) as u64;
            assert_eq!((loaded.pushed, loaded.new), (count, new));
            assert!(if count > 300 { loaded.runs > 3 } else { loaded.runs < 60 }, "{loaded:?}");
            (most_runs, most_passes) = (most_runs.max(loaded.runs), most_passes.max(loaded.passes));
            txn.commit().unwrap();
            assert!(pairs(&db, "main").into_iter().eq(model.clone()));
            assert_clean(&db);
        }
    }
    assert!(most_runs > 100 && most_passes > 2, "{most_runs} runs, {most_passes} passes");
    assert!(is_empty(temp.path()));
}

/// Orders in which other ways of sorting go wrong: sorted, backwards, all the same, two keys in
/// turns; the value that came last stays wherever it was when memory was full.
#[test]
fn the_last_value_of_a_key_stays() {
    let temp = memory_dir();
    const COUNT: u32 = 30_000;
    type Order = fn(u32) -> u32;
    let orders: [(&str, Order); 5] = [
        ("sorted", |n| n),
        ("backwards", |n| COUNT - n),
        ("the same", |_| 7),
        ("in turns", |n| n % 2),
        ("again and again", |n| n % 1000),
    ];
    for (name, of) in orders {
        let db = Database::in_memory().unwrap();
        let mut txn = db.write().unwrap();
        let mut model = BTreeMap::new();
        let input: Vec<_> = (0..COUNT)
            .map(|n| (of(n).to_be_bytes().to_vec(), n.to_le_bytes().repeat(n as usize % 9)))
            .collect();
        txn.open_table("main").unwrap().put(&of(5).to_be_bytes(), b"before").unwrap();
        let loaded = load(&mut txn, &db, "main", &tiny(temp.path()), &input);
        model.extend(input);
        assert!(loaded.runs > 3, "{name}: {loaded:?}");
        assert_eq!(loaded.new + 1, model.len() as u64, "{name}");
        txn.commit().unwrap();
        assert!(pairs(&db, "main").into_iter().eq(model), "{name}");
        assert_clean(&db);
    }
}

#[test]
fn sets_take_every_pair_once() {
    let temp = memory_dir();
    for (seed, value_size, page_size) in [(1, 0, 4096), (2, 8, 4096), (3, 0, 65536), (4, 100, 8192)]
    {
        let rng = &mut Rng::with_seed(seed);
        let db = Builder::default().page_size(page_size).in_memory().unwrap();
        let mut model = BTreeSet::new();
        for round in 0..3 {
            let mut txn = db.write().unwrap();
            let options = TableOptions::set_of(value_size);
            let table = txn.open_set_with("main", &options).unwrap().id();
            // One that does not say the size in advance takes them too.
            let size = if round == 1 { 0 } else { value_size };
            let kind = TableKind::Set { value_size: size };
            let mut loader = db.loader(kind, &tiny(temp.path()));
            let before = model.len() as u64;
            for n in 0..20_000u32 {
                // Few keys have many values, many have one.
                let key = rng.u32(..1 + n % 700).to_be_bytes();
                let mut value = rng.u32(..9_000).to_be_bytes().to_vec();
                match value_size {
                    0 if rng.u8(..100) == 0 => value.resize(rng.usize(..db.max_key_len()), 3),
                    0 => {}
                    size => value.resize(size.into(), 9),
                }
                loader.push(&key, &value).unwrap();
                model.insert((key.to_vec(), value));
            }
            let loaded = loader.finish(&mut txn, table).unwrap();
            assert_eq!((loaded.pushed, loaded.new), (20_000, model.len() as u64 - before));
            assert!(loaded.runs > 5, "{loaded:?}");
            txn.commit().unwrap();
            let txn = db.read().unwrap();
            let table = txn.set("main").unwrap();
            let all = table.pairs(..).unwrap().map(|pair| pair.unwrap());
            assert!(all.map(|(key, value)| (key.into_vec(), value.into_vec())).eq(model.clone()));
            assert_eq!(table.len(), model.len() as u64);
            assert_clean(&db);
        }
    }
    assert!(is_empty(temp.path()));
}

/// As many pages as by pairs that come in order, and each is given out about once.
#[test]
fn a_loaded_table_is_as_full_as_one_put_in_order() {
    let temp = memory_dir();
    let dir = memory_dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    let mut input: Vec<(Vec<u8>, Vec<u8>)> =
        (0..60_000u64).map(|n| (common::spread(n).to_vec(), vec![n as u8; 100])).collect();
    let mut txn = db.write().unwrap();
    let loaded = load(&mut txn, &db, "loaded", &tiny(temp.path()), &input);
    assert!(loaded.runs > 100, "{loaded:?}");
    let bytes = input.len() as u64 * 110;
    assert!(loaded.temp_bytes > bytes * 9 / 10 && loaded.temp_bytes < 5 * bytes, "{loaded:?}");
    txn.commit().unwrap();
    let pages_after_load = db.info().unwrap().page_count;
    input.sort();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_table("ordered").unwrap();
    for (key, value) in &input {
        table.append(key, value).unwrap();
    }
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let of = |name| {
        let stats = txn.table(name).unwrap().stats();
        stats.leaf_pages + stats.branch_pages + stats.overflow_pages
    };
    let (loaded, ordered) = (of("loaded"), of("ordered"));
    assert!(loaded.abs_diff(ordered) * 50 <= ordered, "{loaded} pages, {ordered} in order");
    // The file is no longer than the table: nothing was written and given up again.
    assert!(pages_after_load <= loaded + loaded / 50 + 20, "{pages_after_load} for {loaded}");
    assert!(
        txn.table("loaded")
            .unwrap()
            .iter()
            .unwrap()
            .map(|pair| {
                let (key, value) = pair.unwrap();
                (key.into_vec(), value.to_vec())
            })
            .eq(input)
    );
    drop(txn);
    assert_clean(&db);
}

#[test]
fn nothing_loads_nothing() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let loaded = load(&mut txn, &db, "main", &LoadOptions::default(), &[]);
    assert_eq!((loaded.pushed, loaded.new, loaded.runs, loaded.passes), (0, 0, 0, 0));
    assert_eq!(loaded.temp_bytes, 0);
    let mut sets = txn.open_set("sets").unwrap();
    sets.load([("key", "value"); 0]).unwrap();
    assert!(sets.is_empty());
    txn.commit().unwrap();
    assert!(pairs(&db, "main").is_empty());
    assert_clean(&db);
}

#[test]
fn aligned_and_typed_tables_are_loaded() {
    const WORDS: TableDef<&str, u64> = TableDef::new("words");
    const PAGES: SetDef<&str, u32> = SetDef::new("pages");
    let (db, temp) = (Database::in_memory().unwrap(), memory_dir());
    let mut txn = db.write().unwrap();
    let vectors = txn.open_with("vectors", &TableOptions::aligned(64)).unwrap();
    let mut loader = db.loader(TableKind::Map, &tiny(temp.path()));
    for n in 0..3_000u64 {
        loader.push(&common::spread(n), &vec![n as u8; n as usize % 300]).unwrap();
    }
    assert!(loader.finish(&mut txn, vectors).unwrap().runs > 0);
    for (key, value) in txn.view(vectors).unwrap().iter().unwrap().map(|pair| pair.unwrap()) {
        assert_eq!(value.as_ptr().align_offset(64), 0, "{key}");
    }
    let text = "the order of words in a text is not the order of keys";
    let mut words = txn.typed_mut(&WORDS).unwrap();
    let loaded = words.load(text.split(' ').zip(1..)).unwrap();
    assert_eq!((loaded.pushed, loaded.new), (13, 10));
    assert_eq!(words.get("order").unwrap(), Some(11));
    let mut pages = txn.typed_set_mut(&PAGES).unwrap();
    pages.load([("b", 7), ("a", 9), ("b", 3), ("b", 7)]).unwrap();
    let values: Vec<u32> = pages.get("b").unwrap().map(|value| value.unwrap()).collect();
    assert_eq!(values, [3, 7]);
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn errors_of_pairs_come_when_they_are_pushed() {
    let (db, temp) = (Database::in_memory().unwrap(), memory_dir());
    let mut loader = db.loader(TableKind::Map, &tiny(temp.path()));
    let long = vec![1; db.max_key_len() + 1];
    loader.push(b"a", b"1").unwrap();
    assert!(matches!(loader.push(&long, b""), Err(Error::KeyTooLong { len: 2023, max: 2022 })));
    loader.push(b"b", b"2").unwrap();
    let mut sets = db.loader(TableKind::Set { value_size: 4 }, &tiny(temp.path()));
    assert!(matches!(sets.push(b"a", b"12345"), Err(Error::InvalidArgument(_))));
    assert!(matches!(sets.push(&long, b"1234"), Err(Error::KeyTooLong { .. })));
    sets.push(b"a", b"1234").unwrap();

    let mut txn = db.write().unwrap();
    let (main, other) = (txn.open("main").unwrap(), txn.open_set("sets").unwrap().id());
    let loaded = loader.finish(&mut txn, main).unwrap();
    assert_eq!((loaded.pushed, loaded.new), (2, 2));
    // A table of another kind, or that takes other values, and one that is gone.
    assert!(matches!(sets.finish(&mut txn, main), Err(Error::TableOptions { .. })));
    let loader = |kind| {
        let mut loader = db.loader(kind, &tiny(temp.path()));
        loader.push(b"key", b"value").unwrap();
        loader
    };
    let of_other = loader(TableKind::Map).finish(&mut txn, other);
    assert!(matches!(of_other, Err(Error::TableOptions { .. })));
    let fixed = txn.open_set_with("fixed", &TableOptions::set_of(4)).unwrap().id();
    assert!(matches!(loader(SETS).finish(&mut txn, fixed), Err(Error::InvalidArgument(_))));
    txn.drop_table("fixed").unwrap();
    assert!(matches!(loader(SETS).finish(&mut txn, fixed), Err(Error::NoSuchTableId)));
    // All of these left the transaction as it was. So do keys of a database with larger pages.
    let large = Builder::default().page_size(65536).in_memory().unwrap();
    let mut loader = large.loader(TableKind::Map, &tiny(temp.path()));
    loader.push(b"a", b"other").unwrap();
    loader.push(&long, b"").unwrap();
    assert!(matches!(loader.finish(&mut txn, main), Err(Error::KeyTooLong { .. })));
    txn.put(main, b"c", b"3").unwrap();
    txn.commit().unwrap();
    let all: Vec<_> = pairs(&db, "main").into_iter().map(|(_, value)| value).collect();
    assert_eq!(all, [b"1", b"2", b"3"]);
    assert_clean(&db);
}

/// A loader that cannot write its files says where, again and again, and the transaction beside it
/// goes on.
#[test]
fn a_missing_directory_for_temporary_files_is_named() {
    let (db, temp) = (Database::in_memory().unwrap(), memory_dir());
    let missing = temp.path().join("missing");
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    txn.put(main, b"key", b"value").unwrap();
    let mut loader = db.loader(TableKind::Map, &tiny(&missing));
    let mut failed = None;
    for n in 0..5_000u64 {
        if let Err(e) = loader.push(&common::spread(n), &[1; 100]) {
            failed.get_or_insert(e);
        }
    }
    let failed = failed.expect("runs were to be written").to_string();
    assert!(failed.contains(missing.to_str().unwrap()), "{failed}");
    let again = loader.push(b"key", b"").unwrap_err();
    assert_eq!(again.to_string(), failed);
    let last = loader.finish(&mut txn, main).unwrap_err();
    assert_eq!(last.to_string(), failed);
    // As long as memory is enough nobody looks for it.
    let loaded = load(&mut txn, &db, "main", &tiny(&missing), &[(b"b".to_vec(), b"2".to_vec())]);
    assert_eq!((loaded.new, loaded.runs), (1, 0));
    txn.commit().unwrap();
    assert_eq!(pairs(&db, "main").len(), 2);
    assert_clean(&db);
}

/// No room for temporary files: what is longer than a process may make a file is a full disk.
fn full_disk(path: &Path) {
    sample(path, 100);
    let db = open_at(path, &existing());
    let limit = |bytes: u64| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: 1 << 40 };
        // SAFETY: a struct that lives across the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    };
    let before = pairs(&db, "main");
    let directory = path.parent().unwrap();
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    txn.put(main, b"beside", b"it").unwrap();
    // While it is filled, with a large value, and while runs are merged into longer ones.
    for (most, large) in [(1 << 20, false), (1 << 20, true), (3 << 20, false)] {
        limit(most);
        let mut loader = db.loader(TableKind::Map, &tiny(directory));
        let mut failed = None;
        for n in 0..28_000u64 {
            let pushed = match n == 5_000 && large {
                true => loader.push(b"large", &vec![7; 2 << 20]),
                false => loader.push(&common::spread(n), &[1; 100]),
            };
            if let Err(e) = pushed {
                failed = Some(e);
                break;
            }
        }
        assert_eq!(failed.is_some(), most == 1 << 20, "{failed:?}");
        let failed = match failed {
            Some(e) => e,
            None => {
                limit(1 << 20);
                loader.finish(&mut txn, main).unwrap_err()
            }
        };
        let Error::Io { path: Some(place), source, .. } = &failed else { panic!("{failed}") };
        assert_eq!((&**place, source.kind()), (directory, std::io::ErrorKind::FileTooLarge));
    }
    limit(1 << 30);
    txn.put(main, b"and", b"on").unwrap();
    txn.commit().unwrap();
    assert_eq!(pairs(&db, "main").len(), before.len() + 2);
    assert_clean(&db);
    let names = std::fs::read_dir(directory).unwrap();
    assert_eq!(names.count(), 2, "the database, and its lock file");
    say("done");
}

#[test]
fn a_full_disk_of_temporary_files_leaves_the_transaction_alone() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let child = Process::start("child", &["full_disk", path.to_str().unwrap()]);
    assert_eq!(child.line(), "done");
    child.finish();
}

/// Bytes of private memory that this process has asked for.
fn data_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

/// No memory for a large value, half-way: it is an error of the system, and breaks the transaction.
fn no_memory(path: &Path) {
    const LARGE: usize = 128 << 20;
    let limit = |bytes: u64| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a struct that lives across the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) }, 0);
    };
    sample(path, 100);
    let db = open_at(path, &existing());
    let before = pairs(&db, "main");
    let temp = path.parent().unwrap();
    for has_savepoint in [false, true] {
        let mut loader = db.loader(TableKind::Map, &tiny(temp));
        for n in 0..5_000u64 {
            loader.push(&n.to_be_bytes(), b"value").unwrap();
        }
        loader.push(&[0xff; 9], &vec![7; LARGE]).unwrap();
        let mut txn = db.write().unwrap();
        let main = txn.open("main").unwrap();
        let savepoint = has_savepoint.then(|| txn.savepoint().unwrap());
        limit(data_bytes() + (LARGE as u64) / 2);
        let failed = loader.finish(&mut txn, main).unwrap_err();
        limit(libc::RLIM_INFINITY);
        let Error::Io { source, .. } = &failed else { panic!("{failed:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::OutOfMemory);
        assert!(matches!(txn.put(main, b"a", b"b"), Err(Error::TransactionBroken { .. })));
        match savepoint {
            Some(savepoint) => {
                txn.rollback_to(&savepoint).unwrap();
                txn.commit().unwrap();
            }
            None => assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. }))),
        }
        assert_eq!(pairs(&db, "main"), before);
    }
    assert_clean(&db);
    say("done");
}

#[test]
fn a_load_that_gets_no_memory_half_way_breaks_the_transaction() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let child = Process::start("child", &["no_memory", path.to_str().unwrap()]);
    assert_eq!(child.line(), "done");
    child.finish();
}

/// The child side.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let path = Path::new(&role[1]);
    match role[0].as_str() {
        "full_disk" => full_disk(path),
        "no_memory" => no_memory(path),
        "killed" => killed(path),
        "namespace" => match in_a_namespace(&["same number", "-"]) {
            None => say("may not"),
            Some(done) => say(if done { "done" } else { "failed" }),
        },
        "same number" => same_number(),
        "forked" => forked(path),
        other => panic!("no role {other}"),
    }
}

/// Fills a loader, and says so; then it waits to be killed.
fn killed(path: &Path) {
    let db = open_at(path, &existing());
    let mut loader = db.loader(TableKind::Map, &tiny(path.parent().unwrap()));
    for n in 0..20_000u64 {
        loader.push(&common::spread(n), &[3; 100]).unwrap();
    }
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    let mut is_told = false;
    let _ = loader.finish_with(&mut txn, main, |progress| {
        if progress.merged + 5_000 > progress.of && !is_told {
            is_told = true;
            say("half of it is put");
            hear();
        }
        Ok::<_, Error>(())
    });
}

#[test]
fn a_killed_process_leaves_no_files_and_nothing_in_the_table() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    sample(&path, 100);
    let mut child = Process::start("child", &["killed", path.to_str().unwrap()]);
    assert_eq!(child.line(), "half of it is put");
    child.kill();
    let names = std::fs::read_dir(dir.path()).unwrap();
    assert_eq!(names.count(), 2, "the database, and its lock file");
    let db = open_at(&path, &existing());
    common::assert_sample(&db, 100);
    common::put(&db, b"and", b"on");
    assert_clean(&db);
}

/// A database that may become no larger: the error of `put`, half-way, which a child of the
/// transaction takes back.
#[test]
fn a_database_that_is_full_breaks_what_loads_and_a_savepoint_mends_it() {
    let (db, temp) = (Builder::default().max_bytes(4 << 20).in_memory().unwrap(), memory_dir());
    let input: Vec<_> =
        (0..60_000u64).map(|n| (common::spread(n).to_vec(), vec![1; 100])).collect();
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    txn.put(main, b"key", b"value").unwrap();
    let savepoint = txn.savepoint().unwrap();
    let loader = |count: usize| {
        let mut loader = db.loader(TableKind::Map, &tiny(temp.path()));
        input[..count].iter().for_each(|(key, value)| loader.push(key, value).unwrap());
        loader
    };
    let full = loader(60_000).finish(&mut txn, main).unwrap_err();
    assert!(matches!(full, Error::DatabaseFull { .. }), "{full}");
    assert!(matches!(txn.put(main, b"a", b"b"), Err(Error::TransactionBroken { .. })));
    txn.rollback_to(&savepoint).unwrap();
    assert_eq!(txn.view(main).unwrap().len(), 1);
    // Nor does it go on where whoever is told how far it is says no: the first time is before any
    // pair, where runs are merged.
    let mut told = 0;
    let stopped = loader(12_000).finish_with(&mut txn, main, |progress| {
        told += 1;
        assert!(progress.merged <= progress.of && progress.of >= 12_000, "{progress:?}");
        let is_late = progress.merged > progress.of - 6_000;
        if is_late { Err(Error::InvalidArgument("enough".into())) } else { Ok(()) }
    });
    assert!(matches!(&stopped, Err(Error::InvalidArgument(why)) if why == "enough"), "{stopped:?}");
    assert!(told > 2, "{told}");
    assert!(matches!(txn.put(main, b"a", b"b"), Err(Error::TransactionBroken { .. })));
    txn.rollback_to(&savepoint).unwrap();
    let loaded = loader(12_000).finish(&mut txn, main).unwrap();
    assert_eq!(loaded.new, 12_000);
    txn.commit().unwrap();
    assert_eq!(pairs(&db, "main").len(), 12_001);
    assert_clean(&db);
}

#[test]
fn what_is_dropped_leaves_nothing() {
    let (dir, temp) = (memory_dir(), memory_dir());
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    common::put(&db, b"key", b"value");
    let filled = || {
        let mut loader = db.loader(TableKind::Map, &tiny(temp.path()));
        for n in 0..9_000u64 {
            loader.push(&common::spread(n), &[3; 100]).unwrap();
            // While its thread is at work, too.
            assert!(n % 1_000 > 0 || is_empty(temp.path()));
        }
        loader
    };
    drop(filled());
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    filled().finish(&mut txn, main).unwrap();
    assert_eq!(txn.view(main).unwrap().len(), 9_001);
    drop(txn);
    assert!(is_empty(temp.path()));
    assert_eq!(pairs(&db, "main"), [(b"key".to_vec(), b"value".to_vec())]);
    // Without a directory of its own it uses that of the database.
    let mut txn = db.write().unwrap();
    let mut loader = db.loader(TableKind::Map, &LoadOptions::default().memory(0));
    for n in 0..9_000u64 {
        loader.push(&common::spread(n), &[3; 100]).unwrap();
    }
    let main = txn.open("main").unwrap();
    assert!(loader.finish(&mut txn, main).unwrap().runs > 0);
    txn.commit().unwrap();
    let names = std::fs::read_dir(dir.path()).unwrap();
    assert_eq!(names.count(), 2, "the database, and its lock file");
    assert_clean(&db);
}

/// It is filled by another thread, with no transaction, while somebody writes.
#[test]
fn it_is_filled_beside_a_writer() {
    let (db, temp) = (Database::in_memory().unwrap(), memory_dir());
    let mut txn = db.write().unwrap();
    txn.open_table("main").unwrap().put(b"mine", b"1").unwrap();
    let loader = std::thread::scope(|scope| {
        let filled = scope.spawn(|| {
            let mut loader = db.loader(TableKind::Map, &tiny(temp.path()));
            for n in 0..5_000u64 {
                loader.push(&common::spread(n), &[1; 50]).unwrap();
            }
            loader
        });
        filled.join().unwrap()
    });
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    assert_eq!(loader.finish(&mut txn, main).unwrap().new, 5_000);
    txn.commit().unwrap();
    assert_eq!(pairs(&db, "main").len(), 5_001);
    assert_clean(&db);
}

/// Starts the test `child` in this role as the first process of a namespace of its own, and waits
/// for it; None where this user may not. There can be no new thread in this process behind it.
fn in_a_namespace(role: &[&str]) -> Option<bool> {
    // SAFETY: a plain call on this process.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        return None;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
    Some(child.env(common::ROLE, role.join("\n")).status().unwrap().success())
}

/// A forked child that has, in a namespace of its own, the number of its parent. It is a child all
/// the same, and has no thread to wait for.
fn same_number() {
    let (db, temp) = (Database::in_memory().unwrap(), memory_dir());
    let mut loader = db.loader(TableKind::Map, &tiny(temp.path()));
    for n in 0..30_000u64 {
        loader.push(&common::spread(n), &[3; 100]).unwrap();
    }
    let mut loader = Some(loader);
    // SAFETY: as in `forked`.
    unsafe {
        assert_eq!((std::process::id(), libc::unshare(libc::CLONE_NEWPID)), (1, 0));
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            let is_same = std::process::id() == 1;
            drop(loader.take());
            // A thread that ends in a panic is the last here, and ends the process with 0.
            libc::_exit(if is_same { 7 } else { 1 });
        }
        let (mut status, end) = (0, Instant::now() + Duration::from_secs(120));
        while libc::waitpid(pid, &mut status, libc::WNOHANG) == 0 {
            if Instant::now() > end {
                libc::kill(pid, libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "status {status:x}");
    }
    drop(loader);
    assert_clean(&db);
}

#[test]
fn a_child_with_the_number_of_its_parent_waits_for_no_thread() {
    let child = Process::start("child", &["namespace", "-"]);
    let said = child.line();
    assert!(["done", "may not"].contains(&&*said), "{said}");
    child.finish();
}

/// A forked child has no thread to wait for, and is told so.
fn forked(path: &Path) {
    sample(path, 100);
    let db = open_at(path, &existing());
    let temp = path.parent().unwrap();
    let mut loader = db.loader(TableKind::Map, &tiny(temp));
    // Its thread is at work, or has just been.
    for n in 0..30_000u64 {
        loader.push(&common::spread(n), &[3; 100]).unwrap();
    }
    let mut loader = Some(loader);
    // SAFETY: the child takes no lock that another thread could have, and leaves without
    // destructors.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            let pushed = loader.as_mut().unwrap().push(b"key", b"value");
            drop(loader.take());
            libc::_exit(if matches!(pushed, Err(Error::Forked { .. })) { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:x}");
    }
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    assert_eq!(loader.take().unwrap().finish(&mut txn, main).unwrap().pushed, 30_000);
    txn.commit().unwrap();
    assert_clean(&db);
    say("done");
}

#[test]
fn a_forked_child_does_not_load() {
    let dir = memory_dir();
    let child = Process::start("child", &["forked", dir.path().join("x").to_str().unwrap()]);
    assert_eq!(child.line(), "done");
    child.finish();
}
