//! What the crash tests need beside the public API and [`crate::internals`]. Behind the feature
//! `harness`; no promise of stability.

pub use crate::format::fields::table_of_fields::format_table;
pub use crate::internals::*;
pub use crate::os::write_back_failed;
pub use crate::storage::mmap::hook::on_step;
pub use crate::storage::sim;

use crate::api::builder::Builder;
use crate::api::db::Database;
use crate::api::load::{LoadOptions, Loader};
use crate::api::transaction::WriteTxn;
use crate::error::Result;
use crate::format::fields::meta as m;
use crate::format::freelog;
use crate::format::meta::{self, Meta};
use crate::format::page::KIND_FREE_LOG;
use crate::inspect::Report;
use crate::shared::layout;
use crate::storage::PlatformRef;
use crate::types::TableKind;
use std::sync::Arc;

/// Bytes of the shared memory.
pub const SHARED_LEN: usize = layout::SIZE;

/// Readers that the shared memory has room for.
pub const READER_SLOTS: usize = layout::SLOTS;

/// What is new about a file that this build does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Newer {
    /// The version of the format.
    Version,
    /// A feature that must be known to read.
    ToRead,
    /// A feature that must be known to write.
    ToWrite,
}

/// What a newer build might store in the place of the meta `here`, beside the other: the newest of
/// the two, and something new in it.
pub fn newer_meta(here: &[u8], other: &[u8], newer: Newer) -> Option<Vec<u8>> {
    let newest = [here, other].into_iter().filter_map(|b| Some((Meta::decode(b).ok()?.0.txn, b)));
    let (txn, bytes) = newest.max_by_key(|(txn, _)| *txn)?;
    let mut bytes = bytes[..meta::SIZE].to_vec();
    match newer {
        Newer::Version => m::VERSION.put(&mut bytes, 0, u64::from(meta::VERSION) + 1),
        Newer::ToRead => m::READ_FEATURES.put(&mut bytes, 0, 1 << 31),
        Newer::ToWrite => {
            let known = m::WRITE_FEATURES.of(&bytes);
            m::WRITE_FEATURES.put(&mut bytes, 0, known | 1 << 31);
        }
    }
    m::TXN.put(&mut bytes, 0, txn.0 + 1);
    // The first commit of a session stands at the limit itself; above it a meta is damaged.
    let limit = m::ID_LIMIT.of(&bytes);
    m::ID_LIMIT.put(&mut bytes, 0, if limit == 0 { 0 } else { limit.max(txn.0 + 1) });
    meta::seal(&mut bytes);
    Some(bytes)
}

/// The meta `here` as it is, but with a feature that must be known to write. It may be the older of
/// the two: a newer build may have given the feature up since.
pub fn same_meta_newer(here: &[u8]) -> Option<Vec<u8>> {
    Meta::decode(here).ok()?;
    let mut bytes = here.get(..meta::SIZE)?.to_vec();
    let known = m::WRITE_FEATURES.of(&bytes);
    m::WRITE_FEATURES.put(&mut bytes, 0, known | 1 << 31);
    meta::seal(&mut bytes);
    Some(bytes)
}

/// Id and session of the newest meta of a file.
pub fn newest_meta(file: &[u8], page_size: usize) -> Option<(u64, u64)> {
    let slots = [0, page_size].into_iter().filter_map(|at| Meta::decode(file.get(at..)?).ok());
    let newest = slots.max_by_key(|(meta, _)| (meta.txn, meta.id_limit));
    newest.map(|(meta, _)| (meta.txn.0, meta.session))
}

/// A machine whose disk holds `image`.
pub fn machine(image: &[u8], page_size: usize, seed: u64) -> Result<sim::SimDisk> {
    let mut options = sim::SimOptions::new(seed, SHARED_LEN);
    options.page_size = page_size as u32;
    options.on_deadlock = sim::Deadlock::GiveUp;
    options.lock_events = true;
    sim::SimDisk::from_image(image, options)
}

