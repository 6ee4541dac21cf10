//! The public items of a crate, out of rustdoc's JSON: one line each, as one would write it.
//!
//! Paths in signatures are cut to their last name; where an item can be reached in several ways the
//! shortest is its own, and the others are lines that say `use`.

mod render;

use render::{bounds_of, generics, path, signature, ty};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// What was found.
#[derive(Default)]
pub struct Api {
    lines: BTreeSet<String>,
    functions: Vec<Function>,
}

/// A function or method, with what is said about it.
struct Function {
    path: String,
    docs: String,
    /// What is said about its type or trait.
    around: String,
    may_fail: bool,
}

impl Function {
    /// Whether one of these words is said, here or about the type.
    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.docs.contains(word) || self.around.contains(word))
    }

    fn is_shown(&self) -> bool {
        let name = self.path.rsplit("::").next().unwrap();
        shows(&self.docs, name) || shows(&self.around, name)
    }
}

/// Whether an example that is compiled calls a function of this name, or is an implementation of
/// it, in a line that a reader sees.
pub fn shows(docs: &str, name: &str) -> bool {
    let (mut inside, mut compiled) = (false, false);
    docs.lines().map(str::trim).any(|line| {
        if let Some(kind) = line.strip_prefix("```") {
            inside = !inside;
            compiled = inside && matches!(kind, "" | "rust" | "no_run" | "should_panic");
            return false;
        }
        compiled && line != "#" && !line.starts_with("# ") && calls(line, name)
    })
}

fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&line[..at], &line[at + name.len()..]);
        let is_path = [".", "::", "fn "].iter().any(|end| before.ends_with(end));
        let is_alone = before.is_empty() || before.ends_with([' ', '(', '!']);
        (is_path || is_alone) && ["(", "::<", "<"].iter().any(|start| behind.starts_with(start))
    })
}

/// The name of the one field of an object, and what it holds.
fn kind(inner: &Json) -> (&str, &Json) {
    let (name, inside) = inner.as_object().and_then(|o| o.iter().next()).expect("of some kind");
    (name, inside)
}

fn list(of: &Json) -> impl Iterator<Item = &Json> {
    of.as_array().into_iter().flatten()
}

/// What stands in the index under these ids; what is hidden does not.
fn items<'j>(index: &'j Json, ids: &'j Json) -> impl Iterator<Item = &'j Json> {
    list(ids).map(|id| &index[id.to_string()]).filter(|item| item.is_object())
}

struct Walk<'j> {
    index: &'j Json,
    api: Api,
    /// The path of each item that has been shown.
    shown: BTreeMap<u64, String>,
}

impl Api {
    pub fn of(json: &Json) -> Api {
        let mut walk = Walk { index: &json["index"], api: Api::default(), shown: BTreeMap::new() };
        // Level by level, so that the first path of an item is the shortest.
        let mut level = vec![("recto".to_owned(), json["root"].as_u64().unwrap())];
        while !level.is_empty() {
            level = level.into_iter().flat_map(|(at, id)| walk.module(&at, id)).collect();
        }
        walk.api
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    fn functions(&self, which: impl Fn(&Function) -> bool) -> Vec<&str> {
        let found = self.functions.iter().filter(|function| which(function));
        found.map(|function| &*function.path).collect()
    }

    /// Functions that may fail and say nothing about it.
    pub fn without_errors(&self) -> Vec<&str> {
        self.functions(|it| it.may_fail && !it.says(&["rror"]) && !it.says(ELSEWHERE))
    }

    /// Functions that may fail, and so do more than look at what is there, and do not say what that
    /// takes.
    pub fn without_cost(&self) -> Vec<&str> {
        self.functions(|it| it.may_fail && !it.says(COST) && !it.says(ELSEWHERE))
    }

    /// Functions that no example shows, of their own or of their type.
    pub fn without_example(&self) -> Vec<&str> {
        self.functions(|it| !it.is_shown())
    }
}

/// What says that it stands somewhere else.
const ELSEWHERE: &[&str] = &["As [`", "as [`", "as in [`", "The same", "the same"];
/// What is said of what a call takes: time, pages, system calls.
const COST: &[&str] = &[
    "O(",
    " cost",
    "Cost",
    "descent",
    "Reads ",
    "pages",
    "system call",
    "in time",
    "waits",
    "blocks",
];

impl<'j> Walk<'j> {
    fn item(&self, id: &Json) -> Option<&'j Json> {
        let item = &self.index[id.to_string()];
        item.is_object().then_some(item)
    }

