//! Keys of any length: text and bytes.

use super::Key;
use super::reader::{KeyReader, write_terminated, wrong};
use crate::error::Result;

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| wrong("str", e.to_string()))
}

macro_rules! of_any_length {
    ($($key:ty: $slice:ty, $owned:ty, $name:literal, $check:expr, $bytes:expr;)*) => {$(
        impl Key for $key {
            type Arg<'a> = &'a $slice;
            type Ref<'a> = &'a $slice;
            type Owned = $owned;

            fn type_name() -> String {
                $name.into()
            }

            #[inline]
            fn encode_part(key: &$slice, out: &mut Vec<u8>) {
                write_terminated($bytes(key), out);
            }

            #[inline]
            fn decode_part<'a>(from: &mut KeyReader<'a>) -> Result<&'a $slice> {
                from.terminated($name).and_then($check)
            }

            #[inline]
            fn into_owned(key: &$slice) -> $owned {
                key.into()
            }

            #[inline]
            fn arg(key: &$owned) -> &$slice {
                key
            }

            #[inline]
            fn encode(key: &$slice, out: &mut Vec<u8>) {
                out.extend_from_slice($bytes(key));
            }

            #[inline]
            fn decode<'a>(from: &mut KeyReader<'a>) -> Result<&'a $slice> {
                $check(from.rest())
            }
        }
    )*};
}

of_any_length!(
    &str: str, String, "str", text, str::as_bytes;
    String: str, String, "str", text, str::as_bytes;
    &[u8]: [u8], Vec<u8>, "bytes", Ok, std::convert::identity;
    Vec<u8>: [u8], Vec<u8>, "bytes", Ok, std::convert::identity;
);
