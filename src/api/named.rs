//! Named snapshots, which stand until they are dropped.

use super::db::Database;
use super::transaction::{ReadTxn, WriteTxn};
use crate::error::{Error, Result};
use crate::tree::ListedSnapshot;
use std::time::{Duration, SystemTime};

/// A snapshot that has a name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Its name.
    pub name: String,
    /// Id of the transaction whose state it is.
    pub id: u64,
    /// When it was named, by the clock of who did.
    pub created: SystemTime,
}

impl WriteTxn {
    /// Gives a name, of 1 to 255 bytes, to the state from which this transaction began: the last
    /// one committed, without what this transaction changes, before the call or after it. So a
    /// transaction can keep what it is about to change; and one that does nothing else names the
    /// newest state. It has the name once the transaction is committed.
    ///
    /// It stands until somebody drops it, over restarts, and is read by
    /// [`Database::read_snapshot`]. It pins the pages that it sees, and no others: the file grows
    /// by what is changed since. A write transaction reads the list of all snapshots when it
    /// begins.
    ///
    /// Other than a copy it does not help against damage: it shares its pages, and salvage does not
    /// save it. A build of recto that knows no snapshots can read a file with them, and not write
    /// to it, until the last is dropped.
    ///
    /// Errors: [`Error::SnapshotExists`]; [`Error::InvalidArgument`] for the name, or if there are
    /// 65,536 of them, those included that were dropped since the last durable commit but one.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.open_table("stock")?.put(b"apple", b"5")?;
    /// # txn.commit()?;
    /// let mut txn = db.write()?;
    /// txn.create_snapshot("before the sale")?;
    /// txn.open_table("stock")?.clear()?;
    /// txn.commit()?;
    ///
    /// let before = db.read_snapshot("before the sale")?;
    /// assert_eq!(before.table("stock")?.get(b"apple")?, Some(&b"5"[..]));
    /// assert_eq!(db.read()?.diff(&before, "stock", ..)?.count(), 1);
    /// # Ok(()) }
    /// ```
    pub fn create_snapshot(&mut self, name: &str) -> Result<()> {
        self.writer_mut().create_snapshot(name)
    }

    /// Drops a snapshot, once the transaction is committed; false if there is none of this name.
    /// Who reads it goes on. Its pages are used again when nothing needs them any more: no reader
    /// of a state that has it, and no state that a power cut could lead back to. Where several
    /// others stay they are found bit by bit: each page that a transaction writes pays for a look
    /// at four entries of the list of what waits.
    ///
    /// If what has named it is not durable yet, that is made durable first, which waits for the
    /// device; with an error of that the transaction is broken.
    ///
    /// It takes some pages, as any change does: on a full disk, or at [`Builder::max_bytes`], that
    /// snapshots have filled, none can be dropped before there is more room.
    ///
    /// [`Builder::max_bytes`]: crate::Builder::max_bytes
    ///
    /// Errors: those of changes ([`TableMut`](crate::TableMut)), and of the device.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.create_snapshot("before")?;
    /// txn.commit()?;
    /// let mut txn = db.write()?;
    /// assert!(txn.drop_snapshot("before")?);
    /// assert!(!txn.drop_snapshot("before")?); // there is none any more
    /// txn.commit()?;
    /// assert!(db.snapshots()?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn drop_snapshot(&mut self, name: &str) -> Result<bool> {
        self.writer_mut().drop_snapshot(name)
    }

    /// The snapshots as this transaction has left them, in the order of their names.
    ///
    /// O(snapshots). Errors: [`Error::Corrupt`], [`Error::TransactionBroken`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.create_snapshot("monday")?;
    /// assert_eq!(txn.snapshots()?[0].name, "monday"); // others see it after the commit
    /// assert!(db.snapshots()?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        Ok(infos(self.writer().snapshots()?))
    }
}

impl Database {
    /// The snapshots that have a name, in the order of their names.
    ///
    /// O(snapshots), within a read transaction. Errors: those of [`Database::read`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.create_snapshot("monday")?;
    /// txn.commit()?;
    /// for snapshot in db.snapshots()? {
    ///     println!("{}: transaction {}, {:?}", snapshot.name, snapshot.id, snapshot.created);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        Ok(infos(self.engine.snapshots().map_err(|e| self.engine.named(e))?))
    }

    /// Begins to read a named snapshot: a read transaction like any other, of an older state. It
    /// stands on its own: the snapshot may be dropped meanwhile.
    ///
    /// Errors: [`Error::NoSuchSnapshot`], and those of [`Database::read`].
    ///
    /// One descent of the list of snapshots, and no other system call than [`Database::read`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_table("stock")?.put(b"apple", b"5")?;
    /// txn.commit()?;
    /// let mut txn = db.write()?;
    /// txn.create_snapshot("before")?; // what was committed last
    /// txn.open_table("stock")?.clear()?;
    /// txn.commit()?;
    /// assert_eq!(db.read_snapshot("before")?.table("stock")?.len(), 1);
    /// assert_eq!(db.read_snapshot("after").unwrap_err().kind(), recto::ErrorKind::NoSuchSnapshot);
    /// # Ok(()) }
    /// ```
    pub fn read_snapshot(&self, name: &str) -> Result<ReadTxn> {
        let found = self.engine.begin_read_named(name).map_err(|e| self.engine.named(e))?;
        found.map(ReadTxn::new).ok_or_else(|| Error::NoSuchSnapshot(name.into()))
    }
}

fn infos(list: Vec<ListedSnapshot>) -> Vec<SnapshotInfo> {
    let info = |ListedSnapshot { name, snapshot }| {
        let created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(snapshot.time));
        let created = created.unwrap_or(SystemTime::UNIX_EPOCH);
        Some(SnapshotInfo { name: name?, id: snapshot.txn.0, created })
    };
    list.into_iter().filter_map(info).collect()
}
