//! Which meta page is taken, and what is said when there is none.

use super::image::{Image, sample, seal_meta};
use crate::error::Error;
use crate::inspect::{CheckOptions, MetaChoice, OpenedMeta, SlotState, check, open_meta};
use crate::types::{PageId, TxnId};

fn open(image: &Image) -> crate::error::Result<OpenedMeta> {
    open_meta(&image.build(), &MetaChoice::Newest)
}

fn slot(image: &Image) -> Option<u8> {
    open(image).unwrap().summary.slot
}

#[test]
fn the_newest_valid_one_is_taken() {
    let mut i = sample(4096);
    assert_eq!(slot(&i), Some(0));
    i.metas[1].as_mut().unwrap().txn = 10;
    let opened = open(&i).unwrap();
    assert_eq!(opened.summary.slot, Some(1));
    assert_eq!(opened.slots, [SlotState::Valid(TxnId(9)), SlotState::Valid(TxnId(10))]);
    // Erased, as a recovery does it with one that it refused.
    i.metas[1] = None;
    assert_eq!(open(&i).unwrap().slots, [SlotState::Valid(TxnId(9)), SlotState::Empty]);
    // Equal copies, as a recovery leaves them: the recto.
    i.metas[1] = i.metas[0].clone();
    assert_eq!(slot(&i), Some(0));
    assert!(check(&i.build(), CheckOptions::default()).unwrap().is_clean());
}

#[test]
fn damage_to_the_newest_one_leads_to_the_other() {
    type Break = fn(&mut Image);
    let breaks: [(&str, Break); 11] = [
        ("magic", |i| i.raw.push((0, b"x".to_vec()))),
        ("its checksum does not match", |i| i.raw.push((300, vec![1]))),
        ("page size is 4097", |i| i.meta().patches.push((12, vec![1]))),
        ("page size is 2048", |i| i.meta().patches.push((12, vec![0, 8]))),
        ("do not fit the file", |i| i.meta().page_count = 31),
        ("do not fit the file", |i| i.meta().page_count = 1 << 52),
        ("its phase is 3", |i| i.meta().phase = 3),
        ("although its phase is 2", |i| i.meta().phase = 2),
        ("its transaction id is 0", |i| i.meta().patches.push((32, vec![0]))),
        ("lists need", |i| i.meta().patches.push((130, vec![255, 255]))),
        ("its transaction id", |i| i.meta().patches.push((39, vec![255]))),
    ];
    for (words, damage) in breaks {
        let mut i = sample(4096);
        damage(&mut i);
        let opened = open(&i).unwrap();
        assert_eq!(opened.summary.slot, Some(1), "{words}");
        let SlotState::Refused(why) = &opened.slots[0] else { panic!("{words}") };
        assert!(why.contains(words), "{words}: {why}");
    }
}

#[test]
fn a_manifest_that_does_not_match_leads_to_the_other() {
    for (at, words) in [
        (6 * 4096 + 2000, "page 6 of the manifest fails its own checksum"),
        (12 * 4096 + 9, "page 11 is not what the manifest says"),
    ] {
        let mut i = sample(4096);
        i.raw.push((at, vec![1]));
        let opened = open(&i).unwrap();
        assert_eq!(opened.summary.slot, Some(1));
        let SlotState::Refused(why) = &opened.slots[0] else { panic!() };
        assert!(why.contains(words), "{why}");
        // Asked for by name it is followed, and the manifest is a fault.
        let options = CheckOptions { meta: MetaChoice::Slot(0), ..CheckOptions::default() };
        let r = check(&i.build(), options).unwrap();
        assert_eq!(r.meta.txn, TxnId(9));
        assert!(r.faults.iter().any(|f| f.page == Some(PageId(0)) && f.what.contains(words)));
    }
    // An older version of a page, whole and well: its own checksum holds, the manifest's does not.
    let mut i = sample(4096);
    let newest = i.build();
    i.node(6).birth = 5;
    let mut torn = i.build();
    torn[..4096].copy_from_slice(&newest[..4096]);
    let opened = open_meta(&torn, &MetaChoice::Newest).unwrap();
    assert_eq!(opened.summary.slot, Some(1));
}

#[test]
fn hostile_manifests_are_refused_without_reading_them_all() {
    for manifest in [vec![(11, 2); 20], vec![(0, 0)], vec![(1, 0)]] {
        let mut i = sample(4096);
        i.meta().manifest = manifest;
        assert_eq!(slot(&i), Some(1));
    }
    // Beyond the page count: the builder cannot make it, a patch can.
    let mut i = sample(4096);
    let at = 512 + 2 * 8 + 3 * 24;
    i.meta().patches.push((at, vec![255; 6]));
    assert_eq!(slot(&i), Some(1));
}

#[test]
fn without_page_0_the_verso_is_found_at_every_page_size() {
    for page_size in [4096, 8192, 16384, 32768, 65536] {
        let mut i = sample(page_size);
        i.metas.swap(0, 1);
        i.raw.push((0, vec![0xee; page_size]));
        let r = check(&i.build(), CheckOptions::default()).unwrap();
        assert!(r.is_clean(), "{page_size} {:?}", r.faults);
        assert_eq!((r.meta.slot, r.meta.page_size), (Some(1), page_size));
    }
}

