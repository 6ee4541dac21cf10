//! Every rule that the source cites stands in the document, or at the head of the file whose rule it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the rules of a letter are told, and what stands before and behind the label there. Rules without a letter are those of the commit protocol.
const HOMES: [(&str, &str, [&str; 2]); 6] = [
    ("", "docs/design.md", ["(", ")"]),
    ("A", "src/space/allocator.rs", ["(", ")"]),
    ("B", "docs/design.md", ["(", ")"]),
    ("I", "docs/design.md", ["**", "**"]),
    ("R", "src/shared/core.rs", ["- ", "."]),
    ("T", "src/tree/mod.rs", ["", ":"]),
];

/// The letter of a label and its number; None if the word is none.
fn label(word: &str) -> Option<(&str, &str)> {
    let digits = word.find(|c: char| c.is_ascii_digit())?;
    let (letter, number) = word.split_at(digits);
    let known = HOMES.iter().any(|(home, ..)| *home == letter);
    let is_number = number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit());
    (known && is_number).then_some((letter, number))
}

/// Labels in the comments of a source file, with their lines: with a letter anywhere, without one behind the word "rule".
fn cited(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let Some((_, comment)) = line.split_once("//") else { continue };
        let mut in_rules = false;
        for word in comment.split_inclusive(|c: char| !c.is_alphanumeric()) {
            let ends = word.ends_with(['.', ';', ':']);
            let word = word.trim_end_matches(|c: char| !c.is_alphanumeric());
            match label(word) {
                _ if word.is_empty() => {}
                Some(("", _)) if !in_rules => {}
                Some(_) => found.push((word.to_owned(), n + 1)),
                None => {
                    let goes_on = in_rules && ["and", "to"].contains(&word);
                    in_rules = goes_on || ["rule", "rules"].contains(&&*word.to_lowercase());
                }
            }
            in_rules &= !ends;
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Whether the label is told where it belongs.
fn is_told(word: &str, homes: &BTreeMap<&str, String>) -> bool {
    let Some((letter, _)) = label(word) else { return false };
    let told = |(home, file, [before, behind]): &(&str, &str, [&str; 2])| {
        *home == letter && homes[file].contains(&format!("{before}{word}{behind}"))
    };
    HOMES.iter().any(told)
}

fn homes() -> BTreeMap<&'static str, String> {
    let read = |file: &'static str| (file, std::fs::read_to_string(root().join(file)).unwrap());
    HOMES.iter().map(|(_, file, _)| read(file)).collect()
}

fn sources(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
}

#[test]
fn what_is_cited_is_told() {
    let homes = homes();
    let mut all = Vec::new();
    sources(&root().join("src"), &mut all);
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in &all {
        for (word, line) in cited(&std::fs::read_to_string(path).unwrap()) {
            count += 1;
            if !is_told(&word, &homes) {
                wrong.push(format!("{}:{line}: {word}", path.display()));
            }
        }
    }
    let mut planted = 0;
    for file in std::fs::read_dir(root().join("fuzz/mutants/bugs")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for (bug, sentence) in text.lines().zip(text.lines().skip(1)) {
            let Some(bug) = bug.strip_prefix("bug ") else { continue };
            planted += 1;
            let (rules, _) = sentence.split_once(": ").unwrap();
            for word in rules.split(", ").filter(|word| !["Tree", "Format"].contains(word)) {
                if !is_told(word, &homes) {
                    wrong.push(format!("planted {bug}: {word}"));
                }
            }
        }
    }
    assert!(count > 200 && planted > 100, "only {count} and {planted} are recognised");
    assert!(wrong.is_empty(), "rules that are told nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn citations_are_recognised() {
    let cites = |text: &str| cited(text).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(cites("    // Rule 9: again."), ["9"]);
    assert_eq!(cites("/// (rules 2, 8 to 13, B3; and 4 pages)"), ["2", "8", "13", "B3"]);
    assert_eq!(cites("let rule = 7; // T4 and 12 others"), ["T4"]);
    assert_eq!(cites("let a = B9;"), [""; 0]);
    assert!(!is_told("B99", &homes()) && !is_told("77", &homes()) && is_told("9", &homes()));
}
