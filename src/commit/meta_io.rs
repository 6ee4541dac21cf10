//! The two meta pages of an open database: read while others may store them, written whole, synced.

use super::engine::Engine;
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta, Phase};
use crate::shared::words::Durable;
use crate::types::{PageId, TxnId};

impl Engine {
    /// The newest transaction that is known to survive power loss. Rule 27: as long as what an
    /// opening has chosen is not known to have been synced, that is at most what the other slot
    /// holds, none if it cannot be read.
    pub(crate) fn known_durable(&self) -> TxnId {
        let Durable { txn, slot } = self.durable();
        if !self.opening_is_pending() || self.words().slot(slot).is_some() {
            return txn;
        }
        let other = self.slot_bytes(slot ^ 1).unwrap_or_default();
        Meta::decode(&other).map_or(TxnId::NONE, |(meta, _)| meta.txn.min(txn))
    }

    /// Page count of the meta in a slot; none if it cannot be read.
    pub(super) fn pages_of_slot(&self, slot: usize) -> u64 {
        let bytes = self.slot_bytes(slot).unwrap_or_default();
        Meta::decode(&bytes).map_or(0, |(meta, _)| meta.page_count)
    }

    pub(crate) fn slot_bytes(&self, slot: usize) -> Result<Vec<u8>> {
        let view = self.platform.storage().refresh()?;
        let at = (slot * self.page_size) as u64;
        // A flush may store it meanwhile.
        view.copy(&*self.platform, at, meta::SIZE as u64)
            .ok_or_else(|| Error::corrupt(PageId(slot as u64), "meta page outside the file"))
    }

    pub(super) fn decode_slot(&self, bytes: &[u8], expect: Durable) -> Result<(Meta, Phase)> {
        match Meta::decode(bytes) {
            Ok((meta, phase)) if meta.txn == expect.txn => Ok((meta, phase)),
            _ => Err(Error::corrupt(
                PageId(expect.slot as u64),
                "the durable meta page is not what was made durable",
            )),
        }
    }

    /// Writes a meta page whole: what stood in its place may have been anything.
    pub(super) fn write_slot(&self, slot: usize, bytes: &[u8]) -> Result<()> {
        let mut page = vec![0; self.page_size];
        page[..bytes.len()].copy_from_slice(bytes);
        self.platform.storage().write((slot * self.page_size) as u64, &page)
    }

    pub(super) fn sync_pages(&self, page_count: u64) -> Result<()> {
        let end = page_count * self.page_size as u64;
        self.platform.storage().sync(0, end).inspect_err(|_| self.words().note_sync_failed())
    }
}
