//! Figures for information: `cargo test --release --lib tree::tests::measure -- --ignored
//! --nocapture`.

use super::check::walk;
use super::diffs::pages_read;
use super::store::Tree;
use crate::tree::{Cursor, Range};
use fastrand::Rng;
use std::hint::black_box;
use std::ops::Bound::{Included, Unbounded};
use std::time::Instant;

const N: u64 = 1_000_000;

fn each<T>(what: &str, n: u64, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    println!("  {what}: {} ns", start.elapsed().as_nanos() as u64 / n);
    result
}

fn measure(name: &str, key: impl Fn(u64, &mut Rng) -> Vec<u8>) {
    println!("{name}");
    let mut rng = Rng::with_seed(1);
    let mut keys: Vec<Vec<u8>> = (0..N).map(|n| key(n, &mut rng)).collect();
    let mut tree = Tree::new(4096);
    let value = [7; 100];
    each("insert", N, || {
        keys.iter().for_each(|k| assert!(!tree.insert(k, &value).unwrap() || name == "URL-like"))
    });
    let (found, _) = walk(&tree.store, &tree.desc);
    println!(
        "  leaves {} at {:.1} %, branches {} at {:.1} %, depth {}",
        tree.desc.leaf_pages,
        found.leaf_percent(),
        tree.desc.branch_pages,
        found.branch_percent(),
        tree.desc.depth
    );
    rng.shuffle(&mut keys);
    each("get, shuffled", N, || {
        for key in &keys {
            black_box(tree.get(key).unwrap().unwrap()[99]);
        }
    });
    each("cursor with borrowed key, an entry", tree.desc.entries, || {
        let mut cursor = Cursor::new(&tree.store, &tree.desc).unwrap();
        while cursor.next().unwrap() {
            black_box((cursor.value().unwrap(), cursor.key().unwrap()));
        }
    });
    each("range, an entry", tree.desc.entries, || {
        let range = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
        range.for_each(|entry| drop(black_box(entry.unwrap())));
    });
    each("range of 10", N / 10, || {
        for key in &keys[..N as usize / 10] {
            let range = Range::new(&tree.store, &tree.desc, Included(&key[..]), Unbounded).unwrap();
            range.take(10).for_each(|entry| drop(black_box(entry.unwrap())));
        }
    });
    each("replace, next transaction", N, || {
        tree.store.next_txn();
        keys.iter().for_each(|k| assert!(tree.insert(k, &value).unwrap()));
    });
    let n = tree.desc.entries;
    each("remove", n, || keys.iter().for_each(|k| _ = tree.remove(k).unwrap()));
    assert_eq!(tree.desc, Default::default());
}

#[test]
#[ignore = "takes a while; prints figures"]
fn one_million_entries() {
    measure("random u64", |_, rng| rng.u64(..).to_be_bytes().to_vec());
    measure("sequential u64", |n, _| n.to_be_bytes().to_vec());
    measure("URL-like", |_, rng| {
        let (site, user, page) = (rng.u32(..200), rng.u32(..2000), rng.u32(..1_000_000));
        format!("https://www.site-{site:03}.example.org/users/{user:04}/articles/{page:06}")
            .into_bytes()
    });
}

/// How many pages it takes to find what a hundred changes among ten million keys are.
#[test]
#[ignore = "takes a while; prints figures"]
fn differences_of_ten_million_entries() {
    let mut rng = Rng::with_seed(1);
    let mut tree = Tree::new(4096);
    for n in 0..10 * N {
        tree.insert(&n.to_be_bytes(), &[7; 16]).unwrap();
    }
    for what in ["replaced", "added", "removed"] {
        tree.store.next_txn();
        let old = (tree.store.txn_number() - 1, tree.desc);
        for _ in 0..100 {
            let mut key = rng.u64(..10 * N).to_be_bytes().to_vec();
            match what {
                "added" => key.push(0),
                "removed" => drop(tree.remove(&key).unwrap()),
                _ => {}
            }
            if what != "removed" {
                tree.insert(&key, &[8; 16]).unwrap();
            }
        }
        let new = (tree.store.txn_number(), tree.desc);
        let start = Instant::now();
        let [found, pages] = pages_read(&tree, old, new);
        println!(
            "{what}: {found} differences, {pages} of {} pages, {} us there and back",
            tree.desc.branch_pages + tree.desc.leaf_pages,
            start.elapsed().as_micros()
        );
        assert!(found >= 99 && pages < 2000);
    }
}
