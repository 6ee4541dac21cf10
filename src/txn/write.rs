//! The write transaction: one at a time over all processes.

use super::Engine;
use super::durability::Durability;
use super::flush::FlushLock;
use super::lock::{WriterLock, end_of};
use super::read::check_birth;
use super::state::BuiltImage;
use super::store::{PageStore, in_use};
use crate::error::{Error, Result};
use crate::format::descriptor::{self, TableDescriptor};
use crate::format::meta::Meta;
use crate::shared::words::WriterHeld;
use crate::space::allocator::{Allocator, Start};
use crate::space::pins::Pins;
use crate::tree::{self, Edge, PageCopy, PageSink, PageSource};
use crate::types::{PageId, TxnId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A table whose descriptor this transaction holds.
struct OpenTable {
    name: String,
    descriptor: TableDescriptor,
    edge: Edge,
    changed: bool,
}

/// The write transaction.
pub struct Writer {
    pub(super) store: PageStore,
    pub(super) alloc: Allocator,
    /// Pages and runs taken and given back.
    turnover: u64,
    pub(super) base: Meta,
    /// It was durable when this transaction began.
    pub(super) base_is_durable: bool,
    /// List of pages: where this transaction appends.
    pub(super) list_end: u64,
    pub(super) unlisted: TxnId,
    pub(super) list_bytes: u64,
    pub(super) list_check: u64,
    pub(super) catalog: TableDescriptor,
    tables: Vec<OpenTable>,
    /// An operation has failed half-way, or is at work.
    broken: bool,
    /// Released last: after the pages' buffers have gone back to it.
    pub(super) lock: WriterLock<Arc<Engine>>,
}

impl Engine {
    /// Rules 1 to 3. Repairs first if a sync failed or a process died in the middle.
    pub fn begin_write(
        self: &Arc<Engine>,
        timeout: Option<Duration>,
        durability: Durability,
    ) -> Result<Writer> {
        self.check_writable()?;
        let end = end_of(timeout);
        let mut lock = WriterLock::take(Arc::clone(self), end)?;
        self.repair_if_marked(&lock, end)?;
        let image = self.settled_base(&lock, end)?;
        let base = image.meta;
        let view = self.platform.storage().refresh()?;
        if base.page_count * self.page_size as u64 > view.len as u64 {
            let first_missing = PageId(view.len as u64 / self.page_size as u64);
            let detail = format!("the file ends before it, and counts {} pages", base.page_count);
            return Err(Error::corrupt(first_missing, detail));
        }
        let (pins, on_dead) = self.collect_pins(base.txn)?;
        self.give_back(&base, view.len as u64, &pins)?;
        let page_high = self.page_high(&lock, &base, on_dead);
        let txn = self.next_id(base.txn)?;
        let durable = self.durable().txn;
        let buffers = lock.cache().map(|c| std::mem::take(&mut c.buffers));
        let alloc = Allocator::new(Start {
            base: &base,
            txn,
            pins,
            durable,
            page_high,
            dead_from: self.words().dead_ids().lowest(),
            limit: self.options.free_limit,
        })?;
        let mut store = PageStore::new(
            Arc::clone(self),
            txn,
            base.page_count,
            durability,
            buffers.unwrap_or_default(),
        );
        store.make_room(alloc.page_count())?;
        Ok(Writer {
            store,
            alloc,
            turnover: 0,
            catalog: base.catalog,
            base_is_durable: base.txn <= durable,
            base,
            list_end: image.list_end,
            unlisted: image.unlisted,
            list_bytes: image.list_bytes,
            list_check: image.list_check,
            tables: Vec::new(),
            broken: false,
            lock,
        })
    }

    /// W, with the writer lock held. Whoever builds what the list does not name keeps that lock until it is durable (rule 8): if it is not, its
    /// builder has died or could not go on, and it is flushed or taken back now. Nothing is ever built on it.
    fn settled_base(&self, writer: &impl WriterHeld, end: Option<Instant>) -> Result<BuiltImage> {
        let mut image = self.load_image()?;
        if image.unlisted > self.durable().txn {
            let flush = FlushLock::take(self, end)?;
            if image.unlisted > self.durable().txn {
                self.repair_or_lead(writer, &flush)?;
            }
            drop(flush);
            image = self.load_image()?;
        }
        if self.durable().txn == image.meta.txn {
            self.knows_all_above(image.meta.txn);
        }
        Ok(image)
    }

    /// Rule 2, B6: visible before the readers, the flush target before the durable snapshot. True if somebody reads a snapshot that was
    /// rolled back, or may be about to.
    fn collect_pins(&self, base: TxnId) -> Result<(Pins, bool)> {
        let mut scan = self.shared.scan()?;
        // The dead cost system calls to find: now and then, and when somebody stops all reuse.
        let due = scan.pending || (!scan.readers.is_empty() && base.0.is_multiple_of(32));
        if due && self.shared.clear_dead()? > 0 {
            scan = self.shared.scan()?;
        }
        let words = self.words();
        let seen = || self.platform.step("begin: flush target seen");
        let [flushing, durable, a, b] = words.protected(seen);
        let commits = [flushing, durable, a, b, base];
        let dead = words.dead_ids();
        let on_dead = scan.readers.iter().any(|&r| dead.have(r));
        let no_reuse = scan.pending || on_dead;
        // Who has not said yet what it reads may have chosen before the roll-back.
        let rolled_back = dead.lowest() != TxnId::NONE;
        let on_dead = on_dead || (scan.pending && rolled_back);
        Ok((Pins::new(scan.visible, &commits, &scan.readers, no_reuse), on_dead))
    }

    /// Rule 5: pages from here on have not been used by a snapshot that was rolled back and is still read.
    fn page_high(&self, lock: &impl WriterHeld, base: &Meta, on_dead: bool) -> u64 {
        let words = self.words();
        // All that can be rolled back now is still to be built, and raises the word.
        let settled = !on_dead && self.durable().txn == base.txn;
        if settled {
            words.set_page_high(lock, base.page_count);
        }
        if on_dead { words.page_high() } else { base.page_count }
    }

    /// Rule 7: cuts the file when much of its end belongs to nothing, nobody reads an older snapshot,
    /// and both metas on disk have the low mark. `len` is the file's length.
    fn give_back(&self, base: &Meta, len: u64, pins: &Pins) -> Result<()> {
        let size = self.page_size as u64;
        let used = base.page_count * size;
        let step = self.options.growth_step;
        if len <= used + (used / 4).max(16 * step) || !pins.only_reader_is(base.txn) {
            return Ok(());
        }
        let settled = self.durable().txn == base.txn
            && self.shared.visible() == base.txn
            && self.words().flushing() == TxnId::NONE;
        let early = !settled || !self.both_slots_fit(base.page_count);
        if early {
            return Ok(());
        }
        let keep = used + (used / 16).max(4 * step);
        self.platform.step("shrink: before truncate");
        self.platform.storage().truncate(keep.next_multiple_of(size))
    }
}

impl Writer {
    /// Id of this transaction.
    pub fn txn(&self) -> TxnId {
        self.store.txn
    }

    /// When [`Writer::commit`] is to return.
    pub fn set_durability(&mut self, durability: Durability) {
        self.touch();
        self.store.durability = durability;
    }

    /// The calling thread has the transaction in its hands.
    #[inline]
    pub fn touch(&self) {
        self.store.engine.writer_thread.set_this();
    }

    /// Everything below can only go on while no operation has failed half-way.
    pub fn check_usable(&self) -> Result<()> {
        self.store.engine.shared.check_alive()?;
        self.touch();
        if self.broken { Err(Error::TransactionBroken) } else { self.check_base() }
    }

    /// Nobody else moves W while this transaction holds the writer lock; but a repair that it leads itself may roll its base back.
    pub(super) fn check_base(&self) -> Result<()> {
        if self.store.engine.built() == self.base.txn {
            Ok(())
        } else {
            Err(Error::TransactionBroken)
        }
    }

    /// Runs a change. An error that may have left pages half-changed makes the transaction useless, and so does a panic.
    fn change<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_usable()?;
        // Until it is done: a panic on the way may be caught.
        self.broken = true;
        let result = f(self);
        let whole = matches!(
            result,
            Ok(_)
                | Err(Error::KeyTooLong { .. }
                    | Error::ValueTooLong { .. }
                    | Error::TableExists(_)
                    | Error::NoSuchTable(_)
                    | Error::InvalidArgument(_))
        );
        self.broken = !whole;
        result
    }

    /// Index of a table in this transaction, opened if it exists.
    fn find(&mut self, name: &str) -> Result<Option<usize>> {
        if let Some(i) = self.tables.iter().position(|t| t.name == name) {
            return Ok(Some(i));
        }
        Ok(self.stored_descriptor(name)?.map(|d| self.remember(name, d, false)))
    }

    fn remember(&mut self, name: &str, descriptor: TableDescriptor, changed: bool) -> usize {
        let edge = Edge::default();
        self.tables.push(OpenTable { name: name.into(), descriptor, edge, changed });
        self.tables.len() - 1
    }

    fn stored_descriptor(&self, name: &str) -> Result<Option<TableDescriptor>> {
        stored_table(self, &self.catalog, name, self.alloc.page_count())
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
        check_name(name, self.page_size())?;
        self.change(|w| {
            if w.find(name)?.is_some() {
                return Err(Error::TableExists(name.into()));
            }
            w.store_descriptor(name, &TableDescriptor::default())?;
            Ok(w.remember(name, TableDescriptor::default(), false))
        })
    }

    fn store_descriptor(&mut self, name: &str, d: &TableDescriptor) -> Result<()> {
        let mut bytes = [0; descriptor::SIZE];
        d.encode(&mut bytes);
        let mut catalog = self.catalog;
        let done = tree::insert(self, &mut catalog, &mut Edge::default(), name.as_bytes(), &bytes);
        self.catalog = catalog;
        done.map(|_| ())
    }

    /// Drops a table with all it holds; false if there is none.
    pub fn drop_table(&mut self, name: &str) -> Result<bool> {
        self.change(|w| {
            let Some(i) = w.find(name)? else { return Ok(false) };
            let d = w.tables.remove(i).descriptor;
            tree::drop_tree(w, &d)?;
            w.remove_descriptor(name)?;
            Ok(true)
        })
    }

    fn remove_descriptor(&mut self, name: &str) -> Result<()> {
        let mut catalog = self.catalog;
        let done = tree::remove(self, &mut catalog, name.as_bytes());
        self.catalog = catalog;
        done.map(|_| ())
    }

    /// Gives a table another name, which must be free.
    pub fn rename_table(&mut self, from: &str, to: &str) -> Result<()> {
        check_name(to, self.page_size())?;
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
            w.tables[i].name = to.into();
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

    /// The catalog as it stands, and the page count its pages lie under.
    pub fn catalog_now(&self) -> (TableDescriptor, u64) {
        (self.catalog, self.alloc.page_count())
    }

    /// Inserts or replaces; true if the key was there.
    pub fn put(&mut self, table: usize, key: &[u8], value: &[u8]) -> Result<bool> {
        self.change(|w| {
            let open = &mut w.tables[table];
            let (mut d, mut edge) = (open.descriptor, std::mem::take(&mut open.edge));
            let done = tree::insert(w, &mut d, &mut edge, key, value);
            let open = &mut w.tables[table];
            (open.descriptor, open.edge, open.changed) = (d, edge, true);
            done
        })
    }

    /// Removes; true if the key was there.
    pub fn delete(&mut self, table: usize, key: &[u8]) -> Result<bool> {
        self.change(|w| {
            w.tables[table].edge = Edge::default();
            let mut d = w.tables[table].descriptor;
            let done = tree::remove(w, &mut d, key);
            w.tables[table].descriptor = d;
            w.tables[table].changed |= !matches!(done, Ok(false));
            done
        })
    }

    /// Writes the descriptors of changed tables to the catalog. True if the transaction changed anything.
    pub(super) fn store_tables(&mut self) -> Result<bool> {
        self.change(|w| {
            for i in 0..w.tables.len() {
                if std::mem::take(&mut w.tables[i].changed) {
                    let (name, d) = (w.tables[i].name.clone(), w.tables[i].descriptor);
                    w.store_descriptor(&name, &d)?;
                }
            }
            Ok(w.catalog != w.base.catalog)
        })
    }

    /// Gives buffers and lock back.
    pub(super) fn release(self) {
        let Writer { store, mut lock, .. } = self;
        let buffers = store.into_pool();
        if let Some(reuse) = lock.cache() {
            reuse.buffers = buffers;
        }
    }
}

/// A table's descriptor as the catalog has it.
pub fn stored_table(
    pages: &impl PageSource,
    catalog: &TableDescriptor,
    name: &str,
    page_count: u64,
) -> Result<Option<TableDescriptor>> {
    let Some(bytes) = tree::get(pages, catalog, name.as_bytes())? else { return Ok(None) };
    let d = TableDescriptor::decode(bytes, page_count);
    d.map(Some).map_err(|what| Error::corrupt(catalog.root, format!("table {name:?}: {what}")))
}

fn check_name(name: &str, page_size: usize) -> Result<()> {
    let max = crate::format::node::max_key_len(page_size);
    if name.is_empty() || name.len() > max {
        return Err(Error::InvalidArgument(format!("table names have 1 to {max} bytes")));
    }
    Ok(())
}

impl PageSource for Writer {
    fn page_size(&self) -> usize {
        self.base.page_size
    }

    fn page(&self, id: PageId) -> Result<&[u8]> {
        // Here too, because a dirty page may not come from the file.
        self.store.engine.shared.check_alive()?;
        check_birth(id, self.store.page(id)?, self.store.txn)
    }

    fn run(&self, first: PageId, pages: u64) -> Result<&[u8]> {
        self.store.in_file(first, pages)
    }

    fn prefetch_at(&self, id: PageId, from: usize, bytes: usize) {
        self.store.prefetch_at(id, from, bytes);
    }
}

impl PageSink for Writer {
    fn txn(&self) -> TxnId {
        self.store.txn
    }

    fn turnover(&self) -> u64 {
        self.turnover
    }

    fn allocate(&mut self) -> Result<PageId> {
        self.turnover += 1;
        let id = self.alloc.allocate(&self.store)?;
        if self.store.is_own(id) {
            return Err(in_use(id));
        }
        self.store.make_room(self.alloc.page_count())?;
        Ok(id)
    }

    fn allocate_copy(&mut self, from: PageId) -> Result<PageId> {
        let id = self.allocate()?;
        if id == from {
            return Err(in_use(id));
        }
        if !self.store.copy_staged(from, id)? {
            let copy = PageCopy::of(self.page(from)?);
            self.page_mut(id)?.copy_from_slice(copy.bytes());
        }
        Ok(id)
    }

    fn page_mut(&mut self, id: PageId) -> Result<&mut [u8]> {
        self.store.page_mut(id)
    }

    fn free(&mut self, id: PageId, birth: TxnId) -> Result<()> {
        self.turnover += 1;
        self.store.forget(id);
        self.alloc.free(id, 1, birth)
    }

    fn allocate_run(&mut self, value: &[u8]) -> Result<(PageId, u32)> {
        self.turnover += 1;
        let pages = (value.len() as u64).div_ceil(self.base.page_size as u64);
        if pages > u64::from(u32::MAX) {
            return Err(Error::ValueTooLong { len: value.len() as u64 });
        }
        let first = self.alloc.allocate_run(pages, &self.store)?;
        self.store.make_room(self.alloc.page_count())?;
        let crc = self.store.write_run(first, value)?;
        Ok((first, crc))
    }

    fn free_run(&mut self, first: PageId, pages: u64, birth: TxnId) -> Result<()> {
        self.turnover += 1;
        self.store.forget(first);
        self.alloc.free(first, pages, birth)
    }
}
