//! Named snapshots in images by hand: what only one of several leads to, what was passed because an
//! older one had it, and how much is read.

use super::image::{Free, Image, Log, Node, Queue, Value, descriptor, entry, sample, set_tree};
use crate::error::Result;
use crate::inspect::{CheckOptions, MetaChoice, Pages, Report, check, pages_held};
use crate::types::PageId;
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

const SETS: u8 = 4;
/// Where the alignment stands in a descriptor.
const SHIFT: usize = 43;

/// What the system tree says of a snapshot.
fn named(name: &str, txn: u64, catalog: &[u8]) -> (Vec<u8>, Value) {
    let mut value = vec![0; 96];
    value[..8].copy_from_slice(&txn.to_le_bytes());
    value[8..16].copy_from_slice(&(txn + 1).to_le_bytes());
    value[32..].copy_from_slice(catalog);
    ([&[1], name.as_bytes()].concat(), Value::Inline(value))
}

fn table(name: &str, root: u64, depth: u64, counts: [u64; 4]) -> (Vec<u8>, Value) {
    (name.as_bytes().to_vec(), Value::Table(descriptor(root, depth, counts)))
}

fn set_table(name: &str, root: u64, counts: [u64; 4], pairs: u64) -> (Vec<u8>, Value) {
    let mut b = descriptor(root, 1, counts);
    b[42] = 1;
    b[56..64].copy_from_slice(&pairs.to_le_bytes());
    (name.as_bytes().to_vec(), Value::Table(b))
}

/// [`sample`], the newest state of transaction 9, with two snapshots that have trees of their own:
/// the first is of transaction 4, the second of 6. Between them one leaf of each table was written.
///
/// | pages | what | of |
/// | --- | --- | --- |
/// | 30 | the system tree | |
/// | 31; 32 | catalog: one, sets, two | first; second |
/// | 33; 34 | root of one | first; second |
/// | 35, 36 | its leaves of the keys 0 and 3 | both |
/// | 37; 38 | its leaf of the keys 6 | first; second |
/// | 7 | its leaf of the keys key04, which the newest state has too | both |
/// | 39 | root of two, a leaf | both |
/// | 40, 41 | the run of a value in it | both |
/// | 42; 43 | root of sets, a leaf | first; second |
/// | 44, 45, 46 | the tree of the values of a | both |
/// | 47 | the run of a value of one, in page 35 | both |
fn with_snapshots() -> Image {
    let mut image = sample(4096);
    let keys = |birth, from: u32| {
        let keys = (from..from + 3).map(|i| entry(&format!("k{i}"), &format!("value {i}")));
        Node::leaf(birth, "k", keys.collect())
    };
    let catalog = |birth, one, sets| {
        let tables = vec![
            table("one", one, 2, [13, 1, 4, 1]),
            set_table("sets", sets, [2, 0, 1, 3], 5),
            table("two", 39, 1, [2, 0, 1, 2]),
        ];
        Node::leaf(birth, "", tables)
    };
    let root =
        |birth, last| Node::branch(1, birth, "k", 35, &[("k3", 36), ("k6", last), ("key", 7)]);
    let sets = |birth, b: &str| {
        let a = (b"a".to_vec(), set_tree(0, 44, 2, [4, 1, 2]));
        Node::leaf(birth, "", vec![a, entry("b", b)])
    };
    let values = |from: u32| {
        let keys = (from..from + 2).map(|i| entry(&format!("value {i}"), "")).collect();
        Node::leaf(2, "value ", keys)
    };
    let mut of_zero = keys(2, 0);
    of_zero.keys[0].1 = Value::Run(47, 4000, 2);
    let nodes = [
        (31, catalog(4, 33, 42)),
        (32, catalog(6, 34, 43)),
        (33, root(4, 37)),
        (34, root(6, 38)),
        (35, of_zero),
        (36, keys(3, 3)),
        (37, keys(4, 6)),
        (38, keys(6, 6)),
        (39, Node::leaf(4, "", vec![entry("a", "b"), (b"b".to_vec(), Value::Run(40, 5000, 3))])),
        (42, sets(4, "old")),
        (43, sets(6, "new")),
        (44, Node::branch(1, 3, "", 45, &[("value 2", 46)])),
        (45, values(0)),
        (46, values(2)),
    ];
    image.nodes.extend(nodes);
    let run = |len: usize| super::image::Run { value: vec![7; len], padding: 0, crc: None };
    image.runs.extend([(40, run(5000)), (47, run(4000))]);
    let system = vec![
        named("first", 4, &descriptor(31, 1, [3, 0, 1, 0])),
        named("second", 6, &descriptor(32, 1, [3, 0, 1, 0])),
    ];
    image.nodes.insert(30, Node::leaf(9, "", system));
    let free: Vec<Free> = vec![
        (31, 1, 4, 5),
        (33, 1, 4, 5),
        (37, 1, 4, 5),
        (42, 1, 4, 5),
        (32, 1, 6, 8),
        (34, 1, 6, 8),
        (35, 2, 2, 8),
        (38, 1, 6, 8),
        (39, 1, 3, 8),
        (40, 2, 3, 8),
        (43, 1, 6, 8),
        (44, 3, 2, 8),
        (47, 1, 2, 8),
    ];
    let meta = image.meta();
    meta.free_pages += free.iter().map(|f| f.1).sum::<u64>();
    meta.ready.push((28, 2));
    meta.free_pages += 2;
    meta.queues[2] = Queue { pin: 4, inline: free, ..Queue::default() };
    meta.page_count = 48;
    meta.manifest.push((30, 0));
    meta.patches.push((300, vec![1]));
    meta.patches.push((304, vec![SETS]));
    meta.patches.push((336, descriptor(30, 1, [2, 0, 1, 0])));
    image.pages_in_file = 50;
    image
}

