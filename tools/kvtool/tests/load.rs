//! `load` and `compare`: lines, directory trees, batches, and what is said when they go wrong.

mod common;
use common::*;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn tsv_from_a_file_and_from_standard_input() {
    let p = Place::new();
    let input = p.file("in.tsv", "b\t2\na\tone\ttwo\\n\nc\t\n\tempty key\nlast\tno newline");
    let out = p.run("load", [text(&input)]).ok();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "pairs    5 (0 already there)");
    assert!(lines[1].starts_with("bytes "), "{out}");
    assert_eq!(lines[4], "commits  1");
    assert_eq!(p.scan(), "\tempty key\na\tone\\x09two\\x0a\nb\t2\nc\t\nlast\tno newline\n");
    let again = p.feed("load", &["-", "--json"], b"b\t3\nd\t4\n").ok();
    assert!(again.contains("\"already_there\":1") && again.contains("\"pairs\":2"), "{again}");
    assert_eq!(p.run("get", ["b"]).ok(), "3\n");
    p.assert_clean();
}

#[test]
fn tsv_without_escapes() {
    let p = Place::new();
    p.feed("load", &["-", "--no-escapes"], b"a\\b\t\\x41\xff\r\n").ok();
    assert_eq!(p.scan(), "a\\\\b\t\\\\x41\\xff\\x0d\n");
}

#[test]
fn tsv_errors_name_the_line() {
    let p = Place::new();
    for (input, expected) in [
        (&b"a\t1\nno tab here\n"[..], "standard input line 2: no tab"),
        (b"a\t1\nb\t2\nc\\q\t3\n", "standard input line 3: key: a backslash"),
        (b"a\tx\\x4\n", "standard input line 1: value: \\x wants"),
        (b"\n", "standard input line 1: no tab"),
    ] {
        let said = p.feed("load", &["-"], input).said(2);
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("nothing of this input loaded"), "{said}");
    }
    let said = p.feed("load", &["-", "--hex"], b"61\t62\n6x\t62\n").said(2);
    assert!(said.contains("standard input line 2: key: `6x`"), "{said}");
    // Nothing of an input that failed is there.
    p.load("a\told\n");
    p.feed("load", &["-"], b"a\tnew\nb\t2\nbad\n").said(2);
    assert_eq!(p.scan(), "a\told\n");
    p.assert_clean();
}

#[test]
fn wrong_input_leaves_no_file() {
    let p = Place::new();
    let said = p.run("load", [text(&p.path("missing.tsv"))]).said(2);
    assert!(said.contains("missing.tsv: no such file"), "{said}");
    p.feed("load", &["-"], b"no tab\n").said(2);
    p.feed("load", &["-", "--format", "dump"], b"no dump\n").said(2);
    p.run("load", [text(p.dir.path()), "--format", "tsv"]).said(2);
    p.run("load", [text(&p.file("f", "a\tb\n")), "--format", "dir"]).said(2);
    assert!(!p.db().exists());
}

#[test]
fn batches_commit_as_they_go() {
    let p = Place::new();
    let lines: String = (0..25).map(|i| format!("k{i:02}\t{i}\n")).collect();
    let out = p.feed("load", &["-", "--batch", "10", "--json"], lines.as_bytes()).ok();
    assert!(out.contains("\"commits\":3"), "{out}");
    let out = p.feed("load", &["-", "--batch", "5", "--json"], lines.as_bytes()).ok();
    assert!(out.contains("\"commits\":5"), "no empty commit at the end: {out}");
    // A failure keeps the batches before it, and says how much that is.
    let q = Place::new();
    let said = q.feed("load", &["-", "--batch", "10"], format!("{lines}bad\n").as_bytes()).said(2);
    assert!(
        said.contains("line 26") && said.contains("20 pairs in 2 commits of this input loaded"),
        "{said}"
    );
    assert_eq!(q.scan().lines().count(), 20);
    assert!(said.contains("--skip-pairs 20 goes on from there"), "{said}");
    let out = q.feed("load", &["-", "--skip-pairs", "20", "--json"], lines.as_bytes()).ok();
    assert!(out.contains("\"pairs\":5") && out.contains("\"already_there\":0"), "{out}");
    assert_eq!(q.scan(), p.scan());
    p.assert_clean();
    q.assert_clean();
}

