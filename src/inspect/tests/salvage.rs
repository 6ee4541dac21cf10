//! What a salvage says of images in which something is missing or odd.

use super::image::{Image, Node, Value, descriptor, sample, sample_with_sets, set};
use crate::inspect::SlotState;
use crate::inspect::salvage::{SalvageOptions, SalvageReport, Source, read_all, salvage};

fn salvaged(image: &Image) -> SalvageReport {
    salvage(&image.build(), SalvageOptions::default(), &mut |_| Ok(())).unwrap()
}

#[test]
fn right_images_come_out_whole() {
    let report = salvaged(&sample(4096));
    assert!(report.is_whole() && report.pairs() == 20, "{report:?}");
    let all = read_all(&sample(4096).build(), SalvageOptions::default(), &mut |_| Ok(())).unwrap();
    assert!(all.is_whole() && all.pairs() == 20, "{all:?}");
}

/// An older leaf in the place of the newer one has a good checksum.
#[test]
fn a_catalog_with_fewer_tables_than_it_counts_is_not_whole() {
    let mut image = sample(4096);
    image.meta().catalog = descriptor(2, 1, [4, 0, 1, 0]);
    let report = salvaged(&image);
    assert!(!report.is_whole(), "{report:?}");
    assert!(report.losses[0].why.contains("says 4 tables, there are 3"), "{report:?}");
}

#[test]
fn a_table_with_fewer_keys_than_it_counts_is_not_whole() {
    let mut image = sample(4096);
    image.add("alpha", 8, 8, 1);
    let report = salvaged(&image);
    assert!(!report.is_whole() && !report.tables[0].is_whole(), "{report:?}");
}

/// A user may have called a table what one gets whose name is too long.
#[test]
fn names_that_are_taken_have_an_end() {
    let mut image = sample(4096);
    let empty = || Value::Inline(descriptor(0, 0, [0; 4]));
    for meta in image.metas.iter_mut().flatten() {
        meta.version = 1;
    }
    image.node(2).keys = vec![
        (b"lost+found/table-1".to_vec(), empty()),
        (b"lost+found/table-2".to_vec(), empty()),
        (vec![b'n'; 1100], empty()),
    ];
    let report = salvaged(&image);
    let names: Vec<_> = report.tables.iter().map(|t| &t.name[..]).collect();
    assert_eq!(names, ["lost+found/table-1", "lost+found/table-2", "lost+found/table-3"]);
    assert!(report.tables[2].renamed.as_ref().is_some_and(|was| was.len() == 1100));
}

type Came = Vec<(String, Vec<u8>)>;

/// What is said, and the keys that came out with their tables.
fn taken(bytes: &Vec<u8>) -> (SalvageReport, Came) {
    let mut came = Came::new();
    let report = salvage(bytes, SalvageOptions::default(), &mut |pair| {
        came.push((pair.table.to_owned(), pair.key.to_vec()));
        Ok(())
    });
    (report.unwrap(), came)
}

/// Keys that came out in a table.
fn of(came: &Came, table: &str) -> usize {
    came.iter().filter(|(name, _)| name == table).count()
}

/// Without a manifest, so that the newer meta is followed whatever happens to its pages.
fn unsealed() -> Image {
    let mut image = sample(4096);
    image.meta().phase = 2;
    image.meta().manifest.clear();
    image
}

/// The catalog has two leaves: 28 with alpha, 29 with the others.
fn two_catalog_leaves() -> Image {
    let mut image = unsealed();
    let root = image.nodes.remove(&2).unwrap();
    let (left, right) = root.keys.split_at(1);
    image.nodes.insert(28, Node::leaf(9, "", left.to_vec()));
    image.nodes.insert(29, Node::leaf(9, "", right.to_vec()));
    image.nodes.insert(2, Node::branch(1, 9, "", 28, &[("b", 29)]));
    image.meta().catalog = descriptor(2, 2, [3, 1, 2, 0]);
    image.meta().page_count = 30;
    image
}

/// The bytes of an image in which these pages are damaged.
fn damaged(image: &Image, pages: &[usize]) -> Vec<u8> {
    let mut bytes = image.build();
    pages.iter().for_each(|page| bytes[page * 4096 + 3000] ^= 1);
    bytes
}

