//! Real files: growth past the reservation, many handles, what is refused, what a sync does.

use super::*;
use crate::storage::{LOCK_MAGIC, MapView};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::sync::atomic::Ordering;

const P: u64 = 4096;
const SHARED: usize = 64 << 10;

fn options() -> MapOptions {
    MapOptions::new(SHARED)
}

/// An empty file `db` in a directory of its own.
fn new_file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    File::create_new(&path).unwrap();
    (dir, path)
}

fn bytes(view: &MapView, offset: u64, len: usize) -> Vec<u8> {
    assert!(offset as usize + len <= view.len);
    // SAFETY: inside the view, whose storage lives; nobody stores there meanwhile.
    unsafe { std::slice::from_raw_parts(view.base.add(offset as usize), len) }.to_vec()
}

#[test]
fn writes_are_read_through_the_map_and_from_the_file() {
    let (_dir, path) = new_file();
    let platform = MmapPlatform::open(&path, &options()).unwrap();
    let storage = platform.storage();
    assert_eq!(storage.view().len, 0);
    storage.grow(4 * P).unwrap();
    storage.write(P, &[7; 4096]).unwrap();
    storage.write_all_of(2 * P, &[&[1; 4096], &[], &[2; 100]]).unwrap();
    let view = storage.view();
    assert_eq!(bytes(&view, P, 4096), [7; 4096]);
    assert_eq!(bytes(&view, 3 * P, 101), [&[2; 100][..], &[0]].concat());
    storage.sync(0, 4 * P).unwrap();
    assert_eq!(platform.sync_count(), 1);
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file, bytes(&view, 0, 4 * P as usize));
    storage.will_need(0, u64::MAX);
    storage.will_need(100 * P, P);
    assert!(storage.view_mut().is_none());
}

/// Of two files: who reads the error looks at the right one.
#[test]
fn a_lock_that_fails_names_its_file() {
    let (_dir, path) = new_file();
    let path = path.canonicalize().unwrap();
    let platform = MmapPlatform::open(&path, &options()).unwrap();
    let lock_path = platform.lock_path().unwrap().to_owned();
    assert_ne!(lock_path, path);
    // No file is so long.
    let byte = LockByte(1 << 63);
    for (locks, file) in [(platform.locks(), &lock_path), (platform.data_locks(), &path)] {
        let failures = [
            locks.try_lock(byte, LockMode::Shared).unwrap_err(),
            locks.lock(byte, LockMode::Exclusive, None).unwrap_err(),
            locks.held_elsewhere(byte, byte).unwrap_err(),
        ];
        for error in failures {
            // Whoever it comes to names the data file, where no file is named.
            let error = crate::storage::named(&platform, error);
            assert_eq!(error.path(), Some(&**file), "{error}");
        }
    }
}

#[test]
fn a_write_never_makes_the_file_longer() {
    let (_dir, path) = new_file();
    let platform = MmapPlatform::open(&path, &options()).unwrap();
    platform.storage().grow(2 * P).unwrap();
    assert!(platform.storage().write(2 * P - 1, &[1, 2]).is_err());
    assert!(platform.storage().write_all_of(u64::MAX, &[&[1], &[2]]).is_err());
    assert_eq!(platform.storage().len().unwrap(), 2 * P);
    platform.storage().write(2 * P - 1, &[1]).unwrap();
}

