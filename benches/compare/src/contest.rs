//! An engine in the run: its databases, and the way from a workload's name to the code for it.

use crate::database::{Data, Db, Role, Sizes};
use crate::device::{Counters, Device};
use crate::engine::{Abilities, Engine};
use crate::outcome::{Failure, Guard, Outcome};
use crate::workload::Kind;
use crate::workloads::{churn, commit, load, open, parallel, read, scan};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What one round of a workload has measured.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Nanoseconds (or bytes) an operation.
    pub figure: f64,
    pub ops: u64,
    /// Of single operations, where they were timed.
    pub latencies_ns: Vec<u64>,
    /// Per operation, by the device's counters.
    pub device: Option<PerOp>,
    /// Anything else, by name.
    pub extra: Vec<(String, f64)>,
}

/// What the device did for each operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerOp {
    pub writes: f64,
    pub kib: f64,
    pub flushes: f64,
}

/// What a workload is given.
pub struct Context<'c> {
    pub data: &'c Data,
    pub guard: &'c mut Guard,
    pub device: &'c Device,
    /// The same for all engines, another one in each round.
    pub seed: u64,
}

/// Runs while something is measured.
pub struct Meter<'c> {
    device: &'c Device,
    before: Option<Counters>,
    start: Instant,
}

impl<'c> Context<'c> {
    pub fn rng(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// Indexes of random keys.
    pub fn picks(&self, count: usize) -> Vec<u32> {
        let mut rng = self.rng();
        (0..count).map(|_| rng.u32(..self.data.keys.len() as u32)).collect()
    }

    pub fn start(&self) -> Meter<'c> {
        Meter { device: self.device, before: self.device.counters(), start: Instant::now() }
    }

    pub fn sizes(&self) -> &'c Sizes {
        &self.data.sizes
    }
}

impl Meter<'_> {
    pub fn stop(&self, ops: u64) -> Sample {
        let ns = self.start.elapsed().as_nanos() as f64;
        let each = ops.max(1) as f64;
        let device = self.before.zip(self.device.counters()).map(|(before, after)| PerOp {
            writes: (after.writes - before.writes) as f64 / each,
            kib: (after.sectors_written - before.sectors_written) as f64 / 2.0 / each,
            flushes: (after.flushes - before.flushes) as f64 / each,
        });
        Sample { figure: ns / each, ops, device, ..Sample::default() }
    }
}

/// An engine in the run. The only place where engines are called through a pointer.
pub trait Contestant {
    fn name(&self) -> &'static str;
    fn abilities(&self) -> Abilities;
    /// Makes what a workload needs, so that no round measures it.
    fn prepare(&mut self, kind: Kind, cx: &mut Context) -> Outcome<()>;
    /// One round.
    fn run(&mut self, kind: Kind, cx: &mut Context) -> Outcome<Sample>;
    /// Reads all of a database and compares it.
    fn verify(&mut self, role: Role, data: &Data) -> Outcome<()>;
    /// Closes and deletes a database.
    fn forget(&mut self, role: Role) -> Outcome<()>;
}

pub struct Slot<E> {
    dir: PathBuf,
    dbs: [Option<Db<E>>; Role::ALL.len()],
}

impl<E: Engine> Slot<E> {
    pub fn new(dir: &Path) -> Slot<E> {
        Slot { dir: dir.join(E::NAME), dbs: Default::default() }
    }

    fn db(&mut self, role: Role) -> Outcome<&mut Db<E>> {
        self.dbs[role as usize].as_mut().ok_or_else(|| Failure::Error("no database".into()))
    }
}

impl<E: Engine> Contestant for Slot<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn abilities(&self) -> Abilities {
        E::ABILITIES
    }

    fn prepare(&mut self, kind: Kind, cx: &mut Context) -> Outcome<()> {
        let Some(role) = kind.role() else { return Ok(()) };
        if self.dbs[role as usize].is_none() {
            let dir = self.dir.join(format!("{role:?}").to_lowercase());
            let loaded = Db::load(&dir, role, cx.data, cx.guard);
            if loaded.is_err() {
                // What it has filled so far must not end the others' workloads too.
                std::fs::remove_dir_all(&dir)?;
            }
            self.dbs[role as usize] = Some(loaded?);
        }
        Ok(())
    }

    fn run(&mut self, kind: Kind, cx: &mut Context) -> Outcome<Sample> {
        let Some(role) = kind.role() else {
            return load::run::<E>(kind, &self.dir.join("fresh"), cx);
        };
        let db = self.db(role)?;
        match kind {
            Kind::LoadSequential | Kind::Append | Kind::LoadRandom => unreachable!("has no role"),
            Kind::Size | Kind::SizeOrdered => open::size(db),
            Kind::OpenGet => open::open_get(db, cx),
            Kind::BeginEnd => open::begin_end(db, cx),
            Kind::GetHit => read::hit(db, cx),
            Kind::GetMiss => read::miss(db, cx),
            Kind::GetZipf => read::zipf(db, cx),
            Kind::GetMany => read::many(db, cx),
            Kind::GetCold => read::cold(db, cx),
            Kind::GetManyCold => read::many_cold(db, cx),
            Kind::Seek100 => scan::seek(db, cx),
            Kind::Scan | Kind::ScanOrdered => scan::forward(db, cx),
            Kind::ScanBack => scan::back(db, cx),
            Kind::ScanCold | Kind::ScanColdOrdered => scan::cold(db, cx),
            Kind::ReadThreads(threads) => parallel::read_threads(db, cx, threads),
            Kind::ReadProcesses(processes) => parallel::read_processes(db, cx, processes),
            Kind::ReadBesideWriter => parallel::beside_writer(db, cx),
            Kind::Commit1 => commit::durable(db, cx, 1, 300),
            Kind::Commit1AfterCat => commit::after_cat(db, cx),
            Kind::CommitThreads(threads) => parallel::commit_threads(db, cx, threads),
            Kind::CommitProcesses(processes) => parallel::commit_processes(db, cx, processes),
            Kind::Commit100 => commit::durable(db, cx, 100, 30),
            Kind::Commit10000 => commit::durable(db, cx, 10_000, 4),
            Kind::Deferred1 => commit::deferred(db, cx),
            Kind::Overwrite => churn::overwrite(db, cx),
            Kind::Delete => churn::delete(db, cx),
            Kind::LongReader => churn::long_reader(db, cx),
            Kind::LargePut(_) => commit::large(db, cx),
            Kind::LargeGet(_) => read::large(db, cx),
        }
    }

    fn verify(&mut self, role: Role, data: &Data) -> Outcome<()> {
        self.db(role)?.verify(data)
    }

    fn forget(&mut self, role: Role) -> Outcome<()> {
        if let Some(mut db) = self.dbs[role as usize].take() {
            let closed = db.close();
            std::fs::remove_dir_all(&db.dir)?;
            closed?;
        }
        Ok(())
    }
}
