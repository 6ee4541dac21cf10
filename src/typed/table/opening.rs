//! How transactions open typed tables, and what they compare then.

use super::definition::TableDef;
use super::id::TypedId;
use super::read::TypedTable;
use super::write::TypedTableMut;
use crate::api::transaction::{ReadTxn, WriteTxn};
use crate::error::{Error, Result};
use crate::txn::write::{check_by_bytes, check_options};
use crate::typed::key::Key;
use crate::typed::value::Value;
use crate::types::TableOptions;

/// What a table of this definition is made with, and has to have.
fn options<K: Key, V: Value>(def: &TableDef<'_, K, V>) -> TableOptions {
    TableOptions::aligned(def.alignment())
        .types(def.stored_key_type(), def.stored_value_type())
        .ordered(def.order())
}

/// Whether a table that is there is one of this definition; false if it is not there.
pub(super) fn is_there<K: Key, V: Value>(
    has: Option<TableOptions>,
    def: &TableDef<'_, K, V>,
) -> Result<bool> {
    let Some(has) = has else { return Ok(false) };
    check_options(def.name(), &has, &options(def))?;
    check_by_bytes(def.name(), has.order.is_by_bytes()).map(|()| true)
}

impl ReadTxn {
    /// A typed table. [`Error::NoSuchTable`] if there is none of this name,
    /// [`Error::TableOptions`] if it has other types. Two descents of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.typed_mut(&AGES)?.put("Ada", 36)?;
    /// # txn.commit()?;
    /// let txn = db.read()?;
    /// let ages = txn.typed(&AGES)?;
    /// assert_eq!(ages.get("Ada")?, Some(36));
    /// # Ok(()) }
    /// ```
    pub fn typed<K: Key, V: Value>(
        &self,
        def: &TableDef<'_, K, V>,
    ) -> Result<TypedTable<'_, K, V>> {
        self.typed_opt(def)?.ok_or_else(|| Error::NoSuchTable(def.name().into()))
    }

    /// The same; None if there is no table of this name, as before anybody has written to it.
    ///
    /// Errors as of [`ReadTxn::typed`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    ///
    /// assert!(db.read()?.typed_opt(&AGES)?.is_none());
    /// let mut txn = db.write()?;
    /// txn.typed_mut(&AGES)?.put("Ada", 36)?;
    /// txn.commit()?;
    /// assert!(db.read()?.typed_opt(&AGES)?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn typed_opt<K: Key, V: Value>(
        &self,
        def: &TableDef<'_, K, V>,
    ) -> Result<Option<TypedTable<'_, K, V>>> {
        if !is_there(self.table_options(def.name())?, def)? {
            return Ok(None);
        }
        Ok(self.table_opt(def.name())?.map(TypedTable::new))
    }
}

impl WriteTxn {
    /// A typed table for reading, as this transaction has left it. [`Error::NoSuchTable`] if there
    /// is none, [`Error::TableOptions`] if it has other types.
    ///
    /// Two descents of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    ///
    /// txn.typed_mut(&AGES)?.put("Ada", 36)?;
    /// assert_eq!(txn.typed(&AGES)?.get("Ada")?, Some(36)); // not committed yet
    /// assert!(db.read()?.typed_opt(&AGES)?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn typed<K: Key, V: Value>(
        &self,
        def: &TableDef<'_, K, V>,
    ) -> Result<TypedTable<'_, K, V>> {
        self.typed_opt(def)?.ok_or_else(|| Error::NoSuchTable(def.name().into()))
    }

    /// The same; None if there is none.
    ///
    /// Errors as of [`WriteTxn::typed`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    ///
    /// assert!(txn.typed_opt(&AGES)?.is_none());
    /// txn.open_typed(&AGES)?; // makes it
    /// assert!(txn.typed_opt(&AGES)?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn typed_opt<K: Key, V: Value>(
        &self,
        def: &TableDef<'_, K, V>,
    ) -> Result<Option<TypedTable<'_, K, V>>> {
        if !is_there(self.table_options(def.name())?, def)? {
            return Ok(None);
        }
        Ok(self.table_opt(def.name())?.map(TypedTable::new))
    }

    /// A new typed table. [`Error::TableExists`] if there is one of this name, whatever its types.
    ///
    /// It costs one change of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::typed::TableDef;
    /// const AGES: TableDef<&str, u8> = TableDef::new("ages");
    ///
    /// txn.create_typed(&AGES)?.put("Ada", 36)?;
    /// let again = txn.create_typed(&AGES).map(drop);
    /// assert_eq!(again.unwrap_err().kind(), recto::ErrorKind::TableExists);
    /// # Ok(()) }
    /// ```
    pub fn create_typed<K: Key, V: Value>(
        &mut self,
        def: &TableDef<'_, K, V>,
    ) -> Result<TypedTableMut<'_, K, V>> {
        self.create_table_with(def.name(), &options(def)).map(TypedTableMut::new)
    }

    /// A typed table to change, one at a time; made if there is none of this name.
    /// [`Error::TableOptions`] if it has other types.
    ///
    /// One descent of the list of tables, if this transaction has not opened it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const HITS: TableDef<&str, u64> = TableDef::new("hits");
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut hits = txn.typed_mut(&HITS)?;
    /// for page in ["/a", "/b", "/a"] {
    ///     hits.update(page, |n| Some(n.unwrap_or(0) + 1))?;
    /// }
    /// assert_eq!(hits.get("/a")?, Some(2));
    /// txn.commit()?;
    /// # Ok(()) }
    /// ```
    pub fn typed_mut<K: Key, V: Value>(
        &mut self,
        def: &TableDef<'_, K, V>,
    ) -> Result<TypedTableMut<'_, K, V>> {
        let id = self.open_typed(def)?;
        id.edit(self)
    }

    /// Opens a typed table, or makes it, to be used beside other tables of this transaction: the
    /// id borrows nothing. [`Error::TableOptions`] if it has other types.
    ///
    /// One descent of the list of tables, if this transaction has not opened it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::TableDef;
    /// const USERS: TableDef<u32, &str> = TableDef::new("users");
    /// const BY_MAIL: TableDef<&str, u32> = TableDef::new("by_mail");
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let (users, by_mail) = (txn.open_typed(&USERS)?, txn.open_typed(&BY_MAIL)?);
    /// // A user, and where it is found by its address.
    /// if let Some(old) = users.replace(&mut txn, 7, "ada@example.org")? {
    ///     by_mail.delete(&mut txn, &old)?;
    /// }
    /// by_mail.put(&mut txn, "ada@example.org", 7)?;
    /// txn.commit()?;
    /// # Ok(()) }
    /// ```
    pub fn open_typed<K: Key, V: Value>(
        &mut self,
        def: &TableDef<'_, K, V>,
    ) -> Result<TypedId<K, V>> {
        let id = self.open_with(def.name(), &options(def))?;
        check_by_bytes(def.name(), self.view(id)?.is_by_bytes())?;
        Ok(TypedId::new(id))
    }
}
