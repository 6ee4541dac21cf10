//! Random transactions over the real allocator, against a model that knows every page: what a
//! protected snapshot sees is never handed out, every page has one place, and the work of a small
//! commit has a bound.

use super::allocator::{Allocator, LogPages, Start};
use super::pins::Pins;
use crate::error::Result;
use crate::format::freelog::{self, FreeEntry, FreeExtent, LogPage};
use crate::format::meta::{INLINE_MAX, Meta, POOL, Phase, READY_MAX, SIDES};
use crate::format::page;
use crate::types::{PageId, TxnId};
use fastrand::Rng;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

const PAGE: usize = 4096;

/// Log pages in memory.
#[derive(Default)]
struct Log {
    pages: HashMap<PageId, Vec<u8>>,
    fresh: Vec<PageId>,
    reads: Cell<usize>,
}

impl LogPages for Log {
    fn log_page(&self, id: PageId) -> Result<&[u8]> {
        self.reads.set(self.reads.get() + 1);
        Ok(&self.pages[&id])
    }

    fn new_log_page(&mut self, id: PageId) -> Result<&mut [u8]> {
        self.fresh.push(id);
        let page = self.pages.entry(id).or_default();
        page.clear();
        page.resize(PAGE, 0);
        Ok(page)
    }
}

impl Log {
    /// Ends a transaction: the log pages that it wrote.
    fn seal(&mut self) -> Vec<PageId> {
        let fresh = std::mem::take(&mut self.fresh);
        for id in &fresh {
            page::seal(*id, self.pages.get_mut(id).expect("was made"));
        }
        fresh
    }
}

/// Runs in use: first page, then length and birth.
type Live = BTreeMap<u64, (u64, TxnId)>;

/// A snapshot with all that it sees.
#[derive(Clone)]
struct Snapshot {
    meta: Meta,
    live: Rc<Live>,
    logs: Rc<HashSet<u64>>,
}

impl Snapshot {
    fn empty() -> Snapshot {
        let meta = Meta::empty([7; 16], PAGE);
        Snapshot { meta, live: Rc::default(), logs: Rc::default() }
    }

    fn txn(&self) -> TxnId {
        self.meta.txn
    }

    fn used(&self) -> impl Iterator<Item = u64> + '_ {
        self.live.iter().flat_map(|(&start, &(len, _))| start..start + len)
    }
}

/// Gives every page its place; two places for one, or none, is a failure. Answers the log pages.
fn places(meta: &Meta, live: &Live, log: &Log, when: &str) -> HashSet<u64> {
    let mut owners: HashMap<u64, &str> = HashMap::new();
    let mut own = |start: u64, len: u64, owner: &'static str| {
        for page in start..start + len {
            let other = owners.insert(page, owner);
            assert_eq!(other, None, "{when}: page {page} is {owner} too");
        }
        len
    };
    let mut logs = HashSet::new();
    for (&start, &(len, _)) in live {
        own(start, len, "in use");
    }
    let mut free: u64 =
        meta.space.ready.iter().map(|&(start, len)| own(start.0, len, "ready")).sum();
    let mut entries: Vec<FreeEntry> = Vec::new();
    for (i, q) in meta.space.queues.iter().enumerate() {
        if !q.tail.is_none() {
            own(q.tail.0, 1, "reserved");
        }
        let mut id = q.head;
        for n in 0..q.pages {
            own(id.0, 1, "log");
            logs.insert(id.0);
            let taken = if n == 0 { usize::from(q.head_used) } else { 0 };
            let page = LogPage::read(id, &log.pages[&id], meta.page_count, taken, i == POOL);
            let page = page.unwrap_or_else(|e| panic!("{when}: {e}"));
            entries.extend(page.entries);
            id = page.next;
        }
        assert!(q.pages == 0 || id == q.tail, "{when}: queue {i} does not end");
        entries.extend(&q.inline);
    }
    for (start, len) in entries.iter().flat_map(FreeEntry::extents) {
        free += own(start.0, len, "queued");
    }
    assert_eq!(free, meta.space.free_pages, "{when}");
    let lost: Vec<u64> = (2..meta.page_count).filter(|page| !owners.contains_key(page)).collect();
    assert!(lost.is_empty(), "{when}: {lost:?} of {} are lost", meta.page_count);
    assert!(owners.keys().all(|&page| page < meta.page_count), "{when}");
    let inline: usize = meta.space.queues.iter().map(|q| q.inline.len()).sum();
    assert!(inline <= INLINE_MAX && meta.space.ready.len() <= READY_MAX, "{when}");
    assert_eq!(&Meta::decode(&meta.encode(&Phase::TwoPhase)[..]).expect("fits").0, meta, "{when}");
    logs
}

