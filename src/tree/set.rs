//! What a key has in a table of sets, as its leaf says it.

use crate::error::{Error, Result};
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

    /// The same, if it is one of a table with this descriptor: its values have the size that the
    /// table says, and a tree no more pages than the table counts (S3), which bounds every walk
    /// over it.
    pub(super) fn checked(self, desc: &TableDescriptor) -> Result<Set<'a>> {
        let size = usize::from(desc.value_size);
        let (right, small) = match self {
            Set::One(value) => (size == 0 || value.len() == size, true),
            Set::Inline(set) => (set.value_size() == size, true),
            Set::Tree(tree) => {
                (tree.value_size == desc.value_size, pages_of(&tree) <= desc.overflow_pages)
            }
        };
        match (right, small) {
            (true, true) => Ok(self),
            (false, _) => Err(bad(desc, "set of values of another size")),
            (_, false) => Err(bad(desc, "set in more pages than all sets have")),
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

/// Pages of a tree of values.
pub(super) fn pages_of(tree: &TableDescriptor) -> u64 {
    tree.branch_pages.saturating_add(tree.leaf_pages)
}

#[cold]
pub(super) fn bad(desc: &TableDescriptor, why: &str) -> Error {
    Error::corrupt(desc.root, format!("root of a tree with a {why}"))
}
