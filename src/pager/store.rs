//! The pages of one write transaction: where dirty ones live until they are in the page cache.
//!
//! Staged: in private buffers; when these outgrow their bound, and at the end, they are sealed and
//! written in runs. Direct: in the writable map from the start. Either way every dirty page is in
//! the page cache, complete and sealed, before the transaction counts as built (rule 8), and in
//! none of its bytes does a page change that a snapshot sees.

use super::page_map::PageMap;
use super::read_checks::ReadChecks;
use super::view::PageView;
use super::written::Written;
use super::{PagerOptions, Sink};
use crate::error::{Error, Result};
use crate::format::checksum::run_crc;
use crate::format::node::MAX_INLINE_SHIFT;
use crate::format::overflow::OverflowRef;
use crate::format::page;
use crate::observe::PageFigures;
use crate::space::allocator::LogPages;
use crate::storage::{self, LINE, Line, LivePlatform, PlatformRef, Storage, WritableView};
use crate::types::{PageId, TxnId};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The device is asked to begin after so many bytes, or so many runs, of a transaction that will be
/// flushed. Each asking costs a system call, and what is written before it could be joined with
/// nothing behind it.
const BEGIN_BYTES: usize = 256 << 10;
const BEGIN_RUNS: usize = 16;

/// The map of staged pages begins with room for those of a small commit.
const FEW: usize = 7;

/// Buffers kept from one transaction to the next.
const POOL: usize = 1024;

/// Bytes of one page, as aligned as what stands in it needs to be ([`MAX_INLINE_SHIFT`]).
pub struct Buffer(Box<[Line]>);

const _: () = assert!(align_of::<Line>() == 1 << MAX_INLINE_SHIFT);

impl Buffer {
    fn new(page_size: usize) -> Buffer {
        Buffer(bytemuck::zeroed_slice_box(page_size / LINE))
    }
}

impl Deref for Buffer {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// Says whether what has been read of a base that was not durable can be believed.
pub trait Proof: Send + Sync {
    /// An error if a page that was read may have been refused by the device, and have come back as
    /// an older one.
    fn proved(&self) -> Result<()>;
}

/// Dirty pages of one write transaction, over the pages of its base snapshot.
pub struct PageStore {
    platform: LivePlatform,
    options: PagerOptions,
    /// Its first id: savepoints have given it others since.
    first: TxnId,
    txn: TxnId,
    /// Its page count moves with the allocator.
    view: PageView,
    direct: Option<WritableView>,
    stage: PageMap<Buffer>,
    pool: Vec<Buffer>,
    /// Dirty pages that are in the page cache (staged sink) or anywhere (direct sink), and runs.
    written: PageMap<Written>,
    /// Eager write-back: the commit will wait for the device, which may as well begin before the
    /// last page is in the page cache.
    eager: bool,
    /// What is in the page cache since the device was asked to begin.
    ahead: Ahead,
    /// Pages that were spilled, and bytes by which the file has grown.
    spilled: u64,
    growth: u64,
    /// Of a base that was not durable.
    proof: Option<Box<dyn Proof>>,
    /// Which pages of the base are compared with their checksums, if any.
    checks: Option<Arc<ReadChecks>>,
    /// Pages of this transaction have been read in the page cache, where they may be refused and
    /// come back as older ones at any time.
    own_read: AtomicBool,
    /// Bytes put into the page cache.
    put_bytes: u64,
}

/// Bytes of the file that lie in this range, and in how many pieces.
#[derive(Default)]
struct Ahead {
    from: u64,
    to: u64,
    bytes: usize,
    runs: usize,
}

impl PageStore {
    /// Of transaction `txn`, over the pages of the snapshot that `view` shows.
    pub fn new(
        platform: PlatformRef,
        options: PagerOptions,
        txn: TxnId,
        view: PageView,
        pool: Vec<Buffer>,
        checks: Option<Arc<ReadChecks>>,
    ) -> Self {
        PageStore {
            direct: match options.sink {
                Sink::Direct => WritableView::of(platform.storage()),
                Sink::Staged => None,
            },
            platform: LivePlatform::new(platform),
            options,
            first: txn,
            txn,
            view,
            stage: PageMap::with_capacity_and_hasher(FEW, Default::default()),
            pool,
            written: PageMap::default(),
            eager: false,
            ahead: Ahead::default(),
            spilled: 0,
            growth: 0,
            proof: None,
            checks,
            own_read: AtomicBool::new(false),
            put_bytes: 0,
        }
    }

