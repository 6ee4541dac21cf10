//! Making transactions durable (rules 9 to 17): one leader at a time, one flush for all that is
//! built.

use super::engine::Engine;
use super::image::{BuiltImage, NEVER_STILL};
use super::locks::FlushLock;
use super::report::FlushWatch;
use super::snapshot::encode_snapshot;
use crate::error::{Error, Result};
use crate::format::meta::{self, ManifestEntry, Phase};
use crate::pager::page_map::PageMap;
use crate::pager::written::Written;
use crate::shared::layout::byte;
use crate::shared::words::{Content, Durable, FlushHeld, Outcome};
use crate::types::{PageId, TxnId};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What is said of a transaction that was rolled back.
const ROLLED_BACK: &str = "the transaction was rolled back after a failed write to the device";

/// What a flush says that has made everything durable which is there.
const LOST: &str = "deferred commits of this handle were rolled back after a failed write to the device; \
                    everything else is durable";

impl Engine {
    /// Waits for everything built so far to be durable; one flush, none if there is nothing to do.
    /// [`Error::OutcomeUnknown`] if a repair takes some of it back that somebody may have seen, or
    /// has taken back deferred commits of this handle since the last flush that said so.
    pub fn flush(&self) -> Result<()> {
        match self.flush_all() {
            Ok(()) => self.tell_lost(),
            Err(e) => {
                // Told by this error. Another one is no news of a roll-back, and takes none away.
                if matches!(&e, Error::OutcomeUnknown { detail, .. } if detail == ROLLED_BACK) {
                    self.acknowledged.take_lost(self.words());
                }
                Err(e)
            }
        }
    }

    /// The same for what this handle has built, and nothing where that is durable: no repair, and
    /// no wait for anybody.
    pub fn flush_own(&self) -> Result<()> {
        self.shared.check_alive()?;
        if self.own_is_settled() { self.tell_lost() } else { self.flush() }
    }

    /// Whether what this handle has built last is durable, or rolled back, whoever has done it:
    /// also if it has built nothing.
    pub(super) fn own_is_settled(&self) -> bool {
        let newest = TxnId(self.newest_built.load(Ordering::Relaxed));
        newest <= self.durable().txn || self.is_dead(newest)
    }

    /// [`Error::OutcomeUnknown`], once, if deferred commits of this handle were rolled back.
    fn tell_lost(&self) -> Result<()> {
        match self.acknowledged.take_lost(self.words()) {
            true => Err(Error::unknown(LOST)),
            false => Ok(()),
        }
    }

    fn flush_all(&self) -> Result<()> {
        self.shared.check_alive()?;
        self.check_writable()?;
        let own = TxnId(self.newest_built.load(Ordering::Relaxed));
        let seen = self.shared.visible();
        loop {
            let newest = self.built();
            if self.words().repair_mark().is_set() {
                self.repair_now().map_err(|e| self.told_of(newest, e))?;
            }
            let Err(e) = self.make_durable(newest) else { break };
            // Of a process that has died in its commit: nobody was ever told of it. Whoever takes
            // it back moves W on.
            let unseen = newest > seen.max(own) && self.is_dead(newest);
            if !unseen || self.built() == newest {
                return Err(e);
            }
        }
        self.make_durable(seen)?;
        if own != TxnId::NONE {
            // Of one that was rolled back its commit has said so, or what is remembered of deferred
            // ones says so now.
            if !self.is_dead(own) {
                self.make_durable(own)?;
            }
            self.forget_built(own);
        }
        Ok(())
    }

    /// Returns when `txn` is durable, and whether this thread has led a flush for it, or when it is
    /// known that it may never be:
    /// [`Error::OutcomeUnknown`] if its flush has failed or it was rolled back, other errors if its
    /// flush could not begin.
    pub fn make_durable(self: &Engine, txn: TxnId) -> Result<bool> {
        self.flush_up_to(txn, None).map_err(|e| self.told_of(txn, e))
    }

    /// The same, watched.
    pub fn make_durable_watched(&self, txn: TxnId, watch: &mut FlushWatch) -> Result<bool> {
        self.flush_up_to(txn, Some(watch)).map_err(|e| self.told_of(txn, e))
    }

