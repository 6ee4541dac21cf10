//! Savepoints and nested transactions: against a stack of models, with operations that fail
//! half-way, panics, pinned readers, spilled pages, and page counts that must add up.

mod common;

use common::sim::{LARGE, PAGE, enter, machine};
use common::{assert_clean, disk_dir, memory_dir, open_at, pairs, write};
use fastrand::Rng;
use recto::harness::sim::{Action, EventKind, SimDisk};
use recto::{
    Builder, Cursor, Database, Durability, Error, Nested, Savepoint, Sink, TableId, WriteTxn,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
/// By name: which table it is, and what it holds. No two tables are the same, not even of one name.
type Model = BTreeMap<String, (u64, Pairs)>;

/// A write transaction, and what it should hold.
struct Run<'t> {
    txn: &'t mut WriteTxn,
    rng: &'t mut Rng,
    model: Model,
    /// Savepoints by value, and what was there then.
    saved: Vec<(Savepoint, Model)>,
    /// Savepoints that have ended.
    ended: Vec<Savepoint>,
    /// Every id that was ever given out, and of which table.
    ids: Vec<(TableId, u64)>,
    cursors: Vec<Cursor>,
    next_table: u64,
    page: usize,
    counts: &'t mut Counts,
}

#[derive(Default, Debug)]
struct Counts {
    operations: u64,
    savepoints: u64,
    releases: u64,
    rollbacks: u64,
    nested: u64,
    panics: u64,
    deepest: usize,
}

fn key(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => format!("https://example.org/{:03}", rng.u16(..900)).into(),
        1 => vec![rng.u8(..4); rng.usize(..300)],
        _ => rng.u16(..1500).to_be_bytes().to_vec(),
    }
}

fn value(rng: &mut Rng, page: usize) -> Vec<u8> {
    let len = match rng.u8(..24) {
        0 => rng.usize(..page * 4),
        1..=3 => rng.usize(page / 3..page),
        _ => rng.usize(..80),
    };
    vec![rng.u8(..); len]
}

impl<'t> Run<'t> {
    fn name(&mut self) -> String {
        format!("table{}", self.rng.u8(..5))
    }

    /// An open table that the model has.
    fn open(&mut self) -> (TableId, String) {
        let name = self.name();
        let id = self.txn.open(&name).unwrap();
        let next = self.next_table;
        let (table, _) = self.model.entry(name.clone()).or_insert_with(|| (next, Pairs::new()));
        self.next_table += u64::from(*table == next);
        let known = (id, *table);
        if !self.ids.contains(&known) {
            self.ids.push(known);
        }
        (id, name)
    }

    fn change(&mut self) {
        self.counts.operations += 1;
        let (id, name) = self.open();
        let m = &mut self.model.get_mut(&name).expect("open").1;
        match self.rng.u8(..40) {
            0 => {
                assert!(self.txn.drop_table(&name).unwrap());
                self.model.remove(&name);
            }
            1 => {
                let to = self.name();
                let possible = to == name || !self.model.contains_key(&to);
                assert_eq!(self.txn.rename_table(&name, &to).is_ok(), possible);
                if possible {
                    let table = self.model.remove(&name).expect("open");
                    self.model.insert(to, table);
                }
            }
            16 => {
                let to = self.name();
                let done = self.txn.copy_table(&name, &to);
                if self.model.contains_key(&to) {
                    assert!(matches!(done, Err(Error::TableExists(_))), "{done:?}");
                } else {
                    done.unwrap();
                    let pairs = self.model[&name].1.clone();
                    self.model.insert(to, (self.next_table, pairs));
                    self.next_table += 1;
                }
            }
            2 => {
                let (mut a, mut b) = (key(self.rng), key(self.rng));
                if a > b {
                    std::mem::swap(&mut a, &mut b);
                }
                let gone: Vec<_> = m.range(a.clone()..b.clone()).map(|(k, _)| k.clone()).collect();
                let mut table = self.txn.edit(id).unwrap();
                assert_eq!(table.delete_range(&a[..]..&b[..]).unwrap(), gone.len() as u64);
                gone.iter().for_each(|k| drop(m.remove(k)));
            }
            3 => {
                // Ascending keys, which keep the way to the last leaf.
                for n in 0..self.rng.u32(1..60) {
                    let (k, v) = ([&[0xff], &n.to_be_bytes()[..]].concat(), value(self.rng, 100));
                    assert_eq!(
                        self.txn.put(id, &k, &v).unwrap(),
                        m.insert(k.clone(), v.clone()).is_some()
                    );
                }
            }
            4..=14 => {
                let k = key(self.rng);
                let k = m.range(k.clone()..).next().map_or(k, |(k, _)| k.clone());
                assert_eq!(self.txn.delete(id, &k).unwrap(), m.remove(&k).is_some());
            }
            15 => {
                let mut cursor = self.txn.cursor(id);
                let k = key(self.rng);
                let found = cursor.seek(self.txn, &k).unwrap().map(|(k, _)| k.to_vec());
                assert_eq!(found.as_ref(), m.range(k..).next().map(|(k, _)| k));
                if self.cursors.len() > 6 {
                    self.cursors.remove(0);
                }
                self.cursors.push(cursor);
            }
            _ => {
                let (k, v) = (key(self.rng), value(self.rng, self.page));
                assert_eq!(
                    self.txn.put(id, &k, &v).unwrap(),
                    m.insert(k.clone(), v.clone()).is_some()
                );
            }
        }
    }

