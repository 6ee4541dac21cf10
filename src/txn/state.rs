//! The image of a built transaction, the list of pages, and descriptors, as they stand in the shared memory.

use super::Engine;
use super::page_map::PageMap;
use crate::error::{Error, Result};
use crate::format::bytes::get_u32;
use crate::format::checksum::{page_crc, run_crc};
use crate::format::descriptor::TableDescriptor;
use crate::format::meta::{self, Meta, Phase};
use crate::shared::Shared;
use crate::shared::layout::{CommitWords, Descriptor, Image, RECORDS};
use crate::shared::sync::AtomicU64;
use crate::shared::words::{Durable, WriterHeld};
use crate::storage::Platform;
use crate::types::{PageId, TxnId};
use std::sync::atomic::Ordering;

/// A built transaction as the shared memory holds it.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// The snapshot.
    pub meta: Meta,
    /// One past its last record in the list of pages.
    pub list_end: u64,
    /// Newest transaction whose pages are not in the list, 0 none.
    pub unlisted: TxnId,
    /// Bytes of all pages that were ever listed, up to this transaction.
    pub list_bytes: u64,
    /// The snapshot that was visible when it was decided what this one may use again.
    pub judged_at: TxnId,
    /// Check of the last record that was ever listed, up to this transaction.
    pub list_check: u64,
}

/// What stands in the list about a page that was written since the last durable commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Checksum.
    pub crc: u32,
    /// 0 for a page with a header, else the pages of an overflow run.
    pub pages: u32,
}

const KIND_PAGE: u64 = 1;
const KIND_RUN: u64 = 2;
const KIND_FREED: u64 = 3;
const PAGE_MASK: u64 = PageId::MAX.0;

/// One record for the list.
#[derive(Clone, Copy, Debug)]
pub enum ListRecord {
    /// Written in this transaction.
    Written(PageId, Written),
    /// Freed in this transaction, after it was written since the last durable commit.
    Freed(PageId),
}

impl Engine {
    pub(crate) fn words(&self) -> &CommitWords {
        self.shared.words()
    }

    /// W.
    pub(crate) fn built(&self) -> TxnId {
        self.words().built()
    }

    /// D and Y.
    pub(crate) fn durable(&self) -> Durable {
        self.words().durable()
    }

    /// Rule 29: how many ids to reserve now. Few at first: a process may live for one commit, and what it has not used nobody ever uses.
    pub(crate) fn ids_ahead(&self) -> u64 {
        self.ids_ahead.swap(meta::IDS_AHEAD, Ordering::Relaxed).min(self.options.ids_ahead)
    }

    /// Rule 3: an id above every one that was ever used.
    pub(crate) fn next_id(&self, newest: TxnId) -> Result<TxnId> {
        let last = self.words().last_id().max(newest);
        if last >= TxnId::MAX {
            // A meta with a greater one would be refused by the next who opens the file.
            let meta = PageId(self.durable().slot as u64);
            let detail = "no transaction id is left above those that it and the lock file name";
            return Err(Error::corrupt(meta, detail));
        }
        Ok(TxnId(last.0 + 1))
    }

    /// Whether `txn` was rolled back.
    pub(crate) fn is_dead(&self, txn: TxnId) -> bool {
        self.words().dead_ids().have(txn)
    }

    /// The image of the newest built transaction.
    pub(crate) fn load_image(&self) -> Result<BuiltImage> {
        load_image_of(&self.shared, self.page_size)
    }

    /// Rule 8: image first, then W in one word.
    pub(crate) fn store_image(&self, lock: &impl WriterHeld, image: &BuiltImage) {
        store_image_in(&self.shared, lock, &*self.platform, image);
    }

