//! Damaged tables of sets, and what counts and copies damaged tables: any answer or an error, never
//! a panic, never without end.

use super::hostile::damage;
use super::model::Shape;
use super::ranges::filled;
use super::store::Tree;
use crate::error::{Error, Result};
use crate::format::node::Node;
use crate::format::node::build::Body;
use crate::format::node::edit::NodeMut;
use crate::format::node::set::encode_tree;
use crate::format::order::KeyOrder;
use crate::tree::insert::put;
use crate::tree::search::Path;
use crate::tree::{
    PageSource, Range, RightmostPath, Set, SetValues, copy_tree, count_range, drop_tree,
    estimate_range, get_set, sample, set_contains, split_range,
};
use crate::types::PageId;
use fastrand::Rng;
use std::ops::Bound::{Excluded, Included, Unbounded};

type Pair = (Vec<u8>, Vec<u8>);

/// A table with one value, a few and many values of its keys.
fn sets(page_size: usize, value_size: u16, rng: &mut Rng) -> (Tree, Vec<Pair>) {
    let mut tree = Tree::sets(page_size, value_size);
    let mut pairs = Vec::new();
    for n in 0..60u32 {
        for _ in 0..[1, 3, 40, 900][n as usize % 4] {
            let key = format!("key {n}").into_bytes();
            let number = rng.u32(..20_000).to_be_bytes();
            let value = match value_size {
                0 if rng.u8(..30) == 0 => vec![rng.u8(..); rng.usize(..800)],
                0 => number.to_vec(),
                size => number.into_iter().cycle().take(size.into()).collect(),
            };
            tree.insert_pair(&key, &value).unwrap();
            pairs.push((key, value));
        }
    }
    (tree, pairs)
}

fn read_all(tree: &Tree, rng: &mut Rng, limit: usize) -> Result<()> {
    let (src, desc) = (&tree.store, &tree.desc);
    for forward in [true, false] {
        let mut range = Range::new(src, desc, Unbounded, Unbounded)?;
        let mut steps = 0;
        while let Some(entry) = range.advance_set(forward) {
            let (_, set) = entry?;
            steps += 1;
            let mut values = SetValues::new(src, desc, &set, Unbounded, Unbounded)?;
            while values.advance(forward ^ (rng.u8(..9) == 0))?.is_some() {
                steps += 1;
                assert!(steps < limit, "values without end");
            }
            let mut values = SetValues::new(src, desc, &set, Unbounded, Unbounded)?;
            while values.next_slice()?.is_some() {
                steps += 1;
                assert!(steps < limit, "slices without end");
            }
            assert!(steps < limit, "keys without end");
        }
    }
    Ok(())
}

fn use_sets(tree: &mut Tree, pairs: &[Pair], rng: &mut Rng) -> Result<()> {
    for (key, value) in &pairs[..100] {
        if let Ok(Some(set)) = get_set(&tree.store, &tree.desc, key) {
            let _ = set_contains(&tree.store, &tree.desc, &set, value);
            let other = &pairs[rng.usize(..pairs.len())].1;
            let bounds = [Included(&value[..]), Excluded(&other[..])];
            if let Ok(mut values) =
                SetValues::new(&tree.store, &tree.desc, &set, bounds[0], bounds[1])
            {
                let mut left = 1_000_000;
                while matches!(values.advance(rng.bool()), Ok(Some(_))) {
                    left -= 1;
                    assert!(left > 0, "values without end");
                }
            }
        }
    }
    let _ = read_all(tree, rng, 5_000_000);
    if rng.u8(..3) == 0 {
        let _ = copy_tree(&mut tree.store, &tree.desc);
    }
    for (key, value) in pairs {
        let done = match rng.u8(..12) {
            0..5 => tree.insert_pair(key, value),
            5..8 => tree.remove_pair(key, value),
            8 => tree.insert_pair(key, &value[..value.len() / 2]),
            9 => tree.insert_pair(key, &[&value[..], b"x"].concat()),
            10 if rng.u8(..40) == 0 => tree.remove(key),
            11 if rng.u8(..80) == 0 => {
                tree.remove_range(Included(key), Excluded(&pairs[0].0)).map(|_| true)
            }
            _ => Ok(false),
        };
        match done {
            // Of another size than the table says.
            Ok(_) | Err(Error::InvalidArgument(_)) => {}
            Err(e) => return Err(e),
        }
    }
    let _ = read_all(tree, rng, 5_000_000);
    drop_tree(&mut tree.store, &tree.desc)
}

