//! A tree from its root down: every page is proved before anything of it comes out, and one that is
//! not becomes a hole.

use super::{Hole, Part, Recovered, Salvager};
use crate::format::checksum::page_crc;
use crate::inspect::PageKind;
use crate::inspect::layout::{self, header};
use crate::inspect::meta::run_crc;
use crate::inspect::node::{Body, Cell, Node, Run};
use crate::inspect::order::Keys;
use crate::inspect::tree::Listed;
use crate::types::{PageId, TableKind, TableOptions};
use std::borrow::Cow;

/// Who gets what is found.
pub enum Into<'t> {
    /// The list of tables.
    Catalog(&'t mut Vec<Listed>),
    /// The table with this index in the report.
    Table(usize),
    /// A table of what is put aside, and one with this name and `-sets` of what stands in sets of
    /// values: pairs so far, those of sets among them, and whether others may own its pages too, as
    /// versions of the past do.
    Aside { name: &'t str, pairs: u64, set_pairs: u64, shared: bool },
}

impl Into<'_> {
    fn table(&self) -> Option<usize> {
        match self {
            Into::Table(index) => Some(*index),
            _ => None,
        }
    }
}

/// A page and all below it.
#[derive(Clone, Copy)]
pub struct Subtree<'k> {
    pub id: u64,
    pub level: u64,
    /// Nothing in it is younger.
    pub ceiling: u64,
    /// Its keys are not below this one.
    pub from: Option<&'k [u8]>,
    /// They are below this one.
    pub to: Option<&'k [u8]>,
    /// How its keys are stored and ordered.
    pub keys: Keys,
    /// Its keys are the values of this key, and have so many bytes, or any number (0).
    pub values: Option<(&'k [u8], u64)>,
}

impl Subtree<'_> {
    /// A tree with all keys there can be.
    pub fn whole(id: u64, level: u64, ceiling: u64, keys: Keys) -> Subtree<'static> {
        Subtree { id, level, ceiling, from: None, to: None, keys, values: None }
    }
}

/// Why nothing comes out of a place.
enum Lost {
    /// What stands there is damaged.
    Damaged(String),
    /// It is sound, and not what leads there says: one of the two is an older image of a page.
    Elsewhere(String),
}

/// A page that verifies by itself. The text says why one does not.
pub fn verified<'p>(salvager: &Salvager<'p>, id: u64) -> Result<Cow<'p, [u8]>, String> {
    let scan = &salvager.scan;
    let bytes = scan.pages.read(id * scan.page_size as u64, scan.page_size);
    let bytes = bytes.map_err(|e| format!("cannot be read: {e}"))?;
    let stored = header::CRC.get(&bytes, 0).unwrap_or(0);
    if u64::from(page_crc(PageId(id), &bytes)) != stored {
        return Err("its checksum does not match".into());
    }
    Ok(bytes)
}

/// The node in a page that verifies, with all its cells, if nothing at all is wrong with it.
pub fn sound(bytes: &[u8], keys: Keys) -> Result<(Node<'_>, Vec<Cell<'_>>), String> {
    let node = Node::parse(bytes)?;
    let mut fault = None;
    let cells = node.cells(keys, &mut |what| fault = fault.take().or(Some(what)));
    if let Some(fault) = fault {
        return Err(fault);
    }
    if cells.is_empty() {
        return Err("a page without keys".into());
    }
    if node.branch != (node.level > 0) || node.level >= layout::MAX_DEPTH {
        return Err(format!(
            "a {} of level {}",
            ["leaf", "branch"][usize::from(node.branch)],
            node.level
        ));
    }
    Ok((node, cells))
}

/// What the way there demands of a page.
fn fits(node: &Node<'_>, cells: &[Cell<'_>], place: Subtree<'_>) -> Result<(), String> {
    if node.level != place.level {
        return Err(format!("of level {} where level {} must be", node.level, place.level));
    }
    if node.birth > place.ceiling {
        return Err(format!("born in {}, after what leads here, {}", node.birth, place.ceiling));
    }
    let keys = place.keys.of_page(node.plain);
    let (first, last) = (cells[0].key(node), cells[cells.len() - 1].key(node));
    if place.from.is_some_and(|from| keys.is_below(&first, from, false))
        || place.to.is_some_and(|to| !keys.is_below(&last, to, true))
    {
        return Err("its keys do not lie between the separators that lead here".into());
    }
    Ok(())
}

fn is_set(cell: &Cell<'_>) -> bool {
    matches!(cell.body, Body::Set(_) | Body::SetTree(_))
}

/// Indexes below `count`, from either end.
fn in_order(count: usize, reverse: bool) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| if reverse { count - 1 - i } else { i })
}

