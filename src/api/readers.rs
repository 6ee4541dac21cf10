//! Who reads what and what that costs, for people; and readers above a limit, who are told of at
//! the end of a commit.

use super::checking::{TRIES_WITHOUT_LOCK, pages_held_live};
use crate::commit::engine::Engine;
use crate::error::Result;
use crate::observe::Reader;
use crate::os::process::command;
use crate::shared::ReaderInfo;
use crate::types::TxnId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The lines of the table of readers that are at work. Idle ones are nobody's business.
pub(super) fn lines_at_work(engine: &Engine) -> Result<Vec<ReaderInfo>> {
    let mut lines = engine.shared.reader_table()?;
    lines.retain(|line| line.pending || line.txn != TxnId::NONE);
    Ok(lines)
}

/// All readers, oldest first.
pub(super) fn readers(engine: &Arc<Engine>) -> Result<Vec<Reader>> {
    let mut readers = list(engine).map_err(|e| engine.named(e))?;
    readers.iter_mut().for_each(|reader| name(engine, reader));
    count_pages(engine, &mut readers, TRIES_WITHOUT_LOCK);
    let named = named_ids(engine, &readers);
    for reader in readers.iter_mut().filter(|reader| named.contains(&reader.txn)) {
        reader.pages_held = Some(0);
    }
    Ok(readers)
}

/// Tells of the readers above the limit of the handle, at most once a second, and of each once for
/// a snapshot. No lock is held.
pub(super) fn tell_slow(engine: &Arc<Engine>) {
    let Some(slow) = &engine.options.slow_readers else { return };
    // Who finds it taken leaves: a commit of the callback itself, or another thread's.
    let Some(mut told) = engine.observer.told.try_lock() else { return };
    if !told.is_due(engine.platform.seconds()) {
        return;
    }
    // Nothing that fails here is an error of the commit.
    let Ok(mut readers) = list(engine) else { return };
    told.keep(&readers);
    readers.retain(|reader| reader.behind > 0 && reader.is_alive() && !told.has(reader));
    let free_pages = engine.load_image().map_or(0, |image| image.meta.space.free_pages);
    if !slow.limit.can_hold(free_pages) {
        readers.retain(|reader| slow.limit.is_outdated(reader));
    }
    let named = named_ids(engine, &readers);
    readers.retain(|reader| !named.contains(&reader.txn));
    if readers.is_empty() {
        return;
    }
    count_pages(engine, &mut readers, 1);
    readers.retain(|reader| slow.limit.is_outdated(reader) || slow.limit.holds_too_many(reader));
    for reader in &mut readers {
        name(engine, reader);
        told.note(reader);
        engine.observer.slow_reader(reader);
        slow.tell(reader);
    }
}

/// The readers without what takes longer to find out, oldest first.
fn list(engine: &Engine) -> Result<Vec<Reader>> {
    let lines = lines_at_work(engine)?;
    let observed = engine.shared.observed()?;
    let visible = engine.shared.visible().0;
    let reader = |txn: TxnId, slot, outdated| Reader {
        txn: txn.0,
        slot,
        command: None,
        behind: if txn == TxnId::NONE { 0 } else { visible.saturating_sub(txn.0) },
        outdated,
        pages_held: None,
    };
    let lines = lines.into_iter().map(|line| reader(line.txn, Some(line), line.outdated));
    let observed = observed.into_iter().map(|it| reader(it.txn, None, it.outdated));
    let mut readers: Vec<_> = lines.chain(observed).collect();
    readers.sort_by_key(|reader| reader.txn); // who has not settled, and pins everything, has none
    Ok(readers)
}

fn name(engine: &Engine, reader: &mut Reader) {
    let line = reader.slot.filter(|line| line.alive);
    reader.command = line.and_then(|line| command(line.pid, engine.platform.data_file_id()));
}

/// Ids of the snapshots that have a name, where anybody reads: what such a snapshot sees waits for
/// the name, whoever reads it. None where they cannot be read.
fn named_ids(engine: &Arc<Engine>, readers: &[Reader]) -> BTreeSet<u64> {
    if readers.is_empty() {
        return BTreeSet::new();
    }
    let listed = engine.snapshots().unwrap_or_default();
    listed.into_iter().map(|listed| listed.snapshot.txn.0).collect()
}

/// Where commits leave no moment to look, or there is no slot left to look with, nothing is known.
fn count_pages(engine: &Arc<Engine>, readers: &mut [Reader], tries: u32) {
    if readers.is_empty() {
        return;
    }
    let snapshots: Vec<u64> = readers.iter().map(|reader| reader.txn).collect();
    let Ok(held) = pages_held_live(engine, &snapshots, tries) else { return };
    for (reader, pages) in readers.iter_mut().zip(held.each) {
        reader.pages_held = Some(pages).filter(|_| !reader.is_pending());
    }
}
