//! Which contents the database may hold now.
//!
//! Each transaction that starts to be built adds a content. An acknowledgement rules out those
//! before it: for a power cut, if it was durable; for everything else, as soon as it was visible.
//! An error other than "outcome unknown" rules out the content itself: nobody may have seen it,
//! nobody ever may.

use super::causes::{Causes, During};
use super::content::{Content, any_of};
use super::script::PROCESSES;
use parking_lot::Mutex;
use recto::{Durability, Error};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// Faults after which a transaction that is known to be durable may be forgotten to be: a bounded
/// number of roll-backs is told apart.
const TOLD_APART: u32 = 4;

/// A transaction's content.
struct Entry {
    content: Arc<Content>,
    /// The transaction has not happened.
    gone: bool,
    /// Somebody else has begun from it, or read it.
    seen: bool,
    /// Somebody has flushed, and seen that this is what is durable: faults before that.
    flushed: Option<u32>,
}

impl Entry {
    fn new(content: Arc<Content>) -> Entry {
        Entry { content, gone: false, seen: false, flushed: None }
    }

    fn is(&self, print: u64) -> bool {
        !self.gone && self.content.print() == print
    }
}

/// See the head of the file.
pub struct Oracle {
    contents: Vec<Entry>,
    durable: usize,
    visible: usize,
    /// Newest content of a deferred commit: up to it, what is shown need not be durable.
    deferred: usize,
    /// What each process has seen: it never sees anything older again.
    seen: [usize; PROCESSES as usize],
    pub causes: Causes,
    /// What was shown under each id.
    ids: Ids,
    /// Failed syncs and write-backs.
    pub faults: u32,
    /// Of the next write.
    pub stamp: u32,
    /// Transactions that found the disk full.
    pub found_full: u64,
    /// Single keys put or deleted.
    pub edits: u64,
}

/// The oldest content that may be seen: if what was visible may be rolled back, and if not.
#[derive(Clone, Copy)]
pub struct Horizon {
    durable: usize,
    visible: usize,
}

/// What was shown under ids, as fingerprints: for ever.
type Ids = Arc<BTreeMap<u64, u64>>;

/// Contents that may be found, and what has been shown.
#[derive(Clone)]
pub struct Allowed {
    contents: Vec<Arc<Content>>,
    ids: Ids,
}

impl Allowed {
    /// This one alone, where nothing has been shown.
    pub fn only(content: Arc<Content>) -> Allowed {
        Allowed { contents: vec![content], ids: Ids::default() }
    }
}

impl Deref for Allowed {
    type Target = [Arc<Content>];
    fn deref(&self) -> &[Arc<Content>] {
        &self.contents
    }
}

/// Shared with the hook of a machine. Never locked while the engine runs.
pub type SharedOracle = Arc<Mutex<Oracle>>;

impl Oracle {
    /// A database that is new.
    pub fn new() -> Oracle {
        Oracle::holding(Arc::default(), 0)
    }

    /// A database that holds this.
    pub fn holding(content: Arc<Content>, stamp: u32) -> Oracle {
        Oracle {
            contents: vec![Entry::new(content)],
            durable: 0,
            visible: 0,
            deferred: 0,
            seen: [0; PROCESSES as usize],
            causes: Causes::default(),
            ids: Ids::default(),
            faults: 0,
            stamp,
            found_full: 0,
            edits: 0,
        }
    }

    /// A database in which any of these may be durable, and number `found` is visible.
    pub fn after(allowed: &Allowed, found: usize, stamp: u32) -> Oracle {
        let contents = allowed.iter().map(|content| Entry::new(content.clone())).collect();
        let deferred = allowed.len() - 1;
        let ids = allowed.ids.clone();
        let calm = Oracle::holding(Arc::default(), stamp);
        Oracle { contents, visible: found, deferred, ids, ..calm }
    }

    fn from(&self, index: usize) -> Allowed {
        let there = self.contents[index..].iter().filter(|entry| !entry.gone);
        let contents = there.map(|entry| entry.content.clone()).collect();
        Allowed { contents, ids: self.ids.clone() }
    }

    fn position(&self, from: usize, print: u64) -> Option<usize> {
        (from..self.contents.len()).find(|&at| self.contents[at].is(print))
    }

    /// What may be found after a power cut now.
    pub fn after_power_loss(&self) -> Allowed {
        self.from(self.durable)
    }

    /// What may be found while the system lives.
    pub fn while_alive(&self) -> Allowed {
        self.from(self.oldest_alive())
    }

    /// How many of the contents after a power loss may not be found while the system lives.
    pub fn older_than_alive(&self) -> usize {
        let older = &self.contents[self.durable..self.oldest_alive().max(self.durable)];
        older.iter().filter(|entry| !entry.gone).count()
    }

    /// What was visible may be rolled back.
    pub fn unreliable(&self) -> bool {
        self.causes.unreliable()
    }

    /// Whether an error is an honest one.
    pub fn forgives(&self, e: &Error, during: During) -> bool {
        self.causes.explain(e, during)
    }

    fn oldest_alive(&self) -> usize {
        if self.unreliable() { self.durable } else { self.visible }
    }

    /// The system has lost everything but this.
    pub fn restart_from(&mut self, content: Arc<Content>) {
        let calm = Oracle::holding(content, self.stamp);
        let Causes { disk_may_be_full, device_fails, .. } = self.causes;
        let causes = Causes { disk_may_be_full, device_fails, ..Causes::default() };
        let (found_full, edits, faults) = (self.found_full, self.edits, self.faults);
        let ids = std::mem::take(&mut self.ids);
        *self = Oracle { causes, found_full, edits, faults, ids, ..calm };
    }

