//! Sets of values: in leaves, in trees of their own, in packed leaves, and what descriptors say of
//! them.

use super::Target;
use super::meta::{descriptors, lists};
use crate::hostile::bytes::{LEAF, LEAVES, Node, PACKED, TAG_SET, TAG_SET_TREE, get, put};

/// Bytes of a reference to a tree of values.
const REFERENCE: usize = 36;

/// Spoils a set, its tree, or its table.
pub fn sets(t: &mut Target<'_>) {
    let trees = cells(t, TAG_SET_TREE);
    let lists = cells(t, TAG_SET);
    match t.rng.u8(..16) {
        0..5 if !trees.is_empty() => tree(t, &trees),
        5..9 if !lists.is_empty() => list(t, &lists),
        9..12 => packed(t),
        12 => tag(t, trees, lists),
        _ => table(t),
    }
}

/// Where the bodies of all cells with this tag stand in the file.
fn cells(t: &mut Target<'_>, tag: u64) -> Vec<usize> {
    let size = t.page_size;
    let mut found = Vec::new();
    for id in 2..t.pages() {
        let page = t.page(id);
        let Some(node) = Node::of(page).filter(|node| !node.branch) else { continue };
        let bodies = (0..node.count).filter_map(|index| node.tagged(page, index, tag));
        found.extend(bodies.map(|body| id * size + body));
    }
    found
}

/// A number of bytes that values may have.
fn value_size(t: &mut Target<'_>) -> u64 {
    match t.rng.u8(..6) {
        0 => t.odd_small(),
        _ => [0, 1, 4, 8, 16, 1900][t.rng.usize(..6)],
    }
}

/// A page that may be free.
fn free_page(t: &mut Target<'_>) -> u64 {
    let meta = t.meta();
    let (at, count) = lists(t, meta)[0];
    if count == 0 {
        return t.odd();
    }
    let one = at + 8 * t.rng.usize(..count);
    get(t.image, one, 6)
}

fn tree(t: &mut Target<'_>, all: &[usize]) {
    let at = all[t.rng.usize(..all.len())];
    let (page, other) = (at / t.page_size, all[t.rng.usize(..all.len())]);
    match t.rng.u8(..8) {
        0..3 => {
            let root = match t.rng.u8(..6) {
                0 => page as u64,
                1 => get(t.image, other + 6, 6),
                2 => {
                    let tables = descriptors(t);
                    get(t.image, tables[t.rng.usize(..tables.len())], 6)
                }
                3 => free_page(t),
                4 => t.page_of(&[PACKED]).unwrap_or(page) as u64,
                _ => t.odd(),
            };
            put(t.image, at + 6, 6, root);
        }
        // All of another one: of this table, or of one whose values have another size.
        3 | 4 if at.max(other) + REFERENCE <= t.image.len() => {
            t.image.copy_within(other..other + REFERENCE, at);
        }
        5 => {
            let size = value_size(t);
            put(t.image, at + 2, 2, size);
        }
        6 => {
            let depth = t.rng.u64(..6);
            put(t.image, at + 4, 2, depth);
        }
        _ => {
            let (field, len) = [(0, 2), (12, 8), (20, 8), (28, 8)][t.rng.usize(..4)];
            let value = if t.rng.bool() { t.odd() } else { t.rng.u64(..8) };
            put(t.image, at + field, len, value);
        }
    }
}

fn list(t: &mut Target<'_>, all: &[usize]) {
    let at = all[t.rng.usize(..all.len())];
    let (size, count) = (get(t.image, at + 2, 2) as usize, get(t.image, at + 4, 2) as usize);
    let (a, b) = (t.rng.usize(..count.max(1)), t.rng.usize(..count.max(1)));
    match t.rng.u8(..5) {
        0 => {
            let value = if t.rng.bool() { t.odd_small() } else { get(t.image, at, 2) ^ 1 };
            put(t.image, at, 2, value);
        }
        1 => {
            let size = value_size(t);
            put(t.image, at + 2, 2, size);
        }
        2 => {
            let value = if t.rng.bool() { t.odd_small() } else { count as u64 ^ 1 };
            put(t.image, at + 4, 2, value);
        }
        // An end, or a value out of order or twice.
        _ if size == 0 => {
            let end = match t.rng.u8(..3) {
                0 => t.odd_small(),
                1 => get(t.image, at + 6 + 2 * b, 2),
                _ => get(t.image, at + 6 + 2 * b, 2) ^ 1,
            };
            put(t.image, at + 6 + 2 * a, 2, end);
        }
        _ => copy_value(t, at + 6, size, a, b),
    }
}

