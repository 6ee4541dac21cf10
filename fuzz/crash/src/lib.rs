//! The crash-recovery harness of recto: everything that `crash` does, for its command line and for
//! tests.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod alive;
pub mod block;
pub mod driver;
pub mod full;
pub mod hang;
pub mod hostile;
pub mod kill;
pub mod lost;
pub mod planted;
pub mod quiet;
pub mod sim;
pub mod space;
pub mod stories;
pub mod syscalls;
