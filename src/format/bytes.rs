//! Little-endian integers in byte slices. Every getter is checked: outside the slice it yields
//! None, which the callers turn into an error that names the page.

/// Integer of 2 bytes at `at`.
#[inline]
pub fn get_u16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

/// Integer of 4 bytes at `at`.
#[inline]
pub fn get_u32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

/// Integer of 6 bytes at `at`.
#[inline]
pub fn get_u48(b: &[u8], at: usize) -> Option<u64> {
    let six: &[u8; 6] = b.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes([six[0], six[1], six[2], six[3], six[4], six[5], 0, 0]))
}

/// Integer of 8 bytes at `at`.
#[inline]
pub fn get_u64(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

/// Stores an integer of 2 bytes. Panics outside the slice: only called on buffers of our own.
#[inline]
pub fn put_u16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_le_bytes());
}

/// Stores an integer of 4 bytes.
#[inline]
pub fn put_u32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_le_bytes());
}

/// Stores the low 6 bytes of an integer.
#[inline]
pub fn put_u48(b: &mut [u8], at: usize, v: u64) {
    debug_assert!(v < 1 << 48);
    b[at..at + 6].copy_from_slice(&v.to_le_bytes()[..6]);
}

/// Stores an integer of 8 bytes.
#[inline]
pub fn put_u64(b: &mut [u8], at: usize, v: u64) {
    b[at..at + 8].copy_from_slice(&v.to_le_bytes());
}
