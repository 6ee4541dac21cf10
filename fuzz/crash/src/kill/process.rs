//! The campaign's side of a process: starting it, talking to it, stopping and killing it, and
//! judging how it ended.
//!
//! A process must never end by itself except as it is told: with `lost`, by a signal nobody sent or
//! with another code it is a finding. A process that does not answer in a minute is one too:
//! nothing in the engine may take so long.

use super::child::Child;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child as Handle, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why a campaign ends early.
#[derive(Debug)]
pub enum Trouble {
    /// Something was lost, hangs, or ended as it must not.
    Lost(String),
    /// It cannot be done here.
    Cannot(String),
    /// The user has interrupted it.
    Interrupted,
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Trouble {
        Trouble::Cannot(e.to_string())
    }
}

/// What the campaign works with.
pub type Done<T> = Result<T, Trouble>;

/// A process of the campaign's own. Killed when it is dropped.
pub struct Process {
    handle: Handle,
    /// The process that works: the handle's own, or the one in the namespace it has made.
    pid: i32,
    out: ChildStdout,
    heard: Vec<u8>,
    /// What it is, for messages.
    what: String,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts this program again as `child`.
    pub fn start(exe: &OsStr, child: &Child, errors: &File) -> Done<Process> {
        let mut handle = Command::new(exe)
            .args(["kill", "child"])
            .args(child.to_args())
            // Ctrl-C is the campaign's affair: a terminal tells its whole group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?)
            .spawn()?;
        let out = handle.stdout.take().expect("piped");
        let what = format!("{:?} {:?}", child.role, child.own);
        let pid = handle.id() as i32;
        let mut process = Process { handle, pid, out, heard: Vec::new(), what, ended: None };
        if child.nested {
            process.pid = process.inner()?;
        }
        Ok(process)
    }

    /// The number of the process in the namespace; what that one has said already is kept for
    /// later.
    fn inner(&mut self) -> Done<i32> {
        let mut others = Vec::new();
        loop {
            let line = self.answer()?;
            if let Some(pid) = line.strip_prefix("inner ").and_then(|n| n.parse().ok()) {
                others.extend_from_slice(&self.heard);
                self.heard = others;
                return Ok(pid);
            }
            others.extend_from_slice(line.as_bytes());
            others.push(b'\n');
        }
    }

    fn lost(&self, why: impl std::fmt::Display) -> Trouble {
        Trouble::Lost(format!("{}: {why}", self.what))
    }

