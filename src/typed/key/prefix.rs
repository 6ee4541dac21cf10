//! What keys may begin with.

use super::Key;

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
    fn encode_prefix(self, out: &mut Vec<u8>);
}

macro_rules! of_text {
    ($($key:ty: $slice:ty, $bytes:expr;)*) => {$(
        impl KeyPrefix<$key> for &$slice {
            fn encode_prefix(self, out: &mut Vec<u8>) {
                out.extend_from_slice($bytes(self));
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
