//! The crash-recovery harness of recto.
