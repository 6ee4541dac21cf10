//! Where each field of the file stands, as docs/format.md tells it: one table for each structure.
//! Whatever is written or read goes through these tables, here and in the inspector, and
//! `tests/format.rs` compares them with the document.

use super::bytes::{get_u16, get_u32, get_u48, get_u64, put_u16, put_u32, put_u48, put_u64};

/// A field of fixed size: what the document calls it, and where it stands in its structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Structure it belongs to: the title of its table in the document.
    #[cfg_attr(not(any(test, feature = "harness")), allow(dead_code))] // for the test of it
    pub section: &'static str,
    /// Name in that table.
    pub name: &'static str,
    /// Offset from the start of the structure, in bytes.
    pub at: usize,
    /// Bytes; 0 for a field without a fixed size.
    pub size: usize,
}

impl Field {
    /// The integer in this field of the structure that starts at `base`; None outside `b`.
    #[inline(always)]
    pub fn get(&self, b: &[u8], base: usize) -> Option<u64> {
        let at = base.checked_add(self.at)?;
        match self.size {
            1 => b.get(at).map(|&x| x.into()),
            2 => get_u16(b, at).map(u64::from),
            4 => get_u32(b, at).map(u64::from),
            6 => get_u48(b, at),
            8 => get_u64(b, at),
            _ => None,
        }
    }

    /// The same of a structure that begins with `b`; 0 outside it.
    #[inline(always)]
    pub fn of(&self, b: &[u8]) -> u64 {
        self.get(b, 0).unwrap_or(0)
    }

    /// Stores an integer, which fits the field. Panics outside `b`: only called on buffers of our
    /// own.
    #[inline(always)]
    pub fn put(&self, b: &mut [u8], base: usize, v: u64) {
        debug_assert!(self.size == 8 || v < 1 << (8 * self.size));
        let at = base + self.at;
        match self.size {
            1 => b[at] = v as u8,
            2 => put_u16(b, at, v as u16),
            4 => put_u32(b, at, v as u32),
            6 => put_u48(b, at, v),
            8 => put_u64(b, at, v),
            _ => unreachable!("{} is no integer", self.name),
        }
    }

    /// The bytes of this field.
    pub fn slice<'a>(&self, b: &'a [u8], base: usize) -> Option<&'a [u8]> {
        let at = base.checked_add(self.at)?;
        b.get(at..at.checked_add(self.size)?)
    }

    /// Whether all bytes of this field are zero; false outside `b`.
    pub fn is_zero(&self, b: &[u8], base: usize) -> bool {
        self.slice(b, base).is_some_and(|s| s.iter().all(|&x| x == 0))
    }

    /// Where the field stands in a structure at `base`.
    pub fn range(&self, base: usize) -> std::ops::Range<usize> {
        base + self.at..base + self.end()
    }

    /// First byte behind the field.
    pub const fn end(&self) -> usize {
        self.at + self.size
    }
}

