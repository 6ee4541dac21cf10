//! What the tests share.
#![allow(dead_code)] // each test uses some of it

pub mod sim;

use recto::{Builder, Database, Durability, Error, WriteTxn};
use std::ffi::CString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Opens a database in a directory of the test's own.
pub fn open_at(path: &Path, builder: &Builder) -> Database {
    // SAFETY: the directory belongs to the test, and only recto touches the file while it is open.
    unsafe { builder.open(path) }.unwrap_or_else(|e| panic!("open {}: {e}", path.display()))
}

/// The full check, which every test ends with.
pub fn assert_clean(db: &Database) {
    let report = db.check(None).expect("check runs");
    assert!(
        report.fault_count == 0,
        "{} faults: {:#?}",
        report.fault_count,
        &report.faults[..report.faults.len().min(10)]
    );
}

/// All pairs of a table.
pub fn pairs(db: &Database, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let txn = db.read().expect("read");
    let table = match txn.table(table) {
        Ok(t) => t,
        Err(recto::Error::NoSuchTable(_)) => return Vec::new(),
        Err(e) => panic!("{e}"),
    };
    table.iter().unwrap().map(|p| p.unwrap()).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

/// Whether the long forms of the tests are asked for.
pub fn full() -> bool {
    std::env::var_os("RECTO_FULL").is_some_and(|v| v != "0")
}

/// A directory of the test's own on the disk that holds the temporary files.
pub fn disk_dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A directory of the test's own in memory, where a sync costs nothing; on disk where there is
/// none.
pub fn memory_dir() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| disk_dir())
}

/// Moves this process into a mount namespace of its own. An error where this user or this kernel
/// cannot.
pub fn private_mounts() -> std::io::Result<()> {
    // SAFETY: plain calls on this process.
    done(unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
    })
}

/// The same, and mounts there.
pub fn mount_privately(kind: &str, target: &Path, options: &str) -> std::io::Result<()> {
    private_mounts()?;
    let string = |text: &str| CString::new(text).unwrap();
    let (kind, options) = (string(kind), string(options));
    let target = string(target.to_str().unwrap());
    // SAFETY: strings that live through the call; only this process sees the mount.
    done(unsafe {
        let options = options.as_ptr().cast();
        libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options) == 0
    })
}

/// Whether that was possible; whatever else has failed is a mistake of the test.
fn done(done: bool) -> std::io::Result<()> {
    if done {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    let cannot = [libc::EPERM, libc::EACCES, libc::ENODEV, libc::ENOSYS, libc::EINVAL];
    assert!(error.raw_os_error().is_some_and(|number| cannot.contains(&number)), "{error}");
    Err(error)
}

/// The numbers from 0 to 2^64 as keys that are spread over the whole tree.
pub fn spread(i: u64) -> [u8; 8] {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// One transaction.
pub fn write(db: &Database, durability: Durability, body: impl FnOnce(&mut WriteTxn)) {
    let mut txn = db.write().expect("write transaction");
    txn.set_durability(durability);
    body(&mut txn);
    txn.commit().expect("commit");
}

/// Puts one pair durably into the table "main".
pub fn put(db: &Database, key: &[u8], value: &[u8]) {
    write(db, Durability::Durable, |txn| {
        txn.open_table("main").unwrap().put(key, value).unwrap();
    });
}

/// Where the lock file of a database stands.
pub fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

/// Opens with short patience, and expects to be refused.
pub fn refused(path: &Path, builder: &Builder) -> Error {
    let mut builder = builder.clone();
    builder.open_timeout(Duration::from_millis(50));
    // SAFETY: the directory belongs to the test.
    match unsafe { builder.open(path) } {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(e) => {
            assert!(!e.to_string().is_empty());
            e
        }
    }
}

/// Opens what is there, and makes nothing.
pub fn existing() -> Builder {
    let mut builder = Builder::default();
    builder.create(false);
    builder
}

/// A database of some pages, closed.
pub fn sample(path: &Path, keys: u64) {
    let db = open_at(path, &Builder::default());
    for first in (0..keys).step_by(100) {
        write(&db, Durability::Durable, |txn| {
            let mut table = txn.open_table("main").unwrap();
            for i in first..first + 100 {
                table.put(&spread(i), &i.to_le_bytes().repeat(20)).unwrap();
            }
        });
    }
    assert_clean(&db);
}

/// Whether it holds that.
pub fn assert_sample(db: &Database, keys: u64) {
    let txn = db.read().unwrap();
    let table = txn.table("main").unwrap();
    assert_eq!(table.len(), keys);
    for i in 0..keys {
        assert_eq!(table.get(&spread(i)).unwrap().unwrap(), i.to_le_bytes().repeat(20));
    }
}

/// The environment variable that makes a test the child of another.
pub const ROLE: &str = "RECTO_TEST_ROLE";

/// A process of the test's own: the test binary again, in the test `entry`, which asks for its
/// [`role`]. Killed when it is dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

/// What this process is to be, if it is a child: the words its parent gave it.
pub fn role() -> Option<Vec<String>> {
    let words = std::env::var(ROLE).ok()?;
    Some(words.split('\n').map(String::from).collect())
}

/// Tells the parent something.
pub fn say(line: &str) {
    // In one write: the test harness prints to the same pipe.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What the parent has told this process; the end of the process when the parent is gone.
pub fn hear() -> String {
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).unwrap() == 0 {
        std::process::exit(0);
    }
    line.trim().to_owned()
}

impl Process {
    /// Starts the test `entry` of this binary as a child with a role.
    pub fn start(entry: &str, role: &[&str]) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([entry, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(std::result::Result::ok) {
                if let Some(said) = line.strip_prefix('@')
                    && sender.send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Process { child, lines }
    }

    /// The next thing the child says.
    pub fn line(&self) -> String {
        // Generous, for a machine that is busy; a child that has died is noticed at once.
        self.lines.recv_timeout(Duration::from_secs(120)).expect("the child says something")
    }

    /// What the child has said and nobody has heard, after its end.
    pub fn said(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// Waits for the child to say just this.
    pub fn expect(&self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Tells the child something.
    pub fn tell(&mut self, line: &str) {
        let pipe = self.child.stdin.as_mut().unwrap();
        writeln!(pipe, "{line}").unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: asks for nothing but a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Stops the child, and returns when it stands.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: writes the status to a local.
        let got = unsafe { libc::waitpid(self.child.id() as i32, &mut status, libc::WUNTRACED) };
        assert_eq!(got, self.child.id() as i32);
        assert!(libc::WIFSTOPPED(status), "the child has ended: {status}");
    }

    /// Kills the child, and returns when it is gone. It must not have ended before.
    pub fn kill(&mut self) {
        let status = match self.child.try_wait().unwrap() {
            Some(status) => status,
            None => {
                self.signal(libc::SIGKILL);
                self.child.wait().unwrap()
            }
        };
        assert!(status.signal() == Some(libc::SIGKILL), "a child has ended by itself: {status}");
    }

    /// Fails if the child has failed; says whether it is there.
    pub fn runs(&mut self) -> bool {
        match self.child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "a child failed: {status}");
                false
            }
            None => true,
        }
    }

    /// Waits for the child to end well.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a child failed: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
