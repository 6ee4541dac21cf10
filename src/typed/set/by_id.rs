//! Open typed tables of sets of a write transaction: what is done with them.

use super::cursor::TypedSetCursor;
use super::id::TypedSetId;
use super::read::TypedSet;
use super::write::TypedSetMut;
use crate::api::transaction::WriteTxn;
use crate::error::Result;
use crate::typed::key::Key;

impl<K: Key, V: Key> TypedSetId<K, V> {
    /// As [`TypedSetMut::insert`].
    pub fn insert(self, txn: &mut WriteTxn, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        self.edit(txn)?.insert(key, value)
    }

    /// As [`TypedSetMut::remove`].
    pub fn remove(self, txn: &mut WriteTxn, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        self.edit(txn)?.remove(key, value)
    }

    /// As [`TypedSet::contains`].
    pub fn contains(self, txn: &WriteTxn, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        self.view(txn)?.contains(key, value)
    }

    /// The table for reading, as it stands now: any number at a time.
    pub fn view(self, txn: &WriteTxn) -> Result<TypedSet<'_, K, V>> {
        txn.view_set(self.id()).map(TypedSet::new)
    }

    /// The table to change it.
    pub fn edit(self, txn: &mut WriteTxn) -> Result<TypedSetMut<'_, K, V>> {
        txn.edit_set(self.id()).map(TypedSetMut::new)
    }

    /// A cursor, which borrows nothing.
    pub fn cursor(self, txn: &WriteTxn) -> TypedSetCursor<K, V> {
        TypedSetCursor::new(txn.set_cursor(self.id()))
    }
}
