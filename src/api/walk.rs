//! Pairs of a range in the order of their keys, in a table that changes on the way.

use super::key_range::KeyRange;
use crate::error::Result;
use crate::pager::workspace::Workspace;
use crate::tree::{PageSource, Position, Versioned};
use crate::txn::write::Writer;
use std::ops::Bound;

/// A walk forward. It borrows nothing: whoever goes on with it may have changed the table since,
/// also by taking out the pair that came last. A pair that has come behind that one is met.
pub(super) struct Walk {
    position: Position,
    end: Bound<Vec<u8>>,
    ended: bool,
}

impl Walk {
    /// In front of the first pair of the range.
    pub fn new(keys: &impl KeyRange) -> Walk {
        let (start, end) = keys.bounds();
        Walk { position: Position::at_start(start), end: end.map(<[u8]>::to_vec), ended: false }
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
                writer.delete(table, &key)?;
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}
