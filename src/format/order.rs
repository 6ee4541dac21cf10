//! How a tree keeps its keys and in which order.
//!
//! A tree of the ordinary layout is ordered by the bytes of its keys; what the keys of a page have
//! in common stands once, and the rest of each in two pieces. In the plain layout each cell has its
//! key whole, so that any order is possible, and a key can be borrowed from its page. Heads then
//! hold a number that rises with the order; it only spares comparisons, and may be 0.

use crate::error::{Error, Result};
use crate::types::Order;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Mutex;

/// Bytes of a key, or of what a page's prefix leaves of it, that stand in its head.
pub const HEAD: usize = 4;

/// The first four bytes of a suffix as a big-endian number, missing bytes zero.
#[inline]
pub fn head_of(suffix: &[u8]) -> u32 {
    if let Some(four) = suffix.first_chunk() {
        return u32::from_be_bytes(*four);
    }
    let mut four = [0; HEAD];
    four[..suffix.len()].copy_from_slice(suffix);
    u32::from_be_bytes(four)
}

/// A function that compares two keys: a total order of all byte strings.
pub type Compare = fn(&[u8], &[u8]) -> Ordering;

/// Which order; the numbers are those of the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bytes = 1,
    Reversed = 2,
    Integers = 3,
    Custom = 4,
}

/// An order of keys that stand whole in their pages, and how two of them are compared.
#[derive(Debug)]
pub struct Comparator {
    kind: Kind,
    /// Of a custom one, which the function belongs to.
    name: &'static str,
    compare: Compare,
}

static BYTES: Comparator = Comparator { kind: Kind::Bytes, name: "", compare: <[u8] as Ord>::cmp };
static REVERSED: Comparator =
    Comparator { kind: Kind::Reversed, name: "", compare: compare_reversed };
static INTEGERS: Comparator =
    Comparator { kind: Kind::Integers, name: "", compare: compare_integers };
/// One whose function is not known here. A tree of it is walked, copied and dropped, but nothing is
/// looked for in it.
static UNKNOWN: Comparator =
    Comparator { kind: Kind::Custom, name: "", compare: <[u8] as Ord>::cmp };

impl Comparator {
    /// The order of this name by this function. It lives for ever; the same is made once.
    pub fn custom(name: &str, compare: Compare) -> &'static Comparator {
        static MADE: Mutex<Vec<&'static Comparator>> = Mutex::new(Vec::new());
        let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let same =
            |order: &&&Comparator| order.name == name && order.compare as usize == compare as usize;
        if let Some(order) = made.iter().find(same) {
            return order;
        }
        let name: &'static str = Box::leak(name.into());
        let order: &'static Comparator =
            Box::leak(Box::new(Comparator { kind: Kind::Custom, name, compare }));
        made.push(order);
        order
    }

    /// The name of a custom one.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The function.
    pub fn function(&self) -> Compare {
        self.compare
    }

    /// What the head of a key is.
    pub(super) fn head(&self, key: &[u8]) -> u32 {
        match self.kind {
            Kind::Bytes => head_of(key),
            Kind::Reversed => {
                let mut last = [0; HEAD];
                last.iter_mut().zip(key.iter().rev()).for_each(|(to, from)| *to = *from);
                u32::from_be_bytes(last)
            }
            Kind::Integers => head_of_integer(key),
            Kind::Custom => 0,
        }
    }

    #[inline]
    pub(super) fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match self.kind {
            Kind::Bytes => a.cmp(b),
            _ => (self.compare)(a, b),
        }
    }
}

