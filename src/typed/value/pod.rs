//! Plain old data, as it lies in memory: read in place.

use super::Value;
use crate::error::{Error, Result};
use crate::typed::key::reader::wrong;
use bytemuck::{Pod as Plain, PodCastError};
use std::any::TypeId;
use std::marker::PhantomData;

/// A value of plain old data (`bytemuck::Pod`), read as `&T` without a copy, for as long as the
/// transaction lives.
///
/// The table has to promise the alignment of `T` to its values, which a table made by opening a
/// [`TableDef`](crate::typed::TableDef) does; one that does not is refused when it is opened. The
/// bytes are those of memory, so of little-endian numbers wherever recto is used; a change of the
/// type's size is noticed when the table is opened, another change of its fields is not:
/// [`TableDef::value_name`](crate::typed::TableDef::value_name) gives it a name that is.
///
/// It is a value of its own, and no part of another, where nothing would align it:
///
/// ```compile_fail
/// # fn main() -> recto::Result<()> {
/// # use recto::typed::{Pod, TableDef};
/// const TABLE: TableDef<u64, (u8, Pod<f64>)> = TableDef::new("table");
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// txn.typed_mut(&TABLE)?.put(7, (1, &0.5))?;
/// # Ok(()) }
/// ```
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{Pod, TableDef};
///
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Position {
///     x: f64,
///     y: f64,
/// }
///
/// const PLACES: TableDef<&str, Pod<Position>> = TableDef::new("places");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// txn.typed_mut(&PLACES)?.put("Oslo", &Position { x: 10.75, y: 59.91 })?;
/// txn.commit()?;
/// let txn = db.read()?;
/// let oslo: Option<&Position> = txn.typed(&PLACES)?.get("Oslo")?;
/// assert_eq!(oslo.map(|place| place.y), Some(59.91));
/// # Ok(()) }
/// ```
pub struct Pod<T>(PhantomData<fn() -> T>);

/// A value of any number of plain old data (`bytemuck::Pod`), read as `&[T]` without a copy. As
/// [`Pod`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::typed::{PodSlice, TableDef};
/// const EMBEDDINGS: TableDef<u64, PodSlice<f32>> = TableDef::new("embeddings");
/// # let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// let embeddings = txn.open_typed(&EMBEDDINGS)?;
/// embeddings.put(&mut txn, 7, &[0.25, -1.0])?;
/// let seven: Option<&[f32]> = embeddings.get(&txn, 7)?;
/// assert_eq!(seven, Some(&[0.25, -1.0][..]));
/// # Ok(()) }
/// ```
pub struct PodSlice<T>(PhantomData<fn() -> T>);

/// A name that stays: the numbers have their own, other types are known by their layout.
fn name<T: Plain>() -> String {
    macro_rules! among {
        ($($number:ident)*) => {
            [$((TypeId::of::<$number>(), stringify!($number))),*]
        };
    }
    let known = among!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);
    match known.iter().find(|(id, _)| *id == TypeId::of::<T>()) {
        Some((_, name)) => (*name).into(),
        None => format!("{} bytes aligned to {}", size_of::<T>(), align_of::<T>()),
    }
}

fn refused<V: Value>(error: PodCastError, len: usize) -> Error {
    match error {
        PodCastError::TargetAlignmentGreaterAndInputNotAligned => {
            Error::Unaligned { type_name: V::type_name(), align: V::ALIGN }
        }
        _ => wrong(&V::type_name(), format!("{len} bytes do not fit it")),
    }
}

impl<T: Plain> Value for Pod<T> {
    type Arg<'a> = &'a T;
    type Ref<'a> = &'a T;
    type Owned = T;
    const WIDTH: Option<usize> = Some(size_of::<T>());
    const ALIGN: usize = align_of::<T>();

    fn type_name() -> String {
        format!("pod({})", name::<T>())
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(bytemuck::bytes_of(value));
        Ok(())
    }

    #[inline]
    fn with_bytes<R>(value: &T, _: &mut Vec<u8>, f: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
        f(bytemuck::bytes_of(value))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<&T> {
        bytemuck::try_from_bytes(bytes).map_err(|e| refused::<Self>(e, bytes.len()))
    }

    #[inline]
    fn decode_owned(bytes: &[u8]) -> Result<T> {
        bytemuck::try_pod_read_unaligned(bytes).map_err(|e| refused::<Self>(e, bytes.len()))
    }

    #[inline]
    fn arg(value: &T) -> &T {
        value
    }
}

impl<T: Plain> Value for PodSlice<T> {
    type Arg<'a> = &'a [T];
    type Ref<'a> = &'a [T];
    type Owned = Vec<T>;
    const ALIGN: usize = align_of::<T>();

    fn type_name() -> String {
        format!("pods({})", name::<T>())
    }

    fn encode(value: &[T], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(bytemuck::cast_slice(value));
        Ok(())
    }

    #[inline]
    fn with_bytes<R>(
        value: &[T],
        _: &mut Vec<u8>,
        f: impl FnOnce(&[u8]) -> Result<R>,
    ) -> Result<R> {
        f(bytemuck::cast_slice(value))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<&[T]> {
        const { assert!(size_of::<T>() > 0, "a slice of what has no size has no length in a table") };
        if bytes.is_empty() {
            return Ok(&[]); // wherever it stands
        }
        bytemuck::try_cast_slice(bytes).map_err(|e| refused::<Self>(e, bytes.len()))
    }

    #[inline]
    fn decode_owned(bytes: &[u8]) -> Result<Vec<T>> {
        const { assert!(size_of::<T>() > 0, "a slice of what has no size has no length in a table") };
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return Err(refused::<Self>(PodCastError::OutputSliceWouldHaveSlop, bytes.len()));
        }
        Ok(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
    }

    #[inline]
    fn arg(value: &Vec<T>) -> &[T] {
        value
    }
}
