//! Where a file lies, what its file system can do, and whom it belongs to.
//!
//! Thread rules: nothing is kept here.

use super::MapOptions;
use crate::error::{Error, Result};
use crate::os::{self, FsKind};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Device and inode.
pub(super) fn identity(file: &File) -> Result<(u64, u64)> {
    let metadata = file.metadata().map_err(|e| Error::io("asking about the file", e))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Refuses data files that cannot carry a shared map with locks.
pub(super) fn check_data(file: &File, path: &Path, options: &MapOptions) -> Result<()> {
    let metadata = file.metadata().map_err(|e| Error::io("asking about the file", e).at(path))?;
    if !metadata.is_file() {
        return Err(Error::no_database("it is not a regular file").at(path));
    }
    check_file_system(file, path, options)
}

pub(super) fn kind(file: &File, path: &Path) -> Result<FsKind> {
    os::fs_kind(file).map_err(|e| Error::io("asking for the file system of", e).at(path))
}

pub(super) fn check_file_system(file: &File, path: &Path, options: &MapOptions) -> Result<()> {
    let name = match kind(file, path)? {
        _ if options.allow_network || options.no_lock => return Ok(()),
        FsKind::Network(name) => name,
        FsKind::Fuse => "FUSE",
        _ => return Ok(()),
    };
    Err(Error::FileSystem { path: Some(path.to_owned()), detail: refusal(name) })
}

pub(super) fn refusal(name: &str) -> String {
    format!(
        "lies on {name}, where shared maps or locks cannot be relied on between processes; \
         allow it explicitly if only one machine ever opens it"
    )
}

/// Gives a new file to the owner and group of the data file, as far as this user may, with its
/// mode: who may read or write the data may do the same here.
pub(super) fn give_as(new: &File, data: &Metadata) -> io::Result<()> {
    os::give_to(new, data.uid(), data.gid());
    let mut mode = data.permissions().mode() & 0o666 | os::PRIVATE;
    if new.metadata()?.gid() != data.gid() {
        // Another group: for everybody else it is everybody else.
        mode = mode & !0o070 | (mode & 0o007) << 3;
    }
    // The umask takes nothing off.
    new.set_permissions(Permissions::from_mode(mode))
}

/// A file that is written elsewhere (btrfs) can meet a full disk at any store through a map. Where
/// the flag cannot be set the file works, only without that promise. Only for an empty file.
pub(super) fn write_in_place(file: &File) {
    if os::may_write_elsewhere(file) {
        let _ = os::set_nocow(file);
    }
}
