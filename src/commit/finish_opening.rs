//! The end of an opening (rule 26), before the first write transaction: what was found is made
//! durable, what was refused is erased.

use super::engine::Engine;
use super::open::set_refused;
use super::slots::{Chosen, Reader, RefusedMeta};
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta, Phase};
use crate::shared::words::{Content, Durable, FlushHeld, WriterHeld};
use crate::types::PageId;
use std::sync::atomic::Ordering;

/// Parts of the file, each with its place.
type Parts = Vec<(u64, Vec<u8>)>;

impl Engine {
    /// Rule 26: what was found on opening is made durable, page by page and slot by slot, before
    /// the first page is stored; then it goes into the other slot, over a refused newer meta, as
    /// the first of this session.
    pub(super) fn finish_opening(
        &self,
        writer: &impl WriterHeld,
        lock: &impl FlushHeld,
    ) -> Result<()> {
        let (bytes, meta) = match self.rewrite_chosen()? {
            Some(chosen) => chosen,
            None => self.choose_again(writer, lock)?,
        };
        let slot = self.durable().slot;
        self.write_slot(slot, &bytes)?;
        self.sync_pages(meta.page_count)?;
        self.platform.step("opening: chosen meta synced");
        self.words().record_slot(lock, slot, Content { txn: meta.txn, crc: meta::crc_of(&bytes) });
        self.keep_refused();
        let image = self.load_known_image()?;
        if image.meta.txn > meta.txn {
            // What was chosen first is still shown.
            self.roll_back(writer, lock, &image)?;
        } else {
            let last = self.words().last_id();
            self.store_in_other_slot(lock, &self.renewed(&meta, last)?)?;
        }
        self.platform.step("opening: other slot synced");
        self.shared.identity().opening.store(0, Ordering::SeqCst);
        Ok(())
    }

    /// The meta that the opening has chosen, with its bytes, its pages rewritten. None if it is not
    /// there any more, or one of its pages is not.
    fn rewrite_chosen(&self) -> Result<Option<(Vec<u8>, Meta)>> {
        let durable = self.durable();
        let bytes = self.slot_bytes(durable.slot)?;
        let Ok((meta, phase)) = self.decode_slot(&bytes, durable) else { return Ok(None) };
        // What was synced may have rotted since: it stays as it is, for whoever reads the page to
        // be told.
        let synced = self.words().slot(durable.slot)
            == Some(Content { txn: meta.txn, crc: meta::crc_of(&bytes) });
        let whole = synced || self.rewrite_manifest(&phase)?;
        Ok(whole.then_some((bytes, meta)))
    }

    /// What the opening has found was only in the page cache, and has left it: its write-back had
    /// failed. The other meta is chosen instead, and D goes back to it; W stays, for the roll-back.
    /// A meta that has come to light in the slot and is newer than D was does not count.
    fn choose_again(
        &self,
        writer: &impl WriterHeld,
        lock: &impl FlushHeld,
    ) -> Result<(Vec<u8>, Meta)> {
        let words = self.words();
        let first = self.durable();
        let changed =
            || Error::corrupt(PageId(first.slot as u64), "changed since the database was opened");
        if words.slot(first.slot).is_some() {
            return Err(changed());
        }
        let (platform, page_size) = (&*self.platform, self.page_size);
        let list_limit = self.options.list_limit;
        let mut reader = Reader { platform, pages: 0, page_size, list_limit };
        let mut slots = reader.slots()?;
        words.raise_last_id(writer, slots.last_id());
        for place in &mut slots.metas {
            place.take_if(|found| found.meta.txn > first.txn);
        }
        let Chosen { found, slot, refused, .. } = reader.choose(&slots, [None; 2])?;
        words.raise_page_high(writer, found.meta.page_count);
        words.set_id_limit(lock, found.meta.id_limit);
        set_refused(&self.shared, refused);
        words.set_durable(lock, Durable { txn: found.meta.txn, slot });
        self.platform.step("opening: chosen again");
        self.rewrite_chosen()?.ok_or_else(changed)
    }

    /// A refused meta that is erased next may be that of an acknowledged commit, of which a page
    /// has rotted. It and the pages of its manifest are all that the chosen snapshot has not got, 4
    /// MiB at most: they are kept beside the file, for whoever looks. Where that fails the database
    /// is written to all the same.
    fn keep_refused(&self) {
        if let Some(refused) = self.refused_meta()
            && let Ok(Some(parts)) = self.refused_parts(refused)
        {
            self.platform.keep_beside(&parts);
        }
    }

    /// Both slots, and the pages that the refused meta in one of them lists. None if another stands
    /// there already: an earlier attempt to finish the opening has kept it.
    fn refused_parts(&self, refused: RefusedMeta) -> Result<Option<Parts>> {
        let size = self.page_size as u64;
        let mut parts = vec![(0, self.slot_bytes(0)?), (size, self.slot_bytes(1)?)];
        match Meta::decode(&parts[refused.slot].1) {
            Ok((meta, _)) if meta.txn.0 != refused.txn => return Ok(None),
            Ok((_, Phase::Sealed(manifest))) => {
                for m in manifest {
                    let bytes = self.file_bytes(m.page, (&m).into())?;
                    parts.extend(bytes.map(|bytes| (m.page.0 * size, bytes.to_vec())));
                }
            }
            _ => {}
        }
        Ok(Some(parts))
    }
}
