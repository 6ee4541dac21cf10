//! The simulation: scripts of operations and faults, run on a simulated machine against an
//! oracle.
//!
//! A [`script::Script`] is everything that a run depends on, as text; a seed is a script too
//! ([`generate`]). The same script gives the same run, byte for byte, so a failure is a seed or a
//! file. How it all fits:
//!
//! - [`edit`]: what happens inside a transaction. [`op`]: what processes do, and what happens to
//!   them.
//!   An operation that recto learns is added in one of these two files and nowhere else.
//! - [`content`]: contents of a database, with fingerprints; [`oracle`]: which of them may be found
//!   now; [`causes`]: which errors may be given now; [`calls`]: what a process asks of the engine,
//!   beside these.
//! - [`world`]: a machine with processes on it, which runs a script.
//! - [`judge`]: boots machines after a cut, and checks what is there; [`returns`]: the same within
//!   one boot, with a lock file that is left.
//! - [`coverage`]: what all that has reached.
//! - [`shrink`]: makes a failing script small.
//!
//! Thread rules: a run belongs to one thread; any number of runs go on side by side.

pub mod calls;
pub mod causes;
pub mod content;
pub mod coverage;
pub mod edit;
pub mod exhaust;
pub mod faults;
pub mod generate;
pub mod judge;
mod loads;
pub mod op;
pub mod oracle;
pub mod orders;
pub mod profiles;
pub mod returns;
pub mod scenarios;
pub mod script;
pub mod sets;
pub mod shrink;
pub mod world;