    /// What the transaction shows is the model: tables, pairs, ids and cursors.
    fn compare(&mut self) {
        let names: Vec<String> =
            self.txn.tables().unwrap().into_iter().map(|info| info.name).collect();
        assert!(names.iter().eq(self.model.keys()), "{names:?} {:?}", self.model.keys());
        for (name, (_, m)) in &self.model {
            same(&self.txn.table(name).unwrap(), m);
        }
        for &(id, table) in &self.ids {
            match self.model.values().find(|(t, _)| *t == table) {
                Some((_, m)) => assert_eq!(self.txn.view(id).unwrap().len(), m.len() as u64),
                None => {
                    assert!(matches!(self.txn.view(id), Err(Error::NoSuchTableId)));
                    assert!(matches!(self.txn.put(id, b"", b""), Err(Error::NoSuchTableId)));
                }
            }
        }
        for cursor in &mut self.cursors {
            let table = self.ids.iter().find(|(id, _)| *id == cursor.table()).expect("known").1;
            let Some((_, m)) = self.model.values().find(|(t, _)| *t == table) else {
                assert!(matches!(cursor.next(self.txn), Err(Error::NoSuchTableId)));
                continue;
            };
            let at = cursor.key().map(<[u8]>::to_vec);
            let current = cursor.current(self.txn).unwrap().map(|(_, v)| v.to_vec());
            assert_eq!(current.as_ref(), at.as_ref().and_then(|k| m.get(k)));
            if let Some(at) = at {
                use std::ops::Bound::{Excluded, Unbounded};
                let next = m.range::<Vec<u8>, _>((Excluded(&at), Unbounded)).next();
                let real = cursor.next(self.txn).unwrap().map(|(k, v)| (k.to_vec(), v.to_vec()));
                assert_eq!(real, next.map(|(k, v)| (k.clone(), v.clone())));
            }
        }
    }

    fn step(&mut self, depth: usize) {
        match self.rng.u8(..100) {
            0..=3 if self.saved.len() + depth < 9 => {
                let savepoint = self.txn.savepoint().unwrap();
                self.saved.push((savepoint, self.model.clone()));
                self.counts.savepoints += 1;
            }
            4..=5 if !self.saved.is_empty() => {
                let at = self.rng.usize(..self.saved.len());
                let mut gone = self.saved.split_off(at).into_iter();
                self.txn.release(gone.next().expect("at least one").0).unwrap();
                self.ended.extend(gone.map(|(savepoint, _)| savepoint));
                self.counts.releases += 1;
                self.compare();
            }
            6..=8 if !self.saved.is_empty() => {
                let at = self.rng.usize(..self.saved.len());
                let later = self.saved.split_off(at + 1);
                self.ended.extend(later.into_iter().map(|(savepoint, _)| savepoint));
                self.txn.rollback_to(&self.saved[at].0).unwrap();
                self.model = self.saved[at].1.clone();
                self.counts.rollbacks += 1;
                self.compare();
            }
            9..=10 if depth < 6 => self.nest(depth + 1),
            11 => {
                for savepoint in &self.ended {
                    let refused = self.txn.rollback_to(savepoint);
                    assert!(matches!(refused, Err(Error::NoSuchSavepoint)), "{refused:?}");
                }
                if let Some(savepoint) = self.ended.pop() {
                    assert!(matches!(self.txn.release(savepoint), Err(Error::NoSuchSavepoint)));
                }
            }
            _ => self.change(),
        }
    }

