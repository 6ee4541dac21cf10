//! The simulator itself: what a sync keeps, what a cut may take, who dies of what.

use super::*;
use crate::storage::{Platform, Storage};
use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const P: u64 = PAGE as u64;

fn disk() -> SimDisk {
    SimDisk::new(SimOptions::new(1, 8192)).unwrap()
}

fn staged(disk: &SimDisk) -> Arc<SimProcess> {
    disk.process(ProcessOptions::default())
}

/// A disk with `pages` durable pages, all bytes 1, and a process on it.
fn settled(pages: u64) -> (SimDisk, Arc<SimProcess>) {
    let disk = disk();
    let process = staged(&disk);
    process.grow(pages * P).unwrap();
    fill(&process, 0..pages, 1);
    process.sync(0, pages * P).unwrap();
    assert!(disk.cut_point().is_settled());
    (disk, process)
}

fn fill(process: &SimProcess, pages: std::ops::Range<u64>, byte: u8) {
    pages.for_each(|page| process.write(page * P, &[byte; PAGE]).unwrap());
}

/// The bytes that page `page` of the image starts its sectors with.
fn heads(image: &[u8], page: usize) -> Vec<u8> {
    image[page * PAGE..][..PAGE]
        .chunks(SECTOR)
        .map(|sector| {
            assert!(sector.iter().all(|&byte| byte == sector[0]), "torn inside a sector");
            sector[0]
        })
        .collect()
}

/// Every mixture of sectors that 2,000 cuts leave of page `page`.
fn outcomes(cut: &CutPoint, page: usize) -> HashSet<Vec<u8>> {
    (0..2000).map(|seed| heads(&cut.image(seed), page)).collect()
}

#[test]
fn what_was_synced_survives_every_cut() {
    let (disk, process) = settled(4);
    fill(&process, 2..3, 2);
    process.sync(2 * P, P).unwrap();
    let cut = disk.cut_point();
    assert!(cut.is_settled());
    for seed in 0..200 {
        let image = cut.image(seed);
        assert_eq!(image.len(), 4 * PAGE);
        assert_eq!(heads(&image, 1), [1; 8]);
        assert_eq!(heads(&image, 2), [2; 8]);
    }
    assert_eq!(disk.counters().syncs, 2);
    assert_eq!(disk.counters().pages_synced, 5);
}

#[test]
fn a_cut_takes_any_mixture_of_sectors_and_versions() {
    let (disk, process) = settled(4);
    fill(&process, 3..4, 2);
    fill(&process, 3..4, 3);
    let seen = outcomes(&disk.cut_point(), 3);
    for whole in [1, 2, 3] {
        assert!(seen.contains(&vec![whole; 8]), "never all {whole}");
    }
    let torn = seen.iter().filter(|one| one.iter().any(|&byte| byte != one[0])).count();
    assert!(torn > 50, "only {torn} torn pages");
    assert!(seen.iter().any(|one| [1, 2, 3].iter().all(|byte| one.contains(byte))));
    assert!(seen.iter().flatten().all(|byte| [1, 2, 3].contains(byte)));
}

#[test]
fn a_sync_covers_its_range_only() {
    let (disk, process) = settled(4);
    fill(&process, 1..4, 2);
    process.sync(2 * P, P).unwrap();
    let cut = disk.cut_point();
    assert_eq!(cut.unsynced_pages(), 2);
    let image = cut.image(0);
    assert_eq!((heads(&image, 1), heads(&image, 2)), (vec![1; 8], vec![2; 8]));
    assert_eq!(heads(&image, 3), [1; 8]);
}

