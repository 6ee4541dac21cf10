//! The public API, as rustdoc sees it: what changes in it changes `tests/public_api.txt`, which a
//! reviewer reads; and what stands in the documentation of each function.
//!
//! After a change that is meant: `RECTO_API=write cargo test --test public_api`.
//!
//! What rustdoc writes as JSON is not stable, and needs `RUSTC_BOOTSTRAP=1` of a stable toolchain.
//! Only rustdoc itself is given it, so that whatever cargo has compiled for `cargo doc` serves here
//! too. This reads no more of it than names, signatures and comments; of a version of the format in
//! which these stand elsewhere the test says so, and passes.

mod api_text;

use api_text::{Api, shows};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// All features that are for users.
const FEATURES: &str = "derive,inspect,json,jiff,metrics,postcard,tracing,uuid";
/// Versions of rustdoc's format that are known to be read.
const FORMATS: std::ops::RangeInclusive<u64> = 54..=57;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The API; None, and a line that says why, where this toolchain's JSON is of another version.
fn api() -> Option<&'static Api> {
    static API: OnceLock<Option<Api>> = OnceLock::new();
    API.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let rustdoc = dir.path().join("rustdoc");
        let mut options = std::fs::OpenOptions::new();
        let mut script = options.write(true).create_new(true).mode(0o755).open(&rustdoc).unwrap();
        let real = std::env::var("RUSTDOC").unwrap_or_else(|_| "rustdoc".into());
        write!(script, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec '{real}' \"$@\"\n").unwrap();
        drop(script);
        assert!(rustdoc.metadata().unwrap().permissions().mode() & 0o100 != 0);
        // Where this test was built, target/PROFILE/deps/THIS.
        let here = std::env::current_exe().unwrap();
        let target = here.ancestors().nth(3).unwrap().to_owned();
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        cargo.current_dir(root()).env("RUSTDOC", &rustdoc).env("CARGO_TARGET_DIR", &target);
        cargo.args(["rustdoc", "--quiet", "--lib", "-p", "recto", "--features", FEATURES]);
        cargo.args(["--", "-Zunstable-options", "--output-format", "json", "--cap-lints", "allow"]);
        let out = cargo.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "cargo rustdoc: {said}");
        let json = std::fs::read(target.join("doc/recto.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let format = json["format_version"].as_u64().unwrap();
        if !FORMATS.contains(&format) {
            eprintln!(
                "LEFT OUT: this rustdoc writes version {format} of its JSON, and {FORMATS:?} are \
                 known; look whether tests/api_text reads it, then change FORMATS"
            );
            return None;
        }
        Some(Api::of(&json))
    })
    .as_ref()
}

#[test]
fn the_public_api_is_what_the_snapshot_says() {
    let Some(api) = api() else { return };
    let path = root().join("tests/public_api.txt");
    let now: String = api.lines().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("RECTO_API").is_some_and(|what| what == "write") {
        return std::fs::write(path, now).unwrap();
    }
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let not_in = |all: &str, sign: &str, other: &str| -> String {
        let other: std::collections::BTreeSet<&str> = other.lines().collect();
        let lines = all.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("{sign} {line}\n")).collect()
    };
    assert!(
        now == before,
        "the public API is not that of tests/public_api.txt:\n{}{}\nif that is meant: \
         RECTO_API=write cargo test --test public_api, and a line in CHANGELOG.md",
        not_in(&before, "-", &now),
        not_in(&now, "+", &before),
    );
    assert!(now.lines().count() > 500, "most of it is not seen");
}

/// Every item says what it is (`missing_docs`); what can fail also says with what and what it
/// costs, itself or in the documentation of its type; and every function and method is called in an
/// example, its own or that of its type.
#[test]
fn functions_say_how_they_fail_and_what_they_cost_and_are_shown_in_examples() {
    let Some(api) = api() else { return };
    let silent = api.without_errors();
    assert!(silent.is_empty(), "no word on errors:\n{}", silent.join("\n"));
    let dear = api.without_cost();
    assert!(dear.is_empty(), "no word on what it costs:\n{}", dear.join("\n"));
    let bare = api.without_example();
    assert!(
        bare.is_empty(),
        "called in no example, of its own or of its type, in a line that is seen:\n{}",
        bare.join("\n"),
    );
}

#[test]
fn an_example_is_compiled_and_its_calls_are_seen() {
    let shown = |docs: &str| shows(docs, "get");
    assert!(shown("Gets.\n\n```\nlet v = table.get(b\"key\")?;\n```"));
    assert!(shown("```no_run\nget::<u64>(1);\n```") && shown("```\nfn get(&self) {}\n```"));
    assert!(!shown("As `get(key)`."), "in words");
    assert!(!shown("```\n# table.get(b\"key\")?;\n```"), "hidden");
    assert!(!shown("```compile_fail\ntable.get(b\"key\")?;\n```"), "not compiled");
    assert!(!shown("```text\ntable.get(b\"key\")?;\n```"), "no code");
    assert!(!shown("```\ntable.forget(); table.get_many(); widget(1);\n```"), "other names");
    assert!(!shown("```\n```\ntable.get(b\"key\")"), "behind it");
}
