//! The verbs for tables and ranges: create, rename, copy-table, clear, drop, count, del, stat,
//! watch; and what all verbs have in common.

mod common;
use common::*;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn keys(p: &Place) -> String {
    p.scan().lines().map(|l| l.split('\t').next().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn create_makes_what_is_not_there() {
    let p = Place::new();
    p.run("create", ["--page-size", "8192"]).ok();
    assert!(p.run("info", NO_ARGS).ok().contains("page size      8,192\n"));
    assert_eq!(p.run("tables", NO_ARGS).ok().lines().count(), 1, "only the heads");
    assert!(p.run("create", NO_ARGS).said(2).contains("exists already; -t"));
    assert_eq!(
        p.run("create", ["-t", "a", "--json"]).ok(),
        "{\"created_file\":false,\"created_table\":\"a\"}\n"
    );
    assert!(p.run("create", ["-t", "a"]).said(2).contains("exists already"));
    let mut command = kvtool();
    command.arg("create").arg(p.path("no/such/x.recto"));
    let said = finish(command, b"").said(2);
    assert!(said.contains("no/such") && said.contains("the directory must be there"), "{said}");
    p.assert_clean();
}

#[test]
fn rename_clear_and_drop() {
    let p = Place::new();
    p.load("a\t1\nb\t2\n");
    p.run("rename", ["main", "fruit"]).ok();
    assert_eq!(p.run("count", ["-t", "fruit"]).ok(), "2\n");
    assert!(p.run("rename", ["main", "x"]).said(2).contains("no table \"main\""));
    p.load("c\t3\n");
    assert!(p.run("rename", ["main", "fruit"]).said(2).contains("exists already"));
    assert_eq!(p.run("clear", ["fruit", "--json"]).ok(), "{\"pairs\":2,\"table\":\"fruit\"}\n");
    assert_eq!(p.run("count", ["-t", "fruit"]).ok(), "0\n");
    p.run("drop", ["fruit"]).ok();
    for verb in ["drop", "clear"] {
        assert!(p.run(verb, ["fruit"]).said(2).contains("no table \"fruit\""), "{verb}");
    }
    assert_eq!(p.run("count", NO_ARGS).ok(), "1\n");
    p.assert_clean();
}

#[test]
fn copies_of_tables() {
    let p = Place::new();
    p.run("create", ["-t", "vectors", "--align", "64"]).ok();
    p.run("put", ["k", "12345678", "-t", "vectors"]).ok();
    assert_eq!(
        p.run("copy-table", ["vectors", "saved", "--json"]).ok(),
        "{\"copied\":\"vectors\",\"pairs\":1,\"to\":\"saved\"}\n"
    );
    p.run("put", ["k", "other", "-t", "vectors"]).ok();
    assert_eq!(p.run("get", ["k", "-t", "saved"]).ok(), "12345678\n");
    let tables = p.run("tables", ["--json"]).ok();
    assert_eq!(tables.lines().filter(|line| line.contains("\"align\":64")).count(), 2, "{tables}");
    assert!(p.run("copy-table", ["vectors", "saved"]).said(2).contains("exists already"));
    assert!(p.run("copy-table", ["none", "new"]).said(2).contains("no table \"none\""));
    p.assert_clean();
}

#[test]
fn snapshots_stand_until_they_are_dropped() {
    let p = Place::new();
    p.load("a\t1\nb\t2\n");
    p.run("snapshot", ["create", "one"]).ok();
    assert!(p.run("snapshot", ["create", "one"]).said(2).contains("exists already"));
    p.load("b\t3\nc\t4\n");
    assert_eq!(p.scan(), "a\t1\nb\t3\nc\t4\n");
    let named = ["--snapshot", "one"];
    assert_eq!(p.run("scan", named).ok(), "a\t1\nb\t2\n");
    assert_eq!(p.run("get", ["b", "--snapshot", "one"]).ok(), "2\n");
    assert_eq!(p.run("count", named).ok(), "2\n");
    assert!(p.run("tables", named).ok().contains("main"));
    let dump = p.run("dump", ["--print", "--snapshot", "one"]).ok();
    assert!(dump.contains("\n b\n 2\nDATA=END"), "{dump}");
    let list = p.run("snapshot", ["--json"]).ok();
    let line: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(line["name"], "one");
    assert_eq!(p.run("snapshot", NO_ARGS).ok().lines().count(), 2);
    p.assert_clean();
    let info = p.run("info", NO_ARGS).ok();
    let line = info.lines().find(|line| line.starts_with("snapshots ")).unwrap();
    assert!(line.contains(" 1, the oldest named ") && line.ends_with(" ago"), "{line}");
    let info: Value = serde_json::from_str(&p.run("info", ["--json"]).ok()).unwrap();
    assert_eq!(info["named_snapshots"], 1);
    assert!(info["oldest_named_seconds"].is_u64(), "{info}");
    assert!(info["pages_held_back"].as_u64().unwrap() > 0, "what has changed since: {info}");
    let check: Value = serde_json::from_str(&p.run("check", ["--json"]).ok()).unwrap();
    let kept = check["snapshot_pages"].as_u64().unwrap();
    assert!(check["snapshots"] == 1 && kept >= 2, "{check}");
    let text = p.run("check", NO_ARGS).ok();
    let is =
        |line: &str, words: &str| text.lines().any(|l| l.starts_with(line) && l.contains(words));
    assert!(is("snapshots", &format!("1 (free pages kept: {kept})")), "{text}");
    assert!(is("free pages", "once snapshots that see them are dropped"), "{text}");
    assert_eq!(p.run("snapshot", ["drop", "one", "--json"]).ok(), "{\"dropped\":\"one\"}\n");
    for args in [&["drop", "one"][..], &["list", "one"]] {
        assert!(p.run("snapshot", args).said(2).contains("no snapshot \"one\""));
    }
    assert!(p.run("get", ["b", "--snapshot", "one"]).said(2).contains("`kvtool snapshot"));
    assert_eq!(p.run("snapshot", NO_ARGS).ok().lines().count(), 1, "only the heads");
    p.assert_clean();
}

#[test]
fn count_and_delete_ranges() {
    let p = Place::new();
    let lines: String = (0..10_000).map(|i| format!("k{i:04}\t{i}\n")).collect();
    p.load(&format!("a\t1\n{lines}z\t2\n"));
    assert_eq!(p.run("count", NO_ARGS).ok(), "10002\n");
    assert_eq!(p.run("count", ["--prefix", "k1"]).ok(), "1000\n");
    assert_eq!(p.run("count", ["--from", "k9990", "--json"]).ok(), "{\"count\":11,\"keys\":11}\n");
    assert_eq!(p.run("count", ["--estimate"]).ok(), "10002\n");
    let about = p.run("count", ["--prefix", "k1", "--estimate", "--json"]).ok();
    let about = serde_json::from_str::<Value>(&about).unwrap()["count"].as_u64().unwrap();
    assert!((800..1_200).contains(&about), "{about}");
    assert_eq!(p.run("count", ["--from", "l", "--to", "b", "--estimate"]).ok(), "0\n");
    assert_eq!(p.run("count", ["--from", "l", "--to", "b"]).ok(), "0\n");
    assert_eq!(p.run("del", ["--prefix", "k1"]).ok(), "deleted  1,000\n");
    assert_eq!(p.run("count", ["--prefix", "k"]).ok(), "9000\n");
    assert_eq!(
        p.run("del", ["--from", "k0", "--to", "l", "--json"]).ok(),
        "{\"deleted\":true,\"pairs\":9000}\n"
    );
    assert_eq!(keys(&p), "a z");
    let ran = p.run("del", ["--prefix", "k"]);
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), &b"deleted  0\n"[..]));
    assert!(p.run("del", NO_ARGS).said(2).contains("give one KEY"));
    assert!(p.run("del", ["a", "--prefix", "a"]).said(2).contains("give one KEY"));
    assert_eq!(keys(&p), "a z");
    p.assert_clean();
}

