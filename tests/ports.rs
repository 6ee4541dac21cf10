//! The programs of docs/ports.md are no longer than their originals, collect nothing before they
//! change it, and encode no key by hand. That they run is a test of the page itself (`src/lib.rs`).

use std::path::Path;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The blocks behind a heading, by the name in their first line, with their lines that are not
/// empty.
fn blocks(section: &str) -> Vec<(&str, Vec<&str>)> {
    let blocks = section.split("\n```").skip(1).step_by(2);
    blocks
        .map(|block| {
            let mut lines = block.lines().skip(1).filter(|line| !line.trim().is_empty());
            let name = lines.next().and_then(|line| line.strip_prefix("// ")).expect("a name");
            (name, lines.collect())
        })
        .collect()
}

/// What a program writes that has to encode its keys, or to collect before it changes.
const BY_HAND: [&str; 5] = ["to_be_bytes", "to_le_bytes", "from_be_bytes", "collect", "to_vec()"];

#[test]
fn programs_are_no_longer_than_their_originals() {
    let page = read("docs/ports.md");
    let sections: Vec<&str> = page.split("\n## From ").skip(1).collect();
    assert_eq!(sections.len(), 2);
    for section in sections {
        let [(other, original), (recto, ours)] = &blocks(section)[..] else { panic!("{section}") };
        assert!(*other != "recto" && *recto == "recto");
        assert!(ours.len() > 30, "a whole program");
        assert!(ours.len() <= original.len(), "{other}: {} to {}", original.len(), ours.len());
        for word in BY_HAND {
            assert!(!ours.iter().any(|line| line.contains(word)), "{other}: {word}");
        }
    }
}

/// The table of the page names programs that are there.
#[test]
fn the_other_programs_are_examples() {
    let page = read("docs/ports.md");
    let (table, _) = page.split_once("\n## From ").unwrap();
    let paths = table.split("](../").skip(1).map(|link| link.split(')').next().unwrap());
    let programs: Vec<&str> = paths.filter(|path| path.ends_with(".rs")).collect();
    assert_eq!(programs.len(), 3);
    for program in programs {
        let text = read(program);
        for word in ["to_be_bytes", "to_le_bytes", "from_be_bytes"] {
            assert!(!text.contains(word), "{program}: {word}");
        }
    }
}
