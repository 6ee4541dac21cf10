//! Slices of plain old data that are made where they are put from.

use super::encoded::with_key;
use super::write::TypedTableMut;
use crate::error::{Error, Result};
use crate::typed::key::Key;
use crate::typed::value::Value;
use crate::typed::value::pod::PodSlice;

impl<K: Key, T: bytemuck::Pod> TypedTableMut<'_, K, PodSlice<T>> {
    /// As [`TypedTableMut::put`], with a value of `len` elements that `fill` writes into a slice,
    /// all zero before: as [`TableMut::put_with`](crate::TableMut::put_with), which says what it
    /// saves.
    /// [`Error::Unaligned`](crate::Error::Unaligned) where the table was made without the alignment
    /// of `T`.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use recto::typed::{PodSlice, TableDef};
    /// const SQUARES: TableDef<u32, PodSlice<f32>> = TableDef::new("squares");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut squares = txn.typed_mut(&SQUARES)?;
    /// squares.put_with(3, 4, |numbers| {
    ///     numbers.iter_mut().zip(0u8..).for_each(|(x, n)| *x = f32::from(n).powi(2));
    /// })?;
    /// assert_eq!(squares.get(3)?, Some(&[0.0, 1.0, 4.0, 9.0][..]));
    /// # Ok(()) }
    /// ```
    pub fn put_with(
        &mut self,
        key: K::Arg<'_>,
        len: usize,
        fill: impl FnOnce(&mut [T]),
    ) -> Result<bool> {
        self.try_put_with(key, len, |values| {
            fill(values);
            Ok(())
        })
    }

    /// The same with a `fill` that may fail: nothing has changed then, and its error is that of the
    /// call. Those of the transaction become errors of its type.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use recto::typed::{PodSlice, TableDef};
    /// use std::io::Read;
    /// const PIECES: TableDef<u32, PodSlice<u8>> = TableDef::new("pieces");
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut pieces = txn.typed_mut(&PIECES)?;
    /// let mut input = &b"eight by"[..]; // a file
    /// pieces.try_put_with(1, 8, |piece| input.read_exact(piece))?;
    /// assert!(pieces.try_put_with(2, 8, |piece| input.read_exact(piece)).is_err());
    /// assert_eq!(pieces.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn try_put_with<E: From<Error>>(
        &mut self,
        key: K::Arg<'_>,
        len: usize,
        fill: impl FnOnce(&mut [T]) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        let bytes = len.saturating_mul(size_of::<T>());
        with_key::<K, _>(key, |key| {
            self.bytes_mut().try_put_with(key, bytes, |bytes| {
                let values = bytemuck::try_cast_slice_mut(bytes).map_err(|_| unaligned::<T>())?;
                fill(values)
            })
        })
    }
}

fn unaligned<T: bytemuck::Pod>() -> Error {
    Error::Unaligned { type_name: PodSlice::<T>::type_name(), align: PodSlice::<T>::ALIGN }
}
