//! The crash-recovery harness of recto.
pub mod kill;
