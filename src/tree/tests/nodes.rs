//! Single pages: edits in place against a list, the choice of the prefix, refusals.

use super::model::{SHAPES, key};
use crate::format::node::build::{Body, Item, NodeHeader, Plan, encode_aligned, write_node};
use crate::format::node::edit::NodeMut;
use crate::format::node::key::KeyParts;
use crate::format::node::{LEAF_CELL, LEAF_START, Layout, MAX_INLINE_SHIFT, Node, Place, Value};
use crate::format::order::KeyOrder;
use crate::format::page::PageHeader;
use crate::types::{PageId, TxnId};
use fastrand::Rng;
use std::collections::BTreeMap;

const ID: PageId = PageId(5);

fn aligned(size: usize) -> Vec<u64> {
    vec![0x5555_5555_5555_5555; size / 8]
}

fn items(pairs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Item<'_>> {
    pairs.iter().map(|(k, v)| Item { key: KeyParts::of(k, 0), body: Body::inline(v) }).collect()
}

/// What stands behind the keys where values are aligned to 2^`shift` bytes, or not at all.
fn encoded(pairs: &BTreeMap<Vec<u8>, Vec<u8>>, shift: u8) -> BTreeMap<Vec<u8>, Vec<u8>> {
    pairs.iter().map(|(key, value)| (key.clone(), encode(value, shift))).collect()
}

fn encode(value: &[u8], shift: u8) -> Vec<u8> {
    let mut out = value.to_vec();
    if shift > 0 {
        encode_aligned(value, shift, &mut out);
    }
    out
}

fn body(encoded: &[u8], shift: u8) -> Body<'_> {
    if shift == 0 { Body::inline(encoded) } else { Body::aligned(encoded) }
}

fn items_of(encoded: &BTreeMap<Vec<u8>, Vec<u8>>, shift: u8) -> Vec<Item<'_>> {
    encoded.iter().map(|(k, v)| Item { key: KeyParts::of(k, 0), body: body(v, shift) }).collect()
}

fn compare(page: &[u8], model: &BTreeMap<Vec<u8>, Vec<u8>>, probes: &[Vec<u8>]) {
    let node = Node::open(ID, page, 0, KeyOrder::PACKED).unwrap();
    assert_eq!(node.count(), model.len());
    for (i, (key, value)) in model.iter().enumerate() {
        let (parts, got) = node.entry(i).unwrap();
        assert_eq!((parts.to_vec(), got), (key.clone(), Value::Inline(value)));
        assert_eq!(node.search(key).unwrap(), Place { index: i, found: true });
    }
    for probe in probes {
        let place = node.search(probe).unwrap();
        assert_eq!(place.index, model.range(..probe.clone()).count());
        assert_eq!(place.found, model.contains_key(probe));
    }
}

#[test]
fn edits_in_place_agree_with_a_list() {
    let mut rng = Rng::with_seed(21);
    let shifts = (0..=MAX_INLINE_SHIFT).cycle();
    for (shape, shift) in SHAPES.into_iter().zip(shifts) {
        for (page_size, shift) in [(4096, 0), (65_536, 0), (4096, shift), (65_536, shift)] {
            let mut words = aligned(page_size);
            let page: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            let mut model = BTreeMap::new();
            let (mut refused, mut rebuilt) = (0, 0);
            for n in 0..600 {
                let key = key(shape, n, page_size, &mut rng);
                let value = vec![n as u8; rng.usize(..60)];
                let there = model.contains_key(&key);
                let mut next = model.clone();
                let bytes = encode(&value, shift);
                next.insert(key.clone(), value);
                let fitted = if model.is_empty() {
                    false
                } else {
                    let mut node = NodeMut::open(ID, page, 0, KeyOrder::PACKED).unwrap();
                    let place = node.node().unwrap().search(&key).unwrap();
                    match there {
                        true => node.replace(place.index, body(&bytes, shift)).unwrap(),
                        false => node.insert(place.index, &key, body(&bytes, shift)).unwrap(),
                    }
                };
                if !fitted {
                    let next_encoded = encoded(&next, shift);
                    let items = items_of(&next_encoded, shift);
                    let plan = Plan::of(0, &items, KeyOrder::PACKED);
                    if plan.used > page_size {
                        refused += 1;
                        next = model.clone();
                        if next.len() > 2 {
                            let index = rng.usize(..next.len());
                            NodeMut::open(ID, page, 0, KeyOrder::PACKED)
                                .unwrap()
                                .remove(index)
                                .unwrap();
                            let key = next.keys().nth(index).unwrap().clone();
                            next.remove(&key);
                        }
                    } else {
                        let node_header = NodeHeader {
                            level: 0,
                            birth: TxnId(3),
                            leftmost: PageId::NONE,
                            order: KeyOrder::PACKED,
                        };
                        write_node(page, node_header, &items, plan.prefix_len).unwrap();
                        assert_eq!(
                            Node::open(ID, page, 0, KeyOrder::PACKED).unwrap().used(),
                            plan.used
                        );
                        rebuilt += 1;
                    }
                }
                model = next;
                compare(page, &model, &[key]);
                are_aligned(page, shift);
            }
            assert!(rebuilt > 0 && (refused > 0 || page_size > 4096 || model.len() < 400));
        }
    }
}

