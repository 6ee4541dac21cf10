//! Opening: who comes first decides what the database is (rules 24 to 27, B1).
//!
//! Opening itself writes nothing to the data file and reads the two metas and the pages of one manifest, however
//! large the file is. What an interrupted or unknown past requires to be rewritten (rule 26) is left to the first
//! write transaction; until then the mark `opening` stands and nothing here counts as flushed.

use super::flush::Leadership;
use super::repair::verifies;
use super::state::{BuiltImage, Durable, Written, describe, live_records_of, load_image_of};
use super::{Engine, EngineOptions};
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta, MetaFault, Phase};
use crate::format::page::verify;
use crate::planted::{Bug, planted};
use crate::shared::layout::byte;
use crate::shared::{FirstState, Shared};
use crate::storage::{Platform, PlatformRef};
use crate::types::{PageId, TxnId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Looks at two bad metas, and the pause between two looks: about a second. A meta page is stored by one call, which takes
/// less on the busiest machine.
const LOOKS: u32 = 5_000;
const PAUSE: Duration = Duration::from_micros(100);

/// The bytes of a new, empty database: both metas, both durable once the file is synced.
pub fn initial_file(page_size: usize, uuid: [u8; 16]) -> Vec<u8> {
    let mut file = vec![0; 2 * page_size];
    let meta = Meta::empty(uuid, page_size).encode(&Phase::TwoPhase);
    file[..meta::SIZE].copy_from_slice(&meta[..]);
    file[page_size..page_size + meta::SIZE].copy_from_slice(&meta[..]);
    file
}

/// What the two slots hold.
struct Slots {
    metas: [Option<(Meta, Phase)>; 2],
    uuid: [u8; 16],
    page_size: usize,
}

/// Reads pages of the file for the opening and counts them.
struct Reader<'a> {
    platform: &'a dyn Platform,
    pages: u64,
    page_size: usize,
}

