//! Damaged pages: any answer or an error, never a panic, never without end.

use super::model::{SHAPES, SHIFTS, Shape, key, some_key};
use super::ranges::{filled, filled_aligned};
use super::store::Tree;
use crate::error::Error;
use crate::format::bytes::{put_u16, put_u64};
use crate::format::descriptor::TableDescriptor;
use crate::format::fields::header;
use crate::format::node::LEFTMOST;
use crate::format::order::KeyOrder;
use crate::tree::search::{Path, node_at};
use crate::tree::{
    Cursor, Diff, PausedRange, Position, Range, RightmostPath, Set, SetValues, Version, Versioned,
    drop_tree, get_many, get_set, set_contains,
};
use crate::types::PageId;
use fastrand::Rng;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// Damages some bytes, mostly in headers and arrays, where they tell most.
pub fn damage(tree: &mut Tree, rng: &mut Rng) {
    let pages = tree.store.page_count();
    let size = tree.store.page_size;
    for _ in 0..rng.usize(1..4) {
        let id = if rng.u8(..4) == 0 { tree.desc.root } else { PageId(rng.u64(2..pages)) };
        let other = PageId(rng.u64(2..pages));
        let copy = tree.store.raw(other).to_vec();
        let page = tree.store.raw(id);
        match rng.u8(..12) {
            0..4 => page[rng.usize(..32)] = rng.u8(..),
            4..7 => page[rng.usize(..size)] ^= 1 << rng.u8(..8),
            7 => put_u16(page, 2 * rng.usize(..size / 2), rng.u16(..)),
            8 => {
                let (from, to) = (rng.usize(..size - 64), rng.usize(..size - 64));
                page.copy_within(from..from + 64, to);
            }
            9 => put_u64(page, LEFTMOST, rng.u64(..pages + 2)),
            10 => page.copy_from_slice(&copy),
            _ => {
                let (at, len) = (rng.usize(..size), rng.usize(..300));
                let end = (at + len).min(size);
                page[at..end].fill(rng.u8(..));
            }
        }
    }
    if rng.u8(..8) == 0 {
        tree.desc.depth = rng.u16(..6);
    }
    if rng.u8(..8) == 0 {
        tree.desc.leaf_pages = rng.u64(..4);
        tree.desc.entries = rng.u64(..4);
    }
}

/// Uses the tree until something says that it is damaged.
fn use_it(tree: &mut Tree, keys: &[Vec<u8>], rng: &mut Rng) -> Result<(), Error> {
    for key in keys {
        let _ = tree.get(key);
    }
    let limit = 4 * keys.len() + 4000;
    let mut cursor = Cursor::new(&tree.store, &tree.desc)?;
    for key in &keys[..20] {
        let _ = cursor.seek(Excluded(key));
        for _ in 0..20 {
            let _ = (cursor.next(), cursor.key().map(drop), cursor.entry());
        }
        let _ = cursor.seek_back(Excluded(key));
        for _ in 0..20 {
            let _ = (cursor.prev(), cursor.value());
        }
    }
    let forwards = Range::new(&tree.store, &tree.desc, Unbounded, Excluded(&keys[0]))?;
    assert!(forwards.take(limit * 100).count() < limit * 100, "range without end");
    let backwards = Range::new(&tree.store, &tree.desc, Excluded(&keys[1]), Unbounded)?;
    assert!(backwards.rev().take(limit * 100).count() < limit * 100, "range without end");
    let _ = get_many(&tree.store, &tree.desc, keys);
    for forward in [true, false] {
        let mut borrowed = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded)?;
        let ended = (0..limit * 100).any(|_| !matches!(borrowed.advance_ref(forward), Ok(Some(_))));
        assert!(ended, "range without end");
        let mut paused = PausedRange::new(&tree.store, &tree.desc, Unbounded, Unbounded)?;
        let mut step = || paused.advance_ref(&tree.store, forward).map(|pair| pair.is_some());
        assert!((0..limit * 100).any(|_| !matches!(step(), Ok(true))), "range without end");
        assert!(matches!(step(), Ok(false)), "a range goes on behind its end");
    }
    let now = Versioned { src: &tree.store, desc: tree.desc, version: 1 };
    for forward in [true, false] {
        let mut position = Position::new();
        let mut step = || match forward {
            true => position.next(&now),
            false => position.prev(&now),
        };
        assert!((0..limit * 100).any(|_| !matches!(step(), Ok(Some(_)))), "a walk without end");
    }
    walk_differences(tree, &TableDescriptor::default(), limit * 100);
    if rng.u8(..3) == 0 {
        let (from, to) =
            (keys[2].clone().min(keys[3].clone()), keys[2].clone().max(keys[3].clone()));
        tree.remove_range(Included(&from), Excluded(&to))?;
    }
    for key in keys {
        match rng.u8(..3) {
            0 => drop(tree.insert(key, &vec![7; rng.usize(..200)])?),
            1 => drop(tree.remove(key)?),
            _ => drop(tree.insert(&key[..key.len() / 2], b"new")?),
        }
    }
    drop_tree(&mut tree.store, &tree.desc)
}

