//! Leases, claims of slots, deaths and openings. A builder stores to the first page that a scan
//! allows.

use super::explore;
use super::machine::{Machine, Process, Writer, end, look_twice, read};
use crate::error::Error;
use crate::shared::core::{self, Begun};
use crate::shared::layout::{HANDLES, KEPT, byte};
use crate::shared::{Reading, Shared};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

/// How a thread ends its read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Right,
    /// Whoever takes the slot next, or sees it idle, is not ordered after this read.
    Relaxed,
}

fn end_as(ending: Ending, shared: &Shared, mut reading: Reading) {
    match ending {
        Ending::Right => end(shared, &mut reading.lease),
        Ending::Relaxed => {
            let lease = reading.lease.index;
            let slot = shared.leases.slot(lease).unwrap_or_else(|| lease - KEPT);
            shared.slot(slot).txn.store(0, Relaxed);
        }
    }
}

/// Two threads of one handle, which has claimed a slot, and a builder in another process.
fn two_threads_share_leases(name: &str, ending: Ending) {
    explore(name, 2, move || {
        let machine = Machine::new();
        let builder = Process::new(&machine, 0).open();
        let readers = Arc::new(Process::new(&machine, 1).open());
        read(&machine, &readers);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (machine, readers) = (machine.clone(), readers.clone());
                thread::spawn(move || {
                    let reading = readers.begin_read().unwrap();
                    look_twice(&machine, &reading);
                    end_as(ending, &readers, reading);
                })
            })
            .collect();
        Writer::new().build_visibly(&machine, &builder, 3);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(builder.scan().unwrap().readers, []);
    });
}

