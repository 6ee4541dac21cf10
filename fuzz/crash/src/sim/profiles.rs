//! Random scripts of eight worlds, each with much of what stands in the way of one kind of promise:
//! lock files that are older than the file, or another's; a device that refuses what it is to
//! write; bounds that are reached; long chains of deferred commits that are rolled back under
//! readers; names that are given to snapshots and taken; handles that have the database alone,
//! between those who share it; loaders; processes that stop in the middle of a step while others go
//! on. A mix of everything finds these rarely.

use super::edit::Edit;
use super::op::{Fault, How, Op, OpKind, What};
use super::script::{Script, Setup};
use recto::harness::sim::{PARTS, Rng};
use recto::{Durability, Sink};

/// A world: its name, and its script of a seed.
pub type Profile = (&'static str, fn(u64) -> Script);

/// All of them.
pub const PROFILES: [Profile; 8] = [
    ("lock files", lock_files),
    ("bad device", bad_device),
    ("bounds", bounds),
    ("chains", chains),
    ("names", names),
    ("alone", alone),
    ("loads", loads),
    ("meanwhile", meanwhile),
];

/// How many of them [`any`] chooses from: all but the last ones, which have seeds of their own, so
/// that those of the others stay what they were.
const MIXED: usize = 4;

/// A script of one of them.
pub fn any(seed: u64) -> Script {
    let (_, script) = PROFILES[Rng::new(seed).index(MIXED)];
    script(seed)
}

const MAIN: u8 = 0;
const WIDE: u8 = 1;

/// A script that is being made, and what decides about it.
struct ScriptBuilder {
    rng: Rng,
    ops: Vec<Op>,
    processes: u64,
}

impl ScriptBuilder {
    fn new(seed: u64, processes: u64) -> ScriptBuilder {
        ScriptBuilder { rng: Rng::new(seed), ops: Vec::new(), processes }
    }

    fn of<T: Clone, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.rng.index(N)].clone()
    }

    fn process(&mut self) -> u8 {
        self.rng.below(self.processes) as u8
    }

    fn op(&mut self, kind: OpKind) {
        let op = Op::new(self.process(), kind);
        self.ops.push(op);
    }

    /// Something happens in the last operation.
    fn inject(&mut self, what: What) {
        let op = self.ops.last();
        // Where most of what matters stands: a build has few events, a flush comes behind one.
        let (first, count) = match op.map(|op| &op.kind) {
            _ if self.rng.chance(1, 3) => (0, 26),
            Some(
                OpKind::Commit { durability: Durability::Deferred, .. } | OpKind::Build { .. },
            ) => (3, 8),
            _ => (6, 16),
        };
        self.inject_at(first, count, what);
    }

    /// Something happens in the last operation, at one of `count` events from `first` on.
    fn inject_at(&mut self, first: u64, count: u64, what: What) {
        let at = (first + self.rng.below(count)) as u32;
        if let Some(op) = self.ops.last_mut() {
            op.faults.push(Fault { at, what });
        }
    }

    fn commit(&mut self, durability: Durability, edits: Vec<Edit>) {
        self.op(OpKind::Commit { durability, edits });
    }

    fn begins_with(&mut self, count: u16) {
        let fill = Edit::Fill { table: MAIN, from: 0, count, step: 1, len: 60 };
        self.commit(Durability::Durable, vec![fill]);
    }

    /// One page of a tree or two; now and then a value in pages of its own.
    fn small(&mut self) -> Vec<Edit> {
        let count = 1 + self.rng.below(2);
        let edit = |builder: &mut ScriptBuilder| {
            let (key, table) = (builder.rng.below(12) as u16, builder.of([0, 0, 0, 3]));
            match builder.rng.below(8) {
                0 => Edit::Del { table, key },
                1 => Edit::Put { table, key, len: 2_500 + builder.rng.below(6_000) as u32 },
                _ => Edit::Put { table, key, len: 4 + builder.rng.below(900) as u32 },
            }
        };
        (0..count).map(|_| edit(self)).collect()
    }

    fn script(self, setup: Setup) -> Script {
        Script { setup, ops: self.ops }
    }
}

fn plain(builder: &mut ScriptBuilder) -> Setup {
    Setup {
        page_size: builder.of([4096, 4096, 4096, 8192]),
        sink: if builder.rng.chance(1, 4) { Sink::Direct } else { Sink::Staged },
        machine: builder.rng.next_u64() >> 1,
        second: 0,
        outcomes: 0,
        ..Setup::default()
    }
}

