//! The open tables of a write transaction, and what a savepoint keeps of them.

use crate::format::descriptor::TableDescriptor;
use crate::tree::RightmostPath;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no open table, savepoint or write transaction of this process has had; later ones
/// are greater.
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

/// Open tables that are looked through one by one: up to so many that is cheaper than a hash.
const FEW: usize = 16;

/// The open tables, found by their names. Their order means nothing.
///
/// Invariant: `places` is empty, or it has the place of each table; it has if they are more than
/// [`FEW`].
#[derive(Default)]
pub struct OpenTables {
    list: Vec<OpenTable>,
    places: HashMap<String, usize>,
}

impl OpenTables {
    /// Where the table of this name stands.
    pub fn find(&self, name: &str) -> Option<usize> {
        match self.places.is_empty() {
            true => self.list.iter().position(|table| table.name == name),
            false => self.places.get(name).copied(),
        }
    }

    /// Adds a table, behind the others; none of these has its name.
    pub fn push(&mut self, table: OpenTable) {
        if !self.places.is_empty() {
            self.places.insert(table.name.clone(), self.list.len());
        }
        self.list.push(table);
        if self.places.is_empty() && self.list.len() > FEW {
            let place = |(i, table): (usize, &OpenTable)| (table.name.clone(), i);
            self.places = self.list.iter().enumerate().map(place).collect();
        }
    }

    /// Takes a table out; the last one stands in its place.
    pub fn remove(&mut self, index: usize) -> OpenTable {
        let table = self.list.swap_remove(index);
        self.places.remove(&table.name);
        if let Some(place) = self.list.get(index).and_then(|t| self.places.get_mut(&t.name)) {
            *place = index;
        }
        table
    }

    /// Gives a table another name, which no other has.
    pub fn rename(&mut self, index: usize, name: &str) {
        let table = &mut self.list[index];
        if self.places.remove(&table.name).is_some() {
            self.places.insert(name.into(), index);
        }
        table.name = name.into();
    }
}

impl Deref for OpenTables {
    type Target = [OpenTable];
    fn deref(&self) -> &[OpenTable] {
        &self.list
    }
}

/// Everything but the names may be changed.
impl DerefMut for OpenTables {
    fn deref_mut(&mut self) -> &mut [OpenTable] {
        &mut self.list
    }
}

impl IntoIterator for OpenTables {
    type Item = OpenTable;
    type IntoIter = std::vec::IntoIter<OpenTable>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
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
    pub system: TableDescriptor,
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
