//! What processes do one after another, and what befalls them on the way: one line of a script each.

use super::edit::Edit;
use recto::Durability;
use std::fmt;

/// What a process does.
#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    /// `durable P: EDITS`, `deferred P: EDITS`: a transaction.
    Commit { durability: Durability, edits: Vec<Edit> },
    /// `build P: EDITS`: the first half of a durable commit; other processes go on meanwhile.
    Build { edits: Vec<Edit> },
    /// `finish P`: the second half of the oldest that the process has built.
    Finish,
    /// `abort P: EDITS`
    Abort { edits: Vec<Edit> },
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
    /// `churn P COUNT`: twice as many small durable commits; the second half must not make the file longer, and afterwards
    /// nobody stands in the reader table but who reads.
    Churn { count: u16 },
    /// `foreign-sync`: a program that is not recto makes the file durable, and is told what went wrong.
    ForeignSync,
    /// `lose-lock-file P`: the lock file is deleted while it is in use: whoever opens the database then must be refused. Then
    /// everybody dies.
    LoseLockFile,
    /// `leave P`: closes its handle; it comes back with its next deed.
    Leave,
    /// `cut SEED`, `cut SEED with-lock-file`: the power fails between two deeds.
    Cut { seed: u64, lock_file: bool },
    /// `remount SEED`: the device goes away and comes back without a reboot.
    Remount { seed: u64 },
    /// `all-die`, `all-die without-lock-file`: the system lives.
    AllDie { keep_lock_file: bool },
}

/// What befalls a process in the middle of a deed.
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
    /// `visit`: another process begins to read, keeps the snapshot, and makes everything durable that is built.
    Visit,
    /// `evict`: pages that the device has refused leave the cache.
    Evict,
}

/// Something that befalls at an event of the deed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accident {
    /// Events of the deed before it.
    pub at: u32,
    pub what: What,
}

/// A line of a script.
#[derive(Clone, PartialEq, Debug)]
pub struct Op {
    /// Who does it.
    pub process: u8,
    pub deed: Deed,
    pub accidents: Vec<Accident>,
}

impl Deed {
    /// Its edits.
    pub fn edits(&self) -> &[Edit] {
        match self {
            Deed::Commit { edits, .. } | Deed::Build { edits } | Deed::Abort { edits } => edits,
            _ => &[],
        }
    }

    /// The same with other edits.
    pub fn with_edits(&self, new: Vec<Edit>) -> Deed {
        let mut deed = self.clone();
        if let Deed::Commit { edits, .. } | Deed::Build { edits } | Deed::Abort { edits } =
            &mut deed
        {
            *edits = new;
        }
        deed
    }

    fn head(&self) -> String {
        match self {
            Deed::Commit { durability: Durability::Durable, .. } => "durable".into(),
            Deed::Commit { .. } => "deferred".into(),
            Deed::Build { .. } => "build".into(),
            Deed::Finish => "finish".into(),
            Deed::Abort { .. } => "abort".into(),
            Deed::Flush => "flush".into(),
            Deed::Hold => "hold".into(),
            Deed::Observe => "observe".into(),
            Deed::Release => "release".into(),
            Deed::Check => "check".into(),
            Deed::Churn { .. } => "churn".into(),
            Deed::ForeignSync => "foreign-sync".into(),
            Deed::LoseLockFile => "lose-lock-file".into(),
            Deed::Leave => "leave".into(),
            Deed::Cut { seed, lock_file: false } => format!("cut {seed}"),
            Deed::Cut { seed, lock_file: true } => format!("cut {seed} with-lock-file"),
            Deed::Remount { seed } => format!("remount {seed}"),
            Deed::AllDie { keep_lock_file: true } => "all-die".into(),
            Deed::AllDie { keep_lock_file: false } => "all-die without-lock-file".into(),
        }
    }

