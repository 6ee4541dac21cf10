//! A database of which only the places of pages are known: the real allocator, log pages in memory,
//! and a count of who sees what.

use fastrand::Rng;
use recto::harness::checksum::page_crc;
use recto::harness::space::{Allocator, LogPages, Meta, Pins, Start, is_flush_due};
use recto::{PageId, Result, TxnId};
use std::cell::Cell;
use std::collections::HashMap;

const PAGE: usize = 4096;
/// Free-log pages that a commit may read or write for each page that it takes or frees.
const WORK_PER_PAGE: u64 = 2;
/// Leaves below a branch.
const FANOUT: usize = 64;

/// A page, or a run of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    start: PageId,
    len: u64,
    birth: TxnId,
}

/// What the newest snapshot sees.
#[derive(Clone, Default)]
pub struct Live {
    root: Option<Item>,
    branches: Vec<Option<Item>>,
    leaves: Vec<Option<Item>>,
    /// Large values.
    pub values: Vec<Option<Item>>,
    pages: u64,
}

/// Free-log pages in memory.
#[derive(Default)]
struct Log {
    pages: HashMap<PageId, Box<[u8]>>,
    fresh: Vec<PageId>,
    reads: Cell<u64>,
    /// One has been read since somebody asked whether those are what was built.
    unproved: Cell<bool>,
}

impl LogPages for Log {
    fn log_page(&self, id: PageId) -> Result<&[u8]> {
        self.reads.set(self.reads.get() + 1);
        self.unproved.set(true);
        Ok(&self.pages[&id])
    }

    fn proved(&self) -> Result<()> {
        self.unproved.set(false);
        Ok(())
    }

    fn new_log_page(&mut self, id: PageId) -> Result<&mut [u8]> {
        self.fresh.push(id);
        let page = self.pages.entry(id).or_insert_with(|| vec![0; PAGE].into());
        page.fill(0);
        Ok(page)
    }
}

/// Pages that are dead for the newest snapshot, and which of the older ones see them.
#[derive(Clone, Copy)]
struct Dead {
    len: u64,
    birth: TxnId,
    death: TxnId,
}

/// Why a snapshot is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// By the commit protocol.
    Commit,
    Reader,
    Named,
}

/// A snapshot that keeps what it sees.
struct Holder {
    txn: TxnId,
    kept: Kept,
    /// Its pages that nobody else has been asked to count.
    dead: Vec<Dead>,
    pages: u64,
    /// It was rolled back: all of its pages, for ever.
    rolled_back: bool,
}

impl Holder {
    fn is_reader(&self) -> bool {
        self.kept == Kept::Reader
    }

    /// Whether somebody reads it, or it has a name.
    fn is_wanted(&self) -> bool {
        self.kept != Kept::Commit
    }
}

/// The most that was seen at any time, and the most work.
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    pub commits: u64,
    /// Pages of the file, now and at most.
    pub file: u64,
    pub most_file: u64,
    /// Pages that the newest snapshot sees, at most.
    pub most_live: u64,
    /// The same with what only readers and named snapshots see; and with what only the durable
    /// snapshot and those in the slots see.
    pub most_read: u64,
    pub most_held: u64,
    /// Free-log pages read and written, in all, and in the worst commit beyond what its bound
    /// grants for the pages it took and freed.
    pub reads: u64,
    pub written: u64,
    pub most_work: u64,
    pub taken: u64,
    pub flushes: u64,
    /// Pages side by side, written in one piece.
    pub pieces: u64,
    /// Pages that were given out behind a log page of which nobody had asked whether it is what was
    /// built (rule 23).
    pub unproved: u64,
    /// Free pages that nobody sees and that a transaction would not have got before the file grows,
    /// at most; beyond the part that it may miss of what is seen ([`MISSED_PART`]).
    pub most_missed: u64,
    /// Commits for which a side queue has had the same for a snapshot that nobody protects, at
    /// most.
    pub most_waited: u64,
}

/// Of pages that are free and seen by nobody a transaction may miss as many as this part of those
/// that somebody sees.
pub const MISSED_PART: u64 = 4;

impl Figures {
    /// Pages that were in use at one time, at most: with deferred commits, what durable snapshots
    /// keep is.
    pub fn in_use(&self) -> u64 {
        if self.flushes < self.commits { self.most_held } else { self.most_read }
    }
}

/// See the head of the file.
pub struct World {
    pub rng: Rng,
    log: Log,
    base: Meta,
    pub live: Live,
    durable: (Meta, Live),
    slots: [TxnId; 2],
    holders: Vec<Holder>,
    next: u64,
    page_high: u64,
    dead: std::ops::Range<u64>,
    roll_backs: bool,
    /// What each side queue has for a snapshot that nobody protects, and for how many commits.
    waiting: [(Waiting, u64); 3],
    /// Bytes written since the last flush.
    unflushed: u64,
    /// Pages taken while nothing might be used again.
    appended: u64,
    appended_from: Option<u64>,
    pub figures: Figures,
}

