//! Damage that nobody thought of: every byte, every length, and random structure under good
//! checksums.

use super::image::{Image, sample, seal_meta, seal_page};
use crate::inspect::{CheckOptions, Report, SlotState, check};

fn report(bytes: &Vec<u8>) -> crate::error::Result<Report> {
    check(bytes, CheckOptions::default())
}

/// Whether docs/format.md says that nobody reads this byte of the sample. These are:
/// - the free pages, 17 to 27, and the pages reserved for the logs, 15 and 16;
/// - everything from the page count on, page 28.
///
/// Everything else is covered: dead cells, gaps and taken log entries by their page's checksum,
/// padding of runs and of meta pages by the rule that it is zero.
fn unread(at: usize) -> bool {
    at / 4096 >= 15
}

#[test]
fn every_flipped_byte_is_noticed_unless_nobody_reads_it() {
    let good = sample(4096).build();
    let slots = report(&good).unwrap().slots;
    assert_eq!(slots.len(), 2);
    let mut bytes = good.clone();
    let mut noticed = 0;
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        let seen = match report(&bytes) {
            Err(_) => true,
            // A damaged slot is no fault, as a crash may leave one, but it is told.
            Ok(r) => !r.is_clean() || r.slots != slots,
        };
        assert_eq!(seen, !unread(at), "byte {} of page {}", at % 4096, at / 4096);
        noticed += usize::from(seen);
        bytes[at] = good[at];
    }
    assert_eq!(noticed, 15 * 4096);
}

#[test]
fn every_truncation_is_noticed_unless_nothing_is_missing() {
    let good = sample(4096).build();
    for len in 0..good.len() {
        let bytes = &good[..len];
        match check(&bytes, CheckOptions::default()) {
            Err(_) => {}
            Ok(r) if len >= 28 * 4096 => assert!(r.is_clean(), "{len}"),
            // The older meta has two pages; the newer one no longer fits.
            Ok(r) => assert!(matches!(&r.slots[0], SlotState::Refused(_)), "{len}"),
        }
    }
}

/// A number that likes edges.
fn edge(rng: &mut fastrand::Rng) -> u64 {
    match rng.u32(0..6) {
        0 => 0,
        1 => rng.u64(0..40),
        2 => rng.u64(4000..4200),
        3 => u64::MAX >> rng.u32(0..64),
        4 => 1 << rng.u32(0..64),
        _ => rng.u64(..),
    }
}

fn mutate(bytes: &mut [u8], rng: &mut fastrand::Rng) {
    let page = rng.usize(0..17);
    let within = match rng.u32(0..5) {
        0 => rng.usize(0..64),
        3 => 4096 - 1 - rng.usize(0..130),
        1 => rng.usize(0..600),
        2 => rng.usize(4096 - 300..4096),
        _ => rng.usize(0..4096),
    };
    let size = [1, 2, 4, 6, 8][rng.usize(0..5)].min(4096 - within);
    let at = page * 4096 + within;
    bytes[at..at + size].copy_from_slice(&edge(rng).to_le_bytes()[..size]);
}

/// Makes all checksums good again, so that the damage is met by more than them.
fn reseal(bytes: &mut [u8], image: &Image) {
    let pages = image.nodes.keys().chain(image.logs.keys());
    for &page in pages {
        seal_page(page, &mut bytes[page as usize * 4096..][..4096]);
    }
    seal_meta(&mut bytes[..4096]);
    seal_meta(&mut bytes[4096..8192]);
}

#[test]
fn random_structure_under_good_checksums_never_panics_and_ends() {
    let mut image = sample(4096);
    // Without manifest and fallback, so that the newest meta is followed whatever happens to its
    // pages.
    image.meta().manifest.clear();
    image.meta().phase = 2;
    image.metas[1] = None;
    let good = image.build();
    let (mut faulty, mut refused) = (0, 0);
    for seed in 0..20_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = good.clone();
        for _ in 0..rng.u32(1..5) {
            mutate(&mut bytes, &mut rng);
        }
        reseal(&mut bytes, &image);
        match report(&bytes) {
            Ok(r) => faulty += u32::from(!r.is_clean()),
            Err(_) => refused += 1,
        }
    }
    // Not a property of single runs: most mutations hit something that is proved.
    assert!(faulty > 8_000, "{faulty} faulty, {refused} refused");
}

#[test]
fn random_bytes_never_panic() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut image = sample(4096);
        image.meta().manifest.clear();
        image.meta().phase = 2;
        let mut bytes = image.build();
        // Random pages under the kinds and levels that lead on.
        for page in 2..15 {
            let b = &mut bytes[page * 4096..][..4096];
            rng.fill(&mut b[24..]);
            b[6] = rng.u8(..);
            b[7] = rng.u8(0..3);
            rng.fill(&mut b[16..20]);
        }
        reseal(&mut bytes, &image);
        let r = report(&bytes).unwrap();
        assert!(!r.is_clean());
    }
}

/// Claims the same pages again and again: time must follow the file, not the claims.
#[test]
fn hostile_claims_are_cut_short() {
    let mut image = sample(4096);
    image.pages_in_file = 3_000;
    image.meta().page_count = 3_000;
    image.meta().ready = vec![(2, 2_900); 300];
    image.log(14).entries = vec![(2, 2_900, 1, 5); 160];
    let bytes = image.build();
    let mut steps = 0u64;
    let mut progress = |_, _| steps += 1;
    let options = CheckOptions { progress: Some(&mut progress), ..CheckOptions::default() };
    let r = check(&bytes, options).unwrap();
    assert!(r.fault_count > 3 && r.faults.len() <= crate::inspect::MAX_FAULTS);
    // Told once per 1,024 pages of work: bounded by the pages there are.
    assert!(steps < 10, "{steps}");
}
