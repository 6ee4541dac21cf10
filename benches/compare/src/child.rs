//! Other processes at the same database: the program runs itself with a hidden verb. A child opens
//! the database, says `ready`, waits for a line, works, and answers with one line of JSON.

use crate::engine::{Engine, Mode};
use crate::for_each_engine;
use crate::keys::{Keys, Shape, Values};
use crate::outcome::{Failure, Outcome, is_stopped};
use crate::workloads::parallel::{picks_of_part, timed_commits};
use crate::workloads::read::get_all;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};

/// The hidden verb.
pub const VERB: &str = "child";

#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Task {
    /// So many durable commits of one key.
    Commit(usize),
    /// So many gets.
    Read(usize),
}

/// All that a child must know.
#[derive(Serialize, Deserialize)]
pub struct Spec {
    pub engine: String,
    pub dir: PathBuf,
    pub shape: Shape,
    pub keys: usize,
    pub value_len: usize,
    pub seed: u64,
    pub part: usize,
    pub parts: usize,
    /// The version that its first commit writes.
    pub first: u32,
    pub task: Task,
}

/// What a child has done.
#[derive(Serialize, Deserialize, Default)]
pub struct Done {
    pub ops: usize,
    pub found: u64,
    pub sum: u64,
    pub latencies_ns: Vec<u64>,
    pub error: Option<String>,
}

/// A child as its parent sees it. Dropping it waits until it has ended.
pub struct Child {
    process: std::process::Child,
    answers: BufReader<ChildStdout>,
}

impl Child {
    pub fn start(spec: &Spec) -> Outcome<Child> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(VERB)
            .arg(serde_json::to_string(spec)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = process.stdout.take().ok_or_else(|| Failure::Error("no pipe".into()))?;
        Ok(Child { process, answers: BufReader::new(answers) })
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }

    pub fn wait_until_ready(&mut self) -> Outcome<()> {
        match self.line()?.as_str() {
            "ready\n" => Ok(()),
            other => Err(Failure::Error(format!("a child process is not ready: {other}"))),
        }
    }

    pub fn go(&mut self) -> Outcome<()> {
        let input = self.process.stdin.as_mut();
        Ok(input.map_or(Ok(()), |pipe| pipe.write_all(b"go\n"))?)
    }

    /// Its answer, once it has done its work. It may still be closing its database.
    pub fn done(&mut self) -> Outcome<Done> {
        let line = self.line()?;
        if is_stopped() {
            return Err(Failure::Stopped);
        }
        let done: Done = serde_json::from_str(&line)?;
        match done.error {
            Some(error) => Err(Failure::Error(format!("in a child process: {error}"))),
            None => Ok(done),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has answered, or nobody wants its answer any more; either way it ends when its input
        // does.
        drop(self.process.stdin.take());
        if !matches!(self.process.try_wait(), Ok(Some(_))) {
            let mut rest = String::new();
            let _ = self.answers.read_line(&mut rest);
        }
        let _ = self.process.wait();
    }
}

/// The child's side.
pub fn main(spec: &str) -> Outcome<()> {
    let spec: Spec = serde_json::from_str(spec)?;
    macro_rules! try_engine {
        ($engine:ty) => {
            if <$engine>::NAME == spec.engine {
                return work::<$engine>(&spec).or_else(|failure| {
                    answer(&Done { error: Some(failure.to_string()), ..Done::default() })
                });
            }
        };
    }
    for_each_engine!(try_engine);
    Err(Failure::Error(format!("no engine {}", spec.engine)))
}

fn answer(done: &Done) -> Outcome<()> {
    println!("{}", serde_json::to_string(done)?);
    Ok(())
}

fn ready() -> Outcome<bool> {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line == "go\n")
}

fn work<E: Engine>(spec: &Spec) -> Outcome<()> {
    let engine = E::open(&spec.dir, Mode::Durable)?;
    let (Task::Commit(count) | Task::Read(count)) = spec.task;
    let picks = picks_of_part(spec.seed, spec.part, spec.parts, spec.keys, count);
    let keys = Keys::of(spec.shape, picks.iter().map(|i| 2 * u64::from(*i)));
    let mut done = Done::default();
    match spec.task {
        Task::Commit(count) => {
            let values = Values::new(spec.value_len);
            if ready()? {
                done.latencies_ns = timed_commits(&engine, count, |at| {
                    let version = spec.first + at as u32;
                    let value = values.get(picks[at] as usize, version, spec.value_len);
                    (keys.get(at).to_vec(), value.to_vec())
                })?;
            }
            done.ops = done.latencies_ns.len();
        }
        Task::Read(_) => {
            if ready()? {
                (done.found, done.sum) = engine.read(|reader| get_all(reader, &keys))?;
            }
            done.ops = picks.len();
        }
    }
    answer(&done)?;
    engine.close()
}
