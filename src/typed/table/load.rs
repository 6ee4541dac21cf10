//! Typed pairs that come in no order.

use super::definition::TableDef;
use super::encoded::{with_key, with_value};
use super::write::TypedTableMut;
use crate::api::load::{Loaded, Loader, load};
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::value::Value;

impl<K: Key, V: Value> TypedTableMut<'_, K, V> {
    /// As [`TableMut::load`](crate::TableMut::load).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::TableDef;
    /// const WORDS: TableDef<&str, u64> = TableDef::new("words");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let text = "the last of the places of a word is what stays";
    /// txn.typed_mut(&WORDS)?.load(text.split(' ').zip(1..))?;
    /// assert_eq!(txn.typed(&WORDS)?.get("of")?, Some(6));
    /// # Ok(()) }
    /// ```
    pub fn load<'k, 'v>(
        &mut self,
        pairs: impl IntoIterator<Item = (K::Arg<'k>, V::Arg<'v>)>,
    ) -> Result<Loaded> {
        load(self.bytes_mut(), |mut loader| {
            for (key, value) in pairs {
                push::<K, V>(&mut loader, key, value)?;
            }
            Ok(loader)
        })
    }
}

impl Loader {
    /// As [`Loader::push`], with the types of a table.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::{LoadOptions, TableDef, TableKind};
    /// const SIZES: TableDef<&str, u64> = TableDef::new("sizes");
    /// # let db = recto::Database::in_memory()?;
    /// let mut loader = db.loader(TableKind::Map, &LoadOptions::default());
    /// loader.push_typed(&SIZES, "b.txt", 17)?;
    /// loader.push_typed(&SIZES, "a.txt", 4)?;
    /// let mut txn = db.write()?;
    /// let sizes = txn.open_typed(&SIZES)?;
    /// loader.finish(&mut txn, sizes.id())?;
    /// assert_eq!(sizes.get(&txn, "a.txt")?, Some(4));
    /// # Ok(()) }
    /// ```
    pub fn push_typed<K: Key, V: Value>(
        &mut self,
        _: &TableDef<'_, K, V>,
        key: K::Arg<'_>,
        value: V::Arg<'_>,
    ) -> Result<()> {
        push::<K, V>(self, key, value)
    }
}

fn push<K: Key, V: Value>(loader: &mut Loader, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<()> {
    with_key::<K, _>(key, |key| with_value::<V, _>(value, |value| loader.push(key, value)))
}
