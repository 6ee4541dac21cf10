//! A store in memory. In strict mode every misuse of a page panics: reading or freeing what is
//! free, writing what another transaction wrote. In lenient mode, for damaged pages, it is an
//! error.

use crate::error::{Error, Result};
use crate::format::checksum::run_crc;
use crate::format::descriptor::TableDescriptor;
use crate::format::overflow::OverflowRef;
use crate::format::page::birth;
use crate::tree::{PageCopy, PageSink, PageSource, RightmostPath};
use crate::types::{PageId, TxnId};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::Bound;

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Free,
    Page { birth: u64 },
    Run { birth: u64 },
    Dead { birth: u64, death: u64, run: bool },
}

/// Which pages a store says are in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resident {
    All,
    None,
    /// Those that it was told will be needed.
    Hinted,
}

#[derive(Clone)]
pub struct Store {
    pub page_size: usize,
    words: Vec<u64>,
    states: Vec<State>,
    free: Vec<u64>,
    txn: u64,
    floor: u64,
    strict: bool,
    turnover: u64,
    /// Allocations that still succeed.
    pub budget: Option<u64>,
    /// Pages that it was told will be needed, and how many that were in all.
    pub hints: RefCell<HashSet<PageId>>,
    pub hinted: Cell<u64>,
    pub resident: Cell<Resident>,
}

impl Store {
    pub fn new(page_size: usize) -> Store {
        Store {
            page_size,
            words: vec![0; 2 * page_size / 8],
            states: vec![State::Free; 2],
            free: Vec::new(),
            txn: 1,
            floor: 1,
            strict: true,
            turnover: 0,
            budget: None,
            hints: RefCell::default(),
            hinted: Cell::new(0),
            resident: Cell::new(Resident::All),
        }
    }

    /// The next transaction begins; what the last one wrote is now immutable.
    pub fn next_txn(&mut self) {
        self.txn += 1;
        self.floor = self.txn;
    }

    /// The transaction goes on under another id, as behind a savepoint that was given up.
    pub fn renew(&mut self) {
        self.txn += 1;
    }

    fn is_own(&self, birth: u64) -> bool {
        (self.floor..=self.txn).contains(&birth)
    }

    pub fn txn_number(&self) -> u64 {
        self.txn
    }

    /// Misuse becomes an error instead of a panic.
    pub fn lenient(&mut self) {
        self.strict = false;
    }

    /// Dead pages that no snapshot older than now needs become free.
    pub fn reclaim(&mut self) {
        for (id, state) in self.states.iter_mut().enumerate() {
            if let State::Dead { .. } = state {
                *state = State::Free;
                self.free.push(id as u64);
            }
        }
    }

    /// Pages in use by the current transaction: with a header, and in runs.
    pub fn live(&self) -> (u64, u64) {
        let count = |f: fn(&State) -> bool| self.states.iter().filter(|s| f(s)).count() as u64;
        (count(|s| matches!(s, State::Page { .. })), count(|s| matches!(s, State::Run { .. })))
    }

    pub fn page_count(&self) -> u64 {
        self.states.len() as u64
    }

    /// All bytes of a page, whatever its state.
    pub fn raw(&mut self, id: PageId) -> &mut [u8] {
        let size = self.page_size;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        &mut bytes[id.0 as usize * size..][..size]
    }

    /// Pages written by transactions before this one, and their bytes.
    pub fn old_pages(&self) -> Vec<(PageId, Vec<u8>)> {
        let old = |s: &State| match *s {
            State::Free => false,
            State::Page { birth } | State::Run { birth } | State::Dead { birth, .. } => {
                birth < self.floor
            }
        };
        let ids = (0..self.states.len()).filter(|&id| old(&self.states[id]));
        ids.map(|id| (PageId(id as u64), self.bytes(id as u64, 1).to_vec())).collect()
    }

    fn bytes(&self, first: u64, pages: u64) -> &[u8] {
        let bytes: &[u8] = bytemuck::cast_slice(&self.words);
        &bytes[first as usize * self.page_size..][..pages as usize * self.page_size]
    }

    fn misuse(&self, id: PageId, what: &str) -> Error {
        assert!(!self.strict, "page {id}: {what}, state {:?}", self.states.get(id.0 as usize));
        Error::corrupt(id, what)
    }

