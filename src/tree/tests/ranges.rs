//! Cursors and ranges against BTreeMap::range, from both ends, with every kind of bound.

use super::check::Model;
use super::model::{PAGE_SIZES, SHAPES, SHIFTS, Shape, key, some_key, value};
use super::store::{Resident, Tree};
use crate::tree::{Cursor, Key, PausedRange, Range, get_many};
use fastrand::Rng;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

pub fn filled(page_size: usize, shape: Shape, n: u64, rng: &mut Rng) -> (Tree, Model) {
    filled_aligned(page_size, 0, shape, n, rng)
}

/// The same with values aligned to 2^`align_shift` bytes.
pub fn filled_aligned(
    page_size: usize,
    align_shift: u8,
    shape: Shape,
    n: u64,
    rng: &mut Rng,
) -> (Tree, Model) {
    let (mut tree, mut model) = (Tree::aligned(page_size, align_shift), Model::new());
    for i in 0..n {
        let (key, value) = (key(shape, i, page_size, rng), value(page_size, rng));
        tree.insert(&key, &value).unwrap();
        model.insert(key, value);
    }
    (tree, model)
}

pub fn bound(shape: Shape, model: &Model, page_size: usize, rng: &mut Rng) -> Bound<Vec<u8>> {
    let mut at = match rng.u8(..3) {
        0 => some_key(model, rng).unwrap_or_default(),
        1 => model.iter().nth(rng.usize(..=model.len())).map_or(vec![255; 9], |(k, _)| k.clone()),
        _ => key(shape, rng.u64(..1000), page_size, rng),
    };
    if rng.u8(..4) == 0 {
        at.push(0);
    }
    match rng.u8(..7) {
        0 => Unbounded,
        1..4 => Included(at),
        _ => Excluded(at),
    }
}

pub fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

/// What the model has between two bounds; nothing where BTreeMap would panic.
fn expected<'a>(
    model: &'a Model,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Vec<(&'a [u8], &'a [u8])> {
    let all = model.iter().map(|(k, v)| (&k[..], &v[..]));
    all.filter(|(k, _)| within(k, from, to)).collect()
}

/// Whether a key lies between two bounds, which may be the wrong way round.
pub fn within(key: &[u8], from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    let above = match from {
        Unbounded => true,
        Included(b) => key >= b,
        Excluded(b) => key > b,
    };
    let below = match to {
        Unbounded => true,
        Included(b) => key <= b,
        Excluded(b) => key < b,
    };
    above && below
}

#[test]
fn ranges_meet_in_the_middle() {
    let mut rng = Rng::with_seed(11);
    for page_size in PAGE_SIZES {
        for shape in SHAPES {
            let (shift, n) = (SHIFTS[rng.usize(..SHIFTS.len())], rng.u64(1..500));
            let (tree, model) = filled_aligned(page_size, shift, shape, n, &mut rng);
            for _ in 0..60 {
                let (from, to) = (
                    bound(shape, &model, page_size, &mut rng),
                    bound(shape, &model, page_size, &mut rng),
                );
                let expected = expected(&model, slice(&from), slice(&to));
                let mut range =
                    Range::new(&tree.store, &tree.desc, slice(&from), slice(&to)).unwrap();
                let mut paused =
                    PausedRange::new(&tree.store, &tree.desc, slice(&from), slice(&to)).unwrap();
                let mut middle = &expected[..];
                let backwards = rng.u8(..5);
                loop {
                    let forward = rng.u8(..4) >= backwards;
                    let want = if forward { middle.split_first() } else { middle.split_last() };
                    middle = want.map_or(middle, |(_, left)| left);
                    let want = want.map(|(pair, _)| *pair);
                    assert_eq!(paused.advance_ref(&tree.store, forward).unwrap(), want);
                    if rng.bool() {
                        assert_eq!(range.advance_ref(forward).unwrap(), want);
                    } else {
                        let got = if forward { range.next() } else { range.next_back() };
                        let got = got.map(|entry| entry.unwrap());
                        assert_eq!(got.as_ref().map(|(k, v)| (&**k, *v)), want);
                    }
                    if want.is_none() {
                        break;
                    }
                }
                assert!(range.next().is_none() && range.next_back().is_none());
                assert_eq!(paused.advance_ref(&tree.store, rng.bool()).unwrap(), None);
            }
        }
    }
}

