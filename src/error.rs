//! The one error type.

use crate::types::PageId;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What every fallible call of the crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong. A panic is a bug in recto, never an answer to a file or a caller.
///
/// Methods name the errors of their own. Beside these, whatever touches the file may give
/// [`Error::Io`] and [`Error::Corrupt`], and whatever uses a handle gives [`Error::Forked`] in a
/// forked child.
///
/// What concerns a database, its handles or its transactions names the file, for programs that have
/// several open: [`Error::path`] gives it, and the text begins with it, or with "database in
/// memory". What a caller has asked for, or handed over, does not: a name, an id, a key, a value,
/// an option.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("jobs.recto");
/// // SAFETY: nothing else changes the file.
/// let db = unsafe { recto::Database::open(&path) }?;
/// let txn = db.write()?;
/// let error = db.write().unwrap_err(); // this thread has it already
/// assert_eq!(error.kind(), recto::ErrorKind::WriterOnThisThread);
/// assert_eq!(error.path(), Some(&*path));
/// # Ok::<(), recto::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed. `what` names it in words.
    Io {
        /// What was being done.
        what: &'static str,
        /// The file it was done to, where one is known.
        path: Option<PathBuf>,
        /// What the system said.
        source: io::Error,
    },
    /// The disk, a quota or a file size limit is exhausted. The transaction that met it can only be
    /// dropped, or rolled back to a savepoint; the database stays as it was and usable.
    DiskFull {
        /// The database file, where there is one.
        path: Option<PathBuf>,
        /// What the system said.
        source: io::Error,
    },
    /// The file would have to become longer than [`crate::Builder::max_bytes`] allows. The
    /// transaction that met it can only be dropped, or rolled back to a savepoint; the database
    /// stays as it was and usable.
    DatabaseFull {
        /// The database file, where there is one.
        path: Option<PathBuf>,
        /// Most bytes that the file may have.
        max_bytes: u64,
    },
    /// The file is not a recto database at all.
    NotADatabase {
        /// The file.
        path: Option<PathBuf>,
        /// Why it is not.
        detail: String,
    },
    /// The file is of a format version that this build does not read: an older one, of which
    /// `kvtool upgrade` makes a new database, or a newer one.
    Version {
        /// The file.
        path: Option<PathBuf>,
        /// Format version found in the file.
        found: u32,
        /// Format version this build reads and writes.
        supported: u32,
    },
    /// The file has features that this version does not know: a newer one is needed to open it, or
    /// to write to it.
    Features {
        /// The file.
        path: Option<PathBuf>,
        /// Bits of the features.
        unknown: u32,
        /// It can be opened for reading.
        to_write: bool,
    },
    /// A page does not hold what it must hold.
    Corrupt {
        /// The database file, where there is one.
        path: Option<PathBuf>,
        /// The page.
        page: PageId,
        /// What is wrong with it.
        detail: Box<str>,
    },
    /// Keys are limited to a length that depends on the page size.
    KeyTooLong {
        /// Bytes in the key given.
        len: usize,
        /// Most bytes a key may have in this database.
        max: usize,
    },
    /// Values are limited to less than 2^47 bytes, and by the room in the file.
    ValueTooLong {
        /// Bytes in the value given.
        len: u64,
    },
    /// No table of this name.
    NoSuchTable(String),
    /// The table of this id was dropped, or its making was rolled back, or its transaction has
    /// ended.
    NoSuchTableId,
    /// The savepoint was released, or went with an earlier one, or its transaction has ended.
    NoSuchSavepoint,
    /// No snapshot of this name.
    NoSuchSnapshot(String),
    /// There is a snapshot of this name already.
    SnapshotExists(String),
    /// There is a table of this name already.
    TableExists(String),
    /// The table was made with other options than those asked for ([`crate::TableOptions`]).
    TableOptions {
        /// Its name.
        table: String,
        /// What differs.
        detail: String,
    },
    /// The keys of the table are ordered by a function that this handle was not given
    /// ([`crate::Builder::order`]).
    NoSuchOrder {
        /// Name of the table; empty where pairs were to be sorted for one that is not named yet.
        table: String,
        /// Name of the order.
        order: String,
    },
    /// Bytes of a typed table are none that its type would have written: they were put as bytes, or
    /// as another type.
    Decode {
        /// The type, as its trait names it.
        type_name: String,
        /// What is wrong with them.
        detail: String,
    },
    /// A value has no encoding: its codec refuses it.
    Encode {
        /// The type, as its trait names it.
        type_name: String,
        /// What the codec said.
        detail: String,
    },
    /// A value does not stand where its type could be read in place: what it was read from promises
    /// no such alignment.
    Unaligned {
        /// The type, as its trait names it.
        type_name: String,
        /// What its address would have to be a multiple of.
        align: usize,
    },
    /// A key to be appended is not above the last one of its table.
    OutOfOrder,
    /// An option or argument is out of its range.
    InvalidArgument(String),
    /// The database, or the transaction, was opened for reading only.
    ReadOnly {
        /// The database file; None in memory.
        path: Option<PathBuf>,
    },
    /// The call needs the writer lock, and the thread already holds the write transaction of the
    /// file, through this handle or another: waiting would never end.
    WriterOnThisThread {
        /// The database file; None in memory.
        path: Option<PathBuf>,
    },
    /// Somebody else held a lock for the whole of the time allowed: another writer, flush, opening,
    /// or the close of the last handle.
    Busy {
        /// The database file; None in memory.
        path: Option<PathBuf>,
    },
    /// Either the database is open in exclusive mode ([`crate::Builder::exclusive`]) elsewhere, in
    /// this process or another, or it was to be opened like that and somebody has it open; for the
    /// whole of the time allowed.
    InUse {
        /// The database file.
        path: Option<PathBuf>,
        /// It is open in exclusive mode.
        exclusively: bool,
    },
    /// All 8,192 reader slots of the lock file are taken by live readers, or kept by open handles:
    /// up to 8 by each.
    ReadersFull {
        /// The database file; None in memory.
        path: Option<PathBuf>,
    },
    /// The database is open 1,024 times, by all processes together.
    HandlesFull {
        /// The database file; None in memory.
        path: Option<PathBuf>,
    },
    /// The handle was opened before `fork()`; the child must open its own.
    Forked {
        /// The database file; None in memory.
        path: Option<PathBuf>,
    },
    /// A commit was built, and then something failed before it was known to be durable, the device
    /// in most cases: it may be there or not. No other error of a commit leaves that open. The
    /// handle stays usable: reads go on, and the next write transaction repairs first.
    OutcomeUnknown {
        /// The database file, where there is one.
        path: Option<PathBuf>,
        /// What the system said, or what was found in its place.
        detail: String,
    },
    /// An earlier operation of this write transaction failed half-way or panicked, or a failed
    /// write to the device took back what it is based on, or pages of its own; it can only be
    /// dropped, or be rolled back to a savepoint
    /// ([`WriteTxn::rollback_to`](crate::WriteTxn::rollback_to) says when).
    TransactionBroken {
        /// The database file; None in memory.
        path: Option<PathBuf>,
    },
    /// The lock file cannot be used; says why and what to do.
    LockFile {
        /// The lock file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The file system cannot carry a shared map with locks safely (network file systems, overlay
    /// lower layers).
    FileSystem {
        /// The database file, or the lock file, whichever lies there.
        path: Option<PathBuf>,
        /// Name of the file system and why it is refused.
        detail: String,
    },
}

