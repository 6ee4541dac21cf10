//! Branch and leaf pages.

use super::Target;
use super::meta::TAG_TABLE;
use crate::hostile::bytes::{
    BRANCH, BRANCHES, LEAF, LEAVES, LOG, NODES, Node, PACKED, PLAIN_BRANCH, PLAIN_LEAF,
    TAG_ALIGNED, get, put,
};

/// A field of the header of some page.
pub fn header(t: &mut Target<'_>) {
    let Some(id) = t.page_of(&[BRANCH, LEAF, LOG, PACKED, PLAIN_BRANCH, PLAIN_LEAF]) else {
        return;
    };
    let (at, len) =
        [(4, 1), (5, 1), (6, 2), (8, 8), (16, 2), (18, 2), (20, 2), (22, 2)][t.rng.usize(..8)];
    let value = match at {
        4 => t.rng.u64(..8),
        5 => t.rng.u64(..60),
        8 => t.odd(),
        _ => t.odd_small(),
    };
    put(t.page(id), at, len, value);
}

/// A branch and its arrays.
fn branch(t: &mut Target<'_>) -> Option<(usize, Node)> {
    let id = t.page_of(&BRANCHES)?;
    Node::of(t.page(id)).map(|node| (id, node))
}

/// A branch or leaf, and one of its keys.
fn node(t: &mut Target<'_>, kinds: &[u8]) -> Option<(usize, Node, usize)> {
    let id = t.page_of(kinds)?;
    let node = Node::of(t.page(id))?;
    Some((id, node, t.rng.usize(..node.count)))
}

fn set_child(page: &mut [u8], node: &Node, index: usize, child: u64) {
    match index {
        0 => put(page, 24, 8, child),
        _ => put(page, node.cell(page, index - 1), 6, child),
    }
}

/// A child pointer leads to the page itself, to another page, out of the file.
pub fn child(t: &mut Target<'_>) {
    let Some((id, node)) = branch(t) else { return };
    let index = t.rng.usize(..node.count + 1);
    let target = match t.rng.u8(..6) {
        0 => id as u64,
        1 => t.page_of(&BRANCHES).unwrap_or(id) as u64,
        2 => t.page_of(&LEAVES).unwrap_or(id) as u64,
        3 => get(t.page(id), 24, 8),
        _ => t.odd(),
    };
    set_child(t.page(id), &node, index, target);
}

/// A child of a branch is also one of another branch of its level, or stands in two places of one.
pub fn share_child(t: &mut Target<'_>) {
    let Some((from, theirs)) = branch(t) else { return };
    let level = t.page(from)[5];
    for _ in 0..8 {
        let Some((to, node)) = branch(t).filter(|(to, _)| t.image[to * t.page_size + 5] == level)
        else {
            continue;
        };
        let source = t.rng.usize(..theirs.count + 1);
        let child = theirs.child(t.page(from), source);
        let index = t.rng.usize(..node.count + 1);
        return set_child(t.page(to), &node, index, child);
    }
}

/// All children of all branches of a level are the same one, and every count says that there are
/// very many: as many ways down as there are keys to the power of the depth.
pub fn knot(t: &mut Target<'_>) {
    let Some((first, _)) = branch(t) else { return };
    let everywhere = t.rng.bool();
    for id in 2..t.pages() {
        let page = t.page(id);
        if !BRANCHES.contains(&page[4]) || !everywhere && id != first {
            continue;
        }
        let Some(node) = Node::of(page) else { continue };
        let child = get(page, 24, 8);
        (1..=node.count).for_each(|index| set_child(page, &node, index, child));
    }
    if t.rng.bool() {
        super::meta::count_more(t);
    }
}