/// One of the values that stand side by side from `at` on also stands in the place of another, or
/// the two change places.
fn copy_value(t: &mut Target<'_>, at: usize, size: usize, a: usize, b: usize) {
    let (a, b) = (at + size * a, at + size * b);
    if a.max(b) + size > t.image.len() {
        return;
    }
    let of_a = t.image[a..a + size].to_vec();
    t.image.copy_within(b..b + size, a);
    if t.rng.bool() {
        t.image[b..b + size].copy_from_slice(&of_a);
    }
}

fn packed(t: &mut Target<'_>) {
    let Some(id) = t.page_of(&[PACKED]) else { return table(t) };
    let at = id * t.page_size;
    let (count, size) = (get(t.image, at + 6, 2) as usize, get(t.image, at + 20, 2) as usize);
    let (a, b) = (t.rng.usize(..count.max(1)), t.rng.usize(..count.max(1)));
    match t.rng.u8(..6) {
        0 => {
            let value = match t.rng.u8(..3) {
                0 => t.odd_small(),
                1 => count as u64 + 1,
                _ => t.rng.u64(..count.max(1) as u64),
            };
            put(t.image, at + 6, 2, value);
        }
        1 => {
            let size = value_size(t);
            put(t.image, at + 20, 2, size);
        }
        2 => {
            let value = t.odd_small();
            put(t.image, at + 16 + 2 * (a % 2), 2, value);
        }
        3 => put(t.image, at + 4, 1, u64::from(LEAF)),
        _ => copy_value(t, at + 24, size, a, b),
    }
}

/// A cell says that it holds something else; where there are no sets, some value becomes one.
fn tag(t: &mut Target<'_>, trees: Vec<usize>, lists: Vec<usize>) {
    let tags = [TAG_SET, TAG_SET_TREE, 0x8000, 0x8004, 36, 8, 0];
    let tag = tags[t.rng.usize(..tags.len())];
    let Some(id) = t.page_of(&LEAVES) else { return };
    let Some(node) = Node::of(t.page(id)) else { return };
    let index = t.rng.usize(..node.count);
    let page = t.page(id);
    let at = node.cell(page, index);
    let body = node.key_fields(page, index).1.end + id * t.page_size;
    put(t.page(id), at + 2, 2, tag);
    // A whole one in a table of another kind, as far as the cell has room.
    let from = t.rng.choice(trees.into_iter().chain(lists).collect::<Vec<_>>());
    let room = t.image.len().saturating_sub(body).min(REFERENCE);
    if let Some(from) = from.filter(|from| t.rng.bool() && from + room <= t.image.len()) {
        t.image.copy_within(from..from + room, body);
    }
}

/// What a descriptor says of sets.
fn table(t: &mut Target<'_>) {
    let all = descriptors(t);
    let at = all[t.rng.usize(..all.len())];
    let kind = get(t.image, at + 42, 1);
    match t.rng.u8(..6) {
        // A map becomes a table of sets, or the other way round, with what must be zero then.
        0 | 1 => {
            let values = [value_size(t), get(t.image, at + 8, 8)];
            let [size, pairs] = if kind == 0 { values } else { [0, 0] };
            put(t.image, at + 42, 1, kind ^ 1);
            put(t.image, at + 46, 2, size);
            put(t.image, at + 56, 8, pairs);
        }
        2 | 3 => {
            let size = value_size(t);
            put(t.image, at + 46, 2, size);
        }
        4 => {
            let pairs = t.odd();
            put(t.image, at + 56, 8, pairs);
        }
        // All trees of values have fewer pages than they have.
        _ => {
            let pages = if t.rng.bool() { t.odd() } else { t.rng.u64(..4) };
            put(t.image, at + 32, 8, pages);
        }
    }
}