    /// Whom to ask about the base, where that was not durable.
    pub fn set_proof(&mut self, proof: Box<dyn Proof>) {
        self.proof = Some(proof);
    }

    /// Whether something that this transaction will commit may depend on what it has read of its
    /// own pages in the page cache.
    pub fn has_read_own(&self) -> bool {
        self.direct.is_some() || self.own_read.load(Ordering::Relaxed)
    }

    /// The transaction that writes.
    #[inline]
    pub fn txn(&self) -> TxnId {
        self.txn
    }

    /// The transaction goes on under another id, above the one it has.
    pub fn set_txn(&mut self, txn: TxnId) {
        self.txn = txn;
    }

    /// Whether this transaction has written a page with this birth.
    #[inline]
    fn is_own_birth(&self, birth: TxnId) -> bool {
        birth >= self.first && birth <= self.txn
    }

    /// Bytes of a page.
    #[inline]
    pub fn page_size(&self) -> usize {
        self.view.page_size()
    }

    /// Pages from here on belong to nothing.
    pub fn page_count(&self) -> u64 {
        self.view.page_count()
    }

    /// Pages that went to the page cache to make room, each as often as it did.
    pub fn spilled(&self) -> u64 {
        self.spilled
    }

    /// Bytes by which it has made the file longer.
    pub fn growth(&self) -> u64 {
        self.growth
    }

    /// Whether the device is to begin early.
    pub fn set_eager(&mut self, eager: bool) {
        self.eager = eager;
    }

    /// What it has done so far.
    pub fn figures(&self) -> PageFigures {
        let page_size = self.page_size() as u64;
        PageFigures {
            written: self.put_bytes / page_size,
            spilled: self.spilled,
            page_size,
            grown_bytes: self.growth,
            file_bytes: self.storage().view().len as u64,
            ..PageFigures::default()
        }
    }

    fn storage(&self) -> &dyn Storage {
        self.platform.get().storage()
    }

    fn offset(&self, id: PageId) -> u64 {
        id.0 * self.page_size() as u64
    }

    /// Every access asks, also to a dirty page, which is not in the file: a forked child owns none
    /// of it.
    #[inline(always)]
    fn check_alive(&self) -> Result<()> {
        self.platform.check_alive()
    }

    /// The same error with the file that it is about.
    pub fn named(&self, e: Error) -> Error {
        storage::named(&**self.platform.get(), e)
    }

    /// The word of life of its process.
    pub fn alive(&self) -> &AtomicU64 {
        self.platform.get().alive()
    }

    /// The page as this transaction sees it.
    pub fn page(&self, id: PageId) -> Result<&[u8]> {
        self.check_alive()?;
        match self.stage.get(&id) {
            Some(staged) => Ok(staged),
            None => self.unstaged(id),
        }
    }

    #[inline(never)]
    fn unstaged(&self, id: PageId) -> Result<&[u8]> {
        let page = self.view.pages(&**self.platform.get(), id, 1)?;
        let own = self.is_own_birth(page::birth(page));
        if own || !self.written.is_empty() {
            self.check_spilled(id, page)?;
        }
        if own {
            self.own_read.store(true, Ordering::Relaxed);
        } else if let Some(checks) = &self.checks {
            checks.page(id, page)?;
        }
        Ok(page)
    }