/// A side queue: its pin, its first log page, what of that is used, log pages, entries behind them.
type Waiting = (TxnId, PageId, u16, u32, usize);

/// A write transaction.
pub struct Txn<'a> {
    pub rng: &'a mut Rng,
    log: &'a Log,
    alloc: Allocator,
    id: TxnId,
    pub live: &'a mut Live,
    freed: Vec<Dead>,
    taken: u64,
    given: u64,
    last: u64,
    pieces: u64,
    unproved: u64,
}

impl Txn<'_> {
    fn take(&mut self, len: u64, run: bool) -> Item {
        let start = match run {
            true => self.alloc.allocate_run(len, self.log),
            false => self.alloc.allocate(self.log),
        };
        let start = start.expect("the log is whole");
        self.unproved += u64::from(self.log.unproved.get());
        self.taken += len;
        self.live.pages += len;
        self.pieces += u64::from(self.last != start.0);
        self.last = start.0 + len;
        Item { start, len, birth: self.id }
    }

    fn give(&mut self, item: Item) {
        self.alloc.free(item.start, item.len, item.birth).expect("was in use");
        self.live.pages -= item.len;
        self.given += item.len;
        if item.birth != self.id {
            self.freed.push(Dead { len: item.len, birth: item.birth, death: self.id });
        }
    }

    /// A page of the tree: its own one is changed in place.
    fn touch(&mut self, old: Option<Item>) -> Option<Item> {
        if old.is_some_and(|item| item.birth == self.id) {
            return old;
        }
        let new = self.take(1, false);
        old.into_iter().for_each(|item| self.give(item));
        Some(new)
    }

    /// Puts a small value into a leaf.
    pub fn put(&mut self, leaf: usize) {
        let branch = leaf / FANOUT;
        if leaf >= self.live.leaves.len() {
            self.live.leaves.resize(leaf + 1, None);
            self.live.branches.resize(branch + 1, None);
        }
        self.live.root = self.touch(self.live.root);
        self.live.branches[branch] = self.touch(self.live.branches[branch]);
        self.live.leaves[leaf] = self.touch(self.live.leaves[leaf]);
    }

    /// Empties a leaf.
    pub fn erase(&mut self, leaf: usize) {
        if let Some(item) = self.live.leaves.get_mut(leaf).and_then(Option::take) {
            self.give(item);
        }
    }

    /// Replaces a large value by one of `len` pages, in which its leaf changes too; 0: by nothing.
    pub fn put_large(&mut self, value: usize, len: u64) {
        if value >= self.live.values.len() {
            self.live.values.resize(value + 1, None);
        }
        let new = (len > 0).then(|| self.take(len, true));
        if let Some(old) = std::mem::replace(&mut self.live.values[value], new) {
            self.give(old);
        }
        self.put(value / 16);
    }

    /// Leaves, whole or emptied.
    pub fn leaves(&self) -> usize {
        self.live.leaves.len()
    }
}

impl World {
    /// An empty database. Where roll-backs are to come the durable content is kept.
    pub fn new(seed: u64, roll_backs: bool) -> World {
        let base = Meta::empty([7; 16], PAGE);
        World {
            rng: Rng::with_seed(seed),
            log: Log::default(),
            durable: (base.clone(), Live::default()),
            slots: [base.txn; 2],
            next: base.txn.0 + 1,
            page_high: 2,
            base,
            live: Live::default(),
            holders: Vec::new(),
            dead: 0..0,
            roll_backs,
            waiting: Default::default(),
            unflushed: 0,
            appended: 0,
            appended_from: None,
            figures: Figures::default(),
        }
    }

    /// Pages that the newest snapshot sees.
    pub fn pages(&self) -> u64 {
        self.live.pages
    }

    /// Who reads.
    pub fn readers(&self) -> usize {
        self.holders.iter().filter(|h| h.is_reader()).count()
    }

    /// Begins to read the newest snapshot.
    pub fn hold(&mut self) {
        self.add_holder(self.base.txn, Kept::Reader);
    }

    /// Names the newest snapshot.
    pub fn name(&mut self) {
        self.add_holder(self.base.txn, Kept::Named);
    }

    fn add_holder(&mut self, txn: TxnId, kept: Kept) {
        let holder = Holder { txn, kept, dead: Vec::new(), pages: 0, rolled_back: false };
        self.holders.push(holder);
    }

    /// Ids of named snapshots, the oldest first.
    pub fn names(&self) -> Vec<TxnId> {
        self.ids(Kept::Named)
    }

