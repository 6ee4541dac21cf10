//! The engine under `kvtool` has no deliberate breakage of `fuzz/mutants` in it.

use memchr::memmem;
use std::path::Path;

#[test]
fn no_planted_bug_is_compiled_in() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_kvtool")).unwrap();
    let contains = |name: &str| memmem::find(&binary, name.as_bytes()).is_some();
    // What is there is found.
    assert!(contains("kvtool") && contains("an operation of this transaction"));
    let bugs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/mutants/bugs");
    let mut names = Vec::new();
    for file in std::fs::read_dir(bugs).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        names.extend(text.lines().filter_map(|l| Some(l.strip_prefix("bug ")?.to_owned())));
    }
    assert!(names.len() > 100, "only {} bugs are known", names.len());
    let found: Vec<_> = names.iter().filter(|name| contains(name)).collect();
    assert!(found.is_empty(), "in the product: {found:?}");
    assert!(!contains("is_planted"));
}
