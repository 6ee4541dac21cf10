//! Differences of two versions of a tree against those of two BTreeMaps, from both ends, and how
//! many pages they read.

use super::check::{Model, check};
use super::model::{PAGE_SIZES, SHAPES, SHIFTS, Shape, key, some_key, value};
use super::ranges::{bound, filled_aligned, slice, within};
use super::store::{Snapshot, Tree};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::fields::header;
use crate::format::overflow::OverflowRef;
use crate::tree::search::Path;
use crate::tree::{Change, Diff, PageSource, Version};
use crate::types::PageId;
use fastrand::Rng;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

type Item = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

fn owned<K: AsRef<[u8]>>((key, change): (K, Change<'_>)) -> Item {
    (key.as_ref().to_vec(), change.old().map(<[u8]>::to_vec), change.new().map(<[u8]>::to_vec))
}

fn expected(old: &Model, new: &Model, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<Item> {
    let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let unlike =
        keys.into_iter().filter(|key| within(key, from, to) && old.get(*key) != new.get(*key));
    unlike.map(|key| (key.clone(), old.get(key).cloned(), new.get(key).cloned())).collect()
}

/// A version of the tree and what it holds.
struct Kept {
    txn: u64,
    desc: TableDescriptor,
    model: Model,
}

/// Compares two versions in every way; how much was different in all.
fn compare(tree: &Tree, old: &Kept, new: &Kept, shape: Shape, rng: &mut Rng) -> usize {
    let sources = [old, new].map(|kept| Snapshot { store: &tree.store, txn: kept.txn });
    let [older, newer] = [(&sources[0], old), (&sources[1], new)]
        .map(|(src, kept)| Version { src, desc: kept.desc });
    let diff = |from: Bound<&[u8]>, to: Bound<&[u8]>| Diff::new(older, newer, from, to).unwrap();
    let all = expected(&old.model, &new.model, Unbounded, Unbounded);
    let forward: Vec<_> = diff(Unbounded, Unbounded).map(|item| owned(item.unwrap())).collect();
    assert_eq!(forward, all);
    let mut backward: Vec<_> =
        diff(Unbounded, Unbounded).rev().map(|item| owned(item.unwrap())).collect();
    backward.reverse();
    assert_eq!(backward, all);
    for _ in 0..3 {
        let model = if rng.bool() { &old.model } else { &new.model };
        let size = tree.store.page_size;
        let (from, to) = (bound(shape, model, size, rng), bound(shape, model, size, rng));
        let (from, to) = (slice(&from), slice(&to));
        let mut left = expected(&old.model, &new.model, from, to);
        let mut ends = diff(from, to);
        // Both ends in turn, and begun again behind what came last.
        let (mut first, mut last) = (from.map(<[u8]>::to_vec), to.map(<[u8]>::to_vec));
        for _ in 0..=left.len() {
            if rng.u8(..8) == 0 {
                ends = diff(slice(&first), slice(&last));
            }
            if rng.bool() {
                let item = ends.next().map(|item| owned(item.unwrap()));
                assert_eq!(item, (!left.is_empty()).then(|| left.remove(0)));
                first = item.map_or(first, |(key, ..)| Excluded(key));
            } else {
                let item = ends.next_back().map(|item| owned(item.unwrap()));
                assert_eq!(item, left.pop());
                last = item.map_or(last, |(key, ..)| Excluded(key));
            }
        }
        assert!(ends.next().is_none() && ends.next_back().is_none());
    }
    all.len()
}

/// Transactions of random length, each compared with those before it.
fn run(page_size: usize, align_shift: u8, shape: Shape, steps: u64, seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let mut tree = Tree::aligned(page_size, align_shift);
    let mut kept = vec![Kept { txn: 0, desc: tree.desc, model: Model::new() }];
    let mut model = Model::new();
    let (mut n, mut unlike) = (0, 0);
    for removes in [0, 5, 50, 90, 20, 100] {
        let mut left = steps;
        while left > 0 {
            let many = if rng.u8(..4) == 0 { left.min(steps / 2) } else { left.min(8) };
            for _ in 0..rng.u64(..=many) {
                let near = some_key(&model, &mut rng).filter(|_| rng.u8(..100) < removes + 10);
                let key = near.unwrap_or_else(|| key(shape, n, page_size, &mut rng));
                n += 1;
                if rng.u8(..100) < removes {
                    tree.remove(&key).unwrap();
                    model.remove(&key);
                } else {
                    // Often what is there already, so that pages differ and values do not.
                    let same = model.get(&key).filter(|_| rng.bool()).cloned();
                    let value = same.unwrap_or_else(|| value(page_size, &mut rng));
                    tree.insert(&key, &value).unwrap();
                    model.insert(key, value);
                }
            }
            left -= many.max(1).min(left);
            kept.push(Kept { txn: tree.store.txn_number(), desc: tree.desc, model: model.clone() });
            tree.store.next_txn();
            let new = &kept[kept.len() - 1];
            let old = &kept[rng.usize(..kept.len())];
            unlike += compare(&tree, old, new, shape, &mut rng);
            unlike += compare(&tree, new, old, shape, &mut rng);
            if kept.len() == 6 {
                kept.drain(..5);
                tree.store.reclaim();
            }
        }
    }
    check(&tree, &model);
    unlike
}

#[test]
fn every_shape_on_every_page_size() {
    let mut unlike = 0;
    for (i, page_size) in PAGE_SIZES.into_iter().enumerate() {
        for (j, shape) in SHAPES.into_iter().enumerate() {
            let seed = (i * 100 + j) as u64;
            unlike += run(page_size, 0, shape, 320 >> (i / 2), seed);
            unlike +=
                run(page_size, SHIFTS[(i + j) % SHIFTS.len()], shape, 200 >> (i / 2), seed + 50);
        }
    }
    assert!(unlike > 50_000, "{unlike}");
}

#[test]
#[ignore = "takes minutes; for changes of this module"]
fn many_seeds() {
    for seed in 0..60 {
        for (j, shape) in SHAPES.into_iter().enumerate() {
            let align_shift = SHIFTS[(seed + j) % SHIFTS.len()];
            run(PAGE_SIZES[seed % 3], align_shift, shape, 1500, 100_000 + (seed * 10 + j) as u64);
        }
    }
}

/// A source that remembers which pages were read.
pub struct Counting<'a> {
    pub src: Snapshot<'a>,
    pub read: &'a RefCell<HashSet<PageId>>,
}

impl PageSource for Counting<'_> {
    fn page_size(&self) -> usize {
        self.src.page_size()
    }

    fn page(&self, id: PageId) -> Result<&[u8]> {
        self.read.borrow_mut().insert(id);
        self.src.page(id)
    }

    fn run(&self, run: &OverflowRef) -> Result<&[u8]> {
        let (first, pages) = (run.first.0, run.pages(self.page_size()));
        self.read.borrow_mut().extend((first..first + pages).map(PageId));
        self.src.run(run)
    }
}