/// The errors that are about a database, its handles or its transactions, with the place of the
/// path of its file.
macro_rules! about_the_file {
    ($path:pat) => {
        Error::Io { path: $path, .. }
            | Error::DiskFull { path: $path, .. }
            | Error::DatabaseFull { path: $path, .. }
            | Error::NotADatabase { path: $path, .. }
            | Error::Version { path: $path, .. }
            | Error::Features { path: $path, .. }
            | Error::Corrupt { path: $path, .. }
            | Error::InUse { path: $path, .. }
            | Error::OutcomeUnknown { path: $path, .. }
            | Error::ReadOnly { path: $path }
            | Error::WriterOnThisThread { path: $path }
            | Error::Busy { path: $path }
            | Error::ReadersFull { path: $path }
            | Error::HandlesFull { path: $path }
            | Error::Forked { path: $path }
            | Error::TransactionBroken { path: $path }
            | Error::FileSystem { path: $path, .. }
    };
}

/// Those that only an open database gives: without a path it is in memory.
macro_rules! of_a_handle {
    () => {
        Error::DatabaseFull { .. }
            | Error::OutcomeUnknown { .. }
            | Error::ReadOnly { .. }
            | Error::WriterOnThisThread { .. }
            | Error::Busy { .. }
            | Error::ReadersFull { .. }
            | Error::HandlesFull { .. }
            | Error::Forked { .. }
            | Error::TransactionBroken { .. }
    };
}

