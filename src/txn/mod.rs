//! Transactions as their users see them: [`read`] a pinned snapshot, [`write`] the tables that a
//! write transaction changes, [`savepoint`] what it can undo of that, [`tables`] those it has open,
//! [`named`] snapshots that have a name, [`finishing`] commits that are reported or awaited.
//!
//! Thread rules: a snapshot may be shared by threads; a write transaction belongs to one thread at
//! a time.
#![forbid(unsafe_code)]

mod entry;
mod fill;
mod finishing;
mod load;
mod named;
pub mod read;
mod room;
pub mod savepoint;
pub mod tables;
pub mod write;
