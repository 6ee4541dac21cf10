//! What users see: [`db`] the handle, [`builder`] how it is opened, [`info`] numbers about it;
//! [`transaction`], [`table`] and [`table_mut`] what they read and write with, [`set`] and
//! [`set_mut`] tables of sets, [`set_cursor`] cursors over these, [`sequence`] numbers that tables
//! give out, [`cursor`] and [`moves`] walks that change, [`extract`] and [`entry`] what is looked
//! at and changed at once, [`savepoint`] what can be undone, [`named`] snapshots that stay,
//! [`diff`] and [`set_diff`] what differs between snapshots, [`owned`] and [`owned_set`] tables and
//! walks that keep their snapshot, [`batch`] closures that share a commit, [`commit_future`]
//! commits that are awaited, [`changes`] what others commit, [`load`] pairs in any order,
//! [`checking`] the inspector on an open database, [`readers`] who reads what and whom to tell,
//! [`warm_up`] what is brought into memory beforehand.

pub mod batch;
pub mod builder;
pub mod changes;
pub mod checking;
pub mod commit_future;
pub mod cursor;
pub mod db;
pub mod diff;
pub mod entry;
mod estimate;
pub mod extract;
mod fill;
pub mod info;
pub mod key_range;
pub mod load;
pub mod moves;
pub mod named;
mod nearest;
pub mod owned;
pub mod owned_set;
mod readers;
pub mod savepoint;
mod sequence;
pub mod set;
pub mod set_cursor;
pub mod set_diff;
pub mod set_mut;
pub mod table;
pub mod table_mut;
pub mod transaction;
mod walk;
mod warm_up;
mod watch;