/// Declares the fields of one structure as constants, in a module of its own, with a list of them
/// all.
macro_rules! fields {
    ($(#[$doc:meta])* $module:ident, $section:literal:
     $($constant:ident = $name:literal $at:literal $size:literal;)*) => {
        $(#[$doc])*
        pub mod $module {
            use super::Field;
            // Some stand here for the document alone: what is told of them is told of others too.
            $(#[cfg_attr(not(any(test, feature = "harness")), allow(dead_code))]
            pub const $constant: Field =
                Field { section: $section, name: $name, at: $at, size: $size };)*
            /// All of them, in order.
            #[cfg(any(test, feature = "harness"))]
            pub const ALL: &[Field] = &[$($constant),*];
        }
    };
}

fields! {
    /// Header of branch, leaf and free-log pages.
    header, "Page header":
    CRC = "crc" 0 4;
    KIND = "kind" 4 1;
    LEVEL = "level" 5 1;
    COUNT = "count" 6 2;
    BIRTH = "birth" 8 8;
    HEAP_LEN = "heap_len" 16 2;
    HEAP_DEAD = "heap_dead" 18 2;
    PREFIX_LEN = "prefix_len" 20 2;
    ZERO = "zero" 22 2;
}

fields! {
    /// What stands between the header and the heads.
    page, "Branch and leaf pages":
    LEFTMOST = "leftmost child" 24 8;
    BRANCH_PREFIX = "branch" 32 0;
    LEAF_PREFIX = "leaf" 24 0;
}

fields! {
    /// Cell of a leaf.
    leaf_cell, "Leaf cell":
    KEY_LEN = "key_len" 0 2;
    VALUE_TAG = "value_tag" 2 2;
    REST = "rest" 4 0;
}

fields! {
    /// Cell of a branch.
    branch_cell, "Branch cell":
    CHILD = "child" 0 6;
    KEY_LEN = "key_len" 6 2;
    REST = "rest" 8 0;
}

fields! {
    /// Reference to an overflow run, in a leaf cell.
    overflow, "Overflow reference":
    FIRST = "first" 0 8;
    LEN = "len" 8 8;
    BIRTH = "birth" 16 8;
    CRC = "crc" 24 4;
    ZERO = "zero" 28 4;
}

fields! {
    /// Value at an aligned place, in a leaf cell.
    aligned, "Aligned value":
    LEN = "len" 0 2;
    SHIFT = "shift" 2 1;
    PAD = "pad" 3 1;
    BYTES = "bytes" 4 0;
}

fields! {
    /// Several values of one key, in a leaf cell.
    set, "Inline set":
    LEN = "len" 0 2;
    VALUE_SIZE = "value_size" 2 2;
    COUNT = "count" 4 2;
    BODY = "body" 6 0;
}

fields! {
    /// Reference to a tree of the values of one key, in a leaf cell.
    set_tree, "Set tree":
    LEN = "len" 0 2;
    VALUE_SIZE = "value_size" 2 2;
    DEPTH = "depth" 4 2;
    ROOT = "root" 6 6;
    ENTRIES = "entries" 12 8;
    BRANCH_PAGES = "branch_pages" 20 8;
    LEAF_PAGES = "leaf_pages" 28 8;
}

fields! {
    /// Entry of what a table descriptor has behind its fixed fields.
    option, "Table option":
    KIND = "kind" 0 1;
    LEN = "len" 1 1;
    BYTES = "bytes" 2 0;
}

fields! {
    /// Table descriptor.
    table, "Table descriptor":
    ROOT = "root" 0 8;
    ENTRIES = "entries" 8 8;
    BRANCH_PAGES = "branch_pages" 16 8;
    LEAF_PAGES = "leaf_pages" 24 8;
    OVERFLOW_PAGES = "overflow_pages" 32 8;
    DEPTH = "depth" 40 2;
    KIND = "kind" 42 1;
    ALIGN_SHIFT = "align_shift" 43 1;
    ORDER = "order" 44 2;
    VALUE_SIZE = "value_size" 46 2;
    SEQUENCE = "sequence" 48 8;
    PAIRS = "pairs" 56 8;
}

fields! {
    /// Meta page.
    meta, "Meta page":
    MAGIC = "magic" 0 8;
    VERSION = "version" 8 4;
    PAGE_SIZE = "page_size" 12 4;
    UUID = "uuid" 16 16;
    TXN = "txn" 32 8;
    PAGE_COUNT = "page_count" 40 8;
    CATALOG = "catalog" 48 64;
    MANIFEST_COUNT = "manifest_count" 112 4;
    PHASE = "phase" 116 4;
    FREE_PAGES = "free_pages" 120 8;
    READY_COUNT = "ready_count" 128 4;
    ZERO_A = "zero" 132 4;
    QUEUES = "queues" 136 160;
    FEATURES = "features" 296 4;
    WRITE_FEATURES = "write_features" 300 4;
    READ_FEATURES = "read_features" 304 4;
    ZERO_B = "zero" 308 4;
    SESSION = "session" 312 8;
    ID_LIMIT = "id_limit" 320 8;
    COMMITS = "commits" 328 8;
    SYSTEM = "system" 336 64;
    REDO_LOG = "redo_log" 400 56;
    ZERO_C = "zero" 456 52;
    CRC = "crc" 508 4;
    BODY = "body" 512 3584;
}

fields! {
    /// What the system tree has under the name of a snapshot.
    snapshot, "Named snapshot":
    TXN = "txn" 0 8;
    CREATED = "created" 8 8;
    DROPPED = "dropped" 16 8;
    TIME = "time" 24 8;
    CATALOG = "catalog" 32 64;
}

fields! {
    /// One of the five free-log queues in the meta page.
    queue, "Free-log queue":
    PIN = "pin" 0 8;
    HEAD = "head" 8 8;
    TAIL = "tail" 16 8;
    HEAD_USED = "head_used" 24 2;
    INLINE_COUNT = "inline_count" 26 2;
    PAGES = "pages" 28 4;
}

fields! {
    /// Entry of the ready list.
    ready, "Ready extent":
    START = "start" 0 6;
    LENGTH = "len" 6 2;
}

fields! {
    /// Entry of a free-log queue, inline or in a log page.
    free, "Free entry":
    START = "start" 0 6;
    LENGTH = "len" 6 2;
    BIRTH = "birth" 8 8;
    DEATH = "death" 16 8;
}

fields! {
    /// Entry of the pool, inline or in a log page. Read as a free entry.
    map, "Map":
    START = "start" 0 6;
    GROUPS = "groups" 6 2;
    BITS = "bits" 8 8;
    ZERO = "zero" 16 8;
}

fields! {
    /// Entry of the manifest.
    manifest, "Manifest entry":
    PAGE = "page" 0 6;
    CRC = "crc" 6 4;
    PAGES = "pages" 10 2;
}

fields! {
    /// Free-log page.
    log, "Free-log page":
    HEADER = "header" 0 24;
    NEXT = "next" 24 8;
    ENTRIES = "entries" 32 0;
}

/// Every page of a database is at least as large as the meta proper.
pub const META_SIZE: usize = meta::BODY.end();
/// Bytes of a table descriptor without options.
pub const DESCRIPTOR_SIZE: usize = table::PAIRS.end();
/// Bytes of a reference to a tree of values.
pub const SET_TREE_SIZE: usize = set_tree::LEAF_PAGES.end();
/// Bytes of an overflow reference.
pub const OVERFLOW_SIZE: usize = overflow::ZERO.end();
/// Bytes of a named snapshot.
pub const SNAPSHOT_SIZE: usize = snapshot::CATALOG.end();
/// Bytes of one free-log queue in the meta page.
pub const QUEUE_SIZE: usize = queue::PAGES.end();
/// Bytes of a ready extent.
pub const READY_SIZE: usize = ready::LENGTH.end();
/// Bytes of a free entry.
pub const FREE_SIZE: usize = free::DEATH.end();
/// Bytes of a manifest entry.
pub const MANIFEST_SIZE: usize = manifest::PAGES.end();
/// Free-log queues.
pub const QUEUES: usize = meta::QUEUES.size / QUEUE_SIZE;

/// The structures of the file for tests that compare them with the document.
#[cfg(any(test, feature = "harness"))]
pub mod table_of_fields {
    use super::*;

    /// Every field as (structure, field, offset, size); size 0 where it is not fixed.
    pub fn format_table() -> Vec<(&'static str, &'static str, usize, usize)> {
        let all = [
            header::ALL,
            page::ALL,
            leaf_cell::ALL,
            branch_cell::ALL,
            overflow::ALL,
            aligned::ALL,
            set::ALL,
            set_tree::ALL,
            table::ALL,
            option::ALL,
            meta::ALL,
            snapshot::ALL,
            queue::ALL,
            ready::ALL,
            free::ALL,
            map::ALL,
            manifest::ALL,
            log::ALL,
        ];
        all.iter().flat_map(|s| s.iter()).map(|f| (f.section, f.name, f.at, f.size)).collect()
    }
}