#[test]
fn special_cuts_are_what_they_are_called() {
    let (disk, process) = settled(4);
    fill(&process, 2..4, 2);
    fill(&process, 1..2, 2);
    let cut = disk.cut_point();
    let first = |special: Special| {
        let image = cut.image(Special::ALL.iter().position(|&one| one == special).unwrap() as u64);
        (0..4).map(|page| image[page * PAGE]).collect::<Vec<u8>>()
    };
    assert_eq!(first(Special::Nothing), [1, 1, 1, 1]);
    assert_eq!(first(Special::Everything), [1, 2, 2, 2]);
    assert_eq!(first(Special::AllButMetas), [1, 1, 2, 2]);
    assert_eq!(first(Special::OnlyMetas), [1, 2, 1, 1]);
    assert_eq!(first(Special::OnlyLastWrite), [1, 2, 1, 1]);
    assert_eq!(first(Special::AllButLastWrite), [1, 1, 2, 2]);
    assert_eq!(first(Special::AllButRecto), [1, 2, 2, 2]);
    assert_eq!(first(Special::AllButVerso), [1, 1, 2, 2]);
    let image = cut.image(Special::MetaHeads as u64);
    assert_eq!(heads(&image, 1), [2, 1, 1, 1, 1, 1, 1, 1]);
    let image = cut.image(Special::DataHeads as u64);
    assert_eq!(heads(&image, 2), [2, 2, 2, 2, 1, 1, 1, 1]);
    for (seed, special) in Special::ALL.iter().enumerate() {
        assert_eq!(*special as usize, seed);
    }
}

#[test]
fn unsynced_growth_may_be_lost_and_is_zero() {
    let (disk, process) = settled(2);
    process.grow(6 * P).unwrap();
    fill(&process, 5..6, 9);
    let cut = disk.cut_point();
    let lens: BTreeSet<usize> = (0..300).map(|seed| cut.image(seed).len() / PAGE).collect();
    assert_eq!(lens, BTreeSet::from([2, 6]));
    for seed in 0..300 {
        let image = cut.image(seed);
        if image.len() == 6 * PAGE {
            assert_eq!(heads(&image, 4), [0; 8], "nobody wrote this page");
            assert!(heads(&image, 5).iter().all(|byte| [0, 9].contains(byte)));
        }
    }
    process.sync(0, P).unwrap();
    let cut = disk.cut_point();
    assert!((0..300).all(|seed| cut.image(seed).len() == 6 * PAGE), "any sync keeps the length");
    assert_eq!(cut.unsynced_pages(), 1);
}

#[test]
fn a_platform_may_forget_the_length() {
    let (disk, process) = settled(2);
    disk.set_faults(Faults { sync_leaves_length: true, ..Faults::default() });
    process.grow(4 * P).unwrap();
    fill(&process, 3..4, 9);
    process.sync(0, 4 * P).unwrap();
    let cut = disk.cut_point();
    assert_eq!(cut.image(0).len(), 2 * PAGE);
    assert_eq!(heads(&cut.image(1), 3), [9; 8]);
}

#[test]
fn what_was_cut_off_never_comes_back() {
    let (disk, process) = settled(4);
    fill(&process, 3..4, 2);
    process.truncate(2 * P).unwrap();
    process.grow(4 * P).unwrap();
    assert!(disk.bytes()[2 * PAGE..].iter().all(|&byte| byte == 0));
    fill(&process, 3..4, 3);
    let cut = disk.cut_point();
    let mut seen = HashSet::new();
    for seed in 0..2000 {
        let image = cut.image(seed);
        if image.len() == 4 * PAGE {
            seen.extend(heads(&image, 3));
            let heads: BTreeSet<u8> = heads(&image, 3).into_iter().collect();
            let before = heads.contains(&1) || heads.contains(&2);
            assert!(!(before && heads.contains(&3)), "two lives of a page in one: {heads:?}");
            if !before {
                assert_eq!(self::heads(&image, 2), [0; 8]);
            }
        } else {
            assert_eq!(image.len(), 2 * PAGE);
        }
    }
    assert_eq!(seen, HashSet::from([0, 1, 2, 3]));
    process.sync(0, P).unwrap();
    let seen = outcomes(&disk.cut_point(), 3);
    assert!(seen.iter().flatten().all(|byte| [0, 3].contains(byte)), "the old file is gone");
}

