//! Types of values.

mod groups;
mod plain;
pub mod pod;

#[cfg(any(feature = "postcard", feature = "json"))]
pub mod codec;

use super::key::reader::wrong;
use crate::error::Result;

/// A type of values; docs/encodings.md describes the bytes of each type.
///
/// There are: `&str` and `String`, `&[u8]` and `Vec<u8>`, integers of every width and floats
/// (little-endian), `bool`, `char`, `()`, [`std::time::Duration`], arrays, tuples of up to eight
/// and `Option` of values; plain old data as it lies in memory, without a copy, by
/// [`Pod`](crate::typed::Pod) and [`PodSlice`](crate::typed::PodSlice). Behind features:
/// everything that serde knows, by `Postcard` and `Json`; `uuid::Uuid` and the times of jiff. For
/// types of your own there is `#[derive(Value)]`, behind the feature `derive`.
///
/// Three types belong to it: what calls take (`Arg`), what reading gives, borrowed from the
/// database where it can be (`Ref`), and what outlives the transaction (`Owned`):
///
/// | `V` | `Arg` | `Ref` | `Owned` |
/// | --- | --- | --- | --- |
/// | `u64` and other numbers | `u64` | `u64` | `u64` |
/// | `&str`, `String` | `&str` | `&str` | `String` |
/// | `(u32, &str)` | `(u32, &str)` | `(u32, &str)` | `(u32, String)` |
/// | `Pod<T>` | `&T` | `&T` | `T` |
/// | `PodSlice<T>` | `&[T]` | `&[T]` | `Vec<T>` |
/// | `Postcard<T>`, `Json<T>` | `&T` | `T` | `T` |
/// | `#[derive(Value)] struct User` | `&User` | `User` | `User` |
///
/// An implementation by hand leaves the work to types that are there:
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{TableDef, Value};
/// # let db = recto::Database::in_memory()?;
/// /// A sum of money that is read as what it was put as.
/// #[derive(Clone, Copy, PartialEq, Debug)]
/// struct Cents(i64);
///
/// impl Value for Cents {
///     type Arg<'a> = Cents;
///     type Ref<'a> = Cents;
///     type Owned = Cents;
///     const WIDTH: Option<usize> = Some(8);
///
///     fn type_name() -> String {
///         "cents".into()
///     }
///     fn encode(value: Cents, out: &mut Vec<u8>) -> recto::Result<()> {
///         <i64 as Value>::encode(value.0, out)
///     }
///     fn decode(bytes: &[u8]) -> recto::Result<Cents> {
///         <i64 as Value>::decode(bytes).map(Cents)
///     }
///     fn decode_owned(bytes: &[u8]) -> recto::Result<Cents> {
///         <Cents as Value>::decode(bytes)
///     }
///     fn arg(value: &Cents) -> Cents {
///         *value
///     }
/// }
///
/// const PRICES: TableDef<&str, Cents> = TableDef::new("prices");
/// let mut txn = db.write()?;
/// txn.typed_mut(&PRICES)?.put("pear", Cents(85))?;
/// assert_eq!(txn.typed(&PRICES)?.get("pear")?, Some(Cents(85)));
/// # Ok(()) }
/// ```
///
/// One that is wrong gives wrong values or errors, and does no other harm.
///
/// Bytes of a value, and of several behind each other; O(bytes), and no database is touched:
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::Value;
/// let mut pair = Vec::new();
/// <&str as Value>::encode_part("text", &mut pair)?; // with its length in front
/// <u32 as Value>::encode_part(7, &mut pair)?;
/// let mut rest = &pair[..];
/// let text = <&str as Value>::split(&mut rest)?;
/// assert_eq!(<&str as Value>::decode(text)?, "text");
/// assert_eq!(<u32 as Value>::decode_owned(<u32 as Value>::split(&mut rest)?)?, 7);
/// // Text stands in memory as in the table: nothing is put into the buffer.
/// let len = <&str as Value>::with_bytes("text", &mut Vec::new(), |bytes| Ok(bytes.len()))?;
/// assert_eq!(len, 4);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of values",
    note = "values are numbers, `bool`, `char`, `&str`, `&[u8]`, arrays, tuples and options of values, `Pod<T>`, `PodSlice<T>`",
    note = "types of your own: `#[derive(Value)]` of the feature `derive`; `Postcard<T>`, `Json<T>`, `Uuid`, jiff: features of their names"
)]
pub trait Value {
    /// What calls take.
    type Arg<'a>: Copy;
    /// What reading gives.
    type Ref<'a>;
    /// What outlives the transaction.
    type Owned;

