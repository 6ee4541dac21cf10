//! Keys of a fixed size: numbers, and what is one.

use super::reader::{KeyReader, wrong};
use super::{Key, itself};
use crate::error::Result;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

macro_rules! unsigned {
    ($($number:ident $({ $($more:item)* })?),*) => {$(
        impl Key for $number {
            itself!(stringify!($number), size_of::<$number>());

            fn type_name() -> String {
                stringify!($number).into()
            }

            #[inline]
            fn encode_part(key: Self, out: &mut Vec<u8>) {
                out.extend_from_slice(&key.to_be_bytes());
            }

            #[inline]
            fn decode_part(from: &mut KeyReader<'_>) -> Result<Self> {
                from.array(stringify!($number)).map($number::from_be_bytes)
            }

            $($($more)*)?
        }
    )*};
}

unsigned!(u8 {
    #[inline]
    fn encode_array<const N: usize>(keys: [u8; N], out: &mut Vec<u8>) {
        out.extend_from_slice(&keys);
    }

    #[inline]
    fn decode_array<const N: usize>(from: &mut KeyReader<'_>) -> Result<[u8; N]> {
        from.array("array of u8")
    }
}, u16, u32, u64, u128);

/// The sign bit is changed, which puts negative numbers first.
macro_rules! signed {
    ($($number:ident as $bits:ident),*) => {$(
        impl Key for $number {
            itself!(stringify!($number), size_of::<$number>());

            fn type_name() -> String {
                stringify!($number).into()
            }

            #[inline]
            fn encode_part(key: Self, out: &mut Vec<u8>) {
                let key = (key ^ $number::MIN) as $bits;
                out.extend_from_slice(&key.to_be_bytes());
            }

            #[inline]
            fn decode_part(from: &mut KeyReader<'_>) -> Result<Self> {
                let bits = from.array(stringify!($number)).map($bits::from_be_bytes)?;
                Ok(bits as $number ^ $number::MIN)
            }
        }
    )*};
}

signed!(i8 as u8, i16 as u16, i32 as u32, i64 as u64, i128 as u128);

/// As 64 bits, whatever the machine, since files move from one to the other.
macro_rules! sized {
    ($($number:ident as $wide:ident),*) => {$(
        impl Key for $number {
            itself!(size_of::<$wide>());

            fn type_name() -> String {
                stringify!($wide).into()
            }

            #[inline]
            fn encode_part(key: Self, out: &mut Vec<u8>) {
                $wide::encode_part(key as $wide, out);
            }

            #[inline]
            fn decode_part(from: &mut KeyReader<'_>) -> Result<Self> {
                let wide = $wide::decode_part(from)?;
                wide.try_into().map_err(|_| {
                    wrong(stringify!($number), format!("{wide} is too large for this machine"))
                })
            }
        }
    )*};
}

sized!(usize as u64, isize as i64);

/// In the order of `total_cmp`. Of positive numbers the sign bit is changed, of negative ones all
/// bits.
macro_rules! float {
    ($($number:ident as $bits:ident),*) => {$(
        impl Key for $number {
            itself!(stringify!($number), size_of::<$number>());

            fn type_name() -> String {
                stringify!($number).into()
            }

            #[inline]
            fn encode_part(key: Self, out: &mut Vec<u8>) {
                const SIGN: $bits = 1 << ($bits::BITS - 1);
                let bits = key.to_bits();
                let bits = if bits & SIGN == 0 { bits | SIGN } else { !bits };
                out.extend_from_slice(&bits.to_be_bytes());
            }

            #[inline]
            fn decode_part(from: &mut KeyReader<'_>) -> Result<Self> {
                const SIGN: $bits = 1 << ($bits::BITS - 1);
                let bits = from.array(stringify!($number)).map($bits::from_be_bytes)?;
                Ok($number::from_bits(if bits & SIGN == 0 { !bits } else { bits & !SIGN }))
            }
        }
    )*};
}

float!(f32 as u32, f64 as u64);

impl Key for bool {
    itself!(1);

    fn type_name() -> String {
        "bool".into()
    }

    #[inline]
    fn encode_part(key: bool, out: &mut Vec<u8>) {
        out.push(u8::from(key));
    }

    #[inline]
    fn decode_part(from: &mut KeyReader<'_>) -> Result<bool> {
        match from.array("bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(wrong("bool", format!("byte {byte:#04x}"))),
        }
    }
}

impl Key for char {
    itself!(4);

    fn type_name() -> String {
        "char".into()
    }

    #[inline]
    fn encode_part(key: char, out: &mut Vec<u8>) {
        u32::encode_part(key.into(), out);
    }

    #[inline]
    fn decode_part(from: &mut KeyReader<'_>) -> Result<char> {
        let code = from.array("char").map(u32::from_be_bytes)?;
        char::from_u32(code).ok_or_else(|| wrong("char", format!("{code:#x} is no character")))
    }
}

impl Key for () {
    itself!(0);

    fn type_name() -> String {
        "()".into()
    }

    fn encode_part((): (), _: &mut Vec<u8>) {}

    fn decode_part(_: &mut KeyReader<'_>) -> Result<()> {
        Ok(())
    }
}

impl Key for Duration {
    itself!(12);

    fn type_name() -> String {
        "duration".into()
    }

    fn encode_part(key: Duration, out: &mut Vec<u8>) {
        u64::encode_part(key.as_secs(), out);
        u32::encode_part(key.subsec_nanos(), out);
    }

    fn decode_part(from: &mut KeyReader<'_>) -> Result<Duration> {
        let seconds = from.array("duration").map(u64::from_be_bytes)?;
        let nanoseconds = from.array("duration").map(u32::from_be_bytes)?;
        if nanoseconds >= 1_000_000_000 {
            return Err(wrong("duration", format!("{nanoseconds} nanoseconds in a second")));
        }
        Ok(Duration::new(seconds, nanoseconds))
    }
}

macro_rules! address {
    ($($address:ident, $name:literal, $width:literal;)*) => {$(
        impl Key for $address {
            itself!($width);

            fn type_name() -> String {
                $name.into()
            }

            fn encode_part(key: Self, out: &mut Vec<u8>) {
                out.extend_from_slice(&key.octets());
            }

            fn decode_part(from: &mut KeyReader<'_>) -> Result<Self> {
                from.array::<$width>($name).map($address::from)
            }
        }
    )*};
}

address!(Ipv4Addr, "ipv4", 4; Ipv6Addr, "ipv6", 16;);
