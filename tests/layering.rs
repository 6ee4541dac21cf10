//! The house keeps its order: imports point only downwards, `unsafe` stays in its rooms with a
//! reason for each use, and the bytes of the file are told once.
//!
//! Source is read as tokens, with comments and literals taken out, so that a word in a comment is
//! no import. Names that `lib.rs` re-exports count as the room they come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rooms from the ground up. A room may import from itself and from rooms before it; rooms in one
/// row stand side by side and may import each other.
const ROOMS: [&[&str]; 14] = [
    &["error", "types"],
    &["format"],
    &["os"],
    &["sort"],
    &["storage"],
    &["shared"],
    &["observe"],
    &["space"],
    &["tree"],
    &["pager"],
    &["commit"],
    &["txn"],
    &["api"],
    &["typed"],
];
/// The inspector stands beside the house: it may look at these and only the top may look at it.
const INSPECT_MAY: [&str; 5] = ["error", "types", "format", "storage", "inspect"];
/// Rooms in which `unsafe` may stand.
const UNSAFE_ROOMS: [&str; 3] = ["os", "storage", "shared"];
/// Lines of code between a `SAFETY:` comment and its `unsafe`, at most.
const NEAR: usize = 6;

#[derive(Clone, Debug, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// A source file without comments and literals.
struct Source {
    tokens: Vec<Token>,
    /// For each line, counted from 1: has code; has a comment that says `SAFETY:`.
    lines: BTreeMap<usize, (bool, bool)>,
}

impl Source {
    fn read(text: &str) -> Source {
        let mut s = Source { tokens: Vec::new(), lines: BTreeMap::new() };
        let c: Vec<char> = text.chars().collect();
        let (mut i, mut line) = (0, 1);
        while i < c.len() {
            let start = i;
            let rest = &c[i..];
            if rest.starts_with(&['/', '/']) {
                i += rest.iter().position(|&x| x == '\n').unwrap_or(rest.len());
                s.comment(&c[start..i], line);
            } else if rest.starts_with(&['/', '*']) {
                i += block_comment(rest);
                s.comment(&c[start..i], line);
            } else if let Some(len) = literal(rest) {
                i += len;
                s.lines.entry(line).or_default().0 = true;
            } else if c[i].is_alphanumeric() || c[i] == '_' {
                i += rest
                    .iter()
                    .position(|x| !x.is_alphanumeric() && *x != '_')
                    .unwrap_or(rest.len());
                s.token(c[start..i].iter().collect(), line);
            } else if rest.starts_with(&[':', ':']) {
                i += 2;
                s.token("::".into(), line);
            } else {
                i += 1;
                if !c[start].is_whitespace() {
                    s.token(c[start].to_string(), line);
                }
            }
            line += c[start..i].iter().filter(|&&x| x == '\n').count();
        }
        s
    }

    fn token(&mut self, text: String, line: usize) {
        self.lines.entry(line).or_default().0 = true;
        self.tokens.push(Token { text, line });
    }

    fn comment(&mut self, text: &[char], line: usize) {
        let text: String = text.iter().collect();
        for (n, part) in text.split('\n').enumerate() {
            self.lines.entry(line + n).or_default().1 |= part.contains("SAFETY:");
        }
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |t| t.text.as_str())
    }
}

/// Length of a block comment; they nest.
fn block_comment(c: &[char]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < c.len() {
        if c[i..].starts_with(&['/', '*']) {
            (depth, i) = (depth + 1, i + 2);
        } else if c[i..].starts_with(&['*', '/']) {
            (depth, i) = (depth - 1, i + 2);
            if depth == 0 {
                break;
            }
        } else {
            i += 1;
        }
    }
    i
}

/// Length of the string, character, or raw string that starts here, if one does. A lifetime is
/// none.
fn literal(c: &[char]) -> Option<usize> {
    let prefix = c.iter().take_while(|x| matches!(x, 'b' | 'c' | 'r')).count().min(2);
    let hashes = c[prefix..].iter().take_while(|&&x| x == '#').count();
    let raw = c[..prefix].contains(&'r');
    match c.get(prefix + hashes) {
        Some('"') if raw => {
            let end: Vec<char> =
                std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let from = prefix + hashes + 1;
            let at = c[from..].windows(end.len()).position(|w| w == end);
            Some(at.map_or(c.len(), |at| from + at + end.len()))
        }
        Some('"') if hashes == 0 => Some(quoted(c, prefix, '"')),
        Some('\'') if hashes == 0 && !raw => {
            let escaped = c.get(prefix + 1) == Some(&'\\');
            (escaped || c.get(prefix + 2) == Some(&'\'')).then(|| quoted(c, prefix, '\''))
        }
        _ => None,
    }
}