    /// Appends to the list of pages; the records count from `built` moving on (rule 8). `check` is that of the record before them; gives
    /// that of the last.
    pub(crate) fn append_records(
        &self,
        from: u64,
        mut check: u64,
        txn: TxnId,
        records: &[ListRecord],
    ) -> u64 {
        for (i, r) in records.iter().enumerate() {
            let index = from + i as u64;
            let place = &self.shared.records()[(index % RECORDS as u64) as usize];
            let (page, kind, w) = match *r {
                ListRecord::Written(p, w) if w.pages == 0 => (p, KIND_PAGE, w),
                ListRecord::Written(p, w) => (p, KIND_RUN, w),
                ListRecord::Freed(p) => (p, KIND_FREED, Written { crc: 0, pages: 0 }),
            };
            let words = [page.0 | kind << 48, u64::from(w.pages) << 32 | u64::from(w.crc), txn.0];
            place.page.store(words[0], Ordering::Relaxed);
            place.pages_crc.store(words[1], Ordering::Relaxed);
            place.txn.store(words[2], Ordering::Relaxed);
            check = check_word(self.session, [check, words[0], words[1], words[2]]);
            place.check.store(check, Ordering::Relaxed);
        }
        check
    }

    /// Pages that are reachable from the image and were born since the last durable commit (rule 10).
    pub(crate) fn live_records(&self, image: &BuiltImage) -> Result<PageMap<Written>> {
        live_records_of(&self.shared, image, image.meta.txn, self.options.list_limit)
    }
}

/// Of a lock file that is used again in one boot any part may be an older one, if the device was gone meanwhile: what belongs together is
/// told from what does not by a word over all of it, what was before it, and the session (rule 32). The place in the list would not do: a
/// process that dies before its transaction is built leaves whole records in places that others use again.
fn check_word<const N: usize>(session: u64, words: [u64; N]) -> u64 {
    words.into_iter().fold(session | 1, |sum, word| {
        let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^ sum >> 32
    })
}

/// Records and bytes that nobody ever comes to: with fewer no sum overflows.
const ABSURD: u64 = 1 << 60;

/// Makes the check of an image good that has been changed: its words, in their order in the lock file.
#[cfg(feature = "harness")]
pub fn mend_image(words: &mut [u64], session: u64) {
    let (meta_words, rest) = words.split_at_mut(meta::SIZE / 8);
    let mut bytes: Vec<u8> = meta_words.iter().flat_map(|word| word.to_le_bytes()).collect();
    crate::format::bytes::put_u32(&mut bytes, meta::AT_CRC, 0);
    let crc = crc32fast::hash(&bytes);
    crate::format::bytes::put_u32(&mut bytes, meta::AT_CRC, crc);
    for (word, bytes) in meta_words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    if let [list_end, unlisted, list_bytes, judged_at, list_check, check, ..] = rest {
        let others = [crc.into(), *list_end, *unlisted, *list_bytes, *judged_at, *list_check];
        *check = check_word(session, others);
    }
}

fn image_check(session: u64, image_crc: u32, image: &BuiltImage) -> u64 {
    let BuiltImage { list_end, unlisted, list_bytes, judged_at, list_check, .. } = image;
    let words = [image_crc.into(), *list_end, unlisted.0, *list_bytes, judged_at.0, *list_check];
    check_word(session, words)
}

/// What is said where W never stands still.
pub(super) const NEVER_STILL: &str =
    "the newest transaction was another one at each of 10,000 looks";

/// The image of the newest built transaction.
pub(super) fn load_image_of(shared: &Shared, page_size: usize) -> Result<BuiltImage> {
    let mut bytes = [0u8; meta::SIZE];
    let copied = shared.words().copy_built(|side| {
        let image = &shared.images()[side].0;
        let load = |w: &AtomicU64| w.load(Ordering::Relaxed);
        for (chunk, w) in bytes.chunks_exact_mut(8).zip(&image.meta) {
            chunk.copy_from_slice(&load(w).to_le_bytes());
        }
        let numbers = [&image.list_end, &image.list_bytes, &image.list_check].map(load);
        (numbers, [&image.unlisted, &image.judged_at].map(|w| TxnId(load(w))), load(&image.check))
    });
    let (txn, (numbers, [unlisted, judged_at], check)) =
        copied.ok_or_else(|| shared.damaged(NEVER_STILL))?;
    let [list_end, list_bytes, list_check] = numbers;
    let crc = get_u32(&bytes, meta::AT_CRC).unwrap_or(0);
    let session = shared.identity().session.load(Ordering::Relaxed);
    if let Ok((meta, _)) = Meta::decode(&bytes) {
        let built = BuiltImage { meta, list_end, unlisted, list_bytes, judged_at, list_check };
        let whole = check == image_check(session, crc, &built);
        // Whoever can make the check good can also write what nobody ever comes to.
        let whole = whole && list_end.max(list_bytes) < ABSURD;
        let meta = &built.meta;
        if meta.txn == txn && meta.page_size == page_size && whole {
            return Ok(built);
        }
    }
    Err(shared.damaged("the image of the newest transaction is damaged"))
}

