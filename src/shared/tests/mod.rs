//! Tests of the shared memory over simulated processes, which can be killed at every step.
//!
//! `attach`: coming and going. `publish`: making visible, waiting. `readers`: slots, scans, the
//! dead. `observer`: reading without slots. `hostile`: memory that lies. `stress`: real threads.
//! The memory model is that of `../loom`.

mod attach;
mod hostile;
mod observer;
mod publish;
mod readers;
mod stress;

use super::layout::{Descriptor, SIZE, Slot, byte};
use super::region::Region;
use super::{Arrival, FirstState, Shared};
use crate::error::{Error, Result};
use crate::storage::sim::{
    Action, Deadlock, EventKind, ProcessOptions, SimDisk, SimOptions, SimProcess,
};
use crate::storage::{LockMode, Step};
use crate::types::TxnId;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

const UUID: [u8; 16] = *b"database of test";
const PAGE_SIZE: u32 = 4096;

fn machine() -> SimDisk {
    let options = SimOptions { on_deadlock: Deadlock::GiveUp, ..SimOptions::new(1, SIZE) };
    SimDisk::new(options).unwrap()
}

fn process(disk: &SimDisk) -> Arc<SimProcess> {
    disk.process(ProcessOptions::default())
}

/// A handle in a process of its own.
struct Opened {
    shared: Shared,
    arrival: Arrival,
    process: Arc<SimProcess>,
}

impl Deref for Opened {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Opened {
    /// The process dies; the handle's drop comes later, as after a fork.
    fn kill(&self, disk: &SimDisk) {
        disk.kill(self.process.id());
    }

    fn id(&self) -> u32 {
        self.handle_index().unwrap()
    }
}

fn attach_as(
    process: &Arc<SimProcess>,
    uuid: [u8; 16],
    init: impl FnOnce(&Shared, FirstState) -> Result<()>,
) -> Result<Opened> {
    let (shared, arrival) = {
        let init = |shared: &Shared, _: &_, state| init(shared, state);
        Shared::attach(process.clone(), uuid, PAGE_SIZE, Duration::ZERO, init)?
    };
    Ok(Opened { shared, arrival, process: process.clone() })
}

/// Publishes snapshot 1, unless the last session's words are there.
fn start(shared: &Shared, state: FirstState) -> Result<()> {
    if state != FirstState::Survives {
        assert!(shared.publish_built(&descriptor(1))?);
    }
    Ok(())
}

fn open(disk: &SimDisk) -> Opened {
    attach_as(&process(disk), UUID, start).unwrap()
}

/// Words that follow from the id.
fn descriptor(id: u64) -> Descriptor {
    std::array::from_fn(|i| if i == 0 { id } else { mix(id, i as u64) })
}

fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ b
}

/// The memory, looked at by somebody who has not opened the database.
fn raw(disk: &SimDisk) -> Region {
    Region::new(process(disk)).unwrap()
}

fn kill_at(disk: &SimDisk, victim: u32, at: Step) {
    disk.set_hook(move |_, event| match event.kind {
        EventKind::Step(step) if step == at && event.process == victim => Action::Kill,
        _ => Action::Continue,
    });
}

fn txns(ids: &[u64]) -> Vec<TxnId> {
    ids.iter().copied().map(TxnId).collect()
}

fn is_lock_file(error: &Error, words: &str) -> bool {
    matches!(error, Error::LockFile { detail, .. } if detail.contains(words))
}

/// What the slots of an owner (handle index + 1; 0: nobody's) hold.
fn slots_of(shared: &Shared, owner: u32) -> Vec<u64> {
    use std::sync::atomic::Ordering::SeqCst;
    let owned = |slot: &&Slot| slot.owner.load(SeqCst) == owner;
    shared.layout().slots.iter().filter(owned).map(|slot| slot.txn.load(SeqCst)).collect()
}

fn holds(disk: &SimDisk, index: u32) -> bool {
    let byte = byte::handle(index);
    disk.locks_held().iter().any(|&(b, _, mode)| b == byte && mode == LockMode::Exclusive)
}