    fn ids(&self, kept: Kept) -> Vec<TxnId> {
        let ids = self.holders.iter().filter(|h| h.kept == kept).map(|h| h.txn);
        let mut ids: Vec<TxnId> = ids.collect();
        ids.sort_unstable();
        ids
    }

    /// Drops a named snapshot, as if nothing that lists it were protected any more.
    pub fn drop_name(&mut self, txn: TxnId) {
        let at = self.holders.iter().position(|h| h.kept == Kept::Named && h.txn == txn);
        at.into_iter().for_each(|at| self.remove_holder(at));
    }

    /// A reader ends.
    pub fn release(&mut self, which: usize) {
        let at = self.holders.iter().enumerate().filter(|(_, h)| h.is_reader()).nth(which);
        if let Some((at, _)) = at {
            self.remove_holder(at);
        }
    }

    /// The oldest reader but for the `stay` oldest ends.
    pub fn release_oldest_but(&mut self, stay: usize) {
        let readers = self.holders.iter().enumerate().filter(|(_, h)| h.is_reader());
        let mut oldest: Vec<(TxnId, usize)> = readers.map(|(at, h)| (h.txn, at)).collect();
        oldest.sort_unstable();
        if let Some(&(_, at)) = oldest.get(stay) {
            self.remove_holder(at);
        }
    }

    fn remove_holder(&mut self, at: usize) {
        let gone = self.holders.swap_remove(at);
        if !gone.rolled_back {
            gone.dead.into_iter().for_each(|dead| self.pin(dead));
        }
    }

    /// Counts dead pages with somebody who sees them, a reader or a name if one does.
    fn pin(&mut self, dead: Dead) {
        let sees = |h: &&mut Holder| !h.rolled_back && dead.birth <= h.txn && h.txn < dead.death;
        let best = self.holders.iter_mut().filter(sees).max_by_key(|h| (h.is_wanted(), h.txn));
        if let Some(holder) = best {
            holder.pages += dead.len;
            holder.dead.push(dead);
        }
    }

    /// Whether somebody reads what was rolled back.
    fn on_dead(&self) -> bool {
        self.holders.iter().any(|h| h.is_reader() && self.dead.contains(&h.txn.0))
    }

    /// The allocator of transaction `id`.
    fn allocator(&self, id: TxnId) -> Allocator {
        let on_dead = self.on_dead();
        let d = self.durable.0.txn;
        let commits = [d, self.slots[0], self.slots[1], self.base.txn];
        let pins = Pins::new(self.base.txn, &commits, &self.ids(Kept::Reader), on_dead);
        let alloc = Allocator::new(Start {
            base: &self.base,
            txn: id,
            pins: pins.with_named(&self.names()),
            durable: d,
            page_high: if on_dead { self.page_high } else { self.base.page_count },
            dead_from: TxnId(self.dead.start),
            limit: usize::MAX,
        });
        alloc.expect("the state is sound")
    }

    /// Takes pages in a transaction that is dropped, until the file grows: what it has not found of
    /// the free pages that nobody sees, beyond the part that it may miss.
    pub fn probe(&mut self) {
        let seen: u64 = self.holders.iter().map(|h| h.pages).sum();
        let unseen = self.base.space.free_pages.saturating_sub(seen);
        // Nobody counts who needs what only rolled-back snapshots used.
        if self.roll_backs || unseen == 0 {
            return;
        }
        let mut alloc = self.allocator(TxnId(self.next));
        let mut left = unseen;
        while left > 0 {
            alloc.allocate(&self.log).expect("the log is whole");
            if alloc.page_count() > self.base.page_count {
                break;
            }
            left -= 1;
        }
        let f = &mut self.figures;
        f.most_missed = f.most_missed.max(left.saturating_sub(seen / MISSED_PART));
    }