    /// Whether nobody in particular does it.
    pub fn befalls_all(&self) -> bool {
        matches!(
            self,
            Deed::Cut { .. } | Deed::Remount { .. } | Deed::AllDie { .. } | Deed::ForeignSync
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.deed.head())?;
        if !self.deed.befalls_all() {
            write!(f, " {}", self.process)?;
        }
        if matches!(self.deed, Deed::Commit { .. } | Deed::Build { .. } | Deed::Abort { .. }) {
            let edits: Vec<String> = self.deed.edits().iter().map(Edit::to_string).collect();
            write!(f, ": {}", edits.join("; "))?;
        }
        if let Deed::Churn { count } = self.deed {
            write!(f, " {count}")?;
        }
        for accident in &self.accidents {
            write!(f, " @ {} ", accident.at)?;
            match accident.what {
                What::Kill => write!(f, "kill")?,
                What::Cut(seed) => write!(f, "cut {seed}")?,
                What::Fail { errno, times } => write!(f, "fail {errno} {times}")?,
                What::Turn { deferred: false } => write!(f, "turn")?,
                What::Turn { deferred: true } => write!(f, "turn deferred")?,
                What::Visit => write!(f, "visit")?,
                What::Evict => write!(f, "evict")?,
            }
        }
        Ok(())
    }
}

fn parse_accident(text: &str) -> Result<Accident, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let bad = || format!("no accident: {text:?}");
    let at = words.first().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
    let what = match words[1..] {
        ["kill"] => What::Kill,
        ["evict"] => What::Evict,
        ["visit"] => What::Visit,
        ["cut", seed] => What::Cut(seed.parse().map_err(|_| bad())?),
        ["fail", errno, times] => What::Fail {
            errno: errno.parse().map_err(|_| bad())?,
            times: times.parse().map_err(|_| bad())?,
        },
        ["turn"] => What::Turn { deferred: false },
        ["turn", "deferred"] => What::Turn { deferred: true },
        _ => return Err(bad()),
    };
    Ok(Accident { at, what })
}

impl Op {
    /// A deed without an accident.
    pub fn new(process: u8, deed: Deed) -> Op {
        let process = if deed.befalls_all() { 0 } else { process };
        Op { process, deed, accidents: Vec::new() }
    }

    /// What `Display` has written.
    pub fn parse(line: &str) -> Result<Op, String> {
        let bad = || format!("no operation: {line:?}");
        let mut parts = line.split(" @ ");
        let deed = parts.next().unwrap_or_default();
        let accidents = parts.map(parse_accident).collect::<Result<_, _>>()?;
        let (head, edits) = match deed.split_once(':') {
            None => (deed, Vec::new()),
            Some((head, edits)) => {
                let edits = edits.split(';').map(str::trim).filter(|e| !e.is_empty());
                (head, edits.map(Edit::parse).collect::<Result<_, _>>()?)
            }
        };
        let words: Vec<&str> = head.split_whitespace().collect();
        let number = |w: &str| w.parse::<u64>().map_err(|_| bad());
        let (process, deed) = match words[..] {
            ["cut", seed] => ("0", Deed::Cut { seed: number(seed)?, lock_file: false }),
            ["cut", seed, "with-lock-file"] => {
                ("0", Deed::Cut { seed: number(seed)?, lock_file: true })
            }
            ["remount", seed] => ("0", Deed::Remount { seed: number(seed)? }),
            ["all-die"] => ("0", Deed::AllDie { keep_lock_file: true }),
            ["all-die", "without-lock-file"] => ("0", Deed::AllDie { keep_lock_file: false }),
            ["durable", p] => (p, Deed::Commit { durability: Durability::Durable, edits }),
            ["deferred", p] => (p, Deed::Commit { durability: Durability::Deferred, edits }),
            ["build", p] => (p, Deed::Build { edits }),
            ["abort", p] => (p, Deed::Abort { edits }),
            ["finish", p] => (p, Deed::Finish),
            ["flush", p] => (p, Deed::Flush),
            ["hold", p] => (p, Deed::Hold),
            ["observe", p] => (p, Deed::Observe),
            ["release", p] => (p, Deed::Release),
            ["check", p] => (p, Deed::Check),
            ["churn", p, count] => {
                (p, Deed::Churn { count: u16::try_from(number(count)?).map_err(|_| bad())? })
            }
            ["foreign-sync"] => ("0", Deed::ForeignSync),
            ["lose-lock-file", p] => (p, Deed::LoseLockFile),
            ["leave", p] => (p, Deed::Leave),
            _ => return Err(bad()),
        };
        let process = process.parse().ok().filter(|p| *p < super::script::PROCESSES);
        Ok(Op { process: process.ok_or_else(bad)?, deed, accidents })
    }
}
