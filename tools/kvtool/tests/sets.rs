//! Tables whose keys have sets of values, in every verb.

mod common;
use common::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// A place with a table of sets named `tags` in its database.
fn with_tags() -> Place {
    let p = Place::new();
    p.run("create", ["-t", "tags", "--set"]).ok();
    p
}

/// `kvtool VERB DB ARGS... -t tags`
fn tags(p: &Place, verb: &str, args: &[&str]) -> Ran {
    p.run(verb, [args, &["-t", "tags"]].concat())
}

#[track_caller]
fn put(p: &Place, pairs: &[(&str, &str)]) {
    pairs.iter().for_each(|(key, value)| drop(tags(p, "put", &[key, value]).ok()));
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Pairs as `load` takes them: few keys with one value, some with some, some with very many.
fn many(count: u64) -> (String, BTreeSet<(String, String)>) {
    let (mut lines, mut pairs, mut state) = (String::new(), BTreeSet::new(), 7u64);
    for _ in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let n = state >> 33;
        let key = match n % 4 {
            0 => "all".to_string(),
            1 => format!("some{}", n % 97),
            _ => format!("one{:06}", n % 100_000),
        };
        let value = format!("/page/{:07}", n % 9_999_991);
        writeln!(lines, "{key}\t{value}").unwrap();
        pairs.insert((key, value));
    }
    (lines, pairs)
}

#[test]
fn put_get_and_delete_values() {
    let p = with_tags();
    put(&p, &[("rust", "/b"), ("rust", "/a"), ("files", "/a"), ("rust", "")]);
    let there =
        |value| json(&tags(&p, "put", &["rust", value, "--json"]).ok())["already_there"].clone();
    assert_eq!((there("/a"), there("/c")), (true.into(), false.into()));
    assert_eq!(tags(&p, "get", &["rust"]).ok(), "\n/a\n/b\n/c\n");
    assert_eq!(
        tags(&p, "get", &["rust", "--json"]).ok().lines().nth(3),
        Some("{\"key\":\"rust\",\"value\":\"/c\"}")
    );
    assert_eq!(tags(&p, "get", &["files", "--raw"]).ok(), "/a");
    let said = tags(&p, "get", &["rust", "--raw"]).said(2);
    assert!(said.contains("key rust has 4 values") && said.contains("leave it out"), "{said}");
    assert!(tags(&p, "get", &["none"]).said(1).contains("no key none in table tags"));

    assert_eq!(tags(&p, "del", &["rust", "--value", ""]).ok(), "");
    let said = tags(&p, "del", &["rust", "--value", "/z"]).said(1);
    assert!(said.contains("no key rust with the value /z in table tags"), "{said}");
    assert_eq!(tags(&p, "get", &["rust"]).ok(), "/a\n/b\n/c\n");
    assert_eq!(tags(&p, "del", &["rust", "--json"]).ok(), "{\"deleted\":true,\"pairs\":3}\n");
    assert_eq!(tags(&p, "scan", &[]).ok(), "files\t/a\n");
    assert_eq!(tags(&p, "del", &["files", "--hex", "--value", "2f61"]).code, Some(2), "no hex key");
    tags(&p, "del", &["66696c6573", "--hex", "--value", "2f61"]).ok();
    assert_eq!(tags(&p, "count", &[]).ok(), "0\n");
    p.assert_clean();
}

#[test]
fn one_value_of_a_table_with_one_for_each_key() {
    let p = Place::new();
    p.load("a\t1\nb\t2\n");
    let said = p.run("del", ["a", "--value", "2"]).said(1);
    assert!(said.contains("no key a with the value 2 in table main"), "{said}");
    assert_eq!(
        p.run("del", ["a", "--value", "1", "--json"]).ok(),
        "{\"deleted\":true,\"pairs\":1}\n"
    );
    assert_eq!(p.scan(), "b\t2\n");
    assert_eq!(p.run("del", ["--prefix", "b", "--value", "2"]).code, Some(2), "wants a key");
    p.assert_clean();
}

#[test]
fn values_of_one_size() {
    let p = Place::new();
    p.run("create", ["-t", "tags", "--set", "--value-size", "4"]).ok();
    put(&p, &[("k", "1111"), ("k", "0000")]);
    for (verb, value) in [("put", "123"), ("put", ""), ("put", "12345")] {
        let said = tags(&p, verb, &["k", value]).said(2);
        assert!(said.contains("in a table whose values have 4"), "{said}");
    }
    let said = p.feed("load", &["-", "-t", "tags"], b"k\t2222\nk\t33\n").said(2);
    assert!(said.contains("standard input line 2") && said.contains("have 4"), "{said}");
    assert_eq!(tags(&p, "get", &["k"]).ok(), "0000\n1111\n");
    let table = json(&p.run("tables", ["--json"]).ok());
    assert_eq!((&table["sets"], &table["value_size"]), (&true.into(), &4.into()));
    assert!(p.run("tables", NO_ARGS).ok().contains("sets of 4 bytes"));
    p.assert_clean();
}

