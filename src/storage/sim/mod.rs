//! A simulated machine: a disk that can lose its power, a page cache in front of it, a lock file
//! beside it, and processes that can die. The engine runs on it unchanged, without a thread, a file
//! or a clock, and the same seed gives the same run.
//!
//! How a test uses it:
//!
//! - [`SimDisk::new`], then one [`SimDisk::process`] for each handle to be opened.
//! - [`SimDisk::set_hook`] is asked at each [`Event`] and may take a [`CutPoint`] there, run other
//!   processes, let the call fail, kill the process or cut the power ([`Action`]).
//! - Work that may be stopped is called through [`run`].
//! - [`CutPoint::boot`] gives the machine as it may come up again, one for each seed.
//!
//! What is modelled, and where: what a cut may leave of the file (`medium`), the choice among that
//! (`cut`), failing syncs that the system forgets, eviction, write-back at any time, errors told
//! once per description (`machine`), processes (`process`), byte locks (`locks`), events (`event`).
//!
//! Thread rules: without [`Deadlock::Threads`] a simulation belongs to one thread.

mod cache;
mod cut;
mod event;
mod history;
mod locking;
mod locks;
mod machine;
mod medium;
#[cfg(test)]
mod other_tests;
mod process;
mod rng;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy_tests;

pub use cut::{CutPoint, PARTS, SPECIAL_SEEDS, Sector, Special};
pub use event::{Action, Ending, Event, EventKind, Hook, Killed, PowerLost, run};
pub use medium::{PAGE, SECTOR};
pub use process::SimProcess;
pub use rng::Rng;

use crate::error::{Error, Result};
use crate::storage::{LockByte, LockMode};
use history::History;
use machine::Machine;
use medium::{Block, Page};
use std::io;
use std::sync::Arc;

/// What becomes of a wait, without a timeout, for a lock that another process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadlock {
    /// "deadlock in simulation", with the locks that are held.
    Panic,
    /// The wait ends at once without the lock, and is counted ([`Counters::hangs`]) unless a hook
    /// stands between the waiting process and the holder: then the holder is stopped, and would go
    /// on.
    GiveUp,
    /// Processes run in threads of their own, and waiting makes sense.
    Threads,
}

/// What a machine is like.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Decides everything that is random inside the machine.
    pub seed: u64,
    /// Page size of the database: says which pages are meta pages.
    pub page_size: u32,
    /// Length of the lock file.
    pub shared_len: usize,
    /// Longest file, in bytes; costs addresses only.
    pub reserve: usize,
    /// Number of the boot; each cut raises it by one.
    pub boot: u64,
    /// Device and inode of the data file.
    pub file_id: (u64, u64),
    /// Waits that cannot end.
    pub on_deadlock: Deadlock,
    /// Whether what a hook does is counted, and asked about, too.
    pub nested_events: bool,
    /// Whether taking a lock and mapping more of the file are events too: calls that can fail.
    pub lock_events: bool,
}

impl SimOptions {
    /// Pages of 4 KiB, files up to 256 MiB, one thread, a lock file of `shared_len` bytes.
    pub fn new(seed: u64, shared_len: usize) -> SimOptions {
        SimOptions {
            seed,
            page_size: 4096,
            shared_len,
            reserve: 256 << 20,
            boot: 1,
            file_id: (7, 42),
            on_deadlock: Deadlock::Panic,
            nested_events: false,
            lock_events: false,
        }
    }
}

/// How a process opens the database.
#[derive(Clone, Copy, Default, Debug)]
pub struct ProcessOptions {
    /// It has a writable view.
    pub direct: bool,
    /// It may not write to the data file.
    pub read_only: bool,
    /// It may not write to the shared memory, nor lock exclusively. Its stores there are not
    /// caught.
    pub observer: bool,
}

/// What the machine does by itself. Chances are per event, out of 65,536.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// Some dirty page is written back.
    pub write_back: u32,
    /// Of those: it fails, and the next sync is told.
    pub write_back_fails: u32,
    /// Pages of a folio: a write-back writes its neighbours, clean or not. 0 and 1: no folios.
    pub folio_pages: u64,
    /// Some page that was lost by a failed write-back leaves the cache.
    pub evict: u32,
    /// A broken platform: its sync makes pages durable and not the length of the file.
    pub sync_leaves_length: bool,
}

/// What has happened on a machine so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Events that were counted.
    pub events: u64,
    /// Syncs that made something durable.
    pub syncs: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Pages of 4,096 bytes that syncs have written.
    pub pages_synced: u64,
    /// Calls of `write`, `write_all_of` and `stored`.
    pub writes: u64,
    /// Bytes in these.
    pub bytes_written: u64,
    /// Calls that made the file longer, or tried to.
    pub grows: u64,
    /// Calls that made it shorter.
    pub truncates: u64,
    /// Write-backs out of the blue.
    pub write_backs: u64,
    /// Times a process asked for one: it changes nothing, since any may come at any time.
    pub asked_write_backs: u64,
    /// Pages that left the cache.
    pub evictions: u64,
    /// Pages whose stores were seen at an event before anybody told of them.
    pub unreported_pages: u64,
    /// Calls of processes that were dead: a correct engine makes none.
    pub after_death: u64,
    /// Waits without a timeout, outside hooks, that were given up: they would have lasted until
    /// somebody else does something.
    pub hangs: u64,
}

