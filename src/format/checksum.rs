//! Checksums: crc32 seeded with the page's own number, so that a page written to the wrong place
//! fails. They find damage, not malice: structure is checked besides.

use crate::types::PageId;
use crc32fast::Hasher;

/// Checksum of a page with a header: the page number, then everything behind the crc field.
pub fn page_crc(id: PageId, page: &[u8]) -> u32 {
    let mut h = Hasher::new();
    h.update(&id.0.to_le_bytes());
    h.update(&page[4..]);
    h.finalize()
}

/// The checksum of an overflow run that comes piece by piece.
pub struct RunCrc(Hasher);

impl RunCrc {
    /// Of the run that begins with this page.
    pub fn new(first: PageId) -> RunCrc {
        let mut h = Hasher::new();
        h.update(&first.0.to_le_bytes());
        RunCrc(h)
    }

    /// The next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The checksum of all of them.
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// Checksum of an overflow run: the number of its first page, then all its bytes, padding included.
/// The bytes may come in parts.
pub fn run_crc<'a>(first: PageId, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut crc = RunCrc::new(first);
    parts.into_iter().for_each(|part| crc.add(part));
    crc.finish()
}
