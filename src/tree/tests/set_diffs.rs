//! How many pages it takes to compare tables of sets, and what damage does.

use super::diffs::Counting;
use super::store::{Snapshot, Tree};
use crate::error::Error;
use crate::format::descriptor::TableDescriptor;
use crate::format::fields::header;
use crate::tree::{PairChange, SetDiff, Version};
use crate::types::PageId;
use fastrand::Rng;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Bound::Unbounded;

type State = (u64, TableDescriptor);

/// How many pairs of two states differ, and how many pages it takes to find that.
fn pages_read(tree: &Tree, old: State, new: State) -> [usize; 2] {
    let read = RefCell::new(HashSet::new());
    let source = |txn| Counting { src: Snapshot { store: &tree.store, txn }, read: &read };
    let (older, newer) = (source(old.0), source(new.0));
    let version = |src, desc| Version { src, desc };
    let diff = || {
        let (older, newer) = (version(&older, old.1), version(&newer, new.1));
        SetDiff::new(older, newer, Unbounded, Unbounded).unwrap()
    };
    let forward = diff().map(Result::unwrap).count();
    let pages = read.take().len();
    assert_eq!(diff().rev().map(Result::unwrap).count(), forward);
    assert!(read.take().len() <= pages + pages / 8 + 8, "the other end reads more");
    [forward, pages]
}

/// A table with one key that has very many values, one that has some, and others with one.
fn large(value_size: u16, count: u64) -> Tree {
    let mut tree = Tree::sets(4096, value_size);
    for n in 0..count {
        tree.insert_pair(b"many", &(16 * n).to_be_bytes()).unwrap();
    }
    for n in 0..60_000u64 {
        tree.insert_pair(b"some", &(16 * n).to_be_bytes()).unwrap();
    }
    for n in 0..3_000u64 {
        tree.insert_pair(&(n << 40).to_be_bytes(), &n.to_be_bytes()).unwrap();
    }
    tree.store.next_txn();
    tree
}

/// A hundred changes below one key read the ways to them and not its other values, and nothing of
/// the values of another key.
#[test]
fn shared_subtrees_of_values_are_not_read() {
    for value_size in [0, 8] {
        let count = 1_000_000;
        let mut tree = large(value_size, count);
        let mut rng = Rng::with_seed(9);
        for kind in 0..4 {
            let old = (tree.store.txn_number() - 1, tree.desc);
            let mut values = HashSet::new();
            while values.len() < 100 {
                values.insert(16 * rng.u64(..count));
            }
            let mut unlike = 0;
            for value in values {
                let (there, new) = (value.to_be_bytes(), (value + 1).to_be_bytes());
                unlike += match kind {
                    0 => usize::from(tree.insert_pair(b"many", &new).unwrap()),
                    1 => usize::from(tree.remove_pair(b"many", &there).unwrap()),
                    2 => {
                        usize::from(tree.remove_pair(b"many", &new).unwrap())
                            + usize::from(tree.insert_pair(b"many", &there).unwrap())
                    }
                    // Written anew, and the same.
                    _ if tree.remove_pair(b"many", &there).unwrap() => {
                        assert!(tree.insert_pair(b"many", &there).unwrap());
                        0
                    }
                    _ => 0,
                };
            }
            tree.store.next_txn();
            let new = (tree.store.txn_number() - 1, tree.desc);
            let [found, pages] = pages_read(&tree, old, new);
            assert_eq!(found, unlike, "kind {kind}");
            // Two paths for each, less what they share, and what was split or joined.
            assert!(pages < 450, "{value_size} {kind}: {found} pairs, {pages} pages");
            assert!(tree.desc.overflow_pages > 2_000, "{:?}", tree.desc);
        }
        // A change elsewhere in the table: the leaf of the key is written anew, its values are not.
        let old = (tree.store.txn_number() - 1, tree.desc);
        assert!(tree.insert_pair(b"some", &5u64.to_be_bytes()).unwrap());
        assert!(tree.insert_pair(b"middle", &5u64.to_be_bytes()).unwrap());
        tree.store.next_txn();
        let [found, pages] = pages_read(&tree, old, (tree.store.txn_number() - 1, tree.desc));
        assert!(found == 2 && pages < 16, "{found} pairs, {pages} pages");
    }
}

/// What is in front of damage comes, then the error, then nothing: also inside of a key.
#[test]
fn a_damaged_leaf_of_values_ends_the_walk() {
    for value_size in [0, 8] {
        let mut tree = Tree::sets(4096, value_size);
        let empty = (0, tree.desc);
        for n in 0..20_000u64 {
            tree.insert_pair(b"many", &n.to_be_bytes()).unwrap();
        }
        tree.insert_pair(b"zero", b"12345678").unwrap();
        tree.store.next_txn();
        let full = (tree.store.txn_number() - 1, tree.desc);
        // Pages of values are by far the most.
        let kind = if value_size > 0 { 4 } else { 2 };
        let leaf = (20..tree.store.page_count()).map(PageId).find(|&id| {
            let page = tree.store.raw(id);
            (page[header::KIND.at], page[header::LEVEL.at]) == (kind, 0)
        });
        tree.store.raw(leaf.unwrap())[header::KIND.at] = 99;
        for (old, new, change) in
            [(empty, full, PairChange::Added), (full, empty, PairChange::Removed)]
        {
            let version = |(_, desc)| Version { src: &tree.store, desc };
            let mut diff = SetDiff::new(version(old), version(new), Unbounded, Unbounded).unwrap();
            let good: Vec<_> = diff.by_ref().map_while(Result::ok).collect();
            assert!(good.len() < 20_000 && good.iter().all(|pair| pair.2 == change));
            assert!(diff.next().is_none() && diff.next_back().is_none());
            let mut diff = SetDiff::new(version(old), version(new), Unbounded, Unbounded).unwrap();
            assert!(diff.next_back().unwrap().is_ok(), "what is behind the damage");
            assert!(matches!(diff.rfind(Result::is_err), Some(Err(Error::Corrupt { .. }))));
            assert!(diff.next().is_none() && diff.next_back().is_none());
        }
    }
}
