//! Repair (rules 19 to 23) and the end of an opening (rule 26): after a failed sync, a process that died while it led a flush, or an
//! opening that could not rely on the shared memory.
//!
//! Runs under the writer and the flush lock: no reuse and no new writer meanwhile. Readers go on. Any error or death inside leaves the
//! mark standing, and the next writer starts again.

use super::Engine;
use super::flush::FlushLock;
use super::lock::WriterLock;
use super::open::set_refused;
use super::slots::{Chosen, Reader, RefusedMeta, fits};
use super::state::{BuiltImage, Written, crc_of, describe, verifies};
use crate::error::{Error, Result};
use crate::format::checksum::RunCrc;
use crate::format::meta::{self, Meta, Phase};
use crate::shared::words::{Content, Durable, FlushHeld, RepairMark, WriterHeld};
use crate::types::{PageId, TxnId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Parts of the file, each with its place.
type Parts = Vec<(u64, Vec<u8>)>;

/// Bytes of a run that are copied at a time.
const PIECE: usize = 1 << 20;

impl Engine {
    /// Rule 1: repairs if the mark is set; [`Error::Busy`] if others flush until the time is over.
    pub(super) fn repair_if_marked(
        &self,
        writer: &WriterLock<Arc<Engine>>,
        end: Option<Instant>,
    ) -> Result<()> {
        let words = self.words();
        self.ask_for_failed_write_back();
        // What stands in the page cache above D may be what a device has refused, of which this handle is not told: nothing is copied from it
        // before it is proved (rules 18, 23).
        let unproved = self.durable().txn < self.opened_at();
        let needed = unproved || words.repair_mark().is_set();
        if !needed && !self.leader_died(words.flushing()) {
            return Ok(());
        }
        let lock = match needed {
            true => Some(FlushLock::take(self, end)?),
            // F alone is a mark only if nobody holds the flush lock: its leader died.
            false => FlushLock::try_take(self)?,
        };
        match lock {
            Some(lock) if self.is_marked(&lock) => self.repair(writer, &lock),
            _ => Ok(()),
        }
    }

    /// Rule 23, where something that has been built is not durable: whether a write-back has failed since, whoever was told of it. Whoever
    /// is told by a sync may not have said so yet, or be dead. Writer lock held.
    pub(super) fn ask_for_failed_write_back(&self) {
        if self.durable().txn < self.built() && self.platform.write_back_failed() {
            self.words().note_sync_failed();
        }
    }

    /// Takes the locks in their order and repairs, if that is still needed.
    pub(super) fn repair_now(&self) -> Result<()> {
        self.with_writer_lock(|writer| {
            let lock = FlushLock::take(self, None)?;
            if self.is_marked(&lock) { self.repair(writer, &lock) } else { Ok(()) }
        })
    }

    /// For a builder that needs everything before it durable.
    pub(super) fn repair_or_lead(
        &self,
        writer: &impl WriterHeld,
        lock: &FlushLock<'_>,
    ) -> Result<()> {
        if self.is_marked(lock) { self.repair(writer, lock) } else { self.lead_flush(lock) }
    }

    /// Runs work at a moment at which the newest transaction is visible and durable, with the writer lock held.
    /// In a thread that has the write transaction itself no repair is led, which could roll that transaction's base back: then
    /// [`Error::WriterOnThisThread`]. (The transaction may have gone to another thread meanwhile: what is done here needs no writer lock.)
    pub(crate) fn with_all_durable<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.writer_thread.is_this() {
            let lock = FlushLock::take(self, None)?;
            if self.is_marked(&lock) {
                return Err(Error::WriterOnThisThread);
            }
            self.lead_flush(&lock)?;
            drop(lock);
            return work();
        }
        self.with_writer_lock(|writer| {
            let lock = FlushLock::take(self, None)?;
            if self.durable().txn < self.built() {
                self.repair_or_lead(writer, &lock)?;
            }
            drop(lock);
            work()
        })
    }

    /// The meta of a snapshot, if it is the newest built or the durable one.
    pub(crate) fn meta_of(&self, txn: TxnId) -> Result<Option<Meta>> {
        let image = self.load_image()?;
        if image.meta.txn == txn {
            return Ok(Some(image.meta));
        }
        let durable = self.durable();
        if durable.txn != txn {
            return Ok(None);
        }
        // The slot may have been written again since: then it holds another transaction, or half of one.
        let meta = Meta::decode(&self.slot_bytes(durable.slot)?).ok();
        Ok(meta.map(|(meta, _)| meta).filter(|meta| meta.txn == txn))
    }

    fn repair(&self, writer: &impl WriterHeld, lock: &FlushLock<'_>) -> Result<()> {
        self.check_writable()?;
        let words = self.words();
        let before = words.request_repair();
        self.platform.step("repair: marked");
        if self.opening_is_pending() {
            self.finish_opening(writer, lock)?;
        }
        self.finish_flush(lock)?;
        let image = self.load_image()?;
        let durable = self.durable().txn;
        if image.meta.txn == durable {
            if self.shared.visible() < durable {
                self.shared.publish_flushed(&describe(&image.meta))?;
            }
            words.start_list_at(lock, image.list_end, image.list_bytes);
        } else if !self.is_dead(image.meta.txn)
            && fits(&*self.platform, image.meta.page_count, self.page_size)?
            && (self.can_flush_again(&image, before) || self.rewrite_listed(&image)?)
        {
            // Rule 21: forward.
            self.put_back_meta(image.meta.txn)?;
            words.mark_settled_target(writer, lock, image.meta.txn);
            self.platform.step("repair: pages rewritten");
            self.flush_image(lock, &image)?;
        } else {
            self.roll_back(writer, lock, &image)?;
        }
        words.end_repair(writer, lock);
        self.platform.step("repair: done");
        Ok(())
    }

    /// What stands in the slot that does not hold D may be durable, and may have been seen or acknowledged: it becomes D before anything newer
    /// is flushed over it. Rule 13, for a leader that died after its sync: then it is said to be so. Rule 30, for the target of a
    /// flush: nothing is said, but if it is whole, an older image of the lock file may not know that its flush has ended. Then its
    /// pages and its meta are made durable (again), as they stand there.
    fn finish_flush(&self, lock: &impl FlushHeld) -> Result<()> {
        let durable = self.durable();
        let slot = durable.slot ^ 1;
        let bytes = self.slot_bytes(slot)?;
        let Ok((meta, phase)) = Meta::decode(&bytes) else { return Ok(()) };
        let txn = meta.txn;
        let ours = meta.session == self.session && txn > durable.txn && txn <= self.built();
        if !ours || self.is_dead(txn) || !fits(&*self.platform, meta.page_count, self.page_size)? {
            return Ok(());
        }
        let content = Content { txn, crc: crc_of(&bytes) };
        let words = self.words();
        if words.slot(slot) != Some(content) {
            let target = words.flushing() == txn;
            if !target || !self.rewrite_manifest(&phase)? {
                return Ok(());
            }
            self.write_slot(slot, &bytes)?;
            self.sync_all(&meta)?;
            self.platform.step("repair: flush target synced");
            words.record_slot(lock, slot, content);
        }
        if self.shared.visible() < txn {
            self.shared.publish_flushed(&describe(&meta))?;
        }
        words.raise_id_limit(lock, meta.id_limit);
        words.set_durable(lock, Durable { txn, slot });
        self.platform.step("repair: flush of a dead leader finished");
        Ok(())
    }

    /// Rule 16, before F becomes `target`: a leader that died or failed may have left the meta of another transaction in the slot that
    /// does not hold D. Whoever opens the database alone believes the shared memory only if the newest meta is D or F, and visible
    /// commits that are not durable yet stand nowhere else. No sync: what the device has of that meta is as good as the copy of D.
    fn put_back_meta(&self, target: TxnId) -> Result<()> {
        let durable = self.durable();
        let other = Meta::decode(&self.slot_bytes(durable.slot ^ 1)?);
        let newer = other.is_ok_and(|(meta, _)| meta.txn > durable.txn && meta.txn != target);
        if newer {
            let bytes = self.slot_bytes(durable.slot)?;
            self.decode_slot(&bytes, durable)?;
            self.write_slot(durable.slot ^ 1, &bytes)?;
            self.platform.step("repair: older meta put back");
        }
        Ok(())
    }

    /// Rule 21: where no sync has failed, a leader has died and nothing is wrong with the pages; if the list has not all of them, a flush in two
    /// phases needs none of it. This handle's description is told if some did not reach the device, provided that it was open when they
    /// were written. `mark` is as the repair has found it.
    fn can_flush_again(&self, image: &BuiltImage, mark: RepairMark) -> bool {
        let durable = self.durable().txn;
        image.unlisted > durable && !mark.sync_failed() && self.opened_at() <= durable
    }

    /// Rule 20: copies every page since D, checks the copy and writes the copy back, so that the next sync
    /// really carries it. False if a page is not what was built, or cannot be told.
    fn rewrite_listed(&self, image: &BuiltImage) -> Result<bool> {
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
    fn rewrite_manifest(&self, phase: &Phase) -> Result<bool> {
        let Phase::Sealed(manifest) = phase else { return Ok(true) };
        for m in manifest {
            if !self.rewrite_verified(m.page, Written { crc: m.crc, pages: u32::from(m.pages) })? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One page or run; false if it does not verify. A run may have any length: it is proved in the map first, and then copied and
    /// written back piece by piece. If it was another one meanwhile, the sum over the copies says so in the end; what was written until
    /// then is what stood there.
    fn rewrite_verified(&self, id: PageId, w: Written) -> Result<bool> {
        let Some(bytes) = self.file_bytes(id, w.pages)? else { return Ok(false) };
        if w.pages > 0 && !verifies(id, bytes, w) {
            return Ok(false);
        }
        let mut sum = RunCrc::new(id);
        for (n, piece) in bytes.chunks(PIECE).enumerate() {
            let copy = piece.to_vec();
            sum.add(&copy);
            if w.pages == 0 && !verifies(id, &copy, w) {
                return Ok(false);
            }
            self.platform.step("repair: page verified");
            let at = id.0 * self.page_size as u64 + (n * PIECE) as u64;
            self.platform.storage().write(at, &copy)?;
        }
        Ok(w.pages == 0 || sum.finish() == w.crc)
    }

    /// The bytes of a page (0 pages) or run, None outside the file.
    pub(super) fn file_bytes(&self, id: PageId, pages: u32) -> Result<Option<&[u8]>> {
        let size = self.page_size as u64;
        let len = u64::from(pages.max(1)) * size;
        let Some(at) = id.0.checked_mul(size) else { return Ok(None) };
        let view = self.platform.storage().refresh()?;
        Ok(view.slice(&*self.platform, at, len))
    }

    /// Rule 22: what was built after D cannot be saved. D's content goes into the other slot too, with a higher limit of ids; then it becomes
    /// the newest transaction again under a new id, so that neither W nor V ever goes back.
    fn roll_back(
        &self,
        writer: &impl WriterHeld,
        lock: &impl FlushHeld,
        image: &BuiltImage,
    ) -> Result<()> {
        let words = self.words();
        let durable = self.durable();
        let again = self.next_id(image.meta.txn)?;
        let (meta, _) = self.decode_slot(&self.slot_bytes(durable.slot)?, durable)?;
        let meta = self.renewed(&meta, again);
        self.store_in_other_slot(lock, &meta)?;
        self.platform.step("repair: newer meta erased");
        words.bury_ids(writer, lock, durable.txn, again);
        self.platform.step("repair: ids dead");
        let meta = Meta { txn: again, ..meta };
        let snapshot = describe(&meta);
        // What is visible now, and is not after that, is dead.
        let again = BuiltImage { meta, unlisted: TxnId::NONE, judged_at: again, ..*image };
        self.store_image(writer, &again);
        self.shared.publish_flushed(&snapshot)?;
        words.start_list_at(lock, image.list_end, image.list_bytes);
        Ok(())
    }

    /// The same content as this session's, with a limit of ids above `used` (rules 28, 29).
    fn renewed(&self, meta: &Meta, used: TxnId) -> Meta {
        meta.renewed(self.session, used, self.ids_ahead())
    }

    /// Puts D's renewed content into the slot that does not hold it, and syncs it: then D stands there.
    fn store_in_other_slot(&self, lock: &impl FlushHeld, meta: &Meta) -> Result<()> {
        let slot = self.durable().slot ^ 1;
        let bytes = meta.encode(&Phase::TwoPhase);
        self.write_slot(slot, &bytes[..])?;
        self.sync_all(meta)?;
        self.platform.step("repair: other slot synced");
        let words = self.words();
        words.record_slot(lock, slot, Content { txn: meta.txn, crc: crc_of(&bytes[..]) });
        words.set_durable(lock, Durable { txn: meta.txn, slot });
        words.set_id_limit(lock, meta.id_limit);
        Ok(())
    }

    /// Rule 26: what was found on opening is made durable, page by page and slot by slot, before the
    /// first page is stored; then it goes into the other slot, over a refused newer meta, as the first of this session.
    fn finish_opening(&self, writer: &impl WriterHeld, lock: &impl FlushHeld) -> Result<()> {
        let (bytes, meta) = match self.rewrite_chosen()? {
            Some(chosen) => chosen,
            None => self.choose_again(writer, lock)?,
        };
        let slot = self.durable().slot;
        self.write_slot(slot, &bytes)?;
        self.sync_all(&meta)?;
        self.platform.step("opening: chosen meta synced");
        self.words().record_slot(lock, slot, Content { txn: meta.txn, crc: crc_of(&bytes) });
        self.keep_refused();
        let image = self.load_image()?;
        if image.meta.txn > meta.txn {
            // What was chosen first is still shown.
            self.roll_back(writer, lock, &image)?;
        } else {
            let last = self.words().last_id();
            self.store_in_other_slot(lock, &self.renewed(&meta, last))?;
        }
        self.platform.step("opening: other slot synced");
        self.shared.identity().opening.store(0, Ordering::SeqCst);
        Ok(())
    }

    /// The meta that the opening has chosen, with its bytes, its pages rewritten. None if it is not there any more, or one of its pages is not.
    fn rewrite_chosen(&self) -> Result<Option<(Vec<u8>, Meta)>> {
        let durable = self.durable();
        let bytes = self.slot_bytes(durable.slot)?;
        let Ok((meta, phase)) = self.decode_slot(&bytes, durable) else { return Ok(None) };
        // What was synced may have rotted since: it stays as it is, for whoever reads the page to be told.
        let synced =
            self.words().slot(durable.slot) == Some(Content { txn: meta.txn, crc: crc_of(&bytes) });
        let whole = synced || self.rewrite_manifest(&phase)?;
        Ok(whole.then_some((bytes, meta)))
    }

    /// What the opening has found was only in the page cache, and has left it: its write-back had failed. The other meta is chosen instead, and D
    /// goes back to it; W stays, for the roll-back. A meta that has come to light in the slot and is newer than D was does not count.
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

    /// A refused meta that is erased next may be that of an acknowledged commit, of which a page has rotted. It and the pages of its manifest
    /// are all that the chosen snapshot has not got, 4 MiB at most: they are kept beside the file, for whoever looks. Where that fails the
    /// database is written to all the same.
    fn keep_refused(&self) {
        if let Some(refused) = self.refused_meta()
            && let Ok(Some(parts)) = self.refused_parts(refused)
        {
            self.platform.keep_beside(&parts);
        }
    }

    /// Both slots, and the pages that the refused meta in one of them lists. None if another stands there already: an earlier attempt to finish the
    /// opening has kept it.
    fn refused_parts(&self, refused: RefusedMeta) -> Result<Option<Parts>> {
        let size = self.page_size as u64;
        let mut parts = vec![(0, self.slot_bytes(0)?), (size, self.slot_bytes(1)?)];
        match Meta::decode(&parts[refused.slot].1) {
            Ok((meta, _)) if meta.txn.0 != refused.txn => return Ok(None),
            Ok((_, Phase::Sealed(manifest))) => {
                for m in manifest {
                    let bytes = self.file_bytes(m.page, m.pages.into())?;
                    parts.extend(bytes.map(|bytes| (m.page.0 * size, bytes.to_vec())));
                }
            }
            _ => {}
        }
        Ok(Some(parts))
    }

    /// Page count of the meta in a slot; none if it cannot be read.
    pub(super) fn pages_of_slot(&self, slot: usize) -> u64 {
        let bytes = self.slot_bytes(slot).unwrap_or_default();
        Meta::decode(&bytes).map_or(0, |(meta, _)| meta.page_count)
    }

    fn slot_bytes(&self, slot: usize) -> Result<Vec<u8>> {
        let view = self.platform.storage().refresh()?;
        let at = (slot * self.page_size) as u64;
        // A flush may store it meanwhile.
        view.copy(&*self.platform, at, meta::SIZE as u64)
            .ok_or_else(|| Error::corrupt(PageId(slot as u64), "meta page outside the file"))
    }

    fn decode_slot(&self, bytes: &[u8], expect: Durable) -> Result<(Meta, Phase)> {
        match Meta::decode(bytes) {
            Ok((meta, phase)) if meta.txn == expect.txn => Ok((meta, phase)),
            _ => Err(Error::corrupt(
                PageId(expect.slot as u64),
                "the durable meta page is not what was made durable",
            )),
        }
    }

    /// Writes a meta page whole: what stood in its place may have been anything.
    fn write_slot(&self, slot: usize, bytes: &[u8]) -> Result<()> {
        let mut page = vec![0; self.page_size];
        page[..bytes.len()].copy_from_slice(bytes);
        self.platform.storage().write((slot * self.page_size) as u64, &page)
    }

    fn sync_all(&self, meta: &Meta) -> Result<()> {
        let end = meta.page_count * self.page_size as u64;
        self.platform.storage().sync(0, end).inspect_err(|_| self.words().note_sync_failed())
    }

    /// Whether both metas on disk can be read and need no more than `page_count` pages (rule 7).
    pub(super) fn both_slots_fit(&self, page_count: u64) -> bool {
        (0..2).all(|slot| (1..=page_count).contains(&self.pages_of_slot(slot)))
    }
}
