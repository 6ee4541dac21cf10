//! Slots of the dead: cleared, and used again, while their handle's byte is locked anew.

use crate::machine::Op::*;
use crate::machine::*;
use crate::search::expect;
use crate::words::*;
use crate::{compute, constant, value};

/// kill / ABA
/// locs 0 visible 1 txn 2 owner 3,4 ring 5.. pages(3) ; locks 0 = byte h0, 1 = byte h1
fn aba(memory: Memory, clear: &'static str, open: &'static str, kills: u8) -> Model {
    let co = if open == "sweep-rlx" { Order::Relaxed } else { Order::Release };
    let nm =
        names(&["visible", "slot.txn", "slot.owner", "ring0", "ring1", "page0", "page1", "page2"]);
    let user = |_i: usize| {
        let mut v = vec![];
        v.push(TryExclusive(constant!(0), 7));
        v.push(compute!(|r| {
            r[8] = 0;
            if r[7] == 1 { Some(1) } else { None }
        }));
        v.push(TryExclusive(constant!(1), 7));
        v.push(compute!(|r| {
            r[8] = 1;
            if r[7] == 1 { Some(1) } else { Some(9) }
        }));
        v.push(Label(1));
        if open.starts_with("sweep") {
            v.push(Load(Order::Acquire, constant!(2), 6));
            v.push(compute!(|r| { if r[6] == r[8] + 1 { None } else { Some(2) } }));
            v.push(Store(co, constant!(1), constant!(0)));
            v.push(Store(Order::Release, constant!(2), constant!(0)));
            v.push(Label(2));
        }
        if open == "adopt" {
            v.push(Load(Order::Acquire, constant!(2), 6));
            v.push(compute!(|r| { if r[6] == r[8] + 1 { Some(4) } else { None } }));
        }
        v.push(Cas(constant!(2), constant!(0), value!(|r| r[8] + 1), 7));
        v.push(compute!(|r| { if r[7] == 1 { None } else { Some(9) } }));
        v.push(Label(4));
        v.push(Label(5));
        v.push(Load(Order::Acquire, constant!(0), 0));
        v.push(Load(Order::Relaxed, value!(|r| 3 + r[0] % 2), 2));
        v.push(Store(Order::Release, constant!(1), value!(|r| r[0])));
        v.push(Fence(Order::SeqCst));
        v.push(Load(Order::Relaxed, constant!(0), 1));
        v.push(compute!(|r| { if r[0] != r[1] { Some(5) } else { None } }));
        v.push(PlainLoad(value!(|r| 5 + r[2]), 4));
        v.push(assert_that("live reader lost its page", |r| r[4] == r[0]));
        v.push(Store(Order::Release, constant!(1), constant!(0)));
        if open == "relaxed-release" {
            v.push(Store(Order::Relaxed, constant!(2), constant!(0)));
        } else {
            v.push(Store(Order::Release, constant!(2), constant!(0)));
        }
        v.push(Unlock(value!(|r| r[8])));
        v.push(Label(9));
        v.push(End);
        v
    };
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
    ];
    w.push(compute!(|r| { if r[12] == 0 || r[12] == r[10] - 1 { Some(3) } else { None } }));
    // some old snapshot pinned: is its owner dead?
    w.push(Load(Order::Acquire, constant!(2), 13));
    w.push(compute!(|r| { if r[13] == 0 { Some(3) } else { None } }));
    match clear {
        "getlk-store" => {
            w.push(AskLock(value!(|r| r[13] - 1), 14));
            w.push(compute!(|r| { if r[14] != 0 { Some(3) } else { None } }));
            w.push(Store(co, constant!(1), constant!(0)));
            w.push(Store(Order::Release, constant!(2), constant!(0)));
            w.push(compute!(|r| {
                r[12] = 0;
                None
            }));
        }
        "getlk-ignore" => {
            w.push(AskLock(value!(|r| r[13] - 1), 14));
            w.push(compute!(|r| {
                if r[14] != 0 {
                    Some(3)
                } else {
                    r[12] = 0;
                    None
                }
            }));
        }
        "getlk-cas" => {
            w.push(AskLock(value!(|r| r[13] - 1), 14));
            w.push(compute!(|r| { if r[14] != 0 { Some(3) } else { None } }));
            w.push(Cas(constant!(2), value!(|r| r[13]), constant!(9), 15));
            w.push(compute!(|r| { if r[15] == 0 { Some(3) } else { None } }));
            w.push(Store(co, constant!(1), constant!(0)));
            w.push(Store(Order::Release, constant!(2), constant!(0)));
            w.push(compute!(|r| {
                r[12] = 0;
                None
            }));
        }
        "setlk" | "setlk-norecheck" => {
            w.push(TryExclusive(value!(|r| r[13] - 1), 14));
            w.push(compute!(|r| { if r[14] == 0 { Some(3) } else { None } }));
            if clear == "setlk" {
                w.push(Load(Order::Acquire, constant!(2), 15));
                w.push(compute!(|r| { if r[15] != r[13] { Some(6) } else { None } }));
            }
            w.push(Store(co, constant!(1), constant!(0)));
            w.push(Store(Order::Release, constant!(2), constant!(0)));
            w.push(compute!(|r| {
                r[12] = 0;
                None
            }));
            w.push(Label(6));
            w.push(Unlock(value!(|r| r[13] - 1)));
        }
        _ => panic!(),
    }
    w.push(Label(3));
    w.push(compute!(|r| {
        r[15] = 255;
        for p in 0..3usize {
            let (b, d, s) = (r[20 + p], r[27 + p], r[12]);
            if d != 0 && d < r[10] && !(s != 0 && b <= s && s < d) {
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
    w.push(PlainStore(value!(|r| 5 + r[15]), value!(|r| r[10])));
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
    w.push(Store(Order::Relaxed, value!(|r| 3 + r[10] % 2), value!(|r| r[16])));
    w.push(Store(Order::Release, constant!(0), value!(|r| r[10])));
    w.push(compute!(|r| {
        r[10] += 1;
        if r[10] <= 5 { Some(1) } else { None }
    }));
    w.push(Label(9));
    w.push(End);
    let mut m = model(
        memory,
        8,
        2,
        vec![(0, 1), (5, 1)],
        vec![prog("W", w, false, Z), prog("P1", user(0), true, Z), prog("P2", user(1), true, Z)],
        kills,
        nm,
    );
    m.max = 6_000_000;
    m
}

/// All of it in one memory model.
pub fn run(memory: Memory) {
    let weak = memory == Memory::Views;

    expect(
        "clear under SETLK of the byte + owner re-read, opener sweeps",
        true,
        &aba(memory, "setlk", "sweep", 2),
    );
    expect(
        "same, but the clearing store of idle is Relaxed",
        !weak,
        &aba(memory, "setlk", "sweep-rlx", 2),
    );
    expect("same, 0 kills (orderly release of the slot)", true, &aba(memory, "setlk", "sweep", 0));
    expect(
        "clear under SETLK, no owner re-read",
        false,
        &aba(memory, "setlk-norecheck", "sweep", 2),
    );
    expect("GETLK then store, opener sweeps", false, &aba(memory, "getlk-store", "sweep", 2));
    expect(
        "GETLK then CAS owner (no generation), opener sweeps",
        false,
        &aba(memory, "getlk-cas", "sweep", 2),
    );
    expect(
        "GETLK then CAS owner, opener adopts the dead slot",
        false,
        &aba(memory, "getlk-cas", "adopt", 2),
    );
    expect(
        "GETLK then ignore the slot (value not re-read)",
        true,
        &aba(memory, "getlk-ignore", "sweep", 2),
    );
    expect(
        "SETLK, slot released with owner=0 Relaxed",
        !weak,
        &aba(memory, "setlk", "relaxed-release", 0),
    );
}