/// The names that a leaf of the catalog lay between were taken for keys of its tables.
#[test]
fn tables_of_a_lost_catalog_leaf_come_out_whatever_their_keys() {
    let image = two_catalog_leaves();
    assert!(salvaged(&image).is_whole());
    for (leaf, kept, aside) in [(28, 4, 16), (29, 16, 4)] {
        let (report, came) = taken(&damaged(&image, &[leaf]));
        assert!(!report.is_whole() && report.space_known, "{report:?}");
        assert_eq!((report.pairs(), report.aside_pairs), (kept + aside, aside), "{report:?}");
        assert_eq!(came.len(), 20);
    }
}

/// Alpha has lost its root, and beta's leaf would fit in there.
#[test]
fn pairs_of_lost_tables_are_not_put_into_another_one() {
    let (report, came) = taken(&damaged(&two_catalog_leaves(), &[29, 3]));
    assert_eq!((of(&came, "alpha"), report.aside_pairs), (0, 20), "{report:?}");
}

#[test]
fn a_table_is_given_back_no_more_than_it_had() {
    let (report, came) = taken(&damaged(&unsealed(), &[3]));
    assert_eq!((of(&came, "alpha"), report.aside_pairs), (16, 0), "{report:?}");
    // An older leaf of the catalog: beta was empty then.
    let mut image = unsealed();
    *image.table("beta") = descriptor(0, 0, [0; 4]);
    let (report, came) = taken(&damaged(&image, &[3]));
    assert_eq!((of(&came, "alpha"), report.aside_pairs), (0, 20), "{report:?}");
}

/// Two leaves with the same keys, and room for both by the counts.
#[test]
fn a_table_is_given_back_no_key_twice() {
    let mut image = unsealed();
    image.nodes.insert(28, image.nodes[&7].clone());
    image.meta().page_count = 29;
    image.add("alpha", 8, 8, 4);
    image.add("alpha", 24, 8, 1);
    let (report, came) = taken(&damaged(&image, &[3]));
    assert_eq!((of(&came, "alpha"), report.aside_pairs), (0, 20), "{report:?}");
}

/// The other one may have been the newer.
#[test]
fn a_file_with_a_refused_meta_is_not_whole() {
    let good = sample(4096).build();
    assert!(taken(&good).0.is_whole());
    for slot in [0, 1] {
        let (mut zero, mut bit) = (good.clone(), good.clone());
        zero[slot * 4096..][..4096].fill(0);
        bit[slot * 4096 + 700] ^= 1;
        for bytes in [zero, bit] {
            let (report, _) = taken(&bytes);
            let SlotState::Refused(why) = &report.slots[slot] else { panic!("{report:?}") };
            let said = report.losses.iter().any(|loss| loss.why.contains(&why[..]));
            assert!(!report.is_whole() && said, "{report:?}");
        }
    }
    // A page that the newest commit has written: the older one is followed.
    let (report, _) = taken(&damaged(&sample(4096), &[6]));
    assert!(report.txn.0 == 8 && !report.is_whole(), "{report:?}");
    assert!(report.losses[0].why.contains("meta page 0 is refused: page 6"), "{report:?}");
}

/// "Two metas of different databases: the recto's, unless the file cannot be its own."
#[test]
fn the_meta_of_another_database_is_not_followed() {
    let mut image = unsealed();
    let mut other = image.meta().clone();
    (other.uuid, other.txn, other.catalog) = (0x77, 70, vec![0; 64]);
    image.metas[1] = Some(other);
    let report = salvaged(&image);
    assert!(report.source == Source::Meta(0) && report.pairs() == 20, "{report:?}");
    let SlotState::Refused(why) = &report.slots[1] else { panic!("{report:?}") };
    assert!(why.contains("another database") && !report.is_whole(), "{report:?}");
    // The file is too short for the recto.
    image.metas.swap(0, 1);
    image.meta().page_count = 1000;
    let report = salvaged(&image);
    assert!(report.source == Source::Meta(1) && report.pairs() == 20, "{report:?}");
    // The recto's pages are not there, the verso's are.
    let mut image = sample(4096);
    let mut other = image.meta().clone();
    (other.uuid, other.txn) = (0x77, 70);
    other.patches = vec![(606, vec![1, 2, 3, 4])];
    image.metas[1] = image.metas[0].replace(other);
    let report = salvaged(&image);
    assert!(report.source == Source::Meta(1) && report.pairs() == 20, "{report:?}");
}

