//! One file for each verb.

pub mod block;
pub mod exhaust;
pub mod faults;
pub mod hostile;
pub mod kill;
pub mod planted;
pub mod replay;
pub mod sim;
