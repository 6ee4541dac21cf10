//! What happens to files while nobody has the database open: a lock file that is lost in one way or
//! another, and a page that is not what was written, as a device leaves it that failed without a
//! word.

use super::process::{Done, Trouble};
use fastrand::Rng;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How a lock file is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockFate {
    /// Deleted.
    Deleted,
    /// Of length zero.
    Emptied,
    /// Cut in the middle.
    Halved,
    /// Overwritten with zeros.
    Zeroed,
    /// Overwritten with anything.
    Garbage,
    /// It still says whose it is; the rest is anything.
    GarbageWords,
    /// Never made ready.
    NotReady,
}

/// All of them.
pub const LOCK_FATES: [LockFate; 7] = [
    LockFate::Deleted,
    LockFate::Emptied,
    LockFate::Halved,
    LockFate::Zeroed,
    LockFate::Garbage,
    LockFate::GarbageWords,
    LockFate::NotReady,
];

/// Bytes at the beginning of a lock file that say whose it is.
const IDENTITY: usize = 128;
/// Where it says that it is ready.
const READY: usize = 16;

/// Loses a lock file.
pub fn lose_lock(path: &Path, fate: LockFate, rng: &mut Rng) -> Done<()> {
    if fate == LockFate::Deleted {
        return Ok(fs::remove_file(path)?);
    }
    let mut bytes = fs::read(path)?;
    match fate {
        LockFate::Deleted => {}
        LockFate::Emptied => bytes.clear(),
        LockFate::Halved => bytes.truncate(bytes.len() / 2),
        LockFate::Zeroed => bytes.fill(0),
        LockFate::Garbage => rng.fill(&mut bytes),
        LockFate::GarbageWords => rng.fill(bytes.get_mut(IDENTITY..).unwrap_or_default()),
        LockFate::NotReady => bytes.get_mut(READY..READY + 8).unwrap_or_default().fill(0),
    }
    // In place: the file keeps its owner and its mode.
    let file = OpenOptions::new().write(true).truncate(true).open(path)?;
    Ok(file.write_all_at(&bytes, 0)?)
}

/// Changes a byte in every page that the newest transaction wrote, as its header tells. True if
/// there was one.
pub fn damage_newest(path: &Path, page_size: usize) -> Done<bool> {
    /// No transaction of a campaign has such a number, and every eight bytes of a large value do.
    const TOO_LARGE: u64 = 1 << 40;
    let bytes = fs::read(path)?;
    let birth = |page: usize| {
        let at = page * page_size + 8;
        let word = bytes.get(at..at + 8)?.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b));
        (word < TOO_LARGE).then_some(word)
    };
    let pages = 2..bytes.len() / page_size;
    let newest = pages.clone().filter_map(birth).max().unwrap_or(0);
    if newest == 0 {
        return Ok(false);
    }
    let file = File::options().write(true).open(path)?;
    for page in pages.filter(|&page| birth(page) == Some(newest)) {
        let at = page * page_size + page_size / 3;
        file.write_all_at(&[!bytes[at]], at as u64)?;
    }
    Ok(true)
}

/// The full check of a file that nobody has open: what a crash leaves on its disk is a whole
/// database.
pub fn check_closed(path: &Path) -> Done<()> {
    let report = recto::check_file(path, None)
        .map_err(|e| Trouble::Lost(format!("the check of the closed file: {e}")))?;
    if report.is_clean() && report.pages.leaked == 0 {
        return Ok(());
    }
    let faults: Vec<String> = report.faults.iter().take(5).map(ToString::to_string).collect();
    Err(Trouble::Lost(format!("the closed file has {} faults: {faults:?}", report.fault_count)))
}
