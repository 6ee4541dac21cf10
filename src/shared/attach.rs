//! Coming to the shared memory and leaving it (B1, B16).
//!
//! The order of an opening stands in [`Shared::attach`] and `initialise`. What keeps it right:
//! - The open byte O is held from before the gates are tried until the memory is ready, so openings
//!   run one after another.
//! - The gate byte G is held shared by every handle, on the lock file *and* on the data file. Who
//!   gets both exclusively is alone with the database. The second one shows a lock file that was
//!   deleted, or a data file reached by another name: two handles with different reader tables must
//!   never meet.
//! - The gates go from exclusive to shared in one call each, so between "ready" and "shared" nobody
//!   is let in who would initialise again. They never go from shared to exclusive.
//! - `ready` does not let anybody join: the gate does, and it is shared only after a complete
//!   initialisation. It tells a first opener whether the words of the *last* session are whole.
//! - A handle proves that it lives by holding byte H + index, from before its first claim of a slot
//!   until after it has given back the last. A new holder of an index first sweeps what its
//!   predecessor left.
//!
//! Who wants the database alone ([`crate::Builder::exclusive`]):
//! - X1: gets it when nobody else has it open, and waits for that as long as it may.
//! - X2: keeps it: nobody is let in meanwhile, and each is told why.
//! - X3: uses no lock file; each of its locks on the data file keeps everybody away
//!   (`src/storage/mmap`).

use super::layout::{self, HANDLES, Identity, Layout, byte};
use super::leases::Leases;
use super::locks::LockGuard;
use super::region::{Region, damaged};
use super::sync::{AtomicU64, Mutex, sleep};
use super::words::{Alone, Content};
use super::{Arrival, FirstState, Shared};
use crate::error::{Error, Result};
use crate::storage::{LockMode, PlatformRef};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

impl Shared {
    /// Opens the shared memory of the database `uuid`: joins those who have it open, or makes it
    /// ready for others. `init` runs when nobody else has the database open, on either file, and
    /// before anybody can come: with [`FirstState::Survives`] on the words the last session left
    /// (without its readers), else on words that are all zero. It publishes the first snapshot.
    /// When it fails, or its process dies in it, the next opener finds [`FirstState::Survives`]
    /// again where that was the state, and otherwise [`FirstState::Unknown`].
    ///
    /// Errors: [`Error::Busy`] when others were opening for the whole of `timeout`;
    /// [`Error::LockFile`] when the data file is in use with another lock file, or the lock file
    /// with another data file; [`Error::HandlesFull`] when there are as many handles as there can
    /// be.
    pub fn attach(
        platform: PlatformRef,
        uuid: [u8; 16],
        page_size: u32,
        timeout: Duration,
        init: impl FnOnce(&Shared, &Alone, FirstState) -> Result<()>,
    ) -> Result<(Shared, Arrival)> {
        let region = Region::new(platform)?;
        region.check_alive()?;
        let expected = Expected::new(region.platform(), uuid, page_size);
        let start = Instant::now();
        let open = LockGuard::wait(region.platform(), byte::OPEN, LockMode::Exclusive, timeout)?;
        let (alone, gates) = pass_gates(region.platform(), start, timeout)?;
        if !alone {
            expected.check(&region.layout().identity.0)?;
        }
        let (index, life) = take_index(&region)?;
        let mut shared = Shared::assemble(region, Some(index), Some(life), gates);
        let arrival = if alone {
            shared.known_slots = expected.known_slots(shared.layout());
            Arrival::First(shared.initialise(&expected, init)?)
        } else {
            sweep(shared.layout(), |owner| owner == index + 1);
            believe_taken(shared.layout(), index, true);
            shared.settled = true;
            shared.step("attach: joined");
            Arrival::Joined
        };
        drop(open);
        Ok((shared, arrival))
    }

