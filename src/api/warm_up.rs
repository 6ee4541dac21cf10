//! Bringing a database into memory before it is needed.

use super::db::Database;
use crate::error::Result;
use std::ops::ControlFlow;

/// Bytes that are asked for at once, and waited for before the next but one are.
const STEP: u64 = 4 << 20;

impl Database {
    /// Brings the file into the page cache and into the page tables of this process, in its order:
    /// afterwards no read waits for the device, or enters a page, as long as the memory keeps them.
    /// For a program that has just been started, on a file that fits into memory; in a larger one
    /// it drives out what was there. Reads as much as the newest snapshot counts, free pages too.
    ///
    /// `progress` is told the bytes done and those in all, every 4 MiB, and stops it with
    /// `ControlFlow::Break`: that is no error. It can run on a thread of its own while others work;
    /// meanwhile it holds a read transaction.
    ///
    /// Cost: as fast as the device reads in order, with at most 8 MiB asked for ahead; below a
    /// microsecond for each page of 4 KiB that is in the page cache already. Nothing in memory.
    /// Other than a read that meets a page which the device cannot give, and gets a signal, it
    /// gives [`Error::Io`](crate::Error::Io), unless the map asks for huge pages. Other errors as
    /// [`Database::read`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// use std::ops::ControlFlow;
    /// use std::time::{Duration, Instant};
    /// # let db = recto::Database::in_memory()?;
    /// // No longer than a second.
    /// let end = Instant::now() + Duration::from_secs(1);
    /// db.warm_up(|done, all| {
    ///     println!("{done} of {all} bytes");
    ///     if Instant::now() < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn warm_up(&self, mut progress: impl FnMut(u64, u64) -> ControlFlow<()>) -> Result<()> {
        // Nothing behind what it counts is cut off meanwhile.
        let txn = self.read()?;
        let storage = self.engine.platform.storage();
        let all = txn.snapshot().page_count() * self.engine.page_size as u64;
        let mut done = 0;
        storage.will_need(0, STEP.min(all));
        while done < all {
            let end = (done + STEP).min(all);
            storage.will_need(end, STEP.min(all - end));
            storage.fetch(done, end - done).map_err(|e| self.engine.named(e))?;
            // A forked child has no snapshot.
            self.engine.shared.check_alive()?;
            done = end;
            if progress(done, all).is_break() {
                break;
            }
        }
        Ok(())
    }
}
