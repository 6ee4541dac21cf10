//! Files of which only the beginning was ever written, and that say they are far longer: what takes
//! memory for each page that a file counts takes more than there is.

use super::Case;
use super::bytes::{META, get, put};
use super::exercise::Wrong;
use super::repair;
use fastrand::Rng;
use recto::inspect::{CheckOptions, Pages, check};
use recto::{Builder, ReadChecksums, Result as Answer};
use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// An image, and zeros behind it.
struct Sparse {
    image: Vec<u8>,
    len: u64,
}

impl Pages for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Answer<Cow<'_, [u8]>> {
        let start = offset.min(self.image.len() as u64) as usize;
        let there = &self.image[start..self.image.len().min(start + len)];
        Ok(Cow::Owned([there, &vec![0; len - there.len()]].concat()))
    }
}

impl Case {
    /// Of an image that passes the check: the check of the same one with any page count ends, and
    /// takes no memory for pages that are not there.
    pub(super) fn is_checked_far_out(&self, rng: &mut Rng) {
        let pages = 1 << rng.u32(24..47);
        let len = pages * self.options.page_size() as u64;
        let file = Sparse { image: self.counting(pages), len };
        // A slot may be of a newer version.
        let _ = check(&file, CheckOptions::default());
    }

    /// A real one whose list of tables is said to be at its end, read with checksums: the page is
    /// empty, which is an error like any other.
    pub(super) fn is_read_far_out(&self, place: &Path, rng: &mut Rng) -> Result<(), Wrong> {
        let failed = |e: std::io::Error| format!("cannot set up: {e}");
        let size = self.options.page_size();
        let metas = self.whole_metas();
        if metas.iter().any(|meta| get(&self.image, meta + 48 + 40, 2) == 0) {
            // There is no table.
            return Ok(());
        }
        let pages = (1u64 << rng.u32(41..43)) / size as u64;
        let mut image = self.counting(pages);
        for meta in metas {
            put(&mut image, meta + 48, 8, pages - 1 - rng.u64(..4));
            repair::meta(&mut image[meta..meta + META]);
        }
        let path = place.join("far.recto");
        let _ = std::fs::remove_file(place.join("far.recto-lock"));
        let mut file = File::create(&path).map_err(failed)?;
        file.write_all(&image).map_err(failed)?;
        file.set_len(pages * size as u64).map_err(failed)?;
        for when in [ReadChecksums::FirstTouch, ReadChecksums::Always] {
            // SAFETY: the files are this process's own, and nobody else knows them.
            let db = unsafe { Builder::default().read_checksums(when).open(&path) };
            // A slot may be of a newer version.
            let Ok(db) = db else { continue };
            let tables = db.read().and_then(|txn| txn.tables());
            if !matches!(tables, Err(recto::Error::Corrupt { .. })) {
                return Err(format!("an empty page far out is read as {tables:?}"));
            }
        }
        std::fs::remove_file(&path).map_err(failed)
    }

    /// The image, which counts so many pages, by each meta that is whole.
    fn counting(&self, pages: u64) -> Vec<u8> {
        let mut image = self.image.clone();
        for meta in self.whole_metas() {
            put(&mut image, meta + 40, 8, pages);
            repair::meta(&mut image[meta..meta + META]);
        }
        image
    }

    fn whole_metas(&self) -> Vec<usize> {
        let is_whole = |&meta: &usize| {
            let bytes = self.image.get(meta..meta + META);
            bytes.is_some_and(|bytes| {
                let mut mended = bytes.to_vec();
                repair::meta(&mut mended);
                mended == bytes
            })
        };
        [0, self.options.page_size()].into_iter().filter(is_whole).collect()
    }
}
