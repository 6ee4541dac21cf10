//! Recordings, the states they have, and what became of them.
//!
//! A recording is a disk with an empty file system, and the log of everything that happened to it
//! from the first mount to the last unmount. Its states are taken in the order of the log, so that
//! the base only ever goes forward. After some states the power goes a second time, at a point of
//! their own recovery.

use super::child::{Verifier, command};
use super::cut::{Cut, Kind, cuts};
use super::device::Device;
use super::disk::{Entry, Layer};
use super::ground::{Ground, Mounted, which};
use super::own::Own;
use super::plan::{FileSystem, Plan, Wrong};
use super::verifier::{FILE, Request};
use super::workload::PROCESSES;
use super::{Result, found};
use nix::mount::MsFlags;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// States taken from one recording before there is another.
const PER_RECORDING: usize = 250;
/// One state in so many is cut again.
const AGAIN: u32 = 4;
/// Losses that are kept in full.
const KEPT: usize = 5;
/// A workload that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(180);
/// More pages than a database of the script ever has.
const PAGES: u64 = 1 << 14;

/// What to do.
pub struct Campaign {
    /// Below which file systems.
    pub systems: Vec<FileSystem>,
    /// States of each of them; `usize::MAX` for no end.
    pub states: usize,
    /// Transactions of a recording.
    pub commits: u64,
    /// Everything random comes from it.
    pub seed: u64,
    /// No new state after this.
    pub until: Option<Instant>,
    /// The protocol, if it is to be wrong.
    pub wrong: Wrong,
    /// Where states that lost something are kept, if they are.
    pub keep: Option<PathBuf>,
    /// Set from outside to end early.
    pub stop: Arc<AtomicBool>,
}

/// States of one kind.
#[derive(Clone, Copy, Default, Debug)]
pub struct Count {
    /// Judged.
    pub states: u64,
    /// That had lost something.
    pub lost: u64,
}

/// What came out.
#[derive(Default, Debug)]
pub struct Summary {
    /// By file system and kind of cut.
    pub counts: BTreeMap<(&'static str, &'static str), Count>,
    /// Judging, by file system.
    pub time: BTreeMap<&'static str, Duration>,
    /// Recordings.
    pub recordings: u64,
    /// Transactions and log entries in them.
    pub transactions: u64,
    /// Writes and flushes below the file systems.
    pub entries: u64,
    /// The first losses, in words.
    pub lost: Vec<String>,
}

impl Summary {
    /// Of all kinds.
    pub fn total(&self) -> Count {
        let add =
            |a: Count, b: &Count| Count { states: a.states + b.states, lost: a.lost + b.lost };
        self.counts.values().fold(Count::default(), add)
    }
}

struct Recording {
    plan: Plan,
    device: Device,
    log: Vec<Entry>,
}

impl Campaign {
    /// Runs it; `tell` is called after each state.
    pub fn run(&self, tell: &mut dyn FnMut(&Summary)) -> Result<Summary> {
        let ground = Ground::new()?;
        let mut run = Run {
            campaign: self,
            ground: &ground,
            verifier: Verifier::default(),
            summary: Summary::default(),
            tell,
            boots: 0,
        };
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut left: Vec<_> = self.systems.iter().map(|&s| (s, self.states)).collect();
        while !self.over() && left.iter().any(|&(_, states)| states > 0) {
            for (system, states) in &mut left {
                let want = (*states).min(PER_RECORDING);
                if want == 0 || self.over() {
                    continue;
                }
                let plan = Plan::random(*system, rng.u64(..), self.commits, self.wrong);
                run.recording(plan, want).map_err(|e| format!("{plan}: {e}"))?;
                *states -= want;
            }
        }
        Ok(run.summary)
    }

    fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.until.is_some_and(|end| Instant::now() >= end)
    }
}

struct Run<'a> {
    campaign: &'a Campaign,
    ground: &'a Ground,
    verifier: Verifier,
    summary: Summary,
    tell: &'a mut dyn FnMut(&Summary),
    boots: u64,
}