#[test]
fn growth_beyond_the_reservation_keeps_old_views() {
    let (_dir, path) = new_file();
    let options = MapOptions { reserve: 4 * P, direct: true, ..options() };
    let platform = MmapPlatform::open(&path, &options).unwrap();
    let storage = platform.storage();
    storage.grow(4 * P).unwrap();
    let old = storage.view();
    let mut views = vec![old];
    for round in 1..=8u64 {
        let len = (4 << round) * P;
        storage.grow(len).unwrap();
        storage.write(P, &[round as u8; 4096]).unwrap();
        storage.write(len - P, &[round as u8; 4096]).unwrap();
        assert_eq!(storage.view().len as u64, len);
        views.push(storage.view());
    }
    assert_ne!(old.base, storage.view().base);
    for view in &views {
        assert_eq!(bytes(view, P, 4096), [8; 4096], "every map shows the same file");
    }
    let base = storage.view_mut().unwrap();
    // SAFETY: inside the file, and the test is alone with it.
    unsafe { base.add(3 * P as usize).write_bytes(9, 4096) };
    storage.stored(3 * P, P);
    assert_eq!(bytes(&old, 3 * P, 4096), [9; 4096]);
    storage.sync(0, u64::MAX).unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[3 * P as usize], 9);
}

#[test]
fn handles_see_each_others_growth_after_a_refresh() {
    let (_dir, path) = new_file();
    let options = MapOptions { reserve: 8 * P, ..options() };
    let first = MmapPlatform::open(&path, &options).unwrap();
    let second = MmapPlatform::open(&path, &options).unwrap();
    first.storage().grow(64 * P).unwrap();
    first.storage().write(63 * P, &[5; 4096]).unwrap();
    assert_eq!(second.storage().view().len, 0);
    let view = second.storage().refresh().unwrap();
    assert_eq!(view.len as u64, 64 * P);
    assert_eq!(bytes(&view, 63 * P, 4096), [5; 4096]);
    second.storage().write(0, &[6; 10]).unwrap();
    assert_eq!(bytes(&first.storage().view(), 0, 10), [6; 10]);
    assert_eq!(first.data_file_id(), second.data_file_id());
    // One that has not looked may write where the other has made room.
    first.storage().grow(80 * P).unwrap();
    second.storage().write(79 * P, &[7; 4096]).unwrap();
    second.storage().sync(79 * P, P).unwrap();
}

#[test]
fn another_process_sees_growth_and_shared_memory() {
    let (_dir, path) = new_file();
    let parent = MmapPlatform::open(&path, &options()).unwrap();
    let view = parent.storage().view();
    let byte = LockByte(1 << 40);
    assert!(parent.locks().try_lock(byte, LockMode::Exclusive).unwrap());
    // SAFETY: the child opens files, maps, stores and leaves without unwinding or destructors; the
    // test process has other threads, but none of what the child calls waits for them.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = child(&parent, &path, byte);
        // SAFETY: leaves the child.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the child made above.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "status {status}");
    assert_eq!(libc::WEXITSTATUS(status), 0);
    assert_eq!(view.base, parent.storage().view().base);
    let view = parent.storage().refresh().unwrap();
    assert_eq!(bytes(&view, 99 * P, 4096), [3; 4096]);
    // SAFETY: the lock file is mapped, and the child is gone.
    assert_eq!(unsafe { parent.shared_base().add(100).read() }, 42);
    assert_eq!(parent.locks().held_elsewhere(LockByte(0), byte).unwrap(), None);
    assert_eq!(parent.alive().load(Ordering::Relaxed), 1);
}

fn child(parent: &MmapPlatform, path: &Path, byte: LockByte) -> i32 {
    if parent.alive().load(Ordering::Relaxed) != 0 {
        return 1;
    }
    let Ok(own) = MmapPlatform::open(path, &options()) else { return 2 };
    if own.alive().load(Ordering::Relaxed) != 1 {
        return 3;
    }
    if !matches!(own.locks().try_lock(byte, LockMode::Shared), Ok(false)) {
        return 4;
    }
    if own.storage().grow(100 * P).is_err() || own.storage().write(99 * P, &[3; 4096]).is_err() {
        return 5;
    }
    // SAFETY: the lock file is mapped, and the parent only looks once the child is gone.
    unsafe { own.shared_base().add(100).write(42) };
    std::mem::forget(own);
    0
}

