//! Making snapshots visible, and waiting for them (B5, B17).
//!
//! A builder publishes under the writer lock, a flusher under the flush lock; the two may do so at
//! the same time, each with ring entries of its own (`core`, R4). A publisher that is killed before
//! `visible` has moved has done nothing: the next one writes the same entry. One that is killed
//! after it, but before the wake-up, leaves sleepers that look again by themselves after a tenth of
//! a second.

use super::Shared;
use super::core::{self, Published, Publisher, entry_for, id_of};
use super::layout::Descriptor;
use super::sync::{fence, futex};
use crate::error::{Error, Result};
use crate::types::TxnId;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

/// More moves of `visible` than there can be publishers in the time of one compare-and-swap.
const TRIES: u32 = 1_000_000;
/// Sleepers look again after this, woken or not.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The same for those who cannot say that they wait.
const LOOK_AGAIN_UNCOUNTED: Duration = Duration::from_millis(5);

impl Shared {
    /// The visible snapshot; none before the first publication.
    pub fn visible(&self) -> TxnId {
        let visible = self.layout().visible.0.load(Relaxed);
        fence(Acquire);
        TxnId(id_of(visible))
    }

    /// Makes a built transaction visible, unless a newer one is. Word 0 is its id. The caller holds
    /// the writer lock. True if `visible` has moved.
    pub fn publish_built(&self, descriptor: &Descriptor) -> Result<bool> {
        self.publish(Publisher::Builder, descriptor)
    }

    /// The same for the holder of the flush lock.
    pub fn publish_flushed(&self, descriptor: &Descriptor) -> Result<bool> {
        self.publish(Publisher::Flusher, descriptor)
    }

    fn publish(&self, publisher: Publisher, descriptor: &Descriptor) -> Result<bool> {
        self.check_writable(descriptor)?;
        let written = || self.step("publish: entry written");
        match core::publish(self.layout(), publisher, descriptor, TRIES, written) {
            Published::Moved => {
                self.step("publish: visible moved");
                self.wake_waiters();
                self.note_time(descriptor);
                Ok(true)
            }
            Published::Older => Ok(false),
            Published::Damaged => Err(self.damaged("the visible snapshot never stands still")),
        }
    }

    /// Makes this snapshot the visible one, also if a newer one is visible now. Only where nobody
    /// else can publish: in `init`, or under both the writer and the flush lock, when what was
    /// visible is rolled back. The ids that are taken back must never be used again.
    pub fn reset_visible(&self, descriptor: &Descriptor) -> Result<()> {
        self.check_writable(descriptor)?;
        let layout = self.layout();
        let entry = entry_for(Publisher::Builder, layout.visible.0.load(Acquire));
        fence(Release);
        for (word, &value) in layout.ring[entry].0.iter().zip(descriptor) {
            word.store(value, Relaxed);
        }
        self.step("reset: entry written");
        layout.visible.0.store(descriptor[0] << 2 | entry as u64, Release);
        fence(SeqCst);
        self.step("reset: visible set");
        self.wake_waiters();
        self.note_time(descriptor);
        Ok(())
    }

    /// For people who look for old readers.
    fn note_time(&self, descriptor: &Descriptor) {
        if !cfg!(loom) {
            self.layout().times.0.note(descriptor[0], self.platform().seconds());
        }
    }

    fn check_writable(&self, descriptor: &Descriptor) -> Result<()> {
        self.region.check_alive()?;
        if self.index.is_none() {
            return Err(Error::ReadOnly { path: None });
        }
        if descriptor[0] == 0 || descriptor[0] >= 1 << 61 {
            return Err(Error::InvalidArgument(format!(
                "transaction id {} cannot be published",
                descriptor[0]
            )));
        }
        Ok(())
    }

    /// Behind a SeqCst fence that follows the move of `visible`: a waiter counts itself before it
    /// looks.
    fn wake_waiters(&self) {
        if self.layout().waiters.0.load(Relaxed) != 0 {
            futex::wake_all(&self.layout().visible.0);
        }
    }

    /// Waits until a snapshot newer than `after` is visible, and returns it, or what is visible
    /// when the time is over.
    pub fn wait_visible(&self, after: TxnId, timeout: Option<Duration>) -> Result<TxnId> {
        self.wait_visible_while(after, timeout, || true)
    }

    /// Wakes everybody who waits, of all processes: they look again, and sleep on.
    pub fn wake_sleepers(&self) {
        futex::wake_all(&self.layout().visible.0);
    }

    /// As [`Shared::wait_visible`], or until this says no, which is asked before each sleep.
    pub fn wait_visible_while(
        &self,
        after: TxnId,
        timeout: Option<Duration>,
        goes_on: impl Fn() -> bool,
    ) -> Result<TxnId> {
        let start = Instant::now();
        let layout = self.layout();
        loop {
            self.region.check_alive()?;
            let left = timeout.map(|t| t.saturating_sub(start.elapsed()));
            let now = self.visible();
            if now > after || left == Some(Duration::ZERO) || !goes_on() {
                return Ok(now);
            }
            let counted = self.index.is_some();
            let most = if counted { LOOK_AGAIN } else { LOOK_AGAIN_UNCOUNTED };
            if counted {
                layout.waiters.0.fetch_add(1, AcqRel);
            }
            fence(SeqCst);
            let seen = layout.visible.0.load(Relaxed);
            if id_of(seen) <= after.0 {
                futex::wait(&layout.visible.0, seen, left.map_or(most, |l| l.min(most)));
            }
            if counted && self.region.is_alive() {
                layout.waiters.0.fetch_sub(1, AcqRel);
            }
        }
    }
}
