//! Real processes on real files, killed and stopped: nothing that was acknowledged is lost, nothing
//! half done is seen, and nothing of the dead stands in the way of the living.
//!
//! The campaign is one process that never opens a database. It starts this program again as
//! writers, readers, openers and *agents* (`child`), which share a file, and plays cycles with them
//! (`cycle`): somebody is killed, at any moment or at a named point of the engine's protocols
//! (`point`), or stopped, or all die at once and the lock file is lost; then an agent, one that
//! lives on or a new one, compares the database (`content`) with the acknowledgement log outside
//! (`acks`), writes, checks, and looks for what the dead may have left. Survivors compare all the
//! time. `special` plays what does not fit into a cycle.
//!
//! Rules of the game, each kept by whoever reads:
//! - K1. What was acknowledged is there, deferred commits too: the death of a process takes nothing
//!   from the page cache.
//! - K2. What was begun and cut off is there whole or not at all, and stays what it was the first
//!   time somebody looked.
//! - K3. What was given up is not there.
//! - K4. A snapshot is of one transaction and does not change; snapshots of one process do not go
//!   back.
//! - K5. Everybody alive goes on, whoever is dead, and reads, whoever is stopped.
//! - K6. When all are dead, the file alone passes the full check; without the lock file, or with a
//!   page that the device did not keep, everything durable is there.
//!
//! Chance comes from one seed. What processes do at the same time does not, so a seed plays the
//! same game with other moves: what is lost is kept as files, together with the logs.

mod acks;
mod campaign;
pub mod child;
mod content;
mod counts;
mod cycle;
mod harm;
mod life;
pub mod point;
mod process;
mod special;

pub use campaign::{Campaign, run};
