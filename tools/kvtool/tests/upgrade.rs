//! `kvtool upgrade`: a file of format version 1, as the last build of that version left it, and
//! what it printed of it.

mod common;
use common::*;
use serde_json::Value;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;

/// Tables: an empty one, one with a value on pages of its own, one of two levels, one whose name
/// has 1,990 bytes.
fn version_1() -> Place {
    let p = Place::new();
    p.file("test.recto", include_bytes!("version-1/version-1.bin"));
    p
}

/// `kvtool dump -a` of the build that wrote the file. The long name is no name any more.
fn dump_of_version_1() -> String {
    let dump = include_str!("version-1/all.dump");
    let long = "n".repeat(1990);
    assert_eq!(dump.matches(&long).count(), 1);
    dump.replace(&long, "lost+found/table-2")
}

fn upgrade(p: &Place, more: &[&str]) -> Ran {
    let new = p.path("new.recto");
    p.run("upgrade", [&["-o", new.to_str().unwrap()], more].concat())
}

fn of_new(p: &Place, verb: &str, args: &[&str]) -> Ran {
    let mut command = kvtool();
    command.arg(verb).arg(p.path("new.recto")).args(args);
    finish(command, b"")
}

/// Nothing was made, and the old file is as it was.
#[track_caller]
fn nothing_was_made(p: &Place, before: &[u8]) {
    for entry in std::fs::read_dir(p.dir.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with("test.recto"), "{name}");
    }
    assert_eq!(std::fs::read(p.db()).unwrap(), before);
}

#[test]
fn everything_of_version_1_is_in_the_new_database() {
    let p = version_1();
    let before = std::fs::read(p.db()).unwrap();
    let said = upgrade(&p, &[]).ok();
    assert!(said.contains("version   1 to 2") && said.contains("pairs     305"), "{said}");
    assert!(said.starts_with("table \"lost+found/table-2\": its name was \"nnn"), "{said}");
    assert_eq!(of_new(&p, "dump", &["-a"]).ok(), dump_of_version_1());
    assert_eq!(of_new(&p, "check", &[]).code, Some(0));
    assert_eq!(std::fs::read(p.db()).unwrap(), before, "it is only read");
    let again = upgrade(&p, &[]).said(2);
    assert!(again.contains("exists already"), "{again}");

    std::fs::remove_file(p.path("new.recto")).unwrap();
    std::fs::remove_file(p.path("new.recto-lock")).unwrap();
    let said: Value = serde_json::from_str(&upgrade(&p, &["--json"]).ok()).unwrap();
    assert_eq!((&said["from_version"], &said["to_version"]), (&1.into(), &2.into()));
    assert_eq!((&said["pairs"], said["tables"].as_array().unwrap().len()), (&305.into(), 5));
}

#[test]
fn version_1_does_not_open_and_the_message_says_what_to_do() {
    let p = version_1();
    let before = std::fs::read(p.db()).unwrap();
    for verb in ["info", "tables", "dump"] {
        let said = p.run(verb, NO_ARGS).said(2);
        assert!(said.contains("version 1") && said.contains("`kvtool upgrade`"), "{verb}: {said}");
    }
    let said = p.run("put", ["a", "b"]).said(2);
    assert!(said.contains("`kvtool upgrade`"), "{said}");
    nothing_was_made(&p, &before);
    // `check` and `salvage` read it.
    let checked = p.run("check", NO_ARGS);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("`kvtool upgrade`"), "{checked:?}");
    let new = p.path("new.recto");
    p.run("salvage", ["-o", new.to_str().unwrap()]).ok();
    assert_eq!(of_new(&p, "dump", &["-a"]).ok(), dump_of_version_1());
}

#[test]
fn a_damaged_file_is_not_upgraded() {
    let sound = std::fs::read(version_1().db()).unwrap();
    let mut refused = 0;
    for page in 2..sound.len() / PAGE {
        let p = version_1();
        let mut bytes = sound.clone();
        bytes[page * PAGE + PAGE - 1] ^= 1;
        p.file("test.recto", &bytes);
        let ran = upgrade(&p, &[]);
        if ran.code == Some(0) {
            // A free page.
            assert_eq!(of_new(&p, "dump", &["-a"]).ok(), dump_of_version_1(), "page {page}");
        } else {
            let said = ran.said(2);
            assert!(said.contains("damaged") || said.contains("is refused"), "page {page}: {said}");
            nothing_was_made(&p, &bytes);
            refused += 1;
        }
    }
    assert_eq!(refused, 11, "branches, leaves and runs");
}

#[test]
fn what_is_no_older_database_is_refused() {
    let p = Place::new();
    p.load("a\t1\n");
    let before = std::fs::read(p.db()).unwrap();
    let said = upgrade(&p, &[]).said(2);
    assert!(said.contains("version 2 already"), "{said}");
    nothing_was_made(&p, &before);
    p.file("test.recto", "no database at all");
    assert!(upgrade(&p, &[]).said(2).contains("not a recto database"));
    // The two meta pages are of different versions: no build leaves that.
    let mut mixed = include_bytes!("version-1/version-1.bin").to_vec();
    mixed[PAGE + 8] = 2;
    mixed[PAGE + 508..PAGE + 512].fill(0);
    let crc = crc32fast::hash(&mixed[PAGE..2 * PAGE]);
    mixed[PAGE + 508..PAGE + 512].copy_from_slice(&crc.to_le_bytes());
    p.file("test.recto", &mixed);
    assert!(p.run("tables", NO_ARGS).said(2).contains("version 1"));
    assert_eq!(p.run("check", NO_ARGS).code, Some(1));
}

