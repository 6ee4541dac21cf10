//! The device below a directory: what it has written, and making the system forget the pages of
//! files.

use crate::outcome::{Outcome, files_below};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reads the counters of a block device. They count everybody who uses it.
pub struct Device {
    stat: Option<PathBuf>,
}

/// What a device has done.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    pub writes: u64,
    pub sectors_written: u64,
    pub flushes: u64,
}

impl Device {
    /// The device that `path` lies on. It counts nothing on a file system that is not one device
    /// (btrfs, tmpfs, overlay).
    pub fn of(path: &Path) -> Device {
        let stat = path.metadata().ok().and_then(|m| {
            let (major, minor) = (libc::major(m.dev()), libc::minor(m.dev()));
            let dir = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
            // Flushes are counted by the whole disk only.
            let disk = if dir.join("partition").exists() { dir.parent()?.into() } else { dir };
            Some(disk.join("stat")).filter(|stat| stat.exists())
        });
        Device { stat }
    }

    /// Its name in /sys.
    pub fn name(&self) -> Option<String> {
        let dir = self.stat.as_ref()?.parent()?;
        Some(dir.file_name()?.to_string_lossy().into_owned())
    }

    pub fn counters(&self) -> Option<Counters> {
        let stat = std::fs::read_to_string(self.stat.as_ref()?).ok()?;
        let fields: Vec<u64> = stat.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        Some(Counters {
            writes: *fields.get(4)?,
            sectors_written: *fields.get(6)?,
            flushes: fields.get(15).copied().unwrap_or(0),
        })
    }

    /// KiB a second that others write while this run does nothing.
    pub fn others_kib(&self) -> Option<f64> {
        let time = Duration::from_secs(1);
        let before = self.counters()?;
        std::thread::sleep(time);
        let after = self.counters()?;
        let sectors = after.sectors_written - before.sectors_written;
        Some(sectors as f64 / 2.0 / time.as_secs_f64())
    }
}

/// Makes the system forget the pages of all files below `dir`, which nobody must have mapped. Where
/// most of them stay, and the privilege is there, the whole page cache is dropped.
pub fn forget(dir: &Path) -> Outcome<()> {
    let (mut pages, mut resident) = (0, 0);
    for path in files_below(dir) {
        let file = File::open(&path)?;
        file.sync_all()?;
        // SAFETY: plain call on a descriptor that is open; changes no memory of ours.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let states = page_states(&file)?;
        pages += states.len();
        resident += states.iter().filter(|s| **s & 1 == 1).count();
    }
    if resident * 50 > pages && std::fs::write("/proc/sys/vm/drop_caches", "1").is_err() {
        eprintln!(
            "note: {resident} of {pages} pages stay in the page cache; cold reads are not quite cold"
        );
    }
    Ok(())
}

/// One byte for each page of a file that is no hole; bit 0: it is in the page cache.
fn page_states(file: &File) -> Outcome<Vec<u8>> {
    let mut all = vec![];
    for (start, end) in data_ranges(file)? {
        let len = (end - start) as usize;
        // SAFETY: the map is never read, only asked for its pages.
        let map = unsafe { memmap2::MmapOptions::new().offset(start).len(len).map(file)? };
        let mut states = vec![0u8; len.div_ceil(4096)];
        // SAFETY: the map has `len` bytes and `states` a byte for each page of it.
        unsafe { libc::mincore(map.as_ptr() as *mut _, len, states.as_mut_ptr()) };
        all.append(&mut states);
    }
    Ok(all)
}

/// Where a file is no hole. LMDB's file with MDB_WRITEMAP is as long as its map.
fn data_ranges(file: &File) -> Outcome<Vec<(u64, u64)>> {
    let seek = |from: i64, whence| {
        // SAFETY: plain call on a descriptor that is open.
        unsafe { libc::lseek(file.as_raw_fd(), from, whence) }
    };
    let (mut ranges, mut end) = (vec![], 0);
    loop {
        let start = seek(end, libc::SEEK_DATA);
        if start < 0 {
            return Ok(ranges);
        }
        end = seek(start, libc::SEEK_HOLE);
        ranges.push((start as u64, end as u64));
    }
}

/// Reads all files below `dir` in pieces of 1 MiB, as `cat` and backups do, but leaves holes out.
pub fn cat(dir: &Path) -> Outcome<()> {
    use std::os::unix::fs::FileExt;
    let mut piece = vec![0; 1 << 20];
    for path in files_below(dir) {
        let file = File::open(&path)?;
        for (mut at, end) in data_ranges(&file)? {
            while at < end {
                match file.read_at(&mut piece, at)? {
                    0 => break,
                    read => at += read as u64,
                }
            }
        }
    }
    Ok(())
}
