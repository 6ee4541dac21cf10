//! What processes do one after another, and what happens to them on the way: one line of a script
//! each.

use super::edit::Edit;
use recto::Durability;
use recto::harness::Newer;
use std::fmt;

/// What a process does.
#[derive(Clone, PartialEq, Debug)]
pub enum OpKind {
    /// `durable P: EDITS`, `deferred P: EDITS`: a transaction.
    Commit { durability: Durability, edits: Vec<Edit> },
    /// `build P: EDITS`: the first half of a durable commit; other processes go on meanwhile.
    Build { edits: Vec<Edit> },
    /// `finish P`: the second half of the oldest that the process has built.
    Finish,
    /// `abort P: EDITS`
    Abort { edits: Vec<Edit> },
    /// `begin P: EDITS`: a transaction that stays open; or more edits in the one that is open.
    Begin { edits: Vec<Edit> },
    /// `end P`, `end P deferred`, `end P build`, `end P abort`: the end of the open transaction.
    End { how: How },
    /// `flush P`: everything deferred becomes durable.
    Flush,
    /// `hold P`: begins to read and keeps the snapshot.
    Hold,
    /// `observe P`: as `hold`, by a process that may not write to the lock file.
    Observe,
    /// `release P`: ends the oldest snapshot that anybody holds.
    Release,
    /// `check P`: the full check beside everything else.
    Check,
    /// `churn P COUNT`: twice as many small durable commits; the second half must not make the file
    /// longer, and afterwards nobody stands in the reader table but who reads.
    Churn { count: u16 },
    /// `crowd P COUNT`: begins to read so many times, then ends them all.
    Crowd { count: u16 },
    /// `foreign-sync`: a program that is not recto makes the file durable, and is told what went
    /// wrong.
    ForeignSync,
    /// `foreign-sync-fails`: it cannot, and nobody who opens the file after it is told of the pages
    /// that were lost.
    ForeignSyncFails,
    /// `device-writes`: the system writes everything that is dirty.
    DeviceWrites,
    /// `device-refuses`: it tries to, and cannot: all of it or some counts as written, is not, and
    /// the next who syncs is told.
    DeviceRefuses,
    /// `evict`: pages that were refused leave the cache, where recto was told of that, or needs
    /// none of them but what an open transaction has written.
    Evict,
    /// `lose-lock-file P`: the lock file is deleted while it is in use: whoever opens the database
    /// then must be refused. Then everybody dies.
    LoseLockFile,
    /// `alone P: EDITS`: whoever wants the database to itself is refused while others have it;
    /// everybody goes; then it has it, commits the edits deferred, durable, and deferred again,
    /// and goes or dies. Meanwhile everybody else is refused, and what it does is with the next.
    Alone { edits: Vec<Edit> },
    /// `leave P`: closes its handle; it comes back with its next operation.
    Leave,
    /// `cut SEED`, `cut SEED with-lock-file`: the power fails between two operations.
    Cut { seed: u64, lock_file: bool },
    /// `remount SEED`: the device goes away and comes back without a reboot.
    Remount { seed: u64 },
    /// `all-die`, `all-die without-lock-file`: the system lives.
    AllDie { keep_lock_file: bool },
    /// `other-lock-file`: everybody dies, and who comes next takes the lock file to be at the other
    /// of two paths.
    OtherLockFile,
    /// `copy P`: makes everything durable, and keeps a copy of the file.
    Copy,
    /// `restore COMMITS`: everybody dies, and the copy is put in the place of the file, after so
    /// many commits elsewhere: of one who opened it there, or with none as it was. 255: as many as
    /// it takes to come to the ids of the file; 254: the same on a machine that draws the same
    /// random numbers, as the copy of a virtual machine may.
    Restore { commits: u8 },
    /// `newer SLOT version`, `newer SLOT to-read`, `newer SLOT to-write`: everybody dies, and a
    /// newer build has committed into the slot, with a version or a feature that this one does not
    /// know: nobody writes to the file then. It is undone.
    Newer { slot: u8, newer: Newer },
    /// `newer-beside`: a newer build has committed beside those who have the database open,
    /// with a feature that must be known to write: none of them writes or flushes anything then.
    /// It is undone.
    NewerBeside,
}

