//! The open tables of a write transaction, and what a savepoint keeps of them.

use crate::format::descriptor::TableDescriptor;
use crate::tree::RightmostPath;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no open table and no savepoint of this process has had; later ones are greater.
pub fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A table whose descriptor the transaction holds.
pub struct OpenTable {
    pub number: u64,
    pub name: String,
    pub descriptor: TableDescriptor,
    /// As they stand behind the descriptor; they never change.
    pub options: Vec<u8>,
    pub edge: RightmostPath,
    /// The descriptor is not that of the catalog.
    pub changed: bool,
    /// Of the newest change: positions in it are looked for again after each.
    pub version: u64,
    /// As it was found in the catalog; None if this transaction has made it.
    pub found: Option<Found>,
}

/// A table of the catalog, when it was opened.
#[derive(Clone)]
pub struct Found {
    /// None: as now.
    pub name: Option<String>,
    pub descriptor: TableDescriptor,
}

/// What a savepoint has saved.
pub struct Level {
    /// Tables with greater numbers were opened since.
    pub number: u64,
    pub catalog: TableDescriptor,
    pub tables: Vec<SavedTable>,
    /// Tables that were dropped since, as they were then.
    pub dropped: Vec<OpenTable>,
}

/// An open table at a savepoint.
#[derive(Clone)]
pub struct SavedTable {
    pub number: u64,
    pub name: String,
    pub descriptor: TableDescriptor,
    pub options: Vec<u8>,
    pub changed: bool,
    pub found: Option<Found>,
}

impl SavedTable {
    /// A table as it is now.
    pub fn of(table: &OpenTable) -> SavedTable {
        let OpenTable { number, descriptor, changed, .. } = *table;
        let (name, options) = (table.name.clone(), table.options.clone());
        SavedTable { number, name, descriptor, options, changed, found: table.found.clone() }
    }
}
