//! The list of pages: what a repair and an opening take from it, and what they refuse.

use super::{engine, locked};
use crate::commit::engine::Engine;
use crate::commit::image::BuiltImage;
use crate::commit::list::{ListRecord, live_records_of};
use crate::format::meta::Meta;
use crate::pager::written::Written;
use crate::shared::layout::RECORDS;
use crate::types::{PageId, TxnId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn page(id: u64) -> ListRecord {
    ListRecord::Written(PageId(id), Written::Page { crc: id as u32 })
}

fn run(id: u64, pages: u32) -> ListRecord {
    ListRecord::Written(PageId(id), Written::Run { crc: id as u32, pages })
}

fn freed(id: u64) -> ListRecord {
    ListRecord::Freed(PageId(id))
}

/// A database, and the image of its newest transaction.
struct Listed {
    engine: Arc<Engine>,
    image: BuiltImage,
}

impl Listed {
    fn new() -> Listed {
        let engine = engine();
        let image = engine.load_image().unwrap();
        Listed { engine, image }
    }

    /// The next transaction writes and frees this.
    fn build(&mut self, records: &[ListRecord]) -> TxnId {
        let BuiltImage { meta, list_end, list_check, .. } = &self.image;
        let txn = TxnId(meta.txn.0 + 1);
        let check = self.engine.append_records(*list_end, *list_check, txn, records);
        self.image = BuiltImage {
            meta: Meta { txn, ..meta.clone() },
            list_end: list_end + records.len() as u64,
            list_check: check,
            ..self.image
        };
        locked(&self.engine, |writer, _| self.engine.store_image(writer, &self.image));
        txn
    }

    /// First pages of what is live as of a transaction.
    fn live_at(&self, txn: TxnId) -> Option<Vec<u64>> {
        let live = live_records_of(&self.engine.shared, &self.image, txn, RECORDS).ok()?;
        let mut ids: Vec<u64> = live.into_keys().map(|id| id.0).collect();
        ids.sort_unstable();
        Some(ids)
    }

    fn live(&self) -> Option<Vec<u64>> {
        self.live_at(self.image.meta.txn)
    }
}

#[test]
fn live_is_what_was_written_and_not_freed_since() {
    let mut list = Listed::new();
    assert_eq!(list.live(), Some(vec![]));
    let first = list.build(&[page(5), run(9, 3)]);
    let second = list.build(&[freed(5), page(6), page(20)]);
    let third = list.build(&[freed(20), page(20)]);
    assert_eq!(list.live_at(first), Some(vec![5, 9]));
    assert_eq!(list.live_at(second), Some(vec![6, 9, 20]));
    assert_eq!(list.live_at(third), Some(vec![6, 9, 20]));
    let live = list.engine.live_records(&list.image).unwrap();
    assert_eq!(live.get(&PageId(9)), Some(&Written::Run { crc: 9, pages: 3 }));
}

#[test]
fn records_of_the_dead_and_of_the_durable_are_passed_over() {
    let mut list = Listed::new();
    list.build(&[page(5)]);
    let durable = list.build(&[page(6)]);
    let engine = Arc::clone(&list.engine);
    let words = engine.words();
    locked(&engine, |_, flush| {
        words.set_durable(flush, crate::shared::words::Durable { txn: durable, slot: 0 });
    });
    let dead = list.build(&[page(7)]);
    locked(&engine, |w, f| words.bury_ids(w, f, durable, TxnId(dead.0 + 1)));
    list.build(&[page(8)]);
    assert_eq!(list.live(), Some(vec![8]));
}

#[test]
fn the_list_goes_round() {
    let mut list = Listed::new();
    let last = RECORDS as u64 - 1;
    list.image.list_end = last;
    locked(&list.engine, |_, flush| list.engine.words().start_list_at(flush, last, 0));
    list.build(&[page(5), page(6), page(7)]);
    assert_eq!(list.live(), Some(vec![5, 6, 7]));
}

/// One word of one record is another one: an older record, or none (rule 32).
#[test]
fn a_record_that_does_not_go_with_the_next_is_damage() {
    let mut list = Listed::new();
    list.build(&[page(5), run(9, 3)]);
    list.build(&[freed(5), page(6)]);
    let records = list.engine.shared.records();
    for (n, record) in records[..4].iter().enumerate() {
        for word in [&record.page, &record.pages_crc, &record.txn, &record.check] {
            // The first one's check stands beside it, and is the only thing it goes with.
            if n == 0 && !std::ptr::eq(word, &record.check) {
                continue;
            }
            let was = word.fetch_xor(1 << 3, Ordering::Relaxed);
            assert_eq!(list.live(), None, "record {n}");
            word.store(was, Ordering::Relaxed);
        }
    }
    assert_eq!(list.live(), Some(vec![6, 9]));
    for check in [list.image.list_check ^ 1, 0] {
        let image = BuiltImage { list_check: check, ..list.image.clone() };
        assert!(list.engine.live_records(&image).is_err(), "the image goes with the last record");
    }
    for list_end in [list.image.list_end - 1, list.image.list_end + 1, u64::MAX] {
        let image = BuiltImage { list_end, ..list.image.clone() };
        assert!(list.engine.live_records(&image).is_err(), "up to {list_end}");
    }
    let session = &list.engine.shared.identity().session;
    let was = session.fetch_xor(2, Ordering::Relaxed);
    assert_eq!(list.live(), None, "of another session");
    session.store(was, Ordering::Relaxed);
}

#[test]
fn impossible_records_are_damage() {
    let most = PageId::MAX.0;
    for bad in [page(0), page(1), run(most, 2), freed(0), page(most)] {
        let mut list = Listed::new();
        list.build(&[page(5), bad]);
        assert_eq!(list.live(), None, "{bad:?}");
    }
    // More than there is room for.
    let mut list = Listed::new();
    list.build(&[page(5), page(6), page(7)]);
    let (shared, txn) = (&list.engine.shared, list.image.meta.txn);
    assert!(live_records_of(shared, &list.image, txn, 2).is_err());
    assert!(live_records_of(shared, &list.image, txn, 3).is_ok());
}