/// How an open transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Durable,
    Deferred,
    /// The first half of a durable commit, as in `build`.
    Build,
    Abort,
}

/// What happens to a process in the middle of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// `kill`
    Kill,
    /// `cut SEED`: the power fails, a machine boots, the script goes on there.
    Cut(u64),
    /// `fail ERRNO TIMES`: this call, and those of its kind after it, fail.
    Fail { errno: i32, times: u32 },
    /// `turn`, `turn deferred`: another process makes three commits.
    Turn { deferred: bool },
    /// `visit`: another process begins to read, keeps the snapshot, and makes everything durable
    /// that is built.
    Visit,
    /// `evict`: pages that the device has refused leave the cache.
    Evict,
    /// `stranger`: a program that is not recto cannot make the file durable; then another process
    /// opens the database, and reads.
    Stranger,
}

/// Something that happens at an event of the operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Events of the operation before it.
    pub at: u32,
    pub what: What,
}

/// A line of a script.
#[derive(Clone, PartialEq, Debug)]
pub struct Op {
    /// Who does it.
    pub process: u8,
    pub kind: OpKind,
    pub faults: Vec<Fault>,
}

impl OpKind {
    /// Its edits.
    pub fn edits(&self) -> &[Edit] {
        match self {
            OpKind::Commit { edits, .. }
            | OpKind::Build { edits }
            | OpKind::Abort { edits }
            | OpKind::Alone { edits }
            | OpKind::Begin { edits } => edits,
            _ => &[],
        }
    }

    /// The same with other edits.
    pub fn with_edits(&self, new: Vec<Edit>) -> OpKind {
        let mut kind = self.clone();
        if let OpKind::Commit { edits, .. }
        | OpKind::Build { edits }
        | OpKind::Abort { edits }
        | OpKind::Alone { edits }
        | OpKind::Begin { edits } = &mut kind
        {
            *edits = new;
        }
        kind
    }

    fn head(&self) -> String {
        match self {
            OpKind::Commit { durability: Durability::Durable, .. } => "durable".into(),
            OpKind::Commit { .. } => "deferred".into(),
            OpKind::Build { .. } => "build".into(),
            OpKind::Finish => "finish".into(),
            OpKind::Abort { .. } => "abort".into(),
            OpKind::Begin { .. } => "begin".into(),
            OpKind::Alone { .. } => "alone".into(),
            OpKind::End { .. } => "end".into(),
            OpKind::Crowd { .. } => "crowd".into(),
            OpKind::ForeignSyncFails => "foreign-sync-fails".into(),
            OpKind::DeviceWrites => "device-writes".into(),
            OpKind::DeviceRefuses => "device-refuses".into(),
            OpKind::Evict => "evict".into(),
            OpKind::OtherLockFile => "other-lock-file".into(),
            OpKind::Copy => "copy".into(),
            OpKind::Restore { commits } => format!("restore {commits}"),
            OpKind::Newer { slot, newer: Newer::Version } => format!("newer {slot} version"),
            OpKind::Newer { slot, newer: Newer::ToRead } => format!("newer {slot} to-read"),
            OpKind::Newer { slot, newer: Newer::ToWrite } => format!("newer {slot} to-write"),
            OpKind::NewerBeside => "newer-beside".into(),
            OpKind::Flush => "flush".into(),
            OpKind::Hold => "hold".into(),
            OpKind::Observe => "observe".into(),
            OpKind::Release => "release".into(),
            OpKind::Check => "check".into(),
            OpKind::Churn { .. } => "churn".into(),
            OpKind::ForeignSync => "foreign-sync".into(),
            OpKind::LoseLockFile => "lose-lock-file".into(),
            OpKind::Leave => "leave".into(),
            OpKind::Cut { seed, lock_file: false } => format!("cut {seed}"),
            OpKind::Cut { seed, lock_file: true } => format!("cut {seed} with-lock-file"),
            OpKind::Remount { seed } => format!("remount {seed}"),
            OpKind::AllDie { keep_lock_file: true } => "all-die".into(),
            OpKind::AllDie { keep_lock_file: false } => "all-die without-lock-file".into(),
        }
    }