    /// The same within a nested transaction, which ends in one of the ways there are.
    fn nest(&mut self, depth: usize) {
        self.counts.nested += 1;
        self.counts.deepest = self.counts.deepest.max(depth);
        let before = self.model.clone();
        let how = self.rng.u8(..4);
        let steps = self.rng.usize(1..60);
        let mut left = (before.clone(), Vec::new(), 0);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let mut nested = self.txn.nested().unwrap();
            let mut inner = Run {
                txn: &mut nested,
                rng: self.rng,
                model: before.clone(),
                saved: Vec::new(),
                ended: Vec::new(),
                ids: self.ids.clone(),
                cursors: self.cursors.clone(),
                next_table: self.next_table,
                page: self.page,
                counts: self.counts,
            };
            for _ in 0..steps {
                inner.step(depth);
            }
            inner.compare();
            let ended = inner.saved.into_iter().map(|(savepoint, _)| savepoint);
            self.ended.extend(ended.chain(inner.ended));
            left = (inner.model, inner.ids, inner.next_table);
            match how {
                0 => drop(nested),
                1 => nested.rollback().unwrap(),
                2 => resume_unwind(Box::new("on purpose")),
                _ => nested.commit().unwrap(),
            }
        }));
        if let Err(panic) = done {
            if panic.downcast_ref() != Some(&"on purpose") {
                resume_unwind(panic);
            }
            self.counts.panics += 1;
        }
        (self.ids, self.next_table) = (left.1, left.2);
        if how == 3 {
            self.model = left.0;
        }
        self.compare();
    }
}

fn same(table: &recto::Table<'_>, m: &Pairs) {
    assert_eq!(table.len(), m.len() as u64);
    let mut real = table.iter().unwrap();
    for (k, v) in m {
        let (rk, rv) = real.next().expect("a pair").unwrap();
        assert_eq!((&*rk, rv), (&k[..], &v[..]));
    }
    assert!(real.next().is_none());
}

/// Transactions one after the other, each compared and the file checked after each.
fn model(db: &Database, seed: u64, transactions: usize) {
    let mut rng = Rng::with_seed(seed);
    let (mut model, mut counts) = (Model::new(), Counts::default());
    let page = db.info().unwrap().page_size as usize;
    let mut held = Vec::new();
    let mut stale = Vec::new();
    for n in 0..transactions {
        if held.len() < 4 && rng.u8(..3) == 0 {
            held.push((db.read().unwrap(), model.clone()));
        }
        let mut txn = db.write().unwrap();
        let deferred = rng.bool();
        txn.set_durability(if deferred { Durability::Deferred } else { Durability::Durable });
        for savepoint in stale.drain(..) {
            assert!(matches!(txn.rollback_to(&savepoint), Err(Error::NoSuchSavepoint)));
        }
        let mut run = Run {
            txn: &mut txn,
            rng: &mut rng,
            model: model.clone(),
            saved: Vec::new(),
            ended: Vec::new(),
            ids: Vec::new(),
            cursors: Vec::new(),
            next_table: n as u64 * 1_000_000,
            page,
            counts: &mut counts,
        };
        for _ in 0..run.rng.usize(1..500) {
            run.step(0);
        }
        run.compare();
        let after = run.model;
        stale.extend(run.saved.into_iter().map(|(savepoint, _)| savepoint));
        let id = txn.id();
        match rng.u8(..6) {
            0 => drop(txn),
            _ => {
                txn.commit().unwrap();
                model = after;
                let newest = db.info().unwrap().built;
                assert!(newest <= id, "{newest} {id}");
            }
        }
        assert_clean(db);
        let now = db.read().unwrap();
        for (name, (_, m)) in &model {
            same(&now.table(name).unwrap(), m);
        }
        while held.len() > rng.usize(..5) {
            let (txn, model) = held.swap_remove(rng.usize(..held.len()));
            model.iter().for_each(|(name, (_, m))| same(&txn.table(name).unwrap(), m));
        }
    }
    assert!(counts.deepest >= 5 && counts.panics > 3, "{counts:?}");
    assert!(counts.savepoints.min(counts.releases).min(counts.rollbacks) > 20, "{counts:?}");
}

/// Both sinks, and a stage that spills all the time.
fn on_file(page_size: usize, sink: Sink, seed: u64) {
    let dir = disk_dir();
    let mut builder = Builder::default();
    builder.page_size(page_size).sink(sink).stage_bytes(12 * page_size).reserve(1 << 20);
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &builder);
    model(&db, seed, 40);
    drop(db);
    assert_clean(&open_at(&path, &builder));
}

#[test]
fn model_4k_staged() {
    on_file(4096, Sink::Staged, 1);
}

#[test]
fn model_4k_direct() {
    on_file(4096, Sink::Direct, 2);
}