#[test]
fn an_empty_input_makes_an_empty_table() {
    let p = Place::new();
    let out = p.feed("load", &["-", "-t", "empty", "--batch", "3"], b"").ok();
    assert!(out.starts_with("pairs    0 "), "{out}");
    assert_eq!(p.run("scan", ["-t", "empty"]).ok(), "");
    p.feed("compare", &["-", "-t", "empty"], b"").ok();
}

#[test]
fn a_key_too_long_names_its_line() {
    let p = Place::new();
    let said = p.feed("load", &["-"], format!("a\t1\n{}\t2\n", "k".repeat(90_000)).as_bytes());
    let said = said.said(2);
    assert!(said.contains("standard input line 2:") && said.contains("90000 bytes"), "{said}");
    p.assert_clean();
}

#[test]
fn large_values() {
    let p = Place::new();
    let big: Vec<u8> =
        (0..5_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    p.file("in/big", &big);
    p.file("in/small", "s");
    p.run("load", [text(&p.path("in"))]).ok();
    assert_eq!(p.run("get", ["big", "--raw"]).stdout, big);
    assert_eq!(p.run("get", ["small", "--raw"]).stdout, b"s");
    p.run("compare", [text(&p.path("in"))]).ok();
    p.assert_clean();
}

#[test]
fn a_database_reached_by_a_link_is_left_out_of_its_directory() {
    let p = Place::new();
    p.file("tree/file", "x");
    let db = p.path("tree/real.recto");
    let of_real = |verb: &str, args: &[&str]| {
        let mut command = kvtool();
        command.arg(verb).arg(&db).args(args);
        finish(command, b"").ok()
    };
    of_real("create", &[]);
    symlink(&db, p.db()).unwrap();
    p.run("load", [text(&p.path("tree"))]).ok();
    assert_eq!(of_real("scan", &[]), "file\tx\n");
    p.run("compare", [text(&p.path("tree"))]).ok();
}

/// A pipe that gives less at a time than it takes to know what it is.
#[test]
fn a_dump_in_small_pieces_is_a_dump() {
    use std::io::Write;
    let p = Place::new();
    let mut command = p.command("load", ["-"]);
    let pipe = std::process::Stdio::piped;
    let mut child = command.stdin(pipe()).stdout(pipe()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for piece in ["V", "ERSION=", "3\nformat=print\nHEADER=END\n a\tb\n", " c\nDATA=END\n"] {
        stdin.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(stdin);
    assert_eq!(wait(&mut child, &command), Some(0));
    assert_eq!(p.scan(), "a\\x09b\tc\n");
    // What is shorter, or only looks like one at first, is none.
    for input in ["V\t1\n", "VERSION=3\t1\n", "VERSIONS\t2\n"] {
        p.load(input);
        assert!(p.scan().contains(input), "{input}");
    }
}

#[test]
fn a_name_in_a_dump_that_is_not_utf8_needs_a_table() {
    let p = Place::new();
    let dump = b"VERSION=3\nformat=bytevalue\ndatabase=caf\xe9\nHEADER=END\n 61\n 62\nDATA=END\n";
    let said = p.feed("load", &["-"], dump).said(2);
    assert!(said.contains("line 3: the database's name is not UTF-8; name a table with -t"));
    p.feed("load", &["-", "-t", "coffee"], dump).ok();
    assert_eq!(p.run("scan", ["-t", "coffee"]).ok(), "a\tb\n");
    p.feed("compare", &["-", "-t", "coffee"], dump).ok();
}

/// The device fails while it is told to make a commit durable, which may be there all the same.
#[test]
fn an_unknown_outcome_is_not_called_nothing() {
    let p = Place::new();
    p.run("put", ["k", "v"]).ok();
    let load = |lines: &str, fails: &str, more: &[&str]| {
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=msync,fdatasync,fsync", "-e"]);
        command.arg(format!("inject=msync,fdatasync,fsync:error=EIO:{fails}"));
        command.arg(env!("CARGO_BIN_EXE_kvtool")).arg("load").arg(p.db()).arg("-").args(more);
        finish(command, lines.as_bytes())
    };
    if std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_err() {
        return eprintln!("skipped: strace is not installed");
    }
    let said = load("a\t1\nb\t2\n", "when=1+", &[]).said(2);
    assert!(said.contains("commit outcome unknown"), "{said}");
    assert!(!said.contains("of this input loaded"), "{said}");
}

#[test]
fn a_directory_tree() {
    let p = Place::new();
    let tree = p.path("tree");
    p.file("tree/b.txt", "bee");
    p.file("tree/a/deep/er.bin", [0, 255, 10]);
    p.file("tree/a.txt", "");
    p.file("tree/target/out", "left out");
    p.file("tree/a/target", "left out too");
    let odd = std::ffi::OsStr::from_bytes(b"odd\xffname");
    std::fs::write(tree.join(odd), "odd").unwrap();
    symlink("b.txt", tree.join("link")).unwrap();
    symlink("/", tree.join("link-to-dir")).unwrap();
    let out = p.run("load", [text(&tree), "--skip", "target"]).ok();
    assert!(out.starts_with("pairs    4 "), "{out}");
    assert!(out.contains("skipped  2 (no regular files)"), "{out}");
    assert_eq!(
        p.scan(),
        "a.txt\t\na/deep/er.bin\t\\x00\\xff\\x0a\nb.txt\tbee\nodd\\xffname\todd\n"
    );
    let json = p.run("compare", [text(&tree), "--skip", "target", "--json"]).ok();
    assert!(json.contains("\"pairs\":4"), "{json}");
    let all = p.run("compare", [text(&tree)]);
    assert_eq!(all.code, Some(1));
    let all = String::from_utf8(all.stdout).unwrap();
    assert!(all.starts_with("missing  main  a/target\nmissing  main  target/out\n"), "{all}");
    p.assert_clean();
}

#[test]
fn the_database_inside_the_tree_is_no_input() {
    let p = Place::new();
    p.file("one", "1");
    // Reached by another path than the walk's, and made only after the walk has begun.
    p.file("sub/two", "2");
    let p2 = Place { dir: tempfile::tempdir_in(p.path("sub")).unwrap() };
    let out = p2.run("load", [text(p.dir.path())]).ok();
    assert!(out.starts_with("pairs    2 "), "{out}");
    let out = p2.run("load", [text(p.dir.path())]).ok();
    assert!(out.starts_with("pairs    2 (2 already there)"), "{out}");
    assert_eq!(p2.scan(), "one\t1\nsub/two\t2\n");
    p2.run("compare", [text(p.dir.path())]).ok();
    p2.assert_clean();
}

#[test]
fn an_unreadable_file_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let p = Place::new();
    let closed = p.file("tree/closed", "x");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&closed).is_ok() {
        eprintln!("skipped: runs as root, who may read everything");
        return;
    }
    let said = p.run("load", [text(&p.path("tree"))]).said(2);
    assert!(said.contains("tree/closed") && said.contains("--skip"), "{said}");
}

#[test]
fn compare_says_which_keys() {
    let p = Place::new();
    p.load("a\t1\nb\t2\nc\t3\nd\t4\n");
    let same = p.feed("compare", &["-"], b"a\t1\nb\t2\nc\t3\nd\t4\n").ok();
    assert!(same.contains("pairs     4\n") && same.contains("MB/s "), "{same}");
    // The order of the input does not matter, and of a key given twice the last counts.
    let same = p.feed("compare", &["-"], b"d\t4\na\told\nc\t3\na\t1\nb\t2\n").ok();
    assert!(
        same.contains("repeated  1 (of pairs with the same key the last one counts)"),
        "{same}"
    );
    let same = p.feed("compare", &["-"], b"a\t1\na\t1\nb\t2\nb\t2\nb\t2\nc\t3\nd\t4\n").ok();
    assert!(same.contains("repeated  3 "), "{same}");
    let ran = p.feed("compare", &["-", "--json"], b"a\t1\nx\t0\nx\t0\nb\t2\nc\t3\nd\t4\n");
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(out.contains("\"missing\":1") && out.contains("\"repeated\":1"), "{out}");
    p.feed("compare", &["-"], b"b\t2\nc\t3\nd\t4\na\t1\n").ok();
    let ran = p.feed("compare", &["-"], b"c\tother\na\t1\nbb\tx\n");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let out = String::from_utf8(ran.stdout).unwrap();
    let told: Vec<_> = out.lines().take(4).collect();
    assert_eq!(
        told,
        ["missing  main  bb", "differs  main  c", "extra    main  b", "extra    main  d"]
    );
    let ran = p.feed("compare", &["-", "--json"], b"a\t0\nb\t2\nc\t3\nd\t4\n");
    assert_eq!(ran.code, Some(1));
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(
        out.starts_with("{\"key\":\"a\",\"problem\":\"differs\",\"table\":\"main\"}\n"),
        "{out}"
    );
    let ran = p.feed("compare", &["-"], b"a\t1\nb\t2\nc\t3\nd\t4\na\t9\n");
    assert_eq!(ran.code, Some(1), "the last of two counts: {ran:?}");
    let ran = p.feed("compare", &["-", "-t", "none"], b"a\t1\n");
    assert_eq!((ran.code, &ran.stdout[..20]), (Some(1), &b"missing  none  a\npai"[..]));
}

#[test]
fn compare_prints_so_many_differences_and_counts_all() {
    let p = Place::new();
    let lines: String = (0..100).map(|i| format!("k{i:02}\t{i}\n")).collect();
    p.load(&lines);
    let ran = p.feed("compare", &["-"], b"");
    let out = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.code, Some(1));
    assert_eq!(out.lines().filter(|l| l.starts_with("extra    main  k")).count(), 20, "{out}");
    assert!(out.contains("\n... and 80 more; --limit shows them\n"), "{out}");
    assert!(out.contains("extra     100\n"), "{out}");
    let ran = p.feed("compare", &["-", "--limit", "1000"], b"");
    assert!(!String::from_utf8(ran.stdout).unwrap().contains("more"));
    let ran = p.feed("compare", &["-", "--quiet"], b"");
    assert_eq!((ran.code, ran.stdout.len(), ran.stderr.len()), (Some(1), 0, 0));
    let ran = p.feed("compare", &["-", "--quiet"], lines.as_bytes());
    assert_eq!((ran.code, ran.stdout.len()), (Some(0), 0));
}

