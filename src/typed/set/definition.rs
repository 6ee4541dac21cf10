//! What a table of sets is, as a constant.

use crate::typed::key::Key;
use crate::typed::table::definition::limited;
use crate::types::{Order, TableOptions};
use std::fmt;
use std::marker::PhantomData;

/// A table whose keys have sets of values, by name, with the types of both; made once, as a
/// constant. The values of a key are in the order of their type, so that they are types of keys:
/// [`trait@Key`].
///
/// Opening it ([`WriteTxn::open_typed_set`](crate::WriteTxn::open_typed_set) and others) makes the
/// table where there is none. A new table remembers the names of its types, and the size of its
/// values where all have one; one that is there must have the same names, or gives
/// [`Error::TableOptions`](crate::Error::TableOptions).
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::SetDef;
/// const TAGS: SetDef<&str, u64> = SetDef::new("tags"); // the articles of a tag
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let mut tags = txn.typed_set_mut(&TAGS)?;
/// tags.insert("rust", 7)?;
/// tags.insert("rust", 3)?;
/// txn.commit()?;
///
/// let txn = db.read()?;
/// let articles = txn.typed_set(&TAGS)?.get("rust")?.collect::<recto::Result<Vec<_>>>()?;
/// assert_eq!(articles, [3, 7]);
/// assert_eq!((TAGS.name(), TAGS.stored_types()), ("tags", ("str".into(), "u64".into())));
/// // Of a table that was made as one of bytes: nothing is compared.
/// const OLD: SetDef<&str, u64> = SetDef::new("tags").unnamed();
/// assert_eq!(txn.typed_set(&OLD)?.count("rust")?, 2);
/// # Ok(()) }
/// ```
pub struct SetDef<'n, K, V> {
    name: &'n str,
    plain: bool,
    named: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'n, K, V> SetDef<'n, K, V> {
    /// A table of this name: 1 to 1,024 bytes.
    pub const fn new(name: &'n str) -> SetDef<'n, K, V> {
        SetDef { name, plain: false, named: true, types: PhantomData }
    }

    /// A table whose keys stand whole in their pages ([`Order::Plain`]): for programs that also
    /// read it as bytes, to which ranges and cursors lend keys there without a copy. With types it
    /// is read as any other, in the same order. One that is there must be so too.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::SetDef;
    /// const TAGS: SetDef<&str, u64> = SetDef::new("tags").plain();
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut tags = txn.typed_set_mut(&TAGS)?;
    /// tags.insert("rust", 7)?;
    /// let (tag, _) = tags.as_set().as_bytes().first()?.unwrap();
    /// assert_eq!(tag.borrowed(), Some(&b"rust"[..])); // a slice of the page
    /// # Ok(()) }
    /// ```
    pub const fn plain(self) -> SetDef<'n, K, V> {
        SetDef { plain: true, ..self }
    }

    /// A table whose types have no stored names: for tables that were made as tables of bytes.
    pub const fn unnamed(self) -> SetDef<'n, K, V> {
        SetDef { named: false, ..self }
    }

    /// The table's name.
    pub const fn name(&self) -> &'n str {
        self.name
    }
}

impl<K: Key, V: Key> SetDef<'_, K, V> {
    /// The names of the types of its keys and of its values, as they are stored.
    pub fn stored_types(&self) -> (String, String) {
        match self.named {
            true => (limited(K::type_name()), limited(V::type_name())),
            false => (String::new(), String::new()),
        }
    }

    /// What it is made with.
    pub(super) fn options(&self) -> TableOptions {
        // Longer ones than a number of 16 bits tells are too long for values of sets.
        let size = V::KEY_WIDTH.and_then(|width| u16::try_from(width).ok()).unwrap_or(0);
        let (keys, values) = self.stored_types();
        let order = if self.plain { Order::Plain } else { Order::Packed };
        TableOptions::set_of(size).types(keys, values).ordered(order)
    }
}

impl<K, V> Clone for SetDef<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for SetDef<'_, K, V> {}

impl<K: Key, V: Key> fmt::Debug for SetDef<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, values) = self.stored_types();
        f.debug_struct("SetDef")
            .field("name", &self.name)
            .field("keys", &keys)
            .field("values", &values)
            .finish()
    }
}
