//! How transactions open typed tables of sets, and what they compare then.

use super::definition::SetDef;
use super::id::TypedSetId;
use super::read::TypedSet;
use super::write::TypedSetMut;
use crate::api::transaction::{ReadTxn, WriteTxn};
use crate::error::{Error, Result};
use crate::txn::write::{check_by_bytes, check_options};
use crate::typed::key::Key;
use crate::types::{TableKind, TableOptions};

/// Whether a table that is there is one of this definition; false if it is not there. The size of
/// its values need not be said: it may be older than what says it.
pub(super) fn is_there<K: Key, V: Key>(
    has: Option<TableOptions>,
    def: &SetDef<'_, K, V>,
) -> Result<bool> {
    let Some(has) = has else { return Ok(false) };
    let mut asked = def.options();
    if has.kind == (TableKind::Set { value_size: 0 }) {
        asked.kind = has.kind;
    }
    check_options(def.name(), &has, &asked)?;
    check_by_bytes(def.name(), has.order.is_by_bytes()).map(|()| true)
}

impl ReadTxn {
    /// A typed table of sets. [`Error::NoSuchTable`] if there is none of this name,
    /// [`Error::TableOptions`] if it has other types, or one value for each key.
    ///
    /// Two descents of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    ///
    /// txn.typed_set_mut(&TAGS)?.insert("rust", 7)?;
    /// txn.commit()?;
    /// let txn = db.read()?;
    /// assert!(txn.typed_set(&TAGS)?.contains("rust", 7)?);
    /// # Ok(()) }
    /// ```
    pub fn typed_set<K: Key, V: Key>(&self, def: &SetDef<'_, K, V>) -> Result<TypedSet<'_, K, V>> {
        self.typed_set_opt(def)?.ok_or_else(|| Error::NoSuchTable(def.name().into()))
    }

    /// The same; None if there is no table of this name, as before anybody has written to it.
    ///
    /// Errors as of [`ReadTxn::typed_set`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use recto::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    ///
    /// assert!(db.read()?.typed_set_opt(&TAGS)?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn typed_set_opt<K: Key, V: Key>(
        &self,
        def: &SetDef<'_, K, V>,
    ) -> Result<Option<TypedSet<'_, K, V>>> {
        if !is_there(self.table_options(def.name())?, def)? {
            return Ok(None);
        }
        Ok(self.set_opt(def.name())?.map(TypedSet::new))
    }
}

impl WriteTxn {
    /// A typed table of sets for reading, as this transaction has left it; errors as in
    /// [`ReadTxn::typed_set`].
    ///
    /// Two descents of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    ///
    /// txn.typed_set_mut(&TAGS)?.insert("rust", 7)?;
    /// assert_eq!(txn.typed_set(&TAGS)?.count("rust")?, 1); // not committed yet
    /// # Ok(()) }
    /// ```
    pub fn typed_set<K: Key, V: Key>(&self, def: &SetDef<'_, K, V>) -> Result<TypedSet<'_, K, V>> {
        self.typed_set_opt(def)?.ok_or_else(|| Error::NoSuchTable(def.name().into()))
    }

    /// The same; None if there is none.
    ///
    /// Errors as of [`WriteTxn::typed_set`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    ///
    /// assert!(txn.typed_set_opt(&TAGS)?.is_none());
    /// txn.open_typed_set(&TAGS)?; // makes it
    /// assert!(txn.typed_set_opt(&TAGS)?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn typed_set_opt<K: Key, V: Key>(
        &self,
        def: &SetDef<'_, K, V>,
    ) -> Result<Option<TypedSet<'_, K, V>>> {
        if !is_there(self.table_options(def.name())?, def)? {
            return Ok(None);
        }
        Ok(self.set_opt(def.name())?.map(TypedSet::new))
    }

    /// A typed table of sets to change, one at a time; made if there is none of this name.
    /// [`Error::TableOptions`] if it has other types.
    ///
    /// Two descents of the list of tables, if this transaction has not opened it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    ///
    /// let mut tags = txn.typed_set_mut(&TAGS)?;
    /// assert!(tags.insert("rust", 7)? && !tags.insert("rust", 7)?);
    /// # Ok(()) }
    /// ```
    pub fn typed_set_mut<K: Key, V: Key>(
        &mut self,
        def: &SetDef<'_, K, V>,
    ) -> Result<TypedSetMut<'_, K, V>> {
        let id = self.open_typed_set(def)?;
        id.edit(self)
    }

    /// Opens a typed table of sets, or makes it, to be used beside other tables of this
    /// transaction.
    ///
    /// Two descents of the list of tables, if this transaction has not opened it.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::{SetDef, TableDef};
    /// const USERS: TableDef<u32, (&str, &str)> = TableDef::new("users"); // name, town
    /// const BY_TOWN: SetDef<&str, u32> = SetDef::new("by_town");
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let (users, by_town) = (txn.open_typed(&USERS)?, txn.open_typed_set(&BY_TOWN)?);
    /// // A user, and where it is found by its town.
    /// if let Some((_, town)) = users.replace(&mut txn, 7, ("Ada", "Oslo"))? {
    ///     by_town.remove(&mut txn, &town, 7)?;
    /// }
    /// by_town.insert(&mut txn, "Oslo", 7)?;
    /// txn.commit()?;
    /// # Ok(()) }
    /// ```
    pub fn open_typed_set<K: Key, V: Key>(
        &mut self,
        def: &SetDef<'_, K, V>,
    ) -> Result<TypedSetId<K, V>> {
        let options = match is_there(self.table_options(def.name())?, def)? {
            // It has been compared.
            true => TableOptions::set(),
            false => def.options(),
        };
        self.open_set_with(def.name(), &options).map(|table| TypedSetId::new(table.id()))
    }
}
