//! Random scripts: the same seed, the same script.

use super::edit::Edit;
use super::op::{Accident, Deed, Op, What};
use super::scenarios;
use super::script::{Script, Setup};
use recto::harness::sim::Rng;
use recto::{Durability, Sink};

/// The script of a seed.
pub fn generate(seed: u64) -> Script {
    let mut rng = Rng::new(seed);
    let mut setup = setup(&mut rng);
    let mut style = Style::random(&mut rng);
    let mut count = 6 + rng.below(30);
    if rng.chance(1, 3) {
        // Long, with a cut now and then: what needs a history, such as a free log with pages of its own.
        count += 60 + rng.below(200);
        (setup.probe, setup.second) = ([200, 1_000][rng.index(2)], 10);
        (style.large, style.disasters) = (true, style.disasters.min(1));
    }
    if rng.chance(1, 6) {
        return scenario(&mut rng, setup);
    }
    let mut ops = Vec::new();
    for _ in 0..count {
        style.op(&mut rng, &setup, &mut ops);
    }
    Script { setup, ops }
}

/// What was written by hand to reach everything, with accidents in it.
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
            op.accidents.push(accident(rng));
        }
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
        // A page that was refused, unnoticed, and leaves the cache before the next sync tells is beyond the fault budget.
        evict: if write_back_fails == 0 && rng.chance(1, 2) { 4_000 } else { 0 },
        disk: if rng.chance(1, 8) { (page_size as u64 / 4096) * (4 + rng.below(60)) } else { 0 },
        probe: [1, 2, 5][rng.index(3)],
        from: 0,
        subsets: if rng.chance(1, 8) { 32 } else { 0 },
        outcomes: 1 + rng.below(4),
        second: [100, 400, 1_600][rng.index(3)],
        lists: [0, 0, 4, 9][rng.index(4)],
    }
}

/// What a script has more of: a mix of everything all the time finds less.
struct Style {
    deferred: u64,
    group: u64,
    readers: u64,
    accidents: u64,
    disasters: u64,
    large: bool,
}

impl Style {
    fn random(rng: &mut Rng) -> Style {
        Style {
            deferred: [0, 3, 8, 14][rng.index(4)],
            group: [0, 2, 8][rng.index(3)],
            readers: [0, 2, 6][rng.index(3)],
            accidents: [0, 1, 2, 4, 9][rng.index(5)],
            disasters: [0, 1, 3][rng.index(3)],
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
        let deed = if within(self.group) {
            if rng.chance(1, 2) {
                Deed::Finish
            } else {
                Deed::Build { edits: self.edits(rng, setup) }
            }
        } else if within(self.readers) {
            [Deed::Hold, Deed::Hold, Deed::Observe, Deed::Release, Deed::Release][rng.index(5)]
                .clone()
        } else if within(self.disasters) {
            match rng.below(6) {
                0 | 1 => Deed::Cut { seed: cut_seed(rng), lock_file: rng.chance(1, 3) },
                2 => Deed::Remount { seed: cut_seed(rng) },
                3 => Deed::AllDie { keep_lock_file: true },
                4 => Deed::AllDie { keep_lock_file: false },
                _ => Deed::Leave,
            }
        } else if within(self.deferred) {
            Deed::Commit { durability: Durability::Deferred, edits: self.edits(rng, setup) }
        } else if within(1) {
            match rng.below(16) {
                0..=6 => Deed::Check,
                7..=12 => Deed::Flush,
                13 => Deed::Churn { count: 40 },
                14 => Deed::ForeignSync,
                _ => Deed::LoseLockFile,
            }
        } else if within(1) {
            Deed::Abort { edits: self.edits(rng, setup) }
        } else {
            Deed::Commit { durability: Durability::Durable, edits: self.edits(rng, setup) }
        };
        let mut op = Op::new(process, deed);
        let after_disaster = ops.last().is_some_and(|op| op.deed.befalls_all());
        let share = if after_disaster { self.accidents * 2 } else { self.accidents };
        if rng.chance(share, 16) {
            op.accidents.push(accident(rng));
            // Compound accidents: what happens while another one is dealt with.
            if rng.chance(1, 3) {
                op.accidents.push(accident(rng));
            }
        }
        ops.push(op);
    }
}

/// Half of the cuts are chosen ones.
fn cut_seed(rng: &mut Rng) -> u64 {
    if rng.chance(1, 2) { rng.below(13) } else { 1_000 + rng.below(1 << 40) }
}

fn accident(rng: &mut Rng) -> Accident {
    let what = match rng.below(16) {
        0..=3 => What::Kill,
        4..=6 => What::Cut(cut_seed(rng)),
        7..=10 => What::Fail {
            errno: [libc::EIO, libc::EIO, libc::ENOSPC][rng.index(3)],
            times: [1, 1, 2, 4, u32::MAX][rng.index(5)],
        },
        11 => What::Visit,
        12..=14 => What::Turn { deferred: rng.chance(1, 2) },
        _ => What::Evict,
    };
    let at = if rng.chance(1, 3) { rng.below(60) } else { rng.below(24) } as u32;
    Accident { at, what }
}
