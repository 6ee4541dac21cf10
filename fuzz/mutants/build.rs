//! Makes the copy of the engine that this package compiles: `src` of the repository, changed as `bugs/*.txt` say.
//!
//! A file of bugs has entries of this form; lines that begin with `#`, and blank lines between entries, are passed over:
//!
//! ```text
//! bug NAME
//! RULES: what is wrong then.
//! @@ FILE
//!  a line of the file as it is
//! -a line that is replaced
//! +a line that replaces it, in which planted!(NAME) says whether this bug is the one
//! ```
//!
//! The lines with a blank or a minus must stand in the file in that order, together, exactly once, after the entries before it
//! have been applied. Otherwise this fails and says which entry does not apply any more.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

struct Bug {
    name: String,
    rules: String,
    what: String,
}

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("set by Cargo"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("set by Cargo"));
    let engine = root.join("../../src");
    println!("cargo::rerun-if-changed={}", engine.display());
    println!("cargo::rerun-if-changed=bugs");

    let mut files = BTreeMap::new();
    read_all(&engine, Path::new(""), &mut files);
    let mut bugs = Vec::new();
    let mut catalogue: Vec<_> = fs::read_dir(root.join("bugs"))
        .expect("is there")
        .map(|e| e.expect("readable").path())
        .collect();
    catalogue.sort();
    for path in catalogue {
        apply(&path, &mut bugs, &mut files);
    }
    for Bug { name, .. } in &bugs {
        let used = format!("planted!({name})");
        assert!(files.values().any(|text| text.contains(&used)), "{name} is planted nowhere");
    }

    let lib = files.get_mut("lib.rs").expect("the root of the crate");
    // Attributes of a crate cannot come from a file that is included.
    *lib = lib
        .lines()
        .filter(|l| !l.starts_with("//!") && !l.starts_with("#!["))
        .fold(String::new(), |text, line| text + line + "\n");
    for (name, text) in &files {
        let path = out.join("engine").join(name);
        fs::create_dir_all(path.parent().expect("below OUT_DIR")).expect("OUT_DIR is writable");
        fs::write(path, text).expect("OUT_DIR is writable");
    }
    fs::write(out.join("bugs.rs"), list(&bugs)).expect("OUT_DIR is writable");
}

fn read_all(root: &Path, below: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(root.join(below)).expect("the engine's source is there") {
        let entry = entry.expect("readable");
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            read_all(root, &name, files);
        } else if name.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(entry.path()).expect("readable");
            files.insert(name.to_str().expect("a plain name").replace('\\', "/"), text);
        }
    }
}

/// Applies one file of bugs to the engine's files, in its order.
fn apply(path: &Path, bugs: &mut Vec<Bug>, files: &mut BTreeMap<String, String>) {
    let text = fs::read_to_string(path).expect("readable");
    let mut lines = text.lines().enumerate().peekable();
    while let Some((n, line)) = lines.next() {
        let at = || format!("{}:{}", path.display(), n + 1);
        if let Some(name) = line.strip_prefix("bug ") {
            let (_, sentence) = lines.next().unwrap_or_else(|| panic!("{}: no sentence", at()));
            let (rules, what) =
                sentence.split_once(": ").unwrap_or_else(|| panic!("{}: no rule", at()));
            assert!(bugs.iter().all(|bug: &Bug| bug.name != name), "{}: {name} again", at());
            bugs.push(Bug { name: name.into(), rules: rules.into(), what: what.into() });
        } else if let Some(name) = line.strip_prefix("@@ ") {
            let (mut before, mut after) = (String::from("\n"), String::from("\n"));
            while let Some((_, line)) = lines.next_if(|(_, l)| l.starts_with([' ', '-', '+'])) {
                let rest = [&line[1..], "\n"].concat();
                if !line.starts_with('+') {
                    before += &rest;
                }
                if !line.starts_with('-') {
                    after += &rest;
                }
            }
            let file = files.get_mut(name).unwrap_or_else(|| panic!("{}: no file {name}", at()));
            let text = format!("\n{file}");
            let found = text.matches(&before).count();
            assert!(
                found == 1 && before.len() > 1,
                "{}: these lines stand {found} times in src/{name}, not once:{before}",
                at()
            );
            *file = text.replacen(&before, &after, 1).split_off(1);
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{}: what is this?", at());
        }
    }
}

/// The list of bugs, as the macro of src/bugs.rs takes it.
fn list(bugs: &[Bug]) -> String {
    let mut text = String::from("bugs! {\n");
    for Bug { name, rules, what } in bugs {
        writeln!(text, "    {name}, {rules:?}, {what:?};").expect("memory suffices");
    }
    text + "}\n"
}
