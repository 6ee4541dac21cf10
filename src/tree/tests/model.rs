//! The tree against a BTreeMap: all page sizes, many shapes of keys and values, transactions and
//! snapshots.

use super::check::{Model, check, check_snapshot};
use super::store::Tree;
use crate::format::descriptor::TableDescriptor;
use crate::format::node::max_key_len;
use fastrand::Rng;
use std::ops::Bound;

pub const PAGE_SIZES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];

/// How values are aligned: not at all, in leaves, in runs alone.
pub const SHIFTS: [u8; 7] = [0, 1, 3, 4, 6, 7, 12];

/// A shape of keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Random,
    Ascending,
    Descending,
    Url,
    AnyLength,
    Longest,
    Breaking,
    Short,
}

pub const SHAPES: [Shape; 8] = [
    Shape::Random,
    Shape::Ascending,
    Shape::Descending,
    Shape::Url,
    Shape::AnyLength,
    Shape::Longest,
    Shape::Breaking,
    Shape::Short,
];

pub fn key(shape: Shape, n: u64, page_size: usize, rng: &mut Rng) -> Vec<u8> {
    let max = max_key_len(page_size);
    match shape {
        Shape::Random => rng.u64(..).to_be_bytes().to_vec(),
        Shape::Ascending => n.to_be_bytes().to_vec(),
        Shape::Descending => (u64::MAX - n).to_be_bytes().to_vec(),
        Shape::Url => {
            let (site, user) = (rng.u32(..20), rng.u32(..500));
            let page = rng.u32(..100_000);
            format!("https://www.site-{site}.example.org/users/{user:04}/articles/{page}")
                .into_bytes()
        }
        Shape::AnyLength => {
            let len = if rng.bool() { rng.usize(..=max) } else { rng.usize(..40) };
            (0..len).map(|_| b'a' + rng.u8(..3)).collect()
        }
        Shape::Longest => {
            let mut key = vec![b'x'; max - rng.usize(..2)];
            let at = rng.usize(..key.len());
            key[at] = rng.u8(..);
            key
        }
        Shape::Breaking => match rng.u8(..8) {
            0 => vec![rng.u8(..); rng.usize(..5)],
            1 => [&b"common/prefix/of/"[..], &[rng.u8(..)]].concat(),
            2 => b"common/prefix/of/most"[..rng.usize(..21)].to_vec(),
            _ => {
                let tail = rng.u32(..50_000);
                [&b"common/prefix/of/most/keys/"[..], &tail.to_be_bytes()].concat()
            }
        },
        Shape::Short => (0..rng.usize(..4)).map(|_| rng.u8(..)).collect(),
    }
}

pub fn value(page_size: usize, rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u8(..20) {
        0 => rng.usize(..4 * page_size),
        1 => rng.usize(..page_size),
        2 => page_size * rng.usize(1..3),
        3..6 => 0,
        _ => rng.usize(..120),
    };
    let fill = rng.u8(..);
    (0..len).map(|i| fill.wrapping_add(i as u8)).collect()
}

/// Some key of the model near a random one.
pub fn some_key(model: &Model, rng: &mut Rng) -> Option<Vec<u8>> {
    let probe = rng.u64(..).to_be_bytes().to_vec();
    let n = rng.usize(..64);
    let near = model.range(probe..).next().or_else(|| model.iter().nth(n));
    near.or_else(|| model.iter().next_back()).map(|(k, _)| k.clone())
}

struct Run {
    tree: Tree,
    model: Model,
    rng: Rng,
    shape: Shape,
    n: u64,
}