#[test]
fn a_failed_sync_is_forgotten_by_the_next_one() {
    let mut lost_once = false;
    for seed in 0..50 {
        let disk = SimDisk::new(SimOptions::new(seed, 4096)).unwrap();
        let process = staged(&disk);
        process.grow(8 * P).unwrap();
        fill(&process, 0..8, 1);
        process.sync(0, 8 * P).unwrap();
        fill(&process, 0..8, 2);
        disk.set_hook(|_, event| match event.kind {
            EventKind::SyncBegin { .. } => Action::Fail(libc::EIO),
            _ => Action::Continue,
        });
        assert!(matches!(process.sync(0, 8 * P), Err(Error::Io { .. })));
        disk.clear_hook();
        process.sync(0, 8 * P).unwrap();
        let cut = disk.cut_point();
        assert!(cut.is_settled(), "the system believes that all is written");
        let image = cut.image(0);
        let lost: Vec<u64> = (0..8).filter(|&p| heads(&image, p as usize) != [2; 8]).collect();
        let evicted: Vec<u64> =
            (0..8).filter(|&p| disk.bytes()[p as usize * PAGE..][..PAGE] != [2; PAGE]).collect();
        lost_once |= !lost.is_empty();
        for page in 0..8 {
            let known = disk.lost_pages().contains(&page);
            assert_eq!(known, lost.contains(&page) && !evicted.contains(&page));
        }
        disk.evict();
        assert_eq!(disk.bytes(), image, "after eviction the cache shows the medium");
        // Only writing again helps, even with the same bytes.
        fill(&process, 0..8, 2);
        process.sync(0, 8 * P).unwrap();
        assert_eq!(disk.cut_point().image(0), [2; 8 * PAGE]);
    }
    assert!(lost_once);
}

#[test]
fn errors_are_told_once_to_each_description() {
    let (disk, first) = settled(4);
    let second = staged(&disk);
    fill(&first, 0..4, 2);
    disk.set_faults(Faults { write_back: 1 << 16, write_back_fails: 1 << 16, ..Faults::default() });
    first.step("something goes on");
    disk.set_faults(Faults::default());
    let third = staged(&disk);
    assert!(first.sync(0, P).is_err());
    assert!(first.sync(0, P).is_ok());
    assert!(second.sync(0, P).is_err());
    assert!(third.sync(0, P).is_err(), "opened while nobody had been told");
    let fourth = staged(&disk);
    assert!(fourth.sync(0, P).is_ok(), "opened after somebody had been told");
}

#[test]
fn write_back_may_take_the_whole_folio() {
    let (disk, process) = settled(8);
    fill(&process, 4..8, 2);
    let faults = Faults { write_back: 1 << 16, folio_pages: 4, ..Faults::default() };
    disk.set_faults(faults);
    process.step("something goes on");
    disk.set_faults(Faults::default());
    assert!(disk.cut_point().is_settled(), "one write-back wrote four pages");
    assert_eq!(disk.counters().write_backs, 1);
}

#[test]
fn direct_stores_are_seen_at_the_next_event() {
    let (disk, process) = settled(4);
    assert!(process.view_mut().is_none());
    drop(process);
    let process = disk.process(ProcessOptions { direct: true, ..ProcessOptions::default() });
    let base = process.view_mut().unwrap();
    let store = |page: u64, byte: u8| {
        // SAFETY: the page lies inside the file, and the test is alone with it.
        unsafe { base.add(page as usize * PAGE).write_bytes(byte, PAGE) };
    };
    store(2, 2);
    process.step("between");
    store(2, 3);
    store(3, 3);
    process.stored(2 * P, P);
    let cut = disk.cut_point();
    let seen = outcomes(&cut, 2);
    assert!([1, 2, 3].iter().all(|&byte| seen.contains(&vec![byte; 8])));
    assert_eq!(cut.unsynced_pages(), 2, "the store that nobody told of counts too");
    process.sync(0, 4 * P).unwrap();
    assert_eq!(heads(&disk.cut_point().image(0), 3), [3; 8]);
    // Told of, the same bytes are dirty again.
    process.stored(3 * P, 1);
    assert_eq!(disk.cut_point().unsynced_pages(), 1);
}

