//! The trees: the catalog and the tables it lists.
//!
//! A child is visited only at the level below its parent's, which ends every descent after at most
//! 48 steps, and only if it was nobody's before, which ends cycles and shared subtrees. The
//! separators of all ancestors fence the keys of a page: with strict order inside each page that is
//! strict order across the whole tree.

use super::layout::{self, Field, option, table as t};
use super::meta::run_crc;
use super::node::{Body, Cell, Node, Run, Set, SetTree};
use super::order::Keys;
use super::owners::PageKind;
use super::report::TableStats;
use super::scan::{PageInfo, Scan, Step, Tree};
use crate::types::{Order, PageId, TableKind, TableOptions, TxnId};

/// What the file says about a tree.
#[derive(Clone)]
pub(super) struct Descriptor {
    pub root: u64,
    pub depth: u64,
    /// Entries, branch, leaf and overflow pages.
    pub counts: [u64; 4],
    /// Values are aligned to 2^this bytes.
    pub align_shift: u64,
    /// A key has a set of values.
    pub is_set: bool,
    /// How its keys are stored and ordered.
    pub keys: Keys,
    /// Bytes of each value of a set; 0 where they may have any length.
    pub value_size: u64,
    /// Number of values of all sets.
    pub pairs: u64,
    pub sequence: u64,
    pub options: TableOptions,
}

/// A table as the catalog lists it.
pub(super) struct Listed {
    pub name: String,
    pub descriptor: Vec<u8>,
    /// The catalog's leaf that says so; 0 in salvage, which does not ask.
    pub leaf: u64,
    /// Its birth.
    pub birth: u64,
}

/// Keys that fence a page: those of its subtree are at or above the first and below the second.
type Fences<'k> = (Option<&'k [u8]>, Option<&'k [u8]>);

const OF_ANOTHER_KIND: &str = "a catalog or system tree with options of tables";

fn too_many(pages: u64) -> String {
    format!("the descriptor says {pages} pages, more than the file has")
}

impl Descriptor {
    /// Whether it has what only tables of users have.
    fn has_options(&self) -> bool {
        self.align_shift > 0 || self.is_set || self.keys != Keys::Packed || self.sequence != 0
    }

    /// Pages of the tree, by its counts.
    fn pages(&self) -> u64 {
        self.counts[1..].iter().fold(0, |sum: u64, n| sum.saturating_add(*n))
    }

    /// Decodes 64 bytes, and options behind them; the text says what cannot be.
    pub fn decode(b: &[u8], page_size: usize) -> Result<Descriptor, String> {
        let len = b.len();
        let split = b.split_at_checked(layout::DESCRIPTOR_SIZE);
        let (b, behind) = split.ok_or_else(|| format!("a table descriptor of {len} bytes"))?;
        let word = |f: Field| f.get(b, 0).unwrap_or(0);
        let is_set = match word(t::KIND) {
            layout::MAP => false,
            layout::SET => true,
            kind => return Err(format!("a table of the unknown kind {kind}")),
        };
        let of_sets = [t::VALUE_SIZE, t::PAIRS];
        let unused = if is_set { &[t::ALIGN_SHIFT][..] } else { &of_sets };
        for reserved in unused {
            if !reserved.is_zero(b, 0) {
                return Err(format!("field {} of the descriptor is not zero", reserved.name));
            }
        }
        let order = word(t::ORDER);
        let keys = Keys::decode(order);
        let keys = keys.ok_or_else(|| format!("keys in the unknown order {order}"))?;
        let align_shift = word(t::ALIGN_SHIFT);
        if align_shift > layout::MAX_SHIFT {
            return Err(format!("values aligned to 2^{align_shift} bytes"));
        }
        let (value_size, most) = (word(t::VALUE_SIZE), layout::max_key(page_size) as u64);
        if value_size > most {
            return Err(format!(
                "sets of values of {value_size} bytes, at most {most} are allowed"
            ));
        }
        let d = Descriptor {
            root: word(t::ROOT),
            depth: word(t::DEPTH),
            counts: [t::ENTRIES, t::BRANCH_PAGES, t::LEAF_PAGES, t::OVERFLOW_PAGES].map(word),
            align_shift,
            is_set,
            keys,
            value_size,
            pairs: word(t::PAIRS),
            sequence: word(t::SEQUENCE),
            options: options(behind, align_shift, keys)?,
        };
        let d = match is_set {
            true => {
                let kind = TableKind::Set { value_size: d.value_size as u16 };
                Descriptor { options: TableOptions { kind, ..d.options }, ..d }
            }
            false => d,
        };
        if d.depth > layout::MAX_DEPTH || (d.root == 0) != (d.depth == 0) {
            return Err(format!("root {} and depth {} do not fit together", d.root, d.depth));
        }
        if d.root != 0 && d.counts[0] == 0 {
            return Err(format!("no entries, but a root, page {}", d.root));
        }
        Ok(d)
    }