/// Walks over what differs between another tree of the store and this one, both ways.
fn walk_differences(tree: &Tree, other: &TableDescriptor, limit: usize) {
    let version = |desc| Version { src: &tree.store, desc };
    for (old, new) in [(*other, tree.desc), (tree.desc, *other)] {
        let diff = || Diff::new(version(old), version(new), Unbounded, Unbounded).unwrap();
        assert!(diff().take(limit).count() < limit, "differences without end");
        assert!(diff().rev().take(limit).count() < limit, "differences without end");
    }
}

#[test]
fn a_scan_gives_everything_in_front_of_a_damaged_leaf() {
    let (mut tree, model) = filled(4096, Shape::Ascending, 1500, &mut Rng::with_seed(32));
    let middle = model.keys().nth(model.len() / 2).unwrap();
    let leaf = Path::find(&tree.store, &tree.desc, middle).unwrap().unwrap().leaf;
    let node = node_at(&tree.store, leaf, 0, KeyOrder::PACKED).unwrap();
    let first = node.key(0).unwrap().to_vec();
    let last = node.key(node.count() - 1).unwrap().to_vec();
    tree.store.raw(leaf)[header::KIND.at] = 99;
    let (before, behind) = (model.range(..first).count(), model.range(last..).count() - 1);
    for borrowed in [false, true] {
        for (forward, good) in [(true, before), (false, behind)] {
            let mut range = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
            let mut is_good = || match (borrowed, forward) {
                (true, _) => range.advance_ref(forward).is_ok_and(|pair| pair.is_some()),
                (_, true) => range.next().is_some_and(|pair| pair.is_ok()),
                _ => range.next_back().is_some_and(|pair| pair.is_ok()),
            };
            assert_eq!((0..model.len()).take_while(|_| is_good()).count(), good);
        }
    }
    for (forward, good) in [(true, before), (false, behind)] {
        let mut range = PausedRange::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
        let mut step = || range.advance_ref(&tree.store, forward).map(|pair| pair.is_some());
        assert_eq!((0..model.len()).take_while(|_| matches!(step(), Ok(true))).count(), good);
        // That was the error; nothing comes behind it.
        assert!(matches!(step(), Ok(false)));
    }
}

/// Two trees that share all their pages: what one remembers of its last leaf goes through what the
/// other does. A key went into a leaf that had come to a third tree meanwhile, and the index of an
/// entry could lie outside its page.
#[test]
fn the_way_to_the_last_leaf_is_looked_at_again() {
    let key = |n: u32| n.to_be_bytes().to_vec();
    let mut first = Tree::new(4096);
    first.store.lenient();
    for n in 0..1000 {
        first.insert(&key(n), &[7; 40]).unwrap();
    }
    assert!(first.desc.depth > 1, "{:?}", first.desc);
    let path = Path::find(&first.store, &first.desc, &key(999)).unwrap().unwrap();
    // The second tree gives all pages back, others get them.
    let mut second = first.desc;
    for n in 0..1000 {
        crate::tree::remove(&mut first.store, &mut second, &key(n)).unwrap();
    }
    let third = loop {
        let (mut third, mut edge) = (TableDescriptor::default(), RightmostPath::default());
        crate::tree::insert(&mut first.store, &mut third, &mut edge, b"", b"third").unwrap();
        if third.root == path.leaf {
            break third;
        }
    };
    assert!(matches!(first.insert(&key(5000), b"first"), Err(Error::Corrupt { .. })));
    assert_eq!(crate::tree::get(&first.store, &third, &key(5000)).unwrap(), None);
}

#[test]
fn damage_is_never_a_panic() {
    damaged(31, 250);
}

#[test]
#[ignore = "takes minutes; for changes of this module"]
fn much_damage() {
    (0..10).for_each(|seed| damaged(1000 + seed, 500));
}

