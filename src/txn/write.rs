//! The write transaction: one at a time over all processes.

use super::tables::{Found, Level, OpenTable, next_number};
use crate::commit::build::Built;
use crate::commit::draft::Draft;
use crate::commit::durability::Durability;
use crate::commit::engine::Engine;
use crate::error::{Error, Result};
use crate::format::descriptor::{MAX_NAME_LEN, TableDescriptor};
use crate::pager::workspace::Workspace;
use crate::tree::{self, RightmostPath, Versioned};
use crate::types::TxnId;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// A table of one write transaction, by a number that no other table of this process has, in
/// whatever transaction. It borrows nothing.
///
/// It stays that of the table when the table gets another name. When the table is dropped, or
/// the transaction has ended, [`Error::NoSuchTableId`] says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TableId {
    number: u64,
    /// Where it stood among the open tables.
    index: usize,
}

/// The write transaction.
pub struct Writer {
    pub(super) catalog: TableDescriptor,
    pub(super) tables: Vec<OpenTable>,
    pub(super) state: State,
    /// Changes of all tables so far, and rollbacks.
    version: u64,
    /// The savepoints, and what each has saved.
    pub(super) levels: Vec<Level>,
    pub(super) draft: Draft,
}

/// Whether a transaction can go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It can.
    Whole,
    /// An operation has failed half-way: what it has changed can be undone where there is a
    /// savepoint.
    Broken,
    /// An operation is at work, or has panicked: nobody knows what it has left.
    Changing,
}

impl Writer {
    /// Begins one; see [`Engine::begin_write`].
    pub fn begin(
        engine: &Arc<Engine>,
        timeout: Option<Duration>,
        durability: Durability,
    ) -> Result<Writer> {
        let draft = engine.begin_write(timeout, durability)?;
        let catalog = draft.base().catalog;
        let (tables, levels) = (Vec::new(), Vec::new());
        Ok(Writer { catalog, tables, state: State::Whole, version: 0, levels, draft })
    }

    /// Id of this transaction.
    pub fn txn(&self) -> TxnId {
        self.draft.txn()
    }

    /// When [`Writer::commit`] is to return.
    pub fn set_durability(&mut self, durability: Durability) {
        self.touch();
        self.draft.set_durability(durability);
    }

    /// The calling thread has the transaction in its hands.
    #[inline]
    pub fn touch(&self) {
        self.draft.engine().touch_writer();
    }

    /// What its tables are read from, while they can be read.
    #[inline]
    pub fn pages(&self) -> Result<&Workspace> {
        self.check_usable()?;
        Ok(self.draft.pages())
    }

    /// One commit from begin to acknowledgement. [`Error::OutcomeUnknown`] says that the
    /// transaction may be there after all; any other error says that it never will.
    pub fn commit(self) -> Result<()> {
        let engine = Arc::clone(self.draft.engine());
        let base = self.draft.to_be_flushed();
        match (self.build()?, base) {
            (Some(built), _) if built.flush => engine.finish_commit(built.txn),
            (None, Some(base)) => engine.finish_commit(base),
            _ => Ok(()),
        }
    }

    /// The first half of a commit; see [`Draft::build`]. None if the transaction changed nothing.
    pub fn build(mut self) -> Result<Option<Built>> {
        self.check_usable()?;
        if !self.store_tables()? {
            return self.draft.end_unchanged().map(|()| None);
        }
        self.draft.build(self.catalog).map(Some)
    }

    /// Everything can only go on while no operation has failed half-way. The calling thread has the
    /// transaction in its hands.
    #[inline]
    pub fn check_usable(&self) -> Result<()> {
        self.draft.engine().check_alive()?;
        self.touch();
        match self.state {
            State::Whole => self.draft.check_base(),
            _ => Err(Error::TransactionBroken),
        }
    }