impl Reader<'_> {
    fn bytes(&mut self, offset: u64, len: u64) -> Result<Option<&[u8]>> {
        self.pages += len.div_ceil(self.page_size as u64);
        let view = self.platform.storage().refresh()?;
        Ok(view.slice(self.platform, offset, len))
    }

    fn meta_at(&mut self, offset: u64) -> Result<std::result::Result<(Meta, Phase), MetaFault>> {
        let bytes = self.bytes(offset, meta::SIZE as u64)?;
        Ok(bytes.map_or(Err(MetaFault::Bad("outside the file")), Meta::decode))
    }

    /// Both slots; the verso is looked for at every page size if the recto is lost.
    fn slots(&mut self) -> Result<Slots> {
        let mut recto = self.meta_at(0)?;
        let mut faults = vec![];
        let mut verso = None;
        match &recto {
            Ok((m, _)) => match self.meta_at(m.page_size as u64)? {
                Ok(v) if v.0.page_size != m.page_size => {}
                Ok(v) if v.0.uuid == m.uuid => verso = Some(v),
                // Two databases: the recto's, unless the file cannot be its own.
                Ok(v) if !self.fits(m)? && self.fits(&v.0)? => {
                    verso = Some(v);
                    recto = Err(MetaFault::Bad("of another database"));
                }
                _ => {}
            },
            Err(fault) => {
                faults.push(fault.clone());
                let mut at = *meta::PAGE_SIZES.start();
                while at <= *meta::PAGE_SIZES.end() {
                    match self.meta_at(at as u64)? {
                        Ok(v) if v.0.page_size == at => verso = Some(v),
                        Err(fault) => faults.push(fault),
                        Ok(_) => {}
                    }
                    // Data lies behind it, and may look like anything, also like the metas of another database.
                    let bytes = self.bytes(at as u64, meta::SIZE as u64)?;
                    if bytes.is_some_and(|b| meta::claims_page_size(b, at)) {
                        break;
                    }
                    at *= 2;
                }
            }
        }
        let recto = recto.ok();
        let Some((any, _)) = recto.as_ref().or(verso.as_ref()) else {
            return Err(refuse(&faults));
        };
        let (uuid, page_size) = (any.uuid, any.page_size);
        self.page_size = page_size;
        Ok(Slots { metas: [recto, verso], uuid, page_size })
    }

    /// Both slots, while others may be storing them: between the looks at the one and at the other two flushes may
    /// have passed, and either look can meet a half of a meta. Only while nobody has the database open are two bad metas final.
    fn slots_beside_others(&mut self) -> Result<Slots> {
        let mut looks = 0;
        loop {
            let others = self.platform.locks().held_elsewhere(byte::GATE, byte::GATE)?.is_some();
            match self.slots() {
                Err(Error::Corrupt { .. }) if others && looks < LOOKS => looks += 1,
                other => return other,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Rule 24.
    fn choose(&mut self, slots: &Slots) -> Result<(Meta, usize)> {
        let mut order: Vec<usize> = (0..2).filter(|&i| slots.metas[i].is_some()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(slots.metas[i].as_ref().map(|m| m.0.txn)));
        if planted(Bug::OlderMetaTaken) {
            order.reverse();
        }
        let mut why = String::from("no meta page");
        for slot in order {
            let Some((meta, phase)) = &slots.metas[slot] else { continue };
            match self.refusal(meta, phase)? {
                None => return Ok((meta.clone(), slot)),
                Some(refusal) => why = refusal,
            }
        }
        Err(Error::corrupt(PageId(0), format!("neither meta page can be trusted: {why}")))
    }

    /// Whether what readers would be shown is there. Deferred commits are in the page cache and need not be on the device:
    /// if the device has gone away and come back since, within one boot, the shared memory outlives their pages (hole 12). Whoever
    /// leads the next flush proves them again, and rewrites them (rule 20).
    fn visible_pages_survive(&mut self, shared: &Shared) -> Result<bool> {
        let words = shared.words();
        let durable = TxnId(words.durable.0.load(Ordering::SeqCst) >> 1);
        let visible = shared.visible();
        // An opening that was not finished has not rewritten what it chose (rules 26, 27): it is chosen again.
        if shared.identity().opening.load(Ordering::SeqCst) != 0 {
            return Ok(false);
        }
        if visible <= durable || planted(Bug::VisibleNotProved) {
            return Ok(true);
        }
        let Ok(image) = load_image_of(shared, self.page_size) else { return Ok(false) };
        for txn in [visible, image.meta.txn] {
            let Ok(live) = live_records_of(shared, image.list_end, txn) else { return Ok(false) };
            for (id, w) in live {
                if !self.page_verifies(id, w)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn page_verifies(&mut self, id: PageId, w: Written) -> Result<bool> {
        let size = self.page_size as u64;
        let Some(at) = id.0.checked_mul(size) else { return Ok(false) };
        let bytes = self.bytes(at, u64::from(w.pages.max(1)) * size)?;
        if planted(Bug::ManifestChecksPageAlone) && w.pages == 0 {
            return Ok(bytes.is_some_and(|page| verify(id, page).is_ok()));
        }
        Ok(bytes.is_some_and(|bytes| verifies(id, bytes, w)))
    }

    fn fits(&self, meta: &Meta) -> Result<bool> {
        let len = self.platform.storage().len()?;
        Ok(meta.page_count.saturating_mul(meta.page_size as u64) <= len)
    }

    fn refusal(&mut self, meta: &Meta, phase: &Phase) -> Result<Option<String>> {
        if !self.fits(meta)? {
            return Ok(Some("the file is shorter than its pages".into()));
        }
        let Phase::Sealed(manifest) = phase else { return Ok(None) };
        if planted(Bug::ManifestNotChecked) {
            return Ok(None);
        }
        for m in manifest {
            if !self.page_verifies(m.page, Written { crc: m.crc, pages: u32::from(m.pages) })? {
                return Ok(Some(format!("page {} of its manifest does not verify", m.page)));
            }
        }
        Ok(None)
    }
}

fn refuse(faults: &[MetaFault]) -> Error {
    let version = faults.iter().find_map(|f| match f {
        MetaFault::Version(found) => Some(*found),
        _ => None,
    });
    let bad = faults.iter().find_map(|f| match f {
        MetaFault::Bad(what) if *what != "outside the file" => Some(*what),
        _ => None,
    });
    match (version, bad) {
        (Some(found), _) => Error::Version { found, supported: meta::VERSION },
        (None, Some(what)) => Error::corrupt(PageId(0), format!("both meta pages: {what}")),
        (None, None) => Error::NotADatabase { detail: "no meta page with the right magic".into() },
    }
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
        let mut engine = Engine {
            platform,
            shared,
            options,
            uuid,
            page_size,
            opening_pages_read: pages,
            opened_at: TxnId::NONE,
            writer: Arc::default(),
            writer_thread: AtomicU64::new(0),
            leadership: Leadership::default(),
            unflushed: AtomicBool::new(false),
        };
        engine.opened_at = engine.built();
        Ok(Arc::new(engine))
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
    words.dead.0.iter().for_each(|w| w.store(0, Ordering::SeqCst));
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
