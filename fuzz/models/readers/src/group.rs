//! Group commit: a builder, a flusher and a reader; which frees a builder may use again while
//! visible, durable and the flush target lie apart.

use crate::machine::Op::*;
use crate::machine::*;
use crate::search::expect;
use crate::words::*;
use crate::{compute, constant, value};

/// group commit: builder B, flusher Value, reader Registers. one-node tree (root page per txn), np
/// pages locs: 0 visible(txn*2+side) 1 built 2 fpin 3 durable 4 slot 5..8 ring side0 w0,w1 side1
/// w0,w1 ; 9..9+n bdesc[txn] ; pages
#[derive(Clone)]
struct Variant {
    memory: Memory,
    deferred: bool,
    rule: &'static str,
    fl: &'static str,
    ring: &'static str,
    commits: u8,
    np: usize,
    readers: bool,
    flushes: u8,
    two: bool,
}

fn group(g: &Variant) -> Model {
    let n = g.commits as usize + 2;
    let bd = 9usize;
    let pg = bd + n;
    let locations = pg + g.np;
    let mut nm = names(&[
        "visible", "built", "fpin", "durable", "slot", "ring0a", "ring0b", "ring1a", "ring1b",
    ]);
    for i in 0..n {
        nm.push(format!("desc{}", i))
    }
    for i in 0..g.np {
        nm.push(format!("page{}", i))
    }
    let np = g.np;
    let (rule, fl, ringm, cm, defer, two) = (g.rule, g.fl, g.ring, g.commits, g.deferred, g.two);
    let pubseq = move |v: &mut Vec<Op>, txn: usize, root: usize| {
        // publish txn in reg `txn` with root reg; needs reg 40 = current visible word
        v.push(Load(Order::Relaxed, constant!(0), 40));
        v.push(Fence(Order::Release));
        let side = move |r: &Registers| -> u8 {
            if ringm == "flip" { 1 - (r[40] & 1) } else { r[txn] % 2 }
        };
        v.push(Store(Order::Relaxed, value!(|r| 5 + 2 * side(r)), value!(|r| r[root])));
        v.push(Store(Order::Relaxed, value!(|r| 6 + 2 * side(r)), value!(|r| r[root])));
        v.push(Store(Order::Release, constant!(0), value!(|r| r[txn] * 2 + side(r))));
    };
    // builder regs: 10 w, 11 V0, 12 slot, 13 fpin, 14 V1, 15 pick, 16 root, 17 durable, B 20.., D
    // 27..
    let mut b = vec![
        compute!(|r| {
            r[10] = 2;
            r[16] = 0;
            r[20] = 1;
            None
        }),
        Label(1),
    ];
    if rule == "V-after" {
        b.push(Fence(Order::SeqCst));
        b.push(Load(Order::Acquire, constant!(4), 12));
        b.push(Load(Order::Acquire, constant!(0), 11));
        b.push(Load(Order::Acquire, constant!(2), 13));
        b.push(Load(Order::Acquire, constant!(3), 17));
        b.push(compute!(|r| {
            r[14] = r[11];
            None
        }));
    } else {
        b.push(Load(Order::Acquire, constant!(0), 11));
        b.push(Fence(Order::SeqCst));
        b.push(Load(Order::Acquire, constant!(4), 12));
        if rule != "pins-reversed" {
            b.push(Load(Order::Acquire, constant!(2), 13));
            b.push(Load(Order::Acquire, constant!(3), 17));
        } else {
            b.push(Load(Order::Acquire, constant!(3), 17));
            b.push(Load(Order::Acquire, constant!(2), 13));
        }
        b.push(Load(Order::Acquire, constant!(0), 14));
    }
    b.push(compute!(|r| {
        r[11] /= 2;
        r[14] /= 2;
        r[12] /= 2;
        r[19] = 0;
        None
    }));
    b.push(Label(2));
    b.push(compute!(|r| {
        r[15] = 255;
        for p in 0..np {
            let (bb, d) = (r[20 + p], r[27 + p]);
            if d == 0 {
                continue;
            }
            let hit = |s: u8| s != 0 && bb <= s && s < d;
            let (v0, sl, fp, v1, du) = (r[11], r[12], r[13], r[14], r[17]);
            let ok = match rule {
                "V0" | "V-after" | "pins-reversed" => d <= v0 && !hit(sl) && !hit(fp) && !hit(du),
                "V0-nofpin" => d <= v0 && !hit(sl) && !hit(du),
                "built" => d < r[10] && !hit(sl) && !hit(v0) && !hit(v1) && !hit(du),
                "limit-w" => d <= r[10] && !hit(sl) && !hit(fp) && !hit(du),
                "built-any" => d < r[10] && !hit(sl) && !hit(fp) && !hit(du),
                "between" => {
                    !hit(sl)
                        && !hit(fp)
                        && !hit(du)
                        && (d <= v0 || (d < r[10] && bb > v0 && v0 == v1))
                }
                "between-noV1" => {
                    !hit(sl) && !hit(fp) && !hit(du) && (d <= v0 || (d < r[10] && bb > v0))
                }
                "between-nofpin" => {
                    !hit(sl) && !hit(du) && (d <= v0 || (d < r[10] && bb > v0 && v0 == v1))
                }
                _ => panic!(),
            };
            if ok {
                r[15] = p as u8;
                break;
            }
        }
        if r[15] == 255 {
            for p in 0..np {
                if r[20 + p] == 0 {
                    r[15] = p as u8;
                    break;
                }
            }
        }
        if r[15] == 255 { Some(9) } else { None }
    }));
    b.push(PlainStore(value!(|r| pg as u8 + r[15]), value!(|r| r[10])));
    b.push(compute!(|r| {
        let p = r[15] as usize;
        let o = r[16] as usize;
        let w = r[10];
        r[27 + o] = w;
        r[20 + p] = w;
        r[27 + p] = 0;
        r[16] = p as u8;
        None
    }));
    if two {
        b.push(compute!(|r| {
            r[19] += 1;
            if r[19] < 2 { Some(2) } else { None }
        }));
    }
    b.push(Store(Order::Relaxed, value!(|r| bd as u8 + r[10]), value!(|r| r[16])));
    b.push(Store(Order::Release, constant!(1), value!(|r| r[10])));
    if defer {
        pubseq(&mut b, 10, 16)
    }
    b.push(compute!(|r| {
        r[10] += 1;
        if r[10] <= cm + 1 { Some(1) } else { None }
    }));
    b.push(Label(9));
    b.push(End);
    // flusher: regs 0 f,1 recheck,2 root,4 x,5 count
    let fm = g.flushes;
    let mut q = vec![
        Label(1),
        Load(Order::Acquire, constant!(1), 0),
        compute!(|r| {
            if r[0] <= r[6] {
                r[5] += 1;
                if r[5] < fm { Some(1) } else { Some(9) }
            } else {
                None
            }
        }),
    ];
    if fl != "nopin" {
        q.push(Store(Order::Release, constant!(2), value!(|r| r[0])));
    }
    if fl == "recheck" {
        q.push(Fence(Order::SeqCst));
        q.push(Load(Order::Relaxed, constant!(1), 1));
        q.push(compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }));
    }
    q.push(Load(Order::Relaxed, value!(|r| bd as u8 + r[0]), 2));
    q.push(PlainLoad(value!(|r| pg as u8 + r[2]), 4));
    q.push(assert_that("flush of snapshot f found a reused page", |r| r[4] == r[0]));
    if !defer {
        pubseq(&mut q, 0, 2)
    }
    q.push(Store(Order::Release, constant!(3), value!(|r| r[0])));
    if fl != "keep" {
        q.push(Store(Order::Release, constant!(2), constant!(0)));
    }
    q.push(PlainLoad(value!(|r| pg as u8 + r[2]), 4));
    q.push(assert_that("durable meta refers to a reused page", |r| r[4] == r[0]));
    q.push(compute!(|r| {
        r[6] = r[0];
        r[5] += 1;
        if r[5] < fm { Some(1) } else { None }
    }));
    q.push(Label(9));
    q.push(End);
    let mut rd = vec![
        Label(1),
        Load(Order::Acquire, constant!(0), 0),
        Load(Order::Relaxed, value!(|r| 5 + 2 * (r[0] & 1)), 2),
        Load(Order::Relaxed, value!(|r| 6 + 2 * (r[0] & 1)), 3),
        Store(Order::Release, constant!(4), value!(|r| r[0])),
        Fence(Order::SeqCst),
        Load(Order::Relaxed, constant!(0), 1),
        compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }),
    ];
    rd.push(assert_that("torn descriptor accepted", |r| r[2] == r[3]));
    rd.push(PlainLoad(value!(|r| pg as u8 + r[2]), 4));
    rd.push(assert_that("reader saw a reused page", |r| r[4] == r[0] / 2));
    rd.push(Store(Order::Release, constant!(4), constant!(0)));
    rd.push(End);
    let mut pr = vec![prog("B", b, false, Z), prog("F", q, false, Z)];
    if g.readers {
        pr.push(prog("R", rd, false, Z))
    }
    model(
        g.memory,
        locations,
        0,
        vec![(0, 2), (1, 1), (3, 1), (pg, 1), (5, 0), (6, 0), (bd + 1, 0)],
        pr,
        0,
        nm,
    )
}