impl Run<'_> {
    /// Makes a recording and judges `want` of its states.
    fn recording(&mut self, plan: Plan, want: usize) -> Result<()> {
        let recording = record(self.ground, plan, &self.campaign.stop)?;
        if self.campaign.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.summary.recordings += 1;
        self.summary.transactions += plan.commits;
        let own = Own::new(plan.page_size, PAGES);
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let mut chosen = cuts(&recording.log, &own, &mut rng);
        let notes = recording.log.iter().filter(|e| matches!(e, Entry::Note(_))).count();
        self.summary.entries += (recording.log.len() - notes) as u64;
        rng.shuffle(&mut chosen);
        chosen.truncate(want);
        chosen.sort_by_key(|cut| (cut.flushed, cut.end));
        let mut based = 0;
        for cut in chosen {
            if self.campaign.over() {
                break;
            }
            let mut disk = recording.device.disk();
            for entry in &recording.log[based..cut.flushed] {
                if let Entry::Write(offset, bytes) = entry {
                    disk.write_base(*offset, bytes);
                }
            }
            based = cut.flushed;
            disk.over.clear();
            drop(disk);
            let again = rng.u32(..AGAIN) == 0;
            let after = self.state(&recording, &recording.log, &cut, &own, &mut rng, None)?;
            if let Some((layer, log)) = after.filter(|_| again) {
                self.second(&recording, &cut, layer, &log, &own, &mut rng)?;
            }
        }
        recording.device.disk().over.clear();
        recording.device.forget()
    }

    /// The power goes again while a state is recovered and used.
    fn second(
        &mut self,
        recording: &Recording,
        first: &Cut,
        layer: Layer,
        log: &[Entry],
        own: &Own,
        rng: &mut fastrand::Rng,
    ) -> Result<()> {
        let mut cuts = cuts(log, own, rng);
        if cuts.is_empty() {
            return Ok(());
        }
        let mut cut = cuts.swap_remove(rng.usize(..cuts.len()));
        cut.acked = cut.acked.max(first.acked);
        cut.begun = cut.begun.max(first.begun);
        let mut disk = recording.device.disk();
        disk.over = layer;
        for entry in &log[..cut.flushed] {
            if let Entry::Write(offset, bytes) = entry {
                disk.write_over(*offset, bytes);
            }
        }
        drop(disk);
        self.state(recording, log, &cut, own, rng, Some(first)).map(drop)
    }

    /// Judges one state; its flushed part is on the disk already. Gives the state back, and the log
    /// of its recovery.
    fn state(
        &mut self,
        recording: &Recording,
        log: &[Entry],
        cut: &Cut,
        own: &Own,
        rng: &mut fastrand::Rng,
        first: Option<&Cut>,
    ) -> Result<Option<(Layer, Vec<Entry>)>> {
        let begin = Instant::now();
        let device = &recording.device;
        device.forget()?;
        let mut disk = device.disk();
        for (i, range) in cut.pieces(log, own) {
            if let Entry::Write(offset, bytes) = &log[i] {
                disk.write_over(offset + range.start as u64, &bytes[range]);
            }
        }
        disk.log.clear();
        disk.reads = 0;
        let layer = disk.over.clone();
        drop(disk);
        self.boots += 1;
        self.ground.reboot(self.boots)?;
        let request = Request {
            plan: recording.plan,
            device: device.path().to_owned(),
            mountpoint: self.ground.mountpoint(),
            notes: device.notes().to_owned(),
            acked: cut.acked,
            begun: cut.begun,
            warm: rng.bool(),
        };
        let verdict = self.verifier.ask(&request)?;
        if verdict.is_err() {
            self.ground.clear();
        }
        let mut disk = device.disk();
        let log = std::mem::take(&mut disk.log);
        if disk.reads == 0 {
            return Err("the kernel mounted a state without reading it".into());
        }
        drop(disk);
        let system = recording.plan.system.name();
        let kind = if first.is_some() { "second cut" } else { cut.kind.name() };
        let count = self.summary.counts.entry((system, kind)).or_default();
        count.states += 1;
        *self.summary.time.entry(system).or_default() += begin.elapsed();
        let fine = verdict.is_ok();
        if let Err(why) = verdict {
            count.lost += 1;
            self.lost(&request, device, layer.clone(), cut, first, &why)?;
        }
        (self.tell)(&self.summary);
        Ok(fine.then_some((layer, log)))
    }

    fn lost(
        &mut self,
        request: &Request,
        device: &Device,
        layer: Layer,
        cut: &Cut,
        first: Option<&Cut>,
        why: &str,
    ) -> Result<()> {
        if self.summary.lost.len() >= KEPT {
            return Ok(());
        }
        let describe = |c: &Cut| {
            let Cut { flushed, end, kind, seed, .. } = c;
            format!("{}, entries {flushed} to {end}, random {seed}", Kind::name(*kind))
        };
        let mut what = format!("{why} ({})", describe(cut));
        if let Some(first) = first {
            what = format!("{what}, after {}", describe(first));
        }
        let mut told = format!("{}: {what}", request.plan);
        if let Some(dir) = &self.campaign.keep {
            let number = self.summary.lost.len();
            let path = found::keep(dir, number, request, &device.disk().base, &layer, &what)?;
            told = format!("{told}\n  see it again: crash block --again {}", path.display());
        }
        self.summary.lost.push(told);
        Ok(())
    }
}

