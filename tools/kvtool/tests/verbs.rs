//! The verbs that take one key or show what is there: output, exit codes, notations.

mod common;
use common::*;

#[test]
fn put_get_del() {
    let p = Place::new();
    assert_eq!(p.run("put", ["apple", "red"]).ok(), "");
    assert_eq!(p.run("get", ["apple"]).ok(), "red\n");
    assert_eq!(p.run("get", ["apple", "--raw"]).ok(), "red");
    assert_eq!(p.run("put", ["apple", "green", "--json"]).ok(), "{\"replaced\":true}\n");
    assert_eq!(p.run("get", ["apple", "--json"]).ok(), "{\"key\":\"apple\",\"value\":\"green\"}\n");
    assert_eq!(p.run("del", ["apple", "--json"]).ok(), "{\"deleted\":true,\"pairs\":1}\n");
    assert!(p.run("get", ["apple"]).said(1).contains("no key apple in table main"));
    assert!(p.run("del", ["apple"]).said(1).contains("no key apple in table main"));
    p.assert_clean();
}

#[test]
fn empty_key_and_value() {
    let p = Place::new();
    p.run("put", ["", ""]).ok();
    assert_eq!(p.run("get", [""]).ok(), "\n");
    assert_eq!(p.run("get", ["", "--raw"]).ok(), "");
    assert_eq!(p.scan(), "\t\n");
    p.assert_clean();
}

/// What the engine would refuse is refused before there is a file.
#[test]
fn a_name_or_key_that_is_refused_leaves_no_file() {
    let long_name = "n".repeat(1025);
    for (verb, args, input, expected) in [
        ("create", &["-t", &long_name][..], "", "1 to 1024 bytes"),
        ("create", &["-t", ""], "", "1 to 1024 bytes"),
        ("put", &["k", "v", "-t", &long_name], "", "1 to 1024 bytes"),
        ("put", &["k", "v", "-t", ""], "", "1 to 1024 bytes"),
        ("put", &["k".repeat(2023).as_str(), "v"], "", "2023 bytes"),
        ("load", &["-", "-t", &long_name], "a\t1\n", "1 to 1024 bytes"),
        ("load", &["-"], &format!("{}\t1\n", "k".repeat(2023)), "line 1: "),
    ] {
        let p = Place::new();
        let said = p.feed(verb, args, input.as_bytes()).said(2);
        assert!(said.contains(expected), "{verb} {args:?}: {said}");
        assert_eq!(std::fs::read_dir(p.dir.path()).unwrap().count(), 0, "{verb} {args:?}");
    }
    let p = Place::new();
    p.run("put", ["k".repeat(2022).as_str(), "v", "-t", &long_name[1..]]).ok();
    let p = Place::new();
    p.run("put", ["k".repeat(2023).as_str(), "v", "--page-size", "8192"]).ok();
    p.assert_clean();
}

#[test]
fn tables_are_apart() {
    let p = Place::new();
    p.run("put", ["k", "1"]).ok();
    p.run("put", ["k", "2", "-t", "other"]).ok();
    p.run("put", ["l", "3", "--table", "\u{e9} b"]).ok();
    assert_eq!(p.run("get", ["k"]).ok(), "1\n");
    assert_eq!(p.run("get", ["k", "-t", "other"]).ok(), "2\n");
    assert_eq!(p.run("scan", ["-t", "\u{e9} b"]).ok(), "l\t3\n");
    let tables = p.run("tables", NO_ARGS).ok();
    let first: Vec<_> = tables.lines().map(|l| l.split("  ").next().unwrap()).collect();
    assert_eq!(first, ["table", "main", "other", "\u{e9} b"]);
    let widths: Vec<_> = tables.lines().map(|l| l.chars().count()).collect();
    assert!(widths.iter().all(|w| *w == widths[0]), "columns: {tables}");
    let json = p.run("tables", ["--json", "-t", "other"]).ok();
    assert!(json.contains("\"name\":\"other\"") && json.contains("\"keys\":1"), "{json}");
    assert_eq!(json.lines().count(), 1);
    for verb in ["scan", "tables", "dump"] {
        let said = p.run(verb, ["-t", "none"]).said(2);
        assert!(said.contains("no table \"none\"") && said.contains("kvtool tables"), "{said}");
    }
    assert!(p.run("get", ["k", "-t", "none"]).said(2).contains("no table"));
    assert!(p.run("del", ["k", "-t", "none"]).said(2).contains("no table"));
    assert_eq!(p.run("tables", NO_ARGS).ok(), tables, "del makes no table");
    p.assert_clean();
}