#[test]
fn stray_stores_do_not_go_unseen() {
    let (disk, process) = settled(4);
    assert_eq!(disk.stray_store(), None);
    let base = process.view().base.cast_mut();
    // SAFETY: the byte lies inside the file, and the test is alone with it.
    unsafe { base.add(2 * PAGE + 7).write(0x55) };
    assert_eq!(disk.stray_store(), Some(2));
}

#[test]
fn a_full_disk_is_an_error_and_may_leave_a_longer_file() {
    let mut lens = BTreeSet::new();
    for seed in 0..40 {
        let disk = SimDisk::new(SimOptions::new(seed, 4096)).unwrap();
        let process = staged(&disk);
        disk.set_disk_limit(Some(6 * P));
        process.grow(2 * P).unwrap();
        assert!(matches!(process.grow(8 * P), Err(Error::DiskFull { .. })));
        lens.insert(Storage::len(&*process).unwrap() / P);
        assert_eq!(process.view().len as u64, 2 * P);
        process.grow(6 * P).unwrap();
    }
    assert!(lens.contains(&2) && lens.len() > 2, "{lens:?}");
    assert!(lens.iter().all(|len| (2..=6).contains(len)));
}

#[test]
fn growth_is_seen_by_others_after_a_refresh() {
    let (disk, first) = settled(2);
    let second = staged(&disk);
    first.grow(4 * P).unwrap();
    assert_eq!(second.view().len as u64, 2 * P);
    assert_eq!(second.refresh().unwrap().len as u64, 4 * P);
    assert_eq!(second.view().base, first.view().base);
    assert!(first.write(4 * P - 1, &[1, 2]).is_err(), "behind the end");
}

/// Sets a flag when it is dropped by unwinding, as the locals of a killed engine are.
struct Dropped<'a>(&'a AtomicU64, &'a SimProcess);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.store(1 + self.1.alive().load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[test]
fn a_killed_process_unwinds_without_its_locks() {
    let (disk, victim) = settled(4);
    let other = staged(&disk);
    let byte = LockByte(1 << 40);
    assert!(victim.locks().try_lock(byte, LockMode::Exclusive).unwrap());
    assert!(!other.locks().try_lock(byte, LockMode::Shared).unwrap());
    let id = victim.id();
    disk.set_hook(move |_, event| match event.kind {
        EventKind::Step("here") if event.process == id => Action::Kill,
        _ => Action::Continue,
    });
    let dropped = AtomicU64::new(0);
    let ending = run(|| {
        let _local = Dropped(&dropped, &victim);
        victim.write(P, &[2; 10]).unwrap();
        victim.step("here");
        victim.write(P, &[3; 10]).unwrap();
    });
    assert_eq!(ending, Ending::Killed(Killed { process: id }));
    assert_eq!(dropped.load(Ordering::Relaxed), 1, "dropped, and not alive then");
    assert!(other.locks().try_lock(byte, LockMode::Exclusive).unwrap());
    assert_eq!(disk.bytes()[PAGE], 2, "what it wrote stays in the cache");
    assert_eq!(disk.counters().after_death, 0);
    assert!(victim.write(P, &[4; 10]).is_err());
    assert!(victim.sync(0, P).is_err());
    victim.locks().unlock(byte);
    assert!(!staged(&disk).locks().try_lock(byte, LockMode::Shared).unwrap());
    assert_eq!(disk.counters().after_death, 2);
}

