//! What readers are shown, and the word over it.

use super::engine;
use crate::commit::check_word::check_word;
use crate::commit::deadline::{end_of, left_until};
use crate::commit::snapshot::{decode_snapshot, encode_snapshot, is_whole, system_of};
use crate::format::descriptor::TableDescriptor;
use crate::format::meta::Meta;
use crate::types::{PageId, TxnId};
use std::time::Duration;

fn meta() -> Meta {
    let catalog = TableDescriptor {
        root: PageId(9),
        depth: 1,
        entries: 3,
        leaf_pages: 2,
        branch_pages: 1,
        ..TableDescriptor::default()
    };
    let empty = Meta::empty([1; 16], 4096);
    Meta { txn: TxnId(7), page_count: 40, catalog, session: 0x1234, ..empty }
}

#[test]
fn a_snapshot_comes_back_and_each_word_is_checked() {
    let engine = engine();
    let (shared, meta) = (&engine.shared, meta());
    let shown = encode_snapshot(&meta);
    let (txn, pages, catalog) = decode_snapshot(shared, &shown).unwrap();
    assert_eq!((txn, pages, catalog), (meta.txn, meta.page_count, meta.catalog));
    assert_eq!(system_of(shared, &shown).unwrap(), TableDescriptor::default());
    let system = TableDescriptor { root: PageId(11), entries: 1, ..meta.catalog };
    let both = encode_snapshot(&Meta { system, ..meta.clone() });
    assert_eq!(system_of(shared, &both).unwrap(), system);
    assert_eq!(decode_snapshot(shared, &both).unwrap().2, meta.catalog);
    assert!(is_whole(&shown, meta.session) && !is_whole(&shown, meta.session ^ 2));
    for word in 0..shown.len() {
        for bit in [0, 17, 63] {
            let mut other = shown;
            other[word] ^= 1 << bit;
            assert!(!is_whole(&other, meta.session), "word {word}, bit {bit}");
        }
    }
}

/// B15: whoever reads has only the shared memory to go by.
#[test]
fn impossible_snapshots_are_refused() {
    let engine = engine();
    let shown = encode_snapshot(&meta());
    let with = |word: usize, value: u64| {
        let mut other = shown;
        other[word] = value;
        decode_snapshot(&engine.shared, &other).is_ok()
    };
    assert!(with(0, 8) && with(1, 41), "any id, and any length that holds the tables");
    assert!(!with(0, 0), "transaction 0");
    assert!(!with(1, 0) && !with(1, 1) && !with(1, 1 << 63), "page counts");
    assert!(!with(1, 9) && !with(2, 40) && !with(2, 1), "roots outside the file");
    assert!(!with(3, 0) && !with(3, 999), "depths");
    assert!(!with(6, 41) && !with(7, u64::MAX), "more pages than the file has");
    let system = |word: usize, value: u64| {
        let mut other = shown;
        other[word] |= value;
        system_of(&engine.shared, &other).is_ok()
    };
    assert!(system(0, 8), "none, as it is");
    assert!(
        !system(1, 1 << 48) && !system(3, 9 << 16),
        "a depth without a root, and a root without"
    );
}

#[test]
fn a_check_word_depends_on_each_word_its_place_and_the_session() {
    let words = [3, 0, 0, 9];
    let sum = check_word(0x55, words);
    assert_ne!(sum, check_word(0x57, words));
    assert_ne!(sum, check_word(0x55, [0, 3, 0, 9]));
    assert_ne!(sum, check_word(0x55, [3, 0, 9, 0]));
    assert_ne!(check_word(0x55, [0; 2]), check_word(0x55, [0; 3]));
    for word in 0..4 {
        for bit in 0..64 {
            let mut other = words;
            other[word] ^= 1 << bit;
            assert_ne!(sum, check_word(0x55, other));
        }
    }
}

/// Found by a timeout of `Duration::MAX`, which was a panic.
#[test]
fn a_wait_that_no_clock_can_tell_has_no_end() {
    assert_eq!((end_of(None), end_of(Some(Duration::MAX))), (None, None));
    assert_eq!(left_until(None), None);
    assert_eq!(left_until(end_of(Some(Duration::ZERO))), Some(Duration::ZERO));
}