/// Of two metas of one transaction the one with the higher limit of ids, then the recto.
#[test]
fn of_equal_metas_the_one_that_an_opener_takes() {
    for (limits, slot) in [([0, 0], 0), ([2000, 1000], 0), ([1000, 2000], 1)] {
        let mut image = unsealed();
        image.metas[1] = image.metas[0].clone();
        for (meta, limit) in image.metas.iter_mut().flatten().zip(limits) {
            meta.patches = vec![(320, u64::to_le_bytes(limit).to_vec())];
        }
        let report = salvaged(&image);
        assert!(report.source == Source::Meta(slot) && report.is_whole(), "{report:?}");
    }
}

/// An older image of a branch: it leads to a leaf or a value that is beta's by now, or to a free
/// page.
#[test]
fn a_stale_branch_takes_nothing_away_from_others() {
    for child in [10, 11, 20] {
        let mut image = unsealed();
        // Alpha comes first.
        image.node(5).keys[0].1 = Value::Child(child);
        let (report, came) = taken(&image.build());
        assert_eq!((of(&came, "alpha"), of(&came, "beta")), (12, 4), "{child}: {report:?}");
        assert_eq!((report.aside_pairs, report.is_whole()), (4, false), "{child}: {report:?}");
        // In a table with a contradiction nothing is for certain, in others still.
        let (report, came) = taken(&damaged(&image, &[4]));
        assert_eq!((of(&came, "alpha"), of(&came, "beta")), (4, 4), "{child}: {report:?}");
        assert_eq!((report.aside_pairs, report.is_whole()), (12, false), "{child}: {report:?}");
    }
}

/// An older image of a leaf: its value stood where one of beta's stands by now.
#[test]
fn a_stale_leaf_takes_no_value_away_from_others() {
    let mut image = unsealed();
    // Not zeros up to the end: the checksum does not hold.
    image.node(9).keys[0].1 = Value::Run(11, 4990, 4);
    let (report, came) = taken(&image.build());
    assert_eq!((of(&came, "alpha"), of(&came, "beta")), (15, 4), "{report:?}");
    assert!(!report.is_whole() && report.tables[1].is_whole(), "{report:?}");
}

#[test]
fn every_count_of_a_table_is_compared() {
    for at in [16, 24, 32] {
        let mut image = unsealed();
        image.add("alpha", at, 8, 1);
        let report = salvaged(&image);
        assert!(!report.is_whole() && !report.tables[0].is_whole(), "{at}: {report:?}");
        assert!(report.losses[0].why.contains("the descriptor says"), "{report:?}");
    }
}

/// An older image of a leaf of the catalog: all counts agree, and pages are in use that nothing
/// leads to, or that are free as well.
#[test]
fn pages_that_belong_to_nothing_or_twice_are_not_whole() {
    let mut image = unsealed();
    *image.table("alpha") = descriptor(7, 1, [4, 0, 1, 0]);
    let (report, came) = taken(&image.build());
    assert_eq!((of(&came, "alpha"), report.is_whole()), (4, false), "{report:?}");
    assert_eq!(report.aside_pairs, 12, "{report:?}");
    // Beside a loss that does not explain it.
    let mut image = unsealed();
    *image.table("beta") = descriptor(0, 0, [0; 4]);
    let (report, came) = taken(&damaged(&image, &[5]));
    assert_eq!((of(&came, "alpha"), report.aside_pairs), (8, 12), "{report:?}");
    let mut image = unsealed();
    image.meta().ready[0] = (7, 2);
    let (report, _) = taken(&image.build());
    assert!(!report.is_whole(), "{report:?}");
}