#[test]
fn model_8k_staged() {
    on_file(8192, Sink::Staged, 3);
}

#[test]
fn model_16k_direct() {
    on_file(16384, Sink::Direct, 4);
}

#[test]
fn model_32k_staged() {
    on_file(32768, Sink::Staged, 5);
}

#[test]
fn model_64k_direct() {
    on_file(65536, Sink::Direct, 6);
}

#[test]
fn model_in_memory_with_short_lists() {
    for seed in 0..4 {
        let mut builder = Builder::default();
        let db = builder.free_limit([4, 9, 30, 200][seed]).in_memory().unwrap();
        model(&db, 20 + seed as u64, 40);
    }
}

/// Some pages of both kinds.
fn fill(txn: &mut WriteTxn, keys: std::ops::Range<u32>, with: u8) {
    let main = txn.open("main").unwrap();
    for n in keys {
        let len = if n % 9 == 0 { 9_000 } else { 120 };
        txn.put(main, &common::spread(n.into()), &vec![with; len]).unwrap();
    }
}

fn file_pages(db: &Database) -> (u64, u64) {
    let info = db.info().unwrap();
    (info.page_count, info.file_bytes)
}

/// In one transaction: the pages of a level that was undone are taken again.
#[test]
fn ten_thousand_rollbacks_in_a_transaction_take_no_room() {
    for sink in [Sink::Staged, Sink::Direct] {
        let dir = memory_dir();
        let mut builder = Builder::default();
        builder.sink(sink).growth_step(4096).stage_bytes(40 * 4096);
        let db = open_at(&dir.path().join("x.recto"), &builder);
        write(&db, Durability::Durable, |txn| fill(txn, 0..600, 1));
        let file = |db: &Database| db.info().unwrap().file_bytes;
        let mut txn = db.write().unwrap();
        fill(&mut txn, 0..100, 2);
        let before = txn.id();
        let mut high = 0;
        for round in 0..10_000 {
            let mut nested = txn.nested().unwrap();
            fill(&mut nested, round % 500..round % 500 + 12, 3);
            drop(nested);
            // The first few find out what there is.
            match round {
                0..50 => high = high.max(file(&db)),
                _ => assert!(file(&db) <= high, "round {round}: {} of {high}", file(&db)),
            }
        }
        assert!(txn.id() <= before + 1, "ids are used up: {} {before}", txn.id());
        txn.commit().unwrap();
        assert_clean(&db);
        assert_eq!(pairs(&db, "main").len(), 600);
        for (n, (_, value)) in pairs(&db, "main").iter().enumerate() {
            assert!(value.iter().all(|&b| b == 1 || b == 2), "pair {n}");
        }
    }
}

/// Over many transactions, with a release now and then: used and free pages add up, and the file
/// comes to no other length than it would without.
#[test]
fn rollbacks_in_many_transactions_leak_nothing() {
    let lengths = [false, true].map(|undone| {
        let dir = memory_dir();
        let mut builder = Builder::default();
        builder.growth_step(4096);
        let db = open_at(&dir.path().join("x.recto"), &builder);
        write(&db, Durability::Durable, |txn| fill(txn, 0..600, 1));
        for round in 0..2_000u32 {
            let mut txn = db.write().unwrap();
            txn.set_durability(Durability::Deferred);
            if undone {
                for _ in 0..5 {
                    let mut nested = txn.nested().unwrap();
                    fill(&mut nested, round % 500..round % 500 + 10, 2);
                    let mut inner = nested.nested().unwrap();
                    inner.drop_table("main").unwrap();
                    inner.commit().unwrap();
                }
            }
            let mut kept = txn.nested().unwrap();
            fill(&mut kept, round % 590..round % 590 + 4, 3);
            kept.commit().unwrap();
            txn.commit().unwrap();
            if round % 200 == 0 {
                assert_clean(&db);
            }
        }
        assert_clean(&db);
        assert_eq!(pairs(&db, "main").len(), 600);
        file_pages(&db).0
    });
    assert!(lengths[1] <= lengths[0] + lengths[0] / 8 + 60, "{lengths:?}");
}

/// A transaction of which everything was undone changes nothing, and takes no id.
#[test]
fn what_was_undone_as_a_whole_is_no_commit() {
    let db = Database::in_memory().unwrap();
    write(&db, Durability::Durable, |txn| fill(txn, 0..40, 1));
    let before = db.info().unwrap().built;
    let mut txn = db.write().unwrap();
    let mut nested = txn.nested().unwrap();
    fill(&mut nested, 0..40, 2);
    nested.rename_table("main", "other").unwrap();
    nested.rollback().unwrap();
    txn.commit().unwrap();
    assert_eq!(db.info().unwrap().built, before);
    assert_clean(&db);
}

