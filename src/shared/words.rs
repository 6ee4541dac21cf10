//! The words of the commit protocol: what each says, and one method for each step that changes one.
//!
//! | letter | word | says |
//! | --- | --- | --- |
//! | W | `built` | the newest transaction that has been built: its image is in the shared memory, its pages are in the page cache |
//! | V | `visible`, of `publish` | the transaction that readers begin at |
//! | F | `flushing` | the transaction that is being flushed; none where nobody flushes |
//! | D, Y | `durable` | the newest transaction that is known to be on the device, and the slot that holds its meta page |
//!
//! W, V and D only rise; D <= V <= W. A commit moves W (under the writer lock), then either V at
//! once (deferred) or, with the flush, F, V and D. Beside the letters: what each slot was last
//! synced with, the mark of a repair, the start of the list of pages, and ids.
//!
//! Who changes a word shows the lock that its rule asks for, [`WriterHeld`] or [`FlushHeld`]. Who
//! reads one needs none. The orders of memory are in here: all words are SeqCst, and where a step
//! is a copy, a fence stands before the second look (rules 8, 9).

use super::layout::{CommitWords, DEAD_RANGES};
use super::sync::fence;
use crate::error::Result;
use crate::types::TxnId;
use std::sync::atomic::Ordering::SeqCst;

/// The value holds the writer lock of the database.
pub trait WriterHeld {}

/// The value holds the flush lock of the database.
pub trait FlushHeld {}

/// Nobody else has the database open: as good as both locks.
pub struct Alone(pub(super) ());

impl WriterHeld for Alone {}
impl FlushHeld for Alone {}

/// Looks at a word that another process can move between two of them; each move is a commit, and
/// takes far longer than a look.
const LOOKS: u32 = 10_000;

/// D and Y: the durable transaction and the slot that holds its meta.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Durable {
    /// Transaction.
    pub txn: TxnId,
    /// 0 recto, 1 verso.
    pub slot: usize,
}

/// What a slot holds, to the last byte: ids alone say nothing about a file that may have been
/// replaced (rule 28).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    /// Id of the meta.
    pub txn: TxnId,
    /// Crc of its page.
    pub crc: u32,
}

impl Content {
    /// What the two words of a slot say.
    fn of_words([id, content]: [u64; 2]) -> Option<Content> {
        let named = id != 0 && content >> 32 == id & 0xffff_ffff && content != 0;
        named.then_some(Content { txn: TxnId(id), crc: content as u32 })
    }

    fn word(self) -> u64 {
        (self.txn.0 & 0xffff_ffff) << 32 | u64::from(self.crc)
    }
}

/// What has become of a transaction that was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// It is on the device.
    Durable,
    /// A repair has taken it back.
    RolledBack,
    /// Its flush has failed, and nobody has repaired.
    FlushFailed,
}

/// The mark of a repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RepairMark(u64);

/// A repair is needed, or has not ended (rules 1, 19).
const REPAIR: u64 = 1;
/// A sync has failed since the last repair that ended (rule 15): what the kernel calls clean need
/// not be on the device.
const SYNC_FAILED: u64 = 2;

impl RepairMark {
    /// Whether a repair is needed, or has not ended.
    pub fn is_set(self) -> bool {
        self.0 != 0
    }

    /// Whether a sync has failed since the last repair that ended.
    pub fn sync_failed(self) -> bool {
        self.0 & SYNC_FAILED != 0
    }
}

/// W, and the images that it leads to.
impl CommitWords {
    /// W.
    #[inline]
    pub fn built(&self) -> TxnId {
        TxnId(self.built.0.load(SeqCst) >> 1)
    }

    /// Copies the image that W leads to, 0 or 1 (rule 8). A builder may overwrite the place while
    /// it is copied, but not before W has moved on: then the copy is taken again. None if W never
    /// stands still.
    pub fn copy_built<T>(&self, mut copy: impl FnMut(usize) -> T) -> Option<(TxnId, T)> {
        for _ in 0..LOOKS {
            let word = self.built.0.load(SeqCst);
            let image = copy((word & 1) as usize);
            fence(SeqCst);
            if self.built.0.load(SeqCst) == word {
                return Some((TxnId(word >> 1), image));
            }
        }
        None
    }

    /// Rule 8: `store` fills the image that W does not lead to, then W moves to it.
    pub fn build(&self, _: &impl WriterHeld, txn: TxnId, store: impl FnOnce(usize)) {
        let side = (self.built.0.load(SeqCst) & 1) as usize ^ 1;
        store(side);
        fence(SeqCst);
        self.built.0.store(txn.0 << 1 | side as u64, SeqCst);
    }
}