/// Each value stands at a multiple of 2^`shift` bytes, between zeros, and is made again as it was.
fn are_aligned(page: &[u8], shift: u8) {
    let node = Node::open(ID, page, 0, KeyOrder::PACKED).unwrap();
    for i in 0..node.count() {
        let cell = node.cell(i).unwrap();
        let Value::Inline(value) = node.value_of(&cell).unwrap() else { panic!() };
        let end = cell.at + node.cell_len(&cell).unwrap();
        let front = LEAF_CELL + cell.rest.len();
        assert_eq!(end - cell.at - front, encode(value, shift).len());
        if !value.is_empty() {
            let at = value.as_ptr().addr() - page.as_ptr().addr();
            assert!(at >= cell.at + front && at.is_multiple_of(1 << shift));
            assert!(page[at + value.len()..end].iter().all(|&byte| byte == 0));
        }
    }
}

#[test]
fn a_damaged_aligned_value_is_an_error() {
    let pairs = BTreeMap::from([(b"a".to_vec(), vec![7; 20]), (b"b".to_vec(), vec![])]);
    let encoded = encoded(&pairs, 4);
    let node_header =
        NodeHeader { level: 0, birth: TxnId(1), leftmost: PageId::NONE, order: KeyOrder::PACKED };
    let mut words = aligned(4096);
    let page: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    write_node(page, node_header, &items_of(&encoded, 4), 0).unwrap();
    // 4 bytes of head, 2 of length; and of the first one 2 and 15 and 20.
    let at = 4096 - 6 - (4 + 2 + 2 + 15 + 20);
    assert_eq!((4096 - 6, at), {
        let node = Node::open(ID, page, 0, KeyOrder::PACKED).unwrap();
        (node.cell(1).unwrap().at, node.cell(0).unwrap().at)
    });
    let mut refuse = |at: usize, byte: u8, wrong: &str| {
        let before = std::mem::replace(&mut page[at], byte);
        let node = Node::open(ID, page, 0, KeyOrder::PACKED).unwrap();
        let said = node.value(0).unwrap_err().to_string();
        assert!(said.contains("page 5") && said.contains("value that"), "{wrong}: {said}");
        page[at] = before;
    };
    refuse(at + 4, 17, "no value, but room for one");
    refuse(at + 4, 60, "a value that reaches out of the page");
    refuse(at + 5, 1, "the same by far");
    refuse(at + 6, 7, "aligned more than a value in a leaf can be");
    refuse(at + 6, 255, "the same by far");
    refuse(at + 7, 16, "more in front of it than there has to be");
    refuse(at + 7, 255, "the same by far");
    refuse(at + 7, page_pad(at, 4) ^ 1, "a byte off its place");
    let node = Node::open(ID, page, 0, KeyOrder::PACKED).unwrap();
    assert_eq!(node.value(0).unwrap(), Value::Inline(&[7; 20]));
    let Value::Inline(nothing) = node.value(1).unwrap() else { panic!() };
    assert!(nothing.is_empty() && nothing.as_ptr().addr().is_multiple_of(4096));
}

/// What stands in front of a value in a cell at this place, whose key has no rest.
fn page_pad(cell_at: usize, shift: u8) -> u8 {
    let first = cell_at + LEAF_CELL + 4;
    (first.next_multiple_of(1 << shift) - first) as u8
}