/// An empty savepoint needs no id.
#[test]
fn savepoints_without_changes_take_no_ids() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let id = txn.id();
    let all: Vec<Savepoint> = (0..20_000).map(|_| txn.savepoint().unwrap()).collect();
    assert_eq!(txn.id(), id);
    fill(&mut txn, 0..10, 1);
    let last = txn.savepoint().unwrap();
    assert_eq!(txn.id(), id + 1);
    fill(&mut txn, 0..20, 2);
    txn.rollback_to(&last).unwrap();
    assert_eq!(txn.table("main").unwrap().len(), 10);
    for savepoint in all.into_iter().rev() {
        txn.release(savepoint).unwrap();
    }
    txn.commit().unwrap();
    assert_clean(&db);
    assert_eq!(pairs(&db, "main").len(), 10);
}

/// Whatever the order of drops, the newest state that was kept is there.
#[test]
fn guards_that_are_forgotten_and_savepoints_that_are_dropped() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let _kept_to_the_end = txn.savepoint().unwrap();
    fill(&mut txn, 0..10, 1);
    std::mem::forget(txn.nested().unwrap());
    fill(&mut txn, 0..20, 2);
    let mut outer = txn.nested().unwrap();
    let kept = outer.savepoint().unwrap();
    fill(&mut outer, 0..30, 3);
    outer.commit().unwrap();
    assert!(matches!(txn.rollback_to(&kept), Err(Error::NoSuchSavepoint)));
    txn.commit().unwrap();
    assert_eq!(pairs(&db, "main").len(), 30);
    assert_clean(&db);

    // Through the guard of a nested transaction the one below it can end, too.
    let mut txn = db.write().unwrap();
    let before = txn.savepoint().unwrap();
    fill(&mut txn, 30..40, 1);
    let mut nested = txn.nested().unwrap();
    fill(&mut nested, 40..50, 1);
    nested.rollback_to(&before).unwrap();
    fill(&mut nested, 50..60, 1);
    assert!(matches!(nested.commit(), Err(Error::NoSuchSavepoint)));
    assert_eq!(txn.table("main").unwrap().len(), 40);
    txn.release(before).unwrap();
    txn.commit().unwrap();
    assert_clean(&db);
}

/// A savepoint of another transaction, before and beside this one.
#[test]
fn savepoints_of_other_transactions() {
    let (a, b) = (Database::in_memory().unwrap(), Database::in_memory().unwrap());
    let (mut one, mut two) = (a.write().unwrap(), b.write().unwrap());
    let (of_one, of_two) = (one.savepoint().unwrap(), two.savepoint().unwrap());
    assert!(matches!(one.rollback_to(&of_two), Err(Error::NoSuchSavepoint)));
    assert!(matches!(two.release(of_one), Err(Error::NoSuchSavepoint)));
    one.commit().unwrap();
    let mut again = a.write().unwrap();
    assert!(matches!(again.rollback_to(&of_two), Err(Error::NoSuchSavepoint)));
}

/// Which call of the next operation fails, and how.
fn fail_from(disk: &SimDisk, errno: i32, which: fn(&EventKind) -> bool) {
    disk.set_hook(move |_, event| match which(&event.kind) {
        true => Action::Fail(errno),
        false => Action::Continue,
    });
}

fn spilling() -> Builder {
    let mut builder = Database::builder();
    builder.stage_bytes(20 * PAGE).growth_step(PAGE as u64);
    builder
}