    /// The features that say that this may be there.
    fn features(&self) -> u64 {
        let aligned = if self.align_shift > 0 { layout::ALIGNED_VALUES } else { 0 };
        let types = [&self.options.key_type, &self.options.value_type];
        let named = types.iter().any(|name| !name.is_empty());
        let sets = if self.is_set { layout::SETS } else { 0 };
        let orders = if self.keys == Keys::Packed { 0 } else { layout::ORDERS };
        let named = named || self.keys == Keys::Custom;
        let sequence = if self.sequence > 0 { layout::SEQUENCES } else { 0 };
        aligned | sets | orders | sequence | if named { layout::TABLE_OPTIONS } else { 0 }
    }
}

/// Decodes what stands behind a descriptor.
fn options(mut b: &[u8], align_shift: u64, keys: Keys) -> Result<TableOptions, String> {
    let mut options = TableOptions::aligned(1 << align_shift);
    options.order = match keys {
        Keys::Packed | Keys::Any => Order::Packed,
        Keys::Plain => Order::Plain,
        Keys::Reversed => Order::Reversed,
        Keys::Integers => Order::Integers,
        Keys::Custom | Keys::Given(_) => Order::Custom(String::new()),
    };
    let mut last = 0;
    while let Some(kind) = option::KIND.get(b, 0) {
        let bad = || format!("a table option of kind {kind} that cannot be");
        let len = option::LEN.get(b, 0).ok_or_else(bad)? as usize;
        let (name, rest) = b[option::BYTES.at..].split_at_checked(len).ok_or_else(bad)?;
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
        let name = name.ok_or_else(bad)?.to_owned();
        match kind {
            layout::KEY_TYPE if last < kind => options.key_type = name,
            layout::VALUE_TYPE if last < kind => options.value_type = name,
            layout::ORDER_NAME if last < kind && keys == Keys::Custom => {
                options.order = Order::Custom(name);
            }
            _ => return Err(bad()),
        }
        (last, b) = (kind, rest);
    }
    if options.order == Order::Custom(String::new()) {
        return Err("keys in an order without a name".into());
    }
    Ok(options)
}

/// Walks the catalog and answers its figures and what it lists.
pub(super) fn catalog(scan: &mut Scan<'_>, descriptor: &[u8]) -> (TableStats, Vec<Listed>) {
    let txn = scan.txn;
    catalog_of(scan, descriptor, txn)
}

/// The same of a catalog that nothing in is younger than `ceiling`.
pub(super) fn catalog_of(
    scan: &mut Scan<'_>,
    descriptor: &[u8],
    ceiling: u64,
) -> (TableStats, Vec<Listed>) {
    let mut tables = Vec::new();
    let stats = scan.within(Step::Catalog, |scan| {
        tree(scan, descriptor, ceiling, String::new(), Some(&mut tables))
    });
    (stats, tables)
}

/// Looks at the descriptor of a catalog whose pages may be gone: whoever reads it decodes it.
pub(super) fn unwalked_catalog(scan: &Scan<'_>, descriptor: &[u8]) -> Result<(), String> {
    let d = Descriptor::decode(descriptor, scan.page_size)?;
    if d.has_options() {
        return Err(OF_ANOTHER_KIND.into());
    }
    if d.root == 1 || d.root >= scan.page_count {
        return Err(format!("a catalog at page {}", d.root));
    }
    match d.pages() {
        pages if pages > scan.page_count => Err(too_many(pages)),
        _ => Ok(()),
    }
}

