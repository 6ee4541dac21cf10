//! The reference from a leaf to an overflow run: a value too large for a leaf, on whole pages side
//! by side that hold nothing else.
//!
//! A decoded reference is plausible in itself (place, length); whether its pages lie inside the
//! file is for the page source to say.

use super::fields::{self, overflow as o};
use crate::types::{PageId, TxnId};

/// Bytes of an encoded reference.
pub const SIZE: usize = fields::OVERFLOW_SIZE;
/// Values are shorter than this.
pub const VALUE_LIMIT: u64 = 1 << 47;

/// Where an overflow value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverflowRef {
    /// First page of the run.
    pub first: PageId,
    /// Length of the value in bytes, more than 0.
    pub len: u64,
    /// Transaction that wrote the run.
    pub birth: TxnId,
    /// Checksum over the number of the first page and all bytes of the run.
    pub crc: u32,
}

impl OverflowRef {
    /// The bytes of this reference.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        o::FIRST.put(&mut out, 0, self.first.0);
        o::LEN.put(&mut out, 0, self.len);
        o::BIRTH.put(&mut out, 0, self.birth.0);
        o::CRC.put(&mut out, 0, self.crc.into());
        out
    }

    /// Decodes exactly [`SIZE`] bytes, and says what is wrong with a reference that cannot be.
    pub fn decode(b: &[u8]) -> Result<OverflowRef, &'static str> {
        let fields = [o::FIRST, o::LEN, o::BIRTH, o::CRC, o::ZERO].map(|field| field.get(b, 0));
        let [Some(first), Some(len), Some(birth), Some(crc), Some(zero)] = fields else {
            return Err("overflow reference cut off");
        };
        if b.len() != SIZE || zero != 0 {
            return Err("overflow reference with bytes that must be zero");
        }
        if !(2..=PageId::MAX.0).contains(&first) {
            return Err("overflow run at an impossible page");
        }
        if len == 0 || len >= VALUE_LIMIT {
            return Err("overflow value of an impossible length");
        }
        Ok(OverflowRef { first: PageId(first), len, birth: TxnId(birth), crc: crc as u32 })
    }

    /// Pages of the run.
    #[inline]
    pub fn pages(&self, page_size: usize) -> u64 {
        self.len.div_ceil(page_size as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::bytes::put_u64;

    #[test]
    fn round_trip_and_refusals() {
        let r = OverflowRef { first: PageId(77), len: 4097, birth: TxnId(5), crc: 0xdead_beef };
        let bytes = r.encode();
        assert_eq!(OverflowRef::decode(&bytes), Ok(r));
        assert_eq!((r.pages(4096), r.pages(8192)), (2, 1));
        assert!(OverflowRef::decode(&bytes[..31]).is_err());
        let with = |at: usize, v: u64| {
            let mut b = bytes;
            put_u64(&mut b, at, v);
            OverflowRef::decode(&b)
        };
        assert!(with(0, 1).is_err() && with(0, 1 << 48).is_err() && with(0, 2).is_ok());
        assert!(with(8, 0).is_err() && with(8, 1 << 47).is_err() && with(8, (1 << 47) - 1).is_ok());
        assert!(with(24, 1 << 32).is_err());
    }
}
