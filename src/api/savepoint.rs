//! Savepoints and nested transactions: what a write transaction can undo of itself.

use super::transaction::WriteTxn;
use crate::error::Result;
use std::ops::{Deref, DerefMut};

/// A moment of a write transaction, to which it can go back: [`WriteTxn::savepoint`] makes one. It
/// borrows nothing, may be kept anywhere and sent to other threads.
///
/// It ends when it is released, when an earlier one is released or rolled back to, and with its
/// transaction; [`Error::NoSuchSavepoint`](crate::Error::NoSuchSavepoint) says so. To drop it is to
/// keep it to the end of the transaction, which keeps what has changed since.
#[derive(Debug)]
pub struct Savepoint {
    number: u64,
}

/// A transaction within a write transaction: [`WriteTxn::nested`] begins one. It is used as the
/// write transaction, and others can be nested in it. [`Nested::commit`] keeps its changes in the
/// write transaction; to drop it, also in a panic, undoes them.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// /// Moves an amount, or nothing.
/// fn pay(txn: &mut recto::WriteTxn, from: &[u8], to: &[u8], amount: u8) -> recto::Result<bool> {
///     let mut step = txn.nested()?;
///     let accounts = step.open("accounts")?;
///     for (who, sign) in [(to, 1), (from, -1)] {
///         let has = step.get(accounts, who)?.map_or(0, |v| v[0]);
///         let Some(new) = has.checked_add_signed(sign * amount as i8) else {
///             return Ok(false); // what the loop has put already is undone
///         };
///         step.put(accounts, who, &[new])?;
///     }
///     step.commit()?;
///     Ok(true)
/// }
/// let mut txn = db.write()?;
/// txn.open_table("accounts")?.put(b"ada", &[10])?;
/// assert!(pay(&mut txn, b"ada", b"bob", 7)?);
/// assert!(!pay(&mut txn, b"ada", b"bob", 7)?);
/// assert_eq!(txn.open_table("accounts")?.get(b"bob")?, Some(&[7][..]));
/// txn.commit()?;
/// # Ok(()) }
/// ```
///
/// The transaction is not used while it is there:
///
/// ```compile_fail,E0499
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let step = txn.nested()?;
/// txn.open_table("main")?.put(b"key", b"value")?;
/// step.commit()?;
/// # Ok(()) }
/// ```
///
/// Used by one thread at a time, as the write transaction is.
#[must_use = "to drop it is to undo it"]
pub struct Nested<'t> {
    txn: &'t mut WriteTxn,
    /// Its savepoint; None once it has ended.
    savepoint: Option<u64>,
}

impl WriteTxn {
    /// Makes a savepoint. Any number of them may stand, one after the other. Costs O(open tables),
    /// reads and writes nothing; but the first change of a page after it copies that page again.
    ///
    /// It may raise the transaction's [`id`](WriteTxn::id). Errors:
    /// [`Error::TransactionBroken`](crate::Error::TransactionBroken).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let words = txn.open("words")?;
    /// txn.put(words, b"ant", b"1")?;
    /// let one_word = txn.savepoint()?;
    /// txn.put(words, b"bee", b"2")?;
    /// let two_words = txn.savepoint()?;
    /// txn.delete(words, b"ant")?;
    /// txn.rollback_to(&two_words)?;
    /// assert_eq!(txn.view(words)?.len(), 2);
    /// txn.rollback_to(&one_word)?;
    /// assert_eq!(txn.view(words)?.len(), 1);
    /// assert!(matches!(txn.rollback_to(&two_words), Err(recto::Error::NoSuchSavepoint)));
    /// # Ok(()) }
    /// ```
    pub fn savepoint(&mut self) -> Result<Savepoint> {
        self.writer_mut().savepoint().map(|number| Savepoint { number })
    }

