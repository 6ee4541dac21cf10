//! Open typed tables of a write transaction, several at once: what names them. What is done with
//! them: [`by_id`](super::by_id).

use crate::txn::write::TableId;
use std::fmt;
use std::marker::PhantomData;

/// A typed table of one write transaction, which it is used with. It borrows nothing and is copied
/// freely, so that any number of tables are used beside each other:
/// [`WriteTxn::open_typed`](crate::WriteTxn::open_typed) has an example.
///
/// As with a [`TableId`], everything gives [`Error::NoSuchTableId`](crate::Error::NoSuchTableId)
/// once the table was dropped, and with another transaction. What is read borrows the transaction:
/// copy it before the next change.
pub struct TypedId<K, V> {
    id: TableId,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TypedId<K, V> {
    pub(super) fn new(id: TableId) -> TypedId<K, V> {
        TypedId { id, types: PhantomData }
    }

    /// The id by which the table is used as a table of bytes.
    pub fn id(self) -> TableId {
        self.id
    }
}

impl<K, V> Clone for TypedId<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TypedId<K, V> {}

impl<K, V> PartialEq for TypedId<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<K, V> Eq for TypedId<K, V> {}

impl<K, V> fmt::Debug for TypedId<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedId").field(&self.id).finish()
    }
}
