//! A key of an open table, looked at and then changed by the way on which it was found.

use super::write::Writer;
use crate::error::Result;
use crate::tree::{Located, RightmostPath};

impl Writer {
    /// Where a key of an open table stands, or would stand; to be used before anything changes.
    pub fn locate(&self, table: usize, key: &[u8]) -> Result<Located> {
        let found = Located::find(self.pages()?, self.table(table), key);
        found.map_err(|e| self.engine().named(e))
    }

    /// The value of a key that was located; None if it is not there.
    pub fn value_at(&self, at: &Located) -> Result<Option<&[u8]>> {
        at.value(self.pages()?).map_err(|e| self.engine().named(e))
    }

    /// As [`Writer::put`], without the descent.
    pub fn put_at(&mut self, table: usize, at: Located, key: &[u8], value: &[u8]) -> Result<()> {
        self.change_table(table, |pages, d, edge| at.put(pages, d, edge, key, value))
    }

    /// As [`Writer::delete`], without the descent.
    pub fn delete_at(&mut self, table: usize, at: Located) -> Result<()> {
        self.change_table(table, |pages, d, edge| {
            *edge = RightmostPath::default();
            at.remove(pages, d)
        })
    }
}
