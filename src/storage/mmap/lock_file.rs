//! The lock file: found, made, and mapped.
//!
//! Invariants
//! - A lock file has its owner, its mode and its blocks before it has its name (B1): whoever may
//!   write the data can write it, and no store through a map of it meets a full disk. Whoever opens
//!   the database first gives it blocks of its own again ([`settle`]): it may be a copy that shares
//!   them, or a snapshot may.
//! - It is not a database, and above all not the one beside which it is to stand.
//! - Who only reads makes none that would belong to somebody else than the data: its owner would be
//!   locked out.
//!
//! Thread rules: nothing is kept here.

use super::MapOptions;
use super::file::{has_blocks, write_zeros};
use super::place::{check_file_system, give_as, identity, kind, write_in_place};
use crate::error::{Error, Result};
use crate::format::meta::{MAGIC, PAGE_SIZES};
use crate::os::{self, Fallocate, FsKind};
use crate::storage::LOCK_MAGIC;
use memmap2::{MmapOptions, MmapRaw};
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Path of the lock file of the data file at `path`.
pub(super) fn path_of(path: &Path, options: &MapOptions) -> PathBuf {
    match &options.lock_file {
        Some(path) => path.clone(),
        None => {
            let mut name = path.as_os_str().to_owned();
            name.push("-lock");
            name.into()
        }
    }
}

/// Refuses a database that is to be made where its lock file is to stand.
pub(super) fn refuse_same_path(path: &Path, options: &MapOptions) -> Result<()> {
    let whole = |path: &Path| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (std::fs::canonicalize(parent).ok(), path.file_name().map(OsStr::to_owned))
    };
    let lock = path_of(path, options);
    if whole(path) == whole(&lock) { Err(is_a_database(&lock)) } else { Ok(()) }
}

fn is_a_database(path: &Path) -> Error {
    let detail = "is a database itself; the lock file needs a place of its own";
    Error::LockFile { path: path.to_owned(), detail: detail.into() }
}

/// The lock file, and whether it can only be read.
pub(super) fn open(data: &File, path: &Path, options: &MapOptions) -> Result<(File, bool)> {
    let (file, observer) = open_or_create(data, path, options)?;
    if identity(&file)? == identity(data)? {
        return Err(is_a_database(path));
    }
    if has_meta(&file).map_err(failed("reading the lock file", path))? {
        return Err(is_a_database(path));
    }
    check_ours(&file, path, options)?;
    Ok((file, observer))
}

