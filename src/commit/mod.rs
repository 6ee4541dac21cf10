//! The commit protocol: how a write transaction begins, is built, becomes durable, and is
//! recovered.
//!
//! Building a transaction, making it visible and making it durable are three separate steps
//! ([`build`], [`flush`]). The rule numbers are those of docs/design.md; the letters W, V, D and F
//! are told in [`words`](crate::shared::words).
//!
//! | file | what is in it |
//! | --- | --- |
//! | `engine` | one open database; `close`: its end |
//! | `locks`, `leadership`, `writer_thread` | the writer lock, the flush lock, and who waits for them in this process |
//! | `begin`, `draft`, `shrink` | a write transaction until it is built (rules 1 to 7); `named`: what it must leave alone for named snapshots (rule 36) |
//! | `build` | it exists, and is visible if it is deferred (rule 8) |
//! | `flush` | it is durable (rules 9 to 17); `acknowledged`: what it owes to who committed deferred |
//! | `repair`, `rewrite`, `roll_back` | after a failed sync or a death (rules 18 to 23) |
//! | `open`, `slots`, `finish_opening` | opening (rules 24 to 30) |
//! | `report`, `background`, `promise` | what a commit says of itself; one that another thread finishes |
//! | `image`, `list`, `snapshot`, `check_word` | what stands in the shared memory (rule 32); `meta_io`: the two meta pages |
//!
//! Thread rules: an [`engine::Engine`] is one handle of one process and is shared by all its
//! threads.
#![forbid(unsafe_code)]

mod acknowledged;
pub mod background;
pub mod begin;
pub mod build;
mod check_word;
mod close;
pub mod deadline;
pub mod draft;
pub mod durability;
pub mod engine;
mod finish_opening;
pub mod flush;
pub mod image;
mod leadership;
mod list;
pub mod locks;
mod meta_io;
mod named;
pub mod open;
pub mod promise;
pub mod repair;
pub mod report;
mod rewrite;
mod roll_back;
mod shrink;
pub mod slots;
pub mod snapshot;
#[cfg(all(test, not(loom)))]
mod tests;
pub mod writer_thread;