    /// Joins with a lock file that may only be read: reads without slots, by locks on the bytes of
    /// snapshots. `None` when nobody has the database open for more: then the memory means nothing,
    /// and there is nobody who could make it mean something.
    pub fn observe(
        platform: PlatformRef,
        uuid: [u8; 16],
        page_size: u32,
        timeout: Duration,
    ) -> Result<Option<Shared>> {
        let region = Region::new(platform)?;
        region.check_alive()?;
        let platform = region.platform();
        let expected = Expected::new(platform, uuid, page_size);
        // Shared is enough to keep initialisers out, and all that a file opened for reading gives.
        let open = LockGuard::wait(platform, byte::OPEN, LockMode::Shared, timeout)?;
        if platform.locks().held_elsewhere(byte::GATE, byte::GATE)?.is_none() {
            if is_exclusive(platform)? {
                return Err(in_use(true));
            }
            return Ok(None);
        }
        // No lock can stand against these two: only an opener takes them exclusively, and O keeps
        // openers out.
        let gates = match LockGuard::try_both_gates(platform, LockMode::Shared)? {
            Some(gates) => gates,
            None => return Err(damaged("the gate is held by something that is not opening")),
        };
        expected.check(&region.layout().identity.0)?;
        let shared = Shared::assemble(region, None, None, gates);
        drop(open);
        Ok(Some(shared))
    }

    fn assemble(
        region: Region,
        index: Option<u32>,
        life: Option<LockGuard>,
        gates: [LockGuard; 2],
    ) -> Self {
        Shared {
            index,
            pid: std::process::id(),
            leases: Leases::new(),
            clearing: Mutex::new(()),
            observed: Mutex::new(BTreeMap::new()),
            known_slots: [None; 2],
            settled: false,
            _life: life,
            gates,
            region,
        }
    }

    /// Makes the memory ready. Nobody else has the database open.
    fn initialise(
        &mut self,
        expected: &Expected,
        init: impl FnOnce(&Shared, &Alone, FirstState) -> Result<()>,
    ) -> Result<FirstState> {
        self.step("attach: alone");
        let identity = &self.layout().identity.0;
        let state = expected.classify(identity);
        self.platform().settle_shared(state == FirstState::Survives)?;
        self.settled = true;
        let identity = &self.layout().identity.0;
        if state == FirstState::Survives {
            // `ready` stays 1: the words are whole, and `init` can be begun again at any point.
            sweep(self.layout(), |_| true);
            self.layout().slots_used.0.store(0, Relaxed);
            self.layout().waiters.0.store(0, Relaxed);
            self.layout().handles.0.iter().for_each(|word| word.store(0, Relaxed));
        } else {
            self.forget();
            expected.fill(identity, state);
        }
        self.step("attach: identity written");
        init(self, &Alone(()), state)?;
        self.index.into_iter().for_each(|index| believe_taken(self.layout(), index, true));
        self.step("attach: initialised");
        identity.ready.store(1, Release);
        self.step("attach: ready");
        for gate in &self.gates {
            if !gate.share()? {
                return Err(self.damaged("the gate was taken by something that does not open"));
            }
            self.step("attach: gate shared");
        }
        Ok(state)
    }

    /// Runs `work` if nobody else has the database open; nobody opens it meanwhile. Waits for
    /// nobody.
    pub fn if_alone(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        // Who opens finds the gates as it expects them.
        let Some(open) = LockGuard::try_byte(self.platform(), byte::OPEN)? else { return Ok(()) };
        let [lock_gate, data_gate] = &self.gates;
        let alone = lock_gate.keep_alone().and_then(|kept| Ok(kept && data_gate.keep_alone()?));
        let done = match alone {
            Ok(true) => work(),
            other => other.map(drop),
        };
        let shared = [lock_gate.share(), data_gate.share()];
        drop(open);
        shared.into_iter().try_for_each(|shared| shared.map(drop)).and(done)
    }

    /// Drops what the memory says, as if the lock file were new, but for what stays true of this
    /// file: the next opening asks for it again, should this one die. Only for `init`, and before
    /// it begins a read: when the words of the last session turn out not to fit the data file.
    pub fn forget(&self) {
        // First of all, and seen first: should this process die, nobody may take the rest for
        // whole.
        self.layout().identity.0.ready.store(0, SeqCst);
        self.region.zero_words(self.known_slots.iter().any(Option::is_some));
    }
}

impl Drop for Shared {
    /// Gives back the slots; then, by the fields' own drops, the index and the gates. In a forked
    /// child nothing: slots and locks are the parent's.
    fn drop(&mut self) {
        if !self.region.is_alive() {
            return;
        }
        // An observer has nothing there, and may not store; nor may a first opener whose memory has
        // not got blocks of its own yet.
        if let Some(index) = self.index.filter(|_| self.settled) {
            sweep(self.layout(), |owner| owner == index + 1);
            believe_taken(self.layout(), index, false);
        }
    }
}