#[test]
fn values_come_from_files_and_standard_input() {
    let p = Place::new();
    let value: Vec<u8> = (0..200_000u32).map(|i| (i * 7 + i / 256) as u8).collect();
    let file = p.file("value", &value);
    p.run("put", ["large", "--from", file.to_str().unwrap()]).ok();
    assert_eq!(p.run("get", ["large", "--raw"]).stdout, value);
    assert_eq!(p.feed("put", &["piped", "--from", "-"], &value[..70_000]).ok(), "");
    assert_eq!(p.run("get", ["piped", "--raw"]).stdout, &value[..70_000]);
    p.run("put", ["dash", "-"]).ok();
    assert_eq!(p.run("get", ["dash"]).ok(), "-\n");
    let said = p.run("put", ["k", "--from", "/no/such"]).said(2);
    assert!(said.contains("/no/such") && said.contains("--from takes"), "{said}");
    for wrong in [&["k"][..], &["k", "v", "--from", "x"]] {
        assert_eq!(p.run("put", wrong).code, Some(2));
    }
    p.assert_clean();
}

#[test]
fn stat_draws_how_full_pages_are() {
    let p = Place::new();
    let lines: String = (0..5_000).map(|i| format!("k{i:05}\tvalue {i}\n")).collect();
    p.load(&lines);
    p.run("put", ["one", "1", "-t", "small"]).ok();
    let text = p.run("stat", NO_ARGS).ok();
    let fill = text.lines().find(|l| l.starts_with("  leaf fill")).unwrap();
    assert!(fill.contains("####") && fill.ends_with(" %"), "{text}");
    assert!(text.contains("\nmain\n") && text.contains("\nsmall\n"), "{text}");
    assert!(text.contains("30,000 bytes, 6.0 each"), "{text}");
    let json = p.run("stat", ["-t", "main", "--json"]).ok();
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["pairs"], &value["key_bytes"]), (&5_000.into(), &30_000.into()));
    let fill = value["leaf_fill"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&fill), "{fill}");
    assert!(p.run("stat", ["-t", "none"]).said(2).contains("no table"));
}

