//! Open typed tables of a write transaction, several at once: what is done with them.

use super::cursor::TypedCursor;
use super::encoded::{with_key, with_value};
use super::id::TypedId;
use super::read::TypedTable;
use super::write::TypedTableMut;
use crate::api::transaction::WriteTxn;
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::value::Value;

impl<K: Key, V: Value> TypedId<K, V> {
    /// The value of a key. As [`TypedTable::get`].
    #[inline]
    pub fn get<'t>(self, txn: &'t WriteTxn, key: K::Arg<'_>) -> Result<Option<V::Ref<'t>>> {
        self.view(txn)?.get(key)
    }

    /// Whether the table has a key.
    pub fn contains_key(self, txn: &WriteTxn, key: K::Arg<'_>) -> Result<bool> {
        self.view(txn)?.contains_key(key)
    }

    /// As [`TypedTableMut::put`].
    #[inline]
    pub fn put(self, txn: &mut WriteTxn, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| {
            with_value::<V, _>(value, |value| txn.put(self.id(), key, value))
        })
    }

    /// As [`TypedTableMut::replace`].
    pub fn replace(
        self,
        txn: &mut WriteTxn,
        key: K::Arg<'_>,
        value: V::Arg<'_>,
    ) -> Result<Option<V::Owned>> {
        self.edit(txn)?.replace(key, value)
    }

    /// As [`TypedTableMut::put_if_absent`].
    pub fn put_if_absent(
        self,
        txn: &mut WriteTxn,
        key: K::Arg<'_>,
        value: V::Arg<'_>,
    ) -> Result<bool> {
        self.edit(txn)?.put_if_absent(key, value)
    }

    /// As [`TypedTableMut::update`].
    pub fn update(
        self,
        txn: &mut WriteTxn,
        key: K::Arg<'_>,
        new: impl FnOnce(Option<V::Ref<'_>>) -> Option<V::Owned>,
    ) -> Result<Option<V::Owned>> {
        self.edit(txn)?.update(key, new)
    }

    /// As [`TypedTableMut::delete`].
    #[inline]
    pub fn delete(self, txn: &mut WriteTxn, key: K::Arg<'_>) -> Result<bool> {
        with_key::<K, _>(key, |key| txn.delete(self.id(), key))
    }

    /// As [`TypedTableMut::take`].
    pub fn take(self, txn: &mut WriteTxn, key: K::Arg<'_>) -> Result<Option<V::Owned>> {
        self.edit(txn)?.take(key)
    }

    /// The table for reading, as it stands now: any number at a time.
    #[inline]
    pub fn view(self, txn: &WriteTxn) -> Result<TypedTable<'_, K, V>> {
        txn.view(self.id()).map(TypedTable::new)
    }

    /// The table to change it: with all that [`TypedTableMut`] has.
    #[inline]
    pub fn edit(self, txn: &mut WriteTxn) -> Result<TypedTableMut<'_, K, V>> {
        txn.edit(self.id()).map(TypedTableMut::new)
    }

    /// A cursor, which borrows nothing.
    pub fn cursor(self, txn: &WriteTxn) -> TypedCursor<K, V> {
        TypedCursor::new(txn.cursor(self.id()))
    }
}
