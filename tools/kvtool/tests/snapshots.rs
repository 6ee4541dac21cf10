//! What kvtool prints of a sound, a damaged and a live database, whole: whoever changes a line sees
//! here what users will see.
//!
//! What differs from run to run (paths, uuids, process numbers, times) stands as a word in angle
//! brackets.

mod common;
use common::*;
use recto::{Database, Durability};
use serde_json::Value;

/// Four tables' worth of pages, made the same way each time.
fn filled() -> Place {
    let p = Place::new();
    let lines: String = (1000..1200).map(|i| format!("key{i}\t{i:0100}\n")).collect();
    p.load(&lines);
    p.run("put", ["long", &"x".repeat(10_000), "-t", "other"]).ok();
    p
}

/// A flipped bit in the leaf that holds `key1100`. Two commits later, so that no meta page has it
/// in its manifest.
fn damaged() -> Place {
    let p = filled();
    p.run("put", ["more", "1", "-t", "other"]).ok();
    let mut bytes = std::fs::read(p.db()).unwrap();
    let value = format!("{:0100}", 1100);
    let at = bytes.windows(100).position(|w| w == value.as_bytes()).expect("the value is there");
    bytes[at] ^= 1;
    std::fs::write(p.db(), bytes).unwrap();
    p
}

/// Output with what changes from run to run taken out.
fn settled(p: &Place, text: &str) -> String {
    let dir = p.dir.path().to_str().unwrap();
    let mut out = String::new();
    for line in text.replace(dir, "<dir>").lines() {
        let (name, _) = line.split_once("  ").unwrap_or((line, ""));
        match name {
            "uuid" => out.push_str("uuid           <uuid>"),
            _ => out.push_str(&without_process(line)),
        }
        out.push('\n');
    }
    out
}

/// A reader's process is this test, and the time it takes is its own.
fn without_process(line: &str) -> String {
    let Some(rest) = line.strip_prefix(&format!("  process {} (", std::process::id())) else {
        return line.to_string();
    };
    let (_command, what) = rest.split_once("): ").expect("command");
    let what = match what.split_once("out of date for ") {
        Some((before, after)) => {
            let rest =
                after.split_once(", ").map_or(String::new(), |(_, rest)| format!(", {rest}"));
            format!("{before}out of date for <time>{rest}")
        }
        None => what.to_string(),
    };
    format!("  process <pid> (<command>): {what}")
}

/// A session as it would stand on a terminal, with the shapes of what is printed as JSON.
struct Session<'p> {
    place: &'p Place,
    text: String,
}

impl Session<'_> {
    fn run(&mut self, line: &str) {
        let mut words = line.split(' ');
        let verb = words.next().unwrap();
        let args: Vec<_> = words.collect();
        let ran = self.place.run(verb, &args);
        let (out, err) = (String::from_utf8(ran.stdout).unwrap(), ran.stderr);
        let json = args.contains(&"--json");
        let show = |text: &str| if json { shapes(text) } else { settled(self.place, text) };
        let (out, err) = (show(&out), show(&err));
        let rest = args.iter().map(|arg| format!(" {arg}")).collect::<String>();
        let line = settled(self.place, &format!("$ kvtool {verb} <db>{rest}"));
        self.text.push_str(&format!("{line}{out}{err}[{}]\n\n", ran.code.unwrap()));
    }

    /// Compares with what is kept; `KVTOOL_SNAPSHOTS=write` keeps what is printed now.
    fn compare(self, name: &str) {
        let path = format!("{}/tests/snapshots/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("KVTOOL_SNAPSHOTS").is_some_and(|it| it == "write") {
            std::fs::write(&path, &self.text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        for (n, (was, is)) in kept.lines().zip(self.text.lines()).enumerate() {
            assert_eq!(is, was, "{name}.txt, line {}; all of it:\n{}", n + 1, self.text);
        }
        assert_eq!(kept, self.text, "{name}.txt");
    }
}

/// Each line of JSON as its keys and types; lines of one shape once.
fn shapes(text: &str) -> String {
    let mut seen = Vec::new();
    for line in text.lines() {
        let shape = shape(&serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")));
        if !seen.contains(&shape) {
            seen.push(shape);
        }
    }
    seen.iter().map(|shape| format!("{shape}\n")).collect()
}

fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(n) if n.is_u64() => "count".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(items) => {
            let mut each: Vec<_> = items.iter().map(shape).collect();
            each.sort();
            each.dedup();
            format!("[{}]", each.join(" | "))
        }
        Value::Object(fields) => {
            let each: Vec<_> = fields.iter().map(|(k, v)| format!("{k}: {}", shape(v))).collect();
            format!("{{{}}}", each.join(", "))
        }
    }
}

