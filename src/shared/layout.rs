//! What stands where in the shared memory beside a database. Fixed by the layout version: nobody
//! ever takes a size or an index from the memory itself.
//!
//! Everything is an atomic integer. Words that are written by different parties stand 128 bytes
//! apart. The rules that say who writes what, when and in which order are 1 to 32 and B1 to B17 of
//! docs/design.md; the comments here name the rule that owns a word. Under `--cfg loom` there is
//! less of everything.

use super::sync::{AtomicU32, AtomicU64};
use crate::format::meta;
use crate::storage::LOCK_MAGIC;

/// Changes whenever a byte of this layout changes its meaning, and with every feature of the file
/// that whoever has the database open must know: so builds that do not understand each other never
/// meet in one lock file.
pub const VERSION: u64 = 11;
/// The features that builds of this layout know.
const _: () = assert!(meta::KNOWN_TO_WRITE == 1 && meta::KNOWN_TO_READ == 31);
/// First word of a lock file.
pub const MAGIC: u64 = u64::from_le_bytes(LOCK_MAGIC);
/// Reader slots.
pub const SLOTS: usize = if cfg!(loom) { 2 } else { 8192 };
/// Slots that a handle keeps when nobody reads in them; those beyond are given back (B2).
pub const KEPT: u32 = if cfg!(loom) { 1 } else { 8 };
/// Handles (one per open of a database) that can exist at the same time.
pub const HANDLES: u32 = if cfg!(loom) { 3 } else { 1024 };
/// Records in the list of pages written since the last durable commit.
pub const RECORDS: usize = if cfg!(loom) { 1 } else { 32_768 };
/// Ranges of ids that were rolled back.
pub const DEAD_RANGES: usize = if cfg!(loom) { 2 } else { 8 };
/// Words of the image of a built transaction.
pub const IMAGE_WORDS: usize = if cfg!(loom) { 2 } else { 512 };
/// Levels of [`Times`], and the notes that each keeps.
pub const TIME_LEVELS: usize = if cfg!(loom) { 1 } else { 24 };
/// See [`TIME_LEVELS`].
pub const TIMES_EACH: usize = if cfg!(loom) { 1 } else { 8 };
/// Words of a snapshot descriptor; word 0 is the transaction id.
pub const DESCRIPTOR_WORDS: usize = if cfg!(loom) { 2 } else { 8 };

/// A snapshot as readers copy it: word 0 is the transaction id, the others belong to `txn`.
pub type Descriptor = [u64; DESCRIPTOR_WORDS];

/// A group of words on cache lines of its own (two, for the adjacent-line prefetcher).
#[derive(Default)]
#[repr(C, align(128))]
pub struct Line<T>(pub T);

/// Who the memory belongs to; written by the first opener alone (B1).
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub struct Identity {
    /// [`MAGIC`].
    pub magic: AtomicU64,
    /// [`VERSION`].
    pub version: AtomicU64,
    /// 1 once everything is initialised; stored last, with Release.
    pub ready: AtomicU64,
    /// Boot id of the machine, two words.
    pub boot: [AtomicU64; 2],
    /// Uuid of the database, two words.
    pub uuid: [AtomicU64; 2],
    /// Device and inode of the data file.
    pub data_file: [AtomicU64; 2],
    /// Page size of the database.
    pub page_size: AtomicU64,
    /// 1 while a recovery that has not ended may have left the slots half-written (rules 25, 27).
    pub opening: AtomicU64,
    /// Random number of the session, drawn by whoever started from the disk: every meta that is
    /// written carries it (rule 28).
    pub session: AtomicU64,
    /// The newer meta that opening has refused: id << 1 | slot, 0 none; and the page that did not
    /// verify, 0 if it was the meta itself.
    pub refused: [AtomicU64; 2],
}