    /// Whether nobody in particular does it.
    pub fn concerns_all(&self) -> bool {
        matches!(
            self,
            OpKind::Cut { .. }
                | OpKind::Remount { .. }
                | OpKind::AllDie { .. }
                | OpKind::ForeignSync
                | OpKind::ForeignSyncFails
                | OpKind::DeviceWrites
                | OpKind::DeviceRefuses
                | OpKind::Evict
                | OpKind::OtherLockFile
                | OpKind::Restore { .. }
                | OpKind::Newer { .. }
                | OpKind::NewerBeside
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.head())?;
        if !self.kind.concerns_all() {
            write!(f, " {}", self.process)?;
        }
        if !self.kind.edits().is_empty()
            || matches!(
                self.kind,
                OpKind::Commit { .. }
                    | OpKind::Build { .. }
                    | OpKind::Abort { .. }
                    | OpKind::Alone { .. }
            )
        {
            let edits: Vec<String> = self.kind.edits().iter().map(Edit::to_string).collect();
            write!(f, ": {}", edits.join("; "))?;
        }
        match self.kind {
            OpKind::Churn { count } | OpKind::Crowd { count } => write!(f, " {count}")?,
            OpKind::End { how: How::Durable } => {}
            OpKind::End { how: How::Deferred } => write!(f, " deferred")?,
            OpKind::End { how: How::Build } => write!(f, " build")?,
            OpKind::End { how: How::Abort } => write!(f, " abort")?,
            _ => {}
        }
        for fault in &self.faults {
            write!(f, " @ {} ", fault.at)?;
            match fault.what {
                What::Kill => write!(f, "kill")?,
                What::Cut(seed) => write!(f, "cut {seed}")?,
                What::Fail { errno, times } => write!(f, "fail {errno} {times}")?,
                What::Turn { deferred: false } => write!(f, "turn")?,
                What::Turn { deferred: true } => write!(f, "turn deferred")?,
                What::Visit => write!(f, "visit")?,
                What::Evict => write!(f, "evict")?,
                What::Stranger => write!(f, "stranger")?,
            }
        }
        Ok(())
    }
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let bad = || format!("no fault: {text:?}");
    let at = words.first().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
    let what = match words[1..] {
        ["kill"] => What::Kill,
        ["evict"] => What::Evict,
        ["visit"] => What::Visit,
        ["stranger"] => What::Stranger,
        ["cut", seed] => What::Cut(seed.parse().map_err(|_| bad())?),
        ["fail", errno, times] => What::Fail {
            errno: errno.parse().map_err(|_| bad())?,
            times: times.parse().map_err(|_| bad())?,
        },
        ["turn"] => What::Turn { deferred: false },
        ["turn", "deferred"] => What::Turn { deferred: true },
        _ => return Err(bad()),
    };
    Ok(Fault { at, what })
}

impl Op {
    /// An operation without a fault.
    pub fn new(process: u8, kind: OpKind) -> Op {
        let process = if kind.concerns_all() { 0 } else { process };
        Op { process, kind, faults: Vec::new() }
    }

