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
#![forbid(unsafe_code)]
mod check;
mod layout;
mod meta;
mod named;
mod node;
mod opening;
mod owners;
mod pages;
mod report;
pub mod salvage;
mod scan;
mod snapshots;
mod space;
mod tree;

pub use check::{CheckOptions, check, pages_held, stats, walk};
pub use opening::{MetaChoice, OpenedMeta, open_meta};
pub use owners::PageKind;
pub use pages::{FilePages, Pages};
pub use report::{Fault, MAX_FAULTS, MetaSummary, PageCounts, Report, SlotState, TableStats};

pub use scan::{PageInfo, Tree};

/// First bytes of every database.
pub const MAGIC: [u8; 8] = layout::MAGIC;
pub use crate::storage::LOCK_MAGIC;
/// The format version of a new database, and the only one that is opened. The inspector also reads
/// version 1.
pub const FORMAT_VERSION: u32 = layout::VERSION as u32;

#[cfg(test)]
mod tests;