/// Slot of the newest meta page.
fn newest(bytes: &[u8]) -> usize {
    let txn = |slot: usize| u64::from_le_bytes(bytes[slot * PAGE + 32..][..8].try_into().unwrap());
    usize::from(txn(1) > txn(0))
}

/// As after a power cut in a commit: the commit before it is what an opener would take.
#[test]
fn a_commit_that_did_not_end_is_left_out() {
    let p = version_1();
    let mut bytes = std::fs::read(p.db()).unwrap();
    let torn = newest(&bytes) * PAGE;
    bytes[torn + 600] ^= 1;
    p.file("test.recto", &bytes);
    assert_eq!(p.run("check", NO_ARGS).code, Some(0));
    let said = upgrade(&p, &[]).said(2);
    assert!(said.contains("is refused: its checksum") && said.contains("--older"), "{said}");
    nothing_was_made(&p, &bytes);
    let said = upgrade(&p, &["--older"]).ok();
    assert!(said.contains("; the other meta page: its checksum"), "{said}");
    assert!(said.contains("pairs     304"), "{said}");
    assert!(!of_new(&p, "dump", &["-a"]).ok().contains("lost+found/0"));
    assert_eq!(of_new(&p, "check", &[]).code, Some(0));
}

/// A meta page of zeros is damage: both have been written since the file was made.
#[test]
fn a_meta_page_that_is_gone_is_damage() {
    for slot in [0, 1] {
        let p = version_1();
        let mut bytes = std::fs::read(p.db()).unwrap();
        bytes[slot * PAGE..(slot + 1) * PAGE].fill(0);
        p.file("test.recto", &bytes);
        if newest(&std::fs::read(version_1().db()).unwrap()) == slot {
            let new = p.path("new.recto");
            let ran = p.run("salvage", ["-o", new.to_str().unwrap()]);
            assert_eq!(ran.code, Some(1), "slot {slot}: {ran:?}");
            std::fs::remove_file(new).unwrap();
        }
        assert!(upgrade(&p, &[]).said(2).contains("is refused"));
    }
    // Both: the catalog is found by itself.
    let p = version_1();
    let mut bytes = std::fs::read(p.db()).unwrap();
    bytes[..2 * PAGE].fill(0);
    p.file("test.recto", &bytes);
    let new = p.path("new.recto");
    p.run("salvage", ["-o", new.to_str().unwrap()]);
    let tables = of_new(&p, "tables", &[]).ok();
    for name in ["empty", "fruit", "numbers", "pictures"] {
        assert!(tables.contains(name), "{tables}");
    }
}

/// Whoever may read the old file may read the new one, and nobody else.
#[test]
fn the_new_database_belongs_to_whom_the_old_one_does() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let p = version_1();
    for (verb, mode) in [("upgrade", 0o664), ("salvage", 0o640), ("salvage", 0o600)] {
        // Only root can give a file away.
        let _ = chown(p.db(), Some(65_534), Some(65_533));
        std::fs::set_permissions(p.db(), std::fs::Permissions::from_mode(mode)).unwrap();
        let new = p.path(&format!("{verb}{mode:o}"));
        p.run(verb, ["-o", new.to_str().unwrap()]).ok();
        let of = |path: &std::path::Path| {
            let meta = path.metadata().unwrap();
            (meta.mode() & 0o7777, meta.uid(), meta.gid())
        };
        assert_eq!(of(&new), of(&p.db()), "{verb}");
        assert_eq!(of(&new).0, mode);
    }
}

/// As many tables without pairs as would take minutes, if one commit had to take them all.
#[test]
fn many_tables_without_pairs_are_made_in_time() {
    let p = Place::new();
    let mut dump = String::new();
    for i in 0..30_000 {
        dump += &format!("VERSION=3\nformat=print\ndatabase=table {i:07}\nHEADER=END\n");
        dump += if i % 1000 == 0 { " k\n v\nDATA=END\n" } else { "DATA=END\n" };
    }
    // A load commits them 1,000 at a time.
    let start = Instant::now();
    p.feed("load", &["-", "--batch", "1"], dump.as_bytes()).ok();
    let load = start.elapsed();
    let new = p.path("new.recto");
    let start = Instant::now();
    p.run("salvage", ["-o", new.to_str().unwrap()]).ok();
    let salvage = start.elapsed();
    alive(&format!("30,000 empty tables: load {load:.1?}, salvage {salvage:.1?}"));
    // Time goes up and down where others work; a commit of all would take thirty times as long.
    assert!(salvage < 5 * load + Duration::from_secs(1), "load {load:?}, salvage {salvage:?}");
    assert_eq!(of_new(&p, "tables", &["--json"]).ok().lines().count(), 30_000);
    assert_eq!(of_new(&p, "check", &[]).code, Some(0));
}

/// The new database grows under a name of its own: nobody else's file is touched.
#[test]
fn files_of_others_stay() {
    let p = version_1();
    let other = |name: &str| {
        let mut command = kvtool();
        command.arg("put").arg(p.path(name)).args(["key", "value"]);
        finish(command, b"").ok();
    };
    // A database where the lock file of the new one would be.
    other("new.recto-lock");
    let before = std::fs::read(p.path("new.recto-lock")).unwrap();
    upgrade(&p, &[]);
    assert_eq!(std::fs::read(p.path("new.recto-lock")).unwrap(), before);
    let left: Vec<_> = std::fs::read_dir(p.dir.path()).unwrap().map(|e| e.unwrap()).collect();
    let making = left.iter().filter(|e| e.file_name().to_string_lossy().contains("making"));
    assert_eq!(making.count(), 0, "{left:?}");
}
