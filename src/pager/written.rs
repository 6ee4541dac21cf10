//! What a transaction has written: a page or an overflow run, by its checksum.

use crate::format::checksum::run_crc;
use crate::format::meta::ManifestEntry;
use crate::format::page;
use crate::types::PageId;

/// A page or an overflow run as it was written, by the checksum of all its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// A page with a header, which has the same checksum in it.
    Page {
        /// Checksum.
        crc: u32,
    },
    /// An overflow run.
    Run {
        /// Checksum.
        crc: u32,
        /// How many pages it has, never 0.
        pages: u32,
    },
}

impl From<&ManifestEntry> for Written {
    fn from(entry: &ManifestEntry) -> Written {
        Written::from_stored(entry.crc, entry.pages.into())
    }
}

impl Written {
    /// From the two numbers that stand in the list of pages and in a manifest.
    pub fn from_stored(crc: u32, run_pages: u32) -> Written {
        match run_pages {
            0 => Written::Page { crc },
            pages => Written::Run { crc, pages },
        }
    }

    /// The second of these numbers: the pages of a run, 0 for a page with a header.
    pub fn stored_pages(self) -> u32 {
        match self {
            Written::Page { .. } => 0,
            Written::Run { pages, .. } => pages,
        }
    }

    /// Checksum.
    pub fn crc(self) -> u32 {
        match self {
            Written::Page { crc } | Written::Run { crc, .. } => crc,
        }
    }

    /// How many pages of the file it takes.
    pub fn pages(self) -> u64 {
        u64::from(self.stored_pages().max(1))
    }

    /// Whether bytes from this place in the file are what was written.
    pub fn is(self, id: PageId, bytes: &[u8]) -> bool {
        match self {
            Written::Page { crc } => page::has_crc(id, bytes, crc),
            Written::Run { crc, .. } => run_crc(id, [bytes]) == crc,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        for written in [Written::Page { crc: 7 }, Written::Run { crc: 7, pages: 3 }] {
            assert_eq!(Written::from_stored(written.crc(), written.stored_pages()), written);
        }
        assert_eq!(Written::Page { crc: 1 }.pages(), 1);
        assert_eq!(Written::Run { crc: 1, pages: 3 }.pages(), 3);
    }

    #[test]
    fn tells_what_was_written_from_anything_else() {
        let mut bytes = vec![5; 4096];
        let page = Written::Page { crc: page::seal(PageId(9), &mut bytes) };
        let run = Written::Run { crc: run_crc(PageId(9), [&bytes[..]]), pages: 1 };
        for written in [page, run] {
            assert!(written.is(PageId(9), &bytes));
            assert!(!written.is(PageId(10), &bytes));
        }
        let mut other = bytes.clone();
        other[4000] ^= 1;
        assert!(!page.is(PageId(9), &other) && !run.is(PageId(9), &other));
        // The checksum in the header counts too, which the sum leaves out.
        let mut other = bytes.clone();
        other[0] ^= 1;
        assert!(!page.is(PageId(9), &other));
    }
}