impl Error {
    /// A failed system call; a full disk becomes [`Error::DiskFull`].
    pub(crate) fn io(what: &'static str, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Error::DiskFull { path: None, source },
            _ => Error::Io { what, path: None, source },
        }
    }

    /// The same error with the database file, where that was not known below.
    #[cold]
    pub(crate) fn at(mut self, file: &Path) -> Error {
        if let about_the_file!(path @ None) = &mut self {
            *path = Some(file.to_owned());
        }
        self
    }

    /// The file that the error is about: the database, or its lock file. None for what a caller has
    /// asked for or handed over ([`Error::NoSuchTable`], [`Error::KeyTooLong`]), and for a database
    /// in memory.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.txt");
    /// # std::fs::write(&path, "no database").unwrap();
    /// // SAFETY: nothing else changes the file.
    /// let error = unsafe { recto::Database::open(&path) }.unwrap_err();
    /// assert_eq!(error.path(), Some(&*path));
    /// assert!(error.to_string().contains("notes.txt"));
    /// ```
    pub fn path(&self) -> Option<&Path> {
        match self {
            about_the_file!(path) => path.as_deref(),
            Error::LockFile { path, .. } => {
                Some(path).filter(|p| !p.as_os_str().is_empty()).map(|p| &**p)
            }
            _ => None,
        }
    }

    /// The same error with the lock file it concerns, where that was not known below.
    pub(crate) fn about_lock_file(self, file: &std::path::Path) -> Error {
        match self {
            Error::LockFile { path, detail } if path.as_os_str().is_empty() => {
                Error::LockFile { path: file.to_owned(), detail }
            }
            other => other,
        }
    }

    /// What the error means for a transaction that has been built.
    pub(crate) fn outcome_unknown(self) -> Error {
        match self {
            Error::OutcomeUnknown { .. } => self,
            other => Error::unknown(Words(&other).to_string()),
        }
    }

    /// What failed before a commit was known to be durable.
    pub(crate) fn unknown(detail: impl Into<String>) -> Error {
        Error::OutcomeUnknown { path: None, detail: detail.into() }
    }

    /// A page that does not hold what it must.
    pub(crate) fn corrupt(page: PageId, detail: impl Into<String>) -> Error {
        Error::Corrupt { path: None, page, detail: detail.into().into_boxed_str() }
    }

    /// A file that is no database.
    pub(crate) fn no_database(detail: impl Into<String>) -> Error {
        Error::NotADatabase { path: None, detail: detail.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.path()) {
            // Their words name it.
            (Error::Io { .. } | Error::LockFile { .. }, _) => {}
            (_, Some(path)) => write!(f, "{}: ", path.display())?,
            (of_a_handle!(), None) => f.write_str("database in memory: ")?,
            _ => {}
        }
        self.say(f)
    }
}

/// An error without the file in front of it.
struct Words<'a>(&'a Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.say(f)
    }
}