/// Full image of a built transaction: what the next writer, perhaps in another process, starts
/// from.
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub struct Image {
    /// Meta page bytes without manifest, with their crc; 8 bytes a word.
    pub meta: [AtomicU64; IMAGE_WORDS],
    /// Records of the list that belong to this transaction or an older one: index one past the
    /// last.
    pub list_end: AtomicU64,
    /// Ids above the last durable one whose pages do not stand in the list because it was full: 0
    /// none.
    pub unlisted: AtomicU64,
    /// Bytes of all pages that were ever listed, up to this transaction.
    pub list_bytes: AtomicU64,
    /// The snapshot that was visible when it was decided what this transaction may use again: an
    /// older one is not whole any more.
    pub judged_at: AtomicU64,
    /// `check` of the last of these records; 0 where none was ever listed.
    pub list_check: AtomicU64,
    /// Over the six above and the session (rule 32).
    pub check: AtomicU64,
}

/// What is known about a slot of the file.
#[derive(Default)]
#[repr(C)]
pub struct SlotWords {
    /// Id of the meta that it holds or may hold.
    pub id: AtomicU64,
    /// What was synced there: crc of the meta page | low half of its id << 32; 0 not known. It
    /// names the id, so that no mixture of an old and a new word passes. Once true it stays true:
    /// the bytes in the slot may become others, which then have another crc.
    pub content: AtomicU64,
}

/// What the commit protocol shares; `words` has a method for each step that changes one.
#[derive(Default)]
#[repr(C)]
pub struct CommitWords {
    /// W: newest built transaction: id << 1 | index of its image (rule 8).
    pub(super) built: Line<AtomicU64>,
    /// F: transaction being flushed, 0 none (rule 9). Set and the flush lock free: its leader died.
    pub(super) flushing: Line<AtomicU64>,
    /// D and Y: newest durable transaction: id << 1 | slot that holds its meta (rule 13).
    pub(super) durable: Line<AtomicU64>,
    /// The two slots. What was synced with an id above D is the work of a leader who died before he
    /// said more (rule 13).
    pub(super) slots: Line<[SlotWords; 2]>,
    /// Not 0: the next writer repairs first (rules 15, 19). Bit 0: a sync failed, or a repair has
    /// not ended. Bit 1: a sync failed since the last repair that ended (rule 21).
    pub(super) repair: Line<AtomicU64>,
    /// Highest transaction id ever used (rule 3).
    pub(super) last_id: Line<AtomicU64>,
    /// Highest page count ever built (rule 5).
    pub(super) page_high: Line<AtomicU64>,
    /// Highest transaction id whose flush failed: its waiters get "outcome unknown".
    pub(super) failed: Line<AtomicU64>,
    /// Ids that were rolled back: lowest and highest of some ranges (rules 5, 22); lowest 0: none.
    pub(super) dead: Line<[[AtomicU64; 2]; DEAD_RANGES]>,
    /// First record of the list that is not yet durable: written by the flusher (rule 13).
    pub(super) list_start: Line<AtomicU64>,
    /// Bytes listed up to the last durable transaction: stored after `list_start`.
    pub(super) bytes_start: Line<AtomicU64>,
    /// Limit of ids in the durable meta: a deferred commit above it is not shown before it is
    /// durable (rule 29).
    pub(super) id_limit: Line<AtomicU64>,
}

/// Where D stands in them.
#[cfg(feature = "harness")]
pub const DURABLE_AT: usize = std::mem::offset_of!(CommitWords, durable);

/// One record of the list of pages written, or freed again, since the last durable commit.
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub struct Record {
    /// Page number | kind << 48 (1 page with header, 2 overflow run, 3 freed).
    pub page: AtomicU64,
    /// Pages << 32 | crc.
    pub pages_crc: AtomicU64,
    /// Transaction that wrote or freed it.
    pub txn: AtomicU64,
    /// Over the three above, the same word of the record before it, and the session (rule 32). With
    /// it a record has 32 bytes: none lies in two pages or sectors.
    pub check: AtomicU64,
}

