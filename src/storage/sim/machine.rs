//! The inside of a simulated machine: page cache, medium, processes, and the dispatch of events.
//!
//! Invariants
//! - `shown[p]` is what the cache is known to show on page `p`; in direct mode the cache may be
//!   ahead of it until the next event, when `observe` catches up.
//! - A page that is not dirty shows what the medium holds, unless it stands in `lost`: then a
//!   write-back of it failed, and the system has forgotten that.
//! - Nobody is called while the state is locked.
//!
//! Thread rules: any thread; the state has one lock.

use super::cache::{Cache, Region};
use super::cut::CutPoint;
use super::event::{self, Action, Event, EventKind, Hook, InHook, Killed, PowerLost};
use super::history::{History, LockFile};
use super::locks::{FileId, Table};
use super::medium::{Medium, PAGE, Page, mix, pages_in, zero_page};
use super::rng::Rng;
use super::{Counters, Faults, SimDisk, SimOptions, fault};
use crate::error::{Error, Result};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One boot of a machine.
pub(super) struct Machine {
    pub(super) number: u64,
    pub(super) options: SimOptions,
    pub(super) cache: Cache,
    pub(super) state: Mutex<State>,
    /// A lock has come free (real threads only).
    pub(super) released: Condvar,
    pub(super) hook: Mutex<Option<Hook>>,
}

/// What changes.
pub(super) struct State {
    pub(super) medium: Medium,
    shown: Vec<Page>,
    lost: BTreeSet<u64>,
    processes: Vec<Process>,
    pub(super) locks: Table,
    pub(super) lock_file: (FileId, Arc<Region>),
    /// The one at the other path, if it was ever used.
    pub(super) other_lock_file: Option<(FileId, Arc<Region>)>,
    lock_files: FileId,
    pub(super) history: Option<History>,
    pub(super) rng: Rng,
    pub(super) counters: Counters,
    pub(super) faults: Faults,
    pub(super) disk_limit: Option<u64>,
    /// What every process draws for a random number; 0: each its own.
    pub(super) drawn: u64,
    pub(super) power_cut: Option<CutPoint>,
    pub(super) powered: bool,
    /// Failed write-backs so far, and whether somebody was told of the latest.
    errors: (u64, bool),
}

struct Process {
    alive: Arc<AtomicU64>,
    /// Has a writable view, so that what it stores has to be looked for.
    stores: bool,
    /// Failed write-backs that this description has been told of, and those that its other one has.
    told: u64,
    asked: u64,
}

/// What an operation is to do after its event.
pub(super) enum Verdict {
    Go,
    Fail(i32),
    /// Unwind, perhaps after a part of the operation has been done.
    Die,
}

impl State {
    pub(super) fn is_alive(&self, process: u32) -> bool {
        self.powered
            && self
                .processes
                .get(process as usize)
                .is_some_and(|one| one.alive.load(Ordering::Acquire) == 1)
    }

    pub(super) fn add_process(&mut self) -> (u32, Arc<AtomicU64>) {
        let alive = Arc::new(AtomicU64::new(u64::from(self.powered)));
        // An error that nobody was told of is told to the next who opens the file.
        let told = if self.errors.1 { self.errors.0 } else { self.errors.0.saturating_sub(1) };
        self.processes.push(Process { alive: alive.clone(), stores: false, told, asked: told });
        (self.processes.len() as u32 - 1, alive)
    }

    /// The process is given a writable view.
    pub(super) fn will_store(&mut self, process: u32) {
        if let Some(one) = self.processes.get_mut(process as usize) {
            one.stores = one.alive.load(Ordering::Acquire) == 1;
        }
    }

    pub(super) fn process_count(&self) -> u32 {
        self.processes.len() as u32
    }

    /// The process is gone; what it wrote stays.
    pub(super) fn bury(&mut self, process: u32) {
        if let Some(one) = self.processes.get_mut(process as usize) {
            one.alive.store(0, Ordering::Release);
            one.stores = false;
        }
        self.locks.release(process);
    }

    /// A lock file that nobody has opened yet.
    pub(super) fn new_lock_file(&mut self, region: Arc<Region>) {
        let number = self.number_of_lock_file();
        self.use_lock_file((number, region));
    }

    /// A number that no lock file has had.
    pub(super) fn number_of_lock_file(&mut self) -> FileId {
        self.lock_files += 1;
        self.lock_files
    }

    pub(super) fn use_lock_file(&mut self, file: (FileId, Arc<Region>)) {
        self.lock_file = file;
        if let Some(history) = &mut self.history {
            history.forget();
        }
    }

