//! Which of the two metas an opening takes (rule 24).

use super::{PAGE, platform_of};
use crate::commit::slots::{Chosen, Reader, Refused};
use crate::error::{Error, Result};
use crate::format::checksum::run_crc;
use crate::format::meta::{self, ManifestEntry, Meta, Phase};
use crate::shared::words::Content;
use crate::types::{PageId, TxnId};

const UUID: [u8; 16] = [1; 16];
/// Pages of the file: two metas and this many others.
const OTHERS: usize = 4;

/// A file whose metas are written by hand.
struct File {
    page: usize,
    bytes: Vec<u8>,
}

impl File {
    fn new(page: usize) -> File {
        let mut bytes = vec![0; (2 + OTHERS) * page];
        for (n, byte) in bytes.iter_mut().enumerate().skip(2 * page) {
            *byte = (n / page) as u8;
        }
        File { page, bytes }
    }

    fn meta(&self, txn: u64) -> Meta {
        let empty = Meta::empty(UUID, self.page);
        Meta { txn: TxnId(txn), page_count: (2 + OTHERS) as u64, session: 1, ..empty }
    }

    fn put(&mut self, slot: usize, meta: &Meta, phase: &Phase) -> Content {
        let bytes = meta.encode(phase);
        self.bytes[slot * self.page..][..meta::SIZE].copy_from_slice(&bytes[..]);
        Content { txn: meta.txn, crc: meta::crc_of(&bytes[..]) }
    }

    /// Names a page that is what it says it is.
    fn manifest(&self, page: u64) -> Phase {
        let bytes = &self.bytes[page as usize * self.page..][..self.page];
        let crc = run_crc(PageId(page), [bytes]);
        Phase::Sealed(vec![ManifestEntry { page: PageId(page), pages: 1, crc }])
    }

    fn choose(&self, synced: [Option<Content>; 2]) -> Result<Chosen> {
        let platform = platform_of(&self.bytes);
        let mut reader = Reader { platform: &*platform, pages: 0, page_size: PAGE, list_limit: 10 };
        let slots = reader.slots()?;
        reader.choose(&slots, synced)
    }

    /// Which transaction is taken, and what is refused.
    fn taken(&self) -> (u64, Option<Refused>) {
        let chosen = self.choose([None; 2]).unwrap();
        (chosen.found.meta.txn.0, chosen.refused)
    }
}

#[test]
fn the_newer_meta_is_taken_if_its_manifest_verifies() {
    for page in [4096, 16384, 65536] {
        for newer in [0, 1] {
            let mut file = File::new(page);
            let manifest = file.manifest(3);
            file.put(newer ^ 1, &file.meta(5), &Phase::TwoPhase);
            let content = file.put(newer, &file.meta(6), &manifest);
            assert_eq!(file.taken(), (6, None));
            file.bytes[3 * page + 7] ^= 1;
            let refused = Refused { txn: TxnId(6), slot: newer, page: PageId(3) };
            assert_eq!(file.taken(), (5, Some(refused)));
            // Known to have been synced: its pages are not read.
            let mut synced = [None; 2];
            synced[newer] = Some(content);
            assert_eq!(file.choose(synced).unwrap().found.meta.txn, TxnId(6));
            synced[newer] = Some(Content { crc: content.crc ^ 1, ..content });
            assert_eq!(file.choose(synced).unwrap().found.meta.txn, TxnId(5));
        }
    }
}

#[test]
fn of_the_same_transaction_the_one_with_more_ids_is_taken() {
    for newer in [0, 1] {
        let mut file = File::new(PAGE);
        let more = Meta { id_limit: TxnId(90), ..file.meta(5) };
        file.put(newer ^ 1, &Meta { id_limit: TxnId(50), ..file.meta(5) }, &Phase::TwoPhase);
        file.put(newer, &more, &Phase::TwoPhase);
        let chosen = file.choose([None; 2]).unwrap();
        assert_eq!((chosen.slot, chosen.found.meta.id_limit), (newer, TxnId(90)));
    }
}

#[test]
fn a_file_that_is_too_short_for_a_meta_gives_the_other() {
    let mut file = File::new(PAGE);
    file.put(0, &file.meta(5), &Phase::TwoPhase);
    file.put(1, &Meta { page_count: 7, ..file.meta(6) }, &Phase::TwoPhase);
    let refused = Refused { txn: TxnId(6), slot: 1, page: PageId::NONE };
    assert_eq!(file.taken(), (5, Some(refused)));
    // Nor does it help that it was synced once.
    let content = file.put(1, &Meta { page_count: 7, ..file.meta(6) }, &Phase::TwoPhase);
    assert_eq!(file.choose([None, Some(content)]).unwrap().found.meta.txn, TxnId(5));
}

#[test]
fn a_damaged_meta_is_told_of_if_it_was_synced_and_newer() {
    for (damaged, told) in [(6, true), (4, false)] {
        let mut file = File::new(PAGE);
        file.put(0, &file.meta(5), &Phase::TwoPhase);
        let content = file.put(1, &file.meta(damaged), &Phase::TwoPhase);
        file.bytes[PAGE + 100] ^= 1;
        let chosen = file.choose([None, Some(content)]).unwrap();
        let refused = Refused { txn: TxnId(damaged), slot: 1, page: PageId::NONE };
        assert_eq!(chosen.refused, told.then_some(refused));
        assert_eq!(file.taken(), (5, None), "nobody knows of it");
    }
}

#[test]
fn without_a_meta_that_can_be_trusted_there_is_no_database() {
    let mut file = File::new(PAGE);
    let manifest = [file.manifest(3), file.manifest(4)];
    file.put(0, &file.meta(5), &manifest[0]);
    file.put(1, &file.meta(6), &manifest[1]);
    file.bytes[4 * PAGE] ^= 1;
    assert_eq!(file.taken().0, 5);
    file.bytes[3 * PAGE] ^= 1;
    let why = file.choose([None; 2]).err().expect("both are refused").to_string();
    assert!(why.contains("page 4"), "{why}");
    for damaged in [0, PAGE] {
        file.bytes[damaged + 100] ^= 1;
    }
    assert!(matches!(file.choose([None; 2]), Err(Error::Corrupt { .. })));
    file.bytes.fill(0);
    assert!(matches!(file.choose([None; 2]), Err(Error::NotADatabase { .. })));
}

/// Without a recto nobody knows how long a page is.
#[test]
fn the_verso_is_found_at_each_page_size() {
    for page in [4096, 8192, 16384, 32768, 65536] {
        let mut file = File::new(page);
        file.put(1, &file.meta(6), &Phase::TwoPhase);
        let chosen = file.choose([None; 2]).unwrap();
        assert_eq!((chosen.slot, chosen.found.meta.page_size), (1, page));
    }
}

#[test]
fn of_two_databases_the_rectos_is_taken_if_it_fits() {
    let mut file = File::new(PAGE);
    let other = Meta { uuid: [2; 16], ..file.meta(9) };
    file.put(0, &file.meta(5), &Phase::TwoPhase);
    file.put(1, &other, &Phase::TwoPhase);
    assert_eq!(file.taken(), (5, None));
    file.put(0, &Meta { page_count: 99, ..file.meta(5) }, &Phase::TwoPhase);
    assert_eq!(file.taken(), (9, None));
}
