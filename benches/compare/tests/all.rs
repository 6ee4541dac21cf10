//! Every workload of every engine that was compiled in, on few keys: the run itself holds all answers against its model.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn compare(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compare")).args(args).output().expect("the program starts")
}

fn run(dir: &Path, more: &[&str]) -> (Output, Option<Value>) {
    let json = dir.join("out.json");
    let dir = dir.join("data");
    let mut args = vec!["run", "--rounds", "1", "--dir", dir.to_str().expect("a plain path")];
    args.extend(["--json", json.to_str().expect("a plain path")]);
    args.extend(more);
    let output = compare(&args);
    assert_eq!(std::fs::read_dir(&dir).map_or(0, |entries| entries.count()), 0, "files are left");
    let text = std::fs::read(&json).ok();
    (output, text.map(|text| serde_json::from_slice(&text).expect("valid JSON")))
}

fn lines(args: &[&str]) -> Vec<String> {
    let output = compare(args);
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text").lines().map(String::from).collect()
}

/// Engines and workloads, as `compare list` has them.
fn listed() -> (Vec<String>, Vec<String>) {
    let lines = lines(&["list"]);
    let engines = lines[0].trim_start_matches("engines: ").split(", ").map(String::from).collect();
    let first = |line: &String| line.split_whitespace().next().map(String::from);
    (engines, lines[1..].iter().filter_map(first).collect())
}

#[test]
fn every_workload_of_every_engine() {
    let (engines, workloads) = listed();
    for (shape, keys) in [("u64", "2000"), ("url", "1000")] {
        let dir = tempfile::tempdir().expect("a directory");
        let svg = dir.path().join("svg");
        let svg_arg = svg.to_str().expect("a plain path");
        let (output, json) = run(dir.path(), &["--keys", keys, "--shape", shape, "--svg", svg_arg]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json = json.expect("the run has written JSON");
        let results = json["workloads"].as_array().expect("a list");
        let names: Vec<_> = results.iter().filter_map(|w| w["name"].as_str()).collect();
        assert_eq!(names, workloads);
        for workload in results {
            for (engine, name) in
                workload["engines"].as_array().expect("a list").iter().zip(&engines)
            {
                assert_eq!(engine["engine"], name.as_str());
                let rounds = engine["rounds"].as_array().expect("a list").len();
                let left_out = engine["note"].as_str().is_some_and(|n| n.starts_with("left out"));
                assert_eq!(rounds, usize::from(!left_out), "{} {name}", workload["name"]);
                let takes_all = name == "recto" || name.starts_with("lmdb");
                assert!(!takes_all || !left_out, "{} {name}", workload["name"]);
            }
        }
        let line = json["machine"]["limits"].as_str().expect("a line");
        assert!(line.starts_with("dependent load ") && line.contains("bare flush "), "{line}");
        assert!(json["limits"].as_array().is_some_and(|limits| limits.len() > 8));
        assert!(std::fs::read_dir(&svg).expect("charts").count() > 5);
    }
}

#[test]
fn the_disk_bound_ends_a_workload_and_is_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let more = ["--keys", "20000", "--workloads", "get-hit", "--engines", "recto", "--no-limits"];
    let (output, json) = run(dir.path(), &[&more[..], &["--max-disk", "1MiB"]].concat());
    assert!(output.status.success(), "it is not a failure");
    let json = json.expect("the run has written JSON");
    let engine = &json["workloads"][0]["engines"][0];
    assert_eq!(engine["rounds"].as_array().map(Vec::len), Some(0));
    assert!(engine["note"].as_str().is_some_and(|note| note.contains("--max-disk")), "{engine}");
}

#[test]
fn unknown_names_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for more in [["--workloads", "get-wrong"], ["--engines", "nobody"]] {
        assert_eq!(run(dir.path(), &more).0.status.code(), Some(2));
    }
}

#[test]
fn the_settings_in_the_readme_are_those_of_the_engines() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.expect("README.md");
    for line in lines(&["settings"]) {
        assert!(readme.lines().any(|l| l == line), "README.md lacks: {line}");
    }
}
