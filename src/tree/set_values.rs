//! Reading sets of values.

use super::PageSource;
use super::key::Key;
use super::packed::{self, PackedRange};
use super::range::Range;
use super::search::find;
use super::set::{Set, bad};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::set::{BAD_ENDS, InlineSet};
use crate::format::order::KeyOrder;
use crate::types::PageId;
use std::ops::Bound;

/// The values of a key; None if it has none.
pub fn get_set<'a, S: PageSource>(
    src: &'a S,
    desc: &TableDescriptor,
    key: &[u8],
) -> Result<Option<Set<'a>>> {
    match find(src, desc, desc.order, key)? {
        Some((leaf, value)) => Set::of(&leaf, value)?.checked(desc).map(Some),
        None => Ok(None),
    }
}

/// Whether a set has a value. `desc` is that of the table.
pub fn set_contains<S: PageSource>(
    src: &S,
    desc: &TableDescriptor,
    set: &Set<'_>,
    value: &[u8],
) -> Result<bool> {
    match set {
        Set::One(only) => Ok(*only == value),
        Set::Inline(set) => {
            set.search(value).map(|found| found.is_ok()).map_err(|why| bad(desc, why))
        }
        Set::Tree(tree) if tree.value_size > 0 => packed::contains(src, tree, value),
        Set::Tree(tree) => Ok(find(src, tree, KeyOrder::PACKED, value)?.is_some()),
    }
}

/// The values of one key between two bounds, from both ends. After an error, and after the end, it
/// yields None for ever.
pub struct SetValues<'a, S> {
    kind: Kind<'a, S>,
    /// Bytes of each value; 0 where they may have any length.
    value_size: u16,
}

enum Kind<'a, S> {
    None,
    One(&'a [u8]),
    /// The values of a list from the first index up to the second; the root of the table's tree.
    Inline(InlineSet<'a>, usize, usize, PageId),
    Tree(Box<Range<'a, S>>),
    Packed(Box<PackedRange<'a, S>>),
}

impl<'a, S: PageSource> SetValues<'a, S> {
    /// Of a set of a table with this descriptor.
    pub fn new(
        src: &'a S,
        desc: &TableDescriptor,
        set: &Set<'a>,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<SetValues<'a, S>> {
        let kind = match *set {
            Set::One(value) if is_within(value, from, to) => Kind::One(value),
            Set::One(_) => Kind::None,
            Set::Inline(set) => {
                let place = |value| set.search(value).map_err(|why| bad(desc, why));
                let start = match from {
                    Bound::Unbounded => 0,
                    Bound::Included(value) => place(value)?.unwrap_or_else(|at| at),
                    Bound::Excluded(value) => place(value)?.map_or_else(|at| at, |at| at + 1),
                };
                let end = match to {
                    Bound::Unbounded => set.count(),
                    Bound::Included(value) => place(value)?.map_or_else(|at| at, |at| at + 1),
                    Bound::Excluded(value) => place(value)?.unwrap_or_else(|at| at),
                };
                Kind::Inline(set, start, end, desc.root)
            }
            Set::Tree(tree) => return SetValues::of_tree(src, &tree, from, to),
        };
        Ok(SetValues { kind, value_size: desc.value_size })
    }

    pub(super) fn of_tree(
        src: &'a S,
        tree: &TableDescriptor,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<SetValues<'a, S>> {
        let kind = match tree.value_size {
            0 => Kind::Tree(Box::new(Range::new(src, tree, from, to)?)),
            _ => Kind::Packed(Box::new(PackedRange::new(src, tree, from, to)?)),
        };
        Ok(SetValues { kind, value_size: tree.value_size })
    }

    /// The next value from one end.
    pub fn advance(&mut self, forward: bool) -> Result<Option<Key<'a>>> {
        let value = match &mut self.kind {
            Kind::None => None,
            &mut Kind::One(value) => {
                self.kind = Kind::None;
                Some(value)
            }
            Kind::Inline(set, start, end, root) => {
                if *start >= *end {
                    return Ok(None);
                }
                let (index, root) = (if forward { *start } else { *end - 1 }, *root);
                let Some(value) = set.get(index) else {
                    self.kind = Kind::None;
                    return Err(Error::corrupt(root, format!("root of a tree with a {BAD_ENDS}")));
                };
                *(if forward { start } else { end }) = if forward { index + 1 } else { index };
                Some(value)
            }
            Kind::Tree(range) => {
                let next = if forward { range.next() } else { range.next_back() };
                return Ok(next.transpose()?.map(|(value, _)| value));
            }
            Kind::Packed(range) => range.advance(forward).map_err(|e| range.named(e))?,
        };
        Ok(value.map(Key::from))
    }

    /// The next values as one slice, where all have one size: those that stand side by side. Where
    /// they have not it takes none.
    pub fn next_slice(&mut self) -> Result<Option<&'a [u8]>> {
        if self.value_size == 0 {
            return Ok(None);
        }
        match &mut self.kind {
            &mut Kind::One(value) => {
                self.kind = Kind::None;
                Ok(Some(value))
            }
            &mut Kind::Inline(set, start, end, _) => {
                self.kind = Kind::None;
                let size = set.value_size();
                Ok(set.packed().and_then(|values| values.get(size * start..size * end)))
                    .map(|slice| slice.filter(|slice| !slice.is_empty()))
            }
            Kind::Packed(range) => range.next_slice().map_err(|e| range.named(e)),
            Kind::None | Kind::Tree(_) => Ok(None),
        }
    }
}

fn is_within(value: &[u8], from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    let above = match from {
        Bound::Unbounded => true,
        Bound::Included(from) => value >= from,
        Bound::Excluded(from) => value > from,
    };
    above
        && match to {
            Bound::Unbounded => true,
            Bound::Included(to) => value <= to,
            Bound::Excluded(to) => value < to,
        }
}
