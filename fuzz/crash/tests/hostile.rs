//! A small, fixed slice of the hostile campaign, and what it has found so far.

use recto::harness::sim::{ProcessOptions, SimDisk, SimOptions};
use recto::harness::{SHARED_LEN, check_image, open};
use recto::inspect::Report;
use recto::{Builder, Database, Error};
use recto_crash::alive::Alive;
use recto_crash::hostile::bytes::{Node, TAG_SET, get, put};
use recto_crash::hostile::mutate::KINDS;
use recto_crash::hostile::origins::{self, Origin};
use recto_crash::hostile::{Case, Options, repair};
use std::process::Command;

/// Cases that are run in this process, where a panic shows at once where it came from.
const CASES: u64 = 4_000;

#[test]
fn errors_or_right_answers() {
    let origins = origins::all().unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut used = vec![0u64; KINDS.len()];
    let (mut opened, mut written, mut damaged) = (0, 0, 0);
    let alive = Alive::new();
    for index in 0..CASES {
        alive.tell(|| format!("hostile: {index} of {CASES} changed files"));
        let (case, descent) = Case::made(&origins, 7, index);
        for kind in &descent.kinds {
            used[KINDS.iter().position(|k| k.name == kind.name).unwrap()] += 1;
        }
        match case.run(Some(place.path())) {
            Ok(seen) => {
                opened += u64::from(seen.opened);
                written += u64::from(seen.commits > 0);
                damaged += u64::from(!seen.clean);
            }
            Err(what) => panic!("case {index} of seed 7: {what}"),
        }
    }
    // The slice is worth something only if it reaches the deep code.
    assert!(
        opened > CASES * 8 / 10 && written > CASES * 7 / 10,
        "{opened} opened, {written} written"
    );
    assert!(damaged > CASES * 4 / 10, "{damaged} damaged");
    assert!(used.iter().all(|&n| n > CASES / 100), "{used:?}");
}

#[test]
fn a_campaign_says_what_it_did_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        let out = Command::new(env!("CARGO_BIN_EXE_crash"))
            .args(["hostile", "--files", "300", "--seed", "3", "--jobs", "2"])
            .current_dir(&dir)
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert_eq!(out.status.code(), Some(0), "{text}");
        assert!(text.contains("300 files in ") && text.contains("seed 3, from 0"), "{text}");
        // All but the last line, which tells the time.
        text.lines()
            .filter(|line| !line.contains(" files in "))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing found, nothing left behind");
}

/// Cases that once went wrong.
#[test]
fn saved_cases() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/hostile");
    let Ok(saved) = std::fs::read_dir(dir) else { return };
    let place = tempfile::tempdir().unwrap();
    for entry in saved {
        let path = entry.unwrap().path();
        let case = Case::decode(&std::fs::read(&path).unwrap()).expect("not too long");
        case.run(Some(place.path())).unwrap_or_else(|what| panic!("{}: {what}", path.display()));
    }
}

fn origin(name: &str) -> Origin {
    origins::all().unwrap().into_iter().find(|origin| origin.name == name).unwrap()
}

fn database(image: &[u8], page_size: usize) -> (SimDisk, recto::Result<Database>) {
    let mut options = SimOptions::new(1, SHARED_LEN);
    options.page_size = page_size as u32;
    let disk = SimDisk::from_image(image, options).unwrap();
    let db = open(disk.process(ProcessOptions::default()), &Builder::default());
    (disk, db)
}

fn in_both_metas(origin: &Origin, at: usize, len: usize, value: u64) -> Vec<u8> {
    let mut image = origin.image.clone();
    for meta in [0, origin.page_size] {
        put(&mut image, meta + at, len, value);
    }
    repair::repair(&mut image, origin.page_size);
    image
}

fn commit(db: &Database) -> recto::Result<()> {
    let mut txn = db.write()?;
    txn.open_table("new")?.put(b"key", b"value")?;
    txn.commit()
}

/// The engine took ids that the check refuses, and wrote metas that the next opener refused.
#[test]
fn transaction_ids_have_an_end_that_both_sides_know() {
    const LAST: u64 = (1 << 48) - 1;
    let origin = origin("branch");
    for id in [0, LAST + 1, u64::MAX] {
        let image = in_both_metas(&origin, 32, 8, id);
        assert!(matches!(check_image(&image), Err(Error::Corrupt { .. })), "{id}");
        assert!(matches!(database(&image, 4096).1, Err(Error::Corrupt { .. })), "{id}");
    }
    // Without a limit of ids: all below it count as used.
    let limit = in_both_metas(&origin, 320, 8, 0);
    let image = in_both_metas(&Origin { image: limit, ..origin }, 32, 8, LAST - 1);
    let (disk, db) = database(&image, 4096);
    let db = db.unwrap();
    commit(&db).unwrap();
    assert!(matches!(commit(&db), Err(Error::Corrupt { .. })), "no id is left");
    assert_eq!(db.read().unwrap().table("new").unwrap().len(), 1);
    drop(db);
    let (_disk, db) = database(&disk.bytes(), 4096);
    assert_eq!(db.unwrap().read().unwrap().id(), LAST);
}

fn assert_clean(report: recto::Result<Report>) {
    let report = report.unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
}

/// The check followed a meta of the second phase that listed pages, the engine did not: two
/// different databases.
#[test]
fn a_manifest_in_the_second_phase_is_refused_by_both_sides() {
    let mut image = origin("branch").image;
    let newest = [0, 4096].into_iter().max_by_key(|at| get(&image, at + 32, 8)).unwrap();
    assert!(get(&image, newest + 112, 4) > 0);
    put(&mut image, newest + 116, 4, 2);
    repair::repair(&mut image, 4096);
    let report = check_image(&image).unwrap();
    assert_eq!(report.meta.slot, Some(if newest == 0 { 1 } else { 0 }));
    let db = database(&image, 4096).1.unwrap();
    assert_eq!(db.read().unwrap().id(), report.meta.txn.0);
}

