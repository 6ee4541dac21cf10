//! Sets of values with types: how they are defined and opened, and what is done with them.

mod by_id;
pub mod cursor;
pub mod definition;
pub mod diff;
pub mod id;
mod load;
mod opening;
pub mod owned;
pub mod range;
pub mod read;
mod sequence;
pub mod write;