/// The flush: F, the slots, D.
impl CommitWords {
    /// F. Set while nobody holds the flush lock: its leader has died.
    #[inline]
    pub fn flushing(&self) -> TxnId {
        TxnId(self.flushing.0.load(SeqCst))
    }

    /// Rule 9: F := W, in the form that looks again. `newest` gives W's id and image. From now on
    /// F's pages are protected. None if W never stands still; then F is none.
    pub fn mark_target<T>(
        &self,
        lock: &impl FlushHeld,
        mut newest: impl FnMut() -> Result<(TxnId, T)>,
    ) -> Result<Option<T>> {
        for _ in 0..LOOKS {
            let (txn, image) = newest().inspect_err(|_| self.end_flush(lock))?;
            self.flushing.0.store(txn.0, SeqCst);
            fence(SeqCst);
            if self.built() == txn {
                return Ok(Some(image));
            }
        }
        self.end_flush(lock);
        Ok(None)
    }

    /// The same for a repair: W does not move while it has the writer lock.
    pub fn mark_settled_target(&self, _: &impl WriterHeld, _: &impl FlushHeld, txn: TxnId) {
        self.flushing.0.store(txn.0, SeqCst);
    }

    /// Rule 13, the last of its stores: F is none.
    pub fn end_flush(&self, _: &impl FlushHeld) {
        self.flushing.0.store(0, SeqCst);
    }

    /// What the slot was last synced with, if that is known.
    pub fn slot(&self, slot: usize) -> Option<Content> {
        let place = &self.slots.0[slot];
        Content::of_words([place.id.load(SeqCst), place.content.load(SeqCst)])
    }

    /// Rule 13, the first of its stores: the slot has been synced with this. Whoever comes after a
    /// death of the leader finishes its flush by it.
    pub fn record_slot(&self, _: &impl FlushHeld, slot: usize, content: Content) {
        let place = &self.slots.0[slot];
        place.content.store(content.word(), SeqCst);
        place.id.store(content.txn.0, SeqCst);
    }

    /// D and Y.
    #[inline]
    pub fn durable(&self) -> Durable {
        let word = self.durable.0.load(SeqCst);
        Durable { txn: TxnId(word >> 1), slot: (word & 1) as usize }
    }

    /// Moves D and Y.
    pub fn set_durable(&self, _: &impl FlushHeld, durable: Durable) {
        self.durable.0.store(durable.txn.0 << 1 | durable.slot as u64, SeqCst);
    }

    /// Rule 2: transactions whose pages nobody may use again: F, D, and what the slots hold or may
    /// hold. F is read before D: a flush that ends in between has moved D first. `between` runs
    /// there.
    pub fn protected(&self, between: impl FnOnce()) -> [TxnId; 4] {
        let flushing = self.flushing();
        between();
        let durable = self.durable().txn;
        let [a, b] = &self.slots.0;
        let [a, b] = [a, b].map(|slot| TxnId(slot.id.load(SeqCst)));
        [flushing, durable, a, b]
    }

    /// Whether a flush of `txn`, or of one above it, has failed.
    pub fn flush_failed(&self, txn: TxnId) -> bool {
        self.failed.0.load(SeqCst) >= txn.0
    }

    /// Rule 15: who waits for `txn` or an older one is told that its flush has failed.
    pub fn note_flush_failed(&self, _: &impl FlushHeld, txn: TxnId) {
        self.failed.0.fetch_max(txn.0, SeqCst);
    }

    /// First record of the list of pages that is not durable.
    pub fn list_start(&self) -> u64 {
        self.list_start.0.load(SeqCst)
    }

    /// Bytes that were listed up to the last durable transaction.
    pub fn bytes_start(&self) -> u64 {
        self.bytes_start.0.load(SeqCst)
    }

    /// What is listed up to there is durable, or taken back.
    pub fn start_list_at(&self, _: &impl FlushHeld, record: u64, bytes: u64) {
        self.list_start.0.store(record, SeqCst);
        self.bytes_start.0.store(bytes, SeqCst);
    }
}

/// The mark of a repair. Anybody may set it.
impl CommitWords {
    /// The mark.
    #[inline]
    pub fn repair_mark(&self) -> RepairMark {
        RepairMark(self.repair.0.load(SeqCst))
    }

