//! Pages that nothing leads to any more: found by reading everything that nobody has claimed, and
//! placed as far as that can be proved.

use super::start::{Search, Start};
use super::walk::{Into, Subtree, sound, verified};
use super::{Aside, Hole, MAX_LOSSES, Salvager};
use crate::inspect::node::{Body, Cell};
use crate::inspect::order::Keys;
use crate::types::{PageId, TxnId};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

/// A page that verifies and that nobody has claimed.
struct Orphan {
    id: u64,
    level: u64,
    birth: u64,
    /// Its keys stand whole.
    plain: bool,
    first: Box<[u8]>,
    last: Box<[u8]>,
    /// Of a branch.
    children: Box<[u64]>,
    /// Roots of trees of values that a leaf leads to.
    sets: Box<[u64]>,
    /// It can be of a table of sets alone.
    of_sets: bool,
    /// What it adds to a table by itself: entries, branch, leaf and overflow pages.
    figures: [u64; 4],
}

impl Hole {
    /// Whether the orphan may have been below this page, in a table that it led to if it was one of
    /// the catalog: of such a table nothing is known, neither its height nor its keys.
    fn takes(&self, orphan: &Orphan) -> bool {
        orphan.birth <= self.ceiling
            && match self.table {
                None => true,
                Some(_) => self.of_sets || !orphan.of_sets && self.takes_in_tree(orphan),
            }
    }

    /// Whether the orphan may have been below this page in the same tree.
    fn takes_in_tree(&self, orphan: &Orphan) -> bool {
        let keys = self.keys.of_page(orphan.plain);
        orphan.level < self.level
            && orphan.birth <= self.ceiling
            && keys.fits(orphan.plain)
            && self.from.as_ref().is_none_or(|k| !keys.is_below(&orphan.first, k, false))
            && self.to.as_ref().is_none_or(|k| keys.is_below(&orphan.last, k, true))
    }
}

/// Finds all orphans and gives each to the table it belongs to for certain, or puts it aside, or
/// leaves it to the past.
pub fn place(salvager: &mut Salvager<'_>, start: &Start, newer: bool) {
    let txn = start.meta.txn;
    // Before the free space is claimed: what a newer transaction wrote stands there.
    let newest = if newer { find(salvager, &|birth, _| birth > txn) } else { Vec::new() };
    let pages = start.meta.page_count;
    if !salvager.owns_all(start) {
        let why =
            "pages are free and in use at once, or neither: one may be an older image of itself";
        salvager.lose_unknown(None, txn, why);
    }
    if salvager.holes.is_empty() && !newer {
        return;
    }
    let orphans = find(salvager, &|birth, id| birth <= txn && id < pages);
    let strays = |orphan: &Orphan| !salvager.holes.iter().any(|hole| hole.takes(orphan));
    if salvager.report.space_known && orphans.iter().any(strays) {
        let why = "a page is in use, and no loss explains that nothing leads to it";
        salvager.lose_unknown(None, txn, why);
    }
    if salvager.report.space_known {
        salvager.lost_catalog(&orphans);
    }
    for table in salvager.contradicted(&orphans) {
        salvager.mark_stale(Some(table));
    }
    // What one of them leads to has been claimed when its turn comes. Values last of all: whatever
    // their level, a leaf that leads to them knows their key.
    let values = values_among(&orphans);
    let is_value = |orphan: &&Orphan| values.contains(&orphan.id);
    let (last, first): (Vec<&Orphan>, Vec<&Orphan>) = orphans.iter().partition(is_value);
    for orphan in first.into_iter().chain(last) {
        if !salvager.scan.is_owned(orphan.id) && !salvager.scan.stopped {
            salvager.place(orphan);
        }
    }
    newest.iter().for_each(|orphan| salvager.scan.disown(orphan.id));
    for orphan in &newest {
        if !salvager.scan.is_owned(orphan.id) && !salvager.scan.stopped {
            salvager.put_aside(orphan, &BTreeSet::new(), true);
        }
    }
}

/// Whether anything speaks for it that the catalog whose root was found is not the newest one, or
/// not all of it.
pub fn more_may_have_been(salvager: &mut Salvager<'_>, root: u64) -> bool {
    if salvager.report.loss_count > 0 {
        return true;
    }
    let Some(catalog) = orphan(salvager, root) else { return true };
    let (pages, page_size) = (salvager.scan.pages, salvager.scan.page_size);
    let count = salvager.scan.page_count;
    let version = salvager.scan.version;
    let search = Search { pages, page_size, count, version, cancelled: None };
    let mut unreadable = None;
    for range in salvager.scan.unowned() {
        // The page in front of the next range has an owner: it was read.
        if unreadable.is_some_and(|id| id < range.start) {
            return true;
        }
        for id in range {
            if !salvager.scan.look() {
                return true;
            }
            if verified(salvager, id).is_err() {
                unreadable = unreadable.or(Some(id));
                continue;
            }
            let Some(found) = orphan(salvager, id) else { continue };
            let elsewhere = found.last < catalog.first || found.first > catalog.last;
            let lists_others = catalog.level == 0
                && found.level == 0
                && elsewhere
                && verified(salvager, id).is_ok_and(|bytes| {
                    sound(&bytes, Keys::Packed).is_ok_and(|(node, _)| search.may_list_tables(&node))
                });
            if unreadable.is_some() || found.birth > catalog.birth || lists_others {
                return true;
            }
        }
    }
    // An owned page may stand behind the last range.
    let last = salvager.scan.page_count.saturating_sub(1);
    unreadable.is_some() && salvager.scan.is_owned(last)
}