/// Makes a file system, lets the workload run on it, and takes the log.
fn record(ground: &Ground, plan: Plan, stop: &AtomicBool) -> Result<Recording> {
    let device = Device::new(plan.system.disk_bytes(), &ground.served())?;
    let tool = plan.system.make_tool();
    let program = which(&tool).ok_or_else(|| format!("{tool} is missing"))?;
    let made = Command::new(program)
        .args(plan.system.make_arguments())
        .arg(device.path())
        .stdin(Stdio::null())
        .output()?;
    if !made.status.success() {
        let told = String::from_utf8_lossy(&made.stderr);
        return Err(format!("{tool}: {}", told.trim()).into());
    }
    device.forget()?;
    device.disk().settle();
    ground.reboot(0)?;
    let name = device.path().to_str().ok_or("a loop device has a plain name")?;
    let options = plan.mount_options();
    let kind = plan.system.kind();
    let mounted = Mounted::new(name, &ground.mountpoint(), kind, MsFlags::empty(), &options)?;
    let worked = work(ground, &device, &plan, stop);
    let unmounted = mounted.unmount();
    worked?;
    unmounted?;
    device.forget()?;
    let mut disk = device.disk();
    let log = std::mem::take(&mut disk.log);
    disk.over.clear();
    drop(disk);
    Ok(Recording { plan, device, log })
}

/// Runs the processes of the workload to their end.
fn work(ground: &Ground, device: &Device, plan: &Plan, stop: &AtomicBool) -> Result<()> {
    let file = ground.mountpoint().join(FILE);
    let file = file.to_str().ok_or("a temporary directory has a plain name")?.to_owned();
    let notes = device.notes().to_str().ok_or("a temporary directory has a plain name")?;
    let mut running = Workers(Vec::new());
    let begin = Instant::now();
    for process in 0..PROCESSES {
        let arguments = ["workload", &plan.to_string(), &process.to_string(), &file, notes];
        running.0.push(command(&arguments).spawn()?);
        while !plan.together && !device.disk().log.iter().any(|e| matches!(e, Entry::Note(_))) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE || running.0[0].try_wait()?.is_some() {
                return Err("the workload does not begin".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    while !running.0.is_empty() && !stop.load(Ordering::Relaxed) {
        if begin.elapsed() > PATIENCE {
            return Err("the workload hangs".into());
        }
        for i in (0..running.0.len()).rev() {
            match running.0[i].try_wait()? {
                None => {}
                Some(status) if status.success() => drop(running.0.swap_remove(i)),
                Some(status) => return Err(format!("the workload failed: {status}").into()),
            }
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    Ok(())
}

/// Processes that do not outlive this value.
struct Workers(Vec<Child>);

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
