//! What `/proc` tells of a process. For people: nothing is decided by it.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// Most characters of a command line that are shown.
const MOST: usize = 60;

/// The command line of process `pid`, if it can be read, and unless it can be seen that the process
/// has not opened the file with this device and inode: then the number is that of another
/// container, or has been used again.
pub fn command(pid: u32, file: (u64, u64)) -> Option<String> {
    if pid == 0 || has_open(pid, file) == Some(false) {
        return None;
    }
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = line
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| word.escape_ascii().to_string())
        .collect();
    let text = words.join(" ");
    match text.char_indices().nth(MOST) {
        _ if text.is_empty() => None,
        Some((end, _)) => Some(format!("{}...", &text[..end])),
        None => Some(text),
    }
}

/// None if it cannot be seen: another user's process shows its descriptors to root alone.
fn has_open(pid: u32, file: (u64, u64)) -> Option<bool> {
    let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    Some(descriptors.any(|d| fs::metadata(d.path()).is_ok_and(|it| (it.dev(), it.ino()) == file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_the_file_open_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let meta = file.as_file().metadata().unwrap();
        let (id, pid) = ((meta.dev(), meta.ino()), std::process::id());
        assert!(command(pid, id).is_some_and(|line| line.contains("recto")));
        // It stays where it is, so that its inode is nobody else's.
        let _path = file.into_temp_path();
        assert_eq!(command(pid, id), None);
        assert_eq!(command(0, id), None);
        assert_eq!(command(u32::MAX, id), None);
    }
}
