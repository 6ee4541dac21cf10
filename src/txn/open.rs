//! Opening: who comes first decides what the database is (rules 24 to 27, B1).
//!
//! Opening itself writes nothing to the data file and reads the two metas and the pages of one manifest, however
//! large the file is. What an interrupted or unknown past requires to be rewritten (rule 26) is left to the first
//! write transaction; until then the mark `opening` stands and nothing here counts as flushed.

use super::flush::Leadership;
use super::lock::WriterThread;
use super::slots::{Reader, Slots};
use super::state::{BuiltImage, Durable, describe};
use super::{Engine, EngineOptions};
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta, Phase};
use crate::planted::{Bug, planted};
use crate::shared::layout::byte;
use crate::shared::{FirstState, Shared};
use crate::storage::{Platform, PlatformRef};
use crate::types::TxnId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of a new, empty database: both metas, both durable once the file is synced.
pub fn initial_file(page_size: usize, uuid: [u8; 16]) -> Vec<u8> {
    let mut file = vec![0; 2 * page_size];
    let meta = Meta::empty(uuid, page_size).encode(&Phase::TwoPhase);
    file[..meta::SIZE].copy_from_slice(&meta[..]);
    file[page_size..page_size + meta::SIZE].copy_from_slice(&meta[..]);
    file
}

impl Engine {
    /// Opens the database that the platform holds.
    pub fn open(platform: PlatformRef, options: EngineOptions) -> Result<Arc<Engine>> {
        let mut reader = Reader { platform: &*platform, pages: 0, page_size: meta::SIZE };
        let slots = reader.slots_beside_others()?;
        let mut pages = reader.pages;
        let (uuid, page_size) = (slots.uuid, slots.page_size);
        let (size, timeout) = (page_size as u32, options.open_timeout);
        let shared = if platform.observer() {
            Shared::observe(Arc::clone(&platform), uuid, size, timeout)?.ok_or_else(nobody_there)?
        } else {
            let init = |shared: &Shared, state| {
                let mut reader = Reader { platform: &*platform, pages: 0, page_size };
                let done = first_opener(shared, state, &mut reader, &*platform);
                pages += reader.pages;
                done
            };
            Shared::attach(Arc::clone(&platform), uuid, size, timeout, init)?.0
        };
        platform.check_in_place()?;
        let writer_thread = WriterThread::of(&*platform);
        let mut engine = Engine {
            platform,
            shared,
            options,
            uuid,
            page_size,
            unknown_to_write: slots.unknown_to_write(),
            opening_pages_read: pages,
            opened_at: TxnId::NONE,
            writer: Arc::default(),
            writer_thread,
            leadership: Leadership::default(),
            newest_built: AtomicU64::new(0),
        };
        engine.opened_at = engine.newest_begun()?;
        Ok(Arc::new(engine))
    }
}

impl Engine {
    /// The newest transaction that has written pages so far. One that somebody builds just now may have spilled some, or begun to
    /// write them early: it counts. Whoever takes the writer lock after this look writes when this handle's description is open.
    fn newest_begun(&self) -> Result<TxnId> {
        let locks = self.platform.locks();
        // Before W is read. Asking takes nothing, and disturbs nobody.
        let building = locks.held_elsewhere(byte::WRITER, byte::WRITER)?.is_some();
        let built = self.built();
        if !building || planted(Bug::OpenedBesideWriter) {
            return Ok(built);
        }
        Ok(self.next_id(built).unwrap_or(TxnId::MAX))
    }
}

fn nobody_there() -> Error {
    Error::LockFile {
        path: Default::default(),
        detail: "cannot be written by this user, and nobody who can has the database open; if nobody will \
                 write meanwhile, open it without a lock file (no_lock)"
            .into(),
    }
}

/// Alone with the database: keeps what the shared memory says, or starts from the disk.
fn first_opener(
    shared: &Shared,
    state: FirstState,
    reader: &mut Reader<'_>,
    platform: &dyn Platform,
) -> Result<()> {
    let slots = reader.slots()?;
    let words = shared.words();
    let load = |w: &crate::shared::sync::AtomicU64| w.load(Ordering::SeqCst);
    let kept = state == FirstState::Survives && survives(shared, &slots);
    if kept && reader.visible_pages_survive(shared)? {
        let unsettled = load(&words.built.0) >> 1 != load(&words.durable.0) >> 1;
        if unsettled || load(&words.flushing.0) != 0 {
            words.suspect.0.store(1, Ordering::SeqCst);
        }
        return Ok(());
    }
    // Rule 3: ids of the last session are not used again, if they can be told.
    let used = if kept { load(&words.last_id.0) } else { 0 };
    if state == FirstState::Survives {
        shared.forget();
    }
    let (meta, slot) = reader.choose(&slots)?;
    let ids = slots.metas.each_ref().map(|m| m.as_ref().map_or(0, |(m, _)| m.txn.0));
    // Rule 24: refused metas count too, their ids may not be used again.
    let last = ids[0].max(ids[1]).max(used);
    if !planted(Bug::OpeningTrustsCache) {
        shared.identity().opening.store(1, Ordering::SeqCst);
        words.suspect.0.store(1, Ordering::SeqCst);
    }
    words.flushing.0.store(0, Ordering::SeqCst);
    words.failed.0.store(0, Ordering::SeqCst);
    words.list_start.0.store(0, Ordering::SeqCst);
    words.dead.0.iter().flatten().for_each(|w| w.store(0, Ordering::SeqCst));
    words.slots.0.iter().zip(ids).for_each(|(w, id)| w.store(id, Ordering::SeqCst));
    words.last_id.0.store(last, Ordering::SeqCst);
    words.page_high.0.store(meta.page_count, Ordering::SeqCst);
    let durable = Durable { txn: meta.txn, slot };
    words.durable.0.store(durable.txn.0 << 1 | durable.slot as u64, Ordering::SeqCst);
    platform.step("opening: words set");
    let snapshot = describe(&meta);
    super::state::store_image_in(
        shared,
        platform,
        &BuiltImage { meta, list_end: 0, unlisted: TxnId::NONE },
    );
    shared.reset_visible(&snapshot)
}

/// Shared memory of this boot and this file: it is believed if what it calls durable, or was flushing, is
/// what the newest good meta on disk says.
fn survives(shared: &Shared, slots: &Slots) -> bool {
    let words = shared.words();
    let newest = slots.metas.iter().flatten().map(|(m, _)| m.txn.0).max();
    let durable = words.durable.0.load(Ordering::SeqCst);
    let flushing = words.flushing.0.load(Ordering::SeqCst);
    let slot = slots.metas[(durable & 1) as usize].as_ref();
    let held = slot.is_some_and(|(m, _)| m.txn.0 == durable >> 1);
    // Nothing is flushed before it is built: a lock file that says so is damaged.
    let built = words.built.0.load(Ordering::SeqCst) >> 1;
    let in_order = built >= flushing.max(durable >> 1);
    held && in_order && newest.is_some_and(|n| n == durable >> 1 || n == flushing)
}