/// One boot of a simulated machine. Clones are the same machine.
#[derive(Clone)]
pub struct SimDisk(Arc<Machine>);

/// A failed system call.
fn fault(what: &'static str, errno: i32) -> Error {
    Error::io(what, io::Error::from_raw_os_error(errno))
}

impl SimDisk {
    /// A machine with an empty file.
    pub fn new(options: SimOptions) -> Result<SimDisk> {
        SimDisk::from_pages(Vec::new(), 0, options, None)
    }

    /// A machine whose file holds `image`, all of it durable, and whose lock file is new.
    pub fn from_image(image: &[u8], options: SimOptions) -> Result<SimDisk> {
        let pages = image
            .chunks(PAGE)
            .map(|chunk| {
                let mut block = Block([0; PAGE]);
                block.0[..chunk.len()].copy_from_slice(chunk);
                Arc::new(block)
            })
            .collect();
        SimDisk::from_pages(pages, image.len() as u64, options, None)
    }

    fn from_pages(
        pages: Vec<Page>,
        len: u64,
        options: SimOptions,
        lock_file: Option<Vec<Page>>,
    ) -> Result<SimDisk> {
        Machine::new(pages, len, options, lock_file).map(SimDisk)
    }

    /// A new process, or a new handle of one: the two conflict alike.
    pub fn process(&self, options: ProcessOptions) -> Arc<SimProcess> {
        Arc::new(SimProcess::new(&self.0, options, None))
    }

    /// A process that has the data file to itself ([`crate::Builder::exclusive`]): without the lock
    /// file, with memory of its own.
    pub fn process_alone(&self, options: ProcessOptions) -> Result<Arc<SimProcess>> {
        let region = cache::Region::new(self.0.options.shared_len)?;
        Ok(Arc::new(SimProcess::new(&self.0, options, Some(Arc::new(region)))))
    }

    /// Asks `hook` at every event from now on. A hook that keeps a clone of its own machine keeps
    /// it for ever; it is given one at each call instead.
    pub fn set_hook(&self, hook: impl Fn(&SimDisk, &Event) -> Action + Send + Sync + 'static) {
        let old = self.0.hook.lock().replace(Arc::new(hook));
        drop(old); // not under the lock: a hook may hold processes, whose end is an event
    }

    /// Asks nobody any more.
    pub fn clear_hook(&self) {
        let old = self.0.hook.lock().take();
        drop(old);
    }

