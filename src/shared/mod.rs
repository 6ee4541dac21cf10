//! What processes share: the visible snapshot, the reader table, locks and liveness.

pub mod layout;
