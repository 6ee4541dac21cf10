//! Pairs that a walk takes out of a table and hands out.

use super::key_range::KeyRange;
use super::table_mut::TableMut;
use super::walk::Walk;
use crate::error::Result;
use crate::txn::write::Writer;
use std::fmt;
use std::iter::FusedIterator;

impl TableMut<'_> {
    /// An iterator that takes the pairs of a range for which `remove` is true out of the table, and
    /// hands them out. `remove` is asked about each pair once, in the order of the keys, and only
    /// when the iterator comes to it: where that is dropped before its end, the pairs that it has
    /// not come to stay, and those that it has handed out are gone.
    ///
    /// Nothing is collected. A pair costs what a step of a [`Cursor`](crate::Cursor) costs, one
    /// that goes a deletion more, and a copy of key and value; [`TableMut::retain`] and
    /// [`TableMut::delete_range`] make no copies.
    ///
    /// Errors come as items, and the iterator is at its end then: those of a deletion, and
    /// [`Error::Corrupt`](crate::Error::Corrupt). A panic of `remove` changes nothing: the
    /// transaction can go on.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut jobs = txn.open_table("jobs")?;
    /// for n in 0..100u8 {
    ///     jobs.put(&[n], if n % 3 == 0 { b"done" } else { b"open" })?;
    /// }
    /// let mut done = jobs.extract_if([10].., |_, state| state == b"done");
    /// assert_eq!(done.next().transpose()?, Some((vec![12], b"done".to_vec())));
    /// assert_eq!(done.by_ref().take(9).count(), 9);
    /// drop(done); // the rest stays
    /// assert_eq!(jobs.len(), 90);
    /// # Ok(()) }
    /// ```
    pub fn extract_if<F>(&mut self, keys: impl KeyRange, remove: F) -> ExtractIf<'_, F>
    where
        F: FnMut(&[u8], &[u8]) -> bool,
    {
        ExtractIf { taken: self.extract(keys), remove }
    }

    /// The same, with the question asked at each step.
    pub(crate) fn extract(&mut self, keys: impl KeyRange) -> Extract<'_> {
        let walk = Walk::new(&keys, self.len());
        let (writer, index) = self.parts();
        Extract { writer, index, walk }
    }
}

/// What is taken out of a table, pair by pair.
pub(crate) struct Extract<'t> {
    writer: &'t mut Writer,
    index: usize,
    walk: Walk,
}

impl Extract<'_> {
    /// Takes out the next pair for which `goes` is true. After an error there is none.
    pub(crate) fn next(
        &mut self,
        goes: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        self.walk.take_out(self.writer, self.index, goes)
    }
}

/// Pairs that are taken out of a table: [`TableMut::extract_if`].
#[must_use = "it takes out nothing that is not asked for; `retain` does all at once"]
pub struct ExtractIf<'t, F> {
    taken: Extract<'t>,
    remove: F,
}

impl<F: FnMut(&[u8], &[u8]) -> bool> Iterator for ExtractIf<'_, F> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.taken.next(|key, value| Ok((self.remove)(key, value))).transpose()
    }
}

impl<F: FnMut(&[u8], &[u8]) -> bool> FusedIterator for ExtractIf<'_, F> {}

impl<F> fmt::Debug for ExtractIf<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractIf").finish_non_exhaustive()
    }
}
