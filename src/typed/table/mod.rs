//! Tables with types: how they are defined and opened, and what is done with them.

mod by_id;
pub mod cursor;
pub mod definition;
pub mod diff;
pub(in crate::typed) mod encoded;
pub mod entry;
mod estimate;
pub mod extract;
mod fill;
pub mod id;
mod load;
mod nearest;
mod opening;
pub mod owned;
pub mod range;
pub mod read;
mod sequence;
pub mod write;