#[test]
fn a_kill_may_cut_a_write_short() {
    let mut written = BTreeSet::new();
    for seed in 0..60 {
        let disk = SimDisk::new(SimOptions::new(seed, 4096)).unwrap();
        let process = staged(&disk);
        process.grow(4 * P).unwrap();
        disk.set_hook(|_, event| match event.kind {
            EventKind::Write { .. } => Action::Kill,
            _ => Action::Continue,
        });
        let parts: [&[u8]; 2] = [&[1; 2 * PAGE], &[1; PAGE]];
        assert!(run(|| process.write_all_of(P, &parts)).done().is_none());
        written.insert(disk.bytes().iter().filter(|&&byte| byte == 1).count() / PAGE);
    }
    assert_eq!(written, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn a_power_cut_ends_everybody_and_another_machine_boots() {
    let (disk, process) = settled(2);
    let other = staged(&disk);
    disk.set_hook(|_, event| match event.kind {
        EventKind::SyncBegin { .. } => Action::PowerCut,
        _ => Action::Continue,
    });
    fill(&process, 1..2, 2);
    assert_eq!(run(|| process.sync(0, 2 * P)).done().map(|_| ()), None);
    assert_eq!(other.alive().load(Ordering::Relaxed), 0);
    let cut = disk.power_cut().unwrap();
    assert_eq!(cut.unsynced_pages(), 1);
    let next = cut.boot(1).unwrap();
    assert_eq!(next.bytes(), cut.image(1));
    let process = staged(&next);
    assert_ne!(process.boot_id(), other.boot_id());
    assert_eq!(process.data_file_id(), other.data_file_id());
    process.write(0, &[1]).unwrap();
}

#[test]
fn lock_files_after_a_cut_are_new_or_from_before() {
    let mut kinds = BTreeSet::new();
    for seed in 0..60 {
        let disk = disk();
        let process = staged(&disk);
        // SAFETY: the lock file of this machine has 8,192 bytes, and the test is alone with it.
        unsafe { process.shared_base().write_bytes(5, 8192) };
        let next = disk.cut(&mut Rng::new(seed)).unwrap();
        assert_eq!(next.boot(), disk.boot() + 1);
        let process = staged(&next);
        // SAFETY: as above.
        let left = unsafe { std::slice::from_raw_parts(process.shared_base(), 8192) };
        kinds.insert(left.iter().filter(|&&byte| byte == 5).count() / SECTOR);
    }
    assert!(kinds.contains(&0) && kinds.contains(&16) && kinds.len() > 3, "{kinds:?}");
}

#[test]
fn a_device_may_come_back_within_one_boot() {
    let (disk, process) = settled(2);
    fill(&process, 1..2, 2);
    // SAFETY: the lock file has 8,192 bytes, and the test is alone with it.
    unsafe { process.shared_base().write(7) };
    let mut kept = BTreeSet::new();
    for seed in 0..100 {
        let next = disk.remount(&mut Rng::new(seed)).unwrap();
        let other = staged(&next);
        assert_eq!(other.boot_id(), process.boot_id());
        // SAFETY: as above.
        assert_eq!(unsafe { other.shared_base().read() }, 7);
        kept.insert(next.bytes()[PAGE]);
        assert!(next.cut_point().is_settled());
    }
    assert_eq!(kept, BTreeSet::from([1, 2]));
}

#[test]
fn all_processes_may_die_while_the_system_lives() {
    let (disk, process) = settled(2);
    fill(&process, 1..2, 2);
    // SAFETY: the lock file has 8,192 bytes, and the test is alone with it.
    unsafe { process.shared_base().write(7) };
    let first = |disk: &SimDisk| {
        // SAFETY: as above.
        unsafe { staged(disk).shared_base().read() }
    };
    let same = disk.restart_os_alive(true).unwrap();
    assert_eq!(process.alive().load(Ordering::Relaxed), 0);
    assert_eq!((first(&same), same.bytes()[PAGE]), (7, 2));
    assert_eq!(same.cut_point().unsynced_pages(), 1, "dirty pages stay dirty");
    assert_eq!(first(&same.restart_os_alive(false).unwrap()), 0);
    assert_eq!(staged(&same).boot_id(), process.boot_id());
}

#[test]
fn locks_conflict_as_byte_locks_do() {
    let disk = disk();
    let (a, b) = (staged(&disk), staged(&disk));
    let (one, two) = (LockByte(10), LockByte(20));
    let free = |p: &SimProcess, byte, mode| p.locks().try_lock(byte, mode).unwrap();
    assert!(free(&a, one, LockMode::Shared) && free(&b, one, LockMode::Shared));
    assert!(!free(&a, one, LockMode::Exclusive), "another sharer");
    b.locks().unlock(one);
    assert!(free(&a, one, LockMode::Exclusive), "up in one step");
    assert!(!free(&b, one, LockMode::Shared));
    assert!(free(&a, one, LockMode::Shared), "and down again");
    assert!(free(&b, one, LockMode::Shared));
    assert!(b.data_locks().try_lock(one, LockMode::Exclusive).unwrap(), "another file");
    assert!(free(&b, two, LockMode::Exclusive));
    let (low, high) = (LockByte(0), LockByte(100));
    assert_eq!(a.locks().held_elsewhere(low, high).unwrap(), Some(one));
    assert_eq!(a.locks().held_elsewhere(LockByte(11), high).unwrap(), Some(two));
    assert_eq!(b.locks().held_elsewhere(LockByte(11), high).unwrap(), None, "its own");
    drop(b);
    assert_eq!(a.locks().held_elsewhere(low, high).unwrap(), None, "gone with the handle");
    let options = ProcessOptions { read_only: true, observer: true, direct: true };
    let c = disk.process(options);
    assert!(c.observer() && c.view_mut().is_none());
    assert!(c.locks().try_lock(two, LockMode::Shared).unwrap());
    assert!(c.locks().try_lock(two, LockMode::Exclusive).is_err());
    assert!(matches!(c.write(0, &[]), Err(Error::ReadOnly { .. })));
    assert!(matches!(c.sync(0, 1), Err(Error::ReadOnly { .. })));
}

#[test]
fn another_lock_file_is_another_set_of_locks() {
    let disk = disk();
    let old = staged(&disk);
    assert!(old.locks().try_lock(LockByte(1), LockMode::Exclusive).unwrap());
    disk.delete_lock_file().unwrap();
    let new = staged(&disk);
    assert!(new.locks().try_lock(LockByte(1), LockMode::Exclusive).unwrap());
    assert_ne!(old.shared_base(), new.shared_base());
    assert!(old.data_locks().try_lock(LockByte(1), LockMode::Exclusive).unwrap());
    assert!(!new.data_locks().try_lock(LockByte(1), LockMode::Exclusive).unwrap());
}

#[test]
#[should_panic(expected = "deadlock in simulation")]
fn waiting_for_ever_in_one_thread_is_a_deadlock() {
    let disk = disk();
    let (a, b) = (staged(&disk), staged(&disk));
    assert!(a.locks().lock(LockByte(1), LockMode::Exclusive, None).unwrap());
    let soon = Some(Duration::from_secs(3600));
    assert!(!b.locks().lock(LockByte(1), LockMode::Shared, soon).unwrap(), "at once");
    let _ = b.locks().lock(LockByte(1), LockMode::Shared, None);
}

#[test]
fn threads_wait_for_locks() {
    let options = SimOptions { on_deadlock: Deadlock::Threads, ..SimOptions::new(1, 4096) };
    let disk = SimDisk::new(options).unwrap();
    let a = staged(&disk);
    assert!(a.locks().lock(LockByte(1), LockMode::Exclusive, None).unwrap());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let b = staged(&disk);
            b.locks().lock(LockByte(1), LockMode::Exclusive, None).unwrap()
        });
        disk.kill(a.id());
        assert!(waits.join().unwrap(), "the death of the holder lets the other in");
    });
}

