//! Round trips, and what a decoder must refuse.

use super::*;
use crate::format::bytes::put_u32;
use crate::format::freelog::FreeExtent;

fn sample() -> (Meta, Phase) {
    let entry = |start| {
        FreeEntry::Extent(FreeExtent {
            start: PageId(start),
            len: 3,
            birth: TxnId(4),
            death: TxnId(9),
        })
    };
    let mut m = Meta::empty([7; 16], 8192);
    m.txn = TxnId(12);
    m.page_count = 1000;
    m.catalog = TableDescriptor { root: PageId(5), depth: 2, entries: 3, ..Default::default() };
    m.system = TableDescriptor { root: PageId(6), depth: 1, entries: 2, ..Default::default() };
    m.space.ready = vec![(PageId(10), 4), (PageId(20), 900)];
    m.space.queues[0] = Queue {
        head: PageId(30),
        tail: PageId(31),
        pages: 1,
        head_used: 7,
        inline: vec![entry(40), entry(50)],
        ..Default::default()
    };
    (m.session, m.id_limit, m.commits) = (u64::MAX, TxnId(65_548), 11);
    m.space.queues[2] = Queue { pin: TxnId(3), inline: vec![entry(60)], ..Default::default() };
    let manifest = ManifestEntry { page: PageId(99), crc: 0xdead_beef, pages: 17 };
    (m, Phase::Sealed(vec![manifest]))
}

#[test]
fn round_trip() {
    let (m, phase) = sample();
    let bytes = m.encode(&phase);
    assert_eq!(Meta::decode(&bytes[..]).unwrap(), (m.clone(), phase));
    // Without a system tree no feature is needed.
    let none = Meta { system: TableDescriptor::default(), ..m.clone() };
    let plain = none.encode(&Phase::TwoPhase);
    assert!(m::WRITE_FEATURES.is_zero(&plain[..], 0) && m::SYSTEM.is_zero(&plain[..], 0));
    assert!(!m::WRITE_FEATURES.is_zero(&bytes[..], 0));
    let two = m.encode(&Phase::TwoPhase);
    assert_eq!(Meta::decode(&two[..]).unwrap().1, Phase::TwoPhase);
}

#[test]
fn a_manifest_lists_no_more_than_there_is() {
    let (m, _) = sample();
    let entry = |page| ManifestEntry { page: PageId(page), crc: 1, pages: 250 };
    let listed =
        |entries: Vec<ManifestEntry>| Meta::decode(&m.encode(&Phase::Sealed(entries))[..]).is_ok();
    assert!(listed(vec![entry(2), entry(300)]));
    assert!(!listed(vec![entry(2), entry(300), entry(600)]));
    // Nor the same pages over and over; found by `crash hostile --seed 131 --first 1934 --files 1`.
    let (mut small, _) = sample();
    (small.page_count, small.space.ready) = (400, vec![]);
    let again = |pages| vec![entry(2), ManifestEntry { pages, ..entry(2) }];
    let listed = |pages| Meta::decode(&small.encode(&Phase::Sealed(again(pages)))[..]).is_ok();
    assert!(listed(150) && !listed(151));
}

#[test]
fn ids_have_an_end() {
    let (mut m, phase) = sample();
    m.id_limit = TxnId::MAX;
    for (txn, good) in [(TxnId::MAX, true), (TxnId(TxnId::MAX.0 + 1), false), (TxnId(0), false)] {
        m.txn = txn;
        assert_eq!(Meta::decode(&m.encode(&phase)[..]).is_ok(), good, "{txn}");
    }
}

#[test]
fn the_limit_of_ids_is_not_below_the_id() {
    let (mut m, phase) = sample();
    for (limit, good) in [(0, true), (1, false), (11, false), (12, true), (1 << 48, false)] {
        m.id_limit = TxnId(limit);
        assert_eq!(Meta::decode(&m.encode(&phase)[..]).is_ok(), good, "{limit}");
    }
}

#[test]
fn the_future_is_told_from_damage() {
    let (m, phase) = sample();
    let changed = |at: usize, value: u32, sealed: bool| {
        let mut b = m.encode(&phase);
        put_u32(&mut b[..], at, value);
        if sealed {
            seal(&mut b[..]);
        }
        Meta::decode(&b[..])
    };
    for version in [1, 3] {
        assert_eq!(changed(m::VERSION.at, version, true), Err(MetaFault::Version(version)));
    }
    assert_eq!(changed(m::READ_FEATURES.at, 0x60, true), Err(MetaFault::Features(0x60)));
    assert_eq!(changed(m::WRITE_FEATURES.at, 7, true).unwrap().0.unknown_to_write, 6);
    assert_eq!(changed(m::WRITE_FEATURES.at - 4, 6, true).unwrap().0, m);
    for at in [m::VERSION.at, m::READ_FEATURES.at, m::WRITE_FEATURES.at] {
        assert!(matches!(changed(at, 3, false), Err(MetaFault::Bad(_))));
    }
}

#[test]
fn every_flipped_byte_is_refused() {
    let (m, phase) = sample();
    let good = m.encode(&phase);
    for i in 0..SIZE {
        let mut bad = good.clone();
        bad[i] ^= 0x41;
        assert!(Meta::decode(&bad[..]).is_err(), "byte {i}");
    }
    for len in 0..SIZE {
        assert!(Meta::decode(&good[..len]).is_err(), "length {len}");
    }
}

#[test]
fn random_bytes_with_a_good_checksum_never_panic() {
    let mut rng = fastrand::Rng::with_seed(5);
    let (m, phase) = sample();
    let good = m.encode(&phase);
    for _ in 0..20_000 {
        let mut b = good.clone();
        for _ in 0..rng.usize(1..6) {
            b[rng.usize(16..700)] = rng.u8(..);
        }
        seal(&mut b[..]);
        let _ = Meta::decode(&b[..]);
    }
}