/// A page that verifies, as an orphan.
fn orphan(salvager: &Salvager<'_>, id: u64) -> Option<Orphan> {
    let bytes = verified(salvager, id).ok()?;
    let (node, cells) = sound(&bytes, Keys::Any).ok()?;
    let child = |cell: &Cell<'_>| match cell.body {
        Body::Child(child) => Some(child),
        _ => None,
    };
    let run = |cell: &Cell<'_>| match cell.body {
        Body::Overflow(run) => run.len.div_ceil(salvager.scan.page_size as u64),
        _ => 0,
    };
    let set = |cell: &Cell<'_>| match cell.body {
        Body::SetTree(tree) => Some(tree.root),
        _ => None,
    };
    let has_set = |cell: &Cell<'_>| matches!(cell.body, Body::Set(_) | Body::SetTree(_));
    let leftmost = node.branch.then(|| node.leftmost());
    Some(Orphan {
        id,
        level: node.level,
        birth: node.birth,
        plain: node.plain,
        first: cells.first()?.key(&node).into(),
        last: cells.last()?.key(&node).into(),
        children: leftmost.into_iter().chain(cells.iter().filter_map(child)).collect(),
        sets: cells.iter().filter_map(set).collect(),
        of_sets: node.packed > 0 || cells.iter().any(has_set),
        figures: match node.branch {
            true => [0, 1, 0, 0],
            false => [cells.len() as u64, 0, 1, cells.iter().map(run).fold(0, u64::saturating_add)],
        },
    })
}

/// The pages of the trees of values that leaves among the orphans lead to.
fn values_among(orphans: &[Orphan]) -> BTreeSet<u64> {
    let mut values: BTreeSet<u64> =
        orphans.iter().flat_map(|orphan| orphan.sets.iter()).copied().collect();
    // From the top down: branches before what they lead to.
    for orphan in orphans {
        if values.contains(&orphan.id) {
            values.extend(orphan.children.iter());
        }
    }
    values
}

/// Reads what nobody has claimed: the pages that verify and that are wanted, by birth and number.
/// From the top down, so that subtrees stay whole; the newest first, where versions compete.
fn find(salvager: &mut Salvager<'_>, wanted: &dyn Fn(u64, u64) -> bool) -> Vec<Orphan> {
    let mut orphans = Vec::new();
    for id in salvager.scan.unowned().into_iter().flatten() {
        salvager.scan.tick(1);
        if salvager.scan.stopped {
            break;
        }
        orphans.extend(orphan(salvager, id).filter(|found| wanted(found.birth, id)));
    }
    orphans.sort_unstable_by_key(|o| (Reverse(o.level), Reverse(o.birth), o.id));
    orphans
}

