//! Each feature that docs/coming-from.md lists is held by a test that exists.

use std::path::{Path, PathBuf};

/// All files with this ending below a directory.
fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

/// The cells of the rows of the table below a heading.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = document.split_once(heading).expect("the heading is there");
    let table = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let row = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

#[test]
fn each_feature_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for dir in ["tests", "src", "tools"] {
        files(&root.join(dir), "rs", &mut sources);
    }
    let text: String = sources.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let document = std::fs::read_to_string(root.join("docs/coming-from.md")).unwrap();
    let rows = rows(&document, "## Every feature, its call, its test");
    assert!(rows.len() > 25, "{} rows", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        assert_eq!(row.len(), 3, "{row:?}");
        let test = row[2].trim_matches('`');
        if !text.contains(&format!("fn {test}()")) {
            missing.push(format!("{}: {test}", row[0]));
        }
    }
    assert!(missing.is_empty(), "features whose test does not exist: {missing:#?}");
}
