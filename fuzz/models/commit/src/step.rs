//! What happens in one step, for traces.

use std::fmt;

/// A step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Cut { slots: [u8; 2], good: u8, lock_file: LockFile },
    Chose { ghost: u8, slot: u8 },
    Opening { from: u8, to: u8 },
    OpeningSyncFails(u8),
    OpenerDies,
    Closes(u8),
    Allocates { ghost: u8, rewrites: u8, deferred: bool },
    Collects(u8),
    Spills { ghost: u8, pages: u8 },
    Builds(u8),
    GivesUp(u8),
    Asks(u8),
    WriterDies,
    Targets { ghost: u8, sealed: bool, second: bool },
    Flush { ghost: u8, step: u8 },
    FlushSyncFails { ghost: u8, step: u8 },
    LeaderDies(u8),
    Repairs { ghost: u8, how: Repair },
    AllDie(LockFile),
    SavesLockFile,
    SecondOpens,
    SecondBegins,
    ForeignSync,
    Truncates(u8),
    Pins(u8),
    Begins { step: u8, ghost: u8 },
    Unpins,
    WriteBackFails(u8),
    Evicts { cell: u8, ghost: u8 },
}

/// What becomes of the lock file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockFile {
    Kept,
    Lost,
    /// It is what was saved.
    Older,
    /// Its words are kept, its list of pages is what was saved.
    OlderList,
}

/// How a repair goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repair {
    Nothing,
    ForwardSealed,
    ForwardTwoPhase,
    Back,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Cut { slots: [a, b], good, lock_file } => {
                write!(f, "POWER CUT: slots g{a} and g{b}, good pages {good:#010b}")?;
                match lock_file {
                    LockFile::Lost => Ok(()),
                    LockFile::Kept => f.write_str(", lock file kept (the device came back)"),
                    LockFile::Older => f.write_str(", lock file as it was saved"),
                    LockFile::OlderList => f.write_str(", lock file kept but for its list"),
                }
            }
            Step::Chose { ghost, slot } => write!(f, "opening: g{ghost} from slot {slot}"),
            Step::Opening { from, to } => write!(f, "opening or repair: step {from}, then {to}"),
            Step::OpeningSyncFails(step) => {
                write!(f, "opening or repair: SYNC FAILS in step {step}")
            }
            Step::OpenerDies => f.write_str("OPENER OR REPAIRER DIES"),
            Step::Closes(0) => f.write_str("the last handle is closed"),
            Step::Closes(step) => write!(f, "the last handle closes: step {step}"),
            Step::Allocates { ghost, rewrites, deferred } => {
                let kind = if deferred { "deferred" } else { "durable" };
                write!(f, "writer: g{ghost}, {kind}, rewrites {rewrites:#b}")
            }
            Step::Collects(what) => write!(f, "writer: collects ({})", char::from(what)),
            Step::Spills { ghost, pages } => write!(f, "writer: g{ghost} spills {pages:#b}"),
            Step::Builds(ghost) => write!(f, "writer: g{ghost} is built"),
            Step::GivesUp(ghost) => write!(f, "writer: g{ghost} finds a page lost and fails"),
            Step::Asks(ghost) => write!(f, "writer: g{ghost} is told of a failed write-back"),
            Step::WriterDies => f.write_str("WRITER DIES"),
            Step::Targets { ghost, sealed, second } => {
                let how = if sealed { "sealed, meta stored" } else { "two phases" };
                let who = if second { "the second handle" } else { "leader" };
                write!(f, "{who}: target g{ghost}, {how}")
            }
            Step::Flush { ghost, step } => write!(f, "leader: g{ghost}, step {step}"),
            Step::FlushSyncFails { ghost, step } => {
                write!(f, "leader: SYNC FAILS in step {step}, g{ghost}")
            }
            Step::LeaderDies(step) => write!(f, "LEADER DIES in step {step}"),
            Step::Repairs { ghost, how } => write!(f, "repair: g{ghost}, {how:?}"),
            Step::AllDie(LockFile::Kept) => f.write_str("ALL PROCESSES DIE"),
            Step::AllDie(LockFile::Lost) => f.write_str("ALL PROCESSES DIE, the lock file is lost"),
            Step::AllDie(_) => {
                f.write_str("ALL PROCESSES DIE, the lock file that was saved is used next")
            }
            Step::SavesLockFile => f.write_str("the lock file as it is now is saved"),
            Step::SecondOpens => f.write_str("a second handle is opened"),
            Step::SecondBegins => f.write_str("the second handle begins a transaction on D"),
            Step::ForeignSync => f.write_str("another program syncs the file and is told"),
            Step::Truncates(pages) => write!(f, "the file is cut to {pages} pages"),
            Step::Pins(ghost) => write!(f, "reader: pins g{ghost}"),
            Step::Begins { step, ghost } => write!(f, "reader: step {step}, g{ghost}"),
            Step::Unpins => f.write_str("reader: ends"),
            Step::WriteBackFails(cell) => write!(f, "WRITE-BACK FAILS: cell {cell}"),
            Step::Evicts { cell, ghost } => {
                write!(f, "cell {cell} leaves the cache, g{ghost} comes back")
            }
        }
    }
}
