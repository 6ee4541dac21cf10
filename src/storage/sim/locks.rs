//! Byte locks among simulated processes: two modes, owned by a handle, gone with its death.

use crate::storage::{LockByte, LockMode};
use std::collections::BTreeMap;

/// A file that bytes are locked on: the data file, or one lock file after another.
pub(super) type FileId = u64;
/// The data file.
pub(super) const DATA_FILE: FileId = 0;

/// Who holds what.
#[derive(Default)]
pub(super) struct Table {
    held: BTreeMap<(FileId, u64), Vec<(u32, LockMode)>>,
}

impl Table {
    /// Takes or changes a lock, if nobody else's stands against it.
    pub(super) fn try_lock(
        &mut self,
        file: FileId,
        byte: LockByte,
        process: u32,
        mode: LockMode,
    ) -> bool {
        let holders = self.held.entry((file, byte.0)).or_default();
        let against = |held: LockMode| mode == LockMode::Exclusive || held == LockMode::Exclusive;
        if holders.iter().any(|&(who, held)| who != process && against(held)) {
            return false;
        }
        holders.retain(|&(who, _)| who != process);
        holders.push((process, mode));
        true
    }

    pub(super) fn unlock(&mut self, file: FileId, byte: LockByte, process: u32) {
        if let Some(holders) = self.held.get_mut(&(file, byte.0)) {
            holders.retain(|&(who, _)| who != process);
        }
    }

    /// The process is gone, and all its locks with it.
    pub(super) fn release(&mut self, process: u32) {
        self.held.retain(|_, holders| {
            holders.retain(|&(who, _)| who != process);
            !holders.is_empty()
        });
    }

    pub(super) fn elsewhere(
        &self,
        file: FileId,
        first: u64,
        last: u64,
        process: u32,
    ) -> Option<LockByte> {
        if first > last {
            return None;
        }
        self.held
            .range((file, first)..=(file, last))
            .find(|(_, holders)| holders.iter().any(|&(who, _)| who != process))
            .map(|(&(_, byte), _)| LockByte(byte))
    }

    /// Every lock that is held: byte, process, mode.
    pub(super) fn list(&self, file: FileId) -> Vec<(LockByte, u32, LockMode)> {
        self.held
            .range((file, 0)..=(file, u64::MAX))
            .flat_map(|(&(_, byte), all)| all.iter().map(move |&(p, m)| (LockByte(byte), p, m)))
            .collect()
    }
}
