//! What tests of the engine may ask of the simulated machine beside cuts: lock files of other days,
//! other files, waits that never end.

use super::*;
use crate::storage::{LockByte, LockMode, Platform, Storage};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

const P: u64 = PAGE as u64;
const BYTE: LockByte = LockByte(9);

fn disk(options: SimOptions) -> (SimDisk, Arc<SimProcess>) {
    let disk = SimDisk::new(options).unwrap();
    let process = disk.process(ProcessOptions::default());
    process.grow(2 * P).unwrap();
    process.sync(0, 2 * P).unwrap();
    (disk, process)
}

fn word(process: &SimProcess, page: usize) -> &AtomicU64 {
    // SAFETY: the lock file has two pages, aligned, and is only ever used as atomics.
    unsafe { &*process.shared_base().add(page * PAGE).cast() }
}

#[test]
fn a_remount_finds_the_lock_file_as_it_was_at_any_time_page_by_page() {
    let (disk, process) = disk(SimOptions::new(1, 2 * PAGE));
    disk.remember_lock_file(1);
    for n in 1..=3 {
        (0..2).for_each(|page| word(&process, page).store(n, Ordering::SeqCst));
        process.step("changed");
    }
    let found = |forget: bool| -> BTreeSet<(u64, u64)> {
        if forget {
            disk.remember_lock_file(0);
        }
        let one = |seed| {
            let next = disk.cut_point_with_lock_file().remount(seed).unwrap();
            (next.lock_file_word(0), next.lock_file_word(PAGE / 8))
        };
        (0..400).map(one).collect()
    };
    let all = (1..=3).flat_map(|a| (1..=3).map(move |b| (a, b)));
    assert_eq!(found(false), all.collect());
    assert_eq!(found(true), BTreeSet::from([(3, 3)]));
}

#[test]
fn two_paths_have_two_lock_files() {
    let (disk, process) = disk(SimOptions::new(1, 2 * PAGE));
    word(&process, 0).store(1, Ordering::SeqCst);
    disk.other_lock_file().unwrap();
    let other = disk.process(ProcessOptions::default());
    assert_eq!(word(&other, 0).load(Ordering::SeqCst), 0);
    word(&other, 0).store(2, Ordering::SeqCst);
    for expected in [1, 2] {
        disk.other_lock_file().unwrap();
        assert_eq!(disk.lock_file_word(0), expected);
    }
    let here = |process: &SimProcess| process.locks().try_lock(BYTE, LockMode::Exclusive).unwrap();
    assert!(here(&process) && here(&other), "locks of two files do not meet");
}

#[test]
fn another_file_in_its_place_is_durable_and_all_there_is() {
    let (disk, process) = disk(SimOptions::new(1, PAGE));
    process.write(P, &[3; PAGE]).unwrap();
    for pages in [3, 1] {
        disk.replace_file(&vec![pages; usize::from(pages) * PAGE]).unwrap();
        let cut = disk.cut_point();
        assert!(cut.is_settled());
        assert_eq!(cut.boot(5).unwrap().bytes(), vec![pages; usize::from(pages) * PAGE]);
    }
}

#[test]
fn a_foreign_sync_takes_the_error_from_those_who_open_after_it() {
    let (disk, process) = disk(SimOptions::new(1, PAGE));
    process.write(P, &[3; PAGE]).unwrap();
    disk.foreign_sync_fails();
    let late = disk.process(ProcessOptions::default());
    assert!(late.sync(0, 2 * P).is_ok());
    assert!(process.sync(0, 2 * P).is_err());
}

#[test]
fn a_wait_that_nobody_can_end_is_counted() {
    let mut options = SimOptions::new(1, PAGE);
    options.on_deadlock = Deadlock::GiveUp;
    let (disk, process) = disk(options);
    assert!(process.locks().try_lock(BYTE, LockMode::Exclusive).unwrap());
    let waits = |disk: &SimDisk| {
        let other = disk.process(ProcessOptions::default());
        assert!(!other.locks().lock(BYTE, LockMode::Shared, None).unwrap());
    };
    disk.set_hook(move |disk, _| {
        waits(disk);
        Action::Continue
    });
    process.step("another waits while this one is stopped");
    assert_eq!(disk.counters().hangs, 0);
    waits(&disk);
    assert_eq!(disk.counters().hangs, 1);
}