fn compare_reversed(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// Little-endian numbers; of the same number the shorter one first. Any length has its place.
fn compare_integers(a: &[u8], b: &[u8]) -> Ordering {
    if let (Ok(a), Ok(b)) = (<[u8; 8]>::try_from(a), <[u8; 8]>::try_from(b)) {
        return u64::from_le_bytes(a).cmp(&u64::from_le_bytes(b));
    }
    let digits = |n: &[u8]| n.len() - n.iter().rev().take_while(|&&byte| byte == 0).count();
    let (x, y) = (&a[..digits(a)], &b[..digits(b)]);
    let by_value = x.len().cmp(&y.len()).then_with(|| compare_reversed(x, y));
    by_value.then(a.len().cmp(&b.len()))
}

/// The place of the highest bit of a number, and the 25 bits behind it: rises with the number, and
/// tells small ones apart as well as great ones.
fn head_of_integer(key: &[u8]) -> u32 {
    let mut bytes = [0; 8];
    let n = key.len().min(8);
    bytes[..n].copy_from_slice(&key[..n]);
    if key[n..].iter().any(|&byte| byte != 0) {
        return u32::MAX;
    }
    let number = u64::from_le_bytes(bytes);
    let bits = u64::BITS - number.leading_zeros();
    if bits == 0 {
        return 0;
    }
    // Without the highest bit, the next ones at the top.
    let behind = if bits == 1 { 0 } else { number << (u64::BITS - bits + 1) };
    bits << 25 | (behind >> 39) as u32
}

/// The layout of the keys of a tree, and their order.
#[derive(Clone, Copy, Default)]
pub struct KeyOrder(Option<&'static Comparator>);

impl KeyOrder {
    /// By the bytes, in pieces.
    pub const PACKED: KeyOrder = KeyOrder(None);
    /// Whole keys, by their bytes.
    pub const BYTES: KeyOrder = KeyOrder(Some(&BYTES));
    /// Whole keys, by their bytes from the last to the first.
    pub const REVERSED: KeyOrder = KeyOrder(Some(&REVERSED));
    /// Little-endian numbers of 4 or 8 bytes.
    pub const INTEGERS: KeyOrder = KeyOrder(Some(&INTEGERS));
    /// By a function that is not known.
    pub const UNKNOWN: KeyOrder = KeyOrder(Some(&UNKNOWN));

    /// By a function of the user's.
    pub fn custom(order: &'static Comparator) -> KeyOrder {
        KeyOrder(Some(order))
    }

    /// The order of this number in the format; None if there is none.
    pub fn decode(number: u64) -> Option<KeyOrder> {
        [Self::PACKED, Self::BYTES, Self::REVERSED, Self::INTEGERS, Self::UNKNOWN]
            .into_iter()
            .find(|order| order.encode() == number)
    }

    /// Its number.
    pub fn encode(self) -> u64 {
        self.0.map_or(0, |order| order.kind as u64)
    }

    /// What users ask for; a custom one without its function.
    pub fn of(order: &Order) -> KeyOrder {
        match order {
            Order::Packed => KeyOrder::PACKED,
            Order::Plain => KeyOrder::BYTES,
            Order::Reversed => KeyOrder::REVERSED,
            Order::Integers => KeyOrder::INTEGERS,
            Order::Custom(_) => KeyOrder::UNKNOWN,
        }
    }

    /// What users call it; without the name of a custom one.
    pub fn public(self) -> Order {
        match self.0.map(|order| order.kind) {
            None => Order::Packed,
            Some(Kind::Bytes) => Order::Plain,
            Some(Kind::Reversed) => Order::Reversed,
            Some(Kind::Integers) => Order::Integers,
            Some(Kind::Custom) => Order::Custom(String::new()),
        }
    }

    /// The order of keys that stand whole; None if they stand in pieces.
    #[inline(always)]
    pub(super) fn whole(self) -> Option<&'static Comparator> {
        self.0
    }

    /// Whether keys stand in pieces.
    #[inline(always)]
    pub fn is_packed(self) -> bool {
        self.0.is_none()
    }

    /// Whether it is one of the user's.
    pub fn is_custom(self) -> bool {
        self.0.is_some_and(|order| order.kind == Kind::Custom)
    }

    /// Whether keys can be compared.
    pub fn is_known(self) -> bool {
        !self.0.is_some_and(|order| order.kind == Kind::Custom && order.name.is_empty())
    }

    /// Whether two trees have their keys in one order, and in one layout.
    pub fn is_same(self, other: KeyOrder) -> bool {
        let name = |order: KeyOrder| order.0.map_or("", |order| order.name);
        self == other && name(self) == name(other)
    }

    /// Whether the order is that of the bytes.
    pub fn is_by_bytes(self) -> bool {
        self.0.is_none_or(|order| order.kind == Kind::Bytes)
    }

    /// How two keys are ordered.
    #[inline]
    pub fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        match self.0 {
            None => a.cmp(b),
            Some(order) => order.compare(a, b),
        }
    }

    /// A number that rises with the order: the head of a key that stands whole.
    #[inline]
    pub fn head(self, key: &[u8]) -> u32 {
        self.0.map_or(0, |order| order.head(key))
    }

    /// Bytes of a suffix that do not stand in the cell.
    #[inline(always)]
    pub fn beside(self) -> usize {
        if self.0.is_none() { HEAD } else { 0 }
    }

    /// Whether such a key may be in the tree.
    pub fn check(self, key: &[u8]) -> Result<()> {
        match self.0 {
            Some(Comparator { kind: Kind::Integers, .. }) if ![4, 8].contains(&key.len()) => {
                let len = key.len();
                let what = format!("key of {len} bytes in a table of integers, which have 4 or 8");
                Err(Error::InvalidArgument(what))
            }
            _ => Ok(()),
        }
    }
}

