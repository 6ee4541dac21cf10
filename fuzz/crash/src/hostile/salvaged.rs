//! What salvage must get out of a damaged image, worked out from the undamaged one by
//! docs/format.md alone, and compared.
//!
//! Three demands. Nothing wrong: a pair in a table of the catalog is in that table in the snapshot
//! that was followed. Nothing left: every pair whose leaf and run are undamaged comes out, in its
//! table or put aside. Nothing twice in one table.

use super::bytes::{LEAF, Node, get};
use super::exercise::{Model, Wrong, digest};
use recto::inspect::salvage::{SalvageOptions, SalvageReport, Source, salvage};
use recto::inspect::{MetaChoice, PageKind, Tree, walk};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// A pair of a snapshot and the pages it lies on.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: Vec<u8>,
    /// Digest of its value.
    pub value: u32,
    /// Its leaf, and the pages of its run.
    pub pages: Vec<u64>,
}

/// A snapshot of an undamaged image: all its pairs.
pub struct Snapshot {
    /// The transaction that made it.
    pub txn: u64,
    /// Its pairs.
    pub pairs: Vec<Held>,
}

/// The snapshots of both metas of an undamaged image, the newer one first.
pub fn snapshots(image: &[u8], page_size: usize) -> recto::Result<Vec<Snapshot>> {
    let image = image.to_vec();
    let mut all = Vec::new();
    for slot in [0, 1] {
        let mut pairs = Vec::new();
        let report = walk(&image, &MetaChoice::Slot(slot), &mut |page| {
            if let (PageKind::Leaf, Tree::Table(table)) = (page.kind, page.tree) {
                let id = page.id.0 as usize;
                leaf_pairs(&image, page_size, id, table, &mut pairs);
            }
            ControlFlow::Continue(())
        })?;
        all.push(Snapshot { txn: report.meta.txn.0, pairs });
    }
    all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.txn));
    Ok(all)
}

fn leaf_pairs(image: &[u8], page_size: usize, id: usize, table: &str, out: &mut Vec<Held>) {
    let page = &image[id * page_size..][..page_size];
    let Some(node) = Node::of(page).filter(|_| page[4] == LEAF) else { return };
    let prefix = &page[24..24 + get(page, 20, 2) as usize];
    for index in 0..node.count {
        let at = node.cell(page, index);
        let suffix = get(page, at, 2) as usize;
        let head = (get(page, node.heads + 4 * index, 4) as u32).to_be_bytes();
        let rest = at + 4..at + 4 + suffix.saturating_sub(4);
        let key = [prefix, &head[..suffix.min(4)], &page[rest.clone()]].concat();
        let mut pages = vec![id as u64];
        let value = match node.overflow(page, index) {
            None => digest(value(page, &node, index, rest.end)),
            Some(run) => {
                let (first, len) = (get(page, run, 8), get(page, run + 8, 8) as usize);
                pages.extend(first..first + len.div_ceil(page_size) as u64);
                digest(&image[first as usize * page_size..][..len])
            }
        };
        out.push(Held { table: table.into(), key, value, pages });
    }
}

/// The value of a leaf's cell of a sound page, behind its key from byte `at` on.
fn value<'p>(page: &'p [u8], node: &Node, index: usize, at: usize) -> &'p [u8] {
    if node.aligned(page, index).is_none() {
        return &page[at..][..get(page, node.cell(page, index) + 2, 2) as usize];
    }
    let len = get(page, at, 2) as usize;
    if len == 0 {
        return &[];
    }
    let align = 1usize << page[at + 2];
    &page[at + 4 + usize::from(page[at + 3])..][..len - align - 1]
}

/// All that came out, by table.
pub fn run(image: &[u8]) -> Result<(SalvageReport, Model), Wrong> {
    let mut model = Model::new();
    let mut twice = None;
    let report = salvage(&image, SalvageOptions::default(), &mut |pair| {
        let pairs = model.entry(pair.table.to_owned()).or_default();
        if pairs.insert(pair.key.to_vec(), digest(pair.value)).is_some() {
            twice = Some(format!("key {} of {:?} came out twice", short(pair.key), pair.table));
        }
        Ok(())
    });
    match (report, twice) {
        (Ok(_), Some(twice)) => Err(twice),
        (Ok(report), None) => Ok((report, model)),
        (Err(e), _) => Err(e.to_string()),
    }
}

fn short(key: &[u8]) -> String {
    let dots = if key.len() > 40 { "..." } else { "" };
    format!("{}{dots}", key[..key.len().min(40)].escape_ascii())
}

/// How much came out.
#[derive(Clone, Copy, Default, Debug)]
pub struct Salvaged {
    /// Pairs of the snapshot.
    pub had: u64,
    /// Of those, on undamaged pages.
    pub undamaged: u64,
    /// Came out in their tables.
    pub in_place: u64,
    /// Came out aside.
    pub aside: u64,
}

/// Salvages a damaged image and compares with what was there; `damaged` are the pages that were
/// damaged.
pub fn compare(
    snapshots: &[Snapshot],
    image: &[u8],
    damaged: &BTreeSet<u64>,
) -> Result<(SalvageReport, Salvaged), Wrong> {
    let (report, found) = run(image)?;
    let followed = snapshots.iter().find(|s| s.txn == report.txn.0);
    let by_meta = matches!(report.source, Source::Meta(_) | Source::RefusedMeta(_));
    if by_meta && followed.is_none() {
        return Err(format!("followed transaction {}, which no meta names", report.txn));
    }
    // Without metas an older catalog may have been all there was; what is newer must have come out
    // aside then.
    let expected = if by_meta { followed } else { snapshots.first() };
    let Some(snapshot) = expected else { return Err("no snapshot at all".into()) };
    let names: BTreeSet<&str> = report.tables.iter().map(|t| &t.name[..]).collect();
    let mut right: BTreeMap<(&str, &[u8]), u32> = BTreeMap::new();
    let mut anywhere: BTreeSet<(&[u8], u32)> = BTreeSet::new();
    for held in followed.iter().flat_map(|s| &s.pairs) {
        right.insert((&held.table, &held.key), held.value);
    }
    for (table, pairs) in &found {
        for (key, value) in pairs {
            anywhere.insert((key, *value));
            let told = right.get(&(&table[..], &key[..]));
            if followed.is_some() && names.contains(&table[..]) && told != Some(value) {
                let key = short(key);
                return Err(format!("table {table:?}, key {key}: wrong value, or there was none"));
            }
        }
    }
    let mut salvaged = Salvaged { had: snapshot.pairs.len() as u64, ..Salvaged::default() };
    for held in &snapshot.pairs {
        let here = names.contains(&held.table[..])
            && found.get(&held.table).and_then(|pairs| pairs.get(&held.key)) == Some(&held.value);
        salvaged.in_place += u64::from(here);
        if held.pages.iter().any(|page| damaged.contains(page)) {
            continue;
        }
        salvaged.undamaged += 1;
        if !here {
            if !anywhere.contains(&(&held.key[..], held.value)) {
                let key = short(&held.key);
                return Err(format!(
                    "table {:?}, key {key}: undamaged, and did not come out",
                    held.table
                ));
            }
            salvaged.aside += 1;
        }
    }
    if report.is_whole() && salvaged.in_place != salvaged.had {
        return Err("calls itself whole, and pairs are missing".into());
    }
    Ok((report, salvaged))
}
