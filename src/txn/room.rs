//! A place where values are filled in, which is used again.

use crate::error::{Error, Result};

/// A larger room is given back at once, so that one large value does not stay until the end.
const KEPT_BYTES: usize = 2 << 20;

/// Where values are filled in, one after the other.
#[derive(Default)]
pub struct Room(Vec<u8>);

impl Room {
    /// So many bytes, all zero, at a multiple of `align` bytes.
    pub fn zeroed(&mut self, len: usize, align: usize) -> Result<&mut [u8]> {
        let all = len.saturating_add(align - 1);
        self.0.clear();
        if self.0.try_reserve_exact(all).is_err() {
            return Err(Error::ValueTooLong { len: len as u64 });
        }
        self.0.resize(all, 0);
        let from = self.0.as_ptr().align_offset(align);
        self.0.get_mut(from..from + len).ok_or(Error::ValueTooLong { len: len as u64 })
    }

    /// The room for the next value.
    pub fn kept(self) -> Room {
        if self.0.capacity() <= KEPT_BYTES { self } else { Room::default() }
    }
}