    /// Rules 18, 19: the next writer repairs first. Gives the mark as it was before.
    pub fn request_repair(&self) -> RepairMark {
        RepairMark(self.repair.0.fetch_or(REPAIR, SeqCst))
    }

    /// Rule 15: the same, by a repair that does not believe what the kernel calls clean.
    pub fn note_sync_failed(&self) {
        self.repair.0.fetch_or(REPAIR | SYNC_FAILED, SeqCst);
    }

    /// Rule 19: the repair has ended.
    pub fn end_repair(&self, _: &impl WriterHeld, flush: &impl FlushHeld) {
        self.end_flush(flush);
        self.repair.0.store(0, SeqCst);
    }
}

/// Ids, and the highest page count.
impl CommitWords {
    /// Rule 3: the highest id that was ever used.
    pub fn last_id(&self) -> TxnId {
        TxnId(self.last_id.0.load(SeqCst))
    }

    /// An id is used.
    pub fn raise_last_id(&self, _: &impl WriterHeld, id: TxnId) {
        self.last_id.0.fetch_max(id.0, SeqCst);
    }

    /// Rule 29: the highest id under which a deferred commit may be shown before it is durable.
    pub fn id_limit(&self) -> TxnId {
        TxnId(self.id_limit.0.load(SeqCst))
    }

    /// The durable meta has this limit.
    pub fn set_id_limit(&self, _: &impl FlushHeld, limit: TxnId) {
        self.id_limit.0.store(limit.0, SeqCst);
    }

    /// The same at the end of a flush: a limit that was durable stays.
    pub fn raise_id_limit(&self, _: &impl FlushHeld, limit: TxnId) {
        self.id_limit.0.fetch_max(limit.0, SeqCst);
    }

    /// Rule 5: the highest page count of all that was built, also of what was rolled back and may
    /// still be read.
    pub fn page_high(&self) -> u64 {
        self.page_high.0.load(SeqCst)
    }

    /// A transaction with this page count is built.
    pub fn raise_page_high(&self, _: &impl WriterHeld, pages: u64) {
        self.page_high.0.fetch_max(pages, SeqCst);
    }

    /// Nothing that was rolled back is read any more.
    pub fn set_page_high(&self, _: &impl WriterHeld, pages: u64) {
        self.page_high.0.store(pages, SeqCst);
    }

    /// The ids that were rolled back. Of a range, the lowest is read first: it is stored last. A
    /// range that is joined with another moves from one place to the next: one look place by place
    /// may see it in neither. Two that are equal are what stood there at a moment between them,
    /// since no word takes a value twice; each change is a roll-back.
    pub fn dead_ids(&self) -> DeadIds {
        // Most sessions roll nothing back. An id that was dead when this look began is in a range
        // with a lowest id all along: also where it moves, both have one until it is there.
        if self.dead.0.iter().all(|[low, _]| low.load(SeqCst) == 0) {
            return DeadIds([[0; 2]; DEAD_RANGES]);
        }
        let look = || self.dead.0.each_ref().map(|range| range.each_ref().map(|w| w.load(SeqCst)));
        let mut seen = look();
        for _ in 0..LOOKS {
            let again = look();
            if again == seen {
                break;
            }
            seen = again;
        }
        DeadIds(seen)
    }

    /// What has become of a transaction that was built. D is read first: what is rolled back is
    /// dead before D rises above it, and stays so. `between` runs behind that.
    pub fn outcome(&self, txn: TxnId, between: impl FnOnce()) -> Outcome {
        let durable = self.durable().txn;
        between();
        match () {
            () if self.dead_ids().have(txn) => Outcome::RolledBack,
            () if durable >= txn => Outcome::Durable,
            () if self.flush_failed(txn) => Outcome::FlushFailed,
            () => Outcome::Pending,
        }
    }

    /// Rule 22: what was built above D has ids below `again`, which are dead from now on; but not
    /// the id under which an earlier roll-back gave D's content again. Nobody who looks meanwhile
    /// misses an id that was dead before.
    pub fn bury_ids(&self, _: &impl WriterHeld, _: &impl FlushHeld, durable: TxnId, again: TxnId) {
        let ranges = &self.dead.0;
        let DeadIds(now) = self.dead_ids();
        // No id was above `again`, whatever a damaged lock file says.
        let sound = |[low, high]: &&[u64; 2]| durable.0 < *low && low <= high && *high < again.0;
        let later = now.iter().filter(sound);
        let since = later.map(|[_, high]| *high).max();
        let low = since.map_or(durable.0 + 1, |high| high.saturating_add(2));
        if low >= again.0 {
            return;
        }
        let mut order: [usize; DEAD_RANGES] = std::array::from_fn(|i| i);
        order.sort_by_key(|&i| now[i][0]);
        let [oldest, second, ..] = order;
        if now[oldest][0] != 0 {
            // All places are taken: the two oldest become one, and ids between them are judged with
            // care.
            ranges[second][0].store(now[oldest][0], SeqCst);
            ranges[oldest][0].store(0, SeqCst);
        }
        ranges[oldest][1].store(again.0 - 1, SeqCst);
        ranges[oldest][0].store(low, SeqCst);
    }
}