/// Whether a file has the magic of a meta page. One of the two is enough; the second stands behind
/// the first, whatever the size of a page.
pub(super) fn has_meta(file: &File) -> io::Result<bool> {
    let sizes = std::iter::successors(Some(*PAGE_SIZES.start()), |&size| Some(2 * size));
    for at in std::iter::once(0).chain(sizes.take_while(|size| PAGE_SIZES.contains(size))) {
        let mut start = [0; MAGIC.len()];
        let read = file.read_at(&mut start, at as u64)?;
        if start[..read] == MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses a file without any meta page, before a lock file is made beside it. What cannot be read
/// is left to who opens it.
pub fn check_is_database(path: &Path) -> Result<()> {
    let mut open = OpenOptions::new();
    // A pipe is not waited for.
    let opened = open.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let found = opened.and_then(|file| match file.metadata()?.is_file() {
        true if !has_meta(&file)? => whose(&file).map(Some),
        _ => Ok(None),
    });
    match found {
        Ok(Some(detail)) => Err(Error::no_database(detail).at(path)),
        _ => Ok(()),
    }
}

/// What a file is that has no meta page, as far as its first bytes tell: people give one store the
/// file of another, or the file beside theirs.
fn whose(file: &File) -> io::Result<&'static str> {
    let mut start = [0; 32];
    let read = file.read_at(&mut start, 0)?;
    let start = &start[..read];
    // LMDB: a page header, of 16 bytes or, since its version 1, of 24, then the magic number.
    let lmdb = |at: usize| start.get(at..at + 4) == Some(&0xbeef_c0de_u32.to_le_bytes());
    Ok(match start {
        [] => "it is empty; opened to be written to, with `Builder::create`, it becomes a database",
        _ if start.starts_with(&LOCK_MAGIC) => {
            "it is the lock file of a recto database; give the path without \"-lock\""
        }
        _ if start.starts_with(b"SQLite format 3\0") => "it is an SQLite database",
        _ if lmdb(16) || lmdb(24) => "it is an LMDB database; `mdb_dump` and `kvtool load` move it",
        _ if start.starts_with(b"redb\x1a\x0a\xa9\x0d\x0a") => "it is a redb database",
        _ => "no meta page with the right magic",
    })
}

/// Refuses what is somebody else's file of this name. A lock file has its magic, or, where that was
/// damaged, its length; one whose making power loss has cut short is empty or has nothing but
/// zeros.
fn check_ours(file: &File, path: &Path, options: &MapOptions) -> Result<()> {
    let failed = || failed("reading the lock file", path);
    let len = file.metadata().map_err(failed())?.len();
    let mut start = [0; LOCK_MAGIC.len()];
    let _ = file.read_at(&mut start, 0).map_err(failed())?;
    if start == LOCK_MAGIC || len == options.shared_len as u64 {
        return Ok(());
    }
    // One of a version to come may be longer.
    if start == [0; 8] && is_zero(file, 2 * options.shared_len as u64).map_err(failed())? {
        return Ok(());
    }
    let detail = "is no lock file of recto; move it away, or name another place for the lock file";
    Err(Error::LockFile { path: path.to_owned(), detail: detail.into() })
}

/// Whether a file has no more than so many bytes, all of them zero.
fn is_zero(file: &File, most: u64) -> io::Result<bool> {
    let mut room = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut room, at)?;
        at += read as u64;
        match read {
            0 => return Ok(true),
            _ if at > most || room[..read].iter().any(|&byte| byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

fn open_or_create(data: &File, path: &Path, options: &MapOptions) -> Result<(File, bool)> {
    let data =
        data.metadata().map_err(|e| Error::io("asking about the database file", e).at(path))?;
    let mut created = false;
    loop {
        match os::open_lock(path, true) {
            Ok(file) => return Ok((file, false)),
            Err(e) if e.kind() == ErrorKind::NotFound && !created => {
                if let Some(file) = create(&data, path, options)? {
                    return Ok((file, false));
                }
                // Somebody else was faster: it is there now.
                created = true;
            }
            Err(e) if options.read_only && is_refused(&e) => {
                let file = os::open_lock(path, false).map_err(|e| unusable(path, &data, e))?;
                if kind(&file, path)? == FsKind::Overlay && !options.allow_network {
                    let detail = "lies on overlayfs and cannot be opened for writing: what others \
                                  write there may never be seen";
                    let (path, detail) = (Some(path.to_owned()), detail.into());
                    return Err(Error::FileSystem { path, detail });
                }
                return Ok((file, true));
            }
            Err(e) => return Err(unusable(path, &data, e)),
        }
    }
}

fn is_refused(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// Makes the lock file. None if there is one by now.
fn create(data: &Metadata, path: &Path, options: &MapOptions) -> Result<Option<File>> {
    let failed = |what| failed(what, path);
    let new = match os::create_unlinked(path, os::PRIVATE) {
        Err(e) if is_refused(&e) => return Err(missing(path)),
        other => other.map_err(failed("creating the lock file"))?,
    };
    // Who may write the data must be able to write the lock file, and its owner above all, also
    // when root comes first.
    give_as(new.file(), data).map_err(failed("setting the owner and mode of the lock file"))?;
    let made = new.file().metadata().map_err(failed("asking about the lock file"))?;
    if options.read_only && made.uid() != data.uid() {
        return Err(missing(path));
    }
    write_in_place(new.file());
    allocate(new.file(), path, options.shared_len as u64)?;
    match new.link_unsynced() {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(failed("creating the lock file")(e)),
    }
}

fn missing(path: &Path) -> Error {
    let detail = "does not exist and cannot be created here by this user; let a process that may write \
         open the database first, or, if nobody writes, open it without a lock file (no_lock)";
    Error::LockFile { path: path.to_owned(), detail: detail.into() }
}

/// A failed call. Where there is no room for the lock file it is not the database that is too
/// large.
fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |e| match Error::io(what, e) {
        Error::DiskFull { source, .. } => {
            Error::LockFile { path: path.to_owned(), detail: format!("no room for it: {source}") }
        }
        other => other.at(path),
    }
}

/// Why a lock file cannot be opened, and what to do.
fn unusable(path: &Path, data: &Metadata, e: io::Error) -> Error {
    let detail = match e.kind() {
        _ if e.raw_os_error() == Some(libc::ELOOP) => {
            "is a symbolic link, which is refused; remove the link".into()
        }
        ErrorKind::InvalidInput | ErrorKind::IsADirectory => {
            "is not a regular file; move it away".into()
        }
        ErrorKind::NotFound => return missing(path),
        ErrorKind::PermissionDenied => denied(path, data, &e),
        ErrorKind::ReadOnlyFilesystem => format!("cannot be opened for writing: {e}"),
        _ => return failed("opening the lock file", path)(e),
    };
    Error::LockFile { path: path.to_owned(), detail }
}

/// Whose the file is decides who can do something about it.
fn denied(path: &Path, data: &Metadata, e: &io::Error) -> String {
    let Ok(lock) = std::fs::symlink_metadata(path) else {
        return format!("cannot be opened: {e}");
    };
    let of = |m: &Metadata| format!("user {} (mode {:o})", m.uid(), m.permissions().mode() & 0o777);
    format!(
        "cannot be opened for writing: {e}; it belongs to {}, the database to {}; give it the owner and the \
         mode of the database file, or remove it while nobody has the database open",
        of(&lock),
        of(data)
    )
}

/// Makes the lock file as long as it has to be, with all its blocks.
fn allocate(file: &File, path: &Path, len: u64) -> Result<()> {
    const WHAT: &str = "allocating the lock file";
    let metadata = file.metadata().map_err(failed(WHAT, path))?;
    let found = metadata.len();
    if found >= len && has_blocks(&metadata, len) {
        return Ok(());
    }
    // Over all of it, also where it is long enough: it has holes.
    match os::fallocate(file, 0, len).map_err(failed(WHAT, path))? {
        Fallocate::Done => Ok(()),
        Fallocate::Unsupported if found >= len => Ok(()),
        Fallocate::Unsupported => write_zeros(file, found, len).map_err(failed(WHAT, path)),
    }
}

/// Gives the lock file blocks of its own that are written in place. Nobody else has the database
/// open, and nobody stores into the map meanwhile. `keep`: the words of the last session are
/// needed.
pub(super) fn settle(file: &File, path: &Path, len: u64, keep: bool) -> Result<()> {
    let failed = || failed("giving the lock file blocks of its own", path);
    if !os::may_write_elsewhere(file) {
        // As many blocks as it needs may stand elsewhere in it, or behind its end.
        let _ = os::fallocate(file, 0, len).map_err(failed())?;
        // Where it cannot be asked for, nothing is shared.
        return os::unshare(file, 0, len).map(drop).map_err(failed());
    }
    if !keep && !os::is_nocow(file).unwrap_or(true) {
        // Only an empty file can be made one that is written in place. A limit that does not let it
        // be as long again would be told by a signal.
        os::is_within_limit(len).map_err(failed())?;
        file.set_len(0).map_err(failed())?;
        write_in_place(file);
        let allocated = os::fallocate(file, 0, len);
        // The map is not to end behind the file, whatever has happened.
        file.set_len(len).map_err(failed())?;
        return allocated.map(drop).map_err(failed());
    }
    // A block that a snapshot shares is copied when it is written: now, and with an error if there
    // is no room.
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).map_err(failed())?;
    os::pwrite_all(file, 0, &bytes).map_err(failed())
}

/// Maps the lock file, as long as it has to be.
pub(super) fn map(
    file: &File,
    path: &Path,
    observer: bool,
    options: &MapOptions,
) -> Result<MmapRaw> {
    check_file_system(file, path, options)?;
    let failed = |what| failed(what, path);
    let len = options.shared_len;
    if observer {
        let found = file.metadata().map_err(failed("asking about the lock file"))?.len();
        if found < len as u64 {
            let detail = format!("has {found} bytes instead of {len}: no writer has set it up yet");
            return Err(Error::LockFile { path: path.to_owned(), detail });
        }
    } else {
        allocate(file, path, len as u64)?;
    }
    let mut map = MmapOptions::new();
    map.len(len);
    let map = if observer { map.map_raw_read_only(file) } else { map.map_raw(file) };
    let map = map.map_err(failed("mapping the lock file"))?;
    // A hint: small folios, so that a store into one makes one page dirty.
    let _ = os::advise(map.as_ptr(), map.len(), os::Advice::Random);
    Ok(map)
}