/// A child whose `put` fails half-way, because the disk is full or refuses, is undone; its parent
/// has lost none of its pages, and commits.
#[test]
fn a_failed_child_is_undone_and_its_parent_goes_on() {
    let writes = |kind: &EventKind| matches!(kind, EventKind::Write { .. });
    let grows = |kind: &EventKind| matches!(kind, EventKind::Grow { .. });
    for (errno, which) in [
        (libc::ENOSPC, grows as fn(&EventKind) -> bool),
        (libc::ENOSPC, writes),
        (libc::EIO, writes),
    ] {
        let disk = machine(7);
        let db = enter(&disk, &spilling());
        write(&db, Durability::Durable, |txn| fill(txn, 0..40, 1));
        let mut txn = db.write().unwrap();
        fill(&mut txn, 0..12, 2);
        let mut outer = txn.nested().unwrap();
        fill(&mut outer, 12..18, 3);
        let mut child = outer.nested().unwrap();
        fail_from(&disk, errno, which);
        let main = child.open("main").unwrap();
        let failed = (0..2_000u32)
            .find_map(|n| child.put(main, &n.to_be_bytes(), &[4; 700]).err())
            .expect("something is written or grows");
        assert!(matches!(failed, Error::DiskFull { .. } | Error::Io { .. }), "{failed}");
        assert!(matches!(child.get(main, b""), Err(Error::TransactionBroken { .. })));
        assert!(matches!(child.savepoint(), Err(Error::TransactionBroken { .. })));
        assert!(matches!(child.commit(), Err(Error::TransactionBroken { .. })));
        // Also while nothing can be written or grow: what was there is there, and small changes go.
        let all = |txn: &WriteTxn| {
            let table = txn.table("main").unwrap();
            table.iter().unwrap().map(|pair| pair.unwrap().1[0]).collect::<Vec<u8>>()
        };
        let count = |values: &[u8], with| values.iter().filter(|&&v| v == with).count();
        let seen = all(&outer);
        assert_eq!([1, 2, 3, 4].map(|with| count(&seen, with)), [22, 12, 6, 0]);
        disk.clear_hook();
        fill(&mut outer, 18..20, 5);
        outer.commit().unwrap();
        txn.commit().unwrap();
        assert_clean(&db);
        let values: Vec<u8> = pairs(&db, "main").iter().map(|(_, v)| v[0]).collect();
        assert_eq!([1, 2, 3, 4, 5].map(|with| count(&values, with)), [20, 12, 6, 0, 2]);
        let cut = disk.cut_point();
        for seed in 0..6 {
            let after = cut.boot(seed).unwrap();
            let db = enter(&after, &spilling());
            let found: Vec<u8> = pairs(&db, "main").iter().map(|(_, v)| v[0]).collect();
            assert_eq!(found, values);
            assert_clean(&db);
        }
    }
}

/// A full disk in a child does not make the commit of the parent ask for the room again.
#[test]
fn the_room_that_a_child_wanted_is_not_wanted_any_more() {
    let disk = machine(8);
    let db = enter(&disk, &spilling());
    write(&db, Durability::Durable, |txn| fill(txn, 0..40, 1));
    // Free pages for the parent.
    write(&db, Durability::Durable, |txn| assert!(txn.drop_table("main").unwrap()));
    write(&db, Durability::Durable, |txn| fill(txn, 0..2, 1));
    write(&db, Durability::Durable, |txn| fill(txn, 0..2, 1));
    fail_from(&disk, libc::ENOSPC, |kind| matches!(kind, EventKind::Grow { .. }));
    let mut txn = db.write().unwrap();
    let main = txn.open("main").unwrap();
    let mut child = txn.nested().unwrap();
    let huge = vec![1; 3_000_000];
    assert!(matches!(child.put(main, b"huge", &huge), Err(Error::DiskFull { .. })));
    child.rollback().unwrap();
    fill(&mut txn, 0..3, 2);
    txn.commit().unwrap();
    assert_eq!(pairs(&db, "main").len(), 3);
    assert_clean(&db);
}

/// Readers of several snapshots, in other processes, see what they saw while levels are undone.
#[test]
fn readers_of_other_processes_stay() {
    let disk = machine(9);
    let (db, other) = (enter(&disk, &spilling()), enter(&disk, &spilling()));
    let mut held = Vec::new();
    for round in 0..30u8 {
        let mut txn = db.write().unwrap();
        let durability = if round % 3 == 0 { Durability::Durable } else { Durability::Deferred };
        txn.set_durability(durability);
        for level in 0..6 {
            let mut nested = txn.nested().unwrap();
            fill(&mut nested, level * 10..level * 10 + 20, 200);
            if level % 2 == 0 {
                nested.rollback().unwrap();
            } else {
                fill(&mut nested, level * 10..level * 10 + 20, round);
                nested.commit().unwrap();
            }
        }
        fill(&mut txn, 0..100, round);
        txn.commit().unwrap();
        held.push((other.read().unwrap(), round));
        if held.len() > 5 {
            held.remove(usize::from(round) % 5);
        }
        for (reader, round) in &held {
            let table = reader.table("main").unwrap();
            assert_eq!(table.len(), 100);
            assert!(table.iter().unwrap().all(|pair| pair.unwrap().1.iter().all(|b| b == round)));
        }
    }
    held.clear();
    assert_clean(&db);
    assert_clean(&other);
}