/// How many differences two versions of one tree have, and how many pages it took to find them.
pub fn pages_read(
    tree: &Tree,
    old: (u64, TableDescriptor),
    new: (u64, TableDescriptor),
) -> [usize; 2] {
    let read = RefCell::new(HashSet::new());
    let source = |txn| Counting { src: Snapshot { store: &tree.store, txn }, read: &read };
    let (older, newer) = (source(old.0), source(new.0));
    let version = |src, desc| Version { src, desc };
    let diff =
        || Diff::new(version(&older, old.1), version(&newer, new.1), Unbounded, Unbounded).unwrap();
    let forward = diff().map(Result::unwrap).count();
    let pages = read.take().len();
    assert_eq!(diff().rev().map(Result::unwrap).count(), forward);
    assert!(read.take().len() <= pages + pages / 8 + 8, "the other end reads more");
    [forward, pages]
}

fn ascending(count: u64) -> Tree {
    let mut tree = Tree::new(4096);
    for n in 0..count {
        tree.insert(&(16 * n).to_be_bytes(), &n.to_le_bytes()).unwrap();
    }
    tree.store.next_txn();
    tree
}

/// What is shared is not read: a hundred changes in a large tree read the paths to them.
#[test]
fn shared_subtrees_are_not_read() {
    let count = 200_000;
    let mut tree = ascending(count);
    let mut rng = Rng::with_seed(5);
    for kind in 0..4 {
        let old = (tree.store.txn_number() - 1, tree.desc);
        let mut keys = HashSet::new();
        while keys.len() < 100 {
            keys.insert(16 * rng.u64(..count));
        }
        let mut unlike = 0;
        for key in keys {
            unlike += match kind {
                0 => usize::from(tree.insert(&key.to_be_bytes(), b"other").unwrap()),
                1 => usize::from(!tree.insert(&(key + 1).to_be_bytes(), b"new").unwrap()),
                2 => usize::from(tree.remove(&key.to_be_bytes()).unwrap()),
                // Written anew, and the same.
                _ => {
                    let there = tree.get(&key.to_be_bytes()).unwrap().map(<[u8]>::to_vec);
                    tree.insert(&key.to_be_bytes(), &there.unwrap_or_default()).unwrap();
                    continue;
                }
            };
        }
        tree.store.next_txn();
        let new = (tree.store.txn_number() - 1, tree.desc);
        let [found, pages] = pages_read(&tree, old, new);
        if kind < 3 {
            assert_eq!(found, unlike);
        }
        // Two paths of three pages for each, less what they share, and what was split or joined.
        assert!(pages < 650, "{kind}: {found} differences, {pages} pages");
    }
}