    /// What an error means for a transaction that was to be made durable: behind a flush that has
    /// failed, another failure of the device says no more.
    fn told_of(&self, txn: TxnId, e: Error) -> Error {
        let of_the_device =
            matches!(e, Error::Io { .. } | Error::DiskFull { .. } | Error::Corrupt { .. });
        match of_the_device && self.words().flush_failed(txn) {
            true => e.outcome_unknown(),
            false => e,
        }
    }

    fn flush_up_to(&self, txn: TxnId, mut watch: Option<&mut FlushWatch>) -> Result<bool> {
        let mut led = false;
        loop {
            if self.settled(txn)? {
                return Ok(led);
            }
            // W never goes back. No flush makes durable what it does not reach.
            if txn > self.built() {
                return Err(self
                    .shared
                    .damaged("the newest transaction is older than one that was built"));
            }
            // Whoever led while this thread waited may have carried its transaction along: group
            // commit.
            let Some(lock) = FlushLock::take_or_wait(self)? else { continue };
            if self.settled(txn)? {
                return Ok(led);
            }
            led = true;
            if self.is_marked(&lock) {
                drop(lock);
                self.repair_now()?;
                continue;
            }
            let begun = watch.is_some().then(|| (Instant::now(), self.durable().txn));
            self.lead_flush(&lock)?;
            if let (Some(watch), Some((begun, before))) = (watch.as_deref_mut(), begun) {
                watch.led(txn, [before, self.durable().txn], begun);
            }
        }
    }

    /// Whether `txn` is durable; an error if its flush failed or it was rolled back.
    pub(super) fn settled(&self, txn: TxnId) -> Result<bool> {
        self.shared.check_alive()?;
        let between = || self.platform.step("settled: durable seen");
        let detail = match self.words().outcome(txn, between) {
            Outcome::Durable => return Ok(true),
            Outcome::Pending => return Ok(false),
            Outcome::RolledBack => ROLLED_BACK,
            Outcome::FlushFailed => {
                "the device reported an error while the transaction was flushed"
            }
        };
        Err(Error::unknown(detail))
    }

    /// Whether a repair has to come first (rules 1, 18): after a failed sync, or a flush whose
    /// leader died; or for pages that were written before this handle's description could be told
    /// of errors.
    pub(super) fn is_marked(&self, _: &impl FlushHeld) -> bool {
        let words = self.words();
        words.repair_mark().is_set()
            || self.leader_died(words.flushing())
            || self.durable().txn < self.opened_at()
    }

    /// Whether F, if nobody holds the flush lock, says that a leader died.
    pub(super) fn leader_died(&self, flushing: TxnId) -> bool {
        flushing != TxnId::NONE
    }

    /// Whether the next writer has to repair first: the mark is set, or F stands and nobody holds
    /// the flush lock. For people: it may be another thing a moment later.
    pub(crate) fn repair_is_due(&self) -> Result<bool> {
        let words = self.words();
        let flushing = words.flushing();
        if words.repair_mark().is_set() || !self.leader_died(flushing) {
            return Ok(words.repair_mark().is_set());
        }
        let Some(_nobody) = self.leadership.try_lead() else { return Ok(false) };
        let held = self.platform.locks().held_elsewhere(byte::FLUSH, byte::FLUSH)?.is_some();
        Ok(!held && self.leader_died(words.flushing()))
    }

    /// Flushes the newest built transaction. Nothing is to be repaired.
    pub(super) fn lead_flush(&self, lock: &FlushLock<'_>) -> Result<()> {
        let image = self.mark_target(lock)?;
        if image.meta.txn == self.durable().txn {
            self.words().end_flush(lock);
            return Ok(());
        }
        self.flush_image(lock, &image)
    }

    /// Rule 9: from now on F's pages are protected.
    fn mark_target(&self, lock: &FlushLock<'_>) -> Result<BuiltImage> {
        let newest = || {
            let image = self.load_known_image()?;
            self.platform.step("flush: target chosen");
            Ok((image.meta.txn, image))
        };
        let marked = self.words().mark_target(lock, newest)?;
        self.platform.step("flush: target marked");
        marked.ok_or_else(|| self.shared.damaged(NEVER_STILL))
    }

