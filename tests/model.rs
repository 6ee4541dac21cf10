//! Random operations against `BTreeMap`: all page sizes, both sinks, file and memory; aborted,
//! deferred and durable transactions; snapshots that are held while the database moves on. Every
//! run ends with the full check.

mod common;

use common::{assert_clean, open_at};
use fastrand::Rng;
use recto::{Builder, Database, Durability, ReadTxn, Sink};
use std::collections::BTreeMap;
use std::ops::Bound;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = BTreeMap<String, Table>;

struct Run {
    db: Database,
    rng: Rng,
    model: Model,
    held: Vec<(ReadTxn, Model)>,
    operations: u64,
}

/// Keys of several shapes, so that prefixes form and break.
fn key(rng: &mut Rng, max: usize) -> Vec<u8> {
    match rng.u8(..10) {
        0..=3 => rng.u64(..20_000).to_be_bytes().to_vec(),
        4..=5 => format!("https://example.org/{:03}/item/{}", rng.u8(..), rng.u16(..900)).into(),
        6 => (0..rng.usize(..4)).map(|_| rng.u8(..3)).collect(),
        7 => vec![rng.u8(..4); rng.usize(..40)],
        8 => {
            let mut k = vec![b'p'; rng.usize(..=max - 2)];
            k.push(rng.u8(..));
            k
        }
        _ => rng.u16(..3000).to_le_bytes().to_vec(),
    }
}

fn value(rng: &mut Rng, page: usize) -> Vec<u8> {
    let len = match rng.u8(..40) {
        0 => rng.usize(..page * 5),
        1..=2 => rng.usize(page / 3..page * 3 / 2),
        3..=9 => rng.usize(..400),
        _ => rng.usize(..60),
    };
    let fill = rng.u8(..);
    let mut v = vec![fill; len];
    if let Some(last) = v.last_mut() {
        *last = !fill;
    }
    v
}

fn bound<'a>(rng: &mut Rng, key: &'a [u8]) -> Bound<&'a [u8]> {
    match rng.u8(..3) {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    }
}

fn same_range(
    real: recto::Range<'_>,
    model: &Table,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
    rng: &mut Rng,
) {
    let inverted = match (from, to) {
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
            a >= b
        }
        _ => false,
    };
    let mut expect: Vec<_> =
        if inverted { vec![] } else { model.range::<[u8], _>((from, to)).collect() };
    let mut real = real;
    while !expect.is_empty() {
        let back = rng.bool();
        let (k, v) = if back { real.next_back() } else { real.next() }.expect("a pair").unwrap();
        let (mk, mv) = if back { expect.pop().unwrap() } else { expect.remove(0) };
        assert_eq!((&*k, v), (&mk[..], &mv[..]));
    }
    assert!(real.next().is_none() && real.next_back().is_none());
}

impl Run {
    fn write_some(&mut self) {
        let mut txn = self.db.write().unwrap();
        let mut model = self.model.clone();
        let (max, page) = (self.db.max_key_len(), self.db.info().unwrap().page_size as usize);
        for _ in 0..self.rng.usize(1..5) {
            let name = format!("table{}", self.rng.u8(..3));
            match self.rng.u8(..60) {
                0 => assert_eq!(txn.drop_table(&name).unwrap(), model.remove(&name).is_some()),
                1 => {
                    let to = format!("table{}", self.rng.u8(..4));
                    let done = txn.rename_table(&name, &to);
                    let possible =
                        model.contains_key(&name) && (to == name || !model.contains_key(&to));
                    assert_eq!(done.is_ok(), possible, "{done:?}");
                    if possible {
                        let t = model.remove(&name).expect("checked above");
                        model.insert(to, t);
                    }
                }
                2 if self.rng.u8(..4) == 0 => {
                    let to = format!("table{}", self.rng.u8(..4));
                    let done = txn.copy_table(&name, &to);
                    let possible = model.contains_key(&name) && !model.contains_key(&to);
                    assert_eq!(done.is_ok(), possible, "{done:?}");
                    if possible {
                        model.insert(to, model[&name].clone());
                    }
                }
                _ => {}
            }
            let mut table = txn.open_table(&name).unwrap();
            let m = model.entry(name).or_default();
            let deletes = self.rng.u8(1..9);
            for _ in 0..self.rng.usize(1..300) {
                self.operations += 1;
                let k = match self.rng.u8(..4) {
                    0 => m.range(key(&mut self.rng, max)..).next().map(|(k, _)| k.clone()),
                    _ => None,
                };
                let k = k.unwrap_or_else(|| key(&mut self.rng, max));
                if self.rng.u8(..10) < deletes {
                    assert_eq!(table.delete(&k).unwrap(), m.remove(&k).is_some());
                } else {
                    let v = value(&mut self.rng, page);
                    let there = m.insert(k.clone(), v.clone()).is_some();
                    assert_eq!(table.put(&k, &v).unwrap(), there);
                }
                assert_eq!(table.len(), m.len() as u64);
            }
            for _ in 0..20 {
                self.operations += 1;
                let k = key(&mut self.rng, max);
                assert_eq!(table.get(&k).unwrap(), m.get(&k).map(|v| &v[..]));
            }
        }
        match self.rng.u8(..10) {
            0 => drop(txn),
            n => {
                txn.set_durability(if n < 8 { Durability::Deferred } else { Durability::Durable });
                txn.commit().unwrap();
                self.model = model;
            }
        }
    }

