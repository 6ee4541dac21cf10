//! Pairs of a range in the order of their keys, in a table that changes on the way.

use super::key_range::KeyRange;
use crate::error::Result;
use crate::pager::workspace::Workspace;
use crate::tree::{PageSource, Position, Versioned, out_of_order};
use crate::txn::write::Writer;
use std::ops::Bound;

/// A walk forward. It borrows nothing: whoever goes on with it may have taken out pairs since, also
/// the one that came last.
pub(super) struct Walk {
    position: Position,
    end: Bound<Vec<u8>>,
    ended: bool,
    /// Pairs that it may still meet, of all that the table has: each is looked for anew, and a
    /// function that is no order may lead round and round.
    left: u64,
}

impl Walk {
    /// In front of the first pair of the range, in a table of so many pairs, to which none comes.
    pub fn new(keys: &impl KeyRange, pairs: u64) -> Walk {
        let (start, end) = keys.bounds();
        let (position, end) = (Position::at_start(start), end.map(<[u8]>::to_vec));
        Walk { position, end, ended: false, left: pairs }
    }

    /// The next pair; None at the end of the range, and ever after.
    pub fn next<'k, 'v>(
        &'k mut self,
        tree: &Versioned<'v, Workspace>,
    ) -> Result<Option<(&'k [u8], &'v [u8])>> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let value = self.position.next(tree).map_err(|e| tree.src.named(e))?;
        let (Some(value), Some(key)) = (value, self.position.key()) else { return Ok(None) };
        let too_many = || tree.src.named(out_of_order(&tree.desc));
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        let order = tree.desc.order;
        let within = match &self.end {
            Bound::Unbounded => true,
            Bound::Included(end) => order.compare(key, end).is_le(),
            Bound::Excluded(end) => order.compare(key, end).is_lt(),
        };
        self.ended = !within;
        Ok(within.then_some((key, value)))
    }

    /// Takes out the next pair for which `goes` is true; None at the end of the range. After an
    /// error the walk is at its end.
    pub fn take_out(
        &mut self,
        writer: &mut Writer,
        table: usize,
        goes: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let taken = self.try_take_out(writer, table, goes);
        self.ended |= taken.is_err();
        taken
    }

    fn try_take_out(
        &mut self,
        writer: &mut Writer,
        table: usize,
        mut goes: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        while let Some((key, value)) = self.next(&writer.versioned(table)?)? {
            if goes(key, value)? {
                let (key, value) = (key.to_vec(), value.to_vec());
                if !writer.delete(table, &key)? {
                    // By a function that is no order.
                    return Err(writer.out_of_order(table));
                }
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}
