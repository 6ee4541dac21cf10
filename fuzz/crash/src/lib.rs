//! The crash-recovery harness of recto.

#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

pub mod hostile;
