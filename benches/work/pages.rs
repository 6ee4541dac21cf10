//! Work on single pages, and that of the allocator.

use super::Work;
use recto::internals::KeyOrder;
use recto::internals::checksum::page_crc;
use recto::internals::node::build::{Body, Item, NodeHeader, Plan, write_node};
use recto::internals::node::edit::NodeMut;
use recto::internals::node::key::KeyParts;
use recto::internals::node::{Node, Place};
use recto::internals::space::{Allocator, LogPages, Meta, Pins, Start};
use recto::{PageId, TxnId};
use std::collections::HashMap;
use std::hint::black_box;

pub const WORKS: [Work; 5] = [
    Work { name: "checksum of a page", times: 1, keys: [0; 2], ready: checksum },
    Work { name: "search in a leaf", times: KEYS as u64, keys: [0; 2], ready: search },
    Work {
        name: "insert into a leaf, or remove",
        times: KEYS as u64,
        keys: [0; 2],
        ready: insert_and_remove,
    },
    Work { name: "write both halves of a split leaf", times: 1, keys: [0; 2], ready: split },
    Work { name: "allocate a page, and free one", times: PAGES, keys: [0; 2], ready: allocate },
];

const PAGE: usize = 4096;
const ID: PageId = PageId(7);
/// Entries of a leaf, with values of 100 bytes.
const KEYS: usize = 32;
/// Pages of one transaction of the allocator.
const PAGES: u64 = 64;

fn key(i: usize) -> [u8; 8] {
    (i as u64).wrapping_mul(0x0789_abcd_1234_5677).to_be_bytes()
}

fn sorted() -> Vec<[u8; 8]> {
    let mut keys: Vec<_> = (1..=KEYS).map(key).collect();
    keys.sort_unstable();
    keys
}

/// A buffer as pages are: aligned.
fn page() -> Vec<u64> {
    vec![0; PAGE / 8]
}

fn write(page: &mut [u64], keys: &[[u8; 8]]) {
    const VALUE: &[u8] = &[7; 100];
    let item = |key| Item { key: KeyParts::of(key, 0), body: Body::inline(VALUE) };
    let items: Vec<Item<'_>> = keys.iter().map(|key| item(key)).collect();
    let plan = Plan::of(0, &items, KeyOrder::PACKED);
    let (birth, leftmost, order) = (TxnId(9), PageId::NONE, KeyOrder::PACKED);
    let node_header = NodeHeader { level: 0, birth, leftmost, order };
    write_node(bytemuck::cast_slice_mut(page), node_header, &items, plan.prefix_len)
        .expect("they fit");
}

fn checksum(_: u64) -> Box<dyn FnMut()> {
    let mut page = page();
    write(&mut page, &sorted());
    Box::new(move || {
        black_box(page_crc(ID, bytemuck::cast_slice(&page)));
    })
}

fn search(_: u64) -> Box<dyn FnMut()> {
    let mut page = page();
    let keys = sorted();
    write(&mut page, &keys);
    Box::new(move || {
        for (index, key) in keys.iter().enumerate() {
            let node = Node::open(ID, bytemuck::cast_slice(&page), 0, KeyOrder::PACKED)
                .expect("is a leaf");
            let place = node.search(black_box(key)).expect("intact");
            assert_eq!(place, Place { index, found: true });
        }
    })
}

fn insert_and_remove(_: u64) -> Box<dyn FnMut()> {
    let mut words = page();
    let keys = sorted();
    let half: Vec<_> = keys.iter().copied().step_by(2).collect();
    Box::new(move || {
        // Anew each time: what is removed leaves holes, until the page has no room in one piece.
        write(&mut words, &half);
        let mut leaf = NodeMut::open(ID, bytemuck::cast_slice_mut(&mut words), 0, KeyOrder::PACKED)
            .expect("a leaf");
        for key in keys.iter().skip(1).step_by(2) {
            let place = leaf.node().and_then(|node| node.search(key)).expect("intact");
            assert!(
                leaf.insert(place.index, key, Body::inline(&[7; 8])).expect("intact"),
                "no room"
            );
        }
        for index in 0..half.len() {
            leaf.remove(index).expect("intact");
        }
    })
}

fn split(_: u64) -> Box<dyn FnMut()> {
    let keys = sorted();
    let mut halves = [page(), page()];
    Box::new(move || {
        for (half, keys) in halves.iter_mut().zip(keys.chunks(KEYS / 2)) {
            write(half, black_box(keys));
        }
    })
}

/// Free-log pages in memory.
#[derive(Default)]
struct Log(HashMap<PageId, Vec<u8>>);

impl LogPages for Log {
    fn log_page(&self, id: PageId) -> recto::Result<&[u8]> {
        Ok(&self.0[&id])
    }

    fn new_log_page(&mut self, id: PageId) -> recto::Result<&mut [u8]> {
        let page = self.0.entry(id).or_default();
        page.clear();
        page.resize(PAGE, 0);
        Ok(page)
    }
}

/// Transactions that replace `PAGES` pages each, as a commit of as many random keys does.
fn allocate(_: u64) -> Box<dyn FnMut()> {
    let (mut base, _) = Meta::decode(&recto::internals::new_file(PAGE)).expect("is new");
    let mut log = Log::default();
    let mut live: Vec<(PageId, TxnId)> = Vec::new();
    Box::new(move || {
        let last = base.txn;
        let txn = TxnId(last.0 + 1);
        let pins = Pins::new(last, &[last], &[], false);
        let start = Start {
            base: &base,
            txn,
            pins,
            durable: last,
            page_high: 0,
            dead_from: txn,
            limit: usize::MAX,
        };
        let mut allocator = Allocator::new(start).expect("intact");
        for (page, birth) in live.drain(..) {
            allocator.free(page, 1, birth).expect("is not free");
        }
        // Every other page, so that extents do not join.
        for n in 0..2 * PAGES {
            let page = allocator.allocate(&log).expect("memory suffices");
            if n % 2 == 0 {
                live.push((page, txn));
            } else {
                allocator.free(page, 1, txn).expect("is not free");
            }
        }
        base.space = allocator.finish(&mut log).expect("memory suffices");
        (base.txn, base.page_count) = (txn, allocator.page_count());
    })
}
