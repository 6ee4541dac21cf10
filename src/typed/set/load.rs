//! Typed pairs of sets that come in no order.

use super::definition::SetDef;
use super::write::TypedSetMut;
use crate::api::load::{Loaded, Loader, load_set};
use crate::error::Result;
use crate::typed::key::Key;
use crate::typed::table::encoded::{with_key, with_set_value};

impl<K: Key, V: Key> TypedSetMut<'_, K, V> {
    /// As [`SetTableMut::load`](crate::SetTableMut::load).
    pub fn load<'k, 'v>(
        &mut self,
        pairs: impl IntoIterator<Item = (K::Arg<'k>, V::Arg<'v>)>,
    ) -> Result<Loaded> {
        load_set(self.bytes_mut(), |mut loader| {
            for (key, value) in pairs {
                push::<K, V>(&mut loader, key, value)?;
            }
            Ok(loader)
        })
    }
}

impl Loader {
    /// As [`Loader::push`], with the types of a table of sets.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use recto::{LoadOptions, SetDef, TableKind};
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags");
    /// let mut loader = db.loader(TableKind::Set { value_size: 8 }, &LoadOptions::default());
    /// loader.push_typed_pair(&TAGS, "rust", 7)?;
    /// loader.push_typed_pair(&TAGS, "rust", 3)?;
    /// let mut txn = db.write()?;
    /// let tags = txn.open_typed_set(&TAGS)?;
    /// assert_eq!(loader.finish(&mut txn, tags.id())?.new, 2);
    /// # Ok(()) }
    /// ```
    pub fn push_typed_pair<K: Key, V: Key>(
        &mut self,
        _: &SetDef<'_, K, V>,
        key: K::Arg<'_>,
        value: V::Arg<'_>,
    ) -> Result<()> {
        push::<K, V>(self, key, value)
    }
}

fn push<K: Key, V: Key>(loader: &mut Loader, key: K::Arg<'_>, value: V::Arg<'_>) -> Result<()> {
    with_key::<K, _>(key, |key| with_set_value::<V, _>(value, |value| loader.push(key, value)))
}
