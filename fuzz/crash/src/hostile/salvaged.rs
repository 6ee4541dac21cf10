//! What salvage must get out of a damaged image, worked out from the undamaged one by
//! docs/format.md alone, and compared.
//!
//! Three demands. Nothing wrong: a pair in a table of the catalog is in that table in the snapshot
//! that was followed. Nothing left: every pair whose leaf and run are undamaged comes out, in its
//! table or put aside. Nothing twice in one table.

use super::bytes::{LEAF, Node, PACKED, TAG_ALIGNED, TAG_OVERFLOW, TAG_SET, TAG_SET_TREE, get};
use super::exercise::{Model, Wrong, digest};
use super::sets::pair_of;
use recto::TableKind;
use recto::inspect::salvage::{SalvageOptions, SalvageReport, Source, salvage};
use recto::inspect::{MetaChoice, PageKind, Tree, walk};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// A pair of a snapshot and the pages it lies on.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its table.
    pub table: String,
    /// Its key; in a table of sets what stands for the pair.
    pub key: Vec<u8>,
    /// The same where it is put aside: there nobody knows that a key with one value is of a table
    /// of sets.
    pub aside: Vec<u8>,
    /// Digest of its value.
    pub value: u32,
    /// Its leaf, and the pages of its run; of a value in a tree of values those that lead to it.
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
        let mut reading = Reading { image: &image, page_size, ..Reading::default() };
        let report = walk(&image, &MetaChoice::Slot(slot), &mut |page| {
            match (page.kind, page.tree) {
                (PageKind::Leaf, Tree::Catalog) => reading.catalog_leaf(page.id.0),
                (PageKind::Leaf, Tree::Table(table)) => {
                    reading.leaves.push((table.into(), page.id.0));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        all.push(Snapshot { txn: report.meta.txn.0, pairs: reading.pairs() });
    }
    all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.txn));
    Ok(all)
}

/// An undamaged image, and what a walk over it has met.
#[derive(Default)]
struct Reading<'i> {
    image: &'i [u8],
    page_size: usize,
    /// Names of the tables of sets.
    sets: BTreeSet<Vec<u8>>,
    /// Leaves with their tables; of tables of sets those of the trees of values too.
    leaves: Vec<(String, u64)>,
}

/// A cell of a leaf: its key, its tag, and where what stands behind the key begins in the page.
type LeafCell = (Vec<u8>, u64, usize);

impl<'i> Reading<'i> {
    fn page(&self, id: u64) -> &'i [u8] {
        &self.image[id as usize * self.page_size..][..self.page_size]
    }

    fn cells(&self, id: u64) -> Vec<LeafCell> {
        let page = self.page(id);
        let Some(node) = Node::of(page).filter(|node| !node.branch) else { return Vec::new() };
        let cell = |index: usize| {
            let (len_at, rest) = node.key_fields(page, index);
            (node.key(page, index), get(page, len_at + 2, 2), rest.end)
        };
        (0..node.count).map(cell).collect()
    }

    fn catalog_leaf(&mut self, id: u64) {
        let page = self.page(id);
        let sets = self.cells(id).into_iter().filter(|&(_, _, at)| page[at + 42] == 1);
        self.sets.extend(sets.map(|(name, ..)| name));
    }

    fn pairs(&self) -> Vec<Held> {
        let roots = self.leaves.iter().flat_map(|(_, id)| {
            let trees = self.cells(*id).into_iter().filter(|cell| cell.1 == TAG_SET_TREE);
            trees.map(|(_, _, at)| get(self.page(*id), at + 6, 6))
        });
        let mut of_trees = Vec::new();
        roots.for_each(|root| self.tree(root, &[], &mut |_, pages| of_trees.extend(pages)));
        let of_trees: BTreeSet<u64> = of_trees.into_iter().collect();
        let mut out = Vec::new();
        for (table, id) in self.leaves.iter().filter(|(_, id)| !of_trees.contains(id)) {
            let is_set = self.sets.contains(table.as_bytes());
            for cell in self.cells(*id) {
                match is_set {
                    true => self.set(table, *id, &cell, &mut out),
                    false => out.push(self.single(table, *id, cell)),
                }
            }
        }
        out
    }

    fn single(&self, table: &str, id: u64, (key, tag, at): LeafCell) -> Held {
        let page = self.page(id);
        let mut pages = vec![id];
        let value = match tag {
            TAG_OVERFLOW => {
                let (first, len) = (get(page, at, 8), get(page, at + 8, 8) as usize);
                pages.extend(first..first + len.div_ceil(self.page_size) as u64);
                digest(&self.image[first as usize * self.page_size..][..len])
            }
            _ => digest(value(page, tag, at)),
        };
        Held { table: table.into(), aside: key.clone(), key, value, pages }
    }

    /// The values of a key of a table of sets.
    fn set(&self, table: &str, id: u64, (key, tag, at): &LeafCell, out: &mut Vec<Held>) {
        let (page, at) = (self.page(id), *at);
        let mut give = |value: &[u8], pages: &[u64], several: bool| {
            let pair = pair_of(key, value);
            let aside = if several { pair.clone() } else { key.clone() };
            let pages = [&[id], pages].concat();
            out.push(Held { table: table.into(), key: pair, aside, value: digest(value), pages });
        };
        match *tag {
            TAG_SET_TREE => {
                let root = get(page, at + 6, 6);
                self.tree(root, &[], &mut |value, pages| give(value, pages, true));
            }
            TAG_SET => {
                let [size, count] = [2, 4].map(|field| get(page, at + field, 2) as usize);
                let ends = if size == 0 { 2 * count } else { 0 };
                let end = |i: usize| match size {
                    0 => get(page, at + 6 + 2 * i, 2) as usize,
                    _ => size * (i + 1),
                };
                let values = &page[at + 6 + ends..];
                for i in 0..count {
                    let from = if i == 0 { 0 } else { end(i - 1) };
                    give(&values[from..end(i)], &[], true);
                }
            }
            len => give(&page[at..][..len as usize], &[], false),
        }
    }

    /// The values of a tree, each with the pages that lead to it.
    fn tree(&self, id: u64, above: &[u64], give: &mut dyn FnMut(&[u8], &[u64])) {
        let page = self.page(id);
        let pages = [above, &[id]].concat();
        let count = get(page, 6, 2) as usize;
        match (page[4], Node::of(page)) {
            (PACKED, _) => {
                let size = get(page, 20, 2) as usize;
                page[24..][..size * count].chunks(size).for_each(|value| give(value, &pages));
            }
            (LEAF, _) => self.cells(id).iter().for_each(|(value, ..)| give(value, &pages)),
            (_, Some(node)) => {
                (0..=count).for_each(|index| self.tree(node.child(page, index), &pages, give));
            }
            _ => {}
        }
    }
}

/// The value of a leaf's cell of a sound page, behind its key from byte `at` on.
fn value(page: &[u8], tag: u64, at: usize) -> &[u8] {
    if tag != TAG_ALIGNED {
        return &page[at..][..tag as usize];
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
        let key = match pair.options.kind {
            TableKind::Map => pair.key.to_vec(),
            _ => pair_of(pair.key, pair.value),
        };
        if pairs.insert(key, digest(pair.value)).is_some() {
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
            if !anywhere.contains(&(&held.aside[..], held.value)) {
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