#[test]
fn a_database_inside_a_value_is_not_taken_for_the_verso() {
    // An overflow value that looks like the verso of a database with larger pages.
    let mut i = sample(4096);
    i.meta().phase = 2;
    i.meta().manifest.clear();
    i.metas.swap(0, 1);
    let mut inner = sample(16384);
    inner.pages_in_file = 30;
    let inner = inner.build()[16384..16384 + 4096].to_vec();
    i.raw.push((16384, inner));
    i.raw.push((0, vec![0; 4096]));
    assert_eq!(open(&i).unwrap().summary.page_size, 4096);
    // Also when the real one is damaged: better no database than a wrong one.
    i.raw.push((4096 + 600, vec![0xff]));
    assert!(matches!(open(&i), Err(Error::Corrupt { .. })));
}

#[test]
fn what_is_no_database_is_called_so() {
    for bytes in [vec![], vec![0; 10], vec![0; 4095], vec![0; 8192], vec![7; 100_000]] {
        let e = open_meta(&bytes, &MetaChoice::Newest).unwrap_err();
        assert!(matches!(e, Error::NotADatabase { .. }), "{e}");
    }
}

#[test]
fn a_newer_format_is_called_so() {
    let mut i = sample(4096);
    i.meta().version = 3;
    let e = open(&i).unwrap_err();
    assert!(matches!(e, Error::Version { found: 3, supported: 2, .. }), "{e}");
}

/// Whichever slot it stands in: the other may be the older one.
#[test]
fn an_intact_slot_of_a_newer_format_refuses_the_file() {
    for slot in [0, 1] {
        let mut i = sample(4096);
        i.metas[slot].as_mut().unwrap().version = 3;
        assert!(matches!(open(&i), Err(Error::Version { found: 3, .. })), "{slot}");
        let mut i = sample(4096);
        i.metas[slot].as_mut().unwrap().patches.push((304, vec![0, 1]));
        let e = open(&i).unwrap_err();
        assert!(matches!(e, Error::Features { unknown: 256, to_write: false, .. }), "{slot}: {e}");
        // A flipped bit is damage, in these fields too.
        for at in [8, 304] {
            let mut i = sample(4096);
            i.raw.push((4096 * slot + at, vec![0x40]));
            assert_eq!(open(&i).unwrap().summary.slot, Some(1 - slot as u8), "{slot} {at}");
        }
    }
}

#[test]
fn features_that_may_be_unknown_may_use_what_is_reserved() {
    for (field, bit) in [(296, 1), (300, 2)] {
        let mut i = sample(4096);
        i.meta().patches.push((field, vec![bit]));
        i.meta().patches.push((340, vec![7; 8]));
        assert!(check(&i.build(), CheckOptions::default()).unwrap().is_clean(), "{field}");
        i.meta().patches.remove(0);
        assert!(!check(&i.build(), CheckOptions::default()).unwrap().is_clean(), "{field}");
    }
}

#[test]
fn of_one_transaction_the_greater_limit_of_ids_is_the_newer() {
    let mut i = sample(4096);
    i.metas[1] = i.metas[0].clone();
    i.metas[1].as_mut().unwrap().patches.push((320, vec![10]));
    assert_eq!(slot(&i), Some(1));
    i.meta().patches.push((320, vec![11]));
    assert_eq!(slot(&i), Some(0));
    // Below its own id it is impossible.
    i.meta().patches.push((320, vec![8]));
    assert_eq!(slot(&i), Some(1));
}

#[test]
fn both_reasons_are_told() {
    let mut i = sample(4096);
    i.raw.push((300, vec![1]));
    i.metas[1].as_mut().unwrap().page_count = 99;
    let e = open(&i).unwrap_err().to_string();
    assert!(e.contains("checksum") && e.contains("99 pages"), "{e}");
}

#[test]
fn bytes_from_outside_are_followed() {
    let image = sample(4096).build();
    let mut meta: Box<[u8; 4096]> = Box::new(*image.first_chunk().unwrap());
    let mut wiped = image.clone();
    wiped[..8192].fill(0);
    let options = || CheckOptions { meta: MetaChoice::At(meta.clone()), ..Default::default() };
    let r = check(&wiped, options()).unwrap();
    assert!(r.is_clean(), "{:?}", r.faults);
    assert_eq!(r.meta.slot, None);
    // An image without its manifest forgets no page.
    meta[112..116].fill(0);
    meta[512 + 2 * 8 + 3 * 24..].fill(0);
    seal_meta(&mut meta[..]);
    let options = CheckOptions { meta: MetaChoice::At(meta), ..Default::default() };
    assert!(check(&wiped, options).unwrap().is_clean());
}

#[test]
fn only_two_slots_exist() {
    let e = open_meta(&sample(4096).build(), &MetaChoice::Slot(2)).unwrap_err();
    assert!(matches!(e, Error::InvalidArgument(_)));
}
