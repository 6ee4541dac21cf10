//! Waiters, and who wakes them.

use crate::machine::Op::*;
use crate::machine::*;
use crate::search::expect;
use crate::words::*;
use crate::{compute, constant, value};

/// futex: locs 0 visible 1 waiters(flag or counter)
fn futex(memory: Memory, kind: &'static str, kills: u8) -> Model {
    let cnt = kind.starts_with("count");
    let mut w = vec![];
    let wait = || {
        let mut v = vec![Label(1)];
        v.push(Load(Order::Acquire, constant!(0), 0));
        v.push(compute!(|r| { if r[0] >= 3 { Some(9) } else { None } }));
        if cnt {
            v.push(Label(2));
            v.push(Load(Order::Relaxed, constant!(1), 5));
            v.push(Cas(constant!(1), value!(|r| r[5]), value!(|r| r[5] + 1), 6));
            v.push(compute!(|r| { if r[6] == 0 { Some(2) } else { None } }));
        } else {
            v.push(Store(Order::Relaxed, constant!(1), constant!(1)));
        }
        if !kind.contains("nofence-wait") {
            v.push(Fence(Order::SeqCst));
        }
        v.push(Load(Order::Acquire, constant!(0), 0));
        v.push(compute!(|r| { if r[0] >= 3 { Some(8) } else { None } }));
        v.push(WaitEq(constant!(0), value!(|r| r[0])));
        v.push(Label(8));
        if cnt {
            v.push(Label(3));
            v.push(Load(Order::Relaxed, constant!(1), 5));
            v.push(Cas(constant!(1), value!(|r| r[5]), value!(|r| r[5] - 1), 6));
            v.push(compute!(|r| { if r[6] == 0 { Some(3) } else { None } }));
        }
        v.push(jmp(1));
        v.push(Label(9));
        v.push(End);
        v
    };
    for t in 2..=3u8 {
        w.push(Store(Order::Release, constant!(0), constant!(t)));
        if !kind.contains("nofence-wake") {
            w.push(Fence(Order::SeqCst));
        }
        if kind == "always" {
            w.push(Wake(constant!(0)));
        } else {
            w.push(Load(Order::Relaxed, constant!(1), 6));
            w.push(compute!(|r| { if r[6] == 0 { Some(10 + t) } else { None } }));
            if cnt {
                w.push(Wake(constant!(0)));
            } else if kind == "clear-after" {
                w.push(Wake(constant!(0)));
                w.push(Store(Order::Relaxed, constant!(1), constant!(0)));
            } else {
                w.push(Cas(constant!(1), value!(|r| r[6]), constant!(0), 7));
                w.push(Wake(constant!(0)));
            }
            w.push(Label(10 + t));
        }
    }
    w.push(End);
    model(
        memory,
        2,
        0,
        vec![(0, 1)],
        vec![
            prog("W", w, true, Z),
            prog("A", wait(), kind == "count-kill", Z),
            prog("B", wait(), false, Z),
        ],
        kills,
        names(&["visible", "waiters"]),
    )
}

/// All of it in one memory model.
pub fn run(memory: Memory) {
    let weak = memory == Memory::Views;

    expect(
        "waiter COUNTER (inc/dec by waiters), SC fence both sides, re-read",
        true,
        &futex(memory, "count", 0),
    );
    expect(
        "boolean flag swapped to 0 by the waker before the wake",
        false,
        &futex(memory, "flag", 0),
    );
    expect("boolean flag cleared after the wake", false, &futex(memory, "clear-after", 0));
    expect("wake on every publish", true, &futex(memory, "always", 0));
    expect("counter, no fence in the waker", false, &futex(memory, "count-nofence-wake", 0));
    expect(
        "counter, no fence in the waiter (RMW alone)",
        !weak,
        &futex(memory, "count-nofence-wait", 0),
    );
    expect(
        "publisher killed between store and wake (no timeout)",
        false,
        &futex(memory, "always", 1),
    );
}