#[test]
fn a_cut_file_shrinks_views_and_comes_back_zeroed() {
    let (_dir, path) = new_file();
    let first = MmapPlatform::open(&path, &options()).unwrap();
    let second = MmapPlatform::open(&path, &options()).unwrap();
    first.storage().grow(8 * P).unwrap();
    first.storage().write(6 * P, &[1; 4096]).unwrap();
    second.storage().refresh().unwrap();
    first.storage().truncate(4 * P).unwrap();
    assert_eq!(first.storage().view().len as u64, 4 * P);
    assert_eq!(second.storage().refresh().unwrap().len as u64, 4 * P);
    first.storage().truncate(6 * P).unwrap();
    assert_eq!(first.storage().len().unwrap(), 4 * P, "cutting never lengthens");
    first.storage().grow(8 * P).unwrap();
    assert_eq!(bytes(&first.storage().view(), 6 * P, 4096), [0; 4096]);
}

#[test]
fn grown_files_have_their_blocks() {
    use std::os::unix::fs::MetadataExt;
    let blocks = |path: &Path| std::fs::metadata(path).unwrap().blocks() * 512;
    for zero_fill_growth in [false, true] {
        let (_dir, path) = new_file();
        let options = MapOptions { zero_fill_growth, ..options() };
        let platform = MmapPlatform::open(&path, &options).unwrap();
        platform.storage().grow(64 * P).unwrap();
        if let Some([cached, ..]) = cache_of(platform.storage.file()) {
            let written = if zero_fill_growth { 64 } else { 0 };
            assert_eq!(cached, written, "pages that were written, not only allocated");
        }
        platform.storage().sync(0, P).unwrap();
        assert!(blocks(&path) >= 64 * P, "zero_fill_growth {zero_fill_growth}");
        platform.storage().grow(64 * P + (2 << 20)).unwrap();
        if let Some([cached, ..]) = cache_of(platform.storage.file()) {
            assert!(cached <= 64, "large steps are only allocated");
        }
        assert_eq!(bytes(&platform.storage().view(), 0, 64 << 12), vec![0; 64 << 12]);
    }
    // Holes, as a restored copy has them, are filled when a writer opens the file.
    let (_dir, path) = new_file();
    File::options().write(true).open(&path).unwrap().set_len(64 * P).unwrap();
    let before = blocks(&path);
    let read_only = MapOptions { read_only: true, no_lock: true, ..options() };
    MmapPlatform::open(&path, &read_only).unwrap();
    assert_eq!(blocks(&path), before);
    MmapPlatform::open(&path, &options()).unwrap();
    assert!(blocks(&path) >= 64 * P);
}

/// Pages of a file that are cached, dirty, and under write-back; None where the system cannot say.
fn cache_of(file: &File) -> Option<[u64; 3]> {
    use std::os::fd::AsRawFd;
    const CACHESTAT: libc::c_long = 451;
    let range = [0u64, 0];
    let mut found = [0u64; 5];
    // SAFETY: the call reads two words and writes five, all of which live across it.
    let rc = unsafe {
        libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), found.as_mut_ptr(), 0)
    };
    (rc == 0).then_some([found[0], found[1], found[2]])
}

#[test]
fn a_sync_through_the_read_only_map_leaves_nothing_dirty() {
    let (_dir, path) = new_file();
    for direct in [false, true] {
        let platform = MmapPlatform::open(&path, &MapOptions { direct, ..options() }).unwrap();
        let storage = platform.storage();
        storage.grow(64 * P).unwrap();
        for page in 0..64 {
            match storage.view_mut() {
                // SAFETY: inside the file, and the test is alone with it.
                Some(base) => unsafe { base.add(page << 12).write_bytes(7, 4096) },
                None => storage.write((page << 12) as u64, &[8; 4096]).unwrap(),
            }
        }
        storage.sync(0, 64 * P).unwrap();
        if let Some([_, dirty, under_way]) = cache_of(platform.storage.file()) {
            assert_eq!((dirty, under_way), (0, 0), "direct {direct}");
        }
    }
}

