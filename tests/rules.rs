//! Every rule that the source cites stands in the document, or at the head of the file whose rule
//! it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where the rules of a letter are told, and what stands before and behind the label there. Rules
/// without a letter are those of the commit protocol.
const HOMES: [(&str, &str, [&str; 2]); 11] = [
    ("", "docs/design.md", ["(", ")"]),
    ("A", "src/space/allocator.rs", ["(", ")"]),
    ("B", "docs/design.md", ["(", ")"]),
    ("F", "src/txn/finishing.rs", ["- ", ":"]),
    ("I", "docs/design.md", ["**", "**"]),
    ("M", "src/sort/mod.rs", ["- ", ":"]),
    ("P", "src/pager/read_checks.rs", ["- ", ":"]),
    ("R", "src/shared/core.rs", ["- ", "."]),
    ("S", "src/tree/sets.rs", ["- ", ":"]),
    ("T", "src/tree/mod.rs", ["", ":"]),
    ("X", "src/shared/attach.rs", ["- ", ":"]),
];

/// The letter of a label and its number; None if the word is none.
fn label(word: &str) -> Option<(&str, &str)> {
    let digits = word.find(|c: char| c.is_ascii_digit())?;
    let (letter, number) = word.split_at(digits);
    let known = HOMES.iter().any(|(home, ..)| *home == letter);
    let is_number = number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit());
    (known && is_number).then_some((letter, number))
}

/// Labels in the comments of a source file, with their lines: with a letter anywhere, without one
/// behind the word "rule".
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

/// Rows of the table of rules: rule, what keeps it, what attacks it.
fn table() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(root().join("docs/design.md")).unwrap();
    let (_, behind) = text.split_once("\n## The rules\n").expect("the table has a heading");
    let section = behind.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [rule, _, kept, attacked] = cells[..] else { panic!("four cells: {line}") };
        [rule, kept, attacked].map(str::to_owned)
    };
    rows.map(row).skip(1).collect()
}

/// Names in backquotes.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every rule of the commit protocol, and every B that is cited, stands in the table once; the
/// functions and the attacks that it names exist.
#[test]
fn the_table_of_rules_is_whole() {
    let read = |dir: &str| {
        let mut all = Vec::new();
        sources(&root().join(dir), &mut all);
        all.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>()
    };
    let tests = read("src") + &read("tests");
    let mut bugs = String::new();
    for file in std::fs::read_dir(root().join("fuzz/mutants/bugs")).unwrap() {
        bugs += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    let table = table();
    let mut wrong = Vec::new();
    for (n, [rule, kept, attacked]) in table.iter().enumerate() {
        if table[..n].iter().any(|[other, ..]| other == rule) {
            wrong.push(format!("{rule} stands there twice"));
        }
        let (kept, attacked) = (names(kept), names(attacked));
        if kept.is_empty() || attacked.is_empty() {
            wrong.push(format!("{rule}: nothing keeps it, or nothing attacks it"));
        }
        for place in kept {
            let (file, function) = place.split_once("::").expect("file.rs::function");
            let text = std::fs::read_to_string(root().join("src").join(file)).unwrap_or_default();
            let defined = [format!("fn {function}("), format!("fn {function}<")];
            if !defined.iter().any(|head| text.contains(head)) {
                wrong.push(format!("{rule}: {file} has no function {function}"));
            }
        }
        for attack in attacked {
            let planted = bugs.lines().any(|line| line.strip_prefix("bug ") == Some(attack));
            if !planted && !tests.contains(&format!("fn {attack}()")) {
                wrong.push(format!("{rule}: {attack} is neither a planted bug nor a test"));
            }
        }
    }
    let mut all = Vec::new();
    sources(&root().join("src"), &mut all);
    let texts = all.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let cited = texts.flat_map(|text| cited(&text)).map(|(word, _)| word);
    let cited = cited.filter(|word| matches!(label(word), Some(("" | "B", _))));
    let needed: BTreeSet<String> = cited.chain((1..=35).map(|n| n.to_string())).collect();
    for rule in needed {
        if !table.iter().any(|[there, ..]| *there == rule) {
            wrong.push(format!("{rule} is not there"));
        }
    }
    assert!(wrong.is_empty(), "the table of rules:\n{}", wrong.join("\n"));
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
