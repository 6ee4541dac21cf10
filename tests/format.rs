//! docs/format.md and the code say the same: every row of its tables is a constant that the
//! encoders and the inspector decodes with, and every such constant stands in the document.
//!
//! The tables are read as people read them: a table belongs to the line above it, up to the first
//! `:` or `(`.

use std::collections::BTreeSet;
use std::path::Path;

/// Structure, field, offset, size (0: not fixed).
type Row = (String, String, usize, usize);

#[derive(Debug, Default)]
struct Document {
    rows: Vec<Row>,
    /// Sizes that titles give: structure, bytes.
    sizes: Vec<(String, usize)>,
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    line.strip_suffix('|').unwrap_or(line).split('|').map(str::trim).collect()
}

/// `4,096` and `24 x count` are 4096 and 24; nothing is 0.
fn number(text: &str) -> usize {
    let digits: String = text.chars().filter(|&c| c != ',').collect();
    digits.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// `Table descriptor: 64 bytes` is ("Table descriptor", 64).
fn title(line: &str) -> (String, Option<usize>) {
    let line = line.trim_start_matches('#').trim();
    let name = line.split([':', '(']).next().unwrap_or(line).trim();
    let size = line.rsplit_once(": ").map(|(_, s)| s.trim_end_matches('.'));
    (name.into(), size.and_then(|s| s.strip_suffix(" bytes")).map(number))
}

fn parse(text: &str) -> Document {
    let mut doc = Document::default();
    let (mut above, mut heading, mut header) = (String::new(), String::new(), Vec::new());
    for line in text.lines() {
        if !line.starts_with('|') {
            header.clear();
            if line.starts_with('#') {
                heading = title(line).0;
            }
            if !line.trim().is_empty() {
                above = line.into();
            }
            continue;
        }
        let cells = cells(line);
        if header.is_empty() {
            header = cells.iter().map(|c| c.to_string()).collect();
            let (name, size) = title(&above);
            if header[0] == "offset" {
                doc.sizes.extend(size.map(|s| (name, s)));
            }
        } else if cells[0].starts_with("---") {
            continue;
        } else if header[0] == "offset" {
            // `..` stands behind a field without a fixed size.
            if let Ok(at) = cells[0].replace(',', "").parse() {
                doc.rows.push((title(&above).0, cells[2].into(), at, number(cells[1])));
            }
        } else if header[0] == "page" {
            prefix(&mut doc, &heading, cells[0], cells[1]);
        }
    }
    doc
}

/// `32 (offset 24, 8 bytes: page number of the leftmost child, ...)`: where the prefix starts, and
/// what stands before it.
fn prefix(doc: &mut Document, heading: &str, page: &str, text: &str) {
    doc.rows.push((heading.into(), page.into(), number(text), 0));
    if let Some((_, inside)) = text.split_once("(offset ") {
        let (at, rest) = inside.split_once(", ").unwrap();
        assert!(rest.contains("leftmost child"), "{rest}");
        doc.rows.push((heading.into(), "leftmost child".into(), number(at), number(rest)));
    }
}

fn document() -> Document {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    parse(&std::fs::read_to_string(path).unwrap())
}

fn code() -> Vec<Row> {
    let table = recto::harness::format_table();
    table.into_iter().map(|(s, f, at, size)| (s.into(), f.into(), at, size)).collect()
}

fn compare(document: &[Row], code: &[Row]) -> Result<(), String> {
    let (d, c): (BTreeSet<_>, BTreeSet<_>) = (document.iter().collect(), code.iter().collect());
    let only: Vec<String> = d
        .difference(&c)
        .map(|row| format!("only in the document: {row:?}"))
        .chain(c.difference(&d).map(|row| format!("only in the code: {row:?}")))
        .collect();
    if only.is_empty() { Ok(()) } else { Err(only.join("\n")) }
}

#[test]
fn the_document_and_the_code_agree() {
    let doc = document();
    compare(&doc.rows, &code()).unwrap();
    // Also when both lost a table: every structure that the format has is there.
    let structures: BTreeSet<&str> = doc.rows.iter().map(|r| r.0.as_str()).collect();
    assert_eq!(structures.len(), 18, "{structures:?}");
}

#[test]
fn fields_stand_side_by_side_and_fill_their_structure() {
    let doc = document();
    assert_eq!(doc.sizes.len(), 10, "{:?}", doc.sizes);
    for (structure, size) in &doc.sizes {
        let mut at = 0;
        for row in doc.rows.iter().filter(|r| r.0 == *structure) {
            assert_eq!(row.2, at, "{row:?}");
            at += row.3;
        }
        assert_eq!(at, *size, "{structure}");
    }
}

/// Integers of a file, found by the document alone.
struct Reader<'a> {
    doc: &'a Document,
    file: &'a [u8],
}

