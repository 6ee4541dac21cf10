//! One thing is wrong, everything else is right, all checksums included: each such image must give
//! the fault that names it.

use super::image::{Image, Log, Node, Value, descriptor, sample, sample_with_sets, set};
use crate::inspect::{CheckOptions, Fault, Report, check};
use crate::types::PageId;

/// Breaks an image.
type Break = fn(&mut Image);

fn report(image: &Image) -> Report {
    check(&image.build(), CheckOptions::default()).unwrap()
}

fn faults(report: &Report) -> String {
    report.faults.iter().map(|f| format!("\n  {f}")).collect()
}

#[test]
fn right_images_are_clean_at_every_page_size() {
    for page_size in [4096, 8192, 16384, 32768, 65536] {
        let r = report(&sample(page_size));
        assert!(r.is_clean(), "{page_size}:{}", faults(&r));
        let p = &r.pages;
        assert_eq!((p.meta, p.branch, p.leaf, p.overflow), (2, 3, 6, 2));
        assert_eq!((p.free_log, p.reserved, p.leaked), (2, 2, 0));
        assert_eq!((p.ready, p.pooled, p.queued), (5, 1, 5));
        assert_eq!((r.usable_pages(), r.free_pages()), (6, 11));
        assert_eq!(r.entries(), 20);
        assert_eq!(r.tables.len(), 3);
        assert_eq!(r.tables[1].value_bytes, 13 + 9 + 16 + page_size as u64 + 900);
        assert_eq!(r.key_bytes(), 16 * 5 + 1 + 2 + 26);
        assert_eq!(r.unused_tail_bytes, 2 * page_size as u64);
        assert_eq!(r.meta.txn.0, 9);
    }
}

