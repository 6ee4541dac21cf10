//! Orders of keys: the functions that every handle is given, keys as each order takes them, and a
//! look at the order of whole tables that shares no code with the engine.
//!
//! The check of an image knows no function, and says nothing of the order of tables that need one.
//! So what passes it is looked at here: out of order nobody knows what reads and writes should do.

use super::bytes::{LEAF, Node, get};
use recto::inspect::{MetaChoice, PageKind, Tree, walk};
use recto::{Builder, Order};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::ControlFlow;

type Compare = fn(&[u8], &[u8]) -> Ordering;

/// Name and function of each order of a function.
pub const FUNCTIONS: [(&str, Compare); 2] = [("down", down), ("by length", by_length)];
/// Number of an order of a function in a descriptor.
pub const CUSTOM: u64 = 4;

fn down(a: &[u8], b: &[u8]) -> Ordering {
    b.cmp(a)
}

fn by_length(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Gives a handle all functions.
pub fn give(builder: &mut Builder) {
    for (name, function) in FUNCTIONS {
        builder.order(name, function);
    }
}

fn function(name: &str) -> Option<Compare> {
    FUNCTIONS.iter().find(|(its, _)| *its == name).map(|(_, function)| *function)
}

/// How keys are ordered; by their bytes in an order whose function nobody has.
pub fn comparison(order: &Order) -> Compare {
    match order {
        Order::Reversed => |a, b| a.iter().rev().cmp(b.iter().rev()),
        Order::Integers => |a, b| number(a).cmp(&number(b)).then(a.len().cmp(&b.len())),
        Order::Custom(name) => function(name).unwrap_or(<[u8] as Ord>::cmp),
        _ => <[u8] as Ord>::cmp,
    }
}

fn number(key: &[u8]) -> u64 {
    get(key, 0, key.len().min(8))
}

/// The key as tables in this order take it; what ascends among keys of 8 bytes and more still does.
pub fn fit<'k>(order: &Order, key: &'k [u8]) -> Cow<'k, [u8]> {
    match key.len() {
        _ if *order != Order::Integers => key.into(),
        4 | 8 => key.into(),
        8.. => key[key.len() - 8..].iter().rev().copied().collect(),
        _ => crc32fast::hash(key).to_le_bytes().to_vec().into(),
    }
}

/// The head of a key in the order of this number.
pub fn head(order: u64, key: &[u8]) -> u32 {
    let four = |bytes: &mut dyn Iterator<Item = &u8>| {
        u32::from_be_bytes(std::array::from_fn(|_| bytes.next().copied().unwrap_or(0)))
    };
    match order {
        1 => four(&mut key.iter()),
        2 => four(&mut key.iter().rev()),
        3 => {
            let number = number(key);
            let bits = u64::BITS - number.leading_zeros();
            // Without the highest bit, and the 25 behind it.
            let behind = number.checked_shl(u64::BITS - bits + 1).unwrap_or(0) >> 39;
            bits << 25 | behind as u32
        }
        _ => 0,
    }
}

/// What is known of the tables in orders of functions of an image that passes the check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// All are in their order.
    InOrder,
    /// One has a function that nobody has.
    Unknown,
    /// One is not in its order.
    OutOfOrder,
}

/// Looks at them.
pub fn judge(image: &[u8], page_size: usize) -> Judgement {
    let mut tables = Vec::new();
    let walked = walk(&image, &MetaChoice::Newest, &mut |page| {
        if (page.kind, page.tree) == (PageKind::Leaf, Tree::Catalog) {
            let page = &image[page.id.0 as usize * page_size..][..page_size];
            tables.extend(listed(page));
        }
        ControlFlow::Continue(())
    });
    let known = |(root, function): &(u64, Option<Compare>)| Some((*root, (*function)?));
    let Some(known) = tables.iter().map(known).collect::<Option<Vec<_>>>() else {
        return Judgement::Unknown;
    };
    let in_order = known
        .into_iter()
        .filter(|(root, _)| *root != 0)
        .all(|(root, compare)| Looking { image, page_size, compare }.is_in_order(root, None, None));
    if walked.is_ok() && in_order { Judgement::InOrder } else { Judgement::OutOfOrder }
}

/// Root and function of the tables in an order of a function that a leaf of the catalog lists.
fn listed(page: &[u8]) -> Vec<(u64, Option<Compare>)> {
    let Some(node) = Node::of(page).filter(|_| page[4] == LEAF) else { return Vec::new() };
    let values = (0..node.count).map(|index| node.key_fields(page, index).1.end);
    let custom = values.filter(|&at| get(page, at + 44, 2) == CUSTOM);
    custom.map(|at| (get(page, at, 8), function(&order_name(page, at)))).collect()
}

/// The name of the order of the table whose descriptor stands there: the last of its options.
fn order_name(page: &[u8], descriptor: usize) -> String {
    let mut at = descriptor + 64;
    while get(page, at, 1) < 3 {
        at += 2 + get(page, at + 1, 1) as usize;
    }
    let name = page.get(at + 2..at + 2 + get(page, at + 1, 1) as usize);
    String::from_utf8_lossy(name.unwrap_or(&[])).into_owned()
}

struct Looking<'i> {
    image: &'i [u8],
    page_size: usize,
    compare: Compare,
}

impl Looking<'_> {
    /// Whether the keys below a page ascend, from `from` on and below `to`.
    fn is_in_order(&self, id: u64, from: Option<&[u8]>, to: Option<&[u8]>) -> bool {
        let page = &self.image[id as usize * self.page_size..][..self.page_size];
        let Some(node) = Node::of(page) else { return false };
        let keys: Vec<Vec<u8>> = (0..node.count).map(|index| node.key(page, index)).collect();
        let is_below = |a: &[u8], b: &[u8]| (self.compare)(a, b).is_lt();
        let ascend = keys.windows(2).all(|two| is_below(&two[0], &two[1]));
        let fenced = from.is_none_or(|from| !is_below(&keys[0], from))
            && to.is_none_or(|to| is_below(&keys[node.count - 1], to));
        let key = |index: usize| keys.get(index).map(|key| &key[..]);
        let child = |index: usize| {
            let from = index.checked_sub(1).and_then(key).or(from);
            self.is_in_order(node.child(page, index), from, key(index).or(to))
        };
        ascend && fenced && (!node.branch || (0..=node.count).all(child))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_follow_the_format() {
        assert_eq!(head(1, b"ab"), 0x6162_0000);
        assert_eq!(head(2, b"ab"), 0x6261_0000);
        let bits = |bits: u32, behind: u32| bits << 25 | behind;
        for (n, wanted) in [(0u64, 0), (1, bits(1, 0)), (2, bits(2, 0)), (3, bits(2, 1 << 24))] {
            assert_eq!(head(3, &n.to_le_bytes()), wanted, "{n}");
        }
        assert_eq!(head(3, &u64::MAX.to_le_bytes()), bits(64, (1 << 25) - 1));
        assert_eq!(
            fit(&Order::Integers, &[0xff, 0, 0, 0, 0, 0, 0, 0, 1])[..],
            [1, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}
