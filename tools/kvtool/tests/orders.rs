//! Tables in other orders of keys, in the verbs that know of them, and between recto and LMDB.

mod common;
use common::*;
use std::path::Path;

const NONE: [&str; 0] = [];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn names_by_their_ends() {
    let p = Place::new();
    p.run("create", ["-t", "names", "--order", "reversed"]).ok();
    for name in ["example.org", "www.example.org", "example.com", "a.org"] {
        p.run("put", [name, "1", "-t", "names"]).ok();
    }
    let keys = "a.org\t1\nexample.org\t1\nwww.example.org\t1\nexample.com\t1\n";
    assert_eq!(p.run("scan", ["-t", "names"]).ok(), keys);
    assert!(p.run("tables", NONE).ok().contains("order reversed"));
    assert!(p.run("tables", ["--json"]).ok().contains("\"order\":\"reversed\""));
    assert_eq!(p.run("get", ["a.org", "-t", "names"]).ok(), "1\n");
    for verb in ["scan", "count", "del"] {
        let said = p.run(verb, ["-t", "names", "--prefix", "example"]).said(2);
        assert!(said.contains("order of the bytes"), "{said}");
    }
    let some = p.run("scan", ["-t", "names", "--from", "b.org", "--to", "b.com"]).ok();
    assert_eq!(some, "example.org\t1\nwww.example.org\t1\n");
    let some = p.run("scan", ["-t", "names", "--from", "example.org"]).ok();
    assert_eq!(some, "example.org\t1\nwww.example.org\t1\nexample.com\t1\n");

    let dump = p.run("dump", ["-t", "names"]).ok();
    assert!(dump.contains("\nreversekey=1\n"), "{dump}");
    for sort in [&[][..], &["--sort"]] {
        let q = Place::new();
        let args = [&["-", "--format", "dump", "-t", "names"], sort].concat();
        q.feed("load", &args, dump.as_bytes()).ok();
        assert_eq!(q.run("scan", ["-t", "names"]).ok(), keys);
        assert_eq!(q.run("dump", ["-t", "names"]).ok(), dump);
        q.assert_clean();
    }
    // Into a table of another order it does not go.
    let q = Place::new();
    q.run("create", ["-t", "names", "--order", "plain"]).ok();
    let args = ["-", "--format", "dump", "-t", "names"];
    let said = q.feed("load", &args, dump.as_bytes()).said(2);
    assert!(said.contains("its keys are in the order Plain, not Reversed"), "{said}");
    p.assert_clean();
}

#[test]
fn integers_are_four_or_eight_bytes() {
    let p = Place::new();
    p.run("create", ["-t", "ports", "--order", "integers"]).ok();
    let said = p.run("put", ["abc", "1", "-t", "ports"]).said(2);
    assert!(said.contains("key of 3 bytes in a table of integers"), "{said}");
    p.run("put", ["abcd", "1", "-t", "ports"]).ok();
    assert_eq!(p.run("create", ["-t", "other", "--order", "sideways"]).code, Some(2));
    p.assert_clean();
}

/// What a program has ordered by a function of its own comes out by salvage alone.
#[test]
fn an_order_of_a_program_is_not_known_here() {
    fn down(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
        b.cmp(a)
    }
    let p = Place::new();
    let mut builder = recto::Database::builder();
    // SAFETY: nobody else has the file.
    let db = unsafe { builder.order("down", down).open(p.db()) }.unwrap();
    let order = recto::Order::Custom("down".into());
    let mut txn = db.write().unwrap();
    let options = recto::TableOptions::default().ordered(order);
    let mut table = txn.create_table_with("t", &options).unwrap();
    for n in 0..3_000u32 {
        table.put(format!("{n:05}").as_bytes(), b"v").unwrap();
    }
    txn.commit().unwrap();
    drop(db);

    assert!(p.run("tables", NONE).ok().contains("order \"down\""));
    // What is only read from one end to the other needs no function.
    assert!(p.run("scan", ["-t", "t"]).ok().starts_with("02999\tv\n02998\tv\n"));
    let said = p.run("get", ["00007", "-t", "t"]).said(2);
    assert!(said.contains("kvtool salvage") && said.contains("\"down\""), "{said}");
    p.assert_clean();
    let dump = p.run("dump", ["-t", "t"]).ok();
    assert!(dump.contains("\nkey_order=down\n"), "{dump:.200}");
    let q = Place::new();
    let loaded = q.feed("load", &["-", "--format", "dump", "-t", "t"], dump.as_bytes());
    assert_eq!(loaded.code, Some(0));
    assert!(loaded.stderr.contains("in the order of their bytes now"), "{}", loaded.stderr);
    assert!(q.run("scan", ["-t", "t"]).ok().starts_with("00000\tv\n00001\tv\n"));
    q.assert_clean();
    let new = p.path("new.recto");
    let said = p.run("salvage", ["--output", text(&new)]);
    assert!(said.stderr.contains("in the order of its bytes now"), "{}", said.stderr);
    let scanned = finish(
        {
            let mut command = kvtool();
            command.args(["scan", text(&new), "-t", "t"]);
            command
        },
        b"",
    );
    let expected: String = (0..3_000).map(|n| format!("{n:05}\tv\n")).collect();
    assert_eq!(scanned.ok(), expected);
}

#[test]
fn lmdb_has_the_same_orders() {
    for (order, flag) in [("reversed", "reversekey=1"), ("integers", "integerkey=1")] {
        let (p, q) = (Place::new(), Place::new());
        p.run("create", ["-t", "t", "--order", order]).ok();
        let mut state = 5u64;
        let mut lines = String::from("VERSION=3\nformat=bytevalue\n");
        lines += &format!("database=t\n{flag}\nHEADER=END\n");
        for _ in 0..2_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1442695040888963407);
            let bytes = (state >> 20).to_le_bytes();
            let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            lines += &format!(" {key}\n 00\n");
        }
        lines += "DATA=END\n";
        p.feed("load", &["-", "--format", "dump"], lines.as_bytes()).ok();
        let ours = p.run("dump", ["-t", "t"]).ok();
        let (file, env) = (q.file("ours.dump", &ours), q.path("env.mdb"));
        if lmdb_tool("mdb_load", &["-n", text(&env)], Some(&file)).is_none() {
            return;
        }
        let (theirs, _) = lmdb_tool("mdb_dump", &["-n", "-a", text(&env)], None).unwrap();
        assert!(theirs.contains(flag), "{theirs:.300}");
        let data = |dump: &str| -> Vec<String> {
            dump.lines().filter(|l| l.starts_with(' ')).map(String::from).collect()
        };
        assert_eq!(data(&theirs), data(&ours));
        q.feed("load", &["-", "--format", "dump"], theirs.as_bytes()).ok();
        assert_eq!(data(&q.run("dump", ["-t", "t"]).ok()), data(&ours));
        q.assert_clean();
    }
}