#[test]
fn a_dump_is_known_by_its_first_line() {
    let p = Place::new();
    p.load("a\t1\nb\t2\n");
    let dump = p.run("dump", NO_ARGS).ok();
    let q = Place::new();
    let file = q.file("pk.dump", &dump);
    q.run("load", [text(&file)]).ok();
    assert_eq!(q.scan(), p.scan());
    q.feed("compare", &["-"], dump.as_bytes()).ok();
    // Said otherwise it is lines like any other.
    q.run("load", [text(&file), "--format", "tsv"]).said(2);
    q.assert_clean();
}

#[test]
fn an_interrupted_load_says_how_to_go_on() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;
    let p = Place::new();
    let mut command = p.command("load", ["-", "--batch", "10"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for i in 0..25 {
        writeln!(stdin, "k{i:02}\t{i}").unwrap();
    }
    stdin.flush().unwrap();
    // It is at work when its second commit is there; then it waits for more lines.
    let two_commits = || p.db().exists() && p.run("count", NO_ARGS).stdout.starts_with(b"20\n");
    while !two_commits() {
        assert_eq!(child.try_wait().unwrap(), None);
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // It waits for a line, and ends with the next one.
    while child.try_wait().unwrap().is_none() {
        if stdin.write_all(b"l\t0\n").and_then(|()| stdin.flush()).is_err() {
            break;
        }
    }
    drop(stdin);
    assert_eq!(wait(&mut child, &command), Some(2));
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let count: u64 = p.run("count", NO_ARGS).ok().trim().parse().unwrap();
    assert!(said.starts_with("kvtool: interrupted ("), "{said}");
    // The lines behind the first have one key: so many pairs were loaded, or more.
    assert!(count >= 20 && said.contains("of this input loaded; --skip-pairs "), "{said}");
    p.assert_clean();
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Lines in no order, some of whose keys come again; more than the smallest memory holds.
fn unsorted_lines(count: u32) -> String {
    let key = |n: u32| n.wrapping_mul(2_654_435_761) >> 12;
    (0..count).map(|n| format!("{:x}\tvalue {n} of a line\n", key(n % (count - 700)))).collect()
}

#[test]
fn a_sorted_load_holds_what_a_plain_one_holds() {
    let (p, q) = (Place::new(), Place::new());
    let lines = unsorted_lines(20_000);
    let temp = q.path("temp");
    std::fs::create_dir(&temp).unwrap();
    for place in [&p, &q] {
        place.load("0\twas there\nzz\tstays\n");
    }
    let plain = p.feed("load", &["-", "--json"], lines.as_bytes()).ok();
    let sort = ["-", "--sort", "--sort-memory", "64K", "--temp-dir", text(&temp), "--json"];
    let sorted = q.feed("load", &sort, lines.as_bytes()).ok();
    assert_eq!(p.scan(), q.scan());
    let [plain, sorted] = [plain, sorted].map(|out| json(&out));
    for name in ["pairs", "already_there", "bytes", "commits"] {
        assert_eq!(plain[name], sorted[name], "{name}");
    }
    assert!(sorted["runs"].as_u64() > Some(20) && plain["runs"] == 0, "{sorted}");
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
    q.feed("compare", &["-"], format!("{lines}zz\tstays\n").as_bytes()).ok();
    // In memory, and beside the database, it is the same.
    let out = q.feed("load", &["-", "--sort", "--sort-memory", "64k"], lines.as_bytes()).ok();
    assert!(out.contains("already there)") && out.contains("sorted "), "{out}");
    let out = q.feed("load", &["-", "--sort"], lines.as_bytes()).ok();
    assert!(!out.contains("sorted "), "{out}");
    assert_eq!(p.scan(), q.scan());
    let names = std::fs::read_dir(q.dir.path()).unwrap();
    assert_eq!(names.count(), 3, "the database, its lock file, and the directory");
    // Pairs before those asked for are left out.
    let skipped =
        q.feed("load", &["-", "--sort", "--skip-pairs", "19990", "--json"], lines.as_bytes());
    assert_eq!(json(&skipped.ok())["pairs"], 10);
    p.assert_clean();
    q.assert_clean();
}

#[test]
fn a_dump_with_several_tables_is_sorted_table_by_table() {
    let (p, q) = (Place::new(), Place::new());
    let mut dump = String::new();
    let mut section = |head: &str, pairs: &mut dyn Iterator<Item = (u32, u32)>| {
        dump += &format!("VERSION=3\nformat=print\n{head}HEADER=END\n");
        pairs.for_each(|(key, value)| dump += &format!(" {key}\n {value:04}\n"));
        dump += "DATA=END\n";
    };
    let spread = |n: u32| n.wrapping_mul(2_654_435_761) >> 20;
    section("database=plain\n", &mut (0..3_000).map(|n| (spread(n), n)));
    let many = |n: u32| (spread(n) % 5, spread(n) / 5);
    section("database=sets\ndupsort=1\n", &mut (0..3_000).map(many));
    section("database=none\n", &mut std::iter::empty());
    section("database=fixed\ndupsort=1\ndupfixed=1\n", &mut (0..3_000).map(many));
    p.feed("load", &["-"], dump.as_bytes()).ok();
    let sorted =
        q.feed("load", &["-", "--sort", "--sort-memory", "65536", "--json"], dump.as_bytes());
    let sorted = json(&sorted.ok());
    assert_eq!((&sorted["pairs"], &sorted["commits"]), (&9_000.into(), &1.into()), "{sorted}");
    assert!(sorted["runs"].as_u64() > Some(2), "{sorted}");
    let all = |place: &Place| {
        let dump = place.run("dump", ["--all"]).ok();
        // Nothing of how large the file is.
        dump.lines()
            .filter(|line| !line.starts_with("mapsize="))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(all(&p), all(&q));
    q.feed("compare", &["-"], dump.as_bytes()).ok();
    // A table of one value for each key takes no sets, also before they have been read.
    let wrong = "VERSION=3\nformat=print\ndatabase=plain\ndupsort=1\nHEADER=END\n a\n b\nbad";
    let said = q.feed("load", &["-", "--sort"], wrong.as_bytes()).said(2);
    assert!(
        said.contains("one value each") && said.contains("nothing of this input loaded"),
        "{said}"
    );
    p.assert_clean();
    q.assert_clean();
}

#[test]
fn a_sorted_load_that_fails_leaves_nothing() {
    let p = Place::new();
    p.load("a\told\n");
    let lines = unsorted_lines(9_000);
    let long = format!("{lines}{}\t2\n", "k".repeat(90_000));
    let said = p.feed("load", &["-", "--sort", "--sort-memory", "64K"], long.as_bytes()).said(2);
    assert!(said.contains("standard input line 9001:"), "{said}");
    assert!(
        said.contains("90000 bytes") && said.contains("nothing of this input loaded"),
        "{said}"
    );
    let bad = format!("{lines}no tab\n");
    let said = p.feed("load", &["-", "--sort"], bad.as_bytes()).said(2);
    assert!(said.contains("line 9001: no tab"), "{said}");
    let missing = p.path("missing");
    let sort = ["-", "--sort", "--sort-memory", "64K", "--temp-dir", text(&missing)];
    let said = p.feed("load", &sort, lines.as_bytes()).said(2);
    assert!(said.contains(text(&missing)) && said.contains("make it first"), "{said}");
    assert!(said.contains("nothing of this input loaded"), "{said}");
    // No room for temporary files.
    let command = |limit: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("ulimit -f {limit} && exec \"$@\""), "sh"]);
        command.arg(env!("CARGO_BIN_EXE_kvtool")).arg("load").arg(p.db()).args(&sort[..4]);
        command
    };
    let said = finish(command("200"), lines.as_bytes()).said(2);
    assert!(said.contains("write a temporary file in") && said.contains("--temp-dir"), "{said}");
    for (args, expected) in [
        (&["-", "--sort", "--batch", "3"][..], "--batch"),
        (&["-", "--sort-memory", "64K"], "--sort"),
        (&["-", "--temp-dir", "/tmp"], "--sort"),
        (&["-", "--sort", "--sort-memory", "many"], "K, M or G behind it"),
    ] {
        let ran = p.feed("load", args, b"");
        assert!(ran.code == Some(2) && ran.stderr.contains(expected), "{ran:?}");
    }
    assert_eq!(p.scan(), "a\told\n");
    assert_eq!(std::fs::read_dir(p.dir.path()).unwrap().count(), 2);
    p.assert_clean();
}

/// Told to end while it reads, and, where that is met, while it merges.
#[test]
fn a_sorted_load_that_is_told_to_end_leaves_nothing() {
    use std::io::{Read, Write};
    use std::process::Stdio;
    let p = Place::new();
    p.load("a\told\n");
    let lines = unsorted_lines(60_000);
    for all_read in [false, true] {
        let mut command = p.command("load", ["-", "--sort", "--sort-memory", "64K"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        if all_read {
            drop(stdin);
        }
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(sent.success() || all_read);
        let code = wait(&mut child, &command);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        if code == Some(0) && all_read {
            // It was faster; so all of it is there.
            assert!(p.run("count", NO_ARGS).ok() != "1\n");
            continue;
        }
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("interrupted (nothing of this input loaded)"), "{said}");
        assert_eq!(p.scan(), "a\told\n");
    }
    assert_eq!(std::fs::read_dir(p.dir.path()).unwrap().count(), 2);
    p.assert_clean();
}
