//! The life of one database: processes that write and read, agents that look, and the files they
//! share.

use super::child::{Child, Role};
use super::counts::Counts;
use super::process::{Done, Process, Trouble, kill_all};
use fastrand::Rng;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The user that may not write: `nobody` everywhere.
pub const NOBODY: u32 = 65_534;
/// A file longer than this has grown without bound: the content is below 4 MiB, with what commits
/// and readers pin below 12.
pub const LONGEST: u64 = 40 << 20;

/// What all lives of a campaign have in common.
pub struct Ground {
    /// This program.
    pub exe: OsString,
    /// Where the directories of the lives are made.
    pub bases: Vec<PathBuf>,
    /// Why there can be no other users; None if there can.
    pub no_users: Option<String>,
    /// Why there can be no pid namespaces; None if there can.
    pub no_namespaces: Option<String>,
    /// Writers acknowledge too early, so that the harness has something to find.
    pub early: bool,
}

/// A process that is started again and again.
pub struct Worker {
    /// What it is.
    pub child: Child,
    /// None while it is dead.
    pub process: Option<Process>,
}

/// A database and its processes.
pub struct Life<'a> {
    /// What all lives have in common.
    pub ground: &'a Ground,
    /// Chance.
    pub rng: Rng,
    /// What is counted.
    pub counts: &'a mut Counts,
    /// Writers, then readers.
    pub workers: Vec<Worker>,
    /// The agent that lives from cycle to cycle, in lives that have one.
    pub agent: Option<Process>,
    /// It is to have one.
    pub witness: bool,
    /// What every process has in common.
    pub common: Child,
    dir: TempDir,
    errors: File,
}

