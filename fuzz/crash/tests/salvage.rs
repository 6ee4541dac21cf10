//! Salvage, measured on randomly damaged databases: everything on undamaged pages comes out,
//! nothing wrong comes out.

use fastrand::Rng;
use recto::inspect::salvage::Source;
use recto_crash::hostile::bytes::{get, put};
use recto_crash::hostile::origins::{self, Origin};
use recto_crash::hostile::repair;
use recto_crash::hostile::salvaged::{self, Salvaged, Snapshot, compare};
use std::collections::BTreeSet;

/// Pages are damaged in one of the ways in which disks do it.
fn damage(image: &mut [u8], page_size: usize, id: u64, rng: &mut Rng) {
    let page = &mut image[id as usize * page_size..][..page_size];
    // Of a large page the meta is a small part: the whole of it then.
    match rng.u8(..if id < 2 { 2 } else { 4 }) {
        0 => page.fill(0),
        1 => rng.fill(page),
        2 => page[rng.usize(..page_size)] ^= 1 << rng.u8(..8),
        _ => {
            // A sector that holds something else.
            let at = rng.usize(..page_size / 512) * 512;
            rng.fill(&mut page[at..at + 512]);
        }
    }
}

/// Of the image and of the states before it, the newest first.
fn snapshots_of(origin: &Origin) -> Vec<Snapshot> {
    let images = [&origin.image].into_iter().chain(origin.earlier.iter().rev());
    images.flat_map(|image| salvaged::snapshots(image, origin.page_size).unwrap()).collect()
}

fn salvage_damaged(
    origin: &Origin,
    snapshots: &[Snapshot],
    pages: &BTreeSet<u64>,
    rng: &mut Rng,
) -> (Source, bool, Salvaged) {
    let mut image = origin.image.clone();
    for &page in pages {
        while image[page as usize * origin.page_size..][..origin.page_size]
            == origin.image[page as usize * origin.page_size..][..origin.page_size]
        {
            damage(&mut image, origin.page_size, page, rng);
        }
    }
    let done = compare(snapshots, &image, pages);
    let (report, salvaged) =
        done.unwrap_or_else(|what| panic!("{}: {pages:?}: {what}", origin.name));
    (report.source, report.space_known, salvaged)
}

#[test]
fn everything_undamaged_and_nothing_wrong_comes_out() {
    let mut rng = Rng::with_seed(5);
    let mut total = Salvaged::default();
    let (mut files, mut placed) = (0, 0);
    for origin in origins::all().unwrap().iter().filter(|origin| origin.name != "empty") {
        let snapshots = snapshots_of(origin);
        let pages = (origin.image.len() / origin.page_size) as u64;
        for round in 0..150 {
            let count = [1, 1, 2, 3, pages as usize / 4][round % 5];
            // Not both metas: without one of them nothing can be proved about what is free.
            let lost: BTreeSet<u64> = (0..count).map(|_| rng.u64(1..pages)).collect();
            let (_, _, salvaged) = salvage_damaged(origin, &snapshots, &lost, &mut rng);
            files += 1;
            placed += u64::from(salvaged.aside == 0);
            total.had += salvaged.had;
            total.undamaged += salvaged.undamaged;
            total.in_place += salvaged.in_place;
            total.aside += salvaged.aside;
        }
    }
    println!("{files} files: {total:?}, {placed} of them with nothing aside");
    assert_eq!(total.in_place + total.aside, total.undamaged);
    // A measure, not a law: most of it is found in its place.
    assert!(total.aside * 5 < total.undamaged, "{total:?}");
}

#[test]
fn both_metas_gone() {
    let mut rng = Rng::with_seed(6);
    for origin in origins::all().unwrap().iter().filter(|origin| origin.name != "empty") {
        let snapshots = snapshots_of(origin);
        let pages = (origin.image.len() / origin.page_size) as u64;
        for round in 0..12 {
            let mut lost = BTreeSet::from([0, 1]);
            // First only the metas, then more.
            let more = if pages > 8 { round / 3 } else { 0 };
            lost.extend((0..more).map(|_| rng.u64(2..pages)));
            let (source, known, salvaged) = salvage_damaged(origin, &snapshots, &lost, &mut rng);
            assert!(matches!(source, Source::Catalog(_) | Source::Nothing) && !known);
            if lost.len() == 2 {
                assert!(matches!(source, Source::Catalog(_)), "{}", origin.name);
                assert_eq!(salvaged.in_place, salvaged.had, "{}", origin.name);
            }
        }
    }
}