/// The lock file is older than the file, as a whole or in parts; or another one is used in turns;
/// or the file is not the one it was; and whoever used it has died in the middle of something.
fn lock_files(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 2);
    let setup = Setup {
        manifest: builder.of([[40; 3], [40, 4, 1]]),
        records: builder.of([0, 0, 0, 6, 30]),
        remember: 1,
        ids_ahead: builder.of([0, 1, 2, 6]),
        probe: builder.of([3, 5, 9, 17]),
        remounts: builder.of([1, 3]),
        second: builder.of([0, 5, 15]),
        ..plain(&mut builder)
    };
    builder.begins_with(4);
    for _ in 0..6 + builder.rng.below(16) {
        let edits = builder.small();
        match builder.rng.below(32) {
            0..=10 => builder.commit(Durability::Deferred, edits),
            11..=14 => builder.commit(Durability::Durable, edits),
            15 => builder.op(OpKind::Build { edits }),
            16 => builder.op(OpKind::Finish),
            17 => builder.op(OpKind::Flush),
            18 => builder.op(OpKind::Hold),
            19 => builder.op(OpKind::Release),
            20 => builder.op(OpKind::Leave),
            21 | 22 => builder.op(OpKind::AllDie { keep_lock_file: true }),
            23 => builder.op(OpKind::AllDie { keep_lock_file: false }),
            24 | 25 => builder.op(OpKind::OtherLockFile),
            26 => builder.op(OpKind::Copy),
            27 | 28 => {
                let commits = builder.of([0, 1, 3, 254, 254, 255, 255]);
                builder.op(OpKind::Restore { commits });
            }
            29 => {
                let seed = builder.rng.below(1 << 40);
                builder.op(OpKind::Cut { seed, lock_file: true });
            }
            _ => {
                let seed = PARTS | builder.rng.next_u64() >> 8;
                builder.op(OpKind::Remount { seed });
            }
        }
        if builder.rng.chance(1, 3) {
            let (turn, deferred) = (What::Turn { deferred: false }, What::Turn { deferred: true });
            let what = builder.of([
                What::Kill,
                What::Kill,
                What::Kill,
                deferred,
                deferred,
                turn,
                What::Visit,
            ]);
            builder.inject(what);
        }
    }
    builder.script(setup)
}

/// The device refuses what it is to write, who is told of it is another, and what was lost leaves
/// the cache: between commits, in the middle of a transaction, and while others wait for theirs.
fn bad_device(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 2);
    let setup = Setup {
        stage: builder.of([4, 4, 24]),
        records: builder.of([0, 12, 30, 100]),
        probe: builder.of([0, 0, 4, 9]),
        outcomes: 1 + builder.rng.below(2),
        ..plain(&mut builder)
    };
    builder.begins_with(30);
    for _ in 0..10 + builder.rng.below(30) {
        let edits = builder.small();
        match builder.rng.below(32) {
            0..=5 => builder.commit(Durability::Deferred, edits),
            6 | 7 => builder.commit(Durability::Durable, edits),
            8 | 9 => builder.op(OpKind::Build { edits }),
            10 | 11 => builder.op(OpKind::Finish),
            12 => builder.interrupted(edits),
            13..=15 => {
                let edits = builder.many();
                builder.op(OpKind::Begin { edits });
            }
            16 | 17 => {
                let how =
                    builder.of([How::Durable, How::Durable, How::Deferred, How::Build, How::Abort]);
                builder.op(OpKind::End { how });
            }
            18 | 19 => builder.op(OpKind::Flush),
            20..=22 => builder.op(OpKind::DeviceWrites),
            23 | 24 => builder.op(OpKind::DeviceRefuses),
            25 => builder.op(OpKind::Evict),
            26 => builder.op(OpKind::ForeignSync),
            27 => {
                let kind = builder.of([OpKind::Hold, OpKind::Release, OpKind::Leave]);
                builder.op(kind);
            }
            28 => builder.spilled(),
            29 => {
                builder.op(OpKind::Flush);
                builder.lost();
                builder.op(OpKind::Finish);
            }
            _ => builder.lost(),
        }
        if builder.rng.chance(1, 12) {
            let what = builder.of([What::Kill, What::Turn { deferred: true }, What::Visit]);
            builder.inject(what);
        }
    }
    builder.script(setup)
}

