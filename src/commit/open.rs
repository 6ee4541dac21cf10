//! Opening: who comes first decides what the database is (rules 24 to 27, B1).
//!
//! Opening itself writes nothing to the data file and reads the two metas and the pages of a
//! manifest (of both, if the first does not verify), however large the file is. What an interrupted
//! or unknown past requires to be rewritten (rule 26) is left to the first write transaction; until
//! then the mark `opening` stands and nothing here counts as flushed.

use super::acknowledged::Acknowledged;
use super::background::Background;
use super::engine::{Engine, EngineOptions};
use super::image::{BuiltImage, load_image_of, store_image_in};
use super::leadership::Leadership;
use super::slots::{Chosen, Found, Reader, Refused, RefusedMeta, Slots, fits};
use super::snapshot::{encode_snapshot, is_whole, page_count_of};
use super::writer_thread::WriterThread;
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta, Phase};
use crate::observe::Observer;
use crate::pager::read_checks::ReadChecks;
use crate::shared::layout::byte;
use crate::shared::words::{Alone, Beginning, Content, Durable, SlotKnowledge};
use crate::shared::{FirstState, Shared};
use crate::storage::{Platform, PlatformRef};
use crate::types::TxnId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Plain, Ordering};

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
        let list_limit = options.list_limit;
        let read = |page_size| Reader { platform: &*platform, pages: 0, page_size, list_limit };
        let mut reader = read(meta::SIZE);
        let slots = reader.slots_beside_others()?;
        let mut pages = reader.pages;
        let (uuid, page_size) = (slots.uuid, slots.page_size);
        let (size, timeout) = (page_size as u32, options.open_timeout);
        let shared = if platform.observer() {
            Shared::observe(Arc::clone(&platform), uuid, size, timeout)?.ok_or_else(nobody_there)?
        } else {
            let init = |shared: &Shared, alone: &Alone, state| {
                let mut reader = read(page_size);
                let done = first_opener(shared, alone, state, &mut reader, &*platform);
                pages += reader.pages;
                done
            };
            Shared::attach(Arc::clone(&platform), uuid, size, timeout, init)?.0
        };
        platform.check_in_place()?;
        let writer_thread = WriterThread::of(&*platform);
        let observer = Observer::new(platform.data_path());
        let mut engine = Engine {
            platform,
            shared,
            read_checks: Arc::new(ReadChecks::new(options.read_checksums)),
            options,
            uuid,
            page_size,
            unknown_to_write: slots.unknown_to_write(),
            opening_pages_read: pages,
            opened_at: Plain::new(0),
            session: 0,
            ids_ahead: Plain::new(meta::IDS_FIRST),
            writer: Arc::default(),
            writer_thread,
            observer,
            leadership: Leadership::default(),
            newest_built: Plain::new(0),
            acknowledged: Acknowledged::default(),
            background: Background::new("recto-flush"),
        };
        engine.opened_at = Plain::new(engine.newest_begun()?.0);
        engine.session = engine.shared.identity().session.load(Ordering::SeqCst);
        engine.observer.opened(page_size, pages, engine.shared.visible());
        Ok(Arc::new(engine))
    }
}

impl Engine {
    /// The newer meta that the opening of this session refused.
    pub(crate) fn refused_meta(&self) -> Option<RefusedMeta> {
        let [meta, page] =
            self.shared.identity().refused.each_ref().map(|w| w.load(Ordering::SeqCst));
        let page = (page != 0).then_some(page);
        (meta != 0).then_some(RefusedMeta { txn: meta >> 1, slot: (meta & 1) as usize, page })
    }

    /// What the opening of this session has chosen is still to be made durable, and what it has
    /// refused to be erased (rule 26).
    pub(crate) fn opening_is_pending(&self) -> bool {
        self.shared.identity().opening.load(Ordering::SeqCst) != 0
    }

