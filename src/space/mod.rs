//! Who owns each page: which free pages may be reused, and where freed ones wait.
//!
//! A page is visible to the snapshots s with birth <= s < death. It may be used again when no protected
//! snapshot stands in that interval (rules 4, 5; B7): so an old reader pins what it can see and nothing newer.
//!
//! All of the state belongs to the *snapshot* (it is stored in its meta page and its free-log pages), never to
//! the process: after a power cut or a dead writer the snapshot that is left has its own state, for nothing.
//!
//! Thread rules: an [`allocator::Allocator`] belongs to one write transaction.

pub mod allocator;
pub mod extents;
pub mod pins;
pub mod pool;
#[cfg(test)]
mod tests;
