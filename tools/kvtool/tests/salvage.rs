//! `kvtool salvage`: what comes out of a damaged file, and that nothing is left behind when nothing
//! can.

mod common;
use common::*;
use serde_json::Value;
use std::collections::BTreeSet;

const PAGE: usize = 4096;

/// A database of some levels, with large values, two tables with pairs and one without.
fn sound() -> Place {
    let p = Place::new();
    let lines: String = (0..400).map(|i| format!("key{i:03}\t{}\n", "v".repeat(150 + i))).collect();
    p.load(&lines);
    p.file("in/large", [5; 9000]);
    p.file("in/small", [6; 10]);
    p.run("load", [p.path("in").to_str().unwrap(), "-t", "files"]).ok();
    p.run("put", ["gone", "soon", "-t", "empty"]).ok();
    p.run("del", ["gone", "-t", "empty"]).ok();
    p
}

fn salvage(p: &Place, more: &[&str]) -> Ran {
    let new = p.path("new.recto");
    p.run("salvage", [&["-o", new.to_str().unwrap()], more].concat())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

/// `kvtool VERB NEW ARGS...`
fn of_new(p: &Place, verb: &str, args: &[&str]) -> Ran {
    let mut command = kvtool();
    command.arg(verb).arg(p.path("new.recto")).args(args);
    finish(command, b"")
}

fn change(p: &Place, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = std::fs::read(p.db()).unwrap();
    change(&mut bytes);
    std::fs::write(p.db(), &bytes).unwrap();
    bytes
}

/// The pages of the file that are leaves with many keys.
fn leaves(bytes: &[u8]) -> Vec<usize> {
    let pages = bytes.chunks_exact(PAGE).enumerate().skip(2);
    pages.filter(|(_, page)| page[4] == 2 && page[6] > 5).map(|(id, _)| id).collect()
}

#[test]
fn a_sound_database_comes_out_whole() {
    let p = sound();
    let before = std::fs::read(p.db()).unwrap();
    let dump = p.run("dump", ["-a"]).ok();
    let said = salvage(&p, &[]).ok();
    assert!(said.contains("tables       3 (3 whole)") && said.contains("losses       0"), "{said}");
    assert_eq!(of_new(&p, "dump", &["-a"]).ok(), dump);
    assert_eq!(of_new(&p, "check", &[]).code, Some(0));
    assert_eq!(std::fs::read(p.db()).unwrap(), before, "the file was written to");
}

#[test]
fn what_is_lost_is_said_and_the_rest_comes_out() {
    let p = sound();
    let all = p.scan();
    // The lock file of the last session would say that all is well.
    let bytes = change(&p, |bytes| {
        for id in leaves(bytes).into_iter().rev().take(2) {
            bytes[id * PAGE + 1000] ^= 1;
        }
    });
    let ran = salvage(&p, &["--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report = json(&ran);
    assert_eq!(report["whole"], false);
    let out = of_new(&p, "scan", &[]).ok();
    assert!(out.lines().count() < 400 && out.lines().count() > 370, "{}", out.lines().count());
    assert!(out.lines().all(|line| all.contains(line)));
    let losses = report["losses"].as_array().unwrap();
    assert!(!losses.is_empty() && losses.iter().all(|loss| loss["why"].is_string()), "{report}");
    assert_eq!(of_new(&p, "check", &[]).code, Some(0));
    assert_eq!(std::fs::read(p.db()).unwrap(), bytes);
    // The same for people.
    std::fs::remove_file(p.path("new.recto")).unwrap();
    std::fs::remove_file(lock_of(&p.path("new.recto"))).unwrap();
    let text = salvage(&p, &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("of level 0, keys from key") && text.contains("checksum"), "{text}");
}

#[test]
fn without_metas_everything_comes_out() {
    let p = sound();
    let dump = p.run("dump", ["-a"]).ok();
    change(&p, |bytes| bytes[..2 * PAGE].fill(0));
    let ran = salvage(&p, &["--json"]);
    // Not certain to be the newest state, so not "nothing is missing".
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report = json(&ran);
    assert!(report["followed"].as_str().unwrap().contains("by its catalog"), "{report}");
    for table in ["main", "files"] {
        let part = |dump: &str| {
            let at = dump.find(&format!("database={table}\n")).unwrap();
            let from = dump[at..].find("HEADER=END").unwrap() + at;
            dump[from..].split("DATA=END").next().unwrap().to_owned()
        };
        assert_eq!(part(&of_new(&p, "dump", &["-a"]).ok()), part(&dump));
    }
}

/// The newest commit has changed nothing but the catalog, and its meta page is damaged.
#[test]
fn a_lost_commit_without_pairs_is_said() {
    let changes: [(&str, &[&str]); 5] = [
        ("drop", &["files"]),
        ("rename", &["files", "other"]),
        ("create", &["-t", "new"]),
        ("clear", &["files"]),
        ("del", &["large", "-t", "files"]),
    ];
    for (verb, args) in changes {
        let p = sound();
        p.run("del", ["small", "-t", "files"]).ok();
        p.run(verb, args).ok();
        let good = std::fs::read(p.db()).unwrap();
        salvage(&p, &[]).ok();
        for zero in [false, true] {
            let word = |at: usize| u64::from_le_bytes(good[at..at + 8].try_into().unwrap());
            let newest = if word(PAGE + 32) > word(32) { PAGE } else { 0 };
            let mut bytes = good.clone();
            match zero {
                true => bytes[newest..newest + PAGE].fill(0),
                false => bytes[newest + 700] ^= 1,
            }
            std::fs::write(p.db(), &bytes).unwrap();
            std::fs::remove_file(p.path("new.recto")).unwrap();
            let ran = salvage(&p, &[]);
            assert_eq!(ran.code, Some(1), "{verb}, {zero}: {ran:?}");
            let said = String::from_utf8(ran.stdout).unwrap();
            let slot = format!("meta page {} is refused", newest / PAGE);
            assert!(said.contains(&slot), "{verb}, {zero}: {said}");
        }
    }
}

#[test]
fn branches_that_are_gone_lose_nothing() {
    let p = sound();
    let all = p.scan();
    change(&p, |bytes| {
        for page in bytes.chunks_exact_mut(PAGE).skip(2).filter(|page| page[4] == 1) {
            page.fill(0xee);
        }
    });
    let ran = salvage(&p, &["--json"]);
    assert_eq!(ran.code, Some(1));
    let report = json(&ran);
    assert!(report["found_again"].as_u64().unwrap() > 10, "{report}");
    assert_eq!(of_new(&p, "scan", &[]).ok(), all);
}

#[test]
fn nothing_is_left_behind_when_nothing_can_be_done() {
    let p = Place::new();
    for content in [&b""[..], b"short", &[0; 40_000], &[0xab; 50_000]] {
        p.file("test.recto", content);
        assert!(salvage(&p, &[]).said(2).contains("not a recto database"));
        assert!(!p.path("new.recto").exists() && !lock_of(&p.path("new.recto")).exists());
    }
    let p = sound();
    p.file("new.recto", b"somebody's");
    assert!(salvage(&p, &[]).said(2).contains("exists already"));
    assert_eq!(std::fs::read(p.path("new.recto")).unwrap(), b"somebody's");
}

#[test]
fn a_full_disk_leaves_no_half_database() {
    let p = sound();
    // No file longer than a few pages can be written.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" salvage \"$1\" -o \"$2\"";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_kvtool")]).arg(p.db()).arg(p.path("new.recto"));
    let said = finish(shell, b"").said(2);
    assert!(said.contains("new.recto") && said.contains("no room"), "{said}");
    assert!(!p.path("new.recto").exists() && !lock_of(&p.path("new.recto")).exists());
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let p = sound();
    // Long enough to be met in the middle: without metas every page is read, and most of them are a
    // hole.
    change(&p, |bytes| bytes[..2 * PAGE].fill(0));
    let file = std::fs::OpenOptions::new().write(true).open(p.db()).unwrap();
    file.set_len(64 << 30).unwrap();
    let mut command = p.command("salvage", ["-o", p.path("new.recto").to_str().unwrap()]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // Not before it can hear it.
    let hears = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0
    };
    while !hears() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(wait(&mut child, &command), Some(2));
    assert!(!p.path("new.recto").exists() && !lock_of(&p.path("new.recto")).exists());
}

/// `dump` and `scan` of a file with a damaged leaf: what can be proved comes out, the rest is
/// named, and the exit status says so.
#[test]
fn reading_verbs_verify_what_they_print() {
    let p = sound();
    let whole = p.scan();
    let (reverse, part) =
        (p.run("scan", ["--reverse"]).ok(), ["--from", "key100", "--to", "key300"]);
    assert_eq!(p.run("scan", ["--no-verify"]).ok(), whole);
    assert_eq!(p.run("scan", ["--reverse", "--no-verify"]).ok(), reverse);
    assert_eq!(
        p.run("scan", part).ok(),
        p.run("scan", [&part[..], &["--no-verify"]].concat()).ok()
    );
    assert_eq!(p.run("dump", ["-a"]).ok().len(), p.run("dump", ["-a", "--no-verify"]).ok().len());
    let leaf = leaves(&std::fs::read(p.db()).unwrap())[2];
    // Somewhere in a value, where nothing but the checksum notices.
    change(&p, |bytes| bytes[leaf * PAGE + PAGE - 20] ^= 1);
    for (args, whole) in [(&[][..], &whole), (&["--reverse"][..], &reverse)] {
        let ran = p.run("scan", args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(&format!("table \"main\": page {leaf} of level 0, keys from")));
        assert!(ran.stderr.contains("1 damaged places are left out"), "{ran:?}");
        let out = String::from_utf8(ran.stdout).unwrap();
        let printed: Vec<&str> = out.lines().collect();
        let expected: Vec<&str> = whole.lines().filter(|l| printed.contains(l)).collect();
        assert_eq!(printed, expected, "in order, and nothing that was not there");
        assert!((350..400).contains(&printed.len()), "{}", printed.len());
    }
    // Not in the part asked for: nothing is missing.
    p.run("scan", ["--limit", "1"]).ok();
    assert_eq!(p.run("scan", ["--no-verify"]).code, Some(0), "the checksum is not looked at");
    let dump = p.run("dump", ["-a", "--json"]);
    assert_eq!(dump.code, Some(2), "dump has no --json");
    let dump = p.run("dump", ["-a"]);
    assert_eq!(dump.code, Some(1));
    let text = String::from_utf8(dump.stdout).unwrap();
    assert_eq!(text.matches("DATA=END").count(), 3, "every table is there");
    let q = Place::new();
    q.feed("load", &["-"], text.as_bytes()).ok();
    assert!((350..400).contains(&q.scan().lines().count()));
    q.assert_clean();
    assert!(p.run("dump", ["-t", "none"]).said(2).contains("no table"));
}

/// Two tables of sets of two levels: keys with one value, with some, and one with a tree of values.
fn sound_sets() -> Place {
    let p = Place::new();
    p.run("create", ["-t", "any", "--set"]).ok();
    p.run("create", ["-t", "fixed", "--set", "--value-size", "8"]).ok();
    let (mut any, mut fixed) = (String::new(), String::new());
    for i in 0..900 {
        let key = if i % 3 == 0 { "many".into() } else { format!("key{:03}", i % 250) };
        any += &format!("{key}\tvalue/{i:05}/{}\n", "x".repeat(i % 30));
        fixed += &format!("{key}\t{i:08}\n");
    }
    // A tree of values where any length takes more than half a page, and where one length does.
    (0..1_200).for_each(|i| fixed += &format!("many\t{i:08}\n"));
    p.feed("load", &["-", "-t", "any"], any.as_bytes()).ok();
    p.feed("load", &["-", "-t", "fixed"], fixed.as_bytes()).ok();
    // No meta page has them in its manifest.
    p.run("put", ["more", "1"]).ok();
    p.run("put", ["more", "2"]).ok();
    p
}

fn pairs_of(scan: Ran) -> BTreeSet<String> {
    String::from_utf8(scan.stdout).unwrap().lines().map(String::from).collect()
}

#[test]
fn sets_come_out_whole() {
    let p = sound_sets();
    let dump = p.run("dump", ["-a"]).ok();
    for metas in [true, false] {
        if !metas {
            change(&p, |bytes| bytes[..2 * PAGE].fill(0));
            let _ = std::fs::remove_file(lock_of(&p.db()));
        }
        let ran = salvage(&p, &["--json"]);
        assert_eq!(ran.code, Some(i32::from(!metas)), "{ran:?}");
        let report = json(&ran);
        let any = &report["tables"][0];
        assert_eq!((&any["name"], &any["pairs"]), (&"any".into(), &900.into()), "{report}");
        assert_eq!(any["had"], any["pairs"]);
        let sized = |dump: &str| -> Vec<String> {
            dump.lines().filter(|l| !l.starts_with("mapsize=")).map(String::from).collect()
        };
        assert!(sized(&of_new(&p, "dump", &["-a"]).ok()) == sized(&dump), "value_size too");
        assert_eq!(of_new(&p, "check", &[]).code, Some(0));
        std::fs::remove_file(p.path("new.recto")).unwrap();
        std::fs::remove_file(lock_of(&p.path("new.recto"))).unwrap();
    }
}

/// Each page in turn, one flipped bit: what comes out under a table's name was in it, no more is
/// missing than one page can hold or lead to, and what is put aside are pairs, or values whose key
/// is lost.
#[test]
fn sets_of_a_file_with_a_damaged_page() {
    let p = sound_sets();
    let good = std::fs::read(p.db()).unwrap();
    let tables = ["any", "fixed", "main"];
    let mut whole = tables.map(|table| pairs_of(p.run("scan", ["-t", table])));
    // Without the last commit this is the newest state.
    whole[2].insert("more\t1".into());
    let values: BTreeSet<&str> =
        whole.iter().flatten().map(|pair| pair.split_once('\t').unwrap().1).collect();
    let (mut lost_values, mut lost_keys, mut aside_sets, mut aside_values) = (0, 0, 0, 0);
    let used = good.iter().rposition(|&b| b != 0).unwrap() / PAGE + 1;
    for page in (2..used).filter(|page| matches!(good[page * PAGE + 4], 1 | 2)) {
        let q = Place::new();
        let mut bytes = good.clone();
        bytes[page * PAGE + 2000] ^= 1;
        q.file("test.recto", &bytes);
        // What reads with proof leaves it out too.
        let scanned = tables.map(|table| pairs_of(q.run("scan", ["-t", table])));
        let text = salvage(&q, &[]);
        assert!(matches!(text.code, Some(0 | 1)), "page {page}: {text:?}");
        let text = String::from_utf8(text.stdout).unwrap().replace(',', "");
        assert!(!text.contains("somebody else's"), "page {page}: {text}");
        lost_values += text.matches(" values of many: ").count();
        lost_keys += text.matches(" of level 0 keys from ").count();
        for ((table, whole), scanned) in tables.iter().zip(&whole).zip(&scanned) {
            let found = pairs_of(of_new(&q, "scan", &["-t", table]));
            assert!(found.is_subset(whole), "page {page}, {table}");
            assert!(scanned == &found, "page {page}, {table}");
        }
        for line in of_new(&q, "tables", &["--json"]).ok().lines() {
            let table: Value = serde_json::from_str(line).unwrap();
            let name = table["name"].as_str().unwrap();
            if !name.starts_with("lost+found/") {
                continue;
            }
            let pairs = pairs_of(of_new(&q, "scan", &["-t", name]));
            assert!(
                text.contains(&format!("\n{name}: {} pairs written ", pairs.len())),
                "{name}: {text}"
            );
            assert_eq!(table["sets"], name.ends_with("-sets"), "{line}");
            aside_sets += u64::from(name.ends_with("-sets"));
            for pair in pairs {
                let (key, value) = pair.split_once('\t').unwrap();
                let is_value = value.is_empty() && values.contains(key);
                aside_values += u64::from(is_value);
                assert!(
                    is_value || whole.iter().any(|whole| whole.contains(&pair)),
                    "{name}: {pair}"
                );
            }
        }
        assert_eq!(of_new(&q, "check", &[]).code, Some(0), "page {page}");
    }
    assert!(lost_values > 0 && lost_keys > 0, "{lost_values}, {lost_keys}");
    assert!(aside_sets > 0 && aside_values > 0, "{aside_sets}, {aside_values}");
}