    fn compare(&mut self) {
        let index = self.rng.usize(..=self.held.len());
        let now;
        let (txn, model) = match self.held.get(index) {
            Some((txn, model)) => (txn, model),
            None => {
                now = self.db.read().unwrap();
                (&now, &self.model)
            }
        };
        let names: Vec<String> = txn.tables().unwrap().into_iter().map(|t| t.name).collect();
        assert!(names.iter().eq(model.keys()), "{names:?}");
        for (name, m) in model {
            let table = txn.table(name).unwrap();
            assert_eq!(table.len(), m.len() as u64);
            let (a, b) = (key(&mut self.rng, 100), key(&mut self.rng, 100));
            let (from, to) = (bound(&mut self.rng, &a), bound(&mut self.rng, &b));
            same_range(table.range((from, to)).unwrap(), m, from, to, &mut self.rng);
            let first = table.first().unwrap().map(|(k, v)| (k.to_vec(), v.to_vec()));
            assert_eq!(first, m.first_key_value().map(|(k, v)| (k.clone(), v.clone())));
            let last = table.last().unwrap().map(|(k, v)| (k.to_vec(), v.to_vec()));
            assert_eq!(last, m.last_key_value().map(|(k, v)| (k.clone(), v.clone())));
        }
    }

    fn go(&mut self, operations: u64) {
        let end = self.operations + operations;
        while self.operations < end {
            self.write_some();
            match self.rng.u8(..12) {
                0 if self.held.len() < 6 => {
                    self.held.push((self.db.read().unwrap(), self.model.clone()));
                }
                1 | 2 if !self.held.is_empty() => {
                    let gone = self.rng.usize(..self.held.len());
                    self.held.swap_remove(gone);
                }
                3 => self.compare(),
                4 => self.db.flush().unwrap(),
                _ => {}
            }
        }
        self.compare();
    }
}

fn run(db: Database, seed: u64, operations: u64) -> Run {
    let mut run =
        Run { db, rng: Rng::with_seed(seed), model: Model::new(), held: vec![], operations: 0 };
    run.go(operations);
    run
}

/// One million operations over these runs, in CI too.
const OPERATIONS: u64 = 105_000;

fn on_file(page_size: usize, sink: Sink, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.recto");
    let mut builder = Builder::default();
    builder.page_size(page_size).sink(sink).reserve(1 << 20).stage_bytes(40 * page_size);
    let mut r = run(open_at(&path, &builder), seed, OPERATIONS / 2);
    assert_clean(&r.db);
    r.held.clear();
    r.db = {
        let again = open_at(&path, &builder);
        drop(std::mem::replace(&mut r.db, again.clone()));
        again
    };
    r.go(OPERATIONS / 2);
    assert_clean(&r.db);
    r.held.clear();
    // Everything goes, and nothing may be left over.
    let mut txn = r.db.write().unwrap();
    for name in r.model.keys() {
        assert!(txn.drop_table(name).unwrap());
    }
    txn.commit().unwrap();
    assert_clean(&r.db);
    assert!(r.db.read().unwrap().tables().unwrap().is_empty());
}

#[test]
fn file_4k_staged() {
    on_file(4096, Sink::Staged, 1);
}

#[test]
fn file_4k_direct() {
    on_file(4096, Sink::Direct, 2);
}

#[test]
fn file_8k_staged() {
    on_file(8192, Sink::Staged, 3);
}

#[test]
fn file_16k_direct() {
    on_file(16384, Sink::Direct, 4);
}

#[test]
fn file_32k_staged() {
    on_file(32768, Sink::Staged, 5);
}

#[test]
fn file_64k_staged() {
    on_file(65536, Sink::Staged, 6);
}

#[test]
fn file_64k_direct() {
    on_file(65536, Sink::Direct, 7);
}

#[test]
fn memory_all_page_sizes() {
    for (i, page_size) in [4096, 8192, 16384, 32768, 65536].into_iter().enumerate() {
        let db = Builder::default().page_size(page_size).in_memory().unwrap();
        let r = run(db, 10 + i as u64, OPERATIONS * 2 / 3);
        assert_clean(&r.db);
    }
}
