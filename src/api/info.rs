//! Numbers about a database.

use crate::observe::Counters;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::commit::slots::RefusedMeta;
/// A live reader, or what a dead one left that has not been cleared yet.
pub use crate::shared::{ObservedSnapshot, ReaderInfo};

/// Numbers about a database.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let info = db.info()?;
/// println!("{} of {} pages in use, {} free", info.used_pages(), info.page_count, info.free_pages);
/// assert_eq!((info.lag(), info.oldest_reader()), (0, None));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Where it is; None in memory.
    pub path: Option<PathBuf>,
    /// Bytes of a page.
    pub page_size: u32,
    /// Random id it was given when it was made.
    pub uuid: [u8; 16],
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Pages of the visible snapshot, metas and free pages included.
    pub page_count: u64,
    /// Pages that are free, or will be when no reader sees them any more.
    pub free_pages: u64,
    /// Pages in which the list of free pages stands, as far as the meta page has no room for it.
    pub log_pages: u64,
    /// Pages that are kept for the next ones of these.
    pub reserved_pages: u64,
    /// Write transactions that have changed something since the file was made, by all handles. Ids
    /// of transactions rise faster.
    pub commits: u64,
    /// Transaction that a reader beginning now sees.
    pub visible: u64,
    /// Newest transaction that is known to survive power loss. Less than `visible` too where nobody
    /// has written since an opening that could not rely on the lock file: the first write
    /// transaction makes durable what it has found. 0 if none is known.
    pub durable: u64,
    /// Newest transaction built.
    pub built: u64,
    /// The next write transaction has to repair first, after a failed sync or an interrupted
    /// process.
    pub repair_pending: bool,
    /// Pages read when this handle was opened.
    pub opening_pages_read: u64,
    /// A newer meta page that the opening of this session has refused, and that the first write
    /// erases. After a power cut that is the commit that was in flight; otherwise something is
    /// damaged. What the write erases it keeps, together with the pages that only that commit had
    /// (4 MiB at most), in a file of the same name with `-refused` behind it, or `-refused.2` to
    /// `-refused.4` if there is one already: [`inspect::salvage`](crate::inspect::salvage) reads
    /// it. Nothing is kept while there are four, where the disk has little room, or where no file
    /// can be made; the write goes on without it.
    pub refused: Option<RefusedMeta>,
    /// Device flushes (`msync`) that this handle has asked for.
    pub flushes: u64,
    /// Longest key in bytes.
    pub max_key_len: usize,
    /// Readers at work, and what dead ones have left.
    pub readers: Vec<ReaderInfo>,
    /// What processes read that may not write to the lock file, oldest first, 256 at most. Reads
    /// through this handle are not among them.
    pub observed: Vec<ObservedSnapshot>,
    /// What this handle has done since it was opened.
    pub counters: Counters,
}

impl Info {
    /// Pages in which tables stand, and the lists of tables and of named snapshots: all but the two
    /// meta pages, free pages, and those in which free pages are listed. What only older snapshots
    /// see counts as free.
    pub fn used_pages(&self) -> u64 {
        let others = [2, self.free_pages, self.log_pages, self.reserved_pages];
        others.into_iter().fold(self.page_count, u64::saturating_sub)
    }

    /// By how many ids the newest durable transaction is behind the visible one: no fewer than
    /// commits that power loss could take back, and more where transactions have savepoints.
    pub fn lag(&self) -> u64 {
        self.visible.saturating_sub(self.durable)
    }

    /// For how long there has been a newer snapshot than the oldest that is read, at least; None if
    /// nobody reads an older one.
    pub fn oldest_reader(&self) -> Option<Duration> {
        let readers = self.readers.iter().filter_map(|it| it.outdated);
        readers.chain(self.observed.iter().filter_map(|it| it.outdated)).max()
    }
}
