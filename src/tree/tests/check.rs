//! Proves the structure of a whole tree, with code of its own wherever that is cheap.

use super::store::{Store, Tree};
use crate::format::checksum::run_crc;
use crate::format::descriptor::TableDescriptor;
use crate::format::node::build::Body;
use crate::format::node::{ENTRY, Node, Value, cell_of, max_key_len, padded, start_of};
use crate::format::order::KeyOrder;
use crate::format::order::head_of;
use crate::format::packed::Packed;
use crate::format::page::PageHeader;
use crate::tree::PageSource;
use crate::types::{PageId, TxnId};
use std::collections::{BTreeMap, HashSet};

pub type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a walk found.
#[derive(Default, Debug)]
pub struct Found {
    pub counts: TableDescriptor,
    /// Bytes used and bytes there, in leaves and in branches.
    pub leaf_fill: (usize, usize),
    pub branch_fill: (usize, usize),
    /// Leaves, not the root, below a quarter.
    pub underfull: u64,
}

impl Found {
    pub fn leaf_percent(&self) -> f64 {
        100.0 * self.leaf_fill.0 as f64 / self.leaf_fill.1.max(1) as f64
    }
    pub fn branch_percent(&self) -> f64 {
        100.0 * self.branch_fill.0 as f64 / self.branch_fill.1.max(1) as f64
    }
}

struct Walk<'a, S> {
    src: &'a S,
    desc: TableDescriptor,
    seen: HashSet<PageId>,
    found: Found,
    last: Option<Vec<u8>>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Checks everything, returns what was found and all entries in order.
#[allow(clippy::type_complexity)] // what was found, and all pairs
pub fn walk<S: PageSource>(src: &S, desc: &TableDescriptor) -> (Found, Vec<(Vec<u8>, Vec<u8>)>) {
    let found = Found::default();
    let seen = HashSet::new();
    let mut w = Walk { src, desc: *desc, seen, found, last: None, pairs: Vec::new() };
    w.tree(None);
    (w.found, w.pairs)
}

/// All pairs of a table of sets alone in its store: checked, and no page leaked.
pub fn check_sets(tree: &Tree) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (_, pairs) = walk(&tree.store, &tree.desc);
    let d = &tree.desc;
    let pages = d.leaf_pages + d.branch_pages + d.overflow_pages;
    assert_eq!(tree.store.live(), (pages, 0), "pages");
    pairs
}

/// A tree alone in its store: checked, equal to the model, and no page leaked.
pub fn check(tree: &Tree, model: &Model) -> Found {
    let (found, pairs) = walk(&tree.store, &tree.desc);
    assert!(pairs.iter().map(|(k, v)| (k, v)).eq(model.iter()), "entries");
    let d = &tree.desc;
    assert_eq!(tree.store.live(), (d.leaf_pages + d.branch_pages, d.overflow_pages), "pages");
    found
}

/// Same, of a snapshot.
pub fn check_snapshot(store: &Store, txn: u64, desc: &TableDescriptor, model: &Model) {
    let (_, pairs) = walk(&super::store::Snapshot { store, txn }, desc);
    assert!(pairs.iter().map(|(k, v)| (k, v)).eq(model.iter()), "snapshot {txn}");
}

