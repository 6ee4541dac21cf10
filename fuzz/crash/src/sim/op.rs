//! What processes do one after another, and what befalls them on the way: one line of a script
//! each.

use super::edit::Edit;
use recto::Durability;
use recto::harness::Newer;
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
    /// `leave P`: closes its handle; it comes back with its next deed.
    Leave,
    /// `cut SEED`, `cut SEED with-lock-file`: the power fails between two deeds.
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
    /// `visit`: another process begins to read, keeps the snapshot, and makes everything durable
    /// that is built.
    Visit,
    /// `evict`: pages that the device has refused leave the cache.
    Evict,
    /// `stranger`: a program that is not recto cannot make the file durable; then another process
    /// opens the database, and reads.
    Stranger,
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
            Deed::Commit { edits, .. }
            | Deed::Build { edits }
            | Deed::Abort { edits }
            | Deed::Begin { edits } => edits,
            _ => &[],
        }
    }

    /// The same with other edits.
    pub fn with_edits(&self, new: Vec<Edit>) -> Deed {
        let mut deed = self.clone();
        if let Deed::Commit { edits, .. }
        | Deed::Build { edits }
        | Deed::Abort { edits }
        | Deed::Begin { edits } = &mut deed
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
            Deed::Begin { .. } => "begin".into(),
            Deed::End { .. } => "end".into(),
            Deed::Crowd { .. } => "crowd".into(),
            Deed::ForeignSyncFails => "foreign-sync-fails".into(),
            Deed::DeviceWrites => "device-writes".into(),
            Deed::DeviceRefuses => "device-refuses".into(),
            Deed::Evict => "evict".into(),
            Deed::OtherLockFile => "other-lock-file".into(),
            Deed::Copy => "copy".into(),
            Deed::Restore { commits } => format!("restore {commits}"),
            Deed::Newer { slot, newer: Newer::Version } => format!("newer {slot} version"),
            Deed::Newer { slot, newer: Newer::ToRead } => format!("newer {slot} to-read"),
            Deed::Newer { slot, newer: Newer::ToWrite } => format!("newer {slot} to-write"),
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
            Deed::Cut { .. }
                | Deed::Remount { .. }
                | Deed::AllDie { .. }
                | Deed::ForeignSync
                | Deed::ForeignSyncFails
                | Deed::DeviceWrites
                | Deed::DeviceRefuses
                | Deed::Evict
                | Deed::OtherLockFile
                | Deed::Restore { .. }
                | Deed::Newer { .. }
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.deed.head())?;
        if !self.deed.befalls_all() {
            write!(f, " {}", self.process)?;
        }
        if !self.deed.edits().is_empty()
            || matches!(self.deed, Deed::Commit { .. } | Deed::Build { .. } | Deed::Abort { .. })
        {
            let edits: Vec<String> = self.deed.edits().iter().map(Edit::to_string).collect();
            write!(f, ": {}", edits.join("; "))?;
        }
        match self.deed {
            Deed::Churn { count } | Deed::Crowd { count } => write!(f, " {count}")?,
            Deed::End { how: How::Durable } => {}
            Deed::End { how: How::Deferred } => write!(f, " deferred")?,
            Deed::End { how: How::Build } => write!(f, " build")?,
            Deed::End { how: How::Abort } => write!(f, " abort")?,
            _ => {}
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
                What::Stranger => write!(f, "stranger")?,
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
            ["begin", p] => (p, Deed::Begin { edits }),
            ["end", p] => (p, Deed::End { how: How::Durable }),
            ["end", p, "deferred"] => (p, Deed::End { how: How::Deferred }),
            ["end", p, "build"] => (p, Deed::End { how: How::Build }),
            ["end", p, "abort"] => (p, Deed::End { how: How::Abort }),
            ["copy", p] => (p, Deed::Copy),
            ["crowd", p, count] => {
                (p, Deed::Crowd { count: u16::try_from(number(count)?).map_err(|_| bad())? })
            }
            ["foreign-sync-fails"] => ("0", Deed::ForeignSyncFails),
            ["device-writes"] => ("0", Deed::DeviceWrites),
            ["device-refuses"] => ("0", Deed::DeviceRefuses),
            ["evict"] => ("0", Deed::Evict),
            ["other-lock-file"] => ("0", Deed::OtherLockFile),
            ["restore", commits] => {
                ("0", Deed::Restore { commits: u8::try_from(number(commits)?).map_err(|_| bad())? })
            }
            ["newer", slot, newer] => {
                let newer = match newer {
                    "version" => Newer::Version,
                    "to-read" => Newer::ToRead,
                    "to-write" => Newer::ToWrite,
                    _ => return Err(bad()),
                };
                ("0", Deed::Newer { slot: (number(slot)? & 1) as u8, newer })
            }
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