/// Takes G on the lock file and the data file; true if exclusively.
fn pass_gates(
    platform: &PlatformRef,
    start: Instant,
    timeout: Duration,
) -> Result<(bool, [LockGuard; 2])> {
    loop {
        let refused = match LockGuard::try_gate(platform, false, LockMode::Exclusive)? {
            Some(lock_gate) => match LockGuard::try_gate(platform, true, LockMode::Exclusive)? {
                // One that is just closing has lost the gate and not yet this.
                Some(_) if platform.exclusive() && !is_told(platform)? => {
                    Error::Busy { path: None }
                }
                Some(data_gate) => return Ok((true, [lock_gate, data_gate])),
                None if is_exclusive(platform)? => in_use(true),
                None if platform.exclusive() => in_use(false),
                // A handle that is just dying may have lost the first byte and not yet the second.
                None => damaged(
                    "the data file is in use with another lock file; it was deleted or renamed \
                     while in use, or the data file was opened by another name",
                ),
            },
            None => match LockGuard::try_both_gates(platform, LockMode::Shared)? {
                Some(gates) => return Ok((false, gates)),
                None => Error::Busy { path: None },
            },
        };
        if start.elapsed() >= timeout {
            return Err(refused);
        }
        sleep(Duration::from_millis(1));
    }
}

/// Tells others that this handle has the data file alone, until it closes.
fn is_told(platform: &PlatformRef) -> Result<bool> {
    platform.data_locks().try_lock(byte::EXCLUSIVE, LockMode::Exclusive)
}

/// Whether another handle has the data file alone.
fn is_exclusive(platform: &PlatformRef) -> Result<bool> {
    let held = platform.data_locks().held_elsewhere(byte::EXCLUSIVE, byte::EXCLUSIVE)?;
    Ok(held.is_some())
}

fn in_use(exclusively: bool) -> Error {
    Error::InUse { path: None, exclusively }
}

/// Indices that are always tried first: where few have the database open the dead are succeeded at
/// once, and their slots swept.
const FIRST: u32 = if HANDLES < 8 { HANDLES } else { 8 };

/// Takes a handle index whose byte is free: one of the first few, or the lowest that is not
/// believed to be taken. Where all are, the bytes are asked, and the dead are remembered.
fn take_index(region: &Region) -> Result<(u32, LockGuard)> {
    let (platform, layout) = (region.platform(), region.layout());
    let free = (FIRST..HANDLES).filter(|&index| !believed_taken(layout, index));
    for index in (0..FIRST).chain(free) {
        if let Some(held) = LockGuard::try_handle(platform, index)? {
            return Ok((index, held));
        }
    }
    let mut found = None;
    for index in 0..HANDLES {
        if let Some(held) = LockGuard::try_handle(platform, index)? {
            believe_taken(layout, index, false);
            found = found.or(Some((index, held)));
        }
    }
    found.ok_or(Error::HandlesFull { path: None })
}

/// The word of a handle index, and its bit there.
fn belief(layout: &Layout, index: u32) -> (&AtomicU64, u64) {
    (&layout.handles.0[(index / 64) as usize], 1 << (index % 64))
}

fn believed_taken(layout: &Layout, index: u32) -> bool {
    let (word, bit) = belief(layout, index);
    word.load(Relaxed) & bit != 0
}

/// A hint, so no order: a wrong one costs the next opener a look at a byte. Nobody asks about the
/// first few.
fn believe_taken(layout: &Layout, index: u32, taken: bool) {
    if index < FIRST {
        return;
    }
    let (word, bit) = belief(layout, index);
    if taken {
        word.fetch_or(bit, Relaxed);
    } else {
        word.fetch_and(!bit, Relaxed);
    }
}

