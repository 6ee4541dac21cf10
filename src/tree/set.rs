//! What a key has in a table of sets, as its leaf says it.

use crate::error::Result;
use crate::format::descriptor::TableDescriptor;
use crate::format::node::set::InlineSet;
use crate::format::node::{Node, Value};

/// The values of one key.
#[derive(Clone, Copy, Debug)]
pub enum Set<'a> {
    /// One.
    One(&'a [u8]),
    /// Several, in the leaf.
    Inline(InlineSet<'a>),
    /// A tree of them.
    Tree(TableDescriptor),
}

impl<'a> Set<'a> {
    /// What a leaf of a table of sets holds beside a key.
    pub(super) fn of(leaf: &Node<'a>, value: Value<'a>) -> Result<Set<'a>> {
        match value {
            Value::Inline(value) => Ok(Set::One(value)),
            Value::Set(set) => Ok(Set::Inline(set)),
            Value::Tree(tree) => Ok(Set::Tree(tree)),
            Value::Overflow(_) | Value::Table(_) => Err(leaf.corrupt("no set of values")),
        }
    }

    /// Number of values. O(1).
    pub fn count(&self) -> u64 {
        match self {
            Set::One(_) => 1,
            Set::Inline(set) => set.count() as u64,
            Set::Tree(tree) => tree.entries,
        }
    }
}
