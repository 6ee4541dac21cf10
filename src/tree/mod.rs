//! The B+tree over pages: search, cursors, insert, remove.
//!
//! The tree does not know where pages come from: it reads through a [`PageSource`] and writes
//! through a [`PageSink`]. A tree is its [`TableDescriptor`], which every change keeps exact.
//!
//! - T1: the levels of a path fall by exactly one from the root (depth - 1) to the leaf (0), so
//!   every descent is bounded.
//! - T2: all leaves have the same depth; a branch has at least two children.
//! - T3: separator *i* of a branch is above every key of child *i* and not above any key of the
//!   child behind it.
//! - T4: a page is changed in place only if this transaction wrote it, and no savepoint still needs
//!   it as it is; any other is copied, the copy takes its place in the parent, and so up to the
//!   root. No page is younger than the one that leads to it: where a transaction has had several
//!   ids ([`PageSink::floor`]), a page of its own with an older one gets the newest, and so up to
//!   the root.
//! - T5: `get` and cursors change nothing.
//! - T6: what is kept from one operation to the next is looked at again before it is used: in a
//!   damaged file two trees may share pages.
//!
//! Reading may go on in many threads, as far as the source allows; writing needs the sink to
//! itself. An operation that fails half-way leaves pages of its own transaction in disorder and
//! nothing else: the transaction can only be dropped.
#![forbid(unsafe_code)]

mod branch;
mod catalog;
mod copy;
mod cursor;
mod diff;
mod entry;
mod estimate;
mod insert;
mod key;
mod leaves;
mod nearest;
mod packed;
mod pages;
mod paused;
mod position;
mod range;
mod read_ahead;
mod remove;
mod remove_range;
mod sample;
mod search;
mod set;
mod set_diff;
mod set_load;
mod set_position;
mod set_values;
mod sets;
mod split;
mod system;

#[cfg(test)]
mod tests;

pub use catalog::{Listed, changed_tables, put_table, stored_table, tables};
pub use copy::copy_tree;
#[cfg(test)]
pub use cursor::Cursor;
pub use diff::{Change, Diff, Version};
pub use entry::Located;
pub use estimate::{count_range, estimate_range, split_range};
pub use insert::{RightmostPath, append, check_pair, insert};
pub use key::Key;
pub use nearest::{Beside, beside};
pub use paused::PausedRange;
pub use position::{Position, Versioned, out_of_order};
pub use range::Range;
pub use remove::{drop_tree, remove};
pub use remove_range::remove_range;
pub use sample::sample;
pub use search::{get, get_many};
pub use set::Set;
pub use set_diff::{ChangedPair, PairChange, SetDiff};
pub use set_load::insert_values;
pub use set_position::{SetMove, SetPosition};
pub use set_values::{SetValues, get_set, set_contains};
pub use sets::{insert_pair, remove_pair};
pub use system::{ListedSnapshot, put_snapshot, remove_snapshot, snapshot, snapshots};

use crate::error::{Error, Result};
pub use crate::format::descriptor::TableDescriptor;
use crate::format::overflow::OverflowRef;
use crate::types::{PageId, TxnId};
pub use pages::PageCopy;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where pages are read.
pub trait PageSource {
    /// Bytes of a page.
    fn page_size(&self) -> usize;

    /// A page of the tree: inside the file (2 <= id < page count), written by this transaction or
    /// one this transaction can see. Aligned to 4 bytes or more.
    fn page(&self, id: PageId) -> Result<&[u8]>;

    /// The pages of a value, whole and side by side, inside the file.
    fn run(&self, run: &OverflowRef) -> Result<&[u8]>;

    /// A word that becomes zero when nothing is to be read from it any more, also not from a page
    /// that it has given out: what was borrowed before a fork, in the child.
    fn alive(&self) -> &AtomicU64 {
        static ALWAYS: AtomicU64 = AtomicU64::new(1);
        &ALWAYS
    }

    /// An error once that has happened.
    fn check(&self) -> Result<()> {
        if self.alive().load(Ordering::Relaxed) == 0 {
            Err(Error::Forked { path: None })
        } else {
            Ok(())
        }
    }

    /// The same error with the file in it from which the pages come, where there is one.
    fn named(&self, e: Error) -> Error {
        e
    }

    /// Hint: these pages will be read soon, as far as there are so many. Costs a system call where
    /// there is a file.
    fn will_need(&self, _first: PageId, _pages: u64) {}

    /// Whether the page can be read without waiting for a device, as far as can be told. Costs as
    /// much.
    fn is_resident(&self, _id: PageId) -> bool {
        true
    }

    /// Hint: these bytes of a page will be read at once. Costs almost nothing.
    fn prefetch_at(&self, _id: PageId, _from: usize, _bytes: usize) {}

    /// The same at the front of the page.
    #[inline(always)]
    fn prefetch(&self, id: PageId, bytes: usize) {
        self.prefetch_at(id, 0, bytes);
    }
}

/// Where pages are written: one transaction.
pub trait PageSink: PageSource {
    /// The transaction that writes: the birth of what it writes now.
    fn txn(&self) -> TxnId;

    /// Pages born from here on are changed in place. It is [`PageSink::txn`], or below it where
    /// savepoints were made and released.
    fn floor(&self) -> TxnId;

    /// Pages that have been taken or given back so far: while it stands still, no tree has become
    /// another shape.
    fn turnover(&self) -> u64;

    /// A fresh page. Its content is undefined until it has been written through `page_mut`.
    fn allocate(&mut self) -> Result<PageId>;

    /// A page that this transaction has allocated.
    fn page_mut(&mut self, id: PageId) -> Result<&mut [u8]>;

    /// A page is no longer part of the tree.
    fn free(&mut self, id: PageId, birth: TxnId) -> Result<()>;

    /// Writes a value (not empty) to a fresh run, padded with zeros; returns where, and its
    /// checksum.
    fn allocate_run(&mut self, value: &[u8]) -> Result<(PageId, u32)>;

    /// A run is no longer part of the tree.
    fn free_run(&mut self, first: PageId, pages: u64, birth: TxnId) -> Result<()>;

    /// A fresh page with the bytes of another one.
    fn allocate_copy(&mut self, from: PageId) -> Result<PageId>;
}
