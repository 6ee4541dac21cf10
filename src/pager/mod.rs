//! The pages of transactions: [`view`] reads those of a snapshot, [`store`] keeps the dirty ones of
//! a write transaction and brings them into the page cache, [`workspace`] joins these with the
//! allocator into what a tree is changed in. [`read_checks`] compares what is read with its
//! checksums.
//!
//! Nothing here knows of commits. What a transaction has written is handed up, with its checksums,
//! when it is sealed.
//!
//! Thread rules: a view is a value that anybody may have; a store and a workspace belong to one
//! write transaction.
#![forbid(unsafe_code)]

pub mod page_map;
pub mod read_checks;
pub mod store;
pub mod view;
pub mod workspace;
pub mod written;

/// How dirty pages get into the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Sink {
    /// Built in private memory and put into the page cache by `pwrite`, in runs.
    #[default]
    Staged,
    /// Stored into a shared writable map of the file.
    Direct,
}

/// What a store of dirty pages needs to know beside the platform.
#[derive(Clone, Copy, Debug)]
pub struct PagerOptions {
    /// How dirty pages get into the file.
    pub sink: Sink,
    /// Bytes of dirty pages the staged sink keeps before it writes some to the file.
    pub stage_bytes: usize,
    /// Smallest step in which the file grows, in bytes.
    pub growth_step: u64,
    /// Most bytes that it may grow to.
    pub max_bytes: u64,
}

impl Default for PagerOptions {
    fn default() -> Self {
        PagerOptions {
            sink: Sink::Staged,
            stage_bytes: 64 << 20,
            growth_step: 256 << 10,
            max_bytes: u64::MAX,
        }
    }
}
