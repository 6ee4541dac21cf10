//! Checksums of pages that are read, where the handle asks for that.
//!
//! A page that a snapshot sees never changes, so a checksum that does not fit is damage, whoever
//! writes meanwhile.
//!
//! - P1: what was proved is remembered by the checksum itself: a page that is used again, by
//!   whatever process, has another one, and is proved anew.
//! - P2: nothing counts as proved that was not compared, or did not fit.
//! - P3: who always proves does so at each descent.
//! - P4: a value on pages of its own is proved as a whole, by the checksum that leads to it.
//! - P5: every reader proves, also one that has moved to a newer snapshot, or has outgrown its map;
//!   and it looks in the map as it is now.
//! - P6: a write transaction proves the pages of its base, and the list of named snapshots before
//!   it begins.
//!
//! Thread rules: any thread; two that come to a page at the same time both prove it.

use crate::error::{Error, Result};
use crate::format::checksum::run_crc;
use crate::format::fields::header;
use crate::format::overflow::OverflowRef;
use crate::format::page;
use crate::types::PageId;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether pages are compared with their checksums when they are read
/// ([`crate::Builder::read_checksums`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ReadChecksums {
    /// Never: [`crate::Database::check`] does it. What is read is checked for its structure only.
    #[default]
    Off,
    /// When this handle reads a page for the first time since it was written. Damage that comes
    /// later, as when the memory has dropped the page and reads it again, is not seen.
    FirstTouch,
    /// At each descent that comes to the page.
    Always,
}

/// Parts of the table of what was proved: each is twice as long as the one before.
const PARTS: usize = 48;

/// What one handle compares, and has compared.
pub struct ReadChecks {
    kind: ReadChecksums,
    /// A word for each page: the checksum with which it was proved last. The part `n` has the pages
    /// from 2^n on, and is made for the first of them.
    proved: [OnceLock<Box<[AtomicU32]>>; PARTS],
}

impl ReadChecks {
    pub fn new(kind: ReadChecksums) -> ReadChecks {
        ReadChecks { kind, proved: [const { OnceLock::new() }; PARTS] }
    }

    /// Whether any page is to be compared.
    #[inline(always)]
    pub fn are_on(&self) -> bool {
        self.kind != ReadChecksums::Off
    }

    /// A page with a header; it is inside of the file.
    pub fn page(&self, id: PageId, page: &[u8]) -> Result<()> {
        self.prove(id, header::CRC.of(page) as u32, || page::verify(id, page))
    }

    /// A value on pages of its own, which are inside of the file.
    pub fn run(&self, run: &OverflowRef, pages: &[u8]) -> Result<()> {
        self.prove(run.first, run.crc, || match run_crc(run.first, [pages]) {
            crc if crc == run.crc => Ok(()),
            crc => {
                let stored = run.crc;
                let detail = format!("checksum {stored:08x} stored, {crc:08x} computed");
                Err(Error::corrupt(run.first, detail))
            }
        })
    }

    fn prove(&self, id: PageId, crc: u32, verify: impl FnOnce() -> Result<()>) -> Result<()> {
        match self.kind {
            ReadChecksums::Off => Ok(()),
            ReadChecksums::Always => verify(),
            ReadChecksums::FirstTouch => {
                let Some(word) = self.word(id) else { return verify() };
                // Not 0, which means that nothing is proved. What a page with the one is taken for
                // when it has the other is one in four billion.
                let mark = crc.max(1);
                if word.load(Ordering::Relaxed) != mark {
                    verify()?;
                    word.store(mark, Ordering::Relaxed);
                }
                Ok(())
            }
        }
    }

    /// None where there is no memory for the part: a page far out in a sparse file, which is proved
    /// at each look.
    fn word(&self, id: PageId) -> Option<&AtomicU32> {
        let part = id.0.checked_ilog2()? as usize;
        // Zeros take no memory before they are stored to.
        let place = self.proved.get(part)?;
        let words = match place.get() {
            Some(words) => words,
            None => {
                let words = bytemuck::try_zeroed_slice_box(1 << part).ok()?;
                place.get_or_init(|| words)
            }
        };
        words.get((id.0 - (1 << part)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::page::seal;

    fn sealed(id: PageId, fill: u8) -> Vec<u8> {
        let mut page = vec![fill; 4096];
        seal(id, &mut page);
        page
    }

    #[test]
    fn a_page_is_proved_once_until_it_is_another() {
        let checks = ReadChecks::new(ReadChecksums::FirstTouch);
        for id in [2, 3, 4, 1_000, 1 << 20].map(PageId) {
            let mut first = sealed(id, 7);
            checks.page(id, &first).unwrap();
            first[100] ^= 1;
            checks.page(id, &first).unwrap();
            // Used again, and damaged before anybody has read it.
            let mut second = sealed(id, 8);
            second[100] ^= 1;
            assert!(checks.page(id, &second).is_err());
            assert!(checks.page(id, &second).is_err(), "what is not proved is not remembered");
            second[100] ^= 1;
            checks.page(id, &second).unwrap();
            assert!(checks.page(id, &first).is_err(), "and the other one is forgotten");
        }
        let id = PageId(9);
        let mut page = sealed(id, 1);
        page[100] ^= 1;
        assert!(ReadChecks::new(ReadChecksums::Always).page(id, &page).is_err());
        ReadChecks::new(ReadChecksums::Off).page(id, &page).unwrap();
    }

    /// No machine has the memory for the table: a page of a sparse file is proved at each look.
    #[test]
    fn a_page_far_out_is_proved_at_each_look() {
        let checks = ReadChecks::new(ReadChecksums::FirstTouch);
        for id in [1 << 46, (1 << 48) - 1, u64::MAX >> 12].map(PageId) {
            let mut page = sealed(id, 7);
            checks.page(id, &page).unwrap();
            page[100] ^= 1;
            assert!(checks.page(id, &page).is_err(), "nothing is remembered of it");
            page[100] ^= 1;
            checks.page(id, &page).unwrap();
        }
    }

    #[test]
    fn runs_are_proved_by_what_leads_to_them() {
        use crate::types::TxnId;
        let first = PageId(5);
        let mut pages = vec![3; 8192];
        let crc = run_crc(first, [&pages[..]]);
        let run = OverflowRef { first, len: 8000, birth: TxnId(1), crc };
        let always = ReadChecks::new(ReadChecksums::Always);
        let once = ReadChecks::new(ReadChecksums::FirstTouch);
        for checks in [&always, &once] {
            checks.run(&run, &pages).unwrap();
        }
        pages[8191] ^= 1;
        assert!(always.run(&run, &pages).is_err());
        once.run(&run, &pages).unwrap();
        let other = OverflowRef { crc: crc ^ 1, ..run };
        assert!(once.run(&other, &pages).is_err());
    }
}
