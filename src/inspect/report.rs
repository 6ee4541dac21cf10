//! What an inspection finds: faults, counts, and figures of each table. Plain data.
//!
//! Faults are bounded in number, not in count: after [`MAX_FAULTS`] only the total goes on.

use crate::types::{PageId, TxnId};
use std::fmt;

/// Faults that are kept in full.
pub const MAX_FAULTS: usize = 1_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The page it was found in or concerns, where there is one.
    pub page: Option<PageId>,
    /// The way that led there, as `table "main" / branch 12 / leaf 77`.
    pub path: String,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.page {
            Some(page) => write!(f, "page {page} ({}): {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// What one of the two meta pages of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotState {
    /// Nothing but zeros: never written, or erased by a recovery.
    Empty,
    /// Valid; a candidate.
    Valid(TxnId),
    /// Not to be trusted, and why. One such slot is what a crash may leave behind.
    Refused(String),
    /// Not looked at, as the meta came from elsewhere.
    Unread,
}

/// The meta page that was inspected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaSummary {
    /// Slot that holds it; None if it was given from outside.
    pub slot: Option<u8>,
    /// Format version of the file.
    pub version: u32,
    /// Its transaction.
    pub txn: TxnId,
    /// Bytes in a page.
    pub page_size: usize,
    /// High-water mark, in pages.
    pub page_count: u64,
    /// Uuid of the database.
    pub uuid: [u8; 16],
    /// Whether its pages were synced before it was stored, so that it needs no manifest.
    pub two_phase: bool,
    /// Entries in its manifest.
    pub manifest_count: u64,
    /// Free pages it claims.
    pub free_pages: u64,
}

/// Figures of one table, or of the catalog, counted and not taken from its descriptor but for the
/// last number it has given out.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.open_table("main")?.put(b"key", b"value")?;
/// # txn.commit()?;
/// let report = db.check(None)?;
/// for table in &report.tables {
///     let fill = table.leaf_fill(report.meta.page_size);
///     println!("{}: {} keys, {} pages, {fill:.2} full", table.name, table.entries, table.pages());
/// }
/// # assert_eq!(report.tables.len(), 1);
/// # let table = &report.tables[0];
/// assert!(table.branch_fill(report.meta.page_size) < 1.0); // 0 without a branch
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Name; empty for the catalog.
    pub name: String,
    /// Root page, none for an empty table.
    pub root: PageId,
    /// Levels.
    pub depth: u16,
    /// Keys.
    pub entries: u64,
    /// Pairs: in a table of sets, values of all keys; else as many as keys.
    pub pairs: u64,
    /// Branch pages.
    pub branch_pages: u64,
    /// Leaf pages.
    pub leaf_pages: u64,
    /// Pages in overflow runs, and in trees of the values of one key.
    pub overflow_pages: u64,
    /// Values in overflow runs.
    pub overflow_values: u64,
    /// Bytes of all keys.
    pub key_bytes: u64,
    /// Bytes of all values, also of those in overflow runs.
    pub value_bytes: u64,
    /// Bytes in use in branch pages.
    pub branch_used_bytes: u64,
    /// Bytes in use in leaf pages.
    pub leaf_used_bytes: u64,
    /// The last number that it has given out
    /// ([`TableMut::next_sequence`](crate::TableMut::next_sequence)).
    pub sequence: u64,
}

impl TableStats {
    /// Share of the bytes in leaf pages that is in use, 0 to 1.
    pub fn leaf_fill(&self, page_size: usize) -> f64 {
        share(self.leaf_used_bytes, self.leaf_pages, page_size)
    }

    /// Share of the bytes in branch pages that is in use, 0 to 1.
    pub fn branch_fill(&self, page_size: usize) -> f64 {
        share(self.branch_used_bytes, self.branch_pages, page_size)
    }

    /// Pages of all kinds.
    pub fn pages(&self) -> u64 {
        self.branch_pages + self.leaf_pages + self.overflow_pages
    }
}

fn share(used: u64, pages: u64, page_size: usize) -> f64 {
    if pages == 0 { 0.0 } else { used as f64 / (pages as f64 * page_size as f64) }
}

