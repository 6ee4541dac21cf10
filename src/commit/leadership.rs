//! Who leads a flush among the threads of one handle.

use parking_lot::{Condvar, Mutex};
use std::time::Instant;

/// Who leads a flush in this handle. Whoever waits is woken at the end of each flush, all at once:
/// it may have carried them along.
#[derive(Default)]
pub(crate) struct Leadership {
    leading: Mutex<bool>,
    ended: Condvar,
}

impl Leadership {
    /// Waits until nobody leads, then leads; None when the time is over.
    pub fn wait(&self, end: Option<Instant>) -> Option<Leader<'_>> {
        let mut leading = self.leading.lock();
        match end {
            None => self.ended.wait_while(&mut leading, |leading| *leading),
            Some(end) => drop(self.ended.wait_while_until(&mut leading, |leading| *leading, end)),
        }
        (!std::mem::replace(&mut *leading, true)).then(|| Leader(self))
    }

    /// Leads, or waits for the end of the flush that somebody else leads.
    pub fn lead_or_wait(&self) -> Option<Leader<'_>> {
        let mut leading = self.leading.lock();
        if *leading {
            self.ended.wait(&mut leading);
            return None;
        }
        *leading = true;
        Some(Leader(self))
    }

    /// Leads if nobody does.
    pub fn try_lead(&self) -> Option<Leader<'_>> {
        let mut leading = self.leading.lock();
        // Made only if it is to be: it ends the leadership when it is dropped.
        (!std::mem::replace(&mut *leading, true)).then(|| Leader(self))
    }
}

/// The leadership. Ends on drop.
pub struct Leader<'a>(&'a Leadership);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        *self.0.leading.lock() = false;
        self.0.ended.notify_all();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_leads_and_its_end_wakes_all() {
        let leadership = Leadership::default();
        let leader = leadership.wait(None).unwrap();
        assert!(leadership.try_lead().is_none() && leadership.try_lead().is_none());
        let waiting = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    // Each leads once; whoever was woken by another's end asks again.
                    while leadership.lead_or_wait().is_none() {}
                });
            }
            while waiting.load(Ordering::SeqCst) < 4 {
                std::thread::yield_now();
            }
            drop(leader);
        });
        assert!(leadership.try_lead().is_some(), "nobody leads in the end");
    }
}