    fn state(&self, id: u64) -> Option<State> {
        self.states.get(id as usize).copied().filter(|_| id >= 2)
    }

    fn page_for(&self, id: PageId, reader: u64, snapshot: bool) -> Result<&[u8]> {
        let seen = match self.state(id.0) {
            Some(State::Page { birth }) => birth <= reader,
            Some(State::Dead { birth, death, run: false }) => {
                snapshot && birth <= reader && reader < death
            }
            _ => false,
        };
        if !seen {
            return Err(self.misuse(id, "read"));
        }
        let page = self.bytes(id.0, 1);
        if birth(page).0 > reader {
            return Err(self.misuse(id, "born later"));
        }
        Ok(page)
    }

    fn run_for(&self, first: PageId, pages: u64, reader: u64, snapshot: bool) -> Result<&[u8]> {
        if first.0.checked_add(pages).is_none_or(|end| end > self.page_count()) {
            return Err(self.misuse(first, "run outside the file"));
        }
        for id in first.0..first.0 + pages {
            let seen = match self.state(id) {
                Some(State::Run { birth }) => birth <= reader,
                Some(State::Dead { birth, death, run: true }) => {
                    snapshot && birth <= reader && reader < death
                }
                _ => false,
            };
            if !seen {
                return Err(self.misuse(first, "run read"));
            }
        }
        Ok(self.bytes(first.0, pages))
    }