#[test]
fn cursors_go_where_they_are_sent() {
    let mut rng = Rng::with_seed(12);
    for shape in SHAPES {
        let (tree, model) = filled(4096, shape, 600, &mut rng);
        let keys: Vec<&Vec<u8>> = model.keys().collect();
        let mut cursor = Cursor::new(&tree.store, &tree.desc).unwrap();
        // Place of the cursor among the keys; -1 in front, len behind.
        let len = keys.len() as i64;
        let mut at = -1i64;
        for _ in 0..4000 {
            let moved = match rng.u8(..12) {
                0 => {
                    at = 0;
                    cursor.first().unwrap()
                }
                1 => {
                    at = len - 1;
                    cursor.last().unwrap()
                }
                2 => {
                    let from = bound(shape, &model, 4096, &mut rng);
                    at = len - expected(&model, slice(&from), Unbounded).len() as i64;
                    cursor.seek(slice(&from)).unwrap()
                }
                3 => {
                    let to = bound(shape, &model, 4096, &mut rng);
                    at = expected(&model, Unbounded, slice(&to)).len() as i64 - 1;
                    cursor.seek_back(slice(&to)).unwrap()
                }
                4..8 => {
                    at = (at + 1).min(len);
                    cursor.next().unwrap()
                }
                _ => {
                    at = (at - 1).max(-1);
                    cursor.prev().unwrap()
                }
            };
            let want = (0..len).contains(&at).then(|| keys[at as usize]);
            assert_eq!(moved, want.is_some());
            if rng.bool() {
                assert_eq!(cursor.key().unwrap().as_deref(), want.map(|k| &k[..]));
            }
            assert_eq!(cursor.value().unwrap(), want.map(|k| &model[k][..]));
            let entry = cursor.entry().unwrap();
            assert_eq!(entry.map(|(k, _)| k.into_vec()).as_ref(), want);
        }
    }
}