/// Walks the system tree and answers its pairs.
pub(super) fn system(scan: &mut Scan<'_>, descriptor: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let ceiling = scan.txn;
    scan.collected = Some(Vec::new());
    scan.within(Step::System, |scan| tree(scan, descriptor, ceiling, String::new(), None));
    scan.collected.take().unwrap_or_default()
}

/// Walks a table and answers its figures.
pub(super) fn table(scan: &mut Scan<'_>, listed: Listed) -> TableStats {
    let Listed { name, descriptor, birth, .. } = listed;
    scan.within(Step::Table(name.clone()), |scan| tree(scan, &descriptor, birth, name, None))
}

fn tree(
    scan: &mut Scan<'_>,
    descriptor: &[u8],
    ceiling: u64,
    name: String,
    tables: Option<&mut Vec<Listed>>,
) -> TableStats {
    let d = match Descriptor::decode(descriptor, scan.page_size) {
        Ok(d) => d,
        Err(what) => {
            scan.cut_off(None, || what);
            return TableStats { name, ..TableStats::default() };
        }
    };
    let keys = d.keys.with_function(scan.function(&d.options.order));
    if keys == Keys::Custom && d.root != 0 {
        scan.unproved_orders.insert(name.clone());
    }
    let before = std::mem::replace(&mut scan.incomplete, false);
    let (root, depth, sequence) = (PageId(d.root), d.depth as u16, d.sequence);
    scan.table = TableStats { name, root, depth, sequence, ..TableStats::default() };
    let unsaid = d.features() & !scan.read_features;
    if unsaid != 0 {
        scan.fault(None, || format!("the meta page does not say feature {unsaid:#x}, used here"));
    }
    let is_own = tables.is_some() || scan.collected.is_some();
    if is_own && d.has_options() {
        scan.fault(None, || OF_ANOTHER_KIND.into());
    }
    if d.root != 0 {
        let level = d.depth - 1;
        let kind = match d.is_set {
            true => Kind::Sets(d.value_size),
            false => Kind::Map(d.align_shift),
        };
        let mut walk = TreeWalk { scan: &mut *scan, tables, kind, keys };
        if walk.claim(d.root, level) {
            walk.page(d.root, level, ceiling, (None, None));
        }
    }
    let stats = std::mem::take(&mut scan.table);
    // What a named snapshot shares with the newest state is not counted again.
    let pages = d.pages();
    if scan.named.current.is_some() && pages > scan.page_count {
        scan.fault(None, || too_many(pages));
    }
    if !scan.incomplete && !scan.stopped && scan.named.current.is_none() {
        if d.is_set && d.pairs != stats.pairs {
            let (said, found) = (d.pairs, stats.pairs);
            scan.fault(None, || format!("the descriptor says {said} pairs, there are {found}"));
        }
        let found = [stats.entries, stats.branch_pages, stats.leaf_pages, stats.overflow_pages];
        let words = ["entries", "branch pages", "leaf pages", "overflow pages"];
        for ((said, found), what) in d.counts.into_iter().zip(found).zip(words) {
            if said != found {
                scan.fault(None, || {
                    format!("the descriptor says {said} {what}, there are {found}")
                });
            }
        }
    }
    scan.incomplete |= before;
    stats
}

fn kind_at(level: u64) -> PageKind {
    if level > 0 { PageKind::Branch } else { PageKind::Leaf }
}

struct TreeWalk<'s, 'a, 't> {
    scan: &'s mut Scan<'a>,
    /// Where the catalog's entries go; None in a table.
    tables: Option<&'t mut Vec<Listed>>,
    kind: Kind,
    keys: Keys,
}

/// What stands beside the keys of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A value, aligned to 2^this bytes.
    Map(u64),
    /// A set of values, of this size or, where it is 0, of any.
    Sets(u64),
    /// Nothing: the keys are the values of one key, of this size or of any.
    Values(u64),
}