/// A database without trees.
struct World {
    rng: Rng,
    log: Log,
    base: Snapshot,
    durable: Snapshot,
    slots: [Snapshot; 2],
    readers: Vec<Snapshot>,
    next: u64,
    page_high: u64,
    dead: Range<u64>,
    limit: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let limit = [usize::MAX, 4, 5, 9, 20][rng.usize(..5)];
        let empty = Snapshot::empty;
        World {
            rng,
            log: Log::default(),
            base: empty(),
            durable: empty(),
            slots: [empty(), empty()],
            readers: Vec::new(),
            next: 2,
            page_high: 2,
            dead: 0..0,
            limit,
        }
    }

    /// What was built after D cannot be saved.
    fn roll_back(&mut self) {
        let from = self.durable.txn().0 + 1;
        let stood_on = self.readers.iter().any(|r| self.dead.contains(&r.txn().0));
        self.dead = if stood_on { self.dead.start.min(from)..self.next } else { from..self.next };
        self.durable.meta.txn = TxnId(self.next);
        self.next += 1;
        self.base = self.durable.clone();
        self.slots = [self.base.clone(), self.base.clone()];
    }

    /// An allocator of the next transaction; `lag`: only what is durable is visible; `pending`: a
    /// reader is choosing.
    fn begin(&mut self, lag: bool, pending: bool) -> (TxnId, Allocator) {
        let txn = TxnId(self.next);
        self.next += 1;
        let readers: Vec<TxnId> = self.readers.iter().map(Snapshot::txn).collect();
        let on_dead = readers.iter().any(|r| self.dead.contains(&r.0));
        let no_reuse = pending || on_dead;
        let base_pages = self.base.meta.page_count;
        if !on_dead && self.durable.txn() == self.base.txn() {
            self.page_high = base_pages;
        }
        let visible = if lag { self.durable.txn() } else { self.base.txn() };
        let [a, b] = &self.slots;
        let commits = [&self.durable, a, b, &self.base].map(Snapshot::txn);
        let start = Start {
            base: &self.base.meta,
            txn,
            pins: Pins::new(visible, &commits, &readers, no_reuse),
            durable: self.durable.txn(),
            page_high: if on_dead { self.page_high } else { base_pages },
            dead_from: TxnId(self.dead.start),
            limit: self.limit,
        };
        (txn, Allocator::new(start).expect("intact"))
    }

    /// What no transaction may write to now.
    fn protected(&self) -> HashSet<u64> {
        let [a, b] = &self.slots;
        let commits = [&self.durable, a, b, &self.base].into_iter();
        let logs = commits.clone().flat_map(|s| s.logs.iter().copied());
        logs.chain(commits.chain(&self.readers).flat_map(Snapshot::used)).collect()
    }

    /// Where D would write its log after a roll-back, whoever reads what was rolled back.
    fn reserved(&self) -> HashSet<u64> {
        let tails = self.durable.meta.space.queues.iter().map(|q| q.tail);
        tails.filter(|tail| !tail.is_none()).map(|tail| tail.0).collect()
    }

    fn built(&mut self, meta: Meta, live: Live, logs: HashSet<u64>, durable: bool) {
        self.page_high = self.page_high.max(meta.page_count);
        self.base = Snapshot { meta, live: Rc::new(live), logs: Rc::new(logs) };
        if durable {
            let other = usize::from(self.slots[0].txn() == self.durable.txn());
            self.slots[other] = self.base.clone();
            self.durable = self.base.clone();
        }
    }

    /// Replaces every `step`-th run by one of a page; the log pages that were read and written.
    fn replace(&mut self, step: usize, durable: bool) -> (usize, usize) {
        let (txn, mut a) = self.begin(false, false);
        let mut live = (*self.base.live).clone();
        let gone: Vec<_> = self.base.live.iter().step_by(step).map(|(&s, &l)| (s, l)).collect();
        self.log.reads.set(0);
        for (start, (len, birth)) in gone {
            live.remove(&start);
            a.free(PageId(start), len, birth).expect("is in use");
            live.insert(a.allocate(&self.log).expect("intact").0, (1, txn));
        }
        self.finish(txn, a, live, durable)
    }

    fn finish(
        &mut self,
        txn: TxnId,
        mut a: Allocator,
        live: Live,
        durable: bool,
    ) -> (usize, usize) {
        let space = a.finish(&mut self.log).expect("intact");
        let written = self.log.seal().len();
        let reads = self.log.reads.get();
        let meta = Meta { txn, page_count: a.page_count(), space, ..self.base.meta.clone() };
        let logs = places(&meta, &live, &self.log, "small");
        self.built(meta, live, logs, durable);
        (reads, written)
    }
}