fn report(image: &Image) -> Report {
    check(&image.build(), CheckOptions::default()).unwrap()
}

fn texts(report: &Report) -> Vec<String> {
    report.faults.iter().map(|fault| fault.to_string()).collect()
}

#[test]
fn right_snapshots_are_clean_and_counted() {
    let r = report(&with_snapshots());
    assert!(r.is_clean(), "{:#?}", texts(&r));
    // Of those of the sample four, which no tree leads to.
    assert_eq!((r.snapshots, r.snapshot_pages, r.pages.queued), (2, 21, 22));
    assert_eq!(r.free_pages(), 30);
}

/// The system tree is of no kind that a table may be.
#[test]
fn a_system_tree_with_options_of_tables_is_a_fault() {
    // Alignment, kind, and the last number that was given out.
    for at in [SHIFT, 42, 48] {
        let mut image = with_snapshots();
        let mut system = descriptor(30, 1, [2, 0, 1, 0]);
        system[at] = 1;
        image.meta().patches.push((336, system));
        let texts = texts(&report(&image));
        let what = "a catalog or system tree with options of tables";
        assert!(texts.iter().any(|text| text.contains(what)), "byte {at}: {texts:#?}");
    }
}

/// The pages of a snapshot that was dropped may be gone; but whoever reads the list decodes what it
/// says of them, and gives it up where that cannot be. Found by `crash hostile --kind names`.
#[test]
fn what_is_said_of_a_dropped_snapshot_is_looked_at() {
    let with_dropped = |catalog: Vec<u8>| {
        let mut image = with_snapshots();
        let (_, value) = named("", 4, &catalog);
        let Value::Inline(mut value) = value else { unreachable!("is one") };
        let (dropped, txn) = (8u64, 4u64);
        value[16..24].copy_from_slice(&dropped.to_le_bytes());
        let key = [&[1, 0xff], &dropped.to_be_bytes()[..], &txn.to_be_bytes()[..]].concat();
        image.node(30).keys.push((key, Value::Inline(value)));
        image.meta().patches.push((336, descriptor(30, 1, [3, 0, 1, 0])));
        report(&image)
    };
    let right = with_dropped(descriptor(5, 1, [3, 0, 1, 0]));
    assert!(right.is_clean(), "{:?}", texts(&right));
    let mut of_sets = descriptor(5, 1, [3, 0, 1, 0]);
    of_sets[42] = 1;
    for (wrong, words) in [
        (descriptor(48, 1, [3, 0, 1, 0]), "a catalog at page 48"),
        (descriptor(1, 1, [3, 0, 1, 0]), "a catalog at page 1"),
        (descriptor(5, 0, [3, 0, 1, 0]), "do not fit together"),
        (descriptor(5, 1, [3, 40, 9, 0]), "says 49 pages"),
        (descriptor(5, 1, [3, u64::MAX, 9, 0]), "more than the file has"),
        (of_sets, "options of tables"),
    ] {
        let report = with_dropped(wrong);
        assert_eq!(report.fault_count, 1, "{words}: {:?}", texts(&report));
        assert!(report.faults[0].what.contains(words), "{words}: {:?}", texts(&report));
    }
}

