//! What keys may begin with: whole parts, and text that goes on.

use super::Key;
use super::reader::write_escaped;

/// What keys of the type `K` may begin with: the first parts of a tuple, as a tuple, or the
/// beginning of a text. `#[derive(Key)]` implements it for the first fields of a struct.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::TableDef;
/// const BY_TOWN: TableDef<(&str, u32), ()> = TableDef::new("by_town");
/// const WORDS: TableDef<&str, ()> = TableDef::new("words");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let (by_town, words) = (txn.open_typed(&BY_TOWN)?, txn.open_typed(&WORDS)?);
/// for (town, number) in [("Oslo", 1), ("Oslo", 7), ("Oslo-West", 2)] {
///     by_town.put(&mut txn, (town, number), ())?;
///     words.put(&mut txn, town, ())?;
/// }
/// assert_eq!(by_town.view(&txn)?.prefix(("Oslo",))?.count(), 2); // a part is a whole one
/// assert_eq!(words.view(&txn)?.prefix("Oslo")?.count(), 2);
/// assert_eq!(words.view(&txn)?.prefix("O")?.count(), 2); // a text need not be
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "keys of type `{K}` do not begin with `{Self}`",
    note = "the prefix of a tuple is a tuple of its first parts, as `(\"Oslo\",)`, each as `get` takes it"
)]
pub trait KeyPrefix<K: ?Sized> {
    /// Appends the bytes with which such keys begin, and no others.
    ///
    /// O(bytes).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::{Key, KeyPrefix};
    /// let mut prefix = Vec::new();
    /// KeyPrefix::<(&str, u64)>::encode_prefix(("Oslo",), &mut prefix);
    /// assert!(<(&str, u64)>::to_bytes(("Oslo", 7)).starts_with(&prefix));
    /// assert!(!<(&str, u64)>::to_bytes(("Oslo-West", 7)).starts_with(&prefix));
    /// # Ok(()) }
    /// ```
    fn encode_prefix(self, out: &mut Vec<u8>);
}

/// The prefix of keys whose first parts are these, and whose next one is a text, or bytes, that
/// begins like this.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{Beginning, TableDef};
/// const STREETS: TableDef<(u16, &str, &str), ()> = TableDef::new("streets"); // country, town
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # let mut streets = txn.typed_mut(&STREETS)?;
/// streets.put((47, "Oslo", "Torggata"), ())?;
/// streets.put((47, "Oslo", "Torvbakken"), ())?;
/// streets.put((47, "Os", "Torget"), ())?;
/// assert_eq!(streets.prefix(Beginning((47, "Oslo"), "Tor"))?.count(), 2);
/// assert_eq!(streets.prefix(Beginning((47,), "Os"))?.count(), 3);
/// // Words by their first letters, where a number stands behind them.
/// const WORDS: TableDef<(&str, u32), ()> = TableDef::new("words");
/// # let mut words = txn.typed_mut(&WORDS)?;
/// words.put(("doggerel", 1), ())?;
/// assert_eq!(words.prefix(Beginning((), "dog"))?.count(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beginning<P, T>(pub P, pub T);

/// Types of keys that are text or bytes: `&str`, `String`, `&[u8]`, `Vec<u8>`.
///
/// It says which types [`Beginning`] takes the beginning of:
///
/// ```compile_fail,E0277
/// # fn main() -> recto::Result<()> {
/// # use recto::typed::{Beginning, TableDef};
/// const TABLE: TableDef<(u32, u64), ()> = TableDef::new("table");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// txn.typed_mut(&TABLE)?.prefix(Beginning((7,), 1))?; // a number has no beginning
/// # Ok(()) }
/// ```
pub trait TextKey: sealed::Text {}

impl<K: sealed::Text> TextKey for K {}

mod sealed {
    use super::Key;

    pub trait Text: Key {
        /// Appends how such keys begin, as the last part or as one that another follows.
        fn begin(beginning: Self::Arg<'_>, last: bool, out: &mut Vec<u8>);
    }
}

macro_rules! of_text {
    ($($key:ty: $slice:ty, $bytes:expr;)*) => {$(
        impl KeyPrefix<$key> for &$slice {
            fn encode_prefix(self, out: &mut Vec<u8>) {
                out.extend_from_slice($bytes(self));
            }
        }

        impl sealed::Text for $key {
            fn begin(beginning: &$slice, last: bool, out: &mut Vec<u8>) {
                if last {
                    out.extend_from_slice($bytes(beginning));
                } else {
                    write_escaped($bytes(beginning), out);
                }
            }
        }
    )*};
}

of_text!(
    &str: str, str::as_bytes;
    String: str, str::as_bytes;
    &[u8]: [u8], std::convert::identity;
    Vec<u8>: [u8], std::convert::identity;
);

/// Nothing in front of the text.
macro_rules! beginnings {
    ([$next:ident] [$($behind:ident)*]) => {
        impl<'k, $next: TextKey, $($behind: Key,)*> KeyPrefix<($next, $($behind,)*)>
            for Beginning<(), $next::Arg<'k>>
        {
            fn encode_prefix(self, out: &mut Vec<u8>) {
                const BEHIND: &[&str] = &[$(stringify!($behind)),*];
                $next::begin(self.1, BEHIND.is_empty(), out);
            }
        }
    };
}

beginnings!([A] []);
beginnings!([A][B]);
beginnings!([A] [B C]);
beginnings!([A] [B C D]);
beginnings!([A] [B C D E]);
beginnings!([A] [B C D E F]);
beginnings!([A] [B C D E F G]);
beginnings!([A] [B C D E F G H]);

/// All pairs of first parts and others.
macro_rules! prefixes {
    ([$($first:ident)*] []) => {};
    ([$($first:ident)+] [$next:ident $($behind:ident)*]) => {
        impl<'k, $($first: Key,)+ $next: Key, $($behind: Key,)*>
            KeyPrefix<($($first,)+ $next, $($behind,)*)> for ($($first::Arg<'k>,)+)
        {
            fn encode_prefix(self, out: &mut Vec<u8>) {
                #[allow(non_snake_case)] // named after their types
                let ($($first,)+) = self;
                $($first::encode_part($first, out);)+
            }
        }

        impl<'k, $($first: Key,)+ $next: TextKey, $($behind: Key,)*>
            KeyPrefix<($($first,)+ $next, $($behind,)*)>
            for Beginning<($($first::Arg<'k>,)+), $next::Arg<'k>>
        {
            fn encode_prefix(self, out: &mut Vec<u8>) {
                const BEHIND: &[&str] = &[$(stringify!($behind)),*];
                #[allow(non_snake_case)] // named after their types
                let ($($first,)+) = self.0;
                $($first::encode_part($first, out);)+
                $next::begin(self.1, BEHIND.is_empty(), out);
            }
        }
        prefixes!([$($first)+ $next] [$($behind)*]);
    };
}

prefixes!([A][B]);
prefixes!([A] [B C]);
prefixes!([A] [B C D]);
prefixes!([A] [B C D E]);
prefixes!([A] [B C D E F]);
prefixes!([A] [B C D E F G]);
prefixes!([A] [B C D E F G H]);