#[test]
fn hooks_may_run_other_processes() {
    let (disk, first) = settled(4);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    disk.set_hook(move |disk, event| {
        log.lock().unwrap().push((event.index, event.kind, event.depth));
        if event.kind == EventKind::Step("now") {
            let other = staged(disk);
            other.write(3 * P, &[9; PAGE]).unwrap();
            other.sync(0, 4 * P).unwrap();
            let inner = disk.cut_point().boot(0).unwrap();
            inner.set_hook(|_, _| Action::Fail(libc::EIO));
            assert!(staged(&inner).write(0, &[1]).is_err(), "another machine counts by itself");
        }
        Action::Continue
    });
    let before = disk.counters().events;
    first.step("now");
    first.sync(0, 4 * P).unwrap();
    let seen = seen.lock().unwrap();
    let kinds: Vec<EventKind> = seen.iter().map(|one| one.1).collect();
    let range = (0, 4 * P);
    assert_eq!(
        kinds,
        [
            EventKind::Step("now"),
            EventKind::SyncBegin { offset: range.0, len: range.1 },
            EventKind::SyncEnd { offset: range.0, len: range.1 },
        ],
        "nested events are neither counted nor asked about"
    );
    assert!(seen.iter().enumerate().all(|(at, one)| one.0 == before + at as u64 && one.2 == 0));
    assert_eq!(heads(&disk.cut_point().image(0), 3), [9; 8]);
}