/// Ids that were rolled back, from the lowest to the highest of each range; 0 in the place of the
/// lowest: none.
pub struct DeadIds([[u64; 2]; DEAD_RANGES]);

impl DeadIds {
    /// Whether `txn` was rolled back.
    pub fn have(&self, txn: TxnId) -> bool {
        self.0.iter().any(|&[low, high]| low != 0 && low <= txn.0 && txn.0 <= high)
    }

    /// The lowest of them; none if there is none.
    pub fn lowest(&self) -> TxnId {
        TxnId(self.0.iter().map(|[low, _]| *low).filter(|&low| low != 0).min().unwrap_or(0))
    }
}

/// What is known of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotKnowledge {
    /// It was synced with this, and holds it, or cannot be read any more.
    Synced(Content),
    /// It holds, or may hold, the meta of this transaction.
    MayHold(TxnId),
}

/// What a session begins with.
pub struct Beginning {
    /// The durable transaction.
    pub durable: Durable,
    /// What is known of the slots.
    pub slots: [SlotKnowledge; 2],
    /// The highest id that was ever used.
    pub last_id: TxnId,
    /// The limit of ids in the durable meta.
    pub id_limit: TxnId,
    /// Its page count.
    pub page_count: u64,
}

/// A first opener.
impl CommitWords {
    /// A session begins with what is on the disk; the first write transaction repairs (rule 26). W
    /// and V are set after this.
    pub fn begin_session(&self, alone: &Alone, beginning: &Beginning) {
        let Beginning { durable, slots, last_id, id_limit, page_count } = *beginning;
        self.repair.0.store(REPAIR, SeqCst);
        self.end_flush(alone);
        self.failed.0.store(0, SeqCst);
        self.start_list_at(alone, 0, 0);
        self.dead.0.iter().flatten().for_each(|w| w.store(0, SeqCst));
        for (slot, known) in slots.into_iter().enumerate() {
            match known {
                SlotKnowledge::Synced(content) => self.record_slot(alone, slot, content),
                SlotKnowledge::MayHold(txn) => {
                    self.slots.0[slot].content.store(0, SeqCst);
                    self.slots.0[slot].id.store(txn.0, SeqCst);
                }
            }
        }
        self.last_id.0.store(last_id.0, SeqCst);
        self.set_id_limit(alone, id_limit);
        self.set_page_high(alone, page_count);
        self.set_durable(alone, durable);
    }

