//! Runs the kvtool binary as its users do.
#![allow(dead_code)] // each test uses some of it

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything here takes: only something that hangs gets there.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run of kvtool left.
#[derive(Debug)]
pub struct Ran {
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    /// Standard output of a run that must have ended with 0 and said nothing else.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stderr, "", "{self:?}");
        String::from_utf8(self.stdout).expect("output is UTF-8")
    }

    /// The one line on standard error of a run that must have ended with `code`.
    #[track_caller]
    pub fn said(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("kvtool: "), "{self:?}");
        assert_eq!(self.stderr.matches('\n').count(), 1, "one line: {self:?}");
        self.stderr
    }
}

/// A directory of the test's own with a database in it.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The database.
    pub fn db(&self) -> PathBuf {
        self.path("test.recto")
    }

    /// Writes a file; its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `kvtool VERB DB ARGS...`
    pub fn run<S: AsRef<OsStr>>(&self, verb: &str, args: impl IntoIterator<Item = S>) -> Ran {
        finish(self.command(verb, args), b"")
    }

    /// The same with bytes on standard input.
    pub fn feed(&self, verb: &str, args: &[&str], input: &[u8]) -> Ran {
        finish(self.command(verb, args), input)
    }

    pub fn command<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = kvtool();
        command.arg(verb).arg(self.db()).args(args);
        command
    }

    /// Loads lines of key, tab, value.
    #[track_caller]
    pub fn load(&self, lines: &str) {
        self.feed("load", &["-"], lines.as_bytes()).ok();
    }

    /// The whole table as `scan` prints it.
    #[track_caller]
    pub fn scan(&self) -> String {
        self.run("scan", NO_ARGS).ok()
    }

    /// The check that every test ends with.
    #[track_caller]
    pub fn assert_clean(&self) {
        let ran = self.run("check", NO_ARGS);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

pub const NO_ARGS: [&str; 0] = [];

/// kvtool, with the signals as a terminal gives them: what runs these tests may ignore some, and
/// would hand that down.
pub fn kvtool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvtool"));
    let as_usual = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            // SAFETY: a call for the process that is to become kvtool.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls and nothing else.
    unsafe { command.pre_exec(as_usual) };
    command
}

/// Runs a command to its end, with `input` on its standard input.
pub fn finish(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    thread::scope(|scope| {
        // It may end without having read its input.
        scope.spawn(move || drop(stdin.write_all(input)));
        let stdout = scope.spawn(|| read_all(stdout));
        let stderr = scope.spawn(|| read_all(stderr));
        let code = wait(&mut child, &command);
        let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
        Ran { code, stdout: stdout.join().unwrap(), stderr }
    })
}

/// Waits for the end of a child; fails if it seems to hang.
pub fn wait(child: &mut Child, what: &Command) -> Option<i32> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status.code();
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what:?} hangs");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("read what a child prints");
    bytes
}

/// A sign of life of a test that takes its time: past the test runner, which keeps what tests print
/// to itself.
pub fn alive(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The lock file of a database.
pub fn lock_of(db: &Path) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

/// Runs one of LMDB's tools, which must succeed: what it prints and what it says. None, and a line
/// that says so, where it is not installed.
pub fn lmdb_tool(tool: &str, args: &[&str], input: Option<&Path>) -> Option<(String, String)> {
    let mut command = Command::new(tool);
    command.args(args).stdin(Stdio::null());
    if let Some(input) = input {
        command.stdin(std::fs::File::open(input).unwrap());
    }
    match command.output() {
        Ok(out) => {
            let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success(), "{tool} {args:?}: {stderr}");
            Some((String::from_utf8(out.stdout).unwrap(), stderr))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {tool} is not installed (Debian: lmdb-utils)");
            None
        }
        Err(e) => panic!("{tool}: {e}"),
    }
}
