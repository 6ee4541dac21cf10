//! How entries are divided among pages, against trying every way.

use crate::format::node::build::{Body, Item, Plan};
use crate::format::node::key::KeyParts;
use crate::format::node::max_key_len;
use crate::format::order::KeyOrder;
use crate::tree::split::{Cut, Part, divide};
use fastrand::Rng;
use std::collections::BTreeMap;

const SIZE: usize = 4096;

/// Keys of lengths that make splits hard, with values where `level` is 0.
fn pairs(level: u8, rng: &mut Rng) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let max = max_key_len(SIZE);
    let long = rng.bool();
    (0..rng.usize(1..9))
        .map(|_| {
            let len = if rng.u8(..3) > 0 { max - rng.usize(..30) } else { rng.usize(1..max) };
            let shared = if long { rng.usize(..len) } else { 0 };
            let mut key = vec![b'k'; shared];
            key.resize_with(len, || rng.u8(..));
            let overflow = if level == 0 { rng.usize(..33) } else { 0 };
            (key, vec![0; overflow])
        })
        .collect()
}

fn fits(level: u8, items: &[Item<'_>]) -> bool {
    Plan::of(level, items, KeyOrder::PACKED).used <= SIZE
}

/// Fewest pages that can hold the entries, by trying every first page.
fn fewest(level: u8, items: &[Item<'_>], between: usize) -> Option<usize> {
    if items.is_empty() {
        return None;
    }
    if fits(level, items) {
        return Some(1);
    }
    (1..items.len().saturating_sub(between))
        .filter(|&end| fits(level, &items[..end]))
        .filter_map(|end| fewest(level, &items[end + between..], between))
        .min()
        .map(|pages| pages + 1)
}

#[test]
fn as_few_pages_as_possible() {
    let mut rng = Rng::with_seed(51);
    let mut seen = [0; 10];
    for _ in 0..6000 {
        let level = rng.u8(..2);
        let between = usize::from(level > 0);
        let pairs = pairs(level, &mut rng);
        let items: Vec<Item<'_>> = pairs
            .iter()
            .map(|(k, v)| Item { key: KeyParts::of(k, 0), body: Body::inline(v) })
            .collect();
        for cut in [Cut::Middle, Cut::Left, Cut::Right] {
            let parts = divide(level, SIZE, KeyOrder::PACKED, &items, cut, SIZE);
            assert_eq!(Some(parts.len()), fewest(level, &items, between));
            seen[parts.len()] += 1;
            let mut start = 0;
            for part in &parts {
                let plan = Plan::of(level, &items[part.start..part.end], KeyOrder::PACKED);
                assert!(part.start == start && part.end > start && plan.used <= SIZE);
                assert_eq!(plan.prefix_len, part.prefix_len);
                start = part.end + between;
            }
            assert_eq!(start, items.len() + between);
        }
    }
    assert!(seen[1] > 100 && seen[2] > 100 && seen[3] > 100 && seen[4] > 10, "{seen:?}");
}

#[test]
fn cuts_go_where_they_are_asked_to() {
    let keys: Vec<[u8; 8]> = (0..100u64).map(u64::to_be_bytes).collect();
    let value = [0; 60];
    let items: Vec<Item<'_>> =
        keys.iter().map(|k| Item { key: KeyParts::of(k, 0), body: Body::inline(&value) }).collect();
    let ends = |cut, limit| -> Vec<Part> { divide(0, SIZE, KeyOrder::PACKED, &items, cut, limit) };
    let [left, right] = ends(Cut::Right, SIZE)[..] else { panic!() };
    assert!(!fits(0, &items[..left.end + 1]) && right.end == 100);
    let [left, _] = ends(Cut::Left, SIZE)[..] else { panic!() };
    assert!(!fits(0, &items[left.end - 1..]));
    let [left, _] = ends(Cut::Middle, SIZE)[..] else { panic!() };
    assert!(left.end.abs_diff(50) <= 7);
    // A page that could be full to the brim is cut where some room is asked for.
    let few = &items[..50];
    assert_eq!(divide(0, SIZE, KeyOrder::PACKED, few, Cut::Middle, SIZE).len(), 1);
    assert_eq!(divide(0, SIZE, KeyOrder::PACKED, few, Cut::Middle, SIZE / 2).len(), 2);
}
