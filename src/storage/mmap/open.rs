//! Opening: which files are refused and why, and how the lock file is found, made and mapped.
//!
//! Thread rules: nothing is kept here.

use super::file::has_blocks;
use super::{FreeLocks, HandleLocks, MapOptions};
use crate::error::{Error, Result};
use crate::os::{self, Fallocate, FsKind};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What stands beside the data file.
pub(super) struct Beside {
    pub(super) file: Option<(File, PathBuf)>,
    pub(super) map: MmapRaw,
    pub(super) locks: HandleLocks,
    pub(super) data_locks: HandleLocks,
    pub(super) observer: bool,
}

/// Device and inode.
pub(super) fn identity(file: &File) -> Result<(u64, u64)> {
    let metadata = file.metadata().map_err(|e| Error::io("asking about the file", e))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Opens the data file as the options ask.
pub(super) fn data_file(path: &Path, options: &MapOptions) -> Result<File> {
    let open = |write| {
        os::open_data(path, write).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput | ErrorKind::IsADirectory => {
                Error::NotADatabase { detail: format!("{}: not a regular file", path.display()) }
            }
            _ => Error::io("opening the database file", e).at(path),
        })
    };
    let file = open(!options.read_only)?;
    if options.read_only && !options.no_lock && kind(&file, path)? == FsKind::Overlay {
        // A file of a lower layer becomes another file at the first writer's open, and maps of the
        // old one never see what is written. So be that opener, then open what came out of it. Where nobody
        // writes there is no need for that, and it would copy the whole file.
        match open(true) {
            Ok(_) => return open(false),
            Err(_) if options.allow_network => {}
            Err(e) => {
                let detail = format!(
                    "{}: lies on overlayfs and cannot be opened for writing ({e}): a reader of a \
                     lower layer's file would never see what others write; if nobody writes, open it \
                     without a lock file (no_lock)",
                    path.display()
                );
                return Err(Error::FileSystem { detail });
            }
        }
    }
    Ok(file)
}

/// Refuses data files that cannot carry a shared map with locks.
pub(super) fn check_data(file: &File, path: &Path, options: &MapOptions) -> Result<()> {
    let metadata = file.metadata().map_err(|e| Error::io("asking about the file", e).at(path))?;
    if !metadata.is_file() {
        let detail = format!("{}: not a regular file", path.display());
        return Err(Error::NotADatabase { detail });
    }
    check_file_system(file, path, options)
}

fn kind(file: &File, path: &Path) -> Result<FsKind> {
    os::fs_kind(file).map_err(|e| Error::io("asking for the file system of", e).at(path))
}

fn check_file_system(file: &File, path: &Path, options: &MapOptions) -> Result<()> {
    let name = match kind(file, path)? {
        _ if options.allow_network || options.no_lock => return Ok(()),
        FsKind::Network(name) => name,
        FsKind::Fuse => "FUSE",
        _ => return Ok(()),
    };
    Err(Error::FileSystem { detail: refusal(path, name) })
}

pub(super) fn refusal(path: &Path, name: &str) -> String {
    format!(
        "{}: lies on {name}, where shared maps or locks cannot be relied on between processes; \
         allow it explicitly if only one machine ever opens it",
        path.display()
    )
}

/// Path of the lock file of the data file at `path`.
fn lock_path(path: &Path, options: &MapOptions) -> PathBuf {
    match &options.lock_file {
        Some(path) => path.clone(),
        None => {
            let mut name = path.as_os_str().to_owned();
            name.push("-lock");
            name.into()
        }
    }
}