#[test]
fn escapes_round_trip() {
    let p = Place::new();
    let all: Vec<u8> = (0..=255).collect();
    let escaped: String = all.iter().map(|b| format!("\\x{b:02x}")).collect();
    let hex: String = all.iter().map(|b| format!("{b:02x}")).collect();
    p.run("put", ["all", &escaped]).ok();
    assert_eq!(p.run("get", ["all", "--raw"]).stdout, all);
    assert_eq!(p.run("get", ["616c6c", "--hex"]).ok(), format!("{hex}\n"));
    let shown = p.run("get", ["all"]).ok();
    assert!(shown.starts_with("\\x00\\x01") && shown.contains("[\\\\]"), "{shown}");
    p.run("put", ["--hex", &hex, "FF00"]).ok();
    p.run("put", [shown.trim_end(), "again"]).ok();
    assert_eq!(p.run("get", [&escaped]).ok(), "again\n", "what is printed can be given back");
    assert_eq!(p.scan().lines().count(), 2);
    // A scan loads back to the same.
    let q = Place::new();
    q.load(&p.scan());
    assert_eq!(q.scan(), p.scan());
    let hex_scan = p.run("scan", ["--hex"]).ok();
    q.feed("load", &["-", "--hex", "-t", "hex"], hex_scan.as_bytes()).ok();
    assert_eq!(q.run("scan", ["-t", "hex"]).ok(), p.scan());
    q.assert_clean();
}

#[test]
fn bytes_that_are_no_utf8_as_arguments() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let p = Place::new();
    p.run("put", [OsStr::from_bytes(b"\xff\xfe"), OsStr::new("v")]).ok();
    assert_eq!(p.run("scan", NO_ARGS).ok(), "\\xff\\xfe\tv\n");
}

#[test]
fn json_tells_text_from_bytes() {
    let p = Place::new();
    p.load("caf\u{e9}\t\"q\\\\\\x00\nraw\t\\xff\\xfe\n");
    assert_eq!(
        p.run("scan", ["--json"]).ok(),
        "{\"key\":\"caf\u{e9}\",\"value\":\"\\\"q\\\\\\u0000\"}\n\
         {\"key\":\"raw\",\"value\":{\"hex\":\"fffe\"}}\n"
    );
    assert_eq!(
        p.run("get", ["726177", "--json", "--hex"]).ok(),
        "{\"key\":{\"hex\":\"726177\"},\"value\":{\"hex\":\"fffe\"}}\n"
    );
}

