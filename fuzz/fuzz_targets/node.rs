//! Branch and leaf pages. Any bytes as a page: every operation gives an answer or an error. Any
//! operations on a page that was written properly: the page holds what a `BTreeMap` holds.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use recto::PageId;
use recto::TxnId;
use recto::harness::KeyOrder;
use recto::harness::node::build::{Body, Item, NodeHeader, Plan, encode_aligned, write_node};
use recto::harness::node::edit::NodeMut;
use recto::harness::node::key::KeyParts;
use recto::harness::node::{
    Layout, MAX_INLINE_SHIFT, Node, Value, counted_len, is_inline, kind_of, max_key_len_of,
};
use std::collections::BTreeMap;

const PAGE: usize = 4096;
const ID: PageId = PageId(7);

#[derive(Arbitrary, Debug)]
enum Op {
    Put(Vec<u8>, u8, u16),
    Remove(u16),
    Replace(u16, u8, u16),
    Get(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes { level: u8, order: u8, edits: Vec<Op>, bytes: &'a [u8] },
    Model { branch: bool, whole: bool, front: Vec<u8>, ops: Vec<Op> },
}

fuzz_target!(|data: &[u8]| {
    match Input::arbitrary_take_rest(Unstructured::new(data)) {
        Ok(Input::Bytes { level, order, edits, bytes }) => {
            // All that need no function of the user's.
            let order = KeyOrder::decode(u64::from(order % 4)).expect("one of these");
            any_bytes(level, order, &edits, bytes);
        }
        Ok(Input::Model { branch, whole, front, ops }) => {
            let order = if whole { KeyOrder::BYTES } else { KeyOrder::PACKED };
            model(branch, order, &front, &ops);
        }
        Err(_) => {}
    }
});

/// A buffer as pages are: aligned.
fn page() -> Vec<u64> {
    vec![0; PAGE / 8]
}

fn bytes_of(words: &mut [u64]) -> &mut [u8] {
    bytemuck::cast_slice_mut(words)
}

fn any_bytes(level: u8, order: KeyOrder, edits: &[Op], bytes: &[u8]) {
    let mut words = page();
    let page = bytes_of(&mut words);
    // The front of the input is the front of the page, the rest its end: so short inputs have a
    // heap.
    let half = bytes.len().min(2 * PAGE) / 2;
    let (front, back) = (half.min(PAGE / 2), (bytes.len() - half).min(PAGE / 2));
    page[..front].copy_from_slice(&bytes[..front]);
    page[PAGE - back..].copy_from_slice(&bytes[half..half + back]);
    let level = level % 4;
    page[4] = kind_of(level, order.is_packed());
    page[5] = level;
    look(page, level, order);
    for op in edits.iter().take(50) {
        let Ok(mut node) = NodeMut::open(ID, page, level, order) else { return };
        let count = node.node().expect("it opened").count();
        let _ = match op {
            Op::Put(key, tag, len) => {
                let what = Owned::of(level, *tag, *len);
                node.insert(usize::from(*len) % (count + 1), key, what.body()).map(drop)
            }
            Op::Remove(at) => node.remove(usize::from(*at) % count),
            Op::Replace(at, tag, len) if level == 0 => {
                let what = Owned::of(level, *tag, *len);
                node.replace(usize::from(*at) % count, what.body()).map(drop)
            }
            Op::Replace(at, tag, _) => {
                node.set_child(usize::from(*at) % (count + 1), PageId(u64::from(*tag)))
            }
            Op::Get(key) => node.node().and_then(|n| n.search(key)).map(drop),
        };
        look(page, level, order);
    }
}

/// Every way to read a page.
fn look(page: &[u8], level: u8, order: KeyOrder) {
    let Ok(layout) = Layout::of(page, level, order) else { return };
    assert!(layout.gap() <= PAGE && layout.heap_at <= PAGE);
    let Ok(node) = Node::open(ID, page, level, order) else { return };
    let mut items = Vec::new();
    for index in 0..node.count() {
        if let Ok(key) = node.key(index) {
            let key = key.to_vec();
            let _ = node.search(&key);
        }
        if let Ok(cell) = node.cell(index) {
            let _ = node.cell_len(&cell);
        }
        if level > 0 {
            let _ = node.child(index + 1);
        } else {
            let _ = node.entry(index);
        }
        items.extend(node.item(index));
    }
    assert!(node.used() <= 2 * PAGE);
    for pair in items.windows(2) {
        let _ = order.separator(&pair[0].key, &pair[1].key);
    }
    let plan = Plan::of(level, &items, order);
    let mut out = page_copy();
    let node_header = NodeHeader { level, birth: TxnId(1), leftmost: PageId(2), order };
    let _ = write_node(bytes_of(&mut out), node_header, &items, plan.prefix_len);
}

fn page_copy() -> Vec<u64> {
    page()
}

/// What an entry holds beside its key.
#[derive(Clone)]
enum Owned {
    Child(PageId),
    Inline(Vec<u8>),
    /// The value, how it is aligned, and both encoded.
    Aligned(Vec<u8>, u8, Vec<u8>),
    Table(Vec<u8>),
}

impl Owned {
    fn of(level: u8, fill: u8, len: u16) -> Owned {
        let bytes = || vec![fill; usize::from(len % 1500)];
        match (level, fill % 8) {
            (0, 7) => Owned::Table(bytes()),
            (0, 5 | 6) => {
                let shift = 1 + (fill >> 3) % MAX_INLINE_SHIFT;
                let mut encoded = Vec::new();
                encode_aligned(&bytes(), shift, &mut encoded);
                Owned::Aligned(bytes(), shift, encoded)
            }
            (0, _) => Owned::Inline(bytes()),
            _ => Owned::Child(PageId(u64::from(len) + 2)),
        }
    }

    fn body(&self) -> Body<'_> {
        match self {
            Owned::Child(child) => Body::child(*child),
            Owned::Inline(bytes) => Body::inline(bytes),
            Owned::Aligned(_, _, encoded) => Body::aligned(encoded),
            Owned::Table(bytes) => Body::table(bytes),
        }
    }

    /// Whether the entry may stand in a page.
    fn fits(&self, key: &[u8], order: KeyOrder) -> bool {
        let len = counted_len(key.len(), order);
        matches!(self, Owned::Child(_)) || is_inline(PAGE, len, self.body().bytes().len())
    }
}

type Entries = BTreeMap<Vec<u8>, Owned>;

/// Writes the model into a page; false if it does not fit.
fn rebuild(page: &mut [u8], level: u8, order: KeyOrder, entries: &Entries) -> bool {
    let items: Vec<Item<'_>> = entries
        .iter()
        .map(|(key, what)| Item { key: KeyParts::of(key, 0), body: what.body() })
        .collect();
    let plan = Plan::of(level, &items, order);
    if plan.used > PAGE {
        return false;
    }
    let node_header = NodeHeader { level, birth: TxnId(9), leftmost: PageId(5), order };
    write_node(page, node_header, &items, plan.prefix_len).expect("the plan fits");
    assert_eq!(Node::open(ID, page, level, order).expect("was written").used(), plan.used);
    true
}

fn model(branch: bool, order: KeyOrder, front: &[u8], ops: &[Op]) {
    let level = u8::from(branch);
    let mut words = page();
    let page = bytes_of(&mut words);
    let key_of = |key: &[u8]| {
        let mut whole = front.to_vec();
        whole.extend_from_slice(key);
        whole.truncate(max_key_len_of(PAGE, order));
        whole
    };
    let mut entries = Entries::from([(key_of(b"first"), Owned::of(level, 1, 3))]);
    assert!(rebuild(page, level, order, &entries));
    for op in ops.iter().take(200) {
        apply(page, level, order, &mut entries, op, &key_of);
    }
    same(page, level, order, &entries);
}

fn apply(
    page: &mut [u8],
    level: u8,
    order: KeyOrder,
    entries: &mut Entries,
    op: &Op,
    key_of: &dyn Fn(&[u8]) -> Vec<u8>,
) {
    let mut node = NodeMut::open(ID, page, level, order).expect("a page in order");
    let count = node.node().expect("a page in order").count();
    let nth = |at: u16| entries.keys().nth(usize::from(at) % count).cloned().expect("as many keys");
    let (done, after) = match op {
        Op::Put(key, fill, len) => {
            let key = key_of(key);
            let what = Owned::of(level, *fill, *len);
            if !what.fits(&key, order) {
                return;
            }
            let place = node.node().and_then(|n| n.search(&key)).expect("a page in order");
            assert_eq!(place.found, entries.contains_key(&key));
            assert_eq!(place.index, entries.range(..key.clone()).count());
            if place.found && level > 0 {
                return;
            }
            let done = if place.found {
                node.replace(place.index, what.body())
            } else {
                node.insert(place.index, &key, what.body())
            };
            let mut after = entries.clone();
            after.insert(key, what);
            (done.expect("a page in order"), after)
        }
        Op::Remove(_) if count == 1 => {
            assert!(node.remove(0).is_err());
            return;
        }
        Op::Remove(at) => {
            let mut after = entries.clone();
            after.remove(&nth(*at));
            node.remove(usize::from(*at) % count).expect("a page in order");
            (true, after)
        }
        Op::Replace(at, fill, len) => {
            let what = Owned::of(level, *fill, *len);
            let key = nth(*at);
            if !what.fits(&key, order) {
                return;
            }
            let index = usize::from(*at) % count;
            let done = match what {
                Owned::Child(child) => node.set_child(index + 1, child).map(|()| true),
                _ => node.replace(index, what.body()),
            };
            let mut after = entries.clone();
            after.insert(key, what);
            (done.expect("a page in order"), after)
        }
        Op::Get(key) => {
            let key = key_of(key);
            let place = node.node().and_then(|n| n.search(&key)).expect("a page in order");
            assert_eq!(place.found, entries.contains_key(&key));
            return;
        }
    };
    // What did not fit is as it was; written anew it may fit.
    if done || rebuild(page, level, order, &after) {
        *entries = after;
    }
    same(page, level, order, entries);
}

fn same(page: &[u8], level: u8, order: KeyOrder, entries: &Entries) {
    let node = Node::open(ID, page, level, order).expect("a page in order");
    assert_eq!(node.count(), entries.len());
    assert!(node.used() <= PAGE);
    for (index, (key, what)) in entries.iter().enumerate() {
        assert_eq!(&node.key(index).expect("in order").to_vec(), key);
        match what {
            Owned::Child(child) => assert_eq!(node.child(index + 1).expect("in order"), *child),
            Owned::Inline(value) => {
                assert_eq!(node.value(index).expect("in order"), Value::Inline(value));
            }
            Owned::Aligned(value, shift, _) => {
                let found = node.value(index).expect("in order");
                assert_eq!(found, Value::Inline(value));
                let Value::Inline(found) = found else { unreachable!("compared") };
                // An empty one lies nowhere.
                if !found.is_empty() {
                    let at = found.as_ptr() as usize - page.as_ptr() as usize;
                    assert!(at.is_multiple_of(1 << *shift));
                }
            }
            Owned::Table(bytes) => {
                assert_eq!(node.value(index).expect("in order"), Value::Table(bytes));
            }
        }
    }
    if level > 0 {
        assert_eq!(node.child(0).expect("in order"), PageId(5));
    }
}
