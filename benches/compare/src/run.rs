//! The run: all workloads, all rounds, the engines in turns, in another order each round.

use crate::contest::{Contestant, Context, Sample, Slot};
use crate::database::{Data, Role, Sizes};
use crate::device::Device;
use crate::engine::Engine;
use crate::for_each_engine;
use crate::keys::spread;
use crate::limits;
use crate::outcome::{Failure, Guard, Outcome};
use crate::report::{EngineResult, Report, WorkloadResult};
use crate::workload::Workload;
use std::collections::BTreeMap;
use std::path::Path;

pub struct Options<'o> {
    pub sizes: Sizes,
    pub rounds: usize,
    pub engines: Option<&'o [String]>,
    pub workloads: Vec<Workload>,
    pub limits: bool,
    pub max_disk: u64,
}

/// Names of all engines.
pub fn engine_names() -> Vec<&'static str> {
    let mut names = vec![];
    macro_rules! name {
        ($engine:ty) => {
            names.push(<$engine>::NAME)
        };
    }
    for_each_engine!(name);
    names
}

fn contestants(dir: &Path, wanted: Option<&[String]>) -> Vec<Box<dyn Contestant>> {
    let mut all: Vec<Box<dyn Contestant>> = vec![];
    macro_rules! add {
        ($engine:ty) => {
            if wanted.is_none_or(|names| names.iter().any(|n| n == <$engine>::NAME)) {
                all.push(Box::new(Slot::<$engine>::new(dir)));
            }
        };
    }
    for_each_engine!(add);
    all
}

/// Everything that the workloads of a run share.
struct Run<'r> {
    data: Data,
    guard: Guard,
    device: &'r Device,
    engines: Vec<Box<dyn Contestant>>,
    rounds: usize,
    failures: Vec<String>,
}

/// Runs everything in `dir`. A wrong answer ends the run, an error of an engine only its part of a
/// workload; both are in the report's `failures`.
pub fn run(options: &Options, dir: &Path) -> Outcome<Report> {
    let device = Device::of(dir);
    let machine = machine(&device);
    let mut run = Run {
        data: Data::new(&options.sizes),
        guard: Guard::new(dir, options.max_disk),
        device: &device,
        engines: contestants(dir, options.engines),
        rounds: options.rounds,
        failures: vec![],
    };
    let mut report = Report {
        machine,
        keys: options.sizes.keys,
        shape: format!("{:?}", options.sizes.shape).to_lowercase(),
        value_len: options.sizes.value_len,
        rounds: options.rounds,
        ..Report::default()
    };
    if options.limits {
        eprintln!("limits of the machine");
        report.limits = limits::measure(&run.data, dir, options.rounds, &mut run.guard)?;
        report.machine.insert("limits".into(), limits::in_a_line(&report.limits));
    }
    for (at, workload) in options.workloads.iter().enumerate() {
        let result = run.workload(workload);
        let over = result.is_err();
        match result {
            Ok(result) => report.workloads.push(result),
            Err(Failure::Stopped) => return Err(Failure::Stopped),
            Err(failure) => run.failures.push(failure.to_string()),
        }
        if over {
            break;
        }
        let needed = |role| options.workloads[at + 1..].iter().any(|w| w.kind.role() == Some(role));
        for role in Role::ALL.into_iter().filter(|role| !needed(*role)) {
            for engine in &mut run.engines {
                engine.forget(role)?;
            }
        }
    }
    report.failures = run.failures;
    Ok(report)
}

