//! What a scan knows of named snapshots while it walks.

use std::collections::HashSet;
use std::ops::Range;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Named {
    /// Ids of those that have a name.
    pub ids: Vec<u64>,
    /// Free entries: first page, length, birth, death. In the order of the pages once the queues
    /// have been walked.
    pub queued: Vec<(u64, u64, u64, u64)>,
    /// The snapshot being walked.
    pub current: Option<Current>,
}

/// A snapshot being walked.
pub(super) struct Current {
    pub txn: u64,
    /// Pages that only it has, and that have been met.
    pub seen: HashSet<u64>,
}

impl Named {
    /// The interval of snapshots that see a page which waits in a queue.
    pub fn interval(&self, page: u64) -> Option<Range<u64>> {
        let next = self.queued.partition_point(|&(start, ..)| start <= page);
        let &(start, len, birth, death) = self.queued.get(next.checked_sub(1)?)?;
        (page < start.saturating_add(len)).then_some(birth..death)
    }

    /// Whether a page waits in a queue for a snapshot that has a name.
    pub fn has_pinned(&self, page: u64) -> bool {
        let interval = self.interval(page);
        interval.is_some_and(|interval| self.ids.iter().any(|id| interval.contains(id)))
    }
}