/// Pages of the file by what they are for. Together they make up the page count if nothing is
/// wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageCounts {
    /// The two meta pages.
    pub meta: u64,
    /// Branch pages, of the catalog too.
    pub branch: u64,
    /// Leaf pages.
    pub leaf: u64,
    /// Pages in overflow runs.
    pub overflow: u64,
    /// Free-log pages.
    pub free_log: u64,
    /// Pages reserved as the next free-log page of a queue.
    pub reserved: u64,
    /// Pages that are free and wait in the ready list.
    pub ready: u64,
    /// Pages that are free and stand in a queue, where a snapshot may still see them.
    pub queued: u64,
    /// Pages that are free and stand in the pool, where no snapshot sees them.
    pub pooled: u64,
    /// Pages that belong to nothing.
    pub leaked: u64,
}

/// Free pages that snapshots keep from being used again (`pages_held_by`, feature `inspect`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagesHeld {
    /// How many each of the snapshots can see, in the order in which they were asked for.
    pub each: Vec<u64>,
    /// How many at least one of them can see.
    pub any: u64,
}

/// What the full check found ([`Database::check`](crate::Database::check)).
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let report = db.check(None)?;
/// for fault in &report.faults {
///     println!("{fault}"); // the page, the way that led there, what is wrong
/// }
/// println!("{} free pages, pages {:.0} % full", report.free_pages(), 100.0 * report.fill());
/// assert!(report.is_clean());
/// println!("{} keys of {} bytes", report.entries(), report.key_bytes());
/// println!("values of {} bytes", report.value_bytes());
/// assert!(report.usable_pages() <= report.free_pages());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The meta page that was followed.
    pub meta: MetaSummary,
    /// What the two slots hold. A refused slot is not a fault.
    pub slots: [SlotState; 2],
    /// What is wrong: the first [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// Number of faults, also of those that were not kept.
    pub fault_count: u64,
    /// Pages by use.
    pub pages: PageCounts,
    /// The catalog's own tree.
    pub catalog: TableStats,
    /// All tables, in the order of their names.
    pub tables: Vec<TableStats>,
    /// Named snapshots.
    pub snapshots: u64,
    /// Free pages that at least one named snapshot sees: a part of [`PageCounts::queued`]. They
    /// cannot be used again before the last snapshot that sees them is dropped.
    pub snapshot_pages: u64,
    /// Bytes of the file behind the last page: room to grow into.
    pub unused_tail_bytes: u64,
    /// Names of the tables whose keys are in an order by a function that was not given: all was
    /// looked at but that.
    pub unproved_orders: Vec<String>,
    /// The inspection was broken off on demand; what it did not reach is not judged.
    pub cancelled: bool,
}

impl Report {
    /// Whether everything was looked at and nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.fault_count == 0 && !self.cancelled
    }

    /// Keys of all tables.
    pub fn entries(&self) -> u64 {
        self.tables.iter().map(|t| t.entries).sum()
    }

    /// Bytes of all keys of all tables.
    pub fn key_bytes(&self) -> u64 {
        self.tables.iter().map(|t| t.key_bytes).sum()
    }

    /// Bytes of all values of all tables.
    pub fn value_bytes(&self) -> u64 {
        self.tables.iter().map(|t| t.value_bytes).sum()
    }

    /// Free pages that were found, those that a snapshot may still see included.
    pub fn free_pages(&self) -> u64 {
        self.usable_pages() + self.pages.queued
    }

    /// Free pages that no snapshot sees: ready and pooled.
    pub fn usable_pages(&self) -> u64 {
        self.pages.ready + self.pages.pooled
    }

    /// Share of the bytes in branch and leaf pages that is in use, 0 to 1.
    pub fn fill(&self) -> f64 {
        let trees = || self.tables.iter().chain([&self.catalog]);
        let used = trees().map(|t| t.branch_used_bytes + t.leaf_used_bytes).sum();
        let pages = trees().map(|t| t.branch_pages + t.leaf_pages).sum();
        share(used, pages, self.meta.page_size)
    }
}
