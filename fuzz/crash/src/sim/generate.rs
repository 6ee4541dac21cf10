//! Random scripts: the same seed, the same script.

use super::edit::Edit;
use super::op::{Fault, How, Op, OpKind, What};
use super::profiles;
use super::scenarios;
use super::script::{Script, Setup};
use recto::harness::Newer;
use recto::harness::sim::Rng;
use recto::{Durability, Sink};

/// The script of a seed.
pub fn generate(seed: u64) -> Script {
    // Of each kind some, and none of the others is another script for it.
    match seed % 8 {
        1 if seed.is_multiple_of(3) => profiles::alone(seed),
        3 if seed.is_multiple_of(3) => profiles::meanwhile(seed),
        2 => nested(seed),
        4 if seed.is_multiple_of(3) => profiles::loads(seed),
        5 if seed.is_multiple_of(3) => profiles::names(seed),
        5 => named(flat(seed), seed),
        6 => sets(seed),
        7 => named(nested(seed), seed),
        _ => flat(seed),
    }
}

/// A script in which transactions give names to snapshots, and take them.
pub fn named(mut script: Script, seed: u64) -> Script {
    let rng = &mut Rng::new(seed ^ NAMED << 32);
    let share = [1, 2, 6][rng.index(3)];
    for op in &mut script.ops {
        let edits = op.kind.edits();
        if !edits.is_empty() && rng.chance(share, 8) {
            op.kind = op.kind.with_edits(Edit::named(edits, rng));
        }
    }
    script
}

const NAMED: u64 = 0x5a7e_b01d;

const NESTED: u64 = 0x5a7e_b01c;

/// The script of a seed, in which transactions have savepoints and undo some of what they have
/// done.
pub fn nested(seed: u64) -> Script {
    let mut script = flat(seed);
    let rng = &mut Rng::new(seed ^ NESTED << 32);
    for op in &mut script.ops {
        let edits = op.kind.edits();
        if !edits.is_empty() && rng.chance(3, 4) {
            op.kind = op.kind.with_edits(Edit::nested(edits, rng));
        }
    }
    script
}

const SETS: u64 = 0x5e75;

const NUMBERS: u64 = 0x5e9;
const ORDERED: u64 = 0x0d3e;

/// The script of a seed with tables of sets and numbers that tables give out, half of them with
/// savepoints, half of them with tables in other orders of keys.
pub fn sets(seed: u64) -> Script {
    let mut script = flat(seed);
    let rng = &mut Rng::new(seed ^ SETS << 32);
    let numbers = &mut Rng::new(seed ^ NUMBERS << 32);
    let orders = &mut Rng::new(seed ^ ORDERED << 32);
    for op in &mut script.ops {
        let edits = op.kind.edits();
        if edits.is_empty() || rng.chance(1, 4) {
            continue;
        }
        let mut edits = Edit::with_numbers(&Edit::with_sets(edits, rng), numbers);
        if seed & 16 > 0 {
            edits = Edit::with_orders(&edits, orders);
        }
        if seed & 8 > 0 {
            edits = Edit::nested(&edits, rng);
        }
        op.kind = op.kind.with_edits(edits);
    }
    script
}

/// The script of a seed, without savepoints.
fn flat(seed: u64) -> Script {
    if seed % 4 == 3 {
        return profiles::any(seed);
    }
    let mut rng = Rng::new(seed);
    let mut setup = setup(&mut rng);
    let mut style = Style::random(&mut rng);
    let mut count = 6 + rng.below(30);
    if rng.chance(1, 3) {
        // Long, with a cut now and then: what needs a history, such as a free log with pages of its
        // own.
        count += 60 + rng.below(200);
        (setup.probe, setup.second) = ([200, 1_000][rng.index(2)], 10);
        (style.large, style.disasters) = (true, style.disasters.min(1));
    }
    match rng.below(12) {
        0 | 1 => return scenario(&mut rng, setup),
        2 => return chain(&mut rng, setup),
        _ => {}
    }
    let mut ops = Vec::new();
    for _ in 0..count {
        style.op(&mut rng, &setup, &mut ops);
    }
    Script { setup, ops }
}

/// What was written by hand to reach everything, with faults in it.
fn scenario(rng: &mut Rng, mut setup: Setup) -> Script {
    let all = scenarios::all(false);
    let (_, script) = &all[rng.index(all.len())];
    (setup.page_size, setup.growth, setup.disk, setup.manifest) =
        (4096, 2, 0, script.setup.manifest);
    setup.lists = setup.lists.max(script.setup.lists);
    (setup.probe, setup.second) = ([20, 300][rng.index(2)], 100);
    let mut ops = script.ops.clone();
    for op in &mut ops {
        if rng.chance(1, 4) {
            op.faults.push(fault(rng));
        }
    }
    Script { setup, ops }
}

