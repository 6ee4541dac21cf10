//! Numbers that a typed table of sets gives out.

use super::read::TypedSet;
use super::write::TypedSetMut;
use crate::error::Result;
use crate::typed::key::Key;
use std::ops::Range;

impl<K: Key, V: Key> TypedSet<'_, K, V> {
    /// As [`Table::sequence`](crate::Table::sequence).
    pub fn sequence(&self) -> u64 {
        self.as_bytes().sequence()
    }
}

impl<K: Key, V: Key> TypedSetMut<'_, K, V> {
    /// The next number of the table's own sequence; as
    /// [`TableMut::next_sequence`](crate::TableMut::next_sequence), which says what becomes of it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::SetDef;
    /// const LOG: SetDef<&str, (u64, &str)> = SetDef::new("log");
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut log = txn.typed_set_mut(&LOG)?;
    /// for line in ["up", "down"] {
    ///     let number = log.next_sequence()?;
    ///     log.insert("mon", (number, line))?;
    /// }
    /// assert!(log.contains("mon", (2, "down"))?);
    /// # Ok(()) }
    /// ```
    pub fn next_sequence(&mut self) -> Result<u64> {
        self.bytes_mut().next_sequence()
    }

    /// As [`TableMut::take_sequence`](crate::TableMut::take_sequence).
    pub fn take_sequence(&mut self, numbers: u64) -> Result<Range<u64>> {
        self.bytes_mut().take_sequence(numbers)
    }

    /// As [`TableMut::set_sequence`](crate::TableMut::set_sequence).
    pub fn set_sequence(&mut self, last: u64) -> Result<()> {
        self.bytes_mut().set_sequence(last)
    }

    /// As [`Table::sequence`](crate::Table::sequence).
    pub fn sequence(&self) -> u64 {
        self.as_set().sequence()
    }
}
