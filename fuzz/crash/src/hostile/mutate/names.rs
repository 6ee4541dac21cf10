//! Named snapshots, as the system tree lists them.

use super::Target;
use crate::hostile::bytes::{LEAF, Node, get, put};

/// Bytes that are said of a snapshot, the descriptor of its catalog among them.
pub const SNAPSHOT: usize = 96;
/// Where the descriptor stands in them.
const CATALOG: usize = 32;

/// Spoils what is said of a snapshot, or only when it was named, which may be anything.
pub fn names(t: &mut Target<'_>) {
    let all = entries(t);
    let (Some(&at), Some(&other)) = (t.rng.choice(&all), t.rng.choice(&all)) else { return };
    match t.rng.u8(..12) {
        0..6 => {
            let time = t.rng.u64(..);
            put(t.image, at + 24, 8, time);
        }
        // The transactions whose state it is, that named it, and that dropped it.
        field @ 6..9 => {
            let id = t.odd();
            put(t.image, at + 8 * (usize::from(field) - 6), 8, id);
        }
        9 => t.image.copy_within(other..other + SNAPSHOT, at),
        10 => t.image.copy_within(other + CATALOG..other + SNAPSHOT, at + CATALOG),
        _ => {
            let byte = at + t.rng.usize(..SNAPSHOT);
            t.image[byte] ^= 1 << t.rng.u32(..8);
        }
    }
}

/// Where that stands, in pages that the newest meta leads to.
fn entries(t: &mut Target<'_>) -> Vec<usize> {
    let (size, whole) = (t.page_size, t.pages());
    let live = t.origin.map_or(&[][..], |origin| &origin.live);
    live.iter()
        .filter(|&&id| id < whole)
        .flat_map(|&id| {
            listed(&t.image[id * size..][..size]).into_iter().map(move |at| id * size + at)
        })
        .collect()
}

/// Where a leaf has what is said of a snapshot.
pub fn listed(page: &[u8]) -> Vec<usize> {
    let Some(node) = Node::of(page).filter(|_| page[4] == LEAF) else { return Vec::new() };
    let values = (0..node.count).filter_map(|index| node.tagged(page, index, SNAPSHOT as u64));
    let is_one = |&at: &usize| {
        let [txn, created] = [get(page, at, 8), get(page, at + 8, 8)];
        at + SNAPSHOT <= page.len() && 0 < txn && txn < created
    };
    values.filter(is_one).collect()
}