impl Run {
    fn cut_out(&mut self) {
        let mut ends = [0, 1].map(|_| some_key(&self.model, &mut self.rng).unwrap_or_default());
        ends.sort();
        let [from, to] = ends.each_ref().map(|key| &key[..]);
        let gone = self.model.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).take(20).collect();
        let to = gone.last().map_or(to, |last| &last[..]);
        let removed = self.tree.remove_range(Bound::Included(from), Bound::Excluded(to)).unwrap();
        let before = self.model.len();
        self.model.retain(|key, _| &key[..] < from || &key[..] >= to);
        assert_eq!(removed, (before - self.model.len()) as u64);
    }

    fn step(&mut self, removes: u32) {
        let size = self.tree.store.page_size;
        if self.rng.u32(..100) < removes {
            let key = match some_key(&self.model, &mut self.rng) {
                Some(key) if self.rng.u8(..10) > 0 => key,
                _ => key(self.shape, self.rng.u64(..self.n + 1), size, &mut self.rng),
            };
            let there = self.model.remove(&key).is_some();
            assert_eq!(self.tree.remove(&key).unwrap(), there);
            assert_eq!(self.tree.get(&key).unwrap(), None);
            return;
        }
        let key = match some_key(&self.model, &mut self.rng) {
            Some(key) if self.rng.u8(..6) == 0 => key,
            _ => key(self.shape, self.n, size, &mut self.rng),
        };
        self.n += 1;
        let value = value(size, &mut self.rng);
        let there = self.model.insert(key.clone(), value.clone()).is_some();
        assert_eq!(self.tree.insert(&key, &value).unwrap(), there);
        assert_eq!(self.tree.get(&key).unwrap(), Some(&value[..]));
    }
}

/// Grows, churns and empties a tree, in transactions of random length, with snapshots that are
/// checked before their pages may be reused.
fn run(page_size: usize, align_shift: u8, shape: Shape, steps: u64, seed: u64) {
    let tree = Tree::aligned(page_size, align_shift);
    let mut run = Run { tree, model: Model::new(), rng: Rng::with_seed(seed), shape, n: 0 };
    let mut snapshots = Vec::new();
    for removes in [10, 50, 95, 30, 100] {
        let mut left = steps;
        while left > 0 && (removes < 100 || !run.model.is_empty()) {
            for _ in 0..run.rng.u64(1..200).min(left) {
                run.step(removes);
                left -= 1;
            }
            check(&run.tree, &run.model);
            if removes == 100 {
                left = left.max(1);
            }
            snapshots.push((run.tree.store.txn_number(), run.tree.desc, run.model.clone()));
            run.tree.store.next_txn();
            if snapshots.len() == 4 {
                for (txn, desc, model) in snapshots.drain(..) {
                    check_snapshot(&run.tree.store, txn, &desc, &model);
                }
                run.tree.store.reclaim();
            }
        }
    }
    while let Some((key, _)) = run.model.pop_first() {
        assert!(run.tree.remove(&key).unwrap());
    }
    check(&run.tree, &run.model);
    assert_eq!(run.tree.desc, TableDescriptor { align_shift, ..Default::default() });
}

#[test]
fn every_shape_on_every_page_size() {
    for (i, page_size) in PAGE_SIZES.into_iter().enumerate() {
        for (j, shape) in SHAPES.into_iter().enumerate() {
            run(page_size, 0, shape, 1200 >> (i / 2), (i * 100 + j) as u64);
            let align_shift = SHIFTS[(i + j) % SHIFTS.len()];
            run(page_size, align_shift, shape, 600 >> (i / 2), (i * 100 + j + 50) as u64);
        }
    }
}

#[test]
fn longer_runs_on_small_pages() {
    for (j, shape) in SHAPES.into_iter().enumerate() {
        run(4096, 0, shape, 4000, 7000 + j as u64);
        run(4096, 1 + j as u8 % 6, shape, 3000, 7100 + j as u64);
    }
}

#[test]
#[ignore = "takes minutes; for changes of this module"]
fn many_seeds() {
    for seed in 0..60 {
        for (j, shape) in SHAPES.into_iter().enumerate() {
            let align_shift = SHIFTS[(seed + j) % SHIFTS.len()];
            run(PAGE_SIZES[seed % 3], align_shift, shape, 2500, 100_000 + (seed * 10 + j) as u64);
        }
    }
}

/// Each change under a newer id than the one before, as behind savepoints that were given up: no
/// page is ever younger than what leads to it, and nothing is copied.
#[test]
fn older_pages_of_the_transaction_get_the_newest_id() {
    for (shape, seed) in [(Shape::Longest, 1), (Shape::AnyLength, 2), (Shape::Breaking, 3)] {
        let tree = Tree::new(4096);
        let mut run = Run { tree, model: Model::new(), rng: Rng::with_seed(seed), shape, n: 0 };
        for removes in [10, 45, 80, 30, 70] {
            for _ in 0..700 {
                run.tree.store.renew();
                if run.rng.u8(..60) == 0 {
                    run.cut_out();
                } else {
                    run.step(removes);
                }
                check(&run.tree, &run.model);
            }
        }
        assert!(run.tree.store.old_pages().is_empty(), "nothing is older than the transaction");
    }
}