/// A tree of branches over branches, each of them all children of the next: thousands of ways down
/// from a level, to the power of the levels.
pub fn tower(t: &mut Target<'_>) {
    let Some(mut child) = t.page_of(&LEAVES) else { return };
    let levels = t.rng.usize(1..20);
    let count = t.rng.usize(1..(t.page_size - 64) / 14);
    let birth = if t.rng.bool() { 1 } else { t.odd() };
    for level in 1..=levels {
        let Some(id) = t.any_page().filter(|&id| id != child) else { return };
        let page = t.page(id);
        page.fill(0);
        for (at, len, value) in [
            (4, 1, u64::from(BRANCH)),
            (5, 1, level as u64),
            (6, 2, count as u64),
            (8, 8, birth),
            (16, 2, 8 * count as u64),
            (24, 8, child as u64),
        ] {
            put(page, at, len, value);
        }
        for index in 0..count {
            let cell = page.len() - 8 * (count - index);
            put(page, 32 + 4 * index, 4, index as u64);
            put(page, 32 + 4 * count + 2 * index, 2, cell as u64);
            put(page, cell, 6, child as u64);
            put(page, cell + 6, 2, 4);
        }
        child = id;
    }
    super::meta::point(t, child, levels + 1);
}

/// A slot leads elsewhere, perhaps into another cell.
pub fn slot(t: &mut Target<'_>) {
    let Some((id, node, index)) = node(t, &NODES) else { return };
    let other = t.rng.usize(..node.count);
    let (choice, odd) = (t.rng.u8(..4), t.odd_small());
    let page = t.page(id);
    let value = match choice {
        0 => node.cell(page, other) as u64,
        1 => node.cell(page, other) as u64 + odd % 16,
        2 => page.len() as u64 - odd % 16,
        _ => odd,
    };
    put(page, node.slots + 2 * index, 2, value);
}

/// A head that is not the start of its key.
pub fn head(t: &mut Target<'_>) {
    let Some((id, node, index)) = node(t, &NODES) else { return };
    let value = t.odd();
    put(t.page(id), node.heads + 4 * index, 4, value);
}

/// The length of a key, or of a value, in its cell.
pub fn cell(t: &mut Target<'_>) {
    let Some((id, node, index)) = node(t, &NODES) else { return };
    let (value, tag) = (t.odd_small(), t.rng.bool());
    let page = t.page(id);
    let (key_len, _) = node.key_fields(page, index);
    put(page, if tag && !node.branch { key_len + 2 } else { key_len }, 2, value);
}

/// Two keys change places, or the same key stands in two places.
pub fn order(t: &mut Target<'_>) {
    let Some((id, node, a)) = node(t, &NODES) else { return };
    let b = t.rng.usize(..node.count);
    let both = t.rng.bool();
    let page = t.page(id);
    for (start, size) in [(node.heads, 4), (node.slots, 2)] {
        let (at_a, at_b) = (start + size * a, start + size * b);
        let (of_a, of_b) = (get(page, at_a, size), get(page, at_b, size));
        put(page, at_b, size, of_a);
        if both {
            put(page, at_a, size, of_b);
        }
    }
}

/// A field of an overflow reference or of an aligned value; where there is none, a value becomes
/// one.
pub fn overflow(t: &mut Target<'_>) {
    for _ in 0..8 {
        let Some((id, node, index)) = node(t, &LEAVES) else { return };
        let page = t.page(id);
        if let Some(at) = node.overflow(page, index) {
            let (field, len) =
                [(0, 8), (8, 8), (8, 8), (16, 8), (24, 4), (28, 4)][t.rng.usize(..6)];
            let value = match (field, t.rng.u8(..3)) {
                (8, 0) => t.rng.u64(..20) * t.page_size as u64 + t.rng.u64(..3),
                _ => t.odd(),
            };
            return put(t.page(id), at + field, len, value);
        }
        if let Some(at) = node.aligned(page, index) {
            let (field, len) = [(0, 2), (0, 1), (2, 1), (3, 1), (4, 1)][t.rng.usize(..5)];
            let value = if t.rng.bool() { t.odd() } else { t.rng.u64(..80) };
            return put(t.page(id), at + field, len, value);
        }
        if t.rng.u8(..6) == 0 {
            let at = node.cell(t.page(id), index);
            let tags = [0x8000, 0x8001, TAG_ALIGNED, 0xc000, TAG_TABLE, TAG_TABLE + 1, 64];
            let tag = tags[t.rng.usize(..tags.len())];
            return put(t.page(id), at + 2, 2, tag);
        }
    }
}
