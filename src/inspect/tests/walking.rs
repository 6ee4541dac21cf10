//! Walk, figures, reading from files, breaking off.

use super::image::sample;
use crate::error::{Error, Result};
use crate::inspect::{
    CheckOptions, FilePages, MetaChoice, PageKind, Pages, SlotState, Tree, check, stats, walk,
};
use crate::types::PageId;
use std::borrow::Cow;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

#[test]
fn a_walk_meets_every_page_once() {
    let image = sample(4096).build();
    let mut seen = Vec::new();
    let mut trees = Vec::new();
    let r = walk(&image, &MetaChoice::Newest, &mut |info| {
        seen.extend(info.id.0..info.id.0 + info.pages);
        let tree = match info.tree {
            Tree::None => "-".to_string(),
            Tree::Catalog => "catalog".to_string(),
            Tree::System => "system".to_string(),
            Tree::Table(name) => name.to_string(),
        };
        if matches!(info.kind, PageKind::Branch | PageKind::Leaf | PageKind::Overflow) {
            trees.push((info.id.0, tree, info.level, info.birth.0, info.count));
        } else {
            assert_eq!(tree, "-");
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(r.is_clean());
    seen.sort_unstable();
    assert_eq!(seen, (0..28).collect::<Vec<u64>>());
    let expected = [
        (2, "catalog", 0, 9, 3),
        (3, "alpha", 2, 9, 1),
        (4, "alpha", 1, 9, 1),
        (6, "alpha", 0, 9, 4),
        (7, "alpha", 0, 3, 4),
        (5, "alpha", 1, 7, 1),
        (8, "alpha", 0, 7, 4),
        (9, "alpha", 0, 4, 4),
        (10, "beta", 0, 9, 4),
        (11, "beta", 0, 9, 0),
    ];
    assert_eq!(trees, expected.map(|(id, t, l, b, c)| (id, t.to_string(), l, b, c)));
}

#[test]
fn a_walk_can_be_ended() {
    let mut calls = 0;
    let r = walk(&sample(4096).build(), &MetaChoice::Newest, &mut |_| {
        calls += 1;
        if calls == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(calls, 5);
    assert!(r.cancelled && !r.is_clean() && r.fault_count == 0);
}

#[test]
fn a_check_can_be_cancelled_and_tells_its_progress() {
    let image = sample(4096).build();
    let stop = AtomicBool::new(true);
    let options = CheckOptions { cancelled: Some(&stop), ..CheckOptions::default() };
    let r = check(&image, options).unwrap();
    assert!(r.cancelled && !r.is_clean());
    let mut told = Vec::new();
    let mut progress = |done, total| told.push((done, total));
    let options = CheckOptions { progress: Some(&mut progress), ..CheckOptions::default() };
    assert!(check(&image, options).unwrap().is_clean());
    assert_eq!(told.last(), Some(&(28, 28)));
    assert!(told.iter().all(|(done, total)| done <= total));
}

#[test]
fn figures_are_counted() {
    let image = sample(4096).build();
    let tables = stats(&image, &MetaChoice::Newest).unwrap();
    let alpha = &tables[0];
    assert_eq!((alpha.name.as_str(), alpha.depth, alpha.root.0), ("alpha", 3, 3));
    assert_eq!((alpha.entries, alpha.branch_pages, alpha.leaf_pages), (16, 3, 4));
    assert_eq!((alpha.key_bytes, alpha.value_bytes), (80, 10 * 7 + 6 * 8));
    // A leaf: header, prefix, four heads and slots, four cells of 4 bytes and the values.
    let cells = 16 * 4 + alpha.value_bytes;
    assert_eq!(alpha.leaf_used_bytes, 4 * (28 + 4 * 6) + cells);
    let fill = alpha.leaf_fill(4096);
    assert!((fill - alpha.leaf_used_bytes as f64 / 16384.0).abs() < 1e-12);
    let beta = &tables[1];
    assert_eq!((beta.overflow_values, beta.overflow_pages), (1, 2));
    assert_eq!(beta.pages(), 3);
    assert_eq!(tables[2].leaf_fill(4096), 0.0);
}

#[test]
fn without_values_runs_are_not_read() {
    let mut image = sample(4096);
    image.raw.push((12 * 4096, vec![99]));
    let with = |meta, verify_values| {
        let options = CheckOptions { meta, verify_values, ..CheckOptions::default() };
        check(&image.build(), options).unwrap()
    };
    // Through the slot: the manifest of the newest one tells of the damage before.
    let (quick, full) = (with(MetaChoice::Slot(0), false), with(MetaChoice::Slot(0), true));
    assert_eq!((quick.fault_count, full.fault_count), (1, 2));
}

/// A disk with one page that cannot be read.
struct Broken(Vec<u8>, u64);

impl Pages for Broken {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let bad = self.1 * 4096..(self.1 + 1) * 4096;
        if offset < bad.end && offset + len as u64 > bad.start {
            return Err(Error::io("read", std::io::ErrorKind::Other.into()));
        }
        self.0.read(offset, len)
    }
}

#[test]
fn pages_that_cannot_be_read_are_faults_and_the_rest_is_checked() {
    let mut image = sample(4096);
    // Without a manifest, which would lead to the older meta.
    image.meta().phase = 2;
    image.meta().manifest.clear();
    // What is read, where the fault stands.
    for (broken, page) in
        [(2, 2), (3, 3), (5, 5), (7, 7), (10, 10), (11, 11), (12, 11), (13, 13), (14, 14)]
    {
        let r = check(&Broken(image.build(), broken), CheckOptions::default()).unwrap();
        let cut = r.faults.iter().find(|f| f.what.contains("cannot be read")).unwrap();
        assert_eq!(cut.page, Some(PageId(page)));
        // One damage, and one line about what could not be followed from there.
        let lost = matches!(broken, 2 | 3 | 5 | 10 | 13 | 14);
        assert_eq!(r.fault_count, 1 + u64::from(lost), "{broken}: {:#?}", r.faults);
    }
    for broken in 15..30 {
        assert!(check(&Broken(image.build(), broken), CheckOptions::default()).unwrap().is_clean());
    }
    let r = check(&Broken(image.build(), 1), CheckOptions::default()).unwrap();
    assert!(r.is_clean() && matches!(&r.slots[1], SlotState::Refused(_)));
    let r = check(&Broken(image.build(), 0), CheckOptions::default()).unwrap();
    assert_eq!(r.meta.slot, Some(1));
    // The second half of the verso.
    let r = check(&Broken(sample(8192).build(), 3), CheckOptions::default()).unwrap();
    assert_eq!((r.fault_count, r.faults[0].page), (1, Some(PageId(1))));
}

#[test]
fn a_file_is_read_like_a_slice() {
    let image = sample(4096).build();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.recto");
    std::fs::File::create(&path).unwrap().write_all(&image).unwrap();
    let file = FilePages::open(&path).unwrap();
    assert_eq!(file.len(), image.len() as u64);
    let r = check(&file, CheckOptions::default()).unwrap();
    assert!(r.is_clean());
    assert_eq!(r.pages, check(&image, CheckOptions::default()).unwrap().pages);
    assert!(file.read(image.len() as u64 - 4, 5).is_err());
    assert!(file.read(u64::MAX, usize::MAX).is_err());
    assert!((&image[..]).read(u64::MAX, usize::MAX).is_err());
    assert!(FilePages::open(dir.path()).is_err());
    // The file shrinks under the check: errors, not signals.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5 * 4096).unwrap();
    let options = CheckOptions { meta: MetaChoice::Slot(0), ..CheckOptions::default() };
    let r = check(&file, options).unwrap();
    assert!(r.faults.iter().any(|f| f.what.contains("cannot be read")), "{:?}", r.faults);
}
