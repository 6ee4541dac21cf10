//! Open typed tables of sets of a write transaction, several at once: what names them. What is done
//! with them: [`by_id`](super::by_id).

use crate::txn::write::TableId;
use std::fmt;
use std::marker::PhantomData;

/// A typed table of sets of one write transaction, which it is used with. It borrows nothing and is
/// copied freely: as [`TypedId`](crate::TypedId).
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{SetDef, TableDef};
/// const TOWNS: TableDef<u32, &str> = TableDef::new("towns");
/// const BY_TOWN: SetDef<&str, u32> = SetDef::new("by_town");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let (towns, by_town) = (txn.open_typed(&TOWNS)?, txn.open_typed_set(&BY_TOWN)?);
/// towns.put(&mut txn, 7, "Oslo")?;
/// by_town.insert(&mut txn, "Oslo", 7)?;
/// assert!(by_town.contains(&txn, "Oslo", 7)?);
/// assert_eq!(by_town.view(&txn)?.count("Oslo")?, 1);
/// txn.commit()?;
/// let mut txn = db.write()?;
/// let by_town = txn.open_typed_set(&BY_TOWN)?;
/// assert_eq!(by_town.edit(&mut txn)?.load([("Bergen", 8), ("Bergen", 9)])?.new, 2);
/// assert!(by_town.remove(&mut txn, "Oslo", 7)?);
/// assert_eq!(txn.view_set(by_town.id())?.len(), 2); // as bytes
/// assert_eq!(by_town.cursor(&txn).last(&txn)?, Some(("Bergen", 9)));
/// # Ok(()) }
/// ```
///
/// Each call costs what that of [`TypedSetMut`](crate::typed::TypedSetMut) or
/// [`TypedSet`](crate::typed::TypedSet) costs.
pub struct TypedSetId<K, V> {
    id: TableId,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TypedSetId<K, V> {
    pub(super) fn new(id: TableId) -> TypedSetId<K, V> {
        TypedSetId { id, types: PhantomData }
    }

    /// The id by which the table is used as a table of bytes.
    pub fn id(self) -> TableId {
        self.id
    }
}

impl<K, V> Clone for TypedSetId<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TypedSetId<K, V> {}

impl<K, V> PartialEq for TypedSetId<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<K, V> Eq for TypedSetId<K, V> {}

impl<K, V> fmt::Debug for TypedSetId<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedSetId").field(&self.id).finish()
    }
}