/// Makes a savepoint, or releases the newest, or rolls back to it.
fn nest(
    rng: &mut Rng,
    a: &mut Allocator,
    live: &mut Live,
    saved: &mut Vec<Live>,
    stored: &mut BTreeMap<u64, u64>,
    when: &str,
) {
    let mut forgotten = Vec::new();
    let count = a.page_count();
    match rng.u8(..4) {
        0 | 1 => {
            a.savepoint().unwrap();
            saved.push(live.clone());
        }
        2 => {
            a.release(|id| forgotten.push(id)).unwrap_or_else(|e| panic!("{when}: {e}"));
            saved.pop();
        }
        _ => {
            a.roll_back(|id| forgotten.push(id)).unwrap_or_else(|e| panic!("{when}: {e}"));
            if let Some(then) = saved.last() {
                *live = then.clone();
            }
            assert!(a.page_count() <= count);
        }
    }
    for id in forgotten {
        assert!(stored.remove(&id.0).is_some(), "{when}: page {id} is forgotten twice");
    }
    assert_eq!(a.levels(), saved.len());
    // Whatever is in use and of this transaction is still with the store.
    let births = live.iter().filter(|(_, (_, birth))| *birth >= a.floor());
    assert!(births.into_iter().all(|(at, _)| stored.contains_key(at)), "{when}");
}

/// One life of a database: rounds of transactions, readers that come and go, roll-backs, writers
/// that die. True if the pool had pages of its own.
fn live_a_life(seed: u64) -> bool {
    let mut w = World::new(seed);
    let (most_live, most_readers) = (w.rng.usize(50..1500), w.rng.usize(..6));
    let (large, lag) = ([10, 60, 300][w.rng.usize(..3)], w.rng.u8(..3) == 0);
    // Long deferred chains in some lives: what is rolled back then has used pages again.
    let durable_each = [1, 3, 30][w.rng.usize(..3)];
    let mut pooled = false;
    for round in 0..200 {
        let when = format!("seed {seed}, round {round}");
        if w.rng.u8(..4) == 0 && w.readers.len() < most_readers {
            w.readers.push(if lag { w.durable.clone() } else { w.base.clone() });
        }
        if w.rng.u8(..5) == 0 && !w.readers.is_empty() {
            w.readers.swap_remove(w.rng.usize(..w.readers.len()));
        }
        if w.rng.u8(..40) == 0 && w.durable.txn() < w.base.txn() {
            w.roll_back();
        }
        let pending = w.rng.u8(..30) == 0;
        let (protected, reserved) = (w.protected(), w.reserved());
        let (_, mut a) = w.begin(lag, pending);
        let mut live = (*w.base.live).clone();
        // What is in use at each savepoint, and the store's pages of this transaction.
        let (mut saved, mut stored): (Vec<Live>, BTreeMap<u64, u64>) = Default::default();
        let nests = w.rng.u8(..3) == 0;
        let (most, dislike) = ([3, 20, large][w.rng.usize(..3)], w.rng.u8(..3));
        for _ in 0..w.rng.usize(1..=most) {
            if nests && w.rng.u8(..6) == 0 {
                nest(&mut w.rng, &mut a, &mut live, &mut saved, &mut stored, &when);
            }
            if live.len() < most_live && w.rng.u8(..3) != dislike {
                let len = if w.rng.u8(..8) == 0 { w.rng.u64(2..90) } else { 1 };
                let at = match len {
                    1 => a.allocate(&w.log),
                    _ => a.allocate_run(len, &w.log),
                };
                let at = at.unwrap_or_else(|e| panic!("{when}: {e}")).0;
                let seen = (at..at + len).find(|page| protected.contains(page));
                assert_eq!(seen, None, "{when}: somebody sees it");
                let tail = (at..at + len).find(|page| reserved.contains(page));
                assert_eq!(tail, None, "{when}: the log of D may be written there");
                assert!(at + len <= a.page_count());
                assert_eq!(live.insert(at, (len, a.txn())), None, "{when}");
                assert_eq!(stored.insert(at, len), None, "{when}: a savepoint needs it");
            } else if let Some((&at, &(len, birth))) =
                live.range(w.rng.u64(..a.page_count())..).next()
            {
                live.remove(&at);
                if !a.is_held(birth) {
                    stored.remove(&at);
                }
                a.free(PageId(at), len, birth).unwrap_or_else(|e| panic!("{when}: {e}"));
            }
        }
        while a.levels() > 0 {
            let mut forgotten = Vec::new();
            a.release(|id| forgotten.push(id.0)).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert!(forgotten.iter().all(|id| stored.remove(id).is_some()), "{when}");
        }
        let own = live.iter().filter(|(_, (_, birth))| *birth > w.base.txn());
        assert!(own.map(|(at, (len, _))| (at, len)).eq(&stored), "{when}");
        if w.rng.u8(..60) == 0 {
            for (at, (len, birth)) in std::mem::take(&mut live) {
                a.free(PageId(at), len, birth).expect("is in use");
            }
        }
        let space = a.finish(&mut w.log).unwrap_or_else(|e| panic!("{when}: {e}"));
        let txn = a.txn();
        w.next = txn.0 + 1;
        // What the list of pages is told to be free is what was given up, and nothing else.
        let told: HashSet<u64> = a.freed_undurable().iter().map(|(id, _)| id.0).collect();
        for (&at, &(_, birth)) in w.base.live.iter() {
            let gone = live.get(&at).is_none_or(|&(_, now)| now != birth);
            assert!(birth <= w.durable.txn() || gone == told.contains(&at), "{when}: page {at}");
        }
        let fresh = w.log.seal();
        assert!(fresh.iter().all(|id| !protected.contains(&id.0)), "{when}: a log page is seen");
        let meta = Meta { txn, page_count: a.page_count(), space, ..w.base.meta.clone() };
        let logs = places(&meta, &live, &w.log, &when);
        pooled |= meta.space.queues[POOL].pages > 0;
        // Some writers die before they have built.
        if w.rng.u8(..12) != 0 {
            let durable = w.rng.u8(..durable_each) == 0;
            w.built(meta, live, logs, durable);
        }
        for older in [&w.durable, &w.slots[0], &w.slots[1]] {
            places(&older.meta, &older.live, &w.log, &format!("{when}, older"));
        }
    }
    pooled
}