/// Pages of the snapshot `txn`, at or below the newest built one, that were born since the last durable commit; `image` is that of
/// the newest built one, `most` the records that there can be. Each record goes with the one before it, and the last one with the image; so does the first: its check stands beside it.
pub(super) fn live_records_of(
    shared: &Shared,
    image: &BuiltImage,
    txn: TxnId,
    most: usize,
) -> Result<PageMap<Written>> {
    let words = shared.words();
    let start = words.list_start();
    let durable = words.durable().txn;
    let newest = words.built();
    let dead = words.dead_ids();
    let session = shared.identity().session.load(Ordering::Relaxed);
    let broken = || shared.damaged("the list of pages is damaged");
    let n = image.list_end.checked_sub(start).filter(|&n| n <= most as u64);
    let mut live = PageMap::default();
    let mut before = None;
    for i in 0..n.ok_or_else(broken)? {
        let r = &shared.records()[((start + i) % RECORDS as u64) as usize];
        let load = |w: &AtomicU64| w.load(Ordering::Relaxed);
        let (word, pages_crc) = (load(&r.page), load(&r.pages_crc));
        let page = PageId(word & PAGE_MASK);
        let by = TxnId(load(&r.txn));
        // First of all: what an old record says decides nothing, not even that it can be passed over.
        let check = load(&r.check);
        let goes_on = |before| check == check_word(session, [before, word, pages_crc, by.0]);
        if !before.is_none_or(goes_on) {
            return Err(broken());
        }
        before = Some(check);
        let w = Written { crc: pages_crc as u32, pages: (pages_crc >> 32) as u32 };
        let end = page.0 + u64::from(w.pages.max(1));
        let kind = word >> 48;
        if by <= durable || dead.have(by) {
            continue;
        }
        if page.0 < 2 || end > PAGE_MASK || by > newest || !(KIND_PAGE..=KIND_FREED).contains(&kind)
        {
            return Err(broken());
        }
        if by > txn {
            continue;
        }
        match kind {
            KIND_FREED => drop(live.remove(&page)),
            _ => drop(live.insert(page, w)),
        }
    }
    let whole = before.is_none_or(|last| last == image.list_check);
    if whole { Ok(live) } else { Err(broken()) }
}

