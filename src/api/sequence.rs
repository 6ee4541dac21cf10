//! Numbers that a table gives out, each once.

use super::set::SetTable;
use super::set_mut::SetTableMut;
use super::table::Table;
use super::table_mut::TableMut;
use crate::error::Result;
use std::ops::Range;

impl Table<'_> {
    /// The last number that the table has given out, 0 while it has given out none
    /// ([`TableMut::next_sequence`]). O(1).
    pub fn sequence(&self) -> u64 {
        self.descriptor().sequence
    }
}

impl SetTable<'_> {
    /// As [`Table::sequence`].
    pub fn sequence(&self) -> u64 {
        self.descriptor().sequence
    }
}

impl TableMut<'_> {
    /// The next number of the table's own sequence: 1, 2, 3 and so on. For keys where a pair has
    /// none by itself. The table keeps the last number, whatever pairs there are: a number does not
    /// come again when its pair is deleted, nor when all are. O(1); what the commit writes is the
    /// entry of the table in the list of tables, which a change of the table writes anyway.
    ///
    /// It is a part of the transaction: numbers of one that is rolled back, of a savepoint that
    /// is, or of a commit that was not durable and is lost, are given out again. So do not show
    /// them to anybody before the commit, and those that were committed have no gaps. A table that
    /// is renamed keeps its sequence, a copy goes on where the other one stands
    /// ([`WriteTxn::copy_table`](crate::WriteTxn::copy_table)), and one that is dropped and made
    /// again begins anew.
    ///
    /// The first call in a database makes it one that builds of recto without sequences refuse to
    /// open.
    ///
    /// Errors: [`Error::InvalidArgument`](crate::Error::InvalidArgument), and nothing changed, when
    /// 2<sup>64</sup> - 2 numbers have been given out; those of every change.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut users = txn.open_table("users")?;
    /// for name in ["ada", "bob"] {
    ///     let id = users.next_sequence()?;
    ///     users.put(&id.to_be_bytes(), name.as_bytes())?;
    /// }
    /// assert_eq!(users.get(&2u64.to_be_bytes())?, Some(&b"bob"[..]));
    /// txn.commit()?;
    /// assert_eq!(db.read()?.table("users")?.sequence(), 2);
    /// # Ok(()) }
    /// ```
    pub fn next_sequence(&mut self) -> Result<u64> {
        self.take_sequence(1).map(|numbers| numbers.start)
    }

    /// The next numbers of the sequence, as many as are asked for, in one step: for a thread that
    /// gives them out itself, or for a batch.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut lines = txn.open_table("lines")?;
    /// let text = ["one", "two", "three"];
    /// for (number, line) in lines.take_sequence(3)?.zip(text) {
    ///     lines.put(&number.to_be_bytes(), line.as_bytes())?;
    /// }
    /// assert_eq!(lines.take_sequence(10)?, 4..14);
    /// # Ok(()) }
    /// ```
    pub fn take_sequence(&mut self, numbers: u64) -> Result<Range<u64>> {
        let (writer, index) = self.parts();
        writer.take_sequence(index, numbers)
    }

    /// Says which number was given out last: the next one is one above. To go on behind keys that
    /// came from elsewhere, or to begin anew with 0.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut orders = txn.open_table("orders")?;
    /// orders.set_sequence(9_999)?;
    /// assert_eq!(orders.next_sequence()?, 10_000);
    /// # Ok(()) }
    /// ```
    pub fn set_sequence(&mut self, last: u64) -> Result<()> {
        let (writer, index) = self.parts();
        writer.set_sequence(index, last)
    }

    /// As [`Table::sequence`], with the numbers that this transaction has taken.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut orders = txn.open_table("orders")?;
    /// orders.take_sequence(10)?;
    /// assert_eq!(orders.sequence(), 10);
    /// # Ok(()) }
    /// ```
    pub fn sequence(&self) -> u64 {
        self.as_table().sequence()
    }
}

impl SetTableMut<'_> {
    /// As [`TableMut::next_sequence`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut log = txn.open_set("log")?; // by day, the lines in the order in which they came
    /// for (day, line) in [("mon", "up"), ("mon", "down"), ("tue", "up")] {
    ///     let number = log.next_sequence()?.to_be_bytes();
    ///     log.insert(day.as_bytes(), &[&number, line.as_bytes()].concat())?;
    /// }
    /// assert_eq!((log.count(b"mon")?, log.sequence()), (2, 3));
    /// # Ok(()) }
    /// ```
    pub fn next_sequence(&mut self) -> Result<u64> {
        self.take_sequence(1).map(|numbers| numbers.start)
    }

    /// As [`TableMut::take_sequence`].
    pub fn take_sequence(&mut self, numbers: u64) -> Result<Range<u64>> {
        let (writer, index) = self.parts();
        writer.take_sequence(index, numbers)
    }

    /// As [`TableMut::set_sequence`].
    pub fn set_sequence(&mut self, last: u64) -> Result<()> {
        let (writer, index) = self.parts();
        writer.set_sequence(index, last)
    }

    /// As [`Table::sequence`].
    pub fn sequence(&self) -> u64 {
        self.as_set().sequence()
    }
}