impl<S: PageSource> Walk<'_, S> {
    /// The whole tree; `above` is the birth of what leads to it.
    fn tree(&mut self, above: Option<TxnId>) {
        let desc = self.desc;
        if desc.depth == 0 {
            assert!(desc.root.is_none());
        } else {
            self.page(desc.root, desc.depth as u8 - 1, None, None, above);
        }
        let TableDescriptor { root, depth, align_shift, is_set, value_size, .. } = desc;
        let counts = &mut self.found.counts;
        *counts = TableDescriptor { root, depth, align_shift, is_set, value_size, ..*counts };
        assert_eq!(*counts, desc, "descriptor");
    }

    /// The tree of the values of one key.
    fn values(&mut self, key: &[u8], desc: TableDescriptor, above: TxnId) {
        let seen = std::mem::take(&mut self.seen);
        let found = Found::default();
        let mut w = Walk { src: self.src, desc, seen, found, last: None, pairs: Vec::new() };
        w.tree(Some(above));
        self.seen = w.seen;
        self.found.counts.overflow_pages += desc.branch_pages + desc.leaf_pages;
        self.found.counts.pairs += desc.entries;
        for (value, nothing) in w.pairs {
            assert!(nothing.is_empty());
            self.pairs.push((key.to_vec(), value));
        }
    }

    /// A leaf of values of one size.
    fn packed(
        &mut self,
        id: PageId,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
        above: Option<TxnId>,
    ) {
        let page = self.src.page(id).unwrap();
        let leaf = Packed::open(id, page, self.desc.value_size).unwrap();
        assert!(above.is_none_or(|above| leaf.birth() <= above), "page {id}: younger");
        for index in 0..leaf.count() {
            let value = leaf.get(index).unwrap().to_vec();
            assert!(low.is_none_or(|low| &value[..] >= low), "page {id}: below its fence");
            assert!(high.is_none_or(|high| &value[..] < high), "page {id}: above its fence");
            assert!(self.last.as_ref().is_none_or(|last| *last < value));
            self.last = Some(value.clone());
            self.pairs.push((value, Vec::new()));
        }
        self.found.counts.leaf_pages += 1;
        self.found.counts.entries += leaf.count() as u64;
    }

    fn page(
        &mut self,
        id: PageId,
        level: u8,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
        above: Option<TxnId>,
    ) {
        assert!(self.seen.insert(id), "page {id} twice");
        if level == 0 && !self.desc.is_set && self.desc.value_size > 0 {
            return self.packed(id, low, high, above);
        }
        let size = self.src.page_size();
        let page = self.src.page(id).unwrap();
        let header = PageHeader::read(page).unwrap();
        assert!(above.is_none_or(|above| header.birth <= above), "page {id}: younger");
        let node = Node::open(id, page, level, KeyOrder::PACKED).unwrap();
        let keys = self.keys(&node);
        for (i, key) in keys.iter().enumerate() {
            assert!(key.starts_with(node.prefix()));
            assert!(key.len() <= max_key_len(size));
            assert!(i == 0 || keys[i - 1] < *key, "page {id}: order");
            assert!(low.is_none_or(|low| &key[..] >= low), "page {id}: below its fence");
            assert!(high.is_none_or(|high| &key[..] < high), "page {id}: above its fence");
            let suffix = &key[node.prefix().len()..];
            assert_eq!(node.head(i), head_of(suffix));
        }
        let start = start_of(level) + node.prefix().len();
        let padding = &page[start..start_of(level) + padded(node.prefix().len())];
        assert!(padding.iter().all(|&b| b == 0));
        let cells: usize =
            (0..node.count()).map(|i| node.cell_len(&node.cell(i).unwrap()).unwrap()).sum();
        assert_eq!(cells + header.heap_dead as usize, header.heap_len as usize, "page {id}: heap");
        self.disjoint(&node);
        let used = start_of(level) + padded(node.prefix().len()) + ENTRY * node.count() + cells;
        assert_eq!(node.used(), used);
        let capacity = size - start_of(level);
        let fill = if level == 0 { &mut self.found.leaf_fill } else { &mut self.found.branch_fill };
        fill.0 += used - start_of(level);
        fill.1 += capacity;
        if level == 0 {
            self.found.counts.leaf_pages += 1;
            self.found.underfull +=
                u64::from(above.is_some() && (used - start_of(0)) * 4 < capacity);
            self.leaf(&node, page, keys);
            return;
        }
        self.found.counts.branch_pages += 1;
        for child in 0..=keys.len() {
            let low = if child == 0 { low } else { Some(&keys[child - 1][..]) };
            let high = if child == keys.len() { high } else { Some(&keys[child][..]) };
            let above = Some(header.birth);
            self.page(node.child(child).unwrap(), level - 1, low, high, above);
        }
    }

    fn keys(&self, node: &Node<'_>) -> Vec<Vec<u8>> {
        (0..node.count()).map(|i| node.key(i).unwrap().to_vec()).collect()
    }

    fn disjoint(&self, node: &Node<'_>) {
        let mut cells: Vec<(usize, usize)> = (0..node.count())
            .map(|i| {
                let cell = node.cell(i).unwrap();
                assert!(node.cell_len(&cell).unwrap() >= cell_of(node.level()));
                (cell.at, cell.at + node.cell_len(&cell).unwrap())
            })
            .collect();
        cells.sort_unstable();
        assert!(cells.windows(2).all(|w| w[0].1 <= w[1].0), "cells overlap");
    }

    fn leaf(&mut self, node: &Node<'_>, page: &[u8], keys: Vec<Vec<u8>>) {
        let (size, shift) = (self.src.page_size(), self.desc.align_shift);
        let value_size = usize::from(self.desc.value_size);
        let mut room = Vec::new();
        for (i, key) in keys.into_iter().enumerate() {
            assert!(self.last.as_ref().is_none_or(|last| *last < key));
            let sized = |value: &[u8]| value_size == 0 || value.len() == value_size;
            let value = match node.value(i).unwrap() {
                Value::Set(set) => {
                    assert!(self.desc.is_set && set.value_size() == value_size);
                    let values = set.list().unwrap();
                    assert!(values.windows(2).all(|two| two[0] < two[1]));
                    assert!(values.iter().all(|value| sized(value)));
                    self.found.counts.pairs += values.len() as u64;
                    self.pairs.extend(values.iter().map(|v| (key.clone(), v.to_vec())));
                    self.found.counts.entries += 1;
                    self.last = Some(key);
                    continue;
                }
                Value::Tree(tree) => {
                    assert!(self.desc.is_set && usize::from(tree.value_size) == value_size);
                    self.values(&key, tree, node.birth());
                    self.found.counts.entries += 1;
                    self.last = Some(key);
                    continue;
                }
                Value::Inline(bytes) => {
                    if self.desc.is_set {
                        assert!(sized(bytes));
                        self.found.counts.pairs += 1;
                    }
                    assert!(Body::value(size, key.len(), bytes, shift, &mut room).is_some());
                    let at = bytes.as_ptr().addr().wrapping_sub(page.as_ptr().addr());
                    assert!(bytes.is_empty() || at < size && at.is_multiple_of(1 << shift));
                    bytes.to_vec()
                }
                Value::Table(_) => panic!("a table descriptor in a table"),
                Value::Overflow(run) => {
                    let value = vec![0; run.len as usize];
                    let body = Body::value(size, key.len(), &value, shift, &mut room);
                    assert!(body.is_none());
                    let pages = run.pages(size);
                    let bytes = self.src.run(&run).unwrap();
                    assert_eq!(run_crc(run.first, [bytes]), run.crc);
                    assert!(bytes[run.len as usize..].iter().all(|&b| b == 0));
                    for page in run.first.0..run.first.0 + pages {
                        assert!(self.seen.insert(PageId(page)), "run page {page} twice");
                    }
                    self.found.counts.overflow_pages += pages;
                    bytes[..run.len as usize].to_vec()
                }
            };
            self.found.counts.entries += 1;
            self.last = Some(key.clone());
            self.pairs.push((key, value));
        }
    }
}
