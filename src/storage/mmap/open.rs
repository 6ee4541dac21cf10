//! Opening: which files are refused and why, and what is opened beside the data file.
//!
//! Thread rules: nothing is kept here.

use super::lock_file;
use super::place::kind;
use super::{FileLocks, FreeLocks, HandleLocks, MapOptions};
use crate::error::{Error, Result};
use crate::os::{self, FsKind};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What stands beside the data file.
pub(super) struct SharedFile {
    pub(super) file: Option<(File, PathBuf)>,
    pub(super) map: MmapRaw,
    pub(super) locks: HandleLocks,
    pub(super) data_locks: HandleLocks,
    pub(super) observer: bool,
}

/// Opens the data file as the options ask.
pub(super) fn data_file(path: &Path, options: &MapOptions) -> Result<File> {
    let open = |write| {
        os::open_data(path, write).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput | ErrorKind::IsADirectory => {
                Error::no_database("it is not a regular file").at(path)
            }
            _ => Error::io("opening the database file", e).at(path),
        })
    };
    let file = open(!options.read_only)?;
    if options.read_only && !options.no_lock && kind(&file, path)? == FsKind::Overlay {
        // A file of a lower layer becomes another file at the first writer's open, and maps of the
        // old one never see what is written. So be that opener, then open what came out of it.
        // Where nobody writes there is no need for that, and it would copy the whole file.
        match open(true) {
            Ok(_) => return open(false),
            Err(_) if options.allow_network => {}
            Err(e) => {
                let detail = format!(
                    "lies on overlayfs and cannot be opened for writing ({e}): a reader of a \
                     lower layer's file would never see what others write; if nobody writes, open it \
                     without a lock file (no_lock)"
                );
                return Err(Error::FileSystem { path: Some(path.to_owned()), detail });
            }
        }
    }
    Ok(file)
}

/// Opens and maps the lock file, and opens the descriptions that carry locks.
pub(super) fn beside(data: &File, path: &Path, options: &MapOptions) -> Result<SharedFile> {
    if options.no_lock || options.exclusive {
        let map = MmapOptions::new()
            .len(options.shared_len.max(1))
            .map_anon()
            .map_err(|e| Error::io("reserving memory", e))?;
        let data_locks = match options.exclusive {
            true => HandleLocks::Exclusive(ofd_locks(data, path, true)?),
            false => HandleLocks::Free(FreeLocks),
        };
        return Ok(SharedFile {
            file: None,
            map: map.into(),
            locks: HandleLocks::Free(FreeLocks),
            data_locks,
            observer: false,
        });
    }
    let lock_path = lock_file::path_of(path, options);
    let (file, observer) = lock_file::open(data, &lock_path, options)?;
    let map = lock_file::map(&file, &lock_path, observer, options)?;
    let locks = ofd(&file, &lock_path, !observer)?;
    // Even a reader takes the gate of the data file exclusively when it is the first opener, where
    // it is allowed to: nothing is written through this description.
    let data_locks = match ofd(data, path, true) {
        Err(_) if options.read_only => ofd(data, path, false)?,
        other => other?,
    };
    Ok(SharedFile { file: Some((file, lock_path)), map, locks, data_locks, observer })
}

/// A description of its own for locks.
fn ofd(file: &File, path: &Path, write: bool) -> Result<HandleLocks> {
    ofd_locks(file, path, write).map(HandleLocks::File)
}

fn ofd_locks(file: &File, path: &Path, write: bool) -> Result<FileLocks> {
    let locks = os::OfdLocks::open(|| os::reopen(file, path, write))
        .map_err(|e| Error::io("opening for locks", e).at(path))?;
    Ok(FileLocks { locks, path: path.to_owned() })
}