    fn line(&mut self, line: String) {
        self.api.lines.insert(line);
    }

    /// The items of a module; its modules are for later.
    fn module(&mut self, at: &str, id: u64) -> Vec<(String, u64)> {
        let mut modules = Vec::new();
        let Some(module) = self.item(&id.into()) else { return modules };
        for id in list(&kind(&module["inner"]).1["items"]) {
            let Some(item) = self.item(id) else { continue };
            let (what, inside) = kind(&item["inner"]);
            match (what, inside["is_glob"].as_bool()) {
                // As if its items stood here.
                ("use", Some(true)) => {
                    let id = inside["id"].as_u64().unwrap_or(0);
                    modules.extend(self.module(at, id));
                }
                ("use", _) => {
                    let to = format!("{at}::{}", inside["name"].as_str().unwrap());
                    match self.item(&inside["id"]) {
                        Some(item) => self.show(&to, item, &mut modules),
                        // Of another crate.
                        None => {
                            let source = inside["source"].as_str().unwrap();
                            self.line(format!("use {to} = {source}"));
                        }
                    }
                }
                _ => {
                    let to = format!("{at}::{}", item["name"].as_str().unwrap());
                    self.show(&to, item, &mut modules);
                }
            }
        }
        modules
    }

    fn show(&mut self, at: &str, item: &'j Json, modules: &mut Vec<(String, u64)>) {
        let id = item["id"].as_u64().unwrap();
        if let Some(first) = self.shown.get(&id) {
            let line = format!("use {at} = {first}");
            return self.line(line);
        }
        self.shown.insert(id, at.to_owned());
        let (what, inside) = kind(&item["inner"]);
        let docs = item["docs"].as_str().unwrap_or_default();
        let open = match list(&item["attrs"]).any(|a| a.to_string().contains("non_exhaustive")) {
            true => " (non-exhaustive)",
            false => "",
        };
        let params = generics(&inside["generics"]);
        match what {
            "module" => {
                self.line(format!("mod {at}"));
                modules.push((at.to_owned(), id));
            }
            "function" => self.function(at, item, ""),
            "constant" => self.line(format!("const {at}: {}", ty(&inside["type"]))),
            "type_alias" => self.line(format!("type {at}{params} = {}", ty(&inside["type"]))),
            "struct" => {
                let (_, fields) = match inside["kind"].is_object() {
                    true => kind(&inside["kind"]),
                    false => ("unit", &Json::Null),
                };
                self.line(format!("struct {at}{params}{open}"));
                let fields = if fields.is_array() { fields } else { &fields["fields"] };
                self.fields(at, fields);
                self.methods(at, docs, &inside["impls"]);
            }
            "enum" => {
                self.line(format!("enum {at}{params}{open}"));
                for variant in items(self.index, &inside["variants"]) {
                    let at = format!("{at}::{}", variant["name"].as_str().unwrap());
                    let inside = &kind(&variant["inner"]).1["kind"];
                    self.line(format!("variant {at}"));
                    if inside.is_object() {
                        let fields = kind(inside).1;
                        self.fields(
                            &at,
                            if fields.is_array() { fields } else { &fields["fields"] },
                        );
                    }
                }
                self.methods(at, docs, &inside["impls"]);
            }
            "trait" => {
                let bounds = bounds_of(&inside["bounds"]);
                self.line(format!("trait {at}{params}{bounds}"));
                for item in items(self.index, &inside["items"]) {
                    self.of_trait(at, item, docs);
                }
                for id in list(&inside["implementations"]) {
                    self.implementation(id);
                }
            }
            // What a macro of another crate is called here.
            _ => self.line(format!("{what} {at}")),
        }
    }