/// Pages of a sparse file: what stands in an image, and zeros behind it.
struct Sparse(Vec<u8>, u64);

impl Pages for Sparse {
    fn len(&self) -> u64 {
        self.1
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let from = offset.min(self.0.len() as u64) as usize;
        let there = &self.0[from..self.0.len().min(from + len)];
        Ok(Cow::Owned([there, &vec![0; len - there.len()]].concat()))
    }
}

/// Nothing is as long as the page count says: a file of a few pages may say anything.
#[test]
fn a_sparse_file_takes_no_memory_for_its_page_count() {
    let mut image = with_snapshots();
    let pages = 1 << 46;
    image.meta().page_count = pages;
    let file = Sparse(image.build(), pages * 4096);
    let report = check(&file, CheckOptions::default()).unwrap();
    assert_eq!((report.snapshots, report.snapshot_pages), (2, 21));
    assert!(
        report.faults.iter().all(|f| f.what.contains("belong to nothing")),
        "{:?}",
        texts(&report)
    );
    assert_eq!(report.fault_count, 1);
}

/// In any order, and as often as one is asked for.
#[test]
fn pages_held_are_those_of_each_snapshot() {
    let mut image = with_snapshots();
    // Those of the sample, and of these the first has been taken.
    let mut free = vec![(22, 1, 1, 4), (24, 2, 2, 5), (26, 1, 3, 7), (27, 1, 2, 6)];
    free.extend(image.meta().queues[2].inline.clone());
    let snapshots = [6, 0, 4, 9, 4, 2, 7, 1, 5];
    let held = |id| free.iter().filter(|f| (f.2..f.3).contains(&id)).map(|f| f.1).sum::<u64>();
    let found = pages_held(&image.build(), &MetaChoice::Newest, &snapshots).unwrap();
    assert_eq!(found, snapshots.map(held));
    assert!(pages_held(&image.build(), &MetaChoice::Newest, &[]).unwrap().is_empty());
}

/// Breaks an image.
type Break = fn(&mut Image);

