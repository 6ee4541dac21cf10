//! Pairs that come in the order of their keys.

use super::write::Writer;
use crate::error::Result;
use crate::sort::{Sorted, Step};
use crate::tree;

impl Writer {
    /// Puts sorted pairs whose lengths have been looked at into an open table, of whichever kind;
    /// how many were not there before. Behind all others they take the fast way of ascending keys,
    /// which writes each page about once.
    ///
    /// One change: an error on the way breaks the transaction, and so does `step` by false.
    pub fn load(&mut self, table: usize, sorted: &Sorted, step: &mut Step<'_>) -> Result<u64> {
        self.change_table(table, |pages, d, edge| {
            let mut new = 0;
            sorted.for_each(step, |key, value| {
                let is_new = match d.is_set {
                    true => tree::insert_pair(pages, d, edge, key, value)?,
                    false => !tree::insert(pages, d, edge, key, value)?,
                };
                new += u64::from(is_new);
                Ok(())
            })?;
            Ok(new)
        })
    }
}
