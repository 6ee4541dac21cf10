//! Files: opening and creating them safely, allocating their blocks, and what they lie on.
//!
//! Invariants: every descriptor closes on exec; a symbolic link in the last place of a path is
//! refused, and so is everything that is not a regular file; a file is created whole or not at all
//! ([`create_unlinked`]) and never over another, but for one that is empty ([`NewFile::replace`]).

use super::{check, check_repeat};
use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Permissions of files that nobody else is to see.
pub const PRIVATE: u32 = 0o600;

/// Opens a database file that exists.
pub fn open_data(path: &Path, write: bool) -> io::Result<File> {
    // Non-blocking, so that the open of a pipe does not hang; without meaning for regular files.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    regular(OpenOptions::new().read(true).write(write).custom_flags(flags).open(path)?)
}

/// Opens a lock file that exists.
pub fn open_lock(path: &Path, write: bool) -> io::Result<File> {
    open_data(path, write)
}

/// Gives a file to this user and group, as far as the caller may.
pub fn give_to(file: &File, user: u32, group: u32) {
    let give = |user, group| std::os::unix::fs::fchown(file, user, group).is_ok();
    let _ = give(Some(user), Some(group)) || give(None, Some(group)) || give(Some(user), None);
}

/// Opens the file again, with an open file description of its own: for locks, which must not share
/// one with a map. `path` is used where /proc is missing, and only if it still leads to the same
/// file.
pub fn reopen(file: &File, path: &Path, write: bool) -> io::Result<File> {
    let through = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut options = OpenOptions::new();
    options.read(true).write(write).custom_flags(libc::O_NONBLOCK);
    match options.open(through) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let again = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
            let (a, b) = (file.metadata()?, again.metadata()?);
            if (a.dev(), a.ino()) != (b.dev(), b.ino()) {
                return Err(io::Error::other("the file was replaced while it was opened"));
            }
            Ok(again)
        }
        other => other,
    }
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Whether `path` still leads to this file: it may have been renamed, or replaced by another.
pub fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Outcome of [`fallocate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Fallocate {
    /// The file is long enough and every block of the range is allocated.
    Done,
    /// This file system cannot; the caller may write zeros instead. Nothing has changed.
    Unsupported,
}

/// Allocates the blocks of a range and makes the file long enough to hold it. What was there stays.
pub fn fallocate(file: &File, offset: u64, len: u64) -> io::Result<Fallocate> {
    allocate(file, 0, offset, len)
}

/// Gives the file blocks of its own, where it shares them with a copy (reflink). What stands there
/// stays, and may change meanwhile.
pub fn unshare(file: &File, offset: u64, len: u64) -> io::Result<Fallocate> {
    allocate(file, libc::FALLOC_FL_UNSHARE_RANGE, offset, len)
}

fn allocate(file: &File, mode: libc::c_int, offset: u64, len: u64) -> io::Result<Fallocate> {
    let too_large = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let offset: libc::off64_t = offset.try_into().map_err(too_large)?;
    let len: libc::off64_t = len.try_into().map_err(too_large)?;
    if len == 0 {
        return Ok(Fallocate::Done);
    }
    let end = offset.saturating_add(len) as u64;
    if end > file_len(file)? {
        is_within_limit(end)?;
    }
    // SAFETY: an open descriptor and two integers.
    match check_repeat(|| unsafe { libc::fallocate64(file.as_raw_fd(), mode, offset, len) }) {
        Ok(_) => Ok(Fallocate::Done),
        Err(e) => match e.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => Ok(Fallocate::Unsupported),
            _ => Err(e),
        },
    }
}

/// An error if no file of this process may have so many bytes. Who writes behind that, or makes a
/// file longer, gets a signal, and not this error.
pub fn is_within_limit(end: u64) -> io::Result<()> {
    match end > super::memory::file_size_limit()? {
        true => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        false => Ok(()),
    }
}

/// Writes all of `bytes` at `offset`.
pub fn pwrite_all(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    is_within_limit(offset.saturating_add(bytes.len() as u64))?;
    file.write_all_at(bytes, offset)
}

/// Bytes written in one call, where it may be several parts. A folio of the page cache becomes as
/// large as the write that makes it, and ext4 looks at every block of a folio at each later write
/// into it: after pieces of 1 MiB a page costs ten times as much as after pieces of 16 KiB
/// (docs/performance.md).
const PIECE: usize = 16 << 10;
/// Bytes of one part that are written in one call, at a multiple of as many.
const LARGEST: usize = 64 << 10;
/// Parts the kernel takes in one call.
const BATCH: usize = 1024;

/// Writes all parts one after another from `offset` on, in pieces of moderate size.
pub fn pwritev_all(file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    let mut slices = Vec::with_capacity(parts.len());
    let mut to = offset;
    for mut part in parts.iter().copied() {
        while !part.is_empty() {
            // Up to where a folio of that size ends: the next piece can have one of its own.
            let room = LARGEST - (to % LARGEST as u64) as usize;
            let (piece, rest) = part.split_at(part.len().min(room));
            slices.push(IoSlice::new(piece));
            to = to.saturating_add(piece.len() as u64);
            part = rest;
        }
    }
    is_within_limit(to)?;
    let mut at = offset;
    let mut rest = &mut slices[..];
    while let Some(first) = rest.first() {
        let mut len = first.len();
        let more = rest[1..].iter().take(BATCH - 1).take_while(|slice| {
            len += slice.len();
            len <= PIECE
        });
        let (piece, behind) = rest.split_at_mut(1 + more.count());
        at = write_piece(file, at, piece)?;
        rest = behind;
    }
    Ok(())
}

/// Writes at most [`BATCH`] slices, none of them empty; where the next one goes.
fn write_piece(file: &File, mut at: u64, mut rest: &mut [IoSlice<'_>]) -> io::Result<u64> {
    while !rest.is_empty() {
        let to = at.try_into().map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
        // SAFETY: an IoSlice has the layout of an iovec, and the slices live across the call;
        // at most BATCH of them, so the count fits.
        let n = unsafe {
            libc::pwritev64(file.as_raw_fd(), rest.as_ptr().cast(), rest.len() as i32, to)
        };
        match n {
            -1 => {
                let e = io::Error::last_os_error();
                if e.kind() != io::ErrorKind::Interrupted {
                    return Err(e);
                }
            }
            0 => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            n => {
                at += n as u64;
                IoSlice::advance_slices(&mut rest, n as usize);
            }
        }
    }
    Ok(at)
}

/// Asks the kernel to begin writing dirty pages of a range to the device. Does not wait for them,
/// makes nothing durable, and takes no notice of errors of the device away from the next sync.
pub fn write_back(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let offset: libc::off64_t = offset.try_into().map_err(too_large)?;
    let len: libc::off64_t = len.try_into().map_err(too_large)?;
    // SAFETY: an open descriptor and two integers.
    check_repeat(|| unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE)
    })
    .map(drop)
}

/// Whether the kernel has failed to write pages of the file since this description was opened, or
/// since it was told so the last time, by this or by a sync. Waits for nothing: the range lies
/// behind the end of every file. Not to be asked of a file on an overlay, which has not got the
/// pages. Whatever error comes is the device's, and is not told again; where the call itself is
/// refused nobody can know, which counts as a failure too.
pub fn write_back_failed(file: &File) -> bool {
    const BEHIND: libc::off64_t = 1 << 61;
    // SAFETY: an open descriptor and two integers.
    let asked = check_repeat(|| unsafe {
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE;
        libc::sync_file_range(file.as_raw_fd(), BEHIND, 1, flags)
    });
    asked.is_err()
}

/// The length of a file. Unlike `fstat` it asks for no time stamps: a kernel that has been asked
/// for them gives the next change a new one, and the sync of every commit would have the inode to
/// write. Moves the file's position, which nothing here uses.
pub fn file_len(mut file: &File) -> io::Result<u64> {
    file.seek(io::SeekFrom::End(0))
}

fn sync_open_dir(dir: &File) -> io::Result<()> {
    match dir.sync_all() {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

/// A file without a name, or with a temporary one that goes away with this value: the way to create
/// a file that is seen whole or not at all.
#[derive(Debug)]
pub struct NewFile {
    file: Option<File>,
    directory: File,
    name: CString,
    /// The temporary name, where the file system has no files without one.
    temporary: Option<CString>,
}

/// Begins a file that is to stand at `path` once it is complete, readable and writable, with the
/// permission bits `mode`.
pub fn create_unlinked(path: &Path, mode: u32) -> io::Result<NewFile> {
    let (directory, name) = directory_of(path)?;
    let target = c_string(name)?;
    if Path::new("/proc/self/fd").exists() {
        match open_at(&directory, c".", libc::O_TMPFILE | libc::O_RDWR, mode) {
            Ok(file) => {
                return Ok(NewFile { file: Some(file), directory, name: target, temporary: None });
            }
            // File systems and kernels without files that have no name.
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL | libc::ENOENT)
                ) => {}
            Err(e) => return Err(e),
        }
    }
    create_named(directory, target, name, mode)
}

/// A file of this process alone, readable and writable, that never has a name: it is gone with its
/// last descriptor. Where the file system has none, it has one for a moment.
pub fn create_nameless(directory: &Path) -> io::Result<File> {
    let mut new = create_unlinked(&directory.join("temporary"), PRIVATE)?;
    new.file.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// The directory of a path, open, and the name in it.
fn directory_of(path: &Path) -> io::Result<(File, &OsStr)> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "path does not end in the name of a file")
    })?;
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let directory = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(parent)?;
    Ok((directory, name))
}

/// The same with a temporary name in the same directory.
fn create_named(directory: File, target: CString, name: &OsStr, mode: u32) -> io::Result<NewFile> {
    for _ in 0..100 {
        let temporary = temporary_name(name.as_bytes())?;
        match open_at(&directory, &temporary, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, mode) {
            Ok(file) => {
                let temporary = Some(temporary);
                return Ok(NewFile { file: Some(file), directory, name: target, temporary });
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// A name that no file has, for one that is to have another.
fn temporary_name(name: &[u8]) -> io::Result<CString> {
    let mut random = [0u8; 8];
    super::random_bytes(&mut random)?;
    let mut temporary = b".".to_vec();
    // A name has at most 255 bytes.
    temporary.extend_from_slice(&name[..name.len().min(200)]);
    temporary.extend_from_slice(format!("-new-{:016x}", u64::from_ne_bytes(random)).as_bytes());
    Ok(CString::new(temporary)?)
}

impl NewFile {
    /// The file, to be filled and synced before [`NewFile::link`].
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("present until link")
    }

    /// Gives the file its name and syncs the directory. A file that stands there already is left as
    /// it is, and the error is of kind `AlreadyExists`.
    pub fn link(mut self) -> io::Result<File> {
        self.give_name()?;
        sync_open_dir(&self.directory)?;
        Ok(self.file.take().expect("present until link"))
    }

    /// The same for a file whose name need not survive a crash.
    pub fn link_unsynced(mut self) -> io::Result<File> {
        self.give_name()?;
        Ok(self.file.take().expect("present until link"))
    }

    /// Gives the file its name, in place of the file that has it, and syncs the directory. Only a
    /// name can take the place of another: a file without one has a temporary one for a moment.
    pub fn replace(mut self) -> io::Result<File> {
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => {
                let temporary = temporary_name(self.name.as_bytes())?;
                self.link_as(&temporary)?;
                temporary
            }
        };
        let temporary = self.temporary.insert(temporary);
        let dir = self.directory.as_raw_fd();
        // SAFETY: an open descriptor and strings that end in zero.
        check(unsafe { libc::renameat(dir, temporary.as_ptr(), dir, self.name.as_ptr()) })?;
        self.temporary = None;
        sync_open_dir(&self.directory)?;
        Ok(self.file.take().expect("present until link"))
    }

    fn give_name(&mut self) -> io::Result<()> {
        match self.temporary.take() {
            None => self.link_as(&self.name),
            Some(temporary) => self.link_named(temporary),
        }
    }

    /// Gives a file without a name this one.
    fn link_as(&self, name: &CStr) -> io::Result<()> {
        let through = format!("/proc/self/fd/{}", self.file().as_raw_fd());
        let through = CString::new(through)?;
        let dir = self.directory.as_raw_fd();
        // SAFETY: open descriptors and strings that end in zero.
        check(unsafe {
            libc::linkat(
                libc::AT_FDCWD,
                through.as_ptr(),
                dir,
                name.as_ptr(),
                libc::AT_SYMLINK_FOLLOW,
            )
        })
        .map(drop)
    }

    fn link_named(&mut self, temporary: CString) -> io::Result<()> {
        let dir = self.directory.as_raw_fd();
        let (from, to) = (temporary.as_ptr(), self.name.as_ptr());
        // SAFETY: an open descriptor and strings that end in zero.
        let linked = check(unsafe { libc::linkat(dir, from, dir, to, 0) });
        match linked {
            Ok(_) => {
                self.temporary = Some(temporary); // taken away when the value is dropped
                Ok(())
            }
            Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP)) => {
                // No hard links here: a rename that replaces nothing does the same.
                // SAFETY: as above.
                let renamed = check(unsafe {
                    libc::syscall(libc::SYS_renameat2, dir, from, dir, to, libc::RENAME_NOREPLACE)
                        as libc::c_int
                });
                if renamed.is_err() {
                    self.temporary = Some(temporary);
                }
                renamed.map(drop)
            }
            Err(e) => {
                self.temporary = Some(temporary);
                Err(e)
            }
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // SAFETY: an open descriptor and a string that ends in zero. Nothing can be done about
            // a failure; the name says what it is.
            unsafe { libc::unlinkat(self.directory.as_raw_fd(), temporary.as_ptr(), 0) };
        }
    }
}

fn c_string(name: &OsStr) -> io::Result<CString> {
    Ok(CString::new(name.as_bytes())?)
}

fn open_at(dir: &File, name: &std::ffi::CStr, flags: libc::c_int, mode: u32) -> io::Result<File> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let mode = mode & 0o777;
    // SAFETY: an open descriptor and a string that ends in zero.
    let fd = check_repeat(|| unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, mode) })?;
    // SAFETY: a descriptor that was just made and that nobody else knows.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// What a file lies on, as far as it matters to a map that is shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FsKind {
    /// Between machines: maps are not coherent, locks are weak.
    Network(&'static str),
    /// A program in user space; may refuse shared maps.
    Fuse,
    /// A file of a lower layer is another file after its first write.
    Overlay,
    /// Writes elsewhere even when blocks are allocated, unless told not to.
    Btrfs,
    /// Memory.
    Tmpfs,
    /// Nothing special; the system's number for it.
    Other(u32),
}

/// Bytes that this user may still write to the file system on which the file lies.
pub fn room(file: &File) -> io::Result<u64> {
    let stat = stat_fs(file)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_bsize as u64))
}

/// Asks which file system the file lies on.
pub fn fs_kind(file: &File) -> io::Result<FsKind> {
    // The type of the field differs between machines; all numbers have 32 bits.
    Ok(kind_of(stat_fs(file)?.f_type as u32))
}

fn stat_fs(file: &File) -> io::Result<libc::statfs> {
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor and a struct that lives across the call.
    check_repeat(|| unsafe { libc::fstatfs(file.as_raw_fd(), &mut stat) })?;
    Ok(stat)
}

fn kind_of(magic: u32) -> FsKind {
    match magic {
        0x6969 => FsKind::Network("NFS"),
        0x517b => FsKind::Network("SMB"),
        0xff53_4d42 => FsKind::Network("CIFS"),
        0xfe53_4d42 => FsKind::Network("SMB2"),
        0x0102_1997 => FsKind::Network("9p"),
        0x00c3_6400 => FsKind::Network("Ceph"),
        0x5346_414f | 0x6b41_4653 => FsKind::Network("AFS"),
        0x7375_7245 => FsKind::Network("Coda"),
        0x0bd0_0bd0 => FsKind::Network("Lustre"),
        0x4750_4653 => FsKind::Network("GPFS"),
        0x7461_636f => FsKind::Network("OCFS2"),
        0x0116_1970 => FsKind::Network("GFS2"),
        0x786f_4256 => FsKind::Network("VirtualBox shared folder"),
        0x6573_5546 => FsKind::Fuse,
        0x794c_7630 => FsKind::Overlay,
        0x9123_683e => FsKind::Btrfs,
        0x0102_1994 => FsKind::Tmpfs,
        other => FsKind::Other(other),
    }
}

/// Whether the file may lie on btrfs, where a page that is written goes elsewhere unless the file
/// says otherwise. What is below an overlay nobody tells.
pub fn may_write_elsewhere(file: &File) -> bool {
    fs_kind(file).is_ok_and(|kind| matches!(kind, FsKind::Btrfs | FsKind::Overlay))
}

/// Whether any of the file's blocks is shared with another file, such as a snapshot.
pub fn shares_blocks(file: &File) -> io::Result<bool> {
    /// Extents asked for at a time.
    const EXTENTS: usize = 128;
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Extent {
        logical: u64,
        physical: u64,
        length: u64,
        reserved: [u64; 2],
        flags: u32,
        more: [u32; 3],
    }
    #[repr(C)]
    struct Map {
        start: u64,
        length: u64,
        flags: u32,
        mapped: u32,
        count: u32,
        reserved: u32,
        extents: [Extent; EXTENTS],
    }
    /// `_IOWR('f', 11, struct fiemap)`, whose size is that of the head.
    const FIEMAP: u64 = 0xc020_660b;
    const LAST: u32 = 1;
    const SHARED: u32 = 0x2000;
    let empty =
        Extent { logical: 0, physical: 0, length: 0, reserved: [0; 2], flags: 0, more: [0; 3] };
    let mut map = Map {
        start: 0,
        length: u64::MAX,
        flags: 0,
        mapped: 0,
        count: EXTENTS as u32,
        reserved: 0,
        extents: [empty; EXTENTS],
    };
    loop {
        // SAFETY: an open descriptor; the kernel reads the head and stores at most `count` extents
        // behind it, for which there is room.
        check(unsafe { libc::ioctl(file.as_raw_fd(), FIEMAP as _, &mut map) })?;
        let found = &map.extents[..(map.mapped as usize).min(EXTENTS)];
        if found.iter().any(|extent| extent.flags & SHARED != 0) {
            return Ok(true);
        }
        match found.last() {
            Some(last) if last.flags & LAST == 0 && last.length > 0 => {
                map.start = last.logical.saturating_add(last.length);
                map.length = u64::MAX - map.start;
            }
            _ => return Ok(false),
        }
    }
}

/// FS_NOCOW_FL.
const NO_COPY_ON_WRITE: libc::c_int = 0x0080_0000;

/// Asks the file system to write the file in place (btrfs; only works while the file is empty).
pub fn set_nocow(file: &File) -> io::Result<()> {
    let flags = flags_of(file)? | NO_COPY_ON_WRITE;
    // SAFETY: an open descriptor; the kernel reads one int.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS, &flags) }).map(drop)
}

/// Whether the file is written in place (btrfs).
pub fn is_nocow(file: &File) -> io::Result<bool> {
    Ok(flags_of(file)? & NO_COPY_ON_WRITE != 0)
}

fn flags_of(file: &File) -> io::Result<libc::c_int> {
    let mut flags: libc::c_int = 0;
    // SAFETY: an open descriptor; the kernel stores one int into `flags`.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS, &mut flags) })?;
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn new_lock(path: &Path) -> File {
        create_unlinked(path, PRIVATE).unwrap().link_unsynced().unwrap()
    }

    #[test]
    fn links_and_other_things_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        new_lock(&at("real"));
        symlink(at("real"), at("link")).unwrap();
        assert_eq!(open_data(&at("link"), false).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(open_lock(&at("link"), true).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        symlink(at("nowhere"), at("dangling")).unwrap();
        assert!(open_lock(&at("dangling"), true).is_err());
        assert!(!at("nowhere").exists());
        assert!(open_data(dir.path(), false).is_err());
        let pipe = CString::new(at("pipe").as_os_str().as_bytes()).unwrap();
        // SAFETY: a string that ends in zero.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        assert!(open_data(&at("pipe"), false).is_err());
        assert!(open_data(&at("missing"), true).is_err());
        assert!(open_lock(&at("missing"), true).is_err());
    }

    #[test]
    fn created_for_the_owner_alone_and_closed_on_exec() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = new_lock(&path);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        // SAFETY: asks about a descriptor.
        let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        let again = reopen(&file, &path, true).unwrap();
        // SAFETY: as above.
        let flags = unsafe { libc::fcntl(again.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        assert!(is_same_file(&again, &path).unwrap());
        std::fs::rename(&path, dir.path().join("other")).unwrap();
        assert!(!is_same_file(&again, &path).unwrap());
        new_lock(&path);
        assert!(!is_same_file(&again, &path).unwrap());
    }

    #[test]
    fn a_reopened_file_has_a_description_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = new_lock(&path);
        let a = super::super::OfdLocks::open(|| reopen(&file, &path, true)).unwrap();
        let b = super::super::OfdLocks::open(|| reopen(&file, &path, true)).unwrap();
        assert!(a.try_lock(1, true).unwrap());
        assert!(!b.try_lock(1, true).unwrap());
    }

    /// Both ways of creating a file behave the same.
    fn creation(make: fn(&Path) -> NewFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let names = || std::fs::read_dir(dir.path()).unwrap().count();

        let new = make(&path);
        pwrite_all(new.file(), 0, b"complete").unwrap();
        assert!(!path.exists());
        drop(new);
        assert_eq!(names(), 0, "nothing is left of a file that was given up");

        let (first, second) = (make(&path), make(&path));
        pwrite_all(first.file(), 0, b"first").unwrap();
        pwrite_all(second.file(), 0, b"second").unwrap();
        let file = first.link().unwrap();
        assert_eq!(second.link().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(names(), 1);
        assert!(is_same_file(&file, &path).unwrap());
        let meta = file.metadata().unwrap();
        assert_eq!((meta.mode() & 0o777, meta.nlink()), (0o600, 1));

        let third = make(&path);
        pwrite_all(third.file(), 0, b"third").unwrap();
        let file = third.replace().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"third");
        assert!(is_same_file(&file, &path).unwrap());
        assert_eq!((names(), file.metadata().unwrap().nlink()), (1, 1));
    }

    #[test]
    fn creation_without_a_name() {
        creation(|path| create_unlinked(path, PRIVATE).unwrap());
    }

    #[test]
    fn creation_with_a_temporary_name() {
        creation(|path| {
            let dir = File::open(path.parent().unwrap()).unwrap();
            let name = path.file_name().unwrap();
            create_named(dir, c_string(name).unwrap(), name, PRIVATE).unwrap()
        });
    }

    #[test]
    fn many_parts_are_written_in_order() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).flat_map(|i| i.to_le_bytes()).collect();
        // Small ones, and one that takes several pieces.
        let (small, large) = bytes.split_at(20_000);
        let mut parts: Vec<&[u8]> = small.chunks(7).collect();
        parts.insert(0, &[]);
        parts.insert(1500, &[]);
        parts.push(&[]);
        parts.push(large);
        pwritev_all(&file, 3, &parts).unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 3).unwrap();
        assert_eq!(back, bytes);
        assert_eq!(file.metadata().unwrap().len(), 3 + bytes.len() as u64);
        pwritev_all(&file, 0, &[]).unwrap();
        assert!(pwritev_all(&file, u64::MAX, &[b"x"]).is_err());
    }

    #[test]
    fn asking_for_a_write_back_changes_nothing() {
        let file = tempfile::tempfile().unwrap();
        pwrite_all(&file, 0, &[7; 100_000]).unwrap();
        write_back(&file, 4096, 8192).unwrap();
        write_back(&file, 1 << 40, 1).unwrap();
        assert!(write_back(&file, u64::MAX, 1).is_err());
        let mut back = vec![0; 100_000];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(back, [7; 100_000]);
    }

    #[test]
    fn allocation_keeps_what_is_there() {
        let file = tempfile::tempfile().unwrap();
        pwrite_all(&file, 0, b"abc").unwrap();
        if fallocate(&file, 0, 1 << 20).unwrap() == Fallocate::Done {
            assert_eq!(file.metadata().unwrap().len(), 1 << 20);
            assert!(file.metadata().unwrap().blocks() * 512 >= 1 << 20);
        }
        let mut head = [0; 4];
        file.read_exact_at(&mut head, 0).unwrap();
        assert_eq!(&head, b"abc\0");
        assert_eq!(fallocate(&file, 5, 0).unwrap(), Fallocate::Done);
        assert!(fallocate(&file, u64::MAX, 1).is_err());
    }

    #[test]
    fn file_systems_by_number() {
        assert_eq!(kind_of(0x6969), FsKind::Network("NFS"));
        assert_eq!(kind_of(0xff53_4d42), FsKind::Network("CIFS"));
        assert_eq!(kind_of(0x6573_5546), FsKind::Fuse);
        assert_eq!(kind_of(0x9123_683e), FsKind::Btrfs);
        assert_eq!(kind_of(0xef53), FsKind::Other(0xef53));
        let proc = File::open("/proc/self/stat").unwrap();
        assert_eq!(fs_kind(&proc).unwrap(), FsKind::Other(0x9fa0));
        if let Ok(shm) = File::open("/dev/shm") {
            assert_eq!(fs_kind(&shm).unwrap(), FsKind::Tmpfs);
        }
    }
}