    /// Runs a change. An error that may have left pages half-changed makes the transaction useless,
    /// and so does a panic.
    fn change<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_usable()?;
        // Until it is done: a panic on the way may be caught.
        self.state = State::Changing;
        let result = f(self);
        let whole = matches!(
            result,
            Ok(_)
                | Err(Error::KeyTooLong { .. }
                    | Error::ValueTooLong { .. }
                    | Error::TableExists(_)
                    | Error::NoSuchTable(_)
                    | Error::NoSuchTableId
                    | Error::OutOfOrder
                    | Error::InvalidArgument(_))
        );
        self.state = if whole { State::Whole } else { State::Broken };
        result
    }

    /// Index of a table in this transaction, opened if it exists.
    fn find(&mut self, name: &str) -> Result<Option<usize>> {
        if let Some(i) = self.tables.iter().position(|t| t.name == name) {
            return Ok(Some(i));
        }
        let Some(descriptor) = self.stored_descriptor(name)? else { return Ok(None) };
        let found = Found { name: None, descriptor };
        Ok(Some(self.remember(next_number(), name.into(), descriptor, false, Some(found))))
    }

    pub(super) fn remember(
        &mut self,
        number: u64,
        name: String,
        descriptor: TableDescriptor,
        changed: bool,
        found: Option<Found>,
    ) -> usize {
        let edge = RightmostPath::default();
        // No position has seen it like that, also where it was open before.
        self.version += 1;
        let version = self.version;
        self.tables.push(OpenTable { number, name, descriptor, edge, changed, version, found });
        self.tables.len() - 1
    }

    /// The id of an open table.
    pub fn id_of(&self, index: usize) -> TableId {
        TableId { number: self.tables[index].number, index }
    }

    /// Where an open table stands.
    pub fn index_of(&self, id: TableId) -> Result<usize> {
        let is_it = |table: &OpenTable| table.number == id.number;
        if self.tables.get(id.index).is_some_and(is_it) {
            return Ok(id.index);
        }
        // Tables before it were dropped.
        self.tables.iter().position(is_it).ok_or(Error::NoSuchTableId)
    }

    /// A table as it is now, for the positions in it.
    pub fn versioned(&self, index: usize) -> Result<Versioned<'_, Workspace>> {
        let src = self.pages()?;
        let &OpenTable { descriptor: desc, version, .. } = &self.tables[index];
        Ok(Versioned { src, desc, version })
    }

    fn stored_descriptor(&self, name: &str) -> Result<Option<TableDescriptor>> {
        let pages = self.draft.pages();
        tree::stored_table(pages, &self.catalog, name, pages.page_count())
    }

    /// Opens a table, or makes it.
    pub fn open_table(&mut self, name: &str) -> Result<usize> {
        match self.change(|w| w.find(name))? {
            Some(i) => Ok(i),
            None => self.create_table(name),
        }
    }

    /// Makes a table that must not exist.
    pub fn create_table(&mut self, name: &str) -> Result<usize> {
        check_name(name)?;
        self.change(|w| {
            if w.find(name)?.is_some() {
                return Err(Error::TableExists(name.into()));
            }
            w.store_descriptor(name, &TableDescriptor::default())?;
            Ok(w.remember(next_number(), name.into(), TableDescriptor::default(), false, None))
        })
    }

    fn store_descriptor(&mut self, name: &str, d: &TableDescriptor) -> Result<()> {
        let mut catalog = self.catalog;
        let done = tree::put_table(self.draft.pages_mut(), &mut catalog, name, d);
        self.catalog = catalog;
        done
    }

    /// Drops a table with all it holds; false if there is none.
    pub fn drop_table(&mut self, name: &str) -> Result<bool> {
        self.change(|w| {
            let Some(i) = w.find(name)? else { return Ok(false) };
            let table = w.tables.remove(i);
            let d = table.descriptor;
            if let Some(level) = w.levels.last_mut() {
                level.dropped.push(table);
            }
            tree::drop_tree(w.draft.pages_mut(), &d)?;
            w.remove_descriptor(name)?;
            Ok(true)
        })
    }

    fn remove_descriptor(&mut self, name: &str) -> Result<()> {
        let mut catalog = self.catalog;
        let done = tree::remove(self.draft.pages_mut(), &mut catalog, name.as_bytes());
        self.catalog = catalog;
        done.map(|_| ())
    }

    /// Gives a table another name, which must be free.
    pub fn rename_table(&mut self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        self.change(|w| {
            let Some(i) = w.find(from)? else { return Err(Error::NoSuchTable(from.into())) };
            if from == to {
                return Ok(());
            }
            if w.find(to)?.is_some() {
                return Err(Error::TableExists(to.into()));
            }
            let d = w.tables[i].descriptor;
            w.remove_descriptor(from)?;
            w.store_descriptor(to, &d)?;
            let table = &mut w.tables[i];
            table.name = to.into();
            if let Some(found) = &mut table.found {
                found.name.get_or_insert_with(|| from.into());
            }
            Ok(())
        })
    }

    /// Descriptor of an open table.
    pub fn table(&self, index: usize) -> &TableDescriptor {
        &self.tables[index].descriptor
    }

    /// Descriptor of a table by name, as this transaction sees it.
    pub fn lookup(&self, name: &str) -> Result<Option<TableDescriptor>> {
        self.check_usable()?;
        match self.tables.iter().find(|t| t.name == name) {
            Some(t) => Ok(Some(t.descriptor)),
            None => self.stored_descriptor(name),
        }
    }

    /// All tables in the order of their names, as this transaction sees them.
    pub fn tables(&self) -> Result<Vec<(String, TableDescriptor)>> {
        self.check_usable()?;
        let pages = self.draft.pages();
        let mut tables = tree::tables(pages, &self.catalog, pages.page_count())?;
        for (name, descriptor) in &mut tables {
            if let Some(open) = self.tables.iter().find(|t| t.name == *name) {
                *descriptor = open.descriptor;
            }
        }
        Ok(tables)
    }

    /// Inserts or replaces; true if the key was there.
    pub fn put(&mut self, table: usize, key: &[u8], value: &[u8]) -> Result<bool> {
        self.change_table(table, |pages, d, edge| tree::insert(pages, d, edge, key, value))
    }

    /// Inserts behind all other keys, or [`Error::OutOfOrder`].
    pub fn append(&mut self, table: usize, key: &[u8], value: &[u8]) -> Result<()> {
        self.change_table(table, |pages, d, edge| tree::append(pages, d, edge, key, value))
    }

    /// Removes; true if the key was there.
    pub fn delete(&mut self, table: usize, key: &[u8]) -> Result<bool> {
        self.change_table(table, |pages, d, edge| {
            *edge = RightmostPath::default();
            tree::remove(pages, d, key)
        })
    }

    /// Removes all keys between two bounds; how many there were.
    pub fn delete_range(
        &mut self,
        table: usize,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<u64> {
        self.change_table(table, |pages, d, edge| {
            *edge = RightmostPath::default();
            tree::remove_range(pages, d, from, to)
        })
    }

    /// Runs a change of one table.
    #[inline]
    fn change_table<T>(
        &mut self,
        table: usize,
        change: impl FnOnce(&mut Workspace, &mut TableDescriptor, &mut RightmostPath) -> Result<T>,
    ) -> Result<T> {
        self.change(|w| {
            let OpenTable { descriptor, edge, changed, version, .. } = &mut w.tables[table];
            let before = *descriptor;
            w.version += 1;
            *version = w.version;
            let done = change(w.draft.pages_mut(), descriptor, edge);
            *changed |= *descriptor != before;
            done
        })
    }

    /// Writes the descriptors of changed tables to the catalog. True if the transaction changed
    /// anything.
    fn store_tables(&mut self) -> Result<bool> {
        self.change(|w| {
            for i in 0..w.tables.len() {
                if std::mem::take(&mut w.tables[i].changed) {
                    let (name, d) = (w.tables[i].name.clone(), w.tables[i].descriptor);
                    w.store_descriptor(&name, &d)?;
                }
            }
            Ok(w.catalog != w.draft.base().catalog)
        })
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        let what = format!("table names have 1 to {MAX_NAME_LEN} bytes");
        return Err(Error::InvalidArgument(what));
    }
    Ok(())
}