/// A cut right behind a commit whose transaction had undone levels: what these had spilled, and had
/// been given back and used again, is in the manifest as it is now, or not at all.
#[test]
fn a_cut_behind_a_commit_with_undone_levels() {
    for seed in 0..12 {
        let disk = machine(100 + seed);
        let db = enter(&disk, &spilling());
        write(&db, Durability::Durable, |txn| fill(txn, 0..30, 1));
        write(&db, Durability::Deferred, |txn| fill(txn, 0..10, 2));
        let mut txn = db.write().unwrap();
        for round in 0..4 {
            let mut undone = txn.nested().unwrap();
            fill(&mut undone, 0..30 + 10 * round, 200);
            undone.drop_table("main").unwrap();
            drop(undone);
            let mut kept = txn.nested().unwrap();
            fill(&mut kept, 5 * round..5 * round + 3, 3);
            kept.commit().unwrap();
        }
        txn.commit().unwrap();
        let expected = pairs(&db, "main");
        assert!(expected.iter().all(|(_, v)| v[0] <= 3) && expected.len() == 30);
        let cut = disk.cut_point();
        for outcome in 0..20 {
            let after = cut.boot(outcome).unwrap();
            let db = enter(&after, &spilling());
            assert!(pairs(&db, "main") == expected, "cut {outcome}");
            assert_clean(&db);
        }
        assert_clean(&db);
    }
}

/// A process that dies within a level leaves nothing of the transaction, and the next one goes on.
#[test]
fn a_death_within_a_level() {
    let disk = machine(10);
    let db = enter(&disk, &spilling());
    write(&db, Durability::Durable, |txn| fill(txn, 0..30, 1));
    let expected = pairs(&db, "main");
    let dying = enter(&disk, &spilling());
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut txn = dying.write().unwrap();
        let mut nested: Nested<'_> = txn.nested().unwrap();
        fill(&mut nested, 0..20, 2);
        disk.set_hook(|_, event| match event.kind {
            EventKind::Write { .. } => Action::Kill,
            _ => Action::Continue,
        });
        fill(&mut nested, 0..200, 2);
    }));
    assert!(done.is_err());
    disk.clear_hook();
    drop(catch_unwind(AssertUnwindSafe(|| drop(dying))));
    assert!(pairs(&db, "main") == expected);
    let mut txn = db.write().unwrap();
    let mut nested = txn.nested().unwrap();
    fill(&mut nested, 0..3, 9);
    nested.commit().unwrap();
    txn.commit().unwrap();
    assert_clean(&db);
}

/// A panic within an operation of the engine is no error half-way: nobody knows what it has left.
#[test]
fn a_panic_within_the_engine_is_not_undone() {
    let disk = machine(11);
    let db = enter(&disk, &spilling());
    let mut txn = db.write().unwrap();
    fill(&mut txn, 0..30, 1);
    let before = txn.savepoint().unwrap();
    disk.set_hook(|_, event| match event.kind {
        EventKind::Write { .. } => panic!("within a write"),
        _ => Action::Continue,
    });
    let done = catch_unwind(AssertUnwindSafe(|| fill(&mut txn, 0..200, 2)));
    assert!(done.is_err());
    disk.clear_hook();
    assert!(matches!(txn.rollback_to(&before), Err(Error::TransactionBroken { .. })));
    assert!(matches!(txn.commit(), Err(Error::TransactionBroken { .. })));
    assert_clean(&db);
    assert!(pairs(&db, "main").is_empty());
    write(&db, Durability::Durable, |txn| fill(txn, 0..3, 1));
    assert_clean(&db);
}

/// Ids have gaps now; deferred commits stay deferred as long as reserved ids last, are found again
/// after all die, and the dead are looked for whatever the ids are.
#[test]
fn ids_with_gaps() {
    let disk = machine(12);
    let db = enter(&disk, &Database::builder());
    let mut last = 0;
    for round in 0..40u8 {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        let first = txn.id();
        assert_eq!(first, if round == 0 { first } else { last + 1 });
        for n in 0..7u8 {
            let mut nested = txn.nested().unwrap();
            nested.open_table("main").unwrap().put(&[n], &[round]).unwrap();
            nested.commit().unwrap();
        }
        last = txn.id();
        assert!(last >= first + 6);
        txn.commit().unwrap();
        let info = db.info().unwrap();
        assert_eq!((info.built, info.visible), (last, last));
        assert_clean(&db);
    }
    // A reader dies: its snapshot holds nothing for ever, although no id is a multiple of 32.
    let reader = disk.process(recto::harness::sim::ProcessOptions::default());
    let dying = recto::harness::open(reader.clone(), &Database::builder()).unwrap();
    std::mem::forget(dying.read().unwrap());
    disk.kill(reader.id());
    for round in 0..80u8 {
        let mut txn = db.write().unwrap();
        let main = txn.open("main").unwrap();
        txn.put(main, b"x", &[round]).unwrap();
        // The last id of the transaction is odd.
        while txn.id().is_multiple_of(2) || txn.id() < last + 2 {
            let _kept_to_the_end = txn.savepoint().unwrap();
            txn.put(main, b"y", &LARGE).unwrap();
        }
        last = txn.id();
        txn.commit().unwrap();
        assert!(last % 2 == 1);
    }
    assert!(db.info().unwrap().readers.is_empty());
    assert_clean(&db);
    db.flush().unwrap();
    drop(db);
    let again = enter(&disk, &Database::builder());
    assert!(again.write().unwrap().id() > last);
}

