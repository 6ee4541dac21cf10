//! Starting child processes, and asking the verifier.
//!
//! Children are this program with other arguments. They are in process groups of their own, so that
//! Ctrl-C reaches the campaign alone, and die with it (`adopt`).

use super::Result;
use super::verifier::Request;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A state that is not judged after this time never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// This program in the part of a child.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["block", "child"]).args(arguments).process_group(0).stdin(Stdio::null());
    command
}

/// In the child: dies when its parent does.
pub fn adopt() -> Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// A verifier, started when it is first needed and again after one has died.
#[derive(Default)]
pub struct Verifier {
    running: Option<Running>,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Verifier {
    /// The transaction that was found, or what was lost.
    pub fn ask(&mut self, request: &Request) -> Result<std::result::Result<u64, String>> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start()?),
        };
        // A broken pipe shows as a missing answer.
        let _ = running.stdin.write_all(request.line().as_bytes());
        let why = match running.answers.recv_timeout(PATIENCE) {
            Ok(answer) => {
                return match answer.split_once(' ') {
                    Some(("ok", n)) => Ok(Ok(n.parse()?)),
                    Some(("lost", why)) => Ok(Err(why.into())),
                    _ => Err(format!("the verifier says {answer:?}").into()),
                };
            }
            Err(RecvTimeoutError::Timeout) => "it hangs: the verifier was killed".into(),
            Err(RecvTimeoutError::Disconnected) => {
                format!("the verifier died: {}", running.child.wait()?)
            }
        };
        // Dropping it kills it.
        self.running = None;
        Ok(Err(why))
    }
}

impl Running {
    fn start() -> Result<Running> {
        let mut child =
            command(&["verifier"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().ok_or("no pipe to the verifier")?;
        let stdout = child.stdout.take().ok_or("no pipe from the verifier")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Running { child, stdin, answers })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