#[test]
fn nested_events_count_when_asked() {
    let options = SimOptions { nested_events: true, ..SimOptions::new(1, 4096) };
    let disk = SimDisk::new(options).unwrap();
    let first = staged(&disk);
    first.grow(2 * P).unwrap();
    let deepest = Arc::new(AtomicU64::new(0));
    let mark = deepest.clone();
    disk.set_hook(move |disk, event| {
        mark.fetch_max(u64::from(event.depth), Ordering::Relaxed);
        match event.kind {
            EventKind::Step(_) if event.depth < 3 => {
                let other = staged(disk);
                let id = other.id();
                let ending = run(|| other.step("deeper"));
                assert_eq!(ending.done().is_none(), event.depth == 2, "{id}");
                Action::Continue
            }
            EventKind::Step(_) => Action::Kill,
            _ => Action::Continue,
        }
    });
    first.step("in");
    assert_eq!(deepest.load(Ordering::Relaxed), 3);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let once = |seed: u64| {
        let disk = SimDisk::new(SimOptions::new(seed, 4096)).unwrap();
        let faults = Faults {
            write_back: 20_000,
            write_back_fails: 20_000,
            evict: 9_000,
            folio_pages: 4,
            ..Faults::default()
        };
        disk.set_faults(faults);
        let process = staged(&disk);
        let mut rng = Rng::new(seed);
        process.grow(32 * P).unwrap();
        for round in 0..200 {
            let page = rng.below(32);
            process.write(page * P, &[round as u8; PAGE]).unwrap();
            if rng.chance(1, 10) {
                let _ = process.sync(0, 32 * P);
            }
        }
        (disk.counters(), disk.cut_point().image(77), disk.bytes())
    };
    assert_eq!(once(5), once(5));
    assert_ne!(once(5).1, once(6).1);
}

#[test]
fn damage_is_durable_at_once() {
    let (disk, process) = settled(2);
    disk.damage(P + 5, &[0xff; 3]).unwrap();
    let cut = disk.cut_point();
    assert!(cut.is_settled());
    assert_eq!(cut.image(0)[PAGE + 5..][..4], [0xff, 0xff, 0xff, 1]);
    assert_eq!(disk.bytes(), cut.image(0));
    assert!(disk.damage(2 * P, &[1]).is_err());
    drop(process);
}

#[test]
fn used_memory_shows_nothing_of_its_past() {
    // A length of its own keeps the machines of other tests out of this.
    let options = SimOptions { reserve: 12_345 * PAGE, ..SimOptions::new(1, 4096) };
    let (first, second) =
        (SimDisk::new(options.clone()).unwrap(), SimDisk::new(options.clone()).unwrap());
    let process = staged(&first);
    process.grow(4 * P).unwrap();
    process.sync(0, P).unwrap();
    let cut = first.cut_point();
    let dirty = || drop(SimDisk::from_image(&[0xff; 4 * PAGE], options.clone()).unwrap());
    dirty();
    assert_eq!(cut.boot(1).unwrap().bytes(), [0; 4 * PAGE]);
    dirty();
    staged(&second).grow(4 * P).unwrap();
    assert_eq!(second.bytes(), [0; 4 * PAGE]);
    let third = SimDisk::new(options.clone()).unwrap();
    staged(&third).grow(2 * P).unwrap();
    assert_eq!(third.bytes(), [0; 2 * PAGE]);
    assert_eq!(third.stray_store(), None);
}
