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
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const USERS: TableDef<u32, &str> = TableDef::new("users");
/// const BY_MAIL: TableDef<&str, u32> = TableDef::new("by_mail");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let (users, by_mail) = (txn.open_typed(&USERS)?, txn.open_typed(&BY_MAIL)?);
/// users.put(&mut txn, 7, "ada@example.org")?;
/// by_mail.put(&mut txn, "ada@example.org", 7)?;
/// let number = by_mail.get(&txn, "ada@example.org")?;
/// assert_eq!(number, Some(7));
/// let before = users.take(&mut txn, 7)?;
/// assert!(by_mail.delete(&mut txn, &before.unwrap())?);
/// assert!(users.view(&txn)?.is_empty() && by_mail.view(&txn)?.is_empty());
/// txn.commit()?;
/// # Ok(()) }
/// ```
///
/// A value in use keeps the transaction from being changed:
///
/// ```compile_fail,E0502
/// # fn main() -> recto::Result<()> {
/// # use recto::typed::TableDef;
/// # const USERS: TableDef<u32, &str> = TableDef::new("users");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let users = txn.open_typed(&USERS)?;
/// let ada = users.get(&txn, 7)?;
/// users.put(&mut txn, 8, "Kurt")?;
/// println!("{ada:?}");
/// # Ok(()) }
/// ```
///
/// Each call costs what that of [`TypedTableMut`](crate::TypedTableMut) or
/// [`TypedTable`](crate::TypedTable) costs; to find the table is O(1), unless others were dropped.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// use recto::typed::TableDef;
/// const AGES: TableDef<&str, u8> = TableDef::new("ages");
///
/// let ages = txn.open_typed(&AGES)?;
/// assert!(ages.put_if_absent(&mut txn, "Ada", 35)?);
/// assert_eq!(ages.replace(&mut txn, "Ada", 36)?, Some(35));
/// assert_eq!(ages.update(&mut txn, "Ada", |age| age.map(|age| age + 1))?, Some(37));
/// assert!(ages.contains_key(&txn, "Ada")?);
/// ages.edit(&mut txn)?.append("Kurt", 71)?; // all that a table has
/// assert_eq!(ages.cursor(&txn).last(&txn)?, Some(("Kurt", 71)));
/// assert_eq!(txn.view(ages.id())?.len(), 2); // as bytes
/// # Ok(()) }
/// ```
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