    /// The newest transaction that has written pages so far. One that somebody builds just now may
    /// have spilled some, or begun to write them early: it counts. Whoever takes the writer lock
    /// after this look writes when this handle's description is open.
    fn newest_begun(&self) -> Result<TxnId> {
        let locks = self.platform.locks();
        // Before W is read. Asking takes nothing, and disturbs nobody.
        let building = locks.held_elsewhere(byte::WRITER, byte::WRITER)?.is_some();
        let built = self.built();
        if !building {
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
    alone: &Alone,
    state: FirstState,
    reader: &mut Reader<'_>,
    platform: &dyn Platform,
) -> Result<()> {
    let slots = reader.slots()?;
    if state == FirstState::Survives
        && let Some(durable) = survives(shared, &slots, reader)?
    {
        return keep(shared, alone, &slots, durable, reader.page_size);
    }
    start_from_disk(shared, alone, state, &slots, reader, platform)
}

/// Rule 28. Shared memory of this boot and this file is believed if the newest meta on disk is, to
/// the last byte, what it calls durable; or the one that was being flushed, where something newer
/// is visible: that stands nowhere else. Gives the durable meta.
fn survives<'a>(
    shared: &Shared,
    slots: &'a Slots,
    reader: &mut Reader<'_>,
) -> Result<Option<&'a Found>> {
    let (words, identity) = (shared.words(), shared.identity());
    let session = identity.session.load(Ordering::SeqCst);
    // An opening that was not finished has not rewritten what it chose (rules 26, 27): it is chosen
    // again.
    if session == 0 || identity.opening.load(Ordering::SeqCst) != 0 {
        return Ok(None);
    }
    let (Durable { txn: durable, slot }, flushing) = (words.durable(), words.flushing());
    // Every meta of the session was synced by it, and is known by its crc; another session may have
    // used the same ids.
    let ours = |found: &Found, slot: usize, txn: TxnId| {
        found.meta.txn == txn
            && found.meta.session == session
            && words.slot(slot) == Some(found.content)
    };
    let Some(held) = slots.metas[slot].as_ref().filter(|found| ours(found, slot, durable)) else {
        return Ok(None);
    };
    let (platform, page_size) = (reader.platform, reader.page_size);
    let fits = |page_count| fits(platform, page_count, page_size);
    if !fits(held.meta.page_count)? {
        return Ok(None);
    }
    // Nothing is flushed before it is built: a lock file that says so is damaged.
    let built = words.built();
    let image = match load_image_of(shared, reader.page_size) {
        Ok(image) => image,
        // Rule 31: of a newer build, which has more than stands in the slots.
        Err(e @ (Error::Features { .. } | Error::Version { .. })) => return Err(e),
        Err(_) => return Ok(None),
    };
    let visible = shared.visible();
    let in_order = built >= flushing.max(durable).max(visible);
    // What is not listed cannot be proved, and was never shown.
    if !in_order || image.unlisted > durable {
        return Ok(None);
    }
    // A process has died in a roll-back: what the list has of the dead proves nothing (rule 22). D
    // may stand between two ranges that were joined.
    let dead = words.dead_ids();
    if [visible, image.meta.txn].into_iter().any(|txn| txn > durable && dead.have(txn)) {
        return Ok(None);
    }
    let other = slots.metas[slot ^ 1].as_ref().filter(|other| other.age() > held.age());
    if let Some(other) = other {
        let target = other.meta.txn == flushing && other.meta.session == session;
        if !target {
            return Ok(None);
        }
        // It may have been acknowledged since, if this is an older image of the lock file. Whoever
        // repairs makes it durable before anything else (rule 30); but readers must see it from now
        // on, and if nothing newer is visible, the disk has all there is to keep.
        if visible <= other.meta.txn && reader.refusal(other)?.is_none() {
            return Ok(None);
        }
    }
    if built == durable && !image.meta.same_snapshot(&held.meta) {
        return Ok(None);
    }
    if visible > durable {
        // An older one than what the newest has used again by (rule 4) is no snapshot any more.
        // That its own pages are there says little: the next transaction goes on with what is free
        // for the newest.
        let descriptor = shared.look();
        let whole = visible >= image.judged_at
            && descriptor.as_ref().is_ok_and(|descriptor| is_whole(descriptor, session));
        if !whole {
            return Ok(None);
        }
        // Its pages may all be there, and the file end before those that it counts and has not
        // used.
        let fits = fits(page_count_of(&descriptor?))? && fits(image.meta.page_count)?;
        if !fits || !reader.visible_pages_survive(shared, &image)? {
            return Ok(None);
        }
    }
    Ok(Some(held))
}

