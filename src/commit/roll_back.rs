//! Rolling back what was built and cannot be proved (rule 22).

use super::engine::Engine;
use super::image::{BuiltImage, check_known};
use super::snapshot::encode_snapshot;
use crate::error::Result;
use crate::format::meta::{self, Meta, Phase};
use crate::shared::words::{Content, Durable, FlushHeld, WriterHeld};
use crate::types::TxnId;

impl Engine {
    /// Rule 22: what was built after D cannot be saved. D's content goes into the other slot too,
    /// with a higher limit of ids; then it becomes the newest transaction again under a new id, so
    /// that neither W nor V ever goes back.
    pub(super) fn roll_back(
        &self,
        writer: &impl WriterHeld,
        lock: &impl FlushHeld,
        image: &BuiltImage,
    ) -> Result<()> {
        let words = self.words();
        let durable = self.durable();
        let dead = image.meta.txn;
        let again = self.next_id(dead)?;
        let (meta, _) = self.decode_slot(&self.slot_bytes(durable.slot)?, durable)?;
        let meta = self.renewed(&meta, again)?;
        self.store_in_other_slot(lock, &meta)?;
        self.platform.step("repair: newer meta erased");
        words.bury_ids(writer, lock, durable.txn, again);
        self.platform.step("repair: ids dead");
        let meta = Meta { txn: again, ..meta };
        let snapshot = encode_snapshot(&meta);
        // What is visible now, and is not after that, is dead.
        let again = BuiltImage { meta, unlisted: TxnId::NONE, judged_at: again, ..*image };
        self.store_image(writer, &again);
        self.shared.publish_flushed(&snapshot)?;
        words.start_list_at(lock, image.list_end, image.list_bytes);
        self.observer.rolled_back(dead, durable.txn);
        Ok(())
    }

    /// The same content as this session's, with a limit of ids above `used` (rules 28, 29).
    pub(super) fn renewed(&self, meta: &Meta, used: TxnId) -> Result<Meta> {
        check_known(meta)?;
        Ok(meta.renewed(self.session, used, self.ids_ahead()))
    }

    /// Puts D's renewed content into the slot that does not hold it, and syncs it: then D stands
    /// there.
    pub(super) fn store_in_other_slot(&self, lock: &impl FlushHeld, meta: &Meta) -> Result<()> {
        let slot = self.durable().slot ^ 1;
        let bytes = meta.encode(&Phase::TwoPhase);
        self.write_slot(slot, &bytes[..])?;
        self.sync_pages(meta.page_count)?;
        self.platform.step("repair: other slot synced");
        let words = self.words();
        words.record_slot(lock, slot, Content { txn: meta.txn, crc: meta::crc_of(&bytes[..]) });
        words.set_durable(lock, Durable { txn: meta.txn, slot });
        words.set_id_limit(lock, meta.id_limit);
        Ok(())
    }
}