#[test]
fn scan_between_bounds() {
    let p = Place::new();
    p.load("a\t1\nab\t2\nabc\t3\nb\t4\n\\xff\t5\n\\xff\\xff\t6\n");
    let keys = |args: &[&str]| -> String {
        let out = p.run("scan", args).ok();
        out.lines().map(|l| l.split('\t').next().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys(&[]), "a ab abc b \\xff \\xff\\xff");
    assert_eq!(keys(&["--reverse"]), "\\xff\\xff \\xff b abc ab a");
    assert_eq!(keys(&["--from", "ab"]), "ab abc b \\xff \\xff\\xff");
    assert_eq!(keys(&["--to", "ab"]), "a");
    assert_eq!(keys(&["--from", "ab", "--to", "b"]), "ab abc");
    assert_eq!(keys(&["--from", "ab", "--to", "b", "--reverse"]), "abc ab");
    assert_eq!(keys(&["--from", "b", "--to", "a"]), "");
    assert_eq!(keys(&["--prefix", "ab"]), "ab abc");
    assert_eq!(keys(&["--prefix", ""]), keys(&[]));
    assert_eq!(keys(&["--prefix", "\\xff"]), "\\xff \\xff\\xff");
    assert_eq!(keys(&["--prefix", "a", "--from", "ab", "--to", "abc"]), "ab");
    assert_eq!(keys(&["--prefix", "a", "--from", "b"]), "");
    assert_eq!(keys(&["--prefix", "b", "--to", "a"]), "");
    assert_eq!(keys(&["--prefix", "zz"]), "");
    assert_eq!(keys(&["--limit", "2"]), "a ab");
    assert_eq!(keys(&["--limit", "2", "--reverse"]), "\\xff\\xff \\xff");
    assert_eq!(keys(&["--limit", "0"]), "");
}

#[test]
fn info_says_what_the_file_is() {
    let p = Place::new();
    p.load("a\t1\n");
    let info = p.run("info", NO_ARGS).ok();
    for name in ["path", "uuid", "page size", "file bytes", "pages", "readers"] {
        assert!(info.lines().any(|l| l.starts_with(&format!("{name} "))), "{name}: {info}");
    }
    assert!(info.contains("4,096"), "{info}");
    let json = p.run("info", ["--json"]).ok();
    let size = std::fs::metadata(p.db()).unwrap().len();
    assert!(json.contains(&format!("\"file_bytes\":{size}")), "{json}");
    assert!(json.contains("\"page_size\":4096"), "{json}");
}

#[test]
fn check_of_a_sound_file() {
    let p = Place::new();
    p.load("a\t1\nb\t2\n");
    let text = p.run("check", NO_ARGS).ok();
    assert!(text.lines().any(|l| l.starts_with("faults") && l.ends_with(" 0")), "{text}");
    let json = p.run("check", ["--json"]).ok();
    assert!(json.contains("\"fault_count\":0") && json.contains("\"opens\":true"), "{json}");
    assert!(json.contains("\"meta_pages\":[\"transaction "), "{json}");
}

/// Neither the newest nor the older one is passed over, also while others have the database open.
#[test]
fn check_names_a_damaged_meta_page() {
    for slot in [0, 1] {
        let p = Place::new();
        p.load("a\t1\nb\t2\n");
        let mut bytes = std::fs::read(p.db()).unwrap();
        bytes[slot * 4096 + 300] ^= 1;
        std::fs::write(p.db(), bytes).unwrap();
        let _ = std::fs::remove_file(common::lock_of(&p.db()));
        let text = p.run("check", NO_ARGS).ok();
        let line = text.lines().find(|line| line.starts_with("meta pages")).unwrap_or_default();
        assert_eq!(line.matches("refused: ").count(), 1, "slot {slot}: {text}");
    }
}

#[test]
fn check_says_what_free_pages_are_for() {
    let p = Place::new();
    let pairs = |value: &str| (0..2_000).map(|i| format!("{i:06}\t{value}\n")).collect::<String>();
    p.load(&pairs("first"));
    p.load(&pairs("second"));
    let json = p.run("check", ["--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (free, usable) =
        (json["free_pages"].as_u64().unwrap(), json["usable_pages"].as_u64().unwrap());
    assert!(usable < free, "a recovery may need the pages of the first load: {json}");
    let text = p.run("check", NO_ARGS).ok();
    let line = text.lines().find(|l| l.starts_with("free pages")).unwrap();
    assert!(line.ends_with("once no reader and no recovery needs them)"), "{text}");
}

#[test]
fn check_says_what_the_meta_pages_are_where_the_file_does_not_open() {
    let p = Place::new();
    p.load("a\t1\n");
    p.load("b\t2\n");
    let mut bytes = std::fs::read(p.db()).unwrap();
    bytes[100] ^= 1;
    std::fs::write(p.db(), &bytes).unwrap();
    std::fs::remove_file(lock_of(&p.db())).unwrap();
    std::fs::create_dir(lock_of(&p.db())).unwrap();
    let run = p.run("check", NO_ARGS);
    assert_eq!(run.code, Some(0), "one of the two may be damaged: {run:?}");
    let text = String::from_utf8(run.stdout).unwrap();
    let line = text.lines().find(|l| l.starts_with("meta pages")).unwrap();
    assert!(line.contains("refused: its checksum does not match"), "{line}");
    assert!(line.contains("transaction "), "{line}");
}

#[test]
fn the_page_size_is_chosen_when_the_database_is_made() {
    let p = Place::new();
    assert_eq!(p.run("put", ["a", "1", "--page-size", "5000"]).code, Some(2));
    assert!(!p.db().exists());
    p.run("put", ["a", "1", "--page-size", "16384"]).ok();
    let json = p.run("info", ["--json"]).ok();
    assert!(json.contains("\"page_size\":16384"), "{json}");
    p.run("put", ["a", "2", "--page-size", "16384"]).ok();
    let said = p.run("put", ["a", "3", "--page-size", "4096"]).said(2);
    assert!(said.contains("pages of 16384 bytes, not 4096"), "{said}");
    assert_eq!(p.run("get", ["a"]).ok(), "2\n");
}

#[test]
fn without_a_lock_file_where_nobody_writes() {
    let p = Place::new();
    p.load("a\t1\nb\t2\n");
    std::fs::remove_file(lock_of(&p.db())).unwrap();
    assert_eq!(p.run("get", ["a", "--no-lock"]).ok(), "1\n");
    assert_eq!(p.run("scan", ["--no-lock", "--allow-network"]).ok(), "a\t1\nb\t2\n");
    assert!(p.run("check", ["--no-lock"]).ok().contains("faults"));
    assert!(!lock_of(&p.db()).exists(), "it was made all the same");
    assert_eq!(p.run("put", ["--no-lock", "a", "b"]).code, Some(2), "a writer needs it");
}

#[test]
fn a_missing_file_is_not_made_by_reading() {
    let p = Place::new();
    let input = p.file("in.tsv", "a\t1\n");
    let input = input.to_str().unwrap();
    for (verb, args) in [
        ("info", vec![]),
        ("tables", vec![]),
        ("get", vec!["k"]),
        ("del", vec!["k"]),
        ("scan", vec![]),
        ("dump", vec![]),
        ("check", vec![]),
        ("compare", vec![input]),
    ] {
        let said = p.run(verb, args).said(2);
        assert!(said.contains("test.recto: no such file"), "{verb}: {said}");
        assert!(!p.db().exists() && !lock_of(&p.db()).exists(), "{verb} made a file");
    }
}

#[test]
fn a_directory_is_no_database() {
    let p = Place::new();
    std::fs::create_dir(p.db()).unwrap();
    assert!(p.run("info", NO_ARGS).said(2).contains("not a regular file"));
    assert_eq!(p.run("put", ["a", "b"]).code, Some(2));
}

#[test]
fn other_files_are_refused() {
    let p = Place::new();
    for content in ["", "short", &"some text that is long enough to be a page\n".repeat(1000)] {
        p.file("test.recto", content);
        for (verb, args) in
            [("info", vec![]), ("scan", vec![]), ("put", vec!["a", "b"]), ("get", vec!["a"])]
        {
            if content.is_empty() && verb == "put" {
                // It makes a database of an empty file: below.
                continue;
            }
            let said = p.run(verb, args).said(2);
            assert!(said.contains("test.recto"), "{verb}: {said}");
        }
        assert!(matches!(p.run("check", NO_ARGS).code, Some(1 | 2)));
        assert_eq!(std::fs::read(p.db()).unwrap(), content.as_bytes(), "left alone");
    }
    p.file("test.recto", "");
    assert_eq!(p.run("put", ["a", "b"]).ok(), "");
    assert_eq!(p.run("get", ["a"]).ok(), "b\n");
    p.assert_clean();
}

#[test]
fn wrong_arguments() {
    let p = Place::new();
    p.load("a\t1\n");
    let before = p.scan();
    for (verb, args) in [
        ("get", vec![]),
        ("get", vec!["a", "b"]),
        ("get", vec!["a", "--raw", "--json"]),
        ("put", vec!["a"]),
        ("scan", vec!["--limit", "-1"]),
        ("scan", vec!["--nonsense"]),
        ("load", vec!["-", "--batch", "0"]),
        ("load", vec!["-", "--format", "csv"]),
        ("load", vec!["-", "--skip", "target"]),
        ("load", vec!["/tmp", "--no-escapes"]),
        ("dump", vec!["-a", "-t", "main"]),
        ("nonsense", vec![]),
        ("put", vec!["a", "bad \\q escape"]),
        ("get", vec!["--hex", "abc"]),
        ("scan", vec!["--prefix", "\\x0"]),
        ("put", vec!["a", "b", "-t", ""]),
    ] {
        let ran = p.run(verb, &args);
        assert_eq!(ran.code, Some(2), "{verb} {args:?}: {ran:?}");
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{verb} {args:?}: {ran:?}");
    }
    assert_eq!(finish(kvtool(), b"").code, Some(2));
    assert_eq!(p.scan(), before);
}

#[test]
fn help_tells_every_verb() {
    let mut command = kvtool();
    command.arg("--help");
    let help = finish(command, b"").ok();
    for verb in ["info", "tables", "get", "put", "del", "scan", "load", "compare", "dump", "check"]
    {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}: {help}");
    }
}

#[test]
fn keys_that_look_like_numbers_and_options() {
    let p = Place::new();
    p.run("put", ["-1", "-2.5"]).ok();
    p.run("put", ["--", "--json", "-x"]).ok();
    assert_eq!(p.scan(), "--json\t-x\n-1\t-2.5\n");
    assert_eq!(p.run("get", ["-1"]).ok(), "-2.5\n");
    assert_eq!(p.run("scan", ["--from", "-1"]).ok(), "-1\t-2.5\n");
}

#[test]
fn a_key_too_long_is_said() {
    let p = Place::new();
    p.load("a\t1\n");
    let key = "k".repeat(100_000);
    let said = p.run("put", [&key, "v"]).said(2);
    assert!(said.contains("100000 bytes"), "{said}");
    assert!(p.run("get", [&key]).code != Some(0));
    p.assert_clean();
}

/// `.recto` is a habit: the engine asks for no extension, and files named as before go on.
#[test]
fn any_name_will_do() {
    let p = Place::new();
    for name in ["old.rdb", "plain", "two.parts.db"] {
        let path = p.path(name);
        let run = |verb: &str, args: &[&str]| {
            let mut command = kvtool();
            command.arg(verb).arg(&path).args(args);
            finish(command, b"")
        };
        run("put", &["k", "v"]).ok();
        assert_eq!(run("get", &["k"]).ok(), "v\n");
        assert!(lock_of(&path).exists(), "{name}");
        assert_eq!(run("check", &[]).code, Some(0));
    }
}

/// Also those of arguments, which are known before it is known what the verb is.
#[test]
fn errors_of_arguments_are_json_where_json_is_asked_for() {
    let p = Place::new();
    p.run("put", ["k", "v"]).ok();
    for (verb, args) in [
        ("scan", &["--limit", "x", "--json"][..]),
        ("get", &["--json"]),
        ("no-such-verb", &["--json"]),
        ("put", &["--json", "k"]),
    ] {
        let ran = p.run(verb, args);
        assert_eq!((ran.code, ran.stdout.len()), (Some(2), 0), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        let said: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        assert!(said["error"].as_str().is_some_and(|what| !what.starts_with("error")), "{said}");
    }
    // Not asked for: as clap says it, and help is no error.
    assert!(p.run("scan", ["--limit", "x"]).stderr.starts_with("error: "));
    assert!(p.run("get", ["--", "--json"]).stderr.starts_with("kvtool: "));
    assert!(p.run("get", ["--json", "--help"]).ok().contains("Usage"));
}