    /// One transaction.
    pub fn commit(&mut self, durable: bool, work: impl FnOnce(&mut Txn<'_>)) {
        let id = TxnId(self.next);
        self.next += 1;
        let on_dead = self.on_dead();
        if !on_dead && self.durable.0.txn == self.base.txn {
            self.page_high = self.base.page_count;
        }
        let alloc = self.allocator(id);
        self.log.reads.set(0);
        let mut txn = Txn {
            rng: &mut self.rng,
            log: &self.log,
            alloc,
            id,
            live: &mut self.live,
            freed: Vec::new(),
            taken: 0,
            given: 0,
            last: 0,
            pieces: 0,
            unproved: 0,
        };
        work(&mut txn);
        let Txn { mut alloc, freed, taken, given, pieces, unproved, .. } = txn;
        let space = alloc.finish(&mut self.log).expect("the log is whole");
        self.unflushed += taken * PAGE as u64;
        let pages = alloc.page_count();
        let flush = durable || is_flush_due(self.unflushed, PAGE, pages, space.free_pages);
        let written = self.seal();
        for dead in freed {
            self.pin(dead);
        }
        let before = self.base.page_count;
        self.base = Meta { txn: id, page_count: alloc.page_count(), space, ..self.base.clone() };
        self.page_high = self.page_high.max(self.base.page_count);
        let from = on_dead.then(|| self.appended_from.unwrap_or(before));
        self.appended_from = from;
        self.appended = from.map_or(0, |from| self.base.page_count - from);
        self.count(taken, taken + given, written);
        self.figures.pieces += pieces;
        self.figures.unproved += unproved;
        self.look_at_sides(on_dead);
        if flush {
            self.flush();
        }
    }

    /// B10: what waits for a snapshot is taken out when that is gone. The mixed queue waits for
    /// nobody.
    fn look_at_sides(&mut self, on_dead: bool) {
        let commits = [self.durable.0.txn, self.slots[0], self.slots[1], self.base.txn];
        for (n, (had, since)) in self.waiting.iter_mut().enumerate() {
            let q = &self.base.space.queues[1 + n];
            let is_mixed = n == 2 && q.pin == TxnId(1);
            let is_wanted = commits.contains(&q.pin) || self.holders.iter().any(|h| h.txn == q.pin);
            let has = (q.pin, q.head, q.head_used, q.pages, q.inline.len());
            let waits = q.pin != TxnId(0) && !is_mixed && !is_wanted && !on_dead;
            *since = if waits && *had == has { *since + 1 } else { 0 };
            *had = has;
            self.figures.most_waited = self.figures.most_waited.max(*since);
        }
    }

    fn seal(&mut self) -> u64 {
        let fresh = std::mem::take(&mut self.log.fresh);
        for &id in &fresh {
            let page = self.log.pages.get_mut(&id).expect("was made");
            let crc = page_crc(id, page);
            page[..4].copy_from_slice(&crc.to_le_bytes());
        }
        fresh.len() as u64
    }

    fn count(&mut self, taken: u64, turned: u64, written: u64) {
        let reads = self.log.reads.get();
        let pinned = |wanted: bool| -> u64 {
            self.holders.iter().filter(|h| h.is_wanted() || !wanted).map(|h| h.pages).sum()
        };
        let (read, held) = (
            self.live.pages + self.appended + pinned(true),
            self.live.pages + self.appended + pinned(false),
        );
        let f = &mut self.figures;
        f.commits += 1;
        f.taken += taken;
        f.file = self.base.page_count;
        f.most_file = f.most_file.max(f.file);
        f.most_live = f.most_live.max(self.live.pages);
        f.most_read = f.most_read.max(read);
        f.most_held = f.most_held.max(held);
        f.reads += reads;
        f.written += written;
        f.most_work = f.most_work.max((reads + written).saturating_sub(turned * WORK_PER_PAGE));
    }

    /// Everything becomes durable.
    pub fn flush(&mut self) {
        let d = self.durable.0.txn;
        if d == self.base.txn {
            return;
        }
        let other = usize::from(self.slots[0] == d);
        let left = self.slots[other];
        self.slots[other] = self.base.txn;
        if let Some(at) = self.holders.iter().position(|h| !h.is_wanted() && h.txn == left) {
            self.remove_holder(at);
        }
        self.add_holder(self.base.txn, Kept::Commit);
        self.figures.flushes += 1;
        self.unflushed = 0;
        self.durable.0 = self.base.clone();
        if self.roll_backs {
            self.durable.1 = self.live.clone();
        }
    }

    /// What is not durable cannot be saved.
    pub fn roll_back(&mut self) {
        let d = self.durable.0.txn;
        if d == self.base.txn {
            return;
        }
        let from = d.0 + 1;
        let stood_on = self.on_dead();
        self.dead = if stood_on { self.dead.start.min(from)..self.next } else { from..self.next };
        let dead = self.dead.clone();
        for holder in &mut self.holders {
            holder.dead.retain(|item| item.death <= d);
            if dead.contains(&holder.txn.0) && !holder.rolled_back {
                (holder.rolled_back, holder.pages) = (true, self.live.pages);
            } else if !holder.rolled_back {
                holder.pages = holder.dead.iter().map(|item| item.len).sum();
            }
        }
        self.live = self.durable.1.clone();
        self.durable.0.txn = TxnId(self.next);
        self.next += 1;
        self.base = self.durable.0.clone();
        self.holders.retain(Holder::is_reader);
        self.slots = [self.base.txn; 2];
        self.add_holder(self.base.txn, Kept::Commit);
    }
}