    /// Takes note of stores through writable views that nobody has told of yet.
    pub(super) fn observe(&mut self, cache: &Cache) {
        if !self.processes.iter().any(|one| one.stores) {
            return;
        }
        for number in 0..self.shown.len() as u64 {
            if cache.differs(number, &self.shown[number as usize]) {
                self.note(cache, number);
                self.counters.unreported_pages += 1;
            }
        }
    }

    /// The page shows something new.
    fn note(&mut self, cache: &Cache, number: u64) {
        let page = cache.page(number);
        self.shown[number as usize] = page.clone();
        self.lost.remove(&number);
        self.medium.put(number, page);
    }

    /// The range has been stored or written to.
    pub(super) fn note_range(&mut self, cache: &Cache, offset: u64, len: u64) {
        let (first, last) = page_range(offset, len, self.medium.len());
        (first..last).for_each(|number| self.note(cache, number));
        self.medium.last_write = (first, last);
    }

    pub(super) fn resize(&mut self, cache: &Cache, len: u64) -> Result<()> {
        let from = self.medium.len();
        cache.resize(from, len)?;
        self.medium.resize(len);
        let pages = pages_in(len) as usize;
        self.shown.resize_with(pages, zero_page);
        self.lost.retain(|&number| number < pages as u64);
        if len < from && !(len as usize).is_multiple_of(PAGE) {
            self.note(cache, len / PAGE as u64);
        }
        Ok(())
    }

    /// A sync of the range succeeds.
    pub(super) fn sync(&mut self, offset: u64, len: u64) {
        if self.faults.sync_leaves_length {
            // The length stays what it is, durable or not.
        } else {
            self.medium.settle_length();
        }
        let (first, last) = page_range(offset, len, self.medium.len());
        for number in self.medium.dirty_in(first, last) {
            self.write_back(number);
        }
        self.counters.syncs += 1;
    }

    /// Somebody who has a description of his own syncs the whole file.
    pub(super) fn foreign_sync(&mut self, cache: &Cache) {
        self.observe(cache);
        self.sync(0, u64::MAX);
        self.errors.1 = true;
    }

    /// The same, and it fails. Nothing leaves the cache.
    pub(super) fn foreign_sync_fails(&mut self, cache: &Cache) {
        self.observe(cache);
        for number in self.medium.dirty_in(0, pages_in(self.medium.len())) {
            match self.rng.below(3) {
                0 => self.write_back(number),
                _ => self.drop_page(number),
            }
        }
        self.counters.failed_syncs += 1;
        self.errors = (self.errors.0 + 1, true);
    }

    /// The file has these bytes and no others, durably.
    pub(super) fn replace(&mut self, cache: &Cache, bytes: &[u8]) -> Result<()> {
        self.resize(cache, bytes.len() as u64)?;
        self.medium.settle_length();
        self.damage(cache, 0, bytes);
        Ok(())
    }

    /// The newest content of a dirty page becomes durable.
    fn write_back(&mut self, number: u64) {
        if let Some(page) = self.medium.newest(number) {
            self.medium.settle(number, page);
            self.counters.pages_synced += 1;
        }
    }

    /// A sync of the range fails: of each page that it was to write, the medium may hold the new
    /// content or an older one, and the system counts it as written either way.
    pub(super) fn fail_sync(&mut self, cache: &Cache, offset: u64, len: u64) {
        if self.medium.was_cut() || self.rng.chance(3, 4) {
            self.medium.settle_length();
        }
        let (first, last) = page_range(offset, len, self.medium.len());
        for number in self.medium.dirty_in(first, last) {
            match self.rng.below(3) {
                0 => self.write_back(number),
                _ => {
                    self.drop_page(number);
                    if self.rng.chance(1, 4) {
                        self.evict(cache, number);
                    }
                }
            }
        }
        self.counters.failed_syncs += 1;
        self.errors = (self.errors.0 + 1, false);
    }

    /// The system writes everything that is dirty; or the device refuses it, all of it or some, and
    /// the next sync is told.
    pub(super) fn write_back_all(&mut self, cache: &Cache, fails: bool) {
        self.observe(cache);
        if self.medium.was_cut() {
            self.medium.settle_length();
        }
        let all = self.rng.chance(3, 4);
        for number in self.medium.dirty_in(0, pages_in(self.medium.len())) {
            match fails && (all || self.rng.chance(1, 2)) {
                true => {
                    self.drop_page(number);
                    self.errors = (self.errors.0 + 1, false);
                }
                false => self.write_back(number),
            }
        }
        self.counters.write_backs += 1;
    }

    /// Whether somebody was told of the latest write-back that failed.
    pub(super) fn error_is_told(&self) -> bool {
        self.errors.1
    }

    /// The write-back of a dirty page fails: it is clean from now on, and may leave the cache.
    fn drop_page(&mut self, number: u64) {
        let kept = self.medium.lengths().len() - 1;
        let choices = self.medium.choices(number, kept);
        let left = match self.rng.below(4) {
            0 => mix(&choices, &mut self.rng),
            1 => choices[self.rng.index(choices.len())].clone(),
            _ => choices[0].clone(),
        };
        self.leave(number, left);
    }