#[test]
fn watch_prints_a_line_for_each_commit() {
    let p = Place::new();
    p.load("a\t1\n");
    let mut command = p.command("watch", ["--count", "2", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Whatever it has missed before it began to watch: it sees the commits that come then, one by
    // one.
    let mut told = Vec::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                sender.send(line).unwrap();
            }
        });
        let mut i = 0;
        while child.try_wait().unwrap().is_none() {
            p.run("put", [format!("key{i}"), "v".into()]).ok();
            i += 1;
        }
        told.extend(receiver);
    });
    assert_eq!(told.len(), 2, "{told:?}");
    let txn = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["tables"][0]["name"], "main", "{line}");
        assert!(value["tables"][0]["pairs"].as_u64() > value["tables"][0]["before"].as_u64());
        value["transaction"].as_u64().unwrap()
    };
    assert!(txn(&told[0]) < txn(&told[1]), "{told:?}");
    let mut command = p.command("watch", ["--count", "1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // Another key each time: it may begin to watch behind the first.
    let mut i = 0;
    while child.try_wait().unwrap().is_none() {
        p.run("put", [format!("more{i}"), "v".into(), "-t".into(), "other".into()]).ok();
        i += 1;
    }
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(" UTC  transaction ") && line.contains("other: "), "{line}");
    p.assert_clean();
}

#[test]
fn errors_are_json_where_that_was_asked_for() {
    let p = Place::new();
    p.load("a\t1\n");
    let runs = [
        (p.run("get", ["b", "--json"]), 1, "note"),
        (p.run("get", ["b", "-t", "none", "--json"]), 2, "error"),
        (p.run("rename", ["x", "y", "--json"]), 2, "error"),
        (p.run("put", ["--hex", "zz", "00", "--json"]), 2, "error"),
        (p.feed("load", &["-", "--json"], b"no tab\n"), 2, "error"),
    ];
    for (ran, code, kind) in runs {
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let value: Value =
            serde_json::from_str(&ran.stderr).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        assert!(value[kind].is_string(), "{ran:?}");
    }
    // A key of this name is no option.
    let ran = p.run("get", ["--", "--json"]);
    assert!(ran.said(1).contains("no key --json"));
}

