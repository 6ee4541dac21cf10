//! Savepoints of a write transaction: what has changed since one can be undone (rules 33 to 35).
//!
//! The pages are the matter of the allocator ([`crate::space::allocator`]); here are the catalog
//! and the open tables, which a savepoint copies. Cost: O(open tables) to make one, O(pages changed
//! since) to release it or to roll back to it.
//!
//! A savepoint is a number that nothing else of this process has: one that was released, or went
//! with an earlier one, or belongs to another transaction, is not found.

use super::tables::{Found, Level, SavedTable, next_number};
use super::write::{State, Writer};
use crate::error::{Error, Result};

impl Writer {
    /// Makes a savepoint; its number.
    pub fn savepoint(&mut self) -> Result<u64> {
        self.check_changeable()?;
        let made = self.draft.pages_mut().savepoint();
        made.map_err(|e| self.engine().named(e))?;
        let tables = self.tables.iter().map(SavedTable::of).collect();
        let (number, catalog, system) = (next_number(), self.catalog, self.system);
        self.levels.push(Level { number, catalog, system, tables, dropped: Vec::new() });
        Ok(number)
    }

    /// Where a savepoint stands among those that there are.
    fn level_of(&self, savepoint: u64) -> Result<usize> {
        // Most often the newest.
        let found = self.levels.iter().rposition(|level| level.number == savepoint);
        found.ok_or(Error::NoSuchSavepoint)
    }

    /// Gives up a savepoint, and those made after it. What has changed since stays.
    pub fn release(&mut self, savepoint: u64) -> Result<()> {
        self.check_changeable()?;
        let at = self.level_of(savepoint)?;
        self.state = State::Changing;
        self.draft.pages_mut().release_to(at).map_err(|e| self.engine().named(e))?;
        while self.levels.len() > at {
            self.forget_level();
        }
        self.state = State::Whole;
        Ok(())
    }

    /// Gives up all savepoints.
    pub fn release_all(&mut self) -> Result<()> {
        self.check_changeable()?;
        self.levels.first().map(|level| level.number).map_or(Ok(()), |first| self.release(first))
    }

    /// Undoes everything since a savepoint, which stays, and gives up those made after it. The
    /// transaction is usable then, also if an operation has failed half-way since; not if one has
    /// panicked.
    pub fn roll_back_to(&mut self, savepoint: u64) -> Result<()> {
        self.check_alive()?;
        let at = self.level_of(savepoint)?;
        if self.state == State::Changing {
            return Err(self.draft.broken());
        }
        self.draft.check_base()?;
        self.state = State::Changing;
        self.roll_back_pages(at).map_err(|e| self.engine().named(e))?;
        self.restore_tables();
        self.state = State::Whole;
        Ok(())
    }

    fn roll_back_pages(&mut self, at: usize) -> Result<()> {
        while self.levels.len() > at + 1 {
            self.draft.pages_mut().roll_back()?;
            self.draft.pages_mut().release_to(self.levels.len() - 1)?;
            self.forget_level();
        }
        self.draft.pages_mut().roll_back()
    }

    /// Rolls back to a savepoint and gives it up, too.
    pub fn undo(&mut self, savepoint: u64) -> Result<()> {
        self.roll_back_to(savepoint)?;
        self.release(savepoint)
    }

    /// The newest savepoint is gone: what was dropped since was dropped since the one below it. In
    /// time of the shorter list: however many savepoints go, one after the other, each table is
    /// moved a few times.
    fn forget_level(&mut self) {
        let dropped = self.levels.pop().map(|level| level.dropped);
        if let (Some(below), Some(mut dropped)) = (self.levels.last_mut(), dropped) {
            if dropped.len() > below.dropped.len() {
                std::mem::swap(&mut below.dropped, &mut dropped);
            }
            below.dropped.append(&mut dropped);
        }
    }

    /// The catalog and the tables as the newest savepoint has saved them. What was opened since,
    /// and was there before, keeps its number: it is as it was found.
    fn restore_tables(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let number = level.number;
        let (saved, dropped) = (level.tables.clone(), std::mem::take(&mut level.dropped));
        self.catalog = level.catalog;
        self.system = level.system;
        let now = std::mem::take(&mut self.tables);
        for SavedTable { number, name, descriptor, options, changed, found } in saved {
            self.remember(number, name, descriptor, options, changed, found);
        }
        for table in now.into_iter().chain(dropped) {
            let Some(found) = table.found.filter(|_| table.number > number) else { continue };
            let name = found.name.unwrap_or(table.name);
            let descriptor = found.descriptor;
            let found = Found { name: None, descriptor: found.descriptor };
            self.remember(table.number, name, descriptor, table.options, false, Some(found));
        }
    }
}
