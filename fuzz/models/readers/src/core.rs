//! Begin, publish, scan: which fences, orders and ring entries a reader needs so that no page of
//! its snapshot is written to.

use crate::machine::Op::*;
use crate::machine::*;
use crate::search::expect;
use crate::{compute, constant, value};

fn birth(v: u8, node: u8, nodes: u8) -> u8 {
    let mut w = v;
    while w > 1 && w % nodes != node {
        w -= 1
    }
    w
}

/// The protocol, or a variant of it. Registers of a reader: 0 the id it has seen, 1 the one it sees
/// then, 2 and 3 the descriptor, 4 a page, 5 cycles. Of the writer: 10 its id, 11 V, 12 to 14
/// slots, 15 the page it takes, 16 the limit of deaths, 17 and 18 the pages of the nodes, 20 and 27
/// births and deaths.
#[derive(Clone)]
struct Variant {
    memory: Memory,
    readers: usize,
    cycles: u8,
    commits: u8,
    /// Pages of the tree, of the file; entries of the ring.
    nodes: u8,
    pages: usize,
    k: u8,
    /// How a read begins.
    begin: &'static str,
    begin_fence: Order,
    slot_order: Order,
    end_order: Order,
    publish_order: Order,
    ring_release: bool,
    scan_fence: Order,
    scan_order: Order,
    /// The slots are scanned once in so many transactions.
    scan_every: u8,
    /// Which deaths are old enough; whether births count.
    limit: &'static str,
    interval: bool,
    jump: u8,
}

fn base() -> Variant {
    Variant {
        memory: Memory::Views,
        readers: 1,
        cycles: 2,
        commits: 4,
        nodes: 1,
        pages: 3,
        k: 2,
        begin: "copy-first",
        begin_fence: Order::SeqCst,
        slot_order: Order::Release,
        end_order: Order::Release,
        publish_order: Order::Release,
        ring_release: true,
        scan_fence: Order::SeqCst,
        scan_order: Order::Acquire,
        scan_every: 1,
        limit: "V",
        interval: true,
        jump: 1,
    }
}

struct Places {
    vis: usize,
    slot: usize,
    ring: usize,
    page: usize,
    n: usize,
    names: Vec<String>,
}

fn lay(readers: usize, k: usize, words: usize, pages: usize, extra: &[&str]) -> Places {
    let vis = 0;
    let slot = 1;
    let ring = slot + readers;
    let page = ring + k * words;
    let mut names = vec!["visible".to_string()];
    for i in 0..readers {
        names.push(format!("slot{}", i))
    }
    for i in 0..k {
        for w in 0..words {
            names.push(format!("ring{}.{}", i, w))
        }
    }
    for i in 0..pages {
        names.push(format!("page{}", i))
    }
    for e in extra {
        names.push(e.to_string())
    }
    Places { vis, slot, ring, page, n: names.len(), names }
}

