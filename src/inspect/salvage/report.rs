//! What a salvage got out, and what it could not. Plain data; lists are bounded, counts are not.

use crate::inspect::SlotState;
use crate::types::{PageId, TableOptions, TxnId};

/// Losses that are kept in full, and tables that are put aside.
pub const MAX_LOSSES: usize = 1_000;

/// Where the newest tree was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The newest visible snapshot of an open database.
    Snapshot,
    /// In this meta slot, which an opener would take too.
    Meta(u8),
    /// In this meta slot, which an opener refuses: its manifest does not match, or the file is too
    /// short for it.
    RefusedMeta(u8),
    /// In this page, the root of the newest catalog there is: both metas are gone.
    Catalog(PageId),
    /// Nowhere: neither a meta nor a catalog is left.
    Nothing,
}

/// A table that was got out.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// use recto::inspect::salvage::{Part, SalvageOptions};
/// let report = db.salvage(Part::default(), SalvageOptions::default(), &mut |_| Ok(()))?;
/// for table in report.tables.iter().filter(|table| !table.is_whole()) {
///     println!("{}: {} pages are lost", table.name, table.lost_pages);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvagedTable {
    /// Its name.
    pub name: String,
    /// What the catalog calls it, where it could not keep that name: it is too long, or taken.
    pub renamed: Option<String>,
    /// What it was made with, where that is known.
    pub options: TableOptions,
    /// The last number that it has given out
    /// ([`TableMut::next_sequence`](crate::TableMut::next_sequence)); 0 where that is not known.
    pub sequence: u64,
    /// Pairs it had, where that is known.
    pub had: Option<u64>,
    /// Pairs that came out.
    pub pairs: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Pages of the tree, and overflow runs, that could not be read.
    pub lost_pages: u64,
}

impl SalvagedTable {
    /// Whether every pair came out that the table had, as far as that is known.
    pub fn is_whole(&self) -> bool {
        self.lost_pages == 0 && self.had.is_none_or(|had| had == self.pairs)
    }
}

/// Pages of which nobody knows for certain to which table they belong, or whether they are its
/// newest state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Aside {
    /// The table they were given: `lost+found/LEVEL-PAGE`.
    pub name: String,
    /// The page they hang on.
    pub page: PageId,
    /// Its level.
    pub level: u8,
    /// The transaction that wrote it.
    pub birth: TxnId,
    /// Pairs that came out.
    pub pairs: u64,
    /// Those of them that were in sets of several values. They are in a table of sets of their own,
    /// with `-sets` behind the name.
    pub set_pairs: u64,
    /// The tables they may belong to: those with a loss that they fit into.
    pub perhaps: Vec<String>,
}

/// A page or a value that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// The table; empty for the catalog.
    pub table: String,
    /// The page, or the first of an overflow run.
    pub page: PageId,
    /// Its level, where it was a page of a tree.
    pub level: Option<u8>,
    /// Keys that it held begin here, if not with the first of all. For a value: its key.
    pub from: Option<Vec<u8>>,
    /// They end in front of this one, if not with the last of all.
    pub to: Option<Vec<u8>>,
    /// What is wrong with it.
    pub why: String,
}

/// What a salvage found ([`Database::salvage`](crate::Database::salvage)).
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// use recto::inspect::salvage::{Part, SalvageOptions};
/// let mut pairs = 0;
/// let report = db.salvage(Part::default(), SalvageOptions::default(), &mut |_| {
///     pairs += 1;
///     Ok(())
/// })?;
/// assert!(report.is_whole() && report.pairs() == pairs);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Where the tree was found that was followed.
    pub source: Source,
    /// What the two meta slots hold. A new database has a meta in both: one of zeros is refused.
    pub slots: [SlotState; 2],
    /// Format version of the file.
    pub version: u32,
    /// The transaction whose tree it is.
    pub txn: TxnId,
    /// Bytes of a page.
    pub page_size: usize,
    /// Pages of the file.
    pub pages: u64,
    /// Tables, in the order of the catalog.
    pub tables: Vec<SalvagedTable>,
    /// What was put aside: the first [`MAX_LOSSES`].
    pub aside: Vec<Aside>,
    /// Tables that were put aside, also those that were not kept.
    pub aside_count: u64,
    /// Pairs that were put aside.
    pub aside_pairs: u64,
    /// What could not be read: the first [`MAX_LOSSES`].
    pub losses: Vec<Loss>,
    /// Number of losses, also of those that were not kept.
    pub loss_count: u64,
    /// Of what hangs on a lost page, so much was found again and belongs where it was put for
    /// certain: pages.
    pub found_again: u64,
    /// Free space could be read, so that what lies about can be told from what is in use.
    pub space_known: bool,
    /// The salvage was broken off on demand.
    pub cancelled: bool,
}

impl SalvageReport {
    /// Whether nothing is missing: of the newest commit, so both metas must be valid.
    pub fn is_whole(&self) -> bool {
        let newest = match self.source {
            // What stood in a slot that is refused may have been newer.
            Source::Meta(_) => self.slots.iter().all(|slot| matches!(slot, SlotState::Valid(_))),
            Source::Snapshot => true,
            _ => false,
        };
        newest
            && !self.cancelled
            && self.loss_count == 0
            && self.aside_count == 0
            && self.tables.iter().all(SalvagedTable::is_whole)
    }

    /// Pairs that came out, those put aside included.
    pub fn pairs(&self) -> u64 {
        self.tables.iter().map(|t| t.pairs).sum::<u64>() + self.aside_pairs
    }
}
