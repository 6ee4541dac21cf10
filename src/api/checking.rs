//! The full check over a live database, and over a file that does not open; and reading a live
//! database with a proof of each page.

use crate::commit::engine::Engine;
use crate::error::{Error, Result};
use crate::format::meta::{Meta, MetaFault, Phase};
use crate::inspect::salvage::{Part, SalvageOptions, SalvageReport, Take, salvage_snapshot};
use crate::inspect::{self, CheckOptions, MetaChoice, Pages, PagesHeld, Report, SlotState};
use crate::storage::MapView;
use crate::txn::read::Snapshot;
use crate::types::TxnId;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Tries to see a moment in which the newest transaction is the visible one, half a millisecond
/// apart: where that cannot be waited for, and before the writer lock is taken.
const TRIES: u32 = 2_000;
pub(super) const TRIES_WITHOUT_LOCK: u32 = 20;

/// The pages of a live database.
struct Live<'a> {
    engine: &'a Engine,
    view: MapView,
}

impl Pages for Live<'_> {
    fn len(&self) -> u64 {
        self.view.len as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let (platform, len_bytes) = (&*self.engine.platform, len as u64);
        let bytes = if offset < 2 * self.engine.page_size as u64 {
            // A meta page: a flush may store it meanwhile.
            self.view.copy(platform, offset, len_bytes).map(Cow::Owned)
        } else {
            self.view.slice(platform, offset, len_bytes).map(Cow::Borrowed)
        };
        bytes.ok_or_else(|| {
            Error::no_database(format!("the file ends before byte {}", offset + len as u64))
        })
    }
}

/// Checks the newest visible snapshot while others go on. A reader on it pins every page it has,
/// its free-log pages too; what else it is made of stands in its meta page, if it is durable, or in
/// the image of the newest transaction, if it is that one. When commits follow on each other
/// without a pause neither holds: then the writer lock is taken for as long as a flush takes.
pub(crate) fn check_live(
    engine: &Arc<Engine>,
    progress: Option<&mut dyn FnMut(u64, u64)>,
) -> Result<Report> {
    let (snapshot, meta) = snapshot_and_meta(engine)?;
    let pages = Live { engine, view: engine.platform.storage().refresh()? };
    let meta = MetaChoice::At(meta.encode(&Phase::TwoPhase));
    let orders = &engine.options.orders;
    let orders: Vec<_> = orders.iter().map(|order| (order.name(), order.function())).collect();
    let progress = progress.map(|told| told as &mut dyn FnMut(u64, u64));
    let options = CheckOptions { meta, progress, orders: &orders, ..CheckOptions::default() };
    let report = inspect::check(&pages, options);
    drop(snapshot);
    let mut report = report?;
    if let Some(slots) = slots_at_rest(engine)? {
        report.slots = slots;
    }
    // Until the first write transaction erases it.
    if let Some(refused) = engine.refused_meta().filter(|_| engine.opening_is_pending()) {
        let why = match refused.page {
            Some(page) => format!("transaction {}: page {page} does not verify", refused.txn),
            None => format!("transaction {}: the meta page itself is not whole", refused.txn),
        };
        report.slots[refused.slot & 1] = SlotState::Refused(why);
        report.slots[refused.slot & 1 ^ 1] = SlotState::Valid(engine.durable().txn);
    }
    Ok(report)
}

