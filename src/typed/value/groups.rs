//! Values that are made of values: tuples, arrays, options.

use super::Value;
use crate::error::Result;
use crate::typed::key::reader::wrong;

/// Length of parts one behind the other, if all have one.
const fn sum(widths: &[Option<usize>]) -> Option<usize> {
    let (mut n, mut sum) = (0, 0);
    while n < widths.len() {
        match widths[n] {
            Some(width) => sum += width,
            None => return None,
        }
        n += 1;
    }
    Some(sum)
}

/// Refuses, when it is compiled, parts that are read in place: nothing aligns them.
const fn unaligned<V: Value>() {
    assert!(
        V::ALIGN == 1,
        "`Pod` and `PodSlice` cannot be parts of other values: put one `Pod` around all"
    );
}

macro_rules! tuple {
    ($($part:ident $at:tt)* ; $last:ident $end:tt) => {
        impl<$($part: Value,)* $last: Value> Value for ($($part,)* $last,) {
            type Arg<'a> = ($($part::Arg<'a>,)* $last::Arg<'a>,);
            type Ref<'a> = ($($part::Ref<'a>,)* $last::Ref<'a>,);
            type Owned = ($($part::Owned,)* $last::Owned,);
            const WIDTH: Option<usize> = sum(&[$($part::WIDTH,)* $last::WIDTH]);

            fn type_name() -> String {
                let parts = [$($part::type_name(),)* $last::type_name()];
                format!("({})", parts.join(","))
            }

            #[inline]
            fn encode(value: Self::Arg<'_>, out: &mut Vec<u8>) -> Result<()> {
                const { $(unaligned::<$part>();)* unaligned::<$last>() };
                $($part::encode_part(value.$at, out)?;)*
                $last::encode(value.$end, out)
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
                #[allow(unused_mut)] // of one part
                let mut rest = bytes;
                Ok((
                    $($part::decode($part::split(&mut rest)?)?,)*
                    $last::decode(rest)?,
                ))
            }

            #[inline]
            fn decode_owned(bytes: &[u8]) -> Result<Self::Owned> {
                #[allow(unused_mut)] // of one part
                let mut rest = bytes;
                Ok((
                    $($part::decode_owned($part::split(&mut rest)?)?,)*
                    $last::decode_owned(rest)?,
                ))
            }

            #[inline]
            fn arg(value: &Self::Owned) -> Self::Arg<'_> {
                ($($part::arg(&value.$at),)* $last::arg(&value.$end),)
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

/// Reads an array of parts; nothing may be left.
fn array<'a, V: Value, T, const N: usize>(
    bytes: &'a [u8],
    decode: impl Fn(&'a [u8]) -> Result<T>,
) -> Result<[T; N]> {
    let (mut rest, mut values) = (bytes, [const { None }; N]);
    for value in &mut values {
        *value = Some(decode(V::split(&mut rest)?)?);
    }
    if !rest.is_empty() {
        let name = format!("[{};{N}]", V::type_name());
        return Err(wrong(&name, format!("{} bytes are left over", rest.len())));
    }
    Ok(values.map(|value| value.expect("each was read")))
}

impl<V: Value, const N: usize> Value for [V; N] {
    type Arg<'a> = [V::Arg<'a>; N];
    type Ref<'a> = [V::Ref<'a>; N];
    type Owned = [V::Owned; N];
    const WIDTH: Option<usize> = match V::WIDTH {
        Some(width) => Some(width * N),
        None => None,
    };

    fn type_name() -> String {
        format!("[{};{N}]", V::type_name())
    }

    #[inline]
    fn encode(value: Self::Arg<'_>, out: &mut Vec<u8>) -> Result<()> {
        const { unaligned::<V>() };
        value.into_iter().try_for_each(|part| V::encode_part(part, out))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
        array::<V, _, N>(bytes, V::decode)
    }

    #[inline]
    fn decode_owned(bytes: &[u8]) -> Result<Self::Owned> {
        array::<V, _, N>(bytes, V::decode_owned)
    }

    #[inline]
    fn arg(value: &Self::Owned) -> Self::Arg<'_> {
        value.each_ref().map(V::arg)
    }
}

/// What stands behind the first byte, if that says that there is something.
fn some(bytes: &[u8]) -> Result<Option<&[u8]>> {
    match bytes {
        [0] => Ok(None),
        [1, rest @ ..] => Ok(Some(rest)),
        [] => Err(wrong("option", "it is empty")),
        [0, ..] => Err(wrong("option", "bytes behind nothing")),
        [byte, ..] => Err(wrong("option", format!("begins with byte {byte:#04x}"))),
    }
}

impl<V: Value> Value for Option<V> {
    type Arg<'a> = Option<V::Arg<'a>>;
    type Ref<'a> = Option<V::Ref<'a>>;
    type Owned = Option<V::Owned>;

    fn type_name() -> String {
        format!("option({})", V::type_name())
    }

    #[inline]
    fn encode(value: Self::Arg<'_>, out: &mut Vec<u8>) -> Result<()> {
        const { unaligned::<V>() };
        out.push(u8::from(value.is_some()));
        value.map_or(Ok(()), |value| V::encode(value, out))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
        some(bytes)?.map(V::decode).transpose()
    }

    #[inline]
    fn decode_owned(bytes: &[u8]) -> Result<Self::Owned> {
        some(bytes)?.map(V::decode_owned).transpose()
    }

    #[inline]
    fn arg(value: &Self::Owned) -> Self::Arg<'_> {
        value.as_ref().map(V::arg)
    }
}
