//! Snapshots that are opened by their id.

use crate::machine::Op::*;
use crate::machine::*;
use crate::search::expect;
use crate::words::*;
use crate::{compute, constant, value};

/// named snapshot: locs 0 visible 1 slotN 2 delgen 3 page0(of named snapshot 1) 4 slotV ; writer
/// deletes the name at txn 2, then reuses its page at txn 3. In slotV the named snapshot is 9: as
/// the one that it was named in, it has its own number there
fn named(memory: Memory, kind: &'static str) -> Model {
    // reader looked the name up in snapshot 1 (registered or not); registers id 1 in its slot;
    // rechecks
    let mut a = vec![
        Load(Order::Acquire, constant!(0), 0),
        compute!(|r| { if r[0] >= 2 { Some(9) } else { None } }),
        Store(Order::Release, constant!(1), constant!(1)),
        Fence(Order::SeqCst),
    ];
    if kind == "recheck" {
        a.push(Load(Order::Acquire, constant!(2), 1));
        a.push(compute!(|r| { if r[1] > r[0] { Some(8) } else { None } }));
    }
    a.push(PlainLoad(constant!(3), 4));
    a.push(assert_that("named snapshot's page reused", |r| r[4] == 1));
    a.push(Label(8));
    a.push(Store(Order::Release, constant!(1), constant!(0)));
    a.push(Label(9));
    a.push(End);
    let mut p = vec![];
    if kind == "via-parent" {
        p = vec![
            Label(1),
            Load(Order::Acquire, constant!(0), 0),
            compute!(|r| { if r[0] >= 2 { Some(9) } else { None } }),
            Store(Order::Release, constant!(4), value!(|r| r[0])),
            Fence(Order::SeqCst),
            Load(Order::Relaxed, constant!(0), 1),
            compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }),
            Store(Order::Release, constant!(1), constant!(1)),
            Fence(Order::SeqCst),
            Store(Order::Release, constant!(4), constant!(0)),
            PlainLoad(constant!(3), 4),
            assert_that("named snapshot's page reused", |r| r[4] == 1),
            Store(Order::Release, constant!(1), constant!(0)),
            Label(9),
            End,
        ];
    }
    if kind == "moved" || kind == "left and came" {
        p = vec![
            Label(1),
            Load(Order::Acquire, constant!(0), 0),
            compute!(|r| { if r[0] >= 2 { Some(9) } else { None } }),
            Store(Order::Release, constant!(4), value!(|r| r[0])),
            Fence(Order::SeqCst),
            Load(Order::Relaxed, constant!(0), 1),
            compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }),
        ];
        if kind == "left and came" {
            p.push(Store(Order::Release, constant!(4), constant!(0)));
        }
        p.extend([
            Store(Order::Release, constant!(4), constant!(9)),
            PlainLoad(constant!(3), 4),
            assert_that("named snapshot's page reused", |r| r[4] == 1),
            Store(Order::Release, constant!(4), constant!(0)),
            Label(9),
            End,
        ]);
    }
    let p = if p.is_empty() { a } else { p };
    let mut w = vec![
        Store(Order::Release, constant!(2), constant!(2)),
        Store(Order::Release, constant!(0), constant!(2)),
    ];
    w.push(Fence(Order::SeqCst));
    w.push(Load(Order::Acquire, constant!(1), 5));
    w.push(Load(Order::Acquire, constant!(4), 6));
    w.push(compute!(|r| { if r[5] != 0 || r[6] == 1 || r[6] == 9 { Some(9) } else { None } }));
    w.push(PlainStore(constant!(3), constant!(3)));
    w.push(Label(9));
    w.push(End);
    model(
        memory,
        5,
        0,
        vec![(0, 1), (3, 1)],
        vec![prog("W", w, false, Z), prog("R", p, false, Z)],
        0,
        names(&["visible", "slotN", "delgen", "page", "slotV"]),
    )
}

/// All of it in one memory model.
pub fn run(memory: Memory) {
    expect("open by id without recheck", false, &named(memory, "plain"));
    expect("open, fence, recheck deletion mark", true, &named(memory, "recheck"));
    expect(
        "held parent registration in a HIGHER slot, then drop it",
        false,
        &named(memory, "via-parent"),
    );
    expect("moves over in the parent's slot (rule 38)", true, &named(memory, "moved"));
    expect("the same, idle in between", false, &named(memory, "left and came"));
}
