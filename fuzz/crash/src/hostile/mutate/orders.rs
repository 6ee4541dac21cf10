//! Plain pages, and what descriptors say of the order of keys.
//!
//! Much of it leaves a page whole but for what is spoiled, with heads that fit: then only whoever
//! knows the order can tell.

use super::Target;
use super::meta::{DESCRIPTOR, TAG_TABLE, descriptors};
use crate::hostile::bytes::{BRANCH, LEAF, Node, PLAIN_BRANCH, PLAIN_LEAF, get, put};
use crate::hostile::orders::{CUSTOM, FUNCTIONS, head};

/// Where the order and the sequence stand in a descriptor.
const ORDER: usize = 44;
const SEQUENCE: usize = 48;
/// Kinds of table options: the name of the type of the keys, and that of their order.
const KEY_TYPE: u64 = 1;
const ORDER_NAME: u64 = 3;
/// Feature word of a meta, and the bits of whole keys and of sequences.
const READ_FEATURES: usize = 304;
const WHOLE_KEYS: u64 = 8;
const SEQUENCES: u64 = 16;

/// A key of a plain page.
#[derive(Clone, Copy)]
struct Place {
    page: usize,
    node: Node,
    index: usize,
    /// The order that its table seems to have.
    order: u64,
}

/// Spoils a plain page, or what is said of a table that has them.
pub fn orders(t: &mut Target<'_>) {
    match t.rng.u8(..24) {
        0..4 => swapped(t),
        4..8 => changed(t),
        8..10 => length(t),
        10..12 => wrong_head(t),
        12..14 => slots(t),
        14 => layout(t),
        15..19 => descriptor(t),
        19..22 => name(t),
        22 => sequence(t),
        _ => features(t),
    }
}

fn place(t: &mut Target<'_>, kinds: &[u8]) -> Option<Place> {
    let page = t.page_of(kinds)?;
    let node = Node::of(t.page(page))?;
    let index = t.rng.usize(..node.count);
    let order = (1..=CUSTOM).find(|&order| {
        let page = t.page(page);
        (0..node.count).all(|at| {
            get(page, node.heads + 4 * at, 4) == u64::from(head(order, &node.key(page, at)))
        })
    });
    Some(Place { page, node, index, order: order.unwrap_or(t.rng.u64(1..=CUSTOM)) })
}

const BOTH: [u8; 2] = [PLAIN_BRANCH, PLAIN_LEAF];

/// Makes the head of a key that of its bytes, mostly.
fn mend_head(t: &mut Target<'_>, place: &Place, index: usize) {
    if t.rng.u8(..8) > 0 {
        let page = t.page(place.page);
        let head = head(place.order, &place.node.key(page, index));
        put(page, place.node.heads + 4 * index, 4, head.into());
    }
}

/// The bytes of two keys of one length change places, or one is there twice, perhaps in two pages.
fn swapped(t: &mut Target<'_>) {
    let Some(to) = place(t, &BOTH) else { return };
    let from = if t.rng.bool() { place(t, &BOTH).unwrap_or(to) } else { to };
    let len = to.node.key(t.page(to.page), to.index).len();
    let (page, node) = (from.page, from.node);
    let like: Vec<usize> =
        (0..node.count).filter(|&i| node.key(t.page(page), i).len() == len).collect();
    let Some(&index) = t.rng.choice(&like) else { return };
    let both = t.rng.bool();
    let (mine, theirs) = (to.node.key(t.page(to.page), to.index), node.key(t.page(page), index));
    set_key(t, &to, to.index, &theirs);
    if both {
        set_key(t, &from, index, &mine);
    }
}

/// A byte of a key is another one.
fn changed(t: &mut Target<'_>) {
    let kinds = if t.rng.bool() { &BOTH[..1] } else { &BOTH };
    let Some(place) = place(t, kinds) else { return };
    let mut key = place.node.key(t.page(place.page), place.index);
    if key.is_empty() {
        return;
    }
    let byte = [0, key.len() - 1, t.rng.usize(..key.len())][t.rng.usize(..3)];
    key[byte] = match t.rng.u8(..4) {
        0 => key[byte].wrapping_add(1),
        1 => key[byte].wrapping_sub(1),
        2 => key[byte] ^ 1 << t.rng.u32(..8),
        _ => t.rng.u8(..),
    };
    set_key(t, &place, place.index, &key);
}