/// Many deferred commits, some of them read; the device refuses them, so that they are rolled back;
/// and much is written under those who still read them.
fn chain(rng: &mut Rng, mut setup: Setup) -> Script {
    (setup.page_size, setup.growth, setup.disk, setup.stage) = (4096, 2, 0, 24);
    (setup.lists, setup.probe, setup.second) = ([4, 4, 9][rng.index(3)], 0, 0);
    let style = Style { large: false, ..Style::random(rng) };
    let process = |rng: &mut Rng| rng.below(3) as u8;
    let mut ops = Vec::new();
    let many = |rng: &mut Rng, count: u64, durability, reads: u64, ops: &mut Vec<Op>| {
        for _ in 0..count {
            let edits = style.edits(rng, &setup);
            ops.push(Op::new(process(rng), OpKind::Commit { durability, edits }));
            if rng.chance(reads, 16) {
                ops.push(Op::new(
                    process(rng),
                    [OpKind::Hold, OpKind::Release][rng.index(2)].clone(),
                ));
            }
        }
    };
    let fill = Edit::Fill { table: 0, from: 0, count: 150, step: 1, len: 300 };
    ops.push(Op::new(0, OpKind::Commit { durability: Durability::Durable, edits: vec![fill] }));
    let count = rng.below(30);
    many(rng, count, Durability::Durable, 0, &mut ops);
    for _ in 0..1 + rng.below(2) {
        let count = 20 + rng.below(80);
        many(rng, count, Durability::Deferred, 2, &mut ops);
        ops.push(Op::new(process(rng), OpKind::Hold));
        let mut refused = Op::new(process(rng), OpKind::Flush);
        let what = What::Fail { errno: libc::EIO, times: 1 };
        refused.faults.push(Fault { at: 1 + rng.below(4) as u32, what });
        ops.push(refused);
        let mut next = Op::new(process(rng), OpKind::Flush);
        next.faults.push(Fault { at: 0, what: What::Evict });
        ops.push(next);
        let count = 10 + rng.below(40);
        let durability = [Durability::Durable, Durability::Deferred][rng.index(2)];
        many(rng, count, durability, 1, &mut ops);
    }
    Script { setup, ops }
}

fn setup(rng: &mut Rng) -> Setup {
    let page_size = [4096, 4096, 4096, 8192, 16384, 65536][rng.index(6)];
    let write_back = [0, 0, 2_000, 8_000][rng.index(4)];
    let write_back_fails = if write_back > 0 && rng.chance(1, 4) { 6_000 } else { 0 };
    Setup {
        page_size,
        sink: if rng.chance(1, 3) { Sink::Direct } else { Sink::Staged },
        stage: [4, 24, 400][rng.index(3)],
        manifest: [[40, 4, 1][rng.index(3)], [4, 40, 180][rng.index(3)], [1, 3, 12][rng.index(3)]],
        growth: [1, 2, 8][rng.index(3)],
        machine: rng.next_u64() >> 1,
        write_back,
        write_back_fails,
        folio: [0, 0, 4, 16][rng.index(4)],
        // A page that was refused, unnoticed, and leaves the cache before the next sync tells is
        // beyond the fault budget.
        evict: if write_back_fails == 0 && rng.chance(1, 2) { 4_000 } else { 0 },
        disk: if rng.chance(1, 8) { (page_size as u64 / 4096) * (4 + rng.below(60)) } else { 0 },
        // Without cut points a script is a hundred times as fast: for what goes wrong while the
        // system lives.
        probe: [1, 2, 5, 0, 0][rng.index(5)],
        from: 0,
        subsets: if rng.chance(1, 8) { 32 } else { 0 },
        outcomes: 1 + rng.below(4),
        second: [100, 400, 1_600][rng.index(3)],
        lists: [0, 0, 4, 9][rng.index(4)],
        records: [0, 0, 0, 6, 30, 100][rng.index(6)],
        remember: [0, 0, 1, 3][rng.index(4)],
        ..Setup::default()
    }
}

/// What a script has more of: a mix of everything all the time finds less.
struct Style {
    deferred: u64,
    group: u64,
    readers: u64,
    faults: u64,
    disasters: u64,
    /// Transactions that stay open.
    open: u64,
    /// Programs that are not recto cannot make the file durable.
    foreign: u64,
    large: bool,
}

impl Style {
    fn random(rng: &mut Rng) -> Style {
        Style {
            deferred: [0, 3, 8, 14][rng.index(4)],
            group: [0, 2, 8][rng.index(3)],
            readers: [0, 2, 6][rng.index(3)],
            faults: [0, 1, 2, 4, 9][rng.index(5)],
            disasters: [0, 1, 3][rng.index(3)],
            open: [0, 0, 3, 8][rng.index(4)],
            foreign: [0, 0, 0, 1][rng.index(4)],
            large: rng.chance(1, 4),
        }
    }