/// Goes on with the session that the shared memory has.
fn keep(
    shared: &Shared,
    alone: &Alone,
    slots: &Slots,
    durable: &Found,
    page_size: usize,
) -> Result<()> {
    let page_count = load_image_of(shared, page_size)?.meta.page_count;
    let words = shared.words();
    let txn = durable.meta.txn;
    // An older image of the lock file does not know which ids were shown since; the metas do (rule
    // 29). The word itself is not asked: it may be damaged, and says no more than these.
    let built = words.built();
    let last = slots.last_id().max(built);
    if built != txn || words.flushing() != TxnId::NONE {
        words.request_repair();
    }
    if shared.visible() <= txn {
        shared.reset_visible(&encode_snapshot(&durable.meta))?;
    }
    // Nobody reads what was rolled back before, so this word need not be believed either (rule 5).
    let shown = page_count_of(&shared.look()?);
    let high = shown.max(page_count).max(durable.meta.page_count);
    words.keep_session(alone, last, durable.meta.id_limit, high);
    Ok(())
}

/// What [`Engine::refused_meta`] reads.
pub(super) fn set_refused(shared: &Shared, refused: Option<Refused>) {
    let (meta, page) = refused.map_or((0, 0), |r| (r.txn.0 << 1 | r.slot as u64, r.page.0));
    let words = &shared.identity().refused;
    words[0].store(meta, Ordering::SeqCst);
    words[1].store(page, Ordering::SeqCst);
}

/// Begins a session with what is on the disk.
fn start_from_disk(
    shared: &Shared,
    alone: &Alone,
    state: FirstState,
    slots: &Slots,
    reader: &mut Reader<'_>,
    platform: &dyn Platform,
) -> Result<()> {
    // What the lock file says of a slot it says of these bytes, in whatever boot and session: the
    // crc is over the session too.
    let known = shared.known_slots();
    let Chosen { found, slot, refused } = reader.choose(slots, known)?;
    let meta = found.meta;
    let session = platform.random()?;
    if state == FirstState::Survives {
        shared.forget();
    }
    let identity = shared.identity();
    identity.session.store(session, Ordering::SeqCst);
    set_refused(shared, refused);
    identity.opening.store(1, Ordering::SeqCst);
    // Nobody may have written when the next one opens: what is known of these bytes stays known. A
    // slot that cannot be read keeps it.
    let knowledge = [0, 1].map(|slot| {
        let here = slots.metas[slot].as_ref().map(|found| found.content);
        let same = |known: &Content| here.is_none_or(|here| here == *known);
        let may_hold = here.map_or(TxnId::NONE, |here| here.txn);
        known[slot].filter(same).map_or(SlotKnowledge::MayHold(may_hold), SlotKnowledge::Synced)
    });
    // The id of a meta that cannot be read is used up too, as far as the lock file can be believed.
    let unreadable = |slot: usize| slots.metas[slot].is_none().then_some(known[slot]).flatten();
    let lost = (0..2).filter_map(unreadable).map(|content| content.txn).max().unwrap_or_default();
    let near = lost.0 <= slots.last_id().0.saturating_add(meta::IDS_AHEAD + meta::IDS_OF_ONE);
    let last_id = if near { slots.last_id().max(lost) } else { slots.last_id() };
    shared.words().begin_session(
        alone,
        &Beginning {
            durable: Durable { txn: meta.txn, slot },
            slots: knowledge,
            last_id,
            id_limit: meta.id_limit,
            page_count: meta.page_count,
        },
    );
    platform.step("opening: words set");
    let snapshot = encode_snapshot(&meta);
    let (unlisted, judged_at) = (TxnId::NONE, meta.txn);
    let (list_end, list_bytes, list_check) = (0, 0, 0);
    let image = BuiltImage { meta, list_end, unlisted, list_bytes, judged_at, list_check };
    store_image_in(shared, alone, platform, &image);
    shared.reset_visible(&snapshot)
}
