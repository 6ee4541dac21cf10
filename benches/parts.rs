//! The parts by themselves, in memory: no disk and no flush in these figures.
//!
//!     cargo bench --bench parts [-- FILTER]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use recto::{Database, Durability};
use std::hint::black_box;

const VALUE_LEN: usize = 100;
const KEYS: u64 = 1_000_000;
/// Few enough to stand in one leaf.
const LEAF_KEYS: u64 = 30;

/// The three shapes that keys have here.
#[derive(Clone, Copy)]
enum Shape {
    Random,
    Sequential,
    Url,
}

impl Shape {
    const ALL: [(Shape, &'static str); 3] =
        [(Shape::Random, "random"), (Shape::Sequential, "sequential"), (Shape::Url, "url")];

    /// Key of number `i`; those of odd numbers are never put.
    fn key(self, i: u64) -> Vec<u8> {
        let spread = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match self {
            Shape::Random => spread.to_be_bytes().to_vec(),
            Shape::Sequential => i.to_be_bytes().to_vec(),
            Shape::Url => {
                format!("https://www.example.com/shop/{:03}/item/{spread:020}", spread % 500).into()
            }
        }
    }
}

fn filled(shape: Shape, keys: u64) -> recto::Result<Database> {
    let db = Database::in_memory()?;
    let mut sorted: Vec<_> = (0..keys).map(|i| shape.key(2 * i)).collect();
    sorted.sort_unstable();
    let mut txn = db.write()?;
    let mut table = txn.open_table("main")?;
    for key in sorted {
        table.put(&key, &[7; VALUE_LEN])?;
    }
    txn.commit()?;
    Ok(db)
}

/// Point reads of keys that are there and of keys that are not. Making the key is not timed.
fn gets(c: &mut Criterion, name: &str, shape: Shape, keys: u64) {
    let db = filled(shape, keys).expect("in memory");
    let txn = db.read().expect("a slot is free");
    let table = txn.table("main").expect("was made");
    let mut rng = fastrand::Rng::with_seed(1);
    let mut group = c.benchmark_group(name);
    for (what, odd) in [("hit", 0), ("miss", 1)] {
        group.bench_function(what, |b| {
            b.iter_batched_ref(
                || shape.key(2 * rng.u64(..keys) + odd),
                |key| {
                    let found = table.get(key).expect("intact");
                    assert_eq!(found.is_some(), odd == 0);
                    found.map(|value| black_box(value)[0])
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn point_reads(c: &mut Criterion) {
    for (shape, name) in Shape::ALL {
        gets(c, &format!("get, 1 M keys, {name}"), shape, KEYS);
    }
    gets(c, "get, one leaf, random", Shape::Random, LEAF_KEYS);
}

fn scan(c: &mut Criterion) {
    const ENTRIES: usize = 10_000;
    let db = filled(Shape::Random, KEYS).expect("in memory");
    let txn = db.read().expect("a slot is free");
    let table = txn.table("main").expect("was made");
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    group.bench_function("10,000 entries forward", |b| {
        b.iter(|| {
            let range = table.iter().expect("intact").take(ENTRIES);
            range.map(|pair| pair.expect("intact").1.len()).sum::<usize>()
        });
    });
    group.bench_function("10,000 entries backward", |b| {
        b.iter(|| {
            let range = table.iter().expect("intact").rev().take(ENTRIES);
            range.map(|pair| pair.expect("intact").1.len()).sum::<usize>()
        });
    });
    group.finish();
}

fn transactions(c: &mut Criterion) {
    let db = filled(Shape::Random, 100_000).expect("in memory");
    c.bench_function("read transaction, begin and end", |b| {
        b.iter(|| black_box(db.read().expect("a slot is free").id()));
    });
    let mut rng = fastrand::Rng::with_seed(2);
    c.bench_function("one-key deferred commit, 100,000 keys", |b| {
        b.iter(|| {
            let mut txn = db.write().expect("nobody else writes");
            txn.set_durability(Durability::Deferred);
            let key = Shape::Random.key(2 * rng.u64(..100_000));
            let mut table = txn.open_table("main").expect("was made");
            table.put(&key, &[rng.u8(..); VALUE_LEN]).expect("memory suffices");
            txn.commit().expect("memory does not fail");
        });
    });
    let report = db.check(None).expect("check runs");
    assert_eq!(report.fault_count, 0, "{:?}", report.faults);
}

criterion_group!(parts, point_reads, scan, transactions);
criterion_main!(parts);
