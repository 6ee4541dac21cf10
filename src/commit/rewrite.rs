//! Pages that may not be on the device although the kernel calls them clean: each is proved by its
//! checksum and written again, so that the next sync carries it (rule 20).

use super::engine::Engine;
use super::image::BuiltImage;
use crate::error::Result;
use crate::format::checksum::RunCrc;
use crate::format::meta::Phase;
use crate::pager::written::Written;
use crate::types::PageId;

/// Bytes of a run that are copied at a time.
const PIECE: usize = 1 << 20;

impl Engine {
    /// Rule 20: copies every page since D, checks the copy and writes the copy back, so that the
    /// next sync really carries it. False if a page is not what was built, or cannot be told.
    pub(super) fn rewrite_listed(&self, image: &BuiltImage) -> Result<bool> {
        if image.unlisted > self.durable().txn {
            return Ok(false);
        }
        let Ok(live) = self.live_records(image) else { return Ok(false) };
        let mut pages: Vec<(PageId, Written)> = live.into_iter().collect();
        pages.sort_unstable_by_key(|(id, _)| *id);
        for (id, w) in pages {
            if !self.rewrite_verified(id, w)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The pages of a manifest in the same way.
    pub(super) fn rewrite_manifest(&self, phase: &Phase) -> Result<bool> {
        let Phase::Sealed(manifest) = phase else { return Ok(true) };
        for m in manifest {
            if !self.rewrite_verified(m.page, m.into())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One page or run; false if it does not verify. A run may have any length: it is proved in the
    /// map first, and then copied and written back piece by piece. If it was another one meanwhile,
    /// the sum over the copies says so in the end; what was written until then is what stood there.
    fn rewrite_verified(&self, id: PageId, w: Written) -> Result<bool> {
        let Some(bytes) = self.file_bytes(id, w)? else { return Ok(false) };
        let at = id.0 * self.page_size as u64;
        let Written::Run { crc, .. } = w else {
            let copy = bytes.to_vec();
            return Ok(w.is(id, &copy) && self.rewrite(at, &copy)?);
        };
        if !w.is(id, bytes) {
            return Ok(false);
        }
        let mut sum = RunCrc::new(id);
        for (n, piece) in bytes.chunks(PIECE).enumerate() {
            let copy = piece.to_vec();
            sum.add(&copy);
            self.rewrite(at + (n * PIECE) as u64, &copy)?;
        }
        Ok(sum.finish() == crc)
    }

    /// Writes what has been proved; true, since it was.
    fn rewrite(&self, at: u64, copy: &[u8]) -> Result<bool> {
        self.platform.step("repair: page verified");
        self.platform.storage().write(at, copy)?;
        Ok(true)
    }

    /// The bytes of a page or run, None outside the file.
    pub(super) fn file_bytes(&self, id: PageId, w: Written) -> Result<Option<&[u8]>> {
        let size = self.page_size as u64;
        let len = w.pages() * size;
        let Some(at) = id.0.checked_mul(size) else { return Ok(None) };
        let view = self.platform.storage().refresh()?;
        Ok(view.slice(&*self.platform, at, len))
    }
}
