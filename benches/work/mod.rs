//! Pieces of work that `parts` times and `counts` counts. All in memory: no disk and no flush in
//! them.

mod pages;
mod tables;

/// One piece of work.
pub struct Work {
    /// What is done, in words.
    pub name: &'static str,
    /// How often one call does it.
    pub times: u64,
    /// Keys of its table when it is timed, and when it is counted, which takes fifty times as long.
    pub keys: [u64; 2],
    /// Gets everything ready; what it returns does the work.
    pub ready: fn(keys: u64) -> Box<dyn FnMut()>,
}

/// All of them, from the bytes of a page upwards.
pub fn all() -> impl Iterator<Item = Work> {
    pages::WORKS.into_iter().chain(tables::WORKS)
}
