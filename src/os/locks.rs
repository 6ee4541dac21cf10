//! Byte locks that belong to an open file description: the kernel drops them when the last
//! descriptor of the description closes, so at the latest when the process dies, in every pid
//! namespace.
//!
//! Invariants: the description is never mapped (a map is a reference that a forked child inherits
//! and does not close) and never handed out. After `fork` the child has closed the descriptor (see
//! [`super::fork`]): there every call here is refused, because the number may mean another file by
//! then. Thread rules: any thread may call anything; two threads that lock the same byte through
//! one value do not exclude each other, the kernel takes them for one.

use super::check_repeat;
use super::fork::{self, ForkMark};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Locks of one handle on the bytes of one file. The bytes need not exist.
pub struct OfdLocks {
    file: ManuallyDrop<File>,
    mark: &'static AtomicU64,
}

impl OfdLocks {
    /// The file. Nothing may close or clone it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Takes over the file that `open` gives, which has an open file description of its own:
    /// freshly opened, not cloned, never mapped. No thread forks in between: the child would keep
    /// the description, and so all locks that are ever taken through it.
    pub fn open(open: impl FnOnce() -> io::Result<File>) -> io::Result<OfdLocks> {
        let mark = ForkMark::get()?;
        let file = fork::without_forks(|| {
            let file = open()?;
            fork::register(file.as_raw_fd());
            io::Result::Ok(file)
        })?;
        Ok(OfdLocks { file: ManuallyDrop::new(file), mark })
    }

    /// Whether this process has inherited the value from its parent by `fork`.
    pub fn is_inherited(&self) -> bool {
        self.mark.load(Ordering::Acquire) == 0
    }

