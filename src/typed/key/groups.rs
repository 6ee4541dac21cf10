//! Keys that are made of keys: tuples, arrays, options, and the other way round.

use super::reader::{KeyReader, wrong};
use super::{Key, sum};
use crate::error::Result;
use std::cmp::Reverse;

macro_rules! tuple {
    ($($part:ident $at:tt)* ; $last:ident $end:tt) => {
        impl<$($part: Key,)* $last: Key> Key for ($($part,)* $last,) {
            const KEY_WIDTH: Option<usize> = sum([$($part::KEY_WIDTH,)* $last::KEY_WIDTH]);
            type Arg<'a> = ($($part::Arg<'a>,)* $last::Arg<'a>,);
            type Ref<'a> = ($($part::Ref<'a>,)* $last::Ref<'a>,);
            type Owned = ($($part::Owned,)* $last::Owned,);

            fn type_name() -> String {
                let parts = [$($part::type_name(),)* $last::type_name()];
                format!("({})", parts.join(","))
            }

            #[inline]
            fn encode_part(key: Self::Arg<'_>, out: &mut Vec<u8>) {
                $($part::encode_part(key.$at, out);)*
                $last::encode_part(key.$end, out);
            }

            #[inline]
            fn decode_part<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>> {
                Ok(($($part::decode_part(from)?,)* $last::decode_part(from)?,))
            }

            #[inline]
            fn into_owned(key: Self::Ref<'_>) -> Self::Owned {
                ($($part::into_owned(key.$at),)* $last::into_owned(key.$end),)
            }

            #[inline]
            fn arg(key: &Self::Owned) -> Self::Arg<'_> {
                ($($part::arg(&key.$at),)* $last::arg(&key.$end),)
            }

            #[inline]
            fn encode(key: Self::Arg<'_>, out: &mut Vec<u8>) {
                $($part::encode_part(key.$at, out);)*
                $last::encode(key.$end, out);
            }

            #[inline]
            fn decode<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>> {
                Ok(($($part::decode_part(from)?,)* $last::decode(from)?,))
            }
        }
    };
}

tuple!(; A 0);
tuple!(A 0; B 1);
tuple!(A 0 B 1; C 2);
tuple!(A 0 B 1 C 2; D 3);
tuple!(A 0 B 1 C 2 D 3; E 4);
tuple!(A 0 B 1 C 2 D 3 E 4; F 5);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5; G 6);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6; H 7);

impl<K: Key, const N: usize> Key for [K; N] {
    const KEY_WIDTH: Option<usize> = sum([K::KEY_WIDTH; N]);
    type Arg<'a> = [K::Arg<'a>; N];
    type Ref<'a> = [K::Ref<'a>; N];
    type Owned = [K::Owned; N];

    fn type_name() -> String {
        format!("[{};{N}]", K::type_name())
    }

    #[inline]
    fn encode_part(key: Self::Arg<'_>, out: &mut Vec<u8>) {
        K::encode_array(key, out);
    }

    #[inline]
    fn decode_part<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>> {
        K::decode_array(from)
    }

    #[inline]
    fn into_owned(key: Self::Ref<'_>) -> Self::Owned {
        key.map(K::into_owned)
    }

    #[inline]
    fn arg(key: &Self::Owned) -> Self::Arg<'_> {
        key.each_ref().map(K::arg)
    }
}

impl<K: Key> Key for Option<K> {
    type Arg<'a> = Option<K::Arg<'a>>;
    type Ref<'a> = Option<K::Ref<'a>>;
    type Owned = Option<K::Owned>;

    fn type_name() -> String {
        format!("option({})", K::type_name())
    }

    #[inline]
    fn encode_part(key: Self::Arg<'_>, out: &mut Vec<u8>) {
        out.push(u8::from(key.is_some()));
        if let Some(key) = key {
            K::encode_part(key, out);
        }
    }

    #[inline]
    fn decode_part<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>> {
        if is_some(from)? { K::decode_part(from).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn into_owned(key: Self::Ref<'_>) -> Self::Owned {
        key.map(K::into_owned)
    }

    #[inline]
    fn arg(key: &Self::Owned) -> Self::Arg<'_> {
        key.as_ref().map(K::arg)
    }

    #[inline]
    fn encode(key: Self::Arg<'_>, out: &mut Vec<u8>) {
        out.push(u8::from(key.is_some()));
        if let Some(key) = key {
            K::encode(key, out);
        }
    }

    #[inline]
    fn decode<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>> {
        if is_some(from)? { K::decode(from).map(Some) } else { Ok(None) }
    }
}

fn is_some(from: &mut KeyReader<'_>) -> Result<bool> {
    match from.array("option")? {
        [0] => Ok(false),
        [1] => Ok(true),
        [byte] => Err(wrong("option", format!("begins with byte {byte:#04x}"))),
    }
}

/// Every bit is changed, of an encoding that ends by itself.
impl<K: Key> Key for Reverse<K> {
    const KEY_WIDTH: Option<usize> = K::KEY_WIDTH;
    type Arg<'a> = Reverse<K::Arg<'a>>;
    type Ref<'a> = Reverse<K::Ref<'a>>;
    type Owned = Reverse<K::Owned>;

    fn type_name() -> String {
        format!("reverse({})", K::type_name())
    }

    fn encode_part(key: Self::Arg<'_>, out: &mut Vec<u8>) {
        let at = out.len();
        K::encode_part(key.0, out);
        out[at..].iter_mut().for_each(|byte| *byte = !*byte);
    }

    fn decode_part<'a>(from: &mut KeyReader<'a>) -> Result<Self::Ref<'a>> {
        from.invert();
        let key = K::decode_part(from)?;
        from.invert();
        Ok(Reverse(key))
    }

    fn into_owned(key: Self::Ref<'_>) -> Self::Owned {
        Reverse(K::into_owned(key.0))
    }

    fn arg(key: &Self::Owned) -> Self::Arg<'_> {
        Reverse(K::arg(&key.0))
    }
}