impl Run<'_> {
    fn workload(&mut self, workload: &Workload) -> Outcome<WorkloadResult> {
        let kind = workload.kind;
        let count = self.engines.len();
        let mut notes: Vec<Option<String>> = self
            .engines
            .iter()
            .map(|e| kind.left_out(&e.abilities(), self.data.sizes.value_len))
            .map(|why| why.map(|why| format!("left out: {why}")))
            .collect();
        let mut samples: Vec<Vec<Sample>> = vec![vec![]; count];
        for (which, note) in notes.iter_mut().enumerate().filter(|(_, note)| note.is_none()) {
            let prepare =
                |e: &mut dyn Contestant, cx: &mut Context| e.prepare(kind, cx).map(|()| None);
            *note = self.part(which, workload, 0, prepare)?.err();
        }
        for round in 0..self.rounds {
            eprint!("{} {}/{}:", workload.name, round + 1, self.rounds);
            for turn in 0..count {
                let which = (round + turn) % count;
                if notes[which].is_some() {
                    continue;
                }
                eprint!(" {}", self.engines[which].name());
                let seed =
                    workload.name.bytes().fold(round as u64, |seed, b| spread(seed ^ u64::from(b)));
                match self.part(which, workload, seed, |e, cx| e.run(kind, cx).map(Some))? {
                    Ok(sample) => samples[which].extend(sample),
                    Err(note) => notes[which] = Some(note),
                }
            }
            eprintln!();
        }
        if let Some(role) = kind.role().filter(|_| kind.writes()) {
            for (which, note) in notes.iter_mut().enumerate().filter(|(_, note)| note.is_none()) {
                let verify = |e: &mut dyn Contestant, cx: &mut Context| {
                    e.verify(role, cx.data).map(|()| None)
                };
                *note = self.part(which, workload, 0, verify)?.err();
            }
        }
        let engines = self.engines.iter().zip(&samples).zip(notes);
        let mut result = WorkloadResult {
            name: workload.name.clone(),
            group: workload.group.into(),
            unit: workload.unit.into(),
            about: workload.about.into(),
            is_size: kind.is_size(),
            engines: engines.map(|((e, s), note)| EngineResult::new(e.name(), s, note)).collect(),
        };
        result.relate();
        Ok(result)
    }

    /// One engine's part. The outer error ends the run, the inner one says why this engine ended
    /// early.
    fn part(
        &mut self,
        which: usize,
        workload: &Workload,
        seed: u64,
        work: impl FnOnce(&mut dyn Contestant, &mut Context) -> Outcome<Option<Sample>>,
    ) -> Outcome<Result<Option<Sample>, String>> {
        let engine = self.engines[which].as_mut();
        let mut cx =
            Context { data: &self.data, guard: &mut self.guard, device: self.device, seed };
        let outcome =
            work(engine, &mut cx).and_then(|sample| self.guard.check_now().map(|()| sample));
        let failure = match outcome {
            Ok(sample) => return Ok(Ok(sample)),
            Err(failure) => failure,
        };
        let text = format!("{}, {}: {failure}", workload.name, engine.name());
        match failure {
            Failure::Stopped => return Err(Failure::Stopped),
            Failure::Wrong(_) => return Err(Failure::Wrong(text)),
            Failure::Disk(_) => {}
            Failure::Error(_) => self.failures.push(text),
        }
        // What it has left behind matches no model: the next workload begins with a new one.
        if let Some(role) = workload.kind.role() {
            engine.forget(role)?;
        }
        Ok(Err(failure.to_string()))
    }
}

/// What the run stands on.
fn machine(device: &Device) -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |path: &str, begins: &str| {
        let text = read(path);
        let line = text.lines().find(|line| line.starts_with(begins)).unwrap_or("");
        line.split_once(':').map_or("unknown", |(_, is)| is.trim()).to_string()
    };
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let load: String = read("/proc/loadavg").split_whitespace().take(1).collect();
    let disk = match (device.name(), device.others_kib()) {
        (Some(name), Some(kib)) if kib > 0.0 => {
            format!("{name}; others write {kib:.0} KiB/s to it, and are counted")
        }
        (Some(name), _) => format!("{name}; nobody else writes to it now"),
        _ => "not one device: its writes are not counted".into(),
    };
    let facts = [
        ("processor", format!("{} ({cores} cores)", line("/proc/cpuinfo", "model name"))),
        ("memory", line("/proc/meminfo", "MemTotal")),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_string()),
        ("load", format!("{load} when the run began")),
        ("device", disk),
    ];
    facts.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
}