    /// T4, T6, rule 8: a page that is not staged is one of the base, or one that this transaction
    /// has spilled, and then still what was spilled: if its write-back failed and it left the
    /// cache, an older content has come back, which would be sealed anew. (In the direct sink dirty
    /// pages have no checksum yet.)
    fn check_spilled(&self, id: PageId, page: &[u8]) -> Result<()> {
        match self.written.get(&id) {
            None if !self.is_own_birth(page::birth(page)) => Ok(()),
            None => Err(Error::corrupt(id, "as if the running transaction had written it")),
            Some(_) if self.direct.is_some() => Ok(()),
            Some(w @ Written::Page { .. }) if w.is(id, page) => Ok(()),
            Some(_) => Err(not_own(id)),
        }
    }

    /// A value on pages of its own. One of this transaction is read as a whole, and is what was put
    /// there.
    pub fn run(&self, run: &OverflowRef) -> Result<&[u8]> {
        let (first, pages) = (run.first, run.pages(self.page_size()));
        let bytes = self.in_file(first, pages)?;
        match self.written.get(&first) {
            None => {
                let checks = self.checks.as_ref();
                checks.map_or(Ok(()), |checks| checks.run(run, bytes)).map(|()| bytes)
            }
            Some(w) if w.pages() == pages && w.is(first, bytes) => {
                self.own_read.store(true, Ordering::Relaxed);
                Ok(bytes)
            }
            Some(_) => Err(not_own(first)),
        }
    }

    /// Whether the page is in use by this transaction: it has been written to and not been given
    /// back.
    pub fn is_own(&self, id: PageId) -> bool {
        self.stage.contains_key(&id) || self.written.contains_key(&id)
    }

    /// `pages` pages of the file, side by side.
    fn in_file(&self, first: PageId, pages: u64) -> Result<&[u8]> {
        self.check_alive()?;
        self.view.pages(&**self.platform.get(), first, pages)
    }

    /// Hint: these bytes of the page will be read at once. For pages of the file only: what is
    /// staged was touched lately.
    pub fn prefetch_at(&self, id: PageId, from: usize, bytes: usize) {
        if self.stage.contains_key(&id) {
            return;
        }
        self.view.prefetch_at(id, from, bytes);
    }

    /// Grows the file so that `page_count` pages fit: before any of them is touched, so that a
    /// full disk is an error here and nothing later.
    ///
    /// [`Error::DatabaseFull`] if that is not allowed: of pages, also where the file is long enough
    /// for more. What a file has that was longer before may be used.
    pub fn make_room(&mut self, page_count: u64) -> Result<()> {
        let need = page_count * self.page_size() as u64;
        let max_bytes = self.options.max_bytes;
        if need > max_bytes && page_count > self.view.page_count() {
            return Err(Error::DatabaseFull { path: None, max_bytes });
        }
        self.view.set_page_count(page_count);
        if self.view.is_covered() {
            return Ok(());
        }
        let storage = self.platform.get().storage();
        let len = storage.len()?;
        let step = (len / 32).clamp(self.options.growth_step, 16 << 20);
        let target = len.saturating_add(step).min(max_bytes).max(need);
        let target = target - target % self.page_size() as u64;
        if target == need || storage.grow(target).is_err() {
            storage.grow(need)?;
        }
        self.view.set_map(storage.view());
        self.growth += (storage.view().len as u64).saturating_sub(len);
        if self.direct.is_some() {
            self.direct = WritableView::of(storage);
        }
        Ok(())
    }

    /// A page of this transaction to change. A new one starts with undefined content.
    pub fn page_mut(&mut self, id: PageId) -> Result<&mut [u8]> {
        let size = self.page_size();
        if let Some(map) = self.direct {
            self.written.insert(id, Written::Page { crc: 0 });
            let at = self.offset(id);
            return map.slice_mut(self, at, size as u64).ok_or_else(|| outside(id));
        }
        if !self.stage.contains_key(&id) {
            self.stage_page(id)?;
        }
        self.stage.get_mut(&id).map(|b| &mut b[..]).ok_or_else(|| outside(id))
    }

