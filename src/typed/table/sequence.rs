//! Numbers that a typed table gives out.

use super::read::TypedTable;
use super::write::TypedTableMut;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::value::Value;
use std::ops::Range;

impl<K: Key, V: Value> TypedTable<'_, K, V> {
    /// As [`Table::sequence`](crate::Table::sequence).
    pub fn sequence(&self) -> u64 {
        self.as_bytes().sequence()
    }
}

impl<K: Key, V: Value> TypedTableMut<'_, K, V> {
    /// The next number of the table's own sequence; as
    /// [`TableMut::next_sequence`](crate::TableMut::next_sequence), which says what becomes of it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const USERS: TableDef<u64, &str> = TableDef::new("users");
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut users = txn.typed_mut(&USERS)?;
    /// let id = users.next_sequence()?;
    /// users.put(id, "ada")?;
    /// assert_eq!((id, users.sequence()), (1, 1));
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
        self.as_table().sequence()
    }
}