impl Salvager<'_> {
    /// Leaves of the catalog among the orphans, if a part of the catalog is lost: they list tables
    /// like any other.
    fn lost_catalog(&mut self, orphans: &[Orphan]) {
        if self.holes.iter().all(|hole| hole.table.is_some()) {
            return;
        }
        let mut listed = Vec::new();
        for orphan in orphans.iter().filter(|orphan| orphan.level == 0) {
            let fits =
                self.holes.iter().any(|hole| hole.table.is_none() && hole.takes_in_tree(orphan));
            let (pages, page_size) = (self.scan.pages, self.scan.page_size);
            let count = self.scan.page_count;
            let version = self.scan.version;
            let search = Search { pages, page_size, count, version, cancelled: None };
            let is_catalog = fits
                && verified(self, orphan.id).is_ok_and(|bytes| {
                    sound(&bytes, Keys::Packed).is_ok_and(|(node, _)| search.is_catalog(&node))
                });
            if is_catalog {
                self.report.found_again += 1;
                let place = Subtree::whole(orphan.id, 0, orphan.birth, Keys::Packed);
                self.walk(&mut Into::Catalog(&mut listed), place);
            }
        }
        listed.into_iter().for_each(|table| self.table(table));
    }

    /// The tables that have a hole which the orphan fits; none for one of the catalog.
    fn tables_of(&self, orphan: &Orphan) -> BTreeSet<Option<usize>> {
        self.holes.iter().filter(|hole| hole.takes(orphan)).map(|hole| hole.table).collect()
    }

    /// The table that these are for certain, as far as the orphan alone can tell.
    fn certain(&self, tables: &BTreeSet<Option<usize>>) -> Option<usize> {
        let table = (*tables.first()?).filter(|_| tables.len() == 1 && self.report.space_known)?;
        let known = self.keys_of(Some(table)).is_known();
        let certain = !self.stale.contains(&Some(table)) && !self.is_set(Some(table));
        (certain && known).then_some(table)
    }

    /// The tables that cannot be right together with all that would be given back to them.
    fn contradicted(&self, orphans: &[Orphan]) -> BTreeSet<usize> {
        if !self.report.space_known {
            return BTreeSet::new();
        }
        let mut led_to: BTreeMap<u64, usize> = BTreeMap::new();
        let mut given: BTreeMap<usize, Vec<&Orphan>> = BTreeMap::new();
        for orphan in orphans.iter().filter(|orphan| !self.scan.is_owned(orphan.id)) {
            let table = led_to.get(&orphan.id).copied();
            let Some(table) = table.or_else(|| self.certain(&self.tables_of(orphan))) else {
                continue;
            };
            given.entry(table).or_default().push(orphan);
            led_to.extend(orphan.children.iter().map(|&child| (child, table)));
        }
        let cannot_be = |(table, orphans): &mut (usize, Vec<&Orphan>)| {
            let figures = &self.figures[*table];
            let sum = orphans.iter().fold(figures.found, |sum, orphan| {
                std::array::from_fn(|i| sum[i].saturating_add(orphan.figures[i]))
            });
            let too_many = figures.said.is_some_and(|said| (0..4).any(|i| sum[i] > said[i]));
            orphans.retain(|orphan| orphan.level == 0);
            let keys = figures.keys;
            let order = |a: &[u8], b: &[u8]| keys.compare(a, b).unwrap_or(Ordering::Equal);
            orphans.sort_by(|a, b| order(&a.first, &b.first));
            too_many || orphans.windows(2).any(|two| order(&two[0].last, &two[1].first).is_ge())
        };
        let given = given.into_iter();
        given.filter_map(|mut table| cannot_be(&mut table).then_some(table.0)).collect()
    }

    /// An orphan that may be part of the snapshot.
    fn place(&mut self, orphan: &Orphan) {
        let tables = self.tables_of(orphan);
        match self.certain(&tables) {
            _ if tables.is_empty() => {}
            Some(table) => self.give_back(orphan, table),
            None => self.put_aside(orphan, &tables, !self.report.space_known),
        }
    }

    /// It belongs to this table for certain.
    fn give_back(&mut self, orphan: &Orphan, table: usize) {
        let pages = |salvager: &Self| {
            let [_, branches, leaves, _] = salvager.figures[table].found;
            branches + leaves
        };
        let before = pages(self);
        let hole = self.holes.iter().find(|hole| hole.takes(orphan)).cloned();
        let (from, to) = hole.map_or((None, None), |hole| (hole.from, hole.to));
        let keys = self.keys_of(Some(table));
        let whole = Subtree::whole(orphan.id, orphan.level, orphan.birth, keys);
        let place = Subtree { from: from.as_deref(), to: to.as_deref(), ..whole };
        self.walk(&mut Into::Table(table), place);
        self.report.found_again += pages(self) - before;
    }

    /// Into a table of its own. `shared`: others may have its pages too, as versions of the past
    /// do.
    fn put_aside(&mut self, orphan: &Orphan, tables: &BTreeSet<Option<usize>>, shared: bool) {
        let mut name = format!("lost+found/{}-{}", orphan.level, orphan.id);
        while self.names.contains(&name) || self.names.contains(&format!("{name}-sets")) {
            name.push('~');
        }
        self.names.insert(name.clone());
        self.names.insert(format!("{name}-sets"));
        let mut into = Into::Aside { name: &name, pairs: 0, set_pairs: 0, shared };
        let place = Subtree::whole(orphan.id, orphan.level, orphan.birth, Keys::Any);
        self.walk(&mut into, place);
        let Into::Aside { pairs, set_pairs, .. } = into else { return };
        if pairs == 0 {
            // Everything it leads to came out elsewhere.
            return;
        }
        self.report.aside_count += 1;
        self.report.aside_pairs += pairs;
        if self.report.aside.len() < MAX_LOSSES {
            let perhaps =
                tables.iter().filter_map(|t| Some(self.report.tables[(*t)?].name.clone()));
            self.report.aside.push(Aside {
                perhaps: perhaps.collect(),
                page: PageId(orphan.id),
                level: orphan.level as u8,
                birth: TxnId(orphan.birth),
                pairs,
                set_pairs,
                name,
            });
        }
    }
}
