//! A new database file: complete and durable before it has its name, so that a crash in the
//! middle leaves no file that is no database.

use super::place::{check_data, give_as, write_in_place};
use super::{MapOptions, lock_file};
use crate::error::{Error, Result};
use crate::os;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Makes a file with this content at `path`, unless there is one already: then that one stays.
pub fn create_file(path: &Path, content: &[u8], options: &MapOptions) -> Result<()> {
    let failed = |what, e| Error::io(what, e).at(path);
    lock_file::refuse_same_path(path, options)?;
    let new = os::create_unlinked(path, options.mode & 0o666 | os::PRIVATE)
        .map_err(|e| failed("create", e))?;
    fill(&new, path, content, options)?;
    match new.link() {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(failed("create", e)),
        _ => Ok(()),
    }
}

/// Writes a new file, and syncs it.
fn fill(new: &os::NewFile, path: &Path, content: &[u8], options: &MapOptions) -> Result<()> {
    let failed = |what, e| Error::io(what, e).at(path);
    check_data(new.file(), path, options)?;
    write_in_place(new.file());
    os::pwrite_all(new.file(), 0, content).map_err(|e| failed("write", e))?;
    new.file().sync_all().map_err(|e| failed("sync", e))
}

/// A file without a byte, such as programs make that choose a name, becomes one with this content:
/// a new file takes its place as a whole, with its users and permissions. Nothing is done where the
/// file has content, also where another process has just given it some. [`Error::Busy`] if somebody
/// has it locked for the whole of `timeout`: another process that is at this, or one that has
/// nothing to do with it.
pub fn replace_empty_file(
    path: &Path,
    content: &[u8],
    options: &MapOptions,
    timeout: Duration,
) -> Result<()> {
    let path = &path.canonicalize().map_err(|e| Error::io("finding the file", e).at(path))?;
    let failed = |what, e| Error::io(what, e).at(path);
    let is_empty = |meta: &Metadata| meta.is_file() && meta.len() == 0;
    if !path.metadata().is_ok_and(|meta| is_empty(&meta)) {
        return Ok(());
    }
    lock_file::refuse_same_path(path, options)?;
    // Of those who find it empty one replaces it; the others find that another file is there.
    let empty = os::OfdLocks::open(|| os::open_data(path, true)).map_err(|e| failed("open", e))?;
    if !empty.lock(0, true, Some(timeout)).map_err(|e| failed("lock", e))? {
        return Err(Error::Busy { path: None });
    }
    let meta = empty.file().metadata().map_err(|e| failed("asking about", e))?;
    let now = path.symlink_metadata().map_err(|e| failed("asking about", e))?;
    if !is_empty(&meta) || (meta.dev(), meta.ino()) != (now.dev(), now.ino()) {
        return Ok(());
    }
    let new = os::create_unlinked(path, os::PRIVATE).map_err(|e| failed("create", e))?;
    fill(&new, path, content, options)?;
    give_as(new.file(), &meta).map_err(|e| failed("create", e))?;
    // The sync has taken its time: what somebody has written meanwhile must not go.
    if os::file_len(empty.file()).map_err(|e| failed("asking about", e))? > 0 {
        return Ok(());
    }
    new.replace().map(drop).map_err(|e| failed("create", e))
}

/// What a file in which parts of another are kept has behind the name of that one.
const REFUSED: [&str; 4] = ["-refused", "-refused.2", "-refused.3", "-refused.4"];
/// Times as much room as the parts take must be left for others.
const ROOM_LEFT: u64 = 16;

/// Makes a file beside `path` that is as long as `data`, has these parts of it in their places and
/// holes elsewhere, and whose users are those of `data`. Those that stand there already stay:
/// nobody has looked at them, or they are something else. With all names taken, or little room on
/// the disk, it is an error.
pub(super) fn keep_beside(data: &File, path: &Path, parts: &[(u64, Vec<u8>)]) -> io::Result<()> {
    let meta = data.metadata()?;
    os::is_within_limit(meta.len())?;
    let size: u64 = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    if os::room(data)? / ROOM_LEFT < size {
        return Err(ErrorKind::StorageFull.into());
    }
    for behind in REFUSED {
        let mut name = path.as_os_str().to_owned();
        name.push(behind);
        if Path::new(&name).symlink_metadata().is_ok() {
            continue;
        }
        let new = os::create_unlinked(Path::new(&name), os::PRIVATE)?;
        give_as(new.file(), &meta)?;
        for (at, bytes) in parts {
            os::pwrite_all(new.file(), *at, bytes)?;
        }
        new.file().set_len(meta.len())?;
        new.file().sync_all()?;
        return new.link().map(drop);
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Makes the name of the file durable: for a database that holds nothing yet, whose maker may not
/// have come so far. Later the first commit's acknowledgement rests on it.
pub fn sync_name(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(|e| Error::io("sync the directory", e).at(path))
}