/// All of it in one memory model.
pub fn run(memory: Memory) {
    let weak = memory == Memory::Views;

    let g = Variant {
        memory,
        deferred: false,
        rule: "V0",
        fl: "recheck",
        ring: "flip",
        commits: 3,
        np: 3,
        readers: true,
        flushes: 2,
        two: false,
    };
    expect(
        "durable small: 2 commits, 2 flushes, 2 pages",
        true,
        &group(&Variant { commits: 2, np: 2, ..g.clone() }),
    );
    expect(
        "deferred small: 3 commits, 1 flush, no reader",
        true,
        &group(&Variant { deferred: true, readers: false, flushes: 2, commits: 3, ..g.clone() }),
    );
    expect(
        "durable between small: 3 commits, no reader",
        true,
        &group(&Variant { rule: "between", readers: false, commits: 4, ..g.clone() }),
    );
    expect("durable: limit d<=V (read before the fence)", true, &group(&g));
    expect(
        "durable: V read after the slots",
        false,
        &group(&Variant { rule: "V-after", ..g.clone() }),
    );
    expect(
        "durable: d<=newest built, pins slots+V",
        false,
        &group(&Variant { rule: "built", ..g.clone() }),
    );
    expect(
        "durable: d<=newest built, pins slots only",
        false,
        &group(&Variant { rule: "built-any", ..g.clone() }),
    );
    expect(
        "durable: two allocations per txn, d<=w (own frees)",
        false,
        &group(&Variant { rule: "limit-w", two: true, deferred: true, ..g.clone() }),
    );
    expect(
        "durable: between-visible pages, flush target registered+rechecked",
        true,
        &group(&Variant { rule: "between", commits: 4, ..g.clone() }),
    );
    expect(
        "durable: between, flush target set but not rechecked",
        false,
        &group(&Variant { rule: "between", fl: "norecheck", commits: 4, ..g.clone() }),
    );
    expect(
        "durable: between, flush target not looked at",
        false,
        &group(&Variant { rule: "between-nofpin", commits: 4, ..g.clone() }),
    );
    expect(
        "durable: between, V not re-read (V0==V1)",
        weak,
        &group(&Variant { rule: "between-noV1", commits: 4, np: 4, flushes: 3, ..g.clone() }),
    );
    expect(
        "ring index = txn mod K when visible jumps",
        false,
        &group(&Variant { ring: "mod", ..g.clone() }),
    );
    let d = Variant { deferred: true, commits: 4, ..g.clone() };
    expect("deferred: V=built, flush target pinned+rechecked, durable pinned", true, &group(&d));
    expect(
        "deferred: flush target not pinned",
        false,
        &group(&Variant { fl: "nopin", ..d.clone() }),
    );
    expect(
        "deferred: flush target pinned without recheck",
        false,
        &group(&Variant { fl: "norecheck", ..d.clone() }),
    );
    expect(
        "deferred: builder ignores the flush target",
        false,
        &group(&Variant { rule: "V0-nofpin", ..d.clone() }),
    );
    expect(
        "deferred: builder loads durable before flush target",
        false,
        &group(&Variant { rule: "pins-reversed", flushes: 3, ..d.clone() }),
    );
}
