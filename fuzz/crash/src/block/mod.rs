//! Power cuts below a real file system.
//!
//! A file of a small FUSE file system, served by this process, is the disk: a loop device lies on
//! it, on that a file system of the kernel, and on that a recto database at work. The disk writes
//! down every write and every flush in the order in which they complete. Afterwards any crash is a
//! choice: all that was flushed, and of what came after it any part. Each state is put on the disk,
//! mounted (the kernel recovers its journal), opened and verified.
//!
//! | file | what it does |
//! | --- | --- |
//! | `disk` | the blocks, and the log of what happened to them |
//! | `device` | the FUSE file and the loop device |
//! | `ground` | mount namespace, directories, mounts: everything that has to vanish afterwards |
//! | `plan` | file systems, and the options of one recording |
//! | `script` | what transaction number n does: a function of the seed, so that state n can be computed again |
//! | `workload` | child process: commits transactions and says so |
//! | `verifier` | child process: mounts, opens and judges states |
//! | `child` | the other ends of the pipes to both |
//! | `cut` | which crash states a log has |
//! | `own` | which writes carry pages of the database and may be torn |
//! | `campaign` | recordings, states, counts |
//! | `found` | a state that lost something, kept as a file |
//!
//! Invariants
//! - Notes of the workload ("begun 7", "acked 7") go through the same FUSE connection as the writes
//!   of the disk, which one thread serves: their place in the log is exact.
//! - This process never touches what is mounted from its own disk: it would wait for itself.
//!   Children do.
//! - Mounts live in a mount namespace of this process and its children, the loop device detaches
//!   itself at its last close, children die with their parent: whatever ends the campaign, nothing
//!   stays behind.
//! - Only sectors of the database are torn. File systems are promised whole requests.
//!
//! Thread rules: the campaign runs on the main thread; the FUSE server on a thread of its own,
//! which waits for nobody.

mod campaign;
mod child;
mod cut;
mod device;
mod disk;
mod found;
mod ground;
mod own;
mod plan;
mod script;
mod verifier;
mod workload;

pub use campaign::{Campaign, Count, Summary};
pub use found::verify_again;
pub use ground::missing;
pub use plan::{FileSystem, Wrong};

/// Why something could not be done.
pub type Error = Box<dyn std::error::Error>;
/// What fallible steps of the campaign return.
pub type Result<T> = std::result::Result<T, Error>;

/// The part of a child process: `workload PLAN PROCESS DIRECTORY NOTES` or `verifier`.
pub fn child_main(args: &[String]) -> Result<()> {
    child::adopt()?;
    match args {
        [role, plan, process, file, notes] if role == "workload" => {
            workload::main(&plan.parse()?, process.parse()?, file.as_ref(), notes.as_ref())
        }
        [role] if role == "verifier" => verifier::main(),
        _ => Err("not for use by hand".into()),
    }
}