#[test]
fn a_table_name_that_is_not_utf8_is_reported() {
    let mut image = unsealed();
    image.node(2).keys[1].0 = b"b\xfc\xfd".to_vec();
    let (report, came) = taken(&image.build());
    assert_eq!((came.len(), report.tables.len()), (20, 3));
    assert!(!report.is_whole(), "{report:?}");
    assert!(report.losses[0].why.contains(r"b\xfc\xfd"), "{report:?}");
}

/// With tables of sets, and without a manifest.
fn unsealed_sets() -> Image {
    let mut image = sample_with_sets();
    image.meta().phase = 2;
    image.meta().manifest.clear();
    image
}

type Pairs = Vec<(String, Vec<u8>, Vec<u8>)>;

/// What is said, and all pairs that came out with their tables.
fn pairs_of(bytes: &Vec<u8>) -> (SalvageReport, Pairs) {
    let mut came = Pairs::new();
    let report = salvage(bytes, SalvageOptions::default(), &mut |pair| {
        came.push((pair.table.into(), pair.key.into(), pair.value.into()));
        Ok(())
    });
    (report.unwrap(), came)
}

/// How many came out in each table; in the others of the sample all of theirs do.
fn counted(came: &Pairs) -> Vec<(&str, usize)> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for (table, ..) in came {
        match counts.iter_mut().find(|(name, _)| name == table) {
            Some((_, count)) => *count += 1,
            None => counts.push((table, 1)),
        }
    }
    assert_eq!(counts[..2], [("alpha", 16), ("beta", 4)], "{counts:?}");
    counts.split_off(2)
}

#[test]
fn sets_come_out_whole() {
    let (report, came) = pairs_of(&unsealed_sets().build());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(counted(&came), [("few", 10), ("packed", 11)]);
    let word = |n: u32| n.to_be_bytes().to_vec();
    for (key, value) in [("a", &b"only"[..]), ("b", b""), ("b", b"xyz"), ("c", b"value 5")] {
        assert!(came.contains(&("few".into(), key.into(), value.into())), "{key}");
    }
    for (key, n) in [("many", 1), ("many", 13), ("one", 5), ("two", 6), ("two", 7)] {
        assert!(came.contains(&("packed".into(), key.into(), word(n))), "{key} {n}");
    }
}

/// The leaf of the keys is gone: of which key the values were nobody knows.
#[test]
fn a_lost_leaf_of_keys_puts_the_values_aside() {
    let (report, came) = pairs_of(&damaged(&unsealed_sets(), &[28]));
    assert!(!report.is_whole() && report.space_known, "{report:?}");
    assert_eq!(counted(&came), [("packed", 11), ("lost+found/1-29", 6)]);
    let (report, came) = pairs_of(&damaged(&unsealed_sets(), &[32]));
    assert!(!report.is_whole(), "{report:?}");
    assert_eq!(counted(&came), [("few", 10), ("lost+found/1-33", 8)]);
}

#[test]
fn a_lost_leaf_of_a_tree_of_values_loses_its_own() {
    for (page, few, packed) in [(30, 7, 11), (31, 7, 11), (34, 10, 7), (35, 10, 7)] {
        let (report, came) = pairs_of(&damaged(&unsealed_sets(), &[page]));
        assert_eq!(counted(&came), [("few", few), ("packed", packed)], "{page}");
        assert_eq!((report.is_whole(), report.aside_pairs), (false, 0), "{report:?}");
    }
}

#[test]
fn a_lost_branch_of_a_tree_of_values_puts_them_aside() {
    let (_, came) = pairs_of(&damaged(&unsealed_sets(), &[29]));
    let aside = [("lost+found/0-30", 3), ("lost+found/0-31", 3)];
    assert_eq!(counted(&came), [&[("few", 4), ("packed", 11)][..], &aside].concat());
    let (_, came) = pairs_of(&damaged(&unsealed_sets(), &[33]));
    let aside = [("lost+found/0-34", 4), ("lost+found/0-35", 4)];
    let mut counts = counted(&came);
    counts.sort_unstable();
    assert_eq!(counts, [&[("few", 10)][..], &aside, &[("packed", 3)]].concat());
    assert!(came.contains(&("lost+found/0-34".into(), vec![0, 0, 0, 2], vec![])));
}