impl ScriptBuilder {
    /// More than a small stage keeps.
    fn many(&mut self) -> Vec<Edit> {
        let (from, step) = (self.rng.below(3) as u16 * 20, 1 + self.rng.below(3) as u16);
        let (count, len) = match self.rng.below(3) {
            0 => (4 + self.rng.below(16) as u16, 1_200 + self.rng.below(2_000) as u32),
            _ => (40 + self.rng.below(120) as u16, 40 + self.rng.below(100) as u32),
        };
        vec![Edit::Fill { table: MAIN, from, count, step, len }]
    }

    /// Lost, and known to be.
    fn lost(&mut self) {
        self.op(OpKind::DeviceRefuses);
        self.op(OpKind::Flush);
        self.op(OpKind::Evict);
    }

    /// Deferred commits, of which the device has taken some; and a transaction on top, beside which
    /// a flush fails.
    fn interrupted(&mut self, edits: Vec<Edit>) {
        for _ in 0..self.rng.below(8) {
            let edits = self.small();
            self.commit(Durability::Deferred, edits);
            if self.rng.chance(2, 3) {
                self.op(OpKind::DeviceWrites);
            }
        }
        let process = self.process();
        self.ops.push(Op::new(process, OpKind::Begin { edits: edits.clone() }));
        self.lost();
        self.ops.push(Op::new(process, OpKind::Begin { edits }));
        let how = self.of([How::Durable, How::Durable, How::Deferred, How::Build]);
        self.ops.push(Op::new(process, OpKind::End { how }));
    }

    /// A transaction that comes back to its pages, while the device writes some and refuses others.
    fn spilled(&mut self) {
        let process = self.process();
        for _ in 0..2 + self.rng.below(4) {
            let edits = self.many();
            self.ops.push(Op::new(process, OpKind::Begin { edits }));
            match self.rng.below(4) {
                0 => {}
                1 => self.op(OpKind::DeviceWrites),
                _ => {
                    self.op(OpKind::DeviceRefuses);
                    self.op(OpKind::Evict);
                }
            }
        }
        self.ops.push(Op::new(process, OpKind::End { how: How::Durable }));
    }
}

/// Ids are reserved by ones and twos, a manifest may name a few pages, and few may be shown that
/// are not durable.
fn bounds(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 3);
    let setup = Setup {
        ids_ahead: 1 + builder.rng.below(3),
        unproved: builder.of([0, 4, 10]),
        manifest_pages: builder.of([0, 2, 6]),
        records: builder.of([0, 0, 0, 30]),
        probe: builder.of([1, 2]),
        outcomes: 2,
        remounts: builder.rng.below(2),
        second: builder.of([0, 200]),
        ..plain(&mut builder)
    };
    builder.begins_with(4);
    for _ in 0..8 + builder.rng.below(16) {
        let mut edits = builder.small();
        if builder.rng.chance(1, 3) {
            let pages = 1 + builder.rng.below(24) as u32;
            let len = pages * setup.page_size as u32;
            edits.push(Edit::Put { table: 2, key: builder.rng.below(4) as u16, len });
        }
        match builder.rng.below(16) {
            0..=7 => builder.commit(Durability::Deferred, edits),
            8..=10 => builder.commit(Durability::Durable, edits),
            11 => builder.op(OpKind::Flush),
            12 => builder.op(OpKind::Hold),
            13 => builder.op(OpKind::Release),
            14 => {
                let seed = builder.rng.below(1 << 40);
                let lock_file = builder.rng.chance(1, 4);
                builder.op(OpKind::Cut { seed, lock_file });
            }
            _ => {
                let keep_lock_file = builder.rng.chance(1, 2);
                builder.op(OpKind::AllDie { keep_lock_file });
            }
        }
        if builder.rng.chance(1, 8) {
            let what = builder.of([What::Kill, What::Turn { deferred: true }, What::Visit]);
            builder.inject(what);
        }
    }
    builder.script(setup)
}