const PEND: u8 = 0x80;
fn reader(c: &Variant, ly: &Places, i: usize) -> Vec<Op> {
    let (vis, slot, ring, page, k, nodes, words) =
        (ly.vis, ly.slot + i, ly.ring, ly.page, c.k, c.nodes, c.nodes.max(2) as usize + 1);
    let w = move |n: usize| {
        let q: Value =
            Box::new(move |r: &Registers| (ring + (r[0] / c_j(r) % k) as usize * words + n) as u8);
        q
    };
    fn c_j(_r: &Registers) -> u8 {
        1
    }
    let copy = |v: &mut Vec<Op>| {
        for n in 0..c.nodes.max(2) as usize {
            v.push(Load(Order::Relaxed, w(n), 2 + n))
        }
    };
    let mut v = vec![Label(1)];
    match c.begin {
        "copy-first" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            copy(&mut v);
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
            v.push(Load(Order::Relaxed, constant!(vis), 1));
            v.push(compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }));
        }
        "copy-between" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
            copy(&mut v);
            v.push(Fence(Order::Acquire));
            v.push(Load(Order::Relaxed, constant!(vis), 1));
            v.push(compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }));
        }
        // DESIGN text: store, fence, check, then read the ring (no validation of the entry)
        "design" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
            v.push(Load(Order::Relaxed, constant!(vis), 1));
            v.push(compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }));
            copy(&mut v);
        }
        // DESIGN text + entry validated by its txn id before/after ("seq" word = last word)
        "design+id-before" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
            v.push(Load(Order::Relaxed, constant!(vis), 1));
            v.push(compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }));
            let t = c.nodes.max(2) as usize;
            v.push(Load(Order::Acquire, w(t), 6));
            v.push(compute!(|r| { if r[6] != r[0] { Some(1) } else { None } }));
            copy(&mut v);
        }
        "design+id-after" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
            v.push(Load(Order::Relaxed, constant!(vis), 1));
            v.push(compute!(|r| { if r[0] != r[1] { Some(1) } else { None } }));
            let t = c.nodes.max(2) as usize;
            copy(&mut v);
            v.push(Fence(Order::Acquire));
            v.push(Load(Order::Relaxed, w(t), 6));
            v.push(compute!(|r| { if r[6] != r[0] { Some(1) } else { None } }));
        }
        // no retry: keep the registered (older) id when visible moved
        "noretry-old" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            copy(&mut v);
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
        }
        // no retry: registered v, uses the newer visible
        "noretry-new" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
            v.push(Label(2));
            v.push(Load(Order::Acquire, constant!(vis), 0));
            copy(&mut v);
            v.push(Fence(Order::Acquire));
            v.push(Load(Order::Relaxed, constant!(vis), 1));
            v.push(compute!(|r| { if r[0] != r[1] { Some(2) } else { None } }));
        }
        // wait-free: slot=PEND|0 pins everything, then narrow
        "pend" => {
            v.push(Store(c.slot_order, constant!(slot), constant!(PEND)));
            v.push(Fence(c.begin_fence));
            v.push(Label(2));
            v.push(Load(Order::Acquire, constant!(vis), 0));
            copy(&mut v);
            v.push(Fence(Order::Acquire));
            v.push(Load(Order::Relaxed, constant!(vis), 1));
            v.push(compute!(|r| { if r[0] != r[1] { Some(2) } else { None } }));
            v.push(Store(Order::Release, constant!(slot), value!(|r| r[0])));
        }
        // read id, no recheck of anything until floor check: the writer publishes its scan limit
        "floor" => {
            let fl = ly.n - 1;
            v.push(Load(Order::Acquire, constant!(vis), 0));
            copy(&mut v);
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
            v.push(Load(Order::Relaxed, constant!(fl), 1));
            v.push(compute!(|r| { if r[1] > r[0] { Some(1) } else { None } }));
        }
        // the peers' bug: look at the snapshot, use it, register without recheck... (register after
        // read)
        "unregistered-window" => {
            v.push(Load(Order::Acquire, constant!(vis), 0));
            copy(&mut v);
            v.push(Store(c.slot_order, constant!(slot), value!(|r| r[0])));
            v.push(Fence(c.begin_fence));
        }
        _ => panic!(),
    }
    for n in 0..nodes {
        v.push(PlainLoad(Box::new(move |r: &Registers| (page as u8) + r[2 + n as usize]), 4));
        v.push(Assert(
            Box::new(move |r: &Registers| r[4] == birth(r[0], n, nodes)),
            "page of the snapshot was overwritten or descriptor torn",
        ));
    }
    v.push(Store(c.end_order, constant!(slot), constant!(0)));
    let cy = c.cycles;
    v.push(compute!(|r| {
        r[5] += 1;
        if r[5] < cy {
            r[0] = 0;
            r[1] = 0;
            r[2] = 0;
            r[3] = 0;
            r[4] = 0;
            Some(1)
        } else {
            None
        }
    }));
    v.push(End);
    v
}

fn pinned(s: u8, b: u8, d: u8, interval: bool) -> bool {
    if s == 0 {
        false
    } else if s & PEND != 0 {
        d > (s & !PEND)
    } else if interval {
        b <= s && s < d
    } else {
        s < d
    }
}

