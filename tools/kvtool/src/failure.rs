//! Why a command could not do what it was asked, in one line that also says what to do.

use crate::text::one_line;
use recto::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;

/// What ends a command early.
#[derive(Debug)]
pub enum Failure {
    /// Whoever read our standard output has had enough: no error.
    ClosedPipe,
    /// Could not do it, and why.
    Said(String),
    /// What the last commit held may be there or not, and why.
    Unknown(String),
}

/// What commands and their parts return.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure in words.
    pub fn said(message: impl Into<String>) -> Failure {
        Failure::Said(message.into())
    }

    /// Something about a file.
    pub fn at(file: &Path, what: impl Display) -> Failure {
        Failure::Said(format!("{}: {what}", file.display()))
    }

    /// Standard output does not take what is written.
    pub fn output(error: io::Error) -> Failure {
        if error.kind() == ErrorKind::BrokenPipe {
            return Failure::ClosedPipe;
        }
        Failure::Said(format!("standard output: {error}; make room or write somewhere else"))
    }

    /// The engine refused; `file` is the database.
    pub fn engine(file: &Path, error: Error) -> Failure {
        let advice = match &error {
            Error::NoSuchTable(_) => "`kvtool tables` lists those there are, -t picks one",
            Error::NotADatabase { .. } => {
                "give the path of a database, or `kvtool check` says what is left of this one"
            }
            Error::Corrupt { page, .. } if page.0 < 2 => {
                "`kvtool salvage FILE -o NEW` gets out what can be proved without it"
            }
            Error::Corrupt { .. } => {
                "`kvtool check` lists everything that is wrong, `kvtool salvage` gets the rest out"
            }
            Error::Features { .. } => "use the kvtool that belongs to it",
            Error::DiskFull { .. } => "make room and run it again; the database is as it was",
            Error::DatabaseFull { .. } => "the database is as it was",
            Error::Busy { .. } => "run it again later, or let it wait longer with --wait",
            Error::OutcomeUnknown { .. } => "check the disk first",
            Error::ReadersFull { .. } => "close some of the readers that `kvtool info` lists",
            Error::HandlesFull { .. } => "close some of the programs that have the database open",
            Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                "run it as a user who may"
            }
            Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                "the directory must be there; make it first"
            }
            // That of the database would be `DiskFull`.
            Error::Io { source, .. }
                if matches!(
                    source.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
                ) =>
            {
                "make room there, or name another directory with --temp-dir"
            }
            Error::TableOptions { .. } => {
                "-t picks another table, and `kvtool tables` says what each was made with"
            }
            Error::NoSuchOrder { .. } => {
                "`kvtool salvage` gets its pairs into a new database, in the order of their bytes"
            }
            Error::NoSuchSnapshot(_) => "`kvtool snapshot FILE` lists them",
            Error::SnapshotExists(_) => "choose another name, or drop it first",
            Error::TableExists(_) => "choose another name, or `kvtool drop` it first",
            Error::FileSystem { .. } => {
                "--allow-network opens it all the same, --no-lock where nobody writes meanwhile"
            }
            _ => "",
        };
        // The engine names the file itself where the error is about that.
        let message = match &error {
            _ if error.path().is_some() => error.to_string(),
            _ => format!("{}: {error}", file.display()),
        };
        let separator = if advice.is_empty() { "" } else { "; " };
        let message = format!("{message}{separator}{advice}");
        match error {
            Error::OutcomeUnknown { .. } => Failure::Unknown(message),
            _ => Failure::Said(message),
        }
    }

    /// The message on one line, for standard error; none for a closed pipe.
    pub fn message(&self) -> Option<String> {
        match self {
            Failure::ClosedPipe => None,
            Failure::Said(message) | Failure::Unknown(message) => Some(one_line(message)),
        }
    }
}
