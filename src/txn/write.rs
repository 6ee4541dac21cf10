//! The write transaction: one at a time over all processes.

use super::room::Room;
use super::tables::{Found, Level, OpenTable, OpenTables, next_number};
use crate::commit::build::{Built, Roots};
use crate::commit::draft::Draft;
use crate::commit::durability::Durability;
use crate::commit::engine::Engine;
use crate::error::{Error, Result};
use crate::format::descriptor::{MAX_NAME_LEN, TableDescriptor};
use crate::format::meta::{ALIGNED_VALUES, ORDERS, SEQUENCES, SETS, TABLE_OPTIONS};
use crate::format::node::max_key_len;
use crate::format::order::KeyOrder;
use crate::pager::workspace::Workspace;
use crate::tree::{self, Listed, PageSource, RightmostPath, Versioned};
use crate::types::{Order, TableKind, TableOptions, TxnId};
use std::hash::{Hash, Hasher};
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::time::Duration;

/// A table of one write transaction, by a number that no other table of this process has, in
/// whatever transaction. It borrows nothing.
///
/// It stays that of the table when the table gets another name. When the table is dropped, or
/// the transaction has ended, [`Error::NoSuchTableId`] says so.
#[derive(Clone, Copy, Debug)]
pub struct TableId {
    number: u64,
    /// Where it stood among the open tables: where it is looked for first, and no part of what it
    /// is.
    index: usize,
}

impl PartialEq for TableId {
    fn eq(&self, other: &TableId) -> bool {
        self.number == other.number
    }
}

impl Eq for TableId {}

impl Hash for TableId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