impl<'a> Salvager<'a> {
    /// Gets everything out of a subtree that can be proved, and notes what cannot.
    pub(super) fn walk(&mut self, into: &mut Into<'_>, place: Subtree<'_>) {
        if !self.scan.look() {
            return;
        }
        match self.page(into, place) {
            Ok(()) => {}
            Err(Lost::Damaged(why)) => self.hole(into, place, why),
            Err(Lost::Elsewhere(why)) => {
                self.hole(into, place, why);
                self.mark_tree_stale(into);
            }
        }
    }

    fn page(&mut self, into: &mut Into<'_>, place: Subtree<'_>) -> Result<(), Lost> {
        let kind = if place.level > 0 { PageKind::Branch } else { PageKind::Leaf };
        if place.id >= self.scan.page_count {
            return Err(Lost::Damaged("outside the file".into()));
        }
        if !self.scan.claim(place.id, 1, kind) {
            return Err(Lost::Elsewhere("somebody else's".into()));
        }
        let node = self.node(into, place);
        if node.is_err() {
            self.release(place.id, 1);
        }
        node
    }

    /// A page that has been claimed.
    fn node(&mut self, into: &mut Into<'_>, place: Subtree<'_>) -> Result<(), Lost> {
        let bytes = verified(self, place.id).map_err(Lost::Damaged)?;
        let (node, cells) = sound(&bytes, place.keys).map_err(Lost::Damaged)?;
        fits(&node, &cells, place).map_err(Lost::Elsewhere)?;
        let size = place.values.filter(|_| !node.branch).map_or(0, |(_, size)| size);
        if node.packed as u64 != size && !matches!(into, Into::Aside { .. }) {
            return Err(Lost::Elsewhere("a leaf of another kind".into()));
        }
        let figure = match place.values {
            Some(_) => 3,
            None if node.branch => 1,
            None => 2,
        };
        self.count(into, figure, 1);
        match place.values {
            _ if node.branch => self.children(into, &node, &cells, place),
            Some((key, _)) => self.values(into, &node, &cells, key, place.id),
            None => self.entries(into, &node, &cells, place),
        }
        Ok(())
    }

    /// Gives pages back that are not what they were claimed for: somebody else may own them. They
    /// are read once more then, so how often this is done has a bound.
    fn release(&mut self, first: u64, pages: u64) {
        if let Some(left) = self.reread.checked_sub(pages) {
            self.reread = left;
            (first..first + pages).for_each(|id| self.scan.disown(id));
        }
    }

    /// An older image of a page may stand in what is walked.
    fn mark_tree_stale(&mut self, into: &Into<'_>) {
        match into {
            Into::Catalog(_) => self.mark_stale(None),
            Into::Table(index) => self.mark_stale(Some(*index)),
            Into::Aside { .. } => {}
        }
    }

