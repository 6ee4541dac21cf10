//! What readers are shown of a snapshot: its descriptor in the shared memory.

use super::check_word::check_word;
use crate::error::Result;
use crate::format::descriptor::TableDescriptor;
use crate::format::meta::Meta;
use crate::shared::Shared;
use crate::shared::layout::Descriptor;
use crate::types::{PageId, TxnId};

/// The words of a descriptor beside the transaction id.
pub fn encode_snapshot(meta: &Meta) -> Descriptor {
    let c = &meta.catalog;
    let words = [
        meta.txn.0,
        meta.page_count,
        c.root.0,
        u64::from(c.depth),
        c.entries,
        0,
        c.leaf_pages,
        c.branch_pages,
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

/// The snapshot a descriptor stands for: id, page count, catalog. Checked: the shared memory may be
/// anything (B15).
#[inline]
pub fn decode_snapshot(shared: &Shared, d: &Descriptor) -> Result<(TxnId, u64, TableDescriptor)> {
    let bad = || shared.damaged("it shows an impossible snapshot");
    // As a slice: a model's descriptor is shorter.
    let [txn, page_count, root, depth, entries, _, leaf_pages, branch_pages] = d[..] else {
        return Err(bad());
    };
    let depth = u16::try_from(depth).map_err(|_| bad())?;
    if !(2..=PageId::MAX.0).contains(&page_count) || txn == 0 {
        return Err(bad());
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
    let catalog = counted.checked(page_count).map_err(|_| bad())?;
    Ok((TxnId(txn), page_count, catalog))
}