/// Each must give a fault at the page with these words, on a way that begins with the snapshot.
const BREAKS: [(&str, &str, u64, &str, Break); 21] = [
    ("another key range", "second", 36, "is not below", |i| {
        i.node(34).keys[1].0 = b"k5".to_vec();
    }),
    ("a key below the separator", "second", 36, "below the separator", |i| {
        i.node(34).keys[0].0 = b"k4".to_vec();
    }),
    ("one page twice in one page", "second", 36, "twice", |i| {
        *i.body(34, "k6") = Value::Child(36);
    }),
    ("one page in two tables", "second", 36, "twice", |i| {
        i.node(32).keys[2] = table("two", 36, 1, [3, 0, 1, 0]);
    }),
    ("a run for two keys", "second", 40, "twice", |i| {
        *i.body(38, "k7") = Value::Run(40, 5000, 3);
    }),
    ("a part of a run", "second", 41, "overflow run of 2 page(s) at page 40", |i| {
        *i.body(38, "k7") = Value::Run(41, 4000, 3);
    }),
    ("a tree of values of two keys", "second", 44, "twice", |i| {
        *i.body(43, "b") = set_tree(0, 44, 2, [4, 1, 2]);
    }),
    ("a tree of values below another", "second", 45, "twice", |i| {
        *i.body(43, "b") = set_tree(0, 45, 1, [2, 0, 1]);
    }),
    ("gone below what an older one has", "second", 36, "free for all but 2 to 6", |i| {
        let free = &mut i.meta().queues[2].inline;
        let both = free.iter().position(|f| f.0 == 35).unwrap();
        free[both].1 = 1;
        free.insert(both, (36, 1, 2, 6));
    }),
    ("gone run", "second", 40, "free for all but 3 to 6", |i| {
        let free = &mut i.meta().queues[2].inline;
        free.iter_mut().find(|f| f.0 == 40).unwrap().3 = 6;
    }),
    ("gone for the oldest", "first", 36, "free for all but 5 to 8", |i| {
        let free = &mut i.meta().queues[2].inline;
        let both = free.iter().position(|f| f.0 == 35).unwrap();
        free[both].1 = 1;
        free.insert(both, (36, 1, 5, 8));
    }),
    ("younger than what leads there", "first", 36, "born in 5", |i| i.node(36).birth = 5),
    ("a shared page of later", "first", 7, "in use again: born in 5", |i| i.node(7).birth = 5),
    ("gone below a tree of values that an older one has", "second", 46, "but 2 to 6", |i| {
        let free = &mut i.meta().queues[2].inline;
        let tree = free.iter().position(|f| f.0 == 44).unwrap();
        free[tree].1 = 2;
        free.insert(tree, (46, 1, 2, 6));
    }),
    ("gone below a catalog that an older one has", "second", 37, "but 4 to 6", |i| {
        i.node(30).keys[1] = named("second", 6, &descriptor(31, 1, [3, 0, 1, 0]));
        let free = &mut i.meta().queues[2].inline;
        free.iter_mut().filter(|f| f.3 == 5).for_each(|f| f.3 = if f.0 == 37 { 6 } else { 8 });
    }),
    ("another level", "second", 44, "where level 2 must be", |i| {
        i.node(32).keys[2] = table("two", 44, 3, [2, 1, 1, 0]);
        i.node(43).keys.remove(0);
    }),
    ("a branch as a leaf", "second", 44, "where level 0 must be", |i| {
        i.node(32).keys[2] = table("two", 44, 1, [2, 0, 1, 0]);
        i.node(43).keys.remove(0);
    }),
    ("another kind of table", "second", 39, "not stored as the table says", |i| {
        let mut aligned = descriptor(39, 1, [2, 0, 1, 2]);
        aligned[SHIFT] = 3;
        i.node(32).keys[2].1 = Value::Table(aligned);
        i.meta().patches.push((304, vec![SETS | 1]));
    }),
    ("in use as something else", "second", 8, "in use as leaf page", |i| {
        // As a branch: the newest state has it as a leaf.
        i.node(32).keys[2] = table("two", 8, 2, [2, 1, 1, 0]);
    }),
    ("nobody's", "first", 36, "is nobody's", |i| {
        let meta = i.meta();
        let both = meta.queues[2].inline.iter().position(|f| f.0 == 35).unwrap();
        meta.queues[2].inline[both].1 = 1;
        meta.free_pages -= 1;
    }),
    ("the checksum of a run", "first", 40, "the checksum of the run", |i| {
        i.raw.push((40 * 4096 + 17, vec![1]));
    }),
];