    /// A session goes on. Nobody waits any more, and nobody reads: of dead ids only those above D
    /// matter, and none above `last_id`, the highest that was used.
    pub fn keep_session(&self, alone: &Alone, last_id: TxnId, id_limit: TxnId, page_high: u64) {
        self.last_id.0.store(last_id.0, SeqCst);
        self.failed.0.store(0, SeqCst);
        let durable = self.durable().txn.0;
        for [low, high] in &self.dead.0 {
            let range = (low.load(SeqCst), high.load(SeqCst));
            match range {
                (0, _) => {}
                (_, high) if high > last_id.0 || high <= durable => low.store(0, SeqCst),
                (first, _) => low.store(first.max(durable + 1), SeqCst),
            }
        }
        self.set_id_limit(alone, id_limit);
        self.set_page_high(alone, page_high);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Ids that are dead, of the first thirty.
    fn dead(words: &CommitWords) -> Vec<u64> {
        let dead = words.dead_ids();
        (1..30).filter(|&id| dead.have(TxnId(id))).collect()
    }

    fn bury(words: &CommitWords, durable: u64, again: u64) {
        words.bury_ids(&Alone(()), &Alone(()), TxnId(durable), TxnId(again));
    }

    #[test]
    fn what_was_rolled_back_is_dead_and_nothing_else() {
        let words = &CommitWords::default();
        assert_eq!(words.dead_ids().lowest(), TxnId::NONE);
        bury(words, 5, 8);
        assert_eq!(dead(words), [6, 7]);
        // The same again: the repair had died before W moved.
        bury(words, 5, 8);
        assert_eq!(dead(words), [6, 7]);
        // 8 is D's content once more, and what was built on it is rolled back too.
        bury(words, 5, 10);
        assert_eq!(dead(words), [6, 7, 9]);
        bury(words, 12, 15);
        assert_eq!(dead(words), [6, 7, 9, 13, 14]);
        // More than there is room for: the oldest are judged together.
        for id in 100..107 {
            bury(words, 10 * id, 10 * id + 2);
        }
        assert_eq!(dead(words), (6..15).collect::<Vec<_>>());
        let all = words.dead_ids();
        assert!((100..107).all(|id| all.have(TxnId(10 * id + 1))));
        assert!((101..107).all(|id| !all.have(TxnId(10 * id))));
        assert_eq!(all.lowest(), TxnId(6));
    }

    /// Ranges are joined where they stand while others look.
    #[test]
    fn a_dead_id_is_seen_while_ranges_are_joined() {
        let words = &CommitWords::default();
        bury(words, 5, 8);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                (1..20_000).for_each(|id| bury(words, 10 * id, 10 * id + 2));
                done.store(true, SeqCst);
            });
            while !done.load(SeqCst) {
                assert_eq!(words.outcome(TxnId(6), || ()), Outcome::RolledBack);
            }
        });
    }

    #[test]
    fn a_damaged_list_of_dead_ids_hides_no_dead_one() {
        let words = &CommitWords::default();
        let ranges = &words.dead.0;
        ranges[0][0].store(1 << 50, SeqCst);
        ranges[0][1].store(u64::MAX, SeqCst);
        bury(words, 5, 8);
        assert_eq!(dead(words), [6, 7]);
        ranges[3][0].store(1 << 50, SeqCst);
        ranges[3][1].store(14, SeqCst);
        bury(words, 12, 16);
        assert_eq!(dead(words), [6, 7, 13, 14, 15]);
    }

    /// A flush and a build beside it, step by step.
    #[test]
    fn each_step_says_what_it_means() {
        let (words, lock) = (&CommitWords::default(), &Alone(()));
        let store = |id: u64| words.build(lock, TxnId(id), |side| assert_eq!(side as u64, id & 1));
        store(1);
        assert_eq!(words.copy_built(|side| side), Some((TxnId(1), 1)));
        let newest = || Ok(words.copy_built(|side| side).unwrap());
        assert_eq!(words.mark_target(lock, newest).unwrap(), Some(1));
        store(2);
        assert_eq!((words.flushing(), words.built()), (TxnId(1), TxnId(2)));
        let content = Content { txn: TxnId(1), crc: 7 };
        assert_eq!(words.slot(1), None);
        words.record_slot(lock, 1, content);
        assert_eq!(words.slot(1), Some(content));
        // A mixture of two contents is none.
        words.slots.0[1].id.store(2, SeqCst);
        assert_eq!(words.slot(1), None);
        words.record_slot(lock, 1, content);
        words.set_durable(lock, Durable { txn: TxnId(1), slot: 1 });
        assert_eq!(words.protected(|| ()), [TxnId(1), TxnId(1), TxnId(0), TxnId(1)]);
        words.end_flush(lock);
        assert_eq!(words.flushing(), TxnId::NONE);
        words.note_flush_failed(lock, TxnId(2));
        assert!(words.flush_failed(TxnId(2)) && !words.flush_failed(TxnId(3)));
        assert!(!words.request_repair().is_set());
        assert!(words.repair_mark().is_set() && !words.repair_mark().sync_failed());
        words.note_sync_failed();
        assert!(words.request_repair().sync_failed());
        words.end_repair(lock, lock);
        assert!(!words.repair_mark().is_set());
    }

    /// W that moves at each look: no flush begins, and none is left marked.
    #[test]
    fn a_target_that_never_stands_still_is_not_marked() {
        let (words, lock) = (&CommitWords::default(), &Alone(()));
        let mut id = 0;
        let newest = || {
            id += 1;
            words.build(lock, TxnId(id + 1), |_| ());
            Ok((TxnId(id), ()))
        };
        assert_eq!(words.mark_target(lock, newest).unwrap(), None);
        assert_eq!(words.flushing(), TxnId::NONE);
        assert_eq!(words.copy_built(|_| words.build(lock, TxnId(1), |_| ())), None);
    }
}
