//! Types, bounds and signatures as text.

use super::{kind, list};
use serde_json::Value as Json;

fn text(of: &Json) -> &str {
    of.as_str().unwrap_or_default()
}

fn joined<'j>(items: impl Iterator<Item = &'j Json>, f: impl Fn(&'j Json) -> String) -> String {
    items.map(f).collect::<Vec<_>>().join(", ")
}

/// The last name of a path, with its arguments.
pub fn path(of: &Json) -> String {
    let whole = match of["path"].as_str() {
        Some(path) => path,
        None => text(&of["name"]),
    };
    format!("{}{}", whole.rsplit("::").next().unwrap_or_default(), arguments(&of["args"]))
}

fn arguments(of: &Json) -> String {
    if !of.is_object() {
        return String::new();
    }
    let (what, inside) = kind(of);
    match what {
        "angle_bracketed" => {
            let args = list(&inside["args"]).map(|arg| match arg.is_string() {
                true => "_".into(),
                false => match kind(arg) {
                    ("type", of) => ty(of),
                    ("const", of) => text(&of["expr"]).to_owned(),
                    (_, of) => text(of).to_owned(),
                },
            });
            let constraints = list(&inside["constraints"]).map(|constraint| {
                let name =
                    format!("{}{}", text(&constraint["name"]), arguments(&constraint["args"]));
                match kind(&constraint["binding"]) {
                    ("equality", of) => format!("{name} = {}", term(of)),
                    (_, of) => format!("{name}{}", bounds_of(of)),
                }
            });
            let all: Vec<String> = args.chain(constraints).collect();
            if all.is_empty() { String::new() } else { format!("<{}>", all.join(", ")) }
        }
        _ => format!("({}){}", joined(list(&inside["inputs"]), ty), output(&inside["output"])),
    }
}

fn term(of: &Json) -> String {
    match kind(of) {
        ("type", of) => ty(of),
        (_, of) => text(&of["expr"]).to_owned(),
    }
}

fn output(of: &Json) -> String {
    if of.is_null() { String::new() } else { format!(" -> {}", ty(of)) }
}

pub fn ty(of: &Json) -> String {
    if of.is_null() {
        return "()".into();
    }
    if of.is_string() {
        return "_".into();
    }
    let (what, inside) = kind(of);
    let mutable = |of: &Json| if of["is_mutable"].as_bool() == Some(true) { "mut " } else { "" };
    match what {
        "generic" | "primitive" => text(inside).into(),
        "resolved_path" => path(inside),
        "tuple" => match &list(inside).collect::<Vec<_>>()[..] {
            [one] => format!("({},)", ty(one)),
            all => format!("({})", joined(all.iter().copied(), ty)),
        },
        "slice" => format!("[{}]", ty(inside)),
        "array" => format!("[{}; {}]", ty(&inside["type"]), text(&inside["len"])),
        "borrowed_ref" => {
            let life = match inside["lifetime"].as_str() {
                Some(life) => format!("{life} "),
                None => String::new(),
            };
            format!("&{life}{}{}", mutable(inside), ty(&inside["type"]))
        }
        "raw_pointer" => format!("*{}{}", mutable(inside), ty(&inside["type"])),
        "impl_trait" => format!("impl {}", bounds(inside)),
        "dyn_trait" => {
            let traits = list(&inside["traits"]).map(|t| with_for(t, path(&t["trait"])));
            let life = inside["lifetime"].as_str().map(String::from);
            format!("dyn {}", traits.chain(life).collect::<Vec<_>>().join(" + "))
        }
        "qualified_path" => {
            let name = format!("{}{}", text(&inside["name"]), arguments(&inside["args"]));
            match path(&inside["trait"]) {
                of if of.is_empty() || inside["self_type"].get("generic").is_some() => {
                    format!("{}::{name}", ty(&inside["self_type"]))
                }
                of => format!("<{} as {of}>::{name}", ty(&inside["self_type"])),
            }
        }
        "function_pointer" => {
            let inputs = list(&inside["sig"]["inputs"]);
            format!("fn({}){}", joined(inputs, |i| ty(&i[1])), output(&inside["sig"]["output"]))
        }
        other => format!("({other})"),
    }
}

/// The lifetimes that a bound is for.
fn with_for(of: &Json, bound: String) -> String {
    match &*joined(list(&of["generic_params"]), |param| text(&param["name"]).into()) {
        "" => bound,
        lives => format!("for<{lives}> {bound}"),
    }
}

fn bounds(of: &Json) -> String {
    let bounds = list(of).map(|bound| match kind(bound) {
        ("trait_bound", of) => {
            let maybe = if text(&of["modifier"]) == "maybe" { "?" } else { "" };
            with_for(of, format!("{maybe}{}", path(&of["trait"])))
        }
        ("outlives", of) => text(of).into(),
        (other, _) => other.into(),
    });
    bounds.collect::<Vec<_>>().join(" + ")
}

/// With a colon in front, where there are any.
pub fn bounds_of(of: &Json) -> String {
    match bounds(of) {
        none if none.is_empty() => none,
        some => format!(": {some}"),
    }
}

/// Parameters in their brackets, and what is asked of types behind them.
pub fn generics(of: &Json) -> String {
    let params = list(&of["params"]).filter_map(|param| {
        let name = text(&param["name"]);
        match kind(&param["kind"]) {
            ("type", of) if of["is_synthetic"].as_bool() == Some(true) => None,
            ("type", of) => Some(format!("{name}{}", bounds_of(&of["bounds"]))),
            ("const", of) => Some(format!("const {name}: {}", ty(&of["type"]))),
            _ => Some(name.to_owned()),
        }
    });
    let params = params.collect::<Vec<_>>().join(", ");
    let asked = joined(list(&of["where_predicates"]), |asked| match kind(asked) {
        ("bound_predicate", of) => format!("{}{}", ty(&of["type"]), bounds_of(&of["bounds"])),
        (_, of) => text(&of["lifetime"]).to_owned(),
    });
    let params = if params.is_empty() { params } else { format!("<{params}>") };
    if asked.is_empty() { params } else { format!("{params} where {asked}") }
}

pub fn signature(at: &str, function: &Json) -> String {
    let flag = |name: &str, word: &str| match function["header"][name].as_bool() {
        Some(true) => format!("{word} "),
        _ => String::new(),
    };
    let (sig, params) = (&function["sig"], generics(&function["generics"]));
    let (params, asked) = match params.split_once(" where ") {
        Some((params, asked)) => (params.to_owned(), format!(" where {asked}")),
        None => (params, String::new()),
    };
    let inputs = joined(list(&sig["inputs"]), |input| match (text(&input[0]), ty(&input[1])) {
        ("self", of) if of.ends_with("Self") => of.replace("Self", "self"),
        (name, of) => format!("{name}: {of}"),
    });
    let flags = [flag("is_const", "const"), flag("is_async", "async"), flag("is_unsafe", "unsafe")];
    format!("{}fn {at}{params}({inputs}){}{asked}", flags.concat(), output(&sig["output"]))
}
