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
    /// Functions that give a `Result`, with their comment and that of their type.
    fallible: Vec<(String, String)>,
    /// Types and traits with functions: their comment and those of the functions.
    types: BTreeMap<String, String>,
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

    /// Functions that may fail and say nothing about it.
    pub fn without_errors(&self) -> Vec<&str> {
        let says = |docs: &str| {
            ["rror", "As [`", "as [`", "The same", "the same"]
                .iter()
                .any(|word| docs.contains(word))
        };
        let silent = self.fallible.iter().filter(|(_, docs)| !says(docs));
        silent.map(|(name, _)| &**name).collect()
    }

    /// Types with functions that are shown nowhere.
    pub fn without_example(&self) -> Vec<&str> {
        let bare = self.types.iter().filter(|(_, docs)| !docs.contains("```"));
        bare.map(|(name, _)| &**name).collect()
    }
}

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
            "function" => self.function(at, item, docs),
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
                let mut all = docs.to_owned();
                for item in items(self.index, &inside["items"]) {
                    all += self.of_trait(at, item);
                }
                self.api.types.insert(at.to_owned(), all);
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

    fn of_trait(&mut self, at: &str, item: &'j Json) -> &'j str {
        let (what, inside) = kind(&item["inner"]);
        let docs = item["docs"].as_str().unwrap_or_default();
        let at = format!("{at}::{}", item["name"].as_str().unwrap());
        let given = |is: bool| if is { " (provided)" } else { "" };
        match what {
            "function" => {
                let body = given(inside["has_body"].as_bool().unwrap_or(false));
                self.line(format!("{}{body}", signature(&at, inside)));
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
        docs
    }

    fn function(&mut self, at: &str, item: &'j Json, around: &str) {
        let inside = kind(&item["inner"]).1;
        self.line(signature(at, inside));
        if ty(&inside["sig"]["output"]).starts_with("Result<") {
            let docs = format!("{} {around}", item["docs"].as_str().unwrap_or_default());
            self.api.fallible.push((at.to_owned(), docs));
        }
    }

    /// What a type does, and which traits it has.
    fn methods(&mut self, at: &str, docs: &str, impls: &Json) {
        let (mut all, mut does) = (docs.to_owned(), false);
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
                all += item["docs"].as_str().unwrap_or_default();
                match kind(&item["inner"]) {
                    ("function", _) => {
                        self.function(&at, item, docs);
                        does = true;
                    }
                    (_, inside) => self.line(format!("const {at}: {}", ty(&inside["type"]))),
                }
            }
        }
        if does {
            self.api.types.insert(at.to_owned(), all);
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