/// Alpha has a hole too, in which the values would fit.
#[test]
fn values_are_not_put_into_another_table() {
    let mut image = unsealed_sets();
    image.node(30).keys.iter_mut().for_each(|(key, _)| key[0] = b'k');
    image.node(30).prefix = b"kalue ".to_vec();
    let (report, came) = pairs_of(&damaged(&image, &[3, 29]));
    assert!(came.iter().all(|(table, key, _)| table != "alpha" || key.starts_with(b"key")));
    assert!(came.iter().all(|(table, ..)| table != "few" || report.aside_pairs >= 6), "{came:?}");
}

/// A tree of values is higher than the leaf that leads to it, and came out before it, without its
/// key.
#[test]
fn sets_of_a_lost_catalog_are_put_aside_with_their_keys() {
    let (report, came) = pairs_of(&damaged(&unsealed_sets(), &[2]));
    assert_eq!((came.len(), report.aside_pairs), (41, 41), "{report:?}");
    let of = |name: &str| came.iter().filter(|(table, ..)| table == name).count();
    assert_eq!((of("lost+found/0-28"), of("lost+found/0-28-sets")), (1, 9));
    assert_eq!((of("lost+found/0-32"), of("lost+found/0-32-sets")), (1, 10));
}

/// Nobody knows whether a table without a descriptor was one of sets.
#[test]
fn a_table_of_an_unknown_kind_gets_nothing_back() {
    let mut image = unsealed_sets();
    image.table("few")[42] = 9;
    let (report, came) = pairs_of(&image.build());
    assert!(came.iter().all(|(table, ..)| table != "few"), "{came:?}");
    assert_eq!(report.aside_pairs, 10, "{report:?}");
    // All its keys have one value: they could be of a map.
    *image.body(28, "b") = Value::Inline(vec![1]);
    *image.body(28, "c") = Value::Inline(vec![2]);
    let (report, came) = pairs_of(&image.build());
    assert!(came.iter().all(|(table, ..)| table != "few"), "{came:?} {report:?}");
}

/// Several values of a key came out in a table that has one for each, lists twice, and values
/// that the table refuses, which ended the salvage of all tables behind it.
#[test]
fn values_that_a_table_cannot_have_are_lost() {
    let word = |n: u32| n.to_be_bytes();
    type Break<'a> = (&'a str, usize, &'a dyn Fn(&mut Image));
    let breaks: [Break<'_>; 9] = [
        ("alpha", 15, &|i| i.node(7).keys[0].1 = set(0, &[b"x", b"y"])),
        ("few", 7, &|i| *i.body(28, "b") = set(0, &[b"", b"x", b"x"])),
        ("few", 7, &|i| *i.body(28, "b") = set(4, &[&word(1), &word(2)])),
        ("few", 9, &|i| *i.body(28, "a") = Value::Inline(vec![1; 2023])),
        ("few", 9, &|i| *i.body(28, "a") = Value::Run(11, 4996, 8)),
        ("packed", 9, &|i| *i.body(32, "two") = set(4, &[&word(7), &word(6)])),
        ("packed", 9, &|i| *i.body(32, "two") = set(2, &[b"aa", b"bb"])),
        ("packed", 10, &|i| *i.body(32, "one") = Value::Inline(vec![1; 5])),
        ("packed", 3, &|i| i.patch_set(32, "many", 2, &[8])),
    ];
    for (n, (table, left, change)) in breaks.into_iter().enumerate() {
        let mut image = unsealed_sets();
        change(&mut image);
        let (report, came) = pairs_of(&image.build());
        let of = came.iter().filter(|(name, ..)| name == table).count();
        assert_eq!(of, left, "{n}: {report:?}");
        assert!(!report.is_whole() && report.loss_count > 0, "{n}: {report:?}");
        let mut once: Vec<_> = came.iter().collect();
        once.sort_unstable();
        assert!(once.windows(2).all(|two| two[0] != two[1]), "{n}: twice");
    }
}