/// Rule 8.
pub(super) fn store_image_in(
    shared: &Shared,
    lock: &impl WriterHeld,
    platform: &dyn Platform,
    image: &BuiltImage,
) {
    let words = shared.words();
    words.build(lock, image.meta.txn, |side| {
        let place: &Image = &shared.images()[side].0;
        let bytes = image.meta.encode(&Phase::TwoPhase);
        for (chunk, w) in bytes.chunks_exact(8).zip(&place.meta) {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            w.store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        place.list_end.store(image.list_end, Ordering::Relaxed);
        place.unlisted.store(image.unlisted.0, Ordering::Relaxed);
        place.list_bytes.store(image.list_bytes, Ordering::Relaxed);
        place.judged_at.store(image.judged_at.0, Ordering::Relaxed);
        place.list_check.store(image.list_check, Ordering::Relaxed);
        let crc = get_u32(&bytes[..], meta::AT_CRC).unwrap_or(0);
        let session = shared.identity().session.load(Ordering::Relaxed);
        place.check.store(image_check(session, crc, image), Ordering::Relaxed);
        words.raise_last_id(lock, image.meta.txn);
        words.raise_page_high(lock, image.meta.page_count);
        platform.step("build: image stored");
    });
    platform.step("build: built moved");
}

/// The crc of a meta page as it says it.
pub(super) fn crc_of(meta: &[u8]) -> u32 {
    get_u32(meta, meta::AT_CRC).unwrap_or(0)
}

/// Whether bytes are the page or run that was written.
pub(super) fn verifies(id: PageId, bytes: &[u8], w: Written) -> bool {
    match w.pages {
        0 => page_crc(id, bytes) == w.crc && get_u32(bytes, 0) == Some(w.crc),
        _ => run_crc(id, [bytes]) == w.crc,
    }
}

/// The words of a descriptor beside the transaction id.
pub fn describe(meta: &Meta) -> Descriptor {
    let c = &meta.catalog;
    let words = [
        meta.txn.0,
        meta.page_count,
        c.root.0,
        u64::from(c.depth),
        c.entries,
        0,
        c.leaf_pages,
        c.branch_pages,
    ];
    let check = check_word(meta.session, words);
    std::array::from_fn(|i| if i == DESCRIPTOR_CHECK { check } else { words[i] })
}

/// The word of a descriptor that is the check over the others and the session (rule 32). Readers do not look at it: they are told from
/// half a descriptor by the order of stores, but a lock file of which a part is older is not.
const DESCRIPTOR_CHECK: usize = 5;

/// Whether a descriptor is what somebody of this session has made visible.
pub(super) fn is_whole(descriptor: &Descriptor, session: u64) -> bool {
    let mut words = *descriptor;
    let check = words.get_mut(DESCRIPTOR_CHECK).map(std::mem::take);
    check == Some(check_word(session, words))
}

/// The snapshot a descriptor stands for: id, page count, catalog. Checked: the shared memory may be anything (B15).
#[inline]
pub fn undescribe(shared: &Shared, d: &Descriptor) -> Result<(TxnId, u64, TableDescriptor)> {
    let bad = || shared.damaged("it shows an impossible snapshot");
    // As a slice: a model's descriptor is shorter.
    let [txn, page_count, root, depth, entries, _, leaf_pages, branch_pages] = d[..] else {
        return Err(bad());
    };
    let depth = u16::try_from(depth).map_err(|_| bad())?;
    if !(2..=PageId::MAX.0).contains(&page_count) || txn == 0 {
        return Err(bad());
    }
    // The counts bound every walk over the catalog; what its names take in runs of their own is not needed.
    let root = PageId(root);
    let counted =
        TableDescriptor { leaf_pages, branch_pages, overflow_pages: 0, root, depth, entries };
    let catalog = counted.checked(page_count).map_err(|_| bad())?;
    Ok((TxnId(txn), page_count, catalog))
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use super::*;
    use crate::shared::layout;
    use crate::storage::PlatformRef;
    use crate::storage::memory::MemoryPlatform;
    use crate::txn::{EngineOptions, open::initial_file};
    use std::sync::Arc;

    /// An empty database. Nothing here touches a page of it.
    pub fn engine() -> Arc<Engine> {
        let platform: PlatformRef = Arc::new(MemoryPlatform::new(1 << 20, layout::SIZE).unwrap());
        let file = initial_file(4096, [1; 16]);
        platform.storage().grow(file.len() as u64).unwrap();
        platform.storage().write(0, &file).unwrap();
        Engine::open(platform, EngineOptions::default()).unwrap()
    }

    /// Found by `crash hostile` once it made the checks good again.
    #[test]
    fn sums_that_nobody_comes_to_are_damage() {
        let engine = &*engine();
        let place = engine.words().copy_built(|side| side).unwrap().1;
        let image = &engine.shared.images()[place].0;
        let session = engine.shared.identity().session.load(Ordering::SeqCst);
        let built = engine.load_image().unwrap();
        let crc = {
            let first = image.meta.iter().map(|w| w.load(Ordering::SeqCst).to_le_bytes());
            get_u32(&first.flatten().collect::<Vec<_>>(), meta::AT_CRC).unwrap()
        };
        let with = |list_end, list_bytes| {
            image.list_end.store(list_end, Ordering::SeqCst);
            image.list_bytes.store(list_bytes, Ordering::SeqCst);
            let changed = BuiltImage { list_end, list_bytes, ..built.clone() };
            image.check.store(image_check(session, crc, &changed), Ordering::SeqCst);
            engine.load_image().map(drop)
        };
        assert!(with(7, 4096).is_ok());
        assert!(matches!(with(u64::MAX, 0), Err(Error::LockFile { .. })));
        assert!(matches!(with(0, u64::MAX - 1), Err(Error::LockFile { .. })));
        assert!(with(0, 0).is_ok());
    }
}