/// The write transaction.
pub struct Writer {
    /// No other transaction of this process has it.
    number: u64,
    pub(super) catalog: TableDescriptor,
    /// Tree of what is not a user's.
    pub(super) system: TableDescriptor,
    pub(super) tables: OpenTables,
    /// Features of tables made in this transaction, undone or not, that must be known to read them.
    read_features: u32,
    pub(super) state: State,
    /// Changes of all tables so far, and rollbacks.
    version: u64,
    /// The savepoints, and what each has saved.
    pub(super) levels: Vec<Level>,
    /// Where values are filled in.
    pub(super) room: Room,
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
        let draft = engine.begin_write(timeout, durability).map_err(|e| engine.named(e))?;
        let (catalog, system) = (draft.base().catalog, draft.base().system);
        Ok(Writer {
            number: next_number(),
            catalog,
            system,
            tables: OpenTables::default(),
            read_features: 0,
            state: State::Whole,
            version: 0,
            levels: Vec::new(),
            room: Room::default(),
            draft,
        })
    }

    /// A number that no other transaction of this process has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Id of this transaction.
    pub fn txn(&self) -> TxnId {
        self.draft.txn()
    }

    /// The handle it was begun on.
    pub fn engine(&self) -> &Arc<Engine> {
        self.draft.engine()
    }

    /// When [`Writer::commit`] is to return.
    pub fn set_durability(&mut self, durability: Durability) {
        self.draft.engine().writer_changes_here();
        self.draft.set_durability(durability);
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
        engine.check_alive()?;
        let base = self.draft.to_be_flushed(false);
        engine.committing(self.txn(), self.draft.durability(), || match (self.build()?, base) {
            (Some(built), _) if built.flush => engine.finish_commit(built.txn),
            (None, Some(base)) => engine.finish_commit(base),
            _ => Ok(()),
        })
    }

    /// The first half of a commit; see [`Draft::build`]. None if the transaction changed nothing.
    pub fn build(mut self) -> Result<Option<Built>> {
        // The savepoints go first: what they hold may be of use for the descriptors.
        self.change(|w| w.draft.pages_mut().release_to(0))?;
        if !self.store_tables()? {
            return self.draft.end_unchanged().map(|()| None);
        }
        let newest_named = self.finish_snapshots()?;
        let (catalog, system) = (self.catalog, self.system);
        let roots = Roots { catalog, system, newest_named };
        self.draft.build(roots, self.read_features).map(Some)
    }

    /// Everything can only go on while no operation has failed half-way. Asked before each read.
    #[inline]
    pub fn check_usable(&self) -> Result<()> {
        let engine = self.draft.engine();
        engine.check_alive()?;
        engine.writer_reads_here();
        self.check_whole()
    }

    /// The same before each change.
    #[inline]
    pub(super) fn check_changeable(&self) -> Result<()> {
        self.check_alive()?;
        self.check_whole()
    }

    /// The calling thread has the transaction to itself, and has not got it by a fork.
    #[inline]
    pub(super) fn check_alive(&self) -> Result<()> {
        let engine = self.draft.engine();
        engine.check_alive()?;
        engine.writer_changes_here();
        Ok(())
    }

    #[inline]
    fn check_whole(&self) -> Result<()> {
        match self.state {
            State::Whole => self.draft.check_base(),
            _ => Err(self.draft.broken()),
        }
    }

    /// Runs a change. An error that may have left pages half-changed makes the transaction useless,
    /// and so does a panic.
    pub(super) fn change<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_changeable()?;
        // Until it is done: a panic on the way may be caught.
        self.state = State::Changing;
        let done = f(self).map_err(|e| self.failed(e))?;
        self.state = State::Whole;
        Ok(done)
    }

    #[cold]
    fn failed(&mut self, e: Error) -> Error {
        let whole = matches!(
            e,
            Error::KeyTooLong { .. }
                | Error::ValueTooLong { .. }
                | Error::TableExists(_)
                | Error::TableOptions { .. }
                | Error::NoSuchTable(_)
                | Error::NoSuchTableId
                | Error::NoSuchSnapshot(_)
                | Error::SnapshotExists(_)
                | Error::OutOfOrder
                | Error::InvalidArgument(_)
        );
        self.state = if whole { State::Whole } else { State::Broken };
        self.engine().named(e)
    }

    /// Index of a table in this transaction, opened if it exists.
    fn find(&mut self, name: &str) -> Result<Option<usize>> {
        if let Some(i) = self.tables.find(name) {
            return Ok(Some(i));
        }
        let stored = self.stored(name)?.map(|(d, options)| (d, options.to_vec()));
        let Some((mut descriptor, options)) = stored else { return Ok(None) };
        // Without the function of its order it can be dropped and renamed all the same.
        if let Ok(order) = self.order_of(name, &descriptor, &options) {
            descriptor.order = order;
        }
        let (number, found) = (next_number(), Found { name: None, descriptor });
        Ok(Some(self.remember(number, name.into(), descriptor, options, false, Some(found))))
    }

    pub(super) fn remember(
        &mut self,
        number: u64,
        name: String,
        descriptor: TableDescriptor,
        options: Vec<u8>,
        changed: bool,
        found: Option<Found>,
    ) -> usize {
        // No position has seen it like that, also where it was open before.
        self.version += 1;
        self.tables.push(OpenTable {
            number,
            name,
            descriptor,
            options,
            edge: RightmostPath::default(),
            changed,
            version: self.version,
            found,
        });
        self.tables.len() - 1
    }

    /// The id of an open table.
    pub fn id_of(&self, index: usize) -> TableId {
        TableId { number: self.tables[index].number, index }
    }

    /// Where an open table stands, which has one value for each key.
    pub fn index_of(&self, id: TableId) -> Result<usize> {
        let index = self.any_index_of(id)?;
        self.check_kind(index, false)?;
        Ok(index)
    }

    /// Where an open table of sets stands.
    pub fn set_index_of(&self, id: TableId) -> Result<usize> {
        let index = self.any_index_of(id)?;
        self.check_kind(index, true)?;
        Ok(index)
    }

    #[inline]
    fn check_kind(&self, index: usize, is_set: bool) -> Result<()> {
        let OpenTable { name, descriptor, .. } = &self.tables[index];
        check_kind(name, descriptor, is_set)
    }

    /// Where an open table stands, if the function of its order is known.
    #[inline]
    fn check_order(&self, index: usize) -> Result<usize> {
        let OpenTable { name, descriptor, options, .. } = &self.tables[index];
        self.order_of(name, descriptor, options).map(|_| index)
    }

    #[inline]
    fn order_of(&self, name: &str, table: &TableDescriptor, options: &[u8]) -> Result<KeyOrder> {
        order_of(self.engine(), &self.catalog, name, table, options)
    }

    fn any_index_of(&self, id: TableId) -> Result<usize> {
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

    fn stored(&self, name: &str) -> Result<Option<(TableDescriptor, &[u8])>> {
        let pages = self.draft.pages();
        let found = tree::stored_table(pages, &self.catalog, name, pages.page_count());
        found.map_err(|e| self.engine().named(e))
    }

    /// Opens a table, or makes it.
    pub fn open_table(&mut self, name: &str) -> Result<usize> {
        match self.change(|w| w.find(name))? {
            Some(i) => self.check_kind(i, false).and_then(|()| self.check_order(i)),
            None => self.create_table(name, &TableOptions::default()),
        }
    }

    /// Opens a table that has what these options ask for, or makes it with them.
    pub fn open_table_with(&mut self, name: &str, options: &TableOptions) -> Result<usize> {
        match self.change(|w| w.find(name))? {
            Some(i) => {
                let OpenTable { descriptor, options: stored, .. } = &self.tables[i];
                check_options(name, &table_options(&self.catalog, descriptor, stored)?, options)?;
                self.check_order(i)
            }
            None => self.create_table(name, options),
        }
    }

    /// Makes a table that must not exist.
    pub fn create_table(&mut self, name: &str, options: &TableOptions) -> Result<usize> {
        check_name(name)?;
        let (mut descriptor, options) = TableDescriptor::new(options)?;
        descriptor.order = self.order_of(name, &descriptor, &options)?;
        let size = usize::from(descriptor.value_size);
        let most = max_key_len(self.draft.pages().page_size());
        if size > most {
            let what = format!("values of {size} bytes in sets, at most {most} are allowed");
            return Err(Error::InvalidArgument(what));
        }
        self.change(|w| {
            if w.find(name)?.is_some() {
                return Err(Error::TableExists(name.into()));
            }
            if descriptor.align_shift > 0 {
                w.read_features |= ALIGNED_VALUES;
            }
            if !options.is_empty() {
                w.read_features |= TABLE_OPTIONS;
            }
            if descriptor.is_set {
                w.read_features |= SETS;
            }
            if !descriptor.order.is_packed() {
                w.read_features |= ORDERS;
            }
            w.store_descriptor(name, &descriptor, &options)?;
            Ok(w.remember(next_number(), name.into(), descriptor, options, false, None))
        })
    }

    fn store_descriptor(&mut self, name: &str, d: &TableDescriptor, options: &[u8]) -> Result<()> {
        let mut catalog = self.catalog;
        let done = tree::put_table(self.draft.pages_mut(), &mut catalog, name, d, options);
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
            let (d, options) = (w.tables[i].descriptor, w.tables[i].options.clone());
            w.remove_descriptor(from)?;
            w.store_descriptor(to, &d, &options)?;
            w.tables.rename(i, to);
            if let Some(found) = &mut w.tables[i].found {
                found.name.get_or_insert_with(|| from.into());
            }
            Ok(())
        })
    }

    /// Makes a table with what another one holds. The new name must be free.
    pub fn copy_table(&mut self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        self.change(|w| {
            let Some(i) = w.find(from)? else { return Err(Error::NoSuchTable(from.into())) };
            if w.find(to)?.is_some() {
                return Err(Error::TableExists(to.into()));
            }
            let (d, options) = (w.tables[i].descriptor, w.tables[i].options.clone());
            let d = tree::copy_tree(w.draft.pages_mut(), &d)?;
            w.store_descriptor(to, &d, &options)?;
            w.remember(next_number(), to.into(), d, options, false, None);
            Ok(())
        })
    }

    /// Descriptor of an open table.
    pub fn table(&self, index: usize) -> &TableDescriptor {
        &self.tables[index].descriptor
    }

    /// Descriptor of a table by name, as this transaction sees it.
    pub fn lookup(&self, name: &str) -> Result<Option<TableDescriptor>> {
        let Some((mut descriptor, options)) = self.look_up(name)? else { return Ok(None) };
        descriptor.order = self.order_of(name, &descriptor, options)?;
        Ok(Some(descriptor))
    }

    /// Options of a table by name.
    pub fn options(&self, name: &str) -> Result<Option<TableOptions>> {
        let found = self.look_up(name)?;
        found.map(|(d, options)| table_options(&self.catalog, &d, options)).transpose()
    }

    fn look_up(&self, name: &str) -> Result<Option<(TableDescriptor, &[u8])>> {
        self.check_usable()?;
        match self.tables.find(name) {
            Some(i) => Ok(Some((self.tables[i].descriptor, &self.tables[i].options))),
            None => self.stored(name),
        }
    }

    /// All tables in the order of their names, as this transaction sees them.
    pub fn tables(&self) -> Result<Vec<Listed>> {
        self.check_usable()?;
        let pages = self.draft.pages();
        let tables = tree::tables(pages, &self.catalog, pages.page_count());
        let mut tables = tables.map_err(|e| self.engine().named(e))?;
        for table in &mut tables {
            if let Some(i) = self.tables.find(&table.name) {
                table.descriptor = self.tables[i].descriptor;
            }
        }
        Ok(tables)
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> &TableDescriptor {
        &self.catalog
    }

    /// Inserts or replaces; true if the key was there.
    pub fn put(&mut self, table: usize, key: &[u8], value: &[u8]) -> Result<bool> {
        self.change_table(table, |pages, d, edge| tree::insert(pages, d, edge, key, value))
    }

    /// Inserts behind all other keys, or [`Error::OutOfOrder`].
    pub fn append(&mut self, table: usize, key: &[u8], value: &[u8]) -> Result<()> {
        self.change_table(table, |pages, d, edge| tree::append(pages, d, edge, key, value))
    }

    /// As [`tree::out_of_order`], of an open table.
    #[cold]
    pub fn out_of_order(&self, index: usize) -> Error {
        self.engine().named(tree::out_of_order(self.table(index)))
    }

    /// Removes; true if the key was there.
    pub fn delete(&mut self, table: usize, key: &[u8]) -> Result<bool> {
        self.change_table(table, |pages, d, edge| {
            *edge = RightmostPath::default();
            tree::remove(pages, d, key)
        })
    }

    /// Inserts a value of a key in a table of sets; false if it is there.
    pub fn insert_pair(&mut self, table: usize, key: &[u8], value: &[u8]) -> Result<bool> {
        self.change_table(table, |pages, d, edge| tree::insert_pair(pages, d, edge, key, value))
    }

    /// Removes a value of a key in a table of sets; false if it is not there.
    pub fn remove_pair(&mut self, table: usize, key: &[u8], value: &[u8]) -> Result<bool> {
        self.change_table(table, |pages, d, edge| {
            *edge = RightmostPath::default();
            tree::remove_pair(pages, d, key, value)
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

    /// Takes numbers of a table's sequence: the first, and the one behind the last.
    pub fn take_sequence(&mut self, table: usize, numbers: u64) -> Result<Range<u64>> {
        let last = self.table(table).sequence;
        // What is behind the last one is a number, too.
        let end = last.checked_add(numbers).and_then(|last| last.checked_add(1));
        let Some(end) = end else {
            let what = format!("{numbers} numbers of a sequence that has given out {last}");
            return Err(Error::InvalidArgument(what));
        };
        self.set_sequence(table, end - 1)?;
        Ok(end - numbers..end)
    }

    /// Says which number a table has given out last.
    pub fn set_sequence(&mut self, table: usize, last: u64) -> Result<()> {
        self.change(|w| {
            let OpenTable { descriptor, changed, .. } = &mut w.tables[table];
            if descriptor.sequence != last {
                descriptor.sequence = last;
                *changed = true;
                w.read_features |= SEQUENCES;
            }
            Ok(())
        })
    }

    /// Runs a change of one table.
    #[inline]
    pub(super) fn change_table<T>(
        &mut self,
        table: usize,
        change: impl FnOnce(&mut Workspace, &mut TableDescriptor, &mut RightmostPath) -> Result<T>,
    ) -> Result<T> {
        self.change(|w| {
            let OpenTable { descriptor, edge, changed, version, .. } = &mut w.tables[table];
            w.version += 1;
            *version = w.version;
            // One that is known to have changed is not looked at again.
            let before = (!*changed).then_some(*descriptor);
            let done = change(w.draft.pages_mut(), descriptor, edge);
            if let Some(before) = before {
                *changed = *descriptor != before;
            }
            done
        })
    }

    /// Writes the descriptors of changed tables to the catalog. True if the transaction changed
    /// anything.
    fn store_tables(&mut self) -> Result<bool> {
        self.change(|w| {
            for i in 0..w.tables.len() {
                if std::mem::take(&mut w.tables[i].changed) {
                    let table = &mut w.tables[i];
                    let name = std::mem::take(&mut table.name);
                    let (d, options) = (table.descriptor, std::mem::take(&mut table.options));
                    let stored = w.store_descriptor(&name, &d, &options);
                    (w.tables[i].name, w.tables[i].options) = (name, options);
                    stored?;
                }
            }
            let base = w.draft.base();
            Ok(w.catalog != base.catalog || w.system != base.system)
        })
    }
}

/// The options of a table that `catalog` lists.
pub fn table_options(
    catalog: &TableDescriptor,
    table: &TableDescriptor,
    options: &[u8],
) -> Result<TableOptions> {
    table.options(options).map_err(|what| Error::corrupt(catalog.root, format!("catalog: {what}")))
}

/// The order of a table that `catalog` lists, with its function, which the handle must have been
/// given; `options` follow the descriptor there.
#[inline]
pub fn order_of(
    engine: &Engine,
    catalog: &TableDescriptor,
    name: &str,
    table: &TableDescriptor,
    options: &[u8],
) -> Result<KeyOrder> {
    match table.order.is_known() {
        true => Ok(table.order),
        false => custom_order_of(engine, catalog, name, table, options),
    }
}

#[cold]
fn custom_order_of(
    engine: &Engine,
    catalog: &TableDescriptor,
    name: &str,
    table: &TableDescriptor,
    options: &[u8],
) -> Result<KeyOrder> {
    let options = table_options(catalog, table, options).map_err(|e| engine.named(e))?;
    let Order::Custom(order) = options.order else { return Ok(table.order) };
    let known = engine.custom_order(&order);
    known.ok_or_else(|| Error::NoSuchOrder { table: name.into(), order })
}

/// Whether a table that has some options has those that are asked for.
pub fn check_options(name: &str, has: &TableOptions, asked: &TableOptions) -> Result<()> {
    TableDescriptor::new(asked)?;
    let differs = |detail| Err(Error::TableOptions { table: name.into(), detail });
    if has.kind != asked.kind {
        match (has.kind, asked.kind) {
            (TableKind::Set { .. }, TableKind::Set { value_size: 0 }) => {}
            (TableKind::Set { value_size: 0 }, TableKind::Set { value_size }) => {
                return differs(format!("its values have any length, not {value_size} bytes"));
            }
            (TableKind::Set { value_size: has }, TableKind::Set { value_size }) => {
                return differs(format!("its values have {has} bytes, not {value_size}"));
            }
            (has, _) => return wrong_kind(name, has != TableKind::Map),
        }
    }
    if has.align < asked.align {
        let (has, asked) = (has.align, asked.align);
        return differs(format!("its values are aligned to {has} bytes, not to {asked}"));
    }
    if asked.order != Order::Packed && has.order != asked.order {
        let (has, asked) = (&has.order, &asked.order);
        return differs(format!("its keys are in the order {has:?}, not {asked:?}"));
    }
    let types =
        [("keys", &has.key_type, &asked.key_type), ("values", &has.value_type, &asked.value_type)];
    for (what, has, asked) in types {
        if !asked.is_empty() && has.is_empty() {
            return differs(format!("nothing is said of the type of its {what}, not {asked}"));
        }
        if !asked.is_empty() && has != asked {
            return differs(format!("its {what} are of type {has}, not {asked}"));
        }
    }
    Ok(())
}

/// Whether the keys of a typed table stand in the order of their bytes, which is that of their
/// types.
pub fn check_by_bytes(name: &str, is_by_bytes: bool) -> Result<()> {
    if is_by_bytes {
        return Ok(());
    }
    let detail =
        "its keys are not in the order of their bytes, as those of typed tables are".into();
    Err(Error::TableOptions { table: name.into(), detail })
}

/// Whether a table has sets of values, or has none, as is asked.
#[inline]
pub fn check_kind(name: &str, table: &TableDescriptor, is_set: bool) -> Result<()> {
    if table.is_set == is_set { Ok(()) } else { wrong_kind(name, table.is_set) }
}

#[cold]
fn wrong_kind(name: &str, is_set: bool) -> Result<()> {
    let detail = match is_set {
        true => "its keys have sets of values: it is opened by `open_set` and `set`",
        false => "its keys have one value each: it is opened by `open_table` and `table`",
    };
    Err(Error::TableOptions { table: name.into(), detail: detail.into() })
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        let what = format!("table names have 1 to {MAX_NAME_LEN} bytes");
        return Err(Error::InvalidArgument(what));
    }
    Ok(())
}
