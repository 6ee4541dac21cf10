//! The process that judges crash states: mounts, opens, reads all, checks, commits once more,
//! checks again, unmounts.
//!
//! A request is a line of fields with tabs between them, the answer a line: `ok N`, or `lost
//! REASON`. A state may also kill this process; its other end takes note.
//!
//! Thread rules: one thread.

use super::Result;
use super::ground::Mounted;
use super::plan::Plan;
use super::script::{self, History};
use super::workload::Notes;
use nix::mount::MsFlags;
use recto::{Database, Report};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

/// Name of the database file.
pub const FILE: &str = "db";

/// A state to be judged.
pub struct Request {
    /// Of the recording.
    pub plan: Plan,
    /// The loop device.
    pub device: PathBuf,
    /// Where to mount it.
    pub mountpoint: PathBuf,
    /// Where to write progress.
    pub notes: PathBuf,
    /// Newest acknowledged transaction; none before the file was there.
    pub acked: Option<u64>,
    /// Newest begun transaction.
    pub begun: u64,
    /// The file is read from its begin to its end first, so that the kernel's cache has large
    /// folios.
    pub warm: bool,
}

impl Request {
    /// As a line.
    pub fn line(&self) -> String {
        let Request { plan, device, mountpoint, notes, acked, begun, warm } = self;
        let acked = acked.map_or("-".into(), |a| a.to_string());
        let [device, mountpoint, notes] = [device, mountpoint, notes].map(|p| p.display());
        format!("{plan}\t{device}\t{mountpoint}\t{notes}\t{acked}\t{begun}\t{warm}\n")
    }

    /// From a line.
    pub fn parse(line: &str) -> Result<Request> {
        let fields: Vec<&str> = line.trim_end().split('\t').collect();
        let [plan, device, mountpoint, notes, acked, begun, warm] = fields[..] else {
            return Err("a request has seven fields".into());
        };
        Ok(Request {
            plan: plan.parse()?,
            device: device.into(),
            mountpoint: mountpoint.into(),
            notes: notes.into(),
            acked: (acked != "-").then(|| acked.parse()).transpose()?,
            begun: begun.parse()?,
            warm: warm.parse()?,
        })
    }
}

/// Judges until standard input ends.
pub fn main() -> Result<()> {
    let mut history = History::new(0);
    for line in std::io::stdin().lock().lines() {
        let request = Request::parse(&line?)?;
        if history.seed() != request.plan.seed {
            history = History::new(request.plan.seed);
        }
        let answer = match judge(&request, &mut history) {
            Ok(n) => format!("ok {n}"),
            Err(e) => format!("lost {}", e.to_string().replace('\n', " / ")),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn judge(request: &Request, history: &mut History) -> Result<u64> {
    let Request { plan, device, mountpoint, .. } = request;
    let device = device.to_str().ok_or("a loop device has a plain name")?;
    let kind = plan.system.kind();
    let mounted = Mounted::new(device, mountpoint, kind, MsFlags::empty(), &plan.mount_options())?;
    let verdict = judge_file(request, &mountpoint.join(FILE), history);
    let unmounted = mounted.unmount();
    let n = verdict?;
    unmounted?;
    Ok(n)
}

fn judge_file(request: &Request, path: &Path, history: &mut History) -> Result<u64> {
    let notes = Notes::open(&request.notes)?;
    if !path.try_exists()? && request.acked.is_none() {
        return Ok(0);
    }
    if request.warm {
        std::fs::read(path)?;
    }
    let mut builder = request.plan.builder();
    builder.create(false);
    // SAFETY: nothing but recto changes the file.
    let db = unsafe { builder.open(path) }.map_err(|e| format!("open: {e}"))?;
    let found = history.recognise(&db.read()?)?;
    let oldest = request.acked.unwrap_or(0);
    if found < oldest || found > request.begun {
        let begun = request.begun;
        return Err(format!("transaction {found} is there, wanted {oldest} to {begun}").into());
    }
    clean("after opening", &db.check(None)?)?;
    // What was read must not go away at the next cut.
    notes.acked(found)?;
    go_on(request.plan.seed, &db, &notes, found, history)?;
    clean("after one more commit", &db.check(None)?)?;
    drop(db);
    clean("after closing", &recto::check_file(path, None)?)?;
    Ok(found)
}

/// One more commit works, and does what it says.
fn go_on(seed: u64, db: &Database, notes: &Notes, found: u64, history: &mut History) -> Result<()> {
    let mut txn = db.write().map_err(|e| format!("the next transaction: {e}"))?;
    let n = script::apply_next(seed, &mut txn)?;
    notes.begun(n)?;
    txn.commit().map_err(|e| format!("the next commit: {e}"))?;
    notes.acked(n)?;
    let now = history.recognise(&db.read()?)?;
    if n != found + 1 || now != n {
        return Err(format!("after {found}, transaction {n} led to {now}").into());
    }
    Ok(())
}

fn clean(when: &str, report: &Report) -> Result<()> {
    if report.is_clean() && report.pages.leaked == 0 {
        return Ok(());
    }
    let first = report.faults.first().map_or_else(String::new, |f| f.to_string());
    let (faults, leaked) = (report.fault_count, report.pages.leaked);
    Err(format!("check {when}: {faults} faults, {leaked} pages leaked: {first}").into())
}