/// The pages of a kind in the newest snapshot.
fn live(origin: &Origin, wanted: impl Fn(&[u8]) -> bool) -> BTreeSet<u64> {
    let page = |id: usize| &origin.image[id * origin.page_size..][..origin.page_size];
    origin.live.iter().filter(|&&id| wanted(page(id))).map(|&id| id as u64).collect()
}

/// What a lost branch led to goes back into its table, all of it, if it is the only table with a
/// loss.
#[test]
fn branches_gone() {
    let mut rng = Rng::with_seed(7);
    let mut used = 0;
    for origin in origins::all().unwrap() {
        let branches = live(&origin, |page| page[4] == 1);
        // Several tables lose branches, or the newest commit has written some: without these its
        // meta is refused.
        let skipped = ["tables", "sets", "orders", "many names"];
        if branches.is_empty() || skipped.contains(&origin.name) {
            continue;
        }
        used += 1;
        let snapshots = snapshots_of(&origin);
        let (source, known, salvaged) = salvage_damaged(&origin, &snapshots, &branches, &mut rng);
        assert!(matches!(source, Source::Meta(_)) && known, "{}: {source:?}", origin.name);
        assert_eq!(salvaged.in_place, salvaged.had, "{}: {salvaged:?}", origin.name);
        assert_eq!(salvaged.aside, 0);
    }
    assert!(used >= 5, "{used}");
}

/// With the free log gone too nobody knows what is of the past: nothing unreached is taken for
/// certain, and nothing is left out.
#[test]
fn branches_and_the_free_log_gone() {
    let mut rng = Rng::with_seed(9);
    let origin = origins::all().unwrap().into_iter().find(|o| o.name == "free log").unwrap();
    let mut origin = origin;
    let newest = [0, 4096].into_iter().max_by_key(|at| get(&origin.image, at + 32, 8)).unwrap();
    // Without a manifest, which would lead to the older meta.
    put(&mut origin.image, newest + 116, 4, 2);
    let count = get(&origin.image, newest + 112, 4) as usize;
    put(&mut origin.image, newest + 112, 4, 0);
    let lists = get(&origin.image, newest + 128, 4) * 8
        + (0..4).map(|queue| 24 * get(&origin.image, newest + 162 + 32 * queue, 2)).sum::<u64>();
    origin.image[newest + 512 + lists as usize..][..12 * count].fill(0);
    repair::repair(&mut origin.image, 4096);
    let lost = live(&origin, |page| page[4] != 2);
    let snapshots = snapshots_of(&origin);
    let (source, known, salvaged) = salvage_damaged(&origin, &snapshots, &lost, &mut rng);
    assert!(matches!(source, Source::Meta(_)) && !known);
    assert_eq!((salvaged.in_place, salvaged.aside), (0, salvaged.had), "{salvaged:?}");
}

/// With the root of the catalog every name is gone, and no pair.
#[test]
fn the_catalog_gone() {
    let mut rng = Rng::with_seed(8);
    for origin in origins::all().unwrap().iter().filter(|origin| origin.name != "empty") {
        let newest =
            [0, origin.page_size].into_iter().max_by_key(|at| get(&origin.image, at + 32, 8));
        let root = get(&origin.image, newest.unwrap() + 48, 8);
        let snapshots = snapshots_of(origin);
        let (_, _, salvaged) =
            salvage_damaged(origin, &snapshots, &BTreeSet::from([root]), &mut rng);
        assert_eq!(salvaged.in_place + salvaged.aside, salvaged.had, "{}", origin.name);
    }
}

/// A file that was cut off keeps what is left of it.
#[test]
fn a_file_that_is_too_short() {
    for origin in origins::all().unwrap().iter().filter(|origin| origin.name != "empty") {
        let snapshots = snapshots_of(origin);
        let pages = origin.image.len() / origin.page_size;
        for keep in [2, 3, pages / 2, pages - 1] {
            let lost = (keep as u64..pages as u64).collect();
            let image = &origin.image[..keep * origin.page_size];
            compare(&snapshots, image, &lost)
                .unwrap_or_else(|what| panic!("{}, {keep} pages: {what}", origin.name));
        }
    }
}