    #[inline(never)]
    fn stage_page(&mut self, id: PageId) -> Result<()> {
        let mut buffer = self.buffer()?;
        if self.written.contains_key(&id) {
            buffer.copy_from_slice(self.in_file(id, 1)?);
            // The copy, which cannot change any more.
            self.check_spilled(id, &buffer)?;
        }
        self.written.remove(&id);
        self.stage.insert(id, buffer);
        Ok(())
    }

    /// A buffer for a page that is not staged; what was staged may have gone to the file to make
    /// room.
    fn buffer(&mut self) -> Result<Buffer> {
        let size = self.page_size();
        if self.stage.len() * size >= self.options.stage_bytes {
            self.spilled += self.stage.len() as u64;
            // Not eagerly: what was spilled may be changed again.
            self.write_stage(false)?;
        }
        Ok(self.pool.pop().unwrap_or_else(|| Buffer::new(size)))
    }

    /// Makes a new page of this transaction with the bytes of another one, in one copy; false if it
    /// takes two.
    pub fn copy_staged(&mut self, from: PageId, to: PageId) -> Result<bool> {
        if self.direct.is_some() {
            return Ok(false);
        }
        let mut buffer = self.buffer()?;
        buffer.copy_from_slice(self.page(from)?);
        self.written.remove(&to);
        self.stage.insert(to, buffer);
        Ok(true)
    }

    /// The transaction has fewer pages than it had, and writes to none behind them: where the file
    /// could not grow it need not.
    pub fn lower_page_count(&mut self, page_count: u64) {
        self.view.set_page_count(page_count);
    }

    /// The page is not part of the transaction any more.
    pub fn forget(&mut self, id: PageId) {
        self.written.remove(&id);
        if let Some(buffer) = self.stage.remove(&id) {
            self.recycle(buffer);
        }
    }

    /// Inside the transaction there are never more than the stage holds.
    fn recycle(&mut self, buffer: Buffer) {
        self.pool.push(buffer);
    }

    /// Puts a value on fresh pages, whole and padded with zeros; returns the checksum of the run.
    pub fn write_run(&mut self, first: PageId, value: &[u8]) -> Result<u32> {
        let size = self.page_size();
        let pages = (value.len() as u64).div_ceil(size as u64);
        let padding = vec![0; (pages * size as u64 - value.len() as u64) as usize];
        let crc = run_crc(first, [value, &padding]);
        let (at, len) = (self.offset(first), pages * size as u64);
        match self.direct {
            Some(map) => {
                let place = map.slice_mut(self, at, len).ok_or_else(|| outside(first))?;
                place[..value.len()].copy_from_slice(value);
                place[value.len()..].fill(0);
                self.storage().stored(at, len);
                self.put_bytes += len;
            }
            None => {
                let mut at = at;
                let mut parts = value.chunks(BEGIN_BYTES).peekable();
                while let Some(part) = parts.next() {
                    let behind = if parts.peek().is_none() { &padding[..] } else { &[] };
                    self.put(at, &[part, behind], self.eager)?;
                    at += part.len() as u64;
                }
            }
        }
        self.written.insert(first, Written::Run { crc, pages: pages as u32 });
        Ok(crc)
    }

    /// Seals every dirty page and brings it into the page cache; returns what was written in the
    /// whole transaction, in the order of the file.
    pub fn seal(&mut self) -> Result<Vec<(PageId, Written)>> {
        if self.direct.is_some() {
            self.seal_direct()?;
        } else {
            self.write_stage(self.eager)?;
        }
        let mut all: Vec<_> = self.written.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        Ok(all)
    }

    fn seal_direct(&mut self) -> Result<()> {
        let Some(map) = self.direct else { return Ok(()) };
        let mut ids: Vec<PageId> = self
            .written
            .iter()
            .filter(|(_, w)| matches!(w, Written::Page { .. }))
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        for id in ids {
            let (at, size) = (self.offset(id), self.page_size() as u64);
            let place = map.slice_mut(self, at, size);
            let crc = page::seal(id, place.ok_or_else(|| outside(id))?);
            self.storage().stored(at, size);
            self.put_bytes += size;
            self.written.insert(id, Written::Page { crc });
        }
        Ok(())
    }