#[test]
fn what_cannot_be_made_leaves_no_file() {
    for (args, expected) in [
        (&["--set"][..], "--table"),
        (&["-t", "x", "--value-size", "8"], "--set"),
        (&["-t", "x", "--set", "--align", "8"], "--align"),
        (&["-t", "x", "--set", "--value-size", "0"], "0"),
        (
            &["-t", "x", "--set", "--value-size", "5000"],
            "values of 5000 bytes in sets, at most 2022",
        ),
    ] {
        let p = Place::new();
        let ran = p.run("create", args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
        assert!(!p.db().exists());
    }
    let p = with_tags();
    let said = p.run("create", ["-t", "x", "--set", "--value-size", "5000"]).said(2);
    assert!(said.contains("values of 5000 bytes in sets, at most 2022"), "{said}");
    assert!(p.run("create", ["-t", "tags", "--set"]).said(2).contains("exists already"));
    let said = tags(&p, "put", &["k", &"v".repeat(2023)]).said(2);
    assert!(said.contains("2023 bytes in a table of sets"), "{said}");
    tags(&p, "put", &["k", &"v".repeat(2022)]).ok();
    assert_eq!(p.run("tables", NO_ARGS).ok().lines().count(), 2, "x was made");
    p.assert_clean();
}

/// A line for each pair, whichever way it is read, and numbers of pairs and keys.
#[test]
fn scan_count_tables_and_stat() {
    let p = with_tags();
    let (lines, pairs) = many(6_000);
    p.load("k\tv\n");
    p.feed("load", &["-", "-t", "tags"], lines.as_bytes()).ok();
    let lines: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}\t{v}")).collect();
    let keys: BTreeSet<&String> = pairs.iter().map(|(key, _)| key).collect();
    for verify in [&[][..], &["--no-verify"]] {
        let scan = |args: &[&str]| -> Vec<String> {
            let out = tags(&p, "scan", &[args, verify].concat()).ok();
            out.lines().map(String::from).collect()
        };
        assert!(scan(&[]) == lines);
        let reversed: Vec<String> = lines.iter().rev().cloned().collect();
        assert!(scan(&["--reverse"]) == reversed);
        assert_eq!(scan(&["--reverse", "--limit", "7"]), reversed[..7]);
        // In the midst of the values of the first key.
        assert_eq!(scan(&["--limit", "1000"]), lines[..1000]);
        let some: Vec<_> = lines.iter().filter(|l| l.starts_with("some4")).cloned().collect();
        assert!(!some.is_empty() && scan(&["--prefix", "some4"]) == some);
    }
    let (pairs, key_count) = (pairs.len() as u64, keys.len() as u64);
    assert_eq!(tags(&p, "count", &[]).ok(), format!("{pairs}\n"));
    assert_eq!(tags(&p, "count", &["--keys"]).ok(), format!("{key_count}\n"));
    let some = lines.iter().filter(|l| l.starts_with("some")).count();
    let some_keys = keys.iter().filter(|k| k.starts_with("some")).count();
    assert_eq!(
        tags(&p, "count", &["--prefix", "some", "--json"]).ok(),
        format!("{{\"count\":{some},\"keys\":{some_keys}}}\n")
    );
    assert_eq!(p.run("count", ["--json"]).ok(), "{\"count\":1,\"keys\":1}\n");

    for verb in ["tables", "stat"] {
        let table = json(&tags(&p, verb, &["--json"]).ok());
        assert_eq!((&table["pairs"], &table["keys"]), (&pairs.into(), &key_count.into()), "{verb}");
    }
    let text = p.run("tables", NO_ARGS).ok();
    let heads: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads[..3], ["table", "pairs", "keys"]);
    assert!(text.lines().last().unwrap().ends_with(" sets"), "{text}");
    // Each value has 13 bytes.
    let text = tags(&p, "stat", &[]).ok();
    assert!(text.contains(" bytes, 13.0 each\n") && text.contains(" (sets of values)\n"), "{text}");
    let check = json(&p.run("check", ["--json"]).ok());
    assert_eq!((&check["pairs"], &check["keys"]), (&(pairs + 1).into(), &(key_count + 1).into()));

    let gone = json(&tags(&p, "del", &["--prefix", "some", "--json"]).ok());
    assert_eq!(gone["pairs"], some);
    assert_eq!(tags(&p, "count", &[]).ok(), format!("{}\n", pairs - some as u64));
    p.run("rename", ["tags", "labels"]).ok();
    let cleared = json(&p.run("clear", ["labels", "--json"]).ok());
    assert_eq!(cleared["pairs"], pairs - some as u64);
    p.run("put", ["k", "1", "-t", "labels"]).ok();
    p.run("put", ["k", "2", "-t", "labels"]).ok();
    assert_eq!(p.run("drop", ["labels", "--json"]).ok(), "{\"pairs\":2,\"table\":\"labels\"}\n");
    assert!(p.run("info", NO_ARGS).ok().contains("page size"));
    p.assert_clean();
}