    /// The file is another one.
    pub fn forget_ids(&mut self) {
        self.ids = Ids::default();
    }

    /// A reader was shown a content under an id, which never shows another one. `found`: by an
    /// opening that has not made it durable. A cut may take that back, and its id with it.
    pub fn shown(&mut self, id: u64, print: u64, found: bool) {
        let before = self.ids.get(&id);
        assert!(
            before.is_none_or(|b| *b == print),
            "id {id} was shown with another content before"
        );
        if !found {
            Arc::make_mut(&mut self.ids).insert(id, print);
        }
    }

    /// All processes are gone, and this is what the next one sees: what was not durable before is
    /// not durable now. What was built and not yet visible may follow, if the shared memory
    /// survives too.
    pub fn survived_by(&mut self, content: &Content, shared_memory_too: bool) {
        let found = self.position(self.durable, content.print()).unwrap_or(self.durable);
        if !shared_memory_too {
            self.contents.truncate(found + 1);
        }
        self.visible = found;
        self.seen = [0; PROCESSES as usize];
    }

    /// The process is new and has seen nothing.
    pub fn forget_process(&mut self, p: u8) {
        self.seen[usize::from(p)] = 0;
    }

    /// The oldest that a process may see if it begins to read now; what others commit while it
    /// reads does not count.
    pub fn horizon(&self, p: u8) -> Horizon {
        Horizon {
            durable: self.durable,
            visible: self.oldest_alive().max(self.seen[usize::from(p)]),
        }
    }

    /// A process has read; what it saw is given as a fingerprint, with the horizon from before.
    pub fn reads(&mut self, p: u8, horizon: Horizon, print: u64, what: &str) -> Arc<Content> {
        let from = if self.unreliable() { horizon.durable } else { horizon.visible };
        let Some(found) = self.position(from, print) else {
            let earlier = self.contents.iter().position(|entry| entry.content.print() == print);
            let known = any_of(&self.from(from));
            panic!(
                "{what}: process {p} sees {}; allowed: {known}",
                earlier.map_or(format!("[{:08x}], which nobody made", print as u32), |e| {
                    let words = self.contents[e].content.summary();
                    match self.contents[e].gone {
                        true => format!("{words}, which was said not to have happened"),
                        false => format!("{words}, which is too old"),
                    }
                })
            );
        };
        self.seen[usize::from(p)] = found;
        self.contents[found].seen = true;
        self.contents[found].content.clone()
    }

    /// A writer has begun from what it saw. It begins from the newest that is built, visible or
    /// not: it has not *seen* it.
    pub fn begins(&mut self, p: u8, horizon: Horizon, print: u64) -> Arc<Content> {
        let seen = self.seen[usize::from(p)];
        let base = self.reads(p, horizon, print, "a writer's base");
        self.seen[usize::from(p)] = seen;
        base
    }

    /// A reader has begun, after [`Oracle::reads`]. A durable commit is shown when it is durable,
    /// so what it saw survives a power cut.
    pub fn was_shown(&mut self, p: u8) {
        let seen = self.seen[usize::from(p)];
        if seen > self.deferred && !self.unreliable() {
            self.durable = self.durable.max(seen);
        }
    }

    /// A transaction is about to be built.
    pub fn start(&mut self, content: Content, durability: Durability) -> usize {
        self.contents.push(Entry::new(Arc::new(content)));
        let index = self.contents.len() - 1;
        if durability == Durability::Deferred {
            self.deferred = index;
        }
        index
    }

    /// A transaction that has changed nothing was not built.
    pub fn nothing_built(&mut self, index: usize) {
        self.contents[index].gone = true;
    }

    /// The transaction has not happened, and never will: this is what its error says.
    pub fn withdraw(&mut self, index: usize, e: &Error) {
        self.found_full += u64::from(matches!(e, Error::DiskFull { .. }));
        let entry = &mut self.contents[index];
        assert!(!entry.seen, "a commit that somebody has seen is said not to have happened: {e}");
        entry.gone = true;
    }

    /// A transaction is built, and visible.
    pub fn built(&mut self, index: usize) {
        self.visible = self.visible.max(index);
    }

    /// A transaction is durable.
    pub fn acknowledged(&mut self, index: usize) {
        self.durable = self.durable.max(index);
        self.built(index);
    }

    /// A flush has ended well, and this is what is durable then.
    pub fn flushed(&mut self, print: u64) {
        if let Some(found) = self.position(self.durable, print) {
            self.acknowledged(found);
            let counted = !self.causes.device_fails;
            self.contents[found].flushed = counted.then_some(self.faults);
        }
    }

    /// It is said that nobody knows what has become of a transaction.
    pub fn doubted(&self, index: usize) {
        let flushed = self.contents[index].flushed;
        let known = flushed.is_some_and(|at| self.faults - at <= TOLD_APART);
        assert!(!known, "a transaction that was flushed is said to be in doubt");
    }

    /// What is built last and has not failed.
    pub fn newest(&self) -> Arc<Content> {
        let last = self.contents.iter().rev().find(|entry| !entry.gone);
        last.map(|entry| entry.content.clone()).unwrap_or_default()
    }

    /// The newest content with this fingerprint.
    pub fn having(&self, print: u64) -> Option<Arc<Content>> {
        let found = self.contents.iter().rev().find(|entry| entry.is(print));
        found.map(|entry| entry.content.clone())
    }

    /// The newest that is visible.
    pub fn visible(&self) -> usize {
        self.visible
    }
}

impl Default for Oracle {
    fn default() -> Oracle {
        Oracle::new()
    }
}
