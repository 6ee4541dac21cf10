//! Types of keys.

mod groups;
mod numbers;
pub mod prefix;
pub mod reader;
mod text;

use crate::error::Result;
use reader::KeyReader;

/// A type of keys. Encoded keys are in the order of the type; docs/encodings.md describes the bytes
/// of each type.
///
/// There are: integers of every width, `usize` and `isize` (as 64 bits), `f32` and `f64` in the
/// order of `total_cmp`, `bool`, `char`, `&str` and `String`, `&[u8]` and `Vec<u8>`, arrays of
/// keys, tuples of up to eight, `Option` (None is first), `()`, [`std::cmp::Reverse`],
/// [`std::time::Duration`] and addresses of [`std::net`]; behind features, `uuid::Uuid` and the
/// times of jiff. For types of your own there is `#[derive(Key)]`, behind the feature `derive`.
///
/// Three types belong to it: what calls take (`Arg`, cheap to copy), what is seen without an
/// allocation (`Ref`), and what iterators hand out (`Owned`):
///
/// | `K` | `Arg` | `Ref` | `Owned` |
/// | --- | --- | --- | --- |
/// | `u64`, and all of a fixed size | `u64` | `u64` | `u64` |
/// | `&str`, `String` | `&str` | `&str` | `String` |
/// | `(&str, u64)` | `(&str, u64)` | `(&str, u64)` | `(String, u64)` |
/// | `#[derive(Key)] struct Town` | `&Town` | `Town` | `Town` |
///
/// An implementation by hand leaves the work to types that are there:
///
/// ```
/// use recto::typed::{Key, KeyReader};
///
/// /// Ten thousandths of a degree.
/// #[derive(Clone, Copy, PartialEq, Debug)]
/// struct Latitude(i32);
///
/// impl Key for Latitude {
///     type Arg<'a> = Latitude;
///     type Ref<'a> = Latitude;
///     type Owned = Latitude;
///
///     fn type_name() -> String {
///         "latitude".into()
///     }
///     fn encode_part(key: Latitude, out: &mut Vec<u8>) {
///         i32::encode_part(key.0, out);
///     }
///     fn decode_part(from: &mut KeyReader<'_>) -> recto::Result<Latitude> {
///         i32::decode_part(from).map(Latitude)
///     }
///     fn into_owned(key: Latitude) -> Latitude {
///         key
///     }
///     fn arg(key: &Latitude) -> Latitude {
///         *key
///     }
/// }
/// # fn main() -> recto::Result<()> {
/// let south = Latitude::to_bytes(Latitude(-338_600));
/// assert!(south < Latitude::to_bytes(Latitude(514_779)));
/// assert_eq!(Latitude::from_bytes(&south)?, Latitude(-338_600));
/// # Ok(()) }
/// ```
///
/// One that is wrong gives wrong orders or errors, and does no other harm.
///
/// What is written as a part ends by itself; a whole key need not. Both take O(bytes) and touch no
/// database:
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{Key, KeyReader};
/// let (mut part, mut whole) = (Vec::new(), Vec::new());
/// <&str>::encode_part("ab", &mut part);
/// <&str>::encode("ab", &mut whole);
/// assert_eq!((&*part, &*whole), (&b"ab\0"[..], &b"ab"[..]));
/// assert_eq!(<&str>::decode_part(&mut KeyReader::new(&mut part))?, "ab");
/// assert_eq!(<&str>::decode(&mut KeyReader::new(&mut whole))?, "ab");
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of keys",
    note = "keys are integers, floats, `bool`, `char`, `&str`, `&[u8]`, arrays, tuples and options of keys",
    note = "types of your own: `#[derive(Key)]` of the feature `derive`; `Uuid`, jiff: features of their names"
)]
pub trait Key {
    /// Bytes that every key has when it is encoded; None if they differ. Values of sets that have
    /// one size take less room.
    const KEY_WIDTH: Option<usize> = None;

    /// What calls take.
    type Arg<'a>: Copy;
    /// A key that was read, borrowed from the place it was put together in.
    type Ref<'a>;
    /// A key that was read, of its own.
    type Owned;

    /// The name under which the type is stored in a table, to be compared when it is opened. It
    /// must be the same for ever, and another one when the encoding changes.
    fn type_name() -> String;

