//! What can end a workload early, and the guard that every loop asks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub type Outcome<T> = Result<T, Failure>;

/// Why a workload ended before its time.
#[derive(Debug)]
pub enum Failure {
    /// Ctrl-C.
    Stopped,
    /// More disk in use than `--max-disk` allows.
    Disk(u64),
    /// The engine gave a wrong answer: the run has failed.
    Wrong(String),
    /// The engine or the system reported an error.
    Error(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Error(error.to_string())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Stopped => write!(f, "interrupted"),
            Failure::Disk(bytes) => write!(f, "ended by --max-disk with {} MiB", bytes >> 20),
            Failure::Wrong(what) => write!(f, "WRONG ANSWER: {what}"),
            Failure::Error(what) => write!(f, "failed: {what}"),
        }
    }
}

/// A wrong answer unless both are equal.
pub fn expect_eq<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Outcome<()> {
    if got == want {
        return Ok(());
    }
    Err(Failure::Wrong(format!("{what}: {got:?} instead of {want:?}")))
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Asks all loops to end.
pub fn stop() {
    STOP.store(true, Relaxed);
}

pub fn is_stopped() -> bool {
    STOP.load(Relaxed)
}

/// The directory of the run and what may stand in it.
pub struct Guard {
    pub dir: PathBuf,
    pub max_disk: u64,
    checked: Instant,
}

impl Guard {
    /// How often a loop looks at the disk.
    const EVERY: Duration = Duration::from_millis(250);

    pub fn new(dir: &Path, max_disk: u64) -> Guard {
        Guard { dir: dir.into(), max_disk, checked: Instant::now() }
    }

    /// For loops: cheap, looks at the disk four times a second.
    pub fn check(&mut self) -> Outcome<()> {
        if is_stopped() || self.checked.elapsed() >= Guard::EVERY {
            self.check_now()
        } else {
            Ok(())
        }
    }

    /// Looks at the disk now.
    pub fn check_now(&mut self) -> Outcome<()> {
        if is_stopped() {
            return Err(Failure::Stopped);
        }
        let used = disk_used(&self.dir);
        self.checked = Instant::now();
        if used > self.max_disk { Err(Failure::Disk(used)) } else { Ok(()) }
    }
}

/// Bytes that the files below a path take on the disk: holes do not count.
pub fn disk_used(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    files_below(path).iter().filter_map(|f| f.metadata().ok()).map(|m| m.blocks() * 512).sum()
}

/// All files below a path, or the path itself. One that vanishes meanwhile is left out.
pub fn files_below(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.into()] };
    entries.flatten().flat_map(|entry| files_below(&entry.path())).collect()
}
