//! A machine of the checker's objects: shared memory, byte locks, processes that die, and pages
//! that notice when somebody looks at them while they are stored to.
//!
//! All lock bytes stand under one mutex, as those of a file do in the kernel.

use crate::error::Result;
use crate::shared::layout::{Descriptor, Identity, Layout, MAGIC, VERSION};
use crate::shared::{Lease, Reading, Scan, Shared};
use crate::storage::{LockByte, LockMode, Locks, MapView, Platform, Storage};
use crate::types::TxnId;
use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

/// Nothing in a model waits so long.
const LONG: Duration = Duration::from_secs(3600);
pub const PAGES: usize = 6;

pub struct Machine {
    memory: Box<Layout>,
    locks: Mutex<Vec<Lock>>,
    unlocked: Condvar,
    pages: [UnsafeCell<u64>; PAGES],
}

// SAFETY: the only part that is not Sync by itself is the pages, whose every use the checker
// judges; the threads of a model run one at a time.
unsafe impl Sync for Machine {}

struct Lock {
    file: File,
    byte: LockByte,
    holder: u32,
    mode: LockMode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    Lock,
    Data,
}

impl Machine {
    /// The lock file of a session that has ended; nothing is visible.
    pub fn new() -> Arc<Machine> {
        let memory = Box::<Layout>::default();
        let Identity { magic, version, ready, .. } = &memory.identity.0;
        magic.store(MAGIC, Relaxed);
        version.store(VERSION, Relaxed);
        ready.store(1, Relaxed);
        Arc::new(Machine {
            memory,
            locks: Mutex::new(Vec::new()),
            unlocked: Condvar::new(),
            pages: std::array::from_fn(|_| UnsafeCell::new(0)),
        })
    }

    /// Stores to a page, as the builder of this transaction.
    pub fn stamp(&self, page: u64, id: u64) {
        // SAFETY: the pointer is used inside the closure only; that nobody looks is what the models
        // prove.
        self.pages[page as usize].with_mut(|p| unsafe { *p = id });
    }

    /// Looks at a page that belongs to this transaction.
    pub fn look(&self, page: u64, id: u64) {
        // SAFETY: the pointer is used inside the closure only; a store at the same time is what the
        // models look for.
        let found = self.pages[page as usize].with(|p| unsafe { *p });
        assert_eq!(found, id, "page {page} is not snapshot {id}'s");
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Lock>)) {
        change(&mut self.locks.lock().unwrap());
        self.unlocked.notify_all();
    }
}

thread_local! {
    /// The processes of the running model; all its threads are one of the real ones.
    static LIVING: RefCell<Vec<Weak<Process>>> = const { RefCell::new(Vec::new()) };
}

/// After a panic the checker is gone, and a drop that stores to its atomics would end the test
/// program.
pub fn no_drops_after_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let living = LIVING.take();
            living.iter().filter_map(Weak::upgrade).for_each(|p| p.alive.store(0, Relaxed));
            before(info);
        }));
    });
}

/// A process with one handle.
pub struct Process {
    machine: Arc<Machine>,
    alive: AtomicU64,
    lock_file: FileLocks,
    data_file: FileLocks,
}

impl Process {
    pub fn new(machine: &Arc<Machine>, number: u32) -> Arc<Process> {
        let locks = |file| FileLocks { machine: machine.clone(), file, holder: number };
        let process = Arc::new(Process {
            machine: machine.clone(),
            alive: AtomicU64::new(1),
            lock_file: locks(File::Lock),
            data_file: locks(File::Data),
        });
        LIVING.with_borrow_mut(|living| {
            living.retain(|p| p.strong_count() > 0);
            living.push(Arc::downgrade(&process));
        });
        process
    }

    /// Opens; whoever is first shows snapshot 1, on page 0.
    pub fn open(self: &Arc<Process>) -> Shared {
        let machine = self.machine.clone();
        let init = |shared: &Shared, _: &_, _| {
            machine.stamp(0, 1);
            shared.publish_built(&snapshot(1, 0)).map(drop)
        };
        Shared::attach(self.clone(), [0; 16], 0, LONG, init).unwrap().0
    }

    /// Its locks vanish, and its drops do nothing any more.
    pub fn die(&self) {
        self.alive.store(0, Relaxed);
        self.machine.change(|locks| locks.retain(|l| l.holder != self.lock_file.holder));
    }
}

impl Platform for Process {
    fn storage(&self) -> &dyn Storage {
        &NoStorage
    }
    fn shared_base(&self) -> *mut u8 {
        std::ptr::from_ref(&*self.machine.memory).cast_mut().cast()
    }
    fn locks(&self) -> &dyn Locks {
        &self.lock_file
    }
    fn data_locks(&self) -> &dyn Locks {
        &self.data_file
    }
    fn alive(&self) -> &AtomicU64 {
        &self.alive
    }
    fn boot_id(&self) -> [u8; 16] {
        [0; 16]
    }
    fn data_file_id(&self) -> (u64, u64) {
        (0, 0)
    }
}

