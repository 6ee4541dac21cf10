//! The list of pages in the shared memory: what has been written since the last durable commit,
//! page by page.

use super::check_word::check_word;
use super::engine::Engine;
use super::image::BuiltImage;
use crate::error::Result;
use crate::pager::page_map::PageMap;
use crate::pager::written::Written;
use crate::shared::Shared;
use crate::shared::layout::RECORDS;
use crate::shared::sync::AtomicU64;
use crate::types::{PageId, TxnId};
use std::sync::atomic::Ordering;

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
    /// Appends to the list of pages; the records count from `built` moving on (rule 8). `check` is
    /// that of the record before them; gives that of the last.
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
                ListRecord::Written(p, w @ Written::Page { .. }) => (p, KIND_PAGE, w),
                ListRecord::Written(p, w @ Written::Run { .. }) => (p, KIND_RUN, w),
                ListRecord::Freed(p) => (p, KIND_FREED, Written::Page { crc: 0 }),
            };
            let pages_crc = u64::from(w.stored_pages()) << 32 | u64::from(w.crc());
            let words = [page.0 | kind << 48, pages_crc, txn.0];
            place.page.store(words[0], Ordering::Relaxed);
            place.pages_crc.store(words[1], Ordering::Relaxed);
            place.txn.store(words[2], Ordering::Relaxed);
            check = check_word(self.session, [check, words[0], words[1], words[2]]);
            place.check.store(check, Ordering::Relaxed);
        }
        check
    }

    /// Pages that are reachable from the image and were born since the last durable commit (rule
    /// 10).
    pub(crate) fn live_records(&self, image: &BuiltImage) -> Result<PageMap<Written>> {
        live_records_of(&self.shared, image, image.meta.txn, self.options.list_limit)
    }
}

/// Pages of the snapshot `txn`, at or below the newest built one, that were born since the last
/// durable commit; `image` is that of the newest built one, `most` the records that there can be.
/// Each record goes with the one before it, and the last one with the image; so does the first: its
/// check stands beside it.
pub fn live_records_of(
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
    let n = n.ok_or_else(broken)?;
    let mut live = PageMap::default();
    live.reserve(n as usize);
    let mut before = None;
    for i in 0..n {
        let r = &shared.records()[((start + i) % RECORDS as u64) as usize];
        let load = |w: &AtomicU64| w.load(Ordering::Relaxed);
        let (word, pages_crc) = (load(&r.page), load(&r.pages_crc));
        let page = PageId(word & PAGE_MASK);
        let by = TxnId(load(&r.txn));
        // First of all: what an old record says decides nothing, not even that it can be passed
        // over.
        let check = load(&r.check);
        let goes_on = |before| check == check_word(session, [before, word, pages_crc, by.0]);
        if !before.is_none_or(goes_on) {
            return Err(broken());
        }
        before = Some(check);
        let w = Written::from_stored(pages_crc as u32, (pages_crc >> 32) as u32);
        let end = page.0 + w.pages();
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
