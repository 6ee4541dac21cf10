//! What of kvtool is of use to others: the text format of dumps, and keys and values as text. The
//! fuzzer reaches them here.

pub mod dump;
pub mod text;