#[test]
fn read_only_handles_write_nothing() {
    let (_dir, path) = new_file();
    let writer = MmapPlatform::open(&path, &options()).unwrap();
    writer.storage().grow(2 * P).unwrap();
    let options = MapOptions { read_only: true, direct: true, ..options() };
    let reader = MmapPlatform::open(&path, &options).unwrap();
    let storage = reader.storage();
    assert!(matches!(storage.write(0, &[1]), Err(Error::ReadOnly { .. })));
    assert!(matches!(storage.grow(4 * P), Err(Error::ReadOnly { .. })));
    assert!(matches!(storage.truncate(0), Err(Error::ReadOnly { .. })));
    assert!(matches!(storage.sync(0, P), Err(Error::ReadOnly { .. })));
    assert!(storage.view_mut().is_none());
    assert!(!reader.is_observer());
    assert!(reader.locks().try_lock(LockByte(9), LockMode::Exclusive).unwrap());
    assert!(!writer.locks().try_lock(LockByte(9), LockMode::Shared).unwrap());
    assert!(reader.data_locks().try_lock(LockByte(9), LockMode::Exclusive).unwrap());
    assert!(!writer.data_locks().try_lock(LockByte(9), LockMode::Shared).unwrap());
}

#[test]
fn locks_end_with_their_handle() {
    let (_dir, path) = new_file();
    let first = MmapPlatform::open(&path, &options()).unwrap();
    let second = MmapPlatform::open(&path, &options()).unwrap();
    assert!(first.locks().try_lock(LockByte(5), LockMode::Exclusive).unwrap());
    let (low, high) = (LockByte(0), LockByte(100));
    assert_eq!(second.locks().held_elsewhere(low, high).unwrap(), Some(LockByte(5)));
    let soon = Some(Duration::from_millis(1));
    assert!(!second.locks().lock(LockByte(5), LockMode::Shared, soon).unwrap());
    drop(first);
    assert!(second.locks().lock(LockByte(5), LockMode::Exclusive, None).unwrap());
    second.locks().unlock(LockByte(5));
    let third = MmapPlatform::open(&path, &options()).unwrap();
    assert!(third.locks().try_lock(LockByte(5), LockMode::Exclusive).unwrap());
}

#[test]
fn the_lock_file_is_private_long_enough_and_shared() {
    let (dir, path) = new_file();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let lock = dir.path().join("db-lock");
    let short = [&LOCK_MAGIC[..], &[3; 92]].concat();
    std::fs::write(&lock, short).unwrap();
    let first = MmapPlatform::open(&path, &options()).unwrap();
    assert_eq!(first.lock_path(), Some(lock.canonicalize().unwrap().as_path()));
    assert_eq!(std::fs::metadata(&lock).unwrap().len(), SHARED as u64);
    assert_eq!(first.shared_base() as usize % 4096, 0);
    let second = MmapPlatform::open(&path, &options()).unwrap();
    // SAFETY: the lock file is mapped twice, and the test is alone with it.
    unsafe {
        assert_eq!(first.shared_base().add(99).read(), 3);
        assert_eq!(first.shared_base().add(100).read(), 0);
        first.shared_base().add(SHARED - 1).write(77);
        assert_eq!(second.shared_base().add(SHARED - 1).read(), 77);
    }
    drop((first, second));
    std::fs::remove_file(&lock).unwrap();
    MmapPlatform::open(&path, &options()).unwrap();
    let mode = std::fs::metadata(&lock).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Longer than needed is fine.
    File::options().write(true).open(&lock).unwrap().set_len(2 * SHARED as u64).unwrap();
    MmapPlatform::open(&path, &options()).unwrap();
    assert_eq!(std::fs::metadata(&lock).unwrap().len(), 2 * SHARED as u64);
}

