//! Which contents the database may hold now.
//!
//! Each transaction that starts to be built adds a content. An acknowledgement rules out those before it: for a
//! power cut, if it was durable; for everything else, as soon as it was visible. An error other than "outcome unknown" rules out
//! the content itself: nobody may have seen it, nobody ever may.

use super::causes::{Causes, During};
use super::content::Content;
use super::script::PROCESSES;
use parking_lot::Mutex;
use recto::{Durability, Error};
use std::sync::Arc;

/// A transaction's content.
struct Entry {
    content: Arc<Content>,
    /// The transaction has not happened.
    gone: bool,
    /// Somebody else has begun from it, or read it.
    seen: bool,
}

impl Entry {
    fn new(content: Arc<Content>) -> Entry {
        Entry { content, gone: false, seen: false }
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

/// Contents that may be found.
pub type Allowed = Vec<Arc<Content>>;

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
            stamp,
            found_full: 0,
            edits: 0,
        }
    }

    fn from(&self, index: usize) -> Allowed {
        let there = self.contents[index..].iter().filter(|entry| !entry.gone);
        there.map(|entry| entry.content.clone()).collect()
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
        let (found_full, edits) = (self.found_full, self.edits);
        *self = Oracle { causes, found_full, edits, ..calm };
    }

    /// All processes are gone, and this is what the next one sees: what was not durable before is not durable now. What was
    /// built and not yet visible may follow, if the shared memory survives too.
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

    /// The oldest that a process may see if it begins to read now; what others commit while it reads does not count.
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
            let known: Vec<_> = self.from(from).iter().map(|c| c.summary()).collect();
            panic!(
                "{what}: process {p} sees {print:016x}, {}; allowed: {known:#?}",
                earlier.map_or("which nobody made".into(), |e| match self.contents[e].gone {
                    true => format!("number {e}, which was said not to have happened"),
                    false => format!("number {e}, older than {from}"),
                })
            );
        };
        self.seen[usize::from(p)] = found;
        self.contents[found].seen = true;
        self.contents[found].content.clone()
    }

    /// A writer has begun from what it saw. It begins from the newest that is built, visible or not: it has not *seen* it.
    pub fn begins(&mut self, p: u8, horizon: Horizon, print: u64) -> Arc<Content> {
        let seen = self.seen[usize::from(p)];
        let base = self.reads(p, horizon, print, "a writer's base");
        self.seen[usize::from(p)] = seen;
        base
    }

    /// A reader has begun, after [`Oracle::reads`]. A durable commit is shown when it is durable, so what it saw survives a power cut.
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