#[test]
fn agrees_with_a_model_of_every_page() {
    let pooled = (0..60).filter(|&seed| live_a_life(seed)).count();
    assert!(pooled > 10, "the pool was too small in all but {pooled} lives");
}

/// Nothing is sorted at the cost of a commit that wants a few pages.
#[test]
fn a_small_commit_stays_small_behind_a_large_delete() {
    const PAGES: u64 = 400_000;
    let mut w = World { limit: usize::MAX, ..World::new(1) };
    let (txn, mut a) = w.begin(false, false);
    let live: Live = (0..PAGES).map(|_| (a.allocate(&w.log).expect("grows").0, (1, txn))).collect();
    w.finish(txn, a, live, true);
    // Every other page: no two lie side by side.
    let (txn, mut a) = w.begin(false, false);
    let mut live = (*w.base.live).clone();
    for at in w.base.live.keys().step_by(2) {
        let (len, birth) = live.remove(at).expect("is there");
        a.free(PageId(*at), len, birth).expect("is in use");
    }
    w.finish(txn, a, live, true);
    let queued = w.base.meta.space.queues[0].pages as usize;
    assert!(queued > 1_100, "{queued} log pages are too few to show anything");
    let few = w.base.live.len() / 4;
    for _ in 0..6 {
        let (reads, written) = w.replace(few, true);
        assert!(reads <= 1_100 && written <= 300, "{reads} log pages read, {written} written");
    }
    assert!(w.base.meta.page_count <= PAGES + 4_000, "{} pages", w.base.meta.page_count);
}