impl TreeWalk<'_, '_, '_> {
    /// Claims a page for this tree. What a snapshot shares with the newest state is not walked for
    /// it, and is in a tree of the same kind there.
    fn claim(&mut self, id: u64, level: u64) -> bool {
        let kind = match self.kind {
            _ if self.tables.is_some() => 3 << 32,
            Kind::Map(shift) => shift,
            Kind::Sets(size) => 1 << 32 | size,
            Kind::Values(size) => 2 << 32 | size,
        };
        let kind = kind | self.keys.number() << 40;
        let is_claimed = self.scan.claim(id, 1, kind_at(level));
        if self.scan.named.current.is_none() {
            if is_claimed {
                self.scan.named.kinds.note(id, kind);
            }
        } else if !is_claimed && !self.scan.named.kinds.is(id, kind) {
            let what = "of the newest state, in which it is in a tree of another kind";
            self.scan.fault(Some(id), || what.into());
        }
        is_claimed
    }

    /// Visits a page that has been claimed and all below it. `ceiling` is the birth of what leads
    /// here: copy-on-write rewrites every ancestor, so nothing is younger than the page that points
    /// to it.
    fn page(&mut self, id: u64, level: u64, ceiling: u64, fences: Fences<'_>) {
        if !self.scan.look() {
            return;
        }
        if self.scan.named.current.is_none() {
            return self.walk(id, level, ceiling, fences);
        }
        let context = (level, (self.kind, self.keys), self.tables.is_some(), fences);
        if let Some(walked) = self.scan.enter_of_snapshot(id, 1, context, ceiling) {
            self.walk(id, level, ceiling, fences);
            self.scan.leave_of_snapshot(id, walked);
        }
    }

    fn walk(&mut self, id: u64, level: u64, ceiling: u64, fences: Fences<'_>) {
        self.scan.push(Step::Page(kind_at(level), id));
        if let Some(bytes) = self.scan.read(id) {
            match Node::parse(&bytes) {
                Ok(node) => self.node(id, &node, level, ceiling, fences),
                Err(what) => self.scan.cut_off(Some(id), || what),
            }
        }
        self.scan.pop();
    }

    fn node(&mut self, id: u64, node: &Node<'_>, level: u64, ceiling: u64, fences: Fences<'_>) {
        let scan = &mut *self.scan;
        if node.level != level || node.branch != (level > 0) {
            let found = (if node.branch { "branch" } else { "leaf" }, node.level);
            return scan.cut_off(Some(id), || {
                format!("a {} of level {} where level {level} must be", found.0, found.1)
            });
        }
        let packed = match self.kind {
            Kind::Values(size) if level == 0 => size,
            _ => 0,
        };
        if node.packed as u64 != packed {
            let found = node.packed;
            return scan.cut_off(Some(id), || {
                format!(
                    "a leaf of values of {found} bytes where {packed} are said (0: no such leaf)"
                )
            });
        }
        if !self.keys.fits(node.plain) {
            let what = if node.plain { "whole" } else { "in pieces" };
            return scan.cut_off(Some(id), || format!("keys {what}, not as the table says"));
        }
        scan.born(id, 0, node.birth);
        if node.birth > ceiling {
            scan.fault(Some(id), || {
                format!("born in {}, after what leads here, {ceiling}", node.birth)
            });
        }
        let cells = node.cells(self.keys, &mut |what| scan.fault(Some(id), || what));
        scan.incomplete |= cells.len() < node.count;
        check_fences(scan, id, node, self.keys, &cells, fences);
        let catalog = self.tables.is_some();
        scan.show_tree(
            PageInfo {
                id: PageId(id),
                pages: 1,
                kind: kind_at(level),
                level: level as u8,
                tree: Tree::None,
                count: node.count as u64,
                used_bytes: node.used_bytes(),
                birth: TxnId(node.birth),
            },
            catalog,
        );
        if node.branch {
            scan.table.branch_pages += 1;
            scan.table.branch_used_bytes += node.used_bytes();
            self.children(node, &cells, level - 1, fences);
        } else {
            scan.table.leaf_pages += 1;
            scan.table.leaf_used_bytes += node.used_bytes();
            if node.count == 0 {
                scan.fault(Some(id), || "a leaf without keys".into());
            }
            self.entries(id, node, &cells);
        }
    }

    fn children(&mut self, node: &Node<'_>, cells: &[Cell<'_>], level: u64, fences: Fences<'_>) {
        let mut visit = |at: usize, child: u64, low: Option<&Cell<'_>>, expect: usize| {
            // Claimed before its fences are made: a child that was visited already costs no copy of
            // a key.
            if self.scan.stopped || !self.claim(child, level) {
                return;
            }
            let low_key = low.map(|cell| cell.key(node));
            // A separator that could not be decoded fences nothing.
            let high_key = cells.get(at).filter(|c| c.index == expect).map(|c| c.key(node));
            let child_fences = (low_key.as_deref().or(fences.0), high_key.as_deref().or(fences.1));
            self.page(child, level, node.birth, child_fences);
        };
        visit(0, node.leftmost(), None, 0);
        for (i, cell) in cells.iter().enumerate() {
            if let Body::Child(child) = cell.body {
                visit(i + 1, child, Some(cell), cell.index + 1);
            }
        }
    }

    fn entries(&mut self, id: u64, node: &Node<'_>, cells: &[Cell<'_>]) {
        for cell in cells {
            if self.scan.stopped {
                return;
            }
            self.scan.push(Step::Entry(cell.index));
            self.entry(id, node, cell);
            self.scan.pop();
        }
    }

    fn entry(&mut self, id: u64, node: &Node<'_>, cell: &Cell<'_>) {
        match (self.kind, cell.body) {
            (Kind::Map(shift), _) => self.single(id, node, cell, shift),
            (_, Body::Child(_)) => {}
            (Kind::Values(_), Body::Value([])) => {
                let stats = &mut self.scan.table;
                stats.entries += 1;
                stats.key_bytes = stats.key_bytes.saturating_add(cell.key_len(node) as u64);
            }
            (Kind::Values(_), _) => {
                self.scan.fault(Some(id), || "a value beside a value of a set".into());
            }
            (Kind::Sets(size), body) => {
                let stats = &mut self.scan.table;
                stats.entries += 1;
                stats.key_bytes = stats.key_bytes.saturating_add(cell.key_len(node) as u64);
                match body {
                    Body::Value(value) => self.list(id, node, cell, value.len(), &[value], size),
                    Body::Set(set) => self.set(id, node, cell, set, size),
                    Body::SetTree(tree) => self.set_tree(id, node, tree, size),
                    _ => self.scan.fault(Some(id), || "no set of values beside a key".into()),
                }
            }
        }
    }

    /// Several values in the leaf.
    fn set(&mut self, id: u64, node: &Node<'_>, cell: &Cell<'_>, set: Set<'_>, size: u64) {
        if set.value_size as u64 != size {
            let found = set.value_size;
            let what = || format!("a set of values of {found} bytes where the table says {size}");
            self.scan.fault(Some(id), what);
        }
        match set.list() {
            Ok(list) => self.list(id, node, cell, set.len, &list, size),
            Err(what) => self.scan.fault(Some(id), || what),
        }
    }

    /// Values that stand in the leaf, in so many bytes.
    fn list(
        &mut self,
        id: u64,
        node: &Node<'_>,
        cell: &Cell<'_>,
        len: usize,
        list: &[&[u8]],
        size: u64,
    ) {
        let scan = &mut *self.scan;
        let entry = node.entry_size(cell, len as u64);
        let most = layout::max_entry(scan.page_size) as u64;
        if entry > most {
            let what = || format!("an entry of {entry} bytes stands in the leaf, {most} fit it");
            scan.fault(Some(id), what);
        }
        if list.windows(2).any(|two| two[0] >= two[1]) {
            scan.fault(Some(id), || "values of a set that do not ascend".into());
        }
        let max = layout::max_key(scan.page_size);
        let fits = |value: &&[u8]| match size {
            0 => value.len() <= max,
            _ => value.len() as u64 == size,
        };
        if !list.iter().all(fits) {
            scan.fault(Some(id), || "a value of a length that the table does not allow".into());
        }
        let stats = &mut scan.table;
        stats.pairs = stats.pairs.saturating_add(list.len() as u64);
        let bytes = list.iter().map(|value| value.len() as u64).sum();
        stats.value_bytes = stats.value_bytes.saturating_add(bytes);
    }

    /// The tree of the values of a key.
    fn set_tree(&mut self, id: u64, node: &Node<'_>, tree: SetTree, size: u64) {
        let scan = &mut *self.scan;
        if tree.value_size != size {
            let found = tree.value_size;
            let what = || format!("a tree of values of {found} bytes where the table says {size}");
            scan.fault(Some(id), what);
        }
        let level = tree.depth - 1;
        let (kind, keys) = (Kind::Values(tree.value_size), Keys::Packed);
        if !(TreeWalk { scan: &mut *scan, tables: None, kind, keys }).claim(tree.root, level) {
            return;
        }
        let name = std::mem::take(&mut scan.table.name);
        let fresh = TableStats { name, ..TableStats::default() };
        let outer = std::mem::replace(&mut scan.table, fresh);
        let before = std::mem::replace(&mut scan.incomplete, false);
        let mut walk = TreeWalk { scan, tables: None, kind, keys };
        walk.page(tree.root, level, node.birth, (None, None));
        let scan = &mut *self.scan;
        let found = std::mem::replace(&mut scan.table, outer);
        let counts = [found.entries, found.branch_pages, found.leaf_pages];
        // What a named snapshot shares with the newest state is not walked again.
        let whole = !scan.incomplete && !scan.stopped && scan.named.current.is_none();
        if tree.counts != counts && whole {
            let said = tree.counts;
            scan.fault(Some(id), || {
                format!("a tree of values says {said:?} values, branches and leaves, there are {counts:?}")
            });
        }
        scan.incomplete |= before;
        let stats = &mut scan.table;
        stats.name = found.name;
        stats.pairs = stats.pairs.saturating_add(found.entries);
        stats.value_bytes = stats.value_bytes.saturating_add(found.key_bytes);
        stats.overflow_pages += found.branch_pages + found.leaf_pages;
    }

    /// A key with one value.
    fn single(&mut self, id: u64, node: &Node<'_>, cell: &Cell<'_>, shift: u64) {
        let scan = &mut *self.scan;
        let most = layout::max_entry(scan.page_size) as u64;
        let (value_len, in_leaf) = match cell.body {
            Body::Value(value) | Body::Table(value) | Body::Aligned(value, _) => {
                (value.len() as u64, true)
            }
            Body::Overflow(run) => (run.len, false),
            Body::Child(_) => return,
            Body::Set(_) | Body::SetTree(_) => {
                let what = || "a set of values where the table has one for each key".into();
                return scan.fault(Some(id), what);
            }
        };
        let aligned = match cell.body {
            Body::Value(_) | Body::Table(_) => shift == 0,
            Body::Aligned(value, its) => shift > 0 && (value.is_empty() || its == shift),
            _ => true,
        };
        if !aligned {
            let what =
                || format!("a value that is not stored as the table says, at 2^{shift} bytes");
            scan.fault(Some(id), what);
        }
        let size = node.entry_size(cell, layout::in_leaf(value_len, shift));
        let must_be_run = shift > layout::MAX_INLINE_SHIFT && value_len > 0;
        if (size <= most && !must_be_run) != in_leaf {
            let place = if in_leaf { "in the leaf" } else { "in a run of its own" };
            scan.fault(Some(id), || {
                format!("an entry of {size} bytes stands {place}, {most} fit a leaf")
            });
        }
        let stats = &mut scan.table;
        stats.entries += 1;
        stats.pairs += 1;
        stats.key_bytes = stats.key_bytes.saturating_add(cell.key_len(node) as u64);
        stats.value_bytes = stats.value_bytes.saturating_add(value_len);
        if let (Some(pairs), Body::Value(value)) = (&mut scan.collected, cell.body) {
            pairs.push((cell.key(node), value.to_vec()));
        }
        let intact = match cell.body {
            Body::Overflow(run) => self.run(node, run),
            _ => true,
        };
        if self.tables.is_some() {
            let descriptor = match (cell.body.descriptor(self.scan.version), cell.body) {
                (Some(descriptor), _) => descriptor.to_vec(),
                (None, Body::Overflow(run)) if intact => self.long_descriptor(run),
                _ => Vec::new(),
            };
            self.list_table(id, cell.key(node), descriptor, node.birth);
        } else if let Body::Table(_) = cell.body {
            self.scan.fault(Some(id), || "a table descriptor where a value must be".into());
        }
    }

    /// Proves an overflow run. False if it cannot be read.
    fn run(&mut self, node: &Node<'_>, run: Run) -> bool {
        let scan = &mut *self.scan;
        let pages = run.len.div_ceil(scan.page_size as u64);
        scan.table.overflow_values += 1;
        scan.table.overflow_pages = scan.table.overflow_pages.saturating_add(pages);
        if !scan.claim(run.first, pages, PageKind::Overflow) {
            return false;
        }
        scan.born(run.first, pages, run.birth);
        if run.birth > node.birth {
            scan.fault(Some(run.first), || {
                format!("run born in {}, after the leaf that leads here, {}", run.birth, node.birth)
            });
        }
        let catalog = self.tables.is_some();
        scan.show_tree(
            PageInfo {
                id: PageId(run.first),
                pages,
                kind: PageKind::Overflow,
                level: 0,
                tree: Tree::None,
                count: 0,
                used_bytes: run.len,
                birth: TxnId(run.birth),
            },
            catalog,
        );
        if scan.verify_values {
            self.run_once(run, pages);
        }
        true
    }

    /// Reads a run: of snapshots, once for all that lead to it as the same.
    fn run_once(&mut self, run: Run, pages: u64) {
        if self.scan.named.current.is_none() {
            return self.run_bytes(run);
        }
        let context = (run.len, run.crc);
        if let Some(walked) = self.scan.enter_of_snapshot(run.first, pages, context, u64::MAX) {
            self.run_bytes(run);
            self.scan.leave_of_snapshot(run.first, walked);
        }
    }

    fn run_bytes(&mut self, run: Run) {
        let scan = &mut *self.scan;
        let (pages, size) = (scan.pages, scan.page_size);
        match run_crc(pages, size, run.first, run.len, |_| scan.look()) {
            _ if scan.stopped => {}
            Ok((crc, padded)) => {
                if u64::from(crc) != run.crc {
                    scan.fault(Some(run.first), || {
                        format!("the checksum of the run is {crc:#010x}, not {:#010x}", run.crc)
                    });
                }
                if !padded {
                    scan.fault(Some(run.first), || "the run does not end in zeros".into());
                }
            }
            Err(what) => scan.fault(Some(run.first), || what),
        }
    }

    /// In version 1: the descriptor of a table whose name is so long that its entry does not fit a
    /// leaf.
    fn long_descriptor(&mut self, run: Run) -> Vec<u8> {
        let scan = &mut *self.scan;
        if run.len != layout::DESCRIPTOR_SIZE as u64 || scan.version != layout::VERSION_1 {
            return Vec::new();
        }
        let at = run.first * scan.page_size as u64;
        scan.pages.read(at, layout::DESCRIPTOR_SIZE).map(|b| b.into_owned()).unwrap_or_default()
    }

    /// Takes a table of the catalog down.
    fn list_table(&mut self, leaf: u64, name: Vec<u8>, descriptor: Vec<u8>, birth: u64) {
        if name.is_empty() {
            self.scan.fault(Some(leaf), || "a table without a name".into());
        }
        if name.len() > layout::MAX_NAME && self.scan.version != layout::VERSION_1 {
            let len = name.len();
            self.scan.fault(Some(leaf), || format!("a table name of {len} bytes"));
        }
        let name = String::from_utf8(name).unwrap_or_else(|e| {
            let name = String::from_utf8_lossy(e.as_bytes()).into_owned();
            self.scan.fault(Some(leaf), || format!("the table name {name:?} is not UTF-8"));
            name
        });
        if let Some(tables) = &mut self.tables {
            tables.push(Listed { name, descriptor, leaf, birth });
        }
    }
}

/// Proves that the keys of a page lie between its fences. Inside the page they ascend, so the first
/// and the last tell it.
fn check_fences(
    scan: &mut Scan<'_>,
    id: u64,
    node: &Node<'_>,
    keys: Keys,
    cells: &[Cell<'_>],
    fences: Fences<'_>,
) {
    if let (Some(low), Some(first)) = (fences.0, cells.first()) {
        let key = first.key(node);
        // A separator equal to the fence would leave the leftmost child no keys at all.
        if keys.is_below(&key, low, false) || (node.branch && key == low) {
            scan.fault(Some(id), || {
                format!("key {} lies below the separator that leads here", first.index)
            });
        }
    }
    if let (Some(high), Some(last)) = (fences.1, cells.last())
        && !keys.is_below(&last.key(node), high, true)
    {
        scan.fault(Some(id), || format!("key {} is not below the next separator", last.index));
    }
}
