//! Free space: ready extents, queues and their entries, log pages. Whoever believes a bad free list
//! overwrites a good tree.

use super::Target;
use super::meta::lists;
use crate::hostile::bytes::{LOG, NODES, get, put};

/// A ready extent: moved, lengthened, doubled, or one more than there were.
pub fn ready(t: &mut Target<'_>) {
    let meta = t.meta();
    let (at, count) = lists(t, meta)[0];
    if count == 0 || t.rng.u8(..8) == 0 {
        return insert(t, meta, at, 8, |t| put_u32_add(t, meta + 128));
    }
    let (one, other) = (at + 8 * t.rng.usize(..count), at + 8 * t.rng.usize(..count));
    extent(t, one, other);
}

/// Every ready extent is a page of a tree: the next transaction will write to pages that are still
/// read, some of them twice.
pub fn lend(t: &mut Target<'_>) {
    let meta = t.meta();
    let (at, count) = lists(t, meta)[0];
    if count == 0 {
        return insert(t, meta, at, 8, |t| put_u32_add(t, meta + 128));
    }
    for one in 0..count {
        let Some(page) = t.page_of(&NODES) else { return };
        put(t.image, at + 8 * one, 6, page as u64);
        put(t.image, at + 8 * one + 6, 2, 1);
    }
}

/// An entry of a queue in the meta page.
pub fn entry(t: &mut Target<'_>) {
    let meta = t.meta();
    let lists = lists(t, meta);
    let used: Vec<usize> = (1..6).filter(|&i| lists[i].1 > 0).collect();
    let Some(queue) = t.rng.choice(used) else {
        return insert(t, meta, lists[1].0, 24, |t| {
            let count = get(t.image, meta + 136 + 26, 2);
            put(t.image, meta + 136 + 26, 2, count + 1);
        });
    };
    let (at, count) = lists[queue];
    let (one, other) = (at + 24 * t.rng.usize(..count), at + 24 * t.rng.usize(..count));
    free_entry(t, one, other);
}

/// A free entry: its extent, or the snapshots that see it.
fn free_entry(t: &mut Target<'_>, at: usize, other: usize) {
    match t.rng.u8(..5) {
        0 => {
            let birth = t.odd();
            put(t.image, at + 8, 8, birth);
        }
        1 => {
            let death = t.odd();
            put(t.image, at + 16, 8, death);
        }
        // A map: its pages may be used at once.
        2 => {
            let start = get(t.image, at, 6) & !63;
            put(t.image, at, 6, start);
            let (groups, bits) = match t.rng.u8(..3) {
                0 => (t.odd_small(), u64::MAX),
                _ => (1, t.rng.u64(..) & t.rng.u64(..)),
            };
            put(t.image, at + 6, 2, groups);
            put(t.image, at + 8, 8, bits);
            put(t.image, at + 16, 8, 0);
        }
        _ => extent(t, at, other),
    }
}

/// Pages that are in use, or free already, or not there.
fn extent(t: &mut Target<'_>, at: usize, other: usize) {
    match t.rng.u8(..4) {
        0 => {
            let len = if t.rng.bool() { t.rng.u64(..6) } else { t.odd_small() };
            put(t.image, at + 6, 2, len);
        }
        1 => {
            let start = get(t.image, other, 6);
            put(t.image, at, 6, start);
        }
        _ => {
            let start = t.odd();
            put(t.image, at, 6, start);
        }
    }
}

/// Makes room for an entry and fills it with pages that are in use.
fn insert(
    t: &mut Target<'_>,
    meta: usize,
    at: usize,
    size: usize,
    count: impl Fn(&mut Target<'_>),
) {
    let end = (meta + 4096).min(t.image.len());
    if at + size > end {
        return;
    }
    t.image.copy_within(at..end - size, at + size);
    t.image[at..at + size].fill(0);
    let start = t.any_page().unwrap_or(2) as u64;
    put(t.image, at, 6, start);
    let len = t.rng.u64(1..4);
    put(t.image, at + 6, 2, len);
    count(t);
    if t.rng.bool() {
        let free = get(t.image, meta + 120, 8).wrapping_add(len);
        put(t.image, meta + 120, 8, free);
    }
}

fn put_u32_add(t: &mut Target<'_>, at: usize) {
    let count = get(t.image, at, 4).wrapping_add(1);
    put(t.image, at, 4, count);
}

/// The head of a queue: its pin, its log pages, its counts.
pub fn queue(t: &mut Target<'_>) {
    let meta = t.meta();
    let queue = meta + 136 + 32 * t.rng.usize(..5);
    let (at, len) = [(0, 8), (8, 8), (16, 8), (24, 2), (26, 2), (28, 4)][t.rng.usize(..6)];
    let value = match at {
        8 | 16 if t.rng.bool() => t.page_of(&[LOG]).unwrap_or(2) as u64,
        24 | 26 => t.rng.u64(..200),
        28 if t.rng.bool() => t.rng.u64(..5),
        _ => t.odd(),
    };
    put(t.image, queue + at, len, value);
}

/// A log page: its count, its successor, one of its entries. Where there is none some page becomes
/// one.
pub fn log_page(t: &mut Target<'_>) {
    let page = match t.page_of(&[LOG]) {
        Some(id) => id * t.page_size,
        None => {
            let Some(id) = t.any_page() else { return };
            let meta = t.meta();
            put(t.image, meta + 136 + 8, 8, id as u64);
            put(t.image, meta + 136 + 28, 4, 1);
            put(t.image, id * t.page_size + 4, 4, 3 | 1 << 16);
            id * t.page_size
        }
    };
    let count = (get(t.image, page + 6, 2) as usize).clamp(1, (t.page_size - 32) / 24);
    match t.rng.u8(..6) {
        0 => {
            let count = t.odd_small();
            put(t.image, page + 6, 2, count);
        }
        1 => {
            // Back to itself, or anywhere.
            let next = if t.rng.bool() { (page / t.page_size) as u64 } else { t.odd() };
            put(t.image, page + 24, 8, next);
        }
        _ => {
            let entry = |t: &mut Target<'_>| page + 32 + 24 * t.rng.usize(..count);
            let (one, other) = (entry(t), entry(t));
            free_entry(t, one, other);
        }
    }
}
