//! Where the inspected bytes come from: a slice, a vector, or a file that is read and not mapped.
//!
//! Reading a file with `pread` has a merit over a map: a file that shrinks, or a sector that cannot
//! be read, gives an error instead of a signal.
//!
//! Thread rules: none of their own; `FilePages` keeps no position in the file.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The bytes of a whole database.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::inspect::{CheckOptions, FilePages, Pages, check};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # drop(unsafe { recto::Database::open(&path)? });
/// let file = FilePages::open(&path)?; // neither mapped nor locked
/// assert_eq!(&*file.read(0, 4)?, &recto::inspect::MAGIC[..4]);
/// let report = check(&file, CheckOptions::default())?;
/// assert!(report.is_clean(), "{:?}", report.faults);
/// assert_eq!(file.len(), std::fs::metadata(&path).unwrap().len());
/// assert!(!file.is_empty());
/// // Bytes in memory are pages as well.
/// let bytes = std::fs::read(&path).unwrap();
/// assert!(check(&bytes, CheckOptions::default())?.is_clean());
/// # Ok(()) }
/// ```
pub trait Pages {
    /// Bytes there are.
    fn len(&self) -> u64;

    /// The bytes `offset .. offset + len`, all of them, or an error.
    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>>;

    /// Whether there is nothing at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn beyond(offset: u64, len: usize, have: u64) -> Error {
    let detail = format!("{len} bytes at {offset} lie beyond the end, {have}");
    Error::io("read the database", io::Error::new(io::ErrorKind::UnexpectedEof, detail))
}

impl Pages for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        usize::try_from(offset)
            .ok()
            .and_then(|at| self.get(at..at.checked_add(len)?))
            .map(Cow::Borrowed)
            .ok_or_else(|| beyond(offset, len, Pages::len(self)))
    }
}

impl Pages for Vec<u8> {
    fn len(&self) -> u64 {
        Vec::len(self) as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        match self.as_slice().read(offset, len)? {
            Cow::Owned(bytes) => Ok(Cow::Owned(bytes)),
            Cow::Borrowed(_) => Ok(Cow::Borrowed(&self[offset as usize..][..len])),
        }
    }
}

/// A file read piece by piece, without a map and without locks.
///
/// Errors of opening: [`Error::Io`], [`Error::NotADatabase`] for what is no regular file.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # drop(unsafe { recto::Database::open(&path)? });
/// let file = recto::inspect::FilePages::open(&path)?;
/// let tables = recto::inspect::stats(&file, &recto::inspect::MetaChoice::Newest)?;
/// assert!(tables.is_empty());
/// # Ok(()) }
/// ```
///
/// Threads may share it: each read says where.
#[derive(Debug)]
pub struct FilePages {
    file: File,
    len: u64,
}

impl FilePages {
    /// Opens a regular file for reading.
    ///
    /// Three system calls; nothing is read.
    pub fn open(path: &Path) -> Result<FilePages> {
        let say = |source| Error::io("open", source).at(path);
        // Asked before opening: opening a pipe would wait for somebody to write into it.
        if !std::fs::metadata(path).map_err(say)?.is_file() {
            return Err(Error::no_database("it is not a regular file").at(path));
        }
        FilePages::new(File::open(path).map_err(say)?).map_err(|e| e.at(path))
    }

    /// Reads an open file. Its length is taken now.
    ///
    /// One system call. Errors: [`Error::Io`], without a path: none is known.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("my.recto");
    /// use recto::inspect::{FilePages, Pages};
    /// # drop(unsafe { recto::Database::open(&path)? });
    ///
    /// let file = FilePages::new(std::fs::File::open(&path).unwrap())?;
    /// assert!(!file.is_empty() && file.len() % 4096 == 0);
    /// # Ok(()) }
    /// ```
    pub fn new(file: File) -> Result<FilePages> {
        let len = file.metadata().map_err(|e| Error::io("stat", e))?.len();
        Ok(FilePages { file, len })
    }
}

impl Pages for FilePages {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        // Checked first: `len` may come from the file and must not size a buffer that the file
        // cannot fill.
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(beyond(offset, len, self.len));
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(|e| Error::io("read", e))?;
        Ok(Cow::Owned(bytes))
    }
}
