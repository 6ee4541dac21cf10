//! How a tree stores and orders its keys, as docs/format.md says it.

use super::layout;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// A function that compares two keys.
pub(super) type Compare = fn(&[u8], &[u8]) -> Ordering;

/// The function of an order of the user's, which is the same where it stands in one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function(Compare);

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.0 as usize == other.0 as usize
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 as usize).hash(state);
    }
}

/// Layout and order of the keys of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Keys {
    /// In pieces, by their bytes.
    Packed,
    /// Whole, by their bytes.
    Plain,
    /// By their bytes from the last one to the first.
    Reversed,
    /// Little-endian numbers.
    Integers,
    /// By a function of the user's, which is not known here.
    Custom,
    /// By one that is.
    Given(Function),
    /// Of a page whose tree is not known: any of these.
    Any,
}

impl Keys {
    /// What a table descriptor says.
    pub fn decode(number: u64) -> Option<Keys> {
        let all = [Keys::Packed, Keys::Plain, Keys::Reversed, Keys::Integers, Keys::Custom];
        all.get(usize::try_from(number).ok()?).copied()
    }

    /// The same with the function, where it is one of the user's.
    pub fn with_function(self, function: Option<Compare>) -> Keys {
        match (self, function) {
            (Keys::Custom, Some(function)) => Keys::Given(Function(function)),
            _ => self,
        }
    }

    /// A number for each layout and order; one for all functions.
    pub fn number(self) -> u64 {
        match self {
            Keys::Packed => 0,
            Keys::Plain => 1,
            Keys::Reversed => 2,
            Keys::Integers => 3,
            Keys::Custom | Keys::Given(_) => 4,
            Keys::Any => 5,
        }
    }

    /// Whether a page of such a tree has its keys whole, or in pieces, as is said.
    pub fn fits(self, whole: bool) -> bool {
        match self {
            Keys::Any => true,
            Keys::Packed => !whole,
            _ => whole,
        }
    }

    /// What is known of it beside a page of such a tree, which has its keys whole or in pieces.
    pub fn of_page(self, whole: bool) -> Keys {
        match self {
            Keys::Any if !whole => Keys::Packed,
            keys => keys,
        }
    }

    /// Whether the order can be looked at here.
    pub fn is_known(self) -> bool {
        !matches!(self, Keys::Custom | Keys::Any)
    }

    /// How two keys are ordered; None where that is not known.
    pub fn compare(self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        match self {
            Keys::Packed | Keys::Plain => Some(a.cmp(b)),
            Keys::Reversed => Some(a.iter().rev().cmp(b.iter().rev())),
            Keys::Integers => Some(number(a).cmp(&number(b)).then(a.len().cmp(&b.len()))),
            Keys::Given(Function(compare)) => Some(compare(a, b)),
            Keys::Custom | Keys::Any => None,
        }
    }

    /// Whether `a` is certainly below `b`, or not: where the order is not known, `unknown`.
    pub fn is_below(self, a: &[u8], b: &[u8], unknown: bool) -> bool {
        self.compare(a, b).map_or(unknown, Ordering::is_lt)
    }

    /// The head of a whole key; None where that is not known.
    pub fn head(self, key: &[u8]) -> Option<u32> {
        let four = |bytes: &mut dyn Iterator<Item = u8>| {
            (0..4).fold(0, |head, _| head << 8 | u32::from(bytes.next().unwrap_or(0)))
        };
        match self {
            Keys::Packed | Keys::Any => None,
            Keys::Plain => Some(four(&mut key.iter().copied())),
            Keys::Reversed => Some(four(&mut key.iter().rev().copied())),
            Keys::Integers => Some(head_of_number(number(key))),
            Keys::Custom | Keys::Given(_) => Some(0),
        }
    }

    /// What is wrong with a key of this length.
    pub fn wrong_length(self, len: usize, page_size: usize) -> Option<String> {
        let beside = if matches!(self, Keys::Packed | Keys::Any) { 0 } else { layout::HEAD };
        let max = layout::max_key(page_size) - beside;
        if len > max {
            return Some(format!("has {len} bytes, at most {max} are allowed"));
        }
        let integer = self != Keys::Integers || len == 4 || len == 8;
        (!integer).then(|| format!("has {len} bytes where an integer has 4 or 8"))
    }
}

/// A number of 8 bytes or less; of what is longer, which cannot be, the first 8 bytes.
fn number(key: &[u8]) -> u64 {
    key.iter().take(8).rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// 7 bits that say how many bits the number has, then the 25 behind its highest one.
fn head_of_number(number: u64) -> u32 {
    let bits = 64 - number.leading_zeros();
    let behind = match bits {
        0 | 1 => 0,
        _ => (u128::from(number) << (128 - bits + 1) >> (128 - 25)) as u32,
    };
    bits << 25 | behind
}
