//! Positions, against keys of a BTreeMap that come and go under them.

use super::check::{Model, check};
use super::store::Tree;
use crate::tree::{Position, Versioned};
use fastrand::Rng;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// Where a position stands.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    Nowhere,
    Before(Vec<u8>),
    At(Vec<u8>),
    After(Vec<u8>),
}

impl Place {
    fn next(&mut self, model: &Model) -> Option<Vec<u8>> {
        let from = match &*self {
            Place::Nowhere => Unbounded,
            Place::Before(key) => Included(key),
            Place::At(key) | Place::After(key) => Excluded(key),
        };
        let found = model.range::<Vec<u8>, _>((from, Unbounded)).next().map(|(key, _)| key.clone());
        match (&found, &*self) {
            (Some(key), _) => *self = Place::At(key.clone()),
            (None, Place::At(key)) => *self = Place::After(key.clone()),
            _ => {}
        }
        found
    }

    fn prev(&mut self, model: &Model) -> Option<Vec<u8>> {
        let to = match &*self {
            Place::Nowhere => Unbounded,
            Place::After(key) => Included(key),
            Place::At(key) | Place::Before(key) => Excluded(key),
        };
        let found =
            model.range::<Vec<u8>, _>((Unbounded, to)).next_back().map(|(key, _)| key.clone());
        match (&found, &*self) {
            (Some(key), _) => *self = Place::At(key.clone()),
            (None, Place::At(key)) => *self = Place::Before(key.clone()),
            _ => {}
        }
        found
    }

    fn current(&self, model: &Model) -> Option<Vec<u8>> {
        match self {
            Place::At(key) => model.contains_key(key).then(|| key.clone()),
            _ => None,
        }
    }
}

fn some_key(rng: &mut Rng, keys: u32) -> Vec<u8> {
    let n = rng.u32(..keys);
    // Long and short ones, so that leaves have few and many.
    [&n.to_be_bytes()[..], &vec![b'.'; if n.is_multiple_of(3) { 90 } else { 2 }]].concat()
}

fn run(keys: u32, steps: u32, seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    let (mut tree, mut model) = (Tree::aligned(4096, seed as u8 % 8), Model::new());
    let mut positions = vec![(Position::new(), Place::Nowhere); 5];
    let mut version = 1;
    for step in 0..steps {
        let key = some_key(rng, keys);
        match rng.u8(..10) {
            0 => {
                let value = vec![step as u8; rng.usize(..200)];
                tree.insert(&key, &value).unwrap();
                model.insert(key, value);
                version += 1;
                continue;
            }
            1 => {
                // What some position stands on, most often.
                let at = &positions[rng.usize(..5)].0;
                let key = at.key().filter(|_| rng.u8(..4) > 0).unwrap_or(&key).to_vec();
                assert_eq!(tree.remove(&key).unwrap(), model.remove(&key).is_some());
                version += 1;
                continue;
            }
            2 if rng.u8(..40) == 0 => {
                let to = some_key(rng, keys);
                tree.remove_range(Included(&key), Excluded(&to)).unwrap();
                model.retain(|k, _| !(key <= *k && *k < to));
                version += 1;
                continue;
            }
            _ => {}
        }
        let (position, place) = &mut positions[rng.usize(..5)];
        let now = Versioned { src: &tree.store, desc: tree.desc, version };
        let (value, wanted) = match rng.u8(..20) {
            0 => {
                *place = Place::Nowhere;
                (position.first(&now), place.next(&model))
            }
            1 => {
                *place = Place::Nowhere;
                (position.last(&now), place.prev(&model))
            }
            2 => {
                *place = Place::Before(key.clone());
                (position.seek(&now, &key), place.next(&model))
            }
            3 => {
                *place = Place::After(key.clone());
                (position.seek_back(&now, &key), place.prev(&model))
            }
            4 => {
                position.set(&key);
                *place = Place::At(key);
                (position.current(&now), place.current(&model))
            }
            5 => (position.current(&now), place.current(&model)),
            6..13 => (position.next(&now), place.next(&model)),
            _ => (position.prev(&now), place.prev(&model)),
        };
        assert_eq!(value.unwrap(), wanted.as_ref().map(|key| &model[key][..]), "step {step}");
        let stands = match place {
            Place::At(key) => Some(&key[..]),
            _ => None,
        };
        assert_eq!(position.key(), stands, "step {step}");
    }
    check(&tree, &model);
}

#[test]
fn positions_stay_where_they_are() {
    for seed in 0..12 {
        run([4, 60, 900, 20_000][seed % 4], 20_000, seed as u64);
    }
}

/// A walk over a tree that does not change meets each pair once, both ways.
#[test]
fn a_walk_meets_everything() {
    let mut tree = Tree::new(4096);
    for n in 0..3_000u32 {
        tree.insert(&n.to_be_bytes(), &n.to_le_bytes()).unwrap();
    }
    let now = Versioned { src: &tree.store, desc: tree.desc, version: 9 };
    let mut position = Position::new();
    for n in 0..3_000u32 {
        assert_eq!(position.next(&now).unwrap(), Some(&n.to_le_bytes()[..]));
    }
    assert_eq!((position.next(&now).unwrap(), position.next(&now).unwrap()), (None, None));
    for n in (0..3_000u32).rev() {
        assert_eq!(position.prev(&now).unwrap(), Some(&n.to_le_bytes()[..]));
    }
    assert_eq!(position.prev(&now).unwrap(), None);
    assert_eq!(position.next(&now).unwrap(), Some(&0u32.to_le_bytes()[..]));
}