/// Puts another key of the same length there.
fn set_key(t: &mut Target<'_>, place: &Place, index: usize, key: &[u8]) {
    let page = t.page(place.page);
    let (_, bytes) = place.node.key_fields(page, index);
    if let Some(bytes) = page.get_mut(bytes).filter(|bytes| bytes.len() == key.len()) {
        bytes.copy_from_slice(key);
        mend_head(t, place, index);
    }
}

/// A key is longer or shorter, and in a leaf its value shorter or longer, so that the cell ends
/// where it did.
fn length(t: &mut Target<'_>) {
    let Some(place) = place(t, &BOTH) else { return };
    let by = [1, 2, 4, 8, 300][t.rng.usize(..5)];
    let longer = t.rng.bool();
    let odd = if t.rng.u8(..4) == 0 { Some(t.odd_small()) } else { None };
    let page = t.page(place.page);
    let (len_at, _) = place.node.key_fields(page, place.index);
    let moved = |len: u64, longer: bool| if longer { len + by } else { len.saturating_sub(by) };
    let (len, value) = (get(page, len_at, 2), get(page, len_at + 2, 2));
    put(page, len_at, 2, odd.unwrap_or(moved(len, longer)));
    if !place.node.branch && odd.is_none() && value < 0x8000 {
        put(page, len_at + 2, 2, moved(value, !longer));
    }
    mend_head(t, &place, place.index);
}

/// The head of another key, of another order, or one that is a little off.
fn wrong_head(t: &mut Target<'_>) {
    let Some(place) = place(t, &BOTH) else { return };
    let (other, order) = (t.rng.usize(..place.node.count), t.rng.u64(1..=CUSTOM));
    let (choice, bit, odd) = (t.rng.u8(..4), t.rng.u32(..32), t.odd());
    let page = t.page(place.page);
    let at = place.node.heads + 4 * place.index;
    let value = match choice {
        0 => get(page, place.node.heads + 4 * other, 4),
        1 => head(order, &place.node.key(page, place.index)).into(),
        2 => get(page, at, 4) ^ 1 << bit,
        _ => odd,
    };
    put(page, at, 4, value);
}

/// Two cells change places, or one stands in two, with their heads or without.
fn slots(t: &mut Target<'_>) {
    let Some(place) = place(t, &BOTH) else { return };
    let (a, b) = (place.index, t.rng.usize(..place.node.count));
    let (both, heads) = (t.rng.bool(), t.rng.u8(..4) > 0);
    let page = t.page(place.page);
    for (start, size) in [(place.node.slots, 2), (place.node.heads, 4)] {
        let (of_a, of_b) = (get(page, start + size * a, size), get(page, start + size * b, size));
        if size == 2 || heads {
            put(page, start + size * b, size, of_a);
            if both {
                put(page, start + size * a, size, of_b);
            }
        }
    }
}

/// A plain page says that its keys stand in pieces, or the other way round, or that they have a
/// prefix.
fn layout(t: &mut Target<'_>) {
    let Some(id) = t.page_of(&[BRANCH, LEAF, PLAIN_BRANCH, PLAIN_LEAF]) else { return };
    let (prefix, len) = (t.rng.u8(..3) == 0, t.odd_small());
    let page = t.page(id);
    if prefix {
        return put(page, 20, 2, len);
    }
    page[4] = if page[4] < PLAIN_BRANCH { page[4] + 4 } else { page[4] - 4 };
}

/// Descriptors of tables with whole keys.
fn tables(t: &mut Target<'_>) -> Vec<usize> {
    let all = descriptors(t);
    all.into_iter().filter(|at| (1..=CUSTOM).contains(&get(t.image, at + ORDER, 2))).collect()
}

