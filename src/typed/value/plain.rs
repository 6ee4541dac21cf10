//! Values that are one thing: numbers, text, bytes.

use super::{Value, itself};
use crate::error::Result;
use crate::typed::key::reader::{exactly, wrong};
use std::time::Duration;

macro_rules! number {
    ($($number:ident as $wide:ident),*) => {$(
        impl Value for $number {
            itself!();
            const WIDTH: Option<usize> = Some(size_of::<$wide>());

            fn type_name() -> String {
                stringify!($wide).into()
            }

            #[inline]
            fn encode(value: Self, out: &mut Vec<u8>) -> Result<()> {
                out.extend_from_slice(&(value as $wide).to_le_bytes());
                Ok(())
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<Self> {
                exactly(bytes, stringify!($wide)).map($wide::from_le_bytes).and_then(number!(@ $number $wide))
            }
        }
    )*};
    (@ usize u64) => { |wide| wide.try_into().map_err(|_| too_large(wide)) };
    (@ isize i64) => { |wide| wide.try_into().map_err(|_| too_large(wide)) };
    (@ $number:ident $wide:ident) => { Ok };
}

fn too_large(number: impl std::fmt::Display) -> crate::Error {
    wrong("usize", format!("{number} is too large for this machine"))
}

number!(u8 as u8, u16 as u16, u32 as u32, u64 as u64, u128 as u128, usize as u64);
number!(i8 as i8, i16 as i16, i32 as i32, i64 as i64, i128 as i128, isize as i64);
number!(f32 as f32, f64 as f64);

impl Value for bool {
    itself!();
    const WIDTH: Option<usize> = Some(1);

    fn type_name() -> String {
        "bool".into()
    }

    #[inline]
    fn encode(value: bool, out: &mut Vec<u8>) -> Result<()> {
        out.push(u8::from(value));
        Ok(())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<bool> {
        match exactly(bytes, "bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(wrong("bool", format!("byte {byte:#04x}"))),
        }
    }
}

impl Value for char {
    itself!();
    const WIDTH: Option<usize> = Some(4);

    fn type_name() -> String {
        "char".into()
    }

    #[inline]
    fn encode(value: char, out: &mut Vec<u8>) -> Result<()> {
        u32::encode(value.into(), out)
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<char> {
        let code = exactly(bytes, "char").map(u32::from_le_bytes)?;
        char::from_u32(code).ok_or_else(|| wrong("char", format!("{code:#x} is no character")))
    }
}

impl Value for () {
    itself!();
    const WIDTH: Option<usize> = Some(0);

    fn type_name() -> String {
        "()".into()
    }

    #[inline]
    fn encode((): (), _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<()> {
        exactly(bytes, "()").map(|[]| ())
    }
}

impl Value for Duration {
    itself!();
    const WIDTH: Option<usize> = Some(12);

    fn type_name() -> String {
        "duration".into()
    }

    fn encode(value: Duration, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&value.as_secs().to_le_bytes());
        out.extend_from_slice(&value.subsec_nanos().to_le_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Duration> {
        let [a, b, c, d, e, f, g, h, nanoseconds @ ..] = exactly::<12>(bytes, "duration")?;
        let seconds = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let nanoseconds = u32::from_le_bytes(nanoseconds);
        if nanoseconds >= 1_000_000_000 {
            return Err(wrong("duration", format!("{nanoseconds} nanoseconds in a second")));
        }
        Ok(Duration::new(seconds, nanoseconds))
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| wrong("str", e.to_string()))
}

macro_rules! of_any_length {
    ($($value:ty: $slice:ty, $owned:ty, $name:literal, $check:expr, $bytes:expr;)*) => {$(
        impl Value for $value {
            type Arg<'a> = &'a $slice;
            type Ref<'a> = &'a $slice;
            type Owned = $owned;

            fn type_name() -> String {
                $name.into()
            }

            #[inline]
            fn encode(value: &$slice, out: &mut Vec<u8>) -> Result<()> {
                out.extend_from_slice($bytes(value));
                Ok(())
            }

            #[inline]
            fn with_bytes<R>(
        value: &$slice,
        _: &mut Vec<u8>,
        f: impl FnOnce(&[u8]) -> Result<R>,
    ) -> Result<R> {
        f($bytes(value))
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<&$slice> {
                $check(bytes)
            }

            #[inline]
            fn decode_owned(bytes: &[u8]) -> Result<$owned> {
                $check(bytes).map(<$owned>::from)
            }

            #[inline]
            fn arg(value: &$owned) -> &$slice {
                value
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
