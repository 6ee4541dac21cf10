//! Work on whole tables and transactions.

use super::Work;
use recto::internals::{build, make_durable};
use recto::{Database, Durability, ReadTxn};
use std::hint::black_box;
use std::sync::Arc;

const MANY: [u64; 2] = [1_000_000, 20_000];
const FEW: [u64; 2] = [100_000, 20_000];

pub const WORKS: [Work; 21] = [
    Work {
        name: "get, random keys",
        times: GETS,
        keys: MANY,
        ready: |n| gets(Shape::Random, n, 0),
    },
    Work {
        name: "get, sequential keys",
        times: GETS,
        keys: MANY,
        ready: |n| gets(Shape::Sequential, n, 0),
    },
    Work { name: "get, URL-like keys", times: GETS, keys: MANY, ready: |n| gets(Shape::Url, n, 0) },
    Work { name: "get, not there", times: GETS, keys: MANY, ready: |n| gets(Shape::Random, n, 1) },
    Work { name: "get_many, 1,000 keys", times: GETS, keys: MANY, ready: get_many },
    Work {
        name: "scan forward, lent keys",
        times: PAIRS as u64,
        keys: MANY,
        ready: |n| lent(Shape::Random, n, true),
    },
    Work {
        name: "scan backward, lent keys",
        times: PAIRS as u64,
        keys: MANY,
        ready: |n| lent(Shape::Random, n, false),
    },
    Work {
        name: "scan forward, lent URL-like keys",
        times: PAIRS as u64,
        keys: MANY,
        ready: |n| lent(Shape::Url, n, true),
    },
    Work {
        name: "scan forward, iterator",
        times: PAIRS as u64,
        keys: MANY,
        ready: |n| iterated(Shape::Random, n),
    },
    Work {
        name: "scan forward, iterator, URL-like keys",
        times: PAIRS as u64,
        keys: MANY,
        ready: |n| iterated(Shape::Url, n),
    },
    Work {
        name: "scan forward, owned range",
        times: PAIRS as u64,
        keys: MANY,
        ready: |n| owned(n, false),
    },
    Work {
        name: "scan forward, owned iterator",
        times: PAIRS as u64,
        keys: MANY,
        ready: |n| owned(n, true),
    },
    Work { name: "seek, then 100 pairs", times: 100, keys: MANY, ready: seek },
    Work { name: "begin and end of a read", times: 100, keys: FEW, ready: begin },
    Work { name: "refresh, nothing newer", times: 100, keys: FEW, ready: refresh },
    Work {
        name: "commit of one key, built",
        times: 1,
        keys: FEW,
        ready: |n| commits(n, Half::Build),
    },
    Work {
        name: "commit of one key, built and flushed",
        times: 1,
        keys: FEW,
        ready: |n| commits(n, Half::Both),
    },
    Work { name: "put in order", times: PUTS, keys: FEW, ready: |n| puts(n, Order::Ascending) },
    Work { name: "put at random", times: PUTS, keys: FEW, ready: |n| puts(n, Order::Random) },
    Work { name: "replace", times: PUTS, keys: FEW, ready: |n| puts(n, Order::There) },
    Work { name: "delete", times: PUTS, keys: FEW, ready: delete },
];

const GETS: u64 = 1_000;
const PAIRS: usize = 10_000;
const PUTS: u64 = 1_000;
const VALUE: [u8; 100] = [7; 100];

/// The three shapes that keys have here.
#[derive(Clone, Copy)]
enum Shape {
    Random,
    Sequential,
    Url,
}

impl Shape {
    /// Key of number `i`; those of odd numbers are not in a table that was filled.
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

fn filled(shape: Shape, keys: u64) -> Database {
    let db = Database::in_memory().expect("memory suffices");
    let mut sorted: Vec<_> = (0..keys).map(|i| shape.key(2 * i)).collect();
    sorted.sort_unstable();
    let mut txn = db.write().expect("nobody else writes");
    let mut table = txn.open_table("main").expect("memory suffices");
    for key in sorted {
        table.put(&key, &VALUE).expect("memory suffices");
    }
    txn.commit().expect("memory does not fail");
    db
}

fn reader(shape: Shape, keys: u64) -> ReadTxn {
    filled(shape, keys).read().expect("a slot is free")
}

/// Lists of keys, one for each call in turn, so that no call finds what it seeks in the processor's
/// caches.
struct Lists {
    lists: Vec<Vec<Vec<u8>>>,
    turn: usize,
}

impl Lists {
    fn of(shape: Shape, keys: u64, odd: u64) -> Lists {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut list = || (0..GETS).map(|_| shape.key(2 * rng.u64(..keys) + odd)).collect();
        Lists { lists: (0..100).map(|_| list()).collect(), turn: 0 }
    }

