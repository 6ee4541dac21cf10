//! Looking at a database from outside: the full check, the walk over its pages, the figures of its
//! tables.
//!
//! Written from docs/format.md alone. It shares no search, node or meta code with the engine, so
//! that one bug cannot blind both, and reads bytes through a small trait of its own: a map, a
//! vector or a file.
//!
//! | file | what it does |
//! | --- | --- |
//! | `layout` | where each field stands |
//! | `pages` | where the bytes come from |
//! | `meta` | one meta page |
//! | `opening` | which of the two is followed |
//! | `node` | one branch or leaf page |
//! | `owners` | who owns each page |
//! | `scan` | path, faults, ownership: what all walks share |
//! | `tree`, `space` | the walk over trees, over free space |
//! | `check` | the whole |
//! | `salvage` | what can be got out of a damaged file |
//! | `report` | what comes out |
//!
//! Thread rules: one inspection runs on one thread; many may run beside each other over the same
//! bytes.
//!
//! Without the feature `inspect` this module has what
//! [`Database::check`](crate::Database::check), [`check_file`](crate::check_file) and
//! [`Database::salvage`](crate::Database::salvage) answer with. The feature adds what tools need
//! that look at files which are not open, or do not open: checks with options, the walk over all
//! pages with their owners, the meta pages, and salvage of damaged files.
#![forbid(unsafe_code)]
mod check;
mod layout;
mod meta;
mod named;
mod node;
mod opening;
mod order;
mod owners;
mod pages;
mod report;
pub mod salvage;
mod scan;
mod snapshots;
mod space;
mod tree;

pub use report::{
    Fault, MAX_FAULTS, MetaSummary, PageCounts, PagesHeld, Report, SlotState, TableStats,
};

/// What looks at bytes that are no open database: public with the feature `inspect`.
mod walkers {
    use super::layout;

    pub use super::check::{CheckOptions, check, pages_held, pages_held_by, stats, walk};
    pub use super::opening::{MetaChoice, OpenedMeta, open_meta};
    pub use super::owners::PageKind;
    pub use super::pages::{FilePages, Pages};
    pub use super::scan::{PageInfo, Tree};
    pub use crate::storage::LOCK_MAGIC;

    /// First bytes of every database.
    pub const MAGIC: [u8; 8] = layout::MAGIC;
    /// The format version of a new database, and the only one that is opened. The inspector also
    /// reads version 1.
    pub const FORMAT_VERSION: u32 = layout::VERSION as u32;
}
#[cfg(feature = "inspect")]
pub use walkers::*;
#[cfg(not(feature = "inspect"))]
pub(crate) use walkers::*;

#[cfg(test)]
mod tests;
