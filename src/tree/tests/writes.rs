//! What writing does to pages: copy on write, full disks, fill, dropping.

use super::check::{Model, check, check_snapshot, walk};
use super::model::{SHAPES, Shape, key, value};
use super::ranges::filled;
use super::store::{Snapshot, Tree};
use crate::error::Error;
use crate::format::descriptor::MAX_SHIFT;
use crate::format::node::build::Body;
use crate::format::node::{MAX_INLINE_SHIFT, max_key_len};
use crate::tree::{PageSource, drop_tree, get};
use fastrand::Rng;

#[test]
fn limits_of_keys_and_values() {
    let shifts = [0, 1, 3, MAX_INLINE_SHIFT, MAX_INLINE_SHIFT + 1, MAX_SHIFT];
    let kinds = super::model::PAGE_SIZES.map(|page_size| shifts.map(|shift| (page_size, shift)));
    for (page_size, shift) in kinds.into_iter().flatten() {
        let max = max_key_len(page_size);
        let mut tree = Tree::aligned(page_size, shift);
        let mut model = Model::new();
        let refused = tree.insert(&vec![1; max + 1], b"").unwrap_err();
        assert!(matches!(refused, Error::KeyTooLong { len, max: m } if len == max + 1 && m == max));
        assert_eq!(tree.store.live(), (0, 0));
        assert_eq!(tree.get(&vec![1; max + 1]).unwrap(), None);
        assert!(!tree.remove(&vec![1; max + 1]).unwrap());
        for key_len in [0, 1, 3, 4, 5, 100, max - 1, max] {
            let (longest, mut room) = (vec![9; page_size], Vec::new());
            let mut in_leaf = |len: usize| {
                Body::value(page_size, key_len, &longest[..len], shift, &mut room).is_some()
            };
            let largest = (0..page_size).rev().find(|&len| in_leaf(len)).unwrap();
            for len in [0, 1, largest, largest + 1, page_size, page_size + 1, 3 * page_size] {
                let key =
                    [&vec![len as u8; key_len.min(1)][..], &vec![2; key_len.saturating_sub(1)]];
                let (key, value) = (key.concat(), vec![9; len]);
                let before = tree.desc.overflow_pages;
                let there = model.insert(key.clone(), value.clone()).is_some();
                assert_eq!(tree.insert(&key, &value).unwrap(), there);
                assert_eq!(tree.get(&key).unwrap(), Some(&value[..]));
                if key_len > 0 && !there {
                    let pages = if len > largest { len.div_ceil(page_size) } else { 0 };
                    assert_eq!(tree.desc.overflow_pages - before, pages as u64);
                }
                check(&tree, &model);
            }
        }
    }
}

#[test]
fn reading_dirties_nothing_and_absent_keys_neither() {
    let mut rng = Rng::with_seed(41);
    let (mut tree, model) = filled(4096, Shape::Random, 2000, &mut rng);
    tree.store.next_txn();
    tree.store.budget = Some(0);
    for key in model.keys() {
        assert!(tree.get(key).unwrap().is_some());
        assert!(!tree.remove(&[&key[..], &[1]].concat()).unwrap());
    }
    check(&tree, &model);
}

#[test]
fn a_change_copies_its_path_and_no_more() {
    let mut rng = Rng::with_seed(42);
    let (mut tree, mut model) = filled(4096, Shape::Random, 20_000, &mut rng);
    assert!(tree.desc.depth >= 3);
    let some = model.keys().nth(1234).unwrap().clone();
    tree.store.next_txn();
    // The same length again: nothing splits, one copy for each level, and in the same transaction
    // none.
    let value = vec![1; model[&some].len()];
    tree.store.budget = Some(u64::from(tree.desc.depth) + u64::from(value.len() > 1900));
    tree.insert(&some, &value).unwrap();
    assert_eq!(tree.store.budget, Some(0));
    let inline = vec![2; value.len().min(100)];
    tree.insert(&some, &inline).unwrap();
    model.insert(some, inline);
    check(&tree, &model);
}