/// A tree that has become deeper shares what stands below its old root.
#[test]
fn trees_of_different_depth_share_subtrees() {
    let mut tree = Tree::new(4096);
    let mut n = 0u64;
    while tree.desc.depth < 3 || tree.desc.branch_pages < 2 {
        n += 1;
        tree.insert(&n.to_be_bytes(), &[7; 100]).unwrap();
        if tree.desc.depth == 3 {
            break;
        }
        tree.store.next_txn();
    }
    let new = (tree.store.txn_number(), tree.desc);
    // The version before had one level less.
    let mut before = Tree::new(4096);
    for n in 1..n {
        before.insert(&n.to_be_bytes(), &[7; 100]).unwrap();
        before.store.next_txn();
    }
    let old = (before.store.txn_number() - 1, before.desc);
    assert_eq!((old.1.depth, new.1.depth), (2, 3));
    before.insert(&n.to_be_bytes(), &[7; 100]).unwrap();
    assert_eq!(before.desc, new.1);
    let new = (before.store.txn_number(), before.desc);
    for (a, b) in [(old, new), (new, old)] {
        let [found, pages] = pages_read(&before, a, b);
        assert!(found == 1 && pages < 12, "{found} differences, {pages} pages");
    }
}

/// What was cut out of the middle is read once, and what stands beside it hardly.
#[test]
fn a_range_that_went_reads_that_range() {
    let mut tree = ascending(100_000);
    let old = (tree.store.txn_number() - 1, tree.desc);
    let [from, to] = [40_000u64, 50_000].map(|n| (16 * n).to_be_bytes());
    assert_eq!(tree.remove_range(Included(&from), Excluded(&to)).unwrap(), 10_000);
    let new = (tree.store.txn_number(), tree.desc);
    let share = old.1.leaf_pages / 10;
    let [found, pages] = pages_read(&tree, old, new);
    assert!(found == 10_000 && (pages as u64) < share + 40, "{pages} pages, {share} leaves");
}

/// Values on pages of their own are read if they may differ, and not if they stand in one place.
#[test]
fn runs_of_one_place_are_not_read() {
    let mut tree = Tree::new(4096);
    for n in 0..10u8 {
        tree.insert(&[n], &vec![n; 100_000]).unwrap();
    }
    tree.store.next_txn();
    let old = (tree.store.txn_number() - 1, tree.desc);
    tree.insert(&[3], b"short").unwrap();
    tree.store.next_txn();
    let [found, pages] = pages_read(&tree, old, (tree.store.txn_number() - 1, tree.desc));
    // Two leaves and the one run that is given out.
    assert_eq!((found, pages), (1, 2 + 100_000usize.div_ceil(4096)));
    // The same bytes in another place are no difference.
    tree.insert(&[4], &[4; 100_000]).unwrap();
    tree.insert(&[5], &[6; 100_000]).unwrap();
    let [found, pages] = pages_read(&tree, old, (tree.store.txn_number(), tree.desc));
    assert_eq!((found, pages), (2, 2 + 5 * 100_000usize.div_ceil(4096)));
}

/// Everything in front of a damaged leaf comes, then the error, then nothing.
#[test]
fn a_damaged_leaf_ends_the_walk() {
    let mut rng = Rng::with_seed(8);
    let (mut tree, model) = filled_aligned(4096, 0, Shape::Ascending, 1500, &mut rng);
    let empty = Version { src: &Tree::new(4096).store, desc: TableDescriptor::default() };
    let middle = model.keys().nth(700).unwrap();
    let leaf = Path::find(&tree.store, &tree.desc, middle).unwrap().unwrap().leaf;
    tree.store.raw(leaf)[header::KIND.at] = 99;
    for added in [true, false] {
        let full = Version { src: &tree.store, desc: tree.desc };
        let (old, new) = if added { (empty, full) } else { (full, empty) };
        let mut diff = Diff::new(old, new, Unbounded, Unbounded).unwrap();
        let good = diff.by_ref().take_while(Result::is_ok).count();
        assert!((600..=700).contains(&good), "{good}");
        assert!(diff.next().is_none() && diff.next_back().is_none());
        let mut diff = Diff::new(old, new, Unbounded, Unbounded).unwrap();
        assert!(matches!(diff.rfind(Result::is_err), Some(Err(Error::Corrupt { .. }))));
    }
}
