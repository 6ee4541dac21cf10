//! The bytes of the file, described in docs/format.md and nowhere else: plain data, no I/O.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod checksum;
pub mod descriptor;
pub mod fields;
pub mod freelog;
pub mod meta;
pub mod node;
pub mod order;
pub mod overflow;
pub mod packed;
pub mod page;
pub mod snapshot;