    pub(super) fn is_dirty(&mut self, cache: &Cache, number: u64) -> bool {
        self.observe(cache);
        self.medium.is_dirty(number)
    }

    /// The write-back of this page fails as a whole.
    pub(super) fn refuse_page(&mut self, cache: &Cache, number: u64) -> bool {
        let dirty = self.is_dirty(cache, number);
        if dirty {
            let left = self.medium.durable(number);
            self.leave(number, left);
            self.errors = (self.errors.0 + 1, false);
        }
        dirty
    }

    /// A dirty page counts as clean, with this on the medium.
    fn leave(&mut self, number: u64, left: Page) {
        self.medium.settle(number, left.clone());
        if self.shown.get(number as usize).is_some_and(|shown| *shown != left) {
            self.lost.insert(number);
        }
    }

    /// A clean page leaves the cache and comes back as the medium has it.
    fn evict(&mut self, cache: &Cache, number: u64) {
        if self.lost.remove(&number) {
            let page = self.medium.durable(number);
            cache.put(number * PAGE as u64, &page.0);
            self.shown[number as usize] = page;
            self.counters.evictions += 1;
        }
    }

    /// Every page that can be evicted is.
    pub(super) fn evict_all(&mut self, cache: &Cache) {
        // What was stored through a map since is dirty, and stays.
        self.observe(cache);
        for number in self.lost.clone() {
            self.evict(cache, number);
        }
    }

    /// Pages that show something the medium does not hold, and that no sync will write.
    pub(super) fn lost_pages(&self) -> Vec<u64> {
        self.lost.iter().copied().collect()
    }

    /// What the system does by itself between two events.
    fn background(&mut self, cache: &Cache) {
        let faults = self.faults;
        if self.rng.chance(u64::from(faults.write_back), 1 << 16) {
            let dirty = self.medium.dirty_in(0, pages_in(self.medium.len()));
            if !dirty.is_empty() {
                let number = dirty[self.rng.index(dirty.len())];
                self.spontaneous(number);
            }
        }
        if self.rng.chance(u64::from(faults.evict), 1 << 16) {
            let lost = self.lost_pages();
            if !lost.is_empty() {
                let number = lost[self.rng.index(lost.len())];
                self.evict(cache, number);
            }
        }
    }

    /// The system writes a page, and the whole folio around it, because it feels like it.
    fn spontaneous(&mut self, number: u64) {
        if self.medium.was_cut() {
            self.medium.settle_length();
        }
        if self.rng.chance(u64::from(self.faults.write_back_fails), 1 << 16) {
            if self.medium.is_dirty(number) {
                self.drop_page(number);
                self.errors = (self.errors.0 + 1, false);
            }
            return;
        }
        let folio = self.faults.folio_pages.max(1);
        let first = number / folio * folio;
        for page in first..(first + folio).min(self.shown.len() as u64) {
            if !self.medium.is_dirty(page) && !self.lost.remove(&page) {
                continue;
            }
            let shown = self.shown[page as usize].clone();
            self.medium.settle(page, shown);
        }
        self.counters.write_backs += 1;
    }

    /// Whether a write-back failed that this description was not told of. It is told by this.
    pub(super) fn tell_error(&mut self, process: u32) -> bool {
        let errors = self.errors.0;
        let one = &mut self.processes[process as usize];
        let news = one.told != errors;
        one.told = errors;
        if news {
            self.errors.1 = true;
        }
        news
    }

    /// The same for the description that is only asked.
    pub(super) fn ask_error(&mut self, process: u32) -> bool {
        let errors = self.errors.0;
        let one = &mut self.processes[process as usize];
        let news = std::mem::replace(&mut one.asked, errors) != errors;
        self.errors.1 |= news;
        news
    }

    /// Changes bytes on the medium and in the cache alike, as a bad disk or a foreign hand does.
    pub(super) fn damage(&mut self, cache: &Cache, offset: u64, bytes: &[u8]) {
        cache.put(offset, bytes);
        let (first, last) = page_range(offset, bytes.len() as u64, self.medium.len());
        for number in first..last {
            let page = cache.page(number);
            self.shown[number as usize] = page.clone();
            self.lost.remove(&number);
            self.medium.settle(number, page);
        }
    }

    /// First page, if any, whose cache differs from what was written to it.
    pub(super) fn stray_store(&self, cache: &Cache) -> Option<u64> {
        (0..self.shown.len() as u64).find(|&page| cache.differs(page, &self.shown[page as usize]))
    }
}

