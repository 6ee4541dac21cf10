//! A reader as it is shown to people.

use crate::shared::ReaderInfo;
use std::fmt;
use std::time::Duration;

/// Who reads what, and what that costs. For people: nothing is decided by it, and it may be another
/// thing a moment later.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let txn = db.read()?;
/// for reader in db.readers()? {
///     println!("{reader}"); // slot or process, command, age, pages that it holds back
///     assert!(reader.is_alive());
/// }
/// # drop(txn);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Reader {
    /// Id of the transaction whose state is read; 0 while a reader is still beginning.
    pub txn: u64,
    /// The line in the table of readers, with the process. None for those who may not write to the
    /// lock file: they stand together, all who read one snapshot, and nothing tells who they are.
    pub slot: Option<ReaderInfo>,
    /// Command line of the process, its first 60 characters. None if it is dead, if its descriptors
    /// can be seen and the database is not among them (the number is that of another container, or
    /// has been used again), or if nothing can be seen.
    pub command: Option<String>,
    /// Ids of transactions from its snapshot to the newest: no fewer than commits, and more where
    /// transactions have savepoints.
    pub behind: u64,
    /// For how long there has been a newer snapshot, at least; None while there is none. To the
    /// second, and to about an eighth of the time.
    pub outdated: Option<Duration>,
    /// Free pages that wait because it can see them: what could be used again without it, unless
    /// another one sees the same pages. 0 where the snapshot has a name, which keeps them whoever
    /// reads. None if commits left no moment to look.
    pub pages_held: Option<u64>,
}

impl Reader {
    /// Whether its process lives. What a dead one has left the next write transaction that meets it
    /// clears away.
    pub fn is_alive(&self) -> bool {
        self.slot.is_none_or(|slot| slot.alive) // a lock dies with its holder
    }

    /// It has not settled on a snapshot yet, and pins everything: for well below a microsecond,
    /// unless its process is stopped.
    ///
    /// O(1), of what was found when the list was made.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let txn = db.read()?;
    /// let settled = db.readers()?.iter().filter(|reader| !reader.is_pending()).count();
    /// assert_eq!(settled, 1);
    /// # drop(txn);
    /// # Ok(()) }
    /// ```
    pub fn is_pending(&self) -> bool {
        self.slot.is_some_and(|slot| slot.pending)
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "process {}", slot.pid)?,
            None => f.write_str("without write access to the lock file")?,
        }
        if let Some(command) = &self.command {
            write!(f, " ({command})")?;
        }
        match self.is_pending() {
            true => f.write_str(": beginning to read")?,
            false => write!(f, ": reads transaction {}, {} behind", self.txn, self.behind)?,
        }
        if let Some(time) = self.outdated {
            write!(f, ", out of date for {} s", time.as_secs())?;
        }
        if let Some(pages) = self.pages_held {
            write!(f, ", holds back {pages} pages")?;
        }
        if self.is_alive() { Ok(()) } else { f.write_str("; dead") }
    }
}