    /// What `Display` has written.
    pub fn parse(line: &str) -> Result<Op, String> {
        let bad = || format!("no operation: {line:?}");
        let mut parts = line.split(" @ ");
        let operation = parts.next().unwrap_or_default();
        let faults = parts.map(parse_fault).collect::<Result<_, _>>()?;
        let (head, edits) = match operation.split_once(':') {
            None => (operation, Vec::new()),
            Some((head, edits)) => {
                let edits = edits.split(';').map(str::trim).filter(|e| !e.is_empty());
                (head, edits.map(Edit::parse).collect::<Result<_, _>>()?)
            }
        };
        let words: Vec<&str> = head.split_whitespace().collect();
        let number = |w: &str| w.parse::<u64>().map_err(|_| bad());
        let (process, kind) = match words[..] {
            ["cut", seed] => ("0", OpKind::Cut { seed: number(seed)?, lock_file: false }),
            ["cut", seed, "with-lock-file"] => {
                ("0", OpKind::Cut { seed: number(seed)?, lock_file: true })
            }
            ["remount", seed] => ("0", OpKind::Remount { seed: number(seed)? }),
            ["all-die"] => ("0", OpKind::AllDie { keep_lock_file: true }),
            ["all-die", "without-lock-file"] => ("0", OpKind::AllDie { keep_lock_file: false }),
            ["durable", p] => (p, OpKind::Commit { durability: Durability::Durable, edits }),
            ["deferred", p] => (p, OpKind::Commit { durability: Durability::Deferred, edits }),
            ["build", p] => (p, OpKind::Build { edits }),
            ["abort", p] => (p, OpKind::Abort { edits }),
            ["begin", p] => (p, OpKind::Begin { edits }),
            ["alone", p] => (p, OpKind::Alone { edits }),
            ["end", p] => (p, OpKind::End { how: How::Durable }),
            ["end", p, "deferred"] => (p, OpKind::End { how: How::Deferred }),
            ["end", p, "build"] => (p, OpKind::End { how: How::Build }),
            ["end", p, "abort"] => (p, OpKind::End { how: How::Abort }),
            ["copy", p] => (p, OpKind::Copy),
            ["crowd", p, count] => {
                (p, OpKind::Crowd { count: u16::try_from(number(count)?).map_err(|_| bad())? })
            }
            ["foreign-sync-fails"] => ("0", OpKind::ForeignSyncFails),
            ["device-writes"] => ("0", OpKind::DeviceWrites),
            ["device-refuses"] => ("0", OpKind::DeviceRefuses),
            ["evict"] => ("0", OpKind::Evict),
            ["other-lock-file"] => ("0", OpKind::OtherLockFile),
            ["restore", commits] => (
                "0",
                OpKind::Restore { commits: u8::try_from(number(commits)?).map_err(|_| bad())? },
            ),
            ["newer", slot, newer] => {
                let newer = match newer {
                    "version" => Newer::Version,
                    "to-read" => Newer::ToRead,
                    "to-write" => Newer::ToWrite,
                    _ => return Err(bad()),
                };
                ("0", OpKind::Newer { slot: (number(slot)? & 1) as u8, newer })
            }
            ["newer-beside"] => ("0", OpKind::NewerBeside),
            ["finish", p] => (p, OpKind::Finish),
            ["flush", p] => (p, OpKind::Flush),
            ["hold", p] => (p, OpKind::Hold),
            ["observe", p] => (p, OpKind::Observe),
            ["release", p] => (p, OpKind::Release),
            ["check", p] => (p, OpKind::Check),
            ["churn", p, count] => {
                (p, OpKind::Churn { count: u16::try_from(number(count)?).map_err(|_| bad())? })
            }
            ["foreign-sync"] => ("0", OpKind::ForeignSync),
            ["lose-lock-file", p] => (p, OpKind::LoseLockFile),
            ["leave", p] => (p, OpKind::Leave),
            _ => return Err(bad()),
        };
        let process = process.parse().ok().filter(|p| *p < super::script::PROCESSES);
        Ok(Op { process: process.ok_or_else(bad)?, kind, faults })
    }
}