/// Pages that the range touches inside a file of `file` bytes: first, and one past the last.
fn page_range(offset: u64, len: u64, file: u64) -> (u64, u64) {
    let end = offset.saturating_add(len).min(file);
    if offset >= end {
        return (0, 0);
    }
    (offset / PAGE as u64, pages_in(end))
}

impl Machine {
    pub(super) fn new(
        pages: Vec<Page>,
        len: u64,
        options: SimOptions,
        lock_file: Option<Vec<Page>>,
    ) -> Result<Arc<Machine>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let cache = Cache::new(options.reserve.max(len as usize), &pages, len)?;
        let region = match lock_file {
            Some(content) => Region::with(&content)?,
            None => Region::new(options.shared_len)?,
        };
        let state = State {
            medium: Medium::from_pages(pages.clone(), len),
            shown: pages,
            lost: BTreeSet::new(),
            processes: Vec::new(),
            locks: Table::default(),
            lock_file: (super::locks::DATA_FILE + 1, Arc::new(region)),
            other_lock_file: None,
            lock_files: super::locks::DATA_FILE + 1,
            history: None,
            rng: Rng::new(options.seed),
            counters: Counters::default(),
            faults: Faults::default(),
            disk_limit: None,
            drawn: 0,
            power_cut: None,
            powered: true,
            errors: (0, true),
        };
        Ok(Arc::new(Machine {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            options,
            cache,
            state: Mutex::new(state),
            released: Condvar::new(),
            hook: Mutex::new(None),
        }))
    }

    /// The error of a call that a dead process made, which is counted.
    pub(super) fn after_death(&self) -> Error {
        self.state.lock().counters.after_death += 1;
        fault("a call of a dead process", libc::EIO)
    }

    pub(super) fn check_alive(&self, process: u32) -> Result<()> {
        if self.state.lock().is_alive(process) {
            return Ok(());
        }
        Err(self.after_death())
    }

    /// Counts an event, lets the system do what it does by itself, and asks the hook.
    pub(super) fn event(self: &Arc<Self>, process: u32, kind: EventKind) -> Result<Verdict> {
        self.check_alive(process)?;
        let depth = event::depth(self.number);
        if std::thread::panicking() || (depth > 0 && !self.options.nested_events) {
            self.state.lock().observe(&self.cache);
            return Ok(Verdict::Go);
        }
        let index = {
            let mut state = self.state.lock();
            state.observe(&self.cache);
            state.background(&self.cache);
            let (index, lock_file) = (state.counters.events, Arc::clone(&state.lock_file.1));
            let medium = state.medium.version;
            if let Some(history) = &mut state.history {
                history.note(index, medium, &lock_file);
            }
            state.counters.events += 1;
            state.counters.events - 1
        };
        let hook = self.hook.lock().clone();
        let Some(hook) = hook else { return Ok(Verdict::Go) };
        let action = {
            let _inside = InHook::enter(self.number);
            hook(&SimDisk(self.clone()), &Event { index, kind, process, depth })
        };
        let mut state = self.state.lock();
        match action {
            Action::Kill => state.bury(process),
            Action::PowerCut if state.powered => {
                drop(state);
                self.cut_power();
                state = self.state.lock();
            }
            _ => {}
        }
        let alive = state.is_alive(process);
        drop(state);
        self.released.notify_all();
        Ok(match action {
            _ if !alive => Verdict::Die,
            Action::Fail(errno) => Verdict::Fail(errno),
            _ => Verdict::Go,
        })
    }

    /// The state of the disk now.
    pub(super) fn cut_point(&self, with_lock_file: bool) -> CutPoint {
        self.cut_point_of(&mut self.state.lock(), with_lock_file)
    }

    fn cut_point_of(&self, state: &mut State, with_lock_file: bool) -> CutPoint {
        state.observe(&self.cache);
        CutPoint {
            medium: state.medium.clone(),
            options: self.options.clone(),
            lock_file: with_lock_file.then(|| {
                let lock_file = Arc::clone(&state.lock_file.1);
                Arc::new(LockFile::new(&lock_file, state.history.as_ref()))
            }),
            event: state.counters.events,
        }
    }

    /// The power fails now; everybody is dead.
    pub(super) fn cut_power(&self) {
        // At one moment: what another thread is told behind it, it is told by a dead machine.
        let mut state = self.state.lock();
        let cut = self.cut_point_of(&mut state, true);
        for process in 0..state.process_count() {
            state.bury(process);
        }
        state.powered = false;
        state.power_cut = Some(cut);
        drop(state);
        self.released.notify_all();
    }

    /// Leaves a process that has been killed: never comes back.
    pub(super) fn unwind(&self, process: u32) -> ! {
        if self.state.lock().powered {
            std::panic::resume_unwind(Box::new(Killed { process }))
        }
        std::panic::resume_unwind(Box::new(PowerLost))
    }
}