/// A long chain of deferred commits uses again what its own free log had, under readers; the device
/// refuses its flush, and what is built on the snapshot before it uses those places too.
fn chains(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 1);
    let setup = Setup {
        lists: builder.of([1, 2, 4, 4, 8]),
        growth: 8,
        evict: 1_500,
        probe: 60,
        outcomes: 1,
        ..plain(&mut builder)
    };
    let (keys, wide) = (120, 60);
    for (count, step, len) in [(1, 1, 300), (3, 3, 301)] {
        for (table, keys) in [(MAIN, keys), (WIDE, wide)] {
            let fill = Edit::Fill { table, from: 0, count: keys / count, step, len };
            builder.commit(Durability::Durable, vec![fill]);
        }
    }
    let put = |builder: &mut ScriptBuilder| {
        let (table, keys) = builder.of([(MAIN, keys), (MAIN, keys), (MAIN, keys), (WIDE, wide)]);
        let other = 200 + builder.rng.below(200) as u32;
        let len = builder.of([300, other]);
        Edit::Put { table, key: builder.rng.below(keys.into()) as u16, len }
    };
    let puts = |builder: &mut ScriptBuilder| {
        (0..1 + builder.rng.below(4)).map(|_| put(builder)).collect::<Vec<_>>()
    };
    let mut held = 0;
    for _ in 0..10 + builder.rng.below(50) {
        let edits = puts(&mut builder);
        builder.commit(Durability::Deferred, edits);
        match builder.rng.below(12) {
            0 => {
                builder.ops.push(Op::new(1, OpKind::Hold));
                held += 1;
            }
            1 if held > 0 => {
                builder.op(OpKind::Release);
                held -= 1;
            }
            _ => {}
        }
    }
    builder.ops.push(Op::new(2, OpKind::Hold));
    for _ in 0..builder.rng.below(6) {
        let edits = puts(&mut builder);
        builder.commit(Durability::Deferred, edits);
    }
    let refused = Fault { at: 3, what: What::Fail { errno: libc::EIO, times: 1 } };
    builder.ops.push(Op { faults: vec![refused], ..Op::new(0, OpKind::Flush) });
    for _ in 0..4 + builder.rng.below(16) {
        let edits = puts(&mut builder);
        let durability =
            builder.of([Durability::Durable, Durability::Durable, Durability::Deferred]);
        builder.commit(durability, edits);
    }
    builder.op(OpKind::Release);
    let edits = puts(&mut builder);
    builder.commit(Durability::Durable, edits);
    builder.script(setup)
}

/// Small commits, of which many name what they begin from, or drop a name: pages that only a
/// snapshot sees, and their places soon after.
pub fn names(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 2);
    let setup = Setup {
        probe: builder.of([0, 3, 40]),
        second: builder.of([0, 40]),
        lists: builder.of([0, 0, 4]),
        manifest: builder.of([[40, 180, 12], [4, 40, 3], [1, 4, 1]]),
        growth: 1,
        ..plain(&mut builder)
    };
    builder.begins_with(40);
    let deferred = builder.of([1, 3, 5]);
    for _ in 0..25 + builder.rng.below(60) {
        let durability = match builder.rng.below(6) {
            n if n < deferred => Durability::Deferred,
            _ => Durability::Durable,
        };
        let edits = builder.small();
        let edits = match builder.rng.below(3) {
            0 => Edit::named(&edits, &mut builder.rng),
            _ => edits,
        };
        let edits = match builder.rng.below(4) {
            0 => Edit::nested(&edits, &mut builder.rng),
            _ => edits,
        };
        builder.commit(durability, edits);
        match builder.rng.below(24) {
            0 => builder.op(OpKind::Flush),
            1 => builder.op(OpKind::Hold),
            2 => builder.op(OpKind::Release),
            3 => builder.op(OpKind::Leave),
            4 => builder.op(OpKind::AllDie { keep_lock_file: seed.is_multiple_of(2) }),
            5 => {
                let seed = builder.rng.below(13);
                builder.op(OpKind::Cut { seed, lock_file: false });
            }
            6 => builder.inject(What::Kill),
            7 => builder.inject(What::Fail { errno: libc::EIO, times: 1 }),
            8 => builder.op(OpKind::Check),
            _ => {}
        }
    }
    builder.script(setup)
}

