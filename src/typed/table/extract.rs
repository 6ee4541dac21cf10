//! Pairs that a walk takes out of a typed table and hands out.

use super::encoded::bounds;
use super::write::TypedTableMut;
use crate::api::extract::Extract;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::value::Value;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::RangeBounds;

impl<K: Key, V: Value> TypedTableMut<'_, K, V> {
    /// An iterator that takes the pairs of a range for which `remove` is true out of the table, and
    /// hands them out: as [`TableMut::extract_if`](crate::TableMut::extract_if). A pair that cannot
    /// be decoded stays, and ends it with an error.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const SESSIONS: TableDef<&str, u64> = TableDef::new("sessions"); // until when
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut sessions = txn.typed_mut(&SESSIONS)?;
    /// for (name, until) in [("ada", 100), ("bob", 200), ("cy", 50)] {
    ///     sessions.put(name, until)?;
    /// }
    /// for ended in sessions.extract_if(.., |_, until| until < 150) {
    ///     let (name, until) = ended?;
    ///     println!("{name} ended at {until}");
    /// }
    /// assert_eq!(sessions.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn extract_if<'k, F>(
        &mut self,
        keys: impl RangeBounds<K::Arg<'k>>,
        remove: F,
    ) -> TypedExtractIf<'_, K, V, F>
    where
        F: FnMut(K::Ref<'_>, V::Ref<'_>) -> bool,
    {
        let (start, end) = bounds::<K>(&keys);
        let taken = self.bytes_mut().extract((start, end));
        TypedExtractIf { taken, remove, scratch: Vec::new(), types: PhantomData }
    }
}

/// Pairs that are taken out of a typed table: [`TypedTableMut::extract_if`].
#[must_use = "it takes out nothing that is not asked for; `retain` does all at once"]
pub struct TypedExtractIf<'t, K, V, F> {
    taken: Extract<'t>,
    remove: F,
    scratch: Vec<u8>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value, F> Iterator for TypedExtractIf<'_, K, V, F>
where
    F: FnMut(K::Ref<'_>, V::Ref<'_>) -> bool,
{
    type Item = Result<(K::Owned, V::Owned)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut owned = None;
        let taken = self.taken.next(|key, value| {
            let goes = (self.remove)(K::read(key, &mut self.scratch)?, V::decode(value)?);
            if goes {
                owned = Some((K::from_bytes(key)?, V::decode_owned(value)?));
            }
            Ok(goes)
        });
        match taken {
            Ok(_) => owned.map(Ok),
            Err(e) => Some(Err(e)),
        }
    }
}

impl<K: Key, V: Value, F> FusedIterator for TypedExtractIf<'_, K, V, F> where
    F: FnMut(K::Ref<'_>, V::Ref<'_>) -> bool
{
}

impl<K: Key, V: Value, F> fmt::Debug for TypedExtractIf<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedExtractIf")
            .field("keys", &K::type_name())
            .field("values", &V::type_name())
            .finish_non_exhaustive()
    }
}