#[test]
fn every_verb_has_an_example_and_shells_their_completions() {
    let help = |args: &[&str]| {
        let mut command = kvtool();
        command.args(args);
        finish(command, b"").ok()
    };
    let all = help(&["help"]);
    let verbs: Vec<&str> = all
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| l.starts_with("  "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.len() >= 19, "{verbs:?}");
    for verb in &verbs {
        let text = help(&[verb, "--help"]);
        assert!(text.contains("Example") && text.contains(&format!("kvtool {verb} ")), "{text}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let text = help(&["completions", shell]);
        assert!(verbs.iter().all(|verb| text.contains(verb)), "{shell}");
    }
    let p = Place::new();
    help(&["completions", "--man", p.path("man").to_str().unwrap()]);
    for verb in &verbs {
        let page = std::fs::read_to_string(p.path(&format!("man/kvtool-{verb}.1"))).unwrap();
        assert!(page.contains(".TH"), "{page}");
    }
}

#[test]
fn what_a_table_is_made_with_stays_with_it() {
    let p = Place::new();
    p.run("create", ["-t", "v", "--align", "64"]).ok();
    assert!(p.run("create", ["-t", "w", "--align", "3"]).said(2).contains("a power of two"));
    assert_eq!(p.run("create", ["--align", "8"]).code, Some(2), "without a table");
    p.run("create", ["-t", "empty", "--align", "4096"]).ok();
    let lines: String = (0..500).map(|i| format!("k{i:03}\t{}\n", "v".repeat(i % 90))).collect();
    assert_eq!(finish(p.command("load", ["-", "-t", "v"]), lines.as_bytes()).code, Some(0));
    p.load("plain\t1\n");
    let options = |p: &Place| -> Vec<(String, u64)> {
        let lines = p.run("tables", ["--json"]).ok();
        let tables = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        tables.map(|t| (t["name"].as_str().unwrap().into(), t["align"].as_u64().unwrap())).collect()
    };
    let all = [("empty".into(), 4096), ("main".into(), 1), ("v".into(), 64)];
    assert_eq!(options(&p), all);
    assert!(p.run("tables", NO_ARGS).ok().contains("align 64"));
    // Of tables without pairs too, one behind the other, between others.
    let r = Place::new();
    for (table, align) in [("a", "64"), ("b", "1"), ("c", "8"), ("d", "1"), ("e", "4096")] {
        r.run("create", ["-t", table, "--align", align]).ok();
    }
    r.run("put", ["k", "v", "-t", "d"]).ok();
    let dump = r.run("dump", ["--all"]).ok();
    let copy = Place::new();
    for again in [&copy, &r] {
        assert_eq!(finish(again.command("load", ["-"]), dump.as_bytes()).code, Some(0));
        let expected = [("a", 64), ("b", 1), ("c", 8), ("d", 1), ("e", 4096)];
        assert_eq!(options(again), expected.map(|(name, align)| (name.to_owned(), align)));
    }
    // What cannot be leaves nothing behind.
    let none = Place::new();
    assert_eq!(none.run("create", ["-t", "x", "--align", "3"]).code, Some(2));
    let wrong = r.run("dump", ["-t", "a"]).ok().replace("align=64", "align=63");
    assert_eq!(finish(none.command("load", ["-"]), wrong.as_bytes()).code, Some(2));
    assert!(!none.db().exists());
    // Through a dump, by name and without, and through a salvage.
    for verify in ["--print", "--no-verify"] {
        let dump = p.run("dump", ["--all", verify]).ok();
        assert!(dump.contains("database=v\nalign=64\ntype=btree\n"), "{dump}");
        let q = Place::new();
        assert_eq!(finish(q.command("load", ["-"]), dump.as_bytes()).code, Some(0));
        assert_eq!(options(&q)[1..], all[1..]);
        assert_eq!(finish(q.command("compare", ["-"]), dump.as_bytes()).code, Some(0));
        q.assert_clean();
    }
    let dump = p.run("dump", ["-t", "v"]).ok();
    let q = Place::new();
    assert_eq!(finish(q.command("load", ["-", "-t", "other"]), dump.as_bytes()).code, Some(0));
    assert_eq!(options(&q), [("other".into(), 64)]);
    // Into a table that promises less, nothing goes.
    let said = finish(q.command("load", ["-", "-t", "plain"]), b"a\t1\n");
    assert_eq!(said.code, Some(0));
    let said = finish(q.command("load", ["-", "-t", "plain"]), dump.as_bytes()).said(2);
    assert!(said.contains("aligned to 1 bytes, not to 64"), "{said}");
    p.run("salvage", ["-o", p.path("saved.recto").to_str().unwrap()]).ok();
    let tables = {
        let mut command = kvtool();
        command.args(["tables", "--json"]).arg(p.path("saved.recto"));
        finish(command, b"").ok()
    };
    for (name, align) in all {
        let line = tables.lines().find(|line| line.contains(&format!("\"name\":\"{name}\"")));
        assert!(line.unwrap().contains(&format!("\"align\":{align},")), "{tables}");
    }
    p.assert_clean();
    q.assert_clean();
}