fn quoted(c: &[char], open: usize, quote: char) -> usize {
    let mut i = open + 1;
    while i < c.len() && c[i] != quote {
        i += if c[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(c.len())
}

/// Path of modules of a file below `src`: `tree/node.rs` is `tree::node`, `tree/mod.rs` is `tree`.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> = file
        .with_extension("")
        .components()
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

/// The room that a name below the crate's root belongs to.
fn room_of(name: &str, exports: &BTreeMap<String, String>) -> String {
    let known = ROOMS.iter().flat_map(|r| r.iter()).any(|r| *r == name) || name == "inspect";
    match exports.get(name) {
        _ if known => name.into(),
        Some(from) => from.clone(),
        None => "api".into(),
    }
}

/// What the face re-exports: name to room.
fn exports(lib: &str) -> BTreeMap<String, String> {
    let s = Source::read(lib);
    let mut found = BTreeMap::new();
    for at in 0..s.tokens.len() {
        // `pub use room::path::{A, B}` or `pub use room::A`; the last name of each branch is the
        // exported one.
        if s.text(at) != "use" || s.text(at + 2) != "::" {
            continue;
        }
        let room = room_of(s.text(at + 1), &BTreeMap::new());
        let mut i = at + 3;
        while !matches!(s.text(i), ";" | "") {
            if matches!(s.text(i + 1), "," | "}" | ";") && s.text(i) != "}" {
                found.insert(s.text(i).to_string(), room.clone());
            }
            i += 1;
        }
    }
    found
}

/// First names below the crate's root that a file refers to, with the line.
fn references(source: &Source, module: &[String]) -> Vec<(String, usize)> {
    let s = source;
    let mut found = Vec::new();
    // Inline modules around the current token: depth of braces at which each began.
    let (mut inline, mut depth, mut i) = (Vec::<(String, usize)>::new(), 0, 0);
    while i < s.tokens.len() {
        let (text, line) = (s.text(i), s.tokens[i].line);
        match text {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                while inline.last().is_some_and(|m| m.1 > depth) {
                    inline.pop();
                }
            }
            "mod" if s.text(i + 2) == "{" => inline.push((s.text(i + 1).into(), depth + 1)),
            "crate" | "super" if i == 0 || s.text(i - 1) != "::" || s.text(i - 2) == "self" => {
                let mut base: Vec<String> = module.to_vec();
                base.extend(inline.iter().map(|m| m.0.clone()));
                if text == "crate" {
                    base.clear();
                } else {
                    base.pop();
                }
                let mut at = i + 1;
                while s.text(at) == "::" && s.text(at + 1) == "super" {
                    base.pop();
                    at += 2;
                }
                if s.text(at) == "::" {
                    match base.first() {
                        Some(first) => found.push((first.clone(), line)),
                        None => names(s, at + 1, &mut found),
                    }
                    i = at;
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The names that can follow a path to the root: one, or those of a group.
fn names(s: &Source, at: usize, found: &mut Vec<(String, usize)>) {
    let line = s.tokens.get(at).map_or(0, |t| t.line);
    if s.text(at) != "{" {
        found.push((s.text(at).into(), line));
        return;
    }
    let (mut depth, mut i, mut first) = (0, at, true);
    while i < s.tokens.len() {
        match s.text(i) {
            "{" => (depth, first) = (depth + 1, depth == 0),
            "}" if depth == 1 => return,
            "}" => depth -= 1,
            "," if depth == 1 => first = true,
            name if depth == 1 && first => {
                found.push((name.into(), s.tokens[i].line));
                first = false;
            }
            _ => {}
        }
        i += 1;
    }
}

/// Full paths of what the `use` declarations of a file name, but for those of its inline tests.
fn used(source: &Source, module: &[String]) -> Vec<Vec<String>> {
    let s = source;
    let (mut found, mut at) = (Vec::new(), 0);
    while at < s.tokens.len() {
        match s.text(at) {
            "mod" if s.text(at + 2) == "{" && s.text(at + 1).contains("tests") => {
                let mut depth = 0;
                at += 2;
                loop {
                    depth += i32::from(s.text(at) == "{") - i32::from(s.text(at) == "}");
                    if depth == 0 || s.text(at).is_empty() {
                        break;
                    }
                    at += 1;
                }
            }
            "use" => {
                at += 1;
                branch(s, &mut at, &mut Vec::new(), &mut found);
            }
            _ => {}
        }
        at += 1;
    }
    let full = |path: Vec<String>| {
        let mut base = module.to_vec();
        let supers = path.iter().take_while(|name| *name == "super").count();
        match path[0].as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => base.truncate(base.len().saturating_sub(supers)),
            _ => return None,
        }
        base.extend(path.into_iter().skip(supers.max(1)));
        Some(base)
    };
    found.into_iter().filter_map(full).collect()
}

/// One branch of a tree of imports.
fn branch(s: &Source, at: &mut usize, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let depth = path.len();
    loop {
        match s.text(*at) {
            "{" => {
                while !matches!(s.text(*at), "}" | "") {
                    *at += 1;
                    branch(s, at, path, found);
                }
                *at += 1;
                break;
            }
            "::" => *at += 1,
            "," | "}" | ";" | "" | "as" => {
                if path.len() > depth {
                    found.push(path.clone());
                }
                while !matches!(s.text(*at), "," | "}" | ";" | "") {
                    *at += 1;
                }
                break;
            }
            name => {
                path.push(name.into());
                *at += 1;
            }
        }
    }
    path.truncate(depth);
}

/// A circle of files each of which imports from the next, if there is one.
fn circle(sources: &BTreeMap<PathBuf, String>) -> Option<Vec<PathBuf>> {
    let module_of = |file: &PathBuf| module_path(file);
    let files: BTreeMap<Vec<String>, &PathBuf> =
        sources.keys().map(|file| (module_of(file), file)).collect();
    let imports = |file: &PathBuf| -> Vec<&PathBuf> {
        let paths = used(&Source::read(&sources[file]), &module_of(file));
        let target =
            |path: Vec<String>| (1..=path.len()).rev().find_map(|n| files.get(&path[..n]).copied());
        paths.into_iter().filter_map(target).filter(|target| *target != file).collect()
    };
    let graph: BTreeMap<&PathBuf, Vec<&PathBuf>> =
        sources.keys().map(|file| (file, imports(file))).collect();
    let (mut done, mut way) = (Vec::new(), Vec::new());
    fn walk<'a>(
        file: &'a PathBuf,
        graph: &BTreeMap<&'a PathBuf, Vec<&'a PathBuf>>,
        done: &mut Vec<&'a PathBuf>,
        way: &mut Vec<&'a PathBuf>,
    ) -> bool {
        if let Some(begin) = way.iter().position(|f| *f == file) {
            way.drain(..begin);
            return true;
        }
        if done.contains(&file) {
            return false;
        }
        way.push(file);
        if graph[file].iter().any(|next| walk(next, graph, done, way)) {
            return true;
        }
        way.pop();
        done.push(file);
        false
    }
    let found = sources.keys().any(|file| walk(file, &graph, &mut done, &mut way));
    found.then(|| way.into_iter().cloned().collect())
}

fn floor(room: &str) -> Option<usize> {
    ROOMS.iter().position(|row| row.contains(&room))
}

/// Whether code in `from` may name something in `to`.
fn may_import(from: &str, to: &str) -> bool {
    match (from, to) {
        ("inspect", _) => INSPECT_MAY.contains(&to),
        (_, "inspect") => from == "api",
        _ => floor(to) <= floor(from),
    }
}

/// Import violations of one file.
fn layering(file: &Path, text: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let module = module_path(file);
    if module.is_empty() {
        return Vec::new(); // the face: it re-exports from everywhere
    }
    let from = room_of(&module[0], &BTreeMap::new());
    if from == "api" && module[0] != "api" && file.components().count() > 1 {
        return vec![format!("{}: no such room", file.display())];
    }
    let mut wrong = Vec::new();
    for (name, line) in references(&Source::read(text), &module) {
        let to = if name == "*" { "api".to_string() } else { room_of(&name, exports) };
        if !may_import(&from, &to) {
            wrong.push(format!("{}:{line}: {from} refers to {name} in {to}", file.display()));
        }
    }
    wrong
}

/// Violations of the rules about `unsafe` in one file.
fn unsafety(file: &Path, text: &str) -> Vec<String> {
    let s = Source::read(text);
    let room = module_path(file).first().map_or("api".into(), |m| room_of(m, &BTreeMap::new()));
    let allowed = UNSAFE_ROOMS.contains(&room.as_str());
    let mut wrong = Vec::new();
    let mut used = None;
    for at in (0..s.tokens.len()).filter(|&at| s.text(at) == "unsafe") {
        let line = s.tokens[at].line;
        let place = format!("{}:{line}", file.display());
        let next = s.text(at + 1);
        let declared = room == "api" && next == "fn";
        let forwarded = room == "api" && next == "{" && s.text(at + 2) == "Database";
        if !(allowed || declared || forwarded) {
            wrong.push(format!("{place}: unsafe in {room}"));
        }
        if matches!(next, "{" | "impl") {
            let reason = reason(&s, line);
            // One comment speaks for one line.
            if reason.is_none() || used.is_some_and(|(r, l)| reason == Some(r) && l != line) {
                wrong.push(format!("{place}: no SAFETY comment of its own above"));
            }
            used = reason.map(|r| (r, line));
        }
    }
    wrong
}

/// Line of the nearest `SAFETY:` above, or on the line itself; lines without code do not count.
fn reason(s: &Source, line: usize) -> Option<usize> {
    let mut code = 0;
    for above in (1..=line).rev() {
        let (has_code, safety) = s.lines.get(&above).copied().unwrap_or_default();
        if safety {
            return Some(above);
        }
        code += usize::from(has_code && above != line);
        if code >= NEAR {
            break;
        }
    }
    None
}

/// Lines that look like the head of a table of offsets, in a document or in a comment.
fn offset_tables(text: &str) -> Vec<usize> {
    let head = |line: &str| {
        let line: String = line.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
        let line = line.trim_start_matches(['/', '!', '*']);
        line.ends_with('|') && ["|offset|", "|byte|"].iter().any(|h| line.starts_with(h))
    };
    text.lines().enumerate().filter(|(_, l)| head(l)).map(|(n, _)| n + 1).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir` with this extension, by their path below it.
fn files(dir: &Path, extension: &str) -> BTreeMap<PathBuf, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_path_buf()]);
    while let Some(next) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for path in entries.map(|e| e.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(dir).unwrap().into(), text);
            }
        }
    }
    found
}

#[test]
fn imports_point_downwards() {
    let sources = files(&root().join("src"), "rs");
    assert!(sources.len() > 15, "{} files found", sources.len());
    let exports = exports(&sources[Path::new("lib.rs")]);
    assert_eq!(exports["Error"], "error");
    let wrong: Vec<_> = sources.iter().flat_map(|(f, t)| layering(f, t, &exports)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Beside the faces, which re-export, and tests, which may look anywhere.
#[test]
fn no_files_import_from_each_other() {
    let mut sources = files(&root().join("src"), "rs");
    let is_face = |name: &str| ["lib.rs", "harness.rs", "internals.rs"].contains(&name);
    let is_test = |name: &str| name.ends_with("tests.rs") || name.contains("/tests/");
    sources.retain(|file, _| {
        let name = file.to_str().unwrap();
        !is_face(name) && !is_test(name) && !name.contains("loom/")
    });
    assert!(sources.len() > 80, "{} files found", sources.len());
    assert_eq!(circle(&sources), None);
}

#[test]
fn unsafe_stays_in_its_rooms_and_says_why() {
    let sources = files(&root().join("src"), "rs");
    let wrong: Vec<_> = sources.iter().flat_map(|(f, t)| unsafety(f, t)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_bytes_are_told_once() {
    let mut wrong = Vec::new();
    let mut look = |dir: &str, file: &Path, text: &str| {
        let name = Path::new(dir).join(file);
        let at = offset_tables(text);
        if name == Path::new("docs/format.md") {
            assert!(!at.is_empty(), "the tables of docs/format.md are not recognised");
        } else {
            wrong.extend(at.iter().map(|n| format!("{}:{n}", name.display())));
        }
    };
    for (dir, extension) in [("docs", "md"), ("src", "md"), ("src", "rs"), ("tools", "rs")] {
        for (file, text) in files(&root().join(dir), extension) {
            look(dir, &file, &text);
        }
    }
    for entry in std::fs::read_dir(root()).unwrap().map(|e| e.unwrap().path()) {
        if entry.extension().is_some_and(|e| e == "md") {
            look(
                "",
                Path::new(entry.file_name().unwrap()),
                &std::fs::read_to_string(&entry).unwrap(),
            );
        }
    }
    assert!(wrong.is_empty(), "tables of offsets outside docs/format.md: {}", wrong.join(", "));
}

/// What the checker itself must and must not see.
mod the_checker {
    use super::*;

    #[test]
    fn circles_are_found() {
        let file = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
        let one = file("txn/one.rs", "use super::{state, two::{A as B, C}};\nuse std::fmt;");
        let two = file("txn/two.rs", "use crate::txn::three::*;");
        let back = file("txn/three.rs", "pub use super::one;");
        let tests = file("txn/three.rs", "mod tests {\n use super::super::one::f; fn g() {} }");
        let state = file("txn/state.rs", "");
        let of = |all: &[&(PathBuf, String)]| circle(&all.iter().copied().cloned().collect());
        let found = of(&[&one, &two, &back, &state]).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(of(&[&one, &two, &tests, &state]), None);
    }

    fn imports(file: &str, text: &str) -> usize {
        let lib = "pub use api::db::{Builder, Database};\npub use error::{Error, Result};\n\
                   pub use commit::durability::Durability;\npub use types::PageId;\nmod tree;";
        layering(Path::new(file), text, &exports(lib)).len()
    }

    #[test]
    fn finds_upward_imports() {
        for (file, text) in [
            ("tree/cursor.rs", "use crate::txn::Engine;"),
            ("tree/cursor.rs", "use crate::{error::Result, txn::{self, Engine}};"),
            ("tree/cursor.rs", "use crate::{\n    error::Result,\n    db,\n};"),
            ("tree/cursor.rs", "fn f() -> crate::txn::Engine { loop {} }"),
            ("tree/cursor.rs", "use crate::Database;"),
            ("tree/cursor.rs", "use crate::Durability;"),
            ("tree/cursor.rs", "use crate::*;"),
            ("tree/cursor.rs", "use super::super::txn::Engine;"),
            ("tree/cursor.rs", "use super::super::{space, txn};"),
            ("tree/mod.rs", "use super::txn::Engine;"),
            ("tree/mod.rs", "use self::super::txn::Engine;"),
            ("tree/cursor.rs", "mod tests { use super::super::super::txn::Engine; }"),
            ("tree/cursor.rs", "mod a { fn f() {} }\nuse super::super::txn::Engine;"),
            ("tree/cursor.rs", "macro_rules! m { () => { $crate::txn::f() } }"),
            ("tree/deep/er.rs", "use super::super::super::txn::Engine;"),
            ("format/mod.rs", "use crate::os::file;"),
            ("os/mod.rs", "use crate::storage::MapView;"),
            ("storage/mod.rs", "use crate::shared::layout;"),
            ("shared/mod.rs", "use crate::space::x;"),
            ("space/mod.rs", "use crate::tree::x;"),
            ("error.rs", "use crate::format::bytes;"),
            ("types.rs", "use crate::api::db::Database;"),
            ("txn/mod.rs", "use crate::api::db::Database;"),
            ("commit/flush.rs", "use crate::txn::write::Writer;"),
            ("pager/store.rs", "use crate::commit::engine::Engine;"),
            ("tree/mod.rs", "use crate::pager::view::PageView;"),
            ("txn/mod.rs", "use crate::inspect::check;"),
            ("format/meta.rs", "use crate::inspect::check;"),
            ("inspect/mod.rs", "use crate::tree::node;"),
            ("inspect/mod.rs", "use crate::os::file;"),
            ("inspect/mod.rs", "use crate::shared::layout;"),
            ("inspect/mod.rs", "use crate::Database;"),
            ("cellar/mod.rs", ""),
        ] {
            assert!(imports(file, text) == 1, "{file}: {text}");
        }
    }

    #[test]
    fn lets_downward_imports_pass() {
        for (file, text) in [
            ("tree/cursor.rs", "use crate::{Error, PageId, Result, format::bytes, space};"),
            ("tree/cursor.rs", "use super::node;\nuse super::super::space;"),
            ("tree/cursor.rs", "mod tests { use super::*; use super::super::node; }"),
            ("tree/cursor.rs", "mod a { mod b {} use super::super::node; }"),
            ("tree/cursor.rs", "// crate::txn\n/* crate::txn /* crate::db */ crate::txn */"),
            (
                "tree/cursor.rs",
                r##"let s = ("crate::txn", r#"crate::"txn"#, b"crate::txn", '"');"##,
            ),
            ("tree/cursor.rs", "fn f<'a>(x: &'a str) { g('\\'', x) } // crate::txn"),
            ("tree/cursor.rs", "pub(crate) fn f() {}\npub(in crate::tree) fn g() {}"),
            ("tree/cursor.rs", "pub(super) struct S; use std::txn::x;"),
            ("error.rs", "use crate::types::PageId;"),
            ("types.rs", "use crate::error::Error;"),
            ("inspect/check.rs", "use crate::{error::Result, format::bytes, storage, types};"),
            ("inspect/check.rs", "use super::meta;"),
            ("api/db.rs", "use crate::{Durability, commit::engine::Engine, inspect, txn};"),
            ("api/db.rs", "use super::table::Table;"),
            ("txn/write.rs", "use crate::{commit::draft::Draft, pager, tree};"),
            ("lib.rs", "pub use txn::x; use crate::api::y;"),
        ] {
            assert_eq!(imports(file, text), 0, "{file}: {text}");
        }
    }

    #[test]
    fn finds_unsafe_out_of_place_or_without_a_reason() {
        let far = format!("// SAFETY: yes\n{}unsafe {{ f() }}", "g();\n".repeat(NEAR));
        for (file, text) in [
            ("tree/mod.rs", "// SAFETY: yes\nunsafe { f() }"),
            ("api/db.rs", "// SAFETY: yes\nunsafe { f() }"),
            ("api/db.rs", "// SAFETY: yes\nunsafe impl Send for T {}"),
            ("txn/mod.rs", "pub unsafe fn open() {}"),
            ("lib.rs", "#[unsafe(no_mangle)] fn f() {}"),
            ("os/file.rs", "unsafe { f() }"),
            ("os/file.rs", "unsafe impl Send for T {}"),
            ("os/file.rs", "let s = \"SAFETY: no\";\nunsafe { f() }"),
            ("os/file.rs", "// SAFETY: one\nunsafe { f() }\nunsafe { g() }"),
            ("os/file.rs", far.as_str()),
        ] {
            assert_eq!(unsafety(Path::new(file), text).len(), 1, "{file}: {text}");
        }
    }

    #[test]
    fn lets_explained_unsafe_pass() {
        let long = format!("// SAFETY: yes\n{}unsafe {{ f() }}", "// more\n".repeat(20));
        let near = format!("// SAFETY: yes\n{}unsafe {{ f() }}", "g();\n".repeat(NEAR - 1));
        for (file, text) in [
            ("os/file.rs", "// SAFETY: yes\nlet x = unsafe { f() };"),
            (
                "os/file.rs",
                "// SAFETY: yes\nunsafe impl Send for T {}\n// SAFETY: too\nunsafe impl Sync for T {}",
            ),
            ("os/file.rs", "// SAFETY: both\nlet (a, b) = (unsafe { f() }, unsafe { g() });"),
            ("os/file.rs", "unsafe { f() } // SAFETY: yes"),
            ("os/file.rs", "pub unsafe fn f() {}\nunsafe extern \"C\" {}"),
            ("os/file.rs", long.as_str()),
            ("os/file.rs", near.as_str()),
            ("api/db.rs", "pub unsafe fn open() {}"),
            ("tree/mod.rs", "#![deny(unsafe_op_in_unsafe_fn)] // unsafe\nlet s = \"unsafe { }\";"),
        ] {
            assert_eq!(unsafety(Path::new(file), text), [""; 0], "{file}: {text}");
        }
    }

    #[test]
    fn knows_a_table_of_offsets() {
        assert_eq!(offset_tables("a\n| Offset | size |\n|---|---|\n"), [2]);
        assert_eq!(offset_tables("//! | offset | size |"), [1]);
        assert_eq!(offset_tables("    /// | byte | what |"), [1]);
        assert!(
            offset_tables("the offset | of\n| file | what |\nf(|offset| g(offset))").is_empty()
        );
    }
}