/// What the two meta pages are, at a moment in which nobody stores them; None if there is none
/// soon.
fn slots_at_rest(engine: &Engine) -> Result<Option<[SlotState; 2]>> {
    for _ in 0..TRIES_WITHOUT_LOCK {
        let before = engine.durable();
        let mut slots = [SlotState::Unread, SlotState::Unread];
        for (slot, state) in slots.iter_mut().enumerate() {
            let bytes = engine.slot_bytes(slot)?;
            *state = match Meta::decode(&bytes) {
                Ok((meta, _)) => SlotState::Valid(meta.txn),
                Err(_) if bytes.iter().all(|&byte| byte == 0) => SlotState::Empty,
                Err(MetaFault::Bad(what)) => SlotState::Refused(what.into()),
                Err(_) => SlotState::Refused("no meta page with the right magic".into()),
            };
        }
        let both = slots.iter().all(|slot| matches!(slot, SlotState::Valid(_)));
        let at_rest = engine.words().flushing() == TxnId::NONE && engine.durable() == before;
        if both || at_rest {
            return Ok(Some(slots));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(None)
}

/// Gives a part of the newest visible snapshot, page by page as each has been proved.
pub(crate) fn salvage_live(
    engine: &Arc<Engine>,
    part: Part<'_>,
    options: SalvageOptions<'_>,
    take: Take<'_>,
) -> Result<SalvageReport> {
    let (snapshot, meta) = snapshot_and_meta(engine)?;
    let pages = Live { engine, view: engine.platform.storage().refresh()? };
    let report = salvage_snapshot(&pages, &meta.encode(&Phase::TwoPhase), part, options, take);
    drop(snapshot);
    report
}

/// What these snapshots keep from being used again. Takes no lock.
pub(super) fn pages_held_live(
    engine: &Arc<Engine>,
    snapshots: &[u64],
    tries: u32,
) -> Result<PagesHeld> {
    let (snapshot, meta) = within_tries(engine, tries)?.ok_or(Error::Busy { path: None })?;
    let pages = Live { engine, view: engine.platform.storage().refresh()? };
    let meta = MetaChoice::At(meta.encode(&Phase::TwoPhase));
    let held = inspect::pages_held_by(&pages, &meta, snapshots);
    drop(snapshot);
    held
}

fn snapshot_and_meta(engine: &Arc<Engine>) -> Result<(Snapshot, Meta)> {
    if let Some(found) = within_tries(engine, TRIES_WITHOUT_LOCK)? {
        return Ok(found);
    }
    if !engine.options.read_only {
        return engine.with_all_durable(|| {
            let snapshot = engine.begin_read()?;
            let meta = engine.meta_of(snapshot.txn)?.ok_or(Error::Busy { path: None })?;
            Ok((snapshot, meta))
        });
    }
    within_tries(engine, TRIES)?.ok_or(Error::Busy { path: None })
}

/// A snapshot and its meta, if in one of so many moments the newest transaction, or the durable
/// one, is the visible one.
fn within_tries(engine: &Arc<Engine>, tries: u32) -> Result<Option<(Snapshot, Meta)>> {
    for n in 0..tries {
        if n > 0 {
            std::thread::sleep(Duration::from_micros(500));
        }
        let snapshot = engine.begin_read()?;
        if let Some(meta) = engine.meta_of(snapshot.txn)? {
            return Ok(Some((snapshot, meta)));
        }
    }
    Ok(None)
}

/// Checks a file without opening it as a database: no lock, no map, no writing. For files that do
/// not open, and for copies; on a database that is being written the answer may be wrong. It knows
/// no function of an order of keys ([`Report::unproved_orders`]).
///
/// Errors: [`Error::NotADatabase`], [`Error::Version`], [`Error::Io`]; everything else is a fault
/// in the report. Reads the whole file; memory: a byte a page, where
/// snapshots have a name three, and about 100 for each page that only they have.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # drop(unsafe { recto::Database::open(&path)? });
/// let report = recto::check_file(&path, None)?;
/// assert!(report.is_clean(), "{:?}", report.faults);
/// # Ok(()) }
/// ```
pub fn check_file(
    path: impl AsRef<Path>,
    progress: Option<&mut dyn FnMut(u64, u64)>,
) -> Result<Report> {
    let pages = inspect::FilePages::open(path.as_ref())?;
    let report = inspect::check(&pages, CheckOptions { progress, ..CheckOptions::default() });
    report.map_err(|e| e.at(path.as_ref()))
}

#[cfg(any(test, feature = "harness"))]
pub(crate) fn check_bytes(image: &[u8]) -> Result<Report> {
    inspect::check(&image, CheckOptions::default())
}

#[cfg(test)]
mod tests {
    use crate::{Database, Durability};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The durable meta is looked for while a flush stores the other, and then this one. For
    /// ThreadSanitizer.
    #[test]
    fn a_check_beside_flushes_in_memory() {
        let db = Database::in_memory().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            for durability in [Durability::Durable, Durability::Deferred] {
                let (db, done) = (&db, &done);
                s.spawn(move || {
                    for i in 0..300u64 {
                        let mut txn = db.write().unwrap();
                        txn.set_durability(durability);
                        let mut table = txn.open_table("main").unwrap();
                        table.put(&(i % 20).to_le_bytes(), &i.to_le_bytes()).unwrap();
                        txn.commit().unwrap();
                    }
                    done.store(true, Ordering::Relaxed);
                });
            }
            while !done.load(Ordering::Relaxed) {
                assert_eq!(db.check(None).unwrap().fault_count, 0);
                db.info().unwrap();
            }
        });
        assert_eq!(db.check(None).unwrap().fault_count, 0);
    }
}