/// Runs the breaks: each must give a fault at the page, or for 0 at the meta page or none, whose
/// text contains the words.
fn expect(sample: Image, cases: &[(&str, u64, &str, Break)]) {
    let mut wrong = String::new();
    for (name, page, words, damage) in cases {
        let mut image = sample.clone();
        damage(&mut image);
        let r = report(&image);
        let at = |f: &Fault| f.page.unwrap_or(PageId(0)).0 == *page;
        let found = r.faults.iter().any(|f| at(f) && f.what.contains(words));
        if !found {
            wrong += &format!("\n{name}: {words:?} is not among:{}", faults(&r));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A test of its own for each property.
macro_rules! properties {
    ($sample:expr => $($name:ident: $page:literal, $words:literal, $damage:expr;)*) => {$(
        #[test]
        fn $name() {
            expect($sample, &[(stringify!($name), $page, $words, $damage)]);
        }
    )*};
}

/// Replaces a page of a table by one that another engine could have written.
fn add_key(image: &mut Image, leaf: u64, key: &str) {
    image.node(leaf).keys.push((key.into(), Value::Inline(vec![])));
    image.add("alpha", 8, 8, 1);
}

properties! { sample(4096) =>
    // Pages with a header.
    page_checksum: 7, "the checksum is", |i| i.raw.push((7 * 4096 + 2000, vec![1]));
    run_checksum: 11, "the checksum of the run", |i| {
        // Without a manifest, which would tell of the damage before.
        i.meta().phase = 2;
        i.meta().manifest.clear();
        i.raw.push((12 * 4096 + 3, vec![99]));
    };
    page_in_the_wrong_place: 7, "the checksum is", |i| {
        let file = i.build();
        i.raw.push((7 * 4096, file[8 * 4096..9 * 4096].to_vec()));
    };
    kind_unknown: 7, "kind 9", |i| i.node(7).patches.push((4, vec![9]));
    kind_and_level_disagree: 7, "a branch of level 0", |i| i.node(7).patches.push((4, vec![1]));
    level_does_not_fall: 5, "a branch of level 2", |i| i.node(5).level = 2;
    level_falls_by_two: 4, "a leaf of level 0", |i| *i.node(4) = Node { level: 0, leftmost: 0,
        keys: vec![(b"key00".to_vec(), Value::Inline(vec![]))], ..i.node(4).clone() };
    header_zero: 7, "header are not zero", |i| i.node(7).patches.push((22, vec![1]));
    prefix_padding: 7, "between prefix and heads", |i| i.node(7).patches.push((27, vec![1]));
    count_beyond_the_page: 7, "the heap starts at", |i| i.node(7).patches.push((6, vec![255, 255]));
    prefix_beyond_the_page: 7, "the heap starts at", |i| i.node(7).patches.push((20, vec![0, 255]));

    // Cells and keys of one page.
    cell_before_the_heap: 7, "before the heap", |i| {
        let at = i.node(7).slots();
        i.node(7).patches.push((at, vec![100, 0]));
    };
    cell_beyond_the_page: 7, "outside the heap", |i| {
        let at = i.node(7).slots();
        i.node(7).patches.push((at, vec![255, 255]));
    };
    value_beyond_the_page: 7, "outside the page", |i| {
        i.node(7).patches.push((4096 - 11 + 2, vec![200, 0]));
    };
    value_tag_unknown: 7, "unknown tag", |i| i.node(7).patches.push((4096 - 11 + 2, vec![3, 0x80]));
    cells_overlap: 7, "overlap", |i| {
        let at = i.node(7).slots();
        i.node(7).patches.push((at, (4096u16 - 22).to_le_bytes().to_vec()));
    };
    heap_dead_wrong: 6, "and dead bytes 41", |i| i.node(6).patches.push((18, vec![41, 0]));
    heap_len_wrong: 7, "the heap has 45 bytes", |i| i.node(7).patches.push((16, vec![45, 0]));
    head_longer_than_its_key: 7, "bytes beyond the end of its key", |i| {
        let at = i.node(7).heads();
        i.node(7).patches.push((at, vec![1]));
    };
    keys_out_of_order: 7, "key 1 is not above key 0", |i| i.node(7).keys.swap(0, 1);
    key_twice: 7, "key 2 is not above key 1", |i| i.node(7).keys[2].0 = b"key05".to_vec();
    order_of_equal_heads: 10, "key 2 is not above key 1", |i| i.node(10).keys.swap(1, 2);
    separators_out_of_order: 4, "key 1 is not above key 0", |i| {
        i.node(4).keys.push((b"key03".to_vec(), Value::Child(19)));
    };
    key_too_long: 10, "at most 2022", |i| i.node(10).keys[2].0 = vec![b'b'; 2023];
    value_should_be_a_run: 10, "stands in the leaf", |i| {
        i.node(10).keys[2].1 = Value::Inline(vec![0; 2036 - 10 + 1]);
    };
    value_should_be_in_the_leaf: 10, "in a run of its own", |i| {
        i.node(10).keys[3].1 = Value::Run(11, 100, 9);
        i.runs.get_mut(&11).unwrap().value.truncate(100);
    };
    leaf_without_keys: 7, "a leaf without keys", |i| i.node(7).keys.clear();

    // Fences.
    key_below_its_separator: 7, "below the separator", |i| i.node(7).keys[0].0 = b"key03".to_vec();
    key_at_the_next_separator: 6, "not below the next", |i| i.node(6).keys[3].0 = b"key04".to_vec();
    key_beyond_a_far_fence: 7, "not below the next", |i| add_key(i, 7, "key08");
    key_below_a_far_fence: 8, "below the separator", |i| i.node(8).keys[0].0 = b"key07".to_vec();
    separator_at_its_low_fence: 5, "below the separator", |i| {
        i.node(5).prefix.pop();
        i.node(5).keys[0].0 = b"key08".to_vec();
    };
    separator_at_its_high_fence: 4, "not below the next", |i| i.node(4).keys[0].0 = b"key08".to_vec();

    // Children.
    child_is_a_meta_page: 0, "branch page of 1 pages at page 1", |i| i.node(3).leftmost = 1;
    child_beyond_the_page_count: 0, "at page 28, outside", |i| i.node(4).keys[0].1 = Value::Child(28);
    child_shared: 6, "owned twice", |i| i.node(5).leftmost = 6;
    child_is_its_ancestor: 3, "owned twice", |i| i.node(5).leftmost = 3;
    child_is_itself: 5, "owned twice", |i| i.node(5).keys[0].1 = Value::Child(5);

    // Births.
    born_after_the_meta: 6, "born in transaction 10", |i| i.node(6).birth = 10;
    child_younger_than_its_parent: 9, "after what leads here, 7", |i| i.node(9).birth = 8;
    root_younger_than_the_catalog_leaf: 3, "after what leads here, 8", |i| {
        i.node(2).birth = 8;
    };
    run_younger_than_its_leaf: 11, "after the leaf", |i| {
        let Value::Run(_, _, birth) = &mut i.node(10).keys[3].1 else { panic!() };
        *birth = 10;
    };
    log_page_younger_than_the_meta: 14, "born in transaction 10", |i| i.log(14).birth = 10;

    // Overflow runs.
    run_of_no_bytes: 0, "overflow run of 0 pages", |i| i.node(10).keys[3].1 = Value::Run(11, 0, 9);
    run_beyond_the_page_count: 0, "outside", |i| i.node(10).keys[3].1 = Value::Run(27, 5000, 9);
    run_length_beyond_everything: 0, "outside", |i| {
        i.node(10).keys[3].1 = Value::Run(11, u64::MAX, 9);
    };
    run_on_a_leaf: 9, "owned twice", |i| i.node(10).keys[3].1 = Value::Run(9, 4996, 9);
    run_padding: 11, "does not end in zeros", |i| i.runs.get_mut(&11).unwrap().padding = 1;
    run_reference_zero: 10, "end in zeros", |i| {
        // The last cell of the page stands at the start of the heap, its reference at the cell's
        // end.
        let heap = 4096 - (4 + 13) - (4 + 9) - (4 + 16) - (4 + 22 + 32);
        i.node(10).patches.push((heap + 4 + 22 + 28, vec![1]));
    };

    // Descriptors.
    entries_wrong: 0, "says 17 entries, there are 16", |i| i.add("alpha", 8, 8, 1);
    branch_pages_wrong: 0, "says 4 branch pages, there are 3", |i| i.add("alpha", 16, 8, 1);
    leaf_pages_wrong: 0, "says 5 leaf pages, there are 4", |i| i.add("alpha", 24, 8, 1);
    overflow_pages_wrong: 0, "says 3 overflow pages, there are 2", |i| i.add("beta", 32, 8, 1);
    depth_wrong: 3, "of level 2 where level 3", |i| i.add("alpha", 40, 2, 1);
    depth_beyond_the_limit: 0, "do not fit together", |i| i.add("alpha", 40, 2, 46);
    depth_without_a_root: 0, "do not fit together", |i| i.add("empty", 40, 2, 1);
    counts_without_a_root: 0, "says 1 leaf pages, there are 0", |i| i.add("empty", 24, 8, 1);
    root_without_entries: 0, "no entries, but a root", |i| {
        *i.table("beta") = descriptor(10, 1, [0, 0, 1, 2]);
    };
    root_in_two_tables: 10, "owned twice", |i| *i.table("empty") = descriptor(10, 1, [4, 0, 1, 2]);
    kind_of_table_unknown: 0, "of the unknown kind 2", |i| i.add("beta", 42, 1, 2);
    kind_without_its_feature: 0, "does not say feature 0x4", |i| i.add("empty", 42, 1, 1);
    alignment_beyond_a_page: 0, "aligned to 2^13", |i| i.add("beta", 43, 1, 13);
    alignment_of_the_catalog: 0, "a catalog or system tree with options", |i| {
        i.meta().catalog[43] = 1;
    };
    alignment_without_its_feature: 0, "does not say feature 0x1", |i| i.add("empty", 43, 1, 1);
    options_without_their_feature: 0, "does not say feature 0x2", |i| {
        i.table("empty").extend([1, 1, b'k']);
    };
    options_out_of_order: 0, "a table option of kind 1", |i| {
        i.table("empty").extend([2, 1, b'v', 1, 1, b'k']);
    };
    option_of_a_kind_to_come: 0, "a table option of kind 3", |i| {
        i.table("empty").extend([3, 1, b'k']);
    };
    option_that_is_cut_off: 0, "a table option of kind 1", |i| i.table("empty").extend([1, 2, b'k']);
    option_that_is_not_utf8: 0, "a table option of kind 1", |i| i.table("empty").extend([1, 1, 0xff]);
    option_without_a_name: 0, "a table option of kind 2", |i| i.table("empty").extend([2, 0]);
    values_of_an_aligned_table_are_not: 10, "not stored as the table says", |i| {
        i.add("beta", 43, 1, 3);
    };
    values_of_another_table_are_aligned: 10, "not stored as the table says", |i| {
        i.node(10).keys[2].1 = Value::Aligned(3, vec![1, 2, 3]);
    };
    values_are_aligned_less_than_said: 10, "not stored as the table says", |i| {
        i.add("beta", 43, 1, 4);
        i.node(10).keys[2].1 = Value::Aligned(3, vec![1, 2, 3]);
    };
    values_are_aligned_too_much_for_a_leaf: 10, "a value aligned to 2^7", |i| {
        i.node(10).keys[2].1 = Value::Aligned(7, vec![1, 2, 3]);
    };
    aligned_value_elsewhere: 10, "is not where it is aligned", |i| {
        i.node(10).keys[0].1 = Value::Aligned(3, vec![1, 2, 3]);
        let heap = 4096 - (4 + i.node(10).keys[0].0.len().saturating_sub(4) + 4 + 7 + 3);
        let pad = heap + 4 + 3 + i.node(10).keys[0].0.len().saturating_sub(4);
        i.node(10).patches.push((pad, vec![7]));
    };
    room_beside_an_aligned_value: 10, "does not stand between zeros", |i| {
        i.node(10).keys[0].1 = Value::Aligned(3, vec![1, 2, 3]);
        i.node(10).patches.push((4096 - 1, vec![1]));
    };
    order_unknown: 0, "the unknown order 5", |i| i.add("beta", 44, 2, 5);
    order_without_its_feature: 0, "does not say feature 0x8", |i| i.add("beta", 44, 2, 1);
    order_of_pages_in_pieces: 10, "keys in pieces, not as the table says", |i| i.add("beta", 44, 2, 2);
    order_without_a_name: 0, "order without a name", |i| i.add("beta", 44, 2, 4);
    value_size_of_single_values: 0, "field value_size", |i| i.add("beta", 46, 2, 1);
    sequence_without_its_feature: 0, "does not say feature 0x10", |i| i.add("beta", 48, 8, 1);
    sequence_of_the_catalog: 0, "system tree with options", |i| i.meta().catalog[48] = 1;
    pairs_of_single_values: 0, "field pairs", |i| i.add("beta", 56, 8, 1);
    descriptor_that_is_a_value: 0, "descriptor of 0 bytes", |i| {
        let bytes = std::mem::take(i.table("beta"));
        i.node(2).keys[1].1 = Value::Inline(bytes);
    };
    value_that_is_a_descriptor: 6, "a table descriptor where a value", |i| {
        i.node(6).keys[1].1 = Value::Table(descriptor(0, 0, [0; 4]));
    };
    table_name_too_long: 2, "a table name of 1025 bytes", |i| i.node(2).keys[0].0 = vec![b'a'; 1025];
    descriptor_of_a_wrong_length: 0, "descriptor of 63 bytes", |i| {
        i.table("beta").pop();
    };
    catalog_counts_wrong: 0, "says 4 entries, there are 3", |i| {
        i.meta().catalog = descriptor(2, 1, [4, 0, 1, 0]);
    };
    table_without_a_name: 2, "without a name", |i| i.node(2).keys[0].0.clear();
    table_name_not_utf8: 2, "not UTF-8", |i| i.node(2).keys[2].0 = vec![0xff];

    // Ownership.
    leak: 18, "1 page(s) from page 18", |i| {
        i.meta().ready[1].1 = 1;
        i.meta().ready.push((19, 1));
        i.meta().free_pages -= 1;
    };
    leaks_when_the_count_rises: 28, "2 page(s) from page 28", |i| i.meta().page_count = 30;
    free_and_in_use: 16, "as ready extent and as reserved", |i| {
        i.meta().ready[1] = (16, 4);
        i.meta().free_pages += 1;
    };
    free_twice: 22, "as ready extent and as free entry", |i| {
        i.meta().ready[0].1 = 3;
        i.meta().free_pages += 1;
    };
    taken_entry_not_taken: 20, "as ready extent and as free entry", |i| {
        i.meta().queues[0].head_used = 0;
        i.meta().free_pages += 2;
    };
    free_is_a_leaf: 9, "as leaf page and as ready extent", |i| {
        i.meta().ready.push((9, 1));
        i.meta().free_pages += 1;
    };
    free_is_a_meta_page: 0, "ready extent of 1 pages at page 0", |i| i.meta().ready.push((0, 1));
    free_beyond_the_count: 0, "outside", |i| i.meta().ready.push((27, 2));
    free_of_no_pages: 0, "of 0 pages", |i| i.meta().ready.push((19, 0));
    tail_is_in_use: 9, "as leaf page and as reserved", |i| {
        i.meta().queues[2].head = 9;
        i.meta().queues[2].tail = 9;
    };

    // Free space.
    free_pages_wrong: 0, "free_pages says 12, the lists hold 11", |i| i.meta().free_pages = 12;
    head_is_not_tail: 0, "ends at page 0, its tail is 16", |i| i.meta().queues[1].head = 0;
    next_is_not_tail: 0, "ends at page 19", |i| {
        i.log(14).next = 19;
        i.meta().ready[1].1 = 2;
    };
    log_shorter_than_it_says: 15, "kind 0", |i| i.meta().queues[0].pages = 3;
    log_longer_than_it_says: 0, "ends at page 14, its tail is 15", |i| i.meta().queues[0].pages = 1;
    log_circle: 13, "owned twice", |i| {
        i.log(14).next = 13;
        i.meta().queues[0].pages = u32::MAX.into();
    };
    log_without_a_reserved_page: 0, "none reserved", |i| {
        i.log(14).next = 0;
        i.meta().queues[0].tail = 0;
    };
    log_page_is_a_leaf: 14, "kind 2", |i| {
        i.logs.remove(&14);
        let leaf = i.node(7).clone();
        i.nodes.insert(14, leaf);
    };
    log_page_level: 14, "level 1", |i| i.log(14).patches.push((5, vec![1]));
    log_page_count: 14, "999 entries", |i| i.log(14).patches.push((6, 999u16.to_le_bytes().to_vec()));
    log_page_heap: 14, "heap_len is not zero", |i| i.log(14).patches.push((16, vec![1]));
    log_page_checksum: 14, "the checksum is", |i| i.raw.push((14 * 4096 + 40, vec![77]));
    more_taken_than_there_are: 13, "4 of them taken", |i| i.meta().queues[0].head_used = 4;
    taken_from_no_page: 0, "1 entries taken from no page", |i| i.meta().queues[1].head_used = 1;
    pinned_main_queue: 0, "main queue is pinned", |i| i.meta().queues[0].pin = 3;
    entries_without_a_pin: 0, "nothing pins", |i| i.meta().queues[1].pin = 0;
    pinned_by_the_future: 0, "pinned by 10", |i| i.meta().queues[1].pin = 10;
    dead_before_born: 14, "out of order", |i| i.log(14).entries[0] = (24, 2, 5, 4);
    dead_as_soon_as_born: 14, "out of order", |i| i.log(14).entries[0] = (24, 2, 5, 5);
    dead_after_the_meta: 0, "out of order", |i| i.meta().queues[0].inline[0].3 = 10;
    dead_after_its_log_page: 14, "out of order", |i| i.log(14).entries[0].3 = 7;
    main_queue_order: 0, "after an entry dead in 5", |i| i.meta().queues[0].inline[0] = (26, 1, 3, 4);

    pinned_pool: 0, "the pool is pinned by 3", |i| i.meta().queues[4].pin = 3;
    map_of_nothing: 0, "bits 0", |i| i.pool(|map| map.2 = 0);
    map_of_pages_in_use: 9, "as leaf page and as pooled extent", |i| {
        i.pool(|map| map.2 |= 1 << 9);
        i.meta().free_pages += 1;
    };
    map_of_a_meta_page: 0, "pooled extent of 1 pages at page 1", |i| i.pool(|map| map.2 |= 2);
    map_beyond_the_count: 0, "outside", |i| i.pool(|map| map.2 |= 1 << 28);
    map_off_its_place: 0, "no map", |i| i.pool(|map| *map = (23, 1, 1, 0));
    map_that_died: 0, "dead in 4", |i| i.pool(|map| map.3 = 4);
    map_of_several_groups: 0, "3 groups", |i| i.pool(|map| map.1 = 3);
    map_of_no_group: 0, "0 groups", |i| i.pool(|map| map.1 = 0);
    map_outside_the_pool: 14, "out of order", |i| i.log(14).entries[0] = (0, 1, 3 << 24, 0);

    // The meta page.
    meta_zero_a: 0, "bytes 132..136", |i| i.meta().patches.push((132, vec![1]));
    body_tail: 0, "the body does not end", |i| i.meta().patches.push((4095, vec![1]));
    manifest_lists_what_nothing_reaches: 21, "nothing leads to it", |i| {
        let log = Log { birth: 1, next: 0, entries: vec![], patches: vec![] };
        i.logs.insert(21, log);
        i.meta().manifest.push((21, 0));
    };
    manifest_forgets_a_page: 6, "does not list it", |i| {
        i.meta().manifest.retain(|m| m.0 != 6);
    };
    manifest_forgets_a_run: 11, "does not list it", |i| {
        i.meta().manifest.retain(|m| m.0 != 11);
    };
    manifest_run_too_short: 11, "says 1 pages of run", |i| i.meta().manifest[5] = (11, 1);
    manifest_lists_twice: 0, "twice", |i| i.meta().manifest.push((6, 0));
    two_databases: 0, "different databases", |i| i.metas[1].as_mut().unwrap().uuid = 1;
    one_transaction_twice: 0, "different content", |i| i.metas[1].as_mut().unwrap().txn = 9;
}

#[test]
fn bytes_behind_the_meta() {
    let mut image = sample(8192);
    image.raw.push((8192 + 5000, vec![1]));
    let r = report(&image);
    assert!(r.faults.iter().any(|f| f.page == Some(PageId(1)) && f.what.contains("behind")));
}

#[test]
fn both_owners_are_named_with_the_way_to_them() {
    let mut image = sample(4096);
    image.meta().ready.push((9, 1));
    image.meta().free_pages += 1;
    let r = report(&image);
    let fault = r.faults.iter().find(|f| f.page == Some(PageId(9))).unwrap();
    assert_eq!(fault.path, "meta / ready extent 2");
    let names = [
        "leaf page (table \"alpha\" / branch 3 / branch 5)",
        "ready extent (meta / ready extent 2)",
    ];
    assert!(names.iter().all(|n| fault.what.contains(n)), "{}", fault.what);
}

#[test]
fn faults_are_bounded_and_counted() {
    let mut image = sample(4096);
    image.pages_in_file = 5_000;
    let meta = image.meta();
    meta.page_count = 5_000;
    // Every second page of the new ones: each of the others is a leak of its own.
    meta.ready.extend((0..200).map(|i| (28 + 2 * i, 1)));
    meta.free_pages += 200;
    let log = image.log(14);
    log.entries.extend((200..360).map(|i| (28 + 2 * i, 1, 1, 5)));
    image.meta().free_pages += 160;
    let r = report(&image);
    assert_eq!(r.fault_count, 360, "{}", faults(&r));
    assert_eq!(r.faults.len(), 360);
    // Now each of the entries is wrong as well.
    image.log(14).entries.iter_mut().for_each(|e| e.3 = 6);
    for e in &mut image.log(14).entries[1..] {
        *e = (3, 1, 9, 9);
    }
    let many: Vec<_> = std::iter::repeat_n((3, 1), 200).collect();
    image.meta().ready.splice(2.., many);
    let r = report(&image);
    assert!(r.fault_count > 500);
    assert!(r.faults.len() <= crate::inspect::MAX_FAULTS);
}

#[test]
fn right_sets_are_clean() {
    let r = report(&sample_with_sets());
    assert!(r.is_clean(), "{}", faults(&r));
    let of = |name: &str| r.tables.iter().find(|t| t.name == name).unwrap();
    let figures = |t: &crate::inspect::TableStats| {
        [t.entries, t.pairs, t.leaf_pages, t.overflow_pages, t.key_bytes, t.value_bytes]
    };
    assert_eq!(figures(of("few")), [3, 10, 1, 3, 3, 4 + 4 + 6 * 7]);
    assert_eq!(figures(of("packed")), [3, 11, 1, 3, 10, 11 * 4]);
    assert_eq!((r.pages.branch, r.pages.leaf, r.pages.leaked), (5, 12, 0));
}

/// Without what the tree of a set has had.
fn without_a_tree(image: &mut Image, name: &str, pairs: u8) {
    let b = image.table(name);
    (b[32], b[56]) = (0, pairs);
    image.meta().ready.push(if name == "few" { (29, 3) } else { (33, 3) });
    image.meta().free_pages += 3;
}

properties! { sample_with_sets() =>
    // Tables.
    pairs_that_are_not_there: 0, "says 11 pairs, there are 10", |i| i.add("few", 56, 8, 1);
    values_of_sets_too_long_for_any_tree: 0, "values of 2023 bytes, at most 2022", |i| {
        i.add("few", 46, 2, 2023);
    };
    alignment_of_sets: 0, "field align_shift", |i| i.add("few", 43, 1, 3);
    sets_without_their_feature: 0, "does not say feature 0x4", |i| i.meta().patches.clear();
    catalog_of_sets: 0, "a catalog or system tree with options", |i| {
        i.meta().catalog[42] = 1;
    };
    pages_of_trees_that_are_not_there: 0, "says 4 overflow pages", |i| i.add("few", 32, 8, 1);
    set_beside_single_values: 28, "a set of values where the table has one", |i| {
        let b = i.table("few");
        (b[42], b[56]) = (0, 0);
    };
    run_beside_sets: 28, "no set of values beside a key", |i| {
        *i.body(28, "a") = Value::Run(11, 4996, 8);
    };
    descriptor_beside_sets: 28, "no set of values beside a key", |i| {
        *i.body(28, "a") = Value::Table(descriptor(0, 0, [0; 4]));
    };
    aligned_beside_sets: 28, "no set of values beside a key", |i| {
        *i.body(28, "a") = Value::Aligned(3, vec![7; 8]);
    };

    // Lists.
    list_beyond_the_page: 28, "the values of cell 1 lie outside", |i| {
        i.patch_set(28, "b", 0, &[0xff, 0xff]);
    };
    list_of_one: 28, "for a set of 1 values", |i| *i.body(28, "b") = set(0, &[b"x"]);
    list_of_more_than_it_has: 28, "for a set of 4 values", |i| i.patch_set(28, "b", 4, &[4]);
    list_of_fewer_than_it_has: 32, "for a set of 1 values", |i| i.patch_set(32, "two", 4, &[1]);
    ends_out_of_order: 28, "the ends of the values of a set do not ascend", |i| {
        i.patch_set(28, "b", 6, &[2]);
    };
    list_out_of_order: 28, "values of a set that do not ascend", |i| {
        *i.body(28, "b") = set(0, &[b"", b"xyz", b"x"]);
    };
    value_twice_in_a_list: 32, "values of a set that do not ascend", |i| {
        *i.body(32, "two") = set(4, &[&[0; 4], &[0; 4]]);
    };
    list_of_another_size: 32, "a set of values of 2 bytes where the table says 4", |i| {
        *i.body(32, "two") = set(2, &[&[0, 1], &[0, 2]]);
    };
    one_value_of_another_size: 32, "a value of a length that", |i| {
        *i.body(32, "one") = Value::Inline(vec![7; 5]);
    };
    value_longer_than_a_key: 28, "a value of a length that", |i| {
        *i.body(28, "a") = Value::Inline(vec![7; 2023]);
    };
    list_longer_than_half_a_leaf: 28, "stands in the leaf", |i| {
        *i.body(28, "b") = set(0, &[&[1; 1010], &[2; 1010]]);
    };

    // Trees of values.
    reference_of_another_length: 28, "the tree of cell 2 has a reference of a wrong length", |i| {
        i.patch_set(28, "c", 0, &[33]);
    };
    reference_beyond_the_page: 32, "the tree of cell 0 lies outside", |i| {
        if let Value::Tagged(_, body) = i.body(32, "many") {
            body.truncate(20);
        }
    };
    tree_without_depth: 28, "the tree of cell 2 cannot be", |i| i.patch_set(28, "c", 4, &[0]);
    tree_too_deep: 28, "the tree of cell 2 cannot be", |i| i.patch_set(28, "c", 4, &[200]);
    tree_without_values: 28, "the tree of cell 2 cannot be", |i| i.patch_set(28, "c", 12, &[0]);
    tree_of_another_size: 28, "a tree of values of 4 bytes where the table says 0", |i| {
        i.patch_set(28, "c", 2, &[4]);
    };
    tree_with_more_values: 28, "says [7, 1, 2] values, branches and leaves", |i| {
        i.patch_set(28, "c", 12, &[7]);
    };
    tree_with_more_branches: 28, "says [6, 2, 2] values", |i| i.patch_set(28, "c", 20, &[2]);
    tree_with_more_leaves: 32, "says [8, 1, 3] values", |i| i.patch_set(32, "many", 28, &[3]);
    tree_of_another_table: 33, "owned twice", |i| i.patch_set(28, "c", 6, &[33]);
    tree_that_is_its_table: 28, "owned twice", |i| i.patch_set(28, "c", 6, &[28]);
    tree_in_a_free_page: 17, "owned twice", |i| i.patch_set(28, "c", 6, &[17]);
    tree_outside_the_file: 0, "at page 99, outside 2..36", |i| i.patch_set(28, "c", 6, &[99]);
    tree_younger_than_its_key: 29, "born in 9, after what leads here, 8", |i| i.node(29).birth = 9;
    value_beside_a_value: 30, "a value beside a value of a set", |i| {
        *i.body(30, "value 1") = Value::Inline(b"x".to_vec());
    };
    values_beyond_their_separator: 30, "is not below the next separator", |i| i.node(30).keys[2].0 = b"value 4".to_vec();

    // Packed leaves.
    packed_leaf_of_single_values: 10, "a leaf of values of 4 bytes where 0 are said", |i| {
        *i.node(10) = Node::packed(9, &[1, 2, 3, 4]);
    };
    packed_leaf_of_any_length: 30, "a leaf of values of 4 bytes where 0 are said", |i| {
        *i.node(30) = Node::packed(7, &[1, 2, 3]);
    };
    leaf_where_a_packed_one_must_be: 34, "a leaf of values of 0 bytes where 4 are said", |i| {
        i.node(34).packed = 0;
    };
    packed_leaf_of_another_size: 34, "a leaf of values of 2 bytes where 4 are said", |i| {
        i.node(34).patches.push((20, vec![2]));
    };
    packed_leaf_beyond_the_page: 34, "1019 values of 4 bytes reach to byte 4100", |i| {
        i.node(34).patches.push((6, 1019u16.to_le_bytes().to_vec()));
    };
    packed_leaf_without_values: 34, "a leaf without keys", |i| {
        i.node(34).patches.push((6, vec![0, 0]));
    };
    packed_values_of_no_length: 34, "4 values of 0 bytes", |i| {
        i.node(34).patches.push((20, vec![0]));
    };
    packed_leaf_with_a_heap: 34, "a packed leaf with a heap", |i| {
        i.node(34).patches.push((16, vec![1]));
    };
    packed_leaf_with_dead_bytes: 34, "a packed leaf with a heap", |i| {
        i.node(34).patches.push((18, vec![1]));
    };
    packed_header_zero: 34, "header are not zero", |i| i.node(34).patches.push((22, vec![1]));
    packed_branch: 34, "a leaf of level 1 where level 0 must be", |i| {
        i.node(34).patches.push((5, vec![1]));
    };
    packed_out_of_order: 34, "key 2 is not above key 1", |i| {
        i.node(34).keys.swap(1, 2);
    };
    packed_twice: 34, "key 3 is not above key 2", |i| i.node(34).keys[3].0[3] = 3;
    packed_beyond_the_separator: 34, "is not below the next separator", |i| i.node(34).keys[3].0[3] = 10;
    packed_before_the_separator: 35, "below the separator that leads here", |i| i.node(35).keys[0].0[3] = 9;
    packed_younger_than_its_branch: 34, "born in 8, after what leads here, 7", |i| {
        i.node(34).birth = 8;
    };
    packed_fewer_than_counted: 32, "says [8, 1, 2] values, branches and leaves, there are [7", |i| {
        i.node(35).keys.pop();
    };
    tree_left_behind: 33, "3 page(s) from page 33 on belong to nothing", |i| {
        *i.body(32, "many") = Value::Inline(vec![0; 4]);
        let b = i.table("packed");
        (b[32], b[56]) = (0, 4);
    };
}

/// A tree may stand where few values are, and hold a single one.
#[test]
fn a_tree_of_one_value_is_clean() {
    let mut image = sample_with_sets();
    let pages = image.meta().ready.clone();
    without_a_tree(&mut image, "few", 5);
    *image.body(28, "c") = Value::Inline(b"v".to_vec());
    assert!(report(&image).is_clean(), "{}{pages:?}", faults(&report(&image)));
}