/// A recto of another, longer database made the engine pass over a good verso.
#[test]
fn a_foreign_recto_that_does_not_fit_does_not_hide_the_verso() {
    let small = origin("leaf");
    let mut image = small.image.clone();
    let longer = origin("two-phase").image;
    assert!(longer.len() > image.len() && longer[16..32] != image[16..32]);
    let newest = [0, 4096].into_iter().max_by_key(|at| get(&image, at + 32, 8)).unwrap();
    image.copy_within(newest..newest + 4096, 4096);
    image[..4096].copy_from_slice(&longer[..4096]);
    let pages = image.len() as u64 / 4096;
    put(&mut image, 40, 8, pages + 1);
    repair::repair(&mut image, 4096);
    assert_clean(check_image(&image));
    let db = database(&image, 4096).1.unwrap();
    assert!(!db.read().unwrap().tables().unwrap().is_empty());
    commit(&db).unwrap();
    assert_clean(db.check(None));
}

/// With page 0 gone and the verso damaged, a database inside a value was opened.
#[test]
fn a_database_inside_a_value_is_not_opened() {
    let origin = origin("free log");
    let mut image = origin.image;
    let inner = origins::all().unwrap().into_iter().find(|o| o.page_size == 16_384).unwrap();
    // Where the verso of a database with pages of 16 KiB would stand.
    let verso = inner.image[16_384..16_384 + 4096].to_vec();
    image[16_384..16_384 + 4096].copy_from_slice(&verso);
    image[..4096].fill(0);
    image[4096 + 600] ^= 0xff;
    assert!(matches!(check_image(&image), Err(Error::Corrupt { .. })));
    assert!(matches!(database(&image, 4096).1, Err(Error::Corrupt { .. })));
}

/// Bytes behind a meta that was refused stayed when the slot was written again, and the check
/// complained for ever.
#[test]
fn a_meta_page_is_written_whole_after_damage() {
    let origin = origins::all().unwrap().into_iter().find(|o| o.page_size == 32_768).unwrap();
    let mut image = origin.image;
    let older = [0, 32_768].into_iter().min_by_key(|at| get(&image, at + 32, 8)).unwrap();
    image[older..older + 32_768].fill(0xa5);
    let (disk, db) = database(&image, 32_768);
    let db = db.unwrap();
    commit(&db).unwrap();
    commit(&db).unwrap();
    drop(db);
    assert_clean(check_image(&disk.bytes()));
}

/// Sums over counts that the file claims ran over.
#[test]
fn free_pages_are_counted_within_the_file() {
    let image = in_both_metas(&origin("leaf"), 120, 8, u64::MAX);
    let db = database(&image, 4096).1.unwrap();
    assert_eq!(db.read().unwrap().table("t").unwrap().len(), 9);
    assert!(matches!(commit(&db), Err(Error::Corrupt { .. })));

    let origin = origin("small log");
    let mut image = origin.image;
    // Some of these pages are in no queue any more.
    let pages = 2..image.len() / 4096;
    let logs: Vec<_> = pages.filter(|id| image[id * 4096 + 4] == 3).collect();
    assert!(!logs.is_empty());
    logs.iter().for_each(|log| put(&mut image, log * 4096 + 24, 8, u64::MAX));
    repair::repair(&mut image, 4096);
    let db = database(&image, 4096).1.unwrap();
    assert!((0..4).any(|_| matches!(commit(&db), Err(Error::Corrupt { .. }))));
}

/// What stood behind a value was what had stood before it, and `retain` went round; a first pair
/// that cannot be found was popped again and again.
#[test]
fn a_list_of_values_out_of_order_has_an_end() {
    let origin = origin("sets");
    let mut image = origin.image.clone();
    for &id in &origin.live {
        let page = &mut image[id * 4096..][..4096];
        let Some(node) = Node::of(page) else { continue };
        let lists: Vec<usize> =
            (0..node.count).filter_map(|index| node.tagged(page, index, TAG_SET)).collect();
        for at in lists {
            if get(page, at + 2, 2) == 8 && get(page, at + 4, 2) == 4 {
                // Of a, b, c, d the order c, a, d, b: behind d stands b, and behind that d again.
                let [a, b, c, d] = [0, 8, 16, 24].map(|i| get(page, at + 6 + i, 8));
                for (i, value) in [c, a, d, b].into_iter().enumerate() {
                    put(page, at + 6 + 8 * i, 8, value);
                }
            }
        }
    }
    repair::repair(&mut image, 4096);
    let corrupt = |done: recto::Result<bool>| assert!(matches!(done, Err(Error::Corrupt { .. })));
    let (_disk, db) = database(&image, 4096);
    let db = db.unwrap();
    let mut txn = db.write().unwrap();
    let mut set = txn.open_set("eight").unwrap();
    corrupt(set.retain(.., |_, _| true).map(|_| true));
    corrupt((0..10_000).find_map(|_| set.pop_first().err()).map_or(Ok(false), Err));
}

#[test]
fn options_and_images_survive_saving() {
    for page_size in [4096, 8192, 16_384, 32_768, 65_536] {
        let options = Options::new(Options::REPAIR | Options::REAL, page_size);
        assert_eq!(options.page_size(), page_size);
        let case = Case { options, image: vec![1, 2, 3] };
        let again = Case::decode(&case.encode()).unwrap();
        assert_eq!((again.options, again.image), (options, vec![1, 2, 3]));
    }
    assert!(Case::decode(&[]).is_none());
}