    fn fields(&mut self, at: &str, fields: &'j Json) {
        for field in items(self.index, fields) {
            let name = field["name"].as_str().unwrap();
            self.line(format!("field {at}::{name}: {}", ty(kind(&field["inner"]).1)));
        }
    }

    fn of_trait(&mut self, at: &str, item: &'j Json, around: &str) {
        let (what, inside) = kind(&item["inner"]);
        let at = format!("{at}::{}", item["name"].as_str().unwrap());
        let given = |is: bool| if is { " (provided)" } else { "" };
        match what {
            "function" => {
                let body = given(inside["has_body"].as_bool().unwrap_or(false));
                self.line(format!("{}{body}", signature(&at, inside)));
                self.remember(&at, item, around);
            }
            "assoc_const" => {
                let value = given(!inside["value"].is_null());
                self.line(format!("const {at}: {}{value}", ty(&inside["type"])));
            }
            _ => {
                let (params, bounds) =
                    (generics(&inside["generics"]), bounds_of(&inside["bounds"]));
                self.line(format!("type {at}{params}{bounds}"));
            }
        }
    }

    fn function(&mut self, at: &str, item: &'j Json, around: &str) {
        self.line(signature(at, kind(&item["inner"]).1));
        self.remember(at, item, around);
    }

    fn remember(&mut self, at: &str, item: &Json, around: &str) {
        let output = ty(&kind(&item["inner"]).1["sig"]["output"]);
        self.api.functions.push(Function {
            path: at.to_owned(),
            docs: item["docs"].as_str().unwrap_or_default().to_owned(),
            around: around.to_owned(),
            may_fail: output.starts_with("Result<"),
        });
    }

    /// What a type does, and which traits it has.
    fn methods(&mut self, at: &str, docs: &str, impls: &Json) {
        for id in list(impls) {
            let Some(item) = self.item(id) else { continue };
            let inside = kind(&item["inner"]).1;
            if inside["trait"].is_object() {
                self.implementation(id);
                continue;
            }
            for item in items(self.index, &inside["items"]) {
                let name = item["name"].as_str().unwrap();
                let at = format!("{at}::{name}");
                match kind(&item["inner"]) {
                    ("function", _) => self.function(&at, item, docs),
                    (_, inside) => self.line(format!("const {at}: {}", ty(&inside["type"]))),
                }
            }
        }
    }

    /// A trait of a type, with the types that belong to it. Of those that the compiler finds by
    /// itself only whether it may go to other threads.
    fn implementation(&mut self, id: &Json) {
        let Some(item) = self.item(id) else { return };
        let inside = kind(&item["inner"]).1;
        let name = path(&inside["trait"]);
        let found = inside["is_synthetic"].as_bool() == Some(true);
        if !inside["blanket_impl"].is_null()
            || name == "StructuralPartialEq"
            || (found && !["Send", "Sync"].contains(&&*name))
        {
            return;
        }
        let not = if inside["is_negative"].as_bool() == Some(true) { "!" } else { "" };
        let params = if found { String::new() } else { generics(&inside["generics"]) };
        let mut line = format!("impl{params} {not}{name} for {}", ty(&inside["for"]));
        for item in items(self.index, &inside["items"]) {
            if let ("assoc_type", inside) = kind(&item["inner"]) {
                let (name, is) = (item["name"].as_str().unwrap(), ty(&inside["type"]));
                line += &format!("; {name}{} = {is}", generics(&inside["generics"]));
            }
        }
        self.line(line);
    }
}