    /// What the machine does by itself from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.state.lock().faults = faults;
    }

    /// The file cannot grow beyond this length from now on.
    pub fn set_disk_limit(&self, limit: Option<u64>) {
        self.0.state.lock().disk_limit = limit;
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.0.state.lock().counters
    }

    /// Number of the boot.
    pub fn boot(&self) -> u64 {
        self.0.options.boot
    }

    /// This moment, for as many cuts as one likes. The lock file is not kept: machines that boot
    /// from it have a new one.
    pub fn cut_point(&self) -> CutPoint {
        self.0.cut_point(false)
    }

    /// As [`SimDisk::cut_point`], with the lock file (a megabyte is copied): machines that boot
    /// from it may find parts of it.
    pub fn cut_point_with_lock_file(&self) -> CutPoint {
        self.0.cut_point(true)
    }

    /// The power fails now, everybody dies, and this machine never comes back: another one boots.
    pub fn cut(&self, rng: &mut Rng) -> Result<SimDisk> {
        self.0.cut_power();
        match self.power_cut() {
            Some(cut) => cut.boot(rng.next_u64()),
            None => Err(Error::InvalidArgument("no cut was taken".into())),
        }
    }

    /// The moment at which [`Action::PowerCut`] cut the power.
    pub fn power_cut(&self) -> Option<CutPoint> {
        self.0.state.lock().power_cut.clone()
    }

    /// The device goes away and comes back without a reboot: everybody dies, the page cache is lost
    /// like in a power cut, the lock file and the boot id stay.
    pub fn remount(&self, rng: &mut Rng) -> Result<SimDisk> {
        self.0.cut_power();
        match self.power_cut() {
            Some(cut) => cut.remount(rng.next_u64()),
            None => Err(Error::InvalidArgument("no cut was taken".into())),
        }
    }

    /// The process dies: its locks are free, its calls are refused.
    pub fn kill(&self, process: u32) {
        self.0.state.lock().bury(process);
        self.0.released.notify_all();
    }

    /// All processes die, the system lives: page cache and dirty pages stay, the lock file stays or
    /// is deleted.
    pub fn restart_os_alive(&self, keep_lock_file: bool) -> Result<SimDisk> {
        {
            let mut state = self.0.state.lock();
            for process in 0..state.process_count() {
                state.bury(process);
            }
        }
        self.0.released.notify_all();
        if !keep_lock_file {
            self.delete_lock_file()?;
        }
        Ok(self.clone())
    }

    /// The lock file is deleted: processes that have it open keep it, the next one makes another.
    pub fn delete_lock_file(&self) -> Result<()> {
        let region = cache::Region::new(self.0.options.shared_len)?;
        self.0.state.lock().new_lock_file(Arc::new(region));
        Ok(())
    }

    /// Every process draws this number from now on, as another one did on another machine; 0: each
    /// its own.
    pub fn draw(&self, number: u64) {
        self.0.state.lock().drawn = number;
    }

    /// Whoever opens the database from now on believes the lock file to be at the other of two
    /// paths. What stands at the one stays there until this is called again.
    pub fn other_lock_file(&self) -> Result<()> {
        let region = Arc::new(cache::Region::new(self.0.options.shared_len)?);
        let mut state = self.0.state.lock();
        let here = state.lock_file.clone();
        match state.other_lock_file.replace(here) {
            Some(there) => state.use_lock_file(there),
            None => state.new_lock_file(region),
        }
        Ok(())
    }

    /// Takes note, at every `every`-th event from now on, of what the lock file holds: any page of
    /// it may have been written back then, so that a remount finds older ones
    /// ([`CutPoint::remount`]). 0: no more.
    pub fn remember_lock_file(&self, every: u64) {
        let mut state = self.0.state.lock();
        state.history = (every > 0).then(|| History::new(every));
    }

    /// Another file is copied over the data file, byte by byte, and synced. Nobody has it open.
    pub fn replace_file(&self, bytes: &[u8]) -> Result<()> {
        let mut state = self.0.state.lock();
        state.observe(&self.0.cache);
        state.replace(&self.0.cache, bytes)
    }

    /// Another program syncs the file, which fails: that program is told, and of the pages that
    /// were not durable any may be lost to the medium, though none to the page cache.
    pub fn foreign_sync_fails(&self) {
        self.0.state.lock().foreign_sync_fails(&self.0.cache);
    }

    /// The system writes every dirty page; or, if that fails, counts all or some of them as
    /// written, and tells the next who syncs.
    pub fn write_back_all(&self, fails: bool) {
        self.0.state.lock().write_back_all(&self.0.cache, fails);
    }

    /// Whether a sync would write this page.
    pub fn is_dirty(&self, number: u64) -> bool {
        self.0.state.lock().is_dirty(&self.0.cache, number)
    }

    /// The device refuses this page, if it is dirty: it keeps what it has there, and the next who
    /// syncs is told.
    pub fn refuse_page(&self, number: u64) -> bool {
        self.0.state.lock().refuse_page(&self.0.cache, number)
    }

    /// Whether somebody was told of the latest write-back that failed: a process, or a program that
    /// is not recto.
    pub fn error_is_told(&self) -> bool {
        self.0.state.lock().error_is_told()
    }

    /// Stores to word `index` (of eight bytes) of the current lock file, as a foreign hand does.
    pub fn spoil_lock_file(&self, index: usize, value: u64) {
        self.0.state.lock().lock_file.1.spoil(index, value);
    }

    /// Word `index` of the current lock file.
    pub fn lock_file_word(&self, index: usize) -> u64 {
        self.0.state.lock().lock_file.1.word(index)
    }

    /// Another program syncs the file, and is told of the errors so far: who opens the file after
    /// it is not.
    pub fn foreign_sync(&self) {
        self.0.state.lock().foreign_sync(&self.0.cache);
    }

    /// Pages lost by failed write-backs leave the cache now.
    pub fn evict(&self) {
        self.0.state.lock().evict_all(&self.0.cache);
    }

    /// Pages (of 4,096 bytes) that show something the medium does not hold and no sync will write.
    pub fn lost_pages(&self) -> Vec<u64> {
        self.0.state.lock().lost_pages()
    }

    /// What reading the file gives now.
    pub fn bytes(&self) -> Vec<u8> {
        let len = self.0.state.lock().medium.len();
        self.0.cache.bytes(len)
    }

    /// Changes bytes of the file, durably and at once, as a bad disk or a foreign hand does.
    pub fn damage(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.0.state.lock();
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > state.medium.len()) {
            return Err(Error::InvalidArgument("damage behind the end of the file".into()));
        }
        state.observe(&self.0.cache);
        state.damage(&self.0.cache, offset, bytes);
        Ok(())
    }

    /// The first page, if any, that was changed without a write: for machines without a process in
    /// direct mode, where it can only be a stray store.
    pub fn stray_store(&self) -> Option<u64> {
        self.0.state.lock().stray_store(&self.0.cache)
    }

    /// Locks held on the current lock file: byte, process, mode.
    pub fn locks_held(&self) -> Vec<(LockByte, u32, LockMode)> {
        let state = self.0.state.lock();
        state.locks.list(state.lock_file.0)
    }

    /// Locks held on the data file.
    pub fn data_locks_held(&self) -> Vec<(LockByte, u32, LockMode)> {
        self.0.state.lock().locks.list(locks::DATA_FILE)
    }
}