    fn edits(&self, rng: &mut Rng, setup: &Setup) -> Vec<Edit> {
        let count = if self.large { 1 + rng.below(8) } else { 1 + rng.below(3) };
        (0..count).map(|_| Edit::random(rng, setup.page_size)).collect()
    }

    fn op(&self, rng: &mut Rng, setup: &Setup, ops: &mut Vec<Op>) {
        let process = rng.below(3) as u8;
        let roll = rng.below(40);
        let mut bound = 0;
        let mut within = |share: u64| {
            bound += share;
            roll < bound
        };
        let kind = if within(self.group) {
            if rng.chance(1, 2) {
                OpKind::Finish
            } else {
                OpKind::Build { edits: self.edits(rng, setup) }
            }
        } else if within(self.readers) {
            [OpKind::Hold, OpKind::Hold, OpKind::Observe, OpKind::Release, OpKind::Release]
                [rng.index(5)]
            .clone()
        } else if within(self.disasters) {
            match rng.below(12) {
                0 | 1 => OpKind::Cut { seed: cut_seed(rng), lock_file: rng.chance(1, 3) },
                2 | 3 => OpKind::Remount { seed: cut_seed(rng) },
                4 => OpKind::AllDie { keep_lock_file: true },
                5 => OpKind::AllDie { keep_lock_file: false },
                7 => OpKind::OtherLockFile,
                8 => OpKind::Copy,
                9 => OpKind::Restore { commits: [0, 1, 2, 5][rng.index(4)] },
                6 if rng.chance(1, 2) => OpKind::NewerBeside,
                6 => OpKind::Newer {
                    slot: rng.below(2) as u8,
                    newer: [Newer::Version, Newer::ToRead, Newer::ToWrite][rng.index(3)],
                },
                _ => OpKind::Leave,
            }
        } else if within(self.open) {
            match rng.below(8) {
                0..=3 => OpKind::Begin { edits: self.edits(rng, setup) },
                4 => OpKind::End { how: How::Durable },
                5 => OpKind::End { how: How::Deferred },
                6 => OpKind::End { how: [How::Build, How::Abort][rng.index(2)] },
                _ => [OpKind::Leave, OpKind::Flush][rng.index(2)].clone(),
            }
        } else if within(self.foreign) {
            OpKind::ForeignSyncFails
        } else if within(self.deferred) {
            OpKind::Commit { durability: Durability::Deferred, edits: self.edits(rng, setup) }
        } else if within(1) {
            match rng.below(16) {
                0..=6 => OpKind::Check,
                7..=12 => OpKind::Flush,
                13 if rng.chance(1, 2) => OpKind::Crowd { count: [40, 1_500, 4_000][rng.index(3)] },
                13 => OpKind::Churn { count: 40 },
                14 => OpKind::ForeignSync,
                _ => OpKind::LoseLockFile,
            }
        } else if within(1) {
            OpKind::Abort { edits: self.edits(rng, setup) }
        } else {
            OpKind::Commit { durability: Durability::Durable, edits: self.edits(rng, setup) }
        };
        let mut op = Op::new(process, kind);
        let after_disaster = ops.last().is_some_and(|op| op.kind.concerns_all());
        let share = if after_disaster { self.faults * 2 } else { self.faults };
        if rng.chance(share, 16) {
            op.faults.push(fault(rng));
            // Compound faults: what happens while another one is dealt with.
            if rng.chance(1, 3) {
                op.faults.push(fault(rng));
            }
        }
        ops.push(op);
    }
}

/// Half of the cuts are chosen ones.
fn cut_seed(rng: &mut Rng) -> u64 {
    if rng.chance(1, 2) { rng.below(13) } else { 1_000 + rng.below(1 << 40) }
}

fn fault(rng: &mut Rng) -> Fault {
    let what = match rng.below(16) {
        0..=3 => What::Kill,
        4..=6 => What::Cut(cut_seed(rng)),
        7..=10 => What::Fail {
            errno: [libc::EIO, libc::EIO, libc::ENOSPC][rng.index(3)],
            times: [1, 1, 2, 4, u32::MAX][rng.index(5)],
        },
        11 => What::Visit,
        12..=13 => What::Turn { deferred: rng.chance(1, 2) },
        14 => [What::Stranger, What::Turn { deferred: false }][rng.index(2)],
        _ => What::Evict,
    };
    let at = if rng.chance(1, 3) { rng.below(60) } else { rng.below(24) } as u32;
    Fault { at, what }
}