    /// Rules 10 to 15. F is marked; the slot that is written does not hold D.
    pub(super) fn flush_image(&self, lock: &FlushLock<'_>, image: &BuiltImage) -> Result<()> {
        let (words, before, target) = (self.words(), self.durable(), image.meta.txn);
        let slot = before.slot ^ 1;
        // Rules 10, 11: with a manifest one sync serves for everything, else the pages come first.
        let phase = self.phase_of(image, before.txn);
        let flush = self.observer.flush(target, phase == Phase::TwoPhase);
        if phase == Phase::TwoPhase {
            self.sync_flush(lock, image)?;
            self.platform.step("flush: pages synced");
        }
        // Rule 12.
        let stored = self.store_meta(image, &phase, slot);
        let content = stored.map_err(|e| self.flush_refused(lock, target, e))?;
        self.platform.step("flush: meta stored");
        self.sync_flush(lock, image)?;
        self.platform.step("flush: synced");

        // Rule 13: what the slot holds, V, then D with Y, then F. Whoever repairs after a death in
        // between finishes it by the first of these words; the order of the others matters to rule
        // 2.
        words.record_slot(lock, slot, content);
        self.platform.step("flush: slot recorded");
        if self.shared.visible() < target {
            self.shared.publish_flushed(&encode_snapshot(&image.meta))?;
        }
        self.platform.step("flush: visible");
        words.raise_id_limit(lock, image.meta.id_limit);
        words.set_durable(lock, Durable { txn: target, slot });
        self.platform.step("flush: durable moved");
        words.start_list_at(lock, image.list_end, image.list_bytes);
        words.end_flush(lock);
        self.platform.step("flush: done");
        flush.done();
        Ok(())
    }

    /// Rule 12: the meta goes into the page cache. Gives what stands in the slot then.
    pub(super) fn store_meta(
        &self,
        image: &BuiltImage,
        phase: &Phase,
        slot: usize,
    ) -> Result<Content> {
        let bytes = image.meta.encode(phase);
        self.platform.storage().write((slot * self.page_size) as u64, &bytes[..])?;
        Ok(Content { txn: image.meta.txn, crc: meta::crc_of(&bytes[..]) })
    }

    /// The sync of rules 11 and 12: all pages since D, both slots, the size.
    fn sync_flush(&self, lock: &FlushLock<'_>, image: &BuiltImage) -> Result<()> {
        let end = image.meta.page_count * self.page_size as u64;
        let synced = self.platform.storage().sync(0, end);
        synced.map_err(|e| self.flush_refused(lock, image.meta.txn, e))
    }

    /// Rule 10: sealed if every page reachable from F and born after D fits the manifest.
    fn phase_of(&self, image: &BuiltImage, durable: TxnId) -> Phase {
        if image.unlisted > durable {
            return Phase::TwoPhase;
        }
        let sealed = self.live_records(image).ok().and_then(|live| {
            let room = image.meta.manifest_room().min(self.options.manifest_limit);
            manifest(room, self.options.manifest_bytes / self.page_size as u64, live)
        });
        sealed.map_or(Phase::TwoPhase, Phase::Sealed)
    }

    /// Rule 15: marked before anybody else can lead. What the kernel did with the pages is
    /// unknown, so nothing is synced again before a repair has rewritten them.
    fn flush_refused(&self, lock: &FlushLock<'_>, target: TxnId, e: Error) -> Error {
        self.words().note_sync_failed();
        self.words().note_flush_failed(lock, target);
        e
    }
}

/// The manifest of these pages, if there is room for it and they are few: opening may have to read
/// them all.
fn manifest(room: usize, most_pages: u64, live: PageMap<Written>) -> Option<Vec<ManifestEntry>> {
    if live.len() > room {
        return None;
    }
    let pages: u64 = live.values().map(|w| w.pages()).sum();
    if pages > most_pages {
        return None;
    }
    let entry = |(&page, w): (&PageId, &Written)| {
        Some(ManifestEntry { page, crc: w.crc(), pages: u16::try_from(w.stored_pages()).ok()? })
    };
    let mut entries = live.iter().map(entry).collect::<Option<Vec<_>>>()?;
    entries.sort_unstable_by_key(|m| m.page);
    Some(entries)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::commit::tests::engine;

    /// Damaged shared memory may name one. Found by `crash hostile --seed 3 --first 191 --files 1`:
    /// a flush without an end.
    #[test]
    fn nobody_waits_for_what_was_never_built() {
        let engine = engine();
        engine.flush().unwrap();
        let above = TxnId(engine.built().0 + 1);
        assert!(matches!(engine.make_durable(above), Err(Error::LockFile { .. })));
        engine.newest_built.store(above.0, Ordering::Relaxed);
        assert!(matches!(engine.flush(), Err(Error::LockFile { .. })));
    }
}