    /// Undoes everything since a savepoint: pairs, tables that were made, dropped or renamed. The
    /// savepoint stays; those made after it end. Costs O(pages changed since, open tables),
    /// reads and writes none of these pages.
    ///
    /// A transaction in which an operation has failed half-way since, which gives
    /// [`Error::TransactionBroken`](crate::Error::TransactionBroken) everywhere, is usable again.
    /// It gives that error itself where nobody knows what there is to undo: after a panic within an
    /// operation, after an error while free pages were looked for, and when what the transaction is
    /// based on was rolled back.
    ///
    /// Ids of tables that were made since are
    /// [`Error::NoSuchTableId`](crate::Error::NoSuchTableId) from now on; those of all others,
    /// also of tables that were opened or dropped since, are good. Cursors stay on their keys.
    /// What [`WriteTxn::set_durability`] has set stays set.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let fruit = txn.open("fruit")?;
    /// let before = txn.savepoint()?;
    /// for attempt in 0..3u8 {
    ///     txn.put(fruit, b"apple", &[attempt])?;
    ///     if attempt < 2 {
    ///         txn.rollback_to(&before)?;
    ///         assert_eq!(txn.get(fruit, b"apple")?, None);
    ///     }
    /// }
    /// txn.commit()?;
    /// assert_eq!(db.read()?.table("fruit")?.get(b"apple")?, Some(&[2][..]));
    /// # Ok(()) }
    /// ```
    pub fn rollback_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        self.writer_mut().roll_back_to(savepoint.number)
    }

    /// Gives up a savepoint, and those made after it. What has changed since stays. Costs O(pages
    /// changed since). Nobody must: the commit releases all that there are.
    ///
    /// Errors: [`Error::TransactionBroken`](crate::Error::TransactionBroken) after an operation
    /// that failed half-way; the savepoint stays in the transaction then, but nobody can name it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let before = txn.savepoint()?;
    /// txn.open_table("fruit")?.put(b"apple", b"red")?;
    /// txn.release(before)?;
    /// txn.commit()?;
    /// assert_eq!(db.read()?.table("fruit")?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.writer_mut().release(savepoint.number)
    }

    /// Begins a transaction within this one, which is a savepoint that ends with a scope: see
    /// [`Nested`]. Costs and errors are those of [`WriteTxn::savepoint`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut outer = txn.nested()?;
    /// outer.open_table("fruit")?.put(b"apple", b"red")?;
    /// let mut inner = outer.nested()?;
    /// inner.open_table("fruit")?.put(b"banana", b"yellow")?;
    /// drop(inner);
    /// outer.commit()?;
    /// txn.commit()?;
    /// assert_eq!(db.read()?.table("fruit")?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn nested(&mut self) -> Result<Nested<'_>> {
        let savepoint = self.writer_mut().savepoint()?;
        Ok(Nested { txn: self, savepoint: Some(savepoint) })
    }
}

impl Nested<'_> {
    /// Keeps its changes in the transaction that it is nested in. Costs O(pages changed in it).
    ///
    /// On an error it is undone:
    /// [`Error::TransactionBroken`](crate::Error::TransactionBroken) if an operation in it has
    /// failed half-way.
    /// [`Error::NoSuchSavepoint`](crate::Error::NoSuchSavepoint) if it has ended already, with an
    /// earlier savepoint that was released or rolled back to through it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut step = txn.nested()?;
    /// step.open_table("fruit")?.put(b"apple", b"red")?;
    /// step.commit()?;
    /// assert_eq!(txn.table("fruit")?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn commit(mut self) -> Result<()> {
        let Some(savepoint) = self.savepoint else { return Ok(()) };
        self.txn.writer_mut().release(savepoint)?;
        self.savepoint = None;
        Ok(())
    }

    /// Undoes its changes, as dropping it does, and tells what that cannot: the errors of
    /// [`WriteTxn::rollback_to`].
    ///
    /// Costs what [`WriteTxn::rollback_to`] does.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut step = txn.nested()?;
    /// step.open_table("fruit")?.put(b"apple", b"red")?;
    /// step.rollback()?;
    /// assert!(txn.table_opt("fruit")?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn rollback(mut self) -> Result<()> {
        let Some(savepoint) = self.savepoint.take() else { return Ok(()) };
        self.txn.writer_mut().undo(savepoint)
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        if let Some(savepoint) = self.savepoint {
            // Where it cannot be undone the transaction stays broken, and says so itself.
            let _ = self.txn.writer_mut().undo(savepoint);
        }
    }
}

impl Deref for Nested<'_> {
    type Target = WriteTxn;
    fn deref(&self) -> &WriteTxn {
        self.txn
    }
}

impl DerefMut for Nested<'_> {
    fn deref_mut(&mut self) -> &mut WriteTxn {
        self.txn
    }
}

impl std::fmt::Debug for Nested<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nested").field("txn", &self.txn).finish()
    }
}