/// Opens the database on a simulated machine, in a process of its own.
pub fn open(process: Arc<sim::SimProcess>, builder: &Builder) -> Result<Database> {
    builder.on_platform(process as PlatformRef)
}

/// As [`Database::loader`], where only a write transaction is at hand: it may outlive its handle.
pub fn loader(txn: &WriteTxn, kind: TableKind, options: &LoadOptions) -> Loader {
    Loader::of_kind(txn.writer().engine(), kind, options)
}

/// Bytes of the pages that an opening may have to read to prove the visible snapshot, if nothing
/// newer is built.
pub fn unproved_bytes(db: &Database) -> Option<u64> {
    let engine = db.engine();
    let image = engine.load_image().ok()?;
    let visible = engine.shared.visible() == image.meta.txn;
    let start = engine.words().bytes_start();
    visible.then(|| image.list_bytes.saturating_sub(start))
}

/// The first log page of each queue of the newest transaction: what the next one reads first.
pub fn log_heads(db: &Database) -> Vec<u64> {
    let queues = db.engine().load_image().map(|image| image.meta.space.queues);
    let used = |q: &freelog::Queue| (q.pages > 0).then_some(q.head.0);
    queues.map_or(Vec::new(), |queues| queues.iter().filter_map(used).collect())
}

/// No thread of this process is sent the write transaction of another: whoever asks for it where he
/// has it is told so at once.
pub fn no_grace() {
    crate::commit::writer_thread::no_grace();
}

/// The full check of a database image without any live process.
pub fn check_image(image: &[u8]) -> Result<Report> {
    crate::api::checking::check_bytes(image)
}

/// Device flushes asked for by a handle on a real file.
pub fn sync_count(db: &Database) -> u64 {
    db.engine().platform.sync_count()
}

/// Whether the first bytes of a page look like those of a free-log page. For statistics: an
/// overflow page can look like anything.
pub fn is_log_page(bytes: &[u8]) -> bool {
    PageHeader::read(bytes)
        .is_some_and(|h| h.kind == KIND_FREE_LOG && h.level == 0 && h.birth.0 < 1 << 32)
}

/// Whether they look like those of a free-log page of the pool.
pub fn is_pool_page(bytes: &[u8]) -> bool {
    let first =
        bytes.get(freelog::ENTRIES..).and_then(|b| freelog::FreeEntry::decode(b, u64::MAX, true));
    is_log_page(bytes) && first.is_some()
}

/// Where the session stands in the lock file, in bytes.
pub const LOCK_FILE_SESSION: usize = std::mem::offset_of!(layout::Layout, identity)
    + std::mem::offset_of!(layout::Identity, session);

pub use crate::commit::image::mend_image;

/// As a newer build leaves the image of its commit, whose words these are: with a feature that must
/// be known to write.
pub fn newer_image(words: &mut [u64], session: u64) {
    const BIT: usize = 8 * m::WRITE_FEATURES.at + 31;
    words[BIT / 64] |= 1 << (BIT % 64);
    mend_image(words, session);
}

/// Parts of the lock file: name, offset and length in bytes. All but the identity may change while
/// somebody has it open.
pub const LOCK_FILE_PARTS: [(&str, usize, usize); 10] = {
    use layout::Layout;
    use std::mem::offset_of;
    const COMMIT: usize = offset_of!(Layout, commit);
    [
        ("identity", 0, offset_of!(Layout, visible)),
        ("visible", offset_of!(Layout, visible), 8),
        ("ring", offset_of!(Layout, ring), 512),
        ("commit words", COMMIT, size_of::<layout::CommitWords>()),
        ("built", COMMIT, 8),
        ("durable", COMMIT + layout::DURABLE_AT, 8),
        ("slots used", offset_of!(Layout, slots_used), 8),
        ("images", offset_of!(Layout, images), 2 * size_of::<layout::Line<layout::Image>>()),
        ("reader slots", offset_of!(Layout, slots), 128 * 64),
        ("list of pages", offset_of!(Layout, list), 32 * 512),
    ]
};