    /// Appends the key such that it ends by itself: no encoded key is the beginning of another.
    fn encode_part(key: Self::Arg<'_>, out: &mut Vec<u8>);

    /// Takes what [`Key::encode_part`] wrote. [`Error::Decode`](crate::Error::Decode) if the bytes
    /// are none of its.
    fn decode_part<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>>;

    /// The key without a tie to its place.
    fn into_owned(key: Self::Ref<'_>) -> Self::Owned;

    /// An owned key, as calls take it.
    fn arg(key: &Self::Owned) -> Self::Arg<'_>;

    /// Appends the key where nothing follows it: text needs no end there.
    #[inline]
    fn encode(key: Self::Arg<'_>, out: &mut Vec<u8>) {
        Self::encode_part(key, out);
    }

    /// Takes what [`Key::encode`] wrote, which may be all that is left.
    #[inline]
    fn decode<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>> {
        Self::decode_part(from)
    }

    /// Appends an array: for types that can do it at once.
    #[doc(hidden)]
    #[inline]
    fn encode_array<const N: usize>(keys: [Self::Arg<'_>; N], out: &mut Vec<u8>) {
        keys.into_iter().for_each(|key| Self::encode_part(key, out));
    }

    /// Takes an array: for types that can do it at once.
    #[doc(hidden)]
    #[inline]
    fn decode_array<'a, const N: usize>(from: &mut KeyReader<'a>) -> Result<[Self::Ref<'a>; N]> {
        let mut keys = [const { None }; N];
        for key in &mut keys {
            *key = Some(Self::decode_part(from)?);
        }
        Ok(keys.map(|key| key.expect("each was read")))
    }

    /// Reads a whole key, in a copy of its bytes: for types that need none.
    #[doc(hidden)]
    #[inline]
    fn read<'s>(bytes: &[u8], scratch: &'s mut Vec<u8>) -> Result<Self::Ref<'s>> {
        scratch.clear();
        scratch.extend_from_slice(bytes);
        let mut reader = KeyReader::new(scratch);
        let key = Self::decode(&mut reader)?;
        reader.finish_as::<Self>()?;
        Ok(key)
    }

    /// The bytes of a key, as they stand in a table: for byte tables, or other programs.
    fn to_bytes(key: Self::Arg<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        Self::encode(key, &mut out);
        out
    }

    /// A key from its bytes. [`Error::Decode`](crate::Error::Decode) if they are none of this type.
    fn from_bytes(bytes: &[u8]) -> Result<Self::Owned> {
        Self::read(bytes, &mut Vec::new()).map(Self::into_owned)
    }
}

impl KeyReader<'_> {
    /// As [`KeyReader::finish`]; the name is only made when it is needed.
    #[inline]
    fn finish_as<K: Key + ?Sized>(mut self) -> Result<()> {
        match self.rest().len() {
            0 => Ok(()),
            left => Err(reader::wrong(&K::type_name(), format!("{left} bytes are left over"))),
        }
    }
}

/// Keys whose three types are themselves.
macro_rules! itself {
    // With the name and the length of the encoded key.
    ($name:expr, $width:expr) => {
        itself!($width);

        #[inline]
        fn read(bytes: &[u8], _: &mut Vec<u8>) -> Result<Self> {
            let mut copy: [u8; $width] = super::reader::exactly(bytes, $name)?;
            Self::decode_part(&mut KeyReader::new(&mut copy))
        }
    };
    ($width:expr) => {
        const KEY_WIDTH: Option<usize> = Some($width);
        type Arg<'a> = Self;
        type Ref<'a> = Self;
        type Owned = Self;

        #[inline]
        fn into_owned(key: Self) -> Self {
            key
        }

        #[inline]
        fn arg(key: &Self) -> Self {
            *key
        }
    };
}
pub(in crate::typed) use itself;

/// The width of keys side by side; None if one of them has none.
const fn sum<const N: usize>(widths: [Option<usize>; N]) -> Option<usize> {
    let (mut sum, mut at) = (0, 0);
    while at < N {
        match widths[at] {
            Some(width) => sum += width,
            None => return None,
        }
        at += 1;
    }
    Some(sum)
}