/// Small commits of those who share the database, and between them somebody who has it to itself;
/// whoever it is may die, and what he leaves is found by one of the other kind.
pub fn alone(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 2);
    let setup = Setup {
        manifest: builder.of([[40; 3], [40, 4, 1]]),
        records: builder.of([0, 0, 6, 30]),
        ids_ahead: builder.of([0, 0, 1, 6]),
        probe: builder.of([2, 5, 9]),
        outcomes: 1,
        remounts: builder.of([0, 0, 1]),
        second: builder.of([0, 60]),
        ..plain(&mut builder)
    };
    builder.begins_with(4);
    for _ in 0..4 + builder.rng.below(12) {
        let edits = builder.small();
        match builder.rng.below(20) {
            0..=3 => builder.commit(Durability::Deferred, edits),
            4 | 5 => builder.commit(Durability::Durable, edits),
            6 => builder.op(OpKind::Build { edits }),
            7 => builder.op(OpKind::Finish),
            8 => builder.op(OpKind::Hold),
            9 => builder.op(OpKind::Leave),
            10 => builder.op(OpKind::AllDie { keep_lock_file: true }),
            11 => {
                let seed = builder.rng.below(1 << 40);
                builder.op(OpKind::Cut { seed, lock_file: true });
            }
            _ => builder.op(OpKind::Alone { edits }),
        }
        if builder.rng.chance(1, 2) {
            let cut = What::Cut(builder.rng.below(1 << 40));
            let refused = What::Fail { errno: libc::EIO, times: 1 };
            let turn = What::Turn { deferred: false };
            let what = builder.of([What::Kill, What::Kill, What::Kill, cut, refused, turn]);
            // Anywhere in what one does alone: its coming, three commits, its going.
            let at = builder.rng.below(120) as u32;
            if let Some(op) = builder.ops.last_mut() {
                op.faults.push(Fault { at, what });
            }
        }
    }
    builder.script(setup)
}

/// Loads into tables that are there and that are new, with readers, savepoints and faults.
pub fn loads(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 2);
    let setup = Setup {
        stage: builder.of([4, 24, 400]),
        probe: builder.of([0, 7, 40]),
        outcomes: 1,
        second: 0,
        disk: builder.of([0, 0, 0, 60, 120]),
        growth: builder.of([1, 2, 8]),
        ..plain(&mut builder)
    };
    builder.begins_with(40);
    for _ in 0..4 + builder.rng.below(12) {
        let edits = builder.small();
        let edits = Edit::loaded(&edits, &mut builder.rng, setup.page_size);
        let edits = match builder.rng.below(4) {
            0 => Edit::nested(&edits, &mut builder.rng),
            _ => edits,
        };
        match builder.rng.below(16) {
            0 => builder.op(OpKind::Abort { edits }),
            1 => builder.op(OpKind::Begin { edits }),
            2 => builder.op(OpKind::End { how: How::Durable }),
            3 => builder.op(OpKind::Hold),
            4 => builder.op(OpKind::Release),
            5 => builder.op(OpKind::AllDie { keep_lock_file: true }),
            6..=9 => builder.commit(Durability::Deferred, edits),
            _ => builder.commit(Durability::Durable, edits),
        }
        match builder.rng.below(16) {
            0 => builder.inject(What::Kill),
            1 => builder.inject(What::Fail { errno: libc::ENOSPC, times: 1 }),
            2 => builder.inject(What::Fail { errno: libc::EIO, times: 1 }),
            _ => {}
        }
    }
    builder.script(setup)
}

/// Others act while a process is in the middle of a step, dead, or away: who flushes is overtaken
/// or dies, who begins to read is late, who repairs fails or dies as well, who comes was told of
/// nothing. All are there from the beginning: who comes beside what is not durable repairs first,
/// and meets nothing of most of this.
pub fn meanwhile(seed: u64) -> Script {
    let mut builder = ScriptBuilder::new(seed, 3);
    let setup = Setup {
        manifest: builder.of([[40; 3], [40, 4, 1], [1, 180, 1]]),
        growth: builder.of([1, 2, 8]),
        evict: 8_000,
        probe: builder.of([1, 2, 3]),
        outcomes: 1 + builder.rng.below(2),
        ..plain(&mut builder)
    };
    builder.begins_with(12);
    for process in 0..builder.processes as u8 {
        let edits = builder.small();
        let durability = builder.of([Durability::Durable, Durability::Deferred]);
        builder.ops.push(Op::new(process, OpKind::Commit { durability, edits }));
    }
    let from = builder.ops.len();
    for _ in 0..1 + builder.rng.below(3) {
        match builder.rng.below(9) {
            0 | 1 => builder.overtaken_flush(),
            2 | 3 => builder.dead_leader(),
            4 | 5 => builder.late_reader(),
            6 | 7 => builder.broken_repair(),
            _ => builder.newcomer(),
        }
    }
    builder.script(Setup { from, ..setup })
}

