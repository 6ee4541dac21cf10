//! What the inspector knows of the format beside the fields: values, limits and sizes, told again
//! and not taken from the engine's encoders and decoders.

pub use crate::format::fields::*;

/// The queue whose entries are maps.
pub const POOL: usize = 4;
/// Pages in a group: bits of a map.
pub const GROUP: u64 = 64;

/// First bytes of a meta page.
pub const MAGIC: [u8; 8] = *b"recto\x0d\x0a\x1a";
/// The format version that the engine reads and writes.
pub const VERSION: u64 = 2;
/// The version before it, which is read here too: its table descriptors are values like others.
pub const VERSION_1: u64 = 1;
/// Bytes that the pages of a manifest take at most.
pub const MANIFEST_BYTES: u64 = 4 << 20;
/// Feature that must be known to read: tables whose values are aligned.
pub const ALIGNED_VALUES: u64 = 1;
/// And tables with options behind their descriptors.
pub const TABLE_OPTIONS: u64 = 2;
/// And tables with a set of values for each key.
pub const SETS: u64 = 4;
/// And tables whose keys stand whole, in whatever order.
pub const ORDERS: u64 = 8;
/// And tables that have given out numbers.
pub const SEQUENCES: u64 = 16;
/// Features this room knows, of those that must be known to read.
pub const KNOWN_TO_READ: u64 = ALIGNED_VALUES | TABLE_OPTIONS | SETS | ORDERS | SEQUENCES;
/// Feature that must be known to write: named snapshots.
pub const NAMED_SNAPSHOTS: u64 = 1;
/// Features this room knows, of those that must be known to write.
pub const KNOWN_TO_WRITE: u64 = NAMED_SNAPSHOTS;
/// First byte of the key of a named snapshot in the system tree, and second one of the key of one
/// that was dropped.
pub const SNAPSHOT_FAMILY: u8 = 1;
pub const SNAPSHOT_DROPPED: u8 = 0xff;
/// Longest name of a snapshot.
pub const MAX_SNAPSHOT_NAME: usize = 255;
/// Smallest and largest page.
pub const PAGE_SIZES: [usize; 2] = [4096, 65536];
/// Kinds of pages with a header.
pub const KIND_BRANCH: u64 = 1;
/// A leaf.
pub const KIND_LEAF: u64 = 2;
/// A free-log page.
pub const KIND_LOG: u64 = 3;
/// A leaf of values of one size.
pub const KIND_PACKED: u64 = 4;
/// A branch, and a leaf, with whole keys.
pub const KIND_PLAIN_BRANCH: u64 = 5;
pub const KIND_PLAIN_LEAF: u64 = 6;
/// Bytes of the head of a key.
pub const HEAD: usize = 4;
/// Kinds of tables: one value for each key, a set of values.
pub const MAP: u64 = 0;
pub const SET: u64 = 1;
/// Value tags of several values of a key, and of the tree of them.
pub const TAG_SET: usize = 0x8001;
pub const TAG_SET_TREE: usize = 0x8002;
/// Value tag of an overflow reference; smaller tags are lengths.
pub const TAG_OVERFLOW: usize = 0x8000;
/// Value tag of a value at an aligned place.
pub const TAG_ALIGNED: usize = 0x8004;
/// Value tag of a table descriptor, plus its length. Between it and the first there are no others.
pub const TAG_TABLE: usize = 0xc000;
/// Values are aligned to 2^this bytes at most, and to 2^this where they stand in leaves.
pub const MAX_SHIFT: u64 = 12;
pub const MAX_INLINE_SHIFT: u64 = 6;
/// Kinds of table options.
pub const KEY_TYPE: u64 = 1;
pub const VALUE_TYPE: u64 = 2;
pub const ORDER_NAME: u64 = 3;
/// Longest name of a table.
pub const MAX_NAME: usize = 1024;
/// Phases of a meta page.
pub const PHASE_SEALED: u64 = 1;
/// The pages were synced before the meta was stored.
pub const PHASE_TWO: u64 = 2;
/// Levels a tree can have at most.
pub const MAX_DEPTH: u64 = 48;
/// Page numbers and transaction ids stay below this.
pub const LIMIT: u64 = 1 << 48;

/// Bytes a key may have in pages of this size.
pub fn max_key(page_size: usize) -> usize {
    page_size.saturating_sub(32) / 2 - 10
}

/// Bytes that a value in the leaf takes behind its key, in a table whose values are aligned to
/// 2^shift bytes.
pub fn in_leaf(value_len: u64, shift: u64) -> u64 {
    match (shift, value_len) {
        (0, _) => value_len,
        (_, 0) => 2,
        _ => value_len.saturating_add(3 + (1 << shift)),
    }
}

/// Bytes an entry may have, head, slot and whole cell, to be stored in the leaf.
pub fn max_entry(page_size: usize) -> usize {
    (page_size - 24) / 2
}
