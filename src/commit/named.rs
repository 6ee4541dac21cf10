//! Which named snapshots a write transaction must leave alone (rule 36).
//!
//! A snapshot is listed by the states from the transaction that named it up to the one that dropped
//! it. Whoever may come back to one of these states, or reads it, must find the snapshot: so it is
//! protected as long as one of them is. What was dropped stays in the list under a key of its own
//! until that is no more so.
//!
//! What the list does not name is written over. So its pages are compared with their checksums
//! whenever a write transaction begins, as those of the free log are, whatever the handle asks for
//! of what it reads.

use crate::error::Result;
use crate::format::meta::Meta;
use crate::format::overflow::OverflowRef;
use crate::format::snapshot::NamedSnapshot;
use crate::pager::read_checks::{ReadChecks, ReadChecksums};
use crate::pager::view::{PageView, check_birth};
use crate::storage::Platform;
use crate::tree::{self, ListedSnapshot, PageSource};
use crate::types::{PageId, TxnId};

/// The pages of a base.
struct BasePages<'a> {
    view: &'a PageView,
    platform: &'a dyn Platform,
    checks: ReadChecks,
    txn: TxnId,
}

impl PageSource for BasePages<'_> {
    fn page_size(&self) -> usize {
        self.view.page_size()
    }

    fn page(&self, id: PageId) -> Result<&[u8]> {
        let page = check_birth(id, self.view.pages(self.platform, id, 1)?, self.txn)?;
        self.checks.page(id, page).map(|()| page)
    }

    fn run(&self, run: &OverflowRef) -> Result<&[u8]> {
        let pages = self.view.pages(self.platform, run.first, run.pages(self.page_size()))?;
        self.checks.run(run, pages).map(|()| pages)
    }
}

/// What the base of a transaction lists. O(1) where nothing was ever named.
pub(super) fn listed(
    base: &Meta,
    view: &PageView,
    platform: &dyn Platform,
) -> Result<Vec<ListedSnapshot>> {
    if base.system.root.is_none() {
        return Ok(Vec::new());
    }
    let checks = ReadChecks::new(ReadChecksums::Always);
    let pages = BasePages { view, platform, checks, txn: base.txn };
    tree::snapshots(&pages, &base.system, base.page_count)
}

/// Rule 36. `states` are the ids of all protected states but the visible one.
pub(super) fn is_protected(
    snapshot: &NamedSnapshot,
    visible: TxnId,
    mut states: impl Iterator<Item = TxnId>,
) -> bool {
    // Who looks for a name later looks in a state at least as young as the visible one.
    snapshot.dropped == TxnId::NONE
        || visible < snapshot.dropped
        || states.any(|state| snapshot.is_listed_by(state))
}
