//! Values that their writer fills in where they will be taken from.

use super::write::Writer;
use crate::error::Error;

impl Writer {
    /// As [`Writer::put`], with a value of `len` bytes that `fill` writes. An error of it, or a
    /// panic, comes before anything has changed.
    pub fn put_filled<E: From<Error>>(
        &mut self,
        table: usize,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        self.check_changeable()?;
        let align = 1 << self.table(table).align_shift;
        let mut room = std::mem::take(&mut self.room);
        let value = room.zeroed(len, align)?;
        let there = fill(value).and_then(|()| Ok(self.put(table, key, value)?));
        self.room = room.kept();
        there
    }
}
