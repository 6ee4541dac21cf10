//! recto: an embedded, ordered, persistent key-value store in one memory-mapped file.
#![deny(unsafe_op_in_unsafe_fn)]

mod error;
mod types;

mod format;
mod inspect;
mod os;
mod shared;
mod space;
mod storage;
mod tree;
mod txn;

pub use error::{Error, Result};
pub use types::{PageId, TxnId};