impl Reader<'_> {
    /// Offset and size of a field.
    fn at(&self, structure: &str, field: &str) -> (usize, usize) {
        let row = self.doc.rows.iter().find(|r| r.0 == structure && r.1 == field);
        row.map(|r| (r.2, r.3)).unwrap_or_else(|| panic!("{structure} has no {field}"))
    }

    fn size(&self, structure: &str) -> usize {
        self.doc.sizes.iter().find(|s| s.0 == structure).unwrap().1
    }

    fn word(&self, base: usize, structure: &str, field: &str) -> usize {
        let (at, size) = self.at(structure, field);
        self.file[base + at..][..size].iter().rev().fold(0, |v, &b| v << 8 | usize::from(b))
    }

    /// The pairs of the only leaf of a tree, given where its descriptor stands: keys, and where
    /// their values stand. In the catalog these are table descriptors.
    fn leaf(&self, descriptor: usize, catalog: bool) -> Vec<(Vec<u8>, std::ops::Range<usize>)> {
        assert_eq!(self.word(descriptor, "Table descriptor", "depth"), 1);
        for unused in ["kind", "align_shift", "order", "value_size", "sequence", "pairs"] {
            assert_eq!(self.word(descriptor, "Table descriptor", unused), 0, "{unused}");
        }
        let page = self.word(descriptor, "Table descriptor", "root") * 4096;
        let header = |field| self.word(page, "Page header", field);
        assert_eq!((header("kind"), header("level"), header("zero")), (2, 0, 0));
        let (prefix_len, count) = (header("prefix_len"), header("count"));
        let start = page + self.size("Page header");
        let heads = start + prefix_len.next_multiple_of(4);
        let mut pairs = Vec::new();
        for i in 0..count {
            let head = u32::from_le_bytes(self.file[heads + 4 * i..][..4].try_into().unwrap());
            let slot = &self.file[heads + 4 * count + 2 * i..][..2];
            let cell = page + usize::from(u16::from_le_bytes(slot.try_into().unwrap()));
            let suffix_len = self.word(cell, "Leaf cell", "key_len");
            let rest = cell + self.at("Leaf cell", "rest").0;
            let value = rest + suffix_len.saturating_sub(4);
            let prefix = &self.file[start..start + prefix_len];
            let head = &head.to_be_bytes()[..suffix_len.min(4)];
            let key = [prefix, head, &self.file[rest..value]].concat();
            let tag = self.word(cell, "Leaf cell", "value_tag");
            assert_eq!(tag >= 0xc000, catalog, "value_tag {tag:#x}");
            pairs.push((key, value..value + tag % 0x4000));
        }
        pairs
    }
}

/// The document suffices to find the pairs in a file that the engine wrote.
#[test]
fn a_file_can_be_read_by_the_document() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    // SAFETY: the directory belongs to the test, and only recto touches the file while it is open.
    let db = unsafe { recto::Database::open(&path).unwrap() };
    let mut txn = db.write().unwrap();
    txn.open_table("t").unwrap().put(b"a-key", b"one").unwrap();
    txn.open_table("t").unwrap().put(b"a-third-key", b"two").unwrap();
    txn.commit().unwrap();
    drop(db);
    let (doc, file) = (document(), std::fs::read(&path).unwrap());
    let r = Reader { doc: &doc, file: &file };
    let newest = |&at: &usize| r.word(at, "Meta page", "txn");
    let meta = [0, 4096].into_iter().max_by_key(newest).unwrap();
    assert_eq!(file[meta..meta + 8], *b"recto\x0d\x0a\x1a");
    assert_eq!(r.word(meta, "Meta page", "version"), 2);
    assert_eq!(r.word(meta, "Meta page", "page_size"), 4096);
    assert!(r.word(meta, "Meta page", "page_count") * 4096 <= file.len());
    let mut copy = file[meta..meta + 4096].to_vec();
    copy[508..512].fill(0);
    assert_eq!(crc32fast::hash(&copy) as usize, r.word(meta, "Meta page", "crc"));

    let tables = r.leaf(meta + r.at("Meta page", "catalog").0, true);
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].0, b"t");
    assert_eq!(tables[0].1.len(), r.size("Table descriptor"));
    let pairs = r.leaf(tables[0].1.start, false);
    let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, &file[value])).collect();
    let expected = [(b"a-key".to_vec(), &b"one"[..]), (b"a-third-key".to_vec(), &b"two"[..])];
    assert_eq!(pairs, expected);
}

const SMALL: &str = "\
## Thing (of some kind): 1,012 bytes

| offset | size | name | meaning |
| --- | --- | --- | --- |
| 0 | 4 | a | |
| 4 | 1,008 | b | |
| 1,012 | | rest | |
| .. | | more | |

pair: 5 bytes.

| offset | size | name | meaning |
| --- | --- | --- | --- |
| 0 | 3 | left side | words |
| 3 | 2 | right | 0: none |
";

#[test]
fn a_difference_on_either_side_is_noticed() {
    let doc = parse(SMALL);
    let row = |s: &str, name: &str, at, size| (s.to_string(), name.to_string(), at, size);
    let right = vec![
        row("Thing", "a", 0, 4),
        row("Thing", "b", 4, 1008),
        row("Thing", "rest", 1012, 0),
        row("pair", "left side", 0, 3),
        row("pair", "right", 3, 2),
    ];
    assert_eq!(doc.rows, right);
    assert_eq!(doc.sizes, [("Thing".to_string(), 1012), ("pair".to_string(), 5)]);
    assert!(compare(&doc.rows, &right).is_ok());
    for i in 0..right.len() {
        let mut wrong = right.clone();
        wrong[i].2 += 1;
        assert!(compare(&doc.rows, &wrong).is_err());
        wrong[i] = (right[i].0.clone(), right[i].1.clone(), right[i].2, right[i].3 + 1);
        assert!(compare(&doc.rows, &wrong).is_err());
        wrong.remove(i);
        assert!(compare(&doc.rows, &wrong).is_err());
    }
    let more = [right.clone(), vec![row("Thing", "c", 12, 1)]].concat();
    assert!(compare(&doc.rows, &more).is_err());
}