    /// Brings parts that stand one behind the other into the page cache. Eagerly: the device is
    /// asked to begin with them now and then. It works while this thread goes on, and the flush
    /// finds less to do. Nothing depends on it, since what is in the page cache may come to the
    /// device at any time anyway.
    fn put(&mut self, at: u64, parts: &[&[u8]], eager: bool) -> Result<()> {
        let storage = self.platform.get().storage();
        storage.write_all_of(at, parts)?;
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.put_bytes += bytes as u64;
        if !eager {
            return Ok(());
        }
        let a = &mut self.ahead;
        a.from = if a.bytes == 0 { at } else { a.from.min(at) };
        a.to = a.to.max(at + bytes as u64);
        a.bytes += bytes;
        a.runs += 1;
        if a.bytes >= BEGIN_BYTES || a.runs >= BEGIN_RUNS {
            storage.write_back(a.from, a.to - a.from);
            *a = Ahead::default();
        }
        Ok(())
    }

    /// Writes the staged pages, neighbours in one call, up to [`BEGIN_BYTES`] of them. What could
    /// not be written is staged as before: a savepoint may need it (rule 35).
    fn write_stage(&mut self, eager: bool) -> Result<()> {
        let size = self.page_size() as u64;
        let mut pages: Vec<(PageId, Buffer)> = self.stage.drain().collect();
        pages.sort_unstable_by_key(|(id, _)| *id);
        self.written.reserve(pages.len());
        for (id, buffer) in &mut pages {
            let crc = page::seal(*id, buffer);
            self.written.insert(*id, Written::Page { crc });
        }
        let mut rest = &pages[..];
        let mut done = Ok(());
        while let Some((first, _)) = rest.first() {
            let most = rest.iter().take(BEGIN_BYTES / size as usize);
            let n = most.zip(first.0..).take_while(|((id, _), at)| id.0 == *at).count();
            let parts: Vec<&[u8]> = rest[..n].iter().map(|(_, b)| &b[..]).collect();
            done = self.put(first.0 * size, &parts, eager);
            if done.is_err() {
                break;
            }
            rest = &rest[n..];
        }
        let put = pages.len() - rest.len();
        if put < pages.len() {
            self.stage_again(pages.split_off(put));
        }
        for (_, buffer) in pages {
            self.recycle(buffer);
        }
        done
    }

    #[cold]
    fn stage_again(&mut self, pages: Vec<(PageId, Buffer)>) {
        for (id, buffer) in pages {
            self.written.remove(&id);
            self.stage.insert(id, buffer);
        }
    }

    /// The buffers, for the next transaction.
    pub fn take_pool(&mut self) -> Vec<Buffer> {
        let staged: Vec<_> = self.stage.drain().collect();
        for (_, buffer) in staged {
            self.recycle(buffer);
        }
        self.pool.truncate(POOL);
        std::mem::take(&mut self.pool)
    }
}

fn outside(id: PageId) -> Error {
    Error::corrupt(id, "outside the mapped file")
}

/// The device has refused it, and it has come back as an older one.
#[cold]
fn not_own(id: PageId) -> Error {
    Error::corrupt(id, "not what the running transaction has put there")
}

/// Only in a damaged file.
#[cold]
pub fn in_use(id: PageId) -> Error {
    Error::corrupt(id, "free, but in use by the running transaction")
}

impl LogPages for PageStore {
    fn log_page(&self, id: PageId) -> Result<&[u8]> {
        self.in_file(id, 1)
    }

    fn proved(&self) -> Result<()> {
        self.proof.as_ref().map_or(Ok(()), |proof| proof.proved())
    }

    fn new_log_page(&mut self, id: PageId) -> Result<&mut [u8]> {
        if self.is_own(id) {
            return Err(in_use(id));
        }
        self.make_room(self.page_count().max(id.0 + 1))?;
        self.page_mut(id)
    }
}
