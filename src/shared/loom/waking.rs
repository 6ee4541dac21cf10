//! Waiting for a snapshot (B17): nobody sleeps on when what he waits for is visible. A sleep has no
//! end here, so a lost wake-up is a deadlock; in use it costs a tenth of a second.

use super::explore;
use super::machine::{Machine, Process, snapshot};
use crate::shared::Shared;
use crate::shared::core::{Publisher, entry_for, id_of};
use crate::shared::sync::{fence, futex};
use crate::types::TxnId;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};
use std::time::Duration;

fn waiters_and_a_publisher(name: &str, wait: fn(&Shared, TxnId), publish: fn(&Shared, u64)) {
    explore(name, 3, move || {
        let machine = Machine::new();
        let publisher = Process::new(&machine, 0).open();
        let waiting = Arc::new(Process::new(&machine, 1).open());
        let threads = [2, 3].map(|id| {
            let waiting = waiting.clone();
            thread::spawn(move || wait(&waiting, TxnId(id - 1)))
        });
        publish(&publisher, 2);
        publish(&publisher, 3);
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

fn wait(shared: &Shared, after: TxnId) {
    assert!(shared.wait_visible(after, None).unwrap() > after);
}

fn publish(shared: &Shared, id: u64) {
    assert!(shared.publish_built(&snapshot(id, 0)).unwrap());
}

#[test]
fn nobody_sleeps_on() {
    waiters_and_a_publisher("waiting", wait, publish);
}

/// Wrong: looks, and counts itself afterwards.
fn wait_counting_last(shared: &Shared, after: TxnId) {
    let layout = shared.layout();
    while shared.visible() <= after {
        let seen = layout.visible.0.load(Relaxed);
        if id_of(seen) <= after.0 {
            futex::wait(&layout.visible.0, seen, Duration::MAX);
        }
        layout.waiters.0.fetch_add(1, AcqRel);
        layout.waiters.0.fetch_sub(1, AcqRel);
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn counted_too_late() {
    waiters_and_a_publisher("counted late", wait_counting_last, publish);
}

/// Wrong: nothing between the move and the look at the waiters.
fn publish_without_fence(shared: &Shared, id: u64) {
    let layout = shared.layout();
    let entry = entry_for(Publisher::Builder, layout.visible.0.load(Relaxed));
    layout.ring[entry].0[0].store(id, Relaxed);
    layout.visible.0.store(id << 2 | entry as u64, Release);
    if layout.waiters.0.load(Relaxed) != 0 {
        futex::wake_all(&layout.visible.0);
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn no_fence_before_the_look_at_the_waiters() {
    waiters_and_a_publisher("no fence", wait, publish_without_fence);
}

/// Wrong: a flag that whoever wakes takes down.
fn wait_by_flag(shared: &Shared, after: TxnId) {
    let layout = shared.layout();
    while shared.visible() <= after {
        layout.waiters.0.store(1, SeqCst);
        fence(SeqCst);
        let seen = layout.visible.0.load(Relaxed);
        if id_of(seen) <= after.0 {
            futex::wait(&layout.visible.0, seen, Duration::MAX);
        }
    }
}

fn publish_by_flag(shared: &Shared, id: u64) {
    let layout = shared.layout();
    let entry = entry_for(Publisher::Builder, layout.visible.0.load(Relaxed));
    layout.ring[entry].0[0].store(id, Relaxed);
    layout.visible.0.store(id << 2 | entry as u64, Release);
    fence(SeqCst);
    if layout.waiters.0.load(Relaxed) != 0 {
        futex::wake_all(&layout.visible.0);
        layout.waiters.0.store(0, SeqCst);
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_flag_that_the_waker_takes_down() {
    waiters_and_a_publisher("a flag", wait_by_flag, publish_by_flag);
}