/// A table is in another order. A name of the type of its keys may become the name of the order, or
/// the other way round; its heads may become those of the new order.
fn descriptor(t: &mut Target<'_>) {
    let tables = tables(t);
    let Some(&at) = t.rng.choice(&tables) else { return };
    let order = if t.rng.u8(..8) == 0 { t.odd_small() } else { t.rng.u64(..=CUSTOM) };
    let was = get(t.image, at + ORDER, 2);
    put(t.image, at + ORDER, 2, order);
    let option = at + DESCRIPTOR as usize;
    if t.rng.u8(..8) > 0 {
        let (mine, new) = match order {
            CUSTOM => (KEY_TYPE, ORDER_NAME),
            _ if was == CUSTOM => (ORDER_NAME, KEY_TYPE),
            _ => (0, 0),
        };
        if get(t.image, option, 1) == mine {
            put(t.image, option, 1, new);
        }
    }
    if t.rng.u8(..4) > 0 {
        let depth = get(t.image, at + 40, 2);
        mend_heads(t, get(t.image, at, 8), depth, order);
    }
}

/// Gives the pages of a tree the heads of an order.
fn mend_heads(t: &mut Target<'_>, root: u64, depth: u64, order: u64) {
    let mut level = vec![root];
    for _ in 0..depth.min(8) {
        let mut below = Vec::new();
        for id in std::mem::take(&mut level) {
            if id as usize >= t.pages() {
                continue;
            }
            let page = t.page(id as usize);
            let Some(node) = Node::of(page).filter(|node| node.plain) else { continue };
            for index in 0..node.count {
                let head = head(order, &node.key(page, index));
                put(page, node.heads + 4 * index, 4, head.into());
            }
            if node.branch {
                below.extend((0..=node.count).map(|index| node.child(page, index)));
            }
        }
        below.truncate(64);
        level = below;
    }
}

/// The name of an order is another one, of a function that there is or of none, or no name.
fn name(t: &mut Target<'_>) {
    let all = descriptors(t);
    let options: Vec<usize> = all
        .into_iter()
        .map(|at| at + DESCRIPTOR as usize)
        .filter(|&at| [KEY_TYPE, ORDER_NAME].contains(&get(t.image, at, 1)))
        .collect();
    let Some(&at) = t.rng.choice(&options) else { return };
    let len = get(t.image, at + 1, 1) as usize;
    match t.rng.u8(..6) {
        0 => {
            let kind = t.rng.u64(..5);
            put(t.image, at, 1, kind);
        }
        1 => {
            let len = t.rng.u64(..256);
            put(t.image, at + 1, 1, len);
        }
        2 | 3 => {
            let byte = at + 2 + t.rng.usize(..len.max(1));
            let value = t.rng.u64(..256);
            put(t.image, byte, 1, value);
        }
        _ => {
            let (name, _) = FUNCTIONS[t.rng.usize(..FUNCTIONS.len())];
            shorten(t, at, name);
        }
    }
}

/// The option has this name, if that is no longer than the one it has; what is left of that is dead
/// bytes of its page.
fn shorten(t: &mut Target<'_>, at: usize, name: &str) {
    let len = get(t.image, at + 1, 1) as usize;
    let Some(gone) = len.checked_sub(name.len()) else { return };
    put(t.image, at + 1, 1, name.len() as u64);
    for (i, byte) in name.bytes().enumerate() {
        put(t.image, at + 2 + i, 1, byte.into());
    }
    let page = at / t.page_size;
    let Some(node) = Node::of(t.page(page)) else { return };
    let descriptor = at % t.page_size - DESCRIPTOR.min((at % t.page_size) as u64) as usize;
    let page = t.page(page);
    let cells = (0..node.count).filter(|&i| node.key_fields(page, i).1.end == descriptor);
    let Some(cell) = cells.map(|i| node.cell(page, i)).next() else { return };
    let tag = get(page, cell + 2, 2);
    if tag >= TAG_TABLE + gone as u64 {
        put(page, cell + 2, 2, tag - gone as u64);
        let dead = get(page, 18, 2) + gone as u64;
        put(page, 18, 2, dead);
    }
}

/// The last number that a table has given out.
fn sequence(t: &mut Target<'_>) {
    let all = descriptors(t);
    let at = all[t.rng.usize(..all.len())];
    let value = t.odd();
    put(t.image, at + SEQUENCE, 8, value);
}

/// The metas do not say that there are whole keys, or sequences.
fn features(t: &mut Target<'_>) {
    let bit = if t.rng.u8(..4) > 0 { WHOLE_KEYS } else { SEQUENCES };
    for meta in [0, t.page_size] {
        let features = get(t.image, meta + READ_FEATURES, 4);
        put(t.image, meta + READ_FEATURES, 4, features ^ bit);
    }
}