fn writer(c: &Variant, ly: &Places) -> Vec<Op> {
    let (vis, slot, ring, page, k, nodes, nr, np) =
        (ly.vis, ly.slot, ly.ring, ly.page, c.k, c.nodes, c.readers, c.pages);
    let words = nodes.max(2) as usize + 1;
    let mut v = vec![];
    let (se, cm, interval, jump) = (c.scan_every, c.commits, c.interval, c.jump);
    v.push(compute!(|r| {
        r[10] = 2;
        for n in 0..nodes {
            r[17 + n as usize] = n;
            r[20 + n as usize] = 1
        }
        None
    }));
    v.push(Label(1));
    v.push(compute!(|r| { if !(r[10] - 2).is_multiple_of(se) { Some(3) } else { None } }));
    v.push(compute!(|r| {
        r[11] = r[10] - 1;
        None
    })); // V: single publisher, no lag
    if c.begin == "floor" {
        let fl = ly.n - 1;
        v.push(Store(Order::Relaxed, constant!(fl), value!(|r| r[11])));
    }
    v.push(Fence(c.scan_fence));
    for i in 0..nr {
        v.push(Load(c.scan_order, constant!(slot + i), 12 + i))
    }
    v.push(compute!(|r| {
        r[16] = r[11];
        None
    }));
    v.push(Label(3));
    let lim = c.limit;
    v.push(compute!(|r| {
        // pick: eligible freed page, else fresh page, else stop
        let limit = match lim {
            "V" => r[16],
            "w" => r[10],
            "current" => r[10] - 1,
            _ => panic!(),
        };
        r[15] = 255;
        for p in 0..np {
            let (b, d) = (r[20 + p], r[27 + p]);
            if d != 0 && d <= limit && !(0..nr).any(|i| pinned(r[12 + i], b, d, interval)) {
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
    v.push(PlainStore(value!(|r| page as u8 + r[15]), value!(|r| r[10])));
    v.push(compute!(|r| {
        let p = r[15] as usize;
        let w = r[10];
        let n = (w % nodes) as usize;
        let o = r[17 + n] as usize;
        r[27 + o] = w;
        r[20 + p] = w;
        r[27 + p] = 0;
        r[17 + n] = p as u8;
        None
    }));
    if c.ring_release {
        v.push(Fence(Order::Release))
    }
    let idx = move |r: &Registers| ((r[10]) % k) as usize;
    let _ = jump;
    if c.begin.starts_with("design+id") {
        let t = words - 1;
        v.push(Store(Order::Relaxed, value!(|r| (ring + idx(r) * words + t) as u8), constant!(0)));
        v.push(Fence(Order::Release));
    }
    for n in 0..nodes.max(2) as usize {
        v.push(Store(
            Order::Relaxed,
            value!(|r| (ring + idx(r) * words + n) as u8),
            value!(|r| r[17 + n.min(nodes as usize - 1)]),
        ))
    }
    if c.begin.starts_with("design+id") {
        let t = words - 1;
        v.push(Store(
            Order::Release,
            value!(|r| (ring + idx(r) * words + t) as u8),
            value!(|r| r[10]),
        ));
    }
    v.push(Store(c.publish_order, constant!(vis), value!(|r| r[10])));
    v.push(compute!(|r| {
        r[10] += 1;
        if r[10] <= cm + 1 { Some(1) } else { None }
    }));
    v.push(Label(9));
    v.push(End);
    v
}

fn build(c: &Variant) -> Model {
    let words = c.nodes.max(2) as usize + 1;
    let ly = lay(
        c.readers,
        c.k as usize,
        words,
        c.pages,
        if c.begin == "floor" { &["floor"] } else { &[] },
    );
    let mut init = vec![(ly.vis, 1u8)];
    for n in 0..c.nodes as usize {
        init.push((ly.page + n, 1))
    }
    for n in 0..c.nodes.max(2) as usize {
        init.push((ly.ring + (1 % c.k) as usize * words + n, n.min(c.nodes as usize - 1) as u8))
    }
    init.push((ly.ring + (1 % c.k) as usize * words + words - 1, 1));
    let mut progs = vec![prog("W", writer(c, &ly), false, [0; REGISTERS])];
    for i in 0..c.readers {
        progs.push(prog(["R0", "R1", "R2"][i], reader(c, &ly, i), false, [0; REGISTERS]))
    }
    Model {
        locations: ly.n,
        locks: 0,
        init,
        progs,
        kills: 0,
        memory: c.memory,
        max: 6_000_000,
        names: ly.names,
        deadlock_ok: false,
    }
}

/// One reader, one writer, one page of a tree.
pub fn core(memory: Memory) {
    let b = Variant { memory, ..base() };
    let weak = memory == Memory::Views;
    expect("copy-first, K=2, 2 cycles, 4 commits, 3 pages", true, &build(&b));
    expect(
        "copy-between (+acquire fence), K=2",
        true,
        &build(&Variant { begin: "copy-between", ..b.clone() }),
    );
    expect("no fence in begin", false, &build(&Variant { begin_fence: Order::None, ..b.clone() }));
    expect(
        "AcqRel fence in begin",
        false,
        &build(&Variant { begin_fence: Order::AcqRel, ..b.clone() }),
    );
    expect("no fence in scan", !weak, &build(&Variant { scan_fence: Order::None, ..b.clone() }));
    expect(
        "AcqRel fence in scan",
        !weak,
        &build(&Variant { scan_fence: Order::AcqRel, ..b.clone() }),
    );
    expect("end Relaxed", !weak, &build(&Variant { end_order: Order::Relaxed, ..b.clone() }));
    expect(
        "begin slot store Relaxed (end Release)",
        !weak,
        &build(&Variant { slot_order: Order::Relaxed, ..b.clone() }),
    );
    expect(
        "scan loads Relaxed",
        !weak,
        &build(&Variant { scan_order: Order::Relaxed, ..b.clone() }),
    );
    expect(
        "visible stored Relaxed",
        !weak,
        &build(&Variant { publish_order: Order::Relaxed, ..b.clone() }),
    );
    expect(
        "no release fence before ring words (copy-first)",
        true,
        &build(&Variant { ring_release: false, ..b.clone() }),
    );
    expect(
        "no release fence before ring words, cached scan over 9 txns",
        !weak,
        &build(&Variant { ring_release: false, scan_every: 9, pages: 5, ..b.clone() }),
    );
    expect("K=1", false, &build(&Variant { k: 1, ..b.clone() }));
    expect(
        "design text: ring read after the check, K=2",
        false,
        &build(&Variant { begin: "design", ..b.clone() }),
    );
    expect(
        "design text: ring read after the check, K=4",
        false,
        &build(&Variant { begin: "design", k: 4, commits: 5, pages: 6, ..b.clone() }),
    );
    expect(
        "design + entry id checked before the copy, K=2",
        false,
        &build(&Variant { begin: "design+id-before", ..b.clone() }),
    );
    expect(
        "design + entry id checked after (seqlock), K=2",
        true,
        &build(&Variant { begin: "design+id-after", ..b.clone() }),
    );
    expect(
        "no retry, keeps the old id",
        false,
        &build(&Variant { begin: "noretry-old", ..b.clone() }),
    );
    expect(
        "no retry, uses the newer one, interval reuse",
        false,
        &build(&Variant { begin: "noretry-new", ..b.clone() }),
    );
    expect(
        "no retry, uses the newer one, oldest-reader reuse (LMDB rule)",
        true,
        &build(&Variant { begin: "noretry-new", interval: false, ..b.clone() }),
    );
    expect(
        "PENDING registration, no retry of registration",
        true,
        &build(&Variant { begin: "pend", ..b.clone() }),
    );
    expect(
        "floor check instead of visible check (K=8)",
        true,
        &build(&Variant { begin: "floor", k: 8, ..b.clone() }),
    );
    expect(
        "death limit w (frees of the running txn)",
        false,
        &build(&Variant { limit: "w", pages: 2, ..b.clone() }),
    );
    expect(
        "scan cached over 2 txns, limit = V of the scan",
        true,
        &build(&Variant { scan_every: 2, ..b.clone() }),
    );
    expect(
        "scan cached over 2 txns, limit = V now",
        false,
        &build(&Variant { scan_every: 2, limit: "current", ..b.clone() }),
    );
}

/// Two pages of a tree, or two readers, or longer.
pub fn core2(memory: Memory) {
    let b = Variant { memory, ..base() };
    expect(
        "1 reader 3 cycles, 5 commits, 3 pages",
        true,
        &build(&Variant { cycles: 3, commits: 5, ..b.clone() }),
    );
    expect(
        "2 nodes (interval pages), 1 reader 2 cycles, 5 commits, 4 pages",
        true,
        &build(&Variant { nodes: 2, commits: 5, pages: 4, ..b.clone() }),
    );
    expect(
        "2 readers, 1 cycle, 3 commits, 3 pages",
        true,
        &build(&Variant { readers: 2, cycles: 1, commits: 3, ..b.clone() }),
    );
    expect(
        "2 nodes PENDING",
        true,
        &build(&Variant { nodes: 2, commits: 5, pages: 4, begin: "pend", ..b.clone() }),
    );
    expect(
        "2 nodes noretry-new interval",
        false,
        &build(&Variant { nodes: 2, commits: 5, pages: 4, begin: "noretry-new", ..b.clone() }),
    );
}
