//! Meta pages, table descriptors and manifests.

use super::Target;
use crate::hostile::bytes::{LEAF, NODES, Node, get, put};

/// Bytes of a table descriptor, and the value tag of one.
pub const DESCRIPTOR: u64 = 64;
pub const TAG_TABLE: u64 = 0xc000 + DESCRIPTOR;
/// Fields of a descriptor: offset and length.
const FIELDS: [(usize, usize); 12] = [
    (0, 8),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 2),
    (43, 1),
    (48, 8),
    (42, 1),
    (44, 2),
    (46, 2),
    (56, 8),
];

/// Where descriptors stand in the file: in the metas, and in leaves of catalogs.
pub fn descriptors(t: &mut Target<'_>) -> Vec<usize> {
    let size = t.page_size;
    let mut found = vec![48, size + 48];
    for id in 2..t.pages() {
        let page = t.page(id);
        if page[4] != LEAF {
            continue;
        }
        let Some(node) = Node::of(page) else { continue };
        for index in 0..node.count {
            let at = node.cell(page, index);
            if get(page, at + 2, 2) >= TAG_TABLE {
                let value = at + 4 + (get(page, at, 2) as usize).saturating_sub(4);
                found.push(id * size + value);
            }
        }
    }
    found
}

/// A field of some descriptor.
pub fn descriptor(t: &mut Target<'_>) {
    let all = descriptors(t);
    let at = all[t.rng.usize(..all.len())];
    // Reserved fields are refused at once: the others say more.
    let most = if t.rng.u8(..8) == 0 { FIELDS.len() } else { 8 };
    let (field, len) = FIELDS[t.rng.usize(..most)];
    let value = match field {
        40 => t.rng.u64(..52),
        43 => t.rng.u64(..14),
        _ => t.odd(),
    };
    put(t.image, at + field, len, value);
}

/// Every descriptor counts as many pages and keys as it can without being refused, or more.
pub fn count_more(t: &mut Target<'_>) {
    let pages = t.pages() as u64;
    let leaves = if t.rng.bool() { pages.saturating_sub(pages / 2) } else { t.odd() };
    for at in descriptors(t) {
        if get(t.image, at, 8) != 0 {
            put(t.image, at + 8, 8, 1 << 40);
            put(t.image, at + 16, 8, pages / 2);
            put(t.image, at + 24, 8, leaves);
            put(t.image, at + 32, 8, 0);
        }
    }
}

/// Two tables have the same tree, or two branches the same child. Its pages may say that the next
/// transaction has written them, which will take them for its own, or the free lists may name them.
pub fn shared(t: &mut Target<'_>) {
    let pages = t.pages();
    let tables: Vec<usize> =
        descriptors(t).into_iter().skip(2).filter(|&at| get(t.image, at, 8) != 0).collect();
    if tables.len() > 1 && t.rng.u8(..4) > 0 {
        let (from, to) = (t.rng.usize(..tables.len()), t.rng.usize(..tables.len()));
        let (from, to) = (tables[from], tables[to]);
        if from.max(to) + DESCRIPTOR as usize <= t.image.len() {
            t.image.copy_within(from..from + DESCRIPTOR as usize, to);
        }
    } else {
        super::node::share_child(t);
    }
    if t.rng.bool() {
        super::space::lend(t);
    }
    if t.rng.bool() {
        // The ids that come next: above the ids and the limits of both metas.
        let ids = [0, t.page_size].into_iter().flat_map(|at| [at + 32, at + 320]);
        let newest = ids.map(|at| get(t.image, at, 8)).max().unwrap_or(0);
        let next = newest.wrapping_add(t.rng.u64(1..3));
        for id in 2..pages {
            if NODES.contains(&t.page(id)[4]) && t.rng.u8(..4) > 0 {
                put(t.page(id), 8, 8, next);
            }
        }
    }
}

/// Some descriptor leads to this page.
pub fn point(t: &mut Target<'_>, root: usize, depth: usize) {
    let all = descriptors(t);
    let at = all[t.rng.usize(..all.len())];
    put(t.image, at, 8, root as u64);
    put(t.image, at + 40, 2, depth as u64);
    let pages = t.pages() as u64;
    let (entries, leaves) = (t.odd(), if t.rng.u8(..4) == 0 { t.odd() } else { pages / 2 });
    put(t.image, at + 8, 8, entries);
    put(t.image, at + 16, 8, depth as u64);
    put(t.image, at + 24, 8, leaves);
}

/// A field of a meta page.
pub fn field(t: &mut Target<'_>) {
    let meta = t.meta();
    let (at, len) = [
        (8, 4),
        (12, 4),
        (16, 8),
        (32, 8),
        (32, 8),
        (40, 8),
        (40, 8),
        (112, 4),
        (116, 4),
        (120, 8),
        (128, 4),
        (132, 4),
        (300, 4),
    ][t.rng.usize(..13)];
    let value = match at {
        12 => 1 << t.rng.u32(10..18),
        16 => t.rng.u64(..),
        116 => t.rng.u64(..4),
        112 | 128 => t.rng.u64(..500),
        _ => t.odd(),
    };
    put(t.image, meta + at, len, value);
    if at == 32 && t.rng.bool() {
        // Both of one transaction, or one far ahead of the other.
        let other = if meta == 0 { t.page_size } else { 0 };
        let value = value.wrapping_add(t.rng.u64(..3)).wrapping_sub(1);
        put(t.image, other + at, len, value);
    }
}

/// Where the lists of a meta's body begin and how long they are: ready, inline entries of each
/// queue, manifest.
pub fn lists(t: &Target<'_>, meta: usize) -> [(usize, usize); 7] {
    let mut at = meta + 512;
    let mut lists = [(0, 0); 7];
    let queue = |i: usize| get(t.image, meta + 136 + 32 * i + 26, 2) as usize;
    let counts = [
        (8, get(t.image, meta + 128, 4) as usize),
        (24, queue(0)),
        (24, queue(1)),
        (24, queue(2)),
        (24, queue(3)),
        (24, queue(4)),
        (12, get(t.image, meta + 112, 4) as usize),
    ];
    for (list, (size, count)) in lists.iter_mut().zip(counts) {
        let count = count.min(500);
        *list = (at, count);
        at += size * count;
    }
    lists
}

/// An entry of a manifest, or a manifest where there was none.
pub fn manifest(t: &mut Target<'_>) {
    let meta = t.meta();
    let (at, count) = lists(t, meta)[6];
    if count == 0 || t.rng.u8(..8) == 0 {
        put(t.image, meta + 116, 4, 1);
        let count = t.rng.u64(..400);
        return put(t.image, meta + 112, 4, count);
    }
    let entry = at + 12 * t.rng.usize(..count);
    match t.rng.u8(..4) {
        0 => {
            let pages = t.odd_small();
            put(t.image, entry + 10, 2, pages);
        }
        1 => {
            let other = at + 12 * t.rng.usize(..count);
            let page = get(t.image, other, 6);
            put(t.image, entry, 6, page);
        }
        _ => {
            let page = t.odd();
            put(t.image, entry, 6, page);
        }
    }
}
