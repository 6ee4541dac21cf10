//! Named snapshots: made, dropped and listed by a write transaction, and read (rules 36 to 38).

use super::read::Snapshot;
use super::write::Writer;
use crate::commit::engine::Engine;
use crate::commit::snapshot::system_of;
use crate::error::{Error, Result};
use crate::format::snapshot::{MAX_NAME_LEN, MOST, NamedSnapshot};
use crate::tree::{self, ListedSnapshot};
use crate::types::TxnId;
use std::sync::Arc;

impl Writer {
    /// Gives the state that the transaction stands on a name.
    pub fn create_snapshot(&mut self, name: &str) -> Result<()> {
        if !(1..=MAX_NAME_LEN).contains(&name.len()) {
            let what = format!("names of snapshots have 1 to {MAX_NAME_LEN} bytes");
            return Err(Error::InvalidArgument(what));
        }
        self.change(|w| {
            if w.find_snapshot(name)?.is_some() {
                return Err(Error::SnapshotExists(name.into()));
            }
            if w.system.entries >= MOST {
                w.remove_settled()?;
            }
            if w.system.entries >= MOST {
                let what = format!(
                    "there are {MOST} named snapshots, with those that were dropped lately, the most there can be"
                );
                return Err(Error::InvalidArgument(what));
            }
            let base = w.draft.base();
            let snapshot = NamedSnapshot {
                txn: base.txn,
                created: w.txn(),
                dropped: TxnId::NONE,
                time: w.draft.time(),
                catalog: base.catalog,
            };
            w.put_snapshot(Some(name), &snapshot)
        })
    }

    /// Drops a snapshot; false if there is none of this name.
    pub fn drop_snapshot(&mut self, name: &str) -> Result<bool> {
        self.change(|w| {
            let Some(snapshot) = w.find_snapshot(name)? else { return Ok(false) };
            w.remove_snapshot(Some(name), &snapshot)?;
            // What this transaction has named no state lists.
            let base = w.draft.base().txn;
            if snapshot.created <= base {
                // Rule 37: no manifest of a state without it lists pages that only it sees.
                w.draft.make_durable_up_to(snapshot.created)?;
                w.put_snapshot(None, &NamedSnapshot { dropped: w.txn(), ..snapshot })?;
            }
            Ok(true)
        })
    }

    /// The snapshots that have a name, as this transaction sees them.
    pub fn snapshots(&self) -> Result<Vec<ListedSnapshot>> {
        self.check_usable()?;
        let pages = self.draft.pages();
        let list = tree::snapshots(pages, &self.system, pages.page_count());
        let mut list = list.map_err(|e| self.engine().named(e))?;
        list.retain(|listed| listed.name.is_some());
        Ok(list)
    }

    /// Takes out what need not be listed any more; the newest that is left and has a name.
    pub(super) fn finish_snapshots(&mut self) -> Result<TxnId> {
        if self.system.root.is_none() {
            return Ok(TxnId::NONE);
        }
        self.change(|w| {
            w.remove_settled()?;
            let pages = w.draft.pages();
            let list = tree::snapshots(pages, &w.system, pages.page_count())?;
            let named = list.iter().filter(|listed| listed.name.is_some());
            Ok(named.map(|listed| listed.snapshot.txn).max().unwrap_or_default())
        })
    }

    fn remove_settled(&mut self) -> Result<()> {
        for snapshot in self.draft.take_settled() {
            self.remove_snapshot(None, &snapshot)?;
        }
        Ok(())
    }

    fn find_snapshot(&self, name: &str) -> Result<Option<NamedSnapshot>> {
        let pages = self.draft.pages();
        tree::snapshot(pages, &self.system, name, pages.page_count())
    }

    fn put_snapshot(&mut self, name: Option<&str>, snapshot: &NamedSnapshot) -> Result<()> {
        let mut system = self.system;
        let done = tree::put_snapshot(self.draft.pages_mut(), &mut system, name, snapshot);
        self.system = system;
        done
    }

    fn remove_snapshot(&mut self, name: Option<&str>, snapshot: &NamedSnapshot) -> Result<()> {
        let mut system = self.system;
        let done = tree::remove_snapshot(self.draft.pages_mut(), &mut system, name, snapshot);
        self.system = system;
        done
    }
}

impl Engine {
    /// The snapshots that have a name in the visible state.
    pub fn snapshots(self: &Arc<Engine>) -> Result<Vec<ListedSnapshot>> {
        let (snapshot, descriptor) = self.begin_read_whole()?;
        let system = system_of(&self.shared, &descriptor)?;
        let mut list = tree::snapshots(&snapshot, &system, snapshot.page_count())?;
        list.retain(|listed| listed.name.is_some());
        Ok(list)
    }

    /// Begins to read a named snapshot; None if there is none of this name.
    ///
    /// Rule 38. While it reads a state that lists the snapshot, the snapshot is protected, also
    /// from who drops it meanwhile; then it moves over in the slot in which it stands, so that
    /// every look at the slots finds the one or the other. Its pages lie below the page count of
    /// the visible state, whatever its own was.
    pub fn begin_read_named(self: &Arc<Engine>, name: &str) -> Result<Option<Snapshot>> {
        let (mut snapshot, descriptor) = self.begin_read_whole()?;
        let system = system_of(&self.shared, &descriptor)?;
        let found = tree::snapshot(&snapshot, &system, name, snapshot.page_count())?;
        let Some(NamedSnapshot { txn, catalog, .. }) = found else { return Ok(None) };
        if txn >= snapshot.txn {
            return Err(Error::corrupt(system.root, "a named snapshot that is not older"));
        }
        snapshot.move_to(txn, catalog);
        Ok(Some(snapshot))
    }
}