impl<'a> Life<'a> {
    /// A new directory, and the shape of a life in it. Nothing runs yet.
    pub fn new(ground: &'a Ground, counts: &'a mut Counts, mut rng: Rng) -> Done<Life<'a>> {
        let base = &ground.bases[rng.usize(..ground.bases.len())];
        let dir = tempfile::Builder::new().prefix("recto-kill-").tempdir_in(base)?;
        // For the user who may only read.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let errors = File::options().append(true).create(true).open(dir.path().join("errors"))?;
        let writers = rng.u64(1..=3);
        let lanes_each = rng.u64(1..=3);
        let mut common = Child::new(Role::Agent, dir.path(), writers * lanes_each + 1);
        common.page_size = [4096, 4096, 4096, 8192, 16_384, 65_536][rng.usize(..6)];
        common.growth = [64 << 10, 256 << 10][rng.usize(..2)].max(2 * common.page_size as u64);
        common.early = ground.early;
        if rng.u8(..5) == 0 {
            common.lock = Some(dir.path().join("elsewhere"));
        }
        let witness = rng.u8(..3) != 0;
        counts.lives += 1;
        let mut life = Life {
            ground,
            rng,
            counts,
            workers: Vec::new(),
            agent: None,
            witness,
            common,
            dir,
            errors,
        };
        life.hire(writers, lanes_each);
        Ok(life)
    }

    fn hire(&mut self, writers: u64, lanes_each: u64) {
        let nest = self.ground.no_namespaces.is_none() && self.rng.u8(..4) == 0;
        for w in 0..writers {
            let mut child = Child { role: Role::Writer, ..self.common.clone() };
            child.own = (w * lanes_each..(w + 1) * lanes_each).collect();
            // The first one takes orders; one in a namespace of its own cannot kill itself.
            child.nested = nest && w > 0;
            self.workers.push(Worker { child, process: None });
        }
        for _ in 0..self.rng.u8(..3) {
            let mut child = Child { role: Role::Reader, ..self.common.clone() };
            child.read_only = self.rng.bool();
            child.nested = nest && self.rng.bool();
            if self.ground.no_users.is_none() && self.witness && self.rng.u8(..3) == 0 {
                // Only where somebody who may write has the database open all the time.
                (child.user, child.read_only) = (Some(NOBODY), true);
            }
            self.workers.push(Worker { child, process: None });
        }
    }

    /// The database.
    pub fn path(&self) -> PathBuf {
        self.common.path()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its lock file.
    pub fn lock_path(&self) -> PathBuf {
        let beside = || self.dir.path().join("x.recto-lock");
        self.common.lock.clone().unwrap_or_else(beside)
    }

    /// Lane of the agents.
    pub fn agents_lane(&self) -> u64 {
        self.common.lanes - 1
    }

    /// Another process of this kind, with options of its own.
    pub fn start(&mut self, child: &Child) -> Done<Process> {
        let mut child = child.clone();
        let rng = &mut self.rng;
        child.seed = rng.u64(..);
        child.direct = rng.bool();
        child.manifest = [usize::MAX, usize::MAX, 40, 3][rng.usize(..4)];
        child.lists = [usize::MAX, 5][rng.usize(..2)];
        child.stage = [64 << 20, 64 << 10][rng.usize(..2)];
        child.reserve = [0, 1 << 20][rng.usize(..2)];
        self.counts.started += 1;
        Process::start(OsStr::new(&self.ground.exe), &child, &self.errors)
    }

    /// An agent that has the database open.
    pub fn start_agent(&mut self, writes: bool) -> Done<Process> {
        let mut child = self.common.clone();
        if writes {
            child.own = vec![self.agents_lane()];
        }
        let mut agent = self.start(&child)?;
        match agent.answer()? {
            line if line == "open" => Ok(agent),
            line => Err(Trouble::Lost(format!("an agent was {line}"))),
        }
    }

    /// Opens the database for the first time, and starts everybody.
    pub fn begin(&mut self) -> Done<()> {
        let mut agent = self.start_agent(true)?;
        agent.expect("look", "ok")?;
        for file in [self.path(), self.lock_path()] {
            std::fs::set_permissions(file, Permissions::from_mode(0o644))?;
        }
        if self.witness {
            self.agent = Some(agent)
        } else {
            agent.finish()?
        }
        self.start_all()
    }

    /// Starts everybody who is dead.
    pub fn start_all(&mut self) -> Done<()> {
        if self.witness && self.agent.is_none() {
            self.agent = Some(self.start_agent(true)?);
        }
        for i in 0..self.workers.len() {
            if self.workers[i].process.is_none() {
                let child = self.workers[i].child.clone();
                self.workers[i].process = Some(self.start(&child)?);
            }
        }
        Ok(())
    }

    /// Nobody has ended by itself.
    pub fn all_run(&mut self) -> Done<()> {
        for worker in &mut self.workers {
            if let Some(process) = &mut worker.process
                && process.was_killed()?
            {
                return Err(Trouble::Lost("a process was killed, and nobody did it".into()));
            }
        }
        Ok(())
    }

    /// Everybody gives a sign of life: a thread that writes or reads has come round, and hangs
    /// nowhere. The agent has just answered.
    pub fn all_move(&mut self) -> Done<()> {
        let workers = self.workers.iter_mut();
        let mut living: Vec<_> =
            workers.filter_map(|w| Some((&w.child, w.process.as_mut()?))).collect();
        living.iter_mut().try_for_each(|(_, process)| process.tell("beat"))?;
        living.into_iter().try_for_each(|(child, process)| hear_beats(child, process))
    }

    /// Kills one worker.
    pub fn kill(&mut self, worker: usize) -> Done<()> {
        if let Some(mut process) = self.workers[worker].process.take() {
            process.kill()?;
            self.counts.kills += 1;
        }
        Ok(())
    }

    /// Kills all workers at once, and the agent too if it is not to be spared.
    pub fn kill_all(&mut self, spare_agent: bool) -> Done<()> {
        self.all_run()?;
        let agent = if spare_agent { None } else { self.agent.as_mut() };
        let workers = self.workers.iter_mut().filter_map(|w| w.process.as_mut());
        let mut dying: Vec<&mut Process> = workers.chain(agent).collect();
        self.counts.kills += dying.len() as u64;
        kill_all(dying.drain(..))?;
        self.workers.iter_mut().for_each(|w| w.process = None);
        if !spare_agent {
            self.agent = None;
            self.counts.all_dead += 1;
        }
        Ok(())
    }

    /// A worker that writes and takes orders.
    pub fn any_writer(&mut self) -> usize {
        let takes = |w: &Worker| w.child.role == Role::Writer && !w.child.nested;
        let some: Vec<usize> =
            (0..self.workers.len()).filter(|&i| takes(&self.workers[i])).collect();
        some[self.rng.usize(..some.len())]
    }

    /// The agent that lives on, or one for the moment: asks it, and ends it again if it was for the
    /// moment.
    pub fn with_agent(
        &mut self,
        ask: impl FnOnce(&mut Life, &mut Process) -> Done<()>,
    ) -> Done<()> {
        match self.agent.take() {
            Some(mut agent) => {
                ask(self, &mut agent)?;
                self.agent = Some(agent);
            }
            None => {
                let mut agent = self.start_agent(true)?;
                ask(self, &mut agent)?;
                match self.rng.u8(..4) {
                    0..=1 => agent.finish()?,
                    2 => {
                        // While it closes, perhaps.
                        agent.tell("end")?;
                        std::thread::sleep(Duration::from_micros(self.rng.u64(..500)));
                        agent.signal(libc::SIGKILL);
                        self.counts.kills += u64::from(agent.ends()?);
                    }
                    _ => {
                        agent.kill()?;
                        self.counts.kills += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// The file of the full check's answer, which must not have grown without bound.
    pub fn note_size(&mut self, answer: &str) -> Done<()> {
        let bytes: u64 = answer.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        self.counts.longest = self.counts.longest.max(bytes);
        if bytes > LONGEST {
            return Err(Trouble::Lost(format!("the file has grown to {bytes} bytes")));
        }
        Ok(())
    }

    /// Leaves everything where it is, to be looked at.
    pub fn keep(self) -> PathBuf {
        drop(self.workers);
        drop(self.agent);
        self.dir.keep()
    }
}

/// Waits for a sign of life that was asked for: one of each thread.
pub fn hear_beats(child: &Child, process: &mut Process) -> Done<()> {
    // The first line of all says that it has opened the database.
    let mut threads = child.own.len().max(1);
    while threads > 0 {
        if process.answer()? == "beat" {
            threads -= 1;
        }
    }
    Ok(())
}