impl Error {
    /// What is said, without the file in front of it.
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { what, path: Some(p), source } => {
                write!(f, "{what} {}: {source}", p.display())
            }
            Error::Io { what, path: None, source } => write!(f, "{what}: {source}"),
            Error::DiskFull { source, .. } => {
                write!(f, "no room left for the database file: {source}")
            }
            Error::DatabaseFull { max_bytes, .. } => write!(
                f,
                "the database has no room left in the {max_bytes} bytes allowed; open it with a \
                 higher limit (max_bytes), or delete what is not needed"
            ),
            Error::NotADatabase { detail, .. } => {
                write!(f, "not a recto database: {detail}")
            }
            Error::Version { found, supported, .. } => {
                let what = if found < supported {
                    "`kvtool upgrade` makes a new database of it"
                } else {
                    "a newer build is needed"
                };
                write!(
                    f,
                    "file format version {found}, this build reads and writes {supported}; {what}"
                )
            }
            Error::Features { unknown, to_write, .. } => {
                let what = if *to_write { "written" } else { "read" };
                write!(
                    f,
                    "the file has features (bits {unknown:#x}) without which it cannot be {what}; \
                     a newer version knows them"
                )
            }
            Error::Corrupt { page, detail, .. } => {
                write!(f, "page {page} is damaged: {detail}")
            }
            Error::KeyTooLong { len, max } => {
                write!(f, "key of {len} bytes, at most {max} fit this page size")
            }
            Error::ValueTooLong { len } => write!(f, "value of {len} bytes is too long"),
            Error::NoSuchTable(name) => write!(f, "no table {name:?}"),
            Error::NoSuchTableId => {
                f.write_str("the table of this id was dropped, or the id is of another transaction")
            }
            Error::NoSuchSavepoint => f.write_str(
                "the savepoint was released, or went with an earlier one, or is of another transaction"
            ),
            Error::NoSuchSnapshot(name) => write!(f, "no snapshot {name:?}"),
            Error::SnapshotExists(name) => write!(f, "snapshot {name:?} exists already"),
            Error::TableExists(name) => write!(f, "table {name:?} exists already"),
            Error::TableOptions { table, detail } => write!(f, "table {table:?}: {detail}"),
            Error::NoSuchOrder { table, order } => {
                if !table.is_empty() {
                    write!(f, "table {table:?}: ")?;
                }
                write!(
                    f,
                    "keys in the order {order:?}, whose function the program must give when it opens \
                     the database (Builder::order)"
                )
            }
            Error::Decode { type_name, detail } => write!(f, "not of type {type_name}: {detail}"),
            Error::Encode { type_name, detail } => {
                write!(f, "cannot be encoded as {type_name}: {detail}")
            }
            Error::Unaligned { type_name, align } => {
                write!(f, "the value is not aligned to {align} bytes, as {type_name} has to be")
            }
            Error::OutOfOrder => {
                f.write_str("the key to be appended is not above the last one of the table")
            }
            Error::InvalidArgument(detail) => f.write_str(detail),
            Error::ReadOnly { .. } => f.write_str("opened for reading only"),
            Error::WriterOnThisThread { .. } => {
                f.write_str("this thread already holds the write transaction")
            }
            Error::Busy { .. } => f.write_str("somebody else holds a lock of the database; try again"),
            Error::InUse { exclusively: true, .. } => write!(
                f,
                "is open in exclusive mode, here or in another process; it has to be closed there"
            ),
            Error::InUse { exclusively: false, .. } => write!(
                f,
                "cannot be opened in exclusive mode: somebody has it open, here or in another \
                 process; it has to be closed there"
            ),
            Error::ReadersFull { .. } => f.write_str("all 8,192 reader slots are in use"),
            Error::HandlesFull { .. } => {
                f.write_str("the database is open 1,024 times already, by all processes together")
            }
            Error::Forked { .. } => f.write_str("handle from before fork(); open the database again"),
            Error::OutcomeUnknown { detail, .. } => {
                write!(
                    f,
                    "commit outcome unknown, it may or may not be durable: {detail}; look whether \
                     it is there before it is made again"
                )
            }
            Error::TransactionBroken { .. } => f.write_str(
                "an operation of this transaction, or the device below it, failed; roll back to a savepoint, or drop it"
            ),
            Error::LockFile { path, detail } if path.as_os_str().is_empty() => {
                write!(f, "lock file: {detail}")
            }
            Error::LockFile { path, detail } => {
                write!(f, "lock file {}: {detail}", path.display())
            }
            Error::FileSystem { detail, .. } => f.write_str(detail),
        }
    }
}

/// An [`Error`] without what belongs to one case of it: to be compared, counted, kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the error of the same name")]
pub enum ErrorKind {
    Io,
    DiskFull,
    DatabaseFull,
    NotADatabase,
    Version,
    Features,
    Corrupt,
    KeyTooLong,
    ValueTooLong,
    NoSuchTable,
    NoSuchTableId,
    NoSuchSavepoint,
    NoSuchSnapshot,
    SnapshotExists,
    TableExists,
    TableOptions,
    NoSuchOrder,
    Decode,
    Encode,
    Unaligned,
    OutOfOrder,
    InvalidArgument,
    ReadOnly,
    WriterOnThisThread,
    Busy,
    InUse,
    ReadersFull,
    HandlesFull,
    Forked,
    OutcomeUnknown,
    TransactionBroken,
    LockFile,
    FileSystem,
}

