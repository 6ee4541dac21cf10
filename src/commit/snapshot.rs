//! What readers are shown of a snapshot: its descriptor in the shared memory.

use super::check_word::check_word;
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::meta::Meta;
use crate::shared::Shared;
use crate::shared::layout::Descriptor;
use crate::types::{PageId, TxnId};

/// Page numbers and counts have so many bits; above them stands what belongs to the system tree.
const HALF: u32 = 48;
const LOW: u64 = (1 << HALF) - 1;
/// And above so many bits of the catalog's depth its root.
const DEPTH: u32 = 16;

/// The words of a descriptor beside the transaction id.
pub fn encode_snapshot(meta: &Meta) -> Descriptor {
    let (c, s) = (&meta.catalog, &meta.system);
    // Counts bound walks only; so many pages the system tree never has.
    let short = |n: u64| n.min(u16::MAX.into()) << HALF;
    let words = [
        meta.txn.0,
        meta.page_count | u64::from(s.depth) << HALF,
        c.root.0,
        u64::from(c.depth) | s.root.0 << DEPTH,
        c.entries,
        0,
        c.leaf_pages | short(s.leaf_pages),
        c.branch_pages | short(s.branch_pages),
    ];
    let check = check_word(meta.session, words);
    std::array::from_fn(|i| if i == DESCRIPTOR_CHECK { check } else { words[i] })
}

/// The word of a descriptor that is the check over the others and the session (rule 32). Readers do
/// not look at it: they are told from half a descriptor by the order of stores, but a lock file of
/// which a part is older is not.
const DESCRIPTOR_CHECK: usize = 5;

/// Whether a descriptor is what somebody of this session has made visible.
pub fn is_whole(descriptor: &Descriptor, session: u64) -> bool {
    let mut words = *descriptor;
    let check = words.get_mut(DESCRIPTOR_CHECK).map(std::mem::take);
    check == Some(check_word(session, words))
}

fn low(word: u64) -> u64 {
    word & LOW
}

/// How many pages the snapshot of a descriptor counts.
pub fn page_count_of(descriptor: &Descriptor) -> u64 {
    descriptor.get(1).map_or(0, |&word| low(word))
}

/// The system tree of the snapshot a descriptor stands for, which [`decode_snapshot`] has read.
pub fn system_of(shared: &Shared, d: &Descriptor) -> Result<TableDescriptor> {
    let bad = || shared.damaged("it shows an impossible system tree");
    let [_, page_count, _, root, _, _, leaf_pages, branch_pages] = d[..] else {
        return Err(bad());
    };
    let root = PageId(root >> DEPTH);
    let [depth, leaf_pages, branch_pages] =
        [page_count, leaf_pages, branch_pages].map(|word| word >> HALF);
    let system = TableDescriptor {
        root,
        depth: depth as u16,
        // Not counted here; of an empty tree there are none.
        entries: u64::from(!root.is_none()),
        leaf_pages,
        branch_pages,
        ..TableDescriptor::default()
    };
    system.checked(low(page_count)).map_err(|_| bad())
}

/// The snapshot a descriptor stands for: id, page count, catalog. Checked: the shared memory may be
/// anything (B15).
pub fn decode_snapshot(shared: &Shared, d: &Descriptor) -> Result<(TxnId, u64, TableDescriptor)> {
    try_snapshot(d).ok_or_else(|| impossible(shared))
}

/// The error for a descriptor of which [`try_snapshot`] makes nothing.
#[cold]
pub fn impossible(shared: &Shared) -> Error {
    shared.damaged("it shows an impossible snapshot")
}

/// The same as [`decode_snapshot`], and none where that is an error.
#[inline]
pub fn try_snapshot(d: &Descriptor) -> Option<(TxnId, u64, TableDescriptor)> {
    // As a slice: a model's descriptor is shorter.
    let [txn, page_count, root, depth, entries, _, leaf_pages, branch_pages] = d[..] else {
        return None;
    };
    let depth = depth as u16;
    let [page_count, leaf_pages, branch_pages] = [page_count, leaf_pages, branch_pages].map(low);
    if !(2..=PageId::MAX.0).contains(&page_count) || txn == 0 {
        return None;
    }
    // The counts bound every walk over the catalog, which has no overflow runs.
    let root = PageId(root);
    let counted = TableDescriptor {
        leaf_pages,
        branch_pages,
        root,
        depth,
        entries,
        ..TableDescriptor::default()
    };
    let catalog = counted.checked(page_count).ok()?;
    Some((TxnId(txn), page_count, catalog))
}
