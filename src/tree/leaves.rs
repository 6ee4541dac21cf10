//! All leaves between two, one after the other, for what asks them little: of a leaf that is only
//! counted no more than one line is read.

use super::PageSource;
use super::search::{Step, node_at};
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::format::node::Node;
use crate::storage::LINE;
use crate::types::PageId;

/// Leaves that are asked for in advance.
const AHEAD: usize = 8;

/// A walk over leaves.
pub(super) struct Leaves<'a, 'd, S> {
    src: &'a S,
    desc: &'d TableDescriptor,
    /// Leaves that there may be yet: more are a cycle of damaged pages.
    left: u64,
}

impl<'a, 'd, S: PageSource> Leaves<'a, 'd, S> {
    pub fn new(src: &'a S, desc: &'d TableDescriptor) -> Self {
        Leaves { src, desc, left: desc.leaf_pages }
    }

    /// Calls `each` with the leaves below a page, from the one to which the steps `from` lead to
    /// the one to which `to` leads; None: the first, and the last. It ends where `each` gives
    /// false; whether it came to the end.
    pub fn visit(
        &mut self,
        (page, level): (PageId, u8),
        from: Option<&[Step]>,
        to: Option<&[Step]>,
        each: &mut impl FnMut(Node<'a>) -> Result<bool>,
    ) -> Result<bool> {
        let node = node_at(self.src, page, level, self.desc.order)?;
        if level == 0 {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                Error::corrupt(self.desc.root, "root of a tree with more leaves than it counts")
            })?;
            return each(node);
        }
        let (from, to) = (from.and_then(<[Step]>::split_first), to.and_then(<[Step]>::split_first));
        let first = from.map_or(0, |(step, _)| step.child);
        let last = to.map_or(node.count(), |(step, _)| step.child);
        for child in first..=last {
            if level == 1 && child + AHEAD <= last {
                self.src.prefetch(node.child(child + AHEAD)?, LINE);
            }
            let from = from.filter(|_| child == first).map(|(_, rest)| rest);
            let to = to.filter(|_| child == last).map(|(_, rest)| rest);
            if !self.visit((node.child(child)?, level - 1), from, to, each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
