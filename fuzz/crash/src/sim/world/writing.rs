//! Transactions that stay open from one operation to the next, and waits that nobody would end.

use super::World;
use super::device::beyond_budget;
use crate::sim::calls::{Built, begin};
use crate::sim::edit::Edit;
use crate::sim::op::{How, OpKind};
use recto::Durability;
use recto::harness::sim::{Ending, run};

impl World {
    /// Begins a transaction and keeps it, or changes more in the one that is kept.
    pub(super) fn begin(&mut self, p: u8, edits: &[Edit]) {
        let (oracle, place) = (self.oracle.clone(), usize::from(p));
        let kept = self.writing[place].take();
        let writing = match kept {
            Some(kept) => match run(|| kept.edited(&oracle, edits)) {
                Ending::Done(writing) => writing,
                Ending::Killed(_) => return self.died(p),
                Ending::PowerLost => return self.power_lost(),
            },
            None => {
                let begun = |db: &_| begin(&oracle, p, db)?.edited(&oracle, edits);
                self.in_process(p, begun).flatten()
            }
        };
        self.keep(p, writing);
    }

    fn keep(&mut self, p: u8, writing: Option<crate::sim::calls::Writing>) {
        self.writes(p, writing.is_some());
        self.tally.lock().count("transactions kept open", u64::from(writing.is_some()));
        self.writing[usize::from(p)] = writing;
    }

    /// Whether a process keeps a write transaction from now on.
    fn writes(&mut self, p: u8, yes: bool) {
        let causes = &mut self.oracle.lock().causes;
        causes.writers[usize::from(p)] = yes;
        if !causes.writers.contains(&true) {
            causes.pages_lost = false;
        }
    }

    /// Ends the transaction that is kept. It may be the last that holds on to its handle.
    pub(super) fn end(&mut self, p: u8, how: How) {
        let place = usize::from(p);
        let Some(writing) = self.writing[place].take() else { return };
        let untold = self.oracle.lock().causes.pages_lost && beyond_budget(&self.disk, &self.now);
        // Whoever stands on what is lost and was not told of it is beyond the fault budget: a flush
        // tells.
        let how = if untold && how != How::Abort { How::Durable } else { how };
        let oracle = self.oracle.clone();
        let ending = run(|| match how {
            How::Abort => {
                drop(writing);
                (false, None)
            }
            How::Build => match writing.looked_at(&oracle) {
                None => (false, None),
                Some(writing) => match writing.build(&oracle, Durability::Durable) {
                    Built::Pending(pending) => (false, Some(pending)),
                    _ => (false, None),
                },
            },
            How::Durable | How::Deferred => {
                let durability =
                    if how == How::Durable { Durability::Durable } else { Durability::Deferred };
                let writing = writing.looked_at(&oracle);
                (writing.is_some_and(|writing| writing.commit(&oracle, durability)), None)
            }
        });
        self.writes(p, false);
        match ending {
            Ending::Done((done, pending)) => {
                self.acknowledged(done, how == How::Durable);
                // Without its handle nobody can ask for its second half.
                if self.processes[place].is_some() {
                    self.pending[place].extend(pending);
                }
            }
            Ending::Killed(_) => self.died(p),
            Ending::PowerLost => self.power_lost(),
        }
    }

    /// Everything that a process kept is gone with it.
    pub(super) fn forget_writing(&mut self, p: u8) {
        self.writes(p, false);
        let writing = self.writing[usize::from(p)].take();
        // Its handle may be another than the one that died.
        if let Ending::PowerLost = run(|| drop(writing)) {
            self.power_lost();
        }
    }

    /// Whether a process that does this may have to wait until somebody ends the transaction that
    /// he keeps.
    pub(super) fn may_wait(&self, kind: &OpKind) -> bool {
        let writes = !matches!(
            kind,
            OpKind::Hold | OpKind::Observe | OpKind::Release | OpKind::Leave | OpKind::Crowd { .. }
        );
        writes && self.writing.iter().any(Option::is_some)
    }

    /// A wait that nobody would end, because everybody who could is idle.
    pub(super) fn nobody_hangs(&mut self, may_wait: bool) {
        let hangs = self.disk.counters().hangs;
        // A machine that was booted begins to count again.
        let more = hangs.checked_sub(self.hangs).unwrap_or(hangs);
        self.hangs = hangs;
        let line = self.now.lock().line.clone();
        assert!(more == 0 || may_wait, "{line}: hangs, waiting for a lock that nobody gives back");
    }
}
