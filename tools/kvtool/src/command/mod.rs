//! The verbs, one a file: its arguments, and `run`.

pub mod check;
pub mod compare;
pub mod del;
pub mod dump;
pub mod get;
pub mod info;
pub mod load;
pub mod put;
pub mod salvage;
pub mod scan;
pub mod tables;

use crate::failure::{Failure, Outcome};
use crate::text::Notation;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// How a verb that did its work ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Exit status 0.
    Fine,
    /// The answer is no: exit status 1.
    No,
}

/// The bytes that an argument stands for; `what` names it.
fn bytes_of(what: &str, argument: &OsStr, notation: Notation) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    match notation.decode(argument.as_bytes(), &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Failure::said(format!("{what}: {error}"))),
    }
}