#[test]
fn a_sound_database() {
    let p = filled();
    let mut session = Session { place: &p, text: String::new() };
    let verbs =
        ["info", "tables", "stat", "count", "check", "scan --limit 2", "get key1100 --json"];
    verbs.iter().for_each(|verb| session.run(verb));
    for verb in ["info", "tables", "stat", "count", "check", "scan"] {
        session.run(&format!("{verb} --json"));
    }
    session.run("get none");
    session.run("get none --json");
    session.compare("sound");
    p.assert_clean();
}

#[test]
fn tables_of_sets() {
    let p = Place::new();
    let mut session = Session { place: &p, text: String::new() };
    session.run("create -t tags --set");
    session.run("create -t ids --set --value-size 8 --json");
    let lines: String = (1000..1600).map(|i| format!("key{}\t{i:08}\n", i % 7 / 5)).collect();
    for table in ["tags", "ids"] {
        p.feed("load", &["-", "-t", table], lines.as_bytes()).ok();
    }
    for line in [
        "put rust /b -t tags",
        "put rust /a -t tags --json",
        "put rust 123 -t ids",
        "get rust -t tags",
        "get rust -t tags --json",
        "get rust -t tags --raw",
        "scan -t tags --prefix rust",
        "scan -t tags --reverse --limit 3",
        "del rust --value /z -t tags",
        "del rust --value /a -t tags",
        "count -t tags",
        "count -t tags --keys",
        "count -t tags --json",
        "tables",
        "tables --json",
        "stat",
        "stat --json",
        "check",
        "put one value",
    ] {
        session.run(line);
    }
    let dump = "VERSION=3\nformat=print\ndupsort=1\nHEADER=END\n k\n 1\nDATA=END\n";
    let (dump, tsv) = (p.file("in.dump", dump), p.file("in.tsv", "rust\t/b\nrust\t/c\n"));
    session.run(&format!("load {} -t main", dump.display()));
    session.run(&format!("compare {} -t tags --limit 3 --json", tsv.display()));
    session.run("clear ids --json");
    session.run("drop tags --json");
    session.compare("sets");
    p.assert_clean();
}

#[test]
fn a_damaged_database() {
    let p = damaged();
    let new = |name| p.path(name).to_str().unwrap().to_string();
    let mut session = Session { place: &p, text: String::new() };
    for verb in ["info", "stat", "check", "scan --from key1070 --to key1072"] {
        session.run(verb);
    }
    session.run("scan --from key1100 --to key1101");
    session.run("scan --from key1100 --to key1101 --json");
    session.run("check --json");
    session.run(&format!("dump -o {}", new("dump.txt")));
    session.run(&format!("salvage -o {}", new("new.recto")));
    session.run(&format!("salvage --json -o {}", new("again.recto")));
    session.compare("damaged");
}

/// An old reader in one handle and a new one in another, commits in between, and the last ones
/// deferred.
#[test]
fn a_live_database() {
    let p = filled();
    // SAFETY: nothing but recto changes the file.
    let [old, new] = [(); 2].map(|()| unsafe { Database::open(p.db()) }.unwrap());
    let first = old.read().unwrap();
    for round in 0..5 {
        let mut txn = new.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        for i in 1000..1200 {
            table.put(format!("key{i}").as_bytes(), format!("{round:0100}").as_bytes()).unwrap();
        }
        if round >= 3 {
            txn.set_durability(Durability::Deferred);
        }
        txn.commit().unwrap();
    }
    let second = new.read().unwrap();
    let mut session = Session { place: &p, text: String::new() };
    ["info", "info --json", "check"].iter().for_each(|verb| session.run(verb));
    session.compare("live");
    drop((first, second, old, new));
    p.assert_clean();
}
