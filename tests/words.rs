//! The words of the code and the documents are those of docs/glossary.md: private ones that were
//! there once do not come back.

use std::path::Path;

/// What is refused, and the term that stands for it.
const REFUSED: [(&str, &str); 18] = [
    ("crumb", "small fragment"),
    ("knot", "cycle"),
    ("hurry", "eager write-back"),
    ("suspect", "mark, needs repair"),
    ("undescribe", "decode a snapshot"),
    ("rim", "before first, after last"),
    ("shell", "node header"),
    ("sister", "other thread"),
    ("lent", "borrowed"),
    ("lends", "borrows"),
    ("posthumous", "after death"),
    ("pages of nobody", "leaked pages"),
    ("costs nothing", "is O(1), or what it does cost"),
    ("said to be synced", "recorded"),
    ("begun to be built", "being built"),
    ("accident", "fault"),
    ("deed", "operation"),
    ("befall", "inject"),
];

/// Where they are looked for: whole words, in text of either case, plural included.
const PLACES: [(&str, &[&str]); 2] = [("src", &["rs"]), ("docs", &["md"])];

/// Documents of what was found, and where, which quote older names; and the list itself.
const EXCEPT: [&str; 2] = ["docs/testing.md", "docs/glossary.md"];

/// Whether the word stands in the line, alone or with an s.
fn has(line: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let behind = &line[at + word.len()..];
        let behind = behind.strip_prefix('s').unwrap_or(behind);
        !is_letter(before) && !is_letter(behind.chars().next())
    })
}

fn look(root: &Path, place: &Path, endings: &[&str], wrong: &mut Vec<String>) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(root.join(place)).unwrap() {
        let path = place.join(entry.unwrap().file_name());
        let name = path.to_str().unwrap().to_owned();
        if root.join(&path).is_dir() {
            files += look(root, &path, endings, wrong);
            continue;
        }
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !endings.contains(&ending) || EXCEPT.contains(&name.as_str()) {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(root.join(&path)).unwrap().to_lowercase();
        for (n, line) in text.lines().enumerate() {
            for (word, term) in REFUSED.iter().filter(|(word, _)| has(line, word)) {
                wrong.push(format!("{name}:{}: {word:?}, better: {term}", n + 1));
            }
        }
    }
    files
}

#[test]
fn private_words_do_not_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let files: usize =
        PLACES.iter().map(|(place, endings)| look(root, place.as_ref(), endings, &mut wrong)).sum();
    assert!(files > 100, "{files} files found");
    assert!(wrong.is_empty(), "see docs/glossary.md:\n{}", wrong.join("\n"));
}

/// Comments that a reader has to scroll for; tables of documents cannot be broken.
#[test]
fn comments_have_a_hundred_columns() {
    fn look(dir: &Path, wrong: &mut Vec<String>) {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                look(&path, wrong);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let is_long = |line: &str| {
                    let line = line.trim_end();
                    let comment = line.trim_start().strip_prefix("//");
                    line.chars().count() > 100 && comment.is_some_and(|c| !c.contains(" | "))
                };
                let long = text.lines().enumerate().filter(|(_, line)| is_long(line));
                wrong.extend(long.map(|(n, _)| format!("{}:{}", path.display(), n + 1)));
            }
        }
    }
    let mut wrong = Vec::new();
    for dir in ["src", "tests", "tools/kvtool", "fuzz/crash/src", "benches/work"] {
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut wrong);
    }
    assert!(wrong.is_empty(), "comments of more than 100 columns:\n{}", wrong.join("\n"));
}

#[test]
fn words_are_told_from_parts_of_words() {
    assert!(has("a crumb.", "crumb") && has("crumbs_first", "crumb") && has("rim: x", "rim"));
    assert!(!has("trim(", "rim") && !has("equivalent", "lent") && !has("indeed", "deed"));
}
