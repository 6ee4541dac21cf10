//! Power loss, failing syncs and dying processes, over the real engine on a simulated machine.
//!
//! One workload is run again and again. At every event (write, store, growth, sync, named step of a protocol) the power
//! fails in many ways, or the process dies, or a sync fails, or another process gets a turn; each time the database must hold
//! exactly one of the states that it may hold, check clean, and go on working, also after a second cut
//! during recovery.

mod oracle;
mod workload;
mod world;

use oracle::Oracle;
use recto::harness::sim::{Action, EventKind, Faults, SPECIAL_SEEDS};
use recto::{Durability, Sink};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use workload::{script, short_script};
use world::{Setup, World, recover};

/// Random outcomes of a cut, beside the chosen ones; `RECTO_CUT_SEEDS` for longer runs.
fn random_seeds() -> u64 {
    std::env::var("RECTO_CUT_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6)
}

/// Runs the workload once and cuts the power at every event.
fn cut_everywhere(setup: Setup, faults: Faults, second_every: u64) {
    let mut world = World::new(setup);
    let cuts = Arc::new(AtomicU64::new(0));
    let (oracle, counter) = (world.oracle.clone(), cuts.clone());
    world.disk.set_faults(faults);
    world.disk.set_hook(move |disk, event| {
        if event.depth == 0 {
            let cut = disk.cut_point();
            let allowed = oracle.lock().unwrap().after_power_loss();
            let settled = cut.is_settled();
            let seeds = if settled { 0..1 } else { 0..SPECIAL_SEEDS + random_seeds() };
            for seed in seeds {
                // A random seed differs from event to event.
                let seed = if seed < SPECIAL_SEEDS { seed } else { seed + event.index * 1000 };
                let n = counter.fetch_add(1, Relaxed);
                let what = || format!("event {} {:?}, seed {seed}", event.index, event.kind);
                let second = n % second_every == 0;
                recover(&cut, seed, setup, &allowed, second, &what);
            }
        }
        Action::Continue
    });
    script(&mut world);
    world.disk.clear_hook();
    world.finish();
    let cuts = cuts.load(Relaxed);
    println!("{cuts} cuts at {} events", world.disk.counters().events);
    assert!(cuts > 5_000, "the workload has become too small: {cuts} cuts");
    // With larger pages the tables fill fewer, and too few are free in the end to be given back.
    let c = world.disk.counters();
    let shrinks = c.truncates > 0 || setup.page_size > 4096;
    assert!(shrinks && c.grows > 3, "the file does not grow and shrink: {c:?}");
}

const STAGED: Setup = Setup { page_size: 4096, sink: Sink::Staged };
const DIRECT: Setup = Setup { page_size: 4096, sink: Sink::Direct };

#[test]
fn cuts_everywhere_staged() {
    cut_everywhere(STAGED, Faults::default(), 40);
}

#[test]
fn cuts_everywhere_direct() {
    cut_everywhere(DIRECT, Faults::default(), 40);
}

#[test]
fn cuts_everywhere_with_early_write_back_of_large_folios() {
    let faults = Faults { write_back: 4_000, folio_pages: 4, ..Faults::default() };
    cut_everywhere(STAGED, faults, 60);
}

#[test]
fn cuts_everywhere_with_large_pages() {
    cut_everywhere(Setup { page_size: 16384, sink: Sink::Staged }, Faults::default(), 60);
}

/// Runs the short workload once for each event of it, with something done at that event.
fn at_each_event(setup: Setup, act: impl Fn(&World, u64) -> u64) -> u64 {
    let total = {
        let mut world = World::new(setup);
        let first = world.disk.counters().events;
        short_script(&mut world);
        world.finish();
        first..world.disk.counters().events
    };
    let mut happened = 0;
    for index in total {
        let mut world = World::new(setup);
        let hits = Arc::new(AtomicU64::new(0));
        world.hits = hits.clone();
        act(&world, index);
        short_script(&mut world);
        world.disk.clear_hook();
        world.context = format!("event {index}");
        world.finish();
        world.cut_at_the_end();
        happened += hits.load(Relaxed);
    }
    happened
}

fn kill_at_each_event(setup: Setup) {
    let kills = at_each_event(setup, |world, index| {
        let hits = world.hits.clone();
        world.disk.set_hook(move |_, event| {
            if event.index == index && event.depth == 0 {
                hits.fetch_add(1, Relaxed);
                return Action::Kill;
            }
            Action::Continue
        });
        0
    });
    assert!(kills > 200, "{kills}");
}

#[test]
fn processes_die_everywhere_staged() {
    kill_at_each_event(STAGED);
}

#[test]
fn processes_die_everywhere_direct() {
    kill_at_each_event(DIRECT);
}

#[test]
fn everybody_dies_and_the_system_lives() {
    for keep_lock_file in [true, false] {
        let total = {
            let mut world = World::new(STAGED);
            short_script(&mut world);
            world.disk.counters().events
        };
        for index in 0..total {
            let mut world = World::new(STAGED);
            world.disk.set_hook(
                move |_, event| {
                    if event.index == index { Action::Kill } else { Action::Continue }
                },
            );
            world.stop_after_death = true;
            short_script(&mut world);
            world.disk.clear_hook();
            world.context = format!("event {index}, lock file kept: {keep_lock_file}");
            world.restart_os_alive(keep_lock_file);
            short_script(&mut world);
            world.finish();
            world.cut_at_the_end();
        }
    }
}

fn fail_syncs(setup: Setup, times: u64, extra: Faults, die: bool) {
    let failed = at_each_event(setup, |world, index| {
        let hits = world.hits.clone();
        world.disk.set_faults(extra);
        let left = Mutex::new(times);
        world.oracle.lock().unwrap().syncs_may_fail = true;
        world.disk.set_hook(move |_, event| {
            let mut left = left.lock().unwrap();
            let sync = matches!(event.kind, EventKind::SyncBegin { .. });
            if event.index >= index && *left > 0 && sync && event.depth == 0 {
                *left -= 1;
                hits.fetch_add(1, Relaxed);
                return Action::Fail(5);
            }
            // The process may die right after the failure, before it has told anybody.
            if die && *left == 0 && hits.load(Relaxed) == times && event.depth == 0 {
                hits.fetch_add(1000, Relaxed);
                return Action::Kill;
            }
            Action::Continue
        });
        0
    });
    assert!(failed > 50, "{failed}");
}

#[test]
fn a_sync_fails() {
    fail_syncs(STAGED, 1, Faults::default(), false);
}

#[test]
fn a_sync_fails_direct() {
    fail_syncs(DIRECT, 1, Faults::default(), false);
}

#[test]
fn syncs_fail_for_a_while_and_lost_pages_leave_the_cache() {
    fail_syncs(STAGED, 3, Faults { evict: 8_000, ..Faults::default() }, false);
}

#[test]
fn a_sync_fails_and_the_process_dies() {
    fail_syncs(STAGED, 1, Faults { evict: 4_000, ..Faults::default() }, true);
}

/// At every event of one process another one gets a turn: commits of all kinds are built while a flush runs, while a
/// meta is written, while a repair is under way. The power fails at what follows.
#[test]
fn another_process_gets_a_turn_everywhere() {
    for (n, durability) in [Durability::Deferred, Durability::Durable].into_iter().enumerate() {
        let turns = at_each_event(STAGED, |world, index| {
            let (oracle, other, hits) = (world.oracle.clone(), world.guest(), world.hits.clone());
            let done = AtomicU64::new(0);
            world.disk.set_hook(move |disk, event| {
                if event.depth > 0 {
                    return Action::Continue;
                }
                if event.index == index {
                    // Three, so that what the first frees could be reused by the third.
                    for round in 0..3 {
                        let key = format!("guest{n}");
                        let work = |t: &mut oracle::Txn| {
                            t.put("guest", &key, 40 + round);
                            t.put("main", "key0003", 60 + round);
                        };
                        if Oracle::commit(&oracle, &other, durability, work) {
                            hits.fetch_add(1, Relaxed);
                        }
                    }
                } else if event.index > index && done.fetch_add(1, Relaxed) < 12 {
                    let cut = disk.cut_point();
                    let allowed = oracle.lock().unwrap().after_power_loss();
                    let what =
                        || format!("turn at {index}, cut at {} {:?}", event.index, event.kind);
                    for seed in [0, 1, 2, 3, 4, 5, event.index * 1000 + 77] {
                        recover(&cut, seed, STAGED, &allowed, false, &what);
                    }
                }
                Action::Continue
            });
            0
        });
        assert!(turns > 50, "{turns}");
    }
}

/// A disk that is full at every size: errors, nothing lost, and all is well once there is room.
#[test]
fn the_disk_is_full_at_every_size() {
    let mut needed = 0;
    for pages in 2.. {
        let mut world = World::new(STAGED);
        world.oracle.lock().unwrap().disk_may_be_full = true;
        world.disk.set_disk_limit(Some(pages * 4096));
        script(&mut world);
        let failed = world.failed_for_room();
        world.context = format!("disk of {pages} pages");
        world.finish();
        world.cut_at_the_end();
        if !failed {
            break;
        }
        needed = pages;
    }
    assert!(needed > 60, "{needed}");
}