impl ScriptBuilder {
    fn commit_of(&mut self, process: u8, durability: Durability) {
        let edits = self.small();
        self.ops.push(Op::new(process, OpKind::Commit { durability, edits }));
    }

    /// Not this one.
    fn other(&mut self, process: u8) -> u8 {
        (process + 1 + self.rng.below(self.processes - 1) as u8) % self.processes as u8
    }

    /// Behind that: durable commits of anybody but `process`, who would have to come anew.
    fn others_commit(&mut self, process: u8, most: u64) {
        for _ in 0..1 + self.rng.below(most) {
            let other = self.other(process);
            self.commit_of(other, Durability::Durable);
        }
    }

    /// Others build on what somebody is about to flush, and on each other's.
    fn overtaken_flush(&mut self) {
        for _ in 0..3 + self.rng.below(6) {
            let process = self.process();
            self.commit_of(process, Durability::Deferred);
        }
        let process = self.process();
        let first = match self.rng.chance(2, 3) {
            true => {
                self.ops.push(Op::new(process, OpKind::Flush));
                1
            }
            false => {
                self.commit_of(process, Durability::Durable);
                8
            }
        };
        let (turn, deferred) = (What::Turn { deferred: false }, What::Turn { deferred: true });
        let what = self.of([deferred, deferred, deferred, deferred, turn, What::Visit]);
        self.inject_at(first, 10, what);
        self.others_commit(process, 2);
    }

    /// Who leads a flush dies, and somebody reads before another one is led.
    fn dead_leader(&mut self) {
        let process = self.process();
        if self.rng.chance(1, 2) {
            self.commit_of(process, Durability::Deferred);
        }
        self.commit_of(process, Durability::Durable);
        self.inject_at(14, 16, What::Kill);
        if self.rng.chance(1, 4) {
            self.inject_at(8, 12, What::Turn { deferred: true });
        }
        let other = self.other(process);
        self.ops.push(Op::new(other, OpKind::Hold));
        self.others_commit(process, 3);
        self.op(OpKind::Release);
    }

    /// Others commit while somebody begins to read, and use again what they have freed.
    fn late_reader(&mut self) {
        let process = self.process();
        if self.rng.chance(1, 2) {
            self.ops.push(Op::new(process, OpKind::Leave));
        }
        self.op(OpKind::Flush);
        let kind = self.of([OpKind::Hold, OpKind::Observe]);
        self.ops.push(Op::new(process, kind));
        let deferred = self.of([false, false, false, true]);
        self.inject_at(0, 12, What::Turn { deferred });
        self.others_commit(process, 6);
        self.op(OpKind::Release);
    }

    /// A flush fails, the repair behind it fails or its process dies, and what the device has lost
    /// leaves the cache.
    fn broken_repair(&mut self) {
        let process = self.process();
        if self.rng.chance(1, 2) {
            self.commit_of(process, Durability::Deferred);
        }
        let fail = |errno| What::Fail { errno, times: 1 };
        self.commit_of(process, Durability::Durable);
        self.inject_at(10, 14, fail(libc::EIO));
        // Mostly of who was told of the failure: others are told by their own sync.
        let other = self.other(process);
        let next = self.of([process, process, other]);
        self.commit_of(next, Durability::Durable);
        let what = self.of([fail(libc::EIO), fail(libc::ENOSPC), What::Kill]);
        self.inject_at(0, 14, what);
        self.op(OpKind::Evict);
        self.commit_of(process, Durability::Durable);
        let other = self.other(process);
        self.others_commit(other, 2);
    }

    /// Who has written knows that the device has refused it, or a program that is not recto does;
    /// who comes then is told of nothing, and flushes.
    fn newcomer(&mut self) {
        let process = self.process();
        let other = self.other(process);
        self.ops.push(Op::new(process, OpKind::Flush));
        if self.rng.chance(1, 2) {
            self.ops.push(Op::new(other, OpKind::Leave));
        }
        for _ in 0..1 + self.rng.below(3) {
            self.commit_of(process, Durability::Deferred);
        }
        self.op(OpKind::DeviceRefuses);
        let told = self.of([OpKind::ForeignSync, OpKind::ForeignSync, OpKind::Flush]);
        self.ops.push(Op::new(process, told));
        match self.rng.chance(3, 4) {
            true => self.ops.push(Op::new(other, OpKind::Flush)),
            false => self.commit_of(other, Durability::Durable),
        }
        self.commit_of(other, Durability::Durable);
    }
}