#[test]
fn watch_counts_pairs() {
    let p = with_tags();
    let mut command = p.command("watch", ["--count", "1", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // It may begin to watch behind the first.
    let mut i = 0;
    while child.try_wait().unwrap().is_none() {
        put(&p, &[("key", &format!("value{i}"))]);
        i += 1;
    }
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let table = &json(&line)["tables"][0];
    assert_eq!(table["name"], "tags");
    assert!(table["pairs"].as_u64() > table["before"].as_u64(), "{line}");
    p.assert_clean();
}

#[test]
fn load_inserts_and_compare_finds_pairs() {
    let p = with_tags();
    let input = "a\t1\na\t2\n\\x00\t\\x00\n\\x00\\xff\t\nb\t\n";
    let load = |args: &[&str], input: &str| {
        p.feed("load", &[&["-", "-t", "tags"], args].concat(), input.as_bytes()).ok()
    };
    assert!(load(&[], input).starts_with("pairs    5 (0 already there)\n"));
    let again = json(&load(&["--json", "--batch", "2"], "a\t2\na\t3\na\t3\n"));
    assert_eq!((&again["pairs"], &again["already_there"]), (&3.into(), &2.into()));
    assert_eq!(tags(&p, "scan", &[]).ok(), "\\x00\t\\x00\n\\x00\\xff\t\na\t1\na\t2\na\t3\nb\t\n");

    let compare = |input: &str| p.feed("compare", &["-", "-t", "tags"], input.as_bytes());
    let whole = format!("{input}a\t3\n");
    assert!(compare(&whole).ok().contains("repeated  0\n"));
    // In any order, and more than once.
    let mut lines: Vec<&str> = whole.lines().chain(["a\t1", "b\t"]).collect();
    lines.reverse();
    let same = compare(&(lines.join("\n") + "\n")).ok();
    assert!(same.contains("repeated  2 (the same pair counts once)\n"), "{same}");
    let told = |input: &str| -> Vec<String> {
        let ran = compare(input);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let out = String::from_utf8(ran.stdout).unwrap();
        assert!(out.contains("differ    0\n"), "{out}");
        out.lines().take_while(|l| !l.starts_with("pairs ")).map(String::from).collect()
    };
    assert_eq!(
        told("b\tx\na\t4\na\t2\na\t2\na\t4\n\\x00\\xff\t\n"),
        [
            "missing  tags  a\t4",
            "missing  tags  b\tx",
            "extra    tags  \\x00\t\\x00",
            "extra    tags  a\t1",
            "extra    tags  a\t3",
            "extra    tags  b\t",
        ]
    );
    let ran =
        p.feed("compare", &["-", "-t", "tags", "--json"], whole.replace("b\t\n", "").as_bytes());
    assert!(
        ran.stdout.starts_with(
            b"{\"key\":\"b\",\"problem\":\"extra\",\"table\":\"tags\",\"value\":\"\"}\n"
        ),
        "{ran:?}"
    );
    p.assert_clean();
}

/// Against a plain set, with input in order, in random order, and with changes.
#[test]
fn compare_of_many_pairs() {
    let p = with_tags();
    let (lines, pairs) = many(5_000);
    p.feed("load", &["-", "-t", "tags"], lines.as_bytes()).ok();
    let sorted: String = pairs.iter().map(|(k, v)| format!("{k}\t{v}\n")).collect();
    let compare = |input: &str| {
        p.feed("compare", &["-", "-t", "tags", "--json", "--limit", "0"], input.as_bytes())
    };
    let repeated = 5_000 - pairs.len() as u64;
    for (input, repeated) in [(&lines, repeated), (&sorted, 0)] {
        let totals = json(&compare(input).ok());
        assert_eq!(totals["repeated"], repeated, "{totals}");
        // Every tenth line of the input is another one.
        let changed: Vec<String> = input
            .lines()
            .enumerate()
            .map(|(i, line)| if i % 10 == 0 { format!("{line}x") } else { line.into() })
            .collect();
        let named: BTreeSet<&str> = changed.iter().map(|line| &line[..]).collect();
        let stored: BTreeSet<&str> = sorted.lines().collect();
        let ran = compare(&(changed.join("\n") + "\n"));
        assert_eq!(ran.code, Some(1));
        let totals = json(std::str::from_utf8(&ran.stdout).unwrap());
        assert_eq!(totals["missing"], named.difference(&stored).count());
        assert_eq!(totals["extra"], stored.difference(&named).count());
        assert_eq!(totals["differs"], 0);
        assert_eq!(totals["repeated"], changed.len() - named.len());
    }
    p.assert_clean();
}

#[test]
fn an_interrupted_load_of_sets_goes_on() {
    let p = with_tags();
    let (lines, pairs) = many(300);
    let bad = format!("{lines}no tab\n");
    let said = p.feed("load", &["-", "-t", "tags", "--batch", "70"], bad.as_bytes()).said(2);
    assert!(said.contains("280 pairs in 4 commits") && said.contains("--skip-pairs 280"), "{said}");
    p.feed("load", &["-", "-t", "tags", "--skip-pairs", "280"], lines.as_bytes()).ok();
    assert_eq!(tags(&p, "count", &[]).ok(), format!("{}\n", pairs.len()));
    p.feed("compare", &["-", "-t", "tags"], lines.as_bytes()).ok();
    p.assert_clean();
}
