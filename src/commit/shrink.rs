//! Giving the end of the file back (rule 7).

use super::engine::Engine;
use crate::error::Result;
use crate::format::meta::Meta;
use crate::space::pins::Pins;
use crate::types::TxnId;

impl Engine {
    /// Rule 7: cuts the file when much of its end belongs to nothing, nobody reads an older
    /// snapshot, and both metas on disk have the low mark. `len` is the file's length.
    pub(super) fn shrink(&self, base: &Meta, len: u64, pins: &Pins) -> Result<()> {
        let size = self.page_size as u64;
        let used = base.page_count * size;
        let step = self.options.pages.growth_step;
        if len <= used + (used / 4).max(16 * step) || !pins.only_reader_is(base.txn) {
            return Ok(());
        }
        let settled = self.durable().txn == base.txn
            && self.shared.visible() == base.txn
            && self.words().flushing() == TxnId::NONE;
        let early = !settled || !self.both_slots_fit(base.page_count);
        if early {
            return Ok(());
        }
        let keep = used + (used / 16).max(4 * step);
        self.platform.step("shrink: before truncate");
        self.platform.storage().truncate(keep.next_multiple_of(size))?;
        self.observer.cut(len, keep.next_multiple_of(size));
        Ok(())
    }

    /// Whether both metas on disk can be read and need no more than `page_count` pages (rule 7).
    fn both_slots_fit(&self, page_count: u64) -> bool {
        (0..2).all(|slot| (1..=page_count).contains(&self.pages_of_slot(slot)))
    }
}
