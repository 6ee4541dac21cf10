//! Who comes first makes the lock file; the others wait until it is ready.

use crate::machine::Op::*;
use crate::machine::*;
use crate::search::expect;
use crate::words::*;
use crate::{compute, constant};

/// lock file init: locs 0 ready 1 w0 2 w1 ; lock 0 = gate
fn init(memory: Memory, kind: &'static str, kills: u8) -> Model {
    let user = |id: u8| {
        let mut v = vec![];
        if kind == "open-mutex" {
            v.push(LockExclusive(constant!(1)));
        }
        v.extend([
            Label(1),
            compute!(|r| {
                r[9] += 1;
                if r[9] > 3 { Some(9) } else { None }
            }),
            TryExclusive(constant!(0), 7),
            compute!(|r| { if r[7] == 1 { Some(2) } else { Some(3) } }),
            Label(5),
            jmp(1),
        ]);
        v.push(Label(2));
        if kind != "no-reset" {
            v.push(Store(Order::Release, constant!(0), constant!(0)));
        }
        v.push(Store(Order::Relaxed, constant!(1), constant!(id)));
        v.push(Store(Order::Relaxed, constant!(2), constant!(id)));
        v.push(Store(Order::Release, constant!(0), constant!(1)));
        if kind == "unlock-relock" {
            v.push(Unlock(constant!(0)));
            v.push(LockShared(constant!(0)));
        } else {
            v.push(TryShared(constant!(0), 7));
        }
        v.push(jmp(4));
        v.push(Label(3));
        if kind == "open-mutex" {
            v.push(TryShared(constant!(0), 7));
            v.push(compute!(|r| { if r[7] == 1 { Some(4) } else { Some(5) } }));
        }
        v.push(LockShared(constant!(0)));
        if kind != "no-ready-check" {
            v.push(Load(Order::Acquire, constant!(0), 6));
            v.push(compute!(|r| { if r[6] == 1 { Some(4) } else { None } }));
            v.push(Unlock(constant!(0)));
            v.push(jmp(1));
        }
        v.push(Label(4));
        if kind == "open-mutex" {
            v.push(Unlock(constant!(1)));
        }
        v.push(Load(Order::Relaxed, constant!(1), 2));
        v.push(Load(Order::Relaxed, constant!(2), 3));
        v.push(assert_that("half-initialised lock file in use", |r| r[2] == r[3] && r[2] != 9));
        v.push(Load(Order::Relaxed, constant!(1), 4));
        v.push(Load(Order::Relaxed, constant!(2), 8));
        v.push(assert_that("lock file re-initialised under a user", |r| {
            r[2] == r[4] && r[3] == r[8]
        }));
        v.push(Unlock(constant!(0)));
        v.push(Label(9));
        if kind == "open-mutex" {
            v.push(Unlock(constant!(1)));
        }
        v.push(End);
        v
    };
    // start: stale file: ready=1 from a previous boot with garbage 9,7 (boot id mismatch is part of
    // the EX path)
    let mut m = model(
        memory,
        3,
        2,
        vec![
            (0, if kind == "stale-ready" || kind == "open-mutex" { 1 } else { 0 }),
            (1, 9),
            (2, 7),
        ],
        vec![prog("P", user(1), true, Z), prog("Q", user(2), true, Z), prog("S", user(3), true, Z)],
        kills,
        names(&["ready", "w0", "w1"]),
    );
    m.max = 4_000_000;
    m
}

/// All of it in one memory model.
pub fn run(memory: Memory) {
    expect("EX gate, init, ready last, downgrade; 3 procs, 2 kills", true, &init(memory, "", 2));
    expect(
        "open-mutex byte + EX/SH gate, stale ready=1 file, 3 procs 2 kills",
        true,
        &init(memory, "open-mutex", 2),
    );
    expect(
        "no open-mutex: stale file, ready left set by the dead session",
        false,
        &init(memory, "stale-ready", 2),
    );
    expect("no ready check", false, &init(memory, "no-ready-check", 1));
    expect("unlock + relock instead of downgrade", false, &init(memory, "unlock-relock", 2));
}
