//! The processes that are at work when the power goes.
//!
//! Two processes with three threads each take turns by the number of the transaction: one thread
//! alone, the threads of one process, or all of them at once, who then share flushes. One more
//! thread makes the kernel write pages back before anybody asked for it, and drop them from its
//! cache.
//!
//! Thread rules: every note is written by the thread whose commit it is about, "begun" while that
//! thread holds the writer lock, "acked" after the call that made it durable has returned.

use super::Result;
use super::plan::{Plan, Wrong};
use super::script;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use recto::{Database, Durability};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Processes of a recording.
pub const PROCESSES: u64 = 2;
const THREADS: u64 = 3;
/// Transactions before the turn passes.
const TURN: u64 = 6;

/// Where progress is written.
pub struct Notes(Mutex<File>);

impl Notes {
    /// The file of a served disk.
    pub fn open(path: &Path) -> Result<Notes> {
        let file = File::options().write(true).open(path);
        Ok(Notes(Mutex::new(file.map_err(|e| format!("open {}: {e}", path.display()))?)))
    }

    /// From here on transaction n may be found.
    pub fn begun(&self, n: u64) -> Result<()> {
        self.write(format!("begun {n}"))
    }

    /// From here on nothing older than transaction n may be found.
    pub fn acked(&self, n: u64) -> Result<()> {
        self.write(format!("acked {n}"))
    }

    fn write(&self, line: String) -> Result<()> {
        let mut file = self.0.lock().map_err(|_| "a thread panicked while it wrote a note")?;
        // One call, one request, one note.
        Ok(file.write_all(line.as_bytes())?)
    }
}

/// One process: works until all transactions are done.
pub fn main(plan: &Plan, process: u64, path: &Path, notes: &Path) -> Result<()> {
    let notes = Notes::open(notes)?;
    // SAFETY: nothing but recto changes the file.
    let db = unsafe { plan.builder().open(path) }?;
    // Who opens a file that another process has just made says nothing about its name: the other is
    // still to sync the directory.
    if process == 0 && !plan.together {
        notes.acked(0)?;
    }
    let worker = Worker { plan, process, db: &db, notes: &notes };
    let done = AtomicBool::new(false);
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        if process == 0 {
            scope.spawn(|| stir(plan.seed, path, &done));
        }
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || worker.work(thread).map_err(|e| e.to_string())))
            .collect();
        let join = |t: std::thread::ScopedJoinHandle<'_, std::result::Result<(), String>>| {
            t.join().unwrap_or_else(|_| Err("a thread panicked".into())).map_err(Into::into)
        };
        let results = threads.into_iter().map(join).collect();
        done.store(true, Ordering::Relaxed);
        results
    });
    results.into_iter().collect()
}

#[derive(Clone, Copy)]
struct Worker<'a> {
    plan: &'a Plan,
    process: u64,
    db: &'a Database,
    notes: &'a Notes,
}

impl Worker<'_> {
    fn work(&self, thread: u64) -> Result<()> {
        let mut gave_up = 0;
        loop {
            let mut txn = self.db.write_timeout(Duration::from_secs(60))?;
            let n = script::count_in(&txn)? + 1;
            if n > self.plan.commits {
                return Ok(());
            }
            if !self.may(n, thread) {
                drop(txn);
                std::thread::sleep(Duration::from_micros(500));
                continue;
            }
            script::apply_next(self.plan.seed, &mut txn)?;
            // Now and then one is dropped, and done again from the start.
            if n.is_multiple_of(9) && gave_up != n {
                gave_up = n;
                continue;
            }
            self.notes.begun(n)?;
            self.commit(n, txn)?;
        }
    }

    /// Whose turn it is.
    fn may(&self, n: u64, thread: u64) -> bool {
        let turn = n / TURN;
        let owner = turn / 3 % PROCESSES;
        match turn % 3 {
            0 => self.process == owner && thread == 0,
            1 => self.process == owner,
            _ => true,
        }
    }

    fn commit(&self, n: u64, mut txn: recto::WriteTxn) -> Result<()> {
        let mut rng = script::rng_of(!self.plan.seed, n);
        // Where many are at work most want to be durable, so that they share flushes.
        let alone = (n / TURN).is_multiple_of(3);
        let durable = rng.u8(..10) < if alone { 5 } else { 8 };
        let flushed = !durable && rng.u8(..10) < 3;
        match self.plan.wrong {
            Wrong::EarlyAck if durable => {
                if let Some((id, _)) = recto::harness::build(txn, Durability::Durable)? {
                    self.notes.acked(n)?;
                    recto::harness::make_durable(self.db, id)?;
                }
                return Ok(());
            }
            Wrong::NoSync => {
                txn.set_durability(Durability::Deferred);
                txn.commit()?;
                return if durable { self.notes.acked(n) } else { Ok(()) };
            }
            _ => {}
        }
        txn.set_durability(if durable { Durability::Durable } else { Durability::Deferred });
        txn.commit()?;
        if flushed {
            self.db.flush()?;
        }
        if durable || flushed { self.notes.acked(n) } else { Ok(()) }
    }
}

/// Makes the kernel do what it does when it is short of memory: write back early, forget pages.
fn stir(seed: u64, path: &Path, done: &AtomicBool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let Ok(file) = File::open(path) else { return };
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_micros(rng.u64(..6_000)));
        match rng.u8(..40) {
            0 => {
                let _ = nix::unistd::syncfs(&file);
            }
            1..6 => {
                let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            }
            _ => {
                // SAFETY: a system call on an open descriptor, without memory. It may fail: then
                // nothing is stirred.
                unsafe {
                    libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE)
                };
            }
        }
    }
}
