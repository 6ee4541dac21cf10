//! The ground the campaign stands on: a mount namespace of its own, a directory that goes away, and
//! mounts that do.
//!
//! Invariants
//! - No mount is made before the namespace is: nobody else ever sees one, and none survives the
//!   last process.
//! - `/proc/sys/kernel/random/boot_id` is covered by a file of ours, so that each crash state is
//!   opened in another "boot" than the one it was made in, with the lock file of that boot still
//!   lying there.
//!
//! Thread rules: `Ground::new` comes before the process has other threads.

use super::Result;
use super::plan::FileSystem;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bit of CAP_SYS_ADMIN in the masks of `/proc/self/status`.
const CAP_SYS_ADMIN: u32 = 21;

/// Why power cuts below these file systems cannot be made here, if they cannot.
pub fn missing(systems: &[FileSystem]) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0);
    if mask >> CAP_SYS_ADMIN & 1 == 0 {
        return Some("mounting takes the rights of root (CAP_SYS_ADMIN)".into());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if let Err(e) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
            return Some(format!("{device} cannot be used: {e}"));
        }
    }
    if !std::fs::read_dir("/dev").is_ok_and(|dir| {
        dir.flatten().any(|e| {
            e.file_name().to_str().is_some_and(|n| n.starts_with("loop") && n != "loop-control")
        })
    }) {
        return Some("there are no loop devices".into());
    }
    systems.iter().find_map(|system| {
        let (tool, kind) = (system.make_tool(), system.kind());
        if which(&tool).is_none() {
            Some(format!("{tool} is missing"))
        } else {
            (!kernel_knows(kind)).then(|| format!("the kernel does not know {kind}"))
        }
    })
}

fn kernel_knows(kind: &str) -> bool {
    let listed = || {
        let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        list.lines().any(|line| line.split_whitespace().last() == Some(kind))
    };
    // It may be a module that nobody has needed yet.
    listed() || (Command::new("modprobe").arg(kind).output().is_ok() && listed())
}

/// Where a program is; mkfs stands in directories that not every PATH has.
pub fn which(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join(tool)).find(|file| file.is_file())
}

/// Namespace and directory of a campaign.
pub struct Ground {
    // In the order in which they have to go.
    boot_id_cover: Option<Mounted>,
    dir: tempfile::TempDir,
}

impl Ground {
    /// Leaves the mount namespace of the system for one of its own.
    pub fn new() -> Result<Ground> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("a mount namespace: {e}"))?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        let shm = Path::new("/dev/shm");
        let dir = tempfile::Builder::new().prefix("recto-crash-").tempdir_in(if shm.is_dir() {
            shm.to_owned()
        } else {
            std::env::temp_dir()
        })?;
        let mut ground = Ground { boot_id_cover: None, dir };
        std::fs::create_dir(ground.served())?;
        std::fs::create_dir(ground.mountpoint())?;
        ground.reboot(0)?;
        let covered = "/proc/sys/kernel/random/boot_id";
        let file = ground.boot_id();
        let file = file.to_str().ok_or("a temporary directory has a plain name")?;
        let bind = MsFlags::MS_BIND;
        ground.boot_id_cover = Some(Mounted::new(file, covered.as_ref(), "none", bind, "")?);
        Ok(ground)
    }

    /// Where the disk is served.
    pub fn served(&self) -> PathBuf {
        self.dir.path().join("served")
    }

    /// Where the file system under test is mounted.
    pub fn mountpoint(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    fn boot_id(&self) -> PathBuf {
        self.dir.path().join("boot_id")
    }

    /// From now on it is boot number `number`.
    pub fn reboot(&self, number: u64) -> Result<()> {
        let id = format!("{:08x}-0000-4000-8000-{:012x}\n", 0x7ec70, number);
        Ok(std::fs::write(self.boot_id(), id)?)
    }

    /// Unmounts the file system under test, if a process that died has left it mounted.
    pub fn clear(&self) {
        let _ = umount2(&self.mountpoint(), MntFlags::MNT_DETACH);
    }
}

/// A mount that is undone when it is dropped.
pub struct Mounted {
    point: PathBuf,
}

impl Mounted {
    /// Mounts `source` at `point`.
    pub fn new(
        source: &str,
        point: &Path,
        kind: &str,
        flags: MsFlags,
        options: &str,
    ) -> Result<Mounted> {
        mount(Some(source), point, Some(kind), flags, Some(options))
            .map_err(|e| format!("mount {source} as {kind}: {e}"))?;
        Ok(Mounted { point: point.to_owned() })
    }

    /// Unmounts, and says whether that went well.
    pub fn unmount(self) -> Result<()> {
        let point = self.point.clone();
        std::mem::forget(self);
        let mut tries = 0;
        loop {
            match umount2(&point, MntFlags::empty()) {
                Ok(()) => return Ok(()),
                // A thread of this process may still be on its way out of a file.
                Err(nix::errno::Errno::EBUSY) if tries < 200 => tries += 1,
                Err(e) => {
                    let _ = umount2(&point, MntFlags::MNT_DETACH);
                    return Err(format!("unmount: {e}").into());
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever still uses it gets errors: that is better than to wait.
        let _ = umount2(&self.point, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
    }
}