    fn spend(&mut self) -> Result<()> {
        self.turnover += 1;
        match &mut self.budget {
            Some(0) => {
                Err(Error::DiskFull { path: None, source: std::io::ErrorKind::StorageFull.into() })
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn extend(&mut self, pages: u64) -> u64 {
        let first = self.page_count();
        // Fresh pages hold rubbish.
        let len = self.words.len() + pages as usize * self.page_size / 8;
        self.words.resize(len, 0x5a5a_a5a5_5a5a_a5a5);
        self.states.resize(self.states.len() + pages as usize, State::Free);
        first
    }

    fn kill(&mut self, id: u64, born: u64, run: bool) -> Result<()> {
        self.turnover += 1;
        let (birth, is_run) = match self.state(id) {
            Some(State::Page { birth }) => (birth, false),
            Some(State::Run { birth }) => (birth, true),
            _ => return Err(self.misuse(PageId(id), "freed")),
        };
        if birth != born || is_run != run {
            return Err(self.misuse(PageId(id), "freed as something else"));
        }
        self.states[id as usize] = if self.is_own(birth) {
            self.free.push(id);
            State::Free
        } else {
            State::Dead { birth, death: self.txn, run }
        };
        Ok(())
    }
}

impl PageSource for Store {
    fn page_size(&self) -> usize {
        self.page_size
    }

    fn page(&self, id: PageId) -> Result<&[u8]> {
        self.page_for(id, self.txn, false)
    }

    fn run(&self, run: &OverflowRef) -> Result<&[u8]> {
        self.run_for(run.first, run.pages(self.page_size), self.txn, false)
    }

    fn will_need(&self, first: PageId, pages: u64) {
        let end = (first.0 + pages).min(self.page_count());
        self.hints.borrow_mut().extend((first.0..end).map(PageId));
        self.hinted.set(self.hinted.get() + pages);
    }

    fn is_resident(&self, id: PageId) -> bool {
        match self.resident.get() {
            Resident::All => true,
            Resident::None => false,
            Resident::Hinted => self.hints.borrow().contains(&id),
        }
    }
}

impl PageSink for Store {
    fn txn(&self) -> TxnId {
        TxnId(self.txn)
    }

    fn floor(&self) -> TxnId {
        TxnId(self.floor)
    }

    fn turnover(&self) -> u64 {
        self.turnover
    }

    fn allocate(&mut self) -> Result<PageId> {
        self.spend()?;
        let id = match self.free.pop() {
            Some(id) => id,
            None => self.extend(1),
        };
        self.states[id as usize] = State::Page { birth: self.txn };
        Ok(PageId(id))
    }

    fn allocate_copy(&mut self, from: PageId) -> Result<PageId> {
        let copy = PageCopy::of(self.page(from)?);
        let id = self.allocate()?;
        self.page_mut(id)?.copy_from_slice(copy.bytes());
        Ok(id)
    }

    fn page_mut(&mut self, id: PageId) -> Result<&mut [u8]> {
        match self.state(id.0) {
            Some(State::Page { birth }) if self.is_own(birth) => {}
            _ => return Err(self.misuse(id, "written")),
        }
        // Whatever is written gets the newest id.
        self.states[id.0 as usize] = State::Page { birth: self.txn };
        Ok(self.raw(id))
    }

    fn free(&mut self, id: PageId, birth: TxnId) -> Result<()> {
        self.kill(id.0, birth.0, false)
    }

    fn allocate_run(&mut self, value: &[u8]) -> Result<(PageId, u32)> {
        self.spend()?;
        let pages = value.len().div_ceil(self.page_size);
        let first = self.extend(pages as u64);
        let size = self.page_size;
        for id in first as usize..first as usize + pages {
            self.states[id] = State::Run { birth: self.txn };
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        let room = &mut bytes[first as usize * size..][..pages * size];
        room[..value.len()].copy_from_slice(value);
        room[value.len()..].fill(0);
        let crc = run_crc(PageId(first), [&*room]);
        Ok((PageId(first), crc))
    }

    fn free_run(&mut self, first: PageId, pages: u64, birth: TxnId) -> Result<()> {
        self.run_for(first, pages, self.txn, false)?;
        (first.0..first.0 + pages).try_for_each(|id| self.kill(id, birth.0, true))
    }
}

/// The tree as a reader sees it who began after a transaction.
pub struct Snapshot<'a> {
    pub store: &'a Store,
    pub txn: u64,
}

impl PageSource for Snapshot<'_> {
    fn page_size(&self) -> usize {
        self.store.page_size
    }

    fn page(&self, id: PageId) -> Result<&[u8]> {
        self.store.page_for(id, self.txn, true)
    }

    fn run(&self, run: &OverflowRef) -> Result<&[u8]> {
        self.store.run_for(run.first, run.pages(self.store.page_size), self.txn, true)
    }
}

/// A store and one tree in it.
pub struct Tree {
    pub store: Store,
    pub desc: TableDescriptor,
    /// And the tree that it belongs to.
    edge: (RightmostPath, TableDescriptor),
}

impl Tree {
    pub fn new(page_size: usize) -> Tree {
        Tree::of(Store::new(page_size), TableDescriptor::default())
    }

    /// One whose values are aligned to 2^`align_shift` bytes.
    pub fn aligned(page_size: usize, align_shift: u8) -> Tree {
        let desc = TableDescriptor { align_shift, ..TableDescriptor::default() };
        Tree::of(Store::new(page_size), desc)
    }

    /// A table of sets of values, of this size or, where it is 0, of any.
    pub fn sets(page_size: usize, value_size: u16) -> Tree {
        let desc = TableDescriptor { is_set: true, value_size, ..TableDescriptor::default() };
        Tree::of(Store::new(page_size), desc)
    }

    pub fn insert_pair(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        let (edge, of) = &mut self.edge;
        if *of != self.desc {
            *edge = RightmostPath::default();
        }
        let done = crate::tree::insert_pair(&mut self.store, &mut self.desc, edge, key, value);
        *of = self.desc;
        done
    }

    pub fn remove_pair(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.edge.0 = RightmostPath::default();
        crate::tree::remove_pair(&mut self.store, &mut self.desc, key, value)
    }

    pub fn of(store: Store, desc: TableDescriptor) -> Tree {
        Tree { store, desc, edge: (RightmostPath::default(), desc) }
    }

    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        let (edge, of) = &mut self.edge;
        if *of != self.desc {
            *edge = RightmostPath::default();
        }
        let done = crate::tree::insert(&mut self.store, &mut self.desc, edge, key, value);
        *of = self.desc;
        done
    }

    pub fn remove(&mut self, key: &[u8]) -> Result<bool> {
        self.edge.0 = RightmostPath::default();
        crate::tree::remove(&mut self.store, &mut self.desc, key)
    }

    pub fn remove_range(&mut self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<u64> {
        self.edge.0 = RightmostPath::default();
        crate::tree::remove_range(&mut self.store, &mut self.desc, from, to)
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        crate::tree::get(&self.store, &self.desc, key)
    }
}
