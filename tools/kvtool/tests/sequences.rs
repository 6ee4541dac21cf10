//! Numbers that tables have given out, where kvtool copies tables or shows them.

mod common;
use common::*;
use serde_json::Value;
use std::path::Path;

/// A database with a table of one value for each key, one of sets, one without a pair and one that
/// has given out nothing.
fn with_numbers() -> Place {
    let p = Place::new();
    // SAFETY: the directory belongs to the test, and only recto touches the file while it is open.
    let db = unsafe { recto::Database::open(p.db()).unwrap() };
    let mut txn = db.write().unwrap();
    let mut users = txn.open_table("users").unwrap();
    for name in ["ada", "bob", "eve"] {
        let id = users.next_sequence().unwrap();
        users.put(&id.to_be_bytes(), name.as_bytes()).unwrap();
    }
    let mut log = txn.open_set("log").unwrap();
    log.set_sequence(1_000_000).unwrap();
    let number = log.next_sequence().unwrap();
    log.insert(b"mon", &number.to_be_bytes()).unwrap();
    txn.open_table("empty").unwrap().set_sequence(5).unwrap();
    txn.open_table("plain").unwrap().put(b"key", b"value").unwrap();
    txn.commit().unwrap();
    p
}

const NUMBERS: [u64; 4] = [3, 1_000_001, 5, 0];

/// The last numbers of the tables.
fn numbers(file: &Path) -> [u64; 4] {
    // SAFETY: as above.
    let db = unsafe { recto::Database::open(file).unwrap() };
    let txn = db.read().unwrap();
    let of = |name| txn.table(name).unwrap().sequence();
    [of("users"), txn.set("log").unwrap().sequence(), of("empty"), of("plain")]
}

/// `kvtool VERB FILE ARGS...`
fn of(file: &Path, verb: &str, args: &[&str]) -> Ran {
    let mut command = kvtool();
    command.arg(verb).arg(file).args(args);
    finish(command, b"")
}

#[test]
fn a_dump_keeps_the_last_number() {
    let p = with_numbers();
    // By name: what is verified first has tables without a pair behind the others.
    let dump = p.run("dump", ["-a", "--no-verify"]).ok();
    let tables = |dump: &str| {
        let mut tables: Vec<_> = dump.split_inclusive("DATA=END\n").map(str::to_owned).collect();
        tables.sort();
        tables
    };
    assert_eq!(tables(&p.run("dump", ["-a"]).ok()), tables(&dump));
    assert!(dump.contains("database=empty\nsequence=5\n"), "{dump}");
    assert!(dump.contains("database=plain\ntype=btree\n"), "{dump}");
    let text = p.file("all.dump", &dump);
    for (name, args) in [("a", &[][..]), ("b", &["--sort"]), ("c", &["--batch", "1"])] {
        let other = p.path(name);
        of(&other, "load", &[&[text.to_str().unwrap()], args].concat()).ok();
        assert_eq!(numbers(&other), NUMBERS, "{args:?}");
        assert_eq!(of(&other, "dump", &["-a", "--no-verify"]).ok(), dump);
        of(&other, "check", &[]).ok();
    }
    // A table that has given out more does not give them out again.
    let other = p.path("a");
    // SAFETY: as above.
    let db = unsafe { recto::Database::open(&other).unwrap() };
    let mut txn = db.write().unwrap();
    txn.open_table("users").unwrap().set_sequence(77).unwrap();
    txn.open_table("plain").unwrap().set_sequence(1).unwrap();
    txn.commit().unwrap();
    drop(db);
    of(&other, "load", &[text.to_str().unwrap()]).ok();
    assert_eq!(numbers(&other), [77, 1_000_001, 5, 1]);
    of(&other, "check", &[]).ok();
    // What is no number is refused, with its line.
    let wrong = p.file("wrong.dump", dump.replace("sequence=5", "sequence=five"));
    let said = of(&p.path("d"), "load", &[wrong.to_str().unwrap()]).said(2);
    assert!(said.contains("line 4: sequence is a number"), "{said}");
    p.assert_clean();
}

#[test]
fn salvage_and_copies_keep_the_last_number() {
    let p = with_numbers();
    let new = p.path("new.recto");
    p.run("salvage", ["-o", new.to_str().unwrap()]).ok();
    assert_eq!(numbers(&new), NUMBERS);
    of(&new, "check", &[]).ok();
    p.run("copy-table", ["users", "people"]).ok();
    p.run("rename", ["users", "those"]).ok();
    // SAFETY: as above.
    let db = unsafe { recto::Database::open(p.db()).unwrap() };
    let txn = db.read().unwrap();
    let of = |name| txn.table(name).unwrap().sequence();
    assert_eq!([of("people"), of("those")], [3, 3]);
    drop((txn, db));
    p.assert_clean();
}

#[test]
fn stat_shows_the_last_number() {
    let p = with_numbers();
    let text = p.run("stat", ["-t", "log"]).ok();
    assert!(text.contains("  sequence        1,000,001\n"), "{text}");
    assert!(!p.run("stat", ["-t", "plain"]).ok().contains("sequence"));
    let lines = p.run("stat", ["--json"]).ok();
    let said = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let said: Vec<_> = said.map(|t| (t["name"].clone(), t["sequence"].clone())).collect();
    let expected = [("empty", 5), ("log", 1_000_001), ("plain", 0), ("users", 3)];
    assert!(said.into_iter().eq(expected.map(|(name, n)| (name.into(), n.into()))));
    p.assert_clean();
}