/// A savepoint a row that nobody releases: the commit gives all of them up at once, and what they
/// hold is of use for the descriptors.
#[test]
fn many_savepoints_that_stand_are_released_by_the_commit() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let table = txn.open("main").unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut model = std::collections::BTreeMap::new();
    for n in 0..20_000u32 {
        txn.put(table, &n.to_be_bytes(), &[1; 50]).unwrap();
        model.insert(n, vec![1; 50]);
    }
    for round in 0..2_000u32 {
        txn.savepoint().unwrap();
        let n = rng.u32(..20_000);
        txn.put(table, &n.to_be_bytes(), &round.to_be_bytes()).unwrap();
        model.insert(n, round.to_be_bytes().to_vec());
    }
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let pairs = txn.table("main").unwrap();
    assert_eq!(pairs.len(), 20_000);
    for (n, value) in model {
        assert_eq!(pairs.get(&n.to_be_bytes()).unwrap(), Some(&value[..]));
    }
    assert_clean(&db);
}

/// As much room as the transaction takes with its savepoint released is enough for it as it stands.
#[test]
fn a_commit_releases_before_it_writes_the_descriptors() {
    let pages = |stands: bool, max_bytes: u64| -> recto::Result<u64> {
        let db = Database::builder().max_bytes(max_bytes).in_memory()?;
        let mut txn = db.write()?;
        let tables: Vec<_> =
            (0..200).map(|n| txn.open(&format!("table {n}"))).collect::<Result<_, _>>()?;
        for &table in &tables {
            txn.put(table, b"key", b"before")?;
        }
        let savepoint = txn.savepoint()?;
        for &table in &tables {
            txn.put(table, b"key", b"behind")?;
        }
        if !stands {
            txn.release(savepoint)?;
        }
        txn.commit()?;
        assert_clean(&db);
        Ok(db.info()?.page_count)
    };
    let released = pages(false, u64::MAX).unwrap();
    assert_eq!(pages(true, u64::MAX).unwrap(), released);
    assert_eq!(pages(true, released * 4096).unwrap(), released);
}

/// Tables that were dropped behind many savepoints: however these end, each table goes through them
/// once, not through every one.
#[test]
fn tables_dropped_behind_many_savepoints() {
    const TABLES: u32 = 3_000;
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    for n in 0..TABLES {
        txn.open_table(&format!("table {n}")).unwrap().put(b"key", &n.to_be_bytes()).unwrap();
    }
    txn.commit().unwrap();
    for how in 0..3 {
        let mut txn = db.write().unwrap();
        let ids: Vec<_> = (0..10).map(|n| txn.open(&format!("table {n}")).unwrap()).collect();
        let first = txn.savepoint().unwrap();
        let mut later: Vec<_> = (0..60_000).map(|_| txn.savepoint().unwrap()).collect();
        for n in 0..TABLES {
            assert!(txn.drop_table(&format!("table {n}")).unwrap());
        }
        match how {
            0 => txn.rollback_to(&first).unwrap(),
            1 => {
                while let Some(savepoint) = later.pop() {
                    txn.release(savepoint).unwrap();
                }
                assert!(txn.tables().unwrap().is_empty());
                txn.rollback_to(&first).unwrap();
            }
            _ => {
                txn.release(first).unwrap();
                assert!(txn.tables().unwrap().is_empty());
                continue;
            }
        }
        for (n, &table) in ids.iter().enumerate() {
            assert_eq!(txn.get(table, b"key").unwrap(), Some(&(n as u32).to_be_bytes()[..]));
        }
        txn.commit().unwrap();
    }
    assert_eq!(db.read().unwrap().tables().unwrap().len(), TABLES as usize);
    assert_clean(&db);
}
