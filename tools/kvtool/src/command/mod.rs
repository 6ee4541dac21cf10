//! The verbs, one a file: its arguments, and `run`.

pub mod check;
pub mod compare;
pub mod completions;
pub mod copy_table;
pub mod count;
pub mod create;
pub mod del;
pub mod drop;
pub mod dump;
pub mod get;
pub mod info;
pub mod load;
mod new_database;
pub mod put;
pub mod rename;
pub mod salvage;
pub mod scan;
pub mod snapshot;
pub mod stat;
pub mod tables;
pub mod upgrade;
mod verify;
pub mod watch;

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

impl Status {
    /// The status that is known, whatever became of its printing: a closed pipe does not change it.
    pub fn printed(self, printed: Outcome<()>) -> Outcome<Status> {
        match printed {
            Ok(()) | Err(Failure::ClosedPipe) => Ok(self),
            Err(failure) => Err(failure),
        }
    }

    /// The same of a verb that has changed something: an error also says what is `done` all the
    /// same.
    pub fn done(self, done: &str, printed: Outcome<()>) -> Outcome<Status> {
        self.printed(printed.map_err(|failure| match failure {
            Failure::Said(message) => Failure::Said(format!("{message} ({done})")),
            other => other,
        }))
    }
}

/// What a verb says that has committed and cannot print.
pub const COMMITTED: &str = "what was asked for is done and committed";
/// The same of a verb that makes a new database.
pub const MADE: &str = "the new database is there";

/// The bytes that an argument stands for; `what` names it.
pub fn bytes_of(what: &str, argument: &OsStr, notation: Notation) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    match notation.decode(argument.as_bytes(), &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Failure::said(format!("{what}: {error}"))),
    }
}