    fn children(
        &mut self,
        into: &mut Into<'_>,
        node: &Node<'_>,
        cells: &[Cell<'_>],
        place: Subtree<'_>,
    ) {
        let below = Subtree { level: place.level - 1, ceiling: node.birth, ..place };
        let keys: Vec<Vec<u8>> = cells.iter().map(|cell| cell.key(node)).collect();
        let child = |i: usize| match i.checked_sub(1).map(|i| &cells[i].body) {
            None => node.leftmost(),
            Some(Body::Child(child)) => *child,
            Some(_) => 0,
        };
        let part = self.part_of(into);
        for i in in_order(cells.len() + 1, part.reverse) {
            let from = i.checked_sub(1).map(|i| &keys[i][..]).or(place.from);
            let to = keys.get(i).map(|key| &key[..]).or(place.to);
            if place.values.is_some() || part.meets(place.keys.of_page(node.plain), from, to) {
                self.walk(into, Subtree { id: child(i), from, to, ..below });
            }
        }
    }

    /// What is asked for of what is walked: all of the catalog.
    fn part_of(&self, into: &Into<'_>) -> Part<'a> {
        if let Into::Catalog(_) = into { Part::default() } else { self.part }
    }

    /// Takes note of a page that is lost, and of what may have been below it.
    fn hole(&mut self, into: &Into<'_>, place: Subtree<'_>, why: String) {
        if let Into::Aside { shared: true, .. } = into {
            // A version of the past has lost pages to those who came after.
            return;
        }
        let (from, to) = (place.from.map(<[u8]>::to_vec), place.to.map(<[u8]>::to_vec));
        let table = into.table();
        let range = match place.values {
            // Exactly this key.
            Some((key, _)) => (Some(key.to_vec()), Some([key, &[0]].concat())),
            None => (from.clone(), to.clone()),
        };
        self.lose(table, PageId(place.id), Some(place.level as u8), range, why);
        if !matches!(into, Into::Aside { .. }) {
            let (level, ceiling) = (place.level, place.ceiling);
            let of_sets = self.is_set(table);
            let (page, keys) = (place.id, place.keys);
            self.holes.push(Hole { page, table, keys, level, ceiling, from, to, of_sets });
        }
    }

    fn entries(
        &mut self,
        into: &mut Into<'_>,
        node: &Node<'_>,
        cells: &[Cell<'_>],
        Subtree { id: leaf, keys, .. }: Subtree<'_>,
    ) {
        let keys = keys.of_page(node.plain);
        let part = self.part_of(into);
        for cell in in_order(cells.len(), part.reverse).map(|i| &cells[i]) {
            if !self.scan.look() {
                return;
            }
            let key = cell.key(node);
            if !part.has(keys, &key) {
                continue;
            }
            if matches!(into, Into::Catalog(_)) && std::str::from_utf8(&key).is_err() {
                let name = key.escape_ascii();
                let why = format!("the table name \"{name}\" is not UTF-8: the table gets another");
                self.lose(None, PageId(leaf), None, (None, None), why);
            }
            if let (Body::Table(_), Into::Aside { .. }) = (cell.body, &*into) {
                // A leaf of a catalog of the past: no pairs of users.
                continue;
            }
            match self.sets_of(into) {
                Some(wanted) if wanted.is_some() || is_set(cell) => {
                    self.set(into, node, cell, key, wanted, leaf);
                    continue;
                }
                _ => {}
            }
            match self.value(into, node, cell) {
                Ok(value) => self.give(into, node.birth, key, &value, false),
                Err((page, why)) => match into {
                    Into::Catalog(listed) => {
                        // The name is known, the tree is not.
                        let name = String::from_utf8_lossy(&key).into_owned();
                        let (descriptor, birth) = (Vec::new(), node.birth);
                        listed.push(Listed { name, descriptor, leaf: 0, birth });
                    }
                    _ => {
                        let page = PageId(if page == 0 { leaf } else { page });
                        self.lose(into.table(), page, None, (Some(key), None), why);
                    }
                },
            }
        }
    }

    /// Whether sets may come out: of a table of sets the size of its values, of what is put aside
    /// nothing more.
    fn sets_of(&self, into: &Into<'_>) -> Option<Option<u64>> {
        match into {
            Into::Catalog(_) => None,
            Into::Aside { .. } => Some(None),
            Into::Table(index) => match self.report.tables[*index].options.kind {
                TableKind::Map => None,
                TableKind::Set { value_size } => Some(Some(value_size.into())),
            },
        }
    }

    /// What stands beside a key of a table of sets. Values that such a table cannot have are lost:
    /// none of them is certain then.
    fn set(
        &mut self,
        into: &mut Into<'_>,
        node: &Node<'_>,
        cell: &Cell<'_>,
        key: Vec<u8>,
        wanted: Option<u64>,
        leaf: u64,
    ) {
        let max = layout::max_key(self.scan.page_size);
        let size = |found: u64| match wanted {
            Some(size) if found != size => Err("values of another size than the table says"),
            _ => Ok(()),
        };
        let list = match cell.body {
            Body::Value(value) => Ok(vec![value]),
            Body::Set(set) => {
                size(set.value_size as u64).map_err(String::from).and_then(|()| set.list())
            }
            Body::SetTree(tree) => match size(tree.value_size) {
                Ok(()) => {
                    let values = Some((&key[..], tree.value_size));
                    let level = tree.depth - 1;
                    let whole = Subtree::whole(tree.root, level, node.birth, Keys::Packed);
                    return self.walk(into, Subtree { values, ..whole });
                }
                Err(why) => Err(why.into()),
            },
            _ => Err("no set of values beside a key".into()),
        };
        let fits = |value: &&[u8]| match wanted {
            Some(size) if size > 0 => value.len() as u64 == size,
            _ => value.len() <= max,
        };
        let list = list.and_then(|list| {
            let right = list.iter().all(fits) && list.windows(2).all(|two| two[0] < two[1]);
            right.then_some(list).ok_or_else(|| "values that the table cannot have".into())
        });
        match list {
            Ok(list) => {
                for i in in_order(list.len(), self.part_of(into).reverse) {
                    if !self.scan.look() {
                        return;
                    }
                    self.give(into, node.birth, key.clone(), list[i], true);
                }
            }
            Err(why) => self.lose(into.table(), PageId(leaf), None, (Some(key), None), why),
        }
    }

    /// A leaf of the tree of the values of a key.
    fn values(
        &mut self,
        into: &mut Into<'_>,
        node: &Node<'_>,
        cells: &[Cell<'_>],
        key: &[u8],
        leaf: u64,
    ) {
        let part = self.part_of(into);
        for cell in in_order(cells.len(), part.reverse).map(|i| &cells[i]) {
            if !self.scan.look() {
                return;
            }
            match cell.body {
                Body::Value([]) => {
                    self.give(into, node.birth, key.to_vec(), &cell.key(node), true);
                }
                _ => {
                    let why = "a value beside a value of a set".into();
                    self.lose(into.table(), PageId(leaf), None, (Some(key.to_vec()), None), why);
                }
            }
        }
    }

    /// Gives a pair, or one of the values of a key, to whoever takes it.
    fn give(&mut self, into: &mut Into<'_>, birth: u64, key: Vec<u8>, value: &[u8], of_set: bool) {
        let (bytes, sets) = (TableOptions::default(), TableOptions::set());
        let beside;
        let (table, options, sequence) = match into {
            Into::Catalog(listed) => {
                let name = String::from_utf8_lossy(&key).into_owned();
                listed.push(Listed { name, descriptor: value.to_vec(), leaf: 0, birth });
                return;
            }
            Into::Table(index) => {
                let table = &mut self.report.tables[*index];
                table.pairs += 1;
                table.bytes += (key.len() + value.len()) as u64;
                self.figures[*index].found[0] += 1;
                (&table.name[..], &table.options, table.sequence)
            }
            Into::Aside { name, pairs, set_pairs, .. } => {
                *pairs += 1;
                if of_set {
                    *set_pairs += 1;
                    beside = format!("{name}-sets");
                    (&beside[..], &sets, 0)
                } else {
                    (*name, &bytes, 0)
                }
            }
        };
        let page_size = self.scan.page_size;
        let pair = Recovered { table, options, sequence, key: &key, value, page_size };
        if let Err(e) = (self.take)(&pair) {
            self.failed = Some(e);
            self.scan.stopped = true;
        }
    }

    /// The value of an entry; else the page to blame (0: the leaf) and why.
    fn value<'v>(
        &mut self,
        into: &Into<'_>,
        node: &Node<'v>,
        cell: &Cell<'v>,
    ) -> Result<Cow<'v, [u8]>, (u64, String)> {
        let wanted = matches!(into, Into::Catalog(_)) && self.scan.version != layout::VERSION_1;
        let run = match cell.body {
            Body::Table(descriptor) if wanted => return Ok(Cow::Borrowed(descriptor)),
            _ if wanted => return Err((0, "a value where a table descriptor must be".into())),
            Body::Value(value) | Body::Aligned(value, _) => return Ok(Cow::Borrowed(value)),
            Body::Overflow(run) => run,
            Body::Table(_) => {
                return Err((0, "a table descriptor where a value must be".into()));
            }
            _ => return Err((0, "no value where one must be".into())),
        };
        let blame = |why: String| (run.first, why);
        if run.birth > node.birth {
            self.mark_tree_stale(into);
            return Err(blame("a value younger than the leaf that leads to it".into()));
        }
        let pages = run.len.div_ceil(self.scan.page_size as u64);
        let fits = run.first >= 2
            && run.len > 0
            && run.first.checked_add(pages).is_some_and(|end| end <= self.scan.page_count);
        if !fits {
            return Err(blame("a value outside the file".into()));
        }
        // Pages of the past may be shared between versions; how often they are read has a bound all
        // the same.
        let shared = matches!(into, Into::Aside { shared: true, .. });
        let Some(claimed) = self.claim_run(run.first, pages, shared) else {
            self.mark_tree_stale(into);
            return Err(blame("a value in pages of somebody else".into()));
        };
        let bytes = self.run(run).map_err(|why| {
            if claimed {
                self.release(run.first, pages);
            }
            blame(why)
        })?;
        self.count(into, 3, pages);
        Ok(Cow::Owned(bytes))
    }

    /// Claims a run, as long as that can be afforded all of it or nothing. False: it is somebody
    /// else's too.
    fn claim_run(&mut self, first: u64, pages: u64, shared: bool) -> Option<bool> {
        match self.reread.checked_sub(pages) {
            Some(left) if (first..first + pages).any(|id| self.scan.is_owned(id)) => {
                self.reread = left;
                shared.then_some(false)
            }
            _ => self.scan.claim(first, pages, PageKind::Overflow).then_some(true),
        }
    }

    /// Counts what a table has got, by the place among its figures.
    fn count(&mut self, into: &Into<'_>, figure: usize, n: u64) {
        if let Into::Table(index) = into {
            self.figures[*index].found[figure] += n;
        }
    }

    /// The bytes of an overflow run that verifies.
    fn run(&mut self, run: Run) -> Result<Vec<u8>, String> {
        let scan = &mut self.scan;
        let (pages, size) = (scan.pages, scan.page_size);
        let (crc, padded) = run_crc(pages, size, run.first, run.len, |_| scan.look())?;
        if u64::from(crc) != run.crc || !padded {
            return Err("the checksum of the value does not match".into());
        }
        let bytes = pages.read(run.first * size as u64, run.len as usize);
        bytes.map(Cow::into_owned).map_err(|e| format!("cannot be read: {e}"))
    }
}