#[test]
fn whatever_is_wrong_with_one_snapshot_is_found() {
    let mut wrong = String::new();
    for (name, snapshot, page, words, damage) in BREAKS {
        let mut image = with_snapshots();
        damage(&mut image);
        let r = report(&image);
        let way = format!("snapshot {snapshot:?}");
        let found = r.faults.iter().any(|f| {
            f.page == Some(PageId(page)) && f.what.contains(words) && f.path.starts_with(&way)
        });
        if !found {
            wrong += &format!("\n{name}: {words:?} is not among {:#?}", texts(&r));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Where two snapshots have the same unsound page, each is told of.
#[test]
fn what_is_unsound_is_told_of_every_snapshot() {
    let mut image = with_snapshots();
    image.node(36).keys.clear();
    let r = report(&image);
    for (snapshot, words) in [("first", "a leaf without keys"), ("second", "not sound")] {
        let way = format!("snapshot {snapshot:?}");
        let told = |f: &&crate::inspect::Fault| f.what.contains(words) && f.path.starts_with(&way);
        assert!(r.faults.iter().any(|f| told(&f)), "{snapshot}: {:#?}", texts(&r));
    }
}

/// Counts what is read.
struct Counted(Vec<u8>, Cell<u64>);

impl Pages for Counted {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        self.1.set(self.1.get() + 1);
        self.0.read(offset, len)
    }
}

/// An image with this many names of the states of its two snapshots.
fn with_names(mut image: Image, names: u64) -> Image {
    let two = image.node(30).keys.clone();
    let all = (0..names).map(|n| {
        let (key, value) = &two[n as usize % 2];
        let name = [&key[..], format!("{n:05}").as_bytes()].concat();
        (name, value.clone())
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    image.node(30).keys = all;
    spread_names(image)
}

/// Puts what stands in the one page of the system tree into leaves of twenty, and branches above.
fn spread_names(mut image: Image) -> Image {
    let all = image.nodes.remove(&30).unwrap().keys;
    let names = all.len() as u64;
    let mut next = image.meta().page_count;
    let mut level = 0;
    let mut below: Vec<(Vec<u8>, u64)> = Vec::new();
    for keys in all.chunks(20) {
        below.push((keys[0].0.clone(), next));
        image.nodes.insert(next, Node::leaf(9, "", keys.to_vec()));
        next += 1;
    }
    let (leaves, mut branches) = (below.len() as u64, 0);
    while below.len() > 1 {
        level += 1;
        let mut above = Vec::new();
        for children in below.chunks(100) {
            let keys = children[1..].iter().map(|(k, id)| (k.clone(), Value::Child(*id)));
            let leaf = Node::leaf(9, "", keys.collect());
            image.nodes.insert(next, Node { level, leftmost: children[0].1, ..leaf });
            above.push((children[0].0.clone(), next));
            next += 1;
            branches += 1;
        }
        below = above;
    }
    let (root, depth) = (below[0].1, u64::from(level) + 1);
    let meta = image.meta();
    meta.patches.push((336, descriptor(root, depth, [names, branches, leaves, 0])));
    (meta.phase, meta.page_count) = (2, next);
    meta.manifest.clear();
    meta.ready.push((30, 1));
    meta.free_pages += 1;
    image.pages_in_file = next;
    image
}

fn reads(image: &Image) -> (u64, Report) {
    let pages = Counted(image.build(), Cell::new(0));
    let r = check(&pages, CheckOptions::default()).unwrap();
    (pages.1.get(), r)
}

#[test]
fn many_names_of_one_state_cost_no_reads() {
    for names in [2, 200, 8000] {
        let (reads, r) = reads(&with_names(with_snapshots(), names));
        assert!(r.is_clean(), "{:#?}", texts(&r));
        assert_eq!(r.snapshots, names);
        // The metas, more than once; the shared page, once more.
        assert!(reads <= r.meta.page_count + 8, "{names}: {reads} of {}", r.meta.page_count);
    }
}

/// Every name leads to what is damaged, and to what is gone for all of them.
#[test]
fn many_names_of_a_damaged_state_cost_no_reads() {
    for (name, _, _, _, damage) in BREAKS {
        let mut image = with_snapshots();
        damage(&mut image);
        let (reads, r) = reads(&with_names(image, 8000));
        assert!(r.fault_count > 0, "{name}");
        let most = 2 * r.meta.page_count + 8;
        assert!(reads <= most, "{name}: {reads} of {}", r.meta.page_count);
    }
}

/// Two hundred snapshots that all lead to one tree, each as to that of a table of another kind, and
/// each from a page of its own: as if it had to be proved for each of them.
#[test]
fn a_tree_that_is_something_else_to_each_snapshot_comes_to_an_end() {
    let mut image = with_snapshots();
    let (meta, mut free, mut names) = (image.meta(), Vec::new(), Vec::new());
    meta.txn = 1000;
    let root = meta.page_count;
    free.push((root, 61, 9, 900));
    let separators = (1..60).map(|n| (format!("k{n:02}").into_bytes(), Value::Child(root + 1 + n)));
    let branch = Node::leaf(9, "", separators.collect());
    image.nodes.insert(root, Node { level: 1, leftmost: root + 1, ..branch });
    for n in 0..60 {
        // An empty value has no place, so it is aligned to anything.
        let keys = vec![(format!("k{n:02}").into_bytes(), Value::Tagged(0x8004, vec![0; 2]))];
        image.nodes.insert(root + 1 + n, Node::leaf(9, "", keys));
    }
    for n in 0..200 {
        let mut kind = descriptor(root, 2, [60, 1, 60, 0]);
        kind[SHIFT] = 1 + (n % 6) as u8;
        let (page, txn) = (root + 61 + n, 10 + n);
        let keys = vec![(b"t".to_vec(), Value::Table(kind))];
        image.nodes.insert(page, Node::leaf(txn, "", keys));
        free.push((page, 1, txn, txn + 1));
        names.push(named(&format!("{n:03}"), txn, &descriptor(page, 1, [1, 0, 1, 0])));
    }
    // More entries than the meta page holds.
    let head = root + 61 + 200;
    for (page, entries) in (head..).zip(free.chunks(150)) {
        let (entries, next) = (entries.to_vec(), page + 1);
        image.logs.insert(page, Log { birth: 999, next, entries, patches: vec![] });
    }
    let pages = free.chunks(150).count() as u64;
    let (tail, meta) = (head + pages, image.meta());
    meta.free_pages += free.iter().map(|f| f.1).sum::<u64>();
    meta.page_count = tail + 1;
    meta.patches.push((304, vec![SETS | 1]));
    meta.queues[3] = Queue { pin: 10, head, tail, pages, ..Queue::default() };
    // Digits come before letters.
    names.append(&mut image.node(30).keys);
    image.node(30).keys = names;
    let (reads, r) = reads(&spread_names(image));
    assert!(r.fault_count > 0);
    for text in texts(&r) {
        assert!(["too many pages", "not sound"].iter().any(|t| text.contains(t)), "{text}");
    }
    assert!(reads <= 10 * r.meta.page_count, "{reads} of {}", r.meta.page_count);
}

#[test]
fn snapshots_are_cancelled_and_tell_their_progress() {
    let bytes = with_names(with_snapshots(), 3000).build();
    let mut told = Vec::new();
    let mut progress = |done, total| told.push((done, total));
    let options = CheckOptions { progress: Some(&mut progress), ..CheckOptions::default() };
    assert!(check(&bytes, options).unwrap().is_clean());
    assert!(told.windows(2).all(|two| two[0].0 <= two[1].0));
    let stop = AtomicBool::new(false);
    let pages = Stopping(bytes, &stop);
    let options = CheckOptions { cancelled: Some(&stop), ..CheckOptions::default() };
    let r = check(&pages, options).unwrap();
    assert!(r.cancelled && r.fault_count == 0);
    assert_eq!(r.snapshots, 3000);
}

/// Ends the check when it comes to the first page that only a snapshot has.
struct Stopping<'a>(Vec<u8>, &'a AtomicBool);

impl Pages for Stopping<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        assert!(!self.1.load(Ordering::Relaxed), "goes on at {offset}");
        if offset == 31 * 4096 {
            self.1.store(true, Ordering::Relaxed);
        }
        self.0.read(offset, len)
    }
}