/// While nothing is durable but the empty database, what the free log gives back waits for that: in
/// a queue like any other, not in one that is gone round.
#[test]
fn what_waits_for_the_empty_database_is_free_when_that_is_gone() {
    let mut w = World { limit: 4, ..World::new(1) };
    let (txn, mut a) = w.begin(false, false);
    let live: Live = (0..300).map(|_| (a.allocate(&w.log).expect("grows").0, (1, txn))).collect();
    w.finish(txn, a, live, false);
    for _ in 0..100 {
        w.replace(3, false);
    }
    let waits = |w: &World| {
        let queues = SIDES[..2].iter().map(|&side| &w.base.meta.space.queues[side]);
        queues
            .filter(|q| q.pin == TxnId::FIRST)
            .map(|q| q.inline.len() as u64 + u64::from(q.pages))
            .sum::<u64>()
    };
    assert_eq!(w.durable.txn(), TxnId::FIRST);
    assert!(waits(&w) > 0, "nothing waits for it: this shows nothing");
    w.replace(3, true);
    w.replace(3, true);
    assert!(w.slots.iter().all(|slot| slot.txn() > TxnId::FIRST));
    for _ in 0..40 {
        w.replace(3, true);
    }
    assert_eq!(waits(&w), 0);
}

/// A log page that names itself as its successor.
#[test]
fn a_log_in_a_circle_is_damage() {
    struct Circle(Vec<u8>, Cell<u64>);
    impl LogPages for Circle {
        fn log_page(&self, _: PageId) -> Result<&[u8]> {
            self.1.set(self.1.get() + 1);
            assert!(self.1.get() < 200_000, "there is no end");
            Ok(&self.0)
        }

        fn new_log_page(&mut self, _: PageId) -> Result<&mut [u8]> {
            unreachable!("nothing is written")
        }
    }
    let id = PageId(10);
    for entries in [1u64, 169] {
        let entry = |i| {
            FreeEntry::Extent(FreeExtent {
                start: PageId(100 + 2 * i),
                len: 1,
                birth: TxnId(1),
                death: TxnId(2),
            })
        };
        let entries: Vec<FreeEntry> = (0..entries).map(entry).collect();
        let mut bytes = vec![0; PAGE];
        freelog::write_page(&mut bytes, TxnId(2), id, &entries);
        page::seal(id, &mut bytes);
        let mut w = World { limit: usize::MAX, ..World::new(1) };
        // A sparse file of 16 TiB.
        w.base.meta.page_count = 1 << 32;
        w.base.meta.txn = TxnId(9);
        w.base.meta.space.free_pages = (1 << 32) - 1;
        let q = &mut w.base.meta.space.queues[0];
        (q.head, q.tail, q.pages) = (id, PageId(11), u32::MAX);
        let (durable, slot) = (w.base.clone(), w.base.clone());
        w = World { durable, slots: [slot.clone(), slot], next: 10, ..w };
        assert!(w.begin(false, false).1.allocate(&Circle(bytes, Cell::new(0))).is_err());
    }
}

/// Rule 23: whoever names a page that may be in use does not find out by writing to it.
#[test]
fn nothing_is_given_out_by_a_log_that_is_not_proved() {
    struct Refused(Vec<u8>);
    impl LogPages for Refused {
        fn log_page(&self, _: PageId) -> Result<&[u8]> {
            Ok(&self.0)
        }

        fn proved(&self) -> Result<()> {
            Err(crate::Error::TransactionBroken { path: None })
        }

        fn new_log_page(&mut self, _: PageId) -> Result<&mut [u8]> {
            unreachable!("nothing is written")
        }
    }
    let id = PageId(10);
    let free = FreeEntry::Extent(FreeExtent {
        start: PageId(100),
        len: 9,
        birth: TxnId(1),
        death: TxnId(2),
    });
    let mut bytes = vec![0; PAGE];
    freelog::write_page(&mut bytes, TxnId(2), PageId(11), &[free]);
    page::seal(id, &mut bytes);
    let mut w = World { limit: usize::MAX, ..World::new(1) };
    (w.base.meta.page_count, w.base.meta.txn) = (200, TxnId(9));
    w.base.meta.space.free_pages = 9;
    let q = &mut w.base.meta.space.queues[0];
    (q.head, q.tail, q.pages) = (id, PageId(11), 1);
    let (durable, slot) = (w.base.clone(), w.base.clone());
    w = World { durable, slots: [slot.clone(), slot], next: 10, ..w };
    let (_, mut alloc) = w.begin(false, false);
    let log = Refused(bytes);
    assert!(matches!(alloc.allocate(&log), Err(crate::Error::TransactionBroken { .. })));
    let (_, mut alloc) = w.begin(false, false);
    assert!(matches!(alloc.allocate_run(3, &log), Err(crate::Error::TransactionBroken { .. })));
}