impl Error {
    /// Which error it is.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let error = db.read()?.table("main").err().unwrap();
    /// assert_eq!(error.kind(), recto::ErrorKind::NoSuchTable);
    /// # Ok(()) }
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } => ErrorKind::Io,
            Error::DiskFull { .. } => ErrorKind::DiskFull,
            Error::DatabaseFull { .. } => ErrorKind::DatabaseFull,
            Error::NotADatabase { .. } => ErrorKind::NotADatabase,
            Error::Version { .. } => ErrorKind::Version,
            Error::Features { .. } => ErrorKind::Features,
            Error::Corrupt { .. } => ErrorKind::Corrupt,
            Error::KeyTooLong { .. } => ErrorKind::KeyTooLong,
            Error::ValueTooLong { .. } => ErrorKind::ValueTooLong,
            Error::NoSuchTable(_) => ErrorKind::NoSuchTable,
            Error::NoSuchTableId => ErrorKind::NoSuchTableId,
            Error::NoSuchSavepoint => ErrorKind::NoSuchSavepoint,
            Error::NoSuchSnapshot(_) => ErrorKind::NoSuchSnapshot,
            Error::SnapshotExists(_) => ErrorKind::SnapshotExists,
            Error::TableExists(_) => ErrorKind::TableExists,
            Error::TableOptions { .. } => ErrorKind::TableOptions,
            Error::NoSuchOrder { .. } => ErrorKind::NoSuchOrder,
            Error::Decode { .. } => ErrorKind::Decode,
            Error::Encode { .. } => ErrorKind::Encode,
            Error::Unaligned { .. } => ErrorKind::Unaligned,
            Error::OutOfOrder => ErrorKind::OutOfOrder,
            Error::InvalidArgument(_) => ErrorKind::InvalidArgument,
            Error::ReadOnly { .. } => ErrorKind::ReadOnly,
            Error::WriterOnThisThread { .. } => ErrorKind::WriterOnThisThread,
            Error::Busy { .. } => ErrorKind::Busy,
            Error::InUse { .. } => ErrorKind::InUse,
            Error::ReadersFull { .. } => ErrorKind::ReadersFull,
            Error::HandlesFull { .. } => ErrorKind::HandlesFull,
            Error::Forked { .. } => ErrorKind::Forked,
            Error::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Error::TransactionBroken { .. } => ErrorKind::TransactionBroken,
            Error::LockFile { .. } => ErrorKind::LockFile,
            Error::FileSystem { .. } => ErrorKind::FileSystem,
        }
    }
}

/// For programs whose errors are those of the standard library: with the kind that fits, and the
/// error as its source.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        use io::ErrorKind as Io;
        let kind = match &error {
            Error::Io { source, .. } | Error::DiskFull { source, .. } => source.kind(),
            Error::DatabaseFull { .. } => Io::QuotaExceeded,
            Error::NotADatabase { .. }
            | Error::Version { .. }
            | Error::Features { .. }
            | Error::Corrupt { .. }
            | Error::LockFile { .. }
            | Error::Decode { .. }
            | Error::Unaligned { .. }
            | Error::TableOptions { .. } => Io::InvalidData,
            Error::KeyTooLong { .. }
            | Error::ValueTooLong { .. }
            | Error::Encode { .. }
            | Error::OutOfOrder
            | Error::NoSuchOrder { .. }
            | Error::InvalidArgument(_) => Io::InvalidInput,
            Error::NoSuchTable(_)
            | Error::NoSuchTableId
            | Error::NoSuchSavepoint
            | Error::NoSuchSnapshot(_) => Io::NotFound,
            Error::TableExists(_) | Error::SnapshotExists(_) => Io::AlreadyExists,
            Error::ReadOnly { .. } => Io::PermissionDenied,
            Error::WriterOnThisThread { .. } => Io::Deadlock,
            Error::Busy { .. } | Error::InUse { .. } => Io::ResourceBusy,
            Error::FileSystem { .. } => Io::Unsupported,
            Error::ReadersFull { .. }
            | Error::HandlesFull { .. }
            | Error::Forked { .. }
            | Error::OutcomeUnknown { .. }
            | Error::TransactionBroken { .. } => Io::Other,
        };
        io::Error::new(kind, error)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::DiskFull { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_those_of_the_standard_library() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        for (error, kind) in [
            (Error::io("writing", full()), io::ErrorKind::StorageFull),
            (Error::io("writing", io::ErrorKind::TimedOut.into()), io::ErrorKind::TimedOut),
            (Error::DatabaseFull { path: None, max_bytes: 7 }, io::ErrorKind::QuotaExceeded),
            (Error::corrupt(PageId(7), "rotten"), io::ErrorKind::InvalidData),
            (Error::NoSuchTable("main".into()), io::ErrorKind::NotFound),
            (Error::Busy { path: None }, io::ErrorKind::ResourceBusy),
            (Error::TransactionBroken { path: None }, io::ErrorKind::Other),
        ] {
            let (own, said) = (error.kind(), error.to_string());
            let converted = io::Error::from(error);
            assert_eq!((converted.kind(), converted.to_string()), (kind, said));
            let source = converted.into_inner().and_then(|e| e.downcast::<Error>().ok());
            assert_eq!(source.map(|e| e.kind()), Some(own));
        }
    }
}