struct FileLocks {
    machine: Arc<Machine>,
    file: File,
    holder: u32,
}

impl FileLocks {
    fn own(&self, lock: &Lock) -> bool {
        lock.file == self.file && lock.holder == self.holder
    }

    fn acquire(&self, locks: &mut Vec<Lock>, byte: LockByte, mode: LockMode) -> bool {
        let against = |l: &Lock| {
            let exclusive = mode == LockMode::Exclusive || l.mode == LockMode::Exclusive;
            l.file == self.file && l.byte == byte && l.holder != self.holder && exclusive
        };
        if locks.iter().any(against) {
            return false;
        }
        locks.retain(|l| !(self.own(l) && l.byte == byte));
        locks.push(Lock { file: self.file, byte, holder: self.holder, mode });
        true
    }
}

impl Locks for FileLocks {
    fn try_lock(&self, byte: LockByte, mode: LockMode) -> Result<bool> {
        let got = self.acquire(&mut self.machine.locks.lock().unwrap(), byte, mode);
        self.machine.unlocked.notify_all();
        Ok(got)
    }

    fn lock(&self, byte: LockByte, mode: LockMode, _timeout: Option<Duration>) -> Result<bool> {
        let mut locks = self.machine.locks.lock().unwrap();
        while !self.acquire(&mut locks, byte, mode) {
            locks = self.machine.unlocked.wait(locks).unwrap();
        }
        Ok(true)
    }

    fn unlock(&self, byte: LockByte) {
        self.machine.change(|locks| locks.retain(|l| !(self.own(l) && l.byte == byte)));
    }

    fn held_elsewhere(&self, first: LockByte, last: LockByte) -> Result<Option<LockByte>> {
        let locks = self.machine.locks.lock().unwrap();
        let others = locks.iter().filter(|l| l.file == self.file && l.holder != self.holder);
        Ok(others.map(|l| l.byte).filter(|b| (first..=last).contains(b)).min())
    }
}

/// The models keep their pages themselves.
struct NoStorage;

impl Storage for NoStorage {
    fn view(&self) -> MapView {
        unreachable!()
    }
    fn refresh(&self) -> Result<MapView> {
        unreachable!()
    }
    fn len(&self) -> Result<u64> {
        unreachable!()
    }
    fn grow(&self, _: u64) -> Result<()> {
        unreachable!()
    }
    fn truncate(&self, _: u64) -> Result<()> {
        unreachable!()
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<()> {
        unreachable!()
    }
    fn view_mut(&self) -> Option<*mut u8> {
        unreachable!()
    }
    fn sync(&self, _: u64, _: u64) -> Result<()> {
        unreachable!()
    }
}

/// Transaction `id`, whose content is one page.
pub fn snapshot(id: u64, page: u64) -> Descriptor {
    [id, page]
}

/// Looks twice at what a reader has registered for.
pub fn look_twice(machine: &Machine, reading: &Reading) {
    let [id, page] = reading.descriptor;
    machine.look(page, id);
    machine.look(page, id);
}

/// Reads once, from begin to end.
pub fn read(machine: &Machine, shared: &Shared) -> u64 {
    let mut reading = shared.begin_read().unwrap();
    look_twice(machine, &reading);
    let id = reading.descriptor[0];
    end(shared, &mut reading.lease);
    id
}

pub fn end(shared: &Shared, lease: &mut Lease) {
    shared.end_read(lease);
}

/// What a writer knows: the newest transaction with its page, the pages that died and when, and
/// pages never used.
pub struct Writer {
    pub newest: (u64, u64),
    pub dying: Vec<(u64, u64, u64)>,
    pub fresh: std::ops::Range<u64>,
}

impl Writer {
    /// After snapshot 1.
    pub fn new() -> Writer {
        Writer { newest: (1, 0), dying: Vec::new(), fresh: 1..PAGES as u64 }
    }

    /// Builds the next transaction, on the first page that may be stored to; says on which.
    pub fn build(&mut self, machine: &Machine, scan: &Scan, pinned: &[u64]) -> Descriptor {
        let free = self.dying.iter().position(|&(_, birth, death)| {
            let pins = |&s: &u64| birth <= s && s < death;
            scan.allows(TxnId(birth), TxnId(death)) && !pinned.iter().any(pins)
        });
        let page = match free {
            Some(i) => self.dying.remove(i).0,
            None => self.fresh.next().unwrap(),
        };
        let (birth, old) = self.newest;
        let id = birth + 1;
        machine.stamp(page, id);
        self.dying.push((old, birth, id));
        self.newest = (id, page);
        snapshot(id, page)
    }

    /// Builds transactions up to `last` and shows each.
    pub fn build_visibly(&mut self, machine: &Machine, shared: &Shared, last: u64) {
        while self.newest.0 < last {
            let scan = shared.scan().unwrap();
            let words = self.build(machine, &scan, &[]);
            shared.publish_built(&words).unwrap();
        }
    }
}
