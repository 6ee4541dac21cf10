//! Trust in the simulator: a toy commit protocol that is right passes every cut, and each of its
//! planted bugs is found.

use super::*;
use crate::storage::{Platform, Storage};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is wrong with the toy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    Nothing,
    NoDataSync,
    OneSyncForBoth,
    AckBeforeMetaSync,
    MetaInPlace,
    MetaWithoutCheck,
    ReuseTooEarly,
    GrowthNotSynced,
    TrustsASecondSync,
    SyncsOnePageLess,
}

const P: u64 = PAGE as u64;

/// First of the two data pages of transaction `txn`: three places take turns.
fn place(bug: Bug, txn: u64) -> u64 {
    match bug {
        Bug::ReuseTooEarly => 2,
        // New pages each time, so that the file grows.
        Bug::GrowthNotSynced => 2 + 2 * txn,
        _ => 2 + 2 * (txn % 3),
    }
}

fn meta(txn: u64) -> [u8; PAGE] {
    let mut page = [txn as u8; PAGE];
    page[..8].copy_from_slice(&txn.to_le_bytes());
    let crc = crc32fast::hash(&page[8..]) ^ txn as u32;
    page[8..12].copy_from_slice(&crc.to_le_bytes());
    page
}

/// The transaction of a meta page, and the one that says, in its last sector, where the data is.
fn meta_txn(bug: Bug, page: &[u8]) -> Option<(u64, u64)> {
    let txn = u64::from_le_bytes(page[..8].try_into().ok()?);
    let tail = u64::from(page[PAGE - 1]);
    (bug == Bug::MetaWithoutCheck || page == meta(txn)).then_some((txn, tail))
}

/// Commits transaction `txn`, and notes in `acked` when the toy says that it is durable.
fn commit(bug: Bug, process: &SimProcess, txn: u64, acked: &Mutex<u64>) -> Result<()> {
    let at = place(bug, txn);
    let end = (at + 2) * P;
    process.grow(end)?;
    process.write(at * P, &[txn as u8; 2 * PAGE])?;
    let sync = |offset, len| match process.sync(offset, len) {
        Err(_) if bug == Bug::TrustsASecondSync => process.sync(offset, len),
        other => other,
    };
    match bug {
        Bug::NoDataSync | Bug::OneSyncForBoth => {}
        Bug::SyncsOnePageLess => sync(0, end - P)?,
        _ => sync(0, end)?,
    }
    let slot = if bug == Bug::MetaInPlace { 0 } else { txn % 2 };
    process.write(slot * P, &meta(txn))?;
    if bug == Bug::AckBeforeMetaSync {
        *acked.lock().unwrap() = txn;
    }
    sync(0, if bug == Bug::OneSyncForBoth { end } else { 2 * P })?;
    *acked.lock().unwrap() = txn;
    Ok(())
}

/// Whether the toy finds, in this image, one committed transaction that is not older than `acked`.
fn recovers(bug: Bug, image: &[u8], acked: u64) -> bool {
    let newest = [0, 1]
        .iter()
        .filter_map(|slot| image.get(slot * PAGE..(slot + 1) * PAGE))
        .filter_map(|page| meta_txn(bug, page))
        .max();
    let Some((txn, tail)) = newest else { return acked == 0 };
    let at = place(bug, tail) as usize * PAGE;
    txn >= acked && image.get(at..at + 2 * PAGE).is_some_and(|data| data == [txn as u8; 2 * PAGE])
}

/// Runs the toy, and looks at 60 cuts at each event; the number of images that it cannot read. The
/// sync of number `failing_sync` fails, and the toy is to stop then.
fn failures(bug: Bug, failing_sync: Option<u64>) -> usize {
    let disk = SimDisk::new(SimOptions::new(7, 4096)).unwrap();
    let acked = Arc::new(Mutex::new(0));
    let failed = Arc::new(Mutex::new(0));
    let process = disk.process(ProcessOptions::default());
    process.grow(8 * P).unwrap();
    if bug == Bug::GrowthNotSynced {
        disk.set_faults(Faults { sync_leaves_length: true, ..Faults::default() });
    }
    let syncs_before = AtomicU64::new(0);
    let (acks, counts) = (acked.clone(), failed.clone());
    disk.set_hook(move |disk, event| {
        let cut = disk.cut_point();
        let acked = *acks.lock().unwrap();
        let bad = (0..60).filter(|&seed| !recovers(bug, &cut.image(seed), acked)).count();
        *counts.lock().unwrap() += bad;
        let syncs = matches!(event.kind, EventKind::SyncBegin { .. });
        match syncs && failing_sync == Some(syncs_before.fetch_add(1, Ordering::Relaxed)) {
            true => Action::Fail(libc::EIO),
            false => Action::Continue,
        }
    });
    for txn in 1..=12 {
        let ending = commit(bug, &process, txn, &acked);
        process.step("committed, or not");
        if ending.is_err() {
            break;
        }
    }
    *failed.lock().unwrap()
}

#[test]
fn a_right_protocol_survives_every_cut() {
    assert_eq!(failures(Bug::Nothing, None), 0);
    for sync in 0..24 {
        assert_eq!(failures(Bug::Nothing, Some(sync)), 0, "sync {sync} fails");
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in [
        Bug::NoDataSync,
        Bug::OneSyncForBoth,
        Bug::AckBeforeMetaSync,
        Bug::MetaInPlace,
        Bug::MetaWithoutCheck,
        Bug::ReuseTooEarly,
        Bug::GrowthNotSynced,
        Bug::SyncsOnePageLess,
    ] {
        assert!(failures(bug, None) > 0, "{bug:?} passed");
    }
    let found = (0..24).filter(|&sync| failures(Bug::TrustsASecondSync, Some(sync)) > 0).count();
    assert!(found > 12, "a second sync was trusted, and passed {} times of 24", 24 - found);
}