/// One reader slot (B2-B4, B9).
#[cfg_attr(loom, derive(Default))]
#[repr(C, align(128))]
pub struct Slot {
    /// Snapshot that is read: 0 idle, [`PENDING`] pins everything.
    pub txn: AtomicU64,
    /// 0 free, else handle index + 1.
    pub owner: AtomicU32,
    /// Process that claimed it last, as it knows itself. For people: a process in another container
    /// has another number here, and numbers are used again. Whether the owner lives is told by the
    /// lock of its handle alone.
    pub pid: AtomicU32,
}

/// When which snapshot was visible (`times`). For people.
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub struct Times {
    /// Notes that were ever made << 32 | second of the last, counted from the boot.
    pub clock: AtomicU64,
    /// Id and second. Note n stands in the level that says how often 2 divides n.
    pub notes: [[[AtomicU64; 2]; TIMES_EACH]; TIME_LEVELS],
}

/// A reader that could not settle on a snapshot yet: pins every page that anything sees.
pub const PENDING: u64 = u64::MAX;

/// The whole shared memory.
#[cfg_attr(loom, derive(Default))]
#[repr(C, align(4096))]
pub struct Layout {
    /// Who it belongs to.
    pub identity: Line<Identity>,
    /// Visible snapshot: id << 2 | ring entry. Entries 0 and 1 are written by builders (writer
    /// lock), 2 and 3 by flushers (flush lock), each turning between its two; the word moves by
    /// compare-and-swap and only upwards, so no two writers ever meet in one entry (B3, B5).
    pub visible: Line<AtomicU64>,
    /// Processes that wait for `visible` to move (B17).
    pub waiters: Line<AtomicU32>,
    /// Snapshot descriptors.
    pub ring: [Line<[AtomicU64; DESCRIPTOR_WORDS]>; 4],
    /// Words of the commit protocol.
    pub commit: CommitWords,
    /// Slots with this index and above have never been claimed (B6).
    pub slots_used: Line<AtomicU64>,
    /// A bit for each handle index that is believed to be taken: where to look for a free one. The
    /// byte locks are what counts.
    pub handles: Line<[AtomicU64; HANDLES.div_ceil(64) as usize]>,
    /// When which snapshot was visible.
    pub times: Line<Times>,
    /// Images of built transactions (rule 8).
    pub images: [Line<Image>; 2],
    /// Reader slots.
    pub slots: [Slot; SLOTS],
    /// Pages since the last durable commit; a ring, indices modulo [`RECORDS`].
    pub list: [Record; RECORDS],
}

/// Bytes of the shared memory and of the lock file.
pub const SIZE: usize = size_of::<Layout>();

/// Lock bytes. They lie far beyond the end of the lock file, so that they never coincide with
/// mapped bytes.
pub mod byte {
    use crate::storage::LockByte;

    const BASE: u64 = 1 << 40;
    /// O: held, exclusively, during an open.
    pub const OPEN: LockByte = LockByte(BASE);
    /// G: shared by every handle that has the database open; also locked on the data file.
    pub const GATE: LockByte = LockByte(BASE + 1);
    /// W: the writer lock.
    pub const WRITER: LockByte = LockByte(BASE + 2);
    /// The flush lock.
    pub const FLUSH: LockByte = LockByte(BASE + 3);
    /// Locked on the data file, beside the gate, by a handle that nobody else may open it beside:
    /// it tells others why they do not come in.
    pub const EXCLUSIVE: LockByte = LockByte(BASE + 4);
    /// H: proof of life of handle `index`.
    pub const fn handle(index: u32) -> LockByte {
        LockByte(BASE + 16 + index as u64)
    }
    /// T: read lock of a reader that cannot write slots, at snapshot `txn` (B16).
    pub const fn snapshot(txn: u64) -> LockByte {
        LockByte((1 << 41) + txn)
    }
}