/// Frees the slots of owners that are known to be dead.
fn sweep(layout: &Layout, dead: impl Fn(u32) -> bool) {
    // Behind the mark nobody has ever claimed one; a claim clears what damage may have left there.
    let used = (layout.slots_used.0.load(Acquire) as usize).min(layout::SLOTS);
    for slot in &layout.slots[..used] {
        let owner = slot.owner.load(Acquire);
        if dead(owner) && (owner != 0 || slot.txn.load(Relaxed) != 0) {
            slot.txn.store(0, Release);
            slot.owner.store(0, Release);
        }
    }
}

/// What the memory has to say about itself to be this database's.
struct Expected {
    boot: [u64; 2],
    uuid: [u64; 2],
    data_file: [u64; 2],
    page_size: u64,
}

impl Expected {
    fn new(platform: &PlatformRef, uuid: [u8; 16], page_size: u32) -> Expected {
        let (device, inode) = platform.data_file_id();
        Expected {
            boot: words(platform.boot_id()),
            uuid: words(uuid),
            data_file: [device, inode],
            page_size: page_size.into(),
        }
    }

    fn same_database(&self, identity: &Identity) -> bool {
        identity.magic.load(Acquire) == layout::MAGIC
            && identity.version.load(Acquire) == layout::VERSION
            && pair(&identity.uuid) == self.uuid
            && identity.page_size.load(Acquire) == self.page_size
    }

    /// What the memory says that stays true for ever, if it is this database's; asked before
    /// anything is zeroed.
    fn known_slots(&self, layout: &Layout) -> [Option<Content>; 2] {
        // Of this file, not of one that it is a copy of. The number of its device may change with
        // each boot.
        let same_file = layout.identity.0.data_file[1].load(Relaxed) == self.data_file[1];
        let ours = same_file && self.same_database(&layout.identity.0);
        [0, 1].map(|slot| layout.commit.slot(slot).filter(|_| ours))
    }

    /// What a first opener finds.
    fn classify(&self, identity: &Identity) -> FirstState {
        let ready = identity.ready.load(Acquire) == 1;
        if !self.same_database(identity) {
            FirstState::Unknown
        } else if pair(&identity.boot) != self.boot {
            // Not ready: an opening had begun. It may have been stopped before it could say how far
            // it was.
            FirstState::OtherBoot { opening: !ready || identity.opening.load(Acquire) != 0 }
        } else if ready && pair(&identity.data_file) == self.data_file {
            FirstState::Survives
        } else {
            FirstState::Unknown
        }
    }

    /// Writes the identity; `ready` is 0 and stays so. The mark of an interrupted opening is kept
    /// for `init`.
    fn fill(&self, identity: &Identity, state: FirstState) {
        let put = |at: &[AtomicU64; 2], v: [u64; 2]| {
            at[0].store(v[0], Relaxed);
            at[1].store(v[1], Relaxed);
        };
        let opening = matches!(state, FirstState::OtherBoot { opening: true });
        identity.opening.store(opening.into(), Relaxed);
        identity.session.store(0, Relaxed);
        identity.refused.iter().for_each(|w| w.store(0, Relaxed));
        identity.magic.store(layout::MAGIC, Relaxed);
        identity.version.store(layout::VERSION, Relaxed);
        identity.page_size.store(self.page_size, Relaxed);
        put(&identity.uuid, self.uuid);
        put(&identity.data_file, self.data_file);
        put(&identity.boot, self.boot);
    }

    /// What somebody who joins must find.
    fn check(&self, identity: &Identity) -> Result<()> {
        let detail = if identity.magic.load(Acquire) != layout::MAGIC
            || identity.version.load(Acquire) != layout::VERSION
        {
            "in use by a version of the library with another layout"
        } else if !self.same_database(identity) {
            "in use for another database"
        } else if pair(&identity.data_file) != self.data_file {
            "in use for another file with a copy of this database"
        } else if pair(&identity.boot) != self.boot || identity.ready.load(Acquire) != 1 {
            "in use, but never made ready in this boot"
        } else {
            return Ok(());
        };
        Err(damaged(detail))
    }
}

fn words(bytes: [u8; 16]) -> [u64; 2] {
    let (low, high) = bytes.split_at(8);
    let word = |b: &[u8]| b.iter().rev().fold(0, |w, &byte| w << 8 | u64::from(byte));
    [word(low), word(high)]
}

fn pair(at: &[AtomicU64; 2]) -> [u64; 2] {
    [at[0].load(Acquire), at[1].load(Acquire)]
}