#[test]
fn scans_ask_for_what_has_to_be_fetched_and_for_neighbours_within_bounds() {
    for (page_size, ordered) in [(4096, true), (4096, false), (16384, true), (16384, false)] {
        let around = (1 << 20) / page_size as u64;
        let mut tree = Tree::new(page_size);
        let entries = 40_000u64;
        for i in 0..entries {
            let key = if ordered { i } else { i.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
            tree.insert(&key.to_be_bytes(), &[7; 100]).unwrap();
        }
        let leaves = tree.desc.leaf_pages;
        assert!(leaves > 3 * around);
        let asked = |resident, backward: bool, paused: bool| {
            let store = &tree.store;
            store.resident.set(resident);
            store.hints.borrow_mut().clear();
            store.hinted.set(0);
            let range = Range::new(store, &tree.desc, Unbounded, Unbounded).unwrap();
            let mut pausing = PausedRange::new(store, &tree.desc, Unbounded, Unbounded).unwrap();
            let more = |_: &u64| pausing.advance_ref(store, !backward).unwrap().is_some();
            let count = match (paused, backward) {
                (true, _) => (0..).take_while(more).count(),
                (_, true) => range.rev().count(),
                (_, false) => range.count(),
            };
            assert_eq!(count as u64, entries);
            (store.hints.borrow().len() as u64, store.hinted.get())
        };
        for (backward, paused) in [(false, false), (true, false), (false, true), (true, true)] {
            let what =
                format!("{page_size}, ordered {ordered}, backward {backward}, paused {paused}");
            assert_eq!(asked(Resident::All, backward, paused), (0, 0), "{what}");
            // Where everything asked for stays: nearly all leaves, and hardly a page twice.
            let (pages, in_all) = asked(Resident::Hinted, backward, paused);
            assert!(pages > leaves * 9 / 10, "{what}: {pages} of {leaves}");
            assert!(in_all < pages + 2 * around + leaves / 10, "{what}: {in_all} for {pages}");
            // Where nothing stays: still bounded.
            let (pages, in_all) = asked(Resident::None, backward, paused);
            assert!(pages > leaves / 2, "{what}: {pages} of {leaves}");
            assert!(in_all < (2 + around / 8) * leaves + around, "{what}: {in_all} for {leaves}");
        }
    }
}

#[test]
fn many_keys_at_once_are_found_like_one_by_one() {
    let mut rng = Rng::with_seed(14);
    for shape in [Shape::Ascending, Shape::Random] {
        for n in [0, 1, 40, 3000] {
            let (tree, model) = filled(4096, shape, n, &mut rng);
            let mut keys: Vec<Vec<u8>> = model.keys().cloned().collect();
            keys.extend((0..100).map(|_| (0..rng.usize(..12)).map(|_| rng.u8(..)).collect()));
            rng.shuffle(&mut keys);
            for resident in [Resident::All, Resident::None] {
                tree.store.resident.set(resident);
                tree.store.hints.borrow_mut().clear();
                let values = get_many(&tree.store, &tree.desc, &keys).unwrap();
                let want: Vec<_> = keys.iter().map(|key| model.get(key).map(|v| &v[..])).collect();
                assert_eq!(values, want);
                let hints = tree.store.hints.borrow().len() as u64;
                match resident {
                    Resident::All => assert_eq!(hints, 0),
                    _ => assert!(hints + 1 >= tree.desc.leaf_pages),
                }
            }
        }
    }
}

#[test]
fn an_empty_tree_has_no_entries() {
    let tree = Tree::new(4096);
    let mut cursor = Cursor::new(&tree.store, &tree.desc).unwrap();
    assert!(!cursor.first().unwrap() && !cursor.next().unwrap() && !cursor.prev().unwrap());
    assert!(!cursor.last().unwrap() && !cursor.seek(Included(b"x")).unwrap());
    assert_eq!(cursor.key().unwrap(), None);
    let mut range = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
    assert!(range.next().is_none() && range.next_back().is_none());
}

/// Short keys take copies of fixed lengths, behind the prefix of their leaf: at the ends of these
/// lengths nothing may be lost.
#[test]
fn keys_of_all_lengths_are_put_together() {
    let tails = [2, 3, 4, 5, 19, 20, 21, 22, 35, 36, 37, 38, 39, 60, 100, 300];
    for front in [
        0, 1, 20, 41, 42, 43, 57, 58, 60, 62, 63, 475, 476, 491, 492, 493, 507, 508, 509, 511, 512,
        513, 600,
    ] {
        for tail in tails {
            let (mut tree, mut model) = (Tree::new(4096), Model::new());
            for i in 0..80u8 {
                let mut key = vec![b'p'; front];
                key.push(i);
                key.extend((1..tail).map(|at| i ^ at as u8));
                tree.insert(&key, &[i; 50]).unwrap();
                model.insert(key, vec![i; 50]);
            }
            let new = || Range::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
            let got: Vec<_> = new().map(|entry| entry.unwrap()).collect();
            assert!(
                got.iter()
                    .map(|(k, v)| (&k[..], *v))
                    .eq(model.iter().map(|(k, v)| (&k[..], &v[..])))
            );
            for forward in [true, false] {
                let mut range = new();
                let mut left: Vec<_> = model.iter().collect();
                if forward {
                    left.reverse();
                }
                while let Some((key, value)) = range.advance_ref(forward).unwrap() {
                    assert_eq!(
                        left.pop(),
                        Some((&key.to_vec(), &value.to_vec())),
                        "{front} {tail}"
                    );
                }
                assert!(left.is_empty());
            }
        }
    }
}

#[test]
fn keys_behave_like_their_bytes() {
    let mut tree = Tree::new(4096);
    let keys: Vec<Vec<u8>> =
        [0, 1, 3, 4, 5, 61, 62, 63, 64, 500].map(|n| vec![b'k'; n]).into_iter().collect();
    for key in &keys {
        tree.insert(key, b"v").unwrap();
    }
    let range = Range::new(&tree.store, &tree.desc, Unbounded, Unbounded).unwrap();
    let got: Vec<Key<'_>> = range.map(|entry| entry.unwrap().0).collect();
    assert!(got.is_sorted());
    for (got, key) in got.iter().zip(&keys) {
        assert_eq!(got, &key[..]);
        assert_eq!(got.clone().into_owned(), *got);
        assert_eq!(Key::from(&key[..]), *got);
    }
    let set: std::collections::HashSet<Key<'_>> = got.into_iter().collect();
    assert!(keys.iter().all(|key| set.contains(&key[..])));
    assert_eq!(format!("{:?}", Key::from(&b"a\xff"[..])), "\"a\\xff\"");
    assert!(size_of::<Key<'_>>() <= 64);
}
