//! System calls of the real platform that fail: one after another, once and for ever, by the fault
//! injection of `strace`.
//!
//! The simulation fails the calls of its own machine; this reaches what stands below the seam:
//! creating, opening, mapping, growing, locking. A child does some work and says what it begins and
//! what was acknowledged. Whatever fails, it must end by itself, with an error or without; and
//! afterwards the database opens, checks clean, and holds what was acknowledged.

use recto::{Database, Durability, Sink};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

/// Calls that recto makes on its files.
pub const CALLS: [&str; 17] = [
    "openat",
    "fallocate",
    "ftruncate",
    "pwrite64",
    "pwritev",
    "pread64",
    "sync_file_range",
    "msync",
    "fsync",
    "mmap",
    "fcntl",
    "statx",
    "fstat",
    "newfstatat",
    "linkat",
    "unlinkat",
    "madvise",
];

/// Transactions of the child.
const TRANSACTIONS: u32 = 10;

/// Which call fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: &'static str,
    pub error: &'static str,
    /// The first that fails, counted from 1.
    pub nth: u32,
    /// All after it fail too.
    pub ever: bool,
    pub sink: Sink,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The call was not made so often.
    NotReached,
    /// The fault was met; the child made the best of it.
    Met,
}

/// Why nothing can be tried here, if so.
pub fn missing() -> Option<String> {
    let probe = ["-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EIO", "true"];
    match Command::new("strace").args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        Ok(_) => Some("strace may not trace here, or cannot inject faults".into()),
        Err(e) => Some(format!("strace does not start ({e})")),
    }
}

fn value(n: u32) -> Vec<u8> {
    let len = if n % 4 == 2 { 400_000 } else { 100 + 1_000 * n as usize };
    (0..len).map(|i| (i as u32).wrapping_mul(31).wrapping_add(n * 7) as u8).collect()
}

fn keys(n: u32) -> [String; 2] {
    [format!("first{n:03}"), format!("second{n:03}")]
}

fn open(path: &Path, sink: Sink) -> recto::Result<Database> {
    let mut builder = Database::builder();
    builder.sink(sink).manifest_limit(12).reserve(1 << 20);
    // SAFETY: the files lie in a directory of the campaign's own; nobody but recto touches them.
    unsafe { builder.open(path) }
}

fn transaction(db: &Database, n: u32) -> recto::Result<bool> {
    let durability = if n % 3 == 1 { Durability::Deferred } else { Durability::Durable };
    let mut txn = db.write()?;
    txn.set_durability(durability);
    {
        let mut table = txn.open_table("t")?;
        for key in keys(n) {
            table.put(key.as_bytes(), &value(n))?;
        }
        if n > 4 {
            for key in keys(n - 5) {
                table.put(key.as_bytes(), &value(n - 5))?;
            }
        }
    }
    txn.commit()?;
    Ok(durability == Durability::Durable)
}

/// The child's work. Errors are said and lived with.
pub fn child(path: &Path, sink: Sink) {
    for round in 0..2 {
        let db = match open(path, sink) {
            Ok(db) => db,
            Err(e) => {
                eprintln!("open: {e}");
                continue;
            }
        };
        for n in 0..TRANSACTIONS {
            let n = round * TRANSACTIONS + n;
            println!("begun {n}");
            match transaction(&db, n) {
                Ok(true) => println!("durable {n}"),
                Ok(false) => {}
                Err(e) => eprintln!("{n}: {e}"),
            }
        }
        if let Err(e) = db.flush() {
            eprintln!("flush: {e}");
        }
        match db.check(None) {
            Ok(report) => println!("faults {}", report.fault_count),
            Err(e) => eprintln!("check: {e}"),
        }
    }
    println!("end");
}

/// Runs the child, with the fault, in `dir`, and looks at what it has left. `program` and `args`
/// start [`child`].
pub fn run(program: &Path, dir: &Path, fault: Fault) -> Result<Ending, String> {
    let path = dir.join("db.recto");
    let log = dir.join("strace.txt");
    let when = format!("{}{}", fault.nth, if fault.ever { "+" } else { "" });
    let inject = format!("inject={}:error={}:when={when}", fault.call, fault.error);
    let sink = if fault.sink == Sink::Direct { "direct" } else { "staged" };
    let output = Command::new("strace")
        .args(["-f", "-qq", "-y", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={}", fault.call), "-e", &inject])
        .arg(program)
        .args(["syscalls", "--child"])
        .arg(&path)
        .args(["--sink", sink])
        .env_remove("RUST_BACKTRACE")
        .output()
        .map_err(|e| format!("strace: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    let trace = std::fs::read_to_string(&log).unwrap_or_default();
    if !trace.contains("(INJECTED)") {
        return Ok(Ending::NotReached);
    }
    if said.is_empty() && !complained.contains("open: ") {
        // The loader or the runtime met it, before there was a child to speak of.
        return Ok(Ending::Met);
    }
    let told = || {
        format!(
            "{fault:?}\n{}\n{complained}",
            said.lines().rev().take(4).collect::<Vec<_>>().join(" < ")
        )
    };
    if !output.status.success() || !said.lines().any(|line| line == "end") {
        return Err(format!("the child ended with {}: {}", output.status, told()));
    }
    let faults = said.lines().filter_map(|line| line.strip_prefix("faults ")).any(|n| n != "0");
    // A full check beside a failed sync may see what the cache has lost; the one below may not.
    if faults && fault.call != "msync" {
        return Err(format!("the child's own check found faults: {}", told()));
    }
    judge(&path, &said).map_err(|e| format!("{e}: {}", told()))?;
    Ok(Ending::Met)
}

/// The database, without faults now, holds what was acknowledged, and of the rest all or nothing.
fn judge(path: &Path, said: &str) -> Result<(), String> {
    let durable: BTreeSet<u32> =
        said.lines().filter_map(|l| l.strip_prefix("durable ")?.parse().ok()).collect();
    if !path.exists() && durable.is_empty() {
        return Ok(());
    }
    let db = open(path, Sink::Staged).map_err(|e| format!("opened again: {e}"))?;
    let txn = db.read().map_err(|e| e.to_string())?;
    let table = match txn.table("t") {
        Ok(table) => Some(table),
        Err(recto::Error::NoSuchTable(_)) => None,
        Err(e) => return Err(e.to_string()),
    };
    for n in 0..2 * TRANSACTIONS {
        let mut there = 0;
        for key in keys(n) {
            let found = match &table {
                Some(table) => table.get(key.as_bytes()).map_err(|e| e.to_string())?,
                None => None,
            };
            match found {
                Some(bytes) if bytes == value(n) => there += 1,
                Some(_) => return Err(format!("{key} has another value")),
                None => {}
            }
        }
        if there == 1 || (there == 0 && durable.contains(&n)) {
            return Err(format!("of transaction {n}, {there} of 2 pairs are there"));
        }
    }
    drop(txn);
    let report = db.check(None).map_err(|e| format!("check: {e}"))?;
    if report.fault_count > 0 {
        return Err(format!("check: {:?}", report.faults.first()));
    }
    transaction(&db, 0).map_err(|e| format!("a last commit: {e}"))?;
    Ok(())
}
