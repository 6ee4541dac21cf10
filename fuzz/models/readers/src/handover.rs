//! Reads that move to another thread, and registrations that move to another slot.

use crate::machine::Op::*;
use crate::machine::*;
use crate::search::expect;
use crate::words::*;
use crate::{compute, constant, value};

/// Send / clone.  locs 0 visible 1 slot0 2 slot1 3 msg 4,5 ring 6..8 pages
fn send(memory: Memory, kind: &'static str, scan: &'static str) -> Model {
    let nm =
        names(&["visible", "slot0", "slot1", "msg", "ring0", "ring1", "page0", "page1", "page2"]);
    let begin = |v: &mut Vec<Op>, lab: u8, slot: usize| {
        v.push(Label(lab));
        v.push(Load(Order::Acquire, constant!(0), 0));
        v.push(Load(Order::Relaxed, value!(|r| 4 + r[0] % 2), 2));
        v.push(Store(Order::Release, constant!(slot), value!(|r| r[0])));
        v.push(Fence(Order::SeqCst));
        v.push(Load(Order::Relaxed, constant!(0), 1));
        v.push(compute!(|r| { if r[0] != r[1] { Some(lab) } else { None } }));
    };
    let read = |v: &mut Vec<Op>| {
        v.push(PlainLoad(value!(|r| 6 + r[2]), 4));
        v.push(assert_that("page of a live read transaction reused", |r| r[4] == r[0]));
    };
    let mut a = vec![];
    let mut b = vec![];
    match kind {
        "send-acq" | "send-rlx" | "send-nocheck" => {
            begin(&mut a, 1, 1);
            a.push(Store(Order::Release, constant!(3), value!(|r| r[0] * 4 + r[2]))); // move txn to thread B
            if kind != "send-nocheck" {
                a.push(Load(
                    if kind == "send-acq" { Order::Acquire } else { Order::Relaxed },
                    constant!(1),
                    6,
                ));
                a.push(compute!(|r| { if r[6] != 0 { Some(9) } else { None } }));
            }
            begin(&mut a, 2, 1);
            read(&mut a);
            a.push(Store(Order::Release, constant!(1), constant!(0)));
            a.push(Label(9));
            a.push(End);
            b.push(Load(Order::Acquire, constant!(3), 0));
            b.push(compute!(|r| {
                if r[0] == 0 {
                    Some(9)
                } else {
                    r[2] = r[0] % 4;
                    r[0] /= 4;
                    None
                }
            }));
            read(&mut b);
            b.push(Store(Order::Release, constant!(1), constant!(0)));
            b.push(Label(9));
            b.push(End);
        }
        "handover-up" | "handover-down" => {
            let (x, y) = if kind == "handover-down" { (2, 1) } else { (1, 2) };
            begin(&mut a, 1, x);
            a.push(Store(Order::Release, constant!(y), value!(|r| r[0])));
            a.push(Fence(Order::SeqCst));
            a.push(Store(Order::Release, constant!(x), constant!(0)));
            read(&mut a);
            a.push(Store(Order::Release, constant!(y), constant!(0)));
            a.push(End);
            b.push(End);
        }
        _ => panic!(),
    }
    let mut w = vec![
        compute!(|r| {
            r[10] = 2;
            r[16] = 0;
            r[20] = 1;
            None
        }),
        Label(1),
        Fence(Order::SeqCst),
        Load(Order::Acquire, constant!(1), 12),
        Load(Order::Acquire, constant!(2), 13),
    ];
    if scan == "double" {
        w.push(Fence(Order::SeqCst));
        w.push(Load(Order::Acquire, constant!(1), 18));
        w.push(Load(Order::Acquire, constant!(2), 19));
    }
    w.push(compute!(|r| {
        r[15] = 255;
        for p in 0..3usize {
            let (b, d) = (r[20 + p], r[27 + p]);
            if d != 0
                && d < r[10]
                && ![r[12], r[13], r[18], r[19]].iter().any(|&s| s != 0 && b <= s && s < d)
            {
                r[15] = p as u8;
                break;
            }
        }
        if r[15] == 255 {
            for p in 0..3usize {
                if r[20 + p] == 0 {
                    r[15] = p as u8;
                    break;
                }
            }
        }
        if r[15] == 255 { Some(9) } else { None }
    }));
    w.push(PlainStore(value!(|r| 6 + r[15]), value!(|r| r[10])));
    w.push(compute!(|r| {
        let p = r[15] as usize;
        let o = r[16] as usize;
        let t = r[10];
        r[27 + o] = t;
        r[20 + p] = t;
        r[27 + p] = 0;
        r[16] = p as u8;
        None
    }));
    w.push(Fence(Order::Release));
    w.push(Store(Order::Relaxed, value!(|r| 4 + r[10] % 2), value!(|r| r[16])));
    w.push(Store(Order::Release, constant!(0), value!(|r| r[10])));
    w.push(compute!(|r| {
        r[10] += 1;
        if r[10] <= 4 { Some(1) } else { None }
    }));
    w.push(Label(9));
    w.push(End);
    model(
        memory,
        9,
        0,
        vec![(0, 1), (6, 1)],
        vec![prog("W", w, false, Z), prog("A", a, false, Z), prog("B", b, false, Z)],
        0,
        nm,
    )
}

/// All of it in one memory model.
pub fn run(memory: Memory) {
    let weak = memory == Memory::Views;

    expect(
        "moved txn; owner reuses slot when idle, Acquire load",
        true,
        &send(memory, "send-acq", ""),
    );
    expect("moved txn; Relaxed load of the idle slot", !weak, &send(memory, "send-rlx", ""));
    expect("moved txn; owner thread does not look", false, &send(memory, "send-nocheck", ""));
    expect(
        "registration handed from slot 1 to slot 0 (clone/migrate)",
        false,
        &send(memory, "handover-down", ""),
    );
    expect(
        "registration handed from slot 0 to slot 1 (with the scan)",
        true,
        &send(memory, "handover-up", ""),
    );
    expect("handover 1->0, scan done twice", true, &send(memory, "handover-down", "double"));
}