/// As they are stored, so that an order is the same with and without its function.
impl PartialEq for KeyOrder {
    fn eq(&self, other: &KeyOrder) -> bool {
        self.encode() == other.encode()
    }
}

impl Eq for KeyOrder {}

impl fmt::Debug for KeyOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("Packed"),
            Some(order) => write!(f, "{:?} {:?}", order.kind, order.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads rise with the order, which is total.
    #[test]
    fn heads_never_contradict_their_order() {
        let mut keys: Vec<Vec<u8>> =
            vec![vec![], vec![0], vec![0, 0], vec![1, 0, 0, 0, 0, 0, 0, 0, 0]];
        for shift in 0..64 {
            for low in [0u64, 1, 0x5555_5555_5555_5555] {
                let number = 1u64 << shift | low >> (63 - shift);
                keys.extend([number.to_le_bytes().to_vec(), number.to_be_bytes().to_vec()]);
                keys.push((number as u32).to_le_bytes().to_vec());
                keys.push(number.to_le_bytes()[..(shift / 8) as usize].to_vec());
            }
        }
        for order in [&BYTES, &REVERSED, &INTEGERS, &UNKNOWN] {
            let mut sorted = keys.clone();
            sorted.sort_by(|a, b| order.compare(a, b));
            for pair in sorted.windows(2) {
                assert!(
                    order.head(&pair[0]) <= order.head(&pair[1]),
                    "{order:?} {pair:?}",
                    order = order.kind
                );
                assert_eq!(order.compare(&pair[0], &pair[1]).is_eq(), pair[0] == pair[1]);
            }
        }
        let numbers = |n: u64| n.to_le_bytes();
        assert!(compare_integers(&numbers(256), &numbers(255)).is_gt());
        assert!(compare_integers(&numbers(7), &7u32.to_le_bytes()).is_gt());
        assert!(compare_integers(&numbers(6), &7u32.to_le_bytes()).is_lt());
        assert!(compare_reversed(b"ba", b"ab").is_lt());
    }

    #[test]
    fn numbers_of_orders_come_back() {
        for number in 0..=4 {
            assert_eq!(KeyOrder::decode(number).map(KeyOrder::encode), Some(number));
        }
        assert_eq!(KeyOrder::decode(5), None);
        let mine = |a: &[u8], b: &[u8]| b.cmp(a);
        let order = Comparator::custom("down", mine);
        assert!(std::ptr::eq(order, Comparator::custom("down", mine)));
        assert!(KeyOrder::custom(order).is_known() && !KeyOrder::UNKNOWN.is_known());
    }
}