fn damaged(seed: u64, trees: usize) {
    let mut rng = Rng::with_seed(seed);
    let mut errors = 0;
    let mut rounds = 0;
    for (page_size, shapes) in [(4096, &SHAPES[..]), (65_536, &SHAPES[3..5])] {
        for shape in shapes {
            let shift = SHIFTS[rng.usize(..SHIFTS.len())];
            let (tree, model) = filled_aligned(page_size, shift, *shape, 500, &mut rng);
            let mut keys: Vec<Vec<u8>> =
                (0..40).filter_map(|_| some_key(&model, &mut rng)).collect();
            keys.extend((0..200).map(|n| key(*shape, n, page_size, &mut rng)));
            keys.extend(model.keys().cloned());
            for _ in 0..trees {
                let mut tree = Tree::of(tree.store.clone(), tree.desc);
                tree.store.lenient();
                if rng.bool() {
                    tree.store.next_txn();
                }
                damage(&mut tree, &mut rng);
                rounds += 1;
                rng.shuffle(&mut keys);
                match use_it(&mut tree, &keys, &mut rng) {
                    Ok(()) => {}
                    Err(Error::Corrupt { page, detail, .. }) => {
                        assert!(!detail.is_empty() && page.0 <= 1 << 48);
                        errors += 1;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(errors * 4 > rounds, "{errors} of {rounds}: damage goes unnoticed");
}

#[test]
fn a_cycle_of_branches_has_an_end() {
    let mut rng = Rng::with_seed(32);
    let (mut tree, _) = filled(4096, Shape::Longest, 600, &mut rng);
    assert!(tree.desc.depth > 3, "{:?}", tree.desc);
    tree.store.lenient();
    // Every branch leads to the same child over and over: 2^depth ways down.
    for id in 2..tree.store.page_count() {
        let Ok(page) = crate::tree::PageSource::page(&tree.store, PageId(id)) else { continue };
        if page[4] != 1 {
            continue;
        }
        let node =
            crate::format::node::Node::open(PageId(id), page, page[5], KeyOrder::PACKED).unwrap();
        let (count, child, level) = (node.count(), node.child(0).unwrap(), node.level());
        let page = tree.store.raw(PageId(id));
        let mut node =
            crate::format::node::edit::NodeMut::open(PageId(id), page, level, KeyOrder::PACKED)
                .unwrap();
        (1..=count).for_each(|i| node.set_child(i, child).unwrap());
    }
    tree.desc.leaf_pages = 5;
    let range = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
    let all: Vec<_> = range.collect();
    assert!(all.last().unwrap().is_err() && all.len() < 100);
    // Every way down two trees that lead to the same leaf all the time.
    let root =
        node_at(&tree.store, tree.desc.root, tree.desc.depth as u8 - 1, KeyOrder::PACKED).unwrap();
    let below =
        TableDescriptor { root: root.child(0).unwrap(), depth: tree.desc.depth - 1, ..tree.desc };
    walk_differences(&tree, &below, 1000);
    assert!(drop_tree(&mut tree.store, &tree.desc).is_err());
}

fn set_value(size: u16, n: u64) -> Vec<u8> {
    match size {
        0 if n.is_multiple_of(5) => [&[b'v'; 700][..], &n.to_be_bytes()].concat(),
        0 => format!("value {n}").into_bytes(),
        size => (n as u32).to_be_bytes().into_iter().cycle().take(size.into()).collect(),
    }
}

/// A table of sets whose keys have one value, a few, and many.
fn filled_sets(size: u16) -> (Tree, Vec<Vec<u8>>) {
    let mut tree = Tree::sets(4096, size);
    let mut keys: Vec<Vec<u8>> = (0..60).map(|n| format!("key {n:03}").into_bytes()).collect();
    keys.push(b"many".to_vec());
    for (i, key) in keys.iter().enumerate() {
        let count = if key == b"many" { 3_000 } else { [1, 1, 3, 8, 90][i % 5] };
        for n in 0..count {
            tree.insert_pair(key, &set_value(size, n * 7)).unwrap();
        }
    }
    (tree, keys)
}

/// Reads sets and changes them until something says that they are damaged.
fn use_sets(tree: &mut Tree, keys: &[Vec<u8>], rng: &mut Rng) -> Result<(), Error> {
    const LIMIT: usize = 1_000_000;
    let size = tree.desc.value_size;
    let read = |set: &Set<'_>, rng: &mut Rng| -> Result<(), Error> {
        let bounds = [set_value(size, rng.u64(..900)), set_value(size, rng.u64(..9_000))];
        let all = (Unbounded, Unbounded);
        for (from, to) in [all, (Excluded(&bounds[0][..]), Included(&bounds[1][..]))] {
            let mut values = SetValues::new(&tree.store, &tree.desc, set, from, to)?;
            let mut step = || values.advance(rng.u8(..3) > 0);
            assert!((0..LIMIT).any(|_| !matches!(step(), Ok(Some(_)))), "a set without end");
            let mut values = SetValues::new(&tree.store, &tree.desc, set, from, to)?;
            let mut step = || values.next_slice();
            assert!((0..LIMIT).any(|_| !matches!(step(), Ok(Some(_)))), "slices without end");
        }
        set_contains(&tree.store, &tree.desc, set, &bounds[0]).map(drop)
    };
    for key in &keys[..10] {
        if let Ok(Some(set)) = get_set(&tree.store, &tree.desc, key) {
            let _ = read(&set, rng);
        }
    }
    for forward in [true, false] {
        let mut range = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded)?;
        let mut step = || range.advance_set(forward);
        assert!((0..LIMIT).any(|_| !matches!(step(), Some(Ok(_)))), "a range without end");
    }
    if rng.u8(..3) == 0 {
        tree.remove_range(Included(&keys[0]), Excluded(&keys[1]))?;
    }
    for key in keys {
        match rng.u8(..4) {
            0 => drop(tree.remove(key)?),
            1 => drop(tree.remove_pair(key, &set_value(size, 7 * rng.u64(..9)))?),
            _ => drop(tree.insert_pair(key, &set_value(size, rng.u64(..30_000)))?),
        }
    }
    drop_tree(&mut tree.store, &tree.desc)
}

#[test]
fn damage_of_sets_is_never_a_panic() {
    let mut rng = Rng::with_seed(33);
    let (mut errors, mut rounds) = (0, 0);
    for size in [0, 1, 4, 8, 900, 1900] {
        let (tree, mut keys) = filled_sets(size);
        for _ in 0..120 {
            let mut tree = Tree::of(tree.store.clone(), tree.desc);
            tree.store.lenient();
            if rng.bool() {
                tree.store.next_txn();
            }
            damage(&mut tree, &mut rng);
            match rng.u8(..12) {
                0 => tree.desc.value_size = [0, 1, 4, 8, 900][rng.usize(..5)],
                1 => tree.desc.overflow_pages = rng.u64(..4),
                2 => tree.desc.pairs = rng.u64(..4),
                _ => {}
            }
            rounds += 1;
            rng.shuffle(&mut keys);
            match use_sets(&mut tree, &keys, &mut rng) {
                Ok(()) => {}
                // Of a table whose descriptor says another size than it did.
                Err(Error::Corrupt { .. } | Error::InvalidArgument(_)) => errors += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(errors * 4 > rounds, "{errors} of {rounds}: damage goes unnoticed");
}

/// A value went into a packed leaf of values of another size, and out of its page.
#[test]
fn sets_of_another_size_are_damage() {
    let of_another = |tree: &mut Tree, key: &[u8], value: &[u8]| {
        let corrupt =
            |done: Result<bool, Error>| assert!(matches!(done, Err(Error::Corrupt { .. })));
        corrupt(get_set(&tree.store, &tree.desc, key).map(|set| set.is_some()));
        corrupt(tree.insert_pair(key, value));
        corrupt(tree.remove_pair(key, value));
        corrupt(tree.remove(key));
        let mut range = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
        corrupt(
            (0..200).find_map(|_| range.advance_set(true).unwrap().err()).map_or(Ok(true), Err),
        );
        assert!(range.advance_set(true).is_none());
    };
    for key in [&b"many"[..], b"key 000", b"key 003"] {
        for (size, other) in [(4, 8), (8, 4), (4, 0), (0, 4)] {
            let (mut tree, _) = filled_sets(size);
            tree.desc.value_size = other;
            if (size, other, key) == (4, 0, b"key 000") {
                // One value of any length.
                continue;
            }
            of_another(&mut tree, key, &set_value(other, 1));
        }
    }
}

/// The counts of a tree of values bound the walks over it, and nothing had bounded them.
#[test]
fn a_set_has_no_more_pages_than_its_table_counts() {
    for size in [0, 8] {
        let (mut tree, _) = filled_sets(size);
        let Some(Set::Tree(set)) = get_set(&tree.store, &tree.desc, b"many").unwrap() else {
            panic!("no tree");
        };
        tree.desc.overflow_pages = set.branch_pages + set.leaf_pages - 1;
        let found = get_set(&tree.store, &tree.desc, b"many");
        assert!(matches!(found, Err(Error::Corrupt { .. })));
        assert!(matches!(tree.remove(b"many"), Err(Error::Corrupt { .. })));
    }
}
