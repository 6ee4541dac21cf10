//! The disk as a file of a FUSE file system, and the loop device on it.
//!
//! The file system has two files: `disk`, and `notes`, into which the processes write what they
//! have got to.
//!
//! Thread rules: one thread serves the requests one after the other, so that their order in the log
//! is the order in which they completed. It waits for the disk's mutex alone, and whoever else
//! holds that does not wait for the kernel.

use super::Result;
use super::disk::{Disk, Entry, Note};
use super::ground::Mounted;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    Session, SessionACL, WriteFlags,
};
use nix::mount::MsFlags;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

const DISK: INodeNo = INodeNo(2);
const NOTES: INodeNo = INodeNo(3);
/// Nothing but this process changes names and sizes.
const LONG: Duration = Duration::from_secs(3600);

/// The disk with its loop device. Dropping it detaches and unmounts.
pub struct Device {
    disk: Arc<Mutex<Disk>>,
    notes: PathBuf,
    // In the order in which they have to go.
    loop_file: Option<File>,
    loop_path: PathBuf,
    mounted: Option<Mounted>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Device {
    /// A new disk, served in `dir`, which is empty.
    pub fn new(size: u64, dir: &Path) -> Result<Device> {
        let disk = Arc::new(Mutex::new(Disk::new(size)));
        let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
        let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        let mounted = Mounted::new("recto-crash", dir, "fuse", flags, &options)?;
        let server = Server { disk: Arc::clone(&disk), size };
        let session =
            Session::from_fd(server, OwnedFd::from(fuse), SessionACL::Owner, Default::default())?;
        // It ends when the file system is unmounted.
        let server = std::thread::spawn(move || {
            serve_first();
            drop(session.run());
        });
        let (loop_file, loop_path) = attach(&dir.join("disk"))?;
        Ok(Device {
            disk,
            notes: dir.join("notes"),
            loop_file: Some(loop_file),
            loop_path,
            mounted: Some(mounted),
            server: Some(server),
        })
    }

    /// The disk. Not to be kept while the kernel is waited for.
    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }

    /// The loop device.
    pub fn path(&self) -> &Path {
        &self.loop_path
    }

    /// Where the processes write their progress.
    pub fn notes(&self) -> &Path {
        &self.notes
    }

    /// Makes the kernel forget what the disk held. Nothing on it is mounted.
    pub fn forget(&self) -> Result<()> {
        if let Some(file) = &self.loop_file {
            // SAFETY: the request has no argument; the descriptor is open as long as `file` lives.
            unsafe { flush_buffers(file.as_raw_fd()) }?;
        }
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.loop_file = None;
        self.mounted = None;
        if let Some(server) = self.server.take() {
            // It has nothing to tell: a panic in it would have shown as an I/O error.
            let _ = server.join();
        }
    }
}

/// Everybody waits for this thread and it needs little: it goes before others, and when memory is
/// short the kernel does not make it wait for writes that it has to serve itself.
fn serve_first() {
    const PRIORITY: libc::c_int = -10;
    // Of linux/prctl.h.
    const PR_SET_IO_FLUSHER: libc::c_int = 57;
    // SAFETY: system calls about this thread alone, without memory. If they fail it is only slower.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, PRIORITY);
        libc::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    }
}

/// A panic of another holder does not make the blocks worse.
fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Server {
    disk: Arc<Mutex<Disk>>,
    size: u64,
}

impl Server {
    fn attributes(&self, ino: INodeNo) -> Option<FileAttr> {
        let (kind, size) = match ino {
            INodeNo::ROOT => (FileType::Directory, 0),
            DISK => (FileType::RegularFile, self.size),
            NOTES => (FileType::RegularFile, 0),
            _ => return None,
        };
        let time = SystemTime::UNIX_EPOCH;
        Some(FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = match name.to_str() {
            Some("disk") => DISK,
            Some("notes") => NOTES,
            _ => return reply.error(Errno::ENOENT),
        };
        match self.attributes(ino) {
            Some(attributes) => reply.entry(&LONG, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Some(attributes) => reply.attr(&LONG, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing of the disk stays in the kernel's cache of this file: it becomes another disk at
        // times.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match ino {
            DISK => reply.data(&lock(&self.disk).read(offset, size as usize)),
            _ => reply.data(&[]),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match ino {
            DISK if offset + data.len() as u64 <= self.size => {
                lock(&self.disk).write(offset, data);
            }
            DISK => return reply.error(Errno::EIO),
            _ => {
                let note = std::str::from_utf8(data).ok().and_then(|t| t.parse::<Note>().ok());
                let Some(note) = note else { return reply.error(Errno::EINVAL) };
                lock(&self.disk).log.push(Entry::Note(note));
            }
        }
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if ino == DISK {
            lock(&self.disk).log.push(Entry::Flush);
        }
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        // Discards and zeroing come as writes instead.
        reply.error(Errno::EOPNOTSUPP);
    }
}

nix::ioctl_write_ptr_bad!(loop_configure, 0x4c0a, LoopConfig);
nix::ioctl_none_bad!(loop_get_free, 0x4c82);
nix::ioctl_none_bad!(flush_buffers, 0x1261);

/// `struct loop_config` of linux/loop.h, as far as it is used here.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// From lo_device to lo_sizelimit.
    places: [u64; 5],
    /// lo_number to lo_encrypt_key_size.
    numbers: [u32; 3],
    flags: u32,
    /// Names, key and init of `struct loop_info64`.
    names: [u8; 176],
    reserved: [u64; 8],
}

const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// Somebody else may take the free loop device first.
const TRIES: u32 = 20;

/// Lays a loop device on the file; it detaches itself when it is closed.
fn attach(backing: &Path) -> Result<(File, PathBuf)> {
    let open = |path: &Path| {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.map_err(|e| format!("open {}: {e}", path.display()))
    };
    let backing = open(backing)?;
    let control = open("/dev/loop-control".as_ref())?;
    let config = LoopConfig {
        fd: backing.as_raw_fd() as u32,
        block_size: 512,
        places: [0; 5],
        numbers: [0; 3],
        flags: LO_FLAGS_AUTOCLEAR,
        names: [0; 176],
        reserved: [0; 8],
    };
    let mut tries = 0;
    loop {
        // SAFETY: the request has no argument; the descriptor is open.
        let number = unsafe { loop_get_free(control.as_raw_fd()) }?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path)?;
        // SAFETY: the kernel reads a `struct loop_config` there, which lives during the call.
        match unsafe { loop_configure(device.as_raw_fd(), &config) } {
            Ok(_) => return Ok((device, path)),
            Err(nix::errno::Errno::EBUSY) if tries < TRIES => tries += 1,
            Err(e) => return Err(format!("attach {}: {e}", path.display()).into()),
        }
    }
}