#[test]
fn strange_lock_files_are_refused() {
    let (dir, path) = new_file();
    let lock = dir.path().join("db-lock");
    let target = dir.path().join("precious");
    std::fs::write(&target, b"precious").unwrap();
    symlink(&target, &lock).unwrap();
    let refused = |path: &Path| match MmapPlatform::open(path, &options()) {
        Err(Error::LockFile { path, detail }) => {
            assert!(path.ends_with("db-lock"));
            detail
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    };
    assert!(refused(&path).contains("symbolic link"));
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    assert!(refused(&path).contains("not a regular file"));
}

#[test]
fn strange_data_files_are_refused() {
    let (dir, path) = new_file();
    let open = |path: &Path, options: &MapOptions| MmapPlatform::open(path, options).err();
    let read_only = MapOptions { read_only: true, ..options() };
    for options in [&options(), &read_only] {
        let directory = open(dir.path(), options);
        assert!(matches!(directory, Some(Error::NotADatabase { .. })), "{directory:?}");
        let device = open(Path::new("/dev/null"), options);
        assert!(matches!(device, Some(Error::NotADatabase { .. })), "{device:?}");
        let missing = open(&dir.path().join("missing"), options);
        assert!(matches!(missing, Some(Error::Io { path: Some(_), .. })), "{missing:?}");
    }
    let no_lock = MapOptions { no_lock: true, ..options() };
    assert!(matches!(open(&path, &no_lock), Some(Error::InvalidArgument(_))));
    assert!(!dir.path().join("db-lock").exists());
}

#[test]
fn a_link_to_the_data_file_has_the_same_lock_file() {
    let (dir, path) = new_file();
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    let platform = MmapPlatform::open(&link, &options()).unwrap();
    assert!(platform.lock_path().unwrap().ends_with("db-lock"));
    assert!(!dir.path().join("link-lock").exists());
}

#[test]
fn without_lock_file_nothing_is_made() {
    let (dir, path) = new_file();
    let options = MapOptions { read_only: true, no_lock: true, ..options() };
    let platform = MmapPlatform::open(&path, &options).unwrap();
    assert!(platform.locks().try_lock(LockByte(1), LockMode::Exclusive).unwrap());
    assert_eq!(platform.lock_path(), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    platform.check_in_place().unwrap();
}

#[test]
fn the_lock_file_may_stand_elsewhere() {
    let (dir, path) = new_file();
    let elsewhere = tempfile::tempdir().unwrap();
    let lock = elsewhere.path().join("db-lock");
    let options = MapOptions { lock_file: Some(lock.clone()), ..options() };
    let platform = MmapPlatform::open(&path, &options).unwrap();
    assert_eq!(platform.lock_path(), Some(lock.as_path()));
    assert!(!dir.path().join("db-lock").exists());
}

#[test]
fn replaced_files_are_noticed() {
    let (dir, path) = new_file();
    let platform = MmapPlatform::open(&path, &options()).unwrap();
    platform.check_in_place().unwrap();
    let lock = dir.path().join("db-lock");
    std::fs::remove_file(&lock).unwrap();
    assert!(matches!(platform.check_in_place(), Err(Error::LockFile { .. })));
    std::fs::write(&lock, b"rectolck of another").unwrap();
    assert!(matches!(platform.check_in_place(), Err(Error::LockFile { .. })));
    let platform = MmapPlatform::open(&path, &options()).unwrap();
    std::fs::rename(&path, dir.path().join("moved")).unwrap();
    assert!(matches!(platform.check_in_place(), Err(Error::Io { path: Some(_), .. })));
}

#[test]
fn file_systems_between_machines_are_named_in_the_refusal() {
    let text = place::refusal("NFS");
    assert!(text.contains("NFS"), "{text}");
}

#[test]
fn address_space_that_is_not_there_is_halved() {
    let (_dir, path) = new_file();
    let options = MapOptions { reserve: 1 << 62, ..options() };
    let platform = MmapPlatform::open(&path, &options).unwrap();
    let reserved = platform.storage.reserved();
    assert!((1 << 30..1 << 61).contains(&reserved), "{reserved}");
    platform.storage().grow(P).unwrap();
    assert_eq!(platform.storage().view().len as u64, P);
}

#[test]
fn views_stay_whole_while_others_grow() {
    let (_dir, path) = new_file();
    let options = MapOptions { reserve: P, ..options() };
    let platform = MmapPlatform::open(&path, &options).unwrap();
    let storage = platform.storage();
    storage.grow(P).unwrap();
    storage.write(0, &[1; 4096]).unwrap();
    std::thread::scope(|scope| {
        let grows = scope.spawn(|| {
            for pages in 2..400 {
                storage.grow(pages * P).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..400 {
                storage.refresh().unwrap();
            }
        });
        let mut longest = 0;
        while !grows.is_finished() {
            let view = storage.view();
            assert!(view.len >= longest, "a view never shrinks by growth");
            longest = view.len;
            // SAFETY: the last byte of the view, which must be mapped and inside the file.
            unsafe { view.base.add(view.len - 1).read_volatile() };
            assert_eq!(bytes(&view, 0, 1), [1]);
        }
        grows.join().unwrap();
    });
    assert_eq!(storage.view().len as u64, 399 * P);
    let file = File::open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte, [1]);
}

/// Runs `work` in a forked child as nobody, where this process may change users; gives what it
/// returns.
fn as_nobody(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child opens files, maps them, and leaves without unwinding or destructors.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: changes the user of the child, and leaves it. Not root: has no effect.
        unsafe {
            libc::setresuid(65534, 65534, 65534);
            libc::_exit(work());
        }
    }
    let mut status = 0;
    // SAFETY: the child made above.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "status {status}");
    libc::WEXITSTATUS(status)
}

#[test]
fn who_may_not_write_the_lock_file_observes() {
    let (dir, path) = new_file();
    let lock = dir.path().join("db-lock");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let writer = MmapPlatform::open(&path, &options()).unwrap();
    writer.storage().grow(2 * P).unwrap();
    // SAFETY: the lock file is mapped, and the test is alone with it.
    unsafe { writer.shared_base().write(42) };
    for (path, bits) in [(dir.path(), 0o755), (&path, 0o444), (&lock, 0o444)] {
        mode(path, bits);
    }
    let read_only = MapOptions { read_only: true, ..options() };
    let longer = MapOptions { shared_len: 2 * SHARED, ..read_only.clone() };
    let byte = LockByte(1 << 41);
    let code = as_nobody(|| {
        let Ok(reader) = MmapPlatform::open(&path, &read_only) else { return 1 };
        // SAFETY: the lock file is mapped for reading.
        if !reader.is_observer() || unsafe { reader.shared_base().read() } != 42 {
            return 2;
        }
        if !matches!(reader.locks().try_lock(byte, LockMode::Shared), Ok(true)) {
            return 3;
        }
        if reader.locks().try_lock(byte, LockMode::Exclusive).is_ok() {
            return 4;
        }
        if !matches!(reader.data_locks().try_lock(byte, LockMode::Shared), Ok(true)) {
            return 5;
        }
        if !matches!(MmapPlatform::open(&path, &options()), Err(Error::Io { .. })) {
            return 6;
        }
        if !matches!(MmapPlatform::open(&path, &longer), Err(Error::LockFile { .. })) {
            return 7;
        }
        std::mem::forget(reader);
        0
    });
    assert_eq!(code, 0);
    std::fs::remove_file(&lock).unwrap();
    let code = as_nobody(|| match MmapPlatform::open(&path, &read_only) {
        Err(Error::LockFile { detail, .. }) if detail.contains("cannot be created") => 0,
        _ => 1,
    });
    assert_eq!(code, 0);
    mode(dir.path(), 0o700);
}