#[test]
fn a_full_disk_leaves_older_pages_alone() {
    let mut rng = Rng::with_seed(43);
    for shape in SHAPES {
        let (tree, model) = filled(4096, shape, 300, &mut rng);
        let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
        for budget in 0..12 {
            let mut tree = Tree::of(tree.store.clone(), tree.desc);
            let (desc, txn) = (tree.desc, tree.store.txn_number());
            tree.store.next_txn();
            let before = tree.store.old_pages();
            tree.store.budget = Some(budget);
            let failed = (0..2000).find_map(|n| {
                let changed = match rng.bool() {
                    true => tree.remove(rng.choice(&keys).unwrap()),
                    false => tree.insert(&key(shape, n, 4096, &mut rng), &value(4096, &mut rng)),
                };
                changed.err()
            });
            assert!(matches!(failed, Some(Error::DiskFull { .. })), "{failed:?}");
            assert!(before == tree.store.old_pages());
            check_snapshot(&tree.store, txn, &desc, &model);
        }
    }
}

#[test]
fn dropping_gives_everything_back() {
    let mut rng = Rng::with_seed(44);
    for shape in SHAPES {
        let (mut tree, model) = filled(4096, shape, 1000, &mut rng);
        let (txn, desc) = (tree.store.txn_number(), tree.desc);
        tree.store.next_txn();
        tree.insert(b"one more", b"").unwrap();
        drop_tree(&mut tree.store, &tree.desc).unwrap();
        assert_eq!(tree.store.live(), (0, 0));
        check_snapshot(&tree.store, txn, &desc, &model);
    }
    let mut tree = Tree::new(4096);
    drop_tree(&mut tree.store, &tree.desc).unwrap();
}

#[test]
fn overflow_values_are_read_in_place() {
    let mut tree = Tree::new(4096);
    let value: Vec<u8> = (0..10_000).map(|i| i as u8).collect();
    tree.insert(b"big", &value).unwrap();
    let got = tree.get(b"big").unwrap().unwrap();
    assert_eq!(got, value);
    let base = tree.store.page(tree.desc.root).unwrap().as_ptr() as usize;
    assert_eq!((got.as_ptr() as usize).abs_diff(base) % 4096, 0);
    let (txn, desc) = (tree.store.txn_number(), tree.desc);
    tree.store.next_txn();
    tree.insert(b"big", b"small").unwrap();
    assert_eq!(tree.desc.overflow_pages, 0);
    let snapshot = Snapshot { store: &tree.store, txn };
    assert_eq!(get(&snapshot, &desc, b"big").unwrap(), Some(&value[..]));
}

/// Bytes used of those there, in percent, after a load.
fn fill(keys: impl Iterator<Item = Vec<u8>>, value_len: usize) -> (f64, f64) {
    let mut tree = Tree::new(4096);
    for key in keys {
        tree.insert(&key, &vec![0; value_len]).unwrap();
    }
    let (found, _) = walk(&tree.store, &tree.desc);
    (found.leaf_percent(), found.branch_percent())
}

#[test]
fn loads_fill_their_pages() {
    // Few branches, of which the root may be nearly empty: their fill says little.
    let n = 30_000u64;
    let (leaf, branch) = fill((0..n).map(|i| i.to_be_bytes().to_vec()), 20);
    assert!(leaf > 97.0 && branch > 60.0, "ascending {leaf} {branch}");
    let (leaf, branch) = fill((0..n).rev().map(|i| i.to_be_bytes().to_vec()), 20);
    assert!(leaf > 97.0 && branch > 60.0, "descending {leaf} {branch}");
    let mut rng = Rng::with_seed(45);
    let (leaf, branch) = fill((0..n).map(|_| rng.u64(..).to_be_bytes().to_vec()), 20);
    assert!(leaf > 64.0 && branch > 35.0, "random {leaf} {branch}");
    let mut rng = Rng::with_seed(46);
    let (leaf, _) = fill((0..n).map(|i| key(Shape::Url, i, 4096, &mut rng)), 20);
    assert!(leaf > 62.0, "url {leaf}");
}

#[test]
fn deleting_joins_pages() {
    let mut rng = Rng::with_seed(47);
    let mut tree = Tree::new(4096);
    let mut keys: Vec<Vec<u8>> = (0..20_000u64).map(|i| i.to_be_bytes().to_vec()).collect();
    rng.shuffle(&mut keys);
    for key in &keys {
        tree.insert(key, &[1; 50]).unwrap();
    }
    let full = tree.desc.leaf_pages;
    for key in &keys[1000..] {
        tree.remove(key).unwrap();
    }
    let model: Model = keys[..1000].iter().map(|k| (k.clone(), vec![1; 50])).collect();
    let found = check(&tree, &model);
    assert_eq!(found.underfull, 0);
    assert!(found.leaf_percent() > 35.0 && tree.desc.leaf_pages * 8 < full);
}
