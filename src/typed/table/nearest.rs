//! Pairs of a typed table next to a key that need not be there.

use super::encoded::with_key;
use super::read::TypedTable;
use super::write::TypedTableMut;
use crate::api::table::Table;
use crate::error::Result;
use crate::tree;
use crate::typed::key::Key;
use crate::typed::value::Value;

/// The methods of all typed tables, as those of the byte table of the same name. `$t` is how long
/// the values live.
macro_rules! neighbours {
    ($t:lifetime: $($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, key: K::Arg<'_>) -> Result<Option<(K::Owned, V::Ref<$t>)>> {
            pair::<K, V>(with_key::<K, _>(key, |key| self.byte_table().$name(key))?)
        }
    )*};
}

impl<'t, K: Key, V: Value> TypedTable<'t, K, V> {
    neighbours! { 't:
        /// The pair with this key, or the first one behind it. One descent of the tree.
        ///
        /// ```
        /// # fn main() -> recto::Result<()> {
        /// use recto::typed::TableDef;
        /// const PRICES: TableDef<u32, u32> = TableDef::new("prices"); // from this number on
        /// # let db = recto::Database::in_memory()?;
        /// # let mut txn = db.write()?;
        /// # let mut prices = txn.typed_mut(&PRICES)?;
        /// prices.put(1, 500)?;
        /// prices.put(100, 450)?;
        /// assert_eq!(prices.at_or_before(99)?, Some((1, 500)));
        /// assert_eq!(prices.at_or_before(100)?, Some((100, 450)));
        /// assert_eq!(prices.at_or_after(101)?, None);
        /// assert_eq!(prices.before(100)?, Some((1, 500)));
        /// # Ok(()) }
        /// ```
        at_or_after;
        /// The pair with this key, or the last one before it. One descent of the tree.
        at_or_before;
        /// The first pair behind this key. One descent of the tree.
        after;
        /// The last pair before this key. One descent of the tree.
        before;
    }

    fn byte_table(&self) -> Table<'t> {
        self.as_bytes()
    }
}

impl<K: Key, V: Value> TypedTableMut<'_, K, V> {
    neighbours! { '_:
        /// As [`TypedTable::at_or_after`].
        at_or_after;
        /// As [`TypedTable::at_or_before`].
        at_or_before;
        /// As [`TypedTable::after`].
        after;
        /// As [`TypedTable::before`].
        before;
    }

    fn byte_table(&self) -> Table<'_> {
        self.as_table().as_bytes()
    }
}

fn pair<'t, K: Key, V: Value>(
    pair: Option<(tree::Key<'t>, &'t [u8])>,
) -> Result<Option<(K::Owned, V::Ref<'t>)>> {
    let Some((key, value)) = pair else { return Ok(None) };
    Ok(Some((K::from_bytes(&key)?, V::decode(value)?)))
}