#[test]
fn damaged_sets_give_errors() {
    damaged(51);
}

#[test]
#[ignore = "takes minutes; for changes of sets"]
fn much_damage_of_sets() {
    (100..140).for_each(damaged);
}

fn damaged(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let (mut errors, mut rounds) = (0, 0);
    for page_size in [4096, 65_536] {
        for value_size in [0, 1, 2, 8, 100] {
            let (tree, mut pairs) = sets(page_size, value_size, &mut rng);
            for _ in 0..30 {
                let mut tree = Tree::of(tree.store.clone(), tree.desc);
                tree.store.lenient();
                if rng.bool() {
                    tree.store.next_txn();
                }
                match rng.u8(..10) {
                    0 => tree.desc.value_size = [0, 1, 3, 8, 900, 4000][rng.usize(..6)],
                    1 => tree.desc.overflow_pages = rng.u64(..9),
                    2 => tree.desc.pairs = rng.u64(..99),
                    _ => damage(&mut tree, &mut rng),
                }
                rng.shuffle(&mut pairs);
                rounds += 1;
                match use_sets(&mut tree, &pairs, &mut rng) {
                    Ok(()) => {}
                    Err(Error::Corrupt { detail, .. }) => {
                        assert!(!detail.is_empty());
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
fn damaged_tables_are_counted_and_copied_or_give_errors() {
    let mut rng = Rng::with_seed(52);
    for shape in [Shape::Ascending, Shape::Longest] {
        let (tree, model) = filled(4096, shape, 800, &mut rng);
        let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
        for _ in 0..100 {
            let mut tree = Tree::of(tree.store.clone(), tree.desc);
            tree.store.lenient();
            damage(&mut tree, &mut rng);
            if rng.u8(..4) == 0 {
                tree.desc.entries = rng.u64(..1 << 20);
            }
            let (src, desc) = (&tree.store, &tree.desc);
            for _ in 0..20 {
                let [a, b] = [(); 2].map(|()| &keys[rng.usize(..keys.len())][..]);
                let _ = count_range(src, desc, Included(a), Excluded(b));
                let _ = count_range(src, desc, Excluded(a), Unbounded);
                let _ = estimate_range(src, desc, Excluded(a), Included(b));
                let _ = split_range(src, desc, Included(a), Unbounded, rng.usize(..40));
                let _ = sample(src, desc, rng.usize(..60), rng.u64(..));
            }
            let _ = copy_tree(&mut tree.store, &tree.desc);
        }
    }
}

/// The cell of a key says how many leaves its tree has, and all its branches lead to one child.
#[test]
fn a_cycle_of_branches_in_a_tree_of_values_has_an_end() {
    for value_size in [0, 900] {
        let mut tree = Tree::sets(4096, value_size);
        for n in 0..900u64 {
            let mut value = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
            value.resize(900, 7);
            tree.insert_pair(b"key", &value).unwrap();
        }
        let Some(Set::Tree(mut values)) = get_set(&tree.store, &tree.desc, b"key").unwrap() else {
            panic!("no tree");
        };
        tree.store.lenient();
        for id in 2..tree.store.page_count() {
            let Ok(page) = tree.store.page(PageId(id)) else { continue };
            if page[4] != 1 {
                continue;
            }
            let node = Node::open(PageId(id), page, page[5], KeyOrder::PACKED).unwrap();
            let (count, child, level) = (node.count(), node.child(0).unwrap(), node.level());
            let page = tree.store.raw(PageId(id));
            let mut node = NodeMut::open(PageId(id), page, level, KeyOrder::PACKED).unwrap();
            (1..=count).for_each(|i| node.set_child(i, child).unwrap());
        }
        values.leaf_pages = 1 << 40;
        let path = Path::find(&tree.store, &tree.desc, b"key").unwrap();
        let bytes = encode_tree(&values);
        put(
            &mut tree.store,
            &mut tree.desc,
            &mut RightmostPath::default(),
            path,
            b"key",
            Body::set(&bytes, true),
        )
        .unwrap();
        let mut n = 0;
        let done = (|| -> Result<()> {
            let set = get_set(&tree.store, &tree.desc, b"key")?.unwrap();
            let mut all = SetValues::new(&tree.store, &tree.desc, &set, Unbounded, Unbounded)?;
            while all.advance(true)?.is_some() {
                n += 1;
            }
            Ok(())
        })();
        assert!(done.is_err() && n < 10_000, "{n}");
    }
}
