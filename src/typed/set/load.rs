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