    /// Length of an encoded value, where all have the same.
    const WIDTH: Option<usize> = None;
    /// What the address of a value must be a multiple of, to be read in place. The table promises
    /// it, or is not opened.
    const ALIGN: usize = 1;

    /// The name under which the type is stored in a table, to be compared when it is opened. It
    /// must be the same for ever, and another one when the encoding changes.
    fn type_name() -> String;

    /// Appends the value. [`Error::Encode`](crate::Error::Encode) where a codec refuses it.
    fn encode(value: Self::Arg<'_>, out: &mut Vec<u8>) -> Result<()>;

    /// What [`Value::encode`] wrote. [`Error::Decode`](crate::Error::Decode) if the bytes are none
    /// of its.
    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>>;

    /// The same, but of its own. The bytes may stand at any address.
    fn decode_owned(bytes: &[u8]) -> Result<Self::Owned>;

    /// An owned value, as calls take it.
    fn arg(value: &Self::Owned) -> Self::Arg<'_>;

    /// Runs with the bytes of a value: those it has, if it stands in memory as in the table, or
    /// those that are put into the buffer.
    #[inline]
    fn with_bytes<R>(
        value: Self::Arg<'_>,
        buffer: &mut Vec<u8>,
        f: impl FnOnce(&[u8]) -> Result<R>,
    ) -> Result<R> {
        buffer.clear();
        Self::encode(value, buffer)?;
        f(buffer)
    }

    /// Appends the value such that something may follow: its length is put in front, where that
    /// can be any.
    #[inline]
    fn encode_part(value: Self::Arg<'_>, out: &mut Vec<u8>) -> Result<()> {
        let at = out.len();
        Self::encode(value, out)?;
        if Self::WIDTH.is_none() {
            let mut length = [0; 10];
            let digits = write_length(out.len() - at, &mut length);
            out.splice(at..at, length[..digits].iter().copied());
        }
        Ok(())
    }

    /// The bytes of a value that [`Value::encode_part`] wrote; they are taken off the front.
    #[inline]
    fn split<'a>(from: &mut &'a [u8]) -> Result<&'a [u8]> {
        let len = match Self::WIDTH {
            Some(width) => width,
            None => read_length(from).ok_or_else(|| wrong(&Self::type_name(), "no length"))?,
        };
        match from.split_at_checked(len) {
            Some((value, rest)) => {
                *from = rest;
                Ok(value)
            }
            None => {
                let detail = format!("{} bytes where {len} belong", from.len());
                Err(wrong(&Self::type_name(), detail))
            }
        }
    }
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn write_length(mut len: usize, out: &mut [u8; 10]) -> usize {
    let mut digits = 0;
    loop {
        out[digits] = (len & 0x7f) as u8;
        len >>= 7;
        digits += 1;
        if len == 0 {
            return digits;
        }
        out[digits - 1] |= 0x80;
    }
}

/// The shortest form only, so that equal values have equal bytes.
fn read_length(from: &mut &[u8]) -> Option<usize> {
    let mut len = 0u64;
    for n in 0..9 {
        let (digit, rest) = from.split_first()?;
        *from = rest;
        len |= u64::from(digit & 0x7f) << (7 * n);
        if digit & 0x80 == 0 {
            return if *digit == 0 && n > 0 { None } else { len.try_into().ok() };
        }
    }
    None
}

/// Values whose three types are themselves.
macro_rules! itself {
    () => {
        type Arg<'a> = Self;
        type Ref<'a> = Self;
        type Owned = Self;

        #[inline]
        fn decode_owned(bytes: &[u8]) -> Result<Self> {
            <Self as crate::typed::value::Value>::decode(bytes)
        }

        #[inline]
        fn arg(value: &Self) -> Self {
            *value
        }
    };
}
pub(in crate::typed) use itself;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        for len in [0, 1, 127, 128, 300, 1 << 14, u32::MAX as usize, 1 << 47] {
            let mut bytes = [0; 10];
            let digits = write_length(len, &mut bytes);
            let mut rest = &bytes[..digits];
            assert_eq!(read_length(&mut rest), Some(len));
            assert!(rest.is_empty());
            assert_eq!(read_length(&mut &bytes[..digits - 1]), None);
        }
        assert_eq!(read_length(&mut &[0x81, 0][..]), None);
        assert_eq!(read_length(&mut &[0xff; 10][..]), None);
    }
}