    /// Whether there is something to read, waiting as long as `time`.
    fn wait_readable(&self, time: Duration) -> bool {
        let mut poll = libc::pollfd { fd: self.out.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ms = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one entry, which lives through the call.
        unsafe { libc::poll(&mut poll, 1, ms) > 0 }
    }

    /// The next line it says.
    pub fn line(&mut self, time: Duration) -> Done<String> {
        let start = Instant::now();
        loop {
            if let Some(end) = self.heard.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() || !self.wait_readable(left) {
                if left.is_zero() {
                    return Err(self.lost(format!("no answer in {} s: it hangs", time.as_secs())));
                }
                continue; // a signal, or the time is over
            }
            let mut bytes = [0; 4096];
            match self.out.read(&mut bytes)? {
                0 => return Err(self.ended_by_itself()),
                n => self.heard.extend_from_slice(&bytes[..n]),
            }
        }
    }

    /// Tells it something.
    pub fn tell(&mut self, line: &str) -> Done<()> {
        let mut text = line.to_owned();
        text.push('\n');
        let pipe = self.handle.stdin.as_mut().expect("piped");
        match pipe.write_all(text.as_bytes()) {
            // It has just died; whoever waits for it will see how.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Tells it something and returns the answer; what it says is lost is lost.
    pub fn ask(&mut self, order: &str) -> Done<String> {
        self.tell(order)?;
        self.answer().map_err(|trouble| match trouble {
            Trouble::Lost(why) => Trouble::Lost(format!("{why} (asked to {order})")),
            other => other,
        })
    }

    /// The next answer.
    pub fn answer(&mut self) -> Done<String> {
        let line = self.line(PATIENCE)?;
        match line.strip_prefix("lost ") {
            Some(why) => Err(self.lost(why)),
            None => Ok(line),
        }
    }

    /// Asks, and expects just this answer, or one that begins with it and a space.
    pub fn expect(&mut self, order: &str, expected: &str) -> Done<String> {
        let answer = self.ask(order)?;
        let rest = answer.strip_prefix(expected);
        match rest.filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(self.lost(format!("{order:?}: answered {answer:?}, not {expected:?}"))),
        }
    }

    /// Expects it to say just this by itself.
    pub fn expect_line(&mut self, expected: &str) -> Done<()> {
        let line = self.answer()?;
        if line == expected {
            Ok(())
        } else {
            Err(self.lost(format!("{line:?}, not {expected:?}")))
        }
    }

    /// Sends a signal to the process that works.
    pub fn signal(&self, signal: i32) {
        if self.ended.is_none() {
            // SAFETY: a number; the handle has not been waited for, so it is still this process
            // (one in a namespace may be gone already, and its number is not given out again so
            // soon).
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    fn try_wait(&mut self) -> Done<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.handle.try_wait()?;
        }
        Ok(self.ended)
    }

    /// What the end of a process that nobody killed means.
    fn ended_by_itself(&mut self) -> Trouble {
        let status = self.handle.wait();
        self.ended = status.as_ref().ok().copied();
        let mut rest = Vec::new();
        // Not to the end of the pipe: somebody may have inherited it.
        while self.wait_readable(Duration::ZERO) {
            let mut bytes = [0; 4096];
            match self.out.read(&mut bytes) {
                Ok(0) | Err(_) => break,
                Ok(n) => rest.extend_from_slice(&bytes[..n]),
            }
        }
        self.heard.extend(rest);
        let said = String::from_utf8_lossy(&self.heard).trim_end().to_owned();
        match status {
            // Until it has a group of its own, a process just started hears what the terminal tells
            // the campaign.
            Ok(status) if status.signal() == Some(libc::SIGINT) => Trouble::Interrupted,
            Ok(status) => self.lost(format!("ended by itself, {status}: {said}")),
            Err(e) => self.lost(format!("cannot be waited for: {e}")),
        }
    }

    /// Whether it is dead by SIGKILL; any other end is a finding.
    pub fn was_killed(&mut self) -> Done<bool> {
        match self.try_wait()? {
            None => Ok(false),
            Some(status) if status.signal() == Some(libc::SIGKILL) => Ok(true),
            Some(_) => Err(self.ended_by_itself()),
        }
    }

    /// Waits until it is dead by SIGKILL, for as long as `time`; false if it lives.
    pub fn dies(&mut self, time: Duration) -> Done<bool> {
        let start = Instant::now();
        loop {
            if self.was_killed()? {
                return Ok(true);
            }
            if start.elapsed() >= time {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits for a process that either is killed on its way or ends well; true if it was killed.
    pub fn ends(&mut self) -> Done<bool> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            // One look for both questions: between two it could end.
            match self.try_wait()? {
                Some(status) if status.success() => return Ok(false),
                Some(_) => return self.was_killed(),
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        }
        Err(self.lost("does not end"))
    }

    /// Waits until it stands stopped, for as long as `time`; false if it runs.
    pub fn stops(&mut self, time: Duration) -> Done<bool> {
        let start = Instant::now();
        loop {
            if self.was_killed()? {
                return Ok(false);
            }
            if is_stopped(self.pid)? {
                return Ok(true);
            }
            if start.elapsed() >= time {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Stops it, and returns when it stands.
    pub fn stop(&mut self) -> Done<()> {
        self.signal(libc::SIGSTOP);
        if self.stops(PATIENCE)? { Ok(()) } else { Err(self.lost("does not stop")) }
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Kills it, and returns when it is gone.
    pub fn kill(&mut self) -> Done<()> {
        self.signal(libc::SIGKILL);
        self.wait_killed()
    }

    fn wait_killed(&mut self) -> Done<()> {
        if self.dies(PATIENCE)? { Ok(()) } else { Err(self.lost("does not die")) }
    }

    /// Has it end well.
    pub fn finish(mut self) -> Done<()> {
        self.tell("end")?;
        match self.ends()? {
            false => Ok(()),
            true => Err(self.lost("was killed, and nobody did it")),
        }
    }
}

/// All of them dead before the first is waited for: nobody may tidy up after the others.
pub fn kill_all<'a>(processes: impl IntoIterator<Item = &'a mut Process>) -> Done<()> {
    let mut processes: Vec<&mut Process> = processes.into_iter().collect();
    processes.iter().for_each(|p| p.signal(libc::SIGKILL));
    processes.iter_mut().try_for_each(|p| p.wait_killed())
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.try_wait(), Ok(Some(_))) {
            self.signal(libc::SIGKILL);
            let _ = self.handle.kill();
            let _ = self.handle.wait();
        }
    }
}

/// Whether every thread of a process stands stopped, as /proc says.
fn is_stopped(pid: i32) -> Done<bool> {
    let tasks = match std::fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(tasks) => tasks,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    for task in tasks {
        let Ok(stat) = task.and_then(|t| std::fs::read_to_string(t.path().join("stat"))) else {
            return Ok(false);
        };
        // The state stands behind the name, which may hold anything.
        if stat.rsplit(')').next().and_then(|s| s.trim().chars().next()) != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}
