//! Who owns each page: which free pages may be reused, and where freed ones wait.
//!
//! A page is visible to the snapshots s with birth <= s < death. It may be used again when no
//! protected snapshot stands in that interval (rules 4, 5): so an old reader pins what it can see
//! and nothing newer.
//!
//! All of the state belongs to the *snapshot* (it is stored in its meta page and its free-log
//! pages), never to the process: after a power cut or a dead writer the snapshot that is left has
//! its own state, for nothing.
//!
//! Thread rules: an [`allocator::Allocator`] belongs to one write transaction.
#![forbid(unsafe_code)]

pub mod allocator;
pub mod extents;
pub mod pins;
pub mod pool;
#[cfg(test)]
mod tests;

/// Bytes that deferred commits may write between two flushes, and bytes that may be free, however
/// small the database is.
const FEW_BYTES: u64 = 16 << 20;
/// The part of what is in use that they may write in a larger one.
const UNFLUSHED_PART: u64 = 4;

/// Whether deferred commits that have written `unflushed` bytes are to be flushed, in a database of
/// so many pages of which so many are free (A6). The durable snapshot, and the one before it, keep
/// what these commits replace: without a bound the file would be several times as long as what is
/// in use.
pub fn is_flush_due(unflushed: u64, page_size: usize, page_count: u64, free_pages: u64) -> bool {
    let bytes = |pages: u64| pages * page_size as u64;
    let used = bytes(page_count.saturating_sub(free_pages));
    unflushed > FEW_BYTES.max(used / UNFLUSHED_PART) && bytes(free_pages) > FEW_BYTES
}