    fn next(&mut self) -> &[Vec<u8>] {
        self.turn = (self.turn + 1) % self.lists.len();
        &self.lists[self.turn]
    }
}

fn gets(shape: Shape, keys: u64, odd: u64) -> Box<dyn FnMut()> {
    let (txn, mut lists) = (reader(shape, keys), Lists::of(shape, keys, odd));
    Box::new(move || {
        let table = txn.table("main").expect("was made");
        for key in lists.next() {
            let found = table.get(key).expect("intact");
            assert_eq!(found.map(|value| value[0]), (odd == 0).then_some(7));
        }
    })
}

fn get_many(keys: u64) -> Box<dyn FnMut()> {
    let (txn, mut lists) = (reader(Shape::Random, keys), Lists::of(Shape::Random, keys, 0));
    Box::new(move || {
        let table = txn.table("main").expect("was made");
        let found = table.get_many(lists.next()).expect("intact");
        assert!(found.iter().all(|value| value.is_some_and(|value| value[0] == 7)));
    })
}

fn lent(shape: Shape, keys: u64, forward: bool) -> Box<dyn FnMut()> {
    let txn = reader(shape, keys);
    Box::new(move || {
        let table = txn.table("main").expect("was made");
        let mut range = table.iter().expect("intact");
        for _ in 0..PAIRS {
            let pair = if forward { range.next_ref() } else { range.next_back_ref() };
            black_box(pair.expect("intact").expect("there are more"));
        }
    })
}

fn iterated(shape: Shape, keys: u64) -> Box<dyn FnMut()> {
    let txn = reader(shape, keys);
    Box::new(move || {
        let range = txn.table("main").and_then(|table| table.iter()).expect("intact");
        range.take(PAIRS).for_each(|pair| drop(black_box(pair.expect("intact"))));
    })
}

fn owned(keys: u64, copies: bool) -> Box<dyn FnMut()> {
    let table = Arc::new(reader(Shape::Random, keys)).owned_table("main").expect("it is there");
    Box::new(move || {
        let mut range = table.iter().expect("intact");
        for _ in 0..PAIRS {
            if copies {
                black_box(range.next().expect("there are more").expect("intact"));
            } else {
                black_box(range.next_ref().expect("intact").expect("there are more"));
            }
        }
    })
}

fn seek(keys: u64) -> Box<dyn FnMut()> {
    let txn = reader(Shape::Random, keys);
    let mut rng = fastrand::Rng::with_seed(2);
    Box::new(move || {
        let table = txn.table("main").expect("was made");
        let from = rng.u64(..u64::MAX / 2).to_be_bytes();
        let mut range = table.range(&from[..]..).expect("intact");
        for _ in 0..100 {
            black_box(range.next_ref().expect("intact").expect("there are more"));
        }
    })
}

fn begin(keys: u64) -> Box<dyn FnMut()> {
    let db = filled(Shape::Random, keys);
    Box::new(move || {
        for _ in 0..100 {
            black_box(db.read().expect("a slot is free").id());
        }
    })
}

fn refresh(keys: u64) -> Box<dyn FnMut()> {
    let mut txn = reader(Shape::Random, keys);
    Box::new(move || {
        for _ in 0..100 {
            black_box(txn.refresh().expect("not forked"));
        }
    })
}

/// How far a commit goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Build,
    Both,
}

fn commits(keys: u64, half: Half) -> Box<dyn FnMut()> {
    let db = filled(Shape::Random, keys);
    let mut rng = fastrand::Rng::with_seed(3);
    Box::new(move || {
        let mut txn = db.write().expect("nobody else writes");
        let key = Shape::Random.key(2 * rng.u64(..keys));
        let mut table = txn.open_table("main").expect("was made");
        table.put(&key, &[rng.u8(..); VALUE.len()]).expect("memory suffices");
        let durability =
            if half == Half::Build { Durability::Deferred } else { Durability::Durable };
        let built = build(txn, durability).expect("memory does not fail").expect("is not empty");
        if let (txn, true) = built {
            make_durable(&db, txn).expect("memory does not fail");
        }
    })
}

/// Which keys are put.
#[derive(Clone, Copy)]
enum Order {
    /// New ones behind all others.
    Ascending,
    /// New ones anywhere.
    Random,
    /// Those that are there.
    There,
}

/// Puts that are given up in the end, so that each call finds the same.
fn puts(keys: u64, order: Order) -> Box<dyn FnMut()> {
    let shape = if matches!(order, Order::Ascending) { Shape::Sequential } else { Shape::Random };
    let db = filled(shape, keys);
    let number = move |i: u64| match order {
        Order::Ascending => 2 * (keys + i),
        Order::Random => 2 * (i * (keys / PUTS)) + 1,
        Order::There => 2 * (i * (keys / PUTS)),
    };
    let list: Vec<_> = (0..PUTS).map(|i| shape.key(number(i))).collect();
    Box::new(move || {
        let mut txn = db.write().expect("nobody else writes");
        let mut table = txn.open_table("main").expect("was made");
        for key in &list {
            table.put(key, &VALUE).expect("memory suffices");
        }
        txn.abort();
    })
}

fn delete(keys: u64) -> Box<dyn FnMut()> {
    let db = filled(Shape::Random, keys);
    let list: Vec<_> = (0..PUTS).map(|i| Shape::Random.key(2 * (i * (keys / PUTS)))).collect();
    Box::new(move || {
        let mut txn = db.write().expect("nobody else writes");
        let mut table = txn.open_table("main").expect("was made");
        for key in &list {
            assert!(table.delete(key).expect("memory suffices"), "was put");
        }
        txn.abort();
    })
}