/// Opens and maps the lock file, and opens the descriptions that carry locks.
pub(super) fn beside(data: &File, path: &Path, options: &MapOptions) -> Result<Beside> {
    if options.no_lock {
        let map = MmapOptions::new()
            .len(options.shared_len.max(1))
            .map_anon()
            .map_err(|e| Error::io("reserving memory", e))?;
        return Ok(Beside {
            file: None,
            map: map.into(),
            locks: HandleLocks::Free(FreeLocks),
            data_locks: HandleLocks::Free(FreeLocks),
            observer: false,
        });
    }
    let lock_path = lock_path(path, options);
    let (file, observer) = lock_file(data, &lock_path, options)?;
    check_file_system(&file, &lock_path, options)?;
    let map = map_lock_file(&file, &lock_path, observer, options.shared_len)?;
    let locks = ofd(&file, &lock_path, !observer)?;
    // Even a reader takes the gate of the data file exclusively when it is the first opener, where
    // it is allowed to: nothing is written through this description.
    let data_locks = match ofd(data, path, true) {
        Err(_) if options.read_only => ofd(data, path, false)?,
        other => other?,
    };
    Ok(Beside { file: Some((file, lock_path)), map, locks, data_locks, observer })
}

/// A description of its own for locks.
fn ofd(file: &File, path: &Path, write: bool) -> Result<HandleLocks> {
    os::reopen(file, path, write)
        .and_then(os::OfdLocks::new)
        .map(HandleLocks::File)
        .map_err(|e| Error::io("opening for locks", e).at(path))
}

/// The lock file, and whether it can only be read.
fn lock_file(data: &File, path: &Path, options: &MapOptions) -> Result<(File, bool)> {
    // Whoever may open the data file may open the lock file.
    let mode = data
        .metadata()
        .map_err(|e| Error::io("asking about the database file", e))?
        .permissions()
        .mode();
    match os::open_lock(path, true, Some(mode & 0o666)) {
        Ok(file) => Ok((file, false)),
        Err(e)
            if options.read_only
                && matches!(
                    e.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
        {
            let file = os::open_lock(path, false, None).map_err(|e| unusable(path, e))?;
            if kind(&file, path)? == FsKind::Overlay && !options.allow_network {
                let detail = format!(
                    "{}: lies on overlayfs and cannot be opened for writing: what others write \
                     there may never be seen",
                    path.display()
                );
                return Err(Error::FileSystem { detail });
            }
            Ok((file, true))
        }
        Err(e) => Err(unusable(path, e)),
    }
}

/// Why a lock file cannot be opened, and what to do.
fn unusable(path: &Path, e: io::Error) -> Error {
    let detail = match e.kind() {
        _ if e.raw_os_error() == Some(libc::ELOOP) => {
            "is a symbolic link, which is refused; remove the link".into()
        }
        ErrorKind::InvalidInput | ErrorKind::IsADirectory => {
            "is not a regular file; move it away".into()
        }
        ErrorKind::NotFound => "does not exist and cannot be created here; let a process that may \
             write open the database first, or, if nobody writes, open it \
             without a lock file (no_lock)"
            .into(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("cannot be opened for writing: {e}")
        }
        _ => return Error::io("opening the lock file", e).at(path),
    };
    Error::LockFile { path: path.to_owned(), detail }
}

/// Maps the lock file, as long as it has to be.
fn map_lock_file(file: &File, path: &Path, observer: bool, len: usize) -> Result<MmapRaw> {
    let failed = |what| move |e| Error::io(what, e).at(path);
    let metadata = file.metadata().map_err(failed("asking about the lock file"))?;
    let found = metadata.len();
    if observer {
        if found < len as u64 {
            let detail = format!("has {found} bytes instead of {len}: no writer has set it up yet");
            return Err(Error::LockFile { path: path.to_owned(), detail });
        }
    } else if found < len as u64 || !has_blocks(&metadata, len as u64) {
        // Over all of it, also where it is long enough: it has holes.
        match os::fallocate(file, 0, len as u64).map_err(failed("allocating the lock file"))? {
            Fallocate::Done => {}
            Fallocate::Unsupported if found >= len as u64 => {}
            Fallocate::Unsupported => {
                super::file::write_zeros(file, found, len as u64)
                    .map_err(failed("allocating the lock file"))?;
            }
        }
    }
    let mut options = MmapOptions::new();
    options.len(len);
    let map = if observer { options.map_raw_read_only(file) } else { options.map_raw(file) };
    let map = map.map_err(failed("mapping the lock file"))?;
    // A hint: small folios, so that a store into one makes one page dirty.
    let _ = os::advise(map.as_ptr(), map.len(), os::Advice::Random);
    Ok(map)
}