#[test]
fn the_prefix_makes_the_page_smallest() {
    let mut rng = Rng::with_seed(22);
    for round in 0..3000 {
        let common = rng.usize(..20);
        let pairs: BTreeMap<Vec<u8>, Vec<u8>> = (0..rng.usize(1..6))
            .map(|_| {
                let mut key = vec![b'p'; common];
                key.extend((0..rng.usize(..12)).map(|_| b'a' + rng.u8(..2)));
                (key, vec![1; rng.usize(..3)])
            })
            .collect();
        let items = items(&pairs);
        let plan = Plan::of(0, &items, KeyOrder::PACKED);
        let longest = items[0].key.common_prefix(&items[items.len() - 1].key);
        for prefix_len in 0..=longest {
            let mut words = aligned(4096);
            let page: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            let node_header = NodeHeader {
                level: 0,
                birth: TxnId(1),
                leftmost: PageId::NONE,
                order: KeyOrder::PACKED,
            };
            write_node(page, node_header, &items, prefix_len).unwrap();
            let used = Node::open(ID, page, 0, KeyOrder::PACKED).unwrap().used();
            assert!(plan.used <= used, "round {round}: {plan:?}, {prefix_len} takes {used}");
            assert!(prefix_len != plan.prefix_len || used == plan.used);
            compare(page, &pairs, &[b"p".to_vec(), b"q".to_vec(), vec![b'p'; common + 1]]);
        }
    }
}

#[test]
fn bytes_of_a_leaf() {
    // The example of a page as docs/format.md describes it, by hand.
    let pairs: BTreeMap<Vec<u8>, Vec<u8>> =
        [("keep/alpha", "1"), ("keep/alphabet", "22"), ("keep/b", "")]
            .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()))
            .into();
    let mut words = aligned(4096);
    let page: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let node_header =
        NodeHeader { level: 0, birth: TxnId(9), leftmost: PageId::NONE, order: KeyOrder::PACKED };
    write_node(page, node_header, &items(&pairs), 5).unwrap();
    assert_eq!(&page[4..8], &[2, 0, 3, 0]);
    assert_eq!(page[8..16], 9u64.to_le_bytes());
    assert_eq!(page[16..24], [20, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(&page[24..32], b"keep/\0\0\0");
    assert_eq!(&page[32..44], b"hplahpla\0\0\0b");
    assert_eq!(page[44..50], [0xec, 0x0f, 0xf2, 0x0f, 0xfc, 0x0f]);
    assert_eq!(&page[4076..4082], b"\x05\0\x01\0a1");
    assert_eq!(&page[4082..4092], b"\x08\0\x02\0abet22");
    assert_eq!(&page[4092..4096], b"\x01\0\0\0");
}

#[test]
fn impossible_layouts_are_refused() {
    let mut words = aligned(4096);
    let page: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let pairs = BTreeMap::from([(b"a".to_vec(), vec![1]), (b"b".to_vec(), vec![2])]);
    let node_header =
        NodeHeader { level: 0, birth: TxnId(1), leftmost: PageId::NONE, order: KeyOrder::PACKED };
    write_node(page, node_header, &items(&pairs), 0).unwrap();
    let good = PageHeader::read(page).unwrap();
    Node::open(ID, page, 0, KeyOrder::PACKED).unwrap();
    assert!(Node::open(ID, page, 1, KeyOrder::PACKED).is_err());
    assert!(Node::open(ID, &page[..20], 0, KeyOrder::PACKED).is_err());
    let mut refuse = |header: PageHeader| {
        header.write(page);
        assert!(Layout::of(page, 0, KeyOrder::PACKED).is_err(), "{header:?}");
        assert!(
            Node::open(ID, page, 0, KeyOrder::PACKED).unwrap_err().to_string().contains("page 5")
        );
    };
    refuse(PageHeader { kind: 1, ..good });
    refuse(PageHeader { kind: 3, ..good });
    refuse(PageHeader { level: 1, ..good });
    refuse(PageHeader { count: 0, ..good });
    refuse(PageHeader { count: 700, ..good });
    refuse(PageHeader { prefix_len: 4090, ..good });
    refuse(PageHeader { heap_len: 4097, ..good });
    refuse(PageHeader { heap_len: 4096 - LEAF_START as u16, ..good });
    refuse(PageHeader { heap_dead: good.heap_len + 1, ..good });
    // A slot that points at what looks like a cell, but in the gap.
    good.write(page);
    page[2000..2008].fill(0);
    page[LEAF_START + 8..LEAF_START + 10].copy_from_slice(&2000u16.to_le_bytes());
    let node = Node::open(ID, page, 0, KeyOrder::PACKED).unwrap();
    assert!(node.cell(0).is_err() && node.cell(1).is_ok() && node.cell(2).is_err());
    assert!(node.search(b"a").is_err() && node.search(b"b").unwrap().found);
}
