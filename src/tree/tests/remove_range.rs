//! Ranges that are removed at once, against a BTreeMap.

use super::check::{Model, check, check_snapshot};
use super::model::{PAGE_SIZES, SHAPES, SHIFTS, Shape, key, some_key, value};
use super::store::Tree;
use crate::tree::{PageSink, TableDescriptor};
use fastrand::Rng;
use std::ops::Bound;

fn grow(tree: &mut Tree, model: &mut Model, shape: Shape, keys: u64, rng: &mut Rng) {
    let size = tree.store.page_size;
    for n in 0..keys {
        let (key, value) = (key(shape, n, size, rng), value(size, rng));
        tree.insert(&key, &value).unwrap();
        model.insert(key, value);
    }
}

/// A bound that is often a key, and often nearly all there is.
fn bound(model: &Model, shape: Shape, size: usize, rng: &mut Rng) -> Bound<Vec<u8>> {
    let key = match rng.u8(..6) {
        0 => return Bound::Unbounded,
        1 => key(shape, rng.u64(..2_000), size, rng),
        2 => model.keys().next_back().cloned().unwrap_or_default(),
        _ => some_key(model, rng).unwrap_or_default(),
    };
    if rng.bool() { Bound::Included(key) } else { Bound::Excluded(key) }
}

fn within(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    let above = match from {
        Bound::Unbounded => true,
        Bound::Included(from) => key >= &from[..],
        Bound::Excluded(from) => key > &from[..],
    };
    let below = match to {
        Bound::Unbounded => true,
        Bound::Included(to) => key <= &to[..],
        Bound::Excluded(to) => key < &to[..],
    };
    above && below
}

fn run(page_size: usize, align_shift: u8, shape: Shape, keys: u64, rounds: u64, seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    let (mut tree, mut model) = (Tree::aligned(page_size, align_shift), Model::new());
    for round in 0..rounds {
        grow(&mut tree, &mut model, shape, keys, rng);
        let before = (tree.store.txn_number(), tree.desc, model.clone());
        if rng.bool() {
            tree.store.next_txn();
        }
        let bounds: Vec<_> = (0..4).map(|_| bound(&model, shape, page_size, rng)).collect();
        for pair in bounds.chunks(2) {
            let (from, to) = (&pair[0], &pair[1]);
            let removed = tree
                .remove_range(from.as_ref().map(|k| &k[..]), to.as_ref().map(|k| &k[..]))
                .unwrap();
            let len = model.len();
            model.retain(|key, _| !within(from, to, key));
            assert_eq!(removed, (len - model.len()) as u64, "{from:?} {to:?}");
            check(&tree, &model);
        }
        if tree.store.txn_number() > before.0 {
            check_snapshot(&tree.store, before.0, &before.1, &before.2);
            tree.store.next_txn();
            tree.store.reclaim();
        }
        if round % 3 == 2 {
            let all = tree.remove_range(Bound::Unbounded, Bound::Unbounded).unwrap();
            assert_eq!(all, model.len() as u64);
            model.clear();
            assert_eq!(tree.desc, TableDescriptor { align_shift, ..Default::default() });
            check(&tree, &model);
        }
    }
}

#[test]
fn every_shape_on_every_page_size() {
    for (i, page_size) in PAGE_SIZES.into_iter().enumerate() {
        for (j, shape) in SHAPES.into_iter().enumerate() {
            run(page_size, 0, shape, 400 >> (i / 2), 8, (i * 100 + j) as u64);
            let align_shift = SHIFTS[(i + j) % SHIFTS.len()];
            run(page_size, align_shift, shape, 200 >> (i / 2), 4, (i * 100 + j + 50) as u64);
        }
    }
}

#[test]
fn deeper_trees() {
    for (j, shape) in [Shape::Ascending, Shape::Longest, Shape::Url].into_iter().enumerate() {
        run(4096, 0, shape, 6_000, 4, 900 + j as u64);
    }
}

/// All but a few of many keys go by whole subtrees: hardly a page is written, whatever stays in the
/// leaves at both ends, and however full those are that go.
#[test]
fn what_goes_as_a_whole_is_not_written() {
    const KEYS: u64 = 60_000;
    let pair = |n: u64| (n.to_be_bytes().to_vec(), vec![7; 50]);
    let mut keys: Vec<u64> = (KEYS / 2..KEYS).collect();
    Rng::with_seed(5).shuffle(&mut keys);
    let mut filled = Tree::new(4096);
    // Full leaves, and then such as keys in any order leave.
    for n in (0..KEYS / 2).chain(keys) {
        let (key, value) = pair(n);
        filled.insert(&key, &value).unwrap();
    }
    filled.store.next_txn();
    let leaves = filled.desc.leaf_pages;
    assert!(leaves > 800, "{leaves}");
    let half = KEYS / 2;
    for from in [1, 3, 5, 10, 20, 30, 1_003, half - 200, half - 40, half - 5, half, half + 7] {
        for to in [58_901, KEYS - 30, KEYS - 3, KEYS - 1, KEYS] {
            let mut tree = Tree::of(filled.store.clone(), filled.desc);
            let (pages, turnover) = (tree.store.page_count(), tree.store.turnover());
            let (start, end) = (from.to_be_bytes(), to.to_be_bytes());
            let removed =
                tree.remove_range(Bound::Included(&start), Bound::Excluded(&end)).unwrap();
            assert_eq!(removed, to - from);
            let (written, gone) =
                (tree.store.page_count() - pages, filled.desc.leaf_pages - tree.desc.leaf_pages);
            let turned = tree.store.turnover() - turnover;
            assert!(written < 14, "{from}..{to}: {written} pages written, {leaves} leaves");
            assert!(turned < gone + gone / 20 + 40, "{from}..{to}: {turned} pages, {gone} leaves");
            let left = |n: &u64| !(from..to).contains(n);
            check(&tree, &(0..KEYS).filter(left).map(pair).collect());
        }
    }
}