    /// Locks `byte` if nobody else's lock stands against it; an own lock on it changes its mode in
    /// one step. An exclusive lock needs a file opened for writing.
    pub fn try_lock(&self, byte: u64, exclusive: bool) -> io::Result<bool> {
        match self.control(libc::F_OFD_SETLK, kind(exclusive), byte, 1) {
            Ok(_) => Ok(true),
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Waits for the lock, without a timeout for ever; false when the time is over. A wait with a
    /// timeout looks again and again, at first often: the kernel has no timeout for locks.
    pub fn lock(&self, byte: u64, exclusive: bool, timeout: Option<Duration>) -> io::Result<bool> {
        let Some(timeout) = timeout else {
            return self.control(libc::F_OFD_SETLKW, kind(exclusive), byte, 1).map(|_| true);
        };
        let start = Instant::now();
        let mut pause = Duration::from_micros(10);
        for round in 0u64.. {
            if self.try_lock(byte, exclusive)? {
                return Ok(true);
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            if round < 8 {
                std::thread::yield_now();
            } else {
                std::thread::sleep(pause.min(left));
                pause = (pause * 3 / 2).min(Duration::from_millis(5));
            }
        }
        Ok(false)
    }

    /// Gives the byte back.
    pub fn unlock(&self, byte: u64) -> io::Result<()> {
        self.control(libc::F_OFD_SETLK, libc::F_UNLCK, byte, 1).map(drop)
    }

    /// The lowest byte of `first ..= last` that another description has locked in any mode. Own
    /// locks do not show.
    pub fn held_elsewhere(&self, first: u64, last: u64) -> io::Result<Option<u64>> {
        let mut found = None;
        let mut end = last;
        // The kernel answers with some lock in the range, not the lowest: ask again below it. Each
        // answer is lower than the one before, so this ends.
        while first <= end {
            let len = (end - first).saturating_add(1);
            let reply = self.control(libc::F_OFD_GETLK, libc::F_WRLCK, first, len)?;
            if reply.l_type == libc::F_UNLCK as libc::c_short {
                break;
            }
            let at = u64::try_from(reply.l_start).unwrap_or(first).clamp(first, end);
            found = Some(at);
            if at == first {
                break;
            }
            end = at - 1;
        }
        Ok(found)
    }

    fn control(
        &self,
        command: libc::c_int,
        kind: libc::c_int,
        start: u64,
        len: u64,
    ) -> io::Result<libc::flock> {
        if self.is_inherited() {
            return Err(io::Error::other("lock descriptor inherited by fork"));
        }
        let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
        // SAFETY: a plain C struct of integers, for which zeros are a value.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_start = start.try_into().map_err(out_of_range)?;
        lock.l_len = len.try_into().map_err(out_of_range)?;
        // SAFETY: the descriptor is open while the value lives in the process that made it (looked
        // at above), and the struct lives across the call.
        check_repeat(|| unsafe { libc::fcntl(self.file.as_raw_fd(), command, &mut lock) })?;
        Ok(lock)
    }
}

fn kind(exclusive: bool) -> libc::c_int {
    if exclusive { libc::F_WRLCK } else { libc::F_RDLCK }
}

impl Drop for OfdLocks {
    fn drop(&mut self) {
        if self.is_inherited() {
            return; // the child has closed the descriptor; its number is no longer ours
        }
        // A child that was forked in a moment when the descriptor was not registered may hold the
        // description open. Unlocking takes the locks from it too. Length 0: all bytes.
        let _ = self.control(libc::F_OFD_SETLK, libc::F_UNLCK, 0, 0);
        // First out of the registry: a child forked in between must not close a number that is in
        // use again.
        fork::unregister(self.file.as_raw_fd());
        // SAFETY: dropped once, here, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const BASE: u64 = 1 << 40;

    fn open(path: &Path) -> OfdLocks {
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        OfdLocks::open(|| options.open(path)).unwrap()
    }

    #[test]
    fn two_descriptions_of_one_process_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (a, b) = (open(&path), open(&path));
        assert!(a.try_lock(BASE, true).unwrap());
        assert!(!b.try_lock(BASE, true).unwrap());
        assert!(!b.try_lock(BASE, false).unwrap());
        assert!(b.try_lock(BASE + 1, true).unwrap());
        a.unlock(BASE).unwrap();
        assert!(b.try_lock(BASE, true).unwrap());
        drop(b);
        assert!(a.try_lock(BASE, true).unwrap());
        assert!(a.try_lock(BASE + 1, true).unwrap());
    }

    #[test]
    fn a_downgrade_lets_sharers_in_and_an_upgrade_needs_to_be_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (a, b, c) = (open(&path), open(&path), open(&path));
        assert!(a.try_lock(BASE, true).unwrap());
        assert!(a.try_lock(BASE, false).unwrap());
        assert!(b.try_lock(BASE, false).unwrap());
        assert!(!c.try_lock(BASE, true).unwrap());
        assert!(!a.try_lock(BASE, true).unwrap());
        // The failed upgrade has not cost the shared lock.
        b.unlock(BASE).unwrap();
        assert!(!c.try_lock(BASE, true).unwrap());
    }

    #[test]
    fn a_downgrade_leaves_no_gap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let a = open(&path);
        assert!(a.try_lock(BASE, true).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let b = open(&path);
                while !done.load(Ordering::Relaxed) {
                    assert!(!b.try_lock(BASE, true).unwrap());
                }
            });
            for _ in 0..2000 {
                assert!(a.try_lock(BASE, false).unwrap());
                // Alone again: the other one never gets more than refusals.
                assert!(a.try_lock(BASE, true).unwrap());
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn the_lowest_foreign_lock_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (a, b, c) = (open(&path), open(&path), open(&path));
        assert!(b.try_lock(BASE + 90, false).unwrap());
        assert!(c.try_lock(BASE + 50, false).unwrap());
        assert!(b.try_lock(BASE + 20, true).unwrap());
        assert!(a.try_lock(BASE + 5, true).unwrap());
        assert_eq!(a.held_elsewhere(BASE, BASE + 100).unwrap(), Some(BASE + 20));
        assert_eq!(a.held_elsewhere(BASE + 21, BASE + 100).unwrap(), Some(BASE + 50));
        assert_eq!(a.held_elsewhere(BASE + 51, BASE + 89).unwrap(), None);
        assert_eq!(a.held_elsewhere(BASE + 90, BASE + 90).unwrap(), Some(BASE + 90));
        assert_eq!(b.held_elsewhere(BASE, BASE + 10).unwrap(), Some(BASE + 5));
        // Own locks do not show: looking at the own byte says "free".
        assert_eq!(a.held_elsewhere(BASE + 5, BASE + 5).unwrap(), None);
        assert_eq!(a.held_elsewhere(BASE + 5, BASE + 4).unwrap(), None);
    }

    #[test]
    fn a_wait_ends_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (a, b) = (open(&path), open(&path));
        assert!(a.try_lock(BASE, true).unwrap());
        assert!(!b.lock(BASE, true, Some(Duration::ZERO)).unwrap());
        let start = Instant::now();
        assert!(!b.lock(BASE, true, Some(Duration::from_millis(30))).unwrap());
        assert!(start.elapsed() >= Duration::from_millis(30));
        std::thread::scope(|s| {
            let waits = s.spawn(|| b.lock(BASE, true, None).unwrap());
            let polls = s.spawn(|| {
                let c = open(&path);
                c.lock(BASE, false, Some(Duration::from_secs(3600))).unwrap()
            });
            a.unlock(BASE).unwrap();
            assert!(waits.join().unwrap());
            b.unlock(BASE).unwrap();
            assert!(polls.join().unwrap());
        });
    }

    #[test]
    fn a_read_only_file_gives_shared_locks_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let writer = open(&path);
        let reader = OfdLocks::open(|| File::open(&path)).unwrap();
        assert!(reader.try_lock(BASE, false).unwrap());
        assert_eq!(writer.held_elsewhere(BASE, BASE).unwrap(), Some(BASE));
        assert!(reader.try_lock(BASE + 1, true).is_err());
        assert!(writer.try_lock(BASE + 2, true).unwrap());
        assert_eq!(reader.held_elsewhere(BASE + 1, BASE + 9).unwrap(), Some(BASE + 2));
    }

    #[test]
    fn bytes_outside_the_range_of_the_system_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let a = open(&dir.path().join("lock"));
        assert!(a.try_lock(u64::MAX, true).is_err());
        assert!(a.held_elsewhere(0, u64::MAX).is_err());
    }
}