#[test]
fn threads_take_turns_with_a_slot() {
    two_threads_share_leases("leases", Ending::Right);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_slot_left_without_release() {
    two_threads_share_leases("slot left relaxed", Ending::Relaxed);
}

/// A process claims its first slot while a builder scans.
fn a_first_claim(name: &str, begin: fn(&Shared) -> Reading) {
    explore(name, 3, move || {
        let machine = Machine::new();
        let builder = Process::new(&machine, 0).open();
        let reader = Process::new(&machine, 1).open();
        let thread = thread::spawn({
            let machine = machine.clone();
            move || {
                let mut reading = begin(&reader);
                look_twice(&machine, &reading);
                end(&reader, &mut reading.lease);
            }
        });
        Writer::new().build_visibly(&machine, &builder, 3);
        thread.join().unwrap();
        assert_eq!(builder.scan().unwrap().readers, []);
    });
}

/// Two processes claim at the same time.
fn two_claims(name: &str, begin: fn(&Shared) -> Reading) {
    explore(name, 3, move || {
        let machine = Machine::new();
        let claim = move |shared: &Shared| {
            let mut reading = begin(shared);
            let slot = shared.leases.slot(reading.lease.index);
            end(shared, &mut reading.lease);
            slot
        };
        let [one, two] = [0, 1].map(|number| Process::new(&machine, number).open());
        let thread = thread::spawn(move || (claim(&one), one));
        let second = claim(&two);
        let (first, _one) = thread.join().unwrap();
        assert_ne!(first, second, "one slot for two");
    });
}

#[test]
fn a_scan_looks_far_enough() {
    a_first_claim("first claim", |shared| shared.begin_read().unwrap());
}

#[test]
fn processes_claim_slots_of_their_own() {
    two_claims("claims", |shared| shared.begin_read().unwrap());
}

/// Wrong: claims a slot and begins, and only then says how far a scan has to look.
fn begin_before_the_mark(shared: &Shared) -> Reading {
    let layout = shared.layout();
    let owner = shared.index.unwrap() + 1;
    let free = |slot: u32| {
        let word = &layout.slots[slot as usize].owner;
        word.compare_exchange(0, owner, AcqRel, Relaxed).is_ok()
    };
    let slot = (0..2).find(|&slot| free(slot)).unwrap();
    let begin = |slot| core::begin(layout, &shared.slot(slot).txn, 10);
    let Some((lease, Begun::At(descriptor))) = shared.leases.add(|| Ok(slot), begin).unwrap()
    else {
        panic!()
    };
    layout.slots_used.0.fetch_max(u64::from(slot) + 1, SeqCst);
    crate::shared::readers::reading(lease, descriptor)
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_mark_raised_after_the_begin() {
    a_first_claim("late mark", begin_before_the_mark);
}

/// Wrong: two take the slot that both have seen free.
fn begin_without_exchange(shared: &Shared) -> Reading {
    let layout = shared.layout();
    let slot = (0..2).find(|&i| layout.slots[i].owner.load(Acquire) == 0).unwrap() as u32;
    layout.slots_used.0.fetch_max(u64::from(slot) + 1, SeqCst);
    layout.slots[slot as usize].owner.store(shared.index.unwrap() + 1, Release);
    let begin = |slot| core::begin(layout, &shared.slot(slot).txn, 10);
    let Some((lease, Begun::At(descriptor))) = shared.leases.add(|| Ok(slot), begin).unwrap()
    else {
        panic!()
    };
    crate::shared::readers::reading(lease, descriptor)
}

#[test]
#[should_panic(expected = "one slot for two")]
fn a_claim_that_is_no_exchange() {
    two_claims("claim by store", begin_without_exchange);
}

/// Two threads of one handle read at the same time: the second has a slot for one read, which
/// another process claims when it is given back, while a builder scans. One slot is kept, and there
/// are two.
fn a_slot_changes_hands(name: &str, give_back: fn(&Shared, Reading)) {
    explore(name, 3, move || {
        let machine = Machine::new();
        let builder = Process::new(&machine, 0).open();
        let first = Process::new(&machine, 1).open();
        let second = Process::new(&machine, 2).open();
        let mut kept = first.begin_read().unwrap();
        let once = first.begin_read().unwrap();
        assert!(once.lease.index >= KEPT && kept.lease.index < KEPT);
        let giver = thread::spawn({
            let machine = machine.clone();
            move || {
                look_twice(&machine, &once);
                give_back(&first, once);
                end(&first, &mut kept.lease);
                first
            }
        });
        let taker = thread::spawn({
            let machine = machine.clone();
            move || {
                match second.begin_read() {
                    Ok(mut reading) => {
                        look_twice(&machine, &reading);
                        end(&second, &mut reading.lease);
                    }
                    // Too early.
                    Err(e) => assert!(matches!(e, Error::ReadersFull { .. }), "{e}"),
                }
                second
            }
        });
        Writer::new().build_visibly(&machine, &builder, 3);
        let _first = giver.join().unwrap();
        let _second = taker.join().unwrap();
    });
}

#[test]
fn a_slot_for_one_read_is_given_back() {
    a_slot_changes_hands("given back", |shared, mut reading| end(shared, &mut reading.lease));
}

/// Wrong: the next owner reads already when the slot becomes idle.
fn owner_first(shared: &Shared, reading: Reading) {
    let slot = shared.slot(reading.lease.index - KEPT);
    slot.owner.store(0, Release);
    slot.txn.store(0, Release);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_slot_given_back_before_it_is_idle() {
    a_slot_changes_hands("given back too early", owner_first);
}

/// Wrong: who claims the slot is not ordered behind the read that has ended in it, nor is a
/// builder.
fn give_back_relaxed(shared: &Shared, reading: Reading) {
    let slot = shared.slot(reading.lease.index - KEPT);
    slot.txn.store(0, Relaxed);
    slot.owner.store(0, Relaxed);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_slot_given_back_without_release() {
    a_slot_changes_hands("given back relaxed", give_back_relaxed);
}

/// A reader dies while it reads; a new process comes, under the dead one's index or another, and
/// reads; a builder clears the dead and builds. In the end no slot is lost.
fn a_death(name: &str, preemptions: usize, clear: fn(&Shared)) {
    explore(name, preemptions, move || {
        let machine = Machine::new();
        let dying = Process::new(&machine, 0);
        let lost = dying.open();
        let builder = Process::new(&machine, 1).open();
        let reading = lost.begin_read().unwrap();
        let dead = thread::spawn({
            let machine = machine.clone();
            move || {
                look_twice(&machine, &reading);
                dying.die();
                drop(lost);
            }
        });
        let comer = thread::spawn({
            let machine = machine.clone();
            move || {
                let shared = Process::new(&machine, 2).open();
                read(&machine, &shared);
            }
        });
        let mut writer = Writer::new();
        writer.build_visibly(&machine, &builder, 2);
        clear(&builder);
        writer.build_visibly(&machine, &builder, 4);
        dead.join().unwrap();
        comer.join().unwrap();
        builder.clear_dead().unwrap();
        assert_eq!(builder.scan().unwrap().readers, [], "a slot of the dead was left");
    });
}

#[test]
fn the_dead_are_cleared_while_others_come() {
    a_death("a death", 2, |shared| assert!(shared.clear_dead().unwrap() <= 1));
}

/// Wrong: asks whether the handle is dead instead of taking its place.
fn clear_after_asking(shared: &Shared) {
    for index in (0..HANDLES).filter(|&i| Some(i) != shared.index) {
        let life = byte::handle(index);
        if shared.platform().locks().held_elsewhere(life, life).unwrap().is_some() {
            continue;
        }
        for slot in &shared.layout().slots {
            if slot.owner.load(Acquire) == index + 1 {
                slot.txn.store(0, Release);
                slot.owner.store(0, Release);
            }
        }
    }
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_dead_cleared_without_their_lock() {
    a_death("cleared after asking", 3, clear_after_asking);
}

/// Processes that come, read and go at the same time: one of them is alone, and ready before others
/// pass.
#[test]
fn openings_run_one_after_another() {
    explore("openings", 2, || {
        let machine = Machine::new();
        let ready = Arc::new(UnsafeCell::new(0));
        let come = move |machine: Arc<Machine>, ready: Arc<UnsafeCell<u32>>, number| {
            let init = |shared: &Shared, _: &_, _| {
                machine.stamp(0, 1);
                // SAFETY: used inside the closure only; who is alone is what the model asks.
                ready.with_mut(|p| unsafe { *p += 1 });
                if shared.visible().0 == 0 {
                    shared.publish_built(&super::machine::snapshot(1, 0))?;
                }
                Ok(())
            };
            let process = Process::new(&machine, number);
            let timeout = std::time::Duration::from_secs(3600);
            let (shared, _) = Shared::attach(process, [0; 16], 0, timeout, init).unwrap();
            // SAFETY: as above.
            assert!(ready.with(|p| unsafe { *p }) > 0);
            assert_eq!(read(&machine, &shared), 1);
        };
        let threads: Vec<_> = (0..2)
            .map(|number| {
                let (machine, ready) = (machine.clone(), ready.clone());
                thread::spawn(move || come(machine, ready, number))
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}
